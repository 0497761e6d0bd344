//! The file: its tables, and what is done about one that is damaged.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

/// "Adit" as a number: tells our files from other programs' (`PRAGMA application_id`).
const APPLICATION: i32 = 0x4164_6974;
/// The version of the tables.
const VERSION: i32 = 1;
/// Longest wait for another process, which holds the file for one commit.
const BUSY: Duration = Duration::from_secs(2);

/// What an event is found by stands in columns. The indexes end in the id, by which everything is in order: the clock may
/// jump.
const TABLES: &str = "
    CREATE TABLE entries (
        id INTEGER PRIMARY KEY,
        at_ms INTEGER NOT NULL,         -- by the wall clock
        event TEXT NOT NULL,
        key TEXT,                       -- what it is about, such as a task
        who TEXT,                       -- a hotkey
        outcome TEXT,
        fields TEXT NOT NULL            -- JSON
    ) STRICT;
    CREATE INDEX entries_event ON entries (event);
    -- The outcome goes with it, so that a hotkey's entries of one outcome are told apart without reading them all.
    CREATE INDEX entries_who ON entries (event, who, id, outcome) WHERE who IS NOT NULL;
    CREATE INDEX entries_outcome ON entries (event, outcome) WHERE outcome IS NOT NULL;
    CREATE INDEX entries_key ON entries (key) WHERE key IS NOT NULL;
    CREATE TABLE tallies (
        hour INTEGER NOT NULL,          -- since 1970
        event TEXT NOT NULL,
        who TEXT NOT NULL,
        outcome TEXT NOT NULL,
        kind TEXT NOT NULL,
        count INTEGER NOT NULL,
        took_ms INTEGER NOT NULL,
        micro_usd INTEGER NOT NULL,
        last_ms INTEGER NOT NULL,
        PRIMARY KEY (hour, event, who, outcome, kind)
    ) STRICT, WITHOUT ROWID;
    CREATE TRIGGER entries_stay BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'entries never change'); END;
";

/// Why a journal cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file or its folder.
    #[error("{path}: {source}", path = .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The database.
    #[error("{path}: {source}", path = .path.display())]
    Database {
        /// Its file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// It was made by a newer version of this program.
    #[error("{path} is a journal of version {found}, and this program knows {VERSION}", path = .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i32,
    },
}

impl OpenError {
    /// The bytes are not those of a journal, so nothing can be made of them.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Database { source, .. } if is_damage(source))
    }
}

/// A damaged file that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Where it is now. One from before that was there is gone.
    pub set_aside: PathBuf,
}

pub(crate) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

pub(crate) fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DiskFull)
}

/// Opens the file to write, and makes it where there is none: for its owner alone, since URLs in it may carry signatures.
/// A damaged one is set aside, and a new one begun.
pub(crate) fn open(path: &Path) -> Result<(Connection, Option<Damage>), OpenError> {
    match open_as_it_is(path) {
        Err(error) if error.is_damage() => {
            let damage = set_aside(path)?;
            Ok((open_as_it_is(path)?, Some(damage)))
        }
        opened => Ok((opened?, None)),
    }
}

fn open_as_it_is(path: &Path) -> Result<Connection, OpenError> {
    make(path).map_err(|source| OpenError::File { path: path.to_owned(), source })?;
    let database = |source| OpenError::Database { path: path.to_owned(), source };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(database)?;
    let prepare = |connection: &mut Connection| -> rusqlite::Result<i32> {
        connection.busy_timeout(BUSY)?;
        // Before there are tables, so that a limit that was lowered can be kept.
        connection.pragma_update(None, "auto_vacuum", "incremental")?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        // A loss of power may cost the last entries, never the file.
        connection.pragma_update(None, "synchronous", "normal")?;
        connection.pragma_update(None, "journal_size_limit", 4 << 20)?;
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let version: i32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if version == 0 {
            transaction.execute_batch(TABLES)?;
            transaction.pragma_update(None, "application_id", APPLICATION)?;
            transaction.pragma_update(None, "user_version", VERSION)?;
        }
        transaction.commit()?;
        Ok(version)
    };
    let version = prepare(&mut connection).map_err(database)?;
    check_version(path, version)?;
    if version != 0 {
        // What a torn write or a failing disk left is found here, and not in the middle of a day.
        check(&connection).map_err(database)?;
    }
    Ok(connection)
}

/// Opens the file to read.
pub(crate) fn open_to_read(path: &Path) -> Result<Connection, OpenError> {
    let database = |source| OpenError::Database { path: path.to_owned(), source };
    let found = fs::metadata(path).and_then(|found| {
        if found.is_file() {
            Ok(())
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file"))
        }
    });
    found.map_err(|source| OpenError::File { path: path.to_owned(), source })?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(database)?;
    let prepare = || -> rusqlite::Result<i32> {
        connection.busy_timeout(BUSY)?;
        connection.pragma_query_value(None, "user_version", |row| row.get(0))
    };
    check_version(path, prepare().map_err(database)?)?;
    Ok(connection)
}

