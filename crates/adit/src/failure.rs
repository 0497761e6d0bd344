//! What goes wrong, as the operator reads it: what, why, and what to type next.

use std::fmt;
use std::process::ExitCode;

use adit_chain::{ChainError, SubmitError};
use adit_docker::hub::HubError;
use adit_docker::{ContextError, EngineError};
use adit_http_server::ClipHostError;
use adit_keys::KeyFileError;
use adit_private_track::deployment::TargetError;
use adit_private_track::{ConfigError, StartError};

/// An error for the terminal.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    what: String,
    hint: Option<String>,
    exit_code: u8,
}

impl Failure {
    pub(crate) fn new(what: impl fmt::Display) -> Self {
        Self { what: what.to_string(), hint: None, exit_code: 1 }
    }

    /// The same failure where the command could not do what it is for, and 1 would be its answer.
    pub(crate) fn unanswered(mut self) -> Self {
        self.exit_code = 2;
        self
    }

    /// What the program ends with: 1 unless said otherwise.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.exit_code)
    }

    fn hinted(what: impl fmt::Display, hint: Option<impl Into<String>>) -> Self {
        Self { hint: hint.map(Into::into), ..Self::new(what) }
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
                Self::hinted(&error, error.hint())
            }
        }
    )*};
}

hinted!(
    ChainError,
    ConfigError,
    EngineError,
    StartError,
    SubmitError,
    TargetError,
    adit_generative::ConfigError,
    adit_generative::StartError,
);

impl From<HubError> for Failure {
    fn from(error: HubError) -> Self {
        Self::hinted(&error, Some(&error.hint()))
    }
}

impl From<ContextError> for Failure {
    fn from(error: ContextError) -> Self {
        Self::hinted(&error, Some(error.hint()))
    }
}

impl From<&KeyFileError> for Failure {
    fn from(error: &KeyFileError) -> Self {
        Self::hinted(error, error.hint())
    }
}

impl From<adit_turbo_vision::hub::HubError> for Failure {
    fn from(error: adit_turbo_vision::hub::HubError) -> Self {
        let hint = error.hint();
        Self::new(error).hint(hint)
    }
}

impl From<adit_turbo_vision::chutes::ChutesError> for Failure {
    fn from(error: adit_turbo_vision::chutes::ChutesError) -> Self {
        let hint = error.hint();
        Self::new(error).hint(hint)
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
    adit_generative::task::StoreError,
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
    adit_turbo_vision::template::TemplateError,
    std::io::Error,
);
