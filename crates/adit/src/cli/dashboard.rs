//! The arguments of `adit dashboard`, `adit top` and `adit alerts`.

use std::net::SocketAddr;

use clap::{Args, Subcommand};

use super::process::{ProcessCommand, SupervisedArgs};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Dashboard {
    #[command(flatten)]
    pub(crate) serve: ServePage,
    #[command(subcommand)]
    pub(crate) command: Option<DashboardCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DashboardCommand {
    /// The same as without a command: serve the page in the foreground
    #[command(hide = true)]
    Serve(ServePage),
    #[command(flatten)]
    Process(ProcessCommand),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ServePage {
    /// Listen here; port 0 takes a free one [setting: ADIT_DASHBOARD_LISTEN]
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// Print the address with the token in it, which opens the buttons, and serve nothing
    #[arg(long)]
    pub(crate) link: bool,
    /// End when nobody has looked for so many seconds
    #[arg(long, value_name = "SECONDS")]
    pub(crate) idle: Option<u64>,
    #[command(flatten)]
    pub(crate) supervised: SupervisedArgs,
}

#[derive(Debug, Args)]
pub(crate) struct Top {
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) every: u64,
    /// Print it once and end, as for a pipe
    #[arg(long)]
    pub(crate) once: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AlertsCommand {
    /// Print the rules that hold where none are written: the beginning of an alerts.toml
    #[command(after_help = "Examples:\n  adit alerts show > ~/.local/share/adit/alerts.toml")]
    Show,
    /// Judge by the rules now, and print what there is to tell
    #[command(after_help = "Nothing is posted. Exit code 1 where something is urgent.\n\n\
        Examples:\n  adit alerts now\n  adit alerts now --json")]
    Now(AlertsNow),
    /// Post a message to the webhook, to see that it arrives
    #[command(after_help = "Examples:\n  adit alerts test\n  ADIT_ALERT_WEBHOOK=https://… adit alerts test")]
    Test,
}

#[derive(Debug, Args)]
pub(crate) struct AlertsNow {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
