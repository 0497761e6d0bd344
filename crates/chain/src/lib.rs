//! The subtensor chain, as a miner needs it. The only place that knows SCALE and subxt.
//!
//! A [`Chain`] connects to the first of its [`Endpoints`] that will do, when it is first asked. What is
//! read at one block is read from a [`Head`]:
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use adit_chain::{Chain, Endpoints, Limits, Netuid};
//!
//! let chain = Chain::new(Endpoints::parse("finney")?, Limits::default());
//! let metagraph = chain.read(|head| async move { head.metagraph(Netuid(44)).await }).await?;
//! for neuron in &metagraph.neurons {
//!     println!("{} {} {}", neuron.uid, neuron.hotkey, neuron.stake);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A [`Call`] is signed and sent by [`Chain::submit`], which returns when it is in a finalized block and
//! has succeeded there; what it did is then read back by the caller.

mod axon;
mod call;
mod client;
pub mod commitment;
mod error;
mod follow;
mod head;
mod heads;
mod hyperparameters;
pub mod metagraph;
mod network;
mod observer;
mod refusal;
mod runtime;
pub mod stake_file;
mod stakes;
mod submit;
pub mod timelock;
mod units;
#[cfg(test)]
mod vectors;

pub use axon::{AxonAddressError, AxonInfo};
pub use call::Call;
pub use client::{Chain, Limits};
pub use commitment::{Commitment, Field, Revealed};
pub use error::{ChainError, Tried};
pub use follow::{ChainStakes, FollowError, Follower, StakeSource};
pub use head::{Head, Registration};
pub use heads::Heads;
pub use hyperparameters::{Hyperparameter, Setting};
pub use metagraph::{Metagraph, Neuron};
pub use network::{Endpoint, EndpointError, Endpoints};
pub use observer::{Observer, standing};
pub use refusal::Refused;
pub use runtime::Runtime;
pub use stakes::{StakeCopyError, Stakes};
pub use submit::{DryRun, FINALITY, Included, SubmitError};
pub use units::{Netuid, Rao};
