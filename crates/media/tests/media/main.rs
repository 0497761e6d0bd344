//! Clips and pictures over HTTP, through the crate's public surface.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::print_stderr, reason = "a skipped test says what was missing")]

mod clips;
mod frames;
mod odd;
mod pictures;
mod probe;
mod tables;
