//! Bytes as boxes: sizes, names and fixed-width fields, all bounds checked. What a box means is left to the
//! other modules.

use std::ops::Range;

use super::{FourCc, corrupt};
use crate::MediaError;

/// A box inside a slice, by position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Child {
    pub(crate) kind: [u8; 4],
    /// Where its header starts.
    pub(crate) start: usize,
    /// Where its content lies.
    pub(crate) body: Range<usize>,
}

/// Size and name of a box. The size includes the header; `None` means "to the end of the file".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: [u8; 4],
    pub(crate) length: usize,
    pub(crate) size: Option<u64>,
}

impl Header {
    /// Reads a header from the start of `bytes`; `None` when there are too few of them.
    pub(crate) fn read(bytes: &[u8]) -> Result<Option<Self>, MediaError> {
        let (Some(size), Some(kind)) = (u32_at(bytes, 0), bytes.get(4..8)) else {
            return Ok(None);
        };
        let kind = [kind[0], kind[1], kind[2], kind[3]];
        let (length, size) = match size {
            0 => (8, None),
            1 => match u64_at(bytes, 8) {
                None => return Ok(None),
                size => (16, size),
            },
            size => (8, Some(u64::from(size))),
        };
        if size.is_some_and(|size| size < length as u64) {
            return Err(corrupt(format!("box {} is smaller than its own header", FourCc(kind))));
        }
        Ok(Some(Self { kind, length, size }))
    }
}

/// The boxes that `bytes[range]` holds, with positions in `bytes`. Up to seven odd bytes at the end are
/// ignored: QuickTime ends some lists with a 32-bit zero.
pub(crate) fn children(bytes: &[u8], range: Range<usize>) -> impl Iterator<Item = Result<Child, MediaError>> {
    let mut start = range.start;
    let end = range.end.min(bytes.len());
    std::iter::from_fn(move || {
        let header = match Header::read(bytes.get(start..end)?) {
            Ok(header) => header?,
            Err(error) => {
                start = end;
                return Some(Err(error));
            }
        };
        let room = end - start;
        let size = header.size.map_or(room, |size| usize::try_from(size).unwrap_or(usize::MAX));
        if size > room {
            start = end;
            return Some(Err(corrupt(format!("box {} is larger than its parent", FourCc(header.kind)))));
        }
        let child = Child { kind: header.kind, start, body: start + header.length..start + size };
        start += size;
        Some(Ok(child))
    })
}

/// The first child of this kind.
pub(crate) fn child(
    bytes: &[u8],
    range: &Range<usize>,
    kind: &[u8; 4],
) -> Result<Option<Range<usize>>, MediaError> {
    for child in children(bytes, range.clone()) {
        let child = child?;
        if child.kind == *kind {
            return Ok(Some(child.body));
        }
    }
    Ok(None)
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

/// A counted list of entries of one width, as most tables are: version and flags, count, entries.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entries<'a> {
    data: &'a [u8],
    width: usize,
    count: usize,
}

impl<'a> Entries<'a> {
    /// The list in `body`, whose count stands at `count_at` and whose entries follow it.
    pub(crate) fn read(
        body: &'a [u8],
        count_at: usize,
        width: usize,
        name: &'static str,
    ) -> Result<Self, MediaError> {
        let count = u32_at(body, count_at).ok_or_else(|| corrupt(format!("{name} is too short")))?;
        let data = &body[count_at + 4..];
        let count = count as usize;
        match count.checked_mul(width) {
            Some(bytes) if bytes <= data.len() => Ok(Self { data, width, count }),
            _ => Err(corrupt(format!("{name} claims {count} entries in {} bytes", data.len()))),
        }
    }

    /// No entries.
    pub(crate) fn none() -> Self {
        Self { data: &[], width: 1, count: 0 }
    }

    pub(crate) fn len(self) -> usize {
        self.count
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = &'a [u8]> {
        self.data.chunks_exact(self.width).take(self.count)
    }
}

/// The two 32-bit numbers of an entry of `stts` or `ctts`.
pub(crate) fn pair(entry: &[u8]) -> (u32, u32) {
    (u32_at(entry, 0).unwrap_or(0), u32_at(entry, 4).unwrap_or(0))
}
