//! The supervisor's loop.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use chrono::Utc;
use rustix::process::{Signal, getpid, set_child_subreaper, setsid};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use crate::log::Log;
use crate::notify::{self, Listener};
use crate::processes::{Process, TICKS_A_SECOND, Usage, end_children, take_leave, usage};
use crate::state::{End, Lock, Phase, State};
use crate::{ControlError, Place};

/// How long after a miner is killed it is killed again, should it still be there.
const AGAIN: Duration = Duration::from_secs(5);
/// How long after its last word a supervisor may take to end.
const LAST_WORD: Duration = Duration::from_secs(5);
/// How long output is waited for that an ended miner may have left in the pipe.
const LEFT_OVER: Duration = Duration::from_secs(1);

/// What is run as the miner: a program of the operator's own, with all of this process's environment.
#[derive(Debug, Clone)]
pub struct Miner {
    /// The program.
    pub program: PathBuf,
    /// What it is called as.
    pub name: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

/// How a miner is looked after, and when one that has ended by itself is started again.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// Pause before the first time; each further one in a row doubles it.
    pub pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// A miner that ran for this long did not end in a row.
    pub min_uptime: Duration,
    /// So many ends in a row are a crash loop.
    pub max_restarts: u32,
    /// How long a miner may take to end that was told to; then it is killed.
    pub drain: Duration,
    /// How often memory and processor time are taken.
    pub look: Duration,
}

impl Default for Policy {
    /// What the configuration for PM2 says, but for the pauses: its 4 s are long for a miner that was killed once.
    fn default() -> Self {
        Self {
            pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(30),
            min_uptime: Duration::from_secs(10),
            max_restarts: 10,
            drain: Duration::from_secs(150),
            look: Duration::from_secs(5),
        }
    }
}

impl Policy {
    /// The pause after so many ends in a row; none where it is not to be started again.
    fn pause_after(&self, in_a_row: u32) -> Option<Duration> {
        let doubled = 1_u32.checked_shl(in_a_row.saturating_sub(1)).unwrap_or(u32::MAX);
        (in_a_row <= self.max_restarts).then(|| self.pause.saturating_mul(doubled).min(self.longest_pause))
    }
}

/// Why there is no supervisor.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SuperviseError {
    /// There is one.
    #[error("this miner has a supervisor already")]
    Taken,
    /// Its files.
    #[error(transparent)]
    Place(#[from] ControlError),
    /// What the system says.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// What a supervisor is told, by signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// SIGTERM and SIGINT: let it end.
    Stop,
    /// SIGQUIT: end it at once.
    Kill,
    /// SIGHUP: let it end and start it again.
    Restart,
}

/// How a run of the miner came to its end.
enum Outcome {
    /// By itself.
    Ended {
        status: ExitStatus,
        was_ready: bool,
    },
    Told(Order),
}

/// Runs the miner until it is told to stop, or there is no use in starting it again. The calling process becomes
/// the miner's supervisor: it leaves its terminal, and becomes the parent of all that the miner leaves behind.
///
/// To be called on the thread that the process started with, on a runtime that has no other.
///
/// # Errors
/// Where it cannot begin. How a miner ended is in its state.
pub async fn supervise(place: &Place, miner: &Miner, policy: Policy) -> Result<(), SuperviseError> {
    place.make().map_err(|source| ControlError::Folder { folder: place.folder().to_owned(), source })?;
    let lock = take_lock(place).await?;
    // Fails only where it leads a session already.
    let _ = setsid();
    set_child_subreaper(Some(getpid())).map_err(io::Error::from)?;
    // Before anybody can read whom to send them to.
    let orders = Orders::listen()?;
    let own = Process::find(std::process::id()).ok_or_else(|| io::Error::other("/proc is not readable"))?;
    let before = lock.last();
    let state = State {
        phase: Phase::Starting,
        directory: std::env::current_dir().unwrap_or_default(),
        supervisor: own,
        miner: None,
        started_at: Utc::now().timestamp_millis(),
        starts: 0,
        restarts: 0,
        last_end: before.and_then(|before| before.last_end),
        memory: 0,
        cpu_percent: 0.0,
    };
    lock.write(&state).map_err(|source| ControlError::State { file: place.state_file(), source })?;
    let supervisor = Supervisor {
        lock,
        state,
        log: Log::open(place.log_file()),
        listener: Listener::bind()?,
        orders,
        policy,
    };
    supervisor.run(miner).await;
    Ok(())
}

/// A supervisor that has said its last word may hold the lock for an instant more: it is waited for.
async fn take_lock(place: &Place) -> Result<Lock, SuperviseError> {
    let until = Instant::now() + LAST_WORD;
    loop {
        if let Some(lock) = Lock::take(place)? {
            return Ok(lock);
        }
        let works = place.status()?.is_some_and(|status| status.state.phase.is_supervised());
        if works || Instant::now() > until {
            return Err(SuperviseError::Taken);
        }
        sleep(Duration::from_millis(10)).await;
    }
}

