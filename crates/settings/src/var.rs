//! The declarations. One constant a variable, in the order in which `env.example` shows them.

/// A variable's place in `env.example` and in the reference page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// Bittensor wallet, network and subnet.
    Wallet,
    /// The accounts that a Turbo Vision miner has.
    OpenMiner,
    /// The private-track miner of subnet 44.
    PrivateMiner,
    /// The operator's own private image repository.
    DockerHub,
    /// What the guide calls fiber security: chain and stake.
    FiberSecurity,
    /// The two security switches.
    Toggles,
    /// Subnet 34's generative miner.
    Generator,
    /// The paid services that it calls.
    Services,
    /// How a Turbo Vision miner is deployed and rehearsed.
    TurboVision,
    /// Adit's own: limits, predictor, logging.
    Adit,
}

impl Section {
    /// Every section in the order of `env.example`, and then of `.env.gen_miner.template`.
    pub const ALL: [Self; 10] = [
        Self::Wallet,
        Self::OpenMiner,
        Self::PrivateMiner,
        Self::DockerHub,
        Self::FiberSecurity,
        Self::Toggles,
        Self::TurboVision,
        Self::Adit,
        Self::Generator,
        Self::Services,
    ];

    /// The heading a person reads.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Wallet => "💰 Bittensor Wallet Configuration",
            Self::OpenMiner => "🤖 Chutes & Hugging Face Integration",
            Self::PrivateMiner => "⛏️ PRIVATE TRACK MINER",
            Self::DockerHub => "DockerHub - miners use their own private repo",
            Self::FiberSecurity => "Fiber security",
            Self::Toggles => "Security toggles (default: true)",
            Self::Generator => "Generative miner (subnet 34)",
            Self::Services => "Generation services (subnet 34)",
            Self::TurboVision => "Turbo Vision (every one optional)",
            Self::Adit => "Adit (every one optional)",
        }
    }
}

/// How `env.example` shows a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Example {
    /// `NAME=value`.
    Set(&'static str),
    /// `# NAME=value`, for what few operators change.
    Commented(&'static str),
}

/// One environment variable.
#[derive(Debug)]
pub struct Var {
    /// The name that the guides use, or the most common of several.
    pub name: &'static str,
    /// Other names with the same meaning, tried after `name` in this order.
    pub aliases: &'static [&'static str],
    /// What holds when nobody sets it.
    pub default: Option<&'static str>,
    /// Its line in `env.example`.
    pub example: Example,
    /// Where it is listed.
    pub section: Section,
    /// True where the value must never be printed or handed to a child process.
    pub secret: bool,
    /// What it does, with its unit and range.
    pub help: &'static str,
}

const fn public(name: &'static str, section: Section, example: Example, help: &'static str) -> Var {
    Var { name, aliases: &[], default: None, example, section, secret: false, help }
}

