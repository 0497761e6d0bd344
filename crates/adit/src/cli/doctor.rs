//! The arguments of `adit doctor`.

use clap::{Args, ValueEnum};

use super::chain::{NetuidArgs, NetworkArgs};
use super::wallet::WalletArgs;

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Which miner
    #[arg(value_name = "MINER", value_enum, default_value = "sv")]
    pub(crate) miner: Miner,
    #[command(flatten)]
    pub(crate) netuid: NetuidArgs,
    #[command(flatten)]
    pub(crate) wallet: WalletArgs,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
    /// Print JSON
    #[arg(long, aliases = ["json-output", "json_output"])]
    pub(crate) json: bool,
}

/// A miner that can be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Miner {
    /// The private-track miner of subnet 44
    #[value(alias = "pv")]
    Sv,
    /// The generative miner of subnet 34
    #[value(aliases = ["generator", "gen"])]
    Gascli,
}
