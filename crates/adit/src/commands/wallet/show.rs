//! `show`.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use adit_keys::{Exposure, Format, Hotkey, KeyFile, KeyFileError};
use adit_settings::Environment;
use serde_json::{Value, json};

use super::coldkey_note;
use crate::cli::wallet::ShowWallet;
use crate::failure::Failure;

pub(super) fn run(env: &Environment, args: &ShowWallet) -> Result<ExitCode, Failure> {
    let wallet = args.wallet.resolve(env)?;
    if !wallet.folder().is_dir() {
        return Err(Failure::new(format!("there is no wallet {}", wallet.folder().display())).hint(
            "`adit wallet list` shows the wallets that are there; --wallet.path and --wallet.name choose another",
        ));
    }
    let coldkey = Key::of(wallet.coldkey_file(), wallet.coldkeypub_file(), wallet.coldkey_address());
    let hotkey = Key::of(wallet.hotkey_file(), wallet.hotkeypub_file(), wallet.hotkey_address());
    let findings = findings(&coldkey, &hotkey);
    if args.json {
        let shown = json!({
            "wallet": wallet.name(), "hotkey_name": wallet.hotkey_name(), "path": wallet.path(),
            "coldkey": coldkey.json(), "hotkey": hotkey.json(), "coldkey_present": wallet.coldkey_present(),
            "findings": findings.iter().map(Finding::json).collect::<Value>(),
        });
        println!("{shown:#}");
    } else {
        println!("Wallet `{}` in {}\n", wallet.name(), wallet.path().display());
        coldkey.print("coldkey");
        hotkey.print(&format!("hotkey `{}`", wallet.hotkey_name()));
        for finding in &findings {
            println!("\n{}", finding.text());
        }
        if wallet.coldkey_present() {
            println!("\n{}", coldkey_note(&[wallet.name()]));
        }
    }
    let sound = findings.iter().all(|finding| matches!(finding, Finding::Exposed(_)));
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One key's two files, as far as they can be seen without a password.
struct Key {
    secret: PathBuf,
    public: PathBuf,
    address: Result<Hotkey, KeyFileError>,
    file: Result<KeyFile, KeyFileError>,
}

impl Key {
    fn of(secret: PathBuf, public: PathBuf, address: Result<Hotkey, KeyFileError>) -> Self {
        Self { file: KeyFile::read(&secret), secret, public, address }
    }

    fn format(&self) -> Option<Format> {
        self.file.as_ref().ok().map(KeyFile::format)
    }

    fn mode(&self) -> Option<String> {
        let metadata = std::fs::metadata(&self.secret).ok()?;
        Some(format!("{:04o}", metadata.permissions().mode() & 0o7777))
    }

    /// What is wrong with the secret file, and whether the public one belongs to it.
    fn fault(&self) -> Option<KeyFileError> {
        // Read again, for an error to give away.
        let file = match KeyFile::read(&self.secret) {
            Ok(file) => file,
            Err(error) => return Some(error),
        };
        match (file.address(), &self.address) {
            (Err(error), _) => Some(error),
            (Ok(Some(actual)), Ok(said)) if actual != *said => Some(KeyFileError::PublicMismatch {
                path: self.secret.clone(),
                public: self.public.clone(),
                said: *said,
                actual,
            }),
            // A plain file can be tried whole.
            (Ok(Some(_)), _) => file.open(None).err(),
            (Ok(None), _) => None,
        }
    }

    fn print(&self, name: &str) {
        let address = self.address.as_ref().map_or("unknown".to_owned(), ToString::to_string);
        println!("{name}\n  address  {address}");
        let state = match (self.format(), self.mode()) {
            (Some(format), Some(mode)) if format.is_encrypted() => {
                format!("{format}, encrypted, mode {mode}")
            }
            (Some(format), Some(mode)) => format!("{format}, not encrypted, mode {mode}"),
            _ if is_there(&self.secret) => "not readable as a key".to_owned(),
            _ => "not here".to_owned(),
        };
        println!("  secret   {}  ({state})", self.secret.display());
        let state = if is_there(&self.public) { "" } else { "  (not here)" };
        println!("  public   {}{state}", self.public.display());
    }

    fn json(&self) -> Value {
        json!({
            "address": self.address.as_ref().ok().map(ToString::to_string),
            "file": self.secret, "present": is_there(&self.secret),
            "public_file": self.public, "public_present": is_there(&self.public),
            "format": self.format().map(|format| format.to_string()),
            "encrypted": self.format().map(Format::is_encrypted), "mode": self.mode(),
        })
    }
}

fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// What the operator should know.
enum Finding {
    Fault(KeyFileError),
    Exposed(Exposure),
}

impl Finding {
    fn text(&self) -> String {
        match self {
            Self::Fault(error) => Failure::from(error).to_string(),
            Self::Exposed(exposure) => format!("warning: {exposure}"),
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Fault(error) => json!({"level": "error", "text": error.to_string(), "hint": error.hint()}),
            Self::Exposed(exposure) => json!({"level": "warning", "text": exposure.to_string()}),
        }
    }
}

fn findings(coldkey: &Key, hotkey: &Key) -> Vec<Finding> {
    let mut found = Vec::new();
    for (key, needed) in [(coldkey, false), (hotkey, true)] {
        let fault = match key.fault() {
            // A miner's host has no coldkey, and its address is then told by coldkeypub.txt or by nobody.
            Some(KeyFileError::Missing { .. }) if !needed => None,
            fault => fault,
        };
        // A damaged public file is a fault of its own.
        let public = key.address.as_ref().err().filter(|error| error.path() == key.public).map(|_| ());
        let public = public.and_then(|()| KeyFile::read(&key.public).and_then(|file| file.address()).err());
        found.extend(fault.into_iter().chain(public).map(Finding::Fault));
        found.extend(key.file.as_ref().ok().and_then(KeyFile::exposure).cloned().map(Finding::Exposed));
    }
    found
}
