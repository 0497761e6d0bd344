//! `adit subnet register` and `adit subnet show`.

use std::process::ExitCode;

use adit_chain::{Call, Head, Hyperparameter, Netuid, Rao, Registration, Setting};
use adit_keys::Hotkey;
use adit_settings::Environment;
use serde_json::{Map, Value, json};

use super::{Sent, connect, not_shown, read_back, send, sent_json};
use crate::cli::chain::{Register, ShowPlace, SubnetCommand};
use crate::commands::block_on;
use crate::commands::password::open_coldkey;
use crate::failure::Failure;

pub(crate) fn run(env: &Environment, command: SubnetCommand) -> Result<ExitCode, Failure> {
    match command {
        SubnetCommand::Register(args) => block_on(register(env, &args)),
        SubnetCommand::Show(args) => block_on(show(env, &args)),
    }
}

async fn register(env: &Environment, args: &Register) -> Result<ExitCode, Failure> {
    let netuid = args.netuid.resolve(env)?;
    let wallet = args.signed.wallet.resolve(env)?;
    let (hotkey, coldkey) = (wallet.hotkey_address()?, wallet.coldkey_address()?);
    let chain = connect(env, &args.signed.network)?;
    let (before, balance, limited) = chain
        .read(|head| async move {
            let before = head.registration(netuid, &hotkey).await?;
            Ok((before, head.balance(&coldkey).await?, head.runtime().has_register_limit()))
        })
        .await?;
    let other_owner = before.owner.filter(|owner| *owner != coldkey);
    if let Some(uid) = before.uid {
        if let Some(owner) = other_owner {
            eprintln!("warning: another coldkey, {owner}, owns this hotkey and what it earns");
        }
        return Ok(done(args, netuid, uid, &hotkey, None));
    }
    if !before.open {
        return Err(Failure::new(format!("registration on subnet {netuid} is closed"))
            .hint("only the subnet's owner opens it again; `adit subnet show` says how it stands"));
    }
    if let Some(owner) = other_owner {
        return Err(Failure::new(format!("the hotkey {hotkey} belongs to another coldkey, {owner}"))
            .hint("register with that coldkey's wallet, or make a new hotkey: `adit wallet new-hotkey`"));
    }
    let most = args.max_cost.unwrap_or(Rao(before.cost.0.saturating_add(before.cost.0 / 10)));
    if before.cost > most {
        return Err(Failure::new(format!("a registration costs {}, more than {most}", before.cost))
            .hint("allow more with --max-cost, or wait: the price falls while nobody registers"));
    }
    if !args.signed.send.json {
        println!("Subnet:  {netuid}");
        println!("Hotkey:  {hotkey} ({})", wallet.hotkey_name());
        println!("Coldkey: {coldkey} ({}), has {balance}", wallet.name());
        println!("Cost:    {}, not refundable", before.cost);
    }
    if balance < before.cost && !args.signed.send.dry_run {
        return Err(Failure::new(format!(
            "the coldkey {coldkey} has {balance}, and a registration costs {}",
            before.cost
        ))
        .hint("send TAO to it, or use a wallet that has some"));
    }
    // Where the runtime has it, the price is held below a limit; it may rise while we ask.
    let call = if limited {
        Call::register_limit(netuid, &hotkey, most)
    } else {
        Call::burned_register(netuid, &hotkey)
    };
    let sent =
        send(&chain, &call, coldkey, &args.signed.send, || open_coldkey(env, &wallet, &args.signed.password))
            .await?;
    if matches!(sent, Sent::DryRun) {
        return Ok(ExitCode::SUCCESS);
    }
    let uid =
        read_back(&chain, &sent, |head| async move { Ok(head.registration(netuid, &hotkey).await?.uid) });
    match uid.await? {
        Some(uid) => Ok(done(args, netuid, uid, &hotkey, Some(&sent))),
        None => Err(not_shown(&sent, &format!("{hotkey} on subnet {netuid}"))),
    }
}

