//! Requests as the schemas of both generations take them ([`crate::wire`]), and what of them is to be looked at.

use adit_python::json::Json;
use serde_json::{Map, Value};

use crate::wire::{Document as _, Family, SvPredictInput, TvFrame, TvPredictInput};

/// What the published template takes: `TVPredictInput`.
#[derive(Debug, PartialEq)]
pub(super) struct Head {
    pub(super) shown: Shown,
    pub(super) meta: Map<String, Value>,
}

/// What is to be looked at.
#[derive(Debug, PartialEq)]
pub(super) enum Shown {
    Frames(Vec<Frame>),
    Clip(String),
    /// Neither, which is well formed and cannot be answered.
    Nothing,
}

#[derive(Debug, PartialEq)]
pub(super) struct Frame {
    pub(super) frame_id: i64,
    pub(super) url: Option<String>,
    pub(super) data: Option<String>,
}

/// What the guide's template takes: `SVPredictInput`.
#[derive(Debug, PartialEq)]
pub(super) struct Guide {
    pub(super) url: String,
    pub(super) meta: Option<Map<String, Value>>,
}

/// What is wrong with a request, by the path to it.
pub(super) fn head(body: &[u8]) -> Result<Head, String> {
    let asked = TvPredictInput::parse(Family::Template, body).map_err(|error| error.to_string())?;
    let frame = |frame: TvFrame| {
        let frame_id = i64::try_from(frame.frame_id);
        let frame_id = frame_id.map_err(|_| format!("the frame_id {} is too large", frame.frame_id))?;
        Ok(Frame { frame_id, url: frame.url, data: frame.data })
    };
    let frames = asked.frames.unwrap_or_default().into_iter().map(frame);
    let frames = frames.collect::<Result<Vec<_>, String>>()?;
    let shown = match asked.url {
        _ if !frames.is_empty() => Shown::Frames(frames),
        Some(url) if !url.is_empty() => Shown::Clip(url),
        _ => Shown::Nothing,
    };
    Ok(Head { shown, meta: map(&asked.meta) })
}

/// What is wrong with a request, by the path to it.
pub(super) fn guide(body: &[u8]) -> Result<Guide, String> {
    let asked = SvPredictInput::parse(Family::Document, body).map_err(|error| error.to_string())?;
    Ok(Guide { url: asked.url, meta: asked.meta.as_ref().map(map) })
}

/// The schemas have seen to it that it is an object.
fn map(meta: &Json) -> Map<String, Value> {
    serde_json::from_str(&meta.to_text()).unwrap_or_default()
}

/// The whole number `meta` has under this key; what the template takes it for where there is none.
pub(super) fn count(meta: &Map<String, Value>, key: &str, default: u32, least: u32) -> Result<u32, String> {
    let Some(value) = meta.get(key) else { return Ok(default) };
    let count = value.as_u64().and_then(|count| u32::try_from(count).ok()).filter(|count| *count >= least);
    count.ok_or_else(|| {
        let shown: String = value.to_string().chars().take(40).collect();
        format!("meta.{key} is {shown}, not a whole number from {least}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn frames_come_before_a_url() {
        let read = |body: &str| head(body.as_bytes()).map(|head| head.shown);
        let frame = Frame { frame_id: 7, url: None, data: Some("eA==".to_owned()) };
        assert_eq!(
            read(r#"{"url":"http://x","frames":[{"frame_id":"7","data":"eA==","unknown":1}]}"#),
            Ok(Shown::Frames(vec![frame]))
        );
        assert_eq!(read(r#"{"url":"http://x","frames":[]}"#), Ok(Shown::Clip("http://x".to_owned())));
        assert_eq!(read(r#"{"url":"","frames":null}"#), Ok(Shown::Nothing));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (body, what) in [
            ("[]", "valid dictionary"),
            ("{", "no JSON"),
            (r#"{"meta":null}"#, "meta: "),
            (r#"{"url":5}"#, "url: "),
            (r#"{"frames":{}}"#, "frames: "),
            (r#"{"frames":[{"frame_id":1},{}]}"#, "frames[1].frame_id: Field required"),
            (r#"{"frames":[{"frame_id":1,"data":3}]}"#, "frames[0].data: "),
            (r#"{"frames":[{"frame_id":99999999999999999999}]}"#, "frame_id"),
        ] {
            let error = head(body.as_bytes()).unwrap_err();
            assert!(error.contains(what), "{body}: {error}");
        }
        assert!(guide(b"{\"meta\":{}}").unwrap_err().contains("url: Field required"));
        assert!(guide(br#"{"url":"u","meta":3}"#).unwrap_err().contains("meta: "));
        assert_eq!(guide(br#"{"url":"u","meta":null}"#), Ok(Guide { url: "u".to_owned(), meta: None }));
    }

    #[test]
    fn counts_have_the_templates_defaults() {
        let meta = |text: &str| serde_json::from_str::<Map<String, Value>>(text).unwrap();
        assert_eq!(count(&meta("{}"), "batch_size", 64, 1), Ok(64));
        assert_eq!(count(&meta(r#"{"batch_size":3}"#), "batch_size", 64, 1), Ok(3));
        for bad in ["0", "-1", "1.5", "\"64\"", "null", "99999999999"] {
            let error = count(&meta(&format!("{{\"batch_size\":{bad}}}")), "batch_size", 64, 1).unwrap_err();
            assert_eq!(error, format!("meta.batch_size is {bad}, not a whole number from 1"));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = (head(&body), guide(&body));
        }
    }
}
