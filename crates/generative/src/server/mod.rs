//! What validators ask the miner over HTTP, and what they are answered (generative reference, section 2).
//!
//! A 201 is a promise that counts against the miner where it is broken, and a refusal costs nothing. So a request is
//! refused at once where it could not be served, and answered with 201 only when its task is on the disk.

mod metrics;
mod request;
mod routes;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use adit_auth::epistula::Gate;
use adit_journal::{Journal, Refusals};

use crate::service::Services;
use crate::task::Store;

pub use request::{Asked, Prompt, Rejection};
pub use routes::router;

/// What the routes answer from.
#[derive(Debug)]
pub struct Miner {
    /// Who may ask. `None` lets everybody ask, for tests.
    pub gate: Option<Arc<Gate>>,
    /// The tasks.
    pub store: Store,
    /// Who makes what is asked for.
    pub services: Services,
    /// The most that may be spent on a UTC day, where there is a limit.
    pub daily_budget: Option<crate::Usd>,
    /// What the miner says of itself.
    pub about: About,
    /// Since when.
    pub started: Instant,
    /// Where what happens is recorded.
    pub journal: Option<Journal>,
    /// Who was refused at the gate since that was last recorded.
    pub refusals: Refusals,
}

/// What `/miner_info` says, besides services and counts.
#[derive(Debug, Clone)]
pub struct About {
    /// The miner's place on the subnet, once the chain has said it.
    pub uid: Arc<OnceLock<u16>>,
    /// Its hotkey (ss58).
    pub hotkey: String,
    /// `MINER_MAX_CONCURRENT_TASKS`.
    pub concurrency: usize,
    /// `MINER_TASK_TIMEOUT`.
    pub task_timeout: Duration,
    /// How long ended tasks are kept.
    pub keep: Duration,
}
