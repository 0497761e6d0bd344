//! The services against a stand-in of their providers.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod errors;
mod fetch;
mod selection;
mod setup;
mod vectors;
