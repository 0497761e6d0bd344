//! A loopback Hugging Face Hub: accounts and their tokens, models' repositories with their commits, the store for large
//! files (Git LFS, in one piece or in parts), listings and downloads. It can refuse, limit, break off and be silent on
//! request, and records what was asked of it.
//!
//! What is served, and how, follows the Turbo Vision reference, section 4. Texts of refusals are those that the Hub is known
//! to give.

use std::collections::{BTreeMap, HashMap};
use std::future::pending;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use ring::digest::{Context, Digest, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::http1;

/// Largest body of a call that is no upload, in bytes.
const MAX_BODY: usize = 256 << 20;
/// Largest file that a commit may carry itself, in bytes.
const INLINE: usize = 10 << 20;
/// Files on one page of a listing, unless told.
const PAGE: usize = 1000;
/// Suffixes that a new repository's `.gitattributes` names, of those that models have.
const LARGE: [&str; 8] = [".bin", ".h5", ".onnx", ".pt", ".pth", ".safetensors", ".zip", ".gz"];

/// One of the calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    /// `GET /api/whoami-v2`
    Whoami,
    /// `POST /api/repos/create`
    Create,
    /// `PUT /api/models/{owner}/{name}/settings`
    Settings,
    /// `GET /api/models/{owner}/{name}[/revision/{revision}]`
    Info,
    /// `GET /api/models/{owner}/{name}/tree/{revision}`
    Tree,
    /// `POST /api/models/{owner}/{name}/preupload/{branch}`
    Preupload,
    /// `POST /{owner}/{name}.git/info/lfs/objects/batch`
    Batch,
    /// `POST /{owner}/{name}.git/info/lfs/verify`
    Verify,
    /// `POST /api/models/{owner}/{name}/commit/{branch}`
    Commit,
    /// `GET` or `HEAD /{owner}/{name}/resolve/{revision}/{path}`
    Resolve,
    /// `PUT` of a file, or of a part of one, to the store
    Put,
    /// `POST` to the store: all parts of a file are there
    Complete,
    /// `GET` from the store
    Get,
}

/// What happens in place of an answer.
#[derive(Debug, Clone)]
pub enum Fault {
    /// This status with this body, as JSON where it is some.
    Answer(u16, String),
    /// 429 with `Retry-After` in seconds.
    RateLimited(u32),
    /// 200 with a page for people, as a network's login page comes.
    Page,
    /// The connection is closed without an answer.
    Closed,
    /// The connection is closed after so many bytes of the body came in.
    ClosedAfter(usize),
    /// What was asked is done, and the connection closed without an answer.
    AnswerLost,
    /// What was asked is done, and the answer is this one.
    DoneBut(u16),
    /// The body is not read, and nothing ever comes.
    Silent,
}

/// How large files come into the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transfer {
    /// Each in one piece.
    Basic,
    /// In parts of so many bytes.
    Multipart(u64),
}

/// What a token may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// Read what the account may read.
    Read,
    /// All that the account may.
    Write,
    /// Write to these: accounts or organizations, and repositories as `owner/name`.
    FineGrained(Vec<String>),
}

/// One request as it came, in the order of arrival.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// Which call it is; none where the path is no call's.
    pub call: Option<Call>,
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Whether there was an `Authorization`.
    pub authorized: bool,
    /// The body where it is JSON, or one JSON a line; else `Null`.
    pub body: Value,
    /// Bytes of the body that came.
    pub bytes: u64,
}

/// A commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its id.
    pub id: String,
    /// The id of the one before.
    pub parent: Option<String>,
    /// The first line of its message.
    pub title: String,
    files: BTreeMap<String, Content>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    Inline(Bytes),
    Stored { sha256: String, size: u64 },
}

#[derive(Debug)]
struct Repository {
    private: bool,
    gated: bool,
    ignored: Vec<String>,
    commits: Vec<Commit>,
}

#[derive(Debug)]
struct Account {
    name: String,
    role: Role,
}

#[derive(Debug)]
struct Object {
    sha256: String,
    content: Vec<Bytes>,
    size: u64,
}

#[derive(Debug)]
struct State {
    address: SocketAddr,
    /// By token.
    accounts: HashMap<String, Account>,
    /// Organizations with their members.
    organizations: BTreeMap<String, Vec<String>>,
    /// By `owner/name`.
    repositories: BTreeMap<String, Repository>,
    transfer: Transfer,
    page: usize,
    stuck: bool,
    /// What addresses of the store are good now.
    signature: u32,
    /// By the id that they were sent as.
    store: HashMap<String, Object>,
    /// By upload: the file's id, and its parts by number.
    uploads: HashMap<u32, (String, BTreeMap<u64, Object>)>,
    faults: Vec<(Call, Fault, u32)>,
    asked: Vec<Asked>,
}

/// A running Hub. It stops, with all its connections, when dropped.
#[derive(Debug)]
pub struct HuggingFace {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    // Dropping the set ends the accept loop, which owns the connections.
    _tasks: JoinSet<()>,
}

