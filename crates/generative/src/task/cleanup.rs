//! What is removed when its time has passed: rows of ended tasks, their media, and files that no task knows.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use super::database::within;
use super::error::StoreError;
use super::machine::{HORIZON_MS, State, TaskId};
use super::row;
use super::store::Store;
use crate::Modality;

/// Tasks asked for in one query: SQLite binds 32,766 values.
const TOGETHER: usize = 1_000;

impl Store {
    /// Removes the tasks that came to an end at least `keep` ago, dead letters among them, with their media. Where they
    /// are `saved`, the media of delivered tasks stay, with their sidecar.
    ///
    /// Then it removes files that have the name of a task's media which the database does not know (what crashes and
    /// other hosts have left), once they are as old and past the time in which a task can be delivered. A file that has
    /// a sidecar, or any other name, is left alone.
    ///
    /// # Errors
    /// What the database or the disk says. The next time goes on.
    pub async fn clean_up(&self, keep: Duration, saved: bool) -> Result<(), StoreError> {
        loop {
            let purged = within(self.purge(keep)).await?;
            for task in &purged {
                let output = self.output();
                let done = match saved && task.state == State::Delivered {
                    true => output.save_sidecar(task).await,
                    false if output.has_sidecar(task.id, task.modality) => Ok(()),
                    false => output.remove(task).await,
                };
                if let Err(error) = done {
                    tracing::warn!(task = %task.id, "its files are as they were: {error}");
                }
            }
            if purged.is_empty() {
                break;
            }
            tracing::info!("{} tasks that ended over {} s ago are removed", purged.len(), keep.as_secs());
        }
        for modality in Modality::ALL {
            self.remove_unknown(modality, keep).await?;
        }
        Ok(())
    }

    async fn remove_unknown(&self, modality: Modality, keep: Duration) -> Result<(), StoreError> {
        let age = keep.max(Duration::from_millis(HORIZON_MS.unsigned_abs()));
        let output = self.output().clone();
        let looking = tokio::task::spawn_blocking(move || output.older_than(modality, age));
        let found = looking.await.map_err(|_| StoreError::Closed)??;
        for found in found.chunks(TOGETHER) {
            let known = within(self.known(found)).await?;
            for (id, path) in found.iter().filter(|(id, _)| !known.contains(id)) {
                tracing::info!(task = %id, "a file that no task knows is removed: {}", path.display());
                tokio::fs::remove_file(path).await.map_err(|error| StoreError::file(path, &error))?;
            }
        }
        Ok(())
    }

    /// Those of the files' tasks that there are.
    async fn known(&self, found: &[(TaskId, PathBuf)]) -> Result<HashSet<TaskId>, StoreError> {
        let places: Vec<String> = (1..=found.len()).map(|number| format!("${number}")).collect();
        let query = format!("SELECT id FROM tasks WHERE id IN ({})", places.join(", "));
        let mut query = sqlx::query(&query).persistent(false);
        for (id, _) in found {
            query = query.bind(id.to_string());
        }
        let rows = query.fetch_all(&mut *self.ledger().database.read().await?).await?;
        rows.iter().map(|found| row::word(found, "id")).collect()
    }
}
