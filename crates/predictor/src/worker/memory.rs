//! Memory that a worker maps: pixels are written into it once, and read where they lie.
//!
//! A memfd, because `/dev/shm` has 64 MiB in most containers and a file in a temporary folder would reach the disk. It
//! has no name to be left behind: it is gone with the last process that has it open. A worker finds it below
//! `/proc`, which every language can open; an inherited descriptor would be inherited by other children too.
//! Here it is written to as a file, so nothing is mapped that another process could change.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use tokio::sync::Notify;
use tokio::task::yield_now;

/// A slot begins at a multiple of it, so that it can be mapped alone.
const PAGE: u64 = 4096;

/// Bytes that may wait for a worker: as many slots as fit, but never fewer or more than these. Two would do for a
/// worker that frees a slot before it asks for the next; a loop of Python does so only after.
const AHEAD: u64 = 16 << 20;
const FEWEST_SLOTS: u64 = 3;
const MOST_SLOTS: u64 = 8;

/// Bytes that are copied before others get a turn.
const PIECE: usize = 1 << 20;

/// A part of the memory that is written, announced, and free again when the worker says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    /// Never given twice.
    pub(super) id: u64,
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

impl Slot {
    fn end(&self) -> u64 {
        self.offset + self.bytes
    }
}

/// Which parts of the memory are in use.
#[derive(Debug, Default)]
struct Slots {
    /// By offset.
    live: Vec<Slot>,
    next: u64,
    /// Slots below it are known to the worker.
    announced: u64,
}

impl Slots {
    /// The first place where so many bytes fit. `None` while as many slots are held as a worker may hold.
    fn take(&mut self, bytes: u64) -> Option<Slot> {
        let most = (AHEAD / bytes.max(1)).clamp(FEWEST_SLOTS, MOST_SLOTS);
        if self.live.len() as u64 >= most {
            return None;
        }
        let mut offset = 0;
        let mut at = 0;
        for slot in &self.live {
            if slot.offset >= offset + bytes {
                break;
            }
            offset = slot.end().next_multiple_of(PAGE);
            at += 1;
        }
        let slot = Slot { id: self.next, offset, bytes };
        self.next += 1;
        self.live.insert(at, slot);
        Some(slot)
    }

    fn announce(&mut self, slot: Slot) {
        self.announced = slot.id + 1;
    }

    /// # Errors
    /// What is wrong with it, as a sentence.
    fn free(&mut self, id: u64) -> Result<(), String> {
        if id >= self.announced {
            return Err(format!("it freed slot {id}, which it was never given"));
        }
        let Some(at) = self.live.iter().position(|slot| slot.id == id) else {
            return Err(format!("it freed slot {id} when that was free already"));
        };
        self.live.remove(at);
        Ok(())
    }

    fn free_all(&mut self) {
        self.live.clear();
    }
}

/// The memory of one worker.
#[derive(Debug)]
pub(super) struct Memory {
    file: File,
    path: String,
    slots: Mutex<Slots>,
    freed: Notify,
}

impl Memory {
    pub(super) fn new() -> io::Result<Self> {
        let file = memfd_create("adit-frames", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        // A page that was cut off would kill whoever reads it.
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::SEAL)?;
        let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
        Ok(Self { file: file.into(), path, slots: Mutex::default(), freed: Notify::new() })
    }

    /// Where a worker can open it.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Waits for room. Cancel safe.
    pub(super) async fn take(&self, bytes: usize) -> io::Result<Slot> {
        loop {
            let slot = self.slots().take(bytes as u64);
            match slot {
                Some(slot) if slot.end() > self.file.metadata()?.len() => {
                    self.file.set_len(slot.end())?;
                    return Ok(slot);
                }
                Some(slot) => return Ok(slot),
                None => self.freed.notified().await,
            }
        }
    }

    /// Copies pixels to `at` bytes within a slot.
    pub(super) async fn write(&self, slot: Slot, at: usize, pixels: &[u8]) -> io::Result<()> {
        let mut offset = slot.offset + at as u64;
        for piece in pixels.chunks(PIECE) {
            self.file.write_all_at(piece, offset)?;
            offset += piece.len() as u64;
            yield_now().await;
        }
        Ok(())
    }

    /// From now on the worker may free the slot.
    pub(super) fn announce(&self, slot: Slot) {
        self.slots().announce(slot);
    }

