//! What is verified: the named files, those in named directories, and standard input; on all cores.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError, mpsc};
use std::thread;

use adit_provenance::{Format, Verdict, Verifier};

use super::Judged;
use crate::failure::Failure;

/// Most bytes that are taken from standard input, which wait on disk until they are verified.
const LARGEST_STDIN: u64 = 4 << 30;
/// Most memory of the verifications that run at the same time, in bytes: twice what one can need.
const MEMORY: u64 = 1 << 30;

/// One thing to verify.
pub(super) enum Input {
    /// It was named.
    Named(PathBuf),
    /// It was in a directory, where what is no media is left alone.
    Found(PathBuf),
    Stdin(File),
    /// There is nothing to verify under this name.
    Missing(String, Failure),
}

impl Input {
    pub(super) fn name(&self) -> String {
        match self {
            Self::Named(path) | Self::Found(path) => path.display().to_string(),
            Self::Stdin(_) => "-".to_owned(),
            Self::Missing(name, _) => name.clone(),
        }
    }

    /// In bytes; 0 where it cannot be told.
    pub(super) fn size(&self) -> u64 {
        let metadata = match self {
            Self::Named(path) | Self::Found(path) => path.metadata(),
            Self::Stdin(file) => file.metadata(),
            Self::Missing(..) => return 0,
        };
        metadata.map_or(0, |metadata| metadata.len())
    }

    pub(super) fn verify(&self, verifier: &Verifier) -> Result<Verdict, Failure> {
        match self {
            Self::Named(path) | Self::Found(path) => verifier.verify_file(path).map_err(Failure::new),
            Self::Stdin(file) => verifier.verify(file).map_err(cannot_read_stdin),
            Self::Missing(_, why) => Err(why.clone()),
        }
    }

    /// Whether nobody meant this file.
    pub(super) fn is_no_media(&self, judged: &[Judged]) -> bool {
        matches!(self, Self::Found(_)) && judged.iter().all(|j| j.verdict.format == Format::Unknown)
    }
}

/// Everything that is named, in this order, directories sorted.
pub(super) fn find(named: &[PathBuf]) -> Vec<Input> {
    let mut inputs = Vec::new();
    let mut stdin_taken = false;
    for path in named {
        if path.as_os_str() == "-" {
            // It can be read once.
            if !std::mem::replace(&mut stdin_taken, true) {
                inputs.push(match spooled_stdin() {
                    Ok(file) => Input::Stdin(file),
                    Err(failure) => Input::Missing("-".to_owned(), failure),
                });
            }
        } else if path.is_dir() {
            let before = inputs.len();
            walk(path, &mut inputs);
            if inputs.len() == before {
                let failure = Failure::new(format!("there is no file in {}", path.display()));
                inputs.push(Input::Missing(path.display().to_string(), failure));
            }
        } else {
            inputs.push(Input::Named(path.clone()));
        }
    }
    inputs
}

/// Links to directories are not followed: they may lead in a circle.
fn walk(folder: &Path, inputs: &mut Vec<Input>) {
    let read = || -> io::Result<Vec<_>> {
        let mut entries: Vec<_> = std::fs::read_dir(folder)?.collect::<Result<_, _>>()?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        Ok(entries)
    };
    let entries = match read() {
        Ok(entries) => entries,
        Err(error) => {
            let name = folder.display().to_string();
            let failure = Failure::new(format!("cannot read {name}: {error}"));
            inputs.push(Input::Missing(name, failure));
            return;
        }
    };
    for entry in entries {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&path, inputs);
        } else if path.is_file() {
            inputs.push(Input::Found(path));
        }
    }
}

fn spooled_stdin() -> Result<File, Failure> {
    let mut file = tempfile::tempfile().map_err(cannot_read_stdin)?;
    let taken = io::copy(&mut io::stdin().lock().take(LARGEST_STDIN + 1), &mut file);
    if taken.map_err(cannot_read_stdin)? > LARGEST_STDIN {
        return Err(Failure::new(format!("standard input has more than {} GiB", LARGEST_STDIN >> 30)));
    }
    Ok(file)
}

fn cannot_read_stdin(error: io::Error) -> Failure {
    Failure::new(format!("cannot read standard input: {error}"))
}

/// Does `work` on every input, on all cores, and `done` with the results, here and in their order.
pub(super) fn in_order<R: Send>(
    inputs: &[Input],
    work: impl Fn(&Input) -> R + Sync,
    mut done: impl FnMut(&Input, R),
) {
    let next = AtomicUsize::new(0);
    let (sender, results) = mpsc::channel();
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        for _ in 0..cores.min(inputs.len()) {
            let (sender, next, work) = (sender.clone(), &next, &work);
            scope.spawn(move || {
                while let Some((index, input)) = {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    inputs.get(index).map(|input| (index, input))
                } {
                    if sender.send((index, work(input))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let mut early = BTreeMap::new();
        let mut turn = 0;
        for (index, result) in results {
            early.insert(index, result);
            while let Some(result) = early.remove(&turn) {
                done(&inputs[turn], result);
                turn += 1;
            }
        }
    });
}

/// Memory for the files that are verified at the same time.
pub(super) struct Room {
    free: Mutex<u64>,
    freed: Condvar,
}

impl Default for Room {
    fn default() -> Self {
        Self { free: Mutex::new(MEMORY), freed: Condvar::new() }
    }
}

impl Room {
    /// Waits until there is room for a file of so many bytes; the verifier holds half of [`MEMORY`] at most.
    pub(super) fn take(&self, bytes: u64) -> Held<'_> {
        let bytes = bytes.min(MEMORY / 2);
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let enough = self.freed.wait_while(free, |free| *free < bytes);
        *enough.unwrap_or_else(PoisonError::into_inner) -= bytes;
        Held { room: self, bytes }
    }
}

/// Room that is given back when this is dropped.
pub(super) struct Held<'room> {
    room: &'room Room,
    bytes: u64,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        *self.room.free.lock().unwrap_or_else(PoisonError::into_inner) += self.bytes;
        self.room.freed.notify_all();
    }
}
