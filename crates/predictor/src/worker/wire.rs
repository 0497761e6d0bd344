//! What the lines of the worker protocol mean.
//!
//! A worker is the operator's own program, and still its answer is checked to the letter: what passes here is
//! sent to a validator, which rejects a whole response for one bad element.

use std::fmt::Write as _;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use adit_media::{FrameFormat, MediaLimits, Sampling};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::pixels::{BATCH_BYTES, Delivery};
use crate::answer::{check_action, check_delivery, check_grades, check_objects};
use crate::{Action, Answer, Grades, Need, Wanted};

/// Longest line that a worker may print, in bytes.
pub(super) const LINE_LIMIT: usize = 8 << 20;

/// Most frames that are announced at once.
const MAX_BATCH: u32 = 1024;

/// Largest side of the frames that a worker may ask for, in pixels.
const MAX_SIDE: u32 = 8192;

#[derive(Serialize)]
pub(super) struct Request<'a> {
    pub(super) id: u64,
    pub(super) challenge_id: &'a str,
    pub(super) want: &'static str,
    pub(super) video: Option<&'a Path>,
    pub(super) frame_count: Option<u64>,
    pub(super) frame_rate: Option<f64>,
    pub(super) pictures: &'a [PicturePath],
    #[serde(flatten)]
    pub(super) objects: Option<ObjectsRequest<'a>>,
    /// Where the pixels lie, for a worker that maps them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) memory: Option<&'a str>,
}

impl Request<'_> {
    pub(super) fn line(&self) -> io::Result<Vec<u8>> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        Ok(line)
    }
}

/// What a request for objects says besides.
#[derive(Serialize)]
pub(super) struct ObjectsRequest<'a> {
    pub(super) batch_size: u32,
    pub(super) n_keypoints: u32,
    pub(super) url: Option<&'a str>,
    pub(super) meta: Option<&'a Map<String, Value>>,
}

#[derive(Serialize)]
pub(super) struct PicturePath {
    pub(super) frame_id: u64,
    pub(super) path: PathBuf,
}

/// What is said of a frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub(super) frame: i64,
    /// Width and height, where frames may differ in them.
    pub(super) size: Option<(u32, u32)>,
}

/// Number and offset of the slot where pixels lie that do not follow.
type Place = Option<(u64, u64)>;

/// The line about one frame.
pub(super) fn frame_line(heads: &[Head], bytes: usize, place: Place) -> Vec<u8> {
    let mut fields = String::new();
    for head in heads {
        let _ = write!(fields, "\"frame\":{}", head.frame);
        if let Some((width, height)) = head.size {
            let _ = write!(fields, ",\"width\":{width},\"height\":{height}");
        }
    }
    pixels_line(fields, bytes, place)
}

/// The line about the frames of one batch.
pub(super) fn batch_line(heads: &[Head], bytes: usize, place: Place) -> Vec<u8> {
    let list =
        |item: &dyn Fn(&Head) -> Option<String>| heads.iter().filter_map(item).collect::<Vec<_>>().join(",");
    let mut fields = format!("\"frames\":[{}]", list(&|head| Some(head.frame.to_string())));
    if heads.iter().any(|head| head.size.is_some()) {
        let size = |head: &Head| head.size.map(|(width, height)| format!("[{width},{height}]"));
        let _ = write!(fields, ",\"sizes\":[{}]", list(&size));
    }
    pixels_line(fields, bytes, place)
}

fn pixels_line(mut fields: String, bytes: usize, place: Place) -> Vec<u8> {
    // Writing to a String cannot fail.
    let _ = write!(fields, ",\"bytes\":{bytes}");
    if let Some((slot, offset)) = place {
        let _ = write!(fields, ",\"slot\":{slot},\"offset\":{offset}");
    }
    format!("{{{fields}}}\n").into_bytes()
}

/// The line after the last frame of a clip that was decoded whole.
pub(super) const END_LINE: &[u8] = b"{\"end\":true}\n";

