//! Whole challenges against what the validators' programs made of them, and what a ranking says beside the score.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use adit_manifest::{Element, Manifest};
use adit_scoring::keypoints::{Channels, Frame};
use adit_scoring::objects::{BBox, Detection, Truth};
use adit_turbo_vision::compliance::{RULES, Rules, Verdict, compare};
use adit_turbo_vision::ranking::{
    DocumentRules, FrameLimits, Gate, Ranking, Reading, Run, Unrankable, document_era, head,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

/// As the file says.
const TOLERANCE: f64 = 1e-6;

/// The cases of a group; none is a failure.
fn cases<C: DeserializeOwned>(group: &str) -> Vec<C> {
    let folder = std::env::var_os("ADIT_VECTORS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors"), PathBuf::from);
    let path = folder.join("turbo_scoring.json");
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut file: Value = serde_json::from_slice(&text).unwrap();
    let cases: Vec<C> = serde_json::from_value(file["groups"][group]["cases"].take()).unwrap();
    assert!(!cases.is_empty(), "{group} has no cases");
    cases
}

#[track_caller]
fn close(found: f64, expected: f64, what: &str, case: usize) {
    assert!((found - expected).abs() <= TOLERANCE, "case {case}, {what}: {found} and not {expected}");
}

#[derive(Deserialize)]
struct Object {
    bbox_2d: BBox,
    label: String,
    cluster_id: Option<String>,
    polygon: Option<Vec<(i32, i32)>>,
}

#[derive(Deserialize)]
struct TruthFrame {
    frame_number: i64,
    bboxes: Vec<Object>,
}

fn truth(frames: Vec<TruthFrame>) -> Vec<Truth> {
    let detection = |one: Object| Detection {
        bbox: one.bbox_2d,
        label: one.label,
        team: one.cluster_id,
        score: None,
        polygon: one.polygon,
    };
    let frame = |frame: TruthFrame| Truth {
        number: frame.frame_number,
        image: None,
        detections: frame.bboxes.into_iter().map(detection).collect(),
    };
    frames.into_iter().map(frame).collect()
}

fn element(element: &Value) -> Element {
    let manifest = json!({
        "window_id": "w", "version": 1.0, "expiry_block": 1, "tee": {"trusted_share_gamma": 0.2},
        "elements": [element],
    });
    Manifest::parse(manifest.to_string().as_bytes()).unwrap().elements.remove(0)
}

fn pillar(ranking: &Ranking, name: &str) -> f64 {
    ranking.pillars.iter().find(|pillar| pillar.name == name).unwrap().score
}

#[test]
fn vectors_turbo_scoring_doc_post_vlm_ranking() {
    #[derive(Deserialize)]
    struct Case {
        max_frame_number: usize,
        success: bool,
        latency_ms: f64,
        challenge_type: Option<String>,
        meta_challenge_type: Option<String>,
        pseudo_gt: Vec<TruthFrame>,
        predictions: Value,
        breakdown: BTreeMap<String, BTreeMap<String, f64>>,
        score: f64,
        group_scores: BTreeMap<String, f64>,
    }
    for (number, case) in cases::<Case>("doc.post_vlm_ranking").into_iter().enumerate() {
        let run = Run {
            truth: &truth(case.pseudo_gt),
            predictions: &case.predictions,
            success: case.success,
            latency_ms: case.latency_ms,
            images: &BTreeMap::new(),
        };
        let rules = DocumentRules {
            frames: case.max_frame_number,
            challenge_type: case.challenge_type.as_deref().or(case.meta_challenge_type.as_deref()),
            reading: Reading::AsItRan,
        };
        let found = document_era(&run, rules);
        for (name, expected) in &case.breakdown["objects"] {
            close(pillar(&found, name), *expected, name, number);
        }
        for (group, name) in
            [("keypoints", "floor_markings_alignment"), ("action", "action"), ("latency", "latency")]
        {
            let expected = case.breakdown[group].values().next().unwrap();
            close(pillar(&found, name), *expected, name, number);
        }
        close(found.score, case.score, "score", number);
        let objects: f64 = found.pillars[..5].iter().map(|pillar| pillar.contribution).sum();
        close(objects, 0.5 * case.group_scores["objects"], "objects", number);
        let contributions: f64 = found.pillars.iter().map(|pillar| pillar.contribution).sum();
        close(contributions, case.score, "contributions", number);
    }
}

