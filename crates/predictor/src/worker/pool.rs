//! Who computes, who waits, and what replaces a worker that failed.
//!
//! Each worker has a keeper: a task that owns the process, starts another when it ends, and while it has
//! nothing to do offers itself to callers. A caller keeps its task until an offer reaches it, so one that
//! leaves the queue takes everything with it.

use std::fmt::Write as _;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use super::WorkerConfig;
use super::process::Process;
use super::wire::Ready;
use crate::{Answer, Need, PredictError, Task};

/// Pause before the second start in a row of a worker that has answered nothing; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Warm worker processes. Dropping the pool kills them.
#[derive(Debug)]
pub struct WorkerPool {
    name: String,
    /// A fair lock: the caller that waits longest takes the next offer.
    offers: tokio::sync::Mutex<mpsc::Receiver<Offer>>,
    status: watch::Receiver<PoolStatus>,
    keepers: Mutex<JoinSet<()>>,
}

/// How a pool is.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolStatus {
    /// Workers that are kept.
    pub count: usize,
    /// What the model needs, once a worker has said it.
    pub need: Option<Need>,
    /// What the worker that started last says of its model, if it does.
    pub about: Option<Map<String, Value>>,
    /// Those of them that have loaded their model.
    pub up: usize,
    /// Why a worker last ended, if one ever did. It may quote the model: for the log, not for strangers.
    pub last_failure: Option<String>,
}

/// A worker with nothing to do.
struct Offer {
    worker: usize,
    accept: oneshot::Sender<Job>,
}

struct Job {
    task: Task,
    deadline: Instant,
    reply: oneshot::Sender<Result<Answer, PredictError>>,
}

impl WorkerPool {
    /// Starts the workers, in the background; must be called inside a tokio runtime.
    #[must_use]
    pub fn start(config: WorkerConfig) -> Self {
        let count = config.count.max(1);
        let (name, config) = (config.name.clone(), Arc::new(config));
        let (offers_out, offers) = mpsc::channel(count);
        let (status_out, status) =
            watch::channel(PoolStatus { count, need: None, about: None, up: 0, last_failure: None });
        let turn = Arc::new(Semaphore::new(1));
        let mut keepers = JoinSet::new();
        for number in 0..count {
            let keeper = Keeper {
                number,
                config: Arc::clone(&config),
                offers: offers_out.clone(),
                status: status_out.clone(),
                turn: Arc::clone(&turn),
            };
            keepers.spawn(async move { keeper.keep().await });
        }
        Self { name, offers: tokio::sync::Mutex::new(offers), status, keepers: Mutex::new(keepers) }
    }

    /// How the pool is now.
    #[must_use]
    pub fn status(&self) -> PoolStatus {
        self.status.borrow().clone()
    }

    /// Waits until a worker is up, and says what it needs.
    ///
    /// # Errors
    /// [`PredictError::NotReady`] at the deadline.
    pub async fn wait_ready(&self, deadline: Instant) -> Result<Need, PredictError> {
        let mut status = self.status.clone();
        let up = status.wait_for(|status| status.up > 0);
        if let Ok(Ok(status)) = timeout_at(deadline, up).await
            && let Some(need) = status.need
        {
            return Ok(need);
        }
        Err(self.not_ready())
    }

    /// Answers one task; see [`Predictor::predict`](crate::Predictor::predict).
    ///
    /// # Errors
    /// Any [`PredictError`].
    pub async fn predict(&self, task: Task, deadline: Instant) -> Result<Answer, PredictError> {
        if let Some(need) = self.status.borrow().need {
            task.check(need)?;
        }
        let (reply, answer) = oneshot::channel();
        let mut job = Job { task, deadline, reply };
        let worker = loop {
            let offer = async { self.offers.lock().await.recv().await };
            let offer = match timeout_at(deadline, offer).await {
                Ok(Some(offer)) => offer,
                Ok(None) => return Err(PredictError::Stopped),
                Err(_) if self.status.borrow().up == 0 => return Err(self.not_ready()),
                Err(_) => return Err(PredictError::Busy { workers: self.status.borrow().count }),
            };
            // An offer outlives a worker that ended while idle: then it is refused, and the next one is tried.
            match offer.accept.send(job) {
                Ok(()) => break offer.worker,
                Err(refused) => job = refused,
            }
        };
        // Giving up, here or in the caller, drops `answer`; the keeper sees that and kills the worker.
        match timeout_at(deadline, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(PredictError::Died { worker, how: "was stopped".to_owned() }),
            Err(_) => Err(PredictError::Deadline { worker }),
        }
    }

    /// Kills the workers and waits until their keepers are done.
    pub async fn shutdown(&self) {
        let mut keepers = mem::take(&mut *self.keepers.lock().unwrap_or_else(PoisonError::into_inner));
        keepers.shutdown().await;
    }

    /// One line for the log.
    #[must_use]
    pub fn describe(&self) -> String {
        let status = self.status();
        let mut line = format!("{} of {} workers up: {}", status.up, status.count, self.name);
        if let Some(need) = status.need {
            // Writing to a String cannot fail.
            let _ = write!(line, ", needs {need}");
        }
        line
    }

    fn not_ready(&self) -> PredictError {
        let reason = self.status.borrow().last_failure.clone();
        PredictError::NotReady {
            reason: reason.unwrap_or_else(|| "the model is still being loaded".to_owned()),
        }
    }
}

