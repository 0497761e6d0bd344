//! A day of made-up traffic of all three miners, the same at each call but for its end.

use std::path::Path;
use std::time::{Duration, SystemTime};

use adit_journal::record::{
    Chain, Challenge, Clip, Ended, Pushed, Refused, Rehearsed, SpotChecked, Stage, Started, TaskMedia,
    TaskStep,
};
use adit_journal::{GENERATIVE, Journal, Limits, PRIVATE_TRACK, TURBO_VISION};
use serde_json::value::RawValue;

pub(crate) const VALIDATORS: [&str; 4] = [
    "5F4tQyWrhfGVcNhoqeiNsR6KjD4wMZ2kfhLj4oHYuyHbZAc3",
    "5GKH9FPPnWSUoeeTJp19wVtd84XqFW4pyK2ijV2GsFbhTrP1",
    "5CXRfP2ekFhe62r7q3vppRajJmGhTi7vwvb2yr79jveZ282w",
    "5HNQURvmjjYhTSksi8Wfsw676b4owGwfLR2BFAQzG7H3HhYf",
];
pub(crate) const MINER: &str = "5DAAnrj7VHTznn2AWBemMuyBwZWs6FNFjdyVXUeYum3PTXFy";
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
/// A picture of one pixel.
pub(crate) const PNG: &[u8] = &[
    0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 0x0d, b'I', b'H', b'D', b'R', 0, 0, 0, 1, 0, 0,
    0, 1, 8, 2, 0, 0, 0, 0x90, 0x77, 0x53, 0xde, 0, 0, 0, 0x0c, b'I', b'D', b'A', b'T', 0x08, 0xd7, 0x63,
    0xf8, 0xcf, 0xc0, 0, 0, 0x03, 0x01, 0x01, 0, 0x18, 0xdd, 0x8d, 0xb0, 0, 0, 0, 0, b'I', b'E', b'N', b'D',
    0xae, 0x42, 0x60, 0x82,
];

pub(crate) fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// Numbers that look like chance.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

pub(crate) fn started(address: &str) -> Started {
    Started {
        version: "0.1.0".to_owned(),
        pid: 4242,
        address: address.to_owned(),
        hotkey: Some(MINER.to_owned()),
        netuid: Some(44),
        works_by: vec!["model".to_owned()],
        image: Some("docker.io/example/private-miner@sha256:0f1e2d".to_owned()),
        daily_budget_micro_usd: Some(5_000_000),
        warnings: vec!["callers are not judged by their stake".to_owned()],
    }
}

pub(crate) fn challenge(id: &str, sender: &str) -> Challenge {
    let answer = format!(
        r#"{{"challenge_id":{id:?},"predictions":[{{"frame":25,"action":"pass","confidence":0.5}}],"prediction":{{"type":"soccer_action","items":[{{"frame":25,"action":"pass","confidence":0.5}},{{"frame":200,"action":"shot","confidence":0.9}}],"item":null}}}}"#
    );
    let stage = |name: &str, from_us, took_us| Stage { name: name.to_owned(), from_us, took_us };
    Challenge {
        challenge_id: id.to_owned(),
        miner_hotkey: Some(MINER.to_owned()),
        sender: Some(sender.to_owned()),
        dialect: Some("fiber".to_owned()),
        mode: "soccer_action".to_owned(),
        video_url: Some("https://clips.example/match/0017.mp4?X-Signature=s3cret".to_owned()),
        image_url: None,
        frames: None,
        outcome: Ended::Answered,
        status: None,
        reason: None,
        latency_ms: 1843,
        stages: vec![
            stage("gate", 0, 420),
            stage("body", 420, 1800),
            stage("queue", 2220, 11_000),
            stage("fetch", 13_220, 640_000),
            stage("predict", 120_000, 1_690_000),
            stage("answer", 1_810_000, 2300),
        ],
        clip: Some(Clip {
            bytes: Some(6_291_456),
            frames: Some(750),
            size: Some((1280, 720)),
            fps: Some(25.0),
        }),
        predictor: "model".to_owned(),
        image: None,
        predictions: Some(2),
        answer: Some(RawValue::from_string(answer).unwrap()),
        answer_too_large: None,
    }
}

pub(crate) fn step(task: &str, step: &str, state: &str) -> TaskStep {
    TaskStep {
        task: task.to_owned(),
        modality: "image".to_owned(),
        validator: VALIDATORS[0].to_owned(),
        step: step.to_owned(),
        state: state.to_owned(),
        ..TaskStep::default()
    }
}

pub(crate) fn task_name(number: u64) -> String {
    format!("5f2b4c1e-6c1d-4f7e-9f55-{number:012x}")
}

