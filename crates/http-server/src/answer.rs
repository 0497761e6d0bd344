//! Answers in FastAPI's shapes.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, Uri, header};
use serde_json::json;

/// FastAPI's shape of an error: `{"detail": text}`.
#[must_use]
pub fn detail(status: StatusCode, text: &str) -> Response<Body> {
    json_text(status, json!({ "detail": text }).to_string())
}

/// A text that is JSON.
#[must_use]
pub fn json_text(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A text in the form that Prometheus reads.
#[must_use]
pub fn metrics(text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    let content_type = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

/// 405, for another method than a path's.
pub async fn method_not_allowed() -> Response<Body> {
    detail(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
}

/// 404, or for one of the `known` paths with a slash at its end the redirect that Starlette makes.
#[must_use]
pub fn not_found(uri: &Uri, known: &[&'static str]) -> Response<Body> {
    let trimmed = uri.path().strip_suffix('/').unwrap_or_default();
    let Some(target) = known.iter().find(|known| **known == trimmed) else {
        return detail(StatusCode::NOT_FOUND, "Not Found");
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    response.headers_mut().insert(header::LOCATION, HeaderValue::from_static(target));
    response
}
