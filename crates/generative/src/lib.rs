//! Subnet 34's generative track.

pub mod task;
