//! A loopback Chutes: the platform's API as its own program and ours use it, and the chutes themselves, below
//! `/chute/SLUG`. It keeps accounts, images, chutes, instances and secrets, and can refuse, break and be silent on request.
//!
//! What is served, and in which words it refuses, follows the platform's published server of October 2025.

mod answers;
mod state;
mod streams;

use std::future::pending;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use adit_keys::Hotkey;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::http1;
use crate::providers::multipart;
use state::{Account, State};

/// Largest body that is read.
const MAX_BODY: usize = 64 << 20;

/// One of the kinds of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// `GET /ping`
    Ping,
    /// `POST /users/register`
    Register,
    /// `GET /users/me`
    Account,
    /// `GET /chutes/`
    Chutes,
    /// `GET /chutes/{id or name}`
    Chute,
    /// `DELETE /chutes/{id or name}`
    DeleteChute,
    /// `GET /chutes/code/{id}`
    Code,
    /// `GET /chutes/warmup/{id or name}`
    WarmUp,
    /// `POST /chutes/share`
    Share,
    /// `POST /chutes/`
    Deploy,
    /// `GET /images/`
    Images,
    /// `GET /images/{id or name:tag}`
    Image,
    /// `DELETE /images/{id or name:tag}`
    DeleteImage,
    /// `POST /images/`
    Build,
    /// `GET /images/{id}/logs`
    BuildLog,
    /// `GET /instances/{id}/logs`
    InstanceLogs,
    /// `GET /secrets/`
    Secrets,
    /// `POST /secrets/`
    PutSecret,
    /// `DELETE /secrets/{id}`
    DeleteSecret,
    /// `POST /chute/{slug}/health`
    Health,
    /// `POST /chute/{slug}/predict`
    Predict,
}

/// What happens in place of the right answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// This status with this `detail`. Nothing is carried out.
    Refused(u16, String),
    /// 429 with `Retry-After` in seconds.
    RateLimited(u32),
    /// This status with a page for people.
    Page(u16),
    /// This status with this body, as it is.
    Answer(u16, String),
    /// The connection is closed without an answer; nothing is carried out.
    Closed,
    /// The call is carried out, and the connection closed without an answer.
    Lost,
    /// The call is carried out, and its answer breaks off after so many pieces; each event of a stream is one.
    Cut(usize),
    /// Nothing ever comes.
    Silent,
}

/// How a build goes that begins from now on.
#[derive(Debug, Clone, PartialEq)]
pub struct Build {
    /// How often the image is looked at before it is done. Reading its log to the end makes it done, too.
    pub looks: u32,
    /// Why it fails, where it does: its status is then `error: …`.
    pub failure: Option<String>,
    /// What it writes.
    pub log: Vec<String>,
}

impl Default for Build {
    fn default() -> Self {
        let log = ["Step 1/2 : FROM parachutes/python:3.12", "Successfully built"];
        Self { looks: 2, failure: None, log: log.map(str::to_owned).into() }
    }
}

/// How a chute starts that is deployed from now on. It has one instance at once, which is cold.
#[derive(Debug, Clone, PartialEq)]
pub struct Start {
    /// How often it is called or reported on by a warm-up before it is ready; never, where this is `None`.
    pub looks: Option<u32>,
    /// What its instance has written by then.
    pub log: Vec<String>,
}

impl Default for Start {
    fn default() -> Self {
        Self { looks: Some(2), log: vec!["loading the model".to_owned()] }
    }
}

/// What a chute answers when it is to predict.
#[derive(Debug, Clone, PartialEq)]
pub enum Predict {
    /// One empty result for each frame that was asked for, or for each of so many of a video.
    Right,
    /// The same without the last ones.
    Missing(usize),
    /// Status 200, `success` false and this error.
    Failed(String),
    /// Status 200 and this.
    Json(Value),
    /// This status and `detail`.
    Status(u16, String),
}

/// What answers in place of [`Predict`]: from the request's JSON to the answer's.
pub type Model = Arc<dyn Fn(&Value) -> Value + Send + Sync>;

/// One request as it came, in the order of arrival.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// What for; `None` for what is not served.
    pub call: Option<Call>,
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body: JSON, the fields of a form as an object, or `Null`.
    pub body: Value,
}

