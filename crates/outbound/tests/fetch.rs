//! The client against a server that behaves and one that does not.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::SeekFrom;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use adit_outbound::{AddressGuard, Client, FetchError, Limits};
use adit_stand_in::hub::HuggingFace;
use adit_stand_in::video_host::{Reply, VideoHost};
use http::{HeaderMap, HeaderValue, Method, header};
use tokio::{
    io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt},
    time::Instant,
};

const MIB: u64 = 1 << 20;

fn limits() -> Limits {
    Limits::new(Instant::now() + Duration::from_secs(30), 8 * MIB)
}

fn loopback() -> Client {
    Client::new(AddressGuard::public_only().allowing("127.0.0.1").unwrap()).unwrap()
}

fn noise(bytes: usize) -> Vec<u8> {
    (0..bytes as u64).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

#[tokio::test]
async fn a_body_arrives_whole_with_what_the_server_says_about_it() {
    let host = VideoHost::start().await.unwrap();
    let body = noise(300_000);
    let url = host.serve("/clip.mp4", Reply::bytes(body.clone()).with_ranges());

    let download = loopback().get(&url, &limits()).await.unwrap();
    assert_eq!(download.content_length(), Some(300_000));
    assert_eq!(download.content_type(), Some("video/mp4"));
    assert!(download.accepts_ranges());
    assert_eq!(download.bytes().await.unwrap(), body);
}

#[tokio::test]
async fn a_range_starts_where_it_was_asked_to() {
    let host = VideoHost::start().await.unwrap();
    let body = noise(1000);
    let url = host.serve("/clip.mp4", Reply::bytes(body.clone()).with_ranges());

    let download = loopback().get_from(&url, 900, &limits()).await.unwrap();
    assert_eq!((download.start(), download.total()), (900, Some(1000)));
    assert_eq!(download.bytes().await.unwrap(), body[900..]);
}

#[tokio::test]
async fn a_server_without_ranges_says_so_by_starting_at_zero() {
    let host = VideoHost::start().await.unwrap();
    let url = host.serve("/clip.mp4", Reply::bytes(noise(1000)));

    let download = loopback().get_from(&url, 900, &limits()).await.unwrap();
    assert_eq!((download.start(), download.content_length()), (0, Some(1000)));
    assert!(!download.accepts_ranges());
}

#[tokio::test]
async fn a_redirect_is_followed_and_the_last_url_is_known() {
    let host = VideoHost::start().await.unwrap();
    let end = host.serve("/b", Reply::bytes("here"));
    let url = host.serve("/a", Reply::redirect("/b"));

    let download = loopback().get(&url, &limits()).await.unwrap();
    assert_eq!(download.url(), end);
    assert_eq!(download.bytes().await.unwrap(), "here");
}

#[tokio::test]
async fn a_redirect_into_the_hosts_own_networks_is_refused() {
    let host = VideoHost::start().await.unwrap();
    let secret = VideoHost::start().await.unwrap();
    let secret_url = secret.serve("/secret", Reply::bytes("secret"));
    // Only the first host's very port is open to a client whose list names a host that resolves there.
    let client = Client::new(AddressGuard::public_only().allowing("localhost").unwrap()).unwrap();
    for target in ["http://169.254.169.254/latest/meta-data/", secret_url.as_str(), "http://[::1]/"] {
        host.serve("/a", Reply::redirect(target));
        let url = format!("http://localhost:{}/a", host.address().port());
        let error = client.get(&url, &limits()).await.unwrap_err();
        assert!(matches!(error, FetchError::Refused { .. }), "{target}: {error}");
    }
    assert!(secret.served().is_empty(), "the refused host was asked all the same");
}

#[tokio::test]
async fn a_name_that_resolves_to_loopback_is_refused_before_any_connection() {
    let host = VideoHost::start().await.unwrap();
    host.serve("/a", Reply::bytes("x"));
    let url = format!("http://localhost:{}/a?token=hush", host.address().port());

    let client = Client::new(AddressGuard::public_only()).unwrap();
    let error = client.get(&url, &limits()).await.unwrap_err();
    assert!(matches!(error, FetchError::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains("localhost"), "{error}");
    assert!(host.served().is_empty());
}

#[tokio::test]
async fn a_redirect_to_another_scheme_is_refused() {
    let host = VideoHost::start().await.unwrap();
    let url = host.serve("/a", Reply::redirect("file:///etc/passwd"));
    let error = loopback().get(&url, &limits()).await.unwrap_err();
    assert!(matches!(error, FetchError::BadUrl { .. }), "{error}");
}

#[tokio::test]
async fn redirects_end_after_the_limit() {
    let host = VideoHost::start().await.unwrap();
    let url = host.serve("/a", Reply::redirect("/a"));
    let error = loopback().get(&url, &limits()).await.unwrap_err();
    assert!(matches!(error, FetchError::Redirect { .. }), "{error}");
    assert_eq!(host.served().len(), 6, "the first request and five redirects");
}

#[tokio::test]
async fn a_status_that_is_no_success_is_named_without_path_or_query() {
    let host = VideoHost::start().await.unwrap();
    let url = host.serve("/private/clip.mp4", Reply::bytes("gone").status(410)) + "?signature=hush";
    let error = loopback().get(&url, &limits()).await.unwrap_err();
    assert!(matches!(error, FetchError::Status { status: 410, .. }), "{error}");
    for shown in [error.to_string(), format!("{error:?}")] {
        assert!(!shown.contains("hush") && !shown.contains("private"), "{shown}");
    }
}

#[tokio::test]
async fn a_body_larger_than_allowed_is_refused_by_its_content_length() {
    let host = VideoHost::start().await.unwrap();
    let url = host.serve("/a", Reply::bytes(noise(2000)));
    let small = Limits { max_bytes: 1999, ..limits() };
    let error = loopback().get(&url, &small).await.unwrap_err();
    assert!(matches!(error, FetchError::TooLarge { limit: 1999, .. }), "{error}");
}

#[tokio::test]
async fn an_endless_body_ends_at_the_size_limit() {
    let host = VideoHost::start().await.unwrap();
    let url = host.serve("/a", Reply::bytes("start").endless());
    let download = loopback().get(&url, &limits()).await.unwrap();
    let error = download.bytes().await.unwrap_err();
    assert!(matches!(error, FetchError::TooLarge { .. }), "{error}");
    assert!(host.bytes_sent() < 32 * MIB, "the server went on sending: {}", host.bytes_sent());
}

#[tokio::test]
async fn a_body_cut_short_is_an_error_that_counts_the_bytes() {
    let host = VideoHost::start().await.unwrap();
    let body = noise(5000);
    let with_length = host.serve("/a", Reply::bytes(body.clone()).cut_at(1234));
    let error = loopback().get(&with_length, &limits()).await.unwrap().bytes().await.unwrap_err();
    assert!(
        matches!(error, FetchError::Interrupted { received: 1234, expected: Some(5000), .. }),
        "{error:?}"
    );

    let chunked = host.serve("/b", Reply::bytes(body).without_length().cut_at(1234));
    let error = loopback().get(&chunked, &limits()).await.unwrap().bytes().await.unwrap_err();
    assert!(matches!(error, FetchError::Interrupted { received: 1234, expected: None, .. }), "{error:?}");
}

#[tokio::test]
async fn a_server_that_stalls_is_left_after_the_idle_limit() {
    let host = VideoHost::start().await.unwrap();
    let url = host.serve("/a", Reply::bytes(noise(5000)).stalling_at(100));
    // It also bounds the wait for the head of the answer, which a busy machine may be slow to send.
    let patient = Limits { idle: Duration::from_secs(3), ..limits() };
    let error = loopback().get(&url, &patient).await.unwrap().bytes().await.unwrap_err();
    assert!(matches!(error, FetchError::Idle { .. }), "{error}");
}

#[tokio::test]
async fn a_slow_server_is_left_at_the_deadline() {
    let host = VideoHost::start().await.unwrap();
    let url = host.serve("/a", Reply::bytes(noise(5_000_000)).throttled(80_000));
    let soon = Limits::new(Instant::now() + Duration::from_secs(3), 8 * MIB);
    let error = loopback().get(&url, &soon).await.unwrap().bytes().await.unwrap_err();
    assert!(matches!(error, FetchError::Deadline { .. }), "{error}");
}

#[tokio::test]
async fn a_host_that_does_not_listen_cannot_be_reached() {
    let host = VideoHost::start().await.unwrap();
    let url = host.url("/a");
    drop(host);
    let error = loopback().get(&url, &limits()).await.unwrap_err();
    assert!(matches!(error, FetchError::Connect { .. }), "{error}");
    assert!(error.to_string().contains("refused"), "the cause is not named: {error}");
}

#[tokio::test]
async fn a_request_that_was_sent_and_not_answered_is_told_from_one_that_was_never_sent() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = [0; 1024];
        let _ = socket.read(&mut request).await.unwrap();
    });
    let error = loopback().post(&url, HeaderMap::new(), "pay", &limits()).await.unwrap_err();
    assert!(matches!(error, FetchError::Lost { .. }), "{error:?}");
    server.await.unwrap();

    let error = loopback().post(&url, HeaderMap::new(), "pay", &limits()).await.unwrap_err();
    assert!(matches!(error, FetchError::Connect { .. }), "{error:?}");
}

