//! What the runtime would answer: its methods, its version, and the events of a block.

use parity_scale_codec::{Compact, Decode, Encode as _};
use serde_json::{Value, json};

use super::blocks::hexed;
use super::script::{NodeScript, RpcError};

const NAME: &str = "node-subtensor";
/// Version of the state trie's layout.
const STATE_VERSION: u8 = 1;
/// The interfaces that a client may look for, by hash of the name, with their version: Core and Metadata.
const APIS: [([u8; 8], u32); 2] = [
    ([0xdf, 0x6a, 0xcb, 0x68, 0x99, 0x07, 0x60, 0x9b], 5),
    ([0x37, 0xe3, 0x97, 0xfc, 0x7c, 0x91, 0xf5, 0xe4], 2),
];
/// SCALE's `None`.
const NONE: [u8; 1] = [0];

/// The answer of a runtime method: the scripted one, or else what a runtime says of itself.
pub(super) fn call(script: &NodeScript, method: &str, arguments: &[u8]) -> Result<Vec<u8>, RpcError> {
    let scripted = |arguments| script.calls.get(&(method.to_owned(), arguments));
    if let Some(answer) = scripted(Some(arguments.to_vec())).or_else(|| scripted(None)) {
        return answer.clone();
    }
    let metadata = &script.metadata;
    Ok(match method {
        "Core_version" => {
            let name = (NAME, NAME, 1_u32, script.spec_version, 1_u32);
            (name, APIS.as_slice(), script.transaction_version, STATE_VERSION).encode()
        }
        "Metadata_metadata" => metadata.oldest().to_vec().encode(),
        "Metadata_metadata_versions" => metadata.versions().encode(),
        "Metadata_metadata_at_version" => {
            let version = read::<u32>(method, &mut &*arguments)?;
            metadata.version(version).map(|bytes| bytes.to_vec()).encode()
        }
        "AccountNonceApi_account_nonce" => script.nonce.encode(),
        _ => return metagraph(script, method, arguments),
    })
}

fn metagraph(script: &NodeScript, method: &str, mut arguments: &[u8]) -> Result<Vec<u8>, RpcError> {
    let arguments = &mut arguments;
    let recorded = |netuid| script.metagraphs.get(&netuid);
    let answer = match method {
        "SubnetInfoRuntimeApi_get_metagraph" => {
            recorded(read::<u16>(method, arguments)?).map(|metagraph| metagraph.whole.clone())
        }
        "SubnetInfoRuntimeApi_get_mechagraph" => {
            let (netuid, mechanism) = read::<(u16, u8)>(method, arguments)?;
            recorded(netuid).filter(|_| mechanism == 0).map(|metagraph| metagraph.whole.clone())
        }
        "SubnetInfoRuntimeApi_get_selective_metagraph" => {
            let (netuid, indexes) = read::<(u16, Vec<u16>)>(method, arguments)?;
            recorded(netuid).map(|metagraph| metagraph.fixture.encode_selective(&indexes))
        }
        "SubnetInfoRuntimeApi_get_selective_mechagraph" => {
            let (netuid, mechanism, indexes) = read::<(u16, u8, Vec<u16>)>(method, arguments)?;
            let recorded = recorded(netuid).filter(|_| mechanism == 0);
            recorded.map(|metagraph| metagraph.fixture.encode_selective(&indexes))
        }
        _ => {
            let reason = format!("Execution failed: Other: Exported method {method} is not found");
            return Err(client_error(&reason));
        }
    };
    Ok(answer.unwrap_or_else(|| NONE.to_vec()))
}

fn read<T: Decode>(method: &str, arguments: &mut &[u8]) -> Result<T, RpcError> {
    T::decode(arguments).map_err(|e| {
        client_error(&format!(
            "Execution failed: Execution aborted due to panic: Bad input data provided to {method}: {e}"
        ))
    })
}

/// An error in reading the chain's state, as a node words it.
pub(super) fn client_error(reason: &str) -> RpcError {
    RpcError::new(4003, format!("Client error: {reason}"))
}

/// The version, in the form of JSON-RPC.
pub(super) fn version(script: &NodeScript) -> Value {
    let apis: Vec<Value> = APIS.iter().map(|(name, version)| json!([hexed(name), version])).collect();
    json!({
        "specName": NAME,
        "implName": NAME,
        "authoringVersion": 1,
        "specVersion": script.spec_version,
        "implVersion": 1,
        "apis": apis,
        "transactionVersion": script.transaction_version,
        "stateVersion": STATE_VERSION,
    })
}

/// `System.Events` of a block whose one extrinsic succeeded, or failed with this error of this pallet.
pub(super) fn events(failed: Option<(u8, u8)>) -> Vec<u8> {
    const SYSTEM: u8 = 0;
    const SUCCESS: u8 = 0;
    const FAILED: u8 = 1;
    const MODULE_ERROR: u8 = 3;
    // One event, in the phase of applying extrinsic 0.
    let mut bytes = (Compact(1_u32), 0_u8, 0_u32, SYSTEM).encode();
    match failed {
        None => bytes.push(SUCCESS),
        Some((pallet, error)) => bytes.extend([FAILED, MODULE_ERROR, pallet, error, 0, 0, 0]),
    }
    // Weight (two compact numbers), class normal, pays a fee; no topics.
    bytes.extend([0, 0, 0, 0, 0]);
    bytes
}
