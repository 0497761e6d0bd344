//! The documents of a chute: what it is asked, and what it may answer (Turbo Vision reference, sections 6.1 and 6.2).
//!
//! The schemas are pydantic's in its lax mode: `"5"`, `5.0` and `true` are integers, keys that a schema does not have are
//! passed over. They decide inside the chute, so an answer that breaks them never reaches a validator. What a validator
//! then makes of one is another matter, with other rules: [`crate::documents`].
//!
//! A server reads [`SvPredictInput`] or [`TvPredictInput`]; a rehearsal reads [`SvPredictOutput`] or [`TvPredictOutput`].
//! [`TvPredictOutput`] leaves its frames unread, as today's template does; [`TvPredictOutput::frames`] holds them against
//! the schema that the example miner writes them by.

mod reader;

use adit_python::json::{Json, JsonError};
use indexmap::IndexMap;

use reader::Reader;

pub use reader::{FieldError, MAX_ERRORS, Step};

/// The most JSON values of a document, keys aside. An answer for 750 frames with 22 boxes and 32 keypoints each has
/// 200 000.
pub const MAX_VALUES: usize = 2_000_000;

/// Whose schemas hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Those of the document era's chute.
    Document,
    /// Those beside today's template.
    Template,
    /// Those that today's example miner brings for its own answers.
    Miner,
}

/// Why a document is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum WireError {
    /// It is no JSON that Python reads.
    #[error("the document is no JSON: {0}")]
    Json(#[from] JsonError),
    /// It breaks its schema; the first errors are listed, at most [`MAX_ERRORS`].
    #[error("the document breaks its schema: {}", reader::summary(.0))]
    Schema(Vec<FieldError>),
}

/// A document with a schema.
pub trait Document: Sized {
    /// Reads it from JSON; what is wrong with it goes to the reader.
    #[doc(hidden)]
    fn take(reader: &mut Reader, value: &Json) -> Option<Self>;

    /// The JSON that the schema writes: every field that it has, defaults and nulls included, in its order.
    fn to_json(&self, family: Family) -> Json;

    /// Reads it from decoded JSON.
    ///
    /// # Errors
    /// [`WireError::Schema`].
    fn from_json(family: Family, value: &Json) -> Result<Self, WireError> {
        let mut reader = Reader::new(family);
        let document = Self::take(&mut reader, value);
        let errors = reader.into_errors();
        document.filter(|_| errors.is_empty()).ok_or(WireError::Schema(errors))
    }

    /// Reads it from the bytes of a body.
    ///
    /// # Errors
    /// As [`WireError`] lists.
    fn parse(family: Family, bytes: &[u8]) -> Result<Self, WireError> {
        Self::from_json(family, &Json::parse_within(bytes, MAX_VALUES)?)
    }
}

/// What a chute of the document era is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct SvPredictInput {
    /// Where the clip is; any text.
    pub url: String,
    /// An object of anything, such as `batch_size`.
    pub meta: Option<Json>,
}

/// What a chute of today is asked: frames, or else a clip.
#[derive(Clone, Debug, PartialEq)]
pub struct TvPredictInput {
    /// Where a clip is; any text.
    pub url: Option<String>,
    /// Single frames.
    pub frames: Option<Vec<TvFrame>>,
    /// An object of anything, such as `batch_size` and `n_keypoints`. It may be left out, but not be null.
    pub meta: Json,
}

/// A frame that a chute of today is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TvFrame {
    /// Its number.
    pub frame_id: i128,
    /// Where its picture is.
    pub url: Option<String>,
    /// The picture in base64, which goes before the URL.
    pub data: Option<String>,
}

/// A frame of the open track's first days: the picture came along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SvFrame {
    /// Its number.
    pub frame_id: i128,
    /// The picture in base64.
    pub data: String,
}

/// What a chute of the document era answers.
#[derive(Clone, Debug, PartialEq)]
pub struct SvPredictOutput {
    /// Whether it could.
    pub success: bool,
    /// The model's name.
    pub model: String,
    /// What it found; the frames are under `frames`.
    pub predictions: Option<IndexMap<String, Vec<FrameResult>>>,
    /// Why it could not.
    pub error: Option<String>,
}

/// What a chute of today answers.
#[derive(Clone, Debug, PartialEq)]
pub struct TvPredictOutput {
    /// Whether it could.
    pub success: bool,
    /// What it found, each an object of anything; the frames are under `frames`.
    pub predictions: Option<IndexMap<String, Vec<Json>>>,
    /// Why it could not.
    pub error: Option<String>,
}

