//! Hugging Face (Turbo Vision reference, sections 2 and 4): a model's repository, who may see it, and a folder pushed to
//! it as one commit.
//!
//! Every call has a deadline, and each error says what to do ([`HubError::hint`]). What of a folder is pushed is
//! `selection`'s, the push itself `push`'s, and how large files are stored `lfs`'s.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::path::Path;
//! use adit_turbo_vision::hub::{Event, Hub, PushOptions, Selection};
//!
//! let hub = Hub::new("https://huggingface.co", Some("hf_…".into()))?;
//! let repository = "miner/ScoreVision".parse()?;
//! hub.ensure_repository(&repository).await?;
//! hub.set_private(&repository, true).await?;
//! let selection = Selection::of(Path::new("model"))?;
//! let pushed = hub.push(&repository, &selection, &PushOptions::default(), &|_: &Event| ()).await?;
//! println!("{}", pushed.revision);
//! # Ok(())
//! # }
//! ```

mod error;
mod lfs;
mod push;
mod selection;

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use adit_outbound::{AddressGuard, Client, FetchError, Limits, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};
use url::Url;

pub use error::{Action, BadName, Cause, HubError, NotACommit};
pub use push::{Event, How, Progress, PushOptions, Pushed, Sent};
pub use selection::{LocalFile, Selection, SelectionError};

/// How often a call that may be repeated is sent at most.
const ATTEMPTS: u32 = 4;
/// Largest answer in bytes; a page of a listing has some hundred kB.
const MAX_BYTES: u64 = 16 << 20;
/// Most pages of a listing that are read; each has up to 1000 files.
const PAGES: u32 = 200;
/// Longest name of a repository or its owner.
const LONGEST_NAME: usize = 96;
/// The branch that is pushed to.
const BRANCH: &str = "main";

/// `owner/name` of a model's repository.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepositoryName(String);

impl RepositoryName {
    /// The account or organization.
    #[must_use]
    pub fn owner(&self) -> &str {
        self.0.split_once('/').map_or("", |(owner, _)| owner)
    }

    /// The name without its owner.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, name)| name)
    }

    /// Both.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RepositoryName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let plain = |part: &str| {
            let edges = |c: char| c == '.' || c == '-';
            !part.is_empty()
                && part.len() <= LONGEST_NAME
                && part.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
                && !part.starts_with(edges)
                && !part.ends_with(edges)
                && !part.contains("--")
                && !part.contains("..")
        };
        match text.split_once('/') {
            Some((owner, name)) if plain(owner) && plain(name) => Ok(Self(text.to_owned())),
            _ => Err(BadName(text.chars().take(200).collect())),
        }
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The full id of a commit, which is what a revision of a model means in the end: 40 hexadecimal digits, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Commit(String);

impl Commit {
    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Commit {
    type Err = NotACommit;

    fn from_str(text: &str) -> Result<Self, NotACommit> {
        if text.len() == 40 && text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotACommit(text.chars().take(80).collect()))
        }
    }
}

impl fmt::Display for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whose token it is, and what it may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The account's name.
    pub name: String,
    /// The organizations that it belongs to as more than a reader.
    pub organizations: Vec<String>,
    access: Access,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Access {
    Read,
    Write,
    /// What may be written to: accounts or organizations, and repositories by their full names.
    FineGrained(Vec<String>),
    /// The Hub does not say, as for tokens of other kinds.
    Unknown,
}

impl Account {
    /// Whether the token may write to a repository; `None` where the Hub does not say.
    #[must_use]
    pub fn may_write(&self, repository: &RepositoryName) -> Option<bool> {
        let owner = repository.owner();
        let own = self.name == owner || self.organizations.iter().any(|name| name == owner);
        match &self.access {
            Access::Read => Some(false),
            Access::Write => Some(own),
            Access::FineGrained(to) => {
                Some(to.iter().any(|name| name == owner || name == repository.as_str()))
            }
            Access::Unknown => (!own).then_some(false),
        }
    }
}

/// A repository that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// Whether only its owner may see it.
    pub private: bool,
    /// Whether others have to ask first. Validators skip such a model.
    pub gated: bool,
    /// The newest commit of its main branch; none where nothing was ever committed.
    pub head: Option<Commit>,
}

