//! Answers against `openapi.json`.

use std::sync::LazyLock;

use adit_generative::task::TaskId;
use axum::body::Body;
use axum::http::response::Parts;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use serde_json::{Value, json};

use crate::setup::{Fixture, Wanted};

static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../openapi.json")).unwrap());

/// An answer must be one that the document has for this path, and of its schema.
pub(crate) fn check(method: &Method, path: &str, head: &Parts, body: &[u8]) {
    let what = format!("{method} {path}: {}", head.status);
    let Some(operation) = operation(method, path) else {
        let by_the_router =
            [StatusCode::TEMPORARY_REDIRECT, StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED];
        let is_page = ["/docs", "/redoc", "/openapi.json"].iter().any(|page| path.starts_with(page));
        assert!(is_page || by_the_router.contains(&head.status), "{what} is not in the document");
        return;
    };
    let content_type = head.headers[header::CONTENT_TYPE].to_str().unwrap().split(';').next().unwrap();
    let schema = &operation["responses"][head.status.as_str()]["content"][content_type]["schema"];
    assert!(schema.is_object(), "{what} as {content_type} is not in the document");
    if content_type == "application/json" {
        let body: Value = serde_json::from_slice(body).unwrap();
        if let Err(why) = fits(&body, schema) {
            panic!("{what}: {why}: {body}");
        }
    }
}

fn operation(method: &Method, path: &str) -> Option<&'static Value> {
    let id = path.strip_prefix("/status/").filter(|id| !id.is_empty() && !id.contains('/'));
    let template = if id.is_some() { "/status/{task_id}" } else { path };
    DOCUMENT["paths"][template].get(method.as_str().to_lowercase())
}

/// Whether a value is of a schema, as far as the document uses JSON Schema; anything else in it is a failure.
fn fits(value: &Value, schema: &Value) -> Result<(), String> {
    let wrong = |what: String| Err(format!("{what}: {value}"));
    for (keyword, wanted) in schema.as_object().unwrap() {
        match keyword.as_str() {
            "description" => {}
            "$ref" => {
                let pointer = wanted.as_str().unwrap().strip_prefix('#').unwrap();
                fits(value, DOCUMENT.pointer(pointer).unwrap())?;
            }
            "anyOf" => {
                if !wanted.as_array().unwrap().iter().any(|schema| fits(value, schema).is_ok()) {
                    return wrong("none of these".to_owned());
                }
            }
            "type" => {
                let types = wanted.as_array().cloned().unwrap_or_else(|| vec![wanted.clone()]);
                if !types.iter().any(|wanted| is(value, wanted.as_str().unwrap())) {
                    return wrong(format!("not {wanted}"));
                }
            }
            "const" if value != wanted => return wrong(format!("not {wanted}")),
            "enum" if !wanted.as_array().unwrap().contains(value) => {
                return wrong(format!("not of {wanted}"));
            }
            "const" | "enum" => {}
            "format" if wanted == "uuid" => {
                if value.as_str().is_none_or(|text| text.parse::<TaskId>().is_err()) {
                    return wrong("no uuid".to_owned());
                }
            }
            "minimum" if value.as_f64() < wanted.as_f64() => return wrong(format!("below {wanted}")),
            "minimum" => {}
            "required" => {
                for name in wanted.as_array().unwrap() {
                    if value.get(name.as_str().unwrap()).is_none() {
                        return wrong(format!("no {name}"));
                    }
                }
            }
            "properties" => {
                for (name, schema) in wanted.as_object().unwrap() {
                    value.get(name).map_or(Ok(()), |value| fits(value, schema))?;
                }
            }
            "additionalProperties" if wanted == false => {
                for name in value.as_object().into_iter().flat_map(|object| object.keys()) {
                    if schema["properties"].get(name).is_none() {
                        return wrong(format!("{name} is too much"));
                    }
                }
            }
            "items" => {
                value.as_array().into_iter().flatten().try_for_each(|item| fits(item, wanted))?;
            }
            _ => return wrong(format!("this test does not know {keyword}")),
        }
    }
    Ok(())
}

fn is(value: &Value, kind: &str) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        _ => panic!("{kind}"),
    }
}

#[test]
fn what_does_not_fit_is_seen() {
    let detail = json!({"$ref": "#/components/schemas/Detail"});
    assert_eq!(fits(&json!({"detail": "Not Found"}), &detail), Ok(()));
    for bad in [json!({}), json!({"detail": 1}), json!({"detail": "x", "more": 1}), json!([])] {
        fits(&bad, &detail).unwrap_err();
    }
}

/// What the vectors and the other tests do not come to.
#[tokio::test]
async fn every_documented_path_has_its_methods_and_answers_as_documented() {
    let fixture = Fixture::new(Wanted::default()).await;
    for (path, operations) in DOCUMENT["paths"].as_object().unwrap() {
        let request = Request::trace(path.replace("{task_id}", "x")).body(Body::empty()).unwrap();
        let response = fixture.ask(request).await;
        let allowed = response.headers()[header::ALLOW].to_str().unwrap().to_lowercase();
        let allowed: Vec<&str> = allowed.split(',').filter(|method| *method != "head").collect();
        assert_eq!(allowed, operations.as_object().unwrap().keys().collect::<Vec<_>>(), "{path}");
    }
    for path in ["/health", "/miner_info", "/status/x"] {
        fixture.json("GET", path, HeaderMap::new(), "").await;
    }
    let none = Fixture::new(Wanted { image: "none", video: "none", ..Wanted::default() }).await;
    assert_eq!(none.json("GET", "/health", HeaderMap::new(), "").await.0, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn the_document_and_its_pages_are_shown_to_anybody() {
    let signers = crate::gated::Signers::new();
    let fixture = Fixture::new(Wanted { gate: Some(signers.gate()), ..Wanted::default() }).await;
    for (path, status, content_type) in [
        ("/docs", 200, "text/html; charset=utf-8"),
        ("/docs/swagger-ui.css", 200, "text/css"),
        ("/docs/nothing", 404, "application/json"),
        ("/redoc", 200, "text/html; charset=utf-8"),
        ("/docs/", 307, ""),
    ] {
        let response = fixture.ask(Request::get(path).body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), status, "{path}");
        let found = response.headers().get(header::CONTENT_TYPE);
        assert_eq!(found.map_or("", |found| found.to_str().unwrap()), content_type, "{path}");
    }
    let (status, served) = fixture.json("GET", "/openapi.json", HeaderMap::new(), "").await;
    assert_eq!((status, &served), (StatusCode::OK, &*DOCUMENT));
}
