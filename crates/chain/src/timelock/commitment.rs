//! The text of a revealed commitment: SCALE before it is encrypted, and what a reader makes of it.

use parity_scale_codec::Encode;

use super::{MAX_CIPHERTEXT, OVERHEAD};

/// The longest text of a commitment, in bytes of UTF-8: 778. Before a text of 64 bytes or more stand two bytes
/// of length.
pub const MAX_TEXT: usize = MAX_CIPHERTEXT - OVERHEAD - 2;

/// A text that the chain would not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the text has {length} bytes: a revealed commitment holds at most {MAX_TEXT}")]
pub struct TextTooLongError {
    /// Bytes of UTF-8.
    pub length: usize,
}

/// What is encrypted for a text: its SCALE encoding, that is a compact length and the UTF-8.
///
/// # Errors
/// For a text of more than [`MAX_TEXT`] bytes.
pub fn commitment_plaintext(text: &str) -> Result<Vec<u8>, TextTooLongError> {
    if text.len() > MAX_TEXT {
        return Err(TextTooLongError { length: text.len() });
    }
    Ok(text.encode())
}

/// What was committed, out of the plaintext that the chain revealed: without its compact length where that
/// matches what follows, else all of it, since nobody has to commit SCALE.
#[must_use]
pub fn revealed_bytes(plaintext: &[u8]) -> &[u8] {
    // The two low bits say how many bytes the length has. The fourth form holds lengths of 2^30 and more.
    let width = match plaintext.first().map(|first| first & 0b11) {
        Some(0b00) => 1,
        Some(0b01) => 2,
        Some(0b10) => 4,
        _ => return plaintext,
    };
    let Some((prefix, rest)) = plaintext.split_at_checked(width) else { return plaintext };
    let mut length = [0; 4];
    length[..width].copy_from_slice(prefix);
    let length = u32::from_le_bytes(length) >> 2;
    if usize::try_from(length) == Ok(rest.len()) { rest } else { plaintext }
}

/// The text out of the plaintext that the chain revealed: [`revealed_bytes`], without what is not UTF-8, as
/// Bittensor's SDK reads it.
#[must_use]
pub fn revealed_text(plaintext: &[u8]) -> String {
    crate::commitment::lenient(revealed_bytes(plaintext))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_longest_text_fits_and_one_byte_more_is_refused() {
        assert_eq!(MAX_TEXT, 778);
        let plaintext = commitment_plaintext(&"a".repeat(778)).unwrap();
        assert_eq!(plaintext.len() + OVERHEAD, MAX_CIPHERTEXT);
        let error = commitment_plaintext(&"a".repeat(779)).unwrap_err();
        assert_eq!(error.to_string(), "the text has 779 bytes: a revealed commitment holds at most 778");
        // 390 letters, 780 bytes.
        assert_eq!(commitment_plaintext(&"ä".repeat(390)), Err(TextTooLongError { length: 780 }));
    }

    #[test]
    fn the_length_has_one_byte_under_64_and_two_from_64() {
        assert_eq!(commitment_plaintext("").unwrap(), [0]);
        assert_eq!(commitment_plaintext("a").unwrap(), [4, b'a']);
        assert_eq!(commitment_plaintext(&"a".repeat(63)).unwrap().len(), 64);
        assert_eq!(commitment_plaintext(&"a".repeat(64)).unwrap().len(), 66);
    }

    #[test]
    fn a_length_that_does_not_match_is_a_part_of_the_bytes() {
        for (plaintext, bytes) in [
            (&b""[..], &b""[..]),
            (b"\0", b""),
            (b"\x04a", b"a"),
            (b"\x04", b"\x04"),
            (b"\x04ab", b"\x04ab"),
            (b"\x05\0a", b"a"),
            (b"\x05", b"\x05"),
            (b"\x06\0\0\0a", b"a"),
            (b"\x06\0\0", b"\x06\0\0"),
            (b"\x03\x01\0\0\0a", b"\x03\x01\0\0\0a"),
            (b"https://example.org", b"https://example.org"),
        ] {
            assert_eq!(revealed_bytes(plaintext), bytes, "{plaintext:?}");
        }
    }

    #[test]
    fn what_is_not_utf_8_is_left_out() {
        assert_eq!(revealed_text(b"\x14a\xffb\xe2\x82"), "ab");
        assert_eq!(revealed_text("\u{10}äö".as_bytes()), "äö");
    }

    proptest! {
        #[test]
        fn a_text_comes_back(text in "\\PC{0,200}") {
            prop_assume!(text.len() <= MAX_TEXT);
            prop_assert_eq!(revealed_text(&commitment_plaintext(&text).unwrap()), text);
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            prop_assert!(bytes.ends_with(revealed_bytes(&bytes)));
            let _ = revealed_text(&bytes);
        }
    }
}
