//! A running miner, a validator that may call it, and a host that serves it a clip.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use adit_auth::{Dialect, GateConfig, Policy, Spelling, StakeGate, sign_headers, unix_nanos};
use adit_chain::{Netuid, StakeSource};
use adit_keys::{Hotkey, Keypair};
use adit_media::Ffmpeg;
use adit_outbound::{AddressGuard, Client, Limits, Response};
use adit_predictor::Wanted;
use adit_private_track::{Config, PredictorChoice, Server, StartError};
use adit_stand_in::video_host::VideoHost;
use adit_synthetic::{Match, MatchFormat};
use http::HeaderMap;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// No test waits longer for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const SECONDS: u32 = 4;
pub(crate) const FRAMES: u32 = 25 * SECONDS;

pub(crate) struct Fixture {
    pub(crate) address: SocketAddr,
    pub(crate) validator: Keypair,
    pub(crate) miner: Hotkey,
    pub(crate) host: VideoHost,
    client: Client,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<Result<(), StartError>>>,
    _folder: tempfile::TempDir,
}

/// A miner with both switches on, the baseline, and clips allowed from this host.
pub(crate) fn config(miner: Hotkey, stakes: &Path) -> Config {
    Config {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        head_timeout: Duration::from_secs(10),
        gate: GateConfig {
            policy: Policy {
                verify: true,
                stake_gate: StakeGate::Closed,
                min_stake: 1000.0,
                own_hotkey: Some(miner),
                dialects: Dialect::ALL.to_vec(),
            },
            nonce_capacity: 1000,
            max_body: 1 << 20,
            body_timeout: PATIENCE,
        },
        stakes: Some(StakeSource::File(stakes.to_owned())),
        stake_max_age: Duration::from_secs(3600),
        facts: None,
        netuid: Some(Netuid(44)),
        guard: AddressGuard::public_only().allowing("127.0.0.1").unwrap(),
        max_clip_bytes: 64 << 20,
        deadline: PATIENCE,
        concurrency: 1,
        queue: 4,
        mode: Wanted::SoccerActions,
        predictor: PredictorChoice::Baseline,
        ffmpeg: PathBuf::from("ffmpeg"),
        journal: None,
        image: None,
    }
}

impl Fixture {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (validator, miner) = (Keypair::generate(), Keypair::generate().hotkey());
        let stakes = folder.path().join("stakes.json");
        let table = HashMap::from([(validator.hotkey().to_string(), 1000.0)]);
        std::fs::write(&stakes, serde_json::json!(table).to_string()).unwrap();
        let mut config = config(miner, &stakes);
        change(&mut config);
        let server = Server::bind(config).await.unwrap();
        let address = server.address();
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(server.serve(async {
            let _ = stopped.await;
        }));
        Self {
            address,
            validator,
            miner,
            host: VideoHost::start().await.unwrap(),
            client: Client::new(AddressGuard::unrestricted()).unwrap(),
            stop: Some(stop),
            serving: Some(serving),
            _folder: folder,
        }
    }

    /// Tells the server to stop and waits until it has.
    pub(crate) async fn stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
        timeout(PATIENCE, self.serving.take().unwrap()).await.unwrap().unwrap().unwrap();
    }

    /// How it has ended, by itself.
    pub(crate) async fn ended(&mut self) -> Result<(), StartError> {
        timeout(PATIENCE, self.serving.take().unwrap()).await.unwrap().unwrap()
    }

    pub(crate) fn signed(&self, dialect: Dialect, body: &[u8]) -> HeaderMap {
        let mut headers = self.signed_with(&unix_nanos(SystemTime::now()).to_string(), dialect, body);
        headers.insert("content-type", "application/json".parse().unwrap());
        headers
    }

    pub(crate) fn signed_with(&self, nonce: &str, dialect: Dialect, body: &[u8]) -> HeaderMap {
        sign_headers(&self.validator, dialect, Spelling::Both, nonce, &self.miner, body)
    }

    pub(crate) async fn post(&self, headers: HeaderMap, body: impl Into<bytes::Bytes>) -> Response {
        let limits = Limits::new(Instant::now() + PATIENCE, 1 << 24);
        let url = format!("http://{}/challenge", self.address);
        self.client.post(&url, headers, body.into(), &limits).await.unwrap()
    }

    /// A well signed challenge.
    pub(crate) async fn challenge(&self, body: &str) -> (u16, Value) {
        let response = self.post(self.signed(Dialect::Score, body.as_bytes()), body.to_owned()).await;
        let text = String::from_utf8(response.body.to_vec()).unwrap();
        (response.status.as_u16(), serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    pub(crate) async fn clip_challenge(&self, url: &str) -> (u16, Value) {
        self.challenge(&serde_json::json!({"challenge_id": "c", "video_url": url}).to_string()).await
    }

    /// Sends raw bytes on a connection of their own and reads until the server closes it.
    pub(crate) async fn raw(&self, request: impl AsRef<[u8]>) -> String {
        let exchange = async {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            // The server may answer and close before it has read everything.
            let _ = stream.write_all(request.as_ref()).await;
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            String::from_utf8_lossy(&answer).into_owned()
        };
        timeout(PATIENCE, exchange).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> String {
        self.raw(format!("GET {path} HTTP/1.1\r\nHost: miner\r\nConnection: close\r\n\r\n")).await
    }

    pub(crate) async fn health(&self) -> Value {
        let text = self.get("/health").await;
        serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    /// Waits until `/health` shows what is asked for.
    pub(crate) async fn until(&self, pointer: &str, wanted: impl Fn(&Value) -> bool) {
        let polling = async {
            while !self.health().await.pointer(pointer).is_some_and(&wanted) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, polling).await.unwrap_or_else(|_| panic!("{pointer} never came about"));
    }
}

/// A drawn match of [`FRAMES`] frames as a fast-start MP4, made once a process.
pub(crate) async fn clip() -> bytes::Bytes {
    static CLIP: OnceLock<bytes::Bytes> = OnceLock::new();
    if let Some(clip) = CLIP.get() {
        return clip.clone();
    }
    let file = tempfile::Builder::new().suffix(".mp4").tempfile().unwrap();
    let drawn = Match::new(1, MatchFormat { width: 160, height: 90, fps: 25, seconds: SECONDS });
    let ffmpeg = Ffmpeg::find(None).await.unwrap();
    drawn.write_clip(&ffmpeg, file.path(), Instant::now() + PATIENCE).await.unwrap();
    CLIP.get_or_init(|| std::fs::read(file.path()).unwrap().into()).clone()
}

/// A small PNG.
pub(crate) fn png() -> Vec<u8> {
    let arguments = "-v error -f lavfi -i color=red:s=16x16 -frames:v 1 -f image2pipe -c:v png pipe:1";
    let output = std::process::Command::new("ffmpeg").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
