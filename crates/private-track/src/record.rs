//! What the journal holds of a challenge. Only what a caller signed is recorded: the rest could be any stranger's.

use std::time::Duration;

use adit_auth::Verified;
use adit_journal::Journal;
use adit_keys::Hotkey;
use adit_predictor::{Answer, Wanted};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::challenge::Failure;
use crate::config::JournalFile;
use crate::wire::answer;
use crate::wire::request::{ChallengeRequest, Subject};

/// The event of a [`ChallengeRecord`].
pub const CHALLENGE_EVENT: &str = "challenge";

/// Most bytes of an answer that is recorded; those of a clip of half a minute have a few thousand.
const MAX_ANSWER: usize = 256 * 1024;
/// Most bytes of a URL, and most characters of another text that is recorded. With the answer they stay below the
/// longest line of the smallest journal, even where every byte has to be escaped.
const MAX_URL: usize = 8 * 1024;
const MAX_TEXT: usize = 2 * 1024;

/// One challenge that passed the gate, and how it ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ChallengeRecord {
    /// The validator's name for it; cut off after 2,048 characters.
    pub challenge_id: String,
    /// Whom it was for.
    #[serde(default)]
    pub miner_hotkey: Option<String>,
    /// Who signed it.
    #[serde(default)]
    pub sender: Option<String>,
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
    /// What answers: `baseline`, or the workers' name.
    pub predictor: String,
    /// The image that runs, where `ADIT_IMAGE` says.
    #[serde(default)]
    pub image: Option<String>,
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
}

/// Records the challenges of one miner.
#[derive(Debug)]
pub(crate) struct Recorder {
    journal: Journal,
    miner_hotkey: Option<String>,
    predictor: String,
    image: Option<String>,
}

impl Recorder {
    /// `None`, with a warning, where the file cannot be written: the miner runs on without.
    pub(crate) fn open(
        file: &JournalFile,
        miner: Option<Hotkey>,
        predictor: &str,
        image: Option<String>,
    ) -> Option<Self> {
        match Journal::open(&file.path, file.max_bytes) {
            Ok(journal) => {
                tracing::info!("Journal: {}", file.path.display());
                let miner_hotkey = miner.map(|hotkey| hotkey.to_string());
                Some(Self { journal, miner_hotkey, predictor: predictor.to_owned(), image })
            }
            Err(error) => {
                tracing::warn!(
                    "challenges are not recorded in {}: {error}; ADIT_DATA_DIR names another place",
                    file.path.display()
                );
                None
            }
        }
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.journal.dropped()
    }

    /// Begins the record of a challenge; `None` where nobody signed it.
    pub(crate) fn begin(
        &self,
        challenge: &ChallengeRequest,
        wanted: Wanted,
        verified: Option<&Verified>,
    ) -> Option<Recording<'_>> {
        let verified = verified.filter(|verified| verified.signature.is_some())?;
        let url = |url: &str| (url.len() <= MAX_URL).then(|| url.to_owned());
        let (mut video_url, mut image_url, mut frames) = (None, None, None);
        match challenge.subject() {
            Subject::Video(video) => video_url = url(video),
            Subject::Picture(image) => image_url = url(image),
            Subject::Frames(list) => frames = Some(list.len()),
        }
        let record = ChallengeRecord {
            challenge_id: bounded(&challenge.challenge_id),
            miner_hotkey: self.miner_hotkey.clone(),
            sender: verified.validator.map(|hotkey| hotkey.to_string()),
            mode: wanted.name().to_owned(),
            video_url,
            image_url,
            frames,
            outcome: Ended::Failed,
            status: None,
            reason: None,
            latency_ms: 0,
            predictor: self.predictor.clone(),
            image: self.image.clone(),
            answer: None,
            answer_too_large: None,
        };
        Some(Recording { journal: &self.journal, record })
    }
}

/// A challenge that is under way.
#[derive(Debug)]
pub(crate) struct Recording<'a> {
    journal: &'a Journal,
    record: ChallengeRecord,
}

impl Recording<'_> {
    pub(crate) fn answered(mut self, answer: &Answer, took: Duration) {
        let text = answer::encode_untimed(&self.record.challenge_id, answer);
        if text.len() > MAX_ANSWER {
            self.record.answer_too_large = Some(text.len());
        } else {
            self.record.answer = RawValue::from_string(text).ok();
        }
        self.record.outcome = Ended::Answered;
        self.end(took);
    }

    pub(crate) fn failed(mut self, failure: &Failure, took: Duration) {
        self.record.status = Some(failure.status().as_u16());
        self.record.reason = Some(bounded(&failure.to_string()));
        self.end(took);
    }

    pub(crate) fn caller_left(mut self, took: Duration) {
        self.record.reason = Some("the caller left before the answer".to_owned());
        self.end(took);
    }

    fn end(mut self, took: Duration) {
        self.record.latency_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.journal.record(CHALLENGE_EVENT, &self.record);
    }
}

fn bounded(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}
