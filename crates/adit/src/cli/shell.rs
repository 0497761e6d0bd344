//! The arguments of the commands that tell shells and `man` what a program can do.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use clap_complete::Shell;

#[derive(Debug, Subcommand)]
pub(crate) enum ShellCommand {
    /// Print what makes a shell complete this program's commands
    #[command(after_help = "Examples:\n  \
        {it} bash > ~/.local/share/bash-completion/completions/{program}\n  \
        {it} zsh > ~/.zfunc/_{program}\n  \
        {it} fish > ~/.config/fish/completions/{program}.fish")]
    Completions(Completions),
    /// Print this program's manual page, or write those of all its commands
    #[command(after_help = "Examples:\n  {it} | man -l -\n  {it} --output ~/.local/share/man/man1")]
    Man(Man),
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: Shell,
}

#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Write a page for each command into this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
}
