//! The wire formats against documents read by the upstream schemas, and against the answers we send.

use std::path::PathBuf;

use adit_predictor::{Action, Answer};
use adit_private_track::wire::answer::encode;
use adit_private_track::wire::lax::{FieldError, Loc};
use adit_private_track::wire::request::{ChallengeRequest, Rejection, parse_as};
use adit_private_track::wire::response::{ReadError, actions_json, read};
use adit_python::json::Json;
use adit_scoring::soccer::Era;

const ERAS: [(Era, &str); 2] = [(Era::Head, "head"), (Era::DocumentEra, "document_era")];

/// Where we differ on purpose: upstream accepts an unpaired surrogate in a string, then fails to write its own
/// answer and says 500. We refuse the challenge.
const UPSTREAM_CRASH: (i128, u16) = (500, 422);

/// The cases of a direction: name, document, and what is expected (by era's key).
fn cases(direction: &str) -> Vec<Json> {
    let folder = std::env::var_os("ADIT_VECTORS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors"), PathBuf::from);
    let path = folder.join("private_challenge_json.json");
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    // Read with our own reader: it keeps integers of any size.
    let file = Json::parse(&bytes).expect("the file is JSON");
    let Some(Json::Array(cases)) = file.get("cases") else { panic!("no list of cases") };
    let cases: Vec<Json> =
        cases.iter().filter(|case| string(case, "direction") == direction).cloned().collect();
    assert!(!cases.is_empty(), "no {direction} cases");
    cases
}

fn string<'a>(value: &'a Json, key: &str) -> &'a str {
    match value.get(key) {
        Some(Json::String(text)) => text,
        other => panic!("{key} is {other:?}, not text"),
    }
}

fn accepted(expected: &Json) -> bool {
    expected.get("accept") == Some(&Json::Bool(true))
}

/// The errors as the vectors list them: type, loc and msg.
fn details(errors: &[FieldError]) -> Json {
    let detail = |error: &FieldError| {
        let Json::Object(mut entries) = error.to_json() else { panic!("an error is an object") };
        entries.retain(|key, _| ["type", "loc", "msg"].contains(&key.as_str()));
        Json::Object(entries)
    };
    Json::Array(errors.iter().map(detail).collect())
}

fn normalised_request(era: Era, request: &ChallengeRequest) -> Json {
    let text = |text: &Option<String>| text.as_deref().map_or(Json::Null, Json::from);
    let mut entries = vec![
        ("challenge_id", Json::from(request.challenge_id.as_str())),
        ("video_url", text(&request.video_url)),
    ];
    if era == Era::Head {
        let frames = request.frames.as_ref().map(|frames| {
            let frame = frames.iter().map(|frame| {
                let frame_id = Json::Int(frame.frame_id.try_into().expect("the vectors' frames fit"));
                Json::object([("frame_id", frame_id), ("url", text(&frame.url)), ("data", text(&frame.data))])
            });
            Json::Array(frame.collect())
        });
        entries.extend([("image_url", text(&request.image_url)), ("frames", frames.unwrap_or(Json::Null))]);
    }
    Json::object(entries)
}

#[test]
fn vectors_private_challenge_json_requests() {
    for case in cases("request") {
        for (era, key) in ERAS {
            let name = format!("{} ({key})", string(&case, "name"));
            let expected = case.get(key).unwrap();
            let result = parse_as(era, string(&case, "raw").as_bytes(), Some("application/json"));
            if expected.get("status") == Some(&Json::Int(UPSTREAM_CRASH.0)) {
                assert_eq!(result.unwrap_err().status(), UPSTREAM_CRASH.1, "{name}");
                continue;
            }
            match result {
                Ok(request) => {
                    assert!(accepted(expected), "{name}: accepted");
                    assert_eq!(
                        Some(&normalised_request(era, &request)),
                        expected.get("normalised"),
                        "{name}"
                    );
                }
                Err(rejection) => {
                    let status = Json::Int(rejection.status().into());
                    assert_eq!(Some(&status), expected.get("status"), "{name}: {rejection}");
                    let Rejection::Invalid(errors) = rejection else { panic!("{name}: {rejection}") };
                    assert_eq!(Some(&details(&errors)), expected.get("detail"), "{name}");
                }
            }
        }
    }
}

#[test]
fn vectors_private_challenge_json_responses() {
    for case in cases("response") {
        for (era, key) in ERAS {
            let name = format!("{} ({key})", string(&case, "name"));
            let expected = case.get(key).unwrap();
            match read(era, string(&case, "raw").as_bytes()) {
                Ok(response) => {
                    assert!(accepted(expected), "{name}: accepted");
                    assert_eq!(Some(&response.normalised()), expected.get("normalised"), "{name}");
                    let scored = actions_json(era, &response.soccer_scored);
                    assert_eq!(Some(&scored), expected.get("soccer_predictions_scored"), "{name}");
                    if era == Era::Head {
                        let count = Json::Int(response.prediction_count() as i128);
                        assert_eq!(string(expected, "kind"), response.kind(), "{name}");
                        assert_eq!(Some(&count), expected.get("prediction_count"), "{name}");
                    }
                }
                Err(error) => {
                    assert!(!accepted(expected), "{name}: {error}");
                    let (python_name, detail) = match &error {
                        ReadError::Json(_) => ("JSONDecodeError", Json::from(error.to_string().as_str())),
                        ReadError::NotAnObject(_) => ("TypeError", Json::from(error.to_string().as_str())),
                        ReadError::Schema(errors) => ("ValidationError", details(errors)),
                    };
                    assert_eq!(string(expected, "error"), python_name, "{name}");
                    assert_eq!(Some(&detail), expected.get("detail"), "{name}");
                }
            }
        }
    }
}

#[test]
fn both_eras_score_the_soccer_answer_that_we_send() {
    let action = |frame| Action { frame, action: "pass".to_owned(), confidence: 0.5 };
    let answer = encode("a", &Answer::Actions(vec![action(0), action(25)]), 0.001);
    for (era, _) in ERAS {
        let response = read(era, answer.as_bytes()).unwrap();
        let frames: Vec<u128> = response.soccer_events().iter().map(|event| event.frame).collect();
        assert_eq!((response.kind(), frames), ("soccer_action", vec![0, 25]));
    }
}

#[test]
fn an_error_names_its_place_by_key_and_index() {
    let body = br#"{"challenge_id":"a","predictions":[{"frame":1,"action":"x"},{"frame":-1,"action":"x"}],"processing_time":1}"#;
    let Err(ReadError::Schema(errors)) = read(Era::Head, body) else { panic!("accepted") };
    assert_eq!(errors[0].loc, [Loc::Key("predictions"), Loc::Index(1), Loc::Key("frame")]);
    assert_eq!(
        ReadError::Schema(errors).to_string(),
        "the answer breaks the schema: predictions: 1: frame: Input should be greater than or equal to 0"
    );
}
