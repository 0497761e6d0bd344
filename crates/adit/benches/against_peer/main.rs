//! `make bench`: the private-track server beside a FastAPI service with the same duties (`benches/peer/`), one
//! after the other in one run, on one core each, with the load generator on another. Prints a table with the
//! ratios and the targets beside them; BENCHMARKS.md says how to read it.
//!
//! This file owns what is measured and in which order. Processes are in `process`, requests in `challenge`, their
//! timing in `load`, the clip in `clip`, the table in `report`.

#![expect(clippy::print_stdout, reason = "a bench exists to print")]

mod challenge;
mod clip;
mod figures;
mod load;
mod process;
mod report;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use adit_keys::Keypair;
use adit_stand_in::video_host::{Reply, VideoHost};
use anyhow::{Context as _, Result, ensure};

use challenge::{CONNECTIONS, Signer};
use figures::median;
use load::{EQUAL_LOAD, Pace};
use process::{Server, ServerCommand};
use report::{Measured, Report};

/// How long each load lasts, at most.
const SECONDS: u64 = 8;
/// Requests signed for a flat-out load; it ends early where they run out.
const FLAT_OUT: usize = 100_000;
/// Starts of which the median counts.
const STARTS: usize = 5;
/// Runs of `sv --help` of which the median counts.
const HELPS: usize = 50;

fn main() -> Result<()> {
    // `cargo test --benches` passes --test: then being built is all that was asked.
    if std::env::args().any(|argument| argument == "--test") {
        return Ok(());
    }
    process::pin_this_process()?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(compare())
}

async fn compare() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let clip = clip::draw(&folder.join("clip.mp4")).await?;
    println!("clip: {} frames, {} bytes", clip::FRAMES, clip.len());
    let host = VideoHost::start().await?;
    let clip_url = host.serve("/clip.mp4", Reply::bytes(clip));

    let signer = Signer { validator: Keypair::generate(), miner: Keypair::generate().hotkey(), clip_url };
    let stakes = folder.join("stakes.json");
    std::fs::write(&stakes, format!("{{\"{}\": 50000.0}}", signer.validator.hotkey()))?;

    let command = |program: PathBuf, arguments: &[&str], port: u16| ServerCommand {
        program,
        arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
        folder: folder.to_owned(),
        port,
        environment: signer.settings(
            port,
            [("NETUID", "44".to_owned()), ("STAKE_TABLE_FILE", stakes.display().to_string())],
        ),
    };
    let sv = PathBuf::from(env!("CARGO_BIN_EXE_sv"));
    let ours = command(sv.clone(), &["serve"], process::free_port()?);
    let peer = command(peer_python()?, &[peer_script()], process::free_port()?);

    println!("peer …");
    let (peer, peer_answer) = measure(&peer, &signer, None).await?;
    println!("adit …");
    let (ours, our_answer) = measure(&ours, &signer, Some(peer.equal_load)).await?;
    for key in ["predictions", "prediction"] {
        ensure!(
            peer_answer[key] == our_answer[key] && !our_answer[key].is_null(),
            "the two differ in `{key}`, so their speed is not compared:\n{peer_answer}\n{our_answer}"
        );
    }
    println!("{}", Report { peer, ours, help: time_help(&sv)? });
    Ok(())
}

/// All measurements of one server, and its first answer. The peer, measured first, sets the equal load.
async fn measure(
    command: &ServerCommand,
    signer: &Signer,
    equal_load: Option<f64>,
) -> Result<(Measured, serde_json::Value)> {
    let mut starts = Vec::new();
    for _ in 0..STARTS {
        let from = Instant::now();
        let server = Server::start(command)?;
        starts.push(from.elapsed());
        server.stop()?;
    }

    let server = Server::start(command)?;
    let address = server.address();
    let answer = load::first_answer(address, &signer.requests(1)).await?;
    load::run(address, signer.requests(500), CONNECTIONS, Pace::FlatOut(Duration::from_secs(5)))
        .await
        .context("warming up")?;

    let flat_out = Pace::FlatOut(Duration::from_secs(SECONDS));
    let most = load::run(address, signer.requests(FLAT_OUT), CONNECTIONS, flat_out).await?;
    let resident_kib = server.resident_kib()?;

    let rate = equal_load.unwrap_or(most.per_second() * EQUAL_LOAD);
    let requests = signer.requests((rate * SECONDS as f64) as usize);
    let equal = load::run(address, requests, CONNECTIONS, Pace::PerSecond(rate)).await?;
    server.stop()?;

    let measured = Measured {
        per_second: most.per_second(),
        equal_load: rate,
        p50: equal.percentile(50),
        p99: equal.percentile(99),
        resident_kib,
        start: median(starts),
    };
    Ok((measured, answer))
}

fn time_help(sv: &Path) -> Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..HELPS {
        let from = Instant::now();
        let output = std::process::Command::new(sv).arg("--help").output()?;
        times.push(from.elapsed());
        ensure!(output.status.success(), "`sv --help` failed: {}", output.status);
    }
    Ok(median(times))
}

fn peer_script() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../benches/peer/peer.py")
}

fn peer_python() -> Result<PathBuf> {
    let python = PathBuf::from(std::env::var_os("PEER_PYTHON").unwrap_or_default());
    ensure!(
        python.is_file(),
        "the peer's Python is not there: run `make bench`, which installs it and names it in PEER_PYTHON"
    );
    Ok(python)
}
