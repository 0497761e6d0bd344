//! Secret files on disk: read under limits, written whole with mode 0600, and who else can read them.

use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use zeroize::Zeroizing;

/// What group and others must not do with a secret file: read or write it.
const OTHERS: u32 = 0o066;

/// A secret file that other users of the machine can read or change. Shows what to type against it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposure {
    path: PathBuf,
    mode: u32,
}

impl Exposure {
    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its permission bits.
    #[must_use]
    pub fn mode(&self) -> u32 {
        self.mode
    }

    /// The shell's line that closes it.
    #[must_use]
    pub fn remedy(&self) -> String {
        format!("chmod 600 {}", shell_word(&self.path.display().to_string()))
    }

    /// `None` where only the owner can read and write the file.
    ///
    /// # Errors
    /// Where the system does not say.
    pub fn of(path: &Path) -> io::Result<Option<Self>> {
        Ok(Self::from_mode(path, std::fs::metadata(path)?.permissions().mode()))
    }

    fn from_mode(path: &Path, mode: u32) -> Option<Self> {
        (mode & OTHERS != 0).then(|| Self { path: path.into(), mode: mode & 0o7777 })
    }
}

impl fmt::Display for Exposure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} is open to other users of this machine (mode {:04o}); type: {}",
            self.path.display(),
            self.mode,
            self.remedy()
        )
    }
}

/// The text as one word of a shell's line.
fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Lets only the owner read and write a file (mode 0600).
///
/// # Errors
/// Where the system refuses.
pub fn make_private(path: &Path) -> io::Result<()> {
    std::fs::set_permissions(path, Permissions::from_mode(0o600))
}

/// Why a secret file was not read.
#[derive(Debug)]
pub(super) enum ReadFault {
    Io(io::Error),
    Directory,
    NotAFile,
    TooLarge,
}

/// Reads a whole file of at most `limit` bytes into memory that is wiped.
pub(super) fn read_private(
    path: &Path,
    limit: u64,
) -> Result<(Zeroizing<Vec<u8>>, Option<Exposure>), ReadFault> {
    // Without NONBLOCK a named pipe would keep us here for ever.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(ReadFault::Io)?;
    let metadata = file.metadata().map_err(ReadFault::Io)?;
    if metadata.is_dir() {
        return Err(ReadFault::Directory);
    }
    if !metadata.is_file() {
        return Err(ReadFault::NotAFile);
    }
    if metadata.len() > limit {
        return Err(ReadFault::TooLarge);
    }
    // Room for all of it from the start: a buffer that grows leaves copies behind.
    let room = usize::try_from(limit).unwrap_or(usize::MAX).saturating_add(1);
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(limit + 1).read_to_end(&mut bytes).map_err(ReadFault::Io)?;
    if bytes.len() as u64 > limit {
        return Err(ReadFault::TooLarge);
    }
    Ok((bytes, Exposure::from_mode(path, metadata.permissions().mode())))
}

/// Whether a file that is there already may be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overwrite {
    /// Never, not even one that appears in the same moment.
    No,
    /// Yes; what it held is gone.
    Yes,
}

/// Writes a file whole or not at all, with mode 0600 from its first byte on; directories that are
/// missing get 0700. With [`Overwrite::No`] a file in the way is an error of kind `AlreadyExists`.
pub(super) fn write_private(path: &Path, bytes: &[u8], overwrite: Overwrite) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    // tempfile creates with mode 0600, and removes the file unless it is persisted.
    let mut temporary = tempfile::Builder::new().prefix(".adit-").suffix(".tmp").tempfile_in(folder)?;
    temporary.write_all(bytes)?;
    temporary.as_file().sync_all()?;
    match overwrite {
        // renameat2 with NOREPLACE, or a hard link where the file system has none.
        Overwrite::No => temporary.persist_noclobber(path)?,
        Overwrite::Yes => temporary.persist(path)?,
    };
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn what_is_written_is_private_and_whole_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a/hotkeys/b");
        write_private(&file, b"one", Overwrite::No).unwrap();
        assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
        write_private(&file, b"two", Overwrite::Yes).unwrap();
        assert_eq!((std::fs::read(&file).unwrap(), mode(&file)), (b"two".to_vec(), 0o600));
        assert_eq!(std::fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn of_many_writers_at_once_exactly_one_wins() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        let barrier = std::sync::Barrier::new(8);
        let won: Vec<u8> = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..8u8)
                .map(|i| {
                    let (barrier, file) = (&barrier, &file);
                    scope.spawn(move || {
                        barrier.wait();
                        match write_private(file, &[i; 100], Overwrite::No) {
                            Ok(()) => Some(i),
                            Err(error) => {
                                assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
                                None
                            }
                        }
                    })
                })
                .collect();
            writers.into_iter().filter_map(|writer| writer.join().unwrap()).collect()
        });
        assert_eq!(won.len(), 1);
        assert_eq!(std::fs::read(&file).unwrap(), [won[0]; 100]);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_that_leads_nowhere_is_in_the_way_too() {
        let folder = tempfile::tempdir().unwrap();
        let (link, elsewhere) = (folder.path().join("key"), folder.path().join("elsewhere"));
        std::os::unix::fs::symlink(&elsewhere, &link).unwrap();
        assert!(write_private(&link, b"x", Overwrite::No).is_err());
        assert!(!elsewhere.exists());
    }

    #[test]
    fn an_exposed_file_is_told_with_the_line_to_type() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("my key");
        std::fs::write(&file, "x").unwrap();
        for (bits, exposed) in [(0o644, true), (0o640, true), (0o602, true), (0o600, false), (0o711, false)] {
            std::fs::set_permissions(&file, Permissions::from_mode(bits)).unwrap();
            assert_eq!(Exposure::of(&file).unwrap().is_some(), exposed, "{bits:o}");
        }
        std::fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        let told = Exposure::of(&file).unwrap().unwrap().to_string();
        assert!(told.ends_with(&format!("(mode 0644); type: chmod 600 '{}'", file.display())), "{told}");
        make_private(&file).unwrap();
        assert_eq!(Exposure::of(&file).unwrap(), None);
    }

    #[test]
    fn a_quote_in_a_path_does_not_end_the_word() {
        assert_eq!(shell_word("/a/b-c"), "/a/b-c");
        assert_eq!(shell_word("/it's"), r"'/it'\''s'");
    }

    #[test]
    fn what_is_no_file_of_a_fair_size_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f");
        std::fs::write(&file, [0; 11]).unwrap();
        assert!(matches!(read_private(&file, 10), Err(ReadFault::TooLarge)));
        assert_eq!(read_private(&file, 11).unwrap().0.len(), 11);
        assert!(matches!(read_private(folder.path(), 10), Err(ReadFault::Directory)));
        assert!(matches!(read_private(Path::new("/dev/null"), 10), Err(ReadFault::NotAFile)));
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert!(matches!(read_private(&pipe, 10), Err(ReadFault::NotAFile)));
    }
}
