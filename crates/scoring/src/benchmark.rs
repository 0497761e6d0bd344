//! The figure on Score's dashboard beside a soccer score: mean average precision within a second.
//!
//! Validators compute it for each challenge and publish it; it decides nothing (private-track reference, section
//! 1.3; upstream's `validator/central/private_track/benchmark.py`). It is SoccerNet's mAP@1 with the matching, the 200
//! thresholds and the 11 points of its package, which `vectors/benchmark.json` holds this module against. Two things
//! follow: a second means half of one to either side, and the mean goes over all 15 actions, also those that the clip
//! lacks, so that a perfect answer to a clip with three kinds of actions gets 3/15.

use std::collections::{BTreeMap, BTreeSet};

use crate::soccer::{Era, Event, actions};

/// How far a prediction may lie from the truth, in frames to either side.
pub const REACH: u128 = 12;
/// Confidences at which precision and recall are taken, evenly from 0 to 1.
const THRESHOLDS: usize = 200;
/// Recalls at which precision is read, evenly from 0 to 1.
const POINTS: usize = 11;
/// Frames from which on nothing counts: two hours at 25 a second.
const LAST: u128 = 120 * 60 * 25;

/// An action that a model saw, with how sure it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Spotted {
    /// 0-based index in the clip.
    pub frame: u128,
    /// Its name; other names than today's 15 are passed over.
    pub action: String,
    /// From 0 to 1.
    pub confidence: f64,
}

/// What the dashboard shows of one challenge.
#[derive(Clone, Debug, PartialEq)]
pub struct Benchmark {
    /// The mean over all 15 actions, from 0 to 1.
    pub map: f64,
    /// Average precision of each action, in the order of [`actions`]; 0 where the clip has none of it.
    pub actions: Vec<(&'static str, f64)>,
}

/// Computes it as a validator does for one clip.
#[must_use]
pub fn benchmark(spotted: &[Spotted], truth: &[Event]) -> Benchmark {
    let actions: Vec<(&'static str, f64)> = actions(Era::Head)
        .iter()
        .map(|rule| {
            let mut curve = Curve::default();
            curve.add(rule.name, spotted, truth);
            (rule.name, curve.average_precision())
        })
        .collect();
    let map = actions.iter().map(|(_, precision)| precision).sum::<f64>() / actions.len() as f64;
    Benchmark { map, actions }
}

/// Precision and recall of one action, over one clip or several together as SoccerNet takes them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve {
    /// Confidence of each detection, and whether it found something.
    detections: Vec<(f64, bool)>,
    /// How often the action really happens.
    truth: usize,
}

/// A point of a [`Curve`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Least confidence of the detections that count here.
    pub threshold: f64,
    /// Part of them that found something; 0 where there are none.
    pub precision: f64,
    /// Part of the truth that they found; 0 where there is none.
    pub recall: f64,
}

impl Curve {
    /// Adds a clip. Of several predictions, or rows of truth, at the same frame the last one counts.
    pub fn add(&mut self, action: &str, spotted: &[Spotted], truth: &[Event]) {
        let rows: BTreeSet<u128> = truth
            .iter()
            .filter(|row| row.action == action && row.frame < LAST)
            .map(|row| row.frame)
            .collect();
        let mut left: BTreeMap<u128, f64> = spotted
            .iter()
            .filter(|one| one.action == action && one.frame < LAST)
            .map(|one| (one.frame, one.confidence))
            .collect();
        self.truth += rows.len();
        // Each row takes the surest detection that is left, of equal ones the earliest.
        for row in rows {
            let mut best: Option<(u128, f64)> = None;
            for (&frame, &confidence) in left.range(row.saturating_sub(REACH)..=row + REACH) {
                if best.is_none_or(|(_, other)| confidence > other) {
                    best = Some((frame, confidence));
                }
            }
            if let Some((frame, confidence)) = best {
                left.remove(&frame);
                self.detections.push((confidence, true));
            }
        }
        self.detections.extend(left.into_values().map(|confidence| (confidence, false)));
    }

    /// The points at all thresholds, from 0 upwards.
    #[must_use]
    pub fn points(&self) -> Vec<Point> {
        let part = |of: usize, all: usize| if all == 0 { 0.0 } else { of as f64 / all as f64 };
        let last = THRESHOLDS - 1;
        let mut sorted = self.detections.clone();
        sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
        let (mut counted, mut found) = (0, 0);
        let mut points: Vec<Point> = (0..THRESHOLDS)
            .rev()
            .map(|step| {
                // As numpy's `linspace` rounds them.
                let threshold = if step == last { 1.0 } else { step as f64 * (1.0 / last as f64) };
                while let Some((_, hit)) = sorted.get(counted).filter(|(sure, _)| *sure >= threshold) {
                    found += usize::from(*hit);
                    counted += 1;
                }
                Point { threshold, precision: part(found, counted), recall: part(found, self.truth) }
            })
            .collect();
        points.reverse();
        points
    }

    /// The mean of the best precisions at 11 recalls, from 0 to 1; 0 where the action never happens.
    #[must_use]
    pub fn average_precision(&self) -> f64 {
        let points = self.points();
        let best = |recall: f64| {
            let reached = points.iter().filter(|point| point.recall >= recall);
            reached.map(|point| point.precision).fold(0.0, f64::max)
        };
        (0..POINTS).map(|step| best(step as f64 / 10.0)).sum::<f64>() / POINTS as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spotted(frame: u128, action: &str, confidence: f64) -> Spotted {
        Spotted { frame, action: action.to_owned(), confidence }
    }

    #[test]
    fn a_perfect_answer_gets_the_part_of_the_actions_that_the_clip_has() {
        let truth = [Event::new(10u64, "pass"), Event::new(40u64, "shot"), Event::new(60u64, "goal")];
        let answer: Vec<Spotted> = truth.iter().map(|row| spotted(row.frame, &row.action, 1.0)).collect();
        let benchmark = benchmark(&answer, &truth);
        assert_eq!(benchmark.map, 3.0 / 15.0);
        assert_eq!(benchmark.actions[0], ("pass", 1.0));
        assert_eq!(benchmark.actions[1], ("pass_received", 0.0));
    }

    #[test]
    fn half_a_second_to_either_side_is_near_enough() {
        let of = |frame| benchmark(&[spotted(frame, "goal", 0.5)], &[Event::new(100u64, "goal")]).map;
        assert_eq!([of(87), of(88), of(112), of(113)], [0.0, 1.0 / 15.0, 1.0 / 15.0, 0.0]);
    }

    /// Recall 0 to 0.5 at precision 1 makes six points; from there on it is 2/3.
    #[test]
    fn a_surer_miss_costs_where_it_lies() {
        let truth = [Event::new(100u64, "pass"), Event::new(200u64, "pass")];
        let answer = [spotted(100, "pass", 0.9), spotted(150, "pass", 0.8), spotted(200, "pass", 0.7)];
        let precision = benchmark(&answer, &truth).actions[0].1;
        assert!((precision - (6.0 + 5.0 * 2.0 / 3.0) / 11.0).abs() < 1e-12, "{precision}");
    }

    #[test]
    fn clips_are_pooled() {
        let mut curve = Curve::default();
        curve.add("pass", &[spotted(5, "pass", 0.9)], &[Event::new(5u64, "pass")]);
        curve.add("pass", &[], &[Event::new(5u64, "pass")]);
        assert_eq!(curve.points()[0], Point { threshold: 0.0, precision: 1.0, recall: 0.5 });
        assert!((curve.average_precision() - 6.0 / 11.0).abs() < 1e-12);
    }
}
