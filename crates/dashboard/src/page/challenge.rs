//! `/challenges/{id}`: one challenge, where its time went, and what was answered.

use std::net::SocketAddr;

use adit_http_server::seen_from_here;
use adit_journal::record::{Challenge, Rehearsed, SpotChecked, Started};
use adit_journal::{Entry, Find};
use axum::extract::{Path, State};
use axum::response::Response;
use maud::{Markup, html};
use serde_json::{Value, json};

use super::plot::{self, Moment, Piece};
use super::{Room, Visit, button, missing, page, text, told, unread, words};
use crate::Miner;
use crate::server::Shared;
use crate::server::export::{self, Columns, Format};

const MINER: Miner = Miner::PrivateTrack;
const COLUMNS: Columns = &["frame", "action", "confidence"];
/// Most rows of the table of predictions; a file has them all.
const PREDICTIONS: usize = 200;
/// Most bytes of a raw answer on a page.
const RAW: usize = 64 * 1024;

struct Found {
    entry: Entry,
    challenge: Challenge,
    /// Rehearsals and spot checks of it, the newest first.
    later: Vec<Entry>,
}

async fn find(shared: &Shared, id: i64) -> Result<Option<Found>, crate::SourceError> {
    let reading = shared.sources.read(MINER, move |reader| {
        let Some(entry) = reader.entry(id)? else { return Ok(None) };
        let Some(challenge) = entry.read::<Challenge>() else { return Ok(None) };
        let mut later = Vec::new();
        for event in ["rehearsed", "spot_checked"] {
            let find = Find { key: entry.key.as_deref(), limit: 20, ..Find::event(event) };
            later.extend(reader.find(&find)?);
        }
        later.sort_by_key(|entry| std::cmp::Reverse(entry.id));
        Ok(Some(Found { entry, challenge, later }))
    });
    Ok(reading.await?.flatten())
}

pub(crate) async fn show(State(shared): State<Shared>, Path(name): Path<String>, visit: Visit) -> Response {
    let (id, format) = Format::split(&name);
    let Ok(id) = id.parse::<i64>() else {
        return missing(&visit, "A challenge goes by the number of its entry.");
    };
    let found = match find(&shared, id).await {
        Ok(Some(found)) => found,
        Ok(None) => {
            return missing(
                &visit,
                "The journal has no such challenge, or no longer: old entries are dropped.",
            );
        }
        Err(error) if format.is_some() => return export::failed(&error),
        Err(error) => return page(&visit, Room::Challenges, "Challenge", &html! {}, &unread(MINER, &error)),
    };
    let moments = moments(&found.challenge);
    if let Some(format) = format {
        let rows = moments.iter().map(|one| vec![json!(one.frame), json!(one.action), json!(one.confidence)]);
        return export::table(format, &format!("challenge-{id}"), COLUMNS, rows.collect());
    }
    let stays = button(
        &visit,
        "rehearse",
        &format!("/challenges/{id}/rehearse"),
        "Rehearse this challenge",
        "Sends it to the miner that runs, signed by a new key; a miner that judges callers by their stake may refuse it.",
    );
    let stays = html! { @if found.challenge.video_url.is_some() { (stays) } };
    page(&visit, Room::Challenges, "Challenge", &stays, &body(&found, &moments, visit.now_ms))
}

