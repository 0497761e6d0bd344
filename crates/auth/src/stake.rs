//! What the stake gate judges by: a value swapped in from outside, with its age.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use adit_keys::Hotkey;
use arc_swap::ArcSwapOption;

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

/// The table in force: whoever follows the stakes puts it in place, and a gate judges by it. Clones are the same
/// table.
#[derive(Debug, Clone, Default)]
pub struct StakesInForce(Arc<ArcSwapOption<StakeTable>>);

impl StakesInForce {
    /// Puts a newer table in place.
    pub fn set(&self, table: StakeTable) {
        self.0.store(Some(Arc::new(table)));
    }

    /// The table, where there is one yet.
    #[must_use]
    pub fn get(&self) -> Option<Arc<StakeTable>> {
        self.0.load_full()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_counts_from_the_moment_of_the_table() {
        let table = StakeTable::new(HashMap::new(), SystemTime::UNIX_EPOCH);
        let later = SystemTime::UNIX_EPOCH + Duration::from_secs(90);
        assert_eq!(table.age(later), Duration::from_secs(90));
        assert!(table.is_empty());
    }
}
