//! What becomes of transactions when the node, the chain or the connection lets them down.

use std::time::{Duration, Instant};

use adit_chain::{Call, Chain, FINALITY, Included, Limits, Netuid, SubmitError};
use adit_stand_in::node::{Fault, Node, NodeScript, RpcError, Submission};

use crate::faults::{client, limits, script, start};
use crate::writes::{check_signed, key, text};

const SUBMIT: &str = "author_submitAndWatchExtrinsic";

/// How often a node was given a transaction.
fn given(node: &Node) -> usize {
    node.requests().iter().filter(|method| *method == SUBMIT).count()
}

async fn submit(chain: &Chain) -> Result<Included, SubmitError> {
    chain.submit(&text("a"), &key("//Miner//hot"), FINALITY).await
}

/// Submits, and gives the node another script as soon as it was given the transaction once.
async fn changing(node: &Node, then: NodeScript) -> Result<Included, SubmitError> {
    let chain = client(&[node]);
    let task = tokio::spawn(async move { submit(&chain).await });
    let begun = Instant::now();
    while given(node) == 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "nothing was sent: {:?}", node.requests());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    node.set(then);
    task.await.unwrap()
}

/// Checks a transaction that a node took, and returns its nonce.
async fn check(node: &Node, included: &Included, spec_version: u32) -> u64 {
    let call = text("a");
    let call_data = async |head: adit_chain::Head| head.runtime().call_data(&call);
    let call_data = client(&[node]).read(call_data).await.unwrap();
    check_signed(&node.url(), included, &key("//Miner//hot").hotkey(), spec_version, &call_data).await
}

fn refusing(script: NodeScript, reason: &str) -> NodeScript {
    script.submission(Submission::Refused(RpcError::invalid_transaction(reason)))
}

#[tokio::test]
async fn a_nonce_that_another_took_is_asked_for_afresh() {
    let Some(script) = script() else { return };
    let node = start(refusing(script.clone().nonce(5), "Transaction is outdated")).await;
    let included = changing(&node, script.clone().nonce(6)).await.unwrap();
    assert_eq!(check(&node, &included, 393).await, 6);

    let node = start(script.clone().submission(Submission::Refused(RpcError::priority_too_low()))).await;
    let included = changing(&node, script.nonce(300)).await.unwrap();
    assert_eq!(check(&node, &included, 393).await, 300);
}

#[tokio::test]
async fn three_refusals_are_the_last_word() {
    let Some(script) = script() else { return };
    let node = start(refusing(script, "Transaction is outdated")).await;
    let Err(SubmitError::Refused(refused)) = submit(&client(&[&node])).await else { panic!() };
    assert_eq!(refused.name, "1010 Invalid Transaction: Transaction is outdated");
    assert!(refused.sentence.contains("another transaction of this key came first"), "{refused}");
    assert_eq!(given(&node), 3);
}

#[tokio::test]
async fn what_no_fresh_signature_mends_is_sent_once() {
    let Some(script) = script() else { return };
    for (reason, sentence) in [
        ("Custom error: 3", "there is no such subnet"),
        ("Custom error: 6", "too often"),
        ("Custom error: 10", "is not registered on this subnet"),
        ("Custom error: 11", "takes no such address"),
        ("Custom error: 12", "may not be again so soon"),
        ("Custom error: 13", "takes no such port"),
        ("Inability to pay some fees (e.g. account balance too low)", "cannot pay the fee"),
    ] {
        let node = start(refusing(script.clone(), reason)).await;
        let Err(SubmitError::Refused(refused)) = submit(&client(&[&node])).await else { panic!("{reason}") };
        assert!(refused.sentence.contains(sentence), "{refused}");
        assert!(!refused.hint.is_empty());
        assert_eq!(given(&node), 1, "{reason}");
    }
}

#[tokio::test]
async fn an_upgrade_between_signature_and_pool_is_signed_for_afresh() {
    let Some(script) = script() else { return };
    let node = start(refusing(script.clone(), "Transaction has a bad signature")).await;
    let included = changing(&node, script.versions(394, 1)).await.unwrap();
    check(&node, &included, 394).await;
}

#[tokio::test]
async fn just_after_an_upgrade_the_newest_block_says_for_which_runtime_to_sign() {
    let Some(script) = script() else { return };
    let before = script.clone();
    let upgraded = script.versions(394, 1).upgraded(5_000_000, before).finality_lag(2);
    let node = start(upgraded).await;
    let chain = client(&[&node]);
    let finalized = chain.read(|head| async move { Ok((head.number(), head.spec_version())) }).await;
    assert_eq!(finalized.unwrap(), (4_999_998, 393));
    let included = submit(&chain).await.unwrap();
    check(&node, &included, 394).await;
}

