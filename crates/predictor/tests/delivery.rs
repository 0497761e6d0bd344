//! Frames as a worker asks for them: in batches, and through memory that it maps.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails as a test does")]

use std::collections::HashSet;
use std::fs;
use std::time::Duration;

use adit_media::MediaError;
use adit_predictor::{
    Answer, Image, ImageStream, Need, PredictError, Predictor, Subject, Task, Wanted, WorkerConfig,
    WorkerPool,
};
use futures_util::stream;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

/// Reads what it asked for, and answers with each line about pixels and the sum of those. What it does with a slot that
/// it has read is `read(slot)`.
const WORKER: &str = r#"
import json, mmap, os, sys, time
requests = sys.stdin.buffer
def say(message):
    print(json.dumps(message), flush=True)
def read(slot):
    say({"free": slot})
def part(path, offset, size):
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as memory:
        return memory[offset:offset + size]
"#;

const LOOP: &str = r#"
say({"ready": True, "needs": {"images": DELIVERY}})
for line in requests:
    request = json.loads(line)
    rows = []
    while True:
        head = json.loads(requests.readline())
        if "bytes" not in head:
            rows.append({"frame_id": -1, "head": head})
            break
        if "slot" in head:
            pixels = part(request["memory"], head.pop("offset"), head["bytes"])
            read(head.pop("slot"))
        else:
            pixels = requests.read(head["bytes"])
        rows.append({"frame_id": 0, "head": head, "sum": sum(pixels)})
    say({"id": request["id"], "objects": rows})
"#;

fn config(delivery: &str, more: &str) -> WorkerConfig {
    let mut config = WorkerConfig::new("echo", "python3");
    config.args = vec!["-c".into(), format!("{WORKER}\nDELIVERY = {delivery}\n{more}\n{LOOP}").into()];
    config
}

