//! A rehearsal: a challenge that the operator sends to a chute exactly as a validator does, scored as it would be.
//!
//! A [`Scene`] is what is shown, [`rehearse`] shows it, and [`report::html`] is the page about what came back.

pub mod report;
mod scene;
pub mod score_api;

use std::time::Duration;

use adit_manifest::Element;
use adit_scoring::element::p95;
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

use crate::chutes::{Chute, Prediction};
use crate::compliance::{self, Comparison};
use crate::ranking::{self, DocumentRules, FrameLimits, Ranking, Run, Unrankable};

pub use scene::{Image, MAX_FRAME_BYTES, MAX_IMAGES, Scene, SceneError, Shown};

/// Whose requests, and whose reading of the answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Era {
    /// Validators of the guide's time.
    Document,
    /// Validators since.
    Head,
}

/// By which rules an answer is scored.
#[derive(Debug, Clone, Copy)]
pub enum Rules<'a> {
    /// The guide's time.
    Document(DocumentRules<'a>),
    /// Today's, under an element of the Manifest.
    Head(&'a Element),
}

impl Rules<'_> {
    /// Whose rules they are.
    #[must_use]
    pub fn era(&self) -> Era {
        match self {
            Self::Document(_) => Era::Document,
            Self::Head(_) => Era::Head,
        }
    }
}

/// One challenge and its answer.
#[derive(Debug)]
pub struct Round {
    /// What the chute answered, or why there is no answer.
    pub answer: Result<Prediction, String>,
    /// What that is worth.
    pub ranking: Ranking,
}

/// All that came back.
#[derive(Debug)]
pub struct Rehearsal {
    /// Whose rules.
    pub era: Era,
    /// The rounds, in order.
    pub rounds: Vec<Round>,
}

impl Rehearsal {
    /// The round that scored least: what an operator wants to see.
    #[must_use]
    pub fn worst(&self) -> Option<&Round> {
        self.rounds.iter().min_by(|a, b| a.ranking.score.total_cmp(&b.ranking.score))
    }

    /// The latencies of all rounds with an answer, in milliseconds: median and the 95th percentile as validators
    /// count it.
    #[must_use]
    pub fn latency_ms(&self) -> Option<(f64, f64)> {
        let mut all: Vec<f64> = self
            .rounds
            .iter()
            .filter(|round| round.answer.is_ok())
            .map(|round| round.ranking.latency_ms)
            .collect();
        all.sort_by(f64::total_cmp);
        let median = *all.get(all.len().checked_sub(1)? / 2)?;
        Some((median, p95(&all)))
    }

    /// How much the other rounds' answers are like the first, by the rule by which validators run a model again; none
    /// where there is nothing to compare.
    #[must_use]
    pub fn again(&self) -> Option<Comparison> {
        let answered = |round: &Round| round.answer.as_ref().ok()?.predictions.clone();
        let mut answers = self.rounds.iter().filter_map(answered);
        let first = answers.next()?;
        answers
            .map(|other| compliance::compare(&first, &other))
            .min_by(|a, b| a.mean_iou.total_cmp(&b.mean_iou))
    }

    /// Whether every round was answered and measured.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.rounds.iter().all(|round| {
            round.answer.as_ref().is_ok_and(|answer| answer.success)
                && round.ranking.gates.iter().all(|gate| gate.open)
        })
    }
}

/// Why nothing can be rehearsed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RehearsalError {
    /// The element cannot be ranked.
    #[error(transparent)]
    Unrankable(#[from] Unrankable),
    /// A frame of the scene cannot be sent.
    #[error("cannot encode a frame: {0}")]
    Encode(#[from] std::io::Error),
}

/// Shows the scene `rounds` times and ranks each answer. `warm_up` is called where the chute is cold.
///
/// # Errors
/// Where nothing can be asked or ranked at all. A chute that does not answer is no error but a round without an answer.
pub async fn rehearse<F: Future<Output = ()>>(
    chute: &Chute,
    scene: &Scene,
    rules: Rules<'_>,
    rounds: u32,
    patience: Duration,
    mut warm_up: impl FnMut() -> F,
) -> Result<Rehearsal, RehearsalError> {
    let era = rules.era();
    let request = scene.request(era)?;
    let mut done = Vec::new();
    for _ in 0..rounds {
        let answer = chute.predict(&request, Instant::now() + patience, &mut warm_up).await;
        let answer = answer.map_err(|error| format!("{error} ({})", error.hint()));
        let nothing = Value::Null;
        let (predictions, success, latency) = match &answer {
            Ok(answer) => {
                let latency = if era == Era::Document { answer.since_first } else { answer.of_attempt };
                (answer.predictions.as_ref().unwrap_or(&nothing), answer.success, latency)
            }
            Err(_) => (&nothing, false, Duration::ZERO),
        };
        let run = Run {
            truth: &scene.truth,
            predictions,
            success,
            latency_ms: latency.as_secs_f64() * 1000.0,
            images: &scene.frames,
        };
        let ranking = match rules {
            Rules::Document(rules) => ranking::document_era(&run, rules),
            Rules::Head(element) => {
                let limits = FrameLimits { least: scene.least(era), most: Some(scene.total) };
                ranking::head(&run, element, limits)?
            }
        };
        done.push(Round { answer, ranking });
    }
    Ok(Rehearsal { era, rounds: done })
}
