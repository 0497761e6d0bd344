//! Local servers that answer as real services do, errors included. For tests and demos.

pub mod engine;
pub mod local_chain;
pub mod node;
pub mod video_host;
