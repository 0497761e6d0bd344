//! Transactions on a real runtime (spec 218), and the newest calls to a node that takes them.

use std::net::SocketAddr;
use std::time::Duration;

use adit_chain::{AxonInfo, Call, Chain, ChainError, FINALITY, Field, Included, Netuid, Rao, SubmitError};
use adit_keys::{Hotkey, Keypair, Signature};
use adit_stand_in::local_chain::{LocalChain, newest_metadata};
use adit_stand_in::node::{Node, NodeScript};
use jsonrpsee::core::client::ClientT as _;
use jsonrpsee::rpc_params;
use jsonrpsee::ws_client::WsClientBuilder;
use parity_scale_codec::{Compact, Decode as _};
use serde_json::Value;

use crate::reads::client;

const SUBNET: Netuid = Netuid(44);

/// An account of the local chain.
pub(crate) fn key(uri: &str) -> Keypair {
    Keypair::from_uri(&LocalChain::uri(uri)).unwrap()
}

pub(crate) fn axon(address: &str) -> AxonInfo {
    AxonInfo::new(address.parse::<SocketAddr>().unwrap()).unwrap()
}

pub(crate) fn text(text: &str) -> Call {
    Call::set_commitment(SUBNET, &[Field::text(text).unwrap()])
}

/// Asks a node beside the client.
pub(crate) async fn ask(url: &str, method: &str, parameters: jsonrpsee::core::params::ArrayParams) -> Value {
    let client = WsClientBuilder::default().build(url).await.unwrap();
    client.request(method, parameters).await.unwrap()
}

/// The bytes that a block has of a transaction, without their length.
async fn sent(url: &str, included: &Included) -> Vec<u8> {
    let block = ask(url, "chain_getBlock", rpc_params![&included.block_hash]).await;
    let texts = block["block"]["extrinsics"].as_array().unwrap().clone();
    let found = texts.iter().find_map(|text| {
        let bytes = hex::decode(text.as_str().unwrap().trim_start_matches("0x")).unwrap();
        let hash = sp_crypto_hashing::blake2_256(&bytes);
        (format!("0x{}", hex::encode(hash)) == included.hash).then_some(bytes)
    });
    let found = found.unwrap_or_else(|| panic!("{} is not in its block", included.hash));
    let length = match found[0] & 3 {
        0 => 1,
        1 => 2,
        _ => 4,
    };
    found[length..].to_vec()
}

/// Version, signer and kind of signature of a signed transaction; then the signature.
const SIGNATURE_AT: usize = 1 + 1 + 32 + 1;

/// Checks what is signed, down to the era, the runtime and the block that it is bound to. Returns the nonce.
pub(crate) async fn check_signed(
    url: &str,
    included: &Included,
    signer: &Hotkey,
    spec_version: u32,
    call: &[u8],
) -> u64 {
    let bytes = sent(url, included).await;
    assert_eq!(bytes[..2], [0x84, 0], "a signed transaction of version 4, from an account");
    assert_eq!(bytes[2..34], *signer.as_bytes());
    let signature = format!("0x{}", hex::encode(&bytes[SIGNATURE_AT..][..64]));
    let signature: Signature = signature.parse().unwrap();
    let rest = &bytes[SIGNATURE_AT + 64..];
    assert!(rest.ends_with(call));
    // 128 blocks: seven bits, less one, beside the block's number in the period.
    let era = u16::from_le_bytes([rest[0], rest[1]]);
    assert_eq!(era & 0xf, 6, "not mortal for 128 blocks");
    let newest = included.block - 1;
    let birth = newest - (newest - u64::from(era >> 4)) % 128;
    assert!(newest - birth < 10, "born at {birth}, in block {}", included.block);
    let hash = async |number: u64| {
        let hash = ask(url, "chain_getBlockHash", rpc_params![number]).await;
        hex::decode(hash.as_str().unwrap().trim_start_matches("0x")).unwrap()
    };
    let versions = [spec_version.to_le_bytes(), 1_u32.to_le_bytes()].concat();
    let message =
        [call, &rest[..rest.len() - call.len()], &versions, &hash(0).await, &hash(birth).await, &[0]];
    let message = message.concat();
    let signed = if message.len() > 256 { sp_crypto_hashing::blake2_256(&message).to_vec() } else { message };
    assert!(signature.verifies(&signed, signer), "signed is something else");
    Compact::<u64>::decode(&mut &rest[2..]).unwrap().0
}

