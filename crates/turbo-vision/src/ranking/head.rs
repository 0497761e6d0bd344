//! Today's ranking, under an element of the Manifest (section 9.5).

use std::cell::OnceCell;

use adit_manifest::{Category, Element, KeypointTemplate, Pillar};
use adit_scoring::detection::{self, Pillars};
use adit_scoring::element::{self, keeps_up, real_time_factor};
use adit_scoring::keypoints::{self, Sport, Template};
use adit_scoring::objects::{self, Detection, FrameScores, Predictions, Truth};
use adit_scoring::smoothness::{CANVAS, smoothness_per_type};

use super::{Gate, HEAD, Measured, NO_TRUTH, PillarScore, Ranking, Run, Unrankable, keypoints_gate, numbers};
use crate::documents;

/// How many frames a challenge asks for; what its `meta` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameLimits {
    /// `min_frames_required`; validators take none and 0 for 1.
    pub least: Option<usize>,
    /// `n_frames_total`; none and 0 set no limit.
    pub most: Option<usize>,
}

/// Ranks an answer as validators of today do.
///
/// # Errors
/// [`Unrankable`] for an element under which the validators' program fails whatever a miner answers.
pub fn head(run: &Run<'_>, element: &Element, limits: FrameLimits) -> Result<Ranking, Unrankable> {
    let category = element.category().filter(|_| !element.is_private());
    let category = category.ok_or_else(|| Unrankable::Private(element.id.clone()))?;
    let template = template(element, category)?;
    let points = documents::keypoints(run.predictions);

    let mut gates = vec![success_gate(run), frames_gate(run, limits)];
    if template.is_some() {
        gates.extend(keypoints_gate(&points, run.images));
    }
    let measured = gates.iter().all(|gate| gate.open);

    let frames = FramesOf::new(run, element.objects.as_deref().unwrap_or_default());
    let pillars = element.pillars().map(|(pillar, weight)| {
        let measure = || match (pillar, &template) {
            (Pillar::KeypointsIou | Pillar::Iou, Some(template))
                if pillar == Pillar::KeypointsIou || category == Category::PitchCalib =>
            {
                super::keypoints(&points, template, run.images, &|template, image, points| {
                    keypoints::score(HEAD, template, image, points)
                })
            }
            _ => frames.measure(pillar),
        };
        let measured = if measured { measure() } else { Measured::shut(&gates) };
        PillarScore::new(pillar.to_string(), weight, measured)
    });
    let pillars: Vec<PillarScore> = pillars.collect();

    let weighted = pillars.iter().map(|pillar| pillar.contribution).sum();
    let gate = element::Gate {
        baseline_theta: element.baseline_theta,
        delta_floor: element.delta_floor,
        beta: element.beta,
    };
    let worth = if measured { gate.apply(weighted) } else { 0.0 };

    let rate = element.service_rate_fps.map(|rate| rate as f64);
    let real_time_factor = rate.and_then(|rate| real_time_factor(run.latency_ms, rate));
    let in_time = real_time_factor.is_none_or(keeps_up);
    gates.push(Gate::new(
        Gate::LATENCY,
        in_time,
        match (real_time_factor, rate) {
            (Some(factor), Some(rate)) => format!(
                "{:.0} ms are {factor:.3} of what {rate} frames a second allow ({:.0} ms)",
                run.latency_ms,
                run.latency_ms / factor.max(f64::MIN_POSITIVE)
            ),
            _ => "the element sets no rate that could be missed".to_owned(),
        },
    ));
    Ok(Ranking {
        score: if in_time { worth } else { 0.0 },
        gates,
        pillars,
        weighted,
        worth,
        real_time_factor,
        latency_ms: run.latency_ms,
        scored_frames: numbers(run.truth),
    })
}

/// Whether validators have every pillar that the element asks for; and the template of its keypoints, where it asks for
/// them.
fn template(element: &Element, category: Category) -> Result<Option<Template>, Unrankable> {
    use Pillar as P;
    let mut with_keypoints = false;
    for (pillar, _) in element.pillars() {
        let known = match category {
            Category::PitchCalib => pillar == P::Iou,
            Category::Detect | Category::PlayerDetect => match pillar {
                P::Iou
                | P::Count
                | P::Smoothness
                | P::Map50
                | P::Precision
                | P::Recall
                | P::FalsePositive => true,
                P::Palette | P::Role | P::KeypointsIou => category == Category::PlayerDetect,
                P::SoccerAction | P::CricketScoring | P::TcgGrading => false,
            },
            Category::Track | Category::ClassifyImage | Category::ClassifyObject => false,
        };
        if !known {
            return Err(Unrankable::NoSuchPillar { element: element.id.clone(), category, pillar });
        }
        with_keypoints |= pillar == P::KeypointsIou || category == Category::PitchCalib;
    }
    match element.keypoint_template {
        _ if !with_keypoints => Ok(None),
        Some(KeypointTemplate::Football) => Ok(Some(Template::new(Sport::Football))),
        Some(KeypointTemplate::Cricket) => Ok(Some(Template::new(Sport::Cricket))),
        template => Err(Unrankable::NoTemplate { element: element.id.clone(), template }),
    }
}

