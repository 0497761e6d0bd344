//! `start` and `restart`.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};
use std::time::Duration;

use adit_settings::Environment;
use adit_supervisor::{ControlError, Started, Status};

use super::Track;
use crate::cli::process::{Restart, Start};
use crate::failure::Failure;

pub(crate) fn run(track: &Track, env: &Environment, args: &Start) -> Result<ExitCode, Failure> {
    let place = track.place(env)?;
    println!("Starting {}...", track.miner);
    say_settings(track, env);
    let mut supervisor = Command::new(std::env::current_exe()?);
    supervisor.arg0(track.program).args(track.words("supervise"));
    supervisor.arg("--folder").arg(track.folder(env)?).args(["--name", place.name()]);
    if !args.serve.is_empty() {
        supervisor.arg("--").args(&args.serve);
    }
    match place.start(supervisor, Duration::from_secs(args.wait.into())) {
        Ok(Started::Ready(status)) => {
            println!("✅ {} started successfully! (pid {})", track.title(), pid(&status));
            Ok(ExitCode::SUCCESS)
        }
        Ok(Started::Already(status)) => {
            let here = std::env::current_dir().unwrap_or_default();
            if status.state.directory != here {
                let elsewhere = status.state.directory.display();
                return Err(Failure::new(format!("{} runs already, started in {elsewhere}", place.name()))
                    .hint("ADIT_PROCESS_NAME in the settings of this one gives it a name of its own"));
            }
            println!("✅ {} runs already (pid {}).", track.title(), pid(&status));
            println!("New settings are read by `{}`.", track.command("restart"));
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => Err(failed(track, "start", &error)),
    }
}

pub(crate) fn restart(track: &Track, env: &Environment, args: &Restart) -> Result<ExitCode, Failure> {
    println!("Restarting {}...", track.miner);
    match track.place(env)?.restart(Duration::from_secs(args.wait.into())) {
        Ok(Some(status)) => {
            println!("✅ {} restarted successfully! (pid {})", track.title(), pid(&status));
            Ok(ExitCode::SUCCESS)
        }
        Ok(None) => {
            println!("It does not run.");
            run(track, env, &Start { wait: args.wait, serve: Vec::new() })
        }
        Err(error) => Err(failed(track, "restart", &error)),
    }
}

/// Where settings come from is what most mistakes are about.
fn say_settings(track: &Track, env: &Environment) {
    match env.file() {
        Some((file, _)) => println!("Settings: {}", file.display()),
        None => {
            let file = track.settings[0];
            eprintln!(
                "warning: no {file} in this directory or above it: only the environment is read, and defaults. Run \
                 this where it is, or copy {} to {file} and fill it in",
                if file == ".env" { "env.example" } else { ".env.gen_miner.template" }
            );
        }
    }
}

fn pid(status: &Status) -> u32 {
    status.pid.unwrap_or_default()
}

fn failed(track: &Track, what: &str, error: &ControlError) -> Failure {
    if let ControlError::Ended { last_words, .. } = error
        && !last_words.is_empty()
    {
        eprintln!("Its last lines:");
        for line in last_words.lines() {
            eprintln!("    {line}");
        }
    }
    eprintln!("❌ {} failed to {what}", track.title());
    track.failure(&format!("the {} did not {what}", track.miner), error)
}
