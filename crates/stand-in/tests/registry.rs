//! The registry, and the proxy that breaks uploads, as an HTTP client sees them.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::time::Duration;

use adit_outbound::{AddressGuard, Client, FetchError, Limits, Response};
use adit_stand_in::registry::{Flaky, Registry};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use tokio::time::Instant;

/// `miner:registry-password`, the stand-in's user.
const AUTHORIZATION: &str = "Basic bWluZXI6cmVnaXN0cnktcGFzc3dvcmQ=";
/// Of a mebibyte of zeros.
const DIGEST: &str = "sha256:30e14955ebf1352266dc2ff8067e68104607e750abb9d3b36582b8af909fcb58";

async fn ask(method: Method, url: &str, credentials: &str, body: Bytes) -> Result<Response, FetchError> {
    let client = Client::new(AddressGuard::unrestricted()).unwrap();
    let limits = Limits::new(Instant::now() + Duration::from_secs(30), 1 << 20);
    let mut headers = HeaderMap::new();
    if !credentials.is_empty() {
        headers.insert(header::AUTHORIZATION, HeaderValue::from_str(credentials).unwrap());
    }
    client.request(method, url, headers, body, &limits).await
}

#[tokio::test]
async fn only_the_one_user_is_let_in() {
    let Some(registry) = Registry::start() else {
        return;
    };
    let url = format!("http://{}/v2/", registry.address());
    for (credentials, status) in [("", 401), ("Basic bWluZXI6d3Jvbmc=", 401), (AUTHORIZATION, 200)] {
        let answer = ask(Method::GET, &url, credentials, Bytes::new()).await.unwrap();
        assert_eq!(answer.status, status, "{credentials}");
    }
}

#[tokio::test]
async fn uploads_break_as_often_as_told_and_then_pass() {
    let Some(registry) = Registry::start() else {
        return;
    };
    let proxy = Flaky::start(registry.address(), 2, 300_000).await.unwrap();
    let blob = Bytes::from(vec![0; 1 << 20]);
    let upload = async || {
        let url = format!("http://{}/v2/miner/pt-solution/blobs/uploads/", proxy.address());
        let started = ask(Method::POST, &url, AUTHORIZATION, Bytes::new()).await.unwrap();
        let place = started.headers[header::LOCATION].to_str().unwrap();
        ask(Method::PUT, &format!("{place}&digest={DIGEST}"), AUTHORIZATION, blob.clone()).await
    };
    for left in [1, 0] {
        let broken = upload().await.unwrap_err();
        assert!(matches!(broken, FetchError::Lost { .. }), "{broken}");
        assert_eq!(proxy.left(), left);
    }
    assert_eq!(upload().await.unwrap().status, 201);

    let url = format!("http://{}/v2/miner/pt-solution/blobs/{DIGEST}", registry.address());
    assert_eq!(ask(Method::HEAD, &url, AUTHORIZATION, Bytes::new()).await.unwrap().status, 200);
}
