//! Soccer actions: predictions against ground truth, both as (frame, action) pairs.
//!
//! Scoring version 2 of Score's private track, which both eras of validators share; they differ in the table of
//! actions. Private-track reference, section 5. What a manifest's pillars make of the score is in
//! [`crate::pillars`].

use adit_python::scalar::{Refusal, Scalar};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

/// Frames a second that a validator assumes for every clip, whatever the file says.
pub const FRAME_RATE: f64 = 25.0;

/// Which release of the validator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Era {
    /// The release that the miner guide describes (March 2026): 19 actions.
    DocumentEra,
    /// The current release (August 2026): 15 actions.
    Head,
}

/// What one action is worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ActionRule {
    /// The name on the wire; case and blanks count.
    pub name: &'static str,
    /// Points for a prediction at the exact time, and the penalty for one that matches nothing.
    pub weight: f64,
    /// The part of the weight that is left at the edge of the tolerance, from 0 to 1.
    pub min_score: f64,
    /// How far from the truth a prediction may lie, in seconds.
    pub tolerance_s: f64,
}

const fn rule(name: &'static str, weight: f64, min_score: f64, tolerance_s: f64) -> ActionRule {
    ActionRule { name, weight, min_score, tolerance_s }
}

/// The current 15 actions, then the four that only the document era scored.
static ACTIONS: [ActionRule; 19] = [
    rule("pass", 1.0, 0.0, 1.0),
    rule("pass_received", 1.4, 0.0, 1.0),
    rule("recovery", 1.5, 0.0, 1.5),
    rule("tackle", 2.5, 0.1, 1.5),
    rule("interception", 2.8, 0.5, 2.0),
    rule("ball_out_of_play", 2.9, 0.5, 2.0),
    rule("clearance", 3.1, 0.5, 2.0),
    rule("take_on", 3.2, 0.5, 2.0),
    rule("substitution", 4.2, 0.5, 2.0),
    rule("block", 4.2, 0.5, 2.0),
    rule("aerial_duel", 4.3, 0.5, 2.0),
    rule("shot", 4.7, 0.5, 2.0),
    rule("save", 7.3, 0.5, 2.0),
    rule("foul", 7.7, 0.5, 2.5),
    rule("goal", 10.9, 0.5, 3.0),
    rule("defensive_1on1", 3.2, 0.5, 2.0),
    rule("foul_won", 7.7, 0.5, 2.5),
    rule("catch_interception", 17.2, 0.4, 2.5),
    rule("end_of_half", 17.2, 0.5, 5.0),
];

/// The actions that validators of an era score, the rest is ignored.
#[must_use]
pub fn actions(era: Era) -> &'static [ActionRule] {
    match era {
        Era::DocumentEra => &ACTIONS,
        Era::Head => &ACTIONS[..15],
    }
}

/// An action at a frame: a prediction or a row of ground truth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The 0-based index in the clip. The wire sets no upper limit and frames beyond 64 bits occur in test
    /// vectors, so this is the widest integer there is; larger ones are read as `i128::MAX`.
    #[serde(deserialize_with = "frame")]
    pub frame: u128,
    /// The action's name; any text.
    pub action: String,
}

/// Reads a frame as a validator's schema does.
///
/// # Errors
/// What [`Scalar::integer`] refuses, and negative integers.
pub fn read_frame(scalar: Scalar<'_>) -> Result<u128, Refusal> {
    u128::try_from(scalar.integer()?).map_err(|_| Refusal::GreaterThanEqual(0))
}

fn frame<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    read_frame(Scalar::from(&value)).map_err(D::Error::custom)
}

impl Event {
    /// An action at a frame.
    pub fn new(frame: impl Into<u128>, action: impl Into<String>) -> Self {
        Self { frame: frame.into(), action: action.into() }
    }
}

