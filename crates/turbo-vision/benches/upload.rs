//! How fast a folder is pushed, beside `curl -T` moving the same bytes to the same store, one after the other in one run.
//! `ADIT_BENCH_UPLOAD_MB` makes it smaller. The goal is 80 % of curl.

#![expect(clippy::print_stdout, reason = "a bench exists to print")]

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use adit_stand_in::hub::{HuggingFace, Role};
use adit_turbo_vision::hub::{Event, How, Hub, PushOptions, Selection};
use ring::rand::{SecureRandom as _, SystemRandom};

const FILES: usize = 200;
const MEGABYTES: usize = 1000;
/// Runs of each, of which the median counts.
const RUNS: usize = 5;
const GOAL: f64 = 0.8;

fn main() {
    // `cargo test --benches` passes --test: then being built is all that was asked.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let megabytes = std::env::var("ADIT_BENCH_UPLOAD_MB")
        .map_or(MEGABYTES, |text| text.parse().expect("ADIT_BENCH_UPLOAD_MB is a number"));
    let folder = tempfile::tempdir().expect("a temporary folder");
    fill(folder.path(), megabytes * 1_000_000 / FILES);
    let (mut pushes, mut curls) = (Vec::new(), Vec::new());
    // Taking turns, so that both meet the same moods of the machine.
    for _ in 0..RUNS {
        pushes.push(run(push(folder.path())));
        curls.push(run(curl(folder.path())));
    }
    let rate = |mut times: Vec<Duration>| {
        times.sort();
        megabytes as f64 / times[RUNS / 2].as_secs_f64()
    };
    let (push, curl) = (rate(pushes), rate(curls));
    let ratio = push / curl;
    println!(
        "{FILES} files, {megabytes} MB: push {push:.0} MB/s, curl -T {curl:.0} MB/s (medians of {RUNS})"
    );
    println!("ratio {ratio:.2} (goal {GOAL})");
}

/// Random bytes, so that nothing can be spared.
fn fill(folder: &Path, size: usize) {
    let random = SystemRandom::new();
    let mut content = vec![0; size.max(1)];
    for at in 0..FILES {
        random.fill(&mut content).expect("the system's random numbers");
        let mut file =
            File::create(folder.join(format!("{at:03}.onnx"))).expect("a file in a temporary folder");
        file.write_all(&content).expect("room for the folder");
    }
}

/// On a runtime and a Hub of its own, so that no run finds what another left.
fn run(what: impl AsyncFnOnce(&HuggingFace) -> Duration) -> Duration {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let server = HuggingFace::start().await.expect("a loopback port");
        what(&server).await
    })
}

/// The whole push: compared, hashed, stored, committed and read back.
fn push(folder: &Path) -> impl AsyncFnOnce(&HuggingFace) -> Duration {
    async move |server| {
        server.account("miner", "hf_bench", Role::Write);
        server.repository("miner/ScoreVision", true);
        let hub = Hub::new(&server.url(), Some("hf_bench".into())).expect("the address is one");
        let name = "miner/ScoreVision".parse().expect("the name is one");
        let begin = Instant::now();
        let selection = Selection::of(folder).expect("the folder is one");
        let pushed = hub.push(&name, &selection, &PushOptions::default(), &|_: &Event| ()).await;
        let took = begin.elapsed();
        let pushed = pushed.unwrap_or_else(|error| panic!("{error}"));
        assert!(pushed.sent.len() == FILES && pushed.sent.iter().all(|file| file.how == How::Stored));
        took
    }
}

/// One curl, which keeps its connection.
fn curl(folder: &Path) -> impl AsyncFnOnce(&HuggingFace) -> Duration {
    async move |server| {
        let mut command = tokio::process::Command::new("curl");
        command.args(["--silent", "--show-error", "--fail"]).stdin(Stdio::null());
        let mut files: Vec<_> = fs::read_dir(folder)
            .expect("the folder is there")
            .map(|entry| entry.expect("an entry").path())
            .collect();
        files.sort();
        for (at, file) in files.iter().enumerate() {
            command.arg("-T").arg(file).arg(server.put_address(&at.to_string()));
        }
        let begin = Instant::now();
        let status = command.status().await.expect("curl is installed");
        let took = begin.elapsed();
        assert!(status.success(), "{status}");
        took
    }
}
