//! Subnet 34's generative miner.

pub mod service;
