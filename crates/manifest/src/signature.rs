//! Whether a Manifest is signed by the one who should have.

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::signature::{ED25519, UnparsedPublicKey};

use crate::Manifest;

/// An Ed25519 public key. Text of it is hex or base64.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

/// The text is not 32 bytes in hex or base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an Ed25519 public key is 32 bytes, written in hex (64 digits) or base64")]
pub struct BadPublicKey;

/// Why a signature does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// There is none.
    #[error("the Manifest is not signed")]
    Missing,
    /// It is not 64 bytes in hex.
    #[error("the Manifest's signature is not 64 bytes in hex")]
    Malformed,
    /// It is by another key, or over other content.
    #[error("the Manifest's signature is not by this key over this content")]
    Wrong,
}

impl From<[u8; 32]> for PublicKey {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl FromStr for PublicKey {
    type Err = BadPublicKey;

    fn from_str(text: &str) -> Result<Self, BadPublicKey> {
        let text = text.trim();
        let bytes = hex::decode(text).ok().or_else(|| STANDARD.decode(text).ok()).ok_or(BadPublicKey)?;
        bytes.try_into().map(Self).map_err(|_| BadPublicKey)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl Manifest {
    /// Checks the signature over [`Manifest::canonical_json`].
    ///
    /// # Errors
    /// Where there is no signature, or it is not by `key`.
    pub fn verify(&self, key: &PublicKey) -> Result<(), SignatureError> {
        let signature =
            self.signature.as_deref().filter(|text| !text.is_empty()).ok_or(SignatureError::Missing)?;
        let signature = hex::decode(signature).map_err(|_| SignatureError::Malformed)?;
        if signature.len() != 64 {
            return Err(SignatureError::Malformed);
        }
        UnparsedPublicKey::new(&ED25519, key.0)
            .verify(self.canonical_json().as_bytes(), &signature)
            .map_err(|_| SignatureError::Wrong)
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use ring::signature::{Ed25519KeyPair, KeyPair};

    use super::{BadPublicKey, PublicKey, SignatureError};
    use crate::Manifest;

    #[test]
    fn a_key_is_read_from_hex_and_base64() {
        let bytes: [u8; 32] = std::array::from_fn(|at| at as u8);
        for text in [
            hex::encode(bytes),
            hex::encode_upper(bytes),
            STANDARD.encode(bytes),
            format!(" {}\n", hex::encode(bytes)),
        ] {
            assert_eq!(text.parse(), Ok(PublicKey::from(bytes)), "{text}");
        }
        for text in ["", "00", &hex::encode([0; 33]), "not a key"] {
            assert_eq!(text.parse::<PublicKey>(), Err(BadPublicKey), "{text}");
        }
    }

    #[test]
    fn a_signature_that_does_not_count_says_why() {
        let text =
            b"{window_id: w, version: 1, expiry_block: 5, tee: {trusted_share_gamma: 0}, elements: []}";
        let mut manifest = Manifest::parse(text).unwrap();
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let key: PublicKey = hex::encode(pair.public_key()).parse().unwrap();
        let signature = hex::encode(pair.sign(manifest.canonical_json().as_bytes()));

        let mut judge = |signature: Option<&str>, key: &PublicKey| {
            manifest.signature = signature.map(str::to_owned);
            manifest.verify(key)
        };
        assert_eq!(judge(Some(&signature), &key), Ok(()));
        assert_eq!(judge(Some(&signature.to_uppercase()), &key), Ok(()));
        assert_eq!(judge(Some(&signature), &PublicKey::from([7; 32])), Err(SignatureError::Wrong));
        assert_eq!(judge(Some(&"ab".repeat(64)), &key), Err(SignatureError::Wrong));
        assert_eq!(judge(Some(&signature[2..]), &key), Err(SignatureError::Malformed));
        assert_eq!(judge(Some("signed"), &key), Err(SignatureError::Malformed));
        assert_eq!(judge(Some(""), &key), Err(SignatureError::Missing));
        assert_eq!(judge(None, &key), Err(SignatureError::Missing));
    }
}
