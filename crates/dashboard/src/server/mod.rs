//! The page's server: its address, who may do what, what is told live. What the pages show is [`crate::page`]'s.

mod access;
mod activity;
pub(crate) mod assets;
pub(crate) mod export;
mod live;
mod media;
mod program;
mod token;

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use adit_http_server::ListenError;
use adit_outbound::FetchError;
use axum::Router;
use axum::extract::State;
use axum::middleware;
use axum::response::Response;
use axum::routing::{get, post};
use http::StatusCode;
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

use self::access::Gate;
pub(crate) use self::access::{Access, Refusal};
use self::activity::Activity;
pub(crate) use self::live::{Live, Watched};
pub(crate) use self::media::kind as media_kind;
pub use self::program::Program;
pub(crate) use self::program::{Ended, How, RunError};
pub use self::token::{TOKEN_FILE, Token, TokenError};
use crate::alert::Alert;
use crate::page::{self, Checkup};
use crate::{Connection, Now, Sources};

/// A request's head has this long to arrive.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How things stand is asked again after that, however many pages are open.
const NOW_FOR: Duration = Duration::from_millis(900);

/// What a button starts has this long.
const BUTTON_LIMIT: Duration = Duration::from_secs(120);

/// What alerts there are, as things stand. It is called where waiting for a disk is allowed.
pub type Alerts = Arc<dyn Fn(&Now) -> Vec<Alert> + Send + Sync>;

/// What the page needs.
pub struct Config {
    /// Where it listens; port 0 is a free one. On an address that others reach too, reading needs the token.
    pub listen: SocketAddr,
    /// What buttons need.
    pub token: Token,
    /// What is shown.
    pub sources: Arc<Sources>,
    /// What buttons start.
    pub program: Program,
    /// What stands at the top of the first page.
    pub alerts: Alerts,
    /// The server ends by itself when nobody has been here for so long.
    pub idle: Option<Duration>,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("listen", &self.listen)
            .field("idle", &self.idle)
            .finish_non_exhaustive()
    }
}

/// Why the page is not served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The port.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The miners cannot be asked.
    #[error("cannot ask the miners: {0}")]
    Client(#[from] FetchError),
}

/// What every handler has.
pub(crate) struct Parts {
    pub(crate) sources: Arc<Sources>,
    pub(crate) program: Program,
    pub(crate) alerts: Alerts,
    /// What the doctor said last.
    pub(crate) checkup: Mutex<Option<(Instant, Arc<Checkup>)>>,
    /// True once the server is told to stop.
    pub(crate) closing: watch::Receiver<bool>,
    pub(crate) live: Arc<Live>,
    connection: Connection,
    now: Mutex<Option<Kept>>,
    gate: Gate,
    activity: Arc<Activity>,
}

/// How things stood, for as long as nothing was recorded since.
struct Kept {
    at: Instant,
    /// See [`Sources::versions`].
    versions: Option<[Option<i64>; 3]>,
    now: Arc<Now>,
}

pub(crate) type Shared = Arc<Parts>;

impl Parts {
    /// How things stand.
    pub(crate) async fn now(&self) -> Arc<Now> {
        let mut kept = self.now.lock().await;
        let sources = Arc::clone(&self.sources);
        // Asked first: what is recorded while it is looked counts as later.
        let versions = tokio::task::spawn_blocking(move || sources.versions()).await.ok();
        if let Some(kept) = &*kept
            && kept.at.elapsed() < NOW_FOR
            && kept.versions == versions
        {
            return Arc::clone(&kept.now);
        }
        let now = Arc::new(Now::look(&self.sources, &self.connection).await);
        *kept = Some(Kept { at: Instant::now(), versions, now: Arc::clone(&now) });
        now
    }

    /// What there is to tell.
    pub(crate) async fn alerts(&self, now: &Arc<Now>) -> Vec<Alert> {
        let (judge, now) = (Arc::clone(&self.alerts), Arc::clone(now));
        tokio::task::spawn_blocking(move || judge(&now)).await.unwrap_or_default()
    }

