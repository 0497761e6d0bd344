//! Which threshold of each action gives the highest mean score.
//!
//! Actions do not touch each other before the sum: what one of them earns in a clip depends on its own threshold
//! alone. So each action is a [`Ladder`] of confidences, and each rung says what it adds to which clip. Only the clamp
//! of a clip's score at 0 and 1 ties them together, which is why the best rungs are climbed to, one action at a time
//! and from several starts.

use std::collections::BTreeMap;

use adit_predictor::Action;
use adit_scoring::soccer::{ActionRule, Era, Event, FRAME_RATE, actions, judge};

use super::{Clip, Thresholds};

/// Scores that differ by less are the same.
const SAME: f64 = 1e-9;
/// Rounds over all actions. Each one raises the score, so few are ever needed.
const MOST_ROUNDS: usize = 50;

/// What a sweep came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Tuned {
    /// A threshold for each action that the model answered anywhere with a confidence that a threshold can tell apart.
    pub thresholds: BTreeMap<&'static str, f32>,
    /// Of each of these, the mean score by its threshold while the others stay as tuned.
    pub curves: BTreeMap<&'static str, Vec<Tread>>,
}

/// Thresholds between which the score is the same.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tread {
    /// The threshold lies above this one,
    pub above: f64,
    /// and is at most this one.
    pub up_to: f64,
    /// The mean score over the clips, from 0 to 1.
    pub score: f64,
}

/// What one confidence of an action adds to one clip, in points.
#[derive(Debug)]
struct Rung {
    confidence: f64,
    clip: usize,
    points: f64,
}

/// An action's rungs, from the surest down. A threshold takes the first few of its levels.
struct Ladder {
    action: &'static str,
    rungs: Vec<Rung>,
    /// The confidences without repetition, falling.
    levels: Vec<f64>,
}

/// Finds the thresholds with the highest mean score that climbing reaches; never worse than `start`. Every clip has
/// truth that is scored.
#[must_use]
pub fn tune(clips: &[&Clip], start: &Thresholds) -> Tuned {
    let ladders: Vec<Ladder> = actions(Era::Head).iter().map(|rule| Ladder::new(rule, clips)).collect();
    let sweep = Sweep { weights: clips.iter().map(|clip| weight(&clip.truth)).collect(), ladders: &ladders };
    let each = |level: &dyn Fn(&Ladder) -> usize| ladders.iter().map(level).collect::<Vec<usize>>();
    let starts = [
        sweep.unclamped(),
        each(&|ladder| ladder.levels_at(start.of(ladder.action))),
        each(&Ladder::fewest),
        each(&|ladder| ladder.levels.len()),
    ];
    let climbed = starts.into_iter().map(|taken| sweep.climb(taken));
    let best = climbed.reduce(|best, other| if other.0.better_than(best.0) { other } else { best });
    let tuned = sweep.settle(best.map(|(_, taken)| taken).unwrap_or_default());
    // The sums above are grouped otherwise than a validator's, whose last digit decides here.
    if mean_score(clips, &start.with(&tuned.thresholds)) < mean_score(clips, start) {
        let stay = tuned.thresholds.keys().map(|action| (*action, start.of(action))).collect();
        return Tuned { thresholds: stay, ..tuned };
    }
    tuned
}

/// The mean score on clips that the thresholds were not chosen by: every `folds`-th clip is left out in turn.
/// `None` where there are fewer clips than folds, or fewer than two folds.
#[must_use]
pub fn held_out(clips: &[&Clip], start: &Thresholds, folds: usize) -> Option<f64> {
    if folds < 2 || clips.len() < folds {
        return None;
    }
    let mut sum = 0.0;
    for fold in 0..folds {
        let of = |held: bool| -> Vec<&Clip> {
            let numbered = clips.iter().enumerate();
            numbered.filter(|(number, _)| (number % folds == fold) == held).map(|(_, clip)| *clip).collect()
        };
        let tuned = start.with(&tune(&of(false), start).thresholds);
        let held = of(true);
        sum += mean_score(&held, &tuned) * held.len() as f64;
    }
    Some(sum / clips.len() as f64)
}

