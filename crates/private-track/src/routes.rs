//! The routes: what is answered to whom.

use std::sync::Arc;
use std::time::{Duration, Instant as StdInstant, SystemTime};

use adit_auth::{Gate, GateLayer, Refusal, Verified};
use adit_http_server::answer::{self, detail, json_text};
use adit_http_server::docs as page;
use adit_predictor::Predictor;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::routing::{get, post};
use bytes::Bytes;
use serde_json::json;
use tokio::time::Instant;

use crate::admission::Admission;
use crate::challenge::{Failure, Solver};
use crate::docs;
use crate::metrics::{Metrics, Snapshot};
use crate::record::{Recorder, Recording, Trace, claimed};
use crate::spans::Told;
use crate::wire::request::{ChallengeRequest, Rejection};
use crate::wire::{self, request};

/// A body above this is read off the threads that serve sockets.
const LARGE_BODY: usize = 64 * 1024;

/// What the routes share.
#[derive(Debug)]
pub(crate) struct Miner {
    pub(crate) gate: Arc<Gate>,
    pub(crate) solver: Solver,
    pub(crate) admission: Admission,
    pub(crate) metrics: Metrics,
    pub(crate) deadline: Duration,
    pub(crate) stake_max_age: Duration,
    /// Where stakes come from, where callers are judged by them.
    pub(crate) stake_source: Option<&'static str>,
    /// Where challenges are recorded, if they are.
    pub(crate) recorder: Option<Recorder>,
    pub(crate) started: StdInstant,
}

pub(crate) fn router(miner: Arc<Miner>) -> Router {
    let gated = post(challenge)
        .layer(GateLayer(Arc::clone(&miner.gate)))
        .layer(middleware::from_fn_with_state(Arc::clone(&miner), at_the_gate));
    Router::new()
        .route("/challenge", gated)
        .route("/docs", get(docs_page))
        .route("/docs/{asset}", get(page::asset))
        .route("/redoc", get(|| async { page::redoc(docs::TITLE, docs::ABOUT) }))
        .route("/openapi.json", get(openapi))
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .method_not_allowed_fallback(answer::method_not_allowed)
        .fallback(not_found)
        .with_state(miner)
}

async fn challenge(State(miner): State<Arc<Miner>>, request: Request) -> Response<Body> {
    let began = StdInstant::now();
    let deadline = Instant::now() + miner.deadline;
    let (parts, body) = request.into_parts();
    let arrived = parts.extensions.get::<Arrived>().map_or(began, |arrived| arrived.0);
    let trace = Trace::since(arrived);
    trace.add("gate", arrived, began);
    let reading = trace.stage("read");
    // The gate has bounded the body and put it in memory; this only takes it out again.
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        return detail(StatusCode::BAD_REQUEST, "There was an error parsing the body");
    };
    let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let challenge = match parse(body, content_type).await {
        Ok(challenge) => challenge,
        Err(rejection) => {
            miner.metrics.ended("invalid", began.elapsed());
            tracing::warn!("invalid challenge: {rejection}");
            let status = StatusCode::from_u16(rejection.status()).unwrap_or(StatusCode::UNPROCESSABLE_ENTITY);
            return json_text(status, rejection.body());
        }
    };
    drop(reading);
    let id: String = challenge.challenge_id.chars().take(64).collect();
    let verified = parts.extensions.get::<Verified>();
    let (validator, dialect) = caller(verified);
    tracing::info!(challenge = ?id, validator, dialect, "challenge received");

    let wanted = miner.solver.wanted(&challenge);
    let recording = miner.recorder.as_ref().and_then(|recorder| recorder.begin(&challenge, wanted, verified));
    // Dropped with this future where the caller goes away, as validators do after 30 s.
    let told = Told { id: &id, validator: &validator, dialect: &dialect, mode: wanted.name() };
    let mut left = CallerLeft { miner: &miner, told: &told, began, recording, trace: &trace, armed: true };
    let work = async {
        let queueing = trace.stage("queue");
        let _turn = miner.admission.turn().await.map_err(|_| Failure::QueueFull)?;
        drop(queueing);
        miner.solver.solve(&challenge, deadline, &trace).await
    };
    let outcome = tokio::time::timeout_at(deadline, work).await;
    let outcome = outcome.unwrap_or_else(|_| Err(Failure::OutOfTime(miner.deadline.as_secs_f64())));
    left.armed = false;
    let recording = left.recording.take();
    let took = began.elapsed();
    match outcome {
        Ok(answer) => {
            miner.metrics.ended("answered", took);
            let seconds = took.as_secs_f64();
            let writing = trace.stage("write");
            let text = wire::answer::encode(&challenge.challenge_id, &answer, seconds);
            drop(writing);
            tracing::info!(challenge = ?id, bytes = text.len(), seconds, "challenge answered");
            told.end("answered", Some(StatusCode::OK.as_u16()), &trace);
            if let Some(recording) = recording {
                recording.answered(answer, text.len(), took, &trace);
            }
            json_text(StatusCode::OK, text)
        }
        Err(failure) => {
            miner.metrics.ended(failure.label(), took);
            tracing::error!(challenge = ?id, seconds = took.as_secs_f64(), "challenge failed: {failure}");
            told.end(failure.label(), Some(failure.status().as_u16()), &trace);
            if let Some(recording) = recording {
                recording.failed(&failure, took, &trace);
            }
            detail(failure.status(), &failure.detail())
        }
    }
}

