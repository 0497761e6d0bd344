//! The chute on this machine, with models that behave and models that do not.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails as a test does")]
#![expect(clippy::print_stderr, reason = "a skipped test says why")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use adit_media::Ffmpeg;
use adit_outbound::{AddressGuard, Client, Limits};
use adit_predictor::ChuteFiles;
use adit_stand_in::video_host::{Reply, VideoHost};
use adit_synthetic::{Match, MatchFormat};
use adit_turbo_vision::local_chute::{Backend, Config, LocalChute};
use adit_turbo_vision::template::{FileNames, Folder};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Method};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// The tests' Python, with numpy, OpenCV and pydantic.
fn python() -> Option<PathBuf> {
    let python = std::env::var_os("ADIT_TEST_PYTHON").map(PathBuf::from).filter(|path| path.exists());
    if python.is_none() {
        let missing =
            "skipped: ADIT_TEST_PYTHON names no Python with numpy and pydantic; `make test` sets it up";
        assert!(std::env::var_os("ADIT_CI").is_none_or(|value| value != "1"), "{missing}");
        eprintln!("{missing}");
    }
    python
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(120)
}

/// A chute that serves on a port of its own until it is dropped.
struct Running {
    url: String,
    client: Client,
    _stop: oneshot::Sender<()>,
}

async fn config(backend: Backend, python: PathBuf) -> Config {
    Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        python,
        deadline: Duration::from_secs(120),
        guard: AddressGuard::unrestricted(),
        ..Config::new(backend, Ffmpeg::find(None).await.unwrap())
    }
}

impl Running {
    async fn start(config: Config) -> Self {
        let chute = LocalChute::bind(config).await.unwrap();
        let _ = chute.loaded(soon()).await;
        let url = chute.url();
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(chute.serve(async { drop(stopped.await) }));
        Self { url, client: Client::new(AddressGuard::unrestricted()).unwrap(), _stop: stop }
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.send(Method::POST, path, body.to_string()).await
    }

    async fn send(&self, method: Method, path: &str, body: String) -> (u16, Value) {
        let limits = Limits::new(soon(), 64 << 20);
        let url = format!("{}{path}", self.url);
        let answer = self.client.request(method, &url, HeaderMap::new(), body, &limits).await.unwrap();
        let text = std::str::from_utf8(&answer.body).unwrap();
        let value = serde_json::from_str(text).unwrap_or_else(|_| panic!("{path} answered {text:?}"));
        (answer.status.as_u16(), value)
    }

    /// What a prediction that does not come about says.
    async fn error(&self, body: &Value) -> String {
        let (status, answer) = self.post("/predict", body).await;
        assert_eq!(
            (status, &answer["success"], &answer["predictions"]),
            (200, &json!(false), &Value::Null),
            "{answer}"
        );
        answer["error"].as_str().unwrap().to_owned()
    }

    async fn frames(&self, body: &Value) -> Vec<Value> {
        let (status, answer) = self.post("/predict", body).await;
        assert_eq!(
            (status, &answer["success"], &answer["error"]),
            (200, &json!(true), &Value::Null),
            "{answer}"
        );
        answer["predictions"]["frames"].as_array().unwrap().clone()
    }
}

/// A miner.py with this `predict_batch`, after these lines.
struct Miner {
    folder: TempDir,
}

