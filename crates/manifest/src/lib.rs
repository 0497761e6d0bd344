//! Score's Manifest: which elements subnet 44 evaluates, by which pillars, with which limits on a model.
//!
//! [`Source::load`] fetches the one in force, or reads a local file in its place. What is refused and what is
//! converted is what the validators' program (pydantic in its lax mode over YAML 1.2) refuses and converts, so
//! that [`Manifest::hash`] is the hash that they compute. Which elements a miner serves is left to the tracks.
//!
//! ```
//! # fn main() -> Result<(), adit_manifest::ManifestError> {
//! use adit_manifest::{Category, Manifest};
//!
//! let manifest = Manifest::parse(
//!     b"{window_id: w, version: 1.3, expiry_block: 9000000, tee: {trusted_share_gamma: 0.2},
//!        elements: [{id: manak0/Detect-fire, track: public, max_model_size_mb: 30}]}",
//! )?;
//! let fire = manifest.element("manak0/Detect-fire").expect("the Manifest has it");
//! assert_eq!(fire.category(), Some(Category::Detect));
//! assert_eq!(fire.max_model_size_mb, Some(30.0));
//! assert!(manifest.is_expired_at(9_000_001));
//! # Ok(())
//! # }
//! ```

mod error;
pub mod index;
mod manifest;
mod schema;
mod signature;
mod source;
mod yaml;

pub use error::ManifestError;
pub use manifest::{
    Category, Clip, Element, EvalWindow, GroundTruthType, KeypointTemplate, MAX_BYTES, Manifest, Metrics,
    Norm, Pillar, Preproc, Salt, Tee, Track,
};
pub use signature::{BadPublicKey, PublicKey, SignatureError};
pub use source::{Loaded, Source};
