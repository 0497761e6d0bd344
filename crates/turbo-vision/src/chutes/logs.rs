//! Event streams: what instances and builds write, line by line. A stream that breaks off is taken up again where it was;
//! none goes on after the caller's time.

use std::collections::VecDeque;

use adit_outbound::{Download, FetchError};
use serde_json::Value;
use tokio::time::{Duration, Instant, sleep_until, timeout};

use super::api::{escaped, pause};
use super::{Api, Cause, ChutesError};

/// Longest line that is kept, in bytes; the rest of a longer one is left out.
const LINE: usize = 64 * 1024;
/// Longest silence before a stream is begun anew: an instance may have nothing to say, and a dead connection too.
const IDLE: Duration = Duration::from_secs(60);
/// Lines that are remembered, to find where a stream that broke off goes on.
const SEEN: usize = 1000;
/// The old lines are over when nothing came for this long.
const QUIET: Duration = Duration::from_millis(500);
/// The old lines are over by now at the latest.
const OLD_LINES: Duration = Duration::from_secs(5);
/// How often in a row a stream may be begun without a new line.
const FAILURES: u32 = 6;

/// Cuts bytes into lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    begun: Vec<u8>,
    pub(super) whole: VecDeque<String>,
}

impl Lines {
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = LINE.saturating_sub(self.begun.len());
            self.begun.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                self.end();
            }
        }
    }

    /// What has no end of line yet is one all the same.
    pub(super) fn end(&mut self) {
        let line = std::mem::take(&mut self.begun);
        self.whole.push_back(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned());
    }
}

/// An open stream.
#[derive(Debug)]
pub(super) struct Events {
    download: Download,
    lines: Lines,
}

impl Events {
    pub(super) fn new(download: Download) -> Self {
        Self { download, lines: Lines::default() }
    }

    fn is_plain(&self) -> bool {
        self.download.content_type().is_some_and(|kind| kind.starts_with("text/plain"))
    }

    /// The next line; `None` after the last. Cancel safe.
    async fn line(&mut self) -> Result<Option<String>, FetchError> {
        loop {
            if let Some(line) = self.lines.whole.pop_front() {
                return Ok(Some(line));
            }
            match self.download.chunk().await? {
                Some(bytes) => self.lines.feed(&bytes),
                None if self.lines.begun.is_empty() => return Ok(None),
                None => self.lines.end(),
            }
        }
    }

    /// The data of the next event; `None` after the last. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Option<String>, FetchError> {
        while let Some(line) = self.line().await? {
            if let Some(data) = line.strip_prefix("data:").map(str::trim)
                && !data.is_empty()
            {
                return Ok(Some(data.to_owned()));
            }
        }
        Ok(None)
    }
}

/// What an instance writes: [`Api::instance_logs`].
#[derive(Debug)]
pub struct InstanceLogs<'a> {
    api: &'a Api,
    instance: String,
    backfill: u32,
    until: Instant,
    events: Option<Events>,
    /// The old lines of a stream that was taken up again, until it is known which of them are new.
    old: Option<Old>,
    ready: VecDeque<String>,
    seen: VecDeque<String>,
    was_open: bool,
    failures: u32,
}

#[derive(Debug)]
struct Old {
    lines: Vec<String>,
    most: usize,
    until: Instant,
}

impl<'a> InstanceLogs<'a> {
    pub(super) fn new(api: &'a Api, instance: &str, backfill: u32, until: Instant) -> Self {
        Self {
            api,
            instance: instance.to_owned(),
            backfill: backfill.min(10_000),
            until,
            events: None,
            old: None,
            ready: VecDeque::new(),
            seen: VecDeque::new(),
            was_open: false,
            failures: 0,
        }
    }

