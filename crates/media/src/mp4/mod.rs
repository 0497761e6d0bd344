//! The sample table of an MP4 file: how many frames, at what rate, and where their bytes lie.
//!
//! The parser is our own. The crate `re_mp4` reads the same tables, but it panics on hostile ones and keeps
//! some 72 bytes for each sample; here a table is walked in place, run by run, and nothing is allocated
//! from a number that the file claims. (`re_mp4` is what the tests compare with.)
//!
//! `boxes` splits bytes into boxes, `table` reads `moov`, `edit` its edit list, `turn` its display matrix,
//! `fragment` reads `moof`, `walker` finds both in a body that is still arriving, and `prefix` rewrites a table for the decoder. What
//! the coded frames hold is left to ffmpeg.

mod boxes;
mod edit;
mod fragment;
mod prefix;
mod table;
mod turn;
mod walker;

use std::fmt;

pub(crate) use prefix::decoder_prefix;
pub(crate) use table::Table;
pub(crate) use walker::Walker;

use crate::MediaError;

/// What the sample table of a clip says about its first video track.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClipInfo {
    /// Samples of the video track: the number that OpenCV reports as `CAP_PROP_FRAME_COUNT`
    /// (private-track reference, section 4).
    pub frames: u64,
    /// Frames that decoding yields, after the edit list; `None` when that is more than one simple edit.
    pub presented: Option<u64>,
    /// Pixels a row, as shown: after the turns, and as many as are coded whatever shape a pixel has.
    pub width: u32,
    /// Rows, as shown.
    pub height: u32,
    /// Quarter turns clockwise, 0 to 3, from the pictures as they are coded to those that are shown. Others
    /// than whole quarters and mirrors are left out, as OpenCV does.
    pub quarter_turns: u8,
    /// Units of `duration` a second; never 0.
    pub time_scale: u32,
    /// Length of the video track in units of `time_scale`.
    pub duration: u64,
    /// Average frames a second.
    pub frame_rate: FrameRate,
    /// The codec's four-character code, such as `avc1`.
    pub codec: FourCc,
    /// One past the highest byte of the file that a listed sample of the video track uses.
    pub sample_end: u64,
    /// Whether samples are listed in fragments (`moof`) too.
    pub fragmented: bool,
}

impl ClipInfo {
    /// Reads the sample table of a whole clip in memory.
    ///
    /// # Errors
    /// `NotVideo`, `Truncated`, `Corrupt`, `Unsupported`, or `TooLarge` for a table beyond 32 MiB.
    pub fn of_clip(clip: &[u8]) -> Result<Self, MediaError> {
        let mut walker = Walker::new(u64::MAX);
        walker.push(clip)?;
        walker.finish().map(|table| table.info)
    }
}

/// A rate as a ratio in lowest terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameRate {
    /// Frames; 0 where the clip does not say how long it is.
    pub num: u64,
    /// Seconds; never 0.
    pub den: u64,
}

impl FrameRate {
    /// `frames` in `duration` units of `time_scale`.
    pub(crate) fn average(frames: u64, duration: u64, time_scale: u32) -> Self {
        if duration == 0 {
            return Self { num: 0, den: 1 };
        }
        let (mut num, mut den) = (u128::from(frames) * u128::from(time_scale), u128::from(duration));
        let divisor = gcd(num, den);
        (num, den) = (num / divisor, den / divisor);
        while num > u128::from(u64::MAX) {
            (num, den) = (num / 2, (den / 2).max(1));
        }
        Self { num: num as u64, den: den as u64 }
    }

    /// Frames a second.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        self.num as f64 / self.den as f64
    }
}

pub(crate) fn gcd(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Four bytes that name a box or a codec, such as `avc1`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FourCc(pub [u8; 4]);

impl fmt::Debug for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FourCc({self})")
    }
}

impl fmt::Display for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

fn check_frames(frames: u64, max_frames: u64) -> Result<(), MediaError> {
    if frames > max_frames {
        return Err(MediaError::TooLarge { what: "the number of frames", limit: max_frames });
    }
    Ok(())
}

fn corrupt(what: impl Into<String>) -> MediaError {
    MediaError::Corrupt(what.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_average_rate_is_in_lowest_terms() {
        assert_eq!(FrameRate::average(250, 128_000, 12_800), FrameRate { num: 25, den: 1 });
        assert_eq!(FrameRate::average(30, 30_030, 30_000), FrameRate { num: 30_000, den: 1001 });
        assert_eq!(FrameRate::average(9, 0, 600), FrameRate { num: 0, den: 1 });
        assert!(FrameRate::average(u64::MAX, 3, u32::MAX).as_f64() > 1e18);
    }
}
