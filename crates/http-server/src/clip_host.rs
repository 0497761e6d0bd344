//! Serves clips from disk, so that a miner can fetch what a rehearsal or a spot check sends it.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Response, StatusCode, Uri};
use axum::response::IntoResponse as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tower_http::services::ServeFile;
use url::{Position, Url};

/// Where [`ClipHost::start`] serves its one clip.
const CLIP: &str = "/clip.mp4";

/// An HTTP server of some files, Range requests included. Ends when dropped.
#[derive(Debug)]
pub struct ClipHost {
    address: SocketAddr,
    task: JoinHandle<()>,
}

/// Why a clip cannot be served.
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
        /// The address, with its port.
        address: SocketAddr,
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
        let clips = HashMap::from([(CLIP.to_owned(), clip.to_owned())]);
        Self::serve(clips, SocketAddr::new(address, 0)).await
    }

    /// Serves each clip at exactly its path and query, such as `/a/clip.mp4?signature=x`, and nothing else.
    ///
    /// # Errors
    /// As [`ClipHost::start`].
    pub async fn serve(clips: HashMap<String, PathBuf>, listen: SocketAddr) -> Result<Self, ClipHostError> {
        for path in clips.values() {
            std::fs::File::open(path).map_err(|source| ClipHostError::Clip { path: path.clone(), source })?;
        }
        let listening = |source| ClipHostError::Listen { address: listen, source };
        let listener = TcpListener::bind(listen).await.map_err(listening)?;
        let address = listener.local_addr().map_err(listening)?;
        let clips = Arc::new(clips);
        let app = Router::new().fallback(move |request: Request| answer(Arc::clone(&clips), request));
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                tracing::error!("serving the clip: {error}");
            }
        });
        Ok(Self { address, task })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the clip of [`ClipHost::start`] is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}{CLIP}", self.address)
    }
}

impl Drop for ClipHost {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What [`ClipHost::serve`] knows a URL by.
#[must_use]
pub fn path_and_query(url: &Url) -> &str {
    url[Position::BeforePath..Position::AfterQuery].trim_end_matches('?')
}

async fn answer(clips: Arc<HashMap<String, PathBuf>>, request: Request) -> Response<Body> {
    let Some(clip) = asked(request.uri()).and_then(|asked| clips.get(&asked)) else {
        tracing::warn!(path = request.uri().path(), "the miner asks for what is no clip");
        return StatusCode::NOT_FOUND.into_response();
    };
    match ServeFile::new(clip).try_call(request).await {
        Ok(response) => response.into_response(),
        Err(error) => {
            tracing::error!("serving {}: {error}", clip.display());
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Clients differ in what they escape, so both sides go through the same reader.
fn asked(target: &Uri) -> Option<String> {
    let url = Url::parse(&format!("http://clips{}", target.path_and_query()?)).ok()?;
    Some(path_and_query(&url).to_owned())
}
