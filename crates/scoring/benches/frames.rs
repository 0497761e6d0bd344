//! How long it takes to judge a challenge of 750 frames with 22 boxes, by all of today's pillars of boxes, beside NumPy
//! and SciPy (`benches/peer/score_frames.py`, by the Python that `PEER_PYTHON` names).
//!
//! Both first judge the vectors' challenges, and have to come to the vectors' scores; then the large one, and have to
//! come to the same.

#![expect(clippy::print_stdout, reason = "a bench exists to print")]
#![expect(clippy::unwrap_used, reason = "a failed unwrap ends the bench")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use adit_scoring::detection;
use adit_scoring::objects::{self, BBox, Detection, Predictions, Truth};
use adit_scoring::smoothness::{CANVAS, smoothness_per_type};
use serde::Deserialize;
use serde_json::{Value, json};

const FRAMES: i64 = 750;
const BOXES: i64 = 22;
const ROUNDS: usize = 41;
const PEER_ROUNDS: usize = 7;
const TOLERANCE: f64 = 1e-6;

type Pillars = BTreeMap<String, f64>;

/// A challenge, as both sides read it.
struct Challenge {
    truth: Vec<Truth>,
    miner: Predictions,
    json: Value,
}

impl Challenge {
    fn new(truth: &Value, miner: &Value) -> Self {
        let frames = |side: &Value| -> Vec<(i64, Vec<Detection>)> {
            let frames = side.as_array().unwrap().iter();
            frames
                .map(|frame| (frame["frame_number"].as_i64().unwrap(), detections(&frame["bboxes"])))
                .collect()
        };
        let truth_frame = |(number, detections)| Truth { number, image: None, detections };
        Self {
            truth: frames(truth).into_iter().map(truth_frame).collect(),
            miner: frames(miner).into_iter().collect(),
            json: json!({"truth": truth, "miner": miner}),
        }
    }

    fn judge(&self) -> [(&'static str, f64); 9] {
        let found = detection::judge(&self.truth, &self.miner);
        let teams = objects::teams(&self.truth, &self.miner).mean();
        let labels = objects::labels(&self.truth, &self.miner).mean();
        let mut frames: Vec<_> = self.miner.iter().collect();
        frames.sort_by_key(|(number, _)| **number);
        let frames = frames.into_iter().map(|(_, all)| all);
        [
            ("iou", found.iou),
            ("count", found.count),
            ("map50", found.map50),
            ("precision", found.precision),
            ("recall", found.recall),
            ("false_positive", found.false_positive),
            ("palette", teams),
            ("role", f64::midpoint(labels, teams)),
            ("smoothness", smoothness_per_type(frames, CANVAS)),
        ]
    }
}

fn detections(boxes: &Value) -> Vec<Detection> {
    let detection = |one: &Value| Detection {
        bbox: serde_json::from_value(one["bbox_2d"].clone()).unwrap(),
        label: one["label"].as_str().unwrap().to_owned(),
        team: one["cluster_id"].as_str().map(str::to_owned),
        score: one["score"].as_f64(),
        polygon: None,
    };
    boxes.as_array().unwrap().iter().map(detection).collect()
}

/// The vectors' challenges without polygons, with their scores.
fn vectors() -> Vec<(Challenge, Pillars)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/turbo_scoring.json");
    let file: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let cases = file["groups"]["head.object_pillars"]["cases"].as_array().unwrap();
    let is_plain = |case: &&Value| {
        let has_polygon = |one: &Value| !one["polygon"].is_null();
        let frames = |side: &str| case[side].as_array().unwrap().clone();
        let boxes = |frame: &Value| frame["bboxes"].as_array().unwrap().iter().any(has_polygon);
        let polygons = |frame: &Value| frame["polygons"].as_array().is_some_and(|all| !all.is_empty());
        case["pgt_image_size"] == json!([1, 1])
            && !frames("pseudo_gt").iter().any(boxes)
            && !frames("miner").iter().any(|frame| boxes(frame) || polygons(frame))
    };
    let case = |case: &Value| {
        let scores =
            case.as_object().unwrap().iter().filter_map(|(name, score)| Some((name, score.as_f64()?)));
        let scores = scores.filter(|(name, _)| *name != "labels").map(|(name, score)| (name.clone(), score));
        (Challenge::new(&case["pseudo_gt"], &case["miner"]), scores.collect())
    };
    cases.iter().filter(is_plain).map(case).collect()
}

