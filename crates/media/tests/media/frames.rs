//! Decoded frames: which, how many, and what happens when something goes wrong on the way.

use std::{io::Write as _, time::Duration};

use adit_media::{Frame, FrameFormat, MediaError, MediaLimits, Sampling};
use adit_stand_in::video_host::{Reply, VideoHost};
use tokio::time::Instant;

use crate::clips::{all, draw, every, made, media, media_with, noisy, numbered, per_second, shown, soon};

async fn decode(reply: Reply, format: FrameFormat) -> (Vec<Frame>, Result<(), MediaError>) {
    let host = VideoHost::start().await.unwrap();
    let url = host.serve("/clip.mp4", reply);
    match media().await.frames(&url, format, soon()).await {
        Ok(mut stream) => all(&mut stream).await,
        Err(error) => (Vec::new(), Err(error)),
    }
}

/// Decodes every frame and checks that each shows the index it is given under.
async fn decodes_exactly(reply: Reply, expected: std::ops::Range<u64>) {
    let (frames, outcome) = decode(reply, every()).await;
    outcome.unwrap();
    assert_eq!(frames.iter().map(shown).collect::<Vec<_>>(), expected.clone().collect::<Vec<_>>());
    let indices: Vec<u64> = frames.iter().map(|frame| frame.index).collect();
    assert_eq!(indices, (0..expected.end - expected.start).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_fast_start_clip_gives_every_frame_under_its_index() {
    let clip = numbered(300, true).await;
    decodes_exactly(Reply::bytes(clip.clone()), 0..300).await;
    decodes_exactly(Reply::bytes(clip).without_length(), 0..300).await;
}

#[tokio::test]
async fn frames_come_while_the_clip_still_arrives() {
    let clip = noisy(320, 180, 40, true).await;
    let host = VideoHost::start().await.unwrap();
    // The last part of the clip never comes, yet its first frames do.
    let reply = Reply::bytes(clip.clone()).stalling_at(clip.len() as u64 * 9 / 10);
    let url = host.serve("/clip.mp4", reply);
    let format = FrameFormat { width: 32, height: 18, sampling: Sampling::Every };
    let mut stream = media().await.frames(&url, format, soon()).await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap().index, 0);
    assert!(host.served()[0].finished.is_none());
}

#[tokio::test]
async fn a_table_at_the_end_is_moved_to_the_front_by_range() {
    let clip = numbered(60, false).await;
    let host = VideoHost::start().await.unwrap();
    let url = host.serve("/clip.mp4", Reply::bytes(clip).with_ranges());
    let folder = tempfile::tempdir().unwrap();
    // Nothing can be spooled here, so the frames have come through the pipe.
    let limits = MediaLimits { spool_dir: folder.path().join("missing"), ..MediaLimits::default() };
    let mut stream = media_with(limits).await.frames(&url, every(), soon()).await.unwrap();
    let (frames, outcome) = all(&mut stream).await;
    outcome.unwrap();
    assert_eq!(frames.iter().map(shown).collect::<Vec<_>>(), (0..60).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_table_at_the_end_without_ranges_is_decoded_from_a_file() {
    let clip = numbered(60, false).await;
    decodes_exactly(Reply::bytes(clip), 0..60).await;
}

#[tokio::test]
async fn sound_beside_the_pictures_changes_nothing() {
    let sound = "-i IN -f lavfi -i sine=d=2.4 -c:v copy -c:a aac";
    for (more, reply) in [("-movflags +faststart", false), ("", true), ("", false)] {
        let clip = made(&numbered(60, true).await, "mp4", &format!("{sound} {more} OUT"));
        let body = Reply::bytes(clip);
        decodes_exactly(if reply { body.with_ranges() } else { body }, 0..60).await;
    }
}

#[tokio::test]
async fn a_fragmented_clip_gives_every_frame() {
    let sound = "-i IN -f lavfi -i sine=d=2.4 -c:v copy -c:a aac -movflags frag_keyframe+empty_moov OUT";
    let clip = made(&numbered(60, true).await, "mp4", sound);
    decodes_exactly(Reply::bytes(clip), 0..60).await;
}

#[tokio::test]
async fn irregular_timestamps_neither_drop_nor_repeat_a_frame() {
    let jitter =
        "-i IN -vf settb=1/1000,setpts=N*40+mod(N*N*17\\,400) -vsync passthrough -enc_time_base 1/1000 OUT";
    let clip = made(&numbered(60, true).await, "mp4", jitter);
    let (frames, outcome) = decode(Reply::bytes(clip), every()).await;
    outcome.unwrap();
    // The jitter puts some frames out of their order of drawing: none may be missing all the same.
    let mut seen: Vec<u64> = frames.iter().map(shown).collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..60).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_edit_list_hides_the_frames_before_it() {
    // Cut without re-encoding: the clip starts at the key frame 25 and shows from frame 30 on.
    let clip = made(&numbered(100, true).await, "mp4", "-ss 1.2 -i IN -c copy -movflags +faststart OUT");
    let host = VideoHost::start().await.unwrap();
    let url = host.serve("/clip.mp4", Reply::bytes(clip));
    let mut stream = media().await.frames(&url, every(), soon()).await.unwrap();
    assert_eq!((stream.info().frames, stream.info().presented), (75, Some(70)));
    let (frames, outcome) = all(&mut stream).await;
    outcome.unwrap();
    assert_eq!(frames.iter().map(shown).collect::<Vec<_>>(), (30..100).collect::<Vec<_>>());
}

/// Encodes numbered frames in open groups of pictures: B-frames before a key frame refer to frames before it.
const OPEN_GROUPS: [(&str, &str); 2] = [
    (
        "h264",
        "-i IN -c:v libx264 -x264-params open-gop=1:keyint=25:bframes=3:b-adapt=0:b-pyramid=normal:\
         refs=4:scenecut=0:crf=10 OUT",
    ),
    (
        "hevc",
        "-i IN -c:v libx265 -x265-params log-level=error:open-gop=1:keyint=25:bframes=4:b-adapt=0:crf=10 OUT",
    ),
];

#[tokio::test]
async fn a_cut_inside_an_open_group_is_decoded_whole() {
    let clip = numbered(150, true).await;
    for (codec, encode) in OPEN_GROUPS {
        let clip = made(&clip, "mp4", encode);
        // What the frames around the cut refer to is partly gone: H.264's decoder complains, rightly, about
        // a reference that it cannot let go of, and yet every frame that is shown is whole.
        let clip = made(&clip, "mp4", "-ss 2.5 -i IN -c copy -movflags +faststart OUT");
        let host = VideoHost::start().await.unwrap();
        let url = host.serve("/clip.mp4", Reply::bytes(clip));
        let mut stream = media().await.frames(&url, every(), soon()).await.unwrap();
        let info = stream.info().clone();
        assert!(info.presented.unwrap() < info.frames, "{codec}: nothing was cut off");
        let (frames, outcome) = all(&mut stream).await;
        outcome.unwrap();
        assert_eq!(frames.len() as u64, info.presented.unwrap(), "{codec}");
        let first = 150 - info.presented.unwrap();
        assert_eq!(frames.iter().map(shown).collect::<Vec<_>>(), (first..150).collect::<Vec<_>>(), "{codec}");
    }
}

#[tokio::test]
async fn a_change_of_the_picture_size_does_not_shift_the_indices() {
    let clip = numbered(54, true).await;
    // A bare stream has no timestamps: without B-frames they follow from its order.
    let large = made(&clip, "h264", "-i IN -frames:v 30 -c:v libx264 -bf 0 OUT");
    let small =
        made(&clip, "h264", "-i IN -vf select=gte(n\\,30),scale=96:48 -vsync 0 -c:v libx264 -bf 0 OUT");
    let both = made(&[large, small].concat(), "mp4", "-f h264 -r 25 -i IN -c copy -movflags +faststart OUT");
    for (format, expected) in [(per_second(1.0), vec![0, 25, 50]), (every(), (0..54).collect())] {
        let (frames, outcome) = decode(Reply::bytes(both.clone()), format).await;
        outcome.unwrap();
        assert_eq!(frames.iter().map(|frame| frame.index).collect::<Vec<_>>(), expected);
        assert_eq!(frames.iter().map(shown).collect::<Vec<_>>(), expected);
    }
}

#[tokio::test]
async fn a_clip_of_one_frame_gives_one() {
    decodes_exactly(Reply::bytes(numbered(1, true).await), 0..1).await;
}

#[tokio::test]
async fn odd_sizes_are_decoded_and_asked_for() {
    let clip = noisy(99, 57, 5, true).await;
    let format = FrameFormat { width: 33, height: 19, sampling: Sampling::Every };
    let (frames, outcome) = decode(Reply::bytes(clip), format).await;
    outcome.unwrap();
    assert_eq!(frames.len(), 5);
    assert!(frames.iter().all(|frame| frame.pixels.len() == 33 * 19 * 3));
}

#[tokio::test]
async fn sampling_gives_the_frames_nearest_to_the_clocks_ticks() {
    let clip = numbered(101, true).await;
    for (rate, expected) in [
        (5.0, (0..=100).step_by(5).collect::<Vec<u64>>()),
        (1.0, vec![0, 25, 50, 75, 100]),
        (10.0, (0..=40).map(|k: u64| (5 * k).div_ceil(2)).collect()),
        (25.0, (0..=100).collect()),
        (60.0, (0..=100).collect()),
    ] {
        let (frames, outcome) = decode(Reply::bytes(clip.clone()), per_second(rate)).await;
        outcome.unwrap();
        assert_eq!(frames.iter().map(|frame| frame.index).collect::<Vec<_>>(), expected, "{rate}");
        assert_eq!(frames.iter().map(shown).collect::<Vec<_>>(), expected, "{rate}");
    }
}

#[tokio::test]
async fn every_nth_frame_is_counted_from_the_first() {
    let clip = numbered(31, true).await;
    for (n, expected) in [
        (1, (0..31).collect::<Vec<u64>>()),
        (2, (0..31).step_by(2).collect()),
        (30, vec![0, 30]),
        (u32::MAX, vec![0]),
    ] {
        let format = FrameFormat { sampling: Sampling::Nth(n), ..every() };
        let (frames, outcome) = decode(Reply::bytes(clip.clone()), format).await;
        outcome.unwrap();
        assert_eq!(frames.iter().map(|frame| frame.index).collect::<Vec<_>>(), expected, "{n}");
        assert_eq!(frames.iter().map(shown).collect::<Vec<_>>(), expected, "{n}");
    }
}

#[tokio::test]
async fn a_clip_on_this_host_gives_the_same_frames() {
    for clip in [
        numbered(30, true).await,
        numbered(30, false).await,
        made(&numbered(30, true).await, "mp4", "-i IN -c copy -movflags frag_keyframe+empty_moov OUT"),
    ] {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&clip).unwrap();
        let mut stream = media().await.frames_of_file(file.path(), per_second(5.0), soon()).await.unwrap();
        let (frames, outcome) = all(&mut stream).await;
        outcome.unwrap();
        assert_eq!(frames, decode(Reply::bytes(clip), per_second(5.0)).await.0);
        assert!(file.path().exists(), "somebody else's file is gone");
    }
}

#[tokio::test]
async fn a_clip_on_this_host_that_is_absent_or_too_short_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    let error = media().await.frames_of_file(&path, every(), soon()).await.unwrap_err();
    assert!(matches!(error, MediaError::File { .. }), "{error:?}");
    assert!(error.to_string().contains("clip.mp4"), "{error}");
    let clip = numbered(30, true).await;
    std::fs::write(&path, &clip[..clip.len() - 10]).unwrap();
    let error = media().await.frames_of_file(&path, every(), soon()).await.unwrap_err();
    assert!(matches!(error, MediaError::Truncated(_)), "{error:?}");
}

#[tokio::test]
async fn decoding_twice_gives_the_same_bytes() {
    let clip = noisy(320, 180, 20, true).await;
    let format = FrameFormat { width: 100, height: 60, sampling: Sampling::Every };
    let one = decode(Reply::bytes(clip.clone()), format).await.0;
    assert_eq!(one.len(), 20);
    assert_eq!(one, decode(Reply::bytes(clip), format).await.0);
}

#[tokio::test]
async fn a_drawn_frame_comes_back_in_its_colours() {
    let (frames, outcome) = decode(Reply::bytes(numbered(2, true).await), every()).await;
    outcome.unwrap();
    let (drawn, decoded) = (draw(1), &frames[1].pixels);
    let far = drawn.iter().zip(decoded.iter()).filter(|(a, b)| a.abs_diff(**b) > 24).count();
    assert!(far < drawn.len() / 50, "{far} of {} values differ", drawn.len());
}

#[tokio::test]
async fn damage_inside_the_clip_is_an_error_and_never_a_shorter_answer() {
    let mut clip = noisy(320, 180, 40, true).await;
    let middle = clip.len() / 2;
    clip[middle..middle + 2000].fill(0x5a);
    let (frames, outcome) = decode(Reply::bytes(clip), every()).await;
    let error = outcome.unwrap_err();
    assert!(matches!(error, MediaError::Decoder { promised: Some(40), .. }), "{error:?}");
    assert!(frames.len() < 40);
}

/// Whether `ffmpeg` alone gives all `frames` of the clip and ends well, though it says that it met damage.
fn papered_over(clip: &[u8], frames: usize) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    std::fs::write(&path, clip).unwrap();
    let mut command = std::process::Command::new("ffmpeg");
    command.args(["-nostdin", "-nostats", "-v", "info", "-xerror", "-i"]).arg(path);
    let output = command.args(["-vsync", "0", "-f", "framecrc", "-"]).output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    let decoded = lines.lines().filter(|line| !line.starts_with('#')).count();
    let said = String::from_utf8_lossy(&output.stderr);
    let damaged = said.contains("error while decoding MB") || said.contains("concealing");
    output.status.success() && decoded == frames && damaged
}

