//! The journal of the miner that `sv deploy-pt-miner` started. It is in the container's volume and in use, so the program in
//! the container is asked for it; and while somebody looks at this host's miners, what is new in it is brought into this
//! host's journal.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use adit_dashboard::Sources;
use adit_docker::{Engine, Found};
use adit_journal::record::Started;
use adit_journal::{Entry, Lines, MAX_LINE, PRIVATE_TRACK, Place, Reader};
use adit_private_track::deployment::MINER_LABEL;
use adit_settings::{Environment, var};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::dashboard::data_folder;
use crate::failure::Failure;

/// Longest wait for the program in the container, and about how long is brought at a time: the next time goes on from there.
const READ: Duration = Duration::from_secs(10);
const AT_A_TIME: Duration = Duration::from_secs(5);
/// How often it is asked for what is new; and again after it could not be.
const EVERY: Duration = Duration::from_secs(3);
const AFTER_FAILURE: Duration = Duration::from_secs(60);
/// Entries that are brought at once, and most bytes of them as lines.
const AT_ONCE: u32 = 100;
const LARGEST: usize = AT_ONCE as usize * 2 * MAX_LINE;
/// Bytes of entries that the writer's queue surely takes.
const QUEUED: usize = 8 << 20;

/// What `adit journal private-track` with these arguments prints in a container that runs, at most `most` bytes, within `time`.
pub(super) async fn printed(
    engine: &Engine,
    miner: &Found,
    arguments: &[&str],
    most: usize,
    time: Duration,
) -> Result<Vec<u8>, Failure> {
    let failed = |why: &str| Failure::new(format!("the journal of {} cannot be read: {why}", miner.name));
    let command = [&["adit", "journal", "private-track"], arguments].concat();
    // The file is its user's alone, and the container's root may have been left without the power to read it all the same.
    let user = engine.variable(&miner.id, var::RUN_AS.name).await?.filter(|user| !user.is_empty());
    let said = engine.exec(&miner.id, user.as_deref(), &command, most, Instant::now() + time).await;
    let said = said.map_err(|error| failed(&error.to_string()))?;
    match said.exit_code {
        0 => Ok(said.stdout),
        _ if said.is_missing() => Err(failed("it has no program `adit`")),
        // clap's code for what it does not know.
        2 => Err(failed("its `adit` is of a version that does not print it so")),
        _ => Err(failed(said.stderr.lines().next().unwrap_or("it says nothing"))),
    }
}

/// This host's journals, to which is brought what its miner in a container records, each time that somebody looks.
pub(super) fn sources(env: &Environment) -> Result<Arc<Sources>, Failure> {
    let folder = data_folder(env)?;
    Ok(match LiveJournal::from_settings(env)? {
        None => Sources::new(folder),
        Some(live) => {
            let live = Arc::new(live);
            Sources::asking(folder, move || {
                let live = Arc::clone(&live);
                tokio::spawn(async move { live.bring().await });
            })
        }
    })
}

/// The same for who looks once: it has been brought.
pub(super) async fn sources_once(env: &Environment) -> Result<Arc<Sources>, Failure> {
    if let Some(live) = LiveJournal::from_settings(env)? {
        live.bring().await;
    }
    Ok(Sources::new(data_folder(env)?))
}

/// Brings what the container's journal has and this host's has not.
struct LiveJournal {
    host: Option<String>,
    port: u16,
    place: Place,
    /// Up to which entry it has been brought.
    mark: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    engine: Option<Engine>,
    not_before: Option<Instant>,
    complained: bool,
}

impl LiveJournal {
    /// `None` where no record is kept here, or there is no engine.
    fn from_settings(env: &Environment) -> Result<Option<Self>, Failure> {
        let host = env.text(&var::DOCKER_HOST)?.map(str::to_owned);
        if host.is_none() && Engine::default_host().is_none() {
            return Ok(None);
        }
        let Some(place) = Place::from_settings(env, PRIVATE_TRACK)? else { return Ok(None) };
        let port = env.parsed(&var::MINER_PORT, "a port from 0 to 65535")?;
        let mark = place.path.with_file_name(format!("pt-miner-{port}.read"));
        Ok(Some(Self { host, port, place, mark, state: Mutex::default() }))
    }

