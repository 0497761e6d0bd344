//! The one HTTP client of the workspace: guarded addresses, limits on size and time, retries.
//!
//! Whoever sends a URL to a miner chooses where the miner connects. So every address is checked *after* the
//! name was resolved and at every redirect ([`AddressGuard`]), a body is never larger than the caller allows,
//! and no wait is without an end ([`Limits`]). What the bytes mean is left to the caller.
//!
//! ```no_run
//! # async fn example() -> Result<(), adit_outbound::FetchError> {
//! use adit_outbound::{AddressGuard, Client, Limits};
//! use tokio::time::{Duration, Instant};
//!
//! let client = Client::new(AddressGuard::public_only())?;
//! let limits = Limits::new(Instant::now() + Duration::from_secs(20), 64 << 20);
//! let mut download = client.get("https://scoredata.me/clip.mp4", &limits).await?;
//! while let Some(chunk) = download.chunk().await? {
//!     println!("{} bytes", chunk.len());
//! }
//! # Ok(())
//! # }
//! ```

mod address;
mod client;
mod download;
mod error;
mod guard;
mod own;

pub use address::{not_public, own_address};
pub use client::{Client, Limits, Response};
pub use download::Download;
pub use error::FetchError;
pub use guard::{AddressGuard, AllowListError};
