//! A loopback Docker Hub, its web API only (the registry is [`registry`](crate::registry)'s): logins,
//! repositories and their collaborators. It can refuse, limit, break and be silent on request, and records what
//! was asked of it.
//!
//! What is served, and how, follows the calls that Score's deploy command makes; where the real texts of refusals
//! are known from public reports, they are sent.

use std::collections::{BTreeMap, HashMap};
use std::future::pending;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::http1;

/// Largest body that is read.
const MAX_BODY: usize = 64 * 1024;
/// Collaborators on one page.
pub const PAGE: usize = 10;

/// One of the calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// `POST /v2/users/login`
    Login,
    /// `GET /v2/repositories/{owner}/{name}/`
    Repository,
    /// `POST /v2/repositories/`
    Create,
    /// `PUT /v2/repositories/{owner}/{name}/collaborators/{collaborator}/`
    AddCollaborator,
    /// `GET /v2/repositories/{owner}/{name}/collaborators/`
    Collaborators,
}

/// What happens in place of an answer.
#[derive(Debug, Clone)]
pub enum Fault {
    /// 401: the access token's days are over.
    TokenExpired,
    /// 401: the session's minutes are over.
    SessionExpired,
    /// 403: not with a session that came from an access token.
    AccessTokenRefused,
    /// 403: the access token may read only.
    InsufficientScope,
    /// 429 with `Retry-After` in seconds.
    RateLimited(u32),
    /// 500 with a page for people.
    ServiceError,
    /// This status with this body.
    Answer(u16, String),
    /// The connection is closed without an answer.
    Closed,
    /// Nothing ever comes.
    Silent,
}

/// One request as it came, in the order of arrival.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The body, `Null` where there was none or no JSON.
    pub body: Value,
}

#[derive(Debug)]
struct Repository {
    private: bool,
    /// Names with their permissions.
    collaborators: Vec<(String, String)>,
}

#[derive(Debug)]
struct State {
    /// Names with their access tokens, where somebody may log in with one.
    accounts: HashMap<String, Option<String>>,
    /// Session tokens with their accounts.
    sessions: HashMap<String, String>,
    /// By `owner/name`.
    repositories: BTreeMap<String, Repository>,
    private_limit: usize,
    name_key: &'static str,
    faults: Vec<(Call, Fault, u32)>,
    asked: Vec<Asked>,
}

/// A running Docker Hub. It stops, with all its connections, when dropped.
#[derive(Debug)]
pub struct DockerHub {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    // Dropping the set ends the accept loop, which owns the connections.
    _tasks: JoinSet<()>,
}

impl DockerHub {
    /// Starts one on a free loopback port, with the two accounts that Score has used and nothing else.
    ///
    /// # Errors
    /// When no loopback port can be opened.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State {
            accounts: ["scorevision", "mikhaelscore"].map(|name| (name.to_owned(), None)).into(),
            sessions: HashMap::new(),
            repositories: BTreeMap::new(),
            private_limit: usize::MAX,
            name_key: "user",
            faults: Vec::new(),
            asked: Vec::new(),
        }));
        let shared = Arc::clone(&state);
        let mut tasks = JoinSet::new();
        tasks.spawn(http1::accept(listener, move |request| answer(request, address, Arc::clone(&shared))));
        Ok(Self { address, state, _tasks: tasks })
    }

    /// Its URL, `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// An account that logs in with this access token.
    pub fn account(&self, name: &str, token: &str) {
        lock(&self.state).accounts.insert(name.to_owned(), Some(token.to_owned()));
    }

    /// A repository, named `owner/name`, without collaborators.
    pub fn repository(&self, name: &str, private: bool) {
        let repository = Repository { private, collaborators: Vec::new() };
        lock(&self.state).repositories.insert(name.to_owned(), repository);
    }

    /// Most private repositories that an account may have; any number unless told.
    pub fn private_limit(&self, most: usize) {
        lock(&self.state).private_limit = most;
    }

    /// The key of a collaborator's name in listings: `user` unless told.
    pub fn name_key(&self, key: &'static str) {
        lock(&self.state).name_key = key;
    }

    /// Lets the next `times` requests of a call meet a fault. Faults of one call are met in the order of
    /// planting.
    pub fn plant(&self, call: Call, fault: Fault, times: u32) {
        lock(&self.state).faults.push((call, fault, times));
    }

    /// Gives or changes a permission as if by hand in the web page.
    ///
    /// # Panics
    /// Where there is no such repository.
    pub fn share(&self, repository: &str, collaborator: &str, permission: &str) {
        let mut state = lock(&self.state);
        let repository = state.repositories.get_mut(repository).expect("the repository was made before");
        repository.set(collaborator, permission);
    }

    /// Whether a repository is private; `None` where there is none of this `owner/name`.
    #[must_use]
    pub fn is_private(&self, repository: &str) -> Option<bool> {
        lock(&self.state).repositories.get(repository).map(|repository| repository.private)
    }

    /// Names and permissions of a repository's collaborators.
    #[must_use]
    pub fn collaborators(&self, repository: &str) -> Vec<(String, String)> {
        let state = lock(&self.state);
        state.repositories.get(repository).map(|one| one.collaborators.clone()).unwrap_or_default()
    }

    /// What was asked so far, oldest first.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.state).asked.clone()
    }
}

