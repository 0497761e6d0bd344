//! What a miner answers and what the truth is, as validators read both (Turbo Vision reference, sections 9.1, 9.4 and
//! 9.5): what cannot be read is passed over, and nothing is an error. What a chute may answer at all, which its own
//! schemas decide before a validator sees it, is [`crate::wire`]'s.

use std::collections::BTreeMap;

use adit_python::scalar::Scalar;
use adit_scoring::objects::{BBox, Detection, FIRST_TEAM, Predictions, SECOND_TEAM, Truth};
use indexmap::IndexMap;
use serde_json::{Map, Value};

/// The colours that a team can have.
pub(crate) const COLOURS: [&str; 16] = [
    "white",
    "black",
    "red",
    "blue",
    "yellow",
    "green",
    "orange",
    "purple",
    "maroon",
    "pink",
    "grey",
    "brown",
    "gold",
    "silver",
    "turquoise",
    "other",
];
const PLAYER: &str = "player";

/// What validators of the document era make of a box that belongs to a team.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TeamBoxes {
    /// It is dropped: their program has an error there.
    Dropped,
    /// It is a player of that team, as was meant, and as it was read some days later.
    Read,
}

/// A miner's `predictions` as validators of the document era read them.
#[must_use]
pub fn document_era(predictions: &Value, team_boxes: TeamBoxes) -> Predictions {
    frames(predictions, |frame| {
        list(frame, "boxes")
            .filter_map(|one| {
                let one = one.as_object()?;
                let (label, team) = match integer(one.get("cls_id")?)? {
                    0 => ("ball", "other"),
                    1 => ("goalkeeper", "other"),
                    3 => ("referee", "other"),
                    6 | 7 if team_boxes == TeamBoxes::Dropped => return None,
                    6 => (PLAYER, FIRST_TEAM),
                    7 => (PLAYER, SECOND_TEAM),
                    _ => (PLAYER, "other"),
                };
                Some(Detection {
                    bbox: corners(one)?,
                    label: label.to_owned(),
                    team: Some(team.to_owned()),
                    score: None,
                    polygon: None,
                })
            })
            .collect()
    })
}

/// A miner's `predictions` as validators of today read them, for an element with these objects: the boxes of each
/// frame, and then its polygons.
#[must_use]
pub fn head(predictions: &Value, objects: &[String]) -> Predictions {
    frames(predictions, |frame| {
        // An element that names no object has none, whatever a miner finds.
        if objects.iter().all(String::is_empty) {
            return Vec::new();
        }
        let boxes = list(frame, "boxes").filter_map(|one| {
            let one = one.as_object()?;
            Some(Detection { bbox: corners(one)?, ..detection(one, objects)? })
        });
        let polygons = list(frame, "polygons").filter_map(|one| {
            let one = one.as_object()?;
            let polygon = polygon(one)?;
            let reach = |of: fn(&(i32, i32)) -> i32| {
                let along = polygon.iter().map(of);
                Some((i64::from(along.clone().min()?), i64::from(along.max()?)))
            };
            let ((left, right), (top, bottom)) = (reach(|at| at.0)?, reach(|at| at.1)?);
            let bbox = [left, top, right, bottom];
            Some(Detection { bbox, polygon: Some(polygon), ..detection(one, objects)? })
        });
        boxes.chain(polygons).collect()
    })
}

/// The truth of a challenge, as Score's API gives it to validators of today: `{"annotations": […]}`, in the order of
/// the frames.
#[must_use]
pub fn truth(document: &Value) -> Vec<Truth> {
    truth_with(document, |_| None)
}

/// The same for an operator's own file, which may say the teams that Score's API does not: each annotation's
/// `cluster`, `cluster_id`, `team` or `team_id`, in the words that a miner may use.
#[must_use]
pub fn truth_with_teams(document: &Value) -> Vec<Truth> {
    truth_with(document, |annotation| {
        ["cluster", "cluster_id", "team", "team_id"].iter().find_map(|key| team_of(annotation.get(*key)?))
    })
}

