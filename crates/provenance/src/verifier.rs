//! Asks the C2PA library about a file, and the rules about what it found.

use std::any::Any;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use c2pa::{Context, Reader};
use serde_json::json;

use crate::rules::{judge, no_manifest};
use crate::{Era, Format, TrustAnchors, Verdict};

/// The library follows ingredients of ingredients up to 200 deep, on the stack.
const STACK: usize = 32 << 20;
/// Most times that a picture is read from or moved in: some per chunk, of which there are tens of thousands in a
/// large one.
const MOST_READS: u32 = 2_000_000;
/// The same for a clip, whose boxes cost the library time by the square of their number: a generated one has some
/// hundred, and so many keep it busy for seconds.
const MOST_READS_OF_A_CLIP: u32 = 100_000;
/// Largest file that is no clip, in bytes: the library holds pictures whole.
const LARGEST_PICTURE: u64 = 256 << 20;

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The anchors are no certificates for the library.
    #[error("the C2PA library does not take the trust anchors: {0}")]
    Anchors(String),
    /// The file is not there, may not be read, or cannot be.
    #[error("cannot read {path}: {source}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A pipe, a device, a socket or a directory.
    #[error("{path} is {kind}, not a file", path = .path.display())]
    NotAFile {
        /// What was named.
        path: PathBuf,
        /// What it is, with its article.
        kind: &'static str,
    },
}

/// Reaches the verdict of a validator of one era. Cheap to clone, and usable from several threads at once.
///
/// Nothing is ever fetched: where a manifest is only linked to, there is none. The library holds up to
/// 512 MiB of a file while it hashes it, however large it is, and no more than the file has.
#[derive(Clone)]
pub struct Verifier {
    era: Era,
    context: Arc<Context>,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier").field("era", &self.era).finish_non_exhaustive()
    }
}

impl Verifier {
    /// A verifier with the anchors that validators of this era have, of those given.
    ///
    /// # Errors
    /// [`VerifyError::Anchors`].
    pub fn new(anchors: &TrustAnchors, era: Era) -> Result<Self, VerifyError> {
        // The library takes no empty text for "none".
        let trusted = Some(anchors.pem(era)).filter(|pem| !pem.is_empty());
        let settings = json!({
            "trust": { "user_anchors": trusted },
            "verify": { "remote_manifest_fetch": false, "ocsp_fetch": false },
            "core": { "allowed_network_hosts": [] },
        });
        let context = Context::new().with_settings(settings.to_string().as_str());
        let context = context.map_err(|error| VerifyError::Anchors(error.to_string()))?;
        Ok(Self { era, context: Arc::new(context) })
    }

    /// Whose rules are applied.
    #[must_use]
    pub fn era(&self) -> Era {
        self.era
    }

    /// The verdict on a file. What its name says is of no account.
    ///
    /// # Errors
    /// [`VerifyError::Read`] and [`VerifyError::NotAFile`]; a file that is no media has a verdict.
    pub fn verify_file(&self, path: &Path) -> Result<Verdict, VerifyError> {
        let file = open(path)?;
        self.verify(file).map_err(|source| VerifyError::Read { path: path.to_owned(), source })
    }

    /// The verdict on what `source` holds, from its beginning on.
    ///
    /// # Errors
    /// What `source` itself fails with.
    pub fn verify(&self, source: impl Read + Seek + Send) -> io::Result<Verdict> {
        let mut source = Watched { inner: BufReader::new(source), reads_left: MOST_READS, failed: None };
        let format = format_of(&mut source)?;
        if format == Format::Unknown {
            return Ok(no_manifest(self.era, format, "NotSupported: type is unsupported".to_owned()));
        }
        let clip = matches!(format, Format::Mp4 | Format::Mov | Format::ThreeGp | Format::M4a);
        if clip {
            source.reads_left = MOST_READS_OF_A_CLIP;
        }
        if !clip && source.seek(SeekFrom::End(0))? > LARGEST_PICTURE {
            let why = format!("it has more than {} MiB, and only a clip may", LARGEST_PICTURE >> 20);
            return Ok(no_manifest(self.era, format, why));
        }
        let read = thread::scope(|scope| {
            let reading = || {
                Reader::from_shared_context(&self.context)
                    .with_stream(format.extension(), &mut source)
                    .and_then(|reader| reader.json_checked())
            };
            match thread::Builder::new().stack_size(STACK).spawn_scoped(scope, reading) {
                // A fault of the library on a file made for it must not take the caller along.
                Ok(reading) => Ok(reading.join()),
                Err(error) => Err(error),
            }
        })?;
        if let Some(error) = source.failed {
            return Err(error);
        }
        let store = match read {
            Err(panic) => Err(format!("the C2PA library broke on this file: {}", message(&*panic))),
            Ok(Err(error)) => Err(in_the_validators_words(&error)),
            Ok(Ok(json)) => serde_json::from_str(&json).map_err(|error| error.to_string()),
        };
        Ok(match store {
            Ok(store) => judge(self.era, format, store),
            Err(why) => no_manifest(self.era, format, why),
        })
    }
}

/// Opens what is a file. Never waits, as the opening of a pipe would.
fn open(path: &Path) -> Result<File, VerifyError> {
    let unreadable = |source| VerifyError::Read { path: path.to_owned(), source };
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(unreadable)?;
    let kind = file.metadata().map_err(unreadable)?.file_type();
    if kind.is_file() {
        return Ok(file);
    }
    let kind = match () {
        () if kind.is_dir() => "a directory",
        () if kind.is_fifo() => "a pipe",
        () if kind.is_socket() => "a socket",
        () => "a device",
    };
    Err(VerifyError::NotAFile { path: path.to_owned(), kind })
}

fn format_of(source: &mut (impl Read + Seek)) -> io::Result<Format> {
    let mut head = Vec::with_capacity(Format::HEAD);
    source.rewind()?;
    source.by_ref().take(Format::HEAD as u64).read_to_end(&mut head)?;
    source.rewind()?;
    Ok(Format::detect(&head))
}

/// The binding through which the validators use the library names this error otherwise than the library.
fn in_the_validators_words(error: &c2pa::Error) -> String {
    match error {
        c2pa::Error::JumbfNotFound => format!("ManifestNotFound: {error}"),
        error => error.to_string(),
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

/// Counts the reads, and remembers what the source itself failed with: to the library a disk error is one more
/// malformed file.
struct Watched<S> {
    inner: S,
    reads_left: u32,
    failed: Option<io::Error>,
}

impl<S> Watched<S> {
    /// Ends what would never come to an end.
    fn count(&mut self) -> io::Result<()> {
        let left = self.reads_left.checked_sub(1);
        self.reads_left = left.ok_or_else(|| io::Error::other("it is in too many pieces"))?;
        Ok(())
    }

    fn note<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result
            && let Some(code) = error.raw_os_error()
            && error.kind() != io::ErrorKind::InvalidInput
        {
            self.failed.get_or_insert_with(|| io::Error::from_raw_os_error(code));
        }
        result
    }
}

impl<S: Read> Read for Watched<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.count()?;
        let result = self.inner.read(buffer);
        self.note(result)
    }
}

impl<S: Seek> Seek for Watched<S> {
    /// A seek to where nothing can be is the file's fault, not the disk's.
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.count()?;
        let result = self.inner.seek(to);
        self.note(result)
    }
}
