//! What a model is, and the backends that run one.
//!
//! A [`Predictor`] states what it needs of a clip ([`Need`]), is given a [`Task`] and yields an [`Answer`].
//! Three backends: the built-in baseline, a warm pool of worker processes of any language, and a model beside its
//! `model.toml`, which ONNX Runtime runs in this process.
//!
//! Left to others: fetching and decoding (`media`), the shape of a challenge and of its response (the
//! track), and what an answer is worth (`scoring`).

mod answer;
mod baseline;
mod error;
mod model;
mod python;
mod task;
mod worker;

use serde_json::{Map, Value};
use tokio::time::Instant;

pub use answer::{Action, Answer, Grades};
pub use error::PredictError;
pub use model::{
    Activation, Circuit, ClipSpec, Data, Element, Failures, Head, InputSpec, Kind, Layout, MODEL_FILE, Model,
    ModelCheck, ModelError, ModelSpec, ObjectsSpec, OipError, OnnxConfig, OnnxError, Port, Provider,
    RemoteConfig, RemoteModel, Runner, Server, ServerError, ServerStatus, Signature, SpecError, SpottingSpec,
    Tensor, find_onnx_runtime, write_thresholds,
};
pub use python::{ChuteFiles, PREDICTOR_FILE, find_in_checkout, find_predictor_file, python_program};
pub use task::{Image, ImageStream, Need, Subject, Task, Wanted};
pub use worker::{Environment, Gpus, GpusError, PoolStatus, WorkerConfig, WorkerPool};

/// A model, loaded once and asked many times.
#[derive(Debug)]
pub enum Predictor {
    /// The stock rule; see [`Answer`] for what it says to each kind of challenge.
    Baseline,
    /// Warm worker processes.
    Workers(WorkerPool),
    /// A model beside its `model.toml`.
    Model(Model),
}

impl Predictor {
    /// What the model needs of a clip; `None` while no worker has said it yet.
    ///
    /// It never changes afterwards: a replaced worker that needs something else is refused.
    #[must_use]
    pub fn need(&self) -> Option<Need> {
        match self {
            Self::Baseline => Some(Need::FrameCount),
            Self::Workers(pool) => pool.status().need,
            Self::Model(model) => Some(model.need()),
        }
    }

    /// Whether a request would find a loaded model, if perhaps a busy one.
    #[must_use]
    pub fn ready(&self) -> bool {
        match self {
            Self::Baseline => true,
            Self::Workers(pool) => pool.status().up > 0,
            Self::Model(model) => model.ready(),
        }
    }

    /// Waits until the model is loaded, and says what it needs.
    ///
    /// # Errors
    /// [`PredictError::NotReady`] with the last known reason at the deadline.
    pub async fn wait_ready(&self, deadline: Instant) -> Result<Need, PredictError> {
        match self {
            Self::Baseline => Ok(Need::FrameCount),
            Self::Workers(pool) => pool.wait_ready(deadline).await,
            Self::Model(model) => Ok(model.need()),
        }
    }

    /// What the model says of itself, for those that ask a chute for its health.
    #[must_use]
    pub fn about(&self) -> Option<Map<String, Value>> {
        match self {
            Self::Baseline => None,
            Self::Workers(pool) => pool.status().about,
            Self::Model(model) => {
                Some(Map::from_iter([("model_loaded".to_owned(), model.describe().into())]))
            }
        }
    }

    /// Why the model could not be loaded, where it never was. One that was loaded once is only being replaced.
    #[must_use]
    pub fn load_failure(&self) -> Option<String> {
        match self {
            Self::Baseline | Self::Model(_) => None,
            Self::Workers(pool) => {
                let status = pool.status();
                status.need.is_none().then_some(status.last_failure).flatten()
            }
        }
    }

    /// Answers one task. Callers beyond the number of workers queue, first come first served.
    ///
    /// Dropping the future cancels the work: the worker that was computing is killed and replaced, since
    /// nobody knows what state it is in.
    ///
    /// # Errors
    /// Any [`PredictError`]; never a part of an answer.
    pub async fn predict(&self, task: Task, deadline: Instant) -> Result<Answer, PredictError> {
        match self {
            Self::Baseline => baseline::predict(&task),
            Self::Workers(pool) => pool.predict(task, deadline).await,
            Self::Model(model) => model.predict(task, deadline).await,
        }
    }

    /// Ends the workers; every request still waiting is refused. A no-op for the others.
    pub async fn shutdown(&self) {
        if let Self::Workers(pool) = self {
            pool.shutdown().await;
        }
    }

    /// One line for the log: which backend, which model, how many.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Baseline => "baseline: a pass at every 25th frame".to_owned(),
            Self::Workers(pool) => pool.describe(),
            Self::Model(model) => model.describe(),
        }
    }
}
