//! The stand-in of a validator: it signs requests, and answers deliveries as the real one does (generative reference,
//! sections 4 and 5), only that it is down at times.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use adit_auth::StakeTable;
use adit_auth::epistula::{Policy, sign};
use adit_generative::Modality;
use adit_generative::task::TaskId;
use adit_keys::{Hotkey, Keypair};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use futures_util::stream;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::Random;

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reply {
    /// It was taken. Whether the miner has read so is another matter.
    Taken,
    /// The task is not known, or closed.
    NotFound,
    /// Not now: a 500, or a connection that broke before anything was taken.
    NotNow,
}

/// A delivery as it came.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) is_report: bool,
    /// Of the body.
    pub(super) sha256: [u8; 32],
    pub(super) reply: Reply,
}

pub(super) struct Validator {
    pair: Keypair,
    miner: Hotkey,
    webhook: String,
    book: Arc<Book>,
    // Ends the webhook.
    _serving: JoinSet<()>,
}

/// What it has written down.
struct Book {
    /// Held while a request is under way, so that a delivery finds its task noted.
    asking: tokio::sync::Mutex<()>,
    notes: Mutex<Notes>,
    policy: Policy,
    stakes: StakeTable,
}

struct Notes {
    random: Random,
    behaves: bool,
    /// Prompts of the tasks that were promised by a 201.
    promised: BTreeMap<TaskId, String>,
    deliveries: BTreeMap<TaskId, Vec<Delivery>>,
    /// Deliveries that no validator would look at.
    unsigned: Vec<String>,
}

impl Validator {
    pub(super) async fn start(miner: Hotkey, seed: u64) -> Self {
        let pair = Keypair::generate();
        let book = Arc::new(Book {
            asking: tokio::sync::Mutex::new(()),
            notes: Mutex::new(Notes {
                random: Random(seed ^ 34),
                behaves: false,
                promised: BTreeMap::new(),
                deliveries: BTreeMap::new(),
                unsigned: Vec::new(),
            }),
            policy: Policy { own_hotkey: pair.hotkey(), min_stake: None },
            stakes: StakeTable::new(HashMap::from([(miner, 0.0)]), SystemTime::now()),
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let webhook = format!("http://{}/generative_callback", listener.local_addr().unwrap());
        let app =
            Router::new().route("/generative_callback", post(receive)).layer(DefaultBodyLimit::disable());
        let app = app.with_state(Arc::clone(&book));
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { pair, miner, webhook, book, _serving: serving }
    }

    pub(super) fn hotkey(&self) -> Hotkey {
        self.pair.hotkey()
    }

    /// It is never down from now on.
    pub(super) fn behave(&self) {
        self.book.notes().behaves = true;
    }

    /// Asks a miner, which may be killed meanwhile. Only a 201 counts.
    pub(super) async fn ask(&self, miner: SocketAddr, modality: Modality, prompt: String) {
        let _asking = self.book.asking.lock().await;
        let Some(id) = self.request(miner, modality, &prompt).await else { return };
        let before = self.book.notes().promised.insert(id, prompt);
        assert_eq!(before, None, "two tasks of one name");
    }

    async fn request(&self, miner: SocketAddr, modality: Modality, prompt: &str) -> Option<TaskId> {
        let body = json!({"prompt": prompt, "parameters": null}).to_string();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let (uuid, now) = (TaskId::new_v4().to_string(), u64::try_from(now).unwrap());
        let digest = Sha256::digest(&body).into();
        let headers = sign(&self.pair, &digest, &uuid, now, Some(&self.miner)).unwrap();
        let headers: String =
            headers.iter().map(|(name, value)| format!("{name}: {}\r\n", value.to_str().unwrap())).collect();
        let request = format!(
            "POST /gen_{modality} HTTP/1.1\r\nHost: m\r\nConnection: close\r\nContent-Length: {}\r\n\
             X-Webhook-URL: {}\r\n{headers}\r\n{body}",
            body.len(),
            self.webhook
        );
        let mut stream = TcpStream::connect(miner).await.ok()?;
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        if !head.starts_with("HTTP/1.1 201") {
            assert!(head.starts_with("HTTP/1.1 503"), "{answer}");
            return None;
        }
        let body: Value = serde_json::from_str(body).ok()?;
        body["task_id"].as_str().unwrap().parse().ok()
    }

    pub(super) fn promised(&self) -> BTreeMap<TaskId, String> {
        self.book.notes().promised.clone()
    }

    /// Everything that was delivered for a task, in order.
    pub(super) fn deliveries<T>(&self, id: TaskId, look: impl FnOnce(&[Delivery]) -> T) -> T {
        look(self.book.notes().deliveries.get(&id).map_or(&[], Vec::as_slice))
    }

    pub(super) fn unsigned(&self) -> Vec<String> {
        self.book.notes().unsigned.clone()
    }
}

impl Book {
    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap()
    }
}

async fn receive(State(book): State<Arc<Book>>, headers: HeaderMap, body: Bytes) -> Response {
    drop(book.asking.lock().await);
    let (before, after) = {
        let random = &mut book.notes().random;
        (random.ms_below(150), random.ms_below(150))
    };
    // It verifies the media first. A miner that is killed now has delivered nothing.
    tokio::time::sleep(before).await;
    let reply = note(&book, &headers, &body);
    // A miner that is killed now does not know that it has.
    tokio::time::sleep(after).await;
    reply
}

fn note(book: &Book, headers: &HeaderMap, body: &[u8]) -> Response {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let checked = book.policy.check_headers(headers, Some(&book.stakes), now);
    let checked = checked.map_err(|refusal| format!("{refusal:?}"));
    let checked = checked.and_then(|claim| claim.check_body(body).map_err(|refusal| format!("{refusal:?}")));
    let mut notes = book.notes();
    if let Err(refusal) = checked {
        notes.unsigned.push(refusal);
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let id: TaskId = text("task-id").parse().unwrap();
    let is_report = text("task-status") == "failed";
    let was_taken = notes
        .deliveries
        .get(&id)
        .is_some_and(|deliveries| deliveries.iter().any(|delivery| delivery.reply == Reply::Taken));
    let broken = || {
        let broken = stream::once(async { Err::<Bytes, _>(io::Error::other("the validator is killed too")) });
        Body::from_stream(broken).into_response()
    };
    let words = if is_report { "Failure recorded" } else { "Binary content received" };
    let misbehaves = if notes.behaves { u64::MAX } else { notes.random.below(30) };
    let (reply, response) = match misbehaves {
        0 => (Reply::NotNow, StatusCode::INTERNAL_SERVER_ERROR.into_response()),
        1 => (Reply::NotNow, broken()),
        _ if was_taken || !notes.promised.contains_key(&id) => {
            (Reply::NotFound, "Task not found in current session".into_response())
        }
        2 => (Reply::Taken, broken()),
        _ => (Reply::Taken, words.into_response()),
    };
    let delivery = Delivery { is_report, sha256: Sha256::digest(body).into(), reply };
    notes.deliveries.entry(id).or_default().push(delivery);
    response
}
