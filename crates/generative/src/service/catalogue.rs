//! Models that money is lost on: those that no validator accepts, and those that are gone.

use std::fmt;
use std::time::{Duration, SystemTime};

use super::Provider;
use crate::Modality;

/// Why a model is not used, and what is instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    what: String,
    why: &'static str,
    instead: &'static str,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}; {}", self.what, self.why, self.instead)
    }
}

impl std::error::Error for Flaw {}

/// Videos of such models carry no C2PA data that a validator accepts (generative reference, section 8): the
/// beginnings of their names, and why.
const UNVERIFIABLE: [(Provider, &str, &str); 6] = [
    (Provider::OpenRouter, "kwaivgi/kling-", NO_MANIFEST),
    (Provider::OpenRouter, "alibaba/wan-", NO_MANIFEST),
    (Provider::OpenRouter, "minimax/hailuo-", NO_MANIFEST),
    (Provider::OpenRouter, "bytedance/seedance-1-5", NO_MANIFEST),
    (Provider::OpenRouter, "openai/sora-", "signs with a certificate that validators refuse"),
    (Provider::Runway, "gen4.5", "signs so that the signature does not verify"),
];
const NO_MANIFEST: &str = "makes no C2PA data, so that validators refuse all of it";

/// OpenAI's models for pictures that are or will be shut down (its page on deprecations, November 2026), with the
/// day in seconds since 1970.
const RETIRED: [(&str, &str, u64); 5] = [
    ("dall-e-2", "was shut down on 2026-05-12", 1_778_544_000),
    ("dall-e-3", "was shut down on 2026-05-12", 1_778_544_000),
    ("gpt-image-1-mini", "was shut down on 2026-12-01", 1_796_083_200),
    ("gpt-image-1.5", "was shut down on 2026-12-01", 1_796_083_200),
    ("chatgpt-image-latest", "was shut down on 2026-12-01", 1_796_083_200),
];
/// 2026-09-24.
const VIDEOS_API_ENDED: u64 = 1_790_208_000;

/// `own_api` is whether the provider itself is asked, and not one that speaks alike and may still serve what it
/// does not.
pub(super) fn flaw(
    provider: Provider,
    modality: Modality,
    model: &str,
    own_api: bool,
    today: SystemTime,
) -> Option<Flaw> {
    let over = |day: u64| today >= SystemTime::UNIX_EPOCH + Duration::from_secs(day);
    let lower = model.to_ascii_lowercase();
    if let Some((.., why)) =
        UNVERIFIABLE.iter().find(|(by, name, _)| *by == provider && lower.starts_with(name))
    {
        let instead = if provider == Provider::Runway { "veo3.1 works" } else { "google/veo-3.1-lite works" };
        return Some(Flaw { what: model.to_owned(), why, instead });
    }
    if provider != Provider::OpenAi || !own_api {
        return None;
    }
    if modality == Modality::Video && over(VIDEOS_API_ENDED) {
        return Some(Flaw {
            what: "OpenAI's API for videos".to_owned(),
            why: "was shut down on 2026-09-24",
            instead: "VIDEO_SERVICE=openrouter works, and so does runway",
        });
    }
    let (_, why, _) = RETIRED.iter().find(|(name, _, day)| *name == lower && over(*day))?;
    Some(Flaw {
        what: format!("OpenAI's {model}"),
        why,
        instead: "ADIT_OPENAI_IMAGE_MODEL=gpt-image-2.6-sunburst is there, and IMAGE_SERVICE=openrouter works",
    })
}
