//! The pool against real processes that behave, hang, die and babble.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails as a test does")]

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adit_media::{Picture, PictureFormat};
use adit_predictor::{
    Action, Answer, Environment, Need, PredictError, Predictor, Subject, Task, Wanted, WorkerConfig,
    WorkerPool,
};
use bytes::Bytes;
use tokio::time::{Instant, sleep};

/// Long enough for a loaded machine; reached only by a test that fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A worker that does what the challenge id says: `R` is the request and `say` prints a message.
const WORKER: &str = r#"
import json, os, subprocess, sys, threading, time
def say(message):
    print(json.dumps(message), flush=True)
def answer(*actions):
    say({"id": R["id"], "predictions": [{"frame": 0, "action": str(action)} for action in actions]})
def wait_for(path):
    while not os.path.exists(path):
        time.sleep(0.01)
say({"ready": True, "needs": "file"})
for line in sys.stdin:
    R = json.loads(line)
    exec(R["challenge_id"])
"#;

fn worker(script: &str) -> WorkerConfig {
    let mut config = WorkerConfig::new("test worker", "python3");
    config.args = vec!["-c".into(), script.into()];
    config
}

fn predictor(count: usize) -> Predictor {
    let mut config = worker(WORKER);
    config.count = count;
    Predictor::Workers(WorkerPool::start(config))
}

fn task(script: &str) -> Task {
    let picture = Picture {
        bytes: Bytes::from_static(b"not looked at"),
        format: PictureFormat::Png,
        width: 1,
        height: 1,
    };
    Task {
        challenge_id: script.to_owned(),
        wanted: Wanted::SoccerActions,
        subject: Subject::Pictures(vec![(0, picture)]),
    }
}

fn soon() -> Instant {
    Instant::now() + PATIENCE
}

async fn ask(predictor: &Predictor, script: &str) -> Result<Vec<String>, PredictError> {
    match predictor.predict(task(script), soon()).await? {
        Answer::Actions(actions) => Ok(actions.into_iter().map(|row| row.action).collect()),
        other => panic!("{other:?} to a soccer task"),
    }
}

