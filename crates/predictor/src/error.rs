//! Why there is no answer.

use std::io;

use adit_media::MediaError;

use crate::OipError;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PredictError {
    /// No worker was up at the deadline.
    #[error("no worker is ready: {reason}; the log has what the worker itself printed")]
    NotReady {
        /// The last failure of a worker.
        reason: String,
    },
    /// Every worker had something else to do until the deadline.
    #[error("all {workers} workers were busy until the deadline; add workers or send less at once")]
    Busy {
        /// How many workers there are.
        workers: usize,
    },
    /// The worker was still computing at the deadline, and was killed.
    #[error("worker {worker} had no answer at the deadline and was killed")]
    Deadline {
        /// Its number, from 0.
        worker: usize,
    },
    /// The model was still computing at the deadline.
    #[error("the model had no answer at the deadline: it or the clip is too much for this machine")]
    OutOfTime,
    /// The servers that hold the model gave no answer that can be used.
    #[error(transparent)]
    Server(OipError),
    /// The worker ended in the middle of a request.
    #[error("worker {worker} {how} before it answered; the log has what it printed")]
    Died {
        /// Its number, from 0.
        worker: usize,
        /// How it ended, as a verb phrase.
        how: String,
    },
    /// The worker said something that is not an answer to what it was asked, and was killed.
    #[error("worker {worker} broke the worker protocol: {what}")]
    Protocol {
        /// Its number, from 0.
        worker: usize,
        /// What it did; a quoted piece of its output is short and escaped.
        what: String,
    },
    /// The model ran and reported a failure of its own, or answered a value that validators reject. The worker
    /// stays. The text is the model's: for the log, not for strangers.
    #[error("the model failed: {0}")]
    Model(String),
    /// The model was shown something that it cannot answer from.
    #[error("{wanted} from this model needs {needs}, not {given}")]
    Mismatch {
        /// The kind of answer.
        wanted: &'static str,
        /// What would do.
        needs: &'static str,
        /// What was given.
        given: &'static str,
    },
    /// The clip could not be decoded to its end.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// A picture could not be put where a worker can read it.
    #[error("cannot write a picture for the worker into the temporary folder: {0}")]
    Spool(#[source] io::Error),
    /// The worker gave no room back for the next frames.
    #[error(
        "worker {worker} still held all {slots} slots of its shared memory when the time for frames was over: it is too \
         slow, or keeps frames that it should free"
    )]
    Held {
        /// Its number, from 0.
        worker: usize,
        /// How many it held.
        slots: usize,
    },
    /// Frames could not be put where a worker can read them.
    #[error("cannot write frames for the worker into shared memory: {0}")]
    SharedMemory(#[source] io::Error),
    /// The pool was shut down.
    #[error("the workers were shut down")]
    Stopped,
}
