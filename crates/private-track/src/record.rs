//! What the journal holds of a miner: its start and its end, whom it refused, and each challenge with where its time went. Of
//! challenges only what a caller signed is recorded: the rest could be any stranger's.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use adit_auth::{Dialect, Policy, StakeGate, StakeTable, Verified};
use adit_chain::{Netuid, Observer};
use adit_journal::record::{Challenge, Clip, Ended, MAX_TEXT, Stage, Started, Stopped, bounded};
use adit_journal::{Journal, Refusals};
use adit_keys::Hotkey;
use adit_media::ClipInfo;
use adit_predictor::{Answer, Wanted};
use axum::http::HeaderValue;
use serde_json::value::RawValue;

use crate::challenge::Failure;
use crate::wire::answer;
use crate::wire::request::{ChallengeRequest, Subject};

/// Most bytes of an answer that is recorded; those of a clip of half a minute have a few thousand.
const MAX_ANSWER: usize = 256 * 1024;
/// About what a record has beside its answer, in bytes.
const LEAST: usize = 2 * 1024;
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
    stages: Vec<Passed>,
    clip: Option<Clip>,
}

/// A stage that is over; its times are in microseconds, the first from the request's head on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Passed {
    pub(crate) name: &'static str,
    pub(crate) from_us: u64,
    pub(crate) took_us: u64,
}

impl From<Passed> for Stage {
    fn from(Passed { name, from_us, took_us }: Passed) -> Self {
        Self { name: name.to_owned(), from_us, took_us }
    }
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
        self.seen().stages.push(Passed { name, from_us, took_us });
    }

    /// Since the request's head.
    pub(crate) fn elapsed(&self) -> Duration {
        self.arrived.elapsed()
    }

    /// The stages that are over, in the order of their ends.
    pub(crate) fn stages(&self) -> Vec<Passed> {
        self.seen().stages.clone()
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

/// The hotkey that a header names, where it is one that the table knows: anybody can name any number of others.
pub(crate) fn claimed(header: Option<&HeaderValue>, stakes: Option<&StakeTable>) -> Option<Hotkey> {
    let hotkey = header?.to_str().ok()?.parse().ok()?;
    stakes?.stake(&hotkey).map(|_| hotkey)
}

/// Records what happens to one miner.
#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) journal: Journal,
    pub(crate) answerer: Arc<Answerer>,
    pub(crate) refusals: Refusals,
}

/// Who answers: the same in the record of each challenge.
#[derive(Debug)]
pub(crate) struct Answerer {
    pub(crate) hotkey: Option<Hotkey>,
    pub(crate) predictor: String,
    pub(crate) image: Option<String>,
}

impl Recorder {
    /// It listens, and what answers is chosen.
    pub(crate) fn started(
        &self,
        address: SocketAddr,
        netuid: Option<Netuid>,
        works_by: String,
        warnings: Vec<String>,
    ) {
        self.journal.record(&Started {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            address: address.to_string(),
            hotkey: self.answerer.hotkey.map(|hotkey| hotkey.to_string()),
            netuid: netuid.map(|netuid| netuid.0),
            works_by: vec![works_by],
            image: self.answerer.image.clone(),
            daily_budget_micro_usd: None,
            warnings,
        });
    }

    /// Records the miner's place on chain, where its hotkey is known.
    pub(crate) fn observer(&self) -> Option<Observer> {
        Some(Observer::new(self.answerer.hotkey?, self.journal.clone()).with_commitment())
    }

    /// Records from time to time whom the gate has refused.
    pub(crate) async fn record_refusals(&self) -> Infallible {
        loop {
            tokio::time::sleep(Refusals::EVERY).await;
            self.refusals.flush(&self.journal);
        }
    }

    /// It has ended; `reason` says why, where it is an error.
    pub(crate) fn stopped(&self, reason: Option<String>) {
        self.refusals.flush(&self.journal);
        self.journal.record(&Stopped { reason: reason.map(|reason| bounded(&reason, MAX_TEXT)) });
    }

    /// Begins the record of a challenge; `None` where nobody signed it.
    pub(crate) fn begin<'a>(
        &'a self,
        challenge: &'a ChallengeRequest,
        wanted: Wanted,
        verified: Option<&Verified>,
    ) -> Option<Recording<'a>> {
        let verified = verified?;
        let &(_, dialect) = verified.signature.as_ref()?;
        Some(Recording { recorder: self, challenge, wanted, sender: verified.validator, dialect })
    }
}

