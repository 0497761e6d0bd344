//! The verdict that subnet 34's validators would reach on a file's C2PA data.
//!
//! A validator pays for nothing that this data does not vouch for, so a miner asks here before it delivers.
//! [`Verifier`] asks the C2PA library as a validator does, with the anchors that it has ([`TrustAnchors`]), and
//! applies its rules, those of the guide's time or today's ([`Era`]); [`Verdict`] says what came out, and
//! [`Refusal::remedy`] what would help. [`signing`] makes signed files with an authority of one's own, for
//! rehearsals and tests.
//!
//! This is the only place that knows the `c2pa` library. Nothing here uses the network.
//!
//! ```
//! use std::io::Cursor;
//! use adit_provenance::{Era, Refusal, TrustAnchors, Verifier};
//!
//! let verifier = Verifier::new(&TrustAnchors::default(), Era::Head)?;
//! let verdict = verifier.verify(Cursor::new(b"\x89PNG\r\n\x1a\n"))?;
//! assert!(matches!(verdict.refusal, Some(Refusal::NoManifest(_))));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod anchors;
mod format;
mod rules;
pub mod signing;
mod verdict;
mod verifier;

pub use anchors::{
    Anchor, AnchorError, AnchorFile, ExtraFile, ExtraFileError, Fingerprint, FingerprintError,
    MAX_ANCHOR_FILE, TrustAnchors,
};
pub use format::Format;
pub use verdict::{Era, FRESHNESS, Failure, Refusal, Signer, Stale, Verdict};
pub use verifier::{Verifier, VerifyError};
