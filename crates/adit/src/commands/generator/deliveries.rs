//! `gascli generator deliveries` and `redeliver`.

use std::process::ExitCode;

use adit_generative::task::{Ledger, State, StoreError, Task, ValidatorStats};
use adit_generative::{Usd, database};
use adit_journal::GENERATIVE;
use adit_settings::Environment;
use serde_json::{Value, json};

use super::one_line;
use crate::cli::gascli::{Deliveries, Redeliver};
use crate::commands::table::table;
use crate::commands::{block_on, recorded, span};
use crate::failure::Failure;

/// Longest note that is shown in a table, in characters.
const NOTE: usize = 90;

pub(crate) fn run(env: &Environment, args: &Deliveries) -> Result<ExitCode, Failure> {
    block_on(async {
        let ledger = open(env).await?;
        if args.validators {
            print_validators(&ledger, args.json).await?;
            return Ok(ExitCode::SUCCESS);
        }
        let states: Vec<State> = match (&*args.state, args.all) {
            ([], true) => State::ALL.to_vec(),
            ([], false) => State::ALL.iter().copied().filter(|state| is_undelivered(*state)).collect(),
            (named, _) => named.to_vec(),
        };
        let tasks = ledger.list(&states, args.limit).await?;
        if args.json {
            println!("{:#}", json!(tasks.iter().map(as_json).collect::<Vec<_>>()));
            return Ok(ExitCode::SUCCESS);
        }
        print(&tasks, ledger.now());
        if tasks.iter().any(|task| task.state.is_dead_letter()) {
            println!("\nA dead letter is sent again by `gascli generator redeliver <TASK>`.");
        }
        if tasks.len() == args.limit as usize {
            println!("There may be more: --limit shows them.");
        }
        Ok(ExitCode::SUCCESS)
    })
}

pub(crate) fn redeliver(env: &Environment, args: &Redeliver) -> Result<ExitCode, Failure> {
    block_on(async {
        let ledger = open(env).await?.recording(recorded::open(env, GENERATIVE));
        let task = ledger.redeliver(args.task).await.map_err(|error| match error {
            StoreError::Illegal(illegal) => Failure::new(format!("task {}: {illegal}", args.task)).hint(
                "only what was refused, uncertain, expired or dead is delivered again: `gascli generator deliveries`",
            ),
            StoreError::NoSuchTask(_) => Failure::new(error)
                .hint("`gascli generator deliveries --all` lists them; ended ones are kept for ADIT_KEEP_HOURS"),
            other => other.into(),
        })?;
        if args.json {
            println!("{:#}", as_json(&task));
        } else {
            println!("Task {} will be delivered again, now if the miner runs, else when it starts.", task.id);
            println!("Next: `gascli generator deliveries` shows what the validator says to it.");
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn open(env: &Environment) -> Result<Ledger, Failure> {
    let address = database(env)?;
    Ledger::open(&address).await.map_err(|error| {
        Failure::new(error).hint(
            "there are tasks once `gascli generator serve` has run; MINER_STATE_DIR and DATABASE_URL say where they are",
        )
    })
}

/// On its way to a validator, or never got there.
fn is_undelivered(state: State) -> bool {
    matches!(state, State::Checked | State::Delivering) || state.is_dead_letter()
}

fn print(tasks: &[Task], now: i64) {
    if tasks.is_empty() {
        println!("None: every task that came to an end is delivered, or its failure reported.");
        return;
    }
    let mut rows =
        table(&["TASK", "WHAT", "STATE", ">TRIES", ">AGE", "SERVICE", ">COST", "VALIDATOR", "LAST WORD"]);
    for task in tasks {
        rows.add_row([
            task.id.to_string(),
            task.modality.to_string(),
            task.state.to_string(),
            task.tries.to_string(),
            span(now - task.accepted_at),
            task.service.clone().unwrap_or_default(),
            task.cost().to_string(),
            task.signed_by.chars().take(8).collect(),
            one_line(task.note.as_deref().or(task.failure.as_deref()).unwrap_or_default())
                .chars()
                .take(NOTE)
                .collect(),
        ]);
    }
    println!("{}", rows.trim_fmt());
}

/// Without the webhook's address, which may carry a token.
fn as_json(task: &Task) -> Value {
    json!({
        "task_id": task.id.to_string(),
        "modality": task.modality,
        "state": task.state.as_str(),
        "validator": task.signed_by,
        "prompt": task.request.prompt,
        "parameters": task.request.parameters,
        "accepted_at": seconds(task.accepted_at),
        "ended_at": task.ended_at.map(seconds),
        "attempt": task.attempt,
        "service": task.service,
        "cost_usd": usd(task.cost()),
        "bytes": task.media.as_ref().map(|media| media.bytes),
        "tries": task.tries,
        "failure": task.failure,
        "note": task.note,
    })
}

fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

fn usd(amount: Usd) -> f64 {
    amount.0 as f64 / 1e6
}

async fn print_validators(ledger: &Ledger, as_json: bool) -> Result<(), Failure> {
    let validators = ledger.validators().await?;
    if as_json {
        let validators: Vec<Value> = validators
            .iter()
            .map(|(validator, stats)| {
                let tasks: serde_json::Map<String, Value> =
                    stats.tasks.iter().map(|(state, count)| (state.to_string(), json!(count))).collect();
                json!({"validator": validator, "tasks": tasks, "cost_usd": usd(stats.cost)})
            })
            .collect();
        println!("{:#}", json!(validators));
        return Ok(());
    }
    if validators.is_empty() {
        println!("No validator has asked for anything yet.");
        return Ok(());
    }
    let mut rows = table(&[
        "VALIDATOR",
        ">DELIVERED",
        ">FAILED",
        ">REFUSED",
        ">UNCERTAIN",
        ">EXPIRED",
        ">DEAD",
        ">OPEN",
        ">COST",
    ]);
    for (validator, stats) in &validators {
        let ends =
            [State::Delivered, State::Failed, State::Refused, State::Uncertain, State::Expired, State::Dead];
        let mut row = vec![validator.clone()];
        row.extend(ends.map(|state| count(stats, |other| other == state)));
        row.push(count(stats, |state| !state.is_end()));
        row.push(stats.cost.to_string());
        rows.add_row(row);
    }
    println!("{}", rows.trim_fmt());
    Ok(())
}

fn count(stats: &ValidatorStats, of: impl Fn(State) -> bool) -> String {
    stats.tasks.iter().filter(|(state, _)| of(**state)).map(|(_, count)| count).sum::<u64>().to_string()
}
