//! A model on other hosts, asked by the Open Inference Protocol (KServe v2), which NVIDIA Triton, KServe, OpenVINO Model
//! Server and MLServer speak, over HTTP/REST and over gRPC.
//!
//! [`RemoteModel`] is one model on several servers. A call goes to the one with the fewest calls in flight; where that
//! fails, to another, since a model may be asked twice. Servers are probed in the background, and one that keeps
//! failing is left alone until it answers a probe. What goes into the model and what its outputs mean is left to others.

mod board;
mod error;
mod grpc;
mod json;
mod message;
mod ports;
mod rest;
mod server;

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use adit_outbound::{AddressGuard, Client};
use futures_util::future::join_all;
use http::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::tensor::{Signature, Tensor};
use board::{Board, Entry, Outcome};
use error::Failure;
use grpc::Grpc;
use rest::Rest;
use server::Protocol;

pub use board::Circuit;
pub use error::{Failures, OipError};
pub use server::{Server, ServerError};

/// Longest wait for what says whether a server is there.
const PROBE: Duration = Duration::from_secs(5);
/// Pause between tries to find the first server.
const START_PAUSE: Duration = Duration::from_millis(500);
/// Pause before servers that were all busy are asked again, doubled each time up to [`LONGEST_BUSY_PAUSE`].
const BUSY_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_BUSY_PAUSE: Duration = Duration::from_secs(2);

/// Where a model is served, and how patient its client is.
#[derive(Debug, Clone)]
pub struct RemoteConfig {
    /// The servers, at least one. All must have the same model.
    pub servers: Vec<Server>,
    /// Sent to each as `Authorization: Bearer …`.
    pub token: Option<SecretString>,
    /// Longest wait for one server's answer to one call.
    pub call_limit: Duration,
    /// How often each server is probed, give or take 15 %.
    pub probe_every: Duration,
    /// So many failures in a row, and a server is only probed until it passes; at least 1.
    pub most_failures: u32,
    /// Largest answer in bytes.
    pub max_answer_bytes: u64,
}

impl RemoteConfig {
    /// 10 s a call, a probe every 2 s, 3 failures, 64 MiB an answer; no token.
    #[must_use]
    pub fn new(servers: Vec<Server>) -> Self {
        Self {
            servers,
            token: None,
            call_limit: Duration::from_secs(10),
            probe_every: Duration::from_secs(2),
            most_failures: 3,
            max_answer_bytes: 64 << 20,
        }
    }
}

/// One model on one or more servers that all hold it. Dropping it ends the probes.
#[derive(Debug)]
pub struct RemoteModel {
    signature: Arc<Signature>,
    shared: Arc<Shared>,
    _probes: JoinSet<()>,
}

/// How a server does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerStatus {
    /// Which one.
    pub server: Server,
    /// Whether it is asked.
    pub circuit: Circuit,
    /// Calls that it has not answered yet.
    pub in_flight: usize,
    /// How its last failure reads after its name, however long ago that was.
    pub last_failure: Option<String>,
}

#[derive(Debug)]
struct Shared {
    members: Vec<Member>,
    board: Mutex<Board>,
    /// A server can be asked that could not be.
    freed: Notify,
    call_limit: Duration,
    probe_every: Duration,
}

#[derive(Debug)]
struct Member {
    server: Server,
    connection: Connection,
    /// Its circuit has just been opened: it is probed at once, in case that it was a passing trouble.
    opened: Notify,
}

#[derive(Debug)]
enum Connection {
    Rest(Rest),
    Grpc(Grpc),
}

