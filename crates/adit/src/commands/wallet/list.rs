//! `list`.

use std::process::ExitCode;

use adit_keys::{Hotkey, KeyFileError, Listed, list};
use adit_settings::Environment;
use serde_json::{Value, json};

use super::coldkey_note;
use crate::cli::wallet::ListWallets;
use crate::failure::Failure;

pub(super) fn run(env: &Environment, args: &ListWallets) -> Result<ExitCode, Failure> {
    let (_, path) = args.path.resolve(env)?;
    let wallets = list(&path).map_err(|error| match error {
        KeyFileError::Missing { .. } => Failure::new(format!("there is no directory {}", path.display())).hint(
            "--wallet.path or BITTENSOR_WALLET_PATH names another; `adit wallet new-hotkey` makes it with a first key",
        ),
        error => error.into(),
    })?;
    let coldkeys: Vec<_> =
        wallets.iter().filter(|wallet| wallet.coldkey_present).map(|wallet| wallet.name.as_str()).collect();
    if args.json {
        let rows: Value = wallets.iter().map(to_json).collect();
        println!("{:#}", json!({"path": path, "wallets": rows}));
        return Ok(ExitCode::SUCCESS);
    }
    if wallets.is_empty() {
        println!("No wallets in {}; `adit wallet new-hotkey` makes one with a first key", path.display());
    } else {
        println!("Wallets in {}\n", path.display());
    }
    wallets.iter().for_each(print_tree);
    if !coldkeys.is_empty() {
        println!("\n{}", coldkey_note(&coldkeys));
    }
    Ok(ExitCode::SUCCESS)
}

fn print_tree(wallet: &Listed) {
    let coldkey = match &wallet.coldkey {
        Some(address) => told(address),
        None => "(no coldkeypub.txt)".to_owned(),
    };
    println!("{}  {coldkey}", wallet.name);
    let hotkeys = match &wallet.hotkeys {
        Ok(hotkeys) => hotkeys,
        Err(error) => return println!("└── ! {error}"),
    };
    let width = hotkeys.iter().map(|hotkey| hotkey.name.chars().count()).max().unwrap_or(0);
    for (index, hotkey) in hotkeys.iter().enumerate() {
        let branch = if index + 1 == hotkeys.len() { "└──" } else { "├──" };
        let public_only =
            if hotkey.address.is_ok() && !hotkey.secret_present { "  (public half only)" } else { "" };
        println!("{branch} {:width$}  {}{public_only}", hotkey.name, told(&hotkey.address));
    }
}

fn told(address: &Result<Hotkey, KeyFileError>) -> String {
    match address {
        Ok(address) => address.to_string(),
        // No fault of the file: only its password tells the address.
        Err(KeyFileError::NeedsPassword { .. }) => {
            "(encrypted, and no public file says its address)".to_owned()
        }
        Err(error) => format!("! {error}"),
    }
}

fn to_json(wallet: &Listed) -> Value {
    let of = |address: &Result<Hotkey, KeyFileError>| match address {
        Ok(address) => json!({"address": address.to_string()}),
        Err(error) => json!({"error": error.to_string()}),
    };
    let hotkeys = match &wallet.hotkeys {
        Ok(hotkeys) => hotkeys
            .iter()
            .map(|hotkey| {
                let mut row = of(&hotkey.address);
                row["name"] = hotkey.name.clone().into();
                row["secret_present"] = hotkey.secret_present.into();
                row
            })
            .collect(),
        Err(error) => json!({"error": error.to_string()}),
    };
    json!({
        "name": wallet.name, "coldkey": wallet.coldkey.as_ref().map(of),
        "coldkey_present": wallet.coldkey_present, "hotkeys": hotkeys,
    })
}
