//! Whether anybody is here: requests under way, and when the last one ended.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

#[derive(Debug)]
pub(crate) struct Activity {
    state: Mutex<(usize, Instant)>,
}

impl Activity {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::new((0, Instant::now())) })
    }

    /// Somebody is here until it is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> Busy {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0 += 1;
        Busy(Arc::clone(self))
    }

    /// Ready when nobody has been here for so long.
    pub(crate) async fn idle(&self, long: Duration) {
        loop {
            let (busy, last) = *self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let until = if busy == 0 { last + long } else { Instant::now() + long };
            if busy == 0 && until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }
}

pub(crate) struct Busy(Arc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = (state.0.saturating_sub(1), Instant::now());
    }
}
