//! The node as a client of JSON-RPC sees it.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::time::{Duration, Instant};

use adit_stand_in::node::{Fault, Node, NodeScript, RpcError, Submission, metagraph};
use jsonrpsee::core::ClientError;
use jsonrpsee::core::client::{ClientT as _, Subscription, SubscriptionClientT as _};
use jsonrpsee::core::params::ArrayParams;
use jsonrpsee::rpc_params;
use jsonrpsee::ws_client::{WsClient, WsClientBuilder};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

/// Longer than any answer takes, short enough to wait for one that never comes.
const SOON: Duration = Duration::from_millis(300);

fn script() -> NodeScript {
    NodeScript::new(b"meta\x10nothing else".as_slice())
}

async fn connected(script: NodeScript) -> (Node, WsClient) {
    let node = Node::start(script).await.unwrap();
    let client = WsClientBuilder::default().build(node.url()).await.unwrap();
    (node, client)
}

async fn ask(client: &WsClient, method: &str, params: ArrayParams) -> Value {
    client.request(method, params).await.unwrap()
}

async fn refusal(client: &WsClient, method: &str, params: ArrayParams) -> (i32, String, Option<String>) {
    match client.request::<Value, _>(method, params).await.unwrap_err() {
        ClientError::Call(e) => {
            (e.code(), e.message().to_owned(), e.data().map(|data| data.get().to_owned()))
        }
        other => panic!("{other}"),
    }
}

async fn heads(client: &WsClient) -> Subscription<Value> {
    client
        .subscribe("chain_subscribeFinalizedHeads", rpc_params![], "chain_unsubscribeFinalizedHeads")
        .await
        .unwrap()
}

async fn next(news: &mut Subscription<Value>) -> Value {
    timeout(Duration::from_secs(5), news.next()).await.expect("no news").unwrap().unwrap()
}

#[tokio::test]
async fn it_knows_its_chain() {
    let (node, client) = connected(script().genesis([7; 32]).head(5)).await;
    let genesis = ask(&client, "chain_getBlockHash", rpc_params![0]).await;
    assert_eq!(genesis, format!("0x{}", "07".repeat(32)));
    let head = ask(&client, "chain_getFinalizedHead", rpc_params![]).await;
    assert_eq!(ask(&client, "chain_getHead", rpc_params![]).await, head);
    assert_eq!(ask(&client, "chain_getBlockHash", rpc_params!["0x5"]).await, head);
    assert_eq!(ask(&client, "chain_getBlockHash", rpc_params![6]).await, Value::Null);
    let header = ask(&client, "chain_getHeader", rpc_params![&head]).await;
    assert_eq!(header["number"], "0x5");
    assert_eq!(ask(&client, "chain_getBlockHash", rpc_params![4]).await, header["parentHash"]);
    assert_eq!(ask(&client, "system_chain", rpc_params![]).await, "Bittensor");
    assert_eq!(node.requests().len(), 8);
    assert_eq!(node.requests()[7], "system_chain");
}

#[tokio::test]
async fn storage_is_what_the_script_says() {
    let now_key = "0xf0c365c3cf59d671eb72da0e7a4113c49f1f0515f462cdcf84e0f1d6045dfcbb";
    let script = script().now(0x0102).storage([1, 1], [9]).storage([1, 2], [8, 8]).storage([2], [7]);
    let (_node, client) = connected(script).await;
    assert_eq!(ask(&client, "state_getStorage", rpc_params!["0x0101"]).await, "0x09");
    assert_eq!(ask(&client, "state_getStorage", rpc_params!["0x0103"]).await, Value::Null);
    assert_eq!(ask(&client, "state_getStorage", rpc_params![now_key]).await, "0x0201000000000000");
    let several = ask(&client, "state_queryStorageAt", rpc_params![["0x0102", "0x05"]]).await;
    assert_eq!(several[0]["changes"], json!([["0x0102", "0x0808"], ["0x05", null]]));
    let keys = ask(&client, "state_getKeysPaged", rpc_params!["0x01", 10, Value::Null]).await;
    assert_eq!(keys, json!(["0x0101", "0x0102"]));
    assert_eq!(
        ask(&client, "state_getKeysPaged", rpc_params!["0x01", 10, "0x0101"]).await,
        json!(["0x0102"])
    );
}

