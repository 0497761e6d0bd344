//! `/generations/{task}`: one task from its acceptance to its end, and what it made.

use adit_journal::record::{TaskMedia, TaskStep};
use adit_journal::{Entry, Find};
use axum::extract::{Path, State};
use axum::response::Response;
use maud::{Markup, html};
use serde_json::json;

use super::generations::{MINER, made_by};
use super::{Room, Visit, button, missing, page, text, told, unread, words};
use crate::server::Shared;
use crate::server::export::{self, Columns, Format, Row};

/// Most steps that are read of a task: a worker that asks every second writes few.
const STEPS: u32 = 1000;
const COLUMNS: Columns = &[
    "id",
    "at",
    "step",
    "state",
    "attempt",
    "service",
    "model",
    "spent_usd",
    "cost_usd",
    "tries",
    "answer",
    "verdict",
    "note",
];
const WIDE: f64 = 88.0;
const TALL: f64 = 36.0;

struct Step {
    id: i64,
    at_ms: i64,
    told: TaskStep,
}

async fn find(shared: &Shared, task: String) -> Result<Vec<Step>, crate::SourceError> {
    let reading = shared.sources.read(MINER, move |reader| {
        let find = Find { key: Some(&task), limit: STEPS, ..Find::event("task") };
        let entries = reader.find(&find)?;
        let step = |entry: Entry| Some(Step { id: entry.id, at_ms: entry.at_ms, told: entry.read()? });
        Ok(entries.into_iter().rev().filter_map(step).collect::<Vec<_>>())
    });
    Ok(reading.await?.unwrap_or_default())
}

fn row(step: &Step) -> Row {
    let one = &step.told;
    vec![
        step.id.into(),
        text::iso(step.at_ms).into(),
        json!(one.step),
        json!(one.state),
        json!(one.attempt),
        json!(one.service),
        json!(one.model),
        json!(one.spent_micro_usd as f64 / 1e6),
        json!(one.cost_micro_usd as f64 / 1e6),
        json!(one.tries),
        json!(one.answer),
        json!(one.verdict),
        json!(one.note),
    ]
}

pub(crate) async fn show(State(shared): State<Shared>, Path(name): Path<String>, visit: Visit) -> Response {
    let (task, format) = Format::split(&name);
    let steps = match find(&shared, task.to_owned()).await {
        Ok(steps) => steps,
        Err(error) if format.is_some() => return export::failed(&error),
        Err(error) => {
            return page(&visit, Room::Generations, "Generation", &html! {}, &unread(MINER, &error));
        }
    };
    let Some(newest) = steps.last() else {
        return missing(&visit, "The journal has no such task, or no longer: old entries are dropped.");
    };
    if let Some(format) = format {
        return export::table(format, &format!("task-{task}"), COLUMNS, steps.iter().map(row).collect());
    }
    let dead = matches!(newest.told.state.as_str(), "refused" | "uncertain" | "expired" | "dead");
    let stays = html! {
        @if dead && is_task(task) {
            (button(&visit, "redeliver", &format!("/generations/{task}/redeliver"), "Deliver again",
                "The validator decides: one that has closed the task answers that it knows none."))
        }
    };
    page(&visit, Room::Generations, "Generation", &stays, &body(task, &steps, newest, visit.now_ms))
}

