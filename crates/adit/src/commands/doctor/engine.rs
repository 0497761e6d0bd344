//! The container engine, and the miner that `sv deploy-pt-miner` started in it.

use adit_docker::{About, Engine, EngineError};
use adit_private_track::deployment::MINER_LABEL;
use adit_settings::var;
use tokio::time::{Instant, timeout_at};

use super::Check;
use super::sv::Miner;
use crate::failure::Failure;

/// What the engine says.
pub(super) enum Asked {
    /// Nothing names one, and none is where they usually are.
    Nowhere,
    /// It does not answer.
    Down(Failure),
    /// It answers.
    Up {
        about: About,
        /// The miner at our port, where one runs in a container.
        miner: Result<Option<Running>, Failure>,
    },
}

/// A live miner's container.
pub(super) struct Running {
    /// Its image as `repo@sha256:…`, where it says.
    pub(super) image: Option<String>,
}

pub(super) async fn ask(miner: &Miner, until: Instant) -> Asked {
    let host = match miner.env.text(&var::DOCKER_HOST) {
        Ok(host) => host,
        Err(error) => return Asked::Down(error.into()),
    };
    if host.is_none() && miner.target.is_err() && Engine::default_host().is_none() {
        return Asked::Nowhere;
    }
    let asking = async {
        let engine = Engine::connect(host).await?;
        let miner = match miner.place.port {
            Ok(port) => running(&engine, port).await.map_err(Failure::from),
            Err(why) => Err(Failure::new(why)),
        };
        Ok(Asked::Up { about: engine.about().clone(), miner })
    };
    match timeout_at(until, asking).await {
        Ok(Ok(up)) => up,
        Ok(Err(error)) => Asked::Down(EngineError::into(error)),
        Err(_) => Asked::Down(EngineError::Timeout { doing: "look for the miner's container" }.into()),
    }
}

async fn running(engine: &Engine, port: u16) -> Result<Option<Running>, EngineError> {
    let found = engine.containers(MINER_LABEL, &port.to_string()).await?;
    match found.iter().find(|one| one.active) {
        Some(one) => Ok(Some(Running { image: engine.variable(&one.id, var::IMAGE.name).await? })),
        None => Ok(None),
    }
}

/// Whether it answers. A miner can run without one, so at worst this is a warning.
pub(super) fn check(asked: &Asked) -> Check {
    const NAME: &str = "docker";
    match asked {
        Asked::Nowhere => Check::pass(NAME, "no container engine here; `sv serve` needs none"),
        Asked::Down(failure) => {
            let (what, hint) = failure.parts();
            Check::warn(NAME, what, hint.unwrap_or("`docker info` says how the engine is"))
        }
        Asked::Up { about, .. } => {
            Check::pass(NAME, format!("{} {} answers at {}", about.name, about.version, about.host))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    #[test]
    fn an_engine_that_nobody_needs_is_not_missed() {
        assert_eq!(check(&Asked::Nowhere).status, Status::Pass);
        let error = EngineError::NotRunning { host: "unix:///x".into(), cause: "refused".into() };
        let down = check(&Asked::Down(error.into()));
        assert!(down.status == Status::Warn && down.found.contains("unix:///x: refused"), "{down:?}");
        assert!(down.fix.unwrap().contains("systemctl start docker"));
    }
}
