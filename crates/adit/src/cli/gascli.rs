//! The arguments of `gascli`.

use std::path::PathBuf;

use adit_generative::task::{State, TaskId};
use adit_generative::{Modality, Usd};
use adit_provenance::Era;
use chrono::{DateTime, Utc};
use clap::{Args, Parser, Subcommand, ValueEnum};

use super::process::{ProcessCommand, SupervisedArgs};
use super::shell::ShellCommand;
use super::wallet::{PasswordArgs, WalletArgs};

/// `gascli`: the generative miner of subnet 34.
#[derive(Debug, Parser)]
#[command(
    name = "gascli",
    version,
    about = "Mine subnet 34 (BitMind): the generative track",
    after_help = "Settings come from the environment and the nearest .env.gen_miner; docs/environment.md lists them."
)]
pub(crate) struct Gascli {
    #[command(subcommand)]
    pub(crate) command: GascliCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GascliCommand {
    /// The miner that generates pictures and clips
    #[command(
        subcommand,
        visible_aliases = ["gen", "g"],
        after_help = "The first letters of a command will do where they are no other's.\n\n\
        Examples:\n  \
        gascli generator info\n  \
        gascli generator start\n  \
        gascli g status\n  \
        gascli g logs --follow"
    )]
    Generator(GeneratorCommand),
    #[command(flatten)]
    Shell(ShellCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum GeneratorCommand {
    #[command(flatten)]
    Process(ProcessCommand),
    /// Run the generative miner in the foreground
    #[command(
        after_help = "Settings come from the environment and the nearest .env.gen_miner (copy .env.gen_miner.template). \
        SIGTERM lets paid calls end; what is left is gone on with at the next start.\n\n\
        Examples:\n  \
        gascli generator serve\n  \
        BT_AXON_PORT=9000 gascli generator serve"
    )]
    Serve(Serve),
    /// Play the validator to a miner of one's own: request, paid call, C2PA check, webhook
    #[command(
        after_help = "A whole miner runs for it on loopback, apart from the one that serves: no chain, a task store \
        of its own. The services that the settings choose are called and paid, after a question; --stand-in costs \
        nothing. Exit code 1 where a validator would not credit a task.\n\n\
        Examples:\n  \
        gascli generator rehearse --stand-in\n  \
        gascli generator rehearse --modality image --tier 2K\n  \
        gascli generator rehearse --count 3 --budget 2 --yes --output rehearsed --json"
    )]
    Rehearse(Rehearse),
    /// Show the configuration, who makes what, and how every API key stands, without printing one
    #[command(after_help = "Examples:\n  \
        gascli generator info\n  \
        gascli generator info --offline --json")]
    Info(Info),
    /// Show tasks that are not delivered, and those that never were: the dead letters
    #[command(after_help = "Examples:\n  \
        gascli generator deliveries\n  \
        gascli generator deliveries --state refused,uncertain\n  \
        gascli generator deliveries --all --limit 500 --json\n  \
        gascli generator deliveries --validators")]
    Deliveries(Deliveries),
    /// Have a dead letter delivered after all, by the miner that runs or the next that starts
    #[command(
        after_help = "The validator decides: one that has closed the task answers that it knows none.\n\n\
        Examples:\n  \
        gascli generator redeliver 5f2b4c1e-6c1d-4f7e-9f55-3a1f0c6f2f10"
    )]
    Redeliver(Redeliver),
    /// Say whether validators would accept a file's C2PA data, and what would make them
    #[command(
        name = "verify-c2pa",
        after_help = "Exit code 0: a validator would accept every file; 1: it would refuse one; 2: a file could not be \
        read, there are no trust anchors, or the arguments are wrong.\n\n\
        Examples:\n  \
        gascli generator verify-c2pa picture.png\n  \
        gascli generator verify-c2pa clip.mp4 --verbose\n  \
        gascli generator verify-c2pa /tmp/generated_content --era all\n  \
        gascli generator verify-c2pa clip.mp4 --sent-at 2026-08-21T12:00:00Z\n  \
        curl -s https://example.com/clip.mp4 | gascli generator verify-c2pa - --json"
    )]
    VerifyC2pa(VerifyC2pa),
    /// List and update the certificates that validators trust
    #[command(subcommand)]
    TrustAnchors(TrustAnchorsCommand),
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(crate) wallet: WalletArgs,
    #[command(flatten)]
    pub(crate) password: PasswordArgs,
    #[command(flatten)]
    pub(crate) supervised: SupervisedArgs,
}

