//! A model that Adit itself prepares frames for and reads the output of, as the `model.toml` beside it says.
//!
//! `spec` is that file, `prepare` makes an input of frames, `engine` is whoever runs the model, `spotting` and `objects`
//! read its output, `pipeline` has all of them at work at once. `check` looks at a model before it is relied on.

mod check;
mod engine;
mod library;
mod objects;
mod oip;
mod onnx;
mod pipeline;
mod prepare;
mod spec;
mod spotting;
mod tensor;

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use adit_media::{FrameFormat, FrameStream};
use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::{Answer, Image, Need, PredictError, Subject, Task, Wanted};
use engine::Engine;
use objects::{Prototypes, Reading, Rows};
use onnx::OnnxSession;
use pipeline::Feed;
use prepare::{Fit, Prepare};
use spotting::{Scores, Windows};

pub use check::ModelCheck;
pub use library::find_onnx_runtime;
pub use oip::{Circuit, Failures, OipError, RemoteConfig, RemoteModel, Server, ServerError, ServerStatus};
pub use onnx::{OnnxConfig, OnnxError, Provider};
pub use spec::{
    Activation, ClipSpec, Head, InputSpec, Kind, Layout, MODEL_FILE, ModelSpec, ObjectsSpec, SpecError,
    SpottingSpec, write_thresholds,
};
pub use tensor::{Data, Element, Port, Signature, Tensor};

/// What an input without a fixed size gets, as Ultralytics exports by default.
const SIDE: u32 = 640;
/// How long the first run, and waiting for a server, may take: a GPU's kernels are chosen in it.
const FIRST_RUN: Duration = Duration::from_secs(300);

/// Who runs a model.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Runner {
    /// ONNX Runtime, in this process.
    Onnx(OnnxConfig),
    /// Servers of the Open Inference Protocol that hold it.
    Servers(RemoteConfig),
}

/// A model, loaded and tried out.
#[derive(Debug, Clone)]
pub struct Model {
    name: String,
    spec: Arc<ModelSpec>,
    engine: Engine,
    prepare: Arc<Prepare>,
    /// Windows or images in a batch, and whether it always has so many.
    places: usize,
    full: bool,
    output: Output,
}

/// How the output is read.
#[derive(Debug, Clone)]
enum Output {
    /// Scores of a window: which output has them, how many steps it has for how many classes.
    Spotting {
        number: usize,
        steps: usize,
        classes: usize,
    },
    Objects(Reading),
}

/// Why a model cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// Its `model.toml`.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// ONNX Runtime.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    /// The servers that hold it.
    #[error(transparent)]
    Servers(#[from] OipError),
    /// It is not what its `model.toml` says.
    #[error("{} does not fit its description: {why}", path.display())]
    Mismatch {
        /// The model.
        path: PathBuf,
        /// What is otherwise.
        why: String,
    },
    /// It failed when it was tried out.
    #[error("{} fails on a grey input: {why}", path.display())]
    Trial {
        /// The model.
        path: PathBuf,
        /// What it said.
        why: String,
    },
}

impl Model {
    /// Has the model loaded, and run once on grey: what does not work is known before anybody waits for it.
    ///
    /// # Errors
    /// Any [`ModelError`].
    pub async fn load(spec: ModelSpec, runner: &Runner) -> Result<Self, ModelError> {
        let config = match runner {
            Runner::Onnx(config) => config.clone(),
            Runner::Servers(config) => {
                let model = RemoteModel::connect(config.clone(), Instant::now() + FIRST_RUN).await?;
                return Self::tried(spec, Engine::Remote(Arc::new(model))).await;
            }
        };
        let file = spec.file.clone();
        let loading = tokio::task::spawn_blocking(move || OnnxSession::load(&file, &config));
        let failed = |error: tokio::task::JoinError| ModelError::Trial {
            path: spec.file.clone(),
            why: format!("loading it failed: {error}"),
        };
        let session = loading.await.map_err(failed)??;
        Self::tried(spec, Engine::Onnx(Arc::new(session))).await
    }

