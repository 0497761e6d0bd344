//! The routes of a chute: what is answered to whom.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use adit_http_server::answer::{self, detail, json_text};
use adit_http_server::seen_from_here;
use adit_media::{ClipFile, Media, MediaError, PictureSource};
use adit_predictor::{Answer, Image, ImageStream, PredictError, Predictor, Subject, Task, Wanted};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::{Response, StatusCode, Uri};
use axum::response::IntoResponse as _;
use axum::routing::{get, post};
use futures_util::{StreamExt as _, stream};
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout_at};
use tower::ServiceExt as _;
use tower_http::services::ServeFile;

use super::request::{self, Frame, Shown};
use super::{Backend, Config};

/// What the template takes where a request says nothing (section 6.2).
const BATCH_SIZE: u32 = 64;
const N_KEYPOINTS: u32 = 32;

/// Requests that are held in memory at once, as many as a chute of the guide takes. Others wait unread.
const AT_ONCE: usize = 4;

/// How often a model that is being loaded is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// The one task of `/api/tasks/next/v2`.
const TASK_ID: &str = "0";

/// What the routes share.
#[derive(Debug)]
pub(super) struct Chute {
    config: Config,
    media: Media,
    predictor: Predictor,
    /// Where the model of the guide's files finds a clip that was fetched for it.
    base: String,
    clips: Clips,
    places: Semaphore,
}

/// Why a request has no predictions.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the model cannot be loaded: {0}")]
    NotLoaded(String),
    #[error(transparent)]
    Predict(#[from] PredictError),
    #[error(transparent)]
    Media(#[from] MediaError),
    #[error("Failed to decode frame {0}: {1}")]
    Frame(i64, MediaError),
    #[error("{0}")]
    Request(String),
    #[error("no answer within {0:?}")]
    OutOfTime(Duration),
}

/// The base of a chute's URLs for a client on this machine.
pub(super) fn url_of(address: SocketAddr) -> String {
    format!("http://{}", seen_from_here(address))
}

pub(super) fn router(chute: Arc<Chute>) -> Router {
    Router::new()
        .route("/health", post(health))
        .route(&format!("/{}", chute.config.predict_endpoint), post(predict))
        .route("/api/tasks/next/v2", get(next_task))
        .route("/clips/{name}", get(clip))
        .method_not_allowed_fallback(answer::method_not_allowed)
        .fallback(not_found)
        .with_state(chute)
}

async fn not_found(uri: Uri) -> Response<Body> {
    answer::not_found(&uri, &["/health", "/predict", "/api/tasks/next/v2"])
}

async fn next_task(State(chute): State<Arc<Chute>>) -> Response<Body> {
    let task = json!({ "task_id": TASK_ID, "video_url": chute.config.video_url });
    json_text(StatusCode::OK, task.to_string())
}

async fn health(State(chute): State<Arc<Chute>>) -> Response<Body> {
    let failed = chute.predictor.load_failure();
    let about = chute.predictor.about();
    let of_miner = |key: &str| about.as_ref()?.get(key).cloned();
    let body = match (&chute.config.backend, &about) {
        (Backend::Miner { .. } | Backend::Model(_), about) => json!({
            "status": match (about, failed) {
                (Some(_), _) => "healthy".to_owned(),
                (None, Some(reason)) => format!("❌ Failed to load miner: {reason}"),
                (None, None) => "the miner is being loaded".to_owned(),
            },
            // Python's own word where there is none.
            "model_loaded": of_miner("model_loaded").unwrap_or("None".into()),
            "memory_gb": of_miner("memory_gb"),
            "cuda": "not looked at on this machine",
        }),
        (Backend::Guide(_), Some(about)) => Value::Object(about.clone()),
        (Backend::Guide(files), None) => json!({
            "status": match failed {
                Some(reason) => format!("the model cannot be loaded: {reason}"),
                None => "the model is being loaded".to_owned(),
            },
            "model": files.name,
            "model_loaded": false,
        }),
    };
    json_text(StatusCode::OK, body.to_string())
}

async fn predict(State(chute): State<Arc<Chute>>, request: Request) -> Response<Body> {
    let deadline = Instant::now() + chute.config.deadline;
    let _place = match timeout_at(deadline, chute.places.acquire()).await {
        Ok(Ok(place)) => place,
        _ => return detail(StatusCode::TOO_MANY_REQUESTS, "the chute was busy until the deadline"),
    };
    let limit = chute.config.max_body;
    let body = match timeout_at(deadline, to_bytes(request.into_body(), limit)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            let text = format!("the body broke off, or has more than {limit} bytes");
            return detail(StatusCode::PAYLOAD_TOO_LARGE, &text);
        }
        Err(_) => return detail(StatusCode::REQUEST_TIMEOUT, "the body was still arriving at the deadline"),
    };
    match &chute.config.backend {
        Backend::Miner { .. } | Backend::Model(_) => {
            let asked = match request::head(&body) {
                Ok(asked) => asked,
                Err(what) => return invalid(&what),
            };
            drop(body);
            match chute.in_time(chute.head(asked, deadline), deadline).await {
                Ok(frames) => {
                    let predictions = json!({ "frames": frames });
                    said(&json!({ "success": true, "predictions": predictions, "error": null }))
                }
                Err(failure) => {
                    let text = format!("❌ There was a problem during prediction: {failure}");
                    said(&json!({ "success": false, "predictions": null, "error": text }))
                }
            }
        }
        Backend::Guide(files) => {
            let asked = match request::guide(&body) {
                Ok(asked) => asked,
                Err(what) => return invalid(&what),
            };
            match chute.in_time(chute.guide(asked, deadline), deadline).await {
                Ok(frames) => {
                    let predictions = json!({ "frames": frames });
                    said(&json!({
                        "success": true, "model": files.name, "predictions": predictions, "error": null
                    }))
                }
                Err(failure) => {
                    // The model's own words are its answer.
                    let text = match failure {
                        Failure::Predict(PredictError::Model(text)) => text,
                        other => other.to_string(),
                    };
                    said(
                        &json!({ "success": false, "model": files.name, "predictions": null, "error": text }),
                    )
                }
            }
        }
    }
}

