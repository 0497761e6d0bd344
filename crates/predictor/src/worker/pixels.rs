//! What follows a request: frames or images, one by one or in batches, down the pipe or through shared memory.

use std::io;
use std::num::NonZeroUsize;

use adit_media::{FrameFormat, FrameStream, MediaError};
use bytes::Bytes;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, timeout_at};

use super::memory::{Memory, Slot};
use super::wire::{self, Head};
use crate::ImageStream;

/// Most bytes of a batch, unless a single image has more.
pub(super) const BATCH_BYTES: usize = 128 << 20;

/// Between black and white, as a picture of nothing.
const GREY: u8 = 128;

/// How a worker wants to be given pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Delivery {
    /// How many frames are announced at once; without it each is announced alone.
    pub(super) batch: Option<NonZeroUsize>,
    /// Through memory that it maps, in place of the pipe.
    pub(super) shared: bool,
}

/// Where the pixels come from.
pub(super) enum Source<'a> {
    /// A clip; `images` where its frames are announced with their size, as images are.
    Clip {
        stream: &'a mut FrameStream,
        images: bool,
    },
    Images(&'a mut ImageStream),
    /// Grey frames, for a warm-up.
    Grey {
        format: FrameFormat,
        images: bool,
        frames: std::ops::Range<i64>,
    },
}

/// A frame and what is said of it.
struct Shown {
    head: Head,
    pixels: Bytes,
}

impl Source<'_> {
    /// Cancel safe only in so far as the rest is then not asked for.
    async fn next(&mut self) -> Result<Option<Shown>, MediaError> {
        let size = |images: bool, format: FrameFormat| images.then_some((format.width, format.height));
        Ok(match self {
            Self::Clip { stream, images } => {
                let size = size(*images, stream.format());
                stream.next().await?.map(|frame| {
                    let index = i64::try_from(frame.index).unwrap_or(i64::MAX);
                    Shown { head: Head { frame: index, size }, pixels: frame.pixels }
                })
            }
            Self::Images(stream) => stream.next().await?.map(|image| Shown {
                head: Head { frame: image.frame_id, size: Some((image.width, image.height)) },
                pixels: image.pixels,
            }),
            Self::Grey { format, images, frames } => frames.next().map(|frame| Shown {
                head: Head { frame, size: size(*images, *format) },
                pixels: vec![GREY; format.frame_bytes()].into(),
            }),
        })
    }
}

/// The pixels of one request, as its worker wants them.
pub(super) struct Pixels<'a> {
    pub(super) source: Source<'a>,
    pub(super) delivery: Delivery,
    /// Where they are written, for a worker that maps it.
    pub(super) memory: Option<&'a Memory>,
    /// When the last frame must have come.
    pub(super) due: Instant,
    /// One that did not fit into the batch before.
    ahead: Option<Shown>,
}

/// Why the worker did not get all pixels.
pub(super) enum SendError {
    /// The clip could not be decoded to its end; the worker was told.
    Clip(MediaError),
    /// The worker held all of its memory; it was told that no more comes.
    Held(usize),
    /// The memory could not be written to; the worker was told that no more comes.
    Memory(io::Error),
    /// The worker reads no more.
    Pipe,
}

impl From<MediaError> for SendError {
    fn from(error: MediaError) -> Self {
        Self::Clip(error)
    }
}

/// Frames that are announced by one line.
struct Batch {
    line: Vec<u8>,
    /// What follows the line; nothing where it lies in the memory.
    pixels: Vec<Bytes>,
}

impl<'a> Pixels<'a> {
    pub(super) fn new(
        source: Source<'a>,
        delivery: Delivery,
        memory: Option<&'a Memory>,
        due: Instant,
    ) -> Self {
        Self { source, delivery, memory, due, ahead: None }
    }

    async fn next(&mut self) -> Result<Option<Shown>, MediaError> {
        if let Some(shown) = self.ahead.take() {
            return Ok(Some(shown));
        }
        let late = |_| Err(MediaError::Timeout("the clip was still arriving at the deadline".to_owned()));
        timeout_at(self.due, self.source.next()).await.unwrap_or_else(late)
    }

    /// As many of the next frames as the worker wants at once and a batch may hold. Which ones depends on their sizes
    /// alone, never on when they came.
    async fn batch(&mut self) -> Result<Option<Batch>, SendError> {
        let Some(first) = self.next().await? else { return Ok(None) };
        let most = self.delivery.batch.map_or(1, NonZeroUsize::get);
        let length = first.pixels.len();
        let room = length.saturating_mul(most).min(BATCH_BYTES).max(length);
        let slot = self.slot(room).await?;
        let (mut heads, mut pixels, mut bytes) = (Vec::new(), Vec::new(), 0);
        let mut next = Some(first);
        while let Some(shown) = next.take() {
            if bytes + shown.pixels.len() > room {
                self.ahead = Some(shown);
                break;
            }
            let length = shown.pixels.len();
            match slot {
                Some((memory, slot)) => {
                    memory.write(slot, bytes, &shown.pixels).await.map_err(SendError::Memory)?;
                }
                None => pixels.push(shown.pixels),
            }
            heads.push(shown.head);
            bytes += length;
            if heads.len() < most {
                next = self.next().await?;
            }
        }
        let place = slot.map(|(memory, slot)| {
            memory.announce(slot);
            (slot.id, slot.offset)
        });
        let line = match self.delivery.batch {
            Some(_) => wire::batch_line(&heads, bytes, place),
            None => wire::frame_line(&heads, bytes, place),
        };
        Ok(Some(Batch { line, pixels }))
    }

    async fn slot(&mut self, bytes: usize) -> Result<Option<(&'a Memory, Slot)>, SendError> {
        let Some(memory) = self.memory else { return Ok(None) };
        match timeout_at(self.due, memory.take(bytes)).await {
            Ok(slot) => Ok(Some((memory, slot.map_err(SendError::Memory)?))),
            Err(_) => Err(SendError::Held(memory.held())),
        }
    }
}

/// Sends a request and, until the last of them or `due`, its pixels.
pub(super) async fn send(
    stdin: &mut (impl AsyncWrite + Unpin),
    request: &[u8],
    pixels: Option<Pixels<'_>>,
) -> Result<(), SendError> {
    write(stdin, request).await?;
    let Some(mut pixels) = pixels else { return Ok(()) };
    loop {
        match pixels.batch().await {
            Ok(Some(batch)) => {
                write(stdin, &batch.line).await?;
                for pixels in batch.pixels {
                    write(stdin, &pixels).await?;
                }
            }
            Ok(None) => return write(stdin, wire::END_LINE).await,
            Err(error) => {
                write(stdin, wire::ABORT_LINE).await?;
                return Err(error);
            }
        }
    }
}

async fn write(stdin: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> Result<(), SendError> {
    stdin.write_all(bytes).await.map_err(|_| SendError::Pipe)
}
