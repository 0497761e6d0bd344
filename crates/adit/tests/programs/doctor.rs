//! `adit doctor` beside real miners and a real chain: what it says when all is well, and of each planted fault.

use std::fs::{File, Permissions};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use adit_docker::{Credentials, ImageName, Registry};
use adit_private_track::deployment::Commitment;
use adit_stand_in::docker_hub::{self, Call, DockerHub};
use adit_stand_in::local_chain::{LocalChain, newest_metadata};
use adit_stand_in::node::{Fault, Node, NodeScript};
use adit_stand_in::registry::{self, PASSWORD, USER};
use serde_json::Value;

use crate::base_image::{Engine, sleeper};
use crate::deploy::{ELEMENT, HOTKEY, REVEALED, newest_chain, revealed, unhex};
use crate::process::{Miner, PATIENCE, finish, program, run, shown};

/// The address on chain. One of documentation, so the doctor does not try to reach it.
const PUBLISHED: &str = "203.0.113.10";
/// A hotkey that is not the miner's.
const ALICE: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";

/// Settings, the later one of a name winning.
type Settings<'a> = &'a [(&'a str, &'a str)];

/// A line of the doctor.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) status: String,
    pub(crate) found: String,
    fix: Option<String>,
}

/// Everything that the doctor says.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) lines: Vec<Line>,
}

impl Said {
    pub(crate) fn line(&self, name: &str) -> &Line {
        self.lines.iter().find(|line| line.name == name).unwrap()
    }

    /// The lines that are worse than when all was well; those that were skipped for their sake left out.
    pub(crate) fn faults(&self, well: &Self) -> Vec<&str> {
        let worse = |line: &&Line| {
            line.status != well.line(&line.name).status && !line.found.starts_with("skipped: ")
        };
        self.lines.iter().filter(worse).map(|line| line.name.as_str()).collect()
    }

    /// Asserts that nothing but this line is worse, and what it says.
    #[track_caller]
    pub(crate) fn blames(&self, well: &Self, name: &str, status: &str, found: &str, fix: &str) {
        self.differs(well, name, status, found, fix);
        assert_eq!(self.code, Some(i32::from(status == "FAIL")));
    }

    /// Asserts that nothing but this line is worse.
    #[track_caller]
    pub(crate) fn differs_in(&self, well: &Self, name: &str) {
        assert_eq!(self.faults(well), [name], "{self:#?}");
    }

    /// The same where something else fails all the time.
    #[track_caller]
    pub(crate) fn differs(&self, well: &Self, name: &str, status: &str, found: &str, fix: &str) {
        self.differs_in(well, name);
        let line = self.line(name);
        assert_eq!(line.status, status, "{line:?}");
        assert!(line.found.contains(found), "{line:?}");
        assert!(line.fix.as_ref().unwrap().contains(fix), "{line:?}");
    }
}

/// A host with a wallet, a place for data and a chain.
struct Host {
    chain: LocalChain,
    folder: tempfile::TempDir,
    port: String,
}

impl Host {
    /// The wallet `default` is that of the chain's miner, whose axon is published at the port.
    fn new() -> Option<Self> {
        // Blocks come as on the main network, so that the chain's clock goes right.
        let chain = LocalChain::start(&["--block-time", "12"])?;
        let host = Self { chain, folder: tempfile::tempdir().unwrap(), port: free_port() };
        host.wallet("default", "//Miner//hot");
        let mut publish = program("adit");
        publish.args(["axon", "set", "--ip", PUBLISHED, "--port", &host.port, "--yes"]);
        let output = finish(host.settle(&mut publish, &[]));
        assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
        Some(host)
    }

    fn wallets(&self) -> PathBuf {
        self.folder.path().join("wallets")
    }

