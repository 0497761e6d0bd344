//! `make bench`: the generative miner beside a FastAPI service that keeps its tasks in memory
//! (`benches/peer/generator.py`), one after the other in one run, each on one core, with the load, the paid service and
//! the webhook on another. Prints a table with the ratios and the targets beside them; BENCHMARKS.md says how to read
//! it.
//!
//! Requests until the 201 are in `accept`, what follows is in `work`. What the servers run between is in `stage` and
//! `webhook`.

#![expect(clippy::print_stdout, reason = "a bench exists to print")]

mod accept;
#[path = "../against_peer/figures.rs"]
mod figures;
#[path = "../against_peer/load.rs"]
mod load;
#[path = "../against_peer/process.rs"]
mod process;
mod report;
mod stage;
mod webhook;
mod work;

use anyhow::Result;

use report::Report;

fn main() -> Result<()> {
    // `cargo test --benches` passes --test: then being built is all that was asked.
    if std::env::args().any(|argument| argument == "--test") {
        return Ok(());
    }
    process::pin_this_process()?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(measure())
}

async fn measure() -> Result<()> {
    let mut report = Report::new();
    accept::compare(&mut report).await?;
    work::five(&mut report).await?;
    work::thousand(&mut report).await?;
    work::large_video(&mut report).await?;
    println!("{report}");
    Ok(())
}
