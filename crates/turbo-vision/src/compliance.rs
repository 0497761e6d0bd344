//! Whether a model that is run again answers what its chute answered, and in time (Turbo Vision reference, section 6.4).
//!
//! Validators do this with the best miners of an element: on two cores, without a network, up to ten challenges that were
//! answered before. A model whose answers are others, or too slow three rounds in a row, is taken out.

use std::collections::BTreeMap;

use adit_manifest::Element;
use adit_scoring::element::p95;
use adit_scoring::raster::{Filled, Shape};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::documents::{integer, is_true, list, polygon};

/// What two answers are held to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// How alike two answers have to be, as mean over their frames, from 0 to 1.
    pub least_iou: f64,
    /// How many objects may be missing where the drift is soft.
    pub most_missing: usize,
    /// How many there may be too many where the drift is soft.
    pub most_extra: usize,
    /// How alike the matched ones have to be where the drift is soft, from 0 to 1.
    pub least_matched_iou: f64,
    /// How many soft drifts are let through of one target's challenges.
    pub most_soft_drifts: usize,
    /// The latency that an element allows which names none, in milliseconds.
    pub latency_ms: f64,
    /// What is allowed on top of an element's latency, in milliseconds.
    pub latency_tolerance_ms: f64,
    /// How many rounds in a row have to be too slow.
    pub slow_rounds: usize,
}

/// Those of validators, unless their operators set others.
pub const RULES: Rules = Rules {
    least_iou: 0.95,
    most_missing: 2,
    most_extra: 2,
    least_matched_iou: 0.95,
    most_soft_drifts: 2,
    latency_ms: 100.0,
    latency_tolerance_ms: 10.0,
    slow_rounds: 3,
};

/// How far two answers are from each other. Only frames that both have are compared.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Comparison {
    /// The mean over the frames, from 0 to 1.
    pub mean_iou: f64,
    /// Objects of the recorded answer.
    pub expected: usize,
    /// Objects of the new answer.
    pub actual: usize,
    /// Those that found each other.
    pub matched: usize,
    /// Recorded ones that found none.
    pub missing: usize,
    /// New ones that found none.
    pub extra: usize,
    /// The mean over those that found each other, from 0 to 1.
    pub matched_mean_iou: f64,
    /// The frames that were compared, and how alike each is, from 0 to 1.
    pub frames: Vec<(i64, f64)>,
}

/// What a validator makes of two answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// They are the same.
    Same,
    /// They are not, but so nearly that a few of them are let through.
    SoftDrift,
    /// They are not.
    Different,
    /// There is no frame that both have.
    NoCommonFrames,
}

impl Comparison {
    /// What a validator makes of it.
    #[must_use]
    pub fn verdict(&self, rules: &Rules) -> Verdict {
        if self.frames.is_empty() {
            Verdict::NoCommonFrames
        } else if self.mean_iou >= rules.least_iou {
            Verdict::Same
        } else if self.drifts_softly(rules) {
            Verdict::SoftDrift
        } else {
            Verdict::Different
        }
    }

    /// Whether few objects are missing or too many, and those that were found are where they were.
    #[must_use]
    pub fn drifts_softly(&self, rules: &Rules) -> bool {
        self.matched > 0
            && self.missing <= rules.most_missing
            && self.extra <= rules.most_extra
            && self.matched_mean_iou >= rules.least_matched_iou
    }
}

/// Compares the `predictions` of a recorded answer with those of a new one.
///
/// Each recorded object takes the new one of its class that is most like it and not taken yet: the order of the recorded
/// ones matters. Of frames with one number the last counts.
#[must_use]
pub fn compare(recorded: &Value, new: &Value) -> Comparison {
    let (recorded, new) = (frames(recorded), frames(new));
    let mut found = Comparison::default();
    let mut matched_ious = Vec::new();
    for (number, expected) in &recorded {
        let Some(actual) = new.get(number) else { continue };
        found.expected += expected.len();
        found.actual += actual.len();
        let ious = best_matches(expected, actual);
        let matched = ious.iter().filter(|iou| **iou > 0.0).count();
        found.matched += matched;
        found.missing += expected.len() - matched;
        found.extra += actual.len() - matched;
        let alike = match (expected.len(), actual.len()) {
            (0, 0) => 1.0,
            (0, _) => 0.0,
            (count, _) => ious.iter().sum::<f64>() / count as f64,
        };
        found.frames.push((*number, alike));
        matched_ious.extend(ious.into_iter().filter(|iou| *iou > 0.0));
    }
    let mean = |all: &mut dyn Iterator<Item = f64>, count: usize| {
        if count == 0 { 0.0 } else { all.sum::<f64>() / count as f64 }
    };
    found.mean_iou = mean(&mut found.frames.iter().map(|(_, alike)| *alike), found.frames.len());
    found.matched_mean_iou = mean(&mut matched_ious.iter().copied(), matched_ious.len());
    found
}

