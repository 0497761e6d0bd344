//! JSON text as Python 3.11's `json.loads` reads it, with its error messages and positions, and as
//! `json.dumps` writes it.
//!
//! It differs from strict JSON: `NaN` and `Infinity` are numbers, integers have any size, of equal keys the last
//! wins, a byte order mark is skipped, a string may have an escaped unpaired surrogate, and bytes may be UTF-8, UTF-16
//! or UTF-32, told apart by their first four.

mod encoding;
mod reader;

use std::fmt::Write as _;

use indexmap::IndexMap;

use crate::{repr, scalar::Scalar};

/// How deep arrays and objects may nest. Python gives up a little below 1000.
pub const MAX_DEPTH: usize = 500;

/// The most digits of an integer that Python converts.
const INTEGER_DIGITS: usize = 4300;

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer.
    Int(i128),
    /// An integer outside `i128`, as decimal text.
    BigInt(String),
    /// A number with a point or an exponent, NaN or infinity.
    Float(f64),
    /// A string.
    String(String),
    /// A string with an unpaired surrogate, here replaced by U+FFFD.
    BrokenString(String),
    /// An array.
    Array(Vec<Json>),
    /// An object, in the order of its text.
    Object(Box<IndexMap<String, Json>>),
}

/// Why text is no JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// The text breaks the grammar. Shown as Python's `JSONDecodeError`.
    #[error("{message}: line {line} column {column} (char {position})")]
    Syntax {
        /// Python's message, such as `Expecting value`.
        message: &'static str,
        /// Where, in characters from the start.
        position: usize,
        /// The line, from 1.
        line: usize,
        /// The character in its line, from 1.
        column: usize,
    },
    /// The bytes are not UTF-8.
    #[error("the text is not UTF-8 from byte {0} on")]
    Encoding(usize),
    /// The bytes begin as UTF-16 or UTF-32 and do not go on so.
    #[error("the text begins as {0} and is not")]
    Wide(&'static str),
    /// Arrays and objects nest deeper than [`MAX_DEPTH`].
    #[error("arrays and objects nest deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// There are more values than the caller takes.
    #[error("there are too many values")]
    TooMany,
    /// An integer has more digits than Python converts.
    #[error("an integer has more than {INTEGER_DIGITS} digits")]
    IntegerTooLong,
}

impl Json {
    /// Reads a document.
    ///
    /// # Errors
    /// As [`JsonError`] lists. The first error in the text is reported.
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        Self::parse_within(bytes, usize::MAX)
    }

    /// Reads a document of at most `max_values` values, for text from a stranger: a value takes up to a
    /// hundred times the memory of its text.
    ///
    /// # Errors
    /// As [`Json::parse`].
    pub fn parse_within(bytes: &[u8], max_values: usize) -> Result<Self, JsonError> {
        reader::document(&encoding::decode(bytes)?, max_values)
    }

    /// An object of the given entries, in their order.
    pub fn object<'a>(entries: impl IntoIterator<Item = (&'a str, Self)>) -> Self {
        let entries = entries.into_iter().map(|(key, value)| (key.to_owned(), value));
        Self::Object(Box::new(entries.collect()))
    }

    /// The value of a key; `None` too for anything but an object.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(entries) => entries.get(key),
            _ => None,
        }
    }

    /// The value as a schema's field sees it.
    #[must_use]
    pub fn scalar(&self) -> Scalar<'_> {
        match self {
            Self::Null => Scalar::Null,
            Self::Bool(value) => Scalar::Bool(*value),
            Self::Int(value) => Scalar::Integer(*value),
            Self::BigInt(text) => Scalar::BigInteger(text),
            Self::Float(value) => Scalar::Number(*value),
            Self::String(text) => Scalar::Text(text),
            Self::BrokenString(text) => Scalar::BrokenText(text),
            Self::Array(_) | Self::Object(_) => Scalar::Container,
        }
    }

    /// The text as Python writes it without blanks and with non-ASCII characters as they are. NaN and infinity,
    /// which JSON lacks, become strings.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Int(value) => write!(out, "{value}").expect("a String takes any text"),
            Self::BigInt(text) => out.push_str(text),
            Self::Float(value) if value.is_nan() => out.push_str("\"NaN\""),
            Self::Float(f64::INFINITY) => out.push_str("\"Infinity\""),
            Self::Float(f64::NEG_INFINITY) => out.push_str("\"-Infinity\""),
            Self::Float(value) => out.push_str(&repr(*value)),
            Self::String(text) | Self::BrokenString(text) => write_string(text, out),
            Self::Array(items) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Self::Object(entries) => {
                out.push('{');
                for (at, (key, value)) in entries.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    write_string(key, out);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

/// An object of texts as Python's `json.dumps` writes it by default: blanks behind commas and colons, everything
/// beyond ASCII escaped.
#[must_use]
pub fn dumps<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let fields: Vec<String> =
        fields.into_iter().map(|(key, value)| format!("{}: {}", ascii(key), ascii(value))).collect();
    format!("{{{}}}", fields.join(", "))
}

/// A text in quotes, everything beyond ASCII escaped.
fn ascii(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in text.chars() {
        // Writing to a string does not fail.
        let _ = match character {
            '"' | '\\' => write!(quoted, "\\{character}"),
            '\u{8}' => write!(quoted, "\\b"),
            '\u{c}' => write!(quoted, "\\f"),
            '\n' => write!(quoted, "\\n"),
            '\r' => write!(quoted, "\\r"),
            '\t' => write!(quoted, "\\t"),
            ' '..='~' => write!(quoted, "{character}"),
            _ => character
                .encode_utf16(&mut [0; 2])
                .iter()
                .try_for_each(|unit| write!(quoted, "\\u{unit:04x}")),
        };
    }
    quoted.push('"');
    quoted
}

fn write_string(text: &str, out: &mut String) {
    // serde_json escapes the same characters in the same way as Python does.
    out.push_str(&serde_json::to_string(text).expect("a string is always JSON"));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Json;

    fn values() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::Bool),
            any::<i128>().prop_map(Json::Int),
            any::<f64>().prop_filter("JSON has no NaN", |value| value.is_finite()).prop_map(Json::Float),
            any::<String>().prop_map(Json::String),
        ];
        leaf.prop_recursive(4, 40, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Json::Array),
                prop::collection::vec((any::<String>(), inner), 0..8)
                    .prop_map(|entries| Json::Object(Box::new(entries.into_iter().collect()))),
            ]
        })
    }

    #[test]
    fn what_is_beyond_ascii_is_escaped_as_python_does() {
        assert_eq!(super::ascii("Dé\"\\\n\u{8}\u{7f}😀"), r#""D\u00e9\"\\\n\b\u007f\ud83d\ude00""#);
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(value in values()) {
            prop_assert_eq!(Json::parse(value.to_text().as_bytes()).unwrap(), value);
        }

        #[test]
        fn strict_json_is_read_as_serde_json_reads_it(value in values()) {
            let text = value.to_text();
            let ours = Json::parse(text.as_bytes()).is_ok();
            prop_assert_eq!(ours, serde_json::from_str::<serde_json::Value>(&text).is_ok());
        }

        #[test]
        fn no_text_makes_the_reader_fail_otherwise_than_by_an_error(text in "[\\[\\]{}\",:\\\\u0-9a-fD8.eE+\\- \n]{0,40}") {
            let _ = Json::parse(text.as_bytes());
        }
    }
}
