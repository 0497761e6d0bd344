//! The tasks, for a host that works on them.

use std::collections::{BTreeMap, HashMap};
use std::fs::{DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use adit_journal::Journal;
use rustix::fs::{FlockOperation, flock};
use sqlx::{AnyConnection, Row as _};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::accept::{self, Pending};
use super::clock::Clock;
use super::database::{Address, Database, within};
use super::error::StoreError;
use super::hosts::{BEAT, Watch};
use super::ledger::{self, Ledger, find};
use super::machine::{Event, HORIZON_MS, Request, State, Task, TaskId, UnixMs};
use super::output::OutputDir;
use super::steps::{Step, Steps};
use super::{media, row, schema};
use crate::{Modality, Usd};

/// Half-written media of an output folder that others use too are left alone for so long.
const STALE: Duration = Duration::from_secs(86_400);
/// How long a database is tried for what has happened: money hangs on it, and it cannot be asked for again.
const PERSISTENCE: Duration = Duration::from_secs(600);
/// Pause between two such tries.
const PAUSE: Duration = Duration::from_secs(1);

/// How a store is opened.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the tasks are kept.
    pub database: Address,
    /// Where the media are kept (`MINER_OUTPUT_DIR`). It is made where it is missing.
    pub output_dir: PathBuf,
    /// How many tasks of one modality may wait for their turn. Several hosts may exceed it by what they accept within
    /// a second.
    pub queue: u64,
    /// The most that the paid calls begun on one UTC day may cost (`MINER_DAILY_BUDGET_USD`).
    pub daily_budget: Option<Usd>,
    /// Where each step of a task is recorded, once it is in the database.
    pub journal: Option<Journal>,
}

/// The tasks and their media, for a host that works on them. Clones share it.
///
/// What it answers is on the disk. Dropping a future of it leaves a task either as it was or changed in whole.
#[derive(Debug, Clone)]
pub struct Store {
    pub(super) inner: Arc<Inner>,
    arrivals: mpsc::Sender<Pending>,
    let_go: mpsc::UnboundedSender<(TaskId, i64)>,
    /// Ends with the last clone.
    pub(super) background: Arc<Mutex<JoinSet<()>>>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) ledger: Ledger,
    pub(super) output: OutputDir,
    pub(super) queue: u64,
    daily_budget: Option<Usd>,
    /// This host's name, a new one for each start.
    host: String,
    others: tokio::sync::Mutex<Watch>,
    /// All hosts see the same output folder.
    pub(super) shared: AtomicBool,
    accepted: AtomicU64,
    deliveries: Mutex<BTreeMap<&'static str, u64>>,
    changes: watch::Sender<u64>,
    _lock: Option<File>,
}

/// A task that this host alone works on, until an event lets it go. One that is dropped before is let go as
/// [`Event::Orphaned`] says: a call that was being made is then in doubt.
#[derive(Debug)]
pub struct Claim {
    task: Task,
    number: i64,
    is_held: bool,
    /// When it was claimed, or last changed through this claim.
    since: UnixMs,
    verdict: Option<String>,
    let_go: mpsc::UnboundedSender<(TaskId, i64)>,
}

impl Claim {
    /// The task as it stood when it was claimed or last changed through this claim.
    #[must_use]
    pub fn task(&self) -> &Task {
        &self.task
    }

    /// What the C2PA check says of the media, in words. It is recorded with the next event.
    pub(crate) fn judged(&mut self, verdict: String) {
        self.verdict = Some(verdict);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.is_held {
            let _ = self.let_go.send((self.task.id, self.number));
        }
    }
}

/// Figures of this host since its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figures {
    /// Tasks accepted.
    pub accepted: u64,
    /// Transactions committed, each by at least one write to the disk.
    pub commits: u64,
    /// Deliveries tried, by [`Answer::label`](super::Answer::label).
    pub deliveries: BTreeMap<&'static str, u64>,
}

