//! Where a miner's journal is, by the settings.

use std::path::{Path, PathBuf};
use std::time::Duration;

use adit_settings::{Environment, SettingError, var};

use crate::{Journal, Limits, OpenError};

/// The smallest file: what is recorded of one challenge then always fits.
const SMALLEST: u64 = 1 << 20;
const LARGEST: u64 = 1 << 40;
const MOST_DAYS: u64 = 3650;

/// A journal that is to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub path: PathBuf,
    /// How much of it.
    pub limits: Limits,
}

impl Place {
    /// The file of this name in `ADIT_DATA_DIR`, with `ADIT_JOURNAL_BYTES` and `ADIT_JOURNAL_DAYS`. `None` where no record is
    /// wanted, and where there is no place for it (no `HOME`), which is said in the log.
    ///
    /// # Errors
    /// A setting out of range.
    pub fn from_settings(env: &Environment, file: &str) -> Result<Option<Self>, SettingError> {
        let expected = format!("0 or a whole number from {SMALLEST} to {LARGEST}");
        let bytes = env.parsed(&var::JOURNAL_BYTES, &expected)?;
        if bytes != 0 && !(SMALLEST..=LARGEST).contains(&bytes) {
            return Err(env.invalid(&var::JOURNAL_BYTES, &expected));
        }
        let expected = format!("a whole number from 1 to {MOST_DAYS}");
        let days: u64 = env.parsed(&var::JOURNAL_DAYS, &expected)?;
        if !(1..=MOST_DAYS).contains(&days) {
            return Err(env.invalid(&var::JOURNAL_DAYS, &expected));
        }
        if bytes == 0 {
            return Ok(None);
        }
        // A `~` that stayed means that there is no HOME.
        let Some(folder) = env.path(&var::DATA_FOLDER)?.filter(|folder| !folder.starts_with("~")) else {
            tracing::warn!("nothing is recorded: HOME is not set; ADIT_DATA_DIR names another place");
            return Ok(None);
        };
        let limits = Limits { bytes, age: Duration::from_secs(days * 86_400) };
        Ok(Some(Self { path: folder.join(file), limits }))
    }

    /// Opens it. `None`, with a warning, where that does not go: whoever records runs on without.
    #[must_use]
    pub fn open(&self) -> Option<Journal> {
        match Journal::open(&self.path, self.limits) {
            Ok(journal) => Some(journal),
            Err(error) => {
                tracing::warn!("nothing is recorded: {error}; {}", advice(&error, &self.path));
                None
            }
        }
    }
}

fn advice(error: &OpenError, path: &Path) -> String {
    match error {
        OpenError::Newer { .. } => format!("a newer Adit reads {}", path.display()),
        _ => "ADIT_DATA_DIR names another place".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(pairs: &[(&'static str, &'static str)]) -> Result<Option<Place>, SettingError> {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Place::from_settings(&Environment::layered(pairs, None).unwrap(), "miner.sqlite")
    }

    #[test]
    fn a_journal_is_kept_where_there_is_a_place_and_a_wish() {
        let home = ("HOME", "/home/m");
        let kept = place(&[home]).unwrap().unwrap();
        assert_eq!(kept.path, Path::new("/home/m/.local/share/adit/miner.sqlite"));
        assert_eq!(kept.limits, Limits::default());
        let told =
            [home, ("ADIT_DATA_DIR", "/d"), ("ADIT_JOURNAL_BYTES", "1048576"), ("ADIT_JOURNAL_DAYS", "1")];
        let kept = place(&told).unwrap().unwrap();
        assert_eq!(kept.path, Path::new("/d/miner.sqlite"));
        assert_eq!(kept.limits, Limits { bytes: 1 << 20, age: Duration::from_secs(86_400) });
        assert_eq!(place(&[home, ("ADIT_JOURNAL_BYTES", "0")]).unwrap(), None);
        assert_eq!(place(&[]).unwrap(), None);
    }

    #[test]
    fn each_wrong_value_names_its_variable() {
        for (name, value) in [
            ("ADIT_JOURNAL_BYTES", "-1"),
            ("ADIT_JOURNAL_BYTES", "1048575"),
            ("ADIT_JOURNAL_BYTES", "1099511627777"),
            ("ADIT_JOURNAL_DAYS", "0"),
            ("ADIT_JOURNAL_DAYS", "3651"),
            ("ADIT_JOURNAL_DAYS", "a month"),
        ] {
            let error = place(&[("HOME", "/h"), (name, value)]).unwrap_err().to_string();
            assert!(error.contains(name), "{name}={value}: {error}");
        }
    }

    #[test]
    fn a_place_that_cannot_be_written_leaves_the_miner_without() {
        let place = Place { path: "/dev/null/journal.sqlite".into(), limits: Limits::default() };
        assert!(place.open().is_none());
    }
}