impl Repository {
    fn set(&mut self, collaborator: &str, permission: &str) {
        self.collaborators.retain(|(name, _)| name != collaborator);
        self.collaborators.push((collaborator.to_owned(), permission.to_owned()));
    }
}

type Reply = Response<Full<Bytes>>;

async fn answer(
    request: Request<Incoming>,
    address: SocketAddr,
    state: Arc<Mutex<State>>,
) -> io::Result<Reply> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, MAX_BODY).collect().await.map_err(io::Error::other)?.to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let path = head.uri.path();
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let fault = {
        let mut state = lock(&state);
        state.asked.push(Asked {
            method: head.method.to_string(),
            path: head.uri.to_string(),
            body: body.clone(),
        });
        let Some(call) = call(&head.method, &segments) else {
            return Ok(reply(404, &json!({"message": "404 page not found"})));
        };
        match state.fault(call) {
            None => return Ok(state.serve(call, &segments, head.uri.query(), &head.headers, &body, address)),
            Some(fault) => fault,
        }
    };
    Ok(match fault {
        Fault::TokenExpired => reply(401, &json!({"detail": "personal access token is expired"})),
        Fault::SessionExpired => reply(401, &json!({"message": "token is expired", "errinfo": {}})),
        Fault::AccessTokenRefused => reply(
            403,
            &json!({"message": "token issued from personal access token is not allowed", "errinfo": {}}),
        ),
        Fault::InsufficientScope => reply(403, &json!({"message": "insufficient scope", "errinfo": {}})),
        Fault::RateLimited(seconds) => {
            let mut reply = reply(429, &json!({"detail": "Rate limit exceeded", "error": false}));
            reply.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            reply
        }
        Fault::ServiceError => plain(500, "<html><body>Internal Server Error</body></html>"),
        Fault::Answer(status, body) => plain(status, body),
        Fault::Closed => return Err(io::Error::other("closed, as the test asked")),
        Fault::Silent => pending().await,
    })
}

/// The exact paths; the real service redirects others, which a client should not rely on.
fn call(method: &Method, segments: &[&str]) -> Option<Call> {
    match (method, segments) {
        (&Method::POST, ["v2", "users", "login"]) => Some(Call::Login),
        (&Method::POST, ["v2", "repositories", ""]) => Some(Call::Create),
        (&Method::GET, ["v2", "repositories", _, _, ""]) => Some(Call::Repository),
        (&Method::GET, ["v2", "repositories", _, _, "collaborators", ""]) => Some(Call::Collaborators),
        (&Method::PUT, ["v2", "repositories", _, _, "collaborators", _, ""]) => Some(Call::AddCollaborator),
        _ => None,
    }
}

impl State {
    fn fault(&mut self, call: Call) -> Option<Fault> {
        let (_, fault, left) = self.faults.iter_mut().find(|(at, _, left)| *at == call && *left > 0)?;
        *left -= 1;
        Some(fault.clone())
    }

