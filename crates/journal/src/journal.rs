//! The handle that programs record with, and the thread that writes.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;

use crate::entry::Entry;
use crate::file::BoundedFile;

/// Lines that wait for the writer; with lines of full length 64 MiB.
const QUEUE: usize = 64;
/// How long the last handle waits for what was recorded to be written.
const CLOSE_WAIT: Duration = Duration::from_secs(3);
/// A disk that fails is complained of this often.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// A journal that is open. Clones share it; when the last one is dropped, what was recorded is written, for which it
/// waits 3 s at most.
#[derive(Debug, Clone)]
pub struct Journal {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// `None` only while it is dropped.
    lines: Option<SyncSender<Vec<u8>>>,
    line_limit: usize,
    dropped: Arc<AtomicU64>,
    /// Disconnected when the writer has ended.
    writer: Mutex<Receiver<()>>,
}

impl Journal {
    /// Opens the file at `path` or creates it, with mode 0600, and directories that are missing with 0700. It never
    /// has more than `limit` bytes: before it would, its older half is dropped, for which half the limit is needed
    /// once more for a moment. Several processes may have it open.
    ///
    /// # Errors
    /// Where the file cannot be written, or the system gives no thread.
    pub fn open(path: &Path, limit: u64) -> io::Result<Self> {
        let file = BoundedFile::open(path, limit)?;
        let (lines, waiting) = sync_channel(QUEUE);
        let (alive, writer) = channel();
        let dropped = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&dropped);
        let work = move || {
            write(&waiting, file, &count);
            drop(alive);
        };
        std::thread::Builder::new().name("journal".into()).spawn(work)?;
        let line_limit = BoundedFile::line_limit(limit);
        let writer = Mutex::new(writer);
        Ok(Self { shared: Arc::new(Shared { lines: Some(lines), line_limit, dropped, writer }) })
    }

    /// Records an event with the time of now. It waits for nothing: what cannot be taken at once is dropped and
    /// counted, as is a line longer than [`MAX_LINE`](crate::MAX_LINE) or about half the limit.
    pub fn record(&self, event: &str, fields: &impl Serialize) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let at_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let line = Entry { at_ms, event: event.to_owned(), fields }.to_line(self.shared.line_limit);
        let taken = match (line, &self.shared.lines) {
            (Ok(line), Some(lines)) => lines.try_send(line).is_ok(),
            (Err(error), _) => {
                tracing::debug!("not recorded: {error}");
                false
            }
            (_, None) => false,
        };
        if !taken {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many entries were dropped since it was opened.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // The writer ends when the queue is empty and has no sender.
        drop(self.lines.take());
        let writer = self.writer.get_mut().unwrap_or_else(PoisonError::into_inner);
        if writer.recv_timeout(CLOSE_WAIT) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("the journal is not written to its end: the disk or another process holds it up");
        }
    }
}

/// Until the queue is empty and has no sender.
fn write(lines: &Receiver<Vec<u8>>, mut file: BoundedFile, dropped: &AtomicU64) {
    let mut complained: Option<Instant> = None;
    for line in lines {
        let Err(error) = file.append(&line) else { continue };
        let dropped = dropped.fetch_add(1, Ordering::Relaxed) + 1;
        if complained.is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY) {
            complained = Some(Instant::now());
            tracing::warn!(dropped, "the journal cannot be written: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use rustix::fs::{FlockOperation, flock};
    use serde_json::json;

    use super::*;
    use crate::entry::{Entries, MAX_LINE};

    fn numbers(path: &Path) -> Vec<u64> {
        Entries::open(path).unwrap().map(|entry| entry.unwrap().read().unwrap()).collect()
    }

    fn folder() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        (folder, path)
    }

    fn until(come_about: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !come_about() {
            assert!(Instant::now() < deadline, "it never came about");
            std::thread::yield_now();
        }
    }

    #[test]
    fn all_clones_write_one_file_and_a_restart_goes_on() {
        let (_folder, path) = folder();
        let before = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
        for start in [0, 10] {
            let journal = Journal::open(&path, 1 << 20).unwrap();
            let clone = journal.clone();
            journal.record("number", &start);
            drop(journal);
            clone.record("number", &(start + 1));
        }
        assert_eq!(numbers(&path), [0, 1, 10, 11]);
        let entry = Entries::open(&path).unwrap().next().unwrap().unwrap();
        assert_eq!(entry.event, "number");
        assert!((before..before + 60_000).contains(&u128::from(entry.at_ms)), "{}", entry.at_ms);
    }

    #[test]
    fn a_full_queue_drops_and_counts_and_keeps_nobody_waiting() {
        let (_folder, path) = folder();
        let journal = Journal::open(&path, 1 << 20).unwrap();
        // As another process that holds the file would.
        let other = File::open(&path).unwrap();
        flock(&other, FlockOperation::LockExclusive).unwrap();
        (0..100_u64).for_each(|number| journal.record("number", &number));
        // One more than the queue holds may be in the writer's hands.
        let dropped = journal.dropped();
        assert!((99 - QUEUE as u64..=100 - QUEUE as u64).contains(&dropped), "{dropped}");
        flock(&other, FlockOperation::Unlock).unwrap();
        drop(journal);
        // When the writer takes its one decides which of the later ones finds a place.
        let kept = numbers(&path);
        let first: Vec<u64> = (0..QUEUE as u64).collect();
        assert_eq!(kept[..QUEUE], first);
        assert_eq!(kept.len() as u64, 100 - dropped);
        assert!(kept.is_sorted(), "{kept:?}");
    }

    #[test]
    fn a_line_that_is_too_long_is_dropped_and_counted() {
        let (_folder, path) = folder();
        for (limit, longest) in [(u64::MAX, MAX_LINE), (1000, 499)] {
            let journal = Journal::open(&path, limit).unwrap();
            let frame = Entry { at_ms: 1_800_000_000_000, event: String::new(), fields: "" };
            let room = longest - frame.to_line(MAX_LINE).unwrap().len();
            journal.record("", &"x".repeat(room));
            assert_eq!(journal.dropped(), 0);
            journal.record("", &"x".repeat(room + 1));
            assert_eq!(journal.dropped(), 1);
        }
    }

    #[test]
    fn a_disk_that_fails_is_counted_and_forgiven() {
        let (_folder, path) = folder();
        let journal = Journal::open(&path, 1 << 20).unwrap();
        journal.record("number", &1);
        until(|| Entries::open(&path).unwrap().next().is_some());
        std::fs::remove_file(&path).unwrap();
        // What takes the file's place cannot be written.
        std::fs::create_dir(&path).unwrap();
        journal.record("number", &2);
        until(|| journal.dropped() == 1);
        std::fs::remove_dir(&path).unwrap();
        journal.record("number", &3);
        drop(journal);
        assert_eq!(numbers(&path), [3]);
    }

    #[test]
    fn values_that_are_no_json_are_dropped() {
        let (_folder, path) = folder();
        let journal = Journal::open(&path, 1 << 20).unwrap();
        journal.record("pairs", &std::collections::HashMap::from([((1, 2), 3)]));
        assert_eq!(journal.dropped(), 1);
        journal.record("pairs", &json!({}));
        assert_eq!(journal.dropped(), 1);
    }
}
