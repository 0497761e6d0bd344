//! What a model is asked, and what it needs to be told.

use std::fmt;

use adit_media::{ClipFile, ClipInfo, FrameFormat, FrameStream, Picture, Sampling};

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
}

impl Need {
    fn name(self) -> &'static str {
        match self {
            Self::FrameCount => "the frame count",
            Self::File => "a local file",
            Self::Frames(_) => "frames",
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        if let Self::Frames(format) = self {
            write!(f, " of {}x{}", format.width, format.height)?;
            if let Sampling::PerSecond(rate) = format.sampling {
                write!(f, ", {rate} a second")?;
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
}

impl Subject {
    fn name(&self) -> &'static str {
        match self {
            Self::FrameCount(_) => "the frame count",
            Self::File(_) => "a local file",
            Self::Frames(_) => "frames",
            Self::Pictures(_) => "pictures",
        }
    }

    pub(crate) fn info(&self) -> Option<&ClipInfo> {
        match self {
            Self::FrameCount(info) => Some(info),
            Self::File(file) => Some(file.info()),
            Self::Frames(stream) => Some(stream.info()),
            Self::Pictures(_) => None,
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
            (Wanted::CardGrades, Subject::Pictures(pictures)) if pictures.len() == 1 => Ok(()),
            (Wanted::CardGrades, _) => Err(mismatch("exactly one picture")),
            (Wanted::CricketDelivery, Subject::Pictures(_)) => Err(mismatch("a clip")),
            (_, Subject::Pictures(_)) => Ok(()),
            (_, clip) if clip.name() == need.name() => Ok(()),
            _ => Err(mismatch(need.name())),
        }
    }
}
