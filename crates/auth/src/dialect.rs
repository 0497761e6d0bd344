//! The message forms that validators sign.

use std::fmt;
use std::str::FromStr;

use blake2::Blake2b;
use blake2::digest::consts::U32;
use sha2::{Digest as _, Sha256};

/// A form of the signed message (private-track reference, section 3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// `nonce:miner_hotkey:sha256(body)`, as fiber's client signs.
    Fiber,
    /// `nonce` followed at once by `blake2b256(body)`, as both generations of Score's validator sign.
    /// It does not cover the miner's hotkey: another miner that got the same request can replay it
    /// here while its nonce is young.
    Score,
}

/// A name that is no dialect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no dialect: fiber and score are")]
pub struct UnknownDialect(String);

impl Dialect {
    /// Every dialect.
    pub const ALL: [Self; 2] = [Self::Fiber, Self::Score];

    /// The bytes that are signed.
    #[must_use]
    pub fn message(self, nonce: &str, miner: &str, body: &[u8]) -> Vec<u8> {
        let message = match self {
            Self::Fiber => format!("{nonce}:{miner}:{}", hex::encode(Sha256::digest(body))),
            Self::Score => format!("{nonce}{}", hex::encode(Blake2b::<U32>::digest(body))),
        };
        message.into_bytes()
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Fiber => "fiber",
            Self::Score => "score",
        })
    }
}

impl FromStr for Dialect {
    type Err = UnknownDialect;

    fn from_str(text: &str) -> Result<Self, UnknownDialect> {
        let found = Self::ALL.into_iter().find(|dialect| dialect.to_string() == text);
        found.ok_or_else(|| UnknownDialect(text.to_owned()))
    }
}
