//! A clip on this host from its file to its actions, beside a Python with OpenCV and ONNX Runtime (`benches/peer/spot.py`, by
//! the Python that `PEER_PYTHON` names) that reads the same `model.toml`, and beside its own stages, each alone.
//!
//! Every figure is of a whole process: this program starts itself with what to do. BENCHMARKS.md says how to read it.

#![expect(clippy::print_stdout, reason = "a bench exists to print")]
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on stops")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use adit_media::{EncodeOptions, Ffmpeg, FrameFormat, FrameStream, Media, MediaLimits, Sampling};
use adit_outbound::{AddressGuard, Client};
use adit_predictor::{
    Answer, Data, Kind, Model, ModelSpec, Need, OnnxConfig, Predictor, Runner, Subject, Task, Tensor, Wanted,
    find_onnx_runtime,
};
use adit_synthetic::{Match, MatchFormat};
use serde_json::{Value, json};
use tokio::time::Instant;

const FORMAT: MatchFormat = MatchFormat { width: 1280, height: 720, fps: 25, seconds: 30 };
const ROUNDS: usize = 5;
const MIB: f64 = 1024.0;

fn main() {
    // `cargo test --benches` passes --test: then being built is all that was asked.
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.iter().any(|argument| argument == "--test") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    if let [_, part, clip] = &arguments[..]
        && let Some(part) = part.strip_prefix("part=")
    {
        let figures = runtime.block_on(run(part, Path::new(clip)));
        println!("{figures}");
        return;
    }
    compare(&runtime.block_on(clip()));
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(600)
}

fn python() -> PathBuf {
    std::env::var_os("PEER_PYTHON").unwrap_or_else(|| "python3".into()).into()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn model_folder() -> PathBuf {
    root().join("examples/models/spotter")
}

// --- The clip --------------------------------------------------------------------------------------------------------

/// A drawn match under noise, as a file that is kept for the next run: to make it takes longer than to measure.
async fn clip() -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("match-720p-30s.mp4");
    if !path.exists() {
        let drawn = Match::new(9, FORMAT);
        let mut state = 1_u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 60) as u8
        })
        .take(1 << 20)
        .collect();
        let frames = drawn.frames().enumerate().map(|(index, mut pixels)| {
            let start = index * 7919 % noise.len();
            let noise = noise[start..].iter().chain(&noise).chain(&noise).chain(&noise);
            for (pixel, noise) in pixels.chunks_exact_mut(3).zip(noise) {
                pixel.iter_mut().for_each(|value| *value = value.saturating_add(*noise).saturating_sub(7));
            }
            pixels
        });
        let options =
            EncodeOptions { crf: 23, ..EncodeOptions::new(FORMAT.width, FORMAT.height, FORMAT.fps) };
        let whole = path.with_extension("new.mp4");
        let ffmpeg = Ffmpeg::find(None).await.unwrap();
        ffmpeg.encode_h264(&options, frames, &whole, soon()).await.unwrap();
        std::fs::rename(whole, &path).unwrap();
    }
    let bits = std::fs::metadata(&path).unwrap().len() as f64 * 8.0 / f64::from(FORMAT.seconds);
    println!("a drawn match of 30 s at 1280x720 and 25 frames a second, {:.1} Mbit/s", bits / 1e6);
    path
}

// --- What a process of ours does -------------------------------------------------------------------------------------

async fn run(part: &str, clip: &Path) -> Value {
    match part {
        "spot" => spot(clip).await,
        "decode" => decode(clip).await,
        "infer" => infer().await,
        other => panic!("there is no part {other}"),
    }
}

async fn model(threads: Option<usize>) -> Model {
    let spec = ModelSpec::read(&model_folder()).unwrap();
    let library = find_onnx_runtime(None, &python()).unwrap();
    Model::load(spec, &Runner::Onnx(OnnxConfig { threads, ..OnnxConfig::new(library) })).await.unwrap()
}

/// The decoder, asked for its version as a miner does once at its start.
async fn decoder() -> Ffmpeg {
    Ffmpeg::find(None).await.unwrap()
}

async fn frames(
    ffmpeg: Ffmpeg,
    clip: &Path,
    format: FrameFormat,
    decoder_threads: Option<usize>,
) -> FrameStream {
    let mut limits = MediaLimits::default();
    limits.decoder_threads = decoder_threads.unwrap_or(limits.decoder_threads);
    let client = Client::new(AddressGuard::public_only()).unwrap();
    let media = Media::new(client, ffmpeg, limits);
    media.frames_of_file(clip, format, soon()).await.unwrap()
}

/// All of it, with every core.
async fn spot(clip: &Path) -> Value {
    let model = model(None).await;
    let Need::Frames(format) = model.need() else { panic!("the spotter wants no frames") };
    let (predictor, ffmpeg) = (Predictor::Model(model), decoder().await);
    let start = Instant::now();
    let task = Task {
        challenge_id: "bench".to_owned(),
        wanted: Wanted::SoccerActions,
        subject: Subject::Frames(frames(ffmpeg, clip, format, None).await),
    };
    let Answer::Actions(actions) = predictor.predict(task, soon()).await.unwrap() else {
        panic!("the spotter gives no actions")
    };
    let actions: Vec<Value> =
        actions.iter().map(|action| json!({"frame": action.frame, "action": action.action})).collect();
    json!({"seconds": start.elapsed().as_secs_f64(), "actions": actions, "own_kib": peak()})
}

/// Decoding and scaling alone, on one thread.
async fn decode(clip: &Path) -> Value {
    let spec = ModelSpec::read(&model_folder()).unwrap();
    let (width, height) = (spec.input.width.unwrap(), spec.input.height.unwrap());
    let (format, ffmpeg) = (FrameFormat { width, height, sampling: Sampling::Every }, decoder().await);
    let start = Instant::now();
    let mut stream = frames(ffmpeg, clip, format, Some(1)).await;
    while stream.next().await.unwrap().is_some() {}
    json!({"seconds": start.elapsed().as_secs_f64()})
}

