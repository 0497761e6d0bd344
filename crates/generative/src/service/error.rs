//! What can go wrong with a provider, told apart by what may be done next.

use std::fmt;
use std::io;
use std::time::{Duration, SystemTime};

use adit_outbound::{FetchError, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Provider, Service, Unreadable};

/// Most characters of a provider's own words in an error.
const WORDS: usize = 300;

/// What was being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// The paid call.
    Start,
    /// Asking for a job.
    Poll,
    /// Bringing the media.
    Fetch,
    /// Asking about a call in doubt.
    Reconcile,
    /// Asking whether the key is accepted.
    Account,
}

/// What a failure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The API key is not accepted: nothing works until the operator acts.
    Auth,
    /// The account has no money left: nothing works until the operator acts.
    Quota,
    /// The provider does not make this: another one may.
    Policy,
    /// Too many requests. Not carried out; the same again later.
    RateLimited,
    /// Not carried out, or, in a step that costs nothing, not known to be. The same again later.
    Transient,
    /// A paid call that may have been carried out. Never the same again.
    InDoubt,
    /// Carried out, and nothing came of it. Another attempt is another payment.
    Failed,
    /// The link is not served any more. A job can be polled for another one; without a job, the media are lost.
    Expired,
    /// The provider does not understand what it was asked, or is not what it should be. The same again would fail
    /// again.
    Bug,
}

impl Kind {
    /// Whether the same step may be done again without another payment.
    #[must_use]
    pub fn is_repeatable(self) -> bool {
        matches!(self, Self::RateLimited | Self::Transient)
    }

    fn phrase(self) -> &'static str {
        match self {
            Self::Auth => "the API key is refused",
            Self::Quota => "the account has no credit left for this",
            Self::Policy => "the content is refused",
            Self::RateLimited => "too many requests",
            Self::Transient => "it does not work at the moment",
            Self::InDoubt => "nobody knows whether the paid call was carried out",
            Self::Failed => "the generation failed",
            Self::Expired => "the link to the media has run out",
            Self::Bug => "this was not to be expected",
        }
    }
}

/// A step that failed. The text is one line, of bounded length, without the API key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceError {
    /// Who was asked.
    pub provider: Provider,
    /// What for.
    pub step: Step,
    /// What it means.
    pub kind: Kind,
    /// How long the provider asks to be left alone, at most a day.
    pub retry_after: Option<Duration>,
    /// Whether money may have been spent on the attempt that this ends or leaves open.
    pub may_have_cost: bool,
    /// What happened, in part in the provider's own words.
    pub said: String,
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.provider, self.kind.phrase())?;
        if self.said.is_empty() { Ok(()) } else { write!(f, ": {}", self.said) }
    }
}

impl std::error::Error for ServiceError {}

/// Why media did not get into a file.
#[derive(Debug, thiserror::Error)]
pub enum FetchMediaError {
    /// The provider did not give them.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The file did not take them.
    #[error("cannot write the media: {0}")]
    Write(#[source] io::Error),
}

impl Service {
    /// An error in words of our own, or, where `said` has the provider's, cleaned of what may be in them.
    pub(super) fn error(&self, step: Step, kind: Kind, said: &str) -> ServiceError {
        ServiceError {
            provider: self.provider,
            step,
            kind,
            retry_after: None,
            // Where there is something to poll, the call was taken.
            may_have_cost: step != Step::Start || matches!(kind, Kind::InDoubt | Kind::Failed),
            said: self.one_line(said),
        }
    }

    /// One line without control characters, without the key, and of bounded length.
    fn one_line(&self, text: &str) -> String {
        let spaced: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let words = spaced.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut clean = self.without_key(words);
        if let Some((end, _)) = clean.char_indices().nth(WORDS) {
            clean.truncate(end);
            clean.push('…');
        }
        clean
    }

    /// A request that got no answer, or none that is whole.
    pub(super) fn unanswered(&self, step: Step, error: &FetchError) -> ServiceError {
        let kind = match error {
            FetchError::Connect { .. } => Kind::Transient,
            FetchError::Setup { .. }
            | FetchError::BadUrl { .. }
            | FetchError::Refused { .. }
            | FetchError::Redirect { .. } => Kind::Bug,
            FetchError::TooLarge { .. } if step == Step::Fetch => Kind::Failed,
            FetchError::Status { status, .. } => self.meaning(step, *status, &Complaint::default()),
            _ if step == Step::Start => Kind::InDoubt,
            _ => Kind::Transient,
        };
        self.error(step, kind, &error.to_string())
    }

    /// An answer that is no success.
    pub(super) fn refused(&self, step: Step, answer: &Response) -> ServiceError {
        let body = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        let complaint = Complaint::of(&body);
        let kind = self.meaning(step, answer.status.as_u16(), &complaint);
        let mut said = format!("status {}", answer.status.as_u16());
        if answer.status.is_redirection() {
            said += ", a redirect, which is not followed: is the base URL right?";
        }
        for words in [&complaint.code, &complaint.message] {
            if !words.is_empty() {
                said += &format!(", {words}");
            }
        }
        if kind == Kind::Auth {
            said += &format!("; is {} right?", self.provider.key_variable());
        }
        let mut error = self.error(step, kind, &said);
        error.retry_after = answer.retry_after(SystemTime::now());
        error
    }

