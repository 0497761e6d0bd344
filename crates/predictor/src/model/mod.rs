//! A model that Adit itself prepares frames for and reads the output of, as `model.toml` beside it says.

mod tensor;

pub use tensor::{Data, Element, Port, Signature, Tensor};
