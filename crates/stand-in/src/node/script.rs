//! What a node is to answer: the chain that it pretends to have, and how it fails.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde_json::Value;

use super::metadata::Metadata;
use super::metagraph::MetagraphFixture;

/// A JSON-RPC error, as a node sends it.
#[derive(Debug, Clone, PartialEq)]
pub struct RpcError {
    pub(super) code: i64,
    pub(super) message: String,
    pub(super) data: Option<Value>,
}

impl RpcError {
    /// An error without data.
    #[must_use]
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    /// Adds data, which nodes send as a text.
    #[must_use]
    pub fn with_data(mut self, data: impl Into<Value>) -> Self {
        self.data = Some(data.into());
        self
    }

    /// 1010 `Invalid Transaction`, for the reason given in the data: `Transaction is outdated`, `Custom error: 6`.
    #[must_use]
    pub fn invalid_transaction(reason: &str) -> Self {
        Self::new(1010, "Invalid Transaction").with_data(reason)
    }

    /// 1014: another transaction with the same nonce and no lower priority is already waiting.
    #[must_use]
    pub fn priority_too_low() -> Self {
        let data = "The transaction has too low priority to replace another transaction already in the pool.";
        Self::new(1014, "Priority is too low: (0 vs 0)").with_data(data)
    }
}

/// What becomes of an extrinsic.
#[derive(Debug, Clone, PartialEq)]
pub enum Submission {
    /// A new block has it, and its `System.Events` say that it succeeded.
    Succeeds,
    /// A new block has it, and its `System.Events` say that it failed with this error of this pallet.
    Fails {
        /// Index of the pallet.
        pallet: u8,
        /// Index of the error within the pallet.
        error: u8,
    },
    /// It is refused before a block.
    Refused(RpcError),
    /// It is accepted, and never gets into a block.
    Forgotten,
    /// It is accepted, then thrown out of the pool: its status becomes `dropped`.
    Dropped,
    /// A new block has it, but the node waits in vain for that block to be final: its status becomes
    /// `finalityTimeout`.
    NeverFinal,
}

/// How a node fails as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It takes connections and reads what is asked, and answers nothing.
    AcceptAndNeverAnswer,
    /// It sends the first bytes of its answer to this method (of JSON-RPC, or a runtime method) and hangs up.
    CloseInMidAnswer(String),
    /// It answers the handshake, and any POST, with 503. Connections that stand are closed.
    Refuse,
}

/// All that a node knows, and how it fails. Starts as the chain of the main network's metadata at spec version
/// 393, block 5,000,000, whose clock shows the time of this call.
///
/// Storage and runtime methods answer the same at every block, but for what belongs to the block itself.
#[derive(Debug, Clone)]
pub struct NodeScript {
    pub(super) metadata: Arc<Metadata>,
    pub(super) spec_version: u32,
    pub(super) transaction_version: u32,
    pub(super) genesis: [u8; 32],
    pub(super) head: u32,
    pub(super) finality_lag: u32,
    pub(super) upgraded: Option<(u32, Arc<NodeScript>)>,
    pub(super) now_ms: u64,
    pub(super) nonce: u32,
    pub(super) storage: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) calls: HashMap<Call, Result<Vec<u8>, RpcError>>,
    pub(super) metagraphs: HashMap<u16, Arc<Recorded>>,
    pub(super) answers: HashMap<String, Result<Value, RpcError>>,
    pub(super) submission: Submission,
    pub(super) silent_heads: bool,
    pub(super) delay: Duration,
    pub(super) fault: Option<Fault>,
}

/// A runtime method and its arguments; `None` is any arguments.
pub(super) type Call = (String, Option<Vec<u8>>);

/// A metagraph, and its whole answer, encoded once.
#[derive(Debug)]
pub(super) struct Recorded {
    pub(super) fixture: MetagraphFixture,
    pub(super) whole: Vec<u8>,
}

