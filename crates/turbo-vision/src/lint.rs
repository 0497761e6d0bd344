//! A model folder before it is uploaded: what validators would refuse it for (Turbo Vision reference, section 6.4), which
//! they say nowhere, and what the chute would trip over.
//!
//! [`check`] reads the files and runs none. It is told which files are uploaded; [`files`] lists those of a folder that
//! usually are. [`python`] compares programs as the check of a chute's code does.

mod config;
pub mod python;

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};

use adit_manifest::Element;
use serde::Serialize;

use self::config::{Flaw, SECTIONS};
use self::python::{Class, Function, Refused, SyntaxError};

/// The most bytes of a repository that is run again by validators: 30 MiB.
pub const MAX_REPOSITORY_BYTES: u64 = 31_457_280;

/// The most files of a folder that are looked at.
pub const MAX_FILES: usize = 100_000;

/// The most bytes of a `chute_config.yml` that are read.
const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// The suffixes that a repository may have.
const SUFFIXES: [&str; 9] = [".onnx", ".py", ".json", ".txt", ".md", ".yml", ".yaml", ".labels", ".csv"];

/// Those that are refused by name.
const BINARIES: [&str; 9] = [".so", ".dylib", ".dll", ".exe", ".bin", ".pt", ".pth", ".ckpt", ".safetensors"];

/// The ends of names that stand for models that are not ONNX.
const OTHER_MODELS: [&str; 11] =
    [".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".keras", ".pb", ".tflite", ".msgpack", ".gguf"];

const FORBIDDEN_IMPORTS: [&str; 10] = [
    "socket",
    "subprocess",
    "ctypes",
    "multiprocessing",
    "requests",
    "urllib",
    "http",
    "ftplib",
    "telnetlib",
    "paramiko",
];
const FORBIDDEN_CALLS: [&str; 4] = ["eval", "exec", "__import__", "open"];
const FORBIDDEN_METHODS: [(&str, &str); 10] = [
    ("os", "system"),
    ("os", "popen"),
    ("os", "remove"),
    ("os", "unlink"),
    ("os", "rmdir"),
    ("os", "removedirs"),
    ("subprocess", "Popen"),
    ("subprocess", "run"),
    ("subprocess", "call"),
    ("subprocess", "check_output"),
];

const MINER: &str = "miner.py";
const CONFIG: &str = "chute_config.yml";

/// Why a folder could not be checked.
#[derive(Debug, thiserror::Error)]
pub enum LintError {
    /// A file or the folder cannot be read.
    #[error("{path} cannot be read: {source}; check that it is there and that you may read it")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There are too many files.
    #[error("{0} has more than {MAX_FILES} files; name the folder that holds the model only")]
    TooManyFiles(PathBuf),
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It earns nothing, now or once it is good enough to be looked at closely.
    Error,
    /// It may be meant.
    Warning,
}

/// Who acts on a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// Validators, who leave the miner out of the element.
    Registry,
    /// Validators' checker, who takes out winners and those next to them.
    Compliance,
    /// The chute itself, which fails to load the model, or answers with errors.
    Chute,
    /// Nobody: advice.
    Advice,
}

/// What is wrong, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each is what its finding says at length")]
pub enum Code {
    NoFiles,
    SymlinkEscapes,
    BrokenSymlink,
    ForbiddenFile,
    UnknownSuffix,
    CacheFile,
    RepositoryTooLarge,
    ElementTooLarge,
    NoOnnxModel,
    OtherModel,
    DuplicateModel,
    NoMiner,
    MinerTooLarge,
    MinerUnreadable,
    ForbiddenImport,
    ForbiddenCall,
    LocalImport,
    NoMinerClass,
    NoPredictBatch,
    PredictBatchParameters,
    PredictBatchAsync,
    ConstructorParameters,
    NoConfig,
    MisnamedConfig,
    ConfigUnreadable,
    ConfigSection,
    ConfigOverwritten,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What, for programs.
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// Who acts on it.
    pub by: By,
    /// The file, relative to the folder; none for the folder as a whole.
    pub file: Option<PathBuf>,
    /// The line, from 1.
    pub line: Option<usize>,
    /// What is wrong and why it matters.
    pub message: String,
    /// What to do.
    pub advice: String,
}

