//! Several hosts with one PostgreSQL.

use std::collections::HashSet;

use futures_util::future::join_all;
use sqlx::Row as _;

use super::*;
use crate::Modality;

/// One host with an output folder of its own.
async fn host(bench: &Bench, folder: &str) -> Store {
    Store::open(Config { output_dir: bench.path(folder), ..bench.config() }).await.unwrap()
}

async fn kept(store: &Store) -> i64 {
    let mut connection = store.inner.ledger.database.read().await.unwrap();
    sqlx::query("SELECT count(*) FROM media").fetch_one(&mut *connection).await.unwrap().try_get(0).unwrap()
}

#[tokio::test]
async fn each_task_is_claimed_once() {
    let Some(bench) = Bench::postgres() else { return };
    let (first, second) = tokio::join!(bench.open(), bench.open());
    for number in 0..40 {
        first.put(Modality::Image, ["5A", "5B", "5C"][number % 3]).await;
    }
    let stores = [&first, &second];
    let claims = join_all((0..60).map(|number| stores[number % 2].claim_queued(Modality::Image))).await;
    let mut claims: Vec<Claim> = claims.into_iter().filter_map(Result::unwrap).collect();
    // Where two look at the same last task at once, one of them may have found none.
    while let Some(claim) = first.claim_queued(Modality::Image).await.unwrap() {
        claims.push(claim);
    }
    let ids: HashSet<TaskId> = claims.iter().map(|claim| claim.task().id).collect();
    assert_eq!((claims.len(), ids.len()), (40, 40));
}

#[tokio::test]
async fn a_living_hosts_tasks_stay_its_own_and_a_dead_ones_are_taken_over() {
    let Some(bench) = Bench::postgres() else { return };
    let (first, second) = (bench.open().await, bench.open().await);
    let claim = first.calling().await;
    let id = claim.task().id;
    let start = Instant::now();
    for beats in 1..=20 {
        first.inner.beat(start).await.unwrap();
        second.inner.beat(start + LEASE * beats / 2).await.unwrap();
        assert_eq!(second.state(id).await, State::Calling);
    }
    first.crash(vec![claim]).await;
    second.inner.beat(start + LEASE * 11).await.unwrap();
    assert_eq!(second.state(id).await, State::Unknown);
    assert!(second.claim_paid().await.unwrap().is_none(), "the provider may still be at it");
    second.skip(Duration::from_secs(5));
    assert_eq!(second.claim_paid().await.unwrap().unwrap().task().id, id);
    // Its probe has gone with it, and the folder is nobody else's now.
    assert_eq!(names(&bench.path("output")).iter().filter(|name| name.starts_with(".adit-host")).count(), 1);
}

#[tokio::test]
async fn a_host_that_was_only_slow_loses_its_decisions_and_not_its_news() {
    let Some(bench) = Bench::postgres() else { return };
    let slow = bench.open().await;
    let mut called = slow.calling().await;
    let mut polled = slow.calling().await;
    slow.apply(&mut polled, Event::Submitted { job: job("job-2") }).await.unwrap();
    let mut tried = slow.trying().await;
    let other = bench.reopen().await;

    // It was called once, and the job's id is what was missing.
    assert_eq!(other.state(called.task().id).await, State::Unknown);
    slow.apply(&mut called, Event::Submitted { job: job("job-1") }).await.unwrap();
    assert_eq!(other.state(called.task().id).await, State::Submitted);
    let retry = Event::Retry { due_at: 0, cost: None, why: String::new(), next_service: None };
    assert!(matches!(slow.apply(&mut called, retry.clone()).await, Err(StoreError::ClaimLost(_))));
    assert!(matches!(slow.apply(&mut polled, retry).await, Err(StoreError::ClaimLost(_))));

    // The other host delivers again and is told that there is no such task; the first try had got through.
    let again = other.trying_again().await;
    assert_eq!(again.task().id, tried.task().id);
    drop(again);
    slow.apply(&mut tried, acknowledged()).await.unwrap();
    assert_eq!(other.state(tried.task().id).await, State::Delivered);
}

