//! The rules of a subnet that a miner runs into.

use std::fmt;

use crate::runtime::{Item, Runtime, netuid};
use crate::{ChainError, Netuid, Rao};

/// One rule of a subnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hyperparameter {
    /// Its name, as `btcli` spells it.
    pub name: &'static str,
    /// Its value now.
    pub value: Setting,
}

/// A rule's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// On or off.
    Flag(bool),
    /// A count or a number of blocks.
    Number(u64),
    /// A price.
    Amount(Rao),
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => flag.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Amount(amount) => amount.fmt(f),
        }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Flag,
    Number,
    Amount,
}

/// Name, storage item and kind.
const RULES: [(&str, &str, Kind); 14] = [
    ("registration_allowed", "NetworkRegistrationAllowed", Kind::Flag),
    ("registration_cost", "Burn", Kind::Amount),
    ("min_burn", "MinBurn", Kind::Amount),
    ("max_burn", "MaxBurn", Kind::Amount),
    ("num_uids", "SubnetworkN", Kind::Number),
    ("max_uids", "MaxAllowedUids", Kind::Number),
    ("immunity_period", "ImmunityPeriod", Kind::Number),
    ("tempo", "Tempo", Kind::Number),
    ("max_regs_per_block", "MaxRegistrationsPerBlock", Kind::Number),
    ("target_regs_per_interval", "TargetRegistrationsPerInterval", Kind::Number),
    ("registrations_this_interval", "RegistrationsThisInterval", Kind::Number),
    ("serving_rate_limit", "ServingRateLimit", Kind::Number),
    ("max_validators", "MaxAllowedValidators", Kind::Number),
    ("activity_cutoff", "ActivityCutoff", Kind::Number),
];

fn item(name: &'static str, subnet: Netuid) -> Item {
    Item::new("SubtensorModule", name, [netuid(subnet)])
}

/// What is asked for, in the order in which [`decode`] takes the answers: first whether there is such a
/// subnet, then those rules that this runtime has.
pub(crate) fn items(runtime: &Runtime, subnet: Netuid) -> Vec<Item> {
    let rules = RULES.iter().map(|(_, name, _)| item(name, subnet));
    std::iter::once(item("NetworksAdded", subnet))
        .chain(rules.filter(|item| runtime.has_storage(item)))
        .collect()
}

pub(crate) fn decode(
    runtime: &Runtime,
    subnet: Netuid,
    values: &[Option<Vec<u8>>],
) -> Result<Vec<Hyperparameter>, ChainError> {
    let mut values = values.iter().map(Option::as_deref);
    let exists: Option<bool> =
        runtime.storage_value(&item("NetworksAdded", subnet), values.next().flatten())?;
    if exists != Some(true) {
        return Err(ChainError::NoSubnet(subnet));
    }
    let mut rules = Vec::new();
    for (name, stored, kind) in RULES {
        let item = item(stored, subnet);
        if !runtime.has_storage(&item) {
            continue;
        }
        let bytes = values.next().flatten();
        let number = || runtime.storage_value::<u64>(&item, bytes);
        let value = match kind {
            Kind::Flag => runtime.storage_value(&item, bytes)?.map(Setting::Flag),
            Kind::Number => number()?.map(Setting::Number),
            Kind::Amount => number()?.map(|rao| Setting::Amount(Rao(rao))),
        };
        rules.extend(value.map(|value| Hyperparameter { name, value }));
    }
    Ok(rules)
}