/// The time of a frame in seconds, exactly as Python divides the integer by the frame rate.
#[must_use]
pub fn seconds(frame: u128) -> f64 {
    const EXACT: u128 = 1 << f64::MANTISSA_DIGITS;
    if frame <= EXACT {
        return frame as f64 / FRAME_RATE;
    }
    // Above 2^53 two roundings could differ from Python's one. A twenty-fifth is 0.04, so the quotient has
    // two decimals, and reading it as text rounds once.
    let quotient = format!("{}.{:02}", frame / 25, frame % 25 * 4);
    quotient.parse().expect("digits with a point are a number")
}

/// What became of a prediction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Prediction {
    /// It took a row of ground truth.
    Matched {
        /// Which row, as an index of the ground truth.
        truth: usize,
        /// How far from it, in seconds.
        distance_s: f64,
        /// What it added, in points.
        points: f64,
    },
    /// It matches nothing (left) and costs these points.
    Penalised(f64),
    /// The action is unknown in this era: it neither earns nor costs.
    Ignored,
}

/// What became of a row of ground truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// The prediction of this index took it.
    Found(usize),
    /// No prediction took it.
    Missed,
    /// The action is unknown in this era and counts for nothing.
    Ignored,
}

/// The score and how it came about.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// (matched − penalty) / total weight, from 0 to 1; 0 without any known ground truth.
    pub score: f64,
    /// The weight of all known ground truth, in points.
    pub total_weight: f64,
    /// Points from matched predictions.
    pub matched: f64,
    /// Points lost to predictions that match nothing.
    pub penalty: f64,
    /// One outcome for each prediction, in the order they were given.
    pub predictions: Vec<Prediction>,
    /// One outcome for each row of ground truth, in the order they were given.
    pub truth: Vec<Truth>,
}

/// A row of ground truth of a known action.
struct Row {
    at: usize,
    rule: usize,
    seconds: f64,
}

/// Scores predictions as a validator of an era does.
///
/// Matching is greedy: predictions are taken by frame (equal frames as given), and each takes the row that is
/// worth most to it among those of its action that are left; of equal worth, the first in the list.
#[must_use]
pub fn judge(era: Era, predictions: &[Event], truth: &[Event]) -> Verdict {
    let rules = actions(era);
    let rule_of = |event: &Event| rules.iter().position(|rule| rule.name == event.action);

    let mut rows: Vec<Row> = Vec::new();
    let mut truth_outcomes = vec![Truth::Ignored; truth.len()];
    let mut total_weight = 0.0;
    for (at, event) in truth.iter().enumerate() {
        if let Some(rule) = rule_of(event) {
            rows.push(Row { at, rule, seconds: seconds(event.frame) });
            truth_outcomes[at] = Truth::Missed;
            total_weight += rules[rule].weight;
        }
    }

    let mut by_frame: Vec<usize> = (0..predictions.len()).collect();
    by_frame.sort_by_key(|&index| predictions[index].frame);

    let mut outcomes = vec![Prediction::Ignored; predictions.len()];
    let (mut matched, mut penalty) = (0.0, 0.0);
    for index in by_frame {
        let Some(rule) = rule_of(&predictions[index]) else {
            continue;
        };
        let weight = rules[rule].weight;
        outcomes[index] = match best_row(&rows, rule, rules, seconds(predictions[index].frame)) {
            Some((row, distance_s, part)) => {
                let Row { at, .. } = rows.remove(row);
                truth_outcomes[at] = Truth::Found(index);
                let points = weight * part;
                matched += points;
                Prediction::Matched { truth: at, distance_s, points }
            }
            None => {
                penalty += weight;
                Prediction::Penalised(weight)
            }
        };
    }

    let score = if total_weight == 0.0 { 0.0 } else { ((matched - penalty) / total_weight).clamp(0.0, 1.0) };
    Verdict { score, total_weight, matched, penalty, predictions: outcomes, truth: truth_outcomes }
}