    /// Takes back a slot that the worker has read.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence.
    pub(super) fn free(&self, id: u64) -> Result<(), String> {
        self.slots().free(id)?;
        self.freed.notify_one();
        Ok(())
    }

    /// Takes back everything: the request is answered.
    pub(super) fn free_all(&self) {
        self.slots().free_all();
    }

    /// How many slots are held.
    pub(super) fn held(&self) -> usize {
        self.slots().live.len()
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn slots_of_one_size_lie_side_by_side_and_are_used_again() {
        let mut slots = Slots::default();
        let taken: Vec<u64> = (0..3).map(|_| slots.take(10 << 20).unwrap().offset).collect();
        assert_eq!(taken, [0, 10 << 20, 20 << 20]);
        assert_eq!(slots.take(10 << 20), None, "three is all that a worker gets of 10 MiB");
        slots.announced = 3;
        slots.free(1).unwrap();
        assert_eq!(slots.take(10 << 20), Some(Slot { id: 3, offset: 10 << 20, bytes: 10 << 20 }));
    }

    #[test]
    fn a_slot_is_freed_once_and_only_when_it_was_announced() {
        let mut slots = Slots::default();
        let first = slots.take(5).unwrap();
        assert_eq!(slots.free(0), Err("it freed slot 0, which it was never given".to_owned()));
        slots.announce(first);
        slots.free(0).unwrap();
        assert_eq!(slots.free(0), Err("it freed slot 0 when that was free already".to_owned()));
        assert_eq!(slots.free(1), Err("it freed slot 1, which it was never given".to_owned()));
    }

    #[tokio::test]
    async fn what_is_written_is_read_by_whoever_opens_the_path() {
        let memory = Memory::new().unwrap();
        let (first, second) = (memory.take(6).await.unwrap(), memory.take(3).await.unwrap());
        memory.write(first, 0, b"abc").await.unwrap();
        memory.write(first, 3, b"def").await.unwrap();
        memory.write(second, 0, b"ghi").await.unwrap();
        let bytes = fs::read(memory.path()).unwrap();
        assert_eq!((&bytes[..6], &bytes[4096..]), (&b"abcdef"[..], &b"ghi"[..]));
        assert!(memory.file.set_len(0).is_err(), "it is sealed against shrinking");
        let path = memory.path().to_owned();
        drop(memory);
        assert!(!fs::read_link(path).is_ok_and(|target| target.to_string_lossy().contains("adit-frames")));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Take(u64),
        Announce,
        Free(u64),
        FreeAll,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => prop_oneof![1..100_u64, 1..20_000_000_u64].prop_map(Step::Take),
            6 => Just(Step::Announce),
            6 => (0..40_u64).prop_map(Step::Free),
            1 => Just(Step::FreeAll),
        ]
    }

    proptest! {
        #[test]
        fn no_two_slots_overlap_and_each_is_freed_at_most_once(steps in prop::collection::vec(step(), 0..120)) {
            let mut slots = Slots::default();
            // What a careful observer knows: slots that are held, and whether they were announced.
            let mut held: Vec<(Slot, bool)> = Vec::new();
            for step in steps {
                match step {
                    Step::Take(bytes) => match slots.take(bytes) {
                        Some(slot) => {
                            prop_assert!(slot.bytes == bytes && slot.offset.is_multiple_of(PAGE));
                            for (other, _) in &held {
                                prop_assert!(slot.end() <= other.offset || other.end() <= slot.offset);
                                prop_assert!(slot.id != other.id);
                            }
                            held.push((slot, false));
                        }
                        None => prop_assert!(held.len() as u64 >= FEWEST_SLOTS),
                    },
                    Step::Announce => {
                        if let Some((slot, _)) = held.iter().max_by_key(|(slot, _)| slot.id) {
                            slots.announce(*slot);
                            held.iter_mut().for_each(|(_, announced)| *announced = true);
                        }
                    }
                    Step::Free(id) => {
                        let known = held.iter().position(|(slot, announced)| slot.id == id && *announced);
                        prop_assert_eq!(slots.free(id).is_ok(), known.is_some());
                        if let Some(at) = known {
                            held.remove(at);
                        }
                    }
                    Step::FreeAll => {
                        slots.free_all();
                        held.clear();
                    }
                }
                prop_assert_eq!(slots.live.len(), held.len());
                prop_assert!(held.len() as u64 <= MOST_SLOTS);
                prop_assert!(slots.live.is_sorted_by_key(|slot| slot.offset));
            }
        }
    }
}
