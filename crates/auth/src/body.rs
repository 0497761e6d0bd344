//! Receiving a body: bounded in size and time, out of one budget of memory that all requests share.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt as _;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Bodies that may be in memory at once, as a multiple of the largest one allowed.
const BODIES_AT_ONCE: usize = 4;
/// What each body may have outside the shared budget, so that nobody who merely announces large
/// bodies can keep a challenge out: those have 200 bytes.
const FREE: usize = 64 * 1024;

/// Why a body was not received. `Display` is for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Above the limit.
    #[error("body is larger than {limit} bytes")]
    TooLarge {
        /// Bytes allowed.
        limit: usize,
    },
    /// It did not arrive in time, or broke off.
    #[error("body did not arrive: {0}")]
    Incomplete(&'static str),
    /// Too much is being received at once.
    #[error("too many large bodies at once")]
    Busy,
}

impl BodyError {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Incomplete(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    pub(crate) fn detail(&self) -> String {
        match self {
            Self::TooLarge { limit } => format!("Request body is larger than {limit} bytes"),
            Self::Incomplete(_) => "Request body did not arrive in time".to_owned(),
            Self::Busy => "Busy, try again later".to_owned(),
        }
    }

    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "body_too_large",
            Self::Incomplete(_) => "body_incomplete",
            Self::Busy => "busy",
        }
    }
}

/// The limits, and what is left of the budget.
#[derive(Debug)]
pub(crate) struct Intake {
    limit: usize,
    timeout: Duration,
    memory: Semaphore,
}

impl Intake {
    /// For bodies of at most `limit` bytes that arrive within `timeout`.
    pub(crate) fn new(limit: usize, timeout: Duration) -> Self {
        let budget = BODIES_AT_ONCE.saturating_mul(limit);
        Self { limit, timeout, memory: Semaphore::new(budget.min(Semaphore::MAX_PERMITS)) }
    }

    /// The whole body; one that is announced as too large is not begun.
    pub(crate) async fn receive(&self, headers: &HeaderMap, body: Body) -> Result<Bytes, BodyError> {
        let announced =
            headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        if announced.is_some_and(|length: usize| length > self.limit) {
            return Err(BodyError::TooLarge { limit: self.limit });
        }
        let collecting = tokio::time::timeout(self.timeout, self.collect(body));
        collecting.await.unwrap_or(Err(BodyError::Incomplete("it was too slow")))
    }

    /// Takes memory from the shared budget as bytes really arrive.
    async fn collect(&self, mut body: Body) -> Result<Bytes, BodyError> {
        let limit = self.limit;
        let mut whole = BytesMut::new();
        let mut held: Option<SemaphorePermit<'_>> = None;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| BodyError::Incomplete("the connection broke off"))?;
            let Ok(piece) = frame.into_data() else { continue };
            let length = whole.len() + piece.len();
            if length > limit {
                return Err(BodyError::TooLarge { limit });
            }
            let beyond = length.saturating_sub(FREE.max(whole.len()));
            if beyond > 0 {
                let more = u32::try_from(beyond).unwrap_or(u32::MAX);
                let permit = self.memory.try_acquire_many(more).map_err(|_| BodyError::Busy)?;
                match &mut held {
                    Some(held) => held.merge(permit),
                    None => held = Some(permit),
                }
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }
}
