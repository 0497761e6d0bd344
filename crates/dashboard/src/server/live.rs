//! Pages that are open are told that something was recorded. Only while one is open does anybody look.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, StatusCode, header};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, interval, sleep};

use super::Shared;
use super::activity::Busy;

/// Streams at once: each holds a connection for as long as its page is open.
const STREAMS: usize = 32;
/// How often the journals' versions are asked for.
const EVERY: Duration = Duration::from_secs(1);
/// How often running miners are asked, in looks, and only for their page.
const MINERS_EVERY: u64 = 5;
/// A stream says at least something so often: else a connection that is gone would not be noticed.
const BEAT: Duration = Duration::from_secs(15);

/// What has changed, counted up.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    journals: u64,
    miners: u64,
}

/// What a page shows, beside the journals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Watched {
    Journals,
    /// How the miners answer, too.
    Miners,
    /// What the doctor says, every so often.
    Health,
}

impl Watched {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Journals => "journals",
            Self::Miners => "miners",
            Self::Health => "health",
        }
    }

    pub(crate) fn named(name: Option<&str>) -> Self {
        [Self::Miners, Self::Health]
            .into_iter()
            .find(|watched| Some(watched.name()) == name)
            .unwrap_or(Self::Journals)
    }
}

#[derive(Debug)]
pub(crate) struct Live {
    places: Arc<Semaphore>,
    seen: watch::Sender<Seen>,
    /// Somebody looks.
    looking: Mutex<bool>,
    open: AtomicUsize,
    open_miners: AtomicUsize,
    looks: AtomicU64,
}

impl Live {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            places: Arc::new(Semaphore::new(STREAMS)),
            seen: watch::Sender::new(Seen::default()),
            looking: Mutex::new(false),
            open: AtomicUsize::new(0),
            open_miners: AtomicUsize::new(0),
            looks: AtomicU64::new(0),
        })
    }

    /// How often the journals were looked at.
    pub(crate) fn looks(&self) -> u64 {
        self.looks.load(Ordering::Relaxed)
    }

    /// The answer to one that wants to be told.
    pub(crate) fn stream(shared: &Shared, watched: Watched) -> Response {
        let live = &shared.live;
        let Ok(place) = Arc::clone(&live.places).try_acquire_owned() else {
            let mut response = Response::new(Body::from("too many pages are open"));
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            return response;
        };
        let told = Told {
            seen: live.seen.subscribe(),
            before: *live.seen.borrow(),
            closing: shared.closing.clone(),
            watched,
            begun: false,
            _open: Open::new(shared, watched, place),
        };
        live.look(shared);
        let mut response = Response::new(Body::from_stream(stream::unfold(told, Told::next)));
        let kind = HeaderValue::from_static("text/event-stream");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }

    /// Begins to look, where nobody does.
    fn look(self: &Arc<Self>, shared: &Shared) {
        let mut looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        if !*looking {
            *looking = true;
            tokio::spawn(Arc::clone(self).keep_looking(shared.clone()));
        }
    }

    async fn keep_looking(self: Arc<Self>, shared: Shared) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut closing = shared.closing.clone();
        let (mut versions, mut miners) = (None, None);
        for tick in 0_u64.. {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = closing.wait_for(|closing| *closing) => return,
            }
            {
                let mut looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
                if self.open.load(Ordering::Relaxed) == 0 {
                    *looking = false;
                    return;
                }
            }
            self.looks.fetch_add(1, Ordering::Relaxed);
            let sources = Arc::clone(&shared.sources);
            let found = tokio::task::spawn_blocking(move || sources.versions()).await.ok();
            if versions.is_some_and(|versions| Some(versions) != found) {
                self.seen.send_modify(|seen| seen.journals += 1);
            }
            versions = found.or(versions);
            if tick % MINERS_EVERY == 0 && self.open_miners.load(Ordering::Relaxed) > 0 {
                let now = shared.now().await;
                let found: Vec<_> = now.miners.iter().map(|miner| (miner.run, miner.queue)).collect();
                if miners.as_ref().is_some_and(|miners| *miners != found) {
                    self.seen.send_modify(|seen| seen.miners += 1);
                }
                miners = Some(found);
            }
        }
    }
}

/// Counts a stream that is open.
struct Open {
    live: Arc<Live>,
    watched: Watched,
    _place: OwnedSemaphorePermit,
    _busy: Busy,
}

impl Open {
    fn new(shared: &Shared, watched: Watched, place: OwnedSemaphorePermit) -> Self {
        let live = Arc::clone(&shared.live);
        live.open.fetch_add(1, Ordering::Relaxed);
        if watched == Watched::Miners {
            live.open_miners.fetch_add(1, Ordering::Relaxed);
        }
        Self { live, watched, _place: place, _busy: shared.activity.begin() }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.live.open.fetch_sub(1, Ordering::Relaxed);
        if self.watched == Watched::Miners {
            self.live.open_miners.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// One stream.
struct Told {
    seen: watch::Receiver<Seen>,
    before: Seen,
    closing: watch::Receiver<bool>,
    watched: Watched,
    begun: bool,
    _open: Open,
}

impl Told {
    async fn next(mut self) -> Option<(Result<Bytes, std::convert::Infallible>, Self)> {
        let text = match (self.begun, self.watched) {
            (true, _) => self.wait().await?,
            // The page was made before this stream was there: what happened in between is on it only if it is fetched again.
            (false, Watched::Journals | Watched::Miners) => "retry: 2000\nevent: changed\ndata: \n\n",
            (false, Watched::Health) => "retry: 2000\n\n",
        };
        self.begun = true;
        Some((Ok(Bytes::from_static(text.as_bytes())), self))
    }

    /// `None` once the server is told to stop.
    async fn wait(&mut self) -> Option<&'static str> {
        const CHANGED: &str = "event: changed\ndata: \n\n";
        let until = Instant::now() + BEAT;
        loop {
            tokio::select! {
                _ = self.closing.wait_for(|closing| *closing) => return None,
                () = sleep(until.saturating_duration_since(Instant::now())) => {
                    return Some(if self.watched == Watched::Health { CHANGED } else { ": still here\n\n" });
                }
                changed = self.seen.changed() => {
                    changed.ok()?;
                    let (seen, before) = (*self.seen.borrow_and_update(), self.before);
                    self.before = seen;
                    let miners = self.watched == Watched::Miners && seen.miners != before.miners;
                    if self.watched != Watched::Health && (seen.journals != before.journals || miners) {
                        return Some(CHANGED);
                    }
                }
            }
        }
    }
}
