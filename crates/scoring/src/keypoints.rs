//! Calibrations of a pitch: whether the keypoints of a frame lay a pitch's lines where the frame has lines.
//!
//! A validator fits the projection that takes a drawn pitch to the keypoints, lays the drawing over the frame
//! with OpenCV, and counts how many pixels of the drawing's lines fall on edges in the frame (turbo-vision
//! reference, section 9.6). A dozen rules turn a frame's score into 0, and some of them hit good calibrations; a
//! validator keeps the rule to itself, so [`Verdict`] names it.
//!
//! Every step is OpenCV 4.12's, in its fixed-point numbers and in its order. With football the counts are the same;
//! with cricket the template is a near copy, see [`Sport::Cricket`].

mod homography;
mod image;
mod template;

use std::fmt;

pub use homography::Matrix;
pub use template::{Sport, Template};

use self::image::Plane;
use crate::soccer::Era;

/// A point in a frame as (x, y) in pixels; (0, 0) stands for a point that the model has not found.
pub type Keypoint = (f64, f64);

/// The order of a pixel's three bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channels {
    /// Blue, green, red: OpenCV's order.
    Bgr,
    /// Red, green, blue: the order of most decoders.
    Rgb,
}

/// A frame's bytes are not three for each of its pixels, or it has no pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongSize {
    /// The width in pixels.
    pub width: usize,
    /// The height in pixels.
    pub height: usize,
    /// How many bytes there are.
    pub bytes: usize,
}

impl fmt::Display for WrongSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a frame of {} × {} pixels cannot have {} bytes", self.width, self.height, self.bytes)
    }
}

impl std::error::Error for WrongSize {}

/// A frame of a challenge, kept as brightness: its colours do not matter.
#[derive(Clone)]
pub struct Frame(Plane);

impl Frame {
    /// Reads a frame's pixels, row by row without gaps, three bytes each.
    ///
    /// # Errors
    /// [`WrongSize`].
    pub fn new(pixels: &[u8], width: usize, height: usize, channels: Channels) -> Result<Self, WrongSize> {
        let wanted = width.checked_mul(height).and_then(|count| count.checked_mul(3));
        if pixels.is_empty() || wanted != Some(pixels.len()) {
            return Err(WrongSize { width, height, bytes: pixels.len() });
        }
        let (colours, _) = pixels.as_chunks();
        let pixels = match channels {
            Channels::Bgr => colours.iter().map(|&colour| image::luma(colour)).collect(),
            Channels::Rgb => {
                colours.iter().map(|&[red, green, blue]| image::luma([blue, green, red])).collect()
            }
        };
        Ok(Self(Plane { width, height, pixels }))
    }

    /// Its width and height in pixels.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        (self.0.width, self.0.height)
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({} × {})", self.0.width, self.0.height)
    }
}

/// Why a frame scores 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reject {
    /// There is not one keypoint for each of the template's points.
    WrongCount,
    /// Fewer than four keypoints count.
    TooFewPoints,
    /// The keypoints have no extent in one direction, so that no projection fits.
    NoProjection,
    /// The pitch's outline crosses itself.
    Twisted,
    /// No part of the pitch is in the frame. Current era only; the document era says [`Reject::NoLines`] then.
    NoGround,
    /// The pitch in the frame falls into this many parts.
    SplitGround(usize),
    /// The pitch covers this part of the frame, from 0 to 1; from 0.9 on that is too much.
    TooMuchGround(f64),
    /// No line of the pitch is in the frame.
    NoLines,
    /// The whole frame would be a line.
    OnlyLines,
    /// The box around some line, or speck of one, is square. Many a good calibration ends here: a penalty spot
    /// outside of other lines is enough.
    SquareLine,
    /// The box around all lines covers less than a fifth of the frame. Current era only.
    SmallLines,
    /// More than nine tenths of all edges and lines are edges without a line. Current era only.
    MostlyOtherEdges,
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WrongCount => "the number of keypoints is not the template's",
            Self::TooFewPoints => "fewer than 4 keypoints",
            Self::NoProjection => "no projection fits the keypoints",
            Self::Twisted => "the projected pitch is twisted",
            Self::NoGround => "the projected pitch is outside the frame",
            Self::SplitGround(parts) => return write!(f, "the projected pitch falls into {parts} parts"),
            Self::TooMuchGround(part) => {
                return write!(
                    f,
                    "the projected pitch covers {:.0} % of the frame, 90 are too much",
                    part * 100.0
                );
            }
            Self::NoLines => "no projected line is in the frame",
            Self::OnlyLines => "projected lines cover the frame",
            Self::SquareLine => "the box around a projected line is square",
            Self::SmallLines => "the projected lines take up less than a fifth of the frame",
            Self::MostlyOtherEdges => "over nine tenths of the frame's edges are no projected lines",
        })
    }
}

