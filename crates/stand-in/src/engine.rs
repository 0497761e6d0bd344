//! Not a stand-in but the real thing: the Docker Engine that tests may use.

/// Where it listens, as `ADIT_TEST_ENGINE` says.
///
/// # Panics
/// Where there is none and `ADIT_CI=1`.
#[must_use]
#[expect(clippy::print_stderr, reason = "a skipped test says why")]
pub fn host() -> Option<String> {
    let host = std::env::var("ADIT_TEST_ENGINE").ok();
    if host.is_none() {
        let why = "no Docker Engine: ADIT_TEST_ENGINE names none";
        assert!(std::env::var_os("ADIT_CI").is_none_or(|value| value != "1"), "{why}");
        eprintln!("skipped: {why}");
    }
    host
}
