//! What a validator makes of one answered challenge (Turbo Vision reference, sections 9.4 to 9.6): the same numbers, and
//! beside them what it keeps to itself: why something is 0, and what each frame earned.
//!
//! [`head`] is today's ranking under an element of the Manifest, [`document_era`] that of the open track's first weeks.
//! Both start from what the chute answered with, as [`crate::documents`] reads it.

mod document_era;
mod head;

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroUsize;

use adit_manifest::{Category, KeypointTemplate, Pillar};
use adit_scoring::keypoints::{Frame, Template, Verdict};
use adit_scoring::objects::Truth;
use adit_scoring::soccer::Era;
use serde::Serialize;
use serde_json::Value;

use crate::documents::Keypoints;

pub use document_era::{DocumentRules, FRAMES, Reading, document_era};
pub use head::{FrameLimits, head};

/// One answered challenge.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// What is in the frames.
    pub truth: &'a [Truth],
    /// The `predictions` of the answer; null where there are none.
    pub predictions: &'a Value,
    /// Whether the answer says that it is a success.
    pub success: bool,
    /// How long the answer took, in milliseconds; validators take this one number for every percentile.
    pub latency_ms: f64,
    /// The frames' images by number, as far as there are any: keypoints are worth nothing without.
    pub images: &'a BTreeMap<i64, Frame>,
}

/// A challenge's score with all that went into it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ranking {
    /// What was asked of the answer before anything is measured, and of its time afterwards.
    pub gates: Vec<Gate>,
    /// What was measured, in the order in which validators report it.
    pub pillars: Vec<PillarScore>,
    /// The sum of the pillars' contributions, from 0 to 1.
    pub weighted: f64,
    /// What the element makes of it: less its baseline, at least its floor, times its factor. In the document era
    /// `weighted` itself.
    pub worth: f64,
    /// The time over what the element allows; none where it sets no rate, and in the document era.
    pub real_time_factor: Option<f64>,
    /// In milliseconds, as measured.
    pub latency_ms: f64,
    /// What a validator writes down: `worth`, or 0 where a gate is shut.
    pub score: f64,
    /// The numbers of the frames of the truth.
    pub scored_frames: Vec<i64>,
}

impl Ranking {
    /// Whether anything was measured: every gate but that of time is open.
    #[must_use]
    pub fn is_measured(&self) -> bool {
        self.gates.iter().all(|gate| gate.open || gate.name == Gate::LATENCY)
    }

    /// The frames that earned least, the worst first: the mean over the pillars that know single frames, each by its
    /// weight.
    #[must_use]
    pub fn worst_frames(&self) -> Vec<(i64, f64)> {
        let mut sums: BTreeMap<i64, (f64, f64)> = BTreeMap::new();
        for pillar in self.pillars.iter().filter(|pillar| pillar.weight > 0.0) {
            for frame in &pillar.frames {
                let (sum, weight) = sums.entry(frame.number).or_default();
                *sum += frame.score * pillar.weight;
                *weight += pillar.weight;
            }
        }
        let mut frames: Vec<(i64, f64)> =
            sums.into_iter().map(|(number, (sum, weight))| (number, sum / weight)).collect();
        frames.sort_by(|one, other| one.1.total_cmp(&other.1));
        frames
    }
}

/// A condition of which a score hangs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Gate {
    /// Its name, one of the constants.
    pub name: &'static str,
    /// Whether it is met.
    pub open: bool,
    /// What was found, and what is asked.
    pub reason: String,
}

impl Gate {
    /// Whether the answer says that it is a success.
    pub const SUCCESS: &'static str = "success";
    /// Whether it has as many frames as are asked for.
    pub const FRAMES: &'static str = "frames";
    /// Whether the kind of challenge is known; document era only.
    pub const CHALLENGE_TYPE: &'static str = "challenge type";
    /// Whether the validator's program survives the answer's keypoints.
    pub const KEYPOINTS: &'static str = "keypoints";
    /// Whether it came in time; today only.
    pub const LATENCY: &'static str = "latency";

    fn new(name: &'static str, open: bool, reason: impl Into<String>) -> Self {
        Self { name, open, reason: reason.into() }
    }
}

/// What one pillar earned.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PillarScore {
    /// As validators report it.
    pub name: String,
    /// From 0 to 1.
    pub score: f64,
    /// Its part of the whole; 0 for what is only reported.
    pub weight: f64,
    /// Score times weight.
    pub contribution: f64,
    /// Why the score is 0, or what most of a loss comes from, where that can be said.
    pub reason: Option<String>,
    /// What single frames earned, where the pillar is a mean over frames.
    pub frames: Vec<FrameScore>,
}

impl PillarScore {
    fn new(name: impl Into<String>, weight: f64, measured: Measured) -> Self {
        let Measured { score, reason, frames } = measured;
        Self { name: name.into(), score, weight, contribution: score * weight, reason, frames }
    }

    /// What is missing to the whole weight.
    #[must_use]
    pub fn lost(&self) -> f64 {
        self.weight - self.contribution
    }
}

/// What one frame earned.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FrameScore {
    /// The frame's number.
    pub number: i64,
    /// From 0 to 1.
    pub score: f64,
    /// Why it is 0, where that can be said.
    pub reason: Option<String>,
}

