//! From a task to its delivery, over stand-ins of the services and of a validator's webhook.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod faults;
mod setup;

use std::time::Duration;

use adit_generative::task::{Event, Job, State, TaskId};
use adit_generative::{Modality, Usd};
use adit_journal::record::TaskStep;
use adit_journal::{Find, Reader};
use adit_stand_in::media::{MP4, PNG};
use adit_stand_in::providers::{Call, Fault, Service};

use setup::{Bench, Options};

#[tokio::test]
async fn a_picture_and_a_video_reach_the_validator_as_they_were_made() {
    let bench = Bench::new(Options::default()).await;
    for (modality, prompt) in [(Modality::Image, "a lighthouse"), (Modality::Video, "waves")] {
        let id = bench.ask(modality, prompt).await;
        let task = bench.ended(id).await;
        assert_eq!(task.state, State::Delivered, "{:?}", task.note);
        let delivery = bench.deliveries().pop().unwrap();
        let made = if modality == Modality::Image { &bench.picture } else { &bench.clip };
        assert!(delivery.body == *made, "{} bytes came, {} were made", delivery.body.len(), made.len());
        assert_eq!(delivery.header("task-id"), id.to_string());
        assert_eq!(delivery.header("task-status"), "completed");
        let kind = if modality == Modality::Image { "image/png" } else { "video/mp4" };
        assert_eq!(delivery.header("content-type"), kind);
        bench.check_signature(&delivery);
        assert_eq!(bench.providers.paid(prompt), 1);
    }
}

#[tokio::test]
async fn what_a_validator_would_refuse_is_reported_and_never_sent() {
    let bench = Bench::new(Options::default()).await;
    bench.providers.make(PNG, MP4);
    let id = bench.ask(Modality::Image, "unsigned").await;
    let task = bench.ended(id).await;
    assert_eq!(task.state, State::Failed);
    let delivery = bench.deliveries().pop().unwrap();
    assert_eq!(delivery.header("task-status"), "failed");
    assert!(delivery.header("error-message").contains("No C2PA manifest found"));
    bench.check_signature(&delivery);
    let report: serde_json::Value = serde_json::from_slice(&delivery.body).unwrap();
    assert_eq!((&report["task_status"], &report["modality"]), (&"failed".into(), &"image".into()));
    assert_eq!(bench.providers.paid("unsigned"), 1);
}

#[tokio::test]
async fn the_journal_has_what_the_check_said_of_what_was_made() {
    let mut bench = Bench::new(Options::default()).await;
    let good = bench.ask(Modality::Image, "signed").await;
    bench.ended(good).await;
    bench.providers.make(PNG, MP4);
    let bad = bench.ask(Modality::Image, "unsigned").await;
    bench.ended(bad).await;
    bench.stop().await;
    let reader = Reader::open(&bench.journal()).unwrap();
    let steps = |id: TaskId| -> Vec<TaskStep> {
        let find = Find { key: Some(&id.to_string()), ..Find::event("task") };
        reader.find(&find).unwrap().iter().rev().map(|entry| entry.read().unwrap()).collect()
    };
    let names = |steps: &[TaskStep]| steps.iter().map(|step| step.step.clone()).collect::<Vec<_>>();
    let good = steps(good);
    assert_eq!(names(&good), ["accepted", "call", "fetched", "checked", "try", "answered"]);
    assert_eq!(good[3].verdict.as_deref().map(|words| words.starts_with("accepted, signed by ")), Some(true));
    assert!(good[1].model.is_some(), "{:?}", good[1]);
    let bad = steps(bad);
    assert_eq!(names(&bad), ["accepted", "call", "fetched", "given_up", "try", "answered"]);
    let refused = bad[3].verdict.as_deref().unwrap();
    assert!(refused.starts_with("refused: No C2PA manifest found"), "{refused}");
    assert_eq!(bad[5].state, "failed");
}

#[tokio::test]
async fn another_service_is_paid_where_the_settings_allow_it() {
    let bench = Bench::new(Options { fail_over: true, ..Options::default() }).await;
    let refused = Fault::ContentRefused;
    bench.providers.plant(Service::StabilityAi, Call::Start, refused, 1);
    let id = bench.ask(Modality::Image, "moved on").await;
    let task = bench.ended(id).await;
    assert_eq!(task.state, State::Delivered, "{:?}", task.note);
    assert_ne!(task.service.as_deref(), Some("stabilityai"));
    assert_eq!((task.attempt, bench.providers.paid("moved on")), (2, 1));
}

