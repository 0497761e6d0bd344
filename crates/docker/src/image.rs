//! Images: built, looked at, pushed and pulled.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bollard::auth::DockerCredentials;
use bollard::body_try_stream;
use bollard::errors::Error;
use bollard::models::ProgressDetail;
use bollard::query_parameters::{
    BuildImageOptions, CreateImageOptionsBuilder, PushImageOptionsBuilder, RemoveImageOptionsBuilder,
};
use futures_util::{Stream, StreamExt as _};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::timeout;

use crate::engine::next;
use crate::{Context, Engine, EngineError, ImageName};

/// How often a transfer that broke is begun again. The engine itself tries each layer several times; what a
/// registry has already is not sent again.
const TRANSFERS: u32 = 3;
/// Pause before that.
const PAUSE: Duration = Duration::from_secs(2);
/// Longest time for a build context to reach the engine.
const UPLOAD: Duration = Duration::from_secs(6 * 3600);
/// Lines of a failed build that are kept.
const LAST_LINES: usize = 50;
/// Longest line of a build that is shown or kept, in bytes, give or take a character.
const LINE: usize = 2000;

/// Who pushes and pulls. Sent with one request, kept nowhere.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The account.
    pub username: String,
    /// Its access token.
    pub token: SecretString,
}

/// What is built.
#[derive(Debug, Clone)]
pub struct Build {
    /// The image's name with its tag.
    pub tag: String,
    /// Values for the Dockerfile's `ARG`s. Never secrets: they stay in the image's history.
    pub args: Vec<(String, String)>,
    /// Labels.
    pub labels: Vec<(String, String)>,
}

impl Build {
    /// An image with this name, for linux/amd64, which validators run.
    #[must_use]
    pub fn new(tag: impl Into<String>) -> Self {
        Self { tag: tag.into(), args: Vec::new(), labels: Vec::new() }
    }
}

/// An image that the engine has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// `sha256:…`, over its configuration (or its manifest, in engines that keep images in containerd).
    pub id: String,
    /// Its layers as they lie on disk, in bytes.
    pub size: u64,
    /// Its labels.
    pub labels: HashMap<String, String>,
    /// `name@sha256:…` by which registries know it.
    pub digests: Vec<String>,
}

/// What goes on while an image is built or moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// A line of a build.
    Line(String),
    /// A layer on its way.
    Layer {
        /// Its short name.
        id: String,
        /// What is being done with it, in the engine's words.
        status: String,
        /// Bytes done and bytes in all, where they are told.
        bytes: Option<(u64, u64)>,
    },
}

/// Told of all progress, in order.
pub type OnProgress<'a> = dyn FnMut(Progress) + Send + 'a;

impl Engine {
    /// Builds an image from a context by the Dockerfile in it.
    ///
    /// # Errors
    /// [`EngineError::Build`] with the last lines of output; [`EngineError::DiskFull`]; others.
    pub async fn build(
        &self,
        context: Context,
        build: &Build,
        progress: &mut OnProgress<'_>,
    ) -> Result<Image, EngineError> {
        const DOING: &str = "build the image";
        let options = BuildImageOptions {
            dockerfile: context.dockerfile().to_owned(),
            t: Some(build.tag.clone()),
            rm: true,
            // Also where the build fails: nothing half is left behind.
            forcerm: true,
            platform: "linux/amd64".to_owned(),
            buildargs: Some(build.args.iter().cloned().collect()),
            labels: Some(build.labels.iter().cloned().collect()),
            ..Default::default()
        };
        let (tar, unreadable) = context.into_tar();
        // The classic builder says nothing before it has the whole context.
        let docker = self.docker.clone().with_timeout(UPLOAD);
        let mut steps = std::pin::pin!(docker.build_image(options, None, Some(body_try_stream(tar))));
        let mut last = VecDeque::with_capacity(LAST_LINES);
        let mut first =
            Some(timeout(UPLOAD, steps.next()).await.map_err(|_| EngineError::Timeout { doing: DOING })?);
        while let Some(step) = match first.take() {
            Some(first) => first,
            None => next(&mut steps, DOING).await?,
        } {
            let step = match step {
                Ok(step) => step,
                Err(error) => {
                    // The engine only sees that the context ended too early.
                    if let Some(why) = unreadable.why() {
                        return Err(EngineError::Context(why));
                    }
                    return Err(match error {
                        Error::DockerStreamError { error: message }
                        | Error::DockerResponseServerError { message, .. } => {
                            failed_build(DOING, message, last.into())
                        }
                        other => EngineError::from_bollard(DOING, other),
                    });
                }
            };
            for line in step.stream.iter().chain(&step.status).flat_map(|text| text.lines()) {
                let line = plain(line);
                // An arrow without an id is how a stage from scratch begins.
                if matches!(line.trim(), "" | "--->") {
                    continue;
                }
                if last.len() == LAST_LINES {
                    last.pop_front();
                }
                last.push_back(line.clone());
                progress(Progress::Line(line));
            }
        }
        self.image(&build.tag).await?.ok_or_else(|| EngineError::Build {
            message: "the engine ended the build without an image".to_owned(),
            last: last.into(),
        })
    }

