//! Sends requests: redirects by hand, each hop checked; a retry where nothing was received yet.
//! The body of an answer is `download`'s.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use tokio::io::AsyncReadExt as _;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use url::Url;

use crate::{AddressGuard, Download, FetchError};

/// Longest wait for one connection to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest silence of a server in the middle of an answer, unless the caller says otherwise.
const IDLE: Duration = Duration::from_secs(10);
const REDIRECTS: u32 = 5;
/// Nobody is told to wait longer.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);
/// As much of a file is in memory while it is sent.
const PIECE: usize = 64 * 1024;
/// The same for files so large that the number of pieces counts.
const LARGE_PIECE: usize = 512 * 1024;
/// As much of an answer may be under way before it is read, so that a large one does not wait for the reader.
const HTTP2_WINDOW: u32 = 8 * 1024 * 1024;
/// How often a busy HTTP/2 connection is tried.
const HTTP2_PING: Duration = Duration::from_secs(5);
/// Pause before the one retry of a `get` whose connection failed.
const BACK_OFF: Duration = Duration::from_millis(200);

/// How long a request may take and how much it may bring.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// When the whole request, body included, must be done.
    pub deadline: Instant,
    /// Longest wait for the next byte, the first one included.
    pub idle: Duration,
    /// Largest body in bytes.
    pub max_bytes: u64,
    /// How many redirects are followed.
    pub redirects: u32,
}

impl Limits {
    /// A deadline and a size, with 10 s between bytes and 5 redirects.
    #[must_use]
    pub fn new(deadline: Instant, max_bytes: u64) -> Self {
        Self { deadline, idle: IDLE, max_bytes, redirects: REDIRECTS }
    }
}

/// A whole answer, held in memory.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status, whatever it is.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, at most [`Limits::max_bytes`].
    pub body: Bytes,
    /// What came after the body, as gRPC's status does; mostly nothing.
    pub trailers: HeaderMap,
}

impl Response {
    /// How long `Retry-After` asks to wait from `now` on, whether it gives seconds or a date; at most a day.
    #[must_use]
    pub fn retry_after(&self, now: SystemTime) -> Option<Duration> {
        let text = self.headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
        let wait = match text.parse() {
            Ok(seconds) => Duration::from_secs(seconds),
            Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default(),
        };
        Some(wait.min(LONGEST_WAIT))
    }
}

/// The one HTTP client. Clones share their connections.
#[derive(Debug, Clone)]
pub struct Client {
    guard: AddressGuard,
    http: reqwest::Client,
}

impl Client {
    /// A client that reaches what `guard` allows. A connection that takes longer than 5 s is given up.
    /// Proxies from the environment are not used: a proxy would resolve names behind the guard's back.
    ///
    /// A host without CA certificates gets a client that can do plain http only, and a warning.
    ///
    /// # Errors
    /// [`FetchError::Setup`] when TLS cannot be set up at all.
    pub fn new(guard: AddressGuard) -> Result<Self, FetchError> {
        Self::build(guard, |builder| builder.http1_only().pool_max_idle_per_host(4))
    }

