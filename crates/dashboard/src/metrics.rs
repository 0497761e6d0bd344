//! The same facts for Prometheus, of all miners of this host in one text.
//!
//! Counters are the journals' sums by the hour; gauges are how things stand now. The miners' own `/metrics` count what is too
//! small for a journal, and under other names.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::atomic::AtomicU64;

use adit_journal::{Find, ReadError, Reader, Tally};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use crate::alert::{Alert, RULES};
use crate::{Miner, MinerNow, Now, Run, SourceError, Sources};

/// Most validators, models or reasons that are told apart. A miner that judges nobody by stake may be asked by any number of
/// hotkeys, and Prometheus keeps each for ever.
const MOST: usize = 100;
/// What stands for those beyond.
const OTHER: &str = "other";
const DAY_MS: i64 = 86_400_000;
/// A task's ends.
const ENDS: [&str; 6] = ["delivered", "failed", "refused", "uncertain", "expired", "dead"];

/// Why there is no text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetricsError {
    /// Never, as the text is made in memory.
    #[error("the figures cannot be written: {0}")]
    Text(#[from] std::fmt::Error),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, EncodeLabelSet)]
struct ByValidator {
    validator: String,
    outcome: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, EncodeLabelSet)]
struct ByReason {
    miner: &'static str,
    reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, EncodeLabelSet)]
struct ByModel {
    service: String,
    model: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, EncodeLabelSet)]
struct ByOutcome {
    miner: &'static str,
    outcome: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, EncodeLabelSet)]
