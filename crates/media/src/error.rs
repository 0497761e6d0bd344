//! What can go wrong with a clip or picture, by what the reader of the message can do about it.

use adit_outbound::FetchError;

/// Why a clip or picture could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MediaError {
    /// The URL could not be fetched: refused, unreachable, or answered with an error.
    #[error("cannot fetch it: {0}")]
    NotReachable(FetchError),
    /// More than a limit allows.
    #[error("{what} is over the limit of {limit}")]
    TooLarge {
        /// What is too large, with its unit.
        what: &'static str,
        /// The limit, in the same unit.
        limit: u64,
    },
    /// Time ran out before the answer was whole. No part of it is given.
    #[error("out of time: {0}")]
    Timeout(String),
    /// The body is no MP4 clip with video in it.
    #[error("not a video clip: {0}")]
    NotVideo(String),
    /// The body is no picture of a known format, or does not decode as one.
    #[error("not a picture: {0}")]
    NotPicture(String),
    /// The body ends before the clip does.
    #[error("the clip is cut short: {0}")]
    Truncated(String),
    /// The sample table contradicts itself.
    #[error("the clip's sample table is corrupt: {0}")]
    Corrupt(String),
    /// The decoder gave up, or gave another number of frames than the clip holds.
    #[error("decoded {decoded} of {} frames{}", count(*.promised), said(.message))]
    Decoder {
        /// Frames that were decoded.
        decoded: u64,
        /// Frames that the sample table promises; `None` where its edit list is not a simple one.
        promised: Option<u64>,
        /// What the decoder said first, shortened.
        message: String,
    },
    /// A valid request for something that is not offered.
    #[error("not supported: {0}")]
    Unsupported(String),
    /// `ffmpeg` is missing or cannot be run: a fault of this host, not of the clip.
    #[error("ffmpeg: {0}")]
    Program(String),
    /// A temporary file could not be written or read: a fault of this host, not of the clip.
    #[error("temporary file: {0}")]
    Disk(std::io::Error),
}

fn count(frames: Option<u64>) -> String {
    frames.map_or_else(|| "an unknown number of".to_owned(), |frames| frames.to_string())
}

fn said(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

impl From<FetchError> for MediaError {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::TooLarge { limit, .. } => Self::TooLarge { what: "the body in bytes", limit },
            FetchError::Idle { .. } | FetchError::Deadline { .. } => Self::Timeout(error.to_string()),
            FetchError::Interrupted { .. } => Self::Truncated(error.to_string()),
            other => Self::NotReachable(other),
        }
    }
}
