//! The page about a rehearsal: what each pillar earned, frames with the answer drawn over the truth, and a timeline.

use std::io;

use adit_scoring::objects::{Detection, Predictions, Truth, iou};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment};
use serde::Serialize;

use super::{Era, Rehearsal, Round, Rules, Scene};
use crate::documents::{self, TeamBoxes};
use crate::ranking::{Ranking, Reading};

/// Frames that are shown.
const SHOWN: usize = 12;
/// From which IoU on a box is drawn as found.
const FOUND: f64 = 0.3;

/// A shape on a frame, for the page.
#[derive(Debug, Serialize)]
struct Drawn {
    x: i64,
    y: i64,
    width: i64,
    height: i64,
    /// The outline, where there is more than a box: `x,y x,y …`.
    points: Option<String>,
    label: String,
    /// Whether it has a counterpart of its label, of another label, or none.
    fate: Fate,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
enum Fate {
    Right,
    Mislabelled,
    Alone,
}

/// A frame, for the page.
#[derive(Debug, Serialize)]
struct ShownFrame {
    number: i64,
    score: Option<f64>,
    picture: Option<String>,
    truth: Vec<Drawn>,
    answer: Vec<Drawn>,
    /// x and y of each keypoint that was found.
    keypoints: Vec<(f64, f64)>,
}

/// A bar of the timeline.
#[derive(Debug, Serialize)]
struct Bar {
    number: i64,
    score: f64,
    /// Number of objects in the truth and in the answer.
    truth: usize,
    answer: usize,
}

/// What the page is made of.
#[derive(Debug, Serialize)]
struct Page<'a> {
    title: &'a str,
    scene: &'a str,
    width: u32,
    height: u32,
    era: &'static str,
    element: Option<&'a str>,
    ranking: &'a Ranking,
    error: Option<&'a str>,
    /// Score, and latency in milliseconds.
    rounds: Vec<(f64, f64)>,
    /// Median and 95th percentile.
    latency: Option<(f64, f64)>,
    timeline: Vec<Bar>,
    frames: Vec<ShownFrame>,
    passed: bool,
}

/// The page, whole: it needs no other file and no network.
///
/// # Errors
/// Where a picture cannot be encoded.
pub fn html(scene: &Scene, rehearsal: &Rehearsal, rules: Rules<'_>, title: &str) -> io::Result<String> {
    let Some(round) = rehearsal.worst() else { return Ok(String::new()) };
    let predicted = predictions(round, rules);
    let keypoints = match &round.answer {
        Ok(answer) => answer.predictions.as_ref().map(documents::keypoints).unwrap_or_default(),
        Err(_) => Vec::new(),
    };
    let scores = round.ranking.worst_frames();
    let score = |number: i64| scores.iter().find(|(other, _)| *other == number).map(|(_, score)| *score);
    let timeline: Vec<Bar> = scene
        .truth
        .iter()
        .map(|frame| Bar {
            number: frame.number,
            score: score(frame.number).unwrap_or(0.0),
            truth: frame.detections.len(),
            answer: predicted.get(&frame.number).map_or(0, Vec::len),
        })
        .collect();
    let frames: io::Result<Vec<ShownFrame>> = shown(scene, &scores)
        .into_iter()
        .map(|frame| {
            let answer = predicted.get(&frame.number).map_or(&[][..], Vec::as_slice);
            let points = keypoints.iter().find(|(number, _)| *number == frame.number);
            let keypoints = match points {
                Some((_, documents::Keypoints::Points(points))) => {
                    points.iter().copied().filter(|point| *point != (0.0, 0.0)).collect()
                }
                _ => Vec::new(),
            };
            let picture = scene.images.get(&frame.number).map(super::Image::to_png).transpose()?;
            Ok(ShownFrame {
                number: frame.number,
                score: score(frame.number),
                picture: picture.map(|png| STANDARD.encode(png)),
                truth: drawn(&frame.detections, answer),
                answer: drawn(answer, &frame.detections),
                keypoints,
            })
        })
        .collect();
    let frames = frames?;
    let round_of = |round: &Round| (round.ranking.score, round.ranking.latency_ms);
    let page = Page {
        title,
        scene: &scene.name,
        width: scene.width,
        height: scene.height,
        era: match rehearsal.era {
            Era::Document => "the document era",
            Era::Head => "today",
        },
        element: match rules {
            Rules::Head(element) => Some(&element.id),
            Rules::Document(_) => None,
        },
        ranking: &round.ranking,
        error: match &round.answer {
            Ok(answer) => answer.error.as_deref(),
            Err(error) => Some(error),
        },
        rounds: rehearsal.rounds.iter().map(round_of).collect(),
        latency: rehearsal.latency_ms(),
        timeline,
        frames,
        passed: rehearsal.passed(),
    };
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    let rendered = environment
        .add_template("report", include_str!("report.html.j2"))
        .and_then(|()| environment.get_template("report")?.render(Serde(&page)));
    rendered.map_err(io::Error::other)
}

/// The answer as its validators read it.
pub fn predictions(round: &Round, rules: Rules<'_>) -> Predictions {
    let Some(answer) = round.answer.as_ref().ok().and_then(|answer| answer.predictions.as_ref()) else {
        return Predictions::new();
    };
    match rules {
        Rules::Document(rules) => {
            let team_boxes = match rules.reading {
                Reading::AsItRan => TeamBoxes::Dropped,
                Reading::AsItWasMeant => TeamBoxes::Read,
            };
            documents::document_era(answer, team_boxes)
        }
        Rules::Head(element) => documents::head(answer, element.objects.as_deref().unwrap_or_default()),
    }
}

/// The worst frames and, in between, some of the others, in order.
fn shown<'a>(scene: &'a Scene, worst_first: &[(i64, f64)]) -> Vec<&'a Truth> {
    let mut numbers: Vec<i64> = worst_first.iter().take(SHOWN / 2).map(|(number, _)| *number).collect();
    let step = (scene.truth.len() / (SHOWN / 2)).max(1);
    let others = scene.truth.iter().map(|frame| frame.number).step_by(step);
    for number in others.chain(scene.truth.iter().map(|frame| frame.number)) {
        if numbers.len() < SHOWN && !numbers.contains(&number) {
            numbers.push(number);
        }
    }
    scene.truth.iter().filter(|frame| numbers.contains(&frame.number)).collect()
}

fn drawn(these: &[Detection], others: &[Detection]) -> Vec<Drawn> {
    let fate = |one: &Detection| {
        let mut fate = Fate::Alone;
        for near in others.iter().filter(|other| iou(&one.bbox, &other.bbox) >= FOUND) {
            if near.label == one.label {
                return Fate::Right;
            }
            fate = Fate::Mislabelled;
        }
        fate
    };
    these
        .iter()
        .map(|detection| {
            let [left, top, right, bottom] = detection.bbox;
            let points = detection
                .polygon
                .as_ref()
                .map(|points| points.iter().map(|(x, y)| format!("{x},{y}")).collect::<Vec<_>>().join(" "));
            let team = detection.team.as_deref().filter(|team| *team != "other");
            Drawn {
                x: left,
                y: top,
                width: (right.saturating_sub(left)).max(0),
                height: (bottom.saturating_sub(top)).max(0),
                points,
                label: match team {
                    Some(team) => format!("{} {team}", detection.label),
                    None => detection.label.clone(),
                },
                fate: fate(detection),
            }
        })
        .collect()
}