/// What was counted in a frame, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Pixels of the projected pitch.
    pub ground: usize,
    /// Pixels of its lines.
    pub expected: usize,
    /// Pixels near an edge on the pitch in the frame.
    pub detected: usize,
    /// Pixels that are both a line's and near an edge.
    pub overlap: usize,
}

/// What a validator makes of a frame's keypoints.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// From 0 to 1.
    pub score: f64,
    /// Why it is 0, where a rule says so.
    pub reject: Option<Reject>,
    /// The projection from the template to the frame, where one was found.
    pub homography: Option<Matrix>,
    /// What was counted, where it came to that.
    pub counts: Option<Counts>,
}

impl Verdict {
    fn rejected(reject: Reject) -> Self {
        Self { score: 0.0, reject: Some(reject), homography: None, counts: None }
    }
}

/// Scores a frame's keypoints, of which those at (0, 0) do not count.
///
/// In the document era that was the intention only; see [`score_with_json_lists`].
#[must_use]
pub fn score(era: Era, template: &Template, frame: &Frame, keypoints: &[Keypoint]) -> Verdict {
    let (width, height) = (frame.0.width as f64, frame.0.height as f64);
    let counts = |&(x, y): &Keypoint| {
        // The current era first moves points outside the frame to (0, 0).
        let inside = x >= 0.0 && y >= 0.0 && x < width && y < height;
        (x, y) != (0.0, 0.0) && (era == Era::DocumentEra || inside)
    };
    judge(era, template, frame, keypoints, counts)
}

/// Scores a frame's keypoints as validators of the document era did in fact: they read points from JSON as lists,
/// which never equal the pair (0, 0), so that points the model has not found are fitted like all others.
#[must_use]
pub fn score_with_json_lists(template: &Template, frame: &Frame, keypoints: &[Keypoint]) -> Verdict {
    judge(Era::DocumentEra, template, frame, keypoints, |_| true)
}

fn judge(
    era: Era,
    template: &Template,
    frame: &Frame,
    keypoints: &[Keypoint],
    counts: impl Fn(&Keypoint) -> bool,
) -> Verdict {
    if keypoints.len() != template.points().len() {
        return Verdict::rejected(Reject::WrongCount);
    }
    // OpenCV is given 32-bit floats.
    let single = |value: f64| f64::from(value as f32);
    let pairs: Vec<_> = template
        .points()
        .iter()
        .zip(keypoints)
        .filter(|(_, keypoint)| counts(keypoint))
        .map(|(&point, &(x, y))| (exact(point), [single(x), single(y)]))
        .collect();
    if pairs.len() < 4 {
        return Verdict::rejected(Reject::TooFewPoints);
    }
    let Some(matrix) = homography::find(&pairs) else { return Verdict::rejected(Reject::NoProjection) };
    let verdict = match masks(era, template, frame, &matrix) {
        Err(reject) => Verdict::rejected(reject),
        Ok(masks) => masks.verdict(era),
    };
    Verdict { homography: Some(matrix), ..verdict }
}

