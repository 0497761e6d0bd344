//! `/`: each miner as it stands, and what wants something of the operator.

use adit_journal::record::Chain;
use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use serde_json::json;

use super::plot::{self, Bar};
use super::{Room, Visit, page, quoted, start, text};
use crate::alert::Alert;
use crate::server::Shared;
use crate::server::export::{self, Columns, Row};
use crate::{Miner, MinerNow, Run};

const HOUR_MS: i64 = 3_600_000;
const COLUMNS: Columns = &[
    "miner",
    "state",
    "version",
    "started",
    "hotkey",
    "netuid",
    "uid",
    "working",
    "waiting",
    "good_24h",
    "bad_24h",
    "refused_24h",
    "spent_usd_24h",
    "last_at",
    "last_outcome",
    "incentive",
    "emission",
    "axon",
    "journal_bytes",
];

pub(crate) async fn show(State(shared): State<Shared>, visit: Visit) -> Response {
    let now = shared.now().await;
    if let Some(format) = visit.format() {
        return export::table(format, "now", COLUMNS, now.miners.iter().map(row).collect());
    }
    let alerts = shared.alerts(&now).await;
    let never = now.miners.iter().all(|miner| miner.journal.is_none() && miner.unreadable.is_none());
    let live = html! {
        (alerts_part(&alerts))
        @if never { (welcome()) }
        div.cards {
            @for miner in &now.miners { (card(miner, now.at_ms, visit.now_ms)) }
        }
        p.exports { "Export: " a href="/now.csv" download { "CSV" } " · " a href="/now.json" download { "JSON" } }
    };
    page(&visit, Room::Now, "Now", &html! {}, &live)
}

fn row(miner: &MinerNow) -> Row {
    let (started, chain) = (miner.started.as_ref(), miner.chain.as_ref());
    vec![
        miner.miner.name().into(),
        miner.run.as_str().into(),
        json!(started.map(|one| &one.version)),
        json!(miner.started_ms.map(text::iso)),
        json!(started.and_then(|one| one.hotkey.as_deref())),
        json!(started.and_then(|one| one.netuid)),
        json!(chain.and_then(|chain| chain.uid)),
        json!(miner.queue.map(|queue| queue.working)),
        json!(miner.queue.map(|queue| queue.waiting)),
        miner.day.good.into(),
        miner.day.bad.into(),
        miner.day.refused.into(),
        json!(miner.day.micro_usd as f64 / 1e6),
        json!(miner.last.as_ref().map(|last| text::iso(last.at_ms))),
        json!(miner.last.as_ref().map(|last| &last.outcome)),
        json!(chain.map(|chain| chain.incentive)),
        json!(chain.map(|chain| chain.emission_rao as f64 / 1e9)),
        json!(chain.and_then(|chain| chain.axon.as_deref())),
        json!(miner.journal.map(|size| size.bytes)),
    ]
}

/// What is to be typed stands in backquotes.
fn alerts_part(alerts: &[Alert]) -> Markup {
    html! {
        section #alerts aria-label="Alerts" data-count=(alerts.len()) {
            @if alerts.is_empty() {
                p.calm { span aria-hidden="true" { "✓ " } "Nothing wants your attention." }
            } @else {
                ul.alerts { @for alert in alerts {
                    li.urgent[alert.urgent] {
                        p { span.mark.(if alert.urgent { "bad" } else { "fair" }) { span aria-hidden="true" { (if alert.urgent { "✗" } else { "!" }) } " " (if alert.urgent { "urgent" } else { "notice" }) }
                            " " strong { (quoted(&alert.text)) }
                        }
                        p.todo { (quoted(&alert.todo)) }
                    }
                } }
            }
        }
    }
}

fn welcome() -> Markup {
    html! {
        section #welcome {
            h2 { "Nothing has been recorded here yet" }
            p { "The page shows what miners of this host write down. Start one, or see how it all goes first:" }
            dl.commands {
                dt { code { "adit demo" } } dd { "rehearses all three on this host, against stand-ins" }
                dt { code { "sv start" } } dd { "starts the private track's miner" }
                dt { code { "gascli generator start" } } dd { "starts the generative miner" }
                dt { code { "adit doctor" } } dd { "says what is still missing" }
            }
        }
    }
}

