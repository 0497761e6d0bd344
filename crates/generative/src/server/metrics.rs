//! `/metrics`, in Prometheus' text form: what this server has counted since its start, and how the tasks of all hosts
//! stand in the database, which is read when it is asked for. No prompt and no webhook is in it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::Miner;
use crate::task::{Ledger, State, StoreError, ValidatorStats};
use crate::{Modality, Usd};

/// Anybody may ask: the database is read by one at a time, and not again within this.
const FRESH: Duration = Duration::from_secs(1);
/// Prometheus gives up after 10 s by default, and then has no figures at all.
const PATIENCE: Duration = Duration::from_secs(5);

type Dollars = Gauge<f64, AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReason {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByModality {
    modality: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByState {
    modality: &'static str,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByValidator {
    validator: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByValidatorAndState {
    validator: String,
    state: &'static str,
}

/// What is counted, and what is shown.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    accepted: Family<ByModality, Counter>,
    refusals: Family<ByReason, Counter>,
    unavailable: Family<ByReason, Counter>,
    deliveries: Family<ByOutcome, Counter>,
    commits: Counter,
    tasks: Family<ByState, Gauge>,
    queue_limit: Gauge,
    validator_tasks: Family<ByValidatorAndState, Gauge>,
    validator_cost: Family<ByValidator, Dollars>,
    spent_today: Dollars,
    daily_budget: Dollars,
    database_up: Gauge,
    stake_age: Gauge<f64, AtomicU64>,
    stake_hotkeys: Gauge,
    nonces: Gauge,
    /// The journal's own count, shown as it is.
    journal_dropped: Counter,
    /// When the database was last read.
    read_at: Mutex<Option<Instant>>,
}

/// How the tasks stand.
struct Standing {
    tasks: Vec<(Modality, BTreeMap<State, u64>)>,
    validators: BTreeMap<String, ValidatorStats>,
    spent: Usd,
}

impl Standing {
    async fn read(ledger: &Ledger) -> Result<Self, StoreError> {
        let mut tasks = Vec::new();
        for modality in Modality::ALL {
            tasks.push((modality, ledger.counts(modality).await?));
        }
        let spent = ledger.spent(ledger.today()).await?;
        Ok(Self { tasks, validators: ledger.validators().await?, spent })
    }
}

impl Metrics {
    pub(super) fn new() -> Self {
        let new = Self {
            registry: Registry::default(),
            accepted: Family::default(),
            refusals: Family::default(),
            unavailable: Family::default(),
            deliveries: Family::default(),
            commits: Counter::default(),
            tasks: Family::default(),
            queue_limit: Gauge::default(),
            validator_tasks: Family::default(),
            validator_cost: Family::default(),
            spent_today: Gauge::default(),
            daily_budget: Gauge::default(),
            database_up: Gauge::default(),
            stake_age: Gauge::default(),
            stake_hotkeys: Gauge::default(),
            nonces: Gauge::default(),
            journal_dropped: Counter::default(),
            read_at: Mutex::default(),
        };
        let mut registry = Registry::with_prefix("adit_generative");
        let usd = || Unit::Other("usd".to_owned());
        registry.register("accepted", "Tasks accepted, by modality", new.accepted.clone());
        registry.register("refusals", "Requests refused at the gate, by reason", new.refusals.clone());
        let text = "Requests answered 503 behind the gate, by reason";
        registry.register("unavailable", text, new.unavailable.clone());
        let text = "Deliveries tried, by what the validator answered";
        registry.register("deliveries", text, new.deliveries.clone());
        registry.register("commits", "Transactions committed to the database", new.commits.clone());
        registry.register("tasks", "Tasks in the database, by modality and state", new.tasks.clone());
        let text = "Tasks of a modality that may be accepted and wait; beyond, 503";
        registry.register("queue_limit", text, new.queue_limit.clone());
        let text = "Tasks in the database, by validator and state";
        registry.register("validator_tasks", text, new.validator_tasks.clone());
        let text = "What the tasks in the database have cost or may have, by validator";
        registry.register_with_unit("validator_cost", text, usd(), new.validator_cost.clone());
        let text = "Spent or promised on this UTC day";
        registry.register_with_unit("spent_today", text, usd(), new.spent_today.clone());
        let text = "The most that may be spent on a UTC day; no limit: -1";
        registry.register_with_unit("daily_budget", text, usd(), new.daily_budget.clone());
        let text = "1 when the database answered; at 0 what is read from it is absent";
        registry.register("database_up", text, new.database_up.clone());
        let text = "Age of the stake table; absent table: -1";
        registry.register_with_unit("stake_table_age", text, Unit::Seconds, new.stake_age.clone());
        registry.register("stake_table_hotkeys", "Hotkeys in the stake table", new.stake_hotkeys.clone());
        registry.register("nonces", "Uuids of requests remembered", new.nonces.clone());
        let text = "Entries that the journal could not record";
        registry.register("journal_dropped", text, new.journal_dropped.clone());
        Self { registry, ..new }
    }

    pub(super) fn accepted(&self, modality: Modality) {
        self.accepted.get_or_create(&ByModality { modality: modality.as_str() }).inc();
    }

    pub(super) fn refused(&self, reason: &'static str) {
        self.refusals.get_or_create(&ByReason { reason }).inc();
    }

    pub(super) fn unavailable(&self, reason: &'static str) {
        self.unavailable.get_or_create(&ByReason { reason }).inc();
    }

    /// The text of `/metrics`.
    pub(super) async fn render(&self, miner: &Miner) -> Result<String, std::fmt::Error> {
        let mut read_at = self.read_at.lock().await;
        if read_at.is_none_or(|at| at.elapsed() >= FRESH) {
            let read = timeout(PATIENCE, Standing::read(miner.store.ledger())).await;
            match read.map_err(|_| format!("nothing came for {} s", PATIENCE.as_secs())) {
                Ok(Ok(standing)) => self.show(&standing),
                Ok(Err(error)) => self.show_nothing(&error.to_string()),
                Err(error) => self.show_nothing(&error),
            }
            *read_at = Some(Instant::now());
        }
        self.show_own(miner);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }

    fn show(&self, standing: &Standing) {
        for (modality, counts) in &standing.tasks {
            for state in State::ALL {
                let labels = ByState { modality: modality.as_str(), state: state.as_str() };
                let tasks = counts.get(state).copied().unwrap_or_default();
                self.tasks.get_or_create(&labels).set(count(tasks));
            }
        }
        self.validator_tasks.clear();
        self.validator_cost.clear();
        for (validator, stats) in &standing.validators {
            for (state, tasks) in &stats.tasks {
                let labels = ByValidatorAndState { validator: validator.clone(), state: state.as_str() };
                self.validator_tasks.get_or_create(&labels).set(count(*tasks));
            }
            let labels = ByValidator { validator: validator.clone() };
            self.validator_cost.get_or_create(&labels).set(dollars(stats.cost));
        }
        self.spent_today.set(dollars(standing.spent));
        self.database_up.set(1);
    }

    fn show_nothing(&self, why: &str) {
        tracing::error!("/metrics has no figures of the database: {why}");
        self.tasks.clear();
        self.validator_tasks.clear();
        self.validator_cost.clear();
        self.spent_today.set(f64::NAN);
        self.database_up.set(0);
    }

    fn show_own(&self, miner: &Miner) {
        let figures = miner.store.figures();
        self.commits.inner().store(figures.commits, Ordering::Relaxed);
        for (outcome, tries) in figures.deliveries {
            self.deliveries.get_or_create(&ByOutcome { outcome }).inner().store(tries, Ordering::Relaxed);
        }
        let dropped = miner.journal.as_ref().map_or(0, |journal| journal.dropped());
        self.journal_dropped.inner().store(dropped, Ordering::Relaxed);
        self.queue_limit.set(count(miner.store.queue_limit()));
        self.daily_budget.set(miner.daily_budget.map_or(-1.0, dollars));
        let stakes = miner.gate.as_ref().and_then(|gate| gate.stakes());
        let now = SystemTime::now();
        self.stake_age.set(stakes.as_ref().map_or(-1.0, |table| table.age(now).as_secs_f64()));
        self.stake_hotkeys.set(count(stakes.map_or(0, |table| table.len() as u64)));
        self.nonces.set(count(miner.gate.as_ref().map_or(0, |gate| gate.nonces().len() as u64)));
    }
}

fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn dollars(money: Usd) -> f64 {
    money.0 as f64 / 1e6
}
