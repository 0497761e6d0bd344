//! The challenge server: sockets, routes and their answers.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant as StdInstant, SystemTime};

use adit_auth::{Gate, GateLayer, Refusal, Verified};
use adit_chain::stake_file;
use adit_media::{Ffmpeg, Media, MediaError, MediaLimits};
use adit_outbound::{Client, FetchError};
use adit_predictor::{Predictor, WorkerConfig, WorkerPool};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, Response, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::routing::{get, post};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::admission::Admission;
use crate::challenge::{Failure, Solver};
use crate::config::{Config, ConfigError, PredictorChoice};
use crate::metrics::{Metrics, Snapshot};
use crate::wire::{answer, request};
use crate::{docs, stakes};

/// Largest request head in bytes. A validator's has about 800.
const MAX_HEAD: usize = 32 * 1024;
/// Connections open at once.
const MAX_CONNECTIONS: usize = 1024;
/// What runs when the server is told to stop has this long to end.
const DRAIN: Duration = Duration::from_secs(30);
/// After a failed `accept` (no file descriptors left, say) the next try waits this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The port.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Address and port.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The HTTP client.
    #[error(transparent)]
    Client(#[from] FetchError),
    /// ffmpeg.
    #[error(transparent)]
    Decoder(#[from] MediaError),
}

impl StartError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Config(error) => error.hint(),
            Self::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse => {
                Some("another program has this port: stop it, or set MINER_PORT to a free one")
            }
            Self::Listen { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("ports below 1024 need a privilege: set MINER_PORT to a higher one")
            }
            Self::Decoder(_) => {
                Some("install ffmpeg 5 or newer (`apt install ffmpeg`), or set ADIT_FFMPEG to its path")
            }
            _ => None,
        }
    }
}

/// A server that has its port, its stake table and its predictor, and begins to answer with
/// [`Server::serve`].
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    head_timeout: Duration,
    miner: Arc<Miner>,
    following: Option<AbortOnDrop>,
}

/// What the routes share.
#[derive(Debug)]
struct Miner {
    gate: Arc<Gate>,
    solver: Solver,
    admission: Admission,
    metrics: Metrics,
    deadline: Duration,
    stake_max_age: Duration,
    stake_gate: bool,
    decoder: String,
    started: StdInstant,
}

#[derive(Debug)]
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Server {
    /// Takes the port first, so that a second miner on it stops before it has loaded anything, then
    /// reads the stake table, finds the decoder and starts the predictor. Workers load in the
    /// background: `/docs` and `/health` say when they are ready.
    ///
    /// # Errors
    /// Anything that would otherwise fail on the first request.
    pub async fn bind(config: Config) -> Result<Self, StartError> {
        let listening = |source| StartError::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(listening)?;
        let address = listener.local_addr().map_err(listening)?;

        let policy = config.gate.policy.clone();
        let gate = Arc::new(Gate::new(config.gate));
        if let Some(file) = &config.stake_file {
            gate.set_stakes(stake_file::read(file).map_err(ConfigError::from)?);
        }
        let ffmpeg = Ffmpeg::find(Some(&config.ffmpeg)).await?;
        let decoder = ffmpeg.version().to_owned();
        let limits = MediaLimits { max_bytes: config.max_clip_bytes, ..MediaLimits::default() };
        let media = Media::new(Client::new(config.guard)?, ffmpeg, limits);
        let predictor = Arc::new(start_predictor(config.predictor));

        log_security(policy.stake_gate, policy.verify);
        tracing::info!("Predictor: {}", predictor.describe());
        tracing::info!("Decoder: {decoder}");

        let follow = |file| AbortOnDrop(tokio::spawn(stakes::follow(Arc::clone(&gate), file)));
        let following = config.stake_file.map(follow);
        let miner = Miner {
            solver: Solver { media, predictor, mode: config.mode },
            admission: Admission::new(config.concurrency, config.queue),
            metrics: Metrics::new(),
            deadline: config.deadline,
            stake_max_age: config.stake_max_age,
            stake_gate: policy.stake_gate,
            decoder,
            started: StdInstant::now(),
            gate,
        };
        Ok(Self { listener, address, head_timeout: config.head_timeout, miner: Arc::new(miner), following })
    }

    /// Address and port in use.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The model, to wait until it is loaded.
    #[must_use]
    pub fn predictor(&self) -> Arc<Predictor> {
        Arc::clone(&self.miner.solver.predictor)
    }

    /// Serves until `stop` is ready, then lets what is under way end, for 30 s at most.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        let app = router(Arc::clone(&self.miner));
        let service = TowerToHyperService::new(app);
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(self.head_timeout).max_buf_size(MAX_HEAD);
        let graceful = GracefulShutdown::new();
        let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        tokio::pin!(stop);
        loop {
            // At the limit the kernel's backlog holds what comes.
            let accept = async {
                let place = Arc::clone(&connections).acquire_owned().await;
                (self.listener.accept().await, place)
            };
            let (stream, place) = tokio::select! {
                () = &mut stop => break,
                (accepted, place) = accept => match accepted {
                    Ok((stream, _)) => (stream, place),
                    Err(error) => {
                        tracing::warn!("accepting a connection: {error}");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                },
            };
            // Answers are one small write each; waiting to fill a packet only delays them.
            let _ = stream.set_nodelay(true);
            let connection = http.serve_connection(TokioIo::new(stream), service.clone());
            let connection = graceful.watch(connection);
            tokio::spawn(async move {
                let _place = place;
                if let Err(error) = connection.await {
                    tracing::debug!("connection: {error}");
                }
            });
        }
        drop(self.listener);
        drop(self.following);
        tracing::info!("stopping: letting {} challenges end", self.miner.admission.working());
        if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
            tracing::warn!("some challenges did not end within {} s", DRAIN.as_secs());
        }
        self.miner.solver.predictor.shutdown().await;
    }
}