/// A file at a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteFile {
    /// Its path.
    pub path: String,
    /// Its size in bytes: the file's, not that of the pointer which git has for a large one.
    pub size: u64,
    /// Git's id of it: the SHA-1 of a blob.
    pub oid: String,
    /// Where it is stored outside git, the SHA-256 of its content.
    pub sha256: Option<String>,
}

/// How long is waited for what.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For an answer to one attempt of a small call.
    pub answer: Duration,
    /// For the next sign of life while a file is sent or received.
    pub silence: Duration,
    /// For an answer to a commit, which the Hub works on for a while.
    pub commit: Duration,
    /// Before the second attempt; doubled before each further one.
    pub pause: Duration,
    /// For a limit of the Hub to pass by, when it says how long; one that takes longer is an error.
    pub limit: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(30),
            silence: Duration::from_secs(60),
            commit: Duration::from_secs(300),
            pause: Duration::from_millis(500),
            limit: Duration::from_secs(60),
        }
    }
}

/// Hugging Face, as one token sees it.
#[derive(Debug)]
pub struct Hub {
    client: Client,
    base: String,
    token: Option<SecretString>,
    patience: Patience,
}

impl Hub {
    /// The Hub at `endpoint` (`https://huggingface.co`). Nothing is sent yet. Without a token only what is public can be
    /// read.
    ///
    /// # Errors
    /// [`Cause::BadEndpoint`], or where TLS cannot be set up on this host.
    pub fn new(endpoint: &str, token: Option<SecretString>) -> Result<Self, HubError> {
        let failed = |cause| HubError { action: Action::Setup, cause };
        // Without what stands before an @, which may be a password.
        let bad = || failed(Cause::BadEndpoint(shown(endpoint.rsplit('@').next().unwrap_or_default())));
        let url = Url::parse(endpoint).map_err(|_| bad())?;
        let plain = matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        let host = url.host_str().filter(|_| plain).ok_or_else(bad)?;
        // The Hub tells where files go and come from: that may be itself or a public host, nothing in this network.
        let guard = AddressGuard::public_only().allowing(host).map_err(|_| bad())?;
        let client = Client::new(guard).map_err(|error| failed(Cause::NoAnswer(error)))?;
        let token = token.filter(|token| !token.expose_secret().trim().is_empty());
        Ok(Self {
            client,
            base: endpoint.trim_end_matches('/').to_owned(),
            token,
            patience: Patience::default(),
        })
    }

    /// With other waits.
    #[must_use]
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    /// Whose token it is, and whether it may write.
    ///
    /// # Errors
    /// [`Cause::NoToken`], [`Cause::WrongToken`], or what any call can meet.
    pub async fn whoami(&self) -> Result<Account, HubError> {
        let result = async {
            self.needs_token()?;
            let answer = self.get("/api/whoami-v2").await?;
            account(&json_in(&answer)?).ok_or_else(|| unreadable(&answer, "names no account"))
        };
        result.await.map_err(|cause| HubError { action: Action::Whoami, cause })
    }

    /// Sees that a repository is there, as it is, or makes it, private.
    ///
    /// # Errors
    /// [`Cause::NoToken`], [`Cause::NoWriteAccess`], or what any call can meet.
    pub async fn ensure_repository(&self, name: &RepositoryName) -> Result<Repository, HubError> {
        let result = async {
            self.needs_token()?;
            // Looked for first: a token for one repository alone may not make any.
            match self.info(name).await {
                Err(Cause::Missing { .. }) => {}
                there => return there,
            }
            let body = json!({
                "name": name.name(),
                "organization": name.owner(),
                "type": "model",
                "private": true,
            });
            // Making it twice is a 409, which is as good: so it may be repeated.
            let answer = self.send_json(Method::POST, "/api/repos/create", &body).await?;
            match answer.status.as_u16() {
                200 | 201 | 409 => self.info(name).await,
                _ => Err(self.refused(&answer, true)),
            }
        };
        result.await.map_err(|cause| HubError { action: Action::Ensure(name.clone()), cause })
    }