pub(crate) fn chain(block: u64) -> Chain {
    Chain {
        netuid: 44,
        network: "finney".to_owned(),
        hotkey: MINER.to_owned(),
        block,
        as_of_ms: now_ms(),
        tempo: 360,
        hotkeys: 256,
        uid: Some(117),
        incentive: 0.0123,
        place: Some(9),
        emission_rao: 1_634_000_000,
        registered_at: Some(6_500_000),
        immunity_period: 7200,
        axon: Some("203.0.113.7:8000".to_owned()),
        commitment: Some("docker.io/example/private-miner@sha256:0f1e2d".to_owned()),
    }
}

fn open(folder: &Path, file: &str) -> Journal {
    Journal::open(&folder.join(file), Limits { bytes: 1 << 30, age: Duration::from_secs(90 * 86_400) })
        .unwrap()
}

/// A day of all of it, up to now.
pub(crate) fn day(folder: &Path) {
    let end = now_ms();
    private_track(&open(folder, PRIVATE_TRACK), end);
    generative(&open(folder, GENERATIVE), folder, end);
    turbo_vision(&open(folder, TURBO_VISION), end);
}

const ACTIONS: [&str; 8] =
    ["pass", "shot", "goal", "tackle", "interception", "clearance", "aerial_duel", "throw_in"];