#[tokio::test]
async fn runtime_methods_answer_by_their_arguments() {
    let script = script().call("Some_method", [1, 2], [3]).metagraph(metagraph(2));
    let (node, client) = connected(script).await;
    assert_eq!(ask(&client, "state_call", rpc_params!["Some_method", "0x0102"]).await, "0x03");
    let (code, message, _) = refusal(&client, "state_call", rpc_params!["Some_method", "0x"]).await;
    assert_eq!(code, 4003);
    assert!(message.ends_with("Exported method Some_method is not found"), "{message}");

    let whole = format!("0x{}", hex::encode(metagraph(2).encode()));
    let method = "SubnetInfoRuntimeApi_get_metagraph";
    assert_eq!(ask(&client, "state_call", rpc_params![method, "0x2c00"]).await, whole);
    assert_eq!(ask(&client, "state_call", rpc_params![method, "0x2d00"]).await, "0x00");
    let method = "SubnetInfoRuntimeApi_get_mechagraph";
    assert_eq!(ask(&client, "state_call", rpc_params![method, "2c0000"]).await, whole);
    assert_eq!(ask(&client, "state_call", rpc_params![method, "2c0001"]).await, "0x00");
    let method = "SubnetInfoRuntimeApi_get_selective_metagraph";
    let some = format!("0x{}", hex::encode(metagraph(2).encode_selective(&[52])));
    assert_eq!(ask(&client, "state_call", rpc_params![method, "0x2c00043400"]).await, some);
    assert_eq!(node.requests()[0], "state_call Some_method");
}

#[tokio::test]
async fn a_block_of_another_chain_is_unknown() {
    let (node, client) = connected(script()).await;
    let head = ask(&client, "chain_getHead", rpc_params![]).await;
    node.set(script().genesis([9; 32]));
    assert_eq!(ask(&client, "chain_getHeader", rpc_params![&head]).await, Value::Null);
    let (code, message, _) = refusal(&client, "state_getStorage", rpc_params!["0x00", &head]).await;
    assert_eq!(code, 4003);
    assert!(message.contains("UnknownBlock"), "{message}");
}

#[tokio::test]
async fn an_unknown_method_and_bad_parameters_are_refused() {
    let (_node, client) = connected(script()).await;
    assert_eq!(refusal(&client, "chainHead_v1_follow", rpc_params![]).await.0, -32601);
    assert_eq!(refusal(&client, "chain_getHeader", rpc_params!["0x12"]).await.0, -32602);
    assert_eq!(refusal(&client, "state_getStorage", rpc_params![17]).await.0, -32602);
}

#[tokio::test]
async fn a_method_can_fail_or_answer_as_scripted() {
    let script = script()
        .failing("system_health", RpcError::new(-32000, "busy").with_data("later"))
        .answering("payment_queryInfo", json!({ "partialFee": "123" }));
    let (_node, client) = connected(script).await;
    let refused = refusal(&client, "system_health", rpc_params![]).await;
    assert_eq!(refused, (-32000, "busy".to_owned(), Some("\"later\"".to_owned())));
    assert_eq!(ask(&client, "payment_queryInfo", rpc_params![]).await["partialFee"], "123");
}

