//! The dashboard's figure against what the upstream program computes, and clips pooled against SoccerNet's package.

use std::collections::BTreeMap;

use adit_scoring::benchmark::{Curve, Spotted, benchmark};
use adit_scoring::soccer::Event;
use serde::Deserialize;

#[derive(Deserialize)]
struct File {
    cases: Vec<Case>,
    pooled: Vec<Pooled>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    #[serde(flatten)]
    clip: Clip,
    map_at_1s: f64,
    /// To six digits, and only those above 0.
    per_action_ap: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
struct Clip {
    predictions: Vec<Row>,
    ground_truth: Vec<Event>,
}

#[derive(Deserialize)]
struct Row {
    frame: u64,
    action: String,
    confidence: f64,
}

#[derive(Deserialize)]
struct Pooled {
    clips: Vec<Clip>,
    ap: BTreeMap<String, f64>,
}

impl Clip {
    fn spotted(&self) -> Vec<Spotted> {
        let rows = self.predictions.iter();
        rows.map(|row| Spotted {
            frame: row.frame.into(),
            action: row.action.clone(),
            confidence: row.confidence,
        })
        .collect()
    }
}

fn file() -> File {
    serde_json::from_str(include_str!("vectors/benchmark.json")).expect("the file is a list of cases")
}

#[test]
fn it_is_upstreams_figure() {
    let cases = file().cases;
    assert_eq!(cases.len(), 54);
    for case in cases {
        let ours = benchmark(&case.clip.spotted(), &case.clip.ground_truth);
        assert!((ours.map - case.map_at_1s).abs() < 1e-9, "{}: {} {}", case.name, ours.map, case.map_at_1s);
        for (action, precision) in ours.actions {
            let upstream = case.per_action_ap.get(action).copied().unwrap_or(0.0);
            assert!((precision - upstream).abs() < 1e-6, "{}: {action} {precision} {upstream}", case.name);
        }
    }
}

#[test]
fn pooled_clips_have_soccernets_average_precision() {
    let cases = file().pooled;
    assert_eq!(cases.len(), 12);
    for case in cases {
        for (action, soccernet) in case.ap {
            let mut curve = Curve::default();
            for clip in &case.clips {
                curve.add(&action, &clip.spotted(), &clip.ground_truth);
            }
            let ours = curve.average_precision();
            assert!((ours - soccernet).abs() < 1e-9, "{action}: {ours} {soccernet}");
        }
    }
}
