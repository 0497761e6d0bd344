//! What the chain says of one hotkey, for the journal of its miner: once a tempo, and when something of it has changed.

use std::net::SocketAddr;
use std::time::SystemTime;

use adit_journal::Journal;
use adit_journal::record::{Chain as Standing, bounded};
use adit_keys::Hotkey;

use crate::{Chain, Metagraph, Netuid};

/// Most characters of a commitment that is recorded.
const MAX_COMMITMENT: usize = 512;

/// Records the place of one hotkey on its subnet.
#[derive(Debug)]
pub struct Observer {
    hotkey: Hotkey,
    journal: Journal,
    commitment: bool,
    last: Option<Seen>,
}

/// What makes another record due.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    epoch: u64,
    uid: Option<u16>,
    axon: Option<SocketAddr>,
    registered_at: Option<u64>,
}

impl Observer {
    /// For the miner with this hotkey.
    #[must_use]
    pub fn new(hotkey: Hotkey, journal: Journal) -> Self {
        Self { hotkey, journal, commitment: false, last: None }
    }

    /// Reads its newest commitment too, in the open or opened since, once for each record.
    #[must_use]
    pub fn with_commitment(self) -> Self {
        Self { commitment: true, ..self }
    }

    /// Looks at a metagraph, and records it where that is due.
    pub(crate) async fn observe(&mut self, chain: &Chain, metagraph: &Metagraph, as_of: SystemTime) {
        let neuron = metagraph.neuron(&self.hotkey);
        let seen = Seen {
            epoch: epoch(metagraph),
            uid: neuron.map(|neuron| neuron.uid),
            axon: neuron.and_then(|neuron| Some(neuron.axon?.address)),
            registered_at: neuron.map(|neuron| neuron.registered_at),
        };
        if self.last.as_ref() == Some(&seen) {
            return;
        }
        let commitment =
            if self.commitment { self.read_commitment(chain, metagraph.netuid).await } else { None };
        self.journal.record(&standing(
            metagraph,
            self.hotkey,
            chain.endpoints().to_string(),
            as_of,
            commitment,
        ));
        self.last = Some(seen);
    }

    async fn read_commitment(&self, chain: &Chain, netuid: Netuid) -> Option<String> {
        let hotkey = self.hotkey;
        let read = chain.read(|head| async move {
            tokio::try_join!(head.commitment(netuid, &hotkey), head.revealed(netuid, &hotkey))
        });
        match read.await {
            Ok((open, revealed)) => {
                let open = open.and_then(|open| Some((open.block, open.text()?)));
                let revealed = revealed.last().map(|revealed| (revealed.block, revealed.text()));
                let (_, newest) = open.into_iter().chain(revealed).max_by_key(|(block, _)| *block)?;
                Some(newest)
            }
            Err(error) => {
                tracing::debug!("the commitment is not recorded: {error}");
                None
            }
        }
    }
}

/// Counts up with the subnet's epochs: the runtime ends one at each block where block + netuid + 1 divides by tempo + 1.
fn epoch(metagraph: &Metagraph) -> u64 {
    let length = metagraph.tempo.saturating_add(1);
    metagraph.block.saturating_add(u64::from(metagraph.netuid.0) + 1) / length
}

/// What a metagraph says of a hotkey. `network` is a name or a node's address, `as_of` when its block was made, `commitment` the
/// newest text that the hotkey committed, where that was read.
#[must_use]
pub fn standing(
    metagraph: &Metagraph,
    hotkey: Hotkey,
    network: String,
    as_of: SystemTime,
    commitment: Option<String>,
) -> Standing {
    let neuron = metagraph.neuron(&hotkey);
    let incentive = neuron.map_or(0.0, |neuron| neuron.incentive);
    let better = || metagraph.neurons.iter().filter(|other| other.incentive > incentive).count();
    let since = as_of.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Standing {
        netuid: metagraph.netuid.0,
        network,
        hotkey: hotkey.to_string(),
        block: metagraph.block,
        as_of_ms: i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        tempo: metagraph.tempo,
        hotkeys: u32::try_from(metagraph.neurons.len()).unwrap_or(u32::MAX),
        uid: neuron.map(|neuron| neuron.uid),
        incentive,
        place: neuron.map(|_| u32::try_from(better() + 1).unwrap_or(u32::MAX)),
        emission_rao: neuron.map_or(0, |neuron| neuron.emission.0),
        registered_at: neuron.map(|neuron| neuron.registered_at),
        immunity_period: metagraph.immunity_period,
        axon: neuron.and_then(|neuron| Some(neuron.axon?.address.to_string())),
        commitment: commitment.map(|text| bounded(&text, MAX_COMMITMENT)),
    }
}
