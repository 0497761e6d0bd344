//! What is looked up.

use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, params_from_iter};
use serde_json::value::RawValue;

use crate::database::{self, OpenError};
use crate::entry::Entry;
use crate::writer::HOUR_MS;

/// A journal that is read, also while it is written. One for one thread.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    identity: Option<(u64, u64)>,
    connection: Connection,
}

/// Why nothing was found out.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the journal {path}: {source}", path = .path.display())]
pub struct ReadError {
    path: PathBuf,
    source: rusqlite::Error,
}

impl ReadError {
    /// The bytes are not those of a journal. A miner that starts sets it aside.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        database::is_damage(&self.source)
    }
}

/// Which entries are meant. The newest come first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Find<'a> {
    /// Of this event.
    pub event: &'a str,
    /// About this.
    pub key: Option<&'a str>,
    /// Of this hotkey's doing.
    pub who: Option<&'a str>,
    /// That ended so.
    pub outcome: Option<&'a str>,
    /// Recorded at or after this time, in Unix milliseconds.
    pub from_ms: Option<i64>,
    /// Recorded before this time, in Unix milliseconds.
    pub until_ms: Option<i64>,
    /// Older than the entry with this id.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: u32,
}

impl<'a> Find<'a> {
    /// The newest 50 of an event.
    #[must_use]
    pub fn event(event: &'a str) -> Self {
        Self {
            event,
            key: None,
            who: None,
            outcome: None,
            from_ms: None,
            until_ms: None,
            before: None,
            limit: 50,
        }
    }
}

/// What happened within an hour, summed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// Hours since 1970.
    pub hour: i64,
    /// The hotkey, empty where there is none.
    pub who: String,
    /// How it ended, empty where that is not told.
    pub outcome: String,
    /// Of which kind it was: a dialect, or a service and its model.
    pub kind: String,
    /// How often.
    pub count: u64,
    /// How long it took together, in milliseconds.
    pub took_ms: u64,
    /// What it cost together, in millionths of a US dollar.
    pub micro_usd: u64,
    /// The last time, in Unix milliseconds.
    pub last_ms: i64,
}

impl Tally {
    /// When the hour began, in Unix milliseconds.
    #[must_use]
    pub fn from_ms(&self) -> i64 {
        self.hour.saturating_mul(HOUR_MS)
    }
}

/// How large a journal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Of the file, in bytes.
    pub bytes: u64,
    /// Number of entries, about.
    pub entries: u64,
    /// When the oldest was recorded, in Unix milliseconds.
    pub oldest_ms: Option<i64>,
}

/// Entries that are looked through one by one without being noticed.
const RARE: i64 = 1000;

const COLUMNS: &str = "id, at_ms, event, key, who, outcome, fields";

