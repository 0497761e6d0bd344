//! What is signed when a person hands over a text.

use std::borrow::Cow;

/// A text that begins as hex but is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the text begins with 0x but is not hex digits in pairs; Bittensor's tools sign such a text as bytes"
)]
pub struct MessageError;

/// The bytes that Bittensor's tools sign for a text: those that the digits say where it begins with
/// `0x`, else the text's own (chain reference, section 9). `0x68656c6c6f` is signed as `hello`.
///
/// # Errors
/// Where `0x` is followed by anything but pairs of hex digits.
pub fn message_bytes(text: &str) -> Result<Cow<'_, [u8]>, MessageError> {
    match text.strip_prefix("0x") {
        Some(digits) => hex::decode(digits).map(Cow::Owned).map_err(|_| MessageError),
        None => Ok(Cow::Borrowed(text.as_bytes())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_with_0x_is_hex_and_any_other_is_itself() {
        assert_eq!(message_bytes("0x68656c6c6f").unwrap().as_ref(), b"hello");
        assert_eq!(message_bytes("0x").unwrap().as_ref(), b"");
        // As bittensor-wallet 4.0.1 does: only the small x is a prefix.
        for text in ["", "hello", "0X68", " 0x68", "00aabb"] {
            assert_eq!(message_bytes(text).unwrap().as_ref(), text.as_bytes());
        }
        for text in ["0xzz", "0xabc", "0x 68"] {
            assert_eq!(message_bytes(text), Err(MessageError));
        }
    }
}
