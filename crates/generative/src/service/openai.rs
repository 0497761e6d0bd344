//! OpenAI: pictures by one call, which answers them or a link to them; videos by a job, where the API still has
//! them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::{Value, json};

use super::parameters::Parameters;
use super::plan::{Body, Part, Plan, PlanError};
use super::{JobId, Location, Polled, Provider, Started, Unreadable};
use crate::{Modality, Usd};

/// A clock of the provider's may be this far behind ours.
const SKEW: Duration = Duration::from_secs(60);

pub(super) fn image(
    prompt: &str,
    parameters: Parameters<'_>,
    model: &str,
    price: Option<Usd>,
) -> Result<Plan, PlanError> {
    let width = parameters.integer("width")?.unwrap_or(1024);
    let height = parameters.integer("height")?.unwrap_or(1024);
    let quality = parameters.text("quality")?;
    let (body, cost) = if model.starts_with("dall-e") {
        let size = match width.cmp(&height) {
            std::cmp::Ordering::Equal => "1024x1024",
            std::cmp::Ordering::Greater => "1792x1024",
            std::cmp::Ordering::Less => "1024x1792",
        };
        let quality = quality.unwrap_or_else(|| "standard".to_owned());
        let cost = match (size, quality.as_str()) {
            ("1024x1024", "hd") => Usd::mills(80),
            ("1024x1024", _) => Usd::mills(40),
            (_, "hd") => Usd::mills(120),
            _ => Usd::mills(80),
        };
        (json!({"model": model, "prompt": prompt, "n": 1, "quality": quality, "size": size}), cost)
    } else {
        // The GPT image models: other sizes, other words for quality, and the picture in the answer itself.
        let size = match width.cmp(&height) {
            std::cmp::Ordering::Equal => "1024x1024",
            std::cmp::Ordering::Greater => "1536x1024",
            std::cmp::Ordering::Less => "1024x1536",
        };
        let (quality, cost) = match quality.as_deref() {
            Some("low") => ("low", Usd::mills(20)),
            Some("high" | "hd") => ("high", Usd::mills(250)),
            _ => ("medium", Usd::mills(70)),
        };
        (json!({"model": model, "prompt": prompt, "n": 1, "quality": quality, "size": size}), cost)
    };
    Ok(Plan {
        provider: Provider::OpenAi,
        modality: Modality::Image,
        model: model.to_owned(),
        path: "/images/generations",
        body: Body::Json(body),
        cost: price.unwrap_or(cost),
    })
}

pub(super) fn video(
    prompt: &str,
    parameters: Parameters<'_>,
    model: &str,
    price: Option<Usd>,
) -> Result<Plan, PlanError> {
    let model = parameters.word("model")?.unwrap_or_else(|| model.to_owned());
    let asked = if parameters.text("seconds")?.is_some() { "seconds" } else { "duration" };
    let seconds = parameters.text(asked)?.unwrap_or_else(|| "4".to_owned());
    let length = parameters.integer(asked)?.unwrap_or(4);
    let size = parameters.text("size")?.unwrap_or_else(|| "720x1280".to_owned());
    let price = price.unwrap_or_else(|| match (model.as_str(), size.as_str()) {
        ("sora-2-pro", "720x1280" | "1280x720") => Usd::mills(300),
        ("sora-2-pro", _) => Usd::mills(500),
        _ => Usd::mills(100),
    });
    let fields =
        [("prompt", prompt.to_owned()), ("model", model.clone()), ("seconds", seconds), ("size", size)];
    Ok(Plan {
        provider: Provider::OpenAi,
        modality: Modality::Video,
        model,
        path: "/videos",
        body: Body::Multipart(fields.into_iter().map(|(name, value)| (name, Part::Text(value))).collect()),
        cost: price.times(length.max(0).unsigned_abs()),
    })
}

/// The answer to [`image`].
pub(super) fn pictures(body: &[u8]) -> Result<Started, Unreadable> {
    #[derive(Deserialize)]
    struct Answer<'a> {
        #[serde(borrow)]
        data: Vec<Picture<'a>>,
    }
    #[derive(Deserialize)]
    struct Picture<'a> {
        // Borrowed: a picture of some megabytes is not copied before it is decoded.
        #[serde(borrow)]
        b64_json: Option<std::borrow::Cow<'a, str>>,
        url: Option<String>,
    }
    let answer: Answer<'_> = serde_json::from_slice(body).map_err(|_| Unreadable::Shape)?;
    let picture = answer.data.into_iter().next().ok_or(Unreadable::NoMedia)?;
    match (picture.b64_json, picture.url) {
        (Some(text), _) => super::decode(&text).map(Started::Media),
        (None, Some(url)) => Ok(Started::Located(Location::Url(url))),
        (None, None) => Err(Unreadable::NoMedia),
    }
}

/// What a poll of a video says.
pub(super) fn progress(id: &JobId, answer: &Value) -> Result<Polled, Unreadable> {
    Ok(match answer["status"].as_str().ok_or(Unreadable::Shape)? {
        "completed" => Polled::Ready(Location::Content(id.clone())),
        "failed" | "cancelled" => Polled::failed(&answer["error"]["code"], &answer["error"]["message"]),
        _ => Polled::Working,
    })
}

/// The one video in a list of the newest ones that a plan sent at `asked` can have made. Two that fit, or none,
/// say nothing.
pub(super) fn find(list: &Value, plan: &Plan, asked: SystemTime) -> Option<JobId> {
    let Body::Multipart(parts) = &plan.body else { return None };
    let since = asked.checked_sub(SKEW)?.duration_since(UNIX_EPOCH).ok()?.as_secs();
    let mut fitting = list["data"].as_array()?.iter().filter(|video| {
        video["created_at"].as_u64().is_some_and(|at| at >= since)
            && parts
                .iter()
                .all(|(name, part)| matches!(part, Part::Text(text) if video[*name] == text.as_str()))
    });
    let (first, second) = (fitting.next()?, fitting.next());
    if second.is_some() {
        return None;
    }
    JobId::new(first["id"].as_str()?)
}
