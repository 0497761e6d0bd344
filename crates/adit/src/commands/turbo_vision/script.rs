//! `sv generate-chute-script`, and the script of a chute for those who deploy it.

use std::process::ExitCode;

use adit_outbound::Limits;
use adit_settings::{Environment, var};
use adit_turbo_vision::names::repository;
use adit_turbo_vision::template::{self, FileNames, Folder, PUBLISHED_URL, Published, Values};

use super::{chute_name, chutes_user, client, commit_of, huggingface_user, soon};
use crate::cli::turbo_vision::{GenerateChuteScript, TemplateArgs};
use crate::commands::block_on;
use crate::failure::Failure;

/// More than a template has.
const LARGEST: u64 = 1 << 20;

pub(super) fn generate(env: &Environment, args: &GenerateChuteScript) -> Result<ExitCode, Failure> {
    block_on(async {
        // What is wrong with the files is said before anybody is asked for the revision.
        let source = Source::find(env, &args.template).await?;
        let commit = commit_of(env, &args.revision.revision).await?;
        let script = source.render(env, &commit)?;
        template::write(&args.output, &script)?;
        let name = chute_name(env, &commit)?;
        println!("✓ wrote {} for revision {commit}: chute {name}", args.output.display());
        Ok(ExitCode::SUCCESS)
    })
}

/// What a script is made from.
pub(super) enum Source {
    Folder(Folder),
    Published(Published),
}

impl Source {
    /// The published template where the arguments name one, else the operator's folder.
    pub(super) async fn find(env: &Environment, args: &TemplateArgs) -> Result<Self, Failure> {
        let Some(named) = &args.template else { return Self::folder(env) };
        Self::published(env, named, args.template_sha256.as_deref()).await
    }

    pub(super) fn folder(env: &Environment) -> Result<Self, Failure> {
        Ok(Self::Folder(folder(env)?))
    }

    pub(super) async fn published(
        env: &Environment,
        named: &str,
        sha256: Option<&str>,
    ) -> Result<Self, Failure> {
        let url = if named == "published" { PUBLISHED_URL } else { named };
        let cache = env.path(&var::CACHE_DIR)?.ok_or_else(|| {
            Failure::new("no home directory for a cache").hint("name one: SCOREVISION_CACHE_DIR")
        })?;
        let limits = Limits::new(soon(), LARGEST);
        let found = Published::obtain(url, sha256, &cache, &client()?, &limits).await?;
        Ok(Self::Published(found))
    }

    /// The script of a commit's chute.
    pub(super) fn render(&self, env: &Environment, commit: &str) -> Result<String, Failure> {
        let repository = repository(&huggingface_user(env)?);
        let chutes_user = chutes_user(env)?;
        let name = chute_name(env, commit)?.to_string();
        let values = Values {
            repository: &repository,
            revision: commit,
            chutes_user: &chutes_user,
            chute_name: &name,
        };
        Ok(match self {
            Self::Folder(folder) => folder.render(&values, env.required(&var::CHUTE_PREDICT_PATH)?)?,
            Self::Published(template) => template.render(&values)?,
        })
    }
}

/// The operator's template.
pub(super) fn folder(env: &Environment) -> Result<Folder, Failure> {
    let file = |var| env.required(var).map(str::to_owned);
    let names = FileNames {
        main: file(&var::CHUTE_MAIN)?,
        schemas: file(&var::CHUTE_SCHEMAS)?,
        setup: file(&var::CHUTE_SETUP)?,
        load: file(&var::CHUTE_LOAD)?,
        predict: file(&var::CHUTE_PREDICT)?,
    };
    Ok(Folder::find(env.path_by_file(&var::CHUTE_TEMPLATES)?.as_deref(), names)?)
}
