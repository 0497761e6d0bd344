//! A clip that is being fetched, read no further than it must be: up to its sample table, then up to its
//! last sample.

use std::path::Path;

use adit_outbound::{Client, Download, FetchError, Limits};
use bytes::{Bytes, BytesMut};
use tokio::io::AsyncReadExt;

use crate::{
    MediaError, MediaLimits,
    mp4::{Table, Walker, decoder_prefix},
};

/// Bytes of other boxes that may stand between the media data and the sample table behind it.
const TAIL_GAP: u64 = 1 << 20;
/// Bytes of tables from which on they are not read between other tasks' turns.
const LARGE_TABLE: usize = 1 << 20;
/// Bytes of a file that are read at once.
const PIECE: usize = 1 << 20;

/// A body with the walker that follows it.
#[derive(Debug)]
pub(crate) struct Source {
    download: Download,
    limits: Limits,
    max_frames: u64,
    walker: Walker,
    /// The piece that came last, and where in the body it starts.
    piece: (u64, Bytes),
}

impl Source {
    pub(crate) async fn open(
        client: &Client,
        url: &str,
        limits: Limits,
        max_frames: u64,
    ) -> Result<Self, MediaError> {
        let download = client.get(url, &limits).await?;
        let walker = Walker::new(max_frames);
        Ok(Self { download, limits, max_frames, walker, piece: (0, Bytes::new()) })
    }