fn check_version(path: &Path, found: i32) -> Result<(), OpenError> {
    if found > VERSION { Err(OpenError::Newer { path: path.to_owned(), found }) } else { Ok(()) }
}

/// The roots of both tables and the newest entries: all of a large file would take seconds. What is damaged elsewhere is
/// found when it is dropped for its age.
fn check(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row(
        "SELECT count(*), max(length(fields)) FROM (SELECT fields FROM entries ORDER BY id DESC LIMIT 50)",
        [],
        |_| Ok(()),
    )?;
    connection
        .query_row("SELECT count(*) FROM (SELECT 1 FROM entries ORDER BY id LIMIT 50)", [], |_| Ok(()))?;
    connection.query_row(
        "SELECT count(*) FROM (SELECT 1 FROM tallies ORDER BY hour DESC LIMIT 50)",
        [],
        |_| Ok(()),
    )
}

/// Puts a damaged file out of the way, with what SQLite keeps beside it.
pub(crate) fn set_aside(path: &Path) -> Result<Damage, OpenError> {
    let beside = |end: &str| {
        let mut name = path.to_owned().into_os_string();
        name.push(end);
        PathBuf::from(name)
    };
    let set_aside = beside(".damaged");
    fs::rename(path, &set_aside).map_err(|source| OpenError::File { path: path.to_owned(), source })?;
    for end in ["-wal", "-shm"] {
        // They belong to the bytes that are gone; left here, they would be taken for the new file's.
        match fs::rename(beside(end), beside(&format!(".damaged{end}"))) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(OpenError::File { path: beside(end), source });
            }
            _ => {}
        }
    }
    Ok(Damage { set_aside })
}

fn make(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => return made.map(drop),
    }
    // One that is there is not opened here: to close it would take this process's locks from SQLite, by which other
    // processes know that it is in use.
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file"));
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
    }
    Ok(())
}

/// Which file is at the path: SQLite would go on with one that was removed. It is not opened, for the sake of its locks.
pub(crate) fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn only_its_owner_reads_it_whatever_it_was_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/journal.sqlite");
        drop(open(&path).unwrap());
        assert_eq!(mode(&path), 0o600);
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let (connection, damage) = open(&path).unwrap();
        assert_eq!((mode(&path), damage), (0o600, None));
        connection.execute("INSERT INTO entries (at_ms, event, fields) VALUES (1, 'e', '{}')", []).unwrap();
        assert_eq!(mode(&folder.path().join("new/journal.sqlite-wal")), 0o600);
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(open(folder.path()), Err(OpenError::File { .. })));
        assert!(matches!(open(Path::new("/dev/null")), Err(OpenError::File { .. })));
        assert!(matches!(open_to_read(folder.path()), Err(OpenError::File { .. })));
        assert!(matches!(open_to_read(&folder.path().join("none")), Err(OpenError::File { .. })));
    }

    #[test]
    fn a_damaged_file_is_set_aside_and_a_new_one_begun() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.sqlite");
        for damage in 0..2_u8 {
            fs::write(&path, vec![b'x'; 5000 + usize::from(damage)]).unwrap();
            let (connection, found) = open(&path).unwrap();
            let set_aside = found.unwrap().set_aside;
            assert_eq!(set_aside, folder.path().join("journal.sqlite.damaged"));
            assert_eq!(fs::metadata(&set_aside).unwrap().len(), 5000 + u64::from(damage));
            connection
                .execute("INSERT INTO entries (at_ms, event, fields) VALUES (1, 'e', '{}')", [])
                .unwrap();
        }
    }

    #[test]
    fn a_file_whose_middle_is_gone_is_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.sqlite");
        let (connection, _) = open(&path).unwrap();
        let insert = "INSERT INTO entries (at_ms, event, fields) VALUES (1, 'e', hex(zeroblob(2000)))";
        (0..100).for_each(|_| assert_eq!(connection.execute(insert, []).unwrap(), 1));
        connection.query_row("PRAGMA wal_checkpoint(truncate)", [], |_| Ok(())).unwrap();
        drop(connection);
        let mut bytes = fs::read(&path).unwrap();
        let length = bytes.len();
        bytes[4096..length].fill(0xa5);
        fs::write(&path, bytes).unwrap();
        assert!(open(&path).unwrap().1.is_some());
    }

    #[test]
    fn a_file_of_a_newer_program_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.sqlite");
        let (connection, _) = open(&path).unwrap();
        connection.pragma_update(None, "user_version", VERSION + 1).unwrap();
        drop(connection);
        assert!(matches!(open(&path), Err(OpenError::Newer { found, .. }) if found == VERSION + 1));
        assert!(matches!(open_to_read(&path), Err(OpenError::Newer { .. })));
        assert!(path.exists());
    }

    #[test]
    fn entries_never_change() {
        let folder = tempfile::tempdir().unwrap();
        let (connection, _) = open(&folder.path().join("journal.sqlite")).unwrap();
        connection.execute("INSERT INTO entries (at_ms, event, fields) VALUES (1, 'e', '{}')", []).unwrap();
        let changed = connection.execute("UPDATE entries SET at_ms = 2", []);
        assert!(changed.unwrap_err().to_string().contains("never change"));
    }
}
