//! Passwords of key files, and the environment variables that carry them.
//!
//! `btcli` keeps a password in `BT_PW_<path>`, hidden from a glance and no more: XORed with the
//! variable's name, then base64 (chain reference, section 8).

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use crate::Exposure;

/// How the names of the variables begin that hold passwords.
pub const VARIABLES: &str = "BT_PW_";
/// The largest password file, in bytes.
const MAX_LENGTH: usize = 4 * 1024;

/// A password of a key file. Wiped when dropped; cannot be printed.
#[derive(Clone)]
pub struct Password(SecretString);

/// Why there is no password. Never quotes one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordError {
    /// An empty password, which would protect nothing.
    #[error("the password is empty")]
    Empty,
    /// A variable's value that was not made by [`encode`] for this name.
    #[error(
        "{variable} does not hold a password in the form that btcli stores (base64 of the password XORed \
         with the variable's name); a plain password does not work there: write it to a file instead"
    )]
    Variable {
        /// The variable's name.
        variable: String,
    },
    /// A password file that cannot be read.
    #[error("cannot read the password file {path}: {reason}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl Password {
    /// Takes a password as it was typed.
    ///
    /// # Errors
    /// Where it is empty.
    pub fn new(text: impl Into<SecretString>) -> Result<Self, PasswordError> {
        let text = text.into();
        if text.expose_secret().is_empty() { Err(PasswordError::Empty) } else { Ok(Self(text)) }
    }

    /// The first line of a file (all of it but one line end), at most 4 KiB, and who else can read it.
    ///
    /// # Errors
    /// Where the file cannot be read, is larger, is empty, has more lines or is not UTF-8.
    pub fn from_file(path: &Path) -> Result<(Self, Option<Exposure>), PasswordError> {
        let fault = |reason: String| PasswordError::File { path: path.into(), reason };
        // A pipe is fine too, as in `--password-file <(pass show wallet)`.
        let file = File::open(path).map_err(|source| fault(source.to_string()))?;
        let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
        let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_LENGTH + 1));
        let limit = MAX_LENGTH as u64 + 1;
        file.take(limit).read_to_end(&mut bytes).map_err(|source| fault(source.to_string()))?;
        if bytes.len() > MAX_LENGTH {
            return Err(fault("it is larger than 4 KiB".into()));
        }
        let exposure = if is_file { Exposure::of(path).unwrap_or_default() } else { None };
        let text = std::str::from_utf8(&bytes).map_err(|_| fault("it is not UTF-8".into()))?;
        let line = text.strip_suffix('\n').unwrap_or(text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.contains('\n') {
            return Err(fault("it has more than one line".into()));
        }
        let password = Self::new(line).map_err(|_| fault("it is empty".into()))?;
        Ok((password, exposure))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.expose_secret().as_bytes()
    }
}

impl PartialEq for Password {
    /// For what was typed twice; not in constant time.
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(secret)")
    }
}

/// The variable that holds the password of the key file at `path`, which is taken as it is written:
/// `~` stays.
#[must_use]
pub fn variable(path: &str) -> String {
    format!("{VARIABLES}{}", path.replace(['/', '.'], "_").to_uppercase())
}

/// The value that `variable` has for a password.
#[must_use]
pub fn encode(variable: &str, password: &Password) -> Zeroizing<String> {
    Zeroizing::new(STANDARD.encode(xored(password.bytes(), variable)))
}

/// The password that the value of `variable` stands for.
///
/// # Errors
/// Where the value was not made for this name.
pub fn decode(variable: &str, value: &str) -> Result<Password, PasswordError> {
    let fault = || PasswordError::Variable { variable: variable.to_owned() };
    let hidden = Zeroizing::new(STANDARD.decode(value.trim()).map_err(|_| fault())?);
    let plain = xored(&hidden, variable);
    Password::new(std::str::from_utf8(&plain).map_err(|_| fault())?)
}

fn xored(bytes: &[u8], key: &str) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(bytes.iter().zip(key.bytes().cycle()).map(|(byte, key)| byte ^ key).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_file_gives_its_line_and_nothing_more() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        for (content, expected) in
            [("pw", "pw"), ("pw\n", "pw"), ("pw\r\n", "pw"), (" p w \n", " p w "), ("pä✓\n", "pä✓")]
        {
            std::fs::write(&file, content).unwrap();
            assert_eq!(Password::from_file(&file).unwrap().0.bytes(), expected.as_bytes());
        }
        for bad in [b"".as_slice(), b"\n", b"a\nb\n", b"\xff", &[b'x'; 5000]] {
            std::fs::write(&file, bad).unwrap();
            let error = Password::from_file(&file).unwrap_err().to_string();
            assert!(error.contains(file.to_str().unwrap()), "{error}");
        }
        assert!(Password::from_file(folder.path()).unwrap_err().to_string().contains("Is a directory"));
        assert!(Password::from_file(&folder.path().join("none")).is_err());
    }

    #[test]
    fn a_plain_password_in_the_variable_is_refused_without_quoting_it() {
        for value in ["Correct-Horse-3!", "/////w==", ""] {
            let error = decode("BT_PW_X", value).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("Horse"));
        }
    }

    #[test]
    fn a_password_does_not_print() {
        assert_eq!(format!("{:?}", Password::new("hunter2").unwrap()), "Password(secret)");
    }

    proptest! {
        #[test]
        fn every_password_survives_its_variable(path in "\\PC{0,40}", text in "\\PC{1,40}") {
            let (name, password) = (variable(&path), Password::new(text.as_str()).unwrap());
            prop_assert!(decode(&name, &encode(&name, &password)).unwrap() == password);
        }

        #[test]
        fn any_value_is_read_without_panic(name in "\\PC{0,20}", value in "\\PC{0,40}") {
            let _ = decode(&variable(&name), &value);
        }
    }
}
