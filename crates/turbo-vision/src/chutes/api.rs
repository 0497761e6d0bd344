//! The platform's API, as one account sees it (Turbo Vision reference, section 5.2).

use std::time::SystemTime;

use adit_outbound::{Client, FetchError, Limits, Response};
use bytes::Bytes;
use http::{HeaderValue, Method, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::{Duration, Instant, sleep_until};

use super::error::said;
use super::logs::Events;
use super::{
    Account, Auth, BuildLog, Cause, ChuteInfo, ChutesError, Deleted, ImageFate, ImageInfo, InstanceLogs,
    SecretInfo, SecretPut, Share, jittered,
};

/// Where the API is unless the settings say otherwise.
pub const DEFAULT_API: &str = "https://api.chutes.ai";
/// The balance in USD below which no image is built.
pub const MIN_BUILD_BALANCE: f64 = 50.0;

/// How often a call that may be repeated is sent at most.
const ATTEMPTS: u32 = 4;
/// Pause after the first attempt; doubled after each further one.
const PAUSE: Duration = Duration::from_millis(500);
/// Longest wait for one attempt.
const ATTEMPT: Duration = Duration::from_secs(30);
/// Largest answer in bytes.
const MAX_BYTES: u64 = 16 << 20;
/// Entries on one page of a list, as the platform's own program asks for.
const PAGE: usize = 25;
/// Most pages that are read.
const PAGES: usize = 400;
/// How long what was deleted may still be shown.
const SETTLE: Duration = Duration::from_secs(20);
/// Longest silence of the event stream of a warm-up, which says something every few seconds.
const WARM_UP_IDLE: Duration = Duration::from_secs(60);

/// The API with one account's key.
#[derive(Debug)]
pub struct Api {
    pub(super) client: Client,
    base: String,
    auth: Auth,
}

#[derive(Deserialize)]
struct Page<T> {
    total: usize,
    items: Vec<T>,
}

/// One request. All of them may be sent twice: they change nothing, or what is there already stays as it is.
struct Ask<'a> {
    method: Method,
    path: &'a str,
    /// What the signature is for where there is no body.
    purpose: &'static str,
    body: Option<Value>,
    /// What is secret in the body.
    secret: Option<&'a str>,
}

impl<'a> Ask<'a> {
    fn get(path: &'a str, purpose: &'static str) -> Self {
        Self { method: Method::GET, path, purpose, body: None, secret: None }
    }

    fn delete(path: &'a str, purpose: &'static str) -> Self {
        Self { method: Method::DELETE, ..Self::get(path, purpose) }
    }
}

impl Api {
    /// The API at `base_url` ([`DEFAULT_API`]). Nothing is sent yet.
    #[must_use]
    pub fn new(client: Client, base_url: &str, auth: Auth) -> Self {
        Self { client, base: base_url.trim_end_matches('/').to_owned(), auth }
    }

    /// Its URL, without a slash at the end.
    #[must_use]
    pub fn base_url(&self) -> &str {
        &self.base
    }

    /// Whose key it is. A success says that the key is known and the account lives; [`Api::may_list`] says whether
    /// its scopes reach chutes and images.
    ///
    /// # Errors
    /// What any call can meet.
    pub async fn account(&self, deadline: Instant) -> Result<Account, ChutesError> {
        self.json(Ask::get("/users/me", "me"), deadline)
            .await
            .map_err(|cause| failed("look at the account", cause))
    }

    /// Whether the key reaches the account's chutes and images. No call says what it may change.
    ///
    /// # Errors
    /// [`Cause::Unauthorized`] or [`Cause::Forbidden`] where it does not, or what any call can meet.
    pub async fn may_list(&self, deadline: Instant) -> Result<(), ChutesError> {
        for (what, purpose) in [("chutes", "chutes"), ("images", "images")] {
            let path = format!("/{what}/?limit=1&page=0&include_public=False");
            let page: Result<Page<Value>, _> = self.json(Ask::get(&path, purpose), deadline).await;
            page.map_err(|cause| failed(format!("list the account's {what}"), cause))?;
        }
        Ok(())
    }

