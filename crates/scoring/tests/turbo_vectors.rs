//! Turbo Vision's scorer against verdicts of the upstream Python scorer.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use adit_scoring::cards::Grades;
use adit_scoring::cricket::Delivery;
use adit_scoring::element::{Gate, keeps_up, p95, real_time_factor, required_iou};
use adit_scoring::objects::{self, BBox, Detection, Predictions, Truth};
use adit_scoring::smoothness::{CANVAS, Canvas, smoothness, smoothness_per_type, steady_truth, transitions};
use adit_scoring::soccer::{Era, Event};
use adit_scoring::{FieldVerdict, cards, cricket, detection, pillars, soccer};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

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
fn close(found: f64, expected: f64, case: usize) {
    assert!((found - expected).abs() <= TOLERANCE, "case {case}: {found} and not {expected}");
}

#[derive(Deserialize)]
struct Object {
    bbox_2d: BBox,
    label: String,
    cluster_id: Option<String>,
    score: Option<f64>,
    polygon: Option<Vec<(i32, i32)>>,
}

#[derive(Deserialize)]
struct Frame {
    frame_number: i64,
    bboxes: Vec<Object>,
    #[serde(default)]
    polygons: Vec<Object>,
}

impl Frame {
    fn truth(self, image: Option<(u32, u32)>) -> Truth {
        Truth { number: self.frame_number, image, detections: detections(self.bboxes) }
    }

    /// A miner's boxes, and then its polygons.
    fn predicted(self) -> (i64, Vec<Detection>) {
        (self.frame_number, detections(self.bboxes.into_iter().chain(self.polygons).collect()))
    }
}

fn detections(objects: Vec<Object>) -> Vec<Detection> {
    let detection = |one: Object| Detection {
        bbox: one.bbox_2d,
        label: one.label,
        team: one.cluster_id,
        score: one.score,
        polygon: one.polygon,
    };
    objects.into_iter().map(detection).collect()
}

fn named(bbox: BBox, label: String) -> Detection {
    Detection { bbox, label, team: None, score: None, polygon: None }
}

fn unnamed(boxes: Vec<BBox>) -> Vec<Detection> {
    boxes.into_iter().map(|bbox| named(bbox, String::new())).collect()
}

#[test]
fn vectors_turbo_scoring_doc_iou_box() {
    #[derive(Deserialize)]
    struct Case {
        a: BBox,
        b: BBox,
        iou: f64,
    }
    for (number, case) in cases::<Case>("doc.iou_box").iter().enumerate() {
        close(objects::iou(&case.a, &case.b), case.iou, number);
    }
}

#[test]
fn vectors_turbo_scoring_doc_hungarian_f1() {
    #[derive(Deserialize)]
    struct Case {
        gt: Vec<(BBox, String)>,
        pred: Vec<(BBox, String)>,
        iou_thresh: f64,
        label_strict: bool,
        f1: f64,
    }
    let all = |all: Vec<(BBox, String)>| -> Vec<Detection> {
        all.into_iter().map(|(bbox, label)| named(bbox, label)).collect()
    };
    for (number, case) in cases::<Case>("doc.hungarian_f1").into_iter().enumerate() {
        let found = objects::f1(&all(case.gt), &all(case.pred), case.iou_thresh, case.label_strict);
        close(found, case.f1, number);
    }
}

#[test]
fn vectors_turbo_scoring_doc_object_metrics() {
    #[derive(Deserialize)]
    struct Case {
        pseudo_gt: Vec<Frame>,
        miner: Vec<Frame>,
        bbox_placement: f64,
        categorisation: f64,
        team: f64,
        enumeration: f64,
    }
    for (number, case) in cases::<Case>("doc.object_metrics").into_iter().enumerate() {
        let truth: Vec<Truth> = case.pseudo_gt.into_iter().map(|one| one.truth(None)).collect();
        let miner: Predictions = case.miner.into_iter().map(Frame::predicted).collect();
        let places = objects::places(&truth, &miner);
        close(places.placement.mean(), case.bbox_placement, number);
        close(objects::labels(&truth, &miner).mean(), case.categorisation, number);
        close(objects::teams(&truth, &miner).mean(), case.team, number);
        close(places.enumeration.mean(), case.enumeration, number);
    }
}

