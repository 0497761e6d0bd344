//! What well-behaved callers get.

use adit_auth::{Dialect, Spelling, sign_headers, unix_nanos};
use adit_predictor::WorkerConfig;
use adit_private_track::PredictorChoice;
use adit_stand_in::video_host::Reply;
use serde_json::{Value, json};

use crate::fixture::{FRAMES, Fixture, clip, png};

fn sample_rule() -> Vec<u32> {
    (0..FRAMES).step_by(25).collect()
}

#[tokio::test]
async fn every_kind_of_sender_is_answered() {
    let fixture = Fixture::start().await;
    let url = fixture.host.serve("/clip.mp4", Reply::bytes(clip().await).with_ranges());
    let body = json!({"challenge_id": "c", "video_url": url}).to_string();
    for (dialect, spelling, suffix) in [
        (Dialect::Fiber, Spelling::Plain, "_Az09Az09Az"),
        (Dialect::Score, Spelling::Prefixed, ""),
        (Dialect::Score, Spelling::Both, ""),
    ] {
        let nonce = format!("{}{suffix}", unix_nanos(std::time::SystemTime::now()));
        let headers =
            sign_headers(&fixture.validator, dialect, spelling, &nonce, &fixture.miner, body.as_bytes());
        let response = fixture.post(headers, body.clone()).await;
        assert_eq!(response.status, 200, "{dialect} {spelling:?}: {:?}", response.body);
    }
}

#[tokio::test]
async fn the_answer_holds_both_forms_with_the_same_actions() {
    let fixture = Fixture::start().await;
    let url = fixture.host.serve("/clip.mp4", Reply::bytes(clip().await).with_ranges());
    let (status, answer) = fixture.clip_challenge(&url).await;
    assert_eq!(status, 200, "{answer}");
    let keys: Vec<_> = answer.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["challenge_id", "predictions", "prediction", "processing_time"]);
    let frames = |list: &Value| -> Vec<u32> {
        list.as_array().unwrap().iter().map(|row| row["frame"].as_u64().unwrap() as u32).collect()
    };
    assert_eq!(frames(&answer["predictions"]), sample_rule());
    assert_eq!(frames(&answer["prediction"]["items"]), sample_rule());
    assert_eq!(answer["prediction"]["type"], "soccer_action");
    assert_eq!(answer["predictions"][0], json!({"frame": 0, "action": "pass", "confidence": 1.0}));
}

#[tokio::test]
async fn what_the_baseline_does_not_need_is_not_fetched() {
    let fixture = Fixture::start().await;
    let mut long = clip().await.to_vec();
    let padding = 32 << 20;
    // A box that players skip, behind everything that counts.
    long.extend((padding as u32 + 8).to_be_bytes());
    long.extend(b"free");
    long.resize(long.len() + padding, 0);
    let url = fixture.host.serve("/clip.mp4", Reply::bytes(long).with_ranges());
    assert_eq!(fixture.clip_challenge(&url).await.0, 200);
    assert!(fixture.host.bytes_sent() < 16 << 20, "{} bytes", fixture.host.bytes_sent());
}

#[tokio::test]
async fn pictures_and_listed_frames_are_answered() {
    use base64::Engine as _;
    let fixture = Fixture::start().await;
    let url = fixture.host.serve("/card.png", Reply::bytes(png()).content_type(Some("image/png")));
    let body = json!({"challenge_id": "t", "video_url": null, "image_url": url, "frames": null});
    let (status, answer) = fixture.challenge(&body.to_string()).await;
    assert_eq!((status, &answer["prediction"]["Header"]["card_grade"]), (200, &json!(5)), "{answer}");

    let data = base64::engine::general_purpose::STANDARD.encode(png());
    let frames = json!([{"frame_id": 7, "data": data}, {"frame_id": 8, "url": url}]);
    let (status, answer) =
        fixture.challenge(&json!({"challenge_id": "f", "frames": frames}).to_string()).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["predictions"], json!([{"frame": 7, "action": "pass", "confidence": 1.0}]));
}

/// The guide's file, with its own imports, run by a real Python.
#[tokio::test]
async fn the_guides_predictor_file_answers() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("predictor.py");
    let text = "from pathlib import Path\n\
                from src.schemas import FramePrediction\n\
                def predict_actions(video_path: Path) -> list[FramePrediction]:\n    \
                    assert video_path.stat().st_size > 1000\n    \
                    return [FramePrediction(frame=45, action=\"pass\")]\n";
    std::fs::write(&file, text).unwrap();
    let fixture = Fixture::with(|config| {
        config.predictor = PredictorChoice::Workers(WorkerConfig::python("python3".as_ref(), &file));
    })
    .await;
    fixture.until("/predictor/ready", |ready| *ready == true).await;
    let url = fixture.host.serve("/clip.mp4", Reply::bytes(clip().await));
    let (status, answer) = fixture.clip_challenge(&url).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["predictions"], json!([{"frame": 45, "action": "pass", "confidence": 1.0}]));
}

#[tokio::test]
async fn two_answers_to_one_clip_are_the_same_but_for_the_time() {
    let fixture = Fixture::start().await;
    let url = fixture.host.serve("/clip.mp4", Reply::bytes(clip().await).with_ranges());
    let mut answers = [fixture.clip_challenge(&url).await.1, fixture.clip_challenge(&url).await.1];
    for answer in &mut answers {
        answer.as_object_mut().unwrap().remove("processing_time").unwrap();
    }
    assert_eq!(answers[0].to_string(), answers[1].to_string());
}

#[tokio::test]
async fn a_challenge_under_way_ends_after_the_stop() {
    let mut fixture = Fixture::start().await;
    let slow = Reply::bytes(clip().await).throttled(4_000);
    let url = fixture.host.serve("/clip.mp4", slow);
    let body = json!({"challenge_id": "c", "video_url": url}).to_string();
    let headers = fixture.signed(Dialect::Fiber, body.as_bytes());
    let address = fixture.address;
    let sending = tokio::spawn(async move {
        let client = adit_outbound::Client::new(adit_outbound::AddressGuard::unrestricted()).unwrap();
        let limits =
            adit_outbound::Limits::new(tokio::time::Instant::now() + crate::fixture::PATIENCE, 1 << 24);
        client.post(&format!("http://{address}/challenge"), headers, body, &limits).await.unwrap().status
    });
    fixture.until("/queue/working", |working| *working == 1).await;
    fixture.stop().await;
    assert_eq!(sending.await.unwrap(), 200);
}
