//! `/money`: what paid services cost, by day, against the budget; and what the chain paid.

use std::collections::{BTreeMap, BTreeSet};

use adit_journal::record::{Chain, Started};
use adit_journal::{Entry, Find, Reader, Tally};
use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use serde_json::json;

use super::plot::{self, Bar};
use super::validators::Range;
use super::{Room, Visit, page, text, unread};
use crate::Miner;
use crate::server::Shared;
use crate::server::export::{self, Columns, Journal, Row};

const DAY_MS: i64 = 86_400_000;
const MINER: Miner = Miner::Generative;
const COLUMNS: Columns = &["day", "provider", "model", "calls", "cost_usd"];
const EMISSION: Columns = &["id", "at", "miner", "netuid", "block", "uid", "incentive", "place", "emission"];
/// Most rows of the tables on the page; a file has them all.
const MOST: usize = 100;
/// Most entries of the chain that are drawn: 30 days of tempos of 72 minutes are 600.
const TEMPOS: u32 = 1000;
/// The colours of the bars' parts, for the costliest services.
const CLASSES: [&str; 5] = ["one", "two", "three", "four", "other"];

#[derive(Debug, Default, Clone, Copy)]
struct Spent {
    calls: u64,
    micro_usd: u64,
}

impl Spent {
    fn add(&mut self, tally: &Tally) {
        if tally.outcome == "call" {
            self.calls += tally.count;
        }
        self.micro_usd += tally.micro_usd;
    }
}

/// By day (since 1970), then by service and model.
type Days = BTreeMap<i64, BTreeMap<String, Spent>>;

fn days(tallies: &[Tally]) -> Days {
    let mut days = Days::new();
    for tally in tallies.iter().filter(|tally| tally.micro_usd > 0 || tally.outcome == "call") {
        let day = tally.from_ms().div_euclid(DAY_MS);
        days.entry(day).or_default().entry(tally.kind.clone()).or_default().add(tally);
    }
    days
}

fn split(kind: &str) -> (&str, &str) {
    kind.split_once(' ').unwrap_or((if kind.is_empty() { "unknown" } else { kind }, ""))
}

fn row(day: i64, kind: &str, spent: Spent) -> Row {
    let (provider, model) = split(kind);
    vec![
        text::day(day.saturating_mul(DAY_MS)).into(),
        provider.into(),
        model.into(),
        spent.calls.into(),
        json!(spent.micro_usd as f64 / 1e6),
    ]
}

fn rows(days: &Days) -> impl Iterator<Item = (i64, &str, Spent)> {
    days.iter().rev().flat_map(|(day, kinds)| kinds.iter().map(|(kind, spent)| (*day, kind.as_str(), *spent)))
}

fn chain_row(miner: Miner, entry: &Entry) -> Option<Row> {
    let chain: Chain = entry.read()?;
    Some(vec![
        entry.id.into(),
        text::iso(entry.at_ms).into(),
        miner.name().into(),
        chain.netuid.into(),
        chain.block.into(),
        json!(chain.uid),
        json!(chain.incentive),
        json!(chain.place),
        json!(chain.emission_rao as f64 / 1e9),
    ])
}

const CHAIN_ROWS: [fn(&Reader, &Entry) -> Option<Row>; 3] = [
    |_, entry| chain_row(Miner::ALL[0], entry),
    |_, entry| chain_row(Miner::ALL[1], entry),
    |_, entry| chain_row(Miner::ALL[2], entry),
];

/// `/money/emission.csv` and `.json`.
pub(crate) async fn show_emission(State(shared): State<Shared>, visit: Visit) -> Response {
    let Some(format) = visit.format() else {
        return super::missing(&visit, "This is a part of the page of money.");
    };
    let filter = super::Filter::of(&visit.query);
    let part = |miner: Miner| Journal { miner, event: "chain", row: CHAIN_ROWS[miner as usize] };
    let parts = Miner::ALL
        .into_iter()
        .filter(|one| filter.miner.is_none_or(|miner| miner == *one))
        .map(part)
        .collect();
    export::journals(format, "emission", EMISSION, &shared.sources, parts, filter)
}

struct Spend {
    days: Days,
    delivered: u64,
    budget: Option<u64>,
}