impl Store {
    /// Opens the tasks, makes the tables where they are missing, and takes up what a crash left: at once with
    /// SQLite, where no other miner can have the file; with PostgreSQL when the host that had a task has shown no
    /// life for 30 s.
    ///
    /// # Errors
    /// [`StoreError::InUse`] where another miner has the SQLite file; [`StoreError::NewerSchema`]; where the output
    /// folder cannot be written; what the database says.
    pub async fn open(config: Config) -> Result<Self, StoreError> {
        let lock = match &config.database {
            Address::Sqlite(path) => Some(lock(path)?),
            Address::Postgres(_) => None,
        };
        let database = Database::open(&config.database, true).await?;
        schema::migrate(&database).await?;
        let stale = if database.is_postgres() { STALE } else { Duration::ZERO };
        let output = OutputDir::open(&config.output_dir, stale)?;
        let (arrivals, arriving) = mpsc::channel(accept::WAITING);
        let (let_go, going) = mpsc::unbounded_channel();
        let steps = Steps::new(config.journal, Some(output.clone()));
        let inner = Arc::new(Inner {
            ledger: Ledger { database: Arc::new(database), clock: Arc::new(Clock::start()), steps },
            output,
            queue: config.queue,
            daily_budget: config.daily_budget,
            host: TaskId::new_v4().to_string(),
            others: tokio::sync::Mutex::default(),
            shared: AtomicBool::new(false),
            accepted: AtomicU64::new(0),
            deliveries: Mutex::default(),
            changes: watch::Sender::new(0),
            _lock: lock,
        });
        if inner.ledger.database.is_postgres() {
            inner.output.leave_probe(&inner.host)?;
        } else {
            for host in inner.holders().await? {
                inner.orphan(&host).await?;
            }
        }
        inner.beat(Instant::now()).await?;
        let mut background = JoinSet::new();
        background.spawn(accept::serve(Arc::clone(&inner), arriving));
        background.spawn(let_tasks_go(Arc::clone(&inner), going));
        background.spawn(keep_beating(Arc::clone(&inner)));
        if inner.ledger.database.is_postgres() {
            background.spawn(keep_copies(Arc::clone(&inner)));
        }
        Ok(Self { inner, arrivals, let_go, background: Arc::new(Mutex::new(background)) })
    }

