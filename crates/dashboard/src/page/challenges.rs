//! `/challenges`: what the private track was asked.

use adit_journal::record::Challenge;
use adit_journal::{Entry, Reader};
use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use serde_json::{Value, json};

use super::{Filter, ROWS, Room, Visit, empty, page, text, unread};
use crate::Miner;
use crate::server::Shared;
use crate::server::export::{self, Columns, Journal, Row};

const OUTCOMES: [&str; 3] = ["answered", "failed", "caller_left"];
const COLUMNS: Columns = &[
    "id",
    "at",
    "challenge_id",
    "validator",
    "dialect",
    "mode",
    "outcome",
    "status",
    "reason",
    "latency_ms",
    "predictions",
    "predictor",
    "clip_frames",
    "clip_fps",
    "clip_bytes",
    "video_url",
];

struct Line {
    id: i64,
    at_ms: i64,
    who: Option<String>,
    outcome: String,
    challenge: Option<Challenge>,
}

impl Line {
    fn of(entry: Entry) -> Self {
        // Answers may be large, and are not in the table.
        let challenge = entry.read::<Challenge>().map(|challenge| Challenge { answer: None, ..challenge });
        Self {
            id: entry.id,
            at_ms: entry.at_ms,
            who: entry.who,
            outcome: entry.outcome.unwrap_or_default(),
            challenge,
        }
    }
}

fn row(_: &Reader, entry: &Entry) -> Option<Row> {
    let challenge: Option<Challenge> = entry.read();
    let one = challenge.as_ref();
    let clip = one.and_then(|one| one.clip.as_ref());
    Some(vec![
        entry.id.into(),
        text::iso(entry.at_ms).into(),
        json!(entry.key),
        json!(entry.who),
        json!(one.and_then(|one| one.dialect.as_deref())),
        json!(one.map(|one| &one.mode)),
        json!(entry.outcome),
        json!(one.and_then(|one| one.status)),
        json!(one.and_then(|one| one.reason.as_deref())),
        json!(one.map(|one| one.latency_ms)),
        json!(one.and_then(|one| one.predictions)),
        json!(one.map(|one| &one.predictor)),
        json!(clip.and_then(|clip| clip.frames)),
        json!(clip.and_then(|clip| clip.fps)),
        json!(clip.and_then(|clip| clip.bytes)),
        one.and_then(|one| one.video_url.as_deref()).map_or(Value::Null, |url| text::url(url).into()),
    ])
}

pub(crate) async fn show(State(shared): State<Shared>, visit: Visit) -> Response {
    const MINER: Miner = Miner::PrivateTrack;
    let filter = Filter::of(&visit.query);
    if let Some(format) = visit.format() {
        let part = Journal { miner: MINER, event: "challenge", row };
        return export::journals(format, "challenges", COLUMNS, &shared.sources, vec![part], filter);
    }
    let wanted = filter.clone();
    let reading = shared.sources.read(MINER, move |reader| {
        let mut lines = Vec::new();
        let mut find = wanted.find("challenge");
        find.limit = ROWS as u32 + 1;
        reader.each(&find, |entry| {
            lines.push(Line::of(entry));
            true
        })?;
        Ok(lines)
    });
    let path = Room::Challenges.path();
    let live = match reading.await {
        Err(error) => unread(MINER, &error),
        Ok(lines) => {
            let mut lines = lines.unwrap_or_default();
            let more = lines.len() > ROWS;
            lines.truncate(ROWS);
            let older = lines.last().filter(|_| more).map(|line| line.id.to_string());
            html! {
                @if lines.is_empty() {
                    (empty(!filter.query().is_empty(), "No challenge has been asked yet.", MINER))
                } @else {
                    (table(&lines, visit.now_ms))
                }
                (filter.pager(path, older.as_deref()))
                (filter.exports(path))
            }
        }
    };
    page(&visit, Room::Challenges, "Challenges", &filter.form(path, &OUTCOMES, true, false), &live)
}

fn table(lines: &[Line], now_ms: i64) -> Markup {
    html! {
        table #challenges data-count=(lines.len()) {
            caption { "Challenges of the private track, the newest first" }
            thead { tr {
                th scope="col" { "When" } th scope="col" { "Outcome" } th scope="col" { "Challenge" }
                th scope="col" { "Validator" } th scope="col" { "Asked for" } th.number scope="col" { "Took" }
                th.number scope="col" { "Predictions" }
            } }
            tbody { @for line in lines {
                tr data-id=(line.id) {
                    td data-label="When" { (text::time(now_ms, line.at_ms)) }
                    td data-label="Outcome" {
                        (text::outcome(&line.outcome))
                        @if let Some(reason) = line.challenge.as_ref().and_then(|one| one.reason.as_deref()) {
                            span.why { (text::short(reason, 120)) }
                        }
                    }
                    th scope="row" data-label="Challenge" {
                        a href={ "/challenges/" (line.id) } {
                            (line.challenge.as_ref().map_or_else(
                                || format!("entry {}", line.id), |one| text::short(&one.challenge_id, 40)))
                        }
                    }
                    td data-label="Validator" { (asker(line.who.as_deref())) }
                    td data-label="Asked for" { @if let Some(one) = &line.challenge {
                        (text::short(&one.mode, 40).replace('_', " "))
                        @if let Some(dialect) = &one.dialect { " " span.tag { (text::short(dialect, 20)) } }
                    } }
                    td.number data-label="Took" { @if let Some(one) = &line.challenge { (text::millis(one.latency_ms)) } }
                    td.number data-label="Predictions" {
                        @if let Some(count) = line.challenge.as_ref().and_then(|one| one.predictions) { (count) }
                        @else { "-" }
                    }
                }
            } }
        }
    }
}

/// A validator, as a way to all that it asked.
pub(super) fn asker(who: Option<&str>) -> Markup {
    html! {
        @if let Some(who) = who {
            @let query: String = url::form_urlencoded::byte_serialize(who.as_bytes()).collect();
            a.plain href={ "?validator=" (query) } { (text::name(who)) }
        } @else { span.none { "unsigned" } }
    }
}
