//! Workers: processes of any language that hold a model and are spoken to in JSON lines
//! (docs/worker-protocol.md is the contract).
//!
//! `pool` decides who computes and what replaces a worker that failed, `process` owns one child and its
//! pipes, `wire` is what the lines mean, `lines` bounds them, `environment` is what a child may inherit.

mod environment;
mod lines;
mod pool;
mod process;
mod wire;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

pub use environment::Environment;
pub use pool::{PoolStatus, WorkerPool};

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
    /// The variables that it gets; no others.
    pub environment: Environment,
}

impl WorkerConfig {
    /// One worker, two minutes to load, and this process's environment as far as it is allowed.
    #[must_use]
    pub fn new(name: impl Into<String>, program: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            program: program.into(),
            args: Vec::new(),
            count: 1,
            start_limit: Duration::from_secs(120),
            environment: Environment::inherited(&[]),
        }
    }
}
