//! The calls to a chute itself, as validators make them (Turbo Vision reference, sections 6 and 9.3).

use adit_outbound::{Client, FetchError, Limits, Response};
use http::{HeaderMap, HeaderValue, header};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use tokio::time::{Duration, Instant, sleep_until};

use super::auth::bearer;
use super::{Api, Cause, ChutesError, jittered};

/// Attempts of a prediction: the first and three more.
const ATTEMPTS: u32 = 4;
/// Wait after the first attempt; doubled after each further one.
const BACK_OFF: Duration = Duration::from_millis(500);
/// Longest wait for one attempt of a prediction: `SCOREVISION_API_TIMEOUT_S`.
const ATTEMPT: Duration = Duration::from_secs(300);
/// Longest wait for one answer about the health.
const HEALTH: Duration = Duration::from_secs(20);
/// Pause between two looks at the health.
const LOOK: Duration = Duration::from_secs(5);
/// How often an instance must say that its model is not loaded before that is believed.
const BELIEVED: u32 = 3;
/// Largest answer in bytes.
const MAX_BYTES: u64 = 64 << 20;
/// Lines of logs that a failure carries, and how long they are waited for.
const LOG_LINES: u32 = 100;
const LOG_WAIT: Duration = Duration::from_secs(10);

/// A chute that runs, at Chutes or on this host.
#[derive(Debug)]
pub struct Chute {
    client: Client,
    base: String,
    predict: String,
    key: Option<SecretString>,
}

/// What a chute says of its health.
#[derive(Debug, Clone, PartialEq)]
pub struct Health {
    /// Whether its model is loaded and it has no error to tell.
    pub healthy: bool,
    /// Its `status`: `healthy`, or what went wrong.
    pub status: Option<String>,
    /// Its `model_loaded` as text: `true`, or what the newer template's miner says of itself.
    pub model: String,
    /// What the model takes, in GiB, where it says.
    pub memory_gb: Option<f64>,
    /// What it says of CUDA, where it does.
    pub cuda: Option<String>,
}

/// A prediction, right or wrong, as validators take it.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// Whether it counts as one: `success` as Python takes it, true where it is missing.
    pub success: bool,
    /// `predictions`, else `data`.
    pub predictions: Option<Value>,
    /// What the chute or the platform says went wrong.
    pub error: Option<String>,
    /// The whole answer.
    pub answer: Value,
    /// How often it was asked.
    pub attempts: u32,
    /// From before the first attempt, waits and warm-ups included: what the first generation of validators counts.
    pub since_first: Duration,
    /// Of the attempt that was answered: what today's validators count.
    pub of_attempt: Duration,
}

/// A chute that did not become healthy in time.
#[derive(Debug, thiserror::Error)]
#[error("the chute is not healthy: {why}{}", last(.logs))]
pub struct Unhealthy {
    /// The last that was heard.
    pub why: String,
    /// What to do next.
    pub hint: String,
    /// The last lines of its instances, oldest first, where they could be read.
    pub logs: Vec<String>,
}

fn last(logs: &[String]) -> String {
    logs.last().map(|line| format!(" (its last line: {line})")).unwrap_or_default()
}

impl Chute {
    /// A chute at `base_url` (`https://SLUG.chutes.ai`, or `http://localhost:8000` for one on this host, which needs no
    /// key). Nothing is sent yet.
    #[must_use]
    pub fn new(client: Client, base_url: &str, key: Option<SecretString>) -> Self {
        Self { client, base: base_url.trim_end_matches('/').to_owned(), predict: "predict".to_owned(), key }
    }

    /// Predicts at another path than `predict`: `CHUTES_MINER_PREDICT_ENDPOINT`.
    #[must_use]
    pub fn with_predict_path(mut self, path: &str) -> Self {
        path.trim_matches('/').clone_into(&mut self.predict);
        self
    }

    /// Asks for its health once.
    ///
    /// # Errors
    /// [`Cause::Service`] with status 503 where no instance is ready, or what any call can meet.
    pub async fn health(&self, deadline: Instant) -> Result<Health, ChutesError> {
        let result = async {
            let deadline = deadline.min(Instant::now() + HEALTH);
            let answer = self.post("health", &Value::Object(serde_json::Map::new()), deadline).await;
            let answer = answer.map_err(|error| Cause::no_answer(error, true))?;
            if answer.status != 200 {
                return Err(self.refused(&answer));
            }
            let json: Value =
                serde_json::from_slice(&answer.body).map_err(|_| Cause::unreadable(&answer, "is no JSON"))?;
            Health::of(&json).ok_or_else(|| Cause::unreadable(&answer, "has no `model_loaded`"))
        };
        result.await.map_err(|cause| ChutesError::of_chute("ask the chute for its health", cause))
    }

