//! Loopback services that make pictures and videos: OpenAI, OpenRouter, Stability AI and Runway, each below a base
//! URL of its own. The media are given; what is counted is how often a prompt was paid for and how often its media
//! were handed out. They can refuse, break, lie and be silent on request.
//!
//! What is served, and how, follows the calls that subnet 34's miners make and the providers' own documentation.

use std::collections::HashMap;
use std::future::pending;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http::{HeaderMap, Method, Request, Response, header};
use http_body_util::{BodyExt as _, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::http1;

pub(crate) mod multipart;

/// Largest body that is read.
const MAX_BODY: usize = 1 << 20;
const CHUNK: usize = 64 * 1024;
static FILLER: [u8; CHUNK] = [b' '; CHUNK];

/// Whose API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "they are named after the services")]
pub enum Service {
    OpenAi,
    OpenRouter,
    StabilityAi,
    Runway,
}

/// One of the kinds of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    /// The paid one.
    Start,
    /// Asking for a job.
    Poll,
    /// Fetching what was made, by a link or by the job.
    Media,
    /// The newest jobs (OpenAI).
    List,
    /// Whose key it is.
    Account,
}

/// What happens in place of the right answer.
#[derive(Debug, Clone)]
pub enum Fault {
    /// 401, with the key that was sent in the text.
    WrongKey,
    /// The account has no credit, in the service's own words and status.
    NoCredit,
    /// The content is refused, in the service's own words and status.
    ContentRefused,
    /// 429 with this `Retry-After`.
    RateLimited(String),
    /// This status, with this text in the service's own form.
    Complaint(u16, String),
    /// This status with a page for people, as a gateway has it.
    Page(u16),
    /// 200 and nothing.
    Empty,
    /// A redirect to this place.
    Redirect(String),
    /// The right answer, half of it.
    Truncated,
    /// Blanks without end, with a success status.
    Endless,
    /// A picture in the answer that is not Base64.
    BadBase64,
    /// The model answers in these words and makes no picture (OpenRouter).
    Words(String),
    /// A job is made that fails with this code and text.
    JobFails(String, String),
    /// The call is carried out, and the connection closed without an answer.
    Closed,
    /// The call is carried out, and nothing ever comes.
    Silent,
}

impl Fault {
    /// Whether the service does its work, and takes its money, all the same.
    fn is_paid(&self) -> bool {
        match self {
            Self::WrongKey
            | Self::NoCredit
            | Self::ContentRefused
            | Self::RateLimited(_)
            | Self::Complaint(..)
            | Self::Redirect(_) => false,
            Self::Page(status) => *status == 200,
            _ => true,
        }
    }
}

/// What was sent along.
#[derive(Debug, Clone, PartialEq)]
pub enum Sent {
    /// Nothing, or nothing that can be read.
    Nothing,
    /// JSON.
    Json(Value),
    /// A form: names, values and, for files, their names.
    Form(Vec<(String, String, Option<String>)>),
}

impl Sent {
    /// A field as text, `""` where there is none.
    fn text(&self, name: &str) -> &str {
        match self {
            Self::Nothing => "",
            Self::Json(json) => json[name].as_str().unwrap_or_default(),
            Self::Form(parts) => {
                parts.iter().find(|(key, ..)| key == name).map_or("", |(_, value, _)| value.as_str())
            }
        }
    }

    fn prompt(&self) -> &str {
        let chat = match self {
            Self::Json(json) => json["messages"][0]["content"].as_str(),
            _ => None,
        };
        let prompts = [Some(self.text("prompt")), Some(self.text("promptText")), chat];
        prompts.into_iter().flatten().find(|prompt| !prompt.is_empty()).unwrap_or_default()
    }
}

/// One request as it came, in the order of arrival.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// Whose API.
    pub service: Service,
    /// What for.
    pub call: Call,
    /// The method.
    pub method: String,
    /// Path and query below the base URL.
    pub path: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub sent: Sent,
}

