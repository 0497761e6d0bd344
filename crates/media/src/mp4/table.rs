//! `moov`: the first video track's sample table. Its edit list is `edit`'s, its display
//! matrix `turn`'s, fragments are `fragment`'s.

use std::ops::Range;

use bytes::Bytes;

use super::{
    ClipInfo, FourCc, FrameRate,
    boxes::{Child, Entries, child, children, pair, u16_at, u32_at, u64_at},
    check_frames, corrupt,
    edit::Edit,
    turn::quarter_turns,
};
use crate::MediaError;

/// A parsed `moov`, with what is needed to decode by it.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) info: ClipInfo,
    /// The content of `moov`.
    pub(crate) moov: Bytes,
    /// The video track's box in `moov`.
    pub(crate) track: Child,
    /// The track's number, by which fragments name it.
    pub(crate) track_id: u32,
    /// Ticks of a sample in fragments that do not say otherwise.
    pub(crate) default_duration: u32,
    /// The lowest byte that a sample of the video track uses; `None` when it lists none.
    pub(crate) sample_start: Option<u64>,
    /// Whether samples lie in the file in the order in which they are decoded.
    pub(crate) in_order: bool,
}

impl Table {
    /// Reads the content of `moov`.
    ///
    /// # Errors
    /// `NotVideo` without a video track, `Unsupported` when it is encrypted or compressed, `Corrupt` when
    /// the table contradicts itself, `TooLarge` when it lists more than `max_frames` frames.
    pub(crate) fn parse(moov: Bytes, max_frames: u64) -> Result<Self, MediaError> {
        let whole = 0..moov.len();
        let movie = child(&moov, &whole, b"mvhd")?;
        let movie = movie.map(|body| &moov[body]);
        let mvex = child(&moov, &whole, b"mvex")?;
        let mut other = None;
        for trak in children(&moov, whole) {
            let trak = trak?;
            match &trak.kind {
                b"trak" => {}
                b"cmov" => return Err(MediaError::Unsupported("a compressed sample table".to_owned())),
                _ => continue,
            }
            let handler = handler(&moov, &trak.body)?;
            if handler == Some(*b"vide") {
                let track = Track::parse(&moov, &trak.body, movie, max_frames)?;
                return track.into_table(moov.clone(), trak, mvex);
            }
            other = other.or(handler);
        }
        Err(MediaError::NotVideo(match other {
            Some(kind) if kind == *b"soun" => "it holds sound only".to_owned(),
            Some(kind) => format!("it holds no video track, only {}", FourCc(kind)),
            None => "it holds no track".to_owned(),
        }))
    }
}

fn handler(moov: &[u8], trak: &Range<usize>) -> Result<Option<[u8; 4]>, MediaError> {
    let Some(mdia) = child(moov, trak, b"mdia")? else { return Ok(None) };
    let Some(hdlr) = child(moov, &mdia, b"hdlr")? else { return Ok(None) };
    Ok(moov[hdlr].get(8..12).and_then(|kind| kind.try_into().ok()))
}

/// Duration and time scale, which `mvhd` and `mdhd` keep at the same places.
fn duration_and_scale(body: &[u8]) -> Option<(u64, u32)> {
    if body.first()? == &1 {
        Some((u64_at(body, 24)?, u32_at(body, 20)?))
    } else {
        Some((u64::from(u32_at(body, 16)?), u32_at(body, 12)?))
    }
}

struct Track {
    id: u32,
    codec: FourCc,
    width: u32,
    height: u32,
    quarter_turns: u8,
    time_scale: u32,
    duration: u64,
    frames: u64,
    presented: Option<u64>,
    layout: Layout,
}

