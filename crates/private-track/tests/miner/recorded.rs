//! What the journal says of challenges, and what it never holds.

use std::path::{Path, PathBuf};

use adit_auth::StakeGate;
use adit_journal::record::{Challenge, Ended};
use adit_journal::{Find, Limits, Place, Reader};
use adit_predictor::WorkerConfig;
use adit_private_track::{Config, PredictorChoice};
use adit_stand_in::video_host::Reply;
use http::HeaderMap;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::fixture::{Fixture, PATIENCE, clip, png};

pub(crate) const IMAGE: &str = "docker.io/me/pt-solution@sha256:1";

/// Records into a folder that outlives the miner.
pub(crate) fn journal(config: &mut Config) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data/private-track.sqlite");
    config.journal =
        Some(Place { path: path.clone(), limits: Limits { bytes: 1 << 20, ..Limits::default() } });
    config.image = Some(IMAGE.to_owned());
    (folder, path)
}

/// In the order of recording.
fn records(path: &Path) -> Vec<Challenge> {
    let entries = Reader::open(path).unwrap().find(&Find::event("challenge")).unwrap();
    entries.iter().rev().map(|entry| entry.read().unwrap()).collect()
}

/// Waits for so many records.
pub(crate) async fn recorded(path: &Path, count: usize) -> Vec<Challenge> {
    let polling = async {
        loop {
            let records = records(path);
            if records.len() >= count {
                assert_eq!(records.len(), count, "{records:#?}");
                return records;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, polling).await.unwrap()
}

#[tokio::test]
async fn every_signed_challenge_is_recorded_as_it_ended() {
    let mut file = None;
    let mut fixture = Fixture::with(|config| file = Some(journal(config))).await;
    let (_folder, path) = file.unwrap();
    let video = fixture.host.serve("/clip.mp4", Reply::bytes(clip().await).with_ranges());
    let gone = fixture.host.serve("/gone.mp4", Reply::bytes("").status(404));
    let picture = fixture.host.serve("/card.png", Reply::bytes(png()).content_type(Some("image/png")));
    let frames = json!([{"frame_id": 7, "url": picture}, {"frame_id": 8, "url": picture}]);
    let mut answers = Vec::new();
    for body in [
        json!({"challenge_id": "a", "video_url": video}),
        json!({"challenge_id": "b", "video_url": gone}),
        json!({"challenge_id": "c", "image_url": picture}),
        json!({"challenge_id": "d", "frames": frames}),
    ] {
        answers.push(fixture.challenge(&body.to_string()).await);
    }
    // What is no challenge, and what nobody signed, is not recorded.
    assert_eq!(fixture.challenge("{}").await.0, 422);
    assert_eq!(fixture.post(HeaderMap::new(), r#"{"challenge_id":"e","video_url":"x"}"#).await.status, 422);
    let health = fixture.health().await;
    assert_eq!(health["journal"], json!({"dropped": 0}));
    let metrics = fixture.get("/metrics").await;
    assert!(metrics.contains("\nadit_private_journal_dropped_total 0\n"), "{metrics}");
    fixture.stop().await;

    let records = recorded(&path, 4).await;
    for (record, id) in records.iter().zip(["a", "b", "c", "d"]) {
        assert_eq!(record.challenge_id, id);
        assert_eq!(record.sender, Some(fixture.validator.hotkey().to_string()));
        assert_eq!(record.miner_hotkey, Some(fixture.miner.to_string()));
        assert_eq!((record.predictor.as_str(), record.image.as_deref()), ("baseline", Some(IMAGE)));
        assert!(record.latency_ms < PATIENCE.as_millis() as u64);
    }
    let asked: Vec<_> = records
        .iter()
        .map(|record| {
            (record.mode.as_str(), record.video_url.clone(), record.image_url.clone(), record.frames)
        })
        .collect();
    assert_eq!(
        asked,
        [
            ("soccer_action", Some(video), None, None),
            ("soccer_action", Some(gone), None, None),
            ("tcg_grading", None, Some(picture), None),
            ("soccer_action", None, None, Some(2)),
        ]
    );
    for (record, (status, answer)) in records.iter().zip(&mut answers) {
        if *status == 200 {
            answer.as_object_mut().unwrap().remove("processing_time").unwrap();
            assert_eq!(record.answer.as_ref().unwrap().get(), answer.to_string());
            assert_eq!((record.outcome, record.status, &record.reason), (Ended::Answered, None, &None));
        }
    }
    let failed = &records[1];
    assert_eq!((failed.outcome, failed.status, failed.answer.is_none()), (Ended::Failed, Some(500), true));
    assert!(failed.reason.as_ref().unwrap().contains("404"), "{failed:?}");
}

#[tokio::test]
async fn what_nobody_signed_is_not_recorded() {
    let mut file = None;
    let mut fixture = Fixture::with(|config| {
        file = Some(journal(config));
        config.gate.policy.verify = false;
    })
    .await;
    let (_folder, path) = file.unwrap();
    let url = fixture.host.serve("/clip.mp4", Reply::bytes(clip().await).with_ranges());
    // The stake gate takes a hotkey for what it says.
    assert_eq!(fixture.clip_challenge(&url).await.0, 200);
    fixture.stop().await;
    assert!(records(&path).is_empty());
}

#[tokio::test]
async fn a_caller_that_left_is_recorded() {
    let mut file = None;
    let fixture = Fixture::with(|config| file = Some(journal(config))).await;
    let (_folder, path) = file.unwrap();
    let url = fixture.host.serve("/clip.mp4", Reply::bytes(clip().await).stalling_at(100));
    let body = json!({"challenge_id": "c", "video_url": url}).to_string();
    let mut waiting = Box::pin(fixture.challenge(&body));
    let working = fixture.until("/queue/working", |working| *working == 1);
    tokio::select! {
        _ = &mut waiting => panic!("the clip never ends"),
        () = working => {}
    }
    drop(waiting);
    let record = recorded(&path, 1).await.remove(0);
    assert_eq!((record.outcome, record.status), (Ended::CallerLeft, None));
    assert_eq!(record.reason.as_deref(), Some("the caller left before the answer"));
}

#[tokio::test]
async fn a_journal_that_cannot_be_written_is_done_without() {
    let fixture = Fixture::with(|config| {
        config.journal =
            Some(Place { path: "/dev/null/private-track.sqlite".into(), limits: Limits::default() });
    })
    .await;
    let url = fixture.host.serve("/clip.mp4", Reply::bytes(clip().await).with_ranges());
    assert_eq!(fixture.clip_challenge(&url).await.0, 200);
    assert_eq!(fixture.health().await["journal"], Value::Null);
}

/// A Python file with this body of `predict_actions`, in a folder that must outlive the worker.
pub(crate) fn worker(body: &str) -> (TempDir, PredictorChoice) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("predictor.py");
    let text = format!(
        "import time\nfrom src.schemas import FramePrediction\ncalls = []\ndef predict_actions(video_path):\n    calls.append(1)\n    {body}\n"
    );
    std::fs::write(&file, text).unwrap();
    (folder, PredictorChoice::Workers(WorkerConfig::python("python3".as_ref(), &file)))
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_left_out_and_said() {
    let (_worker, predictor) =
        worker("return [FramePrediction(frame=n, action='pass') for n in range(4000)]");
    let mut file = None;
    let fixture = Fixture::with(|config| {
        file = Some(journal(config));
        config.predictor = predictor;
        config.gate.policy.stake_gate = StakeGate::Off;
    })
    .await;
    let (_folder, path) = file.unwrap();
    fixture.until("/predictor/ready", |ready| *ready == true).await;
    let url = fixture.host.serve("/clip.mp4", Reply::bytes(clip().await));
    assert_eq!(fixture.clip_challenge(&url).await.0, 200);
    // A URL that is longer than any is left out as well, and the name of a challenge is cut.
    let long = format!("{url}?{}", "x".repeat(9000));
    let body = json!({"challenge_id": "\u{1}".repeat(3000), "video_url": long}).to_string();
    assert_eq!(fixture.challenge(&body).await.0, 200);
    let records = recorded(&path, 2).await;
    for record in &records {
        assert_eq!((record.outcome, record.answer.is_none()), (Ended::Answered, true));
        assert!(record.answer_too_large.unwrap() > 256 * 1024, "{:?}", record.answer_too_large);
        assert!(record.predictor.ends_with("/predictor.py"), "{}", record.predictor);
    }
    assert_eq!(records[0].video_url.as_deref(), Some(url.as_str()));
    assert_eq!((records[1].challenge_id.len(), &records[1].video_url), (2048, &None));
}
