//! Who may call a miner.
//!
//! On subnet 44 two named message forms ([`Dialect`]) in two header spellings are accepted, because no two
//! generations of Score's validator sign alike (private-track reference, sections 3.3 to 3.6).
//! A request passes in this order, cheapest first:
//!
//! 1. [`Policy::check_headers`]: headers there and bounded, nonce shape and window, addressee, stake;
//! 2. [`Claim::check_body`]: the signature over the body exactly as it arrived;
//! 3. [`NonceStore::remember`]: only a request that passed all else is remembered, so that strangers
//!    can neither fill the memory nor burn a validator's nonces.
//!
//! These three are pure: time and stakes are passed in. [`Gate`] applies them to an axum route.
//!
//! [`epistula`] has the same three steps for subnet 34, and signs webhooks.

mod body;
mod dialect;
pub mod epistula;
mod gate;
mod nonce;
mod policy;
mod refusal;
mod stake;

pub use body::BodyError;
pub use dialect::{Dialect, UnknownDialect};
pub use gate::{Gate, GateConfig, GateLayer, GateService};
pub use nonce::{Nonce, NonceError, NonceStore, RETENTION, UnixNanos, WINDOW, unix_nanos};
pub use policy::{Claim, Policy, Spelling, StakeGate, Verified, sign_headers};
pub use refusal::Refusal;
pub use stake::{StakeTable, StakesInForce};
