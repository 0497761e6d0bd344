//! Wallet directories: `<path>/<name>/{coldkey,coldkeypub.txt,hotkeys/<hotkey>,hotkeys/<hotkey>pub.txt}`
//! (chain reference, section 8). A miner needs the hotkey alone.

mod listing;

use std::path::{Path, PathBuf};

pub use listing::{Listed, ListedHotkey, list};

use crate::keyfile::{write_public, write_secret};
use crate::{Hotkey, KeyFile, KeyFileError, Overwrite, Password, Protection, Secret, password};

/// Which wallet, and which of its hotkeys. A value: nothing need be on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wallet {
    path: PathBuf,
    name: String,
    hotkey: String,
    written_path: Option<String>,
}

/// A name that would lead out of the wallet's directory, or nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` cannot name a wallet or hotkey: a name is one file name, without a slash")]
pub struct WalletNameError(String);

impl Wallet {
    /// The wallet `name` in the directory `path`, with its hotkey `hotkey`.
    ///
    /// # Errors
    /// Where a name is empty, `.`, `..` or has a slash in it.
    pub fn new(
        path: impl Into<PathBuf>,
        name: impl Into<String>,
        hotkey: impl Into<String>,
    ) -> Result<Self, WalletNameError> {
        let wallet = Self { path: path.into(), name: name.into(), hotkey: hotkey.into(), written_path: None };
        for name in [&wallet.name, &wallet.hotkey] {
            if matches!(name.as_str(), "" | "." | "..") || name.contains(['/', '\0']) {
                return Err(WalletNameError(name.clone()));
            }
        }
        Ok(wallet)
    }

    /// How the operator wrote the path, `~` and all: btcli names password variables after that.
    #[must_use]
    pub fn written_as(mut self, path: impl Into<String>) -> Self {
        self.written_path = Some(path.into());
        self
    }

    /// The directory that holds the wallets.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The wallet's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The hotkey's name.
    #[must_use]
    pub fn hotkey_name(&self) -> &str {
        &self.hotkey
    }

    /// This wallet's directory.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.path.join(&self.name)
    }

    /// The coldkey's secret. Has no business on a miner's host.
    #[must_use]
    pub fn coldkey_file(&self) -> PathBuf {
        self.folder().join("coldkey")
    }

    /// The coldkey's public half.
    #[must_use]
    pub fn coldkeypub_file(&self) -> PathBuf {
        self.folder().join("coldkeypub.txt")
    }

    /// The hotkey's secret.
    #[must_use]
    pub fn hotkey_file(&self) -> PathBuf {
        self.folder().join("hotkeys").join(&self.hotkey)
    }

    /// The hotkey's public half, which older wallets do not have.
    #[must_use]
    pub fn hotkeypub_file(&self) -> PathBuf {
        self.folder().join("hotkeys").join(format!("{}pub.txt", self.hotkey))
    }

    /// True where the coldkey's secret lies on this host. A miner never needs it.
    #[must_use]
    pub fn coldkey_present(&self) -> bool {
        self.coldkey_file().symlink_metadata().is_ok_and(|found| !found.is_dir())
    }

    /// The hotkey's address, from its public file or else from a plain key file: never a password.
    ///
    /// # Errors
    /// Where neither says it.
    pub fn hotkey_address(&self) -> Result<Hotkey, KeyFileError> {
        public_address(&self.hotkeypub_file(), &self.hotkey_file())
    }

    /// The coldkey's address, in the same way.
    ///
    /// # Errors
    /// Where neither file says it.
    pub fn coldkey_address(&self) -> Result<Hotkey, KeyFileError> {
        public_address(&self.coldkeypub_file(), &self.coldkey_file())
    }

    /// Opens the hotkey and holds it against its public file.
    ///
    /// # Errors
    /// See [`KeyFile::open`]; also where the public file is damaged or names another key.
    pub fn open_hotkey(&self, password: Option<&Password>) -> Result<Secret, KeyFileError> {
        open(&KeyFile::read(&self.hotkey_file())?, &self.hotkeypub_file(), password)
    }

    /// Opens the coldkey and holds it against its public file.
    ///
    /// # Errors
    /// See [`KeyFile::open`]; also where the public file is damaged or names another key.
    pub fn open_coldkey(&self, password: Option<&Password>) -> Result<Secret, KeyFileError> {
        open(&KeyFile::read(&self.coldkey_file())?, &self.coldkeypub_file(), password)
    }

    /// Writes the hotkey and its public file.
    ///
    /// # Errors
    /// Where files are there already and may not be overwritten, or cannot be written.
    pub fn store_hotkey(
        &self,
        secret: &Secret,
        protection: Protection<'_>,
        overwrite: Overwrite,
    ) -> Result<(), KeyFileError> {
        store(&self.hotkey_file(), &self.hotkeypub_file(), secret, protection, overwrite)
    }

    /// Writes the coldkey and its public file.
    ///
    /// # Errors
    /// Where files are there already and may not be overwritten, or cannot be written.
    pub fn store_coldkey(
        &self,
        secret: &Secret,
        protection: Protection<'_>,
        overwrite: Overwrite,
    ) -> Result<(), KeyFileError> {
        store(&self.coldkey_file(), &self.coldkeypub_file(), secret, protection, overwrite)
    }

    /// Says early what [`Wallet::store_hotkey`] would say: worth asking before a password is chosen.
    ///
    /// # Errors
    /// Where a file is in the way; `address` is the key to be written, where it is known already.
    pub fn hotkey_is_free(&self, address: Option<Hotkey>) -> Result<(), KeyFileError> {
        is_free(&self.hotkey_file(), &self.hotkeypub_file(), address)
    }

    /// Says early what [`Wallet::store_coldkey`] would say.
    ///
    /// # Errors
    /// As for the hotkey.
    pub fn coldkey_is_free(&self, address: Option<Hotkey>) -> Result<(), KeyFileError> {
        is_free(&self.coldkey_file(), &self.coldkeypub_file(), address)
    }

    /// The environment variables that may hold the password of one of this wallet's files: named after
    /// the path as it was written, and after the path itself.
    #[must_use]
    pub fn password_variables(&self, file: &Path) -> Vec<String> {
        let own = password::variable(&file.to_string_lossy());
        let inner = file.strip_prefix(&self.path).ok();
        let as_written = self
            .written_path
            .as_deref()
            .zip(inner)
            .map(|(path, inner)| password::variable(&Path::new(path).join(inner).to_string_lossy()));
        let mut names: Vec<_> = as_written.into_iter().chain([own]).collect();
        names.dedup();
        names
    }
}

