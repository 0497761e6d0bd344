//! `stop` and `delete`.

use std::process::ExitCode;
use std::time::Duration;

use adit_settings::Environment;
use adit_supervisor::{ControlError, Place, Stop as How};

use super::Track;
use crate::cli::process::Stop;
use crate::failure::Failure;

/// Longer than a supervisor gives its miner before it kills it.
const PATIENCE: Duration = Duration::from_secs(170);

pub(crate) fn run(track: &Track, env: &Environment, args: &Stop) -> Result<ExitCode, Failure> {
    println!("Stopping {}...", track.miner);
    if stop(track, &track.place(env)?, args)? {
        println!("✅ {} stopped.", track.title());
    } else {
        println!("{} does not run.", track.title());
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn delete(track: &Track, env: &Environment, args: &Stop) -> Result<ExitCode, Failure> {
    println!("Deleting {}...", track.miner);
    let place = track.place(env)?;
    stop(track, &place, args)?;
    let forgotten = place.delete().map_err(|error| failed(track, &error))?;
    if !forgotten {
        return Err(Failure::new(format!("{} not found", track.title()))
            .hint(format!("no process of the name {} is known; nothing was to be deleted", place.name())));
    }
    println!("✅ {} deleted: its process, state and log.", track.title());
    for fact in (track.work)(env).unwrap_or_default() {
        println!("{}: {} (kept)", fact.words, fact.text);
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether there was anything to stop.
fn stop(track: &Track, place: &Place, args: &Stop) -> Result<bool, Failure> {
    let how = if args.now { How::Kill } else { How::Drain };
    Ok(place.stop(how, PATIENCE).map_err(|error| failed(track, &error))?.is_some())
}

fn failed(track: &Track, error: &ControlError) -> Failure {
    track.failure(&format!("the {} is not stopped", track.miner), error)
}