async fn pid(predictor: &Predictor) -> String {
    ask(predictor, "answer(os.getpid())").await.unwrap().remove(0)
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = soon();
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not come about");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Until a worker is dead and reaped.
async fn until_gone(pid: &str) {
    let process = Path::new("/proc").join(pid);
    until(&format!("the end of process {pid}"), || !process.exists()).await;
}

/// Until a worker's child is dead; it is left to the system's first process to reap.
async fn until_dead(pid: &str) {
    let stat = Path::new("/proc").join(pid).join("stat");
    let dead = || fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "));
    until(&format!("the end of process {pid}"), dead).await;
}

fn how_it_died(answer: Result<Vec<String>, PredictError>) -> String {
    match answer {
        Err(PredictError::Died { how, .. }) => how,
        other => panic!("{other:?} from a worker that died"),
    }
}

fn what_broke(answer: Result<Vec<String>, PredictError>) -> String {
    match answer {
        Err(PredictError::Protocol { what, .. }) => what,
        other => panic!("{other:?} from a worker that babbled"),
    }
}

#[tokio::test]
async fn a_warm_worker_answers_again_and_again() {
    let predictor = predictor(1);
    assert_eq!(predictor.wait_ready(soon()).await.unwrap(), Need::File);
    assert!(predictor.ready());
    assert_eq!(pid(&predictor).await, pid(&predictor).await);
    assert_eq!(predictor.describe(), "1 of 1 workers up: test worker, needs a local file");
}

#[tokio::test]
async fn a_request_says_what_the_protocol_promises() {
    let predictor = predictor(1);
    let seen = ask(
        &predictor,
        "answer(json.dumps({k: v for k, v in R.items() if k not in ('challenge_id', 'pictures')}), \
         R['pictures'][0]['frame_id'], open(R['pictures'][0]['path']).read(), R['pictures'][0]['path'])",
    )
    .await
    .unwrap();
    assert_eq!(
        seen[0],
        r#"{"id": 0, "want": "soccer_action", "video": null, "frame_count": null, "frame_rate": null}"#
    );
    assert_eq!(seen[1..3], ["0", "not looked at"]);
    assert!(seen[3].ends_with("/0.png"), "{}", seen[3]);
    assert!(!Path::new(&seen[3]).exists(), "a picture outlived its request");
}

#[tokio::test]
async fn a_worker_that_hangs_is_killed_at_the_deadline_with_its_children() {
    let predictor = predictor(1);
    let pids = ask(&predictor, "answer(os.getpid(), subprocess.Popen(['sleep', '1000']).pid)").await.unwrap();
    let deadline = Instant::now() + Duration::from_millis(300);
    let outcome = predictor.predict(task("time.sleep(1000)"), deadline).await;
    assert!(matches!(outcome, Err(PredictError::Deadline { worker: 0 })), "{outcome:?}");
    until_gone(&pids[0]).await;
    until_dead(&pids[1]).await;
    assert_ne!(pid(&predictor).await, pids[0]);
}

#[tokio::test]
async fn dropping_the_call_kills_the_worker_that_was_computing() {
    let folder = tempfile::tempdir().unwrap();
    let begun = folder.path().join("begun");
    let predictor = predictor(1);
    let before = pid(&predictor).await;
    let script = format!("open({begun:?}, 'w'); time.sleep(1000)");
    tokio::select! {
        outcome = ask(&predictor, &script) => panic!("{outcome:?}"),
        () = until("the computation", || begun.exists()) => {}
    }
    until_gone(&before).await;
    assert_ne!(pid(&predictor).await, before);
}

#[tokio::test]
async fn a_worker_that_dies_is_reported_and_replaced() {
    let predictor = predictor(1);
    let before = pid(&predictor).await;
    assert_eq!(how_it_died(ask(&predictor, "sys.exit(3)").await), "ended (exit status: 3)");
    assert_ne!(pid(&predictor).await, before);
    assert_eq!(
        how_it_died(ask(&predictor, "os.kill(os.getpid(), 11)").await),
        "ended (signal: 11 (SIGSEGV))"
    );
}

#[tokio::test]
async fn a_worker_that_dies_while_its_child_holds_the_pipes_is_noticed() {
    let predictor = predictor(1);
    let how = ask(&predictor, "subprocess.Popen(['sleep', '1000']); os._exit(3)").await;
    assert_eq!(how_it_died(how), "ended (exit status: 3)");
}

#[tokio::test]
async fn a_worker_that_dies_while_idle_is_replaced() {
    let predictor = predictor(1);
    let script = "answer(os.getpid()); sys.stdout.close(); os._exit(0)";
    let before = ask(&predictor, script).await.unwrap().remove(0);
    until_gone(&before).await;
    assert_ne!(pid(&predictor).await, before);
}

#[tokio::test]
async fn a_worker_that_closes_its_output_is_reported_and_killed() {
    let predictor = predictor(1);
    let before = pid(&predictor).await;
    let how = ask(&predictor, "os.close(1); time.sleep(1000)").await;
    assert_eq!(how_it_died(how), "closed its output");
    until_gone(&before).await;
}

#[tokio::test]
async fn rubbish_is_quoted_and_its_worker_replaced() {
    let predictor = predictor(1);
    let before = pid(&predictor).await;
    let what = what_broke(ask(&predictor, "print('loading\\t\\x1b[1m', flush=True)").await);
    assert!(what.ends_with(r"`loading\t\x1b[1m`"), "{what}");
    assert_ne!(pid(&predictor).await, before);
}

#[tokio::test]
async fn an_answer_to_another_request_is_refused() {
    let predictor = predictor(1);
    let what = what_broke(ask(&predictor, "say({'id': 5, 'predictions': []})").await);
    assert!(what.starts_with("it answered request 5 when asked 0"), "{what}");
}

#[tokio::test]
async fn an_endless_line_is_given_up_at_its_limit() {
    let predictor = predictor(1);
    let script = "while True: sys.stdout.write('x' * 65536)";
    let what = what_broke(ask(&predictor, script).await);
    assert!(what.starts_with("its answer is longer than 8 MiB: `xxx"), "{what}");
    assert!(what.len() < 300, "{} bytes of error", what.len());
}

#[tokio::test]
async fn a_line_that_nobody_asked_for_replaces_the_worker() {
    let predictor = predictor(1);
    let before = ask(&predictor, "answer(os.getpid()); print('more', flush=True)").await.unwrap().remove(0);
    until_gone(&before).await;
    assert_ne!(pid(&predictor).await, before);
    let Predictor::Workers(pool) = &predictor else { unreachable!() };
    assert_eq!(pool.status().last_failure.unwrap(), "it printed unasked: `more`");
}

#[tokio::test]
async fn a_reported_failure_keeps_the_worker() {
    let predictor = predictor(1);
    let before = pid(&predictor).await;
    let outcome = ask(&predictor, "say({'id': R['id'], 'error': 'ValueError: no ball'})").await;
    assert!(
        matches!(&outcome, Err(PredictError::Model(text)) if text == "ValueError: no ball"),
        "{outcome:?}"
    );
    assert_eq!(pid(&predictor).await, before);
}

#[tokio::test]
async fn a_value_that_validators_reject_keeps_the_worker() {
    let predictor = predictor(1);
    let before = pid(&predictor).await;
    for (script, what) in [
        (
            "say({'id': R['id'], 'predictions': [{'frame': 3, 'action': 'pass', 'confidence': 1.0000001}]})",
            "confidence 1.0000001 of the action at frame 3 is outside 0..=1",
        ),
        ("say({'id': R['id'], 'predictions': [{'frame': 2.5, 'action': 'pass'}]})", "floating point `2.5`"),
    ] {
        let outcome = ask(&predictor, script).await;
        assert!(matches!(&outcome, Err(PredictError::Model(text)) if text.contains(what)), "{outcome:?}");
        assert_eq!(pid(&predictor).await, before);
    }
}

#[tokio::test]
async fn the_status_counts_the_workers_up_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let first = folder.path().join("first");
    let script = format!(
        "import os, sys, time\n\
         try: os.mkdir({first:?})\n\
         except FileExistsError: time.sleep(1000)\n\
         {WORKER}"
    );
    let pool = WorkerPool::start(WorkerConfig { count: 2, ..worker(&script) });
    assert_eq!((pool.status().up, pool.status().count), (0, 2));
    pool.wait_ready(soon()).await.unwrap();
    assert_eq!((pool.status().up, pool.status().count), (1, 2));
}

