//! What a crash leaves is taken up.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Write as _;
use std::process::{Child, Command, Stdio};

use super::*;
use crate::{Modality, Usd};

on_both!(every_state_survives_a_crash);

async fn every_state_survives_a_crash(bench: Bench) {
    let store = bench.open().await;
    let queued = store.put(Modality::Video, "5A").await;
    let mut claims = Vec::new();

    let held = store.put(Modality::Image, "5A").await;
    claims.push(store.claim_queued(Modality::Image).await.unwrap().unwrap());
    claims.push(store.calling().await);
    let calling = claims[1].task().id;
    let mut claim = store.calling().await;
    let submitted = claim.task().id;
    store.apply(&mut claim, Event::Submitted { job: job("job-7") }).await.unwrap();
    claims.push(claim);
    let claim = store.fetched(PNG).await;
    let fetched = claim.task().id;
    claims.push(claim);
    let mut claim = store.trying().await;
    let delivered = claim.task().id;
    store.apply(&mut claim, acknowledged()).await.unwrap();
    let claim = store.trying().await;
    let trying = claim.task().id;
    claims.push(claim);
    let mut claim = store.fetched(PNG).await;
    let checked = claim.task().id;
    store.apply(&mut claim, Event::Checked).await.unwrap();
    store.crash(claims).await;

    let store = bench.reopen().await;
    let expected = [
        (queued, State::Accepted),
        (held, State::Accepted),
        (calling, State::Unknown),
        (submitted, State::Submitted),
        (fetched, State::Fetched),
        (checked, State::Checked),
        (trying, State::Delivering),
        (delivered, State::Delivered),
    ];
    for (id, state) in expected {
        assert_eq!(store.state(id).await, state);
    }
    store.skip(Duration::from_secs(10));
    let mut paid = HashMap::new();
    while let Some(claim) = store.claim_paid().await.unwrap() {
        paid.insert(claim.task().id, claim);
    }
    assert_eq!(paid.keys().copied().collect::<HashSet<_>>(), HashSet::from([calling, submitted, fetched]));
    assert_eq!(paid[&submitted].task().job.as_ref().map(Job::as_str), Some("job-7"));
    let mut due = HashSet::new();
    while let Some(mut claim) = store.claim_delivery().await.unwrap() {
        assert_eq!(std::fs::read(store.media_file(claim.task()).await.unwrap()).unwrap(), PNG);
        store.apply(&mut claim, Event::Try).await.unwrap();
        store.apply(&mut claim, acknowledged()).await.unwrap();
        due.insert((claim.task().id, claim.task().tries));
    }
    assert_eq!(due, HashSet::from([(checked, 1), (trying, 2)]));

    // The call in doubt is still paid for, and only the provider's word lets it be made again.
    let mut claim = paid.remove(&calling).unwrap();
    assert_eq!(claim.task().reserved.map(|(price, _)| price), Some(Usd(40_000)));
    assert!(matches!(store.call(&mut claim, "openai", "m", Usd(1)).await, Err(StoreError::Illegal(_))));
    let never_got_it =
        Event::Retry { due_at: 0, cost: Some(Usd(0)), why: "no such job".to_owned(), next_service: None };
    store.apply(&mut claim, never_got_it).await.unwrap();
    let images = [
        store.claim_queued(Modality::Image).await.unwrap().unwrap(),
        store.claim_queued(Modality::Image).await.unwrap().unwrap(),
    ];
    assert_eq!(
        images.map(|claim| claim.task().id).into_iter().collect::<HashSet<_>>(),
        HashSet::from([held, calling])
    );
}

/// Where the child's files are; set in the child only.
const CHILD: &str = "ADIT_TEST_TASKS";

/// A child works on tasks and notes in files what a validator, a provider and a webhook would have seen. It is killed at
/// no particular moment, again and again; then nothing may be missing and nothing may have been done twice.
#[test]
fn nothing_is_lost_or_paid_twice_whenever_the_miner_is_killed() {
    if let Some(folder) = std::env::var_os(CHILD) {
        run(work(Path::new(&folder)));
        return;
    }
    let bench = Bench::sqlite();
    let mut lines = 0;
    for round in 0..12 {
        let child = start(&bench);
        // Another number of lines each time, so another place in the work.
        lines += 3 + round * 7 % 23;
        while noted(&bench, "calls").len() < lines {
            std::thread::yield_now();
        }
        drop(child);
        lines = noted(&bench, "calls").len();
    }
    run(judge(bench));
}

/// A child that is killed when dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn start(bench: &Bench) -> Killed {
    let test = "task::tests::crash::nothing_is_lost_or_paid_twice_whenever_the_miner_is_killed";
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", test, "--nocapture"]).env(CHILD, bench.folder.path());
    Killed(child.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap())
}