/// The address that `public` says, else the plain key file `secret`.
fn public_address(public: &Path, secret: &Path) -> Result<Hotkey, KeyFileError> {
    match KeyFile::read(public) {
        Ok(file) => plain_address(&file),
        Err(KeyFileError::Missing { .. }) => plain_address(&KeyFile::read(secret)?),
        Err(error) => Err(error),
    }
}

fn plain_address(file: &KeyFile) -> Result<Hotkey, KeyFileError> {
    let needs_password = || KeyFileError::NeedsPassword { path: file.path().into(), format: file.format() };
    file.address()?.ok_or_else(needs_password)
}

fn open(file: &KeyFile, public: &Path, password: Option<&Password>) -> Result<Secret, KeyFileError> {
    // Before the password, which may take seconds to try.
    let said = match KeyFile::read(public) {
        Ok(public) => public.address()?,
        Err(KeyFileError::Missing { .. }) => None,
        Err(error) => return Err(error),
    };
    let secret = file.open(password)?;
    match said {
        Some(said) if said != secret.address() => Err(KeyFileError::PublicMismatch {
            path: file.path().into(),
            public: public.into(),
            said,
            actual: secret.address(),
        }),
        _ => Ok(secret),
    }
}

/// A public file alone may stay where it names the same key: so a key is made anew beside it.
fn is_free(file: &Path, public: &Path, address: Option<Hotkey>) -> Result<(), KeyFileError> {
    if file.symlink_metadata().is_ok() {
        return Err(KeyFileError::Exists { path: file.into() });
    }
    match KeyFile::read(public) {
        Err(KeyFileError::Missing { .. }) => Ok(()),
        Ok(found) if address.is_some() && found.address().ok().flatten() == address => Ok(()),
        _ => Err(KeyFileError::Exists { path: public.into() }),
    }
}

fn store(
    file: &Path,
    public: &Path,
    secret: &Secret,
    protection: Protection<'_>,
    overwrite: Overwrite,
) -> Result<(), KeyFileError> {
    let address = secret.address();
    if overwrite == Overwrite::No {
        is_free(file, public, Some(address))?;
    }
    write_secret(file, secret, protection, overwrite)?;
    match write_public(public, address, overwrite) {
        // Another writer's file of the same key, or the one that was found to be free.
        Err(KeyFileError::Exists { .. })
            if KeyFile::read(public).and_then(|found| found.address()).ok().flatten() == Some(address) =>
        {
            Ok(())
        }
        result => result,
    }
}
