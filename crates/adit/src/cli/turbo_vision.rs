//! The arguments of Turbo Vision's commands. Flags are also taken in the guide's spelling, with underscores.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use adit_manifest::PublicKey;
use adit_settings::{Environment, var};
use clap::{Args, Subcommand, ValueEnum};

use super::chain::{NetuidArgs, NetworkArgs, WhoArgs};
use super::deploy::REVEAL;
use super::wallet::{PasswordArgs, WalletArgs};

#[derive(Debug, Subcommand)]
pub(crate) enum TurboVisionCommand {
    /// Write the script that a revision's chute is built from: my_chute.py
    #[command(
        after_help = "The script is made of the files in scorevision/chute_template (setup.py, load.py, predict.py, \
        schemas.py), or with --template of the published one, which today's validators demand letter for letter.\n\n\
        Examples:\n  \
        {it} --revision main\n  \
        chutes build my_chute:chute --local --public"
    )]
    GenerateChuteScript(GenerateChuteScript),
    /// Upload a model to Hugging Face, deploy its chute, commit it on chain
    #[command(
        visible_alias = "deploy-os-miner",
        after_help = "Each step is read back, and what holds already is not done again: where a step fails, the same \
        command goes on from there. The repository stays private until the commitment is revealed.\n\n\
        Examples:\n  \
        sv -vv push --model_path ./model\n  \
        sv push --model-path ./model --element-id manak0/Detect-fire\n  \
        sv push --model-path ./model --dry-run\n  \
        sv push --model-path ./model --no-deploy --no-commit   # upload only"
    )]
    Push(Box<Push>),
    /// Show the slug and the id of a revision's chute
    ChuteSlug(ChuteSlug),
    /// Ask a chute for its health, and for one prediction
    #[command(after_help = "Exit code 1 where a check fails.\n\n\
        Examples:\n  \
        {it} --revision main\n  \
        {it} --revision main --local")]
    PingChute(PingChute),
    /// Send a chute a challenge as validators do, and score what it answers
    #[command(
        after_help = "What is shown: a challenge of Score's API (--api), a clip with its truth (--clip, --truth), \
        else a match that is drawn here, of which the truth is known. A chute at Chutes cannot fetch a clip from this \
        host: today's contract gets the frames in the request.\n\n\
        Examples:\n  \
        {it} --revision main\n  \
        {it} --revision main --local --report report.html\n  \
        {it} --revision main --clip https://example.com/clip.mp4 --truth clip.json --element-id manak0/Detect-fire"
    )]
    TestChute(TestChute),
    /// Delete a revision's chute and its image
    DeleteChute(DeleteChute),
    /// Follow what a chute's instances write
    #[command(after_help = "Examples:\n  \
        {it} --instance-id 0a1b2c3d-…\n  \
        {it} --revision main --no-follow")]
    ChuteLogs(ChuteLogs),
    /// Serve the model on this host, without Chutes, a GPU or Docker
    #[command(after_help = "Examples:\n  \
        {it} --model-path ./model        # its miner.py\n  \
        {it} --model-path best.onnx      # as Ultralytics exports a detector\n  \
        {it}                             # scorevision/chute_template's load.py and predict.py\n  \
        sv ping-chute --local && sv test-chute --local")]
    DeployLocalChute(DeployLocalChute),
    /// Make an account at Chutes, and list its chutes
    #[command(subcommand)]
    Chutes(ChutesCommand),
    /// Show what validators gave this miner, from the results that they publish
    Scores(Scores),
    /// Show, check and list Score's Manifest
    #[command(subcommand)]
    Manifest(ManifestCommand),
    /// List what Score's Manifest evaluates, with pillars and limits
    Elements(Elements),
    /// Find what a validator would refuse a model for, before anything is uploaded
    #[command(after_help = "Exit code 1 where something would be refused; warnings are none.\n\n\
        Examples:\n  \
        {it} ./model --element-id manak0/Detect-fire")]
    Lint(Lint),
}

/// Which of the two contracts a model is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EraArg {
    /// The guide's: load.py and predict.py of the template folder
    Document,
    /// Today's: miner.py and chute_config.yml in the model's repository
    Head,
}

