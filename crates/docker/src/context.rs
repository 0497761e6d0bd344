//! What a build may see: the files that `.dockerignore` lets in, and never what holds secrets.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{Stream, stream};
use globset::{GlobBuilder, GlobMatcher};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

/// Never sent, whatever `.dockerignore` says: directories and files of that name hold keys and tokens.
const SECRET: [&str; 18] = [
    ".aws",
    ".bittensor",
    ".cache",
    ".config",
    ".docker",
    ".env",
    ".git",
    ".git-credentials",
    ".gnupg",
    ".kube",
    ".local",
    ".netrc",
    ".npmrc",
    ".pypirc",
    ".ssh",
    "coldkey",
    "hotkeys",
    "wallets",
];
/// Bytes read at once, and how many such pieces wait for the engine.
const PIECE: usize = 256 * 1024;
const WAITING: usize = 8;
/// Most files: a context with more has swallowed something it should not.
const MOST_FILES: usize = 100_000;

/// The files of a build, under their names in it.
#[derive(Debug, Clone)]
pub struct Context {
    dockerfile: String,
    files: BTreeMap<String, File>,
    left_out: Vec<String>,
}

#[derive(Debug, Clone)]
struct File {
    source: PathBuf,
    size: u64,
    executable: bool,
}

/// Why there is no context.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContextError {
    /// A file or directory cannot be read.
    #[error("cannot read {path} for the build: {source}", path = .path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line of `.dockerignore` is no pattern.
    #[error("{file}, line {line}: {why}", file = .file.display())]
    Pattern {
        /// Which file.
        file: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// A link that leads nowhere, or to a directory: the image would not have what it leads to.
    #[error("{path} is a link to {target}, which is no file", path = .path.display(), target = .target.display())]
    Link {
        /// The link.
        path: PathBuf,
        /// Where it leads.
        target: PathBuf,
    },
    /// Too many files.
    #[error("the build context has more than {MOST_FILES} files")]
    TooMany,
}

impl ContextError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => {
                "give this user the right to read it, or leave it out by .dockerignore"
            }
            Self::Pattern { .. } => {
                "patterns are as in https://docs.docker.com/build/concepts/context/#dockerignore-files"
            }
            Self::Link { .. } => "put the files themselves there, or leave the link out by .dockerignore",
            Self::TooMany => {
                "leave out by .dockerignore what the image does not need, such as virtual environments and data sets"
            }
        }
    }
}

impl Context {
    /// The files below `root` that `<dockerfile>.dockerignore`, else `.dockerignore`, lets in. Links to files are
    /// followed.
    ///
    /// # Errors
    /// [`ContextError`].
    pub fn gather(root: &Path, dockerfile: &str) -> Result<Self, ContextError> {
        let own = root.join(format!("{dockerfile}.dockerignore"));
        let rules = Rules::read(if own.is_file() { own } else { root.join(".dockerignore") })?;
        let mut context =
            Self { dockerfile: dockerfile.to_owned(), files: BTreeMap::new(), left_out: Vec::new() };
        context.walk(root, "", &rules)?;
        // The engine needs it even where the image does not.
        context.add(dockerfile.to_owned(), root.join(dockerfile))?;
        Ok(context)
    }

    /// Puts the files of a directory in place of those at `at`, the same kinds left out as ever.
    ///
    /// # Errors
    /// [`ContextError`].
    pub fn replace(&mut self, at: &str, directory: &Path) -> Result<(), ContextError> {
        let inside = format!("{at}/");
        self.files.retain(|name, _| !name.starts_with(&inside));
        self.walk(directory, &inside, &Rules::of_caches())
    }

    /// The Dockerfile's name in the context.
    #[must_use]
    pub fn dockerfile(&self) -> &str {
        &self.dockerfile
    }

    /// Names of the files, in order, with their sizes in bytes.
    pub fn files(&self) -> impl Iterator<Item = (&str, u64)> {
        self.files.iter().map(|(name, file)| (name.as_str(), file.size))
    }

