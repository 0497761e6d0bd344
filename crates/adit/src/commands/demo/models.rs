//! Models in ONNX: a spotter for the private track and a detector for Turbo Vision, each run by Adit itself, by a worker in
//! Python and by a server of the Open Inference Protocol. However it is run, a model has to say the same.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use adit_media::Ffmpeg;
use adit_predictor::{
    Environment as WorkerEnvironment, Model, ModelSpec, RemoteConfig, Runner, WorkerConfig,
};
use adit_private_track::rehearsal::{Outcome, Report};
use adit_private_track::{PredictorChoice, model_runner};
use adit_settings::Environment;
use adit_turbo_vision::local_chute::Backend;
use adit_turbo_vision::rehearsal::Rehearsal;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::Stage;
use super::turbo_vision::rehearsed;
use crate::commands::table::table;
use crate::failure::Failure;

/// The examples, for those who start from one.
macro_rules! example {
    ($path:literal) => {
        ($path, include_bytes!(concat!("../../../../../examples/", $path)).as_slice())
    };
}
const FILES: [(&str, &[u8]); 7] = [
    example!("models/spotter/model.toml"),
    example!("models/spotter/model.onnx"),
    example!("models/detector/model.toml"),
    example!("models/detector/model.onnx"),
    example!("worker-onnx/predictor.py"),
    example!("turbo-vision-onnx/miner.py"),
    example!("oip-server/server.py"),
];
/// What the spotter is worth at least.
const GOAL: f64 = 0.9;

/// One model, run in one way.
struct Row {
    model: &'static str,
    by: &'static str,
    score: f64,
    slowest_s: f64,
    answer: String,
}

/// `true` where the models are worth what they should be and answer alike, or where there is nothing to run them with.
pub(super) async fn show(
    env: &Environment,
    stage: &Stage,
    python: &Path,
    ffmpeg: &Path,
) -> Result<bool, Failure> {
    println!(
        "\nModels in ONNX (examples/models), each run by Adit itself, by a worker in Python, and by KServe's server over the \
         Open Inference Protocol\n"
    );
    let imports = |modules: &str| {
        let asked = std::process::Command::new(python).args(["-c", &format!("import {modules}")]).output();
        asked.is_ok_and(|output| output.status.success())
    };
    if !imports("numpy, onnxruntime") {
        println!("They are left out: {} has no numpy and onnxruntime.", python.display());
        return Ok(true);
    }
    let folder = tempfile::tempdir()?;
    for (name, bytes) in FILES {
        let file = folder.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap_or(folder.path()))?;
        std::fs::write(file, bytes)?;
    }
    let mut rows = Vec::new();
    let models = Models { folder, python: python.to_owned(), ffmpeg: ffmpeg.to_owned() };
    let here = model_runner(env).map_err(Failure::new)?;
    rows.push(models.spotter(stage, "Adit", models.spotter_of(here.clone())?).await?);
    rows.push(models.spotter(stage, "a worker", models.spotter_worker(env)).await?);
    let detector = Backend::Model(models.detector_of(&here).await?);
    rows.push(models.detector("Adit", detector).await?);
    let miner = models.path("turbo-vision-onnx");
    rows.push(models.detector("a worker", Backend::Miner { folder: miner }).await?);
    if imports("kserve") {
        let server = Server::start(&models).await?;
        rows.push(models.spotter(stage, "a server, gRPC", models.spotter_of(server.spotter()?)?).await?);
        let detector = Backend::Model(models.detector_of(&server.detector()?).await?);
        rows.push(models.detector("a server, REST", detector).await?);
    } else {
        println!("The server is left out: {} has no kserve.\n", python.display());
    }
    Ok(print(&rows))
}

fn print(rows: &[Row]) -> bool {
    let mut table = table(&["MODEL", "RUN BY", ">SCORE", ">SLOWEST", "ANSWER"]);
    let mut alike = true;
    let mut sorted: Vec<&Row> = rows.iter().collect();
    sorted.sort_by_key(|row| std::cmp::Reverse(row.model));
    for row in sorted {
        let first = rows.iter().find(|other| other.model == row.model);
        let same = first.is_none_or(|first| first.answer == row.answer);
        alike &= same;
        let answer = match first {
            Some(first) if std::ptr::eq(first, row) => "-",
            _ if same => "the same",
            _ => "ANOTHER",
        };
        table.add_row([
            row.model.to_owned(),
            row.by.to_owned(),
            format!("{:.4}", row.score),
            format!("{:.3} s", row.slowest_s),
            answer.to_owned(),
        ]);
    }
    println!("{}", table.trim_fmt());
    alike && rows.iter().all(|row| row.score >= if row.model == SPOTTER { GOAL } else { 0.5 })
}