fn truth_with(document: &Value, team: impl Fn(&Map<String, Value>) -> Option<String>) -> Vec<Truth> {
    let mut frames: BTreeMap<i64, Vec<Detection>> = BTreeMap::new();
    for annotation in document.get("annotations").and_then(Value::as_array).into_iter().flatten() {
        let Some(annotation) = annotation.as_object() else { continue };
        let Some(sides) = annotation.get("bbox").and_then(Value::as_array) else { continue };
        let sides: Option<Vec<i64>> = sides.iter().map(integer).collect();
        let Some(bbox) = sides.and_then(|sides| BBox::try_from(sides).ok()) else { continue };
        let named = |key: &str| annotation.get(key).filter(|value| is_true(value));
        let label = named("class").or_else(|| annotation.get("label"));
        let frame = match annotation.get("frame_idx") {
            Some(Value::String(text)) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
            Some(Value::Bool(value)) => Some(i64::from(*value)),
            Some(Value::Number(index)) => index.as_i64(),
            _ => None,
        };
        frames.entry(frame.unwrap_or(0)).or_default().push(Detection {
            bbox,
            label: label.and_then(Value::as_str).unwrap_or_default().to_owned(),
            team: team(annotation),
            score: None,
            polygon: annotation.get("polygon").and_then(Value::as_array).and_then(|points| outline(points)),
        });
    }
    frames.into_iter().map(|(number, detections)| Truth { number, image: None, detections }).collect()
}

/// The keypoints of a frame of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Keypoints {
    /// Points as (x, y) in pixels.
    Points(Vec<(f64, f64)>),
    /// Something is there that is no list of pairs of numbers: this many things, of which validators can use none.
    Unreadable(usize),
    /// Null, or a number: what breaks the validators' program.
    Uncountable,
}

/// The keypoints of each frame, in the order of the frames' first appearance; of equal numbers the last counts. A frame
/// without any has an empty list.
#[must_use]
pub fn keypoints(predictions: &Value) -> Vec<(i64, Keypoints)> {
    let mut all: IndexMap<i64, Keypoints> = IndexMap::new();
    for (number, frame) in numbered(predictions) {
        let point = |point: &Value| match point.as_array()?.as_slice() {
            // Text is not read as a number here.
            [x, y] if !x.is_string() && !y.is_string() => {
                Some((Scalar::from(x).number().ok()?, Scalar::from(y).number().ok()?))
            }
            _ => None,
        };
        let keypoints = match frame.get("keypoints") {
            None => Keypoints::Points(Vec::new()),
            Some(Value::Array(points)) => match points.iter().map(point).collect() {
                Some(points) => Keypoints::Points(points),
                None => Keypoints::Unreadable(points.len()),
            },
            Some(Value::Object(entries)) => Keypoints::Unreadable(entries.len()),
            Some(Value::String(text)) => Keypoints::Unreadable(text.chars().count()),
            Some(_) => Keypoints::Uncountable,
        };
        all.insert(number, keypoints);
    }
    all.into_iter().collect()
}

/// The frames of a miner's answer; of equal numbers the last counts.
fn frames(predictions: &Value, read: impl Fn(&Map<String, Value>) -> Vec<Detection>) -> Predictions {
    numbered(predictions).map(|(number, frame)| (number, read(frame))).collect()
}

fn numbered(predictions: &Value) -> impl Iterator<Item = (i64, &Map<String, Value>)> {
    let frames = predictions.get("frames").and_then(Value::as_array).into_iter().flatten();
    frames.filter_map(Value::as_object).filter_map(|frame| {
        let number = frame.get("frame_id").map_or(Some(-1), whole)?;
        Some((number, frame))
    })
}

/// `int(value)`; integers beyond 64 bits come to lie at their end.
pub(crate) fn integer(value: &Value) -> Option<i64> {
    let whole = Scalar::from(value).python_int()?;
    Some(i64::try_from(whole).unwrap_or(if whole < 0 { i64::MIN } else { i64::MAX }))
}

pub(crate) fn list<'a>(frame: &'a Map<String, Value>, key: &str) -> impl Iterator<Item = &'a Value> {
    frame.get(key).and_then(Value::as_array).into_iter().flatten()
}

