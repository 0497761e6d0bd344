//! `new-coldkey`, `new-hotkey`, `regen-coldkey`, `regen-hotkey`.

use std::io::{self, IsTerminal as _, Read as _};
use std::path::PathBuf;
use std::process::ExitCode;

use adit_keys::{Hotkey, KeyFileError, Overwrite, Phrase, Protection, Secret, Wallet, WordCount};
use adit_settings::{Environment, ExposeSecret as _};
use serde_json::json;
use zeroize::Zeroizing;

use crate::cli::wallet::{NewKey, ProtectionArgs, RegenKey};
use crate::commands::password;
use crate::failure::Failure;

/// The longest input that is read for words: 24 of 8 letters with room for blanks.
const MAX_INPUT: u64 = 4 * 1024;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Coldkey,
    Hotkey,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Coldkey => "coldkey",
            Self::Hotkey => "hotkey",
        }
    }

    fn files(self, wallet: &Wallet) -> (PathBuf, PathBuf) {
        match self {
            Self::Coldkey => (wallet.coldkey_file(), wallet.coldkeypub_file()),
            Self::Hotkey => (wallet.hotkey_file(), wallet.hotkeypub_file()),
        }
    }

    fn is_free(self, wallet: &Wallet, address: Option<Hotkey>) -> Result<(), KeyFileError> {
        match self {
            Self::Coldkey => wallet.coldkey_is_free(address),
            Self::Hotkey => wallet.hotkey_is_free(address),
        }
    }

    fn encrypts(self, args: &ProtectionArgs) -> bool {
        match self {
            Self::Coldkey => !args.no_password,
            Self::Hotkey => args.use_password,
        }
    }
}

pub(super) fn new(env: &Environment, kind: Kind, args: &NewKey) -> Result<ExitCode, Failure> {
    let wallet = args.wallet.resolve(env)?;
    let shows = args.json || io::stdout().is_terminal();
    // A plain file keeps the words for whoever can read it; an encrypted one does not give them back.
    if !shows && kind.encrypts(&args.protection) {
        return Err(Failure::new("stdout is no terminal, and the mnemonic is shown only once")
            .hint("run the command on a terminal, or take the mnemonic from the output of --json"));
    }
    if !args.overwrite {
        kind.is_free(&wallet, None)?;
    }
    let words = if args.n_words == 24 { WordCount::TwentyFour } else { WordCount::Twelve };
    let secret = Secret::generate(words);
    let made = store(env, kind, &wallet, &secret, &args.protection, args.overwrite)?;
    if args.json {
        let words = secret.phrase().map(Phrase::expose_words);
        println!("{:#}", made.json(words));
        return Ok(ExitCode::SUCCESS);
    }
    println!("{}", made.text());
    match secret.phrase().filter(|_| shows) {
        Some(phrase) => println!("{}", mnemonic_text(kind, phrase).as_str()),
        None => println!("\nThe mnemonic is not shown because stdout is no terminal; it is in the file."),
    }
    Ok(ExitCode::SUCCESS)
}

/// The one time that the words are seen.
fn mnemonic_text(kind: Kind, phrase: &Phrase) -> Zeroizing<String> {
    Zeroizing::new(format!(
        "\nWrite the mnemonic down now, on paper. Whoever has these words has the {}; without them a lost file or \
         password\ncannot be replaced. They are not shown again.\n\n    {}",
        kind.word(),
        phrase.expose_words()
    ))
}

pub(super) fn regen(env: &Environment, kind: Kind, args: &RegenKey) -> Result<ExitCode, Failure> {
    let wallet = args.wallet.resolve(env)?;
    let secret = given(args)?;
    if !args.overwrite {
        kind.is_free(&wallet, Some(secret.address()))?;
    }
    let made = store(env, kind, &wallet, &secret, &args.protection, args.overwrite)?;
    if args.json {
        println!("{:#}", made.json(None));
    } else {
        println!("{}", made.text());
    }
    Ok(ExitCode::SUCCESS)
}