/// A running platform. It stops, with all its connections, when dropped.
#[derive(Debug)]
pub struct Chutes {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    // Dropping the set ends the accept loop, which owns the connections.
    _tasks: JoinSet<()>,
}

impl Chutes {
    /// Starts one on a free loopback port. Nobody has an account.
    ///
    /// # Errors
    /// When no loopback port can be opened.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let mut tasks = JoinSet::new();
        tasks.spawn(http1::accept(listener, move |request| answer(request, Arc::clone(&shared))));
        Ok(Self { address, state, _tasks: tasks })
    }

    /// The API's URL, `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where a chute is, as `CHUTES_MINER_BASE_URL_TEMPLATE` has it.
    #[must_use]
    pub fn chute_url_template(&self) -> String {
        format!("http://{}/chute/{{slug}}", self.address)
    }

    /// Where the chute with this slug is.
    #[must_use]
    pub fn chute_url(&self, slug: &str) -> String {
        self.chute_url_template().replace("{slug}", slug)
    }

    /// An account with 100 USD. Its id follows from its name: [`Chutes::user_id`].
    pub fn account(&self, username: &str, key: Option<&str>, hotkey: Option<&Hotkey>) {
        let account = Account::new(username, key, hotkey);
        lock(&self.state).accounts.push(account);
    }

    /// The id of an account of this name.
    #[must_use]
    pub fn user_id(username: &str) -> String {
        state::uuid5(&format!("user {username}"))
    }

    /// Sets what an account has, in USD.
    ///
    /// # Panics
    /// Where there is no such account.
    pub fn balance(&self, username: &str, usd: f64) {
        let mut state = lock(&self.state);
        let account = state.accounts.iter_mut().find(|account| account.username == username);
        account.expect("the account was made before").balance = usd;
    }

    /// How builds go from now on.
    pub fn builds(&self, build: Build) {
        lock(&self.state).build = build;
    }

    /// How chutes start from now on.
    pub fn starts(&self, start: Start) {
        lock(&self.state).start = start;
    }

    /// How many builds and deployments a day has left for everybody; 24 each at the start.
    pub fn left_today(&self, builds: u32, deployments: u32) {
        let mut state = lock(&self.state);
        (state.builds_left, state.deployments_left) = (builds, deployments);
    }

    /// Somebody else has this slug already.
    pub fn take_slug(&self, slug: &str) {
        lock(&self.state).taken_slugs.push(slug.to_owned());
    }

    /// A built image, as if made before. Gives its id.
    pub fn image(&self, username: &str, name: &str, tag: &str) -> String {
        lock(&self.state).add_image(username, name, tag, Build { looks: 0, ..Build::default() })
    }

    /// An image whose build has just begun. Gives its id.
    pub fn building(&self, username: &str, name: &str, tag: &str) -> String {
        let mut state = lock(&self.state);
        let build = state.build.clone();
        state.add_image(username, name, tag, build)
    }

    /// A chute with this script, on an image of its own name tagged `latest`, as if deployed before. Gives its id.
    ///
    /// # Panics
    /// Where there is no such account.
    pub fn chute(&self, username: &str, name: &str, code: &str) -> String {
        let mut state = lock(&self.state);
        let build = Build { looks: 0, ..Build::default() };
        let image = state.add_image(username, name, "latest", build);
        state.add_chute(username, name, &image, code)
    }

    /// The slug of a chute of this id.
    #[must_use]
    pub fn slug(&self, chute_id: &str) -> Option<String> {
        let state = lock(&self.state);
        state.chutes.iter().find(|chute| chute.id == chute_id).map(|chute| chute.slug.clone())
    }

    /// What every chute answers when asked for its health, once it is ready. The newer template's answer unless told.
    pub fn health(&self, answer: Value) {
        lock(&self.state).health = answer;
    }

    /// What the next predictions are, in turn; the last one stays. [`Predict::Right`] unless told.
    pub fn predicts(&self, answers: impl IntoIterator<Item = Predict>) {
        lock(&self.state).predictions = answers.into_iter().collect();
    }

    /// Lets a function predict from now on.
    pub fn model(&self, model: Model) {
        lock(&self.state).model = Some(state::ModelOf(model));
    }

    /// How many frames a video has that a chute is to fetch by its URL; 750 unless told.
    pub fn video_frames(&self, frames: usize) {
        lock(&self.state).video_frames = frames;
    }

    /// Lets the next `times` requests of a call meet a fault. Faults of one call are met in the order of planting.
    pub fn plant(&self, call: Call, fault: Fault, times: u32) {
        lock(&self.state).faults.push((call, fault, times));
    }

    /// The id of the instance of a chute.
    #[must_use]
    pub fn instance(&self, chute_id: &str) -> Option<String> {
        let state = lock(&self.state);
        state.chutes.iter().find(|chute| chute.id == chute_id).map(|chute| chute.instance.id.clone())
    }

    /// Lets an instance write a line.
    pub fn write(&self, instance_id: &str, line: &str) {
        let mut state = lock(&self.state);
        if let Some(chute) = state.chutes.iter_mut().find(|chute| chute.instance.id == instance_id) {
            chute.instance.log.push(line.to_owned());
        }
    }

    /// Breaks off every stream of logs that is open now.
    pub fn break_streams(&self) {
        lock(&self.state).generation += 1;
    }

    /// Ends an instance, and the streams of its logs with it.
    pub fn end_instance(&self, instance_id: &str) {
        let mut state = lock(&self.state);
        state.generation += 1;
        if let Some(chute) = state.chutes.iter_mut().find(|chute| chute.instance.id == instance_id) {
            chute.instance.gone = true;
        }
    }

    /// The value of a chute's secret.
    #[must_use]
    pub fn secret(&self, chute_id: &str, key: &str) -> Option<String> {
        let state = lock(&self.state);
        let secret = state.secrets.iter().find(|secret| secret.chute_id == chute_id && secret.key == key);
        secret.map(|secret| secret.value.clone())
    }

    /// The ids of the accounts that a chute is shared with.
    #[must_use]
    pub fn shared_with(&self, chute_id: &str) -> Vec<String> {
        let state = lock(&self.state);
        state
            .chutes
            .iter()
            .find(|chute| chute.id == chute_id)
            .map(|chute| chute.shared.clone())
            .unwrap_or_default()
    }

    /// What was asked so far, oldest first.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.state).asked.clone()
    }

    /// How often a call was asked for so far.
    #[must_use]
    pub fn times(&self, call: Call) -> usize {
        lock(&self.state).asked.iter().filter(|asked| asked.call == Some(call)).count()
    }
}

