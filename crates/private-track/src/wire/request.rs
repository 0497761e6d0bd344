//! A challenge as it arrives: `POST /challenge`.
//!
//! Private-track reference, section 1.1. The current era's rules serve both eras: what a validator of the
//! document era sends is valid under them too. Fetching what the challenge points at is left to the server.

use adit_python::json::{Json, JsonError};
use adit_python::scalar::Refusal;
use adit_scoring::soccer::{Era, read_frame};

use super::lax::{Errors, FieldError, Loc, summary};

/// Most JSON values of a challenge, unknown fields included. Frames take four each.
const MAX_VALUES: usize = 20_000;

/// A challenge that follows the schema. URLs are any text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChallengeRequest {
    /// The validator's name for the challenge; comes back in the answer.
    pub challenge_id: String,
    /// A clip.
    pub video_url: Option<String>,
    /// A picture of a card, front and back.
    pub image_url: Option<String>,
    /// Single frames.
    pub frames: Option<Vec<ChallengeFrame>>,
}

/// One of a challenge's frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChallengeFrame {
    /// The frame's number; any integer from 0, unsorted and with repetitions.
    pub frame_id: u128,
    /// Where the picture is.
    pub url: Option<String>,
    /// The picture itself in base64. At least one of `url` and `data` is not empty.
    pub data: Option<String>,
}

/// What a challenge asks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject<'a> {
    /// A picture of a card.
    Picture(&'a str),
    /// A clip: soccer or cricket, which no field tells.
    Video(&'a str),
    /// Single frames.
    Frames(&'a [ChallengeFrame]),
}

/// A body that is refused, with the answer to give.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Rejection {
    /// The body is no challenge: 422.
    #[error("the body is no challenge: {}", summary(.0))]
    Invalid(Vec<FieldError>),
    /// The body is no text that Python reads: 400.
    #[error("the body cannot be read: {0}")]
    Unreadable(JsonError),
}

impl Rejection {
    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Invalid(_) => 422,
            Self::Unreadable(_) => 400,
        }
    }

    /// The body of the answer, as FastAPI writes it.
    #[must_use]
    pub fn body(&self) -> String {
        let detail = match self {
            Self::Invalid(errors) => Json::Array(errors.iter().map(FieldError::to_json).collect()),
            Self::Unreadable(_) => Json::from("There was an error parsing the body"),
        };
        Json::object([("detail", detail)]).to_text()
    }
}

/// Reads a challenge from a body and its `Content-Type` header.
///
/// # Errors
/// [`Rejection::Invalid`] with every error of the body, [`Rejection::Unreadable`] for bytes that are no UTF-8,
/// for nesting and integers beyond all measure.
pub fn parse(body: &[u8], content_type: Option<&str>) -> Result<ChallengeRequest, Rejection> {
    parse_as(Era::Head, body, content_type)
}

/// As [`parse`], under the schema that miners of an era have. The document era knows `challenge_id` and
/// `video_url`, both required.
///
/// # Errors
/// As [`parse`].
pub fn parse_as(era: Era, body: &[u8], content_type: Option<&str>) -> Result<ChallengeRequest, Rejection> {
    let mut errors = Errors::new(&[Loc::Key("body")]);
    let document = document(body, content_type)?;
    let request = match &document {
        Json::Null => {
            errors.push("missing", "Field required", &document, None);
            None
        }
        document => object(&mut errors, document, |errors, document| match era {
            Era::DocumentEra => document_era_request(errors, document),
            Era::Head => request(errors, document),
        }),
    };
    request.filter(|_| errors.is_empty()).ok_or_else(|| Rejection::Invalid(errors.into_list()))
}

impl ChallengeRequest {
    /// What the challenge asks about. Where it has several, a picture goes before a clip and a clip before
    /// frames, as upstream takes them.
    #[must_use]
    pub fn subject(&self) -> Subject<'_> {
        let filled = |url: &'_ Option<String>| url.as_deref().is_some_and(|url| !url.is_empty());
        match (&self.image_url, &self.video_url) {
            (Some(url), _) if filled(&self.image_url) => Subject::Picture(url),
            (_, Some(url)) if filled(&self.video_url) => Subject::Video(url),
            _ => Subject::Frames(self.frames.as_deref().unwrap_or_default()),
        }
    }
}

