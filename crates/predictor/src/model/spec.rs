//! `model.toml`: what a model was trained on and what its output means. docs/models.md has every field.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use adit_media::{FrameFormat, MediaLimits, Sampling};
use serde::Deserialize;
use toml_edit::{DocumentMut, Item, Table, value};

/// The file's name, in the model's folder.
pub const MODEL_FILE: &str = "model.toml";
/// Largest side of an input, in pixels.
pub(crate) const LARGEST_SIDE: u32 = 4096;
/// Most frames in a window, and most windows or images in a batch.
const MOST_FRAMES: usize = 4096;
const MOST_AT_ONCE: usize = 1024;
/// Most classes and keypoints.
const MOST_LABELS: usize = 10_000;

/// What a model takes and what it gives, as its `model.toml` says.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelSpec {
    /// The model itself.
    pub file: PathBuf,
    /// Names of the classes, by their index in the output. Empty where there is no `model.toml`: then classes are known
    /// by their index alone.
    pub labels: Vec<String>,
    /// How frames become its input.
    pub input: InputSpec,
    /// What it is for.
    pub kind: Kind,
}

/// What a model is for.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// Which action happens at which frame of a clip.
    Spotting(ClipSpec, SpottingSpec),
    /// What is on an image.
    Objects(ObjectsSpec),
}

/// How frames become the input.
#[derive(Debug, Clone, PartialEq)]
pub struct InputSpec {
    /// Pixels a row; `None`: as the model fixes it.
    pub width: Option<u32>,
    /// Rows.
    pub height: Option<u32>,
    /// Order of the axes.
    pub layout: Layout,
    /// Whether blue comes first.
    pub bgr: bool,
    /// What a pixel, from 0 to 255, is divided by first.
    pub scale: f32,
    /// What is then subtracted, a channel.
    pub mean: [f32; 3],
    /// What it is divided by at last, a channel.
    pub std: [f32; 3],
    /// Whether an image of another shape keeps its own, on grey; else it is stretched.
    pub letterbox: bool,
    /// The grey.
    pub pad: u8,
    /// Windows or images shown at once; `None`: as the model fixes it, else one.
    pub batch: Option<usize>,
}

impl Default for InputSpec {
    fn default() -> Self {
        Self {
            width: None,
            height: None,
            layout: Layout::Nchw,
            bgr: false,
            scale: 255.0,
            mean: [0.0; 3],
            std: [1.0; 3],
            letterbox: true,
            pad: 114,
            batch: None,
        }
    }
}

/// Order of the input's axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Layout {
    /// Images, or the frames of a clip each alone.
    Nchw,
    /// Windows of frames.
    Ntchw,
    /// Windows, each colour with all its frames.
    Ncthw,
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nchw => "[N, C, H, W]",
            Self::Ntchw => "[N, T, C, H, W]",
            Self::Ncthw => "[N, C, T, H, W]",
        })
    }
}

/// Which frames of a clip a model is shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClipSpec {
    /// Which frames are sampled.
    pub sampling: Sampling,
    /// Sampled frames in a window.
    pub length: usize,
    /// Sampled frames that a window shares with the one before; less than [`ClipSpec::length`].
    pub overlap: usize,
}

/// How scores of frames become actions.
#[derive(Debug, Clone, PartialEq)]
pub struct SpottingSpec {
    /// What the scores are.
    pub activation: Activation,
    /// The output that has them, where there are several.
    pub output: Option<String>,
    /// Index of the label that is no action.
    pub background: Option<usize>,
    /// Width of the moving average, in sampled frames; odd.
    pub smoothing: usize,
    /// A class's: least confidence of an action.
    pub thresholds: Vec<f32>,
    /// A class's: in so many seconds only the highest peak is an action.
    pub windows: Vec<f64>,
}

/// What a model's scores are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// Logits of classes of which one is true.
    Softmax,
    /// Logits of classes that are true or not, each for itself.
    Sigmoid,
    /// Probabilities.
    None,
}

/// How outputs become objects.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectsSpec {
    /// What the output is; `None`: [`Head::Final`] where its last axis has six places, else [`Head::Yolo`].
    pub head: Option<Head>,
    /// What the scores are.
    pub activation: Activation,
    /// Least score.
    pub threshold: f32,
    /// Intersection over union from which an object gives way to a better one of its class.
    pub iou: f32,
    /// Most objects an image.
    pub most: usize,
}