/// The mean of today's scores over the clips, as a validator averages; 0 without clips.
#[must_use]
pub fn mean_score(clips: &[&Clip], thresholds: &Thresholds) -> f64 {
    let score = |clip: &&Clip| judge(Era::Head, &thresholds.kept(&clip.candidates), &clip.truth).score;
    if clips.is_empty() { 0.0 } else { clips.iter().map(score).sum::<f64>() / clips.len() as f64 }
}

fn weight(truth: &[Event]) -> f64 {
    judge(Era::Head, &[], truth).total_weight
}

/// Means over the clips.
#[derive(Debug, Clone, Copy)]
struct Mean {
    /// What validators give, from 0 to 1.
    score: f64,
    /// The same without the clamp. A clip far below 0 earns nothing whatever is left out of its answer; but then less
    /// of what is wrong is still better, and another clip may not be as far below.
    unclamped: f64,
}

impl Mean {
    fn same(self, other: Self) -> bool {
        (self.score - other.score).abs() <= SAME && (self.unclamped - other.unclamped).abs() <= SAME
    }

    fn better_than(self, other: Self) -> bool {
        let equal = (self.score - other.score).abs() <= SAME;
        if equal { self.unclamped > other.unclamped + SAME } else { self.score > other.score }
    }
}

struct Sweep<'a> {
    /// Of the truth of each clip, in points.
    weights: Vec<f64>,
    ladders: &'a [Ladder],
}

impl Sweep<'_> {
    /// What each clip has from all actions but one, in points.
    fn others(&self, taken: &[usize], but: usize) -> Vec<f64> {
        let mut points = vec![0.0; self.weights.len()];
        for (number, (ladder, taken)) in self.ladders.iter().zip(taken).enumerate() {
            if number != but {
                ladder.taken(*taken).for_each(|rung| points[rung.clip] += rung.points);
            }
        }
        points
    }

    /// The means with 0, 1, 2, … levels of an action on top of what the others give.
    fn means(&self, ladder: &Ladder, mut points: Vec<f64>) -> Vec<Mean> {
        let clips = self.weights.len().max(1) as f64;
        let parts = points.iter().zip(&self.weights).map(|(points, weight)| points / weight);
        let mut sum = Mean { score: 0.0, unclamped: 0.0 };
        parts.for_each(|part| {
            sum.score += part.clamp(0.0, 1.0);
            sum.unclamped += part;
        });
        let mean = |sum: Mean| Mean { score: sum.score / clips, unclamped: sum.unclamped / clips };
        let mut means = vec![mean(sum)];
        for level in ladder.rungs.chunk_by(|one, next| one.confidence == next.confidence) {
            for rung in level {
                let weight = self.weights[rung.clip];
                let before = points[rung.clip] / weight;
                points[rung.clip] += rung.points;
                let after = points[rung.clip] / weight;
                sum.score += after.clamp(0.0, 1.0) - before.clamp(0.0, 1.0);
                sum.unclamped += after - before;
            }
            means.push(mean(sum));
        }
        means
    }

    /// Of each action the best level if no score were clamped.
    fn unclamped(&self) -> Vec<usize> {
        let best = |ladder: &Ladder| {
            let mut means = self.means(ladder, vec![0.0; self.weights.len()]);
            means.iter_mut().for_each(|mean| mean.score = 0.0);
            ladder.best(&means)
        };
        self.ladders.iter().map(best).collect()
    }

    /// Takes one action after the other to its best level while that is better.
    fn climb(&self, mut taken: Vec<usize>) -> (Mean, Vec<usize>) {
        let mut reached = Mean { score: 0.0, unclamped: f64::MIN };
        for _ in 0..MOST_ROUNDS {
            let before = reached;
            for (number, ladder) in self.ladders.iter().enumerate() {
                let means = self.means(ladder, self.others(&taken, number));
                let best = ladder.best(&means);
                if means[best].better_than(means[taken[number]]) {
                    taken[number] = best;
                }
                reached = means[taken[number]];
            }
            if !reached.better_than(before) {
                break;
            }
        }
        (reached, taken)
    }

    /// Puts each threshold into the middle of the widest range that is as good: what is far from every edge stays as it
    /// is when a clip is seen a little differently.
    fn settle(&self, mut taken: Vec<usize>) -> Tuned {
        let mut tuned = Tuned { thresholds: BTreeMap::new(), curves: BTreeMap::new() };
        for (number, ladder) in self.ladders.iter().enumerate() {
            // No threshold makes a difference.
            if ladder.levels.len() == ladder.fewest() {
                continue;
            }
            let means = self.means(ladder, self.others(&taken, number));
            let as_good = |level: &usize| means[*level].same(means[taken[number]]);
            let levels: Vec<usize> = (ladder.fewest()..means.len()).collect();
            // Of equally wide ranges that with the higher thresholds, which answers less.
            let widest = levels
                .chunk_by(|one, next| as_good(one) && as_good(next))
                .filter(|run| as_good(&run[0]))
                .map(|run| (ladder.bounds(run[run.len() - 1]).0, ladder.bounds(run[0]).1))
                .rev()
                .max_by(|one, other| (one.1 - one.0).total_cmp(&(other.1 - other.0)));
            if let Some((above, up_to)) = widest {
                let tread = |level: &usize| {
                    let (above, up_to) = ladder.bounds(*level);
                    Tread { above, up_to, score: means[*level].score }
                };
                tuned.curves.insert(ladder.action, levels.iter().map(tread).collect());
                let threshold = round_number(above, up_to);
                tuned.thresholds.insert(ladder.action, threshold);
                taken[number] = ladder.levels_at(threshold);
            }
        }
        tuned
    }
}

