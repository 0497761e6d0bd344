//! What a Manifest holds, and the text that its hash and signature are over (Turbo Vision reference, section 10).

use std::{collections::BTreeMap, fmt, io};

use adit_python::{is_space, repr};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::ser::{Formatter, Serializer};

use crate::{ManifestError, schema, yaml};

/// The largest Manifest that is read, in bytes. The published ones have a few thousand.
pub const MAX_BYTES: usize = 512 << 10;

/// The rules of one evaluation window.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Manifest {
    /// The window's name, by custom a date.
    pub window_id: String,
    /// Version of the schema.
    pub version: f64,
    /// The last block at which it holds.
    pub expiry_block: i64,
    /// In the order of the file. Validators do not ask for different ids.
    pub elements: Vec<Element>,
    /// The share of the trusted track.
    pub tee: Tee,
    /// Ed25519 over [`Manifest::canonical_json`], in hex. Hashed by nobody.
    #[serde(skip)]
    pub signature: Option<String>,
}

/// One capability that miners are scored on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Element {
    /// What miners commit to and challenges name, such as `manak0/Detect-fire`.
    pub id: String,
    /// Who it is for; none counts as public.
    pub track: Option<Track>,
    /// The first block at which it is evaluated.
    pub first_block: Option<i64>,
    /// Blocks from one evaluation to the next.
    pub window_block: Option<i64>,
    /// How far back evaluations count, in days.
    pub eval_window: Option<EvalWindow>,
    /// Its part of the emissions.
    pub weight: Option<f64>,
    /// The clips that it is evaluated on, where they are fixed.
    pub clips: Vec<Clip>,
    /// What is measured.
    pub metrics: Option<Metrics>,
    /// What is done to a clip before a model sees it.
    pub preproc: Option<Preproc>,
    /// The 95th percentile of latency that a miner may have, in milliseconds.
    pub latency_p95_ms: Option<i64>,
    /// Frames a second that a miner has to keep up with.
    pub service_rate_fps: Option<i64>,
    /// Hash of the recipe of the pseudo ground truth.
    pub pgt_recipe_hash: Option<String>,
    /// Whether the truth is labelled, and not made by another model.
    pub ground_truth: bool,
    /// The least score that earns anything, from 0.
    pub baseline_theta: f64,
    /// The least margin above it that is paid, from 0.
    pub delta_floor: f64,
    /// Factor for the difficulty, from 0.
    pub beta: f64,
    /// Largest model repository, in MB, from 0.
    pub max_model_size_mb: Option<f64>,
    /// Whether a model has to be ONNX and nothing else.
    pub onnx_model: Option<bool>,
    /// Offsets and strides of the frames that are asked for.
    pub salt: Salt,
    /// The field of play whose keypoints are asked for.
    pub keypoint_template: Option<KeypointTemplate>,
    /// The labels of what is to be found, in the order of their class numbers.
    pub objects: Option<Vec<String>>,
    /// The kind of challenge that Score's API is asked for.
    pub challenge_type_version: Option<String>,
    /// What the truth of a private challenge looks like.
    pub groundtruth_type: Option<GroundTruthType>,
}

/// Who an element is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Track {
    /// Open-source miners.
    Public,
    /// Miners with a private image.
    Private,
    /// Any other text; validators treat it as public.
    #[serde(untagged)]
    Other(String),
}

/// A number of days, printed as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum EvalWindow {
    /// Whole days.
    Whole(i64),
    /// Days with a fraction, even if it is zero.
    Fraction(f64),
}

/// A fixed clip.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Clip {
    /// Such as `sha256:…`.
    pub hash: String,
    /// Its weight among the clips.
    pub weight: f64,
}

/// What is measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Metrics {
    /// The weight of each pillar. They sum to exactly 1.0 in the order of the file, where 0.7 + 0.2 + 0.1 does not.
    pub pillars: BTreeMap<Pillar, f64>,
}

/// What is done to a clip before a model sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Preproc {
    /// Frames a second.
    pub fps: i64,
    /// Length of the longer side, in pixels.
    pub resize_long: i64,
    /// What the colour values are scaled to.
    pub norm: Norm,
}

