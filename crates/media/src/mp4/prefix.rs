//! Rewrites a sample table for the decoder: only the video track, and chunk offsets that fit what the
//! decoder is fed. So a clip whose table stands at its end can be decoded from a pipe, and the decoder
//! parses nothing that a stranger wrote outside that track's table and its samples.

use std::ops::Range;

use bytes::Bytes;

use super::{
    Table,
    boxes::{Child, child, children, u32_at, u64_at},
    corrupt,
};
use crate::MediaError;

/// Tells the decoder the flavour of the file.
const FTYP: &[u8] = b"\0\0\0\x14ftypisom\0\0\x02\0isom";
/// The start of an `mdat` with a 64-bit size.
const MDAT: &[u8] = b"\0\0\0\x01mdat";
const MDAT_HEADER: u64 = 16;

/// The boxes on the way to a track's lists, each in the one before it.
const WAY: [&[u8; 4]; 4] = [b"trak", b"mdia", b"minf", b"stbl"];
/// What decoding does not need on that way, and what may be as large as its author likes.
const IDLE: [&[u8; 4]; 5] = [b"free", b"skip", b"udta", b"meta", b"uuid"];

/// What the decoder is fed before the bytes `sample_start..sample_end` of the file: `ftyp`, a `moov` with
/// the video track alone, and the header of an `mdat` that holds exactly those bytes. A table may be large, so
/// it is copied once, into one allocation.
///
/// # Errors
/// `Corrupt` when a chunk offset does not fit.
pub(crate) fn decoder_prefix(table: &Table, sample_start: u64) -> Result<Bytes, MediaError> {
    let source = &table.moov;
    let mut movie = &[][..];
    for part in children(source, 0..source.len()) {
        let part = part?;
        if part.kind == *b"mvhd" {
            movie = &source[part.start..part.body.end];
            break;
        }
    }
    let room = movie.len() + table.track.body.end - table.track.start;
    let mut prefix = Vec::with_capacity(FTYP.len() + 8 + room + MDAT_HEADER as usize);
    prefix.extend_from_slice(FTYP);
    write_box(&mut prefix, b"moov", |prefix| {
        prefix.extend_from_slice(movie);
        copy(source, table.track.clone(), &WAY, prefix)
    })?;
    let before_samples = prefix.len() as u64 + MDAT_HEADER;
    let moov = FTYP.len() + 8..prefix.len();
    shift_offsets(&mut prefix, moov, i128::from(before_samples) - i128::from(sample_start))?;
    let mdat = MDAT_HEADER + table.info.sample_end.saturating_sub(sample_start);
    prefix.extend_from_slice(MDAT);
    prefix.extend_from_slice(&mdat.to_be_bytes());
    Ok(prefix.into())
}

/// Copies a box, without what is idle in it and in the boxes that `way` leads through.
fn copy(source: &[u8], part: Child, way: &[&[u8; 4]], target: &mut Vec<u8>) -> Result<(), MediaError> {
    let Some((_, further)) = way.split_first().filter(|(kind, _)| **kind == &part.kind) else {
        target.extend_from_slice(&source[part.start..part.body.end]);
        return Ok(());
    };
    write_box(target, &part.kind, |target| {
        for inner in children(source, part.body) {
            let inner = inner?;
            if !IDLE.contains(&&inner.kind) {
                copy(source, inner, further, target)?;
            }
        }
        Ok(())
    })
}

fn write_box(
    target: &mut Vec<u8>,
    kind: &[u8; 4],
    content: impl FnOnce(&mut Vec<u8>) -> Result<(), MediaError>,
) -> Result<(), MediaError> {
    let start = target.len();
    target.extend_from_slice(&[0; 4]);
    target.extend_from_slice(kind);
    content(target)?;
    // The walker keeps no table above 32 MiB, so every size fits 32 bits.
    let size = (target.len() - start) as u32;
    target[start..start + 4].copy_from_slice(&size.to_be_bytes());
    Ok(())
}

