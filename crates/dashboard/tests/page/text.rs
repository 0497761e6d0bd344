//! What strangers wrote is shown as text, wherever it is shown.

use adit_journal::record::{
    Chain, Challenge, Pushed, Refused, Rehearsed, SpotChecked, Stage, Started, Stopped, TaskMedia, TaskStep,
};
use serde_json::value::RawValue;

use crate::support::{Setup, Site, alert};
use crate::traffic::{chain, challenge, started, step, task_name};

/// Would run where it is taken for a tag, for an attribute's end, or for a script's end.
const HOSTILE: &str = r#"x"><img src=x onerror=alert(1)><script>alert('1')</script>&lt;{{7*7}}"#;

fn hostile() -> String {
    HOSTILE.to_owned()
}

fn some() -> Option<String> {
    Some(hostile())
}

async fn site() -> Site {
    let alert = alert(&hostile(), &hostile(), true);
    let site = Site::with(Setup { alerts: vec![alert], ..Setup::default() }).await;
    let start = Started {
        version: hostile(),
        hotkey: some(),
        works_by: vec![hostile()],
        image: some(),
        warnings: vec![hostile()],
        ..started(HOSTILE)
    };
    let place = Chain { network: hostile(), hotkey: hostile(), axon: some(), commitment: some(), ..chain(7) };
    let private = site.journal("private-track.sqlite");
    private.record(&start);
    private.record(&place);
    let answer = serde_json::json!({"challenge_id": HOSTILE, "prediction": {"type": HOSTILE, "items": [
        {"frame": 1, "action": HOSTILE, "confidence": 0.5}]}});
    private.record(&Challenge {
        dialect: some(),
        mode: hostile(),
        video_url: Some(format!("https://a.example/{HOSTILE}")),
        image_url: some(),
        reason: some(),
        predictor: hostile(),
        image: some(),
        stages: vec![Stage { name: hostile(), from_us: 0, took_us: 1 }],
        answer: Some(RawValue::from_string(answer.to_string()).unwrap()),
        ..challenge(HOSTILE, HOSTILE)
    });
    private.record(&Refused { reason: hostile(), claimed: some(), count: 1, detail: some() });
    let rehearsed = Rehearsed {
        target: hostile(),
        asked: hostile(),
        challenge_id: some(),
        detail: some(),
        ..Rehearsed::default()
    };
    private.record(&rehearsed);
    private.record(&SpotChecked {
        challenge_id: hostile(),
        image: hostile(),
        status: hostile(),
        detail: some(),
        ..SpotChecked::default()
    });
    private.record(&Stopped { reason: some() });
    let generative = site.journal("generative.sqlite");
    generative.record(&start);
    generative.record(&place);
    for (name, key) in [("accepted", task_name(1)), ("fetched", task_name(1)), ("accepted", hostile())] {
        generative.record(&TaskStep {
            task: key.clone(),
            validator: hostile(),
            modality: hostile(),
            service: some(),
            model: some(),
            spent_micro_usd: 5,
            media: Some(TaskMedia {
                path: format!("/nowhere/{HOSTILE}"),
                content_type: hostile(),
                bytes: 1,
                sha256: hostile(),
            }),
            verdict: some(),
            answer: some(),
            note: some(),
            prompt: some(),
            parameters: some(),
            webhook_host: some(),
            ..step(&key, name, HOSTILE)
        });
    }
    let turbo = site.journal("turbo-vision.sqlite");
    turbo.record(&Pushed { what: hostile(), step: hostile(), done: false, detail: some() });
    turbo.record(&rehearsed);
    turbo.record(&place);
    site
}

#[tokio::test]
async fn no_page_runs_what_a_stranger_wrote() {
    let site = site().await;
    let escaped: String = url::form_urlencoded::byte_serialize(HOSTILE.as_bytes()).collect();
    let escaped = escaped.replace('+', "%20");
    let (task, filtered) =
        (format!("/generations/{}", task_name(1)), format!("/challenges?validator={escaped}&from={escaped}"));
    let named = format!("/generations/{escaped}");
    for path in [
        "/",
        "/challenges",
        "/challenges/3",
        "/generations",
        &task,
        &named,
        "/turbo-vision",
        "/rehearsals",
        "/validators",
        "/money",
        &filtered,
    ] {
        let page = site.get_in(path).await;
        assert_eq!(page.status, 200, "{path}");
        let text = page.text();
        assert!(text.contains("&lt;img src=x onerror"), "{path} does not show it at all");
        for bad in ["<img src=x", "<script>", "\"><", "'1')</script"] {
            // Its own elements end so too, but never after what is a stranger's.
            let bad = if bad == "\"><" { "x\"><" } else { bad };
            assert!(!text.contains(bad), "`{bad}` is in {path}");
        }
    }
}

#[tokio::test]
async fn a_name_in_an_address_is_shown_as_text() {
    let site = Site::new().await;
    for path in
        ["/challenges/%3Cscript%3E", "/generations/%3Cscript%3E", "/%3Cscript%3E", "/media/%3Cscript%3E"]
    {
        let answer = site.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        answer.has_not("<script>");
    }
}

#[tokio::test]
async fn a_signature_in_a_clips_address_is_on_no_page_and_in_no_file() {
    let site = Site::new().await;
    site.journal("private-track.sqlite").record(&challenge("one", "5F"));
    for path in
        ["/", "/challenges", "/challenges/1", "/challenges.csv", "/challenges.json", "/challenges/1.json"]
    {
        site.get_in(path).await.has_not("s3cret");
    }
}
