//! How much a clip or picture may cost this host.

use std::{num::NonZero, path::PathBuf, thread::available_parallelism, time::Duration};

use adit_outbound::Limits;
use tokio::time::Instant;

/// How much a clip or picture may cost this host. The deadline comes with each request.
#[derive(Debug, Clone)]
pub struct MediaLimits {
    /// Largest clip in bytes.
    pub max_bytes: u64,
    /// Largest picture in bytes (private-track reference, section 4: 25 MiB).
    pub max_picture_bytes: u64,
    /// Most pixels of one frame of a clip, or of one frame that a predictor asks for.
    pub max_pixels: u64,
    /// Most pixels of a picture.
    pub max_picture_pixels: u64,
    /// Most frames of a clip.
    pub max_frames: u64,
    /// Longest silence of a server in the middle of a body.
    pub idle: Duration,
    /// How many redirects are followed.
    pub redirects: u32,
    /// Address space of one decoder, in bytes.
    pub decoder_memory: u64,
    /// Threads of one decoder. By default one more than there are cores, up to five: the program's own thread scales
    /// what they decode.
    pub decoder_threads: usize,
    /// Where clips are spooled that cannot be decoded from a pipe.
    pub spool_dir: PathBuf,
}

impl Default for MediaLimits {
    fn default() -> Self {
        Self {
            max_bytes: 1 << 30,
            max_picture_bytes: 25 << 20,
            max_pixels: 4096 * 2304,
            max_picture_pixels: 50_000_000,
            max_frames: 1_000_000,
            idle: Duration::from_secs(10),
            redirects: 5,
            decoder_memory: 2 << 30,
            decoder_threads: available_parallelism().map_or(1, NonZero::get).min(4) + 1,
            spool_dir: std::env::temp_dir(),
        }
    }
}

impl MediaLimits {
    pub(crate) fn fetch(&self, max_bytes: u64, deadline: Instant) -> Limits {
        Limits { idle: self.idle, redirects: self.redirects, ..Limits::new(deadline, max_bytes) }
    }
}