/// The body as a JSON value: null for none, and text for a content type that is no JSON's.
fn document(body: &[u8], content_type: Option<&str>) -> Result<Json, Rejection> {
    if body.is_empty() {
        return Ok(Json::Null);
    }
    if !is_json(content_type) {
        return Ok(Json::String(String::from_utf8_lossy(body).into_owned()));
    }
    Json::parse_within(body, MAX_VALUES).map_err(|error| match error {
        JsonError::Syntax { message, position, .. } => Rejection::Invalid(vec![FieldError {
            kind: "json_invalid",
            loc: vec![Loc::Key("body"), Loc::Index(position)],
            msg: "JSON decode error".to_owned(),
            input: Json::object([]),
            ctx: Some(Json::object([("error", Json::from(message))])),
        }]),
        other => Rejection::Unreadable(other),
    })
}

/// Whether a body is to be read as JSON: `application/json`, `application/…+json`, and without a type.
fn is_json(content_type: Option<&str>) -> bool {
    let Some(content_type) = content_type.filter(|text| !text.is_empty()) else {
        return true;
    };
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.split_once('/') {
        Some(("application", subtype)) => {
            !subtype.contains('/') && (subtype == "json" || subtype.ends_with("+json"))
        }
        _ => false,
    }
}

fn object<T>(
    errors: &mut Errors,
    value: &Json,
    read: impl FnOnce(&mut Errors, &Json) -> Option<T>,
) -> Option<T> {
    if let Json::Object(_) = value {
        return read(errors, value);
    }
    let msg = "Input should be a valid dictionary or object to extract fields from";
    errors.push("model_attributes_type", msg, value, None);
    None
}

/// Text without unpaired surrogates. Upstream accepts them and then fails, with a 500, to write its answer.
fn text(errors: &mut Errors, value: &Json) -> Option<String> {
    let read = match value {
        Json::BrokenString(_) => Err(Refusal::StringUnicode),
        value => value.scalar().text(),
    };
    errors.keep(read, value)
}

fn document_era_request(errors: &mut Errors, document: &Json) -> Option<ChallengeRequest> {
    let challenge_id = errors.required(document, "challenge_id", text);
    let video_url = errors.required(document, "video_url", text);
    Some(ChallengeRequest {
        challenge_id: challenge_id?,
        video_url: Some(video_url?),
        image_url: None,
        frames: None,
    })
}

fn request(errors: &mut Errors, document: &Json) -> Option<ChallengeRequest> {
    let challenge_id = errors.required(document, "challenge_id", text);
    let video_url = errors.optional(document, "video_url", text);
    let image_url = errors.optional(document, "image_url", text);
    let frames = errors.optional(document, "frames", |errors, value| {
        errors.list(value, |errors, item| object(errors, item, frame))
    });
    let request = ChallengeRequest { challenge_id: challenge_id?, video_url, image_url, frames };
    if errors.is_empty() && request.subject() == Subject::Frames(&[]) {
        errors.value_error("ChallengeRequest requires video_url, image_url, or frames", document);
    }
    Some(request)
}

fn frame(errors: &mut Errors, item: &Json) -> Option<ChallengeFrame> {
    let mut own = errors.fork();
    let frame_id =
        own.required(item, "frame_id", |errors, value| errors.keep(read_frame(value.scalar()), value));
    let url = own.optional(item, "url", text);
    let data = own.optional(item, "data", text);
    if own.is_empty() && [&url, &data].into_iter().flatten().all(String::is_empty) {
        own.value_error("ChallengeFrame requires either url or data", item);
    }
    errors.join(own);
    Some(ChallengeFrame { frame_id: frame_id?, url, data })
}

#[cfg(test)]
mod tests {
    use super::{ChallengeFrame, Rejection, Subject, parse};

    const BODY: &[u8] = br#"{"challenge_id":"a","video_url":"b"}"#;

    fn refusal(body: &[u8], content_type: Option<&str>) -> (u16, String) {
        let rejection = parse(body, content_type).unwrap_err();
        (rejection.status(), rejection.body())
    }

    #[test]
    fn json_is_read_under_these_content_types() {
        for content_type in [
            None,
            Some(""),
            Some("application/json"),
            Some(" APPLICATION/json ; charset=utf-8"),
            Some("application/vnd.x+JSON"),
        ] {
            assert!(parse(BODY, content_type).is_ok(), "{content_type:?}");
        }
    }

    #[test]
    fn under_another_content_type_the_body_is_text() {
        for content_type in ["text/plain", "application/json/x", "json", "application/x-json", "text/json"] {
            assert_eq!(
                refusal(BODY, Some(content_type)),
                (
                    422,
                    r#"{"detail":[{"type":"model_attributes_type","loc":["body"],"msg":"Input should be a valid dictionary or object to extract fields from","input":"{\"challenge_id\":\"a\",\"video_url\":\"b\"}"}]}"#
                        .to_owned()
                )
            );
        }
    }

