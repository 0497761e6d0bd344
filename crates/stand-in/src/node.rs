//! A loopback node of a subtensor chain that answers from a script: the classic JSON-RPC over WebSocket, and over
//! HTTP by POST. It can change its mind while clients are connected, and fail on request.
//!
//! It runs nothing and checks no signature: what a runtime would do is scripted. Metadata is the caller's.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use adit_stand_in::local_chain::newest_metadata;
//! use adit_stand_in::node::{Node, NodeScript, metagraph};
//!
//! let script = NodeScript::new(newest_metadata().unwrap_or_default()).metagraph(metagraph(256));
//! let node = Node::start(script.clone()).await?;
//! println!("{}", node.url());
//! node.set(script.versions(394, 1)); // a runtime upgrade
//! # Ok(())
//! # }
//! ```

mod blocks;
mod metadata;
mod metagraph;
mod methods;
mod runtime;
mod script;
mod socket;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use metagraph::{MetagraphFixture, metagraph};
pub use script::{Fault, NodeScript, RpcError, Submission};

use methods::State;

/// A running node. It stops, with all its connections, when dropped.
#[derive(Debug)]
pub struct Node {
    address: SocketAddr,
    shared: Arc<Shared>,
    // Dropping the set ends the accept loop, which owns the connections.
    _tasks: JoinSet<()>,
}

/// What all connections see.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    asked: Mutex<Vec<String>>,
    /// Counts changes of the state, so that subscribers are told.
    changes: watch::Sender<u64>,
}

impl Node {
    /// Starts a node on a free loopback port.
    ///
    /// # Errors
    /// When no loopback port can be opened.
    pub async fn start(script: NodeScript) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            state: Mutex::new(State::new(script)),
            asked: Mutex::default(),
            changes: watch::Sender::new(0),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(socket::accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, _tasks: tasks })
    }

    /// Its URL, `ws://127.0.0.1:PORT`; the same address takes POST.
    #[must_use]
    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The methods that were asked so far, oldest first, over all connections. The runtime method follows
    /// `state_call` after a blank.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        lock(&self.shared.asked).clone()
    }

    /// The extrinsics that got into a block since the script was set, oldest first.
    #[must_use]
    pub fn submitted(&self) -> Vec<Vec<u8>> {
        lock(&self.shared.state).submitted.clone()
    }

    /// Answers from another script from now on. Subscribers are told of another newest block and another spec
    /// version. Blocks that were made for extrinsics are forgotten.
    pub fn set(&self, script: NodeScript) {
        *lock(&self.shared.state) = State::new(script);
        self.shared.changes.send_modify(|count| *count += 1);
    }

    /// The script as it stands: blocks made for extrinsics have moved its head, its clock and its nonce on.
    #[must_use]
    pub fn script(&self) -> NodeScript {
        lock(&self.shared.state).script.clone()
    }
}

fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    // A method that panicked on a caller's bad fixture has changed nothing half.
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