/// Which revision of the model.
#[derive(Debug, Clone, Args)]
pub(crate) struct RevisionArgs {
    /// Commit of the model at Hugging Face; a branch is resolved to its newest one
    #[arg(long, value_name = "REVISION")]
    pub(crate) revision: String,
}

/// Which script.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct TemplateArgs {
    /// The published template: its URL or a file, or `published` for the one that Adit knows
    #[arg(long, value_name = "URL|FILE")]
    pub(crate) template: Option<String>,
    /// SHA-256 that it must have [default: that of the one that Adit knows]
    #[arg(long, value_name = "HEX", requires = "template", alias = "template_sha256")]
    pub(crate) template_sha256: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct GenerateChuteScript {
    #[command(flatten)]
    pub(crate) revision: RevisionArgs,
    #[command(flatten)]
    pub(crate) template: TemplateArgs,
    /// Where it is written
    #[arg(long, value_name = "FILE", default_value = "my_chute.py")]
    pub(crate) output: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Push {
    /// Folder with the model; without it what is at Hugging Face already is deployed
    #[arg(long, value_name = "DIR", alias = "model_path")]
    pub(crate) model_path: Option<String>,
    /// Commit or branch that is deployed; with a folder, what its upload must come to
    #[arg(long, value_name = "REVISION")]
    pub(crate) revision: Option<String>,
    /// Accepted and without effect, as upstream
    #[arg(long, value_name = "URL", hide = true, alias = "warmup_url")]
    pub(crate) warmup_url: Option<String>,
    /// Skip building and deploying, and with it committing
    #[arg(long, alias = "no_deploy")]
    pub(crate) no_deploy: bool,
    /// Skip on-chain commitment; the repository stays private
    #[arg(long, alias = "no_commit")]
    pub(crate) no_commit: bool,
    /// The Manifest's element that this chute answers for [default: its only public one, else asked for]
    #[arg(long, value_name = "ID", alias = "element_id")]
    pub(crate) element_id: Option<String>,
    /// Which contract the model is made for [default: head where it has a miner.py]
    #[arg(long, value_enum)]
    pub(crate) era: Option<EraArg>,
    #[command(flatten)]
    pub(crate) template: TemplateArgs,
    /// Delete what is at Hugging Face and not in the folder
    #[arg(long)]
    pub(crate) delete_stale: bool,
    /// Deploy although a validator would refuse the model
    #[arg(long)]
    pub(crate) allow_refused: bool,
    /// Let everybody call the chute that this account also may call; an account's name or id, more than once
    #[arg(long, value_name = "USER")]
    pub(crate) share_with: Vec<String>,
    /// Show the plan and what would be sent, and change nothing
    #[arg(long, alias = "dry_run")]
    pub(crate) dry_run: bool,
    /// Print JSON; asks nothing
    #[arg(long)]
    pub(crate) json: bool,
    /// How long building and deploying may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    build_timeout: u64,
    /// How long the chute may take to get healthy, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 1800)]
    health_timeout: u64,
    /// How long the commitment may take to be revealed, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = REVEAL)]
    reveal_timeout: u64,
    #[command(flatten)]
    pub(crate) netuid: NetuidArgs,
    #[command(flatten)]
    pub(crate) wallet: WalletArgs,
    #[command(flatten)]
    pub(crate) password: PasswordArgs,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
}

impl Push {
    /// The folder; an empty name is none, as upstream has it.
    pub(crate) fn folder(&self) -> Option<PathBuf> {
        self.model_path.as_deref().filter(|path| !path.is_empty()).map(PathBuf::from)
    }

    pub(crate) fn commits(&self) -> bool {
        !self.no_deploy && !self.no_commit
    }

    pub(crate) fn build(&self) -> Duration {
        Duration::from_secs(self.build_timeout)
    }

    pub(crate) fn health(&self) -> Duration {
        Duration::from_secs(self.health_timeout)
    }

    pub(crate) fn reveal(&self) -> Duration {
        Duration::from_secs(self.reveal_timeout)
    }
}

#[derive(Debug, Args)]
pub(crate) struct ChuteSlug {
    #[command(flatten)]
    pub(crate) revision: RevisionArgs,
    /// Ask nobody: print what the slug is guessed to be, which Chutes need not have given
    #[arg(long)]
    pub(crate) guess: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which chute is asked.
#[derive(Debug, Args)]
pub(crate) struct WhichChute {
    /// Commit of the model at Hugging Face; a branch is resolved to its newest one
    #[arg(long, value_name = "REVISION", required_unless_present_any = ["local", "url"])]
    pub(crate) revision: Option<String>,
    /// The chute on this host, which `sv deploy-local-chute` serves [setting: ADIT_LOCAL_CHUTE_PORT]
    #[arg(long)]
    pub(crate) local: bool,
    /// A chute's base URL
    #[arg(long, value_name = "URL", conflicts_with = "local")]
    pub(crate) url: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct PingChute {
    #[command(flatten)]
    pub(crate) chute: WhichChute,
    /// The clip that a prediction is asked for [default: the guide's; with --local one that is drawn]
    #[arg(long, value_name = "URL", alias = "video_url")]
    pub(crate) video_url: Option<String>,
    /// Frames that the answer must have at least
    #[arg(long, value_name = "N", alias = "n_frames", default_value_t = 11)]
    pub(crate) n_frames: usize,
    /// Ask for the health only
    #[arg(long)]
    pub(crate) health_only: bool,
    /// How long an answer may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub(crate) timeout: u64,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TestChute {
    #[command(flatten)]
    pub(crate) chute: WhichChute,
    /// Whose requests and rules [default: those of the contract that the chute's health speaks]
    #[arg(long, value_enum)]
    pub(crate) era: Option<EraArg>,
    /// The Manifest's element whose rules hold [default: one for a drawn match]
    #[arg(long, value_name = "ID", alias = "element_id")]
    pub(crate) element_id: Option<String>,
    /// Fetch the challenge from Score's API, signed by the hotkey
    #[arg(long, conflicts_with_all = ["clip", "truth"])]
    pub(crate) api: bool,
    /// A clip on disk, or its URL
    #[arg(long, value_name = "CLIP", requires = "truth")]
    pub(crate) clip: Option<String>,
    /// What is in the clip's frames: JSON, {"annotations": [{"frame_idx": 0, "bbox": [1, 2, 3, 4], "class": "player"}, …]}
    #[arg(long, value_name = "FILE", requires = "clip")]
    pub(crate) truth: Option<PathBuf>,
    /// Frames of the drawn match that are scored; in the document era at once those that the truth has
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=300))]
    pub(crate) frames: u32,
    /// Read answers of the document era as its validators did: boxes of teams are dropped, and keypoints that were not
    /// found are fitted too
    #[arg(long)]
    pub(crate) as_it_ran: bool,
    /// Rounds
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) repeat: u32,
    /// Write a page with the frames, the answer drawn over the truth, and a timeline
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// This host's address at which the chute can fetch a clip on disk
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub(crate) serve_on: IpAddr,
    /// How long an answer may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub(crate) timeout: u64,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) netuid: NetuidArgs,
    #[command(flatten)]
    pub(crate) wallet: WalletArgs,
    #[command(flatten)]
    pub(crate) password: PasswordArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteChute {
    #[command(flatten)]
    pub(crate) revision: RevisionArgs,
    /// Do not ask
    #[arg(short = 'y', long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ChuteLogs {
    /// One instance, as the dashboard's Statistics name it
    #[arg(long, value_name = "ID", alias = "instance_id", required_unless_present = "revision")]
    pub(crate) instance_id: Option<String>,
    /// All instances of this revision's chute
    #[arg(long, value_name = "REVISION", conflicts_with = "instance_id")]
    pub(crate) revision: Option<String>,
    /// Lines from before that are shown
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub(crate) backfill: u32,
    /// End with what was written until now
    #[arg(long)]
    pub(crate) no_follow: bool,
    /// End after this many seconds
    #[arg(long, value_name = "SECONDS")]
    pub(crate) seconds: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct DeployLocalChute {
    /// Folder with the model and its miner.py, or a detector as ONNX file, which needs no Python [default: the
    /// template's load.py and predict.py]
    #[arg(long, value_name = "DIR|FILE", alias = "model_path")]
    pub(crate) model_path: Option<PathBuf>,
    /// Folder with the weights, which load.py gets in place of a download from Hugging Face
    #[arg(long, value_name = "DIR", conflicts_with = "model_path")]
    pub(crate) weights: Option<PathBuf>,
    /// The repository's name, as load.py gets it [default: that of HF_USER]
    #[arg(long, value_name = "NAME")]
    pub(crate) repo: Option<String>,
    /// The revision, as load.py gets it
    #[arg(long, value_name = "REVISION", default_value = "main")]
    pub(crate) revision: String,
    /// Listen on this address
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub(crate) host: IpAddr,
    /// Listen on this port; 0 takes a free one [setting: ADIT_LOCAL_CHUTE_PORT]
    #[arg(long, value_name = "PORT")]
    pub(crate) port: Option<u16>,
    /// The clip that GET /api/tasks/next/v2 names
    #[arg(
        long,
        value_name = "URL",
        alias = "video_url",
        default_value = "https://scoredata.me/2025_03_14/35ae7a/h1_0f2ca0.mp4"
    )]
    pub(crate) video_url: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ChutesCommand {
    /// Make an account for a hotkey, and the config.ini of the chutes program
    #[command(
        after_help = "The token comes from https://rtok.chutes.ai/users/registration_token, in a browser.\n\n\
        Examples:\n  \
        {it} --username me --token abc…"
    )]
    Register(Register),
    /// List the account's chutes
    List(ListChutes),
}

