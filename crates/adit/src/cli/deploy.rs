//! The arguments of `sv deploy-pt-miner` and `sv spot-check`.

use std::path::PathBuf;
use std::time::Duration;

use adit_chain::commitment::BLOCK_TIME;
use adit_settings::{Environment, var};
use clap::Args;

use super::chain::{NetuidArgs, NetworkArgs};
use super::wallet::{PasswordArgs, WalletArgs};
use crate::failure::Failure;

/// What a reveal may take beyond its round: a pulse must come on chain, and a block with it.
pub(super) const REVEAL: u64 = BLOCK_TIME.as_secs() + 180;

/// Which image of which registry.
#[derive(Debug, Clone, Args)]
pub(crate) struct ImageArgs {
    /// Docker image tag (e.g., v1.0.0, latest)
    #[arg(long)]
    pub(crate) tag: String,
    /// dockerhub, ghcr or a registry's host:port [setting: ADIT_REGISTRY]
    #[arg(long, value_name = "REGISTRY")]
    registry: Option<String>,
}

impl ImageArgs {
    /// The settings with what the arguments say of the registry.
    pub(crate) fn settings(&self, env: &Environment) -> Environment {
        match &self.registry {
            Some(registry) => env.with(&var::REGISTRY, registry),
            None => env.clone(),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct DeployPtMiner {
    #[command(flatten)]
    pub(crate) image: ImageArgs,
    /// Skip pushing, and with it sharing and committing
    #[arg(long)]
    pub(crate) no_push: bool,
    /// Skip giving Score read access (for testing)
    #[arg(long)]
    pub(crate) no_share: bool,
    /// Skip on-chain commitment
    #[arg(long)]
    pub(crate) no_commit: bool,
    /// Skip starting the container
    #[arg(long)]
    pub(crate) no_start: bool,
    /// The Manifest's element that this miner answers for [default: its only private one, else asked for]
    #[arg(long, value_name = "ID")]
    pub(crate) element_id: Option<String>,
    /// Push an image that has more than 30 GB unpacked; what Score counts are its compressed layers
    #[arg(long)]
    pub(crate) allow_large: bool,
    /// Push to a repository that everybody can pull from
    #[arg(long)]
    pub(crate) allow_public: bool,
    /// Run the spot check before the commitment, without asking
    #[arg(long, conflicts_with_all = ["no_push", "no_commit"])]
    pub(crate) spot_check: bool,
    /// Show the plan and what would be sent, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print JSON; asks nothing
    #[arg(long)]
    pub(crate) json: bool,
    /// Folder that is built from [default: the nearest one upwards with the Dockerfile]
    #[arg(long, value_name = "DIR")]
    pub(crate) context: Option<PathBuf>,
    /// The Dockerfile, in that folder
    #[arg(long, value_name = "NAME", default_value = "Dockerfile.miner")]
    pub(crate) dockerfile: String,
    /// A value for an ARG of the Dockerfile, such as RUNTIME_IMAGE; never a secret, since it stays in the image
    #[arg(long, value_name = "NAME=VALUE", value_parser = build_arg)]
    pub(crate) build_arg: Vec<(String, String)>,
    /// How long the commitment may take to be revealed, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = REVEAL)]
    pub(crate) reveal_timeout: u64,
    #[command(flatten)]
    pub(crate) netuid: NetuidArgs,
    #[command(flatten)]
    pub(crate) wallet: WalletArgs,
    #[command(flatten)]
    pub(crate) password: PasswordArgs,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
}

fn build_arg(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("it is not NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl DeployPtMiner {
    pub(crate) fn reveal(&self) -> Duration {
        Duration::from_secs(self.reveal_timeout)
    }

    /// Whether something is committed, for which there must be something to commit.
    pub(crate) fn commits(&self) -> bool {
        !self.no_push && !self.no_commit
    }

    pub(crate) fn root(&self) -> Result<PathBuf, Failure> {
        if let Some(folder) = &self.context {
            return Ok(folder.clone());
        }
        let here = std::env::current_dir()?;
        let program = std::env::current_exe()?;
        let found = [here.as_path(), program.as_path()]
            .iter()
            .find_map(|start| adit_settings::find_upwards(start, &self.dockerfile));
        let found = found.and_then(|file| Some(file.parent()?.to_owned()));
        found.ok_or_else(|| {
            Failure::new(format!("there is no {} here, above, or above the program", self.dockerfile))
                .hint("run it in a checkout of Adit, or name the folder with --context")
        })
    }
}

#[derive(Debug, Args)]
pub(crate) struct SpotCheck {
    #[command(flatten)]
    pub(crate) image: ImageArgs,
    /// Pull this digest, as a commitment names it [default: what the tag is there]
    #[arg(long, value_name = "SHA256")]
    pub(crate) digest: Option<String>,
    /// How many challenges are asked again
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=20))]
    pub(crate) challenges: u8,
    /// The live miner's record of challenges [default: that of the container which this host runs]
    #[arg(long, value_name = "FILE")]
    pub(crate) journal: Option<PathBuf>,
    /// Let pass what differs by no more than Score allows
    #[arg(long)]
    pub(crate) score_only: bool,
    /// Print nothing but the verdicts, a line of JSON each
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) netuid: NetuidArgs,
}

/// The checker's side of a spot check, within a container of the image.
#[derive(Debug, Args)]
pub(crate) struct SpotCheckRunner {
    /// Folder with jobs.json and the clips
    pub(crate) folder: PathBuf,
    /// Base URL of the image under test
    #[arg(long, value_name = "URL")]
    pub(crate) miner: String,
    /// Base URL of another container of it, which answers first what has no live answer
    #[arg(long, value_name = "URL")]
    pub(crate) first: Option<String>,
    /// Hosts that a clip may have
    #[arg(long, value_name = "HOST")]
    pub(crate) host: Vec<String>,
}
