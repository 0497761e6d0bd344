//! A subnet's metagraph as the runtime encodes it, and made-up ones of any size.
//!
//! The layout is a table, because three runtime methods answer with the same fields in the same order: all of
//! them, or those that were asked for. The values are a JSON object, as other tools print a metagraph.

use adit_keys::Hotkey;
use parity_scale_codec::{Compact, Encode as _};
use serde_json::{Map, Value, json};

use super::blocks::blake2_256;

/// How a field is encoded.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// A compact number; of 16 bits or 128, the bytes are the same.
    Number,
    Flag,
    Account,
    /// Compact bytes: one of 64 and more takes two.
    Letters,
    /// 16 bytes; the value is an object with `bits`.
    Fixed,
    /// One nobody has set.
    Absent,
    Accounts,
    Absents,
    Axons,
    Flags,
    Numbers,
    /// Pairs of account and number.
    Dividends,
}

/// Position in this table is the index by which `get_selective_metagraph` is asked.
#[rustfmt::skip]
const LAYOUT: [(&str, Kind); 72] = {
    use Kind::{Absent, Absents, Account, Accounts, Axons, Dividends, Fixed, Flag, Flags, Letters, Number, Numbers};
    [
        ("netuid", Number), ("name", Letters), ("symbol", Letters), ("identity", Absent),
        ("network_registered_at", Number), ("owner_hotkey", Account), ("owner_coldkey", Account), ("block", Number),
        ("tempo", Number), ("last_step", Number), ("blocks_since_last_step", Number), ("subnet_emission", Number),
        ("alpha_in", Number), ("alpha_out", Number), ("tao_in", Number), ("alpha_out_emission", Number),
        ("alpha_in_emission", Number), ("tao_in_emission", Number), ("pending_alpha_emission", Number),
        ("pending_root_emission", Number), ("subnet_volume", Number), ("moving_price", Fixed), ("rho", Number),
        ("kappa", Number), ("min_allowed_weights", Number), ("max_weights_limit", Number), ("weights_version", Number),
        ("weights_rate_limit", Number), ("activity_cutoff", Number), ("max_validators", Number), ("num_uids", Number),
        ("max_uids", Number), ("burn", Number), ("difficulty", Number), ("registration_allowed", Flag),
        ("pow_registration_allowed", Flag), ("immunity_period", Number), ("min_difficulty", Number),
        ("max_difficulty", Number), ("min_burn", Number), ("max_burn", Number), ("adjustment_alpha", Number),
        ("adjustment_interval", Number), ("target_regs_per_interval", Number), ("max_regs_per_block", Number),
        ("serving_rate_limit", Number), ("commit_reveal_weights_enabled", Flag), ("commit_reveal_period", Number),
        ("liquid_alpha_enabled", Flag), ("alpha_high", Number), ("alpha_low", Number), ("bonds_moving_avg", Number),
        ("hotkeys", Accounts), ("coldkeys", Accounts), ("identities", Absents), ("axons", Axons), ("active", Flags),
        ("validator_permit", Flags), ("pruning_score", Numbers), ("last_update", Numbers), ("emission", Numbers),
        ("dividends", Numbers), ("incentives", Numbers), ("consensus", Numbers), ("trust", Numbers), ("rank", Numbers),
        ("block_at_registration", Numbers), ("alpha_stake", Numbers), ("tao_stake", Numbers), ("total_stake", Numbers),
        ("tao_dividends_per_hotkey", Dividends), ("alpha_dividends_per_hotkey", Dividends),
    ]
};

/// Every tenth neuron is a validator, as on a subnet of 256 about that many are.
const VALIDATOR_EVERY: usize = 10;

