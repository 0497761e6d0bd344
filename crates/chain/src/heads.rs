//! New blocks as they arrive, with a watchdog: a connection that is open but brings no block is dead.

use std::time::Duration;

use subxt::PolkadotConfig;
use subxt::config::{Config, Header as _};
use subxt::rpcs::client::RpcSubscription;
use tokio::time::timeout;

use crate::client::Connection;
use crate::error::At as _;
use crate::{Chain, ChainError};

/// New blocks of the best chain.
#[derive(Debug)]
pub struct Heads {
    chain: Chain,
    connection: Connection,
    subscription: RpcSubscription<<PolkadotConfig as Config>::Header>,
}

impl Chain {
    /// Asks a node to tell of each new block.
    ///
    /// # Errors
    /// Where no node can be used.
    pub async fn heads(&self) -> Result<Heads, ChainError> {
        let connection = self.connection().await?;
        let subscription = connection.rpc.chain_subscribe_new_heads().await.at(&connection.node);
        match subscription {
            Ok(subscription) => Ok(Heads { chain: self.clone(), connection, subscription }),
            Err(error) => {
                self.forget(&connection).await;
                Err(error)
            }
        }
    }
}

impl Heads {
    /// The number of the next block.
    ///
    /// # Errors
    /// [`ChainError::Connection`] where none arrives within `patience`, or the connection is gone. It is
    /// let go of then: ask for [`Chain::heads`] again.
    pub async fn next(&mut self, patience: Duration) -> Result<u64, ChainError> {
        let reason = match timeout(patience, self.subscription.next()).await {
            Ok(Some(Ok(header))) => return Ok(header.number()),
            Ok(Some(Err(error))) => crate::error::innermost(&error),
            Ok(None) => "the connection was closed".to_owned(),
            Err(_) => format!("no new block for {} s", patience.as_secs_f32()),
        };
        self.chain.forget(&self.connection).await;
        Err(ChainError::Connection { node: self.connection.node.clone(), reason })
    }
}
