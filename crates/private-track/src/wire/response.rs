//! A miner's answer as a validator of either era reads it: what it accepts, and what it then scores.
//!
//! Private-track reference, section 1.3. The current era's schema is generous to a fault: most malformed
//! predictions become an empty cricket delivery, which scores 0 without an error. Writing an answer is
//! [`super::answer`], scoring is [`adit_scoring`].

mod prediction;

use adit_python::json::{Json, JsonError};
use adit_python::scalar::{Refusal, Scalar, Value};
use adit_scoring::cards::{Features, Grade, Grades};
use adit_scoring::cricket::Delivery;
use adit_scoring::soccer::{Era, Event, read_frame};

use super::lax::{Errors, FieldError, Loc, summary};

/// An answer that a validator accepts.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadResponse {
    /// The era of the validator.
    pub era: Era,
    /// Never compared with the challenge's.
    pub challenge_id: String,
    /// In seconds; any float, also negative, infinite or NaN. Not used.
    pub processing_time: f64,
    /// What the answer is taken for. In the document era always soccer.
    pub prediction: ReadPrediction,
    /// What the soccer scorer sees, which may differ from `prediction`: it reads `predictions` where given.
    pub soccer_scored: Vec<ReadAction>,
}

/// What an answer is taken for.
#[derive(Clone, Debug, PartialEq)]
pub enum ReadPrediction {
    /// Actions in a clip.
    Soccer(Vec<ReadAction>),
    /// A cricket delivery, perhaps empty.
    Cricket(Box<Delivery>),
    /// The grades of a card.
    Cards(Grades),
}

/// An action of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadAction {
    /// What is scored.
    pub event: Event,
    /// From 0 to 1; 1 where absent, and in the document era, which does not read it.
    pub confidence: f64,
}

/// Why a validator refuses an answer; the attempt then counts as timed out.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ReadError {
    /// The body is no JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// The document is no object, but the Python type named.
    #[error("scorevision.utils.schemas.ChallengeResponse() argument after ** must be a mapping, not {0}")]
    NotAnObject(&'static str),
    /// The schema refuses these fields.
    #[error("the answer breaks the schema: {}", summary(.0))]
    Schema(Vec<FieldError>),
}

/// Reads an answer's body as a validator of an era does.
///
/// # Errors
/// As [`ReadError`] lists; of a broken schema, every error.
pub fn read(era: Era, body: &[u8]) -> Result<ReadResponse, ReadError> {
    let document = Json::parse(body)?;
    if !matches!(document, Json::Object(_)) {
        return Err(ReadError::NotAnObject(python_type(&document)));
    }
    let mut errors = Errors::new(&[]);
    let response = match (era, document.get("prediction")) {
        (Era::DocumentEra, _) => document_era_response(&mut errors, &document),
        // Cards are read before the schema proper, so their errors stand alone and without the way to them.
        (Era::Head, Some(prediction)) if prediction::is_card(prediction) => {
            prediction::card(&mut errors, prediction).and_then(|grades| {
                head_response(&mut errors, &document, |_, _| Some(ReadPrediction::Cards(grades)))
            })
        }
        (Era::Head, _) => head_response(&mut errors, &document, prediction::union),
    };
    response.filter(|_| errors.is_empty()).ok_or_else(|| ReadError::Schema(errors.into_list()))
}

