//! What a model says.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A model's answer to one task.
///
/// The baseline says: a `pass` at frames 0, 25, 50, …; a cricket row without any field; 5 for each grade.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// For [`Wanted::SoccerActions`](crate::Wanted::SoccerActions), in the model's own order.
    Actions(Vec<Action>),
    /// For [`Wanted::CricketDelivery`](crate::Wanted::CricketDelivery): known fields of the right type only
    /// (private-track reference, sections 1.3 and 5.1); a field that is absent or null is unknown.
    Delivery(Map<String, Value>),
    /// For [`Wanted::CardGrades`](crate::Wanted::CardGrades).
    Grades(Grades),
    /// For [`Wanted::Objects`](crate::Wanted::Objects): what was found on each frame, in the model's own order and with
    /// whatever else it says of a frame (Turbo Vision reference, section 6.2). `frame_id` is an integer; `boxes`,
    /// `polygons` and `keypoints` are absent, null or of their types.
    Objects(Vec<Map<String, Value>>),
}

/// One action that the model saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// 0-based position in the clip, in presentation order.
    pub frame: u64,
    /// Its name; validators compare it exactly and skip names that they do not know.
    pub action: String,
    /// How sure the model is, 0 to 1.
    #[serde(default = "certain")]
    pub confidence: f64,
}

fn certain() -> f64 {
    1.0
}

/// The grades of one trading card, each from 1 to 10.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grades {
    /// The card as a whole.
    pub card_grade: u8,
    /// Its surface.
    pub surface: u8,
    /// How well the print is centred.
    pub centering: u8,
    /// Its edges.
    pub edges: u8,
    /// Its corners.
    pub corners: u8,
}

/// Says what is wrong with `action`, if anything.
///
/// A frame beyond the clip is let through, as validators set no upper limit: one prediction too many
/// costs its own weight, a refused answer costs everything.
pub(crate) fn check_action(action: &Action) -> Result<(), String> {
    if !(0.0..=1.0).contains(&action.confidence) {
        return Err(format!(
            "confidence {:?} of the action at frame {} is outside 0..=1",
            action.confidence, action.frame
        ));
    }
    Ok(())
}

/// Says what is wrong with `grades`, if anything.
pub(crate) fn check_grades(grades: &Grades) -> Result<(), String> {
    let Grades { card_grade, surface, centering, edges, corners } = *grades;
    match [card_grade, surface, centering, edges, corners].iter().find(|grade| !(1..=10).contains(*grade)) {
        Some(grade) => Err(format!("grade {grade} is outside 1..=10")),
        None => Ok(()),
    }
}

/// Says what is wrong with a cricket row, if anything. A validator ignores a field that it does not know and
/// rejects the whole response for a wrong type; here both are the model's mistake.
pub(crate) fn check_delivery(row: &Map<String, Value>) -> Result<(), String> {
    for (field, value) in row {
        let (fits, type_name) = match field.as_str() {
            "match" => (value.is_string(), "text"),
            "matchid" | "inningsid" | "overid" | "ball_in_over" | "ballid" | "runs" | "wickets" => {
                (value.is_i64(), "an integer")
            }
            "xlsx_overs" | "scorecard_overs" => (value.is_string() || value.is_number(), "text or a number"),
            "kph"
            | "release_y"
            | "release_z"
            | "bounce_x"
            | "bounce_y"
            | "impact_x"
            | "impact_y"
            | "impact_z"
            | "interception_distance"
            | "stump_y"
            | "stump_z"
            | "swing_angle"
            | "deviation" => (value.is_number(), "a number"),
            _ => return Err(format!("unknown field {:?} of a delivery", bounded(field))),
        };
        if !fits && !value.is_null() {
            let value = bounded(&value.to_string());
            return Err(format!("{field} of a delivery is {value} instead of {type_name} or null"));
        }
    }
    Ok(())
}

/// Says what is wrong with what was found on frames, if anything. Validators pass over what they cannot read, so a
/// model that is wrong here would earn nothing and hear nothing.
pub(crate) fn check_objects(frames: &[Map<String, Value>]) -> Result<(), String> {
    frames.iter().enumerate().try_for_each(|(number, frame)| {
        check_frame(frame).map_err(|what| match frame.get("frame_id") {
            Some(Value::Number(id)) => format!("frame {id}: {what}"),
            _ => format!("result {number}: {what}"),
        })
    })
}

fn check_frame(frame: &Map<String, Value>) -> Result<(), String> {
    whole(frame.get("frame_id"), "frame_id")?;
    for (name, one) in items(frame, "boxes")? {
        let row = object(one, &name)?;
        for side in ["x1", "y1", "x2", "y2"] {
            number(row.get(side), &format!("{name}.{side}"))?;
        }
        whole(row.get("cls_id"), &format!("{name}.cls_id"))?;
        for sure in ["conf", "score"] {
            if let Some(value) = row.get(sure).filter(|value| !value.is_null()) {
                number(Some(value), &format!("{name}.{sure}"))?;
            }
        }
    }
    for (name, one) in items(frame, "polygons")? {
        let row = object(one, &name)?;
        whole(row.get("cls_id"), &format!("{name}.cls_id"))?;
        // The keys under which miners give a polygon.
        let key = ["points", "polygon", "masks"].into_iter().find(|key| row.contains_key(*key));
        let key = key.ok_or_else(|| format!("{name} has no points"))?;
        items(row, key)?.into_iter().try_for_each(|(at, point)| pair(point, &format!("{name}.{at}")))?;
    }
    items(frame, "keypoints")?.into_iter().try_for_each(|(name, point)| pair(point, &name))
}

/// The elements of a list with their names; none where it is absent or null.
fn items<'a>(row: &'a Map<String, Value>, key: &str) -> Result<Vec<(String, &'a Value)>, String> {
    match row.get(key) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(list)) => {
            Ok(list.iter().enumerate().map(|(at, one)| (format!("{key}[{at}]"), one)).collect())
        }
        other => Err(format!("{key} is {}, not a list", shown(other))),
    }
}

fn object<'a>(value: &'a Value, name: &str) -> Result<&'a Map<String, Value>, String> {
    value.as_object().ok_or_else(|| format!("{name} is {}, not an object", shown(Some(value))))
}

fn whole(value: Option<&Value>, name: &str) -> Result<(), String> {
    match value.and_then(Value::as_i64) {
        Some(_) => Ok(()),
        None => Err(format!("{name} is {}, not an integer", shown(value))),
    }
}

fn number(value: Option<&Value>, name: &str) -> Result<(), String> {
    match value {
        Some(Value::Number(_)) => Ok(()),
        other => Err(format!("{name} is {}, not a number", shown(other))),
    }
}

fn pair(value: &Value, name: &str) -> Result<(), String> {
    match value.as_array().map(Vec::as_slice) {
        Some([Value::Number(_), Value::Number(_)]) => Ok(()),
        _ => Err(format!("{name} is {}, not a pair of numbers", shown(Some(value)))),
    }
}

fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "missing".to_owned(), |value| bounded(&value.to_string()))
}

fn bounded(text: &str) -> String {
    text.chars().take(40).collect()
}
