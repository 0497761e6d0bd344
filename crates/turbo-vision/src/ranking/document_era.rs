//! The ranking of the document era (section 9.4).

use adit_scoring::keypoints::{self, Sport, Template};
use adit_scoring::objects::{self, BBox, FrameScores};
use adit_scoring::smoothness::{CANVAS, smoothness, transitions};

use super::{DOCUMENT, FrameScore, Gate, Measured, PillarScore, Ranking, Run, keypoints_gate, numbers};
use crate::documents::{self, TeamBoxes};

/// How many frames an answer had to have: those of the whole clip.
pub const FRAMES: usize = 750;

/// The kinds of challenge that validators knew.
const CHALLENGE_TYPES: [&str; 4] = ["football", "soccer", "cricket", "basketball"];

/// Which program reads the answer: the one that ran, or the one that was meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// As it ran: boxes of a team are dropped, and keypoints that were not found are fitted like all others.
    AsItRan,
    /// As it was meant, and as it was mended some days later.
    AsItWasMeant,
}

/// What a challenge of the document era is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DocumentRules<'a> {
    /// How many frames the answer has to have, by number; [`FRAMES`] for validators.
    pub frames: usize,
    /// What kind of challenge it is; validators know four, football among them.
    pub challenge_type: Option<&'a str>,
    /// Which program reads the answer.
    pub reading: Reading,
}

/// Ranks an answer as validators of the document era did: half by objects, half by keypoints.
#[must_use]
pub fn document_era(run: &Run<'_>, rules: DocumentRules<'_>) -> Ranking {
    let team_boxes = match rules.reading {
        Reading::AsItRan => TeamBoxes::Dropped,
        Reading::AsItWasMeant => TeamBoxes::Read,
    };
    let predicted = documents::document_era(run.predictions, team_boxes);
    let points = documents::keypoints(run.predictions);
    let mut gates = vec![
        super::head::success_gate(run),
        Gate::new(
            Gate::FRAMES,
            predicted.len() == rules.frames,
            format!("the answer has {} different frames, {} are asked for", predicted.len(), rules.frames),
        ),
        challenge_gate(rules.challenge_type),
    ];
    gates.extend(keypoints_gate(&points, run.images));
    let measured = gates.iter().all(|gate| gate.open);
    let term = |name: &str, weight: f64, measure: &dyn Fn() -> Measured| {
        PillarScore::new(name, weight, if measured { measure() } else { Measured::shut(&gates) })
    };

    let mean_of = |scores: FrameScores| Measured::by_frame(scores.mean(), run.truth, scores.0);
    let places = objects::places(run.truth, &predicted);
    let markings = || {
        super::keypoints(&points, &Template::new(Sport::Football), run.images, &|template, image, points| {
            match rules.reading {
                Reading::AsItRan => keypoints::score_with_json_lists(template, image, points),
                Reading::AsItWasMeant => keypoints::score(DOCUMENT, template, image, points),
            }
        })
    };
    let stability = || {
        let mut frames: Vec<(i64, Vec<BBox>)> = predicted
            .iter()
            .map(|(number, all)| (*number, all.iter().map(|one| one.bbox).collect()))
            .collect();
        frames.sort_by_key(|(number, _)| *number);
        let boxes = || frames.iter().map(|(_, boxes)| boxes);
        let steps = frames.iter().skip(1).zip(transitions(boxes(), CANVAS));
        let steps = steps.map(|((number, _), score)| FrameScore { number: *number, score, reason: None });
        let reason = (frames.len() < 3).then(|| "it takes three frames to judge".to_owned());
        Measured { score: smoothness(boxes(), CANVAS), reason, frames: steps.collect() }
    };
    let pillars = vec![
        term("bbox_placement", 0.1, &|| mean_of(places.placement.clone())),
        term("categorisation", 0.1, &|| mean_of(objects::labels(run.truth, &predicted))),
        term("team", 0.1, &|| mean_of(objects::teams(run.truth, &predicted))),
        term("enumeration", 0.1, &|| mean_of(places.enumeration.clone())),
        term("tracking_stability", 0.1, &stability),
        term("floor_markings_alignment", 0.5, &markings),
        term("action", 0.0, &|| Measured::plain(0.0, Some("validators did not measure it".to_owned()))),
        term("latency", 0.0, &|| Measured::plain(0.5_f64.powf(run.latency_ms / 1000.0), None)),
    ];

    let objects = pillars[..5].iter().map(|pillar| pillar.score).sum::<f64>() / 5.0;
    let score = 0.5 * objects + 0.5 * pillars[5].score;
    Ranking {
        gates,
        pillars,
        weighted: score,
        worth: score,
        real_time_factor: None,
        latency_ms: run.latency_ms,
        score,
        scored_frames: numbers(run.truth),
    }
}

fn challenge_gate(challenge_type: Option<&str>) -> Gate {
    let named = challenge_type.map(|name| name.trim_matches(adit_python::is_space).to_lowercase());
    let known = named.as_deref().is_some_and(|name| CHALLENGE_TYPES.contains(&name));
    let reason = match &named {
        Some(name) if known => format!("{name} is known"),
        Some(name) => format!("`{name}` is none of {}", CHALLENGE_TYPES.join(", ")),
        None => "the challenge has no type".to_owned(),
    };
    Gate::new(Gate::CHALLENGE_TYPE, known, reason)
}
