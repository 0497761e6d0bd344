//! To look at the page, and to measure it.
//!
//! `cargo test -p adit-dashboard --test page -- --ignored look --nocapture` serves a day of made-up traffic, or what is in the
//! folder that `ADIT_LOOK` names, until the file `stop` is there too. `-- --ignored million` fills that folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use adit_dashboard::{Config, Program, Server, Sources, Token};
use adit_journal::record::{Challenge, Ended, TaskStep};
use adit_journal::{Journal, Limits};

use crate::support::{self, alert};
use crate::traffic;

const FOLDER: &str = "ADIT_LOOK";

#[tokio::test]
#[ignore = "it serves until it is told to stop"]
async fn look() {
    let made = tempfile::tempdir().unwrap();
    let folder = std::env::var_os(FOLDER).map_or_else(
        || {
            traffic::day(made.path());
            made.path().to_owned()
        },
        PathBuf::from,
    );
    let alerts = vec![
        alert(
            "The miner of the private track does not answer.",
            "`sv logs` says why; `sv restart` starts it anew.",
            true,
        ),
        alert(
            "The budget of the day is nearly used up.",
            "Raise it, or leave it: what is asked then is refused.",
            false,
        ),
    ];
    let config = Config {
        listen: "127.0.0.1:8799".parse().unwrap(),
        token: Token::given(support::TOKEN).unwrap(),
        sources: Sources::new(folder.clone()),
        program: Program::new("/bin/true".into()),
        alerts: Arc::new(move |_| alerts.clone()),
        idle: None,
    };
    let server = Server::bind(config).await.unwrap();
    println!("{} {} process {}", server.login_link(), folder.display(), std::process::id());
    let stop = folder.join("stop");
    let stopped = async {
        while !stop.exists() {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    };
    server.serve(stopped).await;
}

/// Without a queue that could drop any.
fn fill(path: &Path, count: u64, mut record: impl FnMut(&Journal, u64)) {
    let limits = Limits { bytes: 4 << 30, age: Duration::from_secs(400 * 86_400) };
    for from in (0..count).step_by(4000) {
        let journal = Journal::open(path, limits).unwrap();
        (from..count.min(from + 4000)).for_each(|n| record(&journal, n));
        let shared = journal.clone();
        drop(journal);
        assert_eq!(shared.dropped(), 0);
    }
}

#[test]
#[ignore = "it takes a minute and a gigabyte"]
fn a_million_entries_are_written() {
    let folder = PathBuf::from(std::env::var_os(FOLDER).expect("ADIT_LOOK names a folder"));
    let end = traffic::now_ms();
    let base = Challenge { stages: Vec::new(), answer: None, clip: None, ..traffic::challenge("", "") };
    fill(&folder.join("private-track.sqlite"), 1_000_000, |journal, n| {
        let outcome = if n % 50_000 == 7 {
            Ended::CallerLeft
        } else if n % 25 == 0 {
            Ended::Failed
        } else {
            Ended::Answered
        };
        let sender = Some(traffic::VALIDATORS[usize::try_from(n % 4).unwrap()].to_owned());
        let at = end - i64::try_from(1_000_000 - n).unwrap() * 2500;
        journal.record_at(
            at,
            &Challenge { challenge_id: format!("challenge-{n}"), sender, outcome, ..base.clone() },
        );
    });
    fill(&folder.join("generative.sqlite"), 300_000, |journal, n| {
        let steps = [
            ("accepted", "accepted"),
            ("call", "calling"),
            ("submitted", "submitted"),
            ("fetched", "fetched"),
            ("checked", "checked"),
            ("answered", "delivered"),
        ];
        let (name, state) = steps[usize::try_from(n % 6).unwrap()];
        let step = TaskStep {
            service: Some("openai".to_owned()),
            model: Some("gpt-image-1".to_owned()),
            spent_micro_usd: if name == "fetched" { 42_000 } else { 0 },
            ..traffic::step(&traffic::task_name(n / 6), name, state)
        };
        journal.record_at(end - i64::try_from(300_000 - n).unwrap() * 8000, &step);
    });
}
