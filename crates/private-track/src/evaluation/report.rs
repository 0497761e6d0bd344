//! The page about an evaluation: figures, what each threshold does, and what happens when in each clip.

use std::fmt::Write as _;
use std::io;

use adit_scoring::soccer::{Era, Prediction, Truth, judge};
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment};
use serde::Serialize;

use super::figures::{ActionFigures, Figures};
use super::folder::Problem;
use super::sweep::Tread;
use super::{Clip, Evaluation, FEW, Thresholds};

/// Clips whose timelines are drawn: those with the lowest scores.
const SHOWN: usize = 100;
/// Bars of a histogram, at most; odd, so that one of them is right on time.
const BARS: i64 = 21;
/// A plot's inside, in the units of its drawing.
const WIDTH: f64 = 260.0;
const HEIGHT: f64 = 120.0;

/// What the page is made of.
#[derive(Serialize)]
struct Page<'a> {
    title: &'a str,
    model: &'a str,
    clips: usize,
    now: &'a Figures,
    tuned: Option<&'a Figures>,
    folds: usize,
    held_out: Option<f64>,
    few: String,
    least: usize,
    actions: Vec<ActionShown<'a>>,
    timelines: Vec<Timeline<'a>>,
    problems: Vec<String>,
    warnings: Vec<String>,
}

/// An action's row and its plots.
#[derive(Serialize)]
struct ActionShown<'a> {
    #[serde(flatten)]
    figures: &'a ActionFigures,
    /// As text: a template would show all digits of the double that a single becomes.
    threshold_now: String,
    threshold_tuned: Option<String>,
    sweep: Option<Sweep>,
    /// Precision over recall: points of a line.
    curve: String,
    late: Option<Histogram>,
}

/// The score by the action's threshold.
#[derive(Serialize)]
struct Sweep {
    /// Points of the line.
    line: String,
    least: f64,
    most: f64,
    /// Where the thresholds are.
    now: f64,
    tuned: f64,
}

/// By how many frames answers are late.
#[derive(Serialize)]
struct Histogram {
    bars: Vec<Bar>,
    /// The farthest, either way.
    reach: i64,
    most: usize,
}

#[derive(Serialize)]
struct Bar {
    x: f64,
    width: f64,
    height: f64,
    from: i64,
    to: i64,
    count: usize,
}

/// What happens when in a clip.
#[derive(Serialize)]
struct Timeline<'a> {
    name: &'a str,
    score: f64,
    seconds: f64,
    truth: Vec<Mark>,
    answers: Vec<Mark>,
}

#[derive(Serialize)]
struct Mark {
    /// Per mille of the clip.
    x: f64,
    /// For the colour: `right`, `missed`, `wrong` or `ignored`.
    fate: &'static str,
    /// What to say of it.
    text: String,
}