/// What was found in a frame.
#[derive(Clone, Debug, PartialEq)]
pub struct FrameResult {
    /// Its number.
    pub frame_id: i128,
    /// Boxes around objects; the document era wants a list.
    pub boxes: Option<Vec<BoxResult>>,
    /// Outlines of objects; the document era knows none.
    pub polygons: Option<Vec<PolygonResult>>,
    /// Points of the pitch as (x, y) in pixels, (0, 0) for one that was not found; the document era wants a list.
    pub keypoints: Option<Vec<(i128, i128)>>,
}

/// A box around an object, corners in pixels.
#[derive(Clone, Debug, PartialEq)]
pub struct BoxResult {
    /// Left.
    pub x1: i128,
    /// Top.
    pub y1: i128,
    /// Right.
    pub x2: i128,
    /// Bottom.
    pub y2: i128,
    /// The number of its class.
    pub cls_id: i128,
    /// How sure the model is, by custom 0 to 1; 1 where a schema lets it be left out.
    pub conf: f64,
}

/// An object's outline.
#[derive(Clone, Debug, PartialEq)]
pub struct PolygonResult {
    /// The number of its class.
    pub cls_id: i128,
    /// How sure the model is, by custom 0 to 1; 1 where a schema lets it be left out.
    pub conf: f64,
    /// Corners as (x, y) in pixels.
    pub points: Vec<(i128, i128)>,
}

/// An object of the truth, as validators hold it.
#[derive(Clone, Debug, PartialEq)]
pub struct Annotation {
    /// Left, top, right, bottom in pixels.
    pub bbox_2d: [i128; 4],
    /// Corners as (x, y) in pixels; not in the document era.
    pub polygon: Option<Vec<(i128, i128)>>,
    /// Its class; one of four in the document era.
    pub label: Option<String>,
    /// How sure the model is that made the truth; not in the document era.
    pub score: Option<f64>,
    /// The colour of its team; required in the document era.
    pub cluster_id: Option<String>,
}

impl SvPredictOutput {
    /// The frames, where there are any.
    #[must_use]
    pub fn frames(&self) -> &[FrameResult] {
        let frames = self.predictions.as_ref().and_then(|predictions| predictions.get("frames"));
        frames.map_or(&[], Vec::as_slice)
    }
}

impl TvPredictOutput {
    /// The frames as the example miner's schema has them. Other miners may write others, which reach the validator all
    /// the same.
    ///
    /// # Errors
    /// [`WireError::Schema`].
    pub fn frames(&self) -> Result<Vec<FrameResult>, WireError> {
        let mut reader = Reader::new(Family::Miner);
        let frames = self.predictions.as_ref().and_then(|predictions| predictions.get("frames"));
        let read: Vec<FrameResult> = frames
            .into_iter()
            .flatten()
            .enumerate()
            .filter_map(|(at, frame)| {
                reader.at(Step::Key("frames"), |reader| {
                    reader.at(Step::Index(at), |reader| FrameResult::take(reader, frame))
                })
            })
            .collect();
        let errors = reader.into_errors();
        if errors.is_empty() { Ok(read) } else { Err(WireError::Schema(errors)) }
    }
}

/// The classes of the document era.
const LABELS: [&str; 4] = ["ball", "goalkeeper", "player", "referee"];

fn or_null<T>(value: Option<T>, json: impl Fn(T) -> Json) -> Json {
    value.map_or(Json::Null, json)
}

fn array<T>(items: &[T], json: impl Fn(&T) -> Json) -> Json {
    Json::Array(items.iter().map(json).collect())
}

fn point(&(x, y): &(i128, i128)) -> Json {
    Json::Array(vec![Json::Int(x), Json::Int(y)])
}

fn text(text: &str) -> Json {
    Json::from(text)
}

impl Document for SvPredictInput {
    fn take(reader: &mut Reader, value: &Json) -> Option<Self> {
        reader.object(value)?;
        let url = reader.required(value, "url", Reader::text);
        let meta = reader.optional(value, "meta", Reader::dict);
        Some(Self { url: url?, meta })
    }

    fn to_json(&self, _: Family) -> Json {
        Json::object([("url", text(&self.url)), ("meta", or_null(self.meta.clone(), |meta| meta))])
    }
}

