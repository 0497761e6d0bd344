//! `sv deploy-pt-miner`: build, push, share, commit, start.
//!
//! There is no record of what was done: each step looks first whether it holds already, and afterwards
//! whether it does. So the same command goes on after whatever stopped it.

mod build;
mod commit;
mod plan;
mod push;
mod start;

pub(super) use push::{docker_login, hub_api};
pub(super) use start::gpus;

use std::process::ExitCode;

use adit_chain::Netuid;
use adit_docker::{Build, Context, Engine, Gpus};
use adit_journal::PRIVATE_TRACK;
use adit_keys::{Hotkey, Wallet};
use adit_private_track::deployment::{Baked, Live, Target};
use adit_settings::{Environment, var};
use serde_json::json;
use tokio::signal::ctrl_c;

use self::commit::Committing;
use super::say::{Say, Step};
use super::spot_check::{self, Stage};
use super::{block_on, recorded};
use crate::cli::deploy::DeployPtMiner;
use crate::failure::Failure;

/// What is deployed, settled before anything is changed.
struct Deployment {
    env: Environment,
    args: DeployPtMiner,
    target: Target,
    engine: Engine,
    context: Context,
    build: Build,
    predictor: String,
    netuid: Netuid,
    /// Known where a wallet or an address is set.
    hotkey: Option<Hotkey>,
    port: u16,
    committing: Option<Committing>,
    /// Whether the image is checked before it is committed.
    spot_check: bool,
}

pub(crate) fn run(env: &Environment, args: DeployPtMiner) -> Result<ExitCode, Failure> {
    block_on(async {
        let mut say = Say::new(args.json);
        let result = run_told(env, args, &mut say).await;
        let code = if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        say.end(result.as_ref().err());
        Ok(code)
    })
}

async fn run_told(env: &Environment, args: DeployPtMiner, say: &mut Say) -> Result<(), Failure> {
    // Nothing is changed and everything is asked in here, so Ctrl-C may end the program as it always does.
    let mut deployment = preflight(env, args, say).await?;
    if deployment.args.dry_run {
        return plan::show(&deployment, say).await;
    }
    say.record(recorded::open(&deployment.env, PRIVATE_TRACK), deployment.target.image.to_string());
    let (mut started, mut stage) = (start::Started::default(), None);
    tokio::select! {
        result = deploy(&mut deployment, say, &mut started, &mut stage) => result,
        stopped = ctrl_c() => {
            stopped?;
            eprintln!("Stopping; what is half done is undone …");
            let undone = async {
                started.undo().await;
                spot_check::clear(&mut stage).await;
            };
            tokio::select! {
                () = undone => {}
                _ = ctrl_c() => eprintln!("left as it is"),
            }
            Err(Failure::new("stopped").hint("what is done stays done: the same command goes on from here"))
        }
    }
}

async fn deploy(
    deployment: &mut Deployment,
    say: &mut Say,
    started: &mut start::Started,
    stage: &mut Option<Stage>,
) -> Result<(), Failure> {
    let image = build::build(deployment, say).await?;
    let mut stored = None;
    let mut committed = false;
    if deployment.args.no_push {
        say.skipped(Step::Push, "Skipping push");
        say.skipped(Step::Share, "Skipping Score collaborator share");
    } else {
        let pushed = stored.insert(push::push(deployment, &image, say).await?);
        push::share(deployment, say).await?;
        if let Some(committing) = deployment.committing.take() {
            if deployment.spot_check && !committing.holds(deployment, &pushed.digest).await? {
                check(deployment, &pushed.digest, say, stage).await?;
            }
            let commit = commit::commit(deployment, committing, &pushed.digest, say).await;
            commit.map_err(|failure| commit_failed(&failure, deployment.netuid))?;
            committed = true;
        }
    }
    if !committed {
        say.skipped(Step::Commit, "Skipping on-chain commit");
    }
    if deployment.args.no_start {
        say.skipped(Step::Start, "Skipping start");
        return Ok(());
    }
    let started = start::start(deployment, &image, stored.as_ref(), say, started).await;
    started.map_err(|failure| match committed {
        true => failure.and(
            "The chain names this image by now, and another one may run: until this one does, a spot check finds other \
             answers",
        ),
        false => failure,
    })
}

