//! Requests as the schemas of both generations take them: keys that they do not know are passed over.

use serde_json::{Map, Value};

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
    let body = object(body)?;
    let meta = match body.get("meta") {
        None => Map::new(),
        Some(Value::Object(meta)) => meta.clone(),
        Some(_) => return Err("meta: an object is wanted, and null is none".to_owned()),
    };
    let frames = match body.get("frames") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(frames)) => {
            let read = |(at, frame)| frame_of(frame).map_err(|what| format!("frames[{at}]{what}"));
            frames.iter().enumerate().map(read).collect::<Result<_, _>>()?
        }
        Some(_) => return Err("frames: a list is wanted".to_owned()),
    };
    let shown = match text(&body, "url").map_err(|what| what.trim_start_matches('.').to_owned())? {
        _ if !frames.is_empty() => Shown::Frames(frames),
        Some(url) if !url.is_empty() => Shown::Clip(url),
        _ => Shown::Nothing,
    };
    Ok(Head { shown, meta })
}

/// What is wrong with a request, by the path to it.
pub(super) fn guide(body: &[u8]) -> Result<Guide, String> {
    let body = object(body)?;
    let Some(Value::String(url)) = body.get("url") else { return Err("url: a text is wanted".to_owned()) };
    let meta = match body.get("meta") {
        None | Some(Value::Null) => None,
        Some(Value::Object(meta)) => Some(meta.clone()),
        Some(_) => return Err("meta: an object or null is wanted".to_owned()),
    };
    Ok(Guide { url: url.clone(), meta })
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

fn object(body: &[u8]) -> Result<Map<String, Value>, String> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(body)) => Ok(body),
        Ok(_) => Err("the body is no object".to_owned()),
        Err(error) => Err(format!("the body is no JSON: {error}")),
    }
}

fn frame_of(frame: &Value) -> Result<Frame, String> {
    let frame = frame.as_object().ok_or(": an object is wanted")?;
    let frame_id = match frame.get("frame_id") {
        Some(Value::Number(id)) => {
            let of_float = || id.as_f64().filter(|id| id.fract() == 0.0 && id.abs() < 9e15);
            id.as_i64().or_else(|| of_float().map(|id| id as i64))
        }
        Some(Value::String(id)) => adit_python::int(id).and_then(|id| i64::try_from(id).ok()),
        _ => None,
    };
    let frame_id = frame_id.ok_or(".frame_id: an integer is wanted")?;
    Ok(Frame { frame_id, url: text(frame, "url")?, data: text(frame, "data")? })
}

fn text(row: &Map<String, Value>, key: &str) -> Result<Option<String>, String> {
    match row.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(format!(".{key}: a text or null is wanted")),
    }
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
            ("[]", "the body is no object"),
            ("{", "the body is no JSON"),
            (r#"{"meta":null}"#, "meta: an object is wanted"),
            (r#"{"url":5}"#, "url: a text or null is wanted"),
            (r#"{"frames":{}}"#, "frames: a list is wanted"),
            (r#"{"frames":[{"frame_id":1},{}]}"#, "frames[1].frame_id: an integer is wanted"),
            (r#"{"frames":[{"frame_id":1,"data":3}]}"#, "frames[0].data: a text or null is wanted"),
        ] {
            let error = head(body.as_bytes()).unwrap_err();
            assert!(error.starts_with(what), "{body}: {error}");
        }
        assert_eq!(guide(b"{\"meta\":{}}"), Err("url: a text is wanted".to_owned()));
        assert_eq!(guide(br#"{"url":"u","meta":3}"#), Err("meta: an object or null is wanted".to_owned()));
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