    /// As [`Client::new`], but each request gets a connection of its own. A server may close a kept connection
    /// just as the next request is put on it, which looks like [`FetchError::Lost`]: for requests that must not
    /// be repeated, that doubt is dearer than a handshake.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn with_fresh_connections(guard: AddressGuard) -> Result<Self, FetchError> {
        Self::build(guard, |builder| builder.http1_only().pool_max_idle_per_host(0))
    }

    /// As [`Client::new`], but speaks HTTP/2 from the first byte, as gRPC servers expect it; all requests to a host
    /// share one connection. One whose other end does not answer a ping within 5 s is given up.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn with_http2(guard: AddressGuard) -> Result<Self, FetchError> {
        Self::build(guard, |builder| {
            builder
                .http2_prior_knowledge()
                .http2_initial_stream_window_size(HTTP2_WINDOW)
                .http2_initial_connection_window_size(HTTP2_WINDOW)
                .http2_keep_alive_interval(HTTP2_PING)
                .http2_keep_alive_timeout(CONNECT)
        })
    }

    fn build(
        guard: AddressGuard,
        with: fn(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
    ) -> Result<Self, FetchError> {
        // An error means that the process has chosen a provider already, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = || {
            with(reqwest::Client::builder())
                .user_agent(concat!("adit/", env!("CARGO_PKG_VERSION")))
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .referer(false)
                .connect_timeout(CONNECT)
                .dns_resolver(Arc::new(guard.clone()))
        };
        let http = builder().build().or_else(|error| {
            tracing::warn!(
                %error,
                "no CA certificates on this host: https is out of reach (Debian: apt install ca-certificates)"
            );
            builder().tls_certs_only([]).build()
        });
        match http {
            Ok(http) => Ok(Self { guard, http }),
            Err(error) => Err(FetchError::Setup { cause: error.to_string() }),
        }
    }

    /// Starts a download and returns once a success status is there. A connection that fails before that is
    /// tried once more.
    ///
    /// # Errors
    /// Any [`FetchError`]; an answer other than 2xx is [`FetchError::Status`].
    pub async fn get(&self, url: &str, limits: &Limits) -> Result<Download, FetchError> {
        self.get_with(url, HeaderMap::new(), limits).await
    }

    /// As [`Client::get`], but asks for the part from byte `start` on. A server may send the whole body all
    /// the same: [`Download::start`] says.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn get_from(&self, url: &str, start: u64, limits: &Limits) -> Result<Download, FetchError> {
        let range =
            HeaderValue::try_from(format!("bytes={start}-")).expect("digits are a valid header value");
        self.get_with(url, HeaderMap::from_iter([(header::RANGE, range)]), limits).await
    }

    /// As [`Client::get`], with these headers. The sensitive ones ([`HeaderValue::set_sensitive`]) go to the
    /// first origin only: what it redirects to gets the others.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn get_with(
        &self,
        url: &str,
        mut headers: HeaderMap,
        limits: &Limits,
    ) -> Result<Download, FetchError> {
        let mut url = self.guard.check_url(url)?;
        for _ in 0..=limits.redirects {
            let response = self.get_hop(&url, &headers, limits).await?;
            let status = response.status();
            if !status.is_redirection() {
                if !status.is_success() {
                    return Err(FetchError::Status { host: host(&url), status: status.as_u16() });
                }
                return Download::start_reading(url, response, *limits);
            }
            let next = self.next_hop(&url, response.headers().get(header::LOCATION))?;
            if next.origin() != url.origin() {
                let sensitive: Vec<_> = headers
                    .iter()
                    .filter(|(_, value)| value.is_sensitive())
                    .map(|(name, _)| name.clone())
                    .collect();
                for name in sensitive {
                    headers.remove(name);
                }
            }
            url = next;
        }
        Err(FetchError::Redirect {
            host: host(&url),
            reason: format!("more than {} times", limits.redirects),
        })
    }

    async fn get_hop(
        &self,
        url: &Url,
        headers: &HeaderMap,
        limits: &Limits,
    ) -> Result<reqwest::Response, FetchError> {
        let idle = Instant::now() + limits.idle;
        let mut retried = false;
        loop {
            let request = self.http.get(url.clone()).headers(headers.clone());
            match timeout_at(idle.min(limits.deadline), request.send()).await {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(error)) => {
                    let error = FetchError::from_send(&host(url), &error);
                    let next = Instant::now() + BACK_OFF;
                    let pointless = matches!(error, FetchError::Refused { .. });
                    if retried || pointless || next >= limits.deadline {
                        return Err(error);
                    }
                    tracing::debug!(%error, "trying once more");
                    retried = true;
                    sleep_until(next).await;
                }
                Err(_) => return Err(out_of_time(&host(url), limits, 0)),
            }
        }
    }

    fn next_hop(&self, from: &Url, location: Option<&HeaderValue>) -> Result<Url, FetchError> {
        let target = location.and_then(|value| value.to_str().ok()).and_then(|text| from.join(text).ok());
        match target {
            Some(target) => self.guard.check_url(target.as_str()),
            None => {
                Err(FetchError::Redirect { host: host(from), reason: "without a usable Location".to_owned() })
            }
        }
    }

    /// Posts `body`: [`Client::request`] with that method.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn post(
        &self,
        url: &str,
        headers: HeaderMap,
        body: impl Into<Bytes>,
        limits: &Limits,
    ) -> Result<Response, FetchError> {
        self.request(Method::POST, url, headers, body, limits).await
    }

    /// Sends a request and reads the whole answer, whatever its status. Never redirected, never retried; the
    /// wait for the first byte of the answer is bounded by the deadline alone.
    ///
    /// # Errors
    /// Any [`FetchError`] but `Status` and `Redirect`.
    pub async fn request(
        &self,
        method: Method,
        url: &str,
        headers: HeaderMap,
        body: impl Into<Bytes>,
        limits: &Limits,
    ) -> Result<Response, FetchError> {
        self.exchange(method, url, headers, body.into().into(), limits).await
    }

    /// Posts the first `length` bytes of what `file` still holds, as they are read, and reads the whole answer, as
    /// [`Client::request`] does. A file that turns out shorter breaks the request off.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn upload(
        &self,
        url: &str,
        mut headers: HeaderMap,
        file: tokio::fs::File,
        length: u64,
        limits: &Limits,
    ) -> Result<Response, FetchError> {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        let body = pieces(file, length, PIECE, |_| ());
        self.exchange(Method::POST, url, headers, body, limits).await
    }

    /// Puts the first `length` bytes of what `file` still holds, as [`Client::upload`] posts them, for large files: each
    /// piece is told to `taken` by its size in bytes as it goes out, and a server that takes or says nothing for
    /// [`Limits::idle`] is given up.
    ///
    /// # Errors
    /// As [`Client::request`], and [`FetchError::Idle`].
    pub async fn put_file(
        &self,
        url: &str,
        mut headers: HeaderMap,
        file: tokio::fs::File,
        length: u64,
        limits: &Limits,
        taken: impl Fn(u64) + Send + Sync + 'static,
    ) -> Result<Response, FetchError> {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        let (moved, mut moves) = watch::channel(());
        let body = pieces(file, length, LARGE_PIECE, move |bytes| {
            taken(bytes);
            moved.send_replace(());
        });
        let silence = async {
            loop {
                match timeout(limits.idle, moves.changed()).await {
                    Ok(Ok(())) => {}
                    // All is sent: now the answer is waited for.
                    Ok(Err(_)) => return sleep(limits.idle).await,
                    Err(_) => return,
                }
            }
        };
        tokio::select! {
            answer = self.exchange(Method::PUT, url, headers, body, limits) => answer,
            () = silence => Err(FetchError::Idle { host: host(&self.guard.check_url(url)?), waited: limits.idle }),
        }
    }

    async fn exchange(
        &self,
        method: Method,
        url: &str,
        headers: HeaderMap,
        body: reqwest::Body,
        limits: &Limits,
    ) -> Result<Response, FetchError> {
        let url = self.guard.check_url(url)?;
        let request = self.http.request(method, url.clone()).headers(headers).body(body);
        let response = match timeout_at(limits.deadline, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(FetchError::from_send(&host(&url), &error)),
            Err(_) => return Err(out_of_time(&host(&url), limits, 0)),
        };
        Download::start_reading(url, response, *limits)?.response().await
    }
}

