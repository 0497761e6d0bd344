//! Docker Hub's web API: whether a repository is there and private, making it, and who else may pull from it.
//! Pushing is the registry's. What can go wrong is `error`'s.
//!
//! The API is documented in part only. The calls and their bodies are those of Score's own deploy command; the
//! texts of refusals are known from public reports, so what they are recognised by is kept short.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use adit_docker::hub::{Hub, Share, Visibility};
//! use adit_outbound::{AddressGuard, Client};
//! use tokio::time::{Duration, Instant};
//!
//! let client = Client::new(AddressGuard::unrestricted())?;
//! let hub = Hub::new(client, "https://hub.docker.com", "miner", "dckr_pat_…".into());
//! let deadline = Instant::now() + Duration::from_secs(60);
//! let session = hub.login(deadline).await?;
//! if session.visibility("pt-solution", deadline).await? == Visibility::Missing {
//!     session.create_private("pt-solution", deadline).await?;
//! }
//! session.add_collaborator("pt-solution", "scorevision", deadline).await?;
//! let share = session.share("pt-solution", "scorevision", deadline).await?;
//! assert!(matches!(share, Share::Shared { .. }));
//! # Ok(())
//! # }
//! ```

mod error;

use std::time::{Duration, SystemTime};

use adit_outbound::{Client, FetchError, Limits, Response};
use http::{HeaderMap, HeaderValue, Method, header};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

pub use error::{Action, Cause, HubError, share_by_hand};

/// How often a call that may be repeated is sent at most.
const ATTEMPTS: u32 = 3;
/// Pause after the first attempt; doubled after each further one.
const PAUSE: Duration = Duration::from_millis(500);
/// Longest wait for one attempt.
const ATTEMPT: Duration = Duration::from_secs(20);
/// Largest answer in bytes; those that matter have a few hundred.
const MAX_BYTES: u64 = 1 << 20;
/// Most pages of collaborators that are read; the real service puts at least 10 on each.
const PAGES: u32 = 100;

/// Docker Hub, as one account sees it.
#[derive(Debug)]
pub struct Hub {
    client: Client,
    base: String,
    username: String,
    token: SecretString,
}

/// Who may see a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visibility {
    /// There is none of this name, or none that this account may see.
    Missing,
    /// Its owner and collaborators.
    Private,
    /// Everybody.
    Public,
}

/// What the list of collaborators says about one of them.
#[derive(Debug)]
pub enum Share {
    /// It is there.
    Shared {
        /// Its permission, such as `read`, where the list says.
        permission: Option<String>,
    },
    /// The list is whole, and it is not there.
    Missing,
    /// The list is refused or not served: it may be there or not.
    Unverified(HubError),
}

impl Hub {
    /// The web API at `base_url` (`https://hub.docker.com`) for `username`, with a personal access token.
    /// Nothing is sent yet.
    #[must_use]
    pub fn new(client: Client, base_url: &str, username: impl Into<String>, token: SecretString) -> Self {
        Self { client, base: base_url.trim_end_matches('/').to_owned(), username: username.into(), token }
    }