    /// The account's chutes. The platform may answer with a list that is a minute old.
    ///
    /// # Errors
    /// What any call can meet.
    pub async fn chutes(&self, deadline: Instant) -> Result<Vec<ChuteInfo>, ChutesError> {
        self.list("chutes", "chutes", deadline).await
    }

    /// The account's images.
    ///
    /// # Errors
    /// What any call can meet.
    pub async fn images(&self, deadline: Instant) -> Result<Vec<ImageInfo>, ChutesError> {
        self.list("images", "images", deadline).await
    }

    async fn list<T: DeserializeOwned>(
        &self,
        what: &str,
        purpose: &'static str,
        deadline: Instant,
    ) -> Result<Vec<T>, ChutesError> {
        let doing = |cause| failed(format!("list the account's {what}"), cause);
        let mut all = Vec::new();
        for number in 0..PAGES {
            let path = format!("/{what}/?limit={PAGE}&page={number}&include_public=False");
            let page: Page<T> = self.json(Ask::get(&path, purpose), deadline).await.map_err(doing)?;
            let last = page.items.is_empty() || all.len() + page.items.len() >= page.total;
            all.extend(page.items);
            if last {
                return Ok(all);
            }
        }
        Err(doing(Cause::Unreadable { status: 200, why: "has no end".to_owned() }))
    }

    /// The chute of this id or name; `None` where the account has and sees none. A key with scopes may be good for the
    /// id only ([`super::ids::chute`]).
    ///
    /// # Errors
    /// What any call can meet.
    pub async fn chute(&self, id_or_name: &str, deadline: Instant) -> Result<Option<ChuteInfo>, ChutesError> {
        let path = format!("/chutes/{}", escaped(id_or_name));
        let whole: Option<Value> = optional(self.json(Ask::get(&path, "chutes"), deadline).await)
            .map_err(|cause| failed(format!("look at the chute {id_or_name}"), cause))?;
        let Some(whole) = whole else { return Ok(None) };
        match ChuteInfo::deserialize(&whole) {
            Ok(info) => Ok(Some(ChuteInfo { whole, ..info })),
            Err(error) => {
                let why = format!("is no chute: {error}");
                let cause = Cause::Unreadable { status: 200, why };
                Err(failed(format!("look at the chute {id_or_name}"), cause))
            }
        }
    }

    /// The script that a chute was deployed with; `None` where there is no such chute.
    ///
    /// # Errors
    /// What any call can meet.
    pub async fn code(&self, chute_id: &str, deadline: Instant) -> Result<Option<String>, ChutesError> {
        let result = async {
            let path = format!("/chutes/code/{}", escaped(chute_id));
            let answer = self.ask(Ask::get(&path, "chutes"), deadline).await?;
            match answer.status.as_u16() {
                200 => String::from_utf8(answer.body.to_vec())
                    .map(Some)
                    .map_err(|_| Cause::unreadable(&answer, "is no text")),
                404 => optional(Err(self.refused(&answer))),
                _ => Err(self.refused(&answer)),
            }
        };
        result.await.map_err(|cause| failed(format!("read the code of the chute {chute_id}"), cause))
    }

    /// Lets another account call a chute. The platform keeps no two entries of one pair, so it may be asked twice; it
    /// shows nobody what is shared with whom.
    ///
    /// # Errors
    /// What any call can meet.
    pub async fn share(&self, chute: &str, user: &str, deadline: Instant) -> Result<Share, ChutesError> {
        let result = async {
            let ask = Ask {
                method: Method::POST,
                path: "/chutes/share",
                purpose: "chutes",
                body: Some(json!({"chute_id_or_name": chute, "user_id_or_name": user})),
                secret: None,
            };
            let answer = self.ask(ask, deadline).await?;
            match answer.status.as_u16() {
                200 => Ok(Share::Shared),
                400 if is_needless(&said(&answer.body, &[])) => Ok(Share::NeedsNone),
                _ => Err(self.refused(&answer)),
            }
        };
        result.await.map_err(|cause| failed(format!("share the chute {chute} with {user}"), cause))
    }

