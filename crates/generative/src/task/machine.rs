//! What a task is and how it may change. Pure: time is passed in, nothing is read or written.
//!
//! ```text
//! accepted ──▶ calling ──▶ submitted ──▶ fetched ──▶ checked ──▶ delivering ──▶ delivered | failed
//!    ▲            │  ▲         │            │                        │            | refused | uncertain
//!    └── retry ───┴──┼─────────┴────────────┘                        └──────────▶ | expired | dead
//!                    └─▶ unknown ─▶ (what the provider says became of the call)
//! ```
//!
//! Every state up to `fetched`, and `unknown`, may end in a failure report, which is delivered as media are.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::output::Media;
use crate::{Modality, Usd};

/// How long after it was accepted a task may still be delivered: 7,200 s, in milliseconds (generative reference,
/// section 5).
pub const HORIZON_MS: i64 = 7_200_000;
/// The validator takes note of a task when it has read the 201; what comes earlier is thrown away (section 4).
const FIRST_TRY_MS: i64 = 1_000;
/// How long after a host's end its provider is asked what became of a call: it may still be carrying it out.
const SETTLE_MS: i64 = 5_000;
/// Longest text kept of what a provider or a validator said, in bytes.
const MAX_TEXT: usize = 2_000;
/// Longest [`Job`], in bytes: signed links have some kilobytes.
const MAX_JOB: usize = 16 * 1024;

/// What a task is named by: in the 201, in the webhook, and on disk.
pub type TaskId = Uuid;

/// Milliseconds since 1970.
pub type UnixMs = i64;

/// A UTC day, counted from 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(pub i64);

impl Day {
    /// The day of a time.
    #[must_use]
    pub fn of(at: UnixMs) -> Self {
        Self(at.div_euclid(86_400_000))
    }
}

/// An enum whose values are written as words, in the database and to people.
macro_rules! words {
    ($name:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its word.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(word: &str) -> Result<Self, UnknownWord> {
                Self::ALL.iter().copied().find(|one| one.as_str() == word).ok_or_else(|| UnknownWord(word.to_owned()))
            }
        }
    };
}

/// A word that names no state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no `{0}`")]
pub struct UnknownWord(String);

/// How far a task has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// It waits for its turn, for the first or for another attempt.
    Accepted,
    /// A paid call is about to be made or being made, and nothing of it is known yet.
    Calling,
    /// The provider works on it; its job id is known.
    Submitted,
    /// The media are on disk, whole.
    Fetched,
    /// They are what a validator accepts, and wait for their first delivery.
    Checked,
    /// A delivery has been tried, or a failure report waits.
    Delivering,
    /// A paid call was made or not: a crash or a lost connection left it in doubt. It is never made again before the
    /// provider has said that it did not get it.
    Unknown,
    /// The validator has the media.
    Delivered,
    /// The validator has the report that there will be none.
    Failed,
    /// The validator refused what it got, for good.
    Refused,
    /// A later try found the task closed, so an earlier one may have got through. It does not count as delivered.
    Uncertain,
    /// Its time passed first.
    Expired,
    /// It cannot be delivered at all.
    Dead,
}

words!(State {
    Accepted = "accepted",
    Calling = "calling",
    Submitted = "submitted",
    Fetched = "fetched",
    Checked = "checked",
    Delivering = "delivering",
    Unknown = "unknown",
    Delivered = "delivered",
    Failed = "failed",
    Refused = "refused",
    Uncertain = "uncertain",
    Expired = "expired",
    Dead = "dead",
});

impl State {
    /// Nothing more happens by itself.
    #[must_use]
    pub fn is_end(self) -> bool {
        matches!(
            self,
            Self::Delivered | Self::Failed | Self::Refused | Self::Uncertain | Self::Expired | Self::Dead
        )
    }

    /// An end that an operator may send again from.
    #[must_use]
    pub fn is_dead_letter(self) -> bool {
        self.is_end() && !matches!(self, Self::Delivered | Self::Failed)
    }
}

/// What a validator asked for.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Unaltered.
    pub prompt: String,
    /// An object, or null where there was none.
    pub parameters: serde_json::Value,
    /// Where the result is to be posted.
    pub webhook_url: String,
}

/// The prompt is a validator's and the webhook's address may carry a token.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("parameters", &self.parameters).finish_non_exhaustive()
    }
}

