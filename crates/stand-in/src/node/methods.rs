//! The methods of JSON-RPC: what a node answers to one request.
//!
//! Connections, and what is sent without being asked, are left to `socket`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::blocks::{Blocks, Hash, blake2_256, hexed};
use super::runtime::{self, client_error};
use super::script::{NodeScript, RpcError, Submission};

/// `twox128("System")`, then of `Number` and of `Events`; `Timestamp` and `Now`.
const SYSTEM_NUMBER: [u8; 32] = *b"\x26\xaa\x39\x4e\xea\x56\x30\xe0\x7c\x48\xae\x0c\x95\x58\xce\xf7\
    \x02\xa5\xc1\xb1\x9a\xb7\xa0\x4f\x53\x6c\x51\x9a\xca\x49\x83\xac";
const SYSTEM_EVENTS: [u8; 32] = *b"\x26\xaa\x39\x4e\xea\x56\x30\xe0\x7c\x48\xae\x0c\x95\x58\xce\xf7\
    \x80\xd4\x1e\x5e\x16\x05\x67\x65\xbc\x84\x61\x85\x10\x72\xc9\xd7";
const TIMESTAMP_NOW: [u8; 32] = *b"\xf0\xc3\x65\xc3\xcf\x59\xd6\x71\xeb\x72\xda\x0e\x7a\x41\x13\xc4\
    \x9f\x1f\x05\x15\xf4\x62\xcd\xcf\x84\xe0\xf1\xd6\x04\x5d\xfc\xbb";
/// Time between two blocks.
const BLOCK_MS: u64 = 12_000;

/// What `rpc_methods` lists.
const METHODS: [&str; 29] = [
    "author_submitAndWatchExtrinsic",
    "author_submitExtrinsic",
    "author_unwatchExtrinsic",
    "chain_getBlock",
    "chain_getBlockHash",
    "chain_getFinalizedHead",
    "chain_getHead",
    "chain_getHeader",
    "chain_subscribeAllHeads",
    "chain_subscribeFinalizedHeads",
    "chain_subscribeNewHeads",
    "chain_unsubscribeAllHeads",
    "chain_unsubscribeFinalizedHeads",
    "chain_unsubscribeNewHeads",
    "rpc_methods",
    "state_call",
    "state_getKeysPaged",
    "state_getMetadata",
    "state_getRuntimeVersion",
    "state_getStorage",
    "state_queryStorageAt",
    "state_subscribeRuntimeVersion",
    "state_unsubscribeRuntimeVersion",
    "system_accountNextIndex",
    "system_chain",
    "system_health",
    "system_name",
    "system_properties",
    "system_version",
];

/// The script, and what has become of the chain since.
#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) script: NodeScript,
    pub(super) blocks: Blocks,
    /// Blocks that were made for an extrinsic, by number: the extrinsic, and the events.
    made: BTreeMap<u32, (Vec<u8>, Vec<u8>)>,
    /// Extrinsics that got into a block, oldest first.
    pub(super) submitted: Vec<Vec<u8>>,
}

/// What a client can subscribe to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Topic {
    NewHeads,
    AllHeads,
    FinalizedHeads,
    RuntimeVersion,
    Extrinsic,
}

impl Topic {
    /// The method under which news of it are sent.
    pub(super) fn notification(self) -> &'static str {
        match self {
            Self::NewHeads => "chain_newHead",
            Self::AllHeads => "chain_allHead",
            Self::FinalizedHeads => "chain_finalizedHead",
            Self::RuntimeVersion => "state_runtimeVersion",
            Self::Extrinsic => "author_extrinsicUpdate",
        }
    }
}

/// The answer to one request.
#[derive(Debug)]
pub(super) enum Answer {
    Value(Value),
    /// A subscription, and the news that it begins with.
    Subscribed(Topic, Vec<Value>),
    /// The subscription of this id has ended.
    Unsubscribed(String),
}

impl State {
    pub(super) fn new(script: NodeScript) -> Self {
        let blocks = Blocks::up_to(script.genesis, script.head);
        Self { script, blocks, made: BTreeMap::new(), submitted: Vec::new() }
    }