    /// What an operator sees of the tasks.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.inner.ledger
    }

    /// The folder that new media are written to.
    #[must_use]
    pub fn output(&self) -> &OutputDir {
        &self.inner.output
    }

    /// Figures for metrics and benches.
    #[must_use]
    pub fn figures(&self) -> Figures {
        Figures {
            accepted: self.inner.accepted.load(Ordering::Relaxed),
            commits: self.inner.ledger.database.commits(),
            deliveries: self.inner.deliveries.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// How many tasks of one modality may wait.
    #[must_use]
    pub fn queue_limit(&self) -> u64 {
        self.inner.queue
    }

    /// Changes each time that this host has changed a task: then there may be something to claim. Other hosts'
    /// changes and due times that have come are found by asking from time to time.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes.subscribe()
    }

    /// Takes on a task, durably. Those that arrive together share one commit. One that is known to be `impossible`
    /// goes straight to its failure report, and nothing is paid for it.
    ///
    /// # Errors
    /// [`StoreError::QueueFull`]; what the database says. Nothing was taken on then.
    pub async fn accept(
        &self,
        modality: Modality,
        signed_by: String,
        request: Request,
        impossible: Option<&str>,
    ) -> Result<Task, StoreError> {
        let now = self.inner.ledger.now();
        let mut task = Task::new(TaskId::new_v4(), modality, signed_by, request, now);
        if let Some(why) = impossible {
            task.apply(Event::Fail { cost: None, why: why.to_owned() }, now)?;
        }
        let (answer, answered) = oneshot::channel();
        self.arrivals.send(Pending { task, answer }).await.map_err(|_| StoreError::Closed)?;
        answered.await.unwrap_or(Err(StoreError::Closed))
    }

    /// The next task of a modality that waits for a paid call. Its turn goes round between validators: first
    /// whoever has the fewest under way, then whoever was served longest ago; a validator's own in the order in
    /// which they fell due. It may be too late for it already: that is the worker's to see.
    ///
    /// # Errors
    /// What the database says.
    pub async fn claim_queued(&self, modality: Modality) -> Result<Option<Claim>, StoreError> {
        within(self.next_queued(modality)).await
    }

    async fn next_queued(&self, modality: Modality) -> Result<Option<Claim>, StoreError> {
        let database = &self.inner.ledger.database;
        let now = self.inner.ledger.now();
        let mut transaction = database.begin().await?;
        // The inner LIMIT, which never bites, has the databases sort first and then look at the queues in that order, and
        // no further than to the first few that have a task. As EXISTS, PostgreSQL would read the whole queue.
        let turns = sqlx::query(
            "SELECT signed_by FROM (SELECT turns.modality, turns.signed_by FROM turns LEFT JOIN \
             (SELECT signed_by, count(*) AS tasks FROM tasks WHERE modality = $1 \
             AND state IN ('calling', 'submitted', 'fetched', 'unknown') GROUP BY signed_by) AS working \
             ON working.signed_by = turns.signed_by WHERE turns.modality = $1 \
             ORDER BY coalesce(working.tasks, 0), turn, turns.signed_by LIMIT 1000000) AS ordered \
             WHERE (SELECT due_at FROM tasks WHERE state = 'accepted' AND host IS NULL \
             AND tasks.modality = ordered.modality AND tasks.signed_by = ordered.signed_by \
             ORDER BY due_at LIMIT 1) <= $2 LIMIT 8",
        );
        let turns = turns.bind(modality.as_str()).bind(now).fetch_all(&mut *transaction).await?;
        let query = format!(
            "SELECT {} FROM tasks WHERE state = 'accepted' AND host IS NULL AND modality = $1 AND signed_by = $2 \
             AND due_at <= $3 ORDER BY due_at LIMIT 1{}",
            row::COLUMNS,
            database.skip_locked(),
        );
        for turn in turns {
            let signed_by: &str = turn.try_get(0)?;
            let query = sqlx::query(&query).bind(modality.as_str()).bind(signed_by).bind(now);
            let Some(found) = query.fetch_optional(&mut *transaction).await? else {
                // Another host is just taking the last of them.
                continue;
            };
            let (task, number) = row::read(&found)?;
            sqlx::query(
                "UPDATE turns SET turn = (SELECT max(turn) + 1 FROM turns) WHERE modality = $1 AND signed_by = $2",
            )
            .bind(modality.as_str())
            .bind(signed_by)
            .execute(&mut *transaction)
            .await?;
            let claim = self.hold(&mut transaction, task, number).await?;
            database.commit(transaction).await?;
            return Ok(Some(claim));
        }
        Ok(None)
    }

    /// The next task whose paid call has been made and that nobody works on: `submitted`, `fetched`, or `unknown`.
    ///
    /// # Errors
    /// What the database says.
    pub async fn claim_paid(&self) -> Result<Option<Claim>, StoreError> {
        within(self.next_due("state IN ('submitted', 'fetched', 'unknown')")).await
    }

    /// The next task that is due to be delivered: `checked` or `delivering`.
    ///
    /// # Errors
    /// What the database says.
    pub async fn claim_delivery(&self) -> Result<Option<Claim>, StoreError> {
        within(self.next_due("state IN ('checked', 'delivering')")).await
    }

    async fn next_due(&self, states: &str) -> Result<Option<Claim>, StoreError> {
        let database = &self.inner.ledger.database;
        let query = format!(
            "SELECT {} FROM tasks WHERE {states} AND host IS NULL AND due_at <= $1 ORDER BY due_at LIMIT 1{}",
            row::COLUMNS,
            database.skip_locked(),
        );
        let mut transaction = database.begin().await?;
        let query = sqlx::query(&query).bind(self.inner.ledger.now());
        let Some(found) = query.fetch_optional(&mut *transaction).await? else { return Ok(None) };
        let (task, number) = row::read(&found)?;
        let claim = self.hold(&mut transaction, task, number).await?;
        database.commit(transaction).await?;
        Ok(Some(claim))
    }

    /// A claim, which holds once the transaction is committed. Where that is not waited for, it is let go as any
    /// other that is dropped: its number tells whether it came to hold.
    async fn hold(
        &self,
        connection: &mut AnyConnection,
        task: Task,
        number: i64,
    ) -> Result<Claim, StoreError> {
        let number = number + 1;
        sqlx::query("UPDATE tasks SET claim = $2, host = $3 WHERE id = $1")
            .bind(task.id.to_string())
            .bind(number)
            .bind(self.inner.host.clone())
            .execute(connection)
            .await?;
        let since = self.inner.ledger.now();
        Ok(Claim { task, number, is_held: true, since, verdict: None, let_go: self.let_go.clone() })
    }

    /// Begins a paid call: its price is taken from the day's budget, and both are on the disk before this returns.
    /// Only then may the call be made, once.
    ///
    /// # Errors
    /// [`StoreError::BudgetSpent`], which leaves the task as it was; those of [`Store::apply`].
    pub async fn call(
        &self,
        claim: &mut Claim,
        service: &str,
        model: &str,
        price: Usd,
    ) -> Result<(), StoreError> {
        let (service, model) = (service.to_owned(), model.to_owned());
        self.apply(claim, Event::Call { service, model, price, day: Clock::today() }).await
    }

    /// Lets an event happen to a task. What tells the worker's own doing (a call, a job id, media, a try) keeps the
    /// claim; any other event lets it go.
    ///
    /// A claim may have been lost, where the other hosts took this one for dead. What has happened already (a job
    /// id, media, an acknowledgement) is recorded even then, as long as it is still news; anything else is
    /// [`StoreError::ClaimLost`]. It also waits ten minutes for a database that is locked, full or away, where
    /// anything else is an error at once.
    ///
    /// # Errors
    /// [`StoreError::Illegal`] where it cannot happen to the task as it stands, [`StoreError::ClaimLost`],
    /// [`StoreError::BudgetSpent`], what the database says.
    pub async fn apply(&self, claim: &mut Claim, event: Event) -> Result<(), StoreError> {
        let until = Instant::now() + PERSISTENCE;
        loop {
            match self.try_to_apply(claim, event.clone()).await {
                Err(error) if event.is_fact() && error.may_pass() && Instant::now() < until => {
                    tracing::warn!(task = %claim.task.id, "it cannot be written down yet: {error}");
                    tokio::time::sleep(PAUSE).await;
                }
                other => return other,
            }
        }
    }

    async fn try_to_apply(&self, claim: &mut Claim, event: Event) -> Result<(), StoreError> {
        let inner = &self.inner;
        if let Event::Fetched { media, .. } = &event
            && inner.ledger.database.is_postgres()
            && !inner.shared.load(Ordering::SeqCst)
        {
            media::keep(inner, claim.task.id, claim.task.modality, media).await?;
        }
        within(self.change(claim, event)).await
    }

    async fn change(&self, claim: &mut Claim, event: Event) -> Result<(), StoreError> {
        let inner = &self.inner;
        let database = &inner.ledger.database;
        let mut transaction = database.begin().await?;
        let (before, number) = find(&mut transaction, claim.task.id, database.for_update()).await?;
        let is_mine = claim.is_held && number == claim.number;
        let is_news = event.is_fact() && before.attempt == claim.task.attempt;
        if !(is_mine || is_news) {
            claim.is_held = false;
            return Err(StoreError::ClaimLost(before.id));
        }
        let keeps = is_mine && event.keeps_claim();
        let mut task = before.clone();
        let step = event.step();
        let answer = if let Event::Answered(answer) = &event { Some(answer.label()) } else { None };
        task.apply(event, inner.ledger.now())?;
        inner.pay(&mut transaction, &before, &task).await?;
        let (number, host) = if keeps { (number, Some(&*inner.host)) } else { (number + 1, None) };
        row::update(&mut transaction, &task, number, host).await?;
        let is_over = matches!(task.state, State::Delivered | State::Failed);
        if before.media.is_some() && (is_over || task.media.is_none()) {
            media::forget(&mut transaction, task.id).await?;
        }
        database.commit(transaction).await?;
        let now = inner.ledger.now();
        let worked = Some(std::mem::replace(&mut claim.since, now)..now);
        let step = Step { name: step, answer, verdict: claim.verdict.take(), worked };
        inner.ledger.steps.happened(step, &before, &task);
        if let Some(answer) = answer {
            let mut deliveries = inner.deliveries.lock().unwrap_or_else(PoisonError::into_inner);
            *deliveries.entry(answer).or_default() += 1;
        }
        claim.is_held = keeps;
        claim.task = task;
        inner.changed();
        Ok(())
    }

    /// The file with a task's media. Where another host fetched them, they may have to be copied here first.
    ///
    /// # Errors
    /// [`StoreError::MediaGone`]; where the file cannot be written; what the database says.
    pub async fn media_file(&self, task: &Task) -> Result<PathBuf, StoreError> {
        media::file(&self.inner, task).await
    }

    /// Removes tasks that came to an end at least so long ago, 1,000 at most, and says which. Their files stay:
    /// [`Store::clean_up`] removes both.
    ///
    /// # Errors
    /// What the database says.
    pub async fn purge(&self, age: Duration) -> Result<Vec<Task>, StoreError> {
        let database = &self.inner.ledger.database;
        let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        let query = format!(
            "SELECT {} FROM tasks WHERE ended_at IS NOT NULL AND ended_at <= $1 ORDER BY ended_at LIMIT 1000{}",
            row::COLUMNS,
            database.skip_locked(),
        );
        let mut transaction = database.begin().await?;
        let query = sqlx::query(&query).bind(self.inner.ledger.now().saturating_sub(age));
        let rows = query.fetch_all(&mut *transaction).await?;
        let tasks =
            rows.iter().map(|found| Ok(row::read(found)?.0)).collect::<Result<Vec<_>, StoreError>>()?;
        for task in &tasks {
            media::forget(&mut transaction, task.id).await?;
            let query = sqlx::query("DELETE FROM tasks WHERE id = $1").bind(task.id.to_string());
            query.execute(&mut *transaction).await?;
        }
        database.commit(transaction).await?;
        Ok(tasks)
    }

    /// Closes the store: what arrives is refused, and tasks that are still held are let go, for other hosts to take
    /// up at once. To be called when the workers have stopped; a store that is merely dropped is as after a crash.
    ///
    /// # Errors
    /// What the database says.
    pub async fn close(self) -> Result<(), StoreError> {
        let mut background =
            std::mem::take(&mut *self.background.lock().unwrap_or_else(PoisonError::into_inner));
        background.shutdown().await;
        let inner = &self.inner;
        inner.orphan(&inner.host).await?;
        if inner.ledger.database.is_postgres() {
            inner.bury(&inner.host).await?;
        }
        inner.ledger.database.close().await;
        Ok(())
    }
}

