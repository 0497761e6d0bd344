//! What a validator's schema makes of one JSON value where text, an integer, a number or a truth value is due.
//!
//! The schemas are pydantic's in its lax mode, which takes `"25"`, `25.0` and `true` for an integer. The error
//! types and messages are pydantic's too: a server that speaks like FastAPI shows them to its callers. Where in
//! a document a value stands is left to the reader of the document.

use crate::number;

/// The most digits of an integer that pydantic and Python read from text.
const INTEGER_DIGITS: usize = 4300;

/// Where pydantic stops taking a float for an integer.
const TWO_TO_THE_63: f64 = 9_223_372_036_854_775_808.0;

/// One JSON value, as far as a schema looks at it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scalar<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer literal.
    Integer(i128),
    /// An integer literal outside `i128`, as its decimal text.
    BigInteger(&'a str),
    /// A literal with a point or an exponent, or Python's `NaN` and `Infinity`.
    Number(f64),
    /// A string.
    Text(&'a str),
    /// A string with an unpaired surrogate in it, here replaced by U+FFFD. Python can hold such a string.
    BrokenText(&'a str),
    /// An array or an object.
    Container,
}

impl<'a> From<&'a serde_json::Value> for Scalar<'a> {
    /// Note that `serde_json` has already turned integers outside 64 bits into floating point.
    fn from(value: &'a serde_json::Value) -> Self {
        use serde_json::Value;
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => match number.as_i128() {
                Some(integer) => Self::Integer(integer),
                None => Self::Number(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(text) => Self::Text(text),
            Value::Array(_) | Value::Object(_) => Self::Container,
        }
    }
}

/// Why a schema refuses a value. The text is pydantic's, word for word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Text was due.
    #[error("Input should be a valid string")]
    StringType,
    /// The text has an unpaired surrogate.
    #[error("Input should be a valid string, unable to parse raw data as a unicode string")]
    StringUnicode,
    /// An integer was due.
    #[error("Input should be a valid integer")]
    IntType,
    /// The text is not an integer's.
    #[error("Input should be a valid integer, unable to parse string as an integer")]
    IntParsing,
    /// The text has more than 4300 digits, or the number is at least 2^63 with a point or an exponent.
    #[error("Unable to parse input string as an integer, exceeded maximum size")]
    IntParsingSize,
    /// The number is not whole.
    #[error("Input should be a valid integer, got a number with a fractional part")]
    IntFromFloat,
    /// NaN or infinity, where an integer was due.
    #[error("Input should be a finite number")]
    FiniteNumber,
    /// A number was due, or the integer is beyond floating point.
    #[error("Input should be a valid number")]
    FloatType,
    /// The text is not a number's.
    #[error("Input should be a valid number, unable to parse string as a number")]
    FloatParsing,
    /// A truth value was due.
    #[error("Input should be a valid boolean")]
    BoolType,
    /// The text or integer is not a truth value's.
    #[error("Input should be a valid boolean, unable to interpret input")]
    BoolParsing,
    /// Less than the least allowed value.
    #[error("Input should be greater than or equal to {0}")]
    GreaterThanEqual(i8),
    /// More than the greatest allowed value.
    #[error("Input should be less than or equal to {0}")]
    LessThanEqual(i8),
    /// The schema's own check of the value.
    #[error("Value error, {0}")]
    ValueError(&'static str),
}

impl Refusal {
    /// pydantic's name of the error, such as `int_parsing`.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::StringType => "string_type",
            Self::StringUnicode => "string_unicode",
            Self::IntType => "int_type",
            Self::IntParsing => "int_parsing",
            Self::IntParsingSize => "int_parsing_size",
            Self::IntFromFloat => "int_from_float",
            Self::FiniteNumber => "finite_number",
            Self::FloatType => "float_type",
            Self::FloatParsing => "float_parsing",
            Self::BoolType => "bool_type",
            Self::BoolParsing => "bool_parsing",
            Self::GreaterThanEqual(_) => "greater_than_equal",
            Self::LessThanEqual(_) => "less_than_equal",
            Self::ValueError(_) => "value_error",
        }
    }
}

