//! A program that is run in a container beside what runs there.

use std::pin::Pin;

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::exec::StartExecResults;
use bollard::models::ExecConfig;
use futures_util::Stream;
use tokio::time::{Instant, timeout_at};

use crate::engine::next;
use crate::image::plain;
use crate::{Engine, EngineError};

const DOING: &str = "run a program in the container";
/// Most bytes of stderr that are kept; the rest is read and left out.
const MOST_STDERR: usize = 64 * 1024;
/// What a shell, and so an engine, ends with where there is no such program, or it may not be run.
const NO_PROGRAM: [i64; 2] = [126, 127];

/// What a program in a container said, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executed {
    /// What it ended with.
    pub exit_code: i64,
    /// All of its stdout.
    pub stdout: Vec<u8>,
    /// The beginning of its stderr, at most 64 KiB, without control characters.
    pub stderr: String,
}

impl Executed {
    /// Whether there is no such program in the container.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        NO_PROGRAM.contains(&self.exit_code)
    }
}

impl Engine {
    /// Runs a program in a container that runs, as `user` (`uid:gid`) or as the container's own, and waits for its end. One
    /// that has not ended by `deadline` goes on, unheard.
    ///
    /// # Errors
    /// [`EngineError::Timeout`] after `deadline`; where there is no such container or it does not run; where stdout is longer
    /// than `most` bytes. A program that fails, or is not there, is no error.
    pub async fn exec(
        &self,
        id: &str,
        user: Option<&str>,
        command: &[&str],
        most: usize,
        deadline: Instant,
    ) -> Result<Executed, EngineError> {
        let running = self.run_to_the_end(id, user, command, most);
        timeout_at(deadline, running).await.unwrap_or(Err(EngineError::Timeout { doing: DOING }))
    }

    async fn run_to_the_end(
        &self,
        id: &str,
        user: Option<&str>,
        command: &[&str],
        most: usize,
    ) -> Result<Executed, EngineError> {
        let failed = |error| EngineError::from_bollard(DOING, error);
        let config = ExecConfig {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            user: user.map(str::to_owned),
            cmd: Some(command.iter().map(|word| (*word).to_owned()).collect()),
            ..ExecConfig::default()
        };
        let made = self.docker.create_exec(id, config).await.map_err(failed)?;
        let (stdout, stderr) = match self.docker.start_exec(&made.id, None).await {
            Ok(StartExecResults::Attached { output, .. }) => read(output, most).await?,
            Ok(StartExecResults::Detached) => Default::default(),
            // Some engines say so in place of an exit code.
            Err(Error::DockerResponseServerError { message, .. }) if is_no_program(&message) => {
                return Ok(Executed { exit_code: NO_PROGRAM[1], stdout: Vec::new(), stderr: message });
            }
            Err(error) => return Err(failed(error)),
        };
        // The end of the output may be told before that of the program.
        let exit_code = loop {
            let state = self.docker.inspect_exec(&made.id).await.map_err(failed)?;
            match state.exit_code {
                Some(code) if state.running != Some(true) => break code,
                _ => tokio::time::sleep(crate::container::LOOK).await,
            }
        };
        let stderr = String::from_utf8_lossy(&stderr);
        let stderr = stderr.lines().map(plain).collect::<Vec<_>>().join("\n");
        Ok(Executed { exit_code, stdout, stderr })
    }
}

fn is_no_program(message: &str) -> bool {
    ["executable file not found", "no such file or directory", "executable file `"]
        .iter()
        .any(|words| message.contains(words))
}

type Output = Pin<Box<dyn Stream<Item = Result<LogOutput, Error>> + Send>>;

/// Both streams to their end.
async fn read(mut output: Output, most: usize) -> Result<(Vec<u8>, Vec<u8>), EngineError> {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    while let Some(part) = next(&mut output, DOING).await? {
        match part.map_err(|error| EngineError::from_bollard(DOING, error))? {
            LogOutput::StdErr { message } => {
                let room = MOST_STDERR.saturating_sub(stderr.len());
                stderr.extend_from_slice(&message[..message.len().min(room)]);
            }
            part => stdout.extend_from_slice(&part.into_bytes()),
        }
        if stdout.len() > most {
            let message = format!("its output is longer than {most} bytes");
            return Err(EngineError::Other { doing: DOING, message });
        }
    }
    Ok((stdout, stderr))
}
