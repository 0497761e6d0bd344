//! Whether reading the stakes from the chain anew, in the background, makes challenges wait: `sv serve` at an equal
//! load, in turns with a refresh every second and with none.

use std::path::Path;
use std::time::{Duration, Instant};

use adit_keys::Keypair;
use adit_stand_in::node::{Node, NodeScript, metagraph};
use adit_stand_in::video_host::{Reply, VideoHost};
use anyhow::{Context as _, Result, ensure};
use comfy_table::{Table, presets};

use crate::challenge::{CONNECTIONS, Signer};
use crate::figures::{median, milliseconds, verdict};
use crate::load::{self, Pace};
use crate::process::{self, Server, ServerCommand};
use crate::{NETUID, NEURONS, clip};

/// About what the load beside the peer comes to: 60 % of what a FastAPI service can do.
const PER_SECOND: f64 = 120.0;
/// How long a load lasts.
const SECONDS: u64 = 8;
/// Loads with a refresh, and as many without.
const ROUNDS: usize = 5;
/// How long a server may take until it has read the stakes.
const PATIENCE: Duration = Duration::from_secs(30);
/// The validator's place in the metagraph.
const UID: usize = 100;
const STAKE_RAO: u64 = 50_000_000_000_000;

/// Measures, and prints the table.
pub(crate) async fn measure(script: &NodeScript) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let host = VideoHost::start().await?;
    let clip_url = host.serve("/clip.mp4", Reply::bytes(clip::draw(&folder.path().join("clip.mp4")).await?));
    let signer = Signer { validator: Keypair::generate(), miner: Keypair::generate().hotkey(), clip_url };
    let mut made = metagraph(NEURONS);
    made.set_of("hotkeys", UID, signer.validator.hotkey().to_string());
    made.set_of("total_stake", UID, STAKE_RAO);
    let node = crate::start_node(script.clone().metagraph(made))?;

    let (mut with, mut without, mut refreshes) = (Vec::new(), Vec::new(), 0);
    for _ in 0..ROUNDS {
        without.push(one_load(&node, &signer, folder.path(), 3600).await?.0);
        let (p99, read) = one_load(&node, &signer, folder.path(), 1).await?;
        with.push(p99);
        refreshes += read;
    }
    let expected = ROUNDS * SECONDS as usize / 2;
    ensure!(refreshes >= expected, "only {refreshes} refreshes; at least {expected} were to happen");

    let (with, without) = (median(with), median(without));
    let ratio = with.as_secs_f64() / without.as_secs_f64();
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["what", "no refresh", "one each second", "ratio", "target", ""]);
    table.add_row([
        &format!("p99 of challenges at {PER_SECOND} a second, {refreshes} refreshes"),
        &milliseconds(without),
        &milliseconds(with),
        &format!("{ratio:.2}"),
        "<= 1.25",
        verdict(ratio <= 1.25),
    ]);
    println!("{table}");
    Ok(())
}

/// The p99 of one load, and how often the server read the metagraph during it.
async fn one_load(
    node: &Node,
    signer: &Signer,
    folder: &Path,
    refresh_seconds: u32,
) -> Result<(Duration, usize)> {
    let port = process::free_port()?;
    let more = [
        ("NETUID", NETUID.to_string()),
        ("SUBTENSOR_ADDRESS", node.url()),
        ("ADIT_STAKE_REFRESH_SECONDS", refresh_seconds.to_string()),
    ];
    let server = Server::start(&ServerCommand {
        program: env!("CARGO_BIN_EXE_sv").into(),
        arguments: vec!["serve".to_owned()],
        folder: folder.to_owned(),
        port,
        environment: signer.settings(port, more),
    })?;
    let from = Instant::now();
    // Until the first read, nobody is known.
    while let Err(e) = load::first_answer(server.address(), &signer.requests(1)).await {
        if from.elapsed() > PATIENCE {
            return Err(e).context("the server never let the validator of the metagraph in");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let flat_out = Pace::FlatOut(Duration::from_secs(2));
    load::run(server.address(), signer.requests(200), CONNECTIONS, flat_out).await.context("warming up")?;

    let read_before = reads(node);
    let requests = signer.requests((PER_SECOND * SECONDS as f64) as usize);
    let load = load::run(server.address(), requests, CONNECTIONS, Pace::PerSecond(PER_SECOND)).await?;
    let read = reads(node) - read_before;
    server.stop()?;
    Ok((load.percentile(99), read))
}

/// How often the metagraph was read so far, whole or in part.
fn reads(node: &Node) -> usize {
    node.requests().iter().filter(|method| method.ends_with("metagraph")).count()
}
