//! Key files of every format that can be met, as Bittensor's wallets have written them over the years.
//!
//! This module knows one file; which files a wallet has is known by [`Wallet`](crate::Wallet).

mod content;
mod disk;
mod error;
mod fernet;
mod nacl;
mod vault;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

pub use disk::{Exposure, Overwrite, make_private};
pub use error::KeyFileError;

use crate::{Hotkey, Password, Secret};
use content::Content;
use disk::{ReadFault, read_private};

/// The largest key file that is read, in bytes; real ones have 200 to 3,000.
const MAX_LENGTH: u64 = 64 * 1024;

/// How a key file is written, told by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON that anybody who can read the file can use.
    Plain,
    /// `$NACL`, the current encryption. Opening takes some seconds and 512 MiB, on purpose.
    Nacl,
    /// `$ANSIBLE_VAULT`, the one before.
    AnsibleVault,
    /// A Fernet token, the oldest; bittensor-wallet 4 can no longer open it.
    Fernet,
}

impl Format {
    fn of(bytes: &[u8]) -> Self {
        if bytes.starts_with(nacl::MARKER) {
            Self::Nacl
        } else if bytes.starts_with(vault::MARKER) {
            Self::AnsibleVault
        } else if bytes.starts_with(fernet::MARKER) {
            Self::Fernet
        } else {
            Self::Plain
        }
    }

    /// True where a password is needed.
    #[must_use]
    pub fn is_encrypted(self) -> bool {
        self != Self::Plain
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Plain => "plain JSON",
            Self::Nacl => "NaCl",
            Self::AnsibleVault => "Ansible vault",
            Self::Fernet => "Fernet",
        })
    }
}

/// How a secret is to be written.
#[derive(Debug, Clone, Copy)]
pub enum Protection<'password> {
    /// Plain JSON: what hotkeys usually are, so that a miner starts without a password.
    Plain,
    /// `$NACL` under a password. Takes some seconds and 512 MiB.
    Nacl(&'password Password),
}

/// A key file as it was read, not opened yet. Prints only path and format.
pub struct KeyFile {
    path: PathBuf,
    bytes: Zeroizing<Vec<u8>>,
    format: Format,
    exposure: Option<Exposure>,
}

impl KeyFile {
    /// Reads a file of at most 64 KiB.
    ///
    /// # Errors
    /// Where it is missing, cannot be read, is larger or is no regular file.
    pub fn read(path: &Path) -> Result<Self, KeyFileError> {
        let (bytes, exposure) = read_private(path, MAX_LENGTH).map_err(|fault| {
            let path = path.to_path_buf();
            match fault {
                ReadFault::Io(source) if source.kind() == io::ErrorKind::NotFound => {
                    KeyFileError::Missing { path }
                }
                ReadFault::Io(source) => KeyFileError::Unreadable { path, source },
                ReadFault::Directory => KeyFileError::NotAFile { path, what: "a directory" },
                ReadFault::NotAFile => KeyFileError::NotAFile { path, what: "a pipe or device" },
                ReadFault::TooLarge => KeyFileError::TooLarge { path },
            }
        })?;
        Ok(Self { path: path.into(), format: Format::of(&bytes), bytes, exposure })
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How it is written.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Who else can read or change it, to warn of. Means nothing for a public file.
    #[must_use]
    pub fn exposure(&self) -> Option<&Exposure> {
        self.exposure.as_ref()
    }

    /// The address, as far as it can be told without a password: `None` for an encrypted file.
    ///
    /// # Errors
    /// Where the file is damaged or holds neither address nor secret.
    pub fn address(&self) -> Result<Option<Hotkey>, KeyFileError> {
        if self.format.is_encrypted() {
            return Ok(None);
        }
        let content = Content::parse(&self.bytes).map_err(|fault| fault.at(&self.path))?;
        if let Some(address) = self.written_address(&content)? {
            return Ok(Some(address));
        }
        match content.secret().map_err(|fault| fault.at(&self.path))? {
            Some(secret) => Ok(Some(secret.address())),
            None => Err(KeyFileError::Malformed {
                path: self.path.clone(),
                reason: "it has neither ss58Address nor a secret",
            }),
        }
    }

    /// Opens it: secretPhrase, else secretSeed, else privateKey. The password is not looked at where
    /// the file is plain.
    ///
    /// # Errors
    /// Where the password is missing or wrong, the file is damaged or holds no secret, or its address
    /// belongs to another key.
    pub fn open(&self, password: Option<&Password>) -> Result<Secret, KeyFileError> {
        let decrypted = match (self.format, password) {
            (Format::Plain, _) => None,
            (format, None) => return Err(KeyFileError::NeedsPassword { path: self.path.clone(), format }),
            (Format::Nacl, Some(password)) => Some(nacl::open(&self.bytes, password)),
            (Format::AnsibleVault, Some(password)) => Some(vault::open(&self.bytes, password)),
            (Format::Fernet, Some(password)) => Some(fernet::open(&self.bytes, password)),
        }
        .transpose()
        .map_err(|fault| fault.at(&self.path))?;
        let json = decrypted.as_ref().unwrap_or(&self.bytes);
        let content = Content::parse(json).map_err(|fault| fault.at(&self.path))?;
        let address = self.written_address(&content)?;
        let secret = content.secret().map_err(|fault| fault.at(&self.path))?;
        let secret = secret.ok_or_else(|| match address {
            Some(_) => KeyFileError::NoSecret { path: self.path.clone() },
            None => KeyFileError::Malformed { path: self.path.clone(), reason: "it holds no secret" },
        })?;
        match address {
            Some(address) if address != secret.address() => {
                Err(KeyFileError::Mismatch { path: self.path.clone(), secret: secret.address(), address })
            }
            _ => Ok(secret),
        }
    }

    fn written_address(&self, content: &Content) -> Result<Option<Hotkey>, KeyFileError> {
        content.address().map_err(|source| KeyFileError::Address { path: self.path.clone(), source })
    }
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyFile")
            .field("path", &self.path)
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

/// Writes a key file, whole or not at all, with mode 0600.
pub(crate) fn write_secret(
    path: &Path,
    secret: &Secret,
    protection: Protection<'_>,
    overwrite: Overwrite,
) -> Result<(), KeyFileError> {
    let json = content::render(secret);
    let bytes = match protection {
        Protection::Plain => json,
        Protection::Nacl(password) => {
            Zeroizing::new(nacl::seal(&json, password).map_err(|fault| fault.at(path))?)
        }
    };
    write(path, &bytes, overwrite)
}

/// Writes a public file. Mode 0600 too, as bittensor-wallet does.
pub(crate) fn write_public(path: &Path, address: Hotkey, overwrite: Overwrite) -> Result<(), KeyFileError> {
    write(path, &content::render_public(address), overwrite)
}

fn write(path: &Path, bytes: &[u8], overwrite: Overwrite) -> Result<(), KeyFileError> {
    disk::write_private(path, bytes, overwrite).map_err(|source| {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::AlreadyExists => KeyFileError::Exists { path },
            io::ErrorKind::IsADirectory => KeyFileError::NotAFile { path, what: "a directory" },
            _ => KeyFileError::Unwritable { path, source },
        }
    })
}
