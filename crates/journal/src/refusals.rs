//! Who a gate refused, summed until it is recorded: whoever is refused must not fill the file.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::Journal;
use crate::record::{Refused, bounded};

/// Sums that are told apart within one period; beyond them refusals count for nobody. Any stranger can name the hotkeys of
/// validators.
const SUMS: usize = 16;
/// Most characters of a refusal's words.
const MAX_DETAIL: usize = 200;

/// The refusals of one gate since they were last recorded, by reason and by who was claimed to ask.
#[derive(Debug, Default)]
pub struct Refusals {
    sums: Mutex<BTreeMap<(&'static str, Option<String>), Sum>>,
}

#[derive(Debug, Default)]
struct Sum {
    count: u64,
    detail: String,
}

impl Refusals {
    /// How often whoever has one is to call [`Refusals::flush`].
    pub const EVERY: Duration = Duration::from_secs(60);

    /// Counts a refusal: the gate's label, such as `signature`, and its words, as in the log. `claimed` is the hotkey (ss58)
    /// that was named, and only where it is one that the stake table knows: anybody can name any number of others.
    pub fn add(&self, reason: &'static str, claimed: Option<String>, detail: &str) {
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = (reason, claimed);
        // Reasons are few by their nature, hotkeys are not.
        if sums.len() >= SUMS && !sums.contains_key(&key) {
            key.1 = None;
        }
        let sum = sums.entry(key).or_default();
        sum.count = sum.count.saturating_add(1);
        sum.detail = bounded(detail, MAX_DETAIL);
    }

    /// Records what was counted, and begins anew.
    pub fn flush(&self, journal: &Journal) {
        let sums = std::mem::take(&mut *self.sums.lock().unwrap_or_else(PoisonError::into_inner));
        for ((reason, claimed), Sum { count, detail }) in sums {
            journal.record(&Refused { reason: reason.to_owned(), claimed, count, detail: Some(detail) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Find, Limits, Reader};

    /// What is recorded of these, the newest first.
    fn recorded(refusals: &Refusals) -> Vec<Refused> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.sqlite");
        let journal = Journal::open(&path, Limits::default()).unwrap();
        refusals.flush(&journal);
        drop(journal);
        let find = Find { limit: 10_000, ..Find::event("refused") };
        Reader::open(&path).unwrap().find(&find).unwrap().iter().map(|entry| entry.read().unwrap()).collect()
    }

    #[test]
    fn they_are_summed_by_reason_and_claim_with_the_last_ones_words() {
        let refusals = Refusals::default();
        refusals.add("stale", Some("5A".to_owned()), "signed 20 s ago");
        refusals.add("stale", Some("5A".to_owned()), "signed 21 s ago");
        refusals.add("stale", None, "signed 90 s ago");
        refusals.add("version", None, "not 2");
        let shown: Vec<_> = recorded(&refusals)
            .into_iter()
            .map(|Refused { reason, claimed, count, detail }| (reason, claimed, count, detail.unwrap()))
            .collect();
        let row = |reason: &str, claimed: Option<&str>, count, detail: &str| {
            (reason.to_owned(), claimed.map(str::to_owned), count, detail.to_owned())
        };
        assert_eq!(
            shown,
            [
                row("version", None, 1, "not 2"),
                row("stale", Some("5A"), 2, "signed 21 s ago"),
                row("stale", None, 1, "signed 90 s ago"),
            ]
        );
    }

    #[test]
    fn what_was_recorded_is_not_recorded_again() {
        let refusals = Refusals::default();
        refusals.add("version", None, "not 2");
        assert_eq!(recorded(&refusals).len(), 1);
        assert!(recorded(&refusals).is_empty());
    }

    #[test]
    fn ever_new_hotkeys_cost_no_memory_and_no_count_is_lost() {
        let refusals = Refusals::default();
        (0..10 * SUMS).for_each(|n| refusals.add("low_stake", Some(n.to_string()), &"x".repeat(9_999)));
        let recorded = recorded(&refusals);
        assert_eq!(recorded.len(), SUMS + 1);
        assert_eq!(recorded.iter().map(|sum| sum.count).sum::<u64>(), 10 * SUMS as u64);
        assert!(recorded.iter().all(|sum| sum.detail.as_ref().unwrap().len() <= MAX_DETAIL));
    }
}
