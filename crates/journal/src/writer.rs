//! The thread that writes: what waits goes into one transaction, and what there is too much of goes.

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant, SystemTime};

use rusqlite::{Connection, TransactionBehavior, params};

use crate::database::{self, Damage, OpenError, is_damage, is_full};
use crate::journal::{Limits, Room, unix_ms};
use crate::record::Damaged;

/// Entries of one transaction, which ends too where their fields come to a part of what the file may have.
const BATCH: usize = 256;
const BATCH_PART: u64 = 16;
/// A disk that fails is complained of this often.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);
/// How often what is too old is looked for.
const AGED_EVERY: Duration = Duration::from_secs(600);
/// Entries that are dropped at once: a reader waits no longer than for that.
const DROPPED_AT_ONCE: i64 = 500;
/// Sums are kept for so long, and no more of them than so many.
const TALLIES_MS: i64 = 400 * DAY_MS;
const TALLIES: i64 = 200_000;
const DAY_MS: i64 = 86_400_000;
pub(crate) const HOUR_MS: i64 = 3_600_000;
/// The writer takes what answering leaves.
const NICE: i32 = 19;
/// Where more waits, it rests for so many times as long as it has worked, 2 s at most: a flood of entries costs a
/// hundredth of a core, and what the queue does not hold is dropped.
const REST: u32 = 99;
const LONGEST_REST: Duration = Duration::from_secs(2);

/// One entry that waits to be made and written.
pub(crate) struct Waiting {
    /// About as large as that, for the queue's limit.
    pub(crate) bytes: usize,
    pub(crate) line: Box<dyn FnOnce() -> Option<Line> + Send>,
}

/// One entry on its way.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) at_ms: i64,
    pub(crate) event: &'static str,
    pub(crate) key: Option<String>,
    pub(crate) who: Option<String>,
    pub(crate) outcome: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) count: u64,
    pub(crate) took_ms: u64,
    pub(crate) micro_usd: u64,
    pub(crate) fields: String,
}

pub(crate) struct Writer {
    path: PathBuf,
    limits: Limits,
    /// `None` after something went wrong, until it is opened again.
    open: Option<Open>,
    /// A time that the clock's jumps do not move; see [`Writer::now`].
    begun: (Instant, i64),
    /// A file that was set aside, of which the new one does not tell yet.
    damage: Option<Damage>,
    aged: Option<Instant>,
    complained: Option<Instant>,
    pub(crate) dropped: Arc<AtomicU64>,
    pub(crate) room: Arc<Room>,
    /// Disconnected when the last handle is gone, which waits for what is in the queue.
    open_handles: Receiver<Infallible>,
}

struct Open {
    connection: Connection,
    identity: Option<(u64, u64)>,
}

impl Writer {
    pub(crate) fn open(
        path: &Path,
        limits: Limits,
        open_handles: Receiver<Infallible>,
    ) -> Result<Self, OpenError> {
        let (open, damage) = Open::new(path, limits)?;
        let newest: Option<i64> = open
            .connection
            .query_row("SELECT at_ms FROM entries ORDER BY id DESC LIMIT 1", [], |row| row.get(0))
            .ok();
        // A clock that is a year ahead at the start must not make everything too old. Where the miner was really away
        // for long, entries stay for longer: their number is bounded all the same.
        let wall = unix_ms(SystemTime::now());
        let begun = newest.map_or(wall, |newest| wall.min(newest.saturating_add(DAY_MS)));
        let mut writer = Self {
            path: path.to_owned(),
            limits,
            open: Some(open),
            begun: (Instant::now(), begun),
            damage: None,
            aged: None,
            complained: None,
            dropped: Arc::default(),
            room: Arc::default(),
            open_handles,
        };
        if let Some(damage) = damage {
            writer.found(damage);
        }
        Ok(writer)
    }