impl Scalar<'_> {
    /// The value where text is due. An unpaired surrogate passes, as U+FFFD: Python's strings hold one.
    ///
    /// # Errors
    /// [`Refusal::StringType`] for anything but a string.
    pub fn text(self) -> Result<String, Refusal> {
        match self {
            Self::Text(text) | Self::BrokenText(text) => Ok(text.to_owned()),
            _ => Err(Refusal::StringType),
        }
    }

    /// The value where an integer is due. An integer outside `i128` becomes the nearest end of it: no frame,
    /// grade or identifier is that large, and its sign is all that a schema asks of it.
    ///
    /// # Errors
    /// What pydantic says of text that is no integer, of a number with a fraction, of null and containers.
    pub fn integer(self) -> Result<i128, Refusal> {
        match self {
            Self::Bool(value) => Ok(i128::from(value)),
            Self::Integer(value) => Ok(value),
            Self::BigInteger(text) if text.starts_with('-') => Ok(i128::MIN),
            Self::BigInteger(_) => Ok(i128::MAX),
            Self::Number(value) if !value.is_finite() => Err(Refusal::FiniteNumber),
            Self::Number(value) if value.fract() != 0.0 => Err(Refusal::IntFromFloat),
            // 2^63 itself is refused too, on either side of zero.
            Self::Number(value) if value.abs() >= TWO_TO_THE_63 => Err(Refusal::IntParsingSize),
            Self::Number(value) => Ok(value as i128),
            Self::Text(text) => integer_from_text(text),
            Self::BrokenText(_) => Err(Refusal::StringUnicode),
            Self::Null | Self::Container => Err(Refusal::IntType),
        }
    }

    /// The value where a number is due; NaN and infinity are numbers.
    ///
    /// # Errors
    /// What pydantic says of text that is no number, of integers beyond floating point, of null and containers.
    pub fn number(self) -> Result<f64, Refusal> {
        match self {
            Self::Bool(value) => Ok(f64::from(u8::from(value))),
            Self::Integer(value) => Ok(value as f64),
            Self::BigInteger(text) => match text.parse::<f64>() {
                Ok(value) if value.is_finite() => Ok(value),
                _ => Err(Refusal::FloatType),
            },
            Self::Number(value) => Ok(value),
            Self::Text(text) => number_from_text(text).ok_or(Refusal::FloatParsing),
            Self::BrokenText(_) => Err(Refusal::StringUnicode),
            Self::Null | Self::Container => Err(Refusal::FloatType),
        }
    }

    /// The value where a truth value is due: 0 and 1, and a few words in any case, without blanks around.
    ///
    /// # Errors
    /// What pydantic says of other text, of other numbers, of null and containers.
    pub fn boolean(self) -> Result<bool, Refusal> {
        match self {
            Self::Bool(value) => Ok(value),
            Self::Integer(0) => Ok(false),
            Self::Integer(1) => Ok(true),
            Self::Number(value) if value.fract() == 0.0 && value.abs() < TWO_TO_THE_63 => {
                Self::Integer(value as i128).boolean()
            }
            Self::Text(text) => match text.to_ascii_lowercase().as_str() {
                "0" | "off" | "f" | "false" | "n" | "no" => Ok(false),
                "1" | "on" | "t" | "true" | "y" | "yes" => Ok(true),
                _ => Err(Refusal::BoolParsing),
            },
            Self::BrokenText(_) => Err(Refusal::StringUnicode),
            Self::Integer(value) if i64::try_from(value).is_ok() => Err(Refusal::BoolParsing),
            _ => Err(Refusal::BoolType),
        }
    }

    /// The value as Python's `float()` takes it, which reads other text than [`Scalar::number`] does. `None`
    /// where Python raises.
    #[must_use]
    pub fn python_float(self) -> Option<f64> {
        match self {
            Self::Text(text) => number::float(text),
            other => other.number().ok(),
        }
    }

    /// The value as Python's `int()` takes it: what is behind the point is cut off, and text is read by other rules
    /// than [`Scalar::integer`]'s. An integer outside `i128` becomes the nearest end of it. `None` where Python raises.
    #[must_use]
    pub fn python_int(self) -> Option<i128> {
        match self {
            Self::Text(text) => number::int(text),
            // A cast of a float ends at the integer's range too.
            Self::Number(value) => value.is_finite().then_some(value as i128),
            other => other.integer().ok(),
        }
    }
}