/// What colour values are scaled to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Norm {
    /// 0 to 1.
    #[serde(rename = "rgb-01")]
    Rgb01,
    /// 0 to 255.
    #[serde(rename = "rgb-255")]
    Rgb255,
    /// Left as they are.
    #[serde(rename = "none")]
    None,
}

/// Offsets and strides of frames.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Salt {
    /// In frames.
    pub offsets: Vec<i64>,
    /// In frames.
    pub strides: Vec<i64>,
}

/// The trusted track.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Tee {
    /// Its share of the emissions, by intent 0 to 1.
    pub trusted_share_gamma: f64,
}

/// A field of play with keypoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeypointTemplate {
    /// A football pitch, 32 keypoints.
    Football,
    /// A cricket pitch, 14 keypoints.
    Cricket,
    /// A basketball court, for which validators have no template yet.
    Basketball,
}

/// What the truth of a private challenge looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroundTruthType {
    /// Actions in a soccer clip.
    SoccerAction,
    /// Measurements of one cricket delivery.
    CricketDelivery,
    /// Grades of a trading card.
    TcgGrading,
}

/// One measure of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is the name of a metric, which its scorer defines")]
pub enum Pillar {
    Iou,
    Count,
    Palette,
    Smoothness,
    Role,
    KeypointsIou,
    Map50,
    Precision,
    Recall,
    SoccerAction,
    CricketScoring,
    TcgGrading,
    FalsePositive,
}

/// What kind of answer an element asks for, by the beginning of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum Category {
    /// Keypoints of a field of play.
    PitchCalib,
    /// Boxes around objects.
    Detect,
    /// Boxes around players, with teams and roles.
    PlayerDetect,
    /// Objects followed from frame to frame.
    Track,
    /// The kind of a scene.
    ClassifyImage,
    /// The kind of an object.
    ClassifyObject,
}

/// Shows a name as a Manifest spells it.
macro_rules! displayed_as_spelled {
    ($($name:ty),*) => {
        $(impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.serialize(f)
            }
        })*
    };
}

displayed_as_spelled!(Category, GroundTruthType, KeypointTemplate, Norm, Pillar, Track);

impl Manifest {
    /// Reads YAML or JSON of at most [`MAX_BYTES`].
    ///
    /// # Errors
    /// Where it is not one that validators take. YAML's aliases, merge keys and tags, integers beyond 64 bits and
    /// numbers that are not finite are refused as well, though validators know some use for them.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > MAX_BYTES {
            return Err(ManifestError::TooLarge);
        }
        let text = str::from_utf8(bytes).map_err(|error| ManifestError::Encoding(error.valid_up_to()))?;
        schema::read(&yaml::parse(text)?)
    }

    /// The first element of this id.
    #[must_use]
    pub fn element(&self, id: &str) -> Option<&Element> {
        self.elements.iter().find(|element| element.id == id)
    }

    /// The elements of the private track, in the order of the file.
    pub fn private_elements(&self) -> impl Iterator<Item = &Element> {
        self.elements.iter().filter(|element| element.is_private())
    }

    /// Whether it no longer holds at `block`.
    #[must_use]
    pub fn is_expired_at(&self, block: u64) -> bool {
        i128::from(block) > i128::from(self.expiry_block)
    }

    /// The text that is hashed and signed: every field but the signature, defaults and nulls included, elements by
    /// id, keys sorted, no blanks, characters as they are, floats as Python prints them.
    #[must_use]
    pub fn canonical_json(&self) -> String {
        let mut sorted = self.clone();
        sorted.elements.sort_by(|a, b| a.id.cmp(&b.id));
        let mut value = serde_json::to_value(&sorted).expect("every field is JSON");
        value.sort_all_objects();
        let mut text = Vec::new();
        value
            .serialize(&mut Serializer::with_formatter(&mut text, PythonFloats))
            .expect("a Vec takes every byte");
        String::from_utf8(text).expect("JSON is UTF-8")
    }

    /// SHA-256 of [`Manifest::canonical_json`], in lower-case hex: what a published Manifest is named after.
    #[must_use]
    pub fn hash(&self) -> String {
        hex::encode(digest(&SHA256, self.canonical_json().as_bytes()))
    }
}

struct PythonFloats;

impl Formatter for PythonFloats {
    fn write_f64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        writer.write_all(repr(value).as_bytes())
    }
}