#[derive(Debug, Args)]
pub(crate) struct Register {
    /// The account's name: 3 to 15 letters, digits and _ [setting: CHUTES_USERNAME]
    #[arg(long, value_name = "NAME")]
    pub(crate) username: Option<String>,
    /// The token of the registration page; without it, it is asked for
    #[arg(long, value_name = "TOKEN")]
    pub(crate) token: Option<String>,
    #[command(flatten)]
    pub(crate) wallet: WalletArgs,
    #[command(flatten)]
    pub(crate) password: PasswordArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ListChutes {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Scores {
    #[command(flatten)]
    pub(crate) who: WhoArgs,
    /// Only this element
    #[arg(long, value_name = "ID", alias = "element_id")]
    pub(crate) element_id: Option<String>,
    /// Evaluations that are fetched, the newest
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) last: u16,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ManifestCommand {
    /// Show the Manifest that is in force
    Current(ManifestArgs),
    /// List the Manifests that are published
    List(ManifestArgs),
    /// Check a Manifest on disk: what it says, its hash, and with a key its signature
    Validate(ValidateManifest),
}

#[derive(Debug, Args)]
pub(crate) struct ManifestArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ValidateManifest {
    /// The file, YAML or JSON
    pub(crate) path: PathBuf,
    /// The Ed25519 key that must have signed it, in hexadecimal
    #[arg(long, value_name = "HEX", alias = "public_key")]
    pub(crate) public_key: Option<PublicKey>,
}

#[derive(Debug, Args)]
pub(crate) struct Elements {
    #[command(subcommand)]
    pub(crate) command: Option<ElementsCommand>,
    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ElementsCommand {
    /// List them
    List,
}

#[derive(Debug, Args)]
pub(crate) struct Lint {
    /// Folder with the model
    #[arg(value_name = "DIR", default_value = ".")]
    pub(crate) folder: PathBuf,
    /// The Manifest's element whose limits hold
    #[arg(long, value_name = "ID", alias = "element_id")]
    pub(crate) element_id: Option<String>,
    /// Which contract the model is made for [default: head where it has a miner.py]
    #[arg(long, value_enum)]
    pub(crate) era: Option<EraArg>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl WhichChute {
    /// Where a chute on this host is.
    pub(crate) fn local_url(env: &Environment) -> Result<String, crate::failure::Failure> {
        let expected = "a port from 1 to 65535";
        let port: u16 = env.parsed(&var::LOCAL_CHUTE_PORT, expected)?;
        if port == 0 {
            return Err(env.invalid(&var::LOCAL_CHUTE_PORT, expected).into());
        }
        Ok(format!("http://127.0.0.1:{port}"))
    }
}
