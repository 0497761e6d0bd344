//! Stability AI: one call that answers the picture itself.

use super::Provider;
use super::parameters::Parameters;
use super::plan::{Body, Part, Plan, PlanError};
use crate::{Modality, Usd};

/// Models with their endpoints and USD a picture in tenths of a cent.
const MODELS: [(&str, &str, u64); 4] = [
    ("sd3.5-medium", "/v2beta/stable-image/generate/sd3", 35),
    ("sd3.5-large", "/v2beta/stable-image/generate/sd3", 65),
    ("ultra", "/v2beta/stable-image/generate/ultra", 80),
    ("core", "/v2beta/stable-image/generate/core", 30),
];

pub(super) fn image(
    prompt: &str,
    parameters: Parameters<'_>,
    model: &str,
    price: Option<Usd>,
) -> Result<Plan, PlanError> {
    let named = parameters.word("model")?.unwrap_or_else(|| model.to_owned());
    let Some(&(model, path, mills)) = MODELS.iter().find(|(name, ..)| *name == named) else {
        let accepted = MODELS.iter().map(|(name, ..)| *name).collect();
        return Err(PlanError::model(Provider::StabilityAi, &named, accepted));
    };
    let format =
        parameters.text("format")?.filter(|format| matches!(format.as_str(), "png" | "jpeg" | "webp"));
    let mut parts = vec![
        ("prompt", Part::Text(prompt.to_owned())),
        ("output_format", Part::Text(format.unwrap_or_else(|| "png".to_owned()))),
        ("model", Part::Text(model.to_owned())),
    ];
    for name in ["negative_prompt", "aspect_ratio", "seed"] {
        parts.extend(parameters.text(name)?.map(|value| (name, Part::Text(value))));
    }
    parts.push(("none", Part::EmptyFile));
    Ok(Plan {
        provider: Provider::StabilityAi,
        modality: Modality::Image,
        model: model.to_owned(),
        path,
        body: Body::Multipart(parts),
        cost: price.unwrap_or(Usd::mills(mills)),
    })
}