impl HuggingFace {
    /// Starts one on a free loopback port, without accounts and repositories.
    ///
    /// # Errors
    /// When no loopback port can be opened.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State {
            address,
            accounts: HashMap::new(),
            organizations: BTreeMap::new(),
            repositories: BTreeMap::new(),
            transfer: Transfer::Basic,
            page: PAGE,
            stuck: false,
            signature: 1,
            store: HashMap::new(),
            uploads: HashMap::new(),
            faults: Vec::new(),
            asked: Vec::new(),
        }));
        let shared = Arc::clone(&state);
        let mut tasks = JoinSet::new();
        tasks.spawn(http1::accept(listener, move |request| answer(request, Arc::clone(&shared))));
        Ok(Self { address, state, _tasks: tasks })
    }

    /// Its URL, `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A token of an account.
    pub fn account(&self, name: &str, token: &str, role: Role) {
        lock(&self.state).accounts.insert(token.to_owned(), Account { name: name.to_owned(), role });
    }

    /// An organization, and who belongs to it.
    pub fn organization(&self, name: &str, members: &[&str]) {
        let members = members.iter().map(|member| (*member).to_owned()).collect();
        lock(&self.state).organizations.insert(name.to_owned(), members);
    }

    /// A repository, named `owner/name`, as it is after it was made. Returns its first commit.
    pub fn repository(&self, name: &str, private: bool) -> String {
        lock(&self.state).create(name, private)
    }

    /// Puts a gate before a repository, or takes it away.
    ///
    /// # Panics
    /// As do all that name a repository: where there is none.
    pub fn gate(&self, name: &str, gated: bool) {
        lock(&self.state).known(name).gated = gated;
    }

    /// What the repository's `.gitignore` keeps out, by path.
    pub fn ignore(&self, name: &str, paths: &[&str]) {
        lock(&self.state).known(name).ignored = paths.iter().map(|path| (*path).to_owned()).collect();
    }

    /// A commit of small files by somebody else. Returns its id.
    pub fn commit(&self, name: &str, files: &[(&str, &[u8])]) -> String {
        let mut state = lock(&self.state);
        let repository = state.known(name);
        let mut all = repository.head().map(|commit| commit.files.clone()).unwrap_or_default();
        for (path, content) in files {
            all.insert((*path).to_owned(), Content::Inline(Bytes::copy_from_slice(content)));
        }
        repository.commit("somebody else's", all)
    }

    /// How large files come into the store: [`Transfer::Basic`] unless told.
    pub fn transfer(&self, transfer: Transfer) {
        lock(&self.state).transfer = transfer;
    }

    /// Files on one page of a listing; 1000 unless told.
    pub fn page(&self, files: usize) {
        lock(&self.state).page = files.max(1);
    }

    /// Takes settings without doing anything about them, or no longer.
    pub fn stuck(&self, stuck: bool) {
        lock(&self.state).stuck = stuck;
    }

    /// All addresses of the store that were given out are good no longer.
    pub fn expire_addresses(&self) {
        lock(&self.state).signature += 1;
    }

    /// Lets the next `times` requests of a call meet a fault. Faults of one call are met in the order of planting.
    pub fn plant(&self, call: Call, fault: Fault, times: u32) {
        lock(&self.state).faults.push((call, fault, times));
    }

    /// Whether a repository is private; `None` where there is none of this `owner/name`.
    #[must_use]
    pub fn is_private(&self, name: &str) -> Option<bool> {
        lock(&self.state).repositories.get(name).map(|repository| repository.private)
    }

    /// A repository's commits, oldest first.
    #[must_use]
    pub fn commits(&self, name: &str) -> Vec<Commit> {
        lock(&self.state).known(name).commits.clone()
    }

    /// The content of each file at a revision.
    ///
    /// # Panics
    /// Where there is no such revision, too.
    #[must_use]
    pub fn files(&self, name: &str, revision: &str) -> BTreeMap<String, Vec<u8>> {
        let mut state = lock(&self.state);
        let commit = state.known(name).find(revision).expect("the revision is there").clone();
        let content = |content: &Content| match content {
            Content::Inline(bytes) => bytes.to_vec(),
            Content::Stored { sha256, .. } => state.store[sha256].content.concat(),
        };
        commit.files.iter().map(|(path, file)| (path.clone(), content(file))).collect()
    }

    /// Which of a revision's files are in the store, not in git.
    #[must_use]
    pub fn stored(&self, name: &str, revision: &str) -> Vec<String> {
        let mut state = lock(&self.state);
        let commit = state.known(name).find(revision).expect("the revision is there");
        let stored = |content: &Content| matches!(content, Content::Stored { .. });
        commit.files.iter().filter(|(_, file)| stored(file)).map(|(path, _)| path.clone()).collect()
    }

    /// An address that takes any bytes by PUT as the store does, hashed and kept, under a name. For comparing clients.
    #[must_use]
    pub fn put_address(&self, name: &str) -> String {
        format!("{}/storage/{name}?signature={}", self.url(), lock(&self.state).signature)
    }

    /// What was asked so far, oldest first.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.state).asked.clone()
    }

    /// The requests of one call so far.
    #[must_use]
    pub fn asked_for(&self, call: Call) -> Vec<Asked> {
        self.asked().into_iter().filter(|asked| asked.call == Some(call)).collect()
    }
}

impl Commit {
    /// The paths of its files, in order.
    #[must_use]
    pub fn paths(&self) -> Vec<&str> {
        self.files.keys().map(String::as_str).collect()
    }
}

impl Repository {
    fn head(&self) -> Option<&Commit> {
        self.commits.last()
    }

    fn commit(&mut self, title: &str, files: BTreeMap<String, Content>) -> String {
        let parent = self.head().map(|commit| commit.id.clone());
        let what: Vec<_> = files.iter().map(|(path, content)| (path, content.oid())).collect();
        // A number makes it another commit, as the time does in git.
        let text = format!("{parent:?} {title} {} {what:?}", self.commits.len());
        let id = hex::encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()));
        self.commits.push(Commit { id: id.clone(), parent, title: title.to_owned(), files });
        id
    }

    /// A branch, a commit's id, or the beginning of one.
    fn find(&self, revision: &str) -> Option<&Commit> {
        if revision == "main" {
            return self.head();
        }
        let mut found = self.commits.iter().filter(|commit| commit.id.starts_with(revision));
        let first = found.next().filter(|_| revision.len() >= 4)?;
        found.next().is_none().then_some(first)
    }
}

impl Content {
    fn size(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::Stored { size, .. } => *size,
        }
    }

    /// What git has of it.
    fn blob(&self) -> Bytes {
        match self {
            Self::Inline(bytes) => bytes.clone(),
            Self::Stored { sha256, size } => {
                format!("version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n")
                    .into()
            }
        }
    }

    fn oid(&self) -> String {
        let blob = self.blob();
        let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
        context.update(format!("blob {}\0", blob.len()).as_bytes());
        context.update(&blob);
        hex::encode(context.finish())
    }

    fn listed(&self, path: &str) -> Value {
        let mut entry = json!({"type": "file", "oid": self.oid(), "size": self.size(), "path": path});
        if let Self::Stored { sha256, size } = self {
            entry["lfs"] = json!({"oid": sha256, "size": size, "pointerSize": self.blob().len()});
        }
        entry
    }
}