/// Everything that can be wrong before the first change is looked at first.
async fn preflight(env: &Environment, args: DeployPtMiner, say: &mut Say) -> Result<Deployment, Failure> {
    let env = args.image.settings(env);
    let target = Target::from_settings(&env, &args.image.tag)?;
    if !args.no_push && target.credentials.is_none() {
        return Err(Failure::new(format!("`{}` is not set", target.token_variable)).hint(
            "put an access token that may read, write and delete into .env, or leave the push out: --no-push",
        ));
    }
    let root = args.root()?;
    let baked = Baked::from_settings(&env, &root)?;
    if baked.predictor == "baseline" {
        say.warn("the image answers with the baseline, which scores next to nothing");
    }
    if env.text(&var::WORKER_COMMAND)?.is_some_and(|command| command.trim().contains(' ')) {
        say.warn(
            "ADIT_WORKER_COMMAND becomes part of the image with its arguments: none of them may be a secret",
        );
    }
    let netuid = args.netuid.resolve(&env)?;
    let port: u16 = env.parsed(&var::MINER_PORT, "a port from 1 to 65535")?;
    if port == 0 && !args.no_start {
        return Err(env
            .invalid(&var::MINER_PORT, "a port from 1 to 65535, where a container is started")
            .into());
    }
    let wallet = args.wallet.resolve(&env)?;
    let hotkey = own_hotkey(&env, &args, &wallet)?;
    let engine = Engine::connect(env.text(&var::DOCKER_HOST)?).await?;
    let gpus = start::gpus(&env, &engine)?;
    if !args.no_start {
        let gpus = if gpus { Gpus::All } else { Gpus::None };
        let live = Live { image: String::new(), known_as: String::new(), hotkey, port, gpus };
        start::look_at_settings(&env, &live, say)?;
        start::look_at_port(&engine, port).await?;
    }
    if !args.no_push {
        push::look_at_account(&target).await?;
    }
    let (context, build) = build::prepare(&args, &root, &target, &baked)?;
    let committing =
        if args.commits() { Some(commit::prepare(&env, &args, netuid, &wallet, say).await?) } else { None };
    let spot_check = committing.is_some() && !args.dry_run && wants_spot_check(&args)?;
    let predictor = baked.predictor;
    Ok(Deployment {
        env,
        args,
        target,
        engine,
        context,
        build,
        predictor,
        netuid,
        hotkey,
        port,
        committing,
        spot_check,
    })
}

/// As told, else as the operator says who is still there.
fn wants_spot_check(args: &DeployPtMiner) -> Result<bool, Failure> {
    let asked = || super::terminal::confirm("Run the spot check before the commitment?");
    Ok(args.spot_check || (!args.json && asked()? == Some(true)))
}

/// The hotkey's address. Needed to commit, and by a miner that checks signatures.
fn own_hotkey(env: &Environment, args: &DeployPtMiner, wallet: &Wallet) -> Result<Option<Hotkey>, Failure> {
    let needed = args.commits() || (!args.no_start && env.toggle(&var::VERIFY_ENABLED)?);
    let found = if args.wallet.is_told() || args.commits() {
        wallet.hotkey_address().map_err(Failure::from)
    } else {
        adit_private_track::own_hotkey(env).map_err(Failure::from)
    };
    match found {
        Ok(hotkey) => Ok(Some(hotkey)),
        Err(failure) if needed => Err(failure),
        Err(_) => Ok(None),
    }
}

/// With the guide's words for it, which operators search for.
fn commit_failed(failure: &Failure, netuid: Netuid) -> Failure {
    let (what, hint) = failure.parts();
    let failed = Failure::new(format!("On-chain commit failed: {what}"));
    let remedy =
        format!("Ensure `COLDKEY` and `HOTKEY` are correct. Check you're registered on subnet {netuid}");
    match hint {
        Some(hint) => failed.hint(hint).and(&remedy),
        None => failed.hint(remedy),
    }
}

/// The spot check of what was pushed, before it is committed.
async fn check(
    deployment: &Deployment,
    digest: &str,
    say: &mut Say,
    stage: &mut Option<Stage>,
) -> Result<(), Failure> {
    say.begin(Step::SpotCheck, "Running the spot check");
    let Deployment { env, engine, target, netuid, .. } = deployment;
    let verdicts = spot_check::of_deployment(env, engine, target, digest, *netuid, stage).await?;
    spot_check::record(env, &target.image.at(digest).to_string(), &verdicts, false);
    for verdict in &verdicts {
        say.line(format_args!("  {}", json!(verdict)));
    }
    if !verdicts.iter().all(|verdict| spot_check::passes(verdict, false)) {
        return Err(Failure::new("the image does not answer twice alike: Score would blacklist the hotkey").hint(
            "fix the seeds and what else makes answers differ; `sv spot-check` shows them again. It was not committed",
        ));
    }
    say.done("The image passes the spot check", false, json!({"verdicts": verdicts}));
    Ok(())
}
