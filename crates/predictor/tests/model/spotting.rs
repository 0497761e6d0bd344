//! Spotters: a model that says how bright a frame is, shown a clip that flashes.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use adit_media::{EncodeOptions, Ffmpeg, Media, MediaLimits};
use adit_outbound::{AddressGuard, Client};
use adit_predictor::{
    Action, Answer, MODEL_FILE, Model, ModelError, ModelSpec, Need, OnnxConfig, PredictError, Predictor,
    Runner, Subject, Task, Wanted,
};
use adit_stand_in::video_host::{Reply, VideoHost};
use tempfile::TempDir;

use super::onnx_file::{INT64, Message, floats, integer, integers, model, node, of_type, tensor, value};
use super::{runner, soon};

const WIDTH: u32 = 32;
const HEIGHT: u32 = 18;
/// Frames that flash, and how bright.
const FLASHES: [(u64, u8); 4] = [(3, 255), (20, 180), (41, 230), (58, 255)];
const FRAMES: u64 = 60;

/// `[N, T, 2]`: how dark and how bright each frame is.
fn brightness(axes: &[i64], input: &[i64], output: &[i64]) -> Vec<u8> {
    let last: Vec<u8> = 2_i64.to_le_bytes().to_vec();
    let last = if axes.len() == 3 && input.len() == 4 { 1_i64.to_le_bytes().to_vec() } else { last };
    model(
        vec![
            node("ReduceMean", &["x"], "bright", vec![integers("axes", axes), integer("keepdims", 0)]),
            node("Unsqueeze", &["bright", "last"], "column", Vec::new()),
            node("Sub", &["one", "column"], "dark", Vec::new()),
            node("Concat", &["dark", "column"], "y", vec![integer("axis", -1)]),
        ],
        vec![tensor("last", INT64, &[1], &last), floats("one", &[1], &[1.0])],
        value("x", input),
        vec![value("y", output)],
    )
}

fn ntchw(windows: i64, frames: i64) -> Vec<u8> {
    brightness(&[2, 3, 4], &[windows, frames, 3, HEIGHT.into(), WIDTH.into()], &[windows, frames, 2])
}

struct Folder(TempDir);

impl Folder {
    fn new(model: &[u8], clip: &str, input: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("model.onnx"), model).unwrap();
        let mut text = "kind = \"action-spotting\"\nlabels = [\"dark\", \"flash\"]\n".to_owned();
        write!(text, "[input]\nwidth = {WIDTH}\nheight = {HEIGHT}\n{input}\n[clip]\n{clip}\n").unwrap();
        text.push_str(
            "[spotting]\nactivation = \"none\"\nbackground = \"dark\"\nwindow = 0.2\nthreshold = 0.4\n",
        );
        fs::write(folder.path().join(MODEL_FILE), text).unwrap();
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    async fn load(&self, runner: &Runner) -> Result<Model, ModelError> {
        Model::load(ModelSpec::read(self.path())?, runner).await
    }

    async fn refused(&self, runner: &Runner) -> String {
        self.load(runner).await.unwrap_err().to_string()
    }
}

/// The flashing clip on a loopback server.
struct Clip {
    media: Media,
    host: VideoHost,
    bytes: Vec<u8>,
}

impl Clip {
    async fn of(frames: u64) -> Self {
        let ffmpeg = Ffmpeg::find(None).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clip.mp4");
        let frame = |index: u64| {
            let level = FLASHES.iter().find(|(at, _)| *at == index).map_or(20, |(_, level)| *level);
            vec![level; 64 * 36 * 3]
        };
        let options = EncodeOptions::new(64, 36, 25);
        ffmpeg.encode_h264(&options, (0..frames).map(frame), &path, soon()).await.unwrap();
        let client = Client::new(AddressGuard::unrestricted()).unwrap();
        Self {
            media: Media::new(client, ffmpeg, MediaLimits::default()),
            host: VideoHost::start().await.unwrap(),
            bytes: fs::read(path).unwrap(),
        }
    }

