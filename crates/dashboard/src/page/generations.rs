//! `/generations`: the tasks of subnet 34.

use adit_journal::record::TaskStep;
use adit_journal::{Entry, Find, ReadError, Reader};
use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use serde_json::json;

use super::challenges::asker;
use super::{Filter, ROWS, Room, Visit, empty, page, text, unread};
use crate::Miner;
use crate::server::Shared;
use crate::server::export::{self, Columns, Journal, Row};

pub(super) const MINER: Miner = Miner::Generative;
/// By what their tasks are found, the ends after the beginning.
const OUTCOMES: [&str; 7] = ["accepted", "delivered", "failed", "refused", "uncertain", "expired", "dead"];
const COLUMNS: Columns = &[
    "id",
    "at",
    "task",
    "validator",
    "modality",
    "state",
    "service",
    "model",
    "attempts",
    "tries",
    "cost_usd",
    "last_step_at",
    "note",
];

struct Line {
    id: i64,
    at_ms: i64,
    task: String,
    who: Option<String>,
    newest_ms: i64,
    newest: Option<TaskStep>,
}

/// The newest step of a task.
fn newest(reader: &Reader, task: &str) -> Result<Option<Entry>, ReadError> {
    Ok(reader.find(&Find { key: Some(task), limit: 1, ..Find::event("task") })?.pop())
}

impl Line {
    fn of(reader: &Reader, entry: Entry) -> Result<Self, ReadError> {
        let task = entry.key.unwrap_or_default();
        let newest = newest(reader, &task)?;
        Ok(Self {
            id: entry.id,
            at_ms: entry.at_ms,
            who: entry.who,
            newest_ms: newest.as_ref().map_or(entry.at_ms, |newest| newest.at_ms),
            newest: newest.and_then(|newest| newest.read()),
            task,
        })
    }
}

fn row(reader: &Reader, entry: &Entry) -> Option<Row> {
    let newest = newest(reader, entry.key.as_deref()?).ok().flatten();
    let step: Option<TaskStep> = newest.as_ref().and_then(Entry::read);
    let one = step.as_ref();
    Some(vec![
        entry.id.into(),
        text::iso(entry.at_ms).into(),
        json!(entry.key),
        json!(entry.who),
        json!(one.map(|one| &one.modality)),
        json!(one.map(|one| &one.state)),
        json!(one.and_then(|one| one.service.as_deref())),
        json!(one.and_then(|one| one.model.as_deref())),
        json!(one.map(|one| one.attempt)),
        json!(one.map(|one| one.tries)),
        json!(one.map(|one| one.cost_micro_usd as f64 / 1e6)),
        json!(newest.as_ref().map(|newest| text::iso(newest.at_ms))),
        json!(one.and_then(|one| one.note.as_deref())),
    ])
}

pub(crate) async fn show(State(shared): State<Shared>, visit: Visit) -> Response {
    let filter = Filter::of(&visit.query);
    let filtered = !filter.query().is_empty();
    let mut wanted = filter.clone();
    wanted.outcome.get_or_insert_with(|| "accepted".to_owned());
    if let Some(format) = visit.format() {
        let part = Journal { miner: MINER, event: "task", row };
        return export::journals(format, "generations", COLUMNS, &shared.sources, vec![part], wanted);
    }
    let reading = shared.sources.read(MINER, move |reader| {
        let mut find = wanted.find("task");
        find.limit = ROWS as u32 + 1;
        let entries = reader.find(&find)?;
        entries.into_iter().map(|entry| Line::of(reader, entry)).collect::<Result<Vec<_>, _>>()
    });
    let path = Room::Generations.path();
    let live = match reading.await {
        Err(error) => unread(MINER, &error),
        Ok(lines) => {
            let mut lines = lines.unwrap_or_default();
            let more = lines.len() > ROWS;
            lines.truncate(ROWS);
            let older = lines.last().filter(|_| more).map(|line| line.id.to_string());
            html! {
                @if lines.is_empty() {
                    (empty(filtered, "No task has been accepted yet.", MINER))
                } @else {
                    (table(&lines, visit.now_ms))
                }
                (filter.pager(path, older.as_deref()))
                (filter.exports(path))
            }
        }
    };
    page(&visit, Room::Generations, "Generations", &filter.form(path, &OUTCOMES, true, false), &live)
}

fn table(lines: &[Line], now_ms: i64) -> Markup {
    html! {
        table #generations data-count=(lines.len()) {
            caption { "Tasks, the newest first, each as it stands" }
            thead { tr {
                th scope="col" { "When" } th scope="col" { "State" } th scope="col" { "Task" } th scope="col" { "Validator" }
                th scope="col" { "Made by" } th.number scope="col" { "Attempts" } th.number scope="col" { "Deliveries" }
                th.number scope="col" { "Cost" } th scope="col" { "Last step" }
            } }
            tbody { @for line in lines {
                @let one = line.newest.as_ref();
                tr data-id=(line.id) {
                    td data-label="When" { (text::time(now_ms, line.at_ms)) }
                    td data-label="State" {
                        (text::outcome(one.map_or("unknown", |one| &one.state)))
                        @if let Some(note) = one.and_then(|one| one.note.as_deref()) { span.why { (text::short(note, 120)) } }
                    }
                    th scope="row" data-label="Task" {
                        @let name: String = url::form_urlencoded::byte_serialize(line.task.as_bytes()).collect();
                        a href={ "/generations/" (name) } { (text::short(&line.task, 13)) }
                        @if let Some(one) = one { " " span.tag { (text::short(&one.modality, 12)) } }
                    }
                    td data-label="Validator" { (asker(line.who.as_deref())) }
                    td data-label="Made by" { (made_by(one)) }
                    td.number data-label="Attempts" { (one.map_or(0, |one| one.attempt)) }
                    td.number data-label="Deliveries" { (one.map_or(0, |one| one.tries)) }
                    td.number data-label="Cost" { (text::usd(one.map_or(0, |one| one.cost_micro_usd))) }
                    td data-label="Last step" { (text::time(now_ms, line.newest_ms)) }
                }
            } }
        }
    }
}

/// Service and model.
pub(super) fn made_by(step: Option<&TaskStep>) -> String {
    let Some(step) = step else { return "-".to_owned() };
    match (&step.service, &step.model) {
        (Some(service), Some(model)) => text::short(&format!("{service} {model}"), 60),
        (Some(service), None) => text::short(service, 40),
        _ => "-".to_owned(),
    }
}
