//! Models against a real clip: fetched, decoded and shown to them by `media`.

#![expect(clippy::print_stderr, reason = "a skipped test says what was missing")]
#![expect(clippy::unwrap_used, reason = "a helper of a test fails as a test does")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use adit_media::{Ffmpeg, Media, MediaLimits};
use adit_outbound::{AddressGuard, Client};
use adit_predictor::{
    Action, Answer, Need, PREDICTOR_FILE, PredictError, Predictor, Subject, Task, Wanted, WorkerConfig,
    WorkerPool,
};
use adit_scoring::soccer::{Era, Event, judge};
use adit_stand_in::video_host::{Reply, VideoHost};
use adit_synthetic::{Match, MatchFormat};
use tempfile::TempDir;
use tokio::time::Instant;

/// A drawn match on a loopback server.
struct Clip {
    media: Media,
    drawn: Match,
    bytes: Vec<u8>,
    host: VideoHost,
    folder: TempDir,
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(120)
}

impl Clip {
    async fn new() -> Self {
        let ffmpeg = Ffmpeg::find(None).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let format = MatchFormat { width: 320, height: 180, fps: 25, seconds: 12 };
        let drawn = Match::new(3, format);
        let path = folder.path().join("match.mp4");
        drawn.write_clip(&ffmpeg, &path, soon()).await.unwrap();
        let client = Client::new(AddressGuard::unrestricted()).unwrap();
        Self {
            media: Media::new(client, ffmpeg, MediaLimits::default()),
            drawn,
            bytes: fs::read(path).unwrap(),
            host: VideoHost::start().await.unwrap(),
            folder,
        }
    }

    /// A worker for this text of a predictor file.
    fn model(&self, text: &str) -> Predictor {
        Predictor::Workers(WorkerPool::start(self.config(text)))
    }

    fn config(&self, text: &str) -> WorkerConfig {
        let file = self.folder.path().join(PREDICTOR_FILE);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, text).unwrap();
        WorkerConfig::python(Path::new("python3"), &file)
    }

    async fn ask(&self, predictor: &Predictor, wanted: Wanted) -> Result<Answer, PredictError> {
        let url = self.host.serve("/match.mp4", Reply::bytes(self.bytes.clone()));
        self.ask_about(&url, predictor, wanted).await
    }

    async fn ask_about(
        &self,
        url: &str,
        predictor: &Predictor,
        wanted: Wanted,
    ) -> Result<Answer, PredictError> {
        let subject = match predictor.wait_ready(soon()).await? {
            Need::FrameCount => Subject::FrameCount(self.media.frame_count(url, soon()).await?),
            Need::File => Subject::File(self.media.file(url, soon()).await?),
            Need::Frames(format) => Subject::Frames(self.media.frames(url, format, soon()).await?),
            other => panic!("a clip is not given as {other}"),
        };
        let task = Task { challenge_id: "c1".to_owned(), wanted, subject };
        predictor.predict(task, soon()).await
    }

    async fn actions(&self, predictor: &Predictor) -> Vec<Action> {
        match self.ask(predictor, Wanted::SoccerActions).await.unwrap() {
            Answer::Actions(actions) => actions,
            other => panic!("{other:?} to a soccer task"),
        }
    }

    async fn score(&self, predictor: &Predictor) -> f64 {
        let actions = self.actions(predictor).await;
        let predictions: Vec<Event> = actions.iter().map(|row| Event::new(row.frame, &*row.action)).collect();
        let truth: Vec<Event> =
            self.drawn.truth().iter().map(|row| Event::new(row.frame, &*row.action)).collect();
        judge(Era::Head, &predictions, &truth).score
    }
}