#[tokio::test]
async fn a_call_that_was_not_carried_out_is_made_again_and_one_in_doubt_is_not() {
    let bench = Bench::new(Options::default()).await;
    bench.providers.plant(Service::StabilityAi, Call::Start, Fault::RateLimited("0".to_owned()), 1);
    let id = bench.ask(Modality::Image, "limited").await;
    assert_eq!(bench.ended(id).await.state, State::Delivered);
    assert_eq!(bench.providers.paid("limited"), 1);

    bench.providers.plant(Service::StabilityAi, Call::Start, Fault::Closed, 1);
    let id = bench.ask(Modality::Image, "in doubt").await;
    let task = bench.ended(id).await;
    assert_eq!(task.state, State::Failed);
    assert!(task.failure.unwrap().contains("in doubt"));
    assert_eq!(bench.providers.paid("in doubt"), 1);
}

#[tokio::test]
async fn a_webhook_that_is_down_is_tried_again_and_one_that_refuses_is_not() {
    let bench = Bench::new(Options::default()).await;
    bench.answer_next(500, "busy");
    let id = bench.ask(Modality::Image, "later").await;
    let task = bench.ended(id).await;
    assert_eq!((task.state, task.tries), (State::Delivered, 2));
    let uuids: Vec<_> = bench.deliveries().iter().map(|d| d.header("epistula-uuid").to_owned()).collect();
    assert_ne!(uuids[0], uuids[1], "each try is signed afresh");

    bench.answer_next(400, "Duplicate content detected");
    let id = bench.ask(Modality::Image, "never").await;
    let task = bench.ended(id).await;
    assert_eq!((task.state, task.tries), (State::Refused, 1));
    assert_eq!(task.note.as_deref(), Some("status 400: Duplicate content detected"));

    bench.answer_next(200, "Task not found in current session");
    let id = bench.ask(Modality::Image, "unknown").await;
    assert_eq!(bench.ended(id).await.state, State::Refused, "it is not credited");
}

#[tokio::test]
async fn a_video_goes_on_after_a_restart_and_is_paid_once() {
    let mut bench = Bench::new(Options::default()).await;
    bench.providers.polls(1);
    let id = bench.ask(Modality::Video, "long").await;
    bench.until(id, |task| task.state == State::Submitted).await;
    bench.restart().await;
    let task = bench.ended(id).await;
    assert_eq!(task.state, State::Delivered, "{:?}", task.note);
    assert_eq!((task.attempt, bench.providers.paid("long")), (1, 1));
}

#[tokio::test]
async fn a_stop_waits_for_a_paid_call() {
    let mut bench = Bench::new(Options::default()).await;
    bench.providers.delay(Duration::from_secs(1));
    let id = bench.ask(Modality::Image, "asked").await;
    bench.until(id, |task| task.state == State::Calling).await;
    bench.restart().await;
    let task = bench.ended(id).await;
    assert_eq!(task.state, State::Delivered, "{:?}", task.note);
    assert_eq!((task.attempt, bench.providers.paid("asked")), (1, 1));
}

#[tokio::test]
async fn tasks_run_at_the_same_time() {
    let bench = Bench::new(Options::default()).await;
    bench.providers.delay(Duration::from_secs(2));
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(bench.ask(Modality::Image, &format!("{number}")).await);
    }
    let all_at_once = async {
        while bench.providers.asked().iter().filter(|asked| asked.call == Call::Start).count() < 5 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    all_at_once.await;
    // None has been answered yet: they are all in work.
    for id in &ids {
        assert_eq!(bench.task(*id).await.state, State::Calling);
    }
    for id in ids {
        assert_eq!(bench.ended(id).await.state, State::Delivered);
    }
}

#[tokio::test]
async fn a_webhook_within_the_hosts_own_network_is_not_reached() {
    let bench = Bench::new(Options { webhooks: "", ..Options::default() }).await;
    let id = bench.ask(Modality::Image, "inside").await;
    let task = bench.ended(id).await;
    assert_eq!(task.state, State::Dead);
    assert!(task.note.unwrap().contains("is refused"));
    assert!(bench.deliveries().is_empty());
}

