//! Which service makes what, and what is said of those that cannot.

use std::time::{Duration, SystemTime};

use adit_generative::service::{Provider, Services, SetupError, Slot, Unusable};
use adit_generative::{Modality, Usd};
use serde_json::{Map, json};

use crate::setup::{KEYS, environment, may};

/// The 27th of November 2026.
fn november() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_737_600)
}

fn on(today: SystemTime, pairs: &[(&str, &str)]) -> Services {
    Services::from_environment(&environment(pairs), today).unwrap()
}

fn slots(services: &Services) -> [Slot; 2] {
    Modality::ALL.map(|modality| services.slot(modality).clone())
}

fn unusable(slot: &Slot) -> &Unusable {
    match slot {
        Slot::Unusable(unusable) => unusable,
        other => panic!("{other:?} is usable"),
    }
}

const ALL_KEYS: [(&str, &str); 4] = [
    ("OPENAI_API_KEY", KEYS[0]),
    ("OPEN_ROUTER_API_KEY", KEYS[1]),
    ("STABILITY_API_KEY", KEYS[2]),
    ("RUNWAYML_API_KEY", KEYS[3]),
];

fn with_all_keys(today: SystemTime, pairs: &[(&str, &str)]) -> Services {
    on(today, &[&ALL_KEYS, pairs].concat())
}

#[test]
fn the_guides_lines_choose_and_none_refuses() {
    let guide =
        [("IMAGE_SERVICE", "openrouter    # openai, openrouter, or none"), ("VIDEO_SERVICE", " RUNWAY ")];
    let chosen = [Slot::Ready(Provider::OpenRouter), Slot::Ready(Provider::Runway)];
    assert_eq!(slots(&with_all_keys(november(), &guide)), chosen);
    let none = with_all_keys(november(), &[("IMAGE_SERVICE", "None"), ("VIDEO_SERVICE", "none")]);
    assert_eq!(slots(&none), [Slot::Off, Slot::Off]);
    assert!(none.info().is_empty());
    let one = with_all_keys(november(), &[("IMAGE_SERVICE", "stabilityai"), ("VIDEO_SERVICE", "")]);
    assert_eq!(slots(&one), [Slot::Ready(Provider::StabilityAi), Slot::Off], "the one left empty is off");
    let names: Vec<_> = one.info().iter().map(|info| info.name).collect();
    assert_eq!(names, ["StabilityAIService"]);
}

#[test]
fn where_nothing_is_named_the_first_that_can_is_taken() {
    let today = slots(&with_all_keys(november(), &[]));
    let router = Slot::Ready(Provider::OpenRouter);
    assert_eq!(today, [router.clone(), router.clone()], "OpenAI's models are gone");
    let openai = Slot::Ready(Provider::OpenAi);
    assert_eq!(slots(&with_all_keys(may(), &[])), [openai.clone(), openai], "as upstream has it");
    let two = on(november(), &[("STABILITY_API_KEY", KEYS[2]), ("RUNWAYML_API_SECRET", KEYS[3])]);
    assert_eq!(slots(&two), [Slot::Ready(Provider::StabilityAi), Slot::Ready(Provider::Runway)]);
    let nothing = on(november(), &[]);
    for slot in slots(&nothing) {
        assert!(matches!(unusable(&slot), Unusable::NoService { .. }), "{slot:?}");
        assert!(!unusable(&slot).refuses_start());
    }
}

#[test]
fn a_service_that_cannot_be_used_is_named_with_what_to_do() {
    for (pairs, modality, refuses, words) in [
        (&[("IMAGE_SERVICE", "opnai")][..], Modality::Image, true, &["opnai", "openai, openrouter"][..]),
        (&[("IMAGE_SERVICE", "openai")], Modality::Image, false, &["OPENAI_API_KEY", "not set"]),
        (&[("VIDEO_SERVICE", "runway")], Modality::Video, false, &["RUNWAYML_API_KEY"]),
        (&[("IMAGE_SERVICE", "runway")], Modality::Image, true, &["makes no image", "openrouter does"]),
        (&[("VIDEO_SERVICE", "stabilityai")], Modality::Video, true, &["makes no video"]),
        (
            &[("IMAGE_SERVICE", "openai"), ("OPENAI_API_KEY", "k")],
            Modality::Image,
            true,
            &["dall-e-3", "2026-05-12", "gpt-image-2.6-sunburst", "openrouter"],
        ),
        (
            &[("VIDEO_SERVICE", "openai"), ("OPENAI_API_KEY", "k")],
            Modality::Video,
            true,
            &["2026-09-24", "VIDEO_SERVICE=openrouter"],
        ),
        (
            &[
                ("VIDEO_SERVICE", "openrouter"),
                ("OPEN_ROUTER_API_KEY", "k"),
                ("ADIT_OPENROUTER_VIDEO_MODEL", "kwaivgi/kling-v3.0-pro"),
            ],
            Modality::Video,
            true,
            &["kling", "C2PA", "google/veo-3.1-lite"],
        ),
        (
            &[("VIDEO_SERVICE", "runway"), ("RUNWAYML_API_KEY", "k"), ("ADIT_RUNWAY_VIDEO_MODEL", "Gen4.5")],
            Modality::Video,
            true,
            &["Gen4.5", "signature", "veo3.1"],
        ),
        (
            &[
                ("IMAGE_SERVICE", "stabilityai"),
                ("STABILITY_API_KEY", "k"),
                ("ADIT_STABILITY_IMAGE_MODEL", "sdxl"),
            ],
            Modality::Image,
            true,
            &["ADIT_STABILITY_IMAGE_MODEL", "sdxl", "sd3.5-medium"],
        ),
        (
            &[("IMAGE_SERVICE", "stabilityai"), ("STABILITY_API_KEY", "two\nlines-hush")],
            Modality::Image,
            true,
            &["STABILITY_API_KEY", "characters"],
        ),
    ] {
        let services = on(november(), pairs);
        let unusable = unusable(services.slot(modality)).clone();
        let shown = unusable.to_string();
        assert_eq!(unusable.refuses_start(), refuses, "{shown}");
        for word in words {
            assert!(shown.contains(word), "{word:?} is not in {shown:?}");
        }
        assert!(!shown.contains("hush") && !shown.contains('\n'), "{shown}");
        assert!(services.chosen(modality).is_none());
    }
}

