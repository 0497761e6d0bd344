//! One request and its answer: headers, multipart bodies, limits, and the key, which is kept out of everything else.

use std::time::Duration;

use adit_outbound::{Download, FetchError, Limits, Response};
use adit_provenance::Format;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::time::Instant;

use super::plan::{Body, Part, Plan};
use super::{FetchMediaError, Kind, Location, Provider, Service, ServiceError, Step, is_of, runway};
use crate::Modality;

/// Largest answer to a paid call: a picture of 4K in Base64 has some 40 MB.
const MAX_ANSWER: u64 = 64 << 20;
/// Largest answer of a poll, or list of jobs.
const MAX_STATUS: u64 = 1 << 20;
const MAX_PICTURE: u64 = 64 << 20;
const MAX_VIDEO: u64 = 1 << 30;
/// Longest wait for one answer that costs nothing.
const STATUS: Duration = Duration::from_secs(15);
/// Longest silence in the middle of a download.
const IDLE: Duration = Duration::from_secs(30);

impl Service {
    /// Sends a plan and reads the whole answer, which is a success.
    pub(super) async fn pay(&self, plan: &Plan, deadline: Instant) -> Result<Response, ServiceError> {
        let (content_type, body) = encode(&plan.body);
        let mut headers = self.headers(match self.provider {
            Provider::StabilityAi => "image/*",
            Provider::OpenRouter => "*/*",
            Provider::OpenAi | Provider::Runway => "application/json",
        });
        headers.insert(header::CONTENT_TYPE, content_type);
        let limits = Limits { idle: IDLE, ..Limits::new(deadline, MAX_ANSWER) };
        let url = format!("{}{}", self.base_url, plan.path);
        let answer = self.api.request(Method::POST, &url, headers, body, &limits).await;
        let answer = answer.map_err(|error| self.unanswered(Step::Start, &error))?;
        if answer.status.is_success() { Ok(answer) } else { Err(self.refused(Step::Start, &answer)) }
    }

    /// A request that costs nothing and is answered by JSON.
    pub(super) async fn ask(
        &self,
        step: Step,
        method: Method,
        path: &str,
        deadline: Instant,
    ) -> Result<Value, ServiceError> {
        let limits = Limits::new(deadline.min(Instant::now() + STATUS), MAX_STATUS);
        let url = format!("{}{path}", self.base_url);
        let answer =
            self.api.request(method, &url, self.headers("application/json"), Bytes::new(), &limits).await;
        let answer = answer.map_err(|error| self.unanswered(step, &error))?;
        if !answer.status.is_success() {
            return Err(self.refused(step, &answer));
        }
        serde_json::from_slice(&answer.body)
            .map_err(|_| self.error(step, Kind::Transient, "its answer is no JSON"))
    }

    pub(super) async fn download(
        &self,
        location: &Location,
        modality: Modality,
        file: &mut (impl AsyncWrite + Unpin),
        deadline: Instant,
    ) -> Result<u64, FetchMediaError> {
        let max_bytes = match modality {
            Modality::Image => MAX_PICTURE,
            Modality::Video => MAX_VIDEO,
        };
        let limits = Limits { idle: IDLE, ..Limits::new(deadline, max_bytes) };
        let failed = |error: FetchError| match (&error, location) {
            // What a store answers once a signed link is too old.
            (FetchError::Status { status: 401 | 403 | 404 | 410, .. }, Location::Url(_)) => {
                self.error(Step::Fetch, Kind::Expired, &error.to_string())
            }
            _ => self.unanswered(Step::Fetch, &error),
        };
        let mut download = match location {
            Location::Url(url) => self.media.get(url, &limits).await,
            Location::Content(id) => {
                let url = format!("{}/videos/{}/content", self.base_url, id.as_str());
                let accept = if self.provider == Provider::OpenAi { "application/binary" } else { "*/*" };
                self.media.get_with(&url, self.headers(accept), &limits).await
            }
        }
        .map_err(&failed)?;

        let head = read_head(&mut download).await.map_err(&failed)?;
        if !is_of(&head, modality) {
            let what = if head.is_empty() { "an empty body".to_owned() } else { format!("no {modality}") };
            return Err(self.error(Step::Fetch, Kind::Transient, &format!("it sent {what}")).into());
        }
        let mut written = 0;
        let mut next = Some(Bytes::from(head));
        while let Some(chunk) = next {
            file.write_all(&chunk).await.map_err(FetchMediaError::Write)?;
            written += chunk.len() as u64;
            next = download.chunk().await.map_err(&failed)?;
        }
        file.flush().await.map_err(FetchMediaError::Write)?;
        Ok(written)
    }

    fn headers(&self, accept: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::from_iter([
            (header::AUTHORIZATION, self.authorization.clone()),
            (header::ACCEPT, HeaderValue::from_static(accept)),
        ]);
        if self.provider == Provider::Runway {
            let name = HeaderName::from_static("x-runway-version");
            headers.insert(name, HeaderValue::from_static(runway::VERSION));
        }
        headers
    }

    /// A text that a provider may have put the key into.
    pub(super) fn without_key(&self, text: String) -> String {
        text.replace(self.key.expose_secret(), "…")
    }
}

/// The first chunks, until there is enough to tell what they are.
async fn read_head(download: &mut Download) -> Result<Vec<u8>, FetchError> {
    let mut head = Vec::new();
    while head.len() < Format::HEAD
        && let Some(chunk) = download.chunk().await?
    {
        head.extend_from_slice(&chunk);
    }
    Ok(head)
}

fn encode(body: &Body) -> (HeaderValue, Bytes) {
    match body {
        Body::Json(json) => (HeaderValue::from_static("application/json"), json.to_string().into()),
        Body::Multipart(parts) => multipart(parts),
    }
}

fn multipart(parts: &[(&'static str, Part)]) -> (HeaderValue, Bytes) {
    let holds = |boundary: &str| {
        parts.iter().any(|(_, part)| matches!(part, Part::Text(text) if text.contains(boundary)))
    };
    let boundary = (0u64..)
        .map(|n| format!("adit-{n:016}"))
        .find(|boundary| !holds(boundary))
        .expect("a text holds finitely many of them");
    let mut body = String::new();
    for (name, part) in parts {
        let (filename, content) = match part {
            Part::Text(text) => (String::new(), text.as_str()),
            Part::EmptyFile => (format!("; filename=\"{name}\""), ""),
        };
        body += &format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"{filename}\r\n\r\n{content}\r\n"
        );
    }
    body += &format!("--{boundary}--\r\n");
    let content_type = format!("multipart/form-data; boundary={boundary}");
    (HeaderValue::try_from(content_type).expect("letters and digits"), body.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boundary_is_in_none_of_the_parts() {
        let hostile = format!("--adit-{:016}\r\nand adit-{:016}", 0, 1);
        let (content_type, body) =
            multipart(&[("prompt", Part::Text(hostile.clone())), ("none", Part::EmptyFile)]);
        assert_eq!(content_type, format!("multipart/form-data; boundary=adit-{:016}", 2));
        let expected = format!(
            "--adit-{n:016}\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\n{hostile}\r\n\
             --adit-{n:016}\r\nContent-Disposition: form-data; name=\"none\"; filename=\"none\"\r\n\r\n\r\n\
             --adit-{n:016}--\r\n",
            n = 2
        );
        assert_eq!(body, expected);
    }
}