type Reply = Response<Full<Bytes>>;

/// A request without its body.
struct Head {
    method: Method,
    segments: Vec<String>,
    query: HashMap<String, String>,
    headers: HeaderMap,
    path: String,
}

impl Head {
    /// The token, where there is one.
    fn token(&self) -> Option<&str> {
        self.headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
    }

    fn call(&self) -> Option<Call> {
        let segments: Vec<&str> = self.segments.iter().map(String::as_str).collect();
        let git = |name: &str| name.ends_with(".git");
        Some(match (self.method.as_str(), &segments[..]) {
            ("GET", ["api", "whoami-v2"]) => Call::Whoami,
            ("POST", ["api", "repos", "create"]) => Call::Create,
            ("PUT", ["api", "models", _, _, "settings"]) => Call::Settings,
            ("GET", ["api", "models", _, _] | ["api", "models", _, _, "revision", _]) => Call::Info,
            ("GET", ["api", "models", _, _, "tree", _]) => Call::Tree,
            ("POST", ["api", "models", _, _, "preupload", _]) => Call::Preupload,
            ("POST", ["api", "models", _, _, "commit", _]) => Call::Commit,
            ("POST", [_, name, "info", "lfs", "objects", "batch"]) if git(name) => Call::Batch,
            ("POST", [_, name, "info", "lfs", "verify"]) if git(name) => Call::Verify,
            ("GET" | "HEAD", [_, _, "resolve", _, _, ..]) => Call::Resolve,
            ("PUT", ["storage", ..]) => Call::Put,
            ("POST", ["storage", ..]) => Call::Complete,
            ("GET", ["storage", ..]) => Call::Get,
            _ => return None,
        })
    }

    /// `owner/name` of the repository that it is about.
    fn repository(&self) -> String {
        let (owner, name) = match self.segments.first().map(String::as_str) {
            Some("api") => (self.segments.get(2), self.segments.get(3)),
            _ => (self.segments.first(), self.segments.get(1)),
        };
        let name = name.map(|name| name.strip_suffix(".git").unwrap_or(name));
        format!("{}/{}", owner.map_or("", String::as_str), name.unwrap_or_default())
    }
}

async fn answer(request: Request<Incoming>, state: Arc<Mutex<State>>) -> io::Result<Reply> {
    let (parts, mut incoming) = request.into_parts();
    let query = parts.uri.query().unwrap_or_default();
    let head = Head {
        method: parts.method,
        segments: parts.uri.path().split('/').skip(1).map(decoded).collect(),
        query: query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(key, value)| (decoded(key), decoded(value)))
            .collect(),
        headers: parts.headers,
        path: parts.uri.to_string(),
    };
    let call = head.call();
    let (fault, at) = {
        let mut state = lock(&state);
        state.asked.push(Asked {
            call,
            method: head.method.to_string(),
            path: head.path.clone(),
            authorized: head.headers.contains_key(header::AUTHORIZATION),
            body: Value::Null,
            bytes: 0,
        });
        let at = state.asked.len() - 1;
        (call.and_then(|call| state.fault(call)), at)
    };
    if matches!(fault, Some(Fault::Silent)) {
        pending::<()>().await;
    }
    let most = match fault {
        Some(Fault::ClosedAfter(bytes)) => bytes,
        _ => usize::MAX,
    };
    let body = read(&mut incoming, call == Some(Call::Put), most).await;
    let came = body.as_ref().map_or(most as u64, |body| body.size);
    lock(&state).asked[at].bytes = came;
    let body = body?;
    let whole = if call == Some(Call::Put) { Bytes::new() } else { body.content.concat().into() };
    let json = parsed(&whole);
    lock(&state).asked[at].body = json.clone();
    let lost = || Err(io::Error::other("closed, as the test asked"));
    match fault {
        None => {}
        Some(Fault::Answer(status, text)) => return Ok(plain(status, text)),
        Some(Fault::RateLimited(seconds)) => {
            let mut reply = refusal(429, None, "Too many requests");
            reply.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            return Ok(reply);
        }
        Some(Fault::Page) => {
            let mut reply = plain(200, "<!doctype html><html><body>Please log in</body></html>");
            reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
            return Ok(reply);
        }
        Some(Fault::Closed | Fault::ClosedAfter(_) | Fault::Silent) => return lost(),
        Some(Fault::AnswerLost) => {
            if let Some(call) = call {
                lock(&state).serve(call, &head, body, &json);
            }
            return lost();
        }
        Some(Fault::DoneBut(status)) => {
            if let Some(call) = call {
                lock(&state).serve(call, &head, body, &json);
            }
            return Ok(plain(status, ""));
        }
    }
    let Some(call) = call else {
        return Ok(refusal(404, None, "Sorry, we can't find the page you are looking for."));
    };
    Ok(lock(&state).serve(call, &head, body, &json))
}

/// A body in the pieces it came in, hashed where it is to be stored. An error after `most` bytes.
async fn read(body: &mut Incoming, hashed: bool, most: usize) -> io::Result<Object> {
    let mut context = hashed.then(|| Context::new(&SHA256));
    let mut object = Object { sha256: String::new(), content: Vec::new(), size: 0 };
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame.map_err(io::Error::other)?.into_data() else {
            continue;
        };
        object.size += piece.len() as u64;
        if object.size >= most as u64 || (!hashed && object.size > MAX_BODY as u64) {
            return Err(io::Error::other("closed, as the test asked"));
        }
        if let Some(context) = &mut context {
            context.update(&piece);
        }
        object.content.push(piece);
    }
    object.sha256 = context.map_or_else(String::new, |context| hex::encode(context.finish()));
    Ok(object)
}

