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
    let last = place.status().ok().flatten();
    if !place.delete().map_err(|error| failed(track, &error))? {
        return Err(Failure::new(format!("{} not found", track.title()))
            .hint(format!("no process of the name {} is known; nothing was to be deleted", place.name())));
    }
    println!("✅ {} deleted: its process, state and log.", track.title());
    // What was paid for is not forgotten with it.
    if let Some(work) = last.and_then(|status| track.work_of(env, &status.state).ok())
        && let Some(queue) = work.iter().find(|fact| fact.key == "queue")
    {
        println!("Its tasks and media stay: {}; `{}` goes on with them.", queue.text, track.command("start"));
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
