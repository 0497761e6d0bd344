//! Which hosts of one PostgreSQL queue are alive.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Pause between two heartbeats of a host.
pub(super) const BEAT: Duration = Duration::from_secs(5);
/// A host whose heartbeats do not count up for so long is dead, and its tasks are taken over.
pub(super) const LEASE: Duration = Duration::from_secs(30);

/// What was seen of the other hosts. It compares no two hosts' clocks: it is by its own steady clock that a count has
/// stood still. So no jump of a clock makes a living host dead or a dead one live.
#[derive(Debug, Default)]
pub(super) struct Watch {
    seen: HashMap<String, (i64, Instant)>,
}

impl Watch {
    /// Takes note of every host's count of heartbeats, and says which hosts are dead.
    pub(super) fn observe(&mut self, beats: HashMap<String, i64>, now: Instant) -> Vec<String> {
        self.seen.retain(|host, _| beats.contains_key(host));
        let mut dead = Vec::new();
        for (host, count) in beats {
            let (last, since) = self.seen.entry(host.clone()).or_insert((count, now));
            if *last != count {
                (*last, *since) = (count, now);
            } else if now.duration_since(*since) >= LEASE {
                dead.push(host);
            }
        }
        dead
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beats(counts: &[(&str, i64)]) -> HashMap<String, i64> {
        counts.iter().map(|(host, count)| ((*host).to_owned(), *count)).collect()
    }

    #[test]
    fn only_a_count_that_stands_still_for_a_lease_is_a_death() {
        let start = Instant::now();
        let mut watch = Watch::default();
        assert!(watch.observe(beats(&[("a", 7), ("b", 7)]), start).is_empty());
        assert!(watch.observe(beats(&[("a", 8), ("b", 7)]), start + LEASE - BEAT).is_empty());
        assert_eq!(watch.observe(beats(&[("a", 8), ("b", 7)]), start + LEASE), ["b"]);
        // One that was only slow lives on, whatever its count is then.
        assert!(watch.observe(beats(&[("a", 8), ("b", 1)]), start + LEASE + BEAT).is_empty());
    }

    #[test]
    fn a_host_that_left_and_came_back_is_watched_anew() {
        let start = Instant::now();
        let mut watch = Watch::default();
        assert!(watch.observe(beats(&[("a", 1)]), start).is_empty());
        assert!(watch.observe(beats(&[]), start + LEASE).is_empty());
        assert!(watch.observe(beats(&[("a", 1)]), start + LEASE * 2).is_empty());
    }
}
