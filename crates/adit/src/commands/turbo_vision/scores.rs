//! `sv scores`: what validators gave this miner.

use std::collections::BTreeMap;
use std::process::ExitCode;

use adit_settings::{Environment, var};
use adit_turbo_vision::results::{self, Evaluation};
use serde_json::{Value, json};
use url::Url;

use super::{client, soon};
use crate::cli::turbo_vision::Scores;
use crate::commands::block_on;
use crate::commands::table::table;
use crate::failure::Failure;

/// Blocks of three days: over as much validators take the mean (SCOREVISION_PUBLIC_EVAL_WINDOW_DAYS).
const WINDOW: u64 = 3 * 7200;

pub(super) fn run(env: &Environment, args: &Scores) -> Result<ExitCode, Failure> {
    let hotkey = args.who.hotkey(env)?.to_string();
    let index: Url = env.parsed(&var::RESULTS_URL, "an http or https URL")?;
    let winners: Url = env.parsed(&var::WINNERS_INDEX_URL, "an http or https URL")?;
    let (listed, evaluations, winners) = block_on(async {
        let client = client()?;
        let mut places = results::places(&client, &index, &hotkey, soon()).await.map_err(|error| {
            Failure::new(error).hint("ADIT_RESULTS_URL names the index of another validator")
        })?;
        if let Some(element) = &args.element_id {
            let written = element.replace('/', "_");
            places.retain(|place| place.element == written);
        }
        let listed = places.len();
        places.truncate(usize::from(args.last));
        let named: Vec<String> =
            places.iter().map(|place| format!("{}, block {}", place.element, place.block)).collect();
        let evaluations = results::evaluations(&client, places).await;
        let evaluations = named.into_iter().zip(evaluations);
        let evaluations: Vec<_> =
            evaluations.map(|(named, read)| read.map_err(|error| format!("{named}: {error}"))).collect();
        // Who won is good to know and no more.
        let winners = results::winners(&client, &winners, soon()).await;
        Ok((listed, evaluations, winners))
    })?;
    if listed == 0 {
        let of = args.element_id.as_ref().map_or(String::new(), |element| format!(" for {element}"));
        return Err(Failure::new(format!("no validator published an evaluation of {hotkey}{of}")).hint(
            "a chute is evaluated once its commitment is revealed; `adit commitment show` shows yours",
        ));
    }
    let (found, failed): (Vec<_>, Vec<_>) = evaluations.into_iter().partition(Result::is_ok);
    let found: Vec<Evaluation> = found.into_iter().flatten().collect();
    let failed: Vec<String> = failed.into_iter().filter_map(Result::err).collect();
    let winners: BTreeMap<String, Option<String>> = match winners {
        Ok(winners) => winners.into_iter().collect(),
        Err(error) => {
            tracing::warn!("{error}");
            BTreeMap::new()
        }
    };
    let means = means(&found);
    if args.json {
        let evaluations: Vec<Value> = found.iter().map(as_json).collect();
        let means: Vec<Value> = means
            .iter()
            .map(|(element, mean)| {
                json!({"element": element, "mean": mean.mean, "evaluations": mean.count,
                    "winner": winners.get(*element), "winning": is_winner(&winners, element, &hotkey)})
            })
            .collect();
        let shown = json!({"hotkey": hotkey, "listed": listed, "elements": means, "evaluations": evaluations,
            "not_read": failed});
        println!("{shown:#}");
    } else {
        if !found.is_empty() {
            print(&found, &means, &winners, &hotkey);
        }
        let found = found.len();
        println!("{found} of {listed} evaluations of {hotkey}; --last says how many are fetched.");
        for error in &failed {
            println!("⚠ {error}");
        }
    }
    Ok(if found.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

struct Mean {
    mean: f64,
    count: usize,
}

/// Of each element, over the three days before its newest evaluation.
fn means(evaluations: &[Evaluation]) -> BTreeMap<&str, Mean> {
    let mut newest: BTreeMap<&str, u64> = BTreeMap::new();
    for it in evaluations {
        let block = newest.entry(&it.element).or_default();
        *block = (*block).max(it.place.block);
    }
    let mean = |(element, newest): (&'_ str, u64)| {
        let scores: Vec<f64> = evaluations
            .iter()
            .filter(|it| it.element == element && it.place.block + WINDOW >= newest)
            .filter_map(|it| it.score)
            .collect();
        Mean { mean: scores.iter().sum::<f64>() / scores.len().max(1) as f64, count: scores.len() }
    };
    newest.into_iter().map(|(element, block)| (element, mean((element, block)))).collect()
}

fn is_winner(winners: &BTreeMap<String, Option<String>>, element: &str, hotkey: &str) -> bool {
    winners.get(element).is_some_and(|winner| winner.as_deref() == Some(hotkey))
}

fn as_json(it: &Evaluation) -> Value {
    json!({
        "element": it.element, "block": it.place.block, "commit_block": it.place.commit_block, "score": it.score,
        "latency_p95_ms": it.latency_p95_ms, "latency_pass": it.latency_pass, "success": it.success,
        "error": it.error, "revision": it.revision, "validator": it.validator, "breakdown": it.breakdown,
    })
}

fn print(
    found: &[Evaluation],
    means: &BTreeMap<&str, Mean>,
    winners: &BTreeMap<String, Option<String>>,
    hotkey: &str,
) {
    let mut rows = table(&[">BLOCK", "ELEMENT", ">SCORE", ">P95", "REVISION", "NOTE"]);
    for it in found {
        let note = match (it.success, it.latency_pass, &it.error) {
            (Some(false), _, Some(error)) => {
                format!("failed: {}", error.chars().take(60).collect::<String>())
            }
            (Some(false), _, None) => "failed".to_owned(),
            (_, Some(false), _) => "too slow".to_owned(),
            _ => String::new(),
        };
        rows.add_row([
            it.place.block.to_string(),
            it.element.clone(),
            it.score.map_or("-".to_owned(), |score| format!("{score:.4}")),
            it.latency_p95_ms.map_or("-".to_owned(), |ms| format!("{ms:.0} ms")),
            it.revision.as_deref().unwrap_or("-").chars().take(10).collect(),
            note,
        ]);
    }
    println!("{}\n", rows.trim_fmt());
    let mut rows = table(&["ELEMENT", ">MEAN, 3 DAYS", ">OF", "WINNER"]);
    for (element, mean) in means {
        let winner = match winners.get(*element) {
            _ if is_winner(winners, element, hotkey) => "this miner".to_owned(),
            Some(Some(winner)) => winner.clone(),
            _ => "-".to_owned(),
        };
        rows.add_row([(*element).to_owned(), format!("{:.4}", mean.mean), mean.count.to_string(), winner]);
    }
    println!("{}\n", rows.trim_fmt());
}
