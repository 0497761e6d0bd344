//! `sv healthcheck`: so that the image needs no curl.

use std::process::ExitCode;
use std::time::Duration;

use adit_outbound::{AddressGuard, Client, Limits};
use tokio::time::Instant;

use super::block_on;
use crate::cli::Healthcheck;
use crate::failure::Failure;

/// Less than the HEALTHCHECK's own 5 s, so that the reason is still said.
const PATIENCE: Duration = Duration::from_secs(4);
/// `/docs` has a few thousand bytes.
const MAX_ANSWER: u64 = 1024 * 1024;

pub(crate) fn run(args: &Healthcheck) -> Result<ExitCode, Failure> {
    let url = format!("http://127.0.0.1:{}/docs", args.port);
    block_on(async {
        // The miner is on loopback, which the guard is there to refuse.
        let client = Client::new(AddressGuard::unrestricted())?;
        let limits = Limits::new(Instant::now() + PATIENCE, MAX_ANSWER);
        client.get(&url, &limits).await?.bytes().await?;
        println!("ready: {url} answers");
        Ok(ExitCode::SUCCESS)
    })
}