    /// Makes a repository private or public, and reads back that it is.
    ///
    /// # Errors
    /// [`Cause::NoToken`], [`Cause::NoWriteAccess`], [`Cause::NotTaken`], or what any call can meet.
    pub async fn set_private(&self, name: &RepositoryName, private: bool) -> Result<(), HubError> {
        let result = async {
            self.needs_token()?;
            let path = format!("/api/models/{name}/settings");
            let answer = self.send_json(Method::PUT, &path, &json!({"private": private})).await?;
            if !answer.status.is_success() {
                return Err(self.refused(&answer, true));
            }
            match self.info(name).await?.private == private {
                true => Ok(()),
                false if private => Err(Cause::NotTaken("the repository is public still")),
                false => Err(Cause::NotTaken("the repository is private still")),
            }
        };
        result.await.map_err(|cause| HubError { action: Action::SetPrivate(name.clone(), private), cause })
    }

    /// Who may see a repository, and its newest commit.
    ///
    /// # Errors
    /// [`Cause::Missing`], [`Cause::PrivateOrMissing`], or what any call can meet.
    pub async fn repository(&self, name: &RepositoryName) -> Result<Repository, HubError> {
        self.info(name).await.map_err(|cause| HubError { action: Action::Look(name.clone()), cause })
    }

    /// The commit that a branch, a tag, or a commit's id, whole or in part, means now.
    ///
    /// # Errors
    /// [`Cause::BadRevision`], [`Cause::NoRevision`], [`Cause::Missing`], [`Cause::PrivateOrMissing`],
    /// [`Cause::Gated`], or what any call can meet.
    pub async fn resolve(&self, name: &RepositoryName, revision: &str) -> Result<Commit, HubError> {
        let result = async {
            let answer =
                self.get(&format!("/api/models/{name}/revision/{}", encoded_revision(revision)?)).await?;
            let id = json_in(&answer)?["sha"].as_str().and_then(|id| id.parse().ok());
            id.ok_or_else(|| unreadable(&answer, "names no commit"))
        };
        result
            .await
            .map_err(|cause| HubError { action: Action::Resolve(name.clone(), shown(revision)), cause })
    }

    /// The files at a revision, in the order of their paths' bytes.
    ///
    /// # Errors
    /// As [`Hub::resolve`].
    pub async fn files(&self, name: &RepositoryName, revision: &str) -> Result<Vec<RemoteFile>, HubError> {
        self.tree(name, revision)
            .await
            .map_err(|cause| HubError { action: Action::List(name.clone(), shown(revision)), cause })
    }

    /// A file of at most `max_bytes`.
    ///
    /// # Errors
    /// [`Cause::BadPath`], [`Cause::NoFile`], as [`Hub::resolve`]; a larger file is a [`FetchError::TooLarge`].
    pub async fn download(
        &self,
        name: &RepositoryName,
        revision: &str,
        path: &str,
        max_bytes: u64,
    ) -> Result<Bytes, HubError> {
        let result = async {
            let url = format!(
                "{}/{name}/resolve/{}/{}",
                self.base,
                encoded_revision(revision)?,
                encoded_path(path)?
            );
            // As long as the largest file takes at 100 kB/s.
            let deadline = Instant::now() + self.patience.answer + Duration::from_secs(max_bytes / 100_000);
            let idle = self.patience.silence;
            let limits = Limits { idle, ..Limits::new(deadline, max_bytes) };
            let mut attempt = 1;
            loop {
                let whole =
                    async { self.client.get_with(&url, self.headers(), &limits).await?.bytes().await };
                let failed = match whole.await {
                    Ok(bytes) => return Ok(bytes),
                    Err(FetchError::Status { status: 429, .. }) => Cause::RateLimited { wait: None },
                    Err(FetchError::Status { status: status @ 400..=499, .. }) => {
                        return Err(self.why_not(&url, status).await?);
                    }
                    Err(FetchError::Status { status, .. }) => Cause::Service { status, attempts: attempt },
                    Err(error) if !is_passing(&error) => return Err(Cause::NoAnswer(error)),
                    Err(error) => Cause::NoAnswer(error),
                };
                self.pause(&mut attempt, deadline, failed).await?;
            }
        };
        result.await.map_err(|cause| HubError { action: Action::Download(name.clone(), shown(path)), cause })
    }