#[test]
fn vectors_turbo_scoring_head_post_vlm_ranking() {
    #[derive(Deserialize)]
    struct Meta {
        n_frames_total: Option<usize>,
        min_frames_required: Option<usize>,
    }
    #[derive(Deserialize)]
    struct Case {
        element: Value,
        meta: Meta,
        success: bool,
        latency_ms: f64,
        latency_p95_ms: Option<f64>,
        pseudo_gt: Vec<TruthFrame>,
        predictions: Value,
        breakdown: Map<String, Value>,
        score: f64,
        rtf: Option<f64>,
        latency_pass: bool,
        scored_frame_numbers: Vec<i64>,
    }
    for (number, case) in cases::<Case>("head.post_vlm_ranking").into_iter().enumerate() {
        let element = element(&case.element);
        let run = Run {
            truth: &truth(case.pseudo_gt),
            predictions: &case.predictions,
            success: case.success,
            latency_ms: case.latency_p95_ms.filter(|p95| *p95 != 0.0).unwrap_or(case.latency_ms),
            images: &BTreeMap::new(),
        };
        let limits = FrameLimits { least: case.meta.min_frames_required, most: case.meta.n_frames_total };
        let found = head(&run, &element, limits).unwrap();

        assert_eq!(found.is_measured(), !case.breakdown.is_empty(), "case {number}");
        if found.is_measured() {
            let category = element.category().unwrap().to_string();
            let expected = case.breakdown[&category].as_object().unwrap();
            assert_eq!(found.pillars.len() + 3, expected.len(), "case {number}");
            for pillar in &found.pillars {
                let expected = &expected[&pillar.name];
                close(pillar.score, expected["score"].as_f64().unwrap(), &pillar.name, number);
                let weighted = expected["weighted_score"].as_f64().unwrap();
                close(pillar.contribution, weighted, &pillar.name, number);
            }
            let total = |name: &str| expected[name].as_f64().unwrap();
            close(found.weighted, total("total_weighted"), "weighted", number);
            close(found.worth, total("total_weighted_and_gated"), "worth", number);
        } else {
            assert!(found.pillars.iter().all(|pillar| pillar.score == 0.0 && pillar.reason.is_some()));
        }
        close(found.score, case.score, "score", number);
        assert_eq!(found.real_time_factor.is_some(), case.rtf.is_some(), "case {number}");
        found.real_time_factor.iter().zip(case.rtf).for_each(|(f, e)| close(*f, e, "rtf", number));
        let in_time = found.gates.iter().find(|gate| gate.name == Gate::LATENCY).unwrap();
        assert_eq!(in_time.open, case.latency_pass, "case {number}");
        assert_eq!(found.scored_frames, case.scored_frame_numbers, "case {number}");
    }
}

