//! What goes into the image: the predictor with its weights, and the settings that answers depend on. A
//! spot check passes none of them, so they are part of the image.

use std::path::{Path, PathBuf};

use adit_docker::Context;
use adit_docker::ContextError;
use adit_predictor::{MODEL_FILE, ModelSpec, SpecError, find_predictor_file};
use adit_settings::{Environment, SettingError, Var, var};

/// Where the Dockerfile has the predictor's files.
const PREDICTOR_FOLDER: &str = "scorevision/miner/private_track";
/// The file's usual name.
const PREDICTOR: &str = "predictor.py";
/// The settings, each an `ARG` of the Dockerfile.
const SETTINGS: [&Var; 6] = [
    &var::PREDICTOR,
    &var::WORKER_COMMAND,
    &var::WORKERS,
    &var::MINER_MODE,
    &var::ONNX_PROVIDERS,
    &var::ONNX_THREADS,
];
/// What pip installs into the image, from the predictor's or the model's folder.
const REQUIREMENTS: &str = "requirements.txt";

/// What the configuration chooses for the image.
#[derive(Debug, Clone)]
pub struct Baked {
    /// The Dockerfile's arguments, in order.
    pub args: Vec<(String, String)>,
    /// The predictor's folder, where it is not the repository's own.
    pub folder: Option<PathBuf>,
    /// What answers, in a word or two.
    pub predictor: String,
}

/// Why the configuration cannot go into an image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BakedError {
    /// A setting.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The predictor lies among files that are no model's.
    #[error("the predictor's folder {folder} goes into the image whole, and is no folder of a model", folder = .folder.display())]
    Folder {
        /// Which.
        folder: PathBuf,
    },
    /// The model's description.
    #[error("`ADIT_MODEL`: {0}")]
    Model(#[from] SpecError),
    /// The model is not whole in its folder.
    #[error("the model in {folder} would not run in the image: {what}", folder = .folder.display())]
    Incomplete {
        /// Which.
        folder: PathBuf,
        /// What is missing, and what to do.
        what: String,
    },
    /// No predictor.
    #[error("there is no predictor file to build in: {what}")]
    NoPredictor {
        /// Where it was looked for.
        what: String,
    },
}

impl Baked {
    /// What the settings choose. `root` is the folder that is built from.
    ///
    /// # Errors
    /// [`BakedError`].
    pub fn from_settings(env: &Environment, root: &Path) -> Result<Self, BakedError> {
        let mut args = Vec::new();
        for var in SETTINGS {
            if let Some(value) = env.written(var)?.filter(|value| !value.is_empty()) {
                args.push((var.name.to_owned(), value.to_owned()));
            }
        }
        let choice = env.required(&var::PREDICTOR)?;
        if let Some(folder) = env.path(&var::MODEL)?.filter(|_| matches!(choice, "auto" | "model")) {
            return Self::model(env, root, args, &folder);
        }
        if let Some(command) = env.text(&var::WORKER_COMMAND)?.filter(|_| choice != "baseline") {
            // Named by the program alone: arguments may hold what is not for the screen.
            let program = command.split_whitespace().next().unwrap_or_default().to_owned();
            return Ok(Self { args, folder: None, predictor: program });
        }
        if choice == "baseline" {
            return Ok(Self { args, folder: None, predictor: "baseline".to_owned() });
        }
        let own = root.join(PREDICTOR_FOLDER).join(PREDICTOR);
        let named = env.path(&var::PREDICTOR_FILE)?;
        let file = match &named {
            Some(named) => find_predictor_file(Some(named)),
            None => own.is_file().then(|| own.clone()),
        };
        let Some(file) = file else {
            if choice == "auto" && named.is_none() {
                return Ok(Self { args, folder: None, predictor: "baseline".to_owned() });
            }
            let what = named.as_ref().unwrap_or(&own);
            return Err(BakedError::NoPredictor { what: format!("{} does not exist", what.display()) });
        };
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name != PREDICTOR {
            args.push((var::PREDICTOR_FILE.name.to_owned(), format!("{PREDICTOR_FOLDER}/{name}")));
        }
        let folder = file.parent().map(|folder| whole(env, root, folder)).transpose()?.flatten();
        Ok(Self { args, folder, predictor: file.display().to_string() })
    }

    /// A model in ONNX: its folder goes where predictors are.
    fn model(
        env: &Environment,
        root: &Path,
        mut args: Vec<(String, String)>,
        folder: &Path,
    ) -> Result<Self, BakedError> {
        let spec = ModelSpec::read(folder)?;
        let incomplete = |what: String| BakedError::Incomplete { folder: folder.to_owned(), what };
        let inside = spec.file.canonicalize().ok().zip(folder.canonicalize().ok());
        if !inside.is_some_and(|(file, folder)| file.starts_with(folder)) {
            let what =
                format!("{} is not a file in the folder, and nothing else goes in", spec.file.display());
            return Err(incomplete(what));
        }
        let requirements = std::fs::read_to_string(folder.join(REQUIREMENTS)).unwrap_or_default();
        if !requirements.lines().any(|line| line.trim_start().starts_with("onnxruntime")) {
            let what = format!(
                "it has no ONNX Runtime there; write a line such as onnxruntime==1.32.0 into {REQUIREMENTS} beside {MODEL_FILE}"
            );
            return Err(incomplete(what));
        }
        args.push((var::MODEL.name.to_owned(), PREDICTOR_FOLDER.to_owned()));
        let predictor = format!("the model in {}", folder.display());
        Ok(Self { args, folder: whole(env, root, folder)?, predictor })
    }

