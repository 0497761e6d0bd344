//! Vectors for what the crate does not show: storage keys and values, signed bytes, error numbers.

use std::path::PathBuf;

use adit_keys::Hotkey;
use adit_stand_in::local_chain::{LocalChain, newest_metadata};
use adit_stand_in::node::{Node, NodeScript};
use serde_json::Value;
use subxt::config::DefaultExtrinsicParamsBuilder;
use subxt::error::DispatchError;
use subxt::ext::scale_decode::DecodeAsType;
use subxt::utils::{AccountId32, H256, MultiSignature};

use crate::axon::StoredAxon;
use crate::head::Head;
use crate::runtime::{Item, Runtime, account};
use crate::submit::{Payload, dispatch};
use crate::{Chain, Endpoints, Limits, Netuid};

fn vectors() -> Value {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors");
    let folder = std::env::var_os("ADIT_VECTORS").map_or_else(|| PathBuf::from(own), PathBuf::from);
    let path = folder.join("chain_scale.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap()
}

fn list<'a>(vectors: &'a Value, key: &str) -> &'a Vec<Value> {
    let cases = vectors[key].as_array().unwrap_or_else(|| panic!("no {key}"));
    assert!(!cases.is_empty(), "no cases in {key}");
    cases
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap().trim_start_matches("0x")).unwrap()
}

fn hash(value: &Value) -> [u8; 32] {
    bytes(value).try_into().unwrap()
}

fn hotkey(value: &Value) -> Hotkey {
    value.as_str().unwrap().parse().unwrap()
}

/// The newest block of a node.
async fn head(url: &str) -> Head {
    let chain = Chain::new(Endpoints::parse(url).unwrap(), Limits::default());
    chain.read(|head| async move { Ok(head) }).await.unwrap()
}

fn newest() -> Option<Runtime> {
    Some(Runtime::from_metadata(&newest_metadata()?).unwrap())
}

/// The storage item of a case, whatever it is.
fn item(case: &Value) -> Item {
    let (pallet, entry) = case["item"].as_str().unwrap().split_once('.').unwrap();
    let key = |value: &Value| match value.as_u64() {
        Some(number) => subxt::ext::scale_value::Value::u128(number.into()),
        None => account(&hotkey(value)),
    };
    let keys: Vec<_> = case["params"].as_array().unwrap().iter().map(key).collect();
    Item::new(String::leak(pallet.to_owned()), String::leak(entry.to_owned()), keys)
}

#[test]
fn vectors_chain_scale_storage_keys() {
    let vectors = vectors();
    let Some(newest) = newest() else { return };
    for case in list(&vectors, "storage_keys") {
        let key = newest.storage_key(&item(case)).unwrap_or_else(|e| panic!("{}: {e}", case["item"]));
        assert_eq!(hex::encode(key), hex::encode(bytes(&case["key"])), "{}", case["item"]);
    }
}

/// A value as the vectors show it.
fn shown<T: DecodeAsType>(
    runtime: &Runtime,
    item: &Item,
    stored: Option<&[u8]>,
    show: impl Fn(T) -> Value,
) -> Value {
    runtime
        .storage_value(item, stored)
        .unwrap_or_else(|e| panic!("{}: {e}", item.name()))
        .map_or(Value::Null, show)
}

