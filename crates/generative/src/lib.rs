//! Subnet 34's generative miner: what validators ask it ([`server`]), the paid services that make pictures and videos
//! ([`service`]), and the tasks that are never lost and never paid twice ([`task`]).

mod modality;
pub mod server;
pub mod service;
pub mod task;
mod usd;
pub mod webhook;
pub mod worker;

pub use modality::{Modality, NotAModality};
pub use usd::{NotUsd, Usd};
