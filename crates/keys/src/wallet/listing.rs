//! What wallets a directory holds, by what can be read without a password.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use super::{Wallet, public_address};
use crate::{Hotkey, KeyFile, KeyFileError};

/// How many entries of one directory are looked at: more is not a wallet directory but another one.
const MAX_ENTRIES: usize = 10_000;

/// One wallet. A fault in one of its files takes nothing else from the list.
#[derive(Debug)]
pub struct Listed {
    /// The wallet's name.
    pub name: String,
    /// The coldkey's address; `None` where the wallet has no coldkey file of any kind.
    pub coldkey: Option<Result<Hotkey, KeyFileError>>,
    /// Whether the coldkey's secret lies here.
    pub coldkey_present: bool,
    /// By name. An error where the directory cannot be read.
    pub hotkeys: Result<Vec<ListedHotkey>, KeyFileError>,
}

/// One hotkey of a wallet.
#[derive(Debug)]
pub struct ListedHotkey {
    /// Its name.
    pub name: String,
    /// Its address, or why that cannot be told.
    pub address: Result<Hotkey, KeyFileError>,
    /// Whether the secret lies here, or only the public half.
    pub secret_present: bool,
}

/// Every wallet in a directory, by name. Hidden entries and plain files are none.
///
/// # Errors
/// Where the directory itself cannot be read; one that is not there is [`KeyFileError::Missing`].
pub fn list(path: &Path) -> Result<Vec<Listed>, KeyFileError> {
    let (folders, _) = entries(path)?;
    Ok(folders.into_iter().filter_map(|name| listed(path, name)).collect())
}

fn listed(path: &Path, name: String) -> Option<Listed> {
    let wallet = Wallet::new(path, name, "default").ok()?;
    let coldkey = match consistent(&wallet.coldkeypub_file(), &wallet.coldkey_file()) {
        Err(KeyFileError::Missing { .. }) => None,
        result => Some(result),
    };
    let hotkeys = match entries(&wallet.folder().join("hotkeys")) {
        Ok((folders, files)) => Ok(hotkeys(&wallet, folders, files)),
        Err(KeyFileError::Missing { .. }) => Ok(Vec::new()),
        Err(error) => Err(error),
    };
    let coldkey_present = wallet.coldkey_present();
    Some(Listed { name: wallet.name, coldkey, coldkey_present, hotkeys })
}

fn hotkeys(wallet: &Wallet, folders: BTreeSet<String>, files: BTreeSet<String>) -> Vec<ListedHotkey> {
    // A directory stands for a key only as a fault that is worth seeing.
    let names: BTreeSet<_> = files
        .iter()
        .map(|file| file.strip_suffix("pub.txt").filter(|stem| !stem.is_empty()).unwrap_or(file).to_owned())
        .chain(folders)
        .collect();
    names
        .into_iter()
        .filter_map(|name| {
            let wallet = Wallet::new(wallet.path.clone(), wallet.name.clone(), name).ok()?;
            Some(ListedHotkey {
                address: consistent(&wallet.hotkeypub_file(), &wallet.hotkey_file()),
                secret_present: files.contains(&wallet.hotkey),
                name: wallet.hotkey,
            })
        })
        .collect()
}

/// The address, where what can be read of both files agrees.
fn consistent(public: &Path, secret: &Path) -> Result<Hotkey, KeyFileError> {
    let address = public_address(public, secret)?;
    match KeyFile::read(secret) {
        Err(KeyFileError::Missing { .. }) => Ok(address),
        Err(error) => Err(error),
        Ok(file) => match file.address()? {
            Some(actual) if actual != address => Err(KeyFileError::PublicMismatch {
                path: secret.into(),
                public: public.into(),
                said: address,
                actual,
            }),
            _ => Ok(address),
        },
    }
}

/// Names of directories and of everything else in a directory, hidden ones left out. Links count as
/// what they lead to.
fn entries(path: &Path) -> Result<(BTreeSet<String>, BTreeSet<String>), KeyFileError> {
    let unreadable = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => KeyFileError::Missing { path: path.into() },
        _ => KeyFileError::Unreadable { path: path.into(), source },
    };
    let (mut folders, mut files) = (BTreeSet::new(), BTreeSet::new());
    for entry in std::fs::read_dir(path).map_err(unreadable)?.take(MAX_ENTRIES) {
        let entry = entry.map_err(unreadable)?;
        // Bittensor's tools cannot name anything else.
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.starts_with('.') {
            continue;
        }
        let is_folder = entry.path().is_dir();
        if is_folder {
            folders.insert(name)
        } else {
            files.insert(name)
        };
    }
    Ok((folders, files))
}
