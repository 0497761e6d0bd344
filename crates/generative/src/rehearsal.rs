//! A rehearsal: a whole miner of its own on loopback, and a validator that asks it as validators do, takes its webhooks,
//! and answers them in the validator's words.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use adit_auth::StakeTable;
use adit_auth::epistula::{self, Gate, GateConfig, MIN_STAKE, Policy};
use adit_http_server::{ListenError, Server as HttpServer};
use adit_journal::{Journal, Refusals};
use adit_keys::{Hotkey, Keypair};
use adit_outbound::{AddressGuard, AllowListError, Client, FetchError, Limits};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::routing::post;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tokio::time::timeout_at;
use uuid::Uuid;

use crate::check::Checker;
use crate::server::{About, Miner, router};
use crate::service::Services;
use crate::task::{self, Address, Store, StoreError, Task, TaskId};
use crate::tier::Size;
use crate::webhook::{PATIENCE as DELIVERY, Webhook};
use crate::worker::{ATTEMPTS, Rules, Worker};
use crate::{Modality, Usd};

/// A validator's time-out for the 201 (generative reference, section 4).
const ANSWER: Duration = Duration::from_secs(240);
const MAX_ANSWER: u64 = 1 << 20;

/// What is asked of which miner.
#[derive(Debug)]
pub struct Plan {
    /// Who makes it.
    pub services: Services,
    /// Who says what a validator would say of it.
    pub checker: Checker,
    /// How it is worked on.
    pub rules: Rules,
    /// The most that it may cost.
    pub budget: Option<Usd>,
    /// One task each, all asked for at once.
    pub asks: Vec<Ask>,
    /// Where the tasks go: a file that is not there yet.
    pub database: PathBuf,
    /// Where the media go.
    pub output_dir: PathBuf,
    /// Where each step is recorded, if it is.
    pub journal: Option<Journal>,
}

/// One task.
#[derive(Debug, Clone)]
pub struct Ask {
    /// What is to be made.
    pub modality: Modality,
    /// By which words.
    pub prompt: String,
    /// The tier that validators of today ask for; those of the guide's time ask for none.
    pub tier: Option<&'static str>,
}

/// What became of it.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// What was asked.
    pub ask: Ask,
    /// Until the 201.
    pub accepted_in: Duration,
    /// The answer where it was no 201; then nothing follows.
    pub refused: Option<String>,
    /// Until the webhook had its last answer.
    pub took: Duration,
    /// Why the task was not waited for any longer, where it came to no end.
    pub overdue: Option<String>,
    /// The task as it ended, or as it was last seen.
    pub task: Option<Task>,
    /// Its media.
    pub file: Option<PathBuf>,
    /// Their size.
    pub size: Option<Size>,
    /// The webhook's words.
    pub answers: Vec<String>,
}

impl Attempt {
    /// Whether a validator would credit it.
    #[must_use]
    pub fn credited(&self) -> bool {
        self.task.as_ref().is_some_and(|task| task.state == task::State::Delivered)
    }

    /// What it has cost.
    #[must_use]
    pub fn cost(&self) -> Usd {
        self.task.as_ref().map_or(Usd(0), Task::cost)
    }
}

