//! `adit metagraph` beside the Python SDK (`benches/peer/metagraph.py`), from the start of a process to its end, both
//! asking one local node that answers at once; then what a refresh of the stakes in the background costs
//! challenges. Prints tables with the targets beside them; BENCHMARKS.md says how to read them.
//!
//! Programs and their peak memory are in `program`, the challenges in `refresh`. The node and the load are on one
//! core, what is measured on the other.

#![expect(clippy::print_stdout, reason = "a bench exists to print")]

#[path = "../against_peer/challenge.rs"]
mod challenge;
#[path = "../against_peer/clip.rs"]
mod clip;
#[path = "../against_peer/figures.rs"]
mod figures;
#[path = "../against_peer/load.rs"]
#[expect(dead_code, reason = "here nobody asks for the most requests a second")]
mod load;
#[path = "../against_peer/process.rs"]
#[expect(dead_code, reason = "memory is taken another way here")]
mod process;
mod program;
mod refresh;

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use adit_stand_in::local_chain::newest_metadata;
use adit_stand_in::node::{MetagraphFixture, Node, NodeScript, metagraph};
use anyhow::{Context as _, Result, ensure};
use comfy_table::{Table, presets};

use figures::{mebibytes, median, milliseconds, ratio_text, verdict};
use program::{Program, Run};

const NETUID: u16 = 44;
/// As many as a full subnet has.
const NEURONS: usize = 256;
/// Runs of each program, of which the median counts.
const RUNS: usize = 9;

/// Hotkeys of the wallet that is listed.
const HOTKEYS: usize = 20;
/// Runs of `adit wallet list` of which the median counts.
const LISTS: usize = 20;

fn main() -> Result<()> {
    // `cargo test --benches` passes --test: then being built is all that was asked.
    if std::env::args().any(|argument| argument == "--test") {
        return Ok(());
    }
    // What is missing has been said.
    let Some(metadata) = newest_metadata() else { return Ok(()) };
    process::pin_this_process()?;
    let script = NodeScript::new(metadata);
    compare(&script)?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(refresh::measure(&script))
}

/// Starts a node in a thread of its own, so that it and the load wait for each other no more than two processes do.
fn start_node(script: NodeScript) -> Result<Node> {
    let (started, wait) = mpsc::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            // Nobody waits any more only where the bench is over.
            let _ = started.send(Node::start(script).await);
            std::future::pending::<()>().await;
        });
    });
    Ok(wait.recv()??)
}

fn compare(script: &NodeScript) -> Result<()> {
    let made = metagraph(NEURONS);
    let node = start_node(script.clone().metagraph(made.clone()))?;
    let folder = tempfile::tempdir()?;
    let python = sdk_python()?;
    let program = |name: &str, words: Vec<String>| Program::new(name, words, &python, folder.path());
    let peer = program(
        "peer",
        vec![python.display().to_string(), peer_script().into(), node.url(), NETUID.to_string()],
    );
    let ours = program("adit", our_command(&node.url()));

    // The first run of each reads its files from disk, and shows whether they are worth comparing.
    for program in [&peer, &ours] {
        let asked_before = node.requests().len();
        let seen = check(&program.run()?, &made).with_context(|| format!("what {program} printed"))?;
        println!("{program}: {seen}; asked {}", node.requests()[asked_before..].join(", "));
    }
    let (mut peers, mut own) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        peers.push(peer.run()?);
        own.push(ours.run()?);
    }
    let mut table = table(&peers, &own);
    let list = time_wallet_list(&python, folder.path())?;
    let met = list <= Duration::from_millis(10);
    let what = format!("adit wallet list, {HOTKEYS} hotkeys");
    table.add_row([&what, "", &milliseconds(list), "", "<= 10 ms", verdict(met)]);
    println!("{table}");
    Ok(())
}

