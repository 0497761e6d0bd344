//! `sv serve`.

use std::process::ExitCode;

use adit_private_track::{Config, Server};
use adit_settings::Environment;
use tokio::signal::unix::{SignalKind, signal};

use super::block_on;
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

pub(crate) fn run(env: &Environment) -> Result<ExitCode, Failure> {
    let config = Config::from_settings(env)?;
    warn_of_coldkey(env)?;
    block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(Failure::new)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::new)?;
        let server = Server::bind(config).await?;
        tracing::info!("Listening on http://{}", server.address());
        server
            .serve(async {
                tokio::select! {
                    _ = terminate.recv() => tracing::info!("SIGTERM"),
                    _ = interrupt.recv() => tracing::info!("SIGINT"),
                }
            })
            .await?;
        Ok(ExitCode::SUCCESS)
    })
}
