//! Generation tasks of subnet 34.

use serde::{Deserialize, Serialize};

use super::{Facets, Record};

/// One thing that happened to a task. All of a task's steps have its name as their key.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskStep {
    /// The task's name, a UUID.
    pub task: String,
    /// `image` or `video`.
    pub modality: String,
    /// The hotkey (ss58) of the validator that asked.
    pub validator: String,
    /// What happened: `accepted`, `call`, `submitted`, `fetched`, `checked`, `retry`, `doubt`, `postponed`, `given_up`, `try`,
    /// `answered`, `expired`, `orphaned` or `redeliver`.
    pub step: String,
    /// The state that it led to, as `/status` names it.
    pub state: String,
    /// Paid calls begun so far.
    #[serde(default)]
    pub attempt: u32,
    /// The service of the present attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Its model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What an attempt that is over now has cost, in millionths of a US dollar: each attempt is told once.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub spent_micro_usd: u64,
    /// What the task has cost so far, calls under way included, in millionths of a US dollar.
    #[serde(default)]
    pub cost_micro_usd: u64,
    /// The media, from `fetched` on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media: Option<TaskMedia>,
    /// What the C2PA check said, in words, where it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// Deliveries begun so far.
    #[serde(default)]
    pub tries: u32,
    /// How a delivery went: `acknowledged`, `not_found`, `refused`, `later` or `undeliverable`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// What was heard: a validator's words, or why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The prompt, with `accepted` alone; cut off after 2,048 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// What else was asked for, with `accepted` alone, as JSON; cut off after 2,048 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<String>,
    /// The host of the webhook, with `accepted` alone: the rest of its address may hold a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook_host: Option<String>,
}

/// Media on this host's disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskMedia {
    /// The file, absolute.
    pub path: String,
    /// Such as `image/png`.
    pub content_type: String,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 in hex.
    pub sha256: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Record for TaskStep {
    const EVENT: &'static str = "task";

    /// Found by the step and not by the state it led to, since several steps lead to one. An answer that ended the task is
    /// found by how.
    fn facets(&self) -> Facets<'_> {
        let kind = match (&self.service, &self.model) {
            (Some(service), Some(model)) => Some(format!("{service} {model}").into()),
            (Some(service), None) => Some(service.as_str().into()),
            _ => None,
        };
        Facets {
            key: Some(&self.task),
            who: Some(&self.validator),
            outcome: Some(if self.step == "answered" { &self.state } else { &self.step }),
            kind,
            micro_usd: self.spent_micro_usd,
            ..Facets::default()
        }
    }
}
