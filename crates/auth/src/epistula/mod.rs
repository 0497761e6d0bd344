//! Epistula v2: how subnet 34's validators sign requests, and how a miner signs its webhooks (generative
//! reference, section 3).
//!
//! What is signed is the body's hash, a uuid, a time in milliseconds and the receiver's hotkey; path, method
//! and other headers are not. A request passes in this order, which is upstream's:
//!
//! 1. [`Policy::check_headers`]: version, addressee, signer and its stake, the rest there and in shape, time;
//! 2. [`Claim::check_body`]: the signature over the body exactly as it arrived;
//! 3. [`NonceStore::remember`](crate::NonceStore::remember), with the uuid as the nonce, for [`retention`].
//!    Upstream has no such memory: a request that somebody overheard is paid for again.
//!
//! These are pure: time and stakes are passed in. [`Gate`] applies them to axum routes. [`sign`] is the
//! sender's side.
//!
//! ```
//! use std::collections::HashMap;
//! use std::time::{Duration, SystemTime};
//!
//! use adit_auth::epistula::{Policy, sign};
//! use adit_auth::{StakeTable, unix_nanos};
//! use adit_keys::Keypair;
//! use sha2::{Digest as _, Sha256};
//!
//! let (validator, miner) = (Keypair::generate(), Keypair::generate());
//! let now = Duration::from_secs(1_780_000_000);
//! let headers = sign(&validator, &Sha256::digest("{}").into(), "a-uuid", now.as_millis() as u64, Some(&miner.hotkey()))?;
//!
//! let stakes = StakeTable::new(HashMap::from([(validator.hotkey(), 20_000.0)]), SystemTime::now());
//! let policy = Policy { own_hotkey: miner.hotkey(), min_stake: Some(20_000.0) };
//! let claim = policy.check_headers(&headers, Some(&stakes), now.as_nanos())?;
//! assert_eq!(claim.check_body(b"{}")?.signer, validator.hotkey());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod gate;
mod policy;
mod refusal;
mod sender;

use std::fmt::Display;

pub use gate::{Gate, GateConfig, admit};
pub use policy::{Claim, MIN_STAKE, Policy, Verified, WINDOW, retention};
pub use refusal::Refusal;
pub use sender::{UuidError, sign};

const VERSION: &str = "epistula-version";
const TIMESTAMP: &str = "epistula-timestamp";
const UUID: &str = "epistula-uuid";
const SIGNED_BY: &str = "epistula-signed-by";
const SIGNED_FOR: &str = "epistula-signed-for";
const SIGNATURE: &str = "epistula-request-signature";

/// The version spoken here, as the header has it.
const SPOKEN: &str = "2";

/// The text that is signed; `signed_for` is empty in a message to nobody.
fn message(body_sha256: &[u8; 32], uuid: &str, timestamp: impl Display, signed_for: &str) -> String {
    format!("{}.{uuid}.{timestamp}.{signed_for}", hex::encode(body_sha256))
}
