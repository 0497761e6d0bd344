//! A stand-in and services that are configured to use it.

use std::time::{Duration, SystemTime};

use adit_generative::Modality;
use adit_generative::service::{Plan, Provider, Service, Services};
use adit_settings::Environment;
use adit_stand_in::media;
use adit_stand_in::providers::{self, Providers};
use serde_json::Value;
use tokio::time::Instant;

/// No other text of a test holds these.
pub(crate) const KEYS: [&str; 4] =
    ["sk-hush-openai", "sk-hush-router", "sk-hush-stability", "key_hush_runway"];

pub(crate) fn environment(pairs: &[(&str, &str)]) -> Environment {
    let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Environment::layered(pairs, None).unwrap()
}

/// A day on which all of the guide's services were up: the 1st of May 2026.
pub(crate) fn may() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_777_593_600)
}

pub(crate) fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

pub(crate) async fn stand_in() -> Providers {
    Providers::start(media::PNG, media::MP4).await.unwrap()
}

pub(crate) fn stand_in_of(provider: Provider) -> providers::Service {
    match provider {
        Provider::OpenAi => providers::Service::OpenAi,
        Provider::OpenRouter => providers::Service::OpenRouter,
        Provider::StabilityAi => providers::Service::StabilityAi,
        Provider::Runway => providers::Service::Runway,
    }
}

/// All four, at the stand-in, with these settings on top.
pub(crate) fn services(stand_in: &Providers, more: &[(&str, &str)]) -> Services {
    let urls = Provider::ALL.map(|provider| stand_in.url(stand_in_of(provider)));
    let mut pairs = vec![
        ("OPENAI_API_KEY", KEYS[0]),
        ("OPEN_ROUTER_API_KEY", KEYS[1]),
        ("STABILITY_API_KEY", KEYS[2]),
        ("RUNWAYML_API_KEY", KEYS[3]),
        ("OPENAI_BASE_URL", &urls[0]),
        ("ADIT_OPENROUTER_BASE_URL", &urls[1]),
        ("ADIT_STABILITY_BASE_URL", &urls[2]),
        ("RUNWAYML_BASE_URL", &urls[3]),
    ];
    pairs.retain(|(name, _)| more.iter().all(|(other, _)| other != name));
    pairs.extend(more);
    Services::from_environment(&environment(&pairs), may()).unwrap()
}

/// Every provider with what it makes.
pub(crate) const MAKES: [(Provider, Modality); 6] = [
    (Provider::OpenAi, Modality::Image),
    (Provider::OpenAi, Modality::Video),
    (Provider::OpenRouter, Modality::Image),
    (Provider::OpenRouter, Modality::Video),
    (Provider::StabilityAi, Modality::Image),
    (Provider::Runway, Modality::Video),
];

pub(crate) fn plan(service: &Service, modality: Modality, prompt: &str, parameters: Value) -> Plan {
    service.plan(modality, prompt, parameters.as_object().unwrap()).unwrap()
}

pub(crate) fn key(provider: Provider) -> &'static str {
    KEYS[Provider::ALL.iter().position(|one| *one == provider).unwrap()]
}