    /// All sizes together, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.values().map(|file| file.size).sum()
    }

    /// The files and directories that were left out, those within such a directory not named. A directory ends
    /// with `/`.
    #[must_use]
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// SHA-256 over names, executable bits and contents, in hex: the same for the same image, whenever and
    /// wherever it is gathered. Reads every file.
    ///
    /// # Errors
    /// [`ContextError::Unreadable`].
    pub fn digest(&self) -> Result<String, ContextError> {
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; PIECE];
        for (name, file) in &self.files {
            // Lengths first, so that no two contexts read as the same bytes.
            hasher.update((name.len() as u64).to_le_bytes());
            hasher.update(name);
            hasher.update([u8::from(file.executable)]);
            hasher.update(file.size.to_le_bytes());
            let unreadable = |source| ContextError::Unreadable { path: file.source.clone(), source };
            let mut open = std::fs::File::open(&file.source).map_err(unreadable)?;
            loop {
                match open.read(&mut buffer).map_err(unreadable)? {
                    0 => break,
                    read => hasher.update(&buffer[..read]),
                }
            }
        }
        Ok(hex::encode(hasher.finalize()))
    }

    fn walk(&mut self, directory: &Path, prefix: &str, rules: &Rules) -> Result<(), ContextError> {
        let unreadable = |source| ContextError::Unreadable { path: directory.to_owned(), source };
        let mut entries: Vec<_> = std::fs::read_dir(directory)
            .map_err(unreadable)?
            .collect::<Result<_, _>>()
            .map_err(unreadable)?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let kind = entry.file_type().map_err(unreadable)?;
            // Docker has names as text; one that is none could not be asked for in a Dockerfile either.
            let Ok(base) = entry.file_name().into_string() else {
                self.left_out.push(format!("{prefix}{}", entry.file_name().to_string_lossy()));
                continue;
            };
            let name = format!("{prefix}{base}");
            let out = is_secret(&base) || rules.leave_out(&name);
            if kind.is_dir() {
                let inside = format!("{name}/");
                if !out || (!is_secret(&base) && rules.let_in_below(&inside)) {
                    self.walk(&entry.path(), &inside, rules)?;
                } else {
                    self.left_out.push(inside);
                }
            } else if out {
                self.left_out.push(name);
            } else {
                self.add(name, entry.path())?;
            }
        }
        Ok(())
    }

    fn add(&mut self, name: String, source: PathBuf) -> Result<(), ContextError> {
        if self.files.len() >= MOST_FILES {
            return Err(ContextError::TooMany);
        }
        let found = match std::fs::metadata(&source) {
            Ok(found) if found.is_file() => found,
            Ok(found) if found.is_dir() => return Err(link(source)),
            // A socket or a pipe is no part of an image.
            Ok(_) => {
                self.left_out.push(name);
                return Ok(());
            }
            Err(_) if source.is_symlink() => return Err(link(source)),
            Err(error) => return Err(ContextError::Unreadable { path: source, source: error }),
        };
        let executable = found.permissions().mode() & 0o111 != 0;
        self.files.insert(name, File { source, size: found.len(), executable });
        Ok(())
    }

    /// The context as a tar archive, read while it is sent; and where to ask why it ended early.
    pub(crate) fn into_tar(self) -> (impl Stream<Item = io::Result<Bytes>> + Send + 'static, Unreadable) {
        let (pieces, mut receiver) = mpsc::channel(WAITING);
        let unreadable = Unreadable::default();
        let slot = unreadable.clone();
        tokio::task::spawn_blocking(move || {
            let end = pieces.clone();
            if let Err(error) = self.write_tar(Pieces(pieces)) {
                slot.set(error.to_string());
                // The body must not look whole. Where nobody reads any more, nobody needs to know.
                let _ = end.blocking_send(Err(error));
            }
        });
        (stream::poll_fn(move |cx| receiver.poll_recv(cx)), unreadable)
    }

    fn write_tar(&self, out: impl Write) -> io::Result<()> {
        let mut tar = tar::Builder::new(io::BufWriter::with_capacity(PIECE, out));
        for (name, file) in &self.files {
            let path = &file.source;
            let cannot =
                |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
            let mut header = tar::Header::new_gnu();
            header.set_size(file.size);
            // Neither times nor owners: they would change the image without a change of content.
            header.set_mode(if file.executable { 0o755 } else { 0o644 });
            header.set_mtime(0);
            let open = std::fs::File::open(path).map_err(cannot)?;
            if open.metadata().map_err(cannot)?.len() != file.size {
                return Err(cannot(io::Error::other("it changed while the image was built")));
            }
            tar.append_data(&mut header, name, open.take(file.size)).map_err(cannot)?;
        }
        tar.into_inner()?.flush()
    }
}

fn link(path: PathBuf) -> ContextError {
    let target = std::fs::read_link(&path).unwrap_or_default();
    ContextError::Link { path, target }
}

