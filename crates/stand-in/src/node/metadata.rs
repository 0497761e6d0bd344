//! Runtime metadata in the versions that clients ask for, all made from one file.
//!
//! A node of today answers with version 14, 15 or 16, as it is asked. Recorded is the newest; the older ones say
//! the same with less, so they are made from it.

use bytes::Bytes;
use frame_metadata::{RuntimeMetadata, RuntimeMetadataPrefixed, v14, v15, v16};
use parity_scale_codec::{Decode as _, Encode as _};

/// Every version that can be answered, oldest first, each with its `meta` prefix.
#[derive(Debug)]
pub(super) struct Metadata(Vec<(u32, Bytes)>);

impl Metadata {
    /// Metadata of version 16 is also answered as 15 and 14. Anything else, nonsense included, is answered as it
    /// is, under the version that its fifth byte says.
    pub(super) fn new(bytes: Bytes) -> Self {
        let mut versions = Vec::new();
        if let Ok(RuntimeMetadataPrefixed(_, RuntimeMetadata::V16(newest))) =
            RuntimeMetadataPrefixed::decode(&mut &bytes[..])
        {
            let older = as_v15(newest);
            let oldest = as_v14(older.clone());
            versions.push((14, RuntimeMetadataPrefixed::from(oldest).encode().into()));
            versions.push((15, RuntimeMetadataPrefixed::from(older).encode().into()));
        }
        versions.push((bytes.get(4).copied().unwrap_or_default().into(), bytes));
        Self(versions)
    }

    pub(super) fn versions(&self) -> Vec<u32> {
        self.0.iter().map(|(version, _)| *version).collect()
    }

    pub(super) fn version(&self, wanted: u32) -> Option<&Bytes> {
        self.0.iter().find(|(version, _)| *version == wanted).map(|(_, bytes)| bytes)
    }

    /// What a node answers that is asked for no version.
    pub(super) fn oldest(&self) -> &Bytes {
        &self.0[0].1
    }
}

// The closures below are not functions because their types come from a crate that is not among ours.

fn as_v15(newest: v16::RuntimeMetadataV16) -> v15::RuntimeMetadataV15 {
    let named = |name: &str| {
        let mut types = newest.types.types.iter();
        let found = types.find(|one| one.ty.path.segments.last().is_some_and(|last| last == name));
        found.map(|one| one.id.into())
    };
    let extrinsic = newest.extrinsic;
    // Version 16 no longer says which these two are; the call's type stands in where no type has the name.
    let runtime = named("Runtime").unwrap_or(extrinsic.call_ty);
    let extra = named("TransactionExtensions").unwrap_or(extrinsic.call_ty);
    let extensions = extrinsic.transaction_extensions.into_iter().map(|one| v15::SignedExtensionMetadata {
        identifier: one.identifier,
        ty: one.ty,
        additional_signed: one.implicit,
    });
    let apis = newest.apis.into_iter().map(|api| v15::RuntimeApiMetadata {
        name: api.name,
        methods: (api.methods.into_iter())
            .map(|method| v15::RuntimeApiMethodMetadata {
                name: method.name,
                inputs: method.inputs,
                output: method.output,
                docs: method.docs,
            })
            .collect(),
        docs: api.docs,
    });
    let pallets = newest.pallets.into_iter().map(|pallet| v15::PalletMetadata {
        name: pallet.name,
        storage: pallet.storage.map(|storage| v14::PalletStorageMetadata {
            prefix: storage.prefix,
            entries: (storage.entries.into_iter())
                .map(|entry| v14::StorageEntryMetadata {
                    name: entry.name,
                    modifier: entry.modifier,
                    ty: entry.ty,
                    default: entry.default,
                    docs: entry.docs,
                })
                .collect(),
        }),
        calls: pallet.calls.map(|calls| v14::PalletCallMetadata { ty: calls.ty }),
        event: pallet.event.map(|event| v14::PalletEventMetadata { ty: event.ty }),
        constants: (pallet.constants.into_iter())
            .map(|one| v14::PalletConstantMetadata {
                name: one.name,
                ty: one.ty,
                value: one.value,
                docs: one.docs,
            })
            .collect(),
        error: pallet.error.map(|error| v14::PalletErrorMetadata { ty: error.ty }),
        index: pallet.index,
        docs: pallet.docs,
    });
    v15::RuntimeMetadataV15 {
        pallets: pallets.collect(),
        extrinsic: v15::ExtrinsicMetadata {
            version: extrinsic.versions.iter().copied().min().unwrap_or(4),
            address_ty: extrinsic.address_ty,
            call_ty: extrinsic.call_ty,
            signature_ty: extrinsic.signature_ty,
            extra_ty: extra,
            signed_extensions: extensions.collect(),
        },
        ty: runtime,
        apis: apis.collect(),
        outer_enums: newest.outer_enums,
        custom: newest.custom,
        types: newest.types,
    }
}

fn as_v14(newer: v15::RuntimeMetadataV15) -> v14::RuntimeMetadataV14 {
    let mut types = newer.types.types.iter();
    let unchecked =
        types.find(|one| one.ty.path.segments.last().is_some_and(|last| last == "UncheckedExtrinsic"));
    let extensions = newer.extrinsic.signed_extensions.into_iter().map(|one| v14::SignedExtensionMetadata {
        identifier: one.identifier,
        ty: one.ty,
        additional_signed: one.additional_signed,
    });
    let pallets = newer.pallets.into_iter().map(|pallet| v14::PalletMetadata {
        name: pallet.name,
        storage: pallet.storage,
        calls: pallet.calls,
        event: pallet.event,
        constants: pallet.constants,
        error: pallet.error,
        index: pallet.index,
    });
    v14::RuntimeMetadataV14 {
        pallets: pallets.collect(),
        extrinsic: v14::ExtrinsicMetadata {
            ty: unchecked.map_or(newer.extrinsic.call_ty, |one| one.id.into()),
            version: newer.extrinsic.version,
            signed_extensions: extensions.collect(),
        },
        ty: newer.ty,
        types: newer.types,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_metadata_is_answered_as_it_is() {
        let nonsense = Metadata::new(Bytes::from_static(b"meta\x0fnonsense"));
        assert_eq!(nonsense.versions(), [15]);
        assert_eq!(nonsense.oldest().as_ref(), b"meta\x0fnonsense");
        assert!(nonsense.version(16).is_none());
        assert_eq!(Metadata::new(Bytes::new()).versions(), [0]);
    }
}
