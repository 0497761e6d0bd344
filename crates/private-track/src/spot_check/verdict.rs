//! How a check ended, in the words and digits of Score's checker.

use std::fmt;
use std::time::Duration;

use adit_scoring::soccer;
use serde::{Deserialize, Serialize};

use super::job::{Job, Live};
use crate::rehearsal::Outcome;

/// One line of the checker: its keys in its order, and our own `identical` behind them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Whose image it is.
    pub miner_hotkey: String,
    /// The challenge.
    pub challenge_id: String,
    /// What the live answer was worth, 0 to 1.
    pub original_score: f64,
    /// Whether the image passes.
    pub status: Status,
    /// Why.
    pub reason: Reason,
    /// What its answer is worth, to 6 digits; this and the next four only where there is an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spotcheck_score: Option<f64>,
    /// How far the two are apart, to 6 digits. 0.02 are allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score_diff: Option<f64>,
    /// How long it took, in seconds to 3 digits; also after a timeout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elapsed_s: Option<f64>,
    /// How many predictions it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prediction_count: Option<usize>,
    /// What the image says that it took, in seconds to 3 digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processing_time: Option<f64>,
    /// Whether both answers hold the same predictions, byte for byte; null without an answer.
    pub identical: Option<bool>,
}

/// Whether an image passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// It does.
    Pass,
    /// It does not: Score reports the hotkey to its blacklist.
    Fail,
}

/// The checker's word for how a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Both answers are worth the same: the only one that passes.
    ScoreMatch,
    /// They are not.
    ScoreMismatch,
    /// The clip's host is not allowed.
    VideoUrlRejected,
    /// `GET /docs` was not answered in time.
    MinerNotReady,
    /// No whole answer in time.
    Timeout,
    /// An error, or an answer that the validator's schema refuses.
    NoResponse,
}

impl Reason {
    /// The reason after `outcome`; `same` says whether an answer is worth what the live one was.
    pub(crate) fn of(outcome: &Outcome, same: bool) -> Self {
        match outcome {
            Outcome::Answered { .. } if same => Self::ScoreMatch,
            Outcome::Answered { .. } => Self::ScoreMismatch,
            Outcome::TimedOut => Self::Timeout,
            Outcome::Status { .. } | Outcome::Rejected(_) | Outcome::Unreachable(_) => Self::NoResponse,
        }
    }