/// Why a worker is to be replaced.
enum Ended {
    /// It is of no further use.
    Failed {
        reason: String,
        /// Whether it had worked, so that there is no cause to wait before the next one.
        had_worked: bool,
    },
    /// It has given all the answers that it should. No other is recycled until the next one is up and this is let go.
    Recycled(OwnedSemaphorePermit),
}

/// Counts a worker as up until it is dropped, which the end of the pool does too.
struct Up<'a>(&'a watch::Sender<PoolStatus>);

impl<'a> Up<'a> {
    fn count(status: &'a watch::Sender<PoolStatus>) -> Self {
        status.send_modify(|status| status.up += 1);
        Self(status)
    }
}

impl Drop for Up<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|status| status.up -= 1);
    }
}

/// Keeps one worker alive for as long as the pool lives.
struct Keeper {
    number: usize,
    config: Arc<WorkerConfig>,
    offers: mpsc::Sender<Offer>,
    status: watch::Sender<PoolStatus>,
    /// Whose turn it is to be recycled.
    turn: Arc<Semaphore>,
}

impl Keeper {
    async fn keep(&self) {
        let mut pause = Duration::ZERO;
        let mut turn = None;
        loop {
            let ended = match self.start().await {
                Ok(mut process) => {
                    let up = Up::count(&self.status);
                    drop(turn.take());
                    let ended = self.serve(&mut process).await;
                    drop(up);
                    process.kill().await;
                    ended
                }
                Err(reason) => Ended::Failed { reason, had_worked: false },
            };
            let (worker, name) = (self.number, &self.config.name);
            match ended {
                Ended::Failed { reason, had_worked } => {
                    pause = match had_worked {
                        true => Duration::ZERO,
                        false => (pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE),
                    };
                    tracing::warn!(worker, name, reason, "worker ended; another starts in {pause:?}");
                    self.status.send_modify(|status| status.last_failure = Some(reason));
                    sleep(pause).await;
                }
                Ended::Recycled(its) => {
                    tracing::info!(worker, name, "worker recycled after {} answers", self.config.recycle);
                    turn = Some(its);
                }
            }
        }
    }

    async fn start(&self) -> Result<Process, String> {
        let begin = Instant::now();
        let (process, Ready { need, about, .. }) = Process::start(&self.config, self.number).await?;
        let mut agreed = need;
        self.status.send_modify(|status| {
            agreed = *status.need.get_or_insert(need);
            status.about = about;
        });
        if need != agreed {
            return Err(format!(
                "it needs {need}, but the workers before it needed {agreed}; restart the miner"
            ));
        }
        tracing::info!(
            worker = self.number,
            name = self.config.name,
            load_ms = begin.elapsed().as_millis() as u64,
            gpu = self.config.gpus.of(self.number),
            "worker ready, needs {need}"
        );
        Ok(process)
    }

    /// Lets a worker answer callers until it is of no further use.
    async fn serve(&self, process: &mut Process) -> Ended {
        let mut answers = 0;
        loop {
            let had_worked = answers > 0;
            if let Some(turn) = self.turn_to_recycle(answers) {
                return Ended::Recycled(turn);
            }
            let (task, deadline, mut reply) = match self.next(process).await {
                Ok(Some(Job { task, deadline, reply })) => (task, deadline, reply),
                Ok(None) => continue,
                Err(reason) => return Ended::Failed { reason, had_worked },
            };
            let outcome = tokio::select! {
                biased;
                () = reply.closed() => {
                    let reason = "it was killed: its caller left or had no more time".to_owned();
                    return Ended::Failed { reason, had_worked: true };
                }
                outcome = process.predict(task, deadline) => outcome,
            };
            let failure = match &outcome {
                Err(error @ (PredictError::Died { .. } | PredictError::Protocol { .. })) => {
                    Some(error.to_string())
                }
                _ => None,
            };
            // A caller that left at the last moment needs no answer.
            let _ = reply.send(outcome);
            match failure {
                Some(reason) => return Ended::Failed { reason, had_worked },
                None => answers += 1,
            }
        }
    }

    /// Offers a worker until a caller takes it. `None` when it should be offered anew.
    ///
    /// # Errors
    /// Why it is of no further use.
    async fn next(&self, process: &mut Process) -> Result<Option<Job>, String> {
        let (accept, mut accepted) = oneshot::channel();
        let offer = Offer { worker: self.number, accept };
        let job = async {
            self.offers.send(offer).await.ok()?;
            (&mut accepted).await.ok()
        };
        tokio::select! {
            biased;
            reason = process.misbehaves() => return Err(reason),
            job = job => return match job {
                None if self.offers.is_closed() => Err("the pool was dropped".to_owned()),
                // Without a job: the caller left before it used the offer.
                job => Ok(job),
            },
            () = sleep(self.config.ping_every), if process.pings() => {}
        }
        // The offer is withdrawn first, so that a caller does not wait behind a worker that may be stuck.
        accepted.close();
        if let Ok(job) = accepted.try_recv() {
            return Ok(Some(job));
        }
        process.ping(self.config.ping_limit).await.map(|()| None)
    }

    /// The permission to end a worker that has given so many answers. There is none while it is the last that is up
    /// of several, or another is being recycled; then it works on.
    fn turn_to_recycle(&self, answers: u64) -> Option<OwnedSemaphorePermit> {
        if self.config.recycle == 0 || answers < self.config.recycle {
            return None;
        }
        let alone = {
            let status = self.status.borrow();
            status.count > 1 && status.up < 2
        };
        if alone { None } else { Arc::clone(&self.turn).try_acquire_owned().ok() }
    }
}