    /// The image of that name or id, where the engine has it.
    ///
    /// # Errors
    /// Where the engine cannot tell.
    pub async fn image(&self, name: &str) -> Result<Option<Image>, EngineError> {
        let found = match self.docker.inspect_image(name).await {
            Ok(found) => found,
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => return Ok(None),
            Err(error) => return Err(EngineError::from_bollard("look at the image", error)),
        };
        Ok(Some(Image {
            id: found.id.unwrap_or_default(),
            size: found.size.and_then(|size| size.try_into().ok()).unwrap_or_default(),
            labels: found.config.and_then(|config| config.labels).unwrap_or_default(),
            digests: found.repo_digests.unwrap_or_default(),
        }))
    }

    /// Pushes an image. A connection that breaks is begun again; what the registry has is not sent twice.
    ///
    /// # Errors
    /// [`EngineError::Denied`], [`EngineError::Transfer`], others.
    pub async fn push(
        &self,
        name: &ImageName,
        credentials: Option<&Credentials>,
        progress: &mut OnProgress<'_>,
    ) -> Result<(), EngineError> {
        const DOING: &str = "push";
        let begin = || {
            let options = PushImageOptionsBuilder::default().tag(name.tag()).build();
            let pushing = self.docker.push_image(&name.repo(), Some(options), wire(name, credentials));
            pushing.map(|step| step.map(|step| (None, step.status, step.progress_detail)))
        };
        transfer(DOING, name, begin, progress).await
    }

    /// Pulls an image by its tag, or by a digest of the same repository.
    ///
    /// # Errors
    /// [`EngineError::Denied`], [`EngineError::Missing`], [`EngineError::Transfer`], others.
    pub async fn pull(
        &self,
        name: &ImageName,
        digest: Option<&str>,
        credentials: Option<&Credentials>,
        progress: &mut OnProgress<'_>,
    ) -> Result<(), EngineError> {
        const DOING: &str = "pull";
        let begin = || {
            let options = CreateImageOptionsBuilder::default()
                .from_image(&name.repo())
                .tag(digest.unwrap_or(name.tag()))
                .platform("linux/amd64")
                .build();
            let pulling = self.docker.create_image(Some(options), None, wire(name, credentials));
            pulling.map(|step| step.map(|step| (step.id, step.status, step.progress_detail)))
        };
        transfer(DOING, name, begin, progress).await
    }

    /// Forgets a name; the image goes with its last one. One that is not there is fine.
    ///
    /// # Errors
    /// Where a container uses the image.
    pub async fn remove_image(&self, name: &str) -> Result<(), EngineError> {
        let options = RemoveImageOptionsBuilder::default().build();
        match self.docker.remove_image(name, Some(options), None).await {
            Ok(_) | Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(()),
            Err(error) => Err(EngineError::from_bollard("remove the image", error)),
        }
    }
}

/// Whether it was the disk, either by the engine's word or by that of the program that the build ran.
fn failed_build(doing: &'static str, message: String, last: Vec<String>) -> EngineError {
    if last.iter().any(|line| line.contains("No space left on device")) {
        return EngineError::DiskFull { doing };
    }
    match EngineError::said(doing, message) {
        EngineError::Other { message, .. } => EngineError::Build { message, last },
        other => other,
    }
}

