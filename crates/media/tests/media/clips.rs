//! Clips to test with. Each frame of a numbered clip shows its own index, so that a test can tell exactly
//! which frame it was given.

use std::{path::Path, process::Command, sync::OnceLock, time::Duration};

use adit_media::{
    EncodeOptions, Ffmpeg, Frame, FrameFormat, FrameStream, Media, MediaError, MediaLimits, Sampling,
};
use adit_outbound::{AddressGuard, Client};
use tempfile::TempDir;
use tokio::time::Instant;

pub(crate) const WIDTH: u32 = 128;
pub(crate) const HEIGHT: u32 = 64;
const BLOCK: u32 = 16;

pub(crate) fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

pub(crate) async fn ffmpeg() -> Ffmpeg {
    Ffmpeg::find(None).await.expect("these tests need ffmpeg 5 or newer on PATH")
}

pub(crate) async fn media() -> Media {
    media_with(MediaLimits::default()).await
}

pub(crate) async fn media_with(limits: MediaLimits) -> Media {
    let guard = AddressGuard::public_only().allowing("localhost, 127.0.0.1").unwrap();
    Media::new(Client::new(guard).unwrap(), ffmpeg().await, limits)
}

pub(crate) fn folder() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    FOLDER.get_or_init(|| tempfile::tempdir().unwrap()).path()
}

/// RGB24 on which the bits of `index` are drawn as black and white blocks, lowest first.
pub(crate) fn draw(index: u64) -> Vec<u8> {
    let mut pixels = Vec::with_capacity((WIDTH * HEIGHT * 3) as usize);
    for y in 0..HEIGHT {
        for x in 0..WIDTH {
            let bit = x / BLOCK + y / BLOCK * (WIDTH / BLOCK);
            let value = if bit < 16 && index >> bit & 1 == 1 { 235 } else { 20 };
            pixels.extend([value; 3]);
        }
    }
    pixels
}

/// The index that a frame of [`WIDTH`] by [`HEIGHT`] pixels shows.
pub(crate) fn shown(frame: &Frame) -> u64 {
    (0..16).fold(0, |index, bit| {
        let (column, row) = (bit % (WIDTH / BLOCK), bit / (WIDTH / BLOCK));
        let (x, y) = (column * BLOCK + BLOCK / 2, row * BLOCK + BLOCK / 2);
        let white = frame.pixels[((y * WIDTH + x) * 3) as usize] > 128;
        index | u64::from(white) << bit
    })
}

pub(crate) fn every() -> FrameFormat {
    FrameFormat { width: WIDTH, height: HEIGHT, sampling: Sampling::Every }
}

pub(crate) fn per_second(rate: f64) -> FrameFormat {
    FrameFormat { sampling: Sampling::PerSecond(rate), ..every() }
}

/// A numbered clip of 25 frames a second, with B-frames.
pub(crate) async fn numbered(frames: u64, faststart: bool) -> Vec<u8> {
    let options = EncodeOptions { faststart, key_interval: 25, ..EncodeOptions::new(WIDTH, HEIGHT, 25) };
    let path = folder().join(format!("numbered-{frames}-{faststart}.mp4"));
    ffmpeg().await.encode_h264(&options, (0..frames).map(draw), &path, soon()).await.unwrap();
    std::fs::read(path).unwrap()
}

/// Noise, which fills many bytes in few frames.
pub(crate) async fn noisy(width: u32, height: u32, frames: u64, faststart: bool) -> Vec<u8> {
    let mut state = 1_u64;
    let mut noise = move |_| {
        let bytes = (0..width as usize * height as usize * 3).map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        });
        bytes.collect::<Vec<u8>>()
    };
    let options = EncodeOptions { faststart, crf: 10, ..EncodeOptions::new(width, height, 25) };
    let path = folder().join(format!("noisy-{width}x{height}-{frames}-{faststart}.mp4"));
    ffmpeg().await.encode_h264(&options, (0..frames).map(&mut noise), &path, soon()).await.unwrap();
    std::fs::read(path).unwrap()
}

/// What ffmpeg makes of `input` (a clip, or nothing) with these arguments, split at white space; `IN` and
/// `OUT` stand for the files.
pub(crate) fn made(input: &[u8], suffix: &str, arguments: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let (source, target) = (folder.path().join("in.mp4"), folder.path().join(format!("out.{suffix}")));
    std::fs::write(&source, input).unwrap();
    let arguments = arguments.split_whitespace().map(|word| match word {
        "IN" => source.clone().into_os_string(),
        "OUT" => target.clone().into_os_string(),
        word => word.into(),
    });
    let output = Command::new("ffmpeg").args(["-v", "error", "-y"]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read(target).unwrap()
}

/// All frames up to the end of the stream, and how it ended.
pub(crate) async fn all(stream: &mut FrameStream) -> (Vec<Frame>, Result<(), MediaError>) {
    let mut frames = Vec::new();
    loop {
        match stream.next().await {
            Ok(Some(frame)) => frames.push(frame),
            Ok(None) => return (frames, Ok(())),
            Err(error) => return (frames, Err(error)),
        }
    }
}