#[tokio::test]
async fn two_workers_compute_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let predictor = predictor(2);
    let meet = |mine: &str, other: &str| {
        let [mine, other] = [mine, other].map(|name| folder.path().join(name));
        format!("open({mine:?}, 'w'); wait_for({other:?}); answer('met')")
    };
    let (a, b) = (meet("a", "b"), meet("b", "a"));
    let (a, b) = tokio::join!(ask(&predictor, &a), ask(&predictor, &b));
    assert_eq!((a.unwrap(), b.unwrap()), (vec!["met".to_owned()], vec!["met".to_owned()]));
}

#[tokio::test]
async fn callers_are_served_in_the_order_they_came() {
    let predictor = predictor(1);
    predictor.wait_ready(soon()).await.unwrap();
    let served = Mutex::new(Vec::new());
    let call = async |number: usize| {
        ask(&predictor, "answer('done')").await.unwrap();
        served.lock().unwrap().push(number);
    };
    tokio::join!(call(0), call(1), call(2), call(3), call(4));
    assert_eq!(*served.lock().unwrap(), [0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn a_caller_that_no_worker_had_time_for_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let (begun, go) = (folder.path().join("begun"), folder.path().join("go"));
    let predictor = predictor(1);
    let script = format!("open({begun:?}, 'w'); wait_for({go:?}); answer('done')");
    let (first, second) = tokio::join!(ask(&predictor, &script), async {
        until("the first request", || begun.exists()).await;
        let deadline = Instant::now() + Duration::from_millis(100);
        let second = predictor.predict(task("answer('late')"), deadline).await;
        fs::write(&go, "").unwrap();
        second
    });
    assert_eq!(first.unwrap(), ["done"]);
    assert!(matches!(second, Err(PredictError::Busy { workers: 1 })), "{second:?}");
}

#[tokio::test]
async fn a_crash_loop_is_slowed_down_and_explained() {
    let folder = tempfile::tempdir().unwrap();
    let starts = folder.path().join("starts");
    let script = format!("import sys, time\nopen({starts:?}, 'a').write(f'{{time.time()}}\\n')\nsys.exit(4)");
    let predictor = Predictor::Workers(WorkerPool::start(worker(&script)));
    let times = || -> Vec<f64> {
        let text = fs::read_to_string(&starts).unwrap_or_default();
        text.lines().map(|line| line.parse().unwrap()).collect()
    };
    until("the fourth start", || times().len() >= 4).await;
    let times = times();
    for (gap, least) in times.windows(2).zip([0.1, 0.2, 0.4]) {
        assert!(gap[1] - gap[0] >= least, "{times:?}");
    }
    assert!(!predictor.ready());
    assert_eq!(predictor.need(), None);
    let deadline = Instant::now() + Duration::from_millis(50);
    let answer = predictor.predict(task(""), deadline).await;
    let waited = predictor.wait_ready(deadline).await;
    for error in [answer.unwrap_err(), waited.unwrap_err()] {
        assert_eq!(
            error.to_string(),
            "no worker is ready: it ended (exit status: 4) before it was ready; \
             the log has what the worker itself printed"
        );
    }
}

#[tokio::test]
async fn a_worker_that_never_gets_ready_is_given_up() {
    let mut config = worker("import time; time.sleep(1000)");
    config.start_limit = Duration::from_millis(100);
    let pool = WorkerPool::start(config);
    until("the failure", || pool.status().last_failure.is_some()).await;
    assert_eq!(pool.status().last_failure.unwrap(), "it was not ready within 100ms");
}

#[tokio::test]
async fn a_program_that_is_missing_is_named() {
    let pool = WorkerPool::start(WorkerConfig::new("x", "/nowhere/model"));
    until("the failure", || pool.status().last_failure.is_some()).await;
    let reason = pool.status().last_failure.unwrap();
    assert!(reason.starts_with("cannot run /nowhere/model: "), "{reason}");
}

#[tokio::test]
async fn a_program_that_appears_later_is_started() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("model");
    let mut config = WorkerConfig::new("x", &program);
    config.args = vec!["-c".into(), r#"echo '{"ready":true,"needs":"file"}'; read request"#.into()];
    let pool = WorkerPool::start(config);
    until("the failure", || pool.status().last_failure.is_some()).await;
    std::os::unix::fs::symlink("/bin/sh", &program).unwrap();
    assert_eq!(pool.wait_ready(soon()).await.unwrap(), Need::File);
}

#[tokio::test]
async fn frames_that_are_never_decoded_are_refused_at_the_start() {
    for (frames, reason) in [
        ("'width': 8000, 'height': 8000", "9437184"),
        ("'width': 64, 'height': 36, 'rate': 1e9", "1000000000 frames a second"),
    ] {
        let script = format!(
            "import json\nprint(json.dumps({{'ready': True, 'needs': {{'frames': {{{frames}}}}}}}), flush=True)\ninput()"
        );
        let pool = WorkerPool::start(worker(&script));
        until("the refusal", || pool.status().last_failure.is_some()).await;
        let failure = pool.status().last_failure.unwrap();
        assert!(failure.starts_with("it asks for frames") && failure.contains(reason), "{failure}");
        assert_eq!(pool.status().need, None);
    }
}

#[tokio::test]
async fn a_replacement_that_needs_something_else_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let changed = folder.path().join("changed");
    let script = format!(
        "import json, os\n\
         needs = 'frame_count' if os.path.exists({changed:?}) else 'file'\n\
         print(json.dumps({{'ready': True, 'needs': needs}}), flush=True)\n\
         input()\n\
         open({changed:?}, 'w')\n"
    );
    let predictor = Predictor::Workers(WorkerPool::start(worker(&script)));
    ask(&predictor, "").await.unwrap_err();
    let Predictor::Workers(pool) = &predictor else { unreachable!() };
    let refused =
        "it needs the frame count, but the workers before it needed a local file; restart the miner";
    until("the refusal", || pool.status().last_failure.as_deref() == Some(refused)).await;
    assert_eq!(predictor.need(), Some(Need::File));
    assert!(!predictor.ready());
}

#[tokio::test]
async fn a_worker_inherits_no_token() {
    let parent = [
        ("PATH", std::env::var("PATH").unwrap()),
        ("DOCKERHUB_TOKEN", "dckr_pat_secret".to_owned()),
        ("MODEL_SIZE", "large".to_owned()),
    ]
    .map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let mut config = worker(WORKER);
    config.environment = Environment::chosen_from(parent, &["MODEL_SIZE".to_owned()]);
    let predictor = Predictor::Workers(WorkerPool::start(config));
    // CARGO_MANIFEST_DIR is set for this test itself.
    let script = "answer(*(name for name in ('CARGO_MANIFEST_DIR', 'DOCKERHUB_TOKEN', 'MODEL_SIZE', 'PATH') \
                  if name in os.environ))";
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    assert_eq!(ask(&predictor, script).await.unwrap(), ["MODEL_SIZE", "PATH"]);
}

#[tokio::test]
async fn shutdown_leaves_no_process_and_refuses_callers() {
    let predictor = predictor(1);
    let pids = ask(&predictor, "answer(os.getpid(), subprocess.Popen(['sleep', '1000']).pid)").await.unwrap();
    predictor.shutdown().await;
    until_gone(&pids[0]).await;
    until_dead(&pids[1]).await;
    assert!(!predictor.ready());
    let outcome = ask(&predictor, "answer('more')").await;
    assert!(matches!(outcome, Err(PredictError::Stopped)), "{outcome:?}");
}

#[tokio::test]
async fn dropping_the_pool_leaves_no_process() {
    let predictor = predictor(1);
    let pid = pid(&predictor).await;
    drop(predictor);
    until_gone(&pid).await;
}

#[tokio::test]
async fn a_card_needs_exactly_one_picture() {
    for predictor in [Predictor::Baseline, predictor(1)] {
        let mut two = task("");
        two.wanted = Wanted::CardGrades;
        if let Subject::Pictures(pictures) = &mut two.subject {
            pictures.push(pictures[0].clone());
        }
        predictor.wait_ready(soon()).await.unwrap();
        let error = predictor.predict(two, soon()).await.unwrap_err();
        assert_eq!(error.to_string(), "tcg_grading from this model needs exactly one picture, not pictures");
    }
}

#[tokio::test]
async fn the_baseline_passes_at_the_first_of_25_listed_frames() {
    let answer = Predictor::Baseline.predict(task(""), soon()).await.unwrap();
    let pass = Action { frame: 0, action: "pass".to_owned(), confidence: 1.0 };
    assert_eq!(answer, Answer::Actions(vec![pass]));
}

#[tokio::test]
async fn stderr_reaches_the_log_with_the_worker_number() {
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);
    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let log = Log::default();
    let writer = log.clone();
    // The runtime of this test has one thread, so the subscriber of the thread sees every event.
    let _guard = tracing::subscriber::set_default(
        tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish(),
    );
    let predictor = predictor(1);
    let script = "print('dribble \\x1b[31m', file=sys.stderr, flush=True); answer('done')";
    ask(&predictor, script).await.unwrap();
    until("the line in the log", || {
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        text.lines().any(|line| line.contains("INFO worker: dribble  [31m worker=0"))
    })
    .await;
}
