//! The folder of labelled clips: which clip has which label file.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::labels::Labels;

/// Folders within folders. Deeper ones are a link that leads back.
const DEEPEST: usize = 16;
/// Most clips of one run.
const MOST_CLIPS: usize = 10_000;
/// Largest label file, in bytes: a match with a label every second has some 500 KB.
const LARGEST_LABELS: u64 = 64 << 20;

/// What was found.
#[derive(Debug)]
pub struct Folder {
    /// Clips whose labels could be read, by path.
    pub clips: Vec<LabelledClip>,
    /// What is in the folder and cannot take part.
    pub problems: Vec<Problem>,
}

/// A clip with its labels.
#[derive(Debug)]
pub struct LabelledClip {
    /// Its path within the folder.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// The label file's path within the folder.
    pub label_file: String,
    pub(super) labels: Labels,
    /// Which half of a match it is, where its name says so.
    pub(super) half: Option<u8>,
}

/// A file that takes no part, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Its path within the folder.
    pub file: String,
    /// What is wrong with it, and what to do.
    pub what: String,
}

/// Why a folder cannot be evaluated at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// It cannot be listed.
    #[error("cannot read the folder {folder}: {source}", folder = .folder.display())]
    Read {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It holds no clip.
    #[error("{folder} holds no clip: no file that ends in .mp4, .m4v or .mov", folder = .0.display())]
    Empty(PathBuf),
    /// It holds too many.
    #[error("{folder} holds more than {MOST_CLIPS} clips; name a part of it", folder = .0.display())]
    TooMany(PathBuf),
}

impl Folder {
    /// Looks through a folder and those within.
    ///
    /// The labels of `a/x.mp4` are `a/x.json`, else `a/x/Labels*.json`, else `a/Labels*.json`, as SoccerNet lays them
    /// beside its videos.
    ///
    /// # Errors
    /// Where a folder cannot be listed, or there is no clip.
    pub fn read(root: &Path) -> Result<Self, FolderError> {
        let mut files = Vec::new();
        list(root, 0, &mut files)?;
        files.sort();
        let has_ending = |path: &Path, endings: &[&str]| {
            let ending = path.extension().and_then(OsStr::to_str).map(str::to_lowercase);
            ending.is_some_and(|ending| endings.contains(&ending.as_str()))
        };
        let (clips, rest): (Vec<PathBuf>, Vec<PathBuf>) =
            files.into_iter().partition(|path| has_ending(path, &["mp4", "m4v", "mov"]));
        if clips.is_empty() {
            return Err(FolderError::Empty(root.to_owned()));
        }
        if clips.len() > MOST_CLIPS {
            return Err(FolderError::TooMany(root.to_owned()));
        }
        let texts: BTreeSet<PathBuf> = rest.into_iter().filter(|path| has_ending(path, &["json"])).collect();
        let shown = |path: &Path| path.strip_prefix(root).unwrap_or(path).display().to_string();

        let mut found = Self { clips: Vec::new(), problems: Vec::new() };
        let mut taken = BTreeSet::new();
        for path in clips {
            let name = shown(&path);
            let mut problem = |file: String, what: String| found.problems.push(Problem { file, what });
            let label_files = labels_of(&path, &texts);
            taken.extend(label_files.iter().cloned());
            let file = match label_files.as_slice() {
                [file] => file,
                [] => {
                    let stem = path.file_stem().unwrap_or_default().display();
                    problem(name, format!("has no labels; put them beside it as {stem}.json"));
                    continue;
                }
                [one, other, ..] => {
                    let (one, other) = (shown(one), shown(other));
                    problem(
                        name,
                        format!("has more than one label file, {one} and {other}; leave one of them"),
                    );
                    continue;
                }
            };
            match read_labels(file) {
                Ok(labels) => {
                    let label_file = shown(file);
                    found.clips.push(LabelledClip { name, half: half(&path), path, label_file, labels });
                }
                Err(what) => problem(shown(file), what),
            }
        }
        for file in texts.difference(&taken) {
            // Other JSON may lie there too.
            if read_labels(file).is_ok() {
                let what = "has no clip of its name beside it".to_owned();
                found.problems.push(Problem { file: shown(file), what });
            }
        }
        Ok(found)
    }
}

