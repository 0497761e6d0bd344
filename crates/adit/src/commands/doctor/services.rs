//! The paid services: whether each modality has one, and whether the providers take the keys.

use std::time::Duration;

use adit_generative::service::{KeyState, Service, Slot};
use adit_generative::{Config, Modality};
use adit_provenance::TrustAnchors;
use adit_settings::Environment;
use chrono::{DateTime, Utc};
use tokio::time::{Instant, timeout_at};

use super::Check;
use crate::commands::generator::trust_anchors;

fn name(modality: Modality) -> &'static str {
    match modality {
        Modality::Image => "pictures",
        Modality::Video => "videos",
    }
}

/// A line a modality.
pub(super) async fn checks(config: Option<&Config>, until: Instant) -> Vec<Check> {
    let Some(config) = config else {
        return Modality::ALL
            .map(|modality| Check::skipped(name(modality), "the settings do not hold (see configuration)"))
            .into();
    };
    let [image, video] = Modality::ALL.map(|modality| check(config, modality, until));
    let (image, video) = tokio::join!(image, video);
    vec![image, video]
}

async fn check(config: &Config, modality: Modality, until: Instant) -> Check {
    let name = name(modality);
    let services = &config.services;
    match services.slot(modality) {
        Slot::Off => Check::warn(
            name,
            "none: requests are refused, which costs no reward but earns none",
            "IMAGE_SERVICE and VIDEO_SERVICE name a service; docs/rewards.md says what each modality pays",
        ),
        Slot::Unusable(_) => Check::fail(name, services.in_words(modality), why_fix(modality)),
        Slot::Ready(_) => match services.chosen(modality) {
            Some(service) => {
                let limit = until - Duration::from_millis(100);
                let asked = timeout_at(until, service.key_state(limit)).await;
                judge(name, service, &services.in_words(modality), asked.ok())
            }
            None => Check::skipped(name, "no service"),
        },
    }
}

fn why_fix(modality: Modality) -> String {
    let var = match modality {
        Modality::Image => "IMAGE_SERVICE",
        Modality::Video => "VIDEO_SERVICE",
    };
    format!("put the key into .env.gen_miner, name another service with {var}, or {var}=none")
}

fn judge(name: &'static str, service: &Service, words: &str, asked: Option<KeyState>) -> Check {
    let provider = service.provider();
    let key = provider.key_variable();
    match asked {
        Some(KeyState::Accepted) => Check::pass(name, format!("{words}; it takes the key")),
        Some(KeyState::Refused(error)) => Check::fail(
            name,
            format!("{} refuses the key {key}: {error}", provider.name()),
            format!("put a key with credit into {key}"),
        ),
        Some(KeyState::Unknown(error)) => Check::warn(
            name,
            format!("{words}, but whether it takes the key is not known: {error}"),
            "look again; the provider's status page says whether it is down",
        ),
        None => Check::warn(
            name,
            format!("{words} does not answer in time"),
            "look again; the provider's status page says whether it is down",
        ),
    }
}

/// The certificates without which nothing can be delivered.
pub(super) fn trust_anchors(env: &Environment, now: DateTime<Utc>) -> Check {
    const NAME: &str = "trust anchors";
    const UPDATE: &str = "gascli generator trust-anchors update";
    match trust_anchors::on_disk(env) {
        Err(failure) => Check::failed(NAME, failure, UPDATE),
        Ok(anchors) => judge_anchors(&anchors, now),
    }
}

fn judge_anchors(anchors: &TrustAnchors, now: DateTime<Utc>) -> Check {
    const NAME: &str = "trust anchors";
    let soon: Vec<String> = anchors
        .iter()
        .filter(|anchor| anchor.expires_soon(now))
        .map(|anchor| format!("{} ({})", anchor.file, anchor.expires.date_naive()))
        .collect();
    let found = match anchors.iter().count() {
        1 => "1 certificate".to_owned(),
        more => format!("{more} certificates"),
    };
    if soon.is_empty() {
        return Check::pass(NAME, found);
    }
    Check::warn(
        NAME,
        format!("{found}; what is signed under these is refused once they expire: {}", soon.join(", ")),
        "gascli generator trust-anchors update; if the subnet has no newer one, use another service by then",
    )
}
