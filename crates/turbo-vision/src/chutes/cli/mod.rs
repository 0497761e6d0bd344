//! The two steps that are left to the platform's own program: building an image and deploying a chute, for which it runs
//! the chute's script (Turbo Vision reference, sections 3 and 5.2).
//!
//! Its exit status says little: most failures end with 0. So a step is done when [`Api`] shows it. Both steps look first
//! and may be repeated: what is there already is not done again.

mod error;
mod process;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use secrecy::{ExposeSecret as _, SecretString};
use tokio::process::Command;
use tokio::time::{Duration, Instant, sleep_until, timeout};

use super::{Api, ChuteInfo, Config, ConfigError, ImageInfo, ids, jittered};
use process::{Ended, SETTLE, TAIL};

pub use error::CliError;

/// Longest pause between two looks at an image that is being built; the first is a second.
const LOOK: Duration = Duration::from_secs(5);
/// How long the version may take; Python's start is slow on a cold disk.
const VERSION: Duration = Duration::from_secs(30);

/// What the program is given of the world, and nothing else.
#[derive(Debug)]
pub struct Surroundings {
    /// `PATH`.
    pub search_path: OsString,
    /// `HOME`; Hugging Face keeps what it downloads below it.
    pub home: PathBuf,
    /// The account's `config.ini`.
    pub config: PathBuf,
    /// `HF_TOKEN`: the script downloads the model's files while it is imported, and the repository may be private.
    pub hugging_face_token: Option<SecretString>,
    /// Other variables, such as `HF_ENDPOINT` or `SSL_CERT_FILE`. None that holds a secret.
    pub others: Vec<(OsString, OsString)>,
    /// Secrets that the program does not get, and that no line may show even so.
    pub hidden: Vec<SecretString>,
}

/// What is to be built and deployed.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    /// The folder with the script; the program runs there.
    pub folder: &'a Path,
    /// The script's name without `.py`. It defines `chute`.
    pub module: &'a str,
    /// The name of the chute and of its image.
    pub name: &'a str,
    /// The image's tag.
    pub tag: &'a str,
}

/// What Chutes has under a name already.
#[derive(Debug, Clone, PartialEq)]
pub enum Standing {
    /// Nothing.
    Nothing,
    /// An image, built or not, and no chute.
    Image(ImageInfo),
    /// The chute with this very script.
    Deployed(ChuteInfo),
    /// The chute with another script of the same revision: deploying replaces it.
    Outdated(ChuteInfo),
    /// The chute of another revision, which has the same nickname by chance.
    Taken {
        /// That chute.
        chute: ChuteInfo,
        /// Its revision, where its script names one.
        revision: Option<String>,
    },
}

