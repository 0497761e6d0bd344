//! `sv evaluate` on drawn matches, with a model whose confidences are known.

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use adit_synthetic::{Match, MatchFormat, TruthAction};
use serde_json::{Value, json};

use crate::foreign_clips::python;
use crate::process::{finish, program, shown};

/// Answers by the challenge's name, which is the clip's.
const WORKER: &str = r#"
import json, sys
answers = json.load(open(sys.argv[1]))
print(json.dumps({"ready": True, "needs": "frame_count"}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    print(json.dumps({"id": request["id"], **answers[request["challenge_id"]]}), flush=True)
"#;

/// A folder of clips beside the model that knows them.
struct Stage {
    folder: tempfile::TempDir,
    answers: serde_json::Map<String, Value>,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("clips")).unwrap();
        fs::write(folder.path().join("worker.py"), WORKER).unwrap();
        Self { folder, answers: serde_json::Map::new() }
    }

    fn clips(&self) -> PathBuf {
        self.folder.path().join("clips")
    }

    /// A drawn clip with labels, and what the worker says of it.
    async fn clip(&mut self, name: &str, seed: u64, answer: impl Fn(&[TruthAction]) -> Vec<Value>) {
        let format = MatchFormat { width: 160, height: 90, fps: 25, seconds: 12 };
        let drawn = self.sized_clip(name, seed, format).await;
        self.answers.insert(name.to_owned(), json!({"predictions": answer(drawn.truth())}));
    }

    async fn sized_clip(&self, name: &str, seed: u64, format: MatchFormat) -> Match {
        let drawn = Match::new(seed, format);
        let path = self.clips().join(name);
        let ffmpeg = adit_media::Ffmpeg::find(None).await.unwrap();
        let deadline = tokio::time::Instant::now() + crate::process::PATIENCE;
        drawn.write_clip(&ffmpeg, &path, deadline).await.unwrap();
        fs::write(path.with_extension("json"), serde_json::to_string(drawn.truth()).unwrap()).unwrap();
        drawn
    }

    fn evaluate(&self, more: &[&str]) -> Output {
        let answers = self.folder.path().join("answers.json");
        fs::write(&answers, Value::Object(self.answers.clone()).to_string()).unwrap();
        let worker = self.folder.path().join("worker.py");
        let command = format!("python3 {} {}", worker.display(), answers.display());
        let mut program = program("sv");
        program.current_dir(self.folder.path()).args(["evaluate", "--clips", "clips"]).args(more);
        finish(program.env("ADIT_WORKER_COMMAND", command))
    }
}