impl Element {
    /// Whether it is for miners with a private image.
    #[must_use]
    pub fn is_private(&self) -> bool {
        self.track == Some(Track::Private)
    }

    /// The kind of answer that it asks for. Only a private element may have none.
    #[must_use]
    pub fn category(&self) -> Option<Category> {
        // In the order in which validators try them.
        const PREFIXES: [(&str, Category); 6] = [
            ("PitchCalib", Category::PitchCalib),
            ("Detect", Category::Detect),
            ("PlayerDetect", Category::PlayerDetect),
            ("Track", Category::Track),
            ("ClassifyImage", Category::ClassifyImage),
            ("ClassifyObject", Category::ClassifyObject),
        ];
        let id = self.id.trim_matches(is_space);
        let name = match id.rsplit_once('/') {
            Some((_, name)) if !name.is_empty() => name.trim_start_matches(is_space),
            _ => id,
        };
        PREFIXES.iter().find(|(prefix, _)| name.starts_with(prefix)).map(|&(_, category)| category)
    }

    /// The weight of each pillar; none where the element has no metrics.
    pub fn pillars(&self) -> impl Iterator<Item = (Pillar, f64)> {
        self.metrics.iter().flat_map(|metrics| &metrics.pillars).map(|(&pillar, &weight)| (pillar, weight))
    }
}

#[cfg(test)]
mod tests {
    use super::{Category, Manifest};

    fn of_elements(elements: &str) -> Manifest {
        let text = format!(
            "{{window_id: w, version: 1, expiry_block: 5, tee: {{trusted_share_gamma: 0}}, elements: {elements}}}"
        );
        Manifest::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn the_category_is_that_of_the_last_part_of_the_id() {
        for (id, category) in [
            ("a/b/Detect", Some(Category::Detect)),
            (" Detect", Some(Category::Detect)),
            ("a/ PlayerDetect_v1 ", Some(Category::PlayerDetect)),
            ("Detect/", Some(Category::Detect)),
            ("ClassifyObject", Some(Category::ClassifyObject)),
            ("Detect/x", None),
            ("detect", None),
            ("Détect", None),
            ("/", None),
            ("", None),
        ] {
            let manifest = of_elements(&format!("[{{id: '{id}', track: private}}]"));
            assert_eq!(manifest.elements[0].category(), category, "{id:?}");
        }
    }

    #[test]
    fn canonical_text_escapes_as_little_as_python() {
        let manifest = of_elements(r#"[{id: Detect, objects: ["\"\\\n\0\x1f\x7f\L/é😀"]}]"#);
        let expected = "\"objects\":[\"\\\"\\\\\\n\\u0000\\u001f\u{7f}\u{2028}/é😀\"]";
        assert!(manifest.canonical_json().contains(expected), "{}", manifest.canonical_json());
    }

    #[test]
    fn elements_are_hashed_by_id_and_equal_ids_in_the_order_of_the_file() {
        let sorted = of_elements("[{id: Detect, beta: 2}, {id: Detect, beta: 1}, {id: Track}]");
        let shuffled = of_elements("[{id: Track}, {id: Detect, beta: 2}, {id: Detect, beta: 1}]");
        assert_eq!(sorted.hash(), shuffled.hash());
        assert_ne!(
            sorted.hash(),
            of_elements("[{id: Detect, beta: 1}, {id: Detect, beta: 2}, {id: Track}]").hash()
        );
        assert_eq!(shuffled.elements[0].id, "Track");
        assert_eq!(shuffled.element("Detect").unwrap().beta, 2.0);
    }

    #[test]
    fn private_elements_are_those_of_exactly_that_track() {
        let manifest = of_elements(
            "[{id: a, track: private}, {id: Detect, track: Private}, {id: Detect}, {id: b, track: private}]",
        );
        let ids: Vec<_> = manifest.private_elements().map(|element| element.id.as_str()).collect();
        assert_eq!(ids, ["a", "b"]);
    }

    #[test]
    fn it_holds_up_to_and_with_its_last_block() {
        let mut manifest = of_elements("[]");
        assert!(!manifest.is_expired_at(5));
        assert!(manifest.is_expired_at(6));
        manifest.expiry_block = -1;
        assert!(manifest.is_expired_at(0));
    }
}
