//! Turbo Vision's commands.

mod account;
mod chute;
mod lint;
mod local;
mod logs;
mod manifest;
mod push;
mod rehearse;
mod scores;
mod script;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use adit_outbound::{AddressGuard, Client};
use adit_settings::{Environment, SecretString, var};
use adit_turbo_vision::chutes::{Api, Auth, Chute, Config};
use adit_turbo_vision::hub::{Hub, RepositoryName};
use adit_turbo_vision::names::{ChuteName, Petnames, nickname, repository};
use tokio::time::Instant;

use crate::cli::turbo_vision::{TurboVisionCommand, WhichChute};
use crate::failure::Failure;

pub(super) use rehearse::{drawn_element, drawn_scene, print as print_rehearsal};

/// Time for a question to the hub or to Chutes.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn run(env: &Environment, command: TurboVisionCommand) -> Result<ExitCode, Failure> {
    match command {
        TurboVisionCommand::GenerateChuteScript(args) => script::generate(env, &args),
        TurboVisionCommand::Push(args) => push::run(env, *args),
        TurboVisionCommand::ChuteSlug(args) => chute::slug(env, &args),
        TurboVisionCommand::PingChute(args) => chute::ping(env, &args),
        TurboVisionCommand::TestChute(args) => rehearse::run(env, args),
        TurboVisionCommand::DeleteChute(args) => chute::delete(env, &args),
        TurboVisionCommand::ChuteLogs(args) => logs::run(env, &args),
        TurboVisionCommand::DeployLocalChute(args) => local::run(env, &args),
        TurboVisionCommand::Chutes(command) => account::run(env, &command),
        TurboVisionCommand::Scores(args) => scores::run(env, &args),
        TurboVisionCommand::Manifest(command) => manifest::run(env, &command),
        TurboVisionCommand::Elements(args) => manifest::elements(env, &args),
        TurboVisionCommand::Lint(args) => lint::run(env, &args),
    }
}

fn soon() -> Instant {
    Instant::now() + PATIENCE
}

/// The operator's own settings name every address, so none is out of bounds.
fn client() -> Result<Client, Failure> {
    Ok(Client::new(AddressGuard::unrestricted())?)
}

/// The values that env.example has, which nobody's account has.
fn own(value: Option<&str>, example: &str) -> Option<String> {
    value.map(str::trim).filter(|value| !value.is_empty() && *value != example).map(str::to_owned)
}

fn huggingface_user(env: &Environment) -> Result<String, Failure> {
    own(env.text(&var::HF_USER)?, "Your_hf_user").ok_or_else(|| {
        Failure::new("`HF_USER` is not set")
            .hint("put your account's name at Hugging Face into .env: HF_USER=me")
    })
}

fn huggingface_token(env: &Environment) -> Result<Option<SecretString>, Failure> {
    secret(env, &var::HF_TOKEN, "hf_xxx")
}

fn secret(
    env: &Environment,
    var: &'static adit_settings::Var,
    example: &str,
) -> Result<Option<SecretString>, Failure> {
    use adit_settings::ExposeSecret as _;
    let set = env.secret(var)?;
    Ok(set.filter(|secret| own(Some(secret.expose_secret()), example).is_some()))
}

fn hub(env: &Environment) -> Result<Hub, Failure> {
    Ok(Hub::new(env.required(&var::HF_ENDPOINT)?, huggingface_token(env)?)?)
}

fn repository_name(env: &Environment) -> Result<RepositoryName, Failure> {
    repository(&huggingface_user(env)?).parse().map_err(Failure::new)
}

fn chutes_user(env: &Environment) -> Result<String, Failure> {
    own(env.text(&var::CHUTES_USERNAME)?, "xx").ok_or_else(|| {
        Failure::new("`CHUTES_USERNAME` is not set").hint(
            "put your account's name at Chutes into .env: CHUTES_USERNAME=me; `sv chutes register` makes one",
        )
    })
}