/// Answers one request by these lines, and returns what it was asked.
async fn answer_once(listener: tokio::net::TcpListener, lines: String) -> String {
    let (mut socket, _) = listener.accept().await.unwrap();
    let mut asked = vec![0; 4096];
    let read = socket.read(&mut asked).await.unwrap();
    socket.write_all(lines.as_bytes()).await.unwrap();
    String::from_utf8_lossy(&asked[..read]).into_owned()
}

#[tokio::test]
async fn a_key_does_not_follow_a_redirect_to_another_origin() {
    let [first, second] = [(), ()].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let urls = [&first, &second].map(|listener| format!("http://{}/a", listener.local_addr().unwrap()));
    let [first, second] = [first, second].map(|listener| {
        listener.set_nonblocking(true).unwrap();
        tokio::net::TcpListener::from_std(listener).unwrap()
    });
    let to_second = format!("HTTP/1.1 302 Found\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n", urls[1]);
    let first = tokio::spawn(answer_once(first, to_second));
    let second =
        tokio::spawn(answer_once(second, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_owned()));

    let mut key = HeaderValue::from_static("Bearer hush");
    key.set_sensitive(true);
    let headers = HeaderMap::from_iter([
        (header::AUTHORIZATION, key),
        (header::ACCEPT, HeaderValue::from_static("video/mp4")),
    ]);
    let download = loopback().get_with(&urls[0], headers, &limits()).await.unwrap();
    assert_eq!(download.bytes().await.unwrap(), "ok");
    assert!(first.await.unwrap().contains("Bearer hush"));
    let second = second.await.unwrap();
    assert!(!second.contains("hush") && second.contains("video/mp4"), "{second}");
}