    fn wallet(&self, name: &str, uri: &str) {
        let mut regen = program("adit");
        regen.args(["wallet", "regen-hotkey", "--wallet.name", name, "--uri", &LocalChain::uri(uri)]);
        let output = finish(regen.env("BITTENSOR_WALLET_PATH", self.wallets()));
        assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Gives a program the settings of this host, and then these.
    fn settle<'c>(&self, command: &'c mut Command, settings: Settings<'_>) -> &'c mut Command {
        command
            .env("BITTENSOR_WALLET_PATH", self.wallets())
            .env("BITTENSOR_SUBTENSOR_ENDPOINT", self.chain.url())
            .env("SUBTENSOR_ADDRESS", self.chain.url())
            .env("ADIT_DATA_DIR", self.folder.path().join("data"))
            .env("ADIT_PREDICTOR", "baseline")
            .env("MINER_PORT", &self.port)
            .envs(settings.iter().copied())
    }

    fn serve(&self, settings: Settings<'_>) -> Miner {
        let miner = Miner::start(|command| {
            self.settle(command, settings);
        });
        miner.wait_ready();
        miner
    }

    fn doctor(&self, settings: Settings<'_>) -> Said {
        let mut command = program("adit");
        command.args(["doctor", "--json"]);
        examine(self.settle(&mut command, settings))
    }
}

pub(crate) fn examine(command: &mut Command) -> Said {
    let output = finish(command);
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", shown(&output)));
    let lines = json["checks"].as_array().unwrap().iter().map(|check| Line {
        name: text(&check["name"]).unwrap(),
        status: text(&check["status"]).unwrap(),
        found: text(&check["found"]).unwrap(),
        fix: text(&check["fix"]),
    });
    let said = Said { code: output.status.code(), lines: lines.collect() };
    assert_eq!(json["passed"], said.code == Some(0), "{said:?}");
    said
}

pub(crate) fn free_port() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string()
}

