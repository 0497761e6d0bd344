//! `sv serve` with long clips and a worker that needs every frame: how long after the last byte of a
//! stream the answer comes, and how much memory a 500 MB clip takes. BENCHMARKS.md says how to read it.
//!
//! The worker is this program itself, called with `--worker`: it throws the frames away.

#![expect(clippy::print_stdout, reason = "a bench exists to print")]

#[path = "../against_peer/process.rs"]
mod process;

use std::io::{BufRead as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use adit_outbound::{AddressGuard, Client, Limits};
use adit_stand_in::video_host::{Reply, VideoHost};
use anyhow::{Context as _, Result, ensure};
use process::{Server, ServerCommand};

/// What a wide link to a validator's storage gives.
const BITS_PER_SECOND: u64 = 20_000_000;
const SECONDS: u32 = 30;
/// What the worker asks for: a common input size of action spotting models.
const FORMAT: &str = r#"{"ready":true,"needs":{"frames":{"width":398,"height":224,"rate":null}}}"#;
const LONG_CLIP_BYTES: usize = 500_000_000;
/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(100);

fn main() -> Result<()> {
    match std::env::args().nth(1).as_deref() {
        // `cargo test --benches` passes --test: then being built is all that was asked.
        Some("--test") => Ok(()),
        Some("--worker") => worker(),
        _ => {
            process::pin_this_process()?;
            tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(measure())
        }
    }
}

async fn measure() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let clip = noisy_clip(folder)?;
    let bytes = std::fs::read(&clip)?;
    let alone = time_decoder(&clip)?;
    println!(
        "clip: {SECONDS} s of 1280x720, {:.1} Mbit/s; ffmpeg alone decodes it in {:.1} s on one core",
        bytes.len() as f64 * 8e-6 / f64::from(SECONDS),
        alone.as_secs_f64()
    );

    let host = VideoHost::start().await?;
    let server = Server::start(&command(folder)?)?;
    let url = host.serve("/stream.mp4", Reply::bytes(bytes.clone()).with_ranges().throttled(BITS_PER_SECOND));
    let (answered, _) = challenge(&server, &url).await?;
    let last_byte =
        host.served().last().and_then(|served| served.finished).context("the clip was not read whole")?;
    println!(
        "| after the last byte at 20 Mbit/s | {:.3} s | target 0.3 s |",
        (answered - last_byte).as_secs_f64()
    );

    let long = repeat(&clip, LONG_CLIP_BYTES.div_ceil(bytes.len()), folder)?;
    drop(bytes);
    let long = std::fs::read(&long)?;
    let megabytes = long.len() / 1_000_000;
    let url = host.serve("/long.mp4", Reply::bytes(long).with_ranges());
    let before = server.resident_kib()?;
    let (_, peak) = challenge(&server, &url).await?;
    println!(
        "| resident with a clip of {megabytes} MB, server + decoder + worker | {} MiB (idle: {} MiB) | target 150 MB |",
        peak / 1024,
        before / 1024
    );
    server.stop()
}

/// Sends one challenge; when its answer was whole, and the most memory seen until then.
async fn challenge(server: &Server, url: &str) -> Result<(Instant, u64)> {
    let client = Client::new(AddressGuard::unrestricted())?;
    let body = serde_json::json!({"challenge_id": "bench", "video_url": url}).to_string();
    let limits = Limits::new(tokio::time::Instant::now() + Duration::from_secs(900), 1 << 24);
    let miner = format!("http://{}/challenge", server.address());
    let posting = client.post(&miner, http::HeaderMap::new(), body, &limits);
    tokio::pin!(posting);
    let mut peak = 0;
    loop {
        tokio::select! {
            answer = &mut posting => {
                let (answered, answer) = (Instant::now(), answer?);
                ensure!(answer.status == 200, "{}: {:?}", answer.status, answer.body);
                return Ok((answered, peak));
            }
            () = tokio::time::sleep(LOOK) => peak = peak.max(server.resident_kib()?),
        }
    }
}

fn command(folder: &Path) -> Result<ServerCommand> {
    let port = process::free_port()?;
    let worker = format!("{} --worker", std::env::current_exe()?.display());
    Ok(ServerCommand {
        program: PathBuf::from(env!("CARGO_BIN_EXE_sv")),
        arguments: vec!["serve".to_owned()],
        folder: folder.to_owned(),
        port,
        environment: [
            ("MINER_PORT", port.to_string()),
            ("VERIFY_ENABLED", "false".to_owned()),
            ("BLACKLIST_ENABLED", "false".to_owned()),
            ("ADIT_ALLOWED_HOSTS", "127.0.0.1".to_owned()),
            ("ADIT_DEADLINE_SECONDS", "900".to_owned()),
            ("ADIT_PREDICTOR", "worker".to_owned()),
            ("ADIT_WORKER_COMMAND", worker),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec(),
    })
}

/// Noise keeps the encoder at its full rate, and the decoder at work.
fn noisy_clip(folder: &Path) -> Result<PathBuf> {
    let clip = folder.join("clip.mp4");
    let source = format!("testsrc2=s=1280x720:r=25:d={SECONDS},noise=alls=18:allf=t");
    ffmpeg(&["-f", "lavfi", "-i", &source, "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"])
        .args([
            "-b:v",
            "20M",
            "-minrate",
            "20M",
            "-maxrate",
            "20M",
            "-bufsize",
            "4M",
            "-movflags",
            "+faststart",
        ])
        .arg(&clip)
        .status()?;
    Ok(clip)
}

fn repeat(clip: &Path, times: usize, folder: &Path) -> Result<PathBuf> {
    let long = folder.join("long.mp4");
    let again = times.saturating_sub(1).to_string();
    let status = ffmpeg(&["-stream_loop", &again, "-i"])
        .arg(clip)
        .args(["-c", "copy", "-movflags", "+faststart"])
        .arg(&long)
        .status()?;
    ensure!(status.success(), "the long clip was not made: {status}");
    Ok(long)
}

fn time_decoder(clip: &Path) -> Result<Duration> {
    let from = Instant::now();
    let status = ffmpeg(&["-threads", "1", "-i"]).arg(clip).args(["-f", "null", "-"]).status()?;
    ensure!(status.success(), "ffmpeg cannot decode the clip: {status}");
    Ok(from.elapsed())
}

fn ffmpeg(arguments: &[&str]) -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error", "-y"]).args(arguments);
    command
}

/// Reads requests and their frames, and answers without a prediction.
fn worker() -> Result<()> {
    let mut input = std::io::BufReader::new(std::io::stdin().lock());
    let mut pixels = Vec::new();
    let mut id = serde_json::Value::Null;
    println!("{FORMAT}");
    loop {
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let message: serde_json::Value = serde_json::from_str(&line)?;
        if let Some(bytes) = message["bytes"].as_u64() {
            pixels.resize(usize::try_from(bytes)?, 0);
            input.read_exact(&mut pixels)?;
        } else if message.get("end").is_some() || message.get("abort").is_some() {
            println!("{}", serde_json::json!({"id": id, "predictions": []}));
            std::io::stdout().flush()?;
        } else {
            id = message["id"].clone();
        }
    }
}
