//! The time, as tasks measure it.

use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};

use super::machine::{Day, UnixMs};

/// The wall clock as it was when the store was opened, and the time since then by a clock that never jumps (and
/// goes on while the machine sleeps). So whoever sets the clock neither ends tasks before their time nor has them
/// wait.
#[derive(Debug)]
pub(super) struct Clock {
    /// From the steady clock's time to the wall clock's.
    offset_ms: i64,
    #[cfg(test)]
    pub(super) ahead_ms: std::sync::atomic::AtomicI64,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self {
            offset_ms: wall_ms() - steady_ms(),
            #[cfg(test)]
            ahead_ms: std::sync::atomic::AtomicI64::new(0),
        }
    }

    pub(super) fn now(&self) -> UnixMs {
        #[cfg(test)]
        return steady_ms() + self.offset_ms + self.ahead_ms.load(std::sync::atomic::Ordering::SeqCst);
        #[cfg(not(test))]
        return steady_ms() + self.offset_ms;
    }

    /// The day on the wall clock: a budget is the operator's, and follows it.
    pub(super) fn today() -> Day {
        Day::of(wall_ms())
    }
}

fn wall_ms() -> i64 {
    ms(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

fn steady_ms() -> i64 {
    let now = clock_gettime(ClockId::Boottime);
    now.tv_sec * 1000 + now.tv_nsec / 1_000_000
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
