//! What goes wrong, as the operator reads it: what, why, and what to type next.

use std::fmt;

use adit_chain::{ChainError, SubmitError};
use adit_docker::hub::HubError;
use adit_docker::{ContextError, EngineError};
use adit_keys::KeyFileError;
use adit_private_track::deployment::TargetError;
use adit_private_track::rehearsal::ClipHostError;
use adit_private_track::{ConfigError, StartError};

/// An error for the terminal. Ends the program with exit code 1.
#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(what: impl fmt::Display) -> Self {
        Self { what: what.to_string(), hint: None }
    }

    /// What went wrong, and what to do about it.
    pub(crate) fn parts(&self) -> (&str, Option<&str>) {
        (&self.what, self.hint.as_deref())
    }

    /// The same failure with one more thing to know.
    pub(crate) fn and(mut self, more: &str) -> Self {
        self.hint = Some(match self.hint {
            Some(hint) => format!("{hint}. {more}"),
            None => more.to_owned(),
        });
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.what)?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

/// Errors that have a hint, but not always.
macro_rules! hinted {
    ($($error:ty),* $(,)?) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self { hint: error.hint().map(str::to_owned), what: error.to_string() }
            }
        }
    )*};
}

hinted!(ChainError, ConfigError, EngineError, StartError, SubmitError, TargetError);

impl From<HubError> for Failure {
    fn from(error: HubError) -> Self {
        Self { hint: Some(error.hint()), what: error.to_string() }
    }
}

impl From<ContextError> for Failure {
    fn from(error: ContextError) -> Self {
        Self { hint: Some(error.hint().to_owned()), what: error.to_string() }
    }
}

impl From<&KeyFileError> for Failure {
    fn from(error: &KeyFileError) -> Self {
        Self { hint: error.hint().map(str::to_owned), what: error.to_string() }
    }
}

impl From<KeyFileError> for Failure {
    fn from(error: KeyFileError) -> Self {
        Self::from(&error)
    }
}

/// Errors whose text already says what to do.
macro_rules! plain {
    ($($error:ty),* $(,)?) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::new(error)
            }
        }
    )*};
}

plain!(
    adit_chain::EndpointError,
    adit_docker::RegistryError,
    adit_private_track::deployment::BakedError,
    adit_private_track::spot_check::JobError,
    adit_settings::SettingError,
    adit_keys::MessageError,
    adit_keys::PasswordError,
    adit_keys::PhraseError,
    adit_keys::SeedError,
    adit_keys::UriError,
    adit_keys::WalletNameError,
    adit_media::MediaError,
    adit_outbound::FetchError,
    ClipHostError,
    std::io::Error,
);
