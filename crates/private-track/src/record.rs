//! What the journal holds of a challenge, and where its time went. Only what a caller signed is recorded: the rest could be
//! any stranger's.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use adit_auth::Verified;
use adit_journal::Journal;
use adit_journal::record::{Challenge, Clip, Ended, MAX_TEXT, Stage, bounded};
use adit_keys::Hotkey;
use adit_media::ClipInfo;
use adit_predictor::{Answer, Wanted};
use serde_json::value::RawValue;

use crate::challenge::Failure;
use crate::wire::answer;
use crate::wire::request::{ChallengeRequest, Subject};

/// Most bytes of an answer that is recorded; those of a clip of half a minute have a few thousand.
const MAX_ANSWER: usize = 256 * 1024;
/// Most bytes of a URL that is recorded. With the answer and the other texts it stays below the longest entry, even where
/// every byte has to be escaped.
const MAX_URL: usize = 8 * 1024;

/// Where the time of one challenge goes, and what its clip is. Written while it is worked on, read when it ends.
#[derive(Debug)]
pub(crate) struct Trace {
    arrived: Instant,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    stages: Vec<Stage>,
    clip: Option<Clip>,
}

impl Trace {
    /// Of a request whose head arrived then.
    pub(crate) fn since(arrived: Instant) -> Self {
        Self { arrived, seen: Mutex::default() }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a stage, which ends when the value is dropped: also where its future is.
    pub(crate) fn stage(&self, name: &'static str) -> StageTime<'_> {
        StageTime { trace: self, name, began: Instant::now() }
    }

    /// A stage that is over.
    pub(crate) fn add(&self, name: &'static str, from: Instant, until: Instant) {
        let micros = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        let from_us = micros(from.saturating_duration_since(self.arrived));
        let took_us = micros(until.saturating_duration_since(from));
        self.seen().stages.push(Stage { name: name.to_owned(), from_us, took_us });
    }

    pub(crate) fn clip(&self, info: &ClipInfo) {
        let clip = Clip {
            bytes: Some(info.sample_end),
            frames: Some(info.frames),
            size: Some((info.width, info.height)),
            fps: Some(info.frame_rate.as_f64()),
        };
        self.seen().clip = Some(clip);
    }
}

/// A stage that is under way.
#[derive(Debug)]
pub(crate) struct StageTime<'a> {
    trace: &'a Trace,
    name: &'static str,
    began: Instant,
}

impl Drop for StageTime<'_> {
    fn drop(&mut self) {
        self.trace.add(self.name, self.began, Instant::now());
    }
}

/// Records the challenges of one miner.
#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) journal: Journal,
    pub(crate) miner_hotkey: Option<Hotkey>,
    pub(crate) predictor: String,
    pub(crate) image: Option<String>,
}

impl Recorder {
    /// Begins the record of a challenge; `None` where nobody signed it.
    pub(crate) fn begin(
        &self,
        challenge: &ChallengeRequest,
        wanted: Wanted,
        verified: Option<&Verified>,
    ) -> Option<Recording<'_>> {
        let verified = verified?;
        let (_, dialect) = verified.signature.as_ref()?;
        let url = |url: &str| (url.len() <= MAX_URL).then(|| url.to_owned());
        let (mut video_url, mut image_url, mut frames) = (None, None, None);
        match challenge.subject() {
            Subject::Video(video) => video_url = url(video),
            Subject::Picture(image) => image_url = url(image),
            Subject::Frames(list) => frames = Some(list.len()),
        }
        let record = Challenge {
            challenge_id: bounded(&challenge.challenge_id, MAX_TEXT),
            miner_hotkey: self.miner_hotkey.map(|hotkey| hotkey.to_string()),
            sender: verified.validator.map(|hotkey| hotkey.to_string()),
            dialect: Some(dialect.to_string()),
            mode: wanted.name().to_owned(),
            video_url,
            image_url,
            frames,
            outcome: Ended::Failed,
            status: None,
            reason: None,
            latency_ms: 0,
            stages: Vec::new(),
            clip: None,
            predictor: self.predictor.clone(),
            image: self.image.clone(),
            predictions: None,
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
    record: Challenge,
}

impl Recording<'_> {
    pub(crate) fn answered(mut self, answer: &Answer, took: Duration, trace: &Trace) {
        let text = answer::encode_untimed(&self.record.challenge_id, answer);
        if text.len() > MAX_ANSWER {
            self.record.answer_too_large = Some(text.len());
        } else {
            self.record.answer = RawValue::from_string(text).ok();
        }
        self.record.predictions = match answer {
            Answer::Actions(actions) => Some(actions.len()),
            Answer::Objects(frames) => Some(frames.len()),
            Answer::Delivery(_) | Answer::Grades(_) => Some(1),
        };
        self.record.outcome = Ended::Answered;
        self.end(took, trace);
    }

    pub(crate) fn failed(mut self, failure: &Failure, took: Duration, trace: &Trace) {
        self.record.status = Some(failure.status().as_u16());
        self.record.reason = Some(bounded(&failure.to_string(), MAX_TEXT));
        self.end(took, trace);
    }

    pub(crate) fn caller_left(mut self, took: Duration, trace: &Trace) {
        self.record.outcome = Ended::CallerLeft;
        self.record.reason = Some("the caller left before the answer".to_owned());
        self.end(took, trace);
    }

    fn end(mut self, took: Duration, trace: &Trace) {
        self.record.latency_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let mut seen = trace.seen();
        let mut stages = std::mem::take(&mut seen.stages);
        stages.sort_by_key(|stage| stage.from_us);
        self.record.stages = stages;
        self.record.clip = seen.clip.take();
        drop(seen);
        self.journal.record(&self.record);
    }
}
