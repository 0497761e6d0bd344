//! Where a miner's state and log are.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// A miner's folder. Nothing of it need be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    folder: PathBuf,
    name: String,
}

/// A name that is none.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no name of a process: 1 to 64 of a-z, A-Z, 0-9, `.`, `_` and `-`, the first no `.` or `-`")]
pub struct NameError(String);

impl Place {
    /// The place of the miner of this name among those of this folder.
    ///
    /// # Errors
    /// Where the name could leave the folder, or a terminal could not show it.
    pub fn new(all: &Path, name: &str) -> Result<Self, NameError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if name.is_empty() || name.len() > 64 || name.starts_with(['.', '-']) || !name.bytes().all(plain) {
            return Err(NameError(name.chars().take(80).collect()));
        }
        Ok(Self { folder: all.join(name), name: name.to_owned() })
    }

    /// What the miner is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file that its output is in; older ones are beside it, with `.1` and so on after the name.
    #[must_use]
    pub fn log_file(&self) -> PathBuf {
        self.folder.join("miner.log")
    }

    pub(crate) fn state_file(&self) -> PathBuf {
        self.folder.join("state.json")
    }

    /// The folder for its owner alone: a log may say more than others should know.
    pub(crate) fn make(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let folder = File::open(&self.folder)?;
        let mut permissions = folder.metadata()?.permissions();
        if permissions.mode() & 0o077 != 0 {
            permissions.set_mode(0o700);
            folder.set_permissions(permissions)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_folders_and_stays_below() {
        for name in ["bitmind-generative-miner", "a", "miner_2.b", "9", &"x".repeat(64)] {
            assert_eq!(Place::new(Path::new("/run"), name).unwrap().folder(), Path::new("/run").join(name));
        }
        for name in ["", ".", "..", ".a", "-a", "a/b", "a b", "ä", "a\n", &"x".repeat(65)] {
            assert!(Place::new(Path::new("/run"), name).is_err(), "{name:?}");
        }
    }
}
