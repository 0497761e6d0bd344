//! A loopback server of the Open Inference Protocol, REST and gRPC on one port, with a model that doubles its input. It can
//! refuse, lie, break off and be silent on request, and counts what was asked of it.
//!
//! What it reads and writes is put together by hand, so that it would not share a mistake with the client.

use std::collections::BTreeMap;
use std::future::pending;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinSet, yield_now};
use tokio::time::sleep;

/// Largest body of a call, in bytes.
const MAX_BODY: usize = 256 << 20;
/// Where the JSON before binary tensors ends.
const JSON_LENGTH: &str = "inference-header-content-length";

/// A tensor as metadata describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// The protocol's word, such as `FP32`.
    pub datatype: String,
    /// `-1` where any size will do.
    pub shape: Vec<i64>,
}

impl Port {
    /// A port of these.
    #[must_use]
    pub fn new(name: &str, datatype: &str, shape: &[i64]) -> Self {
        Self { name: name.to_owned(), datatype: datatype.to_owned(), shape: shape.to_vec() }
    }
}

/// What is served.
#[derive(Debug, Clone)]
pub struct Served {
    /// What the metadata say of inputs; the first one is doubled, as 32-bit floats.
    pub inputs: Vec<Port>,
    /// What they say of outputs.
    pub outputs: Vec<Port>,
    /// Whether tensors may follow the JSON as bytes.
    pub binary: bool,
    /// Whether gRPC's answers have typed contents in place of raw ones.
    pub typed: bool,
    /// The bearer token that is asked for.
    pub token: Option<String>,
    /// Whether it says that it is ready.
    pub ready: bool,
    /// What becomes of calls.
    pub reply: Reply,
}

impl Default for Served {
    fn default() -> Self {
        Self {
            inputs: vec![Port::new("x", "FP32", &[-1, 4])],
            outputs: vec![Port::new("y", "FP32", &[-1, 4])],
            binary: true,
            typed: false,
            token: None,
            ready: true,
            reply: Reply::Doubled,
        }
    }
}

/// What becomes of a call.
#[derive(Debug, Clone)]
pub enum Reply {
    /// The input, doubled.
    Doubled,
    /// The same after this time.
    After(Duration),
    /// The same under this description.
    As(Port),
    /// These bytes as a success, with gRPC as the message.
    Bytes(Vec<u8>),
    /// REST gets the status, gRPC the code.
    Refused {
        /// HTTP's.
        status: u16,
        /// gRPC's.
        code: u32,
        /// What is said about it.
        text: String,
    },
    /// Half of an answer, and then the connection ends.
    Half,
    /// A status of success and nothing behind it.
    Unfinished,
    /// Nothing at all, until the caller goes away.
    Silence,
    /// The connection ends without an answer.
    HangUp,
}

/// The server. It ends when it is dropped.
#[derive(Debug)]
pub struct OipServer {
    address: SocketAddr,
    state: Arc<State>,
    _serving: JoinSet<()>,
}

#[derive(Debug)]
struct State {
    served: Mutex<Served>,
    /// Calls begun, and those whose caller still waits.
    counts: Mutex<(usize, usize)>,
}

impl OipServer {
    /// Serves the model `doubler` on a free port of loopback.
    ///
    /// # Errors
    /// Where no port can be had.
    pub async fn start(served: Served) -> io::Result<Self> {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into(), served).await
    }

    /// The same at an address, such as that of a server that was dropped.
    ///
    /// # Errors
    /// Where the address is taken.
    pub async fn start_at(address: SocketAddr, served: Served) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State { served: Mutex::new(served), counts: Mutex::default() });
        let mut serving = JoinSet::new();
        serving.spawn(accept(listener, Arc::clone(&state)));
        Ok(Self { address, state, _serving: serving })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The model's URL for REST.
    #[must_use]
    pub fn rest(&self) -> String {
        format!("http://{}/v2/models/doubler", self.address)
    }

    /// The model's URL for gRPC.
    #[must_use]
    pub fn grpc(&self) -> String {
        format!("grpc://{}/doubler", self.address)
    }

    /// Changes what is served.
    pub fn change(&self, change: impl FnOnce(&mut Served)) {
        change(&mut self.state.served());
    }

    /// How many calls have begun.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.state.counts().0
    }

    /// How many calls have begun whose caller still waits.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.state.counts().1
    }
}

