//! Nonces: their shape, their window, and the memory that makes each usable once.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use adit_keys::Hotkey;
use sha2::{Digest as _, Sha256};

/// How far a nonce's time may lie from the clock, either way, inclusive (section 3.4).
pub const WINDOW: Duration = Duration::from_secs(120);

/// How long a used nonce is remembered: twice the window, since a nonce from the far end of the
/// future side stays fresh for that long.
pub const RETENTION: Duration = Duration::from_secs(240);

/// Longest nonce that is looked at. Fiber's has 30 characters.
const MAX_LENGTH: usize = 128;

/// Nanoseconds since 1970. 20 decimal digits, which the protocol allows, need more than 64 bits.
pub type UnixNanos = u128;

/// A system time as nanoseconds since 1970; 0 for any earlier time.
#[must_use]
pub fn unix_nanos(time: SystemTime) -> UnixNanos {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos())
}

/// A nonce of the right shape: 1 to 20 digits of nanoseconds, then nothing or `_` and anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nonce<'a> {
    text: &'a str,
    at: UnixNanos,
}

impl<'a> Nonce<'a> {
    /// Reads the shape; the window is checked by [`Nonce::is_fresh`].
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let digits = text.split_once('_').map_or(text, |(digits, _)| digits);
        let well_formed = text.len() <= MAX_LENGTH
            && (1..=20).contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_digit());
        well_formed.then(|| digits.parse().ok()).flatten().map(|at| Self { text, at })
    }

    /// True within [`WINDOW`] of the clock, both ends included.
    #[must_use]
    pub fn is_fresh(&self, now: UnixNanos) -> bool {
        self.at.abs_diff(now) <= WINDOW.as_nanos()
    }

    /// The nonce as it was sent and signed.
    #[must_use]
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// True for `<time>_<random>`, the shape that fiber's client makes.
    pub(crate) fn has_suffix(&self) -> bool {
        self.text.contains('_')
    }
}

/// What identifies a used nonce: 16 bytes of SHA-256 over validator and nonce, so that an entry has
/// one small size whatever was sent.
type Fingerprint = [u8; 16];

/// Why a nonce was not recorded. `Display` is for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NonceError {
    /// Used before.
    #[error("nonce was used before")]
    Replayed,
    /// No room to remember another nonce.
    #[error("replay memory is full (ADIT_NONCE_CAPACITY)")]
    MemoryFull,
}

impl NonceError {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Replayed => "replayed",
            Self::MemoryFull => "memory_full",
        }
    }
}

/// The nonces used lately. Bounded: when full, new requests are refused and nothing that could
/// still be replayed is forgotten. Seen-check and recording are one step under one lock.
#[derive(Debug)]
pub struct NonceStore {
    capacity: usize,
    retention: Duration,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    seen: HashSet<Fingerprint>,
    /// Oldest first; an entry leaves when its time is up.
    order: VecDeque<(UnixNanos, Fingerprint)>,
}

impl NonceStore {
    /// A store of at most `capacity` nonces (about 60 bytes each, taken as they come), each kept for
    /// `retention`: at least as long as a request could be repeated, such as [`RETENTION`].
    #[must_use]
    pub fn new(capacity: usize, retention: Duration) -> Self {
        Self { capacity, retention, used: Mutex::default() }
    }

    /// Records a nonce of a validator.
    ///
    /// # Errors
    /// [`NonceError::Replayed`] where it was recorded within the retention, [`NonceError::MemoryFull`]
    /// where there is no room.
    pub fn remember(&self, validator: &Hotkey, nonce: &str, now: UnixNanos) -> Result<(), NonceError> {
        let mut fingerprint = [0; 16];
        let digest = Sha256::new().chain_update(validator.as_bytes()).chain_update(nonce).finalize();
        fingerprint.copy_from_slice(&digest[..16]);

        // A panic while the lock was held cannot leave the two collections torn in a way that
        // matters: at worst one entry is remembered for ever.
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(&(until, oldest)) = used.order.front() {
            if until > now {
                break;
            }
            used.order.pop_front();
            used.seen.remove(&oldest);
        }
        if used.seen.contains(&fingerprint) {
            return Err(NonceError::Replayed);
        }
        if used.seen.len() >= self.capacity {
            return Err(NonceError::MemoryFull);
        }
        used.seen.insert(fingerprint);
        used.order.push_back((now + self.retention.as_nanos(), fingerprint));
        Ok(())
    }