    /// Why a download was refused: the same call without following says which of the reasons it is.
    async fn why_not(&self, url: &str, status: u16) -> Result<Cause, Cause> {
        let answer = self.ask(Method::HEAD, url, self.headers(), Bytes::new(), self.patience.answer).await?;
        Ok(match answer.status.is_client_error() {
            true => self.refused(&answer, false),
            // It was the store behind the Hub.
            false => Cause::Refused { status, said: String::new() },
        })
    }

    async fn info(&self, name: &RepositoryName) -> Result<Repository, Cause> {
        let answer = self.get(&format!("/api/models/{name}")).await?;
        let info = json_in(&answer)?;
        let private = info["private"]
            .as_bool()
            .ok_or_else(|| unreadable(&answer, "does not say whether the repository is private"))?;
        // `false`, or the kind of gate.
        let gated = !matches!(info["gated"], Value::Bool(false) | Value::Null);
        let head = info["sha"].as_str().and_then(|id| id.parse().ok());
        Ok(Repository { private, gated, head })
    }

    async fn tree(&self, name: &RepositoryName, revision: &str) -> Result<Vec<RemoteFile>, Cause> {
        let mut path = format!("/api/models/{name}/tree/{}?recursive=true", encoded_revision(revision)?);
        let mut files = Vec::new();
        for _ in 0..PAGES {
            let answer = self.get(&path).await?;
            let page = json_in(&answer)?;
            let entries = page.as_array().ok_or_else(|| unreadable(&answer, "is no list of files"))?;
            for entry in entries.iter().filter(|entry| entry["type"] == "file") {
                files.push(
                    remote_file(entry)
                        .ok_or_else(|| unreadable(&answer, "has a file without path or size"))?,
                );
            }
            let Some(next) = next_page(&answer.headers) else {
                files.sort_by(|one: &RemoteFile, other| one.path.cmp(&other.path));
                return Ok(files);
            };
            // The token goes along, so it must stay with this host.
            path = next
                .strip_prefix(&self.base)
                .filter(|path| path.starts_with('/'))
                .ok_or_else(|| unreadable(&answer, "goes on at another host"))?
                .to_owned();
        }
        Err(Cause::Unreadable { status: 200, why: "has no end" })
    }

    fn needs_token(&self) -> Result<(), Cause> {
        if self.token.is_some() { Ok(()) } else { Err(Cause::NoToken) }
    }

    /// A success, or what the answer means.
    async fn get(&self, path: &str) -> Result<Response, Cause> {
        let url = format!("{}{path}", self.base);
        let answer = self.ask(Method::GET, &url, self.headers(), Bytes::new(), self.patience.answer).await?;
        if answer.status.is_success() { Ok(answer) } else { Err(self.refused(&answer, false)) }
    }

    /// Any answer that is no service error.
    async fn send_json(&self, method: Method, path: &str, body: &Value) -> Result<Response, Cause> {
        let url = format!("{}{path}", self.base);
        let mut headers = self.headers();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.ask(method, &url, headers, body.to_string().into(), self.patience.answer).await
    }

    /// Sends a request that may be repeated, until there is an answer that is no service error.
    async fn ask(
        &self,
        method: Method,
        url: &str,
        headers: HeaderMap,
        body: Bytes,
        patience: Duration,
    ) -> Result<Response, Cause> {
        let deadline = Instant::now() + patience * ATTEMPTS + self.patience.limit;
        let mut attempt = 1;
        loop {
            let limits = self.limits(patience);
            let sent = self.client.request(method.clone(), url, headers.clone(), body.clone(), &limits);
            let failed = match sent.await {
                Ok(answer) => match self.passing(&answer, attempt) {
                    None => return Ok(answer),
                    Some(cause) => cause,
                },
                Err(error) if is_passing(&error) => Cause::NoAnswer(error),
                Err(error) => return Err(Cause::NoAnswer(error)),
            };
            self.pause(&mut attempt, deadline, failed).await?;
        }
    }