fn wait_for_stakes(miner: &Miner) {
    let until = Instant::now() + PATIENCE;
    while miner.get("/health").contains("\"hotkeys\":0") {
        assert!(Instant::now() < until, "no stakes");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Asks the chain over HTTP.
fn rpc(chain: &LocalChain, method: &str, params: &Value) -> String {
    let address = chain.url().trim_start_matches("ws://");
    let body = serde_json::json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: c\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// What can be wrong while the same miner runs on: the host, the settings of the shell, the chain.
#[test]
fn a_healthy_miner_passes_and_each_fault_of_its_host_has_its_line() {
    let Some(host) = Host::new() else { return };
    let mut miner = host.serve(&[]);
    wait_for_stakes(&miner);
    let well = host.doctor(&[]);
    assert_eq!(well.code, Some(0), "{well:#?}");
    // What this host cannot do better: nobody reaches a documentation address, it has no account at a registry, no
    // image is committed, and it has no model. Whether there is a container engine is not the test's to say.
    let not_passed: Vec<&str> = well
        .lines
        .iter()
        .filter(|line| line.status != "PASS" && line.name != "docker")
        .map(|line| line.name.as_str())
        .collect();
    assert_eq!(not_passed, ["reachable", "registry", "image", "predictor"], "{well:#?}");
    assert!(well.line("registry").found.starts_with("skipped: `DOCKERHUB_USERNAME` is not set"));
    assert!(well.line("image").found.contains("names no image of the private track"));
    assert!(well.line("reachable").found.contains("not tried: 203.0.113.10 is a documentation address"));
    assert!(well.line("registration").found.ends_with("is uid 4 on subnet 44"));
    assert!(well.line("stake table").found.starts_with("65 hotkeys from the chain"));
    let challenge = &well.line("challenge").found;
    assert!(challenge.contains("stake gate does its job (403 Insufficient stake of 0.0)"), "{challenge}");

    host.doctor(&[("VERFIY_ENABLED", "true")]).blames(
        &well,
        "variables",
        "WARN",
        "`VERFIY_ENABLED` is no setting; `VERIFY_ENABLED` is",
        "rename VERFIY_ENABLED to VERIFY_ENABLED",
    );
    host.doctor(&[("ADIT_QUEUE", "many")]).blames(
        &well,
        "configuration",
        "FAIL",
        "`ADIT_QUEUE=many` is not a whole number",
        "set ADIT_QUEUE right",
    );
    let file = host.file("bad.env", "MINER_MODE=soccer_action\nnonsense\n");
    host.doctor(&[("ADIT_ENV_FILE", &file)]).blames(
        &well,
        "configuration",
        "WARN",
        "bad.env: line 2 is not NAME=value",
        "NAME=value",
    );
    host.doctor(&[("SUBTENSOR_ADDRESS", ""), ("SUBTENSOR_NETWORK", "test")]).blames(
        &well,
        "networks",
        "WARN",
        "the stake gate wss://test.finney.opentensor.ai",
        "SUBTENSOR_NETWORK",
    );
    host.doctor(&[("ADIT_HOTKEY", ALICE)]).blames(
        &well,
        "wallet",
        "FAIL",
        &format!("ADIT_HOTKEY is {ALICE}, but the hotkey `default` of wallet `default` is 5"),
        "unset ADIT_HOTKEY",
    );
    host.doctor(&[("BITTENSOR_WALLET_HOT", "gone")]).blames(
        &well,
        "wallet",
        "FAIL",
        "there is no key file",
        "adit wallet list",
    );
    host.doctor(&[("ADIT_FFMPEG", "/nowhere/ffmpeg")]).blames(
        &well,
        "ffmpeg",
        "FAIL",
        "/nowhere/ffmpeg",
        "apt install ffmpeg",
    );
    host.doctor(&[
        ("BITTENSOR_SUBTENSOR_ENDPOINT", "ws://127.0.0.1:9"),
        ("STAKE_TABLE_FILE", &host.file("n", "{}")),
    ])
    .blames(&well, "chain", "FAIL", "ws://127.0.0.1:9: ", "--network");

    let key = host.wallets().join("default/hotkeys/default");
    let mode = |mode| std::fs::set_permissions(&key, Permissions::from_mode(mode)).unwrap();
    mode(0o644);
    host.doctor(&[]).blames(&well, "wallet", "WARN", "(mode 0644)", &format!("chmod 600 {}", key.display()));
    mode(0o600);

    let coldkey = host.wallets().join("default/coldkey");
    std::fs::write(&coldkey, "{}").unwrap();
    host.doctor(&[]).blames(&well, "coldkey", "WARN", "that of `default` is on this host", "remove it below");
    std::fs::remove_file(&coldkey).unwrap();

    // Everything is as it was.
    assert_eq!(host.doctor(&[]).faults(&well), [""; 0]);
    let hour = SystemTime::now() + Duration::from_secs(3600);
    let millis = hour.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    let travelled = rpc(&host.chain, "dev_timeTravel", &serde_json::json!([u64::try_from(millis).unwrap()]));
    assert!(travelled.starts_with("HTTP/1.1 200") && !travelled.contains("error"), "{travelled}");
    rpc(&host.chain, "dev_newBlock", &serde_json::json!([{"count": 1}]));
    let said = host.doctor(&[]);
    said.blames(&well, "clock", "FAIL", "behind the newest block", "timedatectl set-ntp true");

    miner.terminate();
    let said = host.doctor(&[]);
    assert_eq!(said.faults(&well), ["clock", "server"]);
    assert!(
        said.line("server").found.contains(&format!("nothing answers on port {}", host.port)),
        "{said:?}"
    );
    assert_eq!(said.line("server").fix.as_deref(), Some("sv serve"));
}

/// What can be wrong with the miner itself: each runs with its fault, and the doctor has its settings.
#[test]
fn each_fault_of_a_running_miner_has_its_line() {
    let Some(host) = Host::new() else { return };
    let stakes = host.file("stakes.json", &format!(r#"{{"{ALICE}": 5000}}"#));
    let usual = [("STAKE_TABLE_FILE", stakes.as_str())];
    let with = |more: Settings<'static>| [&usual[..], more].concat();
    let both = |settings: Settings<'_>| {
        let _miner = host.serve(settings);
        host.doctor(settings)
    };
    let well = both(&usual);
    assert_eq!(well.code, Some(0), "{well:#?}");
    assert!(well.line("challenge").found.contains("403 Hotkey not found in metagraph"), "{well:#?}");

    // With the gate off the signature is checked, and with a clip that may be fetched the model answers.
    let open = both(&with(&[("BLACKLIST_ENABLED", "on")]));
    open.blames(&well, "security", "WARN", "`BLACKLIST_ENABLED=on` means off", "BLACKLIST_ENABLED=true");
    assert!(open.line("challenge").found.starts_with("signature accepted; no clip was sent"), "{open:#?}");
    let open = both(&with(&[("BLACKLIST_ENABLED", "no"), ("ADIT_ALLOWED_HOSTS", "127.0.0.1")]));
    assert_eq!(open.faults(&well), ["security"]);
    assert!(open.line("challenge").found.contains("signed, accepted, and answered in"), "{open:#?}");

    let empty = host.file("empty.json", "{}");
    both(&[("STAKE_TABLE_FILE", &empty)]).blames(
        &well,
        "stake table",
        "FAIL",
        "empty (from the file): every validator is refused",
        "STAKE_TABLE_FILE",
    );
    let file = File::options().write(true).open(&stakes).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(7200)).unwrap();
    both(&usual).blames(&well, "stake table", "WARN", "too old", "STAKE_TABLE_FILE");
    file.set_modified(SystemTime::now()).unwrap();

    {
        let _other = host.serve(&with(&[("ADIT_HOTKEY", ALICE)]));
        host.doctor(&usual).blames(
            &well,
            "challenge",
            "FAIL",
            "another hotkey than these settings (401 Invalid miner hotkey)",
            "ADIT_HOTKEY",
        );
    }
    let elsewhere = free_port();
    both(&[usual[0], ("MINER_PORT", &elsewhere)]).blames(
        &well,
        "axon",
        "WARN",
        &format!("{PUBLISHED}:{} is published, but MINER_PORT is {elsewhere}", host.port),
        &format!("adit axon set --netuid 44 --ip {PUBLISHED} --port {elsewhere}"),
    );

    host.wallet("stranger", "//Stranger//hot");
    both(&with(&[("BITTENSOR_WALLET_COLD", "stranger")])).blames(
        &well,
        "registration",
        "FAIL",
        "is not registered on subnet 44",
        "adit subnet register --netuid 44",
    );
    host.wallet("fleet", "//Fleet//58");
    let bare = both(&with(&[("BITTENSOR_WALLET_COLD", "fleet")]));
    assert_eq!(bare.faults(&well), ["axon", "commitment"], "{bare:#?}");
    assert!(bare.line("axon").found.starts_with("none is published"));
    assert!(bare.line("axon").fix.as_ref().unwrap().starts_with("adit axon set --netuid 44 --ip "));
    assert!(bare.line("commitment").found.starts_with("none on chain"));

    let _taken = TcpListener::bind(("0.0.0.0", host.port.parse().unwrap())).unwrap();
    let said = host.doctor(&usual);
    said.blames(&well, "server", "FAIL", "takes connections but does not answer", "start the miner again");
}

/// A miner in a container, its image in a registry, and both on chain. Docker Hub's web API and the chain are
/// stand-ins.
struct Deployed {
    engine: Engine,
    registry: registry::Registry,
    hub: DockerHub,
    node: Node,
    script: NodeScript,
    port: String,
}

impl Deployed {
    async fn new() -> Option<Self> {
        let (engine, registry, script) = (Engine::find()?, registry::Registry::start()?, newest_chain()?);
        let hub = DockerHub::start().await.unwrap();
        hub.account(USER, PASSWORD);
        let node = Node::start(script.clone()).await.unwrap();
        let deployed = Self { engine, registry, hub, node, script, port: free_port() };
        deployed.repository(true, true);
        Some(deployed)
    }

    fn repository(&self, private: bool, shared: bool) {
        self.hub.repository("miner/pt-solution", private);
        if shared {
            self.hub.share("miner/pt-solution", "scorevision", "read");
        }
    }

    fn image(&self) -> ImageName {
        ImageName::new(&self.registry.address().to_string(), "miner/pt-solution", "v1").unwrap()
    }

    /// Pushes an image; its digest.
    async fn push(&self) -> String {
        let image = self.image();
        self.engine.docker(&["tag", &sleeper(&self.engine), &image.to_string()]);
        let host = adit_stand_in::engine::host().unwrap();
        let engine = adit_docker::Engine::connect(Some(&host)).await.unwrap();
        let credentials = Credentials { username: USER.to_owned(), token: PASSWORD.into() };
        engine.push(&image, Some(&credentials), &mut |_| ()).await.unwrap();
        engine.remove_image(&image.to_string()).await.unwrap();
        Registry::of(&image, Some(&credentials), true).stored().await.unwrap().unwrap().digest
    }

    fn commit(&self, image: &ImageName, digest: &str) {
        let commitment = Commitment {
            image_repo: image.repo(),
            image_tag: image.tag().to_owned(),
            image_digest: digest.to_owned(),
            element_id: ELEMENT.to_owned(),
            hotkey: HOTKEY.parse().unwrap(),
        };
        self.node.set(self.script.clone().storage(unhex(REVEALED), revealed(&commitment.text())));
    }

    /// A miner's container, as far as its label and its variable go, in place of the one before.
    fn run(&self, image: &str) {
        self.remove();
        let (label, variable) =
            (format!("adit.private-track.port={}", self.port), format!("ADIT_IMAGE={image}"));
        let sleeper = sleeper(&self.engine);
        self.engine.docker(&["run", "-d", "--label", &label, "-e", &variable, &sleeper, "sleep", "600"]);
    }

    fn remove(&self) {
        let filter = format!("label=adit.private-track.port={}", self.port);
        let listed = self.engine.run(&["ps", "-aq", "--filter", &filter]);
        for id in String::from_utf8_lossy(&listed.stdout).lines() {
            self.engine.run(&["rm", "-f", id]);
        }
    }

    fn doctor(&self, settings: Settings<'_>) -> Said {
        let mut command = program("adit");
        command
            .args(["doctor", "--json", "--network", &self.node.url(), "--wallet.path", "/nowhere"])
            .env("ADIT_HOTKEY", HOTKEY)
            .env("MINER_PORT", &self.port)
            .env("DOCKER_HOST", adit_stand_in::engine::host().unwrap())
            .env("DOCKERHUB_USERNAME", USER)
            .env("DOCKERHUB_TOKEN", PASSWORD)
            .env("ADIT_DOCKERHUB_API", self.hub.url())
            .env("ADIT_DOCKERHUB_REGISTRY", self.registry.address().to_string())
            .envs(settings.iter().copied());
        let began = Instant::now();
        let said = examine(&mut command);
        // Twice what is promised, for a machine that is busy.
        assert!(began.elapsed() < Duration::from_secs(10), "{:?} {said:#?}", began.elapsed());
        assert!(!format!("{said:?}").contains(PASSWORD), "{said:#?}");
        said
    }
}

impl Drop for Deployed {
    fn drop(&mut self) {
        self.remove();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_of_a_deployment_has_its_line() {
    let Some(world) = Deployed::new().await else { return };
    let digest = world.push().await;
    let image = world.image().at(&digest);
    world.commit(&world.image(), &digest);
    world.run(&image);
    let well = world.doctor(&[]);
    for (name, found) in [
        ("docker", "answers at unix://"),
        ("registry", "logged in as miner; "),
        ("image", "is committed, runs here, and is at its registry"),
    ] {
        let line = well.line(name);
        assert!(line.status == "PASS" && line.found.contains(found), "{well:#?}");
    }

    // The account.
    world.doctor(&[("DOCKERHUB_TOKEN", "wrong")]).differs(
        &well,
        "registry",
        "WARN",
        "Docker Hub login as miner failed",
        "hub.docker.com/settings/security",
    );
    world.doctor(&[("DOCKERHUB_REPO", "other")]).differs(
        &well,
        "registry",
        "WARN",
        "miner/other yet",
        "sv deploy-pt-miner",
    );
    world.repository(false, true);
    world.doctor(&[]).differs(&well, "registry", "WARN", "is public", "make it private");
    world.repository(true, false);
    world.doctor(&[]).differs(
        &well,
        "registry",
        "FAIL",
        "scorevision is no collaborator of",
        "Settings → Collaborators → Add `scorevision`",
    );
    world.repository(true, true);
    world.hub.plant(Call::Login, docker_hub::Fault::Silent, 1);
    world.doctor(&[]).differs(
        &well,
        "registry",
        "WARN",
        "Docker Hub login as miner failed",
        "ADIT_DOCKERHUB_API",
    );
    let address = world.registry.address().to_string();
    let own = [("ADIT_REGISTRY", address.as_str()), ("ADIT_REGISTRY_USERNAME", USER)];
    let said = world.doctor(&[own[0], own[1], ("ADIT_REGISTRY_TOKEN", PASSWORD)]);
    assert_eq!(said.faults(&well), [""; 0], "{said:#?}");
    assert!(said.line("registry").found.contains("takes the token of miner; "), "{said:#?}");
    world.doctor(&[own[0], own[1], ("ADIT_REGISTRY_TOKEN", "wrong")]).differs(
        &well,
        "registry",
        "WARN",
        "lets nobody read miner/pt-solution",
        "docker login",
    );

    // The engine.
    world.doctor(&[("DOCKER_HOST", "unix:///nowhere.sock")]).differs(
        &well,
        "docker",
        "WARN",
        "no Docker engine answers at unix:///nowhere.sock",
        "systemctl start docker",
    );
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    let said = world.doctor(&[("DOCKER_HOST", &format!("unix://{}", socket.display()))]);
    said.differs(&well, "docker", "WARN", "did not answer in time", "docker info");

    // What runs, what is committed, and what is at the registry.
    world.run(&format!("{}@sha256:{}", world.image().repo(), "ab".repeat(32)));
    world.doctor(&[]).differs(
        &well,
        "image",
        "FAIL",
        "is not the image that is committed: a spot check would find other answers",
        "sv deploy-pt-miner --tag <tag>",
    );
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = listener.local_addr().unwrap().to_string();
    let name = ImageName::new(&silent, "miner/pt-solution", "v1").unwrap();
    world.commit(&name, &digest);
    world.run(&name.at(&digest));
    let said = world.doctor(&[("ADIT_DOCKERHUB_REGISTRY", &silent)]);
    said.differs(&well, "image", "WARN", "does not answer in the time that the doctor has", "docker pull");
    // It is asked only where the settings name it too.
    let said = world.doctor(&[]);
    assert!(
        said.line("image").found.contains(&format!("it is on {silent}, and these settings")),
        "{said:#?}"
    );
    let gone = format!("sha256:{}", "0".repeat(64));
    world.commit(&world.image(), &gone);
    world.run(&world.image().at(&gone));
    world.doctor(&[]).differs(&well, "image", "FAIL", "image_unavailable", "sv deploy-pt-miner --tag <tag>");
    world.commit(&world.image(), &digest);
    world.remove();
    let _miner = Miner::start(|command| {
        command.envs([
            ("MINER_PORT", world.port.as_str()),
            ("ADIT_HOTKEY", HOTKEY),
            ("BLACKLIST_ENABLED", "no"),
        ]);
    });
    let said = world.doctor(&[]);
    assert!(said.line("image").found.contains("the miner runs without a container"), "{said:#?}");
}

/// A chain that takes connections and says nothing costs its own line and no more than the promised time.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_chain_is_given_up() {
    let Some(metadata) = newest_metadata() else { return };
    let node = Node::start(NodeScript::new(metadata).fault(Fault::AcceptAndNeverAnswer)).await.unwrap();
    let began = Instant::now();
    let said = examine(
        program("adit")
            .args(["doctor", "sv", "--json", "--network", &node.url()])
            .env("ADIT_HOTKEY", ALICE)
            .env("MINER_PORT", free_port()),
    );
    // Twice what is promised, for a machine that is busy.
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(
        said.line("chain").status == "FAIL" && said.line("chain").found.contains(&node.url()),
        "{said:#?}"
    );
    assert!(said.line("clock").found.starts_with("skipped: "), "{said:#?}");
    assert!(said.line("wallet").found.contains("no wallet is here, and none is needed"), "{said:#?}");
}

/// The clock is judged by any chain that tells the time, even where nothing else of it is known.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_ahead_of_the_chain_is_said() {
    let Some(metadata) = newest_metadata() else { return };
    let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    let millis = hour_ago.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    let node = Node::start(NodeScript::new(metadata).now(u64::try_from(millis).unwrap())).await.unwrap();
    let said = examine(
        program("adit")
            .args(["doctor", "--json", "--network", &node.url(), "--wallet.path", "/nowhere"])
            .env("MINER_PORT", free_port()),
    );
    let clock = said.line("clock");
    assert!(clock.status == "FAIL" && clock.found.contains("60 min ahead of the newest block"), "{said:#?}");
    assert_eq!(said.line("chain").status, "PASS", "{said:#?}");
}

#[test]
fn the_text_has_a_line_a_check_and_the_fix_below_it() {
    let mut command = program("adit");
    command.args(["doctor", "--network", "ws://127.0.0.1:9", "--wallet.path", "/nowhere"]);
    let output = finish(command.env("DOCKERHUB_TOKE", "dckr_pat_secret").env("MINER_PORT", free_port()));
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("\nWARN  variables      `DOCKERHUB_TOKE` is no setting; `DOCKERHUB_TOKEN` is\n"),
        "{text}"
    );
    assert!(
        text.contains("\n                     fix: rename DOCKERHUB_TOKE to DOCKERHUB_TOKEN\n"),
        "{text}"
    );
    assert!(
        text.contains("\nFAIL  wallet         there is no key file /nowhere/default/hotkeys/default\n"),
        "{text}"
    );
    assert!(text.ends_with("warnings.\n") && text.contains(" of 21 checks failed, "), "{text}");
    assert!(!text.contains("secret") && !text.contains('\x1b'), "{text}");
}

#[test]
fn the_help_of_the_doctor() {
    insta::assert_snapshot!(shown(&run("adit", &["doctor", "--help"])));
}

#[test]
fn an_argument_wins_over_the_settings() {
    let folder = tempfile::tempdir().unwrap();
    let mut regen = program("adit");
    regen.args(["wallet", "regen-hotkey", "--wallet.name", "told", "--uri", "//Alice"]);
    assert_eq!(finish(regen.env("BITTENSOR_WALLET_PATH", folder.path())).status.code(), Some(0));
    let wallet = |path: &Path| {
        let mut command = program("adit");
        command.args(["doctor", "--json", "--network", "ws://127.0.0.1:9", "--wallet.name", "told"]);
        command.arg("--wallet.path").arg(path).env("COLDKEY", "other").env("MINER_PORT", free_port());
        examine(&mut command).line("wallet").found.clone()
    };
    assert!(wallet(folder.path()).starts_with(ALICE), "{}", wallet(folder.path()));
}