const SPOTTER: &str = "spotter";
const DETECTOR: &str = "detector";

/// The examples on disk, and what runs them.
struct Models {
    folder: TempDir,
    python: PathBuf,
    ffmpeg: PathBuf,
}

impl Models {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn spotter_of(&self, runner: Runner) -> Result<PredictorChoice, Failure> {
        let spec = ModelSpec::read(&self.path("models/spotter")).map_err(Failure::new)?;
        Ok(PredictorChoice::Model { name: SPOTTER.to_owned(), spec, runner })
    }

    fn spotter_worker(&self, env: &Environment) -> PredictorChoice {
        let variables = env.variables().map(|(name, value)| (name.into(), value.into()));
        let config = WorkerConfig::python(&self.python, &self.path("worker-onnx/predictor.py"));
        PredictorChoice::Workers(WorkerConfig {
            environment: WorkerEnvironment::chosen_from(variables, &[]),
            ..config
        })
    }

    async fn spotter(
        &self,
        stage: &Stage,
        by: &'static str,
        choice: PredictorChoice,
    ) -> Result<Row, Failure> {
        let report = stage.rehearse(choice, &self.ffmpeg).await?;
        let answer = answer(&report)
            .ok_or_else(|| Failure::new(format!("the spotter, run by {by}, did not answer")))?;
        let score = report.attempts.iter().filter_map(|attempt| attempt.outcome.score()).fold(1.0, f64::min);
        let slowest_s =
            report.attempts.iter().map(|attempt| attempt.latency.as_secs_f64()).fold(0.0, f64::max);
        Ok(Row { model: SPOTTER, by, score, slowest_s, answer })
    }

    async fn detector_of(&self, runner: &Runner) -> Result<Model, Failure> {
        let spec = ModelSpec::read(&self.path("models/detector")).map_err(Failure::new)?;
        Model::load(spec, runner).await.map_err(Failure::new)
    }

    async fn detector(&self, by: &'static str, backend: Backend) -> Result<Row, Failure> {
        let ffmpeg = Ffmpeg::find(Some(&self.ffmpeg)).await?;
        let (_, done) = rehearsed(backend, &self.python, ffmpeg).await?;
        detected(&done, by)
    }
}

fn detected(done: &Rehearsal, by: &'static str) -> Result<Row, Failure> {
    let round = done.worst().ok_or_else(|| Failure::new("there was no round"))?;
    let failed = |what: &str| Failure::new(format!("the detector, run by {by}, did not answer: {what}"));
    let prediction = round.answer.as_ref().map_err(|what| failed(what))?;
    let answer = prediction.predictions.as_ref().ok_or_else(|| failed("no predictions"))?.to_string();
    let slowest_s = round.ranking.latency_ms / 1000.0;
    Ok(Row { model: DETECTOR, by, score: round.ranking.score, slowest_s, answer })
}

/// What every challenge of a rehearsal was answered, if all were answered alike.
fn answer(report: &Report) -> Option<String> {
    if !report.passed() {
        return None;
    }
    report.attempts.iter().find_map(|attempt| match &attempt.outcome {
        Outcome::Answered { answer, .. } => Some(answer.clone()),
        _ => None,
    })
}

/// KServe's server with both models, ended with this.
struct Server {
    _child: Child,
    http: u16,
    grpc: u16,
}

impl Server {
    async fn start(models: &Models) -> Result<Self, Failure> {
        let (http, grpc) = (free_port()?, free_port()?);
        let named = |name: &str| format!("{name}={}", models.path("models").join(name).display());
        let child = Command::new(&models.python)
            .arg(models.path("oip-server/server.py"))
            .args(["--model", &named(SPOTTER), "--model", &named(DETECTOR)])
            .args(["--http-port", &http.to_string(), "--grpc-port", &grpc.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self { _child: child, http, grpc })
    }

    fn spotter(&self) -> Result<Runner, Failure> {
        Self::runner(&format!("grpc://127.0.0.1:{}/{SPOTTER}", self.grpc))
    }

    fn detector(&self) -> Result<Runner, Failure> {
        Self::runner(&format!("http://127.0.0.1:{}/v2/models/{DETECTOR}", self.http))
    }

    fn runner(server: &str) -> Result<Runner, Failure> {
        let server = server.parse().map_err(Failure::new)?;
        Ok(Runner::Servers(RemoteConfig::new(vec![server])))
    }
}

/// A port that nobody has at this moment.
fn free_port() -> Result<u16, Failure> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
