//! `/validators`: who asks, how often, how it ended, and who was refused.

use std::collections::BTreeMap;

use adit_journal::Tally;
use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use serde_json::json;

use super::{Query, Room, Visit, page, text, unread};
use crate::Miner;
use crate::server::Shared;
use crate::server::export::{self, Columns, Row};

const HOUR_MS: i64 = 3_600_000;
/// Most rows of the page; a file has them all.
const MOST: usize = 200;
const COLUMNS: Columns = &[
    "validator",
    "miner",
    "requests",
    "outcomes",
    "dialects",
    "mean_ms",
    "last_seen",
    "refused",
    "refusals",
];
/// How a task ends; its other steps are not requests' ends.
const ENDS: [&str; 6] = ["delivered", "failed", "refused", "uncertain", "expired", "dead"];

/// How far back it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) name: &'static str,
    pub(super) words: &'static str,
    pub(super) hours: i64,
}

pub(super) const RANGES: [Range; 3] = [
    Range { name: "24h", words: "24 hours", hours: 24 },
    Range { name: "7d", words: "7 days", hours: 168 },
    Range { name: "30d", words: "30 days", hours: 720 },
];

impl Range {
    /// The one that is asked for, or this one.
    pub(super) fn of(query: &Query, otherwise: usize) -> Self {
        let found = RANGES.into_iter().find(|range| query.get("range") == Some(range.name));
        found.unwrap_or(RANGES[otherwise])
    }

    pub(super) fn begins_ms(self, now_ms: i64) -> i64 {
        now_ms.saturating_sub((self.hours - 1) * HOUR_MS)
    }

    /// Which there are, as links.
    pub(super) fn choice(self, path: &str) -> Markup {
        html! {
            nav.choice aria-label="How far back" {
                @for range in RANGES {
                    a href={ (path) "?range=" (range.name) } aria-current=[(range == self).then_some("true")] { (range.words) }
                }
            }
        }
    }
}

/// One hotkey at one miner.
#[derive(Default)]
struct Who {
    requests: u64,
    outcomes: BTreeMap<String, u64>,
    dialects: BTreeMap<String, u64>,
    took_ms: u64,
    timed: u64,
    last_ms: Option<i64>,
    refusals: BTreeMap<String, u64>,
}

type All = BTreeMap<(String, Miner), Who>;

impl Who {
    fn add(&mut self, miner: Miner, tally: &Tally) {
        let asked = miner != Miner::Generative || tally.outcome == "accepted";
        if asked {
            self.requests += tally.count;
            let dialect = if miner == Miner::Generative { "epistula" } else { tally.kind.as_str() };
            if !dialect.is_empty() {
                *self.dialects.entry(dialect.to_owned()).or_default() += tally.count;
            }
        }
        if miner != Miner::Generative || ENDS.contains(&tally.outcome.as_str()) {
            *self.outcomes.entry(tally.outcome.clone()).or_default() += tally.count;
        }
        if tally.took_ms > 0 {
            self.took_ms += tally.took_ms;
            self.timed += tally.count;
        }
        self.last_ms = self.last_ms.max(Some(tally.last_ms));
    }

    fn mean_ms(&self) -> Option<u64> {
        self.took_ms.checked_div(self.timed)
    }
}