    async fn ask(&self, model: &Model) -> Result<Vec<Action>, PredictError> {
        self.ask_for(model, Reply::bytes(self.bytes.clone()), Wanted::SoccerActions).await
    }

    async fn ask_for(
        &self,
        model: &Model,
        reply: Reply,
        wanted: Wanted,
    ) -> Result<Vec<Action>, PredictError> {
        let url = self.host.serve("/clip.mp4", reply);
        let Need::Frames(format) = model.need() else { panic!("a spotter needs frames") };
        let subject = Subject::Frames(self.media.frames(&url, format, soon()).await?);
        let task = Task { challenge_id: "c".to_owned(), wanted, subject };
        match Predictor::Model(model.clone()).predict(task, soon()).await? {
            Answer::Actions(actions) => Ok(actions),
            other => panic!("{other:?}"),
        }
    }
}

fn frames(actions: &[Action]) -> Vec<u64> {
    actions.iter().map(|action| action.frame).collect()
}

#[tokio::test]
async fn every_layout_window_batch_and_thread_count_gives_the_same_answer() {
    let Some(Runner::Onnx(config)) = runner() else { return };
    let clip = Clip::of(FRAMES).await;
    let (high, wide) = (i64::from(HEIGHT), i64::from(WIDTH));
    let alone = brightness(&[1, 2, 3], &[-1, 3, high, wide], &[-1, 2]);
    let planes = brightness(&[1, 3, 4], &[-1, 3, 8, high, wide], &[-1, 8, 2]);
    let cases = [
        ("frame by frame", alone.clone(), "", "batch = 7"),
        ("one by one", alone, "", ""),
        ("windows", ntchw(-1, 8), "length = 8", "layout = \"NTCHW\""),
        ("shared", ntchw(-1, 8), "length = 8\noverlap = 5", "layout = \"NTCHW\"\nbatch = 3"),
        ("full batches", ntchw(4, 8), "length = 8\noverlap = 1", "layout = \"NTCHW\""),
        ("longer than the clip", ntchw(-1, 100), "length = 100", "layout = \"NTCHW\""),
        ("colours first", planes, "length = 8\noverlap = 2", "layout = \"NCTHW\"\nbatch = 2"),
    ];
    let mut first = None;
    for (name, model, windows, input) in cases {
        for threads in [1, 2, 4] {
            let runner = Runner::Onnx(OnnxConfig { threads: Some(threads), ..config.clone() });
            let folder = Folder::new(&model, windows, input);
            let model = folder.load(&runner).await.unwrap();
            let actions = clip.ask(&model).await.unwrap();
            assert_eq!(frames(&actions), FLASHES.map(|(frame, _)| frame), "{name}");
            let first = first.get_or_insert_with(|| actions.clone());
            for (one, other) in actions.iter().zip(first) {
                // A mean may be summed in another order, by layout.
                assert!((one.confidence - other.confidence).abs() < 1e-5, "{name}: {one:?} {other:?}");
            }
            let again = clip.ask(&model).await.unwrap();
            assert_eq!(again, actions, "{name}");
        }
    }
}

#[tokio::test]
async fn answers_are_of_the_clips_frames_whatever_is_sampled() {
    let Some(runner) = runner() else { return };
    let clip = Clip::of(FRAMES).await;
    for (sampling, expected) in
        [("stride = 2", vec![20, 58]), ("stride = 3", vec![3]), ("rate = 5", vec![20])]
    {
        let folder = Folder::new(&ntchw(-1, 8), &format!("{sampling}\nlength = 8"), "layout = \"NTCHW\"");
        let model = folder.load(&runner).await.unwrap();
        assert_eq!(frames(&clip.ask(&model).await.unwrap()), expected, "{sampling}");
    }
}