fn private_track(journal: &Journal, end: i64) {
    let mut dice = Dice(44);
    journal.record_at(end - 26 * HOUR, &started("127.0.0.1:9"));
    for n in 0..400_u64 {
        let at = end - 24 * HOUR + i64::try_from(n).unwrap() * 24 * HOUR / 400;
        let sender = VALIDATORS[usize::try_from(dice.below(10).min(3)).unwrap()];
        let mut one = challenge(&format!("{:08x}-{n}", dice.below(1 << 32)), sender);
        if dice.below(3) == 0 {
            one.dialect = Some("score".to_owned());
        }
        let count = dice.below(24);
        let items: Vec<String> = (0..count)
            .map(|_| {
                let action = ACTIONS[usize::try_from(dice.below(8)).unwrap()];
                let (frame, sure) = (dice.below(750), 30 + dice.below(70));
                format!(r#"{{"frame":{frame},"action":"{action}","confidence":0.{sure:02}}}"#)
            })
            .collect();
        let answer = format!(
            r#"{{"challenge_id":"{}","predictions":[{items}],"prediction":{{"type":"soccer_action","items":[{items}],"item":null}}}}"#,
            one.challenge_id,
            items = items.join(",")
        );
        one.predictions = Some(items.len());
        one.answer = Some(RawValue::from_string(answer).unwrap());
        one.latency_ms = 900 + dice.below(3000);
        match dice.below(25) {
            0 => {
                one.outcome = Ended::Failed;
                one.status = Some(502);
                one.reason = Some("the clip could not be fetched: 404 Not Found".to_owned());
                (one.answer, one.predictions) = (None, None);
            }
            1 => {
                one.outcome = Ended::CallerLeft;
                (one.answer, one.predictions) = (None, None);
            }
            _ => {}
        }
        journal.record_at(at, &one);
        if n % 9 == 0 {
            let reason =
                ["signature", "low_stake", "stale_nonce"][usize::try_from(dice.below(3)).unwrap()].to_owned();
            let claimed = (dice.below(2) == 0).then(|| VALIDATORS[2].to_owned());
            journal.record_at(at, &Refused { reason, claimed, count: 1 + dice.below(5), detail: None });
        }
        if n % 20 == 0 {
            let incentive = 0.012 + dice.below(40) as f64 / 10_000.0;
            let emission_rao = 1_500_000_000 + dice.below(400_000_000);
            journal.record_at(at, &Chain { incentive, emission_rao, ..chain(6_900_000 + n * 18) });
        }
        if n == 380 {
            journal.record_at(
                at,
                &Rehearsed {
                    target: "http://127.0.0.1:8000".to_owned(),
                    asked: "https://clips.example/match/0017.mp4".to_owned(),
                    challenge_id: Some(one.challenge_id.clone()),
                    passed: true,
                    asked_times: 2,
                    answered_times: 2,
                    score: Some(0.873),
                    identical: Some(true),
                    slowest_ms: 1610,
                    detail: None,
                },
            );
            journal.record_at(
                at,
                &SpotChecked {
                    challenge_id: one.challenge_id,
                    image: "docker.io/example/private-miner@sha256:0f1e2d".to_owned(),
                    status: "pass".to_owned(),
                    passed: true,
                    identical: Some(true),
                    live_score: Some(0.87),
                    score: Some(0.87),
                    detail: None,
                },
            );
        }
    }
}

fn generative(journal: &Journal, folder: &Path, end: i64) {
    let mut dice = Dice(34);
    journal.record_at(
        end - 25 * HOUR,
        &Started {
            netuid: Some(34),
            image: None,
            warnings: Vec::new(),
            works_by: vec!["image: openai gpt-image-1".to_owned(), "video: fal kling".to_owned()],
            ..started("127.0.0.1:10")
        },
    );
    let media = folder.join("media");
    std::fs::create_dir_all(&media).unwrap();
    for n in 0..160_u64 {
        let name = task_name(n);
        let mut at = end - 24 * HOUR + i64::try_from(n).unwrap() * 24 * HOUR / 160;
        let validator = VALIDATORS[usize::try_from(dice.below(3)).unwrap()].to_owned();
        let video = dice.below(4) == 0;
        let (service, model, price) =
            if video { ("fal", "kling", 280_000) } else { ("openai", "gpt-image-1", 42_000) };
        let base = TaskStep {
            validator,
            modality: if video { "video" } else { "image" }.to_owned(),
            ..step(&name, "accepted", "accepted")
        };
        let mut tell = |after: i64, step: TaskStep| {
            at += after;
            journal.record_at(at, &step);
        };
        tell(
            0,
            TaskStep {
                prompt: Some("A fox asleep in a field of snow, early light, 35 mm".to_owned()),
                parameters: Some(r#"{"width":1024,"height":1024}"#.to_owned()),
                webhook_host: Some("validator.example".to_owned()),
                ..base.clone()
            },
        );
        let base = TaskStep {
            service: Some(service.to_owned()),
            model: Some(model.to_owned()),
            attempt: 1,
            cost_micro_usd: price,
            ..base
        };
        let to = |step: &str, state: &str| TaskStep {
            step: step.to_owned(),
            state: state.to_owned(),
            ..base.clone()
        };
        tell(800, to("call", "calling"));
        tell(1200, to("submitted", "submitted"));
        if dice.below(15) == 0 {
            tell(
                9000,
                TaskStep {
                    spent_micro_usd: price,
                    note: Some("the service is overloaded".to_owned()),
                    ..to("retry", "accepted")
                },
            );
            tell(4000, TaskStep { attempt: 2, cost_micro_usd: 2 * price, ..to("call", "calling") });
            tell(900, TaskStep { attempt: 2, cost_micro_usd: 2 * price, ..to("submitted", "submitted") });
        }
        let path = media.join(format!("{name}.png"));
        std::fs::write(&path, PNG).unwrap();
        let media = TaskMedia {
            path: path.display().to_string(),
            content_type: "image/png".to_owned(),
            bytes: PNG.len() as u64,
            sha256: "9f86d081884c7d65".repeat(4),
        };
        tell(14_000, TaskStep { spent_micro_usd: price, media: Some(media), ..to("fetched", "fetched") });
        tell(
            600,
            TaskStep {
                verdict: Some("accepted: signed by OpenAI, trusted".to_owned()),
                ..to("checked", "checked")
            },
        );
        tell(700, TaskStep { tries: 1, ..to("try", "delivering") });
        match dice.below(20) {
            0 => tell(
                300,
                TaskStep {
                    tries: 1,
                    answer: Some("refused".to_owned()),
                    note: Some("422: C2PA verification failed".to_owned()),
                    ..to("answered", "refused")
                },
            ),
            1 => tell(
                2 * HOUR,
                TaskStep {
                    tries: 9,
                    note: Some("connection refused".to_owned()),
                    ..to("expired", "expired")
                },
            ),
            _ => tell(
                300,
                TaskStep {
                    tries: 1,
                    answer: Some("acknowledged".to_owned()),
                    note: Some("200: ok".to_owned()),
                    ..to("answered", "delivered")
                },
            ),
        }
    }
    for n in 0..20_u64 {
        let emission_rao = 2_000_000_000 + dice.below(900_000_000);
        journal.record_at(
            end - 24 * HOUR + i64::try_from(n).unwrap() * 72 * MINUTE,
            &Chain {
                netuid: 34,
                uid: Some(61),
                incentive: 0.02 + dice.below(50) as f64 / 10_000.0,
                emission_rao,
                ..chain(6_900_000 + n * 360)
            },
        );
    }
}

fn turbo_vision(journal: &Journal, end: i64) {
    for (n, step) in ["upload", "chute", "build", "deploy", "health", "commitment"].into_iter().enumerate() {
        let at = end - 5 * HOUR + i64::try_from(n).unwrap() * 3 * MINUTE;
        let done = step != "health";
        let detail = Some(if done { "read back" } else { "503 for 60 s" }.to_owned());
        journal
            .record_at(at, &Pushed { what: "ObjectDetect".to_owned(), step: step.to_owned(), done, detail });
    }
    journal.record_at(
        end - 4 * HOUR,
        &Rehearsed {
            target: "chute my-element".to_owned(),
            asked: "ObjectDetect".to_owned(),
            passed: true,
            asked_times: 5,
            answered_times: 5,
            score: Some(0.71),
            slowest_ms: 2310,
            ..Rehearsed::default()
        },
    );
    journal.record_at(end - 3 * HOUR, &Chain { uid: Some(9), ..chain(6_901_000) });
}