/// A metagraph with made-up values, the same at every call: neuron N's hotkey and stake follow from N.
///
/// The subnet is 44, at block 5,000,000. Every tenth neuron holds the permit and a stake between 10,000 and
/// 60,000 TAO; the others have less than 1 TAO and an axon at 198.51.100.x, a test network.
#[must_use]
pub fn metagraph(neurons: usize) -> MetagraphFixture {
    let uids = || 0..neurons as u64;
    let validates = |uid: u64| uid.is_multiple_of(VALIDATOR_EVERY as u64);
    let stake = |uid: u64| {
        if validates(uid) { 10_000_000_000_000 + uid % 50 * 1_000_000_000_123 } else { uid * 7_919 }
    };
    let numbers = |of: &dyn Fn(u64) -> u64| Value::from(uids().map(of).collect::<Vec<_>>());
    let axon = |uid: u64| {
        if validates(uid) {
            return json!({ "block": 0, "version": 0, "ip": 0, "port": 0, "ip_type": 0, "protocol": 0 });
        }
        let ip = 0xc633_6400 + uid % 256;
        json!({ "block": 4_000_000 + uid, "version": 1, "ip": ip, "port": 9000, "ip_type": 4, "protocol": 4 })
    };
    let mut fixture = MetagraphFixture { fields: subnet() };
    for (field, value) in [
        ("num_uids", neurons.into()),
        ("hotkeys", uids().map(|uid| account("hotkey", uid)).collect()),
        ("coldkeys", uids().map(|uid| account("coldkey", uid)).collect()),
        ("identities", uids().map(|_| Value::Null).collect()),
        ("axons", uids().map(axon).collect()),
        ("active", uids().map(|uid| !uid.is_multiple_of(17)).collect()),
        ("validator_permit", uids().map(validates).collect()),
        ("pruning_score", numbers(&|uid| uid * 251 % 65_536)),
        ("last_update", numbers(&|uid| 4_999_000 + uid % 1_000)),
        ("emission", numbers(&|uid| uid * 1_000_003 % 400_000_000)),
        ("dividends", numbers(&|uid| if validates(uid) { uid * 997 % 65_536 } else { 0 })),
        ("incentives", numbers(&|uid| if validates(uid) { 0 } else { uid * 499 % 65_536 })),
        ("consensus", numbers(&|uid| uid * 127 % 65_536)),
        ("trust", numbers(&|_| 0)),
        ("rank", numbers(&|_| 0)),
        ("block_at_registration", numbers(&|uid| 3_000_000 + uid * 11)),
        ("alpha_stake", numbers(&|uid| stake(uid) / 4)),
        ("tao_stake", numbers(&|uid| stake(uid) - stake(uid) / 4)),
        ("total_stake", numbers(&stake)),
    ] {
        fixture.set(field, value);
    }
    fixture
}

/// The numbers of the subnet itself: about those of a subnet in use.
#[rustfmt::skip]
const SUBNET: [(&str, u64); 41] = [
    ("netuid", 44), ("network_registered_at", 2_900_000), ("block", 5_000_000), ("tempo", 360),
    ("last_step", 4_999_900), ("blocks_since_last_step", 100), ("subnet_emission", 0),
    ("alpha_in", 1_900_000_000_000_000), ("alpha_out", 2_100_000_000_000_000), ("tao_in", 45_000_000_000_000),
    ("alpha_out_emission", 1_000_000_000), ("alpha_in_emission", 500_000_000), ("tao_in_emission", 12_000_000),
    ("pending_alpha_emission", 90_000_000_000), ("pending_root_emission", 0),
    ("subnet_volume", 900_000_000_000_000_000), ("rho", 10), ("kappa", 32_767), ("min_allowed_weights", 1),
    ("max_weights_limit", 65_535), ("weights_version", 0), ("weights_rate_limit", 100), ("activity_cutoff", 5_000),
    ("max_validators", 64), ("max_uids", 256), ("burn", 500_000_000), ("difficulty", 10_000_000),
    ("immunity_period", 7_200), ("min_difficulty", u64::MAX), ("max_difficulty", u64::MAX), ("min_burn", 500_000),
    ("max_burn", 100_000_000_000), ("adjustment_alpha", 17_893_341_751_498_265_066), ("adjustment_interval", 360),
    ("target_regs_per_interval", 1), ("max_regs_per_block", 1), ("serving_rate_limit", 50),
    ("commit_reveal_period", 1), ("alpha_high", 58_982), ("alpha_low", 45_875), ("bonds_moving_avg", 900_000),
];

fn subnet() -> Map<String, Value> {
    let numbers = SUBNET.into_iter().map(|(field, number)| (field, number.into()));
    let others = [
        ("name", b"score".as_slice().into()),
        ("symbol", "\u{3c5}".as_bytes().into()),
        ("owner_hotkey", account("owner hotkey", 0)),
        ("owner_coldkey", account("owner coldkey", 0)),
        ("moving_price", json!({ "bits": 101_000_000 })),
        ("registration_allowed", true.into()),
        ("pow_registration_allowed", false.into()),
        ("commit_reveal_weights_enabled", true.into()),
        ("liquid_alpha_enabled", false.into()),
        ("tao_dividends_per_hotkey", json!([])),
        ("alpha_dividends_per_hotkey", json!([])),
    ];
    numbers.chain(others).map(|(field, value)| (field.to_owned(), value)).collect()
}

fn account(role: &str, number: u64) -> Value {
    Hotkey::from_bytes(blake2_256(format!("{role} {number}").as_bytes())).to_string().into()
}

/// A metagraph whose fields can be changed before a node answers with it.
#[derive(Debug, Clone, PartialEq)]
pub struct MetagraphFixture {
    fields: Map<String, Value>,
}

impl MetagraphFixture {
    /// One with these fields: accounts as ss58 addresses, amounts in rao, names as byte lists. Identities are
    /// answered as absent, whatever they say.
    #[must_use]
    pub fn from_fields(fields: Map<String, Value>) -> Self {
        Self { fields }
    }

    /// One field, such as `block` or `total_stake`; null where there is none of the name.
    #[must_use]
    pub fn get(&self, field: &str) -> &Value {
        self.fields.get(field).unwrap_or(&Value::Null)
    }