    /// Answers one request. May make a block.
    pub(super) fn answer(&mut self, method: &str, params: &Value) -> Result<Answer, RpcError> {
        if let Some(answer) = self.script.answers.get(method) {
            return answer.clone().map(Answer::Value);
        }
        let value = match method {
            "chain_subscribeNewHeads" => return Ok(self.heads(Topic::NewHeads)),
            "chain_subscribeAllHeads" => return Ok(self.heads(Topic::AllHeads)),
            "chain_subscribeFinalizedHeads" => return Ok(self.heads(Topic::FinalizedHeads)),
            "state_subscribeRuntimeVersion" => {
                return Ok(Answer::Subscribed(Topic::RuntimeVersion, vec![runtime::version(&self.script)]));
            }
            "author_submitAndWatchExtrinsic" => {
                let news = self.submit(bytes(&params[0])?)?;
                return Ok(Answer::Subscribed(Topic::Extrinsic, news));
            }
            "chain_unsubscribeNewHeads"
            | "chain_unsubscribeAllHeads"
            | "chain_unsubscribeFinalizedHeads"
            | "state_unsubscribeRuntimeVersion"
            | "author_unwatchExtrinsic" => {
                return Ok(Answer::Unsubscribed(params[0].as_str().unwrap_or_default().to_owned()));
            }
            "author_submitExtrinsic" => {
                let extrinsic = bytes(&params[0])?;
                let hash = blake2_256(&extrinsic);
                self.submit(extrinsic)?;
                hexed(hash).into()
            }
            "chain_getHead" => hexed(self.blocks.head_hash()).into(),
            "chain_getFinalizedHead" => {
                self.blocks.hash(self.newest(Topic::FinalizedHeads)).map(hexed).into()
            }
            "chain_getBlockHash" => self.block_hash(&params[0])?,
            "chain_getHeader" => {
                self.block_if_known(&params[0])?.map_or(Value::Null, |number| self.blocks.header(number))
            }
            "chain_getBlock" => self.block(&params[0])?,
            "rpc_methods" => json!({ "methods": METHODS }),
            "state_call" => {
                let script = self.script_at(self.at(&params[2])?);
                let runtime_method = text(&params[0])?;
                hexed(runtime::call(script, runtime_method, &bytes(&params[1])?)?).into()
            }
            "state_getMetadata" => {
                let script = self.script_at(self.at(&params[0])?);
                hexed(script.metadata.oldest()).into()
            }
            "state_getRuntimeVersion" => runtime::version(self.script_at(self.at(&params[0])?)),
            "state_getStorage" => {
                let number = self.at(&params[1])?;
                self.stored(&bytes(&params[0])?, number).map_or(Value::Null, |value| hexed(value).into())
            }
            "state_queryStorageAt" => self.query_storage(params)?,
            "state_getKeysPaged" => self.keys(params)?,
            "system_accountNextIndex" => self.script.nonce.into(),
            "system_chain" => "Bittensor".into(),
            "system_name" => "subtensor".into(),
            "system_version" => "4.0.0-dev".into(),
            "system_health" => json!({ "peers": 8, "isSyncing": false, "shouldHavePeers": true }),
            "system_properties" => json!({ "ss58Format": 42, "tokenDecimals": 9, "tokenSymbol": "TAO" }),
            _ => return Err(RpcError::new(-32601, "Method not found")),
        };
        Ok(Answer::Value(value))
    }

    /// Number of the newest block that a subscriber of this topic is told of.
    pub(super) fn newest(&self, topic: Topic) -> u32 {
        let lag = if topic == Topic::FinalizedHeads { self.script.finality_lag } else { 0 };
        self.blocks.head().saturating_sub(lag)
    }

    /// The script whose runtime a block has.
    fn script_at(&self, number: u32) -> &NodeScript {
        match &self.script.upgraded {
            Some((at, before)) if number < *at => before,
            _ => &self.script,
        }
    }

    fn heads(&self, topic: Topic) -> Answer {
        let first = self.blocks.header(self.newest(topic));
        Answer::Subscribed(topic, if self.script.silent_heads { Vec::new() } else { vec![first] })
    }

    /// Takes an extrinsic in and returns what a watcher is told of it.
    fn submit(&mut self, extrinsic: Vec<u8>) -> Result<Vec<Value>, RpcError> {
        let failed = match &self.script.submission {
            Submission::Succeeds | Submission::NeverFinal => None,
            Submission::Fails { pallet, error } => Some((*pallet, *error)),
            Submission::Refused(error) => return Err(error.clone()),
            Submission::Forgotten => return Ok(vec!["ready".into()]),
            Submission::Dropped => return Ok(vec!["ready".into(), "dropped".into()]),
        };
        self.script.head += 1;
        self.script.now_ms += BLOCK_MS;
        self.script.nonce += 1;
        self.blocks = Blocks::up_to(self.script.genesis, self.script.head);
        self.submitted.push(extrinsic.clone());
        self.made.insert(self.script.head, (extrinsic, runtime::events(failed)));
        let hash = hexed(self.blocks.head_hash());
        let end =
            if self.script.submission == Submission::NeverFinal { "finalityTimeout" } else { "finalized" };
        Ok(vec!["ready".into(), json!({ "inBlock": hash }), json!({ end: hash })])
    }

