//! The connection to SQLite or PostgreSQL, and what differs between them.

use std::fmt;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyPool, Executor as _, Transaction, TransactionManager as _};
use url::Url;

use super::error::StoreError;

/// Longest wait for a connection, or for whoever holds the database; a test waits for it to pass.
const PATIENCE: Duration = Duration::from_millis(if cfg!(test) { 2_000 } else { 10_000 });
/// Longest time for one thing to be done, as over a network that has gone.
const DEADLINE: Duration = Duration::from_secs(60);
/// Connections at most: to PostgreSQL, or that read SQLite beside the one that writes.
const CONNECTIONS: u32 = 8;

/// Every commit is on the disk before it is answered: most of them are about money. Others than us, such as the
/// command that redelivers, may hold the file for a moment.
const SQLITE: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL";
/// The same whatever the server's own settings are.
const POSTGRES: &str = "SET synchronous_commit = on; SET statement_timeout = '30s'; \
    SET idle_in_transaction_session_timeout = '60s'";

/// Where tasks are kept.
#[derive(Clone)]
pub enum Address {
    /// A file on this host's own disk (not a network's: SQLite's log needs shared memory).
    /// [`Store::open`](super::Store) makes it where it is missing, and its folder, for the owner alone.
    Sqlite(PathBuf),
    /// `postgres://user:password@host/name`: several hosts serve one queue.
    Postgres(SecretString),
}

impl Address {
    /// Reads a `DATABASE_URL`.
    ///
    /// # Errors
    /// Where it is neither `postgres://…` nor `sqlite://…`.
    pub fn parse(url: &SecretString) -> Result<Self, StoreError> {
        let text = url.expose_secret().trim();
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() || path.contains(['?', '#']) || path.starts_with(":memory:") {
                return Err(StoreError::Address("it names no file".to_owned()));
            }
            return Ok(Self::Sqlite(PathBuf::from(path)));
        }
        match Url::parse(text) {
            Ok(parsed) if matches!(parsed.scheme(), "postgres" | "postgresql") => {
                Ok(Self::Postgres(SecretString::from(text)))
            }
            _ => Err(StoreError::Address("it begins with neither `postgres://` nor `sqlite:`".to_owned())),
        }
    }
}

/// For people, without what may be a secret.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => path.display().fmt(f),
            Self::Postgres(_) => f.write_str("PostgreSQL"),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => f.debug_tuple("Sqlite").field(path).finish(),
            Self::Postgres(_) => f.write_str("Postgres(..)"),
        }
    }
}

/// A database that is open.
#[derive(Debug)]
pub(super) struct Database {
    is_postgres: bool,
    writers: AnyPool,
    readers: AnyPool,
    commits: AtomicU64,
}

impl Database {
    /// Opens it. A SQLite file that is missing is made where `create` says so.
    pub(super) async fn open(address: &Address, create: bool) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        let patience = PATIENCE.as_millis();
        let (options, set_up) = match address {
            Address::Sqlite(path) => {
                (sqlite_options(path, create)?, format!("PRAGMA busy_timeout = {patience}; {SQLITE}"))
            }
            Address::Postgres(url) => (
                AnyConnectOptions::from_str(url.expose_secret())?,
                format!("SET lock_timeout = {patience}; {POSTGRES}"),
            ),
        };
        let set_up: Arc<str> = set_up.into();
        let pool = AnyPoolOptions::new()
            .acquire_timeout(PATIENCE)
            .after_connect(move |connection, _| {
                let set_up = Arc::clone(&set_up);
                Box::pin(async move { connection.execute(&*set_up).await.map(|_| ()) })
            })
            // On a full disk SQLite ends a transaction by itself, and sqlx goes on believing in it.
            .before_acquire(|connection, _| {
                Box::pin(async move {
                    Ok(<Any as sqlx::Database>::TransactionManager::get_transaction_depth(connection) == 0)
                })
            });
        let pool = pool.max_connections(CONNECTIONS);
        let is_postgres = matches!(address, Address::Postgres(_));
        let readers = pool.clone().connect_with(options.clone()).await?;
        let writers = if is_postgres {
            readers.clone()
        } else {
            // SQLite has one writer at a time: ours queue here, in turn, and not by trying again and again. The
            // connection is never given up, for a new one begins with an empty cache.
            pool.max_connections(1).idle_timeout(None).max_lifetime(None).connect_with(options).await?
        };
        Ok(Self { is_postgres, writers, readers, commits: AtomicU64::new(0) })
    }

    pub(super) fn is_postgres(&self) -> bool {
        self.is_postgres
    }

    /// A connection to read with.
    pub(super) async fn read(&self) -> Result<PoolConnection<Any>, StoreError> {
        Ok(self.readers.acquire().await?)
    }

    /// A transaction to write with. It is rolled back when it is dropped.
    pub(super) async fn begin(&self) -> Result<Transaction<'static, Any>, StoreError> {
        // SQLite: a transaction that reads first and writes later could fail in between.
        let begin = if self.is_postgres { "BEGIN ISOLATION LEVEL READ COMMITTED" } else { "BEGIN IMMEDIATE" };
        Ok(self.writers.begin_with(begin).await?)
    }

    /// Ends it, on the disk.
    pub(super) async fn commit(&self, transaction: Transaction<'static, Any>) -> Result<(), StoreError> {
        transaction.commit().await?;
        self.commits.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// What a SELECT ends with that waits for rows that another transaction holds.
    pub(super) fn for_update(&self) -> &'static str {
        if self.is_postgres { " FOR UPDATE" } else { "" }
    }

    /// What a SELECT ends with that passes over them.
    pub(super) fn skip_locked(&self) -> &'static str {
        if self.is_postgres { " FOR UPDATE SKIP LOCKED" } else { "" }
    }

    /// What stands for the value with this number, from 1 on, where the values are bound in order. SQLite looks a name up
    /// among all others, so in a statement with hundreds they have none.
    pub(super) fn placeholder(&self, number: usize) -> String {
        if self.is_postgres { format!("${number}") } else { "?".to_owned() }
    }

    pub(super) async fn close(&self) {
        self.writers.close().await;
        self.readers.close().await;
    }
}

/// Lets work with a database take 60 s at most.
pub(super) async fn within<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let late = |_| Err(StoreError::Unreachable("nothing came for 60 s".to_owned()));
    tokio::time::timeout(DEADLINE, work).await.unwrap_or_else(late)
}

fn sqlite_options(path: &Path, create: bool) -> Result<AnyConnectOptions, StoreError> {
    let failed = |error| StoreError::file(path, &error);
    if create {
        // The files that SQLite puts beside it get its mode.
        OpenOptions::new().append(true).create(true).mode(0o600).open(path).map_err(failed)?;
    }
    let whole = std::fs::canonicalize(path).map_err(failed)?;
    let url = Url::from_file_path(&whole).map_err(|()| StoreError::Address("it names no file".to_owned()))?;
    Ok(AnyConnectOptions::from_str(&format!("sqlite://{}", url.path()))?)
}
