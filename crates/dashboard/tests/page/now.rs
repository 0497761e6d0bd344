//! The first page: each miner as it stands.

use adit_journal::record::Stopped;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::support::{LONG, Setup, Site, alert};
use crate::traffic;

/// Answers every request with these figures, and says where.
async fn miner(figures: &'static str) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serving = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", figures.len());
            let _ = stream.write_all(format!("{head}{figures}").as_bytes()).await;
        }
    });
    (address, serving)
}

#[tokio::test]
async fn a_miner_that_answers_is_online_with_its_queue_and_what_its_journal_dropped() {
    let site = Site::new().await;
    let (address, _miner) =
        miner("adit_private_working 2\nadit_private_waiting 1\nadit_private_journal_dropped_total 7\n").await;
    site.journal("private-track.sqlite").record(&traffic::started(&address));
    let page = site.get("/").await;
    page.has("id=\"private-track\"")
        .has("data-run=\"online\"")
        .has("2 at work, 1 waiting")
        .has("<strong>7 dropped");
}

#[tokio::test]
async fn a_miner_that_was_stopped_says_why() {
    let site = Site::new().await;
    let journal = site.journal("private-track.sqlite");
    journal.record(&traffic::started("127.0.0.1:9"));
    journal.record(&Stopped { reason: Some("the port was taken".to_owned()) });
    drop(journal);
    site.get("/").await.has("data-run=\"stopped\"").has("the port was taken");
}

#[tokio::test]
async fn what_happened_stands_beside_its_bars() {
    let site = Site::new().await;
    let journal = site.journal("private-track.sqlite");
    journal.record(&traffic::challenge("one", traffic::VALIDATORS[0]));
    drop(journal);
    site.get("/").await.has("data-good=\"1\"").has("1 good, 0 bad</title>").has("href=\"/challenges/1\"");
}

#[tokio::test]
async fn an_alert_has_what_to_type_set_apart() {
    let alert = alert("The miner does not answer.", "Type `sv restart`.", true);
    let site = Site::with(Setup { alerts: vec![alert], ..Setup::default() }).await;
    site.get("/")
        .await
        .has("id=\"alerts\" aria-label=\"Alerts\" data-count=\"1\"")
        .has("Type <code>sv restart</code>.");
}

#[tokio::test]
async fn the_page_is_told_that_a_miner_no_longer_answers() {
    let site = Site::new().await;
    let (address, miner) = miner("adit_private_working 0\n").await;
    site.journal("private-track.sqlite").record(&traffic::started(&address));
    let host = site.host();
    let mut stream = site.send("GET", "/live?page=miners", &[("host", &host)], false).await;
    crate::support::until("it was looked at", async || (site.looks)() >= 2).await;
    miner.abort();
    let mut read = String::new();
    let told = async {
        while !read.contains("event: changed") {
            let mut piece = [0; 256];
            let count = stream.read(&mut piece).await.unwrap();
            assert!(count > 0, "the stream ended");
            read += &String::from_utf8_lossy(&piece[..count]);
        }
    };
    tokio::time::timeout(LONG, told).await.unwrap();
}