#[tokio::test]
async fn an_error_of_the_newest_runtime_is_told_by_its_name() {
    let Some(script) = script() else { return };
    let node = start(script.submission(Submission::Fails { pallet: 7, error: 21 })).await;
    let call = Call::burned_register(Netuid(44), &key("//Miner//hot").hotkey());
    let outcome = client(&[&node]).submit(&call, &key("//Miner"), FINALITY).await;
    let Err(SubmitError::Refused(refused)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(refused.name, "SubtensorModule.HotKeyAlreadyRegisteredInSubNet");
}

#[tokio::test]
async fn a_transaction_that_left_the_pool_did_nothing() {
    let Some(script) = script() else { return };
    let node = start(script.submission(Submission::Dropped)).await;
    let error = submit(&client(&[&node])).await.unwrap_err();
    assert!(matches!(error, SubmitError::Dropped { .. }), "{error}");
    assert!(error.hint().unwrap().contains("try again"));
}

/// The reason why an outcome is unknown, whose transaction is named.
fn unknown(outcome: Result<Included, SubmitError>) -> String {
    let Err(error) = outcome else { panic!("{outcome:?}") };
    assert!(error.hint().unwrap().contains("before you send it again"), "{error}");
    let SubmitError::Unknown { hash, reason } = error else { panic!("{error:?}") };
    assert!(hash.len() == 66 && hash.starts_with("0x"), "{hash}");
    reason
}

#[tokio::test]
async fn a_transaction_whose_block_is_not_seen_to_be_final_is_unknown() {
    let Some(script) = script() else { return };
    let node = start(script.submission(Submission::NeverFinal)).await;
    let reason = unknown(submit(&client(&[&node])).await);
    assert!(reason.contains("a block has it"), "{reason}");
}

#[tokio::test]
async fn a_transaction_that_no_block_takes_in_time_is_unknown() {
    let Some(script) = script() else { return };
    let node = start(script.submission(Submission::Forgotten)).await;
    let within = Duration::from_secs(2);
    let outcome = client(&[&node]).submit(&text("a"), &key("//Miner//hot"), within).await;
    assert!(unknown(outcome).contains("not finalized within 2 s"));
}

#[tokio::test]
async fn a_connection_lost_after_the_pool_took_it_leaves_it_unknown() {
    let Some(script) = script() else { return };
    let node = start(script.clone().submission(Submission::Forgotten)).await;
    unknown(changing(&node, script.clone().fault(Fault::Refuse)).await);

    // And one lost before the pool could say so: it is not sent a second time.
    let node = start(script.clone().fault(Fault::CloseInMidAnswer(SUBMIT.into()))).await;
    let chain = client(&[&node]);
    unknown(submit(&chain).await);
    assert_eq!(given(&node), 1);
    node.set(script);
    submit(&chain).await.unwrap();
}

#[tokio::test]
async fn a_success_whose_block_cannot_be_read_is_unknown() {
    let Some(script) = script() else { return };
    let node = start(script.fault(Fault::CloseInMidAnswer("chain_getBlock".into()))).await;
    unknown(submit(&client(&[&node])).await);
    assert_eq!(given(&node), 1);
}

#[tokio::test]
async fn calls_of_one_account_at_once_take_turns() {
    let Some(script) = script() else { return };
    // Answers take a while, so that each call has time to be overtaken.
    let node = start(script.slow(Duration::from_millis(20))).await;
    let chain = client(&[&node]);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let chain = chain.clone();
        tasks.spawn(async move { submit(&chain).await.unwrap() });
    }
    let mut nonces = Vec::new();
    for included in tasks.join_all().await {
        nonces.push(check(&node, &included, 393).await);
    }
    nonces.sort_unstable();
    assert_eq!(nonces, [0, 1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn nothing_is_sent_where_no_node_answers() {
    let Some(script) = script() else { return };
    let mute = start(script.fault(Fault::AcceptAndNeverAnswer)).await;
    let begun = Instant::now();
    let error = submit(&client(&[&mute])).await.unwrap_err();
    assert!(matches!(error, SubmitError::Chain(_)), "{error}");
    let Limits { answer, rounds, .. } = limits();
    assert!(begun.elapsed() < answer * (rounds + 1));
}