type Chunks = Pin<Box<dyn Stream<Item = io::Result<Frame<Bytes>>> + Send>>;
type Reply = Response<StreamBody<Chunks>>;

async fn answer(request: Request<Incoming>, state: Arc<Mutex<State>>) -> io::Result<Reply> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, MAX_BODY).collect().await.map_err(io::Error::other)?.to_bytes();
    let path = decoded(head.uri.path());
    let route = route(&head.method, &path);
    let asked = Asked {
        call: route.as_ref().map(|(call, _)| *call),
        method: head.method.to_string(),
        path: head.uri.to_string(),
        headers: head.headers.clone(),
        body: read(&head.headers, &body),
    };
    let Some((call, of)) = route else {
        lock(&state).asked.push(asked);
        return Ok(reply(404, &json!({"detail": "Not Found"})));
    };
    let fault = {
        let mut state = lock(&state);
        state.asked.push(asked.clone());
        state.fault(call)
    };
    let serve = || answers::serve(&state, call, &of, &asked, &body);
    Ok(match fault {
        None => serve(),
        Some(Fault::Refused(status, detail)) => reply(status, &json!({"detail": detail})),
        Some(Fault::RateLimited(seconds)) => {
            let mut reply = reply(429, &json!({"detail": "Too many requests"}));
            reply.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            reply
        }
        Some(Fault::Page(status)) => {
            whole(status, "text/html", "<!DOCTYPE html><html><body>Just a moment…</body></html>")
        }
        Some(Fault::Answer(status, body)) => whole(status, "application/json", body),
        Some(Fault::Closed) => return Err(io::Error::other("closed, as the test asked")),
        Some(Fault::Lost) => {
            drop(serve());
            return Err(io::Error::other("closed, as the test asked"));
        }
        Some(Fault::Cut(pieces)) => serve().map(|body| {
            let broken = stream::once(async { Err(io::Error::other("broken off, as the test asked")) });
            let chunks: Chunks = Box::pin(body.take(pieces).chain(broken));
            StreamBody::new(chunks)
        }),
        Some(Fault::Silent) => pending().await,
    })
}

