//! What a command leaves in a miner's journal. No command fails because of it.

use adit_chain::{Chain, ChainError, Netuid};
use adit_journal::record::{MAX_TEXT, Record, bounded};
use adit_journal::{Journal, Place};
use adit_keys::Hotkey;
use adit_settings::Environment;
use url::Url;

/// The journal of this name, where one is kept.
pub(super) fn open(env: &Environment, file: &str) -> Option<Journal> {
    match Place::from_settings(env, file) {
        Ok(place) => place?.open(),
        Err(error) => {
            tracing::warn!("nothing is recorded: {error}");
            None
        }
    }
}

/// Records one event.
pub(super) fn record<R: Record>(env: &Environment, file: &str, record: &R) {
    if let Some(journal) = open(env, file) {
        journal.record(record);
    }
}

/// An address without what may be a secret in it.
pub(super) fn address(url: &str) -> String {
    let Ok(mut url) = Url::parse(url) else { return "an address that is no URL".to_owned() };
    // They fail only where there is nothing to remove.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    bounded(url.as_str(), MAX_TEXT)
}

/// Records what the chain says of a hotkey; `commitment` is the newest text that it revealed.
pub(super) async fn record_chain(
    journal: &Journal,
    chain: &Chain,
    network: &str,
    netuid: Netuid,
    hotkey: Hotkey,
    commitment: Option<&str>,
) -> Result<(), ChainError> {
    let (time, metagraph) =
        chain.read(|head| async move { Ok((head.time().await?, head.metagraph(netuid).await?)) }).await?;
    let network = address_or_name(network);
    journal.record(&adit_chain::standing(&metagraph, hotkey, network, time, commitment.map(str::to_owned)));
    Ok(())
}

/// A network is a name, or a node's address.
fn address_or_name(network: &str) -> String {
    if network.contains("://") { address(network) } else { bounded(network, MAX_TEXT) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_recorded_without_its_secrets() {
        assert_eq!(address("https://me:pw@chute.example:8443/a?token=x#y"), "https://chute.example:8443/a");
        assert_eq!(address("not one, token=x"), "an address that is no URL");
        assert_eq!(address_or_name("finney"), "finney");
    }
}
