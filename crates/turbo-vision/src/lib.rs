//! Subnet 44's open track, where a model runs as a chute on chutes.ai.
//!
//! What a revision of a model is called, there and on Hugging Face ([`names`]), how validators read what a miner answers
//! ([`documents`]), and what score they give it ([`ranking`]), with the measures of `adit-scoring`.

pub mod documents;
pub mod names;
pub mod ranking;
