//! The bytes of something encrypted to a round, and the encryption of its text.

use std::fmt;

use rand_core::{CryptoRng, RngCore};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::ibe::{self, G2_LENGTH, Header, Secret};

/// Names the cipher of the text, and stands at the end.
const SUITE: &[u8] = b"AES_GCM_";
/// Length of AES-GCM's tag, which follows the text.
const TAG_LENGTH: usize = 16;
/// Length of a length.
const COUNT: usize = size_of::<u64>();

/// How many bytes longer than its plaintext a ciphertext is.
pub const OVERHEAD: usize =
    G2_LENGTH + 2 * (COUNT + 32) + COUNT + (COUNT + TAG_LENGTH + COUNT + NONCE_LEN) + COUNT + SUITE.len();

/// Why bytes are nothing encrypted to a round.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MalformedError {
    /// The bytes end too soon.
    #[error("the ciphertext ends within its {part}")]
    Short {
        /// Which part.
        part: &'static str,
    },
    /// A part of a fixed length has another, or one is shorter than it can be.
    #[error("the ciphertext's {part} has {length} bytes")]
    Length {
        /// Which part.
        part: &'static str,
        /// How many bytes it has.
        length: usize,
    },
    /// More bytes than the layout has.
    #[error("{count} bytes follow the ciphertext's {part}")]
    Trailing {
        /// After which part.
        part: &'static str,
        /// How many bytes.
        count: usize,
    },
    /// Encrypted with something else than AES-256-GCM.
    #[error("the ciphertext's cipher is not AES_GCM_")]
    Suite,
    /// The first 96 bytes are no point.
    #[error("the ciphertext does not start with a point of G2")]
    Point,
}

/// Why something encrypted to a round does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecryptError {
    /// Not the bytes of a [`Sealed`].
    #[error(transparent)]
    Malformed(#[from] MalformedError),
    /// Not a signature at all.
    #[error("a signature of quicknet is a compressed point of G1, 48 bytes: this is none")]
    Signature,
    /// A signature, but not the right one, or the encrypted key was changed.
    #[error(
        "the signature does not open the ciphertext: it is of another round, or the ciphertext was changed"
    )]
    Key,
    /// The key is right and the text was changed.
    #[error("the ciphertext was changed: its tag does not match")]
    Tag,
}

/// Something encrypted to a round, taken apart.
///
/// Lengths are u64, little-endian:
///
/// ```text
/// U (96 bytes) | 32 | V | 32 | W | body's length | body | 8 | "AES_GCM_"
/// body = text's length + 16 | AES-256-GCM's ciphertext and tag | 12 | nonce
/// ```
///
/// U, V and W hold the key of the text, encrypted to the round. Which round it is the bytes do not say.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    header: Header,
    nonce: [u8; NONCE_LEN],
    /// The encrypted text, then the tag.
    text: Vec<u8>,
}

