//! Rehearsals: what is asked, what it is worth, the page about it, and Score's API of challenges.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use adit_keys::Keypair;
use adit_manifest::{Element, Manifest};
use adit_outbound::{AddressGuard, Client};
use adit_synthetic::{Kind, Match, MatchFormat};
use adit_turbo_vision::chutes::Chute;
use adit_turbo_vision::ranking::{DocumentRules, Gate, Reading};
use adit_turbo_vision::rehearsal::score_api::{ScoreApi, ScoreApiError, Subject};
use adit_turbo_vision::rehearsal::{Era, Rehearsal, Rules, Scene, rehearse, report};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const FORMAT: MatchFormat = MatchFormat { width: 320, height: 180, fps: 25, seconds: 2 };
const SCORED: [u64; 4] = [0, 12, 25, 40];
const PATIENCE: Duration = Duration::from_secs(20);

/// What a server does with a request.
type Answer = Arc<dyn Fn(&str, Value) -> Response + Send + Sync>;

/// A server that answers every request by `answer`, given path with query, and body.
async fn server(answer: impl Fn(&str, Value) -> Response + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    async fn handle(State(answer): State<Answer>, request: Request) -> Response {
        let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
        let body = axum::body::to_bytes(request.into_body(), 64 << 20).await.unwrap();
        answer(&path, serde_json::from_slice(&body).unwrap_or_default())
    }
    let answer: Answer = Arc::new(answer);
    let app = Router::new().fallback(handle).with_state(answer);
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

fn reply(json: &Value) -> Response {
    ([("content-type", "application/json")], json.to_string()).into_response()
}

fn client() -> Client {
    Client::new(AddressGuard::unrestricted()).unwrap()
}

fn drawn() -> Match {
    Match::new(3, FORMAT)
}

fn element() -> Element {
    let text = "{window_id: w, version: 1, expiry_block: 1, tee: {trusted_share_gamma: 0}, elements: [{
        id: x/PlayerDetect-x, track: public, objects: [ball, goalkeeper, player], service_rate_fps: 5,
        metrics: {pillars: {map50: 0.5, iou: 0.25, count: 0.25}}}]}";
    Manifest::parse(text.as_bytes()).unwrap().elements.remove(0)
}

/// The truth, as a perfect model answers it for these frames.
fn perfect(frames: impl IntoIterator<Item = u64>) -> Value {
    let drawn = drawn();
    let frame = |index: u64| {
        let boxes: Vec<Value> = drawn
            .objects(index)
            .into_iter()
            .map(|object| {
                let [x1, y1, x2, y2] = object.bbox;
                let class = match object.kind {
                    Kind::Ball => 0,
                    Kind::Goalkeeper(_) => 1,
                    Kind::Player(_) => 2,
                };
                json!({"x1": x1, "y1": y1, "x2": x2, "y2": y2, "cls_id": class, "conf": 0.9})
            })
            .collect();
        json!({"frame_id": index, "boxes": boxes, "keypoints": []})
    };
    Value::Array(frames.into_iter().map(frame).collect())
}

/// A rehearsal of a chute that answers with this, by today's rules.
async fn today(answer: Value) -> (Rehearsal, Scene, Element) {
    let url = server(move |_, _| reply(&answer)).await;
    let scene = Scene::drawn(&drawn(), FORMAT, None, &SCORED, false);
    let element = element();
    let chute = Chute::new(client(), &url, None);
    let done = rehearse(&chute, &scene, Rules::Head(&element), 2, PATIENCE, async || ()).await.unwrap();
    (done, scene, element)
}

#[tokio::test]
async fn a_perfect_answer_gets_the_whole_score() {
    let (done, scene, element) =
        today(json!({"success": true, "predictions": {"frames": perfect(SCORED)}, "error": null})).await;
    assert!(done.passed());
    assert_eq!(done.rounds.len(), 2);
    assert_eq!(done.worst().unwrap().ranking.score, 1.0);
    let (median, p95) = done.latency_ms().unwrap();
    assert!(0.0 < median && median <= p95);
    let page = report::html(&scene, &done, Rules::Head(&element), "A <page>").unwrap();
    assert!(page.contains("A &lt;page&gt;") && page.contains("1.0000"));
    assert_eq!(page.matches("data:image/png;base64,").count(), SCORED.len());
    // Nothing else is fetched by it.
    assert!(!page.contains("http://") && !page.contains("https://"));
}

