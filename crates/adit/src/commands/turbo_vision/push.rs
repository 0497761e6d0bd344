//! `sv push`: upload, build, deploy, wait for health, commit, publish.
//!
//! As with `sv deploy-pt-miner`, there is no record of what was done: each step looks first whether it holds already.
//! The repository is private until the commitment is revealed, since whoever reads a model first could commit it first.

mod plan;
mod preflight;

use std::process::ExitCode;

use adit_docker::Progress;
use adit_journal::TURBO_VISION;
use adit_settings::{Environment, var};
use adit_turbo_vision::chutes::cli::{Job, Standing};
use adit_turbo_vision::chutes::{ChuteInfo, SecretPut, Share};
use adit_turbo_vision::commitment::Commitment;
use adit_turbo_vision::hub::{Commit, Event, PushOptions};
use adit_turbo_vision::lint;
use adit_turbo_vision::template::{self, integrity};
use serde_json::json;
use tokio::signal::ctrl_c;
use tokio::time::Instant;

use self::preflight::{Deploying, Plan};
use super::script::Source;
use super::{chute_name, soon};
use crate::cli::turbo_vision::Push;
use crate::commands::say::{Say, Step, size};
use crate::commands::{block_on, recorded};
use crate::failure::Failure;

/// The script's module; upstream's name for it, which shows in the chute's dashboard.
const MODULE: &str = "sv_chutes";
/// The tag that both templates give their image.
const TAG: &str = "latest";

pub(super) fn run(env: &Environment, args: Push) -> Result<ExitCode, Failure> {
    block_on(async {
        let mut say = Say::new(args.json);
        // A dry run does nothing that there is to tell of.
        if !args.dry_run {
            say.record(recorded::open(env, TURBO_VISION), what(env, &args));
        }
        let result = tokio::select! {
            result = run_told(env, args, &mut say) => result,
            stopped = ctrl_c() => {
                stopped?;
                Err(Failure::new("stopped").hint("what is done stays done: the same command goes on from here"))
            }
        };
        let code = if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        say.end(result.as_ref().err());
        Ok(code)
    })
}

/// What is pushed, as far as it is known before anything was asked.
fn what(env: &Environment, args: &Push) -> String {
    let named = args.element_id.clone();
    let named = named.or_else(|| Some(super::repository_name(env).ok()?.as_str().to_owned()));
    named.unwrap_or_else(|| "a model".to_owned())
}

async fn run_told(env: &Environment, args: Push, say: &mut Say) -> Result<(), Failure> {
    let mut plan = preflight::preflight(env, args, say).await?;
    if plan.args.dry_run {
        return plan::show(&plan, say).await;
    }
    let commit = upload(&plan, say).await?;
    let Some(deploying) = plan.deploying.take() else {
        say.skipped(Step::Build, "Skipping build and deployment");
        say.skipped(Step::Commit, "Skipping on-chain commit");
        return Ok(());
    };
    let chute = deploy(&plan, &deploying, &commit, say).await?;
    let told_token = secret(&plan, &deploying, &chute, say).await?;
    if told_token {
        health(&plan, &deploying, &chute, say).await?;
    }
    let Some(committing) = plan.committing.take() else {
        let seen = if plan.hub.repository(&plan.repository).await?.private { "private" } else { "public" };
        say.skipped(
            Step::Commit,
            format_args!("Skipping on-chain commit; the Hugging Face repository stays {seen}"),
        );
        return Ok(());
    };
    let commitment = Commitment {
        model: plan.repository.as_str().to_owned(),
        revision: commit.as_str().to_owned(),
        chute_id: chute.chute_id.clone(),
        slug: chute.slug.clone(),
        hotkey: committing.committer.hotkey,
        element_id: committing.element,
    };
    let text = commitment.text();
    let within = plan.args.reveal();
    let committed = committing.committer.commit(&text, |other| commitment.competes_with(other), within, say);
    committed.await.map_err(|failure| {
        let (what, hint) = failure.parts();
        let failed = Failure::new(format!("On-chain commit failed: {what}"));
        let failed = match hint {
            Some(hint) => failed.hint(hint),
            None => failed,
        };
        failed.and("On-chain commitment failed; the Hugging Face repository remains private.")
    })?;
    publish(&plan, say).await?;
    if !told_token {
        health(&plan, &deploying, &chute, say).await?;
    }
    Ok(())
}

