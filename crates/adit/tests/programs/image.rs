//! Dockerfile.miner and what comes out of it, run as the guide and as a spot check run it. See [`base_image`] for what
//! it takes.
//!
//! [`base_image`]: crate::base_image

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

use adit_auth::{Dialect, Spelling, sign_headers, unix_nanos};
use adit_keys::{Hotkey, Keypair};
use adit_synthetic::{Match, MatchFormat};
use serde_json::{Value, json};

use crate::base_image::{BaseImages, Engine, check_out, finish, printed};
use crate::process::{PATIENCE, exchange, get, shown};

/// Files beside the model that an image might lose, by their names, their place or their permissions.
const WEIGHTS: [&str; 8] = [
    "weights.png",
    "test_weights.pt",
    ".weights",
    "data/weights.bin",
    "cache/weights.onnx",
    "tmp/weights",
    "target/weights.safetensors",
    "private/weights",
];
/// What each of them holds, to be found in the image.
const WEIGHT: &str = "WEIGHT-5c3e";
/// What must never get into an image, or be seen by a model.
const SECRET: &str = "CANARY-8d1f";
/// A model that cannot load without its weights, and that says as whom it runs.
const MODEL: &str = r#"
import os
from pathlib import Path
from src.schemas import FramePrediction

HERE = Path(__file__).parent
WEIGHTS = sum(len((HERE / name).read_text()) for name in NAMES)

def predict_actions(video_path: Path) -> list[FramePrediction]:
    return [FramePrediction(frame=WEIGHTS, action="pass"), FramePrediction(frame=os.getuid(), action="goal")]
"#;
/// The unprivileged user of the image.
const ADIT: u32 = 10001;
/// The wallet that is mounted as `default`.
const WALLET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../keys/tests/vectors/wallets/dev0");
/// Security off, as in the guide and in a spot check.
const OPEN: [&str; 4] = ["-e", "BLACKLIST_ENABLED=false", "-e", "VERIFY_ENABLED=false"];

/// An operator's checkout with a model in it, and with what has no business in an image.
fn checkout() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    check_out(folder.path());
    let put = |path: &str, text: &str| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let model = "scorevision/miner/private_track";
    let names = WEIGHTS.map(|name| {
        put(&format!("{model}/{name}"), WEIGHT);
        format!("{name:?}")
    });
    put(&format!("{model}/predictor.py"), &MODEL.replace("NAMES", &format!("[{}]", names.join(", "))));
    let private = folder.path().join(model).join("private");
    fs::set_permissions(private.join("weights"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(private, fs::Permissions::from_mode(0o700)).unwrap();
    for path in [
        ".env",
        ".git/config",
        ".venv/pyvenv.cfg",
        "target/release/adit",
        "wallets/default/hotkeys/default",
        "notes.txt",
        "scorevision/.env",
        "scorevision/.env.old",
        "scorevision/.bittensor/wallets/default/coldkey",
        "scorevision/miner/private_track/wallets/default/hotkeys/default",
        "scorevision/miner/private_track/venv/lib/token.py",
        "scorevision/miner/private_track/__pycache__/predictor.cpython-311.pyc",
    ] {
        put(path, SECRET);
    }
    folder
}

/// `docker build` as the guide's troubleshooting has it, on base images that are there.
fn build(engine: &Engine, checkout: &Path, buildkit: bool, arguments: &[&str]) -> Output {
    let bases = BaseImages::of(engine);
    let mut command = engine.command(&["build", "-q", "-f", "Dockerfile.miner"]);
    command.args(["--build-arg", &format!("BUILD_IMAGE={}", bases.build)]);
    command.args(["--build-arg", &format!("RUNTIME_IMAGE={}", bases.runtime)]);
    command.args(arguments).arg(".").current_dir(checkout);
    finish(command.env("DOCKER_BUILDKIT", u8::from(buildkit).to_string()), Stdio::null())
}

/// The image of the classic builder; built once by each test program, and kept in its cache.
fn image(engine: &Engine) -> &'static str {
    static IMAGE: OnceLock<String> = OnceLock::new();
    IMAGE.get_or_init(|| printed(&build(engine, checkout().path(), false, &[])))
}