fn python(file: &Path) -> Predictor {
    let config = WorkerConfig::python(Path::new("python3"), file);
    Predictor::Workers(WorkerPool::start(config))
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn names(actions: &[Action]) -> Vec<&str> {
    actions.iter().map(|row| row.action.as_str()).collect()
}

#[tokio::test]
async fn the_file_of_the_guide_runs_unchanged() {
    let clip = Clip::new().await;
    let model = clip.model(
        "from pathlib import Path\n\
         from src.schemas import FramePrediction\n\
         \n\
         def predict_actions(video_path: Path) -> list[FramePrediction]:\n    \
             # Your model inference here\n    \
             predictions = []\n    \
             # ... your logic\n    \
             predictions.append(FramePrediction(frame=45, action=\"pass\"))\n    \
             return predictions\n",
    );
    let pass = Action { frame: 45, action: "pass".to_owned(), confidence: 1.0 };
    assert_eq!(clip.actions(&model).await, [pass]);
}

#[tokio::test]
async fn the_file_that_comes_with_the_repository_is_the_baseline() {
    let clip = Clip::new().await;
    let expected = clip.actions(&Predictor::Baseline).await;
    assert_eq!(
        expected.iter().map(|row| row.frame).collect::<Vec<_>>(),
        (0..300).step_by(25).collect::<Vec<_>>()
    );
    let sample = python(&repository(PREDICTOR_FILE));
    assert_eq!(clip.actions(&sample).await, expected);
}

#[tokio::test]
async fn a_model_reads_the_clip_from_its_file() {
    let clip = Clip::new().await;
    let model = clip.model(
        "from scorevision.miner.private_track.video import get_frame_count\n\
         def predict_actions(video_path):\n    \
             size = video_path.stat().st_size\n    \
             return [dict(frame=get_frame_count(video_path) - 1, action=f'{video_path.suffix} {size}')]\n",
    );
    let actions = clip.actions(&model).await;
    assert_eq!(actions[0].frame, 299);
    assert_eq!(actions[0].action, format!(".mp4 {}", clip.bytes.len()));
}

#[tokio::test]
async fn a_model_that_needs_only_the_count_downloads_no_clip() {
    let clip = Clip::new().await;
    let model = clip.model(
        "from src.media import frame_count\n\
         NEEDS = 'frame_count'\n\
         def predict_actions(video_path):\n    \
             return [dict(frame=0, action=f'{frame_count(video_path)} {video_path.exists()}')]\n",
    );
    assert_eq!(names(&clip.actions(&model).await), ["300 False"]);
}

#[tokio::test]
async fn a_frame_beyond_the_clip_costs_no_more_than_itself() {
    let clip = Clip::new().await;
    let model = clip.model("def predict_actions(video_path): return [dict(frame=300, action='pass')]");
    assert_eq!(names(&clip.actions(&model).await), ["pass"]);
}

#[tokio::test]
async fn every_frame_reaches_a_model_that_needs_frames() {
    let clip = Clip::new().await;
    let model = clip.model(
        "FRAMES = dict(width=40, height=20)\n\
         def predict_frames(frames):\n    \
             return [dict(frame=index, action=f'{type(pixels).__name__} {len(pixels)}') for index, pixels in frames]\n",
    );
    let actions = clip.actions(&model).await;
    assert_eq!(actions.iter().map(|row| row.frame).collect::<Vec<_>>(), (0..300).collect::<Vec<_>>());
    assert!(actions.iter().all(|row| row.action == "bytes 2400"), "{:?}", actions[0]);
}

#[tokio::test]
async fn frames_at_a_lower_rate_keep_their_index_in_the_clip() {
    let clip = Clip::new().await;
    let model = clip.model(
        "FRAMES = dict(width=40, height=20, rate=5)\n\
         def predict_frames(frames):\n    \
             return [dict(frame=index, action='seen') for index, _ in frames]\n",
    );
    let frames: Vec<u64> = clip.actions(&model).await.iter().map(|row| row.frame).collect();
    assert_eq!(frames, (0..300).step_by(5).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_model_may_stop_looking_before_the_last_frame() {
    let clip = Clip::new().await;
    let model = clip.model(
        "import os\n\
         FRAMES = dict(width=40, height=20)\n\
         def predict_frames(frames):\n    \
             return [dict(frame=next(frames)[0], action=str(os.getpid()))]\n",
    );
    let (first, second) = (clip.actions(&model).await, clip.actions(&model).await);
    assert_eq!(first, second);
}

#[tokio::test]
async fn a_clip_that_breaks_off_is_an_error_and_the_worker_stays() {
    let clip = Clip::new().await;
    let model = clip.model(
        "import os\n\
         FRAMES = dict(width=40, height=20)\n\
         def predict_frames(frames):\n    \
             count = sum(1 for _ in frames)\n    \
             return [dict(frame=count - 1, action=str(os.getpid()))]\n",
    );
    let before = clip.actions(&model).await;
    let whole = clip.bytes.len() as u64;
    let url = clip.host.serve("/cut.mp4", Reply::bytes(clip.bytes.clone()).cut_at(whole * 3 / 4));
    let error = clip.ask_about(&url, &model, Wanted::SoccerActions).await.unwrap_err();
    assert!(matches!(error, PredictError::Media(_)), "{error}");
    assert_eq!(clip.actions(&model).await, before);
}

#[tokio::test]
async fn a_clip_that_stalls_until_the_deadline_costs_no_worker() {
    let clip = Clip::new().await;
    let mut config = clip.config(
        "import os\n\
         FRAMES = dict(width=40, height=20)\n\
         def predict_frames(frames):\n    \
             for _ in frames: pass\n    \
             return [dict(frame=0, action=str(os.getpid()))]\n",
    );
    // A loaded machine may be slow to wake the worker.
    config.clip_margin = Duration::from_secs(60);
    let margin = config.clip_margin;
    let model = Predictor::Workers(WorkerPool::start(config));
    let before = clip.actions(&model).await;
    let whole = clip.bytes.len() as u64;
    let url = clip.host.serve("/slow.mp4", Reply::bytes(clip.bytes.clone()).stalling_at(whole * 3 / 4));
    let Some(Need::Frames(format)) = model.need() else { panic!("{:?}", model.need()) };
    let deadline = Instant::now() + margin + Duration::from_secs(3);
    let task = Task {
        challenge_id: "c1".to_owned(),
        wanted: Wanted::SoccerActions,
        subject: Subject::Frames(clip.media.frames(&url, format, deadline).await.unwrap()),
    };
    let error = model.predict(task, deadline).await.unwrap_err();
    assert_eq!(error.to_string(), "out of time: the clip was still arriving at the deadline");
    assert_eq!(clip.actions(&model).await, before);
}

#[tokio::test]
async fn a_delivery_comes_from_a_file_or_from_frames() {
    let clip = Clip::new().await;
    for (setting, look) in [
        ("def predict_actions(video_path): pass", "os.path.getsize(request.video_url)"),
        (
            "FRAMES = dict(width=40, height=20)\ndef predict_frames(frames): pass",
            "sum(1 for _ in request.frames)",
        ),
    ] {
        let model = clip.model(&format!(
            "import os\n\
             from src.schemas import ChallengeRequest, CricketDeliveryPrediction\n\
             {setting}\n\
             def predict_cricket_delivery(request: ChallengeRequest):\n    \
                 return CricketDeliveryPrediction(match=request.challenge_id, kph={look}, wkts='1', unknown=2)\n",
        ));
        let answer = clip.ask(&model, Wanted::CricketDelivery).await.unwrap();
        let Answer::Delivery(row) = answer else { panic!("{answer:?} to a cricket task") };
        let seen = if setting.starts_with("FRAMES") { 300.0 } else { clip.bytes.len() as f64 };
        assert_eq!(
            (&row["match"], row["kph"].as_f64(), &row["wickets"]),
            (&"c1".into(), Some(seen), &1.into())
        );
        assert_eq!(row.len(), 23);
        assert!(row["runs"].is_null());
    }
}

#[tokio::test]
async fn a_clip_in_another_form_than_needed_is_refused() {
    let clip = Clip::new().await;
    let model = clip.model("def predict_actions(video_path): pass");
    model.wait_ready(soon()).await.unwrap();
    let url = clip.host.serve("/match.mp4", Reply::bytes(clip.bytes.clone()));
    let task = Task {
        challenge_id: "c1".to_owned(),
        wanted: Wanted::SoccerActions,
        subject: Subject::FrameCount(clip.media.frame_count(&url, soon()).await.unwrap()),
    };
    assert_eq!(
        model.predict(task, soon()).await.unwrap_err().to_string(),
        "soccer_action from this model needs a local file, not the frame count"
    );
}

#[tokio::test]
async fn the_example_model_sees_what_the_baseline_guesses() {
    let clip = Clip::new().await;
    let guessed = clip.score(&Predictor::Baseline).await;
    let seen = clip.score(&python(&repository("examples/worker-frames/predictor.py"))).await;
    assert!(guessed > 0.0 && guessed < 0.4, "the baseline scores {guessed}");
    assert!(seen > 0.9, "the example scores {seen}");
}

/// The tests' Python, with numpy.
fn numpy() -> Option<PathBuf> {
    let python = std::env::var_os("ADIT_TEST_PYTHON").map(PathBuf::from).filter(|path| path.exists());
    if python.is_none() {
        let missing = "skipped: ADIT_TEST_PYTHON names no Python with numpy; `make test` sets it up";
        assert!(std::env::var_os("ADIT_CI").is_none_or(|value| value != "1"), "{missing}");
        eprintln!("{missing}");
    }
    python
}

fn run_by(python: &Path, config: WorkerConfig) -> Predictor {
    Predictor::Workers(WorkerPool::start(WorkerConfig { program: python.to_owned(), ..config }))
}

/// One action a frame: what the pixels were given as, and the sum of all of them.
const EACH: &str = "FRAMES = dict(width=40, height=20, rate=5)\n\
     def predict_frames(frames):\n    \
         return [dict(frame=index, action=f'{type(pixels).__name__} {sum(bytes(pixels))}') for index, pixels in frames]\n";

const BATCHES: &str = "FRAMES = dict(width=40, height=20, rate=5, batch=7)\n\
     def predict_frames(frames):\n    \
         for indices, pixels in frames:\n        \
             assert len(pixels) == (len(indices) if hasattr(pixels, 'reshape') else len(indices) * 2400)\n        \
             assert len(indices) == (4 if indices[0] == 280 else 7), indices\n        \
             for at, index in enumerate(indices):\n            \
                 one = pixels[at] if hasattr(pixels, 'reshape') else pixels[at * 2400:at * 2400 + 2400]\n            \
                 assert not hasattr(one, 'shape') or one.shape in ((20, 40, 3), (2400,)), one.shape\n            \
                 yield dict(frame=index, action=f'{type(pixels).__name__} {sum(bytes(one))}')\n";

#[tokio::test]
async fn frames_are_the_same_however_they_come() {
    let Some(python) = numpy() else { return };
    let clip = Clip::new().await;
    let plain = clip.actions(&clip.model(EACH)).await;
    assert_eq!(plain.len(), 60);
    for (program, text, kind) in [
        (&python, EACH.replace("rate=5", "rate=5, shared=True"), "ndarray"),
        (&python, BATCHES.to_owned(), "ndarray"),
        (&python, BATCHES.replace("batch=7", "batch=7, shared=True"), "ndarray"),
        (&"python3".into(), EACH.replace("rate=5", "rate=5, shared=True"), "memoryview"),
        (&"python3".into(), BATCHES.to_owned(), "memoryview"),
        (&"python3".into(), BATCHES.replace("batch=7", "batch=7, shared=True"), "memoryview"),
    ] {
        // Python without numpy, wherever the tests run.
        let text = match kind {
            "memoryview" => format!("import sys; sys.modules['numpy'] = None\n{text}"),
            _ => text,
        };
        let actions = clip.actions(&run_by(program, clip.config(&text))).await;
        let expected: Vec<Action> = plain
            .iter()
            .map(|row| Action { action: row.action.replace("bytes", kind), ..row.clone() })
            .collect();
        assert_eq!(actions, expected, "{text}");
    }
}

#[tokio::test]
async fn an_array_that_is_kept_is_not_written_over() {
    let Some(python) = numpy() else { return };
    let clip = Clip::new().await;
    let plain = clip.actions(&clip.model(EACH)).await;
    // A view of one frame is kept while all others pass.
    let text = "FRAMES = dict(width=40, height=20, rate=5, shared=True)\n\
                def predict_frames(frames):\n    \
                    kept = None\n    \
                    for index, pixels in frames:\n        \
                        assert not pixels.flags.writeable\n        \
                        if kept is None:\n            \
                            kept = pixels[2:, ::2].T\n            \
                            before = kept.copy()\n    \
                    assert (kept == before).all()\n    \
                    return [dict(frame=index, action='kept')]\n";
    let actions = clip.actions(&run_by(&python, clip.config(text))).await;
    assert_eq!(actions[0].frame, plain.last().unwrap().frame);
}

#[tokio::test]
async fn a_model_that_keeps_every_array_is_told_so_and_stays() {
    let Some(python) = numpy() else { return };
    let clip = Clip::new().await;
    let text = "import os\n\
                FRAMES = dict(width=40, height=20, shared=True)\n\
                def predict_frames(frames):\n    \
                    if os.path.exists(__file__ + '.keep'): frames = list(frames)\n    \
                    else: [0 for _ in frames]\n    \
                    return [dict(frame=0, action=str(os.getpid()))]\n";
    let mut config = clip.config(text);
    config.clip_margin = Duration::from_secs(90);
    let margin = config.clip_margin;
    let model = run_by(&python, config);
    let before = clip.actions(&model).await;
    let keep = clip.folder.path().join(format!("{PREDICTOR_FILE}.keep"));
    fs::write(&keep, "").unwrap();
    let Some(Need::Frames(format)) = model.need() else { panic!("{:?}", model.need()) };
    let url = clip.host.serve("/match.mp4", Reply::bytes(clip.bytes.clone()));
    let deadline = Instant::now() + margin + Duration::from_secs(3);
    let task = Task {
        challenge_id: "c1".to_owned(),
        wanted: Wanted::SoccerActions,
        subject: Subject::Frames(clip.media.frames(&url, format, deadline).await.unwrap()),
    };
    let error = model.predict(task, deadline).await.unwrap_err();
    assert!(matches!(error, PredictError::Held { slots: 8, .. }), "{error}");
    fs::remove_file(keep).unwrap();
    assert_eq!(clip.actions(&model).await, before, "the same worker");
}

#[tokio::test]
async fn a_model_that_fails_while_it_holds_arrays_fails_alone() {
    let Some(python) = numpy() else { return };
    let clip = Clip::new().await;
    let text = "FRAMES = dict(width=40, height=20, shared=True)\n\
                def predict_frames(frames):\n    \
                    kept = [next(frames) for _ in range(5)]\n    \
                    raise ValueError('no ball')\n";
    let model = run_by(&python, clip.config(text));
    for _ in 0..2 {
        match clip.ask(&model, Wanted::SoccerActions).await {
            Err(PredictError::Model(text)) => assert_eq!(text, "ValueError: no ball"),
            other => panic!("{other:?}"),
        }
    }
    let Predictor::Workers(pool) = &model else { unreachable!() };
    assert_eq!(pool.status().last_failure, None);
}
