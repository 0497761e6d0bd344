//! The gate on axum routes: order of the checks, limits, and what a route sees.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use adit_auth::epistula::{Gate, GateConfig, MIN_STAKE, Policy, Refusal, Verified, admit, sign};
use adit_auth::{BodyError, NonceError, StakeTable, unix_nanos};
use adit_keys::Keypair;
use axum::Router;
use axum::body::Body;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, header};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use super::sha256;

struct Fixture {
    validator: Keypair,
    gate: Arc<Gate>,
}

impl Fixture {
    fn new(change: impl FnOnce(&mut GateConfig)) -> Self {
        let (validator, miner) = (Keypair::generate(), Keypair::generate().hotkey());
        let mut config = GateConfig {
            policy: Policy { own_hotkey: miner, min_stake: Some(MIN_STAKE) },
            nonce_capacity: 2,
            max_body: 1000,
            body_timeout: Duration::from_millis(200),
        };
        change(&mut config);
        let fixture = Self { validator, gate: Arc::new(Gate::new(config)) };
        fixture.set_stake(MIN_STAKE);
        fixture
    }

    fn set_stake(&self, stake: f64) {
        let stakes = HashMap::from([(self.validator.hotkey(), stake)]);
        self.gate.set_stakes(StakeTable::new(stakes, SystemTime::now()));
    }

    fn headers(&self, uuid: &str, body: &[u8]) -> HeaderMap {
        let now_ms = u64::try_from(unix_nanos(SystemTime::now()) / 1_000_000).unwrap();
        let miner = self.gate.policy().own_hotkey;
        sign(&self.validator, &sha256(body), uuid, now_ms, Some(&miner)).unwrap()
    }

    async fn send(&self, headers: HeaderMap, body: impl Into<Body>) -> Response<Body> {
        self.send_to(Method::POST, "/gen_image", headers, body).await
    }

    async fn send_to(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: impl Into<Body>,
    ) -> Response<Body> {
        async fn echo(request: Request<Body>) -> String {
            let signer = request.extensions().get::<Verified>().unwrap().signer;
            let body = request.into_body().collect().await.unwrap().to_bytes();
            format!("{} bytes of {signer}", body.len())
        }
        let gate = from_fn_with_state(Arc::clone(&self.gate), admit);
        let app = Router::new()
            .route("/gen_image", post(echo).route_layer(gate.clone()))
            .route("/health", get(echo).route_layer(gate));
        let mut request = Request::builder().method(method).uri(path).body(body.into()).unwrap();
        request.headers_mut().extend(headers);
        app.oneshot(request).await.unwrap()
    }
}

