//! Subnet 44's open track, where a model runs as a chute on chutes.ai.
//!
//! What a revision of a model is called, there and on Hugging Face ([`names`]), how validators read what a miner answers
//! ([`documents`]), what score they give it ([`ranking`], with the measures of `adit-scoring`), and whether a model that
//! they run again answers the same ([`compliance`]). What a chute is asked and may answer is in [`wire`]; what is wrong
//! with a model folder before it is uploaded says [`lint`].

pub mod compliance;
pub mod documents;
pub mod lint;
pub mod names;
pub mod ranking;
pub mod wire;
