//! Boxes against boxes: what is found, where, and called what (Turbo Vision reference, sections 9.4 and 9.5).
//!
//! These are the terms of the document era, and those of today that need no image: [`labels`] and [`teams`] are shared.
//! What a box is worth over time is in [`crate::smoothness`].

use std::collections::HashMap;

use crate::assignment::Costs;
use crate::raster::{Shape, box_iou};

/// Corners in pixels: left, top, right, bottom.
pub type BBox = [i64; 4];

/// The team that a miner calls its first, as shirt colour.
pub const FIRST_TEAM: &str = "white";
/// The team that a miner calls its second.
pub const SECOND_TEAM: &str = "black";
/// What is of neither team.
const NO_TEAM: &str = "other";
/// The label of those who have a team.
const PLAYER: &str = "player";

/// IoU from which a pair counts, where the mean over both is taken.
pub(crate) const THRESHOLDS: [f32; 2] = [0.3, 0.5];
/// IoU from which a pair counts, where only the number is judged.
pub(crate) const COUNTING: [f32; 1] = [0.3];

/// An object in a frame: found by a miner, or truth.
#[derive(Clone, Debug, PartialEq)]
pub struct Detection {
    /// Where.
    pub bbox: BBox,
    /// Its class.
    pub label: String,
    /// Its shirt colour.
    pub team: Option<String>,
    /// How sure the miner is, where it says so; today's pillars alone ask.
    pub score: Option<f64>,
    /// Its outline, corners as (x, y) in pixels, where there is more than a box; today's pillars alone ask.
    pub polygon: Option<Vec<(i32, i32)>>,
}

impl Detection {
    pub(crate) fn shape(&self) -> Shape<'_> {
        Shape { bbox: self.bbox.map(|at| at as f64), polygon: self.polygon.as_deref() }
    }
}

/// What is in a frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Truth {
    /// The frame's number.
    pub number: i64,
    /// Width and height of its image in pixels, where they are known; today's pillars alone ask.
    pub image: Option<(u32, u32)>,
    /// Its objects.
    pub detections: Vec<Detection>,
}

/// A miner's objects by frame number.
pub type Predictions = HashMap<i64, Vec<Detection>>;

/// Intersection over union of two boxes, from 0 to 1; 0 where they share no area.
#[must_use]
pub fn iou(a: &BBox, b: &BBox) -> f64 {
    box_iou(a.map(|at| at as f64), b.map(|at| at as f64))
}

/// The best assignment of a frame's objects to those that were predicted.
pub(crate) struct Pairs {
    truth: usize,
    predicted: usize,
    costs: Vec<f32>,
}

impl Pairs {
    pub(crate) fn new(truth: usize, predicted: usize, alike: impl Fn(usize, usize) -> f64) -> Self {
        let costs = if truth == 0 || predicted == 0 {
            Vec::new()
        } else {
            Costs::new(truth, predicted, |one, other| -alike(one, other)).cheapest()
        };
        Self { truth, predicted, costs }
    }

    /// The mean over the thresholds of the F1 of the pairs that are at least so alike. Both empty: 1; one empty: 0.
    pub(crate) fn f1(&self, thresholds: &[f32]) -> f64 {
        if self.truth + self.predicted == 0 {
            return 1.0;
        }
        let f1 = |threshold: &f32| {
            let matched = self.costs.iter().filter(|cost| -**cost >= *threshold).count();
            (2 * matched) as f64 / (self.truth + self.predicted) as f64
        };
        thresholds.iter().map(f1).sum::<f64>() / thresholds.len() as f64
    }
}

/// F1 of two frames' boxes at one IoU, with labels or without.
#[must_use]
pub fn f1(truth: &[Detection], predicted: &[Detection], threshold: f64, label_strict: bool) -> f64 {
    let threshold = threshold as f32;
    let pairs = Pairs::new(truth.len(), predicted.len(), |one, other| {
        let (one, other) = (&truth[one], &predicted[other]);
        if label_strict && one.label != other.label { 0.0 } else { iou(&one.bbox, &other.bbox) }
    });
    pairs.f1(&[threshold])
}

/// A score for each frame of the truth, in its order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FrameScores(pub Vec<f64>);

impl FrameScores {
    /// What a validator makes of them; 0 where there is no truth.
    #[must_use]
    pub fn mean(&self) -> f64 {
        if self.0.is_empty() { 0.0 } else { self.0.iter().sum::<f64>() / self.0.len() as f64 }
    }
}

