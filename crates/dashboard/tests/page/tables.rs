//! Tables: what is found, how they go on, and as files.

use adit_journal::record::{Challenge, Ended, Refused, TaskStep};
use serde_json::Value;

use crate::support::{Site, ids};
use crate::traffic::{self, VALIDATORS, challenge, now_ms, step, task_name};

fn json(text: &str) -> Vec<Value> {
    serde_json::from_str(text).unwrap()
}

/// So many challenges, a second apart, the validators taking turns; each third fails.
fn challenges(site: &Site, count: usize) {
    let journal = site.journal("private-track.sqlite");
    let end = now_ms();
    for n in 0..count {
        let mut one = challenge(&format!("c{n}"), VALIDATORS[n % 2]);
        if n % 3 == 0 {
            one.outcome = Ended::Failed;
        }
        journal.record_at(end - 1000 * (count - n) as i64, &one);
    }
}

#[tokio::test]
async fn a_page_has_fifty_rows_and_the_older_ones_follow_without_a_gap() {
    let site = Site::new().await;
    challenges(&site, 120);
    let (mut path, mut all) = ("/challenges".to_owned(), Vec::new());
    loop {
        let page = site.get(&path).await.text();
        let found = ids(&page);
        assert!(found.len() <= 50);
        all.extend(found);
        let Some(at) = page.find("id=\"older\"") else { break };
        let link = &page[at..];
        path = link[link.find("href=\"").unwrap() + 6..].split('"').next().unwrap().replace("&amp;", "&");
    }
    assert_eq!(all, (1..=120).rev().collect::<Vec<i64>>());
}

#[tokio::test]
async fn a_filter_holds_for_the_page_what_is_older_and_the_files() {
    let site = Site::new().await;
    challenges(&site, 240);
    let query = format!("outcome=failed&validator={}", VALIDATORS[0]);
    let page = site.get(&format!("/challenges?{query}")).await;
    // Every sixth is both.
    assert_eq!(ids(&page.text()).len(), 40);
    let older = site.get(&format!("/challenges?{query}&before=100")).await;
    assert!(ids(&older.text()).iter().all(|id| *id < 100 && (*id - 1) % 6 == 0));
    let rows = json(&site.get(&format!("/challenges.json?{query}")).await.text());
    assert_eq!(rows.len(), 40);
    assert!(rows.iter().all(|row| row["outcome"] == "failed" && row["validator"] == VALIDATORS[0]));
}

#[tokio::test]
async fn a_filter_that_is_not_understood_is_told() {
    let site = Site::new().await;
    challenges(&site, 3);
    let page = site.get("/challenges?from=yesterday&before=x").await;
    page.has("from: yesterday is no date").has("before: x is no entry");
    assert_eq!(ids(&page.text()).len(), 3);
}

#[tokio::test]
async fn days_are_those_of_utc() {
    let site = Site::new().await;
    let journal = site.journal("private-track.sqlite");
    let end = now_ms();
    let day = end - end.rem_euclid(86_400_000);
    for at in [day - 86_400_001, day - 86_400_000, day - 1, day] {
        journal.record_at(at, &challenge("c", VALIDATORS[0]));
    }
    drop(journal);
    let date = chrono::DateTime::from_timestamp_millis(day - 1).unwrap().format("%Y-%m-%d");
    let page = site.get(&format!("/challenges?from={date}&until={date}")).await;
    assert_eq!(ids(&page.text()), [3, 2]);
}

#[tokio::test]
async fn files_have_all_rows_and_no_formula_of_a_stranger() {
    let site = Site::new().await;
    challenges(&site, 1300);
    let journal = site.journal("private-track.sqlite");
    journal.record(&challenge("=cmd|' /C calc'!A0", "+5F"));
    drop(journal);
    let csv = site.get("/challenges.csv").await;
    assert_eq!(csv.headers["content-type"], "text/csv; charset=utf-8");
    let text = csv.text();
    assert_eq!(text.lines().count(), 1302);
    assert!(text.contains("'=cmd|") && text.contains(",'+5F,"), "{text:.500}");
    let rows = json(&site.get("/challenges.json").await.text());
    assert_eq!(rows.len(), 1301);
    assert_eq!(rows[0]["challenge_id"], "=cmd|' /C calc'!A0");
    assert_eq!(rows[1300]["id"], 1);
}