fn body(task: &str, steps: &[Step], newest: &Step, now_ms: i64) -> Markup {
    let one = &newest.told;
    let accepted = steps.iter().find(|step| step.told.step == "accepted");
    let media = steps.iter().rev().find_map(|step| step.told.media.as_ref());
    let verdict = steps.iter().rev().find_map(|step| step.told.verdict.as_deref());
    let name: String = url::form_urlencoded::byte_serialize(task.as_bytes()).collect();
    let tries = steps
        .iter()
        .filter(|step| matches!(step.told.step.as_str(), "answered" | "redeliver"))
        .collect::<Vec<_>>();
    html! {
        dl.facts #summary {
            div { dt { "State" } dd { (text::outcome(&one.state)) } }
            div { dt { "Task" } dd { code.whole { (task) } } }
            div { dt { "Validator" } dd { code.whole { (one.validator) } } }
            div { dt { "Asked for" } dd { (text::short(&one.modality, 40)) } }
            @if let Some(first) = accepted { div { dt { "Accepted" } dd { (text::time(now_ms, first.at_ms)) " (" (text::utc(first.at_ms)) ")" } } }
            div { dt { "Made by" } dd { (made_by(Some(one))) } }
            div { dt { "Cost so far" } dd { (text::usd(one.cost_micro_usd)) " in " (one.attempt) " paid calls" } }
            @if let Some(host) = accepted.and_then(|step| step.told.webhook_host.as_deref()) {
                div { dt { "Delivered to" } dd { code { (text::short(host, 200)) } } }
            }
            @if let Some(note) = &one.note { div.wide { dt { "Heard last" } dd { (text::short(note, 2000)) } } }
        }
        h2 { "Its way" }
        (machine(steps))
        h2 { "What it made" }
        @match media {
            Some(media) => (shown(&name, media, verdict)),
            None => p.empty { "Nothing has been fetched." },
        }
        @if let Some(first) = accepted {
            h2 { "What was asked" }
            @match &first.told.prompt { Some(prompt) => blockquote #prompt { (prompt) }, None => p.empty { "The prompt was not recorded." } }
            @if let Some(parameters) = &first.told.parameters { pre tabindex="0" { (parameters) } }
        }
        h2 { "Deliveries" }
        @if tries.is_empty() { p.empty { "None has been answered yet." } } @else {
            table #deliveries data-count=(tries.len()) {
                caption { "Deliveries and what was answered" }
                thead { tr { th scope="col" { "When" } th.number scope="col" { "Try" } th scope="col" { "Answer" } th scope="col" { "Heard" } } }
                tbody { @for step in &tries { tr {
                    td data-label="When" { (text::time(now_ms, step.at_ms)) }
                    td.number data-label="Try" { (step.told.tries) }
                    td data-label="Answer" { (text::outcome(step.told.answer.as_deref().unwrap_or(&step.told.step))) }
                    td data-label="Heard" { (text::short(step.told.note.as_deref().unwrap_or("-"), 500)) }
                } } }
            }
        }
        h2 { "Every step" }
        (table(steps))
        p.exports { "Export: " a href={ "/generations/" (name) ".csv" } download { "CSV" } " · "
            a href={ "/generations/" (name) ".json" } download { "JSON" } }
    }
}

fn shown(name: &str, media: &TaskMedia, verdict: Option<&str>) -> Markup {
    let source = format!("/media/{name}");
    let kind = crate::server::media_kind(media);
    // The name only: where the data folder is, is nobody's business.
    let file = media.path.rsplit('/').next().unwrap_or_default();
    html! {
        figure #media {
            @if !std::path::Path::new(&media.path).exists() {
                p.empty { "The file was removed from this host's disk." }
            } @else {
                @match kind {
                    Some(kind) if kind.starts_with("image/") => a href=(source) { img src=(source) alt="What the service made" loading="lazy"; },
                    Some(_) => video src=(source) controls preload="metadata" {},
                    None => p.empty { "A " code { (text::short(&media.content_type, 60)) } " is not shown here." },
                }
            }
            figcaption {
                code { (text::short(file, 80)) } ", " (text::short(&media.content_type, 60)) ", " (text::bytes(media.bytes))
                br; "SHA-256 " code.whole { (text::short(&media.sha256, 64)) }
            }
        }
        p { strong { "C2PA: " } @match verdict { Some(verdict) => (text::short(verdict, 1000)), None => "not checked." } }
    }
}

/// A step's time after the first.
fn after(steps: &[Step], step: &Step) -> String {
    let first = steps.first().map_or(step.at_ms, |first| first.at_ms);
    format!("+{}", text::millis(u64::try_from(step.at_ms.saturating_sub(first)).unwrap_or(0)))
}

fn table(steps: &[Step]) -> Markup {
    html! {
        table #steps data-count=(steps.len()) {
            caption { "Steps in the order in which they were recorded" }
            thead { tr {
                th scope="col" { "After" } th scope="col" { "Step" } th scope="col" { "State" } th.number scope="col" { "Attempt" }
                th scope="col" { "Service" } th.number scope="col" { "Spent" } th scope="col" { "In words" }
            } }
            tbody { @for step in steps {
                @let one = &step.told;
                tr data-id=(step.id) {
                    td data-label="After" { time datetime=(text::iso(step.at_ms)) title=(text::utc(step.at_ms)) { (after(steps, step)) } }
                    th scope="row" data-label="Step" { (text::short(&one.step, 30).replace('_', " ")) }
                    td data-label="State" { (text::outcome(&one.state)) }
                    td.number data-label="Attempt" { (one.attempt) }
                    td data-label="Service" { (made_by(Some(one))) }
                    td.number data-label="Spent" { @if one.spent_micro_usd > 0 { (text::usd(one.spent_micro_usd)) } @else { "-" } }
                    td data-label="In words" { (text::short(one.note.as_deref().or(one.verdict.as_deref()).unwrap_or("-"), 500)) }
                }
            } }
        }
    }
}

