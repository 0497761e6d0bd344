use std::os::unix::fs::PermissionsExt as _;

use sqlx::{Executor as _, Row as _};

use super::super::database::Database;
use super::*;
use crate::Modality;

on_both!(
    tables_of_a_newer_version_are_refused,
    tables_of_the_first_version_are_brought_up_to_date,
    an_operator_makes_no_tables,
    a_due_time_that_a_wrong_clock_wrote_holds_nothing_up,
    a_store_that_is_closed_refuses,
);

async fn tables_of_a_newer_version_are_refused(bench: Bench) {
    let store = bench.open().await;
    let mut transaction = store.inner.ledger.database.begin().await.unwrap();
    transaction.execute("UPDATE schema_version SET version = 99").await.unwrap();
    transaction.commit().await.unwrap();
    store.close().await.unwrap();
    let refused = [Store::open(bench.config()).await.err(), Ledger::open(&bench.address()).await.err()];
    for error in refused {
        assert!(
            matches!(error, Some(StoreError::NewerSchema { found: 99, known: schema::NEWEST })),
            "{error:?}"
        );
    }
}

async fn tables_of_the_first_version_are_brought_up_to_date(bench: Bench) {
    std::fs::create_dir(bench.path("state")).unwrap();
    let database = Database::open(&bench.address(), true).await.unwrap();
    let bytes = if database.is_postgres() { "BYTEA" } else { "BLOB" };
    let id = TaskId::new_v4();
    let old = format!(
        "CREATE TABLE schema_version (version BIGINT NOT NULL); INSERT INTO schema_version VALUES (1); {} \
         INSERT INTO tasks (id, modality, signed_by, request, accepted_at, state, attempt, service, job, spent, \
         tries, due_at, deliver_by, claim) VALUES ('{id}', 'image', '5A', \
         '{{\"prompt\":\"p\",\"parameters\":null,\"webhook_url\":\"\"}}', 1, 'submitted', 1, 'openai', 'job-1', 0, \
         0, 1, 2, 1)",
        schema::VERSIONS[0].replace("{bytes}", bytes),
    );
    let mut transaction = database.begin().await.unwrap();
    transaction.execute(&*old).await.unwrap();
    database.commit(transaction).await.unwrap();
    database.close().await;
    assert!(matches!(Ledger::open(&bench.address()).await, Err(StoreError::NoSchema)));

    let store = bench.open().await;
    let task = store.ledger().task(id).await.unwrap();
    assert_eq!((task.state, task.job, task.next_service), (State::Submitted, Some(job("job-1")), None));
    assert_eq!(store.claim_paid().await.unwrap().unwrap().task().id, id);
    assert!(store.ledger().knows_job("openai", &job("job-1")).await.unwrap());
}

#[tokio::test]
async fn a_job_is_found_by_its_index() {
    let store = Bench::sqlite().open().await;
    let query = format!("EXPLAIN QUERY PLAN {}", super::super::ledger::KNOWS_JOB);
    let query = sqlx::query(&query).bind("job-1").bind("openai");
    let plan = query.fetch_one(&mut *store.inner.ledger.database.read().await.unwrap()).await.unwrap();
    let plan: &str = plan.try_get("detail").unwrap();
    assert!(plan.contains("USING INDEX tasks_job (job=?)"), "{plan}");
}

async fn an_operator_makes_no_tables(bench: Bench) {
    let error = Ledger::open(&bench.address()).await.unwrap_err();
    assert!(matches!(error, StoreError::NoSchema | StoreError::File { .. }), "{error}");
    bench.open().await.close().await.unwrap();
    Ledger::open(&bench.address()).await.unwrap();
}

async fn a_due_time_that_a_wrong_clock_wrote_holds_nothing_up(bench: Bench) {
    let store = bench.open().await;
    store.skip(Duration::from_secs(365 * 86_400));
    let id = store.put(Modality::Image, "5A").await;
    store.crash(Vec::new()).await;
    let store = bench.open().await;
    assert_eq!(store.claim_queued(Modality::Image).await.unwrap().unwrap().task().id, id);
}

async fn a_store_that_is_closed_refuses(bench: Bench) {
    let store = bench.open().await;
    let other = store.clone();
    let claim = store.calling().await;
    let id = claim.task().id;
    store.close().await.unwrap();
    let accept = other.accept(Modality::Image, "5A".to_owned(), request("p"), None).await;
    assert!(matches!(accept, Err(StoreError::Closed)), "{accept:?}");
    assert!(matches!(other.ledger().task(id).await, Err(StoreError::Closed)));
    drop((claim, other));
    // Let go at the end, so with PostgreSQL no lease has to pass.
    assert_eq!(bench.open().await.state(id).await, State::Unknown);
}

