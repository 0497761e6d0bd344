use futures_util::future::join_all;

use super::*;
use crate::{Modality, Usd};

on_both!(
    turns_go_round_between_validators,
    whoever_has_fewest_under_way_is_first,
    a_modality_does_not_wait_for_the_other,
    a_full_queue_refuses_and_writes_nothing,
    accepts_that_arrive_together_share_a_commit,
    the_days_budget_is_never_exceeded,
    a_claim_that_is_dropped_is_let_go,
    a_claim_that_nobody_waits_for_is_let_go,
);

async fn turns_go_round_between_validators(bench: Bench) {
    let store = bench.open().await;
    for validator in ["5A", "5A", "5A", "5B", "5B", "5C"] {
        store.put(Modality::Image, validator).await;
    }
    let mut served = Vec::new();
    while let Some(mut claim) = store.claim_queued(Modality::Image).await.unwrap() {
        served.push(claim.task().signed_by.clone());
        store.apply(&mut claim, Event::Fail { cost: None, why: String::new() }).await.unwrap();
    }
    assert_eq!(served, ["5A", "5B", "5C", "5A", "5B", "5A"]);
}

async fn whoever_has_fewest_under_way_is_first(bench: Bench) {
    let store = bench.open().await;
    for validator in ["5A", "5B", "5A", "5B", "5A"] {
        store.put(Modality::Image, validator).await;
    }
    let mut claims = Vec::new();
    for _ in 0..2 {
        let mut claim = store.claim_queued(Modality::Image).await.unwrap().unwrap();
        store.call(&mut claim, "openai", "m", Usd(1)).await.unwrap();
        claims.push(claim);
    }
    // 5B's comes to its end, 5A's does not: so it is 5B's turn again, though 5A was served longer ago.
    let mut second = claims.pop().unwrap();
    assert_eq!(second.task().signed_by, "5B");
    store.apply(&mut second, Event::Fail { cost: None, why: String::new() }).await.unwrap();
    let claim = store.claim_queued(Modality::Image).await.unwrap().unwrap();
    assert_eq!(claim.task().signed_by, "5B");
}

async fn a_modality_does_not_wait_for_the_other(bench: Bench) {
    let store = bench.open().await;
    for _ in 0..20 {
        store.put(Modality::Video, "5A").await;
    }
    let image = store.put(Modality::Image, "5A").await;
    assert_eq!(store.claim_queued(Modality::Image).await.unwrap().unwrap().task().id, image);
}

async fn a_full_queue_refuses_and_writes_nothing(bench: Bench) {
    let store = Store::open(Config { queue: 2, ..bench.config() }).await.unwrap();
    let accept = |modality| store.accept(modality, "5A".to_owned(), request("a lighthouse"), None);
    let results = join_all((0..3).map(|_| accept(Modality::Image))).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 2);
    let before = store.figures();
    assert!(matches!(accept(Modality::Image).await, Err(StoreError::QueueFull { waiting: 2 })));
    assert_eq!(store.figures(), before);
    accept(Modality::Video).await.unwrap();
    // A task that is worked on waits no longer.
    let _claim = store.claim_queued(Modality::Image).await.unwrap().unwrap();
    accept(Modality::Image).await.unwrap();
    accept(Modality::Image).await.unwrap_err();
}

async fn accepts_that_arrive_together_share_a_commit(bench: Bench) {
    let store = bench.open().await;
    let before = store.figures();
    let accept =
        |number: usize| store.accept(Modality::Image, format!("5V{}", number % 7), request("p"), None);
    let accepted = join_all((0..64).map(accept)).await;
    let after = store.figures();
    assert_eq!((after.accepted - before.accepted, after.commits - before.commits), (64, 1));
    for task in accepted {
        let task = task.unwrap();
        assert_eq!(store.ledger().task(task.id).await.unwrap(), task);
    }
}

async fn the_days_budget_is_never_exceeded(bench: Bench) {
    let budget = Some(Usd(7_500_000));
    let config = Config { daily_budget: budget, ..bench.config() };
    let first = Store::open(config.clone()).await.unwrap();
    // Several hosts where that is possible.
    let second = if bench.server.is_some() { Store::open(config).await.unwrap() } else { first.clone() };
    for _ in 0..20 {
        first.put(Modality::Image, "5A").await;
    }
    let call = async |store: &Store| {
        let mut claim = store.claim_queued(Modality::Image).await.unwrap().unwrap();
        match store.call(&mut claim, "openai", "m", Usd(1_000_000)).await {
            Ok(()) => Some(claim),
            Err(StoreError::BudgetSpent { spent, .. }) => {
                assert!(spent > Usd(6_500_000));
                let event = Event::Postpone { due_at: i64::MAX, why: "budget".to_owned() };
                store.apply(&mut claim, event).await.unwrap();
                None
            }
            Err(error) => panic!("{error}"),
        }
    };
    let stores = [&first, &second];
    let calls = join_all((0..20).map(|number| call(stores[number % 2]))).await;
    let mut claims: Vec<Claim> = calls.into_iter().flatten().collect();
    assert_eq!(claims.len(), 7);
    let today = first.ledger().today();
    assert_eq!(first.ledger().spent(today).await.unwrap(), Usd(7_000_000));
    // What turns out to cost less makes room; what is reserved for a call in doubt does not.
    let mut cheap = claims.pop().unwrap();
    let fail = Event::Fail { cost: Some(Usd(400_000)), why: String::new() };
    first.apply(&mut cheap, fail).await.unwrap();
    let mut doubtful = claims.pop().unwrap();
    let doubt = Event::Doubt { due_at: i64::MAX, why: String::new() };
    first.apply(&mut doubtful, doubt).await.unwrap();
    assert_eq!(first.ledger().spent(today).await.unwrap(), Usd(6_400_000));
}

async fn a_claim_that_is_dropped_is_let_go(bench: Bench) {
    let store = bench.open().await;
    let claim = store.calling().await;
    let id = claim.task().id;
    let mut changes = store.changes();
    let worker = tokio::spawn(async move {
        let _claim = claim;
        panic!("a bug");
    });
    worker.await.unwrap_err();
    changes.changed().await.unwrap();
    assert_eq!(store.state(id).await, State::Unknown);
    store.skip(Duration::from_secs(5));
    let claim = store.claim_paid().await.unwrap().unwrap();
    assert_eq!(claim.task().id, id);
    assert!(store.claim_paid().await.unwrap().is_none());
}

async fn a_claim_that_nobody_waits_for_is_let_go(bench: Bench) {
    let store = bench.open().await;
    let id = store.put(Modality::Image, "5A").await;
    // Given up after another number of steps each time, so also between the commit and its answer.
    for steps in 0..200 {
        let mut claim = std::pin::pin!(store.claim_queued(Modality::Image));
        for _ in 0..steps {
            if futures_util::poll!(&mut claim).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    let mut changes = store.changes();
    loop {
        if let Some(claim) = store.claim_queued(Modality::Image).await.unwrap() {
            assert_eq!(claim.task().id, id);
            return;
        }
        changes.changed().await.unwrap();
    }
}
