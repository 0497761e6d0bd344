//! The commands that ask the chain or write to it.

mod axon;
mod commitment;
mod metagraph;
mod subnet;
mod transfer;

pub(crate) use axon::run as axon;
pub(crate) use axon::{public_address, reach};
pub(crate) use commitment::{await_reveal, run as commitment};
pub(crate) use metagraph::run as metagraph;
pub(crate) use subnet::run as subnet;
pub(crate) use transfer::run as transfer;

use std::time::Duration;

use adit_chain::{Call, Chain, ChainError, FINALITY, Head, Included, Limits, SubmitError};
use adit_keys::{Hotkey, Keypair};
use adit_settings::Environment;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::password::say_on_terminal;
use super::terminal::confirm;
use crate::cli::chain::{NetworkArgs, SendArgs};
use crate::failure::Failure;

/// How long it is looked whether the chain shows what a call of unknown fate should have done.
const UNKNOWN: Duration = Duration::from_secs(90);
/// How often.
pub(crate) const LOOK: Duration = Duration::from_secs(3);

pub(crate) fn connect(env: &Environment, network: &NetworkArgs) -> Result<Chain, Failure> {
    Ok(Chain::new(network.resolve(env)?, Limits::default()))
}

/// What became of a call.
pub(crate) enum Sent {
    /// Only shown.
    DryRun,
    /// In a finalized block.
    Included(Included),
    /// It left us; the read-back has to tell.
    Unknown(String),
}

/// Shows a call with its fee, asks, signs and sends it. `key` is asked for the key last, since that may
/// mean a password.
pub(crate) async fn send(
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
    if !args.yes {
        match if args.json { None } else { confirm("Send it?")? } {
            Some(true) => {}
            Some(false) => return Err(Failure::new("nothing was sent")),
            None => {
                return Err(Failure::new("nothing was sent, since there is nobody to ask")
                    .hint("--yes sends without asking"));
            }
        }
    }
    let key = key()?;
    if key.hotkey() != signer {
        return Err(Failure::new(format!("the key is that of {}, not of {signer}", key.hotkey())));
    }
    say_on_terminal("Sending; it takes about half a minute until a block with it is final …");
    match chain.submit(call, &key, FINALITY).await {
        Ok(included) => Ok(Sent::Included(included)),
        Err(error @ SubmitError::Unknown { .. }) => Ok(Sent::Unknown(error.to_string())),
        Err(error) => Err(error.into()),
    }
}

/// Reads what a sent call should have done, until `read` finds it. Where it is unknown whether a block took
/// the call, that is looked for a while.
pub(crate) async fn read_back<T, R>(
    chain: &Chain,
    sent: &Sent,
    read: impl Fn(Head) -> R,
) -> Result<Option<T>, Failure>
where
    R: Future<Output = Result<Option<T>, ChainError>>,
{
    let patience = if matches!(sent, Sent::Unknown(_)) { UNKNOWN } else { Duration::ZERO };
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = chain.read(&read).await? {
            return Ok(Some(found));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The failure where a call ran but the chain does not show what it should have done.
pub(crate) fn not_shown(sent: &Sent, what: &str) -> Failure {
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
pub(crate) fn sent_json(sent: &Sent) -> Value {
    match sent {
        Sent::Included(included) => {
            json!({"block": included.block, "block_hash": included.block_hash, "extrinsic_hash": included.hash})
        }
        Sent::DryRun | Sent::Unknown(_) => Value::Null,
    }
}