impl Miner {
    fn new(imports: &str, body: &str) -> Self {
        let text = format!(
            "{imports}\n\
             class Frame:\n    \
                 def __init__(self, frame_id, **rest): self.rest = dict(rest, frame_id=frame_id)\n    \
                 def model_dump(self): return self.rest\n\
             class Miner:\n    \
                 def __init__(self, path_hf_repo): self.path = path_hf_repo\n    \
                 def __repr__(self): return 'a miner'\n    \
                 def predict_batch(self, batch_images, offset, n_keypoints):\n        {body}\n"
        );
        let miner = Self { folder: tempfile::tempdir().unwrap() };
        miner.write("miner.py", &text);
        miner
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn backend(&self) -> Backend {
        Backend::Miner { folder: self.folder.path().to_owned() }
    }

    async fn start(&self, python: &Path) -> Running {
        Running::start(config(self.backend(), python.to_owned()).await).await
    }
}

/// A drawn match of this many seconds on a loopback server.
async fn clip(seconds: u32, size: (u32, u32)) -> (VideoHost, String, Match) {
    let format = MatchFormat { width: size.0, height: size.1, fps: 10, seconds };
    let drawn = Match::new(7, format);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("match.mp4");
    drawn.write_clip(&Ffmpeg::find(None).await.unwrap(), &path, soon()).await.unwrap();
    let host = VideoHost::start().await.unwrap();
    let url = host.serve("/match.mp4", Reply::bytes(fs::read(path).unwrap()));
    (host, url, drawn)
}

/// A PNG of one colour, in base64.
fn picture(width: u32, height: u32, rgb: [u8; 3]) -> String {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&rgb.repeat((width * height) as usize)).unwrap();
    writer.finish().unwrap();
    STANDARD.encode(bytes)
}

fn one_frame() -> Value {
    json!({"frames": [{"frame_id": 5, "data": picture(8, 4, [1, 2, 3])}]})
}

#[tokio::test]
async fn the_example_finds_ball_players_and_pitch_of_a_drawn_match() {
    let Some(python) = python() else { return };
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/turbo-vision");
    let chute = Running::start(config(Backend::Miner { folder: example }, python).await).await;

    let (status, health) = chute.post("/health", &json!({})).await;
    assert_eq!(status, 200);
    assert_eq!(health["status"], "healthy");
    assert_eq!(health["model_loaded"], "the drawn match, by its colours");
    assert!((1e-8..1e-3).contains(&health["memory_gb"].as_f64().unwrap()), "{health}");

    let (_host, url, drawn) = clip(3, (960, 540)).await;
    let frames = chute.frames(&json!({"url": url, "meta": {"batch_size": 7}})).await;
    assert_eq!(frames.len() as u64, drawn.frame_count());
    let count = |frame: &Value, class: i64| {
        let boxes = frame["boxes"].as_array().unwrap();
        boxes.iter().filter(|one| one["cls_id"] == class).count()
    };
    for (number, frame) in frames.iter().enumerate() {
        assert_eq!(frame["frame_id"], number);
        assert_eq!(count(frame, 0), 1, "{frame}");
        // Twelve are drawn; some stand before one another.
        assert!((8..=12).contains(&count(frame, 2)), "{frame}");
        let points = frame["keypoints"].as_array().unwrap();
        assert_eq!(points.len(), 32);
        let distinct: std::collections::BTreeSet<String> = points.iter().map(Value::to_string).collect();
        assert_eq!(distinct.len(), 32, "{frame}");
    }
}

#[tokio::test]
async fn images_come_as_they_are_and_blue_first() {
    let Some(python) = python() else { return };
    let miner = Miner::new(
        "",
        "return [Frame(99, shape=list(i.shape), pixel=[int(v) for v in i[1, 2]], flags=bool(i.flags['C_CONTIGUOUS']), \
         asked=[len(batch_images), offset, n_keypoints]) for i in batch_images]",
    );
    let chute = miner.start(&python).await;
    let frames = json!([
        {"frame_id": 30, "data": picture(8, 4, [1, 2, 3])},
        {"frame_id": -2, "data": picture(5, 9, [40, 50, 60]), "url": "http://127.0.0.1:1/not-asked"},
        {"frame_id": "7", "data": picture(8, 4, [7, 8, 9])},
    ]);
    let answer = chute.frames(&json!({"frames": frames, "meta": {"batch_size": 2, "n_keypoints": 14}})).await;
    let row = |id: i64, shape: [u32; 3], pixel: [u8; 3], batch: u32| json!({"shape": shape, "pixel": pixel, "flags": true, "asked": [batch, 0, 14], "frame_id": id});
    assert_eq!(
        answer,
        [
            row(30, [4, 8, 3], [3, 2, 1], 2),
            row(-2, [9, 5, 3], [60, 50, 40], 2),
            row(7, [4, 8, 3], [9, 8, 7], 1),
        ]
    );
}