#[tokio::test]
async fn the_request_is_a_validators() {
    let asked = Arc::new(Mutex::new(Value::Null));
    let seen = Arc::clone(&asked);
    let url = server(move |path, body| {
        assert_eq!(path, "/predict");
        *seen.lock().unwrap() = body;
        reply(&json!({"success": true, "predictions": {"frames": []}}))
    })
    .await;
    let chute = Chute::new(client(), &url, None);
    let element = element();
    let scene = Scene::drawn(&drawn(), FORMAT, None, &SCORED, false);
    rehearse(&chute, &scene, Rules::Head(&element), 1, PATIENCE, async || ()).await.unwrap();
    let body = asked.lock().unwrap().take();
    assert_eq!(
        body["meta"],
        json!({"version": 1, "width": 320, "height": 180, "fps": 25, "task_id": "0", "challenge_type_id": 0,
            "n_frames_total": 4, "batch_size": 64, "n_keypoints": 32, "min_frames_required": 3,
            "frames_source": "payload"})
    );
    assert_eq!(body["url"], Value::Null);
    assert_eq!(body["frames"].as_array().unwrap().len(), 4);
    assert_eq!(body["frames"][1]["frame_id"], 12);
    assert!(body["frames"][1]["data"].as_str().unwrap().starts_with("iVBORw0KGgo"));

    let scene = Scene::drawn(&drawn(), FORMAT, Some("http://clips/x.mp4".to_owned()), &SCORED, true);
    let rules = DocumentRules { frames: 50, challenge_type: Some("football"), reading: Reading::AsItRan };
    rehearse(&chute, &scene, Rules::Document(rules), 1, PATIENCE, async || ()).await.unwrap();
    assert_eq!(
        asked.lock().unwrap().take(),
        json!({"url": "http://clips/x.mp4", "meta": {"version": 1, "width": 320, "height": 180, "fps": 25,
            "task_id": "0", "challenge_type": "football", "batch_size": 64}})
    );
}

/// Each of them costs the whole score, and is told apart.
#[tokio::test]
async fn what_a_validator_gives_nothing_for_is_named() {
    let twice = json!([perfect([0])[0], perfect([0])[0]]);
    for (answer, gate, said) in [
        (json!({"success": false, "error": "out of memory"}), Gate::SUCCESS, "out of memory"),
        (json!({"success": true, "predictions": null}), Gate::FRAMES, "0 frames"),
        (json!({"success": true, "predictions": {"frames": perfect([0, 12])}}), Gate::FRAMES, "2 frames"),
        (json!({"success": true, "predictions": {"frames": twice}}), Gate::FRAMES, "2 frames"),
    ] {
        let (done, scene, element) = today(answer.clone()).await;
        assert!(!done.passed(), "{answer}");
        let round = done.worst().unwrap();
        assert_eq!(round.ranking.score, 0.0, "{answer}");
        let shut = round.ranking.gates.iter().find(|gate| !gate.open).unwrap();
        assert_eq!(shut.name, gate, "{answer}");
        let page = report::html(&scene, &done, Rules::Head(&element), "page").unwrap();
        assert!(page.contains(said), "{answer}");
    }
    // A validator cuts what is after the point, and so the score stays.
    let mut floats = perfect(SCORED);
    for frame in floats.as_array_mut().unwrap() {
        for one in frame["boxes"].as_array_mut().unwrap() {
            one["x1"] = json!(one["x1"].as_f64().unwrap() + 0.25);
        }
    }
    let (done, _, _) = today(json!({"success": true, "predictions": {"frames": floats}})).await;
    assert_eq!(done.worst().unwrap().ranking.score, 1.0);
}

