//! sr25519 signatures in Substrate's signing context.

use std::fmt;
use std::str::FromStr;

use schnorrkel::{ExpansionMode, MiniSecretKey, PublicKey, SecretKey};
use zeroize::Zeroizing;

use crate::{Hotkey, Phrase, PrivateKeyError, UriError, uri};

/// The context that Substrate signs under.
const CONTEXT: &[u8] = b"substrate";

/// An sr25519 key pair. Cannot be printed; wiped from memory when dropped.
pub struct Keypair(schnorrkel::Keypair);

impl Keypair {
    /// The pair of a 32-byte mini-secret, which Bittensor calls the seed.
    ///
    /// # Errors
    /// Never for 32 bytes; the result is kept so that callers need no `expect`.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let mini = MiniSecretKey::from_bytes(seed).expect("a mini-secret is any 32 bytes");
        Self(mini.expand_to_keypair(ExpansionMode::Ed25519))
    }

    /// The pair of a mnemonic phrase.
    #[must_use]
    pub fn from_phrase(phrase: &Phrase) -> Self {
        Self::from_seed(phrase.seed("").expose_bytes())
    }

    /// The pair that a uri names; see [`Secret::from_uri`](crate::Secret::from_uri).
    ///
    /// # Errors
    /// Where the text is no such uri.
    pub fn from_uri(uri: &str) -> Result<Self, UriError> {
        Ok(Self(uri::derive(uri)?.to_keypair()))
    }

    /// The pair of a private key: 64 bytes, scalar and nonce, in schnorrkel's plain form.
    ///
    /// # Errors
    /// Where the scalar is out of range.
    pub fn from_private_key(bytes: &[u8; 64]) -> Result<Self, PrivateKeyError> {
        Ok(Self(SecretKey::from_bytes(bytes).map_err(|_| PrivateKeyError)?.to_keypair()))
    }

    /// The 64 bytes that [`Keypair::from_private_key`] reads.
    pub(crate) fn private_key(&self) -> Zeroizing<[u8; 64]> {
        Zeroizing::new(self.0.secret.to_bytes())
    }

    /// A new random pair.
    #[must_use]
    pub fn generate() -> Self {
        Self(MiniSecretKey::generate().expand_to_keypair(ExpansionMode::Ed25519))
    }

    /// The public half.
    #[must_use]
    pub fn hotkey(&self) -> Hotkey {
        Hotkey::from_bytes(self.0.public.to_bytes())
    }

    /// Signs a message. Signatures are randomised: two of one message differ.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign_simple(CONTEXT, message).to_bytes())
    }
}

impl fmt::Debug for Keypair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keypair(secret of {})", self.hotkey())
    }
}

/// A signature's 64 bytes, written as `0x` and 128 hex digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; 64]);

/// A text that is no signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("signature is not 0x + 128 hex digits")]
pub struct SignatureFormatError;

impl Signature {
    /// The 64 bytes.
    #[must_use]
    pub const fn to_bytes(&self) -> [u8; 64] {
        self.0
    }

    /// True where `signer` signed `message`.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signer: &Hotkey) -> bool {
        let Ok(signature) = schnorrkel::Signature::from_bytes(&self.0) else { return false };
        let Ok(key) = PublicKey::from_bytes(signer.as_bytes()) else { return false };
        key.verify_simple(CONTEXT, message, &signature).is_ok()
    }

    /// True where `signer` signed `message` inside `<Bytes>…</Bytes>`, the wrapping that wallet
    /// extensions put around text.
    #[must_use]
    pub fn verifies_wrapped(&self, message: &[u8], signer: &Hotkey) -> bool {
        self.verifies(&[b"<Bytes>".as_slice(), message, b"</Bytes>"].concat(), signer)
    }

    /// True where `signer` signed `message` bare or inside `<Bytes>…</Bytes>`: what bittensor-wallet's
    /// `verify` accepts. It does not unwrap: a wrapped `message` is not tried without its wrapping.
    #[must_use]
    pub fn verifies_bare_or_wrapped(&self, message: &[u8], signer: &Hotkey) -> bool {
        self.verifies(message, signer) || self.verifies_wrapped(message, signer)
    }
}

impl FromStr for Signature {
    type Err = SignatureFormatError;

    fn from_str(text: &str) -> Result<Self, SignatureFormatError> {
        let mut bytes = [0; 64];
        let digits = text.strip_prefix("0x").ok_or(SignatureFormatError)?;
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| SignatureFormatError)?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", hex::encode(self.0))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_known_seed_gives_its_known_address() {
        // The development seed of `//Alice`.
        let seed: crate::Seed =
            "0xe5be9a5092b81bca64be81d212e7f2f9eba183bb7a90954f7b76361f6edb5c0a".parse().unwrap();
        let alice = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
        assert_eq!(Keypair::from_seed(seed.expose_bytes()).hotkey().to_string(), alice);
    }

    #[test]
    fn a_pair_prints_only_its_address() {
        let text = format!("{:?}", Keypair::from_seed(&[7; 32]));
        assert_eq!(text, format!("Keypair(secret of {})", Keypair::from_seed(&[7; 32]).hotkey()));
    }

    #[test]
    fn wrapped_text_verifies_only_as_wrapped() {
        let pair = Keypair::generate();
        let signature = pair.sign(b"<Bytes>hello</Bytes>");
        assert!(!signature.verifies(b"hello", &pair.hotkey()));
        assert!(signature.verifies_wrapped(b"hello", &pair.hotkey()));
    }

    #[test]
    fn only_0x_and_128_digits_are_a_signature() {
        let good = Keypair::generate().sign(b"m").to_string();
        assert!(good.parse::<Signature>().is_ok());
        assert!(good.to_uppercase().replacen("0X", "0x", 1).parse::<Signature>().is_ok());
        for bad in ["", "0x", &good[2..], &good[..good.len() - 1], &format!("{good}00"), "0xzz"] {
            assert_eq!(bad.parse::<Signature>(), Err(SignatureFormatError), "{bad}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn a_signature_holds_for_its_message_and_key_alone(seed: [u8; 32], message: Vec<u8>, flip in 0usize..512) {
            let pair = Keypair::from_seed(&seed);
            let signature: Signature = pair.sign(&message).to_string().parse().unwrap();
            prop_assert!(signature.verifies(&message, &pair.hotkey()));
            let mut other = message.clone();
            other.push(0);
            prop_assert!(!signature.verifies(&other, &pair.hotkey()));
            prop_assert!(!signature.verifies(&message, &Keypair::generate().hotkey()));
            let mut bytes = signature.0;
            bytes[flip / 8] ^= 1 << (flip % 8);
            prop_assert!(!Signature(bytes).verifies(&message, &pair.hotkey()));
        }
    }
}
