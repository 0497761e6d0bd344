//! Frames of a 30 s clip of 720p into a Python worker: down the pipe, through shared memory, and there in batches.
//!
//! Nothing is decoded: the same frame is sent each time. The worker reads a byte of each 4 KiB of it and no more, so what is
//! measured is the way there.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on stops")]

use std::time::Duration;

use adit_predictor::{
    Answer, Image, ImageStream, Predictor, Subject, Task, Wanted, WorkerConfig, WorkerPool,
};
use bytes::Bytes;
use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use futures_util::stream;
use tokio::runtime::Runtime;
use tokio::time::Instant;

const FRAMES: i64 = 750;
const WIDTH: u32 = 1280;
const HEIGHT: u32 = 720;
const FRAME_BYTES: usize = (WIDTH * HEIGHT * 3) as usize;

const WORKER: &str = r#"
import json, mmap, sys
requests = sys.stdin.buffer
memory = None
print(json.dumps({"ready": True, "needs": {"images": DELIVERY}}), flush=True)
for line in requests:
    request = json.loads(line)
    seen = 0
    while True:
        head = json.loads(requests.readline())
        if "bytes" not in head:
            break
        if "slot" in head:
            end = head["offset"] + head["bytes"]
            if memory is None or end > len(memory):
                with open(request["memory"], "rb") as file:
                    memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            seen += sum(memoryview(memory)[head["offset"]:end:4096])
            print(json.dumps({"free": head["slot"]}), flush=True)
        else:
            seen += sum(memoryview(requests.read(head["bytes"]))[::4096])
    print(json.dumps({"id": request["id"], "objects": [{"frame_id": seen}]}), flush=True)
"#;

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(120)
}

fn worker(delivery: &str) -> Predictor {
    let mut config = WorkerConfig::new("bench", "python3");
    config.args = vec!["-c".into(), format!("DELIVERY = {delivery}\n{WORKER}").into()];
    Predictor::Workers(WorkerPool::start(config))
}

async fn show(predictor: &Predictor, pixels: &Bytes) -> Answer {
    let pixels = pixels.clone();
    let images = (0..FRAMES)
        .map(move |frame_id| Ok(Image { frame_id, width: WIDTH, height: HEIGHT, pixels: pixels.clone() }));
    let task = Task {
        challenge_id: "bench".to_owned(),
        wanted: Wanted::Objects { batch_size: 8, n_keypoints: 0 },
        subject: Subject::Images(ImageStream::new(stream::iter(images))),
    };
    predictor.predict(task, soon()).await.unwrap()
}

fn frames(c: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let pixels: Bytes = (0..FRAME_BYTES).map(|at| (at % 251) as u8).collect::<Vec<u8>>().into();
    let mut group = c.benchmark_group("750 frames of 720p to a worker");
    group.sample_size(10).sampling_mode(SamplingMode::Flat).measurement_time(Duration::from_secs(10));
    group.throughput(Throughput::Bytes(FRAMES as u64 * FRAME_BYTES as u64));
    let mut answers = Vec::new();
    for (name, delivery) in [
        ("pipe", "{}"),
        ("shared memory", "{'shared': True}"),
        ("shared memory, batches of 8", "{'shared': True, 'batch': 8}"),
    ] {
        let predictor = {
            let _guard = runtime.enter();
            worker(delivery)
        };
        runtime.block_on(predictor.wait_ready(soon())).unwrap();
        answers.push(runtime.block_on(show(&predictor, &pixels)));
        group.bench_function(name, |b| b.iter(|| runtime.block_on(show(&predictor, &pixels))));
        runtime.block_on(predictor.shutdown());
    }
    group.finish();
    assert!(answers.iter().all(|answer| *answer == answers[0]), "all saw the same pixels");
}

criterion_group!(benches, frames);
criterion_main!(benches);