impl Document for TvPredictInput {
    fn take(reader: &mut Reader, value: &Json) -> Option<Self> {
        reader.object(value)?;
        let url = reader.optional(value, "url", Reader::text);
        let frames = reader.optional(value, "frames", |reader, value| reader.list(value, TvFrame::take));
        let meta = match value.get("meta") {
            None => Some(Json::object([])),
            Some(meta) => reader.at(Step::Key("meta"), |reader| reader.dict(meta)),
        };
        Some(Self { url, frames, meta: meta? })
    }

    fn to_json(&self, family: Family) -> Json {
        Json::object([
            ("url", or_null(self.url.as_deref(), text)),
            ("frames", or_null(self.frames.as_deref(), |all| array(all, |frame| frame.to_json(family)))),
            ("meta", self.meta.clone()),
        ])
    }
}

impl Document for TvFrame {
    fn take(reader: &mut Reader, value: &Json) -> Option<Self> {
        reader.object(value)?;
        let frame_id = reader.required(value, "frame_id", Reader::integer);
        let url = reader.optional(value, "url", Reader::text);
        let data = reader.optional(value, "data", Reader::text);
        Some(Self { frame_id: frame_id?, url, data })
    }

    fn to_json(&self, _: Family) -> Json {
        Json::object([
            ("frame_id", Json::Int(self.frame_id)),
            ("url", or_null(self.url.as_deref(), text)),
            ("data", or_null(self.data.as_deref(), text)),
        ])
    }
}

impl Document for SvFrame {
    fn take(reader: &mut Reader, value: &Json) -> Option<Self> {
        reader.object(value)?;
        let frame_id = reader.required(value, "frame_id", Reader::integer);
        let data = reader.required(value, "data", Reader::text);
        Some(Self { frame_id: frame_id?, data: data? })
    }

    fn to_json(&self, _: Family) -> Json {
        Json::object([("frame_id", Json::Int(self.frame_id)), ("data", text(&self.data))])
    }
}

impl Document for SvPredictOutput {
    fn take(reader: &mut Reader, value: &Json) -> Option<Self> {
        reader.object(value)?;
        let success = reader.required(value, "success", Reader::boolean);
        let model = reader.required(value, "model", Reader::text);
        let predictions = reader.optional(value, "predictions", |reader, value| {
            reader.entries(value, |reader, value| reader.list(value, FrameResult::take))
        });
        let error = reader.optional(value, "error", Reader::text);
        Some(Self { success: success?, model: model?, predictions, error })
    }

    fn to_json(&self, family: Family) -> Json {
        let predictions = self.predictions.as_ref().map(|all| {
            let frames = |frames: &Vec<FrameResult>| array(frames, |frame| frame.to_json(family));
            Json::object(all.iter().map(|(key, all)| (key.as_str(), frames(all))))
        });
        Json::object([
            ("success", Json::Bool(self.success)),
            ("model", text(&self.model)),
            ("predictions", or_null(predictions, |all| all)),
            ("error", or_null(self.error.as_deref(), text)),
        ])
    }
}

impl Document for TvPredictOutput {
    fn take(reader: &mut Reader, value: &Json) -> Option<Self> {
        reader.object(value)?;
        let success = reader.required(value, "success", Reader::boolean);
        let predictions = reader.optional(value, "predictions", |reader, value| {
            reader.entries(value, |reader, value| reader.list(value, Reader::dict))
        });
        let error = reader.optional(value, "error", Reader::text);
        Some(Self { success: success?, predictions, error })
    }

    fn to_json(&self, _: Family) -> Json {
        let predictions = self
            .predictions
            .as_ref()
            .map(|all| Json::object(all.iter().map(|(key, all)| (key.as_str(), Json::Array(all.clone())))));
        Json::object([
            ("success", Json::Bool(self.success)),
            ("predictions", or_null(predictions, |all| all)),
            ("error", or_null(self.error.as_deref(), text)),
        ])
    }
}

impl Document for FrameResult {
    fn take(reader: &mut Reader, value: &Json) -> Option<Self> {
        reader.object(value)?;
        let frame_id = reader.required(value, "frame_id", Reader::integer);
        let boxes = |reader: &mut Reader, value: &Json| reader.list(value, BoxResult::take);
        let keypoints = |reader: &mut Reader, value: &Json| reader.list(value, Reader::pair);
        if reader.family() == Family::Document {
            let boxes = reader.required(value, "boxes", boxes);
            let keypoints = reader.required(value, "keypoints", keypoints);
            return Some(Self {
                frame_id: frame_id?,
                boxes: Some(boxes?),
                polygons: None,
                keypoints: Some(keypoints?),
            });
        }
        let boxes = reader.optional(value, "boxes", boxes);
        let polygons =
            reader.optional(value, "polygons", |reader, value| reader.list(value, PolygonResult::take));
        let keypoints = reader.optional(value, "keypoints", keypoints);
        Some(Self { frame_id: frame_id?, boxes, polygons, keypoints })
    }

