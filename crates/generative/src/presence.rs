//! The miner's place on chain: whether its hotkey is registered, and the published address at which validators ask it
//! (generative reference, section 12).

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use adit_chain::{
    AxonAddressError, AxonInfo, Call, Chain, ChainError, FINALITY, Limits, Netuid, Registration, SubmitError,
};
use adit_keys::{Hotkey, Keypair};
use adit_outbound::{AddressGuard, Client, FetchError, Limits as FetchLimits, not_public, own_address};
use tokio::time::{Instant, sleep};

use crate::config::ChainConfig;

/// Pause after a look that failed; each further one doubles it.
const PAUSE: Duration = Duration::from_secs(5);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// A hotkey that was registered and is not any more is looked for once more after this: nodes differ for some blocks.
const CONFIRM: Duration = Duration::from_secs(60);
/// How long the chain is looked at for what a publication of unknown fate has done.
const READ_BACK: Duration = Duration::from_secs(60);
/// Time for the answer of whoever is asked for this host's address, and its length.
const ADDRESS: (Duration, u64) = (Duration::from_secs(10), 1024);

/// Looks after the miner's registration and its axon.
#[derive(Debug)]
pub(crate) struct Presence {
    chain: Chain,
    config: ChainConfig,
    pair: Arc<Keypair>,
    listen: SocketAddr,
    uid: Arc<OnceLock<u16>>,
    client: Client,
}

/// Why there is nothing to mine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Absent {
    /// No such subnet.
    #[error("there is no subnet {netuid} on {network}")]
    NoSubnet {
        /// What `BT_NETUID` says.
        netuid: Netuid,
        /// What `BT_CHAIN_ENDPOINT` says.
        network: String,
    },
    /// The hotkey is not registered, or no longer.
    #[error("the hotkey {hotkey} is not registered on subnet {netuid} of {network}")]
    NotRegistered {
        /// The miner's.
        hotkey: Hotkey,
        /// The subnet.
        netuid: Netuid,
        /// The chain.
        network: String,
    },
}

impl Absent {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoSubnet { .. } => {
                "BT_NETUID is 34 with BT_CHAIN_ENDPOINT=finney, and 379 with BT_CHAIN_ENDPOINT=test"
            }
            Self::NotRegistered { .. } => {
                "register it (`adit subnet register --netuid …`, or btcli subnets register), or name another wallet \
                 with BT_WALLET_NAME and BT_WALLET_HOTKEY"
            }
        }
    }
}

