//! Nodes that fail, each in its own way.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use adit_chain::{Chain, ChainError, Endpoints, Limits, Metagraph, Netuid};
use adit_stand_in::local_chain::newest_metadata;
use adit_stand_in::node::{Fault, MetagraphFixture, Node, NodeScript, RpcError, metagraph};
use serde_json::json;
use tokio::net::TcpListener;

const SUBNET: Netuid = Netuid(44);
/// For one answer: long enough for a busy machine, and short enough for a test that runs into it.
const ANSWER: Duration = Duration::from_secs(3);
/// For a block that does not come.
const PATIENCE: Duration = Duration::from_millis(300);

pub(crate) fn limits() -> Limits {
    Limits { connect: ANSWER, answer: ANSWER, rounds: 2, pause: Duration::from_millis(10) }
}

/// A client of the first node, then the others.
pub(crate) fn client(nodes: &[&Node]) -> Chain {
    let mut endpoints = Endpoints::parse(&nodes[0].url()).unwrap();
    for node in &nodes[1..] {
        endpoints = endpoints.with_fallback(&node.url()).unwrap();
    }
    Chain::new(endpoints, limits())
}

/// A node's script with the newest metadata and a subnet of eight neurons.
pub(crate) fn script() -> Option<NodeScript> {
    Some(NodeScript::new(newest_metadata()?).metagraph(metagraph(8)))
}

pub(crate) async fn start(script: NodeScript) -> Node {
    Node::start(script).await.unwrap()
}

async fn read(chain: &Chain) -> Result<Metagraph, ChainError> {
    chain.read(|head| async move { head.metagraph(SUBNET).await }).await
}

/// The node that answers a read.
async fn answering(chain: &Chain) -> String {
    chain.read(|head| async move { Ok(head.node().to_owned()) }).await.unwrap()
}

/// What went wrong at each node of a client that finds none.
async fn reasons(chain: &Chain) -> Vec<String> {
    match read(chain).await {
        Err(ChainError::NoNode { tried }) => tried.into_iter().map(|one| one.reason).collect(),
        other => panic!("{other:?}"),
    }
}

