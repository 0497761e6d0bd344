//! What happened to a miner, in one bounded local SQLite file. To record never delays the caller and never fails it.
//!
//! [`Journal`] writes, [`Reader`] reads, also while others write; [`record`] is what can be told. Entries are only ever
//! added at one end and dropped at the other; beside them stand [`Tally`]s, their sums by the hour, which are kept longer.
//! [`Lines`] reads entries as lines of JSON, the form in which they leave the file.
//!
//! ```
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("private-track.sqlite");
//! use adit_journal::record::ClockJumped;
//! use adit_journal::{Find, Journal, Limits, Reader};
//!
//! let journal = Journal::open(&path, Limits::default())?;
//! journal.record(&ClockJumped { by_ms: -5000 });
//! drop(journal);
//!
//! for entry in Reader::open(&path)?.find(&Find::event("clock"))? {
//!     println!("{} {} {}", entry.at_ms, entry.event, entry.fields);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod database;
mod entry;
mod journal;
mod place;
mod reader;
pub mod record;
mod refusals;
mod spans;
mod writer;

pub use database::{Damage, OpenError};
pub use entry::{Entry, Lines, MAX_LINE};
pub use journal::{Journal, Limits};
pub use place::Place;
pub use reader::{Find, ReadError, Reader, Size, Tally};
pub use refusals::Refusals;
pub use spans::SPANS;

/// Names of the miners' files in the data folder (`ADIT_DATA_DIR`).
pub const FILES: [(&str, &str); 3] =
    [(PRIVATE_TRACK, "private-track"), (GENERATIVE, "generative"), (TURBO_VISION, "turbo-vision")];
/// Subnet 44's private track.
pub const PRIVATE_TRACK: &str = "private-track.sqlite";
/// Subnet 34's generative track.
pub const GENERATIVE: &str = "generative.sqlite";
/// Subnet 44's open track, whose miner is elsewhere: what this host's commands did for it.
pub const TURBO_VISION: &str = "turbo-vision.sqlite";