    /// Runs a program that a button starts. It is killed when whoever pressed it goes, and when the server is told to stop.
    pub(crate) async fn run(&self, name: &str, arguments: &[&str]) -> Result<Ended, RunError> {
        let mut closing = self.closing.clone();
        tokio::select! {
            ended = self.program.beside(name, arguments, BUTTON_LIMIT) => ended,
            _ = closing.wait_for(|closing| *closing) => Err(RunError::Stopping),
        }
    }
}

/// The operator's page, with its port.
pub struct Server {
    http: adit_http_server::Server,
    shared: Shared,
    closing: watch::Sender<bool>,
    idle: Option<Duration>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.address()).finish_non_exhaustive()
    }
}

impl Server {
    /// Takes the port.
    ///
    /// # Errors
    /// Where it cannot be had, or there can be no client for asking the miners.
    pub async fn bind(config: Config) -> Result<Self, StartError> {
        let Config { listen, token, sources, program, alerts, idle } = config;
        let http = adit_http_server::Server::bind(listen, HEAD_TIMEOUT).await?;
        let (closing, closes) = watch::channel(false);
        let shared = Arc::new(Parts {
            sources,
            program,
            alerts,
            checkup: Mutex::new(None),
            closing: closes,
            live: Live::new(),
            connection: Connection::new()?,
            now: Mutex::new(None),
            gate: Gate::new(http.address(), token),
            activity: Activity::new(),
        });
        Ok(Self { http, shared, closing, idle })
    }

    /// Address and port in use.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.http.address()
    }

    /// The address with the token in it, for the operator's eyes alone.
    #[must_use]
    pub fn login_link(&self) -> String {
        self.shared.gate.login_link()
    }

    /// Counts how often the journals were looked at for pages that are open. It stands still while none is.
    pub fn looks(&self) -> impl Fn() -> u64 + Send + 'static + use<> {
        let live = Arc::clone(&self.shared.live);
        move || live.looks()
    }

    /// Serves until `stop` is ready or nobody has been here for as long as was set. Pages that are open are let go at once.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        let Self { http, shared, closing, idle } = self;
        let activity = Arc::clone(&shared.activity);
        let stop = async {
            let idle = async {
                match idle {
                    Some(idle) => activity.idle(idle).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop => {}
                () = idle => {}
            }
            closing.send_replace(true);
        };
        http.serve(routes(shared), stop).await;
    }
}

/// The same facts for Prometheus.
async fn metrics(State(shared): State<Shared>) -> Response {
    let now = shared.now().await;
    let alerts = shared.alerts(&now).await;
    let sources = Arc::clone(&shared.sources);
    let rendering = tokio::task::spawn_blocking(move || crate::metrics::render(&sources, &now, &alerts));
    match rendering.await {
        Ok(Ok(text)) => adit_http_server::answer::metrics(text),
        _ => adit_http_server::answer::detail(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error"),
    }
}

fn routes(shared: Shared) -> Router {
    let mut router = Router::new()
        .route("/", get(page::now::show))
        .route("/challenges/{name}", get(page::challenge::show))
        .route("/challenges/{name}/rehearse", post(page::challenge::rehearse))
        .route("/generations/{name}", get(page::generation::show))
        .route("/generations/{name}/redeliver", post(page::generation::redeliver))
        .route("/media/{task}", get(media::serve))
        .route("/live", get(page::live))
        .route("/metrics", get(metrics))
        .route("/assets/{name}", get(assets::serve));
    // Each table by its page's name, and the same as a file.
    macro_rules! tables {
        ($($path:literal => $handler:path;)+) => {
            $(for ending in ["", ".csv", ".json"] {
                router = router.route(&format!("{}{ending}", $path), get($handler));
            })+
        };
    }
    tables! {
        "/now" => page::now::show;
        "/challenges" => page::challenges::show;
        "/generations" => page::generations::show;
        "/turbo-vision" => page::turbo_vision::show;
        "/rehearsals" => page::rehearsals::show;
        "/validators" => page::validators::show;
        "/money" => page::money::show;
        "/money/emission" => page::money::show_emission;
        "/health" => page::health::show;
    }
    router
        .fallback(page::not_found)
        .method_not_allowed_fallback(page::not_found)
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), access::guard))
        .with_state(shared)
}