/// Why a look came to nothing, for now.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Absent(#[from] Absent),
    #[error("the chain does not say whether this miner is registered: {0}")]
    Chain(#[from] ChainError),
    #[error("the address to publish is not known: {0}; BT_AXON_EXTERNAL_IP names it")]
    NoAddress(FetchError),
    #[error("the address to publish is not known: {url} answers `{answer}`; BT_AXON_EXTERNAL_IP names it")]
    NotAnAddress { url: String, answer: String },
    #[error("{0} (BT_AXON_EXTERNAL_IP, BT_AXON_PORT)")]
    Unusable(#[from] AxonAddressError),
    #[error("{address} is not published, so validators may not find this miner: {source}")]
    NotSent { address: SocketAddr, source: SubmitError },
    #[error("the chain does not show {0}, which was published")]
    NotShown(SocketAddr),
}

impl Presence {
    /// For a miner that listens at `listen`; `uid` is set when the chain has said it.
    pub(crate) fn new(
        config: ChainConfig,
        pair: Arc<Keypair>,
        listen: SocketAddr,
        uid: Arc<OnceLock<u16>>,
    ) -> Result<Self, FetchError> {
        let chain = Chain::new(config.endpoints.clone(), Limits::default());
        // The operator names whom to ask, and it may be anywhere.
        let client = Client::new(AddressGuard::unrestricted())?;
        Ok(Self { chain, config, pair, listen, uid, client })
    }

    /// Looks again and again. Comes back only where there is nothing to mine; a chain that does not answer is waited
    /// for, as the miner does well without it for long.
    ///
    /// `ready` is called once, when nothing speaks against the miner: the chain has said that it is registered, before
    /// the publication, which takes blocks; or it has said nothing for now.
    pub(crate) async fn keep(&self, ready: impl FnOnce()) -> Absent {
        let mut ready = Some(ready);
        let mut pause = PAUSE;
        let mut missed = false;
        loop {
            let place = self.place().await;
            if !matches!(place, Err(Trouble::Absent(_)))
                && let Some(ready) = ready.take()
            {
                ready();
            }
            let looked = match place {
                Ok(place) => self.be_found(&place).await,
                Err(trouble) => Err(trouble),
            };
            match looked {
                Ok(()) => {
                    (pause, missed) = (PAUSE, false);
                    sleep(self.config.look).await;
                }
                Err(Trouble::Absent(absent)) if missed || self.uid.get().is_none() => return absent,
                Err(Trouble::Absent(absent)) => {
                    tracing::warn!("{absent}; looking once more in {} s", CONFIRM.as_secs());
                    missed = true;
                    sleep(CONFIRM).await;
                }
                Err(trouble) => {
                    tracing::warn!("looking again in {} s: {trouble}", pause.as_secs());
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// The miner's place, as the chain has it now.
    async fn place(&self) -> Result<Registration, Trouble> {
        let (netuid, hotkey) = (self.config.netuid, self.pair.hotkey());
        let network = self.config.endpoints.to_string();
        let place = self.chain.read(|head| async move { head.registration(netuid, &hotkey).await }).await;
        let place = match place {
            Err(ChainError::NoSubnet(netuid)) => return Err(Absent::NoSubnet { netuid, network }.into()),
            other => other?,
        };
        let Some(uid) = place.uid else {
            return Err(Absent::NotRegistered { hotkey, netuid, network }.into());
        };
        if self.uid.set(uid).is_ok() {
            tracing::info!("Registered: uid {uid} on subnet {netuid} of {network}");
        }
        Ok(place)
    }

    /// Publishes the miner's address where the chain has another one.
    async fn be_found(&self, place: &Registration) -> Result<(), Trouble> {
        let address = SocketAddr::new(self.address().await?, self.listen.port());
        let axon = AxonInfo::new(address)?;
        if place.axon.is_some_and(|published| published.same_place(&axon)) {
            tracing::debug!("published at {address}");
            return Ok(());
        }
        if let Some(what) = not_public(address.ip()) {
            tracing::warn!(
                "{address} is {what}: validators on the internet cannot reach it (BT_AXON_EXTERNAL_IP)"
            );
        }
        self.publish(axon).await?;
        tracing::info!("Published: validators find this miner at {address}");
        Ok(())
    }

    /// Sends it, and reads it back.
    async fn publish(&self, axon: AxonInfo) -> Result<(), Trouble> {
        let (netuid, hotkey, address) = (self.config.netuid, self.pair.hotkey(), axon.address);
        let patience = match self.chain.submit(&Call::serve_axon(netuid, &axon), &self.pair, FINALITY).await {
            Ok(_) => Duration::ZERO,
            Err(SubmitError::Unknown { .. }) => READ_BACK,
            Err(source) => return Err(Trouble::NotSent { address, source }),
        };
        let deadline = Instant::now() + patience;
        loop {
            let place =
                self.chain.read(|head| async move { head.registration(netuid, &hotkey).await }).await?;
            if place.axon.is_some_and(|published| published.same_place(&axon)) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(Trouble::NotShown(address));
            }
            sleep(PAUSE).await;
        }
    }

    /// The address at which validators reach this host. Upstream publishes 0.0.0.0 where none is named.
    async fn address(&self) -> Result<IpAddr, Trouble> {
        if let Some(named) = self.config.address {
            return Ok(named);
        }
        let own = [Some(self.listen.ip()), own_address().ok()];
        if let Some(public) = own.into_iter().flatten().find(|ip| not_public(*ip).is_none()) {
            return Ok(public);
        }
        let url = &self.config.address_url;
        let limits = FetchLimits::new(Instant::now() + ADDRESS.0, ADDRESS.1);
        let answer = async { self.client.get(url, &limits).await?.bytes().await }.await;
        let answer = answer.map_err(Trouble::NoAddress)?;
        let answer = String::from_utf8_lossy(&answer).trim().to_owned();
        answer.parse().map_err(|_| Trouble::NotAnAddress { url: url.clone(), answer })
    }
}

#[cfg(test)]
mod tests {
    use adit_chain::Endpoints;
    use adit_stand_in::local_chain::{LocalChain, newest_metadata};
    use adit_stand_in::node::{Node, NodeScript, Submission};
    use tokio::time::timeout;

    use super::*;

    /// `SubtensorModule.NetworksAdded` of subnet 44.
    const SUBNET: &str = "658faa385070e074c85bf6b568cf05550e30450fc4d507a846032a7fa65d9a432c00";
    /// `SubtensorModule.Uids` of it and the local chain's miner.
    const UID: &str = "658faa385070e074c85bf6b568cf0555aab1b4e78e1ea8305462ee53b3686dc82c009d98e30cfdaa5379f2dabce80d542cc4de840b9a23c8441121ab84fcf05a7e1b7514959325d3b432b0d2f2f9fcf82758";

    fn presence(url: &str) -> Presence {
        let config = ChainConfig {
            endpoints: Endpoints::parse(url).unwrap(),
            netuid: Netuid(44),
            look: Duration::from_secs(1),
            address: Some([203, 0, 113, 44].into()),
            address_url: String::new(),
        };
        let pair = Arc::new(Keypair::from_uri(&LocalChain::uri("//Miner//hot")).unwrap());
        let listen = SocketAddr::from(([127, 0, 0, 1], 8093));
        Presence::new(config, pair, listen, Arc::default()).unwrap()
    }

    /// What a presence comes to within `patience`, and the uid at each call of `ready`.
    async fn kept(presence: &Presence, patience: Duration) -> (Option<Absent>, Vec<Option<u16>>) {
        let (told, telling) = std::sync::mpsc::channel();
        let uid = Arc::clone(&presence.uid);
        let ready = move || told.send(uid.get().copied()).unwrap();
        let ended = timeout(patience, presence.keep(ready)).await.ok();
        (ended, telling.try_iter().collect())
    }

    #[tokio::test]
    async fn ready_once_the_uid_is_known_and_before_the_publication_is_through() {
        let Some(metadata) = newest_metadata() else { return };
        let script = NodeScript::new(metadata)
            .storage(hex::decode(SUBNET).unwrap(), [1])
            .storage(hex::decode(UID).unwrap(), 4_u16.to_le_bytes())
            .submission(Submission::Forgotten);
        let node = Node::start(script).await.unwrap();
        let (ended, told) = kept(&presence(&node.url()), Duration::from_secs(5)).await;
        assert!(ended.is_none(), "{ended:?}");
        assert_eq!(told, [Some(4)]);
        let asked = node.requests();
        assert!(asked.iter().any(|method| method.starts_with("author_submit")), "{asked:?}");
    }

    #[tokio::test]
    async fn never_ready_without_a_registration() {
        let Some(metadata) = newest_metadata() else { return };
        let script = NodeScript::new(metadata);
        let node = Node::start(script.clone()).await.unwrap();
        let (ended, told) = kept(&presence(&node.url()), Duration::from_secs(30)).await;
        assert!(matches!(ended, Some(Absent::NoSubnet { .. })), "{ended:?}");
        assert_eq!(told, []);
        node.set(script.storage(hex::decode(SUBNET).unwrap(), [1]));
        let (ended, told) = kept(&presence(&node.url()), Duration::from_secs(30)).await;
        assert!(matches!(ended, Some(Absent::NotRegistered { .. })), "{ended:?}");
        assert_eq!(told, []);
    }

    /// The second look comes to trouble too.
    #[tokio::test]
    async fn ready_once_where_no_node_answers() {
        let (ended, told) = kept(&presence("ws://127.0.0.1:9"), PAUSE + Duration::from_secs(2)).await;
        assert!(ended.is_none(), "{ended:?}");
        assert_eq!(told, [None]);
    }
}
