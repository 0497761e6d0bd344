//! A rehearsal: challenges that the operator sends to a miner exactly as each kind of sender does,
//! read back and scored as its validator would.
//!
//! [`Plan`] says what is sent, [`rehearse`] sends it, and the [`Report`] holds what came back. A clip
//! on disk is served to the miner by [`ClipHost`].

mod clip_host;
mod report;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use adit_auth::{Dialect, Spelling, sign_headers, unix_nanos};
use adit_keys::{Hotkey, Keypair};
use adit_outbound::{Client, FetchError, Limits};
use adit_scoring::soccer::{self, Era, Event};
use axum::http::{HeaderMap, HeaderValue, header};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;

pub use clip_host::{ClipHost, ClipHostError};
pub use report::{Attempt, Outcome, Report, SpotCheck};

use crate::wire::response;

/// A validator's limit from connect to the last byte (section 1.4).
pub const LIVE_BUDGET: Duration = Duration::from_secs(30);
/// The spot check's limit (section 7).
pub const SPOT_CHECK_BUDGET: Duration = Duration::from_secs(120);
/// How long the spot check waits for `GET /docs` to answer 200, and how often it asks (section 7).
const READY_LIMIT: Duration = Duration::from_secs(300);
const READY_INTERVAL: Duration = Duration::from_secs(3);
/// Validators set no limit on an answer; this one only protects the rehearsal.
const MAX_ANSWER: u64 = 64 * 1024 * 1024;

/// Who a rehearsal pretends to be (private-track reference, sections 3.2 and 3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sender {
    /// Fiber's client: plain headers, fiber message, nonce with a suffix.
    Fiber,
    /// Score's validator of the guide's time: `X-` headers, score message, two-field body.
    DocumentEra,
    /// Score's validator since: both spellings, score message, body with `frames`.
    Head,
}

impl Sender {
    /// Every sender.
    pub const ALL: [Self; 3] = [Self::Fiber, Self::DocumentEra, Self::Head];

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fiber => "fiber",
            Self::DocumentEra => "document-era",
            Self::Head => "head",
        }
    }

    /// Whose rules read and score the answer.
    fn era(self) -> Era {
        if self == Self::DocumentEra { Era::DocumentEra } else { Era::Head }
    }

    fn body(self, challenge_id: &str, video_url: &str) -> Bytes {
        let body = match self {
            Self::DocumentEra => json!({"challenge_id": challenge_id, "video_url": video_url}),
            Self::Fiber | Self::Head => {
                json!({"challenge_id": challenge_id, "video_url": video_url, "frames": null})
            }
        };
        Bytes::from(body.to_string())
    }

    fn headers(self, signer: &Keypair, miner: &Hotkey, body: &[u8]) -> HeaderMap {
        // Two nonces of one instant would be one nonce.
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let now = unix_nanos(SystemTime::now()) + u128::from(COUNTER.fetch_add(1, Ordering::Relaxed));
        let (dialect, spelling, nonce) = match self {
            Self::Fiber => (Dialect::Fiber, Spelling::Plain, format!("{now}_rehearsal0")),
            Self::DocumentEra => (Dialect::Score, Spelling::Prefixed, now.to_string()),
            Self::Head => (Dialect::Score, Spelling::Both, now.to_string()),
        };
        let mut headers = sign_headers(signer, dialect, spelling, &nonce, miner, body);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers
    }
}

/// What is sent, and to whom.
#[derive(Debug)]
pub struct Plan {
    /// Base URL of the miner, such as `http://127.0.0.1:8000`.
    pub miner: String,
    /// The hotkey that requests are addressed to.
    pub miner_hotkey: Hotkey,
    /// Who signs.
    pub signer: Keypair,
    /// One challenge each, `repeat` times.
    pub senders: Vec<Sender>,
    /// Number of rounds, at least 1.
    pub repeat: u32,
    /// Where the miner finds the clip.
    pub video_url: String,
    /// What really happens in the clip, where known.
    pub truth: Option<Vec<Event>>,
    /// Base URL of the miner that plays the re-run image in a spot check, where one is wanted.
    pub spot_check: Option<String>,
}

