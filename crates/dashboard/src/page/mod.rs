//! What the pages show: one file a page, and what they share.
//!
//! A page is made on the server and can be read without a script. Its part `#live` is fetched again when something was
//! recorded; what an operator types into or presses stands outside it.

pub(crate) mod challenge;
pub(crate) mod challenges;
mod filter;
pub(crate) mod generation;
pub(crate) mod generations;
pub(crate) mod health;
pub(crate) mod money;
pub(crate) mod now;
mod plot;
pub(crate) mod rehearsals;
mod text;
pub(crate) mod turbo_vision;
pub(crate) mod validators;

use std::convert::Infallible;
use std::time::SystemTime;

use axum::body::Body;
use axum::extract::{FromRequestParts, State};
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use maud::{DOCTYPE, Markup, html};

pub(crate) use self::filter::{Filter, Query};
pub(crate) use self::health::Checkup;
use crate::now::unix_ms;
use crate::server::export::Format;
use crate::server::{Access, Ended, How, Live, Refusal, RunError, Shared, Watched, assets};
use crate::{Miner, SourceError};

/// Rows of a table on a page.
const ROWS: usize = 50;

/// A page in the list at the top.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Room {
    Now,
    Challenges,
    Generations,
    TurboVision,
    Rehearsals,
    Validators,
    Money,
    Health,
}

impl Room {
    const ALL: [Self; 8] = [
        Self::Now,
        Self::Challenges,
        Self::Generations,
        Self::TurboVision,
        Self::Rehearsals,
        Self::Validators,
        Self::Money,
        Self::Health,
    ];

    fn path(self) -> &'static str {
        match self {
            Self::Now => "/",
            Self::Challenges => "/challenges",
            Self::Generations => "/generations",
            Self::TurboVision => "/turbo-vision",
            Self::Rehearsals => "/rehearsals",
            Self::Validators => "/validators",
            Self::Money => "/money",
            Self::Health => "/health",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Now => "Now",
            Self::Challenges => "Challenges",
            Self::Generations => "Generations",
            Self::TurboVision => "Turbo Vision",
            Self::Rehearsals => "Rehearsals",
            Self::Validators => "Validators",
            Self::Money => "Money",
            Self::Health => "Health",
        }
    }

    fn watched(self) -> Watched {
        match self {
            Self::Now => Watched::Miners,
            Self::Health => Watched::Health,
            _ => Watched::Journals,
        }
    }
}

/// One request.
#[derive(Debug)]
pub(crate) struct Visit {
    path: String,
    query: Query,
    /// Path and query, to be asked again.
    target: String,
    operator: bool,
    /// A piece of a page is wanted, not a page.
    piece: bool,
    now_ms: i64,
}

impl<S: Sync> FromRequestParts<S> for Visit {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let access = parts.extensions.get::<Access>().copied().unwrap_or(Access { operator: false });
        Ok(Self {
            path: parts.uri.path().to_owned(),
            query: Query::parse(parts.uri.query().unwrap_or_default()),
            target: parts.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned(),
            operator: access.operator,
            piece: parts.headers.contains_key("hx-request"),
            now_ms: unix_ms(SystemTime::now()),
        })
    }
}

impl Visit {
    /// The form of a file, where one is wanted.
    fn format(&self) -> Option<Format> {
        Format::split(&self.path).1
    }
}

/// What htmx is told: it runs nothing that a page says, and asks nobody else.
const HTMX: &str = r#"{"allowEval":false,"allowScriptTags":false,"includeIndicatorStyles":false,"selfRequestsOnly":true,"historyCacheSize":0,"historyEnabled":false,"refreshOnHistoryMiss":true,"timeout":130000}"#;

/// A whole page: what stays, and what is fetched again.
fn page(visit: &Visit, room: Room, title: &str, stays: &Markup, live: &Markup) -> Response {
    let head = head(title);
    let body = html! {
        (DOCTYPE)
        html lang="en" {
            (head)
            body hx-ext="sse" sse-connect={ "/live?page=" (room.watched().name()) } {
                a.skip href="#main" { "Skip to the content" }
                header.top {
                    a.brand href="/" { "Adit" }
                    nav aria-label="Pages" {
                        ul {
                            @for other in Room::ALL {
                                li { a href=(other.path()) aria-current=[(other == room).then_some("page")] { (other.title()) } }
                            }
                        }
                    }
                }
                main #main tabindex="-1" {
                    h1 { (title) }
                    (stays)
                    section #live hx-get=(visit.target) hx-trigger="sse:changed delay:200ms, refresh" hx-select="#live"
                        hx-swap="outerHTML" hx-disinherit="*" data-now=(visit.now_ms) { (live) }
                }
                footer {
                    @if visit.operator {
                        "You are in as the operator."
                    } @else {
                        "You may read. For the buttons, type " code { "adit dashboard --link" } " where the miner runs."
                    }
                    " Times are UTC."
                }
            }
        }
    };
    respond(StatusCode::OK, body)
}

fn head(title: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            meta name="htmx-config" content=(HTMX);
            title { (title) " - Adit" }
            link rel="stylesheet" href=(assets::STYLE.path);
            link rel="icon" href=(assets::ICON.path);
            @for script in [&assets::HTMX, &assets::SSE, &assets::SCRIPT] { script src=(script.path) defer {} }
        }
    }
}

