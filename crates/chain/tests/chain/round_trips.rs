//! How many questions a read takes, and what an upgrade in mid-connection changes.

use adit_chain::{Chain, ChainError, Field, Metagraph, Netuid};
use adit_stand_in::local_chain::LocalChain;
use adit_stand_in::node::{Node, NodeScript, metagraph};
use jsonrpsee::core::client::ClientT as _;
use jsonrpsee::core::params::ArrayParams;
use jsonrpsee::rpc_params;
use jsonrpsee::ws_client::{WsClient, WsClientBuilder};
use serde_json::Value;
use subxt::ext::frame_decode::storage::encode_storage_key_prefix;

use crate::faults::{client, script, start};
use crate::reads;
use crate::writes::ask;

const SUBNET: Netuid = Netuid(44);

async fn read(chain: &Chain) -> Metagraph {
    chain.read(|head| async move { head.metagraph(SUBNET).await }).await.unwrap()
}

/// What a read asks once there is a connection: three questions find the block, one has the metagraph.
const SECOND: [&str; 4] = [
    "chain_getFinalizedHead",
    "chain_getHeader",
    "state_call Core_version",
    "state_call SubnetInfoRuntimeApi_get_metagraph",
];

/// What a node was asked by one read after the other.
async fn asked(nodes: &[&Node]) -> (Vec<String>, Vec<String>) {
    let chain = client(nodes);
    read(&chain).await;
    let first = nodes[0].requests();
    read(&chain).await;
    let second = nodes[0].requests().split_off(first.len());
    (first, second)
}

#[tokio::test]
async fn a_metagraph_takes_one_question_and_its_block_three() {
    let Some(script) = script() else { return };
    let (one, other) = (start(script.clone()).await, start(script).await);
    let (first, second) = asked(&[&one]).await;
    assert_eq!(second, SECOND);
    let (genesis, metadata) =
        (["chain_getBlockHash"], ["Metadata_metadata_versions", "Metadata_metadata_at_version"]);
    let metadata = metadata.map(|method| format!("state_call {method}"));
    let expected = [&genesis, &SECOND[..3], &metadata.each_ref().map(String::as_str), &SECOND[3..]].concat();
    assert_eq!(first, expected);
    // With a second node to turn to, the first block's age is looked at, and the block found again.
    let (first, second) = asked(&[&other, &one]).await;
    assert_eq!(second, SECOND);
    assert_eq!(first.len(), 11, "{first:?}");
}

/// The entries of a storage map below a subnet, and how many questions they took.
async fn map(client: &WsClient, entry: &str) -> (Vec<(Vec<u8>, Vec<u8>)>, u32) {
    let prefix =
        [encode_storage_key_prefix("SubtensorModule", entry).as_slice(), &SUBNET.0.to_le_bytes()].concat();
    let prefix = format!("0x{}", hex::encode(prefix));
    let ask = async |method: &str, parameters: ArrayParams| -> Value {
        client.request(method, parameters).await.unwrap()
    };
    let keys = ask("state_getKeysPaged", rpc_params![prefix, 512]).await;
    let changes = ask("state_queryStorageAt", rpc_params![keys]).await[0]["changes"].take();
    let bytes = |text: &Value| hex::decode(text.as_str().unwrap().trim_start_matches("0x")).unwrap();
    let entries = changes.as_array().unwrap().iter().map(|pair| (bytes(&pair[0]), bytes(&pair[1])));
    (entries.collect(), 2)
}

/// Why a metagraph is one runtime call: by storage maps, each takes two questions more, and the stake
/// that a miner's gate counts is in none of them.
#[tokio::test]
async fn by_storage_maps_each_column_takes_two_questions() {
    let Some(local) = LocalChain::start(&[]) else { return };
    let whole = read(&reads::client(local.url())).await;
    let client = WsClientBuilder::default().build(local.url()).await.unwrap();
    let mut questions = 0;
    let (keys, asked) = map(&client, "Keys").await;
    questions += asked;
    assert_eq!(keys.len(), whole.neurons.len());
    for (key, account) in keys {
        let uid = u16::from_le_bytes(*key.last_chunk().unwrap());
        assert_eq!(whole.neurons[usize::from(uid)].hotkey.as_bytes().as_slice(), account);
    }
    let (axons, asked) = map(&client, "Axons").await;
    questions += asked;
    let served = whole.neurons.iter().filter(|neuron| neuron.axon.is_some()).count();
    assert_eq!(axons.len(), served);
    let (registered, asked) = map(&client, "BlockAtRegistration").await;
    questions += asked;
    assert_eq!(registered.len(), whole.neurons.len());
    assert_eq!(questions, 6);
}

#[tokio::test]
async fn an_upgrade_in_mid_connection_brings_its_own_types() {
    let (Some(newest), Some(local)) = (script(), LocalChain::start(&[])) else { return };
    let metadata = ask(local.url(), "state_getMetadata", rpc_params![]).await;
    let metadata = hex::decode(metadata.as_str().unwrap().trim_start_matches("0x")).unwrap();
    let old = NodeScript::new(metadata).versions(218, 1).metagraph(metagraph(3));
    let node = start(old.clone()).await;
    let chain = client(&[&node]);
    let sealed = adit_chain::Call::set_commitment(
        SUBNET,
        &[Field::Timelocked { ciphertext: vec![1, 2, 3], round: 1000 }],
    );
    let standing = async || {
        let both = async |head: adit_chain::Head| {
            let neurons = head.metagraph(SUBNET).await?.neurons.len();
            Ok((head.spec_version(), neurons, head.runtime().call_data(&sealed)))
        };
        chain.read(both).await.unwrap()
    };
    let (version, neurons, call) = standing().await;
    assert_eq!((version, neurons), (218, 3));
    assert!(matches!(call, Err(ChainError::Arguments { .. })), "{call:?}");

    node.set(newest);
    let (version, neurons, call) = standing().await;
    assert_eq!((version, neurons), (393, 8));
    assert_eq!(call.unwrap()[..6], [18, 0, 44, 0, 4, 134]);

    // And back, as a node of a chain that was rolled back would.
    node.set(old);
    assert_eq!(standing().await.0, 218);
    let connections = node.requests().iter().filter(|method| *method == "chain_getBlockHash").count();
    assert_eq!(connections, 1, "all over one connection");
}
