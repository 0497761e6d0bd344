//! What a miner needs to run: a wallet, anchors, services, a validator; and the miner as a process.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use adit_generative::Modality;
use adit_generative::task::{Address, Ledger, State, Task, TaskId};
use adit_keys::{Overwrite, Protection, Secret, Wallet, WordCount};
use adit_provenance::TrustAnchors;
use adit_provenance::signing::{Authority, Claim, Signer};
use adit_stand_in::media::{MP4, PNG};
use adit_stand_in::providers::{Providers, Service};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::validator::Validator;
use crate::process::{Miner, program};

pub(super) struct Stage {
    pub(super) folder: TempDir,
    pub(super) providers: Providers,
    pub(super) validator: Validator,
    signer: Signer,
    vouched: String,
    /// Hashes of the media that the services have made.
    made: Mutex<HashSet<[u8; 32]>>,
    /// The miners that are up.
    up: Mutex<Vec<SocketAddr>>,
    log: Mutex<Vec<String>>,
}

/// A miner that runs. Killed when dropped.
pub(super) struct Running<'stage> {
    stage: &'stage Stage,
    miner: Miner,
}

impl Stage {
    pub(super) async fn new(seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let wallet = Wallet::new(folder.path().join("wallets"), "miner1", "default").unwrap();
        let secret = Secret::generate(WordCount::Twelve);
        wallet.store_hotkey(&secret, Protection::Plain, Overwrite::No).unwrap();
        let validator = Validator::start(secret.address(), seed).await;
        let stakes = serde_json::json!({ validator.hotkey().to_string(): 100_000.0 });
        std::fs::write(folder.path().join("stakes.json"), stakes.to_string()).unwrap();

        let authority = Authority::new("Test authority").unwrap();
        let anchors = folder.path().join("anchors");
        std::fs::create_dir(&anchors).unwrap();
        std::fs::write(anchors.join("own.pem"), authority.certificate()).unwrap();
        let own = TrustAnchors::default().trusting("own.pem", authority.certificate()).unwrap();
        let vouched = format!("own.pem@{}", own.iter().next().unwrap().fingerprint);
        let providers = Providers::start(PNG, MP4).await.unwrap();
        providers.delay(Duration::from_millis(300));
        let stage = Self {
            folder,
            providers,
            validator,
            signer: authority.signer("OpenAI").unwrap(),
            vouched,
            made: Mutex::default(),
            up: Mutex::default(),
            log: Mutex::default(),
        };
        stage.make_media();
        stage
    }

    /// Media that are signed now, for a validator takes none that are older than their task.
    pub(super) fn make_media(&self) {
        let sign = |file| self.signer.sign_bytes(&Claim::now("model"), file).unwrap();
        let (picture, clip) = (sign(PNG), sign(MP4));
        self.made
            .lock()
            .unwrap()
            .extend([&picture, &clip].map(|file| <[u8; 32]>::from(Sha256::digest(file))));
        self.providers.make(picture, clip);
    }

    pub(super) fn has_made(&self, sha256: &[u8; 32]) -> bool {
        self.made.lock().unwrap().contains(sha256)
    }

