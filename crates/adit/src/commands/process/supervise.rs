//! What `start` leaves running.

use std::ffi::OsString;
use std::process::ExitCode;

use adit_supervisor::{Miner, Place, Policy, supervise};

use super::Track;
use crate::cli::process::Supervise;
use crate::failure::Failure;

pub(crate) fn run(track: &Track, args: &Supervise) -> Result<ExitCode, Failure> {
    let place = Place::new(&args.folder, &args.name).map_err(Failure::new)?;
    let mut arguments = track.words("serve");
    arguments.extend(["--supervised-by".into(), std::process::id().to_string().into()]);
    arguments.extend(args.serve.iter().cloned());
    let name = OsString::from(track.program);
    let miner = Miner { program: std::env::current_exe()?, name, arguments };
    // One thread: its children end with the thread that started them.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(supervise(&place, &miner, Policy::default())).map_err(Failure::new)?;
    Ok(ExitCode::SUCCESS)
}
