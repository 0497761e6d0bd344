//! What `sv`, `pv` and `gascli` are: the name under which the `adit` beside them runs.

#![expect(clippy::print_stderr, reason = "a program says why it does not start")]

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

/// Becomes `adit` under `name`; comes back only where that fails.
pub(crate) fn run(name: &str) -> ExitCode {
    let adit = match std::env::current_exe() {
        Ok(shim) => shim.with_file_name("adit"),
        Err(error) => {
            eprintln!("error: cannot tell where {name} is installed: {error}");
            return ExitCode::FAILURE;
        }
    };
    let error = Command::new(&adit).arg0(name).args(std::env::args_os().skip(1)).exec();
    eprintln!("error: cannot run {}: {error}", adit.display());
    eprintln!("hint: {name} and adit belong into one directory; install both again");
    ExitCode::FAILURE
}