impl State {
    fn served(&self) -> MutexGuard<'_, Served> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counts(&self) -> MutexGuard<'_, (usize, usize)> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a call while it lasts.
struct Counted(Arc<State>);

impl Counted {
    fn new(state: &Arc<State>) -> Self {
        let mut counts = state.counts();
        counts.0 += 1;
        counts.1 += 1;
        Self(Arc::clone(state))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.counts().1 -= 1;
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((socket, _)) = listener.accept().await else { continue };
        while connections.try_join_next().is_some() {}
        connections.spawn(serve(socket, Arc::clone(&state)));
    }
}

async fn serve(socket: TcpStream, state: Arc<State>) {
    let _ = socket.set_nodelay(true);
    let mut first = [0; 3];
    // HTTP/2 begins with `PRI`, which is no method of HTTP/1.1.
    let http2 = socket.peek(&mut first).await.is_ok() && first == *b"PRI";
    let service = hyper::service::service_fn(move |request| answer(Arc::clone(&state), request));
    let io = TokioIo::new(socket);
    // A client that hangs up in the middle is what many tests do: not an error here.
    if http2 {
        let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(8 << 20)
            .initial_connection_window_size(8 << 20);
        let _ = builder.serve_connection(io, service).await;
    } else {
        let _ = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(io, service)
            .await;
    }
}

type Body = StreamBody<stream::BoxStream<'static, io::Result<Frame<Bytes>>>>;

async fn answer(state: Arc<State>, request: Request<Incoming>) -> io::Result<Response<Body>> {
    let grpc = request.version() == Version::HTTP_2;
    let path = request.uri().path().to_owned();
    let (head, body) = request.into_parts();
    let body =
        http_body_util::Limited::new(body, MAX_BODY).collect().await.map_err(io::Error::other)?.to_bytes();
    let served = state.served().clone();
    let token = head.headers.get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if let Some(wanted) = &served.token
        && token != Some(format!("Bearer {wanted}").as_str())
    {
        return Ok(refused(grpc, 401, 16, "no token that is known"));
    }
    match path.rsplit('/').next().unwrap_or_default() {
        "ModelReady" => Ok(message(&if served.ready { vec![8, 1] } else { Vec::new() })),
        "ModelMetadata" => {
            let ports = |field: u64, ports: &[Port]| -> Vec<u8> {
                ports.iter().flat_map(|port| field_of(field, &described(port))).collect()
            };
            let name = field_of(1, b"doubler");
            Ok(message(&[name, ports(4, &served.inputs), ports(5, &served.outputs)].concat()))
        }
        "ready" if served.ready => Ok(json_body(&json!({"name": "doubler", "ready": true}))),
        "ready" => Ok(refused(false, 503, 14, "the model is not ready")),
        "v2" => {
            let extensions = if served.binary { vec!["binary_tensor_data"] } else { Vec::new() };
            Ok(json_body(&json!({"name": "stand-in", "version": "1", "extensions": extensions})))
        }
        "doubler" => {
            let ports = |ports: &[Port]| -> Value {
                let one =
                    |port: &Port| json!({"name": port.name, "datatype": port.datatype, "shape": port.shape});
                ports.iter().map(one).collect()
            };
            let (inputs, outputs) = (ports(&served.inputs), ports(&served.outputs));
            Ok(json_body(
                &json!({"name": "doubler", "platform": "none", "inputs": inputs, "outputs": outputs}),
            ))
        }
        "infer" | "ModelInfer" => {
            let _counted = Counted::new(&state);
            infer(&served, grpc, &head.headers, &body).await
        }
        other => Ok(refused(grpc, 404, 12, &format!("there is no {other}"))),
    }
}

async fn infer(served: &Served, grpc: bool, headers: &HeaderMap, body: &[u8]) -> io::Result<Response<Body>> {
    let doubled = |port: Option<&Port>| {
        let read = if grpc { read_message(body) } else { read_json(headers, body) };
        let Some((shape, floats)) = read else {
            return refused(grpc, 400, 3, "the stand-in cannot read this");
        };
        let doubled: Vec<f32> = floats.iter().map(|float| float * 2.0).collect();
        let first = &served.outputs[0];
        let port = port.cloned().unwrap_or_else(|| Port::new(&first.name, &first.datatype, &shape));
        if grpc {
            written_message(&port, &doubled, served.typed)
        } else {
            written_json(&port, &doubled, served.binary)
        }
    };
    match &served.reply {
        Reply::Doubled => Ok(doubled(None)),
        Reply::After(time) => {
            sleep(*time).await;
            Ok(doubled(None))
        }
        Reply::As(port) => Ok(doubled(Some(port))),
        Reply::Bytes(bytes) if grpc => Ok(message(bytes)),
        Reply::Bytes(bytes) => Ok(whole(StatusCode::OK, BTreeMap::new(), bytes.clone().into(), None)),
        Reply::Refused { status, code, text } => Ok(refused(grpc, *status, *code, text)),
        Reply::Half => {
            let frames = doubled(None).into_body();
            let bytes = BodyExt::collect(frames).await?.to_bytes();
            let half = bytes.slice(..bytes.len() / 2);
            let broken = async {
                // The half goes out first.
                yield_now().await;
                Err(io::Error::other("half is enough"))
            };
            let frames = stream::iter([Ok(Frame::data(half))]).chain(stream::once(broken));
            let mut response = Response::new(StreamBody::new(frames.boxed()));
            response.headers_mut().insert("content-length", HeaderValue::from(bytes.len()));
            Ok(response)
        }
        Reply::Unfinished => Ok(whole(StatusCode::OK, BTreeMap::new(), Bytes::new(), None)),
        Reply::Silence => pending().await,
        Reply::HangUp => Err(io::Error::other("hung up, as it was told to")),
    }
}

fn whole(
    status: StatusCode,
    headers: BTreeMap<&'static str, String>,
    body: Bytes,
    trailers: Option<HeaderMap>,
) -> Response<Body> {
    let mut frames = vec![Ok(Frame::data(body))];
    frames.extend(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
    let mut response = Response::new(StreamBody::new(stream::iter(frames).boxed()));
    *response.status_mut() = status;
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}

fn json_body(body: &Value) -> Response<Body> {
    let headers = BTreeMap::from([("content-type", "application/json".to_owned())]);
    whole(StatusCode::OK, headers, body.to_string().into(), None)
}

fn refused(grpc: bool, status: u16, code: u32, text: &str) -> Response<Body> {
    if grpc {
        let headers = [
            ("content-type", "application/grpc"),
            ("grpc-status", &code.to_string()),
            ("grpc-message", text),
        ];
        let headers = headers.map(|(name, value)| (name, value.to_owned()));
        return whole(StatusCode::OK, headers.into(), Bytes::new(), None);
    }
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    whole(status, BTreeMap::new(), json!({"error": text}).to_string().into(), None)
}

/// A message of gRPC, and that all went well.
fn message(bytes: &[u8]) -> Response<Body> {
    let framed = [&[0], &(bytes.len() as u32).to_be_bytes()[..], bytes].concat();
    let trailers =
        HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))]);
    let headers = BTreeMap::from([("content-type", "application/grpc".to_owned())]);
    whole(StatusCode::OK, headers, framed.into(), Some(trailers))
}