/// JSON, or an array of what stands on each line.
fn parsed(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|_| {
        let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(serde_json::from_slice).collect::<Result<Vec<Value>, _>>().map_or(Value::Null, Value::Array)
    })
}

impl State {
    fn fault(&mut self, call: Call) -> Option<Fault> {
        let (_, fault, left) = self.faults.iter_mut().find(|(at, _, left)| *at == call && *left > 0)?;
        *left -= 1;
        Some(fault.clone())
    }

    fn known(&mut self, name: &str) -> &mut Repository {
        self.repositories.get_mut(name).expect("the repository was made before")
    }

    fn create(&mut self, name: &str, private: bool) -> String {
        let mut repository = Repository { private, gated: false, ignored: Vec::new(), commits: Vec::new() };
        let attributes: String =
            LARGE.iter().map(|suffix| format!("*{suffix} filter=lfs diff=lfs merge=lfs -text\n")).collect();
        let files = BTreeMap::from([(".gitattributes".to_owned(), Content::Inline(attributes.into()))]);
        let id = repository.commit("initial commit", files);
        self.repositories.insert(name.to_owned(), repository);
        id
    }

    fn serve(&mut self, call: Call, head: &Head, body: Object, json: &Value) -> Reply {
        if matches!(call, Call::Put | Call::Complete | Call::Get) {
            return self.storage(call, head, body, json);
        }
        let account = match head.token() {
            None => None,
            Some(token) => match self.accounts.get(token) {
                Some(account) => Some((account.name.clone(), account.role.clone())),
                None => return refusal(401, None, "Invalid credentials in Authorization header"),
            },
        };
        match call {
            Call::Whoami => return self.whoami(account),
            Call::Create => return self.create_call(account, json),
            _ => {}
        }
        let name = head.repository();
        let owner = name.split('/').next().unwrap_or_default().to_owned();
        let own = account.as_ref().is_some_and(|(account, _)| self.belongs(account, &owner));
        let gated = match self.repositories.get(&name) {
            Some(repository) if own || !repository.private => repository.gated && !own,
            // The Hub tells nobody which repositories are there.
            _ if account.is_none() => {
                return refusal(401, Some("RepoNotFound"), "Invalid username or password.");
            }
            _ => return refusal(404, Some("RepoNotFound"), "Repository not found"),
        };
        if gated && matches!(call, Call::Resolve) {
            let status = if account.is_none() { 401 } else { 403 };
            let text =
                format!("Access to model {name} is restricted and you are not in the authorized list.");
            return refusal(status, Some("GatedRepo"), &text);
        }
        if matches!(call, Call::Settings | Call::Preupload | Call::Batch | Call::Verify | Call::Commit) {
            let may = account.as_ref().is_some_and(|(_, role)| may_write(role, &owner, &name));
            match &account {
                None => return refusal(401, None, "Invalid username or password."),
                Some(_) if !own || !may => {
                    let text = "Forbidden: you must use a write token to upload to a repository.";
                    return refusal(403, None, text);
                }
                Some(_) => {}
            }
        }
        match call {
            Call::Settings => self.settings(&name, json),
            Call::Info => self.info(&name, head),
            Call::Tree => self.tree(&name, head),
            Call::Preupload => self.preupload(&name, json),
            Call::Batch => self.batch(&name, json),
            Call::Verify => self.verify(json),
            Call::Commit => self.commit_call(&name, json),
            _ => self.resolve(&name, head),
        }
    }

    fn belongs(&self, account: &str, owner: &str) -> bool {
        account == owner
            || self.organizations.get(owner).is_some_and(|members| members.iter().any(|one| one == account))
    }

    fn whoami(&self, account: Option<(String, Role)>) -> Reply {
        let Some((name, role)) = account else {
            return refusal(401, None, "Invalid username or password.");
        };
        let orgs: Vec<Value> = self
            .organizations
            .iter()
            .filter(|(_, members)| members.contains(&name))
            .map(|(name, _)| json!({"type": "org", "name": name, "roleInOrg": "admin"}))
            .collect();
        let mut token = json!({"displayName": "test", "createdAt": "2025-10-12T00:00:00.000Z"});
        match role {
            Role::Read => token["role"] = "read".into(),
            Role::Write => token["role"] = "write".into(),
            Role::FineGrained(to) => {
                token["role"] = "fineGrained".into();
                let scoped: Vec<Value> = to
                    .iter()
                    .map(|name| {
                        let kind = if name.contains('/') { "model" } else { "user" };
                        json!({
                            "entity": {"_id": "0", "type": kind, "name": name},
                            "permissions": ["repo.content.read", "repo.write"],
                        })
                    })
                    .collect();
                token["fineGrained"] = json!({"canReadGatedRepos": false, "global": [], "scoped": scoped});
            }
        }
        reply(
            200,
            &json!({
                "type": "user",
                "id": "0",
                "name": name,
                "fullname": name,
                "orgs": orgs,
                "auth": {"type": "access_token", "accessToken": token},
            }),
        )
    }

    fn create_call(&mut self, account: Option<(String, Role)>, body: &Value) -> Reply {
        let Some((account, role)) = account else {
            return refusal(401, None, "Invalid username or password.");
        };
        let Some(name) = body["name"].as_str() else {
            return refusal(400, None, "\"name\" is required");
        };
        let owner = body["organization"].as_str().unwrap_or(&account).to_owned();
        let full = format!("{owner}/{name}");
        // A token for one repository alone may not make it.
        if !self.belongs(&account, &owner) || !may_write(&role, &owner, "") {
            let text = format!("You don't have the rights to create a model under the namespace \"{owner}\"");
            return refusal(403, None, &text);
        }
        let url = format!("http://{}/{full}", self.address);
        if self.repositories.contains_key(&full) {
            let body = json!({"error": "You already created this model repo", "url": url});
            return reply(409, &body);
        }
        self.create(&full, body["private"] == true);
        reply(200, &json!({"url": url, "name": full, "id": "0"}))
    }