#[tokio::test]
async fn vectors_chain_scale_storage_of_the_old_runtime() {
    #[derive(DecodeAsType)]
    #[decode_as_type(crate_path = "subxt::ext::scale_decode")]
    struct AccountInfo {
        nonce: u32,
        data: AccountData,
    }
    #[derive(DecodeAsType)]
    #[decode_as_type(crate_path = "subxt::ext::scale_decode")]
    struct AccountData {
        free: u64,
    }
    let vectors = vectors();
    let Some(local) = LocalChain::start(&[]) else { return };
    let old = head(local.url()).await.runtime().clone();
    for case in list(&vectors["chain"], "storage") {
        let item = item(case);
        let name = item.name();
        assert_eq!(old.storage_key(&item).unwrap(), bytes(&case["key"]), "{name}");
        let stored = case["value"].as_str().map(|_| bytes(&case["value"]));
        let (stored, expected) = (stored.as_deref(), &case["expected"]);
        let first = expected.get(0).unwrap_or(expected);
        let read = match first {
            Value::Bool(_) if expected.is_array() => {
                shown(&old, &item, stored, |list: Vec<bool>| Value::from_iter(list))
            }
            Value::Number(_) if expected.is_array() => {
                shown(&old, &item, stored, |list: Vec<u64>| Value::from_iter(list))
            }
            Value::Bool(_) => shown::<bool>(&old, &item, stored, Value::from),
            Value::Number(_) => shown::<u64>(&old, &item, stored, Value::from),
            Value::String(_) => {
                shown::<[u8; 32]>(&old, &item, stored, |key| Hotkey::from_bytes(key).to_string().into())
            }
            Value::Object(_) if name == "System.Account" => {
                let info = old.storage_value::<AccountInfo>(&item, stored).unwrap().unwrap();
                assert_eq!(expected["nonce"], info.nonce, "{name}");
                assert_eq!(expected["data"]["free"], info.data.free, "{name}");
                continue;
            }
            Value::Object(_) => {
                let axon = old.storage_value::<StoredAxon>(&item, stored).unwrap().unwrap();
                assert_eq!(expected["port"], axon.port, "{name}");
                assert_eq!(expected["block"], axon.block, "{name}");
                // Of an IPv6 address the reader of JSON keeps the first digits only.
                assert!((expected["ip"].as_f64().unwrap() / axon.ip as f64 - 1.0).abs() < 1e-12, "{name}");
                assert_eq!(axon.served().unwrap().address.is_ipv6(), expected["ip_type"] == 6, "{name}");
                continue;
            }
            _ => {
                shown::<subxt::ext::scale_value::Value>(&old, &item, stored, |value| value.to_string().into())
            }
        };
        assert_eq!(read, *expected, "{name}");
    }
    for case in list(&vectors["chain"], "commitments") {
        let netuid = Netuid(case["netuid"].as_u64().unwrap().try_into().unwrap());
        let read = old.commitment(netuid, &bytes(&case["value"])).unwrap();
        assert_eq!(read.text().as_deref(), case["expected"]["sdk_text"].as_str());
        assert_eq!(read.block, case["expected"]["block"].as_u64().unwrap());
    }
}

#[tokio::test]
async fn vectors_chain_scale_revealed_commitments() {
    let vectors = vectors();
    let Some(metadata) = newest_metadata() else { return };
    let cases = list(&vectors["chain"]["revealed_commitments"], "items");
    let mut script = NodeScript::new(metadata);
    for case in cases {
        script = script.storage(bytes(&case["key"]), bytes(&case["value"]));
    }
    let node = Node::start(script).await.unwrap();
    let head = head(&node.url()).await;
    let all = head.all_revealed(Netuid(44)).await.unwrap();
    assert_eq!(all.len(), cases.len());
    for case in cases {
        let netuid = Netuid(case["netuid"].as_u64().unwrap().try_into().unwrap());
        let hotkey = hotkey(&case["hotkey"]);
        let read = head.revealed(netuid, &hotkey).await.unwrap();
        assert!(all.contains(&(hotkey, read.clone())));
        let shown: Vec<_> = read.iter().map(|one| serde_json::json!([one.block, one.text()])).collect();
        assert_eq!(Value::from(shown), case["expected"]);
    }
}