impl ReadResponse {
    /// The kind that the answer is taken for, by its name on the wire.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.prediction {
            ReadPrediction::Soccer(_) => "soccer_action",
            ReadPrediction::Cricket(_) => "cricket_delivery",
            ReadPrediction::Cards(_) => "tcg_grading",
        }
    }

    /// How many predictions a validator reports.
    #[must_use]
    pub fn prediction_count(&self) -> usize {
        match &self.prediction {
            ReadPrediction::Soccer(actions) => actions.len(),
            ReadPrediction::Cricket(_) => 1,
            ReadPrediction::Cards(_) => 5,
        }
    }

    /// What the soccer scorer compares with the ground truth.
    #[must_use]
    pub fn soccer_events(&self) -> Vec<Event> {
        self.soccer_scored.iter().map(|action| action.event.clone()).collect()
    }

    /// The answer as a validator of its era writes it down again.
    #[must_use]
    pub fn normalised(&self) -> Json {
        let prediction = match (&self.prediction, self.era) {
            (ReadPrediction::Soccer(actions), Era::DocumentEra) => actions_json(self.era, actions),
            (ReadPrediction::Soccer(actions), Era::Head) => {
                payload_json(self.kind(), actions_json(self.era, actions), Json::Null)
            }
            (ReadPrediction::Cricket(delivery), _) => {
                payload_json(self.kind(), Json::Null, delivery_json(delivery))
            }
            (ReadPrediction::Cards(grades), _) => grades_json(grades),
        };
        let key = match self.era {
            Era::DocumentEra => "predictions",
            Era::Head => "prediction",
        };
        Json::object([
            ("challenge_id", Json::from(self.challenge_id.as_str())),
            (key, prediction),
            ("processing_time", float_json(self.processing_time)),
        ])
    }
}

/// Actions as a validator of an era writes them down.
#[must_use]
pub fn actions_json(era: Era, actions: &[ReadAction]) -> Json {
    let item = |action: &ReadAction| {
        let frame = i128::try_from(action.event.frame).unwrap_or(i128::MAX);
        let mut entries =
            vec![("frame", Json::Int(frame)), ("action", Json::from(action.event.action.as_str()))];
        if era == Era::Head {
            entries.push(("confidence", Json::Float(action.confidence)));
        }
        Json::object(entries)
    };
    Json::Array(actions.iter().map(item).collect())
}

fn payload_json(kind: &str, items: Json, item: Json) -> Json {
    Json::object([("type", Json::from(kind)), ("items", items), ("item", item)])
}

fn delivery_json(delivery: &Delivery) -> Json {
    Json::object(delivery.iter().map(|(field, value)| {
        let value = match value {
            None => Json::Null,
            Some(Value::Text(text)) => Json::from(text.as_str()),
            Some(Value::Integer(integer)) => Json::Int(*integer),
            Some(Value::Number(number)) => float_json(*number),
        };
        (field.name, value)
    }))
}

fn grades_json(grades: &Grades) -> Json {
    let grade = |grade: Grade| Json::Int(grade.get().into());
    let Features { subgrade_surface, subgrade_centering, subgrade_edges, subgrade_corners } = grades.features;
    let features = [
        ("subgrade_surface", grade(subgrade_surface)),
        ("subgrade_centering", grade(subgrade_centering)),
        ("subgrade_edges", grade(subgrade_edges)),
        ("subgrade_corners", grade(subgrade_corners)),
    ];
    Json::object([
        ("Header", Json::object([("card_grade", grade(grades.card_grade))])),
        ("Grading_Features", Json::object(features)),
    ])
}

/// NaN and infinity become null, as pydantic writes them.
fn float_json(value: f64) -> Json {
    if value.is_finite() { Json::Float(value) } else { Json::Null }
}

fn python_type(value: &Json) -> &'static str {
    match value {
        Json::Null => "NoneType",
        Json::Bool(_) => "bool",
        Json::Int(_) | Json::BigInt(_) => "int",
        Json::Float(_) => "float",
        Json::String(_) | Json::BrokenString(_) => "str",
        Json::Array(_) => "list",
        Json::Object(_) => "dict",
    }
}

fn document_era_response(errors: &mut Errors, document: &Json) -> Option<ReadResponse> {
    let challenge_id = errors.required(document, "challenge_id", text);
    // Absent is an empty list, but null is an error.
    let actions = match document.get("predictions") {
        None => Some(Vec::new()),
        Some(value) => errors.at(Loc::Key("predictions"), |errors| {
            errors.list(value, |errors, item| action(errors, Era::DocumentEra, item))
        }),
    };
    let processing_time = errors.required(document, "processing_time", number);
    let actions = actions?;
    Some(ReadResponse {
        era: Era::DocumentEra,
        challenge_id: challenge_id?,
        processing_time: processing_time?,
        prediction: ReadPrediction::Soccer(actions.clone()),
        soccer_scored: actions,
    })
}

