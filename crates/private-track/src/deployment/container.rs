//! How the image runs: live on this host, and in a spot check.

use adit_chain::Netuid;
use adit_docker::{Container, Gpus, Hardening, Port};
use adit_keys::Hotkey;
use adit_settings::{Environment, Example, SettingError, Var, var};

/// The port within the container, which no setting moves.
pub const PORT: u16 = 8000;
/// Where the image keeps what it keeps, its journal among it.
pub const DATA_FOLDER: &str = "/var/lib/adit";
/// Label of a live miner's container; its value is the host's port.
pub const MINER_LABEL: &str = "adit.private-track.port";

/// Settings that a live miner takes from the operator's. Not the predictor's, which are in the image; nor
/// any that names a file, a wallet or a registry of this host.
const PASSED: [&Var; 23] = [
    &var::NETUID,
    &var::SUBTENSOR_NETWORK,
    &var::SUBTENSOR_ADDRESS,
    &var::MIN_STAKE_THRESHOLD,
    &var::BLACKLIST_ENABLED,
    &var::VERIFY_ENABLED,
    &var::STAKE_REFRESH_SECONDS,
    &var::STAKES_UNKNOWN,
    &var::STAKE_TABLE_MAX_AGE,
    &var::DIALECTS,
    &var::NONCE_CAPACITY,
    &var::ALLOWED_HOSTS,
    &var::MAX_BODY_BYTES,
    &var::MAX_CLIP_BYTES,
    &var::DEADLINE_SECONDS,
    &var::CONCURRENCY,
    &var::QUEUE,
    &var::WORKER_START_SECONDS,
    &var::WORKER_GPUS,
    &var::WORKER_RECYCLE,
    &var::JOURNAL_BYTES,
    &var::JOURNAL_DAYS,
    &var::LOG,
];

/// What a spot check allows the image (section 7): CPUs, and memory in bytes.
const CHECK_CPUS: u32 = 14;
const CHECK_MEMORY: u64 = 180 << 30;

/// A live miner.
#[derive(Debug, Clone)]
pub struct Live {
    /// Name or id of the image.
    pub image: String,
    /// `repo@sha256:…`, written beside each recorded answer; the id where it was not pushed.
    pub known_as: String,
    /// Whose miner it is; `None` where that cannot be known and need not.
    pub hotkey: Option<Hotkey>,
    /// The host's port.
    pub port: u16,
    /// Which of the host's GPUs it gets.
    pub gpus: Gpus,
}

impl Live {
    /// The container: only the variables that it needs, and of the wallet no more than the hotkey's address.
    ///
    /// # Errors
    /// Where a setting contradicts itself.
    pub fn container(&self, env: &Environment) -> Result<Container, SettingError> {
        let mut variables = Vec::new();
        for var in PASSED {
            if let Some(value) = env.written(var)? {
                variables.push((var.name.to_owned(), value.to_owned()));
            }
        }
        if env.written(&var::SUBTENSOR_NETWORK)?.is_none()
            && env.written(&var::SUBTENSOR_ADDRESS)?.is_none()
            && let Some(endpoint) = env.written(&var::SUBTENSOR_ENDPOINT)?
        {
            // The stakes come from the chain that the other commands ask.
            let name =
                if endpoint.contains("://") { &var::SUBTENSOR_ADDRESS } else { &var::SUBTENSOR_NETWORK };
            variables.push((name.name.to_owned(), endpoint.to_owned()));
        }
        for name in worker_variables(env)? {
            if let Some((_, value)) = env.variables().find(|(other, _)| *other == name) {
                variables.push((name.clone(), value.to_owned()));
            }
        }
        if let Some(names) = env.written(&var::WORKER_ENV)? {
            variables.push((var::WORKER_ENV.name.to_owned(), names.to_owned()));
        }
        if let Some(hotkey) = &self.hotkey {
            variables.push((var::HOTKEY_ADDRESS.name.to_owned(), hotkey.to_string()));
        }
        variables.push((var::IMAGE.name.to_owned(), self.known_as.clone()));
        Ok(Container {
            name: format!("pt-miner-{}", self.port),
            image: self.image.clone(),
            env: variables,
            labels: vec![(MINER_LABEL.to_owned(), self.port.to_string())],
            ports: vec![Port { address: None, host: self.port, container: PORT }],
            volumes: vec![(journal_volume(self.port), DATA_FOLDER.to_owned())],
            gpus: self.gpus,
            ..Container::default()
        })
    }
}

/// The volume with the journal of the miner at a port: it outlives the containers, one of which follows
/// another.
fn journal_volume(port: u16) -> String {
    format!("pt-miner-{port}")
}