fn exact((x, y): (i16, i16)) -> [f64; 2] {
    [f64::from(x), f64::from(y)]
}

/// What of a frame is pitch, where lines should be, and where edges are.
struct Masks {
    ground: Plane,
    expected: Plane,
    detected: Plane,
}

fn masks(era: Era, template: &Template, frame: &Frame, matrix: &Matrix) -> Result<Masks, Reject> {
    if is_twisted(template.corners().map(|corner| homography::project(matrix, exact(corner)))) {
        return Err(Reject::Twisted);
    }
    let projected = image::warp(template, matrix, frame.0.width, frame.0.height);
    let (ground, expected) = (projected.above(10), projected.above(200));
    check_ground(era, &ground)?;
    check_lines(&expected)?;
    let detected = edges_on(&ground, frame);
    Ok(Masks { ground, expected, detected })
}

/// Whether one of a quadrilateral's sides crosses the opposite one; in 32-bit floats, as upstream has it.
fn is_twisted(corners: [[f64; 2]; 4]) -> bool {
    let [a, b, c, d] = corners.map(|corner| corner.map(|value| value as f32));
    let is_left = |from: [f32; 2], to: [f32; 2], point: [f32; 2]| {
        (point[1] - from[1]) * (to[0] - from[0]) > (to[1] - from[1]) * (point[0] - from[0])
    };
    let cross = |a, b, c, d| is_left(a, c, d) != is_left(b, c, d) && is_left(a, b, c) != is_left(a, b, d);
    cross(a, b, c, d) || cross(b, c, d, a)
}

fn check_ground(era: Era, ground: &Plane) -> Result<(), Reject> {
    let count = ground.count();
    if era == Era::Head && count == 0 {
        return Err(Reject::NoGround);
    }
    let parts = image::regions(ground);
    if parts > 1 {
        return Err(Reject::SplitGround(parts));
    }
    let part = count as f64 / ground.pixels.len() as f64;
    if part >= 0.9 { Err(Reject::TooMuchGround(part)) } else { Ok(()) }
}

fn check_lines(lines: &Plane) -> Result<(), Reject> {
    let count = lines.count();
    if count == 0 {
        Err(Reject::NoLines)
    } else if count == lines.pixels.len() {
        Err(Reject::OnlyLines)
    } else if image::has_square_region(lines) {
        Err(Reject::SquareLine)
    } else {
        Ok(())
    }
}

/// What is within 3 pixels of an edge on the pitch.
fn edges_on(ground: &Plane, frame: &Frame) -> Plane {
    let fine = image::blur(&image::top_hat(&frame.0, 15));
    image::dilate(&image::canny(&fine, 30, 100).and(ground), 3)
}

impl Masks {
    fn verdict(&self, era: Era) -> Verdict {
        let counts = Counts {
            ground: self.ground.count(),
            expected: self.expected.count(),
            detected: self.detected.count(),
            overlap: self.expected.and(&self.detected).count(),
        };
        let reject = if era == Era::Head { self.late_reject(&counts) } else { None };
        let score = counts.overlap as f64 / (counts.expected as f64 + 1e-8);
        let score = if reject.is_some() { 0.0 } else { score };
        Verdict { score, reject, homography: None, counts: Some(counts) }
    }

    /// The current era's last rules. Two more of them cannot apply: all keypoints outside the frame, and
    /// keypoints spread over more than two frames; outside points were left out before.
    fn late_reject(&self, counts: &Counts) -> Option<Reject> {
        let (width, height) = self.expected.extent();
        let others = counts.detected - counts.overlap;
        let all = counts.expected + others;
        if ((width * height) as f64 / self.expected.pixels.len() as f64) < 0.2 {
            Some(Reject::SmallLines)
        } else if others as f64 / all as f64 > 0.9 {
            Some(Reject::MostlyOtherEdges)
        } else {
            None
        }
    }
}