#[tokio::test]
async fn every_table_is_to_be_had_as_a_file() {
    let site = Site::new().await;
    traffic::day(site.folder.path());
    let one = format!("/generations/{}", task_name(3));
    let rows = json(&site.get("/challenges.json").await.text());
    let answered = rows.iter().find(|row| row["predictions"].as_u64() > Some(0)).unwrap();
    let answered = format!("/challenges/{}", answered["id"]);
    for path in [
        "/now",
        "/challenges",
        "/generations",
        "/turbo-vision",
        "/rehearsals",
        "/validators",
        "/money",
        "/money/emission",
        &answered,
        &one,
    ] {
        let csv = site.get(&format!("{path}.csv")).await;
        assert_eq!(csv.status, 200, "{path}");
        let rows = json(&site.get(&format!("{path}.json")).await.text());
        assert!(!rows.is_empty(), "{path}");
        assert_eq!(csv::Reader::from_reader(&csv.bytes[..]).records().count(), rows.len(), "{path}");
    }
}

#[tokio::test]
async fn an_export_says_that_a_journal_cannot_be_read() {
    let site = Site::new().await;
    std::fs::write(site.folder.path().join("private-track.sqlite"), vec![b'x'; 9000]).unwrap();
    assert_eq!(site.get("/validators.csv").await.status, 500);
}

