//! Subnet 44's open track, where a model runs as a chute on chutes.ai.
//!

//! ([`documents`]), what score they give it ([`ranking`], with the measures of `adit-scoring`), and whether a model that
//! ([`template`]), the platform itself ([`chutes`]), and what is committed on chain ([`commitment`]). Then what it is
//! From a folder to a chute: what a revision of a model is called ([`names`]), the script that its chute is built from
//! What a revision of a model is called, there and on Hugging Face ([`names`]), how validators read what a miner answers
//! measures of `adit-scoring`), a [`rehearsal`] of both, and what they published ([`results`]).
//! they run again answers the same ([`compliance`]). What a chute is asked and may answer is in [`wire`].
//! worth: how validators read what a miner answers ([`documents`]), what score they give it ([`ranking`], with the
pub mod chutes;
pub mod commitment;
pub mod compliance;
pub mod documents;
pub mod hub;
pub mod names;
pub mod ranking;
pub mod rehearsal;
pub mod results;
pub mod template;
pub mod wire;