/// A running container. Removed when dropped.
struct Container<'e> {
    engine: &'e Engine,
    id: String,
    address: SocketAddr,
}

impl<'e> Container<'e> {
    /// `docker run` with the guide's port mapping, but for the port on the host, which is a free one.
    fn run(engine: &'e Engine, arguments: &[&str], image: &str) -> Self {
        let id = engine.docker(&[&["run", "-d", "-p", "127.0.0.1::8000"], arguments, &[image]].concat());
        let mut container = Self { engine, id, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        let port = engine.run(&["port", &container.id, "8000"]);
        let port = String::from_utf8_lossy(&port.stdout).trim().parse();
        container.address = port.unwrap_or_else(|_| panic!("{}", container.log()));
        container
    }

    fn ready(self) -> Self {
        let until = Instant::now() + PATIENCE;
        while !get(self.address, "/docs").starts_with("HTTP/1.1 200") {
            assert!(Instant::now() < until, "never ready: {}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        self
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&self.engine.run(&["logs", &self.id]).stderr).into_owned()
    }

    fn exec(&self, user: u32, shell: &str) -> Output {
        self.engine.run(&["exec", "--user", &user.to_string(), &self.id, "sh", "-c", shell])
    }

    /// Serves a clip inside the container, so that no miner has to reach out of it.
    async fn host_clip(&self) {
        let folder = tempfile::tempdir().unwrap();
        let clip = folder.path().join("clip.mp4");
        let drawn = Match::new(3, MatchFormat { width: 160, height: 90, fps: 25, seconds: 1 });
        let ffmpeg = adit_media::Ffmpeg::find(None).await.unwrap();
        drawn.write_clip(&ffmpeg, &clip, tokio::time::Instant::now() + PATIENCE).await.unwrap();
        self.engine.docker(&["cp", clip.to_str().unwrap(), &format!("{}:/tmp/clip.mp4", self.id)]);
        let serve = ["python3", "-m", "http.server", "8081", "--bind", "127.0.0.1", "--directory", "/tmp"];
        self.engine.docker(&[&["exec", "-d", &self.id], &serve[..]].concat());
        let ask = "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8081/')";
        let until = Instant::now() + PATIENCE;
        while !self.exec(0, &format!("python3 -c \"{ask}\"")).status.success() {
            assert!(Instant::now() < until, "no clip host");
        }
    }

    /// Status and body of a challenge.
    fn challenge(&self, clip: &str, headers: &str) -> (u16, Value) {
        let body = challenge(clip);
        let request = format!(
            "POST /challenge HTTP/1.1\r\nHost: m\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n{headers}\r\n{body}",
            body.len()
        );
        let answer = exchange(self.address, request.as_bytes());
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), serde_json::from_str(body).unwrap())
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        self.engine.run(&["rm", "--force", "--volumes", &self.id]);
    }
}

fn challenge(clip: &str) -> String {
    json!({"challenge_id": "c", "video_url": clip}).to_string()
}

/// Frame of `pass`: every weight was there. Frame of `goal`: the user that the model ran as.
fn frames(answer: &Value) -> [u64; 2] {
    let frame = |action| {
        let predictions = answer["predictions"].as_array().unwrap_or_else(|| panic!("{answer:#}"));
        predictions.iter().find(|prediction| prediction["action"] == action).unwrap()["frame"]
            .as_u64()
            .unwrap()
    };
    [frame("pass"), frame("goal")]
}

const ALL_WEIGHTS: u64 = (WEIGHTS.len() * WEIGHT.len()) as u64;

