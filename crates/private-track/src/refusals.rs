//! Requests that the gate refused, summed until they are recorded: whoever is refused must not fill the journal.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use adit_auth::{Refusal, StakeTable};
use adit_journal::Journal;
use adit_journal::record::{Refused, bounded};
use adit_keys::Hotkey;
use axum::http::HeaderValue;

/// How often the sums are recorded.
pub(crate) const EVERY: Duration = Duration::from_secs(60);
/// Most pairs of a reason and a claimed hotkey that are told apart within one period. Any stranger can name the hotkeys of
/// validators; reasons without one are as few as the gate has.
const MOST_CLAIMS: usize = 16;
/// Most characters of a refusal's words.
const MAX_DETAIL: usize = 200;

/// The sums of one period.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    sums: Mutex<BTreeMap<(&'static str, Option<Hotkey>), Sum>>,
}

#[derive(Debug, Default)]
struct Sum {
    count: u64,
    detail: String,
}

/// The hotkey that a header names, where it is one that the table knows.
pub(crate) fn claimed(header: Option<&HeaderValue>, stakes: Option<&StakeTable>) -> Option<Hotkey> {
    let hotkey = header?.to_str().ok()?.parse().ok()?;
    stakes?.stake(&hotkey).map(|_| hotkey)
}

impl Refusals {
    pub(crate) fn add(&self, refusal: &Refusal, claimed: Option<Hotkey>) {
        let detail = bounded(&refusal.to_string(), MAX_DETAIL);
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = (refusal.label(), claimed);
        if claimed.is_some() && !sums.contains_key(&key) {
            let claims = sums.keys().filter(|(_, claimed)| claimed.is_some()).count();
            if claims >= MOST_CLAIMS {
                key.1 = None;
            }
        }
        let sum = sums.entry(key).or_default();
        sum.count = sum.count.saturating_add(1);
        sum.detail = detail;
    }

    /// Records the sums and begins anew.
    pub(crate) fn record(&self, journal: &Journal) {
        let sums = std::mem::take(&mut *self.sums.lock().unwrap_or_else(PoisonError::into_inner));
        for ((reason, claimed), Sum { count, detail }) in sums {
            journal.record(&Refused {
                reason: reason.to_owned(),
                claimed: claimed.map(|hotkey| hotkey.to_string()),
                count,
                detail: Some(detail),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use adit_journal::{Find, Limits, Reader};

    use super::*;

    fn hotkey(n: u8) -> Hotkey {
        Hotkey::from_bytes([n; 32])
    }

    fn recorded(refusals: &Refusals) -> Vec<Refused> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.sqlite");
        refusals.record(&Journal::open(&path, Limits::default()).unwrap());
        let find = Find { limit: 10_000, ..Find::event("refused") };
        let entries = Reader::open(&path).unwrap().find(&find).unwrap();
        entries.iter().rev().map(|entry| entry.read().unwrap()).collect()
    }

    #[test]
    fn they_are_summed_by_reason_and_claimed_hotkey_with_the_last_ones_words() {
        let refusals = Refusals::default();
        refusals.add(&Refusal::LowStake { stake: 1.0 }, Some(hotkey(1)));
        refusals.add(&Refusal::LowStake { stake: 2.0 }, Some(hotkey(1)));
        refusals.add(&Refusal::LowStake { stake: 3.0 }, Some(hotkey(2)));
        refusals.add(&Refusal::NonceShape, None);
        let rows: Vec<_> = recorded(&refusals)
            .into_iter()
            .map(|refused| (refused.reason, refused.claimed, refused.count, refused.detail.unwrap()))
            .collect();
        let low = |hotkey: Hotkey, count, stake| {
            let words = format!("stake {stake} is below the threshold");
            ("low_stake".to_owned(), Some(hotkey.to_string()), count, words)
        };
        assert_eq!(rows[..2], [low(hotkey(1), 2, 2), low(hotkey(2), 1, 3)]);
        assert_eq!((rows.len(), rows[2].0.as_str(), &rows[2].1, rows[2].2), (3, "nonce_shape", &None, 1));
        assert!(recorded(&refusals).is_empty(), "they are recorded once");
    }

    #[test]
    fn a_flood_in_the_names_of_many_writes_few_entries_and_loses_no_count() {
        let refusals = Refusals::default();
        for round in 0..40_u8 {
            for n in 0..=255 {
                let refusal = if round % 2 == 0 { Refusal::NonceShape } else { Refusal::NonceWindow };
                refusals.add(&refusal, Some(hotkey(n)));
            }
        }
        let rows = recorded(&refusals);
        assert!(rows.len() <= MOST_CLAIMS + 2, "{}", rows.len());
        assert_eq!(rows.iter().map(|row| row.count).sum::<u64>(), 40 * 256);
    }

    #[test]
    fn a_refusals_words_are_cut_off() {
        let refusals = Refusals::default();
        refusals.add(&Refusal::SignatureShape("ü".repeat(5000)), None);
        assert_eq!(recorded(&refusals)[0].detail.as_ref().unwrap().chars().count(), MAX_DETAIL);
    }

    #[test]
    fn a_hotkey_counts_as_claimed_only_where_the_table_knows_it() {
        let table = StakeTable::new([(hotkey(1), 5.0)].into(), SystemTime::now());
        let header = |text: String| HeaderValue::from_str(&text).unwrap();
        let known = header(hotkey(1).to_string());
        assert_eq!(claimed(Some(&known), Some(&table)), Some(hotkey(1)));
        assert_eq!(claimed(Some(&known), None), None);
        for unknown in [Some(header(hotkey(2).to_string())), Some(header("5Bad".to_owned())), None] {
            assert_eq!(claimed(unknown.as_ref(), Some(&table)), None, "{unknown:?}");
        }
    }
}
