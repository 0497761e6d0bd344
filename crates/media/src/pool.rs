//! Buffers of pixels that are used again: a fresh one for each frame costs its page faults each time.

use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex},
};

use bytes::Bytes;

/// Buffers of one size. What is taken comes back when its last holder drops it.
#[derive(Debug)]
pub(crate) struct Pool {
    bytes: usize,
    free: Free,
}

/// The buffers that nobody holds, and how many of them are worth keeping.
#[derive(Debug, Clone)]
struct Free {
    buffers: Arc<Mutex<Vec<Vec<u8>>>>,
    most: usize,
}

impl Pool {
    /// Over buffers of so many bytes, of which at most `most` are kept for later.
    pub(crate) fn new(bytes: usize, most: usize) -> Self {
        Self { bytes, free: Free { buffers: Arc::default(), most } }
    }

    /// A buffer with any content.
    pub(crate) fn take(&self) -> Buffer {
        let kept = self.free.buffers.lock().ok().and_then(|mut buffers| buffers.pop());
        Buffer { bytes: kept.unwrap_or_else(|| vec![0; self.bytes]), free: self.free.clone() }
    }
}

/// A buffer that goes back to its pool when dropped.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    free: Free,
}

impl Buffer {
    /// To be shared and read.
    pub(crate) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Ok(mut buffers) = self.free.buffers.lock()
            && buffers.len() < self.free.most
        {
            buffers.push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_when_its_last_holder_drops_it() {
        let pool = Pool::new(10, 4);
        let frame = pool.take().freeze();
        let (place, other) = (frame.as_ptr(), frame.clone());
        drop(frame);
        assert_ne!(pool.take().as_ptr(), place, "it is still held");
        drop(other);
        assert_eq!(pool.take().as_ptr(), place);
    }

    #[test]
    fn no_more_is_kept_than_is_worth_it() {
        let pool = Pool::new(10, 2);
        drop((0..5).map(|_| pool.take()).collect::<Vec<_>>());
        assert_eq!(pool.free.buffers.lock().unwrap().len(), 2);
    }

    #[test]
    fn a_buffer_may_outlive_its_pool() {
        let pool = Pool::new(3, 1);
        let mut buffer = pool.take();
        buffer.copy_from_slice(b"abc");
        drop(pool);
        assert_eq!(buffer.freeze(), &b"abc"[..]);
    }
}