fn read_json(headers: &HeaderMap, body: &[u8]) -> Option<(Vec<i64>, Vec<f32>)> {
    let length = match headers.get(JSON_LENGTH) {
        Some(length) => length.to_str().ok()?.parse().ok()?,
        None => body.len(),
    };
    let (head, raw) = body.split_at_checked(length)?;
    let head: Value = serde_json::from_slice(head).ok()?;
    let input = head["inputs"].get(0)?;
    let shape = input["shape"].as_array()?.iter().map(Value::as_i64).collect::<Option<_>>()?;
    let floats = match input["data"].as_array() {
        Some(data) => {
            data.iter().map(|number| number.as_f64().map(|number| number as f32)).collect::<Option<_>>()?
        }
        None => floats(raw),
    };
    Some((shape, floats))
}

fn floats(raw: &[u8]) -> Vec<f32> {
    raw.as_chunks::<4>().0.iter().map(|float| f32::from_le_bytes(*float)).collect()
}

fn raw(floats: &[f32]) -> Vec<u8> {
    floats.iter().flat_map(|float| float.to_le_bytes()).collect()
}

fn written_json(port: &Port, floats: &[f32], binary: bool) -> Response<Body> {
    let mut output = json!({"name": port.name, "datatype": port.datatype, "shape": port.shape});
    if !binary {
        output["data"] = floats.into();
        return json_body(&json!({"model_name": "doubler", "outputs": [output]}));
    }
    output["parameters"] = json!({"binary_data_size": floats.len() * 4});
    let head = json!({"model_name": "doubler", "outputs": [output]}).to_string();
    let headers = BTreeMap::from([
        ("content-type", "application/octet-stream".to_owned()),
        (JSON_LENGTH, head.len().to_string()),
    ]);
    whole(StatusCode::OK, headers, [head.into_bytes(), raw(floats)].concat().into(), None)
}

