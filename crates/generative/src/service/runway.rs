//! Runway: videos by a task, which names where they are.

use serde_json::{Value, json};

use super::parameters::{Parameters, nearest};
use super::plan::{Body, Plan, PlanError};
use super::{Location, Polled, Provider, Unreadable};
use crate::{Modality, Usd};

/// The version of the API that is spoken, sent with every request.
pub(super) const VERSION: &str = "2024-11-06";

/// How long a model's videos may be.
enum Seconds {
    Nearest(&'static [i64]),
    Within(i64, i64),
}

/// A model and what it takes (generative reference, section 8).
struct Model {
    name: &'static str,
    ratios: &'static [&'static str],
    seconds: Seconds,
    default_seconds: i64,
    sound: bool,
    seed: bool,
    /// USD a second in tenths of a cent: with sound, and without.
    price: (u64, u64),
}

const RATIO: &str = "1280:720";
const VEO_RATIOS: &[&str] = &[RATIO, "720:1280", "1080:1920", "1920:1080"];
const GEN_RATIOS: &[&str] = &[RATIO, "720:1280"];
const SEEDANCE_RATIOS: &[&str] = &[RATIO, "720:1280", "1080:1920", "1920:1080", "1080:1080"];

const MODELS: [Model; 6] = [
    Model {
        name: "gen4.5",
        ratios: GEN_RATIOS,
        seconds: Seconds::Within(2, 10),
        default_seconds: 5,
        sound: false,
        seed: true,
        price: (120, 120),
    },
    Model {
        name: "seedance2",
        ratios: SEEDANCE_RATIOS,
        seconds: Seconds::Within(4, 15),
        default_seconds: 5,
        sound: true,
        seed: true,
        price: (480, 480),
    },
    Model {
        name: "seedance2_fast",
        ratios: SEEDANCE_RATIOS,
        seconds: Seconds::Within(4, 15),
        default_seconds: 5,
        sound: true,
        seed: true,
        price: (152, 152),
    },
    Model {
        name: "veo3",
        ratios: VEO_RATIOS,
        seconds: Seconds::Nearest(&[8]),
        default_seconds: 8,
        sound: false,
        seed: false,
        price: (400, 400),
    },
    Model {
        name: "veo3.1",
        ratios: VEO_RATIOS,
        seconds: Seconds::Nearest(&[4, 6, 8]),
        default_seconds: 8,
        sound: true,
        seed: false,
        price: (400, 200),
    },
    Model {
        name: "veo3.1_fast",
        ratios: VEO_RATIOS,
        seconds: Seconds::Nearest(&[4, 6, 8]),
        default_seconds: 8,
        sound: true,
        seed: false,
        price: (150, 100),
    },
];

pub(super) fn video(
    prompt: &str,
    parameters: Parameters<'_>,
    model: &str,
    price: Option<Usd>,
) -> Result<Plan, PlanError> {
    let named = parameters.word("model")?.unwrap_or_else(|| model.to_owned());
    let Some(model) = MODELS.iter().find(|model| model.name.eq_ignore_ascii_case(&named)) else {
        let accepted = MODELS.iter().map(|model| model.name).collect();
        return Err(PlanError::model(Provider::Runway, &named, accepted));
    };
    let asked = parameters.integer("duration")?;
    let seconds = match (asked, &model.seconds) {
        (None, _) => model.default_seconds,
        (Some(asked), Seconds::Nearest(allowed)) => nearest(asked, allowed),
        (Some(asked), Seconds::Within(least, most)) => asked.clamp(*least, *most),
    };
    let ratio = parameters.word("ratio")?;
    // Runway has no resolution: the ratio is one. Seedance's fast model ends at 720p whatever the ratio says.
    let ratio = ratio.as_deref().or(match parameters.resolution() {
        Some("1080p") if model.name != "seedance2_fast" => Some("1920:1080"),
        _ => None,
    });
    let ratio = model.ratios.iter().find(|allowed| Some(**allowed) == ratio).unwrap_or(&RATIO);
    let mut body = json!({"model": model.name, "promptText": prompt, "ratio": ratio, "duration": seconds});
    let sound = parameters.truth("audio").filter(|_| model.sound);
    if let Some(sound) = sound {
        body["audio"] = sound.into();
    }
    if let (true, Some(seed)) = (model.seed, parameters.integer("seed")?) {
        body["seed"] = seed.into();
    }
    let mills = if sound == Some(false) { model.price.1 } else { model.price.0 };
    Ok(Plan {
        provider: Provider::Runway,
        modality: Modality::Video,
        model: model.name.to_owned(),
        path: "/v1/text_to_video",
        body: Body::Json(body),
        cost: price.unwrap_or(Usd::mills(mills)).times(seconds.unsigned_abs()),
    })
}

/// What a poll of a task says.
pub(super) fn progress(answer: &Value) -> Result<Polled, Unreadable> {
    Ok(match answer["status"].as_str().ok_or(Unreadable::Shape)? {
        "SUCCEEDED" => match answer["output"][0].as_str() {
            Some(url) => Polled::Ready(Location::Url(url.to_owned())),
            None => Polled::failed(&Value::Null, &"it succeeded without any output".into()),
        },
        "FAILED" => Polled::failed(&answer["failureCode"], &answer["failure"]),
        status @ "CANCELLED" => Polled::failed(&status.into(), &Value::Null),
        _ => Polled::Working,
    })
}

/// The names of the models, sorted.
pub(super) fn models() -> Vec<&'static str> {
    MODELS.iter().map(|model| model.name).collect()
}
