//! The routes.

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use adit_auth::epistula::{Refusal, Verified, admit};
use adit_http_server::{answer, docs};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{FromRef, Path, Request, State};
use axum::http::{HeaderMap, Response, StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::routing::{MethodRouter, get, post};
use serde_json::{Value, json};

use super::metrics::Metrics;
use super::{Asked, Miner, Prompt, Rejection};
use crate::Modality;
use crate::service::Slot;
use crate::task::{self, State as TaskState, StoreError, Task};
use crate::worker::CLEANUP;

/// Largest body that is looked at where no gate has bounded it.
const MAX_BODY: usize = 1 << 20;

const OPENAPI: &str = include_str!("../../openapi.json");
const TITLE: &str = "BitMind Generative Miner";
const ABOUT: &str = "<code>POST /gen_image</code> and <code>/gen_video</code> take a prompt; the result is posted to the \
    webhook that the request names.";

/// Every route that validators use, each behind the gate as upstream's are; what operators look at; and the pages of
/// `openapi.json`, which upstream shows to anybody as well.
pub fn router(miner: Arc<Miner>) -> Router {
    let served = Served { miner, metrics: Arc::new(Metrics::new()) };
    let routes = routes(Some(&served));
    let known: Vec<&'static str> = routes.iter().map(|(path, _)| *path).collect();
    let add = |router: Router<Served>, (path, handler)| router.route(path, handler);
    routes
        .into_iter()
        .fold(Router::new(), add)
        .method_not_allowed_fallback(answer::method_not_allowed)
        .fallback(move |uri: Uri| ready(answer::not_found(&uri, &known)))
        .with_state(served)
}

fn routes(served: Option<&Served>) -> [(&'static str, MethodRouter<Served>); 10] {
    let gate = served.and_then(|served| Some((served, served.miner.gate.as_ref()?)));
    let gated = |route: MethodRouter<Served>| match gate {
        Some((served, gate)) => route
            .route_layer(from_fn_with_state(Arc::clone(gate), admit))
            .route_layer(from_fn_with_state(served.clone(), count_refusals)),
        None => route,
    };
    [
        ("/gen_image", gated(post(|state, request| generate(Modality::Image, state, request)))),
        ("/gen_video", gated(post(|state, request| generate(Modality::Video, state, request)))),
        ("/health", gated(get(health))),
        ("/miner_info", gated(get(miner_info))),
        ("/status/{task_id}", gated(get(status))),
        ("/metrics", get(show_metrics)),
        ("/openapi.json", get(|| ready(answer::json_text(StatusCode::OK, OPENAPI.to_owned())))),
        ("/docs", get(|| ready(docs::page(TITLE)))),
        ("/docs/{asset}", get(docs::asset)),
        ("/redoc", get(|| ready(docs::redoc(TITLE, ABOUT)))),
    ]
}

/// What the routes share.
#[derive(Clone)]
struct Served {
    miner: Arc<Miner>,
    metrics: Arc<Metrics>,
}

impl FromRef<Served> for Arc<Miner> {
    fn from_ref(served: &Served) -> Self {
        Arc::clone(&served.miner)
    }
}

async fn count_refusals(State(served): State<Served>, request: Request, next: Next) -> Response<Body> {
    let claimed = header(request.headers(), "epistula-signed-by");
    let response = next.run(request).await;
    if let Some(refusal) = response.extensions().get::<Refusal>() {
        served.metrics.refused(refusal.label());
        let miner = &served.miner;
        if miner.journal.is_some() {
            let claimed = claimed.filter(|claimed| is_on_subnet(miner, claimed));
            miner.refusals.add(refusal.label(), claimed, &refusal.to_string());
        }
    }
    response
}

fn is_on_subnet(miner: &Miner, claimed: &str) -> bool {
    let stakes = miner.gate.as_ref().and_then(|gate| gate.stakes());
    let hotkey = claimed.parse().ok();
    stakes.zip(hotkey).is_some_and(|(stakes, hotkey)| stakes.stake(&hotkey).is_some())
}

async fn show_metrics(State(served): State<Served>) -> Response<Body> {
    match served.metrics.render(&served.miner).await {
        Ok(text) => answer::metrics(text),
        Err(_) => answer::detail(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error"),
    }
}

async fn generate(modality: Modality, State(served): State<Served>, request: Request) -> Response<Body> {
    let Served { miner, metrics } = served;
    let unavailable = |why: &Unavailable| {
        metrics.unavailable(why.label());
        error(StatusCode::SERVICE_UNAVAILABLE, &why.text(modality))
    };
    let (parts, body) = request.into_parts();
    // The gate has put it in memory; this only takes it out again.
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        return error(StatusCode::BAD_REQUEST, "Invalid JSON body: it did not arrive");
    };
    let (asked, webhook_url) = match read(&body, &parts.headers) {
        Ok(read) => read,
        Err(rejection) => return error(StatusCode::BAD_REQUEST, &rejection.to_string()),
    };
    if let Err(why) = can_serve(&miner, modality).await {
        return unavailable(&why);
    }
    let signed_by = parts.extensions.get::<Verified>().map(|verified| verified.signer.to_string());
    let signed_by = signed_by.or_else(|| header(&parts.headers, "epistula-signed-by"));
    let prompt = asked.prompt.echoed();
    // Upstream takes these on as well. They cannot come to anything, so nothing is paid for them.
    let impossible = match &asked.prompt {
        Prompt::List(_) => Some("the prompt is a list, not a text"),
        Prompt::Text(_) if url::Url::parse(&webhook_url).is_err() => Some("the webhook's address is no URL"),
        Prompt::Text(_) => None,
    };
    let request = task::Request {
        prompt: match asked.prompt {
            Prompt::Text(text) => text,
            Prompt::List(list) => list.to_string(),
        },
        parameters: asked.parameters,
        webhook_url: webhook_url.clone(),
    };
    let signed_by = signed_by.unwrap_or_else(|| "unknown".to_owned());
    match miner.store.accept(modality, signed_by, request, impossible).await {
        Ok(task) => {
            tracing::info!(task = %task.id, %modality, validator = task.signed_by, "task accepted");
            metrics.accepted(modality);
            let body = json!({
                "task_id": task.id.to_string(),
                "status": "submitted",
                "modality": modality.as_str(),
                "prompt": prompt,
                "webhook_url": webhook_url,
                "created_at": seconds(task.accepted_at),
            });
            answer::json_text(StatusCode::CREATED, body.to_string())
        }
        Err(StoreError::QueueFull { .. }) => unavailable(&Unavailable::QueueFull),
        Err(why) => {
            tracing::error!(%modality, "a task cannot be accepted: {why}");
            unavailable(&Unavailable::Storage)
        }
    }
}

/// Body and webhook, judged in upstream's order.
fn read(body: &[u8], headers: &HeaderMap) -> Result<(Asked, String), Rejection> {
    let asked = Asked::parse(body)?;
    let webhook_url = header(headers, "x-webhook-url").filter(|url| !url.is_empty());
    Ok((asked, webhook_url.ok_or(Rejection::NoWebhook)?))
}

/// As upstream's server reads it: every byte is a character.
fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(headers.get(name)?.as_bytes().iter().copied().map(char::from).collect())
}

/// Whether a task of this modality could come to something at the moment.
async fn can_serve(miner: &Miner, modality: Modality) -> Result<(), Unavailable> {
    if !matches!(miner.services.slot(modality), Slot::Ready(_)) {
        return Err(Unavailable::NoService);
    }
    if let Some(budget) = miner.daily_budget {
        let ledger = miner.store.ledger();
        match ledger.spent(ledger.today()).await {
            Ok(spent) if spent < budget => {}
            Ok(_) => return Err(Unavailable::BudgetSpent),
            Err(why) => {
                tracing::error!("the day's spend is not known: {why}");
                return Err(Unavailable::Storage);
            }
        }
    }
    Ok(())
}

/// Why a task that is asked for as it should be is not accepted.
enum Unavailable {
    NoService,
    BudgetSpent,
    QueueFull,
    Storage,
}

impl Unavailable {
    fn label(&self) -> &'static str {
        match self {
            Self::NoService => "no_service",
            Self::BudgetSpent => "budget_spent",
            Self::QueueFull => "queue_full",
            Self::Storage => "storage",
        }
    }

    fn text(&self, modality: Modality) -> String {
        match self {
            Self::NoService => format!("No service available for modality={modality}"),
            Self::BudgetSpent => "The budget of the day is spent".to_owned(),
            Self::QueueFull => format!("The queue for modality={modality} is full"),
            Self::Storage => "The task cannot be stored".to_owned(),
        }
    }
}