    async fn tried(spec: ModelSpec, engine: Engine) -> Result<Self, ModelError> {
        let path = spec.file.clone();
        let mismatch = |why: String| ModelError::Mismatch { path: path.clone(), why };
        let (prepare, fixed) = input_of(&spec, &engine.signature().input).map_err(mismatch)?;
        let places = fixed.or(spec.input.batch).unwrap_or(1);
        let blank = Tensor { shape: prepare.shape(places), data: prepare.blank(places) };
        let trial = engine.infer(blank, Instant::now() + FIRST_RUN).await;
        let trial_failed = |why: String| ModelError::Trial { path: path.clone(), why };
        let (outputs, _) = trial.map_err(|error| trial_failed(error.to_string()))?;
        let output = output_of(&spec, engine.signature(), &prepare, &outputs).map_err(mismatch)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let model = Self {
            name,
            spec: Arc::new(spec),
            engine,
            prepare: Arc::new(prepare),
            places,
            full: fixed.is_some(),
            output,
        };
        model.read_trial(&outputs).map_err(trial_failed)?;
        Ok(model)
    }

    /// Reads outputs as those of a challenge would be.
    fn read_trial(&self, outputs: &[Tensor]) -> Result<(), String> {
        match (&self.output, &self.spec.kind) {
            (Output::Spotting { classes, .. }, Kind::Spotting(clip, spotting)) => {
                let mut scores = Scores::new(spotting, Windows::of(clip), *classes);
                self.add_scores(&mut scores, &[0], outputs)
            }
            _ => {
                let size = (self.prepare.width, self.prepare.height);
                let fit = Fit::new(size, size, false);
                self.read_objects(&[(0, fit)], outputs, 0).map(|_| ())
            }
        }
    }

    /// What the model's `model.toml` says.
    #[must_use]
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// Its inputs and outputs.
    #[must_use]
    pub fn signature(&self) -> &Signature {
        self.engine.signature()
    }

    /// The same with every threshold of actions at zero, so that all candidates are given.
    #[must_use]
    pub fn with_all_candidates(mut self) -> Self {
        self.spec = Arc::new(ModelSpec::clone(&self.spec).with_all_candidates());
        self
    }

    /// What it needs of a clip.
    #[must_use]
    pub fn need(&self) -> Need {
        match &self.spec.kind {
            Kind::Spotting(clip, _) => Need::Frames(FrameFormat {
                width: self.prepare.width,
                height: self.prepare.height,
                sampling: clip.sampling,
            }),
            Kind::Objects(_) => Need::Images,
        }
    }

