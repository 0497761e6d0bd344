//! The `prediction` of the current era: a union of three forms, of which nearly any object suits one.

use adit_python::json::Json;
use adit_python::scalar::{Kind, Refusal};
use adit_scoring::cards::{Features, Grade, Grades};
use adit_scoring::cricket::{Delivery, FIELDS};

use super::{ReadPrediction, actions, model, text};
use crate::wire::lax::{Errors, Loc};

/// The fields of an action.
const ACTION_FIELDS: [(&str, Kind); 3] =
    [("frame", Kind::Integer), ("action", Kind::Text), ("confidence", Kind::Number)];

/// Whether a prediction is read as a card, whatever else it holds.
pub(super) fn is_card(prediction: &Json) -> bool {
    prediction.get("Header").is_some() && prediction.get("Grading_Features").is_some()
}

/// The grades of a card; other keys are ignored.
pub(super) fn card(errors: &mut Errors, prediction: &Json) -> Option<Grades> {
    let grade = |errors: &mut Errors, value: &Json| errors.keep(Grade::read(value.scalar()), value);
    let card_grade = errors.required(prediction, "Header", |errors, value| {
        model(errors, value, "TCGGradingHeader")?;
        errors.required(value, "card_grade", grade)
    });
    let features = errors.required(prediction, "Grading_Features", |errors, value| {
        model(errors, value, "TCGGradingFeatures")?;
        let subgrade_surface = errors.required(value, "subgrade_surface", grade);
        let subgrade_centering = errors.required(value, "subgrade_centering", grade);
        let subgrade_edges = errors.required(value, "subgrade_edges", grade);
        let subgrade_corners = errors.required(value, "subgrade_corners", grade);
        Some(Features {
            subgrade_surface: subgrade_surface?,
            subgrade_centering: subgrade_centering?,
            subgrade_edges: subgrade_edges?,
            subgrade_corners: subgrade_corners?,
        })
    });
    Some(Grades { card_grade: card_grade?, features: features? })
}

/// How well an alternative of the union suits: more fields given is better, then nothing converted.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Fit {
    fields: usize,
    exact: bool,
}

/// The current era's union of a typed payload and a bare cricket delivery. Cards were dealt with before, but
/// appear in the errors.
pub(super) fn union(errors: &mut Errors, value: &Json) -> Option<ReadPrediction> {
    let mut payload_errors = errors.fork();
    let payload =
        payload_errors.at(Loc::Key("function-after[validate_payload(), PredictionPayload]"), |errors| {
            model(errors, value, "PredictionPayload")?;
            payload(errors, value)
        });
    let mut cricket_errors = errors.fork();
    let cricket = cricket_errors
        .at(Loc::Key("CricketDeliveryPrediction"), |errors| delivery(errors, value))
        .map(ReadPrediction::Cricket);
    match (payload, cricket) {
        (Some(_), Some(cricket)) if delivery_fit(value) > payload_fit(value) => Some(cricket),
        (Some(payload), _) => Some(payload),
        (None, Some(cricket)) => Some(cricket),
        (None, None) => {
            errors.join(payload_errors);
            errors.join(cricket_errors);
            errors.at(Loc::Key("TCGGradingPrediction"), |errors| {
                model(errors, value, "TCGGradingPrediction")?;
                card(errors, value)
            });
            None
        }
    }
}

/// `{type, items}` for soccer, `{type, item}` for cricket.
fn payload(errors: &mut Errors, value: &Json) -> Option<ReadPrediction> {
    let kind = errors.required(value, "type", text);
    let items = errors.optional(value, "items", actions);
    let item = errors.optional(value, "item", delivery);
    if !errors.is_empty() {
        return None;
    }
    let complaint = match (kind?.as_str(), items, item) {
        ("soccer_action", Some(items), None) => return Some(ReadPrediction::Soccer(items)),
        ("soccer_action", None, _) => "soccer_action prediction requires items".to_owned(),
        ("soccer_action", ..) => "soccer_action prediction must not include item".to_owned(),
        ("cricket_delivery", None, Some(item)) => return Some(ReadPrediction::Cricket(item)),
        ("cricket_delivery", _, None) => "cricket_delivery prediction requires item".to_owned(),
        ("cricket_delivery", ..) => "cricket_delivery prediction must not include items".to_owned(),
        (other, ..) => format!("Unsupported prediction type: {other}"),
    };
    errors.value_error(&complaint, value);
    None
}