fn is_secret(base: &str) -> bool {
    // `.env.gen_miner.template` and `.env.example` hold no secrets, `.env.production` does.
    let dotenv = base.starts_with(".env.") && !base.ends_with(".template") && !base.ends_with(".example");
    dotenv || base.starts_with("id_rsa") || base.starts_with("id_ed25519") || SECRET.contains(&base)
}

/// Why a context that was being sent could not be read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Unreadable(Arc<Mutex<Option<String>>>);

impl Unreadable {
    fn set(&self, why: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }

    pub(crate) fn why(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Hands what is written to the request.
struct Pieces(mpsc::Sender<io::Result<Bytes>>);

impl Write for Pieces {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let gone = |_| io::Error::new(io::ErrorKind::BrokenPipe, "the engine stopped reading");
        self.0.blocking_send(Ok(Bytes::copy_from_slice(piece))).map_err(gone)?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The rules of a `.dockerignore`: of those that match a path or a directory above it, the last one decides.
#[derive(Debug)]
struct Rules(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    pattern: String,
    matcher: GlobMatcher,
    lets_in: bool,
}

impl Rules {
    fn read(file: PathBuf) -> Result<Self, ContextError> {
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(ContextError::Unreadable { path: file, source }),
        };
        Self::parse(&text).map_err(|(line, why)| ContextError::Pattern { file, line, why })
    }

    /// What Python leaves behind, which is never part of a model.
    fn of_caches() -> Self {
        Self::parse("**/__pycache__\n**/*.pyc\n**/.venv\n").unwrap_or(Self(Vec::new()))
    }

    fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut rules = Vec::new();
        for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            if line.starts_with('#') {
                continue;
            }
            let line = line.trim();
            let (lets_in, pattern) = match line.strip_prefix('!') {
                Some(rest) => (true, rest.trim()),
                None => (false, line),
            };
            let pattern = pattern.trim_start_matches("./").trim_matches('/').to_owned();
            if pattern.is_empty() || pattern == "." {
                continue;
            }
            let glob = GlobBuilder::new(&pattern).literal_separator(true).backslash_escape(true).build();
            let matcher = glob.map_err(|error| (index + 1, error.to_string()))?.compile_matcher();
            rules.push(Rule { pattern, matcher, lets_in });
        }
        Ok(Self(rules))
    }

    fn leave_out(&self, name: &str) -> bool {
        let matches = |rule: &&Rule| {
            Path::new(name)
                .ancestors()
                .any(|part| !part.as_os_str().is_empty() && rule.matcher.is_match(part))
        };
        self.0.iter().rev().find(matches).is_some_and(|rule| !rule.lets_in)
    }

    /// Whether a rule lets in something below a directory that is left out; as Docker, by the rule's text.
    fn let_in_below(&self, directory: &str) -> bool {
        self.0.iter().any(|rule| rule.lets_in && rule.pattern.starts_with(directory))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        root
    }

    fn names(context: &Context) -> Vec<&str> {
        context.files().map(|(name, _)| name).collect()
    }

    #[test]
    fn an_allow_list_lets_in_what_it_names() {
        let root = tree(&[
            (".dockerignore", "# what the image needs\n*\n!crates\n!scorevision/\n**/__pycache__\n!a/b\n"),
            ("Dockerfile.miner", "FROM scratch\n"),
            ("crates/x/src/lib.rs", "1"),
            ("scorevision/m/predictor.py", "2"),
            ("scorevision/m/weights.png", "3"),
            ("scorevision/m/__pycache__/predictor.pyc", "4"),
            ("a/b/c", "5"),
            ("a/d", "6"),
            ("target/debug/adit", "7"),
            (".env", "TOKEN=secret"),
        ]);
        let context = Context::gather(root.path(), "Dockerfile.miner").unwrap();
        assert_eq!(
            names(&context),
            [
                "Dockerfile.miner",
                "a/b/c",
                "crates/x/src/lib.rs",
                "scorevision/m/predictor.py",
                "scorevision/m/weights.png"
            ]
        );
        assert_eq!(
            context.left_out(),
            [".dockerignore", ".env", "Dockerfile.miner", "a/d", "scorevision/m/__pycache__/", "target/"]
        );
        assert_eq!(context.bytes(), 4 + "FROM scratch\n".len() as u64);
    }

    #[test]
    fn secrets_stay_out_even_where_every_file_is_let_in() {
        let root = tree(&[
            ("Dockerfile", ""),
            (".env", "A"),
            ("x/.env.production", "B"),
            ("x/.env.example", "C"),
            ("wallets/main/coldkeypub.txt", "D"),
            ("w/main/coldkey", "D"),
            ("w/main/hotkeys/default", "D"),
            ("k/id_ed25519.old", "D"),
            ("home/.cache/huggingface/token", "D"),
            (".git/config", "E"),
        ]);
        let context = Context::gather(root.path(), "Dockerfile").unwrap();
        assert_eq!(names(&context), ["Dockerfile", "x/.env.example"]);
    }

