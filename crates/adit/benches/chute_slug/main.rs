//! `make bench`: `sv chute-slug` without a question to anybody, beside a Python that draws the same nickname and imports
//! nothing that it can do without. BENCHMARKS.md says how to read it.

#![expect(clippy::print_stdout, reason = "a bench exists to print")]

#[path = "../against_peer/figures.rs"]
#[expect(dead_code, reason = "no memory is taken here")]
mod figures;
#[path = "../generator/report.rs"]
mod report;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use adit_turbo_vision::names::Petnames;
use anyhow::{Context as _, Result, ensure};

use figures::{median, milliseconds};
use report::Report;

const RUNS: usize = 41;
const REVISION: &str = "f429c6a2f429c6a2f429c6a2f429c6a2f429c6a2";
/// Seed, draw, and draw again while the word is too long, as petname does; then the slug that is guessed.
const PEER: &str = "import random, sys
names = open(sys.argv[1]).read().split()
random.seed(int(sys.argv[2], 16))
word = random.choice(names)
while len(word) > 6:
    word = random.choice(names)
print('Slug: alice-turbovision-alice-' + word)
print('ID: None')";

fn main() -> Result<()> {
    // `cargo test --benches` passes --test: then being built is all that was asked.
    if std::env::args().any(|argument| argument == "--test") {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let names = folder.path().join("names.txt");
    std::fs::write(&names, Petnames::default().list().collect::<Vec<_>>().join("\n"))?;
    let ours = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sv"));
        command.args(["chute-slug", "--guess", "--revision", REVISION]);
        command
    };
    let theirs = || {
        let python = std::env::var("PEER_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let mut command = Command::new(python);
        command.args(["-c", PEER]).arg(&names).arg(REVISION);
        command
    };
    let (ours, said) = timed(folder.path(), ours)?;
    let (theirs, expected) = timed(folder.path(), theirs)?;
    ensure!(said == expected, "the two say different things: {said:?} and {expected:?}");
    let mut report = Report::new();
    report.times("chute-slug (Python: the nickname alone)", [theirs, ours], "faster", 1.0);
    report.alone("chute-slug", &milliseconds(ours), "15 ms", ours.as_millis() < 15);
    println!("{report}");
    Ok(())
}

/// The median of some runs in `folder`, and what is printed.
fn timed(folder: &Path, command: impl Fn() -> Command) -> Result<(Duration, String)> {
    let mut times = Vec::new();
    let mut said = String::new();
    for _ in 0..RUNS {
        let mut command = command();
        command.env("HF_USER", "alice").env("CHUTES_USERNAME", "alice").env("ADIT_ENV_FILE", "/dev/null");
        let begun = Instant::now();
        let output =
            command.current_dir(folder).stdin(Stdio::null()).output().context("it does not start")?;
        times.push(begun.elapsed());
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        said = String::from_utf8(output.stdout)?;
    }
    Ok((median(times), said))
}
