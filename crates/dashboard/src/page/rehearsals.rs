//! `/rehearsals`: what an operator had asked again, of all miners.

use adit_journal::record::{Rehearsed, SpotChecked};
use adit_journal::{Entry, Reader};
use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use serde_json::{Value, json};

use super::{Filter, ROWS, Room, Visit, page, text, unread};
use crate::Miner;
use crate::server::Shared;
use crate::server::export::{self, Columns, Journal, Row};

const EVENTS: [&str; 2] = ["rehearsed", "spot_checked"];
const OUTCOMES: [&str; 2] = ["passed", "failed"];
const COLUMNS: Columns = &[
    "id",
    "at",
    "event",
    "outcome",
    "what",
    "asked",
    "challenge_id",
    "answered_times",
    "asked_times",
    "identical",
    "score",
    "slowest_ms",
    "detail",
];

/// What both have.
pub(super) struct Line {
    miner: Miner,
    id: i64,
    at_ms: i64,
    event: String,
    outcome: String,
    what: String,
    asked: Option<String>,
    challenge_id: Option<String>,
    times: Option<(u32, u32)>,
    identical: Option<bool>,
    score: Option<f64>,
    slowest_ms: Option<u64>,
    detail: Option<String>,
}

impl Line {
    pub(super) fn of(miner: Miner, entry: &Entry) -> Option<Self> {
        let line = Self {
            miner,
            id: entry.id,
            at_ms: entry.at_ms,
            event: entry.event.clone(),
            outcome: entry.outcome.clone().unwrap_or_default(),
            what: String::new(),
            asked: None,
            challenge_id: entry.key.clone(),
            times: None,
            identical: None,
            score: None,
            slowest_ms: None,
            detail: None,
        };
        if let Some(one) = entry.read::<Rehearsed>() {
            return Some(Self {
                what: text::url(&one.target),
                asked: Some(text::url(&one.asked)),
                times: Some((one.answered_times, one.asked_times)),
                identical: one.identical,
                score: one.score,
                slowest_ms: Some(one.slowest_ms),
                detail: one.detail,
                ..line
            });
        }
        let one = entry.read::<SpotChecked>()?;
        Some(Self {
            what: one.image,
            identical: one.identical,
            score: one.score,
            detail: one.detail.or(Some(one.status)),
            ..line
        })
    }

    fn row(self) -> Row {
        vec![
            self.id.into(),
            text::iso(self.at_ms).into(),
            self.event.into(),
            self.outcome.into(),
            self.what.into(),
            json!(self.asked),
            json!(self.challenge_id),
            json!(self.times.map(|times| times.0)),
            json!(self.times.map(|times| times.1)),
            json!(self.identical),
            json!(self.score),
            self.slowest_ms.map_or(Value::Null, Value::from),
            json!(self.detail),
        ]
    }
}

fn row<const MINER: usize>(_: &Reader, entry: &Entry) -> Option<Row> {
    Line::of(Miner::ALL[MINER], entry).map(Line::row)
}

const ROWS_OF: [fn(&Reader, &Entry) -> Option<Row>; 3] = [row::<0>, row::<1>, row::<2>];

/// The newest of each journal before its own entry, as one list: each journal's own order stays, whatever its clock did.
fn merge(mut lists: Vec<Vec<Line>>) -> Vec<Line> {
    for list in &mut lists {
        list.reverse();
    }
    let mut merged = Vec::new();
    while merged.len() < ROWS {
        let next =
            lists.iter().enumerate().filter_map(|(index, list)| Some((list.last()?.at_ms, index))).max();
        let Some(line) = next.and_then(|(_, index)| lists[index].pop()) else { break };
        merged.push(line);
    }
    merged
}

