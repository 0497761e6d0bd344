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

fn bounded(text: &str) -> String {
    text.chars().take(40).collect()
}
