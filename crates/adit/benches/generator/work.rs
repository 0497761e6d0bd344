//! What happens to tasks after the 201: five at once, a thousand that are kept, and one large video.

use std::io::Write as _;
use std::time::{Duration, Instant};

use adit_generative::Modality;
use adit_generative::task::{Address, Ledger, State};
use adit_provenance::Format;
use adit_provenance::signing::Claim;
use adit_stand_in::media::{JPEG, MP4, PNG};
use anyhow::{Context as _, Result};

use crate::figures::mebibytes;
use crate::load::{self, Pace};
use crate::process::{Server, number_after};
use crate::report::Report;
use crate::stage::{PROMPT, Side, Stage, TASKS};

/// As many as `MINER_MAX_CONCURRENT_TASKS` allows.
const AT_ONCE: usize = 5;
const KEPT: usize = 1_000;
const PICTURE_BYTES: usize = 2_000_000;
const VIDEO_BYTES: u32 = 200_000_000;
/// How long a server may take to bring its tasks to where they are waited for.
const PATIENCE: Duration = Duration::from_secs(900);

/// Five tasks of a service that takes a second for each.
pub(crate) async fn five(report: &mut Report) -> Result<()> {
    let stage = Stage::set(PNG).await?;
    stage.providers.delay(Duration::from_secs(1));

    let server = Server::start(&stage.command(Side::Peer, "five")?)?;
    let from = ask(&stage, &server, Modality::Image, AT_ONCE).await?;
    until(async || Ok(stage.providers.handed_out(PROMPT) as usize >= AT_ONCE)).await?;
    let peer = from.elapsed();
    drop(server);

    let command = stage.command(Side::Ours, "five")?;
    let server = Server::start(&command)?;
    let from = ask(&stage, &server, Modality::Image, AT_ONCE).await?;
    let tasks = command.folder.join(TASKS).join("tasks.db");
    let ledger = Ledger::open(&Address::Sqlite(tasks)).await?;
    until(async || {
        let counts = ledger.counts(Modality::Image).await?;
        let good = [State::Checked, State::Delivering, State::Delivered];
        Ok(good.iter().filter_map(|state| counts.get(state)).sum::<u64>() >= AT_ONCE as u64)
    })
    .await?;
    let checked = from.elapsed();
    stage.webhook.delivered(AT_ONCE).await?;
    let delivered = from.elapsed();
    server.stop()?;

    let ratio = checked.as_secs_f64() / peer.as_secs_f64();
    let seconds = |time: Duration| format!("{:.2} s", time.as_secs_f64());
    let what = "five tasks of 1 s, to the last media (ours: checked and on disk)";
    let met = checked <= Duration::from_millis(1_300);
    report.compared(what, [peer, checked].map(seconds), ratio, "<= 1.3 s", met);
    report.alone("five tasks of 1 s, to the last delivery", &seconds(delivered), "", true);
    Ok(())
}

/// A thousand finished tasks, whose results the peer keeps in memory and we on disk.
pub(crate) async fn thousand(report: &mut Report) -> Result<()> {
    let stage = Stage::set(&large_picture()).await?;
    let server = Server::start(&stage.command(Side::Peer, "thousand")?)?;
    ask(&stage, &server, Modality::Image, KEPT).await?;
    until(async || Ok(stage.providers.handed_out(PROMPT) as usize >= KEPT)).await?;
    // It has to read the last one still.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let peer = server.resident_kib()?;
    server.stop()?;

    let server = Server::start(&stage.command(Side::Ours, "thousand")?)?;
    let from = ask(&stage, &server, Modality::Image, KEPT).await?;
    stage.webhook.delivered(KEPT).await?;
    println!("{KEPT} tasks of {PICTURE_BYTES} bytes were done in {:.1} s", from.elapsed().as_secs_f64());
    let ours = server.resident_kib()?;
    server.stop()?;

    let ratio = ours as f64 / peer as f64;
    let what = format!("resident memory after {KEPT} pictures of 2 MB");
    report.compared(&what, [peer, ours].map(mebibytes), ratio, "<= 1/5", ratio <= 0.2);
    Ok(())
}

/// One video from the service to the webhook, and the most memory that it takes.
pub(crate) async fn large_video(report: &mut Report) -> Result<()> {
    let stage = Stage::set(PNG).await?;
    stage.providers.make(PNG, large_video_of(&stage)?);
    let server = Server::start(&stage.command(Side::Ours, "video")?)?;
    let mut checker = 0;
    let from = ask(&stage, &server, Modality::Video, 1).await?;
    let delivered = stage.webhook.delivered(1);
    tokio::pin!(delivered);
    loop {
        tokio::select! {
            delivered = &mut delivered => break delivered?,
            () = tokio::time::sleep(Duration::from_millis(10)) => checker = checker.max(peak_of_children(&server)?),
        }
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id()))?;
    let peak = number_after(&status, "VmHWM:");
    server.stop()?;
    println!("the video of {VIDEO_BYTES} bytes was delivered after {:.1} s", from.elapsed().as_secs_f64());
    let what = "peak resident memory with a video of 200 MB";
    report.alone(what, &mebibytes(peak), "< 64 MB", peak * 1024 < 64_000_000);
    report.alone("… and of the process that checks it", &mebibytes(checker), "", true);
    Ok(())
}

/// Sends so many requests at once; when the first was sent.
async fn ask(stage: &Stage, server: &Server, modality: Modality, count: usize) -> Result<Instant> {
    let requests = stage.requests(modality, count)?;
    let from = Instant::now();
    load::run(server.address(), requests, count.min(64), Pace::FlatOut(PATIENCE)).await?;
    Ok(from)
}

async fn until(reached: impl AsyncFn() -> Result<bool>) -> Result<()> {
    let waiting = async {
        while !reached().await? {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(PATIENCE, waiting).await.context("the tasks did not come to their end in time")?
}

/// The most that a child which runs now has had, in KiB.
fn peak_of_children(server: &Server) -> Result<u64> {
    let mut peak = 0;
    for entry in std::fs::read_dir("/proc")? {
        // A process may end while we look, and not everything there is one.
        let Ok(status) = std::fs::read_to_string(entry?.path().join("status")) else { continue };
        if number_after(&status, "PPid:") == u64::from(server.id()) {
            peak = peak.max(number_after(&status, "VmHWM:"));
        }
    }
    Ok(peak)
}

/// Comments, which follow the first marker, make it as large as what services make.
fn large_picture() -> Vec<u8> {
    const LONGEST: usize = 0xffff;
    let mut comment = vec![0xff, 0xfe, 0xff, 0xff];
    comment.resize(2 + LONGEST, 0);
    let (start, rest) = JPEG.split_at(2);
    [start, &comment.repeat(PICTURE_BYTES.div_ceil(comment.len())), rest].concat()
}

/// A small clip with much behind it that nobody plays, signed.
fn large_video_of(stage: &Stage) -> Result<Vec<u8>> {
    let mut clip = tempfile::tempfile()?;
    clip.write_all(MP4)?;
    clip.write_all(&VIDEO_BYTES.to_be_bytes())?;
    clip.write_all(b"mdat")?;
    clip.set_len(MP4.len() as u64 + u64::from(VIDEO_BYTES))?;
    let mut signed = std::io::Cursor::new(Vec::new());
    stage.signer.sign(Format::Mp4, &Claim::now("bench"), &mut clip, &mut signed)?;
    Ok(signed.into_inner())
}
