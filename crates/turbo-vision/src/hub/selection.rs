//! What of a folder is pushed, and whether a file is still what it was then.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

/// Most files that a folder may have: far more than a model has, far less than a home directory.
const MAX_FILES: usize = 10_000;

/// The files of a folder that are pushed, in the order of their paths' bytes.
///
/// As the guide's program chooses them: regular files, at any depth, of which no part of the path begins with a dot and
/// whose name does not end in `.lock`. The path is the one *within* the folder: what the folders above are called does
/// not matter.
///
/// A symbolic link counts as the file that it leads to, as long as that is one of the folder's own. A link that leaves the
/// folder, or leads to what these rules leave out, is refused: a model becomes public, and no link may publish what nobody
/// put there.
#[derive(Debug, Clone)]
pub struct Selection {
    files: Vec<LocalFile>,
    left_out: Vec<String>,
}

/// One file of a [`Selection`].
#[derive(Debug, Clone)]
pub struct LocalFile {
    path: String,
    at: PathBuf,
    stamp: Stamp,
}

/// What changes when a file does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    inode: (u64, u64),
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            inode: (metadata.dev(), metadata.ino()),
        }
    }
}

impl LocalFile {
    /// The path within the folder and the repository, with `/` between its parts.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Where it is on this host.
    #[must_use]
    pub fn location(&self) -> &Path {
        &self.at
    }

    /// Its size in bytes when it was selected.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.stamp.length
    }

    pub(super) fn stamp(&self) -> &Stamp {
        &self.stamp
    }
}

/// Why a folder cannot be pushed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SelectionError {
    /// It is none.
    #[error("{} is no folder; name the one that holds the model's files", .0.display())]
    NotAFolder(PathBuf),
    /// It, or something in it, cannot be read.
    #[error("cannot read {}: {cause}; see to its owner and permissions", path.display())]
    Unreadable {
        /// What cannot be read.
        path: PathBuf,
        /// The system's error.
        cause: io::Error,
    },
    /// A link out of the folder, or to what is left out.
    #[error(
        "{path} is a link to {}, which is none of the folder's files to push, and a model becomes public; put a copy in \
         its place (`cp -rL FOLDER COPY` makes one of the whole folder)", target.display()
    )]
    Leaves {
        /// The link, within the folder.
        path: String,
        /// Where it leads.
        target: PathBuf,
    },
    /// A link to a folder.
    #[error(
        "{path} is a link to a folder, whose files would be left out; put a copy in its place, or remove it"
    )]
    LinkToFolder {
        /// The link, within the folder.
        path: String,
    },
    /// A link that leads nowhere.
    #[error("{path} is a link to {}, where nothing is; mend or remove it", target.display())]
    Dangling {
        /// The link, within the folder.
        path: String,
        /// Where it should lead.
        target: PathBuf,
    },
    /// A name that a repository cannot have.
    #[error("{:?} cannot be pushed: its name is no UTF-8 or has control characters; rename it", .0)]
    BadName(PathBuf),
    /// More files than a model has.
    #[error("{} has more than {MAX_FILES} files; name the folder of the model alone", .0.display())]
    TooMany(PathBuf),
    /// No file is left.
    #[error(
        "{} has nothing to push ({left_out} left out: names that begin with a dot or end in .lock); put the model's \
         files there", folder.display()
    )]
    Empty {
        /// The folder.
        folder: PathBuf,
        /// How many files and folders the rules leave out.
        left_out: usize,
    },
}

impl Selection {
    /// Looks through a folder.
    ///
    /// # Errors
    /// Any [`SelectionError`]; a folder without a file to push is one.
    pub fn of(folder: &Path) -> Result<Self, SelectionError> {
        let unreadable = |path: &Path| {
            let path = path.to_owned();
            move |cause| SelectionError::Unreadable { path, cause }
        };
        if !folder.is_dir() {
            return Err(SelectionError::NotAFolder(folder.to_owned()));
        }
        let root = fs::canonicalize(folder).map_err(unreadable(folder))?;
        let mut selection = Self { files: Vec::new(), left_out: Vec::new() };
        let mut folders = vec![root.clone()];
        while let Some(next) = folders.pop() {
            for entry in fs::read_dir(&next).map_err(unreadable(&next))? {
                let entry = entry.map_err(unreadable(&next))?;
                let at = entry.path();
                let path = within(&root, &at).ok_or_else(|| SelectionError::BadName(at.clone()))?;
                let kind = entry.file_type().map_err(unreadable(&at))?;
                let hidden = is_hidden(Path::new(&path));
                if hidden || (!kind.is_dir() && is_lock(Path::new(&path))) {
                    selection.left_out.push(path);
                    continue;
                }
                if kind.is_dir() {
                    folders.push(at);
                    continue;
                }
                let at = if kind.is_symlink() { follow(&root, at, &path)? } else { at };
                let metadata = fs::metadata(&at).map_err(unreadable(&at))?;
                if !metadata.is_file() {
                    selection.left_out.push(path);
                    continue;
                }
                selection.files.push(LocalFile { path, at, stamp: Stamp::of(&metadata) });
                if selection.files.len() > MAX_FILES {
                    return Err(SelectionError::TooMany(folder.to_owned()));
                }
            }
        }
        if selection.files.is_empty() {
            return Err(SelectionError::Empty {
                folder: folder.to_owned(),
                left_out: selection.left_out.len(),
            });
        }
        selection.files.sort_by(|one, other| one.path.cmp(&other.path));
        selection.left_out.sort();
        Ok(selection)
    }

    /// The files, in order.
    #[must_use]
    pub fn files(&self) -> &[LocalFile] {
        &self.files
    }

