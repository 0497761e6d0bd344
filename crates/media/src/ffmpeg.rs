//! The `ffmpeg` program as a child process under limits: found, started, killed with whoever holds it. What
//! it is asked to do is left to `frames`, `encode` and `picture`, what it complains about to `complaints`.

use std::{
    io,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use rustix::{
    pipe::fcntl_setpipe_size,
    process::{Pid, Resource, Rlimit, prlimit},
};
use tokio::{
    io::AsyncWriteExt,
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::OnceCell,
    time::{Instant, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use crate::{MediaError, MediaLimits, complaints::Complaints};

const OLDEST: u32 = 5;
/// Bytes of the pipe that a child's output goes through: what Linux allows everybody.
const PIPE: usize = 1 << 20;
const VERSION_LIMIT: Duration = Duration::from_secs(10);

/// The `ffmpeg` program of this host.
#[derive(Debug, Clone)]
pub struct Ffmpeg {
    program: PathBuf,
    version: Arc<OnceCell<Version>>,
}

#[derive(Debug)]
struct Version {
    text: String,
    major: u32,
}

impl Version {
    /// Asks the program.
    async fn of(program: &Path) -> Result<Self, MediaError> {
        let asked = command(program).arg("-version").stdin(Stdio::null()).output();
        let output = match timeout(VERSION_LIMIT, asked).await {
            Ok(Ok(output)) => output,
            Ok(Err(error)) => return Err(not_started(program, &error)),
            Err(_) => return Err(fault(program, "did not tell its version in time")),
        };
        let text = String::from_utf8_lossy(&output.stdout);
        let version = text.split_whitespace().skip_while(|word| *word != "version").nth(1);
        let Some(version) = version.filter(|_| output.status.success()) else {
            return Err(fault(program, "did not tell its version"));
        };
        let major = major(version);
        if major < OLDEST {
            return Err(fault(program, &format!("is version {version}; {OLDEST} or newer is needed")));
        }
        Ok(Self { text: version.to_owned(), major })
    }
}

impl Ffmpeg {
    /// The program on `PATH` or at `program`, not asked anything yet: to load it takes a tenth of a second.
    #[must_use]
    pub fn at(program: Option<&Path>) -> Self {
        Self { program: program.unwrap_or(Path::new("ffmpeg")).to_owned(), version: Arc::default() }
    }

    /// The program on `PATH` or at `program`, checked.
    ///
    /// # Errors
    /// As [`Ffmpeg::version`].
    pub async fn find(program: Option<&Path>) -> Result<Self, MediaError> {
        let found = Self::at(program);
        found.version().await?;
        Ok(found)
    }

    /// Where the program is, as it was asked for.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The version as the program says it, such as `5.1.9-0+deb12u1`; asked once. It is part of what makes
    /// an answer repeatable, so reports and `/health` show it.
    ///
    /// # Errors
    /// [`MediaError::Program`] when the program is missing, older than 5 or does not answer within 10 s.
    pub async fn version(&self) -> Result<&str, MediaError> {
        Ok(&self.checked().await?.text)
    }

    /// The version if it has been asked already.
    #[must_use]
    pub fn known_version(&self) -> Option<&str> {
        self.version.get().map(|version| version.text.as_str())
    }

    async fn checked(&self) -> Result<&Version, MediaError> {
        self.version.get_or_try_init(|| Version::of(&self.program)).await
    }

    /// The arguments that keep timestamps from dropping or repeating frames.
    pub(crate) async fn passthrough(&self) -> Result<[&'static str; 2], MediaError> {
        let Version { major, .. } = self.checked().await?;
        // `-vsync` is the only spelling of 5.0, and gone from the newest versions.
        Ok(if *major > OLDEST { ["-fps_mode", "passthrough"] } else { ["-vsync", "passthrough"] })
    }

    /// Starts the program with these arguments.
    pub(crate) fn start(&self, arguments: &[&str], limits: &ChildLimits) -> Result<Process, MediaError> {
        let mut child = command(&self.program)
            // Some damage is told as information only.
            .args(["-nostdin", "-hide_banner", "-nostats", "-v", "level+info"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| not_started(&self.program, &error))?;
        limits.apply(&child).map_err(|error| fault(&self.program, &format!("cannot be limited: {error}")))?;
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(fault(&self.program, "was started without pipes"));
        };
        // More fits in between, so both sides wake less often. Where the kernel allows no more, it stays as it is.
        let _ = fcntl_setpipe_size(&stdout, PIPE);
        let file = arguments.iter().find(|argument| argument.starts_with("file:"));
        let complaints = Complaints::read(stderr, file.map(|file| (*file).to_owned()));
        let complaints = AbortOnDropHandle::new(tokio::spawn(complaints));
        Ok(Process { child, stdin: Some(stdin), stdout, complaints })
    }
}

/// What a child may use. The limits are set from outside, right after its start and before it is fed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChildLimits {
    memory: Option<u64>,
    file_size: Option<u64>,
    cpu_seconds: u64,
}

impl ChildLimits {
    /// For a decoder: it writes no file, and has no more time on its threads than the deadline leaves.
    pub(crate) fn decoder(limits: &MediaLimits, deadline: Instant) -> Self {
        Self {
            memory: Some(limits.decoder_memory),
            file_size: Some(0),
            cpu_seconds: cpu_seconds(deadline, limits.decoder_threads as u64),
        }
    }

    /// For an encoder of our own pictures.
    pub(crate) fn encoder(deadline: Instant) -> Self {
        Self { memory: None, file_size: None, cpu_seconds: cpu_seconds(deadline, 1) }
    }

    fn apply(self, child: &Child) -> io::Result<()> {
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        // A child that is gone already needs no limits; its end is noticed where it is read.
        let Some(pid) = pid else { return Ok(()) };
        let limits = [
            (Resource::As, self.memory),
            (Resource::Fsize, self.file_size),
            (Resource::Cpu, Some(self.cpu_seconds)),
            (Resource::Core, Some(0)),
            (Resource::Nofile, Some(64)),
        ];
        for (resource, limit) in limits {
            if let Some(limit) = limit {
                let limit = Rlimit { current: Some(limit), maximum: Some(limit) };
                match prlimit(Some(pid), resource, limit) {
                    Ok(_) => {}
                    Err(rustix::io::Errno::SRCH) => return Ok(()),
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }
}

fn cpu_seconds(deadline: Instant, threads: u64) -> u64 {
    (deadline.saturating_duration_since(Instant::now()).as_secs() + 1).saturating_mul(threads.max(1)) + 1
}

/// A running child. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    pub(crate) stdout: ChildStdout,
    complaints: AbortOnDropHandle<Complaints>,
}

impl Process {
    /// The child's input; closed when dropped.
    pub(crate) fn take_input(&mut self) -> Input {
        Input(self.stdin.take())
    }

    /// Waits for the end of a child whose output has ended. `Err` holds what it said, shortened: also that of
    /// a child that ended well, but had complained about damage.
    pub(crate) async fn finish(mut self) -> Result<(), String> {
        drop(self.stdin.take());
        let status = self.child.wait().await;
        let said = self.complaints.await.unwrap_or_default();
        match (status, said.damage) {
            (Ok(status), None) if status.success() => Ok(()),
            (Ok(status), Some(damage)) if status.success() => Err(damage),
            (Ok(status), _) if said.first.is_empty() => Err(status.to_string()),
            (Ok(_), _) => Err(said.first),
            (Err(error), _) => Err(error.to_string()),
        }
    }
}

/// The input of a child.
pub(crate) struct Input(Option<ChildStdin>);

impl Input {
    /// Writes all of `bytes`; `false` when the child has closed its end. That is no error here: a decoder
    /// stops reading when it has what it needs, and when it failed its exit status says so.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<bool, MediaError> {
        let Some(pipe) = &mut self.0 else { return Ok(false) };
        match pipe.write_all(bytes).await {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(MediaError::Program(format!("cannot be fed: {error}"))),
        }
    }
}

fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().kill_on_drop(true);
    for name in ["PATH", "LD_LIBRARY_PATH"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    // Its own group: Ctrl-C at the terminal is for the miner, which then lets its answers finish.
    command.process_group(0);
    command
}

fn fault(program: &Path, what: &str) -> MediaError {
    MediaError::Program(format!("{} {what}", program.display()))
}

fn not_started(program: &Path, error: &io::Error) -> MediaError {
    if error.kind() == io::ErrorKind::NotFound {
        fault(program, "was not found; install it (Debian: apt install ffmpeg)")
    } else {
        fault(program, &format!("cannot be started: {error}"))
    }
}

/// `5.1.9-0+deb12u1` and `n6.0` are releases; a build between releases (`N-109…-g…`) counts as new.
fn major(version: &str) -> u32 {
    let digits = version.strip_prefix('n').unwrap_or(version);
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_from_releases_and_builds() {
        assert_eq!(major("5.1.9-0+deb12u1"), 5);
        assert_eq!(major("n7.0"), 7);
        assert_eq!(major("4.4.2"), 4);
        assert!(major("N-109968-gcc76e8340d") > 5);
    }

    #[tokio::test]
    async fn a_missing_program_is_named_with_what_to_do() {
        let error = Ffmpeg::find(Some(Path::new("/nowhere/ffmpeg"))).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("/nowhere/ffmpeg") && text.contains("apt install ffmpeg"), "{text}");
    }

    #[tokio::test]
    async fn a_program_that_is_not_ffmpeg_is_refused() {
        let error = Ffmpeg::find(Some(Path::new("true"))).await.unwrap_err();
        assert!(error.to_string().contains("version"), "{error}");
    }
}