#[tokio::test]
async fn a_connection_that_fails_is_tried_once_more() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        drop(listener.accept().await.unwrap());
        let (mut socket, _) = listener.accept().await.unwrap();
        assert!(socket.read(&mut [0; 4096]).await.unwrap() > 0);
        socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
    });
    let download = loopback().get(&url, &limits()).await.unwrap();
    assert_eq!(download.bytes().await.unwrap(), "ok");
    server.await.unwrap();
}

#[tokio::test]
async fn a_post_returns_any_status_and_is_not_redirected() {
    let host = VideoHost::start().await.unwrap();
    let url = host.serve("/challenge", Reply::redirect("/elsewhere"));
    let answer = loopback().post(&url, HeaderMap::new(), "{}", &limits()).await.unwrap();
    assert_eq!(answer.status, 302);
    assert_eq!(host.served().len(), 1);

    let url = host.serve("/busy", Reply::bytes(r#"{"detail":"busy"}"#).status(503));
    let answer = loopback().post(&url, HeaderMap::new(), "{}", &limits()).await.unwrap();
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (503, &br#"{"detail":"busy"}"#[..]));
}

#[tokio::test]
async fn any_method_is_sent_as_it_is_and_any_answer_is_read() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v2/x?y=z", listener.local_addr().unwrap());
    // The answer to HEAD announces a body that must neither come nor count.
    let cases = [
        (Method::GET, "", "404 Not Found\r\ncontent-length: 4\r\n\r\ngone", "gone"),
        (Method::HEAD, "", "200 OK\r\ncontent-length: 99999999999\r\n\r\n", ""),
        (Method::PUT, r#"{"a":1}"#, "204 No Content\r\n\r\n", ""),
        (Method::DELETE, "", "307 Temporary Redirect\r\nlocation: /z\r\ncontent-length: 0\r\n\r\n", ""),
    ];
    for (method, body, answer, read) in cases {
        let request = async {
            let headers =
                HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static("Bearer x"))]);
            loopback().request(method.clone(), &url, headers, body, &limits()).await.unwrap()
        };
        let serve = async {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut seen = Vec::new();
            while !(seen.windows(4).any(|end| end == b"\r\n\r\n") && seen.ends_with(body.as_bytes())) {
                assert!(socket.read_buf(&mut seen).await.unwrap() > 0);
            }
            socket.write_all(format!("HTTP/1.1 {answer}").as_bytes()).await.unwrap();
            String::from_utf8(seen).unwrap()
        };
        let (answered, seen) = tokio::join!(request, serve);
        assert!(seen.starts_with(&format!("{method} /v2/x?y=z HTTP/1.1\r\n")), "{seen}");
        assert!(seen.contains("authorization: Bearer x\r\n"), "{seen}");
        assert!(answer.starts_with(answered.status.as_str()), "{method}: {}", answered.status);
        assert_eq!(answered.body, read, "{method}");
    }
}

