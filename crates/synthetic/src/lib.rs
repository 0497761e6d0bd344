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

/// What one thing in the drawing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The ball.
    Ball,
    /// The keeper of a team, 0 in blue or 1 in white.
    Goalkeeper(usize),
    /// Another player of a team.
    Player(usize),
}

/// One thing that is seen in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Object {
    /// What it is.
    pub kind: Kind,
    /// Pixels: left, top, right, bottom; the first column and row of it, and those behind its last. What lies outside
    /// the picture is cut off.
    pub bbox: [i64; 4],
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

    /// Everything that is seen in a frame: the players of both teams, keeper first, then the ball. Later ones are
    /// drawn over earlier ones.
    #[must_use]
    pub fn objects(&self, index: u64) -> Vec<Object> {
        let moment = self.play.at(index);
        let mut objects = Vec::new();
        for (team, players) in moment.players.iter().enumerate() {
            for (number, player) in players.iter().enumerate() {
                let kind = if number == 0 { Kind::Goalkeeper(team) } else { Kind::Player(team) };
                objects.push(Object { kind, bbox: self.pitch.bounds(*player, draw::PLAYER_RADIUS) });
            }
        }
        let ball = Object { kind: Kind::Ball, bbox: self.pitch.bounds(moment.ball, draw::BALL_RADIUS) };
        objects.push(ball);
        objects.retain(|object| object.bbox[0] < object.bbox[2] && object.bbox[1] < object.bbox[3]);
        objects
    }

    /// Where a point of the pitch is in every frame, in pixels: metres from the corner at the top left, along the
    /// touchline (105 m) and the goal line (68 m).
    #[must_use]
    pub fn pixel(&self, along: f64, across: f64) -> (f64, f64) {
        self.pitch.pixel(play::Point(along, across))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The drawn pixels of a colour lie in the boxes that are said to hold them, and reach each edge unless
    /// something is drawn over it.
    #[test]
    fn the_boxes_hold_what_is_drawn() {
        for (width, height) in [(960, 540), (398, 224)] {
            let played = Match::new(7, MatchFormat { width, height, fps: 25, seconds: 10 });
            for index in (0..250).step_by(40) {
                let pixels = played.frame(index);
                let colour = |x: i64, y: i64| -> [u8; 3] {
                    let at = (y as usize * width as usize + x as usize) * 3;
                    pixels[at..at + 3].try_into().unwrap()
                };
                let objects = played.objects(index);
                assert_eq!(objects.len(), 13);
                let ball = objects.last().unwrap();
                assert_eq!(ball.kind, Kind::Ball);
                let red: Vec<(i64, i64)> = (0..i64::from(height))
                    .flat_map(|y| (0..i64::from(width)).map(move |x| (x, y)))
                    .filter(|(x, y)| colour(*x, *y) == draw::BALL)
                    .collect();
                let seen = [
                    red.iter().map(|(x, _)| *x).min().unwrap(),
                    red.iter().map(|(_, y)| *y).min().unwrap(),
                    red.iter().map(|(x, _)| *x).max().unwrap() + 1,
                    red.iter().map(|(_, y)| *y).max().unwrap() + 1,
                ];
                // A disc's outermost row may hold no pixel's centre.
                for (said, seen) in ball.bbox.iter().zip(seen) {
                    assert!(
                        (said - seen).abs() <= 1,
                        "{width}x{height} frame {index}: {:?} {seen}",
                        ball.bbox
                    );
                }
                for object in &objects {
                    let [left, top, right, bottom] = object.bbox;
                    let middle = colour((left + right) / 2, (top + bottom) / 2);
                    let team = match object.kind {
                        Kind::Ball => draw::BALL,
                        Kind::Goalkeeper(team) | Kind::Player(team) => draw::TEAMS[team],
                    };
                    assert!([team, draw::BALL, draw::TEAMS[0], draw::TEAMS[1]].contains(&middle));
                }
            }
        }
    }

    #[test]
    fn the_corners_of_the_pitch_lie_on_its_lines() {
        let played = Match::new(1, MatchFormat { width: 960, height: 540, fps: 25, seconds: 1 });
        let pixels = played.frame(0);
        for (along, across) in [(0.0, 0.0), (105.0, 0.0), (0.0, 68.0), (105.0, 68.0), (52.5, 0.0)] {
            let (x, y) = played.pixel(along, across);
            let at = (y as usize * 960 + x as usize) * 3;
            assert_eq!(pixels[at..at + 3], [200, 220, 200], "{along} {across}");
        }
    }
}