/// A page of a few words.
fn words(status: StatusCode, title: &str, inside: &Markup) -> Response {
    let body = html! {
        (DOCTYPE)
        html lang="en" {
            (head(title))
            body { main #main { h1 { (title) } (inside) p { a href="/" { "To the first page" } } } }
        }
    };
    respond(status, body)
}

fn respond(status: StatusCode, body: Markup) -> Response {
    let mut response = Response::new(Body::from(body.into_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response
}

/// What one who is turned away is shown.
pub(crate) fn refused(status: StatusCode, headers: &HeaderMap, what: &str, to_do: &str) -> Response {
    let inside = html! { p.notice.bad role="alert" { (what) " " (quoted(to_do)) } };
    if headers.contains_key("hx-request") {
        respond(status, inside)
    } else {
        words(status, "Refused", &inside)
    }
}

/// A sentence with what is to be typed set apart, which stands in backquotes.
fn quoted(text: &str) -> Markup {
    html! {
        @for (index, piece) in text.split('`').enumerate() {
            @if index % 2 == 1 { code { (piece) } } @else { (piece) }
        }
    }
}

/// Any other address, or method.
pub(crate) async fn not_found(method: Method, visit: Visit) -> Response {
    if matches!(method, Method::GET | Method::HEAD) {
        missing(&visit, "There is no such page.")
    } else {
        words(StatusCode::METHOD_NOT_ALLOWED, "Nothing to press here", &html! {})
    }
}

/// What is not there, or no longer.
fn missing(visit: &Visit, what: &str) -> Response {
    let inside = html! { p { (what) } };
    if visit.piece {
        respond(StatusCode::NOT_FOUND, inside)
    } else {
        words(StatusCode::NOT_FOUND, "Not found", &inside)
    }
}

/// `/live`.
pub(crate) async fn live(State(shared): State<Shared>, visit: Visit) -> Response {
    Live::stream(&shared, Watched::named(visit.query.get("page")))
}

/// In place of what a journal would have told.
fn unread(miner: Miner, error: &SourceError) -> Markup {
    let damaged = match error {
        SourceError::Open(error) => error.is_damage(),
        SourceError::Read(error) => error.is_damage(),
        SourceError::BrokeOff => false,
    };
    html! {
        p.notice.bad role="alert" data-unread=(miner.name()) {
            strong { (miner.title()) ": its journal cannot be read. " }
            (error.to_string()) ". "
            @if damaged {
                "The file is damaged. The miner sets it aside and begins a new one when it is started again: "
                code { (start(miner)) } "."
            } @else {
                "Who runs the page must be who runs the miner, or at least may read its data folder."
            }
        }
    }
}

/// What starts a miner, or does something for it.
fn start(miner: Miner) -> &'static str {
    match miner {
        Miner::PrivateTrack => "sv start",
        Miner::Generative => "gascli generator start",
        Miner::TurboVision => "sv push",
    }
}

/// Where there is no entry yet, or none that is meant.
fn empty(filtered: bool, what: &str, miner: Miner) -> Markup {
    html! {
        p.empty {
            @if filtered {
                "Nothing that this filter means."
            } @else {
                (what) " " code { (start(miner)) } " begins it; " code { "adit demo" } " shows how it all goes."
            }
        }
    }
}

/// What a command that a button started did; a piece for the page, or a page of its own with the way back.
fn told(visit: &Visit, back: &str, ended: &Result<Ended, RunError>) -> Response {
    let (status, inside) = match ended {
        Err(error) => {
            let status = match error {
                RunError::Busy => StatusCode::TOO_MANY_REQUESTS,
                RunError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
                RunError::Start { .. } => StatusCode::INTERNAL_SERVER_ERROR,
            };
            (status, html! { p.notice.bad { (error.to_string()) } })
        }
        Ok(ended) => {
            let (class, how) = match ended.how {
                How::Well => ("good", "It went well.".to_owned()),
                How::Code(code) => ("bad", format!("It ended with code {code}.")),
                How::Killed => ("bad", "It was killed.".to_owned()),
                How::TooLong(limit) => {
                    ("bad", format!("It took longer than {} s and was stopped.", limit.as_secs()))
                }
            };
            let inside = html! {
                p.notice.(class) { (how) " " code { (text::short(&ended.command, 300)) } }
                @if !ended.printed.trim().is_empty() { pre.printed tabindex="0" { (ended.printed) } }
                @if ended.cut { p { "The rest of what it printed is left out." } }
            };
            (StatusCode::OK, inside)
        }
    };
    if visit.piece {
        respond(status, inside)
    } else {
        words(status, "What it did", &html! { (inside) p { a #back href=(back) { "Back" } } })
    }
}

/// A button that starts something, and where its result is shown. Only for the operator.
fn button(visit: &Visit, id: &str, action: &str, label: &str, hint: &str) -> Markup {
    html! {
        @if visit.operator {
            form.act method="post" action=(action) hx-post=(action) hx-target="#result" hx-swap="innerHTML"
                hx-disabled-elt="find button" {
                button #(id) type="submit" { (label) }
                span.hint { (hint) }
                span.busy role="status" { "working …" }
            }
            div #result role="status" aria-live="polite" {}
        } @else {
            p.hint { (label) ": for the operator alone. Type " code { "adit dashboard --link" } " and open what it prints." }
        }
    }
}

/// What is refused within a page's own rules, such as a table of settings.
fn operator_only() -> Markup {
    let (what, to_do) = Refusal::NoToken.words();
    html! { p.notice.fair #needs-token { (what) " " (quoted(to_do)) } }
}
