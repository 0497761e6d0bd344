//! Names against those of the programs that validators run.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use adit_scoring::objects::{BBox, Detection, Predictions};
use adit_turbo_vision::documents::{self, TeamBoxes};
use adit_turbo_vision::names::{ChuteName, Petnames, nickname, repository};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

fn read<T: DeserializeOwned>(name: &str) -> T {
    let folder = std::env::var_os("ADIT_VECTORS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors"), PathBuf::from);
    let path = folder.join(name);
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap()
}

#[derive(Deserialize)]
struct Case {
    revision: String,
    username: String,
    chutes_username: String,
    nickname: String,
    chute_name: String,
    slug: String,
    hf_repo: String,
}

#[derive(Deserialize)]
struct Edge {
    revision: String,
    accept: bool,
    nickname: Option<String>,
}

#[derive(Deserialize)]
struct Naming {
    cases: Vec<Case>,
    edge: Vec<Edge>,
    cases_petname_2_9: Vec<Case>,
}

#[test]
fn vectors_turbo_naming() {
    let naming: Naming = read("turbo_naming.json");
    for (petnames, cases) in [(Petnames::V2_6, &naming.cases), (Petnames::V2_9, &naming.cases_petname_2_9)] {
        assert!(!cases.is_empty(), "no cases of {petnames:?}");
        for case in cases {
            let nickname = nickname(&case.revision, petnames).unwrap();
            assert_eq!(nickname, case.nickname, "{}", case.revision);
            let name = ChuteName::new(&case.username, nickname);
            assert_eq!(name.to_string(), case.chute_name);
            assert_eq!(name.guessed_slug(&case.chutes_username), case.slug);
            assert_eq!(repository(&case.username), case.hf_repo);
        }
    }
    assert!(!naming.edge.is_empty(), "no edge cases");
    for edge in &naming.edge {
        let found = nickname(&edge.revision, Petnames::V2_6).ok();
        assert_eq!(found.is_some(), edge.accept, "{:?}", edge.revision);
        assert_eq!(found, edge.nickname.as_deref(), "{:?}", edge.revision);
    }
}

/// Longer words are never taken, but count in what is drawn: so the lists are whole, and in order.
#[test]
fn vectors_turbo_petname_words() {
    #[derive(Deserialize)]
    struct Words {
        names_2_6: Vec<String>,
        names_2_9: Vec<String>,
    }
    let words: Words = read("turbo_petname_words.json");
    for (petnames, words) in [(Petnames::V2_6, words.names_2_6), (Petnames::V2_9, words.names_2_9)] {
        assert!(!words.is_empty());
        assert_eq!(petnames.list().collect::<Vec<_>>(), words, "{petnames:?}");
    }
}

/// The cases of a group of the scoring vectors; none is a failure.
fn cases<C: DeserializeOwned>(group: &str) -> Vec<C> {
    let mut file: Value = read("turbo_scoring.json");
    let cases: Vec<C> = serde_json::from_value(file["groups"][group]["cases"].take()).unwrap();
    assert!(!cases.is_empty(), "{group} has no cases");
    cases
}

/// An object as the vectors write it.
#[derive(Debug, Deserialize, PartialEq)]
struct Object {
    bbox_2d: BBox,
    label: String,
    score: Option<f64>,
    cluster_id: Option<String>,
    polygon: Option<Vec<(i32, i32)>>,
}

impl From<Detection> for Object {
    fn from(one: Detection) -> Self {
        let Detection { bbox, label, team, score, polygon } = one;
        Self { bbox_2d: bbox, label, score, cluster_id: team, polygon }
    }
}

#[derive(Deserialize)]
struct ParsedFrame {
    bboxes: Vec<Object>,
    #[serde(default)]
    polygons: Vec<Object>,
}

fn same_frames(found: Predictions, expected: BTreeMap<String, ParsedFrame>, case: usize) {
    let found: BTreeMap<String, Vec<Object>> = found
        .into_iter()
        .map(|(number, all)| (number.to_string(), all.into_iter().map(Object::from).collect()))
        .collect();
    let expected: BTreeMap<String, Vec<Object>> = expected
        .into_iter()
        .map(|(number, frame)| (number, frame.bboxes.into_iter().chain(frame.polygons).collect()))
        .collect();
    assert_eq!(found, expected, "case {case}");
}

#[test]
fn vectors_turbo_scoring_doc_parse_miner_prediction() {
    #[derive(Deserialize)]
    struct Case {
        predictions: Value,
        parsed: BTreeMap<String, ParsedFrame>,
    }
    for (number, case) in cases::<Case>("doc.parse_miner_prediction").into_iter().enumerate() {
        let found = documents::document_era(&case.predictions, TeamBoxes::Dropped);
        same_frames(found, case.parsed, number);
    }
}

#[test]
fn vectors_turbo_scoring_head_parse_miner_prediction() {
    #[derive(Deserialize)]
    struct Case {
        object_names: Vec<String>,
        predictions: Value,
        parsed: BTreeMap<String, ParsedFrame>,
    }
    for (number, case) in cases::<Case>("head.parse_miner_prediction").into_iter().enumerate() {
        same_frames(documents::head(&case.predictions, &case.object_names), case.parsed, number);
    }
}

#[test]
fn vectors_turbo_scoring_head_parse_ground_truth_payload() {
    #[derive(Deserialize)]
    struct Frame {
        frame_number: i64,
        bboxes: Vec<Object>,
    }
    #[derive(Deserialize)]
    struct Case {
        ground_truth: Value,
        parsed: Vec<Frame>,
    }
    for (number, case) in cases::<Case>("head.parse_ground_truth_payload").into_iter().enumerate() {
        let found: Vec<(i64, Vec<Object>)> = documents::truth(&case.ground_truth)
            .into_iter()
            .map(|frame| (frame.number, frame.detections.into_iter().map(Object::from).collect()))
            .collect();
        let expected: Vec<(i64, Vec<Object>)> =
            case.parsed.into_iter().map(|frame| (frame.frame_number, frame.bboxes)).collect();
        assert_eq!(found, expected, "case {number}");
    }
}