    /// Brings what is new, unless that was done within the last 3 s. That it fails is said once in the log.
    async fn bring(&self) {
        // Where it is under way already, that is enough.
        let Ok(mut state) = self.state.try_lock() else { return };
        if state.not_before.is_some_and(|at| Instant::now() < at) {
            return;
        }
        let brought = self.bring_from(&mut state.engine).await;
        state.not_before = Some(Instant::now() + if brought.is_ok() { EVERY } else { AFTER_FAILURE });
        match brought {
            Ok(()) => state.complained = false,
            Err(error) => {
                state.engine = None;
                // Nothing that a terminal of `adit top` is to be disturbed for.
                if !std::mem::replace(&mut state.complained, true) {
                    tracing::info!("what a miner in a container records is not shown: {error}");
                }
            }
        }
    }

    async fn bring_from(&self, engine: &mut Option<Engine>) -> Result<(), Failure> {
        let engine = match engine {
            Some(engine) => engine,
            None => engine.insert(Engine::connect(self.host.as_deref()).await?),
        };
        let miners = engine.containers(MINER_LABEL, &self.port.to_string()).await?;
        let Some(miner) = miners.iter().find(|one| one.active) else { return Ok(()) };
        let Some(mark) = Mark::locked(&self.mark)? else { return Ok(()) };
        let until = Instant::now() + AT_A_TIME;
        loop {
            let last = mark.read()?;
            // The last one once more, to see that it is still the same journal.
            let after = last.map_or(0, |(id, _)| id - 1).to_string();
            let arguments = ["--after", &after, "--limit", &AT_ONCE.to_string()];
            let lines = printed(engine, miner, &arguments, LARGEST, READ).await?;
            let entries = Lines::new(lines.as_slice()).collect::<io::Result<Vec<_>>>()?;
            let whole = entries.len() >= AT_ONCE as usize;
            let Some(entries) = news(last, entries) else {
                mark.write(None)?;
                continue;
            };
            let Some(newest) = entries.last().map(|entry| (entry.id, entry.at_ms)) else { return Ok(()) };
            let (place, port) = (self.place.clone(), self.port);
            let copying = tokio::task::spawn_blocking(move || copy(&place, port, &entries));
            copying.await.map_err(Failure::new)??;
            mark.write(Some(newest))?;
            if !whole || Instant::now() >= until {
                return Ok(());
            }
        }
    }
}

/// What is new among the entries from the last one on that was brought. `None` where that one is not of this journal: then all
/// of it is new.
fn news(last: Option<(i64, i64)>, mut entries: Vec<Entry>) -> Option<Vec<Entry>> {
    let Some((id, at_ms)) = last else { return Some(entries) };
    let first = entries.first()?;
    if first.id <= id {
        if (first.id, first.at_ms) != (id, at_ms) {
            return None;
        }
        entries.remove(0);
    }
    // Else it has been dropped for its age.
    Some(entries)
}

/// Waits until they are written, as far as the disk takes them. Where an operator has mounted the container's folder as this
/// host's, both are one file, and there is nothing to copy.
fn copy(place: &Place, port: u16, entries: &[Entry]) -> Result<(), Failure> {
    if entries.first().is_some_and(|first| is_here(&place.path, first)) {
        return Ok(());
    }
    let mut left = entries;
    while !left.is_empty() {
        let journal = place.open().ok_or_else(|| Failure::new("this host's journal cannot be written"))?;
        let mut bytes = 0;
        while let Some((entry, rest)) = left.split_first().filter(|_| bytes < QUEUED) {
            bytes += entry.fields.get().len();
            left = rest;
            // Where it listens in the container is nowhere here.
            if let Some(started) = entry.read::<Started>() {
                let address = format!("127.0.0.1:{port}");
                journal.record_at(entry.at_ms, &Started { address, ..started });
            } else {
                journal.copy(entry);
            }
        }
    }
    Ok(())
}

/// Whether this host's journal has that very entry.
fn is_here(path: &Path, entry: &Entry) -> bool {
    let found = Reader::open(path).ok().and_then(|reader| reader.entry(entry.id).ok().flatten());
    found.is_some_and(|found| found.at_ms == entry.at_ms && found.fields.get() == entry.fields.get())
}

/// The number and the time of the last entry that was brought, in a file that one process has at a time.
struct Mark(File);

