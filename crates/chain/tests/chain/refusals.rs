//! What a real runtime (spec 218) refuses, in words.

use adit_chain::{AxonInfo, Call, Chain, FINALITY, Field, Netuid, Refused, SubmitError};
use adit_keys::{Hotkey, Keypair};
use adit_stand_in::local_chain::LocalChain;
use jsonrpsee::rpc_params;
use serde_json::json;
use subxt::ext::frame_decode::storage::encode_storage_key_prefix;

use crate::reads::client;
use crate::writes::{ask, axon, key, text};

const SUBNET: Netuid = Netuid(44);

async fn refused(chain: &Chain, call: &Call, signer: &Keypair) -> Refused {
    match chain.submit(call, signer, FINALITY).await {
        Err(SubmitError::Refused(refused)) => refused,
        other => panic!("{call}: {other:?}"),
    }
}

/// Gives a value of subnet 44 other bytes.
async fn plant(local: &LocalChain, entry: &str, value: &[u8]) {
    let key =
        [encode_storage_key_prefix("SubtensorModule", entry).as_slice(), &SUBNET.0.to_le_bytes()].concat();
    let pair = [format!("0x{}", hex::encode(key)), format!("0x{}", hex::encode(value))];
    ask(local.url(), "dev_setStorage", rpc_params![json!([pair])]).await;
    ask(local.url(), "dev_newBlock", rpc_params![json!({ "count": 1 })]).await;
}

fn register(netuid: u16, hotkey: &Hotkey) -> Call {
    Call::burned_register(Netuid(netuid), hotkey)
}

#[tokio::test]
async fn registrations_are_refused_in_words() {
    let Some(local) = LocalChain::start(&[]) else { return };
    let chain = client(local.url());
    let (newcomer, fresh) = (key("//Newcomer"), key("//Newcomer//fresh").hotkey());
    let miner = key("//Miner//hot").hotkey();
    let other = key("//Fleet//30").hotkey();
    for (call, signer, name, sentence) in [
        (
            register(44, &miner),
            "//Miner",
            "HotKeyAlreadyRegisteredInSubNet",
            "is registered on this subnet already",
        ),
        (register(34, &other), "//Newcomer", "NonAssociatedColdKey", "belongs to another coldkey"),
        (register(9, &fresh), "//Newcomer", "NotExist", "there is no such subnet"),
        (
            register(0, &fresh),
            "//Newcomer",
            "RegistrationNotPermittedOnRootSubnet",
            "nobody registers on subnet 0",
        ),
        (register(44, &fresh), "//Poor", "", "cannot pay"),
    ] {
        let refused = refused(&chain, &call, &key(signer)).await;
        assert!(refused.name.contains(name), "{call}: {refused}");
        assert!(refused.sentence.contains(sentence), "{call}: {refused}");
        assert!(!refused.hint.is_empty(), "{call}: {refused}");
    }

    let call = register(44, &fresh);
    for (entry, value, back, sentence) in [
        ("NetworkRegistrationAllowed", &[0_u8][..], &[1_u8][..], "registration on this subnet is closed"),
        ("MaxRegistrationsPerBlock", &[0, 0], &[8, 0], "all the registrations that it may"),
        ("RegistrationsThisInterval", &[99, 0], &[0, 0], "no more registrations in this interval"),
        // 2⁶² rao.
        (
            "Burn",
            &[0, 0, 0, 0, 0, 0, 0, 64],
            &[0, 202, 154, 59, 0, 0, 0, 0],
            "cannot pay what a registration costs",
        ),
    ] {
        plant(&local, entry, value).await;
        let refused = refused(&chain, &call, &newcomer).await;
        assert!(refused.sentence.contains(sentence), "{entry}: {refused}");
        assert!(!refused.hint.is_empty(), "{entry}: {refused}");
        plant(&local, entry, back).await;
    }
    let place = async |head: adit_chain::Head| head.registration(SUBNET, &fresh).await;
    assert_eq!(chain.read(place).await.unwrap().uid, None);
}

#[tokio::test]
async fn axons_and_commitments_are_refused_in_words() {
    let Some(local) = LocalChain::start(&[]) else { return };
    let chain = client(local.url());
    let hotkey = key("//Fleet//31");
    let place = Call::serve_axon(SUBNET, &axon("203.0.113.31:9000"));
    chain.submit(&text("once"), &hotkey, FINALITY).await.unwrap();
    chain.submit(&place, &hotkey, FINALITY).await.unwrap();
    // What `AxonInfo::new` does not let through.
    let unchecked = |address: &str| {
        let checked = axon("203.0.113.31:9000");
        Call::serve_axon(SUBNET, &AxonInfo { address: address.parse().unwrap(), ..checked })
    };
    let two = [Field::text("a").unwrap(), Field::text("b").unwrap()];
    for (call, signer, name, sentence) in [
        (text("twice"), "//Fleet//31", "CommitmentSetRateLimitExceeded", "may not again so soon"),
        (place.clone(), "//Fleet//31", "ServingRateLimitExceeded", "may not be again so soon"),
        (text("a"), "//Stranger//hot", "AccountNotAllowedCommit", "is not registered on this subnet"),
        (place, "//Stranger//hot", "HotKeyNotRegisteredInNetwork", "is not registered on any subnet"),
        (
            Call::set_commitment(Netuid(9), &two[..1]),
            "//Miner//hot",
            "AccountNotAllowedCommit",
            "is not registered",
        ),
        (unchecked("203.0.113.31:0"), "//Fleet//32", "InvalidPort", "takes no such port"),
        (unchecked("127.0.0.1:80"), "//Fleet//32", "InvalidIpAddress", "takes no such address"),
        (unchecked("[::1]:80"), "//Fleet//32", "InvalidIpAddress", "takes no such address"),
    ] {
        let refused = refused(&chain, &call, &key(signer)).await;
        assert!(refused.name.contains(name), "{call}: {refused}");
        assert!(refused.sentence.contains(sentence), "{call}: {refused}");
        assert!(!refused.hint.is_empty(), "{call}: {refused}");
    }
    // More fields than this runtime's list holds: it cannot even read the call.
    let refused = refused(&chain, &Call::set_commitment(SUBNET, &two), &key("//Fleet//33")).await;
    assert!(refused.sentence.contains("does not take"), "{refused}");
}