#[tokio::test]
async fn damage_that_the_decoder_papers_over_is_an_error_all_the_same() {
    let clip = noisy(160, 96, 40, true).await;
    let media_data = clip.windows(4).position(|name| name == b"mdat").unwrap() + 4;
    let mut state = 7_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut met = 0;
    for _ in 0..60 {
        let mut damaged = clip.clone();
        let at = media_data + random(clip.len() - media_data - 500);
        for byte in &mut damaged[at..at + 1 + random(499)] {
            *byte = random(256) as u8;
        }
        if papered_over(&damaged, 40) {
            met += 1;
            let (_, outcome) = decode(Reply::bytes(damaged), every()).await;
            let error = outcome.unwrap_err();
            assert!(matches!(error, MediaError::Decoder { .. }), "damage at {at}: {error:?}");
        }
    }
    assert!(met > 0, "no damage was papered over");
}

#[tokio::test]
async fn a_decoder_that_gave_up_is_not_kept_waiting_by_the_server() {
    let mut clip = noisy(160, 96, 40, true).await;
    let early = clip.len() / 4;
    clip[early..early + 2000].fill(0x5a);
    let host = VideoHost::start().await.unwrap();
    // What comes after the damage fits the pipe, so that no write fails when the decoder ends. The rest never
    // comes, and the server would be given longer than the deadline.
    let url = host.serve("/clip.mp4", Reply::bytes(clip).stalling_at(early as u64 + 50_000));
    let idle = Duration::from_secs(3600);
    let limits = MediaLimits { idle, decoder_threads: 1, ..MediaLimits::default() };
    let mut stream = media_with(limits).await.frames(&url, every(), soon()).await.unwrap();
    let (_, outcome) = all(&mut stream).await;
    let error = outcome.unwrap_err();
    assert!(matches!(error, MediaError::Decoder { .. }), "{error:?}");
}

