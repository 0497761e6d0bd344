//! What the journal says of the miner itself: its start, its end, and whom it refused.

use std::path::Path;

use adit_auth::{Dialect, StakeGate};
use adit_journal::record::{Record, Refused, Started, Stopped};
use adit_journal::{Find, Reader};
use adit_keys::Keypair;
use http::HeaderMap;

use crate::fixture::Fixture;
use crate::recorded::{IMAGE, journal};

fn all<R: Record>(path: &Path) -> Vec<R> {
    let entries = Reader::open(path).unwrap().find(&Find { limit: 1000, ..Find::event(R::EVENT) }).unwrap();
    entries.iter().rev().map(|entry| entry.read().unwrap()).collect()
}

#[tokio::test]
async fn its_start_and_its_end_are_recorded() {
    let mut file = None;
    let mut fixture = Fixture::with(|config| file = Some(journal(config))).await;
    let (_folder, path) = file.unwrap();
    fixture.stop().await;
    let started: Vec<Started> = all(&path);
    let expected = Started {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        address: fixture.address.to_string(),
        hotkey: Some(fixture.miner.to_string()),
        netuid: Some(44),
        works_by: vec!["baseline: a pass at every 25th frame".to_owned()],
        image: Some(IMAGE.to_owned()),
        daily_budget_micro_usd: None,
        warnings: Vec::new(),
    };
    assert_eq!(started, [expected]);
    assert_eq!(all::<Stopped>(&path), [Stopped { reason: None }]);
}

#[tokio::test]
async fn what_is_off_is_said_at_the_start() {
    let mut file = None;
    let mut fixture = Fixture::with(|config| {
        file = Some(journal(config));
        config.gate.policy.verify = false;
        config.gate.policy.stake_gate = StakeGate::Off;
        config.gate.policy.own_hotkey = None;
    })
    .await;
    let (_folder, path) = file.unwrap();
    fixture.stop().await;
    let warnings = &all::<Started>(&path)[0].warnings;
    for (warning, variable) in warnings.iter().zip(["VERIFY_ENABLED", "BLACKLIST_ENABLED", "ADIT_HOTKEY"]) {
        assert!(warning.contains(variable), "{warnings:?}");
    }
    assert_eq!(warnings.len(), 3, "{warnings:?}");
}

#[tokio::test]
async fn an_end_by_an_error_is_recorded_with_its_reason() {
    let mut file = None;
    let mut fixture = Fixture::with(|config| {
        file = Some(journal(config));
        config.ffmpeg = "/nowhere/ffmpeg".into();
    })
    .await;
    let (_folder, path) = file.unwrap();
    let error = fixture.ended().await.unwrap_err();
    assert_eq!(all::<Stopped>(&path), [Stopped { reason: Some(error.to_string()) }]);
}

#[tokio::test]
async fn a_flood_of_refused_requests_is_a_few_entries_with_their_count() {
    let mut file = None;
    let mut fixture = Fixture::with(|config| file = Some(journal(config))).await;
    let (_folder, path) = file.unwrap();
    // Strangers with keys of their own; a known validator whose signature is of another body; nobody at all.
    let validator = fixture.validator.hotkey().to_string();
    for _ in 0..3 {
        let headers = fixture.signed(Dialect::Score, b"another");
        assert_eq!(fixture.post(headers, "{}").await.status, 401);
    }
    for _ in 0..40 {
        fixture.validator = Keypair::generate();
        let headers = fixture.signed(Dialect::Score, b"{}");
        assert_eq!(fixture.post(headers, "{}").await.status, 403);
    }
    assert_eq!(fixture.post(HeaderMap::new(), "{}").await.status, 422);
    fixture.stop().await;

    let refused: Vec<Refused> = all(&path);
    let sums: Vec<_> =
        refused.iter().map(|row| (row.reason.as_str(), row.claimed.clone(), row.count)).collect();
    assert_eq!(
        sums,
        [("missing_headers", None, 1), ("not_in_metagraph", None, 40), ("signature", Some(validator), 3)]
    );
    let detail = refused[2].detail.as_deref().unwrap();
    assert!(detail.starts_with("signature verifies in none of the dialects tried"), "{detail}");
}