    /// What the rules leave out, in order: hidden files and folders (not what is in them), locks, and what is no regular
    /// file.
    #[must_use]
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// All the files' bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(LocalFile::size).sum()
    }
}

/// Whether a part of the path begins with a dot.
fn is_hidden(path: &Path) -> bool {
    path.components().any(|part: Component<'_>| part.as_os_str().as_encoded_bytes().starts_with(b"."))
}

/// `huggingface_hub` leaves such beside what it downloads.
fn is_lock(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name.as_encoded_bytes().ends_with(b".lock"))
}

/// The path below `root` as a repository writes it.
fn within(root: &Path, at: &Path) -> Option<String> {
    let path = at.strip_prefix(root).ok()?.to_str()?;
    (!path.contains(char::is_control)).then(|| path.to_owned())
}

/// The file that a link leads to in the end.
fn follow(root: &Path, link: PathBuf, path: &str) -> Result<PathBuf, SelectionError> {
    let path = path.to_owned();
    let target = match fs::canonicalize(&link) {
        Ok(target) => target,
        Err(_) => {
            let target = fs::read_link(&link).unwrap_or(link);
            return Err(SelectionError::Dangling { path, target });
        }
    };
    if target.is_dir() {
        return Err(SelectionError::LinkToFolder { path });
    }
    match target.strip_prefix(root) {
        Ok(inside) if !is_hidden(inside) && !is_lock(inside) => Ok(target),
        _ => Err(SelectionError::Leaves { path, target }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let at = folder.path().join(file);
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            fs::write(at, file).unwrap();
        }
        folder
    }

    fn paths(selection: &Selection) -> Vec<&str> {
        selection.files().iter().map(LocalFile::path).collect()
    }

    #[test]
    fn hidden_files_and_locks_are_left_out_at_any_depth_and_the_rest_is_in_order() {
        let folder = folder(&[
            "weights/best.onnx",
            "miner.py",
            "a.b",
            "a/b",
            ".env",
            ".git/config",
            "weights/.cache/x",
            "weights/best.lock",
            "lock",
            "x.lock/kept.txt",
        ]);
        let selection = Selection::of(folder.path()).unwrap();
        let expected = ["a.b", "a/b", "lock", "miner.py", "weights/best.onnx"];
        assert_eq!(paths(&selection)[..5], expected);
        // Only a file's own name makes it a lock.
        assert_eq!(paths(&selection)[5..], ["x.lock/kept.txt"]);
    }

    #[test]
    fn what_the_folders_above_are_called_does_not_matter() {
        let folder = folder(&[".cache/models.lock/m/best.onnx"]);
        let selection = Selection::of(&folder.path().join(".cache/models.lock/m")).unwrap();
        assert_eq!(paths(&selection), ["best.onnx"]);
        assert_eq!(selection.bytes(), ".cache/models.lock/m/best.onnx".len() as u64);
    }

    #[test]
    fn a_folder_with_nothing_to_push_is_an_error_that_counts_what_was_left_out() {
        let folder = folder(&[".a", "b.lock", ".c/d"]);
        let error = Selection::of(folder.path()).unwrap_err();
        assert!(matches!(error, SelectionError::Empty { left_out: 3, .. }), "{error}");
        let nowhere = Selection::of(&folder.path().join("nowhere")).unwrap_err();
        assert!(matches!(nowhere, SelectionError::NotAFolder(_)), "{nowhere}");
        let file = Selection::of(&folder.path().join("b.lock")).unwrap_err();
        assert!(matches!(file, SelectionError::NotAFolder(_)), "{file}");
    }

    #[test]
    fn a_link_within_the_folder_is_the_file_it_leads_to() {
        let folder = folder(&["blobs/abc"]);
        symlink("blobs/abc", folder.path().join("best.onnx")).unwrap();
        let selection = Selection::of(folder.path()).unwrap();
        assert_eq!(paths(&selection), ["best.onnx", "blobs/abc"]);
        assert_eq!(selection.files()[0].size(), 9);
    }

    #[test]
    fn links_that_would_publish_or_lose_something_are_refused() {
        let outside = folder(&["secret"]);
        let with = |target: &Path| {
            let folder = folder(&["best.onnx", ".env", "weights/w.onnx"]);
            symlink(target, folder.path().join("link")).unwrap();
            (Selection::of(folder.path()).unwrap_err(), folder)
        };
        let (error, _) = with(&outside.path().join("secret"));
        assert!(matches!(&error, SelectionError::Leaves { path, .. } if path == "link"), "{error}");
        let (error, _) = with(Path::new(".env"));
        assert!(matches!(&error, SelectionError::Leaves { .. }), "{error}");
        let (error, _) = with(Path::new("weights"));
        assert!(matches!(&error, SelectionError::LinkToFolder { .. }), "{error}");
        let (error, _) = with(Path::new("nothing"));
        assert!(matches!(&error, SelectionError::Dangling { .. }), "{error}");
    }

    #[test]
    fn names_that_a_repository_cannot_have_are_refused_and_pipes_are_left_out() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt as _;

        let control = folder(&["best.onnx", "a\nb"]);
        assert!(matches!(Selection::of(control.path()), Err(SelectionError::BadName(_))));
        let bytes = folder(&["best.onnx"]);
        fs::write(bytes.path().join(OsStr::from_bytes(b"\xff")), "").unwrap();
        assert!(matches!(Selection::of(bytes.path()), Err(SelectionError::BadName(_))));
        let pipe = folder(&["best.onnx"]);
        let _socket = std::os::unix::net::UnixListener::bind(pipe.path().join("socket")).unwrap();
        let selection = Selection::of(pipe.path()).unwrap();
        assert_eq!(
            (paths(&selection), selection.left_out()),
            (vec!["best.onnx"], &["socket".to_owned()][..])
        );
    }
}