/// Where a provider's work is, as a worker writes it down to find it again: whole, 16 KiB at most. It may hold a link that
/// whoever has it can follow.
#[derive(Clone, PartialEq, Eq)]
pub struct Job(String);

impl Job {
    /// A job that has been written.
    ///
    /// # Errors
    /// [`JobTooLong`]: cut off, it would lead nowhere.
    pub fn new(text: String) -> Result<Self, JobTooLong> {
        if text.len() > MAX_JOB { Err(JobTooLong { bytes: text.len() }) } else { Ok(Self(text)) }
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Job(..)")
    }
}

/// A [`Job`] that cannot be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a job or link of {bytes} bytes is too long to be kept, at most {MAX_JOB} are")]
pub struct JobTooLong {
    /// Its length.
    pub bytes: usize,
}

/// A task as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Its name.
    pub id: TaskId,
    /// What is asked for.
    pub modality: Modality,
    /// The hotkey (ss58) of the validator that asked.
    pub signed_by: String,
    /// In full.
    pub request: Request,
    /// When it was accepted.
    pub accepted_at: UnixMs,
    /// How far it has come.
    pub state: State,
    /// Paid calls begun so far; the present one's number.
    pub attempt: u32,
    /// The service of the present attempt.
    pub service: Option<String>,
    /// Its model.
    pub model: Option<String>,
    /// Where the provider's work is, once known.
    pub job: Option<Job>,
    /// The service that the next attempt is to be made by, where that was settled when the last one came to nothing.
    pub next_service: Option<String>,
    /// What the present attempt may cost, until it is known what it cost, and the day whose budget it is taken from.
    pub reserved: Option<(Usd, Day)>,
    /// What its attempts have cost, `reserved` apart.
    pub spent: Usd,
    /// The media on disk.
    pub media: Option<Media>,
    /// Why there are no media to deliver: then this is delivered.
    pub failure: Option<String>,
    /// Deliveries begun so far.
    pub tries: u32,
    /// What was last heard about it: a validator's answer, why an attempt came to nothing.
    pub note: Option<String>,
    /// Nothing is done about it before.
    pub due_at: UnixMs,
    /// No try follows one that failed after this.
    pub deliver_by: UnixMs,
    /// When it came to its end.
    pub ended_at: Option<UnixMs>,
}

/// How a try to deliver went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The validator has it; with its words.
    Acknowledged(String),
    /// The validator knows no such task, or no longer; with its words.
    NotFound(String),
    /// The validator refused it for good; with its words.
    Refused(String),
    /// It did not get through, for now.
    Later {
        /// When to try again. A time after `deliver_by` stands for that.
        due_at: UnixMs,
        /// What went wrong.
        why: String,
    },
    /// It can never get through, as to an address that is not allowed.
    Undeliverable(String),
}

impl Answer {
    /// A short name for a metric's label.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Acknowledged(_) => "acknowledged",
            Self::NotFound(_) => "not_found",
            Self::Refused(_) => "refused",
            Self::Later { .. } => "later",
            Self::Undeliverable(_) => "undeliverable",
        }
    }
}

/// What happens to a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A paid call is about to be made.
    Call {
        /// By which service.
        service: String,
        /// With which model.
        model: String,
        /// The most that it may cost.
        price: Usd,
        /// Whose budget it is taken from.
        day: Day,
    },
    /// The provider has taken it.
    Submitted {
        /// Where its work is.
        job: Job,
    },
    /// The media are on disk.
    Fetched {
        /// Which.
        media: Media,
        /// What the attempt cost, if known; else its price.
        cost: Option<Usd>,
    },
    /// What was fetched is what a validator accepts.
    Checked,
    /// This attempt came to nothing, and another may follow.
    Retry {
        /// Not before; [`HORIZON_MS`] from now at most, as for every event.
        due_at: UnixMs,
        /// What the attempt cost, if known; else its price.
        cost: Option<Usd>,
        /// What went wrong.
        why: String,
        /// The service that is to make it; `None` leaves that open.
        next_service: Option<String>,
    },
    /// Nobody knows, for now, whether the provider got the call.
    Doubt {
        /// When to ask the provider.
        due_at: UnixMs,
        /// What went wrong.
        why: String,
    },
    /// It stays as it is, and somebody goes on with it later.
    Postpone {
        /// When.
        due_at: UnixMs,
        /// What it waits for.
        why: String,
    },
    /// There will be no media.
    Fail {
        /// What the attempt cost, if known; else its price.
        cost: Option<Usd>,
        /// What the validator is told.
        why: String,
    },
    /// A delivery is about to be tried.
    Try,
    /// A delivery was tried.
    Answered(Answer),
    /// Its time has passed.
    Expire,
    /// Whoever worked on it has gone.
    Orphaned,
    /// An operator wants it delivered after all.
    Redeliver,
}