/// Why there is no rehearsal.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RehearsalError {
    /// A port on loopback.
    #[error("no port on loopback: {}", .0.source)]
    Port(#[from] ListenError),
    /// The tasks.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The HTTP client.
    #[error(transparent)]
    Client(#[from] FetchError),
    /// The guard of the webhooks.
    #[error(transparent)]
    Guard(#[from] AllowListError),
    /// The request cannot be signed.
    #[error(transparent)]
    Signing(#[from] epistula::UuidError),
}

/// The validator: who asks, and what its webhook was sent.
#[derive(Debug)]
struct Validator {
    pair: Keypair,
    miner: Hotkey,
    open: Mutex<HashMap<String, Vec<String>>>,
}

/// Runs it. The report has an attempt for each ask, in that order.
///
/// # Errors
/// Where it cannot begin; what goes wrong with a task is in its [`Attempt`].
pub async fn rehearse(plan: Plan) -> Result<Vec<Attempt>, RehearsalError> {
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let miner_pair = Arc::new(Keypair::generate());
    let validator =
        Arc::new(Validator { pair: Keypair::generate(), miner: miner_pair.hotkey(), open: Mutex::default() });
    let (stop, stopped) = watch::channel(false);
    let until_stopped = || {
        let mut stopped = stopped.clone();
        async move {
            let _ = stopped.wait_for(|stopped| *stopped).await;
        }
    };
    let head_timeout = Duration::from_secs(10);

    let webhook = HttpServer::bind(loopback, head_timeout).await?;
    let webhook_url = format!("http://{}/generative_callback", webhook.address());
    let callback = Router::new()
        .route("/generative_callback", post(take))
        .layer(DefaultBodyLimit::disable())
        .with_state(Arc::clone(&validator));
    let taking = tokio::spawn(webhook.serve(callback, until_stopped()));

    let policy = Policy { own_hotkey: miner_pair.hotkey(), min_stake: Some(MIN_STAKE) };
    let gate = Gate::new(GateConfig {
        policy,
        nonce_capacity: 10_000,
        max_body: 1 << 20,
        body_timeout: head_timeout,
    });
    let stakes = HashMap::from([(validator.pair.hotkey(), MIN_STAKE)]);
    gate.set_stakes(StakeTable::new(stakes, SystemTime::now()));
    let store = Store::open(task::Config {
        database: Address::Sqlite(plan.database),
        output_dir: plan.output_dir,
        queue: 1000,
        daily_budget: plan.budget,
        journal: plan.journal,
    })
    .await?;
    let about = About {
        uid: Arc::new(OnceLock::from(0)),
        hotkey: miner_pair.hotkey().to_string(),
        concurrency: plan.rules.concurrency,
        task_timeout: plan.rules.timeout,
        keep: plan.rules.keep,
    };
    let own_host = AddressGuard::public_only().allowing("127.0.0.1")?;
    let posting = Webhook::new(miner_pair, Client::new(own_host)?);
    let worker = Worker::new(store.clone(), plan.services.clone(), plan.checker, posting, plan.rules);
    let working = tokio::spawn(Arc::new(worker).run(until_stopped()));
    let miner = Miner {
        gate: Some(Arc::new(gate)),
        store: store.clone(),
        services: plan.services,
        daily_budget: plan.budget,
        about,
        started: Instant::now(),
        journal: None,
        refusals: Refusals::default(),
    };
    let server = HttpServer::bind(loopback, head_timeout).await?;
    let miner_url = format!("http://{}", server.address());
    let serving = tokio::spawn(server.serve(router(Arc::new(miner)), until_stopped()));

    let client = Client::new(AddressGuard::unrestricted())?;
    let patience = patience(plan.asks.len(), &plan.rules);
    let mut asking = Vec::new();
    for ask in plan.asks {
        let attempt = attempt(ask, &validator, &client, &miner_url, &webhook_url, &store, patience);
        asking.push(attempt);
    }
    let attempts = futures_util::future::try_join_all(asking).await;
    stop.send_replace(true);
    for ending in [taking, working, serving] {
        let _ = ending.await;
    }
    store.close().await?;
    attempts
}

/// How long the tasks are waited for: each may be tried as often as a miner tries, videos leave a place to pictures, and
/// the last one is delivered. A miner itself would wait longer: for the budget of the next day, or a disk that is full.
fn patience(asks: usize, rules: &Rules) -> Duration {
    let rounds = asks.div_ceil(rules.concurrency.saturating_sub(1).max(1));
    let tries = ATTEMPTS.saturating_mul(u32::try_from(rounds).unwrap_or(u32::MAX));
    rules.timeout.saturating_mul(tries).saturating_add(DELIVERY)
}

async fn attempt(
    ask: Ask,
    validator: &Validator,
    client: &Client,
    miner_url: &str,
    webhook_url: &str,
    store: &Store,
    patience: Duration,
) -> Result<Attempt, RehearsalError> {
    let began = Instant::now();
    let (status, answer) = validator.ask(&ask, client, miner_url, webhook_url).await?;
    let accepted_in = began.elapsed();
    let mut attempt = Attempt {
        ask,
        accepted_in,
        refused: None,
        took: accepted_in,
        overdue: None,
        task: None,
        file: None,
        size: None,
        answers: Vec::new(),
    };
    let id = answer["task_id"].as_str().filter(|_| status == 201);
    let Some(id) = id.and_then(|id| id.parse::<TaskId>().ok()) else {
        attempt.refused = Some(format!("{status} {answer}"));
        return Ok(attempt);
    };
    validator.remember(id);
    let task = ended(store, id, patience).await?;
    if !task.state.is_end() {
        let note = task.note.as_deref().map(|note| format!(": {note}")).unwrap_or_default();
        let (waited, state) = (patience.as_secs(), task.state);
        attempt.overdue = Some(format!("it has not ended within {waited} s and is still {state}{note}"));
    }
    attempt.took = began.elapsed();
    attempt.answers = validator.heard_of(id);
    if task.media.is_some() {
        let file = store.media_file(&task).await?;
        let (modality, read) = (task.modality, file.clone());
        let sizing = tokio::task::spawn_blocking(move || Size::of(modality, &read));
        attempt.size = sizing.await.unwrap_or_default();
        attempt.file = Some(file);
    }
    attempt.task = Some(task);
    Ok(attempt)
}

/// The task when it has ended, or as it is when `patience` is over.
async fn ended(store: &Store, id: TaskId, patience: Duration) -> Result<Task, StoreError> {
    let deadline = tokio::time::Instant::now() + patience;
    let mut changes = store.changes();
    loop {
        changes.mark_unchanged();
        let task = store.ledger().task(id).await?;
        if task.state.is_end() {
            return Ok(task);
        }
        match timeout_at(deadline, changes.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(StoreError::Closed),
            Err(_) => return Ok(task),
        }
    }
}

impl Validator {
    /// Posts a request as a validator does: of today with a tier, of the guide's time with null.
    async fn ask(
        &self,
        ask: &Ask,
        client: &Client,
        miner_url: &str,
        webhook_url: &str,
    ) -> Result<(u16, Value), RehearsalError> {
        let parameters = ask.tier.map_or(Value::Null, |tier| json!({"resolution": tier}));
        let body = json!({"prompt": ask.prompt, "parameters": parameters}).to_string();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let uuid = Uuid::new_v4().to_string();
        let sha256 = Sha256::digest(&body).into();
        let mut headers = epistula::sign(&self.pair, &sha256, &uuid, now, Some(&self.miner))?;
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Ok(url) = HeaderValue::try_from(webhook_url) {
            headers.insert("x-webhook-url", url);
        }
        let url = format!("{miner_url}/gen_{}", ask.modality);
        let limits = Limits::new(tokio::time::Instant::now() + ANSWER, MAX_ANSWER);
        let answer = client.post(&url, headers, body, &limits).await?;
        Ok((answer.status.as_u16(), serde_json::from_slice(&answer.body).unwrap_or_default()))
    }

    /// From now on the webhook knows the task, as a validator's does when it has read the 201.
    fn remember(&self, id: TaskId) {
        self.open().insert(id.to_string(), Vec::new());
    }

    /// Whether it knows the task and has not closed it by an answer yet.
    fn awaits(&self, id: &str) -> bool {
        self.open().get(id).is_some_and(Vec::is_empty)
    }

    fn heard_of(&self, id: TaskId) -> Vec<String> {
        self.open().remove(&id.to_string()).unwrap_or_default()
    }

    fn open(&self) -> std::sync::MutexGuard<'_, HashMap<String, Vec<String>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a validator answers (section 5), and remembers.
    fn judge(&self, headers: &HeaderMap, body: &[u8]) -> (StatusCode, String) {
        let registered = HashMap::from([(self.miner, 0.0)]);
        let stakes = StakeTable::new(registered, SystemTime::now());
        let policy = Policy { own_hotkey: self.pair.hotkey(), min_stake: None };
        let now = adit_auth::unix_nanos(SystemTime::now());
        let checked = policy.check_headers(headers, Some(&stakes), now);
        if let Err(refusal) = checked.and_then(|claim| claim.check_body(body)) {
            return (refusal.status(), json!({"detail": refusal.detail()}).to_string());
        }
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let failed = header("task-status") == "failed";
        let (status, words) = if header("task-id").is_empty() {
            (StatusCode::BAD_REQUEST, "Missing task-id header")
        } else if body.is_empty() {
            (StatusCode::BAD_REQUEST, "Empty binary payload")
        } else if !self.awaits(header("task-id")) {
            (StatusCode::OK, "Task not found in current session")
        } else if failed {
            (StatusCode::OK, "Failure recorded")
        } else if !header("content-type").starts_with("image/")
            && !header("content-type").starts_with("video/")
        {
            (
                StatusCode::BAD_REQUEST,
                "Only image, video, and application/octet-stream content types are supported",
            )
        } else {
            (StatusCode::OK, "Binary content received")
        };
        if let Some(answers) = self.open().get_mut(header("task-id")) {
            answers.push(format!("{} {words}", status.as_u16()));
        }
        (status, words.to_owned())
    }
}

async fn take(
    State(validator): State<Arc<Validator>>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    validator.judge(&headers, &body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Request;

    #[tokio::test]
    async fn a_task_that_does_not_end_is_not_waited_for_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(task::Config {
            database: Address::Sqlite(folder.path().join("tasks.db")),
            output_dir: folder.path().join("media"),
            queue: 1,
            daily_budget: None,
            journal: None,
        });
        let store = store.await.unwrap();
        let request = Request {
            prompt: "a lighthouse".to_owned(),
            parameters: Value::Null,
            webhook_url: "http://127.0.0.1:9/".to_owned(),
        };
        // Nobody works on it.
        let accepted = store.accept(Modality::Image, String::new(), request, None).await.unwrap();
        let left = ended(&store, accepted.id, Duration::from_millis(100)).await.unwrap();
        assert_eq!(left.state, task::State::Accepted);
        store.close().await.unwrap();
    }

    #[test]
    fn tasks_that_wait_for_others_are_waited_for_longer() {
        let timeout = Duration::from_secs(60);
        let rules = Rules { concurrency: 5, timeout, fail_over: false, keep: timeout, save_locally: false };
        assert_eq!(patience(4, &rules), 3 * timeout + DELIVERY);
        assert_eq!(patience(5, &rules), 6 * timeout + DELIVERY);
        assert_eq!(patience(2, &Rules { concurrency: 1, ..rules }), 6 * timeout + DELIVERY);
    }
}