/// Where each state stands in the drawing.
const PLACES: [(&str, f64, f64); 13] = [
    ("accepted", 2.0, 102.0),
    ("calling", 107.0, 102.0),
    ("unknown", 107.0, 202.0),
    ("submitted", 212.0, 102.0),
    ("fetched", 317.0, 102.0),
    ("checked", 422.0, 102.0),
    ("delivering", 527.0, 102.0),
    ("delivered", 632.0, 2.0),
    ("failed", 632.0, 42.0),
    ("refused", 632.0, 82.0),
    ("uncertain", 632.0, 122.0),
    ("expired", 632.0, 162.0),
    ("dead", 632.0, 202.0),
];
/// The usual ways.
const WAYS: [(&str, &str); 13] = [
    ("accepted", "calling"),
    ("calling", "submitted"),
    ("calling", "unknown"),
    ("submitted", "fetched"),
    ("fetched", "checked"),
    ("checked", "delivering"),
    ("unknown", "submitted"),
    ("delivering", "delivered"),
    ("delivering", "failed"),
    ("delivering", "refused"),
    ("delivering", "uncertain"),
    ("delivering", "expired"),
    ("delivering", "dead"),
];

fn place(state: &str) -> Option<(f64, f64)> {
    PLACES.iter().find(|place| place.0 == state).map(|place| (place.1, place.2))
}

/// From one state to another; back in a bow over what lies between.
fn way(from: &str, to: &str) -> Option<String> {
    let ((from_x, from_y), (to_x, to_y)) = (place(from)?, place(to)?);
    let (middle, half) = (TALL / 2.0, WIDE / 2.0);
    Some(if to_x > from_x {
        format!("M{},{} L{},{}", from_x + WIDE, from_y + middle, to_x, to_y + middle)
    } else if to_x < from_x {
        let bow = from_y.min(to_y) - 46.0;
        format!(
            "M{},{} Q{},{bow} {},{}",
            from_x + half,
            from_y,
            f64::midpoint(from_x, to_x) + half,
            to_x + half,
            to_y
        )
    } else {
        format!("M{},{} L{},{}", from_x + half, from_y + middle, to_x + half, to_y + middle)
    })
}

fn machine(steps: &[Step]) -> Markup {
    let mut taken: Vec<(&str, &str)> = Vec::new();
    for pair in steps.windows(2) {
        let way = (pair[0].told.state.as_str(), pair[1].told.state.as_str());
        if way.0 != way.1 && !taken.contains(&way) {
            taken.push(way);
        }
    }
    let last = steps.last().map_or("", |step| &step.told.state);
    let title = "States of the task and the way that it took; the table of steps says the same";
    html! {
        div.plot {
            svg.machine viewBox="0 0 722 242" role="img" aria-label=(title) focusable="false" {
                title { (title) }
                @for (from, to) in WAYS { @if let Some(way) = way(from, to) { path.way d=(way) {} } }
                @for (from, to) in &taken { @if let Some(way) = way(from, to) { path.way.taken d=(way) data-way={ (from) " " (to) } {} } }
                @for (state, x, y) in PLACES {
                    @let reached = steps.iter().find(|step| step.told.state == state);
                    g.state.taken[reached.is_some()].last[state == last] {
                        rect x=(x) y=(y) width=(WIDE) height=(TALL) rx="6" {}
                        text.name x=(x + WIDE / 2.0) y=(y + if reached.is_some() { 15.0 } else { 22.0 }) text-anchor="middle" { (state) }
                        @if let Some(step) = reached {
                            text.label x=(x + WIDE / 2.0) y=(y + 29.0) text-anchor="middle" { (after(steps, step)) }
                        }
                    }
                }
            }
        }
    }
}

/// A UUID as the programs write it.
fn is_task(name: &str) -> bool {
    name.len() == 36
        && name.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// `POST /generations/{task}/redeliver`.
pub(crate) async fn redeliver(
    State(shared): State<Shared>,
    Path(task): Path<String>,
    visit: Visit,
) -> Response {
    if !is_task(&task) {
        return missing(&visit, "A task goes by its UUID.");
    }
    match find(&shared, task.clone()).await {
        Err(error) => {
            return words(http::StatusCode::INTERNAL_SERVER_ERROR, "Not delivered", &unread(MINER, &error));
        }
        Ok(steps) if steps.is_empty() => return missing(&visit, "The journal has no such task."),
        Ok(_) => {}
    }
    let ended = shared.run("gascli", &["generator", "redeliver", &task]).await;
    told(&visit, &format!("/generations/{task}"), &ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_uuid_becomes_an_argument() {
        assert!(is_task("5f2b4c1e-6c1d-4f7e-9f55-3a1f0c6f2f10"));
        for name in
            ["--help", "5f2b4c1e-6c1d-4f7e-9f55-3a1f0c6f2f1", "5f2b4c1e06c1d-4f7e-9f55-3a1f0c6f2f10", ""]
        {
            assert!(!is_task(name), "{name}");
        }
    }

    #[test]
    fn every_way_has_its_ends_in_the_drawing() {
        assert!(WAYS.iter().all(|(from, to)| way(from, to).is_some()));
    }
}