fn start_predictor(choice: PredictorChoice) -> Predictor {
    let (config, workers, environment) = match choice {
        PredictorChoice::Baseline => return Predictor::Baseline,
        PredictorChoice::Python { python, file, workers, environment } => {
            (WorkerConfig::python(&python, &file), workers, environment)
        }
        PredictorChoice::Command { command, workers, environment } => {
            let program = command.first().cloned().unwrap_or_default();
            let mut config = WorkerConfig::new(command.join(" "), program);
            config.args = command.into_iter().skip(1).map(Into::into).collect();
            (config, workers, environment)
        }
    };
    let environment = adit_predictor::Environment::inherited(&environment);
    Predictor::Workers(WorkerPool::start(WorkerConfig { count: workers, environment, ..config }))
}

/// The lines that the guide promises.
fn log_security(stake_gate: bool, verify: bool) {
    let word = |on: bool| if on { "ENABLED" } else { "DISABLED" };
    tracing::info!("Blacklist: {}", word(stake_gate));
    tracing::info!("Verify: {}", word(verify));
    if !stake_gate && !verify {
        tracing::warn!("All security DISABLED - local testing only");
    }
}

fn router(miner: Arc<Miner>) -> Router {
    let gated = post(challenge)
        .layer(GateLayer(Arc::clone(&miner.gate)))
        .layer(middleware::from_fn_with_state(Arc::clone(&miner), count_refusals));
    Router::new()
        .route("/challenge", gated)
        .route("/docs", get(docs_page))
        .route("/docs/{asset}", get(docs_asset))
        .route("/redoc", get(|| async { docs::redoc() }))
        .route("/openapi.json", get(openapi))
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .method_not_allowed_fallback(|| async {
            detail(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
        })
        .fallback(not_found)
        .with_state(miner)
}

async fn challenge(State(miner): State<Arc<Miner>>, request: Request) -> Response<Body> {
    let began = StdInstant::now();
    let deadline = Instant::now() + miner.deadline;
    let (parts, body) = request.into_parts();
    // The gate has bounded the body and put it in memory; this only takes it out again.
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        return detail(StatusCode::BAD_REQUEST, "There was an error parsing the body");
    };
    let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let challenge = match request::parse(&body, content_type) {
        Ok(challenge) => challenge,
        Err(rejection) => {
            miner.metrics.ended("invalid", began.elapsed());
            tracing::warn!("invalid challenge: {rejection}");
            let status = StatusCode::from_u16(rejection.status()).unwrap_or(StatusCode::UNPROCESSABLE_ENTITY);
            return json_text(status, rejection.body());
        }
    };
    drop(body);
    let id: String = challenge.challenge_id.chars().take(64).collect();
    let (validator, dialect) = caller(&parts.extensions);
    tracing::info!(challenge = ?id, validator, dialect, "challenge received");

    let work = async {
        let _turn = miner.admission.turn().await.map_err(|_| Failure::QueueFull)?;
        miner.solver.solve(&challenge, deadline).await
    };
    let outcome = tokio::time::timeout_at(deadline, work).await;
    let outcome = outcome.unwrap_or_else(|_| Err(Failure::OutOfTime(miner.deadline.as_secs_f64())));
    let took = began.elapsed();
    match outcome {
        Ok(answer) => {
            miner.metrics.ended("answered", took);
            let seconds = took.as_secs_f64();
            let text = answer::encode(&challenge.challenge_id, &answer, seconds);
            tracing::info!(challenge = ?id, bytes = text.len(), seconds, "challenge answered");
            json_text(StatusCode::OK, text)
        }
        Err(failure) => {
            miner.metrics.ended(failure.label(), took);
            tracing::error!(challenge = ?id, seconds = took.as_secs_f64(), "challenge failed: {failure}");
            detail(failure.status(), &failure.detail())
        }
    }
}

