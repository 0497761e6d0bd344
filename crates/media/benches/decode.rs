//! A 10 s clip of 720p from a loopback server through [`Media::frames`], beside its limit: a bare `ffmpeg`
//! that reads the same clip from a pipe and writes the same frames to one.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on stops")]

use std::{
    io::{Read, Write},
    process::{Command, Stdio},
    time::Duration,
};

use adit_media::{EncodeOptions, Ffmpeg, FrameFormat, Media, MediaLimits, Sampling};
use adit_outbound::{AddressGuard, Client};
use adit_stand_in::video_host::{Reply, VideoHost};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tokio::time::Instant;

const FRAMES: u64 = 250;
const SIZES: [(u32, u32); 2] = [(398, 224), (1280, 720)];

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(120)
}

/// Stripes that move, with some noise, so that there is something to decode.
fn drawn(frame: u64) -> Vec<u8> {
    let mut noise = frame + 1;
    let pixels = (0..1280 * 720_u64).flat_map(|at| {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let stripe = ((at % 1280 + 7 * frame) / 40 % 2) * 120;
        let value = (stripe + 60 + (noise >> 60)) as u8;
        [value, value / 2, 255 - value]
    });
    pixels.collect()
}

async fn clip(ffmpeg: &Ffmpeg) -> Vec<u8> {
    let path = tempfile::Builder::new().suffix(".mp4").tempfile().unwrap().into_temp_path();
    let options = EncodeOptions::new(1280, 720, 25);
    ffmpeg.encode_h264(&options, (0..FRAMES).map(drawn), &path, soon()).await.unwrap();
    std::fs::read(&path).unwrap()
}

fn bare(clip: &[u8], (width, height): (u32, u32)) -> usize {
    let scale = format!("scale={width}:{height}:flags=bicubic+bitexact+accurate_rnd");
    let mut child = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "mov", "-i", "pipe:0", "-vsync", "passthrough", "-vf", &scale])
        .args(["-pix_fmt", "rgb24", "-f", "rawvideo", "pipe:1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let bytes = std::thread::scope(|scope| {
        // The decoder may stop reading before the last byte.
        scope.spawn(move || stdin.write_all(clip).ok());
        let (mut bytes, mut piece) = (0, vec![0; 1 << 20]);
        while let read @ 1.. = stdout.read(&mut piece).unwrap() {
            bytes += read;
        }
        bytes
    });
    assert!(child.wait().unwrap().success());
    bytes
}

async fn through_media(media: &Media, url: &str, (width, height): (u32, u32)) -> usize {
    let format = FrameFormat { width, height, sampling: Sampling::Every };
    let mut stream = media.frames(url, format, soon()).await.unwrap();
    let mut bytes = 0;
    while let Some(frame) = stream.next().await.unwrap() {
        bytes += frame.pixels.len();
    }
    bytes
}

fn decode(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (media, host, clip) = runtime.block_on(async {
        let ffmpeg = Ffmpeg::find(None).await.unwrap();
        let clip = clip(&ffmpeg).await;
        let guard = AddressGuard::public_only().allowing("127.0.0.1").unwrap();
        let media = Media::new(Client::new(guard).unwrap(), ffmpeg, MediaLimits::default());
        (media, VideoHost::start().await.unwrap(), clip)
    });
    let url = host.serve("/clip.mp4", Reply::bytes(clip.clone()));
    let mut group = criterion.benchmark_group("decode_10s_720p");
    group.sample_size(10).throughput(Throughput::Elements(FRAMES));
    for (width, height) in SIZES {
        let bytes = (FRAMES * u64::from(width) * u64::from(height) * 3) as usize;
        group.bench_function(format!("media_{width}x{height}"), |bencher| {
            bencher
                .iter(|| assert_eq!(runtime.block_on(through_media(&media, &url, (width, height))), bytes));
        });
        group.bench_function(format!("bare_ffmpeg_{width}x{height}"), |bencher| {
            bencher.iter(|| assert_eq!(bare(&clip, (width, height)), bytes));
        });
    }
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
