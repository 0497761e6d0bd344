//! `sv evaluate`.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use adit_private_track::Answering;
use adit_private_track::evaluation::figures::{ActionFigures, Figures};
use adit_private_track::evaluation::folder::{Folder, Problem};
use adit_private_track::evaluation::run::{Examined, Examiner};
use adit_private_track::evaluation::{Evaluation, FEW, Mapping, Thresholds, Tuning, report};
use adit_settings::{Environment, var};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::block_on;
use super::table::table;
use crate::cli::evaluate::Evaluate;
use crate::failure::Failure;

/// Clips whose scores are printed: those with the lowest.
const SHOWN: usize = 10;
/// Beyond what workers themselves may take to load.
const LOADING: Duration = Duration::from_secs(30);

pub(crate) fn run(env: &Environment, args: &Evaluate) -> Result<ExitCode, Failure> {
    let told = args.predictor_file.as_ref().map(|file| {
        env.with(&var::PREDICTOR, "worker")
            .with(&var::WORKER_COMMAND, "")
            .with(&var::PREDICTOR_FILE, &file.to_string_lossy())
    });
    let env = told.as_ref().unwrap_or(env);
    let mut mapping = Mapping::default();
    for text in &args.map {
        mapping.add(text).map_err(|error| Failure::new(error).unanswered())?;
    }
    let answering = Answering::from_settings(env).map_err(|error| Failure::from(error).unanswered())?;
    let folder = Folder::read(&args.clips).map_err(|error| Failure::new(error).unanswered())?;
    let deadline = (!args.no_deadline).then_some(answering.deadline);
    let (examined, model) = block_on(async {
        let (predictor, loading) = answering.predictor.clone().start();
        let predictor = Arc::new(predictor);
        let ready = predictor.wait_ready(Instant::now() + loading + LOADING).await;
        let examined = match ready {
            Ok(_) => {
                let examiner = Examiner::new(&answering, Arc::clone(&predictor), deadline, mapping)?;
                Ok(examine(&examiner, &folder, args.json).await)
            }
            Err(error) => Err(Failure::new(error).unanswered()),
        };
        let model = predictor.describe();
        predictor.shutdown().await;
        Ok((examined?, model))
    })?;
    let evaluation = Evaluation::new(examined, folder.problems, Thresholds::default(), args.folds as usize);
    if let Some(file) = &args.report
        && !evaluation.clips.is_empty()
    {
        let page = report::html(&evaluation, &format!("Evaluation of {}", args.clips.display()), &model)?;
        std::fs::write(file, page)
            .map_err(|error| Failure::new(format!("cannot write {}: {error}", file.display())))?;
    }
    if args.json {
        println!("{:#}", as_json(&evaluation, &model));
    } else {
        print(&evaluation, &model);
        if let Some(file) = args.report.as_ref().filter(|_| !evaluation.clips.is_empty()) {
            println!("report: {}", file.display());
        }
    }
    if evaluation.clips.is_empty() {
        return Err(Failure::new("no clip could be evaluated").unanswered());
    }
    Ok(if evaluation.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One clip after the other, with a bar where somebody looks on.
async fn examine(examiner: &Examiner, folder: &Folder, json: bool) -> Vec<Examined> {
    let target = if json { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(Some(folder.clips.len() as u64), target);
    // A literal that the library accepts.
    if let Ok(style) = ProgressStyle::with_template("  {pos} of {len} clips, {elapsed} {wide_msg}") {
        bar.set_style(style);
    }
    let mut examined = Vec::with_capacity(folder.clips.len());
    for labelled in &folder.clips {
        bar.set_message(labelled.name.clone());
        examined.push(examiner.examine(labelled).await);
        bar.inc(1);
    }
    bar.finish_and_clear();
    examined
}

fn print(evaluation: &Evaluation, model: &str) {
    println!("{model}");
    if !evaluation.clips.is_empty() {
        println!("\n{}", actions(&evaluation.now, evaluation.tuned.as_ref()));
        println!("\n{}", clips(&evaluation.now));
        for pair in &evaluation.now.confusions {
            let times = if pair.count == 1 { "once".to_owned() } else { format!("{} times", pair.count) };
            println!("  {} was answered {times} where {} was", pair.answered, pair.truth);
        }
        println!("\n{}", scores(evaluation));
    }
    for warning in &evaluation.warnings {
        println!("⚠ {} {}", warning.file, warning.what);
    }
    if !evaluation.not_scored.is_empty() {
        let labels: Vec<String> =
            evaluation.not_scored.iter().map(|(label, count)| format!("{label} ({count})")).collect();
        println!(
            "⚠ labels that validators do not score: {}; --map LABEL=ACTION takes one in",
            labels.join(", ")
        );
    }
    for Problem { file, what } in &evaluation.problems {
        println!("✗ {file} {what}");
    }
}

fn actions(figures: &Figures, tuning: Option<&Tuning>) -> String {
    let mut rows = table(&[
        "ACTION",
        ">WEIGHT",
        ">TRUTH",
        ">FOUND",
        ">MISSED",
        ">EXTRA",
        ">LATE",
        ">MS",
        ">OFF",
        ">MS",
        ">AP",
        ">THRESHOLD",
        ">BETTER",
    ]);
    for row in &figures.actions {
        let offset = |value: fn(&adit_private_track::evaluation::figures::Offset) -> String| {
            row.offset.as_ref().map_or(String::new(), value)
        };
        let better = tuning.and_then(|tuning| tuning.sweep.thresholds.get(row.action));
        rows.add_row([
            name(row),
            format!("{:.1}", row.weight),
            row.truth.to_string(),
            row.found.to_string(),
            row.missed.to_string(),
            row.extra.to_string(),
            offset(|offset| format!("{:+.1}", offset.frames)),
            offset(|offset| format!("{:+.0}", offset.ms)),
            offset(|offset| format!("{:.1}", offset.absolute_frames)),
            offset(|offset| format!("{:.0}", offset.absolute_ms)),
            format!("{:.3}", row.average_precision),
            row.threshold.to_string(),
            better.map_or(String::new(), ToString::to_string),
        ]);
    }
    rows.trim_fmt()
}

fn name(row: &ActionFigures) -> String {
    if row.scored_today { row.action.to_owned() } else { format!("{} (not scored today)", row.action) }
}

fn clips(figures: &Figures) -> String {
    let mut worst: Vec<_> = figures.clips.iter().collect();
    worst.sort_by(|one, other| one.score.total_cmp(&other.score));
    let mut rows = table(&["CLIP", ">SCORE", ">GUIDE'S TIME", ">MAP", ">TRUTH", ">FOUND", ">EXTRA"]);
    for clip in worst.iter().take(SHOWN) {
        rows.add_row([
            clip.clip.clone(),
            format!("{:.4}", clip.score),
            format!("{:.4}", clip.score_document_era),
            format!("{:.4}", clip.map_at_1s),
            clip.truth.to_string(),
            clip.found.to_string(),
            clip.extra.to_string(),
        ]);
    }
    let more = match worst.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!("\n… and {more} with higher scores"),
    };
    format!("{}{more}", rows.trim_fmt())
}

fn scores(evaluation: &Evaluation) -> String {
    let now = &evaluation.now;
    let mut lines = vec![
        format!("score {:.4}: the mean over {} clips, as a validator averages", now.score, now.clips.len()),
        format!("score {:.4} by the rules of the guide's time", now.score_document_era),
        format!(
            "mAP within 1 s {:.4} as the dashboard has it, {:.4} pooled over the actions that happen",
            now.map_at_1s, now.map_at_1s_pooled
        ),
    ];
    let Some(tuning) = &evaluation.tuned else { return lines.join("\n") };
    lines.push(format!("score {:.4} with the better thresholds, on these clips", tuning.figures.score));
    match tuning.held_out {
        Some(held) => {
            lines.push(format!(
                "score {:.4} with thresholds that the clip had no part in ({} folds): what to expect",
                held.score, held.folds
            ));
            if held.score < now.score {
                lines.push(
                    "⚠ on clips that they were not chosen by, new thresholds do worse than those of now: keep these"
                        .to_owned(),
                );
            }
        }
        None => lines.push(
            "⚠ there is no estimate of what they do on other clips: that takes two clips and --folds 2 or more"
                .to_owned(),
        ),
    }
    if !tuning.few.is_empty() {
        lines.push(format!("⚠ fewer than {FEW} labels speak for the threshold of {}", tuning.few.join(", ")));
    }
    lines.join("\n")
}

fn as_json(evaluation: &Evaluation, model: &str) -> Value {
    let problems = |problems: &[Problem]| -> Value {
        problems.iter().map(|problem| json!({"file": problem.file, "problem": problem.what})).collect()
    };
    let tuned = evaluation.tuned.as_ref().map(|tuning| {
        json!({
            "thresholds": tuning.sweep.thresholds,
            "figures": tuning.figures,
            "held_out": tuning.held_out.map(|held| json!({"folds": held.folds, "score": held.score})),
            "few_labels": tuning.few,
        })
    });
    json!({
        "model": model,
        "now": evaluation.now,
        "tuned": tuned,
        "not_scored": evaluation.not_scored,
        "warnings": problems(&evaluation.warnings),
        "problems": problems(&evaluation.problems),
    })
}
