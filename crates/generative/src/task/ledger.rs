//! What an operator sees of the tasks, and may do without working on them.

use std::collections::BTreeMap;
use std::sync::Arc;

use adit_journal::Journal;
use sqlx::{AnyConnection, Row as _};

use super::clock::Clock;
use super::database::{Address, Database};
use super::error::StoreError;
use super::machine::{Day, Event, Job, State, Task, TaskId, UnixMs};
use super::steps::{Step, Steps};
use super::{row, schema};
use crate::{Modality, Usd};

/// The condition on the length is the index's.
pub(super) const KNOWS_JOB: &str =
    "SELECT 1 FROM tasks WHERE job = $1 AND length(job) <= 500 AND service = $2 LIMIT 1";

/// The tasks as they stand in the database. Several programs may look at once, beside the miner that works on them.
#[derive(Debug, Clone)]
pub struct Ledger {
    pub(super) database: Arc<Database>,
    pub(super) clock: Arc<Clock>,
    pub(super) steps: Steps,
}

/// How one validator's tasks stand.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ValidatorStats {
    /// Tasks by state.
    pub tasks: BTreeMap<State, u64>,
    /// What they have cost, or may have.
    pub cost: Usd,
}

impl Ledger {
    /// Opens the tasks of a miner, which may be running.
    ///
    /// # Errors
    /// Where there are none: a miner makes the tables when it starts.
    pub async fn open(address: &Address) -> Result<Self, StoreError> {
        let database = Database::open(address, false).await?;
        schema::check(&database).await?;
        let steps = Steps::new(None, None);
        Ok(Self { database: Arc::new(database), clock: Arc::new(Clock::start()), steps })
    }

    /// Has what it does to a task recorded, where there is a journal.
    #[must_use]
    pub fn recording(self, journal: Option<Journal>) -> Self {
        Self { steps: Steps::new(journal, None), ..self }
    }

    /// A task.
    ///
    /// # Errors
    /// [`StoreError::NoSuchTask`], or what the database says.
    pub async fn task(&self, id: TaskId) -> Result<Task, StoreError> {
        let mut connection = self.database.read().await?;
        Ok(find(&mut connection, id, "").await?.0)
    }

    /// How many tasks of a modality stand in each state; states without any are left out.
    ///
    /// # Errors
    /// What the database says.
    pub async fn counts(&self, modality: Modality) -> Result<BTreeMap<State, u64>, StoreError> {
        let query = sqlx::query("SELECT state, count(*) FROM tasks WHERE modality = $1 GROUP BY state");
        let rows = query.bind(modality.as_str()).fetch_all(&mut *self.database.read().await?).await?;
        rows.iter().map(|found| Ok((row::word(found, "state")?, unsigned(found.try_get(1)?)))).collect()
    }

    /// How each validator's tasks stand, by hotkey.
    ///
    /// # Errors
    /// What the database says.
    pub async fn validators(&self) -> Result<BTreeMap<String, ValidatorStats>, StoreError> {
        // A sum has another type than its numbers in PostgreSQL.
        let query = "SELECT signed_by, state, count(*), CAST(sum(spent + coalesce(reserved, 0)) AS BIGINT) \
             FROM tasks GROUP BY signed_by, state";
        let mut validators: BTreeMap<String, ValidatorStats> = BTreeMap::new();
        for found in sqlx::query(query).fetch_all(&mut *self.database.read().await?).await? {
            let stats = validators.entry(found.try_get(0)?).or_default();
            stats.tasks.insert(row::word(&found, "state")?, unsigned(found.try_get(2)?));
            stats.cost.0 += unsigned(found.try_get(3)?);
        }
        Ok(validators)
    }

    /// Tasks in one of the states, the newest first, `limit` at most.
    ///
    /// # Errors
    /// What the database says.
    pub async fn list(&self, states: &[State], limit: u32) -> Result<Vec<Task>, StoreError> {
        let states: Vec<String> = states.iter().map(|state| format!("'{state}'")).collect();
        let query = format!(
            "SELECT {} FROM tasks WHERE state IN ({}) ORDER BY accepted_at DESC, id LIMIT $1",
            row::COLUMNS,
            if states.is_empty() { "''".to_owned() } else { states.join(", ") },
        );
        let query = sqlx::query(&query).bind(i64::from(limit));
        let rows = query.fetch_all(&mut *self.database.read().await?).await?;
        rows.iter().map(|found| Ok(row::read(found)?.0)).collect()
    }

    /// Whether a task has this job of this service. Jobs of over 500 characters are not looked for: only links are so
    /// long, and none is told of twice.
    ///
    /// # Errors
    /// What the database says.
    pub async fn knows_job(&self, service: &str, job: &Job) -> Result<bool, StoreError> {
        let query = sqlx::query(KNOWS_JOB).bind(job.as_str().to_owned()).bind(service.to_owned());
        Ok(query.fetch_optional(&mut *self.database.read().await?).await?.is_some())
    }

    /// What a day's paid calls have cost; calls under way count with their price.
    ///
    /// # Errors
    /// What the database says.
    pub async fn spent(&self, day: Day) -> Result<Usd, StoreError> {
        spent(&mut *self.database.read().await?, day).await
    }

    /// The UTC day that it is.
    #[must_use]
    pub fn today(&self) -> Day {
        Clock::today()
    }

    /// The time as tasks measure it: what `due_at` and `deliver_by` are compared with.
    #[must_use]
    pub fn now(&self) -> UnixMs {
        self.clock.now()
    }

    /// Has a dead letter (refused, uncertain, expired, dead) delivered again; a miner that works on the queue does
    /// it.
    ///
    /// # Errors
    /// [`StoreError::Illegal`] where it is no dead letter or there is nothing to deliver; [`StoreError::NoSuchTask`].
    pub async fn redeliver(&self, id: TaskId) -> Result<Task, StoreError> {
        let mut transaction = self.database.begin().await?;
        let (before, claim) = find(&mut transaction, id, self.database.for_update()).await?;
        let mut task = before.clone();
        task.apply(Event::Redeliver, self.now())?;
        row::update(&mut transaction, &task, claim + 1, None).await?;
        self.database.commit(transaction).await?;
        self.steps.happened(Step::by_itself(Event::Redeliver.step()), &before, &task);
        Ok(task)
    }
}

/// A task and the number of the claim on it.
pub(super) async fn find(
    connection: &mut AnyConnection,
    id: TaskId,
    lock: &str,
) -> Result<(Task, i64), StoreError> {
    let query = format!("SELECT {} FROM tasks WHERE id = $1{lock}", row::COLUMNS);
    let found = sqlx::query(&query).bind(id.to_string()).fetch_optional(connection).await?;
    row::read(&found.ok_or(StoreError::NoSuchTask(id))?)
}

pub(super) async fn spent(connection: &mut AnyConnection, day: Day) -> Result<Usd, StoreError> {
    let query = sqlx::query("SELECT micro_usd FROM spend WHERE day = $1").bind(day.0);
    let found = query.fetch_optional(connection).await?;
    Ok(Usd(found.map_or(Ok(0), |row| row.try_get(0)).map(unsigned)?))
}

pub(super) fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}