    fn block_hash(&self, number: &Value) -> Result<Value, RpcError> {
        let number = match number {
            Value::Null => return Ok(hexed(self.blocks.head_hash()).into()),
            Value::Array(numbers) => {
                return numbers.iter().map(|one| self.block_hash(one)).collect();
            }
            Value::String(text) => u32::from_str_radix(text.trim_start_matches("0x"), 16)
                .map_err(|_| invalid("a block number"))?,
            number => {
                let number = number.as_u64().ok_or_else(|| invalid("a block number"))?;
                u32::try_from(number).map_err(|_| invalid("a block number"))?
            }
        };
        Ok(self.blocks.hash(number).map_or(Value::Null, |hash| hexed(hash).into()))
    }

    fn block(&self, hash: &Value) -> Result<Value, RpcError> {
        let Some(number) = self.block_if_known(hash)? else { return Ok(Value::Null) };
        let extrinsics: Vec<String> =
            self.made.get(&number).map(|(extrinsic, _)| hexed(extrinsic)).into_iter().collect();
        let block = json!({ "header": self.blocks.header(number), "extrinsics": extrinsics });
        Ok(json!({ "block": block, "justifications": null }))
    }

    /// The number of the block with this hash, or of the newest.
    fn block_if_known(&self, hash: &Value) -> Result<Option<u32>, RpcError> {
        if hash.is_null() {
            return Ok(Some(self.blocks.head()));
        }
        let hash: Hash = bytes(hash)?.try_into().map_err(|_| invalid("a block hash"))?;
        Ok(self.blocks.number(&hash))
    }

    /// The block whose state is asked for, which has to be known.
    fn at(&self, hash: &Value) -> Result<u32, RpcError> {
        self.block_if_known(hash)?.ok_or_else(|| {
            client_error(&format!(
                "UnknownBlock: Header was not found in the database: {}",
                text(hash).unwrap_or_default()
            ))
        })
    }

    fn stored(&self, key: &[u8], block: u32) -> Option<Vec<u8>> {
        let own = if key == SYSTEM_NUMBER {
            Some(block.to_le_bytes().to_vec())
        } else if key == TIMESTAMP_NOW {
            Some(self.script.now_ms.to_le_bytes().to_vec())
        } else if key == SYSTEM_EVENTS {
            self.made.get(&block).map(|(_, events)| events.clone())
        } else {
            None
        };
        // What a script says goes before, so that a test can lie about these too.
        self.script.storage.get(key).cloned().or(own)
    }

    fn query_storage(&self, params: &Value) -> Result<Value, RpcError> {
        let number = self.at(&params[1])?;
        let keys = params[0].as_array().ok_or_else(|| invalid("a list of keys"))?;
        let change = |key: &Value| Ok(json!([key, self.stored(&bytes(key)?, number).map(hexed)]));
        let changes = keys.iter().map(change).collect::<Result<Vec<Value>, RpcError>>()?;
        Ok(json!([{ "block": self.blocks.hash(number).map(hexed), "changes": changes }]))
    }

    fn keys(&self, params: &Value) -> Result<Value, RpcError> {
        self.at(&params[3])?;
        let prefix = bytes(&params[0])?;
        let count = params[1].as_u64().ok_or_else(|| invalid("a count"))?;
        let after = if params[2].is_null() { Vec::new() } else { bytes(&params[2])? };
        let keys = self.script.storage.range(prefix.clone()..).map(|(key, _)| key);
        let within = keys.take_while(|key| key.starts_with(&prefix)).filter(|key| **key > after);
        Ok(within.take(count as usize).map(hexed).collect())
    }
}

/// Hexadecimal text; nodes take it without `0x` too.
fn bytes(value: &Value) -> Result<Vec<u8>, RpcError> {
    let text = text(value)?;
    hex::decode(text.strip_prefix("0x").unwrap_or(text)).map_err(|_| invalid("hexadecimal text"))
}

fn text(value: &Value) -> Result<&str, RpcError> {
    value.as_str().ok_or_else(|| invalid("a text"))
}

fn invalid(expected: &str) -> RpcError {
    RpcError::new(-32602, "Invalid params").with_data(format!("expected {expected}"))
}
