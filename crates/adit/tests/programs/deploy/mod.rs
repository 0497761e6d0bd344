//! `sv deploy-pt-miner` and `sv spot-check` against a real engine, a real registry and a real chain runtime. Docker
//! Hub's web API is a stand-in.

pub(crate) mod faults;

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use adit_chain::{Call, Chain, Endpoints, Field, Limits, Netuid};
use adit_http_server::ClipHost;
use adit_journal::record::Pushed;
use adit_journal::{Entry, Find, PRIVATE_TRACK, Reader};
use adit_private_track::deployment::Commitment;
use adit_stand_in::docker_hub::DockerHub;
use adit_stand_in::local_chain::{LocalChain, newest_metadata};
use adit_stand_in::node::{Node, NodeScript};
use adit_stand_in::registry::{PASSWORD, Registry, USER};
use adit_synthetic::{Match, MatchFormat};
use serde_json::{Value, json};

use crate::base_image::{BaseImages, Engine, check_out};
use crate::chain::account;
use crate::process::{exchange, finish_within, get, program, shown};

/// Builds, pushes and checks on a busy machine.
const PATIENCE: Duration = Duration::from_secs(240);
/// Whose miner it is: registered on the local chain's subnet 44.
pub(crate) const HOTKEY: &str = "5H6TiKX8XNWAfyzk8SDfCn7rvv1UVH7nyKVn8YQogq5Ky4rr";
pub(crate) const ELEMENT: &str = "manako/DetectFootballEvent";
/// The registry's user and password, as a header has them.
const BASIC: &str = "bWluZXI6cmVnaXN0cnktcGFzc3dvcmQ=";
/// Answers alike never.
const RANDOM: &str = r#"
import random
from pathlib import Path
from src.schemas import FramePrediction

def predict_actions(video_path: Path) -> list[FramePrediction]:
    return [FramePrediction(frame=random.randrange(10_000), action="goal") for _ in range(20)]
"#;

/// Everything that a deployment meets.
struct World {
    engine: Engine,
    registry: Registry,
    hub: DockerHub,
    /// Started where a test needs one.
    chain: Option<LocalChain>,
    wallets: tempfile::TempDir,
    checkout: tempfile::TempDir,
    /// Where the commands keep what they did.
    data: tempfile::TempDir,
    port: u16,
}

impl World {
    async fn with_chain() -> Option<Self> {
        let chain = LocalChain::start(&[])?;
        let mut world = Self::without_chain().await?;
        world.chain = Some(chain);
        Some(world)
    }

    async fn without_chain() -> Option<Self> {
        let (engine, registry) = (Engine::find()?, Registry::start()?);
        let hub = DockerHub::start().await.unwrap();
        hub.account(USER, PASSWORD);
        let wallets = tempfile::tempdir().unwrap();
        account(wallets.path(), "default", "//Miner", "//Miner//hot");
        let hotkeys = wallets.path().join("default/hotkeys");
        assert!(
            hotkeys.join("default").is_file(),
            "{:?}",
            fs::read_dir(hotkeys).unwrap().collect::<Vec<_>>()
        );
        let checkout = tempfile::tempdir().unwrap();
        check_out(checkout.path());
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let data = tempfile::tempdir().unwrap();
        Some(Self { engine, registry, hub, chain: None, wallets, checkout, data, port })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.told("sv");
        let bases = BaseImages::of(&self.engine);
        command.args(arguments);
        if arguments[0] == "deploy-pt-miner" {
            command.arg("--context").arg(self.checkout.path());
            command.args(["--build-arg", &format!("BUILD_IMAGE={}", bases.build)]);
            command.args(["--build-arg", &format!("RUNTIME_IMAGE={}", bases.runtime)]);
        }
        command
    }

    /// A program with the settings of this world.
    fn told(&self, name: &str) -> Command {
        let mut command = program(name);
        command
            .env("DOCKER_HOST", std::env::var("ADIT_TEST_ENGINE").unwrap())
            .env("DOCKERHUB_USERNAME", USER)
            .env("DOCKERHUB_TOKEN", PASSWORD)
            .env("ADIT_DOCKERHUB_API", self.hub.url())
            .env("ADIT_DOCKERHUB_REGISTRY", self.registry.address().to_string())
            .env("BITTENSOR_WALLET_PATH", self.wallets.path())
            .env(
                "BITTENSOR_SUBTENSOR_ENDPOINT",
                self.chain.as_ref().map_or("ws://127.0.0.1:1", LocalChain::url),
            )
            .env("MINER_PORT", self.port.to_string())
            .env("BLACKLIST_ENABLED", "false")
            .env("ADIT_DATA_DIR", self.data.path())
            .env("ADIT_ALLOWED_HOSTS", self.gateway().to_string());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        finish_within(PATIENCE, &mut self.command(arguments), Stdio::null())
    }