pub(crate) async fn show(State(shared): State<Shared>, visit: Visit) -> Response {
    let range = Range::of(&visit.query, 2);
    let from_ms = range.begins_ms(visit.now_ms);
    let reading = shared.sources.read(MINER, move |reader| {
        let tallies = reader.tallies("task", from_ms)?;
        let delivered =
            tallies.iter().filter(|tally| tally.outcome == "delivered").map(|tally| tally.count).sum();
        let started = reader.newest("started")?.and_then(|entry| entry.read::<Started>());
        let budget = started.and_then(|started| started.daily_budget_micro_usd);
        Ok(Spend { days: days(&tallies), delivered, budget })
    });
    let spend = reading.await;
    if let Some(format) = visit.format() {
        return match spend {
            Err(error) => export::failed(&error),
            Ok(spend) => {
                let days = spend.map(|spend| spend.days).unwrap_or_default();
                let rows = rows(&days).map(|(day, kind, spent)| row(day, kind, spent)).collect();
                export::table(format, "money", COLUMNS, rows)
            }
        };
    }
    let mut emission = Vec::new();
    for miner in Miner::ALL {
        let reading = shared.sources.read(miner, move |reader| {
            let find = Find { from_ms: Some(from_ms), limit: TEMPOS, ..Find::event("chain") };
            let mut found = Vec::new();
            reader.each(&find, |entry| {
                found.extend(entry.read::<Chain>().map(|chain| (entry.at_ms, chain)));
                true
            })?;
            found.reverse();
            Ok(found)
        });
        emission.push((miner, reading.await.map(Option::unwrap_or_default)));
    }
    let path = Room::Money.path();
    let live = html! {
        h2 { "Spent on paid services" }
        @match &spend {
            Err(error) => (unread(MINER, error)),
            Ok(None) => p.empty { "No paid call was made: the generative miner has not run here." },
            Ok(Some(spend)) => (spent(spend, range, from_ms, visit.now_ms)),
        }
        h2 { "Incentive and emission" }
        @for (miner, found) in &emission {
            @match found {
                Err(error) => (unread(*miner, error)),
                Ok(found) if found.is_empty() => p.empty { (miner.title()) ": nothing was recorded of its place on chain." },
                Ok(found) => (earned(*miner, found, visit.now_ms)),
            }
        }
        p.exports { "Export: " a href="/money/emission.csv" download { "CSV" } " · " a href="/money/emission.json" download { "JSON" } }
    };
    page(&visit, Room::Money, "Money", &range.choice(path), &live)
}

fn spent(spend: &Spend, range: Range, from_ms: i64, now_ms: i64) -> Markup {
    let total: u64 = rows(&spend.days).map(|row| row.2.micro_usd).sum();
    let today = now_ms.div_euclid(DAY_MS);
    let of_today: u64 =
        spend.days.get(&today).into_iter().flat_map(BTreeMap::values).map(|spent| spent.micro_usd).sum();
    let count = rows(&spend.days).count();
    let kinds: BTreeSet<&str> = rows(&spend.days).map(|row| row.1).collect();
    let mut kinds: Vec<_> = kinds
        .into_iter()
        .map(|kind| {
            (
                spend
                    .days
                    .values()
                    .filter_map(|kinds| kinds.get(kind))
                    .map(|spent| spent.micro_usd)
                    .sum::<u64>(),
                kind,
            )
        })
        .collect();
    kinds.sort_unstable_by(|a, b| b.cmp(a));
    let class = |kind: &str| CLASSES[kinds.iter().position(|(_, other)| *other == kind).unwrap_or(4).min(4)];
    html! {
        dl.facts.totals {
            div { dt { "Today" } dd data-micro-usd=(of_today) { (text::usd(of_today))
                @if let Some(budget) = spend.budget { " of " (text::usd(budget)) } } }
            div { dt { "Within " (range.words) } dd data-micro-usd=(total) { (text::usd(total)) } }
            div { dt { "Delivered tasks" } dd data-count=(spend.delivered) { (text::count(spend.delivered)) } }
            div { dt { "A delivered task cost" } dd { @match total.checked_div(spend.delivered) { Some(mean) => { (text::usd(mean)) " on average" }, None => "-" } } }
            div { dt { "Daily budget" } dd { @match spend.budget { Some(budget) => (text::usd(budget)), None => "not told" } } }
        }
        @if count == 0 { p.empty { "No paid call was made within these " (range.words) "." } } @else {
            (plot::bars("Spent by day; the table below says the same", &bars(spend, from_ms, today, &class), 180.0,
                spend.budget.map(|budget| (budget as f64, "daily budget")), &|value| text::usd(value as u64)))
            ul.legend { @for (sum, kind) in kinds.iter().take(4) {
                li { span.swatch.(class(kind)) aria-hidden="true" {} " " (text::short(kind, 60)) " " (text::usd(*sum)) }
            } @if kinds.len() > 4 { li { span.swatch.other aria-hidden="true" {} " others" } } }
            table #spend data-count=(count) {
                caption { "Spent by day, provider and model, the newest first" }
                thead { tr { th scope="col" { "Day" } th scope="col" { "Provider" } th scope="col" { "Model" } th.number scope="col" { "Calls" } th.number scope="col" { "Cost" } } }
                tbody { @for (day, kind, spent) in rows(&spend.days).take(MOST) {
                    @let (provider, model) = split(kind);
                    tr {
                        th scope="row" data-label="Day" { (text::day(day.saturating_mul(DAY_MS))) }
                        td data-label="Provider" { (text::short(provider, 60)) }
                        td data-label="Model" { (text::short(model, 80)) }
                        td.number data-label="Calls" { (text::count(spent.calls)) }
                        td.number data-label="Cost" { (text::usd(spent.micro_usd)) }
                    }
                } }
            }
            @if count > MOST { p { "Older ones are in the export." } }
        }
        p.exports { "Export: " a href={ "/money.csv?range=" (range.name) } download { "CSV" } " · "
            a href={ "/money.json?range=" (range.name) } download { "JSON" } }
    }
}

