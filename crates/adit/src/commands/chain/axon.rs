//! `adit axon set`, `show` and `probe`.

use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use adit_chain::{AxonInfo, Call, Netuid};
use adit_keys::Hotkey;
use adit_outbound::{AddressGuard, Client, FetchError, Limits, not_public, own_address};
use adit_settings::{Environment, var};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::{Sent, connect, not_shown, read_back, send, sent_json};
use crate::cli::chain::{AxonCommand, SetAxon, ShowPlace};
use crate::commands::block_on;
use crate::commands::password::open_hotkey;
use crate::failure::Failure;

/// Wait for a connection, and for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most of an answer that is read.
const MAX_ANSWER: u64 = 1024 * 1024;

pub(crate) fn run(env: &Environment, command: AxonCommand) -> Result<ExitCode, Failure> {
    match command {
        AxonCommand::Set(args) => block_on(set(env, &args)),
        AxonCommand::Show(args) => block_on(show(env, &args)),
        AxonCommand::Probe(args) => block_on(probe(env, &args)),
    }
}

async fn set(env: &Environment, args: &SetAxon) -> Result<ExitCode, Failure> {
    let netuid = args.netuid.resolve(env)?;
    let wallet = args.signed.wallet.resolve(env)?;
    let hotkey = wallet.hotkey_address()?;
    let port = match args.port {
        Some(port) => port,
        None => env.parsed(&var::MINER_PORT, "a port from 0 to 65535")?,
    };
    let ip = args.ip.map_or_else(public_address, Ok)?;
    let axon = AxonInfo::new(SocketAddr::new(ip, port))
        .map_err(|error| Failure::new(error).hint("name this host's public address with --ip and --port"))?;
    if let Some(what) = not_public(ip) {
        eprintln!(
            "warning: {ip} is {what}: validators on the internet cannot reach it. Name the public one with --ip."
        );
    }
    let chain = connect(env, &args.signed.network)?;
    let before = chain.read(|head| async move { head.registration(netuid, &hotkey).await }).await?;
    if before.uid.is_none() {
        return Err(Failure::new(format!("the hotkey {hotkey} is not registered on subnet {netuid}"))
            .hint(format!("register it first: `adit subnet register --netuid {netuid}`")));
    }
    if before.axon.is_some_and(|published| published.same_place(&axon)) {
        return Ok(done(args, netuid, &axon, &hotkey, None));
    }
    let call = Call::serve_axon(netuid, &axon);
    let sent =
        send(&chain, &call, hotkey, &args.signed.send, || open_hotkey(env, &wallet, &args.signed.password))
            .await?;
    if matches!(sent, Sent::DryRun) {
        return Ok(ExitCode::SUCCESS);
    }
    let published = read_back(&chain, &sent, |head| async move {
        let published = head.registration(netuid, &hotkey).await?.axon;
        Ok(published.filter(|published| published.same_place(&axon)))
    });
    match published.await? {
        Some(_) => Ok(done(args, netuid, &axon, &hotkey, Some(&sent))),
        None => Err(not_shown(&sent, &format!("the axon {}", axon.address))),
    }
}

/// `sent` is `None` where the axon was published before.
fn done(args: &SetAxon, netuid: Netuid, axon: &AxonInfo, hotkey: &Hotkey, sent: Option<&Sent>) -> ExitCode {
    if args.signed.send.json {
        let result = json!({
            "published": true, "already": sent.is_none(), "netuid": netuid.0, "hotkey": hotkey.to_string(),
            "ip": axon.address.ip().to_string(), "port": axon.address.port(), "public": not_public(axon.address.ip()).is_none(),
            "included": sent.map(sent_json),
        });
        println!("{result:#}");
        return ExitCode::SUCCESS;
    }
    let already = if sent.is_some() { "" } else { " already" };
    println!("✓ published{already}: {hotkey} answers at {} on subnet {netuid}", axon.address);
    println!("Next: `adit axon probe --netuid {netuid}` from another host shows whether it can be reached.");
    ExitCode::SUCCESS
}

/// This host's own address, where it is a public one.
pub(crate) fn public_address() -> Result<IpAddr, Failure> {
    let hint = "name the address at which validators reach this miner: --ip 203.0.113.10";
    let ip = own_address()
        .map_err(|error| Failure::new(format!("this host has no way out: {error}")).hint(hint))?;
    match not_public(ip) {
        None => Ok(ip),
        Some(what) => Err(Failure::new(format!(
            "this host's own address, {ip}, is {what}: the public one is that of its router or cloud"
        ))
        .hint(hint)),
    }
}

