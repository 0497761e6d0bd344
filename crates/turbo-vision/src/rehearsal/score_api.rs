//! Score's API of challenges (section 9.1). It is made for validators: a miner's hotkey may be refused.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use adit_keys::Keypair;
use adit_outbound::{Client, FetchError, Limits};
use http::{HeaderMap, HeaderValue, Method, header};
use serde_json::{Value, json};
use tokio::time::Instant;
use url::Url;

use super::Era;

const MAX_BYTES: u64 = 64 << 20;
const PATIENCE: Duration = Duration::from_secs(60);
/// Wait before the one repetition of a request that the API was too slow for.
const PAUSE: Duration = Duration::from_secs(2);

/// The API, asked in the name of a hotkey.
#[derive(Debug)]
pub struct ScoreApi<'a> {
    /// With which client.
    pub client: &'a Client,
    /// Its base URL, such as `https://api.scorevision.io`.
    pub base: Url,
    /// Whose questions they are.
    pub hotkey: &'a Keypair,
    /// The subnet.
    pub netuid: u16,
}

/// Why there is no challenge, or no truth.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScoreApiError {
    /// Nothing is handed out now.
    #[error("Score's API has no challenge: no evaluation window is open (404)")]
    NoWindow,
    /// Too many questions.
    #[error("Score's API limits how often a hotkey may ask (409)")]
    RateLimited,
    /// The Manifest is over.
    #[error("Score's API refuses the Manifest as expired (410)")]
    Expired,
    /// This hotkey may not.
    #[error("Score's API does not serve this hotkey ({0}): challenges are for validators")]
    NotServed(u16),
    /// Any other answer.
    #[error("Score's API answered {status} to {what}: {said}")]
    Status {
        /// The question.
        what: &'static str,
        /// The status.
        status: u16,
        /// What it said.
        said: String,
    },
    /// No answer.
    #[error("cannot ask Score's API for {what}: {source}")]
    Fetch {
        /// The question.
        what: &'static str,
        /// What went wrong.
        source: FetchError,
    },
    /// An answer that says nothing.
    #[error("Score's API answered {what} with what is none: {why}")]
    Shape {
        /// The question.
        what: &'static str,
        /// What is missing.
        why: String,
    },
}

/// A challenge as it is handed out.
#[derive(Debug, Clone, PartialEq)]
pub struct Challenge {
    /// Its number, for the truth.
    pub task_id: Value,
    /// `challenge_type_id`; null where none is known.
    pub type_id: Value,
    /// `seed`, where there is one.
    pub seed: Option<Value>,
    /// Frames a second.
    pub fps: Option<u32>,
    /// What is shown.
    pub subject: Subject,
}

/// What a challenge shows.
#[derive(Debug, Clone, PartialEq)]
pub enum Subject {
    /// A clip's URL.
    Clip(String),
    /// Pictures.
    Frames(Vec<Shot>),
}

/// A frame of a challenge: one of the two says where its picture is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shot {
    /// The frame's number.
    pub number: i64,
    /// The picture's URL.
    pub url: Option<String>,
    /// The picture in base64, which goes before the URL.
    pub data: Option<String>,
}

