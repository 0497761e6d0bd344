//! The stakes of a subnet at one block, and their last good copy on disk.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use adit_auth::StakeTable;
use adit_keys::Hotkey;
use serde::{Deserialize, Serialize};

use crate::{Metagraph, Netuid, Rao};

/// Version of the file's form.
const VERSION: u32 = 1;
/// The largest file that is read, in bytes. 256 hotkeys take 20 kB.
const MAX_LENGTH: u64 = 16 * 1024 * 1024;

/// Stakes by hotkey, as the runtime weighs them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stakes {
    /// The subnet.
    pub netuid: Netuid,
    /// Block that they are of.
    pub block: u64,
    /// When that block was made.
    pub as_of: SystemTime,
    stakes: BTreeMap<Hotkey, Rao>,
}

/// Why there is no copy on disk to use, or why it cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StakeCopyError {
    /// The system says no.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Not what we wrote.
    #[error("{path} is damaged: {reason}", path = .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Written by another version, or for another subnet or network.
    #[error("{path} is a copy of {what}", path = .path.display())]
    Other {
        /// The file.
        path: PathBuf,
        /// Of what.
        what: String,
    },
}

#[derive(Serialize, Deserialize)]
struct Copy {
    version: u32,
    network: String,
    netuid: u16,
    block: u64,
    /// Seconds since 1970.
    as_of: u64,
    /// In rao, by ss58 address.
    stakes: BTreeMap<String, u64>,
}

impl Stakes {
    /// Those of a metagraph whose block was made then, as a miner's gate counts them.
    #[must_use]
    pub fn of(metagraph: &Metagraph, as_of: SystemTime) -> Self {
        let stakes = metagraph.neurons.iter().map(|neuron| (neuron.hotkey, neuron.stake)).collect();
        Self { netuid: metagraph.netuid, block: metagraph.block, as_of, stakes }
    }

    /// The table that a gate judges by.
    #[must_use]
    pub fn table(&self) -> StakeTable {
        let stakes = self.stakes.iter().map(|(hotkey, stake)| (*hotkey, stake.tao()));
        StakeTable::new(stakes.collect(), self.as_of)
    }

    /// Reads the copy that was written for this network and subnet.
    ///
    /// # Errors
    /// Where there is none, or none that can be used.
    pub fn read_copy(path: &Path, network: &str, netuid: Netuid) -> Result<Self, StakeCopyError> {
        let io = |source| StakeCopyError::Io { path: path.into(), source };
        let damaged = |reason: String| StakeCopyError::Damaged { path: path.into(), reason };
        let other = |what: String| StakeCopyError::Other { path: path.into(), what };
        if std::fs::metadata(path).map_err(io)?.len() > MAX_LENGTH {
            return Err(damaged("it is larger than 16 MiB".into()));
        }
        let text = std::fs::read(path).map_err(io)?;
        let copy: Copy = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        if copy.version != VERSION {
            return Err(other(format!("version {}, not {VERSION}", copy.version)));
        }
        if copy.network != network || copy.netuid != netuid.0 {
            return Err(other(format!("subnet {} of {}", copy.netuid, copy.network)));
        }
        let as_of = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(copy.as_of));
        let as_of = as_of.ok_or_else(|| damaged("its time is none".into()))?;
        let mut stakes = BTreeMap::new();
        for (address, rao) in copy.stakes {
            let hotkey: Hotkey =
                address.parse().map_err(|error| damaged(format!("an address is {error}")))?;
            stakes.insert(hotkey, Rao(rao));
        }
        Ok(Self { netuid, block: copy.block, as_of, stakes })
    }

    /// Writes the copy, whole or not at all.
    ///
    /// # Errors
    /// Where the system says no.
    pub fn write_copy(&self, path: &Path, network: &str) -> Result<(), StakeCopyError> {
        let io = |source| StakeCopyError::Io { path: path.into(), source };
        let as_of = self.as_of.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let copy = Copy {
            version: VERSION,
            network: network.to_owned(),
            netuid: self.netuid.0,
            block: self.block,
            as_of,
            stakes: self.stakes.iter().map(|(hotkey, stake)| (hotkey.to_string(), stake.0)).collect(),
        };
        let text = serde_json::to_vec(&copy).map_err(|error| io(error.into()))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(io)?;
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(io)?;
        file.write_all(&text).and_then(|()| file.as_file().sync_all()).map_err(io)?;
        file.persist(path).map_err(|error| io(error.error))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stakes(rao: &[u64]) -> Stakes {
        let stakes = rao
            .iter()
            .enumerate()
            .map(|(index, rao)| (Hotkey::from_bytes([u8::try_from(index).unwrap(); 32]), Rao(*rao)));
        let as_of = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        Stakes { netuid: Netuid(44), block: 7, as_of, stakes: stakes.collect() }
    }

    #[test]
    fn a_copy_of_another_subnet_or_network_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/stakes.json");
        stakes(&[1]).write_copy(&path, "finney").unwrap();
        let error = Stakes::read_copy(&path, "finney", Netuid(34)).unwrap_err().to_string();
        assert!(error.contains("subnet 44 of finney"), "{error}");
        assert!(matches!(Stakes::read_copy(&path, "test", Netuid(44)), Err(StakeCopyError::Other { .. })));
    }

    #[test]
    fn half_a_copy_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stakes.json");
        stakes(&[1, 2]).write_copy(&path, "finney").unwrap();
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let read = Stakes::read_copy(&path, "finney", Netuid(44));
            assert!(matches!(read, Err(StakeCopyError::Damaged { .. })), "{length}: {read:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn a_copy_comes_back_whole(rao in proptest::collection::vec(any::<u64>(), 0..20)) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("stakes.json");
            let stakes = stakes(&rao);
            stakes.write_copy(&path, "finney").unwrap();
            prop_assert_eq!(Stakes::read_copy(&path, "finney", Netuid(44)).unwrap(), stakes);
        }
    }
}
