//! Turbo Vision's commands against a Hugging Face, a Chutes and a chain on loopback. What builds and deploys is the real
//! `chutes` program; its platform is a stand-in.

mod chutes;
mod local;
mod published;
mod push;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use adit_journal::record::Record;
use adit_journal::{Find, Reader, TURBO_VISION};
use adit_keys::Keypair;
use adit_stand_in::chutes::{Chutes, Start};
use adit_stand_in::hub::{HuggingFace, Role};
use adit_turbo_vision::names::{ChuteName, Petnames, nickname};
use serde_json::Value;

use crate::process::{finish_within, program, run, shown};

/// The program of Chutes imports much.
const PATIENCE: Duration = Duration::from_secs(120);
const REPOSITORY: &str = "miner/ScoreVision";
/// Secrets, which nothing may print.
const HF_TOKEN: &str = "hf_writes_but_is_told_to_nobody";
const READ_TOKEN: &str = "hf_reads_and_is_the_chutes_own";
const KEY: &str =
    "cpk_00000000000000000000000000000001.00000000000000000000000000000002.abcdefghijklmnopqrstuvwxyzABCDEF";
const SEED: [u8; 32] = [7; 32];

const MANIFEST: &str = "\
window_id: '2026-11-28'
version: 1.3
expiry_block: 9000000
tee: {trusted_share_gamma: 0.2}
elements:
- id: manak0/Detect-fire
  track: public
  objects: [fire, smoke]
  latency_p95_ms: 200
  service_rate_fps: 5
  max_model_size_mb: 30
  metrics: {pillars: {map50: 0.6, false_positive: 0.4}}
- id: manako/DetectFootballEvent
  track: private
  groundtruth_type: soccer_action
";

/// What the commands meet: an account `miner` at both platforms, and a folder with the operator's files.
struct World {
    hub: HuggingFace,
    chutes: Chutes,
    folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let hub = HuggingFace::start().await.unwrap();
        hub.account("miner", HF_TOKEN, Role::Write);
        let chutes = Chutes::start().await.unwrap();
        chutes.account("miner", Some(KEY), Some(&Keypair::from_seed(&SEED).hotkey()));
        let world = Self { hub, chutes, folder: tempfile::tempdir().unwrap() };
        for name in ["home", "cache", "model"] {
            fs::create_dir(world.path(name)).unwrap();
        }
        world.write("config.ini", &world.config("miner"));
        world.write("manifest.yaml", MANIFEST);
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// The `config.ini` of an account.
    fn config(&self, username: &str) -> String {
        let id = Chutes::user_id(username);
        let hotkey = Keypair::from_seed(&SEED).hotkey();
        format!(
            "[api]\nbase_url = {}\n\n[auth]\nusername = {username}\nuser_id = {id}\nhotkey_seed = {}\nhotkey_name = \
             default\nhotkey_ss58address = {hotkey}\n",
            self.chutes.url(),
            "07".repeat(32),
        )
    }