fn hours_ago(hours: u64) -> u64 {
    let time = SystemTime::now() - Duration::from_secs(hours * 3600);
    u64::try_from(time.duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

#[tokio::test]
async fn a_node_that_takes_connections_and_never_answers_is_given_up() {
    let Some(script) = script() else { return };
    let mute = start(script.clone().fault(Fault::AcceptAndNeverAnswer)).await;
    let begun = Instant::now();
    let reasons = reasons(&client(&[&mute])).await;
    assert!(begun.elapsed() < 3 * ANSWER, "{:?}", begun.elapsed());
    assert!(reasons[0].contains("timeout"), "{reasons:?}");
    // Two rounds of one question each.
    assert_eq!(mute.requests().len(), 2, "{:?}", mute.requests());

    let good = start(script).await;
    let chain = client(&[&mute, &good]);
    assert_eq!(answering(&chain).await, good.url());
}

#[tokio::test]
async fn a_node_that_goes_mute_in_mid_connection_is_left_for_the_next() {
    let Some(script) = script() else { return };
    let (first, second) = (start(script.clone()).await, start(script.clone()).await);
    let chain = client(&[&first, &second]);
    assert_eq!(answering(&chain).await, first.url());
    first.set(script.fault(Fault::AcceptAndNeverAnswer));
    assert_eq!(answering(&chain).await, second.url());
}

#[tokio::test]
async fn a_host_that_takes_connections_and_says_nothing_at_all_is_given_up() {
    let host = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("ws://{}", host.local_addr().unwrap());
    let chain = Chain::new(Endpoints::parse(&url).unwrap(), limits());
    let reasons = reasons(&chain).await;
    assert!(reasons[0].contains("no connection within 3 s"), "{reasons:?}");
}

#[tokio::test]
async fn a_closed_port_and_a_refused_handshake_are_named() {
    let Some(script) = script() else { return };
    let refusing = start(script.fault(Fault::Refuse)).await;
    let free: SocketAddr = {
        let host = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        host.local_addr().unwrap()
    };
    let endpoints = Endpoints::parse(&format!("ws://{free}")).unwrap();
    let chain = Chain::new(endpoints.with_fallback(&refusing.url()).unwrap(), limits());
    let reasons = reasons(&chain).await;
    assert!(reasons[0].contains("refused") && reasons[1].contains("503"), "{reasons:?}");
}

#[tokio::test]
async fn a_node_that_closes_in_mid_answer_is_asked_again_over_a_new_connection() {
    let Some(script) = script() else { return };
    let method = "SubnetInfoRuntimeApi_get_metagraph";
    let node = start(script.clone().fault(Fault::CloseInMidAnswer(method.into()))).await;
    let chain = client(&[&node]);
    let error = read(&chain).await.unwrap_err();
    assert!(matches!(error, ChainError::Connection { .. }), "{error}");
    let asked = node.requests();
    let called = |asked: &[String]| asked.iter().filter(|one| one.ends_with(method)).count();
    assert_eq!(called(&asked), 2, "{asked:?}");

    // It comes to itself between two rounds.
    let round = AtomicU32::new(0);
    let read = chain.read(|head| {
        if round.fetch_add(1, Ordering::Relaxed) == 1 {
            node.set(script.clone());
        }
        async move { head.metagraph(SUBNET).await }
    });
    assert_eq!(read.await.unwrap().neurons.len(), 8);
    let asked = &node.requests()[asked.len()..];
    assert_eq!(called(asked), 2);
    assert!(asked.len() <= 10, "{asked:?}");
}

#[tokio::test]
async fn another_chain_is_named_and_never_read() {
    let Some(script) = script() else { return };
    let first = start(script.clone()).await;
    let other = start(script.clone().genesis([7; 32])).await;
    let chain = client(&[&first, &other]);
    assert_eq!(answering(&chain).await, first.url());
    first.set(script.fault(Fault::Refuse));
    let reasons = reasons(&chain).await;
    assert!(reasons[1].contains("another chain (its genesis is 0x07070707"), "{reasons:?}");
    assert!(!other.requests().iter().any(|asked| asked.contains("get_metagraph")));
}

#[tokio::test]
async fn a_node_that_has_fallen_behind_is_passed_over() {
    let Some(script) = script() else { return };
    let (old, good) = (start(script.clone().now(hours_ago(1))).await, start(script.clone()).await);
    assert_eq!(answering(&client(&[&old, &good])).await, good.url());
    // Where all are, or this host's clock is an hour fast, the least old one is used.
    let older = start(script.clone().now(hours_ago(2))).await;
    assert_eq!(answering(&client(&[&older, &old])).await, old.url());
    // Where it is an hour slow, all blocks are of the future.
    let future = hours_ago(0) + 3_600_000;
    let (a, b) = (start(script.clone().now(future)).await, start(script.now(future)).await);
    assert_eq!(answering(&client(&[&a, &b])).await, a.url());
}

#[tokio::test]
async fn a_connection_without_blocks_is_dead_and_the_next_is_a_new_one() {
    let Some(script) = script() else { return };
    let node = start(script.clone().silent_heads()).await;
    let chain = client(&[&node]);
    let mut heads = chain.heads().await.unwrap();
    let begun = Instant::now();
    let error = heads.next(PATIENCE).await.unwrap_err().to_string();
    assert!(error.contains("no new block for 0.3 s"), "{error}");
    assert!(begun.elapsed() < ANSWER, "{:?}", begun.elapsed());

    node.set(script.clone());
    let connections = || node.requests().iter().filter(|one| *one == "chain_getBlockHash").count();
    let before = connections();
    let mut heads = chain.heads().await.unwrap();
    assert_eq!(connections(), before + 1, "the dead connection was kept");
    assert_eq!(heads.next(ANSWER).await.unwrap(), 5_000_000);
    node.set(script.clone().head(5_000_001));
    assert_eq!(heads.next(ANSWER).await.unwrap(), 5_000_001);
    // One that is closed is noticed at once.
    node.set(script.clone().fault(Fault::Refuse));
    let error = heads.next(Duration::from_secs(60)).await.unwrap_err();
    assert!(matches!(error, ChainError::Connection { .. }), "{error}");
    // And one that goes mute, by what is asked of it.
    node.set(script.clone());
    chain.heads().await.unwrap();
    node.set(script.clone().fault(Fault::AcceptAndNeverAnswer));
    let error = chain.heads().await.unwrap_err();
    assert!(matches!(error, ChainError::Connection { .. }), "{error}");
    node.set(script);
    chain.heads().await.unwrap();
}

#[tokio::test]
async fn an_error_of_the_node_is_told_and_not_asked_for_again() {
    let Some(script) = script() else { return };
    let error = RpcError::new(4003, "Client error").with_data("State already discarded");
    let node = start(script.failing_call("SubnetInfoRuntimeApi_get_metagraph", error)).await;
    let error = read(&client(&[&node])).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, ChainError::Node { code: 4003, .. }), "{text}");
    assert!(text.contains("State already discarded"), "{text}");
    assert_eq!(node.requests().iter().filter(|one| one.ends_with("get_metagraph")).count(), 1);
}