    fn serve(
        &mut self,
        call: Call,
        segments: &[&str],
        query: Option<&str>,
        headers: &HeaderMap,
        body: &Value,
        address: SocketAddr,
    ) -> Reply {
        if call == Call::Login {
            return self.login(body);
        }
        let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let session = bearer.and_then(|value| value.strip_prefix("Bearer "));
        let Some(account) = session.and_then(|token| self.sessions.get(token)).cloned() else {
            return reply(401, &json!({"message": "authentication required", "errinfo": {}}));
        };
        if call == Call::Create {
            return self.create(&account, body);
        }
        let &["v2", "repositories", owner, name, ref rest @ ..] = segments else {
            unreachable!("the other calls' paths begin so");
        };
        let full_name = format!("{owner}/{name}");
        let missing = || reply(404, &json!({"message": "object not found", "errinfo": {}}));
        let name_key = self.name_key;
        let Some(repository) = self.repositories.get_mut(&full_name) else {
            return missing();
        };
        if owner != account && (repository.private || call != Call::Repository) {
            return missing();
        }
        match rest {
            ["collaborators", ""] => {
                let page: usize =
                    query.and_then(|query| query.strip_prefix("page=")?.parse().ok()).unwrap_or(1).max(1);
                let all = &repository.collaborators;
                let next = (all.len() > page * PAGE).then(|| {
                    format!("http://{address}/v2/repositories/{full_name}/collaborators/?page={}", page + 1)
                });
                let results: Vec<Value> = all
                    .iter()
                    .skip((page - 1) * PAGE)
                    .take(PAGE)
                    .map(|(name, permission)| json!({name_key: name, "permission": permission}))
                    .collect();
                let answer = json!({"count": all.len(), "next": next, "previous": null, "results": results});
                reply(200, &answer)
            }
            ["collaborators", collaborator, ""] => {
                let permission = body["permission"].as_str();
                if !self.accounts.contains_key(*collaborator) {
                    return reply(404, &json!({"message": "user not found", "errinfo": {}}));
                }
                let Some(permission @ ("read" | "write" | "admin")) = permission else {
                    return reply(400, &json!({"permission": ["This field is required."]}));
                };
                repository.set(collaborator, permission);
                reply(200, &json!({name_key: collaborator, "permission": permission}))
            }
            _ => reply(200, &described(owner, name, repository.private)),
        }
    }

    fn login(&mut self, body: &Value) -> Reply {
        let (username, password) = (body["username"].as_str(), body["password"].as_str());
        let known = username.and_then(|name| self.accounts.get(name)?.as_deref());
        match username {
            Some(username) if known.is_some() && known == password => {
                let session = format!("session-{}", self.sessions.len() + 1);
                self.sessions.insert(session.clone(), username.to_owned());
                reply(200, &json!({"token": session}))
            }
            _ => reply(401, &json!({"detail": "Incorrect authentication credentials"})),
        }
    }

    fn create(&mut self, account: &str, body: &Value) -> Reply {
        let (Some(owner), Some(name), Some(private)) =
            (body["namespace"].as_str(), body["name"].as_str(), body["is_private"].as_bool())
        else {
            return reply(400, &json!({"name": ["This field is required."]}));
        };
        if owner != account {
            return reply(403, &json!({"message": "permission denied", "errinfo": {}}));
        }
        let full_name = format!("{owner}/{name}");
        if self.repositories.contains_key(&full_name) {
            let taken = json!({"__all__": ["Repository with this Name and Namespace already exists."]});
            return reply(400, &taken);
        }
        let prefix = format!("{owner}/");
        let own = self.repositories.iter().filter(|(name, one)| name.starts_with(&prefix) && one.private);
        if private && own.count() >= self.private_limit {
            return reply(402, &json!({"message": "No more private repositories available", "errinfo": {}}));
        }
        self.repositories.insert(full_name, Repository { private, collaborators: Vec::new() });
        reply(201, &described(owner, name, private))
    }
}

fn described(owner: &str, name: &str, private: bool) -> Value {
    json!({"user": owner, "name": name, "namespace": owner, "status": 1, "is_private": private})
}

fn reply(status: u16, body: &Value) -> Reply {
    plain(status, body.to_string())
}

fn plain(status: u16, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = StatusCode::from_u16(status).expect("the caller's status code is a constant");
    reply
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // What a panicking test left there is still whole.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
