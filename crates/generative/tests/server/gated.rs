//! Signed requests, and refusals that cost nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use adit_auth::StakeTable;
use adit_auth::epistula::{Gate, GateConfig, MIN_STAKE, Policy, sign};
use adit_generative::Usd;
use adit_journal::record::Refused;
use adit_journal::{Find, Journal, Limits, Reader};
use adit_keys::Keypair;
use axum::http::{HeaderMap, StatusCode};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::setup::{Fixture, Wanted};

pub(crate) const BODY: &str = r#"{"prompt": "a lighthouse at night", "parameters": null}"#;

fn webhook() -> HeaderMap {
    HeaderMap::from_iter([(
        "x-webhook-url".parse().unwrap(),
        "http://198.51.100.7:10525/generative_callback".parse().unwrap(),
    )])
}

pub(crate) struct Signers {
    miner: Keypair,
    validators: [Keypair; 2],
}

impl Signers {
    pub(crate) fn new() -> Self {
        Self { miner: Keypair::generate(), validators: [Keypair::generate(), Keypair::generate()] }
    }

    pub(crate) fn gate(&self) -> Arc<Gate> {
        let gate = Gate::new(GateConfig {
            policy: Policy { own_hotkey: self.miner.hotkey(), min_stake: Some(MIN_STAKE) },
            nonce_capacity: 100,
            max_body: 1 << 20,
            body_timeout: Duration::from_secs(10),
        });
        let stakes = self.validators.iter().map(|validator| (validator.hotkey(), MIN_STAKE));
        gate.set_stakes(StakeTable::new(HashMap::from_iter(stakes), SystemTime::now()));
        Arc::new(gate)
    }

    pub(crate) fn hotkeys(&self) -> [String; 2] {
        self.validators.each_ref().map(|validator| validator.hotkey().to_string())
    }

    fn sign(&self, validator: usize, body: &str) -> HeaderMap {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let body = Sha256::digest(body).into();
        let uuid = Uuid::new_v4().to_string();
        let receiver = self.miner.hotkey();
        sign(&self.validators[validator], &body, &uuid, u64::try_from(now).unwrap(), Some(&receiver)).unwrap()
    }

    pub(crate) fn asking(&self, validator: usize) -> HeaderMap {
        let mut headers = self.sign(validator, BODY);
        headers.extend(webhook());
        headers
    }
}

#[tokio::test]
async fn every_route_is_behind_the_gate_and_a_request_passes_once() {
    let signers = Signers::new();
    let fixture = Fixture::new(Wanted { gate: Some(signers.gate()), ..Wanted::default() }).await;
    for (method, path) in [
        ("POST", "/gen_image"),
        ("POST", "/gen_video"),
        ("GET", "/health"),
        ("GET", "/miner_info"),
        ("GET", "/status/x"),
    ] {
        let (status, body) = fixture.json(method, path, webhook(), BODY).await;
        assert_eq!(
            (status, body),
            (StatusCode::BAD_REQUEST, json!({"detail": "Unknown Epistula version"})),
            "{path}"
        );
    }
    // As upstream answers them: to anybody.
    assert_eq!(
        fixture.json("GET", "/gen_image", HeaderMap::new(), "").await.0,
        StatusCode::METHOD_NOT_ALLOWED
    );
    assert_eq!(fixture.json("POST", "/gen_audio", HeaderMap::new(), "").await.0, StatusCode::NOT_FOUND);

    let headers = signers.asking(0);
    let (status, accepted) = fixture.json("POST", "/gen_image", headers.clone(), BODY).await;
    assert_eq!(status, StatusCode::CREATED, "{accepted}");
    let (status, again) = fixture.json("POST", "/gen_image", headers, BODY).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{again}");

    // Its record is for the validator that asked.
    let path = format!("/status/{}", accepted["task_id"].as_str().unwrap());
    let (status, record) = fixture.json("GET", &path, signers.sign(0, ""), "").await;
    assert_eq!((status, &record["status"]), (StatusCode::OK, &json!("pending")));
    assert_eq!(record["signed_by"], json!(signers.validators[0].hotkey().to_string()));
    assert_eq!(record["prompt"], "a lighthouse at night");
    let (status, other) = fixture.json("GET", &path, signers.sign(1, ""), "").await;
    assert_eq!((status, &other["error"]), (StatusCode::NOT_FOUND, &json!("Task not found")));

    let (_, info) = fixture.json("GET", "/miner_info", signers.sign(1, ""), "").await;
    assert_eq!(
        info["task_stats"],
        json!({"total": 1, "pending": 1, "processing": 0, "completed": 0, "failed": 0})
    );
}

#[tokio::test]
async fn refusals_are_summed_for_the_journal_and_name_only_hotkeys_of_the_subnet() {
    let signers = Signers::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.sqlite");
    let journal = Journal::open(&path, Limits::default()).unwrap();
    let gate = Some(signers.gate());
    let fixture = Fixture::new(Wanted { gate, journal: Some(journal), ..Wanted::default() }).await;
    let headers = signers.asking(0);
    for body in [BODY, BODY, "{}"] {
        fixture.json("POST", "/gen_image", headers.clone(), body).await;
    }
    let mut stranger = signers.asking(0);
    stranger.insert("epistula-signed-by", Keypair::generate().hotkey().to_string().parse().unwrap());
    fixture.json("POST", "/gen_image", stranger, BODY).await;
    fixture.miner.refusals.flush(fixture.miner.journal.as_ref().unwrap());
    drop(fixture);
    let entries = Reader::open(&path).unwrap().find(&Find::event("refused")).unwrap();
    let mut told: Vec<_> = entries
        .iter()
        .map(|entry| entry.read::<Refused>().unwrap())
        .map(|refused| (refused.reason, refused.claimed, refused.count))
        .collect();
    told.sort();
    let validator = Some(signers.hotkeys()[0].clone());
    assert_eq!(
        told,
        [
            ("not_in_metagraph".to_owned(), None, 1),
            ("replayed".to_owned(), validator.clone(), 1),
            ("signature".to_owned(), validator, 1),
        ]
    );
}

#[tokio::test]
async fn a_full_queue_and_a_spent_budget_refuse_at_once() {
    let fixture = Fixture::new(Wanted { queue: 2, ..Wanted::default() }).await;
    for expected in [StatusCode::CREATED, StatusCode::CREATED, StatusCode::SERVICE_UNAVAILABLE] {
        assert_eq!(fixture.json("POST", "/gen_image", webhook(), BODY).await.0, expected);
    }
    // One modality does not fill the other's queue.
    assert_eq!(fixture.json("POST", "/gen_video", webhook(), BODY).await.0, StatusCode::CREATED);

    let budget = Usd(1_000_000);
    let fixture = Fixture::new(Wanted { daily_budget: Some(budget), ..Wanted::default() }).await;
    assert_eq!(fixture.json("POST", "/gen_image", webhook(), BODY).await.0, StatusCode::CREATED);
    let store = &fixture.miner.store;
    let mut claim = store.claim_queued(adit_generative::Modality::Image).await.unwrap().unwrap();
    store.call(&mut claim, "stabilityai", "m", budget).await.unwrap();
    let (status, refused) = fixture.json("POST", "/gen_image", webhook(), BODY).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused["error"], "The budget of the day is spent");
}