    /// Gives a chute a secret as a variable of its environment.
    ///
    /// # Errors
    /// What any call can meet. One that is there already is no error.
    pub async fn put_secret(
        &self,
        chute_id: &str,
        key: &str,
        value: &secrecy::SecretString,
        deadline: Instant,
    ) -> Result<SecretPut, ChutesError> {
        use secrecy::ExposeSecret as _;
        let result = async {
            let ask = Ask {
                method: Method::POST,
                path: "/secrets/",
                purpose: "secrets",
                body: Some(json!({"purpose": chute_id, "key": key, "value": value.expose_secret()})),
                secret: Some(value.expose_secret()),
            };
            let answer = self.ask(ask, deadline).await?;
            match answer.status.as_u16() {
                200 | 201 => Ok(SecretPut::Stored),
                409 => Ok(SecretPut::AlreadyThere),
                // What was sent may come back in a refusal.
                _ => Err(Cause::of(&answer, 1, &[self.auth.secret(), Some(value.expose_secret())])),
            }
        };
        result.await.map_err(|cause| failed(format!("store the secret {key} of the chute {chute_id}"), cause))
    }

    /// The account's secrets.
    ///
    /// # Errors
    /// What any call can meet.
    pub async fn secrets(&self, deadline: Instant) -> Result<Vec<SecretInfo>, ChutesError> {
        self.list("secrets", "secrets", deadline).await
    }

    /// Deletes a secret; `false` where there was none.
    ///
    /// # Errors
    /// What any call can meet.
    pub async fn delete_secret(&self, secret_id: &str, deadline: Instant) -> Result<bool, ChutesError> {
        let path = format!("/secrets/{}", escaped(secret_id));
        let deleted: Result<Value, _> = self.json(Ask::delete(&path, "secrets"), deadline).await;
        optional(deleted)
            .map(|answer| answer.is_some())
            .map_err(|cause| failed(format!("delete the secret {secret_id}"), cause))
    }

    /// The image of this id or `name:tag`; `None` where the account has and sees none.
    ///
    /// # Errors
    /// What any call can meet.
    pub async fn image(&self, id_or_name: &str, deadline: Instant) -> Result<Option<ImageInfo>, ChutesError> {
        let path = format!("/images/{}", escaped(id_or_name));
        optional(self.json(Ask::get(&path, "images"), deadline).await)
            .map_err(|cause| failed(format!("look at the image {id_or_name}"), cause))
    }

    /// Deletes a chute by its id and looks whether it is gone; `false` where there was none.
    ///
    /// # Errors
    /// [`Cause::NotConfirmed`] where it is still there, or what any call can meet.
    pub async fn delete_chute(&self, chute_id: &str, deadline: Instant) -> Result<bool, ChutesError> {
        let doing = |cause| failed(format!("delete the chute {chute_id}"), cause);
        let path = format!("/chutes/{}", escaped(chute_id));
        let deleted: Result<Value, _> = self.json(Ask::delete(&path, "chutes"), deadline).await;
        let was_there = optional(deleted).map_err(doing)?.is_some();
        let until = deadline.min(Instant::now() + SETTLE);
        while self.chute(chute_id, deadline).await?.is_some() {
            let next = Instant::now() + jittered(Duration::from_secs(1));
            if next >= until {
                return Err(doing(Cause::NotConfirmed("it is still listed".to_owned())));
            }
            sleep_until(next).await;
        }
        Ok(was_there)
    }

