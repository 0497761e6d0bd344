//! How many challenges are worked on at once, and how many may wait.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A turnstile with a short queue. Validators send one challenge an hour, so a long queue could
/// only fill with work whose deadline has passed.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    /// One permit for each challenge inside, working or waiting.
    inside: Arc<Semaphore>,
    working: Arc<Semaphore>,
    concurrency: usize,
    capacity: usize,
}

/// The right to work. Given back when dropped, also when the caller goes away.
#[derive(Debug)]
pub(crate) struct Turn {
    _inside: OwnedSemaphorePermit,
    _working: OwnedSemaphorePermit,
}

/// Nobody more may wait.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Admission {
    pub(crate) fn new(concurrency: usize, queue: usize) -> Self {
        let capacity = concurrency + queue;
        Self {
            inside: Arc::new(Semaphore::new(capacity)),
            working: Arc::new(Semaphore::new(concurrency)),
            concurrency,
            capacity,
        }
    }

    /// Waits for a turn, first come first served.
    pub(crate) async fn turn(&self) -> Result<Turn, Full> {
        let inside = Arc::clone(&self.inside).try_acquire_owned().map_err(|_| Full)?;
        // Neither semaphore is ever closed.
        let working = Arc::clone(&self.working).acquire_owned().await.map_err(|_| Full)?;
        Ok(Turn { _inside: inside, _working: working })
    }

    /// Challenges being worked on.
    pub(crate) fn working(&self) -> usize {
        self.concurrency - self.working.available_permits()
    }

    /// Challenges waiting for a turn.
    pub(crate) fn waiting(&self) -> usize {
        (self.capacity - self.inside.available_permits()).saturating_sub(self.working())
    }

    /// Most challenges that may be inside.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn beyond_the_queue_the_answer_is_full_at_once() {
        let admission = Admission::new(1, 1);
        let first = admission.turn().await.unwrap();
        let waiting = tokio::spawn({
            let admission = admission.clone();
            async move { admission.turn().await.is_ok() }
        });
        while admission.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(admission.turn().await.unwrap_err(), Full);
        drop(first);
        assert!(waiting.await.unwrap());
    }

    #[tokio::test]
    async fn a_waiter_that_leaves_gives_its_place_back() {
        let admission = Admission::new(1, 1);
        let _working = admission.turn().await.unwrap();
        let mut waiting = Box::pin(admission.turn());
        assert!(futures_util::poll!(&mut waiting).is_pending());
        assert_eq!(admission.waiting(), 1);
        drop(waiting);
        assert_eq!((admission.working(), admission.waiting()), (1, 0));
    }
}
