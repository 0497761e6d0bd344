//! A miner's output in files of bounded size, and reading it while it grows.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use chrono::Utc;

use crate::Place;

/// A file of this many bytes is put aside and a new one begun, at the end of a line.
pub const MAX_FILE: u64 = 10 * 1024 * 1024;
/// How many are kept beside the newest.
const KEPT: usize = 4;
/// Bytes of output that are held in memory, for the case that the disk is full.
const HELD: usize = 4096;

/// Writes the log. What cannot be written is counted and said later: to write never fails, and never waits for room.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    file: Option<File>,
    written: u64,
    max_file: u64,
    lost: u64,
    at_line_start: bool,
    tail: Vec<u8>,
}

impl Log {
    pub(crate) fn open(path: PathBuf) -> Self {
        Self::with_limit(path, MAX_FILE)
    }

    fn with_limit(path: PathBuf, max_file: u64) -> Self {
        let mut log =
            Self { path, file: None, written: 0, max_file, lost: 0, at_line_start: true, tail: Vec::new() };
        log.reopen();
        log
    }

    /// Takes what the miner has written.
    pub(crate) fn append(&mut self, output: &[u8]) {
        self.tail.extend_from_slice(output);
        self.tail.drain(..self.tail.len().saturating_sub(HELD));
        self.write(output);
    }

    /// Writes a line of the supervisor's own, in the form of the miner's.
    pub(crate) fn say(&mut self, level: &str, text: &str) {
        let time = Utc::now().format("%Y-%m-%dT%H:%M:%S%.6fZ");
        let start = if self.at_line_start { "" } else { "\n" };
        self.write(format!("{start}{time} {level}: {text}\n").as_bytes());
    }

    /// The end of what the miner has written since this was asked last.
    pub(crate) fn take_tail(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.tail)).into_owned()
    }

    /// Goes on in the file that has the log's name, should somebody have moved or removed ours.
    pub(crate) fn follow_name(&mut self) {
        let ours =
            self.file.as_ref().and_then(|file| file.metadata().ok()).map(|file| (file.dev(), file.ino()));
        let named = fs::metadata(&self.path).ok().map(|file| (file.dev(), file.ino()));
        if ours.is_none() || ours != named {
            self.reopen();
        }
    }

    fn reopen(&mut self) {
        match OpenOptions::new().create(true).append(true).mode(0o600).open(&self.path) {
            Ok(file) => {
                self.written = file.metadata().map_or(0, |file| file.len());
                self.file = Some(file);
            }
            Err(_) => self.file = None,
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if self.lost > 0 {
            let told = format!("\n(the disk took no more: {} bytes of the log are lost)\n", self.lost);
            if !self.put(told.as_bytes()) {
                self.lost += bytes.len() as u64;
                return;
            }
            self.lost = 0;
        }
        if !self.put(bytes) {
            self.lost += bytes.len() as u64;
        }
        self.at_line_start = bytes.ends_with(b"\n");
        // A line that has no end does not keep the file from one.
        if self.written >= self.max_file && (self.at_line_start || self.written >= 2 * self.max_file) {
            self.rotate();
        }
    }

    /// Whether all of it was written.
    fn put(&mut self, bytes: &[u8]) -> bool {
        if self.file.is_none() {
            self.reopen();
        }
        let Some(file) = &mut self.file else { return false };
        let done = file.write_all(bytes).is_ok();
        self.written = file.metadata().map_or(self.written, |file| file.len());
        done
    }

    fn rotate(&mut self) {
        for number in (0..KEPT).rev() {
            // What is not there yet cannot be moved.
            let _ = fs::rename(numbered(&self.path, number), numbered(&self.path, number + 1));
        }
        self.reopen();
    }
}

/// The newest file is number 0.
fn numbered(path: &Path, number: usize) -> PathBuf {
    if number == 0 {
        return path.to_owned();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

impl Place {
    /// The last so many lines of the log, and what will come after them; nothing where there is no log.
    ///
    /// # Errors
    /// Where a file is there and cannot be read.
    pub fn log(&self, lines: usize) -> io::Result<Option<(Vec<u8>, Follow)>> {
        let path = self.log_file();
        let Some(mut follow) = Follow::open(path.clone())? else { return Ok(None) };
        let mut found = follow.read()?;
        for number in 1..=KEPT {
            if count_lines(&found) >= lines {
                break;
            }
            match fs::read(numbered(&path, number)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                older => found.splice(..0, older?),
            };
        }
        let mut at = found.len();
        let ends = found.iter().enumerate().rev().filter(|(place, byte)| **byte == b'\n' && place + 1 < at);
        // The end of the line before the first that is wanted.
        let start = if lines == 0 { Some(at) } else { ends.map(|(place, _)| place + 1).nth(lines - 1) };
        at = start.unwrap_or(0);
        found.drain(..at);
        Ok(Some((found, follow)))
    }
}

fn count_lines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == b'\n').count()
}

/// Reads a log that grows, from one file into the next.
#[derive(Debug)]
pub struct Follow {
    path: PathBuf,
    file: File,
}