/// The commit that is deployed: the folder's, else the one that is there.
async fn upload(plan: &Plan, say: &mut Say) -> Result<Commit, Failure> {
    let Plan { hub, repository, args, .. } = plan;
    say.begin(Step::Repository, format_args!("Looking for https://huggingface.co/{repository}"));
    let Some(selection) = &plan.selection else {
        let revision = args.revision.as_deref().unwrap_or("main");
        let commit = hub.resolve(repository, revision).await?;
        say.done(format_args!("Revision: {commit}"), true, json!({"revision": commit.as_str()}));
        return Ok(commit);
    };
    let options =
        PushOptions { delete_stale: args.delete_stale, at_once: plan.at_once, ..PushOptions::default() };
    let there = hub.ensure_repository(repository).await?;
    let facts = json!({"repository": repository.as_str()});
    // What everybody has seen is not hidden again: validators may be reading it.
    if !there.private && hub.has(repository, selection, &options).await? {
        say.done("The repository is public, with this very folder", true, facts);
    } else {
        if !there.private {
            if there.head.is_some() {
                say.warn(
                    "the repository is public and becomes private until the new commitment is revealed: until then \
                     validators cannot read the revision that is committed now",
                );
            }
            hub.set_private(repository, true).await?;
        }
        say.done("The repository is private", there.private, facts);
    }

    let files = selection.files().len();
    say.begin(Step::Upload, format_args!("Uploading {files} files, {}", size(selection.bytes())));
    let bar = std::sync::Mutex::new(say.bar());
    let tell = |event: &Event| {
        let line = match *event {
            Event::Compared { files, bytes, unchanged, .. } => {
                format!("{files} files are new or changed ({}), {unchanged} are there", size(bytes))
            }
            Event::Storing { files, of_files, bytes, of_bytes } => {
                format!("{files} of {of_files} large files: {} of {}", size(bytes), size(of_bytes))
            }
            _ => "committing".to_owned(),
        };
        if let Ok(mut bar) = bar.lock() {
            bar.show(Progress::Line(line));
        }
    };
    let pushed = hub.push(repository, selection, &options, &tell).await?;
    drop(bar);
    for path in &pushed.ignored {
        say.warn(format_args!("{path} was not uploaded: the repository's own .gitignore keeps it out"));
    }
    let commit = pushed.revision;
    if let Some(revision) = &args.revision {
        let meant = hub.resolve(repository, revision).await?;
        if meant != commit {
            return Err(Failure::new(format!(
                "the folder is revision {commit}, and --revision {revision} is {meant}"
            ))
            .hint("leave --revision out to deploy the folder, or --model-path to deploy the revision"));
        }
    }
    let facts = json!({
        "revision": commit.as_str(), "sent": pushed.sent.len(), "unchanged": pushed.unchanged.len(),
        "deleted": pushed.deleted.len(),
    });
    let line = format!("Hugging Face revision: {commit} ({} files sent)", pushed.sent.len());
    say.done(line, !pushed.committed, facts);
    Ok(commit)
}

async fn deploy(
    plan: &Plan,
    deploying: &Deploying,
    commit: &Commit,
    say: &mut Say,
) -> Result<ChuteInfo, Failure> {
    let script = deploying.source.render(&plan.env, commit.as_str())?;
    let folder = tempfile::tempdir()?;
    template::write(&folder.path().join(format!("{MODULE}.py")), &script)?;
    let name = chute_name(&plan.env, commit.as_str())?.to_string();
    let job = Job { folder: folder.path(), module: MODULE, name: &name, tag: TAG };
    let Deploying { api, cli, .. } = deploying;

    say.begin(Step::Build, format_args!("Building the image of {name}"));
    let deadline = Instant::now() + plan.args.build();
    let standing = cli.standing(api, job, deadline).await.map_err(|error| told(&error, error.hint(), &[]))?;
    let (was_built, was_deployed) = match &standing {
        Standing::Image(image) => (image.is_built(), false),
        Standing::Outdated(_) => (true, false),
        Standing::Deployed(_) => (true, true),
        Standing::Nothing | Standing::Taken { .. } => (false, false),
    };
    let mut bar = say.bar();
    let line = |line: &str| bar.show(Progress::Line(format!("[chutes build] {line}")));
    let built = cli.build(api, job, deadline, line).await;
    drop(bar);
    let image = built.map_err(|error| told(&error, error.hint(), error.tail()))?;
    say.done(
        format_args!("Image {} is built", image.image_id),
        was_built,
        json!({"image_id": image.image_id}),
    );

    say.begin(Step::Deploy, format_args!("Deploying {name}"));
    let mut bar = say.bar();
    let line = |line: &str| bar.show(Progress::Line(format!("[chutes deploy] {line}")));
    let deployed = cli.deploy(api, job, Instant::now() + plan.args.build(), line).await;
    drop(bar);
    let chute = deployed.map_err(|error| told(&error, error.hint(), error.tail()))?;
    if let Source::Published(template) = &deploying.source {
        // What validators compare: another program at this name has nothing to win.
        let code = api.code(&chute.chute_id, soon()).await?.unwrap_or_default();
        let same = |a: &str, b: &str| lint::python::same_program(a, b).ok();
        if integrity::check(template.text(), &code, same) != integrity::Verdict::Same {
            return Err(Failure::new("the deployed script is not the published template")
                .hint("`sv delete-chute` deletes the chute; then push again"));
        }
    }
    if chute.slug.is_empty() {
        return Err(Failure::new(format!("Chutes gives no slug for the chute {}", chute.chute_id))
            .hint("try again in a minute: a guessed slug is what validators refuse, so none is committed"));
    }
    let facts = json!({"chute_id": chute.chute_id, "slug": chute.slug, "name": name});
    say.done(format_args!("Chute slug: {} (ID: {})", chute.slug, chute.chute_id), was_deployed, facts);
    for user in &plan.args.share_with {
        match api.share(&chute.chute_id, user, soon()).await? {
            Share::Shared => say.line(format_args!("  shared with {user}")),
            Share::NeedsNone => say.line(format_args!("  needs no sharing with {user}")),
        }
    }
    Ok(chute)
}

