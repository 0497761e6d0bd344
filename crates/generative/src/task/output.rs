//! The folder that media are kept in, byte for byte as they came (`MINER_OUTPUT_DIR`).
//!
//! A file is `<folder>/<image|video>/<task id>.<extension>`. It appears whole or not at all: it is written under
//! another name, flushed to the disk, and then given its own.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::fs::{self, File};
use tokio::io::AsyncWriteExt as _;

use super::error::StoreError;
use super::machine::{Task, TaskId, UnixMs};
use crate::Modality;

/// As many first bytes as tell what kind of file it is.
const HEAD: usize = 16;
/// A file under a temporary name ends so.
const PART: &str = ".part";
/// The extension of the file beside saved media.
const SIDECAR: &str = "json";

/// Media on disk, whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Media {
    /// The file's, without the dot.
    pub extension: String,
    /// How many.
    pub bytes: u64,
    /// SHA-256 of the bytes in lower-case hex digits, as Epistula signs them.
    pub sha256: String,
}

impl Media {
    /// The content type that validators expect of the file.
    #[must_use]
    pub fn content_type(&self, modality: Modality) -> &'static str {
        match (&*self.extension, modality) {
            ("jpg", _) => "image/jpeg",
            ("png", _) => "image/png",
            ("webp", _) => "image/webp",
            ("gif", _) => "image/gif",
            ("mp4", _) => "video/mp4",
            ("mov", _) => "video/quicktime",
            ("webm", _) => "video/webm",
            (_, Modality::Image) => "image/png",
            (_, Modality::Video) => "video/mp4",
        }
    }
}

/// The folder.
#[derive(Debug, Clone)]
pub struct OutputDir {
    path: PathBuf,
}

impl OutputDir {
    /// Opens the folder at `path`, and makes it where it is missing. What a crash left half-written is removed
    /// where it is older than `stale`.
    pub(super) fn open(path: &Path, stale: Duration) -> Result<Self, StoreError> {
        for modality in Modality::ALL {
            let folder = path.join(modality.as_str());
            let failed = |error| StoreError::file(&folder, &error);
            DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed)?;
            // Said now, and not after the first picture has been paid for.
            let trial = folder.join(format!(".writable-{}{PART}", TaskId::new_v4()));
            std::fs::write(&trial, b"").map_err(failed)?;
            for entry in std::fs::read_dir(&folder).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                if entry.path() == trial || is_stale(&entry, stale) {
                    let _ = std::fs::remove_file(entry.path());
                }
            }
        }
        Ok(Self { path: path.to_owned() })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Starts a file for a task's media.
    ///
    /// # Errors
    /// Where the folder cannot be written.
    pub async fn create(&self, id: TaskId, modality: Modality) -> Result<MediaWriter, StoreError> {
        let folder = self.path.join(modality.as_str());
        // Another host may be at the same task, if it was taken for dead.
        let part = folder.join(format!(".{id}-{}{PART}", TaskId::new_v4()));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part);
        let file = File::from_std(file.map_err(|error| StoreError::file(&part, &error))?);
        Ok(MediaWriter { id, folder, part, file, head: Vec::new(), bytes: 0, digest: Sha256::new() })
    }

    /// Where a task's media are or would be. `None` where it has none.
    #[must_use]
    pub fn file_of(&self, task: &Task) -> Option<PathBuf> {
        Some(self.place(task.id, task.modality, task.media.as_ref()?))
    }

    pub(super) fn place(&self, id: TaskId, modality: Modality, media: &Media) -> PathBuf {
        self.path.join(modality.as_str()).join(format!("{id}.{}", media.extension))
    }

    /// Removes a task's media, if they are there.
    ///
    /// # Errors
    /// Where the file cannot be removed.
    pub async fn remove(&self, task: &Task) -> Result<(), StoreError> {
        let Some(path) = self.file_of(task) else { return Ok(()) };
        match fs::remove_file(&path).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::file(&path, &error)),
            _ => Ok(()),
        }
    }

    /// Writes a delivered task's particulars beside its media, as upstream does with what it saves: `<task id>.json`
    /// (section 7). Once it is there, the media stay.
    ///
    /// # Errors
    /// Where the disk does not take it.
    pub async fn save_sidecar(&self, task: &Task) -> Result<(), StoreError> {
        let is_here = self.file_of(task).is_some_and(|file| file.exists());
        if !is_here || self.has_sidecar(task.id, task.modality) {
            return Ok(());
        }
        let seconds = |at: UnixMs| at as f64 / 1e3;
        let about = json!({
            "task_id": task.id.to_string(),
            "modality": task.modality.as_str(),
            "prompt": task.request.prompt,
            "parameters": task.request.parameters,
            "signed_by": task.signed_by,
            "created_at": seconds(task.accepted_at),
            "completed_at": task.ended_at.map(seconds),
        });
        let mut writer = self.create(task.id, task.modality).await?;
        writer.write(format!("{about:#}\n").as_bytes()).await?;
        writer.finish(SIDECAR).await.map(|_| ())
    }

    /// A sidecar is there.
    pub(super) fn has_sidecar(&self, id: TaskId, modality: Modality) -> bool {
        self.path.join(modality.as_str()).join(format!("{id}.{SIDECAR}")).exists()
    }

    /// The files of tasks without a sidecar, half-written ones among them, that were last written so long ago.
    pub(super) fn older_than(
        &self,
        modality: Modality,
        age: Duration,
    ) -> Result<Vec<(TaskId, PathBuf)>, StoreError> {
        let folder = self.path.join(modality.as_str());
        let failed = |error| StoreError::file(&folder, &error);
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Some(id) = entry.file_name().to_str().and_then(task_of) else { continue };
            let Ok(metadata) = entry.metadata() else { continue };
            let is_old = metadata
                .modified()
                .is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|past| past >= age));
            if metadata.is_file() && is_old && !self.has_sidecar(id, modality) {
                found.push((id, entry.path()));
            }
        }
        Ok(found)
    }

    fn probe_of(&self, host: &str) -> PathBuf {
        self.path.join(format!(".adit-host-{host}"))
    }

    /// Leaves a file by which another host can tell that it has the same folder.
    pub(super) fn leave_probe(&self, host: &str) -> Result<(), StoreError> {
        let path = self.probe_of(host);
        let write = || {
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
            file.write_all(host.as_bytes())?;
            file.sync_all()
        };
        write().map_err(|error| StoreError::file(&path, &error))
    }

    /// That host's probe is here.
    pub(super) fn sees_probe(&self, host: &str) -> bool {
        std::fs::read(self.probe_of(host)).is_ok_and(|found| found == host.as_bytes())
    }

    pub(super) fn remove_probe(&self, host: &str) {
        let _ = std::fs::remove_file(self.probe_of(host));
    }
}