    /// What passes by itself: the Hub's own errors, and its limits.
    fn passing(&self, answer: &Response, attempts: u32) -> Option<Cause> {
        match answer.status.as_u16() {
            429 => Some(Cause::RateLimited { wait: wait(answer, SystemTime::now()) }),
            408 | 500..=599 => Some(Cause::Service { status: answer.status.as_u16(), attempts }),
            _ => None,
        }
    }

    /// Waits before the next attempt, or gives up with what failed.
    async fn pause(&self, attempt: &mut u32, deadline: Instant, failed: Cause) -> Result<(), Cause> {
        let wait = match failed {
            Cause::RateLimited { wait: Some(wait) } if wait > self.patience.limit => return Err(failed),
            Cause::RateLimited { wait: Some(wait) } => wait,
            _ => self.patience.pause * (1 << (*attempt - 1)),
        };
        let next = Instant::now() + wait;
        if *attempt >= ATTEMPTS || next >= deadline {
            return Err(failed);
        }
        tracing::debug!(%failed, attempt, "trying again");
        sleep_until(next).await;
        *attempt += 1;
        Ok(())
    }

    fn limits(&self, patience: Duration) -> Limits {
        Limits { idle: patience, ..Limits::new(Instant::now() + patience, MAX_BYTES) }
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(token) = &self.token {
            let bearer = format!("Bearer {}", token.expose_secret().trim());
            // One that cannot stand in a header is no token: the Hub then says that there is none.
            if let Ok(mut bearer) = HeaderValue::try_from(bearer) {
                bearer.set_sensitive(true);
                headers.insert(header::AUTHORIZATION, bearer);
            }
        }
        headers
    }

    /// What an answer that is not the hoped-for one means.
    fn refused(&self, answer: &Response, writing: bool) -> Cause {
        let said = self.said(answer);
        let code = answer.headers.get("x-error-code").and_then(|code| code.to_str().ok());
        match (answer.status.as_u16(), code) {
            (401 | 403, Some("GatedRepo")) => Cause::Gated { said },
            (401, _) if self.token.is_some() => Cause::WrongToken { said },
            (401, _) => Cause::PrivateOrMissing { said },
            (403, _) if writing => Cause::NoWriteAccess { said },
            (404, Some("RevisionNotFound")) => Cause::NoRevision { said },
            (404, Some("EntryNotFound")) => Cause::NoFile { said },
            (404, _) => Cause::Missing { said },
            (409, _) => Cause::Conflict { said },
            (412, _) => Cause::Moved,
            (429, _) => Cause::RateLimited { wait: wait(answer, SystemTime::now()) },
            (status @ 500.., _) => Cause::Service { status, attempts: 1 },
            (status @ ..300, _) => Cause::Unreadable { status, why: "is none that Hugging Face gives here" },
            (status, _) => Cause::Refused { status, said },
        }
    }

    /// The text of a refusal, on one line, of bounded length and without the token.
    fn said(&self, answer: &Response) -> String {
        let json: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let header = || answer.headers.get("x-error-message").and_then(|text| text.to_str().ok());
        // A page for people says nothing in one line.
        let mut text = ["error", "message"]
            .iter()
            .find_map(|key| json[key].as_str())
            .or_else(header)
            .unwrap_or_default();
        let hidden;
        if let Some(token) = &self.token {
            hidden = text.replace(token.expose_secret().trim(), "…");
            text = &hidden;
        }
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect()
    }
}

/// Whether the same request may meet better luck.
fn is_passing(error: &FetchError) -> bool {
    matches!(
        error,
        FetchError::Connect { .. }
            | FetchError::Lost { .. }
            | FetchError::Idle { .. }
            | FetchError::Deadline { .. }
            | FetchError::Interrupted { .. }
    )
}

fn json_in(answer: &Response) -> Result<Value, Cause> {
    serde_json::from_slice(&answer.body).map_err(|_| unreadable(answer, "is no JSON"))
}

fn unreadable(answer: &Response, why: &'static str) -> Cause {
    Cause::Unreadable { status: answer.status.as_u16(), why }
}

