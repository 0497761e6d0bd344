//! The calls to a chute itself.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use adit_stand_in::chutes::{Call, Chutes, Fault, Predict, Start};
use adit_turbo_vision::chutes::{Api, Cause, Chute, ids};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{KEY, client, platform, soon};

/// A platform with a chute that is ready.
async fn ready() -> (Chutes, Api, Chute) {
    let (platform, api) = platform().await;
    platform.starts(Start { looks: Some(0), ..Start::default() });
    let chute = chute(&platform);
    (platform, api, chute)
}

fn chute(platform: &Chutes) -> Chute {
    let id = platform.chute("miner", "c", "code");
    Chute::new(client(), &platform.chute_url(&platform.slug(&id).unwrap()), Some(KEY.into()))
}

fn id() -> String {
    ids::chute("miner", "c")
}

fn input() -> Value {
    json!({"url": null, "frames": [{"frame_id": 3}, {"frame_id": 4}], "meta": {}})
}

#[tokio::test]
async fn a_prediction_comes_with_both_latencies() {
    let (platform, _, chute) = ready().await;
    assert!(chute.health(soon()).await.unwrap().healthy);
    let answer = chute.predict(&input(), soon(), async || ()).await.unwrap();
    assert!(answer.success && answer.attempts == 1 && answer.of_attempt <= answer.since_first);
    assert_eq!(answer.predictions.unwrap()["frames"][1]["frame_id"], 4);
    let asked = platform.asked().pop().unwrap();
    assert_eq!(asked.headers["authorization"], format!("Bearer {KEY}"));
    assert_eq!(asked.body, input());
}

#[tokio::test]
async fn what_a_chute_answers_is_passed_on_with_its_failings() {
    let (platform, _, chute) = ready().await;
    platform.predicts([
        Predict::Failed("❌ no".to_owned()),
        Predict::Missing(1),
        Predict::Json(json!({"data": [1]})),
    ]);
    let failed = chute.predict(&input(), soon(), async || ()).await.unwrap();
    assert!(!failed.success && failed.predictions.is_none());
    assert_eq!(failed.error.as_deref(), Some("❌ no"));
    let missing = chute.predict(&input(), soon(), async || ()).await.unwrap();
    assert_eq!(missing.predictions.unwrap()["frames"].as_array().unwrap().len(), 1);
    let data = chute.predict(&input(), soon(), async || ()).await.unwrap();
    assert_eq!((data.success, data.predictions), (true, Some(json!([1]))));
    platform.predicts([Predict::Right]);
    let video =
        chute.predict(&json!({"url": "https://x/y.mp4", "meta": null}), soon(), async || ()).await.unwrap();
    assert_eq!(video.predictions.unwrap()["frames"].as_array().unwrap().len(), 750);
    platform.model(Arc::new(|input| json!({"predictions": {"n": input["frames"].as_array().map(Vec::len)}})));
    let own = chute.predict(&input(), soon(), async || ()).await.unwrap();
    assert_eq!(own.predictions, Some(json!({"n": 2})));
}

#[tokio::test]
async fn a_prediction_is_tried_as_often_as_a_validator_tries() {
    let (platform, _, chute) = ready().await;
    platform.plant(Call::Predict, Fault::RateLimited(0), 1);
    platform.plant(Call::Predict, Fault::Page(503), 1);
    platform.plant(Call::Predict, Fault::Closed, 1);
    let warmed = Cell::new(0);
    let began = Instant::now();
    let answer = chute.predict(&input(), soon(), async || warmed.set(warmed.get() + 1)).await.unwrap();
    assert_eq!((answer.attempts, warmed.get()), (4, 1));
    // 0.5 + 1 + 2 s, each at least 15 % less.
    assert!(
        began.elapsed() >= Duration::from_millis(2975) && answer.since_first >= Duration::from_millis(2975)
    );
    assert!(answer.of_attempt < Duration::from_secs(2), "{:?}", answer.of_attempt);

    // A 200 that is no JSON is tried again, too.
    platform.plant(Call::Predict, Fault::Page(200), 1);
    assert_eq!(chute.predict(&input(), soon(), async || ()).await.unwrap().attempts, 2);
    platform.plant(Call::Predict, Fault::Refused(500, "broken".to_owned()), 4);
    let error = chute.predict(&input(), soon(), async || ()).await.unwrap_err();
    assert!(matches!(error.cause, Cause::Service { status: 500, attempts: 4, .. }), "{error}");
}

#[tokio::test]
async fn other_refusals_of_a_prediction_are_final() {
    let (platform, _, chute) = ready().await;
    for status in [400, 401, 402, 404, 422] {
        let before = platform.times(Call::Predict);
        platform.plant(Call::Predict, Fault::Refused(status, format!("no {KEY}")), 1);
        let error = chute.predict(&input(), soon(), async || ()).await.unwrap_err();
        assert_eq!(platform.times(Call::Predict), before + 1, "{error}");
        assert!(!format!("{error} {error:?}").contains(KEY), "{error}");
    }
}

#[tokio::test]
async fn a_cold_chute_is_warmed_up_and_waited_for() {
    let (platform, api) = platform().await;
    let chute = chute(&platform);
    let health = chute.wait_until_healthy(Some((&api, &id())), soon()).await.unwrap();
    assert_eq!(health.model, "Miner");
    assert_eq!(platform.times(Call::WarmUp), 1);
}

#[tokio::test]
async fn a_chute_that_never_gets_ready_is_given_up_with_its_logs() {
    let (platform, api) = platform().await;
    platform.starts(Start { looks: None, log: vec!["loading".to_owned(), "CUDA out of memory".to_owned()] });
    let chute = chute(&platform);
    let deadline = Instant::now() + Duration::from_secs(2);
    let error = chute.wait_until_healthy(Some((&api, &id())), deadline).await.unwrap_err();
    assert_eq!(error.logs, ["loading", "CUDA out of memory"]);
    assert!(error.to_string().contains("no instance was ready in time"), "{error}");
    assert!(error.to_string().ends_with("(its last line: CUDA out of memory)"), "{error}");
}

#[tokio::test]
async fn a_model_that_did_not_load_is_not_waited_for() {
    let (platform, api, chute) = ready().await;
    platform.health(json!({"status": "❌ Failed to load miner: no miner.py", "model_loaded": "None"}));
    let began = Instant::now();
    let error = chute.wait_until_healthy(Some((&api, &id())), soon()).await.unwrap_err();
    assert!(error.to_string().contains("no miner.py") && error.hint.contains("push"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn without_a_balance_nothing_is_waited_for() {
    let (platform, api) = platform().await;
    let chute = chute(&platform);
    platform.balance("miner", 0.0);
    let error = chute.wait_until_healthy(Some((&api, &id())), soon()).await.unwrap_err();
    assert!(error.hint.contains("Top up"), "{error}");
}
