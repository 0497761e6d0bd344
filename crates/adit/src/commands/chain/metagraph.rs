//! `adit metagraph`.

use std::process::ExitCode;

use adit_chain::{Metagraph, Neuron};
use adit_settings::Environment;
use serde_json::{Value, json};

use super::connect;
use crate::cli::chain::ShowMetagraph;
use crate::commands::block_on;
use crate::commands::table::table;
use crate::failure::Failure;

pub(crate) fn run(env: &Environment, args: &ShowMetagraph) -> Result<ExitCode, Failure> {
    let netuid = args.netuid.resolve(env)?;
    let chain = connect(env, &args.network)?;
    let metagraph =
        block_on(async { Ok(chain.read(|head| async move { head.metagraph(netuid).await }).await?) })?;
    if args.json {
        println!("{:#}", as_json(&metagraph));
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = table(&[">UID", "HOTKEY", ">STAKE", "PERMIT", ">INCENTIVE", ">EMISSION", "AXON"]);
    for neuron in &metagraph.neurons {
        rows.add_row(row(neuron));
    }
    println!("{}", rows.trim_fmt());
    println!(
        "\nSubnet {} {}at block {}: {} of {} places taken, a registration costs {}. Stake is in TAO, as a miner's \
         stake gate counts it.",
        metagraph.netuid,
        if metagraph.name.is_empty() { String::new() } else { format!("({}) ", metagraph.name) },
        metagraph.block,
        metagraph.neurons.len(),
        metagraph.max_uids,
        metagraph.registration_cost,
    );
    Ok(ExitCode::SUCCESS)
}

fn row(neuron: &Neuron) -> [String; 7] {
    [
        neuron.uid.to_string(),
        neuron.hotkey.to_string(),
        format!("{:.3}", neuron.stake.tao()),
        if neuron.validator_permit { "yes" } else { "" }.to_owned(),
        format!("{:.4}", neuron.incentive),
        format!("{:.3}", neuron.emission.tao()),
        neuron.axon.map_or(String::new(), |axon| axon.address.to_string()),
    ]
}

fn as_json(metagraph: &Metagraph) -> Value {
    let neuron = |neuron: &Neuron| {
        json!({
            "uid": neuron.uid,
            "hotkey": neuron.hotkey.to_string(),
            "coldkey": neuron.coldkey.to_string(),
            "stake": neuron.stake.tao(),
            "stake_rao": neuron.stake.0,
            "alpha_stake_rao": neuron.alpha_stake.0,
            "tao_stake_rao": neuron.tao_stake.0,
            "validator_permit": neuron.validator_permit,
            "incentive": neuron.incentive,
            "dividends": neuron.dividends,
            "emission_rao": neuron.emission.0,
            "last_update": neuron.last_update,
            "registered_at": neuron.registered_at,
            "axon": neuron.axon.map(|axon| json!({
                "ip": axon.address.ip().to_string(), "port": axon.address.port(),
                "version": axon.version, "protocol": axon.protocol, "block": axon.block,
            })),
        })
    };
    json!({
        "netuid": metagraph.netuid.0,
        "name": metagraph.name,
        "symbol": metagraph.symbol,
        "block": metagraph.block,
        "tempo": metagraph.tempo,
        "max_uids": metagraph.max_uids,
        "immunity_period": metagraph.immunity_period,
        "registration_cost_rao": metagraph.registration_cost.0,
        "registration_allowed": metagraph.registration_allowed,
        "owner_coldkey": metagraph.owner_coldkey.to_string(),
        "neurons": metagraph.neurons.iter().map(neuron).collect::<Vec<_>>(),
    })
}
