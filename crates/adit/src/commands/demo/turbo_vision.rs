//! Turbo Vision's part of the demo: a chute on this machine, asked for its health and then a challenge.

use std::path::Path;
use std::time::Duration;

use adit_journal::TURBO_VISION;
use adit_journal::record::Rehearsed;
use adit_media::Ffmpeg;
use adit_outbound::{AddressGuard, Client};
use adit_settings::{Environment, var};
use adit_turbo_vision::chutes::{Chute, Health};
use adit_turbo_vision::local_chute::{Backend, Config, LocalChute};
use adit_turbo_vision::rehearsal::{Rehearsal, Rules, rehearse};
use tokio::time::Instant;

use super::page::Journals;
use crate::commands::turbo_vision::{drawn_element, drawn_scene, print_rehearsal};
use crate::failure::Failure;

/// A model that sees by colour, for those who start from one.
const MINER: &str = include_str!("../../../../../examples/turbo-vision/miner.py");
const FRAMES: u32 = 12;
const PATIENCE: Duration = Duration::from_secs(60);

/// `true` where the chute answered and is worth something, or where there is no numpy to run it with.
pub(super) async fn show(env: &Environment, python: &Path, journals: &Journals) -> Result<bool, Failure> {
    println!(
        "\nSubnet 44, Turbo Vision: a chute on this machine (examples/turbo-vision), as validators ask it\n"
    );
    let numpy = std::process::Command::new(python).args(["-c", "import numpy"]).output();
    if !numpy.is_ok_and(|output| output.status.success()) {
        println!("It is left out: {} has no numpy, which models get their frames by.", python.display());
        return Ok(true);
    }
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("miner.py"), MINER)?;
    let ffmpeg = Ffmpeg::find(Some(Path::new(env.required(&var::FFMPEG)?))).await?;
    let backend = Backend::Miner { folder: folder.path().to_owned() };
    let (health, done) = rehearsed(backend, python, ffmpeg).await?;
    println!("{} /health: model loaded: {}", if health.healthy { "✓" } else { "✗" }, health.model);
    print_rehearsal(&drawn_scene(FRAMES), &done, Rules::Head(&drawn_element()?));
    if let Some(journal) = journals.place(TURBO_VISION).open() {
        journal.record(&Rehearsed {
            target: "a chute on this machine".to_owned(),
            asked: format!("a drawn match of {FRAMES} frames"),
            passed: done.passed(),
            asked_times: 1,
            answered_times: u32::from(done.worst().is_some()),
            score: done.worst().map(|round| round.ranking.score),
            ..Rehearsed::default()
        });
    }
    let worth = done.worst().is_some_and(|round| round.ranking.score > 0.5);
    Ok(health.healthy && done.passed() && worth)
}

/// A chute with this model, asked for its health and then one challenge.
pub(super) async fn rehearsed(
    backend: Backend,
    python: &Path,
    ffmpeg: Ffmpeg,
) -> Result<(Health, Rehearsal), Failure> {
    let config = Config {
        listen: "127.0.0.1:0".parse().map_err(Failure::new)?,
        python: python.to_owned(),
        ..Config::new(backend, ffmpeg)
    };
    let chute = LocalChute::bind(config).await.map_err(Failure::new)?;
    let url = chute.url();
    chute.loaded(Instant::now() + PATIENCE).await.map_err(Failure::new)?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(chute.serve(async {
        let _ = stopped.await;
    }));
    let calls = Chute::new(Client::new(AddressGuard::unrestricted())?, &url, None);
    let health = calls.health(Instant::now() + PATIENCE).await?;
    let (element, scene) = (drawn_element()?, drawn_scene(FRAMES));
    let done = rehearse(&calls, &scene, Rules::Head(&element), 1, PATIENCE, async || ()).await;
    let _ = stop.send(());
    serving.await.map_err(Failure::new)?;
    Ok((health, done.map_err(Failure::new)?))
}
