use std::fs::File;
use std::time::SystemTime;

use super::*;

on_both!(
    what_is_over_goes_with_its_media,
    what_is_saved_stays_and_is_described,
    files_that_no_task_knows_go_and_foreign_ones_stay,
);

const DAY: Duration = Duration::from_secs(86_400);

async fn what_is_over_goes_with_its_media(bench: Bench) {
    let store = bench.open().await;
    let mut delivered = store.trying().await;
    store.apply(&mut delivered, acknowledged()).await.unwrap();
    let mut dead = store.trying().await;
    let refused = Answer::Refused("status 400: Duplicate content detected".to_owned());
    store.apply(&mut dead, Event::Answered(refused)).await.unwrap();
    let open = store.fetched(PNG).await;
    store.skip(DAY - Duration::from_secs(60));
    store.clean_up(DAY, false).await.unwrap();
    assert_eq!(names(&bench.path("output/image")).len(), 3, "a dead letter is kept as long, with its media");
    store.ledger().redeliver(dead.task().id).await.unwrap();

    store.skip(DAY);
    store.clean_up(DAY, false).await.unwrap();
    let gone = store.ledger().task(delivered.task().id).await;
    assert!(matches!(gone, Err(StoreError::NoSuchTask(_))), "{gone:?}");
    // One that was sent again and one that has not ended are there, whatever their age.
    let mut left = [open.task().id, dead.task().id].map(|id| format!("{id}.png"));
    left.sort();
    assert_eq!(names(&bench.path("output/image")), left);
}

async fn what_is_saved_stays_and_is_described(bench: Bench) {
    let store = bench.open().await;
    let mut delivered = store.trying().await;
    store.apply(&mut delivered, acknowledged()).await.unwrap();
    let mut dead = store.trying().await;
    store.apply(&mut dead, Event::Answered(Answer::Undeliverable("no".to_owned()))).await.unwrap();
    store.skip(DAY);
    store.clean_up(DAY, true).await.unwrap();
    assert!(store.ledger().list(State::ALL, 10).await.unwrap().is_empty());
    let id = delivered.task().id;
    let saved = [format!("{id}.json"), format!("{id}.png")];
    assert_eq!(names(&bench.path("output/image")), saved);
    for name in &saved {
        age(&bench.path("output/image").join(name), DAY * 2);
    }
    // Whatever the setting is by then.
    store.clean_up(DAY, false).await.unwrap();
    assert_eq!(names(&bench.path("output/image")), saved);
}

async fn files_that_no_task_knows_go_and_foreign_ones_stay(bench: Bench) {
    let store = bench.open().await;
    let claim = store.fetched(PNG).await;
    let known = format!("{}.png", claim.task().id);
    let (lost, young, saved) = (TaskId::new_v4(), TaskId::new_v4(), TaskId::new_v4());
    let folder = bench.path("output/image");
    let put = |name: &str, how_old: Duration| {
        std::fs::write(folder.join(name), "x").unwrap();
        age(&folder.join(name), how_old);
    };
    age(&folder.join(&known), DAY * 2);
    put(&format!("{lost}.png"), DAY * 2);
    put(&format!(".{lost}-{}.part", TaskId::new_v4()), DAY * 2);
    let mut stay = vec![known, format!("{young}.png")];
    put(&stay[1], DAY / 2);
    let foreign = [
        format!("{saved}.mp4"),
        format!("{saved}.json"),
        format!("{}.png", lost.simple()),
        format!("{lost}.tar.gz"),
        format!("{lost}"),
        "holiday.png".to_owned(),
        ".hidden.part".to_owned(),
    ];
    for name in foreign {
        put(&name, DAY * 2);
        stay.push(name);
    }
    std::fs::create_dir(folder.join(format!("{}.d", TaskId::nil()))).unwrap();
    stay.push(format!("{}.d", TaskId::nil()));
    store.clean_up(DAY, false).await.unwrap();
    stay.sort();
    assert_eq!(names(&folder), stay);
}

fn age(path: &Path, how_old: Duration) {
    File::options().append(true).open(path).unwrap().set_modified(SystemTime::now() - how_old).unwrap();
}
