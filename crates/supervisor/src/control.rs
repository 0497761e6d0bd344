//! What an operator does with a miner's process.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::state::Lock;
use crate::{Phase, Place, Status};

/// Pause between two looks at the state.
const LOOK: Duration = Duration::from_millis(10);

/// What came of a start.
#[derive(Debug, Clone, PartialEq)]
pub enum Started {
    /// The miner is ready.
    Ready(Status),
    /// There was one already, and it is ready.
    Already(Status),
}

/// How a miner is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// It does what it has to do before.
    Drain,
    /// At once.
    Kill,
}

/// Why a miner's process is not as it should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// The folder of state and log.
    #[error("cannot use {folder}, where the miner's state and log are to be: {source}", folder = .folder.display())]
    Folder {
        /// Which.
        folder: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The state file.
    #[error("cannot use {file}: {source}", file = .file.display())]
    State {
        /// Which.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The supervisor is no program that runs.
    #[error("cannot run the supervisor: {0}")]
    Spawn(io::Error),
    /// The supervisor has ended and left no word.
    #[error("the supervisor ended: {0}")]
    Supervisor(String),
    /// The miner has ended, and is not started again.
    #[error("it ended: {how}")]
    Ended {
        /// Exit code or signal.
        how: String,
        /// The last lines that it wrote.
        last_words: String,
    },
    /// The miner runs and is not ready.
    #[error("it is not ready after {} s, and goes on starting", .0.as_secs())]
    NotReady(Duration),
    /// The miner is being stopped by somebody else.
    #[error("it is being stopped")]
    Stopping,
    /// The miner has not ended.
    #[error("it has not ended after {} s", .0.as_secs())]
    NotEnded(Duration),
}

impl Place {
    /// Starts the miner's supervisor, and waits until the miner is ready. `supervisor` is a call of this program that
    /// comes to [`supervise`](crate::supervise()) at this place. Where there is one, its miner is waited for.
    ///
    /// # Errors
    /// Where the miner does not come up, with its last words.
    pub fn start(&self, mut supervisor: Command, patience: Duration) -> Result<Started, ControlError> {
        self.make().map_err(|source| ControlError::Folder { folder: self.folder().to_owned(), source })?;
        let until = Instant::now() + patience;
        if let Some(Status { state, .. }) = self.supervised()? {
            if state.phase == Phase::Stopping {
                return Err(ControlError::Stopping);
            }
            return Ok(Started::Already(self.until_ready(0, None, until, patience)?));
        }
        // What a supervisor that was killed has left: it was told to end, and must have before another one begins.
        self.end_abandoned(Stop::Drain, until, patience)?;
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(self.log_file())
            .map_err(|source| ControlError::Folder { folder: self.folder().to_owned(), source })?;
        // What it says itself, should it panic.
        let child = supervisor.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = child.spawn().map_err(ControlError::Spawn)?;
        Ok(Started::Ready(self.until_ready(0, Some(child), until, patience)?))
    }

    /// Has the supervisor let the miner end and start it again, and waits until it is ready. Nothing where there is no
    /// supervisor.
    ///
    /// # Errors
    /// Where the miner does not come up again, with its last words.
    pub fn restart(&self, patience: Duration) -> Result<Option<Status>, ControlError> {
        let Some(Status { state, .. }) = self.supervised()? else { return Ok(None) };
        if state.phase == Phase::Stopping {
            return Err(ControlError::Stopping);
        }
        state.supervisor.signal(Signal::HUP);
        self.until_ready(state.starts, None, Instant::now() + patience, patience).map(Some)
    }

    /// Stops the miner and its supervisor; nothing where there is none. The status before, where there was one.
    ///
    /// # Errors
    /// Where it does not end within the time.
    pub fn stop(&self, how: Stop, patience: Duration) -> Result<Option<Status>, ControlError> {
        let until = Instant::now() + patience;
        let Some(before) = self.supervised()? else {
            return self.end_abandoned(how, until, patience);
        };
        before.state.supervisor.signal(match how {
            Stop::Drain => Signal::TERM,
            Stop::Kill => Signal::QUIT,
        });
        while before.state.supervisor.runs() {
            if Instant::now() > until {
                return Err(ControlError::NotEnded(patience));
            }
            sleep(LOOK);
        }
        Ok(Some(before))
    }

    /// Forgets the miner's process: state and log. Whether there was anything to forget.
    ///
    /// # Errors
    /// Where it runs, or the files cannot be removed.
    pub fn delete(&self) -> Result<bool, ControlError> {
        if self.supervised()?.is_some() {
            return Err(ControlError::Stopping);
        }
        // Held until the file is gone, so that no start comes between.
        let lock = Lock::take_existing(self).map_err(|source| self.state_error(source))?;
        match fs::remove_dir_all(self.folder()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(ControlError::Folder { folder: self.folder().to_owned(), source }),
            Ok(()) => Ok(lock.is_some()),
        }
    }

    /// The status, where there is a supervisor.
    fn supervised(&self) -> Result<Option<Status>, ControlError> {
        Ok(self.status_or_error()?.filter(|status| status.state.phase.is_supervised()))
    }

    fn status_or_error(&self) -> Result<Option<Status>, ControlError> {
        self.status().map_err(|source| self.state_error(source))
    }

    fn state_error(&self, source: io::Error) -> ControlError {
        ControlError::State { file: self.state_file(), source }
    }

    /// Ends a miner whose supervisor is gone.
    fn end_abandoned(
        &self,
        how: Stop,
        until: Instant,
        patience: Duration,
    ) -> Result<Option<Status>, ControlError> {
        // A file that is no state's is written over by the next supervisor.
        let Some(status) = self.status().ok().flatten() else { return Ok(None) };
        let Some(miner) = status.state.miner.filter(|miner| miner.runs()) else { return Ok(None) };
        miner.signal(match how {
            Stop::Drain => Signal::TERM,
            Stop::Kill => Signal::KILL,
        });
        while miner.runs() {
            if Instant::now() > until {
                return Err(ControlError::NotEnded(patience));
            }
            sleep(LOOK);
        }
        Ok(Some(status))
    }

    /// Waits for a miner that was started more than so many times, by this supervisor where one is given.
    fn until_ready(
        &self,
        starts: u64,
        mut supervisor: Option<Child>,
        until: Instant,
        patience: Duration,
    ) -> Result<Status, ControlError> {
        loop {
            // Looked at before the state, which is then its last.
            let ended = supervisor.as_mut().and_then(|child| child.try_wait().ok().flatten());
            let status = self.status_or_error()?;
            let expected = |status: &Status| {
                supervisor.as_ref().is_none_or(|child| status.state.supervisor() == child.id())
                    && status.state.starts > starts
            };
            match status.filter(expected) {
                Some(status) if status.state.phase == Phase::Online => return Ok(status),
                Some(Status { state, .. }) if !state.phase.is_supervised() => {
                    let (how, last_words) =
                        state.last_end.map(|end| (end.how, end.last_words)).unwrap_or_default();
                    return Err(match state.phase {
                        Phase::Errored => ControlError::Ended { how, last_words },
                        _ => ControlError::Supervisor(format!("it is {}", state.phase.as_str())),
                    });
                }
                _ => match ended {
                    // Another start was quicker; its miner is this one's too.
                    Some(_) if self.supervised()?.is_some() => supervisor = None,
                    Some(status) => return Err(ControlError::Supervisor(status.to_string())),
                    None => {}
                },
            }
            if Instant::now() > until {
                return Err(ControlError::NotReady(patience));
            }
            sleep(LOOK);
        }
    }
}
