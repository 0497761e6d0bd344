//! What can go wrong with a clip or picture, by what the reader of the message can do about it.

use std::path::PathBuf;

use adit_outbound::FetchError;

/// Why a clip or picture could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MediaError {
    /// The URL could not be fetched: refused, unreachable, silent, or answered with an error.
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
    /// A clip on this host cannot be read.
    #[error("{} cannot be read: {cause}", path.display())]
    File {
        /// Where it should be.
        path: PathBuf,
        /// What the system says.
        cause: std::io::Error,
    },
}

impl MediaError {
    /// What a stranger is told: a fixed text for each variant, with the numbers that are about his own clip.
    ///
    /// It holds nothing of this host, such as paths, and whatever keeps a URL from being fetched reads the
    /// same: else a miner would tell whoever asks which hosts, ports and pages it can reach. `Display` has the
    /// whole, for the log.
    #[must_use]
    pub fn for_caller(&self) -> String {
        let text = match self {
            Self::NotReachable(_) => "the clip cannot be fetched",
            Self::Timeout(_) => "out of time",
            Self::NotVideo(_) => "not a video clip",
            Self::NotPicture(_) => "not a picture",
            Self::Truncated(_) => "the clip is cut short",
            Self::Corrupt(_) => "the clip's sample table is corrupt",
            Self::Unsupported(_) => "the clip is of a kind that is not supported",
            Self::Program(_) | Self::Disk(_) | Self::File { .. } => "the miner cannot decode clips now",
            Self::TooLarge { what, limit } => return format!("{what} is over the limit of {limit}"),
            Self::Decoder { decoded, promised, .. } => {
                return format!("decoded {decoded} of {} frames", count(*promised));
            }
        };
        text.to_owned()
    }
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
            // A port that takes a connection and says nothing is no clip that is late.
            FetchError::Deadline { received, .. } if received > 0 => Self::Timeout(error.to_string()),
            FetchError::Interrupted { .. } => Self::Truncated(error.to_string()),
            other => Self::NotReachable(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_stranger_cannot_tell_why_a_url_cannot_be_fetched() {
        let host = || "10.0.0.7:22".to_owned();
        for error in [
            FetchError::BadUrl { reason: "its scheme is \"file\"".to_owned() },
            FetchError::Refused { host: host(), what: "a private address" },
            FetchError::Connect { host: host(), cause: "connection refused".to_owned() },
            FetchError::Lost { host: host(), cause: "connection reset".to_owned() },
            FetchError::Idle { host: host(), waited: Duration::from_secs(10) },
            FetchError::Deadline { host: host(), received: 0 },
            FetchError::Status { host: host(), status: 403 },
            FetchError::Redirect { host: host(), reason: "without a usable Location".to_owned() },
        ] {
            let shown = MediaError::from(error.clone()).for_caller();
            assert_eq!(shown, "the clip cannot be fetched", "{error}");
        }
    }

    #[test]
    fn a_stranger_is_told_numbers_and_no_words_that_were_found_at_run_time() {
        let secret = || "/srv/secret".to_owned();
        let io = || std::io::Error::other(secret());
        for (error, numbers) in [
            (MediaError::TooLarge { what: "the clip's size in pixels", limit: 77 }, "77"),
            (MediaError::Timeout(secret()), ""),
            (MediaError::NotVideo(secret()), ""),
            (MediaError::NotPicture(secret()), ""),
            (MediaError::Truncated(secret()), ""),
            (MediaError::Corrupt(secret()), ""),
            (MediaError::Decoder { decoded: 3, promised: Some(40), message: secret() }, "3 of 40"),
            (MediaError::Unsupported(secret()), ""),
            (MediaError::Program(secret()), ""),
            (MediaError::Disk(io()), ""),
            (MediaError::File { path: secret().into(), cause: io() }, ""),
        ] {
            let shown = error.for_caller();
            assert!(!shown.contains("secret") && shown.contains(numbers), "{shown}");
        }
    }
}
