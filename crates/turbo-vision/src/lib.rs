//! Subnet 44's open track, where a model runs as a chute on chutes.ai.
//!
//! So far: what a revision of a model is called, there and on Hugging Face ([`names`]), how it gets to Hugging Face
//! ([`hub`]), and how validators read what a miner answers ([`documents`]). What they make of it is `adit-scoring`'s.

pub mod documents;
pub mod hub;
pub mod names;