#[tokio::test]
async fn a_task_is_shown_as_it_stands() {
    let site = Site::new().await;
    let journal = site.journal("generative.sqlite");
    for n in 0..3 {
        journal.record(&step(&task_name(n), "accepted", "accepted"));
    }
    journal.record(&TaskStep {
        note: Some("200: ok".to_owned()),
        ..step(&task_name(1), "answered", "delivered")
    });
    drop(journal);
    let rows = json(&site.get("/generations.json").await.text());
    let states: Vec<_> = rows.iter().map(|row| row["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["accepted", "delivered", "accepted"]);
    assert_eq!(ids(&site.get("/generations?outcome=delivered").await.text()), [4]);
}

#[tokio::test]
async fn the_way_of_a_task_is_marked() {
    let site = Site::new().await;
    let journal = site.journal("generative.sqlite");
    let task = task_name(1);
    for (name, state) in
        [("accepted", "accepted"), ("call", "calling"), ("retry", "accepted"), ("call", "calling")]
    {
        journal.record(&step(&task, name, state));
    }
    drop(journal);
    let page = site.get(&format!("/generations/{task}")).await;
    page.has("data-way=\"accepted calling\"")
        .has("data-way=\"calling accepted\"")
        .has_not("data-way=\"calling submitted\"");
}

#[tokio::test]
async fn a_challenge_has_its_stages_predictions_and_rehearsals() {
    let site = Site::new().await;
    traffic::day(site.folder.path());
    let rows = json(&site.get("/rehearsals.json").await.text());
    let id = rows.iter().find_map(|row| row["challenge_id"].as_str()).unwrap();
    let rows = json(&site.get("/challenges.json").await.text());
    let challenge = rows.iter().find(|row| row["challenge_id"] == id).unwrap();
    let page = site.get(&format!("/challenges/{}", challenge["id"])).await;
    page.has("id=\"stages\" data-count=\"6\"")
        .has("id=\"rehearsals\" data-count=\"2\"")
        .has("class=\"waterfall\"");
    let predictions = json(&site.get(&format!("/challenges/{}.json", challenge["id"])).await.text());
    assert_eq!(predictions.len() as u64, challenge["predictions"].as_u64().unwrap());
}

#[tokio::test]
async fn rehearsals_of_all_miners_follow_each_other_without_a_gap() {
    use adit_journal::record::{Rehearsed, SpotChecked};
    let site = Site::new().await;
    let end = now_ms();
    for file in ["private-track.sqlite", "turbo-vision.sqlite"] {
        let journal = site.journal(file);
        for n in 0..40 {
            journal.record_at(
                end - 1000 * (40 - n),
                &Rehearsed { target: format!("t{n}"), ..Rehearsed::default() },
            );
            journal.record_at(end - 1000 * (40 - n), &SpotChecked::default());
        }
    }
    let (mut path, mut all) = ("/rehearsals".to_owned(), std::collections::BTreeSet::new());
    let mut pages = 0;
    loop {
        let page = site.get(&path).await.text();
        all.extend(page.split("<tr data-id=\"").skip(1).map(|row| row.split('"').next().unwrap().to_owned()));
        pages += 1;
        let Some(at) = page.find("id=\"older\"") else { break };
        let link = &page[at..];
        path = link[link.find("href=\"").unwrap() + 6..].split('"').next().unwrap().to_owned();
    }
    assert_eq!((all.len(), pages), (160, 4));
}

#[tokio::test]
async fn validators_are_counted_with_who_was_refused_in_their_name() {
    let site = Site::new().await;
    challenges(&site, 10);
    let journal = site.journal("private-track.sqlite");
    let refused = |reason: &str, claimed: Option<&str>, count| Refused {
        reason: reason.to_owned(),
        claimed: claimed.map(str::to_owned),
        count,
        detail: None,
    };
    journal.record(&refused("signature", Some(VALIDATORS[0]), 3));
    journal.record(&refused("unknown_key", None, 7));
    drop(journal);
    let rows = json(&site.get("/validators.json").await.text());
    let of = |who: Value| rows.iter().find(|row| row["validator"] == who).unwrap();
    let one = of(VALIDATORS[0].into());
    assert_eq!((&one["requests"], &one["refusals"]), (&5.into(), &"signature 3".into()));
    assert_eq!((&one["outcomes"], &one["mean_ms"]), (&"answered 3, failed 2".into(), &1843.into()));
    assert_eq!(of(Value::Null)["refusals"], "unknown_key 7");
}

#[tokio::test]
async fn money_is_summed_by_day_provider_and_model_against_the_budget() {
    let site = Site::new().await;
    let journal = site.journal("generative.sqlite");
    journal.record(&traffic::started("127.0.0.1:9"));
    let paid = |name: &str, micro_usd| TaskStep {
        service: Some("openai".to_owned()),
        model: Some("gpt-image-1".to_owned()),
        spent_micro_usd: micro_usd,
        ..step(&task_name(1), name, "fetched")
    };
    for record in [paid("call", 0), paid("fetched", 42_000), paid("call", 0), paid("retry", 42_000)] {
        journal.record(&record);
    }
    journal.record(&step(&task_name(1), "answered", "delivered"));
    drop(journal);
    let rows = json(&site.get("/money.json").await.text());
    assert_eq!(rows.len(), 1);
    let row = &rows[0];
    assert_eq!(
        (&row["provider"], &row["model"], &row["calls"]),
        (&"openai".into(), &"gpt-image-1".into(), &2.into())
    );
    assert_eq!(row["cost_usd"], 0.084);
    site.get("/money")
        .await
        .has("daily budget $5.00")
        .has("data-micro-usd=\"84000\"")
        .has("$0.0840 on average");
}

#[tokio::test]
async fn an_empty_folder_says_what_to_type() {
    let site = Site::new().await;
    for path in ["/", "/challenges", "/generations", "/turbo-vision", "/rehearsals", "/validators", "/money"]
    {
        assert_eq!(site.get(path).await.status, 200, "{path}");
    }
    site.get("/").await.has("sv start").has("gascli generator start").has("adit demo");
}

#[tokio::test]
async fn a_damaged_journal_is_told_and_the_others_are_shown() {
    let site = Site::new().await;
    std::fs::write(site.folder.path().join("private-track.sqlite"), vec![b'x'; 9000]).unwrap();
    site.journal("generative.sqlite").record(&step(&task_name(1), "accepted", "accepted"));
    site.get("/challenges")
        .await
        .has("data-unread=\"private-track\"")
        .has("The file is damaged")
        .has("sv start");
    site.get("/").await.has("data-unread=\"private-track\"").has_not("data-unread=\"generative\"");
    assert_eq!(ids(&site.get("/generations").await.text()), [1]);
    let validators = site.get("/validators").await;
    validators.has("data-unread=\"private-track\"").has(VALIDATORS[0]);
}

#[tokio::test]
async fn a_clock_that_jumps_changes_neither_the_order_nor_makes_ages_negative() {
    let site = Site::new().await;
    let journal = site.journal("private-track.sqlite");
    let now = now_ms();
    for (n, at) in [now, now + 400 * 86_400_000, now - 3_600_000, 0, now].into_iter().enumerate() {
        journal
            .record_at(at, &Challenge { latency_ms: n as u64, ..challenge(&format!("c{n}"), VALIDATORS[0]) });
    }
    drop(journal);
    let page = site.get("/challenges").await;
    assert_eq!(ids(&page.text()), [5, 4, 3, 2, 1]);
    for time in page.text().split("<time ").skip(1) {
        let shown = time.split('>').nth(1).unwrap().split('<').next().unwrap();
        assert!(
            !shown.starts_with('-')
                && (shown.ends_with("ago") || shown == "just now" || shown.ends_with("UTC")),
            "{shown}"
        );
    }
    for path in ["/", "/validators", "/money"] {
        assert_eq!(site.get(path).await.status, 200, "{path}");
    }
}
