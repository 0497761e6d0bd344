//! Why a remote model did not answer.

use std::fmt;
use std::time::Duration;

use adit_outbound::FetchError;

use super::Server;

/// Why a remote model cannot be used, or did not answer.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum OipError {
    /// There is nothing to ask.
    #[error("no model server is named; write one or more, such as http://10.0.0.2:8000/v2/models/spotter")]
    NoServers,
    /// There is no HTTP client on this host.
    #[error(transparent)]
    Client(#[from] FetchError),
    /// The token cannot be sent. It is not shown.
    #[error(
        "the token of the model servers holds a line end or another character that no HTTP header may hold"
    )]
    Token,
    /// No server was there until the deadline of the start.
    #[error("no server of the model is there: {0}")]
    NoneThere(Failures),
    /// A server has a model that is not of the kind that Adit runs.
    #[error(
        "{server} serves a model that cannot be used: {what}; export it with one input, of FP32 or UINT8"
    )]
    Unusable {
        /// Which server.
        server: Box<Server>,
        /// What is otherwise.
        what: String,
    },
    /// Two servers have different models.
    #[error(
        "{one} and {other} do not serve the same model: {what}; serve one file on both, or name the version in the URL"
    )]
    Disagree {
        /// One server.
        one: Box<Server>,
        /// Another one.
        other: Box<Server>,
        /// In what they differ.
        what: String,
    },
    /// The input is not what the model takes. Nothing was sent.
    #[error("the input does not fit the model: {what}; mend model.toml")]
    Input {
        /// What is otherwise.
        what: String,
    },
    /// A server found fault with the call. No other one is asked, since they have the same model.
    #[error("{server} refused the call with {status}: {said}{hint}")]
    Refused {
        /// Which server.
        server: Box<Server>,
        /// HTTP's status, or gRPC's.
        status: String,
        /// Its own words, shortened; for the log, not for strangers.
        said: String,
        /// What to do, where that is known.
        hint: &'static str,
    },
    /// Every server that could be asked was, and none had an answer that can be used.
    #[error("no server of the model answered: {0}")]
    Failed(Failures),
    /// No server was up, and none came back within the time that is worth waiting.
    #[error("no server of the model is up: {0}")]
    NoneUp(Failures),
    /// The caller's deadline passed.
    #[error("no server of the model answered until the deadline: {0}")]
    Deadline(Failures),
}

/// What became of each server that matters to an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failures(pub(super) Vec<(Server, String)>);

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (server, what)) in self.0.iter().enumerate() {
            let semicolon = if index > 0 { "; " } else { "" };
            write!(f, "{semicolon}{server} {what}")?;
        }
        Ok(())
    }
}

/// How one call to one server failed. The texts go on after the server's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// The call is at fault: another server would say the same.
    Refused { status: String, said: String, hint: &'static str },
    /// It has no room now.
    Busy { said: String, wait: Option<Duration> },
    /// It could not be reached, broke off, or has a fault of its own.
    Broken(String),
    /// It had no answer in time.
    Slow(Duration),
    /// Its answer is not what its metadata promised.
    Wrong(String),
    /// Its model is not of the kind that Adit runs.
    Unusable(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { status, said, hint } => write!(f, "refused the call with {status}: {said}{hint}"),
            Self::Busy { said, .. } => write!(f, "is busy: {said}"),
            Self::Broken(what) => f.write_str(what),
            Self::Slow(limit) => write!(f, "had no answer within {:.1} s", limit.as_secs_f32()),
            Self::Wrong(what) => write!(f, "gave an answer that cannot be used: {what}"),
            Self::Unusable(what) => write!(f, "serves a model that cannot be used: {what}"),
        }
    }
}

/// What a server said, as it may be shown: one line, shortened.
pub(super) fn shown(said: &str) -> String {
    let line: String = said.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect();
    if line.is_empty() { "(no text)".to_owned() } else { line }
}

impl Failure {
    /// What came of a request whose answer had to be there within `limit`.
    pub(super) fn of(error: &FetchError, limit: Duration) -> Self {
        match error {
            FetchError::Deadline { .. } | FetchError::Idle { .. } => Self::Slow(limit),
            FetchError::Connect { cause, .. } => {
                Self::Broken(format!("cannot be reached ({cause}): is it running?"))
            }
            FetchError::Lost { cause, .. } => Self::Broken(format!(
                "closed the connection without an answer ({cause}); it may be ending, or speak another protocol on this port"
            )),
            FetchError::Interrupted { received, .. } => Self::Broken(format!(
                "closed the connection in the middle of its answer, after {received} bytes"
            )),
            FetchError::TooLarge { limit, .. } => Self::Wrong(format!("it is larger than {limit} bytes")),
            other => Self::Broken(format!("failed: {other}")),
        }
    }
}
