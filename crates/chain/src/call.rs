//! The calls that a miner signs, by name: the chain's metadata turns them into bytes.

use std::fmt;

use adit_keys::Hotkey;
use subxt::ext::scale_value::{Composite, Value};

use crate::axon::AxonInfo;
use crate::commitment::Field;
use crate::{Netuid, Rao, runtime};

/// A call, not yet signed. `Display` shows it as a person reads it.
#[derive(Debug, Clone)]
pub struct Call {
    pub(crate) pallet: &'static str,
    pub(crate) name: &'static str,
    arguments: Vec<(&'static str, Value)>,
    shown: Vec<(&'static str, String)>,
}

impl Call {
    fn new(pallet: &'static str, name: &'static str) -> Self {
        Self { pallet, name, arguments: Vec::new(), shown: Vec::new() }
    }

    fn with(mut self, name: &'static str, value: Value, shown: impl fmt::Display) -> Self {
        self.arguments.push((name, value));
        self.shown.push((name, shown.to_string()));
        self
    }

    pub(crate) fn arguments(&self) -> Composite<()> {
        Composite::named(self.arguments.iter().map(|(name, value)| ((*name).to_owned(), value.clone())))
    }

    /// `SubtensorModule.burned_register`: registers a hotkey for the price at inclusion, from the free
    /// balance of the coldkey that signs.
    #[must_use]
    pub fn burned_register(netuid: Netuid, hotkey: &Hotkey) -> Self {
        Self::new("SubtensorModule", "burned_register").with("netuid", runtime::netuid(netuid), netuid).with(
            "hotkey",
            runtime::account(hotkey),
            hotkey,
        )
    }

    /// `SubtensorModule.register_limit`, in runtimes that have it: the same, at `most` at the most.
    #[must_use]
    pub fn register_limit(netuid: Netuid, hotkey: &Hotkey, most: Rao) -> Self {
        Self::new("SubtensorModule", "register_limit")
            .with("netuid", runtime::netuid(netuid), netuid)
            .with("hotkey", runtime::account(hotkey), hotkey)
            .with("limit_price", Value::u128(most.0.into()), most)
    }

    /// `Balances.transfer_keep_alive`: sends TAO from the coldkey that signs, and never so much that its
    /// account would close.
    #[must_use]
    pub fn transfer(to: &Hotkey, amount: Rao) -> Self {
        Self::new("Balances", "transfer_keep_alive")
            .with("dest", Value::unnamed_variant("Id", [runtime::account(to)]), to)
            .with("value", Value::u128(amount.0.into()), amount)
    }

    /// `SubtensorModule.serve_axon`: publishes where the hotkey that signs answers. No fee.
    #[must_use]
    pub fn serve_axon(netuid: Netuid, axon: &AxonInfo) -> Self {
        let number = |value: u128| Value::u128(value);
        Self::new("SubtensorModule", "serve_axon")
            .with("netuid", runtime::netuid(netuid), netuid)
            .with("version", number(axon.version.into()), axon.version)
            .with("ip", number(axon.ip_number()), axon.address.ip())
            .with("port", number(axon.address.port().into()), axon.address.port())
            .with("ip_type", number(axon.ip_type().into()), axon.ip_type())
            .with("protocol", number(axon.protocol.into()), axon.protocol)
            .with("placeholder1", number(0), 0)
            .with("placeholder2", number(0), 0)
    }

    /// `Commitments.set_commitment`: replaces the whole commitment of the hotkey that signs. No fee.
    #[must_use]
    pub fn set_commitment(netuid: Netuid, fields: &[Field]) -> Self {
        let list = Value::unnamed_composite(fields.iter().map(Field::to_value));
        let shown = fields.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        Self::new("Commitments", "set_commitment").with("netuid", runtime::netuid(netuid), netuid).with(
            "info",
            Value::named_composite([("fields", list)]),
            format!("[{shown}]"),
        )
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}(", self.pallet, self.name)?;
        for (index, (name, value)) in self.shown.iter().enumerate() {
            write!(f, "{}{name}: {value}", if index > 0 { ", " } else { "" })?;
        }
        f.write_str(")")
    }
}
