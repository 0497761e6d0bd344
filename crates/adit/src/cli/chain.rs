//! The arguments of the commands that ask the chain or write to it. Flags are also taken in the
//! spellings of btcli.

use std::net::IpAddr;
use std::path::PathBuf;

use adit_chain::{Endpoints, Netuid, Rao};
use adit_keys::Hotkey;
use adit_settings::{Environment, var};
use clap::{Args, Subcommand};

use super::wallet::{PasswordArgs, WalletArgs};
use crate::failure::Failure;

/// Which chain.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct NetworkArgs {
    /// finney, test, local or a node's ws:// or wss:// URL [setting: BITTENSOR_SUBTENSOR_ENDPOINT]
    #[arg(
        long,
        value_name = "NETWORK",
        aliases = ["subtensor.network", "subtensor-network", "subtensor_network"]
    )]
    pub(crate) network: Option<String>,
    /// A node's URL, as btcli names it; wins over --network
    #[arg(
        long = "subtensor.chain_endpoint",
        value_name = "URL",
        hide = true,
        aliases = ["chain-endpoint", "chain_endpoint", "chain", "endpoint"]
    )]
    endpoint: Option<String>,
    /// Another node for when that one does not answer [setting: BITTENSOR_SUBTENSOR_FALLBACK]
    #[arg(long, value_name = "URL")]
    fallback: Option<String>,
}

impl NetworkArgs {
    /// What the arguments say, apart from the settings.
    pub(crate) fn told(&self) -> Option<&str> {
        self.endpoint.as_deref().or(self.network.as_deref())
    }

    /// The nodes to ask.
    pub(crate) fn resolve(&self, env: &Environment) -> Result<Endpoints, Failure> {
        let told = self.told();
        let endpoints = match told {
            Some(text) => Endpoints::parse(text)?,
            None => Endpoints::parse(env.required(&var::SUBTENSOR_ENDPOINT)?)?,
        };
        // A fallback of the settings belongs to the endpoint of the settings.
        let fallback = match (&self.fallback, told) {
            (Some(text), _) => Some(text.as_str()),
            (None, None) => env.text(&var::SUBTENSOR_FALLBACK)?,
            (None, Some(_)) => None,
        };
        Ok(match fallback {
            Some(text) => endpoints.with_fallback(text)?,
            None => endpoints,
        })
    }
}

/// Which subnet.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct NetuidArgs {
    /// Subnet number [setting: SCOREVISION_NETUID]
    #[arg(long, value_name = "N")]
    netuid: Option<Netuid>,
}

impl NetuidArgs {
    /// What the arguments say, apart from the settings.
    pub(crate) fn told(&self) -> Option<Netuid> {
        self.netuid
    }

    pub(crate) fn resolve(&self, env: &Environment) -> Result<Netuid, Failure> {
        match self.netuid {
            Some(netuid) => Ok(netuid),
            None => Ok(Netuid(env.parsed(&var::NETUID, "a subnet number from 0 to 65535")?)),
        }
    }
}

/// What every command that signs has: whose key, over which chain, and how it is sent.
#[derive(Debug, Clone, Args)]
pub(crate) struct SignedArgs {
    #[command(flatten)]
    pub(crate) wallet: WalletArgs,
    #[command(flatten)]
    pub(crate) password: PasswordArgs,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
    #[command(flatten)]
    pub(crate) send: SendArgs,
}

/// How a call is sent.
#[derive(Debug, Clone, Args)]
pub(crate) struct SendArgs {
    /// Show the call, its bytes and its fee, and send nothing
    #[arg(long, alias = "dry_run")]
    pub(crate) dry_run: bool,
    /// Do not ask
    #[arg(short = 'y', long, aliases = ["no-prompt", "no_prompt"])]
    pub(crate) yes: bool,
    /// Print JSON; asks nothing, so it needs --yes
    #[arg(long, aliases = ["json-output", "json_output"])]
    pub(crate) json: bool,
    // The SDK's switches for what we always do: a result counts once it is finalized.
    #[arg(long = "wait-for-inclusion", alias = "wait_for_inclusion", hide = true)]
    _inclusion: bool,
    #[arg(long = "wait-for-finalization", alias = "wait_for_finalization", hide = true)]
    _finalization: bool,
}