/// The line instead of the rest of a clip that could not be decoded.
pub(super) const ABORT_LINE: &[u8] = b"{\"abort\":true}\n";

/// The line that asks a worker with nothing to do whether it is well.
pub(super) fn ping_line(id: u64) -> Vec<u8> {
    format!("{{\"ping\":{id}}}\n").into_bytes()
}

/// The answer to a ping, if the line is one.
pub(super) fn parse_pong(line: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Pong {
        pong: u64,
    }
    serde_json::from_slice(line).ok().map(|Pong { pong }| pong)
}

/// The slot that a worker gives back, if the line says that.
pub(super) fn parse_free(line: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Free {
        free: u64,
    }
    serde_json::from_slice(line).ok().map(|Free { free }| free)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadyLine {
    ready: Option<bool>,
    needs: Option<Value>,
    about: Option<Map<String, Value>>,
    #[serde(default)]
    warm_up: bool,
    #[serde(default)]
    ping: bool,
    error: Option<String>,
}

/// What a worker says first.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ready {
    pub(super) need: Need,
    pub(super) delivery: Delivery,
    pub(super) about: Option<Map<String, Value>>,
    /// Whether it wants a made-up request before it counts as ready.
    pub(super) warm_up: bool,
    /// Whether it answers pings.
    pub(super) pings: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Named {
    FrameCount,
    File,
    Images,
    Link,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Detailed {
    Images {
        batch: Option<u32>,
        #[serde(default)]
        shared: bool,
    },
    Frames {
        width: u32,
        height: u32,
        rate: Option<f64>,
        batch: Option<u32>,
        #[serde(default)]
        shared: bool,
    },
}

/// Reads a worker's first line.
pub(super) fn parse_ready(line: &[u8]) -> Result<Ready, String> {
    let bad = |what: String| format!("{}: {}", clean(&what), quote(line));
    let no_ready = |error| bad(format!("its first line is not a ready line ({error})"));
    let ready: ReadyLine = serde_json::from_slice(line).map_err(no_ready)?;
    let (needs, about, warm_up, pings) = match ready {
        ReadyLine { error: Some(error), .. } => {
            return Err(format!("it could not load its model: {}", clean(&error)));
        }
        ReadyLine { ready: Some(true), needs: Some(needs), about, warm_up, ping, .. } => {
            (needs, about, warm_up, ping)
        }
        _ => return Err(bad("its first line says neither ready and needs, nor error".to_owned())),
    };
    let (need, delivery) = match needs {
        Value::String(_) => {
            let need = match serde_json::from_value(needs).map_err(no_ready)? {
                Named::FrameCount => Need::FrameCount,
                Named::File => Need::File,
                Named::Images => Need::Images,
                Named::Link => Need::Link,
            };
            (need, Delivery::default())
        }
        _ => detailed(serde_json::from_value(needs).map_err(no_ready)?).map_err(bad)?,
    };
    if warm_up && !matches!(need, Need::Frames(_) | Need::Images) {
        return Err(bad(format!(
            "it asks for a warm-up, which shows frames or images, and needs {need}: let it warm up by itself before \
             it says that it is ready"
        )));
    }
    Ok(Ready { need, delivery, about, warm_up, pings })
}

fn detailed(needs: Detailed) -> Result<(Need, Delivery), String> {
    let (need, batch, shared) = match needs {
        Detailed::Images { batch, shared } => (Need::Images, batch, shared),
        Detailed::Frames { width, height, rate, batch, shared } => {
            if !(1..=MAX_SIDE).contains(&width) || !(1..=MAX_SIDE).contains(&height) {
                return Err(format!("it asks for frames with a side outside 1..={MAX_SIDE}"));
            }
            let sampling = rate.map_or(Sampling::Every, Sampling::PerSecond);
            let format = FrameFormat { width, height, sampling };
            // What no clip would ever be decoded to is better said now than at the first challenge.
            if let Err(error) = format.check(&MediaLimits::default()) {
                return Err(format!("it asks for frames that are never decoded ({error})"));
            }
            let most = BATCH_BYTES / format.frame_bytes();
            if batch.is_some_and(|batch| batch as usize > most) {
                return Err(format!(
                    "it asks for batches of more than {} MiB, or {most} such frames",
                    BATCH_BYTES >> 20
                ));
            }
            (Need::Frames(format), batch, shared)
        }
    };
    let batch = match batch {
        None => None,
        Some(batch) if (1..=MAX_BATCH).contains(&batch) => NonZeroUsize::new(batch as usize),
        Some(_) => return Err(format!("it asks for batches outside 1..={MAX_BATCH}")),
    };
    Ok((need, Delivery { batch, shared }))
}

/// The request that an answer line must belong to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    pub(super) id: u64,
    pub(super) wanted: Wanted,
}

/// Why an answer line is no answer.
#[derive(Debug, PartialEq)]
pub(super) enum NoAnswer {
    /// The model reported a failure or gave a value that a validator would reject; the worker is in step.
    Failed(String),
    /// The line does not answer the request; nobody knows what the worker would say next.
    Broken(String),
}

/// What an answer line must have for the worker to be in step, whatever the model says in it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnswerLine {
    id: u64,
    predictions: Option<IgnoredAny>,
    delivery: Option<IgnoredAny>,
    grades: Option<IgnoredAny>,
    objects: Option<IgnoredAny>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Soccer {
    predictions: Vec<Action>,
}

#[derive(Deserialize)]
struct Cricket {
    delivery: Map<String, Value>,
}

#[derive(Deserialize)]
struct Card {
    grades: Grades,
}

#[derive(Deserialize)]
struct Objects {
    objects: Vec<Map<String, Value>>,
}

/// Reads the line with which a worker answers a request.
pub(super) fn parse_answer(line: &[u8], expected: Expected) -> Result<Answer, NoAnswer> {
    let broken = |what: String| NoAnswer::Broken(format!("{}: {}", clean(&what), quote(line)));
    let failed = |what: String| NoAnswer::Failed(format!("bad value in its answer: {}", clean(&what)));
    let answer: AnswerLine = serde_json::from_slice(line)
        .map_err(|error| broken(format!("its answer cannot be read ({error})")))?;
    if answer.id != expected.id {
        return Err(broken(format!("it answered request {} when asked {}", answer.id, expected.id)));
    }
    let AnswerLine { id: _, predictions, delivery, grades, objects, error } = answer;
    match (expected.wanted, predictions, delivery, grades, objects, error) {
        (_, None, None, None, None, Some(error)) => Err(NoAnswer::Failed(clean(&error))),
        (Wanted::SoccerActions, Some(_), None, None, None, None) => {
            let Soccer { predictions } = content(line).map_err(failed)?;
            predictions.iter().try_for_each(check_action).map_err(failed)?;
            Ok(Answer::Actions(predictions))
        }
        (Wanted::CricketDelivery, None, Some(_), None, None, None) => {
            let Cricket { delivery } = content(line).map_err(failed)?;
            check_delivery(&delivery).map_err(failed)?;
            Ok(Answer::Delivery(delivery))
        }
        (Wanted::CardGrades, None, None, Some(_), None, None) => {
            let Card { grades } = content(line).map_err(failed)?;
            check_grades(&grades).map_err(failed)?;
            Ok(Answer::Grades(grades))
        }
        (Wanted::Objects { .. }, None, None, None, Some(_), None) => {
            let Objects { objects } = content(line).map_err(failed)?;
            check_objects(&objects).map_err(failed)?;
            Ok(Answer::Objects(objects))
        }
        (wanted, ..) => {
            let field = match wanted {
                Wanted::SoccerActions => "predictions",
                Wanted::CricketDelivery => "delivery",
                Wanted::CardGrades => "grades",
                Wanted::Objects { .. } => "objects",
            };
            Err(broken(format!("its answer has neither {field} alone nor error alone")))
        }
    }
}

/// Reads what the model says in a line that is known to be an answer.
fn content<T: DeserializeOwned>(line: &[u8]) -> Result<T, String> {
    const SHOWN: usize = 60;
    serde_json::from_slice(line).map_err(|error| {
        let read = &line[..error.column().min(line.len())];
        let last = &read[read.len().saturating_sub(SHOWN)..];
        format!("after {}: {error}", quote(last))
    })
}

/// The beginning of what a worker printed, safe to put into a log line.
pub(super) fn quote(bytes: &[u8]) -> String {
    const SHOWN: usize = 120;
    let rest = if bytes.len() > SHOWN { "…" } else { "" };
    let shown = &bytes[..bytes.len().min(SHOWN)];
    format!("`{}{rest}`", shown.escape_ascii())
}

/// A worker's own text, bounded and without control characters.
fn clean(text: &str) -> String {
    const SHOWN: usize = 500;
    text.chars().take(SHOWN).map(visible).collect()
}

/// A line of a worker's stderr without control characters: it cannot forge or repaint lines of the log.
pub(super) fn printable(line: &[u8]) -> String {
    String::from_utf8_lossy(line).chars().map(visible).collect()
}

fn visible(c: char) -> char {
    if c.is_control() { ' ' } else { c }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn soccer(line: &str) -> Result<Answer, NoAnswer> {
        let expected = Expected { id: 7, wanted: Wanted::SoccerActions };
        parse_answer(line.as_bytes(), expected)
    }

    fn other(wanted: Wanted, line: &str) -> Result<Answer, NoAnswer> {
        let expected = Expected { id: 7, wanted };
        parse_answer(line.as_bytes(), expected)
    }

    #[test]
    fn a_missing_confidence_is_certainty() {
        let answer = soccer(r#"{"id":7,"predictions":[{"frame":99,"action":"pass"}]}"#);
        let action = Action { frame: 99, action: "pass".to_owned(), confidence: 1.0 };
        assert_eq!(answer, Ok(Answer::Actions(vec![action])));
    }

    #[test]
    fn a_line_that_is_no_answer_breaks_the_worker_and_says_why() {
        for (line, what) in [
            ("hello", "cannot be read"),
            ("[]", "cannot be read"),
            (r#"{"id":7,"predictions":[{"frame":1,"action":"pass","confidence":NaN}]}"#, "cannot be read"),
            (r#"{"id":7,"predictions":[]"#, "cannot be read"),
            (r#"{"predictions":[]}"#, "missing field `id`"),
            (r#"{"id":8,"predictions":[]}"#, "answered request 8 when asked 7"),
            (r#"{"id":8,"predictions":[{"frame":-1}]}"#, "answered request 8 when asked 7"),
            (r#"{"id":7}"#, "neither predictions alone"),
            (r#"{"id":7,"predictions":null}"#, "neither predictions alone"),
            (r#"{"id":7,"grades":null,"delivery":{}}"#, "neither predictions alone"),
            (r#"{"id":7,"predictions":[],"error":"x"}"#, "neither predictions alone"),
            (r#"{"id":7,"predictions":[],"predictions":[]}"#, "duplicate field `predictions`"),
            (r#"{"id":7,"predictions":[],"more":1}"#, "unknown field `more`"),
        ] {
            match soccer(line) {
                Err(NoAnswer::Broken(text)) if text.contains(what) => {}
                other => panic!("{line}: {other:?} does not say {what:?}"),
            }
        }
    }

    #[test]
    fn a_bad_value_in_an_action_fails_the_request_and_is_named() {
        for (fields, what) in [
            (r#""frame":-1,"action":"pass""#, "integer `-1`"),
            (r#""frame":1.0,"action":"pass""#, "floating point `1.0`"),
            (r#""frame":"1","action":"pass""#, r#"string "1""#),
            (r#""frame":1,"action":null"#, "invalid type: null"),
            (r#""frame":1"#, "missing field `action`"),
            (
                r#""frame":1,"action":"pass","confidence":1.0000001"#,
                "confidence 1.0000001 of the action at frame 1",
            ),
            (r#""frame":1,"action":"pass","confidence":1e300"#, "confidence 1e300 of"),
            (r#""frame":1,"action":"pass","confidence":null"#, r#"\"confidence\":null`"#),
            (r#""frame":1,"action":"pass","confidance":1"#, "unknown field `confidance`"),
        ] {
            match soccer(&format!(r#"{{"id":7,"predictions":[{{{fields}}}]}}"#)) {
                Err(NoAnswer::Failed(text)) if text.contains(what) => {}
                other => panic!("{fields}: {other:?} does not say {what:?}"),
            }
        }
        let (long, escape) = ("x".repeat(10_000), r"\u001b[31m");
        for bad in [format!("[{:?}]", long), format!(r#"["{escape}"]"#), format!("{long:?}")] {
            match soccer(&format!(r#"{{"id":7,"predictions":{bad}}}"#)) {
                Err(NoAnswer::Failed(text)) => {
                    assert!(text.len() < 800 && !text.contains(char::is_control), "{text}");
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_reported_failure_is_not_a_broken_worker() {
        assert_eq!(
            soccer(r#"{"id":7,"error":"ValueError: no\nball"}"#),
            Err(NoAnswer::Failed("ValueError: no ball".to_owned()))
        );
    }

    #[test]
    fn a_delivery_has_known_fields_of_the_right_type() {
        let row = json!({"match": "x", "kph": 130, "runs": 4, "xlsx_overs": "12.3", "stump_y": null});
        let line = json!({"id": 7, "delivery": row}).to_string();
        assert_eq!(
            other(Wanted::CricketDelivery, &line),
            Ok(Answer::Delivery(row.as_object().unwrap().clone()))
        );
        for (bad, what) in [
            (r#"{"kph":"fast"}"#, r#"kph of a delivery is "fast" instead of a number"#),
            (r#"{"runs":1.5}"#, "runs of a delivery is 1.5 instead of an integer"),
            (r#"{"match":[1]}"#, "match of a delivery is [1] instead of text"),
            (r#"{"speed":1}"#, r#"unknown field "speed""#),
            ("[]", "expected a map"),
        ] {
            match other(Wanted::CricketDelivery, &format!(r#"{{"id":7,"delivery":{bad}}}"#)) {
                Err(NoAnswer::Failed(text)) if text.contains(what) => {}
                other => panic!("{bad}: {other:?} does not say {what:?}"),
            }
        }
    }

    #[test]
    fn grades_go_from_1_to_10() {
        let line = |grade: &str| {
            format!(
                r#"{{"id":7,"grades":{{"card_grade":{grade},"surface":1,"centering":10,"edges":5,"corners":5}}}}"#
            )
        };
        assert!(other(Wanted::CardGrades, &line("10")).is_ok());
        for bad in ["0", "11", "300", "5.5", "null"] {
            match other(Wanted::CardGrades, &line(bad)) {
                Err(NoAnswer::Failed(text)) if text.contains(bad) => {}
                other => panic!("{bad}: {other:?}"),
            }
        }
    }

    #[test]
    fn the_first_line_states_the_need() {
        let need = |needs: &str| {
            parse_ready(format!(r#"{{"ready":true,"needs":{needs}}}"#).as_bytes()).map(|ready| ready.need)
        };
        assert_eq!(need(r#""frame_count""#), Ok(Need::FrameCount));
        assert_eq!(need(r#""file""#), Ok(Need::File));
        assert_eq!(need(r#""images""#), Ok(Need::Images));
        assert_eq!(need(r#""link""#), Ok(Need::Link));
        let format = |sampling| Need::Frames(FrameFormat { width: 64, height: 36, sampling });
        assert_eq!(need(r#"{"frames":{"width":64,"height":36,"rate":null}}"#), Ok(format(Sampling::Every)));
        assert_eq!(
            need(r#"{"frames":{"width":64,"height":36,"rate":12.5}}"#),
            Ok(format(Sampling::PerSecond(12.5)))
        );
        for bad in [
            r#""nothing""#,
            r#"{"frames":{"width":0,"height":36}}"#,
            r#"{"frames":{"width":64,"height":90000}}"#,
            r#"{"frames":{"width":64,"height":36,"rate":0}}"#,
        ] {
            assert!(need(bad).is_err(), "{bad}");
        }
        assert_eq!(
            parse_ready(br#"{"error":"ImportError: torch"}"#),
            Err("it could not load its model: ImportError: torch".to_owned())
        );
        assert!(parse_ready(br#"{"ready":false,"needs":"file"}"#).is_err());
    }

    #[test]
    fn what_a_model_says_of_itself_is_kept() {
        let ready = parse_ready(br#"{"ready":true,"needs":"images","about":{"model_loaded":"x"}}"#).unwrap();
        assert_eq!(Value::from(ready.about.unwrap()), json!({"model_loaded": "x"}));
    }

    #[test]
    fn objects_are_checked_and_the_bad_one_is_named() {
        let wanted = Wanted::Objects { batch_size: 64, n_keypoints: 32 };
        let ask = |frame: &str| other(wanted, &format!(r#"{{"id":7,"objects":[{frame}]}}"#));
        for good in [
            r#"{"frame_id":-1}"#,
            r#"{"frame_id":0,"boxes":null,"polygons":null,"keypoints":null,"action":"pass"}"#,
            r#"{"frame_id":0,"boxes":[{"x1":0.5,"y1":-3,"x2":1,"y2":1,"cls_id":0,"conf":null,"team_id":"1"}]}"#,
            r#"{"frame_id":0,"polygons":[{"cls_id":0,"masks":[[1,2]]}],"keypoints":[[0,0],[1.5,2]]}"#,
        ] {
            match ask(good) {
                Ok(Answer::Objects(frames)) => {
                    assert_eq!(Value::from(frames[0].clone()).to_string(), good, "nothing is lost");
                }
                refused => panic!("{good}: {refused:?}"),
            }
        }
        for (bad, what) in [
            ("{}", "result 0: frame_id is missing, not an integer"),
            (r#"{"frame_id":"1"}"#, "result 0: frame_id is \"1\", not an integer"),
            (r#"{"frame_id":1,"boxes":3}"#, "frame 1: boxes is 3, not a list"),
            (r#"{"frame_id":1,"boxes":[[1,2,3,4]]}"#, "frame 1: boxes[0] is [1,2,3,4], not an object"),
            (r#"{"frame_id":1,"boxes":[{"x1":1,"y1":null}]}"#, "frame 1: boxes[0].y1 is null, not a number"),
            (
                r#"{"frame_id":1,"boxes":[{"x1":1,"y1":1,"x2":2,"y2":2,"cls_id":0.5}]}"#,
                "frame 1: boxes[0].cls_id is 0.5, not an integer",
            ),
            (
                r#"{"frame_id":1,"boxes":[{"x1":1,"y1":1,"x2":2,"y2":2,"cls_id":0,"conf":"high"}]}"#,
                "frame 1: boxes[0].conf is \"high\", not a number",
            ),
            (r#"{"frame_id":1,"polygons":[{"cls_id":0}]}"#, "frame 1: polygons[0] has no points"),
            (
                r#"{"frame_id":1,"polygons":[{"cls_id":0,"points":[[1,2],[1]]}]}"#,
                "frame 1: polygons[0].points[1] is [1], not a pair of numbers",
            ),
            (
                r#"{"frame_id":1,"keypoints":[[1,2,3]]}"#,
                "frame 1: keypoints[0] is [1,2,3], not a pair of numbers",
            ),
        ] {
            let text = format!("bad value in its answer: {what}");
            assert_eq!(ask(bad), Err(NoAnswer::Failed(text)));
        }
        assert!(matches!(other(wanted, r#"{"id":7,"predictions":[]}"#), Err(NoAnswer::Broken(_))));
    }

    #[test]
    fn a_quote_is_short_and_escaped() {
        let line = [b"\x1b[31m\n".as_slice(), &[b'x'; 10_000]].concat();
        let quoted = quote(&line);
        assert!(quoted.starts_with(r"`\x1b[31m\nxxx"), "{quoted}");
        assert!(quoted.chars().count() < 140 && quoted.ends_with("x…`"), "{quoted}");
    }

    /// A frame's result that is right or wrong in a place or two.
    fn frame() -> impl Strategy<Value = Value> {
        let number = || {
            prop_oneof![
                8 => any::<i32>().prop_map(Value::from),
                2 => (-1e6f64..1e6).prop_map(Value::from),
                1 => "[a-z]{0,3}".prop_map(Value::from),
                1 => Just(Value::Null),
            ]
        };
        let pair = prop::collection::vec(number(), 1..4).prop_map(Value::from);
        let one = prop::collection::hash_map("x1|y1|x2|y2|cls_id|conf|points|team_id", number(), 0..8)
            .prop_map(|fields| Value::Object(fields.into_iter().collect()));
        let list = prop::collection::vec(prop_oneof![pair, one, number()], 0..4).prop_map(Value::from);
        prop::collection::hash_map(
            "frame_id|boxes|polygons|keypoints|other",
            prop_oneof![list, number()],
            0..5,
        )
        .prop_map(|fields| Value::Object(fields.into_iter().collect()))
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_keep_every_rule(line in prop::collection::vec(any::<u8>(), 0..200)) {
            let expected = Expected { id: 7, wanted: Wanted::SoccerActions };
            if let Err(NoAnswer::Broken(text) | NoAnswer::Failed(text)) = parse_answer(&line, expected) {
                prop_assert!(!text.chars().any(char::is_control));
            }
        }

        #[test]
        fn objects_are_passed_on_as_they_are_or_refused_with_a_reason(
            rows in prop::collection::vec(frame(), 0..4)
        ) {
            let wanted = Wanted::Objects { batch_size: 64, n_keypoints: 32 };
            match other(wanted, &json!({"id": 7, "objects": rows}).to_string()) {
                Ok(Answer::Objects(read)) => {
                    let read: Vec<Value> = read.into_iter().map(Value::from).collect();
                    prop_assert_eq!(read, rows);
                }
                Err(NoAnswer::Failed(text)) => prop_assert!(text.contains("bad value in its answer: "), "{}", text),
                unexpected => prop_assert!(false, "{:?}", unexpected),
            }
        }

        #[test]
        fn an_answer_passes_exactly_when_all_its_actions_are_in_range(
            actions in prop::collection::vec((any::<u64>(), "[a-z_]{0,12}", -0.5f64..1.5), 0..8)
        ) {
            let rows: Vec<Value> = actions
                .iter()
                .map(|(frame, action, confidence)| json!({"frame": frame, "action": action, "confidence": confidence}))
                .collect();
            let good = actions.iter().all(|(_, _, c)| (0.0..=1.0).contains(c));
            match soccer(&json!({"id": 7, "predictions": rows}).to_string()) {
                Ok(Answer::Actions(read)) => {
                    prop_assert!(good);
                    prop_assert_eq!(read.len(), actions.len());
                    for (row, (frame, action, _)) in read.iter().zip(&actions) {
                        prop_assert_eq!((row.frame, &row.action), (*frame, action));
                    }
                }
                refused => {
                    prop_assert!(matches!(refused, Err(NoAnswer::Failed(_))));
                    prop_assert!(!good);
                }
            }
        }
    }
}
