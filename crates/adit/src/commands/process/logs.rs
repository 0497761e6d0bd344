//! `logs`.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use adit_settings::Environment;

use super::Track;
use crate::cli::process::Logs;
use crate::failure::Failure;

/// Pause between two looks at a log that is followed.
const LOOK: Duration = Duration::from_millis(200);

pub(crate) fn run(track: &Track, env: &Environment, args: &Logs) -> Result<ExitCode, Failure> {
    let place = track.place(env)?;
    let Some((lines, mut follow)) = place.log(args.lines)? else {
        return Err(Failure::new(format!("No logs found for {}", track.miner)).hint(format!(
            "`{}` starts it; its log will be {}",
            track.command("start"),
            place.log_file().display()
        )));
    };
    print(&lines)?;
    if !args.follow {
        return Ok(ExitCode::SUCCESS);
    }
    loop {
        sleep(LOOK);
        print(&follow.read()?)?;
    }
}

/// As it is, byte for byte; where nobody reads, the end is as quiet as that of the other commands.
fn print(lines: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(lines).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            #[expect(clippy::exit, reason = "as a program in C would by its signal")]
            std::process::exit(141);
        }
        other => Ok(other?),
    }
}
