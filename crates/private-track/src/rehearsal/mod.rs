//! A rehearsal: challenges that the operator sends to a miner exactly as each kind of sender does,
//! read back and scored as its validator would.
//!
//! [`Plan`] says what is sent, [`rehearse`] sends it, and the [`Report`] holds what came back. A clip
//! on disk is served to the miner by [`ClipHost`](adit_http_server::ClipHost).

mod exchange;
mod report;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use adit_auth::{Dialect, Spelling, sign_headers, unix_nanos};
use adit_keys::{Hotkey, Keypair};
use adit_outbound::Client;
use adit_scoring::soccer::{Era, Event};
use axum::http::{HeaderMap, HeaderValue, header};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;

pub(crate) use exchange::{Terms, ask, comparable, ready};
pub use report::{Attempt, Outcome, Report, SpotCheck};

use crate::spot_check::{READY_LIMIT, SPOT_CHECK_BUDGET, checker_body};

/// A validator's limit from connect to the last byte (section 1.4).
pub const LIVE_BUDGET: Duration = Duration::from_secs(30);

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
    let terms = Terms { era: sender.era(), truth: plan.truth.as_deref(), budget };
    let (latency, outcome) = ask(client, miner, headers, body, terms).await;
    Attempt { sender, latency, budget, outcome }
}

/// Waits for readiness as the checker does, asks again in its words and with its longer limit, and
/// compares. The checker signs nothing, since the image runs with security off; signed all the same, the
/// request also passes a miner that is live.
async fn spot_check(client: &Client, plan: &Plan, miner: &str, live: Option<&Attempt>) -> SpotCheck {
    if !ready(client, miner, READY_LIMIT).await {
        return SpotCheck::not_ready();
    }
    let sender = plan.senders.first().copied().unwrap_or(Sender::Head);
    let body = checker_body("rehearsal-spot-check", &plan.video_url);
    let again = attempt(client, plan, miner, sender, body, SPOT_CHECK_BUDGET).await;
    SpotCheck::compare(live, again)
}
