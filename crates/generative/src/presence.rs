//! The miner's place on chain: whether its hotkey is registered, and the published address at which validators ask it
//! (generative reference, section 12).

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use adit_chain::{
    AxonAddressError, AxonInfo, Call, Chain, ChainError, FINALITY, Limits, Netuid, SubmitError,
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
    pub(crate) async fn keep(&self) -> Absent {
        let mut pause = PAUSE;
        let mut missed = false;
        loop {
            match self.look().await {
                Ok(None) => {
                    (pause, missed) = (PAUSE, false);
                    sleep(self.config.look).await;
                }
                Ok(Some(absent)) if missed || self.uid.get().is_none() => return absent,
                Ok(Some(absent)) => {
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

    /// One look, with what is to be done after it.
    async fn look(&self) -> Result<Option<Absent>, Trouble> {
        let (netuid, hotkey) = (self.config.netuid, self.pair.hotkey());
        let network = self.config.endpoints.to_string();
        let place = self.chain.read(|head| async move { head.registration(netuid, &hotkey).await }).await;
        let place = match place {
            Err(ChainError::NoSubnet(netuid)) => return Ok(Some(Absent::NoSubnet { netuid, network })),
            other => other?,
        };
        let Some(uid) = place.uid else {
            return Ok(Some(Absent::NotRegistered { hotkey, netuid, network }));
        };
        if self.uid.set(uid).is_ok() {
            tracing::info!("Registered: uid {uid} on subnet {netuid} of {network}");
        }
        let address = SocketAddr::new(self.address().await?, self.listen.port());
        let axon = AxonInfo::new(address)?;
        if place.axon.is_some_and(|published| published.same_place(&axon)) {
            tracing::debug!("published at {address}");
            return Ok(None);
        }
        if let Some(what) = not_public(address.ip()) {
            tracing::warn!(
                "{address} is {what}: validators on the internet cannot reach it (BT_AXON_EXTERNAL_IP)"
            );
        }
        self.publish(axon).await?;
        tracing::info!("Published: validators find this miner at {address}");
        Ok(None)
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
