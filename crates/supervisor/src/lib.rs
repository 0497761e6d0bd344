//! A miner as a background process: start, stop, restart, status, logs.
//!
//! Each miner has a [`Place`]: a folder with its state and its log. Whoever holds the lock on the state file is its
//! supervisor, a small process that starts the miner, keeps its output, and starts it again where it ends by itself:
//! so there is no number of a process on disk that could be stale, and two starts are one miner. The state is written
//! over in place, which a full disk does not prevent.
//!
//! A supervisor is this same program, called with a command of its own: [`Place::start`] spawns it, and the command
//! calls [`supervise`]. The miner says that it is ready with [`notify_ready`], by the protocol of systemd.
//!
//! | from | to | when |
//! |---|---|---|
//! | – | starting | [`Place::start`], [`Place::restart`] |
//! | starting | online | the miner says that it is ready |
//! | online | waiting | it ended by itself; after the pause, starting |
//! | starting, waiting | errored | it was never ready, or the [`Policy`] is exhausted |
//! | any | stopping | [`Place::stop`]; when the miner has ended, stopped |

mod control;
mod log;
mod notify;
mod place;
mod processes;
mod state;
mod supervise;

pub use control::{ControlError, Started, Stop};
pub use log::{Follow, MAX_FILE};
pub use notify::{end_with, notify_ready};
pub use place::{NameError, Place};
pub use state::{End, Phase, State, Status};
pub use supervise::{Miner, Policy, SuperviseError, supervise};