    /// Asks a miner that is up, if there is one.
    pub(super) async fn ask(&self, modality: Modality, prompt: String) {
        let up = {
            let mut up = self.up.lock().unwrap();
            if !up.is_empty() {
                up.rotate_left(1);
            }
            up.first().copied()
        };
        if let Some(miner) = up {
            self.validator.ask(miner, modality, prompt).await;
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn sqlite(&self, state: &str) -> Address {
        Address::Sqlite(self.path(state).join("tasks.db"))
    }

    /// Starts a miner with a folder for its state, which also has its media, unless a queue on PostgreSQL and a folder
    /// for media are named. Turn by turn it pays other services.
    pub(super) fn start(&self, state: &str, queue: Option<(&str, &str)>, turn: u32) -> Running<'_> {
        let mut command = program("gascli");
        command.args(["generator", "serve"]);
        let image = ["stabilityai", "openai"][turn as usize % 2];
        let video = ["openai", "runway"][turn as usize / 2 % 2];
        let media = queue.map_or_else(|| format!("{state}-media"), |(_, media)| media.to_owned());
        for (name, value) in [
            ("BT_WALLET_NAME", "miner1"),
            ("BT_WALLET_HOTKEY", "default"),
            ("BT_NETUID", "34"),
            ("BT_CHAIN_ENDPOINT", "ws://127.0.0.1:9"),
            ("BT_AXON_IP", "127.0.0.1"),
            ("BT_AXON_PORT", "0"),
            ("MINER_MAX_CONCURRENT_TASKS", "8"),
            ("MINER_TASK_TIMEOUT", "60"),
            ("ADIT_ALLOWED_HOSTS", "127.0.0.1"),
            ("ADIT_EXTRA_TRUST_ANCHORS", &self.vouched),
            ("IMAGE_SERVICE", image),
            ("VIDEO_SERVICE", video),
            ("OPENAI_API_KEY", "sk-test"),
            ("OPENAI_BASE_URL", &self.providers.url(Service::OpenAi)),
            ("STABILITY_API_KEY", "sk-test"),
            ("ADIT_STABILITY_BASE_URL", &self.providers.url(Service::StabilityAi)),
            ("RUNWAYML_API_KEY", "key_test"),
            ("RUNWAYML_BASE_URL", &self.providers.url(Service::Runway)),
        ] {
            command.env(name, value);
        }
        for (name, file) in [
            ("BT_WALLET_PATH", "wallets"),
            ("STAKE_TABLE_FILE", "stakes.json"),
            ("ADIT_TRUST_ANCHORS_DIR", "anchors"),
            ("MINER_STATE_DIR", state),
            ("MINER_OUTPUT_DIR", &media),
            ("ADIT_DATA_DIR", "data"),
        ] {
            command.env(name, self.path(file));
        }
        if let Some((url, _)) = queue {
            command.env("DATABASE_URL", url);
        }
        let miner = Miner::listening(command);
        self.up.lock().unwrap().push(miner.address);
        Running { stage: self, miner }
    }

    /// The tasks as a miner that was killed has left them. They are read from a copy: whoever opened the file itself
    /// would clean up after the miner.
    pub(super) async fn tasks_of_the_dead(&self, state: &str) -> Vec<Task> {
        let copy = tempfile::tempdir().unwrap();
        for name in ["tasks.db", "tasks.db-wal"] {
            let from = self.path(state).join(name);
            if from.exists() {
                std::fs::copy(from, copy.path().join(name)).unwrap();
            }
        }
        match Ledger::open(&Address::Sqlite(copy.path().join("tasks.db"))).await {
            Ok(ledger) => ledger.list(State::ALL, u32::MAX).await.unwrap(),
            // Killed before it had made the tables.
            Err(_) => Vec::new(),
        }
    }

    /// What the miners have logged of a task.
    pub(super) fn history(&self, id: TaskId) -> String {
        let id = id.to_string();
        let log = self.log.lock().unwrap();
        log.iter().filter(|line| line.contains(&id)).cloned().collect::<Vec<_>>().join("\n")
    }
}

impl Running<'_> {
    /// `kill -9`.
    pub(super) fn kill(&mut self) {
        self.down();
        self.miner.child.kill().unwrap();
        self.miner.child.wait().unwrap();
        self.stage.log.lock().unwrap().extend(self.miner.rest_of_log());
    }

    /// SIGTERM; its exit code.
    pub(super) fn terminate(&mut self) -> Option<i32> {
        self.down();
        let (code, log) = self.miner.terminate();
        self.stage.log.lock().unwrap().extend(log);
        code
    }

    fn down(&self) {
        self.stage.up.lock().unwrap().retain(|address| *address != self.miner.address);
    }
}