    #[test]
    fn the_digest_changes_with_content_name_and_mode_and_with_nothing_else() {
        let files = [("Dockerfile", "FROM scratch"), ("a", "1"), ("b", "2")];
        let digest =
            |root: &tempfile::TempDir| Context::gather(root.path(), "Dockerfile").unwrap().digest().unwrap();
        let (one, other) = (tree(&files), tree(&files));
        assert_eq!(digest(&one), digest(&other));
        std::fs::write(other.path().join("b"), "3").unwrap();
        assert_ne!(digest(&one), digest(&other));
        std::fs::write(other.path().join("b"), "2").unwrap();
        assert_eq!(digest(&one), digest(&other));
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(other.path().join("b"), mode).unwrap();
        assert_ne!(digest(&one), digest(&other));
        // The same bytes, cut elsewhere.
        assert_ne!(
            digest(&tree(&[("Dockerfile", ""), ("a", "1b"), ("c", "")])),
            digest(&tree(&[("Dockerfile", ""), ("a", "1"), ("bc", "")]))
        );
    }

    #[test]
    fn a_directory_elsewhere_takes_the_place_of_the_shipped_one() {
        let root = tree(&[("Dockerfile", ""), ("m/predictor.py", "shipped"), ("m/other.py", "")]);
        let mine =
            tree(&[("predictor.py", "mine, which is longer"), ("data/w.bin", ""), ("__pycache__/x.pyc", "")]);
        let mut context = Context::gather(root.path(), "Dockerfile").unwrap();
        context.replace("m", mine.path()).unwrap();
        assert_eq!(names(&context), ["Dockerfile", "m/data/w.bin", "m/predictor.py"]);
        assert_eq!(context.bytes(), 21);
    }

    #[test]
    fn a_link_is_followed_to_a_file_and_refused_elsewhere() {
        let root = tree(&[("Dockerfile", "")]);
        let weights = tree(&[("w.bin", "1234")]);
        std::os::unix::fs::symlink(weights.path().join("w.bin"), root.path().join("w.bin")).unwrap();
        assert_eq!(Context::gather(root.path(), "Dockerfile").unwrap().bytes(), 4);
        std::os::unix::fs::symlink("/nowhere", root.path().join("x")).unwrap();
        let error = Context::gather(root.path(), "Dockerfile").unwrap_err();
        assert!(error.to_string().ends_with("is a link to /nowhere, which is no file"), "{error}");
    }

    #[test]
    fn the_tar_holds_the_files_without_times_and_owners() {
        let root = tree(&[("Dockerfile", "FROM scratch"), ("a/b", "content")]);
        let context = Context::gather(root.path(), "Dockerfile").unwrap();
        let mut tar = Vec::new();
        context.write_tar(&mut tar).unwrap();
        let mut archive = tar::Archive::new(tar.as_slice());
        let entries: Vec<_> = archive.entries().unwrap().map(Result::unwrap).collect();
        let seen: Vec<_> = entries
            .iter()
            .map(|entry| (entry.path().unwrap().into_owned(), entry.header().mtime().unwrap()))
            .collect();
        assert_eq!(seen, [("Dockerfile".into(), 0), ("a/b".into(), 0)]);
        std::fs::write(root.path().join("a/b"), "longer content").unwrap();
        let error = context.write_tar(&mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("it changed while the image was built"), "{error}");
    }

    #[test]
    fn rules_are_dockers() {
        for (rules, name, out) in [
            ("*.md\n!README.md", "README.md", false),
            ("*.md\n!README.md", "docs.md", true),
            ("!README.md\n*.md", "README.md", true),
            ("*.md", "sub/x.md", false),
            ("**/*.md", "sub/deep/x.md", true),
            ("**/*.md", "x.md", true),
            ("/foo/", "foo/bar", true),
            ("foo", "foobar", false),
            ("a?c", "abc", true),
            ("[ab]/x", "a/x", true),
            ("  # no comment", "# no comment", true),
        ] {
            assert_eq!(Rules::parse(rules).unwrap().leave_out(name), out, "{rules:?} {name:?}");
        }
        assert_eq!(Rules::parse("ok\n[a").unwrap_err().0, 2);
    }
}