#[tokio::test]
async fn answers_that_are_none_are_errors() {
    let Some(script) = script() else { return };
    let method = "SubnetInfoRuntimeApi_get_metagraph";
    let whole = metagraph(8).encode();
    let mut short = metagraph(8);
    short.set("total_stake", json!([1, 2, 3]));
    for answer in [vec![], vec![1], whole[..whole.len() / 2].to_vec(), vec![0xff; 64], short.encode()] {
        let node = start(script.clone().call(method, 44_u16.to_le_bytes(), answer)).await;
        let error = read(&client(&[&node])).await.unwrap_err();
        assert!(matches!(error, ChainError::Malformed { .. }), "{error}");
    }
    let node = start(script.clone().answering("state_call", "0xzz")).await;
    assert!(read(&client(&[&node])).await.is_err());
    let node = start(script.answering("chain_getFinalizedHead", json!(null))).await;
    assert!(read(&client(&[&node])).await.is_err());
}

/// One neuron with each kind of address.
fn odd_addresses() -> MetagraphFixture {
    let axon = |ip: &str, kind: u8, port: u16| json!({ "block": 1, "version": 1, "ip": ip, "port": port, "ip_type": kind, "protocol": 4 });
    let mut fixture = metagraph(6);
    // 2001:db8::44, fd00::1, 10.1.2.3, an IPv4 address that is none, a port of 0, and a kind of address that is none.
    for (uid, axon) in [
        axon("42540766411282592856903984951653826628", 6, 9059),
        axon("336294682933583715844663186250927177729", 6, 1),
        axon("167838211", 4, 8091),
        axon("42540766411282592856903984951653826628", 4, 80),
        axon("167838211", 4, 0),
        axon("167838211", 9, 80),
    ]
    .into_iter()
    .enumerate()
    {
        fixture.set_of("axons", uid, axon);
    }
    fixture
}

#[tokio::test]
async fn subnets_of_any_size_and_addresses_of_any_kind_are_read() {
    let Some(script) = script() else { return };
    for neurons in [0, 1, 4096] {
        let fixture = metagraph(neurons);
        let node = start(script.clone().metagraph(fixture.clone())).await;
        let read = read(&client(&[&node])).await.unwrap();
        assert_eq!(read.neurons.len(), neurons);
        for uid in [0, neurons / 2, neurons.saturating_sub(1)].into_iter().filter(|uid| *uid < neurons) {
            assert_eq!(read.neurons[uid].hotkey, fixture.hotkey(uid));
            assert_eq!(read.neurons[uid].stake.0, fixture.get("total_stake")[uid].as_u64().unwrap());
            assert_eq!(usize::from(read.neurons[uid].uid), uid);
        }
    }
    let node = start(script.metagraph(odd_addresses())).await;
    let read = read(&client(&[&node])).await.unwrap();
    let shown: Vec<_> =
        read.neurons.iter().map(|one| one.axon.map(|axon| axon.address.to_string())).collect();
    let shown: Vec<_> = shown.iter().map(Option::as_deref).collect();
    let expected = [
        Some("[2001:db8::44]:9059"),
        Some("[fd00::1]:1"),
        Some("10.1.2.3:8091"),
        None,
        None,
        Some("10.1.2.3:80"),
    ];
    assert_eq!(shown, expected);
}

#[tokio::test]
async fn a_subnet_that_does_not_exist_is_named() {
    let Some(script) = script() else { return };
    let node = start(script).await;
    let chain = client(&[&node]);
    let error = chain.read(|head| async move { head.metagraph(Netuid(9)).await }).await.unwrap_err();
    assert!(matches!(error, ChainError::NoSubnet(Netuid(9))), "{error}");
    assert!(error.hint().is_some());
}