/// The key that the arguments name, else the one whose words or seed come from stdin.
fn given(args: &RegenKey) -> Result<Secret, Failure> {
    if let Some(uri) = &args.uri {
        return Ok(Secret::from_uri(uri.expose_secret())?);
    }
    if let Some(seed) = &args.seed {
        return Ok(Secret::from_seed(seed.expose_secret().trim().parse()?));
    }
    let mut text = Zeroizing::new(String::with_capacity(MAX_INPUT as usize + 1));
    if args.mnemonic.is_empty() {
        read_input(&mut text)?;
    } else {
        for word in &args.mnemonic {
            text.push_str(word.expose_secret());
            text.push(' ');
        }
    }
    let text = text.trim();
    if text.is_empty() {
        return Err(Failure::new("no mnemonic and no seed was given").hint(
            "run the command on a terminal and type the words, or pipe them in: \
             adit wallet regen-hotkey < words.txt",
        ));
    }
    if text.starts_with("0x") {
        return Ok(Secret::from_seed(text.parse()?));
    }
    Ok(Secret::from_phrase(text.parse()?))
}

/// A line from the terminal, or all of a pipe.
fn read_input(text: &mut String) -> Result<(), Failure> {
    let stdin = io::stdin();
    let read = if stdin.is_terminal() {
        eprint!("Mnemonic, or seed with 0x (one line): ");
        stdin.read_line(text)
    } else {
        stdin.lock().take(MAX_INPUT).read_to_string(text)
    };
    read.map(|_| ()).map_err(|error| Failure::new(format!("cannot read the mnemonic: {error}")))
}

/// What was written, for the operator.
struct Made {
    kind: Kind,
    wallet: Wallet,
    address: Hotkey,
    encrypted: bool,
}

fn store(
    env: &Environment,
    kind: Kind,
    wallet: &Wallet,
    secret: &Secret,
    args: &ProtectionArgs,
    overwrite: bool,
) -> Result<Made, Failure> {
    let (file, _) = kind.files(wallet);
    let encrypted = kind.encrypts(args);
    let overwrite = if overwrite { Overwrite::Yes } else { Overwrite::No };
    let password = if encrypted {
        let names = wallet.password_variables(&file);
        let chosen = password::choose(env, &file, &names, &args.password)?;
        password::say_on_terminal("Encrypting takes some seconds …");
        Some(chosen)
    } else {
        None
    };
    let protection = password.as_ref().map_or(Protection::Plain, Protection::Nacl);
    match kind {
        Kind::Coldkey => wallet.store_coldkey(secret, protection, overwrite)?,
        Kind::Hotkey => wallet.store_hotkey(secret, protection, overwrite)?,
    }
    Ok(Made { kind, wallet: wallet.clone(), address: secret.address(), encrypted })
}

impl Made {
    fn text(&self) -> String {
        let (file, public) = self.kind.files(&self.wallet);
        let name = match self.kind {
            Kind::Coldkey => format!("coldkey of wallet `{}`", self.wallet.name()),
            Kind::Hotkey => {
                format!("hotkey `{}` of wallet `{}`", self.wallet.hotkey_name(), self.wallet.name())
            }
        };
        format!(
            "Wrote the {name}\n  address  {}\n  secret   {} ({})\n  public   {}",
            self.address,
            file.display(),
            if self.encrypted { "encrypted" } else { "not encrypted" },
            public.display()
        )
    }

    fn json(&self, mnemonic: Option<&str>) -> serde_json::Value {
        let (file, public) = self.kind.files(&self.wallet);
        let mut made = json!({
            "kind": self.kind.word(), "wallet": self.wallet.name(), "hotkey": self.wallet.hotkey_name(),
            "address": self.address.to_string(), "encrypted": self.encrypted,
            "file": file, "public_file": public,
        });
        if let Some(fields) = made.as_object_mut() {
            if self.kind == Kind::Coldkey {
                fields.shift_remove("hotkey");
            }
            if let Some(mnemonic) = mnemonic {
                fields.insert("mnemonic".to_owned(), mnemonic.into());
            }
        }
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_stand_on_one_line_under_a_warning() {
        let words = "inject float sword latin aerobic need gallery defense firm kind ketchup grass";
        let text = mnemonic_text(Kind::Coldkey, &words.parse().unwrap());
        assert!(text.contains("Write the mnemonic down now"));
        assert_eq!(text.lines().filter(|line| line.trim() == words).count(), 1);
    }
}