    /// Whether the image passes.
    #[must_use]
    pub fn passed(self) -> bool {
        self == Self::ScoreMatch
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl Verdict {
    /// Without an answer.
    pub(super) fn failed(job: &Job, live: Option<&Live>, reason: Reason) -> Self {
        Self {
            miner_hotkey: job.miner_hotkey.clone(),
            challenge_id: job.challenge_id.clone(),
            original_score: live.map_or(0.0, |live| live.score(job)),
            status: if reason.passed() { Status::Pass } else { Status::Fail },
            reason,
            spotcheck_score: None,
            score_diff: None,
            elapsed_s: None,
            prediction_count: None,
            processing_time: None,
            identical: None,
        }
    }

    /// After the image was asked.
    pub(super) fn of(job: &Job, live: &Live, outcome: &Outcome, took: Duration) -> Self {
        let original = live.score(job);
        let again = outcome.score().unwrap_or_default();
        let reason = Reason::of(outcome, soccer::spot_check_passes(original, again));
        let elapsed_s = Some(rounded(took.as_secs_f64(), 3));
        match outcome {
            Outcome::Answered { count, processing_time, answer, .. } => Self {
                spotcheck_score: Some(rounded(again, 6)),
                score_diff: Some(rounded((original - again).abs(), 6)),
                elapsed_s,
                prediction_count: Some(*count),
                processing_time: Some(rounded(*processing_time, 3)),
                identical: Some(*answer == live.answer),
                ..Self::failed(job, Some(live), reason)
            },
            Outcome::TimedOut => Self { elapsed_s, ..Self::failed(job, Some(live), reason) },
            _ => Self::failed(job, Some(live), reason),
        }
    }
}

/// As Python rounds: by the exact value, halves to even.
fn rounded(value: f64, digits: usize) -> f64 {
    format!("{value:.digits$}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use adit_scoring::soccer::{Era, Event};
    use serde_json::value::RawValue;

    use super::*;

    const LIVE: &str =
        r#"{"challenge_id":"c","predictions":[{"frame":100,"action":"goal","confidence":1.0}]}"#;

    fn job() -> Job {
        Job {
            miner_hotkey: "5Hot".to_owned(),
            challenge_id: "c".to_owned(),
            video_url: "http://scoredata.me/c.mp4".to_owned(),
            clip: "1.mp4".to_owned(),
            live: Some(RawValue::from_string(LIVE.to_owned()).unwrap()),
            truth: None,
            original_score: None,
        }
    }

    fn answered(job: &Job, frame: u64) -> Outcome {
        let predictions = vec![Event::new(frame, "goal")];
        let truth = Live::of(job).unwrap().truth(job).to_vec();
        Outcome::Answered {
            kind: "soccer_action",
            count: 1,
            processing_time: 2.345_678,
            verdict: Some(soccer::judge(Era::Head, &predictions, &truth)),
            predictions,
            answer: format!(r#"{{"predictions":[{{"frame":{frame},"action":"goal","confidence":1.0}}]}}"#),
        }
    }

    fn line(job: &Job, outcome: &Outcome) -> String {
        let live = Live::of(job).unwrap();
        serde_json::to_string(&Verdict::of(job, &live, outcome, Duration::from_micros(2_500_600))).unwrap()
    }

    #[test]
    fn the_lines_are_those_of_the_checker() {
        let head = r#""miner_hotkey":"5Hot","challenge_id":"c","original_score":1.0,"status":"#;
        let job = job();
        for (outcome, rest) in [
            (
                answered(&job, 100),
                r#""PASS","reason":"score_match","spotcheck_score":1.0,"score_diff":0.0,"elapsed_s":2.501,"prediction_count":1,"processing_time":2.346,"identical":true"#,
            ),
            // A goal's score falls from frame 100 on by 0.5 over 75 frames.
            (
                answered(&job, 102),
                r#""PASS","reason":"score_match","spotcheck_score":0.986667,"score_diff":0.013333,"elapsed_s":2.501,"prediction_count":1,"processing_time":2.346,"identical":false"#,
            ),
            (
                answered(&job, 107),
                r#""FAIL","reason":"score_mismatch","spotcheck_score":0.953333,"score_diff":0.046667,"elapsed_s":2.501,"prediction_count":1,"processing_time":2.346,"identical":false"#,
            ),
            (Outcome::TimedOut, r#""FAIL","reason":"timeout","elapsed_s":2.501,"identical":null"#),
            (
                Outcome::Status { status: 500, detail: String::new() },
                r#""FAIL","reason":"no_response","identical":null"#,
            ),
            (Outcome::Rejected(String::new()), r#""FAIL","reason":"no_response","identical":null"#),
            (Outcome::Unreachable(String::new()), r#""FAIL","reason":"no_response","identical":null"#),
        ] {
            assert_eq!(line(&job, &outcome), format!("{{{head}{rest}}}"));
        }
        for (reason, word) in
            [(Reason::VideoUrlRejected, "video_url_rejected"), (Reason::MinerNotReady, "miner_not_ready")]
        {
            let verdict = Verdict::failed(&job, Some(&Live::of(&job).unwrap()), reason);
            let text = serde_json::to_string(&verdict).unwrap();
            assert_eq!(text, format!(r#"{{{head}"FAIL","reason":"{word}","identical":null}}"#));
            assert_eq!(serde_json::from_str::<Verdict>(&text).unwrap(), verdict);
            assert_eq!(reason.to_string(), word);
        }
    }

    #[test]
    fn the_truth_decides_where_it_is_known() {
        let truth = Some(vec![Event::new(102u64, "goal")]);
        let computed = Job { truth, ..job() };
        let verdict =
            |job: &Job| -> Verdict { serde_json::from_str(&line(job, &answered(job, 102))).unwrap() };
        let by_truth = verdict(&computed);
        assert_eq!((by_truth.spotcheck_score, by_truth.score_diff), (Some(1.0), Some(0.013_333)));
        // What Score said of the live answer counts, but only beside the truth that it is from.
        let told = Job { original_score: Some(0.5), ..computed };
        assert_eq!((verdict(&told).original_score, verdict(&told).reason), (0.5, Reason::ScoreMismatch));
        assert_eq!(verdict(&Job { truth: None, ..told }).original_score, 1.0);
    }

    #[test]
    fn halves_are_rounded_as_python_rounds_them() {
        for (value, digits, expected) in
            [(0.0625, 3, 0.062), (2.675, 2, 2.67), (0.5e-6, 6, 0.0), (7.0, 3, 7.0)]
        {
            assert_eq!(rounded(value, digits), expected);
        }
    }
}