async fn health(State(miner): State<Arc<Miner>>) -> Response<Body> {
    let total = miner.services.info().len();
    if total == 0 {
        return error(StatusCode::SERVICE_UNAVAILABLE, "No services available");
    }
    let body = json!({
        "status": "healthy",
        "services_available": total,
        "services_total": total,
        "timestamp": now(),
    });
    answer::json_text(StatusCode::OK, body.to_string())
}

async fn miner_info(State(miner): State<Arc<Miner>>) -> Response<Body> {
    let counts = match counts(&miner).await {
        Ok(counts) => counts,
        Err(why) => {
            tracing::error!("the tasks cannot be counted: {why}");
            BTreeMap::new()
        }
    };
    let of = |status: &str| -> u64 {
        counts.iter().filter(|(state, _)| upstreams_word(**state) == status).map(|(_, count)| count).sum()
    };
    let about = &miner.about;
    let body = json!({
        "uid": about.uid.get(),
        "hotkey": about.hotkey,
        "miner_type": "GENERATOR",
        "services": miner.services.info(),
        "task_stats": {
            "total": counts.values().sum::<u64>(),
            "pending": of("pending"),
            "processing": of("processing"),
            "completed": of("completed"),
            "failed": of("failed"),
        },
        "config": {
            "max_concurrent_tasks": about.concurrency,
            "task_timeout": about.task_timeout.as_secs_f64(),
            "max_task_age_hours": about.keep.as_secs() / 3600,
            "cleanup_interval": CLEANUP.as_secs(),
        },
        "version": "1.0.0",
        "uptime": miner.started.elapsed().as_secs_f64(),
    });
    answer::json_text(StatusCode::OK, body.to_string())
}