/// For each recorded object how alike the new one is that it takes; 0 where it takes none.
fn best_matches(expected: &[Object], actual: &[Object]) -> Vec<f64> {
    let actual: Vec<(i64, Filled<'_>)> = actual.iter().map(|one| (one.class, one.filled())).collect();
    let mut taken = vec![false; actual.len()];
    let take = |one: &Object| {
        let shape = one.filled();
        let mut best = (0.0, None);
        for (at, (class, other)) in actual.iter().enumerate() {
            if !taken[at] && *class == one.class {
                // Two shapes without a pixel have nothing in common here.
                let iou = shape.iou(other).unwrap_or(0.0);
                if iou > best.0 {
                    best = (iou, Some(at));
                }
            }
        }
        if let Some(at) = best.1 {
            taken[at] = true;
        }
        best.0
    };
    expected.iter().map(take).collect()
}

/// An object of an answer.
struct Object {
    class: i64,
    bbox: [i64; 4],
    polygon: Option<Vec<(i32, i32)>>,
}

impl Object {
    fn filled(&self) -> Filled<'_> {
        let bbox = self.bbox.map(|at| at as f64);
        Filled::new(Shape { bbox, polygon: self.polygon.as_deref() })
    }

    /// A box may have an outline as well, and then counts as polygon; a polygon has to have one.
    fn read(one: &Value, needs_outline: bool) -> Option<Self> {
        let one = one.as_object()?;
        let class = integer(one.get("cls_id")?)?;
        let polygon = polygon(one);
        if polygon.is_none() && needs_outline {
            return None;
        }
        let side = |key: &str| integer(one.get(key)?);
        let bbox = match &polygon {
            // Only the outline is compared then.
            Some(_) => [0; 4],
            None => [side("x1")?, side("y1")?, side("x2")?, side("y2")?],
        };
        Some(Self { class, bbox, polygon })
    }
}

fn frames(predictions: &Value) -> BTreeMap<i64, Vec<Object>> {
    let frames = predictions.get("frames").and_then(Value::as_array).into_iter().flatten();
    let frames = frames.filter_map(Value::as_object).filter_map(|frame| {
        let number = frame.get("frame_id").map_or(Some(-1), integer)?;
        Some((number, objects(frame)))
    });
    frames.collect()
}

fn objects(frame: &Map<String, Value>) -> Vec<Object> {
    let boxes = list(frame, "boxes").filter_map(|one| Object::read(one, false));
    boxes.chain(list(frame, "polygons").filter_map(|one| Object::read(one, true))).collect()
}

/// A model's time over all its challenges.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Latency {
    /// What validators call the 95th percentile, in milliseconds.
    pub p95_ms: f64,
    /// What is allowed, tolerance included, in milliseconds.
    pub allowed_ms: f64,
}

impl Latency {
    /// The times of whole calls, in milliseconds, under an element's limit.
    #[must_use]
    pub fn new(latencies_ms: &[f64], element: Option<&Element>, rules: &Rules) -> Self {
        let limit = element.and_then(|element| element.latency_p95_ms).filter(|limit| *limit > 0);
        let limit = limit.map_or(rules.latency_ms, |limit| limit as f64);
        Self { p95_ms: p95(latencies_ms), allowed_ms: limit + rules.latency_tolerance_ms }
    }

    /// Whether the model is quick enough.
    #[must_use]
    pub fn is_in_time(&self) -> bool {
        self.p95_ms <= self.allowed_ms
    }
}

/// What a validator's checker misses in the frames of an answer, before it compares anything.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "frame {frame} of the answer: {what}; the checker takes a box with x1, y1, x2, y2 and cls_id, and a polygon with \
         cls_id and points, a list of pairs"
)]
pub struct BadOutput {
    /// The frame's place in the list, from 0.
    pub frame: usize,
    /// What is wrong.
    pub what: String,
}

