//! Local servers that answer as real services do, errors included. For tests and demos.

pub mod docker_hub;
pub mod engine;
mod http1;
pub mod local_chain;
pub mod node;
pub mod registry;
pub mod video_host;

/// What a test lacks on this machine.
///
/// # Panics
/// Where `ADIT_CI=1`: there nothing may be skipped.
#[expect(clippy::print_stderr, reason = "a skipped test says why")]
pub(crate) fn skip(why: &str) {
    assert!(std::env::var_os("ADIT_CI").is_none_or(|value| value != "1"), "{why}");
    eprintln!("skipped: {why}");
}