#[tokio::test]
async fn a_chute_that_is_away_is_a_round_without_an_answer() {
    let chute = Chute::new(client(), "http://127.0.0.1:1", None);
    let scene = Scene::drawn(&drawn(), FORMAT, None, &SCORED, false);
    let element = element();
    let done = rehearse(&chute, &scene, Rules::Head(&element), 1, PATIENCE, async || ()).await.unwrap();
    assert!(!done.passed());
    assert!(done.rounds[0].answer.as_ref().unwrap_err().contains("127.0.0.1:1"));
    assert_eq!(done.latency_ms(), None);
    report::html(&scene, &done, Rules::Head(&element), "page").unwrap();
}

fn signed(query: &str, signer: &Keypair) -> bool {
    let pairs: std::collections::HashMap<_, _> =
        url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let signature: [u8; 64] =
        hex::decode(pairs["signature"].strip_prefix("0x").unwrap()).unwrap().try_into().unwrap();
    pairs["validator_hotkey"] == signer.hotkey().to_string()
        && pairs["netuid"] == "44"
        && format!("0x{}", hex::encode(signature))
            .parse::<adit_keys::Signature>()
            .is_ok_and(|signature| signature.verifies(pairs["nonce"].as_bytes(), &signer.hotkey()))
}

#[tokio::test]
async fn a_challenge_and_its_truth_come_from_scores_api() {
    let key = Keypair::from_seed(&[7; 32]);
    let known = Keypair::from_seed(&[7; 32]);
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let url = server(move |path, body| {
        let (path, query) = path.split_once('?').unwrap();
        if !signed(query, &known) {
            return StatusCode::UNAUTHORIZED.into_response();
        }
        seen.lock().unwrap().push((path.to_owned(), query.contains("element_id=manak0%2FDetect-x"), body));
        match path {
            "/api/tasks/next" => reply(&json!({"id": 91, "challenge_type": "football", "seed": 5,
                "payload": {"frames": [{"frame_id": 2, "url": "https://h/2.png"}]}})),
            "/api/tasks/complete" => reply(&json!({"ok": true})),
            "/api/tasks/91/ground-truth" => {
                reply(&json!({"ground_truth": {"annotations": [{"bbox": [1, 2, 3, 4], "frame_idx": 2}]}}))
            }
            _ => StatusCode::NOT_FOUND.into_response(),
        }
    })
    .await;
    let client = client();
    let api = ScoreApi { client: &client, base: url.parse().unwrap(), hotkey: &key, netuid: 44 };
    let challenge = api.next(Era::Head, Some(("manak0/Detect-x", None))).await.unwrap();
    assert_eq!((challenge.task_id, challenge.seed), (json!(91), Some(json!(5))));
    assert!(matches!(challenge.subject, Subject::Frames(frames) if frames.len() == 1));
    let truth = api.ground_truth(91, "manak0/Detect-x").await.unwrap();
    assert_eq!(truth["annotations"][0]["frame_idx"], 2);
    let asked = asked.lock().unwrap().clone();
    assert!(asked.iter().all(|(_, named, _)| *named), "{asked:?}");
    assert_eq!(asked[1].2, json!({"challenge_id": 91}));
    let other = Keypair::from_seed(&[8; 32]);
    let refused = ScoreApi {
        hotkey: &other,
        ..ScoreApi { client: &client, base: url.parse().unwrap(), hotkey: &key, netuid: 45 }
    };
    let error = refused.next(Era::Head, None).await.unwrap_err();
    assert!(matches!(error, ScoreApiError::NotServed(401)), "{error}");
}

#[tokio::test]
async fn each_refusal_of_scores_api_is_told_apart() {
    let key = Keypair::from_seed(&[7; 32]);
    let client = client();
    for (status, said) in [
        (404, "no evaluation window"),
        (409, "limits how often"),
        (410, "expired"),
        (403, "(403)"),
        (500, "500"),
    ] {
        let url = server(move |_, _| {
            (StatusCode::from_u16(status).unwrap(), "<html>an error page</html>").into_response()
        })
        .await;
        let api = ScoreApi { client: &client, base: url.parse().unwrap(), hotkey: &key, netuid: 44 };
        let error = api.next(Era::Document, None).await.unwrap_err().to_string();
        assert!(error.contains(said), "{status}: {error}");
    }
}
