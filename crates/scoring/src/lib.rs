//! How validators score, as pure functions.
//!
//! Subnet 44's private track has three kinds of challenge, and each has its module: [`soccer`] (actions in a
//! clip), [`cricket`] (one delivery's measurements) and [`cards`] (a trading card's grades). [`pillars`] turns
//! a soccer score into the weighted figure that a manifest asks for.
//!
//! Turbo Vision's are about what is in each frame: [`objects`] (boxes, labels, teams), [`detection`] (today's pillars, with
//! polygons, which [`raster`] fills as validators do), [`smoothness`] (boxes over time), [`keypoints`] (whether a
//! pitch's calibration fits a frame) and [`element`] (what a manifest's element makes of a score and its time).
//!
//! Nothing here reads a clock, a file or a network: the same input gives the same verdict on any machine.
//! Reading whole documents (a challenge, a miner's answer) is left to the crate of the track.

mod assignment;
pub mod benchmark;
pub mod cards;
pub mod cricket;
pub mod detection;
pub mod element;
pub mod keypoints;
mod mask;
pub mod objects;
pub mod pillars;
pub mod raster;
pub mod smoothness;
pub mod soccer;

/// What one field of a cricket delivery or of a card earned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FieldScore {
    /// The field's name on the wire.
    pub name: &'static str,
    /// Its part of the whole; the weights of a challenge sum to 1.
    pub weight: f64,
    /// What it earned, from 0 to 1.
    pub score: f64,
}

/// A score from 0 to 1 with the fields that make it up.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldVerdict {
    /// The sum of weight × score over the fields, from 0 to 1.
    pub score: f64,
    /// Every field, also those of weight 0, in the schema's order.
    pub fields: Vec<FieldScore>,
}

impl FieldVerdict {
    fn of(fields: Vec<FieldScore>) -> Self {
        let sum: f64 = fields.iter().map(|field| field.weight * field.score).sum();
        Self { score: sum.clamp(0.0, 1.0), fields }
    }
}

/// What a numeric field earns at `distance` from the truth: 1 at no distance, falling evenly to 0 at
/// `tolerance` (private-track reference, section 5.1).
///
/// The validator takes a distance within 1e-12 of the tolerance for the tolerance itself, so that rounding
/// does not leave a crumb of a score.
fn closeness(distance: f64, tolerance: f64) -> f64 {
    if distance < tolerance && (distance - tolerance).abs() > 1e-12 {
        1.0 - distance / tolerance
    } else {
        0.0
    }
}