/// A body that is read from `file` while it is sent. A file that turns out shorter breaks the request off.
fn pieces(
    file: tokio::fs::File,
    length: u64,
    size: usize,
    taken: impl Fn(u64) + Send + Sync + 'static,
) -> reqwest::Body {
    let taken = Arc::new(taken);
    reqwest::Body::wrap_stream(futures_util::stream::try_unfold(file.take(length), move |mut rest| {
        let taken = Arc::clone(&taken);
        async move {
            let mut piece = BytesMut::with_capacity(size);
            let read = rest.read_buf(&mut piece).await?;
            taken(read as u64);
            Ok::<_, std::io::Error>((read > 0).then(|| (piece.freeze(), rest)))
        }
    }))
}

/// Host and port, the only parts of a URL that errors show.
pub(crate) fn host(url: &Url) -> String {
    match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (host, _) => host.unwrap_or_default().to_owned(),
    }
}

/// Which of the two clocks ran out.
pub(crate) fn out_of_time(host: &str, limits: &Limits, received: u64) -> FetchError {
    let host = host.to_owned();
    if Instant::now() >= limits.deadline {
        FetchError::Deadline { host, received }
    } else {
        FetchError::Idle { host, waited: limits.idle }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_in_seconds_and_as_a_date_and_never_beyond_a_day() {
        let now = httpdate::parse_http_date("Fri, 27 Nov 2026 10:00:00 GMT").unwrap();
        let wait = |text: &str| {
            let headers = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_str(text).unwrap())]);
            let status = StatusCode::TOO_MANY_REQUESTS;
            let response = Response { status, headers, body: Bytes::new(), trailers: HeaderMap::new() };
            response.retry_after(now).map(|wait| wait.as_secs())
        };
        assert_eq!(wait("7"), Some(7));
        assert_eq!(wait(" 7 "), Some(7));
        assert_eq!(wait("Fri, 27 Nov 2026 10:01:30 GMT"), Some(90));
        assert_eq!(wait("Fri, 27 Nov 2026 09:00:00 GMT"), Some(0));
        assert_eq!(wait("18446744073709551615"), Some(86_400));
        assert_eq!(wait("Wed, 27 Nov 2126 10:00:00 GMT"), Some(86_400));
        for nonsense in ["", "soon", "-1", "1.5", "99999999999999999999"] {
            assert_eq!(wait(nonsense), None, "{nonsense}");
        }
    }
}
