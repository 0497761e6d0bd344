//! The protocol over HTTP/REST.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use adit_outbound::{Client, FetchError, Limits, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::super::tensor::{Signature, Tensor};
use super::error::{Failure, shown};
use super::{Server, json};

/// Metadata and the words about readiness are short.
pub(super) const SHORT: u64 = 1 << 20;

#[derive(Debug)]
pub(super) struct Rest {
    client: Client,
    server: String,
    model: String,
    headers: HeaderMap,
    max_bytes: u64,
    /// Whether the server takes and gives tensors as bytes; known from its metadata.
    binary: AtomicBool,
}

impl Rest {
    pub(super) fn new(client: Client, server: &Server, token: Option<HeaderValue>, max_bytes: u64) -> Self {
        let headers = token.map(|token| (header::AUTHORIZATION, token)).into_iter().collect();
        Self {
            client,
            server: format!("{}/v2", server.root),
            model: server.to_string(),
            headers,
            max_bytes,
            binary: AtomicBool::new(false),
        }
    }

    pub(super) async fn ready(&self, until: Instant) -> Result<(), Failure> {
        let answer = self.get(&format!("{}/ready", self.model), until).await?;
        // Some servers answer 200 and say in the body that they are not.
        match serde_json::from_slice::<serde_json::Value>(&answer.body) {
            Ok(body) if body.get("ready") == Some(&false.into()) => {
                Err(Failure::Broken("says that the model is not ready".to_owned()))
            }
            _ => Ok(()),
        }
    }

    pub(super) async fn signature(&self, until: Instant) -> Result<Signature, Failure> {
        let signature = json::metadata(&self.get(&self.model, until).await?.body)?;
        // A server without metadata of its own takes JSON.
        let server = self.get(&self.server, until).await;
        let binary = server.is_ok_and(|server| json::takes_binary(&server.body));
        self.binary.store(binary, Ordering::Relaxed);
        Ok(signature)
    }

    async fn get(&self, url: &str, until: Instant) -> Result<Response, Failure> {
        self.send(Method::GET, url, self.headers.clone(), Vec::new(), SHORT, until).await
    }

    pub(super) async fn infer(
        &self,
        signature: &Arc<Signature>,
        input: &Arc<Tensor>,
        until: Instant,
    ) -> Result<Vec<Tensor>, Failure> {
        let binary = self.binary.load(Ordering::Relaxed);
        let url = format!("{}/infer", self.model);
        let mut headers = self.headers.clone();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if binary {
            let (body, json_length) = json::request(signature, input, true)?;
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
            if let Some(length) = json_length {
                headers.insert(HeaderName::from_static(json::JSON_LENGTH), HeaderValue::from(length));
            }
            let answer = self.send(Method::POST, &url, headers, body, self.max_bytes, until).await?;
            return json::answer(signature, &answer.headers, &answer.body);
        }
        // Numbers as text take long enough to be in the way of others.
        let ended = |_| Failure::Broken("was not asked: this process is ending".to_owned());
        let (asked, given) = (Arc::clone(signature), Arc::clone(input));
        let (body, _) =
            spawn_blocking(move || json::request(&asked, &given, false)).await.map_err(ended)??;
        let answer = self.send(Method::POST, &url, headers, body, self.max_bytes, until).await?;
        let asked = Arc::clone(signature);
        spawn_blocking(move || json::answer(&asked, &answer.headers, &answer.body)).await.map_err(ended)?
    }

    async fn send(
        &self,
        method: Method,
        url: &str,
        headers: HeaderMap,
        body: Vec<u8>,
        max_bytes: u64,
        until: Instant,
    ) -> Result<Response, Failure> {
        let limit = until.saturating_duration_since(Instant::now());
        let limits = Limits { idle: limit, redirects: 0, ..Limits::new(until, max_bytes) };
        let body = Bytes::from(body);
        let request = || self.client.request(method.clone(), url, headers.clone(), body.clone(), &limits);
        let mut answer = request().await;
        // As it looks when a kept connection was closed just as the request was put on it. Nothing that is asked here
        // does harm when it is asked twice.
        if let Err(FetchError::Lost { .. }) = answer {
            answer = request().await;
        }
        let answer = answer.map_err(|error| Failure::of(&error, limit))?;
        match refusal(&answer) {
            None => Ok(answer),
            Some(failure) => Err(failure),
        }
    }
}

/// What an answer means that is no success.
pub(super) fn refusal(answer: &Response) -> Option<Failure> {
    let status = answer.status;
    if status.is_success() {
        return None;
    }
    let said = json::said(&answer.body);
    let hint = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            "; set ADIT_MODEL_SERVER_TOKEN to a token that it accepts"
        }
        StatusCode::PAYLOAD_TOO_LARGE => {
            "; raise the server's limit on the size of a request, or lower batch in model.toml"
        }
        _ => "; see that model.toml and the model on the server belong together",
    };
    Some(match status {
        StatusCode::TOO_MANY_REQUESTS => Failure::Busy { said, wait: answer.retry_after(SystemTime::now()) },
        // Another server may well have the model.
        StatusCode::NOT_FOUND | StatusCode::REQUEST_TIMEOUT => {
            Failure::Broken(format!("answered {}: {said}", shown(&status.to_string())))
        }
        _ if status.is_client_error() => Failure::Refused { status: status.to_string(), said, hint },
        _ if status.is_redirection() => Failure::Broken(format!(
            "answered {status}; redirects are not followed: name the server that it leads to"
        )),
        _ => Failure::Broken(format!("answered {status}: {said}")),
    })
}