    /// Until the queue is empty and has no sender.
    pub(crate) fn work(&mut self, lines: &Receiver<Waiting>) {
        if let Err(error) = rustix::process::setpriority_process(None, NICE) {
            tracing::debug!("writing the journal at the usual priority: {error}");
        }
        self.drop_aged();
        if self.damage.is_some()
            && let Err(error) = self.write(&[])
        {
            tracing::debug!("the journal does not tell of the damage yet: {error}");
        }
        let mut batch = Vec::with_capacity(BATCH);
        let most = usize::try_from(self.limits.bytes / BATCH_PART).unwrap_or(usize::MAX);
        while let Ok(first) = lines.recv() {
            let begun = Instant::now();
            let (mut bytes, mut waited, mut unfit) = (0, 0, 0);
            let mut next = Some(first);
            while let Some(Waiting { bytes: waiting, line }) = next {
                waited += waiting;
                match line() {
                    Some(line) => {
                        bytes += line.fields.len();
                        batch.push(line);
                    }
                    None => unfit += 1,
                }
                let full = batch.len() >= BATCH || bytes >= most;
                next = if full { None } else { lines.try_recv().ok() };
            }
            let entries = batch.len() + unfit;
            self.dropped.fetch_add(unfit as u64, Ordering::Relaxed);
            if !batch.is_empty()
                && let Err(error) = self.write(&batch)
            {
                let count = batch.len() as u64;
                let dropped = self.dropped.fetch_add(count, Ordering::Relaxed) + count;
                if self.complained.is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY) {
                    self.complained = Some(Instant::now());
                    tracing::warn!(dropped, "the journal cannot be written: {error}");
                }
            }
            self.room.give_back(entries, waited);
            batch.clear();
            if !self.room.is_empty() {
                // A disconnected one does not wait.
                let _ = self.open_handles.recv_timeout((begun.elapsed() * REST).min(LONGEST_REST));
            }
            if self.aged.is_none_or(|at| at.elapsed() >= AGED_EVERY) {
                self.drop_aged();
            }
        }
    }

    /// A second time, where what was in the way could be put out of it.
    fn write(&mut self, batch: &[Line]) -> Result<(), OpenError> {
        let Err(error) = self.try_to_write(batch) else { return Ok(()) };
        let OpenError::Database { source, .. } = &error else { return Err(error) };
        if is_damage(source) {
            self.open = None;
            let damage = database::set_aside(&self.path)?;
            self.found(damage);
            return self.try_to_write(batch);
        }
        if is_full(source) {
            // Dropping needs a little room too, which SQLite's log may still have.
            if let Some(open) = &mut self.open
                && open.drop_oldest(self.limits.bytes / 2).is_ok()
            {
                return self.try_to_write(batch);
            }
        }
        // What a connection holds after an error is not known for sure.
        self.open = None;
        Err(error)
    }

    fn try_to_write(&mut self, batch: &[Line]) -> Result<(), OpenError> {
        let is_there =
            |open: &Open| open.identity.is_some() && open.identity == database::identity(&self.path);
        let open = match self.open.take().filter(is_there) {
            Some(open) => open,
            None => {
                let (open, damage) = Open::new(&self.path, self.limits)?;
                if let Some(damage) = damage {
                    self.found(damage);
                }
                open
            }
        };
        let open = self.open.insert(open);
        let database = |source| OpenError::Database { path: self.path.clone(), source };
        if let Some(damage) = &self.damage {
            open.append(&[Line::of_damage(damage)]).map_err(database)?;
            self.damage = None;
        }
        let limit = self.limits.bytes;
        let written = open.append(batch).and_then(|()| {
            if open.used()? > limit - limit / 8 { open.drop_oldest(limit - limit / 4) } else { Ok(()) }
        });
        written.map_err(database)
    }

    /// Says it in the log now, and with the next entries in the journal.
    fn found(&mut self, damage: Damage) {
        let (path, aside) = (self.path.display(), damage.set_aside.display());
        tracing::warn!("the journal {path} is damaged: it is {aside} now, and a new one is begun");
        self.damage = Some(damage);
    }

    /// The time by which entries are too old.
    fn now(&self) -> i64 {
        self.begun.1.saturating_add(i64::try_from(self.begun.0.elapsed().as_millis()).unwrap_or(i64::MAX))
    }

    fn drop_aged(&mut self) {
        self.aged = Some(Instant::now());
        let age = i64::try_from(self.limits.age.as_millis()).unwrap_or(i64::MAX);
        let (before, sums_before) = (self.now().saturating_sub(age), self.now().saturating_sub(TALLIES_MS));
        if let Some(open) = &mut self.open
            && let Err(error) = open.drop_aged(before, sums_before)
        {
            tracing::debug!("what is too old stays in the journal: {error}");
        }
    }
}

impl Line {
    fn of_damage(damage: &Damage) -> Self {
        use crate::record::Record as _;
        let fields = serde_json::to_string(&Damaged::from(damage)).unwrap_or_else(|_| "{}".to_owned());
        Self {
            at_ms: unix_ms(SystemTime::now()),
            event: Damaged::EVENT,
            key: None,
            who: None,
            outcome: None,
            kind: None,
            count: 1,
            took_ms: 0,
            micro_usd: 0,
            fields,
        }
    }
}

