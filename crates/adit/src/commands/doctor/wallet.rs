//! The wallet: which hotkey this is, whether its file can be used and by whom, and that no coldkey lies here.

use adit_keys::{Hotkey, KeyFile, KeyFileError, Keypair, Wallet};
use adit_settings::{Environment, var};

use super::Check;
use crate::cli::wallet::WalletArgs;

const NAME: &str = "wallet";

/// What the wallet's files say.
pub(super) struct Found {
    pub(super) check: Check,
    pub(super) coldkey: Check,
    /// Our own, or why it is not known.
    pub(super) hotkey: Result<Hotkey, &'static str>,
    /// The hotkey, where it can be had without a password.
    pub(super) signer: Option<Keypair>,
}

pub(super) fn find(env: &Environment) -> Found {
    let unknown = "our own hotkey is not known (see wallet)";
    // The arguments are among the settings by now.
    let wallet = match WalletArgs::default().resolve(env) {
        Ok(wallet) => wallet,
        Err(failure) => {
            let check =
                Check::failed(NAME, failure, "set BITTENSOR_WALLET_COLD and BITTENSOR_WALLET_HOT right");
            let coldkey = Check::skipped("coldkey", "no wallet to look at (see wallet)");
            return Found { check, coldkey, hotkey: Err(unknown), signer: None };
        }
    };
    let coldkey = coldkey(&wallet);
    let told = match env.text(&var::HOTKEY_ADDRESS) {
        Ok(text) => text.map(str::parse::<Hotkey>).transpose(),
        Err(_) => Ok(None),
    };
    let Ok(told) = told else {
        let check = Check::skipped(NAME, "ADIT_HOTKEY is no address (see configuration)");
        return Found { check, coldkey, hotkey: Err(unknown), signer: None };
    };
    let address = wallet.hotkey_address();
    let hotkey = match (told, &address) {
        (Some(told), Ok(address)) if told != *address => {
            Err("ADIT_HOTKEY and the wallet name two hotkeys (see wallet)")
        }
        (Some(told), _) => Ok(told),
        (None, Ok(address)) => Ok(*address),
        (None, Err(_)) => Err(unknown),
    };
    let secret = wallet.open_hotkey(None).ok().filter(|secret| hotkey == Ok(secret.address()));
    Found {
        check: judge(&wallet, told, address),
        coldkey,
        hotkey,
        signer: secret.map(adit_keys::Secret::into_keypair),
    }
}

fn judge(wallet: &Wallet, told: Option<Hotkey>, address: Result<Hotkey, KeyFileError>) -> Check {
    let named = format!("hotkey `{}` of wallet `{}`", wallet.hotkey_name(), wallet.name());
    let address = match (address, told) {
        (Ok(address), Some(told)) if address != told => {
            return Check::fail(
                NAME,
                format!("ADIT_HOTKEY is {told}, but the {named} is {address}"),
                "unset ADIT_HOTKEY, or name the wallet that it belongs to with BITTENSOR_WALLET_COLD and \
                 BITTENSOR_WALLET_HOT",
            );
        }
        (Ok(address), _) => address,
        (Err(KeyFileError::Missing { .. }), Some(told)) => {
            return Check::pass(
                NAME,
                format!("{told}, by ADIT_HOTKEY; no wallet is here, and none is needed"),
            );
        }
        (Err(KeyFileError::NeedsPassword { .. }), Some(told)) => {
            return Check::pass(NAME, format!("{told}, by ADIT_HOTKEY; the {named} is encrypted"));
        }
        (Err(error), _) => {
            return Check::failed(NAME, error, "set BITTENSOR_WALLET_COLD and BITTENSOR_WALLET_HOT right");
        }
    };
    let file = match KeyFile::read(&wallet.hotkey_file()) {
        Ok(file) => file,
        Err(KeyFileError::Missing { path }) if told.is_none() => {
            return Check::warn(
                NAME,
                format!(
                    "{address}, but {} is not there: enough to answer challenges, not to publish the axon or a \
                     commitment",
                    path.display()
                ),
                "copy the hotkey's file here, or set ADIT_HOTKEY to the address and publish from another host",
            );
        }
        Err(KeyFileError::Missing { .. }) => {
            return Check::pass(NAME, format!("{address}, by ADIT_HOTKEY; no secret is here"));
        }
        Err(error) => return Check::failed(NAME, error, "make the file readable for the miner's user"),
    };
    match wallet.open_hotkey(None) {
        Ok(_) | Err(KeyFileError::NeedsPassword { .. }) => {}
        Err(error) => return Check::failed(NAME, error, "copy the file from where the key was made"),
    }
    if let Some(exposure) = file.exposure() {
        let found = format!(
            "{address}, but other users of this machine can read or change its file (mode {:04o})",
            exposure.mode()
        );
        return Check::warn(NAME, found, exposure.remedy());
    }
    Check::pass(NAME, format!("{address} ({named}, {})", file.format()))
}

/// Looks at every wallet of the directory: which of them is mined with does not matter to a thief.
fn coldkey(wallet: &Wallet) -> Check {
    const NAME: &str = "coldkey";
    let all = adit_keys::list(wallet.path()).unwrap_or_default();
    let names: Vec<String> =
        all.iter().filter(|found| found.coldkey_present).map(|found| format!("`{}`", found.name)).collect();
    if names.is_empty() {
        return Check::pass(NAME, "none on this host, as it should be");
    }
    Check::warn(
        NAME,
        format!("that of {} is on this host, and a miner's host never needs it", names.join(", ")),
        format!(
            "keep the file `coldkey` on a machine of your own and remove it below {}; coldkeypub.txt may stay",
            wallet.path().display()
        ),
    )
}
