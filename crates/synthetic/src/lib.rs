//! A drawn match: a clip and its exact truth, for demos, tests and rehearsals.
//!
//! `play` decides who has the ball when, `draw` is the rasteriser. Everything is a function of the seed and
//! the format, made of integers and of the floating-point operations that IEEE 754 defines to the last bit, so the
//! same match has the same frames on any machine. Encoding is `media`'s.

mod draw;
mod play;

use std::path::Path;

use adit_media::{EncodeOptions, Ffmpeg, MediaError};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use draw::Canvas;
use play::Play;

/// Size and length of a drawn match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MatchFormat {
    /// Pixels a row; even, as H.264 wants it.
    pub width: u32,
    /// Rows; even.
    pub height: u32,
    /// Frames a second; below 5 the passes blur together.
    pub fps: u32,
    /// Length in seconds.
    pub seconds: u32,
}

/// One action that really happens in the drawing.
///
/// The row of a ground-truth file: `[{"frame": 24, "action": "pass"}, …]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TruthAction {
    /// 0-based index of the frame in which it happens: the ball's last one at a foot, or its first one where it
    /// arrives.
    pub frame: u64,
    /// `pass`, `pass_received`, `shot` or `goal`.
    pub action: String,
}

/// A match, drawn on demand.
#[derive(Debug, Clone)]
pub struct Match {
    format: MatchFormat,
    play: Play,
    /// The empty pitch, drawn once.
    pitch: Canvas,
}

impl Match {
    /// The match of this seed.
    #[must_use]
    pub fn new(seed: u64, format: MatchFormat) -> Self {
        Self {
            format,
            play: Play::new(seed, format.fps, format.fps * format.seconds),
            pitch: Canvas::pitch(format.width, format.height),
        }
    }

    /// How many frames it has.
    #[must_use]
    pub fn frame_count(&self) -> u64 {
        u64::from(self.format.fps) * u64::from(self.format.seconds)
    }

    /// What happens, by frame: about one pass a second and its reception, now and then a shot and its goal.
    #[must_use]
    pub fn truth(&self) -> &[TruthAction] {
        self.play.truth()
    }

    /// One frame: RGB24, row by row from the top left.
    #[must_use]
    pub fn frame(&self, index: u64) -> Vec<u8> {
        let moment = self.play.at(index);
        let mut canvas = self.pitch.clone();
        for (team, players) in moment.players.iter().enumerate() {
            for player in players {
                canvas.disc(*player, draw::PLAYER_RADIUS, draw::TEAMS[team]);
            }
        }
        canvas.disc(moment.ball, draw::BALL_RADIUS, draw::BALL);
        canvas.into_pixels()
    }

    /// Every frame, in order.
    pub fn frames(&self) -> impl Iterator<Item = Vec<u8>> + Send + '_ {
        (0..self.frame_count()).map(|index| self.frame(index))
    }

    /// Writes the match as a fast-start H.264 clip.
    ///
    /// # Errors
    /// [`MediaError`] when the encoder fails.
    pub async fn write_clip(
        &self,
        ffmpeg: &Ffmpeg,
        path: &Path,
        deadline: Instant,
    ) -> Result<(), MediaError> {
        let MatchFormat { width, height, fps, .. } = self.format;
        let options = EncodeOptions::new(width, height, fps);
        ffmpeg.encode_h264(&options, self.frames(), path, deadline).await
    }
}