impl Inner {
    pub(super) fn changed(&self) {
        self.changes.send_modify(|changes| *changes = changes.wrapping_add(1));
    }

    pub(super) fn count_accepted(&self, tasks: usize) {
        self.accepted.fetch_add(tasks as u64, Ordering::Relaxed);
    }

    /// Books what has changed in what a task costs.
    async fn pay(
        &self,
        connection: &mut AnyConnection,
        before: &Task,
        after: &Task,
    ) -> Result<(), StoreError> {
        if let (None, Some((price, day))) = (before.reserved, after.reserved) {
            sqlx::query("INSERT INTO spend (day, micro_usd) VALUES ($1, 0) ON CONFLICT DO NOTHING")
                .bind(day.0)
                .execute(&mut *connection)
                .await?;
            let budget = self.daily_budget.unwrap_or(Usd(u64::MAX));
            // Whoever comes at the same moment waits for this row, and then sees what is left.
            let reserve = sqlx::query(
                "UPDATE spend SET micro_usd = micro_usd + $2 WHERE day = $1 AND micro_usd <= $3 - $2",
            );
            let reserve = reserve.bind(day.0).bind(row::signed(price)).bind(row::signed(budget));
            if reserve.execute(&mut *connection).await?.rows_affected() == 0 {
                let spent = ledger::spent(connection, day).await?;
                return Err(StoreError::BudgetSpent { price, spent, budget });
            }
        } else if let (Some((_, day)), None) = (before.reserved, after.reserved) {
            let difference = row::signed(after.cost()) - row::signed(before.cost());
            let book = sqlx::query("UPDATE spend SET micro_usd = micro_usd + $2 WHERE day = $1");
            book.bind(day.0).bind(difference).execute(connection).await?;
        }
        Ok(())
    }

