//! Programs that run to their end, on the servers' core: what they printed, how long they took, and the most memory
//! that they had. `benches/peer/measure.py` runs them, because only a small parent gets an exact peak: the kernel
//! counts what the parent had when it forked.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::process::SERVER_CORE;

/// How a program is started.
pub(crate) struct Program {
    name: String,
    words: Vec<String>,
    python: PathBuf,
    /// Working directory and home, without settings.
    folder: PathBuf,
}

/// What one run showed.
pub(crate) struct Run {
    pub(crate) output: Vec<u8>,
    /// From the start of the process to its end.
    pub(crate) wall: Duration,
    pub(crate) peak_kib: u64,
}

impl Program {
    /// The first word is the program's path. The Python is what measures it.
    pub(crate) fn new(name: &str, words: Vec<String>, python: &Path, folder: &Path) -> Self {
        Self { name: name.to_owned(), words, python: python.to_owned(), folder: folder.to_owned() }
    }

    pub(crate) fn run(&self) -> Result<Run> {
        let output = self.folder.join("output");
        let measured = Command::new("taskset")
            .args(["-c", SERVER_CORE])
            .arg(&self.python)
            .args(["-I", "-S", concat!(env!("CARGO_MANIFEST_DIR"), "/../../benches/peer/measure.py")])
            .arg(&output)
            .args(&self.words)
            .current_dir(&self.folder)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.folder)
            // The SDK would take the arguments for its own.
            .env("BT_NO_PARSE_CLI_ARGS", "1")
            .stdin(Stdio::null())
            .output()
            .context("taskset cannot be run")?;
        let talk = String::from_utf8_lossy(&measured.stderr);
        ensure!(measured.status.success(), "{self} could not be measured: {talk}");
        let figures: serde_json::Value = serde_json::from_slice(&measured.stdout)?;
        ensure!(figures["exit"] == 0, "{self} failed ({}): {talk}", figures["exit"]);
        Ok(Run {
            output: std::fs::read(&output)?,
            wall: Duration::from_secs_f64(figures["seconds"].as_f64().context("no time")?),
            peak_kib: figures["peak_kib"].as_u64().context("no peak")?,
        })
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
