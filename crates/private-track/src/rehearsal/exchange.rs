//! A challenge sent and its answer judged, and the wait before the first: what a rehearsal and a spot check share.

use std::time::Duration;

use adit_outbound::{Client, FetchError, Limits};
use adit_python::json::Json;
use adit_scoring::soccer::{self, Era, Event};
use axum::http::HeaderMap;
use bytes::Bytes;
use serde_json::Value;
use tokio::time::Instant;

use super::report::Outcome;
use crate::wire::response;

/// How often the spot check asks whether a miner is ready, and how long it waits for each answer (section 7).
const READY_INTERVAL: Duration = Duration::from_secs(3);
const READY_ANSWER: Duration = Duration::from_secs(5);
/// Validators set no limit on an answer; this one only protects the rehearsal.
const MAX_ANSWER: u64 = 64 * 1024 * 1024;

/// How an answer is judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms<'a> {
    /// Whose rules read and score it.
    pub(crate) era: Era,
    /// What it is scored against, where that is known.
    pub(crate) truth: Option<&'a [Event]>,
    /// From connect to the last byte.
    pub(crate) budget: Duration,
}

/// Posts a challenge, and says how long it took and how it ended.
pub(crate) async fn ask(
    client: &Client,
    miner: &str,
    headers: HeaderMap,
    body: Bytes,
    terms: Terms<'_>,
) -> (Duration, Outcome) {
    let began = Instant::now();
    let limits = Limits::new(began + terms.budget, MAX_ANSWER);
    let posted =
        client.post(&format!("{}/challenge", miner.trim_end_matches('/')), headers, body, &limits).await;
    let latency = began.elapsed();
    let outcome = match posted {
        // The elapsed time is checked once more after the answer is in (section 1.4).
        Ok(_) if latency > terms.budget => Outcome::TimedOut,
        Ok(answer) if answer.status != 200 => {
            Outcome::Status { status: answer.status.as_u16(), detail: detail(&answer.body) }
        }
        Ok(answer) => judge(terms, &answer.body),
        Err(FetchError::Deadline { .. }) => Outcome::TimedOut,
        Err(error) => Outcome::Unreachable(error.to_string()),
    };
    (latency, outcome)
}

fn judge(terms: Terms<'_>, body: &[u8]) -> Outcome {
    let read = match response::read(terms.era, body) {
        Ok(read) => read,
        Err(error) => return Outcome::Rejected(error.to_string()),
    };
    let predictions = read.soccer_events();
    Outcome::Answered {
        kind: read.kind(),
        count: read.prediction_count(),
        processing_time: read.processing_time,
        verdict: terms.truth.map(|truth| soccer::judge(terms.era, &predictions, truth)),
        predictions,
        answer: comparable(body),
    }
}

/// The answer as text without `processing_time`, which may differ, and `challenge_id`, which does.
pub(crate) fn comparable(body: &[u8]) -> String {
    match Json::parse(body) {
        Ok(Json::Object(mut answer)) => {
            answer.shift_remove("processing_time");
            answer.shift_remove("challenge_id");
            Json::Object(answer).to_text()
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

/// Whether `GET /docs` is answered within `limit` as it should be. Redirects are not followed, as the check does not.
pub(crate) async fn ready(client: &Client, miner: &str, limit: Duration) -> bool {
    let url = format!("{}/docs", miner.trim_end_matches('/'));
    let until = Instant::now() + limit;
    loop {
        let limits =
            Limits { redirects: 0, ..Limits::new((Instant::now() + READY_ANSWER).min(until), MAX_ANSWER) };
        if client.get(&url, &limits).await.is_ok() {
            return true;
        }
        if Instant::now() + READY_INTERVAL > until {
            return false;
        }
        tokio::time::sleep(READY_INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_compared_to_the_last_digit_but_for_time_and_name() {
        let answer = |id: &str, confidence: &str, seconds: &str| {
            let text = format!(
                r#"{{"challenge_id":"{id}","predictions":[{{"frame":1,"action":"goal","confidence":{confidence}}}],"processing_time":{seconds}}}"#
            );
            comparable(text.as_bytes())
        };
        assert_eq!(answer("a", "0.1", "1.5"), answer("b", "0.1", "NaN"));
        assert_ne!(answer("a", "0.1", "1.5"), answer("a", "0.10000000000000002", "1.5"));
    }
}