    /// The hosts that hold tasks.
    async fn holders(&self) -> Result<Vec<String>, StoreError> {
        let query = sqlx::query("SELECT DISTINCT host FROM tasks WHERE host IS NOT NULL");
        let rows = query.fetch_all(&mut *self.ledger.database.read().await?).await?;
        Ok(rows.iter().map(|found| found.try_get(0)).collect::<Result<_, _>>()?)
    }

    /// Lets go of the tasks that a host holds, which is dead.
    async fn orphan(&self, host: &str) -> Result<(), StoreError> {
        let database = &self.ledger.database;
        let query = format!("SELECT {} FROM tasks WHERE host = $1{}", row::COLUMNS, database.for_update());
        let mut transaction = database.begin().await?;
        let rows = sqlx::query(&query).bind(host.to_owned()).fetch_all(&mut *transaction).await?;
        let mut orphaned = Vec::with_capacity(rows.len());
        for found in &rows {
            let (before, number) = row::read(found)?;
            let mut task = before.clone();
            task.apply(Event::Orphaned, self.ledger.now())?;
            tracing::warn!(task = %task.id, state = %task.state, "its host has gone; the task is taken up");
            row::update(&mut transaction, &task, number + 1, None).await?;
            orphaned.push((before, task));
        }
        database.commit(transaction).await?;
        for (before, task) in &orphaned {
            self.ledger.steps.happened(Step::by_itself(Event::Orphaned.step()), before, task);
        }
        self.changed();
        Ok(())
    }