impl Follow {
    fn open(path: PathBuf) -> io::Result<Option<Self>> {
        match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            file => Ok(Some(Self { file: file?, path })),
        }
    }

    /// What has come since, often nothing.
    ///
    /// # Errors
    /// Where a file cannot be read.
    pub fn read(&mut self) -> io::Result<Vec<u8>> {
        // Looked for first: what is written to the old file after it is moved would else be missed.
        let newer = match fs::metadata(&self.path) {
            Ok(named) => {
                let ours = self.file.metadata()?;
                (named.dev(), named.ino()) != (ours.dev(), ours.ino())
            }
            Err(_) => false,
        };
        let mut bytes = Vec::new();
        self.file.read_to_end(&mut bytes)?;
        if newer && let Some(mut next) = Self::open(self.path.clone())? {
            next.file.read_to_end(&mut bytes)?;
            *self = next;
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place(folder: &tempfile::TempDir) -> Place {
        let place = Place::new(folder.path(), "a").unwrap();
        place.make().unwrap();
        place
    }

    fn last(place: &Place, lines: usize) -> String {
        String::from_utf8(place.log(lines).unwrap().unwrap().0).unwrap()
    }

    #[test]
    fn the_last_lines_are_those_across_files() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(&folder);
        assert!(place.log(5).unwrap().is_none());
        let mut log = Log::with_limit(place.log_file(), 6);
        for line in ["one\n", "two\n", "three\n", "four\n", "five"] {
            log.append(line.as_bytes());
        }
        assert_eq!(fs::read_to_string(numbered(&place.log_file(), 1)).unwrap(), "three\n");
        assert_eq!(last(&place, 0), "");
        assert_eq!(last(&place, 1), "five");
        assert_eq!(last(&place, 2), "four\nfive");
        assert_eq!(last(&place, 4), "two\nthree\nfour\nfive");
        assert_eq!(last(&place, 90), "one\ntwo\nthree\nfour\nfive");
    }

    #[test]
    fn so_many_files_are_kept_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(&folder);
        let mut log = Log::with_limit(place.log_file(), 10);
        for number in 0..100 {
            log.append(format!("line {number:04}\n").as_bytes());
        }
        let files = fs::read_dir(place.folder()).unwrap().count();
        assert_eq!(files, KEPT + 1);
        assert!(last(&place, 500).ends_with("line 0099\n"));
    }

    #[test]
    fn following_survives_rotation_and_removal() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(&folder);
        let mut log = Log::with_limit(place.log_file(), 12);
        log.append(b"begun\n");
        let (_, mut follow) = place.log(10).unwrap().unwrap();
        let mut seen = Vec::new();
        for number in 0..30 {
            log.append(format!("line {number}\n").as_bytes());
            seen.extend(follow.read().unwrap());
        }
        let all: String = (0..30).map(|number| format!("line {number}\n")).collect();
        assert_eq!(String::from_utf8(seen).unwrap(), all);

        fs::remove_file(place.log_file()).unwrap();
        log.append(b"into nowhere\n");
        log.follow_name();
        log.append(b"after\n");
        assert_eq!(follow.read().unwrap(), b"into nowhere\nafter\n");
    }

    #[test]
    fn a_full_disk_loses_lines_and_says_how_many_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(&folder);
        let mut log = Log::open(place.log_file());
        log.append(b"before\n");
        // Every write to it fails as one to a full disk does.
        log.file = Some(OpenOptions::new().write(true).open("/dev/full").unwrap());
        log.append(b"lost\n");
        log.say("WARNING", "lost too");
        assert_eq!(log.take_tail(), "before\nlost\n");
        log.follow_name();
        log.append(b"after\n");
        let text = last(&place, 50);
        let lost = 5 + "2026-01-01T00:00:00.000000Z WARNING: lost too\n".len();
        assert_eq!(
            text,
            format!("before\n\n(the disk took no more: {lost} bytes of the log are lost)\nafter\n")
        );
    }

    #[test]
    fn a_line_of_ours_begins_where_one_can() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(&folder);
        let mut log = Log::open(place.log_file());
        log.append(b"half a li");
        log.say("INFO", "the miner ended");
        let text = last(&place, 50);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[1].ends_with("Z INFO: the miner ended"), "{text}");
    }

    proptest! {
        /// Whatever is written in whatever pieces, nothing of it is missing or doubled as long as it is kept.
        #[test]
        fn nothing_is_lost(pieces in prop::collection::vec("[a-c\n]{0,9}", 0..20), limit in 8_u64..40) {
            let folder = tempfile::tempdir().unwrap();
            let place = place(&folder);
            let mut log = Log::with_limit(place.log_file(), limit);
            let (_, mut follow) = place.log(0).unwrap().unwrap();
            let mut seen = Vec::new();
            for piece in &pieces {
                log.append(piece.as_bytes());
                seen.extend(follow.read().unwrap());
            }
            let all = pieces.concat();
            prop_assert_eq!(String::from_utf8(seen).unwrap(), all.clone());
            let kept = last(&place, usize::MAX);
            prop_assert!(all.ends_with(&kept));
        }
    }
}
