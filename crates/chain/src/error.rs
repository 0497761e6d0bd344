//! Why the chain gives no answer. What a chain answers to a transaction is in `submit`.

use std::fmt;

use subxt::error::{BackendError, OnlineClientAtBlockError, OnlineClientError, RpcError};

use crate::Netuid;

/// Why a question to the chain has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// Every node was tried.
    #[error("no node of the chain can be used: {}", list(.tried))]
    NoNode {
        /// Each node with what went wrong.
        tried: Vec<Tried>,
    },
    /// The connection broke, or the node was silent for too long.
    #[error("{node}: {reason}")]
    Connection {
        /// The node.
        node: String,
        /// What happened.
        reason: String,
    },
    /// The node answered with an error.
    #[error("{node} refuses: {message} ({code}){}", data.as_ref().map(|data| format!(": {data}")).unwrap_or_default())]
    Node {
        /// The node.
        node: String,
        /// JSON-RPC error code.
        code: i32,
        /// Its text.
        message: String,
        /// Its data, where there is any.
        data: Option<String>,
    },
    /// The runtime has no such storage item, call or API.
    #[error("the chain's runtime has no {0}; is this a Bittensor chain of a version that Adit knows?")]
    NotInRuntime(String),
    /// The runtime has this call, but not with these arguments.
    #[error("the chain's runtime does not take these arguments for {call}: {reason}")]
    Arguments {
        /// The call.
        call: String,
        /// Where it fails.
        reason: String,
    },
    /// An answer that is not of the shape that the metadata says.
    #[error("the chain's answer for {what} cannot be read: {reason}")]
    Malformed {
        /// What was asked.
        what: String,
        /// Where it fails.
        reason: String,
    },
    /// No such subnet.
    #[error("there is no subnet {0} on this chain")]
    NoSubnet(Netuid),
}

/// A node and why it cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// Scheme, host and port.
    pub node: String,
    /// Why.
    pub reason: String,
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.node, self.reason)
    }
}

fn list(tried: &[Tried]) -> String {
    tried.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl ChainError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoNode { .. } | Self::Connection { .. } => Some(
                "name another node with --network (finney, test, local or a ws:// or wss:// URL), or set \
                 BITTENSOR_SUBTENSOR_FALLBACK to one",
            ),
            Self::NotInRuntime(_) => Some("is --network the one you meant?"),
            Self::Arguments { .. } => Some(
                "its runtime is older or newer than this call's form; runtimes before 2025 know no time-locked commitments",
            ),
            Self::NoSubnet(_) => Some(
                "is --netuid right, and --network the one you meant? `test` has other subnets than `finney`",
            ),
            Self::Node { .. } | Self::Malformed { .. } => None,
        }
    }

    /// True where another try, on this or another node, may go better.
    pub(crate) fn is_connection(&self) -> bool {
        matches!(self, Self::Connection { .. } | Self::NoNode { .. })
    }
}

/// What subxt's layers say, with the node that said it.
pub(crate) trait At<T> {
    fn at(self, node: &str) -> Result<T, ChainError>;
}

impl<T> At<T> for Result<T, subxt::rpcs::Error> {
    fn at(self, node: &str) -> Result<T, ChainError> {
        self.map_err(|error| of_rpc(node, &error))
    }
}

impl<T> At<T> for Result<T, BackendError> {
    fn at(self, node: &str) -> Result<T, ChainError> {
        self.map_err(|error| of_backend(node, &error))
    }
}

impl<T> At<T> for Result<T, OnlineClientError> {
    fn at(self, node: &str) -> Result<T, ChainError> {
        self.map_err(|error| match &error {
            OnlineClientError::RpcError(error) => of_rpc(node, error),
            OnlineClientError::CannotGetGenesisHash(error) => of_backend(node, error),
            _ => connection(node, &error),
        })
    }
}

impl<T> At<T> for Result<T, OnlineClientAtBlockError> {
    fn at(self, node: &str) -> Result<T, ChainError> {
        use OnlineClientAtBlockError as E;
        self.map_err(|error| match &error {
            E::CannotGetCurrentBlock { reason }
            | E::CannotGetBlockHash { reason, .. }
            | E::CannotGetBlockHeader { reason, .. }
            | E::CannotGetSpecVersion { reason, .. } => of_backend(node, reason),
            // Half an answer, or none: another node may do better.
            _ => connection(node, &error),
        })
    }
}

pub(crate) fn of_backend(node: &str, error: &BackendError) -> ChainError {
    match error {
        BackendError::Rpc(RpcError::ClientError(error)) => of_rpc(node, error),
        other => connection(node, other),
    }
}

fn of_rpc(node: &str, error: &subxt::rpcs::Error) -> ChainError {
    let subxt::rpcs::Error::User(said) = error else { return connection(node, error) };
    ChainError::Node {
        node: node.to_owned(),
        code: said.code,
        message: said.message.clone(),
        data: said.data.as_ref().map(|data| data.get().trim_matches('"').to_owned()),
    }
}

fn connection(node: &str, error: &dyn std::error::Error) -> ChainError {
    ChainError::Connection { node: node.to_owned(), reason: innermost(error) }
}

/// The last cause: the layers above it only say that something failed.
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}