    /// Whether somebody is there to run it.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.engine.ready()
    }

    /// One line: what it is and what runs it.
    #[must_use]
    pub fn describe(&self) -> String {
        let kind = match &self.spec.kind {
            Kind::Spotting(..) => "spotter",
            Kind::Objects(_) => "detector",
        };
        let mut line = format!("{kind} {}, {}x{}", self.name, self.prepare.width, self.prepare.height);
        if self.prepare.frames > 1 {
            // Writing to a String cannot fail.
            let _ = write!(line, ", windows of {} frames", self.prepare.frames);
        }
        let _ = write!(line, ", {}", self.engine.describe());
        line
    }

    pub(crate) async fn predict(&self, task: Task, deadline: Instant) -> Result<Answer, PredictError> {
        task.check(self.need())?;
        let (wanted, given) = (task.wanted, task.subject.name());
        match (&self.spec.kind, wanted, task.subject) {
            (Kind::Spotting(clip, spotting), Wanted::SoccerActions, Subject::Frames(frames)) => {
                self.spot((clip, spotting), frames, deadline).await
            }
            (Kind::Objects(_), Wanted::Objects { n_keypoints, .. }, subject) => {
                self.detect(subject, n_keypoints as usize, deadline).await
            }
            (Kind::Spotting(..), wanted, _) => Err(PredictError::Mismatch {
                wanted: wanted.name(),
                needs: if wanted == Wanted::SoccerActions { "a clip" } else { "a worker" },
                given,
            }),
            (Kind::Objects(_), wanted, _) => Err(PredictError::Mismatch {
                wanted: wanted.name(),
                needs: "a challenge about objects",
                given,
            }),
        }
    }

    fn stage(&self) -> (Arc<Prepare>, usize, bool) {
        (Arc::clone(&self.prepare), self.places, self.full)
    }

    async fn spot(
        &self,
        (clip, spotting): (&ClipSpec, &SpottingSpec),
        frames: FrameStream,
        deadline: Instant,
    ) -> Result<Answer, PredictError> {
        let Output::Spotting { classes, .. } = self.output else {
            return Err(PredictError::Model("it was loaded as a detector".to_owned()));
        };
        let (windows, length) = (Windows::of(clip), clip.length);
        let rate = frames.info().frame_rate.as_f64();
        let mut scores = Scores::new(spotting, windows, classes);
        let feed = move |feed: &mut Feed<usize>| put_windows(feed, windows, length, frames);
        let take = |shown: Vec<usize>, outputs: Vec<Tensor>| {
            self.add_scores(&mut scores, &shown, &outputs).map_err(PredictError::Model)
        };
        let shown = pipeline::run(&self.engine, self.stage(), feed, take, deadline).await?;
        if shown.is_empty() {
            return Err(PredictError::Model("the clip has no frames to look at".to_owned()));
        }
        // A clip that does not say how fast it is is taken to be as fast as validators count.
        let rate = if rate > 0.0 { rate } else { 25.0 };
        let actions = scores.actions(&self.spec.labels, &shown, rate);
        actions.iter().try_for_each(crate::answer::check_action).map_err(PredictError::Model)?;
        Ok(Answer::Actions(actions))
    }

    fn add_scores(&self, scores: &mut Scores<'_>, shown: &[usize], outputs: &[Tensor]) -> Result<(), String> {
        let Output::Spotting { number, steps, classes } = self.output else { return Ok(()) };
        let rows = parts(outputs.get(number), &[steps, classes], shown.len())?;
        shown.iter().zip(rows).try_for_each(|(window, rows)| scores.add(*window, steps, rows))
    }

    async fn detect(
        &self,
        subject: Subject,
        n_keypoints: usize,
        deadline: Instant,
    ) -> Result<Answer, PredictError> {
        let feed = move |feed: &mut Feed<(i64, Fit)>| put_images(feed, subject);
        let mut found = Vec::new();
        let take = |shown: Vec<(i64, Fit)>, outputs: Vec<Tensor>| {
            found.extend(self.read_objects(&shown, &outputs, n_keypoints).map_err(PredictError::Model)?);
            Ok(())
        };
        pipeline::run(&self.engine, self.stage(), feed, take, deadline).await?;
        Ok(Answer::Objects(found))
    }

    fn read_objects(
        &self,
        shown: &[(i64, Fit)],
        outputs: &[Tensor],
        n_keypoints: usize,
    ) -> Result<Vec<Map<String, Value>>, String> {
        let Output::Objects(reading) = &self.output else { return Ok(Vec::new()) };
        let shape = |number: usize| {
            outputs.get(number).map_or(&[][..], |output| output.shape.get(1..).unwrap_or(&[]))
        };
        let &[rows, columns] = shape(0) else { return Err(format!("its output is {:?} an image", shape(0))) };
        let objects = parts(outputs.first(), &[rows, columns], shown.len())?;
        let mut masks = match *shape(1) {
            [masks, height, width] => {
                let values = parts(outputs.get(1), &[masks, height, width], shown.len())?;
                Some((height, width, values))
            }
            _ => None,
        };
        let mut frames = Vec::with_capacity(shown.len());
        for ((frame_id, fit), values) in shown.iter().zip(objects) {
            let prototypes = masks.as_mut().and_then(|(height, width, parts)| {
                let input = (self.prepare.width, self.prepare.height);
                parts.next().map(|values| Prototypes { height: *height, width: *width, values, input })
            });
            let rows = Rows { rows, columns, values };
            frames.push(reading.frame(*frame_id, fit, (rows, prototypes), n_keypoints)?);
        }
        Ok(frames)
    }
}

