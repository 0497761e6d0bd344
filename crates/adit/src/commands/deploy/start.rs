//! The last step: the container, in place of the one before it.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use adit_docker::{Container, Engine, Found, Gpus, Image, Stored};
use adit_outbound::{AddressGuard, Client, Limits};
use adit_private_track::Config;
use adit_private_track::deployment::{Live, MINER_LABEL, worker_variables};
use adit_settings::{Environment, var};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, sleep};

use super::Deployment;
use crate::commands::say::{Say, Step};
use crate::failure::Failure;

/// Label with the digest of everything that the container got.
const CONFIGURED: &str = "adit.configured";
/// Seconds in which a miner that is stopped may finish what it works on.
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
    /// Removes the new container and has those that it was to replace run again.
    pub(super) async fn undo(&mut self) {
        let Some(engine) = &self.engine else { return };
        if let Some(new) = self.new.take()
            && let Err(error) = engine.remove(&new).await
        {
            tracing::warn!("{error}");
        }
        for old in self.old.drain(..) {
            // It may still be about to end: one that is started too early would end all the same.
            let again = async {
                engine.stop(&old, GRACE).await?;
                engine.start(&old, &Container::default()).await?;
                engine.container(&old).await
            };
            match again.await {
                Ok(Some(state)) if state.running => {
                    tracing::warn!("the miner that ran before runs again: {}", short(&old));
                }
                Ok(_) => tracing::warn!("the miner that ran before ended again: docker logs {}", short(&old)),
                Err(error) => tracing::warn!("the miner that ran before does not start: {error}"),
            }
        }
    }
}

/// What a container of these settings would not get or would not start with, found before anything is built.
pub(super) fn look_at_settings(env: &Environment, live: &Live, say: &mut Say) -> Result<(), Failure> {
    if env.text(&var::STAKE_TABLE_FILE)?.is_some() {
        return Err(Failure::new(
            "STAKE_TABLE_FILE names a file of this host, which the container does not have",
        )
        .hint("leave it unset, and the stakes come from the chain; or run the miner by `sv serve`"));
    }
    let names = worker_variables(env)?;
    let secret = |name: &&String| {
        let declared =
            var::ALL.iter().any(|var| var.secret && var.names().any(|other| other == name.as_str()));
        declared || name.starts_with(adit_keys::password::VARIABLES)
    };
    if let Some(name) = names.iter().find(secret) {
        return Err(Failure::new(format!("ADIT_WORKER_ENV names {name}, a secret that no container gets"))
            .hint("give the model a token of its own under another name"));
    }
    if !names.is_empty() {
        say.warn(format_args!(
            "the model gets {} by ADIT_WORKER_ENV; a spot check does not set them, so answers must not depend on them",
            names.join(", ")
        ));
    }
    load_time(env)?;
    // The miner judges its own settings as it will in the container; its model is in the image.
    let mut told = live.container(env)?.env;
    told.push((var::PREDICTOR.name.to_owned(), "baseline".to_owned()));
    Config::from_settings(&Environment::layered(told, None)?)?;
    Ok(())
}

/// How long the model may take until `/docs` answers.
fn load_time(env: &Environment) -> Result<Duration, Failure> {
    let seconds: u64 = env.parsed(&var::WORKER_START_SECONDS, "whole seconds")?;
    Ok(Duration::from_secs(seconds) + SLACK)
}

/// Fails where something else than a miner of ours has the port of this host.
pub(super) async fn look_at_port(engine: &Engine, port: u16) -> Result<(), Failure> {
    if !engine.about().host.starts_with("unix://") {
        return Ok(());
    }
    let ours = engine.containers(MINER_LABEL, &port.to_string()).await?;
    if ours.iter().any(|one| one.active) {
        return Ok(());
    }
    match TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            Err(Failure::new(format!("port {port} of this host is taken: {error}")).hint(
                "stop what listens there (`ss -ltnp`, `docker ps`), set MINER_PORT to another port, or say --no-start",
            ))
        }
        // A low port is the engine's to open, if not ours.
        _ => Ok(()),
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

