//! How sure a model must be of an action for it to be answered.

use std::collections::BTreeMap;

use adit_predictor::{Action, Kind, ModelSpec};
use adit_scoring::soccer::Event;

/// The least confidence of each action, in single precision as models have it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Thresholds {
    /// Of actions that have none of their own, from 0 to 1.
    pub default: f32,
    /// Of single actions, from 0 to 1.
    pub single: BTreeMap<String, f32>,
}

impl Thresholds {
    /// Those of a model; `None` where it sees no actions.
    #[must_use]
    pub fn of_model(spec: &ModelSpec) -> Option<Self> {
        let Kind::Spotting(_, spotting) = &spec.kind else { return None };
        let single = spec.labels.iter().cloned().zip(spotting.thresholds.iter().copied()).collect();
        Some(Self { default: 0.0, single })
    }

    /// The least confidence of an action.
    #[must_use]
    pub fn of(&self, action: &str) -> f32 {
        self.single.get(action).copied().unwrap_or(self.default)
    }

    /// The same with other thresholds for single actions.
    #[must_use]
    pub fn with(&self, single: &BTreeMap<&'static str, f32>) -> Self {
        let mut changed = self.clone();
        changed.single.extend(single.iter().map(|(action, threshold)| ((*action).to_owned(), *threshold)));
        changed
    }

    /// What a model with these thresholds answers.
    pub fn kept(&self, candidates: &[Action]) -> Vec<Event> {
        self.sure(candidates).map(|one| Event::new(one.frame, one.action.clone())).collect()
    }

    /// The candidates that are sure enough.
    pub fn sure<'c>(&self, candidates: &'c [Action]) -> impl Iterator<Item = &'c Action> {
        candidates.iter().filter(|one| one.confidence >= self.of(&one.action).into())
    }
}