fn predictor(delivery: &str, more: &str) -> Predictor {
    Predictor::Workers(WorkerPool::start(config(delivery, more)))
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

fn image(frame_id: i64, width: u32, height: u32) -> Image {
    let bytes = (width * height * 3) as usize;
    let pixels = (0..bytes).map(|at| (at as i64 + frame_id).rem_euclid(251) as u8).collect::<Vec<u8>>();
    Image { frame_id, width, height, pixels: pixels.into() }
}

fn sum(images: &[Image]) -> u64 {
    images.iter().flat_map(|image| &image.pixels).map(|byte| u64::from(*byte)).sum()
}

async fn ask_until(
    predictor: &Predictor,
    images: Vec<Result<Image, MediaError>>,
    deadline: Instant,
) -> Result<Value, PredictError> {
    let task = Task {
        challenge_id: "c1".to_owned(),
        wanted: Wanted::Objects { batch_size: 8, n_keypoints: 0 },
        subject: Subject::Images(ImageStream::new(stream::iter(images))),
    };
    match predictor.predict(task, deadline).await? {
        Answer::Objects(frames) => Ok(frames.into()),
        other => panic!("{other:?} to a task about objects"),
    }
}

async fn ask(predictor: &Predictor, images: &[Image]) -> Result<Value, PredictError> {
    ask_until(predictor, images.iter().cloned().map(Ok).collect(), soon()).await
}

/// Descriptors of this process, by where they lead, that are memory for workers.
fn memories() -> usize {
    let links = fs::read_dir("/proc/self/fd").unwrap();
    links
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .filter(|to| is_memory(&to.to_string_lossy()))
        .count()
}

fn is_memory(target: &str) -> bool {
    target.starts_with("/memfd:adit-frames")
}

/// Other tests of this file may run in the same process under `cargo test`: then a count says nothing.
fn counts_alone() -> bool {
    std::env::var_os("NEXTEST").is_some()
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = soon();
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not come about");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_batch_is_one_line_and_the_last_may_be_short() {
    let images: Vec<Image> = (0..5).map(|frame| image(frame, 4, 2)).collect();
    let rows = |chunks: &[&[Image]]| {
        let rows = chunks.iter().map(|chunk| {
            let frames: Vec<i64> = chunk.iter().map(|image| image.frame_id).collect();
            let sizes = vec![[4, 2]; chunk.len()];
            let head = json!({"frames": frames, "sizes": sizes, "bytes": 24 * chunk.len()});
            json!({"frame_id": 0, "head": head, "sum": sum(chunk)})
        });
        Value::from_iter(rows.chain([json!({"frame_id": -1, "head": {"end": true}})]))
    };
    for delivery in ["{'batch': 2}", "{'batch': 2, 'shared': True}"] {
        let predictor = predictor(delivery, "");
        assert_eq!(predictor.wait_ready(soon()).await.unwrap(), Need::Images);
        let answer = ask(&predictor, &images).await.unwrap();
        assert_eq!(answer, rows(&[&images[..2], &images[2..4], &images[4..]]), "{delivery}");
        assert_eq!(ask(&predictor, &[]).await.unwrap(), rows(&[]), "{delivery}");
    }
}

#[tokio::test]
async fn an_image_that_does_not_fit_begins_the_next_batch() {
    let images = [image(1, 2, 2), image(2, 2, 1), image(3, 9, 9), image(4, 1, 1), image(5, 30, 30)];
    for delivery in ["{'batch': 3}", "{'batch': 3, 'shared': True}"] {
        let answer = ask(&predictor(delivery, ""), &images).await.unwrap();
        let frames: Vec<&Value> =
            answer.as_array().unwrap().iter().map(|row| &row["head"]["frames"]).collect();
        assert_eq!(frames, [&json!([1, 2]), &json!([3, 4]), &json!([5]), &Value::Null], "{delivery}");
    }
}

#[tokio::test]
async fn shared_memory_grows_and_is_used_again() {
    let predictor = predictor("{'shared': True}", "");
    // More than the memory ever holds at once, small and large ones in turns.
    let images: Vec<Image> = (0..40)
        .map(|frame| if frame % 3 == 0 { image(frame, 1920, 1080) } else { image(frame, 8, 8) })
        .collect();
    for _ in 0..2 {
        let answer = ask(&predictor, &images).await.unwrap();
        let sums: Vec<u64> =
            answer.as_array().unwrap().iter().filter_map(|row| row["sum"].as_u64()).collect();
        let expected: Vec<u64> = images.iter().map(|image| sum(std::slice::from_ref(image))).collect();
        assert_eq!(sums, expected);
    }
    if counts_alone() {
        assert_eq!(memories(), 1);
        predictor.shutdown().await;
        assert_eq!(memories(), 0);
    }
}

#[tokio::test]
async fn what_a_worker_should_not_do_with_slots_costs_it() {
    for (does, what) in [
        ("say({'free': slot}); say({'free': slot})", "it freed slot 0 when that was free already"),
        ("say({'free': slot + 99})", "it freed slot 99, which it was never given"),
        ("say({'free': -1})", "it spoke before it had all frames: `{\"free\": -1}`"),
        ("say({'freed': slot})", "it spoke before it had all frames: `{\"freed\": 0}`"),
    ] {
        let read = format!("def read(slot): {does}\n");
        let predictor = predictor("{'shared': True}", &read);
        let images: Vec<Image> = (0..20).map(|frame| image(frame, 600, 400)).collect();
        match ask(&predictor, &images).await {
            Err(PredictError::Protocol { what: said, .. }) => assert_eq!(said.replace('\\', ""), what),
            other => panic!("{does}: {other:?}"),
        }
        predictor.shutdown().await;
        assert!(!counts_alone() || memories() == 0);
    }
}

#[tokio::test]
async fn a_worker_without_shared_memory_has_nothing_to_free() {
    let babbles = "readline = requests.readline\n\
                   class Requests:\n    \
                       def __iter__(self): return iter(readline, b'')\n    \
                       def readline(self): say({'free': 0}); return readline()\n    \
                       def read(self, size): return sys.stdin.buffer.read(size)\n\
                   requests = Requests()\n";
    let predictor = predictor("{}", babbles);
    let outcome = ask(&predictor, &[image(1, 1, 1)]).await;
    assert!(matches!(&outcome, Err(PredictError::Protocol { .. })), "{outcome:?}");
}

#[tokio::test]
async fn a_worker_that_frees_nothing_is_told_to_stop_and_stays() {
    let mut config = config("{'shared': True}", "def read(slot): pass\n");
    // A loaded machine may be slow to wake the worker.
    config.clip_margin = Duration::from_secs(60);
    let margin = config.clip_margin;
    let predictor = Predictor::Workers(WorkerPool::start(config));
    predictor.wait_ready(soon()).await.unwrap();
    let few: Vec<Image> = (0..8).map(|frame| image(frame, 8, 8)).collect();
    let many: Vec<Image> = (0..9).map(|frame| image(frame, 8, 8)).collect();
    assert!(ask(&predictor, &few).await.is_ok(), "an answer frees what is held");
    let deadline = Instant::now() + margin + Duration::from_secs(1);
    let held = ask_until(&predictor, many.into_iter().map(Ok).collect(), deadline).await.unwrap_err();
    assert!(matches!(held, PredictError::Held { worker: 0, slots: 8 }), "{held:?}");
    assert!(ask(&predictor, &few).await.is_ok(), "the same worker");
    let Predictor::Workers(pool) = &predictor else { unreachable!() };
    assert_eq!(pool.status().last_failure, None);
}

#[tokio::test]
async fn a_worker_that_dies_with_the_memory_mapped_leaves_none() {
    let dies = "def read(slot):\n    \
                    global kept\n    \
                    kept = mmap.mmap(os.open(request['memory'], os.O_RDONLY), 0, access=mmap.ACCESS_READ)\n    \
                    os._exit(3)\n";
    let predictor = predictor("{'shared': True}", dies);
    for _ in 0..3 {
        let outcome = ask(&predictor, &[image(1, 64, 64)]).await;
        assert!(matches!(&outcome, Err(PredictError::Died { .. })), "{outcome:?}");
    }
    if counts_alone() {
        until("the end of the memories before", || memories() <= 1).await;
        predictor.shutdown().await;
        assert_eq!(memories(), 0);
    }
}

#[tokio::test]
async fn an_image_that_fails_in_the_middle_of_a_batch_aborts_the_request() {
    for delivery in ["{'batch': 4}", "{'batch': 4, 'shared': True}"] {
        let predictor = predictor(delivery, "");
        let broken =
            vec![Ok(image(1, 4, 4)), Err(MediaError::NotPicture("damaged".to_owned())), Ok(image(2, 4, 4))];
        let failed = ask_until(&predictor, broken, soon()).await;
        assert!(matches!(&failed, Err(PredictError::Media(MediaError::NotPicture(_)))), "{failed:?}");
        assert!(ask(&predictor, &[image(1, 4, 4)]).await.is_ok());
    }
}

#[tokio::test]
async fn batches_that_cannot_be_are_refused_at_the_start() {
    for (needs, reason) in [
        ("{'images': {'batch': 0}}", "it asks for batches outside 1..=1024"),
        ("{'images': {'batch': 5000}}", "it asks for batches outside 1..=1024"),
        ("{'images': {'batch': 1.5}}", "its first line is not a ready line"),
        ("{'images': {'bach': 2}}", "its first line is not a ready line"),
        (
            "{'frames': {'width': 1280, 'height': 720, 'batch': 64}}",
            "it asks for batches of more than 128 MiB, or 48 such frames",
        ),
    ] {
        let mut config = WorkerConfig::new("bad", "python3");
        let script = format!(
            "import json\nprint(json.dumps({{'ready': True, 'needs': {needs}}}), flush=True)\ninput()"
        );
        config.args = vec!["-c".into(), script.into()];
        let pool = WorkerPool::start(config);
        until("the refusal", || pool.status().last_failure.is_some()).await;
        let failure = pool.status().last_failure.unwrap();
        assert!(failure.starts_with(reason), "{needs}: {failure}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    /// Whatever sizes come, every worker sees the same pixels of the same images in their order.
    #[test]
    fn pixels_are_the_same_by_pipe_and_by_memory(
        sizes in prop::collection::vec((1..80_u32, 1..80_u32), 0..30),
        batch in 1..9_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let images: Vec<Image> =
            sizes.iter().zip(0..).map(|(&(width, height), frame)| image(frame, width, height)).collect();
        let pipe = format!("{{'batch': {batch}}}");
        let shared = format!("{{'batch': {batch}, 'shared': True}}");
        let (pipe, shared) = runtime.block_on(async {
            let (pipe, shared) = (predictor(&pipe, ""), predictor(&shared, ""));
            (ask(&pipe, &images).await.unwrap(), ask(&shared, &images).await.unwrap())
        });
        prop_assert_eq!(&pipe, &shared);
        let rows = pipe.as_array().unwrap();
        let frames: HashSet<i64> = rows.iter().filter_map(|row| row["head"]["frames"].as_array()).flatten()
            .filter_map(Value::as_i64).collect();
        prop_assert_eq!(frames.len(), images.len());
        let total: u64 = rows.iter().filter_map(|row| row["sum"].as_u64()).sum();
        prop_assert_eq!(total, sum(&images));
    }
}