    /// The next piece of the body, which the walker has seen; `None` at the end of a whole body.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, MediaError> {
        let Some(bytes) = self.download.chunk().await? else { return Ok(None) };
        self.piece = (self.walker.position(), bytes.clone());
        push(&mut self.walker, bytes.clone()).await?;
        Ok(Some(bytes))
    }

    /// The sample table, if it comes before the media data or can be fetched from behind it by Range. Else
    /// `None`, and the rest of the body must be read.
    ///
    /// # Errors
    /// What the walker says, and `Truncated` when the body is too short for the samples that are listed.
    pub(crate) async fn find_table(&mut self, client: &Client) -> Result<Option<Table>, MediaError> {
        while self.walker.table().is_none() && self.walker.media_data().is_none() {
            if self.next().await?.is_none() {
                // The body has ended without either: this says what it lacks.
                return self.walker.finish().map(Some);
            }
        }
        let table = match self.walker.table() {
            Some(table) => Some(table.clone()),
            None => self.table_from_tail(client).await?,
        };
        if let (Some(table), Some(length)) = (&table, self.download.content_length()) {
            let end = table.info.sample_end;
            if length < end {
                return Err(MediaError::Truncated(format!(
                    "it has {length} bytes, its last frame ends after {end}"
                )));
            }
        }
        Ok(table)
    }

    async fn table_from_tail(&self, client: &Client) -> Result<Option<Table>, MediaError> {
        let end = self.walker.media_data().and_then(|data| data.end);
        let (Some(end), Some(length)) = (end, self.download.content_length()) else { return Ok(None) };
        if length < end {
            return Err(MediaError::Truncated(format!(
                "it has {length} bytes, its media data ends after {end}"
            )));
        }
        if !self.download.accepts_ranges() {
            return Ok(None);
        }
        let mut tail = match client.get_from(self.download.url(), end, &self.limits).await {
            Ok(tail) => tail,
            // The server takes back what it announced; the body that is open already still serves.
            Err(FetchError::Status { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if tail.start() != end || tail.total() != Some(length) {
            return Ok(None);
        }
        let mut walker = Walker::at(end, self.max_frames);
        while let Some(bytes) = tail.chunk().await? {
            push(&mut walker, bytes).await?;
            if let Some(table) = walker.table() {
                return Ok(Some(table.clone()));
            }
            let lost = walker.position() - end > TAIL_GAP && !walker.keeps_table();
            if lost || walker.media_data().is_some() {
                return Ok(None);
            }
        }
        walker.finish().map(Some)
    }

    /// Reads on until the table is whole, fragments included.
    pub(crate) async fn read_on(mut self) -> Result<Table, MediaError> {
        while !self.walker.is_done() {
            if self.next().await?.is_none() {
                return self.walker.finish();
            }
        }
        self.walker.table().cloned().ok_or_else(|| MediaError::NotVideo("it has no sample table".to_owned()))
    }

    /// The table of a body that was read to its end.
    pub(crate) fn finish(&self) -> Result<Table, MediaError> {
        self.walker.finish()
    }

    /// The bytes `start..end` of the body as they arrive; `None` when `start` has passed.
    pub(crate) fn into_samples(self, start: u64, end: u64) -> Option<Samples> {
        let (position, piece) = self.piece;
        (start >= position).then_some(Samples {
            position,
            piece: Some(piece),
            download: self.download,
            start,
            end,
        })
    }
}

/// Shows the walker the next piece. To read a large table takes a while, so that is done on another thread.
async fn push(walker: &mut Walker, bytes: Bytes) -> Result<(), MediaError> {
    if walker.work_in(bytes.len()) < LARGE_TABLE {
        return walker.push(&bytes);
    }
    let mut moved = std::mem::replace(walker, Walker::new(0));
    let outcome;
    (*walker, outcome) = apart(move || {
        let outcome = moved.push(&bytes);
        Ok((moved, outcome))
    })
    .await?;
    outcome
}

/// The table of a whole file, which is read up to where it is known: mostly by the kernel's copy of it.
///
/// # Errors
/// What the walker says, `Truncated` when the file is too short for the samples that are listed, `File` and
/// `TooLarge`.
pub(crate) async fn table_of_file(path: &Path, limits: &MediaLimits) -> Result<Table, MediaError> {
    let unreadable = |cause| MediaError::File { path: path.to_owned(), cause };
    let mut file = tokio::fs::File::open(path).await.map_err(unreadable)?;
    let length = file.metadata().await.map_err(unreadable)?.len();
    if length > limits.max_bytes {
        return Err(MediaError::TooLarge { what: "the clip in bytes", limit: limits.max_bytes });
    }
    let mut walker = Walker::new(limits.max_frames);
    let mut piece = BytesMut::new();
    while !walker.is_done() {
        piece.reserve(PIECE);
        if file.read_buf(&mut piece).await.map_err(unreadable)? == 0 {
            break;
        }
        push(&mut walker, piece.split().freeze()).await?;
    }
    let table = match walker.table() {
        Some(table) if walker.is_done() => table.clone(),
        _ => walker.finish()?,
    };
    let end = table.info.sample_end;
    if length < end {
        return Err(MediaError::Truncated(format!("it has {length} bytes, its last frame ends after {end}")));
    }
    Ok(table)
}

/// What is fed to the decoder before the bytes of `table`'s samples.
pub(crate) async fn prefix(table: Table, start: u64) -> Result<Bytes, MediaError> {
    if table.moov.len() < LARGE_TABLE {
        return decoder_prefix(&table, start);
    }
    apart(move || decoder_prefix(&table, start)).await
}

async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, MediaError> + Send + 'static,
) -> Result<T, MediaError> {
    let failed = |error| MediaError::Program(format!("reading a sample table failed: {error}"));
    tokio::task::spawn_blocking(work).await.map_err(failed)?
}

/// The part of a body in which the samples lie, as it arrives.
#[derive(Debug)]
pub(crate) struct Samples {
    download: Download,
    piece: Option<Bytes>,
    /// Where in the body the next piece starts.
    position: u64,
    start: u64,
    end: u64,
}

impl Samples {
    /// The next bytes; `None` once the last sample is whole.
    ///
    /// # Errors
    /// `Truncated` when the body ends before that.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, MediaError> {
        while self.position < self.end {
            let piece = match self.piece.take() {
                Some(piece) => piece,
                None => self.download.chunk().await?.ok_or_else(|| {
                    MediaError::Truncated(format!(
                        "it ends after {} bytes, its last frame after {}",
                        self.position, self.end
                    ))
                })?,
            };
            let from = self.start.saturating_sub(self.position).min(piece.len() as u64);
            let to = (self.end - self.position).min(piece.len() as u64);
            self.position += piece.len() as u64;
            if from < to {
                return Ok(Some(piece.slice(from as usize..to as usize)));
            }
        }
        Ok(None)
    }
}