    /// Asks for its health until it is healthy. A cold chute is warmed up through `api`, which also reads the logs that
    /// a failure carries; both need the chute's id.
    ///
    /// # Errors
    /// [`Unhealthy`] at the deadline, and before it where waiting is of no use: its model failed to load, or the key is
    /// refused.
    pub async fn wait_until_healthy(
        &self,
        api: Option<(&Api, &str)>,
        deadline: Instant,
    ) -> Result<Health, Unhealthy> {
        let mut failed_loads = 0;
        let mut before = None;
        let (why, hint) = loop {
            let mut pause = LOOK;
            let (why, hint) = match self.health(deadline).await {
                Ok(health) if health.healthy => return Ok(health),
                Ok(health) => {
                    failed_loads += 1;
                    let status = health.status.unwrap_or_default();
                    let why = format!("its model is not loaded ({}{status})", of(&health.model));
                    let hint =
                        "Correct what the logs name in the model's files, push, and deploy anew.".to_owned();
                    if failed_loads >= BELIEVED {
                        break (why, hint);
                    }
                    (why, hint)
                }
                // The time was over in the midst of a question: what was said before tells more.
                Err(_) if Instant::now() >= deadline => {
                    let why = "it did not answer within the time that it had".to_owned();
                    let hint = "Its logs say how far it came: follow them, and type the same command again once it is up.";
                    break before.unwrap_or((why, hint.to_owned()));
                }
                Err(error) => {
                    failed_loads = 0;
                    let said = (error.cause.to_string(), error.hint());
                    match error.cause {
                        Cause::Unauthorized { .. } | Cause::Payment { .. } | Cause::Forbidden { .. } => {
                            break said;
                        }
                        // Cold: the platform starts an instance when told, and says when it is there.
                        Cause::Service { status: 503, .. } => {
                            if let Some((api, chute_id)) = api
                                && let Err(error) = api.warm_up(chute_id, deadline, |_| ()).await
                            {
                                let said = (error.to_string(), error.hint());
                                if matches!(error.cause, Cause::Payment { .. } | Cause::NotFound { .. }) {
                                    break said;
                                }
                                said
                            } else {
                                pause = Duration::from_secs(1);
                                said
                            }
                        }
                        // A new chute's name may not be known everywhere yet.
                        _ => said,
                    }
                }
            };
            let next = Instant::now() + jittered(pause);
            if next >= deadline {
                break (why, hint);
            }
            before = Some((why, hint));
            sleep_until(next).await;
        };
        let logs = match api {
            Some((api, chute_id)) => last_logs(api, chute_id).await,
            None => Vec::new(),
        };
        Err(Unhealthy { why, hint, logs })
    }

    /// Asks for a prediction with the patience of a validator: 429, 5xx, lost connections and what is no JSON are tried
    /// again after 0.5, 1 and 2 s, each give or take 15 %; any other refusal is final. Before a cold chute (503) is asked
    /// again, `warm_up` is waited for ([`Api::warm_up`], or nothing).
    ///
    /// # Errors
    /// Where the key is missing or refused, or no attempt had an answer. A chute that answers that it failed is no
    /// error but a [`Prediction`] without success.
    pub async fn predict<F: Future<Output = ()>>(
        &self,
        input: &Value,
        deadline: Instant,
        mut warm_up: impl FnMut() -> F,
    ) -> Result<Prediction, ChutesError> {
        let failed = |cause| ChutesError::of_chute("have the chute predict", cause);
        let first = Instant::now();
        let mut attempt = 1;
        loop {
            let begun = Instant::now();
            let sent = self.post(&self.predict, input, deadline.min(begun + ATTEMPT)).await;
            let of_attempt = begun.elapsed();
            let problem = match sent {
                Ok(answer) if answer.status == 200 => match serde_json::from_slice(&answer.body) {
                    Ok(json @ Value::Object(_)) => {
                        let since_first = first.elapsed();
                        return Ok(Prediction::of(json, attempt, since_first, of_attempt));
                    }
                    _ => Cause::unreadable(&answer, "is no JSON object"),
                },
                Ok(answer) if answer.status.is_client_error() && answer.status != 429 => {
                    return Err(failed(self.refused(&answer)));
                }
                Ok(answer) => {
                    if answer.status == 503 && attempt < ATTEMPTS {
                        // Its caller's deadline is ours too.
                        let _ = tokio::time::timeout_at(deadline, warm_up()).await;
                    }
                    Cause::of(&answer, attempt, &[self.key()])
                }
                Err(error) => Cause::no_answer(error, true),
            };
            let next = Instant::now() + jittered(BACK_OFF * (1 << (attempt - 1)));
            if attempt >= ATTEMPTS || next >= deadline {
                return Err(failed(problem));
            }
            tracing::debug!(%problem, attempt, "trying again");
            sleep_until(next).await;
            attempt += 1;
        }
    }

