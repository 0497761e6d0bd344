//! Tasks: what a validator asked for and how far it has come, on disk at every step.
//!
//! [`Store`] is for the miner: it accepts tasks, hands each to one worker at a time as a [`Claim`], and lets happen to it
//! what [`Task::apply`] allows. [`Ledger`] is for whoever looks at them. Both work on SQLite and on PostgreSQL, where
//! several hosts serve one queue. Nothing here calls a provider or a validator.
//!
//! Money: [`Store::call`] takes a call's price from the day's budget and writes down that the call is about to be made; a
//! crash after that leaves the task [`State::Unknown`], never to be called again unasked.

mod accept;
mod cleanup;
mod clock;
mod database;
mod error;
mod hosts;
mod ledger;
mod machine;
mod media;
mod output;
mod row;
mod schema;
mod spans;
mod steps;
mod store;
#[cfg(test)]
mod tests;

pub use database::Address;
pub use error::StoreError;
pub use ledger::{Ledger, ValidatorStats};
pub use machine::{
    Answer, Day, Event, HORIZON_MS, Illegal, Job, JobTooLong, Request, State, Task, TaskId, UnixMs,
    UnknownWord,
};
pub use output::{Media, MediaWriter, OutputDir};
pub use store::{Claim, Config, Figures, Store};
