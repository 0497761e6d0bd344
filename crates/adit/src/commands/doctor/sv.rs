//! The checks of the private-track miner, and their order.

use adit_keys::Keypair;
use adit_private_track::deployment::{Target, TargetError};
use adit_private_track::{Config, ConfigError};
use adit_settings::{Environment, var};
use tokio::time::{Instant, timeout};

use super::chain::Place;
use super::{
    ASKING, Check, WHOLE, axon, chain, challenge, configuration, engine, host, image, names, registry,
    server, told, wallet,
};
use crate::cli::doctor::Doctor;

/// What builds, pushes, shares, commits and starts.
pub(super) const DEPLOY: &str = "sv deploy-pt-miner --tag <tag>";

/// What several checks go by.
pub(super) struct Miner {
    /// The settings, with what the arguments say put over them.
    pub(super) env: Environment,
    /// As `sv serve` would have it.
    pub(super) config: Result<Config, ConfigError>,
    /// Where it is on chain, and here.
    pub(super) place: Place,
    /// Where images go; nothing goes by its tag.
    pub(super) target: Result<Target, TargetError>,
}

pub(super) async fn checks(env: &Environment, args: &Doctor) -> Vec<Check> {
    let began = Instant::now();
    let env =
        told(env, args, [(&var::NETUID, args.netuid.resolve(env).ok().map(|netuid| netuid.to_string()))]);
    let found = wallet::find(&env);
    let endpoints = args.network.resolve(&env);
    let miner = Miner {
        config: config(&env),
        place: Place {
            hotkey: found.hotkey,
            netuid: args.netuid.resolve(&env).map_err(|_| "the subnet's number is wrong (see configuration)"),
            port: chain::port(&env, &var::MINER_PORT),
            port_name: var::MINER_PORT.name,
        },
        target: Target::from_settings(&env, "latest"),
        env,
    };
    let networks = configuration::networks(&miner, endpoints.as_ref().ok());

    let asking = chain::ask(endpoints, miner.place.netuid.ok(), miner.place.hotkey.ok(), ASKING);
    let serving = async {
        let server = server::ask(miner.place.port, ASKING / 2).await;
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
        axon::reachable(&miner.place, seen.ok(), server.answers(), began + WHOLE),
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
        chain::registration(&miner.place, seen),
        axon::published(&miner.place, seen.ok()),
        reach,
        server::check(&server, &miner.place.port),
        challenge,
        server::stake_table(&miner, &server),
        chain::commitment(&miner.place, seen),
        engine::check(&engine),
        account,
        image,
        host::disk(&miner.env),
        ffmpeg,
        server::predictor(&miner, &server),
    ]
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