fn run(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(work);
}

fn noted(bench: &Bench, name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(bench.path(name)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// The child, until it is killed.
async fn work(folder: &Path) {
    let note = |name: &str, line: String| {
        let mut file = std::fs::File::options().append(true).create(true).open(folder.join(name)).unwrap();
        file.write_all(format!("{line}\n").as_bytes()).unwrap();
    };
    let config = Config {
        database: Address::Sqlite(folder.join("state/tasks.db")),
        output_dir: folder.join("output"),
        queue: 10_000,
        daily_budget: None,
        journal: None,
    };
    let store = Store::open(config).await.unwrap();
    store.skip(Duration::from_secs(1));
    let accept = async |modality| loop {
        note("accepted", store.put(modality, "5A").await.to_string());
    };
    let generate = async |modality| loop {
        let Some(mut claim) = store.claim_queued(modality).await.unwrap() else {
            tokio::task::yield_now().await;
            continue;
        };
        store.call(&mut claim, "openai", "m", Usd(40_000)).await.unwrap();
        note("calls", format!("{} {}", claim.task().id, claim.task().attempt));
        if modality == Modality::Video {
            store.apply(&mut claim, Event::Submitted { job: job("job") }).await.unwrap();
        }
        finish(&store, &mut claim).await;
    };
    let resume = async || loop {
        match store.claim_paid().await.unwrap() {
            Some(mut claim) if claim.task().state == State::Unknown => {
                let fail = Event::Fail { cost: None, why: "in doubt".to_owned() };
                store.apply(&mut claim, fail).await.unwrap();
            }
            Some(mut claim) => finish(&store, &mut claim).await,
            None => tokio::task::yield_now().await,
        }
    };
    let deliver = async || loop {
        let Some(mut claim) = store.claim_delivery().await.unwrap() else {
            store.skip(Duration::from_secs(1));
            tokio::task::yield_now().await;
            continue;
        };
        store.apply(&mut claim, Event::Try).await.unwrap();
        note("tries", claim.task().id.to_string());
        store.apply(&mut claim, acknowledged()).await.unwrap();
        note("acknowledged", claim.task().id.to_string());
    };
    tokio::join!(
        accept(Modality::Image),
        accept(Modality::Video),
        generate(Modality::Image),
        generate(Modality::Image),
        generate(Modality::Video),
        resume(),
        deliver(),
    );
}

async fn finish(store: &Store, claim: &mut Claim) {
    if claim.task().state != State::Fetched {
        let media = write(store.output(), claim.task(), PNG).await;
        store.apply(claim, Event::Fetched { media, cost: None }).await.unwrap();
    }
    store.apply(claim, Event::Checked).await.unwrap();
}

/// After the last kill.
async fn judge(bench: Bench) {
    let store = bench.open().await;
    let tasks = store.ledger().list(State::ALL, u32::MAX).await.unwrap();
    let tasks: HashMap<String, Task> = tasks.into_iter().map(|task| (task.id.to_string(), task)).collect();
    for id in noted(&bench, "accepted") {
        assert!(tasks.contains_key(&id), "{id} was accepted and is lost");
    }
    let mut calls: BTreeMap<String, u32> = BTreeMap::new();
    for call in noted(&bench, "calls") {
        let (id, attempt) = call.split_once(' ').unwrap();
        let last = calls.insert(id.to_owned(), attempt.parse().unwrap());
        assert_eq!(last, None, "{id} was called twice");
    }
    let (mut spent, mut in_doubt) = (0, 0);
    for (id, task) in &tasks {
        spent += task.cost().0;
        assert!(!calls.contains_key(id) || task.attempt == 1);
        assert_ne!(task.state, State::Calling);
        in_doubt += u32::from(task.failure.is_some() || task.state == State::Unknown);
        if let Some(media) = &task.media {
            assert_eq!((media.bytes, &*task.media_bytes(&store).await), (PNG.len() as u64, PNG));
        }
    }
    assert_eq!(store.ledger().spent(store.ledger().today()).await.unwrap(), Usd(spent));
    // A kill leaves no more in doubt than were being called.
    assert!(in_doubt <= 12 * 3, "{in_doubt}");
    let tries = noted(&bench, "tries");
    for id in noted(&bench, "acknowledged") {
        assert!(matches!(tasks[&id].state, State::Delivered | State::Failed));
        assert!(tries.contains(&id));
    }
    for (id, task) in &tasks {
        let tried = tries.iter().filter(|tried| *tried == id).count();
        assert!(tried <= task.tries as usize && tried + 12 >= task.tries as usize);
    }
}

impl Task {
    async fn media_bytes(&self, store: &Store) -> Vec<u8> {
        std::fs::read(store.media_file(self).await.unwrap()).unwrap()
    }
}