/// Adds `shift` to the chunk offsets of the one track in the content of `moov`.
fn shift_offsets(bytes: &mut [u8], moov: Range<usize>, shift: i128) -> Result<(), MediaError> {
    let Some(mut parent) = child(bytes, &moov, b"trak")? else { return Ok(()) };
    for kind in [b"mdia", b"minf", b"stbl"] {
        match child(bytes, &parent, kind)? {
            Some(body) => parent = body,
            None => return Ok(()),
        }
    }
    for (kind, width) in [(b"stco", 4), (b"co64", 8)] {
        let Some(body) = child(bytes, &parent, kind)? else { continue };
        let list = &mut bytes[body];
        let count = u32_at(list, 4).unwrap_or(0) as usize;
        let entries = list.get_mut(8..).unwrap_or_default();
        for entry in entries.chunks_exact_mut(width).take(count) {
            let old = if width == 8 { u64_at(entry, 0) } else { u32_at(entry, 0).map(u64::from) };
            let new = i128::from(old.unwrap_or(0)) + shift;
            let fits = if width == 8 {
                u64::try_from(new).map(|new| entry.copy_from_slice(&new.to_be_bytes()))
            } else {
                u32::try_from(new).map(|new| entry.copy_from_slice(&new.to_be_bytes()))
            };
            fits.map_err(|_| corrupt("a chunk offset lies outside the file"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
        [&(content.len() as u32 + 8).to_be_bytes(), &kind[..], content].concat()
    }

    fn list(kind: &[u8; 4], numbers: &[u32]) -> Vec<u8> {
        boxed(kind, &numbers.iter().flat_map(|number| number.to_be_bytes()).collect::<Vec<u8>>())
    }

    fn track(more: &[u8]) -> Vec<u8> {
        let stbl = [
            &boxed(b"stsd", &[vec![0; 8], boxed(b"avc1", &[1; 70])].concat()),
            more,
            &list(b"stsz", &[0, 10, 4]),
            &list(b"stsc", &[0, 1, 1, 2, 1]),
            &list(b"stco", &[0, 2, 5000, 5020]),
        ]
        .concat();
        let minf = [&boxed(b"stbl", &stbl), more].concat();
        let hdlr = boxed(b"hdlr", b"\0\0\0\0\0\0\0\0vide");
        let mdia = [&list(b"mdhd", &[0, 0, 0, 600, 40]), &hdlr, more, &boxed(b"minf", &minf)].concat();
        boxed(b"trak", &[more, &list(b"tkhd", &[0, 0, 0, 1]), &boxed(b"mdia", &mdia)].concat())
    }

    #[test]
    fn the_decoder_is_given_the_tables_and_nothing_idle() {
        let mvhd = list(b"mvhd", &[0, 0, 0, 600, 40]);
        let ballast = [boxed(b"free", &[7; 500]), boxed(b"udta", &[7; 500]), boxed(b"meta", &[])].concat();
        let moov = [ballast.clone(), mvhd.clone(), boxed(b"trak", b""), track(&ballast), ballast].concat();
        let table = Table::parse(Bytes::from(moov), 4).unwrap();

        let prefix = decoder_prefix(&table, 5000).unwrap();

        let start = prefix.len() as u32;
        let mut expected = track(&[]);
        // The first sample follows the prefix at once.
        let offsets = expected.len() - 8;
        expected[offsets..offsets + 4].copy_from_slice(&start.to_be_bytes());
        expected[offsets + 4..].copy_from_slice(&(start + 20).to_be_bytes());
        let moov = boxed(b"moov", &[mvhd, expected].concat());
        assert_eq!(prefix, [FTYP, &moov, MDAT, &(16 + 40_u64).to_be_bytes()].concat());
    }

    #[test]
    fn boxes_nested_without_end_are_copied_as_they_are() {
        let mut nested = Vec::new();
        for _ in 0..5000 {
            nested = boxed(b"stbl", &nested);
        }
        let table = Table::parse(track(&nested).into(), 4).unwrap();
        assert!(decoder_prefix(&table, 5000).unwrap().len() > nested.len());
    }
}
