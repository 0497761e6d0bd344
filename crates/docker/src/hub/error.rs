//! What can go wrong with Docker Hub's web API: what was tried, why it failed, and what to do about it. The
//! remedies are those of the miner's guide.

use std::fmt;
use std::time::Duration;

use adit_outbound::FetchError;

/// A call that failed. [`HubError::hint`] says what to do.
#[derive(Debug, thiserror::Error)]
#[error("{action}: {cause}")]
pub struct HubError {
    /// What was tried.
    pub action: Action,
    /// Why it failed.
    pub cause: Cause,
}

/// What was tried. Repositories are named `owner/name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// To log in.
    Login {
        /// The account.
        username: String,
    },
    /// To see whether a repository is there and private.
    Look {
        /// The repository.
        repository: String,
    },
    /// To make a private repository.
    Create {
        /// The repository.
        repository: String,
    },
    /// To let somebody pull.
    Add {
        /// The repository.
        repository: String,
        /// The other account.
        collaborator: String,
    },
    /// To see who may pull.
    List {
        /// The repository.
        repository: String,
        /// The account that is looked for.
        collaborator: String,
    },
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Login { username } => write!(f, "Docker Hub login as {username} failed"),
            Self::Look { repository } => write!(f, "Docker Hub repository {repository} cannot be looked at"),
            Self::Create { repository } => write!(f, "Docker Hub repository {repository} cannot be created"),
            // The first four words are the guide's.
            Self::Add { repository, collaborator } => {
                write!(f, "Failed to add collaborator {collaborator} to {repository}")
            }
            Self::List { repository, .. } => {
                write!(f, "Docker Hub does not show the collaborators of {repository}")
            }
        }
    }
}

/// Why a call failed. `said` is Docker Hub's own text on one line, empty where it gave none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// A name that cannot stand in a path. Nothing was sent.
    #[error("{0:?} is no name of Docker Hub: letters, digits, `.`, `_` and `-` only")]
    BadName(String),
    /// Status 401 at the login.
    #[error("the username and the access token do not fit{}", quoted(.said))]
    WrongToken {
        /// Docker Hub's text.
        said: String,
    },
    /// The access token's expiration date has passed.
    #[error("the access token has expired{}", quoted(.said))]
    TokenExpired {
        /// Docker Hub's text.
        said: String,
    },
    /// Status 401 after the login.
    #[error("the session has ended")]
    SessionEnded,
    /// The call is not open to sessions that were begun with an access token.
    #[error("not allowed with an access token{}", quoted(.said))]
    AccessTokenRefused {
        /// Docker Hub's text.
        said: String,
    },
    /// The access token may only read.
    #[error("the access token has no write permission{}", quoted(.said))]
    NoWritePermission {
        /// Docker Hub's text.
        said: String,
    },
    /// The account's plan allows no further private repository.
    #[error("the account's plan allows no further private repository{}", quoted(.said))]
    PrivateLimit {
        /// Docker Hub's text.
        said: String,
    },
    /// Status 429.
    #[error("too many requests; Docker Hub takes the next one {}", when(*.wait))]
    RateLimited {
        /// How long to wait, if Docker Hub says.
        wait: Option<Duration>,
    },
    /// A status from 500 on, each time it was tried.
    #[error("Docker Hub has an error of its own (status {status}, tried {attempts} times)")]
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
        /// Docker Hub's text.
        said: String,
    },
    /// An answer of another shape than Docker Hub's.
    #[error("the answer (status {status}) {why}")]
    Unreadable {
        /// The status.
        status: u16,
        /// What is wrong with it.
        why: &'static str,
    },
    /// No answer.
    #[error(transparent)]
    NoAnswer(FetchError),
}

fn quoted(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(" (Docker Hub says: {said})") }
}

fn when(wait: Option<Duration>) -> String {
    wait.map_or_else(|| "later".to_owned(), |wait| format!("in {} s", wait.as_secs()))
}

const NEW_TOKEN: &str = "make a new access token at https://hub.docker.com/settings/security with the permissions \
                         \"Read, Write, Delete\", and set DOCKERHUB_TOKEN to it";
const OTHER_API: &str = "see that ADIT_DOCKERHUB_API is Docker Hub's web API (unset: https://hub.docker.com)";
const SAME_AGAIN: &str = "repeat the command; what is done already is kept";

impl HubError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match &self.cause {
            Cause::BadName(_) => "correct DOCKERHUB_USERNAME, DOCKERHUB_REPO or ADIT_COLLABORATOR".to_owned(),
            Cause::WrongToken { .. } => format!(
                "check DOCKERHUB_USERNAME (the account's name, not its e-mail address) and DOCKERHUB_TOKEN (an access \
                 token, not the password); or {NEW_TOKEN}"
            ),
            Cause::TokenExpired { .. } => format!("{NEW_TOKEN}; \"Expiration Date: None\" spares this"),
            Cause::SessionEnded => format!("{SAME_AGAIN}; if it fails again, {NEW_TOKEN}"),
            Cause::NoWritePermission { .. } => {
                format!("Check your access token has write permissions: {NEW_TOKEN}{}", self.or_by_hand())
            }
            Cause::AccessTokenRefused { .. } => self.by_hand().unwrap_or_else(|| NEW_TOKEN.to_owned()),
            Cause::Refused { .. } => self.by_hand().unwrap_or_else(|| OTHER_API.to_owned()),
            Cause::PrivateLimit { .. } => {
                "delete another private repository of the account or make it public, take a larger plan at \
                 https://hub.docker.com/billing, or push to GitHub's registry: ADIT_REGISTRY=ghcr"
                    .to_owned()
            }
            Cause::RateLimited { .. } => format!("wait that long, then {SAME_AGAIN}"),
            Cause::Service { .. } => {
                format!("see https://www.dockerstatus.com, then {SAME_AGAIN}{}", self.or_by_hand())
            }
            Cause::Unreadable { .. } => format!("{OTHER_API}{}", self.or_by_hand()),
            Cause::NoAnswer(_) => {
                format!("check the network and ADIT_DOCKERHUB_API, then {SAME_AGAIN}{}", self.or_by_hand())
            }
        }
    }

    fn or_by_hand(&self) -> String {
        self.by_hand().map(|text| format!(". {text}")).unwrap_or_default()
    }

    /// How a person does the same in the web page, where that is possible.
    fn by_hand(&self) -> Option<String> {
        match &self.action {
            Action::Login { .. } | Action::Look { .. } => None,
            Action::Create { .. } => Some(
                "Try manually: DockerHub → My Hub → Repositories → Create a repository → Private \
                 (https://hub.docker.com/repository/create)"
                    .to_owned(),
            ),
            Action::Add { repository, collaborator } | Action::List { repository, collaborator } => {
                Some(share_by_hand(repository, collaborator))
            }
        }
    }
}

/// How a person shares `repository` (`owner/name`) with `collaborator` in the web page, or sees that it is shared.
#[must_use]
pub fn share_by_hand(repository: &str, collaborator: &str) -> String {
    format!(
        "Try manually: DockerHub → Your Repo → Settings → Collaborators → Add `{collaborator}` \
         (https://hub.docker.com/repository/docker/{repository})"
    )
}
