//! The models of `examples/models` on drawn matches, in this process and through the Python workers beside them.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails as a test does")]
#![expect(clippy::print_stderr, reason = "a skipped test says why")]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use adit_media::{Ffmpeg, Media, MediaLimits};
use adit_outbound::{AddressGuard, Client};
use adit_predictor::{
    Action, Answer, Image, ImageStream, Model, ModelSpec, Need, OnnxConfig, Predictor, Runner, Subject, Task,
    Wanted, WorkerConfig, WorkerPool, find_onnx_runtime,
};
use adit_scoring::detection::{Pillars, judge as judge_objects};
use adit_scoring::objects::{Detection, Truth};
use adit_scoring::soccer::{Era, Event, judge};
use adit_stand_in::video_host::{Reply, VideoHost};
use adit_synthetic::{Kind, Match, MatchFormat};
use futures_util::{StreamExt as _, stream};
use serde_json::{Map, Value};
use tokio::time::Instant;

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(120)
}

fn examples(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(path)
}

/// The tests' Python, where it has ONNX Runtime, and its library.
fn python() -> Option<(PathBuf, Runner)> {
    let python = std::env::var_os("ADIT_TEST_PYTHON").map(PathBuf::from);
    let found = python.and_then(|python| Some((find_onnx_runtime(None, &python)?, python)));
    if found.is_none() {
        let why = "no onnxruntime in the environment of ADIT_TEST_PYTHON";
        assert!(std::env::var_os("ADIT_CI").is_none_or(|value| value != "1"), "{why}");
        eprintln!("skipped: {why}");
    }
    found.map(|(library, python)| (python, Runner::Onnx(OnnxConfig::new(library))))
}

async fn loaded(name: &str, runner: &Runner) -> Predictor {
    let spec = ModelSpec::read(&examples("models").join(name)).unwrap();
    Predictor::Model(Model::load(spec, runner).await.unwrap())
}

#[test]
fn built_anew_they_are_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let build = Command::new("python3").arg(examples("models/build.py")).arg(folder.path()).output().unwrap();
    assert!(build.status.success(), "{}", String::from_utf8_lossy(&build.stderr));
    for model in ["spotter/model.onnx", "detector/model.onnx"] {
        let (built, kept) = (fs::read(folder.path().join(model)), fs::read(examples("models").join(model)));
        assert!(built.unwrap() == kept.unwrap(), "{model} is not what build.py writes");
    }
}

/// A drawn match on a loopback server.
struct Clip {
    drawn: Match,
    media: Media,
    host: VideoHost,
    bytes: Vec<u8>,
}

impl Clip {
    async fn drawn(seed: u64, format: MatchFormat) -> Self {
        let ffmpeg = Ffmpeg::find(None).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("match.mp4");
        let drawn = Match::new(seed, format);
        drawn.write_clip(&ffmpeg, &path, soon()).await.unwrap();
        let client = Client::new(AddressGuard::unrestricted()).unwrap();
        Self {
            drawn,
            media: Media::new(client, ffmpeg, MediaLimits::default()),
            host: VideoHost::start().await.unwrap(),
            bytes: fs::read(path).unwrap(),
        }
    }

    async fn actions(&self, predictor: &Predictor) -> Vec<Action> {
        let Need::Frames(format) = predictor.wait_ready(soon()).await.unwrap() else {
            panic!("a spotter needs frames")
        };
        let url = self.host.serve("/match.mp4", Reply::bytes(self.bytes.clone()));
        let subject = Subject::Frames(self.media.frames(&url, format, soon()).await.unwrap());
        let task = Task { challenge_id: "c".to_owned(), wanted: Wanted::SoccerActions, subject };
        let Answer::Actions(actions) = predictor.predict(task, soon()).await.unwrap() else {
            panic!("actions")
        };
        actions
    }

    fn score(&self, actions: &[Action]) -> f64 {
        let found: Vec<Event> = actions.iter().map(|row| Event::new(row.frame, &*row.action)).collect();
        let truth: Vec<Event> =
            self.drawn.truth().iter().map(|row| Event::new(row.frame, &*row.action)).collect();
        judge(Era::Head, &found, &truth).score
    }
}

#[tokio::test]
async fn the_spotter_finds_the_actions_here_and_in_a_worker_alike() {
    let Some((python, runner)) = python() else { return };
    let here = loaded("spotter", &runner).await;
    let config = WorkerConfig::python(&python, &examples("worker-onnx/predictor.py"));
    let worker = Predictor::Workers(WorkerPool::start(config));
    let small = MatchFormat { width: 640, height: 360, fps: 25, seconds: 20 };
    let cases = [
        // That of the demo.
        (44, small),
        (6, MatchFormat { width: 1280, height: 720, seconds: 8, ..small }),
        (2, MatchFormat { width: 398, height: 224, fps: 30, seconds: 16 }),
        (1, MatchFormat { width: 320, height: 180, fps: 50, seconds: 12 }),
    ];
    for (seed, format) in cases {
        let clip = Clip::drawn(seed, format).await;
        let actions = clip.actions(&here).await;
        let score = clip.score(&actions);
        assert!(score >= 0.95, "{format:?} {seed}: {score} for {actions:?}");
        assert_eq!(clip.actions(&worker).await, actions, "{format:?} {seed}");
    }
}

