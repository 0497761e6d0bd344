//! What `/docs`, `/redoc` and `/openapi.json` show. Score's spot check polls `/docs` as the readiness probe
//! (section 7), so the route answers 503 until the model is loaded.
//!
//! `openapi.json` at the crate's root *is* the contract: it is reviewed as a file and served from it,
//! with the four security headers left out where signatures are not checked.

use std::sync::LazyLock;

use serde_json::Value;

const OPENAPI: &str = include_str!("../openapi.json");

pub(crate) const TITLE: &str = "Private Track Turbovision Miner";

pub(crate) const ABOUT: &str = "<code>POST /challenge</code> takes a challenge and returns predictions.";

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
}