struct ByAnswer {
    answer: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByMiner {
    miner: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByRule {
    rule: &'static str,
}

type Counts<L> = Family<L, Counter>;
type Number = Family<ByMiner, Gauge<f64, AtomicU64>>;

/// What is shown, made anew each time.
#[derive(Default)]
struct Shown {
    challenges: Counts<ByValidator>,
    tasks: Counts<ByValidator>,
    refusals: Counts<ByReason>,
    spend: Family<ByModel, Counter<f64, AtomicU64>>,
    deliveries: Counts<ByAnswer>,
    commands: [(&'static str, &'static str, Counts<ByOutcome>); 3],
    dropped: Counts<ByMiner>,
    up: Number,
    working: Number,
    waiting: Number,
    last_challenge: Number,
    stake_table: Number,
    budget: Number,
    spent_today: Number,
    registered: Number,
    uid: Number,
    incentive: Number,
    place: Number,
    emission: Number,
    chain: Number,
    journal: Number,
    readable: Number,
    alerts: Family<ByRule, Gauge>,
}

/// The text of `/metrics`, in Prometheus' form. A journal that cannot be read is told as such, and the others are shown. To be
/// called where waiting for a disk is allowed.
///
/// # Errors
/// Never, as the text is made in memory.
pub fn render(sources: &Sources, now: &Now, alerts: &[Alert]) -> Result<String, MetricsError> {
    let shown = Shown {
        commands: [
            ("rehearsed", "rehearsals", Family::default()),
            ("spot_checked", "spot_checks", Family::default()),
            ("pushed", "push_steps", Family::default()),
        ],
        ..Shown::default()
    };
    for miner in &now.miners {
        shown.moment(miner, now.at_ms);
        let read = sources.read_here(miner.miner, |reader| shown.past(miner.miner, reader, now.at_ms));
        let is_readable = miner.unreadable.is_none() && read.is_ok();
        // One that has none was never here.
        if !matches!(read, Ok(None)) || !is_readable {
            set(&shown.readable, miner.miner, f64::from(u8::from(is_readable)));
        }
        if let Err(error @ SourceError::Read(_)) = read {
            tracing::warn!("/metrics lacks what a journal has: {error}");
        }
    }
    for rule in RULES {
        let firing = alerts.iter().filter(|alert| alert.rule == rule).count();
        shown.alerts.get_or_create(&ByRule { rule }).set(i64::try_from(firing).unwrap_or(i64::MAX));
    }
    let mut text = String::new();
    encode(&mut text, &shown.registry())?;
    Ok(text)
}

fn set(gauges: &Number, miner: Miner, value: f64) {
    gauges.get_or_create(&ByMiner { miner: miner.name() }).set(value);
}

/// Sums by labels, in which all but the [`MOST`] frequent values of one label are one.
fn sums<L>(
    tallies: &[Tally],
    value: impl Fn(&Tally) -> u64,
    of: impl Fn(&Tally) -> (String, L),
) -> Vec<(String, L, u64)>
where
    L: Ord + Clone,
{
    let mut all: BTreeMap<(String, L), u64> = BTreeMap::new();
    let mut each: BTreeMap<String, u64> = BTreeMap::new();
    for tally in tallies {
        let (label, rest) = of(tally);
        let more = value(tally);
        *each.entry(label.clone()).or_default() += tally.count.max(1);
        let sum = all.entry((label, rest)).or_default();
        *sum = sum.saturating_add(more);
    }
    let mut frequent: Vec<_> = each.into_iter().collect();
    frequent.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let known: Vec<String> = frequent.into_iter().take(MOST).map(|(label, _)| label).collect();
    let mut bounded: BTreeMap<(String, L), u64> = BTreeMap::new();
    for ((label, rest), sum) in all {
        let label = if known.contains(&label) { label } else { OTHER.to_owned() };
        let bounded = bounded.entry((label, rest)).or_default();
        *bounded = bounded.saturating_add(sum);
    }
    bounded.into_iter().map(|((label, rest), sum)| (label, rest, sum)).collect()
}

fn add<L>(counts: &Counts<L>, labels: &L, count: u64)
where
    L: Clone + Hash + Eq,
{
    counts.get_or_create(labels).inc_by(count);
}

impl Shown {
    /// What the journal has counted since it was begun.
    fn past(&self, miner: Miner, reader: &Reader, at_ms: i64) -> Result<(), ReadError> {
        let count = |tally: &Tally| tally.count;
        let by_validator = |tally: &Tally| (tally.who.clone(), tally.outcome.clone());
        let refused = reader.tallies("refused", 0)?;
        for (reason, (), sum) in sums(&refused, count, |tally| (tally.outcome.clone(), ())) {
            add(&self.refusals, &ByReason { miner: miner.name(), reason }, sum);
        }
        for (event, _, counts) in &self.commands {
            for (outcome, (), sum) in
                sums(&reader.tallies(event, 0)?, count, |tally| (tally.outcome.clone(), ()))
            {
                add(counts, &ByOutcome { miner: miner.name(), outcome }, sum);
            }
        }
        let last = match miner {
            Miner::PrivateTrack => {
                let tallies = reader.tallies("challenge", 0)?;
                for (validator, outcome, sum) in sums(&tallies, count, by_validator) {
                    add(&self.challenges, &ByValidator { validator, outcome }, sum);
                }
                reader.newest("challenge")?
            }
            Miner::Generative => {
                let mut tallies = reader.tallies("task", 0)?;
                self.spent(&tallies, at_ms);
                tallies.retain(|tally| ENDS.contains(&&*tally.outcome));
                for (validator, outcome, sum) in sums(&tallies, count, by_validator) {
                    add(&self.tasks, &ByValidator { validator, outcome }, sum);
                }
                reader.find(&Find { outcome: Some("accepted"), limit: 1, ..Find::event("task") })?.pop()
            }
            Miner::TurboVision => None,
        };
        if let Some(last) = last {
            set(&self.last_challenge, miner, seconds(at_ms - last.at_ms));
        }
        Ok(())
    }

    fn spent(&self, tallies: &[Tally], at_ms: i64) {
        let paid: Vec<Tally> = tallies.iter().filter(|tally| tally.micro_usd > 0).cloned().collect();
        for (kind, (), sum) in sums(&paid, |tally| tally.micro_usd, |tally| (tally.kind.clone(), ())) {
            let (service, model) = kind.split_once(' ').unwrap_or((&kind, ""));
            let labels = ByModel { service: service.to_owned(), model: model.to_owned() };
            self.spend.get_or_create(&labels).inc_by(sum as f64 / 1e6);
        }
        let today = at_ms.div_euclid(DAY_MS) * DAY_MS;
        let today: u64 =
            paid.iter().filter(|tally| tally.from_ms() >= today).map(|tally| tally.micro_usd).sum();
        set(&self.spent_today, Miner::Generative, today as f64 / 1e6);
    }

    /// How it stands.
    fn moment(&self, now: &MinerNow, at_ms: i64) {
        let miner = now.miner;
        match now.run {
            Run::Online => set(&self.up, miner, 1.0),
            Run::Silent | Run::Stopped => set(&self.up, miner, 0.0),
            Run::Never | Run::Elsewhere => {}
        }
        if let Some(queue) = now.queue {
            set(&self.working, miner, queue.working as f64);
            set(&self.waiting, miner, queue.waiting as f64);
        }
        if let Some(size) = now.journal {
            set(&self.journal, miner, size.bytes as f64);
        }
        if let Some(budget) = now.started.as_ref().and_then(|started| started.daily_budget_micro_usd) {
            set(&self.budget, miner, budget as f64 / 1e6);
        }
        if let (Some(chain), Some(chain_ms)) = (&now.chain, now.chain_ms) {
            set(&self.registered, miner, f64::from(u8::from(chain.uid.is_some())));
            set(&self.chain, miner, seconds(at_ms - chain_ms));
            if let Some(uid) = chain.uid {
                set(&self.uid, miner, f64::from(uid));
                set(&self.incentive, miner, chain.incentive);
                set(&self.emission, miner, chain.emission_rao as f64 / 1e9);
            }
            if let Some(place) = chain.place {
                set(&self.place, miner, f64::from(place));
            }
        }
        let prefix = match miner {
            Miner::PrivateTrack => "adit_private",
            Miner::Generative => {
                self.answers(now);
                "adit_generative"
            }
            Miner::TurboVision => return,
        };
        let figure = |name: &str| now.figures.get(&format!("{prefix}_{name}")).copied();
        // It says -1 where it has none.
        if let Some(age) = figure("stake_table_age_seconds").filter(|age| *age >= 0.0) {
            set(&self.stake_table, miner, age);
        }
        if let Some(dropped) = figure("journal_dropped_total") {
            add(&self.dropped, &ByMiner { miner: miner.name() }, dropped as u64);
        }
    }

    fn answers(&self, now: &MinerNow) {
        for (name, tries) in &now.figures {
            let answer = name.strip_prefix("adit_generative_deliveries_total{outcome=\"");
            if let Some(answer) = answer.and_then(|answer| answer.strip_suffix("\"}")) {
                add(&self.deliveries, &ByAnswer { answer: answer.to_owned() }, *tries as u64);
            }
        }
    }

    fn registry(self) -> Registry {
        /// By what a counter may become less.
        const KEPT: &str =
            "by the journal, which keeps sums for 400 days: it falls when older ones are dropped";
        let mut registry = Registry::with_prefix("adit");
        let usd = || Unit::Other("usd".to_owned());
        let kept = |what: &str| format!("{what}; {KEPT}");
        let text = kept("Challenges of the private track by validator and how they ended");
        registry.register("challenges", text, self.challenges);
        let text = kept("Generative tasks that ended, by validator and how");
        registry.register("tasks", text, self.tasks);
        registry.register("refusals", kept("Requests refused at the gate, by reason"), self.refusals);
        let text = kept("What paid calls have cost, by service and model");
        registry.register_with_unit("spend", text, usd(), self.spend);
        let text = "Deliveries tried, by what validators answered; by the generative miner that runs, since its start";
        registry.register("deliveries", text, self.deliveries);
        for ((_, name, counts), what) in
            self.commands.into_iter().zip(["Rehearsals", "Spot checks of ours", "Steps of pushes"])
        {
            registry.register(name, kept(&format!("{what} by how they went")), counts);
        }
        let text = "Entries that the journal could not take, by the miner that runs, since its start";
        registry.register("journal_dropped", text, self.dropped);
        for (name, text, unit, gauges) in [
            ("up", "1 when the miner answers, 0 when it should or was stopped", None, self.up),
            ("working", "Challenges or tasks being worked on", None, self.working),
            ("waiting", "Challenges or tasks that wait", None, self.waiting),
            (
                "last_challenge_age",
                "Since the last challenge or task came",
                Some(Unit::Seconds),
                self.last_challenge,
            ),
            (
                "stake_table_age",
                "Age of the stakes that callers are judged by",
                Some(Unit::Seconds),
                self.stake_table,
            ),
            ("daily_budget", "Most that paid calls of a UTC day may cost", Some(usd()), self.budget),
            (
                "spent_today",
                "What attempts that ended on this UTC day have cost",
                Some(usd()),
                self.spent_today,
            ),
            ("registered", "1 when the chain has the hotkey on the subnet", None, self.registered),
            ("uid", "The hotkey's place on the subnet", None, self.uid),
            (
                "incentive",
                "Share of the miners' emission",
                Some(Unit::Other("ratio".to_owned())),
                self.incentive,
            ),
            ("place", "Place among the subnet's hotkeys by incentive, from 1", None, self.place),
            (
                "emission",
                "Emission of the last epoch in the subnet's token",
                Some(Unit::Other("tokens".to_owned())),
                self.emission,
            ),
            (
                "chain_age",
                "Since the chain was last looked at for the miner",
                Some(Unit::Seconds),
                self.chain,
            ),
            ("journal_size", "Size of the journal", Some(Unit::Bytes), self.journal),
            ("journal_readable", "0 when the journal is damaged or cannot be read", None, self.readable),
        ] {
            match unit {
                Some(unit) => registry.register_with_unit(name, text, unit, gauges),
                None => registry.register(name, text, gauges),
            }
        }
        registry.register("alerts_firing", "Alerts that hold now, by rule", self.alerts);
        registry
    }
}

fn seconds(ms: i64) -> f64 {
    // A time ahead, as a clock that jumped leaves it, counts as now.
    ms.max(0) as f64 / 1e3
}