pub(crate) async fn show(State(shared): State<Shared>, visit: Visit) -> Response {
    let range = Range::of(&visit.query, 0);
    let from_ms = range.begins_ms(visit.now_ms);
    let (mut all, mut problems) = (All::new(), Vec::new());
    for (miner, event) in [(Miner::PrivateTrack, "challenge"), (Miner::Generative, "task")] {
        let reading = shared.sources.read(miner, move |reader| {
            Ok((reader.tallies(event, from_ms)?, reader.tallies("refused", from_ms)?))
        });
        match reading.await {
            Ok(found) => {
                let (asked, refused) = found.unwrap_or_default();
                for tally in asked {
                    all.entry((tally.who.clone(), miner)).or_default().add(miner, &tally);
                }
                for tally in refused {
                    let who = all.entry((tally.who, miner)).or_default();
                    *who.refusals.entry(tally.outcome).or_default() += tally.count;
                    who.last_ms = who.last_ms.max(Some(tally.last_ms));
                }
            }
            Err(error) => problems.push((miner, error)),
        }
    }
    let mut rows: Vec<_> = all.into_iter().collect();
    rows.sort_by_key(|(_, who)| std::cmp::Reverse((who.requests, who.refusals.values().sum::<u64>())));
    if let Some(format) = visit.format() {
        return match problems.into_iter().next() {
            Some((_, error)) => export::failed(&error),
            None => export::table(format, "validators", COLUMNS, rows.iter().map(row).collect()),
        };
    }
    let path = Room::Validators.path();
    let live = html! {
        @for (miner, error) in &problems { (unread(*miner, error)) }
        @if rows.is_empty() {
            p.empty { "Nobody has asked within these " (range.words) ". Is the axon set, and the port open? " code { "adit doctor" } " tells." }
        } @else {
            (table(&rows[..rows.len().min(MOST)], rows.len(), visit.now_ms))
            p.exports { "Export: "
                a href={ (path) ".csv?range=" (range.name) } download { "CSV" } " · "
                a href={ (path) ".json?range=" (range.name) } download { "JSON" } }
        }
    };
    page(&visit, Room::Validators, "Validators", &range.choice(path), &live)
}

fn words(counts: &BTreeMap<String, u64>) -> String {
    let words: Vec<_> = counts
        .iter()
        .map(|(what, count)| format!("{} {count}", if what.is_empty() { "other" } else { what }))
        .collect();
    words.join(", ")
}

fn row(((name, miner), who): &((String, Miner), Who)) -> Row {
    vec![
        if name.is_empty() { json!(null) } else { json!(name) },
        miner.name().into(),
        who.requests.into(),
        words(&who.outcomes).into(),
        words(&who.dialects).into(),
        json!(who.mean_ms()),
        json!(who.last_ms.map(text::iso)),
        who.refusals.values().sum::<u64>().into(),
        words(&who.refusals).into(),
    ]
}

fn table(rows: &[((String, Miner), Who)], count: usize, now_ms: i64) -> Markup {
    html! {
        table #validators data-count=(count) {
            caption { "Who asked, the most frequent first. Refused requests only claim a name: nobody has shown that it was theirs" }
            thead { tr {
                th scope="col" { "Validator" } th scope="col" { "Miner" } th.number scope="col" { "Requests" } th scope="col" { "How they ended" }
                th scope="col" { "Message form" } th.number scope="col" { "Mean time" } th scope="col" { "Last seen" } th scope="col" { "Refused" }
            } }
            tbody { @for ((name, miner), who) in rows {
                tr {
                    th scope="row" data-label="Validator" {
                        @if name.is_empty() { span.none { "unknown callers" } } @else {
                            @let query: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
                            @let list = if *miner == Miner::Generative { "/generations" } else { "/challenges" };
                            a.plain href={ (list) "?validator=" (query) } { (text::name(name)) }
                        }
                    }
                    td.short data-label="Miner" { (miner.title()) }
                    td.number data-label="Requests" { (text::count(who.requests)) }
                    td data-label="How they ended" { @for (outcome, count) in &who.outcomes { span.each { (text::outcome(outcome)) " " (text::count(*count)) } } }
                    td data-label="Message form" { (words(&who.dialects)) }
                    td.number data-label="Mean time" { @match who.mean_ms() { Some(ms) => (text::millis(ms)), None => "-" } }
                    td data-label="Last seen" { @if let Some(at) = who.last_ms { (text::time(now_ms, at)) } }
                    td data-label="Refused" { @if who.refusals.is_empty() { "-" } @else {
                        @for (reason, count) in &who.refusals { span.each { (text::short(reason, 60).replace('_', " ")) " " (text::count(*count)) } }
                    } }
                }
            } }
        }
        @if count > rows.len() { p { "The other " (count - rows.len()) " are in the export." } }
    }
}
