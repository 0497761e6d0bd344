//! Subnet 44's open track, where a model runs as a chute on chutes.ai.
//!
//! So far its [`names`]: what a revision of a model is called, there and on Hugging Face.

pub mod names;
