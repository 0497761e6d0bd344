//! Everything that can be wrong before the first change is looked at first, what costs nothing before what does.

use std::path::{Path, PathBuf};

use adit_chain::Netuid;
use adit_manifest::Element;
use adit_settings::{Environment, SecretString, var};
use adit_turbo_vision::chutes::cli::{Cli, Surroundings, find};
use adit_turbo_vision::chutes::{Api, MIN_BUILD_BALANCE};
use adit_turbo_vision::hub::{Hub, RepositoryName, Selection};

use super::super::script::Source;
use super::super::{
    api, chutes_key, chutes_user, config_file, hub, huggingface_token, lint, repository_name, secret, soon,
};
use crate::cli::turbo_vision::{EraArg, Push};
use crate::commands::chain::connect;
use crate::commands::element::{self, Track};
use crate::commands::recorded;
use crate::commands::say::Say;
use crate::commands::sealed::Committer;
use crate::failure::Failure;

/// What is pushed, settled before anything is changed.
pub(super) struct Plan {
    pub(super) env: Environment,
    pub(super) args: Push,
    pub(super) hub: Hub,
    pub(super) repository: RepositoryName,
    pub(super) selection: Option<Selection>,
    pub(super) at_once: usize,
    /// The token that the chute gets.
    pub(super) chute_token: Option<SecretString>,
    pub(super) deploying: Option<Deploying>,
    pub(super) committing: Option<Committing>,
}

/// What is needed to deploy.
pub(super) struct Deploying {
    pub(super) source: Source,
    pub(super) api: Api,
    pub(super) cli: Cli,
}

/// What is needed to commit.
pub(super) struct Committing {
    pub(super) committer: Committer,
    pub(super) element: Option<String>,
}

pub(super) async fn preflight(env: &Environment, args: Push, say: &mut Say) -> Result<Plan, Failure> {
    let repository = repository_name(env)?;
    if huggingface_token(env)?.is_none() {
        return Err(Failure::new("`HF_TOKEN` is not set").hint(
            "put an access token that may write into .env; https://huggingface.co/settings/tokens makes one",
        ));
    }
    let at_once: usize = env.parsed(&var::HF_CONCURRENCY, "a number from 1 to 16")?;
    if !(1..=16).contains(&at_once) {
        return Err(env.invalid(&var::HF_CONCURRENCY, "a number from 1 to 16").into());
    }
    let selection = args.folder().map(|folder| Selection::of(&folder)).transpose().map_err(Failure::new)?;
    let hub = hub(env)?;
    let era = match (args.era, args.folder()) {
        (Some(era), _) => era,
        (None, Some(folder)) => lint::era_of(&folder),
        (None, None) => {
            let revision = args.revision.as_deref().unwrap_or("main");
            let files = hub.files(&repository, revision).await?;
            let has_miner = files.iter().any(|file| file.path == lint::MINER);
            if has_miner { EraArg::Head } else { EraArg::Document }
        }
    };
    let committing = if args.commits() { Some(committing(env, &args, era, say).await?) } else { None };
    let element = committing.as_ref().and_then(|(_, element)| element.as_ref());
    if let (Some(folder), Some(selection)) = (args.folder(), &selection) {
        lint::before_push(&folder, selection, era, element, args.allow_refused, say)?;
    }
    let account = hub.whoami().await?;
    if account.may_write(&repository) == Some(false) {
        return Err(Failure::new(format!("the token of {} may not write to {repository}", account.name))
            .hint("make one of the kind `write` for HF_TOKEN, and set HF_USER to its account"));
    }
    let deploying = if args.no_deploy { None } else { Some(deploying(env, &args, era, say).await?) };
    let chute_token = secret(env, &var::CHUTES_HF_TOKEN, "hf_xxx")?;
    if deploying.is_some() && chute_token.is_none() {
        say.warn(
            "CHUTES_HF_TOKEN is not set: the chute cannot read the private repository, so its health is seen only after \
             the commitment is revealed",
        );
    }
    Ok(Plan {
        env: env.clone(),
        args,
        hub,
        repository,
        selection,
        at_once,
        chute_token,
        deploying,
        committing: committing.map(|(committing, _)| committing),
    })
}

