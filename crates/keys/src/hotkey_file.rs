//! Hotkey files in plain JSON, as Bittensor wallets keep them:
//! `<wallets>/<wallet name>/hotkeys/<hotkey name>`, with the public half beside it as
//! `<hotkey name>pub.txt` where the wallet is new enough.

use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use zeroize::Zeroizing;

use crate::sr25519::seed_from_hex;
use crate::{AddressError, Hotkey, Keypair};

/// The largest key file that is read, in bytes; real ones have about 400.
const MAX_LENGTH: u64 = 64 * 1024;

/// Why a hotkey file cannot be used. Never holds any of its content.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HotkeyFileError {
    /// Missing or unreadable.
    #[error("cannot read the hotkey file {path}: {source}", path = .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Not JSON, or not a key file.
    #[error("{path} is not a hotkey file in plain JSON: {reason}", path = .path.display())]
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
}

/// Borrows from the buffer that is wiped, so that no copy of the seed stays behind.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content<'file> {
    ss58_address: Option<&'file str>,
    secret_seed: Option<&'file str>,
}

/// Where a wallet keeps a hotkey.
#[must_use]
pub fn path(wallets: &Path, wallet: &str, hotkey: &str) -> PathBuf {
    wallets.join(wallet).join("hotkeys").join(hotkey)
}

/// Reads only the address: a miner that checks signatures needs no secret.
///
/// # Errors
/// Where the file cannot be read or holds no address.
pub fn read_address(path: &Path) -> Result<Hotkey, HotkeyFileError> {
    let bytes = read(path)?;
    let content = parse(path, &bytes)?;
    match (content.ss58_address, content.secret_seed) {
        (Some(address), _) => parse_address(path, address),
        (None, Some(_)) => Ok(keypair(path, &content)?.hotkey()),
        (None, None) => Err(malformed(path, "it has neither ss58Address nor secretSeed")),
    }
}

/// Reads the key pair.
///
/// # Errors
/// Where the file cannot be read, holds no seed, or its address belongs to another key.
pub fn read_keypair(path: &Path) -> Result<Keypair, HotkeyFileError> {
    let bytes = read(path)?;
    let content = parse(path, &bytes)?;
    let pair = keypair(path, &content)?;
    if let Some(address) = content.ss58_address {
        let (secret, address) = (pair.hotkey(), parse_address(path, address)?);
        if secret != address {
            return Err(HotkeyFileError::Mismatch { path: path.into(), secret, address });
        }
    }
    Ok(pair)
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, HotkeyFileError> {
    let unreadable = |source| HotkeyFileError::Unreadable { path: path.into(), source };
    if std::fs::metadata(path).map_err(unreadable)?.len() > MAX_LENGTH {
        return Err(malformed(path, "it is larger than 64 KiB"));
    }
    let bytes = Zeroizing::new(std::fs::read(path).map_err(unreadable)?);
    if bytes.starts_with(b"$NACL") || bytes.starts_with(b"$ANSIBLE_VAULT") {
        return Err(malformed(path, "it is encrypted; set ADIT_HOTKEY to its ss58 address instead"));
    }
    Ok(bytes)
}

fn parse<'file>(path: &Path, bytes: &'file [u8]) -> Result<Content<'file>, HotkeyFileError> {
    // The reader's own message could quote the secret, so it is dropped.
    serde_json::from_slice(bytes).map_err(|_| malformed(path, "it does not parse as a JSON object of texts"))
}

fn keypair(path: &Path, content: &Content<'_>) -> Result<Keypair, HotkeyFileError> {
    let seed = content.secret_seed.ok_or_else(|| malformed(path, "it has no secretSeed"))?;
    let seed = seed_from_hex(seed).ok_or_else(|| malformed(path, "its secretSeed is not 64 hex digits"))?;
    Ok(Keypair::from_seed(&seed))
}

fn parse_address(path: &Path, text: &str) -> Result<Hotkey, HotkeyFileError> {
    text.parse().map_err(|source| HotkeyFileError::Address { path: path.into(), source })
}

fn malformed(path: &Path, reason: &'static str) -> HotkeyFileError {
    HotkeyFileError::Malformed { path: path.into(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: &str = "0xe5be9a5092b81bca64be81d212e7f2f9eba183bb7a90954f7b76361f6edb5c0a";
    const ALICE: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";

    fn written(content: &str) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let file = path(directory.path(), "default", "default");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, content).unwrap();
        (directory, file)
    }

    #[test]
    fn address_and_pair_come_from_one_file() {
        let (_kept, file) = written(&format!(
            r#"{{"accountId":"0xd4","publicKey":"0xd4","privateKey":"0x00","secretPhrase":"a b","secretSeed":"{SEED}","ss58Address":"{ALICE}"}}"#
        ));
        assert_eq!(read_address(&file).unwrap().to_string(), ALICE);
        assert_eq!(read_keypair(&file).unwrap().hotkey().to_string(), ALICE);
    }

    #[test]
    fn an_address_of_another_key_is_refused() {
        let other = Keypair::generate().hotkey();
        let (_kept, file) = written(&format!(r#"{{"secretSeed":"{SEED}","ss58Address":"{other}"}}"#));
        assert!(matches!(read_keypair(&file), Err(HotkeyFileError::Mismatch { .. })));
    }

    #[test]
    fn no_error_quotes_the_file() {
        for content in [
            format!(r#"{{"secretSeed": "{SEED}zz"}}"#),
            format!(r#"{{"secretSeed": {SEED}}}"#),
            format!("$NACL{SEED}"),
            SEED.to_owned(),
        ] {
            let (_kept, file) = written(&content);
            let error = read_keypair(&file).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("e5be9a50"), "{error:?}");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = read_address(Path::new("/nowhere/default/hotkeys/default")).unwrap_err().to_string();
        assert!(error.contains("/nowhere/default/hotkeys/default"), "{error}");
    }
}