/// As many runs of the model as the clip needs, on one thread.
async fn infer() -> Value {
    let model = model(Some(1)).await;
    let Kind::Spotting(clip, _) = &model.spec().kind else { panic!("no spotter") };
    let frames = (FORMAT.fps * FORMAT.seconds) as usize;
    let runs = 1 + (frames - clip.length).div_ceil(clip.length - clip.overlap);
    let shape: Vec<usize> = model.signature().input.shape.iter().map(|size| size.unwrap_or(1)).collect();
    let data = Data::Float(vec![0.5; shape.iter().product()]);
    let mut input = Tensor { shape, data };
    let start = Instant::now();
    for _ in 0..runs {
        input = model.run(input, soon()).await.unwrap().1.unwrap();
    }
    json!({"seconds": start.elapsed().as_secs_f64()})
}

/// The most memory that this process alone ever had, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

// --- The comparison --------------------------------------------------------------------------------------------------

/// What one process took, and what it printed.
struct Run {
    wall: f64,
    processor: f64,
    largest_kib: f64,
    said: Value,
}

impl Run {
    fn of(program: &Path, arguments: &[&str]) -> Self {
        let output = tempfile::NamedTempFile::new().unwrap();
        let measure = root().join("benches/peer/measure.py");
        let mut command = Command::new(python());
        command.args(["-I", "-S"]).arg(measure).arg(output.path()).arg(program).args(arguments);
        let measured = command.output().unwrap();
        let said = std::fs::read(output.path()).unwrap();
        let figures: Value = serde_json::from_slice(&measured.stdout).unwrap();
        assert_eq!(figures["exit"], 0, "{}", String::from_utf8_lossy(&measured.stderr));
        let figure = |name: &str| figures[name].as_f64().unwrap();
        let last = said.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty()).unwrap();
        Self {
            wall: figure("seconds"),
            processor: figure("processor"),
            largest_kib: figure("peak_kib"),
            said: serde_json::from_slice(last).unwrap(),
        }
    }

    fn ours(part: &str, clip: &str) -> Self {
        Self::of(&std::env::current_exe().unwrap(), &[&format!("part={part}"), clip])
    }

    fn peer(clip: &str) -> Self {
        let (script, folder) = (root().join("benches/peer/spot.py"), model_folder());
        Self::of(&python(), &[script.to_str().unwrap(), folder.to_str().unwrap(), clip])
    }

    /// Seconds from the opened clip to the answer, with everything loaded.
    fn seconds(&self) -> f64 {
        self.said["seconds"].as_f64().unwrap()
    }
}

fn median(runs: &[Run], figure: impl Fn(&Run) -> f64) -> f64 {
    let mut figures: Vec<f64> = runs.iter().map(figure).collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// How many of the one's actions the other has too, within two frames.
fn shared(one: &Value, other: &Value) -> (usize, usize) {
    let (one, other) = (one["actions"].as_array().unwrap(), other["actions"].as_array().unwrap());
    let near = |a: &Value, b: &Value| {
        a["action"] == b["action"] && a["frame"].as_u64().unwrap().abs_diff(b["frame"].as_u64().unwrap()) <= 2
    };
    (one.iter().filter(|a| other.iter().any(|b| near(a, b))).count(), one.len())
}

fn compare(clip: &Path) {
    let clip = clip.to_str().unwrap();
    let (mut peers, mut ours) = (Vec::new(), Vec::new());
    // The first of each finds the files in the kernel's memory for the others.
    Run::peer(clip);
    Run::ours("spot", clip);
    for _ in 0..ROUNDS {
        peers.push(Run::peer(clip));
        ours.push(Run::ours("spot", clip));
    }
    let (found, all) = shared(&peers[0].said, &ours[0].said);
    println!("the peer finds {all} actions, of which ours has {found} too");
    assert!(all > 0 && found * 10 >= all * 9, "the two answer different things");

    println!("\n| what | adit / peer | adit | peer | target |\n|---|---|---|---|---|");
    let row = |what: &str, figure: fn(&Run) -> f64, target: &str| {
        let (a, p) = (median(&ours, figure), median(&peers, figure));
        println!("| {what} | {:.2} | {a:.2} s | {p:.2} s | {target} |", a / p);
    };
    row("from the file to its actions, all loaded", Run::seconds, "at most 0.67, aim 0.5");
    row("the whole process", |run| run.wall, "");
    row("processor time of the process", |run| run.processor, "");
    let memory = median(&ours, |run| run.said["own_kib"].as_f64().unwrap());
    let largest = median(&ours, |run| run.largest_kib);
    let peer = median(&peers, |run| run.largest_kib);
    println!(
        "| resident memory, with the decoder's at most | {:.2} | {:.0} MiB | {:.0} MiB | 200 MB |",
        (memory + largest) / peer,
        (memory + largest) / MIB,
        peer / MIB
    );

    let stages = ["decode", "infer"].map(|part| {
        let runs: Vec<Run> = (0..3).map(|_| Run::ours(part, clip)).collect();
        let seconds = median(&runs, Run::seconds);
        println!("\n{part} alone on one thread: {seconds:.2} s");
        seconds
    });
    let half = median(&ours, |run| run.processor) / 2.0;
    let limit = half.max(stages[0]).max(stages[1]);
    println!("half of all processor time: {half:.2} s");
    println!(
        "ours to the largest of these: {:.2} (target: at most 1.15)",
        median(&ours, Run::seconds) / limit
    );
}
