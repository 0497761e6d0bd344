//! One connection to the chain at a time: made when it is needed, over the endpoints in their order,
//! held to one genesis, and made anew with a growing pause when it breaks. Every wait has a limit.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use adit_keys::Hotkey;
use jsonrpsee::ws_client::{PingConfig, WsClientBuilder};
use subxt::backend::LegacyBackend;
use subxt::config::RpcConfigFor;
use subxt::rpcs::{LegacyRpcMethods, RpcClient};
use subxt::{OnlineClient, PolkadotConfig};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::error::{At as _, Tried};
use crate::head::Head;
use crate::network::Endpoint;
use crate::{ChainError, Endpoints};

pub(crate) type Rpc = LegacyRpcMethods<RpcConfigFor<PolkadotConfig>>;

/// Largest answer in bytes. Metadata has 0.3 MB, in hexadecimal twice that.
const MAX_ANSWER: u32 = 32 * 1024 * 1024;
/// A node whose newest block is older than this is behind; blocks come every 12 s.
const BEHIND: Duration = Duration::from_secs(120);
/// How often a quiet connection is asked whether its other end is there.
const PING: Duration = Duration::from_secs(15);

/// How long and how often the chain is asked.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For a connection, its handshake included.
    pub connect: Duration,
    /// For one answer.
    pub answer: Duration,
    /// How often all endpoints are tried before a read fails.
    pub rounds: u32,
    /// Pause after the first failed round; each further one doubles it.
    pub pause: Duration,
}

impl Default for Limits {
    /// For a command at a terminal.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(8),
            answer: Duration::from_secs(20),
            rounds: 3,
            pause: Duration::from_millis(300),
        }
    }
}

/// A client of one chain. Clones share the connection.
#[derive(Debug, Clone)]
pub struct Chain {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    endpoints: Endpoints,
    limits: Limits,
    /// Shared by all connections: it keeps each runtime version's metadata.
    config: PolkadotConfig,
    state: Mutex<State>,
    /// A turn for each account, so that two transactions of one never take the same nonce.
    turns: Mutex<HashMap<Hotkey, Arc<Mutex<()>>>>,
}

#[derive(Debug, Default)]
struct State {
    current: Option<Connection>,
    /// Of the first node that answered; every later one must have the same.
    genesis: Option<[u8; 32]>,
    /// Connections made so far.
    made: u64,
}

/// An open connection.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    number: u64,
    pub(crate) node: String,
    pub(crate) client: OnlineClient<PolkadotConfig>,
    pub(crate) rpc: Rpc,
}

impl Chain {
    /// A client that connects when it is first asked.
    #[must_use]
    pub fn new(endpoints: Endpoints, limits: Limits) -> Self {
        let state = State { genesis: endpoints.genesis(), ..State::default() };
        // Chains before 2021 had other types; Bittensor's are all newer.
        let config = PolkadotConfig::builder().use_historic_types(false).build();
        let inner = Inner { endpoints, limits, config, state: Mutex::new(state), turns: Mutex::default() };
        Self { inner: Arc::new(inner) }
    }

    /// The endpoints, as given.
    #[must_use]
    pub fn endpoints(&self) -> &Endpoints {
        &self.inner.endpoints
    }