/// Right but 3 frames late and 0.8 sure; besides, as many goals that are none, 0.3 sure.
fn noisy(truth: &[TruthAction]) -> Vec<Value> {
    let right =
        truth.iter().map(|row| json!({"frame": row.frame + 3, "action": row.action, "confidence": 0.8}));
    let wrong = (0..3u64).map(|n| json!({"frame": 10 + n * 80, "action": "foul", "confidence": 0.3}));
    right.chain(wrong).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_is_scored_and_better_thresholds_are_found() {
    let mut stage = Stage::new();
    for (name, seed) in [("a.mp4", 3), ("b.mp4", 4), ("c.mp4", 5)] {
        stage.clip(name, seed, noisy).await;
    }
    let output = stage.evaluate(&["--report", "report.html"]);
    let text = shown(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    for part in [
        "ACTION",
        "foul",
        "c.mp4",
        "the mean over 3 clips",
        "(3 folds): what to expect",
        "report: report.html",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let page = fs::read_to_string(stage.folder.path().join("report.html")).unwrap();
    assert!(page.contains("a.mp4") && !page.contains("http"), "{page}");

    let output = stage.evaluate(&["--json"]);
    assert_eq!(output.status.code(), Some(0));
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
    let score = |pointer: &str| figures.pointer(pointer).and_then(Value::as_f64).unwrap();
    assert!(score("/tuned/figures/score") > score("/now/score") + 0.1, "{figures:#}");
    // Every clip is alike, so what was chosen by two holds for the third.
    assert!((score("/tuned/held_out/score") - score("/tuned/figures/score")).abs() < 1e-9, "{figures:#}");
    assert!((0.31..=1.0).contains(&score("/tuned/thresholds/foul")), "{figures:#}");
    assert!(score("/tuned/thresholds/pass") <= 0.8, "{figures:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_take_part_is_named_and_the_rest_goes_on() {
    let mut stage = Stage::new();
    stage.clip("good.mp4", 3, noisy).await;
    stage.clip("unlabelled.mp4", 4, noisy).await;
    fs::remove_file(stage.clips().join("unlabelled.json")).unwrap();
    stage.clip("failing.mp4", 5, noisy).await;
    stage.answers.insert("failing.mp4".to_owned(), json!({"error": "no such layer"}));
    stage.clip("empty.mp4", 6, noisy).await;
    fs::write(stage.clips().join("empty.json"), "[]").unwrap();
    stage.clip("soccernet.mp4", 7, |_| vec![json!({"frame": 128, "action": "pass"})]).await;
    fs::remove_file(stage.clips().join("soccernet.json")).unwrap();
    fs::create_dir(stage.clips().join("soccernet")).unwrap();
    let labels = json!({"annotations": [
        {"gameTime": "1 - 00:05", "label": "PASS", "position": "5120"},
        {"gameTime": "1 - 00:07", "label": "DRIVE", "position": "7000"},
        {"gameTime": "1 - 00:50", "label": "PASS", "position": "50000"},
    ]});
    fs::write(stage.clips().join("soccernet/Labels-ball.json"), labels.to_string()).unwrap();
    fs::write(stage.clips().join("broken.mp4"), "no clip").unwrap();
    fs::write(stage.clips().join("broken.json"), r#"[{"frame": 1, "action": "pass"}]"#).unwrap();
    fs::write(stage.clips().join("lonely.json"), r#"[{"frame": 1, "action": "pass"}]"#).unwrap();
    fs::write(stage.clips().join("torn.json"), "[{").unwrap();
    fs::copy(stage.clips().join("good.mp4"), stage.clips().join("torn.mp4")).unwrap();
    let output = stage.evaluate(&["--folds", "0"]);
    let text = shown(&output);
    for line in [
        "⚠ soccernet/Labels-ball.json has a label behind the clip's 300 frames, the first at frame 1250; left out",
        "⚠ labels that validators do not score: DRIVE (1); --map LABEL=ACTION takes one in",
        "✗ broken.mp4 is no clip that can be read: ",
        "✗ empty.json has no label within the clip that today's validators score",
        "✗ failing.mp4 has no answer: the model failed: no such layer",
        "✗ lonely.json has no clip of its name beside it",
        "✗ torn.json is no JSON: ",
        "✗ unlabelled.mp4 has no labels; put them beside it as unlabelled.json",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert_eq!(text.matches('✗').count(), 6, "{text}");
    assert!(text.contains("the mean over 2 clips"), "{text}");
    assert_eq!(output.status.code(), Some(1));
}

/// The example's spotter with a threshold at which it says too little.
#[tokio::test(flavor = "multi_thread")]
async fn better_thresholds_are_written_and_hold_the_next_time() {
    let Some(python) = python() else { return };
    let stage = Stage::new();
    for (name, seed) in [("a.mp4", 44), ("b.mp4", 2)] {
        stage.sized_clip(name, seed, MatchFormat { width: 640, height: 360, fps: 25, seconds: 12 }).await;
    }
    let model = stage.folder.path().join("model");
    fs::create_dir(&model).unwrap();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/models/spotter");
    for file in ["model.onnx", "model.toml"] {
        fs::copy(format!("{example}/{file}"), model.join(file)).unwrap();
    }
    let toml = model.join("model.toml");
    let shipped = fs::read_to_string(&toml).unwrap();
    let high = shipped.replace("threshold = 0.25", "threshold = 0.9 # for now");
    assert_ne!(high, shipped);
    fs::write(&toml, &high).unwrap();
    let evaluate = |more: &[&str]| {
        let mut program = program("sv");
        program.current_dir(stage.folder.path()).args(["evaluate", "--clips", "clips", "--model", "model"]);
        finish(program.args(more).env("ADIT_PYTHON", &python))
    };

    let unasked = evaluate(&["--write"]);
    let text = shown(&unasked);
    assert_eq!(unasked.status.code(), Some(1), "{text}");
    assert!(text.contains("hint: --yes writes without asking"), "{text}");
    assert_eq!(fs::read_to_string(&toml).unwrap(), high);

    let output = evaluate(&["--json", "--write", "--yes"]);
    let first: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", shown(&output)));
    let score = |figures: &Value, pointer: &str| figures.pointer(pointer).and_then(Value::as_f64).unwrap();
    assert_eq!(first["tuned"]["written"], true);
    assert!(score(&first, "/tuned/figures/score") > score(&first, "/now/score"), "{first:#}");
    assert!(score(&first, "/tuned/figures/score") > 0.9, "{first:#}");
    let written = fs::read_to_string(&toml).unwrap();
    for kept in ["# Two windows see each frame", "threshold = 0.9 # for now", "[spotting.thresholds]"] {
        assert!(written.contains(kept), "{kept}: {written}");
    }

    let again: Value = serde_json::from_slice(&evaluate(&["--json"]).stdout).unwrap();
    assert_eq!(score(&again, "/now/score"), score(&first, "/tuned/figures/score"));
}

#[test]
fn what_cannot_be_evaluated_at_all() {
    let stage = Stage::new();
    let refused = |arguments: &[&str], words: &str| {
        let output = stage.evaluate(arguments);
        let text = shown(&output);
        assert!(output.status.code() == Some(2) && text.contains(words), "{words}: {text}");
    };
    refused(&[], "error: clips holds no clip");
    refused(&["--map", "DRIVE=dribble"], "error: `dribble` is no action that validators score");
    refused(&["--predictor-file", "/nowhere/predictor.py"], "/nowhere/predictor.py does not exist");
    refused(&["--model", "/nowhere"], "/nowhere/model.toml");
    refused(&["--write"], "hint: name the model's folder with --model or ADIT_MODEL");
    fs::write(stage.clips().join("broken.mp4"), "no clip").unwrap();
    refused(&[], "✗ broken.mp4 has no labels");
    refused(&[], "error: no clip could be evaluated");
}
