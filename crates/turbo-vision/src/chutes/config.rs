//! `~/.chutes/config.ini`, by which the `chutes` program knows the account. It holds the hotkey's seed.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use adit_keys::{Hotkey, Keypair, Seed};
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use super::Account;

/// Largest file that is read, in bytes.
const MAX_BYTES: u64 = 64 * 1024;

/// What the file says, once it is whole.
#[derive(Debug)]
pub struct Config {
    /// Where it was read.
    pub path: PathBuf,
    /// The account's name.
    pub username: String,
    /// The account's id.
    pub user_id: String,
    /// What the wallet calls the hotkey.
    pub hotkey_name: String,
    /// The hotkey's address.
    pub hotkey: Hotkey,
    /// The API's URL, where the file names one.
    pub base_url: Option<String>,
    seed: SecretString,
}

/// Why the `chutes` program could not work with the file. [`ConfigError::hint`] is the line to type.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// There is none.
    #[error("there is no {path}, by which the chutes program knows your account")]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// It is there and cannot be read.
    #[error("{path} cannot be read: {error}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The section `[auth]` lacks something.
    #[error("{path} lacks {what} in its section [auth]")]
    Incomplete {
        /// The file.
        path: PathBuf,
        /// The names of what is missing.
        what: String,
    },
    /// The seed or the address is none, or they are of two keys.
    #[error("{path} is wrong: {why}")]
    BadKey {
        /// The file.
        path: PathBuf,
        /// What is wrong, without the seed.
        why: String,
    },
    /// It belongs to another account.
    #[error("{path} belongs to the account `{found}`, CHUTES_USERNAME says `{wanted}`")]
    OtherUser {
        /// The file.
        path: PathBuf,
        /// The account in the file.
        found: String,
        /// The account of the settings.
        wanted: String,
    },
    /// The API key is that of another account.
    #[error("{path} belongs to the account `{found}`, CHUTES_API_KEY to `{key}`")]
    OtherKey {
        /// The file.
        path: PathBuf,
        /// The account in the file.
        found: String,
        /// The account of the key.
        key: String,
    },
    /// It leads to another API than the settings do.
    #[error("{path} leads to {found}, CHUTES_MINERS_ENDPOINT says {wanted}")]
    OtherApi {
        /// The file.
        path: PathBuf,
        /// The URL in the file.
        found: String,
        /// The URL of the settings.
        wanted: String,
    },
}

impl ConfigError {
    /// The line to type, with why.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Missing { path } => format!(
                "Make an account, or get the file of the one that you have:\n    chutes register\n    chutes login\n\
                 Where the file is elsewhere:\n    export CHUTES_CONFIG_PATH=/path/to/config.ini (now: {})",
                path.display()
            ),
            Self::Unreadable { path, .. } => {
                format!("Make it readable for you alone:\n    chmod 600 {}", quoted(path))
            }
            Self::Incomplete { path, .. } | Self::BadKey { path, .. } => {
                format!("Move it away and write it anew:\n    mv {0} {0}.old && chutes login", quoted(path))
            }
            Self::OtherUser { found, .. } => format!(
                "Where `{found}` is the one to use:\n    export CHUTES_USERNAME={found}\nelse name the other account's \
                 file:\n    export CHUTES_CONFIG_PATH=/path/to/config.ini"
            ),
            Self::OtherKey { found, .. } => format!(
                "What the chutes program deploys, the key would not find. Make a key of `{found}`:\n    chutes keys create \
                 --name adit --admin"
            ),
            Self::OtherApi { path, found, .. } => format!(
                "Where {found} is the one to use:\n    export CHUTES_MINERS_ENDPOINT={found}\nelse correct base_url in \
                 {}",
                path.display()
            ),
        }
    }
}

