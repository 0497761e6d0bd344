//! The miner as a whole, from start to stop: the port, the worker, and its place on chain.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use adit_auth::epistula::Gate;
use adit_chain::{FollowError, Follower, Netuid, Observer};
use adit_http_server::{ListenError, Server as HttpServer};
use adit_journal::record::{Started, Stopped};
use adit_journal::{Place, Refusals};
use adit_keys::Keypair;
use adit_outbound::{Client, FetchError};
use adit_settings::var;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

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
    #[error(transparent)]
    Listen(#[from] ListenError),
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
    /// A part of the worker is gone: requests would be accepted, and nobody would work on them.
    #[error("the work on tasks has come to an end by an error in this program")]
    Worker,
}

impl StartError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let fixed = match self {
            Self::Listen(error) => return error.hint(var::AXON_PORT.name, Some(var::AXON_IP.name)),
            Self::Store(StoreError::File { .. } | StoreError::DiskFull(_)) => {
                Some("MINER_OUTPUT_DIR and MINER_STATE_DIR name other places")
            }
            Self::Store(StoreError::Unreachable(_)) => {
                Some("is DATABASE_URL right, and does its server run?")
            }
            Self::Absent(absent) => Some(absent.hint()),
            Self::Worker => Some("start it again: the tasks are gone on with; the log says what broke"),
            _ => None,
        };
        fixed.map(str::to_owned)
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
    netuid: Netuid,
}

impl Server {
    /// Takes the port first, so that a second miner on it stops before it has touched anything, then opens the tasks.
    ///
    /// # Errors
    /// Anything that would otherwise fail on the first request.
    pub async fn bind(mut config: Config, pair: Keypair, checker: Checker) -> Result<Self, StartError> {
        let http = HttpServer::bind(config.listen, config.head_timeout).await?;
        let pair = Arc::new(pair);
        let gate = Arc::new(Gate::new(config.gate));
        let daily_budget = config.store.daily_budget;
        let task::Config { database, output_dir, .. } = &config.store;
        tracing::info!("Tasks: {database}, media in {}", output_dir.display());
        match daily_budget {
            Some(budget) => tracing::info!("Budget: {budget} a day"),
            None => tracing::warn!("Budget: no limit (MINER_DAILY_BUDGET_USD)"),
        }
        let journal = config.journal.as_ref().and_then(Place::open);
        if let Some(journal) = &journal {
            tracing::info!("Journal: {}", journal.path().display());
        }
        config.store.journal.clone_from(&journal);
        let store = Store::open(config.store).await?;
        say_services(&config.services);
        let observer = journal.as_ref().map(|journal| Observer::new(pair.hotkey(), journal.clone()));
        let following = Follower::start(gate.stakes_in_force(), config.stakes, observer)?;
        let uid = Arc::new(OnceLock::new());
        let netuid = config.chain.netuid;
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
            journal,
            refusals: Refusals::default(),
        };
        Ok(Self { http, miner: Arc::new(miner), worker: Arc::new(worker), presence, following, netuid })
    }

    /// Address and port in use.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.http.address()
    }

    /// Serves and works until `stop` is ready, then lets paid calls and answers under way end. What is left is gone
    /// on with at the next start.
    ///
    /// `ready` is called once, when nothing speaks against the miner: the chain has said that its hotkey is registered,
    /// or does not answer for now. It is never called where there is nothing to mine.
    ///
    /// # Errors
    /// [`StartError::Absent`] where the chain says that there is nothing to mine; [`StartError::Worker`] where a part
    /// of the worker is gone; what the database says at the end.
    pub async fn serve(self, ready: impl FnOnce(), stop: impl Future<Output = ()>) -> Result<(), StartError> {
        if let Some(journal) = &self.miner.journal {
            journal.record(&self.started());
        }
        let (stopping, stopped) = watch::channel(false);
        let until_stopped = || {
            let mut stopped = stopped.clone();
            async move {
                let _ = stopped.wait_for(|stopped| *stopped).await;
            }
        };
        let working = Arc::clone(&self.worker).run(until_stopped());
        let serving = self.http.serve(router(Arc::clone(&self.miner)), until_stopped());
        let ending = async {
            let ended = tokio::select! {
                () = stop => Ok(()),
                absent = self.presence.keep(ready) => Err(absent.into()),
                () = self.worker.stopping() => Err(StartError::Worker),
            };
            tracing::info!("stopping: paid calls and answers under way are waited for");
            stopping.send_replace(true);
            ended
        };
        let telling = tell_refusals(&self.miner, until_stopped());
        let (ended, (), (), ()) = tokio::join!(ending, serving, working, telling);
        drop(self.following);
        let closed = self.miner.store.clone().close().await;
        let ended = ended.and(closed.map_err(StartError::from));
        if let Some(journal) = &self.miner.journal {
            journal.record(&Stopped { reason: ended.as_ref().err().map(ToString::to_string) });
        }
        ended
    }

    /// What the journal is told at the start.
    fn started(&self) -> Started {
        let miner = &self.miner;
        let mut works_by = Vec::new();
        let mut warnings = Vec::new();
        for modality in Modality::ALL {
            let words = format!("{}: {}", name(modality), miner.services.in_words(modality));
            if let Slot::Unusable(_) = miner.services.slot(modality) {
                warnings.push(words.clone());
            }
            works_by.push(words);
        }
        if Modality::ALL.iter().all(|modality| matches!(miner.services.slot(*modality), Slot::Off)) {
            warnings.push("there is no service, so every task is refused".to_owned());
        }
        if miner.daily_budget.is_none() {
            warnings.push("what paid calls cost a day has no limit".to_owned());
        }
        if miner.gate.as_ref().is_some_and(|gate| gate.policy().min_stake.is_none()) {
            warnings.push("callers are not judged by their stake".to_owned());
        }
        Started {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            address: self.address().to_string(),
            hotkey: Some(miner.about.hotkey.clone()),
            netuid: Some(self.netuid.0),
            works_by,
            image: None,
            daily_budget_micro_usd: miner.daily_budget.map(|budget| budget.0),
            warnings,
        }
    }
}