/// A number near the middle, above one bound and up to the other, with as few digits as do.
fn round_number(above: f64, up_to: f64) -> f32 {
    let middle = f64::midpoint(above, up_to);
    let within = |number: &f32| f64::from(*number) > above && f64::from(*number) <= up_to;
    let mut short = (2..=9).map(|digits| {
        let scale = 10f64.powi(digits);
        ((middle * scale).round() / scale) as f32
    });
    // Confidences that single precision does not tell apart stay together.
    let exact = up_to as f32;
    short.find(within).unwrap_or(if f64::from(exact) > up_to { exact.next_down() } else { exact })
}

impl Ladder {
    fn new(rule: &ActionRule, clips: &[&Clip]) -> Self {
        let mut rungs: Vec<Rung> = Vec::new();
        for (number, clip) in clips.iter().enumerate() {
            let mine = |event: &&Event| event.action == rule.name;
            let truth: Vec<&Event> = clip.truth.iter().filter(mine).collect();
            let candidates: Vec<&Action> =
                clip.candidates.iter().filter(|one| one.action == rule.name).collect();
            add_rungs(rule, number, &candidates, &truth, &mut rungs);
        }
        rungs.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
        let mut levels: Vec<f64> = rungs.iter().map(|rung| rung.confidence).collect();
        levels.dedup();
        Self { action: rule.name, rungs, levels }
    }

    /// What is as sure as can be stays at every threshold.
    fn fewest(&self) -> usize {
        usize::from(self.levels.first().is_some_and(|surest| *surest >= 1.0))
    }

    fn levels_at(&self, threshold: f32) -> usize {
        self.levels.iter().take_while(|level| **level >= threshold.into()).count().max(self.fewest())
    }

    /// The fewest levels that are best.
    fn best(&self, means: &[Mean]) -> usize {
        let better =
            |best: usize, level: usize| if means[level].better_than(means[best]) { level } else { best };
        (self.fewest()..means.len()).reduce(better).unwrap_or_default()
    }

    fn taken(&self, levels: usize) -> impl Iterator<Item = &Rung> {
        let least = levels.checked_sub(1).map(|last| self.levels[last]);
        self.rungs.iter().take_while(move |rung| least.is_some_and(|least| rung.confidence >= least))
    }

    /// What a threshold that takes so many levels lies above, and the highest that it may be.
    fn bounds(&self, taken: usize) -> (f64, f64) {
        let up_to = taken.checked_sub(1).map_or(1.0, |last| self.levels[last]);
        (self.levels.get(taken).copied().unwrap_or(0.0), up_to)
    }
}

