//! Challenges of subnet 44, and who was refused.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Facets, Record};

/// Most characters of a text of others in a [`Challenge`].
pub const MAX_TEXT: usize = 2 * 1024;

/// One challenge that passed the gate, and how it ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Challenge {
    /// The validator's name for it; cut off after 2,048 characters.
    pub challenge_id: String,
    /// Whom it was for.
    #[serde(default)]
    pub miner_hotkey: Option<String>,
    /// Who signed it.
    #[serde(default)]
    pub sender: Option<String>,
    /// By which message form: `fiber` or `score`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialect: Option<String>,
    /// What was asked for: `soccer_action`, `cricket_delivery` or `tcg_grading`.
    pub mode: String,
    /// The clip, where it asks about one. Absent beyond 8 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub video_url: Option<String>,
    /// The picture, where it asks about one. Absent beyond 8 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_url: Option<String>,
    /// How many frames, where it asks about those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frames: Option<usize>,
    /// How it ended.
    pub outcome: Ended,
    /// The HTTP status of a failure; none where the caller had left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why it failed, as in the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// From the last byte of the request to the answer, in milliseconds.
    pub latency_ms: u64,
    /// Where the time went, from the request's head on, in the order of their beginnings. Stages may be at work at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<Stage>,
    /// What is known of the clip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip: Option<Clip>,
    /// What answers: `baseline`, `workers` or `model`, or the workers' name.
    pub predictor: String,
    /// The image that runs, where `ADIT_IMAGE` says.
    #[serde(default)]
    pub image: Option<String>,
    /// How many predictions were answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predictions: Option<usize>,
    /// The answer without `processing_time`, to the digit as it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Box<RawValue>>,
    /// The size in bytes of an answer that was too large to be recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_too_large: Option<usize>,
}

/// How a challenge ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// With an answer.
    Answered,
    /// Without one.
    Failed,
    /// Its caller did not wait for the answer.
    CallerLeft,
}

impl Ended {
    /// As in the file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::CallerLeft => "caller_left",
        }
    }
}

/// A piece of the time that a challenge took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// Such as `gate`, `body`, `queue`, `fetch`, `predict`, `answer`.
    pub name: String,
    /// When it began, in microseconds from the request's head on.
    pub from_us: u64,
    /// How long it took, in microseconds.
    pub took_us: u64,
}

/// What is known of a clip.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Clip {
    /// Its bytes, up to the last that is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Its number of frames.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frames: Option<u64>,
    /// Width and height in pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<(u32, u32)>,
    /// Frames a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fps: Option<f64>,
}

impl Record for Challenge {
    const EVENT: &'static str = "challenge";

    fn facets(&self) -> Facets<'_> {
        Facets {
            key: Some(&self.challenge_id),
            who: self.sender.as_deref(),
            outcome: Some(self.outcome.as_str()),
            kind: self.dialect.as_deref().map(Into::into),
            took_ms: self.latency_ms,
            ..Facets::default()
        }
    }
}

/// Requests that a miner's gate refused within a minute, for one reason.
///
/// They are summed before they are recorded: whoever is refused must not fill the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The gate's label, such as `signature`.
    pub reason: String,
    /// The hotkey (ss58) that was named, where it is one that the stake table knows. Nobody has shown that it was its.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed: Option<String>,
    /// How many.
    pub count: u64,
    /// The last one's words, as in the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Record for Refused {
    const EVENT: &'static str = "refused";

    fn facets(&self) -> Facets<'_> {
        Facets {
            who: self.claimed.as_deref(),
            outcome: Some(&self.reason),
            count: self.count,
            ..Facets::default()
        }
    }
}