/// Players who walk about, and a model that mostly sees them: some boxes are missing, shifted, too many or called wrong.
fn large() -> Challenge {
    let mut state = 7_u64;
    let mut below = move |end: i64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) % end.unsigned_abs()).cast_signed()
    };
    let label = |player: i64| match player {
        0 => "ball",
        1 | 2 => "goalkeeper",
        3 => "referee",
        _ => "player",
    };
    let team = |player: i64| (player > 3).then_some(if player % 2 == 0 { "white" } else { "black" });
    let mut frames = (Vec::new(), Vec::new());
    for number in 0..FRAMES {
        let mut boxes = (Vec::new(), Vec::new());
        for player in 0..BOXES {
            let (left, top) = ((player * 173 + number * (player % 5 - 2)).rem_euclid(900), player * 19);
            let bbox: BBox = [left, top, left + 20 + player, top + 60 + player];
            let one = |bbox: BBox, label: &str, score: f64| json!({"bbox_2d": bbox, "label": label, "cluster_id": team(player), "score": score});
            boxes.0.push(one(bbox, label(player), 1.0));
            let shifted = bbox.map(|at| at + below(7) - 3);
            let score = below(1000) as f64 / 1000.0;
            match below(20) {
                0 => {}
                1 => boxes.1.push(one(shifted, "player", score)),
                2 => boxes.1.extend([one(shifted, label(player), score), one(bbox, label(player), score)]),
                _ => boxes.1.push(one(shifted, label(player), score)),
            }
        }
        frames.0.push(json!({"frame_number": number, "bboxes": boxes.0}));
        frames.1.push(json!({"frame_number": number, "bboxes": boxes.1}));
    }
    Challenge::new(&Value::Array(frames.0), &Value::Array(frames.1))
}

fn same(name: &str, found: f64, expected: f64) {
    assert!((found - expected).abs() <= TOLERANCE, "{name}: {found} and not {expected}");
}

fn main() {
    // `cargo test --benches` passes --test: then being built is all that was asked.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let (vectors, large) = (vectors(), large());
    assert!(!vectors.is_empty(), "the vectors have no challenge of boxes alone");
    for (challenge, expected) in &vectors {
        for (name, score) in challenge.judge() {
            if let Some(expected) = expected.get(name) {
                same(name, score, *expected);
            }
        }
    }
    let seconds = (0..ROUNDS).map(|_| {
        let start = Instant::now();
        black_box(black_box(&large).judge());
        start.elapsed().as_secs_f64()
    });
    let seconds = seconds.fold(f64::INFINITY, f64::min);
    println!("{FRAMES} frames of {BOXES} boxes, all pillars of boxes: {:.1} ms", seconds * 1e3);

    let Some(python) = std::env::var_os("PEER_PYTHON") else {
        println!(
            "no peer: PEER_PYTHON names no Python with NumPy and SciPy; `scripts/setup bench` installs one"
        );
        return;
    };
    let peer = ask(&python, &vectors, &large);
    for ((_, expected), found) in vectors.iter().zip(&peer.scores) {
        expected.iter().for_each(|(name, expected)| same(name, found[name], *expected));
    }
    let found = peer.scores.last().unwrap();
    large.judge().iter().for_each(|(name, score)| same(name, found[*name], *score));
    println!("NumPy and SciPy: {:.1} ms, {:.0} times as long", peer.seconds * 1e3, peer.seconds / seconds);
}

#[derive(Deserialize)]
struct Peer {
    scores: Vec<Pillars>,
    seconds: f64,
}

fn ask(python: &std::ffi::OsStr, vectors: &[(Challenge, Pillars)], large: &Challenge) -> Peer {
    let challenges: Vec<&Value> =
        vectors.iter().map(|(challenge, _)| &challenge.json).chain([&large.json]).collect();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = folder.join("frames.json");
    std::fs::write(&file, serde_json::to_vec(&challenges).unwrap()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../benches/peer/score_frames.py");
    // One core each: what else NumPy could use is not used by us either.
    let output = Command::new(python)
        .args([script.as_os_str(), file.as_os_str(), PEER_ROUNDS.to_string().as_ref()])
        .envs([("OMP_NUM_THREADS", "1"), ("OPENBLAS_NUM_THREADS", "1")])
        .output()
        .unwrap();
    assert!(output.status.success(), "the peer failed: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}
