//! The streams: what builds and instances write, and how a warm-up goes on.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use hyper::body::Frame;
use serde_json::json;
use tokio::time::sleep;

use super::state::State;
use super::{LOOK, lock};

type Chunk = io::Result<Frame<Bytes>>;

/// Pause between two events of a warm-up.
const WARM_UP: Duration = Duration::from_millis(50);

fn text(text: impl Into<Bytes>) -> Chunk {
    Ok(Frame::data(text.into()))
}

/// The log of a build from `offset` on; with its last line the build is over.
pub(super) fn build_log(
    state: Arc<Mutex<State>>,
    image_id: String,
    lines: &[String],
    offset: usize,
) -> impl Stream<Item = Chunk> + Send + 'static {
    let lines: Vec<Chunk> = lines
        .iter()
        .enumerate()
        .skip(offset)
        .map(|(number, line)| {
            let event =
                json!({"log": {"log_type": "stdout", "log": line}, "offset": format!("1-{}", number + 1)});
            text(format!("data: {event}\n"))
        })
        .collect();
    let begin = stream::iter([text(".\n")]);
    let end = stream::once(async move {
        sleep(LOOK).await;
        let mut state = lock(&state);
        if let Some(image) = state.images.iter_mut().find(|image| image.id == image_id) {
            image.build.looks = 0;
        }
        text("DONE\n")
    });
    begin.chain(stream::iter(lines)).chain(end)
}

/// Says every moment whether a chute is ready; over when it is, or is no more.
pub(super) fn warm_up(
    state: Arc<Mutex<State>>,
    chute_id: String,
) -> impl Stream<Item = Chunk> + Send + 'static {
    stream::unfold(false, move |over| {
        let (state, chute_id) = (Arc::clone(&state), chute_id.clone());
        async move {
            if over {
                return None;
            }
            let ready = {
                let mut state = lock(&state);
                let chute = state.chutes.iter_mut().find(|chute| chute.id == chute_id)?;
                let ready = chute.instance.is_ready();
                chute.instance.look();
                ready
            };
            let event = if ready {
                json!({"status": "hot", "log": "chute is hot, 1 instances available"})
            } else {
                sleep(WARM_UP).await;
                json!({"status": "cold", "log": "waiting for instances ..."})
            };
            Some((text(format!("data: {event}\n\n")), ready))
        }
    })
}

/// The last `backfill` lines of an instance, then each new one, until the instance is gone or streams are broken off.
pub(super) fn instance_log(
    state: Arc<Mutex<State>>,
    instance_id: String,
    backfill: usize,
) -> impl Stream<Item = Chunk> + Send + 'static {
    let (generation, from) = {
        let state = lock(&state);
        let log = state.chutes.iter().find(|chute| chute.instance.id == instance_id);
        let length = log.map_or(0, |chute| chute.instance.log.len());
        (state.generation, length.saturating_sub(backfill))
    };
    stream::unfold((from, VecDeque::new()), move |(mut at, mut ready): (usize, VecDeque<String>)| {
        let (state, instance_id) = (Arc::clone(&state), instance_id.clone());
        async move {
            loop {
                if let Some(line) = ready.pop_front() {
                    let event = json!({"log": line});
                    return Some((text(format!("data: {event}\n\n")), (at, ready)));
                }
                {
                    let state = lock(&state);
                    if state.generation != generation {
                        return None;
                    }
                    let chute = state.chutes.iter().find(|chute| chute.instance.id == instance_id)?;
                    ready.extend(chute.instance.log[at..].iter().cloned());
                    at = chute.instance.log.len();
                }
                if ready.is_empty() {
                    sleep(LOOK).await;
                }
            }
        }
    })
}
