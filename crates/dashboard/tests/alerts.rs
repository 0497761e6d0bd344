//! Alerts as they are posted.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use adit_dashboard::alert::{Alert, Form, Message, Rules, Watch, Webhook};
use adit_dashboard::{Connection, Sources};
use adit_journal::record::{Rehearsed, Started, Stopped};
use adit_journal::{Journal, Limits, PRIVATE_TRACK, Reader};
use adit_outbound::{AddressGuard, Client};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::{Mutex, mpsc};

/// A chat service that answers each message as told, and says what it got.
struct Chat {
    address: SocketAddr,
    got: Mutex<mpsc::UnboundedReceiver<Value>>,
    status: Arc<Mutex<StatusCode>>,
}

type Shared = (mpsc::UnboundedSender<Value>, Arc<Mutex<StatusCode>>);

async fn answer(State((sender, status)): State<Shared>, body: String) -> StatusCode {
    sender.send(serde_json::from_str(&body).unwrap()).unwrap();
    *status.lock().await
}

impl Chat {
    async fn start() -> Self {
        let (sender, got) = mpsc::unbounded_channel();
        let status = Arc::new(Mutex::new(StatusCode::OK));
        let app =
            Router::new().route("/hook/{secret}", post(answer)).with_state((sender, Arc::clone(&status)));
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = adit_http_server::Server::bind(listen, Duration::from_secs(10)).await.unwrap();
        let address = server.address();
        tokio::spawn(server.serve(app, std::future::pending()));
        Self { address, got: Mutex::new(got), status }
    }

    fn webhook(&self) -> Webhook {
        Webhook::new(&format!("http://{}/hook/secret", self.address), Form::Auto).unwrap()
    }

    /// What has come so far.
    async fn texts(&self) -> Vec<String> {
        let mut got = self.got.lock().await;
        let mut texts = Vec::new();
        while let Ok(message) = got.try_recv() {
            texts.push(format!(
                "{} {}",
                message["state"].as_str().unwrap(),
                message["key"].as_str().unwrap()
            ));
        }
        texts
    }
}

/// A miner that ended by an error.
fn ended() -> (TempDir, Journal) {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(&folder.path().join(PRIVATE_TRACK), Limits::default()).unwrap();
    journal.record(&started());
    journal.record(&Stopped { reason: Some("no decoder".to_owned()) });
    settle(&journal);
    (folder, journal)
}

fn started() -> Started {
    Started {
        version: "1".to_owned(),
        pid: 1,
        address: "127.0.0.1:9".to_owned(),
        hotkey: None,
        netuid: Some(44),
        works_by: Vec::new(),
        image: None,
        daily_budget_micro_usd: None,
        warnings: Vec::new(),
    }
}

/// Waits until all that was recorded can be read: entries come in order.
fn settle(journal: &Journal) {
    let reader = Reader::open(journal.path()).unwrap();
    let newest = || reader.newest("rehearsed").unwrap().map(|entry| entry.id);
    let before = newest();
    journal.record(&Rehearsed::default());
    let deadline = Instant::now() + Duration::from_secs(30);
    while newest() == before {
        assert!(Instant::now() < deadline, "it was never written");
        std::thread::yield_now();
    }
}

fn watch(folder: &TempDir, webhook: Webhook) -> Watch {
    let sources = Sources::new(folder.path().to_owned());
    // The disk of whoever runs this is not what is tried here.
    let rules = Rules::parse("[disk]\noff = true").unwrap();
    Watch::new(sources, Connection::new().unwrap(), rules, webhook, "host-1".to_owned()).unwrap()
}

#[tokio::test]
async fn a_cause_is_posted_once_also_after_a_restart_and_then_that_it_is_over() {
    let (folder, journal) = ended();
    let chat = Chat::start().await;
    let mut first = watch(&folder, chat.webhook());
    first.look(Vec::new()).await;
    first.look(Vec::new()).await;
    assert_eq!(chat.texts().await, ["raised down/private-track/"]);
    let mut second = watch(&folder, chat.webhook());
    second.look(Vec::new()).await;
    assert_eq!(chat.texts().await, [""; 0]);
    journal.record(&started());
    settle(&journal);
    for _ in 0..4 {
        second.look(Vec::new()).await;
    }
    assert_eq!(chat.texts().await, ["cleared down/private-track/"]);
}

#[tokio::test]
async fn a_message_that_is_refused_is_posted_again() {
    let (folder, _journal) = ended();
    let chat = Chat::start().await;
    let mut watch = watch(&folder, chat.webhook());
    *chat.status.lock().await = StatusCode::TOO_MANY_REQUESTS;
    watch.look(Vec::new()).await;
    assert_eq!(chat.texts().await.len(), 1);
    *chat.status.lock().await = StatusCode::OK;
    watch.look(Vec::new()).await;
    assert_eq!(chat.texts().await, ["raised down/private-track/"]);
    watch.look(Vec::new()).await;
    assert_eq!(chat.texts().await, [""; 0]);
}

#[tokio::test]
async fn a_webhook_that_is_not_there_is_an_error_without_its_address() {
    let webhook = Webhook::new("http://127.0.0.1:9/hook/secret", Form::Json).unwrap();
    let alert = Alert {
        rule: "disk",
        miner: None,
        cause: String::new(),
        urgent: false,
        text: "t".to_owned(),
        todo: "d".to_owned(),
    };
    let client = Client::new(AddressGuard::unrestricted()).unwrap();
    let error = webhook.post(&client, &Message::Raised(&alert), "h").await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
}
