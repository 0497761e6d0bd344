//! Keeping the stake table fresh: the file is read again when it changes, and the last good table
//! stays in force when it cannot be read.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use adit_auth::Gate;
use adit_chain::stake_file;

/// How often the file is looked at.
const INTERVAL: Duration = Duration::from_secs(5);

/// Follows the file until the returned task is aborted.
pub(crate) async fn follow(gate: Arc<Gate>, file: PathBuf) {
    // What the table in force was read from: the file may have changed since.
    let mut read_at = gate.stakes().map(|table| table.as_of());
    let mut ticks = tokio::time::interval(INTERVAL);
    loop {
        ticks.tick().await;
        let changed = stake_file::modified(&file).ok();
        if changed == read_at {
            continue;
        }
        read_at = changed;
        let path = file.clone();
        match tokio::task::spawn_blocking(move || stake_file::read(&path)).await {
            Ok(Ok(table)) => {
                tracing::info!(hotkeys = table.len(), "stake table read again");
                gate.set_stakes(table);
            }
            Ok(Err(error)) => tracing::warn!("keeping the last good stake table: {error}"),
            Err(error) => tracing::error!("reading the stake table: {error}"),
        }
    }
}
