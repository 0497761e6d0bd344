//! How things stand this moment: what the journals say last, and what running miners answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use adit_http_server::seen_from_here;
use adit_journal::record::{Chain, Started, Stopped};
use adit_journal::{ReadError, Reader, Size};
use adit_outbound::{AddressGuard, Client, FetchError, Limits};
use tokio::time::Instant;

use crate::{Miner, Sources};

/// A miner on this host answers within that, or something is wrong with it.
const PATIENCE: Duration = Duration::from_secs(2);
/// Most bytes of its figures.
const MOST_FIGURES: u64 = 4 << 20;
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// All miners of a host.
#[derive(Debug, Clone)]
pub struct Now {
    /// When it was looked, in Unix milliseconds.
    pub at_ms: i64,
    /// Each miner, also one that was never here.
    pub miners: Vec<MinerNow>,
}

/// One miner.
#[derive(Debug, Clone)]
pub struct MinerNow {
    /// Which.
    pub miner: Miner,
    /// Whether it runs.
    pub run: Run,
    /// Its last start.
    pub started: Option<Started>,
    /// When that was, in Unix milliseconds.
    pub started_ms: Option<i64>,
    /// Why it stopped, where that was by an error and it has not started since.
    pub stopped: Option<String>,
    /// The last challenge or task.
    pub last: Option<Last>,
    /// What waits and what is worked on, where it answers.
    pub queue: Option<Queue>,
    /// Of the last 24 hours.
    pub day: Counts,
    /// What came of them by the hour, good and bad, the oldest first; the last hour is the one that runs.
    pub hours: [(u64, u64); 24],
    /// What the chain said last.
    pub chain: Option<Chain>,
    /// When that was recorded, in Unix milliseconds.
    pub chain_ms: Option<i64>,
    /// What it answers when its figures are asked for, by Prometheus' names with their labels.
    pub figures: BTreeMap<String, f64>,
    /// How large its journal is.
    pub journal: Option<Size>,
    /// Why its journal cannot be read.
    pub unreadable: Option<String>,
}

/// Whether a miner runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// It answers.
    Online,
    /// It has started and does not answer.
    Silent,
    /// It was stopped, or ended by an error.
    Stopped,
    /// Nothing of it was ever recorded here.
    Never,
    /// It is not one that runs on this host.
    Elsewhere,
}

impl Run {
    /// In a word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Silent => "not answering",
            Self::Stopped => "stopped",
            Self::Never => "never seen",
            Self::Elsewhere => "runs elsewhere",
        }
    }
}

/// The last challenge or task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Last {
    /// When, in Unix milliseconds.
    pub at_ms: i64,
    /// Its entry in the journal.
    pub id: i64,
    /// The challenge or task.
    pub key: String,
    /// Who asked (ss58).
    pub who: Option<String>,
    /// How it ended, or how far it has come.
    pub outcome: String,
}

/// Work under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queue {
    /// Worked on.
    pub working: u64,
    /// Waiting.
    pub waiting: u64,
}

/// What happened within a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Challenges answered, tasks delivered, rehearsals and pushes that went well.
    pub good: u64,
    /// Those that came to nothing.
    pub bad: u64,
    /// Requests refused at the gate.
    pub refused: u64,
    /// What it cost, in millionths of a US dollar.
    pub micro_usd: u64,
}

/// How running miners are asked.
#[derive(Debug, Clone)]
pub struct Connection {
    client: Client,
}

impl Connection {
    /// One that reaches this host's own addresses.
    ///
    /// # Errors
    /// Where there can be no client.
    pub fn new() -> Result<Self, FetchError> {
        Ok(Self { client: Client::new(AddressGuard::unrestricted())? })
    }

    /// The figures of the miner that listens at `address`; `None` where it does not answer.
    async fn figures(&self, address: &str) -> Option<BTreeMap<String, f64>> {
        let address = seen_from_here(address.parse().ok()?);
        let limits = Limits::new(Instant::now() + PATIENCE, MOST_FIGURES);
        let asking =
            async { self.client.get(&format!("http://{address}/metrics"), &limits).await?.bytes().await };
        Some(figures(&String::from_utf8_lossy(&asking.await.ok()?)))
    }
}

