//! The Python worker: an operator's file, as it is, behind the worker protocol.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails as a test does")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use adit_media::{Picture, PictureFormat};
use adit_predictor::{
    Answer, Grades, PREDICTOR_FILE, PredictError, Predictor, Subject, Task, Wanted, WorkerConfig, WorkerPool,
};
use bytes::Bytes;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// A checkout with the operator's file at the guide's path, and the worker that serves it.
struct Checkout {
    folder: TempDir,
}

impl Checkout {
    fn new(predictor: &str) -> Self {
        let checkout = Self { folder: tempfile::tempdir().unwrap() };
        checkout.write(PREDICTOR_FILE, predictor);
        checkout
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn start(&self) -> Predictor {
        let config = WorkerConfig::python(Path::new("python3"), &self.path(PREDICTOR_FILE));
        Predictor::Workers(WorkerPool::start(config))
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

async fn ask(predictor: &Predictor, wanted: Wanted) -> Result<Answer, PredictError> {
    let picture =
        Picture { bytes: Bytes::from_static(b"a card"), format: PictureFormat::Jpeg, width: 1, height: 1 };
    let task =
        Task { challenge_id: "c1".to_owned(), wanted, subject: Subject::Pictures(vec![(900, picture)]) };
    predictor.predict(task, soon()).await
}

/// What a `predict_pictures` with this body answers, one text an action.
async fn pictures(imports: &str, body: &str) -> Result<Vec<String>, PredictError> {
    let checkout = Checkout::new(&format!(
        "{imports}\ndef predict_actions(video_path): pass\ndef predict_pictures(pictures):\n    {body}\n"
    ));
    match ask(&checkout.start(), Wanted::SoccerActions).await? {
        Answer::Actions(actions) => Ok(actions
            .iter()
            .map(|row| format!("{} {} {:?}", row.frame, row.action, row.confidence))
            .collect()),
        other => panic!("{other:?} to a soccer task"),
    }
}

fn failure<T: std::fmt::Debug>(answer: Result<T, PredictError>) -> String {
    match answer {
        Err(PredictError::Model(text)) => text,
        other => panic!("{other:?} instead of a failure of the model"),
    }
}

const SCHEMAS: &str = "from src.schemas import FramePrediction";

#[tokio::test]
async fn what_the_model_prints_or_reads_does_not_touch_the_protocol() {
    let body = "import os, subprocess, sys; print('hello'); sys.stdout.write('{}\\n'); os.write(1, b'x\\n'); \
                subprocess.run(['echo', 'child']); assert sys.stdin.read() == ''; \
                return [FramePrediction(frame=900, action='pass')]";
    assert_eq!(pictures(SCHEMAS, body).await.unwrap(), ["900 pass 1.0"]);
}

#[tokio::test]
async fn predictions_are_read_as_the_validator_reads_them() {
    let body = "return [FramePrediction(frame='25', action='a'), FramePrediction(frame=25.0, action='b'), \
                FramePrediction(frame=True, action='c', confidence='0.5', unknown=1), \
                {'frame': 7, 'action': 'd', 'confidence': 0}]";
    assert_eq!(pictures(SCHEMAS, body).await.unwrap(), ["25 a 1.0", "25 b 1.0", "1 c 0.5", "7 d 0.0"]);
}

#[tokio::test]
async fn a_prediction_out_of_range_names_its_field() {
    for (arguments, text) in [
        ("frame=-3, action='a'", "ValueError: FramePrediction.frame = -3: outside 0..inf"),
        ("frame=1.5, action='a'", "ValueError: FramePrediction.frame = 1.5: not a whole number"),
        ("frame=1, action=None", "ValueError: FramePrediction.action = None: not text"),
        (
            "frame=1, action='a', confidence=float('nan')",
            "ValueError: FramePrediction.confidence = nan: outside 0.0..1.0",
        ),
    ] {
        let body = format!("return [FramePrediction({arguments})]");
        assert_eq!(failure(pictures(SCHEMAS, &body).await), text);
    }
}

#[tokio::test]
async fn an_exception_reaches_the_caller_as_type_and_text() {
    let raised = pictures("", "raise KeyError('ball')").await;
    assert_eq!(failure(raised), "KeyError: 'ball'");
    let exit = pictures("", "raise SystemExit(2)").await;
    assert_eq!(failure(exit), "SystemExit: 2");
}

#[tokio::test]
async fn text_that_is_no_unicode_does_not_break_the_protocol() {
    let raised = pictures("", r"raise ValueError('\ud800')").await;
    assert_eq!(failure(raised), "ValueError: ?");
}

#[tokio::test]
async fn a_function_that_is_not_there_is_named() {
    let checkout = Checkout::new("def predict_actions(video_path): pass");
    let predictor = checkout.start();
    assert_eq!(
        failure(ask(&predictor, Wanted::CardGrades).await),
        "LookupError: predictor.py has no function predict_tcg_grading(image_path)"
    );
    assert_eq!(
        failure(ask(&predictor, Wanted::SoccerActions).await),
        "LookupError: predictor.py has no function predict_pictures(pictures)"
    );
}

#[tokio::test]
async fn a_card_is_graded_from_the_local_file() {
    let checkout = Checkout::new(
        "from scorevision.utils.schemas import TCGGradingPrediction\n\
         def predict_actions(video_path): pass\n\
         def predict_tcg_grading(image_path):\n    \
             assert image_path.suffix == '.jpg' and image_path.read_bytes() == b'a card'\n    \
             return TCGGradingPrediction(Header={'card_grade': 8.9}, Grading_Features={\n        \
                 'subgrade_surface': '9', 'subgrade_centering': 7, 'subgrade_edges': 10.99, 'subgrade_corners': 1})\n",
    );
    let answer = ask(&checkout.start(), Wanted::CardGrades).await.unwrap();
    let grades = Grades { card_grade: 8, surface: 9, centering: 7, edges: 10, corners: 1 };
    assert_eq!(answer, Answer::Grades(grades));
}

#[tokio::test]
async fn a_module_on_disk_is_preferred_to_ours() {
    let checkout = Checkout::new(
        "from src.schemas import FramePrediction\n\
         from src.media import frame_count\n\
         from scorevision.miner.private_track.video import get_frame_count\n\
         from .colours import NAME\n\
         def predict_actions(video_path): pass\n\
         def predict_pictures(pictures): return [FramePrediction(NAME)]\n",
    );
    checkout.write(
        "src/schemas.py",
        "class FramePrediction:\n    \
             def __init__(self, action): self.action = action\n    \
             def model_dump(self): return {'frame': 3, 'action': self.action}\n",
    );
    checkout.write("scorevision/miner/private_track/colours.py", "NAME = 'green'");
    let answer = ask(&checkout.start(), Wanted::SoccerActions).await.unwrap();
    let Answer::Actions(actions) = answer else { panic!("{answer:?} to a soccer task") };
    assert_eq!((actions[0].frame, actions[0].action.as_str()), (3, "green"));
}

#[tokio::test]
async fn a_file_that_cannot_be_loaded_keeps_the_miner_from_being_ready() {
    for (text, reason) in [
        ("import no_such_package", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("x = 1", "LookupError: predictor.py has no function predict_actions(video_path)"),
    ] {
        let checkout = Checkout::new(text);
        let predictor = checkout.start();
        let Predictor::Workers(pool) = &predictor else { unreachable!() };
        let deadline = soon();
        while pool.status().last_failure.is_none() {
            assert!(Instant::now() < deadline, "no failure was reported");
            sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(pool.status().last_failure.unwrap(), format!("it could not load its model: {reason}"));
        assert!(!predictor.ready());
    }
}

#[test]
fn a_worker_whose_miner_was_killed_outright_ends_by_itself() {
    let checkout = Checkout::new("def predict_actions(video_path): pass");
    let file = checkout.path(PREDICTOR_FILE);
    // It says its child's id and then stands for a miner. The worker's stdin stays open in this test.
    let miner = "import subprocess, sys, time\n\
                 print(subprocess.Popen([sys.executable, '-c', sys.argv[1], sys.argv[2]]).pid, flush=True)\n\
                 time.sleep(1000)\n";
    let mut miner = Command::new("python3")
        .args([
            "-c",
            miner,
            concat!(include_str!("../python/protocol.py"), include_str!("../python/worker.py")),
        ])
        .arg(&file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let _stdin = miner.stdin.take().unwrap();
    let mut lines = BufReader::new(miner.stdout.take().unwrap()).lines();
    let worker: u32 = lines.next().unwrap().unwrap().parse().unwrap();
    let ready = lines.next().unwrap().unwrap();
    assert_eq!(ready, r#"{"ready": true, "needs": "file", "ping": true}"#);
    miner.kill().unwrap();
    miner.wait().unwrap();
    let stat = format!("/proc/{worker}/stat");
    let dead = || fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "));
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while !dead() {
        assert!(std::time::Instant::now() < deadline, "worker {worker} lives on");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test]
async fn a_predictor_warms_up_where_it_asks_for_it() {
    let predict = "def predict_frames(frames):\n    \
                       count = sum(len(pixels) for _, pixels in frames)\n    \
                       if BAD: raise MemoryError('no GPU')\n    \
                       global SEEN\n    \
                       SEEN = count\n    \
                       return []\n\
                   def predict_pictures(pictures): return [dict(frame=0, action=str(SEEN))]\n";
    for extra in ["", ", batch=4", ", shared=True", ", batch=4, shared=True"] {
        let head = format!("WARM_UP, SEEN, BAD = True, 0, False\nFRAMES = dict(width=4, height=2{extra})\n");
        let checkout = Checkout::new(&format!("import sys; sys.modules['numpy'] = None\n{head}{predict}"));
        let answer = ask(&checkout.start(), Wanted::SoccerActions).await.unwrap();
        let Answer::Actions(actions) = answer else { panic!("{answer:?} to a soccer task") };
        let seen = if extra.contains("batch") { "96" } else { "192" };
        assert_eq!(actions[0].action, seen, "{extra}");
    }
    let head = "WARM_UP, BAD = True, True\nFRAMES = dict(width=4, height=2)\n";
    let checkout = Checkout::new(&format!("{head}{predict}"));
    let predictor = checkout.start();
    let Predictor::Workers(pool) = &predictor else { unreachable!() };
    let deadline = soon();
    while pool.status().last_failure.is_none() {
        assert!(Instant::now() < deadline, "no failure was reported");
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(
        pool.status().last_failure.unwrap(),
        "its warm-up failed: the model failed: MemoryError: no GPU"
    );
}

#[tokio::test]
async fn the_main_loop_answers_pings() {
    let checkout = Checkout::new(
        "import os\n\
         def predict_actions(video_path): pass\n\
         def predict_pictures(pictures): return [dict(frame=0, action=str(os.getpid()))]\n",
    );
    let mut config = WorkerConfig::python(Path::new("python3"), &checkout.path(PREDICTOR_FILE));
    config.ping_every = Duration::from_millis(1);
    let predictor = Predictor::Workers(WorkerPool::start(config));
    let first = ask(&predictor, Wanted::SoccerActions).await.unwrap();
    for _ in 0..20 {
        sleep(Duration::from_millis(5)).await;
        assert_eq!(ask(&predictor, Wanted::SoccerActions).await.unwrap(), first);
    }
}
