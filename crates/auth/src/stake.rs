//! What the stake gate judges by: a value swapped in from outside, with its age.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use adit_keys::Hotkey;

/// Stakes by hotkey, as the chain or a file had them at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct StakeTable {
    stakes: HashMap<Hotkey, f64>,
    as_of: SystemTime,
}

impl StakeTable {
    /// A table of stakes in the chain's combined stake units, taken at `as_of`.
    #[must_use]
    pub fn new(stakes: HashMap<Hotkey, f64>, as_of: SystemTime) -> Self {
        Self { stakes, as_of }
    }

    /// The stake of a hotkey, or `None` where it is not on the subnet.
    #[must_use]
    pub fn stake(&self, hotkey: &Hotkey) -> Option<f64> {
        self.stakes.get(hotkey).copied()
    }

    /// Number of hotkeys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.stakes.len()
    }

    /// True where no hotkey is listed, so that the gate refuses everybody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stakes.is_empty()
    }

    /// The moment that the stakes are of.
    #[must_use]
    pub fn as_of(&self) -> SystemTime {
        self.as_of
    }

    /// How old the table is; zero where the clock went backwards.
    #[must_use]
    pub fn age(&self, now: SystemTime) -> Duration {
        now.duration_since(self.as_of).unwrap_or_default()
    }
}

/// A number as Python prints a float, which is what the refusal text of upstream holds: shortest
/// digits that read back, an exponent of two digits at least below 1e-4 and from 1e16.
pub(crate) fn python_float(value: f64) -> String {
    if value == 0.0 || (1e-4..1e16).contains(&value.abs()) || !value.is_finite() {
        return format!("{value:?}").replace("NaN", "nan");
    }
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
    format!("{digits}e{sign}{exponent:0>2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_print_as_python_prints_them() {
        for (value, text) in [
            (0.0, "0.0"),
            (500.0, "500.0"),
            (999.999999999, "999.999999999"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.25e120, "1.25e+120"),
        ] {
            assert_eq!(python_float(value), text);
        }
    }

    #[test]
    fn age_counts_from_the_moment_of_the_table() {
        let table = StakeTable::new(HashMap::new(), SystemTime::UNIX_EPOCH);
        let later = SystemTime::UNIX_EPOCH + Duration::from_secs(90);
        assert_eq!(table.age(later), Duration::from_secs(90));
        assert!(table.is_empty());
    }
}
