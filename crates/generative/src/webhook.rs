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

use crate::task::{Answer, Media, Task, UnixMs};

/// A validator checks the media while the connection is open, and a video takes it some time. One that has accepted
/// after we gave up looks like a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);
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
        let content_type = HeaderValue::from_static(media.content_type(task.modality));
        headers.insert(header::CONTENT_TYPE, content_type);
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

    use super::*;
    use crate::task::{Day, Event, HORIZON_MS, Request, State};
    use crate::{Modality, Usd};

    /// A task whose media wait for their first delivery at 0 ms.
    fn checked() -> Task {
        let request =
            Request { prompt: "p".to_owned(), parameters: json!({}), webhook_url: "http://v".to_owned() };
        let mut task = Task::new(Uuid::nil(), Modality::Image, "5V".to_owned(), request, 0);
        let media = Media { extension: "png".to_owned(), bytes: 1, sha256: "00".to_owned() };
        for event in [
            Event::Call { service: "openai".to_owned(), model: "m".to_owned(), price: Usd(1), day: Day(0) },
            Event::Fetched { media, cost: None },
            Event::Checked,
        ] {
            task.apply(event, 0).unwrap();
        }
        task
    }

    /// Tries when it is due, until it ends or `until` comes; how often, and when last.
    fn tries(task: &mut Task, until: UnixMs, status: u16) -> (u32, UnixMs) {
        let (before, mut last) = (task.tries, 0);
        while !task.state.is_end() && task.due_at < until {
            last = task.due_at;
            task.apply(Event::Try, last).unwrap();
            let answer = Response {
                status: http::StatusCode::from_u16(status).unwrap(),
                headers: HeaderMap::new(),
                body: "Binary content received".into(),
                trailers: HeaderMap::new(),
            };
            task.apply(Event::Answered(judge(Ok(answer), task, last)), last).unwrap();
        }
        (task.tries - before, last)
    }

    #[test]
    fn a_webhook_that_is_down_for_an_hour_still_gets_the_media() {
        const HOUR: UnixMs = 3_600_000;
        let mut task = checked();
        let (count, _) = tries(&mut task, HOUR, 500);
        // 8 doubling pauses make 510 s; then one every five minutes.
        assert_eq!((count, task.state), (8 + 11, State::Delivering));
        assert!(task.due_at < HOUR + 300_000);
        assert_eq!((tries(&mut task, UnixMs::MAX, 200).0, task.state), (1, State::Delivered));
    }

    #[test]
    fn a_webhook_that_stays_down_is_tried_last_when_the_time_is_over() {
        let mut task = checked();
        let (_, last) = tries(&mut task, UnixMs::MAX, 500);
        assert_eq!((last, task.state), (HORIZON_MS, State::Expired));
    }

    #[test]
    fn a_refusal_is_final() {
        for status in [400, 413] {
            let mut task = checked();
            assert_eq!((tries(&mut task, UnixMs::MAX, status).0, task.state), (1, State::Refused));
        }
    }

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
