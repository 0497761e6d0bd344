//! The body of an answer, chunk by chunk, under the caller's limits.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header, response::Parts};
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::{
    FetchError, Limits, Response,
    client::{host, out_of_time},
};

/// A body that is being received. Dropping it ends the transfer.
#[derive(Debug)]
pub struct Download {
    url: Url,
    host: String,
    head: Parts,
    body: reqwest::Body,
    trailers: HeaderMap,
    limits: Limits,
    length: Option<u64>,
    start: u64,
    total: Option<u64>,
    received: u64,
}

impl Download {
    pub(crate) fn start_reading(
        url: Url,
        response: reqwest::Response,
        limits: Limits,
    ) -> Result<Self, FetchError> {
        let host = host(&url);
        let length = response.content_length();
        if length.is_some_and(|length| length > limits.max_bytes) {
            return Err(FetchError::TooLarge { host, limit: limits.max_bytes });
        }
        let (start, total) = if response.status() == StatusCode::PARTIAL_CONTENT {
            content_range(response.headers()).unwrap_or((0, None))
        } else {
            (0, length)
        };
        let (head, body) = http::Response::from(response).into_parts();
        let trailers = HeaderMap::new();
        Ok(Self { url, host, head, body, trailers, limits, length, start, total, received: 0 })
    }

    /// The URL after redirects.
    #[must_use]
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Host and port, as error messages show them.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Bytes of this body, if the server says.
    #[must_use]
    pub fn content_length(&self) -> Option<u64> {
        self.length
    }

    /// Where in the whole resource this body starts: 0 unless a range was asked for and granted.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Bytes of the whole resource, if the server says.
    #[must_use]
    pub fn total(&self) -> Option<u64> {
        self.total
    }

    /// The media type that the server claims, as it is written.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.header(header::CONTENT_TYPE)
    }

    /// Whether the server announces Range support.
    #[must_use]
    pub fn accepts_ranges(&self) -> bool {
        self.header(header::ACCEPT_RANGES).is_some_and(|value| value.trim().eq_ignore_ascii_case("bytes"))
    }

    fn header(&self, name: header::HeaderName) -> Option<&str> {
        self.head.headers.get(name)?.to_str().ok()
    }

    /// The next piece of the body; `None` after a whole body.
    ///
    /// # Errors
    /// `TooLarge`, `Idle`, `Deadline`, or `Interrupted` when the body ends before Content-Length or before
    /// the last chunk.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, FetchError> {
        let until = (Instant::now() + self.limits.idle).min(self.limits.deadline);
        let chunk = loop {
            let frame = match timeout_at(until, self.body.frame()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(None) => break None,
                Ok(Some(Err(error))) => {
                    tracing::debug!(error = %error.without_url(), "body interrupted");
                    return Err(self.interrupted());
                }
                Err(_) => return Err(out_of_time(&self.host, &self.limits, self.received)),
            };
            match frame.into_data() {
                Ok(chunk) => break Some(chunk),
                Err(frame) => self.trailers.extend(frame.into_trailers().unwrap_or_default()),
            }
        };
        let Some(chunk) = chunk else {
            return match self.length {
                Some(length) if self.received < length => Err(self.interrupted()),
                _ => Ok(None),
            };
        };
        self.received += chunk.len() as u64;
        if self.received > self.limits.max_bytes {
            return Err(FetchError::TooLarge { host: self.host.clone(), limit: self.limits.max_bytes });
        }
        Ok(Some(chunk))
    }

    /// The rest of the body in one piece.
    ///
    /// # Errors
    /// As [`Download::chunk`].
    pub async fn bytes(self) -> Result<Bytes, FetchError> {
        Ok(self.response().await?.body)
    }

    /// The rest of the body with what came before and after it.
    pub(crate) async fn response(mut self) -> Result<Response, FetchError> {
        let mut body = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            body.extend_from_slice(&chunk);
        }
        let Parts { status, headers, .. } = self.head;
        Ok(Response { status, headers, body: body.freeze(), trailers: self.trailers })
    }

    fn interrupted(&self) -> FetchError {
        FetchError::Interrupted { host: self.host.clone(), received: self.received, expected: self.length }
    }
}

/// Start and total of `Content-Range: bytes START-END/TOTAL`.
fn content_range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let text = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
    let (span, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let start = span.split_once('-')?.0.trim().parse().ok()?;
    Some((start, total.trim().parse().ok()))
}