fn card(now: &MinerNow, looked_ms: i64, now_ms: i64) -> Markup {
    let id = now.miner.name();
    html! {
        article.card id=(id) aria-labelledby={ "title-" (id) } data-run=(now.run.as_str()) {
            header {
                h2 id={ "title-" (id) } { (now.miner.title()) }
                (run(now.run))
            }
            @if let Some(why) = &now.unreadable {
                p.notice.bad role="alert" data-unread=(id) { strong { "Its journal cannot be read: " } (why) ". A miner that starts sets a damaged one aside: "
                    code { (start(now.miner)) } }
            }
            @if let Some(why) = &now.stopped { p.notice.bad { strong { "Stopped: " } (text::short(why, 500)) } }
            @if now.run == Run::Never && now.unreadable.is_none() {
                p.empty { "It has never run here. " code { (start(now.miner)) } " starts it." }
            }
            (facts(now, now_ms))
            @if now.journal.is_some() { (day(now, looked_ms)) }
            @if let Some(chain) = &now.chain {
                details { summary { "On chain: incentive " (text::percent(chain.incentive)) ", " (text::token(chain.emission_rao)) " a tempo" }
                    (chain_facts(chain, now.chain_ms.unwrap_or(chain.as_of_ms), now_ms)) }
            }
            @if let Some(started) = now.started.as_ref().filter(|started| !started.warnings.is_empty()) {
                ul.warnings { @for warning in started.warnings.iter().take(20) { li { (text::short(warning, 300)) } } }
            }
        }
    }
}

fn run(run: Run) -> Markup {
    let (class, sign) = match run {
        Run::Online => ("good", "●"),
        Run::Silent => ("bad", "✗"),
        Run::Stopped => ("fair", "■"),
        Run::Never => ("plain", "○"),
        Run::Elsewhere => ("plain", "↗"),
    };
    html! { span.mark.run.(class) { span aria-hidden="true" { (sign) } " " (run.as_str()) } }
}

fn facts(now: &MinerNow, now_ms: i64) -> Markup {
    let started = now.started.as_ref();
    html! {
        dl.facts {
            @if let (Some(started), Some(at)) = (started, now.started_ms) {
                @if matches!(now.run, Run::Online | Run::Silent) {
                    div { dt { (if now.run == Run::Online { "Up for" } else { "Started" }) } dd title=(text::utc(at)) {
                        @if now.run == Run::Online { (text::since(now_ms, at)) } @else { (text::time(now_ms, at)) } } }
                }
                div { dt { "Version" } dd { (text::short(&started.version, 40)) } }
                div { dt { "Listens at" } dd { code { (text::short(&started.address, 60)) } } }
                @if !started.works_by.is_empty() { div.wide { dt { "Works by" } dd { (text::short(&started.works_by.join(", "), 200)) } } }
                @if let Some(image) = &started.image { div.wide { dt { "Image" } dd { code { (text::short(image, 120)) } } } }
                @if let Some(hotkey) = &started.hotkey { div { dt { "Hotkey" } dd { (text::name(hotkey)) } } }
                div { dt { "Subnet, uid" } dd { @match started.netuid { Some(netuid) => (netuid), None => "-" } ", "
                    @match now.chain.as_ref().and_then(|chain| chain.uid) { Some(uid) => (uid), None => "none known" } } }
            }
            @if let Some(queue) = now.queue {
                div { dt { "Queue" } dd { (queue.working) " at work, " (queue.waiting) " waiting" } }
            }
            @if let Some(last) = &now.last {
                div.wide { dt { (match now.miner { Miner::PrivateTrack => "Last challenge", Miner::Generative => "Last task", Miner::TurboVision => "Last rehearsal" }) }
                    dd { (text::outcome(&last.outcome)) " " (last_link(now.miner, last)) " " (text::time(now_ms, last.at_ms)) } }
            }
            @if let Some(size) = now.journal {
                div { dt { "Journal" } dd { (text::bytes(size.bytes)) ", " (text::count(size.entries)) " entries"
                    @if let Some(dropped) = dropped(now) { ", " strong { (text::count(dropped)) " dropped" } } } }
            }
        }
    }
}

