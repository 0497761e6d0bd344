//! Subnet 44's open track, where a model runs as a chute on chutes.ai.
//!
//! What a revision of a model is called, there and on Hugging Face ([`names`]), the script that its chute is built from
//! ([`template`]), that chute on this machine ([`local_chute`]), and how validators read what a miner answers
//! ([`documents`]). What they make of it is `adit-scoring`'s.

pub mod documents;
pub mod local_chute;
pub mod names;
pub mod template;