#[derive(Debug)]
struct Supervisor {
    lock: Lock,
    state: State,
    log: Log,
    listener: Listener,
    orders: Orders,
    policy: Policy,
}

impl Supervisor {
    async fn run(mut self, miner: &Miner) {
        let mut in_a_row = 0;
        let mut once_ready = false;
        loop {
            let begun = Instant::now();
            let outcome = match self.start(miner) {
                Ok((child, output)) => self.watch(child, output).await,
                Err(error) => {
                    let text = format!("{} cannot be run: {error}", miner.program.display());
                    self.log.say("ERROR", &text);
                    self.ended_by_itself(text);
                    return self.set(Phase::Errored);
                }
            };
            let (status, was_ready) = match outcome {
                // With other settings, perhaps: as at the start.
                Outcome::Told(Order::Restart) => {
                    (in_a_row, once_ready) = (0, false);
                    continue;
                }
                Outcome::Told(Order::Stop | Order::Kill) => return self.set(Phase::Stopped),
                Outcome::Ended { status, was_ready } => (status, was_ready),
            };
            once_ready |= was_ready;
            let lasted = begun.elapsed();
            in_a_row = if lasted >= self.policy.min_uptime && was_ready { 1 } else { in_a_row + 1 };
            let how = described(status);
            self.ended_by_itself(how.clone());
            let uptime = lasted.as_secs_f32();
            // One that was never ready has nothing that a second try would change.
            let pause = self.policy.pause_after(in_a_row).filter(|_| once_ready);
            let Some(pause) = pause else {
                let why = if once_ready { "a crash loop" } else { "it was not ready" };
                let text = format!("the miner ended after {uptime:.1} s: {how}; not started again: {why}");
                self.log.say("ERROR", &text);
                return self.set(Phase::Errored);
            };
            let after = pause.as_secs_f32();
            let text =
                format!("the miner ended after {uptime:.1} s: {how}; starting it again in {after:.1} s");
            self.log.say("WARNING", &text);
            self.set(Phase::Waiting);
            tokio::select! {
                () = sleep(pause) => self.state.restarts += 1,
                order = self.orders.next() => match order {
                    Order::Stop | Order::Kill => return self.set(Phase::Stopped),
                    Order::Restart => (in_a_row, once_ready) = (0, false),
                },
            }
        }
    }

    fn start(&mut self, miner: &Miner) -> io::Result<(Child, pipe::Receiver)> {
        self.listener.clear();
        self.log.take_tail();
        self.state.starts += 1;
        self.state.started_at = Utc::now().timestamp_millis();
        let (output, theirs) = io::pipe()?;
        let mut command = std::process::Command::new(&miner.program);
        command.arg0(&miner.name).args(&miner.arguments).env(notify::VARIABLE, self.listener.name());
        command.stdin(Stdio::null()).stdout(theirs.try_clone()?).stderr(theirs);
        let child = Command::from(command).spawn()?;
        self.state.miner = child.id().and_then(Process::find);
        self.log.say("INFO", &format!("the miner is started (pid {})", child.id().unwrap_or_default()));
        self.set(Phase::Starting);
        Ok((child, pipe::Receiver::from_owned_fd(output.into())?))
    }

    /// Until the miner has ended, and what it left behind with it.
    async fn watch(&mut self, mut child: Child, mut output: pipe::Receiver) -> Outcome {
        let mut buffer = vec![0; 64 * 1024];
        let mut looks = interval(self.policy.look);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen = (Instant::now(), Usage::default());
        let mut was_ready = false;
        let mut reading = true;
        let mut told: Option<(Order, Instant)> = None;
        let status = loop {
            let kill_at = told.map(|(_, at)| at);
            let too_long = async {
                match kill_at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                status = child.wait() => break status.unwrap_or_default(),
                read = output.read(&mut buffer), if reading => match read {
                    Ok(length @ 1..) => self.log.append(&buffer[..length]),
                    Ok(0) | Err(_) => reading = false,
                },
                () = self.listener.ready(), if !was_ready => {
                    was_ready = true;
                    if told.is_none() {
                        self.set(Phase::Online);
                    }
                }
                order = self.orders.next() => {
                    let drain = if order == Order::Kill { Duration::ZERO } else { self.policy.drain };
                    // A restart after a stop does not undo it.
                    let order = told.map_or(order, |(before, _)| if order == Order::Restart { before } else { order });
                    let kill_at = Instant::now() + drain;
                    told = Some((order, told.map_or(kill_at, |(_, before)| before.min(kill_at))));
                    self.set(Phase::Stopping);
                    self.signal(Signal::TERM);
                }
                () = too_long => {
                    self.log.say("WARNING", "the miner is killed: it was told to stop and has not ended");
                    self.signal(Signal::KILL);
                    told = told.map(|(order, at)| (order, at + AGAIN));
                }
                _ = looks.tick() => {
                    self.log.follow_name();
                    self.look(&child, &mut seen);
                }
            }
        };
        let left_behind = end_children().await;
        // The pipe ends when nobody holds it any more.
        let _ = timeout(LEFT_OVER, async {
            while reading && let Ok(length @ 1..) = output.read(&mut buffer).await {
                self.log.append(&buffer[..length]);
            }
        })
        .await;
        if left_behind > 0 {
            self.log
                .say("WARNING", &format!("processes that the miner left behind, now ended: {left_behind}"));
        }
        self.state.miner = None;
        (self.state.memory, self.state.cpu_percent) = (0, 0.0);
        let Some((order, _)) = told else { return Outcome::Ended { status, was_ready } };
        self.log.say("INFO", &format!("the miner has ended, as it was told: {}", described(status)));
        Outcome::Told(order)
    }