/// With the last words of what failed.
fn told(error: &impl std::fmt::Display, hint: String, tail: &[String]) -> Failure {
    let mut what = error.to_string();
    for line in tail.iter().rev().take(15).rev() {
        what.push_str("\n    ");
        what.push_str(line);
    }
    Failure::new(what).hint(hint)
}

/// Gives the chute the token by which it reads the private repository. `false` where there is none to give.
async fn secret(
    plan: &Plan,
    deploying: &Deploying,
    chute: &ChuteInfo,
    say: &mut Say,
) -> Result<bool, Failure> {
    let Some(token) = &plan.chute_token else {
        say.skipped(Step::Secret, "No CHUTES_HF_TOKEN: the chute can start once the repository is public");
        return Ok(false);
    };
    say.begin(Step::Secret, "Giving the chute its token for Hugging Face");
    let put = deploying.api.put_secret(&chute.chute_id, "HF_TOKEN", token, soon()).await?;
    let already = put == SecretPut::AlreadyThere;
    say.done("The chute has its secret HF_TOKEN", already, json!({}));
    Ok(true)
}

async fn health(plan: &Plan, deploying: &Deploying, chute: &ChuteInfo, say: &mut Say) -> Result<(), Failure> {
    let Some(key) = super::chutes_key(&plan.env)? else {
        say.skipped(Step::Health, "No CHUTES_API_KEY: nobody can ask the chute for its health");
        return Ok(());
    };
    say.begin(Step::Health, "Waiting for the chute to become healthy");
    let deadline = Instant::now() + plan.args.health();
    let mut bar = say.bar();
    let told = |line: &str| bar.show(Progress::Line(format!("[warmup] {line}")));
    let warm = deploying.api.warm_up(&chute.chute_id, deadline, told).await;
    drop(bar);
    // Its health decides; why it stays cold may be said here.
    if let Err(error) = warm {
        say.warn(error);
    }
    let url = plan.env.required(&var::CHUTE_BASE_URL)?.replace("{slug}", &chute.slug);
    let calls = super::asked(&plan.env, &url, Some(key))?;
    let healthy = calls.wait_until_healthy(Some((&deploying.api, &chute.chute_id)), deadline).await;
    let health =
        healthy.map_err(|unhealthy| self::told(&unhealthy, unhealthy.hint.clone(), &unhealthy.logs))?;
    say.done(format_args!("The chute is healthy: {}", health.model), false, json!({"model": health.model}));
    Ok(())
}

async fn publish(plan: &Plan, say: &mut Say) -> Result<(), Failure> {
    say.begin(Step::Publish, "Making the Hugging Face repository public");
    let already = !plan.hub.repository(&plan.repository).await?.private;
    if !already {
        plan.hub.set_private(&plan.repository, false).await.map_err(|error| {
            Failure::from(error).and("The commitment stands: the same command tries this step again")
        })?;
    }
    say.done("Hugging Face repository is now public after the on-chain commit.", already, json!({}));
    Ok(())
}
