//! The handle that programs record with.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::database::OpenError;
use crate::entry::{Entry, MAX_LINE};
use crate::record::{self, ClockJumped, Facets, Record};
use crate::writer::{Line, Waiting, Writer};

/// Entries that wait for the writer, and the bytes of their fields together.
const QUEUE: usize = 4096;
const QUEUE_BYTES: usize = 16 << 20;
/// How long the last handle waits for what was recorded to be written.
const CLOSE_WAIT: Duration = Duration::from_secs(3);
/// The wall clock is said to have jumped where it and the steady one come apart by more, in milliseconds.
const JUMP: i64 = 60_000;

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of the file; before it would have more, its oldest entries are dropped. SQLite's log beside it comes to
    /// a few MiB more.
    pub bytes: u64,
    /// Entries that are older are dropped.
    pub age: Duration,
}

impl Default for Limits {
    /// 64 MiB and 30 days.
    fn default() -> Self {
        Self { bytes: 64 << 20, age: Duration::from_secs(30 * 86_400) }
    }
}

/// A journal that is open. Clones share it; when the last one is dropped, what was recorded is written, for which it
/// waits 3 s at most.
#[derive(Debug, Clone)]
pub struct Journal {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    /// This and the next are `None` only while it is dropped.
    lines: Option<Sender<Waiting>>,
    room: Arc<Room>,
    /// Tells the writer that there is no handle any more, by its end.
    handle: Option<Sender<Infallible>>,
    dropped: Arc<AtomicU64>,
    opened: Instant,
    /// What the wall clock is ahead of the steady one, in Unix milliseconds.
    offset: AtomicI64,
    /// Disconnected when the writer has ended.
    writer: Mutex<Receiver<()>>,
}

/// How much waits for the writer or is being written.
#[derive(Debug, Default)]
pub(crate) struct Room {
    entries: AtomicUsize,
    bytes: AtomicUsize,
}

impl Room {
    /// Takes the place of one entry; `false` where there is none.
    fn take(&self, bytes: usize) -> bool {
        let entries = self.entries.fetch_add(1, Ordering::Relaxed);
        let waiting = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = entries < QUEUE && waiting + bytes <= QUEUE_BYTES;
        if !fits {
            self.give_back(1, bytes);
        }
        fits
    }

