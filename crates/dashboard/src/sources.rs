//! Where everything is read from: a journal a miner, in one folder.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use adit_journal::{FILES, GENERATIVE, OpenError, PRIVATE_TRACK, ReadError, Reader, TURBO_VISION};

/// A miner of this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Miner {
    /// Subnet 44's private track.
    PrivateTrack,
    /// Subnet 34's generative track.
    Generative,
    /// Subnet 44's open track. It runs elsewhere; what this host did for it is what is known.
    TurboVision,
}

impl Miner {
    /// Every miner, in the order in which they are shown.
    pub const ALL: [Self; 3] = [Self::PrivateTrack, Self::Generative, Self::TurboVision];

    /// In an address and in JSON, such as `private-track`.
    #[must_use]
    pub fn name(self) -> &'static str {
        FILES[self as usize].1
    }

    /// For people.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::PrivateTrack => "Private track",
            Self::Generative => "Generative",
            Self::TurboVision => "Turbo Vision",
        }
    }

    /// The miner of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|miner| miner.name() == name)
    }

    /// The name of its journal in the data folder.
    #[must_use]
    pub fn file(self) -> &'static str {
        match self {
            Self::PrivateTrack => PRIVATE_TRACK,
            Self::Generative => GENERATIVE,
            Self::TurboVision => TURBO_VISION,
        }
    }
}

/// Why a journal was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What read it broke off.
    #[error("reading the journal broke off")]
    BrokeOff,
}

/// The journals of one data folder. They are opened when they are first asked, and again when another file is there.
pub struct Sources {
    folder: PathBuf,
    readers: [Mutex<Option<Reader>>; 3],
    ask: Option<Box<dyn Fn() + Send + Sync>>,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Sources {
    /// Those in this folder (`ADIT_DATA_DIR`), which need not be there yet.
    #[must_use]
    pub fn new(folder: PathBuf) -> Arc<Self> {
        Arc::new(Self { folder, readers: [const { Mutex::new(None) }; 3], ask: None })
    }

    /// The same. `ask` is called each time that somebody looks, about once a second, and has what is recorded elsewhere brought
    /// here. It must not wait for that.
    #[must_use]
    pub fn asking(folder: PathBuf, ask: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { folder, readers: [const { Mutex::new(None) }; 3], ask: Some(Box::new(ask)) })
    }

    pub(crate) fn ask(&self) {
        if let Some(ask) = &self.ask {
            ask();
        }
    }

    /// The data folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Reads a miner's journal; `None` where it has none. To be called where waiting for a disk is allowed.
    ///
    /// # Errors
    /// Where there is one that cannot be read.
    pub fn read_here<T>(
        &self,
        miner: Miner,
        read: impl FnOnce(&Reader) -> Result<T, ReadError>,
    ) -> Result<Option<T>, SourceError> {
        let mut place = self.readers[miner as usize].lock().unwrap_or_else(PoisonError::into_inner);
        let reader = match place.take().filter(Reader::is_current) {
            Some(reader) => reader,
            None => {
                let path = self.folder.join(miner.file());
                if !path.exists() {
                    return Ok(None);
                }
                Reader::open(&path)?
            }
        };
        let found = read(&reader)?;
        *place = Some(reader);
        Ok(Some(found))
    }

    /// The same on a thread that may wait for the disk.
    ///
    /// # Errors
    /// As [`Sources::read_here`].
    pub async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        miner: Miner,
        read: impl FnOnce(&Reader) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<Option<T>, SourceError> {
        let sources = Arc::clone(self);
        let reading = tokio::task::spawn_blocking(move || sources.read_here(miner, read));
        reading.await.unwrap_or(Err(SourceError::BrokeOff))
    }

    /// Numbers that are others once something was recorded anywhere. It costs next to nothing.
    #[must_use]
    pub fn versions(&self) -> [Option<i64>; 3] {
        Miner::ALL.map(|miner| self.read_here(miner, Reader::version).ok().flatten())
    }
}

#[cfg(test)]
mod tests {
    use adit_journal::record::Stopped;
    use adit_journal::{Journal, Limits};

    use super::*;

    #[tokio::test]
    async fn a_journal_that_comes_later_or_anew_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let sources = Sources::new(folder.path().to_owned());
        let stopped = || sources.read(Miner::Generative, |reader| reader.newest("stopped"));
        assert!(stopped().await.unwrap().is_none());
        let path = folder.path().join("generative.sqlite");
        drop(Journal::open(&path, Limits::default()).unwrap());
        assert!(stopped().await.unwrap().unwrap().is_none());
        let before = sources.versions();
        Journal::open(&path, Limits::default()).unwrap().record(&Stopped { reason: None });
        assert!(stopped().await.unwrap().unwrap().is_some());
        assert_ne!(sources.versions(), before);
        std::fs::remove_file(&path).unwrap();
        assert!(stopped().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_damaged_journal_is_told_and_the_others_are_read() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(PRIVATE_TRACK), vec![b'x'; 9000]).unwrap();
        drop(Journal::open(&folder.path().join(TURBO_VISION), Limits::default()).unwrap());
        let sources = Sources::new(folder.path().to_owned());
        let broken = sources.read(Miner::PrivateTrack, Reader::size).await.unwrap_err();
        assert!(matches!(&broken, SourceError::Open(error) if error.is_damage()), "{broken}");
        assert!(sources.read(Miner::TurboVision, Reader::size).await.unwrap().is_some());
    }

    #[test]
    fn miners_and_their_files_go_together() {
        for (miner, (file, name)) in Miner::ALL.into_iter().zip(FILES) {
            assert_eq!((miner.file(), miner.name()), (file, name));
            assert_eq!(Miner::named(name), Some(miner));
        }
    }
}
