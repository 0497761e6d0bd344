//! How fast requests are taken on, beside the peer, and how late they are answered at an equal load. The paid service
//! does not answer meanwhile, so that all but the first few tasks wait, and the servers do nothing else.

use std::time::{Duration, Instant};

use adit_generative::Modality;
use adit_outbound::{AddressGuard, Client, Limits};
use adit_stand_in::media::PNG;
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::figures::{median, milliseconds};
use crate::load::{self, EQUAL_LOAD, Load, Pace};
use crate::process::Server;
use crate::report::Report;
use crate::stage::{Side, Stage};

/// Connections that are kept alive: requests in flight.
const CONNECTIONS: usize = 64;
/// How long each load lasts, at most. A request has to arrive within 15 s of being signed.
const SECONDS: u64 = 5;
/// Requests signed for a flat-out load; it ends early where they run out.
const FLAT_OUT: usize = 40_000;
/// Starts of which the median counts.
const STARTS: usize = 5;

struct Measured {
    start: Duration,
    most: Load,
    /// Of the server, for each request of that load.
    processor_time: Duration,
    /// Requests a second of the equal load.
    rate: f64,
    equal: Load,
    answer: Value,
}

pub(crate) async fn compare(report: &mut Report) -> Result<()> {
    let stage = Stage::set(PNG).await?;
    stage.providers.delay(Duration::from_secs(3600));
    let peer = measure(&stage, Side::Peer, None).await?;
    let ours = measure(&stage, Side::Ours, Some(peer.rate)).await?;
    for key in ["status", "modality", "prompt", "webhook_url"] {
        ensure!(
            peer.answer[key] == ours.answer[key] && !ours.answer[key].is_null(),
            "the two differ in `{key}`, so their speed is not compared:\n{}\n{}",
            peer.answer,
            ours.answer
        );
    }
    let [peers, own] = [&peer, &ours].map(|side| side.most.per_second());
    let ratio = own / peers;
    let texts = [peers, own].map(|rate| format!("{rate:.0}"));
    report.compared("requests accepted a second, flat out", texts, ratio, ">= 5", ratio >= 5.0);
    report.times("processor time of each", [peer.processor_time, ours.processor_time], "<= 1/5", 0.2);
    for (percent, target, most) in [(50, "", f64::MAX), (99, "<= 1/2", 0.5)] {
        let what = format!("p{percent} of the 201 at {:.0} requests a second", peer.rate);
        report.times(&what, [&peer, &ours].map(|side| side.equal.percentile(percent)), target, most);
    }
    report.times("start to first 200 on `/docs`", [peer.start, ours.start], "<= 1/10", 0.1);
    Ok(())
}

/// The peer, measured first, sets the equal load.
async fn measure(stage: &Stage, side: Side, rate: Option<f64>) -> Result<Measured> {
    let command = stage.command(side, "starts")?;
    let mut starts = Vec::new();
    for _ in 0..STARTS {
        let from = Instant::now();
        let server = Server::start(&command)?;
        starts.push(from.elapsed());
        server.stop()?;
    }

    // Servers under load are killed and not stopped: paid calls under way would be waited for.
    let server = Server::start(&stage.command(side, "flat-out")?)?;
    let answer = warm_up(stage, &server).await?;
    let before = commits(&server, side).await?;
    let requests = stage.requests(Modality::Image, FLAT_OUT)?;
    let flat_out = Pace::FlatOut(Duration::from_secs(SECONDS));
    let worked = processor_time(&server)?;
    let most = load::run(server.address(), requests, CONNECTIONS, flat_out).await?;
    let worked = processor_time(&server)? - worked;
    if let (Some(before), Some(after)) = (before, commits(&server, side).await?) {
        println!(
            "flat out, {} tasks were accepted, {:.1} in each commit; the longest wait was {}",
            most.count(),
            most.count() as f64 / (after - before),
            milliseconds(most.percentile(100))
        );
    }
    drop(server);

    let rate = rate.unwrap_or(most.per_second() * EQUAL_LOAD);
    let server = Server::start(&stage.command(side, "equal-load")?)?;
    warm_up(stage, &server).await?;
    let requests = stage.requests(Modality::Image, (rate * SECONDS as f64) as usize)?;
    let equal = load::run(server.address(), requests, CONNECTIONS, Pace::PerSecond(rate)).await?;
    let processor_time = worked / u32::try_from(most.count())?;
    Ok(Measured { start: median(starts), most, processor_time, rate, equal, answer })
}

/// The first answer, after which some more are asked for.
async fn warm_up(stage: &Stage, server: &Server) -> Result<Value> {
    let answer = load::first_answer(server.address(), &stage.requests(Modality::Image, 1)?).await?;
    let some = stage.requests(Modality::Image, 500)?;
    load::run(server.address(), some, CONNECTIONS, Pace::FlatOut(Duration::from_secs(SECONDS)))
        .await
        .context("warming up")?;
    Ok(answer)
}

/// What the server has used so far, in the system's ticks of 10 ms. What else the machine does is not in it.
fn processor_time(server: &Server) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.id()))?;
    let (_, fields) = stat.rsplit_once(')').context("no name")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(|ticks| Ok(ticks.parse::<u64>()?));
    Ok(Duration::from_millis(10 * ticks.sum::<Result<u64>>()?))
}

/// How many transactions our server has put on the disk so far.
async fn commits(server: &Server, side: Side) -> Result<Option<f64>> {
    if side == Side::Peer {
        return Ok(None);
    }
    let limits = Limits::new(tokio::time::Instant::now() + Duration::from_secs(30), 1 << 20);
    let client = Client::new(AddressGuard::unrestricted())?;
    let text = client.get(&format!("http://{}/metrics", server.address()), &limits).await?.bytes().await?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let count = text.lines().find_map(|line| line.strip_prefix("adit_generative_commits_total "));
    Ok(Some(count.context("no count of the commits")?.parse()?))
}
