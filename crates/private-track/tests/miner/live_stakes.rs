//! The stake gate with its table from the chain: a real runtime on loopback, and none at all.

use std::path::Path;
use std::time::Duration;

use adit_auth::StakeGate;
use adit_chain::{ChainStakes, Endpoints, Netuid, StakeSource};
use adit_keys::Keypair;
use adit_stand_in::local_chain::LocalChain;
use adit_stand_in::video_host::Reply;

use crate::fixture::{Fixture, clip};

fn from_chain(url: &str, copy: &Path) -> Option<StakeSource> {
    Some(StakeSource::Chain(ChainStakes {
        endpoints: Endpoints::parse(url).unwrap(),
        netuid: Netuid(44),
        refresh: Duration::from_secs(300),
        copy: Some(copy.to_owned()),
    }))
}

async fn asked_by(fixture: &mut Fixture, uri: &str) -> (u16, String) {
    fixture.validator = Keypair::from_uri(&LocalChain::uri(uri)).unwrap();
    let url = fixture.host.serve("/clip.mp4", Reply::bytes(clip().await).with_ranges());
    let (status, answer) = fixture.clip_challenge(&url).await;
    (status, answer["detail"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn stakes_come_from_the_chain_and_outlive_it() {
    let Some(chain) = LocalChain::start(&[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("stakes-44.json");
    let url = chain.url().to_owned();
    let source = from_chain(&url, &copy);
    let mut fixture = Fixture::with(|config| config.stakes = source).await;
    fixture.until("/stake_table/hotkeys", |hotkeys| *hotkeys == 65).await;
    assert_eq!(fixture.health().await["stake_table"]["source"], "chain");

    assert_eq!(asked_by(&mut fixture, "//ValidatorBig//hot").await.0, 200);
    assert_eq!(asked_by(&mut fixture, "//ValidatorMid//hot").await.0, 200);
    let (status, why) = asked_by(&mut fixture, "//ValidatorLow//hot").await;
    assert_eq!(status, 403);
    assert!(why.starts_with("Insufficient stake of 9.0"), "{why}");
    let (status, why) = asked_by(&mut fixture, "//Stranger//hot").await;
    assert_eq!((status, why.as_str()), (403, "Hotkey not found in metagraph"));

    // The chain goes away; the table in force stays in force.
    drop(chain);
    assert_eq!(asked_by(&mut fixture, "//ValidatorBig//hot").await.0, 200);
    fixture.stop().await;

    // A miner that starts now judges by the copy.
    let source = from_chain(&url, &copy);
    let mut later = Fixture::with(|config| config.stakes = source).await;
    assert_eq!(asked_by(&mut later, "//ValidatorBig//hot").await.0, 200);
    assert_eq!(asked_by(&mut later, "//ValidatorLow//hot").await.0, 403);
    let metrics = later.get("/metrics").await;
    assert!(metrics.contains("adit_private_stake_table_hotkeys 65"), "{metrics}");
}

#[tokio::test]
async fn without_any_stakes_the_gate_is_what_the_setting_says() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("stakes-44.json");
    // Nobody listens there.
    let nobody = "ws://127.0.0.1:1";
    for (gate, status) in [(StakeGate::Closed, 403), (StakeGate::OpenUntilKnown, 200)] {
        let source = from_chain(nobody, &copy);
        let mut fixture = Fixture::with(|config| {
            config.stakes = source;
            config.gate.policy.stake_gate = gate;
        })
        .await;
        assert_eq!(asked_by(&mut fixture, "//ValidatorBig//hot").await.0, status);
        let health = fixture.health().await;
        assert_eq!(health["status"], "degraded");
        assert_eq!(health["stake_table"]["age_seconds"], serde_json::Value::Null);
        assert_eq!(health["stake_table"]["hotkeys"], 0);
    }
}

#[tokio::test]
async fn a_damaged_copy_is_not_used_and_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("stakes-44.json");
    std::fs::write(&copy, r#"{"version":1,"network":"ws://127.0.0.1:1","netu"#).unwrap();
    let source = from_chain("ws://127.0.0.1:1", &copy);
    let mut fixture = Fixture::with(|config| config.stakes = source).await;
    assert_eq!(asked_by(&mut fixture, "//ValidatorBig//hot").await.0, 403);
}