/// `Retry-After`, or the seconds (`t`) of the newer `RateLimit: "api";r=0;t=55`.
fn wait(answer: &Response, now: SystemTime) -> Option<Duration> {
    answer.retry_after(now).or_else(|| {
        let text = answer.headers.get("ratelimit")?.to_str().ok()?;
        let seconds = text.split([';', ',']).find_map(|part| part.trim().strip_prefix("t="))?;
        Some(Duration::from_secs(seconds.parse::<u32>().ok()?.into()))
    })
}

/// The `next` of a `Link` header.
fn next_page(headers: &HeaderMap) -> Option<&str> {
    let links = headers.get(header::LINK)?.to_str().ok()?;
    links.split(',').find_map(|link| {
        let (url, rest) = link.trim().strip_prefix('<')?.split_once('>')?;
        rest.split(';').any(|part| matches!(part.trim(), "rel=\"next\"" | "rel=next")).then_some(url)
    })
}

fn account(whoami: &Value) -> Option<Account> {
    let name = whoami["name"].as_str()?.to_owned();
    let all = whoami["orgs"].as_array().into_iter().flatten();
    let writable = all.filter(|one| one["roleInOrg"] != "read");
    let organizations = writable.filter_map(|one| one["name"].as_str()).map(str::to_owned).collect();
    let token = &whoami["auth"]["accessToken"];
    let access = match token["role"].as_str() {
        Some("read") => Access::Read,
        Some("write") => Access::Write,
        Some("fineGrained") => {
            let scopes = token["fineGrained"]["scoped"].as_array().into_iter().flatten();
            let writes = |scope: &&Value| {
                let mut permissions = scope["permissions"].as_array().into_iter().flatten();
                permissions.any(|permission| permission == "repo.write")
            };
            let names = scopes.filter(writes).filter_map(|scope| scope["entity"]["name"].as_str());
            Access::FineGrained(names.map(str::to_owned).collect())
        }
        _ => Access::Unknown,
    };
    Some(Account { name, organizations, access })
}

fn remote_file(entry: &Value) -> Option<RemoteFile> {
    let lfs = &entry["lfs"];
    // The id may be written `sha256:…`.
    let sha256 = ["oid", "sha256"].iter().find_map(|key| lfs[key].as_str());
    Some(RemoteFile {
        path: entry["path"].as_str()?.to_owned(),
        size: lfs["size"].as_u64().or(entry["size"].as_u64())?,
        oid: entry["oid"].as_str().unwrap_or_default().to_owned(),
        sha256: sha256.map(|oid| oid.strip_prefix("sha256:").unwrap_or(oid).to_owned()),
    })
}

/// A revision as one segment of a path: `refs/pr/1` has slashes of its own. What git forbids in names is refused.
fn encoded_revision(revision: &str) -> Result<String, Cause> {
    let forbidden = |c: char| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c);
    if revision.is_empty()
        || revision.len() > 255
        || revision.contains(forbidden)
        || ["..", "@{", "//"].iter().any(|text| revision.contains(text))
        || revision.starts_with(['/', '-', '.'])
        || revision.ends_with(['/', '.'])
    {
        return Err(Cause::BadRevision(shown(revision)));
    }
    Ok(encoded(revision))
}

fn encoded_path(path: &str) -> Result<String, Cause> {
    let bad = |part: &str| part.is_empty() || part == "." || part == "..";
    if path.split('/').any(bad) || path.contains(char::is_control) {
        return Err(Cause::BadPath(shown(path)));
    }
    Ok(path.split('/').map(encoded).collect::<Vec<_>>().join("/"))
}

