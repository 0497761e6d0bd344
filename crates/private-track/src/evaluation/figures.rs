//! How good answers are: what validators give, what the dashboard shows, and each action by itself.

use adit_predictor::Action;
use adit_scoring::benchmark::{Curve, Spotted, benchmark};
use adit_scoring::soccer::{self, ActionRule, Era, Event, Prediction, Truth, Verdict, actions, judge};
use serde::Serialize;

use super::{Clip, Thresholds};

/// Everything about the clips at some thresholds.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// The mean of today's scores over the clips, from 0 to 1.
    pub score: f64,
    /// The same by the rules of the guide's time.
    pub score_document_era: f64,
    /// The mean over the clips of what the dashboard shows: mAP within a second over all 15 actions.
    pub map_at_1s: f64,
    /// mAP within a second as SoccerNet computes it: the clips pooled, all candidates, over the actions that happen.
    pub map_at_1s_pooled: f64,
    /// Each clip.
    pub clips: Vec<ClipFigures>,
    /// Each action that happens or was answered, in the order of `sv actions`.
    pub actions: Vec<ActionFigures>,
    /// What was answered in place of what, the most frequent first.
    pub confusions: Vec<Confusion>,
}

/// One clip.
#[derive(Debug, Clone, Serialize)]
pub struct ClipFigures {
    /// Its path in the folder.
    pub clip: String,
    /// Today's score.
    pub score: f64,
    /// That of the guide's time.
    pub score_document_era: f64,
    /// What the dashboard shows.
    pub map_at_1s: f64,
    /// Rows of truth that are scored.
    pub truth: usize,
    /// Those that an answer took.
    pub found: usize,
    /// Answers that match nothing.
    pub extra: usize,
    /// How long the answer took, in seconds.
    pub took_s: f64,
}

/// One action, over all clips.
#[derive(Debug, Clone, Serialize)]
pub struct ActionFigures {
    /// Its name.
    pub action: &'static str,
    /// Points for one at the exact time.
    pub weight: f64,
    /// Whether today's validators score it, or only those of the guide's time.
    pub scored_today: bool,
    /// How often it happens.
    pub truth: usize,
    /// How often an answer took it.
    pub found: usize,
    /// How often none did.
    pub missed: usize,
    /// Answers of it that match nothing.
    pub extra: usize,
    /// How far answers are off: positive where they are late. `None` where none took anything.
    pub offset: Option<Offset>,
    /// Average precision within a second over all candidates and all clips, whatever the threshold.
    pub average_precision: f64,
    /// The threshold that this is about.
    pub threshold: f32,
    /// Of each answer that took something, how many frames it is late.
    #[serde(skip)]
    pub late: Vec<i64>,
    /// Precision and recall by threshold.
    #[serde(skip)]
    pub curve: Curve,
}

/// Mean offsets of answers from what they took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Offset {
    /// Frames; positive is late.
    pub frames: f64,
    /// Milliseconds, at each clip's own rate; positive is late.
    pub ms: f64,
    /// Frames, whichever way.
    pub absolute_frames: f64,
    /// Milliseconds, whichever way.
    pub absolute_ms: f64,
}

/// An action that was answered where another one was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Confusion {
    /// What was answered.
    pub answered: String,
    /// What it was.
    pub truth: String,
    /// How often.
    pub count: usize,
}

/// Computes everything at these thresholds.
#[must_use]
pub fn figures(clips: &[Clip], thresholds: &Thresholds) -> Figures {
    let judged: Vec<Judged<'_>> = clips.iter().map(|clip| Judged::new(clip, thresholds)).collect();
    let rows: Vec<ActionFigures> =
        actions(Era::DocumentEra).iter().filter_map(|rule| action(rule, &judged, thresholds)).collect();
    let clips: Vec<ClipFigures> = judged.iter().map(Judged::figures).collect();
    let mean = |of: fn(&ClipFigures) -> f64| clips.iter().map(of).sum::<f64>() / clips.len().max(1) as f64;
    let scored = || rows.iter().filter(|row| row.scored_today && row.truth > 0);
    Figures {
        score: mean(|clip| clip.score),
        score_document_era: mean(|clip| clip.score_document_era),
        map_at_1s: mean(|clip| clip.map_at_1s),
        map_at_1s_pooled: scored().map(|row| row.average_precision).sum::<f64>()
            / scored().count().max(1) as f64,
        confusions: confusions(&judged),
        actions: rows,
        clips,
    }
}

/// A clip with what its thresholds leave, and the verdict on that. Today's actions fare alike in both eras, so that of
/// the guide's time, which has all of them, says what became of each.
struct Judged<'a> {
    clip: &'a Clip,
    kept: Vec<Event>,
    sure: Vec<&'a Action>,
    verdict: Verdict,
}