#[derive(Debug)]
struct Job {
    prompt: String,
    fields: Value,
    created: u64,
    polls_left: u32,
    failure: Option<(String, String)>,
}

#[derive(Debug)]
struct State {
    picture: Bytes,
    clip: Bytes,
    delay: Duration,
    polls: u32,
    jobs: Vec<(Service, Job)>,
    /// Prompts of the pictures that are served by a link, by number.
    links: Vec<String>,
    faults: Vec<(Service, Call, Fault, u32)>,
    asked: Vec<Asked>,
    paid: HashMap<String, u32>,
    handed_out: HashMap<String, u32>,
}

/// The running services. They stop, with all their connections, when dropped.
#[derive(Debug)]
pub struct Providers {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    // Dropping the set ends the accept loop, which owns the connections.
    _tasks: JoinSet<()>,
}

impl Providers {
    /// Starts them on a free loopback port. Every picture and every video that they make is this one.
    ///
    /// # Errors
    /// When no loopback port can be opened.
    pub async fn start(picture: impl Into<Bytes>, clip: impl Into<Bytes>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State {
            picture: picture.into(),
            clip: clip.into(),
            delay: Duration::ZERO,
            polls: 1,
            jobs: Vec::new(),
            links: Vec::new(),
            faults: Vec::new(),
            asked: Vec::new(),
            paid: HashMap::new(),
            handed_out: HashMap::new(),
        }));
        let shared = Arc::clone(&state);
        let mut tasks = JoinSet::new();
        tasks.spawn(http1::accept(listener, move |request| answer(request, address, Arc::clone(&shared))));
        Ok(Self { address, state, _tasks: tasks })
    }

    /// The base URL of a service, as its settings have it.
    #[must_use]
    pub fn url(&self, service: Service) -> String {
        format!("http://{}{}", self.address, prefix(service))
    }

    /// Other media from now on.
    pub fn make(&self, picture: impl Into<Bytes>, clip: impl Into<Bytes>) {
        let mut state = lock(&self.state);
        (state.picture, state.clip) = (picture.into(), clip.into());
    }

    /// How long a paid call takes; no time unless told. Half of it passes before the call is carried out.
    pub fn delay(&self, delay: Duration) {
        lock(&self.state).delay = delay;
    }

    /// How often a job made from now on says that it is not done; once unless told.
    pub fn polls(&self, polls: u32) {
        lock(&self.state).polls = polls;
    }

    /// Lets the next `times` calls meet a fault. Faults of one call are met in the order of planting.
    pub fn plant(&self, service: Service, call: Call, fault: Fault, times: u32) {
        lock(&self.state).faults.push((service, call, fault, times));
    }

    /// What was asked so far, oldest first.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.state).asked.clone()
    }

    /// How often this prompt was carried out and so paid for, answered or not.
    #[must_use]
    pub fn paid(&self, prompt: &str) -> u32 {
        lock(&self.state).paid.get(prompt).copied().unwrap_or_default()
    }

    /// How often the media of this prompt were handed out whole.
    #[must_use]
    pub fn handed_out(&self, prompt: &str) -> u32 {
        lock(&self.state).handed_out.get(prompt).copied().unwrap_or_default()
    }
}

fn prefix(service: Service) -> &'static str {
    match service {
        Service::OpenAi => "/openai/v1",
        Service::OpenRouter => "/openrouter/api/v1",
        Service::StabilityAi => "/stability",
        Service::Runway => "/runway",
    }
}

