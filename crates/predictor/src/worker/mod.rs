//! Workers: processes of any language that hold a model and are spoken to in JSON lines
//! (docs/worker-protocol.md is the contract).
//!
//! `pool` decides who computes and what replaces a worker that failed, `process` owns one child and its
//! pipes, `pixels` sends frames, `memory` is where they lie for a worker that maps them, `wire` is what the lines mean,
//! `lines` bounds them, `environment` and `gpus` are what a child may inherit and see.

mod environment;
mod gpus;
mod lines;
mod memory;
mod pixels;
mod pool;
mod process;
mod wire;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

pub use environment::Environment;
pub use gpus::{Gpus, GpusError};
pub use pool::{PoolStatus, WorkerPool};

use crate::Wanted;

/// How workers are started.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// What the log calls them, such as the model's file.
    pub name: String,
    /// The program, found on the `PATH` of [`environment`](Self::environment) unless it has a slash.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// How many are kept, hence how many requests are computed at once. At least 1.
    pub count: usize,
    /// How long one may take to load its model.
    pub start_limit: Duration,
    /// How long before a request's deadline its last frame must have arrived. When it has not, the clip is to
    /// blame, and the worker that waits for it has this long to answer `abort`: at the deadline it is killed.
    pub clip_margin: Duration,
    /// The variables that it gets; no others, but for those about [`gpus`](Self::gpus).
    pub environment: Environment,
    /// Which GPUs each of them sees.
    pub gpus: Gpus,
    /// What it will be asked, which is what a warm-up asks it. One that needs images is asked for objects.
    pub wanted: Wanted,
    /// How long one that answers pings may have nothing to do before it is asked whether it is well.
    pub ping_every: Duration,
    /// How long it may take to answer that; then it is replaced.
    pub ping_limit: Duration,
    /// After how many answers it is replaced by a fresh one; 0 for never. The old one ends first, since a GPU seldom
    /// has room for two models, and only while another worker is up, where there is more than one. One worker at a time.
    pub recycle: u64,
}

impl WorkerConfig {
    /// One worker, and this process's environment as far as it is allowed. It may load for 300 s, as a spot
    /// check waits so long for a miner to be ready (private-track reference, section 7); the clip's margin is
    /// half a second. It is asked for soccer actions, sees this process's GPUs, and is never recycled.
    #[must_use]
    pub fn new(name: impl Into<String>, program: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            program: program.into(),
            args: Vec::new(),
            count: 1,
            start_limit: Duration::from_secs(300),
            clip_margin: Duration::from_millis(500),
            environment: Environment::chosen_from(std::env::vars_os(), &[]),
            gpus: Gpus::Inherited,
            wanted: Wanted::SoccerActions,
            ping_every: Duration::from_secs(5),
            ping_limit: Duration::from_secs(5),
            recycle: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_may_load_for_as_long_as_a_spot_check_waits() {
        assert_eq!(WorkerConfig::new("model", "python3").start_limit, Duration::from_secs(300));
    }
}
