//! YAML as the validators' reader (ruamel.yaml, which speaks YAML 1.2) understands it, under limits. JSON is YAML.
//!
//! A plain scalar is what its spelling says: `yes` is text, `017` seventeen, `2025-10-27` a date and so no text.
//! Aliases, merge keys and tags, which validators know, are not read: nothing takes more room than its text calls for.

use adit_python::scalar::Scalar;
use indexmap::IndexMap;
use saphyr_parser::{Event, Parser, ScalarStyle};

use crate::ManifestError;

/// How deep lists and mappings may nest. A Manifest needs 5 levels, more only in what is not read.
const MAX_DEPTH: usize = 32;

/// A value of a document.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Integer(i128),
    Number(f64),
    Text(String),
    /// A scalar that no field takes: a date, a tagged one, an integer outside 128 bits.
    Other,
    List(Vec<Value>),
    /// In the order of the document.
    Map(IndexMap<String, Value>),
}

impl Value {
    /// The value as a schema's field sees it.
    pub(crate) fn scalar(&self) -> Scalar<'_> {
        match self {
            Self::Null => Scalar::Null,
            Self::Bool(value) => Scalar::Bool(*value),
            Self::Integer(value) => Scalar::Integer(*value),
            Self::Number(value) => Scalar::Number(*value),
            Self::Text(text) => Scalar::Text(text),
            Self::Other | Self::List(_) | Self::Map(_) => Scalar::Container,
        }
    }
}

/// A list or mapping whose end is not there yet.
enum Open {
    List(Vec<Value>),
    /// The entries so far, and the key whose value comes next.
    Map(IndexMap<String, Value>, Option<String>),
}

/// Reads a document; an empty text is null.
///
/// # Errors
/// [`ManifestError::Yaml`].
pub(crate) fn parse(text: &str) -> Result<Value, ManifestError> {
    let mut composer = Composer::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| refused(error.marker().line(), error.info()))?;
        composer.take(event).map_err(|reason| refused(span.start.line(), reason))?;
    }
    Ok(composer.root.unwrap_or(Value::Null))
}

fn refused(line: usize, reason: &str) -> ManifestError {
    ManifestError::Yaml { line, reason: reason.to_owned() }
}

#[derive(Default)]
struct Composer {
    open: Vec<Open>,
    root: Option<Value>,
}

impl Composer {
    fn take(&mut self, event: Event<'_>) -> Result<(), &'static str> {
        match event {
            Event::DocumentStart(_) if self.root.is_some() => Err("a second document begins"),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
            Event::Alias(_) => Err("aliases (`*name`) are not read: write the value out"),
            Event::Scalar(text, style, _, tag) => {
                let plain = style == ScalarStyle::Plain;
                if let Some(Open::Map(entries, key @ None)) = self.open.last_mut() {
                    if plain && text == "<<" {
                        return Err("merge keys (`<<`) are not read: write the entries out");
                    }
                    if entries.contains_key(text.as_ref()) {
                        return Err("a key is there twice");
                    }
                    *key = Some(text.into_owned());
                    return Ok(());
                }
                self.put(match (tag, plain) {
                    (Some(_), _) => Value::Other,
                    (None, true) => plain_scalar(&text),
                    (None, false) => Value::Text(text.into_owned()),
                })
            }
            Event::SequenceStart(..) => self.enter(Open::List(Vec::new())),
            Event::MappingStart(..) => self.enter(Open::Map(IndexMap::new(), None)),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open::List(items)) => self.put(Value::List(items)),
                Some(Open::Map(entries, _)) => self.put(Value::Map(entries)),
                None => Err("something ends that did not begin"),
            },
        }
    }

    fn enter(&mut self, open: Open) -> Result<(), &'static str> {
        if let Some(Open::Map(_, None)) = self.open.last() {
            return Err("a key is a list or a mapping");
        }
        if self.open.len() == MAX_DEPTH {
            return Err("lists and mappings nest too deep");
        }
        self.open.push(open);
        Ok(())
    }

    /// Puts a finished value where it belongs.
    fn put(&mut self, value: Value) -> Result<(), &'static str> {
        match self.open.last_mut() {
            Some(Open::List(items)) => items.push(value),
            Some(Open::Map(entries, key)) => {
                let key = key.take().ok_or("a value has no key")?;
                entries.insert(key, value);
            }
            None => self.root = Some(value),
        }
        Ok(())
    }
}

