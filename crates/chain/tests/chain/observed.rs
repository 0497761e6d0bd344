//! What a follower records of a miner's place on chain.

use std::path::{Path, PathBuf};
use std::time::Duration;

use adit_auth::StakesInForce;
use adit_chain::{ChainStakes, Endpoints, Follower, Netuid, Observer, StakeSource};
use adit_journal::record::Chain as Standing;
use adit_journal::{Find, Journal, Limits, Reader};
use adit_keys::Hotkey;
use adit_stand_in::local_chain::LocalChain;
use adit_stand_in::node::{MetagraphFixture, Node, NodeScript, metagraph};
use serde_json::json;
use tokio::time::timeout;

use crate::faults::script;
use crate::reads::address;

const PATIENCE: Duration = Duration::from_secs(60);
/// Blocks between two epochs.
const TEMPO: u64 = 360;
/// The first block of an epoch of subnet 44.
const BLOCK: u64 = 100 * (TEMPO + 1) - 45;

struct Observed {
    _folder: tempfile::TempDir,
    path: PathBuf,
    journal: Journal,
}

impl Observed {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.sqlite");
        let journal = Journal::open(&path, Limits::default()).unwrap();
        Self { _folder: folder, path, journal }
    }

    /// In the order of recording.
    fn records(&self) -> Vec<Standing> {
        let entries = Reader::open(&self.path).unwrap().find(&Find::event("chain")).unwrap();
        entries.iter().rev().map(|entry| entry.read().unwrap()).collect()
    }

    async fn until(&self, count: usize) {
        poll(|| self.records().len() >= count).await;
    }
}

async fn poll(come_about: impl Fn() -> bool) {
    let polling = async {
        while !come_about() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, polling).await.unwrap();
}

fn source(url: &str) -> ChainStakes {
    ChainStakes {
        endpoints: Endpoints::parse(url).unwrap(),
        netuid: Netuid(44),
        refresh: Duration::from_millis(20),
        copy: None,
    }
}

/// Eight neurons, of which the second has the second best incentive and shares it with the third.
fn subnet(block: u64) -> MetagraphFixture {
    let mut subnet = metagraph(8);
    subnet.set("block", block);
    subnet.set("tempo", TEMPO);
    subnet.set("immunity_period", 5000);
    subnet.set("incentives", json!([0, 100, 100, 65535, 5, 0, 0, 0]));
    subnet.set_of("emission", 1, 77_000);
    subnet
}

/// Waits until the metagraph was read a few times more.
async fn read_again(node: &Node) {
    let reads = || node.requests().iter().filter(|asked| asked.contains("get_metagraph")).count();
    let before = reads();
    poll(|| reads() >= before + 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_miners_place_is_recorded_once_a_tempo_and_when_it_has_changed() {
    let Some(script) = script() else { return };
    let at = |subnet: MetagraphFixture| -> NodeScript { script.clone().metagraph(subnet) };
    let node = Node::start(at(subnet(BLOCK))).await.unwrap();
    let observed = Observed::new();
    let hotkey = subnet(BLOCK).hotkey(1);
    let stakes = StakesInForce::default();
    let observer = Observer::new(hotkey, observed.journal.clone());
    let source = source(&node.url());
    let network = source.endpoints.to_string();
    let following = Follower::start(stakes.clone(), StakeSource::Chain(source), Some(observer)).unwrap();

    // The last block of the same epoch tells nothing new.
    observed.until(1).await;
    node.set(at(subnet(BLOCK + TEMPO)));
    read_again(&node).await;
    // The next epoch, another axon within it, and none of the hotkey any more.
    node.set(at(subnet(BLOCK + TEMPO + 1)));
    observed.until(2).await;
    let mut moved = subnet(BLOCK + TEMPO + 2);
    let axon =
        json!({ "block": 9, "version": 1, "ip": 0xcb00_7105_u32, "port": 8091, "ip_type": 4, "protocol": 4 });
    moved.set_of("axons", 1, axon);
    node.set(at(moved));
    observed.until(3).await;
    let mut gone = subnet(BLOCK + TEMPO + 3);
    gone.set_of("hotkeys", 1, Hotkey::from_bytes([9; 32]).to_string());
    node.set(at(gone));
    observed.until(4).await;
    read_again(&node).await;
    drop(following);

    let records = observed.records();
    let blocks: Vec<_> = records.iter().map(|record| record.block - BLOCK).collect();
    assert_eq!(blocks, [0, TEMPO + 1, TEMPO + 2, TEMPO + 3]);
    let first = &records[0];
    let expected = Standing {
        netuid: 44,
        network,
        hotkey: hotkey.to_string(),
        block: BLOCK,
        as_of_ms: first.as_of_ms,
        tempo: TEMPO,
        hotkeys: 8,
        uid: Some(1),
        incentive: 100.0 / 65535.0,
        place: Some(2),
        emission_rao: 77_000,
        registered_at: Some(3_000_011),
        immunity_period: 5000,
        axon: Some("198.51.100.1:9000".to_owned()),
        commitment: None,
    };
    assert_eq!(first, &expected);
    assert!(first.as_of_ms > 1_700_000_000_000, "{first:?}");
    assert_eq!(records[2].axon.as_deref(), Some("203.0.113.5:8091"));
    assert_eq!((records[3].uid, records[3].place, &records[3].axon), (None, None, &None));
    assert_eq!(stakes.get().unwrap().len(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_may_be_followed_for_the_record_alone() {
    let Some(chain) = LocalChain::start(&[]) else { return };
    let observed = Observed::new();
    let miner = address(&chain, "miner", "hotkey");
    let observer = Observer::new(miner, observed.journal.clone()).with_commitment();
    let following = Follower::observe(source(chain.url()), observer).unwrap();
    observed.until(1).await;
    drop(following);
    let record = observed.records().remove(0);
    assert_eq!((record.uid, record.hotkeys), (Some(4), 65));
    assert_eq!(record.axon.as_deref(), Some("203.0.113.10:8091"));
    // It has committed a URL in the open, and a sealed text was opened later.
    assert_eq!(record.commitment.as_deref(), Some("revealed-miner"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commitment_that_was_sealed_is_recorded_once_it_is_opened() {
    let Some(chain) = LocalChain::start(&[]) else { return };
    let observed = Observed::new();
    let revealer = address(&chain, "fleet-5", "hotkey");
    let observer = Observer::new(revealer, observed.journal.clone()).with_commitment();
    let _following = Follower::observe(source(chain.url()), observer).unwrap();
    observed.until(1).await;
    assert_eq!(observed.records()[0].commitment.as_deref(), Some(r#"{"v":2}"#));
}

#[tokio::test]
async fn a_follower_that_is_dropped_holds_the_journal_no_longer() {
    let Observed { _folder, path, journal } = Observed::new();
    journal.record(&adit_journal::record::Stopped { reason: None });
    // Nobody listens there: it is between two tries.
    let observer = Observer::new(Hotkey::from_bytes([1; 32]), journal.clone());
    let following = Follower::observe(source("ws://127.0.0.1:1"), observer).unwrap();
    drop(following);
    drop(journal);
    assert_eq!(entries(&path), 1);
}

fn entries(path: &Path) -> usize {
    Reader::open(path).unwrap().find(&Find::event("stopped")).unwrap().len()
}
