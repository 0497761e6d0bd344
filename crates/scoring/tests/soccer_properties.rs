//! What holds for every soccer verdict.

use adit_scoring::soccer::{Era, Event, Prediction, actions, judge};
use proptest::prelude::*;

fn eras() -> impl Strategy<Value = Era> {
    prop_oneof![Just(Era::DocumentEra), Just(Era::Head)]
}

/// Events over few frames, so that they meet, with some unknown actions and some huge frames.
fn events() -> impl Strategy<Value = Vec<Event>> {
    let known = (0..actions(Era::DocumentEra).len()).prop_map(|at| actions(Era::DocumentEra)[at].name);
    let action = prop_oneof![8 => known, 1 => Just("dribble"), 1 => Just("Pass")];
    let frame = prop_oneof![9 => 0u128..400, 1 => any::<u128>()];
    prop::collection::vec((frame, action).prop_map(|(frame, action)| Event::new(frame, action)), 0..25)
}

proptest! {
    #[test]
    fn a_score_lies_between_0_and_1(era in eras(), predictions in events(), truth in events()) {
        let score = judge(era, &predictions, &truth).score;
        prop_assert!((0.0..=1.0).contains(&score), "{}", score);
    }

    #[test]
    fn predicting_exactly_the_truth_scores_1(era in eras(), mut truth in events()) {
        truth.retain(|event| actions(era).iter().any(|rule| rule.name == event.action));
        prop_assume!(!truth.is_empty());
        prop_assert!((judge(era, &truth, &truth).score - 1.0).abs() < 1e-12);
    }

    #[test]
    fn predicting_an_unknown_action_changes_nothing(
        era in eras(), mut predictions in events(), truth in events(), frame in any::<u64>(), at in any::<prop::sample::Index>(),
    ) {
        let before = judge(era, &predictions, &truth);
        let at = at.index(predictions.len() + 1);
        predictions.insert(at, Event::new(frame, "dribble"));
        let after = judge(era, &predictions, &truth);
        prop_assert_eq!(before.score, after.score);
        prop_assert_eq!((before.matched, before.penalty), (after.matched, after.penalty));
        prop_assert_eq!(after.predictions[at], Prediction::Ignored);
    }

    #[test]
    fn each_row_of_truth_is_taken_at_most_once(era in eras(), predictions in events(), truth in events()) {
        let verdict = judge(era, &predictions, &truth);
        let mut taken: Vec<usize> = verdict.predictions.iter().filter_map(|outcome| match outcome {
            Prediction::Matched { truth, .. } => Some(*truth),
            _ => None,
        }).collect();
        let matches = taken.len();
        taken.sort_unstable();
        taken.dedup();
        prop_assert_eq!(taken.len(), matches);
    }
}
