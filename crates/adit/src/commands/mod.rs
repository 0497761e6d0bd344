//! One file a command.

pub(crate) mod actions;
pub(crate) mod alerts;
pub(crate) mod chain;
pub(crate) mod dashboard;
pub(crate) mod demo;
pub(crate) mod deploy;
pub(crate) mod doctor;
mod element;
pub(crate) mod evaluate;
pub(crate) mod generator;
pub(crate) mod healthcheck;
pub(crate) mod journal;
mod live_journal;
pub(crate) mod model;
mod names;
mod password;
pub(crate) mod process;
mod recorded;
pub(crate) mod rehearse;
mod run_as;
mod say;
mod sealed;
pub(crate) mod serve;
pub(crate) mod shell;
pub(crate) mod spot_check;
mod table;
mod terminal;
pub(crate) mod top;
pub(crate) mod turbo_vision;
pub(crate) mod wallet;

use std::future::Future;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::failure::Failure;

/// Runs a command that needs the async runtime.
fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::new)?;
    let result = runtime.block_on(work);
    // What blocks a thread of its own, such as the reading of a large file, is not waited for.
    runtime.shutdown_timeout(Duration::from_millis(500));
    result
}

/// A span of time in milliseconds, as one reads it.
fn span(ms: i64) -> String {
    match ms / 1000 {
        seconds @ ..120 => format!("{} s", seconds.max(0)),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// Tells whoever started this server that it answers.
fn say_ready() {
    if let Err(error) = adit_supervisor::notify_ready() {
        tracing::warn!("nobody hears that this miner is ready (NOTIFY_SOCKET): {error}");
    }
}

/// Ready when somebody wants this server to stop.
fn told_to_stop() -> Result<impl Future<Output = ()>, Failure> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::new)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::new)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM"),
            _ = interrupt.recv() => tracing::info!("SIGINT"),
        }
    })
}
