//! `sv deploy-local-chute`.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use adit_media::Ffmpeg;
use adit_outbound::AddressGuard;
use adit_predictor::{
    ChuteFiles, Environment as WorkerEnvironment, Gpus, Kind, MODEL_FILE, Model, ModelSpec, python_program,
};
use adit_private_track::model_runner;
use adit_settings::{Environment, var};
use adit_turbo_vision::local_chute::{Backend, Config, LocalChute};
use adit_turbo_vision::names::repository;
use tokio::time::Instant;

use super::lint::MINER;
use super::{huggingface_user, script};
use crate::cli::turbo_vision::DeployLocalChute;
use crate::commands::{block_on, say_ready, told_to_stop};
use crate::failure::Failure;

/// More than any model takes; the operator can stop it.
const A_LONG_TIME: Duration = Duration::from_secs(86_400);

pub(super) fn run(env: &Environment, args: &DeployLocalChute) -> Result<ExitCode, Failure> {
    block_on(async {
        let config = config(env, args).await?;
        let python = config.python.display().to_string();
        let chute = LocalChute::bind(config).await.map_err(Failure::new)?;
        let mut told = pin!(told_to_stop()?);
        println!("Listening on {}: POST /health, POST /predict", chute.url());
        let what = backend_name(args);
        let loaded = tokio::select! {
            loaded = chute.loaded(Instant::now() + A_LONG_TIME) => loaded,
            // A model that takes long to load is not waited for.
            () = &mut told => {
                chute.serve(std::future::ready(())).await;
                return Ok(ExitCode::SUCCESS);
            }
        };
        // A model that does not load is said at once, and tried again as it is mended: the chute stays up.
        match loaded {
            Ok(()) => println!("✓ {what} is loaded"),
            Err(error) => {
                eprintln!("✗ {what} is not loaded: {error}");
                eprintln!(
                    "  hint: it runs under {python}: install there what it imports, or name another: ADIT_PYTHON"
                );
            }
        }
        say_ready();
        chute.serve(told).await;
        Ok(ExitCode::SUCCESS)
    })
}

fn backend_name(args: &DeployLocalChute) -> String {
    match &args.model_path {
        Some(path) if is_model(path) => path.display().to_string(),
        Some(folder) => folder.join(MINER).display().to_string(),
        None => "the template's load.py".to_owned(),
    }
}

async fn config(env: &Environment, args: &DeployLocalChute) -> Result<Config, Failure> {
    let python = env.path(&var::PYTHON)?.unwrap_or_else(python_program);
    let backend = match &args.model_path {
        Some(path) if is_model(path) => Backend::Model(detector(env, path).await?),
        Some(folder) => Backend::Miner { folder: with_miner(folder)? },
        None => Backend::Guide(guide(env, args)?),
    };
    let port = match args.port {
        Some(port) => port,
        None => env.parsed(&var::LOCAL_CHUTE_PORT, "a port from 0 to 65535")?,
    };
    let ffmpeg = Ffmpeg::find(Some(Path::new(env.required(&var::FFMPEG)?))).await?;
    // What is on this host may be shown to it: a rehearsal's clip is.
    let allowed = format!("127.0.0.1,{}", env.text(&var::ALLOWED_HOSTS)?.unwrap_or_default());
    let guard = AddressGuard::public_only()
        .allowing(&allowed)
        .map_err(|error| Failure::new(format!("`ADIT_ALLOWED_HOSTS`: {error}")))?;
    let more = env.text(&var::WORKER_ENV)?.unwrap_or_default();
    let more: Vec<String> =
        more.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let variables = env.variables().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    // What Python keeps of miner.py would be uploaded with the model.
    let variables = variables.chain([("PYTHONDONTWRITEBYTECODE".into(), "1".into())]);
    let start = env.parsed(&var::WORKER_START_SECONDS, "a number of seconds")?;
    Ok(Config {
        listen: SocketAddr::new(args.host, port),
        python,
        environment: WorkerEnvironment::chosen_from(variables, &more),
        start_limit: Duration::from_secs(start),
        // The private track may have more workers: of their GPUs, the one worker here gets the first.
        gpus: Gpus::parse(env.text(&var::WORKER_GPUS)?.unwrap_or_default(), usize::MAX)
            .map_err(|error| Failure::new(format!("`ADIT_WORKER_GPUS`: {error}")))?,
        recycle: env.parsed(&var::WORKER_RECYCLE, "a number of answers, or 0 for never")?,
        predict_endpoint: env.required(&var::CHUTE_PREDICT_PATH)?.to_owned(),
        video_url: args.video_url.clone(),
        guard,
        ..Config::new(backend, ffmpeg)
    })
}

/// A file NAME.onnx, or a folder with a model.toml and no miner.py, which is what a chute would run.
fn is_model(path: &Path) -> bool {
    ModelSpec::is_bare(path) || (path.join(MODEL_FILE).is_file() && !path.join(MINER).is_file())
}

/// A detector that runs in this process.
async fn detector(env: &Environment, path: &Path) -> Result<Model, Failure> {
    let spec = ModelSpec::at(path).map_err(Failure::new)?;
    if !matches!(spec.kind, Kind::Objects(_)) {
        return Err(Failure::new(format!("{} is no detector: it spots actions", path.display()))
            .hint("serve it on the private track: ADIT_MODEL names the folder, `sv serve` runs it"));
    }
    let runner = model_runner(env).map_err(Failure::new)?;
    Model::load(spec, &runner).await.map_err(Failure::new)
}

fn with_miner(folder: &Path) -> Result<PathBuf, Failure> {
    if folder.join(MINER).is_file() {
        return Ok(std::path::absolute(folder)?);
    }
    Err(Failure::new(format!("there is no {MINER} in {}", folder.display())).hint(
        "examples/turbo-vision has one to begin with; a file NAME.onnx, or a folder with a model.toml, is served as a detector; without --model-path the \
         template's load.py and predict.py run",
    ))
}

fn guide(env: &Environment, args: &DeployLocalChute) -> Result<ChuteFiles, Failure> {
    let folder = script::folder(env)?;
    let repository = match &args.repo {
        Some(name) => name.clone(),
        // Without an account the name is only handed on.
        None => {
            huggingface_user(env).map_or_else(|_| "local/ScoreVision".to_owned(), |user| repository(&user))
        }
    };
    Ok(ChuteFiles {
        // Without setup.py, which is about the image.
        files: folder.parts().to_vec(),
        repository,
        revision: args.revision.clone(),
        name: "local".to_owned(),
        folder: args.weights.clone(),
    })
}
