//! Stakes from a JSON file, in either of two forms:
//!
//! - `{"<ss58 hotkey>": 1234.5, …}`, stakes in the chain's combined units;
//! - fiber's `nodes.json`, `{"<ss58 hotkey>": {"stake": 1234.5, …}, …}`.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use adit_auth::StakeTable;
use adit_keys::{AddressError, Hotkey};
use serde::Deserialize;

/// The largest file that is read, in bytes. A subnet has 256 neurons, 400 bytes each in fiber's form.
const MAX_LENGTH: u64 = 16 * 1024 * 1024;

/// Why the file gives no table. The table in force stays as it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StakeFileError {
    /// Missing or unreadable.
    #[error("cannot read the stake table {path}: {source}", path = .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Larger than 16 MiB.
    #[error("the stake table {path} is larger than 16 MiB: this is hardly a stake table", path = .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Neither of the two forms.
    #[error("{path} is no stake table ({source}): expected {{\"<ss58 hotkey>\": stake}} or fiber's nodes.json", path = .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where it fails.
        source: serde_json::Error,
    },
    /// A key that is no hotkey.
    #[error("{path}: `{key}` is {source}", path = .path.display())]
    Hotkey {
        /// The file.
        path: PathBuf,
        /// The key in the file, cut to 64 characters.
        key: String,
        /// Which fault.
        source: AddressError,
    },
    /// A stake below zero.
    #[error("{path}: the stake {stake} of {hotkey} is not a number of at least 0", path = .path.display())]
    Stake {
        /// The file.
        path: PathBuf,
        /// Whose.
        hotkey: Hotkey,
        /// What the file says.
        stake: f64,
    },
}

/// One entry in either form.
#[derive(Deserialize)]
#[serde(untagged)]
enum Entry {
    Stake(f64),
    Node { stake: f64 },
}

/// When the file last changed: a cheap look before it is read again.
///
/// # Errors
/// Where the file cannot be reached.
pub fn modified(path: &Path) -> Result<SystemTime, StakeFileError> {
    std::fs::metadata(path)
        .and_then(|metadata| metadata.modified())
        .map_err(|source| unreadable(path, source))
}

/// Reads the table. Its moment is when the file was last written.
///
/// # Errors
/// Where the file cannot be read or any entry is wrong: a half-good table is not a table.
pub fn read(path: &Path) -> Result<StakeTable, StakeFileError> {
    let as_of = modified(path)?;
    let length = std::fs::metadata(path).map_err(|source| unreadable(path, source))?.len();
    if length > MAX_LENGTH {
        return Err(StakeFileError::TooLarge { path: path.into() });
    }
    let text = std::fs::read(path).map_err(|source| unreadable(path, source))?;
    let entries: HashMap<String, Entry> = serde_json::from_slice(&text)
        .map_err(|source| StakeFileError::Malformed { path: path.into(), source })?;
    let mut stakes = HashMap::with_capacity(entries.len());
    for (key, entry) in entries {
        let hotkey: Hotkey = key.parse().map_err(|source| StakeFileError::Hotkey {
            path: path.into(),
            key: key.chars().take(64).collect(),
            source,
        })?;
        let (Entry::Stake(stake) | Entry::Node { stake }) = entry;
        if stake < 0.0 {
            return Err(StakeFileError::Stake { path: path.into(), hotkey, stake });
        }
        stakes.insert(hotkey, stake);
    }
    Ok(StakeTable::new(stakes, as_of))
}

fn unreadable(path: &Path, source: io::Error) -> StakeFileError {
    StakeFileError::Unreadable { path: path.into(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALICE: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";

    fn read_text(text: impl AsRef<[u8]>) -> Result<StakeTable, StakeFileError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        read(file.path())
    }

    #[test]
    fn both_forms_are_read() {
        for text in [
            format!(r#"{{"{ALICE}": 1000}}"#),
            format!(r#"{{"{ALICE}": {{"hotkey":"{ALICE}","node_id":3,"stake":1000.0,"ip":"1.2.3.4"}}}}"#),
        ] {
            assert_eq!(read_text(text).unwrap().stake(&ALICE.parse().unwrap()), Some(1000.0));
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, words) in [
            ("[]".to_owned(), "no stake table"),
            (format!(r#"{{"{ALICE}": "1000"}}"#), "no stake table"),
            (r#"{"5Bad": 1}"#.to_owned(), "`5Bad` is not an ss58 address"),
            (format!(r#"{{"{ALICE}": -1}}"#), "stake -1 of 5Grwva"),
        ] {
            let error = read_text(text).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn the_age_is_that_of_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "{}").unwrap();
        let written = SystemTime::now() - std::time::Duration::from_secs(500);
        std::fs::File::options().write(true).open(file.path()).unwrap().set_modified(written).unwrap();
        assert_eq!(read(file.path()).unwrap().age(written).as_secs(), 0);
        assert!(read(file.path()).unwrap().age(SystemTime::now()).as_secs() >= 499);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            let _ = read_text(bytes);
        }
    }
}
