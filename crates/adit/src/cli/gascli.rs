//! The arguments of `gascli`.

use std::path::PathBuf;

use adit_provenance::Era;
use chrono::{DateTime, Utc};
use clap::{Args, Parser, Subcommand, ValueEnum};

/// `gascli`: the generative miner of subnet 34.
#[derive(Debug, Parser)]
#[command(
    name = "gascli",
    version,
    about = "Mine subnet 34 (BitMind): the generative track",
    after_help = "Settings come from the environment and the nearest .env; docs/environment.md lists them."
)]
pub(crate) struct Gascli {
    #[command(subcommand)]
    pub(crate) command: GascliCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GascliCommand {
    /// The miner that generates pictures and clips
    #[command(subcommand, visible_aliases = ["gen", "g"])]
    Generator(GeneratorCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum GeneratorCommand {
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