    fn settings(&mut self, name: &str, body: &Value) -> Reply {
        let stuck = self.stuck;
        let repository = self.known(name);
        if let (Some(private), false) = (body["private"].as_bool(), stuck) {
            repository.private = private;
        }
        reply(200, body)
    }

    fn info(&mut self, name: &str, head: &Head) -> Reply {
        let repository = self.known(name);
        let revision = head.segments.get(5).map_or("main", String::as_str);
        let Some(commit) = repository.find(revision) else {
            return no_revision(revision);
        };
        let blobs = head.query.get("blobs").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let siblings: Vec<Value> = commit
            .files
            .iter()
            .map(|(path, content)| {
                let mut file = json!({"rfilename": path});
                if blobs {
                    file["size"] = content.size().into();
                    file["blobId"] = content.oid().into();
                    if let Content::Stored { sha256, size } = content {
                        let pointer = content.blob().len();
                        file["lfs"] = json!({"sha256": sha256, "size": size, "pointerSize": pointer});
                    }
                }
                file
            })
            .collect();
        let gated = if repository.gated { json!("auto") } else { json!(false) };
        reply(
            200,
            &json!({
                "_id": "0",
                "id": name,
                "modelId": name,
                "private": repository.private,
                "gated": gated,
                "disabled": false,
                "sha": commit.id,
                "siblings": siblings,
            }),
        )
    }

    fn tree(&mut self, name: &str, head: &Head) -> Reply {
        let (address, page) = (self.address, self.page);
        let revision = &head.segments[5];
        let Some(commit) = self.known(name).find(revision) else {
            return no_revision(revision);
        };
        let flag = |name: &str| head.query.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let recursive = flag("recursive");
        let mut entries: BTreeMap<&str, Value> = BTreeMap::new();
        for (path, content) in &commit.files {
            for (at, _) in path.match_indices('/') {
                let folder = json!({"type": "directory", "oid": "0", "size": 0, "path": path[..at]});
                if recursive || !path[..at].contains('/') {
                    entries.insert(&path[..at], folder);
                }
            }
            if recursive || !path.contains('/') {
                entries.insert(path, content.listed(path));
            }
        }
        let start: usize = head.query.get("cursor").and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
        let more = entries.len() > start + page;
        let mut listed: Vec<Value> = entries.into_values().skip(start).take(page).collect();
        if flag("expand") {
            for entry in &mut listed {
                entry["lastCommit"] =
                    json!({"id": commit.id, "title": commit.title, "date": "2025-10-12T00:00:00.000Z"});
            }
        }
        let mut reply = reply(200, &Value::Array(listed));
        if more {
            let path = head.path.split('?').next().unwrap_or_default();
            let next = format!(
                "<http://{address}{path}?recursive={recursive}&expand={}&cursor={}>; rel=\"next\"",
                flag("expand"),
                start + page
            );
            let next = HeaderValue::try_from(next).expect("an address is a valid header value");
            reply.headers_mut().insert(header::LINK, next);
        }
        reply
    }

    fn preupload(&mut self, name: &str, body: &Value) -> Reply {
        let repository = self.known(name);
        let mut files = Vec::new();
        for file in body["files"].as_array().into_iter().flatten() {
            let (Some(path), Some(size), Some(sample)) = (
                file["path"].as_str(),
                file["size"].as_u64(),
                file["sample"].as_str().and_then(|sample| BASE64.decode(sample).ok()),
            ) else {
                return refusal(400, None, "\"files\" must have path, size and sample");
            };
            if sample.len() as u64 != size.min(512) {
                return refusal(400, None, "\"sample\" must be the first 512 bytes");
            }
            let large = size > INLINE as u64
                || LARGE.iter().any(|suffix| path.ends_with(suffix))
                || sample.contains(&0);
            files.push(json!({
                "path": path,
                "uploadMode": if large { "lfs" } else { "regular" },
                "shouldIgnore": repository.ignored.iter().any(|ignored| ignored == path),
            }));
        }
        reply(200, &json!({"files": files}))
    }

    fn batch(&mut self, name: &str, body: &Value) -> Reply {
        let offered = |transfer: &str| {
            body["transfers"].as_array().into_iter().flatten().any(|offered| offered == transfer)
        };
        let transfer = match self.transfer {
            Transfer::Multipart(_) if offered("multipart") => self.transfer,
            _ => Transfer::Basic,
        };
        let mut objects = Vec::new();
        for object in body["objects"].as_array().into_iter().flatten() {
            let (Some(oid), Some(size)) = (object["oid"].as_str(), object["size"].as_u64()) else {
                return refusal(422, None, "objects must have oid and size");
            };
            if oid.len() != 64 || size == 0 || body["hash_algo"] != "sha256" || body["operation"] != "upload"
            {
                return refusal(422, None, "not an upload of SHA-256 objects");
            }
            let mut answer = json!({"oid": oid, "size": size});
            let stored = self.store.get(oid).is_some_and(|object| object.sha256 == oid);
            if !stored {
                let verify = format!("http://{}/{name}.git/info/lfs/verify", self.address);
                answer["authenticated"] = true.into();
                answer["actions"] =
                    json!({"upload": self.upload(oid, size, transfer), "verify": {"href": verify}});
            }
            objects.push(answer);
        }
        let transfer = if transfer == Transfer::Basic { "basic" } else { "multipart" };
        reply(200, &json!({"transfer": transfer, "objects": objects}))
    }

    fn upload(&mut self, oid: &str, size: u64, transfer: Transfer) -> Value {
        let store = format!("http://{}/storage", self.address);
        let signature = self.signature;
        match transfer {
            // Small files go in one piece all the same.
            Transfer::Multipart(part) if size > part => {
                let upload = u32::try_from(self.uploads.len()).expect("a test makes few uploads");
                self.uploads.insert(upload, (oid.to_owned(), BTreeMap::new()));
                let mut header: serde_json::Map<String, Value> = (1..=size.div_ceil(part))
                    .map(|part| {
                        let url = format!("{store}/parts/{upload}/{part}?signature={signature}");
                        (format!("{part:05}"), url.into())
                    })
                    .collect();
                header.insert("chunk_size".to_owned(), part.to_string().into());
                json!({"href": format!("{store}/complete/{upload}?signature={signature}"), "header": header})
            }
            _ => json!({"href": format!("{store}/{oid}?signature={signature}")}),
        }
    }