/// Errors of a prediction come back with 200, as a chute's do.
fn said(answer: &Value) -> Response<Body> {
    match answer["error"].as_str() {
        Some(error) => tracing::warn!("no predictions: {error}"),
        None => tracing::info!(
            "frames predicted: {}",
            answer["predictions"]["frames"].as_array().map_or(0, Vec::len)
        ),
    }
    json_text(StatusCode::OK, answer.to_string())
}

fn invalid(what: &str) -> Response<Body> {
    detail(StatusCode::BAD_REQUEST, &format!("Invalid input parameters: {what}"))
}

/// A clip that was fetched for the model of the guide's files, for as long as it is asked about it.
async fn clip(State(chute): State<Arc<Chute>>, Path(name): Path<String>, request: Request) -> Response<Body> {
    let Some(file) = chute.clips.get(&name) else { return detail(StatusCode::NOT_FOUND, "Not Found") };
    match ServeFile::new(file.path()).oneshot(request).await {
        Ok(response) => response.into_response(),
        Err(never) => match never {},
    }
}

impl Chute {
    pub(super) fn new(config: Config, media: Media, predictor: Predictor, address: SocketAddr) -> Self {
        let base = url_of(address);
        Self { config, media, predictor, base, clips: Clips::default(), places: Semaphore::new(AT_ONCE) }
    }

    pub(super) async fn shutdown(&self) {
        self.predictor.shutdown().await;
    }

    pub(super) async fn loaded(&self, deadline: Instant) -> Result<(), PredictError> {
        loop {
            if self.predictor.ready() {
                return Ok(());
            }
            match self.predictor.load_failure() {
                Some(reason) => return Err(PredictError::NotReady { reason }),
                None if Instant::now() >= deadline => {
                    return Err(PredictError::NotReady {
                        reason: "the model is still being loaded".to_owned(),
                    });
                }
                None => sleep(LOOK).await,
            }
        }
    }

