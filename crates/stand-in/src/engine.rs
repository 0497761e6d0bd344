//! Not a stand-in but the real thing: the Docker Engine that tests may use, which `ADIT_TEST_ENGINE` names.
//! `scripts/with-docker-engine` starts one of its own for a command. Tests without it skip and say so; with
//! `ADIT_CI=1` they fail.

use crate::skip;

/// The engine's address, such as `unix:///run/docker.sock`.
///
/// # Panics
/// Where none is named and `ADIT_CI=1`.
#[must_use]
pub fn host() -> Option<String> {
    let named = std::env::var("ADIT_TEST_ENGINE").ok().filter(|host| !host.is_empty());
    if named.is_none() {
        skip("no Docker Engine; ADIT_TEST_ENGINE names one, and scripts/with-docker-engine starts one");
    }
    named
}
