//! The miner as a whole, from start to stop: the port, the worker, and its place on chain.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use adit_auth::epistula::Gate;
use adit_chain::{FollowError, Follower};
use adit_http_server::Server as HttpServer;
use adit_keys::Keypair;
use adit_outbound::{Client, FetchError};
use tokio::sync::watch;

use crate::Modality;
use crate::check::Checker;
use crate::config::Config;
use crate::presence::{Absent, Presence};
use crate::server::{About, Miner, router};
use crate::service::{Services, Slot};
use crate::task::{self, Store, StoreError};
use crate::webhook::Webhook;
use crate::worker::Worker;

/// Why the miner does not start, or stops.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
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
    /// The stakes.
    #[error(transparent)]
    Stakes(#[from] FollowError),
    /// Tasks and media.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is nothing to mine.
    #[error(transparent)]
    Absent(#[from] Absent),
}

impl StartError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse => {
                Some("another program has this port: stop it, or set BT_AXON_PORT to a free one")
            }
            Self::Listen { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("ports below 1024 need a privilege: set BT_AXON_PORT to a higher one")
            }
            Self::Listen { source, .. } if source.kind() == io::ErrorKind::AddrNotAvailable => {
                Some("BT_AXON_IP is an address of this host; 0.0.0.0 is all of them")
            }
            Self::Store(StoreError::File { .. } | StoreError::DiskFull(_)) => {
                Some("MINER_OUTPUT_DIR and MINER_STATE_DIR name other places")
            }
            Self::Store(StoreError::Unreachable(_)) => {
                Some("is DATABASE_URL right, and does its server run?")
            }
            Self::Absent(absent) => Some(absent.hint()),
            _ => None,
        }
    }
}

/// A miner that has its port and its tasks. It answers and works with [`Server::serve`].
#[derive(Debug)]
pub struct Server {
    http: HttpServer,
    miner: Arc<Miner>,
    worker: Arc<Worker>,
    presence: Presence,
    following: Follower,
}

impl Server {
    /// Takes the port first, so that a second miner on it stops before it has touched anything, then opens the tasks.
    ///
    /// # Errors
    /// Anything that would otherwise fail on the first request.
    pub async fn bind(config: Config, pair: Keypair, checker: Checker) -> Result<Self, StartError> {
        let listening = |source| StartError::Listen { address: config.listen, source };
        let http = HttpServer::bind(config.listen, config.head_timeout).await.map_err(listening)?;
        let pair = Arc::new(pair);
        let gate = Arc::new(Gate::new(config.gate));
        let daily_budget = config.store.daily_budget;
        let task::Config { database, output_dir, .. } = &config.store;
        tracing::info!("Tasks: {database}, media in {}", output_dir.display());
        match daily_budget {
            Some(budget) => tracing::info!("Budget: {budget} a day"),
            None => tracing::warn!("Budget: no limit (MINER_DAILY_BUDGET_USD)"),
        }
        let store = Store::open(config.store).await?;
        say_services(&config.services);
        let following = Follower::start(gate.stakes_in_force(), config.stakes)?;
        let uid = Arc::new(OnceLock::new());
        let presence = Presence::new(config.chain, Arc::clone(&pair), http.address(), Arc::clone(&uid))?;
        let about = About {
            uid,
            hotkey: pair.hotkey().to_string(),
            concurrency: config.rules.concurrency,
            task_timeout: config.rules.timeout,
            keep: config.rules.keep,
        };
        let webhook = Webhook::new(pair, Client::new(config.webhooks)?);
        let worker = Worker::new(store.clone(), config.services.clone(), checker, webhook, config.rules);
        let miner = Miner {
            gate: Some(gate),
            store,
            services: config.services,
            daily_budget,
            about,
            started: Instant::now(),
        };
        Ok(Self { http, miner: Arc::new(miner), worker: Arc::new(worker), presence, following })
    }

    /// Address and port in use.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.http.address()
    }

    /// Serves and works until `stop` is ready, then lets paid calls and answers under way end. What is left is gone
    /// on with at the next start.
    ///
    /// # Errors
    /// [`StartError::Absent`] where the chain says that there is nothing to mine; what the database says at the end.
    pub async fn serve(self, stop: impl Future<Output = ()>) -> Result<(), StartError> {
        let (stopping, stopped) = watch::channel(false);
        let until_stopped = || {
            let mut stopped = stopped.clone();
            async move {
                let _ = stopped.wait_for(|stopped| *stopped).await;
            }
        };
        let working = tokio::spawn(self.worker.run(until_stopped()));
        let serving = self.http.serve(router(Arc::clone(&self.miner)), until_stopped());
        let ending = async {
            let ended = tokio::select! {
                () = stop => Ok(()),
                absent = self.presence.keep() => Err(absent),
            };
            tracing::info!("stopping: paid calls and answers under way are waited for");
            stopping.send_replace(true);
            ended
        };
        let (ended, ()) = tokio::join!(ending, serving);
        let _ = working.await;
        drop(self.following);
        self.miner.store.clone().close().await?;
        Ok(ended?)
    }
}

/// Who makes what, so that what is configured but of no use is seen at the start and not by the rewards.
fn say_services(services: &Services) {
    for modality in Modality::ALL {
        let what = match modality {
            Modality::Image => "Pictures",
            Modality::Video => "Videos",
        };
        match services.slot(modality) {
            Slot::Ready(provider) => {
                let model = services.get(*provider).and_then(|service| service.model_name(modality));
                tracing::info!("{what}: {} ({})", provider.name(), model.unwrap_or_default());
            }
            Slot::Off => tracing::info!("{what}: none, requests are refused"),
            Slot::Unusable(why) => tracing::warn!("{what}: requests are refused: {why}"),
        }
    }
}