fn plain_scalar(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        "=" | "<<" => return Value::Other,
        _ if is_date(text) => return Value::Other,
        _ => {}
    }
    integer(text).or_else(|| float(text)).unwrap_or_else(|| Value::Text(text.to_owned()))
}

/// A day. A day with a time is no text to validators either, but no field of a Manifest is one.
fn is_date(text: &str) -> bool {
    text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

/// An integer in one of four bases, underscores anywhere behind the base. A leading zero says nothing.
fn integer(text: &str) -> Option<Value> {
    let (negative, unsigned) = sign(text);
    let (radix, digits) = match unsigned.get(..2) {
        Some("0b") => (2, &unsigned[2..]),
        Some("0o") => (8, &unsigned[2..]),
        Some("0x") => (16, &unsigned[2..]),
        // Without a sign a first underscore makes it text.
        _ if text.starts_with('_') => return None,
        _ => (10, unsigned),
    };
    if digits.is_empty() || !digits.chars().all(|c| c == '_' || c.is_digit(radix)) {
        return None;
    }
    let magnitude = i128::from_str_radix(&digits.replace('_', ""), radix);
    Some(
        magnitude
            .map_or(Value::Other, |magnitude| Value::Integer(if negative { -magnitude } else { magnitude })),
    )
}

/// A number with a point or an exponent. Underscores may follow a digit or a leading point; a number that begins
/// with the point needs a sign in its exponent.
fn float(text: &str) -> Option<Value> {
    let (negative, unsigned) = sign(text);
    match unsigned {
        ".inf" | ".Inf" | ".INF" if negative => return Some(Value::Number(f64::NEG_INFINITY)),
        ".inf" | ".Inf" | ".INF" => return Some(Value::Number(f64::INFINITY)),
        ".nan" | ".NaN" | ".NAN" if unsigned == text => return Some(Value::Number(f64::NAN)),
        _ => {}
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte == b'_' || byte.is_ascii_digit());
    let mantissa_fits = match fraction {
        Some(fraction) if whole.is_empty() => !fraction.is_empty() && digits(fraction),
        Some(fraction) => digits(whole) && digits(fraction),
        None => exponent.is_some() && digits(whole),
    };
    let exponent_fits = exponent.is_none_or(|exponent| {
        let unsigned = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        let signed = unsigned.len() < exponent.len();
        !unsigned.is_empty()
            && unsigned.bytes().all(|byte| byte.is_ascii_digit())
            && (signed || !whole.is_empty())
    });
    if !mantissa_fits || !exponent_fits || whole.starts_with('_') || mantissa.is_empty() {
        return None;
    }
    text.replace('_', "").parse().ok().map(Value::Number)
}

fn sign(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{MAX_DEPTH, Value, parse};

    /// The value that `text` is behind a key.
    fn value(text: &str) -> Value {
        match parse(&format!("a: {text}")) {
            Ok(Value::Map(mut map)) => map.swap_remove("a").unwrap(),
            other => panic!("{text}: {other:?}"),
        }
    }

    fn error(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    /// What ruamel.yaml makes of each.
    #[test]
    fn plain_scalars_are_what_their_spelling_says() {
        for text in ["", "~", "null", "Null", "NULL"] {
            assert_eq!(value(text), Value::Null, "{text}");
        }
        for (text, truth) in [("true", true), ("True", true), ("TRUE", true), ("False", false)] {
            assert_eq!(value(text), Value::Bool(truth), "{text}");
        }
        for (text, number) in [
            ("017", 17),
            ("0o17", 15),
            ("-0x1F", -31),
            ("0b11", 3),
            ("1_000", 1000),
            ("1_", 1),
            ("+5", 5),
            ("-0", 0),
            ("9223372036854775808", 9_223_372_036_854_775_808),
        ] {
            assert_eq!(value(text), Value::Integer(number), "{text}");
        }
        for (text, number) in [
            ("1.", 1.0),
            ("1._5", 1.5),
            (".5", 0.5),
            ("-.5e+3", -500.0),
            ("1e3", 1000.0),
            ("1_0.5E-1", 1.05),
            ("1.2345678901234568e+16", 1.234_567_890_123_456_8e16),
            ("1e400", f64::INFINITY),
            ("-.INF", f64::NEG_INFINITY),
        ] {
            assert_eq!(value(text), Value::Number(number), "{text}");
        }
        assert!(matches!(value(".nan"), Value::Number(number) if number.is_nan()));
        for text in [
            "yes",
            "nULL",
            "tRUE",
            "_1",
            "+",
            "+-5",
            "0x",
            "0o8",
            "0b",
            "e3",
            "1e",
            ".5e3",
            "+.nan",
            "1:30",
            "1.0.0",
            "12345-01-01",
            "sha256:abc",
            "١",
        ] {
            assert_eq!(value(text), Value::Text(text.to_owned()), "{text}");
        }
        for text in ["2025-10-27", "=", "!!str 5", "!own 'x'", "-_"] {
            assert_eq!(value(text), Value::Other, "{text}");
        }
        for text in ["'5'", "\"5\"", "|-\n  5", ">-\n  5"] {
            assert_eq!(value(text), Value::Text("5".to_owned()), "{text}");
        }
    }

    #[test]
    fn depth_is_limited() {
        let nested = |depth| "[".repeat(depth) + &"]".repeat(depth);
        assert!(parse(&nested(MAX_DEPTH)).is_ok());
        for text in [nested(MAX_DEPTH + 1), "- ".repeat(1 << 18)] {
            assert_eq!(error(&text), "line 1 of the Manifest: lists and mappings nest too deep");
        }
        for text in ["[".repeat(1 << 19), "{a: ".repeat(1 << 17), "? ".repeat(1 << 18)] {
            assert!(parse(&text).is_err());
        }
    }

    #[test]
    fn what_a_manifest_has_no_use_for_is_refused_with_its_line() {
        for (text, message) in [
            ("a: 1\na: 2", "line 2 of the Manifest: a key is there twice"),
            ("a: 1\n---\nb: 2", "line 2 of the Manifest: a second document begins"),
            ("a: &x b\nc: *x", "line 2 of the Manifest: aliases (`*name`) are not read: write the value out"),
            ("<<: {a: 1}", "line 1 of the Manifest: merge keys (`<<`) are not read: write the entries out"),
            ("? [1]\n: 2", "line 1 of the Manifest: a key is a list or a mapping"),
        ] {
            assert_eq!(error(text), message);
        }
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<f64>()
                .prop_filter("JSON has finite numbers", |number| number.is_finite())
                .prop_map(Into::into),
            any::<String>().prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                prop::collection::vec((any::<String>(), inner), 0..6)
                    .prop_map(|entries| serde_json::Value::Object(entries.into_iter().collect())),
            ]
        })
    }

    fn same(value: &Value, json: &serde_json::Value) -> bool {
        use serde_json::Value as Json;
        match (value, json) {
            (Value::Null, Json::Null) => true,
            (Value::Bool(value), Json::Bool(json)) => value == json,
            (Value::Integer(value), Json::Number(json)) => json.as_i128() == Some(*value),
            (Value::Number(value), Json::Number(json)) => json.is_f64() && json.as_f64() == Some(*value),
            (Value::Text(value), Json::String(json)) => value == json,
            (Value::List(values), Json::Array(json)) => {
                values.len() == json.len() && values.iter().zip(json).all(|(value, json)| same(value, json))
            }
            (Value::Map(values), Json::Object(json)) => {
                let pairs = values.iter().zip(json);
                values.len() == json.len() && { pairs }.all(|(a, b)| a.0 == b.0 && same(a.1, b.1))
            }
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn json_is_yaml(json in json()) {
            let value = parse(&json.to_string()).unwrap();
            prop_assert!(same(&value, &json), "{value:?}");
        }

        #[test]
        fn no_text_fails_otherwise_than_by_an_error(text in "[\\[\\]{}\",:&*!|>%@a1.\\-?# \t\n']{0,60}") {
            let _ = parse(&text);
        }
    }
}
