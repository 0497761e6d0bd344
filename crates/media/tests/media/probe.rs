//! Counting frames and spooling files, from servers and bodies of every sort.

use std::time::Duration;

use adit_media::{ClipInfo, FrameRate, MediaError, MediaLimits};
use adit_stand_in::video_host::{Reply, VideoHost};
use tokio::time::Instant;

use crate::clips::{made, media, media_with, noisy, numbered, soon};

/// The frame count of a body, as the server sends it.
async fn count(reply: Reply) -> Result<ClipInfo, MediaError> {
    let host = VideoHost::start().await.unwrap();
    let url = host.serve("/clip.mp4", reply);
    media().await.frame_count(&url, soon()).await
}

#[tokio::test]
async fn the_table_tells_frames_size_rate_and_codec() {
    let info = count(Reply::bytes(numbered(60, true).await)).await.unwrap();
    assert_eq!((info.frames, info.presented), (60, Some(60)));
    assert_eq!((info.width, info.height), (128, 64));
    assert_eq!(info.frame_rate, FrameRate { num: 25, den: 1 });
    assert_eq!(info.codec.to_string(), "avc1");
    assert!(!info.fragmented);
}

#[tokio::test]
async fn counting_a_fast_start_clip_downloads_only_its_head() {
    let clip = noisy(640, 360, 30, true).await;
    let host = VideoHost::start().await.unwrap();
    // Slow enough that what was sent tells when the download was ended.
    let url = host.serve("/clip.mp4", Reply::bytes(clip.clone()).throttled(8_000_000));
    let info = media().await.frame_count(&url, soon()).await.unwrap();
    assert_eq!(info.frames, 30);
    let sent = host.bytes_sent();
    assert!(sent < clip.len() as u64 / 4, "{sent} of {} bytes", clip.len());
}

#[tokio::test]
async fn a_table_at_the_end_is_fetched_by_range() {
    let clip = noisy(640, 360, 30, false).await;
    let host = VideoHost::start().await.unwrap();
    let url = host.serve("/clip.mp4", Reply::bytes(clip.clone()).with_ranges().throttled(8_000_000));
    let info = media().await.frame_count(&url, soon()).await.unwrap();
    assert_eq!(info.frames, 30);
    let sent = host.bytes_sent();
    assert!(sent < clip.len() as u64 / 4, "{sent} of {} bytes", clip.len());
    assert!(host.served()[1].range.is_some());
}

#[tokio::test]
async fn a_table_at_the_end_is_read_up_to_where_ranges_are_not_offered() {
    let clip = numbered(60, false).await;
    for reply in [Reply::bytes(clip.clone()), Reply::bytes(clip).without_length()] {
        assert_eq!(count(reply).await.unwrap().frames, 60);
    }
}

#[tokio::test]
async fn fragments_are_summed() {
    let clip = numbered(60, true).await;
    let fragmented = made(
        &clip,
        "mp4",
        "-i IN -f lavfi -i sine=d=2.4 -c:v copy -c:a aac -movflags frag_keyframe+empty_moov OUT",
    );
    let info = count(Reply::bytes(fragmented)).await.unwrap();
    assert!(info.fragmented);
    assert_eq!((info.frames, info.presented), (60, Some(60)));
    assert!((info.frame_rate.as_f64() - 25.0).abs() < 0.1, "{:?}", info.frame_rate);
}