/// What a path asks for, and its job or link.
fn route(method: &Method, path: &str) -> Option<(Service, Call, Option<String>)> {
    let (service, rest) = [Service::OpenAi, Service::OpenRouter, Service::StabilityAi, Service::Runway]
        .into_iter()
        .find_map(|service| Some((service, path.strip_prefix(prefix(service))?)))?;
    let segments: Vec<&str> = rest.trim_start_matches('/').split('/').collect();
    use Service::{OpenAi, OpenRouter, Runway, StabilityAi};
    let (call, of) = match (method, service, segments.as_slice()) {
        (&Method::POST, OpenAi, ["images", "generations"] | ["videos"])
        | (&Method::POST, OpenRouter, ["chat", "completions"] | ["videos"])
        | (&Method::POST, StabilityAi, ["v2beta", "stable-image", "generate", "sd3" | "ultra" | "core"])
        | (&Method::POST, Runway, ["v1", "text_to_video"]) => (Call::Start, None),
        (&Method::GET, OpenAi, ["videos"]) => (Call::List, None),
        (&Method::GET, OpenAi, ["models"])
        | (&Method::GET, OpenRouter, ["key"])
        | (&Method::GET, StabilityAi, ["v1", "user", "balance"])
        | (&Method::GET, Runway, ["v1", "organization"]) => (Call::Account, None),
        (&Method::GET, OpenAi | OpenRouter, ["videos", id]) | (&Method::GET, Runway, ["v1", "tasks", id]) => {
            (Call::Poll, Some(*id))
        }
        (&Method::GET, OpenAi | OpenRouter, ["videos", id, "content"])
        | (&Method::GET, OpenAi | Runway, ["media", id]) => (Call::Media, Some(*id)),
        _ => return None,
    };
    Some((service, call, of.map(str::to_owned)))
}

type Chunks = Pin<Box<dyn Stream<Item = io::Result<Frame<Bytes>>> + Send>>;
type Reply = Response<StreamBody<Chunks>>;

async fn answer(
    request: Request<Incoming>,
    address: SocketAddr,
    state: Arc<Mutex<State>>,
) -> io::Result<Reply> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, MAX_BODY).collect().await.map_err(io::Error::other)?.to_bytes();
    let Some((service, call, of)) = route(&head.method, head.uri.path()) else {
        return Ok(reply(404, "application/json", json!({"error": "no such call"}).to_string()));
    };
    let sent = read(&head.headers, &body);
    let (planted, delay) = {
        let mut state = lock(&state);
        let uri = head.uri.to_string();
        state.asked.push(Asked {
            service,
            call,
            method: head.method.to_string(),
            path: uri.strip_prefix(prefix(service)).unwrap_or(&uri).to_owned(),
            headers: head.headers.clone(),
            sent: sent.clone(),
        });
        (state.fault(service, call), if call == Call::Start { state.delay } else { Duration::ZERO })
    };
    tokio::time::sleep(delay / 2).await;
    // A link is for whoever has it.
    let by_link = head.uri.path().contains("/media/");
    let bearer =
        head.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let key = bearer.strip_prefix("Bearer ").filter(|key| !key.is_empty());
    if key.is_none() && !by_link {
        return Ok(complaint(service, 401, "unauthorized", "no API key was sent"));
    }
    let key = key.unwrap_or_default();
    if let Some(fault) = &planted
        && !fault.is_paid()
    {
        return Ok(unpaid(service, fault, key));
    }
    let right = {
        let mut state = lock(&state);
        match call {
            Call::Start => state.start(service, &sent, planted.as_ref(), address),
            Call::Poll => state.poll(service, &of.unwrap_or_default(), address),
            Call::List => state.list(service),
            Call::Account => Right::json(200, &json!({"object": "account"})),
            Call::Media => state.media(service, &of.unwrap_or_default()),
        }
    };
    tokio::time::sleep(delay / 2).await;
    let prompt = right.hands_out.clone();
    let hand_out = move |state: &Mutex<State>| {
        if let Some(prompt) = prompt {
            *lock(state).handed_out.entry(prompt).or_default() += 1;
        }
    };
    Ok(match planted {
        None | Some(Fault::JobFails(..) | Fault::BadBase64 | Fault::Words(_)) => right.whole(state, hand_out),
        Some(Fault::Closed) => return Err(io::Error::other("closed, as the test asked")),
        Some(Fault::Silent) => pending().await,
        Some(Fault::Page(status)) => page(status),
        Some(Fault::Empty) => reply(200, "application/json", ""),
        Some(Fault::Endless) => endless(),
        Some(Fault::Truncated) => right.half(),
        Some(other) => unreachable!("{other:?} is unpaid"),
    })
}

