//! Whoever runs a model: a tensor in, tensors out.

use std::sync::Arc;

use tokio::time::Instant;

use super::oip::{OipError, RemoteModel};
use super::onnx::{Cancel, OnnxSession};
use super::tensor::{Signature, Tensor};
use crate::PredictError;

/// Runs that are worth having under way at once on each server: one computes, the next one arrives.
const AHEAD: usize = 2;

/// Whoever runs a model. Clones share it.
#[derive(Debug, Clone)]
pub(super) enum Engine {
    /// ONNX Runtime in this process.
    Onnx(Arc<OnnxSession>),
    /// Servers that hold it.
    Remote(Arc<RemoteModel>),
}

impl Engine {
    pub(super) fn signature(&self) -> &Signature {
        match self {
            Self::Onnx(session) => session.signature(),
            Self::Remote(model) => model.signature(),
        }
    }

    /// How many runs are worth having under way at once.
    pub(super) fn at_once(&self) -> usize {
        match self {
            Self::Onnx(_) => 1,
            Self::Remote(model) => AHEAD * model.status().len(),
        }
    }

    pub(super) fn ready(&self) -> bool {
        match self {
            Self::Onnx(_) => true,
            Self::Remote(model) => model.ready(),
        }
    }

    /// What computes, for the log.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Onnx(session) => format!("on {}", session.provider()),
            Self::Remote(model) => model.describe(),
        }
    }

    /// Runs the model once. The input comes back, if it can be used again. Dropping the future ends the run.
    pub(super) async fn infer(
        &self,
        input: Tensor,
        deadline: Instant,
    ) -> Result<(Vec<Tensor>, Option<Tensor>), PredictError> {
        match self {
            Self::Onnx(session) => {
                let (session, cancel) = (Arc::clone(session), Cancel::new().map_err(PredictError::Model)?);
                let options = cancel.token();
                let run = tokio::task::spawn_blocking(move || {
                    session.run(&input, &options).map(|outputs| (outputs, Some(input)))
                });
                let ended =
                    run.await.map_err(|error| PredictError::Model(format!("the run failed: {error}")))?;
                ended.map_err(PredictError::Model)
            }
            Self::Remote(model) => {
                let input = Arc::new(input);
                let outputs = model.infer(&input, deadline).await.map_err(|error| match error {
                    OipError::Deadline(_) => PredictError::OutOfTime,
                    error => PredictError::Server(error),
                })?;
                Ok((outputs, Arc::into_inner(input)))
            }
        }
    }
}
