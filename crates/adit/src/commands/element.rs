//! Which of the Manifest's elements a miner answers for.

use std::time::Duration;

use adit_manifest::{Element, Loaded, Source};
use adit_outbound::{AddressGuard, Client};
use adit_settings::Environment;
use tokio::time::Instant;

use super::say::Say;
use super::terminal::choose_one;
use crate::failure::Failure;

/// Time for the Manifest's index and file.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whose elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Track {
    Private,
    /// Turbo Vision.
    Open,
}

impl Track {
    fn name(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Open => "public",
        }
    }

    fn hint(self) -> &'static str {
        match self {
            Self::Private => {
                "name it: --element-id manako/DetectFootballEvent (the soccer element; MINER_MODE says what yours is)"
            }
            Self::Open => "name it: --element-id manak0/Detect-fire; `sv elements` lists them",
        }
    }

    pub(super) fn has(self, element: &Element) -> bool {
        element.is_private() == (self == Self::Private)
    }
}

/// The Manifest that is in force at a block, or the newest one.
pub(super) async fn manifest(env: &Environment, block: Option<u64>) -> Result<Loaded, Failure> {
    let source = Source::from_environment(env)?;
    // The operator's own settings name the address.
    let client = Client::new(AddressGuard::unrestricted())?;
    source.load(&client, block, Instant::now() + PATIENCE).await.map_err(Failure::new)
}

/// As told, else the only element there is for the track, else asked for.
pub(super) async fn choose(
    env: &Environment,
    told: Option<&str>,
    track: Track,
    block: u64,
    json: bool,
    say: &mut Say,
) -> Result<String, Failure> {
    if let Some(element) = told {
        return Ok(element.to_owned());
    }
    let loaded = manifest(env, Some(block)).await.map_err(|failure| {
        let (why, _) = failure.parts();
        Failure::new(format!("the element is not named, and {why}")).hint(track.hint())
    })?;
    warn_of_expiry(&loaded, block, say);
    let elements: Vec<String> = loaded
        .manifest
        .elements
        .iter()
        .filter(|element| track.has(element))
        .map(|element| element.id.clone())
        .collect();
    match elements.as_slice() {
        [] => {
            Err(Failure::new(format!("Score's Manifest has no {} element", track.name())).hint(track.hint()))
        }
        [only] => Ok(only.clone()),
        several => {
            let picked =
                if json { None } else { choose_one("Which element does the miner answer for?", several)? };
            picked.map(|index| several[index].clone()).ok_or_else(|| {
                Failure::new(format!(
                    "the Manifest has several {} elements: {}",
                    track.name(),
                    several.join(", ")
                ))
                .hint(track.hint())
            })
        }
    }
}

/// Where it has expired, so are its elements.
pub(super) fn warn_of_expiry(loaded: &Loaded, block: u64, say: &mut Say) {
    if loaded.manifest.is_expired_at(block) {
        say.warn(format_args!("Score's Manifest has expired at block {}", loaded.manifest.expiry_block));
    }
}