/// What a schema's field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// An integer.
    Integer,
    /// A number.
    Number,
    /// Text if it is text, else a number.
    TextOrNumber,
}

/// A field's value after its schema has read it.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text.
    Text(String),
    /// An integer.
    Integer(i128),
    /// A number, possibly NaN or infinite.
    Number(f64),
}

impl Kind {
    /// Reads a value where this kind is due.
    ///
    /// # Errors
    /// As [`Scalar::text`], [`Scalar::integer`] and [`Scalar::number`]. What suits neither half of
    /// [`Kind::TextOrNumber`] is refused as [`Refusal::FloatType`].
    pub fn read(self, scalar: Scalar<'_>) -> Result<Value, Refusal> {
        match self {
            Self::Text => scalar.text().map(Value::Text),
            Self::Integer => scalar.integer().map(Value::Integer),
            Self::TextOrNumber if scalar.text().is_ok() => scalar.text().map(Value::Text),
            Self::Number | Self::TextOrNumber => scalar.number().map(Value::Number),
        }
    }

    /// Whether the value had to be converted to fit. An integer where a number is due fits as it is.
    #[must_use]
    pub fn converts(self, scalar: Scalar<'_>) -> bool {
        match scalar {
            Scalar::Bool(_) => true,
            Scalar::Number(_) => self == Self::Integer,
            Scalar::Text(_) | Scalar::BrokenText(_) => {
                matches!(self, Self::Integer | Self::Number)
            }
            _ => false,
        }
    }
}

/// Sign, digits with single underscores between them, and perhaps a point with zeros only.
fn integer_from_text(text: &str) -> Result<i128, Refusal> {
    let text = text.trim();
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let digits = match unsigned.split_once('.') {
        Some((digits, zeros)) if !zeros.is_empty() && zeros.bytes().all(|byte| byte == b'0') => digits,
        Some(_) => return Err(Refusal::IntParsing),
        None => unsigned,
    };
    let groups_are_digits =
        digits.split('_').all(|group| !group.is_empty() && group.bytes().all(|byte| byte.is_ascii_digit()));
    if !groups_are_digits {
        return Err(Refusal::IntParsing);
    }
    let digits = digits.replace('_', "");
    let significant = digits.trim_start_matches('0');
    if significant.len() + usize::from(negative) > INTEGER_DIGITS {
        return Err(Refusal::IntParsingSize);
    }
    let magnitude = match significant {
        "" => 0,
        // The digits are checked, so the only way to fail is to be too large.
        digits => digits.parse::<i128>().unwrap_or(i128::MAX),
    };
    Ok(if negative { -magnitude } else { magnitude })
}