/// The page, whole: it needs no other file and no network. `model` describes what answered.
///
/// # Errors
/// Where the page cannot be made, which is a mistake in it.
pub fn html(evaluation: &Evaluation, title: &str, model: &str) -> io::Result<String> {
    let tuned = evaluation.tuned.as_ref();
    let actions = evaluation.now.actions.iter().map(|figures| {
        let of_it = tuned.and_then(|tuned| {
            Some((tuned.sweep.curves.get(figures.action)?, *tuned.sweep.thresholds.get(figures.action)?))
        });
        ActionShown {
            threshold_now: figures.threshold.to_string(),
            threshold_tuned: of_it.map(|(_, threshold)| threshold.to_string()),
            sweep: of_it.map(|(treads, threshold)| Sweep::new(treads, figures.threshold, threshold)),
            curve: curve(figures),
            late: Histogram::new(&figures.late),
            figures,
        }
    });
    let mut worst: Vec<(&Clip, f64)> =
        evaluation.clips.iter().zip(evaluation.now.clips.iter().map(|clip| clip.score)).collect();
    worst.sort_by(|one, other| one.1.total_cmp(&other.1));
    worst.truncate(SHOWN);
    let lines = |problems: &[Problem]| -> Vec<String> {
        problems.iter().map(|problem| format!("{} {}", problem.file, problem.what)).collect()
    };
    let held_out = tuned.and_then(|tuned| tuned.held_out);
    let page = Page {
        title,
        model,
        clips: evaluation.clips.len(),
        now: &evaluation.now,
        tuned: tuned.map(|tuned| &tuned.figures),
        folds: held_out.map_or(0, |held| held.folds),
        held_out: held_out.map(|held| held.score),
        few: tuned.map(|tuned| tuned.few.join(", ")).unwrap_or_default(),
        least: FEW,
        actions: actions.collect(),
        timelines: worst
            .into_iter()
            .map(|(clip, score)| Timeline::new(clip, score, &evaluation.thresholds))
            .collect(),
        problems: lines(&evaluation.problems),
        warnings: lines(&evaluation.warnings),
    };
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    let rendered = environment
        .add_template("report", include_str!("report.html.j2"))
        .and_then(|()| environment.get_template("report")?.render(Serde(&page)));
    rendered.map_err(io::Error::other)
}

/// A point of a line: parts of the plot's width and height, from the lower left.
fn put(line: &mut String, x: f64, y: f64) {
    // Writing to a string does not fail.
    let _ = write!(line, "{:.1},{:.1} ", x * WIDTH, (1.0 - y) * HEIGHT);
}

impl Sweep {
    fn new(treads: &[Tread], now: f32, tuned: f32) -> Self {
        let scores = || treads.iter().map(|tread| tread.score);
        let (least, most) = (scores().fold(1.0, f64::min), scores().fold(0.0, f64::max));
        // What never changes lies in the middle.
        let height = |score: f64| if most > least { (score - least) / (most - least) } else { 0.5 };
        let mut line = String::new();
        for tread in treads.iter().rev() {
            put(&mut line, tread.above, height(tread.score));
            put(&mut line, tread.up_to, height(tread.score));
        }
        Self { line, least, most, now: f64::from(now) * WIDTH, tuned: f64::from(tuned) * WIDTH }
    }
}

fn curve(figures: &ActionFigures) -> String {
    let mut points = figures.curve.points();
    points.retain(|point| point.recall > 0.0 || point.precision > 0.0);
    points.dedup_by(|one, other| (one.recall, one.precision) == (other.recall, other.precision));
    let mut line = String::new();
    // From the least sure on, recall only falls.
    points.iter().for_each(|point| put(&mut line, point.recall, point.precision));
    line
}

impl Histogram {
    fn new(late: &[i64]) -> Option<Self> {
        // A model that is never late still gets an axis.
        let reach = late.iter().map(|late| late.abs()).max()?.max(2);
        // Each bar has an odd number of frames, the middle one as many to either side.
        let side = (2 * reach / BARS + 1) / 2;
        let wide = 2 * side + 1;
        let half = (reach + side) / wide;
        let count = |bar: i64| {
            late.iter().filter(|late| (bar * wide - side..=bar * wide + side).contains(late)).count()
        };
        let counts: Vec<(i64, usize)> = (-half..=half).map(|bar| (bar, count(bar))).collect();
        let most = counts.iter().map(|(_, count)| *count).max()?;
        let width = WIDTH / counts.len() as f64;
        let bars = counts.iter().enumerate().map(|(place, (bar, count))| Bar {
            x: place as f64 * width,
            width,
            height: *count as f64 / most as f64 * HEIGHT,
            from: bar * wide - side,
            to: bar * wide + side,
            count: *count,
        });
        Some(Self { bars: bars.collect(), reach: half * wide + side, most })
    }
}

