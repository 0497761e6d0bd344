//! Local servers that answer as real services do, errors included. For tests and demos.

pub mod chutes;
pub mod docker_hub;
pub mod engine;
mod http1;
pub mod hub;
pub mod local_chain;
pub mod media;
pub mod node;
pub mod oip;
pub mod postgres;
pub mod providers;
pub mod registry;
pub mod video_host;

use std::path::{Path, PathBuf};

/// A folder of `../shared` beside this repository, whose files are not ours to commit, where it is there; else
/// says what is missing.
///
/// # Panics
/// Where there is none and `ADIT_CI=1`.
#[must_use]
pub fn shared_folder(name: &str) -> Option<PathBuf> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")).join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    skip(&format!("no {}", folder.display()));
    None
}

/// What a test lacks on this machine.
///
/// # Panics
/// Where `ADIT_CI=1`: there nothing may be skipped.
#[expect(clippy::print_stderr, reason = "a skipped test says why")]
pub(crate) fn skip(why: &str) {
    assert!(std::env::var_os("ADIT_CI").is_none_or(|value| value != "1"), "{why}");
    eprintln!("skipped: {why}");
}
