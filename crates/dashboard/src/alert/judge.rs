//! What there is an alert about, as a pure function.

use super::facts::{Facts, Past};
use super::rules::Rules;
use crate::{Miner, MinerNow, Run};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Every rule's name in alerts.toml.
pub const RULES: [&str; 12] = [
    "down",
    "deregistered",
    "no_challenge",
    "refusals",
    "deliveries",
    "budget",
    "stakes",
    "spot_check",
    "clock",
    "journal",
    "anchors",
    "disk",
];

/// Something that an operator should know, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// The rule's name in alerts.toml.
    pub rule: &'static str,
    /// Which miner it is about, where it is about one.
    pub miner: Option<Miner>,
    /// What tells this cause from another of the same rule.
    pub cause: String,
    /// It costs challenges, tasks or money now.
    pub urgent: bool,
    /// What is the matter, in a sentence.
    pub text: String,
    /// What to do, in a sentence.
    pub todo: String,
}

impl Alert {
    /// One message is sent for all that have the same.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}/{}/{}", self.rule, self.miner.map_or("host", Miner::name), self.cause)
    }
}

/// Every alert, the urgent ones first.
#[must_use]
pub fn judge(rules: &Rules, facts: &Facts) -> Vec<Alert> {
    let mut alerts = Vec::new();
    for now in &facts.now.miners {
        let about = About { now, past: &facts.past[now.miner as usize], at_ms: facts.now.at_ms };
        let judged = [
            about.down(rules),
            about.deregistered(rules),
            about.no_challenge(rules),
            about.refusals(rules),
            about.deliveries(rules),
            about.budget(rules),
            about.stakes(rules),
            about.spot_check(rules),
            about.clock(rules),
            about.journal(rules),
        ];
        alerts.extend(judged.into_iter().flatten());
    }
    alerts.extend(anchors(rules, facts));
    alerts.extend(disk(rules, facts));
    alerts.sort_by_key(|alert| !alert.urgent);
    alerts
}

/// One miner.
struct About<'a> {
    now: &'a MinerNow,
    past: &'a Past,
    at_ms: i64,
}

