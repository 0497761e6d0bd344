//! Subnet 44's open track, where a model runs as a chute on chutes.ai.
//!
//! ([`commitment`]). Then what it is worth: what a chute is asked and may answer ([`wire`]), how validators read that
//! ([`documents`]), what score they give it ([`ranking`], with the measures of `adit-scoring`), and whether a model that
//! ([`documents`]), what score they give it ([`ranking`], with the measures of `adit-scoring`), whether a model that
//! ([`documents`]). What they make of it is `adit-scoring`'s.
//! ([`results`]).
//! ([`template`]), that chute on this machine ([`local_chute`]), and how validators read what a miner answers
//! From a folder to a chute: Hugging Face ([`hub`]), what a revision of a model is called ([`names`]), the script that
//! What a revision of a model is called, there and on Hugging Face ([`names`]), how validators read what a miner answers
//! What a revision of a model is called, there and on Hugging Face ([`names`]), the script that its chute is built from
//! its chute is built from ([`template`]), the platform itself ([`chutes`]), and what is committed on chain
//! they run again answers the same ([`compliance`]), a [`rehearsal`] of all that, and what they published
//! they run again answers the same ([`compliance`]). What a chute is asked and may answer is in [`wire`]; what is wrong
//! with a model folder before it is uploaded says [`lint`].

pub mod chutes;
pub mod commitment;
pub mod compliance;
pub mod documents;
pub mod hub;
pub mod lint;
pub mod local_chute;
pub mod names;
pub mod ranking;
pub mod rehearsal;
pub mod results;
pub mod template;
pub mod wire;