    /// Gives one field another value.
    pub fn set(&mut self, field: &str, value: impl Into<Value>) {
        self.fields.insert(field.to_owned(), value.into());
    }

    /// Gives one neuron another value in a field that has one for each, such as `total_stake`, in rao.
    ///
    /// # Panics
    /// When there is no such field or neuron.
    pub fn set_of(&mut self, field: &str, uid: usize, value: impl Into<Value>) {
        let values = self.fields.get_mut(field).and_then(Value::as_array_mut);
        values.expect("the caller names a field that has a value for each neuron")[uid] = value.into();
    }

    /// The subnet that it is of.
    #[must_use]
    pub fn netuid(&self) -> u16 {
        self.get("netuid").as_u64().unwrap_or_default() as u16
    }

    /// The hotkey of a neuron.
    ///
    /// # Panics
    /// When there is no such neuron.
    #[must_use]
    pub fn hotkey(&self, uid: usize) -> Hotkey {
        address(&self.get("hotkeys")[uid])
    }

    /// The answer to `get_metagraph` and `get_mechagraph`.
    ///
    /// # Panics
    /// When a field is missing or has a value of the wrong kind.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![1];
        for (field, kind) in LAYOUT {
            encode(self.get(field), kind, &mut bytes);
        }
        bytes
    }

    /// The answer to `get_selective_metagraph` for these indexes. Of the two fields that only this answer has, the
    /// validators (72) are those with a permit, and commitments (73) are always absent.
    ///
    /// # Panics
    /// As [`encode`](Self::encode) does.
    #[must_use]
    pub fn encode_selective(&self, indexes: &[u16]) -> Vec<u8> {
        let mut bytes = vec![1];
        for (index, (field, kind)) in (0..).zip(LAYOUT) {
            // The netuid is always there, and bare.
            let wanted = indexes.contains(&index);
            if index > 0 {
                bytes.push(wanted.into());
            }
            if index == 0 || wanted {
                encode(self.get(field), kind, &mut bytes);
            }
        }
        let validators = indexes.contains(&72).then(|| {
            let permits = self.get("validator_permit").as_array().into_iter().flatten();
            let with_permit = (0_u16..).zip(permits).filter(|(_, permit)| permit.as_bool() == Some(true));
            with_permit.map(|(uid, _)| Compact(uid)).collect::<Vec<_>>()
        });
        validators.encode_to(&mut bytes);
        bytes.push(0);
        bytes
    }
}

fn encode(value: &Value, kind: Kind, into: &mut Vec<u8>) {
    match kind {
        Kind::Number => Compact(number(value)).encode_to(into),
        Kind::Flag => flag(value).encode_to(into),
        Kind::Account => address(value).as_bytes().encode_to(into),
        Kind::Fixed => i128::from(value["bits"].as_i64().expect("fixed-point bits")).encode_to(into),
        Kind::Absent => into.push(0),
        Kind::Letters | Kind::Numbers => each(value, into, |one, into| Compact(number(one)).encode_to(into)),
        Kind::Accounts => each(value, into, |one, into| address(one).as_bytes().encode_to(into)),
        Kind::Absents => each(value, into, |_, into| into.push(0)),
        Kind::Flags => each(value, into, |one, into| flag(one).encode_to(into)),
        Kind::Axons => each(value, into, axon),
        Kind::Dividends => each(value, into, |one, into| {
            address(&one[0]).as_bytes().encode_to(into);
            Compact(number(&one[1])).encode_to(into);
        }),
    }
}

fn each(list: &Value, into: &mut Vec<u8>, one: impl Fn(&Value, &mut Vec<u8>)) {
    let list = list.as_array().expect("the caller's metagraph has a list here");
    Compact(list.len() as u32).encode_to(into);
    for value in list {
        one(value, into);
    }
}

fn axon(value: &Value, into: &mut Vec<u8>) {
    let of = |field: &str| number(&value[field]);
    // An IPv6 address is more than a JSON number holds; then it is digits in a text.
    let ip =
        value["ip"].as_str().map_or_else(|| of("ip"), |text| text.parse().expect("an address as a number"));
    let bytes = |field: &str| if value[field].is_null() { 0 } else { of(field) as u8 };
    (of("block") as u64, of("version") as u32, ip, of("port") as u16).encode_to(into);
    ["ip_type", "protocol", "placeholder1", "placeholder2"].map(bytes).encode_to(into);
}

fn number(value: &Value) -> u128 {
    value.as_u64().map(u128::from).expect("the caller's metagraph has a whole number here")
}

fn flag(value: &Value) -> bool {
    value.as_bool().expect("the caller's metagraph has true or false here")
}

fn address(value: &Value) -> Hotkey {
    let text = value.as_str().expect("the caller's metagraph has an address here");
    text.parse().expect("the caller's metagraph has an ss58 address here")
}
