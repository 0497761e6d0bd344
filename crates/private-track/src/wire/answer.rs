//! The answer to a challenge, in a form that validators of both generations score.
//!
//! Private-track reference, section 1.2. For soccer it has the same actions twice: `predictions` is
//! what the document era reads, `prediction` what the current one shows. How a validator reads it
//! back is [`super::response`].

use adit_predictor::{Action, Answer, Grades};
use serde::Serialize;
use serde_json::{Map, Value};

/// The fields in the order in which they are sent.
#[derive(Serialize)]
struct Document<'a> {
    challenge_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    predictions: Option<&'a [Action]>,
    prediction: Prediction<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    processing_time: Option<f64>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Prediction<'a> {
    Typed { r#type: &'static str, items: Option<&'a [Action]>, item: Option<&'a Map<String, Value>> },
    Cards(Cards),
}

/// With upstream's capital letters: in lower case a validator takes it for an empty cricket row.
#[derive(Serialize)]
struct Cards {
    #[serde(rename = "Header")]
    header: CardHeader,
    #[serde(rename = "Grading_Features")]
    features: CardFeatures,
}

#[derive(Serialize)]
struct CardHeader {
    card_grade: u8,
}

#[derive(Serialize)]
struct CardFeatures {
    subgrade_surface: u8,
    subgrade_centering: u8,
    subgrade_edges: u8,
    subgrade_corners: u8,
}

impl From<&Grades> for Cards {
    fn from(grades: &Grades) -> Self {
        Self {
            header: CardHeader { card_grade: grades.card_grade },
            features: CardFeatures {
                subgrade_surface: grades.surface,
                subgrade_centering: grades.centering,
                subgrade_edges: grades.edges,
                subgrade_corners: grades.corners,
            },
        }
    }
}

/// The body to send. `seconds` is the processing time: validators require it and do not use it.
#[must_use]
pub fn encode(challenge_id: &str, answer: &Answer, seconds: f64) -> String {
    document(challenge_id, answer, Some(seconds))
}

/// The same without `processing_time`: all that two answers to one challenge share.
#[must_use]
pub fn encode_untimed(challenge_id: &str, answer: &Answer) -> String {
    document(challenge_id, answer, None)
}

fn document(challenge_id: &str, answer: &Answer, processing_time: Option<f64>) -> String {
    let (predictions, prediction) = match answer {
        Answer::Actions(actions) => {
            // The document era ignores the confidence; the current one reads it from here when both are there.
            let typed = Prediction::Typed { r#type: "soccer_action", items: Some(actions), item: None };
            (Some(actions.as_slice()), typed)
        }
        Answer::Delivery(row) => {
            (None, Prediction::Typed { r#type: "cricket_delivery", items: None, item: Some(row) })
        }
        Answer::Grades(grades) => (None, Prediction::Cards(grades.into())),
        // No challenge of this track asks for them.
        Answer::Objects(_) => (None, Prediction::Typed { r#type: "objects", items: None, item: None }),
    };
    let document = Document { challenge_id, predictions, prediction, processing_time };
    serde_json::to_string(&document).expect("text keys and plain values are always JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn soccer_has_the_actions_for_both_eras() {
        let actions = vec![Action { frame: 25, action: "pass".to_owned(), confidence: 0.5 }];
        assert_eq!(
            encode("é\"1", &Answer::Actions(actions.clone()), 2.5),
            r#"{"challenge_id":"é\"1","predictions":[{"frame":25,"action":"pass","confidence":0.5}],"prediction":{"type":"soccer_action","items":[{"frame":25,"action":"pass","confidence":0.5}],"item":null},"processing_time":2.5}"#
        );
        assert_eq!(
            encode_untimed("é\"1", &Answer::Actions(actions)),
            r#"{"challenge_id":"é\"1","predictions":[{"frame":25,"action":"pass","confidence":0.5}],"prediction":{"type":"soccer_action","items":[{"frame":25,"action":"pass","confidence":0.5}],"item":null}}"#
        );
    }

    #[test]
    fn cricket_is_wrapped_with_its_type() {
        let row = Map::from_iter([("kph".to_owned(), 130.0.into())]);
        assert_eq!(
            encode("c", &Answer::Delivery(row), 1.0),
            r#"{"challenge_id":"c","prediction":{"type":"cricket_delivery","items":null,"item":{"kph":130.0}},"processing_time":1.0}"#
        );
    }

    #[test]
    fn cards_keep_the_capital_letters() {
        let grades = Grades { card_grade: 8, surface: 7, centering: 9, edges: 6, corners: 5 };
        assert_eq!(
            encode("c", &Answer::Grades(grades), 1.0),
            r#"{"challenge_id":"c","prediction":{"Header":{"card_grade":8},"Grading_Features":{"subgrade_surface":7,"subgrade_centering":9,"subgrade_edges":6,"subgrade_corners":5}},"processing_time":1.0}"#
        );
    }
}
