//! The challenge server: what it is made of, and its sockets. What is answered is in `routes`.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant as StdInstant};

use adit_auth::{Gate, StakeGate};
use adit_media::{Ffmpeg, Media, MediaError, MediaLimits};
use adit_outbound::{Client, FetchError};
use adit_predictor::{Predictor, WorkerPool};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::admission::Admission;
use crate::challenge::Solver;
use crate::config::{Config, ConfigError, PredictorChoice};
use crate::metrics::Metrics;
use crate::record::Recorder;
use crate::routes::{Miner, router};
use crate::stakes::{Follower, StakeSource};
use crate::stall::WriteStall;

/// Largest request head in bytes. A validator's has about 800.
const MAX_HEAD: usize = 32 * 1024;
/// Connections open at once: half of the 1,024 files that a process may have open by default, since
/// each challenge needs a few more for its clip and its decoder.
const MAX_CONNECTIONS: usize = 512;
/// A peer that does not read its answer for this long is dropped.
const WRITE_STALL: Duration = Duration::from_secs(10);
/// What runs when the server is told to stop has this long to end.
const DRAIN: Duration = Duration::from_secs(30);
/// After a failed `accept` (no file descriptors left, say) the next try waits this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The port.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Address and port.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The HTTP client.
    #[error(transparent)]
    Client(#[from] FetchError),
    /// ffmpeg.
    #[error(transparent)]
    Decoder(#[from] MediaError),
}

impl StartError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Config(error) => error.hint(),
            Self::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse => {
                Some("another program has this port: stop it, or set MINER_PORT to a free one")
            }
            Self::Listen { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("ports below 1024 need a privilege: set MINER_PORT to a higher one")
            }
            Self::Decoder(_) => {
                Some("install ffmpeg 5 or newer (`apt install ffmpeg`), or set ADIT_FFMPEG to its path")
            }
            _ => None,
        }
    }
}

/// A server that has its port, its stake table and its predictor, and begins to answer with
/// [`Server::serve`].
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    head_timeout: Duration,
    miner: Arc<Miner>,
    following: Option<Follower>,
}

impl Server {
    /// Takes the port first, so that a second miner on it stops before it has loaded anything, then
    /// reads the stake table, finds the decoder and starts the predictor. Workers load in the
    /// background: `/docs` and `/health` say when they are ready.
    ///
    /// # Errors
    /// Anything that would otherwise fail on the first request.
    pub async fn bind(config: Config) -> Result<Self, StartError> {
        let listening = |source| StartError::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(listening)?;
        let address = listener.local_addr().map_err(listening)?;

        let policy = config.gate.policy.clone();
        let gate = Arc::new(Gate::new(config.gate));
        let ffmpeg = Ffmpeg::at(Some(&config.ffmpeg));
        let limits = MediaLimits { max_bytes: config.max_clip_bytes, ..MediaLimits::default() };
        let media = Media::new(Client::new(config.guard)?, ffmpeg, limits);
        let recorder = config
            .journal
            .as_ref()
            .and_then(|file| Recorder::open(file, policy.own_hotkey, config.predictor.name(), config.image));
        let predictor = Arc::new(match config.predictor {
            PredictorChoice::Baseline => Predictor::Baseline,
            PredictorChoice::Workers(workers) => Predictor::Workers(WorkerPool::start(workers)),
        });

        log_security(policy.stake_gate != StakeGate::Off, policy.verify);
        tracing::info!("Predictor: {}", predictor.describe());

        let stake_source = config.stakes.as_ref().map(StakeSource::name);
        let follow = |source| Follower::start(Arc::clone(&gate), source);
        let following = config.stakes.map(follow).transpose()?;
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
        Ok(Self { listener, address, head_timeout: config.head_timeout, miner: Arc::new(miner), following })
    }

    /// Address and port in use.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
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
        let mut decoder = Box::pin(async move {
            let version = miner.solver.media.ffmpeg().version().await?;
            tracing::info!("Decoder: ffmpeg {version}");
            Ok::<(), MediaError>(())
        });
        let mut decoder_checked = false;
        let app = router(Arc::clone(&self.miner));
        let service = TowerToHyperService::new(app);
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(self.head_timeout).max_buf_size(MAX_HEAD);
        let graceful = GracefulShutdown::new();
        let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        tokio::pin!(stop);
        loop {
            // At the limit the kernel's backlog holds what comes.
            let accept = async {
                let place = Arc::clone(&connections).acquire_owned().await;
                (self.listener.accept().await, place)
            };
            let (stream, place) = tokio::select! {
                () = &mut stop => break,
                checked = &mut decoder, if !decoder_checked => {
                    checked?;
                    decoder_checked = true;
                    continue;
                }
                (accepted, place) = accept => match accepted {
                    Ok((stream, _)) => (stream, place),
                    Err(error) => {
                        tracing::warn!("accepting a connection: {error}");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                },
            };
            // Answers are one small write each; waiting to fill a packet only delays them.
            let _ = stream.set_nodelay(true);
            let connection =
                http.serve_connection(TokioIo::new(WriteStall::new(stream, WRITE_STALL)), service.clone());
            let connection = graceful.watch(connection);
            tokio::spawn(async move {
                let _place = place;
                if let Err(error) = connection.await {
                    tracing::debug!("connection: {error}");
                }
            });
        }
        drop(self.listener);
        drop(self.following);
        tracing::info!("stopping: letting {} challenges end", self.miner.admission.working());
        if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
            tracing::warn!("some challenges did not end within {} s", DRAIN.as_secs());
        }
        self.miner.solver.predictor.shutdown().await;
        Ok(())
    }
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
