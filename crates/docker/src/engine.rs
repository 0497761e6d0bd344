//! The connection, and what the engine is.

use std::io::ErrorKind;
use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, Docker};
use futures_util::{Stream, StreamExt as _};

use crate::error::{EngineError, innermost};

/// Longest wait for an answer to begin. The classic builder begins only when it has the whole context, which may be
/// large: a build's is bounded by its own silence instead.
const ANSWER: Duration = Duration::from_secs(120);
/// Longest silence in the middle of something that goes on: of a line of a build, or of a layer on its way.
pub(crate) const SILENCE: Duration = Duration::from_secs(1800);
/// Longest wait for a first answer of an engine that may be none.
const GREETING: Duration = Duration::from_secs(10);
/// Where engines listen unless told otherwise: Docker's, then Podman's for root.
const SOCKETS: [&str; 2] = ["/var/run/docker.sock", "/run/podman/podman.sock"];

/// A Docker Engine, or Podman's service that speaks as one. Clones share the connection.
#[derive(Debug, Clone)]
pub struct Engine {
    pub(crate) docker: Docker,
    about: About,
}

/// What an engine says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Where it listens: a `unix://` or `tcp://` address.
    pub host: String,
    /// `Docker` or `Podman`.
    pub name: &'static str,
    /// Its version, such as `20.10.24`.
    pub version: String,
    /// Architecture of its images, such as `amd64`.
    pub arch: String,
    /// Where it keeps images. On this machine only where the host is a socket.
    pub data_root: Option<String>,
    /// CPUs that it has.
    pub cpus: u32,
    /// Whether containers can have NVIDIA GPUs.
    pub gpus: bool,
}

impl Engine {
    /// Connects to the engine at `host` (`unix://`, `tcp://` or `https://`; TLS by `DOCKER_TLS_VERIFY` and
    /// `DOCKER_CERT_PATH`), else to the first default socket that is there, and asks what it is.
    ///
    /// # Errors
    /// [`EngineError::BadHost`], [`EngineError::NotRunning`], [`EngineError::Permission`].
    pub async fn connect(host: Option<&str>) -> Result<Self, EngineError> {
        let default = || Self::default_host().unwrap_or_else(|| format!("unix://{}", SOCKETS[0]));
        let host = host.map_or_else(default, str::to_owned);
        // An error means that the process has chosen a provider already, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let docker = match host.strip_prefix("unix://") {
            Some(path) => {
                reachable(path, &host).await?;
                Docker::connect_with_unix(path, ANSWER.as_secs(), API_DEFAULT_VERSION)
            }
            None => Docker::connect_with_host(&host),
        };
        let docker = docker
            .map_err(|error| EngineError::BadHost { host: host.clone(), cause: innermost(&error) })?
            .with_timeout(ANSWER);
        let asking = async {
            // An older engine refuses a newer client's version.
            let docker = docker.negotiate_version().await?;
            let version = docker.version().await?;
            let info = docker.info().await?;
            Ok::<_, bollard::errors::Error>((docker, version, info))
        };
        let not_running = |cause: String| EngineError::NotRunning { host: host.clone(), cause };
        let (docker, version, info) = match tokio::time::timeout(GREETING, asking).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => return Err(not_running(innermost(&error))),
            Err(_) => return Err(not_running("it takes connections and says nothing".to_owned())),
        };
        let components = version.components.unwrap_or_default();
        let podman = components.iter().any(|component| component.name.contains("Podman"));
        let about = About {
            host,
            name: if podman { "Podman" } else { "Docker" },
            version: version.version.unwrap_or_default(),
            arch: version.arch.unwrap_or_default(),
            data_root: info.docker_root_dir,
            cpus: info.ncpu.and_then(|cpus| cpus.try_into().ok()).unwrap_or(1),
            gpus: info.runtimes.is_some_and(|runtimes| runtimes.contains_key("nvidia")),
        };
        tracing::debug!(?about, "connected to the engine");
        Ok(Self { docker, about })
    }

    /// The first of the default sockets that is there, as [`connect`](Engine::connect) would take it. Whether an
    /// engine answers on it is not known.
    #[must_use]
    pub fn default_host() -> Option<String> {
        let rootless = std::env::var("XDG_RUNTIME_DIR").map(|folder| format!("{folder}/podman/podman.sock"));
        let mut sockets = SOCKETS.map(str::to_owned).into_iter().chain(rootless.ok());
        sockets.find(|path| std::path::Path::new(path).exists()).map(|path| format!("unix://{path}"))
    }

    /// What it is.
    #[must_use]
    pub fn about(&self) -> &About {
        &self.about
    }
}

/// The next of what an engine tells while it works; an engine that says nothing for too long has died.
pub(crate) async fn next<S: Stream + Unpin>(
    told: &mut S,
    doing: &'static str,
) -> Result<Option<S::Item>, EngineError> {
    tokio::time::timeout(SILENCE, told.next()).await.map_err(|_| EngineError::Timeout { doing })
}

/// The client library says only that a socket failed, not why.
async fn reachable(path: &str, host: &str) -> Result<(), EngineError> {
    match tokio::net::UnixStream::connect(path).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            Err(EngineError::Permission { host: host.to_owned() })
        }
        Err(error) => Err(EngineError::NotRunning { host: host.to_owned(), cause: error.to_string() }),
    }
}
