//! Subnet 34's generative miner: what validators ask it ([`server`]), the paid services that make pictures and videos
//! ([`service`]), and the tasks that are never lost and never paid twice ([`task`]).

pub mod check;
mod config;
mod modality;
mod presence;
pub mod rehearsal;
mod run;
pub mod server;
pub mod service;
pub mod task;
pub mod tier;
mod usd;
pub mod webhook;
pub mod worker;

pub use config::{ChainConfig, Config, ConfigError, database};
pub use modality::{Modality, NotAModality};
pub use presence::Absent;
pub use run::{Server, StartError};
pub use usd::{NotUsd, Usd};