/// What an operator should know of a gate that lets through more, or less, than one of a live miner does.
pub(crate) fn warnings(policy: &Policy, stakes_known: bool) -> Vec<String> {
    let mut warnings = Vec::new();
    if !policy.verify {
        warnings.push("signatures are not checked, so challenges are not recorded (VERIFY_ENABLED)");
    }
    match policy.stake_gate {
        StakeGate::Off => warnings.push("callers are not judged by their stake (BLACKLIST_ENABLED)"),
        StakeGate::Closed if !stakes_known => warnings.push(
            "no stakes are known yet: until the chain answers, every caller is refused (ADIT_STAKES_UNKNOWN)",
        ),
        StakeGate::OpenUntilKnown if !stakes_known => warnings.push(
            "no stakes are known yet: until the chain answers, no caller is judged by its stake (ADIT_STAKES_UNKNOWN)",
        ),
        StakeGate::Closed | StakeGate::OpenUntilKnown => {}
    }
    if policy.own_hotkey.is_none() {
        warnings.push("the miner's own hotkey is unknown, so it takes challenges for others (ADIT_HOTKEY)");
    }
    warnings.into_iter().map(str::to_owned).collect()
}

/// A challenge that is under way.
#[derive(Debug)]
pub(crate) struct Recording<'a> {
    recorder: &'a Recorder,
    challenge: &'a ChallengeRequest,
    wanted: Wanted,
    sender: Option<Hotkey>,
    dialect: Dialect,
}

impl Recording<'_> {
    /// `bytes` is how large the answer was as it was sent. It is written down once more, without its time.
    pub(crate) fn answered(self, answer: Answer, bytes: usize, took: Duration, trace: &Trace) {
        let fits = bytes <= MAX_ANSWER;
        self.end(if fits { bytes } else { 0 }, took, trace, move |record| {
            record.outcome = Ended::Answered;
            record.predictions = match &answer {
                Answer::Actions(actions) => Some(actions.len()),
                Answer::Objects(frames) => Some(frames.len()),
                Answer::Delivery(_) | Answer::Grades(_) => Some(1),
            };
            if fits {
                let text = answer::encode_untimed(&record.challenge_id, &answer);
                record.answer = RawValue::from_string(text).ok();
            } else {
                record.answer_too_large = Some(bytes);
            }
        });
    }

    pub(crate) fn failed(self, failure: &Failure, took: Duration, trace: &Trace) {
        let (status, reason) = (failure.status().as_u16(), bounded(&failure.to_string(), MAX_TEXT));
        self.end(0, took, trace, move |record| {
            record.status = Some(status);
            record.reason = Some(reason);
        });
    }

    pub(crate) fn caller_left(self, took: Duration, trace: &Trace) {
        self.end(0, took, trace, |record| {
            record.outcome = Ended::CallerLeft;
            record.reason = Some("the caller left before the answer".to_owned());
        });
    }

    /// The record is made by the journal's own thread, out of what is taken along here. The trace is empty after it.
    fn end(
        self,
        bytes: usize,
        took: Duration,
        trace: &Trace,
        complete: impl FnOnce(&mut Challenge) + Send + 'static,
    ) {
        let Self { recorder, challenge, wanted, sender, dialect } = self;
        let challenge_id = bounded(&challenge.challenge_id, MAX_TEXT);
        let url = |url: &str| (url.len() <= MAX_URL).then(|| url.to_owned());
        let (mut video_url, mut image_url, mut frames) = (None, None, None);
        match challenge.subject() {
            Subject::Video(video) => video_url = url(video),
            Subject::Picture(image) => image_url = url(image),
            Subject::Frames(list) => frames = Some(list.len()),
        }
        let Seen { mut stages, clip } = std::mem::take(&mut *trace.seen());
        let answerer = Arc::clone(&recorder.answerer);
        recorder.journal.record_later(bytes + LEAST, move || {
            stages.sort_by_key(|stage| stage.from_us);
            let mut record = Challenge {
                challenge_id,
                miner_hotkey: answerer.hotkey.map(|hotkey| hotkey.to_string()),
                sender: sender.map(|hotkey| hotkey.to_string()),
                dialect: Some(dialect.to_string()),
                mode: wanted.name().to_owned(),
                video_url,
                image_url,
                frames,
                outcome: Ended::Failed,
                status: None,
                reason: None,
                latency_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
                stages: stages.into_iter().map(Stage::from).collect(),
                clip,
                predictor: answerer.predictor.clone(),
                image: answerer.image.clone(),
                predictions: None,
                answer: None,
                answer_too_large: None,
            };
            complete(&mut record);
            record
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn hotkey(n: u8) -> Hotkey {
        Hotkey::from_bytes([n; 32])
    }

    #[test]
    fn a_hotkey_counts_as_claimed_only_where_the_table_knows_it() {
        let table = StakeTable::new([(hotkey(1), 5.0)].into(), SystemTime::now());
        let header = |text: String| HeaderValue::from_str(&text).unwrap();
        let known = header(hotkey(1).to_string());
        assert_eq!(claimed(Some(&known), Some(&table)), Some(hotkey(1)));
        assert_eq!(claimed(Some(&known), None), None);
        for unknown in [Some(header(hotkey(2).to_string())), Some(header("5Bad".to_owned())), None] {
            assert_eq!(claimed(unknown.as_ref(), Some(&table)), None, "{unknown:?}");
        }
    }
}
