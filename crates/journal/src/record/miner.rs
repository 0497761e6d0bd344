//! A miner's own life, and its place on chain.

use serde::{Deserialize, Serialize};

use super::{Facets, Record};
use crate::database::Damage;

/// A miner has started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Started {
    /// Which program's version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Where it listens, such as `0.0.0.0:8000`.
    pub address: String,
    /// Its hotkey (ss58), where known.
    #[serde(default)]
    pub hotkey: Option<String>,
    /// Its subnet.
    #[serde(default)]
    pub netuid: Option<u16>,
    /// What answers: a predictor, or the services of each modality, in words.
    #[serde(default)]
    pub works_by: Vec<String>,
    /// The image that runs, where one does.
    #[serde(default)]
    pub image: Option<String>,
    /// Most that paid calls begun on one UTC day may cost, in millionths of a US dollar.
    #[serde(default)]
    pub daily_budget_micro_usd: Option<u64>,
    /// Most that it says of itself where something of it is off, such as `callers are not judged by their stake`.
    #[serde(default)]
    pub warnings: Vec<String>,
}

impl Record for Started {
    const EVENT: &'static str = "started";

    fn facets(&self) -> Facets<'_> {
        Facets { who: self.hotkey.as_deref(), ..Facets::default() }
    }
}

/// A miner has ended by itself or was told to. One that was killed says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// Why, where it is an error.
    #[serde(default)]
    pub reason: Option<String>,
}

impl Record for Stopped {
    const EVENT: &'static str = "stopped";

    fn facets(&self) -> Facets<'_> {
        let outcome = if self.reason.is_some() { "failed" } else { "told" };
        Facets { outcome: Some(outcome), ..Facets::default() }
    }
}

/// What the chain says of a miner, at one block. Recorded once a tempo, and when something of it has changed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Chain {
    /// The subnet.
    pub netuid: u16,
    /// The network, or the node that was asked.
    pub network: String,
    /// The miner's hotkey (ss58).
    pub hotkey: String,
    /// The block.
    pub block: u64,
    /// When that block was made, in Unix milliseconds.
    pub as_of_ms: i64,
    /// Blocks between two epochs.
    pub tempo: u64,
    /// Hotkeys on the subnet.
    pub hotkeys: u32,
    /// Its uid; none where it is not registered (any more).
    #[serde(default)]
    pub uid: Option<u16>,
    /// Its share of the miners' emission, 0 to 1.
    #[serde(default)]
    pub incentive: f64,
    /// Its place among the subnet's hotkeys by incentive, from 1; several may share one.
    #[serde(default)]
    pub place: Option<u32>,
    /// Its emission of the last epoch, in billionths of the subnet's token.
    #[serde(default)]
    pub emission_rao: u64,
    /// The block of its registration.
    #[serde(default)]
    pub registered_at: Option<u64>,
    /// Blocks after that within which it cannot be replaced.
    #[serde(default)]
    pub immunity_period: u64,
    /// Where it is said to answer, `ip:port`.
    #[serde(default)]
    pub axon: Option<String>,
    /// The text of its newest commitment; cut off after 512 characters. None where it was not asked for.
    #[serde(default)]
    pub commitment: Option<String>,
}

impl Record for Chain {
    const EVENT: &'static str = "chain";

    fn facets(&self) -> Facets<'_> {
        let outcome = if self.uid.is_some() { "registered" } else { "not_registered" };
        Facets { who: Some(&self.hotkey), outcome: Some(outcome), ..Facets::default() }
    }
}

/// The host's wall clock has jumped by over a minute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockJumped {
    /// By so many milliseconds; backwards where less than 0.
    pub by_ms: i64,
}

impl Record for ClockJumped {
    const EVENT: &'static str = "clock";

    fn facets(&self) -> Facets<'_> {
        Facets::default()
    }
}

/// The journal before this one was damaged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damaged {
    /// Where it is now.
    pub set_aside: String,
}

impl From<&Damage> for Damaged {
    fn from(damage: &Damage) -> Self {
        Self { set_aside: damage.set_aside.display().to_string() }
    }
}

impl Record for Damaged {
    const EVENT: &'static str = "damaged";

    fn facets(&self) -> Facets<'_> {
        Facets::default()
    }
}
