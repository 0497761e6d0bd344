//! `adit journal`.

use std::io::{BufWriter, ErrorKind, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use adit_journal::record::{Challenge, EVENTS};
use adit_journal::{Entry, Find, OpenError, PRIVATE_TRACK, Reader};
use adit_settings::Environment;

use super::dashboard::data_folder;
use crate::cli::journal::ShowJournal;
use crate::failure::Failure;

pub(crate) fn run(env: &Environment, args: &ShowJournal) -> Result<ExitCode, Failure> {
    let folder = data_folder(env)?;
    let events = match &args.event {
        Some(event) if !EVENTS.contains(&event.as_str()) => {
            return Err(Failure::new(format!("there is no event `{event}`"))
                .hint(format!("events are {}", EVENTS.join(", "))));
        }
        Some(event) => vec![event.as_str()],
        None => EVENTS.to_vec(),
    };
    let file = folder.join(args.miner.file());
    let Some(reader) = open(&file)? else {
        eprintln!("nothing is recorded at {} yet", file.display());
        return Ok(ExitCode::SUCCESS);
    };
    let from_ms = args.since_days.map(|days| days_ago(SystemTime::now(), days));
    let mut out = BufWriter::new(std::io::stdout().lock());
    let entries = match args.after {
        Some(id) => reader.after(id, args.limit).map_err(Failure::new)?,
        None => newest(&reader, &events, args.limit, from_ms)?,
    };
    for entry in entries {
        match out.write_all(entry.to_line().map_err(Failure::new)?.as_bytes()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
            written => written?,
        }
    }
    match out.flush() {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// `None` where there is no file.
fn open(file: &Path) -> Result<Option<Reader>, Failure> {
    match Reader::open(file) {
        Ok(reader) => Ok(Some(reader)),
        Err(OpenError::File { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::new(error)),
    }
}

/// The newest entries of several events, the oldest first.
fn newest(reader: &Reader, events: &[&str], limit: u32, from_ms: Option<i64>) -> Result<Vec<Entry>, Failure> {
    let mut entries = Vec::new();
    for event in events {
        let find = Find { from_ms, limit, ..Find::event(event) };
        entries.extend(reader.find(&find).map_err(Failure::new)?);
    }
    entries.sort_by_key(|entry| entry.id);
    let surplus = entries.len().saturating_sub(limit as usize);
    entries.drain(..surplus);
    Ok(entries)
}

fn days_ago(now: SystemTime, days: u32) -> i64 {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let from = since.saturating_sub(Duration::from_secs(u64::from(days) * 86_400));
    i64::try_from(from.as_millis()).unwrap_or(i64::MAX)
}

/// The recorded challenge with this number on this host.
pub(super) fn challenge(env: &Environment, number: i64) -> Result<Challenge, Failure> {
    let file = data_folder(env)?.join(PRIVATE_TRACK);
    let shown = file.display();
    let none = || {
        Failure::new(format!("{shown} has no challenge with the number {number}"))
            .hint("`adit journal --event challenge` lists those that there are, each with its `id`")
    };
    let reader = open(&file)?.ok_or_else(none)?;
    reader.entry(number).map_err(Failure::new)?.and_then(|entry| entry.read()).ok_or_else(none)
}