impl SendArgs {
    /// Sent at once and without a word, by a command that says what it does itself.
    pub(crate) fn unasked() -> Self {
        Self { dry_run: false, yes: true, json: true, _inclusion: false, _finalization: false }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum SubnetCommand {
    /// Register a hotkey on a subnet: shows the cost, asks, registers, reads back
    #[command(
        after_help = "Signed by the coldkey, so run it where the coldkey is, not on the miner's host.\n\n\
        Examples:\n  \
        adit subnet register --netuid 44 --wallet.name main --wallet.hotkey miner1\n  \
        adit subnet register --netuid 44 --dry-run\n  \
        adit subnet register --netuid 44 --max-cost 0.5 --yes --json"
    )]
    Register(Register),
    /// Show what a subnet asks and takes, and how a hotkey stands on it
    #[command(after_help = "Examples:\n  \
        adit subnet show --netuid 44\n  \
        adit subnet show --netuid 34 --ss58 5F… --json")]
    Show(ShowPlace),
}

#[derive(Debug, Args)]
pub(crate) struct Register {
    #[command(flatten)]
    pub(crate) netuid: NetuidArgs,
    /// Most that the registration may cost, in TAO [default: what it costs now, and a tenth]
    #[arg(long, value_name = "TAO", value_parser = str::parse::<Rao>)]
    pub(crate) max_cost: Option<Rao>,
    #[command(flatten)]
    pub(crate) signed: SignedArgs,
}

/// `adit wallet transfer`.
#[derive(Debug, Args)]
pub(crate) struct Transfer {
    /// Address that gets it
    #[arg(long, value_name = "SS58", aliases = ["destination", "recipient"])]
    pub(crate) dest: Hotkey,
    /// How much, in TAO
    #[arg(long, value_name = "TAO", value_parser = str::parse::<Rao>)]
    pub(crate) amount: Rao,
    #[command(flatten)]
    pub(crate) signed: SignedArgs,
}

/// A hotkey's place on a subnet, to look at.
#[derive(Debug, Args)]
pub(crate) struct ShowPlace {
    #[command(flatten)]
    pub(crate) netuid: NetuidArgs,
    #[command(flatten)]
    pub(crate) who: WhoArgs,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
    /// Print JSON
    #[arg(long, aliases = ["json-output", "json_output"])]
    pub(crate) json: bool,
}

/// Whose place is shown.
#[derive(Debug, Clone, Args)]
pub(crate) struct WhoArgs {
    /// Any hotkey's address, in place of a wallet's
    #[arg(long, value_name = "SS58", aliases = ["hotkey-ss58", "hotkey_ss58"])]
    pub(crate) ss58: Option<Hotkey>,
    #[command(flatten)]
    pub(crate) wallet: WalletArgs,
}

impl WhoArgs {
    /// As told, else `ADIT_HOTKEY`, else the wallet's hotkey.
    pub(crate) fn hotkey(&self, env: &Environment) -> Result<Hotkey, Failure> {
        if let Some(hotkey) = self.ss58 {
            return Ok(hotkey);
        }
        if !self.wallet.is_told()
            && let Some(text) = env.text(&var::HOTKEY_ADDRESS)?
        {
            return text.parse().map_err(|error| Failure::new(format!("`ADIT_HOTKEY={text}` is {error}")));
        }
        Ok(self.wallet.resolve(env)?.hotkey_address()?)
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    adit metagraph --netuid 44\n  \
    adit metagraph --netuid 44 --network test --json")]
pub(crate) struct ShowMetagraph {
    #[command(flatten)]
    pub(crate) netuid: NetuidArgs,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
    /// Print JSON
    #[arg(long, aliases = ["json-output", "json_output"])]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AxonCommand {
    /// Publish where the miner answers, and read it back
    #[command(after_help = "Signed by the hotkey; no fee.\n\n\
        Examples:\n  \
        adit axon set --netuid 44 --ip 203.0.113.10 --port 8000\n  \
        adit axon set --dry-run")]
    Set(SetAxon),
    /// Show where the chain says that a hotkey answers
    #[command(after_help = "Examples:\n  adit axon show --netuid 44\n  adit axon show --ss58 5F… --json")]
    Show(ShowPlace),
    /// Try to reach the published address from here
    #[command(
        after_help = "Exit code 1 where nothing answers. From the miner's own host this can fail although others \
        reach it, where a router does not lead back inside; from another host it is sure.\n\n\
        Examples:\n  adit axon probe --netuid 44 --ss58 5F…"
    )]
    Probe(ShowPlace),
}

