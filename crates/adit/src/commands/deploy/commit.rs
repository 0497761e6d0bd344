//! The commitment: which image answers for the hotkey, sealed for a block, then waited for until the chain
//! shows it to all.

use std::time::{Duration, SystemTime};

use adit_chain::commitment::BLOCK_TIME;
use adit_chain::{Call, Chain, Commitment as OnChain, Field, Netuid, Revealed, timelock};
use adit_keys::{Hotkey, Keypair, Wallet};
use adit_private_track::deployment::Commitment;
use adit_settings::Environment;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::say::{Say, Step};
use super::{Deployment, element};
use crate::cli::chain::SendArgs;
use crate::cli::deploy::DeployPtMiner;
use crate::commands::chain::{LOOK, Sent, await_reveal, connect, not_shown, read_back, send, sent_json};
use crate::commands::password::open_hotkey;
use crate::failure::Failure;

/// What is needed to commit, settled before the long part of the work.
pub(super) struct Committing {
    pub(super) chain: Chain,
    pub(super) hotkey: Hotkey,
    pub(super) element: String,
    /// Opened at once, so that a password is asked for while the operator is still there. `None` where
    /// nothing is sent.
    key: Option<Keypair>,
}

pub(super) async fn prepare(
    env: &Environment,
    args: &DeployPtMiner,
    netuid: Netuid,
    wallet: &Wallet,
    hotkey: Hotkey,
    say: &mut Say,
) -> Result<Committing, Failure> {
    let chain = connect(env, &args.network)?;
    let (block, place) = chain
        .read(|head| async move { Ok((head.number(), head.registration(netuid, &hotkey).await?)) })
        .await?;
    if place.uid.is_none() {
        return Err(Failure::new(format!("the hotkey {hotkey} is not registered on subnet {netuid}"))
            .hint(format!("register it first: `adit subnet register --netuid {netuid}`, or leave the commitment out: --no-commit")));
    }
    if place.axon.is_none() {
        say.warn(format_args!(
            "no axon on chain: validators will not find this miner until `adit axon set --netuid {netuid}`"
        ));
    }
    let element = element::choose(env, args, block, say).await?;
    let key = if args.dry_run { None } else { Some(open_hotkey(env, wallet, &args.password)?) };
    if let Some(key) = &key
        && key.hotkey() != hotkey
    {
        return Err(Failure::new(format!("the hotkey's file holds {}, not {hotkey}", key.hotkey())));
    }
    Ok(Committing { chain, hotkey, element, key })
}

impl Committing {
    /// Whether the newest reveal is this commitment, and nothing is sealed that will be newer.
    pub(super) async fn holds(&self, deployment: &Deployment, digest: &str) -> Result<bool, Failure> {
        let text = self.text(deployment, digest);
        let (sealed, newest) = standing(&self.chain, deployment.netuid, self.hotkey).await?;
        Ok(sealed.is_none() && newest.is_some_and(|newest| newest.text() == text))
    }

    pub(super) fn text(&self, deployment: &Deployment, digest: &str) -> String {
        let image = &deployment.target.image;
        let commitment = Commitment {
            image_repo: image.repo(),
            image_tag: image.tag().to_owned(),
            image_digest: digest.to_owned(),
            element_id: self.element.clone(),
            hotkey: self.hotkey,
        };
        commitment.text()
    }
}

/// The call that commits a text, sealed from now on.
pub(super) fn call(netuid: Netuid, text: &str) -> Result<Call, Failure> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let field = Field::sealed(text, now, 1).map_err(Failure::new)?;
    Ok(Call::set_commitment(netuid, &[field]))
}

pub(super) async fn commit(
    deployment: &Deployment,
    committing: Committing,
    digest: &str,
    say: &mut Say,
) -> Result<(), Failure> {
    let text = committing.text(deployment, digest);
    let Committing { chain, hotkey, key, .. } = committing;
    let (chain, netuid) = (&chain, deployment.netuid);
    say.begin(Step::Commit, format_args!("Committing on-chain: {text}"));
    let (sealed, mut newest) = standing(chain, netuid, hotkey).await?;
    // What is sealed now will be the newest: it may be this text, from a run that was stopped, or another one.
    if let Some(wait) = sealed {
        say.line("  a commitment is sealed already: waiting for its reveal");
        newest = next_reveal(chain, netuid, hotkey, newest, wait + BLOCK_TIME * 4).await?;
    }
    if let Some(newest) = newest.filter(|newest| newest.text() == text) {
        say.done("On-chain commitment", true, json!({"text": text, "revealed_in_block": newest.block}));
        return Ok(());
    }
    let key = || key.ok_or_else(|| Failure::new("there is no key to sign with"));
    let call = call(netuid, &text)?;
    let sent = send(chain, &call, hotkey, &SendArgs::unasked(), key).await?;
    let shown = read_back(chain, &sent, |head| {
        let text = text.clone();
        async move {
            let sealed = head.commitment(netuid, &hotkey).await?.and_then(|shown| still_sealed(&shown));
            let open = head.revealed(netuid, &hotkey).await?;
            Ok((sealed.is_some() || open.last().is_some_and(|newest| newest.text() == text)).then_some(()))
        }
    });
    // It may lie between sealed and revealed; then the reveal decides.
    if shown.await?.is_none() && matches!(sent, Sent::Unknown(_)) {
        return Err(not_shown(&sent, "the commitment"));
    }
    say.line("✓ On-chain commitment submitted");
    let revealed = await_reveal(chain, netuid, hotkey, &text, deployment.args.reveal()).await?;
    let facts = json!({"text": text, "included": sent_json(&sent), "revealed_in_block": revealed.block});
    say.done(format_args!("Revealed in block {}", revealed.block), false, facts);
    Ok(())
}

/// How long until what is sealed may be revealed, where something is; and the newest reveal.
async fn standing(
    chain: &Chain,
    netuid: Netuid,
    hotkey: Hotkey,
) -> Result<(Option<Duration>, Option<Revealed>), Failure> {
    let (sealed, mut revealed) = chain
        .read(|head| async move {
            Ok((head.commitment(netuid, &hotkey).await?, head.revealed(netuid, &hotkey).await?))
        })
        .await?;
    Ok((sealed.as_ref().and_then(still_sealed), revealed.pop()))
}

/// The newest reveal once there is another than `known`, or after a while.
async fn next_reveal(
    chain: &Chain,
    netuid: Netuid,
    hotkey: Hotkey,
    known: Option<Revealed>,
    within: Duration,
) -> Result<Option<Revealed>, Failure> {
    let deadline = Instant::now() + within;
    loop {
        let newest = chain.read(|head| async move { head.revealed(netuid, &hotkey).await }).await?.pop();
        if newest != known || Instant::now() > deadline {
            return Ok(newest);
        }
        sleep(LOOK).await;
    }
}

/// Until when a sealed commitment may be revealed, from now; `None` where there is none that may.
fn still_sealed(commitment: &OnChain) -> Option<Duration> {
    const LATEST: Duration = Duration::from_secs(180);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let round = commitment.fields.iter().find_map(|field| match field {
        Field::Timelocked { round, .. } => Some(*round),
        _ => None,
    })?;
    let published = timelock::published_at(round)?;
    (published + LATEST > now).then(|| published.saturating_sub(now))
}
