//! The rules as they are written, and the file that they come from.

use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::Deserialize;

/// The rules that hold where none are written, with a word on each.
pub const DEFAULT_RULES: &str = include_str!("alerts.toml");
/// A file of rules has a few hundred bytes.
const MAX_FILE: u64 = 64 * 1024;

/// When there is an alert.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// How often it is looked where somebody is to be told, in seconds.
    pub every_seconds: u64,
    /// How long nothing more is said of one cause, in minutes.
    pub quiet_minutes: u64,
    /// What is posted.
    pub form: Form,
    /// Minutes without an answer.
    pub down: Rule<Minutes>,
    /// Minutes without a challenge.
    pub no_challenge: Rule<Minutes>,
    /// Refusals that rise.
    pub refusals: Rule<Rise>,
    /// Deliveries that fail.
    pub deliveries: Rule<Share>,
    /// The part of the budget that is spent.
    pub budget: Rule<Part>,
    /// Minutes of a stake table's age.
    pub stakes: Rule<Minutes>,
    /// Days before a trust anchor ends.
    pub anchors: Rule<Days>,
    /// What the disk has free.
    pub disk: Rule<Free>,
    /// A uid that is lost.
    pub deregistered: Rule<Nothing>,
    /// Hours within which an image has answered.
    pub spot_check: Rule<Hours>,
    /// Hours since the clock jumped.
    pub clock: Rule<Hours>,
    /// A journal in trouble.
    pub journal: Rule<Nothing>,
}

/// What is posted to the webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// By the webhook's host.
    Auto,
    /// `content`.
    Discord,
    /// `text`.
    Slack,
    /// Every part of it under its own name.
    Json,
}

macro_rules! limits {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
        pub struct $name { $($(#[$field_doc])* pub $field: $type),* }
    )*};
}

limits! {
    /// So many minutes.
    Minutes { /** From 1 on. */ minutes: u64 }
    /// So many hours.
    Hours { /** From 1 on. */ hours: u64 }
    /// So many days.
    Days { /** From 1 on. */ days: u64 }
    /// A rise against the day before.
    Rise { /** Within an hour. */ at_least: u64, /** The mean of the day before. */ times: f64 }
    /// A share of some.
    Share { /** Of them. */ at_least: u64, /** 0 to 1. */ share: f64 }
    /// A part of a whole.
    Part { /** 0 to 1. */ share: f64 }
    /// Room on a disk.
    Free { /** 0 to 1. */ share: f64, /** In GiB. */ gib: f64 }
    /// No limit to set.
    Nothing {}
}

/// A rule, which may be off.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct Rule<T> {
    #[serde(default)]
    off: bool,
    #[serde(flatten)]
    limit: T,
}

impl<T> Rule<T> {
    /// Its limit, where it is on.
    pub fn on(&self) -> Option<&T> {
        (!self.off).then_some(&self.limit)
    }
}

/// Why there are no rules.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RulesError {
    /// The file cannot be read.
    #[error("cannot read the alerts' rules {path}: {source}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is no TOML, or holds what no rule is.
    #[error("{path}: {reason}", path = .path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What is wrong, with its line.
        reason: String,
    },
}

impl Default for Rules {
    fn default() -> Self {
        Self::parse("").unwrap_or_else(|reason| unreachable!("the rules of this program: {reason}"))
    }
}

impl Rules {
    /// Those of a file, and for what it leaves out those of [`DEFAULT_RULES`].
    ///
    /// # Errors
    /// Where it cannot be read, or says what no rule is.
    pub fn read(path: &Path) -> Result<Self, RulesError> {
        let file = |source| RulesError::File { path: path.to_owned(), source };
        if fs::metadata(path).map_err(file)?.len() > MAX_FILE {
            return Err(file(io::Error::other("it is larger than 64 KiB")));
        }
        let text = fs::read_to_string(path).map_err(file)?;
        Self::parse(&text).map_err(|reason| RulesError::Wrong { path: path.to_owned(), reason })
    }

    /// Those of a text.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let read = |text: &str| text.parse::<toml_edit::DocumentMut>().map_err(|error| error.to_string());
        let mut all = read(DEFAULT_RULES)?;
        let written = read(text)?;
        for (name, value) in written.iter() {
            let known = all.get_mut(name).ok_or_else(|| format!("there is no rule `{name}`"))?;
            match (known.as_table_mut(), value.as_table_like()) {
                (Some(known), Some(value)) => {
                    for (key, value) in value.iter() {
                        if key != "off" && !known.contains_key(key) {
                            return Err(format!("the rule `{name}` has no `{key}`"));
                        }
                        known.insert(key, value.clone());
                    }
                }
                (None, None) => *known = value.clone(),
                _ => return Err(format!("`{name}` is not of the kind that the rules have it")),
            }
        }
        let rules: Self = toml_edit::de::from_document(all).map_err(|error| error.to_string())?;
        rules.check()
    }

    fn check(self) -> Result<Self, String> {
        let wrong = |what: &str, expected: &str| Err(format!("{what} must be {expected}"));
        if !(10..=3600).contains(&self.every_seconds) {
            return wrong("every_seconds", "10 to 3600");
        }
        let shares = [
            ("share of deliveries", self.deliveries.limit.share),
            ("share of budget", self.budget.limit.share),
            ("share of disk", self.disk.limit.share),
        ];
        for (what, share) in shares {
            if !(0.0..=1.0).contains(&share) {
                return wrong(what, "0 to 1");
            }
        }
        if !self.refusals.limit.times.is_finite() || !self.disk.limit.gib.is_finite() {
            return wrong("times of refusals and gib of disk", "numbers");
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_stays_and_what_is_written_holds() {
        let rules = Rules::parse("quiet_minutes = 5\n[budget]\nshare = 0.5\n[disk]\noff = true\n").unwrap();
        assert_eq!(rules.quiet_minutes, 5);
        assert_eq!(rules.budget.on(), Some(&Part { share: 0.5 }));
        assert_eq!(rules.disk.on(), None);
        assert_eq!(rules.no_challenge, Rules::default().no_challenge);
        assert_eq!(Rules::parse(DEFAULT_RULES).unwrap(), Rules::default());
    }

    #[test]
    fn what_no_rule_is_is_named() {
        for (text, word) in [
            ("[budgets]\nshare = 0.5", "budgets"),
            ("[budget]\nshares = 0.5", "shares"),
            ("[budget]\nshare = 8", "share"),
            ("[budget]\nshare = \"half\"", "budget"),
            ("budget = 0.5", "budget"),
            ("quiet_minutes = -1", "quiet_minutes"),
            ("every_seconds = 1", "every_seconds"),
            ("form = \"pigeon\"", "pigeon"),
            ("[budget", "1"),
        ] {
            let error = Rules::parse(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = Rules::read(Path::new("/nowhere/alerts.toml")).unwrap_err().to_string();
        assert!(error.contains("/nowhere/alerts.toml"), "{error}");
    }
}
