//! Subnet 44's open track, where a model runs as a chute on chutes.ai.
//!
//! From a folder to a chute: what would be refused ([`lint`]), Hugging Face ([`hub`]), what a revision of a model is
//! called ([`names`]), the script that its chute is built from ([`template`]), the platform itself ([`chutes`]), or that
//! chute on this machine ([`local_chute`]), and what is committed on chain ([`commitment`]). Then what it is worth: what
//! a chute is asked and may answer ([`wire`]), how validators read that ([`documents`]), what score they give it
//! ([`ranking`], with the measures of `adit-scoring`), whether a model that they run again answers the same
//! ([`compliance`]), a [`rehearsal`] of all that, and what they published ([`results`]).

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
