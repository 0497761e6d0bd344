//! Why a request is refused, in upstream's words to the caller and in more to the log.

use adit_python::repr;
use http::StatusCode;

use super::WINDOW;
use crate::{BodyError, NonceError};

/// One reason. `Display` is for the log, [`Refusal::detail`] for the caller.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Another version, or none.
    #[error("Epistula-Version is not 2")]
    Version,
    /// Signed for somebody else, or for nobody.
    #[error("Epistula-Signed-For is not this miner's hotkey")]
    OtherMiner,
    /// No table of hotkeys was ever read.
    #[error("the subnet's hotkeys are not known yet")]
    NoMetagraph,
    /// The signer is not in the table, or is no address.
    #[error("Epistula-Signed-By is not a hotkey of the subnet")]
    NotInMetagraph,
    /// Below the threshold.
    #[error("stake {stake} is below the threshold")]
    LowStake {
        /// What the table says.
        stake: f64,
    },
    /// No signature.
    #[error("Epistula-Request-Signature is missing")]
    NoSignature,
    /// No time, or none that Python's `int()` reads.
    #[error("Epistula-Timestamp is missing or no whole number")]
    Timestamp,
    /// No uuid, or one that is too long.
    #[error("Epistula-Uuid is missing or too long")]
    Uuid,
    /// Older than [`WINDOW`].
    #[error(
        "signed {} s ago; if this happens to every validator, this host's clock is wrong", seconds(*.age_ms)
    )]
    Stale {
        /// Milliseconds since it was signed.
        age_ms: i128,
    },
    /// Further ahead than [`WINDOW`].
    #[error(
        "signed {} s in the future; if this happens to every validator, this host's clock is wrong",
        seconds(*.ahead_ms)
    )]
    Future {
        /// Milliseconds until the time it bears.
        ahead_ms: i128,
    },
    /// Not even a signature.
    #[error("Epistula-Request-Signature is not 0x and 128 hex digits")]
    SignatureShape,
    /// Well formed, but of another message or key.
    #[error("the signature is not the signer's over this message")]
    Mismatch,
    /// The uuid was used before, or there is no room to remember it.
    #[error(transparent)]
    Nonce(#[from] NonceError),
    /// The body was not received.
    #[error(transparent)]
    Body(#[from] BodyError),
}

/// Milliseconds as `f"{ms / 1000.0:.1f}"` writes them.
fn seconds(ms: i128) -> String {
    format!("{:.1}", ms as f64 / 1000.0)
}

impl Refusal {
    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NotInMetagraph | Self::LowStake { .. } => StatusCode::UNAUTHORIZED,
            Self::NoMetagraph | Self::Nonce(NonceError::MemoryFull) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Body(error) => error.status(),
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// The `detail` of the answer.
    #[must_use]
    pub fn detail(&self) -> String {
        let limit = repr(WINDOW.as_secs_f64());
        match self {
            Self::Version => "Unknown Epistula version".to_owned(),
            Self::OtherMiner => "Bad Request, message is not intended for self".to_owned(),
            Self::NoMetagraph => "Metagraph not known yet, try again later".to_owned(),
            Self::NotInMetagraph => "Signer not in metagraph".to_owned(),
            // As Python prints a float: `0.0` in s039.
            Self::LowStake { stake } => format!("Stake below minimum: {}", repr(*stake)),
            // Upstream raises on a malformed one (500 in s057, s058, s060 to s063).
            Self::NoSignature | Self::SignatureShape => "Invalid Signature".to_owned(),
            Self::Timestamp => "Invalid Timestamp".to_owned(),
            Self::Uuid => "Invalid uuid".to_owned(),
            Self::Stale { age_ms } => {
                format!("Request is too stale: {}s old (limit: {limit}s)", seconds(*age_ms))
            }
            Self::Future { ahead_ms } => {
                format!("Request timestamp is in the future: {}s ahead (limit: {limit}s)", seconds(*ahead_ms))
            }
            Self::Mismatch => "Signature Mismatch".to_owned(),
            Self::Nonce(NonceError::Replayed) => {
                "Epistula-Uuid was used before, sign each request afresh".to_owned()
            }
            Self::Nonce(NonceError::MemoryFull) => "Busy, try again later".to_owned(),
            Self::Body(error) => error.detail(),
        }
    }

    /// A short name for a metric's label.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::OtherMiner => "other_miner",
            Self::NoMetagraph => "no_metagraph",
            Self::NotInMetagraph => "not_in_metagraph",
            Self::LowStake { .. } => "low_stake",
            Self::NoSignature => "no_signature",
            Self::Timestamp => "timestamp",
            Self::Uuid => "uuid",
            Self::Stale { .. } => "stale",
            Self::Future { .. } => "future",
            Self::SignatureShape => "signature_shape",
            Self::Mismatch => "signature",
            Self::Nonce(error) => error.label(),
            Self::Body(error) => error.label(),
        }
    }
}