fn read(headers: &HeaderMap, body: &[u8]) -> Sent {
    let content_type =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match content_type.split_once("boundary=") {
        Some((_, boundary)) => Sent::Form(multipart::parts(body, boundary)),
        None => serde_json::from_slice(body).map_or(Sent::Nothing, Sent::Json),
    }
}

/// A right answer, and whose media are in it.
struct Right {
    status: u16,
    content_type: &'static str,
    body: Bytes,
    hands_out: Option<String>,
}

impl Right {
    fn json(status: u16, body: &Value) -> Self {
        Self { status, content_type: "application/json", body: body.to_string().into(), hands_out: None }
    }

    fn media(content_type: &'static str, body: Bytes, prompt: String) -> Self {
        Self { status: 200, content_type, body, hands_out: Some(prompt) }
    }

    fn whole(
        self,
        state: Arc<Mutex<State>>,
        handed_out: impl FnOnce(&Mutex<State>) + Send + 'static,
    ) -> Reply {
        let length = self.body.len();
        let mut handed_out = Some(handed_out);
        let mut rest = self.body;
        let chunks = stream::poll_fn(move |_| {
            let chunk = rest.split_to(rest.len().min(CHUNK));
            // With the last chunk: hyper stops asking at Content-Length.
            if rest.is_empty()
                && let Some(handed_out) = handed_out.take()
            {
                handed_out(&state);
            }
            std::task::Poll::Ready((!chunk.is_empty()).then(|| Ok(Frame::data(chunk))))
        });
        respond(self.status, self.content_type, Some(length), chunks)
    }

    fn half(self) -> Reply {
        let half = self.body.slice(..self.body.len() / 2);
        let chunks = stream::once(async { Ok(Frame::data(half)) }).chain(stream::once(async {
            // hyper sends what it has only when the body has to wait; without this, all would be lost.
            tokio::task::yield_now().await;
            Err(io::Error::other("cut short, as the test asked"))
        }));
        respond(self.status, self.content_type, Some(self.body.len()), chunks)
    }
}

impl State {
    fn fault(&mut self, service: Service, call: Call) -> Option<Fault> {
        let mut planted = self.faults.iter_mut();
        let (.., fault, left) =
            planted.find(|(of, at, _, left)| (*of, *at) == (service, call) && *left > 0)?;
        *left -= 1;
        Some(fault.clone())
    }