/// From the start of the process to its end.
fn time_wallet_list(python: &Path, folder: &Path) -> Result<Duration> {
    let adit = |words: &[&str]| {
        let words = words.iter().map(|word| (*word).to_owned());
        let program = std::iter::once(env!("CARGO_BIN_EXE_adit").to_owned());
        Program::new("adit wallet", program.chain(words).collect(), python, folder)
    };
    for index in 0..HOTKEYS {
        adit(&["wallet", "new-hotkey", "--wallet.hotkey", &format!("hotkey{index}")]).run()?;
    }
    let list = adit(&["wallet", "list"]);
    let times: Result<Vec<_>> = (0..LISTS).map(|_| Ok(list.run()?.wall)).collect();
    Ok(median(times?))
}

/// That what a program printed is the node's metagraph, neuron by neuron; and in short what it was.
fn check(run: &Run, made: &MetagraphFixture) -> Result<String> {
    let printed: serde_json::Value = serde_json::from_slice(&run.output)?;
    ensure!(printed["netuid"] == NETUID, "another subnet: {}", printed["netuid"]);
    ensure!(printed["block"] == *made.get("block"), "another block: {}", printed["block"]);
    let neurons = printed["neurons"].as_array().context("no neurons")?;
    ensure!(neurons.len() == NEURONS, "{} neurons", neurons.len());
    let mut sum = 0;
    for (uid, neuron) in neurons.iter().enumerate() {
        let stake = neuron["stake"].as_f64().context("a stake that is no number")?;
        let rao = (stake * 1e9).round() as u64;
        let same = neuron["uid"] == uid && neuron["hotkey"] == made.hotkey(uid).to_string();
        ensure!(same && made.get("total_stake")[uid] == rao, "neuron {uid} is another: {neuron}");
        sum += rao;
    }
    Ok(format!("{NEURONS} neurons at block {}, {:.3} TAO of stake", printed["block"], sum as f64 * 1e-9))
}

fn table(peers: &[Run], own: &[Run]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["what", "peer", "adit", "adit / peer", "target", ""]);
    let wall = |runs: &[Run]| median(runs.iter().map(|run| run.wall).collect());
    let (peer, ours) = (wall(peers), wall(own));
    let ratio = ours.as_secs_f64() / peer.as_secs_f64();
    table.add_row([
        "start to a decoded metagraph",
        &milliseconds(peer),
        &milliseconds(ours),
        &ratio_text(ratio),
        "<= 1/10",
        verdict(ratio <= 1.0 / 10.0),
    ]);
    let peak = |runs: &[Run]| median(runs.iter().map(|run| run.peak_kib).collect());
    let (peer, ours) = (peak(peers), peak(own));
    let ratio = ours as f64 / peer as f64;
    table.add_row([
        "peak resident memory",
        &mebibytes(peer),
        &mebibytes(ours),
        &ratio_text(ratio),
        "<= 1/5",
        verdict(ratio <= 1.0 / 5.0),
    ]);
    table
}

/// `adit metagraph`, or the words of ADIT_BENCH_METAGRAPH, which get the node's URL as their last one.
fn our_command(url: &str) -> Vec<String> {
    if let Ok(words) = std::env::var("ADIT_BENCH_METAGRAPH") {
        return words.split_whitespace().chain([url]).map(str::to_owned).collect();
    }
    let netuid = NETUID.to_string();
    let words = [env!("CARGO_BIN_EXE_adit"), "metagraph", "--netuid", &netuid, "--network", url, "--json"];
    words.map(str::to_owned).to_vec()
}

fn peer_script() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../benches/peer/metagraph.py")
}

fn sdk_python() -> Result<PathBuf> {
    let python = PathBuf::from(std::env::var_os("SDK_PYTHON").unwrap_or_default());
    ensure!(
        python.is_file(),
        "the SDK's Python is not there: run `make bench`, which installs it and names it in SDK_PYTHON"
    );
    Ok(python)
}