impl Track {
    fn parse(
        moov: &[u8],
        trak: &Range<usize>,
        movie: Option<&[u8]>,
        max_frames: u64,
    ) -> Result<Self, MediaError> {
        let (_, movie_scale) = movie.and_then(duration_and_scale).unwrap_or((0, 0));
        let find = |parent: &Range<usize>, kind: &'static [u8; 4]| {
            child(moov, parent, kind)?
                .ok_or_else(|| corrupt(format!("the video track has no {}", FourCc(*kind))))
        };
        let tkhd = &moov[find(trak, b"tkhd")?];
        let id_at = if tkhd.first() == Some(&1) { 20 } else { 12 };
        let id = u32_at(tkhd, id_at).ok_or_else(|| corrupt("tkhd is too short"))?;

        let mdia = find(trak, b"mdia")?;
        let (media_duration, time_scale) = duration_and_scale(&moov[find(&mdia, b"mdhd")?])
            .filter(|(_, scale)| *scale > 0)
            .ok_or_else(|| corrupt("mdhd has no time scale"))?;
        let stbl = find(&find(&mdia, b"minf")?, b"stbl")?;
        let (codec, mut width, mut height) = sample_entry(&moov[find(&stbl, b"stsd")?])?;
        let quarter_turns = quarter_turns(tkhd, movie);
        if quarter_turns % 2 == 1 {
            (width, height) = (height, width);
        }

        // Before any list is walked.
        let sizes = Sizes::read(moov, &stbl)?;
        check_frames(sizes.count(), max_frames)?;
        let table = |kind: &'static [u8; 4], name| match child(moov, &stbl, kind)? {
            Some(body) => Entries::read(&moov[body], 4, 8, name),
            None => Ok(Entries::none()),
        };
        let (stts, ctts) = (table(b"stts", "stts")?, table(b"ctts", "ctts")?);
        let edit = match child(moov, trak, b"edts")? {
            None => Edit::All,
            Some(edts) => child(moov, &edts, b"elst")?
                .map_or(Edit::All, |elst| Edit::read(&moov[elst], movie_scale, time_scale)),
        };
        let duration = stts.iter().map(pair).fold(0_u64, |sum, (count, delta)| {
            sum.saturating_add(u64::from(count).saturating_mul(u64::from(delta)))
        });
        Ok(Self {
            id,
            codec,
            width,
            height,
            quarter_turns,
            time_scale,
            duration: if duration > 0 { duration } else { media_duration },
            frames: sizes.count(),
            presented: edit.presented(sizes.count(), stts, ctts),
            layout: Layout::read(moov, &stbl, sizes)?,
        })
    }

    fn into_table(self, moov: Bytes, track: Child, mvex: Option<Range<usize>>) -> Result<Table, MediaError> {
        let fragmented = mvex.is_some();
        if self.frames == 0 && !fragmented {
            return Err(MediaError::NotVideo("its video track is empty".to_owned()));
        }
        let default_duration = mvex.map(|mvex| default_duration(&moov, mvex, self.id)).transpose()?;
        Ok(Table {
            info: ClipInfo {
                frames: self.frames,
                presented: self.presented,
                width: self.width,
                height: self.height,
                quarter_turns: self.quarter_turns,
                time_scale: self.time_scale,
                duration: self.duration,
                frame_rate: FrameRate::average(self.frames, self.duration, self.time_scale),
                codec: self.codec,
                sample_end: self.layout.end,
                fragmented,
            },
            moov,
            track,
            track_id: self.id,
            default_duration: default_duration.flatten().unwrap_or(0),
            sample_start: self.layout.start,
            in_order: self.layout.in_order,
        })
    }
}

/// `trex`: the default duration of the track's samples in fragments.
fn default_duration(moov: &[u8], mvex: Range<usize>, track: u32) -> Result<Option<u32>, MediaError> {
    for trex in children(moov, mvex) {
        let trex = trex?;
        let body = &moov[trex.body];
        if trex.kind == *b"trex" && u32_at(body, 4) == Some(track) {
            return Ok(u32_at(body, 12));
        }
    }
    Ok(None)
}

