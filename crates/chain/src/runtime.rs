//! What the chain's own metadata says: storage keys, values, calls and errors by their names. No
//! network; types are never compiled in, so that a runtime upgrade breaks nothing.

use adit_keys::Hotkey;
use subxt::ext::codec::Decode as _;
use subxt::ext::frame_decode::{extrinsics, storage};
use subxt::ext::scale_decode::DecodeAsType;
use subxt::ext::scale_value::Value;
use subxt::metadata::{ArcMetadata, Metadata};

use crate::call::Call;
use crate::commitment::{Commitment, StoredCommitment};
use crate::{ChainError, Netuid};

/// One storage value to read: pallet, item and keys.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pallet: &'static str,
    entry: &'static str,
    keys: Vec<Value>,
}

impl Item {
    pub(crate) fn new(pallet: &'static str, entry: &'static str, keys: impl Into<Vec<Value>>) -> Self {
        Self { pallet, entry, keys: keys.into() }
    }

    pub(crate) fn name(&self) -> String {
        format!("{}.{}", self.pallet, self.entry)
    }
}

/// A subnet's number as a storage key or argument.
pub(crate) fn netuid(netuid: Netuid) -> Value {
    Value::u128(netuid.0.into())
}

/// The commitments of a subnet's hotkeys.
pub(crate) fn commitments_of(subnet: Netuid) -> Item {
    Item::new("Commitments", "CommitmentOf", [netuid(subnet)])
}

/// An account as a storage key or argument.
pub(crate) fn account(account: &Hotkey) -> Value {
    Value::from_bytes(account.as_bytes())
}

/// A runtime by its metadata.
#[derive(Debug, Clone)]
pub struct Runtime(ArcMetadata);

impl Runtime {
    /// Reads metadata as nodes give it (`RuntimeMetadataPrefixed`, version 14 to 16).
    ///
    /// # Errors
    /// [`ChainError::Malformed`].
    pub fn from_metadata(bytes: &[u8]) -> Result<Self, ChainError> {
        let metadata = Metadata::decode(&mut &*bytes).map_err(|error| malformed("metadata", error))?;
        Ok(Self(metadata.arc()))
    }

    pub(crate) fn new(metadata: ArcMetadata) -> Self {
        Self(metadata)
    }

    /// The key of a storage value; with fewer keys than the item has, the prefix of all that begin so.
    pub(crate) fn storage_key(&self, item: &Item) -> Result<Vec<u8>, ChainError> {
        self.value_type(item)?;
        storage::encode_storage_key(
            item.pallet,
            item.entry,
            item.keys.clone(),
            self.0.as_ref(),
            self.0.types(),
        )
        .map_err(|error| malformed(&item.name(), error))
    }

    /// Reads a value of this item; where the chain has none, the item's default.
    pub(crate) fn storage_value<T: DecodeAsType>(
        &self,
        item: &Item,
        bytes: Option<&[u8]>,
    ) -> Result<Option<T>, ChainError> {
        let (value_type, default) = self.value_type(item)?;
        let Some(bytes) = bytes.or(default) else { return Ok(None) };
        let value = T::decode_as_type(&mut &*bytes, value_type, self.0.types());
        value.map(Some).map_err(|error| malformed(&item.name(), error))
    }

    /// Type and default of an item's values.
    fn value_type(&self, item: &Item) -> Result<(u32, Option<&[u8]>), ChainError> {
        let pallet = self.0.pallet_by_name(item.pallet);
        let entry =
            pallet.and_then(|pallet| pallet.storage()).and_then(|storage| storage.entry_by_name(item.entry));
        let entry = entry.ok_or_else(|| ChainError::NotInRuntime(format!("storage item {}", item.name())))?;
        Ok((entry.value_ty(), entry.default_value()))
    }

    /// True where the runtime has this storage item.
    pub(crate) fn has_storage(&self, item: &Item) -> bool {
        self.value_type(item).is_ok()
    }

    /// Reads the answer of a runtime API by the type that the metadata gives it, or `None` where the
    /// metadata does not list it.
    pub(crate) fn api_answer<T: DecodeAsType>(
        &self,
        api: &str,
        method: &str,
        bytes: &[u8],
    ) -> Option<Result<T, ChainError>> {
        let output = self.0.runtime_api_trait_by_name(api)?.method_by_name(method)?.output_ty();
        // Bytes may follow: newer runtimes append fields, and the metadata of the block has them.
        let value = T::decode_as_type(&mut &*bytes, output, self.0.types());
        Some(value.map_err(|error| malformed(method, error)))
    }

    /// The bytes of a call: pallet and call index, then the arguments.
    ///
    /// # Errors
    /// Where the runtime has no such call, or takes other arguments.
    pub fn call_data(&self, call: &Call) -> Result<Vec<u8>, ChainError> {
        if !self.has_call(call.pallet, call.name) {
            return Err(ChainError::NotInRuntime(format!("call {}.{}", call.pallet, call.name)));
        }
        extrinsics::encode_call_data(
            call.pallet,
            call.name,
            &call.arguments(),
            self.0.as_ref(),
            self.0.types(),
        )
        .map_err(|error| ChainError::Arguments {
            call: format!("{}.{}", call.pallet, call.name),
            reason: error.to_string(),
        })
    }

    /// Reads what the chain stores as a hotkey's commitment.
    ///
    /// # Errors
    /// Where it is not of the shape that the metadata says.
    pub fn commitment(&self, subnet: Netuid, stored: &[u8]) -> Result<Commitment, ChainError> {
        let read = self.storage_value::<StoredCommitment>(&commitments_of(subnet), Some(stored))?;
        read.map(Commitment::from).ok_or_else(|| malformed("Commitments.CommitmentOf", "it is empty"))
    }

    /// True where a registration can be held below a price ([`Call::register_limit`]).
    #[must_use]
    pub fn has_register_limit(&self) -> bool {
        self.has_call("SubtensorModule", "register_limit")
    }

    fn has_call(&self, pallet: &str, name: &str) -> bool {
        self.0.pallet_by_name(pallet).is_some_and(|pallet| pallet.call_variant_by_name(name).is_some())
    }
}

pub(crate) fn malformed(what: &str, error: impl std::fmt::Display) -> ChainError {
    ChainError::Malformed { what: what.to_owned(), reason: error.to_string() }
}