/// An output's floats, by window or image.
fn parts<'a>(
    output: Option<&'a Tensor>,
    shape: &[usize],
    count: usize,
) -> Result<std::slice::ChunksExact<'a, f32>, String> {
    let output = output.ok_or("it gave fewer outputs than before")?;
    let Data::Float(values) = &output.data else {
        return Err("its output is of bytes instead of 32-bit floats".to_owned());
    };
    let part: usize = shape.iter().product();
    let fits = output.shape.first().is_some_and(|places| *places >= count) && values.len() >= part * count;
    if part == 0 || !fits || !values.len().is_multiple_of(part) {
        return Err(format!(
            "it gave an output {:?} where {count} of {shape:?} were asked for",
            output.shape
        ));
    }
    Ok(values.chunks_exact(part))
}

/// Puts the frames of a clip into windows, and those into batches. Gives the frames that were shown.
fn put_windows(
    feed: &mut Feed<usize>,
    windows: Windows,
    length: usize,
    mut frames: FrameStream,
) -> Result<Vec<u64>, PredictError> {
    let (prepare, places) = (Arc::clone(&feed.prepare), feed.places);
    // Batches that frames are still put into; the first has the windows from `begun` on.
    let mut open: VecDeque<Data> = VecDeque::new();
    let mut begun = 0;
    let mut shown: Vec<u64> = Vec::new();
    while let Some(frame) = feed.wait(frames.next())? {
        let sample = shown.len();
        let (first, last) = windows.showing(sample);
        for window in first..=last {
            let batch = (window - begun) / places;
            while open.len() <= batch {
                open.push_back(feed.input());
            }
            let at = sample - windows.start(window);
            prepare.put_frame(&mut open[batch], window % places, at, &frame.pixels);
        }
        shown.push(frame.index);
        // The first batch is whole once its last window has its last frame.
        let whole = windows.start(begun + places - 1) + length;
        if shown.len() == whole
            && let Some(input) = open.pop_front()
        {
            feed.send(input, (begun..begun + places).collect())?;
            begun += places;
        }
    }
    // What the last windows lack is filled up with the last frame.
    let count = windows.count(shown.len());
    while begun < count {
        let Some(mut input) = open.pop_front() else { break };
        let here: Vec<usize> = (begun..count.min(begun + places)).collect();
        for window in &here {
            let there = shown.len() - windows.start(*window);
            if there < length {
                prepare.repeat_frame(&mut input, window % places, there - 1);
            }
        }
        feed.send(input, here)?;
        begun += places;
    }
    Ok(shown)
}

/// Puts images into batches.
fn put_images(feed: &mut Feed<(i64, Fit)>, mut subject: Subject) -> Result<(), PredictError> {
    let (prepare, places) = (Arc::clone(&feed.prepare), feed.places);
    let (mut input, mut shown) = (feed.input(), Vec::with_capacity(places));
    while let Some(image) = feed.wait(next_image(&mut subject))? {
        let size = (image.width, image.height);
        let fit = prepare.put_image(&mut input, shown.len(), size, &image.pixels);
        shown.push((image.frame_id, fit));
        if shown.len() == places {
            let whole = std::mem::replace(&mut input, feed.input());
            feed.send(whole, std::mem::take(&mut shown))?;
        }
    }
    if shown.is_empty() { Ok(()) } else { feed.send(input, shown) }
}

async fn next_image(subject: &mut Subject) -> Result<Option<Image>, adit_media::MediaError> {
    match subject {
        Subject::Images(images) => images.next().await,
        Subject::Frames(frames) => {
            let (width, height) = (frames.format().width, frames.format().height);
            let frame = frames.next().await?;
            Ok(frame.map(|frame| Image { frame_id: frame.index as i64, width, height, pixels: frame.pixels }))
        }
        _ => Ok(None),
    }
}

