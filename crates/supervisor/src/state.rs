//! The state of a miner's process, and the lock by which it has one supervisor.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::Place;
use crate::processes::Process;

/// Bytes of the file, always. It is filled once and then written over in place: a full disk does not prevent that.
const BYTES: usize = 8192;
/// How often a state that cannot be right is read again, and after what pause.
const LOOKS: u32 = 20;
const LOOK: Duration = Duration::from_millis(2);
/// Most bytes of a miner's last words.
const LAST_WORDS: usize = 2048;

/// Where a miner's process stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It runs and has not said that it is ready.
    Starting,
    /// It runs and is ready.
    Online,
    /// It ended by itself, and is started again after a pause.
    Waiting,
    /// It was told to end, and does what it has to do before.
    Stopping,
    /// It ended because it was told to.
    Stopped,
    /// It ended by itself, and is not started again.
    Errored,
    /// Its supervisor was ended by force, and it with it.
    Abandoned,
}

impl Phase {
    /// Its name, as in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Online => "online",
            Self::Waiting => "waiting",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Errored => "errored",
            Self::Abandoned => "abandoned",
        }
    }

    /// Whether there is a supervisor in it.
    #[must_use]
    pub fn is_supervised(self) -> bool {
        matches!(self, Self::Starting | Self::Online | Self::Waiting | Self::Stopping)
    }
}

/// How the miner ended last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// When, in Unix milliseconds.
    pub at: i64,
    /// By what: an exit code or a signal.
    pub how: String,
    /// The last lines that it wrote, where it ended by itself.
    pub last_words: String,
}

/// What a supervisor says of its miner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Where it stands.
    pub phase: Phase,
    /// The working directory it was started in, which says what its settings are.
    pub directory: PathBuf,
    pub(crate) supervisor: Process,
    pub(crate) miner: Option<Process>,
    /// When the miner that runs was started, in Unix milliseconds.
    pub started_at: i64,
    /// How many times it was started, restarts that were asked for included.
    pub starts: u64,
    /// How many times it was started because it had ended by itself.
    pub restarts: u64,
    /// How it ended last by itself or by force.
    pub last_end: Option<End>,
    /// Resident memory in bytes, its children's included, and the processor's time since the last look in percent of
    /// one core, as they were some seconds ago.
    pub memory: u64,
    /// See `memory`.
    pub cpu_percent: f32,
}

/// A miner's process as it stands now.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// What its supervisor says, or said last.
    pub state: State,
    /// Number of the miner's process, where it runs.
    pub pid: Option<u32>,
}

impl State {
    /// What of it still holds.
    fn now(mut self) -> Status {
        if self.phase.is_supervised() && !self.supervisor.runs() {
            self.phase = Phase::Abandoned;
        }
        let pid = self.miner.filter(|miner| miner.runs()).map(|miner| miner.pid);
        Status { state: self, pid }
    }

    /// Number of the supervisor's process.
    #[must_use]
    pub fn supervisor(&self) -> u32 {
        self.supervisor.pid
    }
}

impl End {
    pub(crate) fn new(at: i64, how: String, output: &str) -> Self {
        let mut from = output.len().saturating_sub(LAST_WORDS);
        while !output.is_char_boundary(from) {
            from += 1;
        }
        // Whole lines, where there is one.
        let last_words = match (from, output[from..].split_once('\n')) {
            (1.., Some((_, whole))) if !whole.trim().is_empty() => whole,
            _ => &output[from..],
        };
        Self { at, how, last_words: last_words.trim_end().to_owned() }
    }
}

/// The state file, locked: its holder is the miner's one supervisor, or makes sure that there is none.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock; nothing where somebody has it.
    pub(crate) fn take(place: &Place) -> io::Result<Option<Self>> {
        let path = place.state_file();
        loop {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&path)?;
            if !locked(&file)? {
                return Ok(None);
            }
            // Deleted between the opening and the lock: it would be another file that the next one locks.
            if is_at(&file, &path) {
                return Ok(Some(Self { file }));
            }
        }
    }

    /// Takes the lock of a miner that was there before; nothing where somebody has it, or it never was.
    pub(crate) fn take_existing(place: &Place) -> io::Result<Option<Self>> {
        match OpenOptions::new().read(true).write(true).open(place.state_file()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
            Ok(file) => Ok((locked(&file)? && is_at(&file, &place.state_file())).then_some(Self { file })),
        }
    }

    /// What the last supervisor said, where there was one.
    pub(crate) fn last(&self) -> Option<State> {
        let mut bytes = [0; BYTES];
        self.file.read_exact_at(&mut bytes, 0).ok()?;
        parse(&bytes)
    }

    pub(crate) fn write(&self, state: &State) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(state)?;
        if bytes.len() > BYTES {
            // A directory's name of thousands of bytes, or words of nothing but line breaks.
            let short = |end: &End| End { last_words: String::new(), ..end.clone() };
            bytes =
                serde_json::to_vec(&State { last_end: state.last_end.as_ref().map(short), ..state.clone() })?;
        }
        bytes.resize(BYTES, b' ');
        self.file.write_all_at(&bytes, 0)
    }
}

