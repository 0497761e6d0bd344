//! What is sent to a provider for a prompt, and what it is likely to cost. Pure.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Provider;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Modality {
    /// A picture.
    Image,
    /// A clip.
    Video,
}

impl Modality {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Image, Self::Video];

    /// `image` or `video`, as requests and reports have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Video => "video",
        }
    }
}

impl fmt::Display for Modality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A paid call, ready to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Who is asked.
    pub provider: Provider,
    /// For what.
    pub modality: Modality,
    /// The provider's name of the model.
    pub model: String,
    /// Below the provider's base URL, with a slash in front.
    pub path: &'static str,
    /// What is sent.
    pub body: Body,
    /// An estimate, or what the settings say.
    pub cost: Usd,
}

/// The body of a paid call.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// `application/json`.
    Json(Value),
    /// `multipart/form-data`: names and values in this order.
    Multipart(Vec<(&'static str, Part)>),
}

/// One part of a multipart body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// A form field.
    Text(String),
    /// A file without content, by which the body is multipart at all.
    EmptyFile,
}

/// Money, in whole millionths of a US dollar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Usd(pub u64);

impl Usd {
    /// So many tenths of a cent.
    pub(super) const fn mills(mills: u64) -> Self {
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

/// Why no request can be made of a prompt and its parameters. Nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The provider cannot make this.
    #[error("{provider} makes no {modality}")]
    Modality {
        /// The provider.
        provider: Provider,
        /// What it does not make.
        modality: Modality,
    },
    /// A model that the provider does not have, or that is not used.
    #[error("{provider} has no model {model:?} for this; there are {}", .accepted.join(", "))]
    Model {
        /// The provider.
        provider: Provider,
        /// What was asked for, cut to a readable length.
        model: String,
        /// What there is.
        accepted: Vec<&'static str>,
    },
    /// A parameter that cannot be read.
    #[error("parameter {name:?} is not {expected}")]
    Parameter {
        /// Its name.
        name: &'static str,
        /// What it must be.
        expected: &'static str,
    },
}

impl PlanError {
    pub(super) fn model(provider: Provider, model: &str, accepted: Vec<&'static str>) -> Self {
        Self::Model { provider, model: model.chars().take(80).collect(), accepted }
    }
}

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
