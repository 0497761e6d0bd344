//! A loopback server of clips and pictures that can also behave badly on request: slow, cut short, stalled,
//! endless, redirecting. It records what was asked of it and how much it sent.
//!
//! It knows nothing about what the bytes mean; making a clip is left to its caller.

use std::{
    collections::HashMap,
    future::ready,
    io,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{Stream, stream};
use http::{Request, Response, StatusCode, header};
use http_body_util::StreamBody;
use hyper::body::{Frame, Incoming};
use tokio::{net::TcpListener, task::JoinSet};

use crate::http1;

const CHUNK: usize = 64 * 1024;
static FILLER: [u8; CHUNK] = [0; CHUNK];

/// What the host answers at one path.
#[derive(Debug, Clone)]
pub struct Reply {
    status: StatusCode,
    content_type: Option<String>,
    location: Option<String>,
    body: Bytes,
    ranges: bool,
    length: bool,
    bits_per_second: Option<u64>,
    cut_at: Option<u64>,
    stall_at: Option<u64>,
    endless: bool,
}

impl Reply {
    /// These bytes with status 200, a Content-Length and no Range support.
    #[must_use]
    pub fn bytes(body: impl Into<Bytes>) -> Self {
        Self {
            status: StatusCode::OK,
            content_type: Some("video/mp4".to_owned()),
            location: None,
            body: body.into(),
            ranges: false,
            length: true,
            bits_per_second: None,
            cut_at: None,
            stall_at: None,
            endless: false,
        }
    }

    /// A 302 to `location`, which is sent as it is.
    #[must_use]
    pub fn redirect(location: impl Into<String>) -> Self {
        Self { location: Some(location.into()), ..Self::bytes("").status(302) }
    }

    /// Another status code.
    ///
    /// # Panics
    /// When `code` is not an HTTP status (100 to 999).
    #[must_use]
    pub fn status(mut self, code: u16) -> Self {
        self.status = StatusCode::from_u16(code).expect("the caller's status code is a constant");
        self
    }

    /// Another Content-Type (`video/mp4` unless told), or none.
    #[must_use]
    pub fn content_type(mut self, value: Option<&str>) -> Self {
        self.content_type = value.map(str::to_owned);
        self
    }

    /// Announces and honours `Range: bytes=N-` and `bytes=N-M`.
    #[must_use]
    pub fn with_ranges(mut self) -> Self {
        self.ranges = true;
        self
    }

    /// No Content-Length: the body is chunked.
    #[must_use]
    pub fn without_length(mut self) -> Self {
        self.length = false;
        self
    }

    /// Sends no faster than this.
    #[must_use]
    pub fn throttled(mut self, bits_per_second: u64) -> Self {
        self.bits_per_second = Some(bits_per_second.max(8));
        self
    }

    /// Closes the connection after `bytes` of the body, whatever Content-Length promised.
    #[must_use]
    pub fn cut_at(mut self, bytes: u64) -> Self {
        self.cut_at = Some(bytes);
        self
    }

    /// Sends nothing more after `bytes` of the body, but keeps the connection open.
    #[must_use]
    pub fn stalling_at(mut self, bytes: u64) -> Self {
        self.stall_at = Some(bytes);
        self
    }

    /// Zero bytes without end follow the body; there is no Content-Length.
    #[must_use]
    pub fn endless(mut self) -> Self {
        self.endless = true;
        self.without_length()
    }
}

/// One request that the host answered.
#[derive(Debug, Clone)]
pub struct Served {
    /// The path and query that was asked for.
    pub path: String,
    /// The Range header, if there was one.
    pub range: Option<String>,
    /// Bytes of the body handed to the connection so far.
    pub sent: u64,
    /// When the last byte of the body was handed over; `None` while there is more to send.
    pub finished: Option<Instant>,
}

#[derive(Debug, Default)]
struct State {
    replies: HashMap<String, Reply>,
    served: Vec<Served>,
}

/// A running host. It stops, with all its connections, when dropped.
#[derive(Debug)]
pub struct VideoHost {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    // Dropping the set ends the accept loop, which owns the connections.
    _tasks: JoinSet<()>,
}

impl VideoHost {
    /// Starts a host on a free loopback port, with nothing to serve yet.
    ///
    /// # Errors
    /// When no loopback port can be opened.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State::default()));
        let mut tasks = JoinSet::new();
        let shared = Arc::clone(&state);
        tasks.spawn(http1::accept(listener, move |request| ready(Ok(answer(&request, &shared)))));
        Ok(Self { address, state, _tasks: tasks })
    }

    /// Answers `path` (such as `/clip.mp4`) with `reply` from now on, and returns its URL.
    pub fn serve(&self, path: &str, reply: Reply) -> String {
        lock(&self.state).replies.insert(path.to_owned(), reply);
        self.url(path)
    }

    /// The URL of `path` on this host.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Where the host listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What was asked so far, oldest first.
    #[must_use]
    pub fn served(&self) -> Vec<Served> {
        lock(&self.state).served.clone()
    }

    /// Body bytes handed to connections so far, over all requests.
    #[must_use]
    pub fn bytes_sent(&self) -> u64 {
        lock(&self.state).served.iter().map(|one| one.sent).sum()
    }
}

