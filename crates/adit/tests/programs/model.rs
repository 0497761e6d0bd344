//! Models in ONNX: looked at, served, and answering as they are held to.

use std::path::{Path, PathBuf};

use adit_synthetic::{Match, MatchFormat};
use serde_json::Value;

use crate::process::{Miner, finish, program, run, shown};

fn example(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(path)
}

/// A Python with ONNX Runtime, whose library is used.
fn python() -> Option<PathBuf> {
    let python = std::env::var_os("ADIT_TEST_PYTHON").map(PathBuf::from);
    if python.is_none() {
        let why = "ADIT_TEST_PYTHON names no Python with onnxruntime";
        assert!(std::env::var_os("ADIT_CI").is_none_or(|value| value != "1"), "{why}");
        eprintln!("skipped: {why}");
    }
    python
}

#[test]
fn help_of_model_check() {
    insta::assert_snapshot!(shown(&run("sv", &["model", "check", "--help"])));
}

#[test]
fn the_example_models_are_what_they_say() {
    let Some(python) = python() else { return };
    for name in ["spotter", "detector"] {
        let folder = example("models").join(name);
        let check = |more: &[&str]| {
            let mut command = program("sv");
            finish(command.args(["model", "check"]).arg(&folder).args(more).env("ADIT_PYTHON", &python))
        };
        let output = check(&[]);
        let text = shown(&output);
        assert_eq!(output.status.code(), Some(0), "{text}");
        for line in [
            "✓ it is what its description says, and answers in numbers",
            "✓ the same input gives the same answer, bit by bit",
            "✓ one thread gives the same answer",
        ] {
            assert!(text.contains(line), "{text}");
        }
        let report: Value = serde_json::from_slice(&check(&["--json"]).stdout).unwrap();
        assert_eq!((&report["repeats"], &report["compared_difference"]), (&true.into(), &0.0.into()));
    }
}

#[test]
fn what_keeps_a_model_from_a_miner_is_said_with_what_to_do() {
    let Some(python) = python() else { return };
    let said = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = program("sv");
        let output =
            finish(command.args(arguments).env("ADIT_PYTHON", &python).envs(variables.iter().copied()));
        assert_eq!(output.status.code(), Some(1), "{}", shown(&output));
        String::from_utf8(output.stderr).unwrap()
    };
    let spotter = example("models/spotter");
    let spotter = spotter.to_str().unwrap();
    let check = ["model", "check", spotter];
    let gpu = said(&check, &[("ADIT_ONNX_PROVIDERS", "cuda")]);
    assert!(gpu.contains("CUDA") && gpu.contains("add cpu to the list"), "{gpu}");
    let provider = said(&check, &[("ADIT_ONNX_PROVIDERS", "gpu")]);
    assert!(provider.contains("`ADIT_ONNX_PROVIDERS=gpu`") && provider.contains("cuda"), "{provider}");
    let server = said(&check, &[("ADIT_MODEL_SERVERS", "10.0.0.2:8001")]);
    assert!(server.contains("`ADIT_MODEL_SERVERS`") && server.contains("grpc://HOST:PORT/NAME"), "{server}");
    let open = [("BLACKLIST_ENABLED", "false"), ("VERIFY_ENABLED", "false")];
    let serve = |pairs: &[(&str, &str)]| said(&["serve", "--port", "0"], &[&open, pairs].concat());
    let nowhere = serve(&[("ADIT_MODEL", "/nowhere")]);
    assert!(nowhere.contains("`ADIT_MODEL`: /nowhere/model.toml") && nowhere.contains("hint:"), "{nowhere}");
    assert!(serve(&[("ADIT_PREDICTOR", "model")]).contains("wants ADIT_MODEL"));
    let chute = said(&["deploy-local-chute", "--model-path", spotter, "--port", "0"], &[]);
    assert!(chute.contains("it spots actions"), "{chute}");
}

/// From the signature-less challenge to the score, in the process that an operator runs.
#[tokio::test(flavor = "multi_thread")]
async fn a_miner_with_the_example_spotter_is_worth_its_score() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (clip, truth) = (folder.path().join("match.mp4"), folder.path().join("match.json"));
    let drawn = Match::new(7, MatchFormat { width: 640, height: 360, fps: 25, seconds: 20 });
    let ffmpeg = adit_media::Ffmpeg::find(None).await.unwrap();
    let soon = tokio::time::Instant::now() + crate::process::PATIENCE;
    drawn.write_clip(&ffmpeg, &clip, soon).await.unwrap();
    std::fs::write(&truth, serde_json::to_vec(drawn.truth()).unwrap()).unwrap();
    let miner = Miner::start(|command| {
        command
            .envs([
                ("BLACKLIST_ENABLED", "false"),
                ("VERIFY_ENABLED", "false"),
                ("ADIT_ALLOWED_HOSTS", "127.0.0.1"),
            ])
            .env("ADIT_MODEL", example("models/spotter"))
            .env("ADIT_PYTHON", &python);
    });
    let told =
        |line: &String| line.contains("Predictor: spotter model.onnx, 128x72, windows of 64 frames, on CPU");
    assert!(miner.started_with.iter().any(told), "{:#?}", miner.started_with);
    let url = format!("http://{}", miner.address);
    let output = tokio::task::spawn_blocking(move || {
        let mut command = program("sv");
        command.arg("rehearse").arg(&clip).arg("--truth").arg(&truth).args(["--miner", &url, "--as", "head"]);
        finish(command.args(["--repeat", "2", "--spot-check", "--json"]))
    });
    let output = output.await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let score = report["attempts"][0]["score"].as_f64().unwrap();
    assert!(score >= 0.9, "{report}");
    assert_eq!(report["identical"], true, "{report}");
}
