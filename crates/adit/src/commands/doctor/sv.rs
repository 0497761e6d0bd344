//! The checks of the private-track miner, and their order.

use std::time::Duration;

use adit_chain::Netuid;
use adit_keys::{Hotkey, Keypair};
use adit_private_track::deployment::{Target, TargetError};
use adit_private_track::{Config, ConfigError};
use adit_settings::{Environment, var};
use tokio::time::{Instant, timeout};

use super::{
    Check, axon, chain, challenge, configuration, engine, host, image, names, registry, server, wallet,
};
use crate::cli::doctor::Doctor;
use crate::failure::Failure;

/// Time for the chain, and beside it for the server, the engine and the like.
const ASKING: Duration = Duration::from_millis(3400);
/// Time for everything: an operator waits, and less than 5 s were promised.
const WHOLE: Duration = Duration::from_millis(4600);

/// What builds, pushes, shares, commits and starts.
pub(super) const DEPLOY: &str = "sv deploy-pt-miner --tag <tag>";

/// What several checks go by.
pub(super) struct Miner {
    /// The settings, with what the arguments say put over them.
    pub(super) env: Environment,
    /// As `sv serve` would have it.
    pub(super) config: Result<Config, ConfigError>,
    /// Our own, or why it is not known.
    pub(super) hotkey: Result<Hotkey, &'static str>,
    /// The subnet, or why it is not known.
    pub(super) netuid: Result<Netuid, &'static str>,
    /// `MINER_PORT`, or why it says nothing.
    pub(super) port: Result<u16, &'static str>,
    /// Where images go; nothing goes by its tag.
    pub(super) target: Result<Target, TargetError>,
}

pub(super) async fn checks(env: &Environment, args: &Doctor) -> Vec<Check> {
    let began = Instant::now();
    let env = told(env, args);
    let found = wallet::find(&env);
    let endpoints = args.network.resolve(&env);
    let miner = Miner {
        config: config(&env),
        hotkey: found.hotkey,
        netuid: args.netuid.resolve(&env).map_err(|_| "the subnet's number is wrong (see configuration)"),
        port: port(&env),
        target: Target::from_settings(&env, "latest"),
        env,
    };
    let networks = configuration::networks(&miner, endpoints.as_ref().ok());

    let asking = chain::ask(endpoints, miner.netuid.ok(), miner.hotkey.ok(), ASKING);
    let serving = async {
        let server = server::ask(miner.port, ASKING / 2).await;
        let until = began + ASKING;
        (
            challenge::check(&miner, found.signer.unwrap_or_else(Keypair::generate), &server, until).await,
            server,
        )
    };
    let ffmpeg = async {
        let checked = timeout(ASKING, host::ffmpeg(&miner.env)).await;
        checked.unwrap_or_else(|_| host::silent_ffmpeg())
    };
    let (seen, (challenge, server), ffmpeg, engine, hub) = tokio::join!(
        asking,
        serving,
        ffmpeg,
        engine::ask(&miner, began + ASKING),
        registry::ask_hub(&miner, began + ASKING)
    );
    let seen = seen.as_ref();
    let committed = image::committed(&miner, seen);
    let (reach, registry) = tokio::join!(
        axon::reachable(&miner, seen.ok(), &server, began + WHOLE),
        registry::read(&miner, hub, committed.as_ref().ok(), began + WHOLE)
    );
    let account = registry::check(&registry, committed.as_ref().ok());
    let image = image::check(committed, &engine, &server, &registry, &account);

    vec![
        configuration::check(&miner),
        names::check(&miner.env),
        configuration::security(&miner.env),
        networks,
        found.check,
        found.coldkey,
        chain::clock(seen),
        chain::check(seen),
        chain::registration(&miner, seen),
        axon::published(&miner, seen.ok()),
        reach,
        server::check(&server, &miner.port),
        challenge,
        server::stake_table(&miner, &server),
        chain::commitment(&miner, seen),
        engine::check(&engine),
        account,
        image,
        host::disk(&miner.env),
        ffmpeg,
        server::predictor(&miner, &server),
    ]
}

/// The settings as the arguments change them.
fn told(env: &Environment, args: &Doctor) -> Environment {
    let wallet = &args.wallet;
    let arguments = [
        (&var::WALLET_NAME, wallet.wallet_name.clone()),
        (&var::HOTKEY_NAME, wallet.wallet_hotkey.clone()),
        (&var::WALLET_PATH, wallet.path.wallet_path.clone()),
        (&var::NETUID, args.netuid.resolve(env).ok().map(|netuid| netuid.to_string())),
    ];
    arguments.into_iter().fold(env.clone(), |env, (var, value)| match value {
        Some(value) => env.with(var, &value),
        None => env,
    })
}

/// What `sv serve` would start with. A hotkey that is not known has its own line, so what stands behind it is
/// looked at all the same.
fn config(env: &Environment) -> Result<Config, ConfigError> {
    match Config::from_settings(env) {
        Err(ConfigError::NoHotkey(_)) => {
            let any = Keypair::generate().hotkey().to_string();
            Config::from_settings(&env.with(&var::HOTKEY_ADDRESS, &any))
        }
        other => other,
    }
}

fn port(env: &Environment) -> Result<u16, &'static str> {
    match env.parsed(&var::MINER_PORT, "a port from 0 to 65535") {
        Ok(0) => Err("MINER_PORT=0 takes any free port, so the server's is not known"),
        Ok(port) => Ok(port),
        Err(_) => Err("the port is not known (see configuration)"),
    }
}

impl Miner {
    /// The subnet and our hotkey, or why they are not known.
    pub(super) fn place(&self) -> Result<(Netuid, Hotkey), &'static str> {
        Ok((self.netuid?, self.hotkey?))
    }
}

/// What the chain showed, or why there is nothing.
pub(super) type Seen<'a> = Result<&'a chain::Seen, &'a Failure>;