impl Mark {
    /// `None` where another process is at it.
    fn locked(path: &Path) -> io::Result<Option<Self>> {
        if let Some(folder) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self(file))),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// `None` at first, and where it is not to be understood.
    fn read(&self) -> io::Result<Option<(i64, i64)>> {
        let mut bytes = [0; 64];
        let length = self.0.read_at(&mut bytes, 0)?;
        let text = std::str::from_utf8(&bytes[..length]).unwrap_or_default();
        let numbers = text.lines().next().and_then(|line| line.split_once(' '));
        Ok(numbers.and_then(|(id, at_ms)| Some((id.parse().ok()?, at_ms.parse().ok()?))))
    }

    fn write(&self, last: Option<(i64, i64)>) -> io::Result<()> {
        let line = last.map_or_else(|| "\n".to_owned(), |(id, at_ms)| format!("{id} {at_ms}\n"));
        self.0.write_all_at(line.as_bytes(), 0)
    }
}

#[cfg(test)]
mod tests {
    use adit_journal::Limits;
    use adit_journal::record::Stopped;

    use super::*;

    fn started() -> Started {
        Started {
            version: "0.1.0".to_owned(),
            pid: 1,
            address: String::new(),
            hotkey: None,
            netuid: Some(44),
            works_by: Vec::new(),
            image: None,
            daily_budget_micro_usd: None,
            warnings: Vec::new(),
        }
    }

    #[test]
    fn what_is_new_follows_the_last_and_another_journal_is_new_as_a_whole() {
        let entry = |id| Entry {
            id,
            at_ms: 100 * id,
            event: "stopped".to_owned(),
            key: None,
            who: None,
            outcome: None,
            fields: serde_json::value::RawValue::from_string("{}".to_owned()).unwrap(),
        };
        let new = |last, ids: &[i64]| {
            let entries = ids.iter().copied().map(entry).collect();
            news(last, entries).map(|new| new.iter().map(|one| one.id).collect::<Vec<_>>())
        };
        assert_eq!(new(None, &[1, 2]), Some(vec![1, 2]));
        assert_eq!(new(Some((2, 200)), &[2, 3, 4]), Some(vec![3, 4]));
        assert_eq!(new(Some((2, 200)), &[2]), Some(vec![]));
        assert_eq!(new(Some((2, 200)), &[7, 8]), Some(vec![7, 8]));
        assert_eq!(new(Some((2, 199)), &[2, 3]), None);
        assert_eq!(new(Some((2, 200)), &[]), None);
    }

    #[test]
    fn what_is_copied_says_where_it_listens_here_and_a_file_is_not_copied_into_itself() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| Place { path: folder.path().join(name), limits: Limits::default() };
        let started = |address: &str| Started { address: address.to_owned(), ..started() };
        let all = |place: &Place| Reader::open(&place.path).unwrap().after(0, 100).unwrap();
        let (there, here) = (place("there.sqlite"), place("here.sqlite"));
        let journal = there.open().unwrap();
        journal.record(&started("0.0.0.0:8000"));
        journal.record(&Stopped { reason: None });
        drop(journal);
        copy(&here, 9000, &all(&there)).unwrap();
        let copied = all(&here);
        assert_eq!(copied[0].read(), Some(started("127.0.0.1:9000")));
        assert_eq!((copied.len(), copied[1].read()), (2, Some(Stopped { reason: None })));
        copy(&here, 9000, &copied).unwrap();
        assert_eq!(all(&here).len(), 2);
    }

    #[test]
    fn a_mark_is_what_was_written_last_and_one_process_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mark");
        let mark = Mark::locked(&path).unwrap().unwrap();
        assert!(Mark::locked(&path).unwrap().is_none());
        assert_eq!(mark.read().unwrap(), None);
        for last in [Some((120_000, 1_700_000_000_000)), Some((7, 5)), None, Some((8, -1))] {
            mark.write(last).unwrap();
            assert_eq!(mark.read().unwrap(), last);
        }
        drop(mark);
        assert_eq!(Mark::locked(&path).unwrap().unwrap().read().unwrap(), Some((8, -1)));
        std::fs::write(&path, "not one").unwrap();
        assert_eq!(Mark::locked(&path).unwrap().unwrap().read().unwrap(), None);
    }
}
