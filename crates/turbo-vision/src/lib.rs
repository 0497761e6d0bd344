//! Subnet 44's open track, where a model runs as a chute on chutes.ai.
//!
//! ([`compliance`]), a [`rehearsal`] of all that, and what they published ([`results`]).
//! ([`hub`]), and how validators read what a miner answers ([`documents`]). What they make of it is `adit-scoring`'s.
//! ([`ranking`], with the measures of `adit-scoring`), whether a model that they run again answers the same
//! From a folder to a chute: what would be refused ([`lint`]), Hugging Face ([`hub`]), what a revision of a model is
//! So far: what a revision of a model is called, there and on Hugging Face ([`names`]), how it gets to Hugging Face
//! a chute is asked and may answer ([`wire`]), how validators read that ([`documents`]), what score they give it
//! called ([`names`]), the script that its chute is built from ([`template`]), the platform itself ([`chutes`]), or that
//! chute on this machine ([`local_chute`]), and what is committed on chain ([`commitment`]). Then what it is worth: what

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