impl Sealed {
    /// Encrypts with a new key, and that key to the round.
    pub(super) fn seal<R: RngCore + CryptoRng>(
        plaintext: &[u8],
        round: u64,
        rng: &mut R,
    ) -> Result<Self, rand_core::Error> {
        let (mut key, mut sigma, mut nonce) = (Secret::default(), Secret::default(), [0; NONCE_LEN]);
        rng.try_fill_bytes(&mut *key)?;
        rng.try_fill_bytes(&mut *sigma)?;
        rng.try_fill_bytes(&mut nonce)?;
        let mut text = Vec::with_capacity(plaintext.len() + TAG_LENGTH);
        text.extend_from_slice(plaintext);
        cipher(&key)
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut text)
            .expect("a text in memory is shorter than AES-GCM's 64 GiB");
        Ok(Self { header: ibe::seal(&key, round, &sigma), nonce, text })
    }

    /// Takes bytes apart. They must be all of it, and nothing else.
    ///
    /// # Errors
    /// Names the first part that is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, MalformedError> {
        let mut bytes = Parts(bytes);
        let u: [u8; G2_LENGTH] = bytes.fixed("U")?;
        let v = bytes.counted_fixed("V")?;
        let w = bytes.counted_fixed("W")?;
        let mut body = Parts(bytes.counted("body")?);
        let text = body.counted("text")?;
        if text.len() < TAG_LENGTH {
            return Err(MalformedError::Length { part: "text", length: text.len() });
        }
        let nonce = body.counted_fixed("nonce")?;
        body.end("nonce")?;
        if bytes.counted("cipher")? != SUITE {
            return Err(MalformedError::Suite);
        }
        bytes.end("cipher")?;
        // Last: it costs more than all before.
        let u = ibe::read_g2(&u).ok_or(MalformedError::Point)?;
        Ok(Self { header: Header { u, v, w }, nonce, text: text.to_vec() })
    }

    /// The bytes, as the chain takes them.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(OVERHEAD + self.plaintext_length());
        bytes.extend_from_slice(&ibe::write_g2(&self.header.u));
        counted(&mut bytes, &self.header.v);
        counted(&mut bytes, &self.header.w);
        let mut body = Vec::with_capacity(COUNT + self.text.len() + COUNT + NONCE_LEN);
        counted(&mut body, &self.text);
        counted(&mut body, &self.nonce);
        counted(&mut bytes, &body);
        counted(&mut bytes, SUITE);
        bytes
    }

    /// How many bytes were encrypted.
    #[must_use]
    pub fn plaintext_length(&self) -> usize {
        self.text.len() - TAG_LENGTH
    }

    /// Decrypts with quicknet's signature of the round (48 bytes).
    ///
    /// # Errors
    /// Where the signature is of another round, or anything was changed.
    pub fn open(&self, round_signature: &[u8]) -> Result<Vec<u8>, DecryptError> {
        let signature = ibe::read_signature(round_signature).ok_or(DecryptError::Signature)?;
        let key = ibe::open(&self.header, signature).ok_or(DecryptError::Key)?;
        let mut text = self.text.clone();
        cipher(&key)
            .open_in_place(Nonce::assume_unique_for_key(self.nonce), Aad::empty(), &mut text)
            .map_err(|_| DecryptError::Tag)?;
        text.truncate(self.plaintext_length());
        Ok(text)
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Sealed({} bytes)", self.plaintext_length())
    }
}

fn cipher(key: &Zeroizing<[u8; 32]>) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &**key).expect("the key has 32 bytes"))
}

fn counted(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// The bytes not yet taken.
struct Parts<'bytes>(&'bytes [u8]);

impl<'bytes> Parts<'bytes> {
    fn fixed<const N: usize>(&mut self, part: &'static str) -> Result<[u8; N], MalformedError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(MalformedError::Short { part })?;
        self.0 = rest;
        Ok(*taken)
    }