/// Prometheus' text as numbers, a line each.
fn figures(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    // A label may hold a blank, a number does not.
    lines
        .filter_map(|line| line.rsplit_once(' '))
        .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
        .collect()
}

impl Now {
    /// Looks: at the journals, and at each miner that should be running.
    pub async fn look(sources: &Arc<Sources>, connection: &Connection) -> Self {
        sources.ask();
        let at_ms = unix_ms(SystemTime::now());
        let one = async |miner| {
            let read = sources.read(miner, move |reader| MinerNow::read(miner, reader, at_ms)).await;
            let mut now = match read {
                Ok(Some(now)) => now,
                Ok(None) => MinerNow::empty(miner),
                Err(error) => MinerNow { unreadable: Some(error.to_string()), ..MinerNow::empty(miner) },
            };
            now.ask(connection).await;
            now
        };
        let (private, generative, turbo) =
            tokio::join!(one(Miner::PrivateTrack), one(Miner::Generative), one(Miner::TurboVision));
        Self { at_ms, miners: vec![private, generative, turbo] }
    }

    /// One of its miners.
    #[must_use]
    pub fn miner(&self, miner: Miner) -> Option<&MinerNow> {
        self.miners.iter().find(|now| now.miner == miner)
    }
}

impl MinerNow {
    fn empty(miner: Miner) -> Self {
        let run = if miner == Miner::TurboVision { Run::Elsewhere } else { Run::Never };
        Self {
            miner,
            run,
            started: None,
            started_ms: None,
            stopped: None,
            last: None,
            queue: None,
            day: Counts::default(),
            hours: [(0, 0); 24],
            chain: None,
            chain_ms: None,
            figures: BTreeMap::new(),
            journal: None,
            unreadable: None,
        }
    }

    fn read(miner: Miner, reader: &Reader, at_ms: i64) -> Result<Self, ReadError> {
        let mut now = Self::empty(miner);
        now.journal = Some(reader.size()?);
        let started = reader.newest("started")?;
        let stopped = reader.newest("stopped")?;
        if let Some(started) = started {
            now.started_ms = Some(started.at_ms);
            now.started = started.read::<Started>();
            now.run = Run::Silent;
            if let Some(stopped) = stopped.filter(|stopped| stopped.id > started.id) {
                now.run = Run::Stopped;
                now.stopped = stopped.read::<Stopped>().and_then(|stopped| stopped.reason);
            }
        }
        if let Some(chain) = reader.newest("chain")? {
            now.chain_ms = Some(chain.at_ms);
            now.chain = chain.read::<Chain>();
        }
        let (event, good, bad): (_, &[&str], &[&str]) = match miner {
            Miner::PrivateTrack => ("challenge", &["answered"], &["failed", "caller_left"]),
            Miner::Generative => {
                ("task", &["delivered"], &["failed", "refused", "uncertain", "expired", "dead"])
            }
            Miner::TurboVision => ("rehearsed", &["passed"], &["failed"]),
        };
        now.last = reader.newest(event)?.map(|entry| Last {
            at_ms: entry.at_ms,
            id: entry.id,
            key: entry.key.unwrap_or_default(),
            who: entry.who,
            outcome: entry.outcome.unwrap_or_default(),
        });
        for tally in reader.tallies(event, at_ms - DAY_MS)? {
            now.day.micro_usd += tally.micro_usd;
            let ago = at_ms.div_euclid(HOUR_MS) - tally.hour;
            let hour = usize::try_from(23 - ago).ok().and_then(|hour| now.hours.get_mut(hour));
            let mut none = (0, 0);
            let hour = hour.unwrap_or(&mut none);
            let outcome = tally.outcome.as_str();
            if good.contains(&outcome) {
                now.day.good += tally.count;
                hour.0 += tally.count;
            } else if bad.contains(&outcome) {
                now.day.bad += tally.count;
                hour.1 += tally.count;
            }
        }
        now.day.refused = reader.tallies("refused", at_ms - DAY_MS)?.iter().map(|tally| tally.count).sum();
        Ok(now)
    }