/// A line without the colours that the engine gives to stderr, and without other control characters.
pub(crate) fn plain(line: &str) -> String {
    let mut text = String::new();
    let mut rest = line.chars();
    while let Some(character) = rest.next() {
        match character {
            '\u{1b}' => drop(rest.by_ref().find(char::is_ascii_alphabetic)),
            other if other.is_control() && other != '\t' => {}
            other => text.push(other),
        }
        if text.len() >= LINE {
            break;
        }
    }
    text.truncate(text.trim_end().len());
    text
}

/// One step of a push or pull: the layer's id, what is done with it, how far it is.
type Step = (Option<String>, Option<String>, Option<ProgressDetail>);

async fn transfer<S: Stream<Item = Result<Step, Error>>>(
    doing: &'static str,
    name: &ImageName,
    begin: impl Fn() -> S,
    progress: &mut OnProgress<'_>,
) -> Result<(), EngineError> {
    let mut left = TRANSFERS;
    loop {
        left -= 1;
        let mut steps = std::pin::pin!(begin());
        let failed = loop {
            match next(&mut steps, doing).await? {
                None => return Ok(()),
                Some(Ok((id, status, detail))) => {
                    let bytes = detail.and_then(|detail| {
                        let count = |value: Option<i64>| value.and_then(|value| value.try_into().ok());
                        count(detail.current).zip(count(detail.total)).filter(|(_, total)| *total > 0)
                    });
                    let status = status.unwrap_or_default();
                    progress(Progress::Layer { id: id.unwrap_or_default(), status, bytes });
                }
                Some(Err(error)) => break error,
            }
        };
        let error = judge(doing, name, failed);
        if left == 0 || !matches!(error, EngineError::Transfer { .. }) {
            return Err(error);
        }
        tracing::warn!(%error, "trying again");
        tokio::time::sleep(PAUSE).await;
    }
}

/// The engine passes a registry's answer on as text.
fn judge(doing: &'static str, name: &ImageName, error: Error) -> EngineError {
    let message = match error {
        Error::DockerStreamError { error } => error,
        Error::DockerResponseServerError { message, .. } => message,
        other => return EngineError::from_bollard(doing, other),
    };
    let (image, lower) = (name.to_string(), message.to_lowercase());
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if has(&["unauthorized", "denied", "no basic auth", "authentication required", "incorrect username"]) {
        return EngineError::Denied { doing, image, message };
    }
    if has(&["manifest unknown", "not found", "does not exist", "no such image"]) {
        return EngineError::Missing { doing, message };
    }
    match EngineError::said(doing, message) {
        EngineError::Other { message, .. } => EngineError::Transfer { doing, image, message },
        other => other,
    }
}

fn wire(name: &ImageName, credentials: Option<&Credentials>) -> Option<DockerCredentials> {
    credentials.map(|credentials| DockerCredentials {
        username: Some(credentials.username.clone()),
        password: Some(credentials.token.expose_secret().to_owned()),
        serveraddress: Some(name.registry().to_owned()),
        ..Default::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_and_control_characters_are_taken_out() {
        assert_eq!(plain("\u{1b}[91mtwo\u{1b}[0m  \r"), "two");
        assert_eq!(plain("\u{1b}[0m"), "");
        assert_eq!(plain("a\tb\u{7}é\u{1b}"), "a\tbé");
    }

    #[test]
    fn what_an_engine_says_of_a_registry_is_told_apart() {
        let name: ImageName = "me/x:v1".parse().unwrap();
        let said = |text: &str| judge("push", &name, Error::DockerStreamError { error: text.to_owned() });
        for text in [
            "unauthorized: authentication required",
            "denied: requested access to the resource is denied",
            "no basic auth credentials",
        ] {
            assert!(matches!(said(text), EngineError::Denied { .. }), "{text}");
        }
        assert!(matches!(said("manifest unknown"), EngineError::Missing { .. }));
        assert!(matches!(
            said("write /var/lib/docker/tmp/x: no space left on device"),
            EngineError::DiskFull { .. }
        ));
        for text in ["EOF", "write tcp 127.0.0.1:1->127.0.0.1:2: write: connection reset by peer"] {
            assert!(matches!(said(text), EngineError::Transfer { .. }), "{text}");
        }
    }
}
