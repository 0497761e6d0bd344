//! Supervisors and miners as processes. This binary plays both: see [`role`].

#![expect(
    clippy::exit,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "it is a program as much as a test"
)]

use std::fs;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use adit_supervisor::{
    ControlError, Miner, Phase, Place, Policy, Started, Status, Stop, end_with, notify_ready, supervise,
};
use rustix::process::{Pid, Signal, kill_process};

/// What a process of this binary is: `supervisor` or `miner`; in a run of the tests nothing.
const ROLE: &str = "SUPERVISOR_TEST_ROLE";
const FOLDER: &str = "SUPERVISOR_TEST_FOLDER";
/// What the miner does, words split at blanks, carried out in turn.
const DOES: &str = "SUPERVISOR_TEST_DOES";
/// No test waits longer for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// Pauses short enough for a test.
fn policy() -> Policy {
    Policy {
        pause: Duration::from_millis(20),
        longest_pause: Duration::from_millis(40),
        min_uptime: Duration::from_secs(30),
        max_restarts: 3,
        drain: Duration::from_secs(2),
        look: Duration::from_millis(50),
    }
}

/// What this binary is run for by the tests below: on its own it has nothing to do.
#[test]
fn role() {
    match std::env::var(ROLE).as_deref() {
        Ok("supervisor") => {
            let place = Place::new(Path::new(&std::env::var_os(FOLDER).unwrap()), "miner").unwrap();
            let line = format!("{ROLE}=miner exec \"$0\" --exact role --nocapture --test-threads 1");
            let program = std::env::current_exe().unwrap();
            let arguments = vec!["-c".into(), line.into(), program.into()];
            let miner = Miner { program: "/bin/sh".into(), name: "sh".into(), arguments };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            if let Err(error) = runtime.block_on(supervise(&place, &miner, policy())) {
                eprintln!("{error}");
                std::process::exit(3);
            }
            std::process::exit(0);
        }
        Ok("miner") => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(mine(&std::env::var(DOES).unwrap()));
            std::process::exit(0);
        }
        _ => {}
    }
}

async fn mine(does: &str) {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).unwrap();
    for word in does.split(' ') {
        match word.split_once(':').unwrap_or((word, "")) {
            ("say", text) => println!("{text}"),
            ("ready", _) => notify_ready().unwrap(),
            // Fails once the file is there, and makes it.
            ("once", file) => {
                if Path::new(file).exists() {
                    eprintln!("error: {file} is there");
                    std::process::exit(4);
                }
                fs::write(file, "").unwrap();
            }
            ("end", code) => std::process::exit(code.parse().unwrap()),
            ("leave", _) => drop(Command::new("sleep").arg("600").spawn().unwrap()),
            // A child of a child that has ended, and ends itself.
            ("orphan", _) => drop(Command::new("sh").args(["-c", "sleep 0.1 &"]).status().unwrap()),
            ("follow", _) => {
                let parent = rustix::process::getppid().unwrap();
                end_with(parent.as_raw_nonzero().get().unsigned_abs()).unwrap();
            }
            ("pause", ms) => tokio::time::sleep(Duration::from_millis(ms.parse().unwrap())).await,
            ("drain", _) => {
                terminate.recv().await;
                println!("drained");
                std::io::stdout().flush().unwrap();
            }
            ("hang", _) => std::future::pending().await,
            other => panic!("{other:?}"),
        }
    }
}

/// A place, and what is done with it. What runs at the end of a test is ended with it.
struct Bench {
    folder: tempfile::TempDir,
    place: Place,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(folder.path(), "miner").unwrap();
        Self { folder, place }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn supervisor(&self, does: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "role", "--nocapture", "--test-threads", "1"]);
        command.env(ROLE, "supervisor").env(FOLDER, self.folder.path()).env(DOES, does);
        command
    }

    fn start(&self, does: &str) -> Result<Started, ControlError> {
        self.place.start(self.supervisor(does), PATIENCE)
    }

    fn started(&self, does: &str) -> Status {
        match self.start(does).unwrap_or_else(|error| panic!("{error:?}: {}", self.log())) {
            Started::Ready(status) => status,
            other => panic!("{other:?}"),
        }
    }

    fn status(&self) -> Status {
        self.place.status().unwrap().unwrap()
    }

    fn wait_for(&self, expected: impl Fn(&Status) -> bool) -> Status {
        let until = Instant::now() + PATIENCE;
        loop {
            let status = self.status();
            if expected(&status) {
                return status;
            }
            assert!(Instant::now() < until, "{status:?}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn log(&self) -> String {
        let lines = self.place.log(1000).unwrap().map(|(lines, _)| lines).unwrap_or_default();
        String::from_utf8(lines).unwrap()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = self.place.stop(Stop::Kill, PATIENCE);
    }
}

fn kill(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), signal).unwrap();
}

