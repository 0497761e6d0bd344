//! Not a stand-in but the real thing: a subtensor runtime on loopback, run by the script that
//! `ADIT_TEST_CHAIN` names, by default `../shared/chain/local-chain` beside this repository. It needs
//! Node. Tests without it skip and say so; with `ADIT_CI=1` they fail.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::skip;

/// The first start installs packages.
const PATIENCE: Duration = Duration::from_secs(180);
/// It stops by itself where a test that was killed could not stop it.
const LONGEST: &str = "900";

/// A running chain. Stopped when dropped.
#[derive(Debug)]
pub struct LocalChain {
    child: Child,
    url: String,
    /// The script's account list, as JSON.
    accounts: String,
}

/// The start script, where there is one; else says what is missing.
///
/// # Panics
/// Where there is none and `ADIT_CI=1`.
#[must_use]
pub fn script() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/chain/local-chain");
    let script = std::env::var_os("ADIT_TEST_CHAIN").map_or_else(|| PathBuf::from(beside), PathBuf::from);
    if script.is_file() {
        return Some(script);
    }
    skip(&format!("no local chain at {}; ADIT_TEST_CHAIN names its start script", script.display()));
    None
}

/// Metadata of the main network's runtime of April 2026 (spec 393), kept beside the start script.
///
/// # Panics
/// As [`script`]; and where it cannot be read.
#[must_use]
#[expect(clippy::expect_used, reason = "a test's set-up fails loudly")]
pub fn newest_metadata() -> Option<Vec<u8>> {
    let file = script()?.with_file_name("metadata-2026-04.scale");
    Some(std::fs::read(file).expect("the metadata beside the start script"))
}

impl LocalChain {
    /// Starts one on a free port. `arguments` are those of the script, such as `--block-time`.
    ///
    /// # Panics
    /// Where it does not start, and as [`script`].
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test's set-up fails loudly")]
    pub fn start(arguments: &[&str]) -> Option<Self> {
        let script = script()?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let out = folder.path().join("chain.json");
        let mut child = Command::new(&script)
            .args(["--port", "0", "--max-seconds", LONGEST, "--out"])
            .arg(&out)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the start script runs");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let stderr = child.stderr.take().expect("piped");
        let said = read_all(stderr);
        let (sender, ready) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if let Some(rest) = line.strip_prefix("READY ") {
                    let _ = sender.send(rest.split(' ').next().unwrap_or_default().to_owned());
                }
            }
        });
        let Ok(url) = ready.recv_timeout(PATIENCE) else {
            let _ = child.kill();
            let _ = child.wait();
            panic!("{} did not start: {}", script.display(), said.recv().unwrap_or_default());
        };
        let accounts = std::fs::read_to_string(&out).expect("the account list");
        Some(Self { child, url, accounts })
    }

    /// Its WebSocket URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its accounts, as the JSON that the script writes.
    #[must_use]
    pub fn accounts(&self) -> &str {
        &self.accounts
    }

    /// The development phrase followed by an account's key uri, such as `//Miner//hot`.
    #[must_use]
    pub fn uri(path: &str) -> String {
        format!("bottom drive obey lake curtain smoke basket hold race lonely fit walk{path}")
    }
}

/// Reads in the background, so that a full pipe cannot stop the chain.
fn read_all(mut stderr: ChildStderr) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = Vec::new();
        let _ = stderr.read_to_end(&mut text);
        let _ = sender.send(String::from_utf8_lossy(&text).into_owned());
    });
    receiver
}

impl Drop for LocalChain {
    fn drop(&mut self) {
        // The script becomes the chain, so this is the chain's own id.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
