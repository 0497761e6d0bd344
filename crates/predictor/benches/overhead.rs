//! What Adit adds to ONNX Runtime: instructions of a run through a [`Model`], beside those of a bare session with the same
//! input, counted by valgrind. Counts do not depend on what else the machine does.
//!
//! Each way is a process of its own, which is counted with few and with many runs: the difference has nothing of its start.

#![expect(clippy::print_stdout, reason = "a bench exists to print")]
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on stops")]

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use adit_predictor::{Data, Model, ModelSpec, OnnxConfig, Runner, Tensor, find_onnx_runtime};
use ort::{session::Session, value::TensorRef};
use tokio::time::Instant;

const FEW: u32 = 2;
const MANY: u32 = 12;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    // `cargo test --benches` passes --test: then being built is all that was asked.
    if arguments.iter().any(|argument| argument == "--test") {
        return;
    }
    if let [_, way, runs] = &arguments[..] {
        let runs = runs.parse().unwrap();
        match way.as_str() {
            "bare" => bare(runs),
            _ => tokio::runtime::Builder::new_multi_thread().build().unwrap().block_on(through_adit(runs)),
        }
        return;
    }
    let [bare, ours] =
        ["bare", "adit"].map(|way| (counted(way, MANY) - counted(way, FEW)) / u64::from(MANY - FEW));
    println!("| instructions of a run | adit / bare | adit | bare ort | target |\n|---|---|---|---|---|");
    let ratio = ours as f64 / bare as f64;
    println!("| the example spotter, a window of 64 frames | {ratio:.4} | {ours} | {bare} | at most 1.03 |");
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/models/spotter")
}

fn library() -> PathBuf {
    let python = std::env::var_os("PEER_PYTHON").unwrap_or_else(|| "python3".into());
    find_onnx_runtime(None, Path::new(&python)).unwrap()
}

/// Instructions of a process that runs the model so often.
fn counted(way: &str, runs: u32) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("counts");
    let mut command = Command::new("valgrind");
    command.arg("--tool=callgrind").arg(format!("--callgrind-out-file={}", file.display()));
    let output =
        command.arg(std::env::current_exe().unwrap()).args([way, &runs.to_string()]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let counts = std::fs::read_to_string(file).unwrap();
    let total = counts.lines().find_map(|line| line.strip_prefix("totals: ")).unwrap();
    total.trim().parse().unwrap()
}

fn input() -> (Vec<usize>, Vec<f32>) {
    let shape = vec![1, 64, 3, 72, 128];
    let values = (0..shape.iter().product()).map(|at: usize| (at % 251) as f32 / 251.0).collect();
    (shape, values)
}

fn bare(runs: u32) {
    ort::init_from(library()).unwrap().commit();
    let builder = Session::builder().unwrap().with_intra_threads(1).unwrap();
    let mut session = { builder }.commit_from_file(folder().join("model.onnx")).unwrap();
    let (shape, values) = input();
    // As a model is tried out when it is loaded.
    for _ in 0..=runs {
        let view = TensorRef::from_array_view((shape.clone(), values.as_slice())).unwrap();
        let outputs = session.run(ort::inputs![view]).unwrap();
        black_box(outputs[0].try_extract_tensor::<f32>().unwrap());
    }
}

async fn through_adit(runs: u32) {
    let spec = ModelSpec::read(&folder()).unwrap();
    let config = OnnxConfig { threads: Some(1), ..OnnxConfig::new(library()) };
    let model = Model::load(spec, &Runner::Onnx(config)).await.unwrap();
    let (shape, values) = input();
    let mut input = Tensor { shape, data: Data::Float(values) };
    let deadline = Instant::now() + Duration::from_secs(3600);
    for _ in 0..runs {
        let (outputs, back) = model.run(input, deadline).await.unwrap();
        black_box(outputs);
        input = back.unwrap();
    }
}
