//! `sv serve`.

use std::process::ExitCode;

use adit_private_track::{Config, Server};
use adit_settings::{Environment, var};

use super::{block_on, run_as, say_ready, told_to_stop};
use crate::cli::Serve;
use crate::cli::wallet::WalletArgs;
use crate::failure::Failure;

/// A miner's host is reachable from everywhere, and needs no secret that moves money.
fn warn_of_coldkey(env: &Environment) -> Result<(), Failure> {
    let wallet = WalletArgs::default().resolve(env)?;
    if wallet.coldkey_present() {
        tracing::warn!(
            "the coldkey {} is on this host: a miner never needs it; remove it once it is kept safe elsewhere",
            wallet.coldkey_file().display()
        );
    }
    Ok(())
}

/// Said at the start, and not hours later when there is something to keep.
fn warn_of_data_folder(env: &Environment) -> Result<(), Failure> {
    let Some(folder) = env.path(&var::DATA_FOLDER)? else { return Ok(()) };
    // One that is not there yet is made when it is needed.
    if folder.is_dir()
        && let Err(error) = tempfile::tempfile_in(&folder)
    {
        let (folder, uid) = (folder.display(), rustix::process::getuid().as_raw());
        tracing::warn!(
            "nothing can be kept between runs in {folder} (ADIT_DATA_DIR): {error}; give it to user {uid}"
        );
    }
    Ok(())
}

pub(crate) fn run(env: &Environment, args: &Serve) -> Result<ExitCode, Failure> {
    args.supervised.end_with_supervisor()?;
    let told = args.port.map(|port| env.with(&var::MINER_PORT, &port.to_string()));
    let env = told.as_ref().unwrap_or(env);
    let config = Config::from_settings(env)?;
    warn_of_coldkey(env)?;
    run_as::give_up_root(env, config.gate.policy.own_hotkey.as_ref())?;
    warn_of_data_folder(env)?;
    block_on(async {
        let stop = told_to_stop()?;
        let server = Server::bind(config).await?;
        tracing::info!("Listening on http://{}", server.address());
        say_ready();
        server.serve(stop).await?;
        Ok(ExitCode::SUCCESS)
    })
}
