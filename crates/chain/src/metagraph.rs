//! A subnet's neurons at one block, read in one round trip.
//!
//! The types come from the node's metadata. Runtimes before mid-2025 answer the same call without
//! listing it in their metadata; for them the layout of the call's first version is written down in
//! `first_layout`.

use adit_keys::Hotkey;
use subxt::ext::codec::Decode as _;
use subxt::ext::scale_decode::DecodeAsType;

use crate::axon::{AxonInfo, StoredAxon};
use crate::runtime::{Runtime, malformed};
use crate::{ChainError, Netuid, Rao};

mod first_layout;

/// The runtime API.
pub(crate) const API: &str = "SubnetInfoRuntimeApi";
/// Its method.
pub(crate) const METHOD: &str = "get_metagraph";

/// A subnet and its neurons.
#[derive(Debug, Clone, PartialEq)]
pub struct Metagraph {
    /// The subnet.
    pub netuid: Netuid,
    /// Its name, as its owner wrote it.
    pub name: String,
    /// Sign of its token.
    pub symbol: String,
    /// Block that all this is of.
    pub block: u64,
    /// Blocks between two epochs.
    pub tempo: u64,
    /// Places for neurons.
    pub max_uids: u64,
    /// Blocks for which a new neuron cannot be replaced.
    pub immunity_period: u64,
    /// What a registration costs now.
    pub registration_cost: Rao,
    /// False where nobody can register now.
    pub registration_allowed: bool,
    /// Owner of the subnet.
    pub owner_coldkey: Hotkey,
    /// Every neuron, by uid.
    pub neurons: Vec<Neuron>,
}

/// One neuron.
#[derive(Debug, Clone, PartialEq)]
pub struct Neuron {
    /// Its place.
    pub uid: u16,
    /// Its hotkey.
    pub hotkey: Hotkey,
    /// The coldkey that owns the hotkey.
    pub coldkey: Hotkey,
    /// The stake that a miner's stake gate counts: alpha plus weighted TAO on root, inheritance
    /// included, as the runtime computes it.
    pub stake: Rao,
    /// Its part in the subnet's token.
    pub alpha_stake: Rao,
    /// Its part in TAO on root.
    pub tao_stake: Rao,
    /// True where it may set weights.
    pub validator_permit: bool,
    /// Share of the miners' emission, 0 to 1.
    pub incentive: f64,
    /// Share of the validators' emission, 0 to 1.
    pub dividends: f64,
    /// Emission of the last epoch, in the subnet's token.
    pub emission: Rao,
    /// Block of the last weights or commitment.
    pub last_update: u64,
    /// Block of its registration.
    pub registered_at: u64,
    /// Where it answers, where it says so.
    pub axon: Option<AxonInfo>,
}

impl Metagraph {
    /// The neuron of a hotkey.
    #[must_use]
    pub fn neuron(&self, hotkey: &Hotkey) -> Option<&Neuron> {
        self.neurons.iter().find(|neuron| neuron.hotkey == *hotkey)
    }
}

/// Reads the answer of `SubnetInfoRuntimeApi_get_metagraph`.
///
/// # Errors
/// [`ChainError::NoSubnet`] where the chain has no such subnet, [`ChainError::Malformed`].
pub fn decode(runtime: &Runtime, netuid: Netuid, bytes: &[u8]) -> Result<Metagraph, ChainError> {
    match runtime.api_answer::<Option<Columns>>(API, METHOD, bytes) {
        Some(answer) => answer?.ok_or(ChainError::NoSubnet(netuid))?.into_metagraph(netuid),
        None => decode_first_layout(netuid, bytes),
    }
}

/// The same without metadata, for runtimes that answer the call but do not describe it.
///
/// # Errors
/// As [`decode`].
pub fn decode_first_layout(netuid: Netuid, bytes: &[u8]) -> Result<Metagraph, ChainError> {
    let answer = Option::<first_layout::Metagraph>::decode(&mut &*bytes);
    let first = answer.map_err(|error| malformed(METHOD, error))?;
    Columns::from(first.ok_or(ChainError::NoSubnet(netuid))?).into_metagraph(netuid)
}

/// What the chain's own form has of what we need, by its names: a list for each property, in order of
/// the uids.
#[derive(Debug, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct Columns {
    name: Vec<u8>,
    symbol: Vec<u8>,
    owner_coldkey: [u8; 32],
    block: u64,
    tempo: u64,
    max_uids: u64,
    burn: u64,
    registration_allowed: bool,
    immunity_period: u64,
    hotkeys: Vec<[u8; 32]>,
    coldkeys: Vec<[u8; 32]>,
    axons: Vec<StoredAxon>,
    validator_permit: Vec<bool>,
    last_update: Vec<u64>,
    emission: Vec<u64>,
    dividends: Vec<u64>,
    incentives: Vec<u64>,
    block_at_registration: Vec<u64>,
    alpha_stake: Vec<u64>,
    tao_stake: Vec<u64>,
    total_stake: Vec<u64>,
}

impl Columns {
    fn into_metagraph(self, netuid: Netuid) -> Result<Metagraph, ChainError> {
        let count = self.hotkeys.len();
        // These two must be whole; newer runtimes may leave others empty.
        if self.total_stake.len() != count || count > usize::from(u16::MAX) + 1 {
            let reason = format!("{count} hotkeys but {} stakes", self.total_stake.len());
            return Err(malformed(METHOD, reason));
        }
        let at = |column: &[u64], index: usize| column.get(index).copied().unwrap_or_default();
        let share = |column: &[u64], index: usize| at(column, index) as f64 / f64::from(u16::MAX);
        let neurons = (0..count).map(|index| Neuron {
            uid: u16::try_from(index).unwrap_or(u16::MAX),
            hotkey: Hotkey::from_bytes(self.hotkeys[index]),
            coldkey: Hotkey::from_bytes(self.coldkeys.get(index).copied().unwrap_or_default()),
            stake: Rao(at(&self.total_stake, index)),
            alpha_stake: Rao(at(&self.alpha_stake, index)),
            tao_stake: Rao(at(&self.tao_stake, index)),
            validator_permit: self.validator_permit.get(index).copied().unwrap_or_default(),
            incentive: share(&self.incentives, index),
            dividends: share(&self.dividends, index),
            emission: Rao(at(&self.emission, index)),
            last_update: at(&self.last_update, index),
            registered_at: at(&self.block_at_registration, index),
            axon: self.axons.get(index).and_then(|axon| axon.served()),
        });
        Ok(Metagraph {
            netuid,
            name: String::from_utf8_lossy(&self.name).into_owned(),
            symbol: String::from_utf8_lossy(&self.symbol).into_owned(),
            block: self.block,
            tempo: self.tempo,
            max_uids: self.max_uids,
            immunity_period: self.immunity_period,
            registration_cost: Rao(self.burn),
            registration_allowed: self.registration_allowed,
            owner_coldkey: Hotkey::from_bytes(self.owner_coldkey),
            neurons: neurons.collect(),
        })
    }
}
