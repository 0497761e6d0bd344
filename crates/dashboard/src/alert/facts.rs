//! What alerts are judged by, beside how things stand now.

use std::path::Path;

use adit_journal::record::{ClockJumped, Damaged, SpotChecked};
use adit_journal::{Find, ReadError, Reader};

use crate::{Miner, Now, Sources};

const HOUR_MS: i64 = 3_600_000;

/// A certificate that validators trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// Its name.
    pub name: String,
    /// When it ends, in Unix milliseconds.
    pub ends_ms: i64,
}

/// Room on the data folder's disk, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// What the miners' user may still use.
    pub free: u64,
    /// All of it.
    pub total: u64,
}

/// What is known of one miner's past.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Past {
    /// Refusals of the last hour by reason, the most frequent first.
    pub refused_hour: Vec<(String, u64)>,
    /// Mean of refusals an hour in the day before that.
    pub refused_mean: f64,
    /// Tasks of the last hour that were delivered, and those that came to nothing.
    pub ended_hour: (u64, u64),
    /// What was spent since the UTC day began, in millionths of a US dollar.
    pub spent_today: u64,
    /// The chain has said before that the hotkey is registered.
    pub was_registered: bool,
    /// The image that passed a spot check of ours last.
    pub passed_image: Option<String>,
    /// When the clock jumped last, in Unix milliseconds, and by how much.
    pub jumped: Option<(i64, i64)>,
    /// The damaged journal before this one.
    pub damaged: Option<(i64, String)>,
}

/// Everything that alerts are judged by.
#[derive(Debug, Clone)]
pub struct Facts {
    /// How things stand.
    pub now: Now,
    /// Each miner's past, in the order of [`Miner::ALL`].
    pub past: [Past; 3],
    /// The disk, where the system says.
    pub disk: Option<Disk>,
    /// The certificates that are at hand.
    pub anchors: Vec<Anchor>,
}

impl Facts {
    /// Gathers them. To be called where waiting for a disk is allowed.
    #[must_use]
    pub fn gather(sources: &Sources, now: Now, anchors: Vec<Anchor>) -> Self {
        let at_ms = now.at_ms;
        // A journal that cannot be read is in `now` already.
        let past = |miner| {
            let read = sources.read_here(miner, |reader| Past::read(reader, at_ms));
            read.ok().flatten().unwrap_or_default()
        };
        Self { past: Miner::ALL.map(past), disk: disk(sources.folder()), now, anchors }
    }
}

impl Past {
    fn read(reader: &Reader, at_ms: i64) -> Result<Self, ReadError> {
        let mut past = Self::default();
        let this_hour = at_ms.div_euclid(HOUR_MS);
        // Sums go by the hour, so the last one is what has come of this one and the one before.
        let recent = |hour: i64| hour >= this_hour - 1;
        let mut before = 0;
        for tally in reader.tallies("refused", at_ms - 25 * HOUR_MS)? {
            if !recent(tally.hour) {
                before += tally.count;
                continue;
            }
            match past.refused_hour.iter_mut().find(|(reason, _)| *reason == tally.outcome) {
                Some((_, count)) => *count += tally.count,
                None => past.refused_hour.push((tally.outcome, tally.count)),
            }
        }
        past.refused_hour.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        past.refused_mean = before as f64 / 24.0;
        let day = at_ms.div_euclid(24 * HOUR_MS) * 24;
        for tally in reader.tallies("task", at_ms - 25 * HOUR_MS)? {
            if tally.hour >= day {
                past.spent_today += tally.micro_usd;
            }
            if recent(tally.hour) {
                match tally.outcome.as_str() {
                    "delivered" => past.ended_hour.0 += tally.count,
                    "failed" | "refused" | "uncertain" | "expired" | "dead" => {
                        past.ended_hour.1 += tally.count
                    }
                    _ => {}
                }
            }
        }
        let one = |event, outcome| Find { outcome: Some(outcome), limit: 1, ..Find::event(event) };
        past.was_registered = !reader.find(&one("chain", "registered"))?.is_empty();
        let passed = reader.find(&one("spot_checked", "passed"))?.pop();
        past.passed_image = passed.and_then(|entry| entry.read::<SpotChecked>()).map(|check| check.image);
        past.jumped =
            reader.newest("clock")?.and_then(|entry| Some((entry.at_ms, entry.read::<ClockJumped>()?.by_ms)));
        past.damaged = reader
            .newest("damaged")?
            .and_then(|entry| Some((entry.at_ms, entry.read::<Damaged>()?.set_aside)));
        Ok(past)
    }
}

fn disk(folder: &Path) -> Option<Disk> {
    // One that is not there yet will be on the disk of what it is to be made in.
    let there = folder.ancestors().find(|folder| folder.exists())?;
    let found = rustix::fs::statvfs(there).ok()?;
    Some(Disk { free: found.f_bavail * found.f_frsize, total: found.f_blocks * found.f_frsize })
}