    /// What a deployment with `--json` says, which must end with `code`.
    #[track_caller]
    fn deploy(&self, code: i32, arguments: &[&str]) -> Value {
        let output = self.run(&[&["deploy-pt-miner", "--json"], arguments].concat());
        assert_eq!(output.status.code(), Some(code), "{}", shown(&output));
        let text = shown(&output);
        assert!(!text.contains(PASSWORD), "{text}");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{text}"))
    }

    /// What the doctor says of the image: the status and what it found.
    fn image_by_the_doctor(&self) -> (String, String) {
        let output = finish_within(PATIENCE, self.told("adit").args(["doctor", "--json"]), Stdio::null());
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        let lines = said["checks"].as_array().unwrap();
        let line = lines.iter().find(|line| line["name"] == "image").unwrap();
        let text = |key: &str| line[key].as_str().unwrap().to_owned();
        (text("status"), text("found"))
    }

    /// What this host knows of its miners.
    fn top(&self) -> String {
        shown(&finish_within(PATIENCE, self.told("adit").args(["top", "--once"]), Stdio::null()))
    }

    /// This host, as containers reach it.
    fn gateway(&self) -> IpAddr {
        let format = "{{(index .IPAM.Config 0).Gateway}}";
        self.engine.docker(&["network", "inspect", "bridge", "-f", format]).parse().unwrap()
    }

    /// Puts a revealed commitment into the chain's storage, as the newer runtime would.
    fn plant(&self, text: &str) {
        let value = revealed(text);
        let request = json!({
            "jsonrpc": "2.0", "id": 1, "method": "dev_setStorage", "params": [[[format!("0x{REVEALED}"), format!("0x{}", hex(&value))]]],
        });
        self.rpc(&request);
        self.rpc(&json!({"jsonrpc": "2.0", "id": 1, "method": "dev_newBlock", "params": [{"count": 1}]}));
    }

