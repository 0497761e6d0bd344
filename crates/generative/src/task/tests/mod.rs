//! The same scenarios on SQLite and on PostgreSQL, and what only one of them has.

mod cleanup;
mod crash;
mod faults;
mod flow;
mod hosts;
mod machine;
mod queue;
mod steps;

use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use adit_stand_in::postgres::Postgres;
use secrecy::SecretString;
use tempfile::TempDir;

use super::hosts::LEASE;
use super::*;
use crate::{Modality, Usd};

/// Declares each scenario as a test of both databases.
macro_rules! on_both {
    ($($scenario:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $scenario() {
                super::$scenario($crate::task::tests::Bench::sqlite()).await;
            })+
        }
        mod postgres {
            $(#[tokio::test]
            async fn $scenario() {
                if let Some(bench) = $crate::task::tests::Bench::postgres() {
                    super::$scenario(bench).await;
                }
            })+
        }
    };
}
pub(super) use on_both;

/// A database to test on, empty at first.
struct Bench {
    folder: TempDir,
    server: Option<Postgres>,
}

impl Bench {
    fn sqlite() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), server: None }
    }

    fn postgres() -> Option<Self> {
        Some(Self { folder: tempfile::tempdir().unwrap(), server: Some(Postgres::start()?) })
    }

    fn address(&self) -> Address {
        match &self.server {
            Some(server) => Address::Postgres(SecretString::from(server.url())),
            None => Address::Sqlite(self.folder.path().join("state/tasks.db")),
        }
    }

    fn config(&self) -> Config {
        Config {
            database: self.address(),
            output_dir: self.path("output"),
            queue: 10_000,
            daily_budget: None,
            journal: None,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn open(&self) -> Store {
        Store::open(self.config()).await.unwrap()
    }

    /// Another start after [`Store::crash`]: with PostgreSQL a lease passes first.
    async fn reopen(&self) -> Store {
        let store = self.open().await;
        store.inner.beat(Instant::now() + LEASE).await.unwrap();
        store
    }
}

impl Store {
    /// As `kill -9`: nothing that the store does at its end is done.
    async fn crash(self, claims: Vec<Claim>) {
        let mut background =
            std::mem::take(&mut *self.background.lock().unwrap_or_else(PoisonError::into_inner));
        background.shutdown().await;
        drop(claims);
        self.inner.ledger.database.close().await;
    }

    fn skip(&self, time: Duration) {
        let ms = i64::try_from(time.as_millis()).unwrap();
        self.inner.ledger.clock.ahead_ms.fetch_add(ms, Ordering::SeqCst);
    }

    async fn put(&self, modality: Modality, validator: &str) -> TaskId {
        self.accept(modality, validator.to_owned(), request("a lighthouse"), None).await.unwrap().id
    }

    /// A task that is being called.
    async fn calling(&self) -> Claim {
        self.put(Modality::Image, "5Validator").await;
        let mut claim = self.claim_queued(Modality::Image).await.unwrap().unwrap();
        self.call(&mut claim, "openai", "gpt-image-1", Usd(40_000)).await.unwrap();
        claim
    }

    async fn fetched(&self, bytes: &[u8]) -> Claim {
        let mut claim = self.calling().await;
        let media = write(self.output(), claim.task(), bytes).await;
        self.apply(&mut claim, Event::Fetched { media, cost: None }).await.unwrap();
        claim
    }

    /// A task whose first delivery is being tried.
    async fn trying(&self) -> Claim {
        let mut claim = self.fetched(PNG).await;
        self.apply(&mut claim, Event::Checked).await.unwrap();
        self.skip(Duration::from_secs(1));
        let mut claim = self.claim_delivery().await.unwrap().unwrap();
        self.apply(&mut claim, Event::Try).await.unwrap();
        claim
    }

    async fn state(&self, id: TaskId) -> State {
        self.ledger().task(id).await.unwrap().state
    }
}

const PNG: &[u8] = b"\x89PNG\r\n\x1a\nand so on";

fn request(prompt: &str) -> Request {
    Request {
        prompt: prompt.to_owned(),
        parameters: serde_json::json!({"resolution": "1K"}),
        webhook_url: "http://192.0.2.1:10525/generative_callback".to_owned(),
    }
}

fn job(text: &str) -> Job {
    Job::new(text.to_owned()).unwrap()
}

async fn write(output: &OutputDir, task: &Task, bytes: &[u8]) -> Media {
    let mut writer = output.create(task.id, task.modality).await.unwrap();
    for part in bytes.chunks(64 * 1024) {
        writer.write(part).await.unwrap();
    }
    writer.finish("png").await.unwrap()
}

fn later(due_at: UnixMs) -> Event {
    Event::Answered(Answer::Later { due_at, why: "503".to_owned() })
}

fn acknowledged() -> Event {
    Event::Answered(Answer::Acknowledged("Binary content received".to_owned()))
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
