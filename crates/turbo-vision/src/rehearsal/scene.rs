//! What a rehearsal shows to a chute, and what is in it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use adit_media::{Media, MediaError, PictureSource};
use adit_scoring::keypoints::{Channels, Frame};
use adit_scoring::objects::{Detection, FIRST_TEAM, SECOND_TEAM, Truth};
use adit_synthetic::{Kind, Match, MatchFormat};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Era;
use super::score_api::Shot;

/// Most frames whose images are kept: each takes some MB.
pub const MAX_IMAGES: usize = 300;
/// Most bytes of frames that keypoints are measured on: those of 750 in 1920x1080 are fewer.
pub const MAX_FRAME_BYTES: u64 = 2 << 30;
/// `meta.batch_size` of validators.
const BATCH: u32 = 64;

/// A picture: RGB, 8 bits each, row by row from the top left.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    /// Pixels a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// The pixels.
    pub rgb: Vec<u8>,
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Image({}x{})", self.width, self.height)
    }
}

impl Image {
    /// The picture as PNG.
    ///
    /// # Errors
    /// Where there are fewer or more pixels than the size says.
    pub fn to_png(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, self.width, self.height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_compression(png::Compression::Fast);
        encoder.write_header().and_then(|mut writer| writer.write_image_data(&self.rgb))?;
        Ok(bytes)
    }

    /// The picture as validators measure keypoints on it.
    fn frame(&self) -> Option<Frame> {
        Frame::new(&self.rgb, self.width as usize, self.height as usize, Channels::Rgb).ok()
    }
}

/// How the frames get to the chute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// It fetches a clip.
    Clip(String),
    /// They are in the request, with the URLs that they came from.
    Frames(BTreeMap<i64, Option<String>>),
}

/// Frames and what is in them.
#[derive(Clone)]
pub struct Scene {
    /// What it is, for the operator.
    pub name: String,
    /// How it is shown.
    pub shown: Shown,
    /// Pixels a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Frames a second, as the request says.
    pub fps: u32,
    /// How many frames there are.
    pub total: usize,
    /// What is in the frames that are scored.
    pub truth: Vec<Truth>,
    /// The frames' pictures: of those that are scored, at most [`MAX_IMAGES`], and of those that are sent.
    pub images: BTreeMap<i64, Image>,
    /// The frames that keypoints are measured on: validators look at all that an answer has.
    pub frames: BTreeMap<i64, Frame>,
    /// `task_id`, where Score gave one.
    pub task_id: Value,
    /// `challenge_type_id`; 0 is football.
    pub challenge_type_id: Value,
    /// `seed`, where Score gave one.
    pub seed: Option<Value>,
}

/// Why there is no scene.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SceneError {
    /// The clip cannot be had or decoded.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// The truth speaks of none of the clip's frames.
    #[error("the truth has no frame of the clip: it has {truth}, and the clip the frames 0 to {last}")]
    OtherFrames {
        /// The truth's frames.
        truth: String,
        /// The clip's last one.
        last: u64,
    },
}