impl Event {
    /// It tells what has happened elsewhere already, so it is true whoever tells it; any other is a decision, which
    /// is only for whoever holds the task.
    pub(super) fn is_fact(&self) -> bool {
        matches!(
            self,
            Self::Submitted { .. } | Self::Fetched { .. } | Self::Answered(Answer::Acknowledged(_))
        )
    }

    /// Whoever holds the task goes on with it.
    pub(super) fn keeps_claim(&self) -> bool {
        matches!(self, Self::Call { .. } | Self::Submitted { .. } | Self::Fetched { .. } | Self::Try)
    }

    /// What the journal calls it.
    pub(super) fn step(&self) -> &'static str {
        match self {
            Self::Call { .. } => "call",
            Self::Submitted { .. } => "submitted",
            Self::Fetched { .. } => "fetched",
            Self::Checked => "checked",
            Self::Retry { .. } => "retry",
            Self::Doubt { .. } => "doubt",
            Self::Postpone { .. } => "postponed",
            Self::Fail { .. } => "given_up",
            Self::Try => "try",
            Self::Answered(_) => "answered",
            Self::Expire => "expired",
            Self::Orphaned => "orphaned",
            Self::Redeliver => "redeliver",
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Call { .. } => "a call",
            Self::Submitted { .. } => "a job id",
            Self::Fetched { .. } => "media",
            Self::Checked => "a check",
            Self::Retry { .. } => "another attempt",
            Self::Doubt { .. } => "a doubt",
            Self::Postpone { .. } => "a pause",
            Self::Fail { .. } => "a failure",
            Self::Try => "a delivery",
            Self::Answered(_) => "a delivery's answer",
            Self::Expire => "its time's end",
            Self::Orphaned => "its worker's end",
            Self::Redeliver => "a redelivery",
        }
    }
}

/// What cannot happen to a task as it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a task that is {state} knows nothing of {event}")]
pub struct Illegal {
    /// How far the task has come.
    pub state: State,
    /// What was to happen.
    pub event: &'static str,
}

impl Task {
    /// A task that has just been accepted.
    #[must_use]
    pub fn new(id: TaskId, modality: Modality, signed_by: String, request: Request, now: UnixMs) -> Self {
        Self {
            id,
            modality,
            signed_by,
            request,
            accepted_at: now,
            state: State::Accepted,
            attempt: 0,
            service: None,
            model: None,
            job: None,
            next_service: None,
            reserved: None,
            spent: Usd(0),
            media: None,
            failure: None,
            tries: 0,
            note: None,
            due_at: now,
            deliver_by: now.saturating_add(HORIZON_MS),
            ended_at: None,
        }
    }

    /// What it has cost, or may have.
    #[must_use]
    pub fn cost(&self) -> Usd {
        Usd(self.spent.0.saturating_add(self.reserved.map_or(0, |(price, _)| price.0)))
    }

