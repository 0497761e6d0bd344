//! What a deployment is made of: where the image goes, what is in it, what is committed, how it runs.
//!
//! Nothing here acts; a command takes the parts in turn and reads back what each did.

mod baked;
mod commitment;
mod container;
mod target;

pub use baked::{Baked, BakedError};
pub use commitment::Commitment;
pub use container::{DATA_FOLDER, Live, MINER_LABEL, PORT, checked, checker, worker_variables};
pub use target::{Hub, Sharing, Target, TargetError};

/// Score refuses larger images: layers and configuration, in bytes (private-track reference, section 7).
pub const LARGEST_IMAGE: u64 = 30_000_000_000;
