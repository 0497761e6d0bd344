//! The page that shows an OpenAPI document: Swagger UI, whose files are part of the program. It loads nothing from
//! elsewhere.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderValue, Response, StatusCode, header};
use bytes::Bytes;
use utoipa_swagger_ui::Config as SwaggerConfig;

use crate::answer;

/// `/docs`, of the document at `/openapi.json`. The title is put in as it is.
#[must_use]
pub fn page(title: &str) -> Response<Body> {
    html(format!(
        r##"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} - Swagger UI</title>
<link rel="icon" href="/docs/favicon-32x32.png">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script>
SwaggerUIBundle({{
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  oauth2RedirectUrl: window.location.origin + "/docs/oauth2-redirect",
}});
</script>
</body>
</html>
"##
    ))
}

/// The files of Swagger UI that are served, by their names below `/docs/`.
const ASSETS: [(&str, &str); 4] = [
    ("swagger-ui.css", "swagger-ui.css"),
    ("swagger-ui-bundle.js", "swagger-ui-bundle.js"),
    ("favicon-32x32.png", "favicon-32x32.png"),
    ("oauth2-redirect", "oauth2-redirect.html"),
];

/// `/redoc`, which upstream's servers have too: a page that says what the server is for and where its document is. Both
/// texts are put in as they are.
#[must_use]
pub fn redoc(title: &str, about: &str) -> Response<Body> {
    html(format!(
        r##"<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>{title} - ReDoc</title></head>
<body>
<h1>{title}</h1>
<p>{about} The schemas are in <a href="/openapi.json">/openapi.json</a>; <a href="/docs">/docs</a> shows it as a
page.</p>
</body>
</html>
"##
    ))
}

/// `/docs/{asset}`: one of Swagger UI's own files.
pub async fn asset(Path(name): Path<String>) -> Response<Body> {
    file(&name).unwrap_or_else(|| answer::detail(StatusCode::NOT_FOUND, "Not Found"))
}

/// Each is in memory once, however many ask for it.
fn file(name: &str) -> Option<Response<Body>> {
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

fn html(text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::from(text.into()));
    let content_type = HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

#[cfg(test)]
mod tests {
    use super::{file, page};
    use axum::body::to_bytes;

    #[tokio::test]
    async fn every_file_that_the_page_names_is_in_the_program() {
        let page = to_bytes(page("A miner").into_body(), usize::MAX).await.unwrap();
        let page = std::str::from_utf8(&page).unwrap();
        let files: Vec<_> = page.split('"').filter_map(|piece| piece.strip_prefix("/docs/")).collect();
        assert!(!files.is_empty());
        for name in files {
            assert!(file(name).is_some(), "{name}");
        }
        assert!(!page.contains("://"), "the page loads something from elsewhere");
    }
}
