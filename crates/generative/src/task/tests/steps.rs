//! What the journal holds of tasks.

use adit_journal::record::TaskStep;
use adit_journal::{Find, Journal, Limits, Reader};
use proptest::prelude::*;

use super::super::steps::record;
use super::machine::event;
use super::*;

fn journal(bench: &Bench) -> Journal {
    Journal::open(&bench.path("journal.sqlite"), Limits::default()).unwrap()
}

async fn recording(bench: &Bench) -> Store {
    Store::open(Config { journal: Some(journal(bench)), ..bench.config() }).await.unwrap()
}

/// In the order of recording, once nobody records any more.
fn steps(bench: &Bench) -> Vec<TaskStep> {
    let reader = Reader::open(&bench.path("journal.sqlite")).unwrap();
    let entries = reader.find(&Find { limit: 1000, ..Find::event("task") }).unwrap();
    entries.iter().rev().map(|entry| entry.read().unwrap()).collect()
}

fn told(steps: &[TaskStep]) -> Vec<(&str, &str)> {
    steps.iter().map(|step| (&*step.step, &*step.state)).collect()
}

async fn each_step_is_recorded_with_what_there_is_to_tell(bench: Bench) {
    let store = recording(&bench).await;
    let asked = Request {
        webhook_url: "https://validator.example:10525/callback?token=hidden".to_owned(),
        ..request("a lighthouse")
    };
    let id = store.accept(Modality::Image, "5V".to_owned(), asked, None).await.unwrap().id;
    let mut claim = store.claim_queued(Modality::Image).await.unwrap().unwrap();
    store.call(&mut claim, "openai", "gpt-image-1", Usd(40_000)).await.unwrap();
    let media = write(store.output(), claim.task(), PNG).await;
    let cost = Some(Usd(30_000));
    store.apply(&mut claim, Event::Fetched { media: media.clone(), cost }).await.unwrap();
    claim.judged("accepted, signed by OpenAI".to_owned());
    store.apply(&mut claim, Event::Checked).await.unwrap();
    store.skip(Duration::from_secs(1));
    let mut claim = store.claim_delivery().await.unwrap().unwrap();
    store.apply(&mut claim, Event::Try).await.unwrap();
    store.apply(&mut claim, acknowledged()).await.unwrap();
    store.close().await.unwrap();

    let steps = steps(&bench);
    assert_eq!(
        told(&steps),
        [
            ("accepted", "accepted"),
            ("call", "calling"),
            ("fetched", "fetched"),
            ("checked", "checked"),
            ("try", "delivering"),
            ("answered", "delivered"),
        ]
    );
    assert!(steps.iter().all(|step| step.task == id.to_string() && step.validator == "5V"));
    let accepted = &steps[0];
    assert_eq!(accepted.prompt.as_deref(), Some("a lighthouse"));
    assert_eq!(accepted.parameters.as_deref(), Some(r#"{"resolution":"1K"}"#));
    assert_eq!(accepted.webhook_host.as_deref(), Some("validator.example"));
    assert!(steps[1..].iter().all(|step| step.prompt.is_none() && step.webhook_host.is_none()));
    let fetched = steps[2].media.clone().unwrap();
    assert_eq!(fetched.path, bench.path(&format!("output/image/{id}.png")).display().to_string());
    assert_eq!((fetched.content_type.as_str(), fetched.sha256), ("image/png", media.sha256));
    let money: Vec<_> = steps.iter().map(|step| (step.spent_micro_usd, step.cost_micro_usd)).collect();
    assert_eq!(money[..3], [(0, 0), (0, 40_000), (30_000, 30_000)]);
    assert!(money[3..].iter().all(|money| *money == (0, 30_000)));
    let verdicts: Vec<_> = steps.iter().filter_map(|step| step.verdict.as_deref()).collect();
    assert_eq!(verdicts, ["accepted, signed by OpenAI"]);
    assert_eq!(steps[3].verdict.as_deref(), Some("accepted, signed by OpenAI"));
    let last = &steps[5];
    assert_eq!(last.answer.as_deref(), Some("acknowledged"));
    assert_eq!(last.note.as_deref(), Some("Binary content received"));
    let tallies = Reader::open(&bench.path("journal.sqlite")).unwrap().tallies("task", 0).unwrap();
    let spent: Vec<_> = tallies.iter().filter(|tally| tally.micro_usd > 0).collect();
    assert_eq!((spent.len(), &*spent[0].kind, spent[0].micro_usd), (1, "openai gpt-image-1", 30_000));
}

async fn what_the_database_did_not_take_is_not_recorded(bench: Bench) {
    let config = Config { daily_budget: Some(Usd(1)), journal: Some(journal(&bench)), ..bench.config() };
    let store = Store::open(config).await.unwrap();
    store.put(Modality::Image, "5V").await;
    let mut claim = store.claim_queued(Modality::Image).await.unwrap().unwrap();
    store.call(&mut claim, "openai", "m", Usd(2)).await.unwrap_err();
    store.apply(&mut claim, Event::Checked).await.unwrap_err();
    drop(claim);
    store.close().await.unwrap();
    assert_eq!(told(&steps(&bench))[0], ("accepted", "accepted"));
    assert!(steps(&bench)[1..].iter().all(|step| step.step == "orphaned"));
}

async fn a_crash_and_a_redelivery_from_elsewhere_are_recorded(bench: Bench) {
    let store = recording(&bench).await;
    let claim = store.calling().await;
    store.crash(vec![claim]).await;
    let store = recording(&bench).await;
    store.inner.beat(Instant::now() + LEASE).await.unwrap();
    let impossible = Some("the webhook's address is no URL");
    let accept = store.accept(Modality::Video, "5V".to_owned(), request("waves"), impossible);
    let id = accept.await.unwrap().id;
    store.skip(Duration::from_secs(1));
    let mut claim = store.claim_delivery().await.unwrap().unwrap();
    store.apply(&mut claim, Event::Try).await.unwrap();
    let refused = Event::Answered(Answer::Refused("status 400".to_owned()));
    store.apply(&mut claim, refused).await.unwrap();
    let ledger = Ledger::open(&bench.address()).await.unwrap().recording(Some(journal(&bench)));
    ledger.redeliver(id).await.unwrap();
    drop(ledger);
    store.close().await.unwrap();

    let steps = steps(&bench);
    let one = |modality: &str| -> Vec<_> {
        told(&steps).into_iter().zip(&steps).filter(|(_, s)| s.modality == modality).map(|(t, _)| t).collect()
    };
    let orphaned = ("orphaned", "unknown");
    assert_eq!(one("image"), [("accepted", "accepted"), ("call", "calling"), orphaned]);
    let mut video = one("video");
    // Two programs write to one file, each in its own time.
    video.sort_unstable();
    assert_eq!(
        video,
        [
            ("accepted", "accepted"),
            ("answered", "refused"),
            ("given_up", "delivering"),
            ("redeliver", "delivering"),
            ("try", "delivering"),
        ]
    );
    let given_up = steps.iter().find(|step| step.step == "given_up").unwrap();
    assert_eq!(given_up.note.as_deref(), impossible);
    let orphaned = steps.iter().find(|step| step.step == "orphaned").unwrap();
    assert_eq!(orphaned.model.as_deref(), Some("gpt-image-1"), "it is known after a crash too");
}

on_both!(
    each_step_is_recorded_with_what_there_is_to_tell,
    what_the_database_did_not_take_is_not_recorded,
    a_crash_and_a_redelivery_from_elsewhere_are_recorded,
);

proptest! {
    #[test]
    fn what_the_steps_say_was_spent_is_what_the_task_has_cost(
        events in proptest::collection::vec((event(), 0..HORIZON_MS / 4), 1..60),
    ) {
        let mut now = 0;
        let mut task = Task::new(TaskId::nil(), Modality::Image, "5V".to_owned(), request("p"), now);
        let mut told = 0;
        for (event, pause) in events {
            now += pause;
            let before = task.clone();
            let name = event.step();
            if task.apply(event, now).is_ok() {
                let step = record(name, &before, &task);
                told += step.spent_micro_usd;
                prop_assert_eq!(step.cost_micro_usd, task.cost().0);
            }
        }
        prop_assert_eq!(told, task.spent.0);
    }
}
