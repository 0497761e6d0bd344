//! `sv serve` as a process of its own.

use std::process::Command;

use adit_synthetic::{Match, MatchFormat};
use serde_json::Value;

use crate::process::{Miner, finish, program, run, shown};

fn open(command: &mut Command) {
    command
        .env("BLACKLIST_ENABLED", "false")
        .env("VERIFY_ENABLED", "false")
        .env("ADIT_PREDICTOR", "baseline");
}

#[test]
fn it_starts_with_the_guides_lines_and_stops_on_sigterm() {
    let mut miner = Miner::start(open);
    for line in [
        "INFO: Blacklist: DISABLED",
        "INFO: Verify: DISABLED",
        "WARNING: All security DISABLED - local testing only",
    ] {
        assert!(miner.started_with.iter().any(|logged| logged.ends_with(line)), "{:#?}", miner.started_with);
    }
    miner.wait_ready();
    miner
        .exchange(b"POST /challenge HTTP/1.1\r\nHost: m\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}");
    let (code, log) = miner.terminate();
    assert_eq!(code, Some(0), "{log:#?}");
    let coloured = |line: &&String| line.contains('\x1b');
    assert_eq!(
        miner.started_with.iter().chain(&log).find(coloured),
        None,
        "a log that is no terminal is plain"
    );
}

#[test]
fn a_taken_port_ends_it_with_a_hint() {
    let first = Miner::start(open);
    let mut second = program("sv");
    second.arg("serve");
    open(&mut second);
    let output = finish(second.env("MINER_PORT", first.address.port().to_string()));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr.contains("error: cannot listen on 0.0.0.0:"), "{stderr}");
    assert!(stderr.contains("hint: another program has this port"), "{stderr}");
}

#[test]
fn a_port_that_is_told_wins_and_the_health_check_asks_there() {
    let check = |port: &str| run("sv", &["healthcheck", "--port", port]);
    let taken = Miner::start(open);
    let port = taken.address.port().to_string();
    let miner = Miner::start(|command| {
        open(command);
        command.args(["--port", "0"]).env("MINER_PORT", &port);
    });
    miner.wait_ready();
    let port = miner.address.port().to_string();
    let ready = check(&port);
    assert_eq!(ready.status.code(), Some(0), "{}", shown(&ready));
    assert_eq!(
        String::from_utf8_lossy(&ready.stdout),
        format!("ready: http://127.0.0.1:{port}/docs answers\n")
    );
    drop(miner);
    let gone = check(&port);
    assert_eq!((gone.status.code(), gone.stdout.len()), (Some(1), 0), "{}", shown(&gone));
    assert_eq!(String::from_utf8_lossy(&gone.stderr).lines().count(), 1, "{}", shown(&gone));
}

/// As every mistake in the settings, whoever starts it.
#[test]
fn a_user_to_run_as_that_is_none_ends_it() {
    for user in ["adit", "0:0", "10001"] {
        let mut command = program("sv");
        open(command.args(["serve", "--port", "0"]).env("ADIT_RUN_AS", user));
        let output = finish(&mut command);
        let text = shown(&output);
        assert!(
            output.status.code() == Some(1) && text.contains(&format!("`ADIT_RUN_AS={user}` is not")),
            "{text}"
        );
    }
}

#[test]
fn a_folder_that_nothing_can_be_kept_in_is_told_and_no_reason_to_stop() {
    // Nobody can, not even root.
    let folder = "/proc";
    let miner = Miner::start(|command| {
        open(command);
        command.env("ADIT_DATA_DIR", folder);
    });
    let told = |line: &String| {
        line.contains("WARNING: nothing can be kept between runs in") && line.contains(folder)
    };
    assert!(miner.started_with.iter().any(told), "{:#?}", miner.started_with);
}

#[test]
fn settings_come_from_the_nearest_env_file_with_its_comments() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("a/b");
    std::fs::create_dir_all(&inner).unwrap();
    let text = "BLACKLIST_ENABLED=false  # local\nVERIFY_ENABLED=no\nADIT_PREDICTOR=baseline\nnonsense\n";
    std::fs::write(folder.path().join(".env"), text).unwrap();
    let miner = Miner::start(|command| {
        command.current_dir(&inner).env_remove("ADIT_ENV_FILE");
    });
    let warned = |line: &String| line.contains("WARNING:") && line.contains(".env: line 4 is not NAME=value");
    assert!(miner.started_with.iter().any(warned), "{:#?}", miner.started_with);
}