    fn signal(&self, signal: Signal) {
        if let Some(miner) = self.state.miner {
            miner.signal(signal);
        }
    }

    fn look(&mut self, child: &Child, (then, before): &mut (Instant, Usage)) {
        let Some(pid) = child.id() else { return };
        take_leave(pid);
        let now = usage(pid);
        let ticks = now.ticks.saturating_sub(before.ticks) as f32;
        let seconds = then.elapsed().as_secs_f32();
        if seconds > 0.1 {
            self.state.cpu_percent = 100.0 * ticks / TICKS_A_SECOND as f32 / seconds;
        }
        self.state.memory = now.memory;
        (*then, *before) = (Instant::now(), now);
        self.set(self.state.phase);
    }

    fn ended_by_itself(&mut self, how: String) {
        let output = self.log.take_tail();
        self.state.last_end = Some(End::new(Utc::now().timestamp_millis(), how, &output));
    }

    fn set(&mut self, phase: Phase) {
        self.state.phase = phase;
        // Written over in place, this fails only where the disk itself does. The lock holds all the same.
        if let Err(error) = self.lock.write(&self.state) {
            self.log.say("WARNING", &format!("the state cannot be written: {error}"));
        }
    }
}

fn described(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => {
            let name = match signal {
                4 => "SIGILL",
                6 => "SIGABRT",
                7 => "SIGBUS",
                8 => "SIGFPE",
                9 => "SIGKILL, which the system sends too where memory runs out",
                11 => "SIGSEGV",
                15 => "SIGTERM",
                _ => return format!("signal {signal}"),
            };
            format!("signal {signal} ({name})")
        }
        (None, None) => status.to_string(),
    }
}

#[derive(Debug)]
struct Orders {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    quit: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Orders {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Order {
        tokio::select! {
            _ = self.terminate.recv() => Order::Stop,
            _ = self.interrupt.recv() => Order::Stop,
            _ = self.quit.recv() => Order::Kill,
            _ = self.hangup.recv() => Order::Restart,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_end() {
        let policy = Policy::default();
        let pauses: Vec<Option<f32>> =
            (1..=11).map(|ends| policy.pause_after(ends).map(|pause| pause.as_secs_f32())).collect();
        let expected = [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0, 30.0];
        assert_eq!(pauses[..10], expected.map(Some));
        assert_eq!(pauses[10], None);
        let endless = Policy { max_restarts: u32::MAX, ..policy };
        assert_eq!(endless.pause_after(u32::MAX), Some(policy.longest_pause));
    }

    #[tokio::test]
    async fn a_lock_is_waited_for_where_its_holder_has_said_its_last_word() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(folder.path(), "a").unwrap();
        place.make().unwrap();
        let held = Lock::take(&place).unwrap().unwrap();
        let mut state = State {
            phase: Phase::Online,
            directory: folder.path().to_owned(),
            supervisor: Process::find(std::process::id()).unwrap(),
            miner: None,
            started_at: 0,
            starts: 1,
            restarts: 0,
            last_end: None,
            memory: 0,
            cpu_percent: 0.0,
        };
        held.write(&state).unwrap();
        assert!(matches!(take_lock(&place).await, Err(SuperviseError::Taken)));

        state.phase = Phase::Errored;
        held.write(&state).unwrap();
        let ending = async {
            // It has been asked for once and in vain by now.
            sleep(Duration::from_millis(50)).await;
            drop(held);
        };
        let (taken, ()) = tokio::join!(take_lock(&place), ending);
        assert!(taken.is_ok(), "{taken:?}");
    }

    #[test]
    fn an_end_is_named() {
        assert_eq!(described(ExitStatus::from_raw(1 << 8)), "exit code 1");
        assert!(described(ExitStatus::from_raw(9)).starts_with("signal 9 (SIGKILL"));
        assert_eq!(described(ExitStatus::from_raw(11)), "signal 11 (SIGSEGV)");
        assert_eq!(described(ExitStatus::from_raw(31)), "signal 31");
    }
}