impl<'a> Timeline<'a> {
    fn new(clip: &'a Clip, score: f64, thresholds: &Thresholds) -> Self {
        let kept = thresholds.kept(&clip.candidates);
        let verdict = judge(Era::Head, &kept, &clip.truth);
        // A frame beyond the clip is drawn at its end.
        let x = |frame: u128| (frame as f64 / clip.frames.max(1) as f64 * 1000.0).min(1000.0);
        let truth = clip.truth.iter().zip(&verdict.truth).map(|(row, outcome)| {
            let (fate, what) = match outcome {
                Truth::Found(_) => ("right", "found"),
                Truth::Missed => ("missed", "missed"),
                Truth::Ignored => ("ignored", "not scored today"),
            };
            Mark { x: x(row.frame), fate, text: format!("{} at frame {}: {what}", row.action, row.frame) }
        });
        let sure = thresholds.sure(&clip.candidates);
        let answers = sure.zip(&verdict.predictions).map(|(one, outcome)| {
            let (fate, what) = match outcome {
                Prediction::Matched { truth, points, .. } => {
                    let late = i128::from(one.frame) - clip.truth[*truth].frame as i128;
                    ("right", format!("{late:+} frames, {points:+.2} points"))
                }
                Prediction::Penalised(weight) => {
                    ("wrong", format!("matches nothing, {:+.2} points", -weight))
                }
                Prediction::Ignored => ("ignored", "not scored today".to_owned()),
            };
            let frame = u128::from(one.frame);
            let text = format!("{} at frame {frame}, {:.3} sure: {what}", one.action, one.confidence);
            Mark { x: x(frame), fate, text }
        });
        let seconds = if clip.rate > 0.0 { clip.frames as f64 / clip.rate } else { 0.0 };
        Self { name: &clip.name, score, seconds, truth: truth.collect(), answers: answers.collect() }
    }
}

#[cfg(test)]
mod tests {
    use adit_predictor::Action;
    use adit_scoring::soccer::Event;

    use super::super::run::Examined;
    use super::*;

    #[test]
    fn a_histogram_has_a_bar_that_is_right_on_time() {
        let shape = |late: &[i64]| {
            let histogram = Histogram::new(late).unwrap();
            (histogram.bars.len(), histogram.reach, histogram.most, histogram.bars[0].from)
        };
        assert_eq!(shape(&[0, 0]), (5, 2, 2, -2));
        assert_eq!(shape(&[-2, 0, 1]), (5, 2, 1, -2));
        let (bars, reach, _, from) = shape(&[-30, 30, 29]);
        assert!(bars <= 21 && bars % 2 == 1 && reach >= 30 && from == -reach);
        assert!(Histogram::new(&[]).is_none());
    }

    #[test]
    fn the_page_is_whole_and_escapes_what_it_shows() {
        let clip = Clip {
            name: "<b>.mp4".to_owned(),
            frames: 100,
            rate: 25.0,
            truth: vec![Event::new(10u64, "pass"), Event::new(60u64, "goal")],
            candidates: vec![
                Action { frame: 12, action: "pass".to_owned(), confidence: 0.8 },
                Action { frame: 90, action: "<i>".to_owned(), confidence: 0.9 },
            ],
            took_s: 0.1,
        };
        let examined = Examined { clip: Ok(clip), not_scored: Default::default(), warnings: Vec::new() };
        let problem = Problem { file: "x.mp4".to_owned(), what: "has no labels".to_owned() };
        let evaluation = Evaluation::new(vec![examined], vec![problem], Thresholds::default(), 5);
        let page = html(&evaluation, "Clips & co", "a model").unwrap();
        for part in [
            "Clips &amp; co",
            "&lt;b&gt;.mp4",
            "x.mp4 has no labels",
            "pass at frame 12, 0.800 sure: +2 frames",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
        for foreign in ["<b>", "<i>", "http://", "https://", "<script", "<link"] {
            assert!(!page.contains(foreign), "{foreign}");
        }
    }
}
