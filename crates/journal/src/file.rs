//! The file: whole lines appended, its size bounded, several processes at once.
//!
//! Every append is made under a lock on the file, after a look whether the file is still the one at the path. Whoever
//! would go over the limit keeps the newest half: it is copied to a file beside it, which takes the old one's place.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, BufRead as _, BufReader, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::entry::MAX_LINE;

/// Longest wait for another process to let go of the file. It holds it for one write, or while it copies.
const LOCK_WAIT: Duration = Duration::from_secs(2);
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// What lines are appended to.
#[derive(Debug)]
pub(crate) struct BoundedFile {
    path: PathBuf,
    limit: u64,
    file: File,
}

impl BoundedFile {
    /// Opens or creates it, and directories that are missing.
    pub(crate) fn open(path: &Path, limit: u64) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), limit, file: open(path)? })
    }

    /// The longest line, its end included, that fits beside the half that is kept.
    pub(crate) fn line_limit(limit: u64) -> usize {
        usize::try_from(limit / 2).unwrap_or(MAX_LINE).saturating_sub(1).min(MAX_LINE)
    }

    /// Appends one line, its end included. A part of it stays behind where the disk is full; the next line does not
    /// continue it.
    pub(crate) fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let appended = self.lock().and_then(|()| self.append_locked(line));
        let _ = flock(&self.file, FlockOperation::Unlock);
        appended
    }

    /// Takes the lock of the file that is at the path now.
    fn lock(&mut self) -> io::Result<()> {
        let until = Instant::now() + LOCK_WAIT;
        loop {
            match flock(&self.file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => match fs::metadata(&self.path) {
                    Ok(found) if same(&found, &self.file.metadata()?) => return Ok(()),
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    // Another process has put a new file in its place, or somebody has removed it.
                    _ => self.file = open(&self.path)?,
                },
                Err(Errno::WOULDBLOCK) => sleep(LOCK_PAUSE),
                Err(error) => return Err(error.into()),
            }
            if Instant::now() >= until {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "another process holds the file"));
            }
        }
    }

    fn append_locked(&mut self, line: &[u8]) -> io::Result<()> {
        let mut size = self.file.metadata()?.len();
        // One more for the end of a torn line.
        if size + line.len() as u64 + 1 > self.limit {
            self.keep_newest_half(size)?;
            size = self.file.metadata()?.len();
        }
        let mut last = [b'\n'];
        if size > 0 {
            self.file.read_exact_at(&mut last, size - 1)?;
        }
        if last == [b'\n'] { self.file.write_all(line) } else { self.file.write_all(&[b"\n", line].concat()) }
    }

    /// Leaves at most half the limit, from the start of a line on.
    fn keep_newest_half(&mut self, size: u64) -> io::Result<()> {
        // Under the lock nobody else writes it; one that is there was left by a crash.
        let mut name = self.path.clone().into_os_string();
        name.push(".new");
        let beside = PathBuf::from(name);
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut newer = open(&beside)?;
        // So that it is locked when it takes the old one's place.
        flock(&newer, FlockOperation::NonBlockingLockExclusive)?;
        let mut older = BufReader::new(&self.file);
        if let Some(before) = (size - size.min(self.limit / 2)).checked_sub(1) {
            older.seek(SeekFrom::Start(before))?;
            older.skip_until(b'\n')?;
        }
        io::copy(&mut older, &mut newer)?;
        newer.sync_all()?;
        fs::rename(&beside, &self.path)?;
        self.file = newer;
        Ok(())
    }
}

/// Readable by its owner alone: URLs in it may carry signatures.
fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file"));
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok(file)
}

