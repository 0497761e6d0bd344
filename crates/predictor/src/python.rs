//! The operator's own model in Python: where its file is, which interpreter runs it, and the worker script
//! that makes a plain `predict_actions` function a worker.

use std::env;
use std::path::{Path, PathBuf};

use crate::WorkerConfig;

/// Where the guide has the operator put the model, from the root of the checkout.
pub const PREDICTOR_FILE: &str = "scorevision/miner/private_track/predictor.py";

/// A worker's text: what all begin with, and its own.
macro_rules! script {
    ($($part:literal),+) => {
        concat!(include_str!("../python/protocol.py"), $("\n\n", include_str!(concat!("../python/", $part))),+)
    };
}

const PREDICTOR: &str = script!("worker.py");
const MINER: &str = script!("objects.py", "miner.py");
const CHUTE: &str = script!("objects.py", "chute.py");

/// The guide's template files of a chute, and what a chute made of them is told.
#[derive(Debug, Clone)]
pub struct ChuteFiles {
    /// The files, in the order in which they share one module.
    pub files: Vec<PathBuf>,
    /// The model's repository on Hugging Face.
    pub repository: String,
    /// Its revision.
    pub revision: String,
    /// The chute's name.
    pub name: String,
    /// A folder with the model, which `snapshot_download` then gives in place of fetching one.
    pub folder: Option<PathBuf>,
}

impl WorkerConfig {
    /// Workers that serve the Python file `predictor`, run by `python` (3.9 or newer, no packages needed).
    ///
    /// The file is what the guide shows, a function `predict_actions(video_path)`; docs/worker-protocol.md
    /// has what else it may define.
    #[must_use]
    pub fn python(python: &Path, predictor: &Path) -> Self {
        let mut config = Self::new(predictor.display().to_string(), python);
        config.args = vec!["-u".into(), "-c".into(), PREDICTOR.into(), predictor.into()];
        config
    }

    /// Workers that serve the `miner.py` in `folder`, as the published chute template serves it. numpy must be there.
    #[must_use]
    pub fn miner(python: &Path, folder: &Path) -> Self {
        let mut config = Self::new(folder.join("miner.py").display().to_string(), python);
        config.args = vec!["-u".into(), "-c".into(), MINER.into(), folder.into()];
        config
    }

    /// Workers that serve the guide's template files; what these import must be there, the chutes SDK excepted.
    #[must_use]
    pub fn chute(python: &Path, chute: &ChuteFiles) -> Self {
        let mut config = Self::new(chute.name.clone(), python);
        config.args = vec!["-u".into(), "-c".into(), CHUTE.into()];
        config.args.extend([&chute.repository, &chute.revision, &chute.name].map(Into::into));
        config.args.push(chute.folder.clone().unwrap_or_default().into());
        config.args.extend(chute.files.iter().map(Into::into));
        config
    }
}

/// The file with the operator's model: `explicit` when given, else [`PREDICTOR_FILE`] in the current directory
/// or one above it, else in a directory above this program. The guide's virtual environment lies inside the
/// checkout, so the file is found from any directory. `None` when there is no such file.
#[must_use]
pub fn find_predictor_file(explicit: Option<&Path>) -> Option<PathBuf> {
    match explicit {
        Some(file) => existing(file.to_owned()),
        None => find_in_checkout(Path::new(PREDICTOR_FILE)),
    }
    .filter(|file| file.is_file())
}

/// A file or folder of the checkout, by its path from the root: in the current directory or one above it, else in a
/// directory above this program.
#[must_use]
pub fn find_in_checkout(wanted: &Path) -> Option<PathBuf> {
    // The path that was typed as well as the real one: either may be a link out of the checkout.
    let typed = env::args_os().next().map(PathBuf::from);
    let programs = [typed.filter(|path| path.components().count() > 1), env::current_exe().ok()];
    let starts = programs.into_iter().flatten().chain(env::current_exe().and_then(std::fs::canonicalize));
    find_above(env::current_dir().into_iter().chain(starts), wanted)
}

fn find_above(starts: impl IntoIterator<Item = PathBuf>, wanted: &Path) -> Option<PathBuf> {
    starts
        .into_iter()
        .filter_map(|start| std::path::absolute(start).ok())
        .find_map(|start| start.ancestors().find_map(|folder| existing(folder.join(wanted))))
}

fn existing(file: PathBuf) -> Option<PathBuf> {
    file.exists().then(|| std::path::absolute(&file).unwrap_or(file))
}

/// The Python beside this program, when it was installed into a virtual environment (whose packages the model
/// then has, activated or not), else `python3` on the `PATH`.
#[must_use]
pub fn python_program() -> PathBuf {
    env::current_exe().ok().and_then(|program| virtual_python(&program)).unwrap_or_else(|| "python3".into())
}

fn virtual_python(program: &Path) -> Option<PathBuf> {
    let folder = program.parent()?;
    let python = folder.join("python3");
    let is_virtual = folder.parent()?.join("pyvenv.cfg").is_file();
    (is_virtual && python.exists()).then_some(python)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_file_is_found_from_any_folder_of_the_checkout() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(PREDICTOR_FILE);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "").unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        for start in ["", "scorevision/miner", ".venv/bin/adit"] {
            let starts = [elsewhere.path().to_owned(), folder.path().join(start)];
            assert_eq!(find_above(starts, Path::new(PREDICTOR_FILE)), Some(file.clone()), "from {start:?}");
        }
        assert_eq!(find_above([elsewhere.path().to_owned()], Path::new(PREDICTOR_FILE)), None);
    }

    #[test]
    fn an_explicit_file_that_is_missing_is_not_replaced_by_another() {
        assert_eq!(find_predictor_file(Some(Path::new("/nowhere/model.py"))), None);
    }

    #[test]
    fn the_python_of_the_own_virtual_environment_is_preferred() {
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("bin");
        fs::create_dir(&bin).unwrap();
        fs::write(bin.join("python3"), "").unwrap();
        assert_eq!(virtual_python(&bin.join("adit")), None);
        fs::write(folder.path().join("pyvenv.cfg"), "").unwrap();
        assert_eq!(virtual_python(&bin.join("adit")), Some(bin.join("python3")));
    }
}