/// Entries that the miner could not write down, where it says so.
fn dropped(now: &MinerNow) -> Option<u64> {
    let found = now.figures.iter().find(|(name, _)| name.contains("journal_dropped"));
    found.map(|(_, value)| *value as u64).filter(|dropped| *dropped > 0)
}

fn last_link(miner: Miner, last: &crate::Last) -> Markup {
    let key: String = url::form_urlencoded::byte_serialize(last.key.as_bytes()).collect();
    html! { @match miner {
        Miner::PrivateTrack => a href={ "/challenges/" (last.id) } { (text::short(&last.key, 24)) },
        Miner::Generative => a href={ "/generations/" (key) } { (text::short(&last.key, 13)) },
        Miner::TurboVision => a href="/rehearsals?miner=turbo-vision" { "rehearsal" },
    } }
}

fn day(now: &MinerNow, looked_ms: i64) -> Markup {
    let last = looked_ms.div_euclid(HOUR_MS);
    let bars: Vec<Bar> = (last - 23..)
        .zip(now.hours)
        .map(|(hour, (good, bad))| {
            let clock = hour.rem_euclid(24);
            Bar {
                label: if clock % 6 == 0 { format!("{clock:02}:00") } else { String::new() },
                hint: format!("{clock:02}:00 UTC: {good} good, {bad} bad"),
                parts: vec![("good", good as f64), ("bad", bad as f64)],
            }
        })
        .collect();
    let day = now.day;
    html! {
        div.day {
            p.counts { "Last 24 hours: "
                strong data-good=(day.good) { (text::count(day.good)) } " good, "
                strong data-bad=(day.bad) { (text::count(day.bad)) } " bad, "
                strong data-refused=(day.refused) { (text::count(day.refused)) } " refused at the gate"
                @if day.micro_usd > 0 { ", " (text::usd(day.micro_usd)) " spent" }
            }
            (plot::bars(&format!("{} by the hour: good and bad", now.miner.title()), &bars, 140.0, None, &|value| format!("{value:.0}")))
        }
    }
}

/// What the chain said of a miner.
pub(super) fn chain_facts(chain: &Chain, at_ms: i64, now_ms: i64) -> Markup {
    html! {
        dl.facts {
            div { dt { "Registered" } dd { @match chain.uid {
                Some(uid) => { (text::outcome("registered")) " as uid " (uid) },
                None => (text::outcome("not_registered")),
            } } }
            div { dt { "Subnet" } dd { (chain.netuid) " of " (text::short(&chain.network, 60)) } }
            div { dt { "Hotkey" } dd { (text::name(&chain.hotkey)) } }
            div { dt { "Incentive" } dd { (text::percent(chain.incentive)) @if let Some(place) = chain.place { ", place " (place) " of " (chain.hotkeys) } } }
            div { dt { "Emission" } dd { (text::token(chain.emission_rao)) " a tempo" } }
            div { dt { "Axon" } dd { @match &chain.axon { Some(axon) => code { (text::short(axon, 60)) }, None => "not set" } } }
            @if let Some(block) = chain.registered_at {
                div { dt { "Since block" } dd { (text::count(block))
                    @if chain.block < block.saturating_add(chain.immunity_period) { " (cannot be replaced yet)" } } }
            }
            @if let Some(commitment) = &chain.commitment { div.wide { dt { "Commitment" } dd { code { (text::short(commitment, 200)) } } } }
            div { dt { "As of" } dd { "block " (text::count(chain.block)) ", " (text::time(now_ms, at_ms)) } }
        }
    }
}
