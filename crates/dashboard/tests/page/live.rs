//! Streams: who is told, that nobody looks without one, and how they end.

use std::time::Duration;

use adit_journal::record::Stopped;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::support::{LONG, Setup, Site, until};

async fn open(site: &Site) -> TcpStream {
    let host = site.host();
    let mut stream = site.send("GET", "/live?page=journals", &[("host", &host)], false).await;
    read_until(&mut stream, "retry:").await;
    stream
}

async fn read_until(stream: &mut TcpStream, text: &str) -> String {
    let mut read = Vec::new();
    let reading = async {
        while !String::from_utf8_lossy(&read).contains(text) {
            let mut piece = [0; 1024];
            let count = stream.read(&mut piece).await.unwrap();
            assert!(count > 0, "the stream ended: {}", String::from_utf8_lossy(&read));
            read.extend_from_slice(&piece[..count]);
        }
    };
    timeout(LONG, reading).await.unwrap();
    String::from_utf8_lossy(&read).into_owned()
}

#[tokio::test]
async fn nothing_is_looked_at_while_no_page_is_open() {
    let site = Site::new().await;
    drop(site.journal("private-track.sqlite"));
    assert_eq!(site.get("/").await.status, 200);
    sleep(Duration::from_millis(1500)).await;
    assert_eq!((site.looks)(), 0);
    let stream = open(&site).await;
    until("it is looked at", async || (site.looks)() >= 2).await;
    drop(stream);
    // The watcher notices at the latest when it would have said something.
    let mut before = 0;
    until("looking ends", async || {
        let now = (site.looks)();
        sleep(Duration::from_millis(2500)).await;
        std::mem::replace(&mut before, now) == now && (site.looks)() == now
    })
    .await;
}

#[tokio::test]
async fn a_page_is_told_that_something_was_recorded() {
    let site = Site::new().await;
    let journal = site.journal("private-track.sqlite");
    let mut stream = open(&site).await;
    until("it is looked at", async || (site.looks)() >= 2).await;
    journal.record(&Stopped { reason: None });
    read_until(&mut stream, "event: changed\ndata: ").await;
}

#[tokio::test]
async fn a_stream_has_the_type_that_a_browser_asks_for() {
    let site = Site::new().await;
    let host = site.host();
    let mut stream = site.send("GET", "/live", &[("host", &host)], false).await;
    read_until(&mut stream, "content-type: text/event-stream").await;
}

#[tokio::test]
async fn there_are_no_more_than_32_streams_and_pages_are_served_beside_them() {
    let site = Site::new().await;
    let mut streams = Vec::new();
    for _ in 0..32 {
        streams.push(open(&site).await);
    }
    assert_eq!(site.get("/live").await.status, 503);
    assert_eq!(site.get("/").await.status, 200);
    drop(streams.pop());
    until("a place is free", async || {
        let host = site.host();
        let mut stream = site.send("GET", "/live", &[("host", &host)], false).await;
        let mut head = [0; 15];
        stream.read_exact(&mut head).await.unwrap();
        head.ends_with(b"200 OK")
    })
    .await;
}

#[tokio::test]
async fn streams_end_at_once_when_the_server_is_told_to_stop() {
    let mut site = Site::new().await;
    let mut stream = open(&site).await;
    site.stop();
    timeout(Duration::from_secs(5), &mut site.serving).await.expect("it still serves").unwrap();
    let mut rest = Vec::new();
    timeout(LONG, stream.read_to_end(&mut rest)).await.unwrap().unwrap();
}

#[tokio::test]
async fn it_ends_by_itself_when_nobody_is_here() {
    let mut site = Site::with(Setup { idle: Some(Duration::from_millis(800)), ..Setup::default() }).await;
    let stream = open(&site).await;
    assert!(timeout(Duration::from_secs(2), &mut site.serving).await.is_err(), "a page is open");
    drop(stream);
    timeout(LONG, &mut site.serving).await.expect("it still serves").unwrap();
}