/// Class, team and score; where it is, is the caller's.
fn detection(one: &Map<String, Value>, objects: &[String]) -> Option<Detection> {
    let class = usize::try_from(integer(one.get("cls_id")?)?).ok()?;
    let team = one.get("cluster_id").or_else(|| one.get("team_id"));
    let score = match one.get("score").or_else(|| one.get("conf")) {
        None | Some(Value::Null) => None,
        // What is no number drops the box.
        Some(value) => Some(Scalar::from(value).number().ok()?),
    };
    Some(Detection {
        bbox: BBox::default(),
        label: objects.get(class)?.clone(),
        team: team.and_then(team_of),
        score,
        polygon: None,
    })
}

fn team_of(value: &Value) -> Option<String> {
    let team = match value {
        Value::String(text) => {
            let text = text.trim_matches(adit_python::is_space).to_lowercase();
            match text.as_str() {
                "team1" | "team_1" | "team-1" | "1" => FIRST_TEAM,
                "team2" | "team_2" | "team-2" | "2" => SECOND_TEAM,
                colour => COLOURS.into_iter().find(|known| *known == colour)?,
            }
        }
        Value::Number(number) => match number.as_i64()? {
            0 | 1 => FIRST_TEAM,
            2 => SECOND_TEAM,
            _ => return None,
        },
        _ => return None,
    };
    Some(team.to_owned())
}

fn corners(one: &Map<String, Value>) -> Option<BBox> {
    let side = |key: &str| integer(one.get(key)?);
    Some([side("x1")?, side("y1")?, side("x2")?, side("y2")?])
}

/// The first that says something of the three keys under which miners give a polygon.
pub(crate) fn polygon(one: &Map<String, Value>) -> Option<Vec<(i32, i32)>> {
    let points =
        ["points", "polygon", "masks"].iter().find_map(|key| one.get(*key).filter(|value| is_true(value)))?;
    outline(points.as_array()?)
}

/// Corners, of which each must be a pair. Those beyond 32 bits come to lie at its end, beyond every image.
fn outline(points: &[Value]) -> Option<Vec<(i32, i32)>> {
    let side = |value: &Value| {
        let whole = integer(value)?.clamp(i32::MIN.into(), i32::MAX.into());
        i32::try_from(whole).ok()
    };
    let corner = |point: &Value| match point.as_array()?.as_slice() {
        [x, y] => Some((side(x)?, side(y)?)),
        _ => None,
    };
    let corners: Vec<(i32, i32)> = points.iter().map(corner).collect::<Option<_>>()?;
    (!corners.is_empty()).then_some(corners)
}

/// A frame's number: what Python takes for the same key of a dictionary as an integer.
fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Bool(value) => Some((*value).into()),
        Value::Number(number) => {
            let of_float = || number.as_f64().filter(|value| value.fract() == 0.0 && value.abs() < 9e15);
            number.as_i64().or_else(|| of_float().map(|value| value as i64))
        }
        _ => None,
    }
}

/// Python's truth of a value.
pub(crate) fn is_true(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Bool(true) => true,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(items) => !items.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "\\PC{0,6}|[0-9_. -]{0,5}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map("x1|y1|x2|y2|cls_id|points|score", inner, 0..7)
                    .prop_map(|entries| Value::Object(entries.into_iter().collect())),
            ]
        })
    }

    #[test]
    fn a_team_that_was_meant_can_be_read() {
        let box_of = |class: u8| json!({"x1": 1, "y1": 2, "x2": 3, "y2": 4, "cls_id": class});
        let answer = json!({"frames": [{"frame_id": 7, "boxes": [box_of(6), box_of(7), box_of(2)]}]});
        assert_eq!(document_era(&answer, TeamBoxes::Dropped)[&7].len(), 1);
        let read = document_era(&answer, TeamBoxes::Read);
        let teams: Vec<Option<&str>> = read[&7].iter().map(|one| one.team.as_deref()).collect();
        assert_eq!(teams, [Some(FIRST_TEAM), Some(SECOND_TEAM), Some("other")]);
    }

    proptest! {
        #[test]
        fn any_document_is_read_without_panic(boxes in any_json(), polygons in any_json(), id in any_json()) {
            let answer = json!({"frames": [{"frame_id": id, "boxes": [boxes], "polygons": [polygons]}]});
            let _ = document_era(&answer, TeamBoxes::Read);
            let _ = head(&answer, &["ball".to_owned()]);
            let _ = truth(&json!({"annotations": [boxes, polygons]}));
        }
    }
}