/// Records who was refused, a minute's at once, until there can be no more.
async fn tell_refusals(miner: &Miner, stopped: impl Future<Output = ()>) {
    let Some(journal) = &miner.journal else { return };
    let minutes = async {
        let mut minutes = interval(Refusals::EVERY);
        minutes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            minutes.tick().await;
            miner.refusals.flush(journal);
        }
    };
    tokio::select! {
        () = minutes => {}
        () = stopped => {}
    }
    miner.refusals.flush(journal);
}

fn name(modality: Modality) -> &'static str {
    match modality {
        Modality::Image => "Pictures",
        Modality::Video => "Videos",
    }
}

/// Who makes what, so that what is configured but of no use is seen at the start and not by the rewards.
fn say_services(services: &Services) {
    for modality in Modality::ALL {
        let what = name(modality);
        let words = services.in_words(modality);
        match services.slot(modality) {
            Slot::Ready(_) | Slot::Off => tracing::info!("{what}: {words}"),
            Slot::Unusable(_) => tracing::warn!("{what}: {words}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::time::{Duration, SystemTime};

    use adit_auth::epistula::{GateConfig, Policy};
    use adit_chain::{Endpoints, StakeSource};
    use adit_journal::{Entry, Limits, Reader};
    use adit_outbound::AddressGuard;
    use adit_settings::Environment;
    use tokio::time::timeout;

    use super::*;
    use crate::config::ChainConfig;
    use crate::worker::Rules;

    /// A miner without services, on a chain that does not answer.
    async fn server(folder: &tempfile::TempDir) -> Server {
        let pair = Keypair::generate();
        let stakes = folder.path().join("stakes.json");
        std::fs::write(&stakes, "{}").unwrap();
        let environment = Environment::layered([], None).unwrap();
        let second = Duration::from_secs(1);
        let config = Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            head_timeout: second,
            gate: GateConfig {
                policy: Policy { own_hotkey: pair.hotkey(), min_stake: None },
                nonce_capacity: 1,
                max_body: 1,
                body_timeout: second,
            },
            stakes: StakeSource::File(stakes),
            chain: ChainConfig {
                endpoints: Endpoints::parse("ws://127.0.0.1:9").unwrap(),
                netuid: Netuid(34),
                look: second,
                address: None,
                address_url: String::new(),
            },
            store: task::Config {
                database: task::Address::Sqlite(folder.path().join("tasks.db")),
                output_dir: folder.path().join("media"),
                queue: 1,
                daily_budget: None,
                journal: None,
            },
            services: Services::from_environment(&environment, SystemTime::now()).unwrap(),
            rules: Rules {
                concurrency: 1,
                timeout: second,
                fail_over: false,
                keep: second,
                save_locally: false,
            },
            webhooks: AddressGuard::public_only(),
            journal: Some(Place { path: folder.path().join("journal.sqlite"), limits: Limits::default() }),
        };
        Server::bind(config, pair, Checker::Here(Vec::new())).await.unwrap()
    }

    #[tokio::test]
    async fn a_worker_that_ends_early_ends_the_miner() {
        let folder = tempfile::tempdir().unwrap();
        let server = server(&folder).await;
        let worker = Arc::clone(&server.worker);
        let serving = tokio::spawn(server.serve(|| {}, pending()));
        // It stops, and nobody has told the miner to.
        worker.run(ready(())).await;
        let ended = timeout(Duration::from_secs(30), serving).await.unwrap().unwrap();
        let error = ended.unwrap_err();
        assert!(matches!(error, StartError::Worker), "{error}");
        assert!(error.hint().unwrap().contains("start it again"));
        let stopped: Stopped = newest(&folder, "stopped").read().unwrap();
        assert_eq!(stopped.reason, Some(error.to_string()));
    }

    #[tokio::test]
    async fn a_miner_that_is_told_to_stop_ends_well() {
        let folder = tempfile::tempdir().unwrap();
        let server = server(&folder).await;
        let address = server.address().to_string();
        let hotkey = server.miner.about.hotkey.clone();
        server.miner.refusals.add("stale", None, "signed 20 s ago");
        timeout(Duration::from_secs(30), server.serve(|| {}, ready(()))).await.unwrap().unwrap();
        let started: Started = newest(&folder, "started").read().unwrap();
        assert_eq!((started.address, started.hotkey, started.netuid), (address, Some(hotkey), Some(34)));
        // Neither modality has a key.
        assert_eq!(started.warnings[..2], started.works_by);
        assert_eq!(
            started.warnings[2..],
            ["what paid calls cost a day has no limit", "callers are not judged by their stake"]
        );
        assert_eq!(newest(&folder, "refused").outcome.as_deref(), Some("stale"));
        assert_eq!(newest(&folder, "stopped").outcome.as_deref(), Some("told"));
    }

    fn newest(folder: &tempfile::TempDir, event: &str) -> Entry {
        Reader::open(&folder.path().join("journal.sqlite")).unwrap().newest(event).unwrap().unwrap()
    }
}
