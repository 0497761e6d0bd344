//! What strangers and broken hosts send: each gets a clear answer, and the server stays up.

use std::time::{Duration, SystemTime};

use adit_auth::{Dialect, unix_nanos};
use adit_keys::Keypair;
use adit_outbound::AddressGuard;
use adit_private_track::{Server, StartError};
use adit_stand_in::video_host::Reply;
use http::HeaderMap;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::fixture::{Fixture, PATIENCE, clip, config};

impl Fixture {
    async fn is_up(&self) -> bool {
        self.get("/docs").await.starts_with("HTTP/1.1 200 OK")
    }

    /// The head of a challenge signed over `body`, as text, with these lines in it and without the empty one.
    fn signed_head(&self, lines: &str, body: &[u8]) -> String {
        let mut head = format!("POST /challenge HTTP/1.1\r\nHost: m\r\n{lines}");
        for (name, value) in &self.signed(Dialect::Score, body) {
            head += &format!("{name}: {}\r\n", value.to_str().unwrap());
        }
        head
    }

    async fn refusal(&self, headers: HeaderMap, body: &str) -> (u16, Value) {
        let response = self.post(headers, body.to_owned()).await;
        let answer: Value = serde_json::from_slice(&response.body).unwrap();
        (response.status.as_u16(), answer["detail"].clone())
    }
}

const BODY: &str = r#"{"challenge_id":"c","video_url":"http://127.0.0.1:9/x.mp4"}"#;

#[tokio::test]
async fn each_fault_of_a_signed_request_gets_its_own_refusal() {
    let fixture = Fixture::start().await;
    let now = unix_nanos(SystemTime::now());
    let second = 1_000_000_000;
    let nonce = |text: String| fixture.signed_with(&text, Dialect::Score, BODY.as_bytes());
    let changed = |name: &'static str, value: String| {
        let mut headers = fixture.signed(Dialect::Score, BODY.as_bytes());
        headers.insert(name, value.parse().unwrap());
        headers
    };
    let signature = fixture.signed(Dialect::Score, BODY.as_bytes())["signature"].to_str().unwrap().to_owned();
    let other = Keypair::generate().hotkey().to_string();
    for (fault, headers, status, detail) in [
        ("stale", nonce((now - 121 * second).to_string()), 401, "Invalid nonce"),
        ("future", nonce((now + 121 * second).to_string()), 401, "Invalid nonce"),
        ("malformed nonce", nonce("soon".to_owned()), 401, "Invalid nonce"),
        ("no 0x", changed("signature", signature[2..].to_owned()), 401, "Invalid signature"),
        ("another signature", changed("signature", signature), 401, "Invalid signature"),
        ("another miner", changed("miner-hotkey", other.clone()), 401, "Invalid miner hotkey"),
        ("another validator", changed("validator-hotkey", other), 403, "Hotkey not found in metagraph"),
    ] {
        assert_eq!(fixture.refusal(headers, BODY).await, (status, json!(detail)), "{fault}");
    }
    let (status, detail) = fixture.refusal(HeaderMap::new(), BODY).await;
    assert_eq!((status, detail.as_array().unwrap().len()), (422, 4), "{detail}");
}

#[tokio::test]
async fn a_replayed_request_is_refused() {
    let fixture = Fixture::start().await;
    let headers = fixture.signed(Dialect::Fiber, b"{}");
    assert_eq!(fixture.refusal(headers.clone(), "{}").await.0, 422);
    assert_eq!(fixture.refusal(headers, "{}").await, (401, json!("Invalid nonce")));
}

#[tokio::test]
async fn bodies_that_crash_upstream_are_answered_with_422() {
    let fixture = Fixture::start().await;
    for body in [
        "{",
        "",
        r#"{"challenge_id": NaN, "video_url": "u"}"#,
        r#"{"challenge_id":"\ud800","video_url":"u"}"#,
        r#"{"challenge_id":"c","frames":[{"frame_id":0}]}"#,
    ] {
        let (status, answer) = fixture.challenge(body).await;
        assert_eq!(status, 422, "{body:.60}: {answer}");
        assert!(answer["detail"][0]["type"].is_string(), "{answer}");
    }
}

