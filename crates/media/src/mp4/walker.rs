//! Finds the sample table in a body that is still arriving. It keeps `moov` and one `moof` at a time, and
//! lets everything else pass.

use bytes::Bytes;

use super::{
    FourCc, FrameRate, Table,
    boxes::Header,
    check_frames, corrupt,
    fragment::{self, Added},
};
use crate::MediaError;

/// Largest `moov` that is kept. The longest lists a million samples can need (sizes, times, offsets, and where
/// each lies) are 32 MiB.
const MOOV_CAP: u64 = 32 << 20;
const MOOF_CAP: u64 = 16 << 20;

/// What may stand at the start of an MP4 or QuickTime file.
const FIRST: [&[u8; 4]; 11] =
    [b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"pnot", b"uuid", b"sidx"];

/// Where the media data of a box `mdat` lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MediaData {
    /// Where its header starts.
    pub(crate) start: u64,
    /// One past its last byte; `None` when it goes on to the end of the file.
    pub(crate) end: Option<u64>,
}

/// Walks over the top-level boxes of a body, piece by piece.
#[derive(Debug)]
pub(crate) struct Walker {
    position: u64,
    state: State,
    first: bool,
    max_frames: u64,
    media_data: Option<MediaData>,
    table: Option<Table>,
    added: Added,
}

#[derive(Debug)]
enum State {
    /// Collecting the header of the next box.
    Header(Vec<u8>),
    /// Inside a box of no interest, with so many bytes to go (`None`: to the end).
    Skip { kind: [u8; 4], left: Option<u64> },
    /// Inside `moov` or `moof`.
    Keep { kind: [u8; 4], left: u64, content: Vec<u8> },
    /// The table is whole and no fragment follows: the rest does not matter.
    Done,
}

impl Walker {
    /// At the start of a body. A clip with more than `max_frames` frames is refused.
    pub(crate) fn new(max_frames: u64) -> Self {
        Self {
            position: 0,
            state: State::Header(Vec::new()),
            first: true,
            max_frames,
            media_data: None,
            table: None,
            added: Added::default(),
        }
    }

    /// At a box in the middle of a body.
    pub(crate) fn at(position: u64, max_frames: u64) -> Self {
        Self { position, first: false, ..Self::new(max_frames) }
    }

    /// How many bytes of the body have been seen.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The table, once `moov` is whole. Its counts do not include fragments until [`Walker::finish`].
    pub(crate) fn table(&self) -> Option<&Table> {
        self.table.as_ref()
    }

    /// The first `mdat`, once its header has been seen.
    pub(crate) fn media_data(&self) -> Option<MediaData> {
        self.media_data
    }

    /// Whether it is in the middle of a table.
    pub(crate) fn keeps_table(&self) -> bool {
        matches!(self.state, State::Keep { .. })
    }

    /// Whether nothing that follows can change the table.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// How many bytes of tables are read at once when the next `bytes` of the body come; 0 if none.
    pub(crate) fn work_in(&self, bytes: usize) -> usize {
        match &self.state {
            State::Keep { left, content, .. } if *left <= bytes as u64 => content.len() + *left as usize,
            _ => 0,
        }
    }