#[tokio::test]
async fn a_clip_is_shown_in_batches_at_its_own_size_and_keeps_the_miners_numbers() {
    let Some(python) = python() else { return };
    let miner = Miner::new(
        "",
        "return [Frame(offset + n, shape=list(i.shape), batch=[len(batch_images), offset, n_keypoints]) \
         for n, i in enumerate(batch_images)]",
    );
    let chute = miner.start(&python).await;
    let (_host, url, _) = clip(1, (64, 36)).await;
    let frames = chute.frames(&json!({"url": url, "frames": [], "meta": {"batch_size": 4}})).await;
    let expected: Vec<Value> = (0..10)
        .map(|n| {
            let (batch, offset) = if n < 8 { (4, n / 4 * 4) } else { (2, 8) };
            json!({"shape": [36, 64, 3], "batch": [batch, offset, 32], "frame_id": n})
        })
        .collect();
    assert_eq!(frames, expected);
}

#[tokio::test]
async fn a_clips_frames_have_the_pixels_that_opencv_gives() {
    let Some(python) = python() else { return };
    let miner = Miner::new(
        "import cv2",
        "video = cv2.VideoCapture(str(self.path / 'match.mp4')); \
         return [Frame(n, same=bool((video.read()[1] == i).all())) for n, i in enumerate(batch_images)]",
    );
    let (host, _, drawn) = clip(2, (320, 180)).await;
    let path = miner.folder.path().join("match.mp4");
    drawn.write_clip(&Ffmpeg::find(None).await.unwrap(), &path, soon()).await.unwrap();
    let url = host.serve("/same.mp4", Reply::bytes(fs::read(&path).unwrap()));
    let frames = miner.start(&python).await.frames(&json!({"url": url})).await;
    let expected: Vec<Value> = (0..20).map(|n| json!({"same": true, "frame_id": n})).collect();
    assert_eq!(frames, expected);
}

