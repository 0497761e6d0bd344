//! The reader of JSON text: one pass, recursive, bounded in depth.

use indexmap::IndexMap;

use super::{INTEGER_DIGITS, Json, JsonError, MAX_DEPTH};

/// Reads a whole document of at most `max_values` values.
pub(super) fn document(text: &str, max_values: usize) -> Result<Json, JsonError> {
    let mut reader = Reader { text, at: 0, depth: 0, values_left: max_values };
    reader.skip_blanks();
    let value = reader.value()?;
    reader.skip_blanks();
    if reader.at < text.len() {
        return Err(reader.error("Extra data", reader.at));
    }
    Ok(value)
}

struct Reader<'a> {
    text: &'a str,
    /// The next byte to read; always at the start of a character.
    at: usize,
    depth: usize,
    /// A value takes up to a hundred times the memory of its text.
    values_left: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn error(&self, message: &'static str, at: usize) -> JsonError {
        let before = &self.text[..at];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        JsonError::Syntax {
            message,
            position: before.chars().count(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn value(&mut self) -> Result<Json, JsonError> {
        self.values_left = self.values_left.checked_sub(1).ok_or(JsonError::TooMany)?;
        match self.peek() {
            Some(b'"') => self.string().map(|(text, broken)| match broken {
                true => Json::BrokenString(text),
                false => Json::String(text),
            }),
            Some(b'[') => self.nested(Self::array),
            Some(b'{') => self.nested(Self::object),
            Some(b'0'..=b'9') => self.number(),
            Some(b'-') if self.text[self.at..].starts_with("-I") => {
                self.literal("-Infinity", Json::Float(f64::NEG_INFINITY))
            }
            Some(b'-') => self.number(),
            Some(b'n') => self.literal("null", Json::Null),
            Some(b't') => self.literal("true", Json::Bool(true)),
            Some(b'f') => self.literal("false", Json::Bool(false)),
            Some(b'N') => self.literal("NaN", Json::Float(f64::NAN)),
            Some(b'I') => self.literal("Infinity", Json::Float(f64::INFINITY)),
            _ => Err(self.error("Expecting value", self.at)),
        }
    }

    fn literal(&mut self, text: &str, value: Json) -> Result<Json, JsonError> {
        if !self.text[self.at..].starts_with(text) {
            return Err(self.error("Expecting value", self.at));
        }
        self.at += text.len();
        Ok(value)
    }

    /// Reads an array or object, of which the bracket is still to be read.
    fn nested(&mut self, read: fn(&mut Self) -> Result<Json, JsonError>) -> Result<Json, JsonError> {
        if self.depth == MAX_DEPTH {
            return Err(JsonError::TooDeep);
        }
        self.depth += 1;
        self.at += 1;
        self.skip_blanks();
        let value = read(self);
        self.depth -= 1;
        value
    }

    fn array(&mut self) -> Result<Json, JsonError> {
        let mut items = Vec::new();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Json::Array(items));
        }
        loop {
            items.push(self.value()?);
            if self.ends(b']')? {
                return Ok(Json::Array(items));
            }
        }
    }

    fn object(&mut self) -> Result<Json, JsonError> {
        let mut entries = IndexMap::new();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Json::Object(Box::new(entries)));
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.error("Expecting property name enclosed in double quotes", self.at));
            }
            // A surrogate in a key is harmless: the key is then none that a schema knows.
            let (key, _) = self.string()?;
            self.skip_blanks();
            if self.peek() != Some(b':') {
                return Err(self.error("Expecting ':' delimiter", self.at));
            }
            self.at += 1;
            self.skip_blanks();
            let value = self.value()?;
            entries.insert(key, value);
            if self.ends(b'}')? {
                return Ok(Json::Object(Box::new(entries)));
            }
        }
    }

    /// After an element: whether the container closes here. If not, the comma is read.
    fn ends(&mut self, close: u8) -> Result<bool, JsonError> {
        self.skip_blanks();
        let next = self.peek();
        if next != Some(close) && next != Some(b',') {
            return Err(self.error("Expecting ',' delimiter", self.at));
        }
        self.at += 1;
        if next == Some(b',') {
            self.skip_blanks();
        }
        Ok(next == Some(close))
    }

    fn number(&mut self) -> Result<Json, JsonError> {
        let bytes = self.text.as_bytes();
        let digits_from = |at: usize| bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let start = self.at;
        let whole = start + usize::from(bytes[start] == b'-');
        let mut end = match bytes.get(whole) {
            Some(b'0') => whole + 1,
            Some(b'1'..=b'9') => whole + digits_from(whole),
            _ => return Err(self.error("Expecting value", start)),
        };
        let integer_end = end;
        if bytes.get(end) == Some(&b'.') && digits_from(end + 1) > 0 {
            end += 1 + digits_from(end + 1);
        }
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            let digits = end + 1 + usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            if digits_from(digits) > 0 {
                end = digits + digits_from(digits);
            }
        }
        self.at = end;
        let text = &self.text[start..end];
        if end > integer_end {
            return Ok(Json::Float(text.parse().expect("JSON's floats are a part of Rust's")));
        }
        if integer_end - whole > INTEGER_DIGITS {
            return Err(JsonError::IntegerTooLong);
        }
        Ok(text.parse().map_or_else(|_| Json::BigInt(text.to_owned()), Json::Int))
    }

    /// Reads a string, of which the opening quote is still to be read, and whether a surrogate had to be
    /// replaced.
    fn string(&mut self) -> Result<(String, bool), JsonError> {
        let start = self.at;
        let mut text = String::new();
        let mut broken = false;
        self.at += 1;
        loop {
            let rest = &self.text.as_bytes()[self.at..];
            let plain = rest.iter().position(|&byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
            let Some(plain) = plain else {
                return Err(self.error("Unterminated string starting at", start));
            };
            text.push_str(&self.text[self.at..self.at + plain]);
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok((text, broken));
                }
                Some(b'\\') => {
                    let character = self.escape(start)?;
                    broken |= character.is_none();
                    text.push(character.unwrap_or(char::REPLACEMENT_CHARACTER));
                }
                _ => return Err(self.error("Invalid control character at", self.at)),
            }
        }
    }

    /// Reads an escape from its backslash on; `None` is an unpaired surrogate.
    fn escape(&mut self, string_start: usize) -> Result<Option<char>, JsonError> {
        let backslash = self.at;
        let Some(kind) = self.text.as_bytes().get(backslash + 1) else {
            return Err(self.error("Unterminated string starting at", string_start));
        };
        let character = match kind {
            b'"' | b'\\' | b'/' => char::from(*kind),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let unit = self
                    .code_unit(backslash)
                    .ok_or_else(|| self.error("Invalid \\uXXXX escape", backslash + 1))?;
                self.at += 6;
                let low = match unit {
                    0xD800..=0xDBFF => self.code_unit(self.at),
                    _ => None,
                };
                let units = [Some(unit), low];
                let character = char::decode_utf16(units.into_iter().flatten()).next().and_then(Result::ok);
                if character.is_some_and(|character| character.len_utf16() == 2) {
                    self.at += 6;
                }
                return Ok(character);
            }
            _ => return Err(self.error("Invalid \\escape", backslash)),
        };
        self.at += 2;
        Ok(Some(character))
    }

    /// The UTF-16 code unit of a `\uXXXX` that starts at `at`. Python wants one more character behind it.
    fn code_unit(&self, at: usize) -> Option<u16> {
        let bytes = self.text.as_bytes();
        let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
        bytes.get(at + 6)?;
        digits.iter().try_fold(0, |unit, digit| {
            let value = char::from(*digit).to_digit(16)?;
            Some(unit << 4 | u16::try_from(value).ok()?)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Json, JsonError, MAX_DEPTH};

    fn position(text: &str) -> (usize, &'static str) {
        match Json::parse(text.as_bytes()) {
            Err(JsonError::Syntax { message, position, .. }) => (position, message),
            other => panic!("{text:?}: {other:?}"),
        }
    }

    /// The answers of Python 3.11.
    #[test]
    fn errors_have_pythons_message_and_character_position() {
        let value = "Expecting value";
        let comma = "Expecting ',' delimiter";
        let colon = "Expecting ':' delimiter";
        let name = "Expecting property name enclosed in double quotes";
        let unterminated = "Unterminated string starting at";
        let code = "Invalid \\uXXXX escape";
        let control = "Invalid control character at";
        let extra = "Extra data";
        for (text, at, message) in [
            ("", 0, value),
            ("  ", 2, value),
            ("{", 1, name),
            ("[", 1, value),
            ("[1,", 3, value),
            ("[1,]", 3, value),
            ("[,]", 1, value),
            ("[1 2]", 3, comma),
            ("[1}", 2, comma),
            ("{\"a\"", 4, colon),
            ("{\"a\" 1}", 5, colon),
            ("{\"a\":", 5, value),
            ("{\"a\":1", 6, comma),
            ("{\"a\":1,", 7, name),
            ("{\"a\":1,}", 7, name),
            ("{1:2}", 1, name),
            ("[[],[1,{\"b\":}]]", 12, value),
            ("\"abc", 0, unterminated),
            ("\"a\\", 0, unterminated),
            ("\"a\\x\"", 2, "Invalid \\escape"),
            ("\"\\u12", 2, code),
            ("\"\\u12g4\"", 2, code),
            ("\"\\u1234", 2, code),
            ("\"\\ud83d\\u12\"", 8, code),
            ("\"a\tb\"", 2, control),
            ("\"é\nx\"", 2, control),
            ("-", 0, value),
            ("01", 1, extra),
            ("1.", 1, extra),
            ("1e", 1, extra),
            (".5", 0, value),
            ("nul", 0, value),
            ("Infinit", 0, value),
            ("{\"a\":1}\n\n  x", 11, extra),
            ("[\"é😀\",x]", 6, value),
            ("\u{feff}\u{feff}1", 0, value),
        ] {
            assert_eq!(position(text), (at, message), "{text:?}");
        }
    }

    #[test]
    fn an_error_is_shown_as_python_shows_it() {
        let error = Json::parse("{\"a\":1}\n\n  x".as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), "Extra data: line 3 column 3 (char 11)");
    }

    #[test]
    fn what_python_reads_beyond_json_is_read() {
        for (text, value) in [
            ("\u{feff}[-0,-0.0,1E2]", Json::Array(vec![Json::Int(0), Json::Float(-0.0), Json::Float(100.0)])),
            ("-Infinity", Json::Float(f64::NEG_INFINITY)),
            ("1e400", Json::Float(f64::INFINITY)),
            ("1180591620717411303424", Json::Int(1 << 70)),
            ("{\"a\":1,\"b\":2,\"a\":3}", Json::object([("a", Json::Int(3)), ("b", Json::Int(2))])),
            ("\"\\ud83d\\ude00\\/\"", Json::from("😀/")),
            ("\"\\ud83d\\u0041\\udE00\"", Json::BrokenString("\u{fffd}A\u{fffd}".to_owned())),
        ] {
            assert_eq!(Json::parse(text.as_bytes()).unwrap(), value, "{text}");
        }
        let digits = "9".repeat(4300);
        assert_eq!(Json::parse(digits.as_bytes()).unwrap(), Json::BigInt(digits));
    }

    #[test]
    fn what_python_refuses_with_another_error_is_told_apart() {
        assert_eq!(Json::parse(b"\"\xff\""), Err(JsonError::Encoding(1)));
        assert_eq!(Json::parse("9".repeat(4301).as_bytes()), Err(JsonError::IntegerTooLong));
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(Json::parse(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert_eq!(Json::parse(nested(MAX_DEPTH + 1).as_bytes()), Err(JsonError::TooDeep));
        assert_eq!(Json::parse("{\"a\":".repeat(1_000_000).as_bytes()), Err(JsonError::TooDeep));
    }

    #[test]
    fn the_number_of_values_is_bounded() {
        let three = b"[1, {\"a\": 2}]";
        assert!(Json::parse_within(three, 4).is_ok());
        assert_eq!(Json::parse_within(three, 3), Err(JsonError::TooMany));
    }
}
