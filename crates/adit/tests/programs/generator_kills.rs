//! `gascli generator serve` under `kill -9`, between stand-ins of the services and of a validator: whenever it is killed,
//! no task is lost, nothing is paid for twice, and no validator is told twice what it has acknowledged.
//!
//! `ADIT_KILLS` says how often it is killed; unless set, as often as a minute and a quarter allows. `ADIT_SEED` repeats
//! the moments of an earlier run, as far as moments can be repeated.

mod judge;
mod stage;
mod validator;

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use adit_generative::Modality;
use adit_generative::task::{Address, Ledger, State, Task, TaskId};
use adit_stand_in::postgres::Postgres;
use adit_stand_in::providers::{Call, Fault, Service};
use secrecy::SecretString;

use judge::judge;
use stage::Stage;

/// A test's share of the time, unless `ADIT_KILLS` asks for more.
const TIME: Duration = Duration::from_secs(75);
/// Pause between two requests of the validator.
const RATE: Duration = Duration::from_millis(400);
/// How long the last run may take to bring every task to its end: a job is polled every six seconds, a call in doubt
/// asked for after five, a webhook tried again after pauses that double.
const QUIET: Duration = Duration::from_secs(150);

/// Numbers that look random and follow from a seed (SplitMix64).
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn ms_below(&mut self, bound: u64) -> Duration {
        Duration::from_millis(self.below(bound))
    }
}

/// What the kills have struck.
#[derive(Debug, Default)]
struct Struck {
    kills: u32,
    /// Kills that found a task in this state.
    by_state: BTreeMap<State, u32>,
    /// Tasks whose paid call was under way at a kill.
    calling: HashSet<TaskId>,
    /// How many kills found a delivery of this task begun.
    delivering: BTreeMap<TaskId, u32>,
}

impl Struck {
    /// A kill that left the tasks so.
    fn note(&mut self, tasks: &[Task]) {
        self.kills += 1;
        let states: HashSet<State> = tasks.iter().map(|task| task.state).collect();
        for state in states {
            *self.by_state.entry(state).or_default() += 1;
        }
        for task in tasks {
            if task.state == State::Calling {
                self.calling.insert(task.id);
            }
            if task.state == State::Delivering {
                *self.delivering.entry(task.id).or_default() += 1;
            }
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

/// The tasks that have not come to their end.
async fn under_way(ledger: &Ledger) -> Vec<Task> {
    let states: Vec<State> = State::ALL.iter().copied().filter(|state| !state.is_end()).collect();
    ledger.list(&states, u32::MAX).await.unwrap()
}

/// Waits until every task has come to its end, and returns all.
async fn all_ended(ledger: &Ledger) -> Vec<Task> {
    let until = Instant::now() + QUIET;
    loop {
        let open = under_way(ledger).await;
        if open.is_empty() {
            return ledger.list(State::ALL, u32::MAX).await.unwrap();
        }
        assert!(Instant::now() < until, "these do not come to an end: {open:#?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Asks for pictures and videos at a steady rate, of whichever miner is up, until it is dropped. Some of the services'
/// calls meet faults that cost nothing.
async fn keep_asking(stage: &Stage, random: &mut Random) {
    for count in 0_u64.. {
        if count % 400 == 0 {
            stage.make_media();
        }
        let modality = Modality::ALL[usize::try_from(count % 2).unwrap()];
        stage.providers.polls(u32::from(random.below(4) == 0));
        let (service, call, fault) = match random.below(40) {
            0 => (Service::OpenAi, Call::Start, Fault::RateLimited("1".to_owned())),
            1 => (Service::OpenAi, Call::Poll, Fault::Page(502)),
            2 => (Service::Runway, Call::Media, Fault::Truncated),
            3 => (Service::StabilityAi, Call::Start, Fault::Complaint(503, "busy".to_owned())),
            _ => (Service::OpenAi, Call::Media, Fault::Page(200)),
        };
        if random.below(10) == 0 {
            stage.providers.plant(service, call, fault, 1);
        }
        stage.ask(modality, format!("{modality} {count}")).await;
        tokio::time::sleep(RATE).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whenever_it_is_killed_nothing_is_lost_paid_for_twice_or_told_twice() {
    let seed = number("ADIT_SEED").unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        u64::from(now.subsec_nanos())
    });
    eprintln!("ADIT_SEED={seed}");
    let (mut moments, mut load) = (Random(seed), Random(!seed));
    let stage = Stage::new(seed).await;
    let kills = number("ADIT_KILLS");
    let mut struck = Struck::default();
    let killing = async {
        let start = Instant::now();
        while kills.map_or(start.elapsed() < TIME, |kills| u64::from(struck.kills) < kills) {
            let mut miner = stage.start("one", None, struck.kills);
            // Half of the kills while it takes up what the last one left.
            let longest = if moments.below(2) == 0 { 500 } else { 2_500 };
            tokio::time::sleep(moments.ms_below(longest)).await;
            miner.kill();
            struck.note(&stage.tasks_of_the_dead("one").await);
        }
    };
    tokio::select! {
        () = killing => {}
        () = keep_asking(&stage, &mut load) => unreachable!("it never ends"),
    }

    stage.validator.behave();
    let mut miner = stage.start("one", None, 0);
    let ledger = Ledger::open(&stage.sqlite("one")).await.unwrap();
    let tasks = all_ended(&ledger).await;
    let spent = ledger.spent(ledger.today()).await.unwrap();
    drop(ledger);
    assert_eq!(miner.terminate(), Some(0));
    let figures = judge(&stage, &tasks, &struck);
    assert_eq!(figures.cost, spent, "what the day's tasks cost is not what is booked (or it is midnight)");
    eprintln!("{figures}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_miner_takes_over_what_a_dead_one_left_with_a_folder_of_its_own() {
    take_over(["one-media", "two-media"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_miner_takes_over_what_a_dead_one_left_in_their_folder() {
    take_over(["media", "media"]).await;
}

/// Two miners on one queue, of which one is killed and does not come back.
async fn take_over(media: [&str; 2]) {
    /// Requests before the kill, and after it.
    const LOAD: Duration = Duration::from_secs(8);
    /// What is being called after this long is not called by the living.
    const SETTLED: Duration = Duration::from_secs(3);
    let Some(server) = Postgres::start() else { return };
    let (queue, seed) = (server.url(), 34);
    let stage = Stage::new(seed).await;
    let mut first = stage.start("one", Some((&queue, media[0])), 0);
    let mut second = stage.start("two", Some((&queue, media[1])), 0);
    let ledger = Ledger::open(&Address::parse(&SecretString::from(queue)).unwrap()).await.unwrap();
    let mut struck = Struck::default();
    let killing = async {
        tokio::time::sleep(LOAD).await;
        first.kill();
        tokio::time::sleep(SETTLED).await;
        struck.note(&under_way(&ledger).await);
        tokio::time::sleep(LOAD).await;
    };
    let mut load = Random(seed);
    tokio::select! {
        () = killing => {}
        () = keep_asking(&stage, &mut load) => unreachable!("it never ends"),
    }
    stage.validator.behave();
    let tasks = all_ended(&ledger).await;
    assert_eq!(second.terminate(), Some(0));
    eprintln!("{}", judge(&stage, &tasks, &struck));
}