/// The container of this deployment, as far as it is known yet.
pub(super) fn live(deployment: &Deployment, image: &str, known_as: String) -> Result<Live, Failure> {
    Ok(Live {
        image: image.to_owned(),
        known_as,
        hotkey: deployment.hotkey,
        port: deployment.port,
        gpus: if gpus(&deployment.env, &deployment.engine)? { Gpus::All } else { Gpus::None },
    })
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
    let known_as =
        stored.map_or_else(|| image.id.clone(), |stored| deployment.target.image.at(&stored.digest));
    // By id: a tag could mean another image by now.
    let mut container = live(deployment, &image.id, known_as)?.container(env)?;
    let configured = hex::encode(Sha256::digest(container.to_json()));
    container.labels.push((CONFIGURED.to_owned(), configured.clone()));
    let name = container.name.clone();
    let docs = Docs::of(deployment)?;

    let before = engine.containers(MINER_LABEL, &port.to_string()).await?;
    let active: Vec<&Found> = before.iter().filter(|one| one.active).collect();
    if let [only] = active.as_slice()
        && let Some(state) = engine.container(&only.id).await?
        && state.labels.get(CONFIGURED) == Some(&configured)
        && state.image == image.id
        && docs.answer().await
    {
        settle(engine, &only.id, &name, &before, say).await?;
        say.done(format_args!("Miner running: {}", short(&only.id)), true, json!({"container": only.id}));
        return Ok(());
    }

    // A name of its own until it has proved itself.
    container.name = format!("{name}-{:08x}", rand_suffix());
    started.engine = Some(engine.clone());
    let id = engine.create(&container).await?;
    started.new = Some(id.clone());
    for old in active {
        say.line(format_args!("  stopping the miner that runs there: {}", short(&old.id)));
        started.old.push(old.id.clone());
        engine.stop(&old.id, GRACE).await?;
    }
    let outcome = match engine.start(&id, &container).await {
        Ok(()) => await_answer(deployment, &docs, &id).await,
        Err(error) => Err(error.into()),
    };
    if let Err(failure) = outcome {
        started.undo().await;
        return Err(failure);
    }
    // From here on it holds; what is left to do is done on the next run where this one is stopped.
    (started.new, started.old) = (None, Vec::new());
    settle(engine, &id, &name, &before, say).await?;
    say.done(format_args!("Miner running: {}", short(&id)), false, json!({"container": id, "name": name}));
    say.line(format_args!("  docker logs -f {}", short(&id)));
    Ok(())
}

/// Makes a miner that answers the one miner of its port. Where it is that already, nothing changes.
async fn settle(
    engine: &Engine,
    id: &str,
    name: &str,
    before: &[Found],
    say: &mut Say,
) -> Result<(), Failure> {
    if !engine.keep_running(id).await? {
        say.warn(format_args!(
            "{} does not start the miner again after a reboot by itself: `podman generate systemd {name}`",
            engine.about().name
        ));
    }
    for old in before.iter().filter(|old| old.id != id) {
        engine.remove(&old.id).await?;
    }
    if before.iter().all(|one| one.id != id || one.name != name) {
        engine.rename(id, name).await?;
    }
    Ok(())
}

/// Enough to tell containers of one port apart.
fn rand_suffix() -> u32 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    now.subsec_nanos() ^ std::process::id().rotate_left(16)
}

/// Waits until `/docs` answers, which it does once the model is loaded.
async fn await_answer(deployment: &Deployment, docs: &Docs, id: &str) -> Result<(), Failure> {
    let Deployment { env, engine, .. } = deployment;
    let load = load_time(env)?;
    let deadline = Instant::now() + load;
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
        if docs.answer().await {
            return Ok(());
        }
        if Instant::now() > deadline {
            let log = engine.logs(id, LAST_LINES).await?;
            return Err(Failure::new(format!(
                "the miner did not answer on /docs within {} s and was removed. Its last lines:\n{}",
                load.as_secs(),
                log.trim_end()
            ))
            .hint("a model that takes longer to load needs ADIT_WORKER_START_SECONDS; the spot check waits 300 s"));
        }
        sleep(LOOK).await;
    }
}

/// The miner's page that answers once its model is loaded.
struct Docs {
    client: Client,
    url: String,
}

impl Docs {
    fn of(deployment: &Deployment) -> Result<Self, Failure> {
        // Our own miner is on loopback, which the guard is there to refuse.
        let client = Client::new(AddressGuard::unrestricted())?;
        let host = host_of(&deployment.engine.about().host);
        Ok(Self { client, url: format!("http://{host}:{}/docs", deployment.port) })
    }

    async fn answer(&self) -> bool {
        let limits = Limits::new(Instant::now() + ANSWER, LARGEST);
        match self.client.get(&self.url, &limits).await {
            Ok(page) => page.bytes().await.is_ok(),
            Err(_) => false,
        }
    }
}

/// Where an engine's published ports are: this machine for a socket, else the engine's own host.
fn host_of(engine: &str) -> &str {
    match engine.split_once("://") {
        Some(("tcp" | "http" | "https", rest)) => {
            let authority = rest.split('/').next().unwrap_or(rest);
            authority.rsplit_once(':').map_or(authority, |(host, _)| host)
        }
        _ => "127.0.0.1",
    }
}

/// Ids as the guide shows them.
fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_where_the_engine_is() {
        assert_eq!(host_of("unix:///var/run/docker.sock"), "127.0.0.1");
        assert_eq!(host_of("tcp://10.0.0.7:2376"), "10.0.0.7");
        assert_eq!(host_of("https://gpu.example:2376/"), "gpu.example");
        assert_eq!(host_of("tcp://[::1]:2375"), "[::1]");
    }
}
