//! `adit commitment set` and `show`.

use std::io::{IsTerminal as _, Read as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use adit_chain::commitment::BLOCK_TIME;
use adit_chain::{Call, Chain, Commitment, Field, Netuid, Revealed};
use adit_keys::Hotkey;
use adit_settings::Environment;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{LOOK, Sent, connect, not_shown, read_back, send, sent_json};
use crate::cli::chain::{CommitmentCommand, SetCommitment, ShowCommitment};
use crate::commands::block_on;
use crate::commands::password::open_hotkey;
use crate::failure::Failure;

/// What a reveal may take beyond its round: a pulse must come on chain, and a block with it.
const SLACK: Duration = Duration::from_secs(180);
/// Most of a text that is read; no commitment holds more.
const MAX_TEXT: u64 = 64 * 1024;

pub(crate) fn run(env: &Environment, command: CommitmentCommand) -> Result<ExitCode, Failure> {
    match command {
        CommitmentCommand::Set(args) => block_on(set(env, &args)),
        CommitmentCommand::Show(args) => block_on(show(env, &args)),
    }
}

async fn set(env: &Environment, args: &SetCommitment) -> Result<ExitCode, Failure> {
    let text = text(args)?;
    let netuid = args.netuid.resolve(env)?;
    let wallet = args.signed.wallet.resolve(env)?;
    let hotkey = wallet.hotkey_address()?;
    let field = match args.blocks_until_reveal {
        None => Field::text(&text)
            .map_err(|error| Failure::new(error).hint("seal a longer one with --blocks-until-reveal 360"))?,
        Some(blocks) => {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            Field::sealed(&text, now, blocks).map_err(Failure::new)?
        }
    };
    let chain = connect(env, &args.signed.network)?;
    let (place, before) = chain
        .read(|head| async move {
            Ok((head.registration(netuid, &hotkey).await?, head.commitment(netuid, &hotkey).await?))
        })
        .await?;
    if place.uid.is_none() {
        return Err(Failure::new(format!("the hotkey {hotkey} is not registered on subnet {netuid}"))
            .hint(format!("register it first: `adit subnet register --netuid {netuid}`")));
    }
    let field = std::slice::from_ref(&field);
    if before.as_ref().is_some_and(|before| before.fields == field) {
        say(args, netuid, &hotkey, "committed already", None);
        return Ok(ExitCode::SUCCESS);
    }
    let call = Call::set_commitment(netuid, field);
    let sent =
        send(&chain, &call, hotkey, &args.signed.send, || open_hotkey(env, &wallet, &args.signed.password))
            .await?;
    if matches!(sent, Sent::DryRun) {
        return Ok(ExitCode::SUCCESS);
    }
    let shown = read_back(&chain, &sent, |head| async move {
        let shown = head.commitment(netuid, &hotkey).await?;
        Ok(shown.filter(|shown| shown.fields == field))
    });
    let shown = shown.await?.is_some();
    let Some(blocks) = args.blocks_until_reveal else {
        if !shown {
            return Err(not_shown(&sent, "the commitment"));
        }
        say(args, netuid, &hotkey, "committed", Some(&sent));
        return Ok(ExitCode::SUCCESS);
    };
    if args.no_wait && shown {
        say(args, netuid, &hotkey, "committed, sealed; not revealed yet", Some(&sent));
        return Ok(ExitCode::SUCCESS);
    }
    // A short seal may be open by now, and is then no longer among what is sealed.
    await_reveal(&chain, netuid, hotkey, &text, BLOCK_TIME * blocks + SLACK).await?;
    say(args, netuid, &hotkey, "committed and revealed", Some(&sent));
    Ok(ExitCode::SUCCESS)
}

fn say(args: &SetCommitment, netuid: Netuid, hotkey: &Hotkey, what: &str, sent: Option<&Sent>) {
    if args.signed.send.json {
        let result = json!({
            "committed": true, "already": sent.is_none(), "netuid": netuid.0, "hotkey": hotkey.to_string(),
            "included": sent.map(sent_json),
        });
        println!("{result:#}");
    } else {
        println!("✓ {what}: {hotkey} on subnet {netuid}");
    }
}

fn text(args: &SetCommitment) -> Result<String, Failure> {
    if let Some(text) = &args.text {
        return Ok(text.clone());
    }
    let read = match &args.file {
        Some(file) => std::fs::File::open(file).and_then(read_text),
        None if std::io::stdin().is_terminal() => {
            return Err(Failure::new("no text to commit").hint("adit commitment set 'the text'"));
        }
        None => read_text(std::io::stdin()),
    };
    let name = args.file.as_deref().unwrap_or(Path::new("stdin")).display();
    let text = read.map_err(|error| Failure::new(format!("cannot read the text from {name}: {error}")))?;
    // A line end belongs to the file, not to the text.
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

fn read_text(from: impl std::io::Read) -> std::io::Result<String> {
    let mut text = String::new();
    from.take(MAX_TEXT).read_to_string(&mut text)?;
    Ok(text)
}

/// Waits until the newest reveal of a hotkey is this text.
pub(crate) async fn await_reveal(
    chain: &Chain,
    netuid: Netuid,
    hotkey: Hotkey,
    text: &str,
    within: Duration,
) -> Result<Revealed, Failure> {
    let deadline = Instant::now() + within;
    loop {
        let revealed = chain.read(|head| async move { head.revealed(netuid, &hotkey).await }).await?;
        if let Some(newest) = revealed.last().filter(|newest| newest.text() == text) {
            return Ok(newest.clone());
        }
        if Instant::now() + LOOK > deadline {
            let newest =
                revealed.last().map_or("nothing".to_owned(), |newest| format!("{:?}", newest.text()));
            return Err(Failure::new(format!(
                "{hotkey} has not revealed that text on subnet {netuid} within {} s; newest there: {newest}",
                within.as_secs()
            ))
            .hint("`adit commitment show` says whether it is sealed still; a round that is past opens by itself"));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// What a hotkey has on chain.
struct Shown {
    hotkey: Hotkey,
    commitment: Option<Commitment>,
    revealed: Vec<Revealed>,
}

async fn show(env: &Environment, args: &ShowCommitment) -> Result<ExitCode, Failure> {
    let netuid = args.netuid.resolve(env)?;
    let chain = connect(env, &args.network)?;
    if let Some(text) = &args.await_reveal {
        let hotkey = args.who.hotkey(env)?;
        let revealed = await_reveal(&chain, netuid, hotkey, text, Duration::from_secs(args.within)).await?;
        let found = Shown { hotkey, commitment: None, revealed: vec![revealed] };
        print(args, netuid, &[found]);
        return Ok(ExitCode::SUCCESS);
    }
    let shown = if args.all {
        everybody(&chain, netuid).await?
    } else {
        let hotkey = args.who.hotkey(env)?;
        let (commitment, revealed) = chain
            .read(|head| async move {
                Ok((head.commitment(netuid, &hotkey).await?, head.revealed(netuid, &hotkey).await?))
            })
            .await?;
        vec![Shown { hotkey, commitment, revealed }]
    };
    print(args, netuid, &shown);
    Ok(ExitCode::SUCCESS)
}

async fn everybody(chain: &Chain, netuid: Netuid) -> Result<Vec<Shown>, Failure> {
    let (commitments, mut revealed) = chain
        .read(
            |head| async move { Ok((head.all_commitments(netuid).await?, head.all_revealed(netuid).await?)) },
        )
        .await?;
    let mut shown: Vec<Shown> = commitments
        .into_iter()
        .map(|(hotkey, commitment)| {
            let own = revealed.iter().position(|(other, _)| *other == hotkey);
            let revealed = own.map(|own| revealed.swap_remove(own).1).unwrap_or_default();
            Shown { hotkey, commitment: Some(commitment), revealed }
        })
        .collect();
    shown.extend(revealed.into_iter().map(|(hotkey, revealed)| Shown { hotkey, commitment: None, revealed }));
    shown.sort_by_key(|shown| shown.hotkey);
    Ok(shown)
}

fn print(args: &ShowCommitment, netuid: Netuid, shown: &[Shown]) {
    if args.json {
        let all: Vec<Value> = shown.iter().map(as_json).collect();
        println!("{:#}", json!({"netuid": netuid.0, "commitments": all}));
        return;
    }
    for Shown { hotkey, commitment, revealed } in shown {
        println!("{hotkey}");
        for field in commitment.iter().flat_map(|commitment| &commitment.fields) {
            let block = commitment.as_ref().map_or(0, |commitment| commitment.block);
            println!("  block {block}: {field}");
        }
        for one in revealed {
            println!("  revealed in block {}: {:?}", one.block, one.text());
        }
        if commitment.is_none() && revealed.is_empty() {
            println!("  has committed nothing on subnet {netuid}");
        }
    }
}

fn as_json(shown: &Shown) -> Value {
    let fields = |commitment: &Commitment| -> Vec<Value> {
        let field = |field: &Field| match field {
            Field::Raw(bytes) | Field::BigRaw(bytes) => json!({
                "kind": "raw", "hex": format!("0x{}", hex::encode(bytes)),
                "text": std::str::from_utf8(bytes).ok(),
            }),
            Field::Timelocked { ciphertext, round } => {
                json!({"kind": "timelocked", "bytes": ciphertext.len(), "reveal_round": round})
            }
            other => json!({"kind": "other", "shown": other.to_string()}),
        };
        commitment.fields.iter().map(field).collect()
    };
    json!({
        "hotkey": shown.hotkey.to_string(),
        "block": shown.commitment.as_ref().map(|commitment| commitment.block),
        "text": shown.commitment.as_ref().and_then(Commitment::text),
        "fields": shown.commitment.as_ref().map(fields),
        "revealed": shown.revealed.iter().map(|one| json!({
            "block": one.block, "text": one.text(), "hex": format!("0x{}", hex::encode(&one.data)),
        })).collect::<Vec<_>>(),
    })
}