fn bars(spend: &Spend, from_ms: i64, today: i64, class: &dyn Fn(&str) -> &'static str) -> Vec<Bar> {
    let first = from_ms.div_euclid(DAY_MS);
    let every = if today - first > 10 { 5 } else { 1 };
    (first..=today)
        .map(|day| {
            let kinds = spend.days.get(&day);
            let mut parts: Vec<(&'static str, f64)> = Vec::new();
            for (kind, spent) in kinds.into_iter().flatten() {
                parts.push((class(kind), spent.micro_usd as f64));
            }
            let sum: u64 = kinds.into_iter().flat_map(BTreeMap::values).map(|spent| spent.micro_usd).sum();
            let date = text::day(day.saturating_mul(DAY_MS));
            let label = if (today - day) % every == 0 {
                date.get(5..).unwrap_or_default().to_owned()
            } else {
                String::new()
            };
            Bar { hint: format!("{date}: {}", text::usd(sum)), label, parts }
        })
        .collect()
}

fn earned(miner: Miner, found: &[(i64, Chain)], now_ms: i64) -> Markup {
    let ends = || {
        let day = |at: Option<&(i64, Chain)>| at.map_or_else(String::new, |(at, _)| text::day(*at));
        [day(found.first()), day(found.last())]
    };
    let [first, last] = ends();
    let points = |value: &dyn Fn(&Chain) -> f64| {
        found.iter().map(|(at, chain)| (*at, value(chain))).collect::<Vec<_>>()
    };
    // An epoch that was seen twice is paid once.
    let mut epochs = BTreeMap::new();
    for (_, chain) in found {
        epochs.insert((chain.netuid, chain.block / chain.tempo.max(1)), chain.emission_rao);
    }
    let total = epochs.values().fold(0_u64, |sum, rao| sum.saturating_add(*rao));
    html! {
        h3 { (miner.title()) }
        p { "Tempos seen: " (epochs.len()) ", together " strong { (text::token(total)) } "." }
        (plot::curve(&format!("{}: incentive; the table below says the same", miner.title()),
            &points(&|chain| chain.incentive), 120.0, [&first, &last], &|value| format!("incentive {}", text::percent(value))))
        (plot::curve(&format!("{}: emission by tempo; the table below says the same", miner.title()),
            &points(&|chain| chain.emission_rao as f64), 120.0, [&first, &last], &|value| format!("emission {}", text::token(value as u64))))
        details {
            summary { "The newest as a table" }
            table id={ "emission-" (miner.name()) } data-count=(found.len()) {
                caption { "Place on chain, the newest first" }
                thead { tr { th scope="col" { "When" } th.number scope="col" { "Block" } th.number scope="col" { "UID" } th.number scope="col" { "Incentive" } th.number scope="col" { "Place" } th.number scope="col" { "Emission" } } }
                tbody { @for (at, chain) in found.iter().rev().take(ROWS) { tr {
                    td data-label="When" { (text::time(now_ms, *at)) }
                    td.number data-label="Block" { (text::count(chain.block)) }
                    td.number data-label="UID" { @match chain.uid { Some(uid) => (uid), None => "-" } }
                    td.number data-label="Incentive" { (text::percent(chain.incentive)) }
                    td.number data-label="Place" { @match chain.place { Some(place) => (place), None => "-" } }
                    td.number data-label="Emission" { (text::token(chain.emission_rao)) }
                } } }
            }
        }
    }
}

const ROWS: usize = super::ROWS;
