//! `sv model check`.

use std::process::ExitCode;

use adit_media::Sampling;
use adit_predictor::{Kind, Model, ModelCheck, ModelSpec, Need, OnnxConfig, Runner};
use adit_private_track::{model_runner, onnx_config};
use adit_scoring::soccer::{Era, actions};
use adit_settings::Environment;
use serde_json::{Value, json};

use super::block_on;
use crate::cli::model::{CheckModel, ModelCommand};
use crate::failure::Failure;

/// The clip that speeds are said of: what validators send.
const CLIP_SECONDS: f64 = 30.0;

pub(crate) fn run(env: &Environment, command: &ModelCommand) -> Result<ExitCode, Failure> {
    let ModelCommand::Check(args) = command;
    block_on(check(env, args))
}

async fn check(env: &Environment, args: &CheckModel) -> Result<ExitCode, Failure> {
    let spec = ModelSpec::at(&args.model).map_err(Failure::new)?;
    let runner = model_runner(env).map_err(Failure::new)?;
    let model = Model::load(spec.clone(), &runner).await.map_err(Failure::new)?;
    let report = model.check().await.map_err(Failure::new)?;
    // A spot check runs the image: the model within it, and on another machine.
    let other = match &runner {
        Runner::Onnx(config) => Some(("one thread", OnnxConfig { threads: Some(1), ..config.clone() })),
        // Where this host cannot run it there is nothing to compare.
        _ => onnx_config(env).ok().filter(|_| spec.file.is_file()).map(|config| ("this host", config)),
    };
    let other = match other {
        Some((name, config)) => {
            let other = Model::load(spec, &Runner::Onnx(config)).await.map_err(Failure::new)?;
            Some((name, model.difference(&other).await.map_err(Failure::new)?))
        }
        None => None,
    };
    if args.json {
        println!("{}", as_json(&model, &report, other));
    } else {
        print(&model, &report, other);
    }
    Ok(if report.repeats { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(model: &Model, report: &ModelCheck, other: Option<(&str, f32)>) {
    let (signature, spec) = (model.signature(), model.spec());
    println!("{}: {}\n", spec.file.display(), model.describe());
    let fact = |name: &str, text: String| println!("{name:<10}{text}");
    fact("input", signature.input.to_string());
    for output in &signature.outputs {
        fact("output", output.to_string());
    }
    if !spec.labels.is_empty() {
        fact("labels", spec.labels.join(", "));
    }
    if let Need::Frames(format) = model.need() {
        fact("sampled", sampled(format.sampling));
    }
    fact("speed", speed(model, report));
    println!();
    let verdict = |good: bool, text: String| println!("{} {text}", if good { "✓" } else { "!" });
    verdict(true, "it is what its description says, and answers in numbers".to_owned());
    if report.repeats {
        verdict(true, "the same input gives the same answer, bit by bit".to_owned());
    } else {
        println!("✗ the same input gives other answers from run to run: a spot check may find another score");
    }
    if let Some(alone) = report.alone {
        let text = "a window or image gives the same answer alone and among others";
        verdict(alone, differing(text, report.largest_difference));
    }
    if let Some((name, difference)) = other {
        verdict(difference == 0.0, differing(&format!("{name} gives the same answer"), difference));
    }
    for label in unscored(model) {
        verdict(false, format!("no validator scores {label:?}: `sv actions` lists what they do"));
    }
}

/// A sentence that holds, or how far it does not.
fn differing(text: &str, difference: f32) -> String {
    if difference == 0.0 {
        return text.to_owned();
    }
    format!("not quite: {text}, but for {difference:.1e}; keep thresholds away from where scores lie close")
}

fn sampled(sampling: Sampling) -> String {
    match sampling {
        Sampling::PerSecond(rate) => format!("{rate} frames a second"),
        Sampling::Nth(frames) => format!("one frame of {frames}"),
        _ => "every frame".to_owned(),
    }
}

fn speed(model: &Model, report: &ModelCheck) -> String {
    let (ms, places, rate) = (report.run.as_secs_f64() * 1000.0, report.places, report.frames_per_second);
    let plural = if places == 1 { "" } else { "s" };
    match (&model.spec().kind, clip_frames(model)) {
        (Kind::Objects(_), _) => format!("{ms:.1} ms for {places} image{plural}: {rate:.0} images a second"),
        (_, frames) => format!(
            "{ms:.1} ms for {places} window{plural}: {rate:.0} frames a second, {:.2} s for a clip of {CLIP_SECONDS:.0} s",
            frames / rate
        ),
    }
}

/// How many frames of a clip of 25 frames a second the model is shown.
fn clip_frames(model: &Model) -> f64 {
    let all = CLIP_SECONDS * 25.0;
    match model.need() {
        Need::Frames(format) => match format.sampling {
            Sampling::PerSecond(rate) => all.min(CLIP_SECONDS * rate),
            Sampling::Nth(frames) => all / f64::from(frames),
            _ => all,
        },
        _ => all,
    }
}

/// Labels of a spotter that cost nothing and bring nothing.
fn unscored(model: &Model) -> Vec<&str> {
    let Kind::Spotting(_, spotting) = &model.spec().kind else { return Vec::new() };
    let known = |label: &str| {
        actions(Era::Head).iter().chain(actions(Era::DocumentEra)).any(|rule| rule.name == label)
    };
    let labels = model.spec().labels.iter().enumerate();
    labels
        .filter(|(index, label)| Some(*index) != spotting.background && !known(label))
        .map(|(_, label)| label.as_str())
        .collect()
}

fn as_json(model: &Model, report: &ModelCheck, other: Option<(&str, f32)>) -> Value {
    let signature = model.signature();
    json!({
        "model": model.spec().file,
        "describe": model.describe(),
        "input": signature.input.to_string(),
        "outputs": signature.outputs.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "labels": model.spec().labels,
        "not_scored": unscored(model),
        "batch": report.places,
        "run_ms": report.run.as_secs_f64() * 1000.0,
        "frames_per_second": report.frames_per_second,
        "repeats": report.repeats,
        "alone_as_among_others": report.alone,
        "alone_difference": report.largest_difference,
        "compared_with": other.map(|(name, _)| name),
        "compared_difference": other.map(|(_, difference)| difference),
    })
}