    /// Lets go of one task, if the claim on it still holds.
    async fn let_go(&self, id: TaskId, number: i64) -> Result<(), StoreError> {
        let database = &self.ledger.database;
        let mut transaction = database.begin().await?;
        let (before, held) = find(&mut transaction, id, database.for_update()).await?;
        if held == number {
            let mut task = before.clone();
            task.apply(Event::Orphaned, self.ledger.now())?;
            row::update(&mut transaction, &task, number + 1, None).await?;
            database.commit(transaction).await?;
            self.ledger.steps.happened(Step::by_itself(Event::Orphaned.step()), &before, &task);
            self.changed();
        }
        Ok(())
    }

    /// Shows that this host lives, takes up what dead ones left, and finds out whether all see one output folder.
    pub(super) async fn beat(&self, now: Instant) -> Result<(), StoreError> {
        self.hasten().await?;
        if !self.ledger.database.is_postgres() {
            return Ok(());
        }
        let mut transaction = self.ledger.database.begin().await?;
        sqlx::query(
            "INSERT INTO hosts (id, beats) VALUES ($1, 1) ON CONFLICT (id) DO UPDATE SET beats = hosts.beats + 1",
        )
        .bind(self.host.clone())
        .execute(&mut *transaction)
        .await?;
        self.ledger.database.commit(transaction).await?;
        let query = "SELECT id, beats FROM hosts";
        let rows = sqlx::query(query).fetch_all(&mut *self.ledger.database.read().await?).await?;
        let mut beats = HashMap::new();
        for found in rows {
            beats.insert(found.try_get::<String, _>(0)?, found.try_get::<i64, _>(1)?);
        }
        for holder in self.holders().await? {
            beats.entry(holder).or_insert(0);
        }
        beats.remove(&self.host);
        let mut others: Vec<String> = beats.keys().cloned().collect();
        let dead = self.others.lock().await.observe(beats, now);
        others.retain(|host| !dead.contains(host));
        for host in dead {
            self.orphan(&host).await?;
            self.bury(&host).await?;
        }
        // Then media need be nowhere else.
        let is_shared = !others.is_empty() && others.iter().all(|host| self.output.sees_probe(host));
        self.shared.store(is_shared, Ordering::SeqCst);
        Ok(())
    }