    fn verify(&mut self, body: &Value) -> Reply {
        let stored = body["oid"].as_str().and_then(|oid| self.store.get(oid).map(|object| (oid, object)));
        match stored {
            Some((oid, object)) if object.sha256 == oid && body["size"] == object.size => {
                reply(200, &json!({}))
            }
            Some(_) => refusal(400, None, "The uploaded content is not what its id says"),
            None => refusal(404, None, "Object not found"),
        }
    }

    fn commit_call(&mut self, name: &str, body: &Value) -> Reply {
        let lines = match body {
            Value::Array(lines) => lines.clone(),
            // A header alone is one JSON.
            Value::Object(_) => vec![body.clone()],
            _ => return refusal(400, None, "The body is no NDJSON"),
        };
        let Some((header, operations)) = lines.split_first().filter(|(first, _)| first["key"] == "header")
        else {
            return refusal(400, None, "The first line must be the header");
        };
        let Some(title) = header["value"]["summary"].as_str() else {
            return refusal(400, None, "\"summary\" is required");
        };
        let stored: HashMap<String, u64> = self
            .store
            .iter()
            .filter(|(oid, object)| **oid == object.sha256)
            .map(|(oid, object)| (oid.clone(), object.size))
            .collect();
        let address = self.address;
        let repository = self.known(name);
        let head = repository.head().cloned();
        let parent = header["value"]["parentCommit"].as_str();
        if parent.is_some() && parent != head.as_ref().map(|head| head.id.as_str()) {
            return refusal(412, None, "A commit has happened since. Please refresh and try again.");
        }
        let mut files = head.map(|head| head.files).unwrap_or_default();
        for operation in operations {
            let value = &operation["value"];
            let Some(path) = value["path"].as_str().map(str::to_owned) else {
                return refusal(400, None, "\"path\" is required");
            };
            match operation["key"].as_str() {
                Some("file") => {
                    let content = value["content"].as_str().filter(|_| value["encoding"] == "base64");
                    let Some(content) = content.and_then(|content| BASE64.decode(content).ok()) else {
                        return refusal(400, None, "\"content\" is no base64");
                    };
                    if content.len() > INLINE {
                        return refusal(413, None, "Payload too large: use Git LFS or Xet for large files");
                    }
                    files.insert(path, Content::Inline(content.into()));
                }
                Some("lfsFile") => {
                    let (oid, size) = (value["oid"].as_str().unwrap_or_default(), value["size"].as_u64());
                    if value["algo"] != "sha256" || size.is_none() || stored.get(oid).copied() != size {
                        return refusal(
                            400,
                            None,
                            &format!("LFS pointer of {path} pointed to a file that does not exist"),
                        );
                    }
                    let size = size.unwrap_or_default();
                    files.insert(path, Content::Stored { sha256: oid.to_owned(), size });
                }
                Some("deletedFile") => {
                    if files.remove(&path).is_none() {
                        return refusal(400, None, &format!("A file to delete does not exist: {path}"));
                    }
                }
                _ => return refusal(400, None, "Unknown operation"),
            }
        }
        let id = repository.commit(title, files);
        let url = format!("http://{address}/{name}/commit/{id}");
        reply(200, &json!({"success": true, "commitOid": id, "commitUrl": url, "hookOutput": ""}))
    }

    fn resolve(&mut self, name: &str, head: &Head) -> Reply {
        let (address, signature) = (self.address, self.signature);
        let (revision, path) = (&head.segments[3], head.segments[4..].join("/"));
        let Some(commit) = self.known(name).find(revision) else {
            return no_revision(revision);
        };
        let Some(content) = commit.files.get(&path) else {
            return refusal(404, Some("EntryNotFound"), "Entry not found");
        };
        let mut reply = match content {
            Content::Inline(bytes) => plain(200, bytes.clone()),
            Content::Stored { sha256, .. } => {
                let mut reply = plain(302, "");
                let place = format!("http://{address}/storage/{sha256}?signature={signature}");
                let place = HeaderValue::try_from(place).expect("an address is a valid header value");
                reply.headers_mut().insert(header::LOCATION, place);
                reply
            }
        };
        let id = HeaderValue::try_from(&commit.id).expect("a commit's id is a valid header value");
        reply.headers_mut().insert(HeaderName::from_static("x-repo-commit"), id);
        reply
    }

    /// The store. As S3 does, it wants the address's signature, and nothing else beside it.
    fn storage(&mut self, call: Call, head: &Head, body: Object, json: &Value) -> Reply {
        // A GET that was redirected from this very origin brings its token along.
        if call != Call::Get && head.headers.contains_key(header::AUTHORIZATION) {
            return plain(400, "<Error><Code>InvalidArgument</Code></Error>");
        }
        let signature = head.query.get("signature").and_then(|text| text.parse().ok());
        if signature != Some(self.signature) {
            return plain(
                403,
                "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>",
            );
        }
        let segments: Vec<&str> = head.segments.iter().map(String::as_str).collect();
        match (call, &segments[1..]) {
            (Call::Put, ["parts", upload, part]) => {
                let known = upload.parse().ok().and_then(|upload: u32| self.uploads.get_mut(&upload));
                let (Some((_, parts)), Ok(part)) = (known, part.parse()) else {
                    return plain(404, "<Error><Code>NoSuchUpload</Code></Error>");
                };
                let etag = format!("\"{}\"", body.sha256);
                parts.insert(part, body);
                tagged(&etag)
            }
            (Call::Put, [name]) => {
                let etag = format!("\"{}\"", body.sha256);
                self.store.insert((*name).to_owned(), body);
                tagged(&etag)
            }
            (Call::Complete, ["complete", upload]) => self.complete(upload, json),
            (Call::Get, [name]) => match self.store.get(*name) {
                Some(object) => plain(200, object.content.concat()),
                None => plain(404, "<Error><Code>NoSuchKey</Code></Error>"),
            },
            _ => plain(404, "<Error><Code>NoSuchKey</Code></Error>"),
        }
    }

