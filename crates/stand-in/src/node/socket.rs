//! Connections: the handshake, requests in, answers and news out, and the faults of a connection.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::{Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use soketto::handshake::{Server, server};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt as _};

use super::blocks::{Hash, hexed};
use super::methods::{Answer, Topic};
use super::script::{Fault, RpcError};
use super::{Shared, lock, runtime};

/// How much of an answer gets out before the connection is cut.
const CUT_AFTER: usize = 512;

type Failed = Box<dyn Error + Send + Sync>;

pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((socket, _)) = listener.accept().await else { continue };
        while connections.try_join_next().is_some() {}
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            // A client that hangs up in the middle is what many tests do: not an error here.
            let _ = serve(socket, shared).await;
        });
    }
}

async fn serve(socket: TcpStream, shared: Arc<Shared>) -> Result<(), Failed> {
    socket.set_nodelay(true)?;
    let mut first = [0];
    socket.peek(&mut first).await?;
    if first == *b"P" { serve_posts(socket, shared).await } else { serve_web_socket(socket, shared).await }
}

fn refuses(shared: &Shared) -> bool {
    lock(&shared.state).script.fault == Some(Fault::Refuse)
}

async fn serve_posts(socket: TcpStream, shared: Arc<Shared>) -> Result<(), Failed> {
    let service = hyper::service::service_fn(move |request: http::Request<Incoming>| {
        let shared = Arc::clone(&shared);
        async move {
            let respond = |status, body: String| {
                let mut response = Response::new(Full::new(Bytes::from(body)));
                *response.status_mut() = status;
                let json = header::HeaderValue::from_static("application/json");
                response.headers_mut().insert(header::CONTENT_TYPE, json);
                Ok::<_, Infallible>(response)
            };
            let Ok(body) = request.into_body().collect().await else {
                return respond(StatusCode::BAD_REQUEST, String::new());
            };
            if refuses(&shared) {
                return respond(StatusCode::SERVICE_UNAVAILABLE, String::new());
            }
            let Some(outgoing) = answer(&shared, &body.to_bytes(), false) else {
                return std::future::pending().await;
            };
            tokio::time::sleep(outgoing.delay).await;
            respond(StatusCode::OK, outgoing.texts.concat())
        }
    });
    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service).await?;
    Ok(())
}

/// Texts to send together, and what they mean for the connection.
#[derive(Default)]
struct Outgoing {
    delay: Duration,
    /// The answer, then the news that a subscription begins with.
    texts: Vec<String>,
    subscribed: Vec<Subscription>,
    unsubscribed: Vec<String>,
    /// Hang up in the middle of the first text.
    cut: bool,
}

struct Subscription {
    id: String,
    topic: Topic,
    /// The newest block and the spec version that were known when it was last told something.
    told: (Hash, u32),
}

async fn serve_web_socket(socket: TcpStream, shared: Arc<Shared>) -> Result<(), Failed> {
    // The same socket again, to cut an answer short behind the back of what frames it.
    let socket = socket.into_std()?;
    let twin = socket.try_clone()?;
    let mut handshake = Server::new(TcpStream::from_std(socket)?.compat());
    let key = handshake.receive_request().await?.key();
    if refuses(&shared) {
        handshake.send_response(&server::Response::Reject { status_code: 503 }).await?;
        return Ok(());
    }
    handshake.send_response(&server::Response::Accept { key, protocol: None }).await?;
    let (mut sender, receiver) = handshake.into_builder().finish();

    let mut changes = shared.changes.subscribe();
    let (requests_in, mut requests) = mpsc::channel(64);
    let mut reader = JoinSet::new();
    reader.spawn(read(receiver, requests_in));
    let mut waiting = FuturesUnordered::new();
    let mut subscriptions: Vec<Subscription> = Vec::new();
    loop {
        let texts = tokio::select! {
            request = requests.recv() => {
                let Some(request) = request else { return Ok(()) };
                if let Some(outgoing) = answer(&shared, &request, true) {
                    waiting.push(async move {
                        tokio::time::sleep(outgoing.delay).await;
                        outgoing
                    });
                }
                continue;
            }
            Some(outgoing) = waiting.next() => {
                if outgoing.cut {
                    return Ok(cut_short(&twin, &outgoing.texts[0])?);
                }
                subscriptions.retain(|one| !outgoing.unsubscribed.contains(&one.id));
                subscriptions.extend(outgoing.subscribed);
                outgoing.texts
            }
            Ok(()) = changes.changed() => {
                if refuses(&shared) {
                    return Ok(());
                }
                subscriptions.iter_mut().filter_map(|one| news(&shared, one)).collect()
            }
        };
        for text in texts {
            sender.send_text_owned(text).await?;
        }
        sender.flush().await?;
    }
}