impl Open {
    fn new(path: &Path, limits: Limits) -> Result<(Self, Option<Damage>), OpenError> {
        let (connection, damage) = database::open(path)?;
        let database = |source| OpenError::Database { path: path.to_owned(), source };
        let page: u64 =
            connection.pragma_query_value(None, "page_size", |row| row.get(0)).map_err(database)?;
        let pages = (limits.bytes / page).clamp(16, u64::from(u32::MAX - 1));
        // It answers with what holds, and never goes below what there is.
        connection
            .query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
            .map_err(database)?;
        Ok((Self { connection, identity: database::identity(path) }, damage))
    }

    fn append(&mut self, batch: &[Line]) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut insert = transaction.prepare_cached(
                "INSERT INTO entries (at_ms, event, key, who, outcome, fields) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?;
            let mut sums: HashMap<_, [i64; 4]> = HashMap::new();
            for line in batch {
                let Line { at_ms, event, key, who, outcome, fields, .. } = line;
                insert.execute(params![at_ms, event, key, who, outcome, fields])?;
                let text = |text: &Option<String>| text.clone().unwrap_or_default();
                let of = (at_ms.div_euclid(HOUR_MS), *event, text(who), text(outcome), text(&line.kind));
                let sum = sums.entry(of).or_insert([0, 0, 0, i64::MIN]);
                for (sum, more) in sum.iter_mut().zip([line.count, line.took_ms, line.micro_usd]) {
                    *sum = sum.saturating_add(i64::try_from(more).unwrap_or(i64::MAX));
                }
                sum[3] = sum[3].max(*at_ms);
            }
            let mut add = transaction.prepare_cached(
                "INSERT INTO tallies (hour, event, who, outcome, kind, count, took_ms, micro_usd, last_ms) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO UPDATE SET count = count + ?6, \
                 took_ms = took_ms + ?7, micro_usd = micro_usd + ?8, last_ms = max(last_ms, ?9)",
            )?;
            for ((hour, event, who, outcome, kind), [count, took, usd, last]) in sums {
                add.execute(params![hour, event, who, outcome, kind, count, took, usd, last])?;
            }
        }
        transaction.commit()
    }

    /// Bytes of the file that hold something.
    fn used(&self) -> rusqlite::Result<u64> {
        let value = |name| self.connection.pragma_query_value(None, name, |row| row.get::<_, u64>(0));
        Ok((value("page_count")?.saturating_sub(value("freelist_count")?)) * value("page_size")?)
    }

    /// Drops the oldest entries until no more than `bytes` are used.
    fn drop_oldest(&mut self, bytes: u64) -> rusqlite::Result<()> {
        while self.used()? > bytes {
            let dropped = self.connection.execute(
                "DELETE FROM entries WHERE id < (SELECT min(id) + min(?1, (max(id) - min(id)) / 16 + 1) FROM entries) \
                 AND id < (SELECT max(id) FROM entries)",
                [DROPPED_AT_ONCE],
            )?;
            if dropped == 0 {
                break;
            }
        }
        self.shrink()
    }

    /// Drops what was recorded before `before`, from the oldest on, up to the first that was not.
    fn drop_aged(&mut self, before: i64, sums_before: i64) -> rusqlite::Result<()> {
        loop {
            // A time that a wrong clock gave stands between right ones, so a piece of them is looked at as a whole.
            let dropped = self.connection.execute(
                "DELETE FROM entries WHERE id < (SELECT min(id) + ?1 FROM entries) AND at_ms < ?2 \
                 AND id < (SELECT max(id) FROM entries)",
                [DROPPED_AT_ONCE, before],
            )?;
            if dropped == 0 {
                break;
            }
        }
        self.connection.execute("DELETE FROM tallies WHERE hour < ?1", [sums_before.div_euclid(HOUR_MS)])?;
        let count: i64 = self.connection.query_row("SELECT count(*) FROM tallies", [], |row| row.get(0))?;
        if count > TALLIES {
            self.connection.execute(
                "DELETE FROM tallies WHERE hour <= (SELECT hour FROM tallies ORDER BY hour LIMIT 1 OFFSET ?1)",
                [count - TALLIES],
            )?;
        }
        self.shrink()
    }

    /// Gives room back that a larger limit had taken; else what is free is used again.
    fn shrink(&self) -> rusqlite::Result<()> {
        let value = |name| self.connection.pragma_query_value(None, name, |row| row.get::<_, u64>(0));
        let limit: u64 = self.connection.query_row("PRAGMA max_page_count", [], |row| row.get(0))?;
        if value("freelist_count")? > limit / 2 {
            self.connection.execute_batch("PRAGMA incremental_vacuum")?;
        }
        Ok(())
    }
}