    #[test]
    fn malformed_json_is_refused_as_fastapi_does() {
        assert_eq!(
            refusal("\u{feff}[\"é\",".as_bytes(), None),
            (
                422,
                r#"{"detail":[{"type":"json_invalid","loc":["body",5],"msg":"JSON decode error","input":{},"ctx":{"error":"Expecting value"}}]}"#
                    .to_owned()
            )
        );
    }

    #[test]
    fn a_body_that_python_cannot_read_at_all_is_a_400() {
        let detail = r#"{"detail":"There was an error parsing the body"}"#.to_owned();
        for body in [b"\xff".to_vec(), "[".repeat(2000).into_bytes(), "9".repeat(4301).into_bytes()] {
            assert_eq!(refusal(&body, None), (400, detail.clone()));
        }
    }

    #[test]
    fn all_errors_come_in_the_schemas_order() {
        let body =
            br#"{"frames":[{"frame_id":-1},5,{"frame_id":"x","url":3,"data":null},{"frame_id":1,"url":""}],"video_url":[],"challenge_id":5}"#;
        let Err(Rejection::Invalid(errors)) = parse(body, None) else { panic!("accepted") };
        let kinds: Vec<&str> = errors.iter().map(|error| error.kind).collect();
        assert_eq!(
            kinds,
            [
                "string_type",
                "string_type",
                "greater_than_equal",
                "model_attributes_type",
                "int_parsing",
                "string_type",
                "value_error"
            ]
        );
    }

    #[test]
    fn a_value_error_echoes_the_object_it_is_about() {
        assert_eq!(
            refusal(br#"{"challenge_id":"a","frames":[]}"#, None).1,
            r#"{"detail":[{"type":"value_error","loc":["body"],"msg":"Value error, ChallengeRequest requires video_url, image_url, or frames","input":{"challenge_id":"a","frames":[]},"ctx":{"error":{}}}]}"#
        );
    }

    #[test]
    fn a_nan_that_upstream_cannot_echo_is_echoed_as_text() {
        let (status, body) = refusal(br#"{"challenge_id":NaN,"video_url":"b"}"#, None);
        assert_eq!(status, 422);
        assert!(body.contains(r#""input":"NaN""#), "{body}");
    }

    #[test]
    fn an_unpaired_surrogate_is_refused_in_every_field() {
        for body in [
            &br#"{"challenge_id":"\ud800","video_url":"b"}"#[..],
            br#"{"challenge_id":"a","video_url":"\ud800"}"#,
            br#"{"challenge_id":"a","image_url":"\ud800"}"#,
            br#"{"challenge_id":"a","frames":[{"frame_id":1,"url":"\ud800"}]}"#,
            br#"{"challenge_id":"a","frames":[{"frame_id":"\ud800","url":"b"}]}"#,
        ] {
            let Err(Rejection::Invalid(errors)) = parse(body, None) else { panic!("accepted") };
            assert_eq!(errors[0].kind, "string_unicode");
        }
    }

    #[test]
    fn a_flood_of_values_is_refused_before_it_is_in_memory() {
        let body =
            format!(r#"{{"challenge_id":"a","video_url":"b","x":[{}1]}}"#, "{\"\":0},".repeat(1_000_000));
        assert_eq!(refusal(body.as_bytes(), None).0, 400);
    }

    #[test]
    fn a_flood_of_errors_gets_a_small_answer() {
        let body = format!(r#"{{"challenge_id":"a","frames":[{}1]}}"#, "[1,2,3],".repeat(4_000));
        let (status, answer) = refusal(body.as_bytes(), None);
        assert_eq!(status, 422);
        assert!(answer.len() < 50_000, "{}", answer.len());
    }

    #[test]
    fn a_picture_goes_before_a_clip_and_a_clip_before_frames() {
        let subject = |fields: &str| {
            let body = format!(r#"{{"challenge_id":"a",{fields},"frames":[{{"frame_id":7,"data":"d"}}]}}"#);
            parse(body.as_bytes(), None).unwrap()
        };
        assert_eq!(subject(r#""video_url":"v","image_url":"i""#).subject(), Subject::Picture("i"));
        assert_eq!(subject(r#""video_url":"v","image_url":"""#).subject(), Subject::Video("v"));
        let frame = ChallengeFrame { frame_id: 7, url: None, data: Some("d".to_owned()) };
        assert_eq!(subject(r#""video_url":"""#).subject(), Subject::Frames(&[frame]));
    }
}
