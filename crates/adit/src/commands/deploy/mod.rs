//! `sv deploy-pt-miner`: build, push, share, commit, start.
//!
//! There is no record of what was done: each step looks first whether it holds already, and afterwards
//! whether it does. So the same command goes on after whatever stopped it.

mod build;
mod commit;
mod element;
mod plan;
mod push;
mod say;
mod start;

pub(super) use start::gpus;

use std::process::ExitCode;

use adit_chain::Netuid;
use adit_docker::{Build, Context, Engine};
use adit_keys::{Hotkey, Wallet};
use adit_private_track::deployment::{Baked, Target};
use adit_settings::{Environment, var};
use serde_json::json;

use self::commit::Committing;
use self::say::{Say, Step};
use super::block_on;
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
}

pub(crate) fn run(env: &Environment, args: DeployPtMiner) -> Result<ExitCode, Failure> {
    block_on(async {
        let mut say = Say::new(args.json);
        let mut started = start::Started::default();
        let result = tokio::select! {
            result = deploy(env, args, &mut say, &mut started) => result,
            stopped = tokio::signal::ctrl_c() => {
                stopped?;
                started.undo().await;
                Err(Failure::new("stopped").hint("what is done stays done: the same command goes on from here"))
            }
        };
        let code = match &result {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
        say.end(result.as_ref().err());
        Ok(code)
    })
}

async fn deploy(
    env: &Environment,
    args: DeployPtMiner,
    say: &mut Say,
    started: &mut start::Started,
) -> Result<(), Failure> {
    let mut deployment = preflight(env, args, say).await?;
    if deployment.args.dry_run {
        return plan::show(&deployment, say).await;
    }
    let image = build::build(&deployment, say).await?;
    let stored = if deployment.args.no_push {
        say.skipped(Step::Push, "Skipping push, share and on-chain commit");
        None
    } else {
        Some(push::push(&deployment, &image, say).await?)
    };
    if let Some(stored) = &stored {
        push::share(&deployment, say).await?;
        if let Some(committing) = deployment.committing.take() {
            offer_spot_check(&deployment, &stored.digest, say).await?;
            commit::commit(&deployment, committing, &stored.digest, say).await?;
        } else {
            say.skipped(Step::Commit, "Skipping on-chain commit");
        }
    }
    if deployment.args.no_start {
        say.skipped(Step::Start, "Skipping start");
    } else {
        start::start(&deployment, &image, stored.as_ref(), say, started).await?;
    }
    Ok(())
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
    let netuid = args.netuid.resolve(&env)?;
    let port: u16 = env.parsed(&var::MINER_PORT, "a port from 1 to 65535")?;
    if port == 0 && !args.no_start {
        return Err(env
            .invalid(&var::MINER_PORT, "a port from 1 to 65535, where a container is started")
            .into());
    }
    let wallet = args.wallet.resolve(&env)?;
    let hotkey = own_hotkey(&env, &args, &wallet)?;
    if !args.no_start {
        start::look_at_settings(&env, say)?;
    }
    let engine = Engine::connect(env.text(&var::DOCKER_HOST)?).await?;
    if !args.no_start {
        start::look_at_port(&engine, port).await?;
    }
    let (context, build) = build::prepare(&args, &root, &target, &baked)?;
    let committing = if args.commits() {
        let hotkey = wallet.hotkey_address()?;
        Some(commit::prepare(&env, &args, netuid, &wallet, hotkey, say).await?)
    } else {
        None
    };
    let predictor = baked.predictor;
    Ok(Deployment { env, args, target, engine, context, build, predictor, netuid, hotkey, port, committing })
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

async fn offer_spot_check(deployment: &Deployment, digest: &str, say: &mut Say) -> Result<(), Failure> {
    let wanted = deployment.args.spot_check
        || (!deployment.args.json
            && super::terminal::confirm("Run the spot check before the commitment?")? == Some(true));
    if !wanted {
        return Ok(());
    }
    say.begin(Step::SpotCheck, "Running the spot check");
    let verdicts = super::spot_check::check_for_deployment(
        &deployment.env,
        &deployment.engine,
        &deployment.target,
        digest,
        deployment.netuid,
    )
    .await?;
    for verdict in &verdicts {
        say.line(format_args!("  {}", json!(verdict)));
    }
    if !verdicts.iter().all(|verdict| super::spot_check::passes(verdict, false)) {
        return Err(Failure::new("the image does not answer twice alike: Score would blacklist the hotkey").hint(
            "fix the seeds and what else makes answers differ; `sv spot-check` shows them again. Nothing was committed",
        ));
    }
    say.done("The image passes the spot check", false, json!({"verdicts": verdicts}));
    Ok(())
}