async fn text(response: Response<Body>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn refusal(response: &Response<Body>) -> Option<&Refusal> {
    response.extensions().get()
}

/// A body that never comes.
struct Stuck;

impl axum::body::HttpBody for Stuck {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

#[tokio::test]
async fn a_signed_request_reaches_the_route_whole_and_once() {
    let fixture = Fixture::new(|_| {});
    let headers = fixture.headers("a", b"{}");
    let response = fixture.send(headers.clone(), "{}").await;
    assert_eq!(text(response).await, format!("2 bytes of {}", fixture.validator.hotkey()));
    let replay = fixture.send(headers, "{}").await;
    assert_eq!(refusal(&replay), Some(&Refusal::Nonce(NonceError::Replayed)));
    assert_eq!(replay.status(), 400);
    assert_eq!(text(replay).await, r#"{"detail":"Epistula-Uuid was used before, sign each request afresh"}"#);
}

#[tokio::test]
async fn a_get_signs_the_empty_body() {
    let fixture = Fixture::new(|_| {});
    let response = fixture.send_to(Method::GET, "/health", fixture.headers("a", b""), Body::empty()).await;
    assert_eq!(text(response).await, format!("0 bytes of {}", fixture.validator.hotkey()));
}

#[tokio::test]
async fn an_unsigned_request_is_refused_as_upstream_does() {
    let fixture = Fixture::new(|_| {});
    let response = fixture.send_to(Method::GET, "/health", HeaderMap::new(), Body::empty()).await;
    assert_eq!(response.status(), 400);
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
    assert_eq!(text(response).await, r#"{"detail":"Unknown Epistula version"}"#);
}

#[tokio::test]
async fn what_no_route_answers_is_told_to_anybody() {
    let fixture = Fixture::new(|_| {});
    let unknown = fixture.send_to(Method::GET, "/nothing", HeaderMap::new(), Body::empty()).await;
    assert_eq!(unknown.status(), 404);
    let wrong = fixture.send_to(Method::DELETE, "/health", HeaderMap::new(), Body::empty()).await;
    assert_eq!(wrong.status(), 405);
}

#[tokio::test]
async fn a_forged_request_leaves_no_trace_in_the_memory() {
    let fixture = Fixture::new(|_| {});
    let headers = fixture.headers("a", b"{}");
    let forged = fixture.send(headers.clone(), "{ }").await;
    assert_eq!(text(forged).await, r#"{"detail":"Signature Mismatch"}"#);
    assert_eq!(fixture.gate.nonces().len(), 0);
    assert_eq!(fixture.send(headers, "{}").await.status(), 200);
}

#[tokio::test]
async fn what_cannot_verify_is_refused_before_the_body_is_read() {
    let fixture = Fixture::new(|_| {});
    let mut malformed = fixture.headers("a", b"{}");
    malformed.insert("epistula-request-signature", "0x00".parse().unwrap());
    let response = fixture.send(malformed, Body::new(Stuck)).await;
    assert_eq!(refusal(&response), Some(&Refusal::SignatureShape));
    fixture.set_stake(19_999.99);
    let response = fixture.send(fixture.headers("a", b"{}"), Body::new(Stuck)).await;
    assert_eq!(response.status(), 401);
    assert_eq!(text(response).await, r#"{"detail":"Stake below minimum: 19999.99"}"#);
}

#[tokio::test]
async fn stakes_are_swapped_while_requests_come() {
    let fixture = Fixture::new(|config| config.policy.min_stake = None);
    fixture.set_stake(0.0);
    assert_eq!(fixture.send(fixture.headers("a", b"{}"), "{}").await.status(), 200);
    fixture.gate.set_stakes(StakeTable::new(HashMap::new(), SystemTime::now()));
    let response = fixture.send(fixture.headers("b", b"{}"), "{}").await;
    assert_eq!(text(response).await, r#"{"detail":"Signer not in metagraph"}"#);
}

#[tokio::test]
async fn before_the_first_stakes_the_answer_is_503() {
    let fixture = Fixture::new(|_| {});
    let config = GateConfig {
        policy: fixture.gate.policy().clone(),
        nonce_capacity: 2,
        max_body: 1000,
        body_timeout: Duration::from_secs(1),
    };
    let fixture = Fixture { gate: Arc::new(Gate::new(config)), ..fixture };
    assert_eq!(fixture.send(fixture.headers("a", b"{}"), "{}").await.status(), 503);
}

#[tokio::test]
async fn a_body_above_the_limit_is_refused_announced_or_not() {
    let fixture = Fixture::new(|_| {});
    let mut headers = fixture.headers("a", b"{}");
    headers.insert("content-length", "1001".parse().unwrap());
    let response = fixture.send(headers, Body::new(Stuck)).await;
    assert_eq!(refusal(&response), Some(&Refusal::Body(BodyError::TooLarge { limit: 1000 })));
    assert_eq!(response.status(), 413);
    let large = vec![b' '; 1001];
    assert_eq!(fixture.send(fixture.headers("b", &large), large).await.status(), 413);
    let largest = vec![b' '; 1000];
    assert_eq!(fixture.send(fixture.headers("c", &largest), largest).await.status(), 200);
}

#[tokio::test]
async fn a_body_that_does_not_come_ends_in_408() {
    let fixture = Fixture::new(|_| {});
    assert_eq!(fixture.send(fixture.headers("a", b"{}"), Body::new(Stuck)).await.status(), 408);
}

#[tokio::test]
async fn a_full_memory_answers_503_and_forgets_nothing() {
    let fixture = Fixture::new(|config| config.nonce_capacity = 1);
    let first = fixture.headers("a", b"{}");
    assert_eq!(fixture.send(first.clone(), "{}").await.status(), 200);
    assert_eq!(fixture.send(fixture.headers("b", b"{}"), "{}").await.status(), 503);
    let replay = fixture.send(first, "{}").await;
    assert_eq!(refusal(&replay), Some(&Refusal::Nonce(NonceError::Replayed)));
}
