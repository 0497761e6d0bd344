//! What can be wrong with a key file. Each says the file, why, and (in its hint) what to do.

use std::io;
use std::path::{Path, PathBuf};

use super::Format;
use crate::{AddressError, Hotkey};

/// Why a key file cannot be used or written. Never holds any of its content.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// Not there.
    #[error("there is no key file {path}", path = .path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// There, but the system does not let us read it.
    #[error("cannot read the key file {path}: {source}", path = .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A directory, as Docker makes one when a mounted file is missing, or a pipe or device.
    #[error("{path} is {what}, not a key file", path = .path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What it is instead.
        what: &'static str,
    },
    /// Larger than any key file.
    #[error("{path} is larger than 64 KiB and cannot be a key file", path = .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Half-written.
    #[error("{path} is cut short: {reason}", path = .path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// How that shows; never a piece of the file.
        reason: &'static str,
    },
    /// Damaged, or something else than a key file.
    #[error("{path} is damaged or no key file: {reason}", path = .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong; never a piece of the file.
        reason: &'static str,
    },
    /// An address that is none.
    #[error("{path} holds a wrong address: {source}", path = .path.display())]
    Address {
        /// The file.
        path: PathBuf,
        /// Which fault.
        source: AddressError,
    },
    /// Address and secret do not belong together.
    #[error("{path} holds the secret of {secret} but the address {address}", path = .path.display())]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// Address of the secret.
        secret: Hotkey,
        /// Address written in the file.
        address: Hotkey,
    },
    /// The public file beside a key names another key.
    #[error("{public} says {said}, but {path} is the key of {actual}", path = .path.display(), public = .public.display())]
    PublicMismatch {
        /// The key file.
        path: PathBuf,
        /// The public file.
        public: PathBuf,
        /// Address in the public file.
        said: Hotkey,
        /// Address of the key.
        actual: Hotkey,
    },
    /// Only the public half.
    #[error("{path} holds an address but no secret to sign with", path = .path.display())]
    NoSecret {
        /// The file.
        path: PathBuf,
    },
    /// Encrypted, and no password was given.
    #[error("{path} is encrypted ({format}) and needs its password", path = .path.display())]
    NeedsPassword {
        /// The file.
        path: PathBuf,
        /// How it is encrypted.
        format: Format,
    },
    /// The password does not open it. For NaCl and Fernet files damage looks the same.
    #[error("the password does not open {path}: it is another one, or the file is damaged", path = .path.display())]
    WrongPassword {
        /// The file.
        path: PathBuf,
    },
    /// Too little memory for the key derivation, which is made to need much.
    #[error("no memory to open or write {path}: its encryption needs 512 MiB", path = .path.display())]
    Memory {
        /// The file.
        path: PathBuf,
    },
    /// Something is there already.
    #[error("{path} exists already and was left as it is", path = .path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Cannot be written.
    #[error("cannot write {path}: {source}", path = .path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl KeyFileError {
    /// What to do about it, as a sentence to follow "hint:".
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        let public = self.path().to_string_lossy().ends_with("pub.txt");
        Some(match self {
            Self::Truncated { .. } | Self::Malformed { .. } | Self::Address { .. } if public => {
                "copy the file again from where the key was made: it holds the address only, no secret"
            }
            Self::Missing { .. } => {
                "`adit wallet list` shows the wallets that are there; --wallet.path, --wallet.name and \
                 --wallet.hotkey choose another (in a container: mount it)"
            }
            Self::Unreadable { .. } => "run as the user that owns the wallet, or give the file to this user",
            Self::NotAFile { .. } => {
                "remove it and put the key file there; Docker makes a directory where a mounted file was missing \
                 on the host"
            }
            Self::TooLarge { .. } => "check the wallet's path and name: another file lies there",
            Self::Truncated { .. } | Self::Malformed { .. } | Self::Mismatch { .. } => {
                "copy the file from a backup, or make it anew from its mnemonic with `adit wallet regen-hotkey` or \
                 `regen-coldkey` and --overwrite"
            }
            Self::Address { .. } => "copy the file from a backup, or make it anew from its mnemonic",
            Self::PublicMismatch { .. } => {
                "one of the two was copied from another wallet: find out which address is the right one before \
                 anything is paid to it, then replace the wrong file"
            }
            Self::NoSecret { .. } => "sign where the whole key file is, or make it anew from its mnemonic",
            Self::NeedsPassword { .. } => {
                "give it with --password-file FILE or ADIT_WALLET_PASSWORD_FILE, or run the command on a terminal"
            }
            Self::WrongPassword { .. } => {
                "try the password that the wallet was made with; if it is lost, only the mnemonic makes the key anew"
            }
            Self::Memory { .. } => "free memory, or raise the container's limit, and try again",
            Self::Exists { .. } => {
                "choose another name; --overwrite replaces it, and what it holds is then gone unless its mnemonic \
                 is written down"
            }
            Self::Unwritable { .. } => "check the directory's owner and that the disk has room",
        })
    }

    /// The file that the error is about.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Missing { path }
            | Self::Unreadable { path, .. }
            | Self::NotAFile { path, .. }
            | Self::TooLarge { path }
            | Self::Truncated { path, .. }
            | Self::Malformed { path, .. }
            | Self::Address { path, .. }
            | Self::Mismatch { path, .. }
            | Self::PublicMismatch { path, .. }
            | Self::NoSecret { path }
            | Self::NeedsPassword { path, .. }
            | Self::WrongPassword { path }
            | Self::Memory { path }
            | Self::Exists { path }
            | Self::Unwritable { path, .. } => path,
        }
    }
}

/// What a decoder finds, before a path is put to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    WrongPassword,
    Truncated(&'static str),
    Malformed(&'static str),
    Memory,
}

impl Fault {
    pub(super) fn at(self, path: &Path) -> KeyFileError {
        let path = path.to_path_buf();
        match self {
            Self::WrongPassword => KeyFileError::WrongPassword { path },
            Self::Truncated(reason) => KeyFileError::Truncated { path, reason },
            Self::Malformed(reason) => KeyFileError::Malformed { path, reason },
            Self::Memory => KeyFileError::Memory { path },
        }
    }
}