/// Variables that the model gets by `ADIT_WORKER_ENV`. A spot check has none of them.
///
/// # Errors
/// Where the setting contradicts itself.
pub fn worker_variables(env: &Environment) -> Result<Vec<String>, SettingError> {
    let names = env.text(&var::WORKER_ENV)?.unwrap_or_default();
    Ok(names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

/// The image as a spot check runs it: no wallet, no capability, security off, a network that leads only to
/// the checker. `cpus` is what the host has.
#[must_use]
pub fn checked(name: String, image: &str, network: &str, netuid: Netuid, cpus: u32, gpus: bool) -> Container {
    let variables = [
        (var::VERIFY_ENABLED.name, "false"),
        (var::BLACKLIST_ENABLED.name, "false"),
        ("VERIFY", "false"),
        ("BLACKLIST", "false"),
        (var::SPOTCHECK_MODE.name, "true"),
    ];
    let mut variables: Vec<_> =
        variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    variables.push(("NETUID".to_owned(), netuid.to_string()));
    Container {
        network: Some((network.to_owned(), vec![name.clone()])),
        name,
        image: image.to_owned(),
        env: variables,
        hardening: Hardening {
            no_capabilities: true,
            cpus: Some(CHECK_CPUS.min(cpus.max(1))),
            memory: Some(CHECK_MEMORY),
        },
        gpus: if gpus { Gpus::One } else { Gpus::None },
        ..Container::default()
    }
}

/// The other side of a spot check: the clips' host under the name that Score gives it, and who asks.
#[must_use]
pub fn checker(name: String, image: &str, network: &str, command: Vec<String>) -> Container {
    Container {
        network: Some((network.to_owned(), vec![crate::spot_check::VIDEO_PROXY.to_owned()])),
        name,
        image: image.to_owned(),
        command: Some(command),
        ..Container::default()
    }
}

/// Whether a value is the one that `env.example` shows in place of the operator's own.
pub(super) fn is_placeholder(var: &Var, value: &str) -> bool {
    matches!(var.example, Example::Set(example) if example == value && value.starts_with("your-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(pairs: &[(&str, &str)]) -> Container {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let env = Environment::layered(pairs, None).unwrap();
        let live = Live {
            image: "sha256:ab".into(),
            known_as: "me/x@sha256:cd".into(),
            hotkey: Some("5H6TiKX8XNWAfyzk8SDfCn7rvv1UVH7nyKVn8YQogq5Ky4rr".parse().unwrap()),
            port: 9000,
            gpus: Gpus::None,
        };
        live.container(&env).unwrap()
    }

    #[test]
    fn a_live_miner_gets_no_secret_no_wallet_and_no_mount_of_the_host() {
        let container = live(&[
            ("DOCKERHUB_TOKEN", "canary-token"),
            ("GITHUB_TOKEN", "canary-token"),
            ("BT_PW_ROOT", "canary-password"),
            ("COLDKEY", "main"),
            ("ADIT_WALLET_PASSWORD_FILE", "/canary"),
            ("MINER_PORT", "9000"),
            ("ADIT_PREDICTOR", "worker"),
            ("MIN_STAKE_THRESHOLD", "500"),
            ("SOMETHING", "canary"),
        ]);
        let json = container.to_json();
        assert!(!json.contains("canary") && !json.contains("main"), "{json}");
        let names: Vec<_> = container.env.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["MIN_STAKE_THRESHOLD", "ADIT_HOTKEY", "ADIT_IMAGE"]);
        assert_eq!(container.ports, [Port { address: None, host: 9000, container: 8000 }]);
        assert_eq!(container.volumes, [("pt-miner-9000".into(), "/var/lib/adit".into())]);
    }

    #[test]
    fn the_chain_of_the_commands_is_the_one_for_the_stakes_unless_another_is_named() {
        let network = |pairs: &[(&str, &str)]| {
            let subtensor = |name: &&(String, String)| name.0.starts_with("SUBTENSOR");
            live(pairs).env.iter().filter(subtensor).cloned().collect::<Vec<_>>()
        };
        let pair = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        assert_eq!(network(&[("BITTENSOR_SUBTENSOR_ENDPOINT", "test")]), pair("SUBTENSOR_NETWORK", "test"));
        assert_eq!(
            network(&[("BITTENSOR_SUBTENSOR_ENDPOINT", "wss://node.example")]),
            pair("SUBTENSOR_ADDRESS", "wss://node.example")
        );
        let both = [("BITTENSOR_SUBTENSOR_ENDPOINT", "test"), ("SUBTENSOR_NETWORK", "finney")];
        assert_eq!(network(&both), pair("SUBTENSOR_NETWORK", "finney"));
    }

    #[test]
    fn a_models_own_variables_come_along_by_name() {
        let container =
            live(&[("ADIT_WORKER_ENV", "MODEL_SIZE, MISSING"), ("MODEL_SIZE", "large"), ("OTHER", "x")]);
        let has = |name: &str| container.env.iter().any(|(other, _)| other == name);
        assert!(has("MODEL_SIZE") && has("ADIT_WORKER_ENV") && !has("MISSING") && !has("OTHER"));
    }

    #[test]
    fn a_checked_image_has_what_score_gives_it_and_no_more() {
        let container = checked("pt-check".into(), "me/x:v1", "net", Netuid(44), 2, false);
        let names: Vec<_> = container.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            names,
            [
                "VERIFY_ENABLED=false",
                "BLACKLIST_ENABLED=false",
                "VERIFY=false",
                "BLACKLIST=false",
                "SPOTCHECK_MODE=true",
                "NETUID=44"
            ]
        );
        assert!(
            container.hardening.no_capabilities && container.ports.is_empty() && container.volumes.is_empty()
        );
        assert_eq!(container.hardening.cpus, Some(2));
    }
}
