//! Numbers in text, as Python's `int()`, `float()` and `Decimal()` read them and as it prints them. The readers
//! accept more than a number's usual spelling (`1_000`, Arabic digits, blanks around).

/// Where each script's ten decimal digits begin (Unicode 14, general category Nd, which Python 3.11 knows).
const ZEROS: [u32; 66] = [
    0x0030, 0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6, 0x0D66,
    0x0DE6, 0x0E50, 0x0ED0, 0x0F20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50,
    0x1BB0, 0x1C40, 0x1C50, 0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10, 0x104A0, 0x10D30,
    0x11066, 0x110F0, 0x11136, 0x111D0, 0x112F0, 0x11450, 0x114D0, 0x11650, 0x116C0, 0x11730, 0x118E0,
    0x11950, 0x11C50, 0x11D50, 0x11DA0, 0x16A60, 0x16AC0, 0x16B50, 0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC,
    0x1D7F6, 0x1E140, 0x1E2F0, 0x1E950, 0x1FBF0,
];

/// White space as `str.isspace` has it: Unicode's, and the four separators from U+001C to U+001F.
#[must_use]
pub fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// The text with every script's decimal digits written as 0 to 9.
fn ascii_digits(text: &str) -> String {
    text.chars().map(ascii_digit).collect()
}

fn ascii_digit(c: char) -> char {
    let code = u32::from(c);
    let zero = ZEROS[ZEROS.partition_point(|&zero| zero <= code).saturating_sub(1)];
    code.checked_sub(zero).and_then(|value| char::from_digit(value, 10)).unwrap_or(c)
}

/// `float(text)`: `None` where Python raises `ValueError`. Underscores may stand between two digits.
#[must_use]
pub fn float(text: &str) -> Option<f64> {
    let text = ascii_digits(text.trim());
    let bytes = text.as_bytes();
    let is_digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
    let separates = |at: usize| is_digit(at.checked_sub(1)) && is_digit(Some(at + 1));
    if text.match_indices('_').any(|(at, _)| !separates(at)) {
        return None;
    }
    text.replace('_', "").parse().ok()
}

/// `int(text)`: `None` where Python raises `ValueError`, and for numbers outside `i128`, which Python would read.
#[must_use]
pub fn int(text: &str) -> Option<i128> {
    let text = ascii_digits(text.trim());
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(&text);
    let groups_are_digits =
        unsigned.split('_').all(|group| !group.is_empty() && group.bytes().all(|byte| byte.is_ascii_digit()));
    groups_are_digits.then(|| text.replace('_', "").parse().ok()).flatten()
}

/// A float as Python prints it: the fewest digits that read back, and an exponent (of two digits at least) below
/// 1e-4 and from 1e16 on.
#[must_use]
pub fn repr(value: f64) -> String {
    if !value.is_finite() {
        return format!("{value:?}").replace("NaN", "nan");
    }
    let shortest = format!("{value:e}");
    let (mantissa, exponent) = shortest.split_once('e').expect("`{:e}` writes an exponent");
    let exponent: i32 = exponent.parse().expect("`{:e}` writes a decimal exponent");
    let decimals = mantissa.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    // Of two shortest texts that are equally near, Rust takes the larger, Python the one with the even last digit;
    // so does Rust when it is told how many digits to write. At powers of two that one may not read back.
    let or_shortest = |nearest: String, shortest: String| {
        if nearest.parse() == Ok(value) { nearest } else { shortest }
    };
    if (-4..16).contains(&exponent) {
        let decimals = usize::try_from(decimals as i32 - exponent).unwrap_or(0).max(1);
        return or_shortest(format!("{value:.decimals$}"), format!("{value:?}"));
    }
    let text = or_shortest(format!("{value:.decimals$e}"), shortest);
    let mantissa = text.split_once('e').map_or("", |(mantissa, _)| mantissa);
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

/// A finite decimal number without its spelling: `12.30` and `1.23e1` are the same one. The sign of zero
/// stays, as it does in Python's normal form.
#[derive(Debug, PartialEq, Eq)]
pub struct Decimal {
    negative: bool,
    digits: String,
    exponent: i64,
}

/// `Decimal(text).normalize()` for text without blanks around: `None` where Python finds no finite number.
/// Python would further round to 28 digits, which no field of a delivery comes near.
#[must_use]
pub fn decimal(text: &str) -> Option<Decimal> {
    let text = ascii_digits(text).replace('_', "");
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(&text)),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = [whole, fraction].concat();
    if all.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let significant = all.trim_end_matches('0');
    if significant.is_empty() {
        return Some(Decimal { negative, digits: "0".to_owned(), exponent: 0 });
    }
    let scale = i64::try_from(all.len() - significant.len()).ok()? - i64::try_from(fraction.len()).ok()?;
    Some(Decimal {
        negative,
        digits: significant.trim_start_matches('0').to_owned(),
        exponent: exponent.checked_add(scale)?,
    })
}

