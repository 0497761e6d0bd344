//! The layer on an axum route: order of the checks, limits, and what the route sees.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use adit_auth::{
    BodyError, Dialect, Gate, GateConfig, GateLayer, NonceError, Policy, Refusal, Spelling, StakeGate,
    StakeTable, Verified, sign_headers, unix_nanos,
};
use adit_keys::{Hotkey, Keypair};
use axum::Router;
use axum::body::Body;
use axum::routing::post;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

fn config(miner: Hotkey) -> GateConfig {
    GateConfig {
        policy: Policy {
            verify: true,
            stake_gate: StakeGate::Closed,
            min_stake: 1000.0,
            own_hotkey: Some(miner),
            dialects: Dialect::ALL.to_vec(),
        },
        nonce_capacity: 2,
        max_body: 1000,
        body_timeout: Duration::from_millis(200),
    }
}

struct Fixture {
    validator: Keypair,
    miner: Hotkey,
    gate: Arc<Gate>,
}

impl Fixture {
    fn new(change: impl FnOnce(&mut GateConfig)) -> Self {
        let (validator, miner) = (Keypair::generate(), Keypair::generate().hotkey());
        let mut config = config(miner);
        change(&mut config);
        let gate = Arc::new(Gate::new(config));
        gate.set_stakes(StakeTable::new(HashMap::from([(validator.hotkey(), 1000.0)]), SystemTime::now()));
        Self { validator, miner, gate }
    }

    fn headers(&self, dialect: Dialect, body: &[u8]) -> HeaderMap {
        let nonce = unix_nanos(SystemTime::now()).to_string();
        sign_headers(&self.validator, dialect, Spelling::Prefixed, &nonce, &self.miner, body)
    }

    async fn send(&self, headers: HeaderMap, body: Body) -> Response<Body> {
        async fn echo(request: Request<Body>) -> String {
            let verified = request.extensions().get::<Verified>().cloned();
            let body = request.into_body().collect().await.unwrap().to_bytes();
            format!("{} {:?}", body.len(), verified.unwrap().signature.map(|(_, dialect)| dialect))
        }
        let app = Router::new().route("/", post(echo)).layer(GateLayer(Arc::clone(&self.gate)));
        let mut request = Request::post("/").body(body).unwrap();
        request.headers_mut().extend(headers);
        app.oneshot(request).await.unwrap()
    }
}

async fn text(response: Response<Body>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A body of which only this much ever comes.
struct Stuck(Option<Bytes>);

impl axum::body::HttpBody for Stuck {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        match self.0.take() {
            Some(bytes) => Poll::Ready(Some(Ok(http_body::Frame::data(bytes)))),
            None => Poll::Pending,
        }
    }
}

fn pending() -> Body {
    Body::new(Stuck(None))
}

