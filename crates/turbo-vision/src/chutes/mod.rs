//! chutes.ai, where a model runs: the platform's API ([`Api`]), the calls to a chute itself ([`Chute`]), and the two
//! steps that only its Python program can do ([`cli`]).
//!
//! The API is described in the Turbo Vision reference, section 5. What it says is done counts when it is read back.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use adit_outbound::{AddressGuard, Client};
//! use adit_turbo_vision::chutes::{Api, Auth, Chute};
//! use tokio::time::{Duration, Instant};
//!
//! let client = Client::new(AddressGuard::unrestricted())?;
//! let auth = Auth::api_key("cpk_…".into())?;
//! let api = Api::new(client.clone(), "https://api.chutes.ai", auth);
//! let deadline = Instant::now() + Duration::from_secs(60);
//! if let Some(info) = api.chute("turbovision-miner-otter", deadline).await? {
//!     let chute = Chute::new(client, &format!("https://{}.chutes.ai", info.slug), Some("cpk_…".into()));
//!     println!("{:?}", chute.health(deadline).await?);
//! }
//! # Ok(())
//! # }
//! ```

mod api;
mod auth;
mod chute;
pub mod cli;
mod config;
mod error;
pub mod ids;
mod logs;
mod records;
mod register;

use std::time::Duration;

pub use api::{Api, DEFAULT_API, MIN_BUILD_BALANCE};
pub use auth::{ApiKeyError, Auth};
pub use chute::{Chute, Health, Prediction, Unhealthy};
pub use config::{Config, ConfigError};
pub use error::{Cause, ChutesError};
pub use logs::{BuildLog, InstanceLogs};
pub use records::{
    Account, ChuteInfo, Deleted, ImageFate, ImageInfo, Instance, SecretInfo, SecretPut, Share,
};
pub use register::{Registration, bad_username, register, registration_base};

/// This long, give or take 15 %, as validators wait too: many clients that failed together do not come back together.
fn jittered(pause: Duration) -> Duration {
    let mut random = [0; 4];
    // Without randomness the pause is what it is.
    let drawn = match getrandom::getrandom(&mut random) {
        Ok(()) => f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX),
        Err(_) => 0.5,
    };
    pause.mul_f64(0.85 + 0.3 * drawn)
}
