//! What can go wrong with an engine, and what to do about it.

use bollard::errors::Error;

/// Why the engine did not do what it was asked for. [`EngineError::hint`] says what to type.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// Nothing listens there.
    #[error("no Docker engine answers at {host}: {cause}")]
    NotRunning {
        /// Socket or address.
        host: String,
        /// The innermost cause.
        cause: String,
    },
    /// The socket is somebody else's.
    #[error("this user may not use the Docker engine at {host}")]
    Permission {
        /// Socket.
        host: String,
    },
    /// `DOCKER_HOST` is nothing that can be connected to.
    #[error("`DOCKER_HOST={host}` is no address of a Docker engine: {cause}")]
    BadHost {
        /// What it was set to.
        host: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The engine's disk is full.
    #[error("cannot {doing}: the engine has no space left on its disk")]
    DiskFull {
        /// What was being done.
        doing: &'static str,
    },
    /// A line of the Dockerfile failed.
    #[error("the image was not built: {message}. Its last lines:\n{}", last.join("\n"))]
    Build {
        /// What the engine said.
        message: String,
        /// The last lines of the build's output, oldest first.
        last: Vec<String>,
    },
    /// The registry does not know the credentials, or they may not do this.
    #[error("the registry refused to {doing} {image}: {message}")]
    Denied {
        /// What was being done.
        doing: &'static str,
        /// The image.
        image: String,
        /// What the registry said.
        message: String,
    },
    /// The connection to the registry broke, repeatedly.
    #[error("cannot {doing} {image}: {message}")]
    Transfer {
        /// What was being done.
        doing: &'static str,
        /// The image.
        image: String,
        /// What the engine said.
        message: String,
    },
    /// Another program or container has the port.
    #[error("port {port} of this host is taken: {message}")]
    PortTaken {
        /// The port.
        port: u16,
        /// What the engine said.
        message: String,
    },
    /// There is no such image or container.
    #[error("cannot {doing}: {message}")]
    Missing {
        /// What was being done.
        doing: &'static str,
        /// What the engine said.
        message: String,
    },
    /// It took longer than it may.
    #[error("cannot {doing}: the engine did not answer in time")]
    Timeout {
        /// What was being done.
        doing: &'static str,
    },
    /// The build context could not be read while it was sent.
    #[error("cannot send the build context: {0}")]
    Context(String),
    /// Anything else that the engine says.
    #[error("cannot {doing}: {message}")]
    Other {
        /// What was being done.
        doing: &'static str,
        /// What the engine said.
        message: String,
    },
}

impl EngineError {
    /// What to do about it, where there is more to say than the error does.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotRunning { .. } => Some(
                "start it (`systemctl start docker`), or name another with DOCKER_HOST; Podman's is \
                 unix://$XDG_RUNTIME_DIR/podman/podman.sock after `systemctl --user start podman.socket`",
            ),
            Self::Permission { .. } => {
                Some("`sudo usermod -aG docker $USER` and log in again, or run the command as root")
            }
            Self::BadHost { .. } => {
                Some("DOCKER_HOST is unix:///path/to/docker.sock, tcp://host:port or https://host:port")
            }
            Self::DiskFull { .. } => Some(
                "make room: `docker system df` shows what is there, `docker system prune` removes what no container uses",
            ),
            Self::Build { .. } => Some("to see it alone: `docker build -f Dockerfile.miner -t test .`"),
            Self::Transfer { .. } => Some("run the command again: what arrived already is not sent again"),
            Self::PortTaken { .. } => {
                Some("stop what listens there (`docker ps`, `ss -ltnp`), or set MINER_PORT to another port")
            }
            Self::Timeout { .. } => Some("`docker info` says how the engine is"),
            _ => None,
        }
    }

    pub(crate) fn from_bollard(doing: &'static str, error: Error) -> Self {
        match error {
            Error::RequestTimeoutError => Self::Timeout { doing },
            Error::DockerResponseServerError { status_code: 404, message } => {
                Self::Missing { doing, message }
            }
            Error::DockerResponseServerError { message, .. }
            | Error::DockerStreamError { error: message } => Self::said(doing, message),
            other => Self::Other { doing, message: innermost(&other) },
        }
    }

    /// What an engine's own words mean: it has no codes for these.
    pub(crate) fn said(doing: &'static str, message: String) -> Self {
        let message = message.trim().to_owned();
        if message.contains("no space left on device") {
            return Self::DiskFull { doing };
        }
        Self::Other { doing, message }
    }
}

/// The last of a chain of causes, which names the fault; the others only say where it was noticed.
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}