#[tokio::test]
async fn an_acknowledgement_outweighs_an_uncertain_end() {
    let Some(bench) = Bench::postgres() else { return };
    let slow = bench.open().await;
    let mut tried = slow.trying().await;
    let other = bench.reopen().await;
    let mut again = other.trying_again().await;
    let not_found = Event::Answered(Answer::NotFound("Task not found in current session".to_owned()));
    other.apply(&mut again, not_found).await.unwrap();
    assert_eq!(again.task().state, State::Uncertain);
    slow.apply(&mut tried, acknowledged()).await.unwrap();
    assert_eq!(other.state(tried.task().id).await, State::Delivered);
}

impl Store {
    async fn trying_again(&self) -> Claim {
        self.skip(Duration::from_secs(2));
        let mut claim = self.claim_delivery().await.unwrap().unwrap();
        self.apply(&mut claim, Event::Try).await.unwrap();
        claim
    }
}

#[tokio::test]
async fn media_are_kept_beside_the_row_until_acknowledged_where_folders_differ() {
    let Some(bench) = Bench::postgres() else { return };
    let (first, second) = (host(&bench, "one").await, host(&bench, "two").await);
    // Three parts.
    let bytes: Vec<u8> = (0..2_500_000_u32).map(|number| (number % 251) as u8).collect();
    let mut claim = first.fetched(&bytes).await;
    first.apply(&mut claim, Event::Checked).await.unwrap();
    assert_eq!(kept(&first).await, 3);
    first.crash(vec![claim]).await;

    let mut claim = second.trying_again().await;
    let path = second.media_file(claim.task()).await.unwrap();
    assert!(path.starts_with(bench.path("two")));
    assert!(std::fs::read(&path).unwrap() == bytes);
    second.apply(&mut claim, acknowledged()).await.unwrap();
    assert_eq!(kept(&second).await, 0);
}

#[tokio::test]
async fn media_are_only_in_the_folder_once_all_hosts_see_it() {
    let Some(bench) = Bench::postgres() else { return };
    let first = host(&bench, "shared").await;
    let alone = first.fetched(PNG).await;
    assert_eq!(kept(&first).await, 1, "alone it proves nothing");
    let second = host(&bench, "shared").await;
    first.inner.beat(Instant::now()).await.unwrap();
    let mut together = first.fetched(PNG).await;
    assert_eq!(kept(&first).await, 1);
    assert!(second.media_file(together.task()).await.is_ok());

    // One comes that does not see it: what was only there is copied for it.
    let third = host(&bench, "elsewhere").await;
    first.apply(&mut together, Event::Checked).await.unwrap();
    let mut claim = third.trying_again().await;
    assert!(matches!(third.media_file(claim.task()).await, Err(StoreError::MediaGone(..))));
    first.inner.beat(Instant::now()).await.unwrap();
    assert!(!first.inner.shared.load(Ordering::SeqCst));
    media::keep_missing(&first.inner).await.unwrap();
    assert_eq!(kept(&first).await, 2);
    assert_eq!(std::fs::read(third.media_file(claim.task()).await.unwrap()).unwrap(), PNG);
    third.apply(&mut claim, acknowledged()).await.unwrap();
    drop(alone);
}

#[tokio::test]
async fn media_that_were_changed_in_the_database_are_not_delivered() {
    let Some(bench) = Bench::postgres() else { return };
    let store = host(&bench, "one").await;
    let claim = store.fetched(PNG).await;
    let mut transaction = store.inner.ledger.database.begin().await.unwrap();
    sqlx::query("UPDATE media SET bytes = $1").bind(&PNG[1..]).execute(&mut *transaction).await.unwrap();
    transaction.commit().await.unwrap();
    assert!(store.media_file(claim.task()).await.is_ok(), "the folder's file is whole");
    store.output().remove(claim.task()).await.unwrap();
    assert!(matches!(store.media_file(claim.task()).await, Err(StoreError::MediaGone(..))));
}