pub(super) fn success_gate(run: &Run<'_>) -> Gate {
    let reason = if run.success { "the answer is a success" } else { "the answer says that it failed" };
    Gate::new(Gate::SUCCESS, run.success, reason)
}

fn frames_gate(run: &Run<'_>, limits: FrameLimits) -> Gate {
    // What is in the list counts, readable or not.
    let count = run.predictions.get("frames").and_then(|frames| frames.as_array()).map_or(0, Vec::len);
    let least = limits.least.filter(|least| *least > 0).unwrap_or(1);
    let most = limits.most.filter(|most| *most > 0);
    let open = count >= least && most.is_none_or(|most| count <= most);
    let asked = match most {
        Some(most) => format!("{least} to {most} are"),
        None => format!("{least} or more are"),
    };
    Gate::new(Gate::FRAMES, open, format!("the answer has {count} frames, {asked} asked for"))
}

/// What is in the frames, and what was found once it has been looked for.
struct FramesOf<'a> {
    truth: Vec<Truth>,
    predicted: Predictions,
    run: &'a Run<'a>,
    pillars: OnceCell<Pillars>,
}

impl<'a> FramesOf<'a> {
    fn new(run: &'a Run<'a>, objects: &[String]) -> Self {
        let mut truth = run.truth.to_vec();
        for frame in &mut truth {
            // The image that the miner was sent goes before what the truth knows of its own.
            let size = run.images.get(&frame.number).and_then(|image| {
                let (width, height) = image.size();
                Some((u32::try_from(width).ok()?, u32::try_from(height).ok()?))
            });
            frame.image = size.or(frame.image);
        }
        Self { truth, predicted: documents::head(run.predictions, objects), run, pillars: OnceCell::new() }
    }

    fn measure(&self, pillar: Pillar) -> Measured {
        let pillars = || self.pillars.get_or_init(|| detection::judge(&self.truth, &self.predicted));
        match pillar {
            Pillar::Iou => self.by_frame(pillars().iou, |frame| frame.iou),
            Pillar::Count => self.by_frame(pillars().count, |frame| frame.count),
            Pillar::Map50 => Measured::plain(pillars().map50, self.found()),
            Pillar::Precision => Measured::plain(pillars().precision, self.found()),
            Pillar::Recall => Measured::plain(pillars().recall, self.found()),
            Pillar::FalsePositive => Measured::plain(pillars().false_positive, self.found()),
            Pillar::Smoothness => self.smoothness(),
            Pillar::Palette => self.mean_of(objects::teams(&self.truth, &self.predicted)),
            Pillar::Role => {
                let labels = objects::labels(&self.truth, &self.predicted);
                let teams = objects::teams(&self.truth, &self.predicted);
                let frames = labels.0.iter().zip(&teams.0).map(|(one, other)| f64::midpoint(*one, *other));
                let score = f64::midpoint(labels.mean(), teams.mean());
                Measured::by_frame(score, self.run.truth, frames)
            }
            // `template` lets none of these through.
            Pillar::KeypointsIou | Pillar::SoccerAction | Pillar::CricketScoring | Pillar::TcgGrading => {
                Measured::default()
            }
        }
    }

    fn by_frame(&self, score: f64, part: fn(&detection::FrameFindings) -> f64) -> Measured {
        let frames = self.pillars.get().map_or(&[][..], |pillars| &pillars.frames);
        Measured::by_frame(score, self.run.truth, frames.iter().map(part))
    }

    fn mean_of(&self, scores: FrameScores) -> Measured {
        Measured::by_frame(scores.mean(), self.run.truth, scores.0)
    }

    /// What the pillars over classes come from.
    fn found(&self) -> Option<String> {
        let frames = &self.pillars.get()?.frames;
        if frames.is_empty() {
            return Some(NO_TRUTH.to_owned());
        }
        let sum = |part: fn(&detection::FrameFindings) -> usize| frames.iter().map(part).sum::<usize>();
        let (found, wrong, missed) =
            (sum(|frame| frame.found), sum(|frame| frame.wrong), sum(|frame| frame.missed));
        (wrong + missed > 0).then(|| format!("{found} found, {wrong} wrong, {missed} missed"))
    }

    /// Over the boxes of every frame that the miner answered with; polygons have no part in it.
    fn smoothness(&self) -> Measured {
        let mut frames: Vec<(&i64, &Vec<Detection>)> = self.predicted.iter().collect();
        frames.sort_by_key(|(number, _)| **number);
        let score = smoothness_per_type(frames.iter().map(|(_, all)| *all), CANVAS);
        let has_box = |all: &[Detection]| all.iter().any(|one| one.polygon.is_none());
        let with_boxes = frames.iter().filter(|(_, all)| has_box(all)).count();
        let reason = match with_boxes {
            0 => Some("no boxes".to_owned()),
            1 | 2 => Some(format!("boxes in {with_boxes} frames only; it takes three of a kind to judge")),
            _ => None,
        };
        Measured::plain(score, reason)
    }
}
