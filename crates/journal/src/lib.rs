//! What happened, in one bounded local file of JSON lines. To record never delays the caller and never fails it.
//!
//! [`Journal`] writes, [`Entries`] reads. What an event's fields mean is its recorder's.
//!
//! ```
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("miner.jsonl");
//! use adit_journal::{Entries, Journal};
//!
//! let journal = Journal::open(&path, 1 << 20)?;
//! journal.record("challenge", &serde_json::json!({ "challenge_id": "c1" }));
//! drop(journal);
//!
//! for entry in Entries::open(&path)? {
//!     let entry = entry?;
//!     println!("{} {} {}", entry.at_ms, entry.event, entry.fields);
//! }
//! # Ok::<(), std::io::Error>(())
//! ```

mod entry;
mod file;
mod journal;

pub use entry::{Entries, Entry, MAX_LINE};
pub use journal::Journal;