/// A frame that the miner leaves out has no boxes.
fn per_frame<T>(
    truth: &[Truth],
    predicted: &Predictions,
    score: impl Fn(&[Detection], &[Detection]) -> T,
) -> Vec<T> {
    let frames = truth
        .iter()
        .map(|frame| score(&frame.detections, predicted.get(&frame.number).map_or(&[], Vec::as_slice)));
    frames.collect()
}

/// Whether boxes are where the truth has them, whatever they are called. Each from 0 to 1.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Places {
    /// Where: mean F1 at IoU 0.3 and 0.5.
    pub placement: FrameScores,
    /// How many: F1 at IoU 0.3.
    pub enumeration: FrameScores,
}

/// Looks for the boxes of the truth among a miner's, whatever they are called.
#[must_use]
pub fn places(truth: &[Truth], predicted: &Predictions) -> Places {
    let both = per_frame(truth, predicted, |truth, predicted| {
        let pairs = Pairs::new(truth.len(), predicted.len(), |one, other| {
            iou(&truth[one].bbox, &predicted[other].bbox)
        });
        (pairs.f1(&THRESHOLDS), pairs.f1(&COUNTING))
    });
    let (placement, enumeration) = both.into_iter().unzip();
    Places { placement: FrameScores(placement), enumeration: FrameScores(enumeration) }
}

/// Whether boxes are called what the truth calls them: mean F1 at IoU 0.3 and 0.5 of pairs with one label, 0 to 1.
#[must_use]
pub fn labels(truth: &[Truth], predicted: &Predictions) -> FrameScores {
    FrameScores(per_frame(truth, predicted, |truth, predicted| {
        let pairs = Pairs::new(truth.len(), predicted.len(), |one, other| {
            let (one, other) = (&truth[one], &predicted[other]);
            if one.label == other.label { iou(&one.bbox, &other.bbox) } else { 0.0 }
        });
        pairs.f1(&THRESHOLDS)
    }))
}

/// Whether players are told apart by team: the better of the two ways in which a miner's two teams can be the two most
/// common colours of the frame's truth, 0 to 1.
#[must_use]
pub fn teams(truth: &[Truth], predicted: &Predictions) -> FrameScores {
    FrameScores(per_frame(truth, predicted, |truth, predicted| {
        let (truth, predicted) = (players(truth), players(predicted));
        let (first, second) = two_most_common(truth.iter().map(|one| one.team.as_deref()));
        let score = |first: Option<&str>, second: Option<&str>| {
            let called = |team: Option<&str>| match team {
                Some(FIRST_TEAM) => first,
                Some(SECOND_TEAM) => second,
                _ => Some(NO_TEAM),
            };
            let pairs = Pairs::new(truth.len(), predicted.len(), |one, other| {
                let (one, other) = (truth[one], predicted[other]);
                let same = one.team.as_deref() == called(other.team.as_deref());
                if same { iou(&one.bbox, &other.bbox) } else { 0.0 }
            });
            pairs.f1(&THRESHOLDS)
        };
        score(first, second).max(score(second, first))
    }))
}

fn players(all: &[Detection]) -> Vec<&Detection> {
    all.iter().filter(|one| one.label == PLAYER).collect()
}

/// The two that are there most often, the one that was seen first before another; what is missing is "other".
fn two_most_common<'a>(all: impl Iterator<Item = Option<&'a str>>) -> (Option<&'a str>, Option<&'a str>) {
    let mut counts: Vec<(Option<&str>, usize)> = Vec::new();
    for one in all {
        match counts.iter_mut().find(|(known, _)| *known == one) {
            Some((_, count)) => *count += 1,
            None => counts.push((one, 1)),
        }
    }
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let mut most = counts.into_iter().map(|(one, _)| one);
    (most.next().unwrap_or(Some(NO_TEAM)), most.next().unwrap_or(Some(NO_TEAM)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_without_area_share_none() {
        assert_eq!(iou(&[0, 0, 0, 10], &[0, 0, 0, 10]), 0.0);
        assert_eq!(iou(&[10, 10, 0, 0], &[0, 0, 10, 10]), 0.0);
        assert_eq!(iou(&[i64::MIN, 0, i64::MAX, 1], &[i64::MIN, 0, i64::MAX, 1]), 1.0);
    }

    #[test]
    fn the_first_seen_is_the_most_common_of_equals() {
        let colours = [Some("red"), None, Some("blue"), None, Some("blue"), Some("red")];
        assert_eq!(two_most_common(colours.into_iter()), (Some("red"), None));
        assert_eq!(two_most_common([Some("red")].into_iter()), (Some("red"), Some("other")));
        assert_eq!(two_most_common(std::iter::empty()), (Some("other"), Some("other")));
    }
}