impl NodeScript {
    /// A chain with this runtime metadata (`meta`, then version 16), which is also answered as versions 15 and 14.
    /// Anything else is answered as it is.
    #[must_use]
    pub fn new(metadata: impl Into<Bytes>) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            metadata: Arc::new(Metadata::new(metadata.into())),
            spec_version: 393,
            transaction_version: 1,
            genesis: [0x45; 32],
            head: 5_000_000,
            finality_lag: 0,
            upgraded: None,
            now_ms: now.as_millis() as u64,
            nonce: 0,
            storage: BTreeMap::new(),
            calls: HashMap::new(),
            metagraphs: HashMap::new(),
            answers: HashMap::new(),
            submission: Submission::Succeeds,
            silent_heads: false,
            delay: Duration::ZERO,
            fault: None,
        }
    }

    /// The runtime's versions; a change of the first is a runtime upgrade.
    #[must_use]
    pub fn versions(mut self, spec: u32, transaction: u32) -> Self {
        self.spec_version = spec;
        self.transaction_version = transaction;
        self
    }

    /// Other runtime metadata, as [`new`](Self::new) takes it.
    #[must_use]
    pub fn metadata(mut self, metadata: impl Into<Bytes>) -> Self {
        self.metadata = Arc::new(Metadata::new(metadata.into()));
        self
    }

    /// Hash of block 0; another one is another chain.
    #[must_use]
    pub fn genesis(mut self, hash: [u8; 32]) -> Self {
        self.genesis = hash;
        self
    }

    /// Number of the newest block, which is also the newest finalized one.
    #[must_use]
    pub fn head(mut self, number: u32) -> Self {
        self.head = number;
        self
    }

    /// The newest finalized block is so many behind the newest one.
    #[must_use]
    pub fn finality_lag(mut self, blocks: u32) -> Self {
        self.finality_lag = blocks;
        self
    }

    /// Before block `at`, runtime methods, versions and metadata are another script's: a runtime upgrade that has
    /// just taken place.
    #[must_use]
    pub fn upgraded(mut self, at: u32, from: Self) -> Self {
        self.upgraded = Some((at, Arc::new(from)));
        self
    }

    /// `Timestamp.Now`, in milliseconds since 1970.
    #[must_use]
    pub fn now(mut self, unix_ms: u64) -> Self {
        self.now_ms = unix_ms;
        self
    }

    /// The nonce of every account.
    #[must_use]
    pub fn nonce(mut self, nonce: u32) -> Self {
        self.nonce = nonce;
        self
    }

    /// The value at a whole storage key.
    #[must_use]
    pub fn storage(mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        self.storage.insert(key.into(), value.into());
        self
    }

    /// What a runtime method, such as `SubnetInfoRuntimeApi_get_metagraph`, answers to these arguments.
    #[must_use]
    pub fn call(mut self, method: &str, arguments: impl Into<Vec<u8>>, answer: impl Into<Vec<u8>>) -> Self {
        self.calls.insert((method.to_owned(), Some(arguments.into())), Ok(answer.into()));
        self
    }

    /// What a runtime method answers, whatever its arguments.
    #[must_use]
    pub fn any_call(mut self, method: &str, answer: impl Into<Vec<u8>>) -> Self {
        self.calls.insert((method.to_owned(), None), Ok(answer.into()));
        self
    }

    /// Lets a runtime method fail, whatever its arguments.
    #[must_use]
    pub fn failing_call(mut self, method: &str, error: RpcError) -> Self {
        self.calls.insert((method.to_owned(), None), Err(error));
        self
    }

    /// A subnet's metagraph, for `SubnetInfoRuntimeApi`'s `get_metagraph` and `get_selective_metagraph`, and for the
    /// same of mechanism 0 (`get_mechagraph`, `get_selective_mechagraph`). Others are answered as unknown.
    ///
    /// # Panics
    /// When a field of it is missing or has a value of the wrong kind.
    #[must_use]
    pub fn metagraph(mut self, fixture: MetagraphFixture) -> Self {
        let recorded = Recorded { whole: fixture.encode(), fixture };
        self.metagraphs.insert(recorded.fixture.netuid(), Arc::new(recorded));
        self
    }

    /// What a method of JSON-RPC answers, whatever is asked; it goes before what the node would say by itself.
    #[must_use]
    pub fn answering(mut self, method: &str, answer: impl Into<Value>) -> Self {
        self.answers.insert(method.to_owned(), Ok(answer.into()));
        self
    }

    /// Lets a method of JSON-RPC fail.
    #[must_use]
    pub fn failing(mut self, method: &str, error: RpcError) -> Self {
        self.answers.insert(method.to_owned(), Err(error));
        self
    }

    /// What becomes of extrinsics.
    #[must_use]
    pub fn submission(mut self, submission: Submission) -> Self {
        self.submission = submission;
        self
    }

    /// Subscriptions to blocks are accepted, but no block is ever announced.
    #[must_use]
    pub fn silent_heads(mut self) -> Self {
        self.silent_heads = true;
        self
    }

    /// Each answer comes so much later; those to other questions do not wait for it.
    #[must_use]
    pub fn slow(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Lets the node fail as a whole.
    #[must_use]
    pub fn fault(mut self, fault: Fault) -> Self {
        self.fault = Some(fault);
        self
    }
}
