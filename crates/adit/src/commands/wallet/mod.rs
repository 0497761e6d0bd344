//! `adit wallet`.

mod create;
mod list;
mod show;
mod sign;

use std::process::ExitCode;

use adit_settings::Environment;

use crate::cli::wallet::WalletCommand;
use crate::failure::Failure;

pub(crate) fn run(env: &Environment, command: WalletCommand) -> Result<ExitCode, Failure> {
    match command {
        WalletCommand::NewColdkey(args) => create::new(env, create::Kind::Coldkey, &args),
        WalletCommand::NewHotkey(args) => create::new(env, create::Kind::Hotkey, &args),
        WalletCommand::RegenColdkey(args) => create::regen(env, create::Kind::Coldkey, &args),
        WalletCommand::RegenHotkey(args) => create::regen(env, create::Kind::Hotkey, &args),
        WalletCommand::List(args) => list::run(env, &args),
        WalletCommand::Show(args) => show::run(env, &args),
        WalletCommand::Transfer(args) => super::chain::transfer(env, &args),
        WalletCommand::Sign(args) => sign::sign(env, &args),
        WalletCommand::Verify(args) => sign::verify(&args),
    }
}

/// What is said wherever a coldkey is met: this is a toolkit for miners.
fn coldkey_note(wallets: &[&str]) -> String {
    let names = wallets.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    format!(
        "note: the coldkey of {names} is on this machine. A miner needs only the hotkey and coldkeypub.txt: on a \
         miner's host, remove the file `coldkey` once it is kept safe elsewhere."
    )
}
