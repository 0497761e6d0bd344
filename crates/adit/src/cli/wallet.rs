//! The arguments of `adit wallet`, and those by which other commands choose a wallet and its password.
//! Names are btcli's, in each spelling that it has had.

use std::path::PathBuf;

use adit_keys::{Hotkey, Signature, SignatureFormatError, Wallet};
use adit_settings::{Environment, SecretString, var};
use clap::{Args, Subcommand};

use super::chain::Transfer;
use crate::failure::Failure;

/// Where the wallets are.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct WalletPathArgs {
    /// Directory that holds the wallets [setting: BITTENSOR_WALLET_PATH]
    #[arg(
        short = 'p',
        long = "wallet.path",
        value_name = "DIR",
        aliases = ["wallet-path", "wallet_path"]
    )]
    pub(crate) wallet_path: Option<String>,
}

impl WalletPathArgs {
    /// As it is written, and what it means.
    pub(crate) fn resolve(&self, env: &Environment) -> Result<(String, PathBuf), Failure> {
        let written = match &self.wallet_path {
            Some(path) => path.clone(),
            None => env.required(&var::WALLET_PATH)?.to_owned(),
        };
        let path = env.expand_home(&written);
        Ok((written, path))
    }
}

/// Which wallet and which hotkey: from the arguments, else from the settings.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct WalletArgs {
    /// Wallet, that is the coldkey's name [setting: BITTENSOR_WALLET_COLD]
    #[arg(long = "wallet.name", value_name = "NAME", aliases = ["wallet-name", "wallet_name", "name"])]
    pub(crate) wallet_name: Option<String>,
    /// Hotkey of that wallet [setting: BITTENSOR_WALLET_HOT]
    #[arg(
        short = 'H',
        long = "wallet.hotkey",
        value_name = "NAME",
        aliases = ["wallet-hotkey", "wallet_hotkey", "hotkey"]
    )]
    pub(crate) wallet_hotkey: Option<String>,
    #[command(flatten)]
    pub(crate) path: WalletPathArgs,
}

impl WalletArgs {
    /// True where the arguments name it, so that no setting does.
    pub(crate) fn is_told(&self) -> bool {
        self.wallet_name.is_some() || self.wallet_hotkey.is_some() || self.path.wallet_path.is_some()
    }

    /// The wallet that is meant; nothing is read.
    pub(crate) fn resolve(&self, env: &Environment) -> Result<Wallet, Failure> {
        let (written, path) = self.path.resolve(env)?;
        let name = self.wallet_name.as_deref().map_or_else(|| env.required(&var::WALLET_NAME), Ok)?;
        let hotkey = self.wallet_hotkey.as_deref().map_or_else(|| env.required(&var::HOTKEY_NAME), Ok)?;
        Ok(Wallet::new(path, name, hotkey)?.written_as(written))
    }
}

/// Where the password of an encrypted key file comes from. Before both stands btcli's variable
/// `BT_PW_…`, behind both a question on the terminal.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct PasswordArgs {
    /// File whose one line is the password of an encrypted key [setting: ADIT_WALLET_PASSWORD_FILE]
    #[arg(long, value_name = "FILE", alias = "password_file")]
    pub(crate) password_file: Option<PathBuf>,
}

