use super::*;
use crate::{Modality, Usd};

on_both!(
    a_task_walks_from_accepted_to_delivered,
    a_failure_is_reported_and_then_over,
    another_attempt_is_another_payment,
    a_later_try_that_finds_no_task_is_uncertain,
    dead_letters_are_kept_and_sent_again_on_command,
    a_delivery_ends_only_after_a_try_at_its_time_or_later,
    texts_that_one_database_would_not_take_are_kept,
    what_ended_long_ago_is_purged,
    validators_and_states_are_counted,
    a_long_link_is_kept_whole_and_a_job_is_found,
);

async fn a_task_walks_from_accepted_to_delivered(bench: Bench) {
    let store = bench.open().await;
    let task = store.accept(Modality::Video, "5Validator".to_owned(), request("waves"), None).await.unwrap();
    assert_eq!(store.ledger().task(task.id).await.unwrap(), task);
    let mut claim = store.claim_queued(Modality::Video).await.unwrap().unwrap();
    assert_eq!(claim.task(), &task);
    assert!(store.claim_queued(Modality::Video).await.unwrap().is_none());

    store.call(&mut claim, "runway", "m", Usd(250_000)).await.unwrap();
    store.apply(&mut claim, Event::Submitted { job: job("job-1") }).await.unwrap();
    let stored = store.ledger().task(task.id).await.unwrap();
    assert_eq!(
        (stored.state, stored.job.as_ref().map(Job::as_str), stored.attempt),
        (State::Submitted, Some("job-1"), 1)
    );
    assert_eq!(store.ledger().spent(store.ledger().today()).await.unwrap(), Usd(250_000));

    let media = write(store.output(), claim.task(), PNG).await;
    let cost = Some(Usd(200_000));
    store.apply(&mut claim, Event::Fetched { media: media.clone(), cost }).await.unwrap();
    store.apply(&mut claim, Event::Checked).await.unwrap();
    assert_eq!(claim.task().spent, Usd(200_000));
    assert_eq!(store.ledger().spent(store.ledger().today()).await.unwrap(), Usd(200_000));

    // Never before the validator can have read the 201.
    assert!(store.claim_delivery().await.unwrap().is_none());
    store.skip(Duration::from_secs(1));
    let mut claim = store.claim_delivery().await.unwrap().unwrap();
    store.apply(&mut claim, Event::Try).await.unwrap();
    assert_eq!(claim.task().media.as_ref(), Some(&media));
    let path = store.media_file(claim.task()).await.unwrap();
    assert_eq!(path, bench.path(&format!("output/video/{}.png", task.id)));
    assert_eq!(std::fs::read(path).unwrap(), PNG);
    store.apply(&mut claim, acknowledged()).await.unwrap();
    let stored = store.ledger().task(task.id).await.unwrap();
    assert_eq!((stored.state, stored.tries), (State::Delivered, 1));
    assert_eq!(&stored, claim.task());
    assert!(matches!(store.apply(&mut claim, Event::Try).await, Err(StoreError::ClaimLost(_))));
    store.close().await.unwrap();
}

async fn a_failure_is_reported_and_then_over(bench: Bench) {
    let store = bench.open().await;
    let mut claim = store.calling().await;
    let why = "the service refused the prompt".to_owned();
    store.apply(&mut claim, Event::Fail { cost: Some(Usd(0)), why: why.clone() }).await.unwrap();
    assert_eq!(store.ledger().spent(store.ledger().today()).await.unwrap(), Usd(0));
    store.skip(Duration::from_secs(1));
    let mut claim = store.claim_delivery().await.unwrap().unwrap();
    assert_eq!(claim.task().failure, Some(why));
    store.apply(&mut claim, Event::Try).await.unwrap();
    store.apply(&mut claim, acknowledged()).await.unwrap();
    assert_eq!(claim.task().state, State::Failed);
}