#[test]
fn vectors_turbo_scoring_head_compliance_compare() {
    #[derive(Deserialize)]
    struct Case {
        expected: Value,
        actual: Value,
        threshold: f64,
        ok: bool,
        info: Map<String, Value>,
        soft_drift: bool,
    }
    for (number, case) in cases::<Case>("head.compliance_compare").into_iter().enumerate() {
        let rules = Rules { least_iou: case.threshold, ..RULES };
        let found = compare(&case.expected, &case.actual);
        let verdict = found.verdict(&rules);
        assert_eq!(verdict == Verdict::Same, case.ok, "case {number}");
        assert_eq!(found.drifts_softly(&rules), case.soft_drift, "case {number}");
        let no_frames = case.info.contains_key("reason");
        assert_eq!(verdict == Verdict::NoCommonFrames, no_frames, "case {number}");
        if no_frames {
            continue;
        }
        let ratio = |part: usize, of: usize| part as f64 / of.max(1) as f64;
        for (name, found) in [
            ("mean_iou", found.mean_iou),
            ("matched_mean_iou", found.matched_mean_iou),
            ("extra_boxes", found.extra as f64),
            ("missing_boxes", found.missing as f64),
            ("extra_detections", found.extra as f64),
            ("missing_detections", found.missing as f64),
            ("expected_detections", found.expected as f64),
            ("actual_detections", found.actual as f64),
            ("matched_detections", found.matched as f64),
            ("missing_ratio", ratio(found.missing, found.expected)),
            ("extra_ratio", ratio(found.extra, found.actual)),
            ("frames_compared", found.frames.len() as f64),
        ] {
            close(found, case.info[name].as_f64().unwrap(), name, number);
        }
    }
}

fn detect() -> Value {
    json!({
        "id": "x/Detect-car", "objects": ["car"], "delta_floor": 0.25,
        "metrics": {"pillars": {"iou": 0.5, "map50": 0.5}},
    })
}

fn one_box(number: i64, bbox: BBox) -> Truth {
    let car = Detection { bbox, label: "car".to_owned(), team: None, score: None, polygon: None };
    Truth { number, image: None, detections: vec![car] }
}

fn box_of([x1, y1, x2, y2]: BBox) -> Value {
    json!({"x1": x1, "y1": y1, "x2": x2, "y2": y2, "cls_id": 0})
}

const CAR: BBox = [100, 100, 200, 200];

#[test]
fn a_ranking_names_the_frames_that_earned_least() {
    let truth = [one_box(0, CAR), one_box(1, CAR), one_box(2, CAR)];
    let frame = |id: i64, boxes: Vec<Value>| json!({"frame_id": id, "boxes": boxes});
    let predictions =
        json!({"frames": [frame(0, vec![box_of(CAR)]), frame(1, vec![]), frame(2, vec![box_of(CAR); 2])]});
    let images = BTreeMap::new();
    let run =
        Run { truth: &truth, predictions: &predictions, success: true, latency_ms: 1.0, images: &images };
    let found = head(&run, &element(&detect()), FrameLimits::default()).unwrap();
    let worst: Vec<i64> = found.worst_frames().into_iter().map(|(number, _)| number).collect();
    assert_eq!(worst, [1, 2, 0]);
    assert_eq!(found.pillars[0].reason.as_deref(), Some("nothing right in 1 of 3 frames"));
    assert_eq!(found.pillars[1].reason.as_deref(), Some("2 found, 1 wrong, 1 missed"));
    // It is printed as JSON as well.
    assert_eq!(serde_json::to_value(&found).unwrap()["pillars"][0]["frames"][1]["score"], 0.0);
}

/// A hopeless model earns the floor, unless a gate is shut.
#[test]
fn a_gate_that_is_shut_says_why() {
    let truth = [one_box(0, CAR)];
    let images = BTreeMap::new();
    let run =
        |predictions, success| Run { truth: &truth, predictions, success, latency_ms: 1.0, images: &images };
    let (nothing, empty) = (Value::Null, json!({"frames": [{"frame_id": 0}]}));
    let ranked = |run: Run<'_>| head(&run, &element(&detect()), FrameLimits::default()).unwrap();
    assert_eq!(ranked(run(&empty, true)).score, 0.25);
    let without_frames = ranked(run(&nothing, true));
    assert_eq!(without_frames.score, 0.0);
    assert_eq!(
        without_frames.pillars[0].reason.as_deref(),
        Some("not measured: the answer has 0 frames, 1 or more are asked for")
    );
    assert!(!ranked(run(&empty, false)).is_measured());
}

