//! What can go wrong with Chutes: what was tried, why it failed, and what to do about it. No error holds a key.

use std::time::Duration;

use adit_outbound::{FetchError, Response};
use http::StatusCode;
use serde_json::Value;

/// A call that failed. [`ChutesError::hint`] says what to do.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing}: {cause}")]
pub struct ChutesError {
    /// What was tried, as in "cannot …".
    pub doing: String,
    /// Why it failed.
    pub cause: Cause,
    /// Whether a chute was asked, not the platform.
    of_chute: bool,
}

/// Why a call failed. `said` is the answer's own text on one line, empty where it gave none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// 401: nobody knows this key, or its signature.
    #[error("the key is not accepted (status 401){}", quoted(.said))]
    Unauthorized {
        /// The answer's text.
        said: String,
    },
    /// 402: the balance or the accepted fee is too small.
    #[error("Chutes wants payment first (status 402){}", quoted(.said))]
    Payment {
        /// The answer's text.
        said: String,
    },
    /// 403: the key is known and may not do this.
    #[error("not allowed (status 403){}", quoted(.said))]
    Forbidden {
        /// The answer's text.
        said: String,
    },
    /// 404.
    #[error("there is none, or none that belongs to this account (status 404){}", quoted(.said))]
    NotFound {
        /// The answer's text.
        said: String,
    },
    /// 409: it exists, or is in use.
    #[error("it is in the way of what is there already (status 409){}", quoted(.said))]
    Conflict {
        /// The answer's text.
        said: String,
    },
    /// 429.
    #[error("too many requests (status 429); the next one is taken {}{}", when(*.wait), quoted(.said))]
    RateLimited {
        /// How long to wait, if the answer says.
        wait: Option<Duration>,
        /// The answer's text.
        said: String,
    },
    /// Any other status that means no.
    #[error("refused with status {status}{}", quoted(.said))]
    Refused {
        /// The status.
        status: u16,
        /// The answer's text.
        said: String,
    },
    /// A status from 500 on, each time it was tried.
    #[error("an error of the service (status {status}, tried {}){}", times(*.attempts), quoted(.said))]
    Service {
        /// The last status.
        status: u16,
        /// How often it was tried.
        attempts: u32,
        /// The answer's text.
        said: String,
    },
    /// A page for people where there should be JSON.
    #[error("a web page came in place of an answer (status {status})")]
    Page {
        /// The status.
        status: u16,
    },
    /// An answer of another shape than the API's.
    #[error("the answer (status {status}) {why}")]
    Unreadable {
        /// The status.
        status: u16,
        /// What is wrong with it.
        why: String,
    },
    /// No answer. `carried_out` says whether the call may have been all the same.
    #[error("{error}{}", doubt(*.maybe_done))]
    NoAnswer {
        /// What happened.
        error: FetchError,
        /// Whether the other side may have acted on it.
        maybe_done: bool,
    },
    /// The answer said yes, and looking again does not show it.
    #[error("Chutes said that it was done, but {0}")]
    NotConfirmed(String),
    /// The deadline came before what was waited for.
    #[error("{0}")]
    OutOfTime(String),
}

impl ChutesError {
    pub(super) fn new(doing: impl Into<String>, cause: Cause) -> Self {
        Self { doing: doing.into(), cause, of_chute: false }
    }

    pub(super) fn of_chute(doing: impl Into<String>, cause: Cause) -> Self {
        Self { of_chute: true, ..Self::new(doing, cause) }
    }