#[derive(Debug, Args)]
pub(crate) struct SetAxon {
    #[command(flatten)]
    pub(crate) netuid: NetuidArgs,
    /// Address at which validators reach this miner [default: this host's own, where it is public]
    #[arg(long, value_name = "IP", aliases = ["external-ip", "external_ip", "axon.external_ip", "axon.ip"])]
    pub(crate) ip: Option<IpAddr>,
    /// Port at which validators reach it [setting: MINER_PORT]
    #[arg(long, value_name = "PORT", aliases = ["external-port", "external_port", "axon.external_port", "axon.port"])]
    pub(crate) port: Option<u16>,
    // btcli asks for both; the address says the one, and the other is always 4.
    #[arg(long = "ip-type", alias = "ip_type", value_name = "4|6", hide = true)]
    _ip_type: Option<u8>,
    #[arg(long = "protocol", value_name = "N", hide = true)]
    _protocol: Option<u8>,
    #[command(flatten)]
    pub(crate) signed: SignedArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CommitmentCommand {
    /// Commit a text on chain, and read it back
    #[command(
        after_help = "Signed by the hotkey; no fee. In the open a text has at most 128 bytes. Time-locked \
        (--blocks-until-reveal) it has at most 778, is sealed to drand quicknet, and is shown to all once its round \
        is there; the command waits for that and fails where it does not come, unless --no-wait.\n\n\
        Examples:\n  \
        adit commitment set 'hello' --netuid 44\n  \
        adit commitment set --file commitment.json --blocks-until-reveal 360\n  \
        echo hello | adit commitment set --dry-run"
    )]
    Set(SetCommitment),
    /// Show what a hotkey has committed, sealed and revealed
    #[command(after_help = "Examples:\n  \
        adit commitment show --netuid 44\n  \
        adit commitment show --all --json\n  \
        adit commitment show --await-reveal 'hello' --within 600   # exit code 1 where it does not come")]
    Show(ShowCommitment),
}

#[derive(Debug, Args)]
pub(crate) struct SetCommitment {
    /// The text [default: read from stdin]
    #[arg(conflicts_with = "file")]
    pub(crate) text: Option<String>,
    /// A file with the text
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Seal it for so many blocks of 12 s
    #[arg(long, value_name = "N", alias = "blocks_until_reveal")]
    pub(crate) blocks_until_reveal: Option<u32>,
    /// Do not wait for the reveal
    #[arg(long, requires = "blocks_until_reveal")]
    pub(crate) no_wait: bool,
    #[command(flatten)]
    pub(crate) netuid: NetuidArgs,
    #[command(flatten)]
    pub(crate) signed: SignedArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ShowCommitment {
    #[command(flatten)]
    pub(crate) netuid: NetuidArgs,
    /// Those of every hotkey of the subnet
    #[arg(long)]
    pub(crate) all: bool,
    /// Wait until the hotkey's newest reveal is this text
    #[arg(long, value_name = "TEXT", conflicts_with = "all")]
    pub(crate) await_reveal: Option<String>,
    /// How long to wait, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 600, requires = "await_reveal")]
    pub(crate) within: u64,
    #[command(flatten)]
    pub(crate) who: WhoArgs,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
    /// Print JSON
    #[arg(long, aliases = ["json-output", "json_output"])]
    pub(crate) json: bool,
}
