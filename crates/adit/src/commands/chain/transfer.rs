//! `adit wallet transfer`.

use std::process::ExitCode;

use adit_chain::{Call, Rao};
use adit_settings::Environment;
use serde_json::json;

use super::{Sent, connect, not_shown, send, sent_json};
use crate::cli::chain::Transfer;
use crate::commands::block_on;
use crate::commands::password::open_coldkey;
use crate::failure::Failure;

pub(crate) fn run(env: &Environment, args: &Transfer) -> Result<ExitCode, Failure> {
    block_on(transfer(env, args))
}

async fn transfer(env: &Environment, args: &Transfer) -> Result<ExitCode, Failure> {
    let wallet = args.signed.wallet.resolve(env)?;
    let (from, to, amount) = (wallet.coldkey_address()?, args.dest, args.amount);
    if from == to {
        return Err(
            Failure::new(format!("{to} is this wallet's own coldkey")).hint("name another with --dest")
        );
    }
    let chain = connect(env, &args.signed.network)?;
    let balances =
        || chain.read(|head| async move { Ok((head.balance(&from).await?, head.balance(&to).await?)) });
    let (own, before) = balances().await?;
    if own < amount {
        return Err(Failure::new(format!("the coldkey {from} has {own}, less than {amount}"))
            .hint("name a smaller --amount"));
    }
    if !args.signed.send.json {
        println!("From:    {from} ({}), has {own}", wallet.name());
        println!("To:      {to}, has {before}");
        println!("Amount:  {amount}");
    }
    let call = Call::transfer(&to, amount);
    let sent =
        send(&chain, &call, from, &args.signed.send, || open_coldkey(env, &wallet, &args.signed.password))
            .await?;
    if matches!(sent, Sent::DryRun) {
        return Ok(ExitCode::SUCCESS);
    }
    let (_, after) = balances().await?;
    // Others may move the balance too; a block that took the transaction is what counts.
    if matches!(sent, Sent::Unknown(_)) && after < Rao(before.0.saturating_add(amount.0)) {
        return Err(not_shown(&sent, "the transfer"));
    }
    if args.signed.send.json {
        let result = json!({
            "transferred": true, "from": from.to_string(), "to": to.to_string(), "amount_rao": amount.0,
            "balance_of_receiver_rao": after.0, "included": sent_json(&sent),
        });
        println!("{result:#}");
    } else {
        println!("✓ sent: {to} has {after}");
    }
    Ok(ExitCode::SUCCESS)
}
