//! What the miner runs with, resolved from the settings and checked before anything starts: a
//! mistake stops the program with a hint, and never becomes a 500 on a request.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use adit_auth::{Dialect, GateConfig, Policy, StakeGate};
use adit_chain::{ChainStakes, EndpointError, Endpoints, FollowError, Netuid, StakeSource, stake_file};
use adit_journal::{PRIVATE_TRACK, Place};
use adit_keys::{AddressError, Hotkey, KeyFileError, Wallet, WalletNameError};
use adit_outbound::{AddressGuard, AllowListError};
use adit_predictor::{
    Environment as WorkerEnvironment, Gpus, GpusError, Model, ModelError, ModelSpec, OnnxConfig, OnnxError,
    Predictor, Provider, RemoteConfig, Runner, Server as ModelServer, ServerError, SpecError, Wanted,
    WorkerConfig, WorkerPool, find_onnx_runtime, find_predictor_file, python_program,
};
use adit_settings::{Environment, SettingError, Var, var};

use crate::spot_check::VIDEO_PROXY;

/// Time for a challenge's body to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for a request's head to arrive, and for an idle connection to stay.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Most challenges worked on at once, and most that wait.
const MOST_AT_ONCE: usize = 10_000;
/// A validator waits 30 s from connect to last byte (section 1.4); two are left for the way back.
const LIVE_DEADLINE: Duration = Duration::from_secs(28);
/// A spot check waits 120 s (section 7).
const SPOT_CHECK_DEADLINE: Duration = Duration::from_secs(110);
/// Everything that [`Server::bind`](crate::Server::bind) needs.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Time for a request's head to arrive, and for an idle connection to stay.
    pub head_timeout: Duration,
    /// Security, body and nonce limits.
    pub gate: GateConfig,
    /// Where stakes are read from, where the stake gate is on.
    pub stakes: Option<StakeSource>,
    /// Where the miner's place on chain is read for the journal, where no stakes are.
    pub facts: Option<ChainStakes>,
    /// Age from which `/health` calls the stake table stale.
    pub stake_max_age: Duration,
    /// The subnet, where known: for the record.
    pub netuid: Option<Netuid>,
    /// Which addresses clips may come from.
    pub guard: AddressGuard,
    /// Largest clip in bytes.
    pub max_clip_bytes: u64,
    /// Time for one challenge, from its last body byte to the answer.
    pub deadline: Duration,
    /// Challenges worked on at once.
    pub concurrency: usize,
    /// Challenges that may wait for a turn.
    pub queue: usize,
    /// What a `video_url` challenge asks for.
    pub mode: Wanted,
    /// What answers.
    pub predictor: PredictorChoice,
    /// The ffmpeg program.
    pub ffmpeg: PathBuf,
    /// Where what happens is recorded, if it is.
    pub journal: Option<Place>,
    /// The image that runs, for the record.
    pub image: Option<String>,
}

/// Which backend answers, with what it takes to start it.
#[derive(Debug, Clone)]
pub enum PredictorChoice {
    /// `pass` at every 25th frame.
    Baseline,
    /// Warm worker processes: a Python file with `predict_actions`, or any program that speaks the
    /// worker protocol.
    Workers(WorkerConfig),
    /// A model in ONNX, as its `model.toml` describes it.
    Model {
        /// What the log and the record call it: its folder.
        name: String,
        /// Its description.
        spec: ModelSpec,
        /// Who runs it.
        runner: Runner,
    },
}

impl PredictorChoice {
    /// Starts it, within a tokio runtime. Workers load in the background; a model in ONNX is loaded and tried out here.
    ///
    /// # Errors
    /// Where a model in ONNX cannot be used.
    pub async fn start(self) -> Result<Predictor, ModelError> {
        Ok(match self {
            Self::Baseline => Predictor::Baseline,
            Self::Workers(workers) => Predictor::Workers(WorkerPool::start(workers)),
            Self::Model { spec, runner, .. } => Predictor::Model(Model::load(spec, &runner).await?),
        })
    }