#[derive(Debug, Args)]
pub(crate) struct Rehearse {
    /// Call services that stand in for the paid ones and sign under an authority made for it
    #[arg(long)]
    pub(crate) stand_in: bool,
    /// What to ask for [default: all that the settings choose a service for]
    #[arg(long, value_name = "image|video")]
    pub(crate) modality: Option<Modality>,
    /// The tier that is asked for: 1K, 2K, 4K of pictures, 480p, 720p, 1080p of videos [default: the lowest]
    #[arg(long, value_name = "TIER", value_parser = ["1K", "2K", "4K", "480p", "720p", "1080p"])]
    pub(crate) tier: Option<String>,
    /// Whose requests: those of the guide's time name no tier
    #[arg(long, value_enum, default_value = "head")]
    pub(crate) era: EraArg,
    /// What to draw
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "a lighthouse on a cliff at dusk, waves below, photograph"
    )]
    pub(crate) prompt: String,
    /// Rounds
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) count: u32,
    /// The most that it may cost, in USD
    #[arg(long, value_name = "USD")]
    pub(crate) budget: Option<Usd>,
    /// Keep the media in this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    /// Pay without asking
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Info {
    /// Do not ask the providers whether they take the keys
    #[arg(long)]
    pub(crate) offline: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Deliveries {
    /// Tasks in these states only, separated by commas
    #[arg(long, value_name = "STATES", value_delimiter = ',', conflicts_with_all = ["all", "validators"])]
    pub(crate) state: Vec<State>,
    /// Tasks in every state
    #[arg(long, conflicts_with = "validators")]
    pub(crate) all: bool,
    /// How each validator's tasks stand
    #[arg(long)]
    pub(crate) validators: bool,
    /// The newest so many
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) limit: u32,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Redeliver {
    /// The task's id, as `deliveries` shows it
    pub(crate) task: TaskId,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyC2pa {
    /// Pictures and clips; of a directory all that are in it; - for standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Show everything that was found, and the tree of manifests
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// Print JSON: a list of {file, result}, with --verbose the manifests too
    #[arg(long)]
    pub(crate) json: bool,
    /// Whose rules
    #[arg(long, value_enum, default_value = "head")]
    pub(crate) era: EraArg,
    /// When the challenge was sent (RFC 3339): what was signed over ten minutes before is refused
    #[arg(long, value_name = "TIME")]
    pub(crate) sent_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum EraArg {
    /// Validators of the guide's time (4.7.6, May 2026)
    Document,
    /// Validators of today (4.9.9, August 2026)
    Head,
    /// Each of them
    All,
}

impl EraArg {
    pub(crate) fn eras(self) -> &'static [Era] {
        match self {
            Self::Document => &[Era::Document],
            Self::Head => &[Era::Head],
            Self::All => &Era::ALL,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum TrustAnchorsCommand {
    /// Show the certificates, whose they are and until when they are valid
    #[command(after_help = "Examples:\n  \
        gascli generator trust-anchors list\n  \
        gascli generator trust-anchors list --json")]
    List(ListTrustAnchors),
    /// Fetch the files from the subnet's repository; what does not match its pinned fingerprint is refused
    #[command(
        after_help = "ADIT_TRUST_ANCHORS_URL names another place to fetch from. A file that Adit does not pin is \
        named, with the fingerprint of its certificate, in ADIT_EXTRA_TRUST_ANCHORS.\n\n\
        Examples:\n  \
        gascli generator trust-anchors update\n  \
        ADIT_EXTRA_TRUST_ANCHORS=new.pem@2cabea… gascli generator trust-anchors update"
    )]
    Update,
}

#[derive(Debug, Args)]
pub(crate) struct ListTrustAnchors {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