fn config_file(env: &Environment) -> Result<PathBuf, Failure> {
    env.path(&var::CHUTES_CONFIG)?.ok_or_else(|| {
        Failure::new("no home directory to look for config.ini in").hint("name the file: CHUTES_CONFIG_PATH")
    })
}

fn chutes_key(env: &Environment) -> Result<Option<SecretString>, Failure> {
    secret(env, &var::CHUTES_API_KEY, "cpk_xx.x.x")
}

/// With the key of the settings, else with the hotkey of the chutes program.
fn api(env: &Environment) -> Result<Api, Failure> {
    let auth = match chutes_key(env)? {
        Some(key) => Auth::api_key(key).map_err(Failure::new)?,
        None => {
            let file = config_file(env)?;
            let config = Config::read(&file).map_err(|error| {
                Failure::new(format!("`CHUTES_API_KEY` is not set, and {error}"))
                    .hint("put the account's key into .env: CHUTES_API_KEY=cpk_…")
            })?;
            Auth::hotkey(&config)
        }
    };
    Ok(Api::new(client()?, env.required(&var::CHUTES_ENDPOINT)?, auth))
}

/// The commit that is meant: all 40 digits as they are, anything else as the hub has it.
async fn commit_of(env: &Environment, revision: &str) -> Result<String, Failure> {
    if let Ok(commit) = revision.parse::<adit_turbo_vision::hub::Commit>() {
        return Ok(commit.as_str().to_owned());
    }
    let commit = hub(env)?.resolve(&repository_name(env)?, revision).await?;
    Ok(commit.as_str().to_owned())
}

fn petnames(env: &Environment) -> Result<Petnames, Failure> {
    match env.required(&var::PETNAME_VERSION)? {
        "2.6" => Ok(Petnames::V2_6),
        "2.9" => Ok(Petnames::V2_9),
        _ => Err(env.invalid(&var::PETNAME_VERSION, "2.6 or 2.9").into()),
    }
}

/// What a commit's chute is called.
fn chute_name(env: &Environment, commit: &str) -> Result<ChuteName, Failure> {
    let nickname = nickname(commit, petnames(env)?).map_err(Failure::new)?;
    Ok(ChuteName::new(&huggingface_user(env)?, nickname))
}

/// The chute that the arguments name, for the journal.
fn target(which: &WhichChute) -> String {
    match which {
        WhichChute { local: true, .. } => "the chute on this host".to_owned(),
        WhichChute { url: Some(url), .. } => crate::commands::recorded::address(url),
        WhichChute { revision, .. } => {
            format!("the chute of revision {}", revision.as_deref().unwrap_or("main"))
        }
    }
}

/// The chute that the arguments name, and its id where it is at Chutes.
async fn which(env: &Environment, which: &WhichChute) -> Result<(Chute, Option<String>), Failure> {
    if which.local {
        let url = WhichChute::local_url(env)?;
        return Ok((asked(env, &url, None)?, None));
    }
    if let Some(url) = &which.url {
        return Ok((asked(env, url, chutes_key(env)?)?, None));
    }
    let revision = which.revision.as_deref().unwrap_or("main");
    let commit = commit_of(env, revision).await?;
    let name = chute_name(env, &commit)?;
    let api = api(env)?;
    let found = chute::find(&api, env, &name, &commit).await?;
    let key = chutes_key(env)?.ok_or_else(|| {
        Failure::new("`CHUTES_API_KEY` is not set, and a chute answers its account's key only")
            .hint("put the account's key into .env: CHUTES_API_KEY=cpk_…")
    })?;
    let url = env.required(&var::CHUTE_BASE_URL)?.replace("{slug}", &found.slug);
    Ok((asked(env, &url, Some(key))?, Some(found.chute_id)))
}

fn asked(env: &Environment, url: &str, key: Option<SecretString>) -> Result<Chute, Failure> {
    Ok(Chute::new(client()?, url, key).with_predict_path(env.required(&var::CHUTE_PREDICT_PATH)?))
}