#[cfg(test)]
mod tests {
    use super::{decimal, float, int, repr};

    #[test]
    fn int_reads_what_python_reads() {
        for (text, value) in [
            ("7", 7),
            ("007", 7),
            ("+7", 7),
            ("-7", -7),
            ("-0", 0),
            ("1_000_0", 10_000),
            ("-1_0", -10),
            (" \t7\n", 7),
            ("\u{a0}\u{85}7", 7),
            ("٣٥", 35),
            ("-170141183460469231731687303715884105728", i128::MIN),
        ] {
            assert_eq!(int(text), Some(value), "{text:?}");
        }
        for text in [
            "", " ", "+", "-", "+-7", "++7", "+ 7", "_7", "7_", "+_7", "1__0", "1 0", "7.0", "7e1", "0x7",
            "²", "\u{1c}7", "soon",
        ] {
            assert_eq!(int(text), None, "{text:?}");
        }
        assert_eq!(int("170141183460469231731687303715884105728"), None);
    }

    #[test]
    fn float_reads_what_python_reads() {
        for (text, value) in [
            (" 7 ", 7.0),
            ("1_0", 10.0),
            ("1e0_1", 10.0),
            ("٣.٥", 3.5),
            (".7e1", 7.0),
            ("7.", 7.0),
            ("-Infinity", f64::NEG_INFINITY),
            ("1e400", f64::INFINITY),
        ] {
            assert_eq!(float(text), Some(value), "{text}");
        }
        for text in ["", "_1", "1_", "1__0", "1_.0", "1._0", "0x5", "1,5", "mint"] {
            assert_eq!(float(text), None, "{text}");
        }
    }

    #[test]
    fn floats_print_as_python_prints_them() {
        for (value, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (500.0, "500.0"),
            (999.999_999_999, "999.999999999"),
            (0.0001, "0.0001"),
            (0.000_099_999_999_999_999_99, "9.999999999999999e-05"),
            (0.00001, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (-1.5e-300, "-1.5e-300"),
            // Two texts equally near, and a power of two whose nearest text of 16 digits is another number.
            (3_817_919_076_217_917.0 / 4.0, "954479769054479.2"),
            (2f64.powi(-44), "5.684341886080802e-14"),
            (2f64.powi(-778), "6.290184345309701e-235"),
            (1e15, "1000000000000000.0"),
            (9_999_999_999_999_998.0, "9999999999999998.0"),
            (1e16, "1e+16"),
            (123_456_789_012_345_680.0, "1.2345678901234568e+17"),
            (1.25e120, "1.25e+120"),
            (f64::NAN, "nan"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(repr(value), text);
        }
    }

    #[test]
    fn decimals_are_equal_when_their_values_and_signs_are() {
        for (left, right) in [
            ("12.30", "12.3"),
            ("1e1", "10"),
            ("1_2", "12"),
            ("١٢", "12"),
            ("0.10", ".1"),
            ("+4", "4"),
            ("0e5", "0.000"),
        ] {
            assert!(decimal(left).is_some(), "{left}");
            assert_eq!(decimal(left), decimal(right), "{left} and {right}");
        }
        assert_ne!(decimal("-0"), decimal("0"));
        assert_ne!(decimal("-4"), decimal("4"));
    }

    #[test]
    fn decimal_refuses_what_is_not_a_finite_number() {
        for text in ["", ".", "nan", "inf", "1e", "e5", "1 2", "+-1", "1.2.3"] {
            assert_eq!(decimal(text), None, "{text}");
        }
    }
}