    /// Logs in. A session lasts some minutes, so log in anew after a long push.
    ///
    /// # Errors
    /// [`Cause::WrongToken`], [`Cause::TokenExpired`], or what any call can meet.
    pub async fn login(&self, deadline: Instant) -> Result<Session<'_>, HubError> {
        let result = async {
            let body = json!({"username": self.username, "password": self.token.expose_secret()});
            // Logging in twice does no more than once, so it may be repeated.
            let request = (Method::POST, "/v2/users/login", Some(body));
            let answer = self.ask(request, None, ATTEMPTS, deadline).await?;
            match answer.status.as_u16() {
                200 => json_in(&answer)?["token"]
                    .as_str()
                    .map(SecretString::from)
                    .ok_or_else(|| unreadable(&answer, "has no token")),
                401 => {
                    let said = self.said(&answer, None);
                    Err(if mentions(&said, "expired") {
                        Cause::TokenExpired { said }
                    } else {
                        Cause::WrongToken { said }
                    })
                }
                _ => Err(self.refused(&answer, None)),
            }
        };
        match result.await {
            Ok(token) => Ok(Session { hub: self, token }),
            Err(cause) => Err(HubError { action: Action::Login { username: self.username.clone() }, cause }),
        }
    }

    /// Sends a request (method, path, body) up to `attempts` times, until there is an answer that is no service
    /// error.
    async fn ask(
        &self,
        (method, path, body): (Method, &str, Option<Value>),
        session: Option<&SecretString>,
        attempts: u32,
        deadline: Instant,
    ) -> Result<Response, Cause> {
        let url = format!("{}{path}", self.base);
        let mut headers =
            HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static("application/json"))]);
        if let Some(token) = session {
            let bearer = format!("Bearer {}", token.expose_secret());
            let mut bearer = HeaderValue::try_from(bearer).map_err(|_| Cause::SessionEnded)?;
            bearer.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, bearer);
        }
        let body = body.map_or_else(String::new, |body| {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            body.to_string()
        });
        let mut attempt = 1;
        loop {
            let limits = Limits::new(deadline.min(Instant::now() + ATTEMPT), MAX_BYTES);
            let sent = self.client.request(method.clone(), &url, headers.clone(), body.clone(), &limits);
            let failed = match sent.await {
                // 501 says that there is no such call, now and later.
                Ok(answer) if answer.status.is_server_error() && answer.status != 501 => {
                    Cause::Service { status: answer.status.as_u16(), attempts: attempt }
                }
                Ok(answer) if answer.status == 429 => {
                    return Err(Cause::RateLimited { wait: wait(&answer.headers, SystemTime::now()) });
                }
                Ok(answer) => return Ok(answer),
                Err(
                    error @ (FetchError::Connect { .. }
                    | FetchError::Lost { .. }
                    | FetchError::Idle { .. }
                    | FetchError::Deadline { .. }
                    | FetchError::Interrupted { .. }),
                ) => Cause::NoAnswer(error),
                Err(error) => return Err(Cause::NoAnswer(error)),
            };
            let next = Instant::now() + PAUSE * (1 << (attempt - 1));
            if attempt >= attempts || next >= deadline {
                return Err(failed);
            }
            tracing::debug!(%failed, attempt, "trying again");
            sleep_until(next).await;
            attempt += 1;
        }
    }

    /// What an answer that is not the hoped-for one means, whatever the call.
    fn refused(&self, answer: &Response, session: Option<&SecretString>) -> Cause {
        let said = self.said(answer, session);
        match answer.status.as_u16() {
            // The scope first: its refusals may name the access token too.
            403 if mentions(&said, "scope") => Cause::NoWritePermission { said },
            401 | 403 if mentions(&said, "personal access token") => Cause::AccessTokenRefused { said },
            401 => Cause::SessionEnded,
            status => Cause::Refused { status, said },
        }
    }

    /// The text of a refusal, on one line, of bounded length and without secrets.
    fn said(&self, answer: &Response, session: Option<&SecretString>) -> String {
        let Ok(json) = serde_json::from_slice::<Value>(&answer.body) else {
            // A page for people says nothing in one line.
            return String::new();
        };
        let text = ["detail", "message"].iter().find_map(|key| json[key].as_str());
        let mut text = text.map_or_else(|| json.to_string(), str::to_owned);
        for secret in [Some(&self.token), session].into_iter().flatten() {
            if !secret.expose_secret().is_empty() {
                text = text.replace(secret.expose_secret(), "…");
            }
        }
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect()
    }
}

/// An account that is logged in. Names of repositories are without the owner, which is this account.
#[derive(Debug)]
pub struct Session<'a> {
    hub: &'a Hub,
    token: SecretString,
}