/// Reads a challenge; a large one off the threads that serve sockets.
async fn parse(body: Bytes, content_type: Option<&str>) -> Result<ChallengeRequest, Rejection> {
    if body.len() <= LARGE_BODY {
        return request::parse(&body, content_type);
    }
    let content_type = content_type.map(str::to_owned);
    let parsing = tokio::task::spawn_blocking(move || request::parse(&body, content_type.as_deref()));
    // The reader does not panic; if it did, the body would be to blame.
    parsing.await.unwrap_or_else(|_| Err(Rejection::Invalid(Vec::new())))
}

/// Tells of a challenge whose caller went away before the answer: nothing else would.
struct CallerLeft<'a> {
    miner: &'a Miner,
    told: &'a Told<'a>,
    began: StdInstant,
    recording: Option<Recording<'a>>,
    trace: &'a Trace,
    armed: bool,
}

impl Drop for CallerLeft<'_> {
    fn drop(&mut self) {
        if self.armed {
            let took = self.began.elapsed();
            self.miner.metrics.ended("caller_left", took);
            let seconds = took.as_secs_f64();
            tracing::warn!(challenge = ?self.told.id, seconds, "the caller left before the answer");
            self.told.end("caller_left", None, self.trace);
            if let Some(recording) = self.recording.take() {
                recording.caller_left(took, self.trace);
            }
        }
    }
}

fn caller(verified: Option<&Verified>) -> (String, String) {
    let validator = verified.and_then(|verified| verified.validator);
    let dialect = verified.and_then(|verified| verified.signature.as_ref().map(|(_, dialect)| *dialect));
    let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    (text(validator.map(|v| v.to_string())), text(dialect.map(|d| d.to_string())))
}

/// When a request's head was there, among its extensions.
#[derive(Debug, Clone, Copy)]
struct Arrived(StdInstant);

async fn at_the_gate(State(miner): State<Arc<Miner>>, mut request: Request, next: Next) -> Response<Body> {
    request.extensions_mut().insert(Arrived(StdInstant::now()));
    let named = request.headers();
    let named = named.get("validator-hotkey").or_else(|| named.get("x-validator-hotkey")).cloned();
    let response = next.run(request).await;
    if let Some(refusal) = response.extensions().get::<Refusal>() {
        miner.metrics.refused(refusal.label());
        if let Some(recorder) = &miner.recorder {
            let claimed = claimed(named.as_ref(), miner.gate.stakes().as_deref());
            let claimed = claimed.map(|hotkey| hotkey.to_string());
            recorder.refusals.add(refusal.label(), claimed, &refusal.to_string());
        }
    }
    response
}

async fn docs_page(State(miner): State<Arc<Miner>>) -> Response<Body> {
    if miner.solver.predictor.ready() {
        page::page(docs::TITLE)
    } else {
        detail(StatusCode::SERVICE_UNAVAILABLE, &Failure::NotReady.to_string())
    }
}

async fn openapi(State(miner): State<Arc<Miner>>) -> Response<Body> {
    json_text(StatusCode::OK, docs::openapi(miner.gate.policy().verify))
}

async fn health(State(miner): State<Arc<Miner>>) -> Response<Body> {
    let now = miner.snapshot();
    let predictor = &miner.solver.predictor;
    let stale = miner.stake_source.is_some() && now.stakes.is_none_or(|(age, _)| age > miner.stake_max_age);
    let status = match (now.ready, stale) {
        (false, _) => "loading",
        (true, true) => "degraded",
        (true, false) => "ok",
    };
    let (backend, workers) = match predictor.as_ref() {
        Predictor::Baseline => ("baseline", None),
        Predictor::Model(_) => ("model", None),
        Predictor::Workers(pool) => ("workers", Some(pool.status())),
    };
    let body = json!({
        "status": status,
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": miner.started.elapsed().as_secs(),
        // No more than this: the page is public, and a worker's own words may hold paths.
        "predictor": {
            "ready": now.ready,
            "backend": backend,
            "needs": predictor.need().map(|need| need.to_string()),
            "workers": workers.map(|workers| json!({ "up": workers.up, "of": workers.count })),
        },
        "queue": { "working": now.working, "waiting": now.waiting, "capacity": miner.admission.capacity() },
        "stake_table": miner.stake_source.map(|source| json!({
            "source": source,
            "age_seconds": now.stakes.map(|(age, _)| age.as_secs()),
            "hotkeys": now.stakes.map_or(0, |(_, hotkeys)| hotkeys),
            "stale": stale,
        })),
        "nonces": now.nonces,
        "journal": now.journal_dropped.map(|dropped| json!({ "dropped": dropped })),
        "decoder": miner.solver.media.ffmpeg().known_version(),
    });
    let code = if now.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json_text(code, body.to_string())
}

async fn metrics(State(miner): State<Arc<Miner>>) -> Response<Body> {
    match miner.metrics.render(&miner.snapshot()) {
        Ok(text) => answer::metrics(text),
        Err(_) => detail(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error"),
    }
}

async fn not_found(uri: Uri) -> Response<Body> {
    const KNOWN: [&str; 6] = ["/challenge", "/docs", "/redoc", "/openapi.json", "/health", "/metrics"];
    answer::not_found(&uri, &KNOWN)
}

impl Miner {
    fn snapshot(&self) -> Snapshot {
        let stakes = self.gate.stakes();
        Snapshot {
            working: self.admission.working(),
            waiting: self.admission.waiting(),
            ready: self.solver.predictor.ready(),
            nonces: self.gate.nonces().len(),
            stakes: stakes.map(|table| (table.age(SystemTime::now()), table.len())),
            journal_dropped: self.recorder.as_ref().map(|recorder| recorder.journal.dropped()),
        }
    }
}