/// Adds what each confidence of one action is worth in one clip.
///
/// The judge is asked about stretches between which no prediction can reach, so that a long clip costs little more
/// than several short ones.
fn add_rungs(
    rule: &ActionRule,
    clip: usize,
    candidates: &[&Action],
    truth: &[&Event],
    rungs: &mut Vec<Rung>,
) {
    // One frame more than a prediction can be off.
    let reach = (rule.tolerance_s * FRAME_RATE) as u128 + 1;
    let mut frames: Vec<u128> = truth.iter().map(|row| row.frame).collect();
    frames.sort_unstable();
    let stretches: Vec<(u128, u128)> = frames
        .chunk_by(|one, next| next - one <= 2 * reach)
        .map(|stretch| (stretch[0].saturating_sub(reach), stretch[stretch.len() - 1].saturating_add(reach)))
        .collect();
    let within = |frame: u128, (from, to): (u128, u128)| (from..=to).contains(&frame);
    for one in candidates {
        let frame = u128::from(one.frame);
        if !stretches.iter().any(|stretch| within(frame, *stretch)) {
            rungs.push(Rung { confidence: one.confidence, clip, points: -rule.weight });
        }
    }
    for stretch in stretches {
        let near: Vec<&&Action> = candidates.iter().filter(|one| within(one.frame.into(), stretch)).collect();
        let rows: Vec<Event> =
            truth.iter().filter(|row| within(row.frame, stretch)).map(|row| (*row).clone()).collect();
        let mut levels: Vec<f64> = near.iter().map(|one| one.confidence).collect();
        levels.sort_by(|a, b| b.total_cmp(a));
        levels.dedup();
        let mut before = 0.0;
        for confidence in levels {
            let kept: Vec<Event> = near
                .iter()
                .filter(|one| one.confidence >= confidence)
                .map(|one| Event::new(one.frame, rule.name))
                .collect();
            let verdict = judge(Era::Head, &kept, &rows);
            let points = verdict.matched - verdict.penalty;
            rungs.push(Rung { confidence, clip, points: points - before });
            before = points;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::strategy::ValueTree as _;

    use super::*;

    fn clip(truth: &[(u64, &str)], candidates: &[(u64, &str, f64)]) -> Clip {
        Clip {
            name: String::new(),
            frames: 1000,
            rate: 25.0,
            truth: truth.iter().map(|(frame, action)| Event::new(*frame, *action)).collect(),
            candidates: candidates
                .iter()
                .map(|(frame, action, confidence)| Action {
                    frame: *frame,
                    action: (*action).to_owned(),
                    confidence: *confidence,
                })
                .collect(),
            took_s: 0.0,
        }
    }

    fn everything() -> Thresholds {
        Thresholds::default()
    }

    #[test]
    fn a_threshold_lies_between_the_right_and_the_wrong() {
        let one = clip(
            &[(100, "pass"), (200, "goal")],
            &[(100, "pass", 0.9), (200, "goal", 0.4), (500, "pass", 0.3)],
        );
        let tuned = tune(&[&one], &everything());
        assert_eq!(tuned.thresholds, BTreeMap::from([("pass", 0.6), ("goal", 0.2)]));
        assert_eq!(mean_score(&[&one], &everything().with(&tuned.thresholds)), 1.0);
        let treads: Vec<(f64, f64)> =
            tuned.curves["pass"].iter().map(|tread| (tread.above, tread.up_to)).collect();
        assert_eq!(treads, [(0.9, 1.0), (0.3, 0.9), (0.0, 0.3)]);
    }

    #[test]
    fn the_widest_range_is_taken() {
        // A shot that is certain stays at every threshold, so it gets none.
        let one = clip(
            &[(100, "pass"), (900, "shot")],
            &[(100, "pass", 0.8), (100, "goal", 0.1), (900, "shot", 1.0)],
        );
        let tuned = tune(&[&one], &everything());
        assert_eq!(tuned.thresholds["goal"], 0.55);
        assert_eq!(tuned.thresholds["pass"], 0.4);
        assert!(!tuned.thresholds.contains_key("shot"));
    }

    #[test]
    fn what_never_happens_is_turned_off_where_that_is_possible() {
        // The save is certain and costs more than everything is worth: the clip scores 0 anyhow.
        let one = clip(&[(100, "pass")], &[(100, "pass", 0.5), (100, "foul", 0.95), (500, "save", 1.0)]);
        let tuned = tune(&[&one], &everything());
        assert_eq!(tuned.thresholds, BTreeMap::from([("foul", 0.98), ("pass", 0.25)]));
    }

    #[test]
    fn nothing_to_tune_changes_nothing() {
        assert_eq!(tune(&[], &everything()).thresholds, BTreeMap::new());
        assert_eq!(tune(&[&clip(&[(5, "pass")], &[])], &everything()).thresholds, BTreeMap::new());
        assert_eq!(held_out(&[&clip(&[(5, "pass")], &[])], &everything(), 2), None);
    }

    #[test]
    fn what_is_held_out_is_not_looked_at() {
        // The only wrong pass is in the second clip: without it, its threshold would let it through.
        let right = clip(&[(100, "pass")], &[(100, "pass", 0.9)]);
        let wrong = clip(&[(100, "pass")], &[(100, "pass", 0.9), (500, "pass", 0.5)]);
        let clips = [&right, &wrong, &right];
        assert_eq!(mean_score(&clips, &everything().with(&tune(&clips, &everything()).thresholds)), 1.0);
        assert_eq!(held_out(&clips, &everything(), 3), Some(2.0 / 3.0));
    }

    const ACTIONS: [&str; 3] = ["pass", "goal", "tackle"];

    fn clips() -> impl Strategy<Value = Vec<Clip>> {
        let frame = 0u64..160;
        let action = (0..ACTIONS.len()).prop_map(|at| ACTIONS[at]);
        let truth = prop::collection::vec((frame.clone(), action.clone()), 1..5);
        let sure = (0u32..=8).prop_map(|eighths| f64::from(eighths) / 8.0);
        let candidates = prop::collection::vec((frame, action, sure), 0..7);
        prop::collection::vec(
            (truth, candidates).prop_map(|(truth, candidates)| clip(&truth, &candidates)),
            1..4,
        )
    }

    /// The best mean score over all thresholds that differ, asked of the judge.
    fn brute_force(clips: &[&Clip]) -> f64 {
        let eighths: Vec<f32> = (0..=8u8).map(|eighth| f32::from(eighth) / 8.0 - 0.01).chain([1.0]).collect();
        let mut best: f64 = 0.0;
        for pass in &eighths {
            for goal in &eighths {
                for tackle in &eighths {
                    let single = BTreeMap::from([("pass", *pass), ("goal", *goal), ("tackle", *tackle)]);
                    best = best.max(mean_score(clips, &everything().with(&single)));
                }
            }
        }
        best
    }

    proptest! {
        #[test]
        fn it_is_never_worse_than_the_start(clips in clips(), start in prop::collection::vec(0.0..=1.0f32, 4)) {
            let clips: Vec<&Clip> = clips.iter().collect();
            let single = ACTIONS.into_iter().map(str::to_owned).zip(start[1..].iter().copied()).collect();
            let start = Thresholds { default: start[0], single };
            let tuned = start.with(&tune(&clips, &start).thresholds);
            prop_assert!(mean_score(&clips, &tuned) >= mean_score(&clips, &start));
        }

        #[test]
        fn the_ladders_add_up_to_the_judges_points(clips in clips(), threshold in 0.0..=1.0f32) {
            let clip = &clips[0];
            let kept = Thresholds { default: threshold, ..everything() }.kept(&clip.candidates);
            let verdict = judge(Era::Head, &kept, &clip.truth);
            let mut rungs = Vec::new();
            for rule in actions(Era::Head) {
                let candidates: Vec<&Action> = clip.candidates.iter().filter(|one| one.action == rule.name).collect();
                let truth: Vec<&Event> = clip.truth.iter().filter(|row| row.action == rule.name).collect();
                add_rungs(rule, 0, &candidates, &truth, &mut rungs);
            }
            let sum: f64 = rungs.iter().filter(|rung| rung.confidence >= threshold.into()).map(|rung| rung.points).sum();
            prop_assert!((sum - (verdict.matched - verdict.penalty)).abs() < 1e-9);
        }
    }

    /// Climbing can in principle end below the summit; on small cases it does not.
    #[test]
    fn brute_force_finds_nothing_better() {
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        for _ in 0..200 {
            let drawn = clips().new_tree(&mut runner).unwrap().current();
            let clips: Vec<&Clip> = drawn.iter().collect();
            let ours = mean_score(&clips, &everything().with(&tune(&clips, &everything()).thresholds));
            let best = brute_force(&clips);
            assert!(ours >= best - SAME, "{ours} {best} {drawn:?}");
        }
    }
}
