//! Clips of every sort that turns up, beside OpenCV where it can read them: as many frames, of the same size, with the
//! same pixels.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use adit_media::{ClipInfo, Frame, FrameFormat, Media, MediaError, MediaLimits, Sampling};
use adit_stand_in::video_host::{Reply, VideoHost};

use crate::clips::{all, every, made, media, media_with, noisy, numbered, shown, soon};

/// Writes the frames of a clip as RGB24 and prints their number, width and height.
const OPENCV: &str = r#"
import sys, cv2
clip = cv2.VideoCapture(sys.argv[1])
size = [int(clip.get(p)) for p in (cv2.CAP_PROP_FRAME_COUNT, cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)]
with open(sys.argv[2], "wb") as frames:
    while True:
        given, frame = clip.read()
        if not given:
            break
        frames.write(frame[:, :, ::-1].tobytes())
print(*size)
"#;

fn skipped(missing: &str) {
    assert!(std::env::var_os("ADIT_CI").is_none_or(|value| value != "1"), "{missing}");
    eprintln!("skipped: {missing}");
}

fn python() -> Option<PathBuf> {
    let python = std::env::var_os("ADIT_TEST_PYTHON").map(PathBuf::from).filter(|path| path.exists());
    if python.is_none() {
        skipped("ADIT_TEST_PYTHON names no Python with OpenCV; `make test` sets it up");
    }
    python
}

/// What OpenCV says of a clip.
struct Seen {
    frames: u64,
    width: u32,
    height: u32,
    pixels: Vec<u8>,
}

fn opencv(python: &Path, clip: &[u8]) -> Seen {
    let folder = tempfile::tempdir().unwrap();
    let (source, target) = (folder.path().join("clip.mp4"), folder.path().join("frames"));
    std::fs::write(&source, clip).unwrap();
    let output = Command::new(python).args(["-c", OPENCV]).arg(source).arg(&target).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let numbers: Vec<u32> = text.split_whitespace().map(|number| number.parse().unwrap()).collect();
    let [frames, width, height] = numbers[..] else { panic!("OpenCV says {text}") };
    Seen { frames: frames.into(), width, height, pixels: std::fs::read(target).unwrap() }
}

async fn decoded(media: Media, clip: Vec<u8>, format: Option<FrameFormat>) -> (ClipInfo, Vec<Frame>) {
    let host = VideoHost::start().await.unwrap();
    let url = host.serve("/clip.mp4", Reply::bytes(clip).with_ranges());
    let mut stream = match format {
        Some(format) => media.frames(&url, format, soon()).await.unwrap(),
        None => media.original_frames(&url, soon()).await.unwrap(),
    };
    let (frames, outcome) = all(&mut stream).await;
    outcome.unwrap();
    (stream.info().clone(), frames)
}

fn joined(frames: &[Frame]) -> Vec<u8> {
    frames.iter().flat_map(|frame| frame.pixels.iter().copied()).collect()
}

/// The largest and the mean difference.
fn apart(a: &[u8], b: &[u8]) -> (u8, f64) {
    let differences = || a.iter().zip(b).map(|(a, b)| a.abs_diff(*b));
    let sum: u64 = differences().map(u64::from).sum();
    (differences().max().unwrap(), sum as f64 / a.len() as f64)
}

/// The clip's frames are OpenCV's, and those of `Media::frames` are the same pictures.
async fn is_opencvs(name: &str, python: &Path, clip: Vec<u8>) {
    let seen = opencv(python, &clip);
    assert!(!seen.pixels.is_empty(), "{name}: OpenCV reads nothing");
    let (info, frames) = decoded(media().await, clip.clone(), None).await;
    assert_eq!((info.frames, info.width, info.height), (seen.frames, seen.width, seen.height), "{name}");
    let original = joined(&frames);
    assert_eq!(original.len(), seen.pixels.len(), "{name}: another number of frames than OpenCV's");
    let (most, _) = apart(&original, &seen.pixels);
    assert!(most <= 1, "{name}: pixels are up to {most} from OpenCV's");

    let format = FrameFormat { width: info.width, height: info.height, sampling: Sampling::Every };
    let (_, frames) = decoded(media().await, clip, Some(format)).await;
    let (_, mean) = apart(&joined(&frames), &original);
    assert!(mean < 4.0, "{name}: another picture, {mean} from the original on average");
}

/// Whether this ffmpeg has the encoder that a clip is made with.
fn has_encoder(name: &str) -> bool {
    let output = Command::new("ffmpeg").args(["-v", "error", "-encoders"]).output().unwrap();
    let listed = String::from_utf8_lossy(&output.stdout)
        .lines()
        .any(|line| line.split_whitespace().nth(1) == Some(name));
    if !listed {
        skipped(&format!("this ffmpeg has no {name}, with which a test's clip is encoded"));
    }
    listed
}