impl Config {
    /// Reads the file.
    ///
    /// # Errors
    /// `Missing`, `Unreadable`, `Incomplete` or `BadKey`; none quotes a value.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |error| ConfigError::Unreadable { path: path.to_owned(), error };
        let length = match fs::metadata(path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ConfigError::Missing { path: path.to_owned() });
            }
            Err(error) => return Err(unreadable(error)),
        };
        if length > MAX_BYTES {
            return Err(unreadable(io::Error::other("it is too long for a config.ini")));
        }
        let text = Zeroizing::new(fs::read_to_string(path).map_err(unreadable)?);
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let values = options(text);
        let auth =
            |name: &str| values.get(&("auth", name.to_owned())).copied().filter(|value| !value.is_empty());
        let names = ["username", "user_id", "hotkey_seed", "hotkey_name", "hotkey_ss58address"];
        let [Some(username), Some(user_id), Some(seed), Some(hotkey_name), Some(address)] = names.map(auth)
        else {
            let missing: Vec<&str> = names.into_iter().filter(|name| auth(name).is_none()).collect();
            return Err(ConfigError::Incomplete { path: path.to_owned(), what: missing.join(", ") });
        };
        let bad = |why: String| ConfigError::BadKey { path: path.to_owned(), why };
        let pair = keypair(seed).ok_or_else(|| bad("hotkey_seed is not 64 hex digits".to_owned()))?;
        let hotkey: Hotkey =
            address.parse().map_err(|error| bad(format!("hotkey_ss58address is no address: {error}")))?;
        if pair.hotkey() != hotkey {
            return Err(bad(format!(
                "hotkey_seed is that of {}, hotkey_ss58address says {hotkey}",
                pair.hotkey()
            )));
        }
        let base_url = values.get(&("api", "base_url".to_owned())).filter(|url| !url.is_empty());
        Ok(Self {
            path: path.to_owned(),
            username: username.to_owned(),
            user_id: user_id.to_owned(),
            hotkey_name: hotkey_name.to_owned(),
            hotkey,
            base_url: base_url.map(|url| url.trim_end_matches('/').to_owned()),
            seed: seed.into(),
        })
    }

    /// Whether it is that of this account and leads to this API.
    ///
    /// # Errors
    /// `OtherUser` or `OtherApi`.
    pub fn check(&self, username: &str, base_url: &str) -> Result<(), ConfigError> {
        if self.username != username {
            let (found, wanted) = (self.username.clone(), username.to_owned());
            return Err(ConfigError::OtherUser { path: self.path.clone(), found, wanted });
        }
        match &self.base_url {
            Some(found) if found != base_url.trim_end_matches('/') => Err(ConfigError::OtherApi {
                path: self.path.clone(),
                found: found.clone(),
                wanted: base_url.to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// Whether it is that of the account that a key is of.
    ///
    /// # Errors
    /// `OtherKey`.
    pub fn check_account(&self, account: &Account) -> Result<(), ConfigError> {
        if self.user_id == account.user_id {
            return Ok(());
        }
        let (found, key) = (self.username.clone(), account.username.clone());
        Err(ConfigError::OtherKey { path: self.path.clone(), found, key })
    }

    /// The hotkey's pair.
    pub(super) fn keypair(&self) -> Keypair {
        keypair(self.seed.expose_secret()).expect("the seed was read as one")
    }

    /// The seed as it is written, to keep it out of what a program prints.
    pub(super) fn seed(&self) -> &SecretString {
        &self.seed
    }

    /// Writes a file for a new account, readable by its owner alone and never over another one.
    ///
    /// # Errors
    /// Where it exists or cannot be written.
    pub(super) fn write(path: &Path, text: &str) -> io::Result<()> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        // Mode 600 from the start.
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist_noclobber(path).map_err(|error| error.error)?;
        Ok(())
    }
}

fn keypair(seed: &str) -> Option<Keypair> {
    Some(Keypair::from_seed(seed.parse::<Seed>().ok()?.expose_bytes()))
}

/// The options by section and name, as Python's `configparser` reads them as far as this file needs it: names have no
/// case, `=` or `:` stands between, a line of comment begins with `#` or `;`.
fn options(text: &str) -> HashMap<(&str, String), &str> {
    let mut section = "";
    let mut found = HashMap::new();
    for line in text.lines() {
        let line = line.trim();
        if line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name;
        } else if let Some((name, value)) = line.split_once(['=', ':']) {
            found.insert((section, name.trim().to_lowercase()), value.trim());
        }
    }
    found
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    if plain { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SEED: &str = "0707070707070707070707070707070707070707070707070707070707070707";

    fn text(username: &str, seed: &str, address: &str) -> String {
        format!(
            "[api]\nbase_url = http://127.0.0.1:1/\n\n# mine\n[auth]\nUsername = {username}\nuser_id: u-1\n\
             hotkey_seed = {seed}\nhotkey_name = default\nhotkey_ss58address = {address}\n\n[payment]\naddress = 5x\n"
        )
    }

    fn address() -> String {
        keypair(SEED).unwrap().hotkey().to_string()
    }

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(Path::new("/home/m/.chutes/config.ini"), text)
    }

    #[test]
    fn a_whole_file_is_read_and_its_seed_is_not_shown() {
        let config = parse(&text("miner", SEED, &address())).unwrap();
        assert_eq!((config.username.as_str(), config.user_id.as_str()), ("miner", "u-1"));
        assert_eq!(config.base_url.as_deref(), Some("http://127.0.0.1:1"));
        assert!(!format!("{config:?}").contains(SEED));
        config.check("miner", "http://127.0.0.1:1/").unwrap();
        let other = config.check("Miner", "http://127.0.0.1:1").unwrap_err();
        assert!(other.hint().contains("export CHUTES_USERNAME=miner"), "{}", other.hint());
        let other = config.check("miner", "https://api.chutes.ai").unwrap_err();
        assert!(other.hint().contains("CHUTES_MINERS_ENDPOINT=http://127.0.0.1:1"), "{}", other.hint());
    }

    #[test]
    fn what_is_wrong_is_named_without_the_seed() {
        let missing = parse("[auth]\nusername = m\nhotkey_seed =\n").unwrap_err().to_string();
        assert!(missing.contains("user_id, hotkey_seed, hotkey_name, hotkey_ss58address"), "{missing}");
        let stranger = Keypair::from_seed(&[8; 32]).hotkey().to_string();
        for bad in [text("m", &SEED[2..], &address()), text("m", SEED, "5oops"), text("m", SEED, &stranger)] {
            let error = parse(&bad).unwrap_err();
            assert!(matches!(error, ConfigError::BadKey { .. }), "{error}");
            assert!(!format!("{error} {error:?} {}", error.hint()).contains(&SEED[2..]));
        }
    }

    #[test]
    fn a_missing_file_has_the_line_to_type() {
        let folder = tempfile::tempdir().unwrap();
        let error = Config::read(&folder.path().join("none/config.ini")).unwrap_err();
        assert!(matches!(error, ConfigError::Missing { .. }) && error.hint().contains("    chutes register"));
    }

    #[test]
    fn a_new_file_is_for_its_owner_and_never_over_another() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".chutes/config.ini");
        Config::write(&path, &text("miner", SEED, &address())).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Config::read(&path).unwrap().username, "miner");
        assert_eq!(Config::write(&path, "other").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(Config::read(&path).unwrap().username, "miner");
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "(\\[?[a-z_]{0,9}\\]?[=: ]?\\PC{0,9}\n){0,20}") {
            let _ = parse(&text);
        }
    }
}