/// Whether a new file is encrypted. Coldkeys are unless told otherwise, hotkeys are not.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ProtectionArgs {
    /// Encrypt the file [default for coldkeys]
    #[arg(long, alias = "use_password", conflicts_with = "no_password")]
    pub(crate) use_password: bool,
    /// Leave the file unencrypted [default for hotkeys]
    #[arg(long, aliases = ["no-use-password", "no_password", "no_use_password"])]
    pub(crate) no_password: bool,
    #[command(flatten)]
    pub(crate) password: PasswordArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WalletCommand {
    /// Make a new coldkey, encrypted, and show its mnemonic once
    #[command(
        alias = "new_coldkey",
        after_help = "Do this on a machine of your own: a miner's host needs the hotkey and coldkeypub.txt, \
            never the coldkey.\n\
            The mnemonic is shown on a terminal only. With --json it is in the JSON: keep that out of logs.\n\n\
            Examples:\n  \
            adit wallet new-coldkey --wallet.name main\n  \
            adit wallet new-coldkey --wallet.name main --n-words 24 --password-file ~/pw"
    )]
    NewColdkey(NewKey),
    /// Make a new hotkey, and show its mnemonic once
    #[command(
        alias = "new_hotkey",
        after_help = "The file is plain, so that a miner starts without a password; --use-password encrypts it.\n\
            The mnemonic is shown on a terminal only. With --json it is in the JSON: keep that out of logs.\n\n\
            Examples:\n  \
            adit wallet new-hotkey --wallet.name main --wallet.hotkey miner1"
    )]
    NewHotkey(NewKey),
    /// Make a coldkey file anew from its mnemonic or seed
    #[command(
        alias = "regen_coldkey",
        after_help = "Without --mnemonic and --seed the words are asked for, or read from a pipe. That is the better \
            way: what is an argument stays in the shell's history, and other users see it while the command runs.\n\n\
            Examples:\n  \
            adit wallet regen-coldkey --wallet.name main\n  \
            adit wallet regen-coldkey --wallet.name main < words.txt"
    )]
    RegenColdkey(RegenKey),
    /// Make a hotkey file anew from its mnemonic or seed
    #[command(
        alias = "regen_hotkey",
        after_help = "Without --mnemonic and --seed the words are asked for, or read from a pipe. That is the better \
            way: what is an argument stays in the shell's history, and other users see it while the command runs.\n\n\
            Examples:\n  \
            adit wallet regen-hotkey --wallet.name main --wallet.hotkey miner1\n  \
            adit wallet regen-hotkey --wallet.hotkey alice --uri //Alice   # for a local chain only"
    )]
    RegenHotkey(RegenKey),
    /// List wallets and hotkeys with their addresses; reads no secret
    #[command(after_help = "Examples:\n  \
        adit wallet list\n  \
        adit wallet list --wallet.path /data/wallets --json")]
    List(ListWallets),
    /// Show a wallet's files: addresses, format, permissions, and what is wrong with them
    #[command(after_help = "Exit code 1 where a key is missing or damaged.\n\n\
        Examples:\n  \
        adit wallet show --wallet.name main --wallet.hotkey miner1")]
    Show(ShowWallet),
    /// Send TAO from the coldkey to another account, and read it back
    #[command(
        after_help = "Signed by the coldkey, so run it where the coldkey is, not on a miner's host.\n\n\
        Examples:\n  \
        adit wallet transfer --dest 5F… --amount 1.5 --wallet.name main\n  \
        adit wallet transfer --dest 5F… --amount 1.5 --dry-run"
    )]
    Transfer(Transfer),
    /// Sign a message with the hotkey
    #[command(
        after_help = "A text that begins with 0x is hex, as Bittensor's other tools have it. Without --message the \
        bytes of stdin are signed as they are (printf, not echo: echo adds a line end).\n\n\
        Examples:\n  \
        adit wallet sign --wallet.name main --wallet.hotkey miner1 --message hello\n  \
        printf hello | adit wallet sign --json"
    )]
    Sign(SignMessage),
    /// Verify a signature: exit code 0 where it is valid, 1 where not
    #[command(
        after_help = "A signature over <Bytes>message</Bytes>, as wallet extensions make it, is valid too.\n\n\
        Examples:\n  \
        adit wallet verify --message hello --ss58 5F… --signature 0x…"
    )]
    Verify(VerifyMessage),
}

/// A number of words, as clap shows it.
fn word_count(text: &str) -> Result<u8, &'static str> {
    match text {
        "12" => Ok(12),
        "24" => Ok(24),
        _ => Err("12 or 24"),
    }
}

