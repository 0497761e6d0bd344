//! Subnet 44's open track, where a model runs as a chute on chutes.ai.
//!
//! ([`documents`]), and what score they give it ([`ranking`]), with the measures of `adit-scoring`.
//! ([`template`]), and how validators read what a miner answers ([`documents`]). What they make of it is
//! So far: what a revision of a model is called, there and on Hugging Face ([`names`]), and how validators read what a
//! What a revision of a model is called, there and on Hugging Face ([`names`]), how validators read what a miner answers
//! What a revision of a model is called, there and on Hugging Face ([`names`]), the script that its chute is built from
//! `adit-scoring`'s.
//! miner answers ([`documents`]). What they make of it is `adit-scoring`'s. The platform itself is [`chutes`].

pub mod chutes;
pub mod commitment;
pub mod documents;
pub mod names;
pub mod ranking;
pub mod results;
pub mod template;
