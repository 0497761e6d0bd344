//! One worker process: its pipes, its process group and its end.
//!
//! Left to `pool`: when to start it, when to give up on it and what takes its place.

use std::future::Future;
use std::io;
use std::num::NonZeroUsize;
use std::process::Stdio;
use std::time::Duration;

use adit_media::{FrameFormat, Picture, Sampling};
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::WorkerConfig;
use super::lines::{Line, Lines};
use super::memory::Memory;
use super::pixels::{self, Delivery, Pixels, SendError, Source};
use super::wire::{self, Expected, NoAnswer, Ready};
use crate::{Answer, Need, PredictError, Subject, Task, Wanted};

/// Longest piece of a worker's stderr that becomes one log line, in bytes.
const LOG_LINE_LIMIT: usize = 4096;

/// How long a worker that has ended may take to be reaped and its last words to arrive.
const AFTERMATH: Duration = Duration::from_millis(500);

/// Frames of a warm-up without batches.
const WARM_UP_FRAMES: usize = 8;

/// Images of a warm-up: those of the clips that chutes are sent.
const WARM_UP_IMAGE: FrameFormat = FrameFormat { width: 1280, height: 720, sampling: Sampling::Every };

/// Keypoints that a warm-up asks for: those of a pitch.
const WARM_UP_KEYPOINTS: u32 = 32;

/// A live worker. Dropping it kills it and everything that it started.
#[derive(Debug)]
pub(super) struct Process {
    number: usize,
    child: Child,
    /// The child's process group, until it was killed.
    group: Option<Pid>,
    clip_margin: Duration,
    stdin: ChildStdin,
    stdout: Lines<ChildStdout>,
    stderr: JoinHandle<()>,
    delivery: Delivery,
    /// What pixels are written to, for a worker that maps it.
    memory: Option<Memory>,
    pings: bool,
    next_id: u64,
    next_ping: u64,
}

/// What a worker's stdout or its end tells.
enum Event {
    Line(Vec<u8>),
    TooLong(Vec<u8>),
    Gone,
}

impl Process {
    /// Starts a worker and waits for its first line.
    ///
    /// # Errors
    /// Why there is no worker, as a sentence.
    pub(super) async fn start(config: &WorkerConfig, number: usize) -> Result<(Self, Ready), String> {
        let mut process = Self::spawn(config, number)
            .map_err(|error| format!("cannot run {}: {error}", config.program.display()))?;
        let deadline = Instant::now() + config.start_limit;
        let ready = match process.ready(config, deadline).await {
            Ok(ready) => process.prepare(&ready, config.wanted, deadline).await.map(|()| ready),
            Err(reason) => Err(reason),
        };
        match ready {
            Ok(ready) => Ok((process, ready)),
            Err(reason) => {
                process.kill().await;
                Err(reason)
            }
        }
    }

    /// Waits for the first line.
    async fn ready(&mut self, config: &WorkerConfig, deadline: Instant) -> Result<Ready, String> {
        match timeout_at(deadline, self.event()).await.ok() {
            Some(Event::Line(line)) => wire::parse_ready(&line),
            Some(Event::TooLong(line)) => Err(format!("its first line is too long: {}", wire::quote(&line))),
            Some(Event::Gone) => Err(format!("it {} before it was ready", self.post_mortem().await)),
            None => Err(format!("it was not ready within {:?}", config.start_limit)),
        }
    }

    /// Does what a worker asks for in its first line.
    async fn prepare(&mut self, ready: &Ready, wanted: Wanted, deadline: Instant) -> Result<(), String> {
        self.delivery = ready.delivery;
        self.pings = ready.pings;
        if ready.delivery.shared {
            let memory = Memory::new().map_err(|error| {
                format!("it asks for shared memory, which this system does not give ({error}): do without `shared`")
            })?;
            self.memory = Some(memory);
        }
        if ready.warm_up { self.warm_up(ready.need, wanted, deadline).await } else { Ok(()) }
    }

