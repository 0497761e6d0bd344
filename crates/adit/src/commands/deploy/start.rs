//! The last step: the container, in place of the one before it.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use adit_docker::{Container, Engine, Image, Stored};
use adit_outbound::{AddressGuard, Client, Limits};
use adit_private_track::deployment::{Live, MINER_LABEL, worker_variables};
use adit_settings::{Environment, var};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, sleep};

use super::Deployment;
use super::say::{Say, Step};
use crate::failure::Failure;

/// Label with the digest of everything that the container got.
const CONFIGURED: &str = "adit.configured";
/// Time in which a miner that is stopped may finish what it works on.
const GRACE: u16 = 35;
/// Lines of a miner that ended at once that are shown.
const LAST_LINES: usize = 50;
/// What is added to the time that a model may load.
const SLACK: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(500);
/// Longest wait for one answer of `/docs`, and its size.
const ANSWER: Duration = Duration::from_secs(5);
const LARGEST: u64 = 1024 * 1024;

/// What was changed and does not hold yet: undone where the command is stopped or fails.
#[derive(Default)]
pub(super) struct Started {
    engine: Option<Engine>,
    new: Option<String>,
    /// Stopped in favour of the new one.
    old: Vec<String>,
}

impl Started {
    /// Removes the new container and starts those that it was to replace.
    pub(super) async fn undo(&mut self) {
        let Some(engine) = &self.engine else { return };
        if let Some(new) = self.new.take()
            && let Err(error) = engine.remove(&new).await
        {
            tracing::warn!("{error}");
        }
        for old in self.old.drain(..) {
            match engine.start(&old, &Container::default()).await {
                Ok(()) => tracing::warn!("the miner that ran before runs again: {}", short(&old)),
                Err(error) => tracing::warn!("the miner that ran before does not start: {error}"),
            }
        }
    }
}

/// Settings that a container cannot have, or a spot check will not.
pub(super) fn look_at_settings(env: &Environment, say: &mut Say) -> Result<(), Failure> {
    if env.text(&var::STAKE_TABLE_FILE)?.is_some() {
        return Err(Failure::new(
            "STAKE_TABLE_FILE names a file of this host, which the container does not have",
        )
        .hint("leave it unset, and the stakes come from the chain; or run the miner by `sv serve`"));
    }
    let names = worker_variables(env)?;
    if !names.is_empty() {
        say.warn(format_args!(
            "the model gets {} by ADIT_WORKER_ENV; a spot check does not set them, so answers must not depend on them",
            names.join(", ")
        ));
    }
    Ok(())
}

/// Fails where something else than a miner of ours has the port of this host.
pub(super) async fn look_at_port(engine: &Engine, port: u16) -> Result<(), Failure> {
    if !engine.about().host.starts_with("unix://") {
        return Ok(());
    }
    let ours = engine.containers(MINER_LABEL, &port.to_string()).await?;
    if ours.iter().any(|one| one.running) {
        return Ok(());
    }
    match TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)) {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::new(format!("port {port} of this host is taken: {error}")).hint(
            "stop what listens there (`ss -ltnp`, `docker ps`), set MINER_PORT to another port, or say --no-start",
        )),
    }
}

pub(in crate::commands) fn gpus(env: &Environment, engine: &Engine) -> Result<bool, Failure> {
    match env.required(&var::GPUS)? {
        "auto" => Ok(engine.about().gpus),
        "all" => Ok(true),
        "none" => Ok(false),
        _ => Err(env.invalid(&var::GPUS, "all, none or auto").into()),
    }
}

