//! `sv serve`.

use std::process::ExitCode;

use adit_private_track::{Config, Server};
use adit_settings::Environment;
use tokio::signal::unix::{SignalKind, signal};

use super::block_on;
use crate::failure::Failure;

pub(crate) fn run(env: &Environment) -> Result<ExitCode, Failure> {
    let config = Config::from_settings(env)?;
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
