//! What can be told: one type an event. Miners and commands write them, the operator's page reads them.
//!
//! Text of others is bounded by whoever records it; [`bounded`] cuts it off. Secrets never get here: of a webhook's address
//! only its host does.

mod challenge;
mod command;
mod miner;
mod task;

use std::borrow::Cow;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Entry, Journal};

pub use challenge::{Challenge, Clip, Ended, MAX_TEXT, Refused, Stage};
pub use command::{Pushed, Rehearsed, SpotChecked};
pub use miner::{Chain, ClockJumped, Damaged, Started, Stopped};
pub use task::{TaskMedia, TaskStep};

macro_rules! records {
    ($($record:ident),+ $(,)?) => {
        /// The events of all records.
        pub const EVENTS: &[&str] = &[$($record::EVENT),+];

        /// Records an entry of another journal anew; `false` where no record is of its shape.
        pub(crate) fn copy(journal: &Journal, entry: &Entry) -> bool {
            $(if let Some(record) = entry.read::<$record>() {
                journal.record_at(entry.at_ms, &record);
                return true;
            })+
            false
        }
    };
}

records! {
    Chain, Challenge, ClockJumped, Damaged, Pushed, Refused, Rehearsed, SpotChecked, Started, Stopped, TaskStep,
}

/// An event that can be recorded.
pub trait Record: Serialize + DeserializeOwned {
    /// Its name in the file.
    const EVENT: &'static str;

    /// What it is found and summed by.
    fn facets(&self) -> Facets<'_>;
}

/// What an entry is found and summed by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facets<'a> {
    /// What it is about.
    pub key: Option<&'a str>,
    /// The hotkey (ss58) of whose doing it is.
    pub who: Option<&'a str>,
    /// How it ended, in a word.
    pub outcome: Option<&'a str>,
    /// Of which kind it is; only summed by.
    pub kind: Option<Cow<'a, str>>,
    /// How many it stands for.
    pub count: u64,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// What it cost, in millionths of a US dollar.
    pub micro_usd: u64,
}

impl Default for Facets<'_> {
    /// One, of which nothing is said.
    fn default() -> Self {
        Self { key: None, who: None, outcome: None, kind: None, count: 1, took_ms: 0, micro_usd: 0 }
    }
}

/// At most so many characters of a text.
#[must_use]
pub fn bounded(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}