impl ScoreApi<'_> {
    /// The next challenge, for an element (its id and `challenge_type_version`) where validators name one.
    ///
    /// # Errors
    /// As [`ScoreApiError`] lists.
    pub async fn next(
        &self,
        era: Era,
        element: Option<(&str, Option<&str>)>,
    ) -> Result<Challenge, ScoreApiError> {
        let what = "a challenge";
        let path = if era == Era::Document { "/api/tasks/next/v2" } else { "/api/tasks/next" };
        let (id, version) = element.unzip();
        // Where the element does not say it, its name does.
        let version = version.flatten().or_else(|| Some(id?.rsplit_once('@')?.1));
        let more = [("element_id", id), ("challenge_type_version", version)];
        let mut answer = self.ask(what, Method::GET, path, &more, None).await;
        if matches!(answer, Err(ScoreApiError::Status { status: 504, .. })) {
            tokio::time::sleep(PAUSE).await;
            answer = self.ask(what, Method::GET, path, &more, None).await;
        }
        let answer = answer.map_err(|error| match error {
            ScoreApiError::Status { status: 404, .. } => ScoreApiError::NoWindow,
            ScoreApiError::Status { status: 409, .. } => ScoreApiError::RateLimited,
            ScoreApiError::Status { status: 410, .. } => ScoreApiError::Expired,
            other => other,
        })?;
        challenge(&answer).map_err(|why| ScoreApiError::Shape { what, why })
    }

    /// What is in a challenge, once it is answered: the `ground_truth` that validators score by.
    ///
    /// # Errors
    /// As [`ScoreApiError`] lists.
    pub async fn ground_truth(&self, task: u64, element: &str) -> Result<Value, ScoreApiError> {
        let more = [("element_id", Some(element))];
        let body = json!({"challenge_id": task});
        self.ask("that a challenge is done", Method::POST, "/api/tasks/complete", &more, Some(body)).await?;
        let path = format!("/api/tasks/{task}/ground-truth");
        let what = "the truth of a challenge";
        let answer = self.ask(what, Method::GET, &path, &more, None).await?;
        match &answer["ground_truth"] {
            Value::Null => Err(ScoreApiError::Shape { what, why: "there is no `ground_truth`".to_owned() }),
            truth => Ok(truth.clone()),
        }
    }

    async fn ask(
        &self,
        what: &'static str,
        method: Method,
        path: &str,
        more: &[(&str, Option<&str>)],
        body: Option<Value>,
    ) -> Result<Value, ScoreApiError> {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        let nonce = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos().to_string();
        let signature = format!("0x{}", hex::encode(self.hotkey.sign(nonce.as_bytes()).to_bytes()));
        url.query_pairs_mut()
            .append_pair("validator_hotkey", &self.hotkey.hotkey().to_string())
            .append_pair("signature", &signature)
            .append_pair("nonce", &nonce)
            .append_pair("netuid", &self.netuid.to_string())
            .extend_pairs(more.iter().filter_map(|(name, value)| Some((name, (*value)?))));
        let mut headers = HeaderMap::new();
        if body.is_some() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let limits = Limits::new(Instant::now() + PATIENCE, MAX_BYTES);
        let body = body.map_or_else(String::new, |body| body.to_string());
        let answer = self.client.request(method, url.as_str(), headers, body, &limits).await;
        let answer = answer.map_err(|source| ScoreApiError::Fetch { what, source })?;
        match answer.status.as_u16() {
            200..300 => serde_json::from_slice(&answer.body)
                .map_err(|error| ScoreApiError::Shape { what, why: error.to_string() }),
            status @ (401 | 403) => Err(ScoreApiError::NotServed(status)),
            status => {
                let said = String::from_utf8_lossy(&answer.body).chars().take(200).collect();
                Err(ScoreApiError::Status { what, status, said })
            }
        }
    }
}

fn challenge(answer: &Value) -> Result<Challenge, String> {
    let payload = &answer["payload"];
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let frames = frames(payload)?;
    let subject = if frames.is_empty() {
        let places =
            [&answer["video_url"], &answer["asset_url"], &payload["clip_url"], &payload["video_url"]];
        let url = places.into_iter().find_map(text).ok_or("it has neither a video URL nor frames")?;
        let url = stable(&url);
        match picture(&url) {
            true => Subject::Frames(vec![Shot { number: 0, url: Some(url), data: None }]),
            false => Subject::Clip(url),
        }
    } else {
        Subject::Frames(frames)
    };
    let task_id = if answer["task_id"].is_null() { &answer["id"] } else { &answer["task_id"] };
    let fps = [&answer["fps"], &payload["fps"]].into_iter().find_map(Value::as_f64);
    Ok(Challenge {
        task_id: task_id.clone(),
        type_id: type_id(answer),
        seed: answer.get("seed").cloned(),
        fps: fps.map(|fps| fps as u32).filter(|fps| *fps > 0),
        subject,
    })
}

/// Where a frame's number has the first of its names and is 0, validators look at the others; one that has no others is
/// lost to them, and so to us.
fn frames(payload: &Value) -> Result<Vec<Shot>, String> {
    let number = |frame: &Value| {
        let given = ["frame_id", "frameid", "id"].into_iter().map(|name| &frame[name]);
        let given: Vec<&Value> = given.filter(|value| !value.is_null()).collect();
        let falsy = |value: &&&Value| {
            value.as_i64() != Some(0) && value.as_str() != Some("") && value.as_bool() != Some(false)
        };
        let chosen = given.iter().find(falsy).copied().or_else(|| frame.get("id"))?;
        chosen.as_i64().or_else(|| chosen.as_str()?.parse().ok())
    };
    let mut frames = Vec::new();
    for frame in payload["frames"].as_array().into_iter().flatten() {
        let url = frame["url"].as_str().filter(|url| !url.is_empty()).map(stable);
        let data = frame["data"].as_str().filter(|data| !data.is_empty()).map(str::to_owned);
        if let Some(number) = number(frame).filter(|_| url.is_some() || data.is_some()) {
            frames.push(Shot { number, url, data });
        }
    }
    frames.sort_by_key(|shot| shot.number);
    if frames.windows(2).any(|pair| pair[0].number == pair[1].number) {
        return Err("two of its frames have one number".to_owned());
    }
    Ok(frames)
}

