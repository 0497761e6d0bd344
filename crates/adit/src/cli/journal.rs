//! The arguments of `adit journal`.

use clap::{Args, ValueEnum};

/// Most entries that are printed at once.
const MOST: u32 = 100_000;

#[derive(Debug, Args)]
pub(crate) struct ShowJournal {
    /// Whose
    #[arg(value_enum, default_value = "private-track")]
    pub(crate) miner: Recorded,
    /// Only what happened so: challenge, refused, started, stopped, chain, task, …
    #[arg(long, value_name = "EVENT")]
    pub(crate) event: Option<String>,
    /// Only what was recorded after the entry of this number (`id`), and of that the oldest
    #[arg(long, value_name = "ID", conflicts_with_all = ["event", "since_days"])]
    pub(crate) after: Option<i64>,
    /// The newest so many
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST)))]
    pub(crate) limit: u32,
    /// Only of the last so many days
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub(crate) since_days: Option<u32>,
}

/// A journal of this host.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Recorded {
    /// Subnet 44's private track
    PrivateTrack,
    /// Subnet 34's generative track
    Generative,
    /// Subnet 44's open track
    TurboVision,
}

impl Recorded {
    /// Its file in the data folder.
    pub(crate) fn file(self) -> &'static str {
        match self {
            Self::PrivateTrack => adit_journal::PRIVATE_TRACK,
            Self::Generative => adit_journal::GENERATIVE,
            Self::TurboVision => adit_journal::TURBO_VISION,
        }
    }
}
