//! The client against a real runtime, against the newest metadata, and against nodes that fail.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod faults;
mod observed;
mod reads;
mod refusals;
mod round_trips;
mod submits;
mod vectors;
mod writes;
