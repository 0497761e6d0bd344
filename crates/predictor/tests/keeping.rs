//! What keeps workers well: warm-ups, pings, recycling, a GPU each.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails as a test does")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use adit_media::{Picture, PictureFormat};
use adit_predictor::{
    Answer, Environment, Gpus, PredictError, Predictor, Subject, Task, Wanted, WorkerConfig, WorkerPool,
};
use bytes::Bytes;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// A worker that keeps a diary of what it read in the file `LOG`, and does what the challenge id says.
const WORKER: &str = r#"
import json, os, sys, time
requests = sys.stdin.buffer
def note(text):
    with open(LOG, "a") as log:
        log.write(text + "\n")
def say(message):
    print(json.dumps(message), flush=True)
def answer(*actions):
    say({"id": R["id"], "predictions": [{"frame": 0, "action": str(action)} for action in actions]})
def pong(line):
    say({"pong": line["ping"]})
def warm():
    seen = []
    while True:
        head = json.loads(requests.readline())
        if "bytes" not in head:
            return seen
        seen.append((head, set(requests.read(head["bytes"]))))
def wait_for(path):
    while not os.path.exists(path):
        time.sleep(0.01)
"#;

const LOOP: &str = r#"
note(f"start {os.getpid()}")
say(READY)
for line in requests:
    R = json.loads(line)
    if "ping" in R:
        note("ping")
        pong(R)
    elif R["challenge_id"] == "warm-up":
        warmed(R, warm())
    else:
        exec(R["challenge_id"])
note(f"end {os.getpid()}")
"#;

struct Workers {
    folder: TempDir,
    config: WorkerConfig,
}

impl Workers {
    fn new(ready: &str, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = WorkerConfig::new("test worker", "python3");
        let head = format!("LOG = {:?}\nREADY = {ready}", folder.path().join("log"));
        config.args = vec!["-c".into(), format!("{WORKER}\n{head}\n{more}\n{LOOP}").into()];
        Self { folder, config }
    }

    fn start(&self) -> Arc<Predictor> {
        Arc::new(Predictor::Workers(WorkerPool::start(self.config.clone())))
    }

    fn log(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn starts(&self) -> usize {
        self.log().iter().filter(|line| line.starts_with("start")).count()
    }
}

fn failure(predictor: &Predictor) -> Option<String> {
    let Predictor::Workers(pool) = predictor else { unreachable!() };
    pool.status().last_failure
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = soon();
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not come about");
        sleep(Duration::from_millis(10)).await;
    }
}

async fn ask(predictor: &Predictor, script: &str) -> Result<Vec<String>, PredictError> {
    let bytes = Bytes::from_static(b"not looked at");
    let picture = Picture { bytes, format: PictureFormat::Png, width: 1, height: 1 };
    let task = Task {
        challenge_id: script.to_owned(),
        wanted: Wanted::SoccerActions,
        subject: Subject::Pictures(vec![(0, picture)]),
    };
    match predictor.predict(task, soon()).await? {
        Answer::Actions(actions) => Ok(actions.into_iter().map(|row| row.action).collect()),
        other => panic!("{other:?} to a soccer task"),
    }
}

async fn pid(predictor: &Predictor) -> String {
    ask(predictor, "answer(os.getpid())").await.unwrap().remove(0)
}

const FRAMES: &str = "{'ready': True, 'warm_up': True, 'needs': {'frames': {'width': 4, 'height': 2}}}";

