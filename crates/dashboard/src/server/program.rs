//! The programs that a button or the health page starts. Nothing else on the page acts.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;
use tokio::sync::Semaphore;

/// Most bytes that are kept of what one printed.
const OUTPUT: usize = 64 * 1024;
/// How many of them at once.
const AT_ONCE: usize = 2;

/// The programs of this build, which stand in one folder.
#[derive(Debug, Clone)]
pub struct Program {
    path: PathBuf,
    settings: Arc<[&'static str]>,
    places: Arc<Semaphore>,
}

/// How one ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    /// What was typed, as it were.
    pub(crate) command: String,
    pub(crate) how: How,
    /// What it printed on both outputs, without control characters.
    pub(crate) printed: String,
    /// More was printed than is kept.
    pub(crate) cut: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum How {
    /// It went well.
    Well,
    /// It exited with this code.
    Code(i32),
    /// Something killed it.
    Killed,
    /// It ran for longer than it may, and was killed.
    TooLong(Duration),
}

/// Why one was not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error("two commands are running already: wait for one to end")]
    Busy,
    #[error("the page is being stopped, and the command was with it")]
    Stopping,
    #[error("cannot run {path}: {source}", path = .path.display())]
    Start { path: PathBuf, source: std::io::Error },
}

impl Program {
    /// By the path of `adit` itself; `sv` and `gascli` are taken from beside it. Of our environment they get PATH, HOME,
    /// LANG and these `settings`, none of which is a secret: those they read from `.env` by themselves.
    #[must_use]
    pub fn new(path: PathBuf, settings: impl IntoIterator<Item = &'static str>) -> Self {
        let settings = settings.into_iter().collect();
        Self { path, settings, places: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// `adit` itself.
    pub(crate) async fn adit(&self, arguments: &[&str], limit: Duration) -> Result<Ended, RunError> {
        // What a page shows is not held up by what buttons started.
        self.run(&self.path, "adit", arguments, limit).await
    }

    /// One that stands beside it.
    pub(crate) async fn beside(
        &self,
        name: &str,
        arguments: &[&str],
        limit: Duration,
    ) -> Result<Ended, RunError> {
        let _place = self.places.try_acquire().map_err(|_| RunError::Busy)?;
        let path = self.path.parent().unwrap_or(Path::new("")).join(name);
        self.run(&path, name, arguments, limit).await
    }

    async fn run(
        &self,
        path: &Path,
        name: &str,
        arguments: &[&str],
        limit: Duration,
    ) -> Result<Ended, RunError> {
        let mut command = Command::new(path);
        command
            .args(arguments)
            .env_clear()
            .envs(self.environment(std::env::vars_os()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let mut child =
            command.spawn().map_err(|source| RunError::Start { path: path.to_owned(), source })?;
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let mut group = Group(pid);
        let output = Output::default();
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let ending = async {
            let (status, (), ()) = tokio::join!(child.wait(), output.keep(stdout), output.keep(stderr));
            status
        };
        let how = match tokio::time::timeout(limit, ending).await {
            Ok(Ok(status)) if status.success() => How::Well,
            Ok(Ok(status)) => status.code().map_or(How::Killed, How::Code),
            Ok(Err(_)) => How::Killed,
            Err(_) => How::TooLong(limit),
        };
        if !matches!(how, How::TooLong(_)) {
            // It is gone, and its number may be another's.
            group.0 = None;
        }
        drop(group);
        let (printed, cut) = output.text();
        let command = std::iter::once(name).chain(arguments.iter().copied()).collect::<Vec<_>>().join(" ");
        Ok(Ended { command, how, printed, cut })
    }

    /// What a child gets of ours.
    fn environment(
        &self,
        own: impl Iterator<Item = (OsString, OsString)>,
    ) -> impl Iterator<Item = (OsString, OsString)> {
        own.filter(|(name, _)| {
            name.to_str()
                .is_some_and(|name| matches!(name, "PATH" | "HOME" | "LANG") || self.settings.contains(&name))
        })
        // What it prints is shown on a page.
        .chain([("NO_COLOR".into(), "1".into())])
    }
}

/// Kills the child and whatever it started.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

/// What both outputs said, in the order in which it was read.
#[derive(Default)]
struct Output(Mutex<(Vec<u8>, bool)>);

impl Output {
    async fn keep(&self, from: Option<impl AsyncRead + Unpin>) {
        let Some(mut from) = from else { return };
        let mut piece = [0; 4096];
        while let Ok(read @ 1..) = from.read(&mut piece).await {
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let room = OUTPUT.saturating_sub(kept.0.len()).min(read);
            kept.0.extend_from_slice(&piece[..room]);
            // Read on, so that it is not held up.
            kept.1 |= room < read;
        }
    }

    fn text(self) -> (String, bool) {
        let (bytes, cut) = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        (plain(&String::from_utf8_lossy(&bytes)), cut)
    }
}

/// Without a terminal's control sequences.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if character == '\x1b' && characters.next_if_eq(&'[').is_some() {
            while characters.next_if(|next| !matches!(next, '@'..='~')).is_some() {}
            characters.next();
        } else if !character.is_control() || character == '\n' || character == '\t' {
            plain.push(character);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn script(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("adit");
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        (folder, path)
    }

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn what_it_prints_is_kept_up_to_a_limit() {
        let (_folder, path) = script("head -c 200000 /dev/zero | tr '\\0' x; exit 3");
        let ended = Program::new(path, []).adit(&["a"], LONG).await.unwrap();
        assert_eq!((ended.how, ended.printed.len(), ended.cut), (How::Code(3), OUTPUT, true));
        assert_eq!(ended.command, "adit a");
    }

    #[tokio::test]
    async fn one_that_takes_too_long_is_killed_with_what_it_started() {
        let (folder, path) = script("sleep 600 & echo $! > \"$(dirname \"$0\")/pid\"; wait");
        let program = Program::new(path, []);
        let ended = program.adit(&[], Duration::from_secs(1)).await.unwrap();
        assert_eq!(ended.how, How::TooLong(Duration::from_secs(1)));
        let pid = std::fs::read_to_string(folder.path().join("pid")).unwrap();
        let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
        let deadline = std::time::Instant::now() + LONG;
        // A zombie that nobody waits for still has its number; it no longer runs.
        let runs = || {
            std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()))
                .is_ok_and(|stat| !stat.contains(") Z "))
        };
        while runs() {
            assert!(std::time::Instant::now() < deadline, "it still runs");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn no_more_than_two_run_at_once() {
        let (folder, path) = script("sleep 600");
        std::fs::copy(&path, folder.path().join("sv")).unwrap();
        let program = Program::new(path, []);
        let one = |limit| program.beside("sv", &[], limit);
        let mut two = Box::pin(async { tokio::join!(one(LONG), one(LONG)) });
        assert!(futures_util::poll!(&mut two).is_pending());
        assert!(matches!(one(LONG).await, Err(RunError::Busy)));
    }

    #[test]
    fn a_child_gets_no_setting_of_others_and_no_secret() {
        let own = [("PATH", "p"), ("AWS_SECRET", "s"), ("ADIT_DATA_DIR", "d"), ("ADIT_ALERT_WEBHOOK", "w")];
        let own = own.into_iter().map(|(name, value)| (name.into(), value.into()));
        let program = Program::new(PathBuf::new(), ["ADIT_DATA_DIR", "BT_NETUID"]);
        let names: Vec<_> = program.environment(own).map(|(name, _)| name).collect();
        assert_eq!(names, ["PATH", "ADIT_DATA_DIR", "NO_COLOR"]);
    }

    #[test]
    fn colours_of_a_terminal_are_taken_out() {
        assert_eq!(plain("\x1b[31mred\x1b[0m\r\n\x07\tend\x1b["), "red\n\tend");
    }
}