impl RemoteModel {
    /// Waits until at least one server has the model ready, and reads what the model takes and gives from every one
    /// that has. Those that are not there yet are asked the same when they come.
    ///
    /// # Errors
    /// [`OipError::NoneThere`] at the deadline; at once where a model cannot be used, two servers have different
    /// ones, or a server refuses to be asked.
    pub async fn connect(config: RemoteConfig, deadline: Instant) -> Result<Self, OipError> {
        let members = members(&config)?;
        let mut said = false;
        let (signature, there) = loop {
            let until = deadline.min(Instant::now() + PROBE);
            let looks = join_all(members.iter().map(|member| member.connection.look(until))).await;
            let there: Vec<Result<(), String>> = looks
                .iter()
                .map(|look| match look {
                    Ok(_) => Ok(()),
                    Err(failure) => Err(failure.to_string()),
                })
                .collect();
            if let Some(signature) = agreed(&members, looks)? {
                break (signature, there);
            }
            let failed = members.iter().zip(there);
            let failed = failed.filter_map(|(member, look)| Some((member.server.clone(), look.err()?)));
            let failures = Failures(failed.collect());
            let next = Instant::now() + jittered(START_PAUSE);
            if next >= deadline {
                return Err(OipError::NoneThere(failures));
            }
            if !said {
                tracing::warn!(%failures, "no model server is there yet; waiting for one");
                said = true;
            }
            sleep_until(next).await;
        };
        let entries = members.iter().zip(there).map(|(member, look)| {
            if let Err(why) = &look {
                tracing::warn!(server = %member.server, %why, "this model server is not there; it is asked again while others serve");
            }
            let circuit = if look.is_ok() { Circuit::Closed } else { Circuit::Open };
            Entry { circuit, in_flight: 0, failures: 0, last_failure: look.err() }
        });
        let board = Mutex::new(Board::new(entries.collect(), config.most_failures.max(1)));
        let RemoteConfig { call_limit, probe_every, .. } = config;
        let shared = Arc::new(Shared { members, board, freed: Notify::new(), call_limit, probe_every });
        let signature = Arc::new(signature);
        let mut probes = JoinSet::new();
        for index in 0..shared.members.len() {
            probes.spawn(probe(Arc::clone(&shared), Arc::clone(&signature), index));
        }
        Ok(Self { signature, shared, _probes: probes })
    }

    /// What the model takes and gives.
    #[must_use]
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// The outputs for `input`, in the order of the signature. What was promised holds of them: names, types, shapes
    /// and numbers of elements.
    ///
    /// Each server is asked at most once, but for those that had no room. Dropping the future ends the call.
    ///
    /// # Errors
    /// Any [`OipError`] but those of [`RemoteModel::connect`].
    pub async fn infer(&self, input: &Arc<Tensor>, deadline: Instant) -> Result<Vec<Tensor>, OipError> {
        if let Some(what) = ports::misfit(&self.signature.input, input) {
            return Err(OipError::Input { what });
        }
        let shared = &*self.shared;
        let mut call = Call::new(shared.members.len());
        // Time for two probes: a server that only stumbled is back by then.
        let patience = deadline.min(Instant::now() + shared.probe_every * 2);
        loop {
            let mut freed = pin!(shared.freed.notified());
            freed.as_mut().enable();
            let Some(place) = shared.take(&call.asked) else {
                if call.failures.is_empty() {
                    let until = if shared.ready() { deadline } else { patience };
                    if timeout_at(until, freed).await.is_err() {
                        let failures = Failures(shared.last_failures());
                        return Err(match until == deadline {
                            true => OipError::Deadline(failures),
                            false => OipError::NoneUp(failures),
                        });
                    }
                } else if let Some(pause) = call.pause() {
                    let next = Instant::now() + pause;
                    if next >= deadline {
                        return Err(OipError::Deadline(Failures(call.failures)));
                    }
                    sleep_until(next).await;
                } else {
                    return Err(OipError::Failed(Failures(call.failures)));
                }
                continue;
            };
            let Member { server, connection, .. } = &shared.members[place.index];
            let (index, limit) = (place.index, Instant::now() + shared.call_limit);
            let until = deadline.min(limit);
            let answer = timeout_at(until, connection.infer(&self.signature, input, until)).await;
            let failure = match answer {
                Ok(Ok(outputs)) => {
                    place.end(Outcome::Answered);
                    return Ok(outputs);
                }
                Ok(Err(failure)) => failure,
                Err(_) => Failure::Slow(shared.call_limit),
            };
            // That the caller had little time says nothing about the server.
            let cut_short = matches!(failure, Failure::Slow(_)) && deadline < limit;
            place.end(match &failure {
                Failure::Refused { .. } => Outcome::Answered,
                Failure::Busy { .. } => Outcome::Unknown,
                _ if cut_short => Outcome::Unknown,
                failure => Outcome::Failed(failure.to_string()),
            });
            tracing::debug!(%server, %failure, "a call failed");
            match failure {
                Failure::Refused { status, said, hint } => {
                    return Err(OipError::Refused { server: Box::new(server.clone()), status, said, hint });
                }
                failure => call.failed(index, server, failure),
            }
            if cut_short {
                return Err(OipError::Deadline(Failures(call.failures)));
            }
        }
    }