/// A delivery, of which each field may be absent.
fn delivery(errors: &mut Errors, value: &Json) -> Option<Box<Delivery>> {
    model(errors, value, "CricketDeliveryPrediction")?;
    let (delivery, refusals) = Delivery::read(|key| value.get(key).map(Json::scalar));
    let accepted = refusals.is_empty();
    for refused in refusals {
        let Some(input) = value.get(refused.key) else { continue };
        errors.at(Loc::Key(refused.key), |errors| {
            if refused.field.kind == Kind::TextOrNumber {
                errors.at(Loc::Key("str"), |errors| errors.refuse(Refusal::StringType, input));
                errors.at(Loc::Key("float"), |errors| errors.refuse(refused.refusal, input));
            } else {
                errors.refuse(refused.refusal, input);
            }
        });
    }
    accepted.then(|| Box::new(delivery))
}

/// Counts given fields, those of nested models too, as pydantic does to choose between two that are valid.
fn payload_fit(value: &Json) -> Fit {
    let given = ["type", "items", "item"].into_iter().filter(|key| value.get(key).is_some()).count();
    let mut fit = Fit { fields: given, exact: true };
    if let Some(Json::Array(items)) = value.get("items") {
        for item in items {
            for (key, kind) in ACTION_FIELDS {
                if let Some(value) = item.get(key) {
                    fit.fields += 1;
                    fit.exact &= !kind.converts(value.scalar());
                }
            }
        }
    }
    if let Some(item @ Json::Object(_)) = value.get("item") {
        let nested = delivery_fit(item);
        fit.fields += nested.fields;
        fit.exact &= nested.exact;
    }
    fit
}

fn delivery_fit(value: &Json) -> Fit {
    let mut fit = Fit { fields: 0, exact: true };
    for field in &FIELDS {
        if let Some((_, scalar)) = field.given(|key| value.get(key).map(Json::scalar)) {
            fit.fields += 1;
            fit.exact &= !field.kind.converts(scalar);
        }
    }
    fit
}

#[cfg(test)]
mod tests {
    use adit_scoring::soccer::Era;

    use super::super::{ReadError, ReadPrediction, ReadResponse, read};

    fn head(prediction: &str) -> Result<ReadResponse, ReadError> {
        let body = format!(r#"{{"challenge_id":"a","prediction":{prediction},"processing_time":1}}"#);
        read(Era::Head, body.as_bytes())
    }

    #[test]
    fn of_two_valid_alternatives_the_one_with_more_fields_is_taken() {
        for (prediction, kind) in [
            (r#"{"type":"soccer_action","items":[],"kph":1,"runs":2}"#, "soccer_action"),
            (r#"{"type":"soccer_action","items":[],"kph":1,"runs":2,"stump_y":1}"#, "cricket_delivery"),
            (
                r#"{"type":"soccer_action","items":[{"frame":1,"action":"x"}],"kph":1,"runs":2,"stump_y":1,"stump_z":1}"#,
                "soccer_action",
            ),
            (
                r#"{"type":"soccer_action","items":[{"frame":1.0,"action":"x"}],"kph":1,"runs":2,"stump_y":1,"stump_z":1}"#,
                "cricket_delivery",
            ),
            (
                r#"{"type":"soccer_action","items":[{"frame":1.0,"action":"x"}],"kph":true,"runs":2,"stump_y":1,"stump_z":1}"#,
                "soccer_action",
            ),
        ] {
            assert_eq!(head(prediction).unwrap().kind(), kind, "{prediction}");
        }
    }

    #[test]
    fn a_nested_delivery_counts_towards_its_payload() {
        let response =
            head(r#"{"type":"cricket_delivery","item":{"kph":null},"kph":2.0,"runs":1,"match":"x"}"#)
                .unwrap();
        let ReadPrediction::Cricket(delivery) = response.prediction else { panic!("not cricket") };
        assert_eq!(delivery.get("kph"), None);
    }
}
