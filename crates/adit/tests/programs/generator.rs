//! `gascli generator serve`, `rehearse`, `deliveries` and `redeliver`, and `adit doctor gascli`: on a real chain, with
//! stand-ins of the services.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use adit_auth::epistula::sign;
use adit_generative::Modality;
use adit_generative::task::{Address, Answer, Config, Event, Request, Store, TaskId};
use adit_journal::record::{Rehearsed, TaskStep};
use adit_journal::{Find, GENERATIVE, Reader};
use adit_keys::Keypair;
use adit_provenance::TrustAnchors;
use adit_provenance::signing::{Authority, Claim};
use adit_stand_in::local_chain::LocalChain;
use adit_stand_in::media::{MP4, PNG};
use adit_stand_in::providers::{Call, Fault, Providers, Service};
use adit_stand_in::shared_folder;
use adit_stand_in::video_host::{Reply, VideoHost};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::runtime::Runtime;

use crate::doctor::{Said, examine, free_port};
use crate::process::{Miner, PATIENCE, exchange, finish, program, run, shown};

/// The address on chain. One of documentation, so that nobody is reached.
const PUBLISHED: &str = "203.0.113.44";

/// An operator with a wallet, an authority that the settings vouch for, and services that stand in for the paid ones.
pub(crate) struct Desk {
    folder: tempfile::TempDir,
    vouched: String,
    authority: Authority,
    providers: Providers,
    pub(crate) runtime: Runtime,
}