    async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
        deadline: Instant,
    ) -> Result<T, Failure> {
        let work = async {
            // A model that cannot be loaded would let each request wait for the deadline.
            match self.loaded(deadline).await {
                Err(PredictError::NotReady { reason }) => return Err(Failure::NotLoaded(reason)),
                other => other?,
            }
            work.await
        };
        timeout_at(deadline, work).await.unwrap_or(Err(Failure::OutOfTime(self.config.deadline)))
    }

    /// As the published template does it.
    async fn head(
        &self,
        asked: request::Head,
        deadline: Instant,
    ) -> Result<Vec<Map<String, Value>>, Failure> {
        let wanted = Wanted::Objects {
            batch_size: request::count(&asked.meta, "batch_size", BATCH_SIZE, 1).map_err(Failure::Request)?,
            n_keypoints: request::count(&asked.meta, "n_keypoints", N_KEYPOINTS, 0)
                .map_err(Failure::Request)?,
        };
        match asked.shown {
            Shown::Nothing => Err(Failure::Request("Missing both video url and frames payload".to_owned())),
            Shown::Clip(url) => {
                let frames = self.media.original_frames(&url, deadline).await?;
                self.ask(wanted, Subject::Frames(frames), deadline).await
            }
            Shown::Frames(frames) => {
                let nothing =
                    |frame: &&Frame| [&frame.data, &frame.url].into_iter().flatten().all(String::is_empty);
                if let Some(frame) = frames.iter().find(nothing) {
                    return Err(Failure::Request(format!("Frame {} missing url or data", frame.frame_id)));
                }
                let at = Arc::new(Mutex::new(0));
                let (media, now) = (self.media.clone(), Arc::clone(&at));
                let images = stream::iter(frames).then(move |frame| {
                    *locked(&now) = frame.frame_id;
                    let media = media.clone();
                    async move { image(&media, frame, deadline).await }
                });
                match self.ask(wanted, Subject::Images(ImageStream::new(images)), deadline).await {
                    Err(Failure::Predict(PredictError::Media(error))) => {
                        Err(Failure::Frame(*locked(&at), error))
                    }
                    other => other,
                }
            }
        }
    }

    /// As a chute of the guide's files does it. The model fetches the clip by itself, but from here: what this
    /// machine may reach is decided in one place.
    async fn guide(
        &self,
        asked: request::Guide,
        deadline: Instant,
    ) -> Result<Vec<Map<String, Value>>, Failure> {
        let file = self.media.file(&asked.url, deadline).await?;
        let clip = self.clips.keep(file);
        let url = format!("{}/clips/{}", self.base, clip.name);
        let wanted = Wanted::Objects { batch_size: BATCH_SIZE, n_keypoints: N_KEYPOINTS };
        self.ask(wanted, Subject::Link { url, meta: asked.meta }, deadline).await
    }

    async fn ask(
        &self,
        wanted: Wanted,
        subject: Subject,
        deadline: Instant,
    ) -> Result<Vec<Map<String, Value>>, Failure> {
        let task = Task { challenge_id: TASK_ID.to_owned(), wanted, subject };
        match self.predictor.predict(task, deadline).await? {
            Answer::Objects(frames) => Ok(frames),
            other => Err(Failure::Request(format!("the model answered {other:?} in place of objects"))),
        }
    }
}

async fn image(media: &Media, frame: Frame, deadline: Instant) -> Result<Image, MediaError> {
    let source = match (&frame.data, &frame.url) {
        (Some(data), _) if !data.is_empty() => PictureSource::Base64(data),
        (_, url) => PictureSource::Url(url.as_deref().unwrap_or_default()),
    };
    let picture = media.picture(source, deadline).await?;
    let pixels = media.pixels(&picture, deadline).await?;
    Ok(Image { frame_id: frame.frame_id, width: picture.width, height: picture.height, pixels })
}

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Clips that can be fetched here, by name.
#[derive(Debug, Default)]
struct Clips {
    kept: Mutex<HashMap<String, Arc<ClipFile>>>,
    next: AtomicU64,
}

/// A clip that can be fetched until this is dropped.
struct Kept<'a> {
    name: String,
    clips: &'a Clips,
}

impl Clips {
    fn keep(&self, file: ClipFile) -> Kept<'_> {
        let name = format!("{}.mp4", self.next.fetch_add(1, Ordering::Relaxed));
        locked(&self.kept).insert(name.clone(), Arc::new(file));
        Kept { name, clips: self }
    }

    fn get(&self, name: &str) -> Option<Arc<ClipFile>> {
        locked(&self.kept).get(name).cloned()
    }
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        locked(&self.clips.kept).remove(&self.name);
    }
}