    /// Whether a call would find a server.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.shared.ready()
    }

    /// One line for the log: which model, where.
    #[must_use]
    pub fn describe(&self) -> String {
        let servers: Vec<String> =
            self.shared.members.iter().map(|member| member.server.to_string()).collect();
        format!("remote model on {}", servers.join(", "))
    }

    /// How each server does, in the order of the configuration.
    #[must_use]
    pub fn status(&self) -> Vec<ServerStatus> {
        let board = self.shared.board();
        let members = self.shared.members.iter().zip(board.entries());
        let status = members.map(|(member, entry)| ServerStatus {
            server: member.server.clone(),
            circuit: entry.circuit,
            in_flight: entry.in_flight,
            last_failure: entry.last_failure.clone(),
        });
        status.collect()
    }
}

fn members(config: &RemoteConfig) -> Result<Vec<Member>, OipError> {
    if config.servers.is_empty() {
        return Err(OipError::NoServers);
    }
    let token = match &config.token {
        None => None,
        Some(token) => {
            let value = HeaderValue::try_from(format!("Bearer {}", token.expose_secret().trim()));
            let mut value = value.map_err(|_| OipError::Token)?;
            value.set_sensitive(true);
            Some(value)
        }
    };
    // The operator names these hosts, so any address will do.
    let rest = Client::new(AddressGuard::unrestricted())?;
    let grpc = Client::with_http2(AddressGuard::unrestricted())?;
    let member = |server: &Server| {
        let (token, max_bytes) = (token.clone(), config.max_answer_bytes);
        let connection = match server.protocol {
            Protocol::Rest => Connection::Rest(Rest::new(rest.clone(), server, token, max_bytes)),
            Protocol::Grpc => Connection::Grpc(Grpc::new(grpc.clone(), server, token, max_bytes)),
        };
        Member { server: server.clone(), connection, opened: Notify::new() }
    };
    Ok(config.servers.iter().map(member).collect())
}

/// The signature that all servers that are there agree on; `None` where none is.
fn agreed(members: &[Member], looks: Vec<Result<Signature, Failure>>) -> Result<Option<Signature>, OipError> {
    let mut first: Option<(&Server, Signature)> = None;
    for (member, look) in members.iter().zip(looks) {
        let server = Box::new(member.server.clone());
        match (look, &first) {
            (Ok(signature), None) => first = Some((&member.server, signature)),
            (Ok(signature), Some((one, agreed))) => {
                if let Some(what) = ports::difference(agreed, &signature) {
                    return Err(OipError::Disagree { one: Box::new((*one).clone()), other: server, what });
                }
            }
            (Err(Failure::Unusable(what)), _) => return Err(OipError::Unusable { server, what }),
            (Err(Failure::Refused { status, said, hint }), _) => {
                return Err(OipError::Refused { server, status, said, hint });
            }
            (Err(_), _) => {}
        }
    }
    Ok(first.map(|(_, signature)| signature))
}

/// What one call has seen so far.
struct Call {
    asked: Vec<bool>,
    failures: Vec<(Server, String)>,
    /// Those that had no room, and may be asked again.
    busy: Vec<usize>,
    /// How long they asked to be left alone.
    wait: Duration,
    pause: Duration,
}

impl Call {
    fn new(servers: usize) -> Self {
        let asked = vec![false; servers];
        Self { asked, failures: Vec::new(), busy: Vec::new(), wait: Duration::ZERO, pause: BUSY_PAUSE }
    }

    fn failed(&mut self, index: usize, server: &Server, failure: Failure) {
        self.asked[index] = true;
        self.failures.retain(|(other, _)| other != server);
        self.failures.push((server.clone(), failure.to_string()));
        if let Failure::Busy { wait, .. } = failure {
            self.busy.push(index);
            self.wait = self.wait.max(wait.unwrap_or_default());
        }
    }

    /// How long to wait before those that had no room are asked again; `None` where there is none of them.
    fn pause(&mut self) -> Option<Duration> {
        if self.busy.is_empty() {
            return None;
        }
        for index in self.busy.drain(..) {
            self.asked[index] = false;
        }
        let pause = jittered(self.pause).max(std::mem::take(&mut self.wait));
        self.pause = (self.pause * 2).min(LONGEST_BUSY_PAUSE);
        Some(pause)
    }
}