/// The task that a file is of, by its name: `<task id>.<extension>` or, half-written, `.<task id>-<uuid>.part`.
fn task_of(name: &str) -> Option<TaskId> {
    // `parse` takes other forms of a uuid too.
    let uuid = |text: &str| text.parse().ok().filter(|id: &TaskId| id.to_string() == text);
    if let Some(both) = name.strip_prefix('.').and_then(|name| name.strip_suffix(PART)) {
        let (id, other) = both.split_at_checked(36)?;
        uuid(other.strip_prefix('-')?)?;
        return uuid(id);
    }
    let (id, extension) = name.split_once('.')?;
    if is_extension(extension) { uuid(id) } else { None }
}

fn is_extension(text: &str) -> bool {
    (1..=8).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

fn is_stale(entry: &std::fs::DirEntry, stale: Duration) -> bool {
    let is_part = entry.file_name().as_encoded_bytes().ends_with(PART.as_bytes());
    let written = entry.metadata().and_then(|metadata| metadata.modified());
    is_part
        && written.is_ok_and(|at| {
            SystemTime::now().duration_since(at).is_ok_and(|age| age >= stale) || stale.is_zero()
        })
}

/// Media on their way to the disk. What is not finished is removed when dropped.
#[derive(Debug)]
pub struct MediaWriter {
    id: TaskId,
    folder: PathBuf,
    part: PathBuf,
    file: File,
    head: Vec<u8>,
    bytes: u64,
    digest: Sha256,
}

impl MediaWriter {
    /// Appends bytes.
    ///
    /// # Errors
    /// Where the disk does not take them; [`StoreError::DiskFull`] where it is full.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.head.extend_from_slice(&bytes[..bytes.len().min(HEAD - self.head.len())]);
        self.digest.update(bytes);
        self.bytes += bytes.len() as u64;
        self.file.write_all(bytes).await.map_err(|error| StoreError::file(&self.part, &error))
    }

    /// The first bytes so far, 16 at most: they tell what kind of file it is.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// How many bytes were written so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Puts the file in its place, on the disk. One that is there gives way.
    ///
    /// # Errors
    /// Where the disk does not take it.
    ///
    /// # Panics
    /// Where the extension is not 1 to 8 lower-case letters and digits.
    pub async fn finish(mut self, extension: &str) -> Result<Media, StoreError> {
        assert!(is_extension(extension), "`{extension}`");
        let place = self.folder.join(format!("{}.{extension}", self.id));
        let put = async {
            self.file.flush().await?;
            self.file.sync_all().await?;
            fs::rename(&self.part, &place).await?;
            // The name is only on the disk when its folder is.
            File::open(&self.folder).await?.sync_all().await
        };
        put.await.map_err(|error| StoreError::file(&place, &error))?;
        let sha256 = hex::encode(std::mem::take(&mut self.digest).finalize());
        Ok(Media { extension: extension.to_owned(), bytes: self.bytes, sha256 })
    }
}

impl Drop for MediaWriter {
    fn drop(&mut self) {
        // After `finish` it has another name.
        let _ = std::fs::remove_file(&self.part);
    }
}
