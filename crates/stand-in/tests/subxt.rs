//! The node as subxt sees it, with the newest metadata.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::sync::Arc;

use adit_stand_in::local_chain::newest_metadata;
use adit_stand_in::node::{Node, NodeScript, Submission, metagraph};
use subxt::backend::LegacyBackend;
use subxt::config::Config;
use subxt::dynamic::Value;
use subxt::ext::codec::Decode as _;
use subxt::ext::frame_metadata::{RuntimeMetadata, RuntimeMetadataPrefixed};
use subxt::ext::scale_value::At as _;
use subxt::rpcs::client::{RpcClient, rpc_params};
use subxt::utils::{AccountId32, MultiSignature};
use subxt::{OnlineClient, PolkadotConfig};

/// The node's script with the newest metadata, where that is.
fn script() -> Option<NodeScript> {
    newest_metadata().map(NodeScript::new)
}

async fn client(node: &Node) -> OnlineClient<PolkadotConfig> {
    let rpc = RpcClient::from_insecure_url(node.url()).await.unwrap();
    OnlineClient::from_backend(Arc::new(LegacyBackend::builder().build(rpc))).await.unwrap()
}

#[tokio::test]
async fn it_sees_the_newest_block_under_the_hash_of_its_header() {
    let Some(script) = script() else { return };
    let node = Node::start(script.head(5_000_123)).await.unwrap();
    let client = client(&node).await;
    let block = client.at_current_block().await.unwrap();
    assert_eq!(block.block_number(), 5_000_123);
    let mut blocks = client.stream_blocks().await.unwrap();
    let streamed = blocks.next().await.unwrap().unwrap();
    assert_eq!(streamed.hash(), block.block_hash());
}

#[tokio::test]
async fn metagraphs_decode_by_the_types_of_the_metadata() {
    let Some(script) = script() else { return };
    for neurons in [0, 256, 4096] {
        let made = metagraph(neurons);
        let node = Node::start(script.clone().metagraph(made.clone())).await.unwrap();
        let block = client(&node).await.at_current_block().await.unwrap();
        let netuid = || Value::u128(44);
        let all = || Value::unnamed_composite((0..74).map(Value::u128));
        for (method, arguments) in [
            ("get_metagraph", vec![netuid()]),
            ("get_mechagraph", vec![netuid(), Value::u128(0)]),
            ("get_selective_metagraph", vec![netuid(), all()]),
            ("get_selective_mechagraph", vec![netuid(), Value::u128(0), all()]),
        ] {
            let call =
                subxt::dynamic::runtime_api_call::<_, Value>("SubnetInfoRuntimeApi", method, arguments);
            let answer = block.runtime_apis().call(call).await.unwrap();
            let field = |name: &str| {
                let field = answer.at(0).and_then(|some| some.at(name)).unwrap_or_else(|| panic!("{name}"));
                // In the selective answer, each field is optional.
                field.at(0).filter(|_| method.contains("selective")).unwrap_or(field).clone()
            };
            for uid in [0, neurons / 2, neurons.saturating_sub(1)].into_iter().filter(|uid| *uid < neurons) {
                let stake = made.get("total_stake")[uid].as_u64().unwrap();
                assert_eq!(number(field("total_stake").at(uid)), u128::from(stake), "{method} {uid}");
                let key = field("hotkeys").at(uid).and_then(|account| account.at(0)).unwrap().clone();
                let bytes: Vec<u8> = (0..32).map(|at| number(key.at(at)) as u8).collect();
                assert_eq!(bytes, made.hotkey(uid).as_bytes(), "{method} {uid}");
            }
            assert_eq!(number(Some(&field("block"))), 5_000_000, "{method}");
        }
    }
}

/// A number, compact or not.
fn number(value: Option<&Value>) -> u128 {
    let value = value.unwrap();
    value.as_u128().or_else(|| value.at(0)?.as_u128()).unwrap_or_else(|| panic!("no number: {value}"))
}

#[tokio::test]
async fn older_metadata_says_the_same_with_less() {
    let Some(script) = script() else { return };
    let node = Node::start(script).await.unwrap();
    let rpc = RpcClient::from_insecure_url(node.url()).await.unwrap();
    let bytes = async |method: &str, params| {
        let text: String = rpc.request(method, params).await.unwrap();
        hex::decode(&text[2..]).unwrap()
    };
    let at_version = async |version: &str| {
        let params = rpc_params!["Metadata_metadata_at_version", version];
        let answer = Option::<Vec<u8>>::decode(&mut &bytes("state_call", params).await[..]).unwrap();
        RuntimeMetadataPrefixed::decode(&mut &answer?[..]).ok()
    };
    let Some(RuntimeMetadataPrefixed(_, RuntimeMetadata::V16(newest))) = at_version("0x10000000").await
    else {
        panic!("no version 16");
    };
    let Some(RuntimeMetadataPrefixed(_, RuntimeMetadata::V15(older))) = at_version("0x0f000000").await else {
        panic!("no version 15");
    };
    assert!(at_version("0x0d000000").await.is_none());
    let oldest = bytes("state_getMetadata", rpc_params![]).await;
    let RuntimeMetadataPrefixed(_, RuntimeMetadata::V14(oldest)) =
        RuntimeMetadataPrefixed::decode(&mut &oldest[..]).unwrap()
    else {
        panic!("no version 14");
    };

    assert!(newest.types == older.types && older.types == oldest.types);
    for (new, old) in newest.apis.iter().zip(&older.apis) {
        assert_eq!(new.name, old.name);
        assert_eq!(names(&new.methods, |one| &one.name), names(&old.methods, |one| &one.name));
    }
    let pallets = names(&newest.pallets, |one| &one.name);
    assert!(pallets.contains(&"SubtensorModule".to_owned()));
    assert_eq!(names(&older.pallets, |one| &one.name), pallets);
    assert_eq!(names(&oldest.pallets, |one| &one.name), pallets);
    // What decodes a block's extrinsics is found by name where version 16 does not say it.
    assert_ne!(oldest.extrinsic.ty, newest.extrinsic.call_ty);
}

fn names<T>(items: &[T], name: impl Fn(&T) -> &String) -> Vec<String> {
    items.iter().map(|one| name(one).clone()).collect()
}

struct Nobody;

impl<T: Config<AccountId = AccountId32, Signature = MultiSignature>> subxt::tx::Signer<T> for Nobody {
    fn account_id(&self) -> AccountId32 {
        AccountId32([1; 32])
    }

    fn sign(&self, _: &[u8]) -> MultiSignature {
        MultiSignature::Sr25519([0; 64])
    }
}

#[tokio::test]
async fn extrinsics_succeed_and_fail_as_scripted() {
    let Some(script) = script() else { return };
    let node = Node::start(script.clone().nonce(7)).await.unwrap();
    let client = client(&node).await;
    let call = || subxt::dynamic::tx("System", "remark", vec![Value::from_bytes([1, 2, 3])]);
    let send = async || {
        let mut transactions = client.tx().await.unwrap();
        let sent = transactions.sign_and_submit_then_watch_default(&call(), &Nobody).await.unwrap();
        sent.wait_for_finalized_success().await.map(drop)
    };
    send().await.unwrap();
    // The pallet and the error by the metadata.
    node.set(script.submission(Submission::Fails { pallet: 7, error: 21 }));
    let failed = send().await.unwrap_err().to_string();
    assert!(failed.contains("HotKeyAlreadyRegisteredInSubNet"), "{failed}");
}
