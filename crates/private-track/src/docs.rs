//! `/docs`, `/redoc` and `/openapi.json`. Score's spot check polls `/docs` as the readiness probe
//! (section 7), so it answers 503 until the model is loaded.
//!
//! `openapi.json` at the crate's root *is* the contract: it is reviewed as a file and served from it,
//! with the four security headers left out where signatures are not checked. All assets are part of
//! the program; the page loads nothing from elsewhere.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use bytes::Bytes;
use serde_json::Value;
use utoipa_swagger_ui::Config as SwaggerConfig;

const OPENAPI: &str = include_str!("../openapi.json");

const DOCS: &str = r##"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Private Track Turbovision Miner - Swagger UI</title>
<link rel="icon" href="/docs/favicon-32x32.png">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script>
SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  oauth2RedirectUrl: window.location.origin + "/docs/oauth2-redirect",
});
</script>
</body>
</html>
"##;

const REDOC: &str = r##"<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>Private Track Turbovision Miner - ReDoc</title></head>
<body>
<h1>Private Track Turbovision Miner</h1>
<p><code>POST /challenge</code> takes a challenge and returns predictions. The schema of both is in
<a href="/openapi.json">/openapi.json</a>; <a href="/docs">/docs</a> shows it as a page.</p>
</body>
</html>
"##;

/// The document served: the security headers are parameters only where they are checked.
pub(crate) fn openapi(verify: bool) -> String {
    static PARSED: LazyLock<Value> =
        LazyLock::new(|| serde_json::from_str(OPENAPI).expect("openapi.json is JSON: a test reads it"));
    let mut document = PARSED.clone();
    if !verify && let Some(operation) = document.pointer_mut("/paths/~1challenge/post") {
        operation.as_object_mut().map(|operation| operation.remove("parameters"));
    }
    document.to_string()
}

pub(crate) fn docs() -> Response<Body> {
    html(DOCS)
}

pub(crate) fn redoc() -> Response<Body> {
    html(REDOC)
}

/// The files of Swagger UI that are served, by their names below `/docs/`.
const ASSETS: [(&str, &str); 4] = [
    ("swagger-ui.css", "swagger-ui.css"),
    ("swagger-ui-bundle.js", "swagger-ui-bundle.js"),
    ("favicon-32x32.png", "favicon-32x32.png"),
    ("oauth2-redirect", "oauth2-redirect.html"),
];

/// One of Swagger UI's own files. Each is in memory once, however many ask for it.
pub(crate) fn asset(name: &str) -> Option<Response<Body>> {
    static FILES: LazyLock<HashMap<&str, (Bytes, HeaderValue)>> = LazyLock::new(|| {
        let config = Arc::new(SwaggerConfig::from("/openapi.json"));
        let load = |(name, file)| {
            let file = utoipa_swagger_ui::serve(file, Arc::clone(&config)).ok()??;
            let content_type = HeaderValue::try_from(file.content_type).ok()?;
            Some((name, (Bytes::from(file.bytes.into_owned()), content_type)))
        };
        ASSETS.into_iter().filter_map(load).collect()
    });
    let (bytes, content_type) = FILES.get(name)?;
    let mut response = Response::new(Body::from(bytes.clone()));
    response.headers_mut().insert(header::CONTENT_TYPE, content_type.clone());
    Some(response)
}

fn html(text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = StatusCode::OK;
    let content_type = HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_security_headers_are_listed_only_where_they_are_checked() {
        let with: Value = serde_json::from_str(&openapi(true)).unwrap();
        let names: Vec<_> = with["paths"]["/challenge"]["post"]["parameters"]
            .as_array()
            .unwrap()
            .iter()
            .map(|parameter| parameter["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["validator-hotkey", "signature", "miner-hotkey", "nonce"]);
        let without: Value = serde_json::from_str(&openapi(false)).unwrap();
        assert!(without["paths"]["/challenge"]["post"].get("parameters").is_none());
    }

    #[test]
    fn every_file_that_the_page_names_is_in_the_program() {
        for name in DOCS.split('"').filter_map(|piece| piece.strip_prefix("/docs/")) {
            assert!(asset(name).is_some(), "{name}");
        }
        assert!(!DOCS.contains("://"), "the page loads something from elsewhere");
    }
}
