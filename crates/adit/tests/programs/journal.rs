//! `adit journal`, and what the commands record on this host.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use adit_journal::record::{Challenge, Ended, Pushed, Rehearsed, Stopped};
use adit_journal::{Entry, Find, GENERATIVE, Journal, Limits, Lines, PRIVATE_TRACK, Reader};

use crate::process::{finish, program, shown};

const CLIP: &str = "http://127.0.0.1:9/clip.mp4?signed=1";

fn challenge(id: &str, video_url: Option<&str>) -> Challenge {
    Challenge {
        challenge_id: id.to_owned(),
        miner_hotkey: None,
        sender: None,
        dialect: None,
        mode: "soccer_action".to_owned(),
        video_url: video_url.map(str::to_owned),
        image_url: None,
        frames: None,
        outcome: Ended::Answered,
        status: None,
        reason: None,
        latency_ms: 1,
        stages: Vec::new(),
        clip: None,
        predictor: "baseline".to_owned(),
        image: None,
        predictions: None,
        answer: None,
        answer_too_large: None,
    }
}

/// Five challenges, the first of which is three days old, with an end between them.
fn recorded() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(&folder.path().join(PRIVATE_TRACK), Limits::default()).unwrap();
    let old = SystemTime::now() - Duration::from_secs(3 * 86_400);
    let old = old.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    journal.record_at(i64::try_from(old).unwrap(), &challenge("c0", Some(CLIP)));
    journal.record(&challenge("c1", None));
    journal.record(&Stopped { reason: None });
    (2..5).for_each(|n| journal.record(&challenge(&format!("c{n}"), Some(CLIP))));
    folder
}

fn command(name: &str, folder: &Path, arguments: &[&str]) -> Command {
    let mut command = program(name);
    command.args(arguments).env("ADIT_DATA_DIR", folder);
    command
}

fn lines(output: &Output) -> Vec<Entry> {
    assert_eq!(output.status.code(), Some(0), "{}", shown(output));
    Lines::new(output.stdout.as_slice()).map(Result::unwrap).collect()
}

/// What each line is about, or which event.
fn printed(folder: &Path, arguments: &[&str]) -> Vec<String> {
    let output = finish(&mut command("adit", folder, &[&["journal"], arguments].concat()));
    lines(&output).into_iter().map(|entry| entry.key.unwrap_or(entry.event)).collect()
}

#[test]
fn the_newest_entries_are_printed_the_oldest_first() {
    let folder = recorded();
    let printed = |arguments: &[&str]| printed(folder.path(), arguments);
    assert_eq!(printed(&[]), ["c0", "c1", "stopped", "c2", "c3", "c4"]);
    assert_eq!(printed(&["--limit", "4"]), ["stopped", "c2", "c3", "c4"]);
    assert_eq!(printed(&["private-track", "--event", "challenge"]), ["c0", "c1", "c2", "c3", "c4"]);
    assert_eq!(printed(&["--event", "stopped"]), ["stopped"]);
    assert_eq!(printed(&["--event", "challenge", "--since-days", "2"]), ["c1", "c2", "c3", "c4"]);
}

#[test]
fn each_journal_of_the_folder_can_be_named() {
    let folder = recorded();
    let journal = Journal::open(&folder.path().join(GENERATIVE), Limits::default()).unwrap();
    journal.record(&Pushed { what: "w".to_owned(), ..Pushed::default() });
    drop(journal);
    assert_eq!(printed(folder.path(), &["generative"]), ["w"]);
    let output = finish(&mut command("adit", folder.path(), &["journal", "turbo-vision"]));
    assert!(lines(&output).is_empty());
    assert!(shown(&output).contains("nothing is recorded at"), "{}", shown(&output));
}

#[test]
fn an_event_that_is_none_is_named_with_those_that_are() {
    let folder = recorded();
    let output = finish(&mut command("adit", folder.path(), &["journal", "--event", "challenges"]));
    assert_eq!(output.status.code(), Some(1));
    assert!(shown(&output).contains("hint: events are chain, challenge,"), "{}", shown(&output));
}

#[test]
fn a_rehearsal_is_recorded_with_the_challenge_that_it_sends_again() {
    let folder = recorded();
    let id = lines(&finish(&mut command("adit", folder.path(), &["journal", "--limit", "1"])))[0].id;
    let nobody = "http://127.0.0.1:9";
    let of = id.to_string();
    let arguments = ["rehearse", "--of", &of, "--miner", nobody, "--as", "head", "--json"];
    let output = finish(&mut command("sv", folder.path(), &arguments));
    assert_eq!(output.status.code(), Some(1), "{}", shown(&output));
    let newest =
        Reader::open(&folder.path().join(PRIVATE_TRACK)).unwrap().newest("rehearsed").unwrap().unwrap();
    let rehearsed: Rehearsed = newest.read().unwrap();
    assert!(rehearsed.detail.as_ref().unwrap().starts_with("head: "), "{rehearsed:?}");
    let expected = Rehearsed {
        target: nobody.to_owned(),
        asked: CLIP.to_owned(),
        challenge_id: Some("c4".to_owned()),
        passed: false,
        asked_times: 1,
        answered_times: 0,
        score: None,
        identical: None,
        slowest_ms: rehearsed.slowest_ms,
        detail: rehearsed.detail.clone(),
    };
    assert_eq!(rehearsed, expected);
}

#[test]
fn a_rehearsal_of_what_was_not_recorded_says_what_there_is() {
    let folder = recorded();
    for (of, says) in [("99", "no challenge with the number 99"), ("3", "no challenge with the number 3")] {
        let output = finish(&mut command("sv", folder.path(), &["rehearse", "--of", of]));
        assert_eq!(output.status.code(), Some(1));
        assert!(shown(&output).contains(says), "{}", shown(&output));
    }
    let output = finish(&mut command("sv", folder.path(), &["rehearse", "--of", "2"]));
    assert!(shown(&output).contains("has no clip in the journal"), "{}", shown(&output));
    let find = Find::event("rehearsed");
    assert!(Reader::open(&folder.path().join(PRIVATE_TRACK)).unwrap().find(&find).unwrap().is_empty());
}

#[test]
fn a_rehearsal_that_fails_before_it_begins_is_recorded_too() {
    let folder = recorded();
    let arguments = ["rehearse", "/nowhere/clip.mp4", "--miner", "http://127.0.0.1:9"];
    let output = finish(&mut command("sv", folder.path(), &arguments));
    assert_eq!(output.status.code(), Some(1));
    let newest =
        Reader::open(&folder.path().join(PRIVATE_TRACK)).unwrap().newest("rehearsed").unwrap().unwrap();
    let rehearsed: Rehearsed = newest.read().unwrap();
    assert_eq!((rehearsed.passed, rehearsed.asked_times), (false, 0));
    assert!(rehearsed.detail.unwrap().contains("/nowhere/clip.mp4"));
}