#[tokio::test]
async fn a_clip_that_is_shorter_than_the_window_is_answered_for() {
    let Some(runner) = runner() else { return };
    let folder = Folder::new(&ntchw(-1, 8), "length = 8", "layout = \"NTCHW\"");
    let model = folder.load(&runner).await.unwrap();
    assert_eq!(frames(&Clip::of(5).await.ask(&model).await.unwrap()), [3]);
    // The last frame is repeated, and that is no second flash.
    assert_eq!(frames(&Clip::of(4).await.ask(&model).await.unwrap()), [3]);
}

#[tokio::test]
async fn a_broken_clip_fails_as_media_says_and_the_model_goes_on() {
    let Some(runner) = runner() else { return };
    let folder = Folder::new(&ntchw(-1, 8), "length = 8", "layout = \"NTCHW\"");
    let (model, clip) = (folder.load(&runner).await.unwrap(), Clip::of(FRAMES).await);
    let mut damaged = clip.bytes.clone();
    let middle = damaged.len() / 2;
    damaged[middle..].fill(0);
    let error = clip.ask_for(&model, Reply::bytes(damaged), Wanted::SoccerActions).await.unwrap_err();
    assert!(matches!(error, PredictError::Media(_)), "{error}");
    assert_eq!(clip.ask(&model).await.unwrap().len(), FLASHES.len());
}

#[tokio::test]
async fn what_a_spotter_cannot_answer_is_said() {
    let Some(runner) = runner() else { return };
    let folder = Folder::new(&ntchw(-1, 8), "length = 8", "layout = \"NTCHW\"");
    let (model, clip) = (folder.load(&runner).await.unwrap(), Clip::of(FRAMES).await);
    let reply = Reply::bytes(clip.bytes.clone());
    let error = clip.ask_for(&model, reply, Wanted::CricketDelivery).await.unwrap_err();
    assert_eq!(error.to_string(), "cricket_delivery from this model needs a worker, not frames");
}

