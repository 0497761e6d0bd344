//! The miner's side of the webhook: media, or the report that there will be none, posted to the validator that asked
//! (generative reference, section 5).

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use adit_auth::epistula;
use adit_keys::{Hotkey, Keypair};
use adit_outbound::{Client, FetchError, Limits, Response};
use http::{HeaderMap, HeaderValue, header};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::fs::File;
use tokio::time::Instant;
use uuid::Uuid;

use crate::Modality;
use crate::task::{Answer, Media, Task, UnixMs};

/// A validator checks the media while the connection is open, and a video takes it some time. One that has accepted
/// after we gave up looks like a failure.
const PATIENCE: Duration = Duration::from_secs(180);
/// Longest answer that is read.
const MAX_ANSWER: u64 = 64 * 1024;
/// Longest text in a header, in bytes.
const MAX_HEADER: usize = 500;
/// Longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// What a validator says of a task that it does not know, or has closed. It is a 200 all the same.
const NOT_FOUND: &str = "Task not found in current session";

/// Posts to webhooks, each try signed afresh.
#[derive(Clone)]
pub struct Webhook {
    pair: Arc<Keypair>,
    client: Client,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook").finish_non_exhaustive()
    }
}

impl Webhook {
    /// Signs with the miner's hotkey. The client's guard decides where a validator may send the miner's requests.
    #[must_use]
    pub fn new(pair: Arc<Keypair>, client: Client) -> Self {
        Self { pair, client }
    }

    /// Posts a task's media, the bytes as they are in `file`.
    ///
    /// # Errors
    /// Where the file cannot be read: nothing was sent.
    pub async fn media(
        &self,
        task: &Task,
        media: &Media,
        file: &Path,
        now: UnixMs,
    ) -> std::io::Result<Answer> {
        let file = File::open(file).await?;
        let mut body_sha256 = [0; 32];
        if hex::decode_to_slice(&media.sha256, &mut body_sha256).is_err() {
            return Ok(Answer::Undeliverable("its hash is none".to_owned()));
        }
        let Some(mut headers) = self.signed(task, &body_sha256) else { return Ok(unsigned()) };
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(content_type(task.modality, &media.extension)),
        );
        headers.insert("task-id", plain(&task.id.to_string()));
        headers.insert("task-status", HeaderValue::from_static("completed"));
        let limits = Limits::new(Instant::now() + PATIENCE, MAX_ANSWER);
        let url = &task.request.webhook_url;
        Ok(judge(self.client.upload(url, headers, file, media.bytes, &limits).await, task, now))
    }

    /// Posts the report that there will be no media.
    pub async fn failure(&self, task: &Task, why: &str, now: UnixMs) -> Answer {
        let body = json!({
            "task_id": task.id.to_string(),
            "task_status": "failed",
            "error_message": why,
            "modality": task.modality.as_str(),
        })
        .to_string();
        let Some(mut headers) = self.signed(task, &Sha256::digest(&body).into()) else { return unsigned() };
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert("task-id", plain(&task.id.to_string()));
        headers.insert("task-status", HeaderValue::from_static("failed"));
        headers.insert("error-message", plain(why));
        let limits = Limits::new(Instant::now() + PATIENCE, MAX_ANSWER);
        judge(self.client.post(&task.request.webhook_url, headers, body, &limits).await, task, now)
    }

    /// The Epistula headers of one try, for the validator that asked. `None` where that is no hotkey.
    fn signed(&self, task: &Task, body_sha256: &[u8; 32]) -> Option<HeaderMap> {
        let validator: Hotkey = task.signed_by.parse().ok()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        epistula::sign(&self.pair, body_sha256, &Uuid::new_v4().to_string(), now, Some(&validator)).ok()
    }
}

fn unsigned() -> Answer {
    Answer::Undeliverable("it was not asked for by a hotkey".to_owned())
}

/// What a try came to.
fn judge(answer: Result<Response, FetchError>, task: &Task, now: UnixMs) -> Answer {
    let later = |why: String| Answer::Later { due_at: now.saturating_add(pause(task.tries)), why };
    match answer {
        Ok(answer) => {
            let words = String::from_utf8_lossy(&answer.body).trim().to_owned();
            match answer.status.as_u16() {
                200..=299 if words.contains(NOT_FOUND) => Answer::NotFound(words),
                200..=299 => Answer::Acknowledged(words),
                // The validator has closed the task, or a proxy will never let it through.
                status @ (400 | 413) => Answer::Refused(format!("status {status}: {words}")),
                status => later(format!("status {status}: {words}")),
            }
        }
        Err(error @ (FetchError::Refused { .. } | FetchError::BadUrl { .. })) => {
            Answer::Undeliverable(error.to_string())
        }
        Err(error) => later(error.to_string()),
    }
}

/// Milliseconds until the next try: 2 s after the first, then twice as long each time.
fn pause(tries: u32) -> i64 {
    let pause = Duration::from_secs(1 << tries.min(20)).min(LONGEST_PAUSE);
    i64::try_from(pause.as_millis()).unwrap_or(i64::MAX)
}

/// The content type that validators expect of a file.
fn content_type(modality: Modality, extension: &str) -> &'static str {
    match (extension, modality) {
        ("jpg", _) => "image/jpeg",
        ("png", _) => "image/png",
        ("webp", _) => "image/webp",
        ("gif", _) => "image/gif",
        ("mp4", _) => "video/mp4",
        ("mov", _) => "video/quicktime",
        ("webm", _) => "video/webm",
        (_, Modality::Image) => "image/png",
        (_, Modality::Video) => "video/mp4",
    }
}

/// A header of the text's visible ASCII, bounded. Upstream puts a provider's words in as they are, and never sends the
/// report where they have a line break.
fn plain(text: &str) -> HeaderValue {
    let mut safe: String = text
        .chars()
        .map(|c| {
            if c.is_ascii_graphic() {
                c
            } else if c.is_whitespace() {
                ' '
            } else {
                '?'
            }
        })
        .collect();
    safe.truncate(MAX_HEADER);
    HeaderValue::try_from(safe).unwrap_or(HeaderValue::from_static("unreadable"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{pause, plain};

    #[test]
    fn pauses_double_up_to_five_minutes() {
        assert_eq!([1, 2, 3, 8, 9, 40].map(pause), [2_000, 4_000, 8_000, 256_000, 300_000, 300_000]);
    }

    proptest! {
        #[test]
        fn any_text_can_be_put_in_a_header(text in "\\PC{0,50}[\\r\\n\\x00]{0,3}.{0,600}") {
            prop_assert!(plain(&text).to_str().is_ok());
        }
    }
}