#[tokio::test]
async fn a_large_table_is_read_and_rewritten() {
    // Two MiB of idle bytes at the end of a table at the end of the clip.
    let mut clip = numbered(60, false).await;
    let moov = clip.windows(4).rposition(|name| name == b"moov").unwrap() - 4;
    clip.extend((2_u32 << 20).to_be_bytes());
    clip.extend(b"free");
    clip.resize(clip.len() + (2 << 20) - 8, 0);
    let size = (clip.len() - moov) as u32;
    clip[moov..moov + 4].copy_from_slice(&size.to_be_bytes());
    decodes_exactly(Reply::bytes(clip.clone()).with_ranges(), 0..60).await;
    decodes_exactly(Reply::bytes(clip), 0..60).await;
}

#[tokio::test]
async fn a_frame_format_is_checked_without_a_clip() {
    let limits = MediaLimits { max_pixels: 1000, ..MediaLimits::default() };
    let format = |width, rate| FrameFormat { width, height: 10, sampling: Sampling::PerSecond(rate) };
    format(100, 12.5).check(&limits).unwrap();
    assert!(matches!(format(101, 12.5).check(&limits), Err(MediaError::TooLarge { limit: 1000, .. })));
    for refused in [format(0, 1.0), format(10, 0.0), format(10, f64::NAN), format(10, 2e6)] {
        assert!(matches!(refused.check(&limits), Err(MediaError::Unsupported(_))), "{refused:?}");
    }
    let nothing = FrameFormat { sampling: Sampling::Nth(0), ..format(10, 1.0) };
    assert!(matches!(nothing.check(&limits), Err(MediaError::Unsupported(_))));
}