async fn another_attempt_is_another_payment(bench: Bench) {
    let store = bench.open().await;
    let mut claim = store.calling().await;
    let id = claim.task().id;
    let due_at = store.ledger().now() + 5_000;
    let next_service = Some("stabilityai".to_owned());
    let retry =
        Event::Retry { due_at, cost: None, why: "unsigned".to_owned(), next_service: next_service.clone() };
    store.apply(&mut claim, retry).await.unwrap();
    assert_eq!(store.ledger().task(id).await.unwrap().next_service, next_service);
    assert!(store.claim_queued(Modality::Image).await.unwrap().is_none());
    store.skip(Duration::from_secs(5));
    let mut claim = store.claim_queued(Modality::Image).await.unwrap().unwrap();
    store.call(&mut claim, "stabilityai", "m", Usd(30_000)).await.unwrap();
    let task = store.ledger().task(id).await.unwrap();
    assert_eq!((task.attempt, task.service.as_deref()), (2, Some("stabilityai")));
    assert_eq!(task.next_service, None);
    assert_eq!(task.cost(), Usd(70_000));
    assert_eq!(store.ledger().spent(store.ledger().today()).await.unwrap(), Usd(70_000));
}

async fn a_later_try_that_finds_no_task_is_uncertain(bench: Bench) {
    let store = bench.open().await;
    let not_found = || Event::Answered(Answer::NotFound("Task not found in current session".to_owned()));
    let mut first = store.trying().await;
    store.apply(&mut first, not_found()).await.unwrap();
    assert_eq!(first.task().state, State::Refused);
    let mut second = store.trying().await;
    store.apply(&mut second, later(0)).await.unwrap();
    let mut second = store.claim_delivery().await.unwrap().unwrap();
    store.apply(&mut second, Event::Try).await.unwrap();
    store.apply(&mut second, not_found()).await.unwrap();
    assert_eq!(second.task().state, State::Uncertain);
}

async fn dead_letters_are_kept_and_sent_again_on_command(bench: Bench) {
    let store = bench.open().await;
    let operator = Ledger::open(&bench.address()).await.unwrap();
    let mut claim = store.trying().await;
    let id = claim.task().id;
    assert!(matches!(operator.redeliver(id).await, Err(StoreError::Illegal(_))));
    let why = "loopback is refused".to_owned();
    store.apply(&mut claim, Event::Answered(Answer::Undeliverable(why.clone()))).await.unwrap();
    let dead = operator.list(&[State::Dead, State::Expired], 10).await.unwrap();
    assert_eq!(dead.iter().map(|task| (task.id, task.note.clone())).collect::<Vec<_>>(), [(id, Some(why))]);
    store.skip(Duration::from_secs(86_400));
    let store_time = store.ledger().now();
    let redelivered = store.ledger().redeliver(id).await.unwrap();
    assert!(redelivered.deliver_by >= store_time + HORIZON_MS);
    let mut claim = store.claim_delivery().await.unwrap().unwrap();
    store.apply(&mut claim, Event::Try).await.unwrap();
    store.apply(&mut claim, acknowledged()).await.unwrap();
    assert_eq!(operator.task(id).await.unwrap().state, State::Delivered);
    assert!(matches!(operator.redeliver(id).await, Err(StoreError::Illegal(_))));
    assert!(matches!(operator.redeliver(TaskId::nil()).await, Err(StoreError::NoSuchTask(_))));
}

async fn a_delivery_ends_only_after_a_try_at_its_time_or_later(bench: Bench) {
    let store = bench.open().await;
    let mut claim = store.trying().await;
    let (id, deliver_by) = (claim.task().id, claim.task().deliver_by);
    store.apply(&mut claim, later(i64::MAX)).await.unwrap();
    assert_eq!(store.ledger().task(id).await.unwrap().due_at, deliver_by);
    assert!(store.claim_delivery().await.unwrap().is_none());
    // As if the clock had been set ahead by days: it is tried all the same.
    store.skip(Duration::from_secs(3 * 86_400));
    let mut claim = store.claim_delivery().await.unwrap().unwrap();
    store.apply(&mut claim, Event::Try).await.unwrap();
    store.apply(&mut claim, later(store.ledger().now())).await.unwrap();
    assert_eq!(store.state(id).await, State::Expired);
}

