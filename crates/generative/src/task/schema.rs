//! The tables, by versions. What has been released is never edited: a change is a new version at the end.

use sqlx::{Any, AnyConnection, Executor as _, Row as _, Transaction};

use super::database::Database;
use super::error::StoreError;

/// `{bytes}` is the type of bytes. Times are milliseconds since 1970, money is millionths of a US dollar.
pub(super) const VERSIONS: &[&str] = &[
    // 1
    "
    CREATE TABLE tasks (
        id TEXT PRIMARY KEY,
        modality TEXT NOT NULL,
        signed_by TEXT NOT NULL,
        request TEXT NOT NULL,          -- JSON
        accepted_at BIGINT NOT NULL,
        state TEXT NOT NULL,
        attempt BIGINT NOT NULL,
        service TEXT,
        job TEXT,
        reserved BIGINT,
        reserved_day BIGINT,
        spent BIGINT NOT NULL,
        media TEXT,                     -- JSON
        failure TEXT,
        tries BIGINT NOT NULL,
        note TEXT,
        due_at BIGINT NOT NULL,
        deliver_by BIGINT NOT NULL,
        ended_at BIGINT,
        claim BIGINT NOT NULL,          -- counts up each time that somebody else holds it
        host TEXT                       -- the one that holds it
    );
    -- Both end in what they are chosen by: SQLite looks at it again, and so need not look into the table.
    CREATE INDEX tasks_queued ON tasks (modality, signed_by, due_at, state, host)
        WHERE state = 'accepted' AND host IS NULL;
    CREATE INDEX tasks_working ON tasks (modality, signed_by, state)
        WHERE state IN ('calling', 'submitted', 'fetched', 'unknown');
    CREATE INDEX tasks_to_resume ON tasks (due_at)
        WHERE state IN ('submitted', 'fetched', 'unknown') AND host IS NULL;
    CREATE INDEX tasks_to_deliver ON tasks (due_at) WHERE state IN ('checked', 'delivering') AND host IS NULL;
    CREATE INDEX tasks_held ON tasks (host) WHERE host IS NOT NULL;
    CREATE INDEX tasks_open ON tasks (due_at) WHERE ended_at IS NULL;
    CREATE INDEX tasks_ended ON tasks (ended_at) WHERE ended_at IS NOT NULL;
    CREATE TABLE turns (                -- a validator's last turn with a modality; they count up
        modality TEXT NOT NULL,
        signed_by TEXT NOT NULL,
        turn BIGINT NOT NULL,
        PRIMARY KEY (modality, signed_by)
    );
    CREATE TABLE spend (
        day BIGINT PRIMARY KEY,         -- UTC, since 1970
        micro_usd BIGINT NOT NULL       -- spent or reserved
    );
    CREATE TABLE hosts (
        id TEXT PRIMARY KEY,
        beats BIGINT NOT NULL           -- counts up as long as it lives
    );
    CREATE TABLE media (
        task TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        part BIGINT NOT NULL,
        bytes {bytes} NOT NULL,
        PRIMARY KEY (task, sha256, part)
    );
    ",
    // 2
    "
    ALTER TABLE tasks ADD COLUMN next_service TEXT;
    -- To find a task by a provider's job id. PostgreSQL indexes no long text, and a link may be one.
    CREATE INDEX tasks_job ON tasks (job) WHERE length(job) <= 500;
    ",
    // 3
    "
    ALTER TABLE tasks ADD COLUMN model TEXT;
    ",
];

/// The newest version known.
#[expect(clippy::cast_possible_wrap, reason = "there are few")]
pub(super) const NEWEST: i64 = VERSIONS.len() as i64;

/// Brings the tables to the newest version; several hosts may do so at once.
pub(super) async fn migrate(database: &Database) -> Result<(), StoreError> {
    let mut transaction = database.begin().await?;
    if database.is_postgres() {
        // Whoever comes second waits; the number is Adit's own.
        transaction.execute("SELECT pg_advisory_xact_lock(340034)").await?;
    }
    transaction.execute("CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)").await?;
    let found = version(&mut transaction).await?;
    if found > NEWEST {
        return Err(StoreError::NewerSchema { found, known: NEWEST });
    }
    if found == NEWEST {
        return Ok(());
    }
    let bytes = if database.is_postgres() { "BYTEA" } else { "BLOB" };
    for tables in VERSIONS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        transaction.execute(&*tables.replace("{bytes}", bytes)).await?;
    }
    set_version(&mut transaction).await?;
    database.commit(transaction).await
}

async fn set_version(transaction: &mut Transaction<'static, Any>) -> Result<(), StoreError> {
    transaction.execute("DELETE FROM schema_version").await?;
    let insert = sqlx::query("INSERT INTO schema_version (version) VALUES ($1)").bind(NEWEST);
    insert.execute(&mut **transaction).await?;
    Ok(())
}

/// Leaves the tables as they are.
///
/// # Errors
/// Where they are not of the newest version.
pub(super) async fn check(database: &Database) -> Result<(), StoreError> {
    match version(&mut *database.read().await?).await {
        Ok(NEWEST) => Ok(()),
        Ok(found) if found > NEWEST => Err(StoreError::NewerSchema { found, known: NEWEST }),
        Ok(_) | Err(StoreError::Database(_)) => Err(StoreError::NoSchema),
        Err(error) => Err(error),
    }
}

/// 0 where there is none yet.
async fn version(connection: &mut AnyConnection) -> Result<i64, StoreError> {
    let row = sqlx::query("SELECT version FROM schema_version").fetch_optional(connection).await?;
    Ok(row.map_or(Ok(0), |row| row.try_get(0))?)
}
