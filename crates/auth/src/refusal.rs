//! Why a request is refused, for the caller and, in more words, for the log.

use adit_python::repr;
use http::StatusCode;
use serde_json::{Value, json};

use crate::{BodyError, Dialect, NonceError};

/// One reason. `Display` is for the log; [`Refusal::detail`] is what the caller is told, in the
/// words of the Python miner.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Headers that every dialect needs.
    #[error("headers missing in both spellings: {}", .0.join(", "))]
    MissingHeaders(Vec<&'static str>),
    /// Not digits with an optional suffix.
    #[error("nonce is not 1 to 20 digits with an optional _suffix")]
    NonceShape,
    /// More than 120 s from our clock.
    #[error(
        "nonce lies outside the 120 s window; if this happens to every validator, this host's clock is wrong"
    )]
    NonceWindow,
    /// Used before, or no room to remember it.
    #[error(transparent)]
    Nonce(#[from] NonceError),
    /// Meant for somebody else.
    #[error("addressed to another miner hotkey")]
    OtherMiner,
    /// Not in the stake table, or no table yet.
    #[error("validator hotkey is not in the stake table")]
    NotInMetagraph,
    /// Below the threshold.
    #[error("stake {stake} is below the threshold")]
    LowStake {
        /// What the table says.
        stake: f64,
    },
    /// Not even a signature, or a validator hotkey that is no address.
    #[error("{0}")]
    SignatureShape(String),
    /// Well formed, but of another message or key.
    #[error("signature verifies in none of the dialects tried: {}", list(.tried))]
    Signature {
        /// In the order tried.
        tried: Vec<Dialect>,
    },
    /// The body was not received.
    #[error(transparent)]
    Body(#[from] BodyError),
}

fn list(dialects: &[Dialect]) -> String {
    dialects.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Refusal {
    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::MissingHeaders(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::NonceShape
            | Self::NonceWindow
            | Self::Nonce(NonceError::Replayed)
            | Self::OtherMiner
            | Self::SignatureShape(_)
            | Self::Signature { .. } => StatusCode::UNAUTHORIZED,
            Self::NotInMetagraph | Self::LowStake { .. } => StatusCode::FORBIDDEN,
            Self::Nonce(NonceError::MemoryFull) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Body(error) => error.status(),
        }
    }

    /// The `detail` of the answer, in FastAPI's shape.
    #[must_use]
    pub fn detail(&self) -> Value {
        match self {
            Self::MissingHeaders(names) => names
                .iter()
                .map(|name| json!({"type": "missing", "loc": ["header", name], "msg": "Field required", "input": null}))
                .collect(),
            Self::NonceShape | Self::NonceWindow | Self::Nonce(NonceError::Replayed) => {
                "Invalid nonce".into()
            }
            Self::OtherMiner => "Invalid miner hotkey".into(),
            Self::SignatureShape(_) | Self::Signature { .. } => "Invalid signature".into(),
            Self::NotInMetagraph => "Hotkey not found in metagraph".into(),
            // The blank at the end is upstream's.
            Self::LowStake { stake } => format!("Insufficient stake of {} ", repr(*stake)).into(),
            Self::Nonce(NonceError::MemoryFull) => "Busy, try again later".into(),
            Self::Body(error) => error.detail().into(),
        }
    }

    /// A short name for a metric's label.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::MissingHeaders(_) => "missing_headers",
            Self::NonceShape => "nonce_shape",
            Self::NonceWindow => "nonce_window",
            Self::Nonce(error) => error.label(),
            Self::OtherMiner => "other_miner",
            Self::NotInMetagraph => "not_in_metagraph",
            Self::LowStake { .. } => "low_stake",
            Self::SignatureShape(_) => "signature_shape",
            Self::Signature { .. } => "signature",
            Self::Body(error) => error.label(),
        }
    }
}