#[tokio::test]
async fn a_signed_request_reaches_the_route_whole_and_once() {
    let fixture = Fixture::new(|_| {});
    let headers = fixture.headers(Dialect::Score, b"{}");
    let response = fixture.send(headers.clone(), Body::from("{}")).await;
    assert_eq!(text(response).await, "2 Some(Score)");
    let replay = fixture.send(headers, Body::from("{}")).await;
    assert_eq!(replay.extensions().get(), Some(&Refusal::Nonce(NonceError::Replayed)));
    assert_eq!(text(replay).await, r#"{"detail":"Invalid nonce"}"#);
}

#[tokio::test]
async fn a_forged_request_leaves_no_trace_in_the_memory() {
    let fixture = Fixture::new(|_| {});
    let headers = fixture.headers(Dialect::Fiber, b"{}");
    let forged = fixture.send(headers.clone(), Body::from("{ }")).await;
    let tried = vec![Dialect::Score, Dialect::Fiber];
    assert_eq!(forged.extensions().get(), Some(&Refusal::Signature { tried }));
    assert_eq!(fixture.gate.nonces().len(), 0);
    assert_eq!(fixture.send(headers, Body::from("{}")).await.status(), 200);
}

#[tokio::test]
async fn a_stranger_is_refused_before_the_body_is_read() {
    let fixture = Fixture::new(|_| {});
    let stranger = Keypair::generate();
    let nonce = unix_nanos(SystemTime::now()).to_string();
    let headers = sign_headers(&stranger, Dialect::Score, Spelling::Prefixed, &nonce, &fixture.miner, b"{}");
    let response = fixture.send(headers, pending()).await;
    assert_eq!(response.status(), 403);
    assert_eq!(text(response).await, r#"{"detail":"Hotkey not found in metagraph"}"#);
}

#[tokio::test]
async fn without_a_stake_table_everybody_is_refused() {
    let fixture = Fixture::new(|_| {});
    let empty = Fixture { gate: Arc::new(Gate::new(config(fixture.miner))), ..fixture };
    let headers = empty.headers(Dialect::Fiber, b"{}");
    assert_eq!(empty.send(headers, Body::from("{}")).await.status(), 403);
}

#[tokio::test]
async fn an_announced_body_above_the_limit_is_not_read() {
    let fixture = Fixture::new(|_| {});
    let mut headers = fixture.headers(Dialect::Score, b"{}");
    headers.insert("content-length", "1001".parse().unwrap());
    assert_eq!(fixture.send(headers, pending()).await.status(), 413);
}

#[tokio::test]
async fn an_unannounced_body_above_the_limit_is_cut_off() {
    let fixture = Fixture::new(|_| {});
    let headers = fixture.headers(Dialect::Score, b"{}");
    assert_eq!(fixture.send(headers, Body::from(vec![b' '; 1001])).await.status(), 413);
}

#[tokio::test]
async fn a_body_that_does_not_come_ends_in_408() {
    let fixture = Fixture::new(|_| {});
    let headers = fixture.headers(Dialect::Score, b"{}");
    assert_eq!(fixture.send(headers, pending()).await.status(), 408);
}

#[tokio::test]
async fn bodies_that_are_only_announced_keep_nobody_out() {
    let fixture = Fixture::new(|config| {
        config.max_body = 1 << 20;
        config.body_timeout = Duration::from_secs(60);
    });
    let mut stuck: Vec<_> = (0..50)
        .map(|_| {
            let mut headers = fixture.headers(Dialect::Score, b"{}");
            headers.insert("content-length", "1048576".parse().unwrap());
            Box::pin(fixture.send(headers, pending()))
        })
        .collect();
    for request in &mut stuck {
        assert!(futures_util::poll!(request).is_pending());
    }
    let headers = fixture.headers(Dialect::Score, b"{}");
    assert_eq!(fixture.send(headers, Body::from("{}")).await.status(), 200);
}

#[tokio::test]
async fn large_bodies_share_a_budget_that_small_ones_do_not_need() {
    let large = 1 << 20;
    let fixture = Fixture::new(|config| {
        config.max_body = large;
        config.body_timeout = Duration::from_secs(60);
    });
    let half_sent = || Body::new(Stuck(Some(Bytes::from(vec![b' '; large]))));
    let mut stuck: Vec<_> =
        (0..4).map(|_| Box::pin(fixture.send(fixture.headers(Dialect::Score, b"{}"), half_sent()))).collect();
    for request in &mut stuck {
        assert!(futures_util::poll!(request).is_pending());
    }
    let one_more = fixture.send(fixture.headers(Dialect::Score, b"{}"), Body::from(vec![b' '; large]));
    assert_eq!(one_more.await.extensions().get(), Some(&Refusal::Body(BodyError::Busy)));
    let headers = fixture.headers(Dialect::Score, b"{}");
    assert_eq!(fixture.send(headers, Body::from("{}")).await.status(), 200);
    drop(stuck);
    let body = vec![b' '; large];
    let headers = fixture.headers(Dialect::Score, &body);
    assert_eq!(fixture.send(headers, Body::from(body)).await.extensions().get::<Refusal>(), None);
}

#[tokio::test]
async fn a_full_memory_answers_503_and_forgets_nothing() {
    let fixture = Fixture::new(|config| config.nonce_capacity = 1);
    let first = fixture.headers(Dialect::Score, b"{}");
    assert_eq!(fixture.send(first.clone(), Body::from("{}")).await.status(), 200);
    assert_eq!(fixture.send(fixture.headers(Dialect::Score, b"{}"), Body::from("{}")).await.status(), 503);
    assert_eq!(fixture.send(first, Body::from("{}")).await.status(), 401);
}

#[tokio::test]
async fn fiber_alone_can_be_demanded() {
    let fixture = Fixture::new(|config| config.policy.dialects = vec![Dialect::Fiber]);
    let response = fixture.send(fixture.headers(Dialect::Score, b"{}"), Body::from("{}")).await;
    assert_eq!(response.extensions().get(), Some(&Refusal::Signature { tried: vec![Dialect::Fiber] }));
    let response = fixture.send(fixture.headers(Dialect::Fiber, b"{}"), Body::from("{}")).await;
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn with_both_switches_off_no_header_is_needed() {
    let fixture = Fixture::new(|config| {
        config.policy.verify = false;
        config.policy.stake_gate = StakeGate::Off;
    });
    let response = fixture.send(HeaderMap::new(), Body::from("{}")).await;
    assert_eq!(text(response).await, "2 None");
}

#[tokio::test]
async fn with_the_stake_gate_alone_only_the_validator_header_is_needed() {
    let fixture = Fixture::new(|config| config.policy.verify = false);
    let missing = fixture.send(HeaderMap::new(), Body::from("{}")).await;
    assert_eq!(
        text(missing).await,
        r#"{"detail":[{"type":"missing","loc":["header","validator-hotkey"],"msg":"Field required","input":null}]}"#
    );
    let mut headers = HeaderMap::new();
    headers.insert("validator-hotkey", fixture.validator.hotkey().to_string().parse().unwrap());
    assert_eq!(fixture.send(headers, Body::from("{}")).await.status(), 200);
}
