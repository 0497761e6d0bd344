//! Each rule, just before it tells and when it does.

use std::collections::BTreeMap;

use adit_journal::record::{Chain, Started};

use super::*;
use crate::alert::{Anchor, Disk};
use crate::{Counts, Last, Now};

const NOW: i64 = 1_800_000_000_000;

/// Miners that are well, registered and busy.
fn facts() -> Facts {
    let miner = |miner: Miner| MinerNow {
        miner,
        run: if miner == Miner::TurboVision { Run::Elsewhere } else { Run::Online },
        started: Some(Started {
            version: "1".to_owned(),
            pid: 1,
            address: "127.0.0.1:8000".to_owned(),
            hotkey: None,
            netuid: Some(44),
            works_by: Vec::new(),
            image: None,
            daily_budget_micro_usd: Some(10_000_000),
            warnings: Vec::new(),
        }),
        started_ms: Some(NOW - 10 * DAY_MS),
        stopped: None,
        last: Some(Last {
            at_ms: NOW - 30 * MINUTE_MS,
            id: 1,
            key: "c".to_owned(),
            who: None,
            outcome: "answered".to_owned(),
        }),
        queue: None,
        day: Counts::default(),
        hours: [(0, 0); 24],
        chain: Some(Chain { netuid: 44, uid: Some(3), ..Chain::default() }),
        chain_ms: Some(NOW),
        figures: BTreeMap::new(),
        journal: None,
        unreadable: None,
    };
    Facts {
        now: Now { at_ms: NOW, miners: Miner::ALL.map(miner).into() },
        past: Default::default(),
        disk: Some(Disk { free: 500 << 30, total: 1000 << 30 }),
        anchors: vec![Anchor { name: "a.pem".to_owned(), ends_ms: NOW + 31 * DAY_MS }],
    }
}

fn private(facts: &mut Facts) -> (&mut MinerNow, &mut Past) {
    (&mut facts.now.miners[0], &mut facts.past[0])
}

fn generative(facts: &mut Facts) -> (&mut MinerNow, &mut Past) {
    (&mut facts.now.miners[1], &mut facts.past[1])
}

/// The rules that tell, once the facts are changed.
fn told(change: impl FnOnce(&mut Facts)) -> Vec<&'static str> {
    let mut facts = facts();
    change(&mut facts);
    let alerts = judge(&Rules::default(), &facts);
    for alert in &alerts {
        assert!(!alert.text.is_empty() && !alert.todo.is_empty(), "{alert:?}");
    }
    alerts.iter().map(|alert| alert.rule).collect()
}

#[test]
fn there_is_nothing_to_tell_of_miners_that_are_well() {
    assert_eq!(told(|_| {}), [""; 0]);
}

#[test]
fn every_rule_stands_in_the_file_of_rules() {
    let file: toml_edit::DocumentMut = crate::alert::DEFAULT_RULES.parse().unwrap();
    let mut rules: Vec<&str> =
        file.iter().filter(|(_, value)| value.is_table()).map(|(name, _)| name).collect();
    let mut known = RULES.to_vec();
    rules.sort_unstable();
    known.sort_unstable();
    assert_eq!(rules, known);
}

#[test]
fn a_miner_that_is_down() {
    let silent = |ago| {
        told(|facts| {
            let (now, _) = private(facts);
            (now.run, now.started_ms) = (Run::Silent, Some(NOW - ago));
        })
    };
    assert_eq!(silent(3 * MINUTE_MS), [""; 0], "it may still be loading");
    assert_eq!(silent(3 * MINUTE_MS + 1), ["down"]);
    let stopped = |reason: Option<&str>| {
        told(|facts| {
            let (now, _) = private(facts);
            (now.run, now.stopped) = (Run::Stopped, reason.map(str::to_owned));
        })
    };
    assert_eq!(stopped(Some("no port")), ["down"]);
    assert_eq!(stopped(None), [""; 0], "somebody stopped it");
}

#[test]
fn no_challenge_while_registered() {
    let waiting = |change: fn(&mut MinerNow)| {
        told(|facts| {
            let (now, _) = private(facts);
            now.last.as_mut().unwrap().at_ms = NOW - 120 * MINUTE_MS;
            change(now);
        })
    };
    assert_eq!(waiting(|_| {}), ["no_challenge"]);
    assert_eq!(waiting(|now| now.last.as_mut().unwrap().at_ms += 1), [""; 0]);
    assert_eq!(waiting(|now| now.started_ms = Some(NOW - MINUTE_MS)), [""; 0], "it has just started");
    assert_eq!(waiting(|now| now.chain = None), [""; 0], "nobody knows whether it is registered");
    assert_eq!(waiting(|now| now.last = None), ["no_challenge"]);
    assert_eq!(
        waiting(|now| now.last.as_mut().unwrap().at_ms = NOW + DAY_MS),
        [""; 0],
        "a clock that jumped"
    );
}

#[test]
fn refusals_that_rise() {
    let refused = |count: u64, mean| {
        told(|facts| {
            let (_, past) = private(facts);
            past.refused_hour = vec![("signature".to_owned(), count - 1), ("low_stake".to_owned(), 1)];
            past.refused_mean = mean;
        })
    };
    assert_eq!(refused(19, 0.0), [""; 0]);
    assert_eq!(refused(20, 0.0), ["refusals"]);
    assert_eq!(refused(60, 20.0), ["refusals"]);
    assert_eq!(refused(59, 20.0), [""; 0], "as every day");
}

