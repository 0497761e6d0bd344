//! A validator's webhook that takes everything and keeps nothing.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::io::{
    self, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, copy_buf, sink,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// No bench waits longer for its media.
const PATIENCE: Duration = Duration::from_secs(900);
const WORDS: &str = "Binary content received";

/// What has come.
#[derive(Default)]
struct Taken {
    media: usize,
    reports: usize,
}

/// Stops when dropped.
pub(crate) struct Webhook {
    pub(crate) url: String,
    taken: Arc<watch::Sender<Taken>>,
    _accepting: JoinSet<()>,
}

impl Webhook {
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}/generative_callback", listener.local_addr()?);
        let taken = Arc::new(watch::Sender::<Taken>::default());
        let shared = Arc::clone(&taken);
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let taken = Arc::clone(&shared);
                // A miner that is stopped breaks off.
                connections.spawn(async move { take(socket, &taken).await });
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { url, taken, _accepting: accepting })
    }

    /// Waits until the media of so many tasks have come, whole. A report that there will be none is an error.
    pub(crate) async fn delivered(&self, tasks: usize) -> Result<()> {
        let mut taken = self.taken.subscribe();
        let enough = taken.wait_for(|taken| taken.media >= tasks || taken.reports > 0);
        let taken = timeout(PATIENCE, enough).await.context("the media did not come in time")??;
        ensure!(taken.reports == 0, "a task has failed; the server's log says why");
        Ok(())
    }
}

async fn take(socket: TcpStream, taken: &watch::Sender<Taken>) -> io::Result<()> {
    let mut socket = BufReader::with_capacity(256 * 1024, socket);
    loop {
        let (mut length, mut has_media) = (0, false);
        loop {
            let mut line = String::new();
            if socket.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(text) = line.strip_prefix("content-length:") {
                length = text.trim().parse().map_err(io::Error::other)?;
            }
            has_media |= line == "task-status: completed";
        }
        if copy_buf(&mut (&mut socket).take(length), &mut sink()).await? < length {
            return Ok(());
        }
        taken.send_modify(|taken| if has_media { taken.media += 1 } else { taken.reports += 1 });
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{WORDS}", WORDS.len());
        socket.write_all(answer.as_bytes()).await?;
    }
}