impl Session<'_> {
    /// Whether the account has this repository, and who may see it.
    ///
    /// # Errors
    /// What any call can meet.
    pub async fn visibility(&self, repository: &str, deadline: Instant) -> Result<Visibility, HubError> {
        let result = async {
            let answer = self.ask(Method::GET, &self.path(repository)?, None, deadline).await?;
            match answer.status.as_u16() {
                200 => match json_in(&answer)?["is_private"].as_bool() {
                    Some(true) => Ok(Visibility::Private),
                    Some(false) => Ok(Visibility::Public),
                    None => Err(unreadable(&answer, "does not say whether the repository is private")),
                },
                404 => Ok(Visibility::Missing),
                _ => Err(self.refused(&answer)),
            }
        };
        result
            .await
            .map_err(|cause| HubError { action: Action::Look { repository: self.full(repository) }, cause })
    }

    /// Makes a private repository. Sent once: after an error without an answer,
    /// [`visibility`](Session::visibility) says whether it is there.
    ///
    /// # Errors
    /// [`Cause::PrivateLimit`], [`Cause::NoWritePermission`], or what any call can meet.
    pub async fn create_private(&self, repository: &str, deadline: Instant) -> Result<(), HubError> {
        let result = async {
            let body = json!({"namespace": self.hub.username, "name": repository, "is_private": true});
            let request = (Method::POST, "/v2/repositories/", Some(body));
            let answer = self.hub.ask(request, Some(&self.token), 1, deadline).await?;
            match answer.status.as_u16() {
                201 => Ok(()),
                _ => Err(match self.refused(&answer) {
                    Cause::Refused { status, said } if status == 402 || mentions(&said, "private repo") => {
                        Cause::PrivateLimit { said }
                    }
                    Cause::Refused { status: 403, said } => Cause::NoWritePermission { said },
                    cause => cause,
                }),
            }
        };
        result
            .await
            .map_err(|cause| HubError { action: Action::Create { repository: self.full(repository) }, cause })
    }

    /// Lets `collaborator` pull. Docker Hub's word for it is not proof: [`share`](Session::share) reads it back.
    ///
    /// # Errors
    /// [`Cause::NoWritePermission`], [`Cause::AccessTokenRefused`], or what any call can meet.
    pub async fn add_collaborator(
        &self,
        repository: &str,
        collaborator: &str,
        deadline: Instant,
    ) -> Result<(), HubError> {
        let result = async {
            let path = format!("{}collaborators/{}/", self.path(repository)?, segment(collaborator)?);
            let body = json!({"permission": "read"});
            let answer = self.ask(Method::PUT, &path, Some(body), deadline).await?;
            match answer.status.as_u16() {
                200 | 201 | 204 => Ok(()),
                _ => Err(match self.refused(&answer) {
                    Cause::Refused { status: 403, said } => Cause::NoWritePermission { said },
                    cause => cause,
                }),
            }
        };
        result.await.map_err(|cause| {
            let collaborator = collaborator.to_owned();
            HubError { action: Action::Add { repository: self.full(repository), collaborator }, cause }
        })
    }

    /// Reads from the list of collaborators whether `collaborator` may pull.
    ///
    /// # Errors
    /// What any call can meet. A refused list is no error but [`Share::Unverified`].
    pub async fn share(
        &self,
        repository: &str,
        collaborator: &str,
        deadline: Instant,
    ) -> Result<Share, HubError> {
        let cause = match self.find(repository, collaborator, deadline).await {
            Ok(share) => return Ok(share),
            Err(cause) => cause,
        };
        let unverified = matches!(
            cause,
            Cause::AccessTokenRefused { .. }
                | Cause::NoWritePermission { .. }
                | Cause::Refused { .. }
                | Cause::Unreadable { .. }
        );
        let action =
            Action::List { repository: self.full(repository), collaborator: collaborator.to_owned() };
        let error = HubError { action, cause };
        if unverified { Ok(Share::Unverified(error)) } else { Err(error) }
    }

    async fn find(&self, repository: &str, collaborator: &str, deadline: Instant) -> Result<Share, Cause> {
        let mut path = format!("{}collaborators/", self.path(repository)?);
        for _ in 0..PAGES {
            let answer = self.ask(Method::GET, &path, None, deadline).await?;
            if answer.status != 200 {
                return Err(self.refused(&answer));
            }
            let page = json_in(&answer)?;
            let results = page["results"].as_array().ok_or_else(|| unreadable(&answer, "has no list"))?;
            for one in results {
                let name = ["user", "username"].iter().find_map(|key| one[key].as_str());
                if name.is_some_and(|name| name.eq_ignore_ascii_case(collaborator)) {
                    return Ok(Share::Shared { permission: one["permission"].as_str().map(str::to_owned) });
                }
            }
            let Some(next) = page["next"].as_str() else {
                return Ok(Share::Missing);
            };
            // The session goes along, so it must stay with this host.
            path = next
                .strip_prefix(&self.hub.base)
                .filter(|path| path.starts_with('/'))
                .ok_or_else(|| unreadable(&answer, "goes on at another host"))?
                .to_owned();
        }
        Err(Cause::Unreadable { status: 200, why: "has no end" })
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        deadline: Instant,
    ) -> Result<Response, Cause> {
        self.hub.ask((method, path, body), Some(&self.token), ATTEMPTS, deadline).await
    }

    fn refused(&self, answer: &Response) -> Cause {
        self.hub.refused(answer, Some(&self.token))
    }

    fn path(&self, repository: &str) -> Result<String, Cause> {
        Ok(format!("/v2/repositories/{}/{}/", segment(&self.hub.username)?, segment(repository)?))
    }

    fn full(&self, repository: &str) -> String {
        format!("{}/{repository}", self.hub.username)
    }
}

/// A name that may stand in a path as it is.
fn segment(name: &str) -> Result<&str, Cause> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if starts_well && name.chars().all(plain) { Ok(name) } else { Err(Cause::BadName(name.to_owned())) }
}

fn mentions(said: &str, what: &str) -> bool {
    said.to_ascii_lowercase().contains(what)
}

