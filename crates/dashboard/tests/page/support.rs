//! A server with journals of its own, and the least of an HTTP client.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use adit_dashboard::alert::Alert;
use adit_dashboard::{Alerts, Config, Program, Server, Sources, Token};
use adit_http_server::seen_from_here;
use adit_journal::{Journal, Limits};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef";
/// Nothing here takes as long.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A page that is served.
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) looks: Box<dyn Fn() -> u64 + Send>,
    pub(crate) serving: JoinHandle<()>,
    stop: Option<oneshot::Sender<()>>,
}

/// What one is like.
pub(crate) struct Setup {
    pub(crate) listen: &'static str,
    pub(crate) idle: Option<Duration>,
    pub(crate) alerts: Vec<Alert>,
}

impl Default for Setup {
    fn default() -> Self {
        Self { listen: "127.0.0.1:0", idle: None, alerts: Vec::new() }
    }
}

impl Site {
    pub(crate) async fn new() -> Self {
        Self::with(Setup::default()).await
    }

    pub(crate) async fn with(setup: Setup) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let alerts: Alerts = Arc::new(move |_| setup.alerts.clone());
        let config = Config {
            listen: setup.listen.parse().unwrap(),
            token: Token::given(TOKEN).unwrap(),
            sources: Sources::new(folder.path().to_owned()),
            program: Program::new(folder.path().join("bin/adit"), []),
            alerts,
            idle: setup.idle,
        };
        let server = Server::bind(config).await.unwrap();
        let (address, looks) = (server.address(), Box::new(server.looks()));
        assert!(server.login_link().ends_with(&format!("/?token={TOKEN}")));
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(server.serve(async {
            let _ = stopped.await;
        }));
        Self { address, folder, looks, serving, stop: Some(stop) }
    }

    pub(crate) fn journal(&self, file: &str) -> Journal {
        Journal::open(&self.folder.path().join(file), Limits::default()).unwrap()
    }

    /// Puts a shell script in the place of one of the programs.
    pub(crate) fn program(&self, name: &str, script: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let bin = self.folder.path().join("bin");
        std::fs::create_dir_all(&bin).unwrap();
        let path = bin.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).unwrap();
    }

    pub(crate) fn stop(&mut self) {
        let _ = self.stop.take().map(|stop| stop.send(()));
    }

    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.address.port())
    }

    pub(crate) fn cookie(&self) -> String {
        format!("adit_{}={TOKEN}", self.address.port())
    }

    /// As anybody on this host.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[("host", &self.host())]).await
    }

    /// As the operator.
    pub(crate) async fn get_in(&self, path: &str) -> Answer {
        self.ask("GET", path, &[("host", &self.host()), ("cookie", &self.cookie())]).await
    }

    /// As the operator's browser, from a button of the page.
    pub(crate) async fn press(&self, path: &str) -> Answer {
        let origin = format!("http://{}", self.host());
        let headers = [
            ("host", self.host()),
            ("cookie", self.cookie()),
            ("origin", origin),
            ("sec-fetch-site", "same-origin".to_owned()),
        ];
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.ask("POST", path, &headers).await
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut stream = self.send(method, path, headers, true).await;
        let mut bytes = Vec::new();
        tokio::time::timeout(LONG, stream.read_to_end(&mut bytes)).await.unwrap().unwrap();
        Answer::read(&bytes)
    }

    /// Sends a request and leaves the answer unread.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        close: bool,
    ) -> TcpStream {
        let mut stream = TcpStream::connect(seen_from_here(self.address)).await.unwrap();
        let mut request = format!("{method} {path} HTTP/1.1\r\n");
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        if close {
            request += "connection: close\r\n";
        }
        request += "content-length: 0\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) bytes: Vec<u8>,
}

impl Answer {
    fn read(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: BTreeMap<_, _> = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let body = &bytes[end + 4..];
        let chunked = headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked");
        let bytes = if chunked { unchunked(body) } else { body.to_vec() };
        Self { status, headers, bytes }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    #[track_caller]
    pub(crate) fn has(&self, text: &str) -> &Self {
        assert!(self.text().contains(text), "no `{text}` in {} {}", self.status, self.text());
        self
    }

    #[track_caller]
    pub(crate) fn has_not(&self, text: &str) -> &Self {
        assert!(!self.text().contains(text), "`{text}` in {} {}", self.status, self.text());
        self
    }
}

fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let end = body.windows(2).position(|two| two == b"\r\n").expect("a chunk's length");
        let length = usize::from_str_radix(std::str::from_utf8(&body[..end]).unwrap(), 16).unwrap();
        if length == 0 {
            return whole;
        }
        whole.extend(&body[end + 2..end + 2 + length]);
        body = &body[end + 4 + length..];
    }
}

/// Tries until it is so.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !holds().await {
        assert!(Instant::now() < deadline, "not within {LONG:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// All ids of the rows of a page's table.
pub(crate) fn ids(page: &str) -> Vec<i64> {
    page.split("<tr data-id=\"").skip(1).map(|row| row.split('"').next().unwrap().parse().unwrap()).collect()
}

pub(crate) fn alert(text: &str, todo: &str, urgent: bool) -> Alert {
    let (text, todo) = (text.to_owned(), todo.to_owned());
    Alert { rule: "down", miner: None, cause: String::new(), urgent, text, todo }
}