    fn rpc(&self, request: &Value) {
        let url = self.chain.as_ref().unwrap().url();
        let address: SocketAddr = url.trim_start_matches("ws://").parse().unwrap();
        let body = request.to_string();
        let head = format!(
            "POST / HTTP/1.1\r\nHost: c\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        let answer = exchange(address, format!("{head}{body}").as_bytes());
        assert!(answer.contains("\"result\"") && !answer.contains("\"error\""), "{answer}");
    }

    /// What this host's journal has of an event, the oldest first: what each entry is about, and how it ended.
    fn recorded(&self, event: &str) -> Vec<Entry> {
        let journal = Reader::open(&self.data.path().join(PRIVATE_TRACK)).unwrap();
        let mut entries = journal.find(&Find { limit: 1000, ..Find::event(event) }).unwrap();
        entries.reverse();
        entries
    }

    fn running(&self) -> Vec<String> {
        let filter = format!("label=adit.private-track.port={}", self.port);
        let listed = self.engine.docker(&["ps", "-q", "--filter", &filter]);
        listed.lines().map(str::to_owned).collect()
    }
}

/// Its images stay: what one test removes, another one's build may be about to build upon. They go with the base images
/// that they are built on.
impl Drop for World {
    fn drop(&mut self) {
        let filter = format!("label=adit.private-track.port={}", self.port);
        let listed = self.engine.run(&["ps", "-aq", "--filter", &filter]);
        for id in String::from_utf8_lossy(&listed.stdout).lines() {
            self.engine.run(&["rm", "-f", id]);
        }
        self.engine.run(&["volume", "rm", "-f", &format!("pt-miner-{}", self.port)]);
    }
}

/// `Commitments.RevealedCommitments` of subnet 44 and the hotkey, as the vectors of the chain crate have it.
pub(crate) const REVEALED: &str = "ca407206ec1ab726b2636c4b145ac2879055a2cffd4b296f38f2de8d9b333cab2c00a971402e0c363608de840b9a23c8441121ab84fcf05a7e1b7514959325d3b432b0d2f2f9fcf82758";
/// `SubtensorModule.Uids` of them.
const UID: &str = "658faa385070e074c85bf6b568cf0555aab1b4e78e1ea8305462ee53b3686dc82c009d98e30cfdaa5379f2dabce80d542cc4de840b9a23c8441121ab84fcf05a7e1b7514959325d3b432b0d2f2f9fcf82758";

/// `SubtensorModule.NetworksAdded` of it.
const SUBNET: &str = "658faa385070e074c85bf6b568cf05550e30450fc4d507a846032a7fa65d9a432c00";

/// What that storage holds where a hotkey has revealed one text: a list of pairs, the text with its own length and
/// a block.
pub(crate) fn revealed(text: &str) -> Vec<u8> {
    let text = [compact(text.len()), text.as_bytes().to_vec()].concat();
    [compact(1), compact(text.len()), text, 60_u64.to_le_bytes().to_vec()].concat()
}

/// A node of the newest runtime on whose subnet 44 the hotkey is.
pub(crate) fn newest_chain() -> Option<NodeScript> {
    let script = NodeScript::new(newest_metadata()?);
    let script = script.storage(unhex(SUBNET), [1]).storage(unhex(UID), 4_u16.to_le_bytes());
    // A dispatch information: a weight of two numbers, the class, and no fee in 16 bytes.
    Some(script.any_call("TransactionPaymentApi_query_info", [&[0, 0, 0][..], &[0; 16]].concat()))
}

/// SCALE's compact length.
fn compact(length: usize) -> Vec<u8> {
    match length {
        ..64 => vec![(length as u8) << 2],
        64..16_384 => ((length as u16) << 2 | 1).to_le_bytes().to_vec(),
        _ => panic!("{length} is too long for a test"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// Status and facts of a step.
#[track_caller]
fn step<'a>(result: &'a Value, name: &str) -> (&'a str, &'a Value) {
    let steps = result["steps"].as_array().unwrap();
    let found =
        steps.iter().find(|step| step["step"] == name).unwrap_or_else(|| panic!("no {name}: {result:#}"));
    (found["status"].as_str().unwrap(), &found["facts"])
}

/// From a checkout to a miner that Score can check, each step read back, by the guide's one command.
#[tokio::test(flavor = "multi_thread")]
async fn from_a_checkout_to_a_checked_miner() {
    let Some(world) = World::with_chain().await else { return };
    let tag = ["--tag", "v1.0.0", "--element-id", ELEMENT];

    // Build, push, share.
    let first = world.deploy(0, &[&tag[..], &["--no-commit", "--no-start"]].concat());
    for name in ["build", "repository", "push", "share"] {
        assert_eq!(step(&first, name).0, "done", "{name}: {first:#}");
    }
    assert_eq!((step(&first, "commit").0, step(&first, "start").0), ("skipped", "skipped"));
    assert_eq!(world.hub.is_private("miner/pt-solution"), Some(true));
    assert_eq!(world.hub.collaborators("miner/pt-solution"), [("scorevision".into(), "read".into())]);
    let digest = step(&first, "push").1["digest"].as_str().unwrap().to_owned();
    let request = format!(
        "HEAD /v2/{USER}/pt-solution/manifests/{digest} HTTP/1.1\r\nHost: r\r\nAuthorization: Basic {BASIC}\r\n\
         Accept: application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json\r\n\
         Connection: close\r\n\r\n"
    );
    let head = exchange(world.registry.address(), request.as_bytes());
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.to_lowercase().contains(&format!("docker-content-digest: {digest}")), "{head}");

    // Commit. The local runtime has no time-locks, and says so.
    let refused = world.deploy(1, &[&tag[..], &["--no-start"]].concat());
    for name in ["build", "repository", "push", "share"] {
        assert_eq!(step(&refused, name).0, "held", "{name}: {refused:#}");
    }
    let (status, facts) = step(&refused, "commit");
    assert_eq!(status, "failed");
    assert!(facts["error"].as_str().unwrap().contains("does not take these arguments"), "{facts}");
    let text = Commitment {
        image_repo: format!("{}/miner/pt-solution", world.registry.address()),
        image_tag: "v1.0.0".into(),
        image_digest: digest.clone(),
        element_id: ELEMENT.into(),
        hotkey: HOTKEY.parse().unwrap(),
    };
    let text = text.text();
    await_no_reveal(&world, &tag, &text).await;
    world.plant(&text);

    // Start.
    let whole = world.deploy(0, &tag);
    for name in ["build", "repository", "push", "share", "commit"] {
        assert_eq!(step(&whole, name).0, "held", "{name}: {whole:#}");
    }
    assert_eq!(step(&whole, "commit").1["text"], text.as_str());
    let (status, facts) = step(&whole, "start");
    assert_eq!(status, "done", "{whole:#}");
    let container = facts["container"].as_str().unwrap();
    let env =
        world.engine.docker(&["inspect", "-f", "{{json .Config.Env}}{{json .HostConfig.Binds}}", container]);
    assert!(!env.contains(PASSWORD) && !env.contains("wallets"), "{env}");
    assert!(env.contains(&format!("ADIT_HOTKEY={HOTKEY}")) && env.contains(&digest), "{env}");
    let again = world.deploy(0, &tag);
    assert_eq!(step(&again, "start").0, "held", "{again:#}");
    assert_eq!(step(&again, "start").1["container"], container);
    let (status, found) = world.image_by_the_doctor();
    assert!(status == "PASS" && found.contains(&digest), "{found}");

    // A signed challenge is answered, an unsigned one is not.
    let folder = tempfile::tempdir().unwrap();
    let clip = folder.path().join("clip.mp4");
    draw(&clip).await;
    let host = ClipHost::start(&clip, world.gateway()).await.unwrap();
    let miner = format!("http://127.0.0.1:{}", world.port);
    let rehearsed =
        world.run(&["rehearse", &host.url(), "--miner", &miner, "--miner-hotkey", HOTKEY, "--json"]);
    assert_eq!(rehearsed.status.code(), Some(0), "{}", shown(&rehearsed));
    let address = SocketAddr::from(([127, 0, 0, 1], world.port));
    let unsigned = "POST /challenge HTTP/1.1\r\nHost: m\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
    assert!(exchange(address, unsigned.as_bytes()).starts_with("HTTP/1.1 422"));

    // What it answered live is asked of the registry's image again.
    let checked = world.run(&["spot-check", "--tag", "v1.0.0", "--json"]);
    assert_eq!(checked.status.code(), Some(0), "{}", shown(&checked));
    let lines = String::from_utf8(checked.stdout).unwrap();
    let verdicts: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(verdicts.len(), 3, "{lines}");
    for verdict in &verdicts {
        assert_eq!((&verdict["status"], &verdict["identical"]), (&"PASS".into(), &true.into()), "{verdict}");
        assert_eq!(verdict["miner_hotkey"], HOTKEY);
        assert!(verdict["challenge_id"].as_str().unwrap().starts_with("rehearsal-"), "{verdict}");
    }

    // This host remembers all of it.
    let pushed: Vec<Pushed> = world.recorded("pushed").iter().map(|entry| entry.read().unwrap()).collect();
    let steps = |done| pushed.iter().filter(move |step| step.done == done).map(|step| step.step.as_str());
    assert_eq!(steps(true).take(4).collect::<Vec<_>>(), ["build", "repository", "push", "share"]);
    assert_eq!(steps(false).collect::<Vec<_>>(), ["commit", "commit"], "{pushed:#?}");
    assert!(pushed.iter().all(|step| step.what.ends_with("miner/pt-solution:v1.0.0")), "{pushed:#?}");
    let outcomes =
        |event| world.recorded(event).into_iter().map(|entry| entry.outcome.unwrap()).collect::<Vec<_>>();
    assert_eq!(outcomes("rehearsed"), ["passed"]);
    assert_eq!(outcomes("spot_checked"), ["passed"; 3]);

    // Whoever looks at the miners sees what the one in the container has recorded, and nothing twice.
    assert_eq!(world.recorded("challenge").len(), 0);
    for _ in 0..2 {
        let top = world.top();
        assert!(top.contains("Private track  online") && top.contains("3 good"), "{top}");
        assert!(top.contains(&format!("127.0.0.1:{}", world.port)), "{top}");
    }
    // The doctor's is one that it cannot answer.
    assert_eq!(outcomes("challenge"), ["failed", "answered", "answered", "answered"]);
    assert_eq!(world.recorded("started").len(), 1);

    // Another version takes the place of the first, whose record stays.
    let predictor = world.checkout.path().join("scorevision/miner/private_track/predictor.py");
    fs::write(&predictor, RANDOM).unwrap();
    let next = ["--tag", "v2", "--element-id", ELEMENT];
    let random = world.deploy(0, &[&next[..], &["--no-commit", "--no-share"]].concat());
    assert_eq!((step(&random, "build").0, step(&random, "start").0), ("done", "done"));
    assert_eq!(world.running().len(), 1);
    assert!(get(address, "/docs").starts_with("HTTP/1.1 200"));
    let (status, found) = world.image_by_the_doctor();
    assert!(status == "FAIL" && found.contains("is not the image that is committed"), "{found}");
    let top = world.top();
    assert!(top.contains("Private track  online") && top.contains("3 good"), "{top}");
    assert_eq!((world.recorded("started").len(), world.recorded("stopped").len()), (2, 1));
    // It has answered nothing yet, so it is compared with itself.
    let checked = world.run(&["spot-check", "--tag", "v2", "--json"]);
    assert_eq!(checked.status.code(), Some(1), "{}", shown(&checked));
    let text = shown(&checked);
    assert!(text.contains(r#""status":"FAIL","reason":"score_mismatch""#), "{text}");
    // And is not committed by a deployment that looks first.
    let stopped = world.deploy(1, &[&next[..], &["--spot-check"]].concat());
    let (status, facts) = step(&stopped, "spot-check");
    assert_eq!(status, "failed");
    assert!(facts["error"].as_str().unwrap().contains("does not answer twice alike"), "{facts}");
    // Nor by one that is stopped while it looks.
    let command = world.command(&[&["deploy-pt-miner"], &next[..], &["--spot-check"]].concat());
    tokio::task::block_in_place(|| faults::interrupted(command, "Running the spot check"));
    // Nothing of the checks is left.
    assert_eq!(world.engine.docker(&["ps", "-aq", "--filter", "name=pt-check-"]), "");
    assert_eq!(world.engine.docker(&["network", "ls", "-q", "--filter", "name=pt-check-"]), "");
}

/// The newest runtime takes the call, byte for byte what the vectors say; but nobody reveals it.
async fn await_no_reveal(world: &World, tag: &[&str], text: &str) {
    let Some(script) = newest_chain() else { return };
    let node = Node::start(script).await.unwrap();
    let arguments = [&["deploy-pt-miner", "--json", "--no-start", "--reveal-timeout", "4"], tag].concat();
    let mut command = world.command(&arguments);
    command.env("BITTENSOR_SUBTENSOR_ENDPOINT", node.url());
    let output = tokio::task::spawn_blocking(move || finish_within(PATIENCE, &mut command, Stdio::null()));
    let output = output.await.unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", shown(&output));
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    let (status, facts) = step(&result, "commit");
    assert_eq!(status, "failed");
    assert!(
        facts["error"].as_str().unwrap().contains("has not revealed that text on subnet 44 within 4 s"),
        "{facts}"
    );

    let submitted = node.submitted();
    assert_eq!(submitted.len(), 1);
    // As in `set_reveal_commitment` of the vectors: the call, subnet 44, one field, TimelockEncrypted, the length of
    // what is sealed, that, and the round as eight bytes.
    let start = [0x12, 0x00, 0x2c, 0x00, 0x04, 0x86];
    let extrinsic = &submitted[0];
    let at = extrinsic.windows(start.len()).position(|window| window == start).expect("the call");
    let sent = &extrinsic[at..];
    let sealed = text.len() + 2 + OVERHEAD;
    let length = compact(sealed);
    assert_eq!(sent[start.len()..][..length.len()], length);
    let (ciphertext, round) = sent[start.len() + length.len()..].split_at(sealed);
    let round = u64::from_le_bytes(round.try_into().unwrap());
    // And nothing else: encoded anew by the newest metadata, as the vectors' calls are, it is the same.
    let field = Field::Timelocked { ciphertext: ciphertext.to_vec(), round };
    let chain = Chain::new(Endpoints::parse(&node.url()).unwrap(), Limits::default());
    let anew =
        chain.dry_run(&Call::set_commitment(Netuid(44), &[field]), &HOTKEY.parse().unwrap()).await.unwrap();
    assert_eq!(hex(sent), hex(&anew.call_data));
    let published = adit_chain::timelock::published_at(round).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    assert!(published.abs_diff(now) < Duration::from_secs(60), "{published:?} {now:?}");
}

/// What sealing adds to a text with its length of two bytes.
const OVERHEAD: usize = adit_chain::timelock::OVERHEAD;

async fn draw(clip: &Path) {
    let format = MatchFormat { width: 320, height: 180, fps: 25, seconds: 6 };
    let ffmpeg = adit_media::Ffmpeg::find(None).await.unwrap();
    let until = tokio::time::Instant::from_std(Instant::now() + Duration::from_secs(60));
    Match::new(7, format).write_clip(&ffmpeg, clip, until).await.unwrap();
}
