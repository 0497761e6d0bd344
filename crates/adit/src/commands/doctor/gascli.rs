//! The checks of the generative miner, and their order.

use adit_chain::{Endpoints, Netuid};
use adit_generative::{Config, ConfigError};
use adit_keys::{Keypair, password};
use adit_settings::{Environment, var};
use tokio::time::Instant;

use super::chain::Place;
use super::{
    ASKING, Check, Status, WHOLE, axon, chain, configuration, host, names, server, services, tasks, told,
    wallet,
};
use crate::cli::doctor::Doctor;
use crate::failure::Failure;

pub(super) async fn checks(env: &Environment, args: &Doctor) -> Vec<Check> {
    let began = Instant::now();
    let env = told(
        env,
        args,
        [
            (&var::GENERATOR_NETUID, args.netuid.told().map(|netuid| netuid.to_string())),
            (&var::GENERATOR_ENDPOINT, args.network.told().map(str::to_owned)),
        ],
    );
    let found = wallet::find(&env);
    // A hotkey that is not known has its own line, so what stands behind it is looked at all the same.
    let any = Keypair::generate().hotkey();
    let config = Config::from_settings(&env, *found.hotkey.as_ref().unwrap_or(&any));
    let netuid = env.parsed(&var::GENERATOR_NETUID, "a subnet number from 0 to 65535");
    let place = Place {
        netuid: netuid.map(Netuid).map_err(|_| "the subnet's number is wrong (see configuration)"),
        hotkey: found.hotkey,
        port: chain::port(&env, &var::AXON_PORT),
        port_name: var::AXON_PORT.name,
    };
    let network = network(&env, place.netuid.ok());
    let (seen, server, services, tasks) = tokio::join!(
        chain::ask(endpoints(&env), place.netuid.ok(), place.hotkey.ok(), ASKING),
        server::ask_generator(place.port, ASKING / 2),
        services::checks(config.as_ref().ok(), began + ASKING),
        tasks::checks(config.as_ref().ok(), began + ASKING),
    );
    let seen = seen.as_ref();
    let answers = matches!(server, server::Generator::Up(_));
    let reach = axon::reachable(&place, seen.ok(), answers, began + WHOLE).await;
    let wrong = config.as_ref().err().map(|error| {
        let fix = match error {
            ConfigError::Setting(error) => configuration::setting_fix(error),
            other => other.hint().map(str::to_owned),
        };
        (error.to_string(), fix)
    });

    let mut all = vec![
        configuration::judge(&env, wrong),
        names::check(&env),
        network,
        signer(&env, found.check, found.signer.is_some()),
        found.coldkey,
        chain::clock(seen),
        chain::check(seen),
        chain::registration(&place, seen),
        axon::published(&place, seen.ok()),
        reach,
    ];
    all.extend(server::check_generator(&server, &place));
    all.extend(services);
    all.push(services::trust_anchors(&env, chrono::Utc::now()));
    all.extend(tasks);
    let folders = config.iter().map(|config| config.store.output_dir.clone()).chain([std::env::temp_dir()]);
    all.push(host::room_in(folders, "MINER_OUTPUT_DIR and TMPDIR"));
    all
}

fn endpoints(env: &Environment) -> Result<Endpoints, Failure> {
    Ok(Endpoints::parse(env.required(&var::GENERATOR_ENDPOINT)?)?)
}

/// Each network has the subnet under a number of its own.
fn network(env: &Environment, netuid: Option<Netuid>) -> Check {
    const NAME: &str = "network";
    let Ok(Some(endpoint)) = env.text(&var::GENERATOR_ENDPOINT) else {
        return Check::skipped(NAME, "the chain is not known (see configuration)");
    };
    let Some(netuid) = netuid else {
        return Check::skipped(NAME, "the subnet is not known (see configuration)");
    };
    let is_test = endpoint == "test" || endpoint.contains("test.finney");
    let is_main = endpoint == "finney" || endpoint.contains("entrypoint-finney");
    let (right, number) = if is_test { ("testnet", 379) } else { ("mainnet", 34) };
    if (is_test || is_main) && netuid.0 != number {
        return Check::fail(
            NAME,
            format!("BT_CHAIN_ENDPOINT is {right}'s, where BT_NETUID is {number} and not {netuid}"),
            format!("BT_NETUID={number}, or the endpoint of the other network"),
        );
    }
    Check::pass(NAME, format!("subnet {netuid} of {endpoint}"))
}

/// Answering takes the hotkey's address only, but every webhook is signed by it.
fn signer(env: &Environment, check: Check, is_open: bool) -> Check {
    let has_password = env.variables().any(|(name, _)| name.starts_with(password::VARIABLES))
        || env.text(&var::WALLET_PASSWORD_FILE).ok().flatten().is_some();
    if check.status == Status::Fail || is_open || has_password {
        return check;
    }
    Check::fail(
        check.name,
        format!("{}; the generative miner signs its webhooks with the hotkey's secret", check.found),
        "copy the hotkey's file here; of an encrypted one ADIT_WALLET_PASSWORD_FILE names the password's file",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_of_the_other_network_is_said() {
        for (endpoint, netuid, status) in [
            ("test", 379, Status::Pass),
            ("wss://test.finney.opentensor.ai:443", 34, Status::Fail),
            ("finney", 379, Status::Fail),
            ("wss://entrypoint-finney.opentensor.ai:443", 34, Status::Pass),
            ("ws://10.0.0.7:9944", 7, Status::Pass),
        ] {
            let set = [("BT_CHAIN_ENDPOINT".to_owned(), endpoint.to_owned())];
            let env = Environment::layered(set, None).unwrap();
            assert_eq!(network(&env, Some(Netuid(netuid))).status, status, "{endpoint} {netuid}");
        }
    }
}
