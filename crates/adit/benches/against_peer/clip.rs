//! The clip that challenges are about.

use std::path::Path;
use std::time::Duration;

use adit_media::{EncodeOptions, Ffmpeg};
use anyhow::Result;

/// 30 s at 25 frames a second, as a challenge has; small, which favours the peer, since it fetches the whole
/// clip and we stop at the sample table.
pub(crate) const FRAMES: u32 = 750;

/// Draws the clip into a file, and returns its bytes.
pub(crate) async fn draw(path: &Path) -> Result<Vec<u8>> {
    const WIDTH: u32 = 128;
    const HEIGHT: u32 = 72;
    let frames = (0..FRAMES).map(|frame| {
        // A grey ramp that moves slowly: something to encode, but little.
        (0..WIDTH * HEIGHT * 3).map(|byte| ((byte / 3 % WIDTH + frame / 8) % 256) as u8).collect()
    });
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    let ffmpeg = Ffmpeg::find(None).await?;
    ffmpeg.encode_h264(&EncodeOptions::new(WIDTH, HEIGHT, 25), frames, path, deadline).await?;
    Ok(std::fs::read(path)?)
}
