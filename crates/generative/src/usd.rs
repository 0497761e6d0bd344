//! Money.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Money, in whole millionths of a US dollar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Usd(pub u64);

impl Usd {
    /// So many tenths of a cent.
    pub(crate) const fn mills(mills: u64) -> Self {
        Self(mills * 1000)
    }

    /// The price of `count` such things.
    #[must_use]
    pub fn times(self, count: u64) -> Self {
        Self(self.0.saturating_mul(count))
    }
}

impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:06}", self.0 % 1_000_000);
        let cents = digits.trim_end_matches('0');
        write!(f, "{}.{cents:0<2} USD", self.0 / 1_000_000)
    }
}

impl FromStr for Usd {
    type Err = NotUsd;

    /// Reads `0.134`: digits with at most one point, at most six of them behind it.
    fn from_str(text: &str) -> Result<Self, NotUsd> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole)
            || !digits(fraction)
            || fraction.len() > 6
            || text.len() == text.matches('.').count()
        {
            return Err(NotUsd);
        }
        let read = |part: &str| if part.is_empty() { Ok(0) } else { part.parse::<u64>() };
        let whole = read(whole).map_err(|_| NotUsd)?;
        let millionths = read(&format!("{fraction:0<6}")).map_err(|_| NotUsd)?;
        whole.checked_mul(1_000_000).and_then(|whole| whole.checked_add(millionths)).map(Self).ok_or(NotUsd)
    }
}

/// Not an amount of money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an amount such as 0.134, with at most six decimals")]
pub struct NotUsd;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn money_is_read_and_printed() {
        assert_eq!("0.134".parse(), Ok(Usd(134_000)));
        assert_eq!("12".parse(), Ok(Usd(12_000_000)));
        assert_eq!(".5".parse(), Ok(Usd(500_000)));
        assert_eq!(Usd(134_000).to_string(), "0.134 USD");
        assert_eq!(Usd(2_000_000).to_string(), "2.00 USD");
        for bad in ["", ".", "-1", "1e3", "0,5", "1.0000001", "1.2.3", "NaN", "18446744073709551615"] {
            assert_eq!(bad.parse::<Usd>(), Err(NotUsd), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(millionths: u64) {
            let shown = Usd(millionths).to_string();
            prop_assert_eq!(shown.trim_end_matches(" USD").parse(), Ok(Usd(millionths)));
        }
    }
}