#[test]
fn vectors_turbo_scoring_doc_bbox_smoothness() {
    #[derive(Deserialize)]
    struct Case {
        frames: Vec<Vec<BBox>>,
        image_height: usize,
        image_width: usize,
        transition_ious: Vec<f64>,
        smoothness: f64,
    }
    for (number, case) in cases::<Case>("doc.bbox_smoothness").iter().enumerate() {
        let canvas = Canvas { height: case.image_height, width: case.image_width };
        let ious = transitions(&case.frames, canvas);
        assert_eq!(ious.len(), case.transition_ious.len(), "case {number}");
        ious.iter().zip(&case.transition_ious).for_each(|(found, expected)| close(*found, *expected, number));
        close(smoothness(&case.frames, canvas), case.smoothness, number);
    }
}

#[test]
fn vectors_turbo_scoring_doc_filter_low_quality_pseudo_gt() {
    #[derive(Deserialize)]
    struct Boxes {
        frame_number: i64,
        bboxes: Vec<BBox>,
    }
    #[derive(Deserialize)]
    struct Case {
        annotations: Vec<Boxes>,
        min_iou_threshold: f64,
        kept_frame_numbers: Vec<i64>,
    }
    for (number, case) in cases::<Case>("doc.filter_low_quality_pseudo_gt").into_iter().enumerate() {
        let truth =
            |one: Boxes| Truth { number: one.frame_number, image: None, detections: unnamed(one.bboxes) };
        let truth: Vec<Truth> = case.annotations.into_iter().map(truth).collect();
        let kept = steady_truth(&truth, case.min_iou_threshold, CANVAS);
        assert_eq!(kept, case.kept_frame_numbers, "case {number}");
    }
}

#[test]
fn vectors_turbo_scoring_head_object_pillars() {
    #[derive(Deserialize)]
    struct Case {
        /// Height and width; one pixel stands for an image that is not known.
        pgt_image_size: (u32, u32),
        pseudo_gt: Vec<Frame>,
        miner: Vec<Frame>,
        #[serde(flatten)]
        expected: BTreeMap<String, f64>,
    }
    for (number, case) in cases::<Case>("head.object_pillars").into_iter().enumerate() {
        let (height, width) = case.pgt_image_size;
        let image = (height > 1 || width > 1).then_some((width, height));
        let truth: Vec<Truth> = case.pseudo_gt.into_iter().map(|one| one.truth(image)).collect();
        let miner: Predictions = case.miner.into_iter().map(Frame::predicted).collect();
        let found = detection::judge(&truth, &miner);
        let (labels, palette) =
            (objects::labels(&truth, &miner).mean(), objects::teams(&truth, &miner).mean());
        let found = [
            ("iou", found.iou),
            ("count", found.count),
            ("map50", found.map50),
            ("precision", found.precision),
            ("recall", found.recall),
            ("false_positive", found.false_positive),
            ("palette", palette),
            ("role", f64::midpoint(labels, palette)),
            ("labels", labels),
        ];
        for (pillar, score) in found {
            let expected = case.expected[pillar];
            assert!(
                (score - expected).abs() <= TOLERANCE,
                "case {number}, {pillar}: {score} and not {expected}"
            );
        }
    }
}

#[test]
fn vectors_turbo_scoring_head_smoothness_per_type() {
    #[derive(Deserialize)]
    struct Case {
        frames: Vec<Vec<Object>>,
        image_height: usize,
        image_width: usize,
        smoothness: f64,
    }
    for (number, case) in cases::<Case>("head.smoothness_per_type").into_iter().enumerate() {
        let canvas = Canvas { height: case.image_height, width: case.image_width };
        let frames: Vec<Vec<Detection>> = case.frames.into_iter().map(detections).collect();
        close(smoothness_per_type(&frames, canvas), case.smoothness, number);
    }
}

#[test]
fn vectors_turbo_scoring_head_adaptive_iou_threshold() {
    #[derive(Deserialize)]
    struct Case {
        bbox_2d: [f64; 4],
        image_height: Option<f64>,
        image_width: Option<f64>,
        required_iou: f64,
    }
    for (number, case) in cases::<Case>("head.adaptive_iou_threshold").iter().enumerate() {
        let [x1, y1, x2, y2] = case.bbox_2d;
        let image = case.image_height.unwrap_or(540.0) * case.image_width.unwrap_or(960.0);
        let area = (x2 - x1).max(0.0) * (y2 - y1).max(0.0);
        close(required_iou(area / image), case.required_iou, number);
    }
}

