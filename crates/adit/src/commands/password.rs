//! Passwords of key files, and keys opened with them.
//!
//! A password comes from btcli's variable `BT_PW_…` of that file, else from `--password-file` or
//! `ADIT_WALLET_PASSWORD_FILE`, else from the terminal.

use std::fmt;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use adit_keys::{KeyFile, KeyFileError, Keypair, Password, Secret, Wallet, password};
use adit_settings::{Environment, SecretString, var};

use super::terminal::ask_secret;
use crate::cli::wallet::PasswordArgs;
use crate::failure::Failure;

/// How often a password may be mistyped.
const TRIES: usize = 3;

/// Opens the wallet's coldkey, with its password where it is encrypted.
pub(crate) fn open_coldkey(
    env: &Environment,
    wallet: &Wallet,
    args: &PasswordArgs,
) -> Result<Keypair, Failure> {
    let file = wallet.coldkey_file();
    let names = wallet.password_variables(&file);
    let secret = open(env, &file, &names, args, |password| wallet.open_coldkey(password))?;
    Ok(secret.into_keypair())
}

/// Opens the wallet's hotkey, with its password where it is encrypted.
pub(crate) fn open_hotkey(
    env: &Environment,
    wallet: &Wallet,
    args: &PasswordArgs,
) -> Result<Keypair, Failure> {
    Ok(open_hotkey_secret(env, wallet, args)?.into_keypair())
}

/// As [`open_hotkey`], with the seed: for those that must hand it on.
pub(crate) fn open_hotkey_secret(
    env: &Environment,
    wallet: &Wallet,
    args: &PasswordArgs,
) -> Result<Secret, Failure> {
    let file = wallet.hotkey_file();
    let names = wallet.password_variables(&file);
    open(env, &file, &names, args, |password| wallet.open_hotkey(password))
}

/// Opens a key file that belongs to no wallet in particular.
pub(crate) fn open_file(env: &Environment, file: &Path, args: &PasswordArgs) -> Result<Keypair, Failure> {
    let names = [password::variable(&file.to_string_lossy())];
    Ok(open(env, file, &names, args, |password| KeyFile::read(file)?.open(password))?.into_keypair())
}

fn open(
    env: &Environment,
    path: &Path,
    variables: &[String],
    args: &PasswordArgs,
    open: impl Fn(Option<&Password>) -> Result<Secret, KeyFileError>,
) -> Result<Secret, Failure> {
    let file = KeyFile::read(path)?;
    if let Some(exposure) = file.exposure() {
        eprintln!("warning: {exposure}");
    }
    if !file.format().is_encrypted() {
        return Ok(open(None)?);
    }
    let stored = stored(env, variables, args)?;
    let mut tries_left = TRIES;
    loop {
        tries_left -= 1;
        let password = match &stored {
            Some((password, _)) => password.clone(),
            None => ask(&format!("Password of {}", path.display()), path, &file)?,
        };
        say_on_terminal(&format!("Opening {} takes some seconds …", path.display()));
        match (open(Some(&password)), &stored) {
            (Ok(secret), _) => return Ok(secret),
            (Err(error @ KeyFileError::WrongPassword { .. }), Some((_, source))) => {
                return Err(Failure::new(error).hint(format!("it was taken from {source}; correct it there")));
            }
            (Err(KeyFileError::WrongPassword { .. }), None) if tries_left > 0 => {
                eprintln!("That password does not open it. Try again.");
            }
            (Err(error), _) => return Err(error.into()),
        }
    }
}

/// For somebody who waits.
pub(super) fn say_on_terminal(text: &str) {
    if std::io::stderr().is_terminal() {
        eprintln!("{text}");
    }
}

/// A password for a file that is to be written; asked for twice on a terminal.
pub(super) fn choose(
    env: &Environment,
    path: &Path,
    variables: &[String],
    args: &PasswordArgs,
) -> Result<Password, Failure> {
    if let Some((password, _)) = stored(env, variables, args)? {
        return Ok(password);
    }
    let question = format!("Choose a password for {}", path.display());
    for _ in 0..TRIES {
        let Some(first) = ask_secret(&question).map_err(Failure::new)? else {
            return Err(Failure::new(format!("no password for {}", path.display())).hint(
                "give one with --password-file FILE or ADIT_WALLET_PASSWORD_FILE, run the command on a terminal, or \
                 leave the file unencrypted with --no-password",
            ));
        };
        let again = ask_secret("The same again").map_err(Failure::new)?;
        if again.as_ref() != Some(&first) {
            eprintln!("The two differ. Try again.");
            continue;
        }
        match Password::new(SecretString::from(first.as_str())) {
            Ok(password) => return Ok(password),
            Err(error) => eprintln!("{error}. Try again."),
        }
    }
    Err(Failure::new("no password was chosen; nothing was written"))
}

/// Where a password was found.
enum Source {
    Variable(String),
    File(PathBuf),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => write!(f, "the variable {name}"),
            Self::File(path) => write!(f, "the file {}", path.display()),
        }
    }
}

/// The password that was left for us, if there is one.
fn stored(
    env: &Environment,
    variables: &[String],
    args: &PasswordArgs,
) -> Result<Option<(Password, Source)>, Failure> {
    for name in variables {
        if let Some((_, value)) = env.variables().find(|(set, value)| set == name && !value.is_empty()) {
            return Ok(Some((password::decode(name, value)?, Source::Variable(name.clone()))));
        }
    }
    let file = match &args.password_file {
        Some(file) => Some(file.clone()),
        None => env.path(&var::WALLET_PASSWORD_FILE)?,
    };
    let Some(file) = file else { return Ok(None) };
    let (password, exposure) = Password::from_file(&file)?;
    // Docker mounts its secrets readable for all and not to be changed.
    if let Some(exposure) = exposure.filter(|_| !file.starts_with("/run/secrets")) {
        eprintln!("warning: {exposure}");
    }
    Ok(Some((password, Source::File(file))))
}

fn ask(question: &str, path: &Path, file: &KeyFile) -> Result<Password, Failure> {
    match ask_secret(question).map_err(Failure::new)? {
        Some(text) => Ok(Password::new(SecretString::from(text.as_str()))?),
        None => Err(KeyFileError::NeedsPassword { path: path.into(), format: file.format() }.into()),
    }
}