/// A place at a server, given back when it is dropped.
struct Place<'a> {
    shared: &'a Shared,
    index: usize,
    outcome: Outcome,
}

impl Place<'_> {
    fn end(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let outcome = std::mem::replace(&mut self.outcome, Outcome::Unknown);
        self.shared.tell(self.index, |board| board.give_back(self.index, outcome));
    }
}

impl Shared {
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, asked: &[bool]) -> Option<Place<'_>> {
        let index = self.board().take(asked)?;
        Some(Place { shared: self, index, outcome: Outcome::Unknown })
    }

    fn ready(&self) -> bool {
        self.board().entries().iter().any(|entry| entry.circuit != Circuit::Open)
    }

    fn last_failures(&self) -> Vec<(Server, String)> {
        let board = self.board();
        let members = self.members.iter().zip(board.entries());
        let failure =
            |(member, entry): (&Member, &Entry)| Some((member.server.clone(), entry.last_failure.clone()?));
        members.filter_map(failure).collect()
    }

    /// Changes the board, and tells whom it concerns what came of it.
    fn tell(&self, index: usize, change: impl FnOnce(&mut Board)) {
        let (before, after, why) = {
            let mut board = self.board();
            let before = board.entries()[index].circuit;
            change(&mut board);
            let entry = &board.entries()[index];
            (before, entry.circuit, entry.last_failure.clone().unwrap_or_default())
        };
        let Member { server, opened, .. } = &self.members[index];
        match (before, after) {
            (Circuit::Closed, Circuit::Open) => {
                tracing::warn!(%server, %why, "this model server fails and is left alone until it answers a probe");
                opened.notify_one();
            }
            (Circuit::HalfOpen, Circuit::Open) => {
                tracing::warn!(%server, %why, "this model server still fails")
            }
            (Circuit::HalfOpen, Circuit::Closed) => tracing::info!(%server, "this model server is up again"),
            _ => {}
        }
        // On trial, each end of a call makes room for the next.
        if after == Circuit::HalfOpen || (before == Circuit::HalfOpen && after == Circuit::Closed) {
            self.freed.notify_waiters();
        }
    }
}

/// Looks after one server for as long as the model lives.
async fn probe(shared: Arc<Shared>, signature: Arc<Signature>, index: usize) {
    let Member { connection, opened, .. } = &shared.members[index];
    loop {
        tokio::select! {
            () = sleep(jittered(shared.probe_every)) => {}
            () = opened.notified() => {}
        }
        let until = Instant::now() + PROBE;
        let closed = shared.board().entries()[index].circuit == Circuit::Closed;
        let found = match closed {
            true => connection.ready(until).await.map_err(|failure| failure.to_string()),
            // It was away, so another model may have come back.
            false => match connection.look(until).await {
                Ok(now) => ports::difference(&signature, &now)
                    .map_or(Ok(()), |what| Err(format!("serves another model than the others: {what}"))),
                Err(failure) => Err(failure.to_string()),
            },
        };
        shared.tell(index, |board| board.probed(index, found));
    }
}

impl Connection {
    async fn ready(&self, until: Instant) -> Result<(), Failure> {
        match self {
            Self::Rest(rest) => rest.ready(until).await,
            Self::Grpc(grpc) => grpc.ready(until).await,
        }
    }

    /// What the model takes and gives, once it is ready.
    async fn look(&self, until: Instant) -> Result<Signature, Failure> {
        self.ready(until).await?;
        match self {
            Self::Rest(rest) => rest.signature(until).await,
            Self::Grpc(grpc) => grpc.signature(until).await,
        }
    }

    async fn infer(
        &self,
        signature: &Arc<Signature>,
        input: &Arc<Tensor>,
        until: Instant,
    ) -> Result<Vec<Tensor>, Failure> {
        match self {
            Self::Rest(rest) => rest.infer(signature, input, until).await,
            Self::Grpc(grpc) => grpc.infer(signature, input, until).await,
        }
    }
}

/// This long, give or take 15 %: clients that started together do not stay together.
fn jittered(pause: Duration) -> Duration {
    let mut random = [0; 4];
    // Without randomness the pause is what it is.
    let drawn = match getrandom::getrandom(&mut random) {
        Ok(()) => f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX),
        Err(_) => 0.5,
    };
    pause.mul_f64(0.85 + 0.3 * drawn)
}
