//! The figures for Prometheus, and the dashboard in docs/ that shows them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use adit_dashboard::alert::Alert;
use adit_dashboard::metrics::render;
use adit_dashboard::{Connection, Miner, MinerNow, Now, Run, Sources};
use adit_journal::record::{
    Chain, Challenge, Ended, Pushed, Record, Refused, Rehearsed, SpotChecked, Started, TaskStep,
};
use adit_journal::{GENERATIVE, Journal, Limits, PRIVATE_TRACK, TURBO_VISION};
use serde_json::Value;

fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn challenge(sender: &str, outcome: Ended) -> Challenge {
    let ended = outcome.as_str();
    serde_json::from_value(serde_json::json!({
        "challenge_id": "c1", "sender": sender, "mode": "soccer_action", "outcome": ended, "latency_ms": 900,
        "predictor": "baseline",
    }))
    .unwrap()
}

fn step(step: &str, state: &str, micro_usd: u64) -> TaskStep {
    TaskStep {
        validator: "5V".to_owned(),
        step: step.to_owned(),
        state: state.to_owned(),
        service: Some("openai".to_owned()),
        model: Some("gpt-image-2".to_owned()),
        spent_micro_usd: micro_usd,
        ..TaskStep::default()
    }
}

fn refused(reason: &str, count: u64) -> Refused {
    Refused { reason: reason.to_owned(), claimed: None, count, detail: None }
}

struct Host {
    folder: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn journal(&self, file: &str) -> Journal {
        Journal::open(&self.folder.path().join(file), Limits::default()).unwrap()
    }

    fn record<R: Record>(&self, file: &str, records: &[R]) {
        let journal = self.journal(file);
        records.iter().for_each(|record| journal.record(record));
    }

    /// As it stands, and the journals; nothing listens.
    async fn now(&self) -> (Arc<Sources>, Now) {
        let sources = Sources::new(self.folder.path().to_owned());
        let now = Now::look(&sources, &Connection::new().unwrap()).await;
        (sources, now)
    }

    async fn text(&self, change: impl FnOnce(&mut Now), alerts: &[Alert]) -> String {
        let (sources, mut now) = self.now().await;
        change(&mut now);
        render(&sources, &now, alerts).unwrap()
    }
}

/// A host on which everything has happened.
async fn all_of_it() -> String {
    let host = Host::new();
    host.record(PRIVATE_TRACK, &[challenge("5A", Ended::Answered), challenge("5A", Ended::Answered)]);
    host.record(PRIVATE_TRACK, &[challenge("5B", Ended::Failed)]);
    host.record(PRIVATE_TRACK, &[refused("signature", 40), refused("signature", 2)]);
    host.record(PRIVATE_TRACK, &[SpotChecked { passed: true, ..SpotChecked::default() }]);
    let tasks = [
        step("accepted", "accepted", 0),
        step("fetched", "fetched", 40_000),
        step("answered", "delivered", 0),
        step("answered", "delivering", 0),
        step("expired", "expired", 2_500_000),
    ];
    host.record(GENERATIVE, &tasks);
    let started = Started {
        version: String::new(),
        pid: 1,
        address: "127.0.0.1:1".to_owned(),
        hotkey: None,
        netuid: Some(34),
        works_by: Vec::new(),
        image: None,
        daily_budget_micro_usd: Some(20_000_000),
        warnings: Vec::new(),
    };
    host.record(GENERATIVE, &[started]);
    let chain = Chain {
        netuid: 34,
        uid: Some(7),
        incentive: 0.25,
        place: Some(3),
        emission_rao: 1_500_000_000,
        ..Chain::default()
    };
    host.record(GENERATIVE, &[chain]);
    host.record(TURBO_VISION, &[Rehearsed { passed: true, ..Rehearsed::default() }]);
    host.record(TURBO_VISION, &[Pushed { done: false, ..Pushed::default() }]);
    let live = |now: &mut Now| {
        let at_ms = now.at_ms;
        for miner in &mut now.miners {
            let MinerNow { miner, run, figures, queue, .. } = miner;
            if *miner != Miner::TurboVision {
                *run = Run::Online;
                *queue = Some(adit_dashboard::Queue { working: 2, waiting: 1 });
            }
            let figure = |name: &str, value| (name.to_owned(), value);
            *figures = BTreeMap::from([
                figure("adit_generative_stake_table_age_seconds", 12.5),
                figure("adit_private_stake_table_age_seconds", -1.0),
                figure("adit_generative_journal_dropped_total", 5.0),
                figure("adit_generative_deliveries_total{outcome=\"acknowledged\"}", 9.0),
            ]);
        }
        assert!((at_ms - now_ms()).abs() < 60_000);
    };
    let alert = Alert {
        rule: "budget",
        miner: Some(Miner::Generative),
        cause: String::new(),
        urgent: false,
        text: String::new(),
        todo: String::new(),
    };
    host.text(live, &[alert]).await
}

