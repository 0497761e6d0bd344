//! `completions` and `man`.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::CommandFactory;
use clap_mangen::Man;

use crate::cli;
use crate::cli::shell::ShellCommand;
use crate::failure::Failure;

/// Of the program with these arguments.
pub(crate) fn run<P: CommandFactory>(command: &ShellCommand) -> Result<ExitCode, Failure> {
    let mut program = cli::command::<P>();
    let name = program.get_name().to_owned();
    // Made in memory: a pipe that nobody reads is no fault of the generator's.
    let mut made = Vec::new();
    match command {
        ShellCommand::Completions(args) => {
            clap_complete::generate(args.shell, &mut program, &name, &mut made);
        }
        ShellCommand::Man(args) => match &args.output {
            Some(folder) => {
                std::fs::create_dir_all(folder)?;
                clap_mangen::generate_to(program, folder)?;
                println!("The pages of {name} are in {}.", folder.display());
            }
            None => Man::new(program).render(&mut made)?,
        },
    }
    match io::stdout().write_all(&made) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}
