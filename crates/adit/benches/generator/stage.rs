//! What a miner runs between: a wallet, an authority that signs media, a paid service, a validator; and how the two
//! servers are started.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use adit_auth::epistula;
use adit_generative::Modality;
use adit_keys::{Keypair, Overwrite, Protection, Secret, Wallet, WordCount};
use adit_provenance::TrustAnchors;
use adit_provenance::signing::{Authority, Claim, Signer};
use adit_stand_in::media::MP4;
use adit_stand_in::providers::{Providers, Service};
use anyhow::{Context as _, Result, ensure};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::process::{self, ServerCommand};
use crate::webhook::Webhook;

pub(crate) const PROMPT: &str = "a lighthouse at dusk";

/// The folder of a server's tasks, in its own.
pub(crate) const TASKS: &str = "tasks";

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Peer,
    Ours,
}

pub(crate) struct Stage {
    folder: TempDir,
    validator: Keypair,
    miner: Secret,
    pub(crate) signer: Signer,
    vouched: String,
    pub(crate) providers: Providers,
    pub(crate) webhook: Webhook,
}

impl Stage {
    /// With a service that makes this picture, signed.
    pub(crate) async fn set(picture: &[u8]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = |name: &str| folder.path().join(name);
        let miner = Secret::generate(WordCount::Twelve);
        let wallet = Wallet::new(path("wallets"), "miner1", "default")?;
        wallet.store_hotkey(&miner, Protection::Plain, Overwrite::No)?;
        let validator = Keypair::generate();
        std::fs::write(path("stakes.json"), format!("{{\"{}\": 50000.0}}", validator.hotkey()))?;

        let authority = Authority::new("Bench")?;
        std::fs::create_dir(path("anchors"))?;
        std::fs::write(path("anchors/own.pem"), authority.certificate())?;
        let trusted = TrustAnchors::default().trusting("own.pem", authority.certificate())?;
        let print = trusted.iter().next().context("a certificate")?.fingerprint;
        let signer = authority.signer("OpenAI")?;
        let sign = |file| signer.sign_bytes(&Claim::now("bench"), file);
        let providers = Providers::start(sign(picture)?, sign(MP4)?).await?;
        providers.polls(0);
        Ok(Self {
            validator,
            miner,
            signer,
            vouched: format!("own.pem@{print}"),
            providers,
            webhook: Webhook::start().await?,
            folder,
        })
    }

    /// A server with a folder of this name for what it keeps and logs.
    pub(crate) fn command(&self, side: Side, name: &str) -> Result<ServerCommand> {
        let folder = self.folder.path().join(format!("{side:?}-{name}"));
        std::fs::create_dir_all(&folder)?;
        let port = process::free_port()?;
        let mut environment = vec![
            ("BT_AXON_PORT", port.to_string()),
            ("STAKE_TABLE_FILE", self.path("stakes.json")),
            ("ADIT_STABILITY_BASE_URL", self.providers.url(Service::StabilityAi)),
            ("MINER_STATE_DIR", folder.join(TASKS).display().to_string()),
        ];
        let (program, arguments) = match side {
            Side::Ours => {
                environment.extend(self.settings());
                environment.push(("MINER_OUTPUT_DIR", folder.join("media").display().to_string()));
                (env!("CARGO_BIN_EXE_gascli").into(), ["generator", "serve"].map(str::to_owned).to_vec())
            }
            Side::Peer => {
                environment.push(("ADIT_HOTKEY", self.miner.address().to_string()));
                let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../benches/peer/generator.py");
                (peer_python()?, vec![script.to_owned()])
            }
        };
        let environment = environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Ok(ServerCommand { program, arguments, folder, port, environment })
    }

    /// The chain is away: for what is measured it is not needed.
    fn settings(&self) -> Vec<(&'static str, String)> {
        let mut settings = vec![
            ("BT_WALLET_PATH", self.path("wallets")),
            ("ADIT_TRUST_ANCHORS_DIR", self.path("anchors")),
            ("ADIT_EXTRA_TRUST_ANCHORS", self.vouched.clone()),
            ("RUNWAYML_BASE_URL", self.providers.url(Service::Runway)),
        ];
        let fixed = [
            ("BT_WALLET_NAME", "miner1"),
            ("BT_WALLET_HOTKEY", "default"),
            ("BT_NETUID", "34"),
            ("BT_CHAIN_ENDPOINT", "ws://127.0.0.1:9"),
            ("BT_AXON_IP", "127.0.0.1"),
            ("ADIT_ALLOWED_HOSTS", "127.0.0.1"),
            ("ADIT_NONCE_CAPACITY", "1000000"),
            ("ADIT_TASK_QUEUE", "1000000"),
            ("MINER_MAX_CONCURRENT_TASKS", "5"),
            ("MINER_TASK_TIMEOUT", "7200"),
            ("IMAGE_SERVICE", "stabilityai"),
            ("VIDEO_SERVICE", "runway"),
            ("STABILITY_API_KEY", "sk-bench"),
            ("RUNWAYML_API_KEY", "key_bench"),
        ];
        settings.extend(fixed.map(|(name, value)| (name, value.to_owned())));
        settings
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// `count` requests with uuids of their own, signed now: they have to be sent within 15 s.
    pub(crate) fn requests(&self, modality: Modality, count: usize) -> Result<Vec<Vec<u8>>> {
        let body = format!(r#"{{"prompt":"{PROMPT}","parameters":null}}"#);
        let sha256 = Sha256::digest(&body).into();
        let miner = self.miner.address();
        let head = format!(
            "POST /gen_{modality} HTTP/1.1\r\nHost: miner\r\nContent-Type: application/json\r\nX-Webhook-URL: {}\r\n\
             Content-Length: {}\r\n",
            self.webhook.url,
            body.len()
        );
        let request = |number: usize| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
            let uuid = format!("{:08x}-0000-4000-8000-{number:012x}", now.subsec_nanos());
            let now = u64::try_from(now.as_millis())?;
            let headers = epistula::sign(&self.validator, &sha256, &uuid, now, Some(&miner))?;
            let mut bytes = head.clone().into_bytes();
            for (name, value) in &headers {
                bytes.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
            }
            bytes.extend([b"\r\n", body.as_bytes()].concat());
            Ok(bytes)
        };
        (0..count).map(request).collect()
    }
}

fn peer_python() -> Result<PathBuf> {
    let python = PathBuf::from(std::env::var_os("PEER_PYTHON").unwrap_or_default());
    ensure!(
        python.is_file(),
        "the peer's Python is not there: run `make bench`, which installs it and names it in PEER_PYTHON"
    );
    Ok(python)
}