    /// What the log and the record call it.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Baseline => "baseline",
            Self::Workers(workers) => &workers.name,
            Self::Model { name, .. } => name,
        }
    }
}

/// What answers and under which limits, for whoever asks it without a server.
#[derive(Debug, Clone)]
pub struct Answering {
    /// What answers.
    pub predictor: PredictorChoice,
    /// Time for one challenge.
    pub deadline: Duration,
    /// Largest clip in bytes.
    pub max_clip_bytes: u64,
    /// The ffmpeg program.
    pub ffmpeg: PathBuf,
}

impl Answering {
    /// As `sv serve` would answer a validator. Who may call does not matter, so neither wallet nor chain is looked at.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn from_settings(env: &Environment) -> Result<Self, ConfigError> {
        Ok(Self {
            predictor: predictor(env)?,
            deadline: deadline(env, LIVE_DEADLINE)?,
            max_clip_bytes: count(env, &var::MAX_CLIP_BYTES, 1 << 40)? as u64,
            ffmpeg: env.path(&var::FFMPEG)?.unwrap_or_default(),
        })
    }
}

/// Why the miner cannot start. [`ConfigError::hint`] says what to type.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A variable's value.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// `ADIT_HOTKEY` is no address.
    #[error("`ADIT_HOTKEY={text}` is {source}")]
    Address {
        /// What it was set to.
        text: String,
        /// Which fault.
        source: AddressError,
    },
    /// A name of the wallet or the hotkey that is no name.
    #[error(transparent)]
    WalletName(#[from] WalletNameError),
    /// Signatures are to be checked but our own hotkey is unknown.
    #[error("the miner's own hotkey is unknown, and VERIFY_ENABLED is on: {0}")]
    NoHotkey(#[source] KeyFileError),
    /// The chain's address.
    #[error("`{name}`: {source}")]
    Network {
        /// The variable.
        name: &'static str,
        /// What is wrong with it.
        source: EndpointError,
    },
    /// The stake table cannot be read.
    #[error("BLACKLIST_ENABLED is on, but {0}")]
    Stakes(#[from] FollowError),
    /// `ADIT_ALLOWED_HOSTS`.
    #[error("`ADIT_ALLOWED_HOSTS`: {0}")]
    AllowList(#[from] AllowListError),
    /// The GPUs of the workers.
    #[error("`ADIT_WORKER_GPUS`: {0}")]
    Gpus(#[from] GpusError),
    /// The program of a worker is not there.
    #[error("`{name}`: there is no program `{program}`", program = .program.display())]
    NoProgram {
        /// The variable that names it.
        name: &'static str,
        /// The program.
        program: PathBuf,
    },
    /// The description of the model in `ADIT_MODEL`.
    #[error("`ADIT_MODEL`: {0}")]
    Model(#[from] SpecError),
    /// `ADIT_PREDICTOR=model` without a model.
    #[error("`ADIT_PREDICTOR=model` wants ADIT_MODEL, the folder of a model")]
    NoModel,
    /// `ADIT_MODEL_SERVERS`.
    #[error("`ADIT_MODEL_SERVERS`: {0}")]
    Servers(#[from] ServerError),
    /// What runs the model.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    /// The predictor's file is not there.
    #[error("no predictor file: {what}")]
    NoPredictorFile {
        /// Where it was looked for.
        what: String,
    },
}

impl ConfigError {
    /// What to do about it, where there is more to say than the error does.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoHotkey(_) => Some(
                "set ADIT_HOTKEY to the hotkey's ss58 address (no wallet file is needed), or name the wallet with \
                 BITTENSOR_WALLET_COLD, BITTENSOR_WALLET_HOT and BITTENSOR_WALLET_PATH (in a container: mount it with \
                 `-v ~/.bittensor/wallets:/root/.bittensor/wallets:ro`), or set BLACKLIST_ENABLED=false and \
                 VERIFY_ENABLED=false for local testing",
            ),
            Self::Stakes(FollowError::File(_)) => Some(
                "set STAKE_TABLE_FILE to a JSON file {\"<ss58 hotkey>\": stake} or fiber's nodes.json, leave it unset to \
                 take the stakes from the chain, or set BLACKLIST_ENABLED=false for local testing",
            ),
            Self::Model(SpecError::File { .. }) => Some(
                "ADIT_MODEL is the folder that model.toml is in: examples/models/spotter is one, docs/models.md says more",
            ),
            Self::NoProgram { .. } => Some("install it, name another one, or set ADIT_PREDICTOR=baseline"),
            Self::NoPredictorFile { .. } => Some(
                "create scorevision/miner/private_track/predictor.py, name another file with ADIT_PREDICTOR_FILE, or set \
                 ADIT_PREDICTOR=baseline",
            ),
            _ => None,
        }
    }
}

impl Config {
    /// Resolves and checks everything.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn from_settings(env: &Environment) -> Result<Self, ConfigError> {
        let verify = env.toggle(&var::VERIFY_ENABLED)?;
        let stake_gate = stake_gate(env)?;
        // The older spot check sets only the two switches, the newer one SPOTCHECK_MODE as well.
        let spot_check = env.toggle(&var::SPOTCHECK_MODE)? || !(verify || stake_gate != StakeGate::Off);
        let guard =
            AddressGuard::public_only().allowing(env.text(&var::ALLOWED_HOSTS)?.unwrap_or_default())?;
        let guard = if spot_check { guard.allowing(VIDEO_PROXY)? } else { guard };
        // Without signatures it only guards against requests meant for others, so it may be unknown.
        let own_hotkey = match own_hotkey(env) {
            Ok(hotkey) => Some(hotkey),
            Err(ConfigError::NoHotkey(_)) if !verify => None,
            Err(error) => return Err(error),
        };
        let default_deadline = if spot_check { SPOT_CHECK_DEADLINE } else { LIVE_DEADLINE };

        Ok(Self {
            listen: SocketAddr::new(
                IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                env.parsed(&var::MINER_PORT, "a port from 0 to 65535")?,
            ),
            head_timeout: HEAD_TIMEOUT,
            gate: GateConfig {
                policy: Policy {
                    verify,
                    stake_gate,
                    min_stake: min_stake(env)?,
                    own_hotkey,
                    dialects: dialects(env)?,
                },
                nonce_capacity: count(env, &var::NONCE_CAPACITY, 1 << 32)?,
                max_body: count(env, &var::MAX_BODY_BYTES, 1 << 30)?,
                body_timeout: BODY_TIMEOUT,
            },
            stakes: if stake_gate == StakeGate::Off { None } else { Some(stake_source(env)?) },
            facts: if spot_check || stake_gate != StakeGate::Off { None } else { facts_source(env)? },
            stake_max_age: Duration::from_secs(count(env, &var::STAKE_TABLE_MAX_AGE, 1 << 32)? as u64),
            netuid: Some(netuid(env)?),
            guard,
            max_clip_bytes: count(env, &var::MAX_CLIP_BYTES, 1 << 40)? as u64,
            deadline: deadline(env, default_deadline)?,
            concurrency: count(env, &var::CONCURRENCY, MOST_AT_ONCE)?,
            queue: queue(env)?,
            mode: mode(env)?,
            predictor: predictor(env)?,
            ffmpeg: env.path(&var::FFMPEG)?.unwrap_or_default(),
            // What nobody signed could be any stranger's, and is not stored.
            journal: Place::from_settings(env, PRIVATE_TRACK)?.filter(|_| !spot_check),
            image: env.text(&var::IMAGE)?.map(str::to_owned),
        })
    }
}

/// A whole number from 1 to `most`.
fn count(env: &Environment, var: &'static Var, most: usize) -> Result<usize, SettingError> {
    let expected = format!("a whole number from 1 to {most}");
    let value = env.parsed(var, &expected)?;
    if (1..=most).contains(&value) { Ok(value) } else { Err(env.invalid(var, &expected)) }
}

/// Whole seconds, at most an hour: a deadline beyond that is a mistake.
fn seconds(env: &Environment, var: &'static Var) -> Result<Duration, SettingError> {
    Ok(Duration::from_secs(count(env, var, 3600)? as u64))
}

fn deadline(env: &Environment, default: Duration) -> Result<Duration, SettingError> {
    match env.text(&var::DEADLINE_SECONDS)? {
        None => Ok(default),
        Some(_) => seconds(env, &var::DEADLINE_SECONDS),
    }
}

fn queue(env: &Environment) -> Result<usize, SettingError> {
    let expected = format!("a whole number from 0 to {MOST_AT_ONCE}");
    let value = env.parsed(&var::QUEUE, &expected)?;
    if value <= MOST_AT_ONCE { Ok(value) } else { Err(env.invalid(&var::QUEUE, &expected)) }
}

fn min_stake(env: &Environment) -> Result<f64, SettingError> {
    let expected = "a number of at least 0";
    let value: f64 = env.parsed(&var::MIN_STAKE_THRESHOLD, expected)?;
    let good = value.is_finite() && value >= 0.0;
    if good { Ok(value) } else { Err(env.invalid(&var::MIN_STAKE_THRESHOLD, expected)) }
}

fn dialects(env: &Environment) -> Result<Vec<Dialect>, SettingError> {
    let names = env.required(&var::DIALECTS)?.split(',').map(str::trim).filter(|name| !name.is_empty());
    let dialects: Result<Vec<Dialect>, _> = names.map(str::parse).collect();
    match dialects {
        Ok(dialects) if !dialects.is_empty() => Ok(dialects),
        _ => Err(env.invalid(&var::DIALECTS, "a list of fiber and score")),
    }
}

fn mode(env: &Environment) -> Result<Wanted, SettingError> {
    match env.required(&var::MINER_MODE)? {
        "soccer_action" => Ok(Wanted::SoccerActions),
        "cricket_delivery" => Ok(Wanted::CricketDelivery),
        _ => Err(env.invalid(&var::MINER_MODE, "soccer_action or cricket_delivery")),
    }
}

/// This host's own hotkey address: as given by `ADIT_HOTKEY`, else from the wallet's public half, else
/// from the hotkey file itself.
///
/// # Errors
/// Where none of them gives an address.
pub fn own_hotkey(env: &Environment) -> Result<Hotkey, ConfigError> {
    if let Some(text) = env.text(&var::HOTKEY_ADDRESS)? {
        return text.parse().map_err(|source| ConfigError::Address { text: text.to_owned(), source });
    }
    let wallets = env.path(&var::WALLET_PATH)?.unwrap_or_default();
    let wallet = Wallet::new(wallets, env.required(&var::WALLET_NAME)?, env.required(&var::HOTKEY_NAME)?)?;
    wallet.hotkey_address().map_err(ConfigError::NoHotkey)
}

fn stake_gate(env: &Environment) -> Result<StakeGate, SettingError> {
    if !env.toggle(&var::BLACKLIST_ENABLED)? {
        return Ok(StakeGate::Off);
    }
    match env.required(&var::STAKES_UNKNOWN)? {
        "closed" => Ok(StakeGate::Closed),
        "open" => Ok(StakeGate::OpenUntilKnown),
        _ => Err(env.invalid(&var::STAKES_UNKNOWN, "closed or open")),
    }
}

fn netuid(env: &Environment) -> Result<Netuid, SettingError> {
    env.parsed(&var::NETUID, "a subnet number from 0 to 65535").map(Netuid)
}

fn stake_source(env: &Environment) -> Result<StakeSource, ConfigError> {
    if let Some(file) = env.path(&var::STAKE_TABLE_FILE)? {
        stake_file::read(&file).map_err(FollowError::from)?;
        return Ok(StakeSource::File(file));
    }
    chain_source(env).map(StakeSource::Chain)
}

/// The chain that somebody has named, unless its stakes are a file's. One that cannot be used is no reason not to start.
fn facts_source(env: &Environment) -> Result<Option<ChainStakes>, SettingError> {
    let named = |var| Ok(env.written(var)?.is_some_and(|text| !text.trim().is_empty()));
    let chain = named(&var::SUBTENSOR_ADDRESS)? || named(&var::SUBTENSOR_NETWORK)?;
    if !chain || env.path(&var::STAKE_TABLE_FILE)?.is_some() {
        return Ok(None);
    }
    match chain_source(env) {
        Ok(source) => Ok(Some(ChainStakes { copy: None, ..source })),
        Err(error) => {
            tracing::warn!("the miner's place on chain is not recorded: {error}");
            Ok(None)
        }
    }
}

fn chain_source(env: &Environment) -> Result<ChainStakes, ConfigError> {
    // As in fiber, the address wins over the network's name.
    let named = if env.text(&var::SUBTENSOR_ADDRESS)?.is_some() {
        &var::SUBTENSOR_ADDRESS
    } else {
        &var::SUBTENSOR_NETWORK
    };
    let endpoints = Endpoints::parse(env.required(named)?)
        .map_err(|source| ConfigError::Network { name: named.name, source })?;
    let netuid = netuid(env)?;
    let refresh = Duration::from_secs(count(env, &var::STAKE_REFRESH_SECONDS, 86_400)? as u64);
    let copy = data_folder(env)?.map(|folder| folder.join(format!("stakes-{netuid}.json")));
    Ok(ChainStakes { endpoints, netuid, refresh, copy })
}

/// Where things are kept between runs. A `~` that stayed means that there is no HOME: then nothing is kept.
fn data_folder(env: &Environment) -> Result<Option<PathBuf>, SettingError> {
    Ok(env.path(&var::DATA_FOLDER)?.filter(|folder| !folder.starts_with("~")))
}

fn predictor(env: &Environment) -> Result<PredictorChoice, ConfigError> {
    let choice = env.required(&var::PREDICTOR)?;
    if !matches!(choice, "auto" | "model" | "worker" | "baseline") {
        return Err(env.invalid(&var::PREDICTOR, "auto, model, worker or baseline").into());
    }
    if choice == "baseline" {
        return Ok(PredictorChoice::Baseline);
    }
    if matches!(choice, "auto" | "model") {
        match env.path(&var::MODEL)? {
            Some(folder) => return model(env, &folder),
            None if choice == "model" => return Err(ConfigError::NoModel),
            None => {}
        }
    }
    let workers = match env.text(&var::WORKER_COMMAND)? {
        Some(command) => command_worker(command)?,
        None => {
            let named = env.path(&var::PREDICTOR_FILE)?;
            match find_predictor_file(named.as_deref()) {
                Some(file) => {
                    let python = env.path(&var::PYTHON)?.unwrap_or_else(python_program);
                    WorkerConfig::python(&runnable(&var::PYTHON, python)?, &file)
                }
                None if choice == "auto" && named.is_none() => return Ok(PredictorChoice::Baseline),
                None => return Err(ConfigError::NoPredictorFile { what: not_found(named) }),
            }
        }
    };
    let extra = env.text(&var::WORKER_ENV)?.unwrap_or_default();
    let extra: Vec<String> =
        extra.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let variables = env.variables().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let count = count(env, &var::WORKERS, 256)?;
    Ok(PredictorChoice::Workers(WorkerConfig {
        count,
        gpus: Gpus::parse(env.text(&var::WORKER_GPUS)?.unwrap_or_default(), count)?,
        recycle: env.parsed(&var::WORKER_RECYCLE, "a number of answers, or 0 for never")?,
        wanted: mode(env)?,
        start_limit: seconds(env, &var::WORKER_START_SECONDS)?,
        environment: WorkerEnvironment::chosen_from(variables, &extra),
        ..workers
    }))
}

fn model(env: &Environment, folder: &Path) -> Result<PredictorChoice, ConfigError> {
    let spec = ModelSpec::read(folder)?;
    Ok(PredictorChoice::Model { name: folder.display().to_string(), spec, runner: model_runner(env)? })
}

/// Who runs models in ONNX: the servers that are set, else this host.
///
/// # Errors
/// A setting's, or [`OnnxError::NoLibrary`].
pub fn model_runner(env: &Environment) -> Result<Runner, ConfigError> {
    if let Some(servers) = env.text(&var::MODEL_SERVERS)? {
        return model_servers(env, servers).map(Runner::Servers);
    }
    onnx_config(env).map(Runner::Onnx)
}

/// ONNX Runtime on this host.
///
/// # Errors
/// A setting's, or [`OnnxError::NoLibrary`].
pub fn onnx_config(env: &Environment) -> Result<OnnxConfig, ConfigError> {
    let python = env.path(&var::PYTHON)?.unwrap_or_else(python_program);
    let library = find_onnx_runtime(env.path(&var::ONNX_RUNTIME)?.as_deref(), &python);
    let providers = Provider::list(env.required(&var::ONNX_PROVIDERS)?).map_err(|what| {
        env.invalid(&var::ONNX_PROVIDERS, &format!("a list of cpu, cuda and tensorrt ({what})"))
    })?;
    let threads = match env.text(&var::ONNX_THREADS)? {
        Some(_) => Some(count(env, &var::ONNX_THREADS, 1024)?),
        None => None,
    };
    Ok(OnnxConfig { library: library.ok_or(OnnxError::NoLibrary)?, providers, threads })
}

fn model_servers(env: &Environment, servers: &str) -> Result<RemoteConfig, ConfigError> {
    let servers: Result<Vec<ModelServer>, _> =
        servers.split(',').map(str::trim).filter(|server| !server.is_empty()).map(str::parse).collect();
    let mut config = RemoteConfig::new(servers?);
    config.token = env.secret(&var::MODEL_SERVER_TOKEN)?;
    config.call_limit = Duration::from_secs(count(env, &var::MODEL_SERVER_SECONDS, 600)? as u64);
    Ok(config)
}

fn not_found(named: Option<PathBuf>) -> String {
    named.map_or_else(
        || "none at scorevision/miner/private_track/predictor.py here, above, or above the program".into(),
        |named| format!("{} does not exist", named.display()),
    )
}

fn command_worker(command: &str) -> Result<WorkerConfig, ConfigError> {
    let mut words = command.split_whitespace();
    let Some(program) = words.next() else {
        return Err(ConfigError::NoProgram { name: var::WORKER_COMMAND.name, program: PathBuf::new() });
    };
    // Named by the program alone: arguments may hold what is not for the log.
    let mut config = WorkerConfig::new(program, runnable(&var::WORKER_COMMAND, program.into())?);
    config.args = words.map(Into::into).collect();
    Ok(config)
}

/// The program where it can be found: as a path, or on the `PATH`. A worker that cannot be started
/// would otherwise be tried again for ever.
fn runnable(var: &'static Var, program: PathBuf) -> Result<PathBuf, ConfigError> {
    let on_path = || {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).map(|folder| folder.join(&program)).find(|found| found.is_file())
    };
    let found =
        if program.components().count() > 1 { program.is_file().then(|| program.clone()) } else { on_path() };
    found.ok_or(ConfigError::NoProgram { name: var.name, program })
}

#[cfg(test)]
mod tests {

    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let process = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::from_settings(&Environment::layered(process, None).unwrap())
    }

    const OPEN: [(&str, &str); 3] =
        [("VERIFY_ENABLED", "false"), ("BLACKLIST_ENABLED", "false"), ("ADIT_PREDICTOR", "baseline")];

    fn open_with(name: &'static str, value: &'static str) -> Result<Config, ConfigError> {
        let mut pairs = OPEN.to_vec();
        pairs.push((name, value));
        config(&pairs)
    }

    #[test]
    fn with_both_switches_off_the_deadline_is_that_of_a_spot_check() {
        assert_eq!(config(&OPEN).unwrap().deadline, SPOT_CHECK_DEADLINE);
        let verified = config(&[
            ("BLACKLIST_ENABLED", "no"),
            ("ADIT_HOTKEY", "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"),
        ]);
        assert_eq!(verified.unwrap().deadline, LIVE_DEADLINE);
    }

    /// Dockerfile.miner sets them so where nothing was chosen.
    #[test]
    fn what_is_set_but_empty_is_not_set() {
        const BAKED: [&str; 7] = [
            "ADIT_PREDICTOR",
            "ADIT_WORKER_COMMAND",
            "ADIT_WORKERS",
            "ADIT_MODEL",
            "ADIT_ONNX_PROVIDERS",
            "ADIT_ONNX_THREADS",
            "MINER_MODE",
        ];
        let here = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let mut pairs = vec![OPEN[0], OPEN[1], ("ADIT_PREDICTOR_FILE", here), ("ADIT_PYTHON", "/bin/sh")];
        pairs.extend(BAKED.map(|name| (name, "")));
        let config = config(&pairs).unwrap();
        let PredictorChoice::Workers(workers) = config.predictor else { panic!("no workers") };
        assert_eq!((workers.name.as_str(), workers.count, config.mode), (here, 1, Wanted::SoccerActions));
    }

    #[test]
    fn a_journal_is_kept_except_in_a_spot_check() {
        let hotkey = ("ADIT_HOTKEY", "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY");
        let live = [("BLACKLIST_ENABLED", "no"), ("ADIT_PREDICTOR", "baseline"), hotkey, ("HOME", "/home/m")];
        let kept =
            |spot_check| config(&[&live[..], &[("SPOTCHECK_MODE", spot_check)]].concat()).unwrap().journal;
        assert_eq!(
            kept("false").unwrap().path,
            PathBuf::from("/home/m/.local/share/adit/private-track.sqlite")
        );
        assert_eq!(kept("true"), None);
    }

    #[test]
    fn a_chain_is_followed_for_the_record_only_where_somebody_named_it() {
        let live = [
            ("BLACKLIST_ENABLED", "no"),
            ("ADIT_PREDICTOR", "baseline"),
            ("ADIT_HOTKEY", "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"),
        ];
        let facts =
            |more: &[(&'static str, &'static str)]| config(&[&live[..], more].concat()).unwrap().facts;
        let network = ("SUBTENSOR_NETWORK", "test");
        assert!(facts(&[]).is_none());
        let source = facts(&[network, ("HOME", "/home/m")]).unwrap();
        assert_eq!((source.netuid, source.copy), (Netuid(44), None));
        assert!(facts(&[network, ("STAKE_TABLE_FILE", "/s.json")]).is_none());
        assert!(facts(&[network, ("SPOTCHECK_MODE", "true")]).is_none());
        assert!(facts(&[("SUBTENSOR_ADDRESS", "no address")]).is_none());
    }

    #[test]
    fn a_missing_wallet_stops_the_start_with_a_hint() {
        let error =
            config(&[("BLACKLIST_ENABLED", "false"), ("BITTENSOR_WALLET_PATH", "/nowhere")]).unwrap_err();
        assert!(error.to_string().contains("/nowhere/default/hotkeys/default"), "{error}");
        assert!(error.hint().unwrap().contains("ADIT_HOTKEY"));
    }

    #[test]
    fn a_missing_stake_table_stops_the_start_with_a_hint() {
        let error =
            config(&[("VERIFY_ENABLED", "false"), ("STAKE_TABLE_FILE", "/nowhere/s.json")]).unwrap_err();
        assert!(error.to_string().contains("/nowhere/s.json"), "{error}");
        assert!(error.hint().unwrap().contains("STAKE_TABLE_FILE"));
    }

    #[test]
    fn each_wrong_value_names_its_variable() {
        for (name, value) in [
            ("MINER_PORT", "70000"),
            ("MIN_STAKE_THRESHOLD", "-1"),
            ("MIN_STAKE_THRESHOLD", "NaN"),
            ("ADIT_CONCURRENCY", "0"),
            ("ADIT_DIALECTS", "fiber,epistula"),
            ("ADIT_DIALECTS", ","),
            ("ADIT_HOTKEY", "5Bad"),
            ("ADIT_ALLOWED_HOSTS", "10.0.0.0/99"),
            ("MINER_MODE", "tennis"),
            ("ADIT_PREDICTOR", "guess"),
            ("ADIT_DEADLINE_SECONDS", "soon"),
            ("ADIT_DEADLINE_SECONDS", "18446744073709551615"),
            ("ADIT_QUEUE", "18446744073709551615"),
            ("STAKE_TABLE_MAX_AGE_SECONDS", "1e20"),
            ("ADIT_JOURNAL_BYTES", "-1"),
        ] {
            let error = open_with(name, value).unwrap_err().to_string();
            assert!(error.contains(name), "{name}={value}: {error}");
        }
    }

    #[test]
    fn a_worker_program_that_is_not_there_stops_the_start() {
        for (name, value) in
            [("ADIT_PYTHON", "/nowhere/python"), ("ADIT_WORKER_COMMAND", "no-such-program --x")]
        {
            let here = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
            let pairs = [OPEN[0], OPEN[1], ("ADIT_PREDICTOR_FILE", here), (name, value)];
            let error = config(&pairs).unwrap_err();
            assert!(matches!(error, ConfigError::NoProgram { .. }), "{error}");
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn gpus_that_no_worker_would_use_stop_the_start() {
        let with = |more: &[(&'static str, &'static str)]| {
            let mut pairs = vec![OPEN[0], OPEN[1], ("ADIT_WORKER_COMMAND", "cat"), ("PATH", "/bin")];
            pairs.extend(more);
            config(&pairs)
        };
        let error = with(&[("ADIT_WORKER_GPUS", "0,1")]).unwrap_err().to_string();
        assert!(
            error.starts_with("`ADIT_WORKER_GPUS`: 2 GPUs for 1 workers: GPU 1 would have none"),
            "{error}"
        );
        let config =
            with(&[("ADIT_WORKER_GPUS", "0,1"), ("ADIT_WORKERS", "2"), ("ADIT_WORKER_RECYCLE", "9")])
                .unwrap();
        let PredictorChoice::Workers(workers) = config.predictor else { panic!("no workers") };
        assert_eq!((workers.gpus, workers.recycle), (Gpus::Each(vec!["0".into(), "1".into()]), 9));
        assert!(with(&[("ADIT_WORKER_RECYCLE", "-1")]).is_err());
    }

    #[test]
    fn workers_see_the_listed_variables_of_both_layers_and_no_token() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "MODEL_DIR=/m\nDOCKERHUB_TOKEN=secret\nADIT_WORKER_ENV=MODEL_DIR\n")
            .unwrap();
        let pairs = [OPEN[0], OPEN[1], ("ADIT_WORKER_COMMAND", "cat"), ("PATH", "/bin")];
        let process = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let env = Environment::layered(process, Some(file.path().to_owned())).unwrap();
        let PredictorChoice::Workers(workers) = Config::from_settings(&env).unwrap().predictor else {
            panic!("no workers")
        };
        let names = format!("{:?}", workers.environment);
        assert!(names.contains("MODEL_DIR") && names.contains("PATH"), "{names}");
        assert!(!names.contains("TOKEN"), "{names}");
    }

    #[test]
    fn a_named_predictor_file_that_is_not_there_is_no_reason_to_fall_back() {
        let pairs = [OPEN[0], OPEN[1], ("ADIT_PREDICTOR_FILE", "/nowhere/predictor.py")];
        assert!(matches!(config(&pairs), Err(ConfigError::NoPredictorFile { .. })));
    }
}
