//! `gascli generator info`.

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use adit_generative::Modality;
use adit_generative::service::{KeyState, Provider, Services, Slot};
use adit_settings::{Environment, Var, var};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::cli::gascli::Info;
use crate::commands::block_on;
use crate::failure::Failure;

/// Time for the providers.
const ASKING: Duration = Duration::from_secs(4);

/// What is shown of the configuration, under upstream's words.
const SHOWN: [(&str, &Var); 8] = [
    ("Wallet Name", &var::WALLET_NAME),
    ("Wallet Hotkey", &var::HOTKEY_NAME),
    ("Network", &var::GENERATOR_ENDPOINT),
    ("NetUID", &var::GENERATOR_NETUID),
    ("Axon Port", &var::AXON_PORT),
    ("Device", &var::DEVICE),
    ("Output Directory", &var::OUTPUT_DIR),
    ("Max Concurrent Tasks", &var::MAX_CONCURRENT_TASKS),
];

pub(crate) fn run(env: &Environment, args: &Info) -> Result<ExitCode, Failure> {
    let configuration =
        SHOWN.iter().map(|(name, var)| Ok((*name, shown(env, var)?))).collect::<Result<Vec<_>, Failure>>()?;
    let services = Services::from_environment(env, SystemTime::now()).map_err(Failure::new)?;
    let keys = block_on(async { Ok(keys(&services, args.offline).await) })?;
    let slots = Modality::ALL.map(|modality| (modality, slot(&services, modality)));
    if args.json {
        let configuration: serde_json::Map<String, Value> =
            configuration.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        let keys: Vec<Value> = keys
            .iter()
            .map(|(provider, key)| json!({"key": provider.key_variable(), "state": key.word(), "why": key.why()}))
            .collect();
        let slots: Vec<Value> = slots
            .iter()
            .map(|(modality, (ready, what))| json!({"modality": modality, "ready": ready, "what": what}))
            .collect();
        println!("{:#}", json!({"configuration": configuration, "keys": keys, "services": slots}));
        return Ok(ExitCode::SUCCESS);
    }
    println!("=== Generative Miner Configuration ===");
    for (name, value) in configuration {
        println!("{name}: {value}");
    }
    println!("\n=== Services ===");
    for (modality, (ready, what)) in slots {
        let name = match modality {
            Modality::Image => "Pictures",
            Modality::Video => "Videos",
        };
        println!("{name}: {} {what}", if ready { "✅" } else { "❌" });
    }
    println!("\n=== API Keys Status ===");
    for (provider, key) in keys {
        println!("{provider} ({}): {}", provider.key_variable(), key.shown());
    }
    Ok(ExitCode::SUCCESS)
}

fn shown(env: &Environment, var: &'static Var) -> Result<String, Failure> {
    if var.name == var::OUTPUT_DIR.name {
        return Ok(env.path_by_file(var)?.unwrap_or_default().display().to_string());
    }
    Ok(env.text(var)?.unwrap_or("auto").to_owned())
}

/// Whether a modality is served, and by what or why not.
fn slot(services: &Services, modality: Modality) -> (bool, String) {
    (matches!(services.slot(modality), Slot::Ready(_)), services.in_words(modality))
}

/// How a key stands.
enum Key {
    Missing,
    Set,
    Asked(KeyState),
}

impl Key {
    fn word(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Set => "set",
            Self::Asked(KeyState::Accepted) => "accepted",
            Self::Asked(KeyState::Refused(_)) => "refused",
            Self::Asked(KeyState::Unknown(_)) => "unknown",
        }
    }

    fn why(&self) -> Option<String> {
        match self {
            Self::Asked(KeyState::Refused(why) | KeyState::Unknown(why)) => Some(why.to_string()),
            Self::Missing | Self::Set | Self::Asked(KeyState::Accepted) => None,
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Missing => "❌ Not configured".to_owned(),
            Self::Set => "✅ Configured".to_owned(),
            Self::Asked(KeyState::Accepted) => "✅ Configured, and the provider takes it".to_owned(),
            Self::Asked(KeyState::Refused(why)) => {
                format!("❌ Configured, but the provider refuses it: {why}")
            }
            Self::Asked(KeyState::Unknown(why)) => {
                format!("✅ Configured, but the provider did not say whether it takes it: {why}")
            }
        }
    }
}

async fn keys(services: &Services, offline: bool) -> Vec<(Provider, Key)> {
    let deadline = Instant::now() + ASKING;
    let [a, b, c, d] = Provider::ALL.map(|provider| async move {
        let key = match services.get(provider) {
            None => Key::Missing,
            Some(_) if offline => Key::Set,
            Some(service) => Key::Asked(service.key_state(deadline).await),
        };
        (provider, key)
    });
    let (a, b, c, d) = tokio::join!(a, b, c, d);
    vec![a, b, c, d]
}
