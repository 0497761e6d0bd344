//! The arguments, apart from the commands that use them.

pub(crate) mod chain;
pub(crate) mod dashboard;
pub(crate) mod deploy;
pub(crate) mod doctor;
pub(crate) mod evaluate;
pub(crate) mod gascli;
pub(crate) mod model;
pub(crate) mod prefix;
pub(crate) mod process;
pub(crate) mod shell;
pub(crate) mod turbo_vision;
pub(crate) mod wallet;

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use adit_keys::Hotkey;
use adit_private_track::rehearsal::Sender;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use self::chain::{AxonCommand, CommitmentCommand, ShowMetagraph, SubnetCommand};
use self::dashboard::{AlertsCommand, Dashboard, Top};
use self::deploy::{DeployPtMiner, SpotCheck, SpotCheckRunner};
use self::doctor::Doctor;
use self::evaluate::Evaluate;
use self::model::ModelCommand;
use self::process::{ProcessCommand, SupervisedArgs};
use self::shell::ShellCommand;
use self::turbo_vision::TurboVisionCommand;
use self::wallet::{PasswordArgs, WalletCommand};

/// Reads the arguments; ends the program with a word to the operator where they are wrong, or ask for help.
pub(crate) fn parse<P: FromArgMatches>(command: clap::Command, arguments: &[OsString]) -> P {
    let matches = command.get_matches_from(arguments);
    P::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

/// A program's commands, with examples that say what is to be typed.
pub(crate) fn command<P: CommandFactory>() -> clap::Command {
    let command = P::command();
    let name = command.get_name().to_owned();
    with_examples(command, &name)
}

fn with_examples(command: clap::Command, path: &str) -> clap::Command {
    let command = command.mut_subcommands(|one| {
        let path = format!("{path} {}", one.get_name());
        with_examples(one, &path)
    });
    let program = path.split(' ').next().unwrap_or_default();
    let help = command.get_after_help().map(ToString::to_string);
    match help.map(|help| help.replace("{it}", path).replace("{program}", program)) {
        Some(help) => command.after_help(help),
        None => command,
    }
}

/// `adit`: what the guides leave to others.
#[derive(Debug, Parser)]
#[command(name = "adit", version, about = "Mine Bittensor's video subnets")]
pub(crate) struct Adit {
    /// Say more: -v for what happens, -vv for details
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub(crate) verbose: u8,
    #[command(subcommand)]
    pub(crate) command: AditCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AditCommand {
    /// Rehearse the miners on this machine against a drawn match, and show what scored what
    Demo,
    /// Check a miner from clock to socket, and say what to type where something is wrong
    #[command(
        after_help = "Run it on the miner's host, with the settings that the miner has. It takes less than 5 s and \
        changes nothing; a running miner gets one small challenge, the registry of the settings a login.\n\
        Exit code 1 where a check fails; a warning is none.\n\n\
        Examples:\n  \
        adit doctor\n  \
        adit doctor gascli\n  \
        adit doctor sv --netuid 44 --wallet.name main --wallet.hotkey miner1 --json"
    )]
    Doctor(Doctor),
    /// Serve the operator's page: what the miners of this host did, what they earned, what they need
    #[command(
        after_help = "It shows the journals of ADIT_DATA_DIR, posts alerts where ADIT_ALERT_WEBHOOK is set, and has figures for \
        Prometheus at /metrics. On this host everybody may read it; buttons need the address that --link prints. Where it \
        listens on another address, so does reading.\n\n\
        Examples:\n  \
        adit dashboard\n  \
        adit dashboard --link\n  \
        adit dashboard start      # in the background, as a miner\n  \
        ssh -L 8700:127.0.0.1:8700 miner-host   # then open it here"
    )]
    Dashboard(Dashboard),
    /// Show how the miners of this host stand, in the terminal
    #[command(after_help = "Examples:\n  adit top\n  adit top --once")]
    Top(Top),
    /// Show the alerts' rules, judge by them, and try the webhook
    #[command(subcommand)]
    Alerts(AlertsCommand),
    /// Make keys, list and check wallets, sign and verify
    #[command(subcommand)]
    Wallet(WalletCommand),
    /// Register a hotkey on a subnet, and show how it stands
    #[command(subcommand, visible_alias = "subnets")]
    Subnet(SubnetCommand),
    /// Show a subnet's neurons: stakes, permits, incentives, axons
    Metagraph(ShowMetagraph),
    /// Publish where a miner answers, show it, and try to reach it
    #[command(subcommand)]
    Axon(AxonCommand),
    /// Commit a text on chain, in the open or time-locked, and show what is there
    #[command(subcommand)]
    Commitment(CommitmentCommand),
    #[command(flatten)]
    Shell(ShellCommand),
}

