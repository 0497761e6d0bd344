//! The edit list: how many of a track's frames are presented. It counts as libavformat's mov demuxer does
//! (and OpenCV with it), since that is what decodes the clip.

use super::boxes::{Entries, pair, u32_at, u64_at};

/// The part of a track's own time that is presented, in units of the track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edit {
    /// No edit list: all of it.
    All,
    /// One edit, possibly after empty ones that only delay it.
    Span { start: i64, duration: u64 },
    /// Anything else; what it presents is not computed here.
    Other,
}

impl Edit {
    /// Reads the body of `elst`. `movie_scale` is the unit of its durations, `track_scale` of its times.
    pub(crate) fn read(elst: &[u8], movie_scale: u32, track_scale: u32) -> Self {
        let long = elst.first() == Some(&1);
        let Ok(entries) = Entries::read(elst, 4, if long { 20 } else { 12 }, "elst") else {
            return Self::Other;
        };
        let mut edit = Self::All;
        for entry in entries.iter() {
            let (duration, time, rate) = if long {
                (u64_at(entry, 0), u64_at(entry, 8).map(|time| time as i64), u32_at(entry, 16))
            } else {
                let time = u32_at(entry, 4).map(|time| i64::from(time as i32));
                (u32_at(entry, 0).map(u64::from), time, u32_at(entry, 8))
            };
            let (Some(duration), Some(start), Some(0x1_0000)) = (duration, time, rate) else {
                return Self::Other;
            };
            match edit {
                Self::All if start == -1 => {}
                Self::All if start >= 0 && duration > 0 && movie_scale > 0 => {
                    edit = Self::Span { start, duration: rescale(duration, track_scale, movie_scale) };
                }
                _ => return Self::Other,
            }
        }
        edit
    }

    /// How many of the first `frames` samples are presented: those whose composition time lies in the edit.
    ///
    /// The tables are walked in runs of equal samples, so the work is bounded by their size in the file and
    /// not by the number of samples they claim.
    pub(crate) fn presented(self, frames: u64, stts: Entries<'_>, ctts: Entries<'_>) -> Option<u64> {
        let (start, duration) = match self {
            Self::All => return Some(frames),
            Self::Other => return None,
            Self::Span { start, duration } => (i128::from(start), i128::from(duration)),
        };
        let mut deltas = Runs::new(stts.iter().map(pair), None);
        let mut offsets = Runs::new(ctts.iter().map(pair), Some(0));
        let (mut left, mut time, mut presented) = (frames, 0_i128, 0_u64);
        while left > 0 {
            let run = left.min(deltas.left()).min(offsets.left());
            let delta = i128::from(deltas.value());
            // Offsets are signed whatever the version of the box says: libavformat reads them so.
            let first = time + i128::from(offsets.value() as i32);
            let before = |bound: i128| -> u64 {
                // How many of the run's composition times, `first + i * delta`, lie before `bound`.
                let count = match delta {
                    0 => i128::from(run) * i128::from(first < bound),
                    delta => (bound - first + delta - 1).div_euclid(delta),
                };
                count.clamp(0, i128::from(run)) as u64
            };
            presented += before(start + duration) - before(start);
            time += delta * i128::from(run);
            left -= run;
            deltas.take(run);
            offsets.take(run);
        }
        Some(presented)
    }
}

/// `value * to / from`, rounded to nearest as libavutil's `av_rescale` does.
fn rescale(value: u64, to: u32, from: u32) -> u64 {
    let (to, from) = (u128::from(to), u128::from(from));
    u64::try_from((u128::from(value) * to + from / 2) / from).unwrap_or(u64::MAX)
}

/// A run-length table, read sample by sample in whole runs.
struct Runs<I> {
    entries: I,
    left: u64,
    value: u32,
    /// The value after the last entry; `None` repeats that of the last entry.
    rest: Option<u32>,
}

impl<I: Iterator<Item = (u32, u32)>> Runs<I> {
    fn new(entries: I, rest: Option<u32>) -> Self {
        let mut runs = Self { entries, left: 0, value: 0, rest };
        runs.advance();
        runs
    }

    fn advance(&mut self) {
        while self.left == 0 {
            match self.entries.next() {
                Some((count, value)) => (self.left, self.value) = (u64::from(count), value),
                None => (self.left, self.value) = (u64::MAX, self.rest.unwrap_or(self.value)),
            }
        }
    }