#[tokio::test]
async fn a_file_holds_the_body_and_is_removed_when_dropped() {
    let clip = numbered(10, false).await;
    let host = VideoHost::start().await.unwrap();
    let url = host.serve("/clip.mp4", Reply::bytes(clip.clone()));
    let file = media().await.file(&url, soon()).await.unwrap();
    assert_eq!(file.info().frames, 10);
    assert_eq!(file.path().extension().unwrap(), "mp4");
    assert_eq!(std::fs::read(file.path()).unwrap(), clip);
    let path = file.path().to_owned();
    drop(file);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_failed_spool_leaves_no_file_behind() {
    let folder = tempfile::tempdir().unwrap();
    let limits = MediaLimits { spool_dir: folder.path().to_owned(), ..MediaLimits::default() };
    let host = VideoHost::start().await.unwrap();
    let url = host.serve("/clip.mp4", Reply::bytes(numbered(10, false).await).cut_at(500));
    let error = media_with(limits).await.file(&url, soon()).await.unwrap_err();
    assert!(matches!(error, MediaError::Truncated(_)), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn bodies_that_are_no_clip_say_what_they_lack() {
    let sound = made(b"", "mp4", "-f lavfi -i sine=d=1 -c:a aac OUT");
    let picture = made(b"", "png", "-f lavfi -i testsrc=s=64x64 -frames:v 1 OUT");
    let webm = made(&numbered(5, true).await, "mkv", "-i IN -c copy OUT");
    for (body, what) in [
        (vec![], "empty"),
        (b"<!DOCTYPE html><html><body>sign in</body></html>".to_vec(), "MP4"),
        (picture, "MP4"),
        (webm, "MP4"),
        (sound, "sound only"),
        (b"\0\0\0\x08free".to_vec(), "too short"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isomavc1\0\0\0\x08free".to_vec(), "no sample table"),
    ] {
        let error = count(Reply::bytes(body)).await.unwrap_err();
        assert!(matches!(error, MediaError::NotVideo(_)), "{error:?}");
        assert!(error.to_string().contains(what), "{error}");
    }
}

#[tokio::test]
async fn a_body_shorter_than_its_table_says_is_truncated() {
    let clip = numbered(60, true).await;
    let half = clip.len() / 2;
    // Cut by whoever stored it: Content-Length is that of the half.
    let error = count(Reply::bytes(clip[..half].to_vec())).await.unwrap_err();
    assert!(matches!(error, MediaError::Truncated(_)), "{error}");
    let end = numbered(60, false).await;
    for reply in [Reply::bytes(end[..half].to_vec()), Reply::bytes(end[..half].to_vec()).with_ranges()] {
        let error = count(reply).await.unwrap_err();
        assert!(matches!(error, MediaError::Truncated(_)), "{error}");
    }
}

#[tokio::test]
async fn a_table_that_contradicts_itself_is_corrupt() {
    let mut clip = numbered(60, true).await;
    let stsz = clip.windows(4).position(|name| name == b"stsz").unwrap();
    // A sample count beyond the list.
    clip[stsz + 12..stsz + 16].copy_from_slice(&u32::MAX.to_be_bytes());
    let error = count(Reply::bytes(clip)).await.unwrap_err();
    assert!(matches!(error, MediaError::Corrupt(_)), "{error}");
}

#[tokio::test]
async fn a_clip_of_too_many_frames_is_refused() {
    let limits = MediaLimits { max_frames: 59, ..MediaLimits::default() };
    let host = VideoHost::start().await.unwrap();
    let url = host.serve("/clip.mp4", Reply::bytes(numbered(60, true).await));
    let error = media_with(limits).await.frame_count(&url, soon()).await.unwrap_err();
    assert!(matches!(error, MediaError::TooLarge { limit: 59, .. }), "{error}");
}

#[tokio::test]
async fn frames_are_counted_before_their_lists_are_walked() {
    let mut clip = numbered(60, true).await;
    // Four billion samples of one size need no list, and have no place in the file either.
    let stsz = clip.windows(4).position(|name| name == b"stsz").unwrap();
    clip[stsz + 8..stsz + 12].copy_from_slice(&1_u32.to_be_bytes());
    clip[stsz + 12..stsz + 16].copy_from_slice(&u32::MAX.to_be_bytes());
    let error = count(Reply::bytes(clip)).await.unwrap_err();
    assert!(matches!(error, MediaError::TooLarge { limit: 1_000_000, .. }), "{error}");
}

#[tokio::test]
async fn an_endless_body_ends_at_the_size_limit() {
    let limits = MediaLimits { max_bytes: 4 << 20, ..MediaLimits::default() };
    let media = media_with(limits).await;
    let host = VideoHost::start().await.unwrap();
    // Media data to the end of the file, which never comes.
    let url = host.serve("/clip.mp4", Reply::bytes(&b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\0mdat"[..]).endless());
    for error in [
        media.frame_count(&url, soon()).await.unwrap_err(),
        media.file(&url, soon()).await.map(|_| ()).unwrap_err(),
    ] {
        assert!(matches!(error, MediaError::TooLarge { limit, .. } if limit == 4 << 20), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_falls_silent_is_not_reachable() {
    let limits = MediaLimits { idle: Duration::from_secs(2), ..MediaLimits::default() };
    let host = VideoHost::start().await.unwrap();
    let url = host.serve("/clip.mp4", Reply::bytes(numbered(60, true).await).stalling_at(100));
    let error = media_with(limits).await.frame_count(&url, soon()).await.unwrap_err();
    assert!(matches!(error, MediaError::NotReachable(_)), "{error}");
}

#[tokio::test]
async fn the_deadline_ends_a_slow_download() {
    let host = VideoHost::start().await.unwrap();
    let url = host.serve("/clip.mp4", Reply::bytes(numbered(60, false).await).throttled(800));
    let deadline = Instant::now() + Duration::from_secs(3);
    let error = media().await.file(&url, deadline).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, MediaError::Timeout(_)), "{error}");
}

#[tokio::test]
async fn a_redirect_into_the_hosts_own_networks_is_not_reachable() {
    let host = VideoHost::start().await.unwrap();
    let guard = adit_outbound::AddressGuard::public_only().allowing("localhost").unwrap();
    let client = adit_outbound::Client::new(guard).unwrap();
    let media = adit_media::Media::new(client, crate::clips::ffmpeg().await, MediaLimits::default());
    for target in ["http://169.254.169.254/latest/", "http://127.0.0.1/"] {
        host.serve("/clip.mp4", Reply::redirect(target));
        let url = format!("http://localhost:{}/clip.mp4", host.address().port());
        let error = media.frame_count(&url, soon()).await.unwrap_err();
        assert!(matches!(error, MediaError::NotReachable(_)), "{error}");
        assert!(error.to_string().contains("refused"), "{error}");
    }
}