/// The signed bytes of each case, made by what makes ours.
#[tokio::test]
async fn vectors_chain_scale_extrinsics() {
    let vectors = vectors();
    let Some(metadata) = newest_metadata() else { return };
    for case in list(&vectors, "extrinsics") {
        let (name, number) = (&case["name"], |key: &str| case[key].as_u64().unwrap());
        let versions = (number("spec_version") as u32, number("transaction_version") as u32);
        let script = NodeScript::new(metadata.clone()).versions(versions.0, versions.1);
        let node = Node::start(script.genesis(hash(&case["genesis_hash"]))).await.unwrap();
        let head = head(&node.url()).await;
        let payload: Payload = head.at.tx().from_call_data_bytes(&bytes(&case["call"])).unwrap();
        let birth = (number("era_birth_block"), H256(hash(&case["era_block_hash"])));
        let mut signable = match case["era"]["period"].as_u64() {
            // The period that we send.
            Some(128) if case["tip"] == 0 => head.mortal(&payload, number("nonce"), birth).unwrap(),
            period => {
                let params =
                    DefaultExtrinsicParamsBuilder::new().nonce(number("nonce")).tip(number("tip").into());
                let params = match period {
                    Some(period) => params.mortal_from_unchecked(period, birth.0, birth.1),
                    None => params.immortal(),
                };
                head.signable(&payload, params.build()).unwrap()
            }
        };
        let to_sign = signable.signer_payload().unwrap();
        assert_eq!(hex::encode(to_sign), hex::encode(bytes(&case["payload_to_sign"])), "{name}");
        let signature = MultiSignature::Sr25519(bytes(&case["signature"]).try_into().unwrap());
        let signer = AccountId32(*hotkey(&case["signer"]["ss58"]).as_bytes());
        let signed = signable.sign_with_account_and_signature(&signer, &signature).unwrap();
        assert_eq!(hex::encode(signed.encoded()), hex::encode(bytes(&case["extrinsic"])), "{name}");
        assert_eq!(signed.hash().0, hash(&case["hash"]), "{name}");
    }
}

/// A number of the runtime's own enum `DispatchError`, and what follows it.
fn core_errors(head: &Head) {
    const TOKEN: u8 = 7;
    for bytes in
        [[0, 0], [1, 0], [2, 0], [4, 0], [5, 0], [6, 0], [TOKEN, 0], [8, 0], [9, 0], [10, 0], [13, 0]]
    {
        let error = DispatchError::decode_from(bytes.as_slice(), head.at.metadata()).unwrap();
        let refused = dispatch(&error);
        assert!(!refused.name.is_empty() && refused.to_string().contains(&refused.name), "{refused:?}");
        assert_eq!(bytes[0] == TOKEN, refused.hint.contains("send TAO"), "{refused:?}");
    }
}

/// Every error of both tables by its number, through what reads a failed transaction.
fn errors(head: &Head, cases: &[Value]) {
    for case in cases {
        let (pallet, index) = (case[0].as_u64().unwrap() as u8, case[1].as_u64().unwrap() as u8);
        const MODULE: u8 = 3;
        let error =
            DispatchError::decode_from([MODULE, pallet, index, 0, 0, 0].as_slice(), head.at.metadata());
        let refused = dispatch(&error.unwrap());
        let expected = case[2].as_str().unwrap();
        assert_eq!(refused.name.split_once('.').unwrap().1, expected);
        assert!(refused.sentence.len() > 15, "{expected}: {refused}");
        assert_ne!(refused.sentence, "the chain refuses", "{expected} has no words");
        assert!(!refused.hint.is_empty(), "{expected}");
        assert!(!refused.sentence.ends_with(['.', ' ']) && !refused.sentence.contains('\n'), "{refused}");
    }
}

#[tokio::test]
async fn vectors_chain_scale_errors_of_the_newest_runtime() {
    let Some(metadata) = newest_metadata() else { return };
    let node = Node::start(NodeScript::new(metadata)).await.unwrap();
    let head = head(&node.url()).await;
    errors(&head, list(&vectors(), "errors_393"));
    core_errors(&head);
}

#[tokio::test]
async fn vectors_chain_scale_errors_of_the_old_runtime() {
    let Some(local) = LocalChain::start(&[]) else { return };
    let head = head(local.url()).await;
    errors(&head, list(&vectors(), "errors_218"));
    core_errors(&head);
}