    /// Lets an event happen. An illegal one changes nothing.
    ///
    /// # Errors
    /// Where the event cannot happen to the task as it stands.
    pub fn apply(&mut self, event: Event, now: UnixMs) -> Result<(), Illegal> {
        use State as S;
        let illegal = Illegal { state: self.state, event: event.name() };
        match (self.state, event) {
            (S::Accepted, Event::Call { service, model, price, day }) => {
                self.attempt += 1;
                self.service = Some(clean(&service));
                self.model = Some(clean(&model));
                self.job = None;
                self.next_service = None;
                self.media = None;
                self.reserved = Some((price, day));
                self.state = S::Calling;
            }
            (S::Calling | S::Unknown, Event::Submitted { job }) => {
                self.job = Some(job);
                self.due_at = now;
                self.state = S::Submitted;
            }
            (S::Calling | S::Submitted | S::Unknown, Event::Fetched { media, cost }) => {
                self.settle(cost);
                self.media = Some(media);
                self.due_at = now;
                self.state = S::Fetched;
            }
            (S::Fetched, Event::Checked) => {
                self.due_at = self.first_try(now);
                self.state = S::Checked;
            }
            (
                S::Calling | S::Submitted | S::Fetched | S::Unknown,
                Event::Retry { due_at, cost, why, next_service },
            ) => {
                self.settle(cost);
                self.media = None;
                self.next_service = next_service.as_deref().map(clean);
                self.note = Some(clean(&why));
                self.due_at = due_at.min(now.saturating_add(HORIZON_MS));
                self.state = S::Accepted;
            }
            (S::Calling, Event::Doubt { due_at, why }) => {
                self.note = Some(clean(&why));
                self.due_at = due_at.min(now.saturating_add(HORIZON_MS));
                self.state = S::Unknown;
            }
            (
                S::Accepted | S::Calling | S::Submitted | S::Fetched | S::Unknown,
                Event::Fail { cost, why },
            ) => {
                self.settle(cost);
                self.failure = Some(clean(&why));
                self.due_at = self.first_try(now);
                self.state = S::Delivering;
            }
            (
                S::Accepted | S::Submitted | S::Fetched | S::Unknown | S::Checked | S::Delivering,
                Event::Postpone { due_at, why },
            ) => {
                self.note = Some(clean(&why));
                self.due_at = due_at.min(now.saturating_add(HORIZON_MS));
            }
            (S::Checked | S::Delivering, Event::Try) => {
                self.tries += 1;
                self.state = S::Delivering;
            }
            (S::Delivering, Event::Answered(answer)) if self.tries > 0 => self.answered(answer, now),
            // From a try that another host has given up for lost.
            (S::Uncertain, Event::Answered(answer @ Answer::Acknowledged(_))) => self.answered(answer, now),
            (S::Accepted | S::Submitted | S::Unknown | S::Checked | S::Delivering, Event::Expire) => {
                self.settle(None);
                self.end(S::Expired, "its time has passed".to_owned(), now);
            }
            (S::Calling, Event::Orphaned) => {
                self.note = Some("its host stopped during a paid call".to_owned());
                self.due_at = now.saturating_add(SETTLE_MS);
                self.state = S::Unknown;
            }
            (state, Event::Orphaned) if !state.is_end() => {}
            (state, Event::Redeliver) if state.is_dead_letter() && self.has_payload() => {
                self.due_at = now;
                self.deliver_by = now.saturating_add(HORIZON_MS);
                self.ended_at = None;
                self.state = S::Delivering;
            }
            _ => return Err(illegal),
        }
        Ok(())
    }

    /// There is something to deliver. A task leaves `fetched` as checked, with a failure, or without its media; so
    /// media that were not checked are never delivered.
    fn has_payload(&self) -> bool {
        self.media.is_some() || self.failure.is_some()
    }

    fn answered(&mut self, answer: Answer, now: UnixMs) {
        match answer {
            Answer::Acknowledged(words) if self.failure.is_some() => self.end(State::Failed, words, now),
            Answer::Acknowledged(words) => self.end(State::Delivered, words, now),
            Answer::NotFound(words) if self.tries > 1 => self.end(State::Uncertain, words, now),
            Answer::NotFound(words) | Answer::Refused(words) => self.end(State::Refused, words, now),
            Answer::Undeliverable(why) => self.end(State::Dead, why, now),
            // Not by the clock alone: only after a try that was made when the time had passed.
            Answer::Later { why, .. } if now >= self.deliver_by => self.end(State::Expired, why, now),
            Answer::Later { due_at, why } => {
                self.note = Some(clean(&why));
                self.due_at = due_at.min(self.deliver_by);
            }
        }
    }

    fn first_try(&self, now: UnixMs) -> UnixMs {
        now.max(self.accepted_at.saturating_add(FIRST_TRY_MS))
    }

    fn settle(&mut self, cost: Option<Usd>) {
        if let Some((price, _)) = self.reserved.take() {
            self.spent.0 = self.spent.0.saturating_add(cost.unwrap_or(price).0);
        }
    }

    fn end(&mut self, state: State, note: String, now: UnixMs) {
        self.note = Some(clean(&note));
        self.ended_at = Some(now);
        self.state = state;
    }
}

/// Text of others, as every database takes it: bounded, and PostgreSQL knows no NUL.
fn clean(text: &str) -> String {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].replace('\0', "\u{fffd}")
}