    /// What to do next, as a sentence or two.
    #[must_use]
    pub fn hint(&self) -> String {
        match &self.cause {
            Cause::Page { .. } | Cause::Unreadable { .. } if self.of_chute => "Check that a chute is at this address \
                 (CHUTES_MINER_BASE_URL_TEMPLATE says where those at Chutes are); where it is, mend its code."
                .to_owned(),
            Cause::NoAnswer { .. } if self.of_chute => "See that the chute is up: `sv deploy-local-chute` serves one on \
                 this host; CHUTES_MINER_BASE_URL_TEMPLATE says where those at Chutes are."
                .to_owned(),
            Cause::Unauthorized { .. } => "Check CHUTES_API_KEY (a new key: https://chutes.ai, or `chutes keys create`), \
                 or the hotkey in ~/.chutes/config.ini; a clock that is wrong by minutes spoils signatures too."
                .to_owned(),
            Cause::Payment { .. } => "Top up the account at https://chutes.ai or by TAO to its payment address, then \
                 type the same command again."
                .to_owned(),
            Cause::Forbidden { .. } => "The key's scopes or the account's permissions do not cover this; use a key with \
                 admin scope of the account that owns the chute. Logs are shown of one's own private chutes only."
                .to_owned(),
            Cause::NotFound { .. } => {
                "Check the name or id and the account: `chutes chutes list` shows what it has.".to_owned()
            }
            Cause::Conflict { .. } => "Look at what is there (`chutes chutes list`, `chutes images list`); delete the old \
                 chute first, then its image, if they are not needed."
                .to_owned(),
            Cause::RateLimited { wait: Some(wait), .. } => format!("Try again in {} s.", wait.as_secs().max(1)),
            Cause::RateLimited { wait: None, .. } => {
                "Try again later; 24 builds and 24 deployments are allowed in 24 hours.".to_owned()
            }
            Cause::Refused { .. } => "Correct what the answer names, then try again.".to_owned(),
            Cause::Service { .. } => {
                "Try again in some minutes; https://status.chutes.ai tells of outages.".to_owned()
            }
            Cause::Page { .. } => "Check CHUTES_MINERS_ENDPOINT: it must name the API (https://api.chutes.ai). Where it \
                 does, something between here and there answers in its place; try again or from another network."
                .to_owned(),
            Cause::Unreadable { .. } => {
                "Check CHUTES_MINERS_ENDPOINT; where it names the API, its answers have changed: report it.".to_owned()
            }
            Cause::NoAnswer { maybe_done: true, .. } => {
                "It may have been done: look before doing it again (`chutes chutes list`).".to_owned()
            }
            Cause::NoAnswer { .. } => {
                "Check this host's network and CHUTES_MINERS_ENDPOINT, then try again.".to_owned()
            }
            Cause::NotConfirmed(_) => "Look again in a minute, and repeat the step if it still does not show.".to_owned(),
            Cause::OutOfTime(_) => "Try again with more time; what was begun goes on at Chutes.".to_owned(),
        }
    }

    /// Whether there is none of what was asked for.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self.cause, Cause::NotFound { .. })
    }
}

impl Cause {
    /// What an answer that is not the hoped-for one means. The secrets are taken out of its text.
    pub(super) fn of(answer: &Response, attempts: u32, secrets: &[Option<&str>]) -> Self {
        let page = is_page(answer);
        // What stands before a service that is down has a page for that, which says no more than the status.
        if page && !answer.status.is_server_error() {
            return Self::Page { status: answer.status.as_u16() };
        }
        let said = if page { String::new() } else { said(&answer.body, secrets) };
        Self::of_status(answer.status, attempts, said, || answer.retry_after(std::time::SystemTime::now()))
    }

    pub(super) fn of_status(
        status: StatusCode,
        attempts: u32,
        said: String,
        wait: impl FnOnce() -> Option<Duration>,
    ) -> Self {
        match status.as_u16() {
            401 => Self::Unauthorized { said },
            402 => Self::Payment { said },
            403 => Self::Forbidden { said },
            404 => Self::NotFound { said },
            409 => Self::Conflict { said },
            429 => Self::RateLimited { wait: wait(), said },
            status @ 500.. => Self::Service { status, attempts, said },
            status => Self::Refused { status, said },
        }
    }

    /// What a request without an answer means. Where nothing was sent or a repetition does no harm, there is no doubt.
    pub(super) fn no_answer(error: FetchError, repeatable: bool) -> Self {
        let sent = !matches!(
            error,
            FetchError::Setup { .. }
                | FetchError::BadUrl { .. }
                | FetchError::Refused { .. }
                | FetchError::Connect { .. }
        );
        match error {
            FetchError::Status { status, .. } => Self::of_status(
                StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
                1,
                String::new(),
                || None,
            ),
            error => Self::NoAnswer { error, maybe_done: sent && !repeatable },
        }
    }

    pub(super) fn unreadable(answer: &Response, why: impl Into<String>) -> Self {
        let status = answer.status.as_u16();
        if is_page(answer) { Self::Page { status } } else { Self::Unreadable { status, why: why.into() } }
    }
}

fn is_page(answer: &Response) -> bool {
    let claimed = answer.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let start = answer.body.trim_ascii_start();
    claimed.is_some_and(|kind| kind.starts_with("text/html"))
        || start.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"<html"))
        || start.get(..9).is_some_and(|start| start.eq_ignore_ascii_case(b"<!doctype"))
}

/// The text of a refusal, on one line, of bounded length and without the secrets.
pub(super) fn said(body: &[u8], secrets: &[Option<&str>]) -> String {
    let text = match serde_json::from_slice::<Value>(body) {
        Ok(json) => match json.get("detail").or_else(|| json.get("message")) {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => json.to_string(),
        },
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    let secrets = secrets.iter().flatten().filter(|secret| !secret.is_empty());
    let text = secrets.fold(text, |text, secret| text.replace(secret, "…"));
    text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect()
}

fn quoted(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(": {said}") }
}

fn when(wait: Option<Duration>) -> String {
    wait.map_or_else(|| "later".to_owned(), |wait| format!("in {} s", wait.as_secs().max(1)))
}

fn times(attempts: u32) -> String {
    if attempts == 1 { "once".to_owned() } else { format!("{attempts} times") }
}

fn doubt(maybe_done: bool) -> &'static str {
    if maybe_done { "; whether it was carried out is not known" } else { "" }
}
