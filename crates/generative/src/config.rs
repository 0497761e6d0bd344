//! What the miner runs with, resolved from the settings and checked before anything starts.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use adit_auth::epistula::{GateConfig, MIN_STAKE, Policy};
use adit_chain::{ChainStakes, EndpointError, Endpoints, FollowError, Netuid, StakeSource, stake_file};
use adit_journal::{GENERATIVE, Place};
use adit_keys::Hotkey;
use adit_outbound::{AddressGuard, AllowListError};
use adit_settings::{Environment, SettingError, Var, var};

use crate::service::{Services, SetupError, Slot, Unusable};
use crate::task::{self, Address, StoreError};
use crate::worker::Rules;
use crate::{Modality, Usd};

/// Time for a request's head to arrive, and for an idle connection to stay.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for a request's body to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Where the tasks are kept in `MINER_OUTPUT_DIR`, as upstream names it.
const STATE_FOLDER: &str = ".gen_miner_state";

/// Everything that [`Server::bind`](crate::Server::bind) needs.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Time for a request's head to arrive, and for an idle connection to stay.
    pub head_timeout: Duration,
    /// Who may ask.
    pub gate: GateConfig,
    /// Where the subnet's hotkeys and their stakes are read from.
    pub stakes: StakeSource,
    /// The chain on which the miner is registered and published.
    pub chain: ChainConfig,
    /// Tasks and media. Its journal is the miner's, when that is open.
    pub store: task::Config,
    /// Who makes pictures and videos.
    pub services: Services,
    /// How tasks are worked on.
    pub rules: Rules,
    /// Which addresses webhooks may be at.
    pub webhooks: AddressGuard,
    /// Where what happens is recorded; `None` for nowhere.
    pub journal: Option<Place>,
}

/// The miner's place on chain.
#[derive(Debug, Clone)]
pub struct ChainConfig {
    /// Whom to ask.
    pub endpoints: Endpoints,
    /// The subnet.
    pub netuid: Netuid,
    /// How often registration and axon are looked at.
    pub look: Duration,
    /// The address to publish, where the operator names it.
    pub address: Option<IpAddr>,
    /// Who is asked for it where this host's own is not public.
    pub address_url: String,
}

/// Why the miner cannot start. [`ConfigError::hint`] says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A variable's value.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The chain's address.
    #[error("`{name}`: {source}")]
    Network {
        /// The variable.
        name: &'static str,
        /// What is wrong with it.
        source: EndpointError,
    },
    /// The stakes cannot be read.
    #[error(transparent)]
    Stakes(#[from] FollowError),
    /// `ADIT_ALLOWED_HOSTS`.
    #[error("`ADIT_ALLOWED_HOSTS`: {0}")]
    AllowList(#[from] AllowListError),
    /// The services.
    #[error(transparent)]
    Services(#[from] SetupError),
    /// A service that is configured and can never serve.
    #[error(transparent)]
    Unusable(Unusable),
    /// `DATABASE_URL`.
    #[error("`DATABASE_URL`: {0}")]
    Database(StoreError),
}

impl ConfigError {
    /// What to do about it, where there is more to say than the error does.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Stakes(FollowError::File(_)) => Some(
                "set STAKE_TABLE_FILE to a JSON file {\"<ss58 hotkey>\": stake}, or leave it unset to take the stakes \
                 from the chain",
            ),
            Self::Database(_) => Some("leave it unset to keep the tasks in a file in MINER_STATE_DIR"),
            Self::Unusable(_) => {
                Some("docs/environment.md lists services and models; none refuses a modality")
            }
            Self::Setting(SettingError::Invalid { .. } | SettingError::Missing { .. }) => {
                Some("docs/environment.md says what it takes")
            }
            _ => None,
        }
    }
}

