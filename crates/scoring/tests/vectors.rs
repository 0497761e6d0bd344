//! The scorer against verdicts of the upstream Python scorer.

use std::collections::BTreeMap;
use std::path::PathBuf;

use adit_scoring::cards::Grades;
use adit_scoring::cricket::Delivery;
use adit_scoring::soccer::{Era, Event};
use adit_scoring::{FieldVerdict, cards, cricket, pillars, soccer};
use serde::Deserialize;
use serde_json::{Map, Value};

const TOLERANCE: f64 = 1e-9;

#[derive(Deserialize)]
struct Case {
    name: String,
    #[serde(flatten)]
    kind: Kind,
    expected_score: f64,
    expected_breakdown: BTreeMap<String, f64>,
    expected_score_document_era: Option<f64>,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Kind {
    SoccerAction {
        predictions: Vec<Event>,
        ground_truth: Vec<Event>,
        pillar_weights: Option<Map<String, Value>>,
    },
    CricketDelivery {
        prediction: Option<Box<Delivery>>,
        ground_truth: Box<Delivery>,
    },
    TcgGrading {
        prediction: Option<Grades>,
        ground_truth: Grades,
    },
}

fn cases() -> Vec<Case> {
    #[derive(Deserialize)]
    struct File {
        cases: Vec<Value>,
    }
    let folder = std::env::var_os("ADIT_VECTORS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors"), PathBuf::from);
    let path = folder.join("private_scoring.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file: File = serde_json::from_str(&text).expect("the file is a list of cases");
    file.cases
        .into_iter()
        .map(|case| serde_json::from_value(case.clone()).unwrap_or_else(|error| panic!("{error} in {case}")))
        .collect()
}

/// The score and breakdown of a case; a soccer case under the given era.
fn judge(kind: &Kind, era: Era) -> (f64, BTreeMap<String, f64>) {
    let of_fields = |verdict: FieldVerdict| {
        (verdict.score, verdict.fields.iter().map(|field| (field.name.to_owned(), field.score)).collect())
    };
    match kind {
        Kind::SoccerAction { predictions, ground_truth, pillar_weights } => {
            let score = soccer::judge(era, predictions, ground_truth).score;
            let weights = pillar_weights.iter().flatten().map(|(name, weight)| (name.as_str(), weight));
            let breakdown = pillars::weigh(score, weights);
            (breakdown.score, breakdown.pillars.into_iter().collect())
        }
        Kind::CricketDelivery { prediction, ground_truth } => {
            of_fields(cricket::score(prediction.as_deref(), ground_truth))
        }
        Kind::TcgGrading { prediction, ground_truth } => {
            of_fields(cards::score(prediction.as_ref(), ground_truth))
        }
    }
}

fn close(left: f64, right: f64) -> bool {
    (left - right).abs() <= TOLERANCE
}

fn check(is_kind: impl Fn(&Kind) -> bool) {
    let cases: Vec<Case> = cases().into_iter().filter(|case| is_kind(&case.kind)).collect();
    assert!(!cases.is_empty(), "no case of this kind");
    for case in cases {
        let (score, breakdown) = judge(&case.kind, Era::Head);
        assert!(close(score, case.expected_score), "{}: {score}, not {}", case.name, case.expected_score);
        assert!(
            breakdown.len() == case.expected_breakdown.len()
                && breakdown.iter().all(|(name, score)| case
                    .expected_breakdown
                    .get(name)
                    .is_some_and(|want| close(*score, *want))),
            "{}: {breakdown:?}, not {:?}",
            case.name,
            case.expected_breakdown
        );
        if let Some(expected) = case.expected_score_document_era {
            let (score, _) = judge(&case.kind, Era::DocumentEra);
            assert!(close(score, expected), "{}, document era: {score}, not {expected}", case.name);
        }
    }
}

#[test]
fn vectors_private_scoring_soccer() {
    check(|kind| matches!(kind, Kind::SoccerAction { .. }));
}

#[test]
fn vectors_private_scoring_cricket() {
    check(|kind| matches!(kind, Kind::CricketDelivery { .. }));
}

#[test]
fn vectors_private_scoring_cards() {
    check(|kind| matches!(kind, Kind::TcgGrading { .. }));
}
