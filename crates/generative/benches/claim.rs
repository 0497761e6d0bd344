//! How long it takes to pick the next task out of ten thousand of many validators, commit included: on SQLite, and on
//! PostgreSQL where that is installed.

#![expect(clippy::print_stdout, reason = "a bench exists to print")]

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use adit_generative::Modality;
use adit_generative::task::{Address, Config, Request, Store};
use adit_stand_in::postgres::Postgres;
use secrecy::SecretString;
use tokio::task::JoinSet;

const QUEUED: u64 = 10_000;
/// As many as a subnet lets in.
const VALIDATORS: u64 = 64;
/// Picked one after the other, and kept.
const PICKED: usize = 1_000;

fn main() -> Result<(), Box<dyn Error>> {
    // `cargo test --benches` passes --test: then being built is all that was asked.
    if std::env::args().any(|argument| argument == "--test") {
        return Ok(());
    }
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let folder = tempfile::tempdir()?;
        measure("SQLite", Address::Sqlite(folder.path().join("tasks.db")), folder.path()).await?;
        // What is missing has been said.
        if let Some(server) = Postgres::start() {
            let address = Address::parse(&SecretString::from(server.url()))?;
            measure("PostgreSQL", address, folder.path()).await?;
        }
        Ok(())
    })
}

async fn measure(name: &str, database: Address, folder: &Path) -> Result<(), Box<dyn Error>> {
    let output_dir = folder.join("media");
    let store =
        Store::open(Config { database, output_dir, queue: QUEUED, daily_budget: None, journal: None })
            .await?;
    let mut accepting = JoinSet::new();
    for number in 0..QUEUED {
        let store = store.clone();
        let request = Request {
            prompt: "a lighthouse at dusk".to_owned(),
            parameters: serde_json::Value::Null,
            webhook_url: "http://127.0.0.1:9/".to_owned(),
        };
        let validator = format!("validator {}", number % VALIDATORS);
        accepting.spawn(async move { store.accept(Modality::Image, validator, request, None).await });
    }
    while let Some(accepted) = accepting.join_next().await {
        accepted??;
    }

    let mut claims = Vec::new();
    let mut times = Vec::new();
    for _ in 0..PICKED {
        let from = Instant::now();
        let claim = store.claim_queued(Modality::Image).await?.ok_or("nothing waits")?;
        times.push(from.elapsed());
        claims.push(claim);
    }
    times.sort_unstable();
    let (median, p99) = (times[PICKED / 2], times[PICKED * 99 / 100]);
    let met = if median < Duration::from_millis(2) { "" } else { "MISSED" };
    println!(
        "| one of {QUEUED} tasks of {VALIDATORS} validators, {name} | median {:.2} ms, p99 {:.2} ms | < 2 ms | {met} |",
        median.as_secs_f64() * 1e3,
        p99.as_secs_f64() * 1e3,
    );
    drop(claims);
    store.close().await?;
    Ok(())
}