#[tokio::test]
async fn a_disk_that_fails_while_media_are_checked_costs_no_second_payment() {
    let mut bench = Bench::new(Options { fail_over: true, ..Options::default() }).await;
    bench.stop().await;
    let store = bench.open().await;
    let id = bench.fetched(&store, "paid for").await;
    let (folder, away) = (bench.media_folder().join("image"), bench.media_folder().join("away"));
    std::fs::rename(&folder, &away).unwrap();
    std::fs::write(&folder, "no folder").unwrap();
    bench.work(store);
    let waiting = bench.until(id, |task| task.note.is_some()).await;
    assert_eq!((waiting.state, waiting.attempt), (State::Fetched, 1), "{:?}", waiting.note);
    std::fs::remove_file(&folder).unwrap();
    std::fs::rename(&away, &folder).unwrap();
    let task = bench.ended(id).await;
    assert_eq!((task.state, task.attempt, task.spent), (State::Delivered, 1, Usd(30_000)));
    assert_eq!(bench.providers.paid("paid for"), 0, "nobody is called again");
}

#[tokio::test]
async fn media_that_are_gone_are_reported_and_not_paid_for_again() {
    let mut bench = Bench::new(Options { fail_over: true, ..Options::default() }).await;
    bench.stop().await;
    let store = bench.open().await;
    let id = bench.fetched(&store, "gone").await;
    std::fs::remove_file(bench.media_folder().join(format!("image/{id}.png"))).unwrap();
    bench.work(store);
    let task = bench.ended(id).await;
    assert_eq!((task.state, task.attempt), (State::Failed, 1));
    assert!(task.failure.unwrap().contains("are gone"));
    assert_eq!(bench.providers.paid("gone"), 0);
}

#[tokio::test]
async fn a_long_link_leads_to_the_media_after_a_restart() {
    let mut bench = Bench::new(Options::default()).await;
    let first = bench.ask(Modality::Video, "first").await;
    let job: serde_json::Value =
        serde_json::from_str(bench.ended(first).await.job.unwrap().as_str()).unwrap();
    let link = format!(
        "{}/media/{}?signature={}",
        bench.providers.url(Service::Runway),
        job["job"].as_str().unwrap(),
        "x".repeat(5_000)
    );
    bench.stop().await;
    let store = bench.open().await;
    let id = bench.put(&store, Modality::Video, "by link").await;
    let mut claim = store.claim_queued(Modality::Video).await.unwrap().unwrap();
    store.call(&mut claim, "runway", "m", Usd(30_000)).await.unwrap();
    let job = serde_json::json!({"located": {"url": link}}).to_string();
    store.apply(&mut claim, Event::Submitted { job: Job::new(job).unwrap() }).await.unwrap();
    drop(claim);
    store.close().await.unwrap();
    let store = bench.open().await;
    bench.work(store);
    let task = bench.ended(id).await;
    assert_eq!((task.state, task.attempt), (State::Delivered, 1), "{:?}", task.note);
    assert!(bench.deliveries().pop().unwrap().body == bench.clip);
}

#[tokio::test]
async fn what_is_saved_is_described_beside_it() {
    let mut bench = Bench::new(Options { save_locally: true, ..Options::default() }).await;
    let id = bench.ask(Modality::Image, "a lighthouse").await;
    let task = bench.ended(id).await;
    bench.stop().await;
    let folder = bench.media_folder().join("image");
    assert!(std::fs::read(folder.join(format!("{id}.png"))).unwrap() == bench.picture);
    let described = std::fs::read(folder.join(format!("{id}.json"))).unwrap();
    let described: serde_json::Value = serde_json::from_slice(&described).unwrap();
    let expected = serde_json::json!({
        "task_id": id.to_string(),
        "modality": "image",
        "prompt": "a lighthouse",
        "parameters": {},
        "signed_by": task.signed_by,
        "created_at": task.accepted_at as f64 / 1e3,
        "completed_at": task.ended_at.unwrap() as f64 / 1e3,
    });
    assert_eq!(described, expected);
}