/// As pydantic reads a number: ASCII digits only, and underscores anywhere but doubled or at an end.
fn number_from_text(text: &str) -> Option<f64> {
    let text = text.trim();
    if text.starts_with('_') || text.ends_with('_') || text.contains("__") {
        return None;
    }
    text.replace('_', "").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Kind, Refusal, Scalar, Value};

    #[test]
    fn integers_are_read_from_text_as_pydantic_does() {
        for (text, value) in [
            (" 25 ", 25),
            ("25.0", 25),
            ("+007", 7),
            ("-0.00", 0),
            ("1_000", 1000),
            ("1_0.0", 10),
            ("\u{2003}7", 7),
        ] {
            assert_eq!(Scalar::Text(text).integer(), Ok(value), "{text}");
        }
        for text in ["", "+", "7.", ".0", "7.5", "1e2", "1__0", "_1", "1_", "1.0_0", "+-7", "٧", "\u{1c}7"] {
            assert_eq!(Scalar::Text(text).integer(), Err(Refusal::IntParsing), "{text}");
        }
    }

    #[test]
    fn integer_text_is_limited_to_4300_digits() {
        assert_eq!(Scalar::Text(&"9".repeat(4300)).integer(), Ok(i128::MAX));
        assert_eq!(Scalar::Text(&"9".repeat(4301)).integer(), Err(Refusal::IntParsingSize));
    }

    #[test]
    fn whole_numbers_below_two_to_the_63_are_integers() {
        assert_eq!(Scalar::Number(-0.0).integer(), Ok(0));
        assert_eq!(Scalar::Number(9.0e18).integer(), Ok(9_000_000_000_000_000_000));
        assert_eq!(Scalar::Number(2f64.powi(63)).integer(), Err(Refusal::IntParsingSize));
        assert_eq!(Scalar::Number(25.5).integer(), Err(Refusal::IntFromFloat));
        assert_eq!(Scalar::Number(f64::NAN).integer(), Err(Refusal::FiniteNumber));
    }

    #[test]
    fn numbers_are_read_from_text_as_pydantic_does() {
        for (text, value) in
            [(" 1 ", 1.0), ("1.", 1.0), (".5", 0.5), ("1_0.0_1", 10.01), ("in_f", f64::INFINITY)]
        {
            assert_eq!(Scalar::Text(text).number(), Ok(value), "{text}");
        }
        for text in ["", ".", "e5", "1e", "0x1", "1,5", "1__0", "1_", "١", "fast"] {
            assert_eq!(Scalar::Text(text).number(), Err(Refusal::FloatParsing), "{text}");
        }
    }

    #[test]
    fn pythons_int_cuts_off_what_is_behind_the_point() {
        assert_eq!(Scalar::Number(-7.9).python_int(), Some(-7));
        assert_eq!(Scalar::Number(1e300).python_int(), Some(i128::MAX));
        assert_eq!(Scalar::Number(f64::NAN).python_int(), None);
        assert_eq!(Scalar::Text(" 1_0 ").python_int(), Some(10));
        assert_eq!(Scalar::Text("7.0").python_int(), None);
        assert_eq!(Scalar::Bool(true).python_int(), Some(1));
        assert_eq!(Scalar::Null.python_int(), None);
    }

    #[test]
    fn truth_values_are_read_as_pydantic_does() {
        for scalar in [Scalar::Bool(true), Scalar::Integer(1), Scalar::Number(1.0), Scalar::Text("tRuE")] {
            assert_eq!(scalar.boolean(), Ok(true), "{scalar:?}");
        }
        for scalar in [Scalar::Integer(0), Scalar::Number(-0.0), Scalar::Text("Off"), Scalar::Text("n")] {
            assert_eq!(scalar.boolean(), Ok(false), "{scalar:?}");
        }
        for scalar in [Scalar::Integer(-1), Scalar::Number(2.0), Scalar::Text("1 "), Scalar::Text("")] {
            assert_eq!(scalar.boolean(), Err(Refusal::BoolParsing), "{scalar:?}");
        }
        for scalar in [
            Scalar::Null,
            Scalar::Integer(1 << 70),
            Scalar::Number(0.5),
            Scalar::Number(1e300),
            Scalar::Number(f64::NAN),
            Scalar::Container,
        ] {
            assert_eq!(scalar.boolean(), Err(Refusal::BoolType), "{scalar:?}");
        }
    }

    #[test]
    fn an_integer_beyond_floating_point_is_not_a_number() {
        let digits = "1".to_owned() + &"0".repeat(400);
        assert_eq!(Scalar::BigInteger(&digits).number(), Err(Refusal::FloatType));
        assert_eq!(Scalar::BigInteger(&digits).integer(), Ok(i128::MAX));
    }

    #[test]
    fn a_broken_string_is_text_but_no_number() {
        assert_eq!(Scalar::BrokenText("\u{fffd}").text(), Ok("\u{fffd}".to_owned()));
        assert_eq!(Scalar::BrokenText("\u{fffd}").integer(), Err(Refusal::StringUnicode));
        assert_eq!(Scalar::BrokenText("\u{fffd}").number(), Err(Refusal::StringUnicode));
    }

    #[test]
    fn text_or_number_keeps_text_and_makes_the_rest_a_number() {
        assert_eq!(Kind::TextOrNumber.read(Scalar::Text("4")), Ok(Value::Text("4".to_owned())));
        assert_eq!(Kind::TextOrNumber.read(Scalar::Integer(4)), Ok(Value::Number(4.0)));
        assert_eq!(Kind::TextOrNumber.read(Scalar::Container), Err(Refusal::FloatType));
    }
}
