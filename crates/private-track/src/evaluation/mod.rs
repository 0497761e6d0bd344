//! The metric of one's own model: labelled clips, answered as challenges are, scored as validators score.
//!
//! [`folder`] finds the clips and reads their labels, [`run`] has the model answer each, [`figures`] says how good
//! the answers are at given thresholds, [`sweep`] which thresholds would be better, and [`report`] draws it all on a
//! page. All of it together is an [`Evaluation`].

pub mod figures;
pub mod folder;
mod labels;
pub mod report;
pub mod run;
pub mod sweep;
mod thresholds;

use std::collections::BTreeMap;

use adit_predictor::Action;
use adit_scoring::soccer::{Era, Event, actions};

pub use labels::{Mapping, MappingError};
pub use thresholds::Thresholds;

use self::figures::{Figures, figures};
use self::folder::Problem;
use self::run::Examined;
use self::sweep::{Tuned, held_out, tune};

/// A clip with its truth and all that the model saw in it, however unsure.
#[derive(Debug, Clone, PartialEq)]
pub struct Clip {
    /// Its path in the folder.
    pub name: String,
    /// How many frames it has.
    pub frames: u64,
    /// Frames a second, on average; 0 where the clip does not say.
    pub rate: f64,
    /// What happens in it, under Score's names; at least one action that today's validators score.
    pub truth: Vec<Event>,
    /// What the model answered, in its order.
    pub candidates: Vec<Action>,
    /// How long the answer took, in seconds.
    pub took_s: f64,
}

/// What became of a folder of clips.
#[derive(Debug)]
pub struct Evaluation {
    /// Those that were answered.
    pub clips: Vec<Clip>,
    /// What is in the folder and took no part.
    pub problems: Vec<Problem>,
    /// What of the labels was left out although its clip took part.
    pub warnings: Vec<Problem>,
    /// How often each label was met that means no action of Score's.
    pub not_scored: BTreeMap<String, usize>,
    /// The thresholds that the model has.
    pub thresholds: Thresholds,
    /// How good it is with them.
    pub now: Figures,
    /// What better ones would do, where there is anything that they could tell apart.
    pub tuned: Option<Tuning>,
}

/// What better thresholds would do.
#[derive(Debug)]
pub struct Tuning {
    /// What the sweep came to.
    pub sweep: Tuned,
    /// The model's thresholds with these in place of its own.
    pub thresholds: Thresholds,
    /// How good it is with them.
    pub figures: Figures,
    /// The mean score on clips that thresholds were not chosen by, where there are enough clips.
    pub held_out: Option<HeldOut>,
    /// Actions whose thresholds rest on fewer than [`FEW`] labels.
    pub few: Vec<&'static str>,
}

/// A cross-validation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeldOut {
    /// Into how many parts the clips went.
    pub folds: usize,
    /// The mean score, from 0 to 1.
    pub score: f64,
}

/// A threshold that fewer labels than this speak for may owe itself to chance.
pub const FEW: usize = 10;

impl Evaluation {
    /// Of what was examined. `thresholds` are those that the model has: its candidates may be less sure. Fewer clips
    /// than `folds` make as many folds as there are clips; fewer than 2 make none.
    #[must_use]
    pub fn new(
        examined: Vec<Examined>,
        mut problems: Vec<Problem>,
        thresholds: Thresholds,
        folds: usize,
    ) -> Self {
        let (mut clips, mut warnings, mut not_scored) = (Vec::new(), Vec::new(), BTreeMap::new());
        for one in examined {
            warnings.extend(one.warnings);
            for (label, count) in one.not_scored {
                *not_scored.entry(label).or_default() += count;
            }
            match one.clip {
                Ok(clip) => clips.push(clip),
                Err(problem) => problems.push(problem),
            }
        }
        problems.sort_by(|one, other| one.file.cmp(&other.file));
        let now = figures(&clips, &thresholds);
        let tuned = Tuning::new(&clips, &thresholds, folds);
        Self { clips, problems, warnings, not_scored, thresholds, now, tuned }
    }
}

impl Tuning {
    fn new(clips: &[Clip], start: &Thresholds, folds: usize) -> Option<Self> {
        let all: Vec<&Clip> = clips.iter().collect();
        let sweep = tune(&all, start);
        if sweep.thresholds.is_empty() {
            return None;
        }
        let thresholds = start.with(&sweep.thresholds);
        let folds = folds.min(clips.len());
        let held_out = held_out(&all, start, folds).map(|score| HeldOut { folds, score });
        let figures = figures(clips, &thresholds);
        let labels = |action: &str| {
            clips.iter().flat_map(|clip| &clip.truth).filter(|row| row.action == action).count()
        };
        let tuned = actions(Era::Head)
            .iter()
            .map(|rule| rule.name)
            .filter(|name| sweep.thresholds.contains_key(name));
        let few = tuned.filter(|name| labels(name) < FEW).collect();
        Some(Self { thresholds, figures, held_out, few, sweep })
    }
}