impl Scene {
    /// A match that is drawn: every `every`th frame of `frames` is scored, all labels among ball, goalkeeper and player.
    /// `shown` is where its clip is; where `None`, the scored frames are sent themselves. With `keypoints` every frame
    /// is kept for their measure.
    #[must_use]
    pub fn drawn(
        drawn: &Match,
        format: MatchFormat,
        shown: Option<String>,
        scored: &[u64],
        keypoints: bool,
    ) -> Self {
        let MatchFormat { width, height, fps, .. } = format;
        let truth: Vec<Truth> = scored
            .iter()
            .map(|&index| Truth {
                number: index as i64,
                image: Some((width, height)),
                detections: drawn.objects(index).into_iter().map(detection).collect(),
            })
            .collect();
        let images: BTreeMap<i64, Image> = scored
            .iter()
            .take(MAX_IMAGES)
            .map(|&index| (index as i64, Image { width, height, rgb: drawn.frame(index) }))
            .collect();
        let frames = match (&shown, keypoints) {
            (Some(_), true) => (0..drawn.frame_count())
                .filter_map(|index| {
                    let image = Image { width, height, rgb: drawn.frame(index) };
                    Some((index as i64, image.frame()?))
                })
                .collect(),
            _ => measured(&images),
        };
        let total = if shown.is_some() { drawn.frame_count() as usize } else { images.len() };
        let shown = match shown {
            Some(url) => Shown::Clip(url),
            None => Shown::Frames(images.keys().map(|number| (*number, None)).collect()),
        };
        Self {
            name: format!("a drawn match, {width}x{height}, {total} frames"),
            shown,
            width,
            height,
            fps,
            total,
            truth,
            images,
            frames,
            task_id: json!("0"),
            challenge_type_id: json!(0),
            seed: None,
        }
    }

    /// A clip, fetched from `url` and decoded here for the frames that `truth` speaks of; `shown_as` is the URL that
    /// the chute gets. With `keypoints` every frame is kept for their measure, as far as [`MAX_FRAME_BYTES`] reach.
    ///
    /// # Errors
    /// Where the clip cannot be had by `deadline`, or `truth` is about other frames.
    pub async fn of_clip(
        media: &Media,
        url: &str,
        shown_as: &str,
        mut truth: Vec<Truth>,
        keypoints: bool,
        deadline: Instant,
    ) -> Result<Self, SceneError> {
        let info = media.frame_count(url, deadline).await?;
        let numbers: Vec<i64> = truth.iter().map(|frame| frame.number).collect();
        truth.retain(|frame| u64::try_from(frame.number).is_ok_and(|number| number < info.frames));
        if truth.is_empty() && !numbers.is_empty() {
            let (first, last) = (numbers.first(), numbers.last());
            return Err(SceneError::OtherFrames {
                truth: format!("{} to {}", first.unwrap_or(&0), last.unwrap_or(&0)),
                last: info.frames.saturating_sub(1),
            });
        }
        let wanted: BTreeSet<u64> =
            truth.iter().filter_map(|frame| u64::try_from(frame.number).ok()).take(MAX_IMAGES).collect();
        let (width, height) = (info.width, info.height);
        let kept = MAX_FRAME_BYTES / (u64::from(width) * u64::from(height)).max(1);
        let last =
            if keypoints { Some(kept.min(info.frames).saturating_sub(1)) } else { wanted.last().copied() };
        let (mut images, mut frames) = (BTreeMap::new(), BTreeMap::new());
        if let Some(last) = last {
            let mut decoded = media.original_frames(url, deadline).await?;
            while let Some(frame) = decoded.next().await? {
                let (number, shown) = (frame.index as i64, wanted.contains(&frame.index));
                if keypoints || shown {
                    let image = Image { width, height, rgb: frame.pixels.to_vec() };
                    frames.extend(image.frame().map(|frame| (number, frame)));
                    if shown {
                        images.insert(number, image);
                    }
                }
                if frame.index >= last {
                    break;
                }
            }
        }
        for frame in &mut truth {
            frame.image = Some((width, height));
        }
        Ok(Self {
            name: format!("{shown_as}, {width}x{height}, {} frames", info.frames),
            shown: Shown::Clip(shown_as.to_owned()),
            width,
            height,
            fps: info.frame_rate.as_f64().round() as u32,
            total: info.frames as usize,
            truth,
            images,
            frames,
            task_id: json!("0"),
            challenge_type_id: json!(0),
            seed: None,
        })
    }

