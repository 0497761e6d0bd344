//! A clip or picture under limits: probed, and decoded by ffmpeg while it arrives.
//!
//! [`Media`] answers the three needs that a predictor can have, and does no more than each needs: the frame
//! count ([`Media::frame_count`] reads the sample table and stops), a file ([`Media::file`]), or frames at a
//! size and rate ([`Media::frames`] feeds a decoder while the bytes still arrive). Still pictures are
//! [`Media::picture`]'s.
//!
//! Decoding is done by the `ffmpeg` program as a child process, one a clip, with its resources limited, killed
//! with whoever holds its output. So a bug or a bomb in a decoder takes nothing else with it. No other crate
//! knows ffmpeg. How a URL is fetched safely is `adit-outbound`'s.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use adit_media::{Ffmpeg, FrameFormat, Media, MediaLimits, Sampling};
//! use adit_outbound::{AddressGuard, Client};
//! use tokio::time::{Duration, Instant};
//!
//! let client = Client::new(AddressGuard::public_only())?;
//! let media = Media::new(client, Ffmpeg::find(None).await?, MediaLimits::default());
//! let deadline = Instant::now() + Duration::from_secs(20);
//! let format = FrameFormat { width: 398, height: 224, sampling: Sampling::PerSecond(12.5) };
//! let mut stream = media.frames("https://scoredata.me/clip.mp4", format, deadline).await?;
//! while let Some(frame) = stream.next().await? {
//!     println!("frame {} of {}", frame.index, stream.info().frames);
//! }
//! # Ok(())
//! # }
//! ```

mod complaints;
mod encode;
mod error;
mod ffmpeg;
mod frames;
mod limits;
mod media;
mod mp4;
mod picture;
mod pool;
mod sampling;
mod source;

pub use encode::EncodeOptions;
pub use error::MediaError;
pub use ffmpeg::Ffmpeg;
pub use frames::{Frame, FrameFormat, FrameStream};
pub use limits::MediaLimits;
pub use media::{ClipFile, Media};
pub use mp4::{ClipInfo, FourCc, FrameRate};
pub use picture::{Picture, PictureFormat, PictureSource};
pub use sampling::Sampling;