/// Codec, width and height of the first entry of `stsd`.
fn sample_entry(stsd: &[u8]) -> Result<(FourCc, u32, u32), MediaError> {
    let entry = children(stsd, 8..stsd.len()).next().ok_or_else(|| corrupt("stsd names no codec"))??;
    let codec = FourCc(entry.kind);
    if entry.kind == *b"encv" {
        return Err(MediaError::Unsupported("an encrypted clip".to_owned()));
    }
    let body = &stsd[entry.body];
    match (u16_at(body, 24), u16_at(body, 26)) {
        (Some(width), Some(height)) => Ok((codec, width.into(), height.into())),
        _ => Err(corrupt(format!("the description of codec {codec} is too short"))),
    }
}

/// `stsz` or `stz2`: the size of each sample.
#[derive(Clone, Copy)]
enum Sizes<'a> {
    Equal { size: u32, count: u32 },
    Each { data: &'a [u8], bits: u8, count: u32 },
}

impl<'a> Sizes<'a> {
    fn read(moov: &'a [u8], stbl: &Range<usize>) -> Result<Self, MediaError> {
        let (body, compact) = match child(moov, stbl, b"stsz")? {
            Some(body) => (&moov[body], false),
            None => match child(moov, stbl, b"stz2")? {
                Some(body) => (&moov[body], true),
                None => return Err(corrupt("the video track lists no sample sizes")),
            },
        };
        let (Some(size), Some(count), Some(data)) = (u32_at(body, 4), u32_at(body, 8), body.get(12..)) else {
            return Err(corrupt("the list of sample sizes is too short"));
        };
        let bits = match (compact, size & 0xff) {
            (false, _) if size != 0 => return Ok(Self::Equal { size, count }),
            (false, _) => 32,
            (true, bits @ (4 | 8 | 16)) => bits as u8,
            (true, bits) => return Err(corrupt(format!("sample sizes of {bits} bits"))),
        };
        if (u64::from(count) * u64::from(bits)).div_ceil(8) > data.len() as u64 {
            return Err(corrupt(format!("sizes of {count} samples in {} bytes", data.len())));
        }
        Ok(Self::Each { data, bits, count })
    }

    fn count(self) -> u64 {
        match self {
            Self::Equal { count, .. } | Self::Each { count, .. } => u64::from(count),
        }
    }

    /// Bytes of the samples `range`, which lie inside the list.
    fn bytes(self, range: Range<u64>) -> u64 {
        match self {
            Self::Equal { size, .. } => (range.end - range.start).saturating_mul(u64::from(size)),
            Self::Each { data, bits, .. } => range.map(|i| Self::one(data, bits, i as usize)).sum(),
        }
    }

    fn one(data: &[u8], bits: u8, i: usize) -> u64 {
        match bits {
            4 => data
                .get(i / 2)
                .map_or(0, |two| u64::from(if i.is_multiple_of(2) { two >> 4 } else { two & 0xf })),
            8 => data.get(i).map_or(0, |size| u64::from(*size)),
            16 => u16_at(data, i * 2).map_or(0, u64::from),
            _ => u32_at(data, i * 4).map_or(0, u64::from),
        }
    }
}

/// Where the samples lie, from `stsc` and `stco` or `co64`.
struct Layout {
    start: Option<u64>,
    end: u64,
    in_order: bool,
}

