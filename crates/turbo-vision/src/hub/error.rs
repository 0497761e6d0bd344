//! What can go wrong with Hugging Face: what was tried, why it failed, and what to do about it.

use std::fmt;
use std::time::Duration;

use adit_outbound::FetchError;

use super::{Commit, RepositoryName};

/// A call that failed. [`HubError::hint`] says what to do.
#[derive(Debug, thiserror::Error)]
#[error("{action}: {cause}")]
pub struct HubError {
    /// What was tried.
    pub action: Action,
    /// Why it failed.
    pub cause: Cause,
}

/// What was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// To set up the client.
    Setup,
    /// To ask whose token it is.
    Whoami,
    /// To make a repository, or see that it is there.
    Ensure(RepositoryName),
    /// To make a repository private or public.
    SetPrivate(RepositoryName, bool),
    /// To look at a repository.
    Look(RepositoryName),
    /// To find the commit of a revision.
    Resolve(RepositoryName, String),
    /// To list the files of a revision.
    List(RepositoryName, String),
    /// To download a file.
    Download(RepositoryName, String),
    /// To push a folder.
    Push(RepositoryName),
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setup => write!(f, "Hugging Face cannot be reached"),
            Self::Whoami => write!(f, "Hugging Face does not say whose token this is"),
            Self::Ensure(name) => write!(f, "Hugging Face repository {name} cannot be made sure of"),
            Self::SetPrivate(name, private) => {
                let what = if *private { "private" } else { "public" };
                write!(f, "Hugging Face repository {name} cannot be made {what}")
            }
            Self::Look(name) => write!(f, "Hugging Face repository {name} cannot be looked at"),
            Self::Resolve(name, revision) => {
                write!(f, "revision {revision:?} of Hugging Face repository {name} cannot be found")
            }
            Self::List(name, revision) => {
                write!(f, "the files of Hugging Face repository {name} at {revision} cannot be listed")
            }
            Self::Download(name, path) => {
                write!(f, "{path} of Hugging Face repository {name} cannot be downloaded")
            }
            Self::Push(name) => write!(f, "the folder was not pushed to Hugging Face repository {name}"),
        }
    }
}

/// Why a call failed. `said` is the Hub's own text on one line, empty where it gave none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// The address of the Hub is no URL.
    #[error("{0:?} is no http or https address")]
    BadEndpoint(String),
    /// A revision that no repository can have. Nothing was sent.
    #[error("{0:?} is no name of a branch, tag or commit")]
    BadRevision(String),
    /// A path that no repository can have. Nothing was sent.
    #[error("{0:?} is no path of a file")]
    BadPath(String),
    /// There is no token, and the call needs one.
    #[error("there is no token")]
    NoToken,
    /// Status 401 to a token.
    #[error("the token is not accepted{}", quoted(.said))]
    WrongToken {
        /// The Hub's text.
        said: String,
    },
    /// The token may not write there.
    #[error("the token may not write there{}", quoted(.said))]
    NoWriteAccess {
        /// The Hub's text.
        said: String,
    },
    /// No such repository, or one that this token may not see: the Hub tells nobody which.
    #[error("there is no such repository, or the token may not see it{}", quoted(.said))]
    Missing {
        /// The Hub's text.
        said: String,
    },
    /// Without a token: a private repository, or none. The Hub tells nobody which.
    #[error("without a token the repository cannot be seen: it is private, or there is none{}", quoted(.said))]
    PrivateOrMissing {
        /// The Hub's text.
        said: String,
    },
    /// The repository asks everybody for consent first.
    #[error("the repository is gated{}", quoted(.said))]
    Gated {
        /// The Hub's text.
        said: String,
    },
    /// The repository is there, the revision is not.
    #[error("the repository has no such revision{}", quoted(.said))]
    NoRevision {
        /// The Hub's text.
        said: String,
    },
    /// The revision is there, the file is not.
    #[error("that revision has no such file{}", quoted(.said))]
    NoFile {
        /// The Hub's text.
        said: String,
    },
    /// Status 409.
    #[error("it is in conflict with what is there{}", quoted(.said))]
    Conflict {
        /// The Hub's text.
        said: String,
    },
    /// Somebody else committed in the meantime.
    #[error(
        "somebody else committed to the repository while the folder was being pushed, so nothing was committed"
    )]
    Moved,
    /// Status 429.
    #[error("too many requests; Hugging Face takes the next one {}", when(*.wait))]
    RateLimited {
        /// How long to wait, if the Hub says.
        wait: Option<Duration>,
    },
    /// A status from 500 on, each time it was tried.
    #[error("Hugging Face has an error of its own (status {status}, tried {attempts} times)")]
    Service {
        /// The last status.
        status: u16,
        /// How often it was tried.
        attempts: u32,
    },
    /// Any other status that means no.
    #[error("refused with status {status}{}", quoted(.said))]
    Refused {
        /// The status.
        status: u16,
        /// The Hub's text.
        said: String,
    },
    /// An answer of another shape than the Hub's.
    #[error("the answer (status {status}) {why}")]
    Unreadable {
        /// The status.
        status: u16,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The Hub said yes, and shows another state.
    #[error("Hugging Face took the change, but does not show it: {0}")]
    NotTaken(&'static str),
    /// A file that was selected cannot be read any more.
    #[error("{path} cannot be read: {cause}")]
    Read {
        /// The file, within the folder.
        path: String,
        /// The system's error.
        cause: std::io::Error,
    },
    /// A file is not what it was when it was selected.
    #[error("{path} changed while the folder was being pushed, so nothing was committed")]
    Changed {
        /// The file, within the folder.
        path: String,
    },
    /// The storage behind the Hub does not take a file.
    #[error("{path} was not stored: {cause}")]
    Storage {
        /// The file, within the folder.
        path: String,
        /// Why.
        cause: Box<Cause>,
    },
    /// The time for the whole push is over.
    #[error("not done within {} s; what was stored by then stays stored", .0.as_secs())]
    OutOfTime(Duration),
    /// The commit was sent, and it cannot be seen whether it was made as it should be.
    #[error("the commit was sent, and whether it is there as it should be is not known: {0}")]
    Unknown(Box<Cause>),
    /// No answer.
    #[error(transparent)]
    NoAnswer(FetchError),
}

fn quoted(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(" (Hugging Face says: {said})") }
}