#[tokio::test]
async fn a_newcomer_registers_for_what_the_dry_run_says() {
    let Some(local) = LocalChain::start(&[]) else { return };
    let chain = client(local.url());
    let (coldkey, hotkey) = (key("//Newcomer"), key("//Newcomer//fresh").hotkey());
    let owner = coldkey.hotkey();
    let standing = async || {
        let both = async |head: adit_chain::Head| {
            Ok((head.number(), head.registration(SUBNET, &hotkey).await?, head.balance(&owner).await?))
        };
        chain.read(both).await.unwrap()
    };
    let before = standing().await;
    let call = Call::burned_register(SUBNET, &hotkey);
    let dry = chain.dry_run(&call, &owner).await.unwrap();
    assert_eq!(dry.call, format!("SubtensorModule.burned_register(netuid: 44, hotkey: {hotkey})"));
    assert_eq!((dry.spec_version, dry.nonce, dry.signer), (218, 0, owner));
    assert_eq!(dry.valid_until, before.0 + 127);
    // This runtime takes no fee for it; newer ones do.
    assert_eq!(dry.fee.0, 0);
    assert_eq!(standing().await, before, "a dry run changes nothing");

    let included = chain.submit(&call, &coldkey, FINALITY).await.unwrap();
    let (block, place, balance) = standing().await;
    assert_eq!((block, included.block), (before.0 + 1, before.0 + 1));
    assert_eq!((place.uid, place.owner), (Some(65), Some(owner)));
    assert_eq!(before.2.0 - balance.0, before.1.cost.0 + dry.fee.0);
    check_signed(local.url(), &included, &owner, 218, &dry.call_data).await;

    // A call that has its price.
    let call = Call::transfer(&hotkey, Rao(1_000_000_000));
    let dry = chain.dry_run(&call, &owner).await.unwrap();
    assert!((1..10_000_000).contains(&dry.fee.0), "{}", dry.fee);
    chain.submit(&call, &coldkey, FINALITY).await.unwrap();
    let (_, _, after) = standing().await;
    assert_eq!(balance.0 - after.0, 1_000_000_000 + dry.fee.0);

    // And two of no cost.
    let hotkey = key("//Newcomer//fresh");
    let calls = [text("a"), Call::serve_axon(SUBNET, &axon("203.0.113.77:8091"))];
    for (nonce, call) in (0..).zip(calls) {
        let dry = chain.dry_run(&call, &hotkey.hotkey()).await.unwrap();
        let included = chain.submit(&call, &hotkey, FINALITY).await.unwrap();
        let signed = check_signed(local.url(), &included, &hotkey.hotkey(), 218, &dry.call_data).await;
        assert_eq!((dry.fee.0, dry.nonce, signed), (0, nonce, nonce));
    }
}

#[tokio::test]
async fn axons_of_both_families_and_of_private_networks_are_read_back() {
    let Some(local) = LocalChain::start(&[]) else { return };
    let chain = client(local.url());
    let addresses = ["198.51.100.200:1", "[2001:db8::44]:65535", "10.1.2.3:8091", "[fd00::1]:9000"];
    for (uid, address) in addresses.into_iter().enumerate() {
        let hotkey = key(&format!("//Fleet//{}", uid + 10));
        let mine = axon(address);
        let included = chain.submit(&Call::serve_axon(SUBNET, &mine), &hotkey, FINALITY).await.unwrap();
        let account = hotkey.hotkey();
        let read = async |head: adit_chain::Head| {
            let metagraph = head.metagraph(SUBNET).await?;
            Ok((head.registration(SUBNET, &account).await?.axon, metagraph.neuron(&account).unwrap().axon))
        };
        let (axon, in_metagraph) = chain.read(read).await.unwrap();
        assert_eq!(axon, Some(AxonInfo { block: included.block, ..mine }));
        assert_eq!(in_metagraph, axon);
    }
}

#[tokio::test]
async fn calls_at_once_never_take_the_same_nonce() {
    let Some(local) = LocalChain::start(&[]) else { return };
    let chain = client(local.url());
    let mut tasks = tokio::task::JoinSet::new();
    for number in 20..24 {
        let commitment = text(&format!("of {number}"));
        let place = Call::serve_axon(SUBNET, &axon(&format!("203.0.113.{number}:9000")));
        for call in [commitment, place] {
            let (chain, hotkey) = (chain.clone(), key(&format!("//Fleet//{number}")));
            tasks.spawn(async move { chain.submit(&call, &hotkey, FINALITY).await });
        }
    }
    for done in tasks.join_all().await {
        done.unwrap();
    }
    for number in 20..24 {
        let hotkey = key(&format!("//Fleet//{number}")).hotkey();
        let both = async |head: adit_chain::Head| {
            let commitment = head.commitment(SUBNET, &hotkey).await?.and_then(|one| one.text());
            Ok((commitment, head.registration(SUBNET, &hotkey).await?.axon.map(|axon| axon.address)))
        };
        let address = format!("203.0.113.{number}:9000").parse().unwrap();
        let read = chain.read(both).await.unwrap();
        assert_eq!(read, (Some(format!("of {number}")), Some(address)));
    }
}

fn sealed() -> Call {
    let now = Duration::from_secs(1_800_000_000);
    Call::set_commitment(SUBNET, &[Field::sealed("secret", now, 360).unwrap()])
}

#[tokio::test]
async fn a_time_locked_commitment_is_sent_to_a_runtime_that_knows_it() {
    let Some(metadata) = newest_metadata() else { return };
    let node = Node::start(NodeScript::new(metadata)).await.unwrap();
    let chain = client(&node.url());
    let (call, hotkey) = (sealed(), key("//Miner//hot"));
    let included = chain.submit(&call, &hotkey, FINALITY).await.unwrap();
    let call_data = async |head: adit_chain::Head| head.runtime().call_data(&call);
    let call_data = chain.read(call_data).await.unwrap();
    check_signed(&node.url(), &included, &hotkey.hotkey(), 393, &call_data).await;
    assert_eq!(call_data[..6], [18, 0, 44, 0, 4, 134]);
}

#[tokio::test]
async fn a_time_locked_commitment_is_not_sent_to_an_older_runtime() {
    let Some(local) = LocalChain::start(&[]) else { return };
    let chain: Chain = client(local.url());
    let hotkey = key("//Miner//hot");
    let dry = chain.dry_run(&sealed(), &hotkey.hotkey()).await.unwrap_err();
    assert!(matches!(dry, ChainError::Arguments { .. }), "{dry}");
    assert!(dry.hint().unwrap().contains("older"));
    let error = chain.submit(&sealed(), &hotkey, FINALITY).await.unwrap_err();
    assert!(matches!(error, SubmitError::Chain(ChainError::Arguments { .. })), "{error}");
}