    /// Pictures, fetched or decoded from text. Each is sent as validators send it, as PNG.
    ///
    /// # Errors
    /// Where one of them cannot be had by `deadline`.
    pub async fn of_pictures(
        media: &Media,
        pictures: Vec<Shot>,
        mut truth: Vec<Truth>,
        deadline: Instant,
    ) -> Result<Self, SceneError> {
        let mut images = BTreeMap::new();
        let mut urls = BTreeMap::new();
        for Shot { number, url, data } in pictures {
            let source = match (&data, &url) {
                (Some(text), _) => PictureSource::Base64(text),
                (None, Some(url)) => PictureSource::Url(url),
                (None, None) => continue,
            };
            let picture = media.picture(source, deadline).await?;
            let rgb = media.pixels(&picture, deadline).await?.to_vec();
            images.insert(number, Image { width: picture.width, height: picture.height, rgb });
            urls.insert(number, url);
        }
        let size = images.values().next().map_or((0, 0), |image| (image.width, image.height));
        for frame in &mut truth {
            frame.image = images.get(&frame.number).map(|image| (image.width, image.height));
        }
        Ok(Self {
            name: format!("{} pictures, {}x{}", images.len(), size.0, size.1),
            shown: Shown::Frames(urls),
            width: size.0,
            height: size.1,
            fps: 30,
            total: images.len(),
            truth,
            frames: measured(&images),
            images,
            task_id: json!("0"),
            challenge_type_id: json!(0),
            seed: None,
        })
    }

    /// The request of a validator (section 9.2).
    ///
    /// # Errors
    /// Where a picture cannot be encoded.
    pub fn request(&self, era: Era) -> io::Result<Value> {
        let mut meta = json!({"version": 1, "width": self.width, "height": self.height, "fps": self.fps,
            "task_id": self.task_id});
        if era == Era::Document {
            meta["challenge_type"] = json!("football");
            meta["batch_size"] = json!(BATCH);
        } else {
            meta["challenge_type_id"] = self.challenge_type_id.clone();
            meta["n_frames_total"] = json!(self.total);
            meta["batch_size"] = json!(BATCH);
            meta["n_keypoints"] = json!(32);
        }
        if let Some(least) = self.least(era) {
            meta["min_frames_required"] = json!(least);
            meta["frames_source"] = json!("payload");
        }
        if let Some(seed) = &self.seed {
            meta["seed"] = seed.clone();
        }
        match &self.shown {
            Shown::Clip(url) if era == Era::Document => Ok(json!({"url": url, "meta": meta})),
            Shown::Clip(url) => Ok(json!({"url": url, "frames": null, "meta": meta})),
            Shown::Frames(frames) => {
                let frames: io::Result<Vec<Value>> = frames
                    .iter()
                    .filter_map(|(number, url)| Some((number, url, self.images.get(number)?)))
                    .map(|(number, url, image)| {
                        Ok(json!({"frame_id": number, "url": url, "data": STANDARD.encode(image.to_png()?)}))
                    })
                    .collect();
                Ok(json!({"url": null, "frames": frames?, "meta": meta}))
            }
        }
    }

    /// `min_frames_required`, which validators write where they send frames: as many as they select, three.
    pub(super) fn least(&self, era: Era) -> Option<usize> {
        match &self.shown {
            Shown::Frames(frames) if era == Era::Head => Some(frames.len().min(3)),
            _ => None,
        }
    }
}

fn measured(images: &BTreeMap<i64, Image>) -> BTreeMap<i64, Frame> {
    images.iter().filter_map(|(number, image)| Some((*number, image.frame()?))).collect()
}

/// A thing in the drawing as a truth has it.
fn detection(object: adit_synthetic::Object) -> Detection {
    let team = |team: usize| Some(if team == 0 { SECOND_TEAM } else { FIRST_TEAM }.to_owned());
    let (label, team) = match object.kind {
        Kind::Ball => ("ball", None),
        // Dark shirts are the second team, as white is the first.
        Kind::Goalkeeper(side) => ("goalkeeper", team(side)),
        Kind::Player(side) => ("player", team(side)),
    };
    Detection { bbox: object.bbox, label: label.to_owned(), team, score: None, polygon: None }
}