impl Reader {
    /// Opens the file at `path`, which must be there.
    ///
    /// # Errors
    /// Where it cannot be read, or a newer program made it.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let identity = database::identity(path);
        let connection = database::open_to_read(path)?;
        Ok(Self { path: path.to_owned(), identity, connection })
    }

    /// False where another file took this one's place, as when a damaged one was set aside: it is to be opened again.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.identity.is_some() && self.identity == database::identity(&self.path)
    }

    /// A number that is another one once something was recorded. To ask costs next to nothing.
    ///
    /// # Errors
    /// What the file says.
    pub fn version(&self) -> Result<i64, ReadError> {
        self.connection
            .pragma_query_value(None, "data_version", |row| row.get(0))
            .map_err(|error| self.error(error))
    }

    /// The entries that are meant.
    ///
    /// # Errors
    /// What the file says.
    pub fn find(&self, find: &Find<'_>) -> Result<Vec<Entry>, ReadError> {
        let mut found = Vec::new();
        self.each(find, |entry| {
            found.push(entry);
            true
        })?;
        Ok(found)
    }

    /// Hands over the entries that are meant, one by one, for as long as `take` says true.
    ///
    /// # Errors
    /// What the file says.
    pub fn each(&self, find: &Find<'_>, take: impl FnMut(Entry) -> bool) -> Result<(), ReadError> {
        self.try_each(find, take).map_err(|error| self.error(error))
    }

    fn try_each(&self, find: &Find<'_>, mut take: impl FnMut(Entry) -> bool) -> rusqlite::Result<()> {
        // SQLite has no figures to choose by: most entries may share an outcome, and few a hotkey.
        let by = match (find.key, find.who, find.outcome) {
            (None, Some(_), Some(outcome)) if self.is_rare(find.event, outcome)? => {
                "INDEXED BY entries_outcome"
            }
            (None, Some(_), _) => "INDEXED BY entries_who",
            _ => "",
        };
        let mut query = format!("SELECT {COLUMNS} FROM entries {by} WHERE event = ?");
        let mut values = vec![Value::from(find.event.to_owned())];
        for (column, wanted) in [("key", find.key), ("who", find.who), ("outcome", find.outcome)] {
            if let Some(wanted) = wanted {
                query += &format!(" AND {column} = ?");
                values.push(wanted.to_owned().into());
            }
        }
        // The index by the time would be one more to write; the ids are nearly in its order.
        for (sign, time) in [(">=", find.from_ms), ("<", find.until_ms)] {
            if let Some(time) = time {
                query += &format!(" AND id {sign} ?");
                values.push(self.first_id_at(time)?.into());
            }
        }
        if let Some(before) = find.before {
            query += " AND id < ?";
            values.push(before.into());
        }
        query += " ORDER BY id DESC LIMIT ?";
        values.push(i64::from(find.limit).into());
        let mut statement = self.connection.prepare_cached(&query)?;
        let mut rows = statement.query(params_from_iter(values))?;
        while let Some(row) = rows.next()? {
            // What is no JSON can only be damage, and one entry of it is no reason to show none.
            if let Some(entry) = entry(row)?
                && !take(entry)
            {
                break;
            }
        }
        Ok(())
    }

    /// Few entries of the event ended so.
    fn is_rare(&self, event: &str, outcome: &str) -> rusqlite::Result<bool> {
        let mut count = self.connection.prepare_cached(
            "SELECT count(*) FROM (SELECT 1 FROM entries WHERE event = ?1 AND outcome = ?2 LIMIT ?3)",
        )?;
        Ok(count.query_row((event, outcome, RARE), |row| row.get::<_, i64>(0))? < RARE)
    }

    /// The first id that was recorded at a time or later, by halving: right where the clock did not jump.
    fn first_id_at(&self, time: i64) -> rusqlite::Result<i64> {
        let end = |which| {
            self.connection.query_row(&format!("SELECT {which}(id) FROM entries"), [], |row| row.get(0))
        };
        let (Some(mut low), Some(high)) = (end("min")?, end("max")?) else { return Ok(0) };
        let mut high: i64 = high + 1;
        let mut at = self
            .connection
            .prepare_cached("SELECT id, at_ms FROM entries WHERE id >= ?1 ORDER BY id LIMIT 1")?;
        while low < high {
            let middle: i64 = low + (high - low) / 2;
            let found = at.query_row([middle], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)));
            match found.optional()? {
                Some((id, at_ms)) if at_ms < time => low = id + 1,
                _ => high = middle,
            }
        }
        Ok(low)
    }

    /// One entry.
    ///
    /// # Errors
    /// What the file says.
    pub fn entry(&self, id: i64) -> Result<Option<Entry>, ReadError> {
        let query = format!("SELECT {COLUMNS} FROM entries WHERE id = ?1");
        let found = self.connection.query_row(&query, [id], entry).optional();
        found.map(Option::flatten).map_err(|error| self.error(error))
    }

    /// Entries of all kinds that were recorded after the one of this number, the oldest first, at most `limit`.
    ///
    /// # Errors
    /// What the file says.
    pub fn after(&self, id: i64, limit: u32) -> Result<Vec<Entry>, ReadError> {
        let query = format!("SELECT {COLUMNS} FROM entries WHERE id > ?1 ORDER BY id LIMIT ?2");
        let found = || {
            let mut statement = self.connection.prepare_cached(&query)?;
            let rows = statement.query_map((id, limit), entry)?;
            rows.filter_map(Result::transpose).collect::<rusqlite::Result<_>>()
        };
        found().map_err(|error| self.error(error))
    }

    /// The newest entry of an event.
    ///
    /// # Errors
    /// What the file says.
    pub fn newest(&self, event: &str) -> Result<Option<Entry>, ReadError> {
        Ok(self.find(&Find { limit: 1, ..Find::event(event) })?.pop())
    }

    /// The sums of an event for each hour from that of `from_ms` on, the oldest first.
    ///
    /// # Errors
    /// What the file says.
    pub fn tallies(&self, event: &str, from_ms: i64) -> Result<Vec<Tally>, ReadError> {
        let query = || -> rusqlite::Result<Vec<Tally>> {
            let mut statement = self.connection.prepare_cached(
                "SELECT hour, who, outcome, kind, count, took_ms, micro_usd, last_ms FROM tallies \
                 WHERE hour >= ?1 AND event = ?2 ORDER BY hour, who, outcome, kind",
            )?;
            let rows = statement.query_map((from_ms.div_euclid(HOUR_MS), event), |row| {
                let count = |index| -> rusqlite::Result<u64> {
                    Ok(u64::try_from(row.get::<_, i64>(index)?).unwrap_or(0))
                };
                Ok(Tally {
                    hour: row.get(0)?,
                    who: row.get(1)?,
                    outcome: row.get(2)?,
                    kind: row.get(3)?,
                    count: count(4)?,
                    took_ms: count(5)?,
                    micro_usd: count(6)?,
                    last_ms: row.get(7)?,
                })
            })?;
            rows.collect()
        };
        query().map_err(|error| self.error(error))
    }

    /// How large it is.
    ///
    /// # Errors
    /// What the file says.
    pub fn size(&self) -> Result<Size, ReadError> {
        // Either end alone is looked up; both in one aggregate would read every entry.
        let query = "SELECT coalesce((SELECT max(id) FROM entries) - (SELECT min(id) FROM entries) + 1, 0), \
             (SELECT at_ms FROM entries ORDER BY id LIMIT 1), \
             (SELECT page_count * page_size FROM pragma_page_count, pragma_page_size)";
        let size = self.connection.query_row(query, [], |row| {
            Ok(Size {
                entries: u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0),
                oldest_ms: row.get(1)?,
                bytes: u64::try_from(row.get::<_, i64>(2)?).unwrap_or(0),
            })
        });
        size.map_err(|error| self.error(error))
    }

    fn error(&self, source: rusqlite::Error) -> ReadError {
        ReadError { path: self.path.clone(), source }
    }
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Option<Entry>> {
    let Ok(fields) = RawValue::from_string(row.get(6)?) else { return Ok(None) };
    Ok(Some(Entry {
        id: row.get(0)?,
        at_ms: row.get(1)?,
        event: row.get(2)?,
        key: row.get(3)?,
        who: row.get(4)?,
        outcome: row.get(5)?,
        fields,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Refused, Stopped};
    use crate::{Journal, Limits};

    const HOUR: i64 = HOUR_MS;

    /// Ten refusals, an hour after each other, by two hotkeys in turn.
    fn journal() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.sqlite");
        let journal =
            Journal::open(&path, Limits { age: std::time::Duration::MAX, ..Limits::default() }).unwrap();
        for n in 0..10_i64 {
            let claimed = Some(["5A", "5B"][usize::try_from(n % 2).unwrap()].to_owned());
            let reason = if n < 5 { "signature" } else { "low_stake" }.to_owned();
            journal.record_at(n * HOUR, &Refused { reason, claimed, count: 1, detail: None });
            journal.record_at(n * HOUR, &Stopped { reason: None });
        }
        drop(journal);
        (folder, path)
    }

    fn hours(reader: &Reader, find: &Find<'_>) -> Vec<i64> {
        reader.find(find).unwrap().iter().map(|entry| entry.at_ms / HOUR).collect()
    }

    #[test]
    fn entries_are_found_by_what_is_asked_the_newest_first() {
        let (_folder, path) = journal();
        let reader = Reader::open(&path).unwrap();
        let all = Find::event("refused");
        assert_eq!(hours(&reader, &all), (0..10).rev().collect::<Vec<_>>());
        assert_eq!(hours(&reader, &Find { who: Some("5A"), ..all.clone() }), [8, 6, 4, 2, 0]);
        assert_eq!(
            hours(&reader, &Find { who: Some("5A"), outcome: Some("signature"), ..all.clone() }),
            [4, 2, 0]
        );
        assert_eq!(
            hours(&reader, &Find { from_ms: Some(3 * HOUR), until_ms: Some(6 * HOUR), ..all.clone() }),
            [5, 4, 3]
        );
        assert_eq!(hours(&reader, &Find { from_ms: Some(3 * HOUR + 1), ..all.clone() }).last(), Some(&4));
        assert_eq!(hours(&reader, &Find { from_ms: Some(99 * HOUR), ..all.clone() }), [0_i64; 0]);
        assert_eq!(hours(&reader, &Find { event: "nothing", ..all.clone() }), [0_i64; 0]);
        let page = reader.find(&Find { limit: 3, ..all.clone() }).unwrap();
        let next = Find { limit: 3, before: Some(page[2].id), ..all };
        assert_eq!(hours(&reader, &next), [6, 5, 4]);
        assert_eq!(reader.entry(page[0].id).unwrap().unwrap().at_ms, 9 * HOUR);
        assert!(reader.entry(i64::MAX).unwrap().is_none());
    }

    #[test]
    fn entries_of_one_hotkey_and_outcome_are_found_however_many_share_each() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.sqlite");
        let journal = Journal::open(&path, Limits::default()).unwrap();
        for n in 0..3 * RARE {
            let claimed = Some(if n == 5 { "5A" } else { "5B" }.to_owned());
            let reason = if n % 2 == 1 { "signature" } else { "low_stake" }.to_owned();
            journal.record(&Refused { reason, claimed, count: 1, detail: None });
        }
        drop(journal);
        let reader = Reader::open(&path).unwrap();
        let count = |who, outcome| {
            let find =
                Find { who: Some(who), outcome: Some(outcome), limit: 10_000, ..Find::event("refused") };
            reader.find(&find).unwrap().len()
        };
        assert_eq!([count("5A", "signature"), count("5A", "low_stake"), count("5A", "none")], [1, 0, 0]);
        assert_eq!([count("5B", "signature"), count("5B", "low_stake")], [1499, 1500]);
    }

    #[test]
    fn sums_are_by_the_hour() {
        let (_folder, path) = journal();
        let tallies = Reader::open(&path).unwrap().tallies("refused", 8 * HOUR + 5).unwrap();
        let shown: Vec<_> =
            tallies.iter().map(|t| (t.from_ms() / HOUR, t.who.as_str(), t.count, t.last_ms / HOUR)).collect();
        assert_eq!(shown, [(8, "5A", 1, 8), (9, "5B", 1, 9)]);
    }

    #[test]
    fn the_version_changes_with_the_file_and_a_new_file_is_noticed() {
        let (_folder, path) = journal();
        let reader = Reader::open(&path).unwrap();
        let before = reader.version().unwrap();
        assert_eq!(reader.version().unwrap(), before);
        let journal = Journal::open(&path, Limits::default()).unwrap();
        journal.record(&Stopped { reason: None });
        drop(journal);
        assert_ne!(reader.version().unwrap(), before);
        assert!(reader.is_current());
        std::fs::rename(&path, path.with_extension("old")).unwrap();
        assert!(!reader.is_current());
    }

    #[test]
    fn its_size_is_told() {
        let (_folder, path) = journal();
        let size = Reader::open(&path).unwrap().size().unwrap();
        assert_eq!((size.entries, size.oldest_ms), (20, Some(0)));
        assert!(size.bytes >= 8192);
    }

    /// The other process of the next test.
    #[test]
    #[ignore = "the next test runs it in another process"]
    fn another_process_records() {
        let path = PathBuf::from(std::env::var_os("JOURNAL_OF_ANOTHER").unwrap());
        Journal::open(&path, Limits::default()).unwrap().record(&Stopped { reason: None });
    }

    #[test]
    fn what_another_process_recorded_is_read_after_that_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.sqlite");
        drop(Journal::open(&path, Limits::default()).unwrap());
        let reader = Reader::open(&path).unwrap();
        for count in 1..4 {
            assert!(reader.is_current());
            // A process that is the last to have the file open takes SQLite's log away: it must see that this one has it.
            let ended = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--ignored", "--exact", "reader::tests::another_process_records"])
                .env("JOURNAL_OF_ANOTHER", &path)
                .output()
                .unwrap();
            assert!(ended.status.success());
            assert_eq!(reader.find(&Find::event("stopped")).unwrap().len(), count);
        }
    }
}
