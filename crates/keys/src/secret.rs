//! What a key is made from, and with it everything that a key file can hold.

use std::fmt;
use std::str::FromStr;

use zeroize::Zeroizing;

use crate::{Hotkey, Keypair, Phrase, UriError, WordCount};

/// A 32-byte mini-secret, which Bittensor calls the seed. Wiped when dropped; cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Seed(Zeroizing<[u8; 32]>);

/// A text that is no seed. Does not quote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a seed is 64 hex digits, with or without 0x before them")]
pub struct SeedError;

impl Seed {
    /// Copies the 32 bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(Zeroizing::new(*bytes))
    }

    /// The bytes themselves.
    #[must_use]
    pub fn expose_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for Seed {
    type Err = SeedError;

    fn from_str(text: &str) -> Result<Self, SeedError> {
        let mut seed = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(text), seed.as_mut_slice())
            .map_err(|_| SeedError)?;
        Ok(Self(seed))
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(secret)")
    }
}

/// 64 bytes that are no private key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a private key in schnorrkel's form (64 bytes: a scalar, then a nonce)")]
pub struct PrivateKeyError;

/// A key with the phrase and the seed that it was made from, as far as they are known: a seed has no
/// phrase, and a key derived by a uri has neither. Prints only the address.
pub struct Secret {
    phrase: Option<Phrase>,
    seed: Option<Seed>,
    pair: Keypair,
}

impl Secret {
    /// A new key with a new phrase.
    #[must_use]
    pub fn generate(words: WordCount) -> Self {
        Self::from_phrase(Phrase::generate(words))
    }

    /// The key of a phrase.
    #[must_use]
    pub fn from_phrase(phrase: Phrase) -> Self {
        let secret = Self::from_seed(phrase.seed(""));
        Self { phrase: Some(phrase), ..secret }
    }

    /// The key of a seed.
    #[must_use]
    pub fn from_seed(seed: Seed) -> Self {
        Self { phrase: None, pair: Keypair::from_seed(seed.expose_bytes()), seed: Some(seed) }
    }

    /// The key that a uri names: a phrase, `0x` and a seed, or nothing (the development phrase), then
    /// `//hard` and `/soft` junctions, then `///password`.
    ///
    /// # Errors
    /// Where the text is no such uri.
    pub fn from_uri(uri: &str) -> Result<Self, UriError> {
        Ok(Self { phrase: None, seed: None, pair: Keypair::from_uri(uri)? })
    }

    /// The key of 64 bytes, scalar and nonce, as `privateKey` of a key file has them.
    ///
    /// # Errors
    /// Where the scalar is out of range.
    pub fn from_private_key(bytes: &[u8; 64]) -> Result<Self, PrivateKeyError> {
        Ok(Self { phrase: None, seed: None, pair: Keypair::from_private_key(bytes)? })
    }

    /// The public half.
    #[must_use]
    pub fn address(&self) -> Hotkey {
        self.pair.hotkey()
    }

    /// The phrase, where the key has one.
    #[must_use]
    pub fn phrase(&self) -> Option<&Phrase> {
        self.phrase.as_ref()
    }

    /// The seed, where it is known.
    #[must_use]
    pub fn seed(&self) -> Option<&Seed> {
        self.seed.as_ref()
    }

    /// The key pair.
    #[must_use]
    pub fn keypair(&self) -> &Keypair {
        &self.pair
    }

    /// Keeps the key pair, wipes the rest.
    #[must_use]
    pub fn into_keypair(self) -> Keypair {
        self.pair
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret(of {})", self.address())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_key_comes_back_from_its_bytes() {
        let pair = Keypair::generate();
        let again = Secret::from_private_key(&pair.private_key()).unwrap();
        assert_eq!(again.address(), pair.hotkey());
        assert!(again.keypair().sign(b"m").verifies(b"m", &pair.hotkey()));
    }

    #[test]
    fn bytes_that_are_no_scalar_are_no_private_key() {
        assert_eq!(Secret::from_private_key(&[0xff; 64]).unwrap_err(), PrivateKeyError);
    }

    #[test]
    fn a_seed_reads_with_and_without_prefix_and_nothing_else() {
        let digits = "ab".repeat(32);
        assert_eq!(digits.parse::<Seed>(), format!("0x{digits}").parse());
        for text in ["", "0x", &digits[1..], &format!("{digits}ab"), &"zz".repeat(32)] {
            assert_eq!(text.parse::<Seed>(), Err(SeedError));
        }
    }

    #[test]
    fn secrets_print_no_more_than_the_address() {
        let secret = Secret::generate(WordCount::Twelve);
        let shown = format!("{secret:?} {:?}", secret.seed());
        assert_eq!(shown, format!("Secret(of {}) Some(Seed(secret))", secret.address()));
    }
}
