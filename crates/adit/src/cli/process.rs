//! The arguments of the commands that start a miner in the background and look after it, the same for every track.
//! In the examples `{it}` stands for the command with the words before it, which differ.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum ProcessCommand {
    /// Start the miner in the background, and come back when it is ready
    #[command(
        after_help = "It outlives the terminal, and is started again where it ends by itself: after 0.5 s, then after \
        twice the pause, up to 30 s; ten ends in a row of less than 10 s are a crash loop and end in `errored`. A \
        second start changes nothing. Several miners of one user have several names: ADIT_PROCESS_NAME.\n\
        Exit code 0: it is ready; 1: it is not, and the last lines that it wrote say why.\n\n\
        Examples:\n  \
        {it}\n  \
        {it} --wait 300\n  \
        {it} -- --help    # what follows -- is for `serve`"
    )]
    Start(Start),
    /// Let the miner end what it has begun, and stop it
    #[command(after_help = "Examples:\n  {it}\n  {it} --now")]
    Stop(Stop),
    /// Stop the miner and start it again, with settings read anew; its tasks are gone on with
    #[command(after_help = "Examples:\n  {it}\n  {it} --wait 300")]
    Restart(Restart),
    /// Stop the miner and forget its process: state, counts and log. Its tasks and media stay
    #[command(after_help = "Examples:\n  {it}\n  {it} --now")]
    Delete(Stop),
    /// Show how the miner's process stands
    #[command(after_help = "Exit code 0: it is online; 1: it is not.\n\nExamples:\n  {it}\n  {it} --json")]
    Status(Status),
    /// Show the miner's log
    #[command(after_help = "10 MiB a file, five of them; `status` says where.\n\n\
        Examples:\n  {it}\n  {it} --lines 500\n  {it} --follow")]
    Logs(Logs),
    /// Print a systemd unit that runs the miner in place of `start`
    #[command(after_help = "Examples:\n  \
        {it} | sudo tee /etc/systemd/system/miner.service\n  \
        {it} --user > ~/.config/systemd/user/miner.service")]
    SystemdUnit(SystemdUnit),
    /// What `start` leaves running
    #[command(hide = true)]
    Supervise(Supervise),
}

#[derive(Debug, Args)]
pub(crate) struct Start {
    /// Seconds to wait until it is ready
    #[arg(long, value_name = "SECONDS", default_value_t = 90)]
    pub(crate) wait: u32,
    /// Arguments for `serve`
    #[arg(last = true, value_name = "ARGUMENTS")]
    pub(crate) serve: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct Restart {
    /// Seconds to wait until it has ended and is ready again
    #[arg(long, value_name = "SECONDS", default_value_t = 240)]
    pub(crate) wait: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Stop {
    /// End it at once; what it was doing is gone on with at the next start
    #[arg(long)]
    pub(crate) now: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// The last so many lines
    #[arg(short = 'n', long, value_name = "N", default_value_t = 50)]
    pub(crate) lines: usize,
    /// Go on with what comes, until Ctrl-C
    #[arg(short, long)]
    pub(crate) follow: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SystemdUnit {
    /// For the user's own systemd, not the system's
    #[arg(long)]
    pub(crate) user: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Supervise {
    /// Folder of the miners' processes
    #[arg(long, value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// The miner's name
    #[arg(long)]
    pub(crate) name: String,
    /// Arguments for `serve`
    #[arg(last = true)]
    pub(crate) serve: Vec<OsString>,
}

/// Who has started a `serve`.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct SupervisedArgs {
    /// Number of the supervisor's process, with which this one ends
    #[arg(long, hide = true, value_name = "PID")]
    pub(crate) supervised_by: Option<u32>,
}

impl SupervisedArgs {
    /// To be called before there are threads.
    pub(crate) fn end_with_supervisor(self) -> std::io::Result<()> {
        self.supervised_by.map_or(Ok(()), adit_supervisor::end_with)
    }
}