/// Such as `miner.py:3: error[forbidden-import]: …`.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}:", file.display())?;
            self.line.map_or(Ok(()), |line| write!(f, "{line}:"))?;
            f.write_str(" ")?;
        }
        let severity = if self.severity == Severity::Error { "error" } else { "warning" };
        write!(f, "{severity}[{}]: {}; {}", self.code, self.message, self.advice)
    }
}

/// The files of a folder that an upload usually takes, relative to it: those in hidden folders below it are left out.
/// Links to folders are listed and not followed.
///
/// # Errors
/// As [`LintError`] lists.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>, LintError> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(inner) = folders.pop() {
        let path = if inner.as_os_str().is_empty() { folder.to_owned() } else { folder.join(&inner) };
        let unreadable = |source| LintError::Io { path: path.clone(), source };
        for entry in path.read_dir().map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let name = inner.join(entry.file_name());
            if !entry.file_type().map_err(unreadable)?.is_dir() {
                found.push(name);
            } else if !entry.file_name().to_string_lossy().starts_with('.') {
                folders.push(name);
            }
            if found.len() + folders.len() > MAX_FILES {
                return Err(LintError::TooManyFiles(folder.to_owned()));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// What is wrong with these files of a folder, given relative to it, errors first. With an element its limits count too.
///
/// # Errors
/// [`LintError::Io`] where something cannot be read.
pub fn check(folder: &Path, files: &[PathBuf], element: Option<&Element>) -> Result<Vec<Finding>, LintError> {
    let mut lint = Lint { folder, findings: Vec::new() };
    let files = lint.files(files)?;
    lint.sizes(&files, element);
    lint.models(&files, element)?;
    lint.miner(&files)?;
    lint.config(&files)?;
    lint.findings.sort_by(|one, other| {
        (one.severity, &one.file, one.line).cmp(&(other.severity, &other.file, other.line))
    });
    Ok(lint.findings)
}

/// A file that is there.
struct File<'f> {
    name: &'f Path,
    bytes: u64,
}

impl File<'_> {
    /// As validators read it: in lower case, and empty for a name that only begins with a dot.
    fn suffix(&self) -> String {
        let name = self.lower();
        match name.rfind('.') {
            Some(at) if at > 0 && at + 1 < name.len() => name[at..].to_owned(),
            _ => String::new(),
        }
    }

    fn lower(&self) -> String {
        self.name.file_name().unwrap_or_default().to_string_lossy().to_lowercase()
    }

    /// What Python writes beside its sources; the checker passes over it.
    fn is_cache(&self) -> bool {
        self.suffix() == ".pyc" || self.name.iter().any(|part| part == "__pycache__")
    }
}

struct Lint<'a> {
    folder: &'a Path,
    findings: Vec<Finding>,
}

