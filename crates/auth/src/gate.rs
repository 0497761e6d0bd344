//! The rules as a tower layer for axum: limits on the body before anything is buffered, then the
//! checks, then the request with its body in memory and a [`Verified`] among its extensions.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use axum::body::Body;
use http::{HeaderValue, Request, Response, StatusCode, header};
use serde_json::Value;
use tower::{Layer, Service};

use crate::body::Intake;
use crate::{NonceStore, Policy, RETENTION, Refusal, StakeTable, StakesInForce, Verified, unix_nanos};

/// Limits of a [`Gate`].
#[derive(Debug, Clone)]
pub struct GateConfig {
    /// What is demanded of a caller.
    pub policy: Policy,
    /// Most nonces remembered.
    pub nonce_capacity: usize,
    /// Largest body in bytes.
    pub max_body: usize,
    /// Time for a whole body to arrive.
    pub body_timeout: Duration,
}

/// Policy, replay memory and stakes of one server.
#[derive(Debug)]
pub struct Gate {
    policy: Policy,
    nonces: NonceStore,
    stakes: StakesInForce,
    intake: Intake,
}

impl Gate {
    /// A gate without a stake table yet.
    #[must_use]
    pub fn new(config: GateConfig) -> Self {
        Self {
            policy: config.policy,
            nonces: NonceStore::new(config.nonce_capacity, RETENTION),
            stakes: StakesInForce::default(),
            intake: Intake::new(config.max_body, config.body_timeout),
        }
    }

    /// Puts a newer stake table in place; requests under way keep the one they began with.
    pub fn set_stakes(&self, table: StakeTable) {
        self.stakes.set(table);
    }

    /// The table in force.
    #[must_use]
    pub fn stakes(&self) -> Option<Arc<StakeTable>> {
        self.stakes.get()
    }

    /// Where the table in force is put, by whoever follows the stakes.
    #[must_use]
    pub fn stakes_in_force(&self) -> StakesInForce {
        self.stakes.clone()
    }

    /// The replay memory.
    #[must_use]
    pub fn nonces(&self) -> &NonceStore {
        &self.nonces
    }

    /// What is demanded of a caller.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    async fn admit(&self, request: Request<Body>) -> Result<Request<Body>, Refusal> {
        let (mut parts, body) = request.into_parts();
        let stakes = self.stakes.get();
        let claim =
            self.policy.check_headers(&parts.headers, stakes.as_deref(), unix_nanos(SystemTime::now()))?;
        let body = self.intake.receive(&parts.headers, body).await?;
        // The body may have taken its time, and an entry of the replay memory may have expired by now.
        let now = unix_nanos(SystemTime::now());
        let verified = claim.check_body(&body, now)?;
        if let Verified { validator: Some(validator), signature: Some((nonce, _)) } = &verified {
            self.nonces.remember(validator, nonce, now)?;
        }
        parts.extensions.insert(verified);
        Ok(Request::from_parts(parts, Body::from(body)))
    }
}

/// Applies a [`Gate`] to a route.
#[derive(Debug, Clone)]
pub struct GateLayer(pub Arc<Gate>);

impl<S> Layer<S> for GateLayer {
    type Service = GateService<S>;

    fn layer(&self, inner: S) -> GateService<S> {
        GateService { gate: Arc::clone(&self.0), inner }
    }
}

/// A route behind a [`Gate`]. A refusal's answer carries the [`Refusal`] among its extensions.
#[derive(Debug, Clone)]
pub struct GateService<S> {
    gate: Arc<Gate>,
    inner: S,
}

impl<S> Service<Request<Body>> for GateService<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let gate = Arc::clone(&self.gate);
        // The clone that was polled ready is the one to call.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        Box::pin(async move {
            let caller = request.headers().clone();
            match gate.admit(request).await {
                Ok(request) => inner.call(request).await,
                Err(refusal) => Ok(refuse(refusal, &caller)),
            }
        })
    }
}

fn refuse(refusal: Refusal, headers: &http::HeaderMap) -> Response<Body> {
    // Names of the security headers tell the dialect of a validator nobody has met yet.
    let spelled: Vec<_> = headers
        .keys()
        .map(http::HeaderName::as_str)
        .filter(|name| name.ends_with("hotkey") || name.ends_with("nonce") || name.ends_with("signature"))
        .take(16)
        .collect();
    let validator = headers.get("validator-hotkey").or_else(|| headers.get("x-validator-hotkey"));
    let validator: String =
        validator.and_then(|value| value.to_str().ok()).unwrap_or("-").chars().take(64).collect();
    tracing::warn!(status = refusal.status().as_u16(), validator, headers = ?spelled, "refused: {refusal}");

    let mut response = answer(refusal.status(), &refusal.detail());
    response.extensions_mut().insert(refusal);
    response
}

/// A refusal in FastAPI's shape.
pub(crate) fn answer(status: StatusCode, detail: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(serde_json::json!({ "detail": detail }).to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
