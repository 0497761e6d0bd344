//! Reads at one block, so that what is read together belongs together. What needs several values asks
//! for them in one request.

use std::time::{Duration, SystemTime};

use adit_keys::Hotkey;
use subxt::OnlineClientAtBlock;
use subxt::PolkadotConfig;
use subxt::config::HashFor;
use subxt::ext::codec::Decode as _;
use subxt::ext::scale_decode::DecodeAsType;

use crate::axon::{AxonInfo, StoredAxon};
use crate::client::Connection;
use crate::commitment::{Commitment, Revealed, StoredCommitment};
use crate::error::At as _;
use crate::hyperparameters::{self, Hyperparameter};
use crate::metagraph::{self, Metagraph};
use crate::runtime::{Item, Runtime, account, commitments_of, malformed, netuid};
use crate::{ChainError, Netuid, Rao};

/// Keys asked for at once when a whole map is read.
const PAGE: u32 = 512;
/// Most entries of one map that are read: a subnet has 256 neurons, so this is a runaway.
const MOST_ENTRIES: usize = 16_384;

/// What a miner asks about its place on a subnet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Its place, where it has one.
    pub uid: Option<u16>,
    /// The coldkey that owns the hotkey, where one does.
    pub owner: Option<Hotkey>,
    /// Where it answers, where it says so.
    pub axon: Option<AxonInfo>,
    /// What a registration costs now.
    pub cost: Rao,
    /// False where nobody can register now.
    pub open: bool,
}

/// The chain at one block.
#[derive(Debug, Clone)]
pub struct Head {
    pub(crate) connection: Connection,
    pub(crate) at: OnlineClientAtBlock<PolkadotConfig>,
    runtime: Runtime,
}

impl Head {
    /// The newest finalized block.
    pub(crate) async fn newest(connection: Connection) -> Result<Self, ChainError> {
        let at = connection.client.at_current_block().await.at(&connection.node)?;
        let runtime = Runtime::new(at.metadata());
        Ok(Self { connection, at, runtime })
    }

    /// The newest block of the best chain, at the same node; finality may be some blocks behind it.
    pub(crate) async fn best(&self) -> Result<Self, ChainError> {
        let (connection, node) = (self.connection.clone(), &self.connection.node);
        let none = || malformed("chain_getBlockHash", "the node has no newest block");
        let hash = connection.rpc.chain_get_block_hash(None).await.at(node)?.ok_or_else(none)?;
        let at = connection.client.at_block(hash).await.at(node)?;
        let runtime = Runtime::new(at.metadata());
        Ok(Self { connection, at, runtime })
    }