impl Layout {
    fn read(moov: &[u8], stbl: &Range<usize>, sizes: Sizes<'_>) -> Result<Self, MediaError> {
        let (chunks, wide) = match child(moov, stbl, b"stco")? {
            Some(body) => (Entries::read(&moov[body], 4, 4, "stco")?, false),
            None => match child(moov, stbl, b"co64")? {
                Some(body) => (Entries::read(&moov[body], 4, 8, "co64")?, true),
                None => (Entries::none(), false),
            },
        };
        let stsc = match child(moov, stbl, b"stsc")? {
            Some(body) => Entries::read(&moov[body], 4, 12, "stsc")?,
            None => Entries::none(),
        };
        let mut runs = stsc.iter().map(pair).peekable();
        let mut per_chunk = 0;
        let mut layout = Self { start: None, end: 0, in_order: true };
        let (mut placed, mut previous_end) = (0_u64, 0_u64);
        for (number, chunk) in (1_u32..).zip(chunks.iter()) {
            while let Some((_, samples)) = runs.next_if(|(first, _)| *first <= number) {
                per_chunk = u64::from(samples);
            }
            let samples = per_chunk.min(sizes.count() - placed);
            if samples == 0 {
                continue;
            }
            let offset = if wide { u64_at(chunk, 0) } else { u32_at(chunk, 0).map(u64::from) }.unwrap_or(0);
            let end = offset
                .checked_add(sizes.bytes(placed..placed + samples))
                .ok_or_else(|| corrupt("a chunk ends beyond any file"))?;
            layout.in_order &= offset >= previous_end;
            layout.start = Some(layout.start.map_or(offset, |start| start.min(offset)));
            layout.end = layout.end.max(end);
            (placed, previous_end) = (placed + samples, end);
        }
        if placed < sizes.count() {
            return Err(corrupt(format!(
                "{} samples, of which {placed} have a place in the file ({} chunks)",
                sizes.count(),
                chunks.len()
            )));
        }
        Ok(layout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(kind: &[u8; 4], numbers: &[u32]) -> Vec<u8> {
        let content: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
        [&(content.len() as u32 + 8).to_be_bytes(), &kind[..], &content].concat()
    }

    /// The layout of samples of 10 bytes each, in chunks at these offsets.
    fn layout(samples: u32, per_chunk: u32, offsets: &[u32]) -> Result<Layout, MediaError> {
        let stco = [&[0, offsets.len() as u32], offsets].concat();
        let stbl = [boxed(b"stsc", &[0, 1, 1, per_chunk, 1]), boxed(b"stco", &stco)].concat();
        Layout::read(&stbl, &(0..stbl.len()), Sizes::Equal { size: 10, count: samples })
    }

    #[test]
    fn samples_lie_where_their_chunks_say() {
        let layout = layout(5, 2, &[100, 120, 300]).unwrap();
        assert_eq!((layout.start, layout.end, layout.in_order), (Some(100), 310, true));
    }

    #[test]
    fn chunks_out_of_order_are_noticed() {
        let layout = layout(4, 2, &[300, 100]).unwrap();
        assert_eq!((layout.start, layout.end, layout.in_order), (Some(100), 320, false));
    }

    #[test]
    fn samples_without_a_place_are_corrupt() {
        assert!(matches!(layout(5, 2, &[100, 120]), Err(MediaError::Corrupt(_))));
        assert!(matches!(layout(1, 1, &[]), Err(MediaError::Corrupt(_))));
    }

    #[test]
    fn four_billion_claimed_samples_are_placed_at_once() {
        let layout = layout(u32::MAX, u32::MAX, &[100]).unwrap();
        assert_eq!(layout.end, 100 + u64::from(u32::MAX) * 10);
    }

    #[test]
    fn compact_sizes_are_read_in_four_eight_and_sixteen_bits() {
        for (bits, data, expected) in
            [(4, [0x12, 0x30, 0, 0], 1 + 2 + 3), (8, [1, 2, 3, 0], 6), (16, [0, 1, 1, 0], 1 + 256)]
        {
            let count = if bits == 16 { 2 } else { 3 };
            let stbl = boxed(b"stz2", &[0, bits, count, u32::from_be_bytes(data)]);
            let sizes = Sizes::read(&stbl, &(0..stbl.len())).unwrap();
            assert_eq!(sizes.bytes(0..sizes.count()), expected, "{bits} bits");
        }
    }
}