    fn complete(&mut self, upload: &str, body: &Value) -> Reply {
        let gone = || plain(404, "<Error><Code>NoSuchUpload</Code></Error>");
        let Some((number, (oid, parts))) =
            upload.parse::<u32>().ok().and_then(|number| Some((number, self.uploads.get(&number)?)))
        else {
            return gone();
        };
        let named: Vec<(u64, &str)> = body["parts"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|part| Some((part["partNumber"].as_u64()?, part["etag"].as_str()?)))
            .collect();
        let fits = body["oid"] == oid.as_str()
            && named.len() == parts.len()
            && parts.iter().zip(&named).all(|((number, part), (named, etag))| {
                number == named && etag.trim_matches('"') == part.sha256
            });
        if !fits {
            return plain(400, "<Error><Code>InvalidPart</Code></Error>");
        }
        let Some((oid, parts)) =
            self.uploads.get_mut(&number).map(|(oid, parts)| (oid.clone(), std::mem::take(parts)))
        else {
            return gone();
        };
        if parts.is_empty() {
            return gone();
        }
        let mut context = Context::new(&SHA256);
        let mut whole = BytesMut::new();
        for piece in parts.into_values().flat_map(|part| part.content) {
            context.update(&piece);
            whole.extend_from_slice(&piece);
        }
        let size = whole.len() as u64;
        let sha256 = hex::encode::<Digest>(context.finish());
        self.store.insert(oid, Object { sha256, content: vec![whole.freeze()], size });
        plain(200, "")
    }
}

fn may_write(role: &Role, owner: &str, repository: &str) -> bool {
    match role {
        Role::Read => false,
        Role::Write => true,
        Role::FineGrained(to) => to.iter().any(|name| name == owner || name == repository),
    }
}

fn no_revision(revision: &str) -> Reply {
    refusal(404, Some("RevisionNotFound"), &format!("Invalid rev id: {revision}"))
}

/// As the Hub refuses: the reason stands in the headers too.
fn refusal(status: u16, code: Option<&'static str>, text: &str) -> Reply {
    let mut reply = reply(status, &json!({"error": text}));
    let headers = reply.headers_mut();
    if let Some(code) = code {
        headers.insert(HeaderName::from_static("x-error-code"), HeaderValue::from_static(code));
    }
    if let Ok(text) = HeaderValue::from_str(text) {
        headers.insert(HeaderName::from_static("x-error-message"), text);
    }
    reply
}

fn tagged(etag: &str) -> Reply {
    let mut reply = plain(200, "");
    let etag = HeaderValue::from_str(etag).expect("a hash in quotes is a valid header value");
    reply.headers_mut().insert(header::ETAG, etag);
    reply
}

fn reply(status: u16, body: &Value) -> Reply {
    let mut reply = plain(status, body.to_string());
    reply
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    reply
}

fn plain(status: u16, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = StatusCode::from_u16(status).expect("the caller's status code is a constant");
    reply
}