/// Sends everything in turn and judges the answers.
pub async fn rehearse(client: &Client, plan: &Plan) -> Report {
    let mut attempts = Vec::new();
    for round in 1..=plan.repeat {
        for &sender in &plan.senders {
            let body = sender.body(&format!("rehearsal-{round}-{}", sender.name()), &plan.video_url);
            attempts.push(attempt(client, plan, &plan.miner, sender, body, LIVE_BUDGET).await);
        }
    }
    let spot_check = match &plan.spot_check {
        Some(miner) => Some(spot_check(client, plan, miner, attempts.first()).await),
        None => None,
    };
    Report { identical: report::identical(&attempts), attempts, spot_check }
}

async fn attempt(
    client: &Client,
    plan: &Plan,
    miner: &str,
    sender: Sender,
    body: Bytes,
    budget: Duration,
) -> Attempt {
    let headers = sender.headers(&plan.signer, &plan.miner_hotkey, &body);
    let began = Instant::now();
    let limits = Limits::new(began + budget, MAX_ANSWER);
    let posted =
        client.post(&format!("{}/challenge", miner.trim_end_matches('/')), headers, body, &limits).await;
    let latency = began.elapsed();
    let outcome = match posted {
        // The elapsed time is checked once more after the answer is in (section 1.4).
        Ok(_) if latency > budget => Outcome::TimedOut,
        Ok(answer) if answer.status != 200 => {
            Outcome::Status { status: answer.status.as_u16(), detail: detail(&answer.body) }
        }
        Ok(answer) => judge(sender.era(), plan, &answer.body),
        Err(FetchError::Deadline { .. }) => Outcome::TimedOut,
        Err(error) => Outcome::Unreachable(error.to_string()),
    };
    Attempt { sender, latency, budget, outcome }
}

fn judge(era: Era, plan: &Plan, body: &[u8]) -> Outcome {
    let read = match response::read(era, body) {
        Ok(read) => read,
        Err(error) => return Outcome::Rejected(error.to_string()),
    };
    let predictions = read.soccer_events();
    let verdict = plan.truth.as_deref().map(|truth| soccer::judge(era, &predictions, truth));
    let kind = read.kind();
    Outcome::Answered { kind, predictions, verdict, answer: without_time(body) }
}

/// The answer as text without `processing_time`, which may differ, and `challenge_id`, which does.
fn without_time(body: &[u8]) -> String {
    match serde_json::from_slice(body) {
        Ok(Value::Object(mut answer)) => {
            answer.remove("processing_time");
            answer.remove("challenge_id");
            Value::Object(answer).to_string()
        }
        _ => String::from_utf8_lossy(body).into_owned(),
    }
}

/// The `detail` of an error answer, or the start of whatever it is.
fn detail(body: &[u8]) -> String {
    let text = match serde_json::from_slice::<Value>(body) {
        Ok(value) => match value.get("detail") {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => value.to_string(),
        },
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    text.chars().filter(|character| !character.is_control()).take(300).collect()
}

/// Waits for readiness as the checker does, asks again in its words and with its longer limit, and
/// compares. The checker signs nothing, since the image runs with security off; signed all the same, the
/// request also passes a miner that is live.
async fn spot_check(client: &Client, plan: &Plan, miner: &str, live: Option<&Attempt>) -> SpotCheck {
    if !ready(client, miner).await {
        return SpotCheck::not_ready();
    }
    let sender = plan.senders.first().copied().unwrap_or(Sender::Head);
    let body = json!({
        "challenge_id": "rehearsal-spot-check", "video_url": plan.video_url, "image_url": null, "frames": null,
    });
    let body = Bytes::from(body.to_string());
    let again = attempt(client, plan, miner, sender, body, SPOT_CHECK_BUDGET).await;
    SpotCheck::compare(live, again)
}

async fn ready(client: &Client, miner: &str) -> bool {
    let url = format!("{}/docs", miner.trim_end_matches('/'));
    let until = Instant::now() + READY_LIMIT;
    loop {
        let limits = Limits::new((Instant::now() + Duration::from_secs(5)).min(until), MAX_ANSWER);
        if client.get(&url, &limits).await.is_ok() {
            return true;
        }
        if Instant::now() + READY_INTERVAL > until {
            return false;
        }
        tokio::time::sleep(READY_INTERVAL).await;
    }
}