async fn counts(miner: &Miner) -> Result<BTreeMap<TaskState, u64>, StoreError> {
    let mut all = BTreeMap::new();
    for modality in Modality::ALL {
        for (state, count) in miner.store.ledger().counts(modality).await? {
            *all.entry(state).or_default() += count;
        }
    }
    Ok(all)
}

/// A task's record, for the validator that asked for it: another one gets no word of it, where upstream shows it prompt
/// and webhook.
async fn status(State(miner): State<Arc<Miner>>, Path(id): Path<String>, request: Request) -> Response<Body> {
    let task = match id.parse() {
        Ok(id) => miner.store.ledger().task(id).await,
        Err(_) => return error(StatusCode::NOT_FOUND, "Task not found"),
    };
    let asks = request.extensions().get::<Verified>().map(|verified| verified.signer.to_string());
    match task {
        Ok(task) if asks.is_none_or(|asks| asks == task.signed_by) => {
            answer::json_text(StatusCode::OK, record(&task).to_string())
        }
        Ok(_) | Err(StoreError::NoSuchTask(_)) => error(StatusCode::NOT_FOUND, "Task not found"),
        Err(why) => {
            tracing::error!("a task's record cannot be read: {why}");
            error(StatusCode::SERVICE_UNAVAILABLE, "The tasks cannot be read")
        }
    }
}

fn record(task: &Task) -> Value {
    json!({
        "task_id": task.id.to_string(),
        "modality": task.modality.as_str(),
        "status": upstreams_word(task.state),
        "prompt": task.request.prompt,
        "parameters": task.request.parameters,
        "webhook_url": task.request.webhook_url,
        "signed_by": task.signed_by,
        "created_at": seconds(task.accepted_at),
        "checkpoint": null,
        "input_data": null,
        // Upstream has the media here, and breaks on them.
        "result_data": null,
        "result_size": task.media.as_ref().map(|media| media.bytes),
        "result_url": null,
        "error_message": task.failure,
        "started_at": null,
        "completed_at": task.ended_at.map(seconds),
    })
}

/// Upstream knows four states.
fn upstreams_word(state: TaskState) -> &'static str {
    match state {
        TaskState::Accepted => "pending",
        TaskState::Calling
        | TaskState::Submitted
        | TaskState::Fetched
        | TaskState::Checked
        | TaskState::Delivering
        | TaskState::Unknown => "processing",
        TaskState::Delivered => "completed",
        TaskState::Failed
        | TaskState::Refused
        | TaskState::Uncertain
        | TaskState::Expired
        | TaskState::Dead => "failed",
    }
}

/// The handlers' shape of an error.
fn error(status: StatusCode, text: &str) -> Response<Body> {
    answer::json_text(status, json!({ "error": text, "timestamp": now() }).to_string())
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

fn seconds(milliseconds: task::UnixMs) -> f64 {
    milliseconds as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_route_is_in_the_document_and_the_other_way_round() {
        let document: Value = serde_json::from_str(OPENAPI).unwrap();
        let documented: BTreeSet<&str> =
            document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
        let routes = routes(None);
        let served: BTreeSet<&str> = routes.iter().map(|(path, _)| *path).collect();
        let pages = BTreeSet::from(["/docs", "/docs/{asset}", "/openapi.json", "/redoc"]);
        assert_eq!(&served - &pages, documented);
        assert!(served.is_superset(&pages));
        assert_eq!(document["info"]["title"], TITLE);
    }
}