    /// `sv` with the settings of this world.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program("sv");
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("HOME", self.path("home"))
            .env("HF_USER", "miner")
            .env("HF_TOKEN", HF_TOKEN)
            .env("HF_ENDPOINT", self.hub.url())
            .env("CHUTES_USERNAME", "miner")
            .env("CHUTES_API_KEY", KEY)
            .env("CHUTES_MINERS_ENDPOINT", self.chutes.url())
            .env("CHUTES_MINER_BASE_URL_TEMPLATE", self.chutes.chute_url_template())
            .env("CHUTES_CONFIG_PATH", self.path("config.ini"))
            .env("PATH_CHUTE_TEMPLATES", templates())
            .env("SCOREVISION_MANIFEST_PATH", self.path("manifest.yaml"))
            .env("SCOREVISION_CACHE_DIR", self.path("cache"))
            .env("BITTENSOR_SUBTENSOR_ENDPOINT", "ws://127.0.0.1:1")
            .env("BITTENSOR_WALLET_PATH", self.path("wallets"));
        command
    }

    #[track_caller]
    fn finish(&self, command: &mut Command) -> Output {
        let output = finish_within(PATIENCE, command, Stdio::null());
        no_secret(&shown(&output));
        output
    }

    /// Runs it to its end, which must be this exit code; stdout and stderr.
    #[track_caller]
    fn sv(&self, code: i32, arguments: &[&str]) -> (String, String) {
        self.sv_with(code, arguments, &[])
    }

    /// The same with other settings; an empty one is none.
    #[track_caller]
    fn sv_with(&self, code: i32, arguments: &[&str], variables: &[(&str, &str)]) -> (String, String) {
        let mut command = self.command(arguments);
        for (name, value) in variables {
            if value.is_empty() {
                command.env_remove(name)
            } else {
                command.env(name, value)
            };
        }
        let output = self.finish(&mut command);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", shown(&output));
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    /// Runs it and appends what an operator sees to a transcript.
    #[track_caller]
    fn show(&self, transcript: &mut String, arguments: &[&str], variables: &[(&str, &str)]) {
        let mut command = self.command(arguments);
        let mut typed = String::from("$ ");
        for (name, value) in variables {
            if value.is_empty() {
                command.env_remove(name)
            } else {
                command.env(name, value)
            };
            typed += &format!("{name}={value} ");
        }
        let output = self.finish(&mut command);
        let shown = format!("{typed}sv {}\n{}\n", arguments.join(" "), shown(&output));
        transcript.push_str(&self.named(&shown));
    }

    /// A revision of the model with its chute, which is up. The commit, and the chute's id.
    fn deployed(&self) -> (String, String) {
        self.hub.repository(REPOSITORY, false);
        let commit = self.hub.commit(REPOSITORY, &[("README.md", b"# A model\n")]);
        self.chutes.starts(Start { looks: Some(0), ..Start::default() });
        let id = self.chutes.chute("miner", &chute_name(&commit), "# a script\n");
        (commit, id)
    }

    /// The same with `--json`, and what it says.
    #[track_caller]
    fn json(&self, code: i32, arguments: &[&str]) -> Value {
        let (stdout, _) = self.sv(code, &[arguments, &["--json"]].concat());
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}"))
    }

    /// What the journal was told, the oldest first.
    fn told<R: Record>(&self, event: &str) -> Vec<R> {
        let file = self.path("home/.local/share/adit").join(TURBO_VISION);
        let entries = Reader::open(&file).unwrap().find(&Find::event(event)).unwrap();
        entries.iter().rev().map(|entry| entry.read().unwrap()).collect()
    }

    /// What a snapshot can hold: addresses and folders of this run have names.
    fn named(&self, text: &str) -> String {
        text.replace(&self.hub.url(), "<hub>")
            .replace(&self.chutes.url(), "<chutes>")
            .replace(self.folder.path().to_str().unwrap(), "<folder>")
    }
}

fn chute_name(commit: &str) -> String {
    ChuteName::new("miner", nickname(commit, Petnames::V2_6).unwrap()).to_string()
}

#[track_caller]
fn no_secret(text: &str) {
    for secret in [HF_TOKEN, READ_TOKEN, KEY, &"07".repeat(32)] {
        assert!(!text.contains(secret), "{text}");
    }
}

/// The template as it is shipped.
fn templates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scorevision/chute_template").canonicalize().unwrap()
}

/// The model that is shipped as an example.
fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/turbo-vision").canonicalize().unwrap()
}

/// The real program of Chutes, where it is.
fn chutes_program() -> Option<PathBuf> {
    let named = std::env::var_os("ADIT_TEST_CHUTES").map(PathBuf::from).filter(|path| path.exists());
    if named.is_none() {
        let missing = "ADIT_TEST_CHUTES names no chutes program; `make test` sets it up";
        assert!(std::env::var_os("ADIT_CI").is_none_or(|value| value != "1"), "{missing}");
        eprintln!("skipped: {missing}");
    }
    named
}

#[test]
fn help_of_the_commands() {
    for command in [
        "push",
        "generate-chute-script",
        "chute-slug",
        "ping-chute",
        "test-chute",
        "delete-chute",
        "chute-logs",
        "deploy-local-chute",
        "chutes register",
        "chutes list",
        "scores",
        "manifest",
        "manifest validate",
        "elements",
        "lint",
    ] {
        let words: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        insta::assert_snapshot!(format!("help of {command}").replace(' ', "_"), shown(&run("sv", &words)));
    }
    // The guide's other name of it.
    assert_eq!(run("sv", &["deploy-os-miner", "--help"]).status.code(), Some(0));
}