fn json_in(answer: &Response) -> Result<Value, Cause> {
    serde_json::from_slice(&answer.body).map_err(|_| unreadable(answer, "is no JSON"))
}

fn unreadable(answer: &Response, why: &'static str) -> Cause {
    Cause::Unreadable { status: answer.status.as_u16(), why }
}

/// How long to wait: seconds, or a Unix time as Docker Hub documents its `X-Retry-After`.
fn wait(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    /// Nobody is told to wait for thirty years.
    const UNIX_TIMES: u64 = 1_000_000_000;
    let number = ["retry-after", "x-retry-after"]
        .iter()
        .find_map(|name| headers.get(*name)?.to_str().ok()?.trim().parse::<u64>().ok())?;
    if number < UNIX_TIMES {
        return Some(Duration::from_secs(number));
    }
    let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(number))?;
    Some(at.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use adit_outbound::AddressGuard;
    use http::StatusCode;

    use super::*;

    fn hub() -> Hub {
        let client = Client::new(AddressGuard::unrestricted()).unwrap();
        Hub::new(client, "https://hub.docker.com/", "miner", "dckr_pat_hush".into())
    }

    fn answer(status: u16, body: &str) -> Response {
        Response {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: body.to_owned().into(),
            trailers: HeaderMap::new(),
        }
    }

    #[test]
    fn what_docker_hub_says_is_quoted_without_secrets_on_one_bounded_line() {
        let session = SecretString::from("ey.session");
        let said = |body: &str| hub().said(&answer(400, body), Some(&session));
        assert_eq!(said(r#"{"detail":"no dckr_pat_hush,\nno ey.session"}"#), "no …, no …");
        assert_eq!(
            said(r#"{"name":["This field is required."]}"#),
            r#"{"name":["This field is required."]}"#
        );
        assert_eq!(said("<html>dckr_pat_hush</html>"), "");
        assert_eq!(said(&json!({"message": "é".repeat(5000)}).to_string()), "é".repeat(200));
        let nothing = Hub { token: "".into(), ..hub() };
        assert_eq!(nothing.said(&answer(400, r#"{"message":"abc"}"#), None), "abc");
    }

    #[test]
    fn every_known_wording_of_a_refusal_is_recognised() {
        for (status, said) in [
            (403, "token issued from personal access token is not allowed"),
            (403, "access to the resource is forbidden with personal access token"),
            (403, "access is forbidden with a JWT issued from a Personal Access Token"),
            (401, "token issued from personal access token"),
        ] {
            let cause = hub().refused(&answer(status, &json!({"message": said}).to_string()), None);
            assert!(matches!(cause, Cause::AccessTokenRefused { .. }), "{said}: {cause:?}");
        }
        for said in ["insufficient scope", "access denied: personal access token has insufficient scopes"] {
            let cause = hub().refused(&answer(403, &json!({"detail": said}).to_string()), None);
            assert!(matches!(cause, Cause::NoWritePermission { .. }), "{said}: {cause:?}");
        }
        let cause = hub().refused(&answer(401, "{}"), None);
        assert!(matches!(cause, Cause::SessionEnded), "{cause:?}");
    }

    #[test]
    fn a_wait_is_seconds_or_a_unix_time() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        for (name, value, expected) in [
            ("retry-after", "17", Some(17)),
            ("x-retry-after", "17", Some(17)),
            ("x-retry-after", "1800000042", Some(42)),
            ("x-retry-after", "1700000000", Some(0)),
            ("retry-after", "18446744073709551615", None),
            ("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT", None),
            ("x-ratelimit-reset", "17", None),
        ] {
            let headers = HeaderMap::from_iter([(name.parse().unwrap(), HeaderValue::from_static(value))]);
            let seconds = wait(&headers, now).map(|wait| wait.as_secs());
            assert_eq!(seconds, expected, "{name}: {value}");
        }
    }

    #[test]
    fn a_name_that_would_change_the_path_is_refused() {
        for name in ["scorevision", "pt-solution", "a.b_c", "7"] {
            assert_eq!(segment(name).unwrap(), name);
        }
        for name in ["", ".", "..", "a/b", "a?b", "a#b", "a%2fb", " a", "a\n", "ä", "-a"] {
            assert!(matches!(segment(name), Err(Cause::BadName(_))), "{name:?}");
        }
    }

    #[test]
    fn debug_texts_hold_no_secret() {
        let hub = hub();
        let session = Session { hub: &hub, token: "ey.session".into() };
        let shown = format!("{session:?}");
        assert!(!shown.contains("hush") && !shown.contains("ey.session"), "{shown}");
    }
}
