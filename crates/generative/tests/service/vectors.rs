//! What upstream's services send for a set of parameters, compared to the field with what arrives at the stand-in.

use std::collections::BTreeMap;
use std::path::PathBuf;

use adit_generative::Modality;
use adit_generative::service::{Plan, PlanError, Progress, Provider, Service, Started};
use adit_stand_in::media;
use adit_stand_in::providers::{Asked, Call, Sent};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::setup::{key, services, soon, stand_in, stand_in_of};

#[derive(Deserialize)]
struct Vectors {
    params: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    service: String,
    modality: Modality,
    prompt: String,
    parameters: Option<Map<String, Value>>,
    expect: Eras,
}

#[derive(Deserialize)]
struct Eras {
    seed: Value,
    head: Value,
}

impl Eras {
    /// Today's upstream, or the guide's where both are the same.
    fn head(&self) -> &Value {
        if self.head == "same" { &self.seed } else { &self.head }
    }
}

/// Where we send something else on purpose.
struct Deviation {
    id: &'static str,
    field: &'static str,
    /// As JSON.
    value: &'static str,
    reason: &'static str,
}

/// Only defects that the reference lists (section 15) are mended.
const DEVIATIONS: [Deviation; 3] = [
    Deviation {
        id: "sp20",
        field: "image_config",
        value: r#"{"image_size": "2K"}"#,
        reason: "upstream ignores the tier of a picture, and delivers, and is paid for, the lowest",
    },
    Deviation {
        id: "sp38",
        field: "resolution",
        value: r#""720p""#,
        reason: "upstream takes 480p for 1080p where the model ends at 720p: the wrong direction",
    },
    Deviation {
        id: "sp63",
        field: "ratio",
        value: r#""1920:1080""#,
        reason: "upstream ignores the tier of a video, though Runway's ratio is one",
    },
];

