//! `sv evaluate`.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use adit_predictor::{MODEL_FILE, write_thresholds};
use adit_private_track::evaluation::figures::{ActionFigures, Figures, Offset};
use adit_private_track::evaluation::folder::{Folder, Problem};
use adit_private_track::evaluation::run::{Examined, Examiner};
use adit_private_track::evaluation::{Evaluation, FEW, Mapping, Thresholds, Tuning, report};
use adit_private_track::{Answering, PredictorChoice};
use adit_settings::{Environment, var};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::block_on;
use super::table::table;
use super::terminal::confirm;
use crate::cli::evaluate::Evaluate;
use crate::failure::Failure;

/// Clips whose scores are printed: those with the lowest.
const SHOWN: usize = 10;
/// Beyond what workers themselves may take to load.
const LOADING: Duration = Duration::from_secs(30);

pub(crate) fn run(env: &Environment, args: &Evaluate) -> Result<ExitCode, Failure> {
    let env = &chosen(env, args);
    let mut mapping = Mapping::default();
    for text in &args.map {
        mapping.add(text).map_err(|error| Failure::new(error).unanswered())?;
    }
    let answering = Answering::from_settings(env).map_err(|error| Failure::from(error).unanswered())?;
    let (answering, thresholds) = wide_open(answering)?;
    let model_folder = match &answering.predictor {
        PredictorChoice::Model { .. } => env.path(&var::MODEL)?,
        _ => None,
    };
    if args.write && model_folder.is_none() {
        let what = "there is nothing to write thresholds to: what answers has no model.toml";
        return Err(Failure::new(what)
            .hint("name the model's folder with --model or ADIT_MODEL")
            .unanswered());
    }
    let folder = Folder::read(&args.clips).map_err(|error| Failure::new(error).unanswered())?;
    let deadline = (!args.no_deadline).then_some(answering.deadline);
    let (examined, model) = block_on(examine(&answering, deadline, mapping, &folder, args.json))?;
    let evaluation = Evaluation::new(examined, folder.problems, thresholds, args.folds as usize);

    let report = args.report.as_deref().filter(|_| !evaluation.clips.is_empty());
    if let Some(file) = report {
        let page = report::html(&evaluation, &format!("Evaluation of {}", args.clips.display()), &model)?;
        std::fs::write(file, page)
            .map_err(|error| Failure::new(format!("cannot write {}: {error}", file.display())))?;
    }
    if !args.json {
        print(&evaluation, &model);
        report.inspect(|file| println!("report: {}", file.display()));
    }
    let written = match (&evaluation.tuned, &model_folder) {
        (Some(tuning), Some(folder)) if args.write => write(tuning, folder, args)?,
        _ => false,
    };
    if args.json {
        println!("{:#}", as_json(&evaluation, &model, written));
    }
    if evaluation.clips.is_empty() {
        return Err(Failure::new("no clip could be evaluated").unanswered());
    }
    Ok(if evaluation.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The settings with what the arguments say of the model.
fn chosen(env: &Environment, args: &Evaluate) -> Environment {
    if let Some(folder) = &args.model {
        return env.with(&var::PREDICTOR, "model").with(&var::MODEL, &folder.to_string_lossy());
    }
    match &args.predictor_file {
        Some(file) => env
            .with(&var::PREDICTOR, "worker")
            .with(&var::WORKER_COMMAND, "")
            .with(&var::PREDICTOR_FILE, &file.to_string_lossy()),
        None => env.clone(),
    }
}

/// Has a model give all candidates; the thresholds that it had are applied afterwards. Of others nothing is known: what
/// they answer is what they are sure of.
fn wide_open(mut answering: Answering) -> Result<(Answering, Thresholds), Failure> {
    let mut thresholds = Thresholds::default();
    if let PredictorChoice::Model { name, spec, .. } = &mut answering.predictor {
        let Some(of_model) = Thresholds::of_model(spec) else {
            let what =
                format!("{name} is a detector: it sees objects, and clips of actions are what is evaluated");
            return Err(Failure::new(what).hint("`sv test-chute` scores a detector").unanswered());
        };
        thresholds = of_model;
        *spec = spec.clone().with_all_candidates();
    }
    Ok((answering, thresholds))
}

/// Loads the model and has it answer one clip after the other, with a bar where somebody looks on.
async fn examine(
    answering: &Answering,
    deadline: Option<Duration>,
    mapping: Mapping,
    folder: &Folder,
    json: bool,
) -> Result<(Vec<Examined>, String), Failure> {
    let loading = match &answering.predictor {
        PredictorChoice::Workers(workers) => workers.start_limit,
        _ => Duration::ZERO,
    };
    let predictor = answering.predictor.clone().start().await;
    let predictor = Arc::new(predictor.map_err(|error| Failure::new(error).unanswered())?);
    if let Err(error) = predictor.wait_ready(Instant::now() + loading + LOADING).await {
        predictor.shutdown().await;
        return Err(Failure::new(error).unanswered());
    }
    let examiner = Examiner::new(answering, Arc::clone(&predictor), deadline, mapping)?;
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
    predictor.shutdown().await;
    Ok((examined, predictor.describe()))
}

/// Writes the better thresholds, if the operator wants it.
fn write(tuning: &Tuning, folder: &Path, args: &Evaluate) -> Result<bool, Failure> {
    let file = folder.join(MODEL_FILE);
    let thresholds: Vec<(String, f32)> = tuning
        .sweep
        .thresholds
        .iter()
        .map(|(action, threshold)| ((*action).to_owned(), *threshold))
        .collect();
    let question = format!("Write {} thresholds to {}?", thresholds.len(), file.display());
    match if args.yes { Some(true) } else { confirm(&question)? } {
        Some(true) => {}
        Some(false) => return Ok(false),
        None => {
            let what = format!("{} stays as it is: nobody is there to be asked", file.display());
            return Err(Failure::new(what).hint("--yes writes without asking"));
        }
    }
    write_thresholds(folder, &thresholds).map_err(Failure::new)?;
    if !args.json {
        println!("✓ {} thresholds are in {}", thresholds.len(), file.display());
    }
    Ok(true)
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
        let offset = |value: fn(&Offset) -> String| row.offset.as_ref().map_or(String::new(), value);
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

fn as_json(evaluation: &Evaluation, model: &str, written: bool) -> Value {
    let problems = |problems: &[Problem]| -> Value {
        problems.iter().map(|problem| json!({"file": problem.file, "problem": problem.what})).collect()
    };
    let tuned = evaluation.tuned.as_ref().map(|tuning| {
        json!({
            "thresholds": tuning.sweep.thresholds,
            "figures": tuning.figures,
            "held_out": tuning.held_out.map(|held| json!({"folds": held.folds, "score": held.score})),
            "few_labels": tuning.few,
            "written": written,
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