fn same(a: &fs::Metadata, b: &fs::Metadata) -> bool {
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn text(path: &Path) -> String {
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn only_its_owner_reads_it_whatever_it_was_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/journal.jsonl");
        let mode = || fs::metadata(&path).unwrap().mode() & 0o777;
        let mut file = BoundedFile::open(&path, 100).unwrap();
        assert_eq!(mode(), 0o600);
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        BoundedFile::open(&path, 100).unwrap();
        assert_eq!(mode(), 0o600);
        (0..20).for_each(|_| file.append(b"twenty bytes a line\n").unwrap());
        assert_eq!(mode(), 0o600);
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(BoundedFile::open(folder.path(), 100).is_err());
        assert!(BoundedFile::open(Path::new("/dev/null"), 100).is_err());
    }

    #[test]
    fn a_torn_last_line_is_not_continued() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        fs::write(&path, "{\"torn").unwrap();
        let mut file = BoundedFile::open(&path, 100).unwrap();
        file.append(b"a\n").unwrap();
        file.append(b"b\n").unwrap();
        assert_eq!(text(&path), "{\"torn\na\nb\n");
    }

    #[test]
    fn the_newest_half_is_kept_from_the_start_of_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        fs::write(path.with_file_name("journal.jsonl.new"), "left by a crash\n").unwrap();
        let mut file = BoundedFile::open(&path, 20).unwrap();
        for line in ["aaa\n", "bbb\n", "ccc\n", "ddd\n", "eee\n"] {
            file.append(line.as_bytes()).unwrap();
        }
        assert_eq!(text(&path), "ccc\nddd\neee\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_was_removed_or_replaced_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let mut file = BoundedFile::open(&path, 100).unwrap();
        fs::remove_file(&path).unwrap();
        file.append(b"a\n").unwrap();
        assert_eq!(text(&path), "a\n");
        fs::write(folder.path().join("other"), "b\n").unwrap();
        fs::rename(folder.path().join("other"), &path).unwrap();
        file.append(b"c\n").unwrap();
        assert_eq!(text(&path), "b\nc\n");
    }

    /// Two files at one path, as two processes have them: each with a lock of its own.
    fn two_writers(limit: u64, lines: usize) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        std::thread::scope(|scope| {
            for writer in ["a", "b"] {
                let mut file = BoundedFile::open(&path, limit).unwrap();
                scope.spawn(move || {
                    for number in 0..lines {
                        let line = format!("{writer} {number} {}\n", "x".repeat(number % 50));
                        // The other one may be quicker each time, but not for ever.
                        while let Err(error) = file.append(line.as_bytes()) {
                            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
                        }
                    }
                });
            }
        });
        assert!(fs::metadata(&path).unwrap().len() <= limit);
        text(&path)
    }

    #[test]
    fn two_writers_lose_nothing() {
        assert_eq!(two_writers(1 << 20, 500).lines().count(), 1000);
    }

    #[test]
    fn two_writers_shorten_the_file_without_a_torn_line() {
        let text = two_writers(2000, 500);
        let mut newest = HashMap::new();
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let [writer, number, padding] = words[..] else { panic!("torn: {line:?}") };
            let number: usize = number.parse().unwrap();
            assert_eq!(padding.len(), number % 50, "torn: {line:?}");
            assert!(newest.insert(writer.to_owned(), number).is_none_or(|before| before + 1 == number));
        }
        assert!(newest.values().any(|number| *number == 499), "{newest:?}");
    }

    proptest! {
        // Each time that the file is shortened it is synchronised with the disk.
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_bound_holds_and_the_newest_line_is_there(
            limit in 8_u64..200,
            already in "[a\n]{0,400}",
            lines in prop::collection::vec(1_usize..60, 1..30),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("journal.jsonl");
            fs::write(&path, already).unwrap();
            let mut file = BoundedFile::open(&path, limit).unwrap();
            let longest = BoundedFile::line_limit(limit);
            for length in lines {
                let line = format!("{}\n", "x".repeat(length.min(longest) - 1));
                file.append(line.as_bytes()).unwrap();
                let text = text(&path);
                prop_assert!(text.len() as u64 <= limit);
                let whole = text.strip_suffix(&line).is_some_and(|rest| rest.is_empty() || rest.ends_with('\n'));
                prop_assert!(whole, "{:?} is not at the end of {:?}", line, text);
            }
        }
    }
}
