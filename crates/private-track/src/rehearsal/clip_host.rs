//! Serves one clip from disk, so that a miner can fetch what a rehearsal sends it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tower_http::services::ServeFile;

/// An HTTP server with one file, Range requests included. Ends when dropped.
#[derive(Debug)]
pub struct ClipHost {
    address: SocketAddr,
    task: JoinHandle<()>,
}

/// Why the clip cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClipHostError {
    /// No such file.
    #[error("cannot read the clip {path}: {source}", path = .path.display())]
    Clip {
        /// The clip.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// No port.
    #[error("cannot listen on {address} to serve the clip: {source}")]
    Listen {
        /// The address.
        address: IpAddr,
        /// What the system says.
        source: io::Error,
    },
}

impl ClipHost {
    /// Serves `clip` on a free port of `address`.
    ///
    /// # Errors
    /// Where the clip cannot be opened or the address is not this host's.
    pub async fn start(clip: &Path, address: IpAddr) -> Result<Self, ClipHostError> {
        std::fs::File::open(clip).map_err(|source| ClipHostError::Clip { path: clip.into(), source })?;
        let listening = |source| ClipHostError::Listen { address, source };
        let listener = TcpListener::bind((address, 0)).await.map_err(listening)?;
        let address = listener.local_addr().map_err(listening)?;
        let app = Router::new().route_service("/clip.mp4", ServeFile::new(clip));
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                tracing::error!("serving the clip: {error}");
            }
        });
        Ok(Self { address, task })
    }

    /// Where the clip is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/clip.mp4", self.address)
    }
}

impl Drop for ClipHost {
    fn drop(&mut self) {
        self.task.abort();
    }
}
