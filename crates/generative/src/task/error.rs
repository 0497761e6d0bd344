//! What can go wrong with tasks. No message holds a database's address: there may be a password in it.

use std::io;
use std::path::{Path, PathBuf};

use super::machine::{Illegal, TaskId};
use crate::Usd;

/// Why something was not done. Nothing has changed then, except where it says otherwise.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The queue of this modality is full.
    #[error("the queue is full: {waiting} tasks wait already")]
    QueueFull {
        /// How many wait.
        waiting: u64,
    },
    /// The day's budget does not cover the call.
    #[error("the day's budget does not cover {price} more: {spent} of {budget} are spent or promised")]
    BudgetSpent {
        /// What the call may cost.
        price: Usd,
        /// What is spent, or reserved for calls under way.
        spent: Usd,
        /// The budget.
        budget: Usd,
    },
    /// There is no such task.
    #[error("there is no task {0}")]
    NoSuchTask(TaskId),
    /// It cannot happen to the task as it stands.
    #[error(transparent)]
    Illegal(#[from] Illegal),
    /// Another worker has taken the task over, for this one was taken for dead.
    #[error("task {0} has been taken over by another worker")]
    ClaimLost(TaskId),
    /// A task's media are neither in the output folder nor in the database.
    #[error("the media of task {0} are gone: {1}")]
    MediaGone(TaskId, String),
    /// The address is none of a database that is known here.
    #[error(
        "the database's address is of no use: {0}; give `postgres://user:password@host/name` or `sqlite:///path/to/file`"
    )]
    Address(String),
    /// A newer version of Adit has changed the tables.
    #[error(
        "the database has version {found} of the tables, this program knows up to {known}: use a newer one"
    )]
    NewerSchema {
        /// The database's.
        found: i64,
        /// The newest known here.
        known: i64,
    },
    /// The tables are not there, or not of this version.
    #[error("the database has no tables of this version: start the miner once")]
    NoSchema,
    /// Another miner has this SQLite file.
    #[error("another miner works with {0}: stop it, or give this one a database of its own")]
    InUse(PathBuf),
    /// The database was held by somebody else for too long.
    #[error("the database is locked by another program")]
    Locked,
    /// There is no room on a disk.
    #[error("no room on the disk of {0}")]
    DiskFull(String),
    /// The database did not answer. What was to be done may have been done.
    #[error("the database does not answer: {0}")]
    Unreachable(String),
    /// A file or folder could not be used.
    #[error("{path}: {cause}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        cause: String,
    },
    /// A row cannot be read: somebody else wrote it.
    #[error("the database has a row that cannot be read: {0}")]
    BadRow(String),
    /// The database refused something.
    #[error("the database says: {0}")]
    Database(String),
    /// The store has been closed.
    #[error("the task store is closed")]
    Closed,
}

impl StoreError {
    /// The same may be possible later, without anybody's doing or when an operator has made room.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::Locked | Self::DiskFull(_) | Self::Unreachable(_))
    }

    pub(super) fn file(path: &Path, error: &io::Error) -> Self {
        if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            return Self::DiskFull(path.display().to_string());
        }
        Self::File { path: path.to_owned(), cause: error.to_string() }
    }
}

/// SQLite's primary result codes, and PostgreSQL's SQLSTATEs.
impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => {
                let code = error.code().unwrap_or_default();
                // Extended codes of SQLite have the primary one in their low byte.
                let primary = code.parse::<u32>().ok().filter(|_| code.len() < 5).map(|code| code & 0xff);
                match (primary, &*code) {
                    (Some(5 | 6), _) | (_, "55P03" | "40P01" | "40001") => Self::Locked,
                    (Some(13), _) | (_, "53100") => Self::DiskFull("the database".to_owned()),
                    (_, "57P01" | "57P02" | "57P03" | "57014" | "53300") => {
                        Self::Unreachable(error.message().to_owned())
                    }
                    _ => Self::Database(error.message().to_owned()),
                }
            }
            sqlx::Error::Io(error) => Self::Unreachable(error.to_string()),
            sqlx::Error::PoolTimedOut => Self::Unreachable("no connection came free in time".to_owned()),
            sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => Self::Closed,
            sqlx::Error::Tls(error) => Self::Unreachable(error.to_string()),
            sqlx::Error::Protocol(what) => Self::Unreachable(what),
            // Its text may quote the address.
            sqlx::Error::Configuration(_) => Self::Address("it cannot be read".to_owned()),
            error @ (sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_)) => {
                Self::BadRow(error.to_string())
            }
            error => Self::Database(error.to_string()),
        }
    }
}