    /// The build context: the repository's, with the predictor's folder in its place.
    ///
    /// # Errors
    /// [`ContextError`].
    pub fn context(&self, root: &Path, dockerfile: &str) -> Result<Context, ContextError> {
        let mut context = Context::gather(root, dockerfile)?;
        if let Some(folder) = &self.folder {
            context.replace(PREDICTOR_FOLDER, folder)?;
        }
        Ok(context)
    }
}

/// The folder that goes in whole, where it is not the repository's own.
fn whole(env: &Environment, root: &Path, folder: &Path) -> Result<Option<PathBuf>, BakedError> {
    if same(folder, &root.join(PREDICTOR_FOLDER)) {
        return Ok(None);
    }
    let home = env.expand_home("~");
    if folder.parent().is_none() || same(folder, &home) || home.starts_with(folder) {
        return Err(BakedError::Folder { folder: folder.to_owned() });
    }
    Ok(Some(folder.to_owned()))
}

fn same(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn baked(root: &Path, pairs: &[(&str, &str)]) -> Result<Baked, BakedError> {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Baked::from_settings(&Environment::layered(pairs, None).unwrap(), root)
    }

    fn repository() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join(PREDICTOR_FOLDER);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(PREDICTOR), "shipped").unwrap();
        std::fs::write(root.path().join("Dockerfile.miner"), "FROM scratch").unwrap();
        root
    }

    #[test]
    fn what_is_chosen_becomes_arguments_and_nothing_else_does() {
        let root = repository();
        let chosen = baked(
            root.path(),
            &[
                ("MINER_MODE", "cricket_delivery"),
                ("ADIT_WORKERS", "2"),
                ("DOCKERHUB_TOKEN", "x"),
                ("ADIT_PREDICTOR", ""),
            ],
        );
        let chosen = chosen.unwrap();
        let args: Vec<_> = chosen.args.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(args, [("ADIT_WORKERS", "2"), ("MINER_MODE", "cricket_delivery")]);
        assert_eq!(chosen.folder, None);
        assert!(chosen.predictor.ends_with("private_track/predictor.py"));
    }

    #[test]
    fn a_model_elsewhere_comes_with_its_folder() {
        let (root, mine) = (repository(), tempfile::tempdir().unwrap());
        for name in ["model.py", "weights.bin"] {
            std::fs::write(mine.path().join(name), name).unwrap();
        }
        let file = mine.path().join("model.py");
        let chosen = baked(root.path(), &[("ADIT_PREDICTOR_FILE", file.to_str().unwrap())]).unwrap();
        assert_eq!(chosen.args, [("ADIT_PREDICTOR_FILE".into(), format!("{PREDICTOR_FOLDER}/model.py"))]);
        let context = chosen.context(root.path(), "Dockerfile.miner").unwrap();
        let names: Vec<_> = context.files().map(|(name, _)| name.to_owned()).collect();
        assert_eq!(
            names,
            [
                "Dockerfile.miner".into(),
                format!("{PREDICTOR_FOLDER}/model.py"),
                format!("{PREDICTOR_FOLDER}/weights.bin")
            ]
        );
    }

    #[test]
    fn a_home_folder_is_no_models_folder() {
        let (root, home) = (repository(), tempfile::tempdir().unwrap());
        let file = home.path().join("predictor.py");
        std::fs::write(&file, "").unwrap();
        let pairs =
            [("ADIT_PREDICTOR_FILE", file.to_str().unwrap()), ("HOME", home.path().to_str().unwrap())];
        let error = baked(root.path(), &pairs).unwrap_err();
        assert!(matches!(error, BakedError::Folder { .. }), "{error}");
    }

    #[test]
    fn a_model_that_is_not_there_is_no_baseline() {
        let root = repository();
        let error = baked(root.path(), &[("ADIT_PREDICTOR_FILE", "/nowhere/model.py")]).unwrap_err();
        assert!(error.to_string().contains("/nowhere/model.py does not exist"), "{error}");
        let bare = tempfile::tempdir().unwrap();
        assert_eq!(baked(bare.path(), &[]).unwrap().predictor, "baseline");
        assert!(baked(bare.path(), &[("ADIT_PREDICTOR", "worker")]).is_err());
    }

    #[test]
    fn a_models_folder_goes_in_with_what_runs_it() {
        let (root, models) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let folder = models.path().to_str().unwrap();
        let write = |name: &str, text: &str| std::fs::write(models.path().join(name), text).unwrap();
        let settings = [("ADIT_MODEL", folder), ("ADIT_WORKERS", ""), ("ADIT_ONNX_THREADS", "2")];
        let refused = |what: &str| {
            let error = baked(root.path(), &settings).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        };
        refused("model.toml");
        let text = "kind = \"action-spotting\"\nlabels = [\"pass\"]\n[spotting]\nactivation = \"none\"\n";
        write("model.toml", text);
        refused("model.onnx is not a file in the folder");
        write("model.onnx", "");
        refused("onnxruntime==");
        write("requirements.txt", "numpy\nonnxruntime-gpu==1.32.0\n");
        let chosen = baked(root.path(), &settings).unwrap();
        let args: Vec<(&str, &str)> =
            chosen.args.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(args, [("ADIT_ONNX_THREADS", "2"), ("ADIT_MODEL", PREDICTOR_FOLDER)]);
        assert_eq!(chosen.folder.as_deref(), Some(models.path()));
        // Chosen otherwise, it stays out.
        let settings = [("ADIT_MODEL", folder), ("ADIT_PREDICTOR", "baseline")];
        assert_eq!(baked(root.path(), &settings).unwrap().folder, None);
    }
}