#[tokio::test]
async fn subscribers_are_told_of_a_new_head_and_a_runtime_upgrade() {
    let (node, client) = connected(script().head(10)).await;
    let mut heads = heads(&client).await;
    let mut versions: Subscription<Value> = client
        .subscribe("state_subscribeRuntimeVersion", rpc_params![], "state_unsubscribeRuntimeVersion")
        .await
        .unwrap();
    assert_eq!(next(&mut heads).await["number"], "0xa");
    assert_eq!(next(&mut versions).await["specVersion"], 393);
    node.set(script().head(11));
    assert_eq!(next(&mut heads).await["number"], "0xb");
    node.set(script().head(11).versions(394, 1));
    assert_eq!(next(&mut versions).await["specVersion"], 394);
    heads.unsubscribe().await.unwrap();
    // The client does not wait for what it is told; a later answer comes after it.
    ask(&client, "system_chain", rpc_params![]).await;
    assert!(node.requests().contains(&"chain_unsubscribeFinalizedHeads".to_owned()));
}

#[tokio::test]
async fn silent_heads_are_never_announced() {
    let (node, client) = connected(script().silent_heads().head(10)).await;
    let mut heads = heads(&client).await;
    node.set(script().silent_heads().head(11));
    assert!(timeout(SOON, heads.next()).await.is_err());
    assert_eq!(ask(&client, "chain_getHeader", rpc_params![]).await["number"], "0xb");
}

#[tokio::test]
async fn slow_answers_do_not_wait_for_each_other() {
    let (_node, client) = connected(script().slow(SOON)).await;
    let from = Instant::now();
    let (one, other) = tokio::join!(
        ask(&client, "system_chain", rpc_params![]),
        ask(&client, "system_chain", rpc_params![])
    );
    assert_eq!((one, other), ("Bittensor".into(), "Bittensor".into()));
    assert!(from.elapsed() >= SOON && from.elapsed() < SOON * 2, "{:?}", from.elapsed());
}

#[tokio::test]
async fn it_can_take_connections_and_never_answer() {
    let (node, client) = connected(script().fault(Fault::AcceptAndNeverAnswer)).await;
    let asked = client.request::<Value, _>("system_chain", rpc_params![]);
    assert!(timeout(SOON, asked).await.is_err());
    assert_eq!(node.requests(), ["system_chain"]);
    node.set(script());
    assert_eq!(ask(&client, "system_chain", rpc_params![]).await, "Bittensor");
}

#[tokio::test]
async fn it_can_hang_up_in_the_middle_of_an_answer() {
    let cut = Fault::CloseInMidAnswer("SubnetInfoRuntimeApi_get_metagraph".to_owned());
    let (_node, client) = connected(script().metagraph(metagraph(64)).fault(cut)).await;
    assert_eq!(ask(&client, "system_chain", rpc_params![]).await, "Bittensor");
    let params = rpc_params!["SubnetInfoRuntimeApi_get_metagraph", "0x2c00"];
    let asked = client.request::<Value, _>("state_call", params);
    assert!(timeout(Duration::from_secs(5), asked).await.unwrap().is_err());
    assert!(!client.is_connected());
}

#[tokio::test]
async fn it_can_refuse_connections() {
    let (node, client) = connected(script()).await;
    node.set(script().fault(Fault::Refuse));
    timeout(Duration::from_secs(5), client.on_disconnect()).await.expect("the old connection is closed");
    let refused = WsClientBuilder::default().build(node.url()).await.unwrap_err();
    assert!(refused.to_string().contains("503"), "{refused}");
    assert!(post(&node, "{}").await.starts_with("HTTP/1.1 503"));
}

#[tokio::test]
async fn it_answers_post_and_lists_of_requests() {
    let node = Node::start(script()).await.unwrap();
    let one = r#"{"jsonrpc":"2.0","id":1,"method":"system_chain"}"#;
    let answer = r#"{"jsonrpc":"2.0","id":1,"result":"Bittensor"}"#;
    assert!(post(&node, one).await.ends_with(answer));
    assert!(post(&node, &format!("[{one},{one}]")).await.ends_with(&format!("[{answer},{answer}]")));
    assert!(post(&node, "{").await.contains("-32700"));
    assert!(post(&node, &one.replace("system_chain", "chain_subscribeNewHeads")).await.contains("WebSocket"));
}