async fn committing(
    env: &Environment,
    args: &Push,
    era: EraArg,
    say: &mut Say,
) -> Result<(Committing, Option<Element>), Failure> {
    let netuid = args.netuid.resolve(env)?;
    let told = args.network.told().map_or_else(|| env.required(&var::SUBTENSOR_ENDPOINT), Ok)?;
    if netuid != Netuid(44) || told == "test" {
        say.warn(format_args!("commits on subnet {netuid} of {told}; Turbo Vision is subnet 44 of finney"));
    }
    let wallet = args.wallet.resolve(env)?;
    let chain = connect(env, &args.network)?;
    let (committer, known) =
        Committer::prepare(env, chain, netuid, &wallet, &args.password, args.dry_run).await?;
    if let Some(journal) = say.journal() {
        let newest = known.revealed.last().map(adit_chain::Revealed::text);
        let told = recorded::record_chain(
            journal,
            &committer.chain,
            told,
            netuid,
            committer.hotkey,
            newest.as_deref(),
        );
        if let Err(error) = told.await {
            tracing::debug!("the miner's place on chain is not recorded: {error}");
        }
    }
    if known.revealed.len() >= 10 {
        say.warn(
            "the chain keeps the 10 newest commitments of a hotkey: this one pushes out the oldest, which validators then \
             find by an archive only",
        );
    }
    // The first generation knew no elements, so its chutes need none.
    let named = args.element_id.as_deref();
    let id = match (named, era) {
        (Some(id), _) => Some(id.to_owned()),
        (None, EraArg::Document) => None,
        (None, EraArg::Head) => {
            Some(element::choose(env, None, Track::Open, known.block, args.json, say).await?)
        }
    };
    let element = match &id {
        None => None,
        Some(id) => match element::manifest(env, Some(known.block)).await {
            Ok(loaded) => Some(lint::element_in(&loaded.manifest, id)?),
            Err(failure) => {
                say.warn(format_args!("the element's limits are not checked: {}", failure.parts().0));
                None
            }
        },
    };
    Ok((Committing { committer, element: id }, element))
}

async fn deploying(env: &Environment, args: &Push, era: EraArg, say: &mut Say) -> Result<Deploying, Failure> {
    let template = &args.template;
    let source = match (&template.template, era) {
        (Some(named), _) => Source::published(env, named, template.template_sha256.as_deref()).await?,
        // Validators of today compare with the published one.
        (None, EraArg::Head) => Source::published(env, "published", None).await?,
        (None, EraArg::Document) => Source::folder(env)?,
    };
    let user = chutes_user(env)?;
    let api = api(env)?;
    let search_path = std::env::var_os("PATH").unwrap_or_default();
    let named = own_program(env)?;
    let program =
        find(named.as_deref(), &search_path).map_err(|error| Failure::new(&error).hint(error.hint()))?;
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let others = ["HF_ENDPOINT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "TMPDIR"];
    let surroundings = Surroundings {
        search_path,
        home,
        config: config_file(env)?,
        hugging_face_token: huggingface_token(env)?,
        others: others.iter().filter_map(|name| Some(((*name).into(), std::env::var_os(name)?))).collect(),
        hidden: [chutes_key(env)?, secret(env, &var::CHUTES_HF_TOKEN, "")?].into_iter().flatten().collect(),
    };
    let cli = Cli::new(program, surroundings, &user, env.required(&var::CHUTES_ENDPOINT)?)
        .map_err(|error| Failure::new(&error).hint(error.hint()))?;
    let account = api.account(soon()).await?;
    if account.username != user {
        return Err(Failure::new(format!(
            "CHUTES_API_KEY is that of {}, and CHUTES_USERNAME is {user}",
            account.username
        ))
        .hint("set both to one account"));
    }
    cli.config().check_account(&account).map_err(|error| Failure::new(&error).hint(error.hint()))?;
    // Proof that the key reaches what is deployed; whether it may change it, no call says.
    api.may_list(soon()).await?;
    if let Some(balance) = account.balance.filter(|balance| *balance < MIN_BUILD_BALANCE) {
        say.warn(format_args!(
            "the account has {balance:.2} USD left, and Chutes builds no image below {MIN_BUILD_BALANCE:.0}"
        ));
    }
    Ok(Deploying { source, api, cli })
}

/// The program that the settings name, where they do.
fn own_program(env: &Environment) -> Result<Option<PathBuf>, Failure> {
    let named = env.path(&var::CHUTES_PROGRAM)?.filter(|named| named != Path::new("chutes"));
    Ok(named.map(|named| match named.components().count() {
        // A bare name is looked for in PATH.
        1 => std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
            .map(|folder| folder.join(&named))
            .find(|path| path.is_file())
            .unwrap_or(named),
        _ => named,
    }))
}