/// Finds the program: the one that the settings name, else `chutes` in `search_path` (`PATH`).
///
/// # Errors
/// [`CliError::NoProgram`].
pub fn find(named: Option<&Path>, search_path: &OsStr) -> Result<PathBuf, CliError> {
    let runs = |path: &Path| {
        use std::os::unix::fs::PermissionsExt as _;
        fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    match named {
        Some(path) if runs(path) => std::path::absolute(path)
            .map_err(|error| CliError::NotStarted { program: path.to_owned(), error }),
        Some(path) => Err(CliError::NoProgram { named: Some(path.to_owned()) }),
        None => std::env::split_paths(search_path)
            .map(|folder| folder.join("chutes"))
            .find(|path| runs(path))
            .ok_or(CliError::NoProgram { named: None }),
    }
}

/// The program, with an account that it is ready to work for.
#[derive(Debug)]
pub struct Cli {
    program: PathBuf,
    config: Config,
    /// But for `HF_TOKEN`, so that it can be printed.
    environment: Vec<(OsString, OsString)>,
    hugging_face_token: Option<SecretString>,
    /// What no line may show.
    secrets: Vec<SecretString>,
}

impl Cli {
    /// Looks whether the program can work for `username` at `base_url`. Nothing is sent or started.
    ///
    /// # Errors
    /// Where its `config.ini` is missing, incomplete, or that of another account or API.
    pub fn new(
        program: PathBuf,
        surroundings: Surroundings,
        username: &str,
        base_url: &str,
    ) -> Result<Self, ConfigError> {
        let config = Config::read(&surroundings.config)?;
        config.check(username, base_url)?;
        let mut environment: Vec<(OsString, OsString)> = [
            ("PATH", surroundings.search_path),
            ("HOME", surroundings.home.into()),
            ("CHUTES_CONFIG_PATH", std::path::absolute(&config.path).unwrap_or(config.path.clone()).into()),
            ("CHUTES_API_URL", base_url.trim_end_matches('/').into()),
            // Each line comes when it is written, in one encoding, as plain text.
            ("PYTHONUNBUFFERED", "1".into()),
            ("PYTHONIOENCODING", "utf-8:replace".into()),
            ("LC_ALL", "C.UTF-8".into()),
            ("NO_COLOR", "1".into()),
            ("HF_HUB_DISABLE_PROGRESS_BARS", "1".into()),
        ]
        .map(|(name, value)| (name.into(), value))
        .into();
        environment.extend(surroundings.others);
        let mut secrets = surroundings.hidden;
        secrets.push(config.seed().clone());
        let hugging_face_token = surroundings.hugging_face_token;
        secrets.extend(hugging_face_token.clone());
        // An empty text is everywhere.
        secrets.retain(|secret| !secret.expose_secret().is_empty());
        Ok(Self { program, config, environment, hugging_face_token, secrets })
    }

    /// The account's configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The program's version, such as `0.6.9`. It has no option for that, so the Python that it is written for is asked.
    ///
    /// # Errors
    /// Where that is not found or does not say.
    pub async fn version(&self) -> Result<String, CliError> {
        let failed = |error| CliError::NotStarted { program: self.program.clone(), error };
        let python = fs::read(&self.program).map_err(failed)?;
        let python = interpreter(&python).ok_or_else(|| {
            failed(io::Error::other("it does not begin with the line that names its Python"))
        })?;
        let asked = Command::new(python)
            .args(["-c", "import importlib.metadata as m; print(m.version('chutes'))"])
            .env_clear()
            .envs(self.environment.iter().filter(|(name, _)| name == "PATH" || name == "HOME").cloned())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = match timeout(VERSION, asked).await {
            Ok(output) => output.map_err(failed)?,
            Err(_) => return Err(failed(io::Error::other("it did not tell its version in time"))),
        };
        let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if !output.status.success() || version.is_empty() {
            return Err(failed(io::Error::other("its Python has no package `chutes`")));
        }
        Ok(version)
    }

    /// What Chutes has under the job's name.
    ///
    /// # Errors
    /// Where the script cannot be read or Chutes cannot be asked.
    pub async fn standing(&self, api: &Api, job: Job<'_>, deadline: Instant) -> Result<Standing, CliError> {
        let script = script(job)?;
        let chute = api.chute(&ids::chute(&self.config.username, job.name), deadline).await?;
        let Some(chute) = chute else {
            let image = api.image(&self.image_id(job), deadline).await?;
            return Ok(image.map_or(Standing::Nothing, Standing::Image));
        };
        if self.shows(api, job, &chute, &script, deadline).await? {
            return Ok(Standing::Deployed(chute));
        }
        let code = api.code(&chute.chute_id, deadline).await?.unwrap_or_default();
        let (deployed, ours) = (revision(&code), revision(&script));
        if deployed.is_some() && deployed == ours {
            return Ok(Standing::Outdated(chute));
        }
        Ok(Standing::Taken { chute, revision: deployed })
    }

    /// Has the image built, unless there is one, and waits until it can be run. Each line that the program writes is
    /// handed to `line`, without secrets.
    ///
    /// An image does not say which revision it is of. One of this name without a chute is taken for ours: it is what a
    /// stopped deployment leaves.
    ///
    /// # Errors
    /// [`CliError::Taken`] before anything is begun; [`CliError::BuildFailed`]; [`CliError::NotDone`] where the program
    /// ended and there is no image; [`CliError::OutOfTime`].
    pub async fn build(
        &self,
        api: &Api,
        job: Job<'_>,
        deadline: Instant,
        mut line: impl FnMut(&str),
    ) -> Result<ImageInfo, CliError> {
        if let Standing::Taken { chute, revision } = self.standing(api, job, deadline).await? {
            return Err(taken(job, chute, revision));
        }
        let image_id = self.image_id(job);
        let mut ended = Ended::default();
        if api.image(&image_id, deadline).await?.is_none() {
            let args = ["build", &format!("{}:chute", job.module), "--public", "--wait", "--debug"];
            ended = self.run("build", &args, job.folder, deadline, &mut line).await?;
        }
        let settled = ended.settled();
        let mut pause = Duration::from_secs(1);
        loop {
            let image = api.image(&image_id, deadline).await?;
            let next = Instant::now() + jittered(pause);
            pause = (pause * 2).min(LOOK);
            match image {
                Some(image) if image.is_built() => return Ok(image),
                Some(image) => {
                    if let Some(why) = image.failure() {
                        if ended.tail.is_empty() {
                            ended.tail = self.end_of_log(api, &image_id).await;
                        }
                        return Err(CliError::BuildFailed {
                            name: image.name.clone(),
                            tag: image.tag.clone(),
                            why: why.to_owned(),
                            image_id,
                            tail: ended.tail,
                        });
                    }
                    line(&format!("the image is {}", image.status.as_deref().unwrap_or("being built")));
                }
                // A refusal is not followed by an image, so one that was said is believed.
                None if ended.complaint().is_some() || next >= settled => {
                    return Err(ended.not_done("build", "there is no image"));
                }
                None => {}
            }
            if next >= deadline {
                return Err(CliError::OutOfTime { step: "build", tail: ended.tail });
            }
            sleep_until(next).await;
        }
    }

    /// Has the chute deployed, unless it is, and looks whether Chutes has this very script. The first deployment's fee is
    /// accepted.
    ///
    /// # Errors
    /// [`CliError::Taken`] and [`CliError::NoImage`] before anything is begun; [`CliError::NotDone`] where the program
    /// ended and there is no such chute; [`CliError::OutOfTime`].
    pub async fn deploy(
        &self,
        api: &Api,
        job: Job<'_>,
        deadline: Instant,
        mut line: impl FnMut(&str),
    ) -> Result<ChuteInfo, CliError> {
        match self.standing(api, job, deadline).await? {
            Standing::Deployed(chute) => return Ok(chute),
            Standing::Taken { chute, revision } => return Err(taken(job, chute, revision)),
            Standing::Nothing | Standing::Image(_) | Standing::Outdated(_) => {}
        }
        let image = api.image(&self.image_id(job), deadline).await?;
        if !image.is_some_and(|image| image.is_built()) {
            return Err(CliError::NoImage { name: job.name.to_owned(), tag: job.tag.to_owned() });
        }
        let script = script(job)?;
        let args = ["deploy", &format!("{}:chute", job.module), "--accept-fee", "--debug"];
        let ended = self.run("deploy", &args, job.folder, deadline, &mut line).await?;
        let chute_id = ids::chute(&self.config.username, job.name);
        let settled = ended.settled();
        loop {
            let chute = api.chute(&chute_id, deadline).await?;
            let why = match chute {
                Some(chute) if self.shows(api, job, &chute, &script, deadline).await? => return Ok(chute),
                Some(_) => "the chute has another script",
                None => "there is no chute",
            };
            let next = Instant::now() + jittered(Duration::from_secs(1));
            if ended.complaint().is_some() || next >= settled || next >= deadline {
                return Err(ended.not_done("deploy", why));
            }
            sleep_until(next).await;
        }
    }

    /// The last lines of a build that has ended, as far as they can be read in a few seconds.
    async fn end_of_log(&self, api: &Api, image_id: &str) -> Vec<String> {
        let mut log = api.build_log(image_id, Instant::now() + SETTLE);
        let mut tail = std::collections::VecDeque::new();
        while let Ok(Some(line)) = log.next().await {
            tail.push_back(self.shown(&line));
            if tail.len() > TAIL {
                tail.pop_front();
            }
        }
        tail.into()
    }

    /// Whether a chute has this script: by its version, else by the text that Chutes shows.
    async fn shows(
        &self,
        api: &Api,
        job: Job<'_>,
        chute: &ChuteInfo,
        script: &str,
        deadline: Instant,
    ) -> Result<bool, CliError> {
        if chute.version == ids::version(&self.image_id(job), script) {
            return Ok(true);
        }
        let code = api.code(&chute.chute_id, deadline).await?;
        Ok(code.is_some_and(|code| newlines(&code) == script))
    }

    fn image_id(&self, job: Job<'_>) -> String {
        ids::image(&self.config.username, job.name, job.tag)
    }
}

fn taken(job: Job<'_>, chute: ChuteInfo, revision: Option<String>) -> CliError {
    CliError::Taken { name: job.name.to_owned(), chute_id: chute.chute_id, revision }
}

/// The script as Python reads a text file.
fn script(job: Job<'_>) -> Result<String, CliError> {
    let path = job.folder.join(format!("{}.py", job.module));
    match fs::read_to_string(&path) {
        Ok(text) => Ok(newlines(&text)),
        Err(error) => Err(CliError::Script { path, error }),
    }
}

fn newlines(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

/// The revision that a script names: the newer template has it in a constant, the older one in its last call with a
/// `revision`, below the operator's own code.
#[must_use]
pub fn revision(script: &str) -> Option<String> {
    let value = |line: &str, name: &str| {
        let rest = line.trim_start().strip_prefix(name)?.trim_start().strip_prefix('=')?.trim_start();
        let quote = rest.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
        let value = rest[1..].split(quote).next()?;
        (!value.is_empty()).then(|| value.to_owned())
    };
    let constant = script.lines().find_map(|line| value(line, "HF_REPO_REVISION"));
    constant.or_else(|| script.lines().rev().find_map(|line| value(line, "revision")))
}

/// The Python in the first line of a script, or in the second where the first is the shell that a long path needs.
fn interpreter(script: &[u8]) -> Option<PathBuf> {
    let text = String::from_utf8_lossy(&script[..script.len().min(4096)]).into_owned();
    let mut lines = text.lines();
    let first = lines.next()?.strip_prefix("#!")?.trim();
    let path = if first == "/bin/sh" {
        lines.next()?.strip_prefix("'''exec' ")?.trim_start_matches('"').split(['"', ' ']).next()?
    } else {
        first.split(' ').next()?
    };
    path.contains("python").then(|| path.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_names_its_revision() {
        for (script, found) in [
            ("HF_REPO_NAME = \"a/b\"\nHF_REPO_REVISION = \"abc\"\n", Some("abc")),
            ("x(revision='v1')\n    revision='v1',\n)\n    revision='abc',\n", Some("abc")),
            ("HF_REPO_REVISION = \"\"\n", None),
            ("HF_REPO_REVISION = revision()\n", None),
            ("", None),
        ] {
            assert_eq!(revision(script).as_deref(), found, "{script}");
        }
    }

    #[test]
    fn the_python_of_a_script_is_found() {
        for (script, found) in [
            ("#!/v/bin/python3.11\nimport sys", Some("/v/bin/python3.11")),
            ("#!/bin/sh\n'''exec' \"/a b/bin/python\" \"$0\" \"$@\"\n", None),
            ("#!/bin/sh\n'''exec' \"/v/bin/python\" \"$0\" \"$@\"\n", Some("/v/bin/python")),
            ("#!/bin/sh\n'''exec' /v/bin/python \"$0\" \"$@\"\n", Some("/v/bin/python")),
            ("#!/bin/bash\necho", None),
            ("\u{7f}ELF", None),
        ] {
            assert_eq!(interpreter(script.as_bytes()), found.map(PathBuf::from), "{script}");
        }
    }

    #[test]
    fn a_program_that_is_not_there_is_said_to_be_missing() {
        let folder = tempfile::tempdir().unwrap();
        let error = find(Some(&folder.path().join("chutes")), OsStr::new("/bin")).unwrap_err();
        assert!(error.hint().contains("pip install chutes"), "{error}");
        assert!(matches!(find(None, folder.path().as_os_str()), Err(CliError::NoProgram { named: None })));
    }
}
