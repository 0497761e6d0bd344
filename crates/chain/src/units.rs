//! Numbers of the chain in types of their own, so that a block number cannot become a subnet.

use std::fmt;
use std::str::FromStr;

/// Rao in one TAO.
const RAO: u64 = 1_000_000_000;

/// The number of a subnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Netuid(pub u16);

impl fmt::Display for Netuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Netuid {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// An amount in rao, 10⁻⁹ TAO; of a subnet's own token (alpha) where the text says so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rao(pub u64);

impl Rao {
    /// The amount in TAO, as exactly as a float holds it: `rao × 10⁻⁹`, the arithmetic that fiber uses
    /// for stakes (chain reference, section 3).
    #[must_use]
    pub fn tao(self) -> f64 {
        self.0 as f64 * 1e-9
    }
}

impl fmt::Display for Rao {
    /// All digits that count: `1.5 TAO`, `0.0000005 TAO`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / RAO, self.0 % RAO);
        if rest == 0 {
            return write!(f, "{whole} TAO");
        }
        write!(f, "{whole}.{} TAO", format!("{rest:09}").trim_end_matches('0'))
    }
}

impl FromStr for Rao {
    type Err = String;

    /// An amount in TAO with at most nine decimals.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no amount in TAO, such as 0.5 (nine decimals at most)");
        let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || rest.len() > 9 || !digits(whole) || !digits(rest) {
            return Err(wrong());
        }
        let whole: u64 = whole.parse().map_err(|_| wrong())?;
        let rest: u64 = format!("{rest:0<9}").parse().map_err(|_| wrong())?;
        whole.checked_mul(RAO).and_then(|whole| whole.checked_add(rest)).map(Self).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_print_every_digit_that_counts() {
        for (rao, text) in [
            (0, "0 TAO"),
            (500, "0.0000005 TAO"),
            (1_000_000_000, "1 TAO"),
            (1_500_000_000, "1.5 TAO"),
            (u64::MAX, "18446744073.709551615 TAO"),
        ] {
            assert_eq!(Rao(rao).to_string(), text);
            assert_eq!(text.trim_end_matches(" TAO").parse(), Ok(Rao(rao)));
        }
        for text in ["", ".5", "-1", "1e3", "0.0000000001", "18446744073.709551616", "1,5"] {
            assert!(text.parse::<Rao>().is_err(), "{text}");
        }
    }
}