fn when(wait: Option<Duration>) -> String {
    wait.map_or_else(|| "later".to_owned(), |wait| format!("in {} s", wait.as_secs()))
}

const NEW_TOKEN: &str = "make a token of the kind \"Write\" (or a fine-grained one that may write to this repository) at \
                         https://huggingface.co/settings/tokens, and set HF_TOKEN to it";

impl HubError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        // What is only asked stores nothing.
        let again = match self.action {
            Action::Push(_) => "repeat the command: what is stored already is not sent again",
            _ => "repeat the command",
        };
        self.cause.hint(again)
    }
}

impl Cause {
    fn hint(&self, again: &str) -> String {
        match self {
            Self::BadEndpoint(_) | Self::Unreadable { .. } => {
                "see that the Hub's address is right (usually https://huggingface.co) and that no login page of a network \
                 stands before it"
                    .to_owned()
            }
            Self::BadRevision(_) => "name a branch such as main, a tag, or a commit by its hexadecimal id".to_owned(),
            Self::BadPath(_) => "name a file by its path within the repository, such as weights/best.onnx".to_owned(),
            Self::NoToken | Self::NoWriteAccess { .. } => NEW_TOKEN.to_owned(),
            Self::WrongToken { .. } => format!("check HF_TOKEN, which begins with hf_; or {NEW_TOKEN}"),
            Self::Missing { .. } => {
                "check HF_USER, and that HF_TOKEN is this account's; if this is the first time, push a folder with \
                 --model-path"
                    .to_owned()
            }
            Self::PrivateOrMissing { .. } => "set HF_TOKEN to a token of the repository's owner".to_owned(),
            Self::Gated { .. } => {
                "switch \"Access requests\" off in the repository's settings: validators skip gated models".to_owned()
            }
            Self::NoRevision { .. } => {
                "see the repository's commits on huggingface.co, and name one of them, or main".to_owned()
            }
            Self::NoFile { .. } => "see the repository's files on huggingface.co".to_owned(),
            Self::Conflict { .. } | Self::Moved => {
                "see on huggingface.co what was committed, then push again: a revision is one whole folder, so two pushes \
                 are never mixed"
                    .to_owned()
            }
            Self::RateLimited { .. } => format!("wait that long, then {again}"),
            Self::Service { .. } => format!("see https://status.huggingface.co, then {again}"),
            Self::Refused { status: 402 | 413, .. } => {
                "see the account's storage at https://huggingface.co/settings/billing".to_owned()
            }
            Self::Refused { .. } | Self::NotTaken(_) => {
                "see the repository's settings on huggingface.co, where the same can be done by hand".to_owned()
            }
            Self::Read { .. } => "see to its owner and permissions, then push again".to_owned(),
            Self::Changed { .. } => "stop what writes to the folder, then push again".to_owned(),
            Self::Storage { cause, .. } => cause.hint(again),
            Self::OutOfTime(_) => again.to_owned(),
            Self::Unknown(_) => "see the newest commit on huggingface.co; pushing again makes no second one where it was made"
                .to_owned(),
            Self::NoAnswer(_) => format!("check the network and the Hub's address, then {again}"),
        }
    }
}

/// The name of a repository that cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no name of a Hugging Face repository: it is owner/name, each of letters, digits, `.`, `_` and `-`, at most 96"
)]
pub struct BadName(pub String);

/// A text that is no commit's id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no commit: its id has 40 hexadecimal digits; a branch or a shorter id is to be resolved first"
)]
pub struct NotACommit(pub String);

impl From<Commit> for String {
    fn from(commit: Commit) -> Self {
        commit.to_string()
    }
}
