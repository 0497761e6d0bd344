//! One worker process: its pipes, its process group and its end.
//!
//! Left to `pool`: when to start it, when to give up on it and what takes its place.

use std::future::Future;
use std::io;
use std::process::Stdio;
use std::time::Duration;

use adit_media::{FrameStream, MediaError, Picture};
use bytes::Bytes;
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::WorkerConfig;
use super::lines::{Line, Lines};
use super::wire::{self, Expected, NoAnswer, Ready};
use crate::{Answer, ImageStream, PredictError, Subject, Task, Wanted};

/// Longest piece of a worker's stderr that becomes one log line, in bytes.
const LOG_LINE_LIMIT: usize = 4096;

/// How long a worker that has ended may take to be reaped and its last words to arrive.
const AFTERMATH: Duration = Duration::from_millis(500);

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
    next_id: u64,
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
        let first = timeout(config.start_limit, process.event()).await.ok();
        let ready = match first {
            Some(Event::Line(line)) => wire::parse_ready(&line),
            Some(Event::TooLong(line)) => Err(format!("its first line is too long: {}", wire::quote(&line))),
            Some(Event::Gone) => Err(format!("it {} before it was ready", process.post_mortem().await)),
            None => Err(format!("it was not ready within {:?}", config.start_limit)),
        };
        match ready {
            Ok(ready) => Ok((process, ready)),
            Err(reason) => {
                process.kill().await;
                Err(reason)
            }
        }
    }

    fn spawn(config: &WorkerConfig, number: usize) -> io::Result<Self> {
        let mut child = Command::new(&config.program)
            .args(&config.args)
            .env_clear()
            .envs(config.environment.variables())
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
            next_id: 0,
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
        let id = self.next_id;
        self.next_id += 1;
        let expected = Expected { id, wanted };
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
        };
        let mut line =
            serde_json::to_vec(&request).map_err(|error| PredictError::Spool(io::Error::other(error)))?;
        line.push(b'\n');
        let frames = match &mut subject {
            Subject::Frames(stream) => {
                let images = matches!(wanted, Wanted::Objects { .. });
                Some(Pixels::Clip { stream, images })
            }
            Subject::Images(stream) => Some(Pixels::Images(stream)),
            _ => None,
        };

        // A margin that does not fit into time leaves none for the clip.
        let frames_due = deadline.checked_sub(self.clip_margin).unwrap_or_else(Instant::now);
        let sending = send(&mut self.stdin, &line, frames, frames_due);
        let clip = match unless_interrupted(sending, &mut self.stdout).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(SendError::Clip(error))) => Err(error),
            Ok(Err(SendError::Pipe)) | Err(None) => return Err(self.gone().await),
            Err(Some(line)) => {
                let what = format!("it spoke before it had all frames: {}", wire::quote(&line));
                return Err(self.broke(what));
            }
        };
        let answer = match self.event().await {
            Event::Line(line) => wire::parse_answer(&line, expected),
            Event::TooLong(line) => Err(NoAnswer::Broken(format!(
                "its answer is longer than {} MiB: {}",
                wire::LINE_LIMIT >> 20,
                wire::quote(&line)
            ))),
            Event::Gone => return Err(self.gone().await),
        };
        match (answer, clip) {
            (Err(NoAnswer::Broken(what)), _) => Err(self.broke(what)),
            // An aborted request is answered too, so that the lines stay in step; what it says is of no use.
            (_, Err(error)) => Err(PredictError::Media(error)),
            (Err(NoAnswer::Failed(text)), Ok(())) => Err(PredictError::Model(text)),
            (Ok(answer), Ok(())) => Ok(answer),
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

enum SendError {
    /// The clip could not be decoded to its end; the worker was told.
    Clip(MediaError),
    /// The worker reads no more.
    Pipe,
}

impl From<io::Error> for SendError {
    fn from(_: io::Error) -> Self {
        Self::Pipe
    }
}

/// Where the pixels come from that follow a request.
enum Pixels<'a> {
    /// A clip; `images` where its frames are announced with their size, as images are.
    Clip {
        stream: &'a mut FrameStream,
        images: bool,
    },
    Images(&'a mut ImageStream),
}

impl Pixels<'_> {
    /// The next line and the pixels that follow it. Cancel safe only in so far as the rest is then not asked for.
    async fn next(&mut self) -> Result<Option<(String, Bytes)>, MediaError> {
        Ok(match self {
            Self::Clip { stream, images } => {
                let format = stream.format();
                let frame = stream.next().await?;
                frame.map(|frame| {
                    let bytes = frame.pixels.len();
                    let line = match (*images, i64::try_from(frame.index)) {
                        (true, Ok(index)) => wire::image_line(index, format.width, format.height, bytes),
                        _ => wire::frame_line(frame.index, bytes),
                    };
                    (line, frame.pixels)
                })
            }
            Self::Images(stream) => stream.next().await?.map(|image| {
                let line = wire::image_line(image.frame_id, image.width, image.height, image.pixels.len());
                (line, image.pixels)
            }),
        })
    }
}

async fn send(
    stdin: &mut ChildStdin,
    request: &[u8],
    frames: Option<Pixels<'_>>,
    frames_due: Instant,
) -> Result<(), SendError> {
    stdin.write_all(request).await?;
    if let Some(mut frames) = frames {
        loop {
            let late = |_| Err(MediaError::Timeout("the clip was still arriving at the deadline".to_owned()));
            match timeout_at(frames_due, frames.next()).await.unwrap_or_else(late) {
                Ok(Some((line, pixels))) => {
                    stdin.write_all(line.as_bytes()).await?;
                    stdin.write_all(&pixels).await?;
                }
                Ok(None) => {
                    stdin.write_all(wire::END_LINE).await?;
                    break;
                }
                Err(error) => {
                    stdin.write_all(wire::ABORT_LINE).await?;
                    return Err(SendError::Clip(error));
                }
            }
        }
    }
    Ok(())
}

/// Runs `sending` unless the worker speaks (`Some`) or closes its output (`None`) before that is done.
async fn unless_interrupted<T>(
    sending: impl Future<Output = T>,
    stdout: &mut Lines<ChildStdout>,
) -> Result<T, Option<Vec<u8>>> {
    tokio::select! {
        biased;
        sent = sending => Ok(sent),
        line = stdout.next() => Err(line.ok().flatten().map(|line| line.bytes)),
    }
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
