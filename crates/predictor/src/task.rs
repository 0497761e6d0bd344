//! What a model is asked, and what it needs to be told.

use std::fmt;

use std::pin::Pin;

use adit_media::{ClipFile, ClipInfo, FrameFormat, FrameStream, MediaError, Picture, Sampling};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use serde_json::{Map, Value};

use crate::PredictError;

/// What a model needs of a clip. What is not needed is neither fetched nor decoded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Need {
    /// Only what the sample table says.
    FrameCount,
    /// The whole clip as a local file.
    File,
    /// Its frames, as they are decoded.
    Frames(FrameFormat),
    /// Its frames at the clip's own size, or images of any size: for objects only.
    Images,
    /// Only where it is, since the model fetches it itself: for objects only.
    Link,
}

impl Need {
    fn name(self) -> &'static str {
        match self {
            Self::FrameCount => "the frame count",
            Self::File => "a local file",
            Self::Frames(_) => "frames",
            Self::Images => "images",
            Self::Link => "a link",
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        if let Self::Frames(format) = self {
            write!(f, " of {}x{}", format.width, format.height)?;
            match format.sampling {
                Sampling::Every => {}
                Sampling::PerSecond(rate) => write!(f, ", {rate} a second")?,
                Sampling::Nth(n) => write!(f, ", one in {n}")?,
            }
        }
        Ok(())
    }
}

/// Which kind of answer a challenge calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Actions with their frames, for soccer.
    SoccerActions,
    /// One row about one delivery, for cricket.
    CricketDelivery,
    /// The grades of one trading card.
    CardGrades,
    /// Boxes, polygons and keypoints on each frame or image.
    Objects {
        /// How many images are shown to the model at once, from 1.
        batch_size: u32,
        /// How many keypoints the answer should have for each image.
        n_keypoints: u32,
    },
}

impl Wanted {
    /// Its name in the worker protocol; the first two are also Score's names for the miner's mode
    /// (private-track reference, section 1.1).
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SoccerActions => "soccer_action",
            Self::CricketDelivery => "cricket_delivery",
            Self::CardGrades => "tcg_grading",
            Self::Objects { .. } => "objects",
        }
    }
}

/// What a model is shown: a clip in the form that it said it needs, or pictures.
#[derive(Debug)]
pub enum Subject {
    /// A clip's sample table.
    FrameCount(ClipInfo),
    /// A clip on disk.
    File(ClipFile),
    /// A clip's frames.
    Frames(FrameStream),
    /// Still pictures with their frame ids: one for a card, several for a soccer challenge that lists frames.
    Pictures(Vec<(u64, Picture)>),
    /// Decoded images, for objects.
    Images(ImageStream),
    /// Where a clip is, for objects.
    Link {
        /// An http or https URL that the worker can reach.
        url: String,
        /// What the challenge says besides.
        meta: Option<Map<String, Value>>,
    },
}

/// A decoded image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// What the challenge calls it.
    pub frame_id: i64,
    /// Pixels a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// RGB24, row by row, `width * height * 3` bytes.
    pub pixels: Bytes,
}

/// Images that are made when the worker is ready for the next one.
pub struct ImageStream(Pin<Box<dyn Stream<Item = Result<Image, MediaError>> + Send>>);

impl ImageStream {
    /// Over any stream. It is not asked again after an error.
    pub fn new(images: impl Stream<Item = Result<Image, MediaError>> + Send + 'static) -> Self {
        Self(Box::pin(images))
    }

    pub(crate) async fn next(&mut self) -> Result<Option<Image>, MediaError> {
        self.0.next().await.transpose()
    }
}

impl fmt::Debug for ImageStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ImageStream")
    }
}

impl Subject {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::FrameCount(_) => "the frame count",
            Self::File(_) => "a local file",
            Self::Frames(_) => "frames",
            Self::Pictures(_) => "pictures",
            Self::Images(_) => "images",
            Self::Link { .. } => "a link",
        }
    }

    pub(crate) fn info(&self) -> Option<&ClipInfo> {
        match self {
            Self::FrameCount(info) => Some(info),
            Self::File(file) => Some(file.info()),
            Self::Frames(stream) => Some(stream.info()),
            Self::Pictures(_) | Self::Images(_) | Self::Link { .. } => None,
        }
    }
}

/// One challenge, ready for a model.
#[derive(Debug)]
pub struct Task {
    /// The validator's id of the challenge, for the model's own log.
    pub challenge_id: String,
    /// Which kind of answer is wanted.
    pub wanted: Wanted,
    /// What the model is shown.
    pub subject: Subject,
}

impl Task {
    /// Refuses a task that no model with this need could answer.
    pub(crate) fn check(&self, need: Need) -> Result<(), PredictError> {
        let mismatch = |needs: &'static str| PredictError::Mismatch {
            wanted: self.wanted.name(),
            needs,
            given: self.subject.name(),
        };
        match (self.wanted, &self.subject) {
            (Wanted::Objects { .. }, Subject::Frames(_)) if need == Need::Images => Ok(()),
            (Wanted::Objects { .. }, Subject::Images(_) | Subject::Link { .. })
                if self.subject.name() == need.name() =>
            {
                Ok(())
            }
            (Wanted::Objects { .. }, _) => Err(mismatch(need.name())),
            (_, _) if matches!(need, Need::Images | Need::Link) => Err(mismatch("a challenge about objects")),
            (Wanted::CardGrades, Subject::Pictures(pictures)) if pictures.len() == 1 => Ok(()),
            (Wanted::CardGrades, _) => Err(mismatch("exactly one picture")),
            (Wanted::CricketDelivery, Subject::Pictures(_)) => Err(mismatch("a clip")),
            (_, Subject::Pictures(_)) => Ok(()),
            (_, clip) if clip.name() == need.name() => Ok(()),
            _ => Err(mismatch(need.name())),
        }
    }
}