    fn start(&mut self, service: Service, sent: &Sent, fault: Option<&Fault>, address: SocketAddr) -> Right {
        let prompt = sent.prompt().to_owned();
        if prompt.is_empty() {
            return Right::json(400, &json!({"error": {"message": "no prompt", "code": "invalid_request"}}));
        }
        *self.paid.entry(prompt.clone()).or_default() += 1;
        let picture = self.picture.clone();
        let encoded = || match fault {
            Some(Fault::BadBase64) => "§§§ no Base64 §§§".to_owned(),
            _ => STANDARD.encode(&picture),
        };
        let is_chat = matches!(sent, Sent::Json(json) if json["messages"].is_array());
        let model = sent.text("model");
        match service {
            Service::StabilityAi => Right::media("image/png", picture, prompt),
            Service::OpenRouter if is_chat => {
                let message = match fault {
                    Some(Fault::Words(words)) => json!({"role": "assistant", "content": words}),
                    _ => json!({"role": "assistant", "content": "", "images": [{
                        "type": "image_url",
                        "image_url": {"url": format!("data:image/png;base64,{}", encoded())},
                    }]}),
                };
                let answer =
                    json!({"id": "gen-1", "choices": [{"finish_reason": "stop", "message": message}]});
                let hands_out = message_has_images(&answer).then_some(prompt);
                Right { hands_out, ..Right::json(200, &answer) }
            }
            Service::OpenAi if model.starts_with("dall-e") && !matches!(fault, Some(Fault::BadBase64)) => {
                self.links.push(prompt);
                let url = format!("http://{address}{}/media/{}", prefix(service), self.links.len() - 1);
                Right::json(200, &json!({"created": 1, "data": [{"url": url}]}))
            }
            Service::OpenAi if !matches!(sent, Sent::Form(_)) => {
                let answer = json!({"created": 1, "data": [{"b64_json": encoded()}]});
                Right { hands_out: Some(prompt), ..Right::json(200, &answer) }
            }
            Service::OpenAi | Service::OpenRouter | Service::Runway => {
                let failure = match fault {
                    Some(Fault::JobFails(code, text)) => Some((code.clone(), text.clone())),
                    _ => None,
                };
                let fields =
                    ["model", "seconds", "size"].map(|name| (name.to_owned(), sent.text(name).into()));
                let created = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
                let job = Job {
                    prompt,
                    fields: Value::Object(fields.into_iter().collect()),
                    created,
                    polls_left: self.polls,
                    failure,
                };
                self.jobs.push((service, job));
                let id = job_id(service, self.jobs.len() - 1);
                match service {
                    Service::OpenRouter => {
                        let polling_url = format!("/api/v1/videos/{id}");
                        Right::json(202, &json!({"id": id, "status": "pending", "polling_url": polling_url}))
                    }
                    Service::Runway => Right::json(200, &json!({"id": id})),
                    _ => Right::json(200, &json!({"id": id, "object": "video", "status": "queued"})),
                }
            }
        }
    }

    fn job(&mut self, service: Service, id: &str) -> Option<&mut Job> {
        let number: usize = id.rsplit('-').next()?.parse().ok()?;
        let (of, job) = self.jobs.get_mut(number)?;
        (*of == service && job_id(service, number) == id).then_some(job)
    }

    fn poll(&mut self, service: Service, id: &str, address: SocketAddr) -> Right {
        let Some(job) = self.job(service, id) else {
            return Right::json(404, &json!({"error": "no such job"}));
        };
        let working = job.polls_left > 0;
        job.polls_left = job.polls_left.saturating_sub(1);
        let url = format!("http://{address}{}/media/{id}", prefix(service));
        let answer = match (service, working, &job.failure) {
            (Service::Runway, true, _) => json!({"id": id, "status": "RUNNING", "progress": 0.5}),
            (Service::Runway, _, Some((code, text))) => {
                json!({"id": id, "status": "FAILED", "failure": text, "failureCode": code})
            }
            (Service::Runway, ..) => json!({"id": id, "status": "SUCCEEDED", "output": [url]}),
            (_, true, _) => json!({"id": id, "status": "in_progress"}),
            (Service::OpenRouter, _, Some((_, text))) => json!({"id": id, "status": "failed", "error": text}),
            (_, _, Some((code, text))) => {
                json!({"id": id, "status": "failed", "error": {"code": code, "message": text}})
            }
            _ => json!({"id": id, "status": "completed"}),
        };
        Right::json(200, &answer)
    }

    /// The newest first.
    fn list(&self, service: Service) -> Right {
        let own = self.jobs.iter().enumerate().filter(|(_, (of, _))| *of == service).rev();
        let data: Vec<Value> = own
            .map(|(number, (_, job))| {
                let mut video = job.fields.clone();
                video["id"] = job_id(service, number).into();
                video["prompt"] = job.prompt.clone().into();
                video["created_at"] = job.created.into();
                video
            })
            .collect();
        Right::json(200, &json!({"object": "list", "data": data, "has_more": false}))
    }

    fn media(&mut self, service: Service, id: &str) -> Right {
        let link = id.parse().ok().and_then(|number: usize| self.links.get(number).cloned());
        if let (Service::OpenAi, Some(prompt)) = (service, link) {
            return Right::media("image/png", self.picture.clone(), prompt);
        }
        let clip = self.clip.clone();
        match self.job(service, id) {
            Some(job) if job.polls_left == 0 && job.failure.is_none() => {
                Right::media("video/mp4", clip, job.prompt.clone())
            }
            _ => Right::json(404, &json!({"error": "no such video"})),
        }
    }
}

