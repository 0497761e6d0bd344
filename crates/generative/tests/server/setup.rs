//! A miner with a task store of its own, and requests to it.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use adit_auth::epistula::Gate;
use adit_generative::Usd;
use adit_generative::server::{About, Miner, router};
use adit_generative::service::Services;
use adit_generative::task::{Address, Config, Store};
use adit_journal::{Journal, Refusals};
use adit_settings::Environment;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, Response, StatusCode};
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt as _;

use crate::contract;

pub(crate) struct Fixture {
    pub(crate) miner: Arc<Miner>,
    router: Router,
    _folder: TempDir,
}

/// What a miner may be given.
pub(crate) struct Wanted<'a> {
    pub(crate) image: &'a str,
    pub(crate) video: &'a str,
    pub(crate) queue: u64,
    pub(crate) daily_budget: Option<Usd>,
    pub(crate) journal: Option<Journal>,
    pub(crate) gate: Option<Arc<Gate>>,
}

impl Default for Wanted<'_> {
    fn default() -> Self {
        Self {
            image: "stabilityai",
            video: "runway",
            queue: 100,
            daily_budget: None,
            journal: None,
            gate: None,
        }
    }
}

impl Fixture {
    pub(crate) async fn new(wanted: Wanted<'_>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pairs = [
            ("IMAGE_SERVICE", wanted.image),
            ("VIDEO_SERVICE", wanted.video),
            ("OPENAI_API_KEY", "sk-test"),
            ("OPEN_ROUTER_API_KEY", "sk-test"),
            ("STABILITY_API_KEY", "sk-test"),
            ("RUNWAYML_API_KEY", "key_test"),
        ];
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        // The 1st of May 2026, when all of the guide's services were up.
        let may = SystemTime::UNIX_EPOCH + Duration::from_secs(1_777_593_600);
        let services = Services::from_environment(&Environment::layered(pairs, None).unwrap(), may).unwrap();
        let store = Store::open(Config {
            database: Address::Sqlite(folder.path().join("tasks.db")),
            output_dir: folder.path().join("media"),
            queue: wanted.queue,
            daily_budget: wanted.daily_budget,
            journal: wanted.journal.clone(),
        });
        let miner = Miner {
            gate: wanted.gate,
            store: store.await.unwrap(),
            services,
            daily_budget: wanted.daily_budget,
            about: About {
                uid: Arc::new(OnceLock::from(7)),
                hotkey: "5Miner".to_owned(),
                concurrency: 5,
                task_timeout: Duration::from_secs(300),
                keep: Duration::from_secs(86_400),
            },
            started: Instant::now(),
            journal: wanted.journal,
            refusals: Refusals::default(),
        };
        let miner = Arc::new(miner);
        Self { router: router(Arc::clone(&miner)), miner, _folder: folder }
    }

    /// Every answer must be one that `openapi.json` describes.
    pub(crate) async fn ask(&self, request: Request<Body>) -> Response<Body> {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let (head, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let body = to_bytes(body, 8 << 20).await.unwrap();
        contract::check(&method, &path, &head, &body);
        Response::from_parts(head, Body::from(body))
    }

    /// A request with JSON, and what is answered.
    pub(crate) async fn json(
        &self,
        method: &str,
        path: &str,
        headers: HeaderMap,
        body: impl Into<Body>,
    ) -> (StatusCode, Value) {
        let mut request = Request::builder().method(method).uri(path).body(body.into()).unwrap();
        *request.headers_mut() = headers;
        let response = self.ask(request).await;
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }
}