#[tokio::test]
async fn a_dropped_request_ends_and_the_model_goes_on() {
    let Some(runner) = runner() else { return };
    let folder = Folder::new(&ntchw(-1, 8), "length = 8", "layout = \"NTCHW\"");
    let (model, clip) = (folder.load(&runner).await.unwrap(), Clip::of(FRAMES).await);
    // Dropped at once, and then somewhat later each time.
    for polls in 0..20 {
        let mut asked = Box::pin(clip.ask(&model));
        for _ in 0..polls {
            let next = std::future::poll_fn(|context| {
                std::task::Poll::Ready(asked.as_mut().poll(context).is_ready())
            });
            if next.await {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(clip.ask(&model).await.unwrap().len(), FLASHES.len());
}

#[tokio::test]
async fn a_model_that_is_not_as_described_is_refused_and_says_how() {
    let Some(runner) = runner() else { return };
    let refused =
        async |model: &[u8], clip: &str, input: &str| Folder::new(model, clip, input).refused(&runner).await;
    let layout = "layout = \"NTCHW\"";
    for (model, clip, input, said) in [
        (ntchw(-1, 8), "length = 16", layout, "T of [N, T, C, H, W] is 8, and clip.length is 16"),
        (ntchw(2, 8), "length = 8", "layout = \"NTCHW\"\nbatch = 3", "N is 2, and input.batch is 3"),
        (ntchw(-1, 8), "length = 8", "layout = \"NCTHW\"", "C of [N, C, T, H, W] is 8"),
        (ntchw(-1, 8), "", "", "input.layout = [N, C, H, W] has 4 axes"),
        (
            brightness(&[2, 3, 4], &[-1, 8, 3, 36, 64], &[-1, 8, 2]),
            "length = 8",
            layout,
            "W of [N, T, C, H, W] is 64, and input.width is 32",
        ),
    ] {
        let error = refused(&model, clip, input).await;
        assert!(error.contains(said) && error.contains("model.onnx"), "{said}: {error}");
    }
    let folder = Folder::new(&ntchw(-1, 8), "length = 8", layout);
    let change = |from: &str, to: &str| {
        let path = folder.path().join(MODEL_FILE);
        let text = fs::read_to_string(&path).unwrap().replace(from, to);
        fs::write(path, text).unwrap();
    };
    change("[\"dark\", \"flash\"]", "[\"dark\", \"flash\", \"goal\"]");
    let error = folder.refused(&runner).await;
    assert!(error.contains("of 2 labels, and labels has 3 names"), "{error}");
    change(", \"goal\"]", "]");
    change("activation", "output = \"z\"\nactivation");
    let error = folder.refused(&runner).await;
    assert!(error.contains("spotting.output is \"z\", and its outputs are y"), "{error}");
}

#[tokio::test]
async fn inputs_and_outputs_of_other_types_are_refused() {
    let Some(runner) = runner() else { return };
    let copy =
        |nodes: Vec<Message>, input: Message, output: Message| model(nodes, Vec::new(), input, vec![output]);
    let dims = [-1, 8, 3, HEIGHT.into(), WIDTH.into()];
    let layout = "layout = \"NTCHW\"";
    let integers = copy(
        vec![node("Identity", &["x"], "y", Vec::new())],
        of_type("x", INT64, &dims),
        of_type("y", INT64, &dims),
    );
    let error = Folder::new(&integers, "length = 8", layout).refused(&runner).await;
    assert!(error.contains("only tensors of 32-bit floats or bytes"), "{error}");
    // Bytes are, as they are.
    const BYTE: i64 = 2;
    let bytes = copy(
        vec![
            node("Cast", &["x"], "f", vec![integer("to", 1)]),
            node("ReduceMean", &["f"], "b", vec![self::integers("axes", &[3, 4]), integer("keepdims", 0)]),
            node("Relu", &["b"], "y", Vec::new()),
        ],
        of_type("x", BYTE, &dims),
        value("y", &[-1, 8, 3]),
    );
    let folder = Folder::new(&bytes, "length = 8", "layout = \"NTCHW\"\nmean = [0.5, 0.5, 0.5]");
    let error = folder.refused(&runner).await;
    assert!(error.contains("leave out scale, mean and std"), "{error}");
}

#[tokio::test]
async fn outputs_that_are_no_numbers_are_refused_at_the_start() {
    let Some(runner) = runner() else { return };
    let nan = model(
        vec![
            node("ReduceMean", &["x"], "b", vec![integers("axes", &[3, 4]), integer("keepdims", 0)]),
            node("Div", &["b", "zero"], "y", Vec::new()),
        ],
        vec![floats("zero", &[1], &[0.0])],
        value("x", &[-1, 8, 3, HEIGHT.into(), WIDTH.into()]),
        vec![value("y", &[-1, 8, 3])],
    );
    let folder = Folder::new(&nan, "length = 8", "layout = \"NTCHW\"");
    let path = folder.path().join(MODEL_FILE);
    let text = fs::read_to_string(&path).unwrap().replace("\"flash\"]", "\"flash\", \"goal\"]");
    fs::write(path, text).unwrap();
    let error = folder.refused(&runner).await;
    assert!(error.contains("NaN") && error.contains("fails on a grey input"), "{error}");
}

#[tokio::test]
async fn a_model_is_looked_at() {
    let Some(runner) = runner() else { return };
    let folder = Folder::new(&ntchw(-1, 8), "length = 8\noverlap = 2", "layout = \"NTCHW\"\nbatch = 4");
    let check = folder.load(&runner).await.unwrap().check().await.unwrap();
    assert!(check.repeats && check.alone == Some(true), "{check:?}");
    assert_eq!((check.places, check.largest_difference), (4, 0.0));
    assert!(check.frames_per_second > 0.0);
}