impl<'a> Judged<'a> {
    fn new(clip: &'a Clip, thresholds: &Thresholds) -> Self {
        let sure: Vec<&Action> = thresholds.sure(&clip.candidates).collect();
        let kept: Vec<Event> = sure.iter().map(|one| Event::new(one.frame, one.action.clone())).collect();
        let verdict = judge(Era::DocumentEra, &kept, &clip.truth);
        Self { clip, kept, sure, verdict }
    }

    fn figures(&self) -> ClipFigures {
        let today = judge(Era::Head, &self.kept, &self.clip.truth);
        let found = today.truth.iter().filter(|row| matches!(row, Truth::Found(_))).count();
        let missed = today.truth.iter().filter(|row| matches!(row, Truth::Missed)).count();
        let extra = today.predictions.iter().filter(|one| matches!(one, Prediction::Penalised(_))).count();
        let spotted: Vec<Spotted> = self.sure.iter().map(|one| spotted(one)).collect();
        ClipFigures {
            clip: self.clip.name.clone(),
            score: today.score,
            score_document_era: self.verdict.score,
            map_at_1s: benchmark(&spotted, &self.clip.truth).map,
            truth: found + missed,
            found,
            extra,
            took_s: self.clip.took_s,
        }
    }

    /// Answers that match nothing.
    fn extra(&self) -> impl Iterator<Item = &Event> {
        let outcomes = self.kept.iter().zip(&self.verdict.predictions);
        outcomes.filter(|(_, outcome)| matches!(outcome, Prediction::Penalised(_))).map(|(event, _)| event)
    }

    /// Rows of truth that no answer took.
    fn missed(&self) -> impl Iterator<Item = &Event> {
        let outcomes = self.clip.truth.iter().zip(&self.verdict.truth);
        outcomes.filter(|(_, outcome)| matches!(outcome, Truth::Missed)).map(|(row, _)| row)
    }
}

fn spotted(one: &Action) -> Spotted {
    Spotted { frame: one.frame.into(), action: one.action.clone(), confidence: one.confidence }
}