fn caller(extensions: &axum::http::Extensions) -> (String, String) {
    let verified = extensions.get::<Verified>();
    let validator = verified.and_then(|verified| verified.validator);
    let dialect = verified.and_then(|verified| verified.signature.as_ref().map(|(_, dialect)| *dialect));
    let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    (text(validator.map(|v| v.to_string())), text(dialect.map(|d| d.to_string())))
}

async fn count_refusals(State(miner): State<Arc<Miner>>, request: Request, next: Next) -> Response<Body> {
    let response = next.run(request).await;
    if let Some(refusal) = response.extensions().get::<Refusal>() {
        miner.metrics.refused(refusal.label());
    }
    response
}

async fn docs_page(State(miner): State<Arc<Miner>>) -> Response<Body> {
    if miner.solver.predictor.ready() {
        docs::docs()
    } else {
        detail(StatusCode::SERVICE_UNAVAILABLE, &Failure::NotReady.to_string())
    }
}

async fn docs_asset(Path(name): Path<String>) -> Response<Body> {
    docs::asset(&name).unwrap_or_else(|| detail(StatusCode::NOT_FOUND, "Not Found"))
}

async fn openapi(State(miner): State<Arc<Miner>>) -> Response<Body> {
    json_text(StatusCode::OK, docs::openapi(miner.gate.policy().verify))
}

async fn health(State(miner): State<Arc<Miner>>) -> Response<Body> {
    let now = miner.snapshot();
    let predictor = &miner.solver.predictor;
    let stale = miner.stake_gate && now.stakes.is_none_or(|(age, _)| age > miner.stake_max_age);
    let status = match (now.ready, stale) {
        (false, _) => "loading",
        (true, true) => "degraded",
        (true, false) => "ok",
    };
    let body = json!({
        "status": status,
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": miner.started.elapsed().as_secs(),
        // No more than this: the page is public, and a worker's own words may hold paths.
        "predictor": { "ready": now.ready, "needs": predictor.need().map(|need| need.to_string()) },
        "queue": { "working": now.working, "waiting": now.waiting, "capacity": miner.admission.capacity() },
        "stake_table": now.stakes.map(|(age, hotkeys)| json!({
            "age_seconds": age.as_secs(), "hotkeys": hotkeys, "stale": stale,
        })),
        "nonces": now.nonces,
        "decoder": miner.decoder,
    });
    let code = if now.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json_text(code, body.to_string())
}

async fn metrics(State(miner): State<Arc<Miner>>) -> Response<Body> {
    let Ok(text) = miner.metrics.render(&miner.snapshot()) else {
        return detail(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error");
    };
    let mut response = Response::new(Body::from(text));
    let content_type = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

/// 404, or for a known path with a slash at its end the redirect that Starlette makes.
async fn not_found(uri: Uri) -> Response<Body> {
    const KNOWN: [&str; 6] = ["/challenge", "/docs", "/redoc", "/openapi.json", "/health", "/metrics"];
    let trimmed = uri.path().strip_suffix('/').unwrap_or_default();
    let Some(target) = KNOWN.into_iter().find(|known| *known == trimmed) else {
        return detail(StatusCode::NOT_FOUND, "Not Found");
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    response.headers_mut().insert(header::LOCATION, HeaderValue::from_static(target));
    response
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
        }
    }
}

/// FastAPI's shape of an error.
fn detail(status: StatusCode, text: &str) -> Response<Body> {
    json_text(status, json!({ "detail": text }).to_string())
}

fn json_text(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