async fn post(node: &Node, body: &str) -> String {
    let mut socket = tokio::net::TcpStream::connect(node.address()).await.unwrap();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: node\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    socket.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn an_extrinsic_gets_a_block_with_its_events() {
    let fails = Submission::Fails { pallet: 7, error: 23 };
    let (node, client) = connected(script().head(10).now(1_000).submission(fails)).await;
    let mut heads = heads(&client).await;
    assert_eq!(next(&mut heads).await["number"], "0xa");
    let mut news: Subscription<Value> = client
        .subscribe("author_submitAndWatchExtrinsic", rpc_params!["0x0badcafe"], "author_unwatchExtrinsic")
        .await
        .unwrap();
    assert_eq!(next(&mut news).await, "ready");
    let block = next(&mut news).await["inBlock"].clone();
    assert_eq!(next(&mut news).await, json!({ "finalized": block }));
    assert_eq!(next(&mut heads).await["number"], "0xb");
    let body = ask(&client, "chain_getBlock", rpc_params![&block]).await;
    assert_eq!(body["block"]["extrinsics"], json!(["0x0badcafe"]));
    let events_key = "0x26aa394eea5630e07c48ae0c9558cef780d41e5e16056765bc8461851072c9d7";
    let events = ask(&client, "state_getStorage", rpc_params![events_key, &block]).await;
    assert_eq!(events, "0x04000000000000010307170000000000000000");
    let older = ask(&client, "chain_getBlockHash", rpc_params![10]).await;
    assert_eq!(ask(&client, "state_getStorage", rpc_params![events_key, older]).await, Value::Null);
    assert!(node.requests().contains(&"chain_getBlock".to_owned()));
}

#[tokio::test]
async fn an_extrinsic_can_be_refused_forgotten_or_dropped() {
    let refused = |error| script().submission(Submission::Refused(error));
    let (node, client) = connected(refused(RpcError::invalid_transaction("Transaction is outdated"))).await;
    let params = || rpc_params!["0x00"];
    assert_eq!(
        refusal(&client, "author_submitExtrinsic", params()).await,
        (1010, "Invalid Transaction".to_owned(), Some("\"Transaction is outdated\"".to_owned()))
    );
    node.set(refused(RpcError::priority_too_low()));
    assert_eq!(refusal(&client, "author_submitExtrinsic", params()).await.0, 1014);

    node.set(script().submission(Submission::Dropped));
    let watch = || client.subscribe("author_submitAndWatchExtrinsic", params(), "author_unwatchExtrinsic");
    let mut news: Subscription<Value> = watch().await.unwrap();
    assert_eq!(next(&mut news).await, "ready");
    assert_eq!(next(&mut news).await, "dropped");

    node.set(script().submission(Submission::Forgotten));
    let mut news: Subscription<Value> = watch().await.unwrap();
    assert_eq!(next(&mut news).await, "ready");
    assert!(timeout(SOON, news.next()).await.is_err());
}

#[tokio::test]
async fn finality_lags_and_an_upgrade_lies_between_two_blocks() {
    let upgraded = script().versions(394, 1).head(10).upgraded(9, script().versions(393, 1)).finality_lag(2);
    let (_node, client) = connected(upgraded.submission(Submission::NeverFinal)).await;
    let finalized = ask(&client, "chain_getFinalizedHead", rpc_params![]).await;
    assert_eq!(finalized, ask(&client, "chain_getBlockHash", rpc_params![8]).await);
    let version = async |hash: Value| {
        ask(&client, "state_getRuntimeVersion", rpc_params![hash]).await["specVersion"].clone()
    };
    assert_eq!(version(finalized).await, 393);
    assert_eq!(version(Value::Null).await, 394);

    let mut news: Subscription<Value> = client
        .subscribe("author_submitAndWatchExtrinsic", rpc_params!["0x00"], "author_unwatchExtrinsic")
        .await
        .unwrap();
    assert_eq!(next(&mut news).await, "ready");
    let block = next(&mut news).await["inBlock"].clone();
    assert_eq!(next(&mut news).await, json!({ "finalityTimeout": block }));
}
