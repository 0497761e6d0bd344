//! Pictures and clips.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Modality {
    /// A picture.
    Image,
    /// A clip.
    Video,
}

impl Modality {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Image, Self::Video];

    /// `image` or `video`, as requests, folders and reports have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Video => "video",
        }
    }
}

impl fmt::Display for Modality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Modality {
    type Err = NotAModality;

    fn from_str(word: &str) -> Result<Self, NotAModality> {
        Self::ALL.into_iter().find(|one| one.as_str() == word).ok_or(NotAModality)
    }
}

/// Neither `image` nor `video`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("neither image nor video")]
pub struct NotAModality;