/// Whether a process of this number is there, and more than its exit code.
fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

fn wait_until_ended(pid: u32) {
    let until = Instant::now() + PATIENCE;
    while runs(pid) {
        assert!(Instant::now() < until, "{pid} goes on");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_start_comes_back_when_the_miner_is_ready_and_a_stop_lets_it_drain() {
    let bench = Bench::new();
    let status = bench.started("say:hello ready drain");
    assert_eq!(status.state.phase, Phase::Online);
    let (supervisor, miner) = (status.state.supervisor(), status.pid.unwrap());
    assert!(runs(supervisor) && runs(miner));

    let before = bench.place.stop(Stop::Drain, PATIENCE).unwrap().unwrap();
    assert_eq!(before.pid, Some(miner));
    assert!(!runs(supervisor) && !runs(miner));
    let log = bench.log();
    assert!(
        log.contains("hello\n") && log.contains("drained\n") && log.contains("as it was told: exit code 0"),
        "{log}"
    );
    let status = bench.status();
    assert_eq!((status.state.phase, status.pid, status.state.last_end), (Phase::Stopped, None, None));
    assert!(bench.place.stop(Stop::Drain, PATIENCE).unwrap().is_none());
}

#[test]
fn a_miner_that_is_not_ready_is_an_error_with_its_last_words_and_is_not_tried_again() {
    let bench = Bench::new();
    let Err(ControlError::Ended { how, last_words }) = bench.start("say:one say:error:_no_wallet end:7")
    else {
        panic!("{}", bench.log());
    };
    assert_eq!(how, "exit code 7");
    assert!(last_words.ends_with("one\nerror:_no_wallet"), "{last_words}");
    let status = bench.status();
    assert_eq!((status.state.phase, status.state.starts, status.state.restarts), (Phase::Errored, 1, 0));
    wait_until_ended(status.state.supervisor());
    // The next start begins anew.
    assert_eq!(bench.started("ready drain").state.phase, Phase::Online);
}

/// The supervisor of the start before may not have ended when its state says that it is over.
#[test]
fn a_start_right_after_another_that_failed_is_one_of_its_own() {
    let bench = Bench::new();
    for number in 0..40 {
        let started = bench.start(&format!("say:{number} end:1"));
        let Err(ControlError::Ended { last_words, .. }) = &started else {
            panic!("{number}: {started:?}\n{}", bench.log());
        };
        assert!(last_words.ends_with(&number.to_string()), "{last_words}");
    }
}

#[test]
fn a_miner_that_is_killed_is_started_again_and_the_log_says_why() {
    let bench = Bench::new();
    let first = bench.started("ready drain").pid.unwrap();
    kill(first, Signal::KILL);
    let status = bench.wait_for(|status| status.state.phase == Phase::Online && status.pid != Some(first));
    assert_eq!((status.state.restarts, status.state.starts), (1, 2));
    assert!(status.state.last_end.unwrap().how.starts_with("signal 9 (SIGKILL"));
    assert!(bench.log().contains("the miner ended after") && bench.log().contains("signal 9 (SIGKILL"));
}

#[test]
fn a_crash_loop_ends_in_errored() {
    let bench = Bench::new();
    // It may be over before the start has seen it online.
    let started = bench.start("ready pause:20 say:bye end:1");
    assert!(matches!(started, Ok(_) | Err(ControlError::Ended { .. })), "{started:?}");
    let status = bench.wait_for(|status| status.state.phase == Phase::Errored);
    assert_eq!((status.state.restarts, status.state.starts), (3, 4));
    let log = bench.log();
    assert!(log.contains("not started again: a crash loop"), "{log}");
    wait_until_ended(status.state.supervisor());
}

#[test]
fn what_a_miner_leaves_behind_ends_with_it() {
    let bench = Bench::new();
    let miner = bench.started("leave ready drain").pid.unwrap();
    // Of each of its threads.
    let threads = fs::read_dir(format!("/proc/{miner}/task")).unwrap().map(|thread| thread.unwrap().path());
    let children: String =
        threads.map(|thread| fs::read_to_string(thread.join("children")).unwrap()).collect();
    let left: u32 = children.trim().parse().unwrap();
    kill(miner, Signal::KILL);
    bench.wait_for(|status| status.state.phase == Phase::Online && status.pid != Some(miner));
    assert!(!runs(left));
    let second = bench.status().pid.unwrap();
    bench.place.stop(Stop::Drain, PATIENCE).unwrap();
    assert!(!runs(second));
    assert!(bench.log().contains("left behind, now ended: 1"), "{}", bench.log());
}

#[test]
fn what_has_lost_its_parent_does_not_stay_in_the_systems_table() {
    let bench = Bench::new();
    let status = bench.started("orphan ready drain");
    let (supervisor, miner) = (status.state.supervisor(), status.pid.unwrap());
    let children = || -> Vec<u32> {
        let threads = fs::read_dir(format!("/proc/{supervisor}/task")).unwrap();
        let lists =
            threads.map(|thread| fs::read_to_string(thread.unwrap().path().join("children")).unwrap());
        lists.collect::<String>().split_whitespace().map(|pid| pid.parse().unwrap()).collect()
    };
    let until = Instant::now() + PATIENCE;
    while children() != [miner] {
        assert!(Instant::now() < until, "{:?}", children());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_miner_that_does_not_end_is_killed_after_the_drain() {
    let bench = Bench::new();
    let miner = bench.started("ready hang").pid.unwrap();
    bench.place.stop(Stop::Drain, PATIENCE).unwrap();
    assert!(!runs(miner));
    assert!(bench.log().contains("told to stop and has not ended"), "{}", bench.log());
}

#[test]
fn a_stop_at_once_does_not_wait_for_the_drain() {
    let bench = Bench::new();
    bench.started("ready hang");
    let (place, begun) = (bench.place.clone(), Instant::now());
    // A first one that waits, as somebody's who becomes impatient.
    let waiting = std::thread::spawn(move || place.stop(Stop::Drain, PATIENCE));
    bench.wait_for(|status| status.state.phase == Phase::Stopping);
    assert!(matches!(bench.start("ready hang"), Err(ControlError::Stopping)));
    assert!(matches!(bench.place.delete(), Err(ControlError::Stopping)));
    bench.place.stop(Stop::Kill, PATIENCE).unwrap();
    assert!(begun.elapsed() < policy().drain, "{:?}", begun.elapsed());
    waiting.join().unwrap().unwrap();
}

#[test]
fn two_starts_are_one_miner() {
    let bench = Bench::new();
    let started: Vec<Started> = std::thread::scope(|scope| {
        let starting: Vec<_> = (0..4).map(|_| scope.spawn(|| bench.start("pause:100 ready drain"))).collect();
        starting.into_iter().map(|start| start.join().unwrap().unwrap()).collect()
    });
    let pid = bench.status().pid;
    for started in &started {
        let (Started::Ready(status) | Started::Already(status)) = started;
        assert_eq!(status.pid, pid);
    }
    let Started::Already(status) = bench.start("ready drain").unwrap() else { panic!() };
    assert_eq!(status.pid, pid);
    assert_eq!(bench.log().matches("the miner is started").count(), 1);
}

#[test]
fn a_restart_lets_the_miner_drain_and_waits_for_the_next() {
    let bench = Bench::new();
    assert!(bench.place.restart(PATIENCE).unwrap().is_none());
    let first = bench.started("ready drain");
    let second = bench.place.restart(PATIENCE).unwrap().unwrap();
    assert_eq!(second.state.phase, Phase::Online);
    assert_ne!(second.pid, first.pid);
    assert_eq!(second.state.supervisor(), first.state.supervisor());
    assert_eq!((second.state.restarts, second.state.starts), (0, 2));
    assert!(bench.log().contains("drained"));
}

#[test]
fn a_restart_that_fails_is_an_error_and_is_not_tried_again() {
    let bench = Bench::new();
    let file = bench.path("once");
    bench.started(&format!("once:{} ready drain", file.display()));
    let Err(ControlError::Ended { how, last_words }) = bench.place.restart(PATIENCE) else {
        panic!("{}", bench.log());
    };
    assert_eq!(how, "exit code 4");
    assert!(last_words.contains("is there"), "{last_words}");
    assert_eq!(bench.status().state.phase, Phase::Errored);
}

#[test]
fn a_miner_ends_with_its_supervisor_and_the_next_start_is_not_hindered() {
    let bench = Bench::new();
    let status = bench.started("follow ready drain");
    kill(status.state.supervisor(), Signal::KILL);
    wait_until_ended(status.pid.unwrap());
    let status = bench.status();
    assert_eq!((status.state.phase, status.pid), (Phase::Abandoned, None));
    assert!(bench.place.stop(Stop::Drain, PATIENCE).unwrap().is_none());
    bench.started("ready drain");
}

#[test]
fn a_miner_that_has_lost_its_supervisor_is_ended_by_the_next_start_or_stop() {
    let bench = Bench::new();
    for stop in [true, false] {
        let status = bench.started("ready drain");
        kill(status.state.supervisor(), Signal::KILL);
        wait_until_ended(status.state.supervisor());
        let miner = status.pid.unwrap();
        assert_eq!(bench.status().pid, Some(miner));
        if stop {
            assert_eq!(bench.place.stop(Stop::Drain, PATIENCE).unwrap().unwrap().pid, Some(miner));
        } else {
            bench.started("ready drain");
        }
        assert!(!runs(miner));
    }
}

/// A host that was started again gives old numbers to new processes.
#[test]
fn another_program_that_has_a_number_of_ours_is_let_alone() {
    let bench = Bench::new();
    let status = bench.started("ready drain");
    bench.place.stop(Stop::Drain, PATIENCE).unwrap();
    let mut other = Command::new("sleep").arg("600").spawn().unwrap();

    let file = bench.place.folder().join("state.json");
    let mut state: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    state["phase"] = "online".into();
    state["supervisor"]["pid"] = other.id().into();
    state["miner"] = state["supervisor"].clone();
    fs::write(&file, state.to_string()).unwrap();

    let stale = bench.status();
    assert_eq!((stale.state.phase, stale.pid), (Phase::Abandoned, None));
    assert!(bench.place.stop(Stop::Kill, PATIENCE).unwrap().is_none());
    let again = bench.started("ready drain");
    assert_ne!(again.state.supervisor(), status.state.supervisor());
    bench.place.stop(Stop::Kill, PATIENCE).unwrap();
    assert!(other.try_wait().unwrap().is_none());
    end(&mut other);
}

fn end(child: &mut Child) {
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
}

#[test]
fn what_is_deleted_is_not_found() {
    let bench = Bench::new();
    assert!(!bench.place.delete().unwrap());
    bench.started("ready drain");
    assert!(matches!(bench.place.delete(), Err(ControlError::Stopping)));
    bench.place.stop(Stop::Drain, PATIENCE).unwrap();
    assert!(bench.place.delete().unwrap());
    assert!(bench.place.status().unwrap().is_none() && bench.place.log(5).unwrap().is_none());
    assert!(!bench.place.folder().exists());
    bench.started("ready drain");
}

#[test]
fn a_place_that_cannot_be_made_is_named() {
    let bench = Bench::new();
    fs::write(bench.path("miner"), "a file").unwrap();
    let error = bench.start("ready drain").unwrap_err();
    assert!(matches!(error, ControlError::Folder { .. } | ControlError::State { .. }), "{error:?}");
    assert!(error.to_string().contains("/miner"), "{error}");
}

#[test]
fn a_supervisor_that_is_no_program_or_ends_at_once_is_an_error() {
    let bench = Bench::new();
    let error = bench.place.start(Command::new("/nowhere/adit"), PATIENCE).unwrap_err();
    assert!(matches!(error, ControlError::Spawn(_)), "{error:?}");
    let error = bench.place.start(Command::new("false"), PATIENCE).unwrap_err();
    assert!(matches!(error, ControlError::Supervisor(_)), "{error:?}");
}

#[test]
fn a_miner_that_is_slow_is_said_to_go_on_starting() {
    let bench = Bench::new();
    let error = bench.place.start(bench.supervisor("hang"), Duration::from_millis(300)).unwrap_err();
    assert!(matches!(error, ControlError::NotReady(_)), "{error:?}");
    assert_eq!(bench.status().state.phase, Phase::Starting);
    bench.place.stop(Stop::Kill, PATIENCE).unwrap();
}