#[test]
fn what_is_shut_down_may_live_on_behind_another_base_url() {
    let pairs = [
        ("IMAGE_SERVICE", "openai"),
        ("VIDEO_SERVICE", "openai"),
        ("OPENAI_API_KEY", "k"),
        ("OPENAI_BASE_URL", "http://127.0.0.1:9/v1/"),
    ];
    let openai = Slot::Ready(Provider::OpenAi);
    assert_eq!(slots(&on(november(), &pairs)), [openai.clone(), openai]);
}

#[test]
fn a_request_may_name_a_model_that_is_known_to_be_lost_money() {
    let services = with_all_keys(november(), &[]);
    let runway = services.get(Provider::Runway).unwrap();
    let parameters = json!({"model": "gen4.5"});
    let plan = runway.plan(Modality::Video, "p", parameters.as_object().unwrap()).unwrap();
    assert!(runway.flaw(Modality::Video, &plan.model, november()).is_some());
    assert!(runway.flaw(Modality::Video, "veo3.1", november()).is_none());
}

#[test]
fn the_others_are_those_that_could_go_on() {
    let services =
        with_all_keys(november(), &[("IMAGE_SERVICE", "openrouter"), ("VIDEO_SERVICE", "openrouter")]);
    let others =
        |modality| services.others(modality, november()).map(|one| one.provider()).collect::<Vec<_>>();
    assert_eq!(others(Modality::Image), [Provider::StabilityAi], "OpenAI's model is gone");
    assert_eq!(others(Modality::Video), [Provider::Runway]);
}

#[test]
fn miner_info_lists_services_as_upstream_does() {
    let info = serde_json::to_value(with_all_keys(november(), &[]).info()).unwrap();
    assert_eq!(
        info,
        json!([
            {
                "name": "OpenAIService",
                "available": true,
                "supported_tasks": {"image": ["image_generation"], "video": ["video_generation"]},
            },
            {
                "name": "OpenRouterService",
                "available": true,
                "supported_tasks": {"image": ["image_generation"], "video": ["text_to_video"]},
            },
            {
                "name": "StabilityAIService",
                "available": true,
                "supported_tasks": {"image": ["image_generation"], "video": []},
            },
            {
                "name": "RunwayService",
                "available": true,
                "supported_tasks": {"image": [], "video": ["text_to_video"]},
                "text_to_video_models": ["gen4.5", "seedance2", "seedance2_fast", "veo3", "veo3.1", "veo3.1_fast"],
            },
        ])
    );
}

#[test]
fn a_task_costs_what_the_model_does_unless_the_settings_say_otherwise() {
    let cost = |pairs: &[(&str, &str)], provider, modality, parameters: serde_json::Value| {
        let services = with_all_keys(november(), pairs);
        let parameters: Map<_, _> = parameters.as_object().unwrap().clone();
        services.get(provider).unwrap().plan(modality, "p", &parameters).unwrap().cost
    };
    let veo = |parameters| cost(&[], Provider::OpenRouter, Modality::Video, parameters);
    assert_eq!(veo(json!({})), Usd(200_000), "4 s at 0.05");
    assert_eq!(veo(json!({"generate_audio": false, "duration": 8})), Usd(240_000), "8 s at 0.03");
    assert_eq!(veo(json!({"resolution": "1080p"})), Usd(320_000));
    let picture = |tier| cost(&[], Provider::OpenRouter, Modality::Image, json!({"resolution": tier}));
    assert_eq!([picture("2K"), picture("4K")], [Usd(134_000), Usd(240_000)]);
    let set = [("ADIT_OPENROUTER_IMAGE_PRICE_USD", "0.5"), ("ADIT_RUNWAY_VIDEO_PRICE_USD", "0.01")];
    assert_eq!(cost(&set, Provider::OpenRouter, Modality::Image, json!({"resolution": "4K"})), Usd(500_000));
    assert_eq!(cost(&set, Provider::Runway, Modality::Video, json!({"duration": 6})), Usd(60_000));
}

#[test]
fn a_setting_that_cannot_be_read_is_named() {
    for (name, value) in [
        ("ADIT_OPENROUTER_IMAGE_PRICE_USD", "cheap"),
        ("ADIT_OPENROUTER_BASE_URL", "openrouter.ai"),
        ("ADIT_OPENROUTER_BASE_URL", "file:///etc/passwd"),
        ("ADIT_ALLOWED_HOSTS", "10.0.0.0/99"),
    ] {
        let error =
            Services::from_environment(&environment(&[("OPEN_ROUTER_API_KEY", "k"), (name, value)]), may());
        let error: SetupError = error.unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn no_debug_text_has_a_key() {
    let services = with_all_keys(november(), &[]);
    let mut shown = format!("{services:?}");
    for provider in Provider::ALL {
        shown += &format!("{:?}", services.get(provider).unwrap());
    }
    assert!(!shown.contains("hush"), "{shown}");
}
