//! The operator's page: what the miners of this host did, what they earned, what they need.
//!
//! Everything is read from the miners' journals ([`Sources`]); [`Now`] is how things stand this moment, the live answers of
//! running miners included. Alerts are judged from it, and it is shown on the page and in the terminal.

pub mod alert;
pub mod metrics;
mod now;
mod page;
mod server;
mod sources;
pub mod top;

pub use now::{Connection, Counts, Last, MinerNow, Now, Queue, Run};
pub use server::{Alerts, Config, Program, Server, StartError, TOKEN_FILE, Token, TokenError};
pub use sources::{Miner, SourceError, Sources};