/// Why an element cannot be ranked by anyone: a validator's program ends with an error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unrankable {
    /// Validators have no such measure.
    #[error(
        "element {element}: validators have no pillar `{pillar}` for {category}, so nobody gets a score; choose \
         another element, or tell Score"
    )]
    NoSuchPillar {
        /// Its id.
        element: String,
        /// The kind of element.
        category: Category,
        /// What it asks for.
        pillar: Pillar,
    },
    /// The element asks for keypoints of a field that validators do not know.
    #[error(
        "element {element}: its keypoint_template is {}, and validators have one for football and cricket only, so \
         nobody gets a score; choose another element, or tell Score",
        template.map_or_else(|| "not set".to_owned(), |template| template.to_string())
    )]
    NoTemplate {
        /// Its id.
        element: String,
        /// What it names.
        template: Option<KeypointTemplate>,
    },
    /// The element is of the private track, or its kind has no pillars here.
    #[error(
        "element {0} is of the private track, which is scored by other rules; choose one of the open track"
    )]
    Private(String),
}

/// A pillar before it has a name and a weight.
#[derive(Debug, Default)]
struct Measured {
    score: f64,
    reason: Option<String>,
    frames: Vec<FrameScore>,
}

impl Measured {
    fn plain(score: f64, reason: Option<String>) -> Self {
        Self { score, reason, frames: Vec::new() }
    }

    /// A mean over the frames of the truth.
    fn by_frame(score: f64, truth: &[Truth], frames: impl IntoIterator<Item = f64>) -> Self {
        let frame = |(frame, score): (&Truth, f64)| FrameScore { number: frame.number, score, reason: None };
        let frames: Vec<FrameScore> = truth.iter().zip(frames).map(frame).collect();
        let empty = frames.iter().filter(|frame| frame.score == 0.0).count();
        let reason = match empty {
            _ if frames.is_empty() => Some(NO_TRUTH.to_owned()),
            0 => None,
            _ => Some(format!("nothing right in {empty} of {} frames", frames.len())),
        };
        Self { score, reason, frames }
    }

    /// Nothing, since a gate is shut.
    fn shut(gates: &[Gate]) -> Self {
        let gate = gates.iter().find(|gate| !gate.open);
        Self::plain(0.0, gate.map(|gate| format!("not measured: {}", gate.reason)))
    }
}

const NO_TRUTH: &str = "the truth has no frames";

/// How a frame's keypoints are scored.
type Judge<'a> = &'a (dyn Fn(&Template, &Frame, &[(f64, f64)]) -> Verdict + Sync);

/// The mean over the frames that the miner answered with, whether the truth has them or not.
fn keypoints(
    frames: &[(i64, Keypoints)],
    template: &Template,
    images: &BTreeMap<i64, Frame>,
    judge: Judge<'_>,
) -> Measured {
    let wanted = template.points().len();
    let score = |(number, keypoints): &(i64, Keypoints)| {
        let none = |why: &str| FrameScore { number: *number, score: 0.0, reason: Some(why.to_owned()) };
        let Some(image) = images.get(number) else { return none("there is no image of the frame") };
        match keypoints {
            Keypoints::Points(points) if points.is_empty() => none("no keypoints"),
            Keypoints::Points(points) if points.len() != wanted => {
                none(&format!("{} keypoints, where {wanted} are asked for", points.len()))
            }
            Keypoints::Points(points) => {
                let verdict = judge(template, image, points);
                let reason = verdict.reject.map(|reject| reject.to_string());
                FrameScore { number: *number, score: verdict.score, reason }
            }
            Keypoints::Unreadable(_) | Keypoints::Uncountable => {
                none("keypoints that are no pairs of numbers")
            }
        }
    };
    if frames.is_empty() {
        return Measured::plain(0.0, Some("the answer has no frames".to_owned()));
    }
    // A whole clip's frames take minutes one by one, and none depends on another.
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let parts = frames.chunks(frames.len().div_ceil(threads));
    let frames: Vec<FrameScore> = std::thread::scope(|scope| {
        let working: Vec<_> =
            parts.map(|part| scope.spawn(|| part.iter().map(score).collect::<Vec<_>>())).collect();
        let done = working.into_iter().map(|part| part.join().expect("a score does not panic"));
        done.flatten().collect()
    });
    let mean = frames.iter().map(|frame| frame.score).sum::<f64>() / frames.len() as f64;
    Measured { score: mean, reason: most_frequent(&frames), frames }
}

/// The reason that most frames have, with their number.
fn most_frequent(frames: &[FrameScore]) -> Option<String> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for reason in frames.iter().filter_map(|frame| frame.reason.as_deref()) {
        *counts.entry(reason).or_default() += 1;
    }
    let (reason, count) = counts.into_iter().max_by_key(|(reason, count)| (*count, *reason))?;
    Some(format!("{reason} (in {count} of {} frames)", frames.len()))
}

/// Whether the validators' program gets over the keypoints: it counts them where it has the frame's image.
fn keypoints_gate(frames: &[(i64, Keypoints)], images: &BTreeMap<i64, Frame>) -> Option<Gate> {
    let breaks = |(number, keypoints): &&(i64, Keypoints)| {
        *keypoints == Keypoints::Uncountable && images.contains_key(number)
    };
    let (number, _) = frames.iter().find(breaks)?;
    let reason = format!(
        "the keypoints of frame {number} are null, which ends the validators' program without a score; answer with \
         an empty list"
    );
    Some(Gate::new(Gate::KEYPOINTS, false, reason))
}

fn numbers(truth: &[Truth]) -> Vec<i64> {
    truth.iter().map(|frame| frame.number).collect()
}

/// The scoring crate names the eras after the soccer challenge that it met first.
const HEAD: Era = Era::Head;
const DOCUMENT: Era = Era::DocumentEra;