impl Var {
    const fn or(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    const fn also(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// `name` and then the aliases.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }
}

use Example::{Commented, Set};
use Section::{
    Adit, DockerHub, FiberSecurity, Generator, OpenMiner, PrivateMiner, Services, Toggles, TurboVision,
    Wallet,
};

macro_rules! declare {
    ($($constant:ident = $var:expr;)*) => {
        $(#[doc = concat!("`", stringify!($constant), "`: see its `help`.")]
        pub static $constant: Var = $var;)*
        /// Every variable, in the order of the sections.
        pub static ALL: &[&Var] = &[$(&$constant),*];
    };
}

declare! {
    WALLET_NAME = public("BITTENSOR_WALLET_COLD", Wallet, Set("default"),
        "Name of the wallet directory (the coldkey's name).")
        .also(&["COLDKEY", "WALLET_NAME", "BT_WALLET_NAME"]).or("default");
    HOTKEY_NAME = public("BITTENSOR_WALLET_HOT", Wallet, Set("default"),
        "Name of the hotkey file inside the wallet directory.")
        .also(&["HOTKEY", "HOTKEY_NAME", "BT_WALLET_HOTKEY"]).or("default");
    WALLET_PATH = public("BITTENSOR_WALLET_PATH", Wallet, Commented("~/.bittensor/wallets  # Optional: Override wallet path"),
        "Directory that holds the wallets.")
        .also(&["BT_WALLET_PATH", "WALLET_PATH"]).or("~/.bittensor/wallets");
    NETUID = public("SCOREVISION_NETUID", Wallet, Set("44"),
        "Subnet number, 0 to 65535.").also(&["NETUID"]).or("44");
    SUBTENSOR_ENDPOINT = public("BITTENSOR_SUBTENSOR_ENDPOINT", Wallet, Set("test"),
        "Network name (finney, test, local) or websocket URL for commands that ask the chain or write to it.").or("finney");
    SUBTENSOR_FALLBACK = public("BITTENSOR_SUBTENSOR_FALLBACK", Wallet, Set("wss://test.finney.opentensor.ai:443"),
        "Network name or websocket URL that those commands use when the endpoint does not answer. A node of another chain is noticed and not used.");

    CHUTES_API_KEY = public("CHUTES_API_KEY", OpenMiner, Set("cpk_xx.x.x"),
        "API key of chutes.ai, of an account that may deploy.").secret();
    CHUTES_USERNAME = public("CHUTES_USERNAME", OpenMiner, Set("xx"),
        "The account's name at chutes.ai.");
    HF_USER = public("HF_USER", OpenMiner, Set("Your_hf_user"),
        "The account's name at Hugging Face; models go to its repository ScoreVision.").also(&["HUGGINGFACE_USERNAME"]);
    HF_TOKEN = public("HF_TOKEN", OpenMiner, Set("hf_xxx"),
        "Access token of Hugging Face that may write.").also(&["HUGGINGFACE_API_KEY"]).secret();
    CHUTES_HF_TOKEN = public("CHUTES_HF_TOKEN", OpenMiner, Commented("hf_xxx"),
        "Access token of Hugging Face that may only read: the chute gets it, as its secret HF_TOKEN, to fetch the model while the repository is private.").secret();

    MINER_PORT = public("MINER_PORT", PrivateMiner, Set("8000"),
        "TCP port that the miner listens on, 1 to 65535; 0 takes a free one.").or("8000");
    MINER_MODE = public("MINER_MODE", PrivateMiner, Commented("soccer_action"),
        "What a `video_url` challenge asks for: soccer_action or cricket_delivery. No field of a challenge says it.").or("soccer_action");
    SPOTCHECK_MODE = public("SPOTCHECK_MODE", PrivateMiner, Commented("false"),
        "Set by Score's spot check: lets the clip come from the cluster's `video-proxy` and gives a challenge 110 s. Both security toggles off mean the same.").or("false");
    MANIFEST_INDEX = public("URL_MANIFEST", PrivateMiner, Commented("https://turbo.scoredata.me/manifest/index.json"),
        "URL of the index of Score's Manifests, which say what elements there are.").or("https://turbo.scoredata.me/manifest/index.json");
    MANIFEST_FILE = public("SCOREVISION_MANIFEST_PATH", PrivateMiner, Commented("manifest.yaml"),
        "A local Manifest (YAML or JSON) in place of the published one.").also(&["SV_MANIFEST_PATH"]);

    DOCKERHUB_USERNAME = public("DOCKERHUB_USERNAME", DockerHub, Set("your-dockerhub-username"),
        "Docker Hub account that owns the image repository.");
    DOCKERHUB_TOKEN = public("DOCKERHUB_TOKEN", DockerHub, Set("your-access-token"),
        "Docker Hub access token with read, write and delete permission.").secret();
    DOCKERHUB_REPO = public("DOCKERHUB_REPO", DockerHub, Set("pt-solution  # Your private repo name (default: pt-solution)"),
        "Name of the private image repository.").or("pt-solution");
    COLLABORATOR = public("ADIT_COLLABORATOR", DockerHub, Commented("scorevision"),
        "Score's account, which is given read access to the image: `scorevision` in the guide, `mikhaelscore` in some later code; on GHCR DataAndMike unless set.").or("scorevision");
    REGISTRY = public("ADIT_REGISTRY", DockerHub, Commented("dockerhub"),
        "Where the image is pushed: dockerhub, ghcr (GitHub's registry, Score's choice since March 2026) or the host:port of another registry.").or("dockerhub");
    GITHUB_USERNAME = public("GITHUB_USERNAME", DockerHub, Commented("your-github-username"),
        "GitHub account that owns the image repository, for ghcr.");
    GITHUB_TOKEN = public("GITHUB_TOKEN", DockerHub, Commented("your-github-token"),
        "GitHub access token (classic) with the scope write:packages, for ghcr.").secret();
    GHCR_REPO = public("GHCR_REPO", DockerHub, Commented("pt-solution"),
        "Name of the private image repository on ghcr.").or("pt-solution");
    REGISTRY_USERNAME = public("ADIT_REGISTRY_USERNAME", DockerHub, Commented("me"),
        "Account on a registry that is named by its host:port.");
    REGISTRY_TOKEN = public("ADIT_REGISTRY_TOKEN", DockerHub, Commented("a-token"),
        "Token or password of that account.").secret();
    PLAIN_REGISTRIES = public("ADIT_PLAIN_HTTP_REGISTRIES", DockerHub, Commented("registry.internal:5000"),
        "Registries that are spoken to by plain http, each as host:port, separated by commas. Docker needs them as insecure-registries too. Those on this machine need no mention.");
    DOCKERHUB_API = public("ADIT_DOCKERHUB_API", DockerHub, Commented("https://hub.docker.com"),
        "Base URL of Docker Hub's web API.").or("https://hub.docker.com");
    DOCKERHUB_REGISTRY = public("ADIT_DOCKERHUB_REGISTRY", DockerHub, Commented("docker.io"),
        "Registry that Docker Hub's images are pushed to.").or("docker.io");
    GHCR_REGISTRY = public("ADIT_GHCR_REGISTRY", DockerHub, Commented("ghcr.io"),
        "Registry that ghcr's images are pushed to.").or("ghcr.io");
    DOCKER_HOST = public("DOCKER_HOST", DockerHub, Commented("unix:///var/run/docker.sock"),
        "The Docker engine, or Podman's socket. Default: the first of their usual sockets that is there.");
    GPUS = public("ADIT_GPUS", DockerHub, Commented("auto"),
        "GPUs of the started container: all, none, or auto (all where the engine has NVIDIA's runtime).").or("auto");

    SUBTENSOR_NETWORK = public("SUBTENSOR_NETWORK", FiberSecurity, Set("finney"),
        "Network whose metagraph gives the stakes to the stake gate: finney, test or local.").or("finney");
    SUBTENSOR_ADDRESS = public("SUBTENSOR_ADDRESS", FiberSecurity, Commented("wss://entrypoint-finney.opentensor.ai:443"),
        "Websocket URL of the node that gives the stakes; wins over SUBTENSOR_NETWORK.");
    MIN_STAKE_THRESHOLD = public("MIN_STAKE_THRESHOLD", FiberSecurity, Set("1000"),
        "Least stake of a caller, in the chain's combined stake units (TAO); equal passes.").or("1000");

    BLACKLIST_ENABLED = public("BLACKLIST_ENABLED", Toggles, Set("true"),
        "Stake gate. On only for exactly true, 1 or yes in any case.").or("true");
    VERIFY_ENABLED = public("VERIFY_ENABLED", Toggles, Set("true"),
        "Signature check. On only for exactly true, 1 or yes in any case.").or("true");

    HOTKEY_ADDRESS = public("ADIT_HOTKEY", Adit, Commented("5…"),
        "The miner's own hotkey as an ss58 address. With it no wallet file is needed: checking a signature takes no secret.");
    WALLET_PASSWORD_FILE = public("ADIT_WALLET_PASSWORD_FILE", Adit, Commented("/run/secrets/wallet-password"),
        "File whose one line is the password of an encrypted key file. btcli's BT_PW_ variable of that key file wins.");
    DATA_FOLDER = public("ADIT_DATA_DIR", Adit, Commented("~/.local/share/adit"),
        "Directory for what Adit keeps between runs, such as the last good stake table and the record of challenges.").or("~/.local/share/adit");
    PROCESS_NAME = public("ADIT_PROCESS_NAME", Adit, Commented("miner2"),
        "What `start` calls the miner, and `stop`, `status` and the others look for: needed only where one user runs several. Default: bitmind-generative-miner (gascli), private-track-miner (sv).");
    TRUST_ANCHORS_FOLDER = public("ADIT_TRUST_ANCHORS_DIR", Adit, Commented("~/.local/share/adit/trust-anchors"),
        "Directory of the certificates that subnet 34's validators trust. Default: trust-anchors in ADIT_DATA_DIR.");
    TRUST_ANCHORS_URL = public("ADIT_TRUST_ANCHORS_URL", Adit, Commented("https://raw.githubusercontent.com/BitMind-AI/bitmind-subnet/main/gas/verification/trust_anchors"),
        "Where `gascli generator trust-anchors update` fetches those files from: the URL of a directory. What does not match its pinned fingerprint is refused wherever it comes from.")
        .or("https://raw.githubusercontent.com/BitMind-AI/bitmind-subnet/main/gas/verification/trust_anchors");
    EXTRA_TRUST_ANCHORS = public("ADIT_EXTRA_TRUST_ANCHORS", Adit, Commented("new_service.pem@2cabeafe37d06ca22aba7391c0033d25982952c453647349763a3ab5ad6ccf69"),
        "Trust anchors beside those that Adit pins: FILE@FINGERPRINT entries, separated by commas. FILE is a PEM file, a relative path meant from the directory of the others; FINGERPRINT the SHA-256 of a certificate in it, 64 hex digits. A file with several certificates is named once for each.");
    JOURNAL_BYTES = public("ADIT_JOURNAL_BYTES", Adit, Commented("67108864"),
        "Most bytes of a miner's journal in ADIT_DATA_DIR (private-track.sqlite, generative.sqlite, turbo-vision.sqlite), where what happened to it is recorded: 1048576 to 1099511627776, or 0 for no record. Challenges that nobody signed (VERIFY_ENABLED off) are not recorded, and nothing is in spot-check mode.").or("67108864");
    JOURNAL_DAYS = public("ADIT_JOURNAL_DAYS", Adit, Commented("30"),
        "Age in days from which entries of a journal are dropped, 1 to 3650. Their sums by the hour are kept for 400 days.").or("30");
    DASHBOARD_LISTEN = public("ADIT_DASHBOARD_LISTEN", Adit, Commented("127.0.0.1:8700"),
        "Address and port of the operator's page (`adit dashboard`). Beyond this host's own addresses nothing of it is shown without the token, and it speaks plain HTTP: put TLS before it.").or("127.0.0.1:8700");
    DASHBOARD_TOKEN = public("ADIT_DASHBOARD_TOKEN", Adit, Commented("openssl rand -hex 32"),
        "Token that opens the operator's page and its buttons: 16 to 256 letters, digits and `-._~`. Default: one that is made once and kept in dashboard.token in ADIT_DATA_DIR.").secret();
    ALERTS_FILE = public("ADIT_ALERTS", Adit, Commented("alerts.toml"),
        "File of the alerts' rules. Default: alerts.toml in ADIT_DATA_DIR where there is one, else the rules that `adit alerts show` prints.");
    ALERT_WEBHOOK = public("ADIT_ALERT_WEBHOOK", Adit, Commented("https://discord.com/api/webhooks/…"),
        "Where alerts are posted while `adit dashboard` runs. Its host decides the form: Discord's, Slack's, else plain JSON; alerts.toml can say otherwise. Empty: alerts are only shown.").secret();
    OTLP_ENDPOINT = public("OTEL_EXPORTER_OTLP_ENDPOINT", Adit, Commented("http://127.0.0.1:4318"),
        "Base URL of an OpenTelemetry collector that takes OTLP over HTTP with protobuf: the spans of each challenge and task go there. Empty: none are made.");
    OTLP_HEADERS = public("OTEL_EXPORTER_OTLP_HEADERS", Adit, Commented("authorization=Bearer%20…"),
        "Headers for that collector, key=value with commas between them, values percent-encoded.").secret();
    OTLP_SERVICE = public("OTEL_SERVICE_NAME", Adit, Commented("adit-miner1"),
        "What spans are filed under. Default: adit-private-track or adit-generative.");
    IMAGE = public("ADIT_IMAGE", Adit, Commented("docker.io/you/pt-solution@sha256:…"),
        "Set by `sv deploy-pt-miner`: the image that runs, recorded with each answer.");
    RUN_AS = public("ADIT_RUN_AS", Adit, Commented("10001:10001"),
        "User and group, as numbers uid:gid, that `sv serve` becomes where root starts it, once it has read the hotkey's address. The image sets it; empty: it stays root.");
    STAKE_TABLE_FILE = public("STAKE_TABLE_FILE", Adit, Commented("nodes.json"),
        "JSON file with the stakes, in place of the chain's: {\"<ss58>\": stake} or fiber's nodes.json. Read at start and again when it changes.");
    STAKE_REFRESH_SECONDS = public("ADIT_STAKE_REFRESH_SECONDS", Adit, Commented("300"),
        "How often the stakes are read from the chain, in seconds, 1 to 86400.").or("300");
    STAKES_UNKNOWN = public("ADIT_STAKES_UNKNOWN", Adit, Commented("closed"),
        "What the stake gate does while no stakes were ever read, neither from the chain nor from a copy on disk: closed (refuses everybody) or open (lets everybody through to the signature check).").or("closed");
    STAKE_TABLE_MAX_AGE = public("STAKE_TABLE_MAX_AGE_SECONDS", Adit, Commented("3600"),
        "Age in seconds from which /health calls the stake table stale. Callers are still judged by the last good table.").or("3600");
    DIALECTS = public("ADIT_DIALECTS", Adit, Commented("fiber,score"),
        "Signed message forms that are accepted. The score form does not cover the miner's hotkey, so another miner could replay it here within 120 s; `fiber` alone closes that.").or("fiber,score");
    NONCE_CAPACITY = public("ADIT_NONCE_CAPACITY", Adit, Commented("262144"),
        "Most nonces remembered at once (each for 240 s). When full, requests get 503; nothing is evicted early.").or("262144");
    ALLOWED_HOSTS = public("ADIT_ALLOWED_HOSTS", Adit, Commented("10.0.0.0/8, media.internal"),
        "Host names and networks inside the operator's own network from which clips and generated media may be fetched. Empty: public addresses only.");
    MAX_BODY_BYTES = public("ADIT_MAX_BODY_BYTES", Adit, Commented("8388608"),
        "Largest request body in bytes. Challenges have about 200; only pictures sent inline need more.").or("8388608");
    MAX_CLIP_BYTES = public("ADIT_MAX_CLIP_BYTES", Adit, Commented("1073741824"),
        "Largest clip in bytes.").or("1073741824");
    DEADLINE_SECONDS = public("ADIT_DEADLINE_SECONDS", Adit, Commented("28"),
        "Time for one challenge in seconds. Default: 28 (validators wait 30), 110 in spot-check mode (the check waits 120).");
    CONCURRENCY = public("ADIT_CONCURRENCY", Adit, Commented("2"),
        "Challenges worked on at once.").or("2");
    QUEUE = public("ADIT_QUEUE", Adit, Commented("8"),
        "Challenges that may wait for a turn; more get 503.").or("8");
    PREDICTOR = public("ADIT_PREDICTOR", Adit, Commented("auto"),
        "auto (ADIT_MODEL where it is set, else the worker of ADIT_WORKER_COMMAND or of the predictor.py that is found, else baseline), model, worker or baseline (`pass` at every 25th frame).").or("auto");
    PREDICTOR_FILE = public("ADIT_PREDICTOR_FILE", Adit, Commented("scorevision/miner/private_track/predictor.py"),
        "The Python file with `predict_actions`. Default: that path in the working directory, a parent of it, or a parent of the program.");
    PYTHON = public("ADIT_PYTHON", Adit, Commented("python3"),
        "Python interpreter for predictor.py. Default: the one of the virtual environment that sv is installed in, else python3.");
    ONNX_RUNTIME = public("ORT_DYLIB_PATH", Adit, Commented("/usr/lib/libonnxruntime.so"),
        "ONNX Runtime's library. Default: beside the program, else that of the package onnxruntime in the virtual environment of ADIT_PYTHON.");
    MODEL = public("ADIT_MODEL", Adit, Commented("scorevision/miner/private_track/model"),
        "The folder of a model in ONNX, with its model.toml: it answers without Python and without a worker; see docs/models.md.");
    ONNX_PROVIDERS = public("ADIT_ONNX_PROVIDERS", Adit, Commented("cuda,cpu"),
        "What computes in ONNX Runtime: the first of cpu, cuda and tensorrt in this list that is there. A list without cpu refuses to start where no GPU is usable; with cpu as its last it goes on without, and says so.").or("cpu");
    ONNX_THREADS = public("ADIT_ONNX_THREADS", Adit, Commented("4"),
        "Threads of ONNX Runtime for one run on the processor. Default: one a core.");
    MODEL_SERVERS = public("ADIT_MODEL_SERVERS", Adit, Commented("grpc://10.0.0.2:8001/spotter,grpc://10.0.0.3:8001/spotter"),
        "Servers of the Open Inference Protocol that run the model of ADIT_MODEL instead of this host, each as http(s)://HOST:PORT/v2/models/NAME or grpc(s)://HOST:PORT/NAME; see docs/many-hosts.md.");
    MODEL_SERVER_TOKEN = public("ADIT_MODEL_SERVER_TOKEN", Adit, Commented(""),
        "Token that the servers of ADIT_MODEL_SERVERS ask for; each of them is sent it, as Authorization: Bearer.").secret();
    MODEL_SERVER_SECONDS = public("ADIT_MODEL_SERVER_SECONDS", Adit, Commented("10"),
        "Longest wait for the answer of one model server to one call, in seconds, 1 to 600; then another one is asked.").or("10");
    WORKER_COMMAND = public("ADIT_WORKER_COMMAND", Adit, Commented("./my-model --serve"),
        "A worker in any language instead of predictor.py: program and arguments, split at blanks; see docs/worker-protocol.md.");
    WORKERS = public("ADIT_WORKERS", Adit, Commented("1"),
        "Warm worker processes.").or("1");
    WORKER_START_SECONDS = public("ADIT_WORKER_START_SECONDS", Adit, Commented("300"),
        "Time in seconds that a worker may take to load its model before it is started again. The spot check waits about 300.").or("300");
    WORKER_ENV = public("ADIT_WORKER_ENV", Adit, Commented("MY_MODEL_DIR,MY_FLAG"),
        "Names of further variables that workers may see. They get no others than the usual ones (PATH, HOME, CUDA_*, …).");
    WORKER_GPUS = public("ADIT_WORKER_GPUS", Adit, Commented("0,1"),
        "GPUs for the workers, one each by CUDA_VISIBLE_DEVICES: numbers or UUIDs as nvidia-smi -L lists them, or none. More workers than GPUs share them in turn. Default: each sees what the miner sees.");
    WORKER_RECYCLE = public("ADIT_WORKER_RECYCLE", Adit, Commented("1000"),
        "After how many answers a worker is ended and a fresh one loads its model; 0 for never. One at a time; with a single worker, challenges wait meanwhile.").or("0");
    FFMPEG = public("ADIT_FFMPEG", Adit, Commented("/usr/bin/ffmpeg"),
        "The ffmpeg program, version 5 or newer.").or("ffmpeg");
    ENV_FILE = public("ADIT_ENV_FILE", Adit, Commented("/etc/adit/miner.env"),
        "A file to read instead of the nearest .env; only the process environment can name it.");
    LOG = public("ADIT_LOG", Adit, Commented("info"),
        "Log level: error, warn, info, debug or trace.").or("info");

    CHUTE_TEMPLATES = public("PATH_CHUTE_TEMPLATES", TurboVision, Commented("scorevision/chute_template"),
        "Folder with the chute template. Default: that path in the working directory, a parent of it, or a parent of the program.");
    CHUTE_MAIN = public("FILENAME_CHUTE_MAIN", TurboVision, Commented("chute.py.j2"),
        "The template's main file, which the others are pasted into.").or("chute.py.j2");
    CHUTE_SCHEMAS = public("FILENAME_CHUTE_SCHEMAS", TurboVision, Commented("schemas.py"),
        "The template's file with the documents that go in and out.").or("schemas.py");
    CHUTE_SETUP = public("FILENAME_CHUTE_SETUP_UTILS", TurboVision, Commented("setup.py"),
        "The template's file with the image and what it runs on.").or("setup.py");
    CHUTE_LOAD = public("FILENAME_CHUTE_LOAD_UTILS", TurboVision, Commented("load.py"),
        "The template's file that loads the model.").or("load.py");
    CHUTE_PREDICT = public("FILENAME_CHUTE_PREDICT_UTILS", TurboVision, Commented("predict.py"),
        "The template's file that answers challenges.").or("predict.py");
    CHUTES_ENDPOINT = public("CHUTES_MINERS_ENDPOINT", TurboVision, Commented("https://api.chutes.ai"),
        "Base URL of Chutes' API.").also(&["CHUTES_API_URL"]).or("https://api.chutes.ai");
    CHUTE_BASE_URL = public("CHUTES_MINER_BASE_URL_TEMPLATE", TurboVision, Commented("https://{slug}.chutes.ai"),
        "Base URL of a chute; {slug} stands for its slug.").or("https://{slug}.chutes.ai");
    CHUTE_PREDICT_PATH = public("CHUTES_MINER_PREDICT_ENDPOINT", TurboVision, Commented("predict"),
        "Path at which a chute answers challenges; goes into the guide's script too. The published template has no other than predict.").or("predict");
    CHUTES_CONFIG = public("CHUTES_CONFIG_PATH", TurboVision, Commented("~/.chutes/config.ini"),
        "The file that `sv chutes register` and `chutes register` write. The chutes program signs in with it, and so does Adit at the API where CHUTES_API_KEY is not set; a chute itself answers to the key only.").or("~/.chutes/config.ini");
    CHUTES_PROGRAM = public("ADIT_CHUTES", TurboVision, Commented("chutes"),
        "The chutes program, which builds and deploys (pip install -U chutes): its path, or its name in PATH.").or("chutes");
    HF_ENDPOINT = public("HF_ENDPOINT", TurboVision, Commented("https://huggingface.co"),
        "Base URL of Hugging Face.").or("https://huggingface.co");
    HF_CONCURRENCY = public("HUGGINGFACE_CONCURRENCY", TurboVision, Commented("2"),
        "Files, or parts of a large one, that are uploaded at once, 1 to 16.").or("2");
    LOCAL_CHUTE_PORT = public("ADIT_LOCAL_CHUTE_PORT", TurboVision, Commented("8000"),
        "TCP port of the chute on this machine, 1 to 65535. With 0 `sv deploy-local-chute` takes a free one, which the other commands then need by --url.").or("8000");
    PETNAME_VERSION = public("ADIT_PETNAME_VERSION", TurboVision, Commented("2.6"),
        "Which list nicknames are picked from: 2.6, which upstream pins, or 2.9, which pip would install.").or("2.6");
    SCORE_API = public("SCOREVISION_API", TurboVision, Commented("https://api.scorevision.io"),
        "Base URL of Score's API of challenges.").or("https://api.scorevision.io");
    WINNERS_INDEX_URL = public("SCOREVISION_WINNERS_INDEX_URL", TurboVision, Commented("https://turbo.scoredata.me/manako/winners/index.json"),
        "URL of the index of what the validators published about winners.").or("https://turbo.scoredata.me/manako/winners/index.json");
    RESULTS_URL = public("ADIT_RESULTS_URL", TurboVision, Commented("https://turbo.scoredata.me/manako/index.json"),
        "URL of the index of the validators' evaluations.").or("https://turbo.scoredata.me/manako/index.json");
    CACHE_DIR = public("SCOREVISION_CACHE_DIR", TurboVision, Commented("~/.cache/scorevision/blocks"),
        "Directory for what was fetched and does not change, such as the published template.").or("~/.cache/scorevision/blocks");

    GENERATOR_NETUID = public("BT_NETUID", Generator, Set("379    # 34 for mainnet, 379 for testnet"),
        "Subnet number: 34 on mainnet, 379 on testnet.").or("379");
    GENERATOR_ENDPOINT = public("BT_CHAIN_ENDPOINT", Generator, Set("wss://test.finney.opentensor.ai:443"),
        "Network name (finney, test, local) or websocket URL of the chain. Mainnet: wss://entrypoint-finney.opentensor.ai:443.").or("wss://test.finney.opentensor.ai:443");
    AXON_PORT = public("BT_AXON_PORT", Generator, Set("8093"),
        "TCP port that the generative miner listens on and publishes, 1 to 65535; 0 takes a free one.").or("8093");
    AXON_IP = public("BT_AXON_IP", Generator, Set("0.0.0.0"),
        "Address that it listens on. It is published too where it is a public one.").or("0.0.0.0");
    AXON_EXTERNAL_IP = public("BT_AXON_EXTERNAL_IP", Generator, Commented("203.0.113.10"),
        "Address that is published on chain. auto, or unset: BT_AXON_IP or this host's own where that is public, else what ADIT_PUBLIC_IP_URL says.").or("auto");
    PUBLIC_IP_URL = public("ADIT_PUBLIC_IP_URL", Generator, Commented("https://checkip.amazonaws.com"),
        "URL that answers with the address it is asked from, as text: for hosts behind a router or in a cloud.").or("https://checkip.amazonaws.com");
    OUTPUT_DIR = public("MINER_OUTPUT_DIR", Generator, Set("./miner_generated_content"),
        "Directory for generated media. A relative one in the file is meant from the file's directory.").or("./miner_generated_content");
    STATE_DIR = public("MINER_STATE_DIR", Generator, Commented("./miner_generated_content/.gen_miner_state"),
        "Directory for the tasks (tasks.db), on this host's own disk. Default: .gen_miner_state in MINER_OUTPUT_DIR.");
    SAVE_LOCALLY = public("MINER_SAVE_LOCALLY", Generator, Set("true"),
        "Keeps media for good, each with a JSON file that says what it is. On for true, 1 or yes; off: media go ADIT_KEEP_HOURS after their task's end.").or("false");
    KEEP_HOURS = public("ADIT_KEEP_HOURS", Generator, Commented("24"),
        "How long an ended task is kept, in hours, 1 to 8760.").or("24");
    MAX_CONCURRENT_TASKS = public("MINER_MAX_CONCURRENT_TASKS", Generator, Set("5"),
        "Tasks in work at once, 1 to 1000.").or("5");
    TASK_TIMEOUT = public("MINER_TASK_TIMEOUT", Generator, Set("300"),
        "Time for a paid call with all that follows it up to the media, in seconds, 1 to 7200.").or("300");
    TASK_QUEUE = public("ADIT_TASK_QUEUE", Generator, Commented("50"),
        "Tasks of each modality that may wait for a paid call, 1 to 1000000; more get 503, which costs no reward.").or("50");
    DAILY_BUDGET = public("MINER_DAILY_BUDGET_USD", Generator, Commented("20"),
        "Most that the paid calls of one UTC day may cost, in USD. Default: no limit.");
    FAIL_OVER = public("ADIT_FAIL_OVER", Generator, Commented("false"),
        "Pays another service that has a key where the chosen one failed. On for true, 1 or yes.").or("false");
    NO_FORCE_VALIDATOR_PERMIT = public("MINER_NO_FORCE_VALIDATOR_PERMIT", Generator, Commented("false"),
        "Lets every hotkey of the subnet ask, and not only those with a stake of 20000 or more. On for exactly true.").or("false");
    DATABASE_URL = public("DATABASE_URL", Generator, Commented("postgres://user:password@host/name"),
        "Where the tasks are kept: PostgreSQL, by which several hosts serve one queue, or sqlite:///path. Default: tasks.db in MINER_STATE_DIR.").secret();
    BT_LOGGING_LEVEL = public("BT_LOGGING_LEVEL", Generator, Set("INFO"),
        "Log level of the generative miner, where ADIT_LOG is not set: error, warning, info, debug or trace, in any case.");
    DEVICE = public("MINER_DEVICE", Generator, Commented("auto"),
        "Deprecated and without effect: nothing is generated on this host.");
    WORKER_THREADS = public("MINER_WORKER_THREADS", Generator, Commented("2"),
        "Deprecated and without effect.");
    AUTO_UPDATE = public("AUTO_UPDATE", Generator, Commented("false"),
        "Accepted and without effect.");
    HUGGINGFACE_TOKEN = public("HUGGINGFACE_HUB_TOKEN", Generator, Commented(""),
        "Accepted and without effect: the generative miner loads no models.").secret();
    HF_HOME = public("HF_HOME", Generator, Commented("~/.cache/huggingface"),
        "Accepted and without effect.");

    IMAGE_SERVICE = public("IMAGE_SERVICE", Services, Set("openrouter    # openai, openrouter, stabilityai, or none"),
        "Service that makes pictures: openai, openrouter, stabilityai or none. With neither this nor VIDEO_SERVICE set, the first service that has a key and can; with only the other one set, none.");
    VIDEO_SERVICE = public("VIDEO_SERVICE", Services, Set("openrouter    # openrouter, runway, or none"),
        "Service that makes videos: openrouter, runway, openai (whose API is shut down) or none. As IMAGE_SERVICE.");
    OPENAI_API_KEY = public("OPENAI_API_KEY", Services, Set(""),
        "API key of OpenAI.").secret();
    OPENAI_BASE_URL = public("OPENAI_BASE_URL", Services, Commented("https://api.openai.com/v1"),
        "Base URL of OpenAI's API, or of one that speaks alike.").or("https://api.openai.com/v1");
    OPENAI_IMAGE_MODEL = public("ADIT_OPENAI_IMAGE_MODEL", Services, Commented("gpt-image-2.6-sunburst"),
        "OpenAI's model for pictures. The default is the guide's, which OpenAI has shut down: it serves with another OPENAI_BASE_URL only.").or("dall-e-3");
    OPENAI_IMAGE_PRICE = public("ADIT_OPENAI_IMAGE_PRICE_USD", Services, Commented("0.07"),
        "What a picture by OpenAI costs, in USD. Default: an estimate by model and size.");
    OPENAI_VIDEO_MODEL = public("ADIT_OPENAI_VIDEO_MODEL", Services, Commented("sora-2"),
        "OpenAI's model for videos, for requests that name none.").or("sora-2");
    OPENAI_VIDEO_PRICE = public("ADIT_OPENAI_VIDEO_PRICE_USD", Services, Commented("0.10"),
        "What a second of video by OpenAI costs, in USD. Default: an estimate by model.");
    OPENROUTER_API_KEY = public("OPEN_ROUTER_API_KEY", Services, Set(""),
        "API key of OpenRouter.").secret();
    OPENROUTER_BASE_URL = public("ADIT_OPENROUTER_BASE_URL", Services, Commented("https://openrouter.ai/api/v1"),
        "Base URL of OpenRouter's API.").or("https://openrouter.ai/api/v1");
    OPENROUTER_IMAGE_MODEL = public("ADIT_OPENROUTER_IMAGE_MODEL", Services, Commented("google/gemini-3-pro-image-preview"),
        "OpenRouter's model for pictures, for requests that name none.").or("google/gemini-3-pro-image-preview");
    OPENROUTER_IMAGE_PRICE = public("ADIT_OPENROUTER_IMAGE_PRICE_USD", Services, Commented("0.134"),
        "What a picture by OpenRouter costs, in USD. Default: an estimate by model and tier.");
    OPENROUTER_VIDEO_MODEL = public("ADIT_OPENROUTER_VIDEO_MODEL", Services, Commented("google/veo-3.1-lite"),
        "OpenRouter's model for videos, for requests that name none: one of google/veo-3.1, -fast, -lite, bytedance/seedance-2.0, -fast.").or("google/veo-3.1-lite");
    OPENROUTER_VIDEO_PRICE = public("ADIT_OPENROUTER_VIDEO_PRICE_USD", Services, Commented("0.05"),
        "What a second of video by OpenRouter costs, in USD. Default: an estimate by model and tier.");
    STABILITY_API_KEY = public("STABILITY_API_KEY", Services, Set(""),
        "API key of Stability AI.").secret();
    STABILITY_BASE_URL = public("ADIT_STABILITY_BASE_URL", Services, Commented("https://api.stability.ai"),
        "Base URL of Stability AI's API.").or("https://api.stability.ai");
    STABILITY_IMAGE_MODEL = public("ADIT_STABILITY_IMAGE_MODEL", Services, Commented("sd3.5-medium"),
        "Stability AI's model, for requests that name none: sd3.5-medium, sd3.5-large, ultra or core.").or("sd3.5-medium");
    STABILITY_IMAGE_PRICE = public("ADIT_STABILITY_IMAGE_PRICE_USD", Services, Commented("0.035"),
        "What a picture by Stability AI costs, in USD. Default: an estimate by model.");
    RUNWAY_API_KEY = public("RUNWAYML_API_KEY", Services, Set(""),
        "API key of Runway.").secret();
    RUNWAY_API_SECRET = public("RUNWAYML_API_SECRET", Services, Commented("key_…"),
        "The same key under the name of Runway's own library; used where RUNWAYML_API_KEY is empty.").secret();
    RUNWAY_BASE_URL = public("RUNWAYML_BASE_URL", Services, Commented("https://api.dev.runwayml.com"),
        "Base URL of Runway's API.").or("https://api.dev.runwayml.com");
    RUNWAY_VIDEO_MODEL = public("ADIT_RUNWAY_VIDEO_MODEL", Services, Commented("veo3.1"),
        "Runway's model, for requests that name none: veo3.1, veo3.1_fast, veo3, seedance2 or seedance2_fast.").or("veo3.1");
    RUNWAY_VIDEO_PRICE = public("ADIT_RUNWAY_VIDEO_PRICE_USD", Services, Commented("0.40"),
        "What a second of video by Runway costs, in USD. Default: an estimate by model and size.");
}
