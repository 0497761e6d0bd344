//! The worker protocol for objects, line by line.

use std::time::Duration;

use adit_media::MediaError;
use adit_predictor::{
    Answer, Image, ImageStream, Need, PredictError, Predictor, Subject, Task, Wanted, WorkerConfig,
    WorkerPool,
};
use bytes::Bytes;
use futures_util::stream;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

/// It answers with what it was sent: the request, each line, and the sum of the pixels after it.
const WORKER: &str = r#"
import json, sys
requests = sys.stdin.buffer
print(json.dumps({"ready": True, "needs": NEEDS, "about": {"model_loaded": "echo"}}), flush=True)
for line in requests:
    request = json.loads(line)
    rows = [{"frame_id": 0, "request": request}]
    while NEEDS == "images":
        head = json.loads(requests.readline())
        rows.append({"frame_id": head.get("frame", -1), "head": head, "sum": sum(requests.read(head.get("bytes", 0)))})
        if "frame" not in head:
            break
    print(json.dumps({"id": request["id"], "objects": rows}), flush=True)
"#;

fn predictor(needs: &str) -> Predictor {
    let mut config = WorkerConfig::new("echo", "python3");
    config.args = vec!["-c".into(), format!("NEEDS = {needs:?}\n{WORKER}").into()];
    Predictor::Workers(WorkerPool::start(config))
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

const OBJECTS: Wanted = Wanted::Objects { batch_size: 3, n_keypoints: 14 };

async fn ask(predictor: &Predictor, wanted: Wanted, subject: Subject) -> Result<Value, PredictError> {
    let task = Task { challenge_id: "c1".to_owned(), wanted, subject };
    match predictor.predict(task, soon()).await? {
        Answer::Objects(frames) => Ok(frames.into()),
        other => panic!("{other:?} to a task about objects"),
    }
}

fn images(list: Vec<Result<Image, MediaError>>) -> Subject {
    Subject::Images(ImageStream::new(stream::iter(list)))
}

fn image(frame_id: i64, width: u32, height: u32, level: u8) -> Result<Image, MediaError> {
    let pixels = Bytes::from(vec![level; (width * height * 3) as usize]);
    Ok(Image { frame_id, width, height, pixels })
}

fn request(id: u64, url: Option<&str>, meta: &Value) -> Value {
    json!({
        "id": id, "challenge_id": "c1", "want": "objects", "video": null, "frame_count": null, "frame_rate": null,
        "pictures": [], "batch_size": 3, "n_keypoints": 14, "url": url, "meta": meta,
    })
}

#[tokio::test]
async fn images_follow_the_request_each_with_its_size() {
    let predictor = predictor("images");
    assert_eq!(predictor.wait_ready(soon()).await.unwrap(), Need::Images);
    assert_eq!(predictor.about(), json!({"model_loaded": "echo"}).as_object().cloned());
    let answer =
        ask(&predictor, OBJECTS, images(vec![image(9, 4, 2, 1), image(-3, 1, 1, 200)])).await.unwrap();
    assert_eq!(
        answer,
        json!([
            {"frame_id": 0, "request": request(0, None, &Value::Null)},
            {"frame_id": 9, "head": {"frame": 9, "width": 4, "height": 2, "bytes": 24}, "sum": 24},
            {"frame_id": -3, "head": {"frame": -3, "width": 1, "height": 1, "bytes": 3}, "sum": 600},
            {"frame_id": -1, "head": {"end": true}, "sum": 0},
        ])
    );
}

#[tokio::test]
async fn an_image_that_fails_aborts_the_request_and_keeps_the_worker() {
    let predictor = predictor("images");
    let broken = Err(MediaError::NotPicture("damaged".to_owned()));
    let failed = ask(&predictor, OBJECTS, images(vec![image(1, 1, 1, 1), broken, image(2, 1, 1, 1)])).await;
    assert!(
        matches!(&failed, Err(PredictError::Media(MediaError::NotPicture(what))) if what == "damaged"),
        "{failed:?}"
    );
    let answer = ask(&predictor, OBJECTS, images(Vec::new())).await.unwrap();
    assert_eq!(answer[0]["request"]["id"], 1, "the same worker's second request");
}

#[tokio::test]
async fn a_link_comes_with_what_the_challenge_says() {
    let predictor = predictor("link");
    let meta = json!({"fps": 30, "task_id": "0"});
    let link =
        |meta: Option<Map<String, Value>>| Subject::Link { url: "http://127.0.0.1/clip".to_owned(), meta };
    let url = Some("http://127.0.0.1/clip");
    let answer = ask(&predictor, OBJECTS, link(meta.as_object().cloned())).await.unwrap();
    assert_eq!(answer, json!([{"frame_id": 0, "request": request(0, url, &meta)}]));
    let answer = ask(&predictor, OBJECTS, link(None)).await.unwrap();
    assert_eq!(answer, json!([{"frame_id": 0, "request": request(1, url, &Value::Null)}]));
}

#[tokio::test]
async fn a_model_is_asked_only_for_what_it_can_do() {
    for (needs, subject, wanted) in [
        ("link", images(Vec::new()), OBJECTS),
        ("images", Subject::Link { url: String::new(), meta: None }, OBJECTS),
        ("file", images(Vec::new()), OBJECTS),
        ("images", images(Vec::new()), Wanted::SoccerActions),
        ("images", Subject::Pictures(Vec::new()), Wanted::SoccerActions),
    ] {
        let predictor = predictor(needs);
        predictor.wait_ready(soon()).await.unwrap();
        let refused = ask(&predictor, wanted, subject).await;
        assert!(matches!(refused, Err(PredictError::Mismatch { .. })), "{needs}: {refused:?}");
    }
    let refused = ask(&Predictor::Baseline, OBJECTS, images(Vec::new())).await;
    assert!(matches!(refused, Err(PredictError::Mismatch { .. })), "{refused:?}");
}
