//! Buttons and the health page: what is run, and what of it is shown.

use adit_journal::record::{Challenge, TaskStep};

use crate::support::{LONG, Site, until};
use crate::traffic;

/// Prints its arguments, each in brackets.
const ECHO: &str = "printf '[%s]' \"$@\"; echo; env";

fn with_challenge(site: &Site, challenge: &Challenge) {
    let journal = site.journal("private-track.sqlite");
    journal.record(&traffic::started("0.0.0.0:8123"));
    journal.record(challenge);
}

#[tokio::test]
async fn a_challenge_is_rehearsed_with_the_recorded_clip_at_the_miner_that_runs() {
    let site = Site::new().await;
    site.program("sv", ECHO);
    with_challenge(&site, &traffic::challenge("one", traffic::VALIDATORS[0]));
    let answer = site.press("/challenges/2/rehearse").await;
    // Without a script it is a page of its own; the signature in the address is on none.
    answer
        .has("<!DOCTYPE html>")
        .has("[rehearse][https://clips.example/match/0017.mp4?…][--miner][http://127.0.0.1:8123][--of][2]")
        .has("id=\"back\" href=\"/challenges/2\"")
        .has_not("s3cret");
}

#[tokio::test]
async fn for_a_script_the_result_is_a_piece_of_the_page() {
    let site = Site::new().await;
    site.program("sv", "echo '<b>low stake</b>' >&2; exit 3");
    with_challenge(&site, &traffic::challenge("one", traffic::VALIDATORS[0]));
    let (host, cookie) = (site.host(), site.cookie());
    let origin = format!("http://{host}");
    let headers = [("host", &*host), ("cookie", &*cookie), ("origin", &*origin), ("hx-request", "true")];
    let answer = site.ask("POST", "/challenges/2/rehearse", &headers).await;
    answer.has("code 3").has("&lt;b&gt;low stake").has_not("<!DOCTYPE").has_not("<b>");
}

#[tokio::test]
async fn what_is_no_address_of_the_web_never_becomes_an_argument() {
    let site = Site::new().await;
    site.program("sv", "touch \"$(dirname \"$0\")/ran\"");
    for url in ["--config=/etc/passwd", "-h", "file:///etc/passwd", ""] {
        let challenge = Challenge {
            video_url: Some(url.to_owned()),
            ..traffic::challenge("one", traffic::VALIDATORS[0])
        };
        let site_journal = site.journal("private-track.sqlite");
        site_journal.record(&challenge);
        drop(site_journal);
    }
    for id in 1..=4 {
        assert_eq!(site.press(&format!("/challenges/{id}/rehearse")).await.status, 404);
    }
    assert!(!site.folder.path().join("bin/ran").exists());
}

#[tokio::test]
async fn a_dead_letter_has_a_button_that_delivers_it_again() {
    let site = Site::new().await;
    site.program("gascli", ECHO);
    let task = traffic::task_name(7);
    let journal = site.journal("generative.sqlite");
    journal.record(&traffic::step(&task, "accepted", "accepted"));
    let answered =
        TaskStep { answer: Some("refused".to_owned()), ..traffic::step(&task, "answered", "refused") };
    journal.record(&answered);
    journal.record(&traffic::step(&traffic::task_name(8), "answered", "delivered"));
    drop(journal);
    site.get_in(&format!("/generations/{task}")).await.has("id=\"redeliver\"");
    site.get_in(&format!("/generations/{}", traffic::task_name(8))).await.has_not("id=\"redeliver\"");
    let answer = site.press(&format!("/generations/{task}/redeliver")).await;
    answer.has(&format!("[generator][redeliver][{task}]"));
}

#[tokio::test]
async fn a_program_that_is_not_there_is_told() {
    let site = Site::new().await;
    with_challenge(&site, &traffic::challenge("one", traffic::VALIDATORS[0]));
    let answer = site.press("/challenges/2/rehearse").await;
    assert_eq!(answer.status, 500);
    answer.has("cannot run");
}

#[tokio::test]
async fn the_doctor_is_asked_once_and_shown_as_it_speaks() {
    let site = Site::new().await;
    site.program(
        "adit",
        r#"echo "$2" >> "$(dirname "$0")/asked"; echo 'a warning' >&2
           echo '{"passed": false, "checks": [{"name": "clock", "status": "FAIL", "found": "<i>an hour off", "fix": "timedatectl"}]}'; exit 1"#,
    );
    let page = site.get_in("/health").await;
    page.has("data-passed=\"false\"").has("&lt;i&gt;an hour off").has("timedatectl");
    site.get_in("/health.csv").await.has("sv,clock,FAIL,<i>an hour off,timedatectl");
    let asked = std::fs::read_to_string(site.folder.path().join("bin/asked")).unwrap();
    let mut asked: Vec<_> = asked.lines().collect();
    asked.sort_unstable();
    assert_eq!(asked, ["gascli", "sv"]);
}

#[tokio::test]
async fn a_command_ends_when_the_server_is_told_to_stop() {
    let mut site = Site::new().await;
    site.program("sv", "echo $$ > \"$(dirname \"$0\")/pid\"; exec sleep 600");
    with_challenge(&site, &traffic::challenge("one", traffic::VALIDATORS[0]));
    let (host, cookie) = (site.host(), site.cookie());
    let origin = format!("http://{host}");
    let headers = [("host", &*host), ("cookie", &*cookie), ("origin", &*origin)];
    let _stream = site.send("POST", "/challenges/2/rehearse", &headers, false).await;
    let pid = site.folder.path().join("bin/pid");
    until("it runs", async || std::fs::read_to_string(&pid).is_ok_and(|pid| pid.ends_with('\n'))).await;
    let pid = std::fs::read_to_string(&pid).unwrap().trim().to_owned();
    site.stop();
    tokio::time::timeout(LONG, &mut site.serving).await.expect("it still serves").unwrap();
    let state = format!("/proc/{pid}/stat");
    until("it is killed", async || !std::fs::read_to_string(&state).is_ok_and(|stat| !stat.contains(") Z ")))
        .await;
}
