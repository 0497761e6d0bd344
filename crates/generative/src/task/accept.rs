//! Tasks that arrive together are committed together: while one commit is on its way to the disk, those that arrive
//! gather for the next.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::{AnyConnection, Row as _};
use tokio::sync::{mpsc, oneshot};

use super::database::{Database, within};
use super::error::StoreError;
use super::ledger::unsigned;
use super::machine::Task;
use super::row;
use super::store::Inner;
use crate::Modality;

/// Tasks that wait to be committed, at most; more wait before.
pub(super) const WAITING: usize = 1_024;
/// Tasks of one commit at most: 9 values each, and SQLite binds 32,766.
const TOGETHER: usize = 256;
/// How long a count of what waits is good for: other hosts accept too.
const COUNTED_FOR: Duration = Duration::from_secs(1);

/// A task that somebody waits to see accepted.
pub(super) struct Pending {
    pub(super) task: Task,
    pub(super) answer: oneshot::Sender<Result<Task, StoreError>>,
}

/// What need not be asked of the database again for every commit.
#[derive(Default)]
struct Known {
    /// How many wait, when that was counted, and those accepted here since.
    waiting: HashMap<Modality, (u64, Instant)>,
    /// Validators that have a turn.
    validators: HashSet<(Modality, String)>,
}

/// Until nobody can send any more.
pub(super) async fn serve(inner: Arc<Inner>, mut arrivals: mpsc::Receiver<Pending>) {
    let mut known = Known::default();
    let mut batch = Vec::with_capacity(TOGETHER);
    while arrivals.recv_many(&mut batch, TOGETHER).await > 0 {
        // Nobody would write the 201.
        batch.retain(|pending: &Pending| !pending.answer.is_closed());
        match within(accept(&inner, &mut known, &batch)).await {
            Ok(refused) => {
                for (pending, refused) in batch.drain(..).zip(refused) {
                    let result = match refused {
                        None => Ok(pending.task),
                        Some(waiting) => Err(StoreError::QueueFull { waiting }),
                    };
                    let _ = pending.answer.send(result);
                }
                inner.changed();
            }
            Err(error) => {
                known = Known::default();
                for pending in batch.drain(..) {
                    let _ = pending.answer.send(Err(error.clone()));
                }
            }
        }
    }
}

/// For each task `None` where it is on the disk now, or how many fill the queue.
async fn accept(inner: &Inner, known: &mut Known, batch: &[Pending]) -> Result<Vec<Option<u64>>, StoreError> {
    let mut transaction = inner.ledger.database.begin().await?;
    let mut refused = Vec::with_capacity(batch.len());
    let mut taken: Vec<&Task> = Vec::with_capacity(batch.len());
    let mut counted = HashSet::new();
    for Pending { task, .. } in batch {
        let (waiting, at) = known.waiting.entry(task.modality).or_insert((u64::MAX, Instant::now()));
        let is_old = *waiting >= inner.queue || at.elapsed() >= COUNTED_FOR;
        if is_old && counted.insert(task.modality) {
            let queued_here = taken.iter().filter(|other| other.modality == task.modality).count() as u64;
            *waiting = count(&mut transaction, task.modality).await? + queued_here;
            *at = Instant::now();
        }
        if *waiting >= inner.queue {
            refused.push(Some(*waiting));
        } else {
            *waiting += 1;
            taken.push(task);
            refused.push(None);
        }
    }
    if !taken.is_empty() {
        insert(&inner.ledger.database, &mut transaction, known, &taken).await?;
        inner.ledger.database.commit(transaction).await?;
        inner.count_accepted(taken.len());
        taken.into_iter().for_each(|task| inner.ledger.steps.accepted(task));
    }
    Ok(refused)
}

async fn count(connection: &mut AnyConnection, modality: Modality) -> Result<u64, StoreError> {
    let query =
        sqlx::query("SELECT count(*) FROM tasks WHERE state = 'accepted' AND host IS NULL AND modality = $1");
    Ok(unsigned(query.bind(modality.as_str()).fetch_one(connection).await?.try_get(0)?))
}

async fn insert(
    database: &Database,
    connection: &mut AnyConnection,
    known: &mut Known,
    tasks: &[&Task],
) -> Result<(), StoreError> {
    let validators = tasks.iter().map(|task| (task.modality, task.signed_by.clone()));
    // In one order on all hosts, for each waits for what another has not committed yet.
    let new: BTreeSet<_> = validators.filter(|validator| !known.validators.contains(validator)).collect();
    for (modality, signed_by) in new {
        sqlx::query(
            "INSERT INTO turns (modality, signed_by, turn) VALUES ($1, $2, 0) ON CONFLICT DO NOTHING",
        )
        .bind(modality.as_str())
        .bind(signed_by.clone())
        .execute(&mut *connection)
        .await?;
        known.validators.insert((modality, signed_by));
    }
    let width = row::NEW_COLUMNS.len();
    let places: Vec<String> = (0..tasks.len())
        .map(|task| {
            let places: Vec<String> =
                (1..=width).map(|column| database.placeholder(task * width + column)).collect();
            format!("({}, 0, 0, 0, 0)", places.join(", "))
        })
        .collect();
    let statement = format!(
        "INSERT INTO tasks ({}, attempt, spent, tries, claim) VALUES {}",
        row::NEW_COLUMNS.join(", "),
        places.join(", ")
    );
    // Few are alike, and each would be kept.
    let mut query = sqlx::query(&statement).persistent(false);
    for task in tasks {
        query = row::bind_new(query, task)?;
    }
    query.execute(connection).await?;
    Ok(())
}