impl About<'_> {
    fn alert(&self, rule: &'static str, urgent: bool, text: String, todo: impl Into<String>) -> Alert {
        let text = format!("{}: {text}", self.now.miner.title());
        Alert { rule, miner: Some(self.now.miner), cause: String::new(), urgent, text, todo: todo.into() }
    }

    /// How long ago; a time ahead, as a clock that jumped leaves it, counts as now.
    fn ago(&self, at_ms: i64) -> i64 {
        (self.at_ms - at_ms).max(0)
    }

    fn is_up(&self) -> bool {
        self.now.run == Run::Online
    }

    fn program(&self) -> &'static str {
        match self.now.miner {
            Miner::Generative => "gascli generator",
            Miner::PrivateTrack | Miner::TurboVision => "sv",
        }
    }

    fn down(&self, rules: &Rules) -> Option<Alert> {
        let limit = rules.down.on()?;
        let program = self.program();
        let todo = format!("`{program} status` and `{program} logs` say why; `{program} start` starts it");
        match (self.now.run, &self.now.stopped) {
            (Run::Stopped, Some(reason)) => {
                Some(self.alert("down", true, format!("it ended by an error: {reason}"), todo))
            }
            (Run::Silent, _) if self.ago(self.now.started_ms?) > minutes(limit.minutes) => {
                let address = &self.now.started.as_ref()?.address;
                Some(self.alert("down", true, format!("it does not answer at {address}"), todo))
            }
            _ => None,
        }
    }

    fn deregistered(&self, rules: &Rules) -> Option<Alert> {
        rules.deregistered.on()?;
        let chain = self.now.chain.as_ref()?;
        if chain.uid.is_some() || !self.past.was_registered {
            return None;
        }
        let text = format!("its hotkey is no longer registered on subnet {}", chain.netuid);
        let todo = format!(
            "`adit subnet register --netuid {}` registers it again, for the price that it shows",
            chain.netuid
        );
        Some(self.alert("deregistered", true, text, todo))
    }

    fn no_challenge(&self, rules: &Rules) -> Option<Alert> {
        let limit = minutes(rules.no_challenge.on()?.minutes);
        let registered = self.now.chain.as_ref().is_some_and(|chain| chain.uid.is_some());
        if !self.is_up() || !registered {
            return None;
        }
        let since = self.now.last.as_ref().map(|last| last.at_ms).max(self.now.started_ms)?;
        if self.ago(since) < limit {
            return None;
        }
        let what = if self.now.miner == Miner::Generative { "task" } else { "challenge" };
        let text = format!("registered and running, and no {what} for {}", span(self.ago(since)));
        let doctor = if self.now.miner == Miner::Generative { "gascli" } else { "sv" };
        let refused = self
            .past
            .refused_hour
            .first()
            .map(|(reason, _)| format!("; requests are refused for `{reason}`"));
        let todo = format!(
            "`adit doctor {doctor}` looks at clock, port, axon and commitment{}",
            refused.unwrap_or_default()
        );
        Some(self.alert("no_challenge", true, text, todo))
    }

    fn refusals(&self, rules: &Rules) -> Option<Alert> {
        let limit = rules.refusals.on()?;
        let (reason, _) = self.past.refused_hour.first()?;
        let count: u64 = self.past.refused_hour.iter().map(|(_, count)| count).sum();
        if count < limit.at_least || (count as f64) < self.past.refused_mean * limit.times {
            return None;
        }
        let text = format!(
            "{count} requests refused within the last hour, most for `{reason}` ({:.1} an hour the day before)",
            self.past.refused_mean
        );
        Some(self.alert("refusals", false, text, remedy(reason)))
    }

    fn deliveries(&self, rules: &Rules) -> Option<Alert> {
        let limit = rules.deliveries.on()?;
        let (good, bad) = self.past.ended_hour;
        let all = good + bad;
        if bad == 0 || all < limit.at_least || (bad as f64) < limit.share * all as f64 {
            return None;
        }
        let text = format!("{bad} of {all} tasks that ended within the last hour came to nothing");
        let todo =
            "the page Generations says why; `gascli generator deliveries` lists what can be sent again";
        Some(self.alert("deliveries", true, text, todo))
    }

    fn budget(&self, rules: &Rules) -> Option<Alert> {
        let limit = rules.budget.on()?;
        let budget = self.now.started.as_ref()?.daily_budget_micro_usd?;
        let spent = self.past.spent_today;
        if budget == 0 || (spent as f64) < limit.share * budget as f64 {
            return None;
        }
        let text = format!("{} of today's budget of {} are spent", usd(spent), usd(budget));
        let todo = "no paid call is made beyond it; MINER_DAILY_BUDGET_USD is where it is set, and the day ends at 00:00 UTC";
        Some(self.alert("budget", spent >= budget, text, todo))
    }

    fn stakes(&self, rules: &Rules) -> Option<Alert> {
        let limit = rules.stakes.on()?;
        let is_age = |name: &str| name.ends_with("_stake_table_age_seconds");
        let (_, age) = self.now.figures.iter().find(|(name, _)| is_age(name))?;
        if *age <= (limit.minutes * 60) as f64 {
            return None;
        }
        let text = format!("the stakes that callers are judged by are {} old", span((*age * 1000.0) as i64));
        let todo = "is SUBTENSOR_NETWORK or SUBTENSOR_ADDRESS reachable from here? `adit metagraph` tries it";
        Some(self.alert("stakes", true, text, todo))
    }

    fn spot_check(&self, rules: &Rules) -> Option<Alert> {
        let limit = rules.spot_check.on()?;
        let image = self.now.started.as_ref()?.image.as_ref()?;
        let last = self.now.last.as_ref()?;
        let window = i64::try_from(limit.hours).unwrap_or(i64::MAX).saturating_mul(HOUR_MS);
        if self.past.passed_image.as_ref() == Some(image) || self.ago(last.at_ms) > window {
            return None;
        }
        let text = "Score may check the image that answers at any time, and it has passed no check of ours"
            .to_owned();
        let todo = "`sv spot-check` runs it as Score does, and compares";
        let alert = self.alert("spot_check", false, text, todo);
        Some(Alert { cause: image.clone(), ..alert })
    }

    fn clock(&self, rules: &Rules) -> Option<Alert> {
        let limit = rules.clock.on()?;
        let (at_ms, by_ms) = self.past.jumped?;
        if self.ago(at_ms) > i64::try_from(limit.hours).unwrap_or(i64::MAX).saturating_mul(HOUR_MS) {
            return None;
        }
        let way = if by_ms < 0 { "back" } else { "ahead" };
        let text = format!("this host's clock jumped {way} by {}", span(by_ms.saturating_abs()));
        let todo = "signatures are good for two minutes: `timedatectl` shows whether the clock is kept right";
        Some(self.alert("clock", false, text, todo))
    }

    fn journal(&self, rules: &Rules) -> Option<Alert> {
        rules.journal.on()?;
        if let Some(reason) = &self.now.unreadable {
            let todo = "the miner sets a damaged one aside when it is started again";
            return Some(self.alert("journal", false, format!("its journal cannot be read: {reason}"), todo));
        }
        if let Some((at_ms, aside)) = &self.past.damaged
            && self.ago(*at_ms) < DAY_MS
        {
            let text = format!("its journal was damaged: it is {aside} now, and a new one was begun");
            let alert =
                self.alert("journal", false, text, "is the disk sound, and was it full? `dmesg` may know");
            return Some(Alert { cause: "damaged".to_owned(), ..alert });
        }
        let is_count = |name: &str| name.ends_with("_journal_dropped_total");
        let dropped =
            self.now.figures.iter().find(|(name, _)| is_count(name)).map_or(0.0, |(_, count)| *count);
        if dropped < 1.0 {
            return None;
        }
        let text = format!("{dropped} entries of its journal were dropped since its start");
        let alert = self.alert(
            "journal",
            false,
            text,
            "the disk of ADIT_DATA_DIR is slow or full; answers are not held up by it",
        );
        Some(Alert { cause: "dropped".to_owned(), ..alert })
    }
}