#[tokio::test]
async fn one_miner_has_a_sqlite_file_and_operators_look_at_it() {
    let bench = Bench::sqlite();
    let store = bench.open().await;
    assert!(matches!(Store::open(bench.config()).await, Err(StoreError::InUse(_))));
    let id = store.put(Modality::Image, "5A").await;
    assert_eq!(Ledger::open(&bench.address()).await.unwrap().task(id).await.unwrap().id, id);
    for name in names(&bench.path("state")) {
        let mode = std::fs::metadata(bench.path("state").join(&name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name}");
    }
}

#[tokio::test]
async fn a_database_that_another_program_holds_is_said_to_be_locked_and_nothing_is_lost() {
    let bench = Bench::sqlite();
    let store = bench.open().await;
    let other = Ledger::open(&bench.address()).await.unwrap();
    let held = other.database.begin().await.unwrap();
    let refused = store.accept(Modality::Image, "5A".to_owned(), request("p"), None).await;
    assert!(matches!(refused, Err(StoreError::Locked)), "{refused:?}");
    drop(held);
    store.put(Modality::Image, "5A").await;
    let waiting = store.ledger().counts(Modality::Image).await.unwrap();
    assert_eq!(waiting[&State::Accepted], 1);
}

#[tokio::test]
async fn what_has_happened_waits_for_a_database_that_is_locked_and_a_decision_does_not() {
    let bench = Bench::sqlite();
    let store = bench.open().await;
    let (mut claim, mut other_claim) = (store.calling().await, store.calling().await);
    let other = Ledger::open(&bench.address()).await.unwrap();
    let held = other.database.begin().await.unwrap();
    let submitted = Event::Submitted { job: job("job-7") };
    let id = claim.task().id;
    let mut writing = std::pin::pin!(store.apply(&mut claim, submitted));
    let postpone = Event::Doubt { due_at: 0, why: String::new() };
    tokio::select! {
        refused = store.apply(&mut other_claim, postpone) => {
            assert!(
                matches!(refused, Err(StoreError::Locked | StoreError::Unreachable(_))),
                "{refused:?}"
            );
        }
        written = &mut writing => panic!("{written:?}"),
    }
    drop(held);
    writing.await.unwrap();
    assert_eq!(store.state(id).await, State::Submitted);
}

#[tokio::test]
async fn a_full_disk_is_said_and_nothing_is_half_done() {
    let bench = Bench::sqlite();
    let store = bench.open().await;
    let mut claim = store.calling().await;
    let limit = async |pages: &str| {
        let mut transaction = store.inner.ledger.database.begin().await.unwrap();
        transaction.execute(&*format!("PRAGMA max_page_count = {pages}")).await.unwrap();
    };
    limit("1").await;
    let long = || request(&"p".repeat(100_000));
    let refused = store.accept(Modality::Image, "5A".to_owned(), long(), None).await;
    assert!(matches!(refused, Err(StoreError::DiskFull(_))), "{refused:?}");
    limit("1000000").await;
    assert_eq!(store.ledger().counts(Modality::Image).await.unwrap().len(), 1);
    store.accept(Modality::Image, "5A".to_owned(), long(), None).await.unwrap();
    store.apply(&mut claim, Event::Fail { cost: None, why: String::new() }).await.unwrap();

    let full = std::io::Error::from_raw_os_error(28);
    assert!(matches!(StoreError::file(Path::new("x"), &full), StoreError::DiskFull(_)));
}

#[tokio::test]
async fn media_appear_whole_or_not_at_all() {
    let bench = Bench::sqlite();
    let store = bench.open().await;
    let folder = bench.path("output/image");
    let id = TaskId::new_v4();
    let mut writer = store.output().create(id, Modality::Image).await.unwrap();
    writer.write(b"\x89PNG").await.unwrap();
    writer.write(b"\r\n\x1a\n and more than sixteen").await.unwrap();
    assert_eq!((writer.head(), writer.bytes()), (&b"\x89PNG\r\n\x1a\n and mor"[..], 30));
    assert_eq!(names(&folder).len(), 1);
    drop(writer);
    assert!(names(&folder).is_empty());

    // As a crash leaves one.
    let mut writer = store.output().create(id, Modality::Image).await.unwrap();
    writer.write(b"half").await.unwrap();
    std::mem::forget(writer);
    store.crash(Vec::new()).await;
    assert_eq!(names(&folder).len(), 1);
    let store = bench.open().await;
    assert!(names(&folder).is_empty());

    let task = Task::new(id, Modality::Image, "5A".to_owned(), request("p"), 0);
    let media = write(store.output(), &task, b"abc").await;
    assert_eq!(media.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_eq!(names(&folder), [format!("{id}.png")]);
}

#[tokio::test]
async fn an_output_folder_that_cannot_be_written_is_said_at_the_start() {
    let bench = Bench::sqlite();
    std::fs::write(bench.path("output"), "a file").unwrap();
    let error = Store::open(bench.config()).await.unwrap_err();
    assert!(
        matches!(&error, StoreError::File { path, .. } if path.starts_with(bench.path("output"))),
        "{error}"
    );
}

#[tokio::test]
async fn no_message_holds_the_databases_password() {
    for url in [
        "postgres://miner:geheim@127.0.0.1:1/tasks",
        "postgres://miner:geheim@[bad/tasks",
        "mysql://u:geheim@h/d",
    ] {
        let error = match Address::parse(&SecretString::from(url)) {
            Ok(address) => {
                assert!(!format!("{address:?}").contains("geheim"));
                Ledger::open(&address).await.unwrap_err()
            }
            Err(error) => error,
        };
        let said = format!("{error} {error:?}");
        assert!(!said.contains("geheim"), "{said}");
    }
}

#[test]
fn addresses_are_read() {
    let parse = |text: &str| Address::parse(&SecretString::from(text));
    for (text, path) in [("sqlite:///var/a b.db", "/var/a b.db"), ("sqlite:tasks.db", "tasks.db")] {
        assert!(matches!(parse(text).unwrap(), Address::Sqlite(found) if found == Path::new(path)), "{text}");
    }
    assert!(matches!(parse("postgresql://h/d"), Ok(Address::Postgres(_))));
    for text in ["", "sqlite:", "sqlite::memory:", "sqlite://x?mode=ro", "/var/tasks.db"] {
        assert!(matches!(parse(text), Err(StoreError::Address(_))), "{text}");
    }
}
