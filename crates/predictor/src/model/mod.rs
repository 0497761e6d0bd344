//! A model that Adit itself prepares frames for and reads the output of, as `model.toml` beside it says.

mod oip;
mod tensor;

pub use oip::{Circuit, Failures, OipError, RemoteConfig, RemoteModel, Server, ServerError, ServerStatus};
pub use tensor::{Data, Element, Port, Signature, Tensor};
