//! The routes, without sockets: upstream's recorded answers, and what only ours does.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod contract;
mod gated;
mod operator;
mod setup;
mod vectors;
