//! `sv rehearse`.

use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;

use adit_http_server::ClipHost;
use adit_journal::PRIVATE_TRACK;
use adit_journal::record::{MAX_TEXT, Rehearsed, bounded};
use adit_keys::{Hotkey, Keypair};
use adit_outbound::{AddressGuard, Client};
use adit_private_track::rehearsal::{Attempt, Outcome, Plan, Report, SpotCheck, rehearse};
use adit_private_track::spot_check::SPOT_CHECK_BUDGET;
use adit_private_track::{ConfigError, own_hotkey};
use adit_scoring::soccer::{Event, Prediction, Truth, Verdict};
use adit_settings::{Environment, var};
use serde_json::{Value, json};

use super::table::table;
use super::{block_on, journal, password, recorded};
use crate::cli::Rehearse;
use crate::failure::Failure;

pub(crate) fn run(env: &Environment, args: Rehearse) -> Result<ExitCode, Failure> {
    let challenge = args.of.map(|number| journal::challenge(env, number)).transpose()?;
    let recorded = || challenge.as_ref().and_then(|challenge| challenge.video_url.clone());
    let clip = args.clip.clone().or_else(recorded).ok_or_else(|| {
        Failure::new("that challenge has no clip in the journal").hint("name one: sv rehearse CLIP --of ID")
    })?;
    let told = Rehearsed {
        target: args.miner.clone().unwrap_or_else(|| "this host's miner".to_owned()),
        asked: bounded(&clip, MAX_TEXT),
        challenge_id: challenge.map(|challenge| challenge.challenge_id),
        ..Rehearsed::default()
    };
    let ended = run_asked(env, args, &clip);
    let rehearsed = match &ended {
        Ok(report) => record(told, report),
        Err(failure) => Rehearsed { detail: Some(bounded(failure.parts().0, MAX_TEXT)), ..told },
    };
    if let Some(journal) = recorded::open(env, PRIVATE_TRACK) {
        journal.record(&rehearsed);
    }
    ended.map(|report| if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What is recorded of a rehearsal that took place.
fn record(told: Rehearsed, report: &Report) -> Rehearsed {
    let count = |attempts: usize| u32::try_from(attempts).unwrap_or(u32::MAX);
    let answered = report.attempts.iter().filter(|attempt| attempt.outcome.is_answer());
    let scores = answered.clone().filter_map(|attempt| attempt.outcome.score());
    let slowest = report.attempts.iter().map(|attempt| attempt.latency).max().unwrap_or_default();
    let failed = report.attempts.iter().find(|attempt| !attempt.outcome.is_answer());
    let spot_check = report.spot_check.as_ref().filter(|check| !check.passed());
    let detail = match (failed, report.identical, spot_check) {
        (Some(attempt), _, _) => Some(format!("{}: {}", attempt.sender.name(), attempt_row(attempt)[1])),
        (None, Some(false), _) => Some("the answers differ".to_owned()),
        (None, _, Some(check)) => Some(format!("spot check: {}", check.reason)),
        (None, _, None) => None,
    };
    Rehearsed {
        passed: report.passed(),
        asked_times: count(report.attempts.len()),
        answered_times: count(answered.count()),
        score: scores.reduce(f64::max),
        identical: report.identical,
        slowest_ms: u64::try_from(slowest.as_millis()).unwrap_or(u64::MAX),
        detail: detail.map(|detail| bounded(&detail, MAX_TEXT)),
        ..told
    }
}

fn run_asked(env: &Environment, args: Rehearse, clip: &str) -> Result<Report, Failure> {
    let truth = args.truth.as_deref().map(read_truth).transpose()?;
    let miner = match &args.miner {
        Some(url) => url.clone(),
        None => format!("http://127.0.0.1:{}", env.required(&var::MINER_PORT)?),
    };
    let signer = match &args.signer {
        Some(file) => password::open_file(env, file, &args.password)?,
        None => Keypair::generate(),
    };
    let plan = Plan {
        miner_hotkey: miner_hotkey(env, &args)?,
        signer,
        senders: args.sender.senders(),
        repeat: args.repeat,
        video_url: String::new(),
        spot_check: args.spot_check.map(|url| if url.is_empty() { miner.clone() } else { url }),
        truth,
        miner,
    };
    let truth = plan.truth.clone();
    let remote = !plan.miner.contains("127.0.0.1") && !plan.miner.contains("localhost");
    let (report, clip_host) = block_on(async {
        // What the operator typed may be anywhere, so the guard is off here.
        let client = Client::new(AddressGuard::unrestricted())?;
        if clip.contains("://") {
            return Ok((rehearse(&client, &Plan { video_url: clip.to_owned(), ..plan }).await, None));
        }
        let host = ClipHost::start(Path::new(clip), args.serve_on).await?;
        let report = rehearse(&client, &Plan { video_url: host.url(), ..plan }).await;
        Ok((report, Some(args.serve_on)))
    })?;
    if args.json {
        println!("{:#}", as_json(&report, truth.as_deref()));
    } else {
        print(&report, truth.as_deref());
        for hint in hints(&report, clip_host, remote) {
            println!("hint: {hint}");
        }
    }
    Ok(report)
}

/// As told, else this host's own; where there is none the miner either does not check it or says so.
fn miner_hotkey(env: &Environment, args: &Rehearse) -> Result<Hotkey, Failure> {
    match args.miner_hotkey.map_or_else(|| own_hotkey(env), Ok) {
        Err(ConfigError::NoHotkey(_)) => Ok(Keypair::generate().hotkey()),
        other => Ok(other?),
    }
}

fn read_truth(file: &Path) -> Result<Vec<Event>, Failure> {
    let shown = file.display();
    let text = std::fs::read(file)
        .map_err(|error| Failure::new(format!("cannot read the truth {shown}: {error}")))?;
    serde_json::from_slice(&text).map_err(|error| {
        Failure::new(format!("{shown} is no list of actions: {error}"))
            .hint(r#"expected JSON such as [{"frame": 45, "action": "pass"}]"#)
    })
}

pub(super) fn print(report: &Report, truth: Option<&[Event]>) {
    let mut rows = table(&["SENDER", "OUTCOME", ">PREDICTIONS", ">LATENCY", ">BUDGET", ">SCORE"]);
    for attempt in &report.attempts {
        rows.add_row(attempt_row(attempt));
    }
    println!("{}", rows.trim_fmt());

    // Every answer is the same or the rehearsal has failed, so one is shown action by action.
    if let (Some((predictions, verdict)), Some(truth)) = (report.attempts.iter().find_map(scored), truth) {
        println!("\n{}", action_lines(predictions, truth, verdict));
    }
    println!();
    match report.identical {
        Some(true) => println!("✓ all answers hold the same predictions, byte for byte"),
        Some(false) => println!("✗ the answers differ: a spot check may fail"),
        None => {}
    }
    if let Some(check) = &report.spot_check {
        println!("{}", spot_check_line(check));
    }
}

fn attempt_row(attempt: &Attempt) -> [String; 6] {
    let (outcome, count) = match &attempt.outcome {
        Outcome::Answered { kind, predictions, .. } => ((*kind).to_owned(), predictions.len().to_string()),
        Outcome::Status { status, detail } => (format!("{status} {detail}"), String::new()),
        Outcome::Rejected(why) => (format!("refused by the validator: {why}"), String::new()),
        Outcome::TimedOut => ("timed out".to_owned(), String::new()),
        Outcome::Unreachable(why) => (why.clone(), String::new()),
    };
    [
        attempt.sender.name().to_owned(),
        outcome,
        count,
        format!("{:.3} s", attempt.latency.as_secs_f64()),
        format!("{} s", attempt.budget.as_secs()),
        attempt.outcome.score().map_or("no truth".to_owned(), |score| format!("{score:.4}")),
    ]
}

fn scored(attempt: &Attempt) -> Option<(&[Event], &Verdict)> {
    match &attempt.outcome {
        Outcome::Answered { predictions, verdict: Some(verdict), .. } => Some((predictions, verdict)),
        _ => None,
    }
}

/// A line for each prediction and each missed action, in order of the frames.
fn action_lines(predictions: &[Event], truth: &[Event], verdict: &Verdict) -> String {
    let mut lines: Vec<(u128, [String; 4])> = Vec::new();
    for (event, outcome) in predictions.iter().zip(&verdict.predictions) {
        let (points, what) = match outcome {
            Prediction::Matched { truth: row, distance_s, points } => {
                (format!("{points:+.2}"), format!("hit: frame {}, {distance_s:.2} s off", truth[*row].frame))
            }
            Prediction::Penalised(weight) => (format!("{:+.2}", -weight), "matches nothing".to_owned()),
            Prediction::Ignored => ("0".to_owned(), "unknown action, ignored".to_owned()),
        };
        lines.push((event.frame, [event.frame.to_string(), event.action.clone(), points, what]));
    }
    for (event, outcome) in truth.iter().zip(&verdict.truth) {
        if matches!(outcome, Truth::Missed) {
            let line = [event.frame.to_string(), event.action.clone(), "0".to_owned(), "missed".to_owned()];
            lines.push((event.frame, line));
        }
    }
    lines.sort_by_key(|(frame, _)| *frame);
    let mut rows = table(&[">FRAME", "ACTION", ">POINTS", ""]);
    for (_, line) in lines {
        rows.add_row(line);
    }
    format!(
        "{}\n\nscore {:.4} = ({:.2} matched - {:.2} penalty) / {:.2} total weight",
        rows.trim_fmt(),
        verdict.score,
        verdict.matched,
        verdict.penalty,
        verdict.total_weight
    )
}

fn spot_check_line(check: &SpotCheck) -> String {
    let mark = if check.passed() { "✓ PASS" } else { "✗ FAIL" };
    let scores = match check.scores {
        Some((live, again)) => {
            format!(", scores {live:.4} and {again:.4} ({:.4} apart, 0.02 allowed)", (live - again).abs())
        }
        None => ", no truth: judged by the bytes".to_owned(),
    };
    let took = check.latency.map_or(String::new(), |took| {
        format!(", {:.3} s of {} s", took.as_secs_f64(), SPOT_CHECK_BUDGET.as_secs())
    });
    format!("{mark} spot check: {}{scores}{took}", check.reason)
}

/// What to do about refusals. `clip_host` is where this command served the clip, if it did; `remote`
/// tells that the miner runs elsewhere.
fn hints(report: &Report, clip_host: Option<IpAddr>, remote: bool) -> Vec<String> {
    let said = |words: &str| {
        report.attempts.iter().any(
            |attempt| matches!(&attempt.outcome, Outcome::Status { detail, .. } if detail.contains(words)),
        )
    };
    let mut hints = Vec::new();
    if said("Hotkey not found in metagraph") {
        hints.push(
            "the miner's stake table lacks the signing hotkey: sign with --signer, add it to STAKE_TABLE_FILE, or run \
             the miner with BLACKLIST_ENABLED=false"
                .to_owned(),
        );
    }
    if said("Invalid miner hotkey") {
        hints.push("name the miner's own hotkey with --miner-hotkey".to_owned());
    }
    if said("cannot be fetched") {
        hints.push(match clip_host {
            Some(address) if remote && address.is_loopback() => {
                "the miner cannot reach a clip on this host's loopback: name an address that it can reach with \
                 --serve-on"
                    .to_owned()
            }
            Some(address) => format!(
                "the miner may not fetch from a private address: start it with ADIT_ALLOWED_HOSTS={address}"
            ),
            None => "the miner's log says why it cannot fetch the clip".to_owned(),
        });
    }
    if report.attempts.iter().any(|attempt| matches!(attempt.outcome, Outcome::Unreachable(_))) {
        hints.push("is the miner running? `sv serve` starts it; --miner names another address".to_owned());
    }
    hints
}

fn as_json(report: &Report, truth: Option<&[Event]>) -> Value {
    let attempts: Vec<Value> =
        report.attempts.iter().map(|attempt| attempt_json(attempt, truth.unwrap_or_default())).collect();
    let spot_check = report.spot_check.as_ref().map(|check| {
        json!({
            "status": if check.passed() { "PASS" } else { "FAIL" },
            "reason": check.reason,
            "original_score": check.scores.map(|scores| scores.0),
            "spotcheck_score": check.scores.map(|scores| scores.1),
            "identical": check.identical,
            "elapsed_s": check.latency.map(|took| took.as_secs_f64()),
        })
    });
    json!({
        "passed": report.passed(),
        "identical": report.identical,
        "attempts": attempts,
        "spot_check": spot_check,
    })
}

fn attempt_json(attempt: &Attempt, truth: &[Event]) -> Value {
    let outcome = match &attempt.outcome {
        Outcome::Answered { kind, predictions, verdict, .. } => json!({
            "status": "answered", "kind": kind, "predictions": predictions.len(),
            "verdict": verdict.as_ref().map(|verdict| verdict_json(predictions, truth, verdict)),
        }),
        Outcome::Status { status, detail } => {
            json!({"status": "http_error", "code": status, "detail": detail})
        }
        Outcome::Rejected(why) => json!({"status": "rejected", "detail": why}),
        Outcome::TimedOut => json!({"status": "timed_out"}),
        Outcome::Unreachable(why) => json!({"status": "unreachable", "detail": why}),
    };
    json!({
        "sender": attempt.sender.name(),
        "latency_s": attempt.latency.as_secs_f64(),
        "budget_s": attempt.budget.as_secs(),
        "score": attempt.outcome.score(),
        "outcome": outcome,
    })
}

fn verdict_json(predictions: &[Event], truth: &[Event], verdict: &Verdict) -> Value {
    let actions: Vec<Value> = predictions
        .iter()
        .zip(&verdict.predictions)
        .map(|(event, outcome)| {
            let (result, points, row, distance) = match outcome {
                Prediction::Matched { truth, distance_s, points } => {
                    ("matched", *points, Some(*truth), Some(*distance_s))
                }
                Prediction::Penalised(weight) => ("penalised", -weight, None, None),
                Prediction::Ignored => ("ignored", 0.0, None, None),
            };
            let mut line = event_json(event);
            line["result"] = result.into();
            line["points"] = points.into();
            line["truth"] = row.map_or(Value::Null, |row| event_json(&truth[row]));
            line["distance_s"] = distance.into();
            line
        })
        .collect();
    let missed: Vec<&Event> = truth
        .iter()
        .zip(&verdict.truth)
        .filter_map(|(event, outcome)| matches!(outcome, Truth::Missed).then_some(event))
        .collect();
    let missed: Vec<Value> = missed.into_iter().map(event_json).collect();
    json!({
        "matched": verdict.matched, "penalty": verdict.penalty, "total_weight": verdict.total_weight,
        "actions": actions,
        "missed": missed,
    })
}

/// Frames beyond 64 bits occur only in answers made to break readers.
fn event_json(event: &Event) -> Value {
    json!({"frame": u64::try_from(event.frame).ok(), "action": event.action})
}