/// What to do about requests that are refused for a reason.
fn remedy(reason: &str) -> &'static str {
    match reason {
        "nonce_window" => "is this host's clock right? `timedatectl` shows it",
        "signature" | "signature_shape" => {
            "a validator may sign in another way by now: look at ADIT_DIALECTS, and whether this Adit is the newest"
        }
        "low_stake" | "not_in_metagraph" => {
            "mostly strangers; where a validator is among them, the page Validators shows it, and MIN_STAKE_THRESHOLD what is asked"
        }
        "other_miner" => {
            "they are meant for another hotkey: is ADIT_HOTKEY, or the wallet, the registered one?"
        }
        "replayed" => "somebody sends requests of others again; nothing to do",
        _ => "the page Validators says who is refused, the log why",
    }
}

fn anchors(rules: &Rules, facts: &Facts) -> Option<Alert> {
    let limit = rules.anchors.on()?;
    let window = i64::try_from(limit.days).unwrap_or(i64::MAX).saturating_mul(DAY_MS);
    let mut ending: Vec<_> =
        facts.anchors.iter().filter(|anchor| anchor.ends_ms - facts.now.at_ms < window).collect();
    ending.sort_by_key(|anchor| anchor.ends_ms);
    let first = ending.first()?;
    let left = first.ends_ms - facts.now.at_ms;
    let when = if left < 0 { "has ended".to_owned() } else { format!("ends in {}", span(left)) };
    let others = match ending.len() - 1 {
        0 => String::new(),
        more => format!(", and {more} more are about to"),
    };
    Some(Alert {
        rule: "anchors",
        miner: Some(Miner::Generative),
        cause: first.name.clone(),
        urgent: left < 0,
        text: format!("Generative: the trust anchor {} {when}{others}", first.name),
        todo: "`gascli generator trust-anchors update` fetches what validators have by now".to_owned(),
    })
}

fn disk(rules: &Rules, facts: &Facts) -> Option<Alert> {
    let limit = rules.disk.on()?;
    let disk = facts.disk?;
    let gib = disk.free as f64 / (1_u64 << 30) as f64;
    let share = disk.free as f64 / disk.total.max(1) as f64;
    if gib >= limit.gib && share >= limit.share {
        return None;
    }
    Some(Alert {
        rule: "disk",
        miner: None,
        cause: String::new(),
        urgent: gib < limit.gib / 4.0,
        text: format!("The disk of the data folder has {gib:.1} GiB left ({:.1} %)", share * 100.0),
        todo: "docker image prune, journalctl --vacuum-size=200M, or another disk with ADIT_DATA_DIR"
            .to_owned(),
    })
}

fn minutes(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX).saturating_mul(MINUTE_MS)
}

fn usd(micro: u64) -> String {
    format!("${:.2}", micro as f64 / 1e6)
}

/// A length of time in the largest unit that says enough.
pub(crate) fn span(ms: i64) -> String {
    match ms {
        ..MINUTE_MS => format!("{} s", ms / 1000),
        MINUTE_MS..HOUR_MS => format!("{} min", ms / MINUTE_MS),
        HOUR_MS..DAY_MS => format!("{} h {} min", ms / HOUR_MS, ms % HOUR_MS / MINUTE_MS),
        _ => format!("{} d {} h", ms / DAY_MS, ms % DAY_MS / HOUR_MS),
    }
}

#[cfg(test)]
mod tests;
