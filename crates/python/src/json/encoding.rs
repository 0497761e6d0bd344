//! Which of its encodings a JSON text is in.

use std::borrow::Cow;

use super::JsonError;

/// The text without its byte order mark. Without one, the zeros among the first four bytes tell: the first two
/// characters of a JSON text are ASCII.
pub(super) fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, JsonError> {
    match *bytes {
        [0, 0, 0xfe, 0xff, ..] => utf32(&bytes[4..], u32::from_be_bytes),
        [0xff, 0xfe, 0, 0, ..] => utf32(&bytes[4..], u32::from_le_bytes),
        [0xfe, 0xff, ..] => utf16(&bytes[2..], u16::from_be_bytes),
        [0xff, 0xfe, ..] => utf16(&bytes[2..], u16::from_le_bytes),
        [0xef, 0xbb, 0xbf, ..] => utf8(&bytes[3..]),
        [0, 0, _, _, ..] => utf32(bytes, u32::from_be_bytes),
        [0, _, _, _, ..] | [0, _] => utf16(bytes, u16::from_be_bytes),
        [_, 0, 0, 0, ..] => utf32(bytes, u32::from_le_bytes),
        [_, 0, _, _, ..] | [_, 0] => utf16(bytes, u16::from_le_bytes),
        _ => utf8(bytes),
    }
}

fn utf8(bytes: &[u8]) -> Result<Cow<'_, str>, JsonError> {
    let text = std::str::from_utf8(bytes).map_err(|error| JsonError::Encoding(error.valid_up_to()))?;
    Ok(Cow::Borrowed(text))
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<Cow<'static, str>, JsonError> {
    let (units, rest) = bytes.as_chunks::<2>();
    let text: Option<String> =
        char::decode_utf16(units.iter().map(|bytes| unit(*bytes))).map(Result::ok).collect();
    text.filter(|_| rest.is_empty()).map(Cow::Owned).ok_or(JsonError::Wide("UTF-16"))
}

fn utf32(bytes: &[u8], unit: fn([u8; 4]) -> u32) -> Result<Cow<'static, str>, JsonError> {
    let (units, rest) = bytes.as_chunks::<4>();
    let text: Option<String> = units.iter().map(|bytes| char::from_u32(unit(*bytes))).collect();
    text.filter(|_| rest.is_empty()).map(Cow::Owned).ok_or(JsonError::Wide("UTF-32"))
}

#[cfg(test)]
mod tests {
    use super::super::{Json, JsonError};

    const TEXT: &str = "{\"a\":\"夜 🌊\"}";

    fn wide<const N: usize>(units: impl Iterator<Item = [u8; N]>, mark: &[u8]) -> Vec<u8> {
        mark.iter().copied().chain(units.flatten()).collect()
    }

    #[test]
    fn every_encoding_says_the_same() {
        let utf16 = || TEXT.encode_utf16();
        let utf32 = || TEXT.chars().map(u32::from);
        let texts = [
            TEXT.as_bytes().to_vec(),
            [b"\xef\xbb\xbf", TEXT.as_bytes()].concat(),
            wide(utf16().map(u16::to_le_bytes), b"\xff\xfe"),
            wide(utf16().map(u16::to_be_bytes), b"\xfe\xff"),
            wide(utf16().map(u16::to_le_bytes), b""),
            wide(utf16().map(u16::to_be_bytes), b""),
            wide(utf32().map(u32::to_le_bytes), b"\xff\xfe\0\0"),
            wide(utf32().map(u32::to_be_bytes), b"\0\0\xfe\xff"),
            wide(utf32().map(u32::to_le_bytes), b""),
            wide(utf32().map(u32::to_be_bytes), b""),
        ];
        for text in texts {
            assert_eq!(Json::parse(&text).unwrap().get("a"), Some(&Json::from("夜 🌊")), "{text:?}");
        }
        assert_eq!(Json::parse(b"\x007").unwrap(), Json::Int(7));
        assert_eq!(Json::parse(b"7\0").unwrap(), Json::Int(7));
    }

    #[test]
    fn half_a_character_is_no_text() {
        assert_eq!(Json::parse(b"\xff\xfe1\x002"), Err(JsonError::Wide("UTF-16")));
        assert_eq!(Json::parse(b"\xff\xfe\x00\xd8"), Err(JsonError::Wide("UTF-16")));
        assert_eq!(Json::parse(b"\0\0\xfe\xff\0\x11\0\0"), Err(JsonError::Wide("UTF-32")));
    }
}
