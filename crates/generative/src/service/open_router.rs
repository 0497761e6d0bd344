//! OpenRouter: pictures by a chat completion, which carries them as data URLs; videos by a job.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Value, json};

use super::parameters::{Parameters, nearest};
use super::plan::{Body, Plan, PlanError};
use super::{JobId, Location, Polled, Provider, Started, Unreadable};
use crate::{Modality, Usd};

/// A video model and what it takes (generative reference, section 8). The first of each list is the default.
struct Model {
    name: &'static str,
    seconds: &'static [i64],
    ratios: &'static [&'static str],
    /// Resolutions from the lowest up, each with USD a second in tenths of a cent: with sound, and without.
    resolutions: &'static [(&'static str, u64, u64)],
}

const VEO_SECONDS: &[i64] = &[4, 6, 8];
const VEO_RATIOS: &[&str] = &["16:9", "9:16"];
const SEEDANCE_SECONDS: &[i64] = &[4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
const SEEDANCE_RATIOS: &[&str] = &["1:1", "3:4", "9:16", "4:3", "16:9", "21:9", "9:21"];

const MODELS: [Model; 5] = [
    Model {
        name: "google/veo-3.1",
        seconds: VEO_SECONDS,
        ratios: VEO_RATIOS,
        resolutions: &[("720p", 400, 200), ("1080p", 400, 200), ("4K", 600, 400)],
    },
    Model {
        name: "google/veo-3.1-fast",
        seconds: VEO_SECONDS,
        ratios: VEO_RATIOS,
        resolutions: &[("720p", 100, 80), ("1080p", 120, 100), ("4K", 300, 250)],
    },
    Model {
        name: "google/veo-3.1-lite",
        seconds: VEO_SECONDS,
        ratios: VEO_RATIOS,
        resolutions: &[("720p", 50, 30), ("1080p", 80, 50)],
    },
    Model {
        name: "bytedance/seedance-2.0",
        seconds: SEEDANCE_SECONDS,
        ratios: SEEDANCE_RATIOS,
        resolutions: &[("480p", 100, 100), ("720p", 400, 400), ("1080p", 480, 480)],
    },
    Model {
        name: "bytedance/seedance-2.0-fast",
        seconds: SEEDANCE_SECONDS,
        ratios: SEEDANCE_RATIOS,
        resolutions: &[("480p", 70, 70), ("720p", 152, 152)],
    },
];

/// Tiers from the lowest up.
const TIERS: [&str; 6] = ["480p", "720p", "1080p", "1K", "2K", "4K"];
/// Where a resolution that is no tier belongs: upstream's choice.
const UNKNOWN_TIER: usize = 2;

impl Model {
    /// The resolution asked for; else the nearest below it, which is paid for as what it is, and only then the
    /// lowest there is: what is above the tier asked for costs more and earns no more.
    fn resolution(&self, asked: Option<&str>) -> (&'static str, u64, u64) {
        let tier = |name: &str| TIERS.iter().position(|tier| *tier == name).unwrap_or(UNKNOWN_TIER);
        let lowest = self.resolutions[0];
        let Some(asked) = asked else { return lowest };
        self.resolutions.iter().copied().rfind(|(name, ..)| tier(name) <= tier(asked)).unwrap_or(lowest)
    }
}

pub(super) fn image(
    prompt: &str,
    parameters: Parameters<'_>,
    model: &str,
    price: Option<Usd>,
) -> Result<Plan, PlanError> {
    let model = parameters.word("model")?.unwrap_or_else(|| model.to_owned());
    let mut body = json!({
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "modalities": ["image", "text"],
    });
    let tier = parameters.resolution().filter(|tier| matches!(*tier, "1K" | "2K" | "4K"));
    // OpenRouter documents the size for Gemini's models alone.
    if let (Some(tier), true) = (tier, model.starts_with("google/gemini")) {
        body["image_config"] = json!({"image_size": tier});
    }
    let cost = price.unwrap_or(match (model.as_str(), tier) {
        ("google/gemini-3-pro-image-preview" | "google/gemini-3-pro-image", Some("4K")) => Usd::mills(240),
        ("google/gemini-3-pro-image-preview" | "google/gemini-3-pro-image", _) => Usd::mills(134),
        ("google/gemini-2.5-flash-image" | "google/gemini-2.5-flash-image-preview", _) => Usd::mills(39),
        _ => Usd::mills(250),
    });
    Ok(Plan {
        provider: Provider::OpenRouter,
        modality: Modality::Image,
        model,
        path: "/chat/completions",
        body: Body::Json(body),
        cost,
    })
}

pub(super) fn video(
    prompt: &str,
    parameters: Parameters<'_>,
    model: &str,
    price: Option<Usd>,
) -> Result<Plan, PlanError> {
    let named = parameters.word("model")?.unwrap_or_else(|| model.to_owned());
    let Some(model) = MODELS.iter().find(|model| model.name.eq_ignore_ascii_case(&named)) else {
        let accepted = MODELS.iter().map(|model| model.name).collect();
        return Err(PlanError::model(Provider::OpenRouter, &named, accepted));
    };
    let seconds =
        parameters.integer("duration")?.map_or(model.seconds[0], |asked| nearest(asked, model.seconds));
    let ratio = match parameters.word("aspect_ratio")? {
        Some(ratio) => Some(ratio),
        None => parameters.word("ratio")?,
    };
    let ratio = model.ratios.iter().find(|allowed| Some(**allowed) == ratio.as_deref());
    let (resolution, with_sound, silent) = model.resolution(parameters.resolution());
    let mut body = json!({
        "model": model.name,
        "prompt": prompt,
        "duration": seconds,
        "aspect_ratio": ratio.unwrap_or(&model.ratios[0]),
        "resolution": resolution,
    });
    let sound = parameters.truth("generate_audio");
    if let Some(sound) = sound {
        body["generate_audio"] = sound.into();
    }
    if let Some(seed) = parameters.integer("seed")? {
        body["seed"] = seed.into();
    }
    if let Some(size) = parameters.text("size")? {
        body["size"] = size.into();
    }
    let mills = if sound == Some(false) { silent } else { with_sound };
    Ok(Plan {
        provider: Provider::OpenRouter,
        modality: Modality::Video,
        model: model.name.to_owned(),
        path: "/videos",
        body: Body::Json(body),
        cost: price.unwrap_or(Usd::mills(mills)).times(seconds.unsigned_abs()),
    })
}

/// The answer to [`image`].
pub(super) fn picture(body: &[u8]) -> Result<Started, Unreadable> {
    #[derive(Deserialize)]
    struct Answer<'a> {
        #[serde(borrow)]
        choices: Vec<Choice<'a>>,
    }
    #[derive(Deserialize)]
    struct Choice<'a> {
        #[serde(borrow)]
        message: Message<'a>,
        finish_reason: Option<String>,
    }
    #[derive(Deserialize)]
    struct Message<'a> {
        #[serde(borrow, default)]
        images: Option<Vec<Image<'a>>>,
        content: Option<Value>,
        refusal: Option<String>,
    }
    #[derive(Deserialize)]
    struct Image<'a> {
        #[serde(borrow)]
        image_url: Link<'a>,
    }
    #[derive(Deserialize)]
    struct Link<'a> {
        // Borrowed: a picture of some megabytes is not copied before it is decoded.
        #[serde(borrow)]
        url: Cow<'a, str>,
    }
    let answer: Answer<'_> = serde_json::from_slice(body).map_err(|_| Unreadable::Shape)?;
    let choice = answer.choices.into_iter().next().ok_or(Unreadable::NoMedia)?;
    let Some(image) = choice.message.images.and_then(|images| images.into_iter().next()) else {
        // A model that answers in words has its reasons, most often that it will not draw this.
        let words = choice.message.refusal.or_else(|| Some(choice.message.content?.as_str()?.to_owned()));
        let reason = words.filter(|words| !words.trim().is_empty()).or(choice.finish_reason);
        return Err(reason.map_or(Unreadable::NoMedia, Unreadable::Words));
    };
    match image.image_url.url.split_once(',') {
        Some((head, data)) if head.starts_with("data:") => super::decode(data).map(Started::Media),
        _ => Ok(Started::Located(Location::Url(image.image_url.url.into_owned()))),
    }
}

/// What a poll of a video says.
pub(super) fn progress(id: &JobId, answer: &Value) -> Result<Polled, Unreadable> {
    Ok(match answer["status"].as_str().ok_or(Unreadable::Shape)? {
        "completed" => Polled::Ready(Location::Content(id.clone())),
        status @ ("failed" | "cancelled" | "expired") => Polled::failed(&status.into(), &answer["error"]),
        _ => Polled::Working,
    })
}