    /// The next line; `None` once the instance is gone or the time has come. When a stream breaks off, up to 1000 lines are
    /// made up for; only of lines that repeat themselves one may be missing or come twice then. Cancel safe.
    ///
    /// # Errors
    /// [`Cause::NotFound`] where there never was such an instance, [`Cause::Forbidden`] for a chute that is public or
    /// another's, or what any call can meet six times in a row.
    pub async fn next(&mut self) -> Result<Option<String>, ChutesError> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                self.failures = 0;
                self.seen.push_back(line.clone());
                if self.seen.len() > SEEN {
                    self.seen.pop_front();
                }
                return Ok(Some(line));
            }
            if Instant::now() >= self.until {
                return Ok(None);
            }
            let Some(events) = &mut self.events else {
                if self.begin().await? { continue } else { return Ok(None) }
            };
            let event = match &self.old {
                None => events.next().await,
                Some(old) => {
                    let over = (Instant::now() + QUIET).min(old.until);
                    match timeout(over.saturating_duration_since(Instant::now()), events.next()).await {
                        Ok(event) => event,
                        Err(_) => {
                            self.settle();
                            continue;
                        }
                    }
                }
            };
            match event {
                Ok(Some(data)) => self.take(written(&data)),
                // Silence is no failure: the stream is begun anew to see whether anybody is there.
                Err(FetchError::Idle { .. }) => self.close(),
                Ok(None) | Err(_) => {
                    self.close();
                    if self.ready.is_empty() {
                        self.failures += 1;
                    }
                }
            }
        }
    }

    /// Begins the stream; `false` where the instance is gone or the time has come.
    async fn begin(&mut self) -> Result<bool, ChutesError> {
        let doing = format!("read the logs of the instance {}", self.instance);
        loop {
            if self.failures > 0 {
                if self.failures >= FAILURES {
                    let why = "breaks off again and again without a new line".to_owned();
                    return Err(ChutesError::new(doing, Cause::Unreadable { status: 200, why }));
                }
                sleep_until(self.until.min(Instant::now() + pause(self.failures))).await;
            }
            if Instant::now() >= self.until {
                return Ok(false);
            }
            let most = if self.was_open { SEEN } else { self.backfill as usize };
            let path = format!("/instances/{}/logs?backfill={most}", escaped(&self.instance));
            match self.api.open(&path, "logs", self.until, IDLE).await {
                Ok(events) => {
                    self.events = Some(events);
                    let until = Instant::now() + OLD_LINES;
                    self.old = self.was_open.then(|| Old { lines: Vec::new(), most, until });
                    self.was_open = true;
                    return Ok(true);
                }
                Err(Cause::NotFound { .. }) if self.was_open => return Ok(false),
                Err(cause) => {
                    if Instant::now() >= self.until {
                        return Ok(false);
                    }
                    let passing = matches!(
                        cause,
                        Cause::NoAnswer { .. } | Cause::Service { .. } | Cause::RateLimited { .. }
                    );
                    self.failures += 1;
                    if !passing || self.failures >= FAILURES {
                        return Err(ChutesError::new(doing, cause));
                    }
                }
            }
        }
    }

    fn take(&mut self, line: String) {
        match &mut self.old {
            None => self.ready.push_back(line),
            Some(old) => {
                old.lines.push(line);
                if old.lines.len() >= old.most || Instant::now() >= old.until {
                    self.settle();
                }
            }
        }
    }

    /// The old lines are there: those that were seen are left out.
    fn settle(&mut self) {
        if let Some(old) = self.old.take() {
            let known = overlap(self.seen.make_contiguous(), &old.lines);
            self.ready.extend(old.lines.into_iter().skip(known));
        }
    }

    fn close(&mut self) {
        self.settle();
        self.events = None;
    }
}

/// How many lines at the beginning of `old` were seen, the last of them being the last of `seen`. Where several answers
/// fit, the one that the most lines speak for, then the smallest.
fn overlap(seen: &[String], old: &[String]) -> usize {
    let mut best = (0, 0);
    for end in 1..=old.len() {
        let length = seen.len().min(end);
        if length > best.0 && seen[seen.len() - length..] == old[end - length..end] {
            best = (length, end);
        }
    }
    best.1
}

/// The text in `{"log": …}`, or the data as they are.
fn written(data: &str) -> String {
    let json: Value = serde_json::from_str(data).unwrap_or_default();
    match &json["log"] {
        Value::String(text) => text.trim_end().to_owned(),
        Value::Object(log) => match log.get("log") {
            Some(Value::String(text)) => text.trim_end().to_owned(),
            _ => data.to_owned(),
        },
        _ => data.to_owned(),
    }
}

/// What the build of an image writes: [`Api::build_log`].
#[derive(Debug)]
pub struct BuildLog<'a> {
    api: &'a Api,
    image: String,
    until: Instant,
    events: Option<Events>,
    /// Where a stream that broke off goes on.
    offset: Option<String>,
    /// Lines that were handed out.
    given: usize,
    failures: u32,
    over: bool,
}

impl<'a> BuildLog<'a> {
    pub(super) fn new(api: &'a Api, image: &str, until: Instant) -> Self {
        let image = image.to_owned();
        Self { api, image, until, events: None, offset: None, given: 0, failures: 0, over: false }
    }

