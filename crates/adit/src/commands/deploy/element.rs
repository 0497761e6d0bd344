//! Which of the Manifest's elements the image answers for.

use std::time::Duration;

use adit_manifest::Source;
use adit_outbound::{AddressGuard, Client};
use adit_settings::Environment;
use tokio::time::Instant;

use super::say::Say;
use crate::cli::deploy::DeployPtMiner;
use crate::commands::terminal::choose_one;
use crate::failure::Failure;

/// Time for the Manifest's index and file.
const PATIENCE: Duration = Duration::from_secs(20);
const HINT: &str =
    "name it: --element-id manako/DetectFootballEvent (the soccer element; MINER_MODE says what yours is)";

/// As told, else the only private element there is, else asked for.
pub(super) async fn choose(
    env: &Environment,
    args: &DeployPtMiner,
    block: u64,
    say: &mut Say,
) -> Result<String, Failure> {
    if let Some(element) = &args.element_id {
        return Ok(element.clone());
    }
    let source = Source::from_environment(env)?;
    // The operator's own settings name the address.
    let client = Client::new(AddressGuard::unrestricted())?;
    let loaded = source
        .load(&client, Some(block), Instant::now() + PATIENCE)
        .await
        .map_err(|error| Failure::new(format!("the element is not named, and {error}")).hint(HINT))?;
    if loaded.manifest.is_expired_at(block) {
        say.warn(format_args!("Score's Manifest has expired at block {}", loaded.manifest.expiry_block));
    }
    let elements: Vec<String> =
        loaded.manifest.private_elements().map(|element| element.id.clone()).collect();
    match elements.as_slice() {
        [] => Err(Failure::new("Score's Manifest has no private element").hint(HINT)),
        [only] => Ok(only.clone()),
        several => {
            let picked = if args.json {
                None
            } else {
                choose_one("Which element does the miner answer for?", several)?
            };
            picked.map(|index| several[index].clone()).ok_or_else(|| {
                Failure::new(format!("the Manifest has several private elements: {}", several.join(", ")))
                    .hint(HINT)
            })
        }
    }
}
