//! Bittensor keys: ss58 addresses ([`Hotkey`]), sr25519 signatures ([`Keypair`], [`Signature`]) and
//! hotkey files ([`hotkey_file`]).
//!
//! Secrets are wiped when dropped and cannot be printed. Who may call a miner is decided in `auth`.

pub mod hotkey_file;
mod sr25519;
mod ss58;

pub use sr25519::{Keypair, Signature, SignatureFormatError};
pub use ss58::{AddressError, Hotkey};