const X265: &str = "-c:v libx265 -x265-params log-level=error -tag:v hvc1";

#[tokio::test]
async fn every_format_that_opencv_reads_gives_its_pixels() {
    let Some(python) = python() else { return };
    let even = "-f lavfi -i mandelbrot=s=320x180:r=25 -frames:v 8";
    let odd = "-f lavfi -i mandelbrot=s=641x359:r=25 -frames:v 5";
    for (name, encoder, arguments) in [
        ("8 bit", "libx264", format!("{even} -c:v libx264 -pix_fmt yuv420p")),
        ("10 bit", "libx264", format!("{even} -c:v libx264 -pix_fmt yuv420p10le")),
        ("10 bit, all colours", "libx264", format!("{even} -c:v libx264 -pix_fmt yuv444p10le")),
        ("10 bit, half the colours", "libx264", format!("{even} -c:v libx264 -pix_fmt yuv422p10le")),
        ("full range", "libx264", format!("{even} -vf scale=out_range=pc -c:v libx264 -pix_fmt yuvj420p")),
        (
            "high definition's colours",
            "libx264",
            format!(
                "{even} -c:v libx264 -pix_fmt yuv420p -colorspace bt709 -color_primaries bt709 -color_trc bt709"
            ),
        ),
        ("HEVC", "libx265", format!("{even} {X265} -pix_fmt yuv420p")),
        ("HEVC of 10 bit", "libx265", format!("{even} {X265} -pix_fmt yuv420p10le")),
        ("odd sides", "libx264", format!("{odd} -c:v libx264 -pix_fmt yuv444p")),
        (
            "odd sides in VP9",
            "libvpx-vp9",
            format!("{odd} -c:v libvpx-vp9 -deadline realtime -pix_fmt yuv420p"),
        ),
        ("MPEG-4", "mpeg4", format!("{even} -c:v mpeg4 -pix_fmt yuv420p")),
        ("oblong pixels", "libx264", format!("{even} -vf setsar=4/3 -c:v libx264 -pix_fmt yuv420p")),
        (
            "a varying rate",
            "libx264",
            format!(
                "{even} -vf settb=1/1000,setpts=N*N*17+N*40 -vsync passthrough -enc_time_base 1/1000 \
                 -c:v libx264 -pix_fmt yuv420p"
            ),
        ),
    ] {
        if has_encoder(encoder) {
            is_opencvs(name, &python, made(b"", "mp4", &format!("{arguments} OUT"))).await;
        }
    }
}

#[tokio::test]
async fn a_change_of_the_picture_size_gives_opencvs_pixels() {
    let Some(python) = python() else { return };
    let source = "-f lavfi -i mandelbrot=s=320x180:r=25 -frames:v 8";
    let large = made(b"", "h264", &format!("{source} -pix_fmt yuv420p -c:v libx264 -bf 0 OUT"));
    let small =
        made(b"", "h264", &format!("{source} -vf scale=160:90 -pix_fmt yuv420p -c:v libx264 -bf 0 OUT"));
    let both = made(&[large, small].concat(), "mp4", "-f h264 -r 25 -i IN -c copy OUT");
    is_opencvs("two sizes", &python, both).await;
}

/// The clip with another display matrix, of which these are the numbers that turn, scale and mirror.
fn with_matrix(mut clip: Vec<u8>, [a, b, c, d]: [i32; 4]) -> Vec<u8> {
    let matrix = clip.windows(4).position(|name| name == b"tkhd").unwrap() + 4 + 40;
    for (place, number) in [(0, a), (1, b), (3, c), (4, d)] {
        clip[matrix + place * 4..][..4].copy_from_slice(&number.to_be_bytes());
    }
    clip
}