#[tokio::test]
async fn what_the_page_shows_is_there_for_prometheus() {
    let text = all_of_it().await;
    for line in [
        r#"adit_challenges_total{validator="5A",outcome="answered"} 2"#,
        r#"adit_challenges_total{validator="5B",outcome="failed"} 1"#,
        r#"adit_refusals_total{miner="private-track",reason="signature"} 42"#,
        r#"adit_tasks_total{validator="5V",outcome="delivered"} 1"#,
        r#"adit_tasks_total{validator="5V",outcome="expired"} 1"#,
        r#"adit_spend_usd_total{service="openai",model="gpt-image-2"} 2.54"#,
        r#"adit_deliveries_total{answer="acknowledged"} 9"#,
        r#"adit_rehearsals_total{miner="turbo-vision",outcome="passed"} 1"#,
        r#"adit_spot_checks_total{miner="private-track",outcome="passed"} 1"#,
        r#"adit_push_steps_total{miner="turbo-vision",outcome="failed"} 1"#,
        r#"adit_journal_dropped_total{miner="generative"} 5"#,
        r#"adit_up{miner="generative"} 1.0"#,
        r#"adit_working{miner="private-track"} 2.0"#,
        r#"adit_waiting{miner="generative"} 1.0"#,
        r#"adit_stake_table_age_seconds{miner="generative"} 12.5"#,
        r#"adit_daily_budget_usd{miner="generative"} 20.0"#,
        r#"adit_spent_today_usd{miner="generative"} 2.54"#,
        r#"adit_registered{miner="generative"} 1.0"#,
        r#"adit_uid{miner="generative"} 7.0"#,
        r#"adit_incentive_ratio{miner="generative"} 0.25"#,
        r#"adit_place{miner="generative"} 3.0"#,
        r#"adit_emission_tokens{miner="generative"} 1.5"#,
        r#"adit_journal_readable{miner="turbo-vision"} 1.0"#,
        r#"adit_alerts_firing{rule="budget"} 1"#,
        r#"adit_alerts_firing{rule="down"} 0"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    for absent in
        ["outcome=\"delivering\"", "outcome=\"accepted\"", "adit_stake_table_age_seconds{miner=\"private"]
    {
        assert!(!text.contains(absent), "{absent} is in\n{text}");
    }
    let age = text
        .lines()
        .find_map(|line| line.strip_prefix("adit_last_challenge_age_seconds{miner=\"generative\"} "));
    assert!(age.unwrap().parse::<f64>().unwrap() < 600.0);
}

#[tokio::test]
async fn any_number_of_hotkeys_costs_a_hundred_series() {
    let host = Host::new();
    let journal = host.journal(PRIVATE_TRACK);
    for n in 0..300 {
        journal.record(&challenge(&format!("5{n}"), Ended::Answered));
    }
    (0..5).for_each(|_| journal.record(&challenge("5Often", Ended::Answered)));
    drop(journal);
    let text = host.text(|_| (), &[]).await;
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("adit_challenges_total{")).collect();
    assert_eq!(lines.len(), 101, "{text}");
    assert!(lines.contains(&r#"adit_challenges_total{validator="5Often",outcome="answered"} 5"#));
    assert!(lines.contains(&r#"adit_challenges_total{validator="other",outcome="answered"} 201"#));
}

#[tokio::test]
async fn a_damaged_journal_is_told_and_the_others_are_shown() {
    let host = Host::new();
    fs::write(host.folder.path().join(PRIVATE_TRACK), vec![b'x'; 9000]).unwrap();
    host.record(GENERATIVE, &[step("answered", "delivered", 0)]);
    let text = host.text(|_| (), &[]).await;
    for line in [
        r#"adit_journal_readable{miner="private-track"} 0.0"#,
        r#"adit_journal_readable{miner="generative"} 1.0"#,
        r#"adit_tasks_total{validator="5V",outcome="delivered"} 1"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("turbo-vision"), "{text}");
}

/// Prometheus' names in a text of theirs.
fn exported(text: &str) -> BTreeSet<String> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples.map(|line| line.split(['{', ' ']).next().unwrap().to_owned()).collect()
}

/// The names that a miner's own registry is given: prefix, and a counter's or a unit's end.
fn registered(source: &str) -> BTreeSet<String> {
    let source = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(source)).unwrap();
    let literal = |text: &str| text.split('"').nth(1).unwrap().to_owned();
    let (_, prefix) = source.split_once("Registry::with_prefix(").unwrap();
    let prefix = literal(prefix);
    let mut names = BTreeSet::new();
    for call in source.split("registry.register").skip(1) {
        let name = format!("{prefix}_{}", literal(call));
        let call = call.split_once(");").unwrap().0;
        let unit = match () {
            () if call.contains("Unit::Seconds") => "_seconds",
            () if call.contains("usd()") => "_usd",
            () => "",
        };
        for end in ["", "_total", "_bucket", "_sum", "_count"] {
            names.insert(format!("{name}{unit}{end}"));
        }
    }
    assert!(names.len() > 30, "{names:?}");
    names
}

fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match (key.as_str(), value) {
                    ("expr" | "query" | "definition", Value::String(text)) => found.push(text.clone()),
                    _ => expressions(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| expressions(item, found)),
        _ => {}
    }
}

fn dashboard() -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/grafana.json");
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

#[tokio::test]
async fn every_figure_of_grafanas_dashboard_is_one_that_is_exported() {
    let mut known = exported(&all_of_it().await);
    known.extend(registered("../generative/src/server/metrics.rs"));
    known.extend(registered("../private-track/src/metrics.rs"));
    let mut all = Vec::new();
    expressions(&dashboard(), &mut all);
    let names: BTreeSet<String> = all
        .iter()
        .flat_map(|text| text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')))
        .filter(|word| word.starts_with("adit_"))
        .map(str::to_owned)
        .collect();
    assert!(names.len() > 20, "{names:?}");
    let unknown: Vec<_> = names.difference(&known).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn grafana_finds_what_it_needs_to_import_the_dashboard() {
    let dashboard = dashboard();
    for field in ["uid", "title", "schemaVersion", "panels"] {
        assert!(!dashboard[field].is_null(), "{field}");
    }
    let source = &dashboard["templating"]["list"][0];
    assert_eq!((&source["type"], &source["query"]), (&"datasource".into(), &"prometheus".into()));
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_i64().unwrap()), "two panels have the id {}", panel["id"]);
        let place = &panel["gridPos"];
        assert!(place["x"].as_i64().unwrap() + place["w"].as_i64().unwrap() <= 24, "{panel:#}");
        if panel["type"] != "row" {
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
            assert!(!panel["targets"].as_array().unwrap().is_empty(), "{}", panel["title"]);
        }
    }
}
