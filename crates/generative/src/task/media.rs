//! Media beside the rows, for hosts of one PostgreSQL queue that do not see one output folder.

use std::path::PathBuf;

use sqlx::{AnyConnection, Row as _};
use tokio::fs::{self, File};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::error::StoreError;
use super::machine::{Task, TaskId};
use super::output::Media;
use super::row;
use super::store::Inner;
use crate::Modality;

/// Bytes of one row: as much as a copy holds in memory, twice.
const PART: usize = 1 << 20;

/// Copies a task's media from the output folder into the database, whole or not at all.
pub(super) async fn keep(
    inner: &Inner,
    id: TaskId,
    modality: Modality,
    media: &Media,
) -> Result<(), StoreError> {
    let path = inner.output.place(id, modality, media);
    let failed = |error| StoreError::file(&path, &error);
    let mut file = File::open(&path).await.map_err(failed)?;
    let mut transaction = inner.ledger.database.begin().await?;
    let mut bytes = Vec::with_capacity(PART);
    for part in 0_i64.. {
        bytes.clear();
        read_part(&mut file, &mut bytes).await.map_err(failed)?;
        if bytes.is_empty() {
            break;
        }
        sqlx::query(
            "INSERT INTO media (task, sha256, part, bytes) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        )
        .bind(id.to_string())
        .bind(media.sha256.clone())
        .bind(part)
        .bind(bytes.as_slice())
        .execute(&mut *transaction)
        .await?;
    }
    inner.ledger.database.commit(transaction).await
}

/// Copies what is in this output folder and not in the database, as where the hosts shared the folder until another
/// came.
pub(super) async fn keep_missing(inner: &Inner) -> Result<(), StoreError> {
    let query = format!(
        "SELECT {} FROM tasks WHERE ended_at IS NULL AND media IS NOT NULL \
         AND NOT EXISTS (SELECT 1 FROM media WHERE media.task = tasks.id)",
        row::COLUMNS
    );
    let rows = sqlx::query(&query).fetch_all(&mut *inner.ledger.database.read().await?).await?;
    for found in &rows {
        let (task, _) = row::read(found)?;
        let Some(media) = &task.media else { continue };
        // Else another host has them.
        if fs::try_exists(inner.output.place(task.id, task.modality, media)).await.unwrap_or(false) {
            keep(inner, task.id, task.modality, media).await?;
        }
    }
    Ok(())
}

async fn read_part(file: &mut (impl AsyncRead + Unpin), bytes: &mut Vec<u8>) -> std::io::Result<()> {
    file.take(PART as u64).read_to_end(bytes).await?;
    Ok(())
}

/// The file with a task's media, copied from the database where it is not in the output folder.
pub(super) async fn file(inner: &Inner, task: &Task) -> Result<PathBuf, StoreError> {
    let gone = |why: &str| StoreError::MediaGone(task.id, why.to_owned());
    let Some(media) = &task.media else { return Err(gone("it has none")) };
    let path = inner.output.place(task.id, task.modality, media);
    // Files appear whole or not at all.
    if fs::metadata(&path).await.is_ok_and(|found| found.len() == media.bytes) {
        return Ok(path);
    }
    let mut writer = inner.output.create(task.id, task.modality).await?;
    for part in 0_i64.. {
        let query = sqlx::query("SELECT bytes FROM media WHERE task = $1 AND sha256 = $2 AND part = $3");
        let query = query.bind(task.id.to_string()).bind(media.sha256.clone()).bind(part);
        let found = query.fetch_optional(&mut *inner.ledger.database.read().await?).await?;
        let Some(found) = found else { break };
        writer.write(found.try_get(0)?).await?;
    }
    if writer.bytes() != media.bytes {
        return Err(gone("neither in the output folder nor whole in the database"));
    }
    if writer.finish(&media.extension).await? != *media {
        return Err(gone("in the database they are not what was fetched"));
    }
    Ok(path)
}

/// Removes them from the database.
pub(super) async fn forget(connection: &mut AnyConnection, id: TaskId) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM media WHERE task = $1").bind(id.to_string()).execute(connection).await?;
    Ok(())
}
