//! The challenge server: what it is made of. What is answered is in `routes`.

use std::future::{Future, pending};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant as StdInstant;

use adit_auth::{Gate, StakeGate};
use adit_chain::{ChainStakes, Follower, Observer, StakeSource};
use adit_http_server::{ListenError, Server as HttpServer};
use adit_journal::{Place, Refusals};
use adit_media::{Ffmpeg, Media, MediaError, MediaLimits};
use adit_outbound::{Client, FetchError};
use adit_predictor::{ModelError, Predictor};
use adit_settings::var;

use crate::admission::Admission;
use crate::challenge::Solver;
use crate::config::{Config, ConfigError};
use crate::metrics::Metrics;
use crate::record::{Answerer, Recorder, warnings};
use crate::routes::{Miner, router};

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The port.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The HTTP client.
    #[error(transparent)]
    Client(#[from] FetchError),
    /// The model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// ffmpeg.
    #[error(transparent)]
    Decoder(#[from] MediaError),
}

impl StartError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let fixed = match self {
            Self::Config(error) => error.hint(),
            Self::Listen(error) => return error.hint(var::MINER_PORT.name, None),
            Self::Decoder(_) => {
                Some("install ffmpeg 5 or newer (`apt install ffmpeg`), or set ADIT_FFMPEG to its path")
            }
            Self::Model(_) => {
                Some("`sv model check FOLDER` tries a model out; ADIT_PREDICTOR=baseline does without")
            }
            Self::Client(_) => None,
        };
        fixed.map(str::to_owned)
    }
}

/// A server that has its port, its stake table and its predictor, and begins to answer with
/// [`Server::serve`].
#[derive(Debug)]
pub struct Server {
    http: HttpServer,
    miner: Arc<Miner>,
    following: Option<Follower>,
}

impl Server {
    /// Takes the port first, so that a second miner on it stops before it has loaded anything, then
    /// reads the stake table, finds the decoder and starts the predictor. Workers load in the
    /// background: `/docs` and `/health` say when they are ready. A model in ONNX is loaded and tried out here.
    ///
    /// # Errors
    /// Anything that would otherwise fail on the first request.
    pub async fn bind(config: Config) -> Result<Self, StartError> {
        let http = HttpServer::bind(config.listen, config.head_timeout).await?;

        let policy = config.gate.policy.clone();
        let gate = Arc::new(Gate::new(config.gate));
        let ffmpeg = Ffmpeg::at(Some(&config.ffmpeg));
        let limits = MediaLimits { max_bytes: config.max_clip_bytes, ..MediaLimits::default() };
        let media = Media::new(Client::new(config.guard)?, ffmpeg, limits);
        let recorder = config.journal.as_ref().and_then(Place::open).map(|journal| {
            tracing::info!("Journal: {}", journal.path().display());
            let predictor = config.predictor.name().to_owned();
            let answerer = Answerer { hotkey: policy.own_hotkey, predictor, image: config.image };
            Recorder { journal, answerer: Arc::new(answerer), refusals: Refusals::default() }
        });
        let predictor = Arc::new(config.predictor.start().await?);

        log_security(policy.stake_gate != StakeGate::Off, policy.verify);
        tracing::info!("Predictor: {}", predictor.describe());

        let stake_source = config.stakes.as_ref().map(StakeSource::name);
        let observer = recorder.as_ref().and_then(Recorder::observer);
        let following = match config.stakes {
            Some(source) => {
                let started = Follower::start(gate.stakes_in_force(), source, observer);
                Some(started.map_err(ConfigError::from)?)
            }
            None => config.facts.zip(observer).and_then(observe),
        };
        if stake_source.is_some() && gate.stakes().is_none() {
            let until = match policy.stake_gate {
                StakeGate::OpenUntilKnown => "no caller is judged by its stake",
                StakeGate::Closed | StakeGate::Off => "every caller is refused",
            };
            tracing::warn!("no stakes are known yet: until the chain answers, {until} (ADIT_STAKES_UNKNOWN)");
        }
        if let Some(recorder) = &recorder {
            let warnings = warnings(&policy, gate.stakes().is_some());
            recorder.started(http.address(), config.netuid, predictor.describe(), warnings);
        }
        let miner = Miner {
            solver: Solver { media, predictor, mode: config.mode },
            admission: Admission::new(config.concurrency, config.queue),
            metrics: Metrics::new(),
            deadline: config.deadline,
            stake_max_age: config.stake_max_age,
            stake_source,
            recorder,
            started: StdInstant::now(),
            gate,
        };
        Ok(Self { http, miner: Arc::new(miner), following })
    }

    /// Address and port in use.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.http.address()
    }

    /// The model, to wait until it is loaded.
    #[must_use]
    pub fn predictor(&self) -> Arc<Predictor> {
        Arc::clone(&self.miner.solver.predictor)
    }

    /// Serves until `stop` is ready, then lets what is under way end, for 30 s at most.
    ///
    /// # Errors
    /// [`StartError::Decoder`] at once where there is no usable ffmpeg. It is asked here, beside the
    /// serving, since to load it takes longer than all else at a start.
    pub async fn serve(self, stop: impl Future<Output = ()>) -> Result<(), StartError> {
        let miner = Arc::clone(&self.miner);
        let stop = async {
            stop.await;
            tracing::info!("stopping: letting {} challenges end", miner.admission.working());
        };
        let no_decoder = async {
            match miner.solver.media.ffmpeg().version().await {
                Err(error) => error,
                Ok(version) => {
                    tracing::info!("Decoder: ffmpeg {version}");
                    pending().await
                }
            }
        };
        let refused = async {
            match &miner.recorder {
                Some(recorder) => recorder.record_refusals().await,
                None => pending().await,
            }
        };
        let ended: Result<(), StartError> = tokio::select! {
            error = no_decoder => Err(error.into()),
            never = refused => match never {},
            () = self.http.serve(router(Arc::clone(&self.miner)), stop) => Ok(()),
        };
        if let Some(recorder) = &miner.recorder {
            recorder.stopped(ended.as_ref().err().map(ToString::to_string));
        }
        ended?;
        drop(self.following);
        self.miner.solver.predictor.shutdown().await;
        Ok(())
    }
}

/// Follows the chain for the record alone, which is no reason not to start.
fn observe((chain, observer): (ChainStakes, Observer)) -> Option<Follower> {
    let started = Follower::observe(chain, observer);
    started.inspect_err(|error| tracing::warn!("the miner's place on chain is not recorded: {error}")).ok()
}

/// The lines that the guide promises.
fn log_security(stake_gate: bool, verify: bool) {
    let word = |on: bool| if on { "ENABLED" } else { "DISABLED" };
    tracing::info!("Blacklist: {}", word(stake_gate));
    tracing::info!("Verify: {}", word(verify));
    if !stake_gate && !verify {
        tracing::warn!("All security DISABLED - local testing only");
    }
}