/// Thousands of requests that strangers can send leave the miner up and no larger than before.
#[test]
fn a_flood_of_bad_requests_leaves_it_up_and_small() {
    const ROUNDS: usize = 200;
    /// What an allocator may keep after the flood, in KiB. The flood itself sends over 100 MB.
    const SLACK: u64 = 24 * 1024;
    let miner = Miner::start(|command| {
        let stakes = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("no-stakes.json");
        std::fs::write(&stakes, "{}").unwrap();
        let address = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
        command.env("ADIT_PREDICTOR", "baseline").env("ADIT_HOTKEY", address).env("STAKE_TABLE_FILE", stakes);
    });
    miner.wait_ready();
    let headers: String = (0..500).map(|n| format!("X-{n}: {}\r\n", "a".repeat(1000))).collect();
    let junk = vec![0xff; 100_000];
    let signed = "validator-hotkey: 5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY\r\nminer-hotkey: 5\r\n\
                  nonce: 1\r\nsignature: 0x00\r\n";
    let requests: [Vec<u8>; 5] = [
        format!("POST /challenge HTTP/1.1\r\nHost: m\r\n{headers}\r\n").into_bytes(),
        junk,
        b"POST /challenge HTTP/1.1\r\nHost: m\r\nContent-Length: 1073741824\r\nConnection: close\r\n\r\n".to_vec(),
        format!("POST /challenge HTTP/1.1\r\nHost: m\r\nConnection: close\r\nContent-Length: 2\r\n{signed}\r\n{{}}")
            .into_bytes(),
        b"GET /nothing HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n".to_vec(),
    ];
    let round = || requests.iter().for_each(|request| drop(miner.exchange(request)));
    // The first rounds fill pools and caches once.
    (0..20).for_each(|_| round());
    let before = miner.resident_kib();
    (0..ROUNDS).for_each(|_| round());
    let after = miner.resident_kib();
    assert!(after < before + SLACK, "{before} KiB before, {after} KiB after");
    assert!(miner.get("/docs").starts_with("HTTP/1.1 200"));
}

/// `sv rehearse` against `sv serve`, both as processes: a clip on disk, its truth, a spot check, JSON.
#[tokio::test]
async fn a_rehearsal_scores_a_running_miner() {
    let folder = tempfile::tempdir().unwrap();
    let (clip, truth) = (folder.path().join("clip.mp4"), folder.path().join("clip.json"));
    let drawn = Match::new(3, MatchFormat { width: 160, height: 90, fps: 25, seconds: 8 });
    let ffmpeg = adit_media::Ffmpeg::find(None).await.unwrap();
    let deadline = tokio::time::Instant::now() + crate::process::PATIENCE;
    drawn.write_clip(&ffmpeg, &clip, deadline).await.unwrap();
    std::fs::write(&truth, serde_json::to_string(drawn.truth()).unwrap()).unwrap();
    let miner = Miner::start(|command| {
        open(command);
        command.env("ADIT_ALLOWED_HOSTS", "127.0.0.1");
    });
    let arguments = |json: bool| {
        let mut command = program("sv");
        command.arg("rehearse").arg(&clip).arg("--truth").arg(&truth);
        command.args(["--repeat", "2", "--spot-check", "--miner", &format!("http://{}", miner.address)]);
        command.args(json.then_some("--json"));
        command
    };
    let output = finish(&mut arguments(true));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    assert_eq!(report["attempts"].as_array().unwrap().len(), 6);
    assert_eq!((&report["identical"], &report["spot_check"]["status"]), (&true.into(), &"PASS".into()));
    let verdict = &report["attempts"][0]["outcome"]["verdict"];
    let rows = verdict["actions"].as_array().unwrap().len();
    let matched =
        verdict["actions"].as_array().unwrap().iter().filter(|row| row["result"] == "matched").count();
    let missed = verdict["missed"].as_array().unwrap().len();
    assert_eq!((rows, matched + missed), (8, drawn.truth().len()), "{verdict:#}");

    let text = String::from_utf8(finish(&mut arguments(false)).stdout).unwrap();
    assert!(text.contains("✓ PASS spot check: score_match"), "{text}");
    assert_eq!(text.matches("missed").count(), missed, "{text}");
}

#[test]
fn a_rehearsal_says_what_to_allow_when_the_miner_may_not_fetch() {
    let clip = tempfile::NamedTempFile::new().unwrap();
    let miner = Miner::start(open);
    let mut command = program("sv");
    command.arg("rehearse").arg(clip.path()).args(["--miner", &format!("http://{}", miner.address)]);
    let output = finish(&mut command);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("hint: ") && text.contains("ADIT_ALLOWED_HOSTS=127.0.0.1"), "{text}");
}
