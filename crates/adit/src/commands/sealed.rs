//! A miner's commitment: sealed for a block, then waited for until the chain shows it to all.

use std::time::{Duration, SystemTime};

use adit_chain::commitment::BLOCK_TIME;
use adit_chain::{Call, Chain, Commitment, Field, Netuid, Registration, Revealed, timelock};
use adit_keys::{Hotkey, Keypair, Wallet};
use adit_settings::Environment;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::chain::{LOOK, Sent, await_reveal, not_shown, read_back, send, sent_json};
use super::password::open_hotkey;
use super::say::{Say, Step};
use crate::cli::chain::SendArgs;
use crate::cli::wallet::PasswordArgs;
use crate::failure::Failure;

/// Who commits where, settled before the long part of the work.
pub(super) struct Committer {
    pub(super) chain: Chain,
    pub(super) netuid: Netuid,
    pub(super) hotkey: Hotkey,
    /// `None` where nothing is sent.
    key: Option<Keypair>,
}

/// What the chain knows of the hotkey before anything is done.
pub(super) struct Known {
    pub(super) block: u64,
    pub(super) place: Registration,
    /// The reveals, oldest first.
    pub(super) revealed: Vec<Revealed>,
}

impl Committer {
    /// The key is opened at once, so that a password is asked for while the operator is still there; with
    /// `dry_run` it is not.
    pub(super) async fn prepare(
        env: &Environment,
        chain: Chain,
        netuid: Netuid,
        wallet: &Wallet,
        password: &PasswordArgs,
        dry_run: bool,
    ) -> Result<(Self, Known), Failure> {
        let hotkey = wallet.hotkey_address()?;
        let known = chain
            .read(|head| async move {
                let place = head.registration(netuid, &hotkey).await?;
                let revealed = head.revealed(netuid, &hotkey).await?;
                Ok(Known { block: head.number(), place, revealed })
            })
            .await?;
        if known.place.uid.is_none() {
            return Err(Failure::new(format!("the hotkey {hotkey} is not registered on subnet {netuid}"))
                .hint(format!("register it first: `adit subnet register --netuid {netuid}`, or leave the commitment out: --no-commit")));
        }
        let key = if dry_run { None } else { Some(open_hotkey(env, wallet, password)?) };
        if let Some(key) = &key
            && key.hotkey() != hotkey
        {
            return Err(Failure::new(format!("the hotkey's file holds {}, not {hotkey}", key.hotkey())));
        }
        Ok((Self { chain, netuid, hotkey, key }, known))
    }

    /// Whether `text` is the newest reveal of those that it competes with, and nothing is sealed that will be newer.
    pub(super) async fn holds(&self, text: &str, competes: impl Fn(&str) -> bool) -> Result<bool, Failure> {
        let (sealed, revealed) = self.standing().await?;
        Ok(sealed.is_none() && newest(&revealed, competes).is_some_and(|newest| newest.text() == text))
    }

    /// The call that commits a text, sealed from now on.
    pub(super) fn call(&self, text: &str) -> Result<Call, Failure> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let field = Field::sealed(text, now, 1).map_err(Failure::new)?;
        Ok(Call::set_commitment(self.netuid, &[field]))
    }

    /// Commits `text`, where it does not hold already, and waits for its reveal. Of the reveals, those that `competes`
    /// says yes to are for the same thing: the newest of them counts.
    pub(super) async fn commit(
        mut self,
        text: &str,
        competes: impl Fn(&str) -> bool,
        within: Duration,
        say: &mut Say,
    ) -> Result<(), Failure> {
        say.begin(Step::Commit, format_args!("Committing on-chain: {text}"));
        let (sealed, mut revealed) = self.standing().await?;
        // What is sealed now will be the newest: it may be this text, from a run that was stopped, or another one.
        if let Some(wait) = sealed {
            say.line("  a commitment is sealed already: waiting for its reveal");
            revealed = self.next_reveal(revealed, wait + BLOCK_TIME * 4).await?;
        }
        if let Some(newest) = newest(&revealed, competes).filter(|newest| newest.text() == text) {
            say.done("On-chain commitment", true, json!({"text": text, "revealed_in_block": newest.block}));
            return Ok(());
        }
        let key = self.key.take();
        let key = || key.ok_or_else(|| Failure::new("there is no key to sign with"));
        let call = self.call(text)?;
        let (netuid, hotkey) = (self.netuid, self.hotkey);
        let sent = send(&self.chain, &call, hotkey, &SendArgs::unasked(), key).await?;
        let shown = read_back(&self.chain, &sent, |head| async move {
            let sealed = head.commitment(netuid, &hotkey).await?.and_then(|shown| still_sealed(&shown));
            let open = head.revealed(netuid, &hotkey).await?;
            Ok((sealed.is_some() || open.last().is_some_and(|newest| newest.text() == text)).then_some(()))
        });
        // It may lie between sealed and revealed; then the reveal decides.
        if shown.await?.is_none() && matches!(sent, Sent::Unknown(_)) {
            return Err(not_shown(&sent, "the commitment"));
        }
        say.line("✓ On-chain commitment submitted");
        let revealed = await_reveal(&self.chain, netuid, hotkey, text, within).await?;
        let facts = json!({"text": text, "included": sent_json(&sent), "revealed_in_block": revealed.block});
        say.done(format_args!("Revealed in block {}", revealed.block), false, facts);
        Ok(())
    }

    /// How long until what is sealed may be revealed, where something is; and the reveals.
    async fn standing(&self) -> Result<(Option<Duration>, Vec<Revealed>), Failure> {
        let (netuid, hotkey) = (self.netuid, self.hotkey);
        let (sealed, revealed) = self
            .chain
            .read(|head| async move {
                Ok((head.commitment(netuid, &hotkey).await?, head.revealed(netuid, &hotkey).await?))
            })
            .await?;
        Ok((sealed.and_then(|sealed| still_sealed(&sealed)), revealed))
    }

    /// The reveals, once there is another one than `known`, or after `within`.
    async fn next_reveal(&self, known: Vec<Revealed>, within: Duration) -> Result<Vec<Revealed>, Failure> {
        let (netuid, hotkey) = (self.netuid, self.hotkey);
        let deadline = Instant::now() + within;
        loop {
            let revealed =
                self.chain.read(|head| async move { head.revealed(netuid, &hotkey).await }).await?;
            if revealed.last() != known.last() || Instant::now() > deadline {
                return Ok(revealed);
            }
            sleep(LOOK).await;
        }
    }
}

fn newest(revealed: &[Revealed], competes: impl Fn(&str) -> bool) -> Option<&Revealed> {
    revealed.iter().rev().find(|reveal| competes(&reveal.text()))
}

/// Until when a sealed commitment may be revealed, from now; `None` where there is none that may.
fn still_sealed(commitment: &Commitment) -> Option<Duration> {
    const LATEST: Duration = Duration::from_secs(180);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let round = commitment.fields.iter().find_map(|field| match field {
        Field::Timelocked { round, .. } => Some(*round),
        _ => None,
    })?;
    let published = timelock::published_at(round)?;
    (published + LATEST > now).then(|| published.saturating_sub(now))
}