/// `sent` is `None` where the hotkey was registered before.
fn done(args: &Register, netuid: Netuid, uid: u16, hotkey: &Hotkey, sent: Option<&Sent>) -> ExitCode {
    if args.signed.send.json {
        let result = json!({
            "registered": true, "already": sent.is_none(), "netuid": netuid.0, "uid": uid,
            "hotkey": hotkey.to_string(), "included": sent.map(sent_json),
        });
        println!("{result:#}");
    } else if sent.is_some() {
        println!("✓ registered: {hotkey} is uid {uid} on subnet {netuid}");
        println!("Next: `adit axon set --netuid {netuid}`, so that validators find the miner.");
    } else {
        println!("✓ registered already: {hotkey} is uid {uid} on subnet {netuid}");
    }
    ExitCode::SUCCESS
}

/// A hotkey's standing.
struct Standing {
    hotkey: Hotkey,
    place: Registration,
    /// Of the coldkey that owns it.
    balance: Option<Rao>,
}

async fn standing(head: &Head, netuid: Netuid, hotkey: Hotkey) -> Result<Standing, adit_chain::ChainError> {
    let place = head.registration(netuid, &hotkey).await?;
    let balance = match &place.owner {
        Some(owner) => Some(head.balance(owner).await?),
        None => None,
    };
    Ok(Standing { hotkey, place, balance })
}

async fn show(env: &Environment, args: &ShowPlace) -> Result<ExitCode, Failure> {
    let netuid = args.netuid.resolve(env)?;
    // A subnet can be looked at without a wallet; one that was named must be there.
    let hotkey = match args.who.hotkey(env) {
        Ok(hotkey) => Some(hotkey),
        Err(_) if args.who.ss58.is_none() && !args.who.wallet.is_told() => None,
        Err(error) => return Err(error),
    };
    let chain = connect(env, &args.network)?;
    let (block, node, rules, standing) = chain
        .read(|head| async move {
            let rules = head.hyperparameters(netuid).await?;
            let standing = match hotkey {
                Some(hotkey) => Some(standing(&head, netuid, hotkey).await?),
                None => None,
            };
            Ok((head.number(), head.node().to_owned(), rules, standing))
        })
        .await?;
    if args.json {
        println!("{:#}", as_json(netuid, block, &rules, standing.as_ref()));
        return Ok(ExitCode::SUCCESS);
    }
    println!("Subnet {netuid} at block {block} ({node})\n");
    let width = rules.iter().map(|rule| rule.name.len()).max().unwrap_or(0);
    for rule in &rules {
        println!("{:width$}  {}", rule.name, rule.value);
    }
    if let Some(Standing { hotkey, place, balance }) = standing {
        println!("\nHotkey {hotkey}");
        match place.uid {
            Some(uid) => println!("  registered as uid {uid}"),
            None => println!("  not registered: `adit subnet register --netuid {netuid}`"),
        }
        match place.owner {
            Some(owner) => println!("  owned by coldkey {owner}, which has {}", balance.unwrap_or_default()),
            None => println!("  owned by no coldkey yet"),
        }
        match place.axon {
            Some(axon) => println!("  answers at {}", axon.address),
            None => println!("  has published no axon"),
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn as_json(netuid: Netuid, block: u64, rules: &[Hyperparameter], standing: Option<&Standing>) -> Value {
    let rules: Map<String, Value> = rules
        .iter()
        .map(|rule| match rule.value {
            Setting::Flag(flag) => (rule.name.to_owned(), flag.into()),
            Setting::Number(number) => (rule.name.to_owned(), number.into()),
            Setting::Amount(amount) => (format!("{}_rao", rule.name), amount.0.into()),
        })
        .collect();
    json!({
        "netuid": netuid.0,
        "block": block,
        "hyperparameters": rules,
        "hotkey": standing.map(|standing| json!({
            "ss58": standing.hotkey.to_string(),
            "uid": standing.place.uid,
            "coldkey": standing.place.owner.map(|owner| owner.to_string()),
            "coldkey_balance_rao": standing.balance.map(|balance| balance.0),
            "axon": standing.place.axon.map(|axon| axon.address.to_string()),
        })),
    })
}
