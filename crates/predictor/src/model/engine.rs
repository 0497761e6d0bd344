//! Whoever runs a model: a tensor in, tensors out.

use std::sync::Arc;

use tokio::time::Instant;

use super::onnx::{Cancel, OnnxSession};
use super::tensor::{Signature, Tensor};

/// Whoever runs a model. Clones share it.
#[derive(Debug, Clone)]
pub(super) enum Engine {
    /// ONNX Runtime in this process.
    Onnx(Arc<OnnxSession>),
}

impl Engine {
    pub(super) fn signature(&self) -> &Signature {
        match self {
            Self::Onnx(session) => session.signature(),
        }
    }

    /// How many runs are worth having under way at once.
    pub(super) fn at_once(&self) -> usize {
        match self {
            Self::Onnx(_) => 1,
        }
    }

    pub(super) fn ready(&self) -> bool {
        match self {
            Self::Onnx(_) => true,
        }
    }

    /// What computes, for the log.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Onnx(session) => format!("on {}", session.provider()),
        }
    }

    /// Runs the model once. The input comes back, if it can be used again. Dropping the future ends the run.
    pub(super) async fn infer(
        &self,
        input: Tensor,
        deadline: Instant,
    ) -> Result<(Vec<Tensor>, Option<Tensor>), String> {
        match self {
            Self::Onnx(session) => {
                let _ = deadline;
                let (session, cancel) = (Arc::clone(session), Cancel::new()?);
                let options = cancel.token();
                let run = tokio::task::spawn_blocking(move || {
                    session.run(&input, &options).map(|outputs| (outputs, Some(input)))
                });
                run.await.map_err(|error| format!("the run failed: {error}"))?
            }
        }
    }
}