    /// Asks it, where it should be running.
    async fn ask(&mut self, connection: &Connection) {
        let (Run::Silent, Some(started)) = (self.run, &self.started) else { return };
        let Some(figures) = connection.figures(&started.address).await else { return };
        self.run = Run::Online;
        let sum = |wanted: &dyn Fn(&str) -> bool| {
            figures.iter().filter(|(name, _)| wanted(name)).map(|(_, value)| *value).sum::<f64>() as u64
        };
        self.queue = match self.miner {
            Miner::PrivateTrack => Some(Queue {
                working: sum(&|name| name == "adit_private_working"),
                waiting: sum(&|name| name == "adit_private_waiting"),
            }),
            Miner::Generative => {
                let state = |name: &str, states: &[&str]| {
                    name.starts_with("adit_generative_tasks{")
                        && states.iter().any(|state| name.contains(&format!("state=\"{state}\"")))
                };
                Some(Queue {
                    working: sum(&|name| {
                        state(name, &["calling", "submitted", "fetched", "unknown", "checked", "delivering"])
                    }),
                    waiting: sum(&|name| state(name, &["accepted"])),
                })
            }
            Miner::TurboVision => None,
        };
        self.figures = figures;
    }
}

pub(crate) fn unix_ms(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use adit_journal::record::TaskStep;
    use adit_journal::{GENERATIVE, Journal, Limits as Kept};

    use super::*;

    #[tokio::test]
    async fn what_happened_is_counted_by_the_hour_and_a_time_ahead_breaks_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(&folder.path().join(GENERATIVE), Kept::default()).unwrap();
        let now_ms = unix_ms(SystemTime::now());
        let step = |step: &str, state: &str| TaskStep {
            step: step.to_owned(),
            state: state.to_owned(),
            spent_micro_usd: 40_000,
            ..TaskStep::default()
        };
        for (hours, step) in [
            (0, step("answered", "delivered")),
            (3, step("answered", "delivered")),
            (3, step("answered", "dead")),
            (3, step("fetched", "fetched")),
            (40, step("answered", "delivered")),
            (-9000, step("answered", "delivered")),
        ] {
            journal.record_at(now_ms - hours * HOUR_MS, &step);
        }
        drop(journal);
        let sources = Sources::new(folder.path().to_owned());
        let now = Now::look(&sources, &Connection::new().unwrap()).await;
        let generative = now.miner(Miner::Generative).unwrap();
        assert_eq!((generative.hours[23], generative.hours[20]), ((1, 0), (1, 1)));
        assert_eq!(generative.hours.iter().map(|(good, bad)| good + bad).sum::<u64>(), 3);
        // The one ahead is counted, as nobody knows which of the two times is right.
        assert_eq!((generative.day.good, generative.day.bad, generative.day.micro_usd), (3, 1, 200_000));
        assert_eq!(generative.run, Run::Never);
    }

    #[tokio::test]
    async fn whoever_looks_asks_for_what_is_recorded_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(adit_journal::PRIVATE_TRACK);
        let bring = move || {
            adit_journal::Journal::open(&path, adit_journal::Limits::default()).unwrap();
        };
        let sources = Sources::asking(folder.path().to_owned(), bring);
        let now = Now::look(&sources, &Connection::new().unwrap()).await;
        assert!(now.miner(Miner::PrivateTrack).unwrap().journal.is_some());
    }

    #[test]
    fn figures_are_read_with_their_labels() {
        let text = "# HELP a b\n# TYPE a gauge\na 1\nb_total{reason=\"x y\",m=\"z\"} 2.5\nc NaN\n# EOF\n";
        let figures = figures(text);
        assert_eq!(figures["a"], 1.0);
        assert_eq!(figures["b_total{reason=\"x y\",m=\"z\"}"], 2.5);
        assert!(figures["c"].is_nan());
        assert_eq!(figures.len(), 3);
    }
}