#[tokio::test]
async fn json_nested_a_hundred_thousand_deep_is_answered_with_400() {
    let fixture = Fixture::start().await;
    let (status, answer) = fixture.challenge(&"[".repeat(100_000)).await;
    assert_eq!((status, answer), (400, json!({"detail": "There was an error parsing the body"})));
    assert!(fixture.is_up().await);
}

#[tokio::test]
async fn unknown_fields_are_ignored() {
    let fixture = Fixture::start().await;
    let url = fixture.host.serve("/clip.mp4", Reply::bytes(clip().await).with_ranges());
    let body = json!({"challenge_id": "c", "video_url": url, "fps": 25, "x": {"y": [1]}}).to_string();
    assert_eq!(fixture.challenge(&body).await.0, 200);
}

#[tokio::test]
async fn a_megabyte_of_headers_is_cut_off() {
    let fixture = Fixture::start().await;
    let headers: String = (0..1000).map(|n| format!("X-{n}: {}\r\n", "a".repeat(1000))).collect();
    let answer = fixture.raw(format!("POST /challenge HTTP/1.1\r\nHost: m\r\n{headers}\r\n")).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer:.200}");
    assert!(fixture.is_up().await);
}

#[tokio::test]
async fn a_gigabyte_that_is_announced_is_refused_before_it_comes() {
    let fixture = Fixture::start().await;
    let request = fixture.signed_head("Connection: close\r\nContent-Length: 1073741824\r\n", b"{}");
    let answer = fixture.raw(request + "\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn an_endless_body_is_cut_off_at_the_limit() {
    let fixture = Fixture::start().await;
    let request = fixture.signed_head("Transfer-Encoding: chunked\r\n", b"{}");
    let mut stream = TcpStream::connect(fixture.address).await.unwrap();
    stream.write_all((request + "\r\n").as_bytes()).await.unwrap();
    let chunk = format!("{:x}\r\n{}\r\n", 65536, "a".repeat(65536));
    let flood = async {
        let mut sent = 0;
        // The server stops reading at its limit and closes; what the sockets hold comes on top.
        while sent < 1 << 30 && stream.write_all(chunk.as_bytes()).await.is_ok() {
            sent += chunk.len();
        }
        sent
    };
    let sent = timeout(PATIENCE, flood).await.unwrap();
    assert!(sent < 64 << 20, "{sent} bytes were taken");
    assert!(fixture.is_up().await);
}

#[tokio::test]
async fn a_head_that_drips_in_is_dropped() {
    let fixture = Fixture::with(|config| config.head_timeout = Duration::from_millis(300)).await;
    let mut stream = TcpStream::connect(fixture.address).await.unwrap();
    stream.write_all(b"POST /challenge HTTP/1.1\r\nHost: m\r\nX-Slow: ").await.unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 408 "), "{answer:?}");
}

#[tokio::test]
async fn a_body_that_drips_in_is_dropped() {
    let fixture = Fixture::with(|config| config.gate.body_timeout = Duration::from_millis(300)).await;
    let request = fixture.signed_head("Connection: close\r\nContent-Length: 100\r\n", b"{}");
    let answer = fixture.raw(request + "\r\n{").await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

#[tokio::test]
async fn clips_inside_the_hosts_own_networks_are_refused() {
    let fixture = Fixture::with(|config| {
        config.guard = AddressGuard::public_only().allowing("localhost").unwrap();
    })
    .await;
    let port = fixture.host.address().port();
    let allowed = |path: &str| format!("http://localhost:{port}{path}");
    fixture.host.serve("/metadata", Reply::redirect("http://169.254.169.254/latest/meta-data/"));
    fixture.host.serve("/loopback", Reply::redirect(format!("http://127.0.0.1:{port}/clip.mp4")));
    fixture.host.serve("/clip.mp4", Reply::bytes(clip().await).with_ranges());
    for url in [
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        format!("http://127.0.0.1:{port}/clip.mp4"),
        format!("http://[::ffff:127.0.0.1]:{port}/clip.mp4"),
        allowed("/metadata"),
        allowed("/loopback"),
        "file:///etc/passwd".to_owned(),
        "not a url".to_owned(),
    ] {
        let (status, answer) = fixture.clip_challenge(&url).await;
        assert_eq!(status, 500, "{url}: {answer}");
        // The caller is not told why: that would make the miner a scanner of its network.
        assert_eq!(answer["detail"], "the clip cannot be fetched", "{url}");
    }
    // No byte of what lies behind the redirects was asked for.
    assert_eq!(fixture.host.served().iter().filter(|served| served.path == "/clip.mp4").count(), 0);
    assert_eq!(fixture.clip_challenge(&allowed("/clip.mp4")).await.0, 200);
}

#[tokio::test]
async fn a_clip_that_never_ends_or_never_comes_is_out_of_time() {
    let fixture = Fixture::with(|config| config.deadline = Duration::from_millis(700)).await;
    let whole = clip().await;
    for reply in [
        // Endless before the sample table: nothing to stop at.
        Reply::bytes(
            [&whole[..64], &[0, 0, 0, 1, b'm', b'd', b'a', b't', 0, 0, 0, 255, 0, 0, 0, 0]].concat(),
        )
        .endless()
        .throttled(1_000_000),
        Reply::bytes(whole.clone()).stalling_at(100),
    ] {
        let url = fixture.host.serve("/clip.mp4", reply);
        let (status, answer) = fixture.clip_challenge(&url).await;
        assert!(matches!(status, 500 | 504), "{status} {answer}");
        fixture.until("/queue/working", |working| *working == 0).await;
    }
}

#[tokio::test]
async fn beyond_the_queue_the_answer_is_503_and_docs_still_answer() {
    let fixture = Fixture::with(|config| config.queue = 0).await;
    let url = fixture.host.serve("/clip.mp4", Reply::bytes(clip().await).stalling_at(100));
    let body = json!({"challenge_id": "c", "video_url": url}).to_string();
    let request = fixture.signed_head(&format!("Content-Length: {}\r\n", body.len()), body.as_bytes());
    let mut stuck = TcpStream::connect(fixture.address).await.unwrap();
    stuck.write_all(format!("{request}\r\n{body}").as_bytes()).await.unwrap();
    fixture.until("/queue/working", |working| *working == 1).await;

    let (status, answer) = fixture.clip_challenge(&url).await;
    assert_eq!((status, answer["detail"].as_str()), (503, Some("the queue is full")));
    assert!(fixture.is_up().await);

    // The caller goes away: its work is cancelled, its place is free, and the operator is told.
    drop(stuck);
    fixture.until("/queue/working", |working| *working == 0).await;
    let metrics = fixture.get("/metrics").await;
    assert!(metrics.contains(r#"adit_private_challenges_total{outcome="caller_left"} 1"#), "{metrics}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_said_with_a_hint() {
    let fixture = Fixture::start().await;
    let stakes = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(stakes.path(), "{}").unwrap();
    let mut second = config(fixture.miner, stakes.path());
    second.listen = fixture.address;
    let error = Server::bind(second).await.unwrap_err();
    assert!(matches!(error, StartError::Listen(_)), "{error}");
    assert!(error.hint().unwrap().contains("MINER_PORT"));
}

#[tokio::test]
async fn a_missing_decoder_ends_the_server_with_a_hint() {
    let stakes = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(stakes.path(), "{}").unwrap();
    let mut config = config(Keypair::generate().hotkey(), stakes.path());
    config.ffmpeg = "/nowhere/ffmpeg".into();
    let serving = Server::bind(config).await.unwrap().serve(std::future::pending());
    let error = timeout(PATIENCE, serving).await.unwrap().unwrap_err();
    assert!(error.to_string().contains("/nowhere/ffmpeg"), "{error}");
    assert!(error.hint().unwrap().contains("ADIT_FFMPEG"));
}

#[tokio::test]
async fn a_body_that_is_no_clip_is_said_plainly() {
    let fixture = Fixture::start().await;
    for (name, body) in [("empty", Vec::new()), ("html", b"<html>502</html>".to_vec())] {
        let url = fixture.host.serve("/clip.mp4", Reply::bytes(body));
        let (status, answer) = fixture.clip_challenge(&url).await;
        assert_eq!(status, 500, "{name}");
        assert!(!answer["detail"].as_str().unwrap().contains("/tmp"), "{name}: {answer}");
    }
}
