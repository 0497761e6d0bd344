//! What the operator's tools read.

use std::time::Duration;

use adit_generative::task::{Answer, Event, State};
use adit_generative::{Modality, Usd};
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};

use crate::gated::{BODY, Signers};
use crate::setup::{Fixture, Wanted};

async fn metrics(fixture: &Fixture) -> String {
    let response = fixture.ask(Request::get("/metrics").body(Body::empty()).unwrap()).await;
    assert_eq!(response.status(), StatusCode::OK);
    String::from_utf8(to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap()
}

fn assert_lines(metrics: &str, lines: &[&str]) {
    for line in lines {
        assert!(metrics.lines().any(|found| found == *line), "{line} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn metrics_tell_how_the_miner_does_and_nothing_of_what_is_asked() {
    let signers = Signers::new();
    let budget = Usd(500_000);
    let fixture = Fixture::new(Wanted {
        gate: Some(signers.gate()),
        queue: 2,
        daily_budget: Some(budget),
        ..Wanted::default()
    })
    .await;
    for _ in 0..3 {
        fixture.json("POST", "/gen_image", signers.asking(0), BODY).await;
    }
    fixture.json("POST", "/gen_video", signers.asking(1), BODY).await;
    fixture.json("GET", "/health", HeaderMap::new(), "").await;
    let store = &fixture.miner.store;
    let mut claim = store.claim_queued(Modality::Image).await.unwrap().unwrap();
    store.call(&mut claim, "stabilityai", "m", budget).await.unwrap();
    store.apply(&mut claim, Event::Fail { cost: None, why: "nothing came".to_owned() }).await.unwrap();
    while claim.task().state != State::Failed {
        let Some(mut due) = store.claim_delivery().await.unwrap() else {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        store.apply(&mut due, Event::Try).await.unwrap();
        store.apply(&mut due, Event::Answered(Answer::Acknowledged(String::new()))).await.unwrap();
        claim = due;
    }
    fixture.json("POST", "/gen_image", signers.asking(0), BODY).await;

    let shown = metrics(&fixture).await;
    let [first, second] = signers.hotkeys();
    assert_lines(
        &shown,
        &[
            r#"adit_generative_accepted_total{modality="image"} 2"#,
            r#"adit_generative_accepted_total{modality="video"} 1"#,
            r#"adit_generative_refusals_total{reason="version"} 1"#,
            r#"adit_generative_unavailable_total{reason="queue_full"} 1"#,
            r#"adit_generative_unavailable_total{reason="budget_spent"} 1"#,
            r#"adit_generative_deliveries_total{outcome="acknowledged"} 1"#,
            r#"adit_generative_tasks{modality="image",state="accepted"} 1"#,
            r#"adit_generative_tasks{modality="image",state="failed"} 1"#,
            r#"adit_generative_tasks{modality="video",state="accepted"} 1"#,
            r#"adit_generative_tasks{modality="video",state="dead"} 0"#,
            "adit_generative_queue_limit 2",
            &format!(r#"adit_generative_validator_tasks{{validator="{first}",state="failed"}} 1"#),
            &format!(r#"adit_generative_validator_tasks{{validator="{second}",state="accepted"}} 1"#),
            &format!(r#"adit_generative_validator_cost_usd{{validator="{first}"}} 0.5"#),
            "adit_generative_spent_today_usd 0.5",
            "adit_generative_daily_budget_usd 0.5",
            "adit_generative_database_up 1",
            "adit_generative_stake_table_hotkeys 2",
            "adit_generative_nonces 5",
            "adit_generative_journal_dropped_total 0",
        ],
    );
    for secret in ["a lighthouse", "198.51.100.7", "sk-test"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[tokio::test]
async fn metrics_say_that_the_database_does_not_answer() {
    let fixture = Fixture::new(Wanted::default()).await;
    fixture.miner.store.clone().close().await.unwrap();
    let shown = metrics(&fixture).await;
    assert_lines(&shown, &["adit_generative_database_up 0", "adit_generative_daily_budget_usd -1.0"]);
    assert!(!shown.contains("adit_generative_tasks{"), "{shown}");
}
