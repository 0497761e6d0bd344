//! What proves that a browser is the operator's.

use std::fmt;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use adit_http_server::seen_from_here;
use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256};

/// The name of its file in the data folder.
pub const TOKEN_FILE: &str = "dashboard.token";
/// Shortest and longest that an operator may give.
const SHORTEST: usize = 16;
const LONGEST: usize = 256;

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Its file.
    #[error("{path}: {source}", path = .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// One that was given cannot be used.
    #[error("a token has {SHORTEST} to {LONGEST} characters out of letters, digits, `-`, `.`, `_` and `~`")]
    Unfit,
}

/// A secret that whoever knows is taken for the operator.
#[derive(Clone)]
pub struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl Token {
    /// The one that the operator chose.
    ///
    /// # Errors
    /// [`TokenError::Unfit`] where it is too short to be a secret, or would have to be quoted in an address.
    pub fn given(text: &str) -> Result<Self, TokenError> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if (SHORTEST..=LONGEST).contains(&text.len()) && text.bytes().all(fits) {
            Ok(Self(text.to_owned()))
        } else {
            Err(TokenError::Unfit)
        }
    }

    /// The one in the data folder, which is made where there is none. One that others could read is replaced.
    ///
    /// # Errors
    /// Where the file can neither be read nor made.
    pub fn in_folder(folder: &Path) -> Result<Self, TokenError> {
        let path = folder.join(TOKEN_FILE);
        let failed = |source| TokenError::File { path: path.clone(), source };
        match read(&path) {
            Ok(Some(token)) => return Ok(token),
            Ok(None) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        make(folder, &path).map_err(failed)
    }

    /// The address that makes a browser the operator's, of a page that listens there.
    #[must_use]
    pub fn link(&self, listen: SocketAddr) -> String {
        let address = seen_from_here(listen);
        format!("http://{address}/?token={}", self.0)
    }

    /// Compared without telling by the time how much of it is right.
    pub(crate) fn is(&self, other: &str) -> bool {
        let (own, other) = (Sha256::digest(&self.0), Sha256::digest(other));
        own.iter().zip(other).fold(0, |differs, (own, other)| differs | (own ^ other)) == 0
    }

    /// For an address and a cookie.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

/// `None` where it is no secret (any more).
fn read(path: &Path) -> io::Result<Option<Token>> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file"));
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        tracing::warn!("{} could be read by others: a new token is made", path.display());
        return Ok(None);
    }
    let mut text = String::new();
    file.take(LONGEST as u64 + 2).read_to_string(&mut text)?;
    Ok(Token::given(text.trim_end()).ok())
}

/// Whole at once, so that who reads it at this moment finds the old one or the new one.
fn make(folder: &Path, path: &Path) -> io::Result<Token> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut bytes = [0; 32];
    getrandom::getrandom(&mut bytes).map_err(|_| io::Error::other("the system gives no random numbers"))?;
    let token = Token(hex::encode(bytes));
    let mut name = [0; 8];
    getrandom::getrandom(&mut name).map_err(|_| io::Error::other("the system gives no random numbers"))?;
    let new = folder.join(format!("{TOKEN_FILE}.{}", hex::encode(name)));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    let written = file.write_all(format!("{}\n", token.0).as_bytes()).and_then(|()| file.sync_all());
    if let Err(error) = written.and_then(|()| fs::rename(&new, path)) {
        let _ = fs::remove_file(&new);
        return Err(error);
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once_and_only_its_owner_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let made = Token::in_folder(&data).unwrap();
        assert_eq!(made.expose().len(), 64);
        assert_eq!(Token::in_folder(&data).unwrap().expose(), made.expose());
        assert_eq!(fs::metadata(data.join(TOKEN_FILE)).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&data).unwrap().count(), 1);
    }

    #[test]
    fn one_that_others_could_read_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let made = Token::in_folder(folder.path()).unwrap();
        let path = folder.path().join(TOKEN_FILE);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let mended = Token::in_folder(folder.path()).unwrap();
        assert_ne!(mended.expose(), made.expose());
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_link_in_its_place_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = folder.path().join("elsewhere");
        fs::write(&elsewhere, "0123456789abcdef0123456789abcdef").unwrap();
        std::os::unix::fs::symlink(&elsewhere, folder.path().join(TOKEN_FILE)).unwrap();
        assert!(matches!(Token::in_folder(folder.path()), Err(TokenError::File { .. })));
    }

    #[test]
    fn it_is_compared_whole_and_never_printed() {
        let token = Token::given("0123456789abcdef").unwrap();
        assert!(token.is("0123456789abcdef"));
        assert!(!token.is("0123456789abcde") && !token.is("0123456789abcdefg") && !token.is(""));
        assert_eq!(format!("{token:?}"), "Token(..)");
        assert!(Token::given("short").is_err() && Token::given("0123456789abcde f").is_err());
    }
}
