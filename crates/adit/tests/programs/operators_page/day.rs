//! A scripted day: hours of made-up entries, and after them real miners with real traffic.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use adit_auth::epistula::sign;
use adit_generative::task::TaskId;
use adit_http_server::ClipHost;
use adit_keys::{Hotkey, Keypair, Overwrite, Protection, Secret, Wallet, WordCount};
use adit_media::Ffmpeg;
use adit_outbound::{AddressGuard, Client};
use adit_private_track::rehearsal::{Plan, Sender, rehearse};
use adit_provenance::TrustAnchors;
use adit_provenance::signing::{Authority, Claim};
use adit_stand_in::media::{MP4, PNG};
use adit_stand_in::providers::{Providers, Service};
use adit_synthetic::{Match, MatchFormat};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::traffic;
use crate::process::{Miner, PATIENCE, exchange, program};

/// What was sent to the miners that run.
pub(super) const ANSWERED: u64 = 6;
pub(super) const FAILED: u64 = 3;
pub(super) const REFUSED: u64 = 5;
pub(super) const PICTURES: u64 = 3;
/// What the prompt says; nothing of it must be run.
pub(super) const HOSTILE: &str =
    "<script>document.title='run'</script>\"><img src=x onerror=\"document.title='run'\"> a lighthouse";

/// The miners, and what they need to go on.
pub(super) struct Day {
    pub(super) folder: tempfile::TempDir,
    /// Who signed the challenges, and who the pictures.
    pub(super) validators: [Hotkey; 2],
    /// The task whose picture the validator refused.
    pub(super) refused: TaskId,
    /// While it is true the validator takes no picture from the path `/picky`.
    pub(super) picky: Arc<AtomicBool>,
    private: Miner,
    _generative: Miner,
    _host: ClipHost,
    _providers: Providers,
}

impl Day {
    pub(super) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        traffic::day(&data);

        let clip = folder.path().join("match.mp4");
        let format = MatchFormat { width: 320, height: 180, fps: 25, seconds: 8 };
        let soon = tokio::time::Instant::now() + PATIENCE;
        let ffmpeg = Ffmpeg::find(None).await.unwrap();
        Match::new(44, format).write_clip(&ffmpeg, &clip, soon).await.unwrap();
        let host = ClipHost::start(&clip, Ipv4Addr::LOCALHOST.into()).await.unwrap();
        let (private, validator) = private_track(&data, &host).await;

        let providers = Providers::start(PNG, MP4).await.unwrap();
        let picky = Arc::new(AtomicBool::new(true));
        let (generative, asker, refused) = generative(folder.path(), &data, &providers, &picky).await;
        let validators = [validator, asker];
        Self {
            folder,
            validators,
            refused,
            picky,
            private,
            _generative: generative,
            _host: host,
            _providers: providers,
        }
    }

    /// The data folder.
    pub(super) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Stops the private track's miner as an operator does.
    pub(super) fn stop_private_track(&mut self) {
        assert_eq!(self.private.terminate().0, Some(0));
    }
}