#[tokio::test]
async fn a_posts_answer_is_bounded() {
    let host = VideoHost::start().await.unwrap();
    let url = host.serve("/challenge", Reply::bytes("{").endless());
    let error = loopback().post(&url, HeaderMap::new(), "{}", &limits()).await.unwrap_err();
    assert!(matches!(error, FetchError::TooLarge { .. }), "{error}");
}

async fn file_with(content: &[u8], start: u64) -> tokio::fs::File {
    let file = tempfile::tempfile().unwrap();
    let mut file = tokio::fs::File::from_std(file);
    file.write_all(content).await.unwrap();
    file.flush().await.unwrap();
    file.seek(SeekFrom::Start(start)).await.unwrap();
    file
}

#[tokio::test]
async fn a_part_of_a_file_is_put_and_counted_as_it_goes_out() {
    let store = HuggingFace::start().await.unwrap();
    let url = store.put_address("x");
    let counted = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&counted);
    let taken = move |bytes| {
        counter.fetch_add(bytes, Ordering::Relaxed);
    };
    let file = file_with(b"0123456789", 3).await;
    let answer = loopback().put_file(&url, HeaderMap::new(), file, 4, &limits(), taken).await.unwrap();
    assert_eq!(answer.status, 200);
    assert!(answer.headers.contains_key(header::ETAG));
    assert_eq!(counted.load(Ordering::Relaxed), 4);
    let stored = loopback().get(&url, &limits()).await.unwrap().bytes().await.unwrap();
    assert_eq!(stored, "3456");
}

/// Reads a request of `length` bytes at a steady pace for about `lasting`, then answers.
async fn take_slowly(listener: tokio::net::TcpListener, length: usize, lasting: Duration) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let begin = Instant::now();
    let mut piece = vec![0; 1 << 20];
    let mut taken = 0;
    while taken < length {
        let read = stream.read(&mut piece).await.unwrap();
        assert!(read > 0, "the client went away after {taken} bytes");
        taken += read;
        tokio::time::sleep_until(begin + lasting.mul_f64(taken as f64 / length as f64)).await;
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_server_that_takes_a_file_slowly_is_not_left() {
    const LENGTH: usize = 64 << 20;
    let idle = Duration::from_millis(1500);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/x", listener.local_addr().unwrap());
    let server = tokio::spawn(take_slowly(listener, LENGTH, idle * 2));
    let file = file_with(&noise(LENGTH), 0).await;
    let limits = Limits { idle, ..limits() };
    let begin = Instant::now();
    let answer = loopback().put_file(&url, HeaderMap::new(), file, LENGTH as u64, &limits, |_| ()).await;
    assert_eq!(answer.unwrap().status, 200);
    assert!(begin.elapsed() > idle);
    server.abort();
}

#[tokio::test]
async fn a_server_that_takes_nothing_or_says_nothing_is_left() {
    // More than the system takes for it, and less.
    for length in [64 << 20, 10] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/x", listener.local_addr().unwrap());
        let limits = Limits { idle: Duration::from_millis(200), ..limits() };
        let file = file_with(&noise(length), 0).await;
        let left = loopback().put_file(&url, HeaderMap::new(), file, length as u64, &limits, |_| ()).await;
        assert!(matches!(left, Err(FetchError::Idle { .. })), "{left:?}");
    }
}

#[tokio::test]
async fn a_file_that_is_shorter_than_said_breaks_the_request_off() {
    let store = HuggingFace::start().await.unwrap();
    let file = file_with(b"0123456789", 3).await;
    let url = store.put_address("x");
    let broken = loopback().put_file(&url, HeaderMap::new(), file, 8, &limits(), |_| ()).await;
    assert!(matches!(broken, Err(FetchError::Lost { .. })), "{broken:?}");
    let status = loopback().get(&url, &limits()).await.unwrap_err();
    assert!(matches!(status, FetchError::Status { status: 404, .. }), "{status}");
}
