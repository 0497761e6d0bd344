//! Rewrites a sample table for the decoder: only the video track, and chunk offsets that fit what the
//! decoder is fed. So a clip whose table stands at its end can be decoded from a pipe, and the decoder
//! parses nothing that a stranger wrote outside that track's table and its samples.

use bytes::Bytes;

use super::{
    Table,
    boxes::{child, children, u32_at, u64_at},
    corrupt,
};
use crate::MediaError;

/// Tells the decoder the flavour of the file.
const FTYP: &[u8] = b"\0\0\0\x14ftypisom\0\0\x02\0isom";
/// The start of an `mdat` with a 64-bit size.
const MDAT: &[u8] = b"\0\0\0\x01mdat";
const MDAT_HEADER: u64 = 16;

/// What the decoder is fed before the bytes `sample_start..sample_end` of the file: `ftyp`, a `moov` with
/// the video track alone, and the header of an `mdat` that holds exactly those bytes.
///
/// # Errors
/// `Corrupt` when a chunk offset does not fit.
pub(crate) fn decoder_prefix(table: &Table, sample_start: u64) -> Result<Bytes, MediaError> {
    let source = &table.moov;
    let mut moov = Vec::new();
    for part in children(source, 0..source.len()) {
        let part = part?;
        if part.kind == *b"mvhd" || part == table.track {
            moov.extend_from_slice(&source[part.start..part.body.end]);
        }
    }
    let moov_box = moov.len() as u64 + 8;
    let before_samples = FTYP.len() as u64 + moov_box + MDAT_HEADER;
    shift_offsets(&mut moov, i128::from(before_samples) - i128::from(sample_start))?;

    let mdat = MDAT_HEADER + table.info.sample_end.saturating_sub(sample_start);
    // The walker keeps no table above 64 MiB, so its size fits 32 bits.
    let moov_size = (moov_box as u32).to_be_bytes();
    Ok([FTYP, &moov_size, b"moov", &moov, MDAT, &mdat.to_be_bytes()].concat().into())
}

fn shift_offsets(moov: &mut [u8], shift: i128) -> Result<(), MediaError> {
    let whole = 0..moov.len();
    let Some(mut parent) = child(moov, &whole, b"trak")? else { return Ok(()) };
    for kind in [b"mdia", b"minf", b"stbl"] {
        match child(moov, &parent, kind)? {
            Some(body) => parent = body,
            None => return Ok(()),
        }
    }
    for (kind, width) in [(b"stco", 4), (b"co64", 8)] {
        let Some(body) = child(moov, &parent, kind)? else { continue };
        let list = &mut moov[body];
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