fn message_has_images(answer: &Value) -> bool {
    answer["choices"][0]["message"]["images"].is_array()
}

fn job_id(service: Service, number: usize) -> String {
    match service {
        Service::OpenAi => format!("video-{number}"),
        Service::Runway => format!("11111111-1111-4111-8111-{number:012}"),
        _ => format!("job-{number}"),
    }
}

fn unpaid(service: Service, fault: &Fault, key: &str) -> Reply {
    match fault {
        Fault::WrongKey => {
            complaint(service, 401, "invalid_api_key", &format!("Incorrect API key provided: {key}."))
        }
        Fault::NoCredit => match service {
            Service::OpenAi => {
                complaint(service, 429, "insufficient_quota", "You exceeded your current quota.")
            }
            Service::OpenRouter => complaint(service, 402, "402", "Insufficient credits. Add more."),
            Service::StabilityAi => {
                complaint(service, 402, "payment_required", "You lack sufficient credits.")
            }
            Service::Runway => {
                complaint(service, 400, "", "You do not have enough credits to run this task.")
            }
        },
        Fault::ContentRefused => match service {
            Service::OpenAi => {
                complaint(service, 400, "content_policy_violation", "Your request was rejected.")
            }
            Service::OpenRouter => complaint(service, 403, "403", "Your input was flagged."),
            Service::StabilityAi => {
                complaint(service, 403, "content_moderation", "Your request was flagged.")
            }
            Service::Runway => complaint(service, 400, "", "The prompt did not pass content moderation."),
        },
        Fault::RateLimited(wait) => {
            let mut reply = complaint(service, 429, "rate_limit_exceeded", "Too many requests.");
            let wait = wait.parse().expect("the test's header value");
            reply.headers_mut().insert(header::RETRY_AFTER, wait);
            reply
        }
        Fault::Complaint(status, text) => complaint(service, *status, "error", text),
        Fault::Page(status) => page(*status),
        Fault::Redirect(to) => {
            let mut reply = reply(302, "text/plain", "");
            reply.headers_mut().insert(header::LOCATION, to.parse().expect("the test's header value"));
            reply
        }
        paid => unreachable!("{paid:?} is paid for"),
    }
}

/// A refusal in the form that the service has for it.
fn complaint(service: Service, status: u16, code: &str, text: &str) -> Reply {
    let body = match service {
        Service::OpenAi => json!({"error": {"message": text, "type": "invalid_request_error", "code": code}}),
        Service::OpenRouter => json!({"error": {"message": text, "code": status}}),
        Service::StabilityAi => json!({"id": "0", "name": code, "errors": [text]}),
        Service::Runway => json!({"error": text}),
    };
    reply(status, "application/json", body.to_string())
}

fn page(status: u16) -> Reply {
    reply(status, "text/html", "<!DOCTYPE html><html><body><h1>Something went wrong</h1></body></html>")
}

fn endless() -> Reply {
    let blanks = stream::repeat_with(|| Ok(Frame::data(Bytes::from_static(&FILLER))));
    respond(200, "application/json", None, blanks)
}

fn reply(status: u16, content_type: &str, body: impl Into<Bytes>) -> Reply {
    let body: Bytes = body.into();
    let length = body.len();
    respond(status, content_type, Some(length), stream::once(async { Ok(Frame::data(body)) }))
}

fn respond(
    status: u16,
    content_type: &str,
    length: Option<usize>,
    chunks: impl Stream<Item = io::Result<Frame<Bytes>>> + Send + 'static,
) -> Reply {
    let mut response = Response::builder().status(status).header(header::CONTENT_TYPE, content_type);
    if let Some(length) = length {
        response = response.header(header::CONTENT_LENGTH, length);
    }
    response.body(StreamBody::new(Box::pin(chunks) as Chunks)).expect("status and headers are constants")
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // What a panicking test left there is still right.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
