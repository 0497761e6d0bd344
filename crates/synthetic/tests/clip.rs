//! The drawn match as a file.

use std::fs;
use std::time::Duration;

use adit_media::{Ffmpeg, Media, MediaLimits};
use adit_outbound::{AddressGuard, Client};
use adit_stand_in::video_host::{Reply, VideoHost};
use adit_synthetic::{Match, MatchFormat};
use tokio::time::Instant;

#[tokio::test]
async fn the_clip_has_exactly_the_frames_that_were_drawn() {
    let deadline = Instant::now() + Duration::from_secs(120);
    let ffmpeg = Ffmpeg::find(None).await.unwrap();
    let format = MatchFormat { width: 192, height: 108, fps: 25, seconds: 3 };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("match.mp4");
    let drawn = Match::new(1, format);
    drawn.write_clip(&ffmpeg, &path, deadline).await.unwrap();

    let clip = fs::read(path).unwrap();
    let position = |name: &[u8]| clip.windows(4).position(|four| four == name).unwrap();
    assert!(position(b"moov") < position(b"mdat"), "the clip is not fast-start");

    let host = VideoHost::start().await.unwrap();
    let url = host.serve("/match.mp4", Reply::bytes(clip));
    let client = Client::new(AddressGuard::unrestricted()).unwrap();
    let media = Media::new(client, ffmpeg, MediaLimits::default());
    let info = media.frame_count(&url, deadline).await.unwrap();
    assert_eq!((info.frames, drawn.frame_count()), (75, 75));
    assert_eq!((info.width, info.height), (192, 108));
    assert_eq!(info.frame_rate.as_f64(), 25.0);
}