impl Default for ObjectsSpec {
    fn default() -> Self {
        Self { head: None, activation: Activation::None, threshold: 0.25, iou: 0.7, most: 300 }
    }
}

/// What a detector's output is, as Ultralytics' exports have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Head {
    /// `[N, 4 + classes, boxes]`: centre, size, scores.
    Yolo,
    /// `[N, 4 + classes + 3 * keypoints, boxes]`: each keypoint's place and score behind the classes' scores.
    YoloPose,
    /// `[N, 4 + classes + masks, boxes]` and prototypes `[N, masks, height, width]`.
    YoloSegment,
    /// `[N, 4 + classes + 1, boxes]`: the angle, in radians, behind the scores.
    YoloObb,
    /// `[N, boxes, 6]`: corners, score, class; nothing is left to suppress.
    Final,
}

/// Why a `model.toml` cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// It cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What it says cannot be.
    #[error("{}: {what}; docs/models.md describes the file", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    kind: KindName,
    #[serde(default = "default_file")]
    file: PathBuf,
    labels: Vec<String>,
    #[serde(default)]
    input: InputTable,
    clip: Option<ClipTable>,
    spotting: Option<SpottingTable>,
    objects: Option<ObjectsTable>,
}

fn default_file() -> PathBuf {
    "model.onnx".into()
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum KindName {
    ActionSpotting,
    Objects,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct InputTable {
    width: Option<u32>,
    height: Option<u32>,
    layout: Option<Layout>,
    colour: Option<Colour>,
    scale: Option<f32>,
    mean: Option<[f32; 3]>,
    std: Option<[f32; 3]>,
    resize: Option<Resize>,
    pad: Option<u8>,
    batch: Option<usize>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Colour {
    Rgb,
    Bgr,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Resize {
    Stretch,
    Letterbox,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClipTable {
    rate: Option<f64>,
    stride: Option<u32>,
    length: Option<usize>,
    #[serde(default)]
    overlap: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SpottingTable {
    activation: Activation,
    output: Option<String>,
    background: Option<String>,
    #[serde(default = "one")]
    smoothing: usize,
    #[serde(default = "half")]
    threshold: f32,
    #[serde(default = "second")]
    window: f64,
    #[serde(default)]
    thresholds: BTreeMap<String, f32>,
    #[serde(default)]
    windows: BTreeMap<String, f64>,
}

fn one() -> usize {
    1
}

fn half() -> f32 {
    0.5
}

fn second() -> f64 {
    1.0
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ObjectsTable {
    head: Option<Head>,
    activation: Option<Activation>,
    threshold: Option<f32>,
    iou: Option<f32>,
    most: Option<usize>,
}

impl ModelSpec {
    /// What a path names: a folder with a `model.toml`, or a detector NAME.onnx without one.
    ///
    /// # Errors
    /// As [`ModelSpec::read`].
    pub fn at(path: &Path) -> Result<Self, SpecError> {
        if Self::is_bare(path) { Ok(Self::ultralytics(path)) } else { Self::read(path) }
    }

    /// Whether a path names a detector NAME.onnx, rather than a folder.
    #[must_use]
    pub fn is_bare(path: &Path) -> bool {
        path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("onnx")) && !path.is_dir()
    }

    /// Reads the `model.toml` in `folder`.
    ///
    /// # Errors
    /// Any [`SpecError`]; a value that is wrong is named with the values that are right.
    pub fn read(folder: &Path) -> Result<Self, SpecError> {
        let path = folder.join(MODEL_FILE);
        let text = std::fs::read_to_string(&path)
            .map_err(|source| SpecError::File { path: path.clone(), source })?;
        Self::parse(&text, folder).map_err(|what| SpecError::Content { path, what })
    }

    /// A detector without a `model.toml`: what Ultralytics' `export(format="onnx")` writes.
    #[must_use]
    pub fn ultralytics(file: &Path) -> Self {
        Self {
            file: file.to_owned(),
            labels: Vec::new(),
            input: InputSpec::default(),
            kind: Kind::Objects(ObjectsSpec::default()),
        }
    }

    fn parse(text: &str, folder: &Path) -> Result<Self, String> {
        let file: File =
            toml_edit::de::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
        let File { kind, file, labels, input, clip, spotting, objects } = file;
        check_labels(&labels)?;
        let spots = kind == KindName::ActionSpotting;
        let input = input.checked(spots)?;
        let kind = match (kind, clip, spotting, objects) {
            (KindName::ActionSpotting, clip, Some(spotting), None) => {
                Kind::Spotting(ClipTable::checked(clip, input.layout)?, spotting.checked(&labels)?)
            }
            (KindName::Objects, None, None, objects) => Kind::Objects(ObjectsTable::checked(objects)?),
            (KindName::ActionSpotting, ..) => {
                return Err(
                    "kind = \"action-spotting\" wants a table [spotting], and no [objects]".to_owned()
                );
            }
            (KindName::Objects, ..) => {
                return Err("kind = \"objects\" wants neither a table [clip] nor [spotting]".to_owned());
            }
        };
        Ok(Self { file: folder.join(file), labels, input, kind })
    }

    /// With every threshold of actions at zero, so that all candidates are given. No effect on a detector.
    #[must_use]
    pub fn with_all_candidates(mut self) -> Self {
        if let Kind::Spotting(_, spotting) = &mut self.kind {
            spotting.thresholds.fill(0.0);
        }
        self
    }
}

/// Writes thresholds, by label, into the `[spotting.thresholds]` of the `model.toml` in `folder`. All else in the file
/// stays as it is, comments included; it is replaced as a whole, so that it is never half written.
///
/// # Errors
/// [`SpecError`] where the file cannot be read or written, or would not be valid afterwards, such as by an unknown label.
pub fn write_thresholds(folder: &Path, thresholds: &[(String, f32)]) -> Result<(), SpecError> {
    let path = folder.join(MODEL_FILE);
    let failed = |source| SpecError::File { path: path.clone(), source };
    let wrong = |what: String| SpecError::Content { path: path.clone(), what };
    let text = std::fs::read_to_string(&path).map_err(failed)?;
    let mut document: DocumentMut =
        text.parse().map_err(|error: toml_edit::TomlError| wrong(error.to_string()))?;
    let spotting = document
        .get_mut("spotting")
        .and_then(Item::as_table_like_mut)
        .ok_or_else(|| wrong("there is no table [spotting]".to_owned()))?;
    if spotting.get("thresholds").is_none() {
        spotting.insert("thresholds", Item::Table(Table::new()));
    }
    let table = spotting
        .get_mut("thresholds")
        .and_then(Item::as_table_like_mut)
        .ok_or_else(|| wrong("spotting.thresholds is no table".to_owned()))?;
    for (label, threshold) in thresholds {
        // By way of its decimal digits: 0.35, not 0.3499999940395355.
        let digits = threshold.to_string().parse().unwrap_or_else(|_| f64::from(*threshold));
        let decor = table.get(label).and_then(Item::as_value).map(|value| value.decor().clone());
        let mut item = value(digits);
        if let (Some(decor), Some(value)) = (decor, item.as_value_mut()) {
            *value.decor_mut() = decor;
        }
        table.insert(label, item);
    }
    let text = document.to_string();
    ModelSpec::parse(&text, folder).map_err(wrong)?;
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    std::io::Write::write_all(&mut file, text.as_bytes()).map_err(failed)?;
    // A temporary file is its owner's alone.
    let permissions = std::fs::metadata(&path).map_err(failed)?.permissions();
    file.as_file().set_permissions(permissions).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(&path).map_err(|error| failed(error.error))?;
    Ok(())
}

fn check_labels(labels: &[String]) -> Result<(), String> {
    if labels.is_empty() || labels.len() > MOST_LABELS {
        return Err(format!("labels has {} names instead of 1 to {MOST_LABELS}", labels.len()));
    }
    for (index, label) in labels.iter().enumerate() {
        if label.trim() != label || label.is_empty() {
            return Err(format!("labels[{index}] is {label:?}: empty, or with blanks around it"));
        }
        if labels[..index].contains(label) {
            return Err(format!("labels has {label:?} twice"));
        }
    }
    Ok(())
}

impl InputTable {
    fn checked(self, spots: bool) -> Result<InputSpec, String> {
        let default = InputSpec::default();
        for (name, side) in [("width", self.width), ("height", self.height)] {
            if side.is_some_and(|side| !(1..=LARGEST_SIDE).contains(&side)) {
                return Err(format!("input.{name} is outside 1..={LARGEST_SIDE}"));
            }
        }
        let layout = self.layout.unwrap_or(default.layout);
        if !spots && layout != Layout::Nchw {
            return Err("kind = \"objects\" wants input.layout = \"NCHW\"".to_owned());
        }
        let letterbox = self.resize.map_or(!spots, |resize| resize == Resize::Letterbox);
        if spots && letterbox {
            return Err("kind = \"action-spotting\" wants input.resize = \"stretch\": the decoder scales frames to the \
                        input's size"
                .to_owned());
        }
        let (scale, mean, std) =
            (self.scale.unwrap_or(255.0), self.mean.unwrap_or([0.0; 3]), self.std.unwrap_or([1.0; 3]));
        if !(scale.is_finite() && scale > 0.0) {
            return Err(format!("input.scale is {scale} instead of a number above 0"));
        }
        if let Some(bad) = mean.iter().find(|value| !value.is_finite()) {
            return Err(format!("input.mean has {bad}"));
        }
        if let Some(bad) = std.iter().find(|value| !value.is_finite() || **value == 0.0) {
            return Err(format!("input.std has {bad}"));
        }
        if self.batch.is_some_and(|batch| !(1..=MOST_AT_ONCE).contains(&batch)) {
            return Err(format!("input.batch is outside 1..={MOST_AT_ONCE}"));
        }
        Ok(InputSpec {
            width: self.width,
            height: self.height,
            layout,
            bgr: self.colour == Some(Colour::Bgr),
            scale,
            mean,
            std,
            letterbox,
            pad: self.pad.unwrap_or(default.pad),
            batch: self.batch,
        })
    }
}

impl ClipTable {
    fn checked(clip: Option<Self>, layout: Layout) -> Result<ClipSpec, String> {
        let clip = clip.unwrap_or(Self { rate: None, stride: None, length: None, overlap: 0 });
        let sampling = match (clip.rate, clip.stride) {
            (Some(_), Some(_)) => return Err("clip has both rate and stride: keep one".to_owned()),
            (Some(rate), None) => Sampling::PerSecond(rate),

            (None, Some(1) | None) => Sampling::Every,
            (None, Some(stride)) => Sampling::Nth(stride),
        };
        FrameFormat { width: 1, height: 1, sampling }
            .check(&MediaLimits::default())
            .map_err(|error| format!("clip: {error}"))?;
        let length = match (layout, clip.length) {
            (Layout::Nchw, None | Some(1)) => 1,
            (Layout::Nchw, Some(_)) => {
                return Err(
                    "input.layout = \"NCHW\" shows each frame alone: clip.length is 1 or left out".to_owned()
                );
            }
            (_, Some(length)) if (1..=MOST_FRAMES).contains(&length) => length,
            (_, Some(_)) => return Err(format!("clip.length is outside 1..={MOST_FRAMES}")),
            (_, None) => return Err(format!("clip.length is missing, which the layout {layout} wants")),
        };
        if clip.overlap >= length {
            return Err(format!(
                "clip.overlap is {} and has to be less than clip.length, {length}",
                clip.overlap
            ));
        }
        Ok(ClipSpec { sampling, length, overlap: clip.overlap })
    }
}

impl SpottingTable {
    fn checked(self, labels: &[String]) -> Result<SpottingSpec, String> {
        let index = |key: &str, label: &str| {
            labels.iter().position(|known| known == label).ok_or_else(|| {
                format!("{key} names {label:?}, which is not among labels: {}", labels.join(", "))
            })
        };
        let background =
            self.background.as_deref().map(|label| index("spotting.background", label)).transpose()?;
        if background.is_some() && labels.len() == 1 {
            return Err("the only label is spotting.background".to_owned());
        }
        if self.smoothing.is_multiple_of(2) || self.smoothing > MOST_FRAMES {
            return Err(format!(
                "spotting.smoothing is {} instead of an odd number of frames",
                self.smoothing
            ));
        }
        let mut thresholds = vec![self.threshold; labels.len()];
        for (label, threshold) in &self.thresholds {
            thresholds[index("spotting.thresholds", label)?] = *threshold;
        }
        if let Some(bad) = thresholds.iter().find(|value| !(0.0..=1.0).contains(*value)) {
            return Err(format!("a threshold of spotting is {bad}, outside 0..=1"));
        }
        let mut windows = vec![self.window; labels.len()];
        for (label, window) in &self.windows {
            windows[index("spotting.windows", label)?] = *window;
        }
        if let Some(bad) = windows.iter().find(|value| !(0.0..=3600.0).contains(*value)) {
            return Err(format!("a window of spotting is {bad}, outside 0 to 3600 seconds"));
        }
        Ok(SpottingSpec {
            activation: self.activation,
            output: self.output,
            background,
            smoothing: self.smoothing,
            thresholds,
            windows,
        })
    }
}

impl ObjectsTable {
    fn checked(table: Option<Self>) -> Result<ObjectsSpec, String> {
        let default = ObjectsSpec::default();
        let Some(table) = table else { return Ok(default) };
        let spec = ObjectsSpec {
            head: table.head,
            activation: table.activation.unwrap_or(default.activation),
            threshold: table.threshold.unwrap_or(default.threshold),
            iou: table.iou.unwrap_or(default.iou),
            most: table.most.unwrap_or(default.most),
        };
        for (name, share) in [("threshold", spec.threshold), ("iou", spec.iou)] {
            if !(0.0..=1.0).contains(&share) {
                return Err(format!("objects.{name} is {share}, outside 0..=1"));
            }
        }
        if !(1..=MOST_LABELS).contains(&spec.most) {
            return Err(format!("objects.most is outside 1..={MOST_LABELS}"));
        }
        if spec.activation == Activation::Softmax {
            return Err("objects.activation is softmax: a detector's is none or sigmoid".to_owned());
        }
        Ok(spec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPOTTER: &str = r#"
        # What we trained in May.
        kind = "action-spotting"
        labels = ["background", "pass", "goal"]
        [input]
        width = 64
        height = 36
        layout = "NCTHW"
        [clip]
        rate = 12.5
        length = 16
        overlap = 4
        [spotting]
        activation = "softmax"
        background = "background"
        threshold = 0.4
        [spotting.thresholds]
        goal = 0.7 # rare
        [spotting.windows]
        goal = 5.0
    "#;

    fn parse(text: &str) -> Result<ModelSpec, String> {
        ModelSpec::parse(text, Path::new("/models/may"))
    }

    #[test]
    fn a_whole_file_is_read() {
        let spec = parse(SPOTTER).unwrap();
        assert_eq!(spec.file, Path::new("/models/may/model.onnx"));
        assert_eq!(spec.input.layout, Layout::Ncthw);
        let Kind::Spotting(clip, spotting) = spec.kind else { panic!("no spotter") };
        assert_eq!(clip, ClipSpec { sampling: Sampling::PerSecond(12.5), length: 16, overlap: 4 });
        assert_eq!(spotting.background, Some(0));
        assert_eq!(spotting.thresholds, [0.4, 0.4, 0.7]);
        assert_eq!(spotting.windows, [1.0, 1.0, 5.0]);
    }

    #[test]
    fn a_detector_needs_hardly_a_line() {
        let spec = parse("kind = \"objects\"\nlabels = [\"ball\"]").unwrap();
        assert_eq!(spec.kind, Kind::Objects(ObjectsSpec::default()));
        assert!(spec.input.letterbox);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let changed = |from: &str, to: &str| {
            let text = SPOTTER.replace(from, to);
            assert_ne!(text, SPOTTER, "{from}");
            parse(&text).unwrap_err()
        };
        for (from, to, what) in [
            ("\"action-spotting\"", "\"spotting\"", "unknown variant `spotting`"),
            ("rate = 12.5", "rate = 12.5\nstride = 2", "both rate and stride"),
            ("rate = 12.5", "rate = 0", "clip: "),
            ("rate = 12.5", "stride = 0", "clip: "),
            ("length = 16", "length = 0", "clip.length is outside 1..=4096"),
            ("length = 16", "", "clip.length is missing"),
            ("overlap = 4", "overlap = 16", "less than clip.length, 16"),
            ("\"NCTHW\"", "\"NCHW\"", "shows each frame alone"),
            ("\"NCTHW\"", "\"NHWC\"", "unknown variant `NHWC`"),
            ("width = 64", "width = 0", "input.width is outside 1..=4096"),
            ("width = 64", "wide = 64", "unknown field `wide`"),
            ("width = 64", "width = 64\nscale = 0.0", "input.scale is 0"),
            ("width = 64", "width = 64\nstd = [1.0, 0.0, 1.0]", "input.std has 0"),
            ("width = 64", "width = 64\nstd = [1.0, 1.0]", "invalid length 2"),
            ("width = 64", "width = 64\nbatch = 0", "input.batch"),
            ("width = 64", "width = 64\nresize = \"letterbox\"", "the decoder scales"),
            ("\"pass\", ", "\"pass\", \"pass\", ", "\"pass\" twice"),
            ("\"pass\", ", "\" pass\", ", "blanks around it"),
            ("[\"background\", \"pass\", \"goal\"]", "[]", "labels has 0 names"),
            ("background = \"background\"", "background = \"none\"", "among labels: background, pass, goal"),
            ("goal = 0.7", "gaol = 0.7", "spotting.thresholds names \"gaol\""),
            ("goal = 0.7", "goal = 1.7", "1.7, outside 0..=1"),
            ("goal = 5.0", "goal = -5.0", "-5, outside 0 to 3600"),
            ("threshold = 0.4", "threshold = 0.4\nsmoothing = 4", "4 instead of an odd number"),
            ("activation = \"softmax\"", "", "missing field `activation`"),
        ] {
            let said = changed(from, to);
            assert!(said.contains(what), "{to}: {said:?} does not say {what:?}");
        }
        for (text, what) in [
            ("kind = \"objects\"\nlabels = [\"a\"]\n[clip]\nlength = 2", "neither a table [clip]"),
            ("kind = \"objects\"\nlabels = [\"a\"]\n[objects]\niou = 2.0", "objects.iou is 2"),
            ("kind = \"objects\"\nlabels = [\"a\"]\n[objects]\nhead = \"ssd\"", "unknown variant `ssd`"),
            ("kind = \"objects\"\nlabels = [\"a\"]\n[input]\nlayout = \"NTCHW\"", "layout = \"NCHW\""),
            ("kind = \"action-spotting\"\nlabels = [\"a\"]", "wants a table [spotting]"),
            ("kind = \"objects\"", "missing field `labels`"),
        ] {
            let said = parse(text).unwrap_err();
            assert!(said.contains(what), "{text}: {said:?} does not say {what:?}");
        }
    }

    #[test]
    fn thresholds_are_written_and_all_else_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(MODEL_FILE);
        std::fs::write(&path, SPOTTER).unwrap();
        write_thresholds(folder.path(), &[("goal".to_owned(), 0.35), ("pass".to_owned(), 0.1)]).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("# What we trained in May.") && text.contains("goal = 0.35 # rare"), "{text}");
        let Kind::Spotting(_, spotting) = ModelSpec::read(folder.path()).unwrap().kind else { panic!() };
        assert_eq!(spotting.thresholds, [0.4, 0.1, 0.35]);

        let error = write_thresholds(folder.path(), &[("offside".to_owned(), 0.5)]).unwrap_err().to_string();
        assert!(error.contains("\"offside\"") && error.contains(MODEL_FILE), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "a refused value changes nothing");
    }

    #[test]
    fn a_file_without_the_table_gets_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(MODEL_FILE);
        std::fs::write(
            &path,
            "kind = \"action-spotting\"\nlabels = [\"pass\"]\n[spotting]\nactivation = \"sigmoid\"\n",
        )
        .unwrap();
        write_thresholds(folder.path(), &[("pass".to_owned(), 0.6)]).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.ends_with("[spotting.thresholds]\npass = 0.6\n"), "{text}");
    }
}