    /// What a status means, with what the provider adds to it.
    fn meaning(&self, step: Step, status: u16, complaint: &Complaint) -> Kind {
        let paid = step == Step::Start;
        match status {
            400..=499 if complaint.is_about_money() => Kind::Quota,
            402 => Kind::Quota,
            400 | 403 | 422 if complaint.is_about_content() => Kind::Policy,
            // OpenRouter and Stability AI refuse content so, and keys by 401.
            401 | 403 => Kind::Auth,
            409 | 425 => Kind::Transient,
            429 => Kind::RateLimited,
            // A job may be known a moment after its name is given.
            404 if !paid => Kind::Transient,
            // A gateway gave up on what is behind it, which may go on. Where the provider itself says so in its own
            // form, or documents that it sheds load so, it does not.
            408 | 502 | 504 | 520..=527
                if paid && complaint.is_empty() && self.provider != Provider::Runway =>
            {
                Kind::InDoubt
            }
            408 | 500..=599 => Kind::Transient,
            _ => Kind::Bug,
        }
    }

    /// A success that is of no use. It may have been paid for, whatever it is.
    pub(super) fn unreadable(&self, unreadable: Unreadable, answer: &Response) -> ServiceError {
        let mut error = match unreadable {
            Unreadable::Words(words) => {
                self.error(Step::Start, Kind::Policy, &format!("the model answered in words: {words}"))
            }
            Unreadable::NoMedia => self.error(Step::Start, Kind::Failed, "the answer has no media in it"),
            Unreadable::Garbage(what) => self.error(Step::Start, Kind::Failed, what),
            Unreadable::Shape => self.misshapen(answer),
        };
        error.may_have_cost = true;
        error
    }

    fn misshapen(&self, answer: &Response) -> ServiceError {
        let Ok(body) = serde_json::from_slice::<Value>(&answer.body) else {
            let what = describe(&answer.body);
            let said = format!("it answered with status {} and {what}", answer.status.as_u16());
            return self.error(Step::Start, Kind::InDoubt, &said);
        };
        // OpenRouter reports so what happened after its model had begun: an error in the body of a success.
        let complaint = Complaint::of(&body);
        if complaint.is_empty() {
            return self.error(
                Step::Start,
                Kind::InDoubt,
                "its answer is not of the form that it should have",
            );
        }
        let status = complaint.code.parse().unwrap_or_default();
        let kind = match self.meaning(Step::Start, status, &complaint) {
            kind @ (Kind::Auth | Kind::Quota | Kind::Policy) => kind,
            _ if complaint.is_about_content() => Kind::Policy,
            _ => Kind::Failed,
        };
        self.error(Step::Start, kind, &format!("{} {}", complaint.code, complaint.message))
    }

    /// A job that has ended without media.
    pub(super) fn job_failed(&self, code: &str, said: &str) -> ServiceError {
        let complaint = Complaint { code: code.to_owned(), message: said.to_owned() };
        let kind = if complaint.is_about_content() { Kind::Policy } else { Kind::Failed };
        self.error(Step::Poll, kind, &format!("{code} {said}"))
    }
}

/// What kind of body is no JSON.
fn describe(body: &[u8]) -> &'static str {
    let start = body.trim_ascii_start();
    if start.is_empty() {
        "an empty body"
    } else if start.starts_with(b"<") {
        "a page for people"
    } else {
        "a body that is no JSON"
    }
}

/// The words of an error, in any of the providers' forms.
#[derive(Default)]
struct Complaint {
    code: String,
    message: String,
}

impl Complaint {
    fn of(body: &Value) -> Self {
        let text = |value: &Value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        let error = &body["error"];
        // OpenAI and OpenRouter; Stability AI; Runway.
        let code = [&error["code"], &error["type"], &body["name"]].into_iter().find_map(text);
        let message =
            [&error["message"], error, &body["errors"][0], &body["message"]].into_iter().find_map(text);
        let mut message = message.unwrap_or_default();
        if let Some(reasons) = error["metadata"]["reasons"].as_array() {
            let reasons: Vec<_> = reasons.iter().filter_map(Value::as_str).collect();
            message += &format!(" (moderation: {})", reasons.join(", "));
        }
        Self { code: code.unwrap_or_default(), message }
    }

    fn is_empty(&self) -> bool {
        self.code.is_empty() && self.message.is_empty()
    }

    fn mentions(&self, words: &[&str]) -> bool {
        let text = format!("{} {}", self.code, self.message).to_ascii_lowercase();
        words.iter().any(|word| text.contains(word))
    }

    fn is_about_money(&self) -> bool {
        self.mentions(&[
            "insufficient_quota",
            "insufficient_credits",
            "insufficient credits",
            "not have enough credits",
            "billing_hard_limit",
            "payment_required",
            "key limit exceeded",
        ])
    }

    fn is_about_content(&self) -> bool {
        self.mentions(&[
            "content_policy",
            "content policy",
            "content_filter",
            "content_moderation",
            "moderation",
            "safety",
            "sentinel_block",
            "flagged",
        ])
    }
}
