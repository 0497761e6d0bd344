//! `/health`: what `adit doctor` says, asked while the page is open.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::{Room, Visit, operator_only, page, refused, text};
use crate::now::unix_ms;
use crate::server::export::{self, Columns, Row};
use crate::server::{How, Refusal, Shared};

/// The doctor promises to be done sooner.
const LIMIT: Duration = Duration::from_secs(10);
/// It is not asked again before.
const FRESH: Duration = Duration::from_secs(15);
const COLUMNS: Columns = &["miner", "name", "status", "found", "fix"];
/// Who is looked at, by the doctor's own words.
const PATIENTS: [(&str, &str); 2] = [("sv", "Private track and Turbo Vision"), ("gascli", "Generative")];

/// What the doctor said of all.
#[derive(Debug)]
pub(crate) struct Checkup {
    at_ms: i64,
    of: Vec<(&'static str, &'static str, Result<Said, String>)>,
}

#[derive(Debug, Deserialize)]
struct Said {
    passed: bool,
    checks: Vec<Check>,
}

#[derive(Debug, Deserialize)]
struct Check {
    name: String,
    status: String,
    found: String,
    #[serde(default)]
    fix: Option<String>,
}

async fn checkup(shared: &Shared) -> Arc<Checkup> {
    let mut kept = shared.checkup.lock().await;
    if let Some((at, checkup)) = &*kept
        && at.elapsed() < FRESH
    {
        return Arc::clone(checkup);
    }
    let ask = async |name: &'static str| {
        let ended = shared
            .program
            .adit(&["doctor", name, "--json"], LIMIT)
            .await
            .map_err(|error| error.to_string())?;
        if let How::TooLong(limit) = ended.how {
            return Err(format!("it did not answer within {} s", limit.as_secs()));
        }
        // It may warn of something before, on the other output.
        let start = ended.printed.find("\n{").map_or(0, |at| at + 1);
        serde_json::Deserializer::from_str(ended.printed[start..].trim_start())
            .into_iter::<Said>()
            .next()
            .and_then(Result::ok)
            .ok_or_else(|| text::short(ended.printed.trim(), 500))
    };
    let (sv, gascli) = tokio::join!(ask(PATIENTS[0].0), ask(PATIENTS[1].0));
    let of =
        PATIENTS.into_iter().zip([sv, gascli]).map(|((name, title), said)| (name, title, said)).collect();
    let checkup = Arc::new(Checkup { at_ms: unix_ms(SystemTime::now()), of });
    *kept = Some((Instant::now(), Arc::clone(&checkup)));
    checkup
}

pub(crate) async fn show(State(shared): State<Shared>, visit: Visit, headers: http::HeaderMap) -> Response {
    if !visit.operator {
        if visit.format().is_some() {
            let (what, to_do) = Refusal::NoToken.words();
            return refused(http::StatusCode::FORBIDDEN, &headers, what, to_do);
        }
        let why = html! { (operator_only()) p { "It shows settings, so it is for the operator's eyes." } };
        return page(&visit, Room::Health, "Health", &why, &html! {});
    }
    let checkup = checkup(&shared).await;
    if let Some(format) = visit.format() {
        return export::table(format, "health", COLUMNS, rows(&checkup));
    }
    let live = html! {
        p { "Looked " (text::time(visit.now_ms, checkup.at_ms)) ", and again every 15 s while this page is open." }
        @for (name, title, said) in &checkup.of { (section(name, title, said)) }
        p.exports { "Export: " a href="/health.csv" download { "CSV" } " · " a href="/health.json" download { "JSON" } }
    };
    page(&visit, Room::Health, "Health", &html! {}, &live)
}

fn rows(checkup: &Checkup) -> Vec<Row> {
    let of = checkup.of.iter().filter_map(|(name, _, said)| Some((name, said.as_ref().ok()?)));
    of.flat_map(|(name, said)| {
        said.checks.iter().map(move |check| {
            vec![json!(name), json!(check.name), json!(check.status), json!(check.found), json!(check.fix)]
        })
    })
    .collect()
}

fn section(name: &str, title: &str, said: &Result<Said, String>) -> Markup {
    html! {
        h2 { (title) }
        @match said {
            Err(error) => p.notice.bad role="alert" { code { "adit doctor " (name) } " said nothing that can be shown: " (error) },
            Ok(said) => {
                p { @if said.passed { "Nothing fails." } @else { strong { "Something fails." } " What to do stands beside it." } }
                table id={ "checks-" (name) } data-count=(said.checks.len()) data-passed=(said.passed) {
                    caption { "What " code { "adit doctor " (name) } " found" }
                    thead { tr { th scope="col" { "Outcome" } th scope="col" { "Check" } th scope="col" { "Found" } th scope="col" { "What to do" } } }
                    tbody { @for check in &said.checks { tr {
                        td data-label="Outcome" { (text::outcome(&check.status)) }
                        th scope="row" data-label="Check" { (check.name) }
                        td data-label="Found" { (text::short(&check.found, 500)) }
                        td data-label="What to do" { @match &check.fix { Some(fix) => (text::short(fix, 500)), None => "-" } }
                    } } }
                }
            }
        }
    }
}