async fn read(mut receiver: soketto::Receiver<Compat<TcpStream>>, requests: mpsc::Sender<Vec<u8>>) {
    loop {
        let mut request = Vec::new();
        if receiver.receive_data(&mut request).await.is_err() || requests.send(request).await.is_err() {
            return;
        }
    }
}

/// Begins a WebSocket message that holds `text`, sends a part of it, and hangs up.
fn cut_short(mut socket: &std::net::TcpStream, text: &str) -> io::Result<()> {
    const FINAL_TEXT: u8 = 0x81;
    let mut bytes = vec![FINAL_TEXT];
    match text.len() {
        length @ ..126 => bytes.push(length as u8),
        length => {
            bytes.push(127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(&text.as_bytes()[..CUT_AFTER.min(text.len() / 2)]);
    io::Write::write_all(&mut socket, &bytes)?;
    socket.shutdown(Shutdown::Both)
}

/// What a subscriber is to be told, if anything, now that the state has changed.
fn news(shared: &Shared, subscription: &mut Subscription) -> Option<String> {
    let state = lock(&shared.state);
    let now = (state.blocks.head_hash(), state.script.spec_version);
    let value = match subscription.topic {
        Topic::Extrinsic => return None,
        Topic::RuntimeVersion if subscription.told.1 != now.1 => runtime::version(&state.script),
        Topic::RuntimeVersion => return None,
        _ if state.script.silent_heads || subscription.told.0 == now.0 => return None,
        topic => state.blocks.header(state.newest(topic)),
    };
    subscription.told = now;
    Some(notification(subscription.topic, &subscription.id, value))
}

fn notification(topic: Topic, id: &str, value: Value) -> String {
    let params = json!({ "subscription": id, "result": value });
    json!({ "jsonrpc": "2.0", "method": topic.notification(), "params": params }).to_string()
}

/// The answer to a message of a client, which holds one request or a list of them; none where the node is not to
/// answer.
fn answer(shared: &Shared, message: &[u8], may_subscribe: bool) -> Option<Outgoing> {
    let mut outgoing = Outgoing::default();
    let answers = match serde_json::from_slice(message) {
        Ok(Value::Array(requests)) => {
            let each = requests.iter().map(|one| answer_one(shared, one, may_subscribe, &mut outgoing));
            Value::Array(each.collect())
        }
        Ok(request) => answer_one(shared, &request, may_subscribe, &mut outgoing),
        Err(_) => failure(Value::Null, &RpcError::new(-32700, "Parse error")),
    };
    let state = lock(&shared.state);
    if state.script.fault == Some(Fault::AcceptAndNeverAnswer) {
        return None;
    }
    outgoing.delay = state.script.delay;
    outgoing.texts.insert(0, answers.to_string());
    Some(outgoing)
}

fn answer_one(shared: &Shared, request: &Value, may_subscribe: bool, outgoing: &mut Outgoing) -> Value {
    let id = request["id"].clone();
    let Some(method) = request["method"].as_str() else {
        return failure(id, &RpcError::new(-32600, "Invalid request"));
    };
    let params = &request["params"];
    let runtime_method = params[0].as_str().filter(|_| method == "state_call");
    lock(&shared.asked).push(match runtime_method {
        Some(called) => format!("{method} {called}"),
        None => method.to_owned(),
    });
    let mut state = lock(&shared.state);
    if let Some(Fault::CloseInMidAnswer(at)) = &state.script.fault {
        outgoing.cut |= at == method || runtime_method == Some(at);
    }
    let head = state.blocks.head();
    let answer = match state.answer(method, params) {
        Ok(Answer::Subscribed(..)) if !may_subscribe => {
            Err(RpcError::new(-32000, "Subscriptions need a WebSocket"))
        }
        answer => answer,
    };
    let told = (state.blocks.head_hash(), state.script.spec_version);
    if state.blocks.head() != head {
        shared.changes.send_modify(|count| *count += 1);
    }
    let result = match answer {
        Err(error) => return failure(id, &error),
        Ok(Answer::Value(value)) => value,
        Ok(Answer::Unsubscribed(subscription)) => {
            outgoing.unsubscribed.push(subscription);
            true.into()
        }
        Ok(Answer::Subscribed(topic, first)) => {
            let subscription = new_id();
            outgoing.texts.extend(first.into_iter().map(|value| notification(topic, &subscription, value)));
            outgoing.subscribed.push(Subscription { id: subscription.clone(), topic, told });
            subscription.into()
        }
    };
    json!({ "jsonrpc": "2.0", "id": id, "result": result })
}

fn failure(id: Value, error: &RpcError) -> Value {
    let mut object = json!({ "code": error.code, "message": error.message });
    if let Some(data) = &error.data {
        object["data"] = data.clone();
    }
    json!({ "jsonrpc": "2.0", "id": id, "error": object })
}

fn new_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    hexed(NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes())
}
