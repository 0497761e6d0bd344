//! Style, scripts and icon: part of the program, and named by their content, so that a browser may keep them.

use std::fmt::Write as _;
use std::sync::LazyLock;

use axum::body::Body;
use axum::extract::Path;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use sha2::{Digest as _, Sha256};

/// One of them.
#[derive(Debug)]
pub(crate) struct Asset {
    /// Where it is served.
    pub(crate) path: String,
    bytes: &'static [u8],
    content_type: &'static str,
}

fn asset(stem: &str, ending: &str, content_type: &'static str, bytes: &'static [u8]) -> Asset {
    let mut path = format!("/assets/{stem}.");
    for byte in &Sha256::digest(bytes)[..6] {
        let _ = write!(path, "{byte:02x}");
    }
    path.push('.');
    path.push_str(ending);
    Asset { path, bytes, content_type }
}

macro_rules! assets {
    ($($name:ident = $stem:literal, $ending:literal, $kind:literal, $file:literal;)+) => {
        $(pub(crate) static $name: LazyLock<Asset> = LazyLock::new(|| {
            asset($stem, $ending, $kind, include_bytes!(concat!("../../assets/", $file)))
        });)+
        static ALL: &[&LazyLock<Asset>] = &[$(&$name),+];
    };
}

assets! {
    STYLE = "page", "css", "text/css; charset=utf-8", "page.css";
    SCRIPT = "page", "js", "text/javascript; charset=utf-8", "page.js";
    HTMX = "htmx", "js", "text/javascript; charset=utf-8", "htmx-2.0.11.min.js";
    SSE = "sse", "js", "text/javascript; charset=utf-8", "htmx-ext-sse-2.2.4.min.js";
    ICON = "icon", "svg", "image/svg+xml", "icon.svg";
}

/// `/assets/{name}`.
pub(crate) async fn serve(Path(name): Path<String>) -> Response {
    let found = ALL.iter().find(|asset| asset.path.strip_prefix("/assets/") == Some(name.as_str()));
    let Some(asset) = found else {
        let mut response = Response::new(Body::from("not found"));
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    };
    let mut response = Response::new(Body::from(Bytes::from_static(asset.bytes)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
    let keep = HeaderValue::from_static("public, max-age=31536000, immutable");
    headers.insert(header::CACHE_CONTROL, keep);
    response
}
