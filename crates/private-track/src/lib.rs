//! Subnet 44's private track: the server that answers challenges, and its rehearsal.
//!
//! A request passes `auth`'s gate, is read by [`wire::request`], waits for its turn, and what the
//! model needs of the clip is fetched by `media` while it arrives. The answer carries both forms that
//! validators read ([`wire::response`]).
//!
//! Out of time is an error and never a part of an answer, so that what is answered live and what a
//! spot check gets are the same predictions. What was answered is recorded in the journal, from which
//! [`spot_check`] asks an image again.

mod admission;
mod challenge;
mod config;
pub mod deployment;
mod docs;
pub mod evaluation;
mod metrics;
mod record;
pub mod rehearsal;
mod routes;
mod server;
mod spans;
pub mod spot_check;
pub mod wire;

pub use config::{Answering, Config, ConfigError, PredictorChoice, model_runner, onnx_config, own_hotkey};
pub use server::{Server, StartError};
