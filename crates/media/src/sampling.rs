//! Which frames of a clip are wanted, in whole numbers: the decoder and we must agree on every one.

use crate::{FrameRate, MediaError, mp4::gcd};

/// Which frames of a clip are wanted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sampling {
    /// All of them.
    Every,
    /// The frame nearest to each tick of a clock with this many ticks a second, by the clip's average rate;
    /// thousandths of a tick are kept. A clock as fast as the clip or faster means every frame, once.
    PerSecond(f64),
    /// Every frame whose index is a multiple of this number, from 1: the first one and, for 3, the fourth and
    /// the seventh.
    Nth(u32),
}

impl Sampling {
    /// # Errors
    /// `Unsupported` when the rate is not a positive number in the range that [`Plan`] can compute with, and
    /// for every 0th frame.
    pub(crate) fn check(self) -> Result<(), MediaError> {
        match self {
            Self::PerSecond(rate) if !(0.001..=1e6).contains(&rate) => {
                Err(MediaError::Unsupported(format!("a rate of {rate} frames a second")))
            }
            Self::Nth(0) => Err(MediaError::Unsupported("every 0th frame".to_owned())),
            _ => Ok(()),
        }
    }
}

/// The frames `n` for which a multiple of `2 * frames` lies in `(2n - 1) * ticks .. (2n + 1) * ticks`: those
/// nearest to a tick, where `frames / ticks` frames pass from one tick to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    frames: u64,
    ticks: u64,
}

impl Plan {
    const EVERY: Self = Self { frames: 1, ticks: 1 };

    /// # Errors
    /// As [`Sampling::check`].
    pub(crate) fn new(sampling: Sampling, clip: FrameRate) -> Result<Self, MediaError> {
        sampling.check()?;
        let rate = match sampling {
            Sampling::Every => return Ok(Self::EVERY),
            Sampling::PerSecond(rate) => rate,
            Sampling::Nth(frames) => return Ok(Self { frames: frames.into(), ticks: 1 }),
        };
        let thousandths = (rate * 1000.0).round() as u128;
        let (mut frames, mut ticks) = (u128::from(clip.num) * 1000, u128::from(clip.den) * thousandths);
        if frames <= ticks {
            // As fast as the clip, or the clip's rate is not known.
            return Ok(Self::EVERY);
        }
        let divisor = gcd(frames, ticks);
        (frames, ticks) = (frames / divisor, ticks / divisor);
        // The decoder computes in doubles: `(2n + 1) * ticks` must stay below 2^53 for a million frames.
        while ticks > 1 << 30 || frames > 1 << 50 {
            (frames, ticks) = (frames / 2, (ticks / 2).max(1));
        }
        Ok(Self { frames: frames as u64, ticks: ticks as u64 })
    }

    /// The decoder's filter that lets these frames pass; `None` for every frame.
    pub(crate) fn filter(self) -> Option<String> {
        let Self { frames, ticks } = self;
        (self != Self::EVERY)
            .then(|| format!("select='lt(mod((2*n+1)*{ticks}-1,{}),{})'", 2 * frames, 2 * ticks))
    }

    /// How many of a clip's first `frames` frames are wanted.
    pub(crate) fn count(self, frames: u64) -> u64 {
        match frames {
            0 => 0,
            frames => ((2 * frames - 1) * self.ticks).div_ceil(2 * self.frames),
        }
    }

    /// The frame nearest to tick `k`, by its position in the clip.
    pub(crate) fn index(self, k: u64) -> u64 {
        let (frames, ticks) = (u128::from(self.frames), u128::from(self.ticks));
        ((2 * u128::from(k) * frames + ticks) / (2 * ticks)) as u64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plan(rate: f64, num: u64, den: u64) -> Plan {
        Plan::new(Sampling::PerSecond(rate), FrameRate { num, den }).unwrap()
    }

    fn indices(plan: Plan, frames: u64) -> Vec<u64> {
        (0..plan.count(frames)).map(|k| plan.index(k)).collect()
    }

    #[test]
    fn a_clock_of_the_clips_rate_or_more_takes_every_frame_once() {
        for rate in [25.0, 30.0, 1000.0] {
            assert_eq!(plan(rate, 25, 1), Plan::EVERY);
        }
        assert_eq!(indices(Plan::EVERY, 4), [0, 1, 2, 3]);
        assert_eq!(plan(2.0, 0, 1), Plan::EVERY, "a clip of unknown rate");
    }

    #[test]
    fn a_slower_clock_takes_the_nearest_frames() {
        assert_eq!(indices(plan(5.0, 25, 1), 11), [0, 5, 10]);
        assert_eq!(indices(plan(10.0, 25, 1), 11), [0, 3, 5, 8, 10]);
        assert_eq!(indices(plan(1.0, 30_000, 1001), 100), [0, 30, 60, 90]);
        assert_eq!(indices(plan(0.5, 25, 1), 1), [0]);
    }

    #[test]
    fn a_rate_that_is_no_positive_number_is_refused() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-9] {
            let error = Plan::new(Sampling::PerSecond(rate), FrameRate { num: 25, den: 1 });
            assert!(matches!(error, Err(MediaError::Unsupported(_))), "{rate}");
        }
    }

    #[test]
    fn every_0th_frame_is_refused() {
        let error = Plan::new(Sampling::Nth(0), FrameRate { num: 25, den: 1 });
        assert!(matches!(error, Err(MediaError::Unsupported(_))));
    }

    /// What the decoder's filter lets pass of `frames` frames, computed as the decoder does, in doubles.
    fn selected(plan: Plan, frames: u64) -> Vec<u64> {
        let (a, b) = (plan.frames as f64, plan.ticks as f64);
        let passes = |n: &u64| {
            let x = (2.0 * *n as f64 + 1.0) * b - 1.0;
            x - (x / (2.0 * a)).floor() * (2.0 * a) < 2.0 * b
        };
        (0..frames).filter(passes).collect()
    }

    proptest! {
        #[test]
        fn the_decoders_filter_and_the_computed_indices_agree(
            rate in 0.01f64..80.0, num in 1u64..2_000_000_000, den in 1u64..100_000_000, frames in 1u64..3000
        ) {
            let plan = plan(rate, num, den);
            prop_assert_eq!(selected(plan, frames), indices(plan, frames));
        }

        #[test]
        fn every_nth_frame_is_the_same_whatever_the_clips_rate(
            n in 1u32.., num in 0u64..2_000_000_000, den in 1u64..100_000_000, frames in 0u64..3000
        ) {
            // Large strides give one frame; half of the cases take small ones.
            let n = if n % 2 == 0 { n } else { n % 40 + 1 };
            let plan = Plan::new(Sampling::Nth(n), FrameRate { num, den }).unwrap();
            prop_assert_eq!(indices(plan, frames), (0..frames).step_by(n as usize).collect::<Vec<_>>());
            prop_assert_eq!(selected(plan, frames), indices(plan, frames));
            prop_assert_eq!(plan == Plan::EVERY, n == 1);
        }
    }
}