#[tokio::test]
async fn a_result_that_validators_could_not_read_is_named() {
    let Some(python) = python() else { return };
    for (body, what) in [
        ("return []", "ValueError: predict_batch gave 0 results for 1 images"),
        ("return [Frame(0), Frame(1)]", "ValueError: predict_batch gave 2 results for 1 images"),
        ("return None", "TypeError: predict_batch gave a NoneType, not a list with a result for each image"),
        ("return [3]", "TypeError: the result for frame 5 is a int, not a model with boxes"),
        ("raise KeyError('ball')", "KeyError: 'ball'"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        (
            "return [Frame(0, boxes=[{'x1': float('nan')}])]",
            "ValueError: frame 5.boxes[0].x1 is nan, which is no JSON",
        ),
        (
            "import numpy; return [Frame(0, boxes=[{'x1': numpy.int64(3)}])]",
            "TypeError: frame 5.boxes[0].x1 is a numpy.int64, which a chute cannot send: make it a plain int, float, \
             str or list",
        ),
        (
            "return [Frame(0, boxes=[{'x1': 1, 'y1': 2, 'x2': 3, 'y2': '4', 'cls_id': 0}])]",
            "bad value in its answer: frame 5: boxes[0].y2 is \"4\", not a number",
        ),
        (
            "return [Frame(0, keypoints=[1, 2])]",
            "bad value in its answer: frame 5: keypoints[0] is 1, not a pair of numbers",
        ),
    ] {
        let error = Miner::new("", body).start(&python).await.error(&one_frame()).await;
        let expected = format!("❌ There was a problem during prediction: the model failed: {what}");
        assert_eq!(error, expected, "{body}");
    }
}

#[tokio::test]
async fn results_may_be_pydantics_or_plain_and_prints_go_to_the_log() {
    let Some(python) = python() else { return };
    let pydantic = "from pydantic import BaseModel\n\
                    class Box(BaseModel):\n    x1: int\n    y1: int\n    x2: int\n    y2: int\n    cls_id: int\n    conf: float\n\
                    class Result(BaseModel):\n    frame_id: int\n    boxes: list[Box] | None = None\n    keypoints: list[tuple[int, int]] | None = None";
    let body = "print('{}'); import os; os.write(1, b'noise\\n'); \
                return [Result(frame_id=0, boxes=[Box(x1='1', y1=2.0, x2=3, y2=4, cls_id=0, conf=1)], keypoints=[(1, 2)])]";
    let boxes = json!([{"x1": 1, "y1": 2, "x2": 3, "y2": 4, "cls_id": 0, "conf": 1.0}]);
    let frames = Miner::new(pydantic, body).start(&python).await.frames(&one_frame()).await;
    assert_eq!(frames, [json!({"frame_id": 5, "boxes": boxes, "keypoints": [[1, 2]]})]);
    let frames = Miner::new("", "return [{'boxes': None}]").start(&python).await.frames(&one_frame()).await;
    assert_eq!(frames, [json!({"boxes": null, "frame_id": 5})]);
}

#[tokio::test]
async fn a_model_that_hangs_or_dies_fails_its_request_and_is_replaced() {
    let Some(python) = python() else { return };
    let miner = Miner::new(
        "import os, time",
        "w = len(batch_images[0]); \
         w == 2 and time.sleep(1000); w == 3 and os._exit(7); \
         return [Frame(0)]",
    );
    let mut config = config(miner.backend(), python).await;
    config.deadline = Duration::from_secs(10);
    let chute = Running::start(config).await;
    let ask = |height: u32| json!({"frames": [{"frame_id": 1, "data": picture(8, height, [0; 3])}]});
    let prefix = "❌ There was a problem during prediction: ";
    assert_eq!(
        chute.error(&ask(3)).await,
        format!("{prefix}worker 0 ended (exit status: 7) before it answered; the log has what it printed")
    );
    assert_eq!(chute.frames(&ask(4)).await.len(), 1);
    let error = chute.error(&ask(2)).await;
    assert!(
        error == format!("{prefix}worker 0 had no answer at the deadline and was killed")
            || error == format!("{prefix}no answer within 10s"),
        "{error}"
    );
    assert_eq!(chute.frames(&ask(4)).await.len(), 1);
}

#[tokio::test]
async fn a_miner_that_cannot_be_loaded_says_why_at_once() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let backend = || Backend::Miner { folder: folder.path().to_owned() };
    let load = async |text: Option<&str>| {
        if let Some(text) = text {
            fs::write(folder.path().join("miner.py"), text).unwrap();
        }
        let chute = Running::start(config(backend(), python.clone()).await).await;
        let (_, health) = chute.post("/health", &json!({})).await;
        assert_eq!(health["model_loaded"], "None");
        let (status, error) =
            (health["status"].as_str().unwrap().to_owned(), chute.error(&one_frame()).await);
        let reason =
            status.strip_prefix("❌ Failed to load miner: it could not load its model: ").unwrap().to_owned();
        assert!(error.ends_with(&reason), "{error}");
        reason
    };
    assert!(load(None).await.starts_with("FileNotFoundError: there is no miner.py in "));
    fs::write(folder.path().join("parts.py"), "").unwrap();
    for (text, what) in [
        ("x = 1", "LookupError: miner.py has no class Miner"),
        ("import no_such_package", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("import parts", "ModuleNotFoundError: No module named 'parts'"),
        (
            "import pathlib, sys\nsys.path.insert(0, str(pathlib.Path(__file__).parent))\nimport parts\n\
             class Miner:\n    def __init__(self, path_hf_repo): pass\n    def predict_batch(self): pass",
            "ImportError: the chute refuses modules of the model's folder, here parts: put all code into miner.py",
        ),
        (
            "class Miner:\n    def __init__(self, path_hf_repo): pass",
            "LookupError: Miner has no method predict_batch(batch_images, offset, n_keypoints)",
        ),
        (
            "class Miner:\n    def __init__(self, path_hf_repo): raise OSError('no weights')",
            "OSError: no weights",
        ),
        (
            // Six GiB that are never touched, reached twice and counted once.
            "import numpy\nclass Miner:\n    def __init__(self, path_hf_repo):\n        \
             array = numpy.lib.stride_tricks.as_strided(numpy.zeros(1, numpy.uint8), (6 << 30,), (0,))\n        \
             self.weights = {'a': [array], 'b': array}\n    def predict_batch(self): pass",
            "ValueError: Miner holds 6.00 GB, and the chute allows 5.00 GB",
        ),
    ] {
        assert_eq!(load(Some(text)).await, what);
    }
}

#[tokio::test]
async fn a_request_that_cannot_be_answered_says_why() {
    let Some(python) = python() else { return };
    let miner = Miner::new("", "return [Frame(0) for _ in batch_images]");
    let mut config = config(miner.backend(), python).await;
    config.max_body = 1 << 20;
    let chute = Running::start(config).await;
    let host = VideoHost::start().await.unwrap();
    let gone = host.serve("/gone.mp4", Reply::bytes("").status(404));
    let text = host.serve("/text.mp4", Reply::bytes("no clip at all, but some text that is long enough"));
    let prefix = "❌ There was a problem during prediction: ";
    for (body, what) in [
        (json!({}), "Missing both video url and frames payload"),
        (json!({"frames": [{"frame_id": 3}]}), "Frame 3 missing url or data"),
        (json!({"url": gone}), "cannot fetch it: "),
        (json!({"url": text}), "not a video clip: "),
        (json!({"url": "file:///etc/passwd"}), "cannot fetch it: "),
        (json!({"url": gone, "meta": {"batch_size": 0}}), "meta.batch_size is 0, not a whole number from 1"),
        (
            json!({"frames": [{"frame_id": 1, "data": picture(2, 2, [0; 3])}, {"frame_id": 8, "data": "AAAA"}]}),
            "Failed to decode frame 8: not a picture: ",
        ),
        (json!({"frames": [{"frame_id": 8, "url": gone}]}), "Failed to decode frame 8: cannot fetch it: "),
    ] {
        let error = chute.error(&body).await;
        assert!(error.strip_prefix(prefix).unwrap().starts_with(what), "{body}: {error}");
    }
    let (status, answer) = chute.post("/predict", &json!({"meta": null})).await;
    assert_eq!(
        (status, answer),
        (
            400,
            json!({"detail": "Invalid input parameters: the document breaks its schema: meta: Input should be a valid dictionary"})
        )
    );
    let (status, answer) = chute.send(Method::POST, "/predict", "x".repeat((1 << 20) + 1)).await;
    assert_eq!(status, 413);
    assert_eq!(answer, json!({"detail": "the body broke off, or has more than 1048576 bytes"}));
    assert_eq!(chute.send(Method::GET, "/health", String::new()).await.0, 405);
    assert_eq!(chute.send(Method::GET, "/clips/0.mp4", String::new()).await.0, 404);
    let (status, task) = chute.send(Method::GET, "/api/tasks/next/v2", String::new()).await;
    assert_eq!(
        (status, task),
        (200, json!({"task_id": "0", "video_url": "https://scoredata.me/2025_03_14/35ae7a/h1_0f2ca0.mp4"}))
    );
    assert_eq!(chute.frames(&one_frame()).await.len(), 1, "and it goes on");
}

/// The guide's files as they are, but for a model that is no YOLO and, where one is given, another predict.py.
async fn guide(python: PathBuf, load: Option<&str>, predict: Option<&str>) -> (Running, TempDir) {
    let ours = Folder::find(None, FileNames::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for name in ["chute.py.j2", "schemas.py", "setup.py", "load.py", "predict.py"] {
        fs::copy(ours.path().join(name), folder.path().join(name)).unwrap();
    }
    if let Some(load) = load {
        fs::write(folder.path().join("load.py"), load).unwrap();
    }
    if let Some(predict) = predict {
        fs::write(folder.path().join("predict.py"), predict).unwrap();
    }
    let files = ChuteFiles {
        files: Folder::find(Some(folder.path()), FileNames::default()).unwrap().parts().to_vec(),
        repository: "alice/ScoreVision".to_owned(),
        revision: "abc".to_owned(),
        name: "turbovision-alice-deer".to_owned(),
        folder: Some(folder.path().to_owned()),
    };
    (Running::start(config(Backend::Guide(files), python).await).await, folder)
}

/// Finds one box as large as the image on each image but every third.
const LOAD: &str = r#"
from types import SimpleNamespace
from typing import Any

def _load_model(repo_name, revision):
    from huggingface_hub import snapshot_download
    folder = snapshot_download(repo_name, revision=revision)
    assert (repo_name, revision) == ("alice/ScoreVision", "abc") and open(folder + "/load.py")
    seen = [0]
    def rows(image):
        seen[0] += 1
        height, width, _ = image.shape
        row = [0.4, 0.0, float(width), float(height), 0.5, 2.0]
        found = [row] if seen[0] % 3 else []
        return SimpleNamespace(tolist=lambda: found)
    def model(images, verbose):
        return [SimpleNamespace(boxes=SimpleNamespace(data=rows(image))) for image in images]
    return model

def _health(model: Any, repo_name: str) -> dict:
    return {"status": "healthy", "model": repo_name, "model_loaded": model is not None}
"#;

#[tokio::test]
async fn the_guides_files_answer_every_frame_of_a_clip() {
    let Some(python) = python() else { return };
    let (chute, _folder) = guide(python, Some(LOAD), None).await;
    let health = json!({"status": "healthy", "model": "turbovision-alice-deer", "model_loaded": true});
    assert_eq!(chute.post("/health", &json!({})).await, (200, health));

    let (_host, url, _) = clip(1, (64, 36)).await;
    let (_, answer) = chute.post("/predict", &json!({"url": url, "meta": {"batch_size": 4}})).await;
    let box_ = json!({"x1": 0, "y1": 0, "x2": 64, "y2": 36, "cls_id": 2, "conf": 0.5});
    let frames: Vec<Value> = (0..10)
        .map(|n| {
            let boxes = if n % 3 == 2 { json!([]) } else { json!([box_]) };
            json!({"frame_id": n, "boxes": boxes, "keypoints": []})
        })
        .collect();
    assert_eq!(
        answer,
        json!({"success": true, "model": "turbovision-alice-deer", "predictions": {"frames": frames}, "error": null})
    );

    let error = chute.error(&json!({"url": url, "meta": {"batch_size": 0}})).await;
    assert_eq!(error, "ValueError: meta.batch_size is 0, not a whole number from 1");
    let (status, answer) = chute.post("/predict", &json!({"frames": []})).await;
    assert_eq!(
        (status, answer),
        (
            400,
            json!({"detail": "Invalid input parameters: the document breaks its schema: url: Field required"})
        )
    );
}

#[tokio::test]
async fn the_guides_files_say_why_they_cannot_answer() {
    let Some(python) = python() else { return };
    let (_host, url, _) = clip(1, (64, 36)).await;
    for (predict, what) in [
        (
            "def _predict(model, data, model_name): return {}",
            "TypeError: _predict gave a dict, not an SVPredictOutput",
        ),
        ("def _predict(model, data, model_name): raise ValueError('no')", "ValueError: no"),
        (
            "def _predict(model, data, model_name): return SVPredictOutput(success=False, model=model_name, error='own words')",
            "own words",
        ),
        (
            "def _predict(model, data, model_name): return SVPredictOutput(success=True, model=model_name)",
            "ValueError: _predict says success=True and gives no predictions[\"frames\"]",
        ),
    ] {
        let (chute, _folder) = guide(python.clone(), Some(LOAD), Some(predict)).await;
        assert_eq!(chute.error(&json!({"url": url})).await, what);
    }
    let no_file = "FileNotFoundError: alice/ScoreVision@abc: one .pt or .onnx file is wanted in the folder's root, found none";
    for (load, what) in [
        (None, no_file),
        (
            Some("def _load_model(repo_name, revision): raise FileNotFoundError('no weights')"),
            "FileNotFoundError: no weights",
        ),
        (
            Some("def _load_model(repo_name, revision): return 1"),
            "LookupError: none of the template's files defines _health",
        ),
    ] {
        let (chute, _folder) = guide(python.clone(), load, None).await;
        let (_, health) = chute.post("/health", &json!({})).await;
        let text = format!("the model cannot be loaded: it could not load its model: {what}");
        assert_eq!(health, json!({"status": text, "model": "turbovision-alice-deer", "model_loaded": false}));
        assert_eq!(chute.error(&json!({"url": url})).await, text);
    }
}
