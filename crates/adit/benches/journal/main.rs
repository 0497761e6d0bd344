//! What the journal costs: the private-track server with it and without it, in turn, on one core, with the load generator on
//! another. The same challenges and the same load as in `against_peer`.

#![expect(clippy::print_stdout, reason = "a bench exists to print")]
#![expect(dead_code, reason = "the parts of `against_peer` have more than is needed here")]

#[path = "../against_peer/challenge.rs"]
mod challenge;
#[path = "../against_peer/clip.rs"]
mod clip;
#[path = "../against_peer/figures.rs"]
mod figures;
#[path = "../against_peer/load.rs"]
mod load;
#[path = "../against_peer/process.rs"]
mod process;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use adit_journal::{Find, PRIVATE_TRACK, Reader};
use adit_keys::Keypair;
use adit_stand_in::video_host::{Reply, VideoHost};
use anyhow::{Context as _, Result};

use challenge::{CONNECTIONS, Signer};
use figures::{median, milliseconds, verdict};
use load::{EQUAL_LOAD, Pace};
use process::{Server, ServerCommand};

/// Each server's loads, in turn with the other's: many short ones, so that a machine which is slower for some seconds is so
/// for both.
const ROUNDS: usize = 31;
const SECONDS: u64 = 1;
const SECONDS_EQUAL: u64 = 2;
const FLAT_OUT: usize = 10_000;
/// What the journal may cost.
const LEAST_RATE: f64 = 0.95;
const MOST_P99: f64 = 1.25;

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
    let clip = clip::draw(&folder.path().join("clip.mp4")).await?;
    let host = VideoHost::start().await?;
    let clip_url = host.serve("/clip.mp4", Reply::bytes(clip));
    let signer = Signer { validator: Keypair::generate(), miner: Keypair::generate().hotkey(), clip_url };
    let stakes = folder.path().join("stakes.json");
    std::fs::write(&stakes, format!("{{\"{}\": 50000.0}}", signer.validator.hotkey()))?;
    let data = folder.path().join("data");

    // As in production: what a miner records is bounded.
    let on = start(folder.path(), &signer, &stakes, &data, 64 << 20)?;
    let off = start(folder.path(), &signer, &stakes, &folder.path().join("none"), 0)?;
    for server in [&on, &off] {
        load::run(
            server.address(),
            signer.requests(2000),
            CONNECTIONS,
            Pace::FlatOut(Duration::from_secs(5)),
        )
        .await
        .context("warming up")?;
    }
    let mut rates = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        for which in turns(round) {
            let pace = Pace::FlatOut(Duration::from_secs(SECONDS));
            let server = alone(&[&on, &off], which);
            let load = load::run(server, signer.requests(FLAT_OUT), CONNECTIONS, pace).await?;
            rates[which].push(load.per_second() as u64);
        }
    }
    let faster = ratio(&rates, |rate| *rate as f64);
    let [with, without] = rates.map(median);
    let rate = without as f64 * EQUAL_LOAD;
    let mut p50 = [Vec::new(), Vec::new()];
    let mut p99 = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        for which in turns(round) {
            let requests = signer.requests((rate * SECONDS_EQUAL as f64) as usize);
            let server = alone(&[&on, &off], which);
            let load = load::run(server, requests, CONNECTIONS, Pace::PerSecond(rate)).await?;
            p50[which].push(load.percentile(50));
            p99[which].push(load.percentile(99));
        }
    }
    for server in [on, off] {
        server.signal("-CONT");
        server.stop()?;
    }

    let later = ratio(&p99, Duration::as_secs_f64);
    let [p50_with, p50_without] = p50.map(median);
    let [p99_with, p99_without] = p99.map(median);
    println!("{ROUNDS} rounds in turn, medians                    journal    none       ratio    goal");
    println!(
        "requests a second, flat out                {with:>9} {without:>9}    {faster:>6.3}    at least {LEAST_RATE} {}",
        verdict(faster >= LEAST_RATE)
    );
    println!(
        "p50 at {rate:.0} requests a second              {:>9} {:>9}",
        milliseconds(p50_with),
        milliseconds(p50_without)
    );
    println!(
        "p99 at {rate:.0} requests a second              {:>9} {:>9}    {later:>6.3}    at most {MOST_P99} {}",
        milliseconds(p99_with),
        milliseconds(p99_without),
        verdict(later <= MOST_P99)
    );
    let reader = Reader::open(&data.join(PRIVATE_TRACK))?;
    let kept = reader.find(&Find { limit: u32::MAX, ..Find::event("challenge") })?.len();
    let counted: u64 = reader.tallies("challenge", 0)?.iter().map(|tally| tally.count).sum();
    println!(
        "recorded: {counted} challenges, of which the newest {kept} are kept in {} MiB",
        reader.size()?.bytes >> 20
    );
    Ok(())
}

/// The median of what the rounds show: in each, both were measured in the same few seconds.
fn ratio<T>(figures: &[Vec<T>; 2], number: impl Fn(&T) -> f64) -> f64 {
    let [with, without] = figures;
    let mut ratios: Vec<f64> = with.iter().zip(without).map(|(a, b)| number(a) / number(b)).collect();
    ratios.sort_by(f64::total_cmp);
    ratios[ratios.len() / 2]
}

/// Who goes first takes turns: the second finds a warmer machine.
fn turns(round: usize) -> [usize; 2] {
    if round.is_multiple_of(2) { [0, 1] } else { [1, 0] }
}

/// The address of one of them, while the other stands still: what a journal still has to write would cost the server without
/// one just as much.
fn alone(servers: &[&Server; 2], which: usize) -> SocketAddr {
    servers[1 - which].signal("-STOP");
    servers[which].signal("-CONT");
    servers[which].address()
}

fn start(folder: &Path, signer: &Signer, stakes: &Path, data: &Path, bytes: u64) -> Result<Server> {
    let port = process::free_port()?;
    let folder = folder.join(format!("at-{port}"));
    std::fs::create_dir(&folder)?;
    let more = [
        ("NETUID", "44".to_owned()),
        ("STAKE_TABLE_FILE", stakes.display().to_string()),
        ("ADIT_DATA_DIR", data.display().to_string()),
        ("ADIT_JOURNAL_BYTES", bytes.to_string()),
        // A line a challenge in the log is not what is measured.
        ("ADIT_LOG", "error".to_owned()),
    ];
    Server::start(&ServerCommand {
        program: PathBuf::from(env!("CARGO_BIN_EXE_sv")),
        arguments: vec!["serve".to_owned()],
        folder,
        port,
        environment: signer.settings(port, more),
    })
}