/// What a `model.toml` may say that those of the examples do not: averages, candidates of all heights, and windows in
/// seconds at a rate that is not validators'.
#[tokio::test]
async fn a_worker_reads_the_description_as_the_process_does() {
    let Some((python, runner)) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    fs::copy(examples("models/spotter/model.onnx"), folder.path().join("model.onnx")).unwrap();
    fs::copy(examples("worker-onnx/predictor.py"), folder.path().join("predictor.py")).unwrap();
    let clip = Clip::drawn(9, MatchFormat { width: 320, height: 180, fps: 50, seconds: 7 }).await;
    let spotting = "activation = \"none\"\nsmoothing = 5\nwindow = 0.7\nthreshold = 0.0\n";
    let tables = "[spotting.thresholds]\npass = 0.1\n[spotting.windows]\nshot = 1.9\n";
    for (input, clips, background) in [
        (
            "colour = \"bgr\"\nscale = 58.0\nmean = [0.1, 0.2, 0.3]\nstd = [3.0, 4.1, 5.2]",
            "stride = 3",
            "goal",
        ),
        ("batch = 3", "rate = 17.0\noverlap = 63", "shot"),
        ("", "overlap = 20", "pass_received"),
    ] {
        let text = format!(
            "kind = \"action-spotting\"\nlabels = [\"pass\", \"pass_received\", \"shot\", \"goal\"]\n\
             [input]\nlayout = \"NTCHW\"\n{input}\n[clip]\nlength = 64\n{clips}\n\
             [spotting]\nbackground = \"{background}\"\n{spotting}{tables}"
        );
        fs::write(folder.path().join("model.toml"), text).unwrap();
        let spec = ModelSpec::read(folder.path()).unwrap();
        let here = Predictor::Model(Model::load(spec, &runner).await.unwrap());
        let config = WorkerConfig::python(&python, &folder.path().join("predictor.py"));
        let worker = Predictor::Workers(WorkerPool::start(config));
        let actions = clip.actions(&here).await;
        assert!(actions.len() > 3, "{input} {clips}: {actions:?}");
        assert_eq!(clip.actions(&worker).await, actions, "{input} {clips}");
        worker.shutdown().await;
    }
}

/// Frames of a drawn match, one in `every`.
fn images(drawn: &Match, (width, height): (u32, u32), every: usize) -> Vec<Image> {
    let shown = (0..drawn.frame_count()).step_by(every);
    shown
        .map(|index| Image { frame_id: index as i64, width, height, pixels: drawn.frame(index).into() })
        .collect()
}

async fn objects(predictor: &Predictor, images: &[Image]) -> Vec<Map<String, Value>> {
    let task = Task {
        challenge_id: "c".to_owned(),
        wanted: Wanted::Objects { batch_size: 4, n_keypoints: 32 },
        subject: Subject::Images(ImageStream::new(stream::iter(images.to_vec()).map(Ok))),
    };
    let Answer::Objects(found) = predictor.predict(task, soon()).await.unwrap() else { panic!("objects") };
    found
}

const LABELS: [&str; 3] = ["ball", "goalkeeper", "player"];

fn judged(drawn: &Match, size: (u32, u32), found: &[Map<String, Value>]) -> Pillars {
    let detection = |bbox, label: &str, score| Detection {
        bbox,
        label: label.to_owned(),
        team: None,
        score,
        polygon: None,
    };
    let mut predicted = HashMap::new();
    let mut truth = Vec::new();
    for frame in found {
        let number = frame["frame_id"].as_i64().unwrap();
        let boxes = frame["boxes"].as_array().unwrap().iter().map(|row| {
            let side = |key: &str| row[key].as_i64().unwrap();
            let label = LABELS[row["cls_id"].as_u64().unwrap() as usize];
            detection(["x1", "y1", "x2", "y2"].map(side), label, row["conf"].as_f64())
        });
        predicted.insert(number, boxes.collect());
        let detections = drawn.objects(number as u64).into_iter().map(|object| {
            let label = match object.kind {
                Kind::Ball => "ball",
                Kind::Goalkeeper(_) => "goalkeeper",
                Kind::Player(_) => "player",
            };
            detection(object.bbox, label, None)
        });
        truth.push(Truth { number, image: Some(size), detections: detections.collect() });
    }
    judge_objects(&truth, &predicted)
}

#[tokio::test]
async fn the_detector_finds_the_objects_here_and_in_a_worker_alike() {
    let Some((python, runner)) = python() else { return };
    let here = loaded("detector", &runner).await;
    let worker = WorkerConfig::miner(&python, &examples("turbo-vision-onnx"));
    let worker = Predictor::Workers(WorkerPool::start(worker));
    for (seed, size) in [(44, (960, 540)), (3, (640, 360)), (5, (398, 224))] {
        let format = MatchFormat { width: size.0, height: size.1, fps: 25, seconds: 30 };
        let drawn = Match::new(seed, format);
        let images = images(&drawn, size, 25);
        let found = objects(&here, &images).await;
        let pillars = judged(&drawn, size, &found);
        let (map, recall, precision) = (pillars.map50, pillars.recall, pillars.precision);
        assert!(map >= 0.98 && recall >= 0.98 && precision >= 0.99, "{size:?} {seed}: {pillars:?}");
        assert!(pillars.iou >= 0.98 && pillars.count >= 0.99, "{size:?} {seed}: {pillars:?}");
        assert_eq!(objects(&worker, &images).await, found, "{size:?} {seed}");
    }
}
