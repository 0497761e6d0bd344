//! What a validator would say of media, before they are delivered.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use adit_provenance::Verifier;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Deserialize;
use tokio::process::Command;
use tokio::time::timeout;

/// A check that takes longer hangs: the largest videos take some seconds.
const PATIENCE: Duration = Duration::from_secs(120);

/// Who checks.
#[derive(Debug, Clone)]
pub enum Checker {
    /// This process, by each of the verifiers. A file's size in memory goes to it, for a moment.
    Here(Vec<Verifier>),
    /// A process for each file: neither its memory nor a crash over foreign bytes is the miner's.
    Apart(Program),
}

/// `gascli generator verify-c2pa`, or what answers alike.
#[derive(Debug, Clone)]
pub struct Program {
    /// The executable.
    pub path: PathBuf,
    /// The name that it is called as.
    pub name: OsString,
    /// Its whole environment: what it needs to find the trust anchors, and no secret.
    pub environment: Vec<(OsString, OsString)>,
}

/// What the program says of one file.
#[derive(Deserialize)]
struct Entry {
    result: Judged,
}

/// As much of a verdict's fields as is told.
#[derive(Deserialize)]
struct Judged {
    #[serde(default)]
    refused_for: Option<String>,
    /// The organisation that signed.
    cert_issuer: Option<String>,
    /// The program that made the file.
    issuer: Option<String>,
}

/// What a validator would say of media, in words.
#[derive(Debug)]
pub(crate) enum Verdict {
    Accepted(String),
    /// Why.
    Refused(String),
}

impl From<Judged> for Verdict {
    fn from(judged: Judged) -> Self {
        if let Some(why) = judged.refused_for {
            return Self::Refused(why);
        }
        let mut words = "accepted".to_owned();
        for (what, who) in [(", signed by ", judged.cert_issuer), (", made by ", judged.issuer)] {
            if let Some(who) = who {
                words.extend([what, &who]);
            }
        }
        Self::Accepted(words)
    }
}

impl Checker {
    /// What a validator that sent its challenge at `sent_at` would say of these media. `Err` is no word against them.
    pub(crate) async fn verdict(
        &self,
        file: PathBuf,
        sent_at: Option<DateTime<Utc>>,
    ) -> Result<Verdict, String> {
        match self {
            Self::Here(verifiers) => {
                let verifiers = verifiers.clone();
                let judging = tokio::task::spawn_blocking(move || here(&verifiers, &file, sent_at));
                judging.await.map_err(|error| error.to_string())?
            }
            Self::Apart(program) => program.ask(&file, sent_at).await,
        }
    }
}

fn here(verifiers: &[Verifier], file: &Path, sent_at: Option<DateTime<Utc>>) -> Result<Verdict, String> {
    let mut accepted = Verdict::Accepted("accepted".to_owned());
    for verifier in verifiers {
        let verdict = verifier.verify_file(file).map_err(|error| error.to_string())?;
        let stale = || verdict.freshness(Utc::now(), sent_at).err().map(|stale| stale.to_string());
        if let Some(why) = verdict.refusal.as_ref().map(ToString::to_string).or_else(stale) {
            return Ok(Verdict::Refused(why));
        }
        let judged: Judged = serde_json::from_value(verdict.reported()).map_err(|error| error.to_string())?;
        accepted = judged.into();
    }
    Ok(accepted)
}

impl Program {
    async fn ask(&self, file: &Path, sent_at: Option<DateTime<Utc>>) -> Result<Verdict, String> {
        let mut command = Command::new(&self.path);
        command.arg0(&self.name).args(["generator", "verify-c2pa", "--json"]);
        if let Some(sent_at) = sent_at {
            command.arg("--sent-at").arg(sent_at.to_rfc3339_opts(SecondsFormat::Millis, true));
        }
        command.arg(file).env_clear().envs(self.environment.iter().cloned());
        command.stdin(Stdio::null()).kill_on_drop(true);
        let answer = timeout(PATIENCE, command.output()).await;
        let answer = answer.map_err(|_| format!("no verdict within {} s", PATIENCE.as_secs()))?;
        let answer = answer.map_err(|error| format!("{}: {error}", self.path.display()))?;
        let entries = || serde_json::from_slice::<Vec<Entry>>(&answer.stdout);
        match answer.status.code() {
            // The word that counts is the exit code; what it prints makes it clearer.
            Some(0) => {
                let last = entries().ok().and_then(|mut entries| entries.pop());
                Ok(last.map_or_else(|| Verdict::Accepted("accepted".to_owned()), |entry| entry.result.into()))
            }
            Some(1) => {
                let entries = entries().map_err(|error| format!("the verdict cannot be read: {error}"))?;
                let why = entries.into_iter().find_map(|entry| entry.result.refused_for);
                Ok(Verdict::Refused(why.unwrap_or_else(|| "refused without a reason".to_owned())))
            }
            _ => Err(format!("{}: {}", answer.status, String::from_utf8_lossy(&answer.stderr).trim())),
        }
    }
}