fn body(found: &Found, moments: &[Moment], now_ms: i64) -> Markup {
    let Found { entry, challenge, later } = found;
    let clip = challenge.clip.clone().unwrap_or_default();
    html! {
        dl.facts #summary {
            div { dt { "Challenge" } dd { code { (challenge.challenge_id) } } }
            div { dt { "Outcome" } dd {
                (text::outcome(challenge.outcome.as_str()))
                @if let Some(status) = challenge.status { " HTTP " (status) }
            } }
            @if let Some(reason) = &challenge.reason { div.wide { dt { "Why" } dd { (reason) } } }
            div { dt { "When" } dd { (text::time(now_ms, entry.at_ms)) " (" (text::utc(entry.at_ms)) ")" } }
            div { dt { "Took" } dd { (text::millis(challenge.latency_ms)) } }
            div { dt { "Validator" } dd { @match &challenge.sender {
                Some(sender) => code.whole { (sender) }, None => "unsigned",
            } } }
            div { dt { "Message form" } dd { (challenge.dialect.as_deref().unwrap_or("unknown")) } }
            div { dt { "Asked for" } dd { (challenge.mode.replace('_', " ")) } }
            div { dt { "Predictor" } dd { (challenge.predictor) } }
            @if let Some(image) = &challenge.image { div.wide { dt { "Image" } dd { code { (image) } } } }
            @for url in [&challenge.video_url, &challenge.image_url].into_iter().flatten() {
                div.wide { dt { "Of" } dd { code { (text::url(url)) } } }
            }
            @if challenge.clip.is_some() { div { dt { "Clip" } dd { (clip_words(&clip)) } } }
        }
        h2 { "Where the time went" }
        @if challenge.stages.is_empty() {
            p.empty { "No stages were recorded." }
        } @else {
            (waterfall(challenge))
        }
        h2 { "Predictions" }
        @if moments.is_empty() {
            p.empty { @match challenge.predictions {
                Some(0) => "It was answered with no prediction.",
                _ => "There is none to draw; see the answer below.",
            } }
        } @else {
            (plot::timeline("Predictions by frame; the table below says the same", moments, clip.frames))
            details {
                summary { (moments.len()) " predictions as a table" }
                table #predictions data-count=(moments.len()) {
                    caption { "Predictions in the order of the answer" }
                    thead { tr { th.number scope="col" { "Frame" } th scope="col" { "Action" } th.number scope="col" { "Confidence" } } }
                    tbody { @for moment in moments.iter().take(PREDICTIONS) {
                        tr {
                            td.number data-label="Frame" { (moment.frame) }
                            td data-label="Action" { (moment.action) }
                            td.number data-label="Confidence" { (format!("{:.3}", moment.confidence)) }
                        }
                    } }
                }
                @if moments.len() > PREDICTIONS { p { "The others are in the export." } }
            }
            p.exports { "Export: " a href={ "/challenges/" (entry.id) ".csv" } download { "CSV" } " · "
                a href={ "/challenges/" (entry.id) ".json" } download { "JSON" } }
        }
        h2 { "Answer" }
        @if let Some(answer) = &challenge.answer {
            details { summary { "The answer as it was sent, but for its processing time (" (text::bytes(answer.get().len() as u64)) ")" }
                pre #answer tabindex="0" { (text::short(answer.get(), RAW)) } }
        } @else if let Some(bytes) = challenge.answer_too_large {
            p.empty { "With " (text::bytes(bytes as u64)) " it was too large to be recorded." }
        } @else { p.empty { "There was none." } }
        h2 { "Asked again" }
        @if later.is_empty() { p.empty { "It has not been rehearsed or spot-checked." } }
        @else { (asked_again(later, now_ms)) }
    }
}