fn written_message(port: &Port, floats: &[f32], typed: bool) -> Response<Body> {
    let mut output = described(port);
    let mut contents = Vec::new();
    if typed {
        // Field 6 of the contents: packed floats.
        output.extend(field_of(5, &field_of(6, &raw(floats))));
    } else {
        contents = field_of(6, &raw(floats));
    }
    message(&[field_of(1, b"doubler"), field_of(5, &output), contents].concat())
}

/// Name, type and shape, which have the same numbers in metadata, inputs and outputs.
fn described(port: &Port) -> Vec<u8> {
    let mut shape = Vec::new();
    for &size in &port.shape {
        varint(size as u64, &mut shape);
    }
    [field_of(1, port.name.as_bytes()), field_of(2, port.datatype.as_bytes()), field_of(3, &shape)].concat()
}

fn field_of(number: u64, bytes: &[u8]) -> Vec<u8> {
    let mut field = Vec::with_capacity(bytes.len() + 12);
    varint(number << 3 | 2, &mut field);
    varint(bytes.len() as u64, &mut field);
    field.extend_from_slice(bytes);
    field
}

fn varint(mut value: u64, to: &mut Vec<u8>) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

/// Shape and elements of a call's input.
fn read_message(body: &[u8]) -> Option<(Vec<i64>, Vec<f32>)> {
    let (mut shape, mut elements) = (Vec::new(), Vec::new());
    for (number, field) in fields(body.get(5..)?)? {
        match number {
            5 => {
                for (number, mut packed) in fields(field)? {
                    while number == 3 && !packed.is_empty() {
                        shape.push(read_varint(&mut packed)? as i64);
                    }
                }
            }
            7 => elements = floats(field),
            _ => {}
        }
    }
    Some((shape, elements))
}

/// The fields of a message, all of which are bytes.
fn fields(mut message: &[u8]) -> Option<Vec<(u64, &[u8])>> {
    let mut found = Vec::new();
    while !message.is_empty() {
        let key = read_varint(&mut message)?;
        let length = read_varint(&mut message)? as usize;
        let (field, rest) = message.split_at_checked(length)?;
        if key & 7 != 2 {
            return None;
        }
        found.push((key >> 3, field));
        message = rest;
    }
    Some(found)
}

fn read_varint(from: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = from.split_first()?;
        *from = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