/// Percent-encoded, all but what a URL never needs encoded.
fn encoded(text: &str) -> String {
    use std::fmt::Write as _;

    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(byte.into());
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

/// What somebody typed, bounded.
fn shown(text: &str) -> String {
    text.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use proptest::prelude::*;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    #[test]
    fn the_next_page_is_the_link_that_says_so() {
        let next = |link: &str| next_page(&headers(&[("link", link)])).map(str::to_owned);
        let url = "https://huggingface.co/api/models/a/b/tree/main?cursor=x%3D&limit=1000";
        assert_eq!(next(&format!("<{url}>; rel=\"next\"")).as_deref(), Some(url));
        let two = format!("<https://huggingface.co/a>; rel=\"prev\", <{url}>; x=y; rel=next");
        assert_eq!(next(&two).as_deref(), Some(url));
        for none in ["", "<a>; rel=\"prev\"", "a; rel=next", "<a; rel=next"] {
            assert_eq!(next(none), None, "{none}");
        }
    }

    #[test]
    fn a_wait_is_told_in_either_of_two_headers() {
        let wait = |pairs: &[(&'static str, &str)]| {
            let answer = Response {
                status: StatusCode::TOO_MANY_REQUESTS,
                headers: headers(pairs),
                body: Bytes::new(),
                trailers: HeaderMap::new(),
            };
            wait(&answer, SystemTime::UNIX_EPOCH).map(|wait| wait.as_secs())
        };
        assert_eq!(wait(&[("retry-after", "7")]), Some(7));
        assert_eq!(wait(&[("ratelimit", "\"api\";r=0;t=55")]), Some(55));
        assert_eq!(wait(&[("retry-after", "7"), ("ratelimit", "\"api\";r=0;t=55")]), Some(7));
        for none in ["", "\"api\";r=0", "t=soon", "t=-1", "t=99999999999"] {
            assert_eq!(wait(&[("ratelimit", none)]), None, "{none}");
        }
        assert_eq!(wait(&[]), None);
    }

    #[test]
    fn an_account_is_read_whatever_kind_its_token_is() {
        let of = |auth: Value| {
            let orgs =
                json!([{"name": "score", "roleInOrg": "write"}, {"name": "shut", "roleInOrg": "read"}]);
            account(&json!({"name": "miner", "orgs": orgs, "auth": auth})).unwrap()
        };
        let may = |account: &Account, name: &str| account.may_write(&name.parse().unwrap());
        let write = of(json!({"accessToken": {"role": "write"}}));
        assert_eq!(write.organizations, ["score"]);
        assert_eq!(
            ["miner/x", "score/x", "shut/x"].map(|name| may(&write, name)),
            [true, true, false].map(Some)
        );
        let other = of(json!({"type": "oauth"}));
        assert_eq!(["miner/x", "other/x"].map(|name| may(&other, name)), [None, Some(false)]);
        let scoped = json!([
            {"entity": {"name": "miner/x"}, "permissions": ["repo.content.read"]},
            {"entity": {"name": "miner/y"}, "permissions": ["repo.content.read", "repo.write"]},
        ]);
        let fine = of(json!({"accessToken": {"role": "fineGrained", "fineGrained": {"scoped": scoped}}}));
        assert_eq!(["miner/x", "miner/y"].map(|name| may(&fine, name)), [false, true].map(Some));
        assert_eq!(account(&json!({"orgs": []})), None);
    }

    #[test]
    fn a_commit_has_forty_digits() {
        let id = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(id.parse::<Commit>().unwrap().as_str(), id);
        for bad in ["", "main", &id[1..], &id.to_uppercase(), &format!("{id}0"), &format!("0x{}", &id[2..])] {
            assert!(bad.parse::<Commit>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_one_segment_and_the_same_again(text in "\\PC{1,30}") {
            prop_assume!(text != "." && text != "..");
            let url = Url::parse(&format!("http://h/a/{}/b?c", encoded(&text))).unwrap();
            let segments: Vec<&str> = url.path_segments().unwrap().collect();
            prop_assert_eq!(segments.len(), 3);
            let mut bytes = Vec::new();
            let mut rest = segments[1].bytes();
            while let Some(byte) = rest.next() {
                bytes.push(match byte {
                    b'%' => {
                        let digits = [rest.next().unwrap(), rest.next().unwrap()];
                        u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
                    }
                    byte => byte,
                });
            }
            prop_assert_eq!(String::from_utf8(bytes).unwrap(), text);
        }

        #[test]
        fn a_revision_that_is_taken_never_leaves_its_segment(text in "\\PC{0,12}") {
            if let Ok(encoded) = encoded_revision(&text) {
                let url = Url::parse(&format!("http://h/a/{encoded}/b")).unwrap();
                prop_assert_eq!(url.path(), format!("/a/{encoded}/b"));
            }
        }
    }
}