async fn texts_that_one_database_would_not_take_are_kept(bench: Bench) {
    let store = bench.open().await;
    let prompt = "nul \0, emoji \u{1f980}, quote ' and \\ and \u{feff}";
    let task = store.accept(Modality::Image, "5V".to_owned(), request(prompt), None).await.unwrap();
    assert_eq!(store.ledger().task(task.id).await.unwrap().request.prompt, prompt);
    let mut claim = store.claim_queued(Modality::Image).await.unwrap().unwrap();
    store.call(&mut claim, "openai\0", "m", Usd(1)).await.unwrap();
    store.apply(&mut claim, Event::Fail { cost: None, why: "\0ж\r\n".to_owned() }).await.unwrap();
    let task = store.ledger().task(task.id).await.unwrap();
    assert_eq!(task.failure.as_deref(), Some("\u{fffd}ж\r\n"));
}

async fn what_ended_long_ago_is_purged(bench: Bench) {
    let store = bench.open().await;
    let mut claim = store.trying().await;
    store.apply(&mut claim, acknowledged()).await.unwrap();
    let open = store.put(Modality::Image, "5V").await;
    let day = Duration::from_secs(86_400);
    assert!(store.purge(day).await.unwrap().is_empty());
    store.skip(day);
    let purged = store.purge(day).await.unwrap();
    assert_eq!(purged.iter().map(|task| task.id).collect::<Vec<_>>(), [claim.task().id]);
    assert!(matches!(store.ledger().task(claim.task().id).await, Err(StoreError::NoSuchTask(_))));
    assert_eq!(store.state(open).await, State::Accepted);
    assert_eq!(names(&bench.path("output/image")).len(), 1);
    store.output().remove(&purged[0]).await.unwrap();
    store.output().remove(&purged[0]).await.unwrap();
    assert!(names(&bench.path("output/image")).is_empty());
    // What was paid stays known.
    assert_eq!(store.ledger().spent(store.ledger().today()).await.unwrap(), Usd(40_000));
}

async fn validators_and_states_are_counted(bench: Bench) {
    let store = bench.open().await;
    let _claim = store.calling().await;
    store.put(Modality::Image, "5Other").await;
    store.put(Modality::Video, "5Other").await;
    let images = store.ledger().counts(Modality::Image).await.unwrap();
    assert_eq!(images.into_iter().collect::<Vec<_>>(), [(State::Accepted, 1), (State::Calling, 1)]);
    let validators = store.ledger().validators().await.unwrap();
    assert_eq!(validators["5Other"].tasks[&State::Accepted], 2);
    assert_eq!(validators["5Validator"].cost, Usd(40_000));
    assert_eq!(validators.len(), 2);
}

async fn a_long_link_is_kept_whole_and_a_job_is_found(bench: Bench) {
    let store = bench.open().await;
    let link = job(&format!("https://example.com/{}", "ж".repeat(8_000)));
    let mut claim = store.calling().await;
    let id = claim.task().id;
    store.apply(&mut claim, Event::Submitted { job: link.clone() }).await.unwrap();
    let mut claim = store.calling().await;
    store.apply(&mut claim, Event::Submitted { job: job("job-1") }).await.unwrap();
    store.close().await.unwrap();
    let ledger = Ledger::open(&bench.address()).await.unwrap();
    assert_eq!(ledger.task(id).await.unwrap().job, Some(link));
    assert!(ledger.knows_job("openai", &job("job-1")).await.unwrap());
    assert!(!ledger.knows_job("openai", &job("job-2")).await.unwrap());
    assert!(!ledger.knows_job("runway", &job("job-1")).await.unwrap());
}