    /// Deletes an image by its id and looks whether it is gone. A chute that was deleted just before may hold it for
    /// some seconds.
    ///
    /// # Errors
    /// [`Cause::NotConfirmed`] where it is still there, or what any call can meet.
    pub async fn delete_image(&self, image_id: &str, deadline: Instant) -> Result<ImageFate, ChutesError> {
        let doing = |cause| failed(format!("delete the image {image_id}"), cause);
        let path = format!("/images/{}", escaped(image_id));
        let until = deadline.min(Instant::now() + SETTLE);
        let mut fate = ImageFate::NoneThere;
        loop {
            let answer = self.ask(Ask::delete(&path, "images"), deadline).await.map_err(doing)?;
            let next = Instant::now() + jittered(Duration::from_secs(1));
            match answer.status.as_u16() {
                // A repeated call finds nothing any more, so the last look decides.
                200 => fate = ImageFate::Deleted,
                404 => {}
                409 if next < until => {
                    sleep_until(next).await;
                    continue;
                }
                409 => return Ok(ImageFate::InUse),
                _ => return Err(doing(self.refused(&answer))),
            }
            if self.image(image_id, deadline).await?.is_none() {
                return Ok(fate);
            }
            if next >= until {
                return Err(doing(Cause::NotConfirmed("it is still listed".to_owned())));
            }
            sleep_until(next).await;
        }
    }

    /// Deletes a chute and then the image that it ran. Where this stops in between, [`super::ids::image`] still names
    /// the image, for [`Api::delete_image`].
    ///
    /// # Errors
    /// [`Cause::NotFound`] where there is no such chute, or as [`Api::delete_chute`] and [`Api::delete_image`].
    pub async fn delete_with_image(
        &self,
        id_or_name: &str,
        deadline: Instant,
    ) -> Result<Deleted, ChutesError> {
        let Some(chute) = self.chute(id_or_name, deadline).await? else {
            let said = String::new();
            return Err(failed(format!("delete the chute {id_or_name}"), Cause::NotFound { said }));
        };
        self.delete_chute(&chute.chute_id, deadline).await?;
        let image = match chute.image {
            Some(image) => {
                let fate = self.delete_image(&image.image_id, deadline).await?;
                Some((image.image_id, fate))
            }
            None => None,
        };
        Ok(Deleted { chute_id: chute.chute_id, image })
    }

    /// Has instances started and waits for the first. `said` gets each line of the platform's progress.
    ///
    /// # Errors
    /// [`Cause::Payment`] without a balance, [`Cause::OutOfTime`] where none was ready by the deadline, or what any
    /// call can meet.
    pub async fn warm_up(
        &self,
        id_or_name: &str,
        deadline: Instant,
        mut said: impl FnMut(&str),
    ) -> Result<(), ChutesError> {
        let doing = |cause| failed(format!("warm up the chute {id_or_name}"), cause);
        let cold = || doing(Cause::OutOfTime("no instance was ready in time".to_owned()));
        let path = format!("/chutes/warmup/{}", escaped(id_or_name));
        let mut failures = 0;
        while Instant::now() < deadline {
            // The platform ends the stream after ten minutes, hot or not.
            let problem = match self.open(&path, "chutes", deadline, WARM_UP_IDLE).await {
                Ok(mut events) => loop {
                    match events.next().await {
                        Ok(Some(event)) => {
                            failures = 0;
                            let event: Value = serde_json::from_str(&event).unwrap_or_default();
                            if let Some(line) = event["log"].as_str() {
                                said(line);
                            }
                            if event["status"] == "hot" {
                                return Ok(());
                            }
                        }
                        Ok(None) => break None,
                        Err(error) => break Some(Cause::no_answer(error, true)),
                    }
                },
                Err(cause) => Some(cause),
            };
            failures += 1;
            if let Some(cause) = problem {
                let passing = matches!(
                    cause,
                    Cause::NoAnswer { .. } | Cause::Service { .. } | Cause::RateLimited { .. }
                );
                if Instant::now() < deadline && (!passing || failures >= ATTEMPTS) {
                    return Err(doing(cause));
                }
            }
            sleep_until(deadline.min(Instant::now() + pause(failures))).await;
        }
        Err(cold())
    }