    /// The next line; `None` after the last or when the time has come. Cancel safe.
    ///
    /// # Errors
    /// [`Cause::NotFound`] where there is no such image, or what any call can meet six times in a row.
    pub async fn next(&mut self) -> Result<Option<String>, ChutesError> {
        let doing =
            |cause| ChutesError::new(format!("read the build log of the image {}", self.image), cause);
        while !self.over && Instant::now() < self.until {
            let problem = match &mut self.events {
                Some(events) => match events.line().await {
                    Ok(Some(line)) if events.is_plain() => {
                        self.given += 1;
                        return Ok(Some(line));
                    }
                    Ok(Some(line)) if line.starts_with("DONE") => {
                        self.over = true;
                        continue;
                    }
                    Ok(Some(line)) => {
                        let Some(data) = line.strip_prefix("data:").map(str::trim) else { continue };
                        let event: Value = serde_json::from_str(data).unwrap_or_default();
                        if let Some(offset) = event["offset"].as_str() {
                            self.offset = Some(offset.to_owned());
                        }
                        self.failures = 0;
                        self.given += 1;
                        return Ok(Some(written(data)));
                    }
                    Ok(None) if events.is_plain() => {
                        self.over = true;
                        continue;
                    }
                    Ok(None) => None,
                    Err(error) => Some(Cause::no_answer(error, true)),
                },
                None => {
                    let from = self.offset.as_ref().map(|offset| format!("?offset={}", escaped(offset)));
                    let path = format!("/images/{}/logs{}", escaped(&self.image), from.unwrap_or_default());
                    match self.api.open(&path, "images", self.until, IDLE).await {
                        Ok(mut events) => {
                            // A log in one piece begins at the beginning, whatever was read of it as a stream.
                            for _ in 0..if events.is_plain() { self.given } else { 0 } {
                                if !matches!(events.line().await, Ok(Some(_))) {
                                    break;
                                }
                            }
                            self.events = Some(events);
                            continue;
                        }
                        Err(cause) => Some(cause),
                    }
                }
            };
            self.events = None;
            self.failures += 1;
            if let Some(cause) = problem {
                let passing = matches!(
                    cause,
                    Cause::NoAnswer { .. } | Cause::Service { .. } | Cause::RateLimited { .. }
                );
                if Instant::now() < self.until && (!passing || self.failures >= FAILURES) {
                    return Err(doing(cause));
                }
            } else if self.failures >= FAILURES {
                let why = "breaks off again and again without a new line".to_owned();
                return Err(doing(Cause::Unreadable { status: 200, why }));
            }
            sleep_until(self.until.min(Instant::now() + pause(self.failures))).await;
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(text: &str) -> Vec<String> {
        text.chars().map(String::from).collect()
    }

    #[test]
    fn what_was_seen_is_found_at_the_beginning_of_what_comes_again() {
        for (seen, old, known) in [
            ("abc", "abcde", 3),
            ("abc", "cde", 1),
            ("bc", "abcde", 3),
            ("abc", "xyz", 0),
            ("", "abc", 0),
            ("abc", "", 0),
            ("aaa", "aaaaa", 3),
            ("ababab", "ababcab", 4),
        ] {
            assert_eq!(overlap(&lines(seen), &lines(old)), known, "{seen} {old}");
        }
    }

    proptest! {
        /// Wherever a log was begun and broke off: lines that differ are neither lost nor doubled.
        #[test]
        fn no_line_is_lost(length in 0_usize..40, from in 0_usize..40, cut in 0_usize..40, again in 1_usize..50) {
            let log: Vec<String> = (0..length).map(|number| number.to_string()).collect();
            let from = from.min(length);
            let cut = cut.clamp(from, length);
            let start = length.saturating_sub(again);
            let known = if from < cut { cut.saturating_sub(start) } else { 0 };
            prop_assert_eq!(overlap(&log[from..cut], &log[start..]), known);
        }

        #[test]
        fn lines_do_not_depend_on_the_pieces(text in "[a-c\r\n]{0,40}", at in 0_usize..40) {
            let bytes = text.as_bytes();
            let at = at.min(bytes.len());
            let (mut whole, mut pieces) = (Lines::default(), Lines::default());
            whole.feed(bytes);
            pieces.feed(&bytes[..at]);
            pieces.feed(&bytes[at..]);
            prop_assert_eq!(whole.whole, pieces.whole);
        }
    }
}