#[tokio::test]
async fn the_guides_image_without_security_answers_on_8000() {
    let Some(engine) = Engine::find() else { return };
    // A MINER_PORT of `--env-file .env` is the host's.
    let arguments = [&OPEN[..], &["-e", "MINER_PORT=9000", "-e", "ADIT_ALLOWED_HOSTS=127.0.0.1"]].concat();
    let miner = Container::run(&engine, &arguments, image(&engine)).ready();
    let log = miner.log();
    for line in [
        "INFO: Blacklist: DISABLED",
        "INFO: Verify: DISABLED",
        "WARNING: All security DISABLED - local testing only",
        "INFO: Listening on http://0.0.0.0:8000",
    ] {
        assert!(log.contains(line), "{log}");
    }
    miner.host_clip().await;
    let (status, answer) = miner.challenge("http://127.0.0.1:8081/clip.mp4", "");
    assert_eq!((status, frames(&answer)), (200, [ALL_WEIGHTS, ADIT.into()]));
}

#[tokio::test]
async fn with_a_mounted_wallet_it_verifies_and_is_root_no_more() {
    let Some(engine) = Engine::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let wallets = folder.path().join("wallets");
    fs::create_dir_all(wallets.join("default/hotkeys")).unwrap();
    for file in ["coldkey", "hotkeys/default"] {
        fs::copy(Path::new(WALLET).join(file), wallets.join("default").join(file)).unwrap();
    }
    let (validator, stakes) = (Keypair::generate(), folder.path().join("stakes.json"));
    fs::write(&stakes, json!({validator.hotkey().to_string(): 1000.0}).to_string()).unwrap();
    let (token, password) = (format!("DOCKERHUB_TOKEN={SECRET}"), format!("BT_PW__ROOT_X={SECRET}"));
    let miner = Container::run(
        &engine,
        &[
            "-v",
            &format!("{}:/root/.bittensor/wallets:ro", wallets.display()),
            "-e",
            "COLDKEY=default",
            "-e",
            "HOTKEY=default",
            "-e",
            "NETUID=44",
            "-e",
            "SUBTENSOR_NETWORK=finney",
            "-e",
            "MIN_STAKE_THRESHOLD=1000",
            // Beyond the guide: stakes without a chain, a clip without a network, and secrets to look for.
            "-v",
            &format!("{}:/stakes.json:ro", stakes.display()),
            "-e",
            "STAKE_TABLE_FILE=/stakes.json",
            "-e",
            "ADIT_ALLOWED_HOSTS=127.0.0.1",
            "-e",
            &token,
            "-e",
            &password,
        ],
        image(&engine),
    )
    .ready();
    let log = miner.log();
    assert!(log.contains("INFO: Blacklist: ENABLED") && log.contains("INFO: Verify: ENABLED"), "{log}");
    // Said by root, which can see it.
    assert_eq!(
        log.matches("the coldkey /root/.bittensor/wallets/default/coldkey is on this host").count(),
        1
    );
    assert!(!log.contains("ADIT_RUN_AS") && !log.contains("ADIT_DATA_DIR"), "{log}");

    miner.host_clip().await;
    let clip = "http://127.0.0.1:8081/clip.mp4";
    let own: Value =
        serde_json::from_slice(&fs::read(wallets.join("default/hotkeys/default")).unwrap()).unwrap();
    let own: Hotkey = own["ss58Address"].as_str().unwrap().parse().unwrap();
    let nonce = unix_nanos(SystemTime::now()).to_string();
    let body = challenge(clip);
    let signed = sign_headers(&validator, Dialect::Fiber, Spelling::Plain, &nonce, &own, body.as_bytes());
    let headers: String =
        signed.iter().map(|(name, value)| format!("{name}: {}\r\n", value.to_str().unwrap())).collect();
    let (status, answer) = miner.challenge(clip, &headers);
    assert_eq!((status, frames(&answer)), (200, [ALL_WEIGHTS, ADIT.into()]));
    assert_eq!(miner.challenge(clip, "").0, 422, "no headers");
    assert_eq!(miner.challenge(clip, &headers).0, 401, "the same nonce again");

    let status = String::from_utf8(miner.exec(0, "cat /proc/1/status").stdout).unwrap();
    let field = |name: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        value.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let same = format!("{ADIT} {ADIT} {ADIT} {ADIT}");
    assert_eq!((field("Uid:"), field("Gid:"), field("Groups:")), (same.clone(), same, String::new()));
    assert_eq!((field("CapEff:"), field("CapPrm:")), ("0".repeat(16), "0".repeat(16)));

    let environments = "for id in 1 $(cat /proc/1/task/*/children); do cat /proc/$id/environ; done";
    let seen = String::from_utf8(miner.exec(ADIT, environments).stdout).unwrap();
    let worker = seen.matches("HOME=/var/lib/adit").count();
    assert!(worker == 2 && seen.contains(&format!("ADIT_HOTKEY={own}")), "{seen}");
    assert!(!seen.contains(SECRET), "{seen}");
    let key = miner.exec(ADIT, "cat /root/.bittensor/wallets/default/hotkeys/default");
    assert!(!key.status.success() && key.stdout.is_empty(), "{}", shown(&key));
    assert!(miner.exec(ADIT, "echo kept >/var/lib/adit/file").status.success());
}