#[test]
fn keypoints_that_are_null_break_the_validators_program() {
    let pitch = json!({
        "id": "x/PitchCalib", "keypoint_template": "football", "metrics": {"pillars": {"iou": 1.0}},
    });
    let image = Frame::new(&[0; 48 * 32 * 3], 48, 32, Channels::Bgr).unwrap();
    let images = BTreeMap::from([(0, image)]);
    let ranked = |keypoints: Value, images: &BTreeMap<i64, Frame>| {
        let predictions = json!({"frames": [{"frame_id": 0, "keypoints": keypoints}]});
        let run = Run { truth: &[], predictions: &predictions, success: true, latency_ms: 1.0, images };
        head(&run, &element(&pitch), FrameLimits::default()).unwrap()
    };
    let null = ranked(Value::Null, &images);
    assert!(!null.is_measured());
    assert!(null.pillars[0].reason.as_deref().unwrap().contains("frame 0 are null"));
    let few = ranked(json!([[1, 2]]), &images);
    assert!(few.is_measured());
    assert_eq!(
        few.pillars[0].reason.as_deref(),
        Some("1 keypoints, where 32 are asked for (in 1 of 1 frames)")
    );
    let imageless = ranked(Value::Null, &BTreeMap::new());
    assert_eq!(
        imageless.pillars[0].reason.as_deref(),
        Some("there is no image of the frame (in 1 of 1 frames)")
    );
}

#[test]
fn an_element_that_validators_fail_on_is_refused() {
    let predictions = Value::Null;
    let images = BTreeMap::new();
    let run = Run { truth: &[], predictions: &predictions, success: true, latency_ms: 1.0, images: &images };
    let refused = |id: &str, pillar: &str, more: Value| {
        let mut value = json!({"id": id, "metrics": {"pillars": {pillar: 1.0}}});
        value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        head(&run, &element(&value), FrameLimits::default()).unwrap_err()
    };
    assert!(matches!(refused("Detect-x", "palette", json!({})), Unrankable::NoSuchPillar { .. }));
    assert!(matches!(refused("Track-x", "iou", json!({})), Unrankable::NoSuchPillar { .. }));
    assert!(matches!(refused("PitchCalib", "iou", json!({})), Unrankable::NoTemplate { .. }));
    let basketball = json!({"keypoint_template": "basketball"});
    let error = refused("PlayerDetect", "keypoints_iou", basketball);
    assert!(error.to_string().contains("keypoint_template is basketball"), "{error}");
    assert!(matches!(refused("Any", "iou", json!({"track": "private"})), Unrankable::Private(_)));
}

#[test]
fn the_document_eras_teams_can_be_read_as_they_were_meant() {
    let player = |bbox: BBox, team: &str| Detection {
        bbox,
        label: "player".to_owned(),
        team: Some(team.to_owned()),
        score: None,
        polygon: None,
    };
    let (here, there) = (CAR, [300, 100, 400, 200]);
    let truth =
        [Truth { number: 0, image: None, detections: vec![player(here, "red"), player(there, "blue")] }];
    let of_team = |bbox: BBox, team: u8| {
        let mut one = box_of(bbox);
        one["cls_id"] = team.into();
        one
    };
    let predictions = json!({"frames": [{"frame_id": 0, "boxes": [of_team(here, 6), of_team(there, 7)]}]});
    let images = BTreeMap::new();
    let run =
        Run { truth: &truth, predictions: &predictions, success: true, latency_ms: 0.0, images: &images };
    let team = |reading| {
        let rules = DocumentRules { frames: 1, challenge_type: Some("soccer"), reading };
        pillar(&document_era(&run, rules), "team")
    };
    assert_eq!(team(Reading::AsItRan), 0.0);
    assert_eq!(team(Reading::AsItWasMeant), 1.0);
}
