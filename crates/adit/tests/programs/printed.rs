//! What is printed, whole: a change here is a change that operators see.

use std::process::Stdio;
use std::time::Duration;

use crate::process::{finish, finish_within, program, run, shown};

#[test]
fn help_of_sv() {
    insta::assert_snapshot!(shown(&run("sv", &["--help"])));
}

#[test]
fn help_of_rehearse() {
    insta::assert_snapshot!(shown(&run("sv", &["rehearse", "--help"])));
}

#[test]
fn pv_has_the_commands_of_sv() {
    let commands = |name| {
        let text = String::from_utf8(run(name, &["--help"]).stdout).unwrap();
        text.split_once("Commands:").unwrap().1.to_owned()
    };
    assert_eq!(commands("pv"), commands("sv"));
}

#[test]
fn the_actions() {
    insta::assert_snapshot!(shown(&run("sv", &["actions"])));
}

#[test]
fn the_actions_as_json() {
    let output = run("sv", &["actions", "--json"]);
    let rows: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(rows.as_array().unwrap().len(), 19);
    assert_eq!(rows[0]["action"], "pass");
    assert_eq!(rows[14]["tolerance_frames"], 75.0);
}

#[test]
fn a_missing_wallet_stops_the_start() {
    let output = finish(program("sv").arg("serve").env("BITTENSOR_WALLET_PATH", "/nowhere"));
    insta::assert_snapshot!(shown(&output));
}

#[test]
fn a_missing_stake_table_stops_the_start() {
    let address = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
    let mut command = program("sv");
    command.arg("serve").env("ADIT_HOTKEY", address).env("STAKE_TABLE_FILE", "/nowhere/stakes.json");
    let output = finish(&mut command);
    insta::assert_snapshot!(shown(&output));
}

#[test]
fn a_rehearsal_without_a_miner_says_what_to_start() {
    let arguments = [
        "rehearse",
        "http://127.0.0.1:9/clip.mp4",
        "--miner",
        "http://127.0.0.1:9",
        "--as",
        "head",
        "--json",
    ];
    let output = run("sv", &arguments);
    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["attempts"][0]["outcome"]["status"], "unreachable");
}

#[test]
fn a_truth_file_of_another_shape_is_said_with_an_example() {
    let truth = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("truth.json");
    std::fs::write(&truth, r#"{"pass": 45}"#).unwrap();
    let output = finish(program("sv").args(["rehearse", "x.mp4", "--truth"]).arg(&truth));
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("no list of actions") && stderr.contains("hint: expected JSON"), "{stderr}");
}

/// The whole way, twice: match, server, all senders, score and spot check; and each model in ONNX three ways.
#[test]
fn the_demo_passes() {
    let folder = tempfile::tempdir().unwrap();
    let mut demo = program("adit");
    demo.arg("demo").env("ADIT_DATA_DIR", folder.path());
    let python = std::env::var_os("ADIT_TEST_OIP_PYTHON");
    if let Some(python) = &python {
        demo.env("ADIT_PYTHON", python);
    } else {
        let why =
            "ADIT_TEST_OIP_PYTHON names no Python with kserve: the demo runs without its models in ONNX";
        assert!(std::env::var_os("ADIT_CI").is_none_or(|value| value != "1"), "{why}");
        eprintln!("skipped in part: {why}");
    }
    let output = finish_within(Duration::from_secs(240), &mut demo, Stdio::null());
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    let summary = text.split_once("What scored what").unwrap().1;
    assert_eq!(summary.matches("6 of 6").count(), 2, "{summary}");
    assert_eq!(summary.matches("PASS").count(), 2, "{summary}");
    if python.is_some() {
        assert_eq!(summary.matches("the same\n").count(), 4, "{summary}");
    }

    // The page is there, with these challenges, after the demo has ended.
    let page = text.split_once("operator's page:").unwrap().1;
    let word =
        |before: &str| page.split_once(before).unwrap().1.split(['`', '\n', ' ']).next().unwrap().to_owned();
    let pid = rustix::process::Pid::from_raw(word("`kill ").parse().unwrap()).unwrap();
    let shown = http_get(&format!("http://{}challenges.json", word("http://")));
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let rows: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let answered = rows.as_array().unwrap().iter().filter(|row| row["outcome"] == "answered").count();
    assert!(answered >= 12, "{shown}");
}

fn http_get(url: &str) -> String {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = adit_outbound::Client::new(adit_outbound::AddressGuard::unrestricted()).unwrap();
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        let answer = client.get(url, &adit_outbound::Limits::new(deadline, 1 << 20)).await.unwrap();
        String::from_utf8(answer.bytes().await.unwrap().to_vec()).unwrap()
    })
}