#[tokio::test]
async fn a_clip_cut_short_on_its_way_is_truncated() {
    let clip = noisy(320, 180, 40, true).await;
    let half = clip.len() as u64 / 2;
    for reply in [
        Reply::bytes(clip.clone()).cut_at(half),
        Reply::bytes(clip.clone()).without_length().cut_at(half),
        Reply::bytes(clip[..half as usize].to_vec()),
        Reply::bytes(clip[..half as usize].to_vec()).without_length(),
    ] {
        let (_, outcome) = decode(reply, every()).await;
        let error = outcome.unwrap_err();
        assert!(matches!(error, MediaError::Truncated(_)), "{error:?}");
    }
}

#[tokio::test]
async fn what_follows_the_last_sample_is_not_needed() {
    let mut clip = numbered(30, true).await;
    clip.extend(b"\0\0\0\0 rubbish behind the clip");
    decodes_exactly(Reply::bytes(clip).endless(), 0..30).await;
}

#[tokio::test]
async fn a_body_that_is_no_clip_is_refused_before_a_decoder_starts() {
    let (_, outcome) = decode(Reply::bytes("<html>sign in</html>"), every()).await;
    assert!(matches!(outcome.unwrap_err(), MediaError::NotVideo(_)));
}

#[tokio::test]
async fn a_codec_that_is_not_listed_is_refused() {
    let clip = made(&numbered(5, true).await, "mov", "-i IN -c:v prores -movflags +faststart OUT");
    let (_, outcome) = decode(Reply::bytes(clip), every()).await;
    let error = outcome.unwrap_err();
    assert!(matches!(error, MediaError::Unsupported(_)), "{error}");
}

