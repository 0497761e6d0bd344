//! Not a stand-in but the real thing: an image registry on loopback, Debian's program `docker-registry`, with
//! one user. Tests without it skip and say so; with `ADIT_CI=1` they fail. [`Flaky`] stands before it where
//! uploads are to break.

use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
    mpsc,
};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::skip;

/// The one user.
pub const USER: &str = "miner";
/// Its password.
pub const PASSWORD: &str = "registry-password";
/// As `htpasswd -nbBC 5` writes the two.
const HTPASSWD: &str = "miner:$2y$05$iiF7jj0YuD5Ma6uOYKVjneUIcjhW6Wha3t1jpG3j2NIN21nFdP4C2\n";
const PROGRAM: &str = "docker-registry";
/// It starts in a fraction of a second.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running registry, empty at first. Stopped when dropped.
#[derive(Debug)]
pub struct Registry {
    child: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl Registry {
    /// Starts one on a free port. It takes [`USER`] and [`PASSWORD`] and nobody else.
    ///
    /// # Panics
    /// Where it does not start; and where there is no such program and `ADIT_CI=1`.
    #[must_use]
    pub fn start() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = |name: &str| folder.path().join(name);
        // JSON is YAML, and quotes any path.
        let config = serde_json::json!({
            "version": "0.1",
            "log": {"level": "info", "formatter": "text", "accesslog": {"disabled": true}},
            "storage": {"filesystem": {"rootdirectory": path("blobs")}, "delete": {"enabled": true}},
            "http": {"addr": "127.0.0.1:0"},
            "auth": {"htpasswd": {"realm": "stand-in", "path": path("htpasswd")}},
        });
        fs::write(path("htpasswd"), HTPASSWD).expect("a file in it");
        fs::write(path("config.yml"), config.to_string()).expect("a file in it");
        let mut child = match Command::new(PROGRAM)
            .arg("serve")
            .arg(path("config.yml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
        {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                skip(&format!("no program {PROGRAM} (Debian: apt install {PROGRAM})"));
                return None;
            }
            started => started.expect("the registry starts"),
        };
        let log = BufReader::new(child.stderr.take().expect("piped"));
        let (sender, lines) = mpsc::channel();
        // Read to its end, so that a full pipe cannot stop the registry.
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let mut said = String::new();
        while let Ok(line) = lines.recv_timeout(PATIENCE) {
            if let Some(address) = listening(&line) {
                return Some(Self { child, address, _folder: folder });
            }
            said.push_str(&line);
            said.push('\n');
        }
        let _ = child.kill();
        let _ = child.wait();
        panic!("{PROGRAM} did not start: {said}");
    }

    /// Where it listens, as an image's name begins.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// The address in `… msg="listening on 127.0.0.1:5000" …`.
fn listening(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("listening on ")?;
    rest.split(['"', ' ', ',']).next()?.parse().ok()
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A TCP proxy that breaks the first uploads: requests by PATCH or PUT. All else passes as it is.
/// It stops, with all its connections, when dropped.
#[derive(Debug)]
pub struct Flaky {
    address: SocketAddr,
    left: Arc<AtomicU32>,
    // Dropping the set ends the accept loop, which owns the connections.
    _tasks: JoinSet<()>,
}

impl Flaky {
    /// Starts one on a free loopback port, before `behind`. It closes the first `times` connections that have
    /// sent `after` bytes of an upload, counted from its request line, and then none any more.
    ///
    /// # Errors
    /// When no loopback port can be opened.
    pub async fn start(behind: SocketAddr, times: u32, after: usize) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let left = Arc::new(AtomicU32::new(times));
        let shared = Arc::clone(&left);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let Ok((socket, _)) = listener.accept().await else {
                    continue;
                };
                while connections.try_join_next().is_some() {}
                connections.spawn(pass(socket, behind, Arc::clone(&shared), after));
            }
        });
        Ok(Self { address, left, _tasks: tasks })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Uploads that it will still break.
    #[must_use]
    pub fn left(&self) -> u32 {
        self.left.load(Ordering::SeqCst)
    }
}

async fn pass(client: TcpStream, behind: SocketAddr, left: Arc<AtomicU32>, after: usize) {
    let Ok(server) = TcpStream::connect(behind).await else {
        return;
    };
    let (from_client, mut to_client) = client.into_split();
    let (mut from_server, to_server) = server.into_split();
    // Either way's end ends both, which is all that a client that asks again needs.
    tokio::select! {
        () = requests(from_client, to_server, &left, after) => {}
        _ = tokio::io::copy(&mut from_server, &mut to_client) => {}
    }
}

/// Passes on what the client sends, until an upload is to break.
async fn requests(mut client: OwnedReadHalf, mut server: OwnedWriteHalf, left: &AtomicU32, after: usize) {
    let mut buffer = vec![0; 16 * 1024];
    let mut upload: Option<usize> = None;
    while let Ok(read @ 1..) = client.read(&mut buffer).await {
        let mut chunk = &buffer[..read];
        // A client waits for one answer before its next request, so a request's head begins a chunk.
        if ["PATCH /", "PUT /"].iter().any(|start| chunk.starts_with(start.as_bytes())) {
            upload = Some(0);
        } else if ["GET /", "HEAD /", "POST /"].iter().any(|start| chunk.starts_with(start.as_bytes())) {
            upload = None;
        }
        if let Some(sent) = &mut upload {
            if *sent + chunk.len() > after && take_one(left) {
                chunk = &chunk[..after.saturating_sub(*sent)];
                let _ = server.write_all(chunk).await;
                return;
            }
            *sent += chunk.len();
        }
        if server.write_all(chunk).await.is_err() {
            return;
        }
    }
}

fn take_one(left: &AtomicU32) -> bool {
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_the_registrys_own_words() {
        let line =
            r#"time="2026-01-01T00:00:00Z" level=info msg="listening on 127.0.0.1:41235" go.version=go1.19"#;
        assert_eq!(listening(line), Some("127.0.0.1:41235".parse().unwrap()));
        assert_eq!(listening(r#"level=info msg="redis not configured""#), None);
    }
}
