//! The answer of `get_metagraph` where the metadata does not describe it (chain reference, section 4).
//! Every compact number is read as a `u64`, which reads narrower ones too. Fields that newer runtimes
//! append are left unread.

use parity_scale_codec::{Compact, Decode};

use super::Columns;
use crate::axon::StoredAxon;

type C = Compact<u64>;
type Text = Vec<Compact<u8>>;

#[derive(Decode)]
pub(super) struct Metagraph {
    _netuid: C,
    name: Text,
    symbol: Text,
    _identity: Option<[Vec<u8>; 8]>,
    _network_registered_at: C,
    _owner_hotkey: [u8; 32],
    owner_coldkey: [u8; 32],
    block: C,
    tempo: C,
    /// last_step to pending_root_emission.
    _emissions: [C; 11],
    _subnet_volume: Compact<u128>,
    _moving_price: [u8; 16],
    /// rho to max_validators.
    _hyperparameters: [C; 8],
    _num_uids: C,
    max_uids: C,
    burn: C,
    _difficulty: C,
    registration_allowed: bool,
    _pow_registration_allowed: bool,
    immunity_period: C,
    /// min_difficulty to serving_rate_limit.
    _limits: [C; 9],
    _commit_reveal_weights_enabled: bool,
    _commit_reveal_period: C,
    _liquid_alpha_enabled: bool,
    /// alpha_high, alpha_low, bonds_moving_avg.
    _alphas: [C; 3],
    hotkeys: Vec<[u8; 32]>,
    coldkeys: Vec<[u8; 32]>,
    _identities: Vec<Option<[Vec<u8>; 7]>>,
    axons: Vec<Axon>,
    _active: Vec<bool>,
    validator_permit: Vec<bool>,
    _pruning_score: Vec<C>,
    last_update: Vec<C>,
    emission: Vec<C>,
    dividends: Vec<C>,
    incentives: Vec<C>,
    _consensus: Vec<C>,
    _trust: Vec<C>,
    _rank: Vec<C>,
    block_at_registration: Vec<C>,
    alpha_stake: Vec<C>,
    tao_stake: Vec<C>,
    total_stake: Vec<C>,
}

#[derive(Decode)]
struct Axon {
    block: u64,
    version: u32,
    ip: u128,
    port: u16,
    ip_type: u8,
    protocol: u8,
    _placeholders: [u8; 2],
}

impl From<Metagraph> for Columns {
    fn from(first: Metagraph) -> Self {
        let text = |bytes: Text| bytes.into_iter().map(|byte| byte.0).collect();
        let numbers = |column: Vec<C>| column.into_iter().map(|number| number.0).collect();
        let axon = |axon: Axon| StoredAxon {
            block: axon.block,
            version: axon.version,
            ip: axon.ip,
            port: axon.port,
            ip_type: axon.ip_type,
            protocol: axon.protocol,
        };
        Self {
            name: text(first.name),
            symbol: text(first.symbol),
            owner_coldkey: first.owner_coldkey,
            block: first.block.0,
            tempo: first.tempo.0,
            max_uids: first.max_uids.0,
            burn: first.burn.0,
            registration_allowed: first.registration_allowed,
            immunity_period: first.immunity_period.0,
            hotkeys: first.hotkeys,
            coldkeys: first.coldkeys,
            axons: first.axons.into_iter().map(axon).collect(),
            validator_permit: first.validator_permit,
            last_update: numbers(first.last_update),
            emission: numbers(first.emission),
            dividends: numbers(first.dividends),
            incentives: numbers(first.incentives),
            block_at_registration: numbers(first.block_at_registration),
            alpha_stake: numbers(first.alpha_stake),
            tao_stake: numbers(first.tao_stake),
            total_stake: numbers(first.total_stake),
        }
    }
}