/// The row that is worth most to a prediction at `time`: its place, the distance and the part of the weight.
/// A part of exactly 0 (the edge of the tolerance where `min_score` is 0) is no match.
fn best_row(rows: &[Row], rule: usize, rules: &[ActionRule], time: f64) -> Option<(usize, f64, f64)> {
    let ActionRule { min_score, tolerance_s, .. } = rules[rule];
    let mut best = None;
    let mut best_part = 0.0;
    for (place, row) in rows.iter().enumerate() {
        let distance_s = (time - row.seconds).abs();
        if row.rule != rule || distance_s > tolerance_s {
            continue;
        }
        let part = 1.0 - (distance_s / tolerance_s) * (1.0 - min_score);
        if part > best_part {
            best_part = part;
            best = Some((place, distance_s, part));
        }
    }
    best
}

/// Whether a spot check passes: the score of the image may differ by 0.02 from the live one, either way
/// (private-track reference, section 7).
#[must_use]
pub fn spot_check_passes(live_score: f64, image_score: f64) -> bool {
    (live_score - image_score).abs() <= 1.0 - 0.98
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(frame: u64) -> Event {
        Event::new(frame, "pass")
    }

    #[test]
    fn the_verdict_says_what_became_of_each_row() {
        let predictions = [pass(500), Event::new(5u64, "dribble"), Event::new(110u64, "goal")];
        let truth = [Event::new(100u64, "goal"), Event::new(9u64, "dribble"), pass(10)];
        let verdict = judge(Era::Head, &predictions, &truth);
        let points = 10.9 * (1.0 - (110.0 / 25.0 - 4.0) / 3.0 * 0.5);
        assert_eq!(
            verdict.predictions,
            [
                Prediction::Penalised(1.0),
                Prediction::Ignored,
                Prediction::Matched { truth: 0, distance_s: 110.0 / 25.0 - 4.0, points },
            ]
        );
        assert_eq!(verdict.truth, [Truth::Found(2), Truth::Ignored, Truth::Missed]);
        assert_eq!(verdict.score, (points - 1.0) / 11.9);
    }

    #[test]
    fn a_pass_exactly_one_second_away_is_no_match() {
        assert_eq!(judge(Era::Head, &[pass(25)], &[pass(0)]).predictions, [Prediction::Penalised(1.0)]);
    }

    #[test]
    fn of_equally_distant_rows_the_first_listed_is_taken() {
        let verdict = judge(Era::Head, &[pass(50)], &[pass(60), pass(40)]);
        assert_eq!(verdict.truth, [Truth::Found(0), Truth::Missed]);
    }

    #[test]
    fn an_earlier_prediction_may_take_the_row_that_a_later_one_fits_better() {
        let verdict = judge(Era::Head, &[pass(50), pass(40)], &[pass(50)]);
        assert_eq!(verdict.truth, [Truth::Found(1)]);
        assert_eq!(verdict.predictions[0], Prediction::Penalised(1.0));
    }

    #[test]
    fn four_actions_count_in_the_document_era_only() {
        let corner = [Event::new(1u64, "end_of_half")];
        assert_eq!(judge(Era::DocumentEra, &corner, &corner).score, 1.0);
        assert_eq!(judge(Era::Head, &corner, &corner).score, 0.0);
    }

    #[test]
    fn seconds_of_frames_beyond_2_to_the_53_are_rounded_once() {
        // Python 3.11: n / 25 for the integer n.
        for (frame, quotient) in [
            ((1u128 << 53) + 1, 360_287_970_189_639.75),
            ((1 << 63) + 12_345, 3.689_348_814_741_915_5e17),
            (1 << 70, 4.722_366_482_869_645e19),
            (u128::MAX, 1.361_129_467_683_754e37),
        ] {
            assert_eq!(seconds(frame), quotient, "{frame}");
        }
    }

    #[test]
    fn a_spot_check_allows_two_hundredths() {
        assert!(spot_check_passes(0.5, 0.5199));
        assert!(!spot_check_passes(0.5, 0.4799));
    }
}