    fn spawn(config: &WorkerConfig, number: usize) -> io::Result<Self> {
        let mut child = Command::new(&config.program)
            .args(&config.args)
            .env_clear()
            .envs(config.environment.variables())
            .envs(config.gpu_variables(number))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let missing = || io::Error::other("the child has no pipes");
        let (stdin, stdout, stderr) = (
            child.stdin.take().ok_or_else(missing)?,
            child.stdout.take().ok_or_else(missing)?,
            child.stderr.take().ok_or_else(missing)?,
        );
        let pid = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        Ok(Self {
            number,
            child,
            group: pid,
            clip_margin: config.clip_margin,
            stdin,
            stdout: Lines::new(stdout, wire::LINE_LIMIT),
            stderr: tokio::spawn(log_stderr(stderr, number)),
            delivery: Delivery::default(),
            memory: None,
            pings: false,
            next_id: 0,
            next_ping: 0,
        })
    }

    /// Waits, while the worker has nothing to do, for what it should not do then: print or end. Says which, as a
    /// sentence. Cancel safe.
    pub(super) async fn misbehaves(&mut self) -> String {
        match self.event().await {
            Event::Line(line) | Event::TooLong(line) => format!("it printed unasked: {}", wire::quote(&line)),
            Event::Gone => "it ended while it had nothing to do".to_owned(),
        }
    }

    /// Lets the worker answer one task. If this is cancelled, the worker is of no further use.
    pub(super) async fn predict(&mut self, task: Task, deadline: Instant) -> Result<Answer, PredictError> {
        let Task { challenge_id, wanted, mut subject } = task;
        let id = self.request_id();
        // Lives until the answer is there, as the subject's own file does.
        let pictures = match &subject {
            Subject::Pictures(pictures) => pictures.as_slice(),
            _ => &[],
        };
        let spool = Spool::of(pictures).await.map_err(PredictError::Spool)?;
        let info = subject.info();
        let request = wire::Request {
            id,
            challenge_id: &challenge_id,
            want: wanted.name(),
            video: match &subject {
                Subject::File(file) => Some(file.path()),
                _ => None,
            },
            frame_count: info.map(|info| info.frames),
            frame_rate: info.map(|info| info.frame_rate.as_f64()),
            pictures: &spool.pictures,
            objects: match wanted {
                Wanted::Objects { batch_size, n_keypoints } => {
                    let (url, meta) = match &subject {
                        Subject::Link { url, meta } => (Some(url.as_str()), meta.as_ref()),
                        _ => (None, None),
                    };
                    Some(wire::ObjectsRequest { batch_size, n_keypoints, url, meta })
                }
                _ => None,
            },
            memory: match &subject {
                Subject::Frames(_) | Subject::Images(_) => self.memory.as_ref().map(Memory::path),
                _ => None,
            },
        };
        let line = request.line().map_err(PredictError::Spool)?;
        let source = match &mut subject {
            Subject::Frames(stream) => {
                let images = matches!(wanted, Wanted::Objects { .. });
                Some(Source::Clip { stream, images })
            }
            Subject::Images(stream) => Some(Source::Images(stream)),
            _ => None,
        };
        // A margin that does not fit into time leaves none for the clip.
        let due = deadline.checked_sub(self.clip_margin).unwrap_or_else(Instant::now);
        self.exchange(Expected { id, wanted }, &line, source, due).await
    }

