//! The rules on axum routes: headers, then the body under limits, then the request with its body in memory
//! and a [`Verified`](super::Verified) among its extensions.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use adit_keys::Hotkey;
use axum::body::Body;
use axum::extract::State;
use axum::middleware::Next;
use http::{HeaderMap, Request, Response};

use super::policy::take;
use super::{Policy, Refusal, SIGNED_BY, retention};
use crate::body::Intake;
use crate::gate::answer;
use crate::{NonceStore, StakeTable, StakesInForce, unix_nanos};

/// Limits of a [`Gate`].
#[derive(Debug, Clone)]
pub struct GateConfig {
    /// What is demanded of a caller.
    pub policy: Policy,
    /// Most uuids remembered.
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
    /// A gate without a stake table yet, so that nobody passes.
    #[must_use]
    pub fn new(config: GateConfig) -> Self {
        Self {
            policy: config.policy,
            nonces: NonceStore::new(config.nonce_capacity, retention(config.body_timeout)),
            stakes: StakesInForce::default(),
            intake: Intake::new(config.max_body, config.body_timeout),
        }
    }

    /// Puts a newer stake table in place. It must list every hotkey of the subnet, those without stake too.
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

    async fn check(&self, request: Request<Body>) -> Result<Request<Body>, Refusal> {
        let arrived = unix_nanos(SystemTime::now());
        let (mut parts, body) = request.into_parts();
        let claim = self.policy.check_headers(&parts.headers, self.stakes.get().as_deref(), arrived)?;
        let body = self.intake.receive(&parts.headers, body).await?;
        let verified = claim.check_body(&body)?;
        // The body may have taken its time, and an entry of the replay memory may have expired by now.
        self.nonces.remember(&verified.signer, &verified.uuid, unix_nanos(SystemTime::now()))?;
        parts.extensions.insert(verified);
        Ok(Request::from_parts(parts, Body::from(body)))
    }
}

/// The [`Gate`] as a middleware. A refusal's answer carries the [`Refusal`] among its extensions.
///
/// Upstream answers 404 and 405 to anybody. So does a router with this on each of its
/// [`MethodRouter`](axum::routing::MethodRouter)s: `get(health).route_layer(from_fn_with_state(gate, admit))`.
/// On the whole router, it would also stand before 405.
pub async fn admit(State(gate): State<Arc<Gate>>, request: Request<Body>, next: Next) -> Response<Body> {
    let signer = signer(request.headers());
    match gate.check(request).await {
        Ok(request) => next.run(request).await,
        Err(refusal) => {
            tracing::warn!(
                status = refusal.status().as_u16(),
                signer = signer.map(tracing::field::display),
                "refused: {refusal}"
            );
            let mut response = answer(refusal.status(), &refusal.detail().into());
            response.extensions_mut().insert(refusal);
            response
        }
    }
}

/// Who is said to have signed, for the log.
fn signer(headers: &HeaderMap) -> Option<Hotkey> {
    take(headers, SIGNED_BY)?.parse().ok()
}