    pub(crate) fn give_back(&self, entries: usize, bytes: usize) {
        self.entries.fetch_sub(entries, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.load(Ordering::Relaxed) == 0
    }
}

impl Journal {
    /// Opens the file at `path` or creates it, with mode 0600, and directories that are missing with 0700. Several processes
    /// may have it open. A damaged file is set aside, a new one begun, and both said in the log and in the new journal.
    ///
    /// # Errors
    /// Where the file cannot be written, a newer program made it, or the system gives no thread.
    pub fn open(path: &Path, limits: Limits) -> Result<Self, OpenError> {
        let (handle, open_handles) = channel();
        let mut writer = Writer::open(path, limits, open_handles)?;
        let (lines, waiting) = channel();
        let (alive, ended) = channel();
        let dropped = Arc::clone(&writer.dropped);
        let room = Arc::clone(&writer.room);
        let work = move || {
            writer.work(&waiting);
            // It closes the file, which brings SQLite's log into it.
            drop(writer);
            drop(alive);
        };
        let file = |source| OpenError::File { path: path.to_owned(), source };
        std::thread::Builder::new().name("journal".into()).spawn(work).map_err(file)?;
        let shared = Shared {
            path: path.to_owned(),
            lines: Some(lines),
            room,
            handle: Some(handle),
            dropped,
            opened: Instant::now(),
            offset: AtomicI64::new(unix_ms(SystemTime::now())),
            writer: Mutex::new(ended),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Records an event with the time of now. It waits for nothing: what cannot be taken at once is dropped and counted, as
    /// is one whose fields are longer than [`MAX_LINE`].
    ///
    /// A wall clock that has jumped by over a minute since the last entry is recorded first.
    pub fn record<R: Record>(&self, record: &R) {
        self.record_by(record, SystemTime::now(), self.shared.opened.elapsed());
    }

    /// As [`Journal::record`], for who must not be delayed even by the making of the record: `make` is called when it is
    /// written. What it holds is about `bytes` large.
    pub fn record_later<R: Record>(&self, bytes: usize, make: impl FnOnce() -> R + Send + 'static) {
        let at_ms = self.now(SystemTime::now(), self.shared.opened.elapsed());
        self.queue(bytes, move || line(&make(), at_ms));
    }

    /// Records what happened at another time, in Unix milliseconds: what was read elsewhere and only later.
    pub fn record_at<R: Record>(&self, at_ms: i64, record: &R) {
        match line(record, at_ms) {
            Some(line) => self.queue(line.fields.len(), move || Some(line)),
            None => {
                self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Records an entry of another journal, with its time and a number of its own. `false` where it is of a kind that is not
    /// known here: a newer program wrote it.
    pub fn copy(&self, entry: &Entry) -> bool {
        record::copy(self, entry)
    }

    fn record_by<R: Record>(&self, record: &R, wall: SystemTime, steady: Duration) {
        self.record_at(self.now(wall, steady), record);
    }

    /// The wall clock's time. Where it has jumped, that is recorded first.
    fn now(&self, wall: SystemTime, steady: Duration) -> i64 {
        let at_ms = unix_ms(wall);
        let offset = at_ms.saturating_sub(i64::try_from(steady.as_millis()).unwrap_or(i64::MAX));
        let before = self.shared.offset.load(Ordering::Relaxed);
        let by_ms = offset.saturating_sub(before);
        if by_ms.abs() > JUMP {
            // One of several threads that see it tells of it.
            let told =
                self.shared.offset.compare_exchange(before, offset, Ordering::Relaxed, Ordering::Relaxed);
            if told.is_ok() {
                self.record_at(at_ms, &ClockJumped { by_ms });
            }
        }
        at_ms
    }

    fn queue(&self, bytes: usize, line: impl FnOnce() -> Option<Line> + Send + 'static) {
        let Shared { lines: Some(lines), room, dropped, .. } = &*self.shared else { return };
        // Before the entry is put together: in a flood nearly all of them are dropped.
        if bytes <= MAX_LINE && room.take(bytes) {
            let line = Box::new(line);
            if lines.send(Waiting { bytes, line }).is_ok() {
                return;
            }
            room.give_back(1, bytes);
        }
        dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// How many entries were dropped since it was opened.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }
}

/// `None` where its fields cannot be written, or are too long.
fn line<R: Record>(record: &R, at_ms: i64) -> Option<Line> {
    let fields = serde_json::to_string(record).ok().filter(|fields| fields.len() <= MAX_LINE)?;
    let Facets { key, who, outcome, kind, count, took_ms, micro_usd } = record.facets();
    let owned = |text: Option<&str>| text.map(str::to_owned);
    Some(Line {
        at_ms,
        event: R::EVENT,
        key: owned(key),
        who: owned(who),
        outcome: owned(outcome),
        kind: kind.map(std::borrow::Cow::into_owned),
        count,
        took_ms,
        micro_usd,
        fields,
    })
}

pub(crate) fn unix_ms(time: SystemTime) -> i64 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        drop(self.handle.take());
        // The writer ends when the queue is empty and has no sender.
        drop(self.lines.take());
        let writer = self.writer.get_mut().unwrap_or_else(PoisonError::into_inner);
        if writer.recv_timeout(CLOSE_WAIT) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("the journal is not written to its end: the disk or another process holds it up");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rusqlite::Connection;

    use super::*;
    use crate::record::{Refused, Stopped};
    use crate::{Find, Reader};

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.sqlite");
        (folder, path)
    }

    fn event(number: i64) -> ClockJumped {
        ClockJumped { by_ms: number }
    }

    /// In the order of recording.
    fn numbers(path: &Path) -> Vec<i64> {
        let mut entries =
            Reader::open(path).unwrap().find(&Find { limit: 100_000, ..Find::event("clock") }).unwrap();
        entries.reverse();
        entries.iter().map(|entry| entry.read::<ClockJumped>().unwrap().by_ms).collect()
    }

    fn until(come_about: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !come_about() {
            assert!(Instant::now() < deadline, "it never came about");
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_was_recorded_is_there_in_order_when_the_last_handle_is_dropped() {
        let (_folder, path) = folder();
        let journal = Journal::open(&path, Limits::default()).unwrap();
        let clone = journal.clone();
        (0..1000).for_each(|number| journal.record(&event(number)));
        drop(journal);
        clone.record(&event(1000));
        assert_eq!(clone.dropped(), 0);
        drop(clone);
        assert_eq!(numbers(&path), (0..=1000).collect::<Vec<_>>());
    }

    #[test]
    fn a_file_that_another_process_holds_delays_nobody_and_loses_only_what_does_not_fit() {
        let (_folder, path) = folder();
        let journal = Journal::open(&path, Limits::default()).unwrap();
        journal.record(&event(-1));
        until(|| numbers(&path) == [-1]);
        let other = Connection::open(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let all = i64::try_from(QUEUE).unwrap() * 2;
        (0..all).for_each(|number| journal.record(&event(number)));
        let dropped = journal.dropped();
        assert!(dropped > 0, "all of them fitted");
        other.execute_batch("ROLLBACK").unwrap();
        let count =
            || i64::try_from(numbers(&path).len()).unwrap() + i64::try_from(journal.dropped()).unwrap();
        until(|| count() == all + 1);
        drop(journal);
        assert_eq!(numbers(&path)[..2], [-1, 0]);
    }

    #[test]
    fn a_full_queue_of_bytes_and_a_too_large_entry_are_dropped_and_counted() {
        let (_folder, path) = folder();
        let journal = Journal::open(&path, Limits::default()).unwrap();
        let large = |bytes: usize| Stopped { reason: Some("x".repeat(bytes)) };
        journal.record(&large(MAX_LINE));
        assert_eq!(journal.dropped(), 1);
        let other = Connection::open(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        (0..QUEUE_BYTES / (MAX_LINE / 2) + 1).for_each(|_| journal.record(&large(MAX_LINE / 2)));
        assert!(journal.dropped() > 1);
        other.execute_batch("ROLLBACK").unwrap();
    }

    #[test]
    fn a_full_disk_costs_entries_and_no_more() {
        // A file that may not grow is what a full disk is to SQLite.
        let (_folder, path) = folder();
        let limits = Limits { bytes: 1 << 20, ..Limits::default() };
        let journal = Journal::open(&path, limits).unwrap();
        for _ in 0..2000 {
            journal.record(&Stopped { reason: Some("x".repeat(2000)) });
            std::thread::yield_now();
        }
        until(|| Reader::open(&path).unwrap().newest("stopped").unwrap().is_some());
        drop(journal);
        let size = fs::metadata(&path).unwrap().len();
        assert!((1 << 18..=1 << 20).contains(&size), "{size}");
        let reader = Reader::open(&path).unwrap();
        assert!(reader.find(&Find { limit: 5000, ..Find::event("stopped") }).unwrap().len() > 100);
        // What was dropped is still counted by the hour.
        let counted: u64 = reader.tallies("stopped", 0).unwrap().iter().map(|tally| tally.count).sum();
        assert!(counted > 1000, "{counted}");
    }

    #[test]
    fn a_file_that_was_removed_is_begun_anew() {
        let (_folder, path) = folder();
        let journal = Journal::open(&path, Limits::default()).unwrap();
        journal.record(&event(1));
        until(|| numbers(&path) == [1]);
        for end in ["", "-wal", "-shm"] {
            fs::remove_file(format!("{}{end}", path.display())).unwrap();
        }
        journal.record(&event(2));
        drop(journal);
        assert_eq!(numbers(&path), [2]);
    }

    #[test]
    fn a_file_that_is_damaged_while_it_is_open_is_set_aside() {
        let (_folder, path) = folder();
        let journal = Journal::open(&path, Limits::default()).unwrap();
        (0..200).for_each(|number| journal.record(&event(number)));
        drop(journal);
        let journal = Journal::open(&path, Limits::default()).unwrap();
        let length = fs::metadata(&path).unwrap().len();
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &vec![0xa5; usize::try_from(length).unwrap()], 0)
            .unwrap();
        (0..10).for_each(|number| journal.record(&event(number)));
        drop(journal);
        let reader = Reader::open(&path).unwrap();
        assert!(reader.newest("damaged").unwrap().is_some());
        assert!(!numbers(&path).is_empty());
        assert!(fs::exists(format!("{}.damaged", path.display())).unwrap());
    }

    #[test]
    fn a_damaged_file_in_the_place_of_an_open_one_is_set_aside_and_told_of() {
        let (_folder, path) = folder();
        let journal = Journal::open(&path, Limits::default()).unwrap();
        journal.record(&event(0));
        until(|| numbers(&path) == [0]);
        let other = path.with_extension("other");
        fs::write(&other, vec![0xa5; 8192]).unwrap();
        for beside in ["-wal", "-shm"] {
            fs::remove_file(format!("{}{beside}", path.display())).unwrap();
        }
        fs::rename(&other, &path).unwrap();
        journal.record(&event(1));
        drop(journal);
        assert!(Reader::open(&path).unwrap().newest("damaged").unwrap().is_some());
        assert_eq!(numbers(&path), [1]);
    }

    #[test]
    fn what_was_recorded_elsewhere_is_copied_with_its_time_and_its_digits() {
        let (_folder, path) = folder();
        let from = Journal::open(&path, Limits::default()).unwrap();
        from.record_at(5, &Stopped { reason: Some("the disk".to_owned()) });
        from.record_at(7, &event(3));
        drop(from);
        let entries = Reader::open(&path).unwrap().after(0, 10).unwrap();
        let copied = path.with_file_name("copy.sqlite");
        let to = Journal::open(&copied, Limits::default()).unwrap();
        assert!(entries.iter().all(|entry| to.copy(entry)));
        assert!(!to.copy(&Entry { event: "of a newer program".to_owned(), ..entries[0].clone() }));
        drop(to);
        let lines = |entries: &[Entry]| entries.iter().map(|one| one.to_line().unwrap()).collect::<Vec<_>>();
        let reader = Reader::open(&copied).unwrap();
        assert_eq!(lines(&reader.after(0, 10).unwrap()), lines(&entries));
        assert_eq!(lines(&reader.after(1, 10).unwrap()), lines(&entries[1..]));
        assert_eq!(lines(&reader.after(0, 1).unwrap()), lines(&entries[..1]));
        assert_eq!(reader.tallies("clock", 0).unwrap().len(), 1);
    }

    #[test]
    fn a_clock_that_jumps_is_recorded_and_the_order_stays() {
        let (_folder, path) = folder();
        let journal = Journal::open(&path, Limits::default()).unwrap();
        let begun = SystemTime::now();
        let second = Duration::from_secs(1);
        let stopped = Stopped { reason: None };
        journal.record_by(&stopped, begun + second, second);
        // It is set back by an hour, then right again, then goes on.
        journal.record_by(&stopped, begun - 3600 * second, 2 * second);
        journal.record_by(&stopped, begun + 3 * second, 3 * second);
        journal.record_by(&stopped, begun + 60 * second, 4 * second);
        drop(journal);
        let jumps = numbers(&path);
        assert_eq!(jumps.len(), 2, "{jumps:?}");
        assert!((-3_604_000..-3_601_000).contains(&jumps[0]), "{jumps:?}");
        assert!((3_601_000..3_604_000).contains(&jumps[1]), "{jumps:?}");
        let entries = Reader::open(&path).unwrap().find(&Find::event("stopped")).unwrap();
        let times: Vec<i64> = entries.iter().rev().map(|entry| entry.at_ms - unix_ms(begun)).collect();
        assert_eq!(times, [1000, -3_600_000, 3000, 60_000]);
    }

    #[test]
    fn a_clock_far_ahead_drops_no_entry_for_its_age() {
        let (_folder, path) = folder();
        let day = Duration::from_secs(86_400);
        let limits = Limits { age: 2 * day, ..Limits::default() };
        let journal = Journal::open(&path, limits).unwrap();
        let now = SystemTime::now();
        journal.record_at(unix_ms(now - day), &event(1));
        journal.record_at(unix_ms(now + 365 * day), &event(2));
        drop(journal);
        // The next one begins with the clock right again, or still wrong: the file's newest entry is no measure of now.
        let journal = Journal::open(&path, limits).unwrap();
        journal.record_at(unix_ms(now - 5 * day), &event(3));
        journal.record(&event(4));
        drop(journal);
        assert_eq!(numbers(&path), [1, 2, 3, 4]);
    }

    #[test]
    fn what_is_too_old_is_dropped() {
        let (_folder, path) = folder();
        let day = Duration::from_secs(86_400);
        let limits = Limits { age: 2 * day, ..Limits::default() };
        let now = SystemTime::now();
        let journal = Journal::open(&path, limits).unwrap();
        journal.record_at(unix_ms(now - 3 * day), &event(1));
        journal.record_at(unix_ms(now - day), &event(2));
        drop(journal);
        drop(Journal::open(&path, limits).unwrap());
        assert_eq!(numbers(&path), [2]);
    }

    #[test]
    fn refusals_count_as_often_as_they_came() {
        let (_folder, path) = folder();
        let journal = Journal::open(&path, Limits::default()).unwrap();
        let refused = Refused {
            reason: "signature".to_owned(),
            claimed: Some("5V".to_owned()),
            count: 40,
            detail: None,
        };
        journal.record(&refused);
        journal.record(&refused);
        drop(journal);
        let tallies = Reader::open(&path).unwrap().tallies("refused", 0).unwrap();
        assert_eq!(tallies.iter().map(|tally| tally.count).sum::<u64>(), 80);
        assert_eq!((tallies[0].who.as_str(), tallies[0].outcome.as_str()), ("5V", "signature"));
    }
}