#[derive(Debug, Args)]
pub(crate) struct NewKey {
    #[command(flatten)]
    pub(crate) wallet: WalletArgs,
    /// Words of the mnemonic: 12 or 24
    #[arg(long, value_name = "N", alias = "n_words", default_value = "12", value_parser = word_count)]
    pub(crate) n_words: u8,
    #[command(flatten)]
    pub(crate) protection: ProtectionArgs,
    /// Replace files that are there. The key in them is lost unless its mnemonic is written down
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Print JSON, the mnemonic included
    #[arg(long, aliases = ["json-output", "json_output"])]
    pub(crate) json: bool,
}

/// A secret given as an argument: not printed with the others.
fn secret(text: &str) -> Result<SecretString, std::convert::Infallible> {
    Ok(SecretString::from(text))
}

#[derive(Debug, Args)]
pub(crate) struct RegenKey {
    #[command(flatten)]
    pub(crate) wallet: WalletArgs,
    /// The words, as one argument or several; safer without: see below
    #[arg(long, value_name = "WORDS", num_args = 1.., value_parser = secret, conflicts_with_all = ["seed", "uri"])]
    pub(crate) mnemonic: Vec<SecretString>,
    /// The seed, 64 hex digits; safer without: see below
    #[arg(long, value_name = "HEX", value_parser = secret, conflicts_with = "uri")]
    pub(crate) seed: Option<SecretString>,
    /// A derived key: phrase//hard/soft, or //Alice for a local chain. fiber cannot use such a hotkey
    #[arg(long, value_name = "URI", value_parser = secret)]
    pub(crate) uri: Option<SecretString>,
    #[command(flatten)]
    pub(crate) protection: ProtectionArgs,
    /// Replace files that are there. The key in them is lost unless its mnemonic is written down
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Print JSON
    #[arg(long, aliases = ["json-output", "json_output"])]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ListWallets {
    #[command(flatten)]
    pub(crate) path: WalletPathArgs,
    /// Print JSON
    #[arg(long, aliases = ["json-output", "json_output"])]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ShowWallet {
    #[command(flatten)]
    pub(crate) wallet: WalletArgs,
    /// Print JSON
    #[arg(long, aliases = ["json-output", "json_output"])]
    pub(crate) json: bool,
}

/// The message, in one of three ways.
#[derive(Debug, Args)]
pub(crate) struct MessageArgs {
    /// The message; where it begins with 0x, its bytes in hex
    #[arg(long, value_name = "TEXT", conflicts_with = "message_hex")]
    pub(crate) message: Option<String>,
    /// The message's bytes in hex, with or without 0x
    #[arg(long, value_name = "HEX")]
    pub(crate) message_hex: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct SignMessage {
    #[command(flatten)]
    pub(crate) wallet: WalletArgs,
    #[command(flatten)]
    pub(crate) message: MessageArgs,
    /// Sign with the coldkey instead
    #[arg(long, alias = "no-use-hotkey")]
    pub(crate) coldkey: bool,
    /// What btcli has to be told
    #[arg(long, hide = true, conflicts_with = "coldkey")]
    pub(crate) use_hotkey: bool,
    #[command(flatten)]
    pub(crate) password: PasswordArgs,
    /// Print JSON
    #[arg(long, aliases = ["json-output", "json_output"])]
    pub(crate) json: bool,
}

/// btcli prints signatures without `0x`.
fn signature(text: &str) -> Result<Signature, SignatureFormatError> {
    if text.starts_with("0x") { text.parse() } else { format!("0x{text}").parse() }
}

#[derive(Debug, Args)]
pub(crate) struct VerifyMessage {
    #[command(flatten)]
    pub(crate) message: MessageArgs,
    /// The signature, 128 hex digits
    #[arg(long, value_name = "HEX", value_parser = signature)]
    pub(crate) signature: Signature,
    /// Address of who is said to have signed
    #[arg(long, value_name = "SS58", aliases = ["ss58-address", "ss58_address", "address"])]
    pub(crate) ss58: Hotkey,
    /// Print JSON
    #[arg(long, aliases = ["json-output", "json_output"])]
    pub(crate) json: bool,
}