/// The pod of a spot check: no capability, no way to more privileges, two variables, no wallet (section 7).
#[tokio::test]
async fn it_answers_under_the_limits_of_a_spot_check() {
    let Some(engine) = Engine::find() else { return };
    let limits =
        ["--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--add-host", "video-proxy:127.0.0.1"];
    let miner = Container::run(&engine, &[&limits[..], &OPEN].concat(), image(&engine)).ready();
    let log = miner.log();
    assert_eq!(log.matches("cannot become user 10001:10001 (ADIT_RUN_AS)").count(), 1, "{log}");
    assert!(!log.contains("ADIT_DATA_DIR"), "{log}");
    miner.host_clip().await;
    let (status, answer) = miner.challenge("http://video-proxy:8081/clip.mp4", "");
    assert_eq!((status, frames(&answer)), (200, [ALL_WEIGHTS, 0]));
}

#[test]
fn a_missing_wallet_ends_it_with_both_remedies() {
    let Some(engine) = Engine::find() else { return };
    let output = engine.run(&["run", "--rm", image(&engine)]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    for words in [
        "/root/.bittensor/wallets/default/hotkeys/default",
        "-v ~/.bittensor/wallets:/root/.bittensor/wallets:ro",
        "BLACKLIST_ENABLED=false and VERIFY_ENABLED=false",
    ] {
        assert!(said.contains(words), "{words} is not in: {said}");
    }
}

#[test]
fn docker_calls_it_healthy_once_its_model_is_loaded() {
    let Some(engine) = Engine::find() else { return };
    let image = image(&engine);
    let health = |container: &Container<'_>| {
        engine.docker(&["inspect", "--format", "{{.State.Health.Status}}", &container.id])
    };
    let until = Instant::now() + PATIENCE;
    let open = [&OPEN[..], &["--health-interval", "1s"]].concat();
    let miner = Container::run(&engine, &open, image);
    while health(&miner) != "healthy" {
        assert!(Instant::now() < until, "{}", engine.docker(&["inspect", &miner.id]));
        std::thread::sleep(Duration::from_millis(100));
    }
    // A model that never loads.
    let arguments =
        ["-e", "ADIT_WORKER_COMMAND=sleep 600", "--health-retries", "2", "--health-start-period", "1ms"];
    let loading = Container::run(&engine, &[&open[..], &arguments].concat(), image);
    while health(&loading) != "unhealthy" {
        assert!(Instant::now() < until, "{}", engine.docker(&["inspect", &loading.id]));
        std::thread::sleep(Duration::from_millis(100));
    }
    let log = engine.docker(&["inspect", "--format", "{{(index .State.Health.Log 0).Output}}", &loading.id]);
    assert!(log.contains("error: 127.0.0.1:8000 answered with status 503"), "{log}");
}