    /// Sends a request with its pixels and reads the answer.
    async fn exchange(
        &mut self,
        expected: Expected,
        request: &[u8],
        source: Option<Source<'_>>,
        due: Instant,
    ) -> Result<Answer, PredictError> {
        let memory = self.memory.as_ref().filter(|_| source.is_some());
        let pixels = source.map(|source| Pixels::new(source, self.delivery, memory, due));
        let sending = pixels::send(&mut self.stdin, request, pixels);
        let sent = match unless_interrupted(sending, &mut self.stdout, memory).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(SendError::Clip(error))) => Err(PredictError::Media(error)),
            Ok(Err(SendError::Held(slots))) => Err(PredictError::Held { worker: self.number, slots }),
            Ok(Err(SendError::Memory(error))) => Err(PredictError::SharedMemory(error)),
            Ok(Err(SendError::Pipe)) | Err(Interruption::Gone) => return Err(self.gone().await),
            Err(Interruption::Freed(what)) => return Err(self.broke(what)),
            Err(Interruption::Spoke(line)) => {
                let what = format!("it spoke before it had all frames: {}", wire::quote(&line));
                return Err(self.broke(what));
            }
        };
        let answer = loop {
            match self.event().await {
                Event::Line(line) => match freed(self.memory.as_ref(), &line) {
                    Some(Ok(())) => {}
                    Some(Err(what)) => return Err(self.broke(what)),
                    None => break wire::parse_answer(&line, expected),
                },
                Event::TooLong(line) => {
                    break Err(NoAnswer::Broken(format!(
                        "its answer is longer than {} MiB: {}",
                        wire::LINE_LIMIT >> 20,
                        wire::quote(&line)
                    )));
                }
                Event::Gone => return Err(self.gone().await),
            }
        };
        if let Some(memory) = &self.memory {
            memory.free_all();
        }
        match (answer, sent) {
            (Err(NoAnswer::Broken(what)), _) => Err(self.broke(what)),
            // An aborted request is answered too, so that the lines stay in step; what it says is of no use.
            (_, Err(error)) => Err(error),
            (Err(NoAnswer::Failed(text)), Ok(())) => Err(PredictError::Model(text)),
            (Ok(answer), Ok(())) => Ok(answer),
        }
    }

    /// Shows the worker grey frames, as many as would fill a batch, and throws its answer away.
    ///
    /// # Errors
    /// Why it would fail a challenge too, as a sentence.
    async fn warm_up(&mut self, need: Need, wanted: Wanted, deadline: Instant) -> Result<(), String> {
        let id = self.request_id();
        let frames = self.delivery.batch.map_or(WARM_UP_FRAMES, NonZeroUsize::get);
        let (wanted, format, images) = match need {
            Need::Frames(_) if wanted == Wanted::CardGrades => {
                return Err(format!("it asks for a warm-up with frames, and {} has none", wanted.name()));
            }
            Need::Frames(format) => (wanted, format, false),
            _ => {
                let wanted = Wanted::Objects { batch_size: frames as u32, n_keypoints: WARM_UP_KEYPOINTS };
                (wanted, WARM_UP_IMAGE, true)
            }
        };
        let objects = match wanted {
            Wanted::Objects { batch_size, n_keypoints } => {
                Some(wire::ObjectsRequest { batch_size, n_keypoints, url: None, meta: None })
            }
            _ => None,
        };
        let request = wire::Request {
            id,
            challenge_id: "warm-up",
            want: wanted.name(),
            video: None,
            frame_count: Some(frames as u64),
            frame_rate: Some(25.0),
            pictures: &[],
            objects,
            memory: self.memory.as_ref().map(Memory::path),
        };
        let line = request.line().map_err(|error| error.to_string())?;
        let source = Source::Grey { format, images, frames: 0..frames as i64 };
        let asked = self.exchange(Expected { id, wanted }, &line, Some(source), deadline);
        match timeout_at(deadline, asked).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(format!("its warm-up failed: {error}")),
            Err(_) => Err("its warm-up was not done when the time to start was over".to_owned()),
        }
    }

    fn request_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    /// Whether it answers pings.
    pub(super) fn pings(&self) -> bool {
        self.pings
    }

    /// Asks a worker with nothing to do whether it is well.
    ///
    /// # Errors
    /// Why it is not, as a sentence; then it is of no further use.
    pub(super) async fn ping(&mut self, limit: Duration) -> Result<(), String> {
        let id = self.next_ping;
        self.next_ping += 1;
        let asked = async {
            // One that reads no more answers no more either.
            let _ = self.stdin.write_all(&wire::ping_line(id)).await;
            self.event().await
        };
        match timeout(limit, asked).await {
            Ok(Event::Line(line)) if wire::parse_pong(&line) == Some(id) => Ok(()),
            Ok(Event::Line(line) | Event::TooLong(line)) => {
                Err(format!("it answered a ping with {}", wire::quote(&line)))
            }
            Ok(Event::Gone) => Err("it ended while it had nothing to do".to_owned()),
            Err(_) => Err(format!("it did not answer a ping within {limit:?}")),
        }
    }

    /// Kills the worker and everything that it started, and reaps it.
    pub(super) async fn kill(mut self) {
        self.kill_group();
        let _ = timeout(AFTERMATH, self.child.wait()).await;
        self.last_words().await;
    }

    /// Buries a worker that left its pipes, and says how it ended, as a verb phrase.
    async fn post_mortem(&mut self) -> String {
        let status = timeout(AFTERMATH, self.child.wait()).await;
        self.kill_group();
        self.last_words().await;
        match status {
            Ok(Ok(status)) => format!("ended ({status})"),
            _ => "closed its output".to_owned(),
        }
    }

    /// Kills what the worker started too. Once, and at the latest right after the worker itself was reaped: the
    /// kernel hands out process ids in a circle, so the group cannot be another's by then.
    fn kill_group(&mut self) {
        if let Some(group) = self.group.take() {
            // It fails only when nobody is left in the group.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    /// Lets the last lines, such as a traceback, reach the log.
    async fn last_words(&mut self) {
        if !self.stderr.is_finished() {
            let _ = timeout(AFTERMATH, &mut self.stderr).await;
        }
    }

    async fn event(&mut self) -> Event {
        // What it printed before it ended comes first.
        tokio::select! {
            biased;
            line = self.stdout.next() => match line {
                Ok(Some(Line { bytes, cut: false })) => Event::Line(bytes),
                Ok(Some(Line { bytes, cut: true })) => Event::TooLong(bytes),
                Ok(None) | Err(_) => Event::Gone,
            },
            _ = self.child.wait() => Event::Gone,
        }
    }

    async fn gone(&mut self) -> PredictError {
        let how = self.post_mortem().await;
        self.died(how)
    }

    fn died(&self, how: String) -> PredictError {
        PredictError::Died { worker: self.number, how }
    }

    fn broke(&self, what: String) -> PredictError {
        PredictError::Protocol { worker: self.number, what }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill_group();
        self.stderr.abort();
    }
}

/// What a worker did while it was still being given pixels.
enum Interruption {
    Spoke(Vec<u8>),
    /// It gave back what it did not have.
    Freed(String),
    Gone,
}

/// Runs `sending` unless the worker ends or says something else than that it has read a slot.
async fn unless_interrupted<T>(
    sending: impl Future<Output = T>,
    stdout: &mut Lines<ChildStdout>,
    memory: Option<&Memory>,
) -> Result<T, Interruption> {
    let speaking = async {
        loop {
            let Ok(Some(Line { bytes, .. })) = stdout.next().await else { return Interruption::Gone };
            match freed(memory, &bytes) {
                Some(Ok(())) => {}
                Some(Err(what)) => return Interruption::Freed(what),
                None => return Interruption::Spoke(bytes),
            }
        }
    };
    tokio::select! {
        biased;
        sent = sending => Ok(sent),
        interruption = speaking => Err(interruption),
    }
}

/// Takes back the slot of which a line says that it was read. `None` for another line, and for a worker without memory.
fn freed(memory: Option<&Memory>, line: &[u8]) -> Option<Result<(), String>> {
    let memory = memory?;
    wire::parse_free(line).map(|slot| memory.free(slot))
}

/// Pictures as files in a folder that is removed with this value.
struct Spool {
    pictures: Vec<wire::PicturePath>,
    _folder: Option<TempDir>,
}

impl Spool {
    async fn of(pictures: &[(u64, Picture)]) -> io::Result<Self> {
        if pictures.is_empty() {
            return Ok(Self { pictures: Vec::new(), _folder: None });
        }
        let folder = tempfile::Builder::new().prefix("adit-pictures-").tempdir()?;
        let mut written = Vec::with_capacity(pictures.len());
        for (number, (frame_id, picture)) in pictures.iter().enumerate() {
            let path = folder.path().join(format!("{number}.{}", picture.format.extension()));
            tokio::fs::write(&path, &picture.bytes).await?;
            written.push(wire::PicturePath { frame_id: *frame_id, path });
        }
        Ok(Self { pictures: written, _folder: Some(folder) })
    }
}

async fn log_stderr(pipe: ChildStderr, number: usize) {
    let mut lines = Lines::new(pipe, LOG_LINE_LIMIT);
    while let Ok(Some(line)) = lines.next().await {
        let text = wire::printable(&line.bytes);
        tracing::info!(target: "worker", worker = number, "{text}");
    }
}
