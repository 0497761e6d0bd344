//! `/turbo-vision`: what was pushed, what its rehearsals said, and its place on chain.

use adit_journal::record::{Chain, Pushed};
use adit_journal::{Entry, Find, Reader};
use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use serde_json::json;

use super::{Filter, ROWS, Room, Visit, empty, now, page, rehearsals, text, unread};
use crate::Miner;
use crate::server::Shared;
use crate::server::export::{self, Columns, Journal, Row};

const MINER: Miner = Miner::TurboVision;
const OUTCOMES: [&str; 2] = ["done", "failed"];
const COLUMNS: Columns = &["id", "at", "what", "step", "outcome", "detail"];

fn row(_: &Reader, entry: &Entry) -> Option<Row> {
    let one: Pushed = entry.read()?;
    Some(vec![
        entry.id.into(),
        text::iso(entry.at_ms).into(),
        one.what.into(),
        one.step.into(),
        json!(entry.outcome),
        json!(one.detail),
    ])
}

pub(crate) async fn show(State(shared): State<Shared>, visit: Visit) -> Response {
    let filter = Filter::of(&visit.query);
    if let Some(format) = visit.format() {
        let part = Journal { miner: MINER, event: "pushed", row };
        return export::journals(format, "turbo-vision", COLUMNS, &shared.sources, vec![part], filter);
    }
    let wanted = filter.clone();
    let reading = shared.sources.read(MINER, move |reader| {
        let mut find = wanted.find("pushed");
        find.limit = ROWS as u32 + 1;
        let chain = reader.newest("chain")?;
        let rehearsed = reader.find(&Find { limit: 10, ..Find::event("rehearsed") })?;
        Ok((reader.find(&find)?, rehearsed, chain))
    });
    let path = Room::TurboVision.path();
    let live = match reading.await {
        Err(error) => unread(MINER, &error),
        Ok(None) => empty(false, "Nothing has been pushed from this host yet.", MINER),
        Ok(Some((mut pushes, rehearsed, chain))) => {
            let more = pushes.len() > ROWS;
            pushes.truncate(ROWS);
            let older = pushes.last().filter(|_| more).map(|entry| entry.id.to_string());
            let lines: Vec<_> =
                rehearsed.iter().filter_map(|entry| rehearsals::Line::of(MINER, entry)).collect();
            html! {
                h2 { "On chain" }
                @match chain.as_ref().and_then(|entry| Some((entry.at_ms, entry.read::<Chain>()?))) {
                    Some((at_ms, chain)) => (now::chain_facts(&chain, at_ms, visit.now_ms)),
                    None => p.empty { "Its place on chain has not been recorded." },
                }
                h2 { "Pushes" }
                @if pushes.is_empty() {
                    (empty(!filter.query().is_empty(), "Nothing has been pushed from this host yet.", MINER))
                } @else { (table(&pushes, visit.now_ms)) }
                (filter.pager(path, older.as_deref()))
                (filter.exports(path))
                h2 { "Rehearsals" }
                @if lines.is_empty() { p.empty { "None: " code { "sv rehearse" } " makes one." } }
                @else {
                    (rehearsals::table(&lines, visit.now_ms))
                    p { a href="/rehearsals?miner=turbo-vision" { "All of its rehearsals" } }
                }
            }
        }
    };
    page(&visit, Room::TurboVision, "Turbo Vision", &filter.form(path, &OUTCOMES, false, false), &live)
}

fn table(pushes: &[Entry], now_ms: i64) -> Markup {
    html! {
        table #pushes data-count=(pushes.len()) {
            caption { "Steps of pushes as they were read back, the newest first" }
            thead { tr { th scope="col" { "When" } th scope="col" { "Outcome" } th scope="col" { "Step" } th scope="col" { "What" } th scope="col" { "In words" } } }
            tbody { @for entry in pushes {
                @let one = entry.read::<Pushed>().unwrap_or_default();
                tr data-id=(entry.id) {
                    td data-label="When" { (text::time(now_ms, entry.at_ms)) }
                    td data-label="Outcome" { (text::outcome(entry.outcome.as_deref().unwrap_or_default())) }
                    th scope="row" data-label="Step" { (text::short(&one.step, 60)) }
                    td data-label="What" { code { (text::short(&one.what, 120)) } }
                    td data-label="In words" { (text::short(one.detail.as_deref().unwrap_or("-"), 500)) }
                }
            } }
        }
    }
}