/// How frames become the input, and how many places it has where it is always as many.
fn input_of(spec: &ModelSpec, port: &Port) -> Result<(Prepare, Option<usize>), String> {
    let InputSpec { layout, width, height, .. } = spec.input;
    let frames = match &spec.kind {
        Kind::Spotting(clip, _) => clip.length,
        Kind::Objects(_) => 1,
    };
    let names = match layout {
        Layout::Nchw => &["N", "C", "H", "W"][..],
        Layout::Ntchw => &["N", "T", "C", "H", "W"],
        Layout::Ncthw => &["N", "C", "T", "H", "W"],
    };
    if port.shape.len() != names.len() {
        return Err(format!("its input is {port}, and input.layout = {layout} has {} axes", names.len()));
    }
    let axis = |wanted: &str| names.iter().position(|name| *name == wanted).and_then(|at| port.shape[at]);
    let agree = |name: &str, said: usize, field: &str| match axis(name) {
        Some(size) if size != said => {
            Err(format!("its input is {port}: {name} of {layout} is {size}, and {field} is {said}"))
        }
        _ => Ok(()),
    };
    agree("C", 3, "the number of colours")?;
    if layout != Layout::Nchw {
        agree("T", frames, "clip.length")?;
    }
    let side = |name: &str, said: Option<u32>, field: &str| match (said, axis(name)) {
        (Some(said), _) => agree(name, said as usize, field).map(|()| said),
        (None, Some(size)) => {
            u32::try_from(size).ok().filter(|size| (1..=spec::LARGEST_SIDE).contains(size)).ok_or_else(|| {
                format!("its input is {port}, and sides have up to {} pixels", spec::LARGEST_SIDE)
            })
        }
        (None, None) if spec.labels.is_empty() => Ok(SIDE),
        (None, None) => Err(format!("its input is {port}, of any size: {field} has to say which")),
    };
    let (width, height) = (side("W", width, "input.width")?, side("H", height, "input.height")?);
    if let (Some(size), Some(said)) = (axis("N"), spec.input.batch)
        && size != said
    {
        return Err(format!("its input is {port}: N is {size}, and input.batch is {said}"));
    }
    let default = InputSpec::default();
    let plain = |input: &InputSpec| (input.scale, input.mean, input.std);
    if port.element == Element::Byte && plain(&spec.input) != plain(&default) {
        return Err(format!(
            "its input is {port}, which pixels go into as they are: leave out scale, mean and std"
        ));
    }
    Ok((Prepare::new(&spec.input, (width, height), frames, port.element), axis("N")))
}

/// How the output is read, once the model has given one.
fn output_of(
    spec: &ModelSpec,
    signature: &Signature,
    prepare: &Prepare,
    outputs: &[Tensor],
) -> Result<Output, String> {
    let Kind::Spotting(_, spotting) = &spec.kind else {
        let Kind::Objects(objects) = &spec.kind else { return Err("it is of no known kind".to_owned()) };
        let shapes: Vec<&[usize]> =
            outputs.iter().map(|output| output.shape.get(1..).unwrap_or(&[])).collect();
        return Reading::new(objects, spec.labels.len(), &shapes).map(Output::Objects);
    };
    let names: Vec<&str> = signature.outputs.iter().map(|port| port.name.as_str()).collect();
    let number = match &spotting.output {
        Some(name) => names.iter().position(|known| known == name).ok_or_else(|| {
            format!("spotting.output is {name:?}, and its outputs are {}", names.join(", "))
        })?,
        None if names.len() == 1 => 0,
        None => return Err(format!("it has outputs {}: spotting.output has to say which", names.join(", "))),
    };
    let (shape, labels) = (&outputs[number].shape, spec.labels.len());
    let (steps, classes) = match shape[..] {
        [_, classes] => (1, classes),
        [_, steps, classes] => (steps, classes),
        _ => return Err(format!("its output is {shape:?} instead of [N, T, labels] or [N, labels]")),
    };
    if classes != labels {
        return Err(format!("its output is {shape:?}, of {classes} labels, and labels has {labels} names"));
    }
    if steps == 0 || !prepare.frames.is_multiple_of(steps) {
        return Err(format!(
            "its output is {shape:?}: {steps} steps do not divide clip.length, {}",
            prepare.frames
        ));
    }
    Ok(Output::Spotting { number, steps, classes })
}
