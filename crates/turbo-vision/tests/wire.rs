//! The chute's documents against the verdicts of the schemas that chutes run.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::collections::BTreeSet;
use std::path::PathBuf;

use adit_python::json::Json;
use adit_turbo_vision::wire::{
    Annotation, BoxResult, Document, Family, FrameResult, PolygonResult, SvFrame, SvPredictInput,
    SvPredictOutput, TvFrame, TvPredictInput, TvPredictOutput, WireError,
};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Case {
    schema: String,
    document: Value,
    accept: bool,
    normalized: Option<Value>,
    #[serde(default)]
    error_types: Vec<String>,
}

type Verdict = Result<Value, WireError>;

fn read<D: Document>(family: Family, document: &Value) -> Verdict {
    let document = D::parse(family, document.to_string().as_bytes())?;
    let written = document.to_json(family);
    // What was written is read as the same again.
    assert_eq!(D::from_json(family, &written)?.to_json(family), written);
    Ok(serde_json::from_str(&written.to_text()).unwrap())
}

/// None for a schema that another crate reads.
fn verdict(schema: &str, document: &Value) -> Option<Verdict> {
    use Family::{Document, Miner, Template};
    Some(match schema {
        "doc.SVPredictInput" => read::<SvPredictInput>(Document, document),
        "doc.SVPredictOutput" => read::<SvPredictOutput>(Document, document),
        "doc.SVFrameResult" => read::<FrameResult>(Document, document),
        "doc.SVBox" => read::<BoxResult>(Document, document),
        "doc.SVFrame" => read::<SvFrame>(Document, document),
        "doc.BoundingBox" => read::<Annotation>(Document, document),
        "head.TVPredictInput" => read::<TvPredictInput>(Template, document),
        "head.TVFrame" => read::<TvFrame>(Template, document),
        "head.TVPredictOutput" => read::<TvPredictOutput>(Template, document),
        "head.SVFrameResult" => read::<FrameResult>(Template, document),
        "head.SVBox" => read::<BoxResult>(Template, document),
        "head.SVPolygon" => read::<PolygonResult>(Template, document),
        "head.SVFrame" => read::<SvFrame>(Template, document),
        "head.BoundingBox" => read::<Annotation>(Template, document),
        "head.miner.TVFrameResult" => read::<FrameResult>(Miner, document),
        "head.miner.BoundingBox" => read::<BoxResult>(Miner, document),
        "head.miner.Polygon" => read::<PolygonResult>(Miner, document),
        // The private track's requests and answers, and the Manifest.
        other if other.starts_with("head.private.") || other == "head.manifest.Element" => return None,
        other => panic!("{other} is a schema that no one reads"),
    })
}

#[test]
fn vectors_turbo_schemas() {
    #[derive(Deserialize)]
    struct File {
        cases: Vec<Case>,
    }
    let folder = std::env::var_os("ADIT_VECTORS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors"), PathBuf::from);
    let path = folder.join("turbo_schemas.json");
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file: File = serde_json::from_slice(&text).unwrap();
    let mut counted = 0;
    for (number, case) in file.cases.iter().enumerate() {
        let Some(found) = verdict(&case.schema, &case.document) else { continue };
        counted += 1;
        let name = format!("case {number}, {}: {}", case.schema, case.document);
        match found {
            Ok(normalized) => {
                assert!(case.accept, "{name} was accepted");
                assert_eq!(Some(&normalized), case.normalized.as_ref(), "{name}");
            }
            Err(WireError::Schema(errors)) => {
                assert!(!case.accept, "{name}: {}", WireError::Schema(errors));
                // One case is accepted by its schema, and then cannot be written as JSON.
                if !case.error_types.iter().any(|kind| kind.starts_with("exception")) {
                    let found: BTreeSet<&str> = errors.iter().map(|error| error.kind).collect();
                    let expected: BTreeSet<&str> = case.error_types.iter().map(String::as_str).collect();
                    assert_eq!(found, expected, "{name}");
                }
            }
            Err(error) => panic!("{name}: {error}"),
        }
    }
    assert!(counted > 0, "there are no cases");
}

#[test]
fn an_error_names_the_field_and_why() {
    let body = br#"{"success":true,"predictions":{"frames":[{"frame_id":0},{"boxes":[{"x1":"a"}]}]}}"#;
    let answer = TvPredictOutput::parse(Family::Template, body).unwrap();
    let error = answer.frames().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the document breaks its schema: frames[1].frame_id: Field required; frames[1].boxes[0].x1: Input should be a valid \
         integer, unable to parse string as an integer; frames[1].boxes[0].y1: Field required; frames[1].boxes[0].x2: Field \
         required; frames[1].boxes[0].y2: Field required; and 2 more"
    );
    let error = SvPredictInput::parse(Family::Document, b"[").unwrap_err();
    assert!(error.to_string().starts_with("the document is no JSON: "), "{error}");
}

#[test]
fn errors_are_bounded() {
    let frames = vec!["{}"; 1000].join(",");
    let body = format!(r#"{{"success":true,"model":"m","predictions":{{"frames":[{frames}]}}}}"#);
    let Err(WireError::Schema(errors)) = SvPredictOutput::parse(Family::Document, body.as_bytes()) else {
        panic!("accepted")
    };
    assert_eq!(errors.len(), adit_turbo_vision::wire::MAX_ERRORS);
}

fn coordinate() -> impl Strategy<Value = i128> {
    prop_oneof![(-2000..2000_i64).prop_map(i128::from), any::<i64>().prop_map(i128::from)]
}

fn frame() -> impl Strategy<Value = FrameResult> {
    let confidence = || -1e9..1e9_f64;
    let one = (prop::array::uniform5(coordinate()), confidence())
        .prop_map(|([x1, y1, x2, y2, cls_id], conf)| BoxResult { x1, y1, x2, y2, cls_id, conf });
    let points = || prop::collection::vec((coordinate(), coordinate()), 0..5);
    let polygon = (coordinate(), confidence(), points()).prop_map(|(cls_id, conf, points)| PolygonResult {
        cls_id,
        conf,
        points,
    });
    let option = prop::option::of::<BoxedStrategy<Vec<(i128, i128)>>>;
    (
        coordinate(),
        prop::option::of(prop::collection::vec(one, 0..4)),
        prop::option::of(prop::collection::vec(polygon, 0..4)),
        option(points().boxed()),
    )
        .prop_map(|(frame_id, boxes, polygons, keypoints)| FrameResult {
            frame_id,
            boxes,
            polygons,
            keypoints,
        })
}

proptest! {
    #[test]
    fn what_is_written_is_read(frame in frame()) {
        for family in [Family::Template, Family::Miner] {
            let text = frame.to_json(family).to_text();
            prop_assert_eq!(&FrameResult::parse(family, text.as_bytes()).unwrap(), &frame);
        }
        let list = FrameResult {
            boxes: Some(frame.boxes.unwrap_or_default()),
            polygons: None,
            keypoints: Some(frame.keypoints.unwrap_or_default()),
            frame_id: frame.frame_id,
        };
        let text = list.to_json(Family::Document).to_text();
        prop_assert_eq!(FrameResult::parse(Family::Document, text.as_bytes()).unwrap(), list);
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = TvPredictInput::parse(Family::Template, &bytes);
        let _ = SvPredictOutput::parse(Family::Document, &bytes);
        let _ = Annotation::from_json(Family::Template, &Json::Null);
    }
}