type Body = StreamBody<Pin<Box<dyn Stream<Item = io::Result<Frame<Bytes>>> + Send>>>;

fn answer(request: &Request<Incoming>, state: &Arc<Mutex<State>>) -> Response<Body> {
    let range = request.headers().get(header::RANGE).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut locked = lock(state);
    let reply = locked
        .replies
        .get(request.uri().path())
        .cloned()
        .unwrap_or_else(|| Reply::bytes("no such clip\n").status(404));
    locked.served.push(Served {
        path: request.uri().to_string(),
        range: range.clone(),
        sent: 0,
        finished: None,
    });
    let record = locked.served.len() - 1;
    drop(locked);

    let whole = reply.body.len();
    let part = range.filter(|_| reply.ranges).and_then(|text| parse_range(&text, whole));
    let (start, end) = part.unwrap_or((0, whole));
    let mut response = Response::builder().status(reply.status);
    if part.is_some() {
        response = response
            .status(StatusCode::PARTIAL_CONTENT)
            .header(header::CONTENT_RANGE, format!("bytes {start}-{}/{whole}", end - 1));
    }
    if reply.ranges {
        response = response.header(header::ACCEPT_RANGES, "bytes");
    }
    if reply.length {
        response = response.header(header::CONTENT_LENGTH, end - start);
    }
    if let Some(value) = &reply.content_type {
        response = response.header(header::CONTENT_TYPE, value);
    }
    if let Some(value) = &reply.location {
        response = response.header(header::LOCATION, value);
    }
    let sending = Sending {
        rest: reply.body.slice(start..end),
        reply,
        sent: 0,
        started: tokio::time::Instant::now(),
        state: Arc::clone(state),
        record,
    };
    let chunks = stream::unfold(sending, |mut sending| async {
        let chunk = sending.next().await?;
        Some((chunk.map(Frame::data), sending))
    });
    response
        .body(StreamBody::new(Box::pin(chunks) as Pin<Box<_>>))
        .expect("the caller's header values are constants")
}

/// `bytes=N-` or `bytes=N-M` as a half-open span of a body of `whole` bytes.
fn parse_range(text: &str, whole: usize) -> Option<(usize, usize)> {
    let (start, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let start = start.parse().ok()?;
    let end = match last {
        "" => whole,
        last => last.parse::<usize>().ok()?.saturating_add(1).min(whole),
    };
    (start < end).then_some((start, end))
}

struct Sending {
    reply: Reply,
    rest: Bytes,
    sent: u64,
    started: tokio::time::Instant,
    state: Arc<Mutex<State>>,
    record: usize,
}

impl Sending {
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        let mut room = CHUNK as u64;
        if let Some(at) = self.reply.cut_at {
            if self.sent >= at {
                // hyper sends what it has only when the body has to wait; without this, all would be lost.
                tokio::task::yield_now().await;
                return Some(Err(io::Error::other("cut short, as the test asked")));
            }
            room = room.min(at - self.sent);
        }
        if let Some(at) = self.reply.stall_at {
            if self.sent >= at {
                return std::future::pending().await;
            }
            room = room.min(at - self.sent);
        }
        if let Some(rate) = self.reply.bits_per_second {
            // Fifty steps a second are smooth enough for a decoder and cheap enough for a test.
            room = room.min((rate / 8 / 50).max(1));
            let due = Duration::from_secs_f64(self.sent as f64 * 8.0 / rate as f64);
            tokio::time::sleep_until(self.started + due).await;
        }
        let size = room.min(CHUNK as u64) as usize;
        let chunk = if !self.rest.is_empty() {
            self.rest.split_to(size.min(self.rest.len()))
        } else if self.reply.endless {
            Bytes::from_static(&FILLER[..size])
        } else {
            self.finish();
            return None;
        };
        self.sent += chunk.len() as u64;
        lock(&self.state).served[self.record].sent = self.sent;
        // hyper stops polling at Content-Length, so the end is noted with the last chunk.
        if self.rest.is_empty() && !self.reply.endless {
            self.finish();
        }
        Some(Ok(chunk))
    }

    fn finish(&self) {
        lock(&self.state).served[self.record].finished.get_or_insert_with(Instant::now);
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // The state is plain counters: what a panicking test left there is still right.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_a_half_open_span_inside_the_body() {
        assert_eq!(parse_range("bytes=3-", 10), Some((3, 10)));
        assert_eq!(parse_range("bytes=3-5", 10), Some((3, 6)));
        assert_eq!(parse_range("bytes=3-99", 10), Some((3, 10)));
        assert_eq!(parse_range("bytes=10-", 10), None);
        assert_eq!(parse_range("bytes=-4", 10), None);
        assert_eq!(parse_range("lines=1-2", 10), None);
    }
}