pub(crate) async fn show(State(shared): State<Shared>, visit: Visit) -> Response {
    let filter = Filter::of(&visit.query);
    let miners: Vec<Miner> =
        Miner::ALL.into_iter().filter(|one| filter.miner.is_none_or(|miner| miner == *one)).collect();
    if let Some(format) = visit.format() {
        let part = |miner: Miner| EVENTS.map(|event| Journal { miner, event, row: ROWS_OF[miner as usize] });
        let parts = miners.into_iter().flat_map(part).collect();
        return export::journals(format, "rehearsals", COLUMNS, &shared.sources, parts, filter);
    }
    let (mut lists, mut problems) = (Vec::new(), Vec::new());
    let mut before = filter.before.clone();
    before.resize(3, None);
    for miner in miners {
        let (wanted, before) = (filter.clone(), before[miner as usize]);
        let reading = shared.sources.read(miner, move |reader| {
            let mut lines = Vec::new();
            for event in EVENTS {
                let mut find = wanted.find(event);
                (find.before, find.limit) = (before, ROWS as u32 + 1);
                lines.extend(reader.find(&find)?.iter().filter_map(|entry| Line::of(miner, entry)));
            }
            lines.sort_by_key(|line| std::cmp::Reverse(line.id));
            Ok(lines)
        });
        match reading.await {
            Ok(lines) => lists.push(lines.unwrap_or_default()),
            Err(error) => problems.push(unread(miner, &error)),
        }
    }
    let count: usize = lists.iter().map(Vec::len).sum();
    let lines = merge(lists);
    for line in &lines {
        before[line.miner as usize] = Some(line.id);
    }
    let older = (count > lines.len()).then(|| {
        before.iter().map(|id| id.map_or_else(String::new, |id| id.to_string())).collect::<Vec<_>>().join(".")
    });
    let path = Room::Rehearsals.path();
    let live = html! {
        @for problem in &problems { (problem) }
        @if lines.is_empty() {
            p.empty {
                @if filter.query().is_empty() {
                    "Nothing has been rehearsed yet: " code { "sv rehearse" } ", " code { "gascli rehearse" } " or the button of a challenge."
                } @else { "Nothing that this filter means." }
            }
        } @else { (table(&lines, visit.now_ms)) }
        (filter.pager(path, older.as_deref()))
        (filter.exports(path))
    };
    page(&visit, Room::Rehearsals, "Rehearsals", &filter.form(path, &OUTCOMES, false, true), &live)
}

pub(super) fn table(lines: &[Line], now_ms: i64) -> Markup {
    html! {
        table #rehearsals data-count=(lines.len()) {
            caption { "Rehearsals and spot checks, the newest first" }
            thead { tr {
                th scope="col" { "When" } th scope="col" { "Outcome" } th scope="col" { "What" } th scope="col" { "Of" }
                th.number scope="col" { "Answered" } th scope="col" { "Same answers" } th.number scope="col" { "Score" }
                th.number scope="col" { "Slowest" } th scope="col" { "In words" }
            } }
            tbody { @for line in lines {
                tr data-id={ (line.miner.name()) "-" (line.id) } {
                    td data-label="When" { (text::time(now_ms, line.at_ms)) }
                    td data-label="Outcome" { (text::outcome(&line.outcome)) }
                    td data-label="What" { (line.miner.title()) " " span.tag { (if line.event == "rehearsed" { "rehearsal" } else { "spot check" }) }
                        @if let Some(asked) = &line.asked { span.why { (text::short(asked, 120)) } }
                        @if let Some(id) = &line.challenge_id { span.why { "challenge " (text::short(id, 60)) } } }
                    td data-label="Of" { code { (text::short(&line.what, 80)) } }
                    td.number data-label="Answered" { @match line.times { Some((answered, asked)) => { (answered) " of " (asked) }, None => "-" } }
                    td data-label="Same answers" { (line.identical.map_or("-", |same| if same { "yes" } else { "no" })) }
                    td.number data-label="Score" { @match line.score { Some(score) => (format!("{score:.3}")), None => "-" } }
                    td.number data-label="Slowest" { @match line.slowest_ms { Some(ms) => (text::millis(ms)), None => "-" } }
                    td data-label="In words" { (text::short(line.detail.as_deref().unwrap_or("-"), 300)) }
                }
            } }
        }
    }
}