    fn counted(&mut self, part: &'static str) -> Result<&'bytes [u8], MalformedError> {
        let length = usize::try_from(u64::from_le_bytes(self.fixed(part)?)).ok();
        let (taken, rest) = length
            .and_then(|length| self.0.split_at_checked(length))
            .ok_or(MalformedError::Short { part })?;
        self.0 = rest;
        Ok(taken)
    }

    fn counted_fixed<const N: usize>(&mut self, part: &'static str) -> Result<[u8; N], MalformedError> {
        let taken = self.counted(part)?;
        taken.try_into().map_err(|_| MalformedError::Length { part, length: taken.len() })
    }

    fn end(&self, part: &'static str) -> Result<(), MalformedError> {
        match self.0.len() {
            0 => Ok(()),
            count => Err(MalformedError::Trailing { part, count }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand_core::{CryptoRng, OsRng, RngCore};

    fn sealed(plaintext: &[u8]) -> Vec<u8> {
        Sealed::seal(plaintext, 1000, &mut OsRng).unwrap().to_bytes()
    }

    fn refused(bytes: &[u8]) -> MalformedError {
        Sealed::parse(bytes).unwrap_err()
    }

    fn with_count(at: usize, count: u64) -> Vec<u8> {
        let mut bytes = sealed(b"text");
        bytes[at..at + COUNT].copy_from_slice(&count.to_le_bytes());
        bytes
    }

    #[test]
    fn the_overhead_is_244_bytes_whatever_the_length() {
        assert_eq!(OVERHEAD, 244);
        for length in [0, 1, 15, 16, 17, 1000] {
            assert_eq!(sealed(&vec![1; length]).len(), length + OVERHEAD);
        }
    }

    #[test]
    fn one_plaintext_encrypts_to_other_bytes_each_time() {
        assert_ne!(sealed(b"text"), sealed(b"text"));
    }

    /// Where the counts of V, W, the body, the text, the nonce and the cipher stand for a text of 4 bytes.
    const COUNTS: [(usize, &str); 6] =
        [(96, "V"), (136, "W"), (176, "body"), (184, "text"), (212, "nonce"), (232, "cipher")];

    #[test]
    fn counts_beyond_the_bytes_are_refused_by_name() {
        for (at, part) in COUNTS {
            for count in [1000, u64::from(u32::MAX), 1 << 63, (1 << 63) - 1, u64::MAX, u64::MAX - 7] {
                assert_eq!(refused(&with_count(at, count)), MalformedError::Short { part }, "{count}");
            }
        }
    }

    #[test]
    fn counts_of_another_length_are_refused_by_name() {
        assert_eq!(refused(&with_count(96, 31)), MalformedError::Length { part: "V", length: 31 });
        assert_eq!(refused(&with_count(136, 33)), MalformedError::Length { part: "W", length: 33 });
        assert_eq!(refused(&with_count(184, 15)), MalformedError::Length { part: "text", length: 15 });
        assert_eq!(refused(&with_count(212, 11)), MalformedError::Length { part: "nonce", length: 11 });
        assert_eq!(refused(&with_count(232, 7)), MalformedError::Suite);
    }

    #[test]
    fn bytes_that_follow_are_refused() {
        let mut bytes = sealed(b"text");
        bytes.push(0);
        assert_eq!(refused(&bytes), MalformedError::Trailing { part: "cipher", count: 1 });
        let mut bytes = with_count(176, 49);
        bytes.insert(232, 0);
        assert_eq!(refused(&bytes), MalformedError::Trailing { part: "nonce", count: 1 });
    }

    #[test]
    fn another_cipher_and_another_point_are_refused() {
        let mut bytes = sealed(b"text");
        *bytes.last_mut().unwrap() = b'-';
        assert_eq!(refused(&bytes), MalformedError::Suite);
        let mut bytes = sealed(b"text");
        bytes[..G2_LENGTH].fill(0xff);
        assert_eq!(refused(&bytes), MalformedError::Point);
    }

    #[test]
    fn every_truncation_is_refused() {
        let bytes = sealed(b"text");
        for length in 0..bytes.len() {
            assert!(matches!(refused(&bytes[..length]), MalformedError::Short { .. }), "{length}");
        }
    }

    #[test]
    fn the_text_is_not_printed() {
        let sealed = Sealed::seal(b"text", 1000, &mut OsRng).unwrap();
        assert_eq!(format!("{sealed:?}"), "Sealed(4 bytes)");
    }

    /// A source of random numbers that fails.
    struct Broken;

    impl RngCore for Broken {
        fn next_u32(&mut self) -> u32 {
            0
        }
        fn next_u64(&mut self) -> u64 {
            0
        }
        fn fill_bytes(&mut self, _: &mut [u8]) {
            panic!("the fallible way is to be used");
        }
        fn try_fill_bytes(&mut self, _: &mut [u8]) -> Result<(), rand_core::Error> {
            Err(std::num::NonZeroU32::new(rand_core::Error::CUSTOM_START).unwrap().into())
        }
    }

    impl CryptoRng for Broken {}

    #[test]
    fn without_random_numbers_nothing_is_encrypted() {
        let error = crate::timelock::encrypt(b"text", 1000, &mut Broken).unwrap_err();
        assert!(error.to_string().starts_with("no random numbers: "), "{error}");
        let error = crate::timelock::encrypt(b"text", 0, &mut Broken).unwrap_err();
        assert!(error.to_string().contains("no round 0"), "{error}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            prop_assert!(Sealed::parse(&bytes).is_err());
        }

        #[test]
        fn any_bytes_after_a_good_point_are_read_without_panic(rest: Vec<u8>, cut in 0_usize..260) {
            let good = sealed(b"text");
            let bytes = [&good[..cut.min(good.len())], &rest[..]].concat();
            if let Ok(sealed) = Sealed::parse(&bytes) {
                prop_assert_eq!(sealed.to_bytes(), bytes);
            }
        }

        #[test]
        fn a_changed_bit_is_refused_or_stays_in_the_bytes(at in 0_usize..248, bit in 0..8) {
            let mut bytes = sealed(b"text");
            bytes[at] ^= 1_u8 << bit;
            if let Ok(sealed) = Sealed::parse(&bytes) {
                prop_assert_eq!(sealed.to_bytes(), bytes);
            }
        }
    }
}