/// Percent-decoded; what is no encoding stays.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| *first == b'%').and_then(|digits| hex::decode(digits).ok());
        match digits {
            Some(byte) => {
                bytes.extend(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use adit_outbound::{AddressGuard, Client, Limits};
    use tokio::time::Instant;

    use super::*;

    const NAME: &str = "miner/ScoreVision";

    async fn start() -> HuggingFace {
        let server = HuggingFace::start().await.unwrap();
        server.account("miner", "hf_miner", Role::Write);
        server.repository(NAME, true);
        server
    }

    /// A status, the headers and the body as JSON.
    async fn ask(
        server: &HuggingFace,
        token: Option<&str>,
        method: &str,
        path: &str,
        body: impl Into<Bytes>,
    ) -> (u16, HeaderMap, Value) {
        let client = Client::new(AddressGuard::unrestricted()).unwrap();
        let mut headers = HeaderMap::new();
        if let Some(token) = token {
            headers.insert(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
        }
        let limits = Limits::new(Instant::now() + Duration::from_secs(30), 1 << 20);
        let url = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", server.url()) };
        let answer = client.request(method.parse().unwrap(), &url, headers, body, &limits).await.unwrap();
        (answer.status.as_u16(), answer.headers, serde_json::from_slice(&answer.body).unwrap_or_default())
    }

    fn lines(lines: &[Value]) -> String {
        lines.iter().map(Value::to_string).collect::<Vec<_>>().join("\n")
    }

    #[tokio::test]
    async fn a_listing_has_folders_pages_and_last_commits() {
        let server = start().await;
        let id = server.commit(NAME, &[("a/b/c", b"1"), ("d", b"2")]);
        let list = async |query: &str| {
            let path = format!("/api/models/{NAME}/tree/main{query}");
            ask(&server, Some("hf_miner"), "GET", &path, "").await
        };
        let paths = |listed: &Value| -> Vec<String> {
            let entries = listed.as_array().unwrap().iter();
            entries.map(|entry| format!("{} {}", entry["type"], entry["path"]).replace('"', "")).collect()
        };
        let top = list("").await.2;
        assert_eq!(paths(&top), ["file .gitattributes", "directory a", "file d"]);
        assert!(top[0]["lastCommit"].is_null());
        let all = list("?recursive=true&expand=true").await.2;
        let expected = ["file .gitattributes", "directory a", "directory a/b", "file a/b/c", "file d"];
        assert_eq!(paths(&all), expected);
        assert_eq!(all[4]["lastCommit"]["id"], id.as_str());
        server.page(2);
        let (_, headers, first) = list("?recursive=True").await;
        assert_eq!(paths(&first), expected[..2]);
        let link = headers[header::LINK].to_str().unwrap();
        assert!(
            link.starts_with('<') && link.ends_with(">; rel=\"next\"") && link.contains("cursor=2"),
            "{link}"
        );
        let (_, headers, last) = list("?recursive=true&cursor=4").await;
        assert_eq!(paths(&last), expected[4..]);
        assert!(!headers.contains_key(header::LINK));
    }

    #[tokio::test]
    async fn what_is_private_is_told_to_its_owner_alone() {
        let server = start().await;
        server.account("other", "hf_other", Role::Write);
        let path = format!("/api/models/{NAME}");
        let look = async |token| ask(&server, token, "GET", &path, "").await;
        let (status, headers, _) = look(None).await;
        assert_eq!((status, &headers["x-error-code"]), (401, &HeaderValue::from_static("RepoNotFound")));
        assert_eq!(look(Some("hf_other")).await.0, 404);
        assert_eq!(look(Some("hf_wrong")).await.0, 401);
        let (status, _, info) = look(Some("hf_miner")).await;
        assert_eq!((status, &info["private"], &info["gated"]), (200, &json!(true), &json!(false)));
        let (_, _, info) =
            ask(&server, Some("hf_miner"), "GET", &format!("{path}/revision/main?blobs=true"), "").await;
        assert_eq!(info["siblings"][0]["rfilename"], ".gitattributes");
        assert!(info["siblings"][0]["size"].as_u64() > Some(0));
        let missing = ask(&server, Some("hf_miner"), "GET", &format!("{path}/revision/dev"), "").await;
        assert_eq!(
            (missing.0, &missing.1["x-error-code"]),
            (404, &HeaderValue::from_static("RevisionNotFound"))
        );
    }

    #[tokio::test]
    async fn a_commit_takes_only_what_the_hub_would() {
        let server = start().await;
        let head = server.commits(NAME)[0].id.clone();
        let path = format!("/api/models/{NAME}/commit/main");
        let header = json!({"key": "header", "value": {"summary": "x", "description": ""}});
        let commit = async |operations: &[Value]| {
            let mut all = vec![header.clone()];
            all.extend_from_slice(operations);
            ask(&server, Some("hf_miner"), "POST", &path, lines(&all)).await.0
        };
        let file = |content: &[u8]| {
            let content = BASE64.encode(content);
            json!({"key": "file", "value": {"path": "a", "content": content, "encoding": "base64"}})
        };
        let oid = "0".repeat(64);
        let absent =
            json!({"key": "lfsFile", "value": {"path": "a", "algo": "sha256", "oid": oid, "size": 1}});
        assert_eq!(commit(&[absent]).await, 400);
        assert_eq!(commit(&[json!({"key": "deletedFile", "value": {"path": "b"}})]).await, 400);
        assert_eq!(commit(&[file(&vec![0; INLINE + 1])]).await, 413);
        assert_eq!(commit(&[json!({"key": "?", "value": {"path": "a"}})]).await, 400);
        assert_eq!(server.commits(NAME).len(), 1);
        assert_eq!(commit(&[file(b"1")]).await, 200);
        let late = json!({"key": "header", "value": {"summary": "x", "parentCommit": head}});
        let late = ask(&server, Some("hf_miner"), "POST", &path, lines(&[late, file(b"2")])).await;
        assert_eq!(late.0, 412);
        assert_eq!(server.files(NAME, "main")["a"], b"1");
    }

    #[tokio::test]
    async fn the_store_wants_its_signature_and_nothing_beside_it() {
        let server = start().await;
        server.transfer(Transfer::Multipart(4));
        let oid = hex::encode(digest(&SHA256, b"0123456"));
        let batch = json!({
            "operation": "upload", "transfers": ["basic", "multipart"], "hash_algo": "sha256",
            "objects": [{"oid": oid, "size": 7}],
        });
        let path = format!("/{NAME}.git/info/lfs/objects/batch");
        let answer = ask(&server, Some("hf_miner"), "POST", &path, batch.to_string()).await.2;
        assert_eq!(answer["transfer"], "multipart");
        let upload = &answer["objects"][0]["actions"]["upload"];
        let url = |name: &str| upload["header"][name].as_str().unwrap().to_owned();
        let put =
            async |url: &str, token, content: &'static str| ask(&server, token, "PUT", url, content).await;
        assert_eq!(put(&url("00001"), Some("hf_miner"), "0123").await.0, 400);
        assert_eq!(put(&url("00001").replace("signature=1", "signature=7"), None, "0123").await.0, 403);
        let mut parts = Vec::new();
        for (number, name, content) in [(1, "00001", "0123"), (2, "00002", "456")] {
            let etag = put(&url(name), None, content).await.1[header::ETAG].clone();
            parts.push(json!({"partNumber": number, "etag": etag.to_str().unwrap()}));
        }
        let complete = async |parts: &[Value]| {
            let body = json!({"oid": oid, "parts": parts}).to_string();
            ask(&server, None, "POST", upload["href"].as_str().unwrap(), body).await.0
        };
        assert_eq!(complete(&parts[..1]).await, 400);
        assert_eq!(complete(&[parts[1].clone(), parts[0].clone()]).await, 400);
        assert_eq!(complete(&parts).await, 200);
        assert_eq!(complete(&parts).await, 400, "it is complete already");
        let verify = async |size: u64| {
            let path = format!("/{NAME}.git/info/lfs/verify");
            let body = json!({"oid": oid, "size": size}).to_string();
            ask(&server, Some("hf_miner"), "POST", &path, body).await.0
        };
        assert_eq!((verify(7).await, verify(8).await), (200, 400));
        let again = ask(&server, Some("hf_miner"), "POST", &path, batch.to_string()).await.2;
        assert!(again["objects"][0]["actions"].is_null(), "{again}");
        server.expire_addresses();
        assert_eq!(put(&url("00001"), None, "0123").await.0, 403);
    }
}
