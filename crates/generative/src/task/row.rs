//! A task as a row, and back.

use std::fmt::Display;
use std::str::FromStr;

use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, Row as _};

use super::error::StoreError;
use super::machine::{Day, Job, Task, TaskId};
use crate::Usd;

/// The columns that [`read`] needs.
pub(super) const COLUMNS: &str = "id, modality, signed_by, request, accepted_at, state, attempt, service, model, job, \
    next_service, reserved, reserved_day, spent, media, failure, tries, note, due_at, deliver_by, ended_at, claim";

/// A task and the number of the claim on it.
pub(super) fn read(row: &AnyRow) -> Result<(Task, i64), StoreError> {
    let id: TaskId = word(row, "id")?;
    let bad = |what: &dyn Display| StoreError::BadRow(format!("task {id}: {what}"));
    let micro_usd = |value: i64| u64::try_from(value).map(Usd).map_err(|error| bad(&error));
    let count = |name: &str| u32::try_from(row.try_get::<i64, _>(name)?).map_err(|error| bad(&error));
    let media: Option<String> = row.try_get("media")?;
    let reserved = match (row.try_get::<Option<i64>, _>("reserved")?, row.try_get("reserved_day")?) {
        (Some(price), Some(day)) => Some((micro_usd(price)?, Day(day))),
        _ => None,
    };
    let task = Task {
        id,
        modality: word(row, "modality")?,
        signed_by: row.try_get("signed_by")?,
        request: serde_json::from_str(row.try_get("request")?).map_err(|error| bad(&error))?,
        accepted_at: row.try_get("accepted_at")?,
        state: word(row, "state")?,
        attempt: count("attempt")?,
        service: row.try_get("service")?,
        model: row.try_get("model")?,
        job: row
            .try_get::<Option<String>, _>("job")?
            .map(Job::new)
            .transpose()
            .map_err(|error| bad(&error))?,
        next_service: row.try_get("next_service")?,
        reserved,
        spent: micro_usd(row.try_get("spent")?)?,
        media: media.map(|text| serde_json::from_str(&text)).transpose().map_err(|error| bad(&error))?,
        failure: row.try_get("failure")?,
        tries: count("tries")?,
        note: row.try_get("note")?,
        due_at: row.try_get("due_at")?,
        deliver_by: row.try_get("deliver_by")?,
        ended_at: row.try_get("ended_at")?,
    };
    Ok((task, row.try_get("claim")?))
}

pub(super) fn word<T: FromStr<Err: Display>>(row: &AnyRow, column: &str) -> Result<T, StoreError> {
    let text: &str = row.try_get(column)?;
    text.parse().map_err(|error| StoreError::BadRow(format!("{column}: {error}")))
}

/// The columns that [`bind_new`] binds, in their order. Those of a task that has just been accepted that are not
/// among them are null or 0.
pub(super) const NEW_COLUMNS: [&str; 9] =
    ["id", "modality", "signed_by", "request", "accepted_at", "state", "failure", "due_at", "deliver_by"];

pub(super) fn bind_new<'q>(
    query: Query<'q, Any, AnyArguments<'q>>,
    task: &Task,
) -> Result<Query<'q, Any, AnyArguments<'q>>, StoreError> {
    // As JSON a prompt may hold what PostgreSQL takes in no text: a NUL.
    let request =
        serde_json::to_string(&task.request).map_err(|error| StoreError::BadRow(error.to_string()))?;
    Ok(query
        .bind(task.id.to_string())
        .bind(task.modality.as_str())
        .bind(task.signed_by.clone())
        .bind(request)
        .bind(task.accepted_at)
        .bind(task.state.as_str())
        .bind(task.failure.clone())
        .bind(task.due_at)
        .bind(task.deliver_by))
}

/// Writes all of a task that may change, and who holds it.
pub(super) async fn update(
    connection: &mut AnyConnection,
    task: &Task,
    claim: i64,
    host: Option<&str>,
) -> Result<(), StoreError> {
    let media = task.media.as_ref().map(serde_json::to_string).transpose();
    sqlx::query(
        "UPDATE tasks SET state = $2, attempt = $3, service = $4, job = $5, reserved = $6, reserved_day = $7, \
         spent = $8, media = $9, failure = $10, tries = $11, note = $12, due_at = $13, deliver_by = $14, \
         ended_at = $15, claim = $16, host = $17, next_service = $18, model = $19 WHERE id = $1",
    )
    .bind(task.id.to_string())
    .bind(task.state.as_str())
    .bind(i64::from(task.attempt))
    .bind(task.service.clone())
    .bind(task.job.as_ref().map(|job| job.as_str().to_owned()))
    .bind(task.reserved.map(|(price, _)| signed(price)))
    .bind(task.reserved.map(|(_, day)| day.0))
    .bind(signed(task.spent))
    .bind(media.map_err(|error| StoreError::BadRow(error.to_string()))?)
    .bind(task.failure.clone())
    .bind(i64::from(task.tries))
    .bind(task.note.clone())
    .bind(task.due_at)
    .bind(task.deliver_by)
    .bind(task.ended_at)
    .bind(claim)
    .bind(host.map(str::to_owned))
    .bind(task.next_service.clone())
    .bind(task.model.clone())
    .execute(connection)
    .await?;
    Ok(())
}

/// As databases count. More than nine million million dollars are not told apart.
pub(super) fn signed(money: Usd) -> i64 {
    i64::try_from(money.0).unwrap_or(i64::MAX)
}