#[tokio::test]
async fn a_worker_that_wants_it_is_shown_grey_frames_before_it_is_ready() {
    let warmed = "def warmed(R, seen):\n    \
                      note(json.dumps([R['want'], R['frame_count'], len(seen), seen[0][0], list(seen[0][1])]))\n    \
                      answer()\n";
    let workers = Workers::new(FRAMES, warmed);
    let predictor = workers.start();
    predictor.wait_ready(soon()).await.unwrap();
    assert_eq!(workers.log()[1], r#"["soccer_action", 8, 8, {"frame": 0, "bytes": 24}, [128]]"#);

    let batch = FRAMES.replace("'height': 2", "'height': 2, 'batch': 5");
    let mut workers =
        Workers::new(&batch, &warmed.replace("answer()", "say({'id': R['id'], 'delivery': {}})"));
    workers.config.wanted = Wanted::CricketDelivery;
    workers.start().wait_ready(soon()).await.unwrap();
    assert_eq!(
        workers.log()[1],
        r#"["cricket_delivery", 5, 1, {"frames": [0, 1, 2, 3, 4], "bytes": 120}, [128]]"#
    );

    let images = "{'ready': True, 'warm_up': True, 'needs': 'images'}";
    let workers = Workers::new(images, &warmed.replace("answer()", "say({'id': R['id'], 'objects': []})"));
    workers.start().wait_ready(soon()).await.unwrap();
    assert_eq!(
        workers.log()[1],
        r#"["objects", 8, 8, {"frame": 0, "width": 1280, "height": 720, "bytes": 2764800}, [128]]"#
    );
}

#[tokio::test]
async fn a_warm_up_that_fails_is_a_start_that_fails_for_that_reason() {
    for (warmed, reason) in [
        ("say({'id': R['id'], 'error': 'no kernel'})", "its warm-up failed: the model failed: no kernel"),
        ("answer(*'a'); say(1)", ""),
        ("say({'id': 9})", "its warm-up failed: worker 0 broke the worker protocol: it answered request 9"),
        ("sys.exit(4)", "its warm-up failed: worker 0 ended (exit status: 4) before it answered"),
        ("time.sleep(1000)", "its warm-up was not done when the time to start was over"),
    ] {
        let mut workers = Workers::new(FRAMES, &format!("def warmed(R, seen): {warmed}\n"));
        if warmed.contains("sleep") {
            workers.config.start_limit = Duration::from_secs(3);
        }
        let predictor = workers.start();
        until("the failure", || failure(&predictor).is_some()).await;
        let failure = failure(&predictor).unwrap();
        assert!(failure.starts_with(reason), "{warmed}: {failure}");
        assert!(!reason.is_empty() || failure.starts_with("it printed unasked"), "{warmed}: {failure}");
        assert!(reason.is_empty() || !predictor.ready());
    }
}

#[tokio::test]
async fn a_warm_up_without_frames_is_refused() {
    for needs in ["file", "frame_count", "link"] {
        let workers = Workers::new(&format!("{{'ready': True, 'warm_up': True, 'needs': {needs:?}}}"), "");
        let predictor = workers.start();
        until("the refusal", || failure(&predictor).is_some()).await;
        let failure = failure(&predictor).unwrap();
        assert!(
            failure.starts_with("it asks for a warm-up, which shows frames or images, and needs"),
            "{failure}"
        );
    }
}

const PINGED: &str = "{'ready': True, 'needs': 'file', 'ping': True}";

fn pinged(more: &str) -> Workers {
    let mut workers = Workers::new(PINGED, more);
    workers.config.ping_every = Duration::from_millis(20);
    workers
}

#[tokio::test]
async fn an_idle_worker_is_pinged_and_one_that_did_not_say_so_is_not() {
    let workers = pinged("");
    let predictor = workers.start();
    until("three pings", || workers.log().iter().filter(|line| *line == "ping").count() >= 3).await;
    let first = pid(&predictor).await;
    assert_eq!(pid(&predictor).await, first);
    assert_eq!((workers.starts(), failure(&predictor)), (1, None));

    let mut unaware = Workers::new("{'ready': True, 'needs': 'file'}", "");
    unaware.config.ping_every = Duration::from_millis(1);
    let predictor = unaware.start();
    let first = pid(&predictor).await;
    sleep(Duration::from_millis(50)).await;
    assert_eq!(pid(&predictor).await, first, "a ping would have been run as a challenge, and failed");
}

#[tokio::test]
async fn a_stopped_worker_is_replaced_before_a_challenge_reaches_it() {
    let mut workers = pinged("");
    workers.config.ping_limit = Duration::from_secs(2);
    let predictor = workers.start();
    let before = pid(&predictor).await;
    assert!(Command::new("kill").args(["-STOP", &before]).status().unwrap().success());
    until("the failure", || failure(&predictor).is_some()).await;
    assert_eq!(failure(&predictor).unwrap(), "it did not answer a ping within 2s");
    assert_ne!(pid(&predictor).await, before);
    until("the end of the stopped one", || !Path::new("/proc").join(&before).exists()).await;
}

#[tokio::test]
async fn a_challenge_that_comes_during_a_ping_waits_for_the_next_worker() {
    let hangs = "def pong(line):\n    \
                     if not os.path.exists(LOG + '.hung'):\n        \
                         open(LOG + '.hung', 'w')\n        \
                         time.sleep(1000)\n    \
                     say({'pong': line['ping']})\n";
    let mut workers = pinged(hangs);
    workers.config.ping_limit = Duration::from_secs(2);
    let predictor = workers.start();
    until("the ping", || workers.log().iter().any(|line| line == "ping")).await;
    pid(&predictor).await;
    assert_eq!(workers.starts(), 2);
}

#[tokio::test]
async fn a_worker_that_answers_a_ping_wrongly_is_replaced() {
    for (pong, reason) in [
        ("say({'pong': line['ping'] + 1})", r#"it answered a ping with `{\"pong\": 1}`"#),
        ("say({'pong': 0, 'more': 1})", r#"it answered a ping with `{\"pong\": 0, \"more\": 1}`"#),
        ("sys.exit(0)", "it ended while it had nothing to do"),
    ] {
        let workers = pinged(&format!("def pong(line): {pong}\n"));
        let predictor = workers.start();
        until("the failure", || failure(&predictor).is_some()).await;
        assert_eq!(failure(&predictor).unwrap(), reason);
    }
}

#[tokio::test]
async fn a_lone_worker_is_recycled_and_challenges_wait_for_the_next() {
    let mut workers = Workers::new("{'ready': True, 'needs': 'file'}", "");
    workers.config.recycle = 3;
    let predictor = workers.start();
    let mut pids = Vec::new();
    for _ in 0..7 {
        pids.push(pid(&predictor).await);
    }
    assert_eq!(failure(&predictor), None, "it is no failure");
    pids.dedup();
    assert_eq!((pids.len(), workers.starts()), (3, 3), "{pids:?}");
}

#[tokio::test]
async fn of_several_workers_one_is_recycled_while_the_others_answer() {
    let folder = tempfile::tempdir().unwrap();
    let go = folder.path().join("go");
    // From the third on, a worker loads for as long as the test likes.
    let mut workers = Workers::new(
        "{'ready': True, 'needs': 'file'}",
        &format!(
            "note(f'load {{os.getpid()}}')\n\
             if sum(line.startswith('load') for line in open(LOG)) > 2: wait_for({go:?})\n"
        ),
    );
    workers.config.count = 2;
    workers.config.recycle = 1;
    let predictor = workers.start();
    let up = |predictor: &Predictor| {
        let Predictor::Workers(pool) = predictor else { unreachable!() };
        pool.status().up
    };
    until("both", || up(&predictor) == 2).await;
    let first = pid(&predictor).await;
    until("the end of the first", || up(&predictor) == 1).await;
    // Nobody waits for the one that loads; the other works on, though it has had its share.
    let mut others = Vec::new();
    for _ in 0..5 {
        others.push(pid(&predictor).await);
    }
    others.dedup();
    assert!(others.len() == 1 && others[0] != first, "{others:?}");
    assert_eq!(workers.starts(), 2);
    fs::write(&go, "").unwrap();
    until("the next one", || up(&predictor) == 2).await;
    for _ in 0..10 {
        pid(&predictor).await;
    }
    assert!(workers.starts() >= 3);
    assert_eq!(failure(&predictor), None);
}

#[tokio::test]
async fn each_worker_sees_its_own_gpu() {
    let folder = tempfile::tempdir().unwrap();
    let see = |mine: &str, other: &str| {
        let [mine, other] = [mine, other].map(|name| folder.path().join(name));
        format!(
            "open({mine:?}, 'w'); wait_for({other:?}); \
             answer(os.environ.get('CUDA_VISIBLE_DEVICES'), os.environ.get('CUDA_DEVICE_ORDER'))"
        )
    };
    let mut workers = Workers::new("{'ready': True, 'needs': 'file'}", "");
    let path = ["PATH", "CUDA_VISIBLE_DEVICES"].map(|name| {
        let value = if name == "PATH" { std::env::var_os("PATH").unwrap() } else { "7".into() };
        (name.into(), value)
    });
    workers.config.environment = Environment::chosen_from(path, &[]);
    workers.config.count = 2;
    workers.config.gpus = Gpus::parse("3,GPU-5c1e", 2).unwrap();
    let predictor = workers.start();
    let (a, b) = (see("a", "b"), see("b", "a"));
    let (a, b) = tokio::join!(ask(&predictor, &a), ask(&predictor, &b));
    let mut seen = [a.unwrap().join(" "), b.unwrap().join(" ")];
    seen.sort();
    assert_eq!(seen, ["3 PCI_BUS_ID", "GPU-5c1e PCI_BUS_ID"]);

    workers.config.count = 1;
    workers.config.gpus = Gpus::Hidden;
    let gpu = "answer(os.environ.get('CUDA_VISIBLE_DEVICES'))";
    assert_eq!(ask(&workers.start(), gpu).await.unwrap(), [""]);
    workers.config.gpus = Gpus::Inherited;
    assert_eq!(ask(&workers.start(), gpu).await.unwrap(), ["7"]);
}