    /// What an instance writes, from the last `backfill` lines (at most 10000) on until it is gone, `until` has come, or
    /// the stream is dropped. Only of one's own private chutes. Nothing is sent yet.
    #[must_use]
    pub fn instance_logs(&self, instance_id: &str, backfill: u32, until: Instant) -> InstanceLogs<'_> {
        InstanceLogs::new(self, instance_id, backfill, until)
    }

    /// What the build of an image writes, from its beginning to its end or until `until` has come. Nothing is sent yet.
    #[must_use]
    pub fn build_log(&self, image_id: &str, until: Instant) -> BuildLog<'_> {
        BuildLog::new(self, image_id, until)
    }

    /// Begins an event stream.
    pub(super) async fn open(
        &self,
        path: &str,
        purpose: &'static str,
        deadline: Instant,
        idle: Duration,
    ) -> Result<Events, Cause> {
        let limits = Limits { idle, ..Limits::new(deadline, u64::MAX) };
        let headers = self.auth.headers(purpose, b"");
        let download = self.client.get_with(&format!("{}{path}", self.base), headers, &limits).await;
        match download {
            Ok(download) if download.content_type().is_some_and(|kind| kind.starts_with("text/html")) => {
                Err(Cause::Page { status: 200 })
            }
            Ok(download) => Ok(Events::new(download)),
            Err(error) => Err(Cause::no_answer(error, true)),
        }
    }

    /// The JSON of an answer with status 200.
    async fn json<T: DeserializeOwned>(&self, ask: Ask<'_>, deadline: Instant) -> Result<T, Cause> {
        let answer = self.ask(ask, deadline).await?;
        if answer.status != 200 {
            return Err(self.refused(&answer));
        }
        serde_json::from_slice(&answer.body)
            .map_err(|error| Cause::unreadable(&answer, format!("cannot be read: {error}")))
    }

    /// Sends a request, several times where that helps, until there is an answer that is no error of the
    /// service.
    async fn ask(&self, ask: Ask<'_>, deadline: Instant) -> Result<Response, Cause> {
        let url = format!("{}{}", self.base, ask.path);
        let body = ask.body.map_or_else(Bytes::new, |body| body.to_string().into());
        let secrets = [self.auth.secret(), ask.secret];
        let mut attempt = 1;
        loop {
            let mut headers = self.auth.headers(ask.purpose, &body);
            headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
            if !body.is_empty() {
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            }
            let limits = Limits::new(deadline.min(Instant::now() + ATTEMPT), MAX_BYTES);
            let sent = self.client.request(ask.method.clone(), &url, headers, body.clone(), &limits).await;
            let (failed, wait) = match sent {
                Ok(answer) if answer.status.is_server_error() => {
                    (Cause::of(&answer, attempt, &secrets), None)
                }
                // It was not carried out, whatever it was.
                Ok(answer) if answer.status == 429 => {
                    let wait = answer.retry_after(SystemTime::now());
                    (Cause::of(&answer, attempt, &secrets), wait)
                }
                Ok(answer) => return Ok(answer),
                Err(
                    error @ (FetchError::Connect { .. }
                    | FetchError::Lost { .. }
                    | FetchError::Idle { .. }
                    | FetchError::Deadline { .. }
                    | FetchError::Interrupted { .. }),
                ) => (Cause::no_answer(error, true), None),
                Err(error) => return Err(Cause::no_answer(error, true)),
            };
            let next = Instant::now() + wait.unwrap_or_default().max(pause(attempt));
            if attempt >= ATTEMPTS || next >= deadline {
                return Err(failed);
            }
            tracing::debug!(%failed, attempt, "trying again");
            sleep_until(next).await;
            attempt += 1;
        }
    }

    fn refused(&self, answer: &Response) -> Cause {
        Cause::of(answer, 1, &[self.auth.secret()])
    }
}

pub(super) fn pause(attempt: u32) -> Duration {
    jittered(PAUSE * (1 << attempt.saturating_sub(1).min(4)))
}

fn failed(doing: impl Into<String>, cause: Cause) -> ChutesError {
    ChutesError::new(doing, cause)
}

/// Tells "there is none" from other errors.
fn optional<T>(result: Result<T, Cause>) -> Result<Option<T>, Cause> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Cause::NotFound { .. }) => Ok(None),
        Err(cause) => Err(cause),
    }
}

/// The platform refuses to share what needs no sharing.
fn is_needless(said: &str) -> bool {
    said.contains("no need to share") || said.contains("with yourself")
}

/// A text as it stands in a path or a query.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}