    async fn post(&self, path: &str, body: &Value, deadline: Instant) -> Result<Response, FetchError> {
        let mut headers = self.key.as_ref().map_or_else(HeaderMap::new, bearer);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        // The first byte comes when the work is done.
        let idle = deadline.saturating_duration_since(Instant::now());
        let limits = Limits { idle, ..Limits::new(deadline, MAX_BYTES) };
        self.client.post(&format!("{}/{path}", self.base), headers, body.to_string(), &limits).await
    }

    fn key(&self) -> Option<&str> {
        self.key.as_ref().map(|key| key.expose_secret())
    }

    fn refused(&self, answer: &Response) -> Cause {
        Cause::of(answer, 1, &[self.key()])
    }
}

/// The last lines of a chute's instances, as far as they can be read in a few seconds.
async fn last_logs(api: &Api, chute_id: &str) -> Vec<String> {
    let until = Instant::now() + LOG_WAIT;
    let mut lines = Vec::new();
    let Ok(Some(chute)) = api.chute(chute_id, until).await else { return lines };
    for instance in &chute.instances {
        let mut logs = api.instance_logs(&instance.instance_id, LOG_LINES, until);
        // The old lines come in one go; what is written from now on is not waited for.
        while let Ok(Ok(Some(line))) = tokio::time::timeout(Duration::from_secs(2), logs.next()).await {
            lines.push(line);
        }
    }
    lines
}

fn of(model: &str) -> String {
    if model.is_empty() { String::new() } else { format!("model_loaded: {model}; ") }
}

impl Health {
    /// Both generations' answers: `model_loaded` is a bool, or the text of what was loaded, `None` where nothing was.
    fn of(json: &Value) -> Option<Self> {
        let model = match json.get("model_loaded")? {
            Value::String(text) => text.clone(),
            Value::Null => "None".to_owned(),
            other => other.to_string(),
        };
        let loaded = !matches!(model.trim(), "" | "None" | "none" | "False" | "false" | "0");
        let status = json.get("status").and_then(Value::as_str).map(str::to_owned);
        let well = status.as_deref().is_none_or(|status| status == "healthy");
        Some(Self {
            healthy: loaded && well,
            status,
            model,
            memory_gb: json.get("memory_gb").and_then(Value::as_f64),
            cuda: json.get("cuda").and_then(Value::as_str).map(str::to_owned),
        })
    }
}

impl Prediction {
    fn of(answer: Value, attempts: u32, since_first: Duration, of_attempt: Duration) -> Self {
        let present = |key: &str| answer.get(key).filter(|value| truthy(value)).cloned();
        Self {
            success: answer.get("success").is_none_or(truthy),
            predictions: present("predictions").or_else(|| present("data")),
            error: answer.get("error").filter(|error| !error.is_null()).map(|error| match error {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            }),
            answer,
            attempts,
            since_first,
            of_attempt,
        }
    }
}

/// Python's `bool(value)`.
fn truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(entries) => !entries.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn health_is_read_from_both_generations() {
        for (answer, healthy) in [
            (json!({"status": "healthy", "model": "x", "model_loaded": true}), true),
            (json!({"status": "healthy", "model": "x", "model_loaded": false}), false),
            (
                json!({"status": "healthy", "model_loaded": "True, YOLO", "memory_gb": 0.5, "cuda": "ok"}),
                true,
            ),
            (
                json!({"status": "❌ Failed to load miner: x", "model_loaded": "None", "memory_gb": null}),
                false,
            ),
            (json!({"status": "❌ late", "model_loaded": "Miner"}), false),
            (json!({"model_loaded": null}), false),
        ] {
            assert_eq!(Health::of(&answer).unwrap().healthy, healthy, "{answer}");
        }
        assert_eq!(Health::of(&json!({"detail": "x"})), None);
    }

    #[test]
    fn an_answer_is_taken_as_python_takes_it() {
        let of = |json| Prediction::of(json, 1, Duration::ZERO, Duration::ZERO);
        assert!(of(json!({"predictions": {"frames": []}})).success);
        assert!(!of(json!({"success": false, "error": "x"})).success);
        assert!(!of(json!({"success": null})).success);
        assert_eq!(
            of(json!({"predictions": {}, "data": {"frames": []}})).predictions,
            Some(json!({"frames": []}))
        );
        assert_eq!(of(json!({"predictions": null})).predictions, None);
    }
}
