//! Requests, made beforehand, and how fast and how late they are answered.
//!
//! They are whole byte strings and answers are read no further than needed: what is measured is the server,
//! not a client library.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

/// Longest answer that is read.
const MAX_ANSWER: usize = 1024 * 1024;
/// How much longer than planned a load may take before it is given up.
const GRACE: Duration = Duration::from_secs(30);

/// An equal load, as a part of what a server can do at most: busy, but not drowning.
pub(crate) const EQUAL_LOAD: f64 = 0.6;

/// When requests are sent.
#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// Each connection sends its next request as soon as it has an answer, for this long.
    FlatOut(Duration),
    /// So many a second, whether or not answers come.
    PerSecond(f64),
}

/// What a load showed.
pub(crate) struct Load {
    elapsed: Duration,
    /// Of each request, from when it was due to the last byte of its answer; sorted.
    latencies: Vec<Duration>,
}

impl Load {
    pub(crate) fn count(&self) -> usize {
        self.latencies.len()
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.count() as f64 / self.elapsed.as_secs_f64()
    }

    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.count() * percent).div_ceil(100).max(1);
        self.latencies[rank - 1]
    }
}

/// Sends the requests over kept-alive connections. Any answer but a success ends it with an error, since a server
/// that refuses is quick.
pub(crate) async fn run(
    address: SocketAddr,
    requests: Vec<Vec<u8>>,
    connections: usize,
    pace: Pace,
) -> Result<Load> {
    let planned = match pace {
        Pace::FlatOut(limit) => limit,
        Pace::PerSecond(rate) => Duration::from_secs_f64(requests.len() as f64 / rate),
    };
    let requests = Arc::new(requests);
    let next = Arc::new(AtomicUsize::new(0));
    let begin = Instant::now();
    let mut workers = JoinSet::new();
    for _ in 0..connections {
        workers.spawn(one_connection(address, Arc::clone(&requests), Arc::clone(&next), begin, pace));
    }
    let mut latencies = Vec::with_capacity(requests.len());
    let all = async {
        while let Some(worker) = workers.join_next().await {
            latencies.extend(worker??);
        }
        anyhow::Ok(())
    };
    timeout(planned + GRACE, all).await.context("the server fell far behind the load")??;
    let elapsed = begin.elapsed();
    ensure!(!latencies.is_empty(), "no request was answered");
    latencies.sort_unstable();
    Ok(Load { elapsed, latencies })
}

async fn one_connection(
    address: SocketAddr,
    requests: Arc<Vec<Vec<u8>>>,
    next: Arc<AtomicUsize>,
    begin: Instant,
    pace: Pace,
) -> Result<Vec<Duration>> {
    let mut connection = Connection::open(address).await?;
    let mut latencies = Vec::new();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let Some(request) = requests.get(number) else { break };
        let mut due = Instant::now();
        match pace {
            Pace::FlatOut(limit) if begin.elapsed() >= limit => break,
            Pace::FlatOut(_) => {}
            Pace::PerSecond(rate) => {
                let planned = begin + Duration::from_secs_f64(number as f64 / rate);
                if planned > due {
                    sleep_until(planned).await;
                    // The timer is as coarse as a millisecond; that is not the server's.
                    due = Instant::now();
                } else {
                    // No connection was free when it was due: the wait is the server's.
                    due = planned;
                }
            }
        }
        connection.exchange(request).await?;
        latencies.push(due.elapsed());
    }
    Ok(latencies)
}

/// The parsed answer to the first of `requests`.
pub(crate) async fn first_answer(address: SocketAddr, requests: &[Vec<u8>]) -> Result<serde_json::Value> {
    let request = requests.first().context("no request")?;
    let mut connection = Connection::open(address).await?;
    let body = timeout(GRACE, connection.exchange(request)).await.context("no answer in time")??;
    Ok(serde_json::from_slice(body)?)
}

struct Connection {
    socket: TcpStream,
    answer: Vec<u8>,
}

impl Connection {
    async fn open(address: SocketAddr) -> Result<Self> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        Ok(Self { socket, answer: Vec::with_capacity(16 * 1024) })
    }

    /// Sends one request and returns the body of its answer, which has to be a success with a Content-Length.
    async fn exchange(&mut self, request: &[u8]) -> Result<&[u8]> {
        self.answer.clear();
        self.socket.write_all(request).await?;
        let head = loop {
            self.read_some().await?;
            if let Some(at) = self.answer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
        };
        let text = std::str::from_utf8(&self.answer[..head])?.to_ascii_lowercase();
        let length: usize = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"))
            .context("the answer has no Content-Length")?
            .trim()
            .parse()?;
        while self.answer.len() < head + length {
            self.read_some().await?;
        }
        let body = &self.answer[head..];
        if !text.starts_with("http/1.1 2") {
            bail!("no success: {text}{}", String::from_utf8_lossy(body));
        }
        Ok(body)
    }

    async fn read_some(&mut self) -> Result<()> {
        let read = self.socket.read_buf(&mut self.answer).await?;
        ensure!(read > 0, "the server closed the connection");
        ensure!(self.answer.len() <= MAX_ANSWER, "an answer of more than {MAX_ANSWER} bytes");
        Ok(())
    }
}
