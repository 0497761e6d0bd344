//! What an operator had done: rehearsals, spot checks, pushes.

use serde::{Deserialize, Serialize};

use super::{Facets, Record};

/// A rehearsal of a miner.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Rehearsed {
    /// What was rehearsed: a miner's URL, a chute, a model.
    pub target: String,
    /// What it was asked: a clip's URL or name, an element.
    pub asked: String,
    /// The recorded challenge that was sent again, where it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge_id: Option<String>,
    /// Whether all of it went as it should.
    pub passed: bool,
    /// How often it was asked, and how often it answered.
    pub asked_times: u32,
    /// See `asked_times`.
    pub answered_times: u32,
    /// The best score, 0 to 1, where the truth is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// Whether all answers held the same predictions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identical: Option<bool>,
    /// The slowest answer, in milliseconds.
    #[serde(default)]
    pub slowest_ms: u64,
    /// What went wrong, or is worth a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Record for Rehearsed {
    const EVENT: &'static str = "rehearsed";

    fn facets(&self) -> Facets<'_> {
        Facets {
            key: self.challenge_id.as_deref(),
            outcome: Some(if self.passed { "passed" } else { "failed" }),
            took_ms: self.slowest_ms,
            ..Facets::default()
        }
    }
}

/// One challenge that `sv spot-check` asked an image again.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SpotChecked {
    /// The challenge.
    pub challenge_id: String,
    /// The image, with its digest.
    pub image: String,
    /// The checker's word, such as `pass`.
    pub status: String,
    /// Whether the image passes in this.
    pub passed: bool,
    /// Whether the predictions are the same, byte for byte.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identical: Option<bool>,
    /// What the live answer is worth, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live_score: Option<f64>,
    /// What the new answer is worth, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Record for SpotChecked {
    const EVENT: &'static str = "spot_checked";

    fn facets(&self) -> Facets<'_> {
        Facets {
            key: Some(&self.challenge_id),
            outcome: Some(if self.passed { "passed" } else { "failed" }),
            ..Facets::default()
        }
    }
}

/// A step of `sv push` or of a deployment, as it was read back.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Pushed {
    /// What is pushed: an element, or an image.
    pub what: String,
    /// The step, such as `upload`.
    pub step: String,
    /// Whether it holds now.
    pub done: bool,
    /// What is there now, or what went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Record for Pushed {
    const EVENT: &'static str = "pushed";

    fn facets(&self) -> Facets<'_> {
        let outcome = if self.done { "done" } else { "failed" };
        Facets { key: Some(&self.what), outcome: Some(outcome), ..Facets::default() }
    }
}