    /// Takes the next piece of the body.
    ///
    /// # Errors
    /// As [`Table::parse`], and `TooLarge` for a table beyond 32 MiB or too many frames.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) -> Result<(), MediaError> {
        while !bytes.is_empty() {
            let used = match &mut self.state {
                State::Done | State::Skip { left: None, .. } => bytes.len(),
                State::Skip { left: Some(left), .. } => {
                    let used = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= used as u64;
                    used
                }
                State::Keep { left, content, .. } => {
                    let used = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    content.extend_from_slice(&bytes[..used]);
                    *left -= used as u64;
                    used
                }
                State::Header(header) => {
                    header.push(bytes[0]);
                    1
                }
            };
            bytes = &bytes[used..];
            self.position += used as u64;
            self.step()?;
        }
        Ok(())
    }

    /// Leaves a state that is complete.
    fn step(&mut self) -> Result<(), MediaError> {
        match &mut self.state {
            State::Skip { left: Some(0), .. } => self.state = State::Header(Vec::new()),
            State::Keep { kind, left: 0, content } => {
                let (kind, content) = (*kind, Bytes::from(std::mem::take(content)));
                self.state = State::Header(Vec::new());
                self.kept(kind, content)?;
            }
            State::Header(bytes) => {
                if let Some(header) = Header::read(bytes)? {
                    self.enter(header)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn enter(&mut self, header: Header) -> Result<(), MediaError> {
        let Header { kind, length, size } = header;
        if std::mem::take(&mut self.first) && !FIRST.contains(&&kind) {
            return Err(MediaError::NotVideo("it does not start as an MP4 file does".to_owned()));
        }
        let start = self.position - length as u64;
        if size.is_some_and(|size| start.checked_add(size).is_none()) {
            return Err(corrupt(format!("box {} ends beyond any file", FourCc(kind))));
        }
        let left = size.map(|size| size - length as u64);
        let cap = match &kind {
            b"moov" if self.table.is_none() => Some(MOOV_CAP),
            b"moof" if self.table.is_some() => Some(MOOF_CAP),
            b"moof" => return Err(corrupt("a fragment comes before the sample table")),
            b"mdat" => {
                self.media_data.get_or_insert(MediaData { start, end: size.map(|size| start + size) });
                None
            }
            _ => None,
        };
        self.state = match (cap, left) {
            (None, _) => State::Skip { kind, left },
            (Some(cap), Some(left)) if left <= cap => State::Keep { kind, left, content: Vec::new() },
            (Some(_), None) => return Err(corrupt(format!("box {} has no size", FourCc(kind)))),
            (Some(cap), _) => {
                return Err(MediaError::TooLarge { what: "the sample table in bytes", limit: cap });
            }
        };
        // A box without content is complete already.
        self.step()
    }

    fn kept(&mut self, kind: [u8; 4], content: Bytes) -> Result<(), MediaError> {
        match &self.table {
            Some(table) if kind == *b"moof" => {
                let more = fragment::parse(&content, table)?;
                self.added.frames = self.added.frames.saturating_add(more.frames);
                self.added.duration = self.added.duration.saturating_add(more.duration);
                check_frames(table.info.frames.saturating_add(self.added.frames), self.max_frames)
            }
            _ => {
                let table = Table::parse(content, self.max_frames)?;
                if !table.info.fragmented {
                    self.state = State::Done;
                }
                self.table = Some(table);
                Ok(())
            }
        }
    }

    /// The table of a body that has ended, fragments included.
    ///
    /// # Errors
    /// `Truncated` when the body ended inside a box or before its samples, `NotVideo` when it held no table.
    pub(crate) fn finish(&self) -> Result<Table, MediaError> {
        let cut = match &self.state {
            State::Skip { kind, left: Some(left) } | State::Keep { kind, left, .. } => Some((*kind, *left)),
            _ => None,
        };
        if let Some((kind, left)) = cut {
            return Err(MediaError::Truncated(format!(
                "it ends after {} bytes, {left} before the end of its box {}",
                self.position,
                FourCc(kind)
            )));
        }
        let Some(mut table) = self.table.clone() else {
            return Err(MediaError::NotVideo(match self.position {
                0 => "it is empty".to_owned(),
                1..16 => "it is too short for an MP4 file".to_owned(),
                _ => "it has no sample table".to_owned(),
            }));
        };
        let info = &mut table.info;
        if self.position < info.sample_end {
            return Err(MediaError::Truncated(format!(
                "it ends after {} bytes, its last frame after {}",
                self.position, info.sample_end
            )));
        }
        if info.fragmented {
            info.frames += self.added.frames;
            info.presented = info.presented.map(|frames| frames + self.added.frames);
            // A fragmented clip's header may give its whole length, or none, or that of its own samples.
            info.duration = info.duration.max(self.added.duration);
            info.frame_rate = FrameRate::average(info.frames, info.duration, info.time_scale);
            if info.frames == 0 {
                return Err(MediaError::NotVideo("its video track is empty".to_owned()));
            }
        }
        Ok(table)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn boxed(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
        [&(content.len() as u32 + 8).to_be_bytes(), &kind[..], content].concat()
    }

    fn walk(body: &[u8], piece: usize) -> Result<Walker, MediaError> {
        let mut walker = Walker::new(1000);
        for bytes in body.chunks(piece.max(1)) {
            walker.push(bytes)?;
        }
        Ok(walker)
    }

    #[test]
    fn the_place_of_the_media_data_is_known_from_its_header() {
        let body = [boxed(b"ftyp", b"isom\0\0\0\0"), boxed(b"mdat", &[7; 100])[..9].to_vec()].concat();
        let walker = walk(&body, 1).unwrap();
        assert_eq!(walker.media_data(), Some(MediaData { start: 16, end: Some(124) }));
        assert!(matches!(walker.finish(), Err(MediaError::Truncated(_))));
    }

    #[test]
    fn a_sample_table_larger_than_the_cap_is_refused_by_its_header() {
        // 32 MiB and a header of eight bytes.
        assert!(walk(b"\x02\0\0\x08moov", 3).is_ok());
        let error = walk(b"\x02\0\0\x09moov", 3).unwrap_err();
        assert!(matches!(error, MediaError::TooLarge { limit, .. } if limit == 32 << 20), "{error}");
    }

    #[test]
    fn work_comes_with_the_last_byte_of_a_table() {
        let mut walker = Walker::new(1000);
        walker.push(b"\0\0\0\x6cmoov1234").unwrap();
        assert_eq!((walker.work_in(95), walker.work_in(96), walker.work_in(200)), (0, 100, 100));
    }

    #[test]
    fn a_body_that_is_no_mp4_says_so() {
        for body in [&b"<!DOCTYPE html><html>"[..], b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"{\"detail\": 1}"] {
            let error = walk(body, 4).unwrap_err();
            assert!(matches!(error, MediaError::NotVideo(_)), "{error}");
        }
        assert!(matches!(Walker::new(1).finish(), Err(MediaError::NotVideo(_))));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(
            body in prop::collection::vec(any::<u8>(), 0..300), kind in 0..FIRST.len(), piece in 1usize..20
        ) {
            let body = [boxed(FIRST[kind], &body), body].concat();
            if let Ok(walker) = walk(&body, piece) {
                prop_assert!(walker.position() == body.len() as u64);
                let _ = walker.finish();
            }
        }
    }
}