fn type_id(answer: &Value) -> Value {
    let numbered = [&answer["challenge_type_id"], &answer["challenge_type"]].into_iter();
    let number = |value: &Value| value.as_i64().or_else(|| value.as_str()?.trim().parse().ok());
    if let Some(number) = numbered.clone().find_map(number) {
        return json!(number);
    }
    let name = answer["challenge_type"].as_str().unwrap_or_default().trim().to_lowercase();
    match name.as_str() {
        "football" | "soccer" => json!(0),
        "cricket" => json!(1),
        "basketball" => json!(2),
        _ => Value::Null,
    }
}

/// A presigned URL of a challenge's object expires; the public host has the same object.
fn stable(url: &str) -> String {
    const MARKER: &str = "/challenge-objects/";
    let Ok(parsed) = Url::parse(url) else { return url.to_owned() };
    let Some(at) = parsed.path().find(MARKER) else { return url.to_owned() };
    let presigned =
        parsed.query_pairs().any(|(name, _)| name == "X-Amz-Algorithm" || name == "X-Amz-Signature");
    let storage = parsed.host_str().is_some_and(|host| host.ends_with(".r2.cloudflarestorage.com"));
    match presigned || storage {
        true => format!("https://manako.scoredata.me{}", &parsed.path()[at..]),
        false => url.to_owned(),
    }
}

fn picture(url: &str) -> bool {
    let path = Url::parse(url).map(|url| url.path().to_lowercase()).unwrap_or_default();
    [".png", ".jpg", ".jpeg", ".webp", ".bmp"].iter().any(|end| path.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_read_from_any_of_its_forms() {
        let clip = challenge(
            &json!({"id": 7, "challenge_type": "soccer", "payload": {"clip_url": "https://h/c.mp4"}}),
        );
        let clip = clip.unwrap();
        assert_eq!((clip.task_id, clip.type_id), (json!(7), json!(0)));
        assert_eq!(clip.subject, Subject::Clip("https://h/c.mp4".to_owned()));
        let picture =
            challenge(&json!({"task_id": "3", "video_url": "https://h/p.JPG?x=1", "fps": 25})).unwrap();
        assert_eq!(
            picture.subject,
            Subject::Frames(vec![Shot {
                number: 0,
                url: Some("https://h/p.JPG?x=1".to_owned()),
                data: None
            }])
        );
        assert_eq!((picture.fps, picture.type_id), (Some(25), Value::Null));
        let frames = challenge(&json!({"payload": {"frames": [
            {"frame_id": "12", "url": "https://h/12.png"}, {"frameid": 4, "data": "AAAA"}, {"id": 9}, 5,
        ]}}));
        let Subject::Frames(frames) = frames.unwrap().subject else { panic!("frames") };
        assert_eq!(frames.iter().map(|shot| shot.number).collect::<Vec<_>>(), [4, 12]);
    }

    #[test]
    fn what_shows_nothing_is_refused() {
        for (answer, said) in [
            (json!({}), "neither"),
            (json!({"payload": {"frames": []}}), "neither"),
            (json!({"payload": {"frames": [{"id": 1, "data": "A"}, {"id": 1, "data": "B"}]}}), "one number"),
        ] {
            assert!(challenge(&answer).unwrap_err().contains(said), "{answer}");
        }
    }

    #[test]
    fn a_url_that_expires_is_replaced_by_the_public_one() {
        let public = "https://manako.scoredata.me/challenge-objects/a/b.png";
        for url in [
            "https://x.r2.cloudflarestorage.com/bucket/challenge-objects/a/b.png",
            "https://h.example/challenge-objects/a/b.png?X-Amz-Signature=1",
        ] {
            assert_eq!(stable(url), public);
        }
        for kept in
            ["https://h.example/challenge-objects/a/b.png", "https://h.example/c.mp4?X-Amz-Signature=1"]
        {
            assert_eq!(stable(kept), kept);
        }
    }
}