    /// Number of nonces remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).seen.len()
    }

    /// True before the first nonce.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    const SECOND: UnixNanos = 1_000_000_000;
    const NOW: UnixNanos = 1_773_219_466 * SECOND;

    fn validator(n: u8) -> Hotkey {
        Hotkey::from_bytes([n; 32])
    }

    #[test]
    fn the_shape_is_digits_and_perhaps_a_suffix() {
        for good in ["1", "0_a", "17_", "17_a_b", "99999999999999999999_x"] {
            assert!(Nonce::parse(good).is_some(), "{good}");
        }
        let long = format!("1_{}", "x".repeat(MAX_LENGTH));
        for bad in ["", "_a", "abc", "1.5", "+1", "-1", " 1", "0x1f", "100000000000000000000", "１", &long] {
            assert!(Nonce::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn the_window_is_inclusive_on_both_sides() {
        for (at, fresh) in [
            (NOW - 120 * SECOND, true),
            (NOW - 120 * SECOND - 1, false),
            (NOW + 120 * SECOND, true),
            (NOW + 120 * SECOND + 1, false),
        ] {
            assert_eq!(Nonce::parse(&at.to_string()).unwrap().is_fresh(NOW), fresh, "{at}");
        }
    }

    #[test]
    fn the_same_nonce_of_two_validators_is_two_nonces() {
        let store = NonceStore::new(10, RETENTION);
        assert_eq!(store.remember(&validator(1), "5", NOW), Ok(()));
        assert_eq!(store.remember(&validator(2), "5", NOW), Ok(()));
        assert_eq!(store.remember(&validator(1), "5", NOW), Err(NonceError::Replayed));
    }

    #[test]
    fn a_full_store_refuses_the_new_and_keeps_the_old() {
        let store = NonceStore::new(1, RETENTION);
        assert_eq!(store.remember(&validator(1), "1", NOW), Ok(()));
        assert_eq!(store.remember(&validator(1), "2", NOW), Err(NonceError::MemoryFull));
        assert_eq!(store.remember(&validator(1), "1", NOW), Err(NonceError::Replayed));
        assert_eq!(store.remember(&validator(1), "2", NOW + 240 * SECOND), Ok(()));
    }

    #[test]
    fn of_many_at_once_exactly_one_wins() {
        let store = NonceStore::new(1000, RETENTION);
        let wins: usize = std::thread::scope(|scope| {
            let attempt = || store.remember(&validator(1), "7", NOW).is_ok();
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(attempt)).collect();
            threads.into_iter().filter_map(|thread| thread.join().ok()).filter(|won| *won).count()
        });
        assert_eq!(wins, 1);
    }

    proptest! {
        /// Against the plain model: a map from nonce to the time it was recorded.
        #[test]
        fn the_store_behaves_as_a_map_with_expiry(
            capacity in 1usize..6,
            steps in prop::collection::vec((0u8..2, 0u8..5, 0u64..150), 1..60),
        ) {
            let store = NonceStore::new(capacity, RETENTION);
            let mut model: HashMap<(u8, u8), UnixNanos> = HashMap::new();
            let mut now = NOW;
            for (who, what, seconds) in steps {
                now += UnixNanos::from(seconds) * SECOND;
                model.retain(|_, at| *at + RETENTION.as_nanos() > now);
                let expected = if model.contains_key(&(who, what)) {
                    Err(NonceError::Replayed)
                } else if model.len() >= capacity {
                    Err(NonceError::MemoryFull)
                } else {
                    model.insert((who, what), now);
                    Ok(())
                };
                prop_assert_eq!(store.remember(&validator(who), &what.to_string(), now), expected);
                prop_assert_eq!(store.len(), model.len());
            }
        }
    }
}