fn vectors() -> Vec<Case> {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors");
    let folder = std::env::var_os("ADIT_VECTORS").map_or_else(|| PathBuf::from(own), PathBuf::from);
    let path = folder.join("gen_requests.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    // One of the requests that are not compared here has Python's NaN in it.
    let vectors: Vectors = serde_json::from_str(&text.replace(": NaN", ": null")).unwrap();
    assert!(!vectors.params.is_empty(), "no cases in {}", path.display());
    vectors.params
}

/// Base URLs of the real services, as the vectors have them.
const REAL: [(Provider, &str); 4] = [
    (Provider::OpenAi, "https://api.openai.com/v1"),
    (Provider::OpenRouter, "https://openrouter.ai/api/v1"),
    (Provider::StabilityAi, "https://api.stability.ai"),
    (Provider::Runway, "https://api.dev.runwayml.com"),
];

#[tokio::test]
async fn vectors_gen_requests_what_each_service_is_sent() {
    for case in vectors() {
        let id = &case.id;
        let provider = Provider::named(&case.service).unwrap();
        let stand_in = stand_in().await;
        let services = services(&stand_in, &[]);
        let service = services.get(provider).unwrap();
        let expected = case.expect.head();
        let parameters = case.parameters.clone().unwrap_or_default();
        let plan = service.plan(case.modality, &case.prompt, &parameters);
        let plan = match (plan, expected["ok"].as_bool().unwrap()) {
            (Ok(plan), true) => plan,
            (Err(refused), false) => {
                assert_refusal(id, &refused, &expected["error"]);
                continue;
            }
            (plan, _) => panic!("{id}: {plan:?}, and not {}", expected["error"]),
        };
        let made = make(service, &plan).await;
        assert_eq!(made, expected["data_is_the_provider_bytes"].as_bool().unwrap(), "{id}");

        let requests = expected["requests"].as_array().unwrap();
        let asked = stand_in.asked();
        assert_eq!(asked[0].call, Call::Start, "{id}");
        assert_request(id, provider, &asked[0], &requests[0]);
        // Polls are not compared: upstream's stand-in had done some of the jobs at once.
        if requests.len() > 1 {
            let media = asked.iter().find(|asked| asked.call == Call::Media).unwrap();
            assert_media(id, provider, media, requests.last().unwrap());
        }
        assert_eq!(asked.iter().filter(|asked| asked.call == Call::Start).count(), 1, "{id}: paid once");
        assert_eq!((stand_in.paid(&case.prompt), stand_in.handed_out(&case.prompt)), (1, 1), "{id}");
        assert_eq!(plan.model, expected["metadata"]["model"], "{id}");
        assert_eq!(asked[0].service, stand_in_of(provider), "{id}");
    }
}

/// Drives a plan to its media, and says whether they are the stand-in's.
async fn make(service: &Service, plan: &Plan) -> bool {
    let location = match service.start(plan, soon()).await.unwrap() {
        Started::Media(bytes) => return bytes == media::PNG,
        Started::Located(location) => location,
        Started::Job(id) => loop {
            if let Progress::Ready(location) = service.poll(&id, soon()).await.unwrap() {
                break location;
            }
        },
    };
    let mut file = Vec::new();
    service.fetch(&location, plan.modality, &mut file, soon()).await.unwrap();
    let right = if plan.modality == Modality::Image { media::PNG } else { media::MP4 };
    file == right
}

fn assert_refusal(id: &str, refused: &PlanError, expected: &Value) {
    let expected = expected.as_str().unwrap();
    match refused {
        PlanError::Model { accepted, .. } => {
            assert!(expected.contains("model"), "{id}: {expected}");
            for name in accepted {
                assert!(expected.contains(name), "{id}: {name} is not in {expected}");
            }
        }
        PlanError::Modality { .. } => assert!(expected.contains("modality"), "{id}: {expected}"),
        PlanError::Parameter { .. } => assert!(expected.contains("invalid literal"), "{id}: {expected}"),
        other => panic!("{id}: {other}"),
    }
}

fn assert_request(id: &str, provider: Provider, asked: &Asked, expected: &Value) {
    let real = REAL.iter().find(|(of, _)| *of == provider).unwrap().1;
    assert_eq!(format!("{real}{}", asked.path), expected["url"].as_str().unwrap(), "{id}");
    assert_eq!(asked.method, expected["method"].as_str().unwrap(), "{id}");
    assert_headers(id, asked, &expected["headers"]);
    match &asked.sent {
        Sent::Json(json) => {
            let mut wanted = expected["json"].clone();
            if let Some(deviation) = DEVIATIONS.iter().find(|deviation| deviation.id == id) {
                let value: Value = serde_json::from_str(deviation.value).unwrap();
                assert_ne!(
                    wanted[deviation.field], value,
                    "{id}: no deviation any more: {}",
                    deviation.reason
                );
                wanted[deviation.field] = value;
            }
            // As maps: the order of keys says nothing.
            let sorted =
                |value: &Value| -> BTreeMap<String, Value> { serde_json::from_value(value.clone()).unwrap() };
            assert_eq!(sorted(json), sorted(&wanted), "{id}");
        }
        Sent::Form(parts) => {
            let kind = |file: &Option<String>| if file.is_some() { "filename" } else { "field" };
            let parts: Vec<_> =
                parts.iter().map(|(name, value, file)| json!([name, value, kind(file)])).collect();
            assert_eq!(Value::from(parts), expected["multipart"], "{id}");
        }
        Sent::Nothing => panic!("{id}: nothing was sent"),
    }
}

fn assert_media(id: &str, provider: Provider, asked: &Asked, expected: &Value) {
    let url = expected["url"].as_str().unwrap();
    if let Some((before, _)) = url.split_once("/content") {
        // Job names are the stand-in's own.
        let jobs = before.rsplit_once('/').unwrap().0;
        let real = REAL.iter().find(|(of, _)| *of == provider).unwrap().1;
        let found = format!("{real}{}", asked.path);
        assert!(found.starts_with(jobs) && found.ends_with("/content"), "{id}: {found}");
        assert_eq!(asked.headers["authorization"], format!("Bearer {}", key(provider)), "{id}");
        assert_eq!(asked.headers["accept"], expected["headers"]["accept"].as_str().unwrap(), "{id}");
    } else {
        assert!(!asked.headers.contains_key("authorization"), "{id}: a link needs no key");
    }
}

fn assert_headers(id: &str, asked: &Asked, expected: &Value) {
    for (name, value) in expected.as_object().unwrap() {
        let found = asked.headers.get(name).unwrap_or_else(|| panic!("{id}: no {name}")).to_str().unwrap();
        let value = value.as_str().unwrap();
        match value.split_once("<any>") {
            _ if name == "authorization" => {
                assert!(value.starts_with("Bearer ") && found.starts_with("Bearer "))
            }
            Some((start, _)) => assert!(found.starts_with(start), "{id}: {name}: {found}"),
            None => assert_eq!(found, value, "{id}: {name}"),
        }
    }
}