#[test]
fn deliveries_that_fail() {
    let ended = |good, bad| told(|facts| generative(facts).1.ended_hour = (good, bad));
    assert_eq!(ended(0, 2), [""; 0]);
    assert_eq!(ended(3, 1), ["deliveries"]);
    assert_eq!(ended(4, 1), [""; 0]);
    assert_eq!(ended(100, 0), [""; 0]);
}

#[test]
fn a_budget_that_is_nearly_spent() {
    let spent = |micro_usd| told(|facts| generative(facts).1.spent_today = micro_usd);
    assert_eq!(spent(7_999_999), [""; 0]);
    assert_eq!(spent(8_000_000), ["budget"]);
    let mut facts = facts();
    generative(&mut facts).1.spent_today = 10_000_000;
    assert!(judge(&Rules::default(), &facts)[0].urgent);
    generative(&mut facts).0.started.as_mut().unwrap().daily_budget_micro_usd = None;
    assert!(judge(&Rules::default(), &facts).is_empty());
}

#[test]
fn a_stake_table_that_is_stale() {
    let aged = |seconds: f64| {
        told(|facts| {
            let figures = &mut private(facts).0.figures;
            figures.insert("adit_private_stake_table_age_seconds".to_owned(), seconds);
        })
    };
    assert_eq!(aged(3600.0), [""; 0]);
    assert_eq!(aged(3600.5), ["stakes"]);
    assert_eq!(aged(-1.0), [""; 0], "there is none");
}

#[test]
fn a_uid_that_is_lost() {
    let lost = |was| {
        told(|facts| {
            let (now, past) = private(facts);
            now.chain.as_mut().unwrap().uid = None;
            past.was_registered = was;
        })
    };
    assert_eq!(lost(true), ["deregistered"]);
    assert_eq!(lost(false), [""; 0], "it was never registered");
}

#[test]
fn an_image_that_may_be_checked() {
    let answered = |ago: i64, passed: Option<&str>| {
        told(|facts| {
            let (now, past) = private(facts);
            now.started.as_mut().unwrap().image = Some("me/miner@sha256:1".to_owned());
            let last = now.last.as_mut().unwrap();
            last.at_ms = NOW - ago;
            past.passed_image = passed.map(str::to_owned);
        })
    };
    assert_eq!(answered(HOUR_MS, None), ["spot_check"]);
    assert_eq!(answered(HOUR_MS, Some("me/miner@sha256:0")), ["spot_check"]);
    assert_eq!(answered(HOUR_MS, Some("me/miner@sha256:1")), [""; 0]);
    assert_eq!(answered(49 * HOUR_MS, None), ["no_challenge"], "Score draws from two days");
}

#[test]
fn a_clock_that_jumped() {
    let jumped = |ago| told(|facts| private(facts).1.jumped = Some((NOW - ago, -3_600_000)));
    assert_eq!(jumped(6 * HOUR_MS), ["clock"]);
    assert_eq!(jumped(6 * HOUR_MS + 1), [""; 0]);
    let mut facts = facts();
    private(&mut facts).1.jumped = Some((NOW, i64::MIN));
    assert!(judge(&Rules::default(), &facts)[0].text.contains("back"));
}

#[test]
fn a_journal_in_trouble() {
    assert_eq!(told(|facts| private(facts).0.unreadable = Some("x".to_owned())), ["journal"]);
    let damaged = |ago| told(|facts| private(facts).1.damaged = Some((NOW - ago, "/d.damaged".to_owned())));
    assert_eq!(damaged(0), ["journal"]);
    assert_eq!(damaged(DAY_MS), [""; 0]);
    let dropped = |count: f64| {
        told(|facts| {
            private(facts).0.figures.insert("adit_private_journal_dropped_total".to_owned(), count);
        })
    };
    assert_eq!(dropped(0.0), [""; 0]);
    assert_eq!(dropped(1.0), ["journal"]);
}

#[test]
fn an_anchor_that_ends() {
    let ends = |in_ms| told(|facts| facts.anchors[0].ends_ms = NOW + in_ms);
    assert_eq!(ends(30 * DAY_MS), [""; 0]);
    assert_eq!(ends(30 * DAY_MS - 1), ["anchors"]);
    assert_eq!(ends(-1), ["anchors"]);
}

#[test]
fn a_disk_that_is_nearly_full() {
    let disk = |free: u64| told(|facts| facts.disk = Some(Disk { free: free << 20, total: 100 << 30 }));
    assert_eq!(disk(5 << 10), [""; 0]);
    assert_eq!(disk((5 << 10) - 1), ["disk"]);
    assert_eq!(told(|facts| facts.disk = None), [""; 0]);
}

#[test]
fn a_rule_that_is_off_tells_nothing_and_the_urgent_come_first() {
    let mut facts = facts();
    facts.disk = Some(Disk { free: 1 << 30, total: 100 << 30 });
    generative(&mut facts).1.ended_hour = (0, 9);
    let rules =
        |text| judge(&Rules::parse(text).unwrap(), &facts).iter().map(|alert| alert.rule).collect::<Vec<_>>();
    assert_eq!(rules(""), ["deliveries", "disk"]);
    assert_eq!(rules("[deliveries]\noff = true"), ["disk"]);
    assert_eq!(rules("[deliveries]\noff = true\n[disk]\noff = true"), [""; 0]);
}