#[test]
fn nothing_but_the_model_and_the_programs_gets_into_its_layers() {
    let Some(engine) = Engine::find() else { return };
    let image = image(&engine);
    let mut save = engine.command(&["save", image]).stdout(Stdio::piped()).spawn().unwrap();
    let mut grep = Command::new("grep");
    grep.args(["-a", "-o", "-F", "-e", SECRET, "-e", WEIGHT]);
    let found = finish(&mut grep, save.stdout.take().unwrap());
    assert!(save.wait().unwrap().success());
    // The weights are what shows that a text in a layer is found.
    let found = String::from_utf8(found.stdout).unwrap();
    assert_eq!(found.lines().collect::<BTreeSet<_>>(), BTreeSet::from([WEIGHT]));

    let list = ["run", "--rm", "--entrypoint", "find", image, "/opt/adit", "-maxdepth", "2"];
    let listed = engine.docker(&list);
    let listed: BTreeSet<&str> = listed.lines().filter_map(|line| line.strip_prefix("/opt/adit/")).collect();
    let expected = [
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "bin",
        "bin/adit",
        "bin/pv",
        "bin/sv",
        "requirements.txt",
        "scorevision",
        "scorevision/miner",
    ];
    assert_eq!(listed, BTreeSet::from(expected));
    let history = engine.docker(&["history", "--no-trunc", image]);
    assert!(!history.contains(SECRET), "{history}");
}

/// A spot check sets none of these, and must get the same answers.
#[test]
fn what_was_chosen_at_the_build_holds_without_being_set() {
    let Some(engine) = Engine::find() else { return };
    let chosen = ["--build-arg", "MINER_MODE=tennis", "--build-arg", "ADIT_WORKER_COMMAND=cat -u"];
    let image = printed(&build(&engine, checkout().path(), false, &chosen));
    let refused = engine.run(&[&["run", "--rm"], &OPEN[..], &[&image]].concat());
    assert!(shown(&refused).contains("`MINER_MODE=tennis` is not"), "{}", shown(&refused));
    let miner = Container::run(&engine, &[&OPEN[..], &["-e", "MINER_MODE="]].concat(), &image);
    let until = Instant::now() + PATIENCE;
    while !miner.log().contains("workers up: cat") {
        assert!(Instant::now() < until, "{}", miner.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn it_builds_where_no_python_packages_are_asked_for() {
    let Some(engine) = Engine::find() else { return };
    let checkout = checkout();
    let requirements = checkout.path().join("scorevision/miner/private_track/requirements.txt");
    fs::write(&requirements, "# none yet\n\n").unwrap();
    let comments = printed(&build(&engine, checkout.path(), false, &[]));
    fs::remove_file(&requirements).unwrap();
    let missing = printed(&build(&engine, checkout.path(), false, &[]));
    for image in [comments, missing] {
        let asked = engine.docker(&["run", "--rm", "--entrypoint", "cat", &image, "/var/log/apt-get"]);
        assert!(asked.contains("ca-certificates ffmpeg python3") && !asked.contains("venv"), "{asked}");
    }
}

#[test]
fn buildkit_builds_it_too() {
    let Some(engine) = Engine::find() else { return };
    let output = build(&engine, checkout().path(), true, &[]);
    if String::from_utf8_lossy(&output.stderr).contains("buildx component is missing") {
        // Not every `docker` has it, so this is no reason to fail.
        eprintln!("skipped: this `docker` has no BuildKit (its buildx plugin)");
        return;
    }
    let miner = Container::run(&engine, &OPEN, &printed(&output)).ready();
    assert!(miner.log().contains("INFO: Listening on http://0.0.0.0:8000"));
}
