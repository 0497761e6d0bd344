//! The commands that ask the chain or write to it.

mod axon;
mod commitment;
mod metagraph;
mod subnet;
mod transfer;

pub(crate) use axon::run as axon;
pub(crate) use axon::{own_address, reach};
pub(crate) use commitment::run as commitment;
pub(crate) use metagraph::run as metagraph;
pub(crate) use subnet::run as subnet;
pub(crate) use transfer::run as transfer;

use adit_chain::{Call, Chain, FINALITY, Included, Limits, SubmitError};
use adit_keys::{Hotkey, Keypair};
use adit_settings::Environment;
use serde_json::{Value, json};

use super::terminal::confirm;
use crate::cli::chain::{NetworkArgs, SendArgs};
use crate::failure::Failure;

fn connect(env: &Environment, network: &NetworkArgs) -> Result<Chain, Failure> {
    Ok(Chain::new(network.resolve(env)?, Limits::default()))
}

/// What became of a call.
enum Sent {
    /// Only shown.
    DryRun,
    /// In a finalized block.
    Included(Included),
    /// It left us; the read-back has to tell.
    Unknown(String),
}

/// Shows a call with its fee, asks, signs and sends it. `key` is asked for the key last, since that may
/// mean a password.
async fn send(
    chain: &Chain,
    call: &Call,
    signer: Hotkey,
    args: &SendArgs,
    key: impl FnOnce() -> Result<Keypair, Failure>,
) -> Result<Sent, Failure> {
    let plan = chain.dry_run(call, &signer).await?;
    if args.dry_run && args.json {
        println!(
            "{:#}",
            json!({
                "dry_run": true, "call": plan.call, "call_data": format!("0x{}", hex::encode(&plan.call_data)),
                "signer": plan.signer.to_string(), "fee_rao": plan.fee.0, "nonce": plan.nonce,
                "valid_until_block": plan.valid_until, "spec_version": plan.spec_version,
            })
        );
        return Ok(Sent::DryRun);
    }
    if !args.json {
        println!("Call:    {}", plan.call);
        println!("Signer:  {}", plan.signer);
        println!("Fee:     {}", if plan.fee.0 == 0 { "none".to_owned() } else { plan.fee.to_string() });
    }
    if args.dry_run {
        println!("Bytes:   0x{}", hex::encode(&plan.call_data));
        println!(
            "Nonce:   {}, valid until block {} (runtime {})",
            plan.nonce, plan.valid_until, plan.spec_version
        );
        println!("Nothing was sent.");
        return Ok(Sent::DryRun);
    }
    if !args.yes && (args.json || !confirm("Send it?")?) {
        return Err(Failure::new("nothing was sent").hint("--yes sends without asking"));
    }
    let key = key()?;
    if key.hotkey() != signer {
        return Err(Failure::new(format!("the key is that of {}, not of {signer}", key.hotkey())));
    }
    tracing::info!("sending; a finalized block takes half a minute");
    match chain.submit(call, &key, FINALITY).await {
        Ok(included) => Ok(Sent::Included(included)),
        Err(error @ SubmitError::Unknown { .. }) => Ok(Sent::Unknown(error.to_string())),
        Err(error) => Err(error.into()),
    }
}

/// The failure where a call ran but the chain does not show what it should have done.
fn not_shown(sent: &Sent, what: &str) -> Failure {
    let why = match sent {
        Sent::Unknown(why) => why.clone(),
        Sent::Included(included) => {
            format!("block {} took the transaction {}", included.block, included.hash)
        }
        Sent::DryRun => "nothing was sent".to_owned(),
    };
    Failure::new(format!("the chain does not show {what}: {why}"))
        .hint("look again in a minute, before you send it again")
}

/// What JSON says of a sent call.
fn sent_json(sent: &Sent) -> Value {
    match sent {
        Sent::Included(included) => {
            json!({"block": included.block, "block_hash": included.block_hash, "extrinsic_hash": included.hash})
        }
        Sent::DryRun | Sent::Unknown(_) => Value::Null,
    }
}
