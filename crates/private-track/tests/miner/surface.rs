//! Every route, and what an operator's tools read from them.

use adit_predictor::WorkerConfig;
use adit_private_track::PredictorChoice;
use adit_stand_in::video_host::Reply;
use serde_json::Value;

use crate::fixture::{Fixture, clip};

#[tokio::test]
async fn each_route_answers_as_the_python_miner_does() {
    let fixture = Fixture::start().await;
    for (path, status, content_type) in [
        ("/docs", "200 OK", "text/html; charset=utf-8"),
        ("/redoc", "200 OK", "text/html; charset=utf-8"),
        ("/docs/oauth2-redirect", "200 OK", "text/html"),
        ("/openapi.json", "200 OK", "application/json"),
        ("/challenge", "405 Method Not Allowed", "application/json"),
        ("/", "404 Not Found", "application/json"),
        ("/public-encryption-key", "404 Not Found", "application/json"),
    ] {
        let answer = fixture.get(path).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{path}: {answer}");
        assert!(answer.to_lowercase().contains(&format!("content-type: {content_type}")), "{path}: {answer}");
    }
    let not_allowed = fixture.get("/challenge").await;
    assert!(not_allowed.to_lowercase().contains("\r\nallow: post\r\n"), "{not_allowed}");
    assert!(not_allowed.ends_with(r#"{"detail":"Method Not Allowed"}"#), "{not_allowed}");
    assert!(fixture.get("/nothing").await.ends_with(r#"{"detail":"Not Found"}"#));
}

#[tokio::test]
async fn head_of_the_docs_is_200_without_a_body() {
    let fixture = Fixture::start().await;
    let answer = fixture.raw("HEAD /docs HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn a_slash_at_the_end_redirects_and_keeps_the_method() {
    let fixture = Fixture::start().await;
    let request = "POST /challenge/ HTTP/1.1\r\nHost: m\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let answer = fixture.raw(request).await;
    assert!(answer.starts_with("HTTP/1.1 307 "), "{answer}");
    assert!(answer.to_lowercase().contains("\r\nlocation: /challenge\r\n"), "{answer}");
}

#[tokio::test]
async fn the_committed_document_is_what_is_served() {
    let fixture = Fixture::start().await;
    let answer = fixture.get("/openapi.json").await;
    let served: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    let committed: Value = serde_json::from_str(include_str!("../../openapi.json")).unwrap();
    assert_eq!(served, committed);
    assert_eq!(committed["paths"]["/challenge"]["post"]["operationId"], "challenge_endpoint_challenge_post");
}

#[tokio::test]
async fn health_and_metrics_tell_the_operator_how_it_does() {
    let fixture = Fixture::start().await;
    let url = fixture.host.serve("/clip.mp4", Reply::bytes(clip().await).with_ranges());
    assert_eq!(fixture.clip_challenge(&url).await.0, 200);
    assert_eq!(fixture.challenge("{}").await.0, 422);
    fixture
        .raw("POST /challenge HTTP/1.1\r\nHost: m\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        .await;

    let health = fixture.health().await;
    assert_eq!(health["status"], "ok", "{health}");
    assert_eq!(health["stake_table"]["hotkeys"], 1);
    assert_eq!(health["stake_table"]["stale"], false);
    assert_eq!(health["nonces"], 2);
    let metrics = fixture.get("/metrics").await;
    for line in [
        r#"adit_private_challenges_total{outcome="answered"} 1"#,
        r#"adit_private_challenges_total{outcome="invalid"} 1"#,
        r#"adit_private_refusals_total{reason="missing_headers"} 1"#,
        "adit_private_challenge_seconds_count 2",
        "adit_private_ready 1",
        "adit_private_nonces 2",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn a_stake_table_that_nobody_refreshes_is_called_stale() {
    let fixture = Fixture::with(|config| config.stake_max_age = std::time::Duration::ZERO).await;
    fixture.until("/status", |status| status == "degraded").await;
}

#[tokio::test]
async fn docs_are_503_until_the_model_is_loaded() {
    let fixture = Fixture::with(|config| {
        let mut worker = WorkerConfig::new("asleep", "sleep");
        worker.args = vec!["60".into()];
        config.predictor = PredictorChoice::Workers(worker);
    })
    .await;
    assert!(fixture.get("/docs").await.starts_with("HTTP/1.1 503 "));
    let health = fixture.health().await;
    assert_eq!((&health["status"], &health["predictor"]["workers"]["of"]), (&"loading".into(), &1.into()));
    let (status, answer) = fixture.clip_challenge("http://127.0.0.1:9/clip.mp4").await;
    assert_eq!((status, answer["detail"].as_str()), (503, Some("the predictor is not loaded yet")));
}