/// Holds the frames that `predict_batch` returned to what the checker asks of them.
///
/// # Errors
/// The first thing that is missing.
pub fn check_output(frames: &[Value]) -> Result<(), BadOutput> {
    frames
        .iter()
        .enumerate()
        .try_for_each(|(frame, row)| check_row(row).map_err(|what| BadOutput { frame, what }))
}

fn check_row(row: &Value) -> Result<(), String> {
    let row = row.as_object().ok_or("it is no object")?;
    if !row.contains_key("frame_id") {
        return Err("it has no frame_id".to_owned());
    }
    let all = |key: &str| match row.get(key) {
        None | Some(Value::Null) => Ok(&[][..]),
        Some(Value::Array(all)) => Ok(all.as_slice()),
        Some(_) => Err(format!("its {key} are no list")),
    };
    for (at, one) in all("boxes")?.iter().enumerate() {
        if let Some(key) = ["x1", "y1", "x2", "y2", "cls_id"].into_iter().find(|key| one.get(key).is_none()) {
            return Err(format!("box {at} has no {key}"));
        }
    }
    for (at, one) in all("polygons")?.iter().enumerate() {
        if one.get("cls_id").is_none() {
            return Err(format!("polygon {at} has no cls_id"));
        }
        let said = |key: &&str| one.get(key).filter(|value| is_true(value));
        let points = ["points", "polygon", "masks"].iter().find_map(said).and_then(Value::as_array);
        let is_pair = |point: &Value| point.as_array().is_some_and(|sides| sides.len() == 2);
        if !points.is_some_and(|points| points.iter().all(is_pair)) {
            return Err(format!("polygon {at} has no points, or some that are no pairs"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn frame(boxes: &Value) -> Value {
        json!({"frames": [{"frame_id": 0, "boxes": boxes}]})
    }

    #[test]
    fn an_object_is_matched_within_its_class_and_once() {
        let one = json!({"x1": 0, "y1": 0, "x2": 10, "y2": 10, "cls_id": 1});
        let other_class = json!({"x1": 0, "y1": 0, "x2": 10, "y2": 10, "cls_id": 2});
        let found = compare(&frame(&json!([one, one])), &frame(&json!([one, other_class])));
        assert_eq!((found.matched, found.missing, found.extra), (1, 1, 1));
        assert_eq!(found.mean_iou, 0.5);
        assert_eq!(found.verdict(&RULES), Verdict::SoftDrift);
        assert_eq!(compare(&frame(&json!([])), &frame(&json!([]))).verdict(&RULES), Verdict::Same);
        assert_eq!(compare(&Value::Null, &frame(&json!([]))).verdict(&RULES), Verdict::NoCommonFrames);
    }

    #[test]
    fn polygons_are_compared_by_their_pixels() {
        let polygon = |right: i32| json!({"cls_id": 0, "points": [[0, 0], [right, 0], [right, 9], [0, 9]]});
        let answer = |one: Value| json!({"frames": [{"frame_id": 0, "polygons": [one]}]});
        let found = compare(&answer(polygon(9)), &answer(polygon(19)));
        assert_eq!(found.mean_iou, 0.5);
        assert_eq!(found.verdict(&RULES), Verdict::Different);
        let outside = json!({"cls_id": 0, "points": [[-9, -9], [-3, -9], [-3, -3]]});
        assert_eq!(compare(&answer(outside.clone()), &answer(outside)).mean_iou, 0.0);
    }

    #[test]
    fn the_limit_is_the_elements_or_else_the_checkers() {
        assert_eq!(Latency::new(&[], None, &RULES).allowed_ms, 110.0);
        assert!(Latency::new(&[110.0], None, &RULES).is_in_time());
        assert!(!Latency::new(&[110.1], None, &RULES).is_in_time());
    }

    #[test]
    fn output_that_the_checker_refuses_is_named() {
        let what = |row: Value| check_output(&[row]).unwrap_err().what;
        assert_eq!(what(json!({})), "it has no frame_id");
        assert_eq!(what(json!({"frame_id": 0, "boxes": [{"x1": 1}]})), "box 0 has no y1");
        assert_eq!(what(json!({"frame_id": 0, "boxes": {}})), "its boxes are no list");
        assert_eq!(what(json!({"frame_id": 0, "polygons": [{}]})), "polygon 0 has no cls_id");
        let pointless = json!({"frame_id": 0, "polygons": [{"cls_id": 0, "points": [[1]]}]});
        assert!(what(pointless).starts_with("polygon 0 has no points"));
        assert_eq!(check_output(&[json!({"frame_id": 0, "boxes": null})]), Ok(()));
    }
}