fn head_response(
    errors: &mut Errors,
    document: &Json,
    read_prediction: impl FnOnce(&mut Errors, &Json) -> Option<ReadPrediction>,
) -> Option<ReadResponse> {
    let challenge_id = errors.required(document, "challenge_id", text);
    let predictions = errors.optional(document, "predictions", actions);
    let prediction = errors.optional(document, "prediction", read_prediction);
    let processing_time = errors.required(document, "processing_time", number);
    if !errors.is_empty() {
        return None;
    }
    let (prediction, soccer_scored) = match (prediction, predictions) {
        (None, None) => {
            errors.value_error("ChallengeResponse requires prediction payload", document);
            return None;
        }
        (None, Some(actions)) => (ReadPrediction::Soccer(actions.clone()), actions),
        (Some(ReadPrediction::Soccer(actions)), None) => (ReadPrediction::Soccer(actions.clone()), actions),
        (Some(prediction), predictions) => (prediction, predictions.unwrap_or_default()),
    };
    Some(ReadResponse {
        era: Era::Head,
        challenge_id: challenge_id?,
        processing_time: processing_time?,
        prediction,
        soccer_scored,
    })
}

fn text(errors: &mut Errors, value: &Json) -> Option<String> {
    errors.keep(value.scalar().text(), value)
}

fn number(errors: &mut Errors, value: &Json) -> Option<f64> {
    errors.keep(value.scalar().number(), value)
}

fn actions(errors: &mut Errors, value: &Json) -> Option<Vec<ReadAction>> {
    errors.list(value, |errors, item| action(errors, Era::Head, item))
}

fn action(errors: &mut Errors, era: Era, item: &Json) -> Option<ReadAction> {
    model(errors, item, "FramePrediction")?;
    let frame =
        errors.required(item, "frame", |errors, value| errors.keep(read_frame(value.scalar()), value));
    let action = errors.required(item, "action", text);
    let confidence = match item.get("confidence").filter(|_| era == Era::Head) {
        None => Some(1.0),
        Some(value) => {
            errors.at(Loc::Key("confidence"), |errors| errors.keep(read_confidence(value.scalar()), value))
        }
    };
    Some(ReadAction { event: Event { frame: frame?, action: action? }, confidence: confidence? })
}

fn read_confidence(scalar: Scalar<'_>) -> Result<f64, Refusal> {
    match scalar.number()? {
        value if value > 1.0 || value.is_nan() => Err(Refusal::LessThanEqual(1)),
        value if value < 0.0 => Err(Refusal::GreaterThanEqual(0)),
        value => Ok(value),
    }
}

/// Notes an error and returns `None` unless the value is an object.
fn model(errors: &mut Errors, value: &Json, name: &str) -> Option<()> {
    if let Json::Object(_) = value {
        return Some(());
    }
    let msg = format!("Input should be a valid dictionary or instance of {name}");
    errors.push("model_type", &msg, value, None);
    None
}

#[cfg(test)]
mod tests {
    use adit_scoring::soccer::Era;

    use super::read;

    #[test]
    fn an_unpaired_surrogate_is_text_to_a_validator() {
        let body =
            br#"{"challenge_id":"\ud800","predictions":[{"frame":1,"action":"\udfff"}],"processing_time":1}"#;
        for era in [Era::Head, Era::DocumentEra] {
            assert_eq!(read(era, body).unwrap().soccer_events()[0].action, "\u{fffd}");
        }
    }

    #[test]
    fn a_frame_beyond_every_integer_type_is_accepted() {
        let frame = "9".repeat(50);
        let body = format!(
            r#"{{"challenge_id":"a","predictions":[{{"frame":{frame},"action":"x"}}],"processing_time":1}}"#
        );
        assert_eq!(read(Era::Head, body.as_bytes()).unwrap().prediction_count(), 1);
    }
}