/// What a path asks for, and of which thing.
fn route(method: &Method, path: &str) -> Option<(Call, String)> {
    let rest = |prefix: &str| path.strip_prefix(prefix).filter(|rest| !rest.is_empty()).map(str::to_owned);
    let logs = |prefix: &str| rest(prefix)?.strip_suffix("/logs").map(str::to_owned);
    let none = String::new;
    if let Some(rest) = rest("/chute/") {
        let (slug, call) = rest.split_once('/')?;
        return match (method, call) {
            (&Method::POST, "health") => Some((Call::Health, slug.to_owned())),
            (&Method::POST, "predict") => Some((Call::Predict, slug.to_owned())),
            _ => None,
        };
    }
    match (method, path) {
        (&Method::GET, "/ping") => return Some((Call::Ping, none())),
        (&Method::POST, "/users/register") => return Some((Call::Register, none())),
        (&Method::GET, "/users/me") => return Some((Call::Account, none())),
        (&Method::GET, "/chutes/") => return Some((Call::Chutes, none())),
        (&Method::POST, "/chutes/") => return Some((Call::Deploy, none())),
        (&Method::POST, "/chutes/share") => return Some((Call::Share, none())),
        (&Method::GET, "/images/") => return Some((Call::Images, none())),
        (&Method::POST, "/images/") => return Some((Call::Build, none())),
        (&Method::GET, "/secrets/") => return Some((Call::Secrets, none())),
        (&Method::POST, "/secrets/") => return Some((Call::PutSecret, none())),
        _ => {}
    }
    match *method {
        Method::GET => logs("/images/")
            .map(|id| (Call::BuildLog, id))
            .or_else(|| Some((Call::InstanceLogs, logs("/instances/")?)))
            .or_else(|| Some((Call::Code, rest("/chutes/code/")?)))
            .or_else(|| Some((Call::WarmUp, rest("/chutes/warmup/")?)))
            .or_else(|| Some((Call::Chute, rest("/chutes/")?)))
            .or_else(|| Some((Call::Image, rest("/images/")?))),
        Method::DELETE => rest("/chutes/")
            .map(|id| (Call::DeleteChute, id))
            .or_else(|| Some((Call::DeleteImage, rest("/images/")?)))
            .or_else(|| Some((Call::DeleteSecret, rest("/secrets/")?))),
        _ => None,
    }
}

/// A path without its percent signs.
fn decoded(path: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| byte == b'%').and_then(|digits| hex::decode(digits).ok());
        match digits {
            Some(digit) => {
                bytes.extend(digit);
                rest = &after[2..];
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// One value of a query.
fn query(path: &str, name: &str) -> Option<String> {
    let (_, query) = path.split_once('?')?;
    let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
    Some(decoded(value))
}

fn read(headers: &HeaderMap, body: &Bytes) -> Value {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    match kind.strip_prefix("multipart/form-data").and_then(|rest| rest.split_once("boundary=")) {
        Some((_, boundary)) => multipart::parts(body, boundary.trim_matches('"'))
            .into_iter()
            .map(|(name, value, _)| (name, Value::String(value)))
            .collect(),
        None => serde_json::from_slice(body).unwrap_or_default(),
    }
}

fn reply(status: u16, body: &Value) -> Reply {
    whole(status, "application/json", body.to_string())
}

fn whole(status: u16, kind: &'static str, body: impl Into<Bytes>) -> Reply {
    let body = body.into();
    let length = body.len();
    let mut reply = streamed(kind, stream::iter([Ok(Frame::data(body))]));
    reply.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    *reply.status_mut() = StatusCode::from_u16(status).expect("the caller's status code is a constant");
    reply
}

fn streamed(
    kind: &'static str,
    chunks: impl Stream<Item = io::Result<Frame<Bytes>>> + Send + 'static,
) -> Reply {
    let chunks: Chunks = Box::pin(chunks);
    let mut reply = Response::new(StreamBody::new(chunks));
    reply.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    reply
}

/// How often a stream looks for something new.
const LOOK: Duration = Duration::from_millis(20);

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // What a panicking test left there is still whole.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
