//! `moof`: how many samples of the video track a fragment adds, and how long they last.

use super::{
    Table,
    boxes::{child, children, u32_at},
    corrupt,
};
use crate::MediaError;

/// What fragments add to a table.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Added {
    pub(crate) frames: u64,
    pub(crate) duration: u64,
}

/// Reads the content of one `moof`.
pub(crate) fn parse(moof: &[u8], table: &Table) -> Result<Added, MediaError> {
    let mut added = Added::default();
    for traf in children(moof, 0..moof.len()) {
        let traf = traf?;
        if traf.kind != *b"traf" {
            continue;
        }
        let tfhd = child(moof, &traf.body, b"tfhd")?.ok_or_else(|| corrupt("a fragment without tfhd"))?;
        let tfhd = &moof[tfhd];
        if u32_at(tfhd, 4) != Some(table.track_id) {
            continue;
        }
        let default = default_duration(tfhd).unwrap_or(table.default_duration);
        for trun in children(moof, traf.body) {
            let trun = trun?;
            if trun.kind == *b"trun" {
                run(&moof[trun.body], default, &mut added)?;
            }
        }
    }
    Ok(added)
}

fn default_duration(tfhd: &[u8]) -> Option<u32> {
    let flags = u32_at(tfhd, 0)?;
    if flags & 0x08 == 0 {
        return None;
    }
    // base-data-offset (64 bits) and sample-description-index (32 bits) come first when their flags are set.
    u32_at(tfhd, 8 + (flags & 0x01) as usize * 8 + (flags >> 1 & 0x01) as usize * 4)
}

fn run(trun: &[u8], default: u32, added: &mut Added) -> Result<(), MediaError> {
    let short = || corrupt("a fragment's run is too short");
    let flags = u32_at(trun, 0).ok_or_else(short)?;
    let count = u32_at(trun, 4).ok_or_else(short)?;
    // data-offset and first-sample-flags, then a column of 32 bits for each of the upper flags.
    let head = 8 + ((flags & 0x01) + (flags >> 2 & 0x01)) as usize * 4;
    let width = (flags >> 8 & 0x0f).count_ones() as usize * 4;
    let samples = trun.get(head..).ok_or_else(short)?;
    added.frames += u64::from(count);
    if width > 0 && samples.len() / width < count as usize {
        return Err(short());
    }
    let duration = if flags & 0x100 == 0 {
        u64::from(count) * u64::from(default)
    } else {
        let rows = samples.chunks_exact(width).take(count as usize);
        rows.map(|row| u64::from(u32_at(row, 0).unwrap_or(0))).sum()
    };
    added.duration = added.duration.saturating_add(duration);
    Ok(())
}
