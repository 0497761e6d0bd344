//! The chute on this machine: the operator's model behind the routes that a chute has, without Chutes, GPU and Docker
//! (Turbo Vision reference, sections 3 and 6).
//!
//! It answers as both generations of chutes do: one of the guide's files ([`Backend::Guide`]), and one of the published
//! template with a `miner.py` ([`Backend::Miner`]) or a detector in ONNX ([`Backend::Model`]). A model in Python runs in a worker process, so that it may hang, crash or
//! print what it likes. What a model says is held to what validators read, and what is wrong is named: a chute would
//! send it on, and validators would pass over it in silence.

mod request;
mod routes;

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use adit_http_server::{ListenError, Server as HttpServer};
use adit_media::{Ffmpeg, Media, MediaLimits};
use adit_outbound::{AddressGuard, Client, FetchError};
use adit_predictor::{
    ChuteFiles, Environment, Gpus, Model, PredictError, Predictor, WorkerConfig, WorkerPool, python_program,
};
use tokio::time::Instant;

use routes::Chute;

/// Where a chute listens in a container, here for this machine alone.
pub const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8000);

/// The clip of the guide's own rehearsal (section 9.1).
pub const VIDEO_URL: &str = "https://scoredata.me/2025_03_14/35ae7a/h1_0f2ca0.mp4";

/// A request's head has this long to arrive.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// What runs the model.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Backend {
    /// The `miner.py` in a folder, as the published template runs it: class `Miner`, `predict_batch`.
    Miner {
        /// The model's folder, which `Miner` is given.
        folder: PathBuf,
    },
    /// The guide's template files: `_load_model`, `_health`, `_predict`.
    Guide(ChuteFiles),
    /// A detector, in this process. It answers as a `miner.py` would.
    Model(Model),
}

/// How the chute runs.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address and port; port 0 is a free one.
    pub listen: SocketAddr,
    /// The model.
    pub backend: Backend,
    /// The Python that runs it, with the packages that it needs.
    pub python: PathBuf,
    /// The variables that it gets; no others.
    pub environment: Environment,
    /// How long it may take to load.
    pub start_limit: Duration,
    /// Which GPUs it sees.
    pub gpus: Gpus,
    /// After how many answers it is loaded anew; 0 for never.
    pub recycle: u64,
    /// How long a request may take, its body and the clip's download included.
    pub deadline: Duration,
    /// Largest body of a request in bytes: frames come in it.
    pub max_body: usize,
    /// The path that predictions are asked at, without the first slash.
    pub predict_endpoint: String,
    /// The clip that `/api/tasks/next/v2` names.
    pub video_url: String,
    /// What clips and frames may be fetched from.
    pub guard: AddressGuard,
    /// The decoder.
    pub ffmpeg: Ffmpeg,
}

impl Config {
    /// A chute at [`LISTEN`], which gives a model 300 s to load and a request 300 s.
    #[must_use]
    pub fn new(backend: Backend, ffmpeg: Ffmpeg) -> Self {
        Self {
            listen: LISTEN,
            backend,
            python: python_program(),
            environment: Environment::chosen_from(std::env::vars_os(), &[]),
            start_limit: Duration::from_secs(300),
            gpus: Gpus::Inherited,
            recycle: 0,
            deadline: Duration::from_secs(300),
            max_body: 512 << 20,
            predict_endpoint: "predict".to_owned(),
            video_url: VIDEO_URL.to_owned(),
            guard: AddressGuard::public_only(),
            ffmpeg,
        }
    }
}

/// Why the chute does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The port.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The HTTP client.
    #[error(transparent)]
    Client(#[from] FetchError),
    /// A path that is none.
    #[error("the predict endpoint {0:?} is no path: small letters, digits, - and _ between slashes are")]
    Endpoint(String),
}

/// A chute that has its port and loads its model; it begins to answer with [`LocalChute::serve`].
#[derive(Debug)]
pub struct LocalChute {
    http: HttpServer,
    chute: Arc<Chute>,
}

impl LocalChute {
    /// Takes the port, then starts the model in the background.
    ///
    /// # Errors
    /// Any [`StartError`].
    pub async fn bind(config: Config) -> Result<Self, StartError> {
        if !crate::template::is_path(&config.predict_endpoint) {
            return Err(StartError::Endpoint(config.predict_endpoint));
        }
        let http = HttpServer::bind(config.listen, HEAD_TIMEOUT).await?;
        let media =
            Media::new(Client::new(config.guard.clone())?, config.ffmpeg.clone(), MediaLimits::default());
        let workers = |workers: WorkerConfig| {
            Predictor::Workers(WorkerPool::start(WorkerConfig {
                environment: config.environment.clone(),
                start_limit: config.start_limit,
                gpus: config.gpus.clone(),
                recycle: config.recycle,
                ..workers
            }))
        };
        let predictor = match &config.backend {
            Backend::Miner { folder } => workers(WorkerConfig::miner(&config.python, folder)),
            Backend::Guide(files) => workers(WorkerConfig::chute(&config.python, files)),
            Backend::Model(model) => Predictor::Model(model.clone()),
        };
        let chute = Chute::new(config, media, predictor, http.address());
        Ok(Self { http, chute: Arc::new(chute) })
    }

    /// Address and port in use.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.http.address()
    }

    /// The base of its URLs, for a client on this machine.
    #[must_use]
    pub fn url(&self) -> String {
        routes::url_of(self.address())
    }

    /// Waits until the model is loaded.
    ///
    /// # Errors
    /// [`PredictError::NotReady`] with what the model said last, as soon as it has failed to load once, or at the
    /// deadline.
    pub async fn loaded(&self, deadline: Instant) -> Result<(), PredictError> {
        self.chute.loaded(deadline).await
    }

    /// Serves until `stop` is ready, lets what is under way end, for 30 s at most, and ends the model.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        self.http.serve(routes::router(Arc::clone(&self.chute)), stop).await;
        self.chute.shutdown().await;
    }
}