impl Desk {
    /// With the wallet `default`, whose hotkey is this of the chain's.
    pub(crate) fn new(hotkey: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("Own authority").unwrap();
        let anchors = folder.path().join("anchors");
        std::fs::create_dir(&anchors).unwrap();
        std::fs::write(anchors.join("own.pem"), authority.certificate()).unwrap();
        let own = TrustAnchors::default().trusting("own.pem", authority.certificate()).unwrap();
        let vouched = format!("own.pem@{}", own.iter().next().unwrap().fingerprint);
        let runtime = Runtime::new().unwrap();
        let providers = runtime.block_on(Providers::start(PNG, MP4)).unwrap();
        let desk = Self { folder, vouched, authority, providers, runtime };
        desk.wallet("default", hotkey);
        desk
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// From now on the paid services' media are signed.
    pub(crate) fn sign_media(&self) {
        let signer = self.authority.signer("OpenAI").unwrap();
        let signed = |file| signer.sign_bytes(&Claim::now("model"), file).unwrap();
        self.providers.make(signed(PNG), signed(MP4));
    }

    fn wallet(&self, name: &str, uri: &str) {
        let mut regen = program("adit");
        regen.args(["wallet", "regen-hotkey", "--wallet.name", name, "--uri", &LocalChain::uri(uri)]);
        let output = finish(regen.env("BITTENSOR_WALLET_PATH", self.path("wallets")));
        assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
    }

    /// Settings under which everything holds, apart from the chain.
    pub(crate) fn settle(&self, command: &mut Command) {
        command
            .current_dir(self.folder.path())
            .env("BT_WALLET_PATH", self.path("wallets"))
            .env("BT_NETUID", "34")
            .env("BT_CHAIN_ENDPOINT", "ws://127.0.0.1:9")
            .env("BT_AXON_PORT", "0")
            .env("BT_AXON_EXTERNAL_IP", PUBLISHED)
            .env("ADIT_DATA_DIR", self.path("data"))
            .env("ADIT_TRUST_ANCHORS_DIR", self.path("anchors"))
            .env("ADIT_EXTRA_TRUST_ANCHORS", &self.vouched)
            .env("MINER_OUTPUT_DIR", self.path("media"))
            .env("MINER_DAILY_BUDGET_USD", "20")
            .env("ADIT_ALLOWED_HOSTS", "127.0.0.1")
            .env("IMAGE_SERVICE", "openrouter")
            .env("VIDEO_SERVICE", "openrouter")
            .env("OPEN_ROUTER_API_KEY", "sk-or-secret")
            .env("ADIT_OPENROUTER_BASE_URL", self.providers.url(Service::OpenRouter));
    }

    pub(crate) fn gascli(&self, arguments: &[&str]) -> Command {
        let mut command = program("gascli");
        command.arg("generator").args(arguments);
        self.settle(&mut command);
        command
    }

    /// A miner that listens.
    pub(crate) fn serve(&self, change: impl FnOnce(&mut Command)) -> Miner {
        let mut command = self.gascli(&["serve"]);
        change(&mut command);
        Miner::listening(command)
    }

    /// A miner that does not start; what it says.
    fn refused(&self, change: impl FnOnce(&mut Command)) -> String {
        let mut command = self.gascli(&["serve"]);
        change(&mut command);
        let output = finish(&mut command);
        assert_eq!(output.status.code(), Some(1), "{}", shown(&output));
        assert!(!shown(&output).contains("sk-or-secret"), "{}", shown(&output));
        String::from_utf8(output.stderr).unwrap()
    }

    fn doctor(&self, chain: &str, port: &str, settings: &[(&str, &str)]) -> Said {
        let mut command = program("adit");
        command.args(["doctor", "gascli", "--json"]);
        self.settle(&mut command);
        command.env("BT_CHAIN_ENDPOINT", chain).env("BT_AXON_PORT", port).envs(settings.iter().copied());
        examine(&mut command)
    }

    /// The miner's tasks, while none of its miners runs.
    pub(crate) async fn tasks(&self) -> Store {
        let config = Config {
            database: Address::Sqlite(self.path("media/.gen_miner_state/tasks.db")),
            output_dir: self.path("media"),
            queue: 10,
            daily_budget: None,
            journal: None,
        };
        Store::open(config).await.unwrap()
    }
}

/// A request of a validator with nothing in it.
fn signed_get(from: &str, miner: &Keypair, address: SocketAddr, path: &str) -> (u16, Value) {
    let pair = Keypair::from_uri(&LocalChain::uri(from)).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let uuid = TaskId::new_v4().to_string();
    let nothing = Sha256::digest("").into();
    let headers = sign(&pair, &nothing, &uuid, u64::try_from(now).unwrap(), Some(&miner.hotkey())).unwrap();
    let headers: String =
        headers.iter().map(|(name, value)| format!("{name}: {}\r\n", value.to_str().unwrap())).collect();
    let request = format!("GET {path} HTTP/1.1\r\nHost: m\r\nConnection: close\r\n{headers}\r\n");
    let answer = exchange(address, request.as_bytes());
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    (status, serde_json::from_str(body).unwrap_or_default())
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn help_of_the_generators_commands() {
    for command in ["serve", "info", "rehearse", "deliveries", "redeliver"] {
        insta::assert_snapshot!(
            format!("help_of_generator_{command}"),
            shown(&run("gascli", &["generator", command, "--help"]))
        );
    }
}

/// Registered, published and read back, and validators let in by the stakes of the chain.
#[test]
fn a_miner_takes_its_place_on_a_real_chain_and_the_doctor_finds_each_fault() {
    let Some(chain) = LocalChain::start(&["--block-time", "12"]) else { return };
    let desk = Desk::new("//Miner//hot");
    let port = free_port();
    let mut miner = desk.serve(|command| {
        command.env("BT_CHAIN_ENDPOINT", chain.url()).env("BT_AXON_PORT", &port);
    });
    let own = Keypair::from_uri(&LocalChain::uri("//Miner//hot")).unwrap();
    let ask = |from| signed_get(from, &own, miner.address, "/miner_info");
    until("the stakes are never known", || ask("//ValidatorBig//hot").0 == 200);
    until("its uid is never known", || ask("//ValidatorBig//hot").1["uid"] == 4);
    let (status, refused) = ask("//ValidatorMid//hot");
    assert_eq!(
        (status, refused["detail"].as_str().unwrap().starts_with("Stake below minimum: ")),
        (401, true)
    );
    let (status, refused) = ask("//Stranger//hot");
    assert_eq!((status, &refused["detail"]), (401, &"Signer not in metagraph".into()));

    let published = |wallet| {
        let mut show = program("adit");
        show.args(["axon", "show", "--netuid", "34", "--json", "--network", chain.url()]);
        show.args(["--wallet.name", wallet]);
        let output = finish(show.env("BITTENSOR_WALLET_PATH", desk.path("wallets")));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["axon"].clone()
    };
    until("it is never published", || published("default")["ip"] == PUBLISHED);
    assert_eq!(published("default")["port"].to_string(), port);

    let doctor = |settings: &[(&str, &str)]| desk.doctor(chain.url(), &port, settings);
    let well = doctor(&[]);
    assert_eq!(well.code, Some(0), "{well:#?}");
    let not_passed: Vec<&str> =
        well.lines.iter().filter(|line| line.status != "PASS").map(|line| line.name.as_str()).collect();
    assert_eq!(not_passed, ["reachable"], "{well:#?}");
    assert!(well.line("pictures").found.contains("it takes the key"), "{well:#?}");

    doctor(&[("BT_AXON_PORTS", "1")]).blames(&well, "variables", "WARN", "`BT_AXON_PORT` is", "rename");
    doctor(&[("MINER_TASK_TIMEOUT", "soon")]).blames(
        &well,
        "configuration",
        "FAIL",
        "`MINER_TASK_TIMEOUT=soon` is not",
        "set MINER_TASK_TIMEOUT right",
    );
    doctor(&[("BT_WALLET_HOTKEY", "gone")]).blames(
        &well,
        "wallet",
        "FAIL",
        "there is no key file",
        "adit wallet list",
    );
    doctor(&[("BT_NETUID", "77")]).blames(&well, "registration", "FAIL", "77", "");
    doctor(&[("BT_CHAIN_ENDPOINT", "ws://127.0.0.1:9")]).blames(
        &well,
        "chain",
        "FAIL",
        "ws://127.0.0.1:9: ",
        "--network",
    );
    let said = doctor(&[("BT_CHAIN_ENDPOINT", "ws://127.0.0.1:9/test.finney")]);
    assert_eq!(said.faults(&well), ["network", "chain"]);
    assert_eq!(doctor(&[("OPEN_ROUTER_API_KEY", "")]).faults(&well), ["pictures", "videos"]);
    desk.providers.plant(Service::OpenRouter, Call::Account, Fault::WrongKey, 2);
    let said = doctor(&[]);
    assert_eq!(said.faults(&well), ["pictures", "videos"]);
    assert!(said.line("videos").found.contains("refuses the key OPEN_ROUTER_API_KEY"), "{said:#?}");
    assert!(!format!("{said:?}").contains("sk-or-secret"));
    doctor(&[("ADIT_TRUST_ANCHORS_DIR", "/nowhere"), ("ADIT_EXTRA_TRUST_ANCHORS", "")]).blames(
        &well,
        "trust anchors",
        "FAIL",
        "/nowhere",
        "trust-anchors update",
    );
    assert_eq!(doctor(&[("MINER_OUTPUT_DIR", "/proc")]).faults(&well), ["tasks", "disk"]);
    doctor(&[("MINER_DAILY_BUDGET_USD", "0")]).blames(&well, "budget", "FAIL", "until midnight", "raise");
    assert_eq!(desk.doctor(chain.url(), &free_port(), &[]).faults(&well), ["axon", "server"]);

    let (code, log) = miner.terminate();
    assert_eq!(code, Some(0), "{log:#?}");
    doctor(&[]).blames(&well, "server", "FAIL", "nothing answers", "gascli generator serve");

    // Behind a router somebody outside says which address is ours.
    let outside = desk.runtime.block_on(VideoHost::start()).unwrap();
    outside.serve("/ip", Reply::bytes(b"203.0.113.77\n".to_vec()));
    let own = adit_outbound::own_address().ok().filter(|ip| adit_outbound::not_public(*ip).is_none());
    let expected = own.map_or_else(|| "203.0.113.77".to_owned(), |ip| ip.to_string());
    desk.wallet("fleet", "//Fleet//0");
    let fleet = desk.serve(|command| {
        command
            .env("BT_CHAIN_ENDPOINT", chain.url())
            .env("BT_WALLET_NAME", "fleet")
            .env("BT_AXON_EXTERNAL_IP", "auto")
            .env("ADIT_PUBLIC_IP_URL", outside.url("/ip"));
    });
    until("what was said outside is never published", || published("fleet")["ip"] == *expected);
    assert_eq!(published("fleet")["port"], fleet.address.port());
    drop(fleet);

    // One that the chain does not know has nothing to mine, and says so.
    desk.wallet("stranger", "//Stranger//hot");
    let said = desk.refused(|command| {
        command.env("BT_CHAIN_ENDPOINT", chain.url()).env("BT_WALLET_NAME", "stranger");
    });
    assert!(
        said.contains("is not registered on subnet 34 of ws://") && said.contains("hint: register it"),
        "{said}"
    );
    let said = desk.refused(|command| {
        command.env("BT_CHAIN_ENDPOINT", chain.url()).env("BT_NETUID", "77");
    });
    assert!(said.contains("there is no subnet 77"), "{said}");
    assert_eq!(
        desk.doctor(chain.url(), &port, &[("BT_WALLET_NAME", "stranger")]).line("registration").status,
        "FAIL"
    );
}

#[test]
fn what_is_wrong_in_the_settings_is_said_before_anything_starts() {
    let desk = Desk::new("//Miner//hot");
    let with = |name: &str, value: &str| {
        desk.refused(|command| {
            command.env(name, value);
        })
    };
    for (name, value, words) in [
        ("BT_AXON_PORT", "80a", "`BT_AXON_PORT=80a` is not a port"),
        ("BT_AXON_EXTERNAL_IP", "home", "`BT_AXON_EXTERNAL_IP=home` is not an IP address"),
        ("MINER_MAX_CONCURRENT_TASKS", "0", "`MINER_MAX_CONCURRENT_TASKS=0` is not a whole number"),
        ("MINER_DAILY_BUDGET_USD", "much", "`MINER_DAILY_BUDGET_USD=much` is not an amount"),
        (
            "DATABASE_URL",
            "mysql://user:pass-word@host/x",
            "`DATABASE_URL`: the database's address is of no use",
        ),
        ("VIDEO_SERVICE", "stabilityai", "makes no video; openrouter does"),
        ("BT_WALLET_HOTKEY", "gone", "there is no key file"),
        ("BT_AXON_IP", "203.0.113.9", "cannot listen on 203.0.113.9:0"),
        ("MINER_OUTPUT_DIR", "/proc/media", "/proc/media"),
    ] {
        let said = with(name, value);
        assert!(said.contains(words) && said.contains("hint: ") && !said.contains("pass-word"), "{said}");
    }
    // The guide's own model has been shut down.
    let said = desk.refused(|command| {
        command.env("IMAGE_SERVICE", "openai").env("OPENAI_API_KEY", "sk-1");
    });
    assert!(said.contains("dall-e-3") && said.contains("hint: "), "{said}");

    let first = desk.serve(|_| {});
    let port = first.address.port().to_string();
    let taken = with("BT_AXON_PORT", &port);
    assert!(taken.contains("another program has this port: stop it, or set BT_AXON_PORT"), "{taken}");
    let two = with("BT_AXON_IP", "127.0.0.1");
    assert!(two.contains("another miner works with"), "{two}");
}

/// The guide's lines, and what stood in files for the programs before this one.
#[test]
fn a_file_of_the_guide_is_read_with_its_comments() {
    let desk = Desk::new("//Miner//hot");
    let template = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.env.gen_miner.template");
    let mut text = std::fs::read_to_string(template).unwrap();
    text.push_str(
        "IMAGE_SERVICE=openrouter    # openai, openrouter, stabilityai, or none\n\
         VIDEO_SERVICE=none    # openrouter or none\n\
         MINER_DEVICE=auto\nMINER_WORKER_THREADS=2\nMINER_MAX_CONCURENT_TASKS=3\nBT_LOGGING_LEVEL=INFO\n",
    );
    std::fs::write(desk.path(".env.gen_miner"), text).unwrap();
    let inner = desk.path("a/b");
    std::fs::create_dir_all(&inner).unwrap();
    let miner = desk.serve(|command| {
        command.current_dir(&inner);
        for name in
            ["ADIT_ENV_FILE", "IMAGE_SERVICE", "VIDEO_SERVICE", "MINER_OUTPUT_DIR", "OPEN_ROUTER_API_KEY"]
        {
            command.env_remove(name);
        }
        command.env("BT_WALLET_NAME", "default");
    });
    for words in [
        "WARNING: `MINER_MAX_CONCURENT_TASKS` is no setting; `MINER_MAX_CONCURRENT_TASKS` is",
        "WARNING: MINER_DEVICE: Deprecated",
        "WARNING: MINER_WORKER_THREADS: Deprecated",
        "WARNING: Pictures: requests are refused: `IMAGE_SERVICE=openrouter` needs `OPEN_ROUTER_API_KEY`",
        "INFO: Videos: none, requests are refused",
    ] {
        assert!(
            miner.started_with.iter().any(|line| line.contains(words)),
            "{words}: {:#?}",
            miner.started_with
        );
    }
    assert!(desk.path("miner_generated_content/.gen_miner_state/tasks.db").exists(), "beside the file");
}

#[test]
fn the_trust_anchors_are_fetched_at_the_first_start() {
    let Some(folder) = shared_folder("trust_anchors") else { return };
    let desk = Desk::new("//Miner//hot");
    let host = desk.runtime.block_on(VideoHost::start()).unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        host.serve(&format!("/anchors/{name}"), Reply::bytes(std::fs::read(&path).unwrap()));
    }
    let fetching = |command: &mut Command| {
        command
            .env("ADIT_TRUST_ANCHORS_DIR", desk.path("fetched"))
            .env("ADIT_TRUST_ANCHORS_URL", host.url("/anchors"))
            .env_remove("ADIT_EXTRA_TRUST_ANCHORS");
    };
    drop(desk.serve(fetching));
    assert!(desk.path("fetched/openai_truepic.pem").exists());
    let said = desk.refused(|command| {
        fetching(command);
        command
            .env("ADIT_TRUST_ANCHORS_URL", host.url("/nowhere"))
            .env("ADIT_TRUST_ANCHORS_DIR", desk.path("none"));
    });
    assert!(said.contains("the trust anchor ") && said.contains("hint: check the network"), "{said}");
}

#[test]
fn a_rehearsal_plays_both_generations_of_validators() {
    let output = run("gascli", &["generator", "rehearse", "--stand-in", "--era", "all", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
    let report: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report.len(), 4);
    for attempt in &report {
        assert_eq!(
            (&attempt["credited"], &attempt["state"]),
            (&true.into(), &"delivered".into()),
            "{attempt:#}"
        );
        assert_eq!(attempt["webhook"], serde_json::json!(["200 Binary content received"]));
        assert!(attempt["cost_usd"].as_f64().unwrap() > 0.0 && attempt["bytes"].as_u64().unwrap() > 1000);
    }
}

#[test]
fn a_rehearsal_with_paid_services_asks_first_and_says_what_a_validator_would_refuse() {
    let desk = Desk::new("//Miner//hot");
    let rehearse = |arguments: &[&str]| -> Output {
        finish(&mut desk.gascli(&[&["rehearse", "--modality", "image"], arguments].concat()))
    };
    let output = rehearse(&[]);
    let said = shown(&output);
    assert!(
        output.status.code() == Some(1) && said.contains("nobody to ask: 1 paid calls, about 0.134 USD"),
        "{said}"
    );
    let output = rehearse(&["--budget", "0.1", "--yes"]);
    assert!(shown(&output).contains("more than the budget of 0.10 USD"), "{}", shown(&output));
    assert_eq!(desk.providers.asked().len(), 0, "nothing was called");

    // The picture of the stand-in is unsigned.
    let kept = desk.path("kept");
    let output = rehearse(&["--yes", "--output", kept.to_str().unwrap()]);
    let said = shown(&output);
    assert!(
        output.status.code() == Some(1) && said.contains("0 of 1 would be credited; 0.134 USD spent"),
        "{said}"
    );
    assert!(said.contains("✗ image: openrouter: No C2PA manifest found"), "{said}");
    assert_eq!(std::fs::read_dir(kept.join("image")).unwrap().count(), 1);
    let journal = Reader::open(&desk.path("data").join(GENERATIVE)).unwrap();
    let told = journal.find(&Find::event("rehearsed")).unwrap();
    assert_eq!(told.len(), 1, "one of them was carried out");
    let told: Rehearsed = told[0].read().unwrap();
    assert_eq!((told.passed, told.asked_times, told.answered_times), (false, 1, 0));
    assert_eq!((told.target.as_str(), told.asked.as_str()), ("the services: openrouter", "image 1K"));
    assert!(told.detail.unwrap().starts_with("0.134 USD spent; openrouter: No C2PA manifest found"));
    let output = rehearse(&["--tier", "720p"]);
    assert!(shown(&output).contains("720p is no tier of images; those are 1K, 2K, 4K"), "{}", shown(&output));
}

#[test]
fn info_says_how_every_key_stands_and_prints_none() {
    let desk = Desk::new("//Miner//hot");
    let info = |change: fn(&mut Command)| {
        let mut command = desk.gascli(&["info"]);
        command.env("STABILITY_API_KEY", "sk-stable-secret").env("VIDEO_SERVICE", "runway");
        command.env("ADIT_STABILITY_BASE_URL", desk.providers.url(Service::StabilityAi));
        change(&mut command);
        let output = finish(&mut command);
        let said = shown(&output);
        assert!(output.status.success() && !said.contains("secret"), "{said}");
        said
    };
    desk.providers.plant(Service::StabilityAi, Call::Account, Fault::WrongKey, 1);
    let said = info(|_| {});
    for line in [
        "=== Generative Miner Configuration ===\nWallet Name: default\n",
        "NetUID: 34\n",
        "Pictures: ✅ openrouter (google/gemini-3-pro-image-preview)\n",
        "Videos: ❌ requests are refused: `VIDEO_SERVICE=runway` needs `RUNWAYML_API_KEY`, which is not set\n",
        "=== API Keys Status ===\nOpenAI (OPENAI_API_KEY): ❌ Not configured\n",
        "OpenRouter (OPEN_ROUTER_API_KEY): ✅ Configured, and the provider takes it\n",
        "Stability AI (STABILITY_API_KEY): ❌ Configured, but the provider refuses it: ",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let asked = desk.providers.asked().len();
    let said = info(|command| {
        command.arg("--offline");
    });
    assert!(said.contains("Stability AI (STABILITY_API_KEY): ✅ Configured\n"), "{said}");
    assert_eq!(desk.providers.asked().len(), asked, "nobody was asked");
}

#[test]
fn dead_letters_are_shown_and_sent_again() {
    let desk = Desk::new("//Miner//hot");
    let gascli = |arguments: &[&str]| finish(&mut desk.gascli(arguments));
    let none = gascli(&["deliveries"]);
    assert!(none.status.code() == Some(1) && shown(&none).contains("once `gascli generator serve` has run"));

    let (dead, waiting) = desk.runtime.block_on(async {
        let store = desk.tasks().await;
        let validator = Keypair::from_seed(&[7; 32]).hotkey().to_string();
        let request = || Request {
            prompt: "a lighthouse".to_owned(),
            parameters: Value::Null,
            webhook_url: "http://203.0.113.7/generative_callback?token=hidden".to_owned(),
        };
        let accept = |why| store.accept(Modality::Image, validator.clone(), request(), why);
        let dead = accept(Some("the provider said\n\u{1b}[31mno")).await.unwrap().id;
        let waiting = accept(None).await.unwrap().id;
        let mut claim = loop {
            match store.claim_delivery().await.unwrap() {
                Some(claim) => break claim,
                None => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        };
        store.apply(&mut claim, Event::Try).await.unwrap();
        let refused = Answer::Refused("status 400: Missing task-id header".to_owned());
        store.apply(&mut claim, Event::Answered(refused)).await.unwrap();
        store.close().await.unwrap();
        (dead, waiting)
    });
    let shown_dead = gascli(&["deliveries"]);
    let said = shown(&shown_dead);
    assert!(
        said.contains(&dead.to_string()) && said.contains("refused") && said.contains("status 400"),
        "{said}"
    );
    assert!(
        !said.contains(&waiting.to_string()) && !said.contains("hidden") && !said.contains('\u{1b}'),
        "{said}"
    );
    let all = gascli(&["deliveries", "--all", "--json"]);
    let all: Vec<Value> = serde_json::from_slice(&all.stdout).unwrap();
    assert_eq!(all.len(), 2);
    assert!(shown(&gascli(&["deliveries", "--state", "accepted"])).contains(&waiting.to_string()));
    let validators = gascli(&["deliveries", "--validators", "--json"]);
    let validators: Vec<Value> = serde_json::from_slice(&validators.stdout).unwrap();
    assert_eq!(validators[0]["tasks"], serde_json::json!({"accepted": 1, "refused": 1}));

    let again = gascli(&["redeliver", &dead.to_string()]);
    assert!(again.status.success() && shown(&again).contains("will be delivered again"), "{}", shown(&again));
    assert!(shown(&gascli(&["deliveries", "--state", "delivering"])).contains(&dead.to_string()));
    let journal = Reader::open(&desk.path("data").join(GENERATIVE)).unwrap();
    let step: TaskStep = journal.newest("task").unwrap().unwrap().read().unwrap();
    assert_eq!((step.step.as_str(), step.task), ("redeliver", dead.to_string()));
    let twice = gascli(&["redeliver", &waiting.to_string()]);
    assert!(twice.status.code() == Some(1) && shown(&twice).contains("hint: only what was refused"));
    let unknown = gascli(&["redeliver", &TaskId::new_v4().to_string()]);
    assert!(unknown.status.code() == Some(1) && shown(&unknown).contains("there is no task"));
    assert_eq!(gascli(&["redeliver", "all"]).status.code(), Some(2));
}