async fn show(env: &Environment, args: &ShowPlace) -> Result<ExitCode, Failure> {
    let (netuid, hotkey, axon) = published(env, args).await?;
    if args.json {
        let axon = axon.map(|axon| {
            json!({
                "ip": axon.address.ip().to_string(), "port": axon.address.port(),
                "public": not_public(axon.address.ip()).is_none(), "version": axon.version, "protocol": axon.protocol,
                "block": axon.block,
            })
        });
        println!("{:#}", json!({"netuid": netuid.0, "hotkey": hotkey.to_string(), "axon": axon}));
        return Ok(ExitCode::SUCCESS);
    }
    match axon {
        Some(axon) => {
            println!("{hotkey} answers at {} on subnet {netuid}, since block {}", axon.address, axon.block);
            warn_of(axon.address.ip());
        }
        None => {
            println!("{hotkey} has published no axon on subnet {netuid}: `adit axon set --netuid {netuid}`")
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Says so where validators cannot reach an address.
fn warn_of(ip: IpAddr) {
    if let Some(what) = not_public(ip) {
        println!("warning: {ip} is {what}: validators on the internet cannot reach it");
    }
}

async fn published(
    env: &Environment,
    args: &ShowPlace,
) -> Result<(Netuid, Hotkey, Option<AxonInfo>), Failure> {
    let (netuid, hotkey) = (args.netuid.resolve(env)?, args.who.hotkey(env)?);
    let chain = connect(env, &args.network)?;
    let place = chain.read(|head| async move { head.registration(netuid, &hotkey).await }).await?;
    if place.uid.is_none() {
        return Err(Failure::new(format!("the hotkey {hotkey} is not registered on subnet {netuid}"))
            .hint(format!("register it first: `adit subnet register --netuid {netuid}`")));
    }
    Ok((netuid, hotkey, place.axon))
}

async fn probe(env: &Environment, args: &ShowPlace) -> Result<ExitCode, Failure> {
    let (netuid, hotkey, axon) = published(env, args).await?;
    let axon = axon.ok_or_else(|| {
        Failure::new(format!("{hotkey} has published no axon on subnet {netuid}"))
            .hint(format!("publish it: `adit axon set --netuid {netuid}`"))
    })?;
    let answer = reach(axon.address, PATIENCE).await;
    if args.json {
        let result = json!({
            "netuid": netuid.0, "hotkey": hotkey.to_string(), "address": axon.address.to_string(),
            "public": not_public(axon.address.ip()).is_none(), "reached": answer.is_ok(),
            "answer": answer.as_ref().ok(), "error": answer.as_ref().err(),
        });
        println!("{result:#}");
    } else {
        println!("{hotkey} is published at {} on subnet {netuid}", axon.address);
        match &answer {
            Ok(what) => println!("✓ reached from here: {what}"),
            Err(why) => println!("✗ not reached from here: {why}"),
        }
        warn_of(axon.address.ip());
        if answer.is_err() {
            println!(
                "hint: does the miner run, and do the firewall and the router let port {} in? From the miner's own \
                 host this can fail although others reach it",
                axon.address.port()
            );
        }
    }
    Ok(if answer.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What answers at an address, within `patience` for the connection and as much again for the answer.
pub(crate) async fn reach(address: SocketAddr, patience: Duration) -> Result<String, String> {
    match timeout(patience, TcpStream::connect(address)).await {
        Err(_) => return Err(format!("no connection within {:.1} s", patience.as_secs_f32())),
        Ok(Err(error)) => return Err(error.to_string()),
        Ok(Ok(_)) => {}
    }
    // The operator's own miner may be anywhere, so the guard is off here.
    let client = Client::new(AddressGuard::unrestricted()).map_err(|error| error.to_string())?;
    let limits = Limits::new(Instant::now() + patience, MAX_ANSWER);
    let answer =
        async { client.get(&format!("http://{address}/health"), &limits).await?.bytes().await }.await;
    let health: serde_json::Value = match answer {
        Ok(body) => serde_json::from_slice(&body).unwrap_or_default(),
        Err(FetchError::Status { status, .. }) => return Ok(format!("a server that answers with {status}")),
        Err(error) => return Err(format!("the port is open, but no HTTP server answers: {error}")),
    };
    match (health["version"].as_str(), health["status"].as_str()) {
        (Some(version), Some(status)) => Ok(format!("Adit {version}, {status}")),
        _ => Ok("an HTTP server".to_owned()),
    }
}