/// A miner that checks signatures, and what validators send it: challenges of every kind of sender, one clip that is gone,
/// and requests that nobody signed.
async fn private_track(data: &Path, host: &ClipHost) -> (Miner, Hotkey) {
    let own = Keypair::generate().hotkey();
    let miner = Miner::start(|command| {
        command
            .env("ADIT_DATA_DIR", data)
            .env("ADIT_HOTKEY", own.to_string())
            .env("ADIT_ALLOWED_HOSTS", "127.0.0.1")
            .env("ADIT_PREDICTOR", "baseline")
            .env("BLACKLIST_ENABLED", "false");
    });
    miner.wait_ready();
    let seed = [45; 32];
    let client = Client::new(AddressGuard::unrestricted()).unwrap();
    let gone = "http://127.0.0.1:9/gone.mp4".to_owned();
    for (video_url, repeat) in [(host.url(), 2), (gone, 1)] {
        let plan = Plan {
            miner: format!("http://{}", miner.address),
            miner_hotkey: own,
            signer: Keypair::from_seed(&seed),
            senders: Sender::ALL.to_vec(),
            repeat,
            video_url,
            truth: None,
            spot_check: None,
        };
        let report = rehearse(&client, &plan).await;
        assert_eq!(report.attempts.len(), 3 * repeat as usize);
    }
    let nothing = "POST /challenge HTTP/1.1\r\nHost: m\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
    for _ in 0..REFUSED {
        let answer = exchange(miner.address, nothing.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 422"), "{answer}");
    }
    (miner, Keypair::from_seed(&seed).hotkey())
}

/// A miner whose pictures are signed, and a validator that asks for three and refuses the last.
async fn generative(
    folder: &Path,
    data: &Path,
    providers: &Providers,
    picky: &Arc<AtomicBool>,
) -> (Miner, Hotkey, TaskId) {
    let secret = Secret::generate(WordCount::Twelve);
    let wallet = Wallet::new(folder.join("wallets"), "miner1", "default").unwrap();
    wallet.store_hotkey(&secret, Protection::Plain, Overwrite::No).unwrap();
    let own = secret.address();
    let validator = Keypair::generate();
    let stakes = HashMap::from([(validator.hotkey().to_string(), 100_000.0)]);
    std::fs::write(folder.join("stakes.json"), json!(stakes).to_string()).unwrap();

    let authority = Authority::new("Own authority").unwrap();
    std::fs::create_dir(folder.join("anchors")).unwrap();
    std::fs::write(folder.join("anchors/own.pem"), authority.certificate()).unwrap();
    let trusted = TrustAnchors::default().trusting("own.pem", authority.certificate()).unwrap();
    let vouched = format!("own.pem@{}", trusted.iter().next().unwrap().fingerprint);
    let signer = authority.signer("OpenAI").unwrap();
    let signed = |file| signer.sign_bytes(&Claim::now("model"), file).unwrap();
    providers.make(signed(PNG), signed(MP4));

    let settings = [
        ("BT_WALLET_NAME", "miner1".to_owned()),
        ("BT_WALLET_HOTKEY", "default".to_owned()),
        ("BT_WALLET_PATH", shown(folder, "wallets")),
        ("BT_NETUID", "34".to_owned()),
        ("BT_CHAIN_ENDPOINT", "ws://127.0.0.1:9".to_owned()),
        ("BT_AXON_IP", "127.0.0.1".to_owned()),
        ("BT_AXON_PORT", "0".to_owned()),
        ("ADIT_ALLOWED_HOSTS", "127.0.0.1".to_owned()),
        ("ADIT_TRUST_ANCHORS_DIR", shown(folder, "anchors")),
        ("ADIT_EXTRA_TRUST_ANCHORS", vouched),
        ("STAKE_TABLE_FILE", shown(folder, "stakes.json")),
        ("MINER_STATE_DIR", shown(folder, "state")),
        ("MINER_OUTPUT_DIR", shown(folder, "media")),
        ("MINER_DAILY_BUDGET_USD", "20".to_owned()),
        ("IMAGE_SERVICE", "openai".to_owned()),
        ("VIDEO_SERVICE", "none".to_owned()),
        ("OPENAI_API_KEY", "sk-test".to_owned()),
        ("OPENAI_BASE_URL", providers.url(Service::OpenAi)),
        ("ADIT_DATA_DIR", data.display().to_string()),
    ];
    // Where the commands of the page's buttons find them.
    let lines: String = settings.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    std::fs::write(folder.join(".env.gen_miner"), lines).unwrap();
    let mut serve = program("gascli");
    serve.args(["generator", "serve"]).current_dir(folder).env_remove("ADIT_ENV_FILE");
    let miner = Miner::listening(serve);

    let webhook = webhook(Arc::clone(picky)).await;
    let mut refused = None;
    for path in ["easy", "easy", "picky"] {
        refused = Some(ask(&validator, &own, miner.address, &format!("{webhook}/{path}")));
    }
    (miner, validator.hotkey(), refused.unwrap())
}

fn shown(folder: &Path, name: &str) -> String {
    folder.join(name).display().to_string()
}

/// A validator's webhook, which takes what comes to `/easy`, and from `/picky` only once it is told.
async fn webhook(picky: Arc<AtomicBool>) -> String {
    let take = async |State(picky): State<Arc<AtomicBool>>| {
        if picky.load(Ordering::Relaxed) {
            (StatusCode::BAD_REQUEST, "Task is closed")
        } else {
            (StatusCode::OK, "Binary content received")
        }
    };
    let app = Router::new()
        .route("/easy", post(async || "Binary content received"))
        .route("/picky", post(take))
        .with_state(picky);
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let server = adit_http_server::Server::bind(listen, Duration::from_secs(10)).await.unwrap();
    let address = server.address();
    tokio::spawn(server.serve(app, std::future::pending()));
    format!("http://{address}")
}

/// Asks for a picture; the task's name.
fn ask(validator: &Keypair, own: &Hotkey, miner: SocketAddr, webhook: &str) -> TaskId {
    let body = json!({"prompt": HOSTILE, "parameters": {"resolution": "1K"}}).to_string();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let (uuid, now) = (TaskId::new_v4().to_string(), u64::try_from(now).unwrap());
    let headers = sign(validator, &Sha256::digest(&body).into(), &uuid, now, Some(own)).unwrap();
    let headers: String =
        headers.iter().map(|(name, value)| format!("{name}: {}\r\n", value.to_str().unwrap())).collect();
    let request = format!(
        "POST /gen_image HTTP/1.1\r\nHost: m\r\nConnection: close\r\nContent-Length: {}\r\nX-Webhook-URL: {webhook}\r\n{headers}\r\n{body}",
        body.len()
    );
    let answer = exchange(miner, request.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str::<Value>(body).unwrap()["task_id"].as_str().unwrap().parse().unwrap()
}

/// Waits for what comes about by itself.
pub(super) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// `adit dashboard` as it would be started beside these miners.
pub(super) fn dashboard(day: &Day) -> Command {
    let mut command = program("adit");
    command
        .arg("dashboard")
        .current_dir(day.folder.path())
        .env_remove("ADIT_ENV_FILE")
        .env("ADIT_DATA_DIR", day.data())
        .env("ADIT_ALLOWED_HOSTS", "127.0.0.1");
    command
}