fn clip_words(clip: &adit_journal::record::Clip) -> String {
    let parts = [
        clip.size.map(|(width, height)| format!("{width} × {height}")),
        clip.frames.map(|frames| format!("{} frames", text::count(frames))),
        clip.fps.map(|fps| format!("{fps:.2} frames/s")),
        clip.bytes.map(text::bytes),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn waterfall(challenge: &Challenge) -> Markup {
    let pieces: Vec<_> = challenge.stages.iter().take(40).collect();
    let drawn: Vec<Piece<'_>> = pieces
        .iter()
        .map(|stage| Piece {
            name: &stage.name,
            from: stage.from_us,
            took: stage.took_us,
            words: text::micros(stage.took_us),
        })
        .collect();
    html! {
        (plot::waterfall("Stages of the challenge by time; the table below says the same", &drawn))
        details {
            summary { (pieces.len()) " stages as a table" }
            table #stages data-count=(pieces.len()) {
                caption { "Stages in the order of their beginnings" }
                thead { tr { th scope="col" { "Stage" } th.number scope="col" { "Began after" } th.number scope="col" { "Took" } } }
                tbody { @for stage in pieces {
                    tr {
                        th scope="row" data-label="Stage" { (text::short(&stage.name, 60)) }
                        td.number data-label="Began after" { (text::micros(stage.from_us)) }
                        td.number data-label="Took" { (text::micros(stage.took_us)) }
                    }
                } }
            }
        }
    }
}

fn asked_again(later: &[Entry], now_ms: i64) -> Markup {
    html! {
        table #rehearsals data-count=(later.len()) {
            caption { "Rehearsals and spot checks of this challenge, the newest first" }
            thead { tr { th scope="col" { "When" } th scope="col" { "What" } th scope="col" { "Outcome" } th scope="col" { "Same predictions" } th scope="col" { "In words" } } }
            tbody { @for entry in later {
                @let rehearsed = entry.read::<Rehearsed>();
                @let checked = entry.read::<SpotChecked>();
                @let identical = rehearsed.as_ref().and_then(|one| one.identical).or(checked.as_ref().and_then(|one| one.identical));
                @let detail = rehearsed.as_ref().and_then(|one| one.detail.as_deref()).or(checked.as_ref().and_then(|one| one.detail.as_deref()));
                tr {
                    td data-label="When" { (text::time(now_ms, entry.at_ms)) }
                    td data-label="What" { (if checked.is_some() { "spot check" } else { "rehearsal" }) }
                    td data-label="Outcome" { (text::outcome(entry.outcome.as_deref().unwrap_or_default())) }
                    td data-label="Same predictions" { (identical.map_or("-", |same| if same { "yes" } else { "no" })) }
                    td data-label="In words" { (text::short(detail.unwrap_or("-"), 300)) }
                }
            } }
        }
    }
}

/// Out of an answer in either form.
fn moments(challenge: &Challenge) -> Vec<Moment> {
    let answer: Value =
        challenge.answer.as_ref().and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
    let items = answer["prediction"]["items"].as_array().or_else(|| answer["predictions"].as_array());
    let moment = |item: &Value| {
        Some(Moment {
            frame: item["frame"].as_i64().or_else(|| item["frame"].as_f64().map(|frame| frame as i64))?,
            action: item["action"].as_str()?.to_owned(),
            confidence: item["confidence"].as_f64().unwrap_or(1.0),
        })
    };
    items.into_iter().flatten().filter_map(moment).collect()
}

/// `POST /challenges/{id}/rehearse`.
pub(crate) async fn rehearse(State(shared): State<Shared>, Path(id): Path<String>, visit: Visit) -> Response {
    let Ok(id) = id.parse::<i64>() else {
        return missing(&visit, "A challenge goes by the number of its entry.");
    };
    let back = format!("/challenges/{id}");
    let reading = shared.sources.read(MINER, move |reader| {
        let challenge = reader.entry(id)?.and_then(|entry| entry.read::<Challenge>());
        let started = reader.newest("started")?.and_then(|entry| entry.read::<Started>());
        Ok((challenge, started))
    });
    let (challenge, started) = match reading.await {
        Ok(found) => found.unwrap_or((None, None)),
        Err(error) => {
            return words(http::StatusCode::INTERNAL_SERVER_ERROR, "Not rehearsed", &unread(MINER, &error));
        }
    };
    let Some(challenge) = challenge else { return missing(&visit, "The journal has no such challenge.") };
    // What a validator wrote becomes an argument: an address of the web, or nothing.
    let url = challenge
        .video_url
        .filter(|url| url::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https")));
    let Some(url) = url else {
        return missing(&visit, "This challenge names no clip that could be sent again.");
    };
    let Some(address) = started.and_then(|started| started.address.parse::<SocketAddr>().ok()) else {
        return missing(&visit, "No miner has said where it listens: start it first.");
    };
    let miner = format!("http://{}", seen_from_here(address));
    let id = id.to_string();
    let arguments = ["rehearse", &url, "--miner", &miner, "--of", &id];
    let mut ended = shared.run("sv", &arguments).await;
    if let Ok(ended) = &mut ended {
        // A signature in the address is nothing for a page.
        ended.command = ended.command.replace(&url, &text::url(&url));
        ended.printed = ended.printed.replace(&url, &text::url(&url));
    }
    told(&visit, &back, &ended)
}
