//! Counters for `/metrics`, in Prometheus' text form. One registry a server, so that two servers in
//! one process (a test, a demo) do not count together.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

/// What is counted.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    challenges: Family<Outcome, Counter>,
    refusals: Family<Reason, Counter>,
    seconds: Histogram,
    gauges: Gauges,
}

#[derive(Debug, Default)]
struct Gauges {
    working: Gauge,
    waiting: Gauge,
    ready: Gauge,
    nonces: Gauge,
    stake_age: Gauge<f64, AtomicU64>,
    stake_hotkeys: Gauge,
    /// The journal's own count, shown as it is.
    journal_dropped: Counter,
}

/// The values of the moment, read when `/metrics` is asked.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) working: usize,
    pub(crate) waiting: usize,
    pub(crate) ready: bool,
    pub(crate) nonces: usize,
    /// Age and number of hotkeys, where there is a table.
    pub(crate) stakes: Option<(Duration, usize)>,
    /// Entries that the journal dropped, where there is one.
    pub(crate) journal_dropped: Option<u64>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("adit_private");
        let challenges = Family::<Outcome, Counter>::default();
        let refusals = Family::<Reason, Counter>::default();
        // 10 ms to 41 s; a validator gives up at 30 s.
        let seconds = Histogram::new(exponential_buckets(0.01, 2.0, 13));
        let gauges = Gauges::default();
        registry.register(
            "challenges",
            "Challenges that passed the gate, by how they ended",
            challenges.clone(),
        );
        registry.register("refusals", "Requests refused at the gate, by reason", refusals.clone());
        let text = "Time from the last body byte of a challenge to its answer";
        registry.register_with_unit("challenge", text, Unit::Seconds, seconds.clone());
        registry.register("working", "Challenges being worked on", gauges.working.clone());
        registry.register("waiting", "Challenges waiting for a turn", gauges.waiting.clone());
        registry.register("ready", "1 when the predictor is loaded", gauges.ready.clone());
        registry.register("nonces", "Nonces remembered", gauges.nonces.clone());
        let text = "Age of the stake table; absent table: -1";
        registry.register_with_unit("stake_table_age", text, Unit::Seconds, gauges.stake_age.clone());
        registry.register("stake_table_hotkeys", "Hotkeys in the stake table", gauges.stake_hotkeys.clone());
        let text = "Challenges that the journal could not record";
        registry.register("journal_dropped", text, gauges.journal_dropped.clone());
        Self { registry, challenges, refusals, seconds, gauges }
    }

    pub(crate) fn refused(&self, reason: &'static str) {
        self.refusals.get_or_create(&Reason { reason }).inc();
    }

    pub(crate) fn ended(&self, outcome: &'static str, took: Duration) {
        self.challenges.get_or_create(&Outcome { outcome }).inc();
        self.seconds.observe(took.as_secs_f64());
    }

    /// The text of `/metrics`.
    pub(crate) fn render(&self, now: &Snapshot) -> Result<String, std::fmt::Error> {
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        self.gauges.working.set(count(now.working));
        self.gauges.waiting.set(count(now.waiting));
        self.gauges.ready.set(i64::from(now.ready));
        self.gauges.nonces.set(count(now.nonces));
        self.gauges.stake_age.set(now.stakes.map_or(-1.0, |(age, _)| age.as_secs_f64()));
        self.gauges.stake_hotkeys.set(now.stakes.map_or(0, |(_, hotkeys)| count(hotkeys)));
        let dropped = now.journal_dropped.unwrap_or_default();
        self.gauges.journal_dropped.inner().store(dropped, Ordering::Relaxed);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