impl Lint<'_> {
    fn say(
        &mut self,
        (code, severity, by): (Code, Severity, By),
        (file, line): (Option<&Path>, Option<usize>),
        message: impl Into<String>,
        advice: impl Into<String>,
    ) {
        let (message, advice) = (message.into(), advice.into());
        self.findings.push(Finding {
            code,
            severity,
            by,
            file: file.map(Path::to_owned),
            line,
            message,
            advice,
        });
    }

    fn error(
        &mut self,
        code: Code,
        by: By,
        at: (Option<&Path>, Option<usize>),
        message: impl Into<String>,
        advice: impl Into<String>,
    ) {
        self.say((code, Severity::Error, by), at, message, advice);
    }

    fn warning(
        &mut self,
        code: Code,
        by: By,
        at: (Option<&Path>, Option<usize>),
        message: impl Into<String>,
        advice: impl Into<String>,
    ) {
        self.say((code, Severity::Warning, by), at, message, advice);
    }

    /// Where the files are, and what they are called.
    fn files<'f>(&mut self, names: &'f [PathBuf]) -> Result<Vec<File<'f>>, LintError> {
        let unreadable = |path: &Path, source| LintError::Io { path: path.to_owned(), source };
        let root = self.folder.canonicalize().map_err(|source| unreadable(self.folder, source))?;
        let mut files = Vec::new();
        for name in names {
            let path = self.folder.join(name);
            let target = match path.canonicalize() {
                Ok(target) => target,
                Err(error) if error.kind() == io::ErrorKind::NotFound && path.is_symlink() => {
                    self.error(
                        Code::BrokenSymlink,
                        By::Registry,
                        (Some(name), None),
                        "the link leads to no file, so that it cannot be uploaded",
                        "put the file in its place",
                    );
                    continue;
                }
                Err(error) => return Err(unreadable(&path, error)),
            };
            if !target.starts_with(&root) || name.components().any(|part| part == Component::ParentDir) {
                self.error(
                    Code::SymlinkEscapes,
                    By::Compliance,
                    (Some(name), None),
                    "the link leads out of the folder, which validators refuse",
                    "put the file itself into the folder",
                );
            }
            let metadata = path.metadata().map_err(|source| unreadable(&path, source))?;
            if !metadata.is_file() {
                continue;
            }
            let file = File { name, bytes: metadata.len() };
            if file.is_cache() {
                self.warning(
                    Code::CacheFile,
                    By::Advice,
                    (Some(name), None),
                    "Python's cache counts for the size of the repository",
                    "delete it",
                );
            } else {
                self.suffix(&file);
            }
            files.push(file);
        }
        if files.is_empty() {
            self.error(
                Code::NoFiles,
                By::Chute,
                (None, None),
                "there are no files",
                "name the folder that holds miner.py and the model; what is in hidden folders does not count",
            );
        }
        Ok(files)
    }

    fn suffix(&mut self, file: &File<'_>) {
        let suffix = file.suffix();
        if BINARIES.contains(&suffix.as_str()) {
            self.error(
                Code::ForbiddenFile,
                By::Compliance,
                (Some(file.name), None),
                format!("validators refuse a repository with a {suffix} file"),
                "export the model to ONNX, and leave this file out",
            );
        } else if !suffix.is_empty() && !SUFFIXES.contains(&suffix.as_str()) {
            self.error(
                Code::UnknownSuffix,
                By::Compliance,
                (Some(file.name), None),
                format!(
                    "validators refuse a repository with a {suffix} file; they know {} and names without suffix",
                    SUFFIXES.join(" ")
                ),
                "leave it out, or rename it",
            );
        }
    }

    fn sizes(&mut self, files: &[File<'_>], element: Option<&Element>) {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let all: u64 = files.iter().map(|file| file.bytes).sum();
        if let Some(limit) =
            element.and_then(|element| element.max_model_size_mb).filter(|limit| *limit > 0.0)
            && mib(all) > limit
        {
            self.error(
                Code::ElementTooLarge,
                By::Registry,
                (None, None),
                format!("all files together have {:.2} MB, and the element allows {limit} MB", mib(all)),
                largest(files),
            );
        }
        let checked: u64 = files.iter().filter(|file| !file.is_cache()).map(|file| file.bytes).sum();
        if checked > MAX_REPOSITORY_BYTES {
            self.error(
                Code::RepositoryTooLarge,
                By::Compliance,
                (None, None),
                format!(
                    "all files together have {checked} bytes, and validators run no model of more than \
                     {MAX_REPOSITORY_BYTES} (30 MiB) again"
                ),
                largest(files),
            );
        }
    }

    fn models(&mut self, files: &[File<'_>], element: Option<&Element>) -> Result<(), LintError> {
        let onnx_only = element.is_some_and(|element| element.onnx_model == Some(true));
        let by = if onnx_only { By::Registry } else { By::Compliance };
        let onnx: Vec<&File<'_>> = files.iter().filter(|file| file.suffix() == ".onnx").collect();
        if onnx.is_empty() && !files.is_empty() {
            self.error(
                Code::NoOnnxModel,
                by,
                (None, None),
                "there is no .onnx file, and validators refuse a repository without one",
                "export the model to ONNX",
            );
        }
        let is_other = |file: &&File<'_>| OTHER_MODELS.iter().any(|end| file.lower().ends_with(end));
        if onnx_only {
            for file in files.iter().filter(is_other) {
                self.error(
                    Code::OtherModel,
                    By::Registry,
                    (Some(file.name), None),
                    "the element takes ONNX models only, and this file counts as another kind",
                    "leave it out",
                );
            }
        }
        let mut by_size: BTreeMap<u64, Vec<&File<'_>>> = BTreeMap::new();
        for file in onnx {
            let same_size = by_size.entry(file.bytes).or_default();
            for other in same_size.iter() {
                if same_content(&self.folder.join(file.name), &self.folder.join(other.name))? {
                    self.warning(
                        Code::DuplicateModel,
                        By::Advice,
                        (Some(file.name), None),
                        format!("it is the same as {}, and both count for the size", other.name.display()),
                        "leave one of them out",
                    );
                    break;
                }
            }
            same_size.push(file);
        }
        Ok(())
    }

    fn miner(&mut self, files: &[File<'_>]) -> Result<(), LintError> {
        let Some(file) = files.iter().find(|file| file.name == Path::new(MINER)) else {
            let elsewhere = files.iter().find(|file| file.name.ends_with(MINER));
            let advice = match elsewhere {
                Some(file) => format!("move {} to the top of the folder", file.name.display()),
                None => "write one with a class Miner, as Score's example miner has it".to_owned(),
            };
            if !files.is_empty() {
                let message =
                    "there is no miner.py at the top of the folder, and the chute loads nothing else";
                self.error(Code::NoMiner, By::Chute, (None, None), message, advice);
            }
            return Ok(());
        };
        let at = (Some(file.name), None);
        if file.bytes > python::MAX_BYTES as u64 {
            self.error(
                Code::MinerTooLarge,
                By::Compliance,
                at,
                format!(
                    "it has {} bytes, and validators read no more than {}",
                    file.bytes,
                    python::MAX_BYTES
                ),
                "move what is data into a file of its own",
            );
            return Ok(());
        }
        let bytes = read(&self.folder.join(file.name), python::MAX_BYTES as u64)?;
        let source = match String::from_utf8(bytes) {
            // Python reads every kind of line end as the same.
            Ok(source) => source.replace("\r\n", "\n").replace('\r', "\n"),
            Err(error) => {
                let message = format!("it is not UTF-8 from byte {} on", error.utf8_error().valid_up_to());
                self.error(Code::MinerUnreadable, By::Compliance, at, message, "save it as UTF-8");
                return Ok(());
            }
        };
        let module = match python::look(&source) {
            Ok(module) => module,
            Err(error) => {
                let line = match &error {
                    SyntaxError::Syntax { line, .. } | SyntaxError::TooDeep(line) => Some(*line),
                    _ => None,
                };
                let message = match error {
                    SyntaxError::Syntax { message, .. } => format!("Python 3.12 cannot read it: {message}"),
                    other => format!("Python 3.12 cannot read it: {other}"),
                };
                let advice = "mend it; `python3.12 -m py_compile miner.py` says more";
                self.error(Code::MinerUnreadable, By::Chute, (Some(file.name), line), message, advice);
                return Ok(());
            }
        };
        for (line, refused) in &module.refused {
            let at = (Some(file.name), Some(*line));
            match refused {
                Refused::Import(root) => {
                    let message = format!("validators refuse a miner.py that imports {root}");
                    let advice = "do without: a miner has no network and starts no other programs";
                    self.error(Code::ForbiddenImport, By::Compliance, at, message, advice);
                }
                Refused::Call(name) => {
                    let message = format!("validators refuse a miner.py that calls {name}");
                    self.error(Code::ForbiddenCall, By::Compliance, at, message, instead_of(name));
                }
            }
        }
        for (line, root) in &module.imports {
            let is_local = |file: &File<'_>| {
                let first = file.name.iter().next().unwrap_or_default().to_string_lossy();
                first == format!("{root}.py") || (first == *root && file.name.iter().count() > 1)
            };
            if root.is_empty() || (root != "miner" && files.iter().any(is_local)) {
                let what = if root.is_empty() { "a module of its own folder" } else { root };
                self.error(
                    Code::LocalImport,
                    By::Chute,
                    (Some(file.name), Some(*line)),
                    format!("it imports {what} from the repository, and the chute loads miner.py only"),
                    "put that code into miner.py, or name a package that is installed otherwise",
                );
            }
        }
        match &module.miner {
            Some(class) => self.class(file.name, class),
            None => self.error(
                Code::NoMinerClass,
                By::Chute,
                at,
                "it has no class Miner at its top level",
                "name the class Miner",
            ),
        }
        Ok(())
    }

    fn class(&mut self, file: &Path, class: &Class) {
        if let Some(constructor) = &class.constructor {
            self.constructor(file, constructor);
        }
        let Some(function) = &class.predict_batch else {
            let at = (Some(file), Some(class.line));
            let message = "the class Miner has no method predict_batch";
            if class.inherits {
                let advice = "check that what it is derived from has one";
                self.warning(Code::NoPredictBatch, By::Chute, at, message, advice);
            } else {
                let advice = "give it predict_batch(self, batch_images, offset, n_keypoints)";
                self.error(Code::NoPredictBatch, By::Chute, at, message, advice);
            }
            return;
        };
        let at = (Some(file), Some(function.line));
        let asked = ["batch_images", "offset", "n_keypoints"];
        let missing: Vec<&str> =
            asked.into_iter().filter(|name| !function.names.iter().any(|known| known == name)).collect();
        let more: Vec<&str> =
            function.required.iter().map(String::as_str).filter(|name| !asked.contains(name)).collect();
        let advice = "write predict_batch(self, batch_images, offset, n_keypoints)";
        let mut wrong = Vec::new();
        if !missing.is_empty() {
            wrong.push(format!("predict_batch has no parameter {}", missing.join(", ")));
        }
        if !more.is_empty() {
            wrong.push(format!("nobody gives predict_batch its parameter {}", more.join(", ")));
        }
        for message in wrong {
            if function.decorated {
                self.warning(Code::PredictBatchParameters, By::Compliance, at, message, advice);
            } else {
                self.error(Code::PredictBatchParameters, By::Compliance, at, message, advice);
            }
        }
        if function.is_async {
            let message = "predict_batch is async, and its result is taken without await";
            self.error(Code::PredictBatchAsync, By::Chute, at, message, "write it with def alone");
        }
    }

    /// The chute gives the folder by position; the checker by the name `path_hf_repo`, and where that fails not at all.
    fn constructor(&mut self, file: &Path, function: &Function) {
        let by_name = function.names.iter().any(|name| name == "path_hf_repo");
        let more: Vec<&str> =
            function.required.iter().map(String::as_str).filter(|name| *name != "path_hf_repo").collect();
        let message = if !function.takes_position {
            "__init__ takes nothing by position, and the chute gives it the folder so".to_owned()
        } else if !by_name && !function.required.is_empty() {
            format!("__init__ asks for {}, and validators know path_hf_repo only", more.join(", "))
        } else if by_name && !more.is_empty() {
            format!("nobody gives __init__ its parameter {}", more.join(", "))
        } else {
            return;
        };
        let at = (Some(file), Some(function.line));
        let advice = "write __init__(self, path_hf_repo)";
        if function.decorated {
            self.warning(Code::ConstructorParameters, By::Chute, at, message, advice);
        } else {
            self.error(Code::ConstructorParameters, By::Chute, at, message, advice);
        }
    }

    fn config(&mut self, files: &[File<'_>]) -> Result<(), LintError> {
        let named = |name: &str| files.iter().find(|file| file.name == Path::new(name));
        let Some(file) = named(CONFIG) else {
            let other = ["chute_config.yaml", "config.yml", "config.yaml"].into_iter().find_map(named);
            if let Some(other) = other {
                let message = "the chute reads chute_config.yml, and not this file";
                let advice = "rename it if it is meant for the chute";
                self.warning(Code::MisnamedConfig, By::Chute, (Some(other.name), None), message, advice);
            } else if !files.is_empty() {
                let message =
                    "there is no chute_config.yml, so that the chute gets the SDK's default image and GPU";
                let advice = "write one with the sections Image, NodeSelector and Chute";
                self.warning(Code::NoConfig, By::Chute, (None, None), message, advice);
            }
            return Ok(());
        };
        let unreadable = "mend it; until then the chute takes its defaults without a word";
        if file.bytes > MAX_CONFIG_BYTES {
            let message = format!("it has {} bytes; no configuration needs that many", file.bytes);
            self.error(Code::ConfigUnreadable, By::Chute, (Some(file.name), None), message, unreadable);
            return Ok(());
        }
        let bytes = read(&self.folder.join(file.name), MAX_CONFIG_BYTES)?;
        let Ok(text) = String::from_utf8(bytes) else {
            let at = (Some(file.name), None);
            self.error(Code::ConfigUnreadable, By::Chute, at, "it is not UTF-8", unreadable);
            return Ok(());
        };
        for (line, flaw) in config::flaws(&text) {
            let at = (Some(file.name), Some(line));
            match flaw {
                Flaw::Unreadable(why) => {
                    let message = format!("it is no YAML of sections: {why}");
                    self.error(Code::ConfigUnreadable, By::Chute, at, message, unreadable);
                }
                Flaw::UnknownSection(name) => self.warning(
                    Code::ConfigSection,
                    By::Chute,
                    at,
                    format!("the chute does not read the section {name}"),
                    format!("its sections are {}, spelled so", SECTIONS.join(", ")),
                ),
                Flaw::NoMapping(name) => self.error(
                    Code::ConfigSection,
                    By::Chute,
                    at,
                    format!("the section {name} is no mapping, on which the chute breaks off"),
                    "give it entries, or leave it out",
                ),
                Flaw::Overwritten(section, key) => self.warning(
                    Code::ConfigOverwritten,
                    By::Advice,
                    at,
                    format!("the chute sets {key} of {section} itself"),
                    "leave it out",
                ),
            }
        }
        Ok(())
    }
}

/// What to call in place of what is refused.
fn instead_of(name: &str) -> &'static str {
    match name {
        "open" => {
            "read files with Path.read_text or read_bytes, or let the library that needs them open them"
        }
        "eval" | "exec" | "__import__" => "write out what it would run",
        _ => "do without: a miner changes no files and starts no other programs",
    }
}

fn largest(files: &[File<'_>]) -> String {
    let mut files: Vec<&File<'_>> = files.iter().collect();
    files.sort_by_key(|file| std::cmp::Reverse(file.bytes));
    let named: Vec<String> =
        files.iter().take(3).map(|file| format!("{} ({} bytes)", file.name.display(), file.bytes)).collect();
    format!("make it smaller; the largest are {}", named.join(", "))
}

/// A file's bytes, one more than `most` at most: it may have grown since it was measured.
fn read(path: &Path, most: u64) -> Result<Vec<u8>, LintError> {
    let unreadable = |source| LintError::Io { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(most + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

fn same_content(one: &Path, other: &Path) -> Result<bool, LintError> {
    let open = |path: &Path| {
        let file = std::fs::File::open(path);
        file.map(io::BufReader::new).map_err(|source| LintError::Io { path: path.to_owned(), source })
    };
    let (mut a, mut b) = (open(one)?, open(other)?);
    let mut buffers = ([0; 1 << 16], [0; 1 << 16]);
    loop {
        let unreadable = |path: &Path| {
            let path = path.to_owned();
            move |source| LintError::Io { path, source }
        };
        let length = a.read(&mut buffers.0).map_err(unreadable(one))?;
        if length == 0 {
            return Ok(b.read(&mut buffers.1).map_err(unreadable(other))? == 0);
        }
        match b.read_exact(&mut buffers.1[..length]) {
            Ok(()) if buffers.0[..length] == buffers.1[..length] => {}
            Ok(()) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(unreadable(other)(error)),
        }
    }
}