/// `sv` and `pv`: the miners of subnet 44.
#[derive(Debug, Parser)]
#[command(
    name = "sv",
    version,
    about = "Mine subnet 44 (Score): the private track and Turbo Vision",
    after_help = "Settings come from the environment and the nearest .env; docs/environment.md lists them."
)]
pub(crate) struct Sv {
    /// Say more: -v for what happens, -vv for details
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub(crate) verbose: u8,
    #[command(subcommand)]
    pub(crate) command: SvCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SvCommand {
    /// Run the private-track miner in the foreground
    #[command(after_help = "Examples:\n  \
        sv serve\n  \
        sv serve --port 9000\n  \
        BLACKLIST_ENABLED=false VERIFY_ENABLED=false sv serve   # local testing only")]
    Serve(Serve),
    /// Build the miner's image, push it, share it with Score, commit it on chain, start it
    #[command(
        visible_alias = "miner",
        after_help = "Each step is read back. What holds already is not done again: where a step fails, the same \
        command goes on from there.\n\n\
        Examples:\n  \
        sv -v deploy-pt-miner --tag v1.0.0\n  \
        sv -v deploy-pt-miner --tag v1.0.0 --no-share --no-commit   # build, push, start\n  \
        sv -v deploy-pt-miner --tag v1.0.0 --no-push --no-start     # build only\n  \
        pv miner --tag v1.0.0 --registry ghcr --dry-run"
    )]
    DeployPtMiner(Box<DeployPtMiner>),
    /// Pull the miner's image and have it answer again what was answered live, as Score's spot check does
    #[command(
        after_help = "Prints the checker's line of JSON for each challenge. Exit code 1 where one fails, or \
        where the predictions are not the same, byte for byte.\n\n\
        Examples:\n  \
        sv spot-check --tag v1.0.0\n  \
        sv spot-check --tag v1.0.0 --challenges 10 --json"
    )]
    SpotCheck(SpotCheck),
    /// The checker within a spot check's container
    #[command(hide = true)]
    SpotCheckRunner(SpotCheckRunner),
    /// Ask the miner on this host whether it is ready: what the image's HEALTHCHECK runs
    #[command(hide = true)]
    Healthcheck(Healthcheck),
    /// Send a miner challenges as validators do, and score what it answers
    #[command(after_help = "Examples:\n  \
        sv rehearse clip.mp4 --truth clip.json\n  \
        sv rehearse https://scoredata.me/chunks/x.mp4 --miner http://203.0.113.7:8000\n  \
        sv rehearse clip.mp4 --repeat 5 --spot-check --json")]
    Rehearse(Rehearse),
    /// Have the model answer labelled clips, score it as validators do, and find better thresholds
    #[command(
        after_help = "Which model: that of `sv serve`. The labels of clip.mp4 are in clip.json, in the challenge's form or in \
        SoccerNet's; docs/evaluate.md has both.\n\
        Exit code 1 where something in the folder took no part, 2 where nothing could be evaluated.\n\n\
        Examples:\n  \
        sv evaluate --clips ./clips\n  \
        sv evaluate --clips ./clips --model ./model --report report.html\n  \
        sv evaluate --clips ./clips --model ./model --write\n  \
        sv evaluate --clips ./soccernet --map DRIVE=take_on --folds 10 --json"
    )]
    Evaluate(Evaluate),
    /// List the actions that validators score, with weights and tolerances
    Actions(Actions),
    /// Look at a model in ONNX before a miner relies on it
    #[command(subcommand)]
    Model(ModelCommand),
    #[command(flatten)]
    TurboVision(TurboVisionCommand),
    #[command(flatten)]
    Process(ProcessCommand),
    #[command(flatten)]
    Shell(ShellCommand),
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Listen on this port; 0 takes a free one [setting: MINER_PORT]
    #[arg(long, value_name = "PORT")]
    pub(crate) port: Option<u16>,
    #[command(flatten)]
    pub(crate) supervised: SupervisedArgs,
}

#[derive(Debug, Args)]
pub(crate) struct Healthcheck {
    /// The miner's port, which in the image no setting moves
    #[arg(long, value_name = "PORT", default_value_t = 8000)]
    pub(crate) port: u16,
}

#[derive(Debug, Args)]
pub(crate) struct Rehearse {
    /// A clip on disk, or its URL
    pub(crate) clip: String,
    /// What happens in the clip: JSON, [{"frame": 45, "action": "pass"}, …]
    #[arg(long, value_name = "FILE")]
    pub(crate) truth: Option<PathBuf>,
    /// The miner's base URL [default: this host's MINER_PORT]
    #[arg(long, value_name = "URL")]
    pub(crate) miner: Option<String>,
    /// The hotkey that challenges are addressed to [default: this host's own]
    #[arg(long, value_name = "SS58")]
    pub(crate) miner_hotkey: Option<Hotkey>,
    /// Hotkey file to sign with [default: a new key, which no stake table has]
    #[arg(long, value_name = "FILE")]
    pub(crate) signer: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) password: PasswordArgs,
    /// Whose challenges to send
    #[arg(long = "as", value_name = "SENDER", value_enum, default_value = "all")]
    pub(crate) sender: SenderArg,
    /// Rounds; every answer must hold the same predictions, byte for byte
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) repeat: u32,
    /// Run Score's spot check afterwards: 120 s, scores within 0.02. With a URL: of the miner there
    #[arg(long, value_name = "URL", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub(crate) spot_check: Option<String>,
    /// This host's address at which the miner can fetch a clip on disk
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub(crate) serve_on: IpAddr,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum SenderArg {
    /// Fiber's client
    Fiber,
    /// Score's validator of the guide's time
    DocumentEra,
    /// Score's validator since
    Head,
    /// Each of them
    All,
}

impl SenderArg {
    pub(crate) fn senders(self) -> Vec<Sender> {
        match self {
            Self::Fiber => vec![Sender::Fiber],
            Self::DocumentEra => vec![Sender::DocumentEra],
            Self::Head => vec![Sender::Head],
            Self::All => Sender::ALL.to_vec(),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Actions {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
