//! The programs as an operator runs them: real processes, real exit codes, what they print.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a failed unwrap fails the test, a skip says why"
)]

mod background;
mod base_image;
mod c2pa;
mod chain;
mod deploy;
mod doctor;
mod evaluate;
mod foreign_clips;
mod generator;
mod generator_kills;
mod image;
mod journal;
mod model;
mod operators_page;
mod printed;
mod process;
mod serve;
mod spans;
mod turbo_vision;
mod wallet;
