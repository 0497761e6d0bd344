//! The dashboard's figure against what the upstream program computes.

use std::collections::BTreeMap;

use adit_scoring::benchmark::{Spotted, benchmark};
use adit_scoring::soccer::Event;
use serde::Deserialize;

#[derive(Deserialize)]
struct File {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    predictions: Vec<Row>,
    ground_truth: Vec<Event>,
    map_at_1s: f64,
    /// To six digits, and only those above 0.
    per_action_ap: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
struct Row {
    frame: u64,
    action: String,
    confidence: f64,
}

#[test]
fn it_is_upstreams_figure() {
    let file: File = serde_json::from_str(include_str!("vectors/benchmark.json")).expect("a list of cases");
    assert_eq!(file.cases.len(), 54);
    for case in file.cases {
        let spotted = case.predictions.into_iter().map(|row| Spotted {
            frame: row.frame.into(),
            action: row.action,
            confidence: row.confidence,
        });
        let ours = benchmark(&spotted.collect::<Vec<_>>(), &case.ground_truth);
        assert!((ours.map - case.map_at_1s).abs() < 1e-9, "{}: {} {}", case.name, ours.map, case.map_at_1s);
        for (action, precision) in ours.actions {
            let upstream = case.per_action_ap.get(action).copied().unwrap_or(0.0);
            assert!((precision - upstream).abs() < 1e-6, "{}: {action} {precision} {upstream}", case.name);
        }
    }
}