fn locked(file: &File) -> io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    let here = file.metadata().map(|file| (file.dev(), file.ino()));
    let there = std::fs::metadata(path).map(|file| (file.dev(), file.ino()));
    matches!((here, there), (Ok(here), Ok(there)) if here == there)
}

fn parse(bytes: &[u8]) -> Option<State> {
    serde_json::from_slice(bytes).ok()
}

impl Place {
    /// How the miner's process stands; nothing where there never was one, or it was deleted.
    ///
    /// # Errors
    /// Where the state is there and cannot be read.
    pub fn status(&self) -> io::Result<Option<Status>> {
        let path = self.state_file();
        for _ in 0..LOOKS {
            let bytes = match std::fs::read(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                other => other?,
            };
            // A supervisor that has the lock and has written nothing yet.
            if bytes.is_empty() {
                return Ok(None);
            }
            if let Some(status) = parse(&bytes).map(State::now) {
                let ended = status.state.miner.is_some() && status.pid.is_none();
                if !(ended && status.state.phase.is_supervised()) {
                    return Ok(Some(status));
                }
            }
            // Half of it was old and half of it new, or the supervisor is about to say that its miner has ended.
            sleep(LOOK);
        }
        match std::fs::read(&path).ok().and_then(|bytes| parse(&bytes)) {
            Some(state) => Ok(Some(state.now())),
            None => {
                let what = format!("{} is not a supervisor's", path.display());
                Err(io::Error::new(io::ErrorKind::InvalidData, what))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn state(last_words: &str) -> State {
        State {
            phase: Phase::Online,
            directory: "/home/op".into(),
            supervisor: Process::find(std::process::id()).unwrap(),
            miner: None,
            started_at: 1,
            starts: 1,
            restarts: 0,
            last_end: Some(End::new(5, "exit code 1".into(), last_words)),
            memory: 0,
            cpu_percent: 0.5,
        }
    }

    #[test]
    fn one_holds_the_lock_and_the_others_read() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(folder.path(), "a").unwrap();
        assert!(Lock::take_existing(&place).unwrap().is_none());
        place.make().unwrap();
        let lock = Lock::take(&place).unwrap().unwrap();
        assert!(Lock::take(&place).unwrap().is_none() && Lock::take_existing(&place).unwrap().is_none());
        assert_eq!((lock.last(), place.status().unwrap()), (None, None));
        lock.write(&state("bye")).unwrap();
        assert_eq!(place.status().unwrap().unwrap(), Status { state: state("bye"), pid: None });
        drop(lock);
        assert_eq!(Lock::take_existing(&place).unwrap().unwrap().last(), Some(state("bye")));
    }

    #[test]
    fn a_state_whose_supervisor_is_gone_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(folder.path(), "a").unwrap();
        place.make().unwrap();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let supervisor = Process::find(child.id()).unwrap();
        let lock = Lock::take(&place).unwrap().unwrap();
        lock.write(&State { supervisor, ..state("") }).unwrap();
        assert_eq!(place.status().unwrap().unwrap().state.phase, Phase::Online);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(place.status().unwrap().unwrap().state.phase, Phase::Abandoned);
    }

    #[test]
    fn what_is_no_state_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(folder.path(), "a").unwrap();
        place.make().unwrap();
        std::fs::write(place.state_file(), "1234\n").unwrap();
        assert!(place.status().unwrap_err().to_string().contains("state.json"));
        // The next supervisor writes over it.
        let lock = Lock::take(&place).unwrap().unwrap();
        assert_eq!(lock.last(), None);
        lock.write(&state("")).unwrap();
        assert_eq!(place.status().unwrap().unwrap().state, state(""));
    }

    proptest! {
        /// Whatever a miner writes, the state is whole, and its end is the end of what was written.
        #[test]
        fn last_words_fit(output in "(\\PC|\n|\u{1}){0,3000}") {
            let folder = tempfile::tempdir().unwrap();
            let place = Place::new(folder.path(), "a").unwrap();
            place.make().unwrap();
            let lock = Lock::take(&place).unwrap().unwrap();
            let state = state(&output);
            lock.write(&state).unwrap();
            let read = place.status().unwrap().unwrap().state.last_end.unwrap();
            prop_assert!(read.last_words.is_empty() || Some(&read) == state.last_end.as_ref());
            prop_assert!(output.trim_end().ends_with(&state.last_end.unwrap().last_words));
        }
    }
}