impl Config {
    /// Resolves and checks everything for the miner with this hotkey.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn from_settings(env: &Environment, own_hotkey: Hotkey) -> Result<Self, ConfigError> {
        let services = Services::from_environment(env, SystemTime::now())?;
        for modality in Modality::ALL {
            if let Slot::Unusable(why) = services.slot(modality)
                && why.refuses_start()
            {
                return Err(ConfigError::Unusable(why.clone()));
            }
        }
        let webhooks =
            AddressGuard::public_only().allowing(env.text(&var::ALLOWED_HOSTS)?.unwrap_or_default())?;
        // Only this word, and not the others that a switch has (generative reference, section 11).
        let anybody = env.text(&var::NO_FORCE_VALIDATOR_PERMIT)?.is_some_and(|text| text == "true");
        let chain = chain(env)?;
        Ok(Self {
            listen: SocketAddr::new(
                env.parsed(&var::AXON_IP, "an IP address to listen on, such as 0.0.0.0")?,
                env.parsed(&var::AXON_PORT, "a port from 0 to 65535")?,
            ),
            head_timeout: HEAD_TIMEOUT,
            gate: GateConfig {
                policy: Policy { own_hotkey, min_stake: (!anybody).then_some(MIN_STAKE) },
                nonce_capacity: usize_of(env, &var::NONCE_CAPACITY, 1 << 32)?,
                max_body: usize_of(env, &var::MAX_BODY_BYTES, 1 << 30)?,
                body_timeout: BODY_TIMEOUT,
            },
            stakes: stakes(env, &chain)?,
            chain,
            store: store(env)?,
            services,
            rules: Rules {
                concurrency: usize_of(env, &var::MAX_CONCURRENT_TASKS, 1000)?,
                timeout: Duration::from_secs(count(env, &var::TASK_TIMEOUT, 7200)?),
                fail_over: env.toggle(&var::FAIL_OVER)?,
                keep: Duration::from_secs(3600 * count(env, &var::KEEP_HOURS, 8760)?),
                save_locally: env.toggle(&var::SAVE_LOCALLY)?,
            },
            webhooks,
            journal: Place::from_settings(env, GENERATIVE)?,
        })
    }
}

/// A whole number from 1 to `most`.
fn count(env: &Environment, var: &'static Var, most: u64) -> Result<u64, SettingError> {
    let expected = format!("a whole number from 1 to {most}");
    let value = env.parsed(var, &expected)?;
    if (1..=most).contains(&value) { Ok(value) } else { Err(env.invalid(var, &expected)) }
}

fn usize_of(env: &Environment, var: &'static Var, most: u64) -> Result<usize, SettingError> {
    Ok(usize::try_from(count(env, var, most)?).unwrap_or(usize::MAX))
}

fn chain(env: &Environment) -> Result<ChainConfig, ConfigError> {
    let named = &var::GENERATOR_ENDPOINT;
    let endpoints = Endpoints::parse(env.required(named)?)
        .map_err(|source| ConfigError::Network { name: named.name, source })?;
    let address = match env.required(&var::AXON_EXTERNAL_IP)?.trim() {
        "auto" => None,
        _ => Some(env.parsed(&var::AXON_EXTERNAL_IP, "an IP address, or auto")?),
    };
    Ok(ChainConfig {
        endpoints,
        netuid: Netuid(env.parsed(&var::GENERATOR_NETUID, "a subnet number from 0 to 65535")?),
        look: Duration::from_secs(count(env, &var::STAKE_REFRESH_SECONDS, 86_400)?),
        address,
        address_url: env.required(&var::PUBLIC_IP_URL)?.to_owned(),
    })
}

fn stakes(env: &Environment, chain: &ChainConfig) -> Result<StakeSource, ConfigError> {
    if let Some(file) = env.path_by_file(&var::STAKE_TABLE_FILE)? {
        stake_file::read(&file).map_err(FollowError::from)?;
        return Ok(StakeSource::File(file));
    }
    // A `~` that stayed means that there is no HOME: then nothing is kept.
    let folder = env.path(&var::DATA_FOLDER)?.filter(|folder| !folder.starts_with("~"));
    let copy = folder.map(|folder| folder.join(format!("stakes-{}.json", chain.netuid)));
    let (endpoints, netuid) = (chain.endpoints.clone(), chain.netuid);
    Ok(StakeSource::Chain(ChainStakes { endpoints, netuid, refresh: chain.look, copy }))
}

fn store(env: &Environment) -> Result<task::Config, ConfigError> {
    let output_dir = env.path_by_file(&var::OUTPUT_DIR)?.unwrap_or_default();
    let daily_budget = match env.text(&var::DAILY_BUDGET)? {
        None => None,
        Some(_) => Some(env.parsed::<Usd>(&var::DAILY_BUDGET, "an amount in USD such as 20")?),
    };
    Ok(task::Config {
        database: database(env)?,
        output_dir,
        queue: count(env, &var::TASK_QUEUE, 1_000_000)?,
        daily_budget,
        journal: None,
    })
}

/// Where the tasks are kept: `DATABASE_URL`, else a file in `MINER_STATE_DIR`.
///
/// # Errors
/// [`ConfigError::Database`], or a setting that cannot be read.
pub fn database(env: &Environment) -> Result<Address, ConfigError> {
    if let Some(url) = env.secret(&var::DATABASE_URL)? {
        return Address::parse(&url).map_err(ConfigError::Database);
    }
    let folder: PathBuf = match env.path_by_file(&var::STATE_DIR)? {
        Some(folder) => folder,
        None => env.path_by_file(&var::OUTPUT_DIR)?.unwrap_or_default().join(STATE_FOLDER),
    };
    Ok(Address::Sqlite(folder.join("tasks.db")))
}