#[test]
fn vectors_turbo_scoring_head_rtf() {
    #[derive(Deserialize)]
    struct Case {
        p95_latency_ms: f64,
        service_rate_fps: f64,
        rtf: Option<f64>,
        pass: Option<bool>,
    }
    for (number, case) in cases::<Case>("head.rtf").iter().enumerate() {
        let found = real_time_factor(case.p95_latency_ms, case.service_rate_fps);
        assert_eq!(found.is_some(), case.rtf.is_some(), "case {number}");
        found.iter().zip(case.rtf).for_each(|(found, expected)| close(*found, expected, number));
        assert_eq!(found.map(keeps_up), case.pass, "case {number}");
    }
}

#[test]
fn vectors_turbo_scoring_head_compliance_p95() {
    #[derive(Deserialize)]
    struct Case {
        latencies_ms: Vec<f64>,
        p95: f64,
    }
    for (number, case) in cases::<Case>("head.compliance_p95").iter().enumerate() {
        close(p95(&case.latencies_ms), case.p95, number);
    }
}

#[test]
fn vectors_turbo_scoring_head_element_weight_score() {
    #[derive(Deserialize)]
    struct Case {
        baseline_theta: f64,
        delta_floor: f64,
        beta: f64,
        score: f64,
        gated: f64,
    }
    for (number, case) in cases::<Case>("head.element_weight_score").iter().enumerate() {
        let gate =
            Gate { baseline_theta: case.baseline_theta, delta_floor: case.delta_floor, beta: case.beta };
        close(gate.apply(case.score), case.gated, number);
    }
}

#[derive(Deserialize)]
struct Private<T, P> {
    ground_truth: T,
    prediction: P,
    score: f64,
    breakdown: BTreeMap<String, f64>,
}

fn same_fields(verdict: &FieldVerdict, score: f64, breakdown: &BTreeMap<String, f64>, case: usize) {
    close(verdict.score, score, case);
    assert_eq!(verdict.fields.len(), breakdown.len(), "case {case}");
    verdict.fields.iter().for_each(|field| close(field.score, breakdown[field.name], case));
}

#[test]
fn vectors_turbo_scoring_head_private_cricket() {
    type Case = Private<Box<Delivery>, Option<Box<Delivery>>>;
    for (number, case) in cases::<Case>("head.private_cricket").iter().enumerate() {
        let verdict = cricket::score(case.prediction.as_deref(), &case.ground_truth);
        same_fields(&verdict, case.score, &case.breakdown, number);
    }
}

#[test]
fn vectors_turbo_scoring_head_private_tcg() {
    for (number, case) in cases::<Private<Grades, Option<Grades>>>("head.private_tcg").iter().enumerate() {
        let verdict = cards::score(case.prediction.as_ref(), &case.ground_truth);
        same_fields(&verdict, case.score, &case.breakdown, number);
    }
}

#[test]
fn vectors_turbo_scoring_head_private_soccer_action() {
    #[derive(Deserialize)]
    struct Case {
        ground_truth: Vec<Event>,
        predictions: Vec<Event>,
        pillar_weights: Option<serde_json::Map<String, Value>>,
        score: f64,
        breakdown: BTreeMap<String, f64>,
    }
    for (number, case) in cases::<Case>("head.private_soccer_action").iter().enumerate() {
        let score = soccer::judge(Era::Head, &case.predictions, &case.ground_truth).score;
        let weights = case.pillar_weights.iter().flatten().map(|(name, weight)| (name.as_str(), weight));
        let weighed = pillars::weigh(score, weights);
        close(weighed.score, case.score, number);
        let found: BTreeMap<String, f64> = weighed.pillars.into_iter().collect();
        assert_eq!(
            found.keys().collect::<Vec<_>>(),
            case.breakdown.keys().collect::<Vec<_>>(),
            "case {number}"
        );
        found.iter().for_each(|(pillar, score)| close(*score, case.breakdown[pillar], number));
    }
}