pub(super) async fn start(
    deployment: &Deployment,
    image: &Image,
    stored: Option<&Stored>,
    say: &mut Say,
    started: &mut Started,
) -> Result<(), Failure> {
    let Deployment { env, engine, port, .. } = deployment;
    say.begin(Step::Start, format_args!("Starting container on port {port}"));
    let live = Live {
        // By id: a tag could mean another image by now.
        image: image.id.clone(),
        known_as: stored
            .map_or_else(|| image.id.clone(), |stored| deployment.target.image.at(&stored.digest)),
        hotkey: deployment.hotkey,
        port: *port,
        gpus: gpus(env, engine)?,
    };
    let mut container = live.container(env)?;
    let configured = hex::encode(Sha256::digest(container.to_json()));
    container.labels.push((CONFIGURED.to_owned(), configured.clone()));
    let name = std::mem::replace(&mut container.name, format!("pt-miner-{port}-new"));

    let before = engine.containers(MINER_LABEL, &port.to_string()).await?;
    let running: Vec<_> = before.iter().filter(|one| one.running).collect();
    if let [only] = running.as_slice()
        && let Some(state) = engine.container(&only.id).await?
        && state.labels.get(CONFIGURED) == Some(&configured)
        && state.image == image.id
        && answers(deployment).await
    {
        say.done(format_args!("Miner running: {}", short(&only.id)), true, json!({"container": only.id}));
        return Ok(());
    }

    // Left by a run that was killed.
    engine.remove(&container.name).await?;
    let before: Vec<_> = before.iter().filter(|one| one.name != container.name).collect();
    started.engine = Some(engine.clone());
    let id = engine.create(&container).await?;
    started.new = Some(id.clone());
    for old in before.iter().filter(|one| one.running) {
        say.line(format_args!("  stopping the miner that runs there: {}", short(&old.id)));
        started.old.push(old.id.clone());
        engine.stop(&old.id, GRACE).await?;
    }
    let outcome = match engine.start(&id, &container).await {
        Ok(()) => await_answer(deployment, &id).await,
        Err(error) => Err(error.into()),
    };
    if let Err(failure) = outcome {
        started.undo().await;
        return Err(failure);
    }
    // From here on it holds.
    (started.new, started.old) = (None, Vec::new());
    engine.keep_running(&id).await?;
    for old in before {
        engine.remove(&old.id).await?;
    }
    engine.rename(&id, &name).await?;
    say.done(format_args!("Miner running: {}", short(&id)), false, json!({"container": id, "name": name}));
    say.line(format_args!("  docker logs -f {}", short(&id)));
    Ok(())
}

/// Waits until `/docs` answers, which it does once the model is loaded.
async fn await_answer(deployment: &Deployment, id: &str) -> Result<(), Failure> {
    let Deployment { env, engine, .. } = deployment;
    let load: u64 = env.parsed(&var::WORKER_START_SECONDS, "whole seconds")?;
    let deadline = Instant::now() + Duration::from_secs(load) + SLACK;
    loop {
        let state = engine.container(id).await?;
        if !state.as_ref().is_some_and(|state| state.running) {
            let log = engine.logs(id, LAST_LINES).await?;
            let why = match &state {
                Some(state) if state.out_of_memory => "it ran out of memory".to_owned(),
                Some(state) => format!("exit code {}", state.exit_code),
                None => "somebody removed it".to_owned(),
            };
            let log = if log.trim().is_empty() { "(it wrote nothing)".to_owned() } else { log };
            return Err(Failure::new(format!(
                "the container ended at once ({why}) and was removed. Its last lines:\n{}",
                log.trim_end()
            ))
            .hint(
                "the lines above say what is missing; `sv serve` runs the same miner without a container",
            ));
        }
        if answers(deployment).await {
            return Ok(());
        }
        if Instant::now() > deadline {
            let log = engine.logs(id, LAST_LINES).await?;
            return Err(Failure::new(format!(
                "the miner did not answer on /docs within {} s and was removed. Its last lines:\n{}",
                load + SLACK.as_secs(),
                log.trim_end()
            ))
            .hint("a model that takes longer to load needs ADIT_WORKER_START_SECONDS; the spot check waits 300 s"));
        }
        sleep(LOOK).await;
    }
}

async fn answers(deployment: &Deployment) -> bool {
    let host = deployment
        .engine
        .about()
        .host
        .strip_prefix("tcp://")
        .map_or("127.0.0.1", |host| host.rsplit_once(':').map_or(host, |(host, _)| host));
    let url = format!("http://{host}:{}/docs", deployment.port);
    let asking = async {
        // Our own miner is on loopback, which the guard is there to refuse.
        let client = Client::new(AddressGuard::unrestricted())?;
        client.get(&url, &Limits::new(Instant::now() + ANSWER, LARGEST)).await?.bytes().await
    };
    asking.await.is_ok()
}

/// Ids as the guide shows them.
fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}