    /// Runs a read against the newest finalized block. Where the connection fails, it runs again over a
    /// new one, after a pause that grows.
    ///
    /// # Errors
    /// What the read says; [`ChainError::NoNode`] or [`ChainError::Connection`] after the last round.
    pub async fn read<T, F, R>(&self, what: F) -> Result<T, ChainError>
    where
        F: Fn(Head) -> R,
        R: Future<Output = Result<T, ChainError>>,
    {
        let mut pause = self.inner.limits.pause;
        for round in 1.. {
            let error = match self.try_read(&what).await {
                Err(error) if error.is_connection() => error,
                other => return other,
            };
            if round >= self.inner.limits.rounds {
                return Err(error);
            }
            tracing::debug!("asking the chain again in {} ms: {error}", pause.as_millis());
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        unreachable!("the loop ends by a return")
    }

    async fn try_read<T, F, R>(&self, what: &F) -> Result<T, ChainError>
    where
        F: Fn(Head) -> R,
        R: Future<Output = Result<T, ChainError>>,
    {
        let connection = self.connection().await?;
        let outcome = async { what(Head::newest(connection.clone()).await?).await }.await;
        if outcome.as_ref().is_err_and(ChainError::is_connection) {
            self.forget(&connection).await;
        }
        outcome
    }

    /// The open connection, or a new one to the first endpoint that will do.
    pub(crate) async fn connection(&self) -> Result<Connection, ChainError> {
        let mut state = self.inner.state.lock().await;
        if let Some(connection) = &state.current {
            return Ok(connection.clone());
        }
        let mut tried = Vec::new();
        let mut behind: Option<(SystemTime, Connection)> = None;
        for endpoint in self.inner.endpoints.nodes() {
            match self.connect(endpoint, &mut state).await {
                Ok((connection, None)) => return Ok(connection),
                Ok((connection, Some(time))) => {
                    tried
                        .push(Tried { node: endpoint.to_string(), reason: "its newest block is old".into() });
                    if behind.as_ref().is_none_or(|(best, _)| time > *best) {
                        behind = Some((time, connection));
                    }
                }
                Err(reason) => tried.push(Tried { node: endpoint.to_string(), reason }),
            }
        }
        let Some((time, connection)) = behind else { return Err(ChainError::NoNode { tried }) };
        let age = SystemTime::now().duration_since(time).unwrap_or_default().as_secs();
        tracing::warn!(
            "every node of the chain is behind: the newest block, at {}, is {age} s old; is this host's clock right?",
            connection.node
        );
        state.current = Some(connection.clone());
        Ok(connection)
    }

    /// Connects to one node. With it the time of its newest block, where that is too old and there are
    /// other nodes to try.
    async fn connect(
        &self,
        endpoint: &Endpoint,
        state: &mut State,
    ) -> Result<(Connection, Option<SystemTime>), String> {
        let limits = self.inner.limits;
        let rpc = open(endpoint, limits).await?;
        let backend = LegacyBackend::builder().build(rpc.clone());
        let node = endpoint.to_string();
        let client = OnlineClient::from_backend_with_config(self.inner.config.clone(), Arc::new(backend));
        let client = client.await.at(&node).map_err(|error| error.to_string())?;
        let genesis = client.genesis_hash().0;
        if *state.genesis.get_or_insert(genesis) != genesis {
            return Err(format!("another chain (its genesis is 0x{}…)", hex::encode(&genesis[..4])));
        }
        state.made += 1;
        let connection = Connection { number: state.made, node, client, rpc: Rpc::new(rpc) };
        if self.inner.endpoints.nodes().len() > 1 {
            let head = Head::newest(connection.clone()).await.map_err(|error| error.to_string())?;
            let time = head.time().await.map_err(|error| error.to_string())?;
            if SystemTime::now().duration_since(time).is_ok_and(|age| age > BEHIND) {
                return Ok((connection, Some(time)));
            }
        }
        tracing::debug!("connected to {}", connection.node);
        state.current = Some(connection.clone());
        Ok((connection, None))
    }

    /// Lets go of a connection that failed, unless another one has taken its place.
    pub(crate) async fn forget(&self, failed: &Connection) {
        let mut state = self.inner.state.lock().await;
        if state.current.as_ref().is_some_and(|current| current.number == failed.number) {
            state.current = None;
        }
    }

    /// The turn of an account; held from when its transaction takes a nonce until its end is known.
    pub(crate) async fn turn(&self, account: &Hotkey) -> Arc<Mutex<()>> {
        Arc::clone(self.inner.turns.lock().await.entry(*account).or_default())
    }
}

async fn open(endpoint: &Endpoint, limits: Limits) -> Result<RpcClient, String> {
    // A peer that is gone without a word is noticed by its missing pongs. The limit outlasts the time for an answer,
    // whose own error says more, and a quiet connection between two pings.
    let ping = PingConfig::new().ping_interval(PING).inactive_limit(PING + limits.answer);
    let building = WsClientBuilder::default()
        // Its own limit is for one address of the host; the one below, for all, is to be reached first.
        .connection_timeout(limits.connect * 2)
        .request_timeout(limits.answer)
        .max_response_size(MAX_ANSWER)
        // Counts the first address too: no redirect is followed.
        .max_redirections(1)
        .enable_ws_ping(ping)
        .build(endpoint.url());
    match timeout(limits.connect, building).await {
        Err(_) => Err(format!("no connection within {} s", limits.connect.as_secs_f32())),
        Ok(Err(error)) => Err(crate::error::innermost(&error)),
        Ok(Ok(client)) => Ok(RpcClient::new(client)),
    }
}