    fn to_json(&self, family: Family) -> Json {
        let boxes = self.boxes.as_deref();
        let polygons = self.polygons.as_deref();
        let mut entries = vec![
            ("frame_id", Json::Int(self.frame_id)),
            ("boxes", or_null(boxes, |all| array(all, |one| one.to_json(family)))),
        ];
        if family != Family::Document {
            entries.push(("polygons", or_null(polygons, |all| array(all, |one| one.to_json(family)))));
        }
        entries.push(("keypoints", or_null(self.keypoints.as_deref(), |all| array(all, point))));
        Json::object(entries)
    }
}

/// The confidence, which only the example miner's schema asks for.
fn confidence(reader: &mut Reader, value: &Json) -> Option<f64> {
    match value.get("conf") {
        None if reader.family() != Family::Miner => Some(1.0),
        _ => reader.required(value, "conf", Reader::number),
    }
}

impl Document for BoxResult {
    fn take(reader: &mut Reader, value: &Json) -> Option<Self> {
        reader.object(value)?;
        let mut integer = |key| reader.required(value, key, Reader::integer);
        let (x1, y1, x2, y2) = (integer("x1"), integer("y1"), integer("x2"), integer("y2"));
        let cls_id = integer("cls_id");
        let conf = confidence(reader, value);
        Some(Self { x1: x1?, y1: y1?, x2: x2?, y2: y2?, cls_id: cls_id?, conf: conf? })
    }

    fn to_json(&self, _: Family) -> Json {
        Json::object([
            ("x1", Json::Int(self.x1)),
            ("y1", Json::Int(self.y1)),
            ("x2", Json::Int(self.x2)),
            ("y2", Json::Int(self.y2)),
            ("cls_id", Json::Int(self.cls_id)),
            ("conf", Json::Float(self.conf)),
        ])
    }
}

impl Document for PolygonResult {
    fn take(reader: &mut Reader, value: &Json) -> Option<Self> {
        reader.object(value)?;
        let cls_id = reader.required(value, "cls_id", Reader::integer);
        let conf = confidence(reader, value);
        let points = reader.required(value, "points", |reader, value| reader.list(value, Reader::pair));
        Some(Self { cls_id: cls_id?, conf: conf?, points: points? })
    }

    fn to_json(&self, _: Family) -> Json {
        Json::object([
            ("cls_id", Json::Int(self.cls_id)),
            ("conf", Json::Float(self.conf)),
            ("points", array(&self.points, point)),
        ])
    }
}

impl Document for Annotation {
    fn take(reader: &mut Reader, value: &Json) -> Option<Self> {
        reader.object(value)?;
        let bbox_2d = reader.required(value, "bbox_2d", Reader::integers);
        let colour = |reader: &mut Reader, value: &Json| reader.one_of(value, &crate::documents::COLOURS);
        if reader.family() == Family::Document {
            let label = reader.required(value, "label", |reader, value| reader.one_of(value, &LABELS));
            let cluster_id = reader.required(value, "cluster_id", colour);
            return Some(Self {
                bbox_2d: bbox_2d?,
                polygon: None,
                label: Some(label?),
                score: None,
                cluster_id: Some(cluster_id?),
            });
        }
        let polygon = reader.optional(value, "polygon", |reader, value| reader.list(value, Reader::pair));
        // Null is a label, but nothing is not.
        let label = reader.required(value, "label", |reader, value| match value {
            Json::Null => Some(None),
            value => reader.text(value).map(Some),
        });
        let score = reader.optional(value, "score", Reader::number);
        let cluster_id = reader.optional(value, "cluster_id", colour);
        Some(Self { bbox_2d: bbox_2d?, polygon, label: label?, score, cluster_id })
    }

    fn to_json(&self, family: Family) -> Json {
        let corners = ("bbox_2d", array(&self.bbox_2d, |at| Json::Int(*at)));
        let label = ("label", or_null(self.label.as_deref(), text));
        let cluster_id = ("cluster_id", or_null(self.cluster_id.as_deref(), text));
        if family == Family::Document {
            return Json::object([corners, label, cluster_id]);
        }
        let polygon = ("polygon", or_null(self.polygon.as_deref(), |all| array(all, point)));
        let score = ("score", or_null(self.score, Json::Float));
        Json::object([corners, polygon, label, score, cluster_id])
    }
}