    /// Its number.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.at.block_number()
    }

    /// Version of the runtime.
    #[must_use]
    pub fn spec_version(&self) -> u32 {
        self.at.spec_version()
    }

    /// The node that was asked: scheme, host and port.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.connection.node
    }

    /// The runtime of this block.
    #[must_use]
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    pub(crate) fn hash(&self) -> HashFor<PolkadotConfig> {
        self.at.block_ref().hash()
    }

    /// When the block was made, by its author's clock.
    ///
    /// # Errors
    /// See [`ChainError`]; the same for all reads below.
    pub async fn time(&self) -> Result<SystemTime, ChainError> {
        let milliseconds: u64 = self.value(Item::new("Timestamp", "Now", [])).await?.unwrap_or_default();
        Ok(SystemTime::UNIX_EPOCH + Duration::from_millis(milliseconds))
    }

    /// The whole subnet.
    pub async fn metagraph(&self, subnet: Netuid) -> Result<Metagraph, ChainError> {
        let method = format!("{}_{}", metagraph::API, metagraph::METHOD);
        let bytes = self.call(&method, &subnet.0.to_le_bytes()).await?;
        metagraph::decode(&self.runtime, subnet, &bytes)
    }

    /// The place of a hotkey on a subnet, and what it takes to get one.
    pub async fn registration(&self, subnet: Netuid, hotkey: &Hotkey) -> Result<Registration, ChainError> {
        let both = || [netuid(subnet), account(hotkey)];
        let items = [
            Item::new("SubtensorModule", "NetworksAdded", [netuid(subnet)]),
            Item::new("SubtensorModule", "Uids", both()),
            Item::new("SubtensorModule", "Owner", [account(hotkey)]),
            Item::new("SubtensorModule", "Axons", both()),
            Item::new("SubtensorModule", "Burn", [netuid(subnet)]),
            Item::new("SubtensorModule", "NetworkRegistrationAllowed", [netuid(subnet)]),
        ];
        let [exists, uid, owner, axon, cost, open] = &items;
        let values = self.values(&items).await?;
        let [in_exists, in_uid, in_owner, in_axon, in_cost, in_open] = values.as_slice() else {
            return Err(malformed("storage", "fewer values than asked"));
        };
        if !self.read::<bool>(exists, in_exists)?.unwrap_or_default() {
            return Err(ChainError::NoSubnet(subnet));
        }
        // Absent: no owner; the default is the account of all zeros.
        let owner: Option<[u8; 32]> = self.read(owner, in_owner)?;
        Ok(Registration {
            uid: self.read(uid, in_uid)?,
            owner: owner.filter(|owner| *owner != [0; 32]).map(Hotkey::from_bytes),
            axon: self.read::<StoredAxon>(axon, in_axon)?.and_then(StoredAxon::served),
            cost: Rao(self.read(cost, in_cost)?.unwrap_or_default()),
            open: self.read(open, in_open)?.unwrap_or_default(),
        })
    }

    /// What a coldkey can spend.
    pub async fn balance(&self, coldkey: &Hotkey) -> Result<Rao, ChainError> {
        #[derive(DecodeAsType)]
        #[decode_as_type(crate_path = "subxt::ext::scale_decode")]
        struct AccountInfo {
            data: AccountData,
        }
        #[derive(DecodeAsType)]
        #[decode_as_type(crate_path = "subxt::ext::scale_decode")]
        struct AccountData {
            free: u64,
            frozen: u64,
        }
        let info: Option<AccountInfo> =
            self.value(Item::new("System", "Account", [account(coldkey)])).await?;
        Ok(Rao(info.map_or(0, |info| info.data.free.saturating_sub(info.data.frozen))))
    }

    /// What a hotkey has committed and what of it still waits or is in the open.
    pub async fn commitment(
        &self,
        subnet: Netuid,
        hotkey: &Hotkey,
    ) -> Result<Option<Commitment>, ChainError> {
        let item = Item::new("Commitments", "CommitmentOf", [netuid(subnet), account(hotkey)]);
        let stored: Option<StoredCommitment> = self.value(item).await?;
        Ok(stored.map(Commitment::from))
    }

    /// What a hotkey had sealed and drand has opened, oldest first; the chain keeps the last ten.
    pub async fn revealed(&self, subnet: Netuid, hotkey: &Hotkey) -> Result<Vec<Revealed>, ChainError> {
        let key = [revealed_prefix(subnet).as_slice(), &twox64_concat(hotkey.as_bytes())].concat();
        let values = self.raw_values(&[key]).await?;
        values.into_iter().next().flatten().map_or(Ok(Vec::new()), |bytes| read_revealed(&bytes))
    }

    /// The same of every hotkey of a subnet.
    pub async fn all_revealed(&self, subnet: Netuid) -> Result<Vec<(Hotkey, Vec<Revealed>)>, ChainError> {
        let entries = self.map(&revealed_prefix(subnet)).await?;
        entries.into_iter().map(|(account, value)| Ok((account, read_revealed(&value)?))).collect()
    }

    /// What every hotkey of a subnet has committed.
    pub async fn all_commitments(&self, subnet: Netuid) -> Result<Vec<(Hotkey, Commitment)>, ChainError> {
        let entries = self.map(&self.runtime.storage_key(&commitments_of(subnet))?).await?;
        let read = |(account, value): (_, Vec<u8>)| Ok((account, self.runtime.commitment(subnet, &value)?));
        entries.into_iter().map(read).collect()
    }

    /// The rules of a subnet.
    pub async fn hyperparameters(&self, subnet: Netuid) -> Result<Vec<Hyperparameter>, ChainError> {
        let values = self.values(&hyperparameters::items(&self.runtime, subnet)).await?;
        hyperparameters::decode(&self.runtime, subnet, &values)
    }

    /// Runs a runtime API at this block.
    pub(crate) async fn call(&self, method: &str, arguments: &[u8]) -> Result<Vec<u8>, ChainError> {
        let answer = self.connection.rpc.state_call(method, Some(arguments), Some(self.hash())).await;
        answer.at(&self.connection.node)
    }

    async fn value<T: DecodeAsType>(&self, item: Item) -> Result<Option<T>, ChainError> {
        let values = self.values(std::slice::from_ref(&item)).await?;
        self.read(&item, values.first().unwrap_or(&None))
    }

    fn read<T: DecodeAsType>(&self, item: &Item, bytes: &Option<Vec<u8>>) -> Result<Option<T>, ChainError> {
        self.runtime.storage_value(item, bytes.as_deref())
    }

    /// Several storage values in one request, in the order asked.
    async fn values(&self, items: &[Item]) -> Result<Vec<Option<Vec<u8>>>, ChainError> {
        let keys: Vec<_> =
            items.iter().map(|item| self.runtime.storage_key(item)).collect::<Result<_, _>>()?;
        self.raw_values(&keys).await
    }

    async fn raw_values(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, ChainError> {
        let asked = keys.iter().map(Vec::as_slice);
        let sets = self.connection.rpc.state_query_storage_at(asked, Some(self.hash())).await;
        let changes: Vec<_> =
            sets.at(&self.connection.node)?.into_iter().flat_map(|set| set.changes).collect();
        let found = |key: &Vec<u8>| {
            let entry = changes.iter().find(|(changed, _)| changed.0 == *key);
            entry.and_then(|(_, value)| value.as_ref().map(|value| value.0.clone()))
        };
        Ok(keys.iter().map(found).collect())
    }

    /// All entries of a map below a prefix whose last key is an account.
    async fn map(&self, prefix: &[u8]) -> Result<Vec<(Hotkey, Vec<u8>)>, ChainError> {
        let (rpc, node) = (&self.connection.rpc, &self.connection.node);
        let mut entries = Vec::new();
        let mut last: Option<Vec<u8>> = None;
        loop {
            let page =
                rpc.state_get_keys_paged(prefix, PAGE, last.as_deref(), Some(self.hash())).await.at(node)?;
            let Some(end) = page.last() else { return Ok(entries) };
            let whole = page.len() >= PAGE as usize;
            last = Some(end.clone());
            let values = self.raw_values(&page).await?;
            for (key, value) in page.iter().zip(values) {
                let account = key.last_chunk::<32>().filter(|_| key.len() >= prefix.len() + 32);
                let account = account.ok_or_else(|| malformed("a storage key", "it ends in no account"))?;
                entries.extend(value.map(|value| (Hotkey::from_bytes(*account), value)));
            }
            if entries.len() > MOST_ENTRIES {
                return Err(malformed("a storage map", format!("it has more than {MOST_ENTRIES} entries")));
            }
            if !whole {
                return Ok(entries);
            }
        }
    }
}

/// `Commitments.RevealedCommitments` by its fixed layout: the item is younger than runtimes that Adit
/// still reads, and its entries can be there before the metadata lists it.
fn revealed_prefix(subnet: Netuid) -> Vec<u8> {
    let prefix =
        subxt::ext::frame_decode::storage::encode_storage_key_prefix("Commitments", "RevealedCommitments");
    [prefix.as_slice(), &subnet.0.to_le_bytes()].concat()
}

fn twox64_concat(key: &[u8]) -> Vec<u8> {
    [sp_crypto_hashing::twox_64(key).as_slice(), key].concat()
}

/// `Vec<(Vec<u8>, u64)>`.
fn read_revealed(bytes: &[u8]) -> Result<Vec<Revealed>, ChainError> {
    let stored = Vec::<(Vec<u8>, u64)>::decode(&mut &*bytes);
    let stored = stored.map_err(|error| malformed("Commitments.RevealedCommitments", error))?;
    Ok(stored.into_iter().map(|(data, block)| Revealed::new(&data, block)).collect())
}
