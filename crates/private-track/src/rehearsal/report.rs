//! What came back, and what it is worth.

use std::time::Duration;

use adit_scoring::soccer::{self, Event, Verdict};

use super::Sender;
use crate::spot_check::Reason;

/// Everything that one rehearsal showed.
#[derive(Debug)]
pub struct Report {
    /// In the order sent.
    pub attempts: Vec<Attempt>,
    /// Whether all answers hold the same predictions, byte for byte; `None` with fewer than two answers.
    pub identical: Option<bool>,
    /// The spot check, where one was asked for.
    pub spot_check: Option<SpotCheck>,
}

impl Report {
    /// True where every challenge was answered in time and acceptably, all answers agree, and the
    /// spot check passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.attempts.iter().all(|attempt| attempt.outcome.is_answer())
            && self.identical != Some(false)
            && self.spot_check.as_ref().is_none_or(SpotCheck::passed)
    }
}

/// One challenge.
#[derive(Debug)]
pub struct Attempt {
    /// As whom it was sent.
    pub sender: Sender,
    /// From connect to the last byte of the answer.
    pub latency: Duration,
    /// What a validator allows.
    pub budget: Duration,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a challenge ended. A validator scores everything but an answer with 0.
#[derive(Debug)]
pub enum Outcome {
    /// An answer that the validator accepts.
    Answered {
        /// `soccer_action`, `cricket_delivery` or `tcg_grading`: what the validator takes it for.
        kind: &'static str,
        /// How many predictions it reports.
        count: usize,
        /// What the miner says that it took, in seconds; any float.
        processing_time: f64,
        /// What its soccer scorer sees.
        predictions: Vec<Event>,
        /// The score, where the truth is known.
        verdict: Option<Verdict>,
        /// The answer without what may differ between two of the same challenge.
        answer: String,
    },
    /// A status other than 200; redirects too, which validators do not follow.
    Status {
        /// The status.
        status: u16,
        /// What the miner said.
        detail: String,
    },
    /// An answer that the validator's schema refuses.
    Rejected(String),
    /// No whole answer within the budget.
    TimedOut,
    /// No connection, or one that broke.
    Unreachable(String),
}

impl Outcome {
    pub(super) fn answer(&self) -> Option<&str> {
        if let Self::Answered { answer, .. } = self { Some(answer) } else { None }
    }

    /// Whether the validator accepts it.
    #[must_use]
    pub fn is_answer(&self) -> bool {
        self.answer().is_some()
    }

    /// The score, where there is one; 0 for everything but an answer.
    #[must_use]
    pub fn score(&self) -> Option<f64> {
        match self {
            Self::Answered { verdict, .. } => verdict.as_ref().map(|verdict| verdict.score),
            _ => Some(0.0),
        }
    }
}

/// The comparison that a spot check makes (section 7).
#[derive(Debug)]
pub struct SpotCheck {
    /// The check's own word for how it ended.
    pub reason: Reason,
    /// The live score and that of the re-run, where the truth is known.
    pub scores: Option<(f64, f64)>,
    /// Whether the two answers hold the same predictions, byte for byte.
    pub identical: bool,
    /// How long the re-run took.
    pub latency: Option<Duration>,
}

impl SpotCheck {
    pub(super) fn not_ready() -> Self {
        Self { reason: Reason::MinerNotReady, scores: None, identical: false, latency: None }
    }

    /// Whether the image would pass.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.reason.passed()
    }

    /// By score where the truth is known, as Score does; else by the bytes, which is stricter.
    pub(super) fn compare(live: Option<&Attempt>, again: Attempt) -> Self {
        let again_answer = again.outcome.answer();
        let identical = again_answer.is_some() && live.and_then(|live| live.outcome.answer()) == again_answer;
        let scores = live.and_then(|live| live.outcome.score()).zip(again.outcome.score());
        let scores = scores.filter(|_| again_answer.is_some());
        let same = scores.map_or(identical, |(live, again)| soccer::spot_check_passes(live, again));
        let reason = Reason::of(&again.outcome, same);
        Self { reason, scores, identical, latency: Some(again.latency) }
    }
}

pub(super) fn identical(attempts: &[Attempt]) -> Option<bool> {
    let answers: Vec<_> = attempts.iter().filter_map(|attempt| attempt.outcome.answer()).collect();
    (answers.len() > 1).then(|| answers.windows(2).all(|pair| pair[0] == pair[1]))
}

#[cfg(test)]
mod tests {
    use adit_scoring::soccer::Era;

    use super::*;

    fn answered(frame: u64) -> Attempt {
        let predictions = vec![Event::new(frame, "goal")];
        let truth = [Event::new(100u64, "goal")];
        let verdict = Some(soccer::judge(Era::Head, &predictions, &truth));
        let answer = format!("{predictions:?}");
        let outcome = Outcome::Answered {
            kind: "soccer_action",
            count: 1,
            processing_time: 0.5,
            predictions,
            verdict,
            answer,
        };
        let second = Duration::from_secs(1);
        Attempt { sender: Sender::Head, latency: second, budget: 30 * second, outcome }
    }

    fn failed() -> Attempt {
        Attempt { outcome: Outcome::TimedOut, ..answered(0) }
    }

    #[test]
    fn a_spot_check_passes_within_two_hundredths() {
        // A goal's score falls by 0.5 over 75 frames: 3 frames are exactly 0.02.
        for (frame, passed) in [(100, true), (102, true), (104, false)] {
            let check = SpotCheck::compare(Some(&answered(100)), answered(frame));
            assert_eq!((check.passed(), check.identical), (passed, frame == 100), "{frame}");
        }
    }

    #[test]
    fn no_answer_is_no_pass_even_after_no_answer() {
        let check = SpotCheck::compare(Some(&failed()), failed());
        assert_eq!((check.reason, check.scores), (Reason::Timeout, None));
    }

    #[test]
    fn one_failed_challenge_fails_the_rehearsal() {
        let report =
            |attempts: Vec<_>| Report { identical: identical(&attempts), attempts, spot_check: None };
        assert!(report(vec![answered(1), answered(1)]).passed());
        assert!(!report(vec![answered(1), answered(2)]).passed());
        assert!(!report(vec![answered(1), failed()]).passed());
        assert_eq!(report(vec![answered(1)]).identical, None);
    }
}
