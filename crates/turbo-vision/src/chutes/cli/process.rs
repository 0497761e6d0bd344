//! The program as a child process: its answers, its lines, and its end with all that it started.

use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use secrecy::ExposeSecret as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use tokio::time::{Duration, Instant, sleep_until};

use super::{Cli, CliError};
use crate::chutes::logs::Lines;

/// Lines that an error carries.
pub(super) const TAIL: usize = 30;
/// How long what a program wrote last may take to arrive after its end.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// How long the platform may take to show what the program says it has sent, and where it ended with an error.
pub(super) const SETTLE: Duration = Duration::from_secs(20);
const SETTLE_FAILED: Duration = Duration::from_secs(3);

impl Cli {
    /// Runs the program in a process group of its own, which ends with this future.
    pub(super) async fn run(
        &self,
        step: &'static str,
        args: &[&str],
        folder: &Path,
        deadline: Instant,
        line: &mut impl FnMut(&str),
    ) -> Result<Ended, CliError> {
        let not_started = |error| CliError::NotStarted { program: self.program.clone(), error };
        let mut child = Command::new(&self.program)
            .args(args)
            .current_dir(folder)
            .env_clear()
            .envs(self.environment.iter().cloned())
            .envs(self.hugging_face_token.as_ref().map(|token| ("HF_TOKEN", token.expose_secret())))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(not_started)?;
        let mut group = Group(child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?)));
        let missing = || not_started(io::Error::other("the child has no pipes"));
        let mut stdout = child.stdout.take().ok_or_else(missing)?;
        let mut stderr = child.stderr.take().ok_or_else(missing)?;
        if let Some(mut stdin) = child.stdin.take() {
            // It asks once or twice whether to go on. Where it ends without asking, nobody reads this.
            let _ = stdin.write_all(b"y\ny\n").await;
        }

        let mut ended = Ended::default();
        let (mut out, mut err) = (Stream::default(), Stream::default());
        let mut until = deadline;
        while ended.status.is_none() || !(out.over && err.over) {
            tokio::select! {
                read = stdout.read_buf(&mut out.bytes), if !out.over => out.took(read),
                read = stderr.read_buf(&mut err.bytes), if !err.over => err.took(read),
                status = child.wait(), if ended.status.is_none() => {
                    ended.status = Some(status.map_err(not_started)?);
                    // What it started would hold the pipes open.
                    group.kill();
                    until = deadline.min(Instant::now() + LAST_WORDS);
                }
                () = sleep_until(until) => {
                    if ended.status.is_some() {
                        break;
                    }
                    return Err(CliError::OutOfTime { step, tail: ended.tail });
                }
            }
            for text in out.lines.whole.drain(..).chain(err.lines.whole.drain(..)) {
                let text = self.shown(&text);
                if !text.trim().is_empty() {
                    line(&text);
                    ended.tail.push(text);
                }
            }
            if ended.tail.len() > TAIL {
                ended.tail.drain(..ended.tail.len() - TAIL);
            }
        }
        Ok(ended)
    }

    /// A line without secrets, colours and what a carriage return has overwritten.
    pub(super) fn shown(&self, line: &str) -> String {
        let mut line = plain(line.rsplit('\r').next().unwrap_or_default());
        for secret in &self.secrets {
            line = line.replace(secret.expose_secret(), "…");
        }
        line
    }
}

/// Kills a process group once.
#[derive(Debug)]
struct Group(Option<Pid>);

impl Group {
    fn kill(&mut self) {
        if let Some(group) = self.0.take() {
            // It fails only when nobody is left in the group.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// One of the program's outputs.
#[derive(Debug, Default)]
struct Stream {
    bytes: bytes::BytesMut,
    lines: Lines,
    over: bool,
}

impl Stream {
    fn took(&mut self, read: io::Result<usize>) {
        self.lines.feed(&self.bytes);
        self.bytes.clear();
        if !matches!(read, Ok(1..)) {
            self.over = true;
            self.lines.end();
        }
    }
}

/// How the program ended.
#[derive(Debug, Default)]
pub(super) struct Ended {
    status: Option<ExitStatus>,
    pub(super) tail: Vec<String>,
}

impl Ended {
    /// Until when the platform may take to show what was done.
    pub(super) fn settled(&self) -> Instant {
        let failed = self.status.is_some_and(|status| !status.success());
        Instant::now() + if failed { SETTLE_FAILED } else { SETTLE }
    }

    /// The last line that it wrote as an error, without what its log puts before it.
    pub(super) fn complaint(&self) -> Option<&str> {
        let line = self.tail.iter().rev().find(|line| line.contains("| ERROR"))?;
        Some(line.split_once(" - ").map_or(line.as_str(), |(_, text)| text))
    }

    pub(super) fn not_done(self, step: &'static str, missing: &str) -> CliError {
        let status = self.status.map_or_else(|| "not started".to_owned(), |status| status.to_string());
        let why = self.complaint().unwrap_or(missing).to_owned();
        CliError::NotDone { step, status, why, tail: self.tail }
    }
}

/// Without the sequences that colour a terminal's text, and without other control characters.
fn plain(line: &str) -> String {
    let mut plain = String::new();
    let mut rest = line.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' if rest.peek() == Some(&'[') => {
                rest.next();
                while rest.next().is_some_and(|c| !('@'..='~').contains(&c)) {}
            }
            '\t' => plain.push(' '),
            c if c.is_control() => {}
            c => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn lines_are_made_plain(text in "(\u{1b}\\[[0-9;]{0,4}m|[a-z \t\u{7}]){0,20}") {
            let shown = plain(&text);
            prop_assert!(!shown.contains(char::is_control) && !shown.contains('['), "{:?}", shown);
        }
    }
}