#[tokio::test]
async fn a_clip_beyond_the_pixel_limit_is_refused() {
    let host = VideoHost::start().await.unwrap();
    let url = host.serve("/clip.mp4", Reply::bytes(numbered(5, true).await));
    let limits = MediaLimits { max_pixels: 5000, ..MediaLimits::default() };
    let format = FrameFormat { width: 32, height: 16, sampling: Sampling::Every };
    let error = media_with(limits).await.frames(&url, format, soon()).await.unwrap_err();
    assert!(matches!(error, MediaError::TooLarge { limit: 5000, .. }), "{error}");
}

#[tokio::test]
async fn the_deadline_is_an_error_that_counts_the_frames() {
    let clip = noisy(320, 180, 40, true).await;
    let host = VideoHost::start().await.unwrap();
    let url = host.serve("/clip.mp4", Reply::bytes(clip.clone()).stalling_at(clip.len() as u64 * 3 / 4));
    let deadline = Instant::now() + Duration::from_secs(4);
    let mut stream = media().await.frames(&url, every(), deadline).await.unwrap();
    let (frames, outcome) = all(&mut stream).await;
    let error = outcome.unwrap_err();
    assert!(matches!(error, MediaError::Timeout(_)), "{error:?}");
    assert!(frames.len() < 40);
    assert!(stream.next().await.unwrap().is_none(), "an error is told once, then the stream has ended");
}

#[tokio::test]
async fn a_stream_that_nobody_reads_stops_the_download() {
    // 36 MB, more than the kernel's buffers of two sockets and a pipe can hold together: a reader that stands
    // still must hold the server up.
    let clip = noisy(640, 360, 180, true).await;
    let host = VideoHost::start().await.unwrap();
    let url = host.serve("/clip.mp4", Reply::bytes(clip.clone()));
    let format = FrameFormat { width: 640, height: 360, sampling: Sampling::Every };
    let stream = media().await.frames(&url, format, soon()).await.unwrap();
    let total = clip.len() as u64;
    let mut last = 0;
    // Settled when nothing more was sent for a while.
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let sent = host.bytes_sent();
        if sent == last && sent > 0 {
            break;
        }
        last = sent;
    }
    assert!(last < total, "the whole clip ({total} bytes) was taken though nobody reads");
    drop(stream);
}

/// The process numbers of this test's decoders, told apart by the size they scale to.
fn decoders(scale: &str) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers
        .filter(|pid: &u32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(scale)
        })
        .collect()
}

#[tokio::test]
async fn dropping_the_stream_kills_the_decoder_and_ends_the_download() {
    let clip = noisy(640, 360, 30, true).await;
    let host = VideoHost::start().await.unwrap();
    let url = host.serve("/clip.mp4", Reply::bytes(clip).throttled(4_000_000));
    let format = FrameFormat { width: 66, height: 38, sampling: Sampling::Every };
    let mut stream = media().await.frames(&url, format, soon()).await.unwrap();
    stream.next().await.unwrap().unwrap();
    assert_eq!(decoders("scale=66:38:").len(), 1);
    drop(stream);
    let until = Instant::now() + Duration::from_secs(20);
    while !decoders("scale=66:38:").is_empty() {
        assert!(Instant::now() < until, "the decoder still runs");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // At this rate the rest of the clip would take many seconds more.
    assert!(host.served()[0].finished.is_none());
}
