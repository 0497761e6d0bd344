//! Frames through a model, every stage at work at once.
//!
//! A clip is fetched and decoded by `media`, with queues of its own. Here its frames are put into batches on one thread, run
//! through the model by the engine, and what it says is read in their order by the caller. Queues between them are bounded,
//! so that total time tends to the slowest stage and memory does not grow; batches are always full but for the last, so
//! that the answer does not depend on who was faster. Inputs go round: a few of them serve a clip of any length.

use std::sync::{Arc, mpsc as plain};

use futures_util::{StreamExt, stream};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::engine::Engine;
use super::prepare::Prepare;
use super::tensor::{Data, Tensor};
use crate::PredictError;

/// Batches that wait for the engine.
const WAITING: usize = 1;

/// Windows or images that are shown to the model at once.
struct Batch<M> {
    input: Tensor,
    /// What the caller wants to know of each; fewer than fit where the model wants a full batch and there is no more.
    marks: Vec<M>,
}

/// What the thread that prepares inputs has.
pub(super) struct Feed<M> {
    pub(super) prepare: Arc<Prepare>,
    runtime: Handle,
    batches: mpsc::Sender<Batch<M>>,
    spare: plain::Receiver<Data>,
    /// Whether a batch always has all its places.
    full: bool,
    /// Places of a batch.
    pub(super) places: usize,
}

impl<M> Feed<M> {
    /// Waits for what comes next, unless nobody waits for the answer any more.
    pub(super) fn wait<T>(
        &self,
        next: impl Future<Output = Result<T, adit_media::MediaError>>,
    ) -> Result<T, PredictError> {
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = self.batches.closed() => Err(PredictError::Stopped),
                next = next => Ok(next?),
            }
        })
    }

    /// An input with room for a batch. What is in it was another's: whatever is sent is to be written first.
    pub(super) fn input(&self) -> Data {
        self.spare.try_recv().unwrap_or_else(|_| self.prepare.blank(self.places))
    }

    /// Hands a batch on, and waits while there is no room for it.
    pub(super) fn send(&self, mut input: Data, marks: Vec<M>) -> Result<(), PredictError> {
        let used = marks.len() * self.prepare.sample();
        let mut count = self.places;
        match &mut input {
            // The last places may hold what was shown before: results must not depend on it.
            Data::Float(values) if self.full => values[used..].fill(0.0),
            Data::Byte(values) if self.full => values[used..].fill(0),
            Data::Float(values) => values.truncate(used),
            Data::Byte(values) => values.truncate(used),
        }
        if !self.full {
            count = marks.len();
        }
        let batch = Batch { input: Tensor { shape: self.prepare.shape(count), data: input }, marks };
        self.batches.blocking_send(batch).map_err(|_| PredictError::Stopped)
    }
}

/// Runs `feed` on a thread of its own, what it sends through the model, and hands `take` what the model said of each
/// batch, in order. Gives what `feed` gave.
///
/// Dropping the future ends all of it.
pub(super) async fn run<M: Send + 'static, R: Send + 'static>(
    engine: &Engine,
    (prepare, places, full): (Arc<Prepare>, usize, bool),
    feed: impl FnOnce(&mut Feed<M>) -> Result<R, PredictError> + Send + 'static,
    mut take: impl FnMut(Vec<M>, Vec<Tensor>) -> Result<(), PredictError>,
    deadline: Instant,
) -> Result<R, PredictError> {
    let (batches, waiting) = mpsc::channel(WAITING);
    let (used, spare) = plain::channel();
    let mut stage = Feed { prepare, runtime: Handle::current(), batches, spare, full, places };
    let feeding = tokio::task::spawn_blocking(move || feed(&mut stage));
    let waiting =
        stream::unfold(waiting, async |mut waiting| waiting.recv().await.map(|batch| (batch, waiting)));
    let results = waiting.map(async |Batch { input, marks }| {
        let (outputs, input) = engine.infer(input, deadline).await?;
        Ok::<_, PredictError>((marks, outputs, input))
    });
    let mut results = std::pin::pin!(results.buffered(engine.at_once()));
    let late = |_| PredictError::OutOfTime;
    while let Some(result) = timeout_at(deadline, results.next()).await.map_err(late)? {
        let (marks, outputs, input) = result?;
        take(marks, outputs)?;
        if let Some(input) = input.filter(|input| input.shape[0] == places) {
            // Nobody takes it where the last batch is under way.
            let _ = used.send(input.data);
        }
    }
    let fed = timeout_at(deadline, feeding).await.map_err(late)?;
    fed.map_err(|error| PredictError::Model(format!("preparing its input failed: {error}")))?
}
