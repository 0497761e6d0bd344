//! What can go wrong with the platform's program, and what to do about it.

use std::io;
use std::path::PathBuf;

use crate::chutes::ChutesError;

/// A step that failed. [`CliError::hint`] says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CliError {
    /// The program is nowhere.
    #[error("the program `chutes` is not found{}", .named.as_ref().map(|path| format!(" at {}", path.display())).unwrap_or_default())]
    NoProgram {
        /// Where the settings say it is.
        named: Option<PathBuf>,
    },
    /// It cannot be started.
    #[error("{program} cannot be started: {error}")]
    NotStarted {
        /// The program.
        program: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The script cannot be read.
    #[error("the script {path} cannot be read: {error}")]
    Script {
        /// The script.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The name belongs to another revision.
    #[error("the chute `{name}` ({chute_id}) is that of {}", .revision.as_ref().map_or_else(|| "another model".to_owned(), |revision| format!("revision {revision}")))]
    Taken {
        /// The chute's name.
        name: String,
        /// The chute's id.
        chute_id: String,
        /// The revision in its script.
        revision: Option<String>,
    },
    /// The build failed at Chutes.
    #[error("the image `{name}:{tag}` ({image_id}) was not built: {why}")]
    BuildFailed {
        /// The image's name.
        name: String,
        /// Its tag.
        tag: String,
        /// Its id.
        image_id: String,
        /// The platform's word for it.
        why: String,
        /// The end of the build's log.
        tail: Vec<String>,
    },
    /// Deploying needs an image that is built.
    #[error("there is no built image `{name}:{tag}` to deploy")]
    NoImage {
        /// The image's name.
        name: String,
        /// Its tag.
        tag: String,
    },
    /// The program ended, and Chutes does not show what it should have done.
    #[error("`chutes {step}` ended ({status}) and it is not done: {why}")]
    NotDone {
        /// `build` or `deploy`.
        step: &'static str,
        /// How it ended.
        status: String,
        /// Its last complaint, or what is missing.
        why: String,
        /// What it wrote last, without secrets.
        tail: Vec<String>,
    },
    /// The deadline came; the program was ended.
    #[error("`chutes {step}` was not done in time")]
    OutOfTime {
        /// `build` or `deploy`.
        step: &'static str,
        /// What it wrote last, without secrets.
        tail: Vec<String>,
    },
    /// Chutes could not be asked.
    #[error(transparent)]
    Api(#[from] ChutesError),
}

impl CliError {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NoProgram { named: None } => {
                "Install it where PATH finds it:\n    python3 -m pip install chutes".to_owned()
            }
            Self::NoProgram { named: Some(_) } => {
                "Correct the setting that names it, or install it where PATH finds it and \
                 drop the setting:\n    python3 -m pip install chutes"
                    .to_owned()
            }
            Self::NotStarted { program, .. } => {
                format!("See whether it runs by hand:\n    {} --help", program.display())
            }
            Self::Script { .. } => "Make the script first, then repeat the step.".to_owned(),
            Self::Taken { chute_id, revision, .. } => {
                let delete = match revision {
                    Some(revision) => format!("sv delete-chute --revision {revision}"),
                    None => format!("chutes chutes delete {chute_id}"),
                };
                format!(
                    "Two revisions share a nickname now and then. Where the old chute is not needed:\n    {delete}\nelse \
                     change something in the model and push again: a new revision has another nickname."
                )
            }
            Self::BuildFailed { image_id, .. } => format!(
                "Correct what the end of its log names, delete the image, and build again:\n    chutes images delete \
                 {image_id}"
            ),
            Self::NoImage { .. } => "Build it first, and wait until it is built and pushed.".to_owned(),
            Self::NotDone { why, tail, .. } => {
                let marks = [
                    (
                        "per 24 hours",
                        "24 builds and 24 deployments are allowed in 24 hours: try again later.",
                    ),
                    (
                        "deployment fee",
                        "Top up the account at https://chutes.ai: a new chute costs three hours of its GPUs.",
                    ),
                    ("balance", "Top up the account at https://chutes.ai; a build wants 50 USD."),
                    (
                        "authorization error",
                        "The hotkey of config.ini is not accepted: `chutes login` writes it anew.",
                    ),
                    ("invalid nonce", "This host's clock is wrong by minutes: correct it."),
                    (
                        "request signature",
                        "The hotkey of config.ini is not accepted: `chutes login` writes it anew.",
                    ),
                    ("traceback", "The script failed while it was imported; the last lines say where."),
                    (
                        "unable to import",
                        "The script failed while it was imported; the last lines say where.",
                    ),
                ];
                // Its complaint first: other lines may speak of the same things in passing.
                let texts = [why.to_lowercase(), tail.join("\n").to_lowercase()];
                let found = texts.iter().find_map(|text| marks.iter().find(|(mark, _)| text.contains(mark)));
                let otherwise = "What the program wrote last says why; correct it and repeat the step.";
                found.map_or(otherwise, |(_, hint)| hint).to_owned()
            }
            Self::OutOfTime { .. } => {
                "Repeat the step with more time: a build that has begun goes on at Chutes and is taken \
                 up again."
                    .to_owned()
            }
            Self::Api(error) => error.hint(),
        }
    }

    /// What the program wrote last, oldest line first.
    #[must_use]
    pub fn tail(&self) -> &[String] {
        match self {
            Self::BuildFailed { tail, .. } | Self::NotDone { tail, .. } | Self::OutOfTime { tail, .. } => {
                tail
            }
            _ => &[],
        }
    }
}
