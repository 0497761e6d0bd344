//! What upstream's application answers, case by case.

use std::path::PathBuf;

use adit_generative::task::State;
use adit_python::json::Json;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderName, HeaderValue, Request};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::setup::{Fixture, Wanted};

#[derive(Deserialize)]
struct Vectors {
    http: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    method: String,
    path: String,
    headers: std::collections::BTreeMap<String, String>,
    body_hex: String,
    services: Services,
    expect: Eras,
}

#[derive(Deserialize)]
struct Services {
    image: String,
    video: String,
}

impl Services {
    /// Upstream accepts what it cannot make, and breaks the promise later (section 8).
    fn cannot_make_it(&self, modality: &str) -> bool {
        let named = if modality == "image" { &self.image } else { &self.video };
        let cannot = if modality == "image" { "runway" } else { "stabilityai" };
        named.trim().eq_ignore_ascii_case(cannot)
    }
}

#[derive(Deserialize)]
struct Eras {
    seed: Value,
    head: Value,
}

#[tokio::test]
async fn vectors_gen_requests_http() {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors");
    let folder = std::env::var_os("ADIT_VECTORS").map_or_else(|| PathBuf::from(own), PathBuf::from);
    let text = std::fs::read(folder.join("gen_requests.json")).unwrap();
    // The vectors are written by Python, whose NaN becomes a text here as in a task.
    let vectors = Json::parse(&text).unwrap().to_text();
    let vectors: Vectors = serde_json::from_str(&vectors).unwrap();
    assert!(!vectors.http.is_empty(), "no cases in {}", folder.display());
    for case in &vectors.http {
        check(case).await;
    }
}

async fn check(case: &Case) {
    let id = &case.id;
    let wanted = Wanted { image: &case.services.image, video: &case.services.video, ..Wanted::default() };
    let fixture = Fixture::new(wanted).await;
    let mut request = Request::builder().method(&*case.method).uri(&case.path);
    for (name, value) in &case.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        request = request.header(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    let body = hex::decode(&case.body_hex).unwrap();
    let response = fixture.ask(request.body(Body::from(body)).unwrap()).await;
    let status = response.status().as_u16();
    let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let (content_type, location) = (header("content-type"), header("location"));
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    let body: Value = if body.is_empty() { json!("") } else { serde_json::from_slice(&body).unwrap() };
    let tasks = fixture.miner.store.ledger().list(State::ALL, 10).await.unwrap();

    let expect = if case.expect.head == "same" { &case.expect.seed } else { &case.expect.head };
    let modality = if case.path.contains("video") { "video" } else { "image" };
    let unmade = expect["status"] == 201 && case.services.cannot_make_it(modality);
    if expect["status"] == 500 || unmade {
        // Where upstream breaks, also after it has made a task: a clear refusal, and no task.
        assert_eq!(status, if unmade { 503 } else { 400 }, "{id}: {body}");
        assert!(body["error"].is_string() && tasks.is_empty(), "{id}: {body}");
        return;
    }
    assert_eq!(expect["status"], status, "{id}: {body}");
    assert_eq!(expect["content_type"], json!(content_type), "{id}");
    let expected_location = expect["location"].as_str().map(|url| url.replace("http://testserver", ""));
    assert_eq!(expected_location, location, "{id}");
    same(id, &expect["response"], &body);

    let created = expect["tasks_created"].as_array().unwrap();
    assert_eq!(created.len(), tasks.len(), "{id}");
    for (expected, task) in created.iter().zip(&tasks) {
        assert_eq!(expected["modality"], task.modality.as_str(), "{id}");
        assert_eq!(expected["webhook_url"], json!(task.request.webhook_url), "{id}");
        assert_eq!(expected["signed_by"], json!(task.signed_by), "{id}");
        assert_eq!(json!(task.id.to_string()), body["task_id"], "{id}");
        let is_plain = expected["prompt"].is_string() && task.request.webhook_url.contains("://");
        if is_plain {
            assert_eq!(expected["prompt"], json!(task.request.prompt), "{id}");
        }
        assert_eq!(expected["parameters"], task.request.parameters, "{id}");
        // What cannot come to anything costs nothing: nobody gets it to call a service for.
        let queued = fixture.miner.store.claim_queued(task.modality).await.unwrap();
        assert_eq!(queued.is_some(), is_plain, "{id}");
    }
}

/// The same values, where upstream's are fixed.
fn same(id: &str, expected: &Value, ours: &Value) {
    match (expected, ours) {
        (Value::Object(expected), Value::Object(ours)) => {
            let keys = |object: &serde_json::Map<String, Value>| object.keys().cloned().collect::<Vec<_>>();
            assert_eq!(keys(expected), keys(ours), "{id}");
            expected.iter().for_each(|(key, value)| same(&format!("{id}.{key}"), value, &ours[key]));
        }
        (Value::String(text), Value::String(_)) if text == "<uuid4>" => {}
        (Value::String(text), Value::Number(_)) if text.starts_with('<') && text.contains("float") => {}
        (Value::String(text), Value::String(ours)) if text.starts_with("Invalid JSON body: ") => {
            assert!(ours.starts_with("Invalid JSON body: "), "{id}: {ours}");
        }
        _ => assert_eq!(expected, ours, "{id}"),
    }
}