/// `None` where the action neither happens nor was answered, however unsure.
fn action(rule: &ActionRule, judged: &[Judged<'_>], thresholds: &Thresholds) -> Option<ActionFigures> {
    let mut row = ActionFigures {
        action: rule.name,
        weight: rule.weight,
        scored_today: actions(Era::Head).iter().any(|other| other.name == rule.name),
        truth: 0,
        found: 0,
        missed: 0,
        extra: 0,
        offset: None,
        average_precision: 0.0,
        threshold: thresholds.of(rule.name),
        late: Vec::new(),
        curve: Curve::default(),
    };
    let mut ms = Vec::new();
    let mut candidates = 0;
    for one in judged {
        row.missed += one.missed().filter(|event| event.action == rule.name).count();
        row.extra += one.extra().filter(|event| event.action == rule.name).count();
        for (event, outcome) in one.clip.truth.iter().zip(&one.verdict.truth) {
            if let Truth::Found(index) = outcome
                && event.action == rule.name
            {
                // Both lie within the tolerance of each other.
                let late = one.kept[*index].frame as i64 - event.frame as i64;
                row.late.push(late);
                let rate = if one.clip.rate > 0.0 { one.clip.rate } else { soccer::FRAME_RATE };
                ms.push(late as f64 / rate * 1000.0);
            }
        }
        let of_it = one.clip.candidates.iter().filter(|other| other.action == rule.name);
        let of_it: Vec<Spotted> = of_it.map(spotted).collect();
        candidates += of_it.len();
        row.curve.add(rule.name, &of_it, &one.clip.truth);
    }
    row.found = row.late.len();
    row.truth = row.found + row.missed;
    row.average_precision = row.curve.average_precision();
    row.offset = (row.found > 0).then(|| {
        let mean = |values: &dyn Fn(usize) -> f64| (0..row.found).map(values).sum::<f64>() / row.found as f64;
        Offset {
            frames: mean(&|at| row.late[at] as f64),
            ms: mean(&|at| ms[at]),
            absolute_frames: mean(&|at| row.late[at].abs() as f64),
            absolute_ms: mean(&|at| ms[at].abs()),
        }
    });
    (row.truth + candidates > 0).then_some(row)
}

/// For each answer that matches nothing, the nearest missed row of another action within that one's tolerance. A row
/// is named once.
fn confusions(judged: &[Judged<'_>]) -> Vec<Confusion> {
    let mut found: Vec<Confusion> = Vec::new();
    let rules = actions(Era::DocumentEra);
    for one in judged {
        let mut missed: Vec<&Event> = one.missed().collect();
        for extra in one.extra() {
            let distance = |row: &Event| (soccer::seconds(row.frame) - soccer::seconds(extra.frame)).abs();
            let near = |row: &&Event| {
                let rule = rules.iter().find(|rule| rule.name == row.action);
                rule.is_some_and(|rule| distance(row) <= rule.tolerance_s)
            };
            let nearest = (0..missed.len())
                .filter(|at| near(&missed[*at]))
                .min_by(|one, other| distance(missed[*one]).total_cmp(&distance(missed[*other])));
            let Some(nearest) = nearest else { continue };
            let row = missed.remove(nearest);
            if row.action == extra.action {
                continue;
            }
            match found.iter_mut().find(|pair| pair.answered == extra.action && pair.truth == row.action) {
                Some(pair) => pair.count += 1,
                None => found.push(Confusion {
                    answered: extra.action.clone(),
                    truth: row.action.clone(),
                    count: 1,
                }),
            }
        }
    }
    found.sort_by(|one, other| {
        (other.count, &one.answered, &one.truth).cmp(&(one.count, &other.answered, &other.truth))
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clip(truth: &[(u64, &str)], candidates: &[(u64, &str, f64)]) -> Clip {
        Clip {
            name: "a.mp4".to_owned(),
            frames: 1000,
            rate: 50.0,
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

    #[test]
    fn each_action_is_counted_and_measured() {
        let clips = [
            clip(
                &[(100, "pass"), (200, "pass"), (300, "goal")],
                &[(110, "pass", 0.9), (196, "pass", 0.8), (500, "pass", 0.7)],
            ),
            clip(&[(100, "pass")], &[(100, "pass", 0.2)]),
        ];
        let figures = figures(&clips, &Thresholds { default: 0.5, ..Thresholds::default() });
        let [pass, goal] = figures.actions.as_slice() else { panic!("{:?}", figures.actions) };
        assert_eq!((pass.truth, pass.found, pass.missed, pass.extra), (3, 2, 1, 1));
        assert_eq!(
            pass.offset,
            Some(Offset { frames: 3.0, ms: 60.0, absolute_frames: 7.0, absolute_ms: 140.0 })
        );
        assert_eq!((goal.truth, goal.found, goal.missed, goal.offset), (1, 0, 1, None));
        let [one, other] = figures.clips.as_slice() else { panic!() };
        // 10 and 4 frames off at 25 a second, tolerance 1 s; one pass too many; 12.9 points in all.
        assert!((one.score - (0.6 + 0.84 - 1.0) / 12.9).abs() < 1e-12, "{}", one.score);
        assert_eq!((one.truth, one.found, one.extra), (3, 2, 1));
        assert_eq!((other.score, other.found), (0.0, 0));
        assert!((figures.score - one.score / 2.0).abs() < 1e-12);
        // 4 and 10 frames are within half a second; the mean goes over 15 actions and two clips.
        assert!((one.map_at_1s - 1.0 / 15.0).abs() < 1e-12);
        assert!((figures.map_at_1s - one.map_at_1s / 2.0).abs() < 1e-12);
        // All candidates: two of three right at full recall 2/3, the third right one below the wrong one.
        assert!(
            (pass.average_precision - (7.0 + 4.0 * 0.75) / 11.0).abs() < 1e-12,
            "{}",
            pass.average_precision
        );
        assert!((figures.map_at_1s_pooled - pass.average_precision / 2.0).abs() < 1e-12);
    }

    #[test]
    fn actions_of_the_guides_time_are_told_apart() {
        let one =
            clip(&[(100, "pass"), (500, "end_of_half")], &[(100, "pass", 1.0), (500, "end_of_half", 1.0)]);
        let figures = figures(&[one], &Thresholds::default());
        assert_eq!((figures.score, figures.score_document_era), (1.0, 1.0));
        let today: Vec<bool> = figures.actions.iter().map(|row| row.scored_today).collect();
        assert_eq!(today, [true, false]);
        assert_eq!((figures.clips[0].truth, figures.map_at_1s_pooled), (1, 1.0));
    }

    #[test]
    fn what_was_taken_for_what_is_counted() {
        let one = clip(
            &[(100, "pass"), (105, "pass"), (400, "shot"), (700, "goal")],
            &[(101, "shot", 1.0), (104, "shot", 1.0), (410, "goal", 1.0), (560, "goal", 1.0)],
        );
        let figures = figures(&[one], &Thresholds::default());
        let pairs: Vec<(&str, &str, usize)> =
            figures.confusions.iter().map(|one| (&*one.answered, &*one.truth, one.count)).collect();
        assert_eq!(pairs, [("shot", "pass", 2), ("goal", "shot", 1)]);
    }
}