fn list(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), FolderError> {
    let failed = |source| FolderError::Read { folder: folder.to_owned(), source };
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            if depth < DEEPEST {
                list(&path, depth + 1, files)?;
            }
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// Where the labels of a clip are, the nearest place that has any.
fn labels_of(clip: &Path, texts: &BTreeSet<PathBuf>) -> Vec<PathBuf> {
    let own = clip.with_extension("json");
    if texts.contains(&own) {
        return vec![own];
    }
    let soccernet = |folder: &Path| -> Vec<PathBuf> {
        let named = |path: &&PathBuf| {
            let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
            path.parent() == Some(folder) && name.starts_with("Labels")
        };
        texts.iter().filter(named).cloned().collect()
    };
    let within = soccernet(&clip.with_extension(""));
    if within.is_empty() { clip.parent().map(soccernet).unwrap_or_default() } else { within }
}

/// SoccerNet's videos of a half begin with its number: `2_224p.mp4`.
fn half(clip: &Path) -> Option<u8> {
    let name = clip.file_name().and_then(OsStr::to_str)?;
    if name.starts_with("1_") {
        Some(1)
    } else if name.starts_with("2_") {
        Some(2)
    } else {
        None
    }
}

fn read_labels(file: &Path) -> Result<Labels, String> {
    let read = || {
        let mut text = Vec::new();
        fs::File::open(file)?.take(LARGEST_LABELS + 1).read_to_end(&mut text)?;
        Ok(text)
    };
    let text = read().map_err(|error: io::Error| format!("cannot be read: {error}"))?;
    if text.len() as u64 > LARGEST_LABELS {
        return Err(format!("is larger than {} MiB", LARGEST_LABELS >> 20));
    }
    Labels::read(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    const ONE: &str = r#"[{"frame": 1, "action": "pass"}]"#;

    #[test]
    fn labels_are_found_at_each_of_their_places() {
        let folder = folder(&[
            ("a.mp4", ""),
            ("a.json", ONE),
            ("Labels-ball.json", ONE),
            ("b.MP4", ""),
            ("b/Labels-v2.json", ONE),
            ("game/1_224p.mp4", ""),
            ("game/2_224p.mp4", ""),
            ("game/Labels-v2.json", ONE),
        ]);
        let found = Folder::read(folder.path()).unwrap();
        let pairs: Vec<(&str, &str, Option<u8>)> =
            found.clips.iter().map(|clip| (&*clip.name, &*clip.label_file, clip.half)).collect();
        assert_eq!(
            pairs,
            [
                ("a.mp4", "a.json", None),
                ("b.MP4", "b/Labels-v2.json", None),
                ("game/1_224p.mp4", "game/Labels-v2.json", Some(1)),
                ("game/2_224p.mp4", "game/Labels-v2.json", Some(2)),
            ]
        );
        let left: Vec<&str> = found.problems.iter().map(|problem| &*problem.file).collect();
        assert_eq!(left, ["Labels-ball.json"]);
    }

    #[test]
    fn what_cannot_take_part_is_named() {
        let folder = folder(&[
            ("bare.mp4", ""),
            ("broken.mp4", ""),
            ("broken.json", "{"),
            ("lonely.json", ONE),
            ("report.json", r#"{"score": 1}"#),
            ("two/x.mp4", ""),
            ("two/Labels-a.json", ONE),
            ("two/Labels-b.json", ONE),
        ]);
        let found = Folder::read(folder.path()).unwrap();
        assert!(found.clips.is_empty());
        let problems: Vec<String> =
            found.problems.iter().map(|problem| format!("{} {}", problem.file, problem.what)).collect();
        let begin = [
            "bare.mp4 has no labels; put them beside it as bare.json",
            "broken.json is no JSON",
            "two/x.mp4 has more than one label file, two/Labels-a.json and two/Labels-b.json",
            "lonely.json has no clip of its name beside it",
        ];
        assert_eq!(problems.len(), begin.len(), "{problems:#?}");
        for (problem, begin) in problems.iter().zip(begin) {
            assert!(problem.starts_with(begin), "{problem}");
        }
    }

    #[test]
    fn a_folder_without_clips_is_no_folder_of_clips() {
        assert!(matches!(Folder::read(folder(&[("a.json", ONE)]).path()), Err(FolderError::Empty(_))));
        assert!(matches!(Folder::read(Path::new("/nowhere")), Err(FolderError::Read { .. })));
    }
}
