//! Encodes drawn frames as an H.264 clip: for the synthetic match and for tests.

use std::path::Path;

use tokio::time::{Instant, timeout_at};

use crate::{Ffmpeg, MediaError, ffmpeg::ChildLimits};

/// How a drawn clip is encoded. The same frames and options give the same bytes with the same ffmpeg.
#[derive(Debug, Clone)]
pub struct EncodeOptions {
    /// Pixels a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Frames a second.
    pub fps: u32,
    /// The sample table first, so that a reader can start before the last byte is there.
    pub faststart: bool,
    /// x264's quality: 0 loses nothing, 51 is worst.
    pub crf: u8,
    /// Most B-frames in a row.
    pub b_frames: u8,
    /// Frames from one key frame to the next.
    pub key_interval: u32,
}

impl EncodeOptions {
    /// A fast-start clip of this size and rate, with two B-frames in a row and a key frame every two seconds.
    #[must_use]
    pub fn new(width: u32, height: u32, fps: u32) -> Self {
        Self {
            width,
            height,
            fps,
            faststart: true,
            crf: 20,
            b_frames: 2,
            key_interval: fps.saturating_mul(2),
        }
    }
}

impl Ffmpeg {
    /// Encodes `frames` (RGB24, `width * height * 3` bytes each) as an MP4 file at `path`, which is
    /// overwritten.
    ///
    /// # Errors
    /// [`MediaError::Unsupported`] for a frame of another size, [`MediaError::Program`] when the encoder
    /// fails, [`MediaError::Timeout`] at the deadline.
    pub async fn encode_h264(
        &self,
        options: &EncodeOptions,
        frames: impl IntoIterator<Item = Vec<u8>>,
        path: &Path,
        deadline: Instant,
    ) -> Result<(), MediaError> {
        let work = self.encode(options, frames, path, deadline);
        timeout_at(deadline, work)
            .await
            .unwrap_or_else(|_| Err(MediaError::Timeout("the encoder did not finish".to_owned())))
    }

    async fn encode(
        &self,
        options: &EncodeOptions,
        frames: impl IntoIterator<Item = Vec<u8>>,
        path: &Path,
        deadline: Instant,
    ) -> Result<(), MediaError> {
        let EncodeOptions { width, height, fps, .. } = *options;
        let target =
            path.to_str().ok_or_else(|| MediaError::Unsupported("a path that is not UTF-8".to_owned()))?;
        // Half-size colour planes need even sides.
        let pixels = if width % 2 == 0 && height % 2 == 0 { "yuv420p" } else { "yuv444p" };
        let arguments = [
            "-f rawvideo -pix_fmt rgb24 -s",
            &format!("{width}x{height} -r {fps} -i pipe:0"),
            &format!("-c:v libx264 -preset veryfast -threads 1 -pix_fmt {pixels} -crf {}", options.crf),
            &format!("-bf {} -g {}", options.b_frames, options.key_interval.max(1)),
            "-fflags +bitexact -flags:v +bitexact",
            if options.faststart { "-movflags +faststart" } else { "" },
            "-f mp4 -y",
        ]
        .join(" ");
        let target = format!("file:{target}");
        let arguments: Vec<&str> = arguments.split_whitespace().chain([target.as_str()]).collect();
        let mut encoder = self.start(&arguments, &ChildLimits::encoder(deadline))?;
        let mut input = encoder.take_input();
        let bytes = width as usize * height as usize * 3;
        for frame in frames {
            if frame.len() != bytes {
                return Err(MediaError::Unsupported(format!(
                    "a frame of {} bytes for {width}x{height} RGB24, which has {bytes}",
                    frame.len()
                )));
            }
            if !input.write(&frame).await? {
                break;
            }
        }
        drop(input);
        encoder.finish().await.map_err(MediaError::Program)
    }
}
