//! Bittensor keys: ss58 addresses ([`Hotkey`]), sr25519 signatures ([`Keypair`], [`Signature`]), what a
//! key is made from ([`Phrase`], [`Secret`]), key files ([`KeyFile`]) and wallet directories ([`Wallet`]).
//!
//! Secrets are wiped when dropped and cannot be printed, and no error quotes a key file. Nothing here
//! asks or prints; who may call a miner is decided in `auth`.
//!
//! ```
//! use adit_keys::{KeyFile, Overwrite, Protection, Secret, Wallet, WordCount};
//!
//! let folder = tempfile::tempdir()?;
//! let wallet = Wallet::new(folder.path(), "default", "miner")?;
//! let secret = Secret::generate(WordCount::Twelve);
//! wallet.store_hotkey(&secret, Protection::Plain, Overwrite::No)?;
//!
//! assert_eq!(wallet.hotkey_address()?, secret.address());
//! let opened = KeyFile::read(&wallet.hotkey_file())?.open(None)?;
//! assert!(opened.keypair().sign(b"hello").verifies(b"hello", &secret.address()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod keyfile;
mod message;
pub mod password;
mod phrase;
mod secret;
mod sr25519;
mod ss58;
mod uri;
mod wallet;

pub use keyfile::{Exposure, Format, KeyFile, KeyFileError, Overwrite, Protection, make_private};
pub use message::{MessageError, message_bytes};
pub use password::{Password, PasswordError};
pub use phrase::{Phrase, PhraseError, WordCount};
pub use secret::{PrivateKeyError, Secret, Seed, SeedError};
pub use sr25519::{Keypair, Signature, SignatureFormatError};
pub use ss58::{AddressError, Hotkey};
pub use uri::UriError;
pub use wallet::{Listed, ListedHotkey, Wallet, WalletNameError, list};