#[tokio::test]
async fn a_turned_clip_is_shown_as_opencv_shows_it() {
    let Some(python) = python() else { return };
    let source = "-f lavfi -i mandelbrot=s=320x180:r=25 -frames:v 4";
    let eight = made(b"", "mp4", &format!("{source} -c:v libx264 -pix_fmt yuv420p OUT"));
    let ten = made(b"", "mp4", &format!("{source} -c:v libx264 -pix_fmt yuv420p10le OUT"));
    let odd = "-f lavfi -i mandelbrot=s=321x179:r=25 -frames:v 4";
    let odd = made(b"", "mp4", &format!("{odd} -c:v libx264 -pix_fmt yuv444p OUT"));
    const ONE: i32 = 1 << 16;
    for (name, matrix, turned) in [
        ("a quarter", [0, ONE, -ONE, 0], true),
        ("half", [-ONE, 0, 0, -ONE], false),
        ("three quarters", [0, -ONE, ONE, 0], true),
        ("an eighth", [46_341, 46_341, -46_341, 46_341], false),
        ("mirrored", [-ONE, 0, 0, ONE], false),
        ("mirrored and a quarter", [0, ONE, ONE, 0], true),
        ("twice as wide", [2 * ONE, 0, 0, ONE], false),
    ] {
        let clip = with_matrix(eight.clone(), matrix);
        let info = ClipInfo::of_clip(&clip).unwrap();
        let size = if turned { (180, 320) } else { (320, 180) };
        assert_eq!((info.width, info.height), size, "{name}");
        is_opencvs(name, &python, clip).await;
    }
    is_opencvs("a quarter of 10 bit", &python, with_matrix(ten, [0, ONE, -ONE, 0])).await;
    is_opencvs("three quarters of odd sides", &python, with_matrix(odd, [0, -ONE, ONE, 0])).await;
}

#[tokio::test]
async fn what_opencv_may_not_read_is_decoded_frame_by_frame() {
    let clip = numbered(30, true).await;
    for (name, encoder, arguments) in [
        ("interlaced", "libx264", "-c:v libx264 -flags +ilme+ildct -x264-params tff=1 -crf 10".to_owned()),
        ("AV1", "libaom-av1", "-c:v libaom-av1 -cpu-used 8 -crf 20 -b:v 0".to_owned()),
        ("AV1 of 10 bit", "libsvtav1", "-c:v libsvtav1 -preset 10 -crf 20 -pix_fmt yuv420p10le".to_owned()),
        ("HEVC of 10 bit", "libx265", format!("{X265} -pix_fmt yuv420p10le")),
    ] {
        if !has_encoder(encoder) {
            continue;
        }
        let clip = made(&clip, "mp4", &format!("-i IN {arguments} OUT"));
        let (info, frames) = decoded(media().await, clip, Some(every())).await;
        assert_eq!((info.frames, info.presented), (30, Some(30)), "{name}");
        assert_eq!(frames.iter().map(shown).collect::<Vec<_>>(), (0..30).collect::<Vec<_>>(), "{name}");
    }
}

#[tokio::test]
async fn the_pixels_do_not_depend_on_the_number_of_threads() {
    let clip = noisy(320, 180, 40, true).await;
    for (name, encoder, arguments) in [
        ("as encoded", "libx264", "-c copy".to_owned()),
        ("in slices", "libx264", "-c:v libx264 -x264-params slices=4 -bf 3".to_owned()),
        ("HEVC", "libx265", X265.to_owned()),
        ("AV1", "libsvtav1", "-c:v libsvtav1 -preset 10".to_owned()),
        ("VP9", "libvpx-vp9", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8".to_owned()),
    ] {
        if !has_encoder(encoder) {
            continue;
        }
        let clip = made(&clip, "mp4", &format!("-i IN {arguments} OUT"));
        let scaled = FrameFormat { width: 224, height: 126, sampling: Sampling::Nth(2) };
        for format in [Some(scaled), None] {
            let mut first = None;
            for decoder_threads in [1, 2, 4] {
                let limits = MediaLimits { decoder_threads, ..MediaLimits::default() };
                let (_, frames) = decoded(media_with(limits).await, clip.clone(), format).await;
                let first = first.get_or_insert_with(|| frames.clone());
                assert!(*first == frames, "{name}: other pixels with {decoder_threads} threads");
            }
        }
    }
}

#[tokio::test]
async fn a_clip_without_pictures_is_refused_with_what_it_lacks() {
    let sound = made(b"", "mp4", "-f lavfi -i sine=d=1 -c:a aac OUT");
    let mut clip = numbered(5, true).await;
    // No samples, and none listed anywhere.
    for list in [b"stsz", b"stts", b"ctts", b"stsc", b"stco"] {
        if let Some(at) = clip.windows(4).position(|name| name == list) {
            let count = at + if list == b"stsz" { 12 } else { 8 };
            clip[count..count + 4].fill(0);
        }
    }
    let host = VideoHost::start().await.unwrap();
    for (body, lacks) in [(Vec::new(), "empty"), (sound, "sound only"), (clip, "video track is empty")] {
        let url = host.serve("/clip.mp4", Reply::bytes(body));
        let error = media().await.frames(&url, every(), soon()).await.unwrap_err();
        assert!(matches!(error, MediaError::NotVideo(_)), "{error:?}");
        assert!(error.to_string().contains(lacks), "{error}");
    }
}
