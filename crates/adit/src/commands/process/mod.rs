//! A miner in the background: `start`, `stop`, `restart`, `delete`, `status`, `logs`, `systemd-unit`, of any track.

mod logs;
mod start;
mod status;
mod stop;
pub(crate) mod supervise;
mod systemd_unit;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use adit_settings::{Environment, var};
use adit_supervisor::{ControlError, Place, State};

use crate::cli::process::ProcessCommand;
use crate::failure::Failure;

/// What tells one track's commands from another's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Track {
    /// The program that is called.
    program: &'static str,
    /// Words between the program and the command.
    group: &'static [&'static str],
    /// What its miner is called in a sentence.
    miner: &'static str,
    /// The miner's name where ADIT_PROCESS_NAME gives none.
    name: &'static str,
    /// The file of its settings.
    settings: &'static [&'static str],
    /// What there is to say of its work, beside its process.
    work: fn(&Environment) -> Result<Vec<Fact>, Failure>,
}

/// A line of a status: a key for JSON, words for people, and the value.
#[derive(Debug)]
pub(crate) struct Fact {
    pub(crate) key: &'static str,
    pub(crate) words: &'static str,
    pub(crate) text: String,
    pub(crate) value: serde_json::Value,
}

/// `gascli generator …`. The name is that of the process under PM2 in the guide's programs.
pub(crate) const GENERATOR: Track = Track {
    program: "gascli",
    group: &["generator"],
    miner: "generative miner",
    name: "bitmind-generative-miner",
    settings: crate::GEN_MINER_ENV,
    work: super::generator::work::facts,
};

/// `sv …`.
pub(crate) const PRIVATE_TRACK: Track = Track {
    program: "sv",
    group: &[],
    miner: "private-track miner",
    name: "private-track-miner",
    settings: crate::ENV,
    work: |_| Ok(Vec::new()),
};

/// `adit dashboard …`.
pub(crate) const DASHBOARD: Track = Track {
    program: "adit",
    group: &["dashboard"],
    miner: "operator's page",
    name: "operators-page",
    settings: crate::ENV,
    work: |_| Ok(Vec::new()),
};

pub(crate) fn run(track: &Track, env: &Environment, command: &ProcessCommand) -> Result<ExitCode, Failure> {
    match command {
        ProcessCommand::Start(args) => start::run(track, env, args),
        ProcessCommand::Restart(args) => start::restart(track, env, args),
        ProcessCommand::Stop(args) => stop::run(track, env, args),
        ProcessCommand::Delete(args) => stop::delete(track, env, args),
        ProcessCommand::Status(args) => status::run(track, env, args),
        ProcessCommand::Logs(args) => logs::run(track, env, args),
        ProcessCommand::SystemdUnit(args) => systemd_unit::run(track, env, args),
        // Takes no settings: what it starts reads them.
        ProcessCommand::Supervise(args) => supervise::run(track, args),
    }
}

impl Track {
    /// Where the miner's process is looked after.
    fn place(&self, env: &Environment) -> Result<Place, Failure> {
        let name = env.text(&var::PROCESS_NAME)?.unwrap_or(self.name);
        Place::new(&self.folder(env)?, name)
            .map_err(|error| Failure::new(error).hint("ADIT_PROCESS_NAME is what it is called"))
    }

    fn folder(&self, env: &Environment) -> Result<PathBuf, Failure> {
        let folder = env.path(&var::DATA_FOLDER)?.unwrap_or_default().join("processes").join(self.program);
        // Whoever is told of it may be in another directory.
        Ok(std::path::absolute(folder)?)
    }

    /// What the miner has done, by the settings that it was started under, whatever directory this is asked in.
    fn work_of(&self, env: &Environment, state: &State) -> Result<Vec<Fact>, Failure> {
        let theirs = std::env::set_current_dir(&state.directory)
            .ok()
            .and_then(|()| Environment::from_process(self.settings).ok());
        (self.work)(theirs.as_ref().unwrap_or(env))
    }

    /// The words of a command, such as `gascli generator logs`.
    fn command(&self, command: &str) -> String {
        [&[self.program], self.group, &[command]].concat().join(" ")
    }

    /// The words of a command after the program's name.
    fn words(&self, command: &str) -> Vec<OsString> {
        self.group.iter().copied().chain([command]).map(OsString::from).collect()
    }

    /// The miner at the beginning of a sentence.
    fn title(&self) -> String {
        let (first, rest) = self.miner.split_at(1);
        format!("{}{rest}", first.to_uppercase())
    }

    /// What could not be done, and what to do about it.
    fn failure(&self, what: &str, error: &ControlError) -> Failure {
        let failure = Failure::new(format!("{what}: {error}"));
        match error {
            ControlError::Folder { .. } | ControlError::State { .. } => {
                failure.hint("ADIT_DATA_DIR names another directory to keep it in")
            }
            ControlError::Ended { .. } => failure.hint(format!(
                "once that is mended: `{}`; more of it: `{}`",
                self.command("start"),
                self.command("logs")
            )),
            ControlError::NotReady(_) | ControlError::Supervisor(_) => {
                failure.hint(format!("`{}` and `{}` say more", self.command("status"), self.command("logs")))
            }
            ControlError::Stopping => failure.hint(format!(
                "it ends what it has begun, which takes up to 150 s; `{} --now` does not wait for it",
                self.command("stop")
            )),
            ControlError::NotEnded(_) => {
                failure.hint(format!("`{} --now` ends it at once", self.command("stop")))
            }
            _ => failure,
        }
    }
}