    fn left(&self) -> u64 {
        self.left
    }

    fn value(&self) -> u32 {
        self.value
    }

    fn take(&mut self, count: u64) {
        self.left -= count;
        self.advance();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table(runs: &[(u32, u32)]) -> Vec<u8> {
        let mut body = vec![0; 4];
        body.extend((runs.len() as u32).to_be_bytes());
        for (count, value) in runs {
            body.extend(count.to_be_bytes());
            body.extend(value.to_be_bytes());
        }
        body
    }

    fn presented(edit: Edit, frames: u64, stts: &[(u32, u32)], ctts: &[(u32, u32)]) -> Option<u64> {
        let (stts, ctts) = (table(stts), table(ctts));
        let read = |body| Entries::read(body, 4, 8, "table").unwrap();
        edit.presented(frames, read(&stts), read(&ctts))
    }

    #[test]
    fn frames_before_and_after_the_edit_are_not_presented() {
        let edit = Edit::Span { start: 512, duration: 1024 };
        assert_eq!(presented(edit, 10, &[(10, 256)], &[]), Some(4));
    }

    #[test]
    fn composition_offsets_of_b_frames_move_frames_into_the_edit() {
        // Decode order I P B: composition times 512, 1280, 768 with a start at 512.
        let edit = Edit::Span { start: 512, duration: 768 };
        assert_eq!(presented(edit, 3, &[(3, 256)], &[(1, 512), (1, 1024), (1, 256)]), Some(2));
    }

    #[test]
    fn a_table_that_claims_four_billion_samples_is_counted_at_once() {
        let edit = Edit::Span { start: 5, duration: 1 << 40 };
        let frames = u64::from(u32::MAX);
        assert_eq!(presented(edit, frames, &[(u32::MAX, 1)], &[(u32::MAX, 0)]), Some(frames - 5));
    }

    #[test]
    fn an_edit_list_is_simple_when_one_edit_follows_empty_ones() {
        let entry = |duration: u32, time: i32, rate: u32| {
            [duration.to_be_bytes(), time.to_be_bytes(), rate.to_be_bytes()].concat()
        };
        let read = |entries: &[Vec<u8>]| {
            let body = [vec![0; 4], (entries.len() as u32).to_be_bytes().to_vec(), entries.concat()].concat();
            Edit::read(&body, 1000, 12_800)
        };
        let one = 0x1_0000;
        let span = Edit::Span { start: 1024, duration: 25_600 };
        assert_eq!(read(&[entry(2000, 1024, one)]), span);
        assert_eq!(read(&[entry(40, -1, one), entry(2000, 1024, one)]), span);
        assert_eq!(read(&[]), Edit::All);
        assert_eq!(read(&[entry(2000, 0, one), entry(2000, 1024, one)]), Edit::Other);
        assert_eq!(read(&[entry(2000, 0, one / 2)]), Edit::Other);
        assert_eq!(read(&[entry(0, 0, one)]), Edit::Other);
    }

    proptest! {
        #[test]
        fn counting_in_runs_equals_counting_one_by_one(
            stts in prop::collection::vec((0u32..4, 0u32..5), 0..6),
            ctts in prop::collection::vec((0u32..4, -6i32..6), 0..6),
            frames in 0u64..20, start in 0i64..30, duration in 1u64..30,
        ) {
            let ctts: Vec<_> = ctts.into_iter().map(|(n, offset)| (n, offset as u32)).collect();
            let expand = |runs: &[(u32, u32)]| -> Vec<u32> {
                runs.iter().flat_map(|&(n, value)| std::iter::repeat_n(value, n as usize)).collect()
            };
            let (deltas, offsets) = (expand(&stts), expand(&ctts));
            let last = stts.last().map_or(0, |&(_, delta)| delta);
            let mut time = 0_i64;
            let mut expected = 0;
            for i in 0..frames as usize {
                let at = time + i64::from(offsets.get(i).copied().unwrap_or(0) as i32);
                expected += u64::from(at >= start && at < start + duration as i64);
                time += i64::from(deltas.get(i).copied().unwrap_or(last));
            }
            let edit = Edit::Span { start, duration };
            prop_assert_eq!(presented(edit, frames, &stts, &ctts), Some(expected));
        }
    }
}
