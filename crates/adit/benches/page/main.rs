//! How long the pages of `adit dashboard` take over journals of a million challenges and 300,000 steps of tasks, and how much
//! memory it has then. There is no peer; the limits stand beside the figures.

#![expect(clippy::print_stdout, reason = "a bench exists to print")]
#![expect(dead_code, reason = "the shared parts have more than is needed here")]

#[path = "../against_peer/figures.rs"]
mod figures;
#[path = "../against_peer/process.rs"]
mod process;
#[expect(clippy::unwrap_used, reason = "of the tests")]
#[path = "../../../dashboard/tests/page/traffic.rs"]
mod traffic;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use adit_journal::record::{Challenge, Ended, TaskStep};
use adit_journal::{GENERATIVE, Journal, Limits, PRIVATE_TRACK};
use anyhow::{Context as _, Result, ensure};
use chrono::DateTime;

use figures::{mebibytes, median, milliseconds, verdict};

const CHALLENGES: u64 = 1_000_000;
const STEPS: u64 = 300_000;
/// Challenges and steps of tasks come so many milliseconds apart: 29 days of the one, 28 of the other.
const CHALLENGES_APART: i64 = 2_500;
const STEPS_APART: i64 = 8_000;
/// Entries between two waits for the writer, fewer than its queue has places.
const FILLED_AT_ONCE: u64 = 4_000;
/// Each page is asked for so often, and the median counts.
const ASKED: usize = 21;
const MOST_TIME: Duration = Duration::from_millis(100);
const MOST_KIB: u64 = 60 * 1024;

fn main() -> Result<()> {
    // `cargo test --benches` passes --test: then being built is all that was asked.
    if std::env::args().any(|argument| argument == "--test") {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    fill_challenges(&folder.path().join(PRIVATE_TRACK))?;
    fill_tasks(&folder.path().join(GENERATIVE))?;

    let page = Page::start(folder.path())?;
    let task = traffic::task_name(STEPS / 12);
    let middle = CHALLENGES / 2;
    let validator = traffic::VALIDATORS[1];
    let day = traffic::now_ms() - 10 * 86_400_000;
    let day = DateTime::from_timestamp_millis(day).unwrap_or_default().format("%Y-%m-%d");
    println!("{:<48} {:>10} {:>10}    at most {} ms", "page", "median", "longest", MOST_TIME.as_millis());
    for path in [
        "/".to_owned(),
        "/challenges".to_owned(),
        format!("/challenges?before={middle}"),
        "/challenges?outcome=caller_left".to_owned(),
        format!("/challenges?validator={validator}&outcome=failed"),
        format!("/challenges?from={day}&until={day}"),
        format!("/challenges/{middle}"),
        "/generations".to_owned(),
        format!("/generations/{task}"),
        "/validators".to_owned(),
        "/validators?range=30d".to_owned(),
        "/money".to_owned(),
        "/rehearsals".to_owned(),
        "/metrics".to_owned(),
    ] {
        let mut times = (0..ASKED).map(|_| page.time(&path)).collect::<Result<Vec<_>>>()?;
        times.sort_unstable();
        let longest = times[times.len() - 1];
        let middle = median(times);
        let name = path.replace(validator, "…").replace(&task, "…");
        println!(
            "{name:<48} {:>10} {:>10}    {}",
            milliseconds(middle),
            milliseconds(longest),
            verdict(middle <= MOST_TIME)
        );
    }
    let kib = page.resident_kib()?;
    println!("resident memory {}    at most 60 MiB {}", mebibytes(kib), verdict(kib <= MOST_KIB));
    Ok(())
}

fn fill_challenges(path: &Path) -> Result<()> {
    let end = traffic::now_ms();
    let base = Challenge { stages: Vec::new(), answer: None, clip: None, ..traffic::challenge("", "") };
    fill(path, CHALLENGES, |journal, n| {
        let outcome = match n {
            n if n % 50_000 == 7 => Ended::CallerLeft,
            n if n % 25 == 0 => Ended::Failed,
            _ => Ended::Answered,
        };
        let sender = Some(traffic::VALIDATORS[(n % 4) as usize].to_owned());
        let one = Challenge { challenge_id: format!("challenge-{n}"), sender, outcome, ..base.clone() };
        journal.record_at(end - (CHALLENGES - n) as i64 * CHALLENGES_APART, &one);
    })
}

fn fill_tasks(path: &Path) -> Result<()> {
    const EACH: [(&str, &str); 6] = [
        ("accepted", "accepted"),
        ("call", "calling"),
        ("submitted", "submitted"),
        ("fetched", "fetched"),
        ("checked", "checked"),
        ("answered", "delivered"),
    ];
    let end = traffic::now_ms();
    fill(path, STEPS, |journal, n| {
        let (name, state) = EACH[(n % 6) as usize];
        let step = TaskStep {
            service: Some("openai".to_owned()),
            model: Some("gpt-image-1".to_owned()),
            spent_micro_usd: if name == "fetched" { 42_000 } else { 0 },
            ..traffic::step(&traffic::task_name(n / 6), name, state)
        };
        journal.record_at(end - (STEPS - n) as i64 * STEPS_APART, &step);
    })
}

/// Never more at once than the writer's queue takes.
fn fill(path: &Path, count: u64, mut record: impl FnMut(&Journal, u64)) -> Result<()> {
    let limits = Limits { bytes: 4 << 30, age: Duration::from_secs(400 * 86_400) };
    for from in (0..count).step_by(FILLED_AT_ONCE as usize) {
        let journal = Journal::open(path, limits)?;
        (from..count.min(from + FILLED_AT_ONCE)).for_each(|n| record(&journal, n));
        ensure!(journal.dropped() == 0, "the journal dropped what the bench recorded");
    }
    Ok(())
}

/// `adit dashboard`. Killed when dropped.
struct Page {
    child: Child,
    address: SocketAddr,
}

impl Page {
    fn start(data: &Path) -> Result<Self> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_adit"))
            .args(["dashboard", "--listen", "127.0.0.1:0"])
            .current_dir(data)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", data)
            .env("ADIT_DATA_DIR", data)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut said = String::new();
        let named = child.stdout.take().context("no output")?;
        BufReader::new(named).read_line(&mut said)?;
        let address = said.trim().split_once("http://").map(|(_, address)| address.trim_end_matches('/'));
        match address.and_then(|address| address.parse().ok()) {
            Some(address) => Ok(Self { child, address }),
            None => {
                let _ = child.kill();
                anyhow::bail!("`adit dashboard` did not say where it listens: {said}")
            }
        }
    }

    /// From the connection to the last byte.
    fn time(&self, path: &str) -> Result<Duration> {
        let from = Instant::now();
        let mut socket = TcpStream::connect(self.address)?;
        let address = self.address;
        write!(socket, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer)?;
        let took = from.elapsed();
        ensure!(answer.starts_with(b"HTTP/1.1 200"), "{path}: {}", String::from_utf8_lossy(&answer));
        Ok(took)
    }

    fn resident_kib(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        Ok(process::number_after(&status, "VmRSS:"))
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