    /// Removes the traces of a host.
    async fn bury(&self, host: &str) -> Result<(), StoreError> {
        let mut transaction = self.ledger.database.begin().await?;
        let query = sqlx::query("DELETE FROM hosts WHERE id = $1").bind(host.to_owned());
        query.execute(&mut *transaction).await?;
        self.ledger.database.commit(transaction).await?;
        self.output.remove_probe(host);
        Ok(())
    }

    /// Nothing waits longer than until the horizon. Where it would, its time was written when the clock was ahead,
    /// or on a host whose clock is.
    async fn hasten(&self) -> Result<(), StoreError> {
        let now = self.ledger.now();
        let query = sqlx::query("SELECT 1 FROM tasks WHERE ended_at IS NULL AND due_at > $1 LIMIT 1");
        let query = query.bind(now.saturating_add(HORIZON_MS));
        if query.fetch_optional(&mut *self.ledger.database.read().await?).await?.is_none() {
            return Ok(());
        }
        let mut transaction = self.ledger.database.begin().await?;
        sqlx::query("UPDATE tasks SET due_at = $1 WHERE ended_at IS NULL AND due_at > $2")
            .bind(now)
            .bind(now.saturating_add(HORIZON_MS))
            .execute(&mut *transaction)
            .await?;
        self.ledger.database.commit(transaction).await
    }
}

/// Only one miner works with a SQLite file. The lock goes with the process, however it ends.
fn lock(path: &Path) -> Result<File, StoreError> {
    let mut name = path.to_path_buf().into_os_string();
    name.push(".lock");
    let beside = PathBuf::from(name);
    let failed = |error: std::io::Error| StoreError::file(&beside, &error);
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    }
    let file = File::options().append(true).create(true).mode(0o600).open(&beside).map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::InUse(path.to_owned())),
        Err(error) => Err(failed(error.into())),
    }
}

async fn keep_beating(inner: Arc<Inner>) {
    loop {
        tokio::time::sleep(BEAT).await;
        if let Err(error) = within(inner.beat(Instant::now())).await {
            tracing::warn!("no heartbeat, so other hosts may take this one's tasks over: {error}");
        }
    }
}

/// Apart from the heartbeat, which is not to wait for large files.
async fn keep_copies(inner: Arc<Inner>) {
    loop {
        tokio::time::sleep(BEAT).await;
        if !inner.shared.load(Ordering::SeqCst)
            && let Err(error) = media::keep_missing(&inner).await
        {
            tracing::warn!("media are only in this host's output folder: {error}");
        }
    }
}

/// Lets go of claims that were dropped, as of a worker that panicked.
async fn let_tasks_go(inner: Arc<Inner>, mut going: mpsc::UnboundedReceiver<(TaskId, i64)>) {
    while let Some((id, number)) = going.recv().await {
        while let Err(error) = within(inner.let_go(id, number)).await {
            tracing::warn!(task = %id, "it cannot be let go yet: {error}");
            if matches!(error, StoreError::NoSuchTask(_) | StoreError::Illegal(_) | StoreError::Closed) {
                break;
            }
            tokio::time::sleep(BEAT).await;
        }
    }
}
