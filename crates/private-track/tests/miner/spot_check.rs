//! Images that are asked again what was answered live.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use adit_auth::StakeGate;
use adit_journal::{Find, Reader};
use adit_outbound::{AddressGuard, Client};
use adit_predictor::WorkerConfig;
use adit_private_track::PredictorChoice;
use adit_private_track::spot_check::{
    Check, Job, JobError, Reason, Status, Verdict, check, jobs_from_journal,
};
use adit_stand_in::video_host::Reply;
use serde_json::json;
use tempfile::TempDir;

use crate::fixture::{FRAMES, Fixture, clip};
use crate::recorded::{IMAGE, journal, recorded, worker};

const QUERY: &str = "X-Amz-Credential=a%2Fb&X-Amz-Signature=0123%3D&empty=";

/// One answer of a live miner with the baseline, from its journal, and its clip in a folder.
async fn answered_live() -> (TempDir, Vec<Job>) {
    let mut file = None;
    let fixture = Fixture::with(|config| file = Some(journal(config))).await;
    let (folder, path) = file.unwrap();
    fixture.host.serve("/a%20b/clip.mp4", Reply::bytes(clip().await).with_ranges());
    let url = format!("{}?{QUERY}#t=1", fixture.host.url("/a%20b/clip.mp4"));
    assert_eq!(fixture.clip_challenge(&url).await.0, 200);
    recorded(&path, 1).await;
    let jobs = jobs_from_journal(
        Reader::open(&path).unwrap().find(&Find::event("challenge")).unwrap().into_iter().rev().map(Ok),
        Some(IMAGE),
        9,
    )
    .unwrap();
    assert_eq!((jobs.len(), &jobs[0].video_url), (1, &url));
    std::fs::write(folder.path().join(&jobs[0].clip), clip().await).unwrap();
    (folder, jobs)
}

/// An image in the check's own environment.
async fn image(predictor: PredictorChoice) -> Fixture {
    Fixture::with(|config| {
        config.gate.policy.verify = false;
        config.gate.policy.stake_gate = StakeGate::Off;
        config.predictor = predictor;
    })
    .await
}

fn plan(image: &Fixture, clips: &Path) -> Check {
    Check {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        alias: "127.0.0.1".to_owned(),
        hosts: vec!["127.0.0.1".to_owned()],
        ..Check::new(format!("http://{}/", image.address), clips)
    }
}

async fn checked(plan: &Check, jobs: &[Job]) -> Result<Vec<Verdict>, JobError> {
    check(&Client::new(AddressGuard::unrestricted()).unwrap(), plan, jobs).await
}

#[tokio::test]
async fn the_same_image_passes_and_gives_the_same_bytes() {
    let (folder, jobs) = answered_live().await;
    let image = image(PredictorChoice::Baseline).await;
    let verdicts = checked(&plan(&image, folder.path()), &jobs).await.unwrap();
    let verdict = &verdicts[0];
    assert_eq!(
        (verdict.status, verdict.reason, verdict.identical),
        (Status::Pass, Reason::ScoreMatch, Some(true))
    );
    assert_eq!(
        (verdict.original_score, verdict.spotcheck_score, verdict.score_diff),
        (1.0, Some(1.0), Some(0.0))
    );
    assert_eq!(verdict.prediction_count, Some(FRAMES.div_ceil(25) as usize));
    assert_eq!(
        (&verdict.challenge_id, &verdict.miner_hotkey),
        (&jobs[0].challenge_id, &jobs[0].miner_hotkey)
    );
}

#[tokio::test]
async fn an_image_that_answers_otherwise_each_time_fails() {
    let (folder, jobs) = answered_live().await;
    let (_worker, predictor) = worker("return [FramePrediction(frame=500 * len(calls), action='goal')]");
    let image = image(predictor).await;
    let again = vec![jobs[0].clone(), jobs[0].clone()];
    let verdicts = checked(&plan(&image, folder.path()), &again).await.unwrap();
    for verdict in &verdicts {
        assert_eq!((verdict.status, verdict.reason), (Status::Fail, Reason::ScoreMismatch));
        assert_eq!((verdict.identical, verdict.spotcheck_score), (Some(false), Some(0.0)));
    }
}

#[tokio::test]
async fn an_error_is_no_response_and_a_slow_answer_a_timeout() {
    let (folder, jobs) = answered_live().await;
    let (_worker, predictor) = worker("time.sleep(60) if len(calls) > 1 else 1 / 0");
    let image = image(predictor).await;
    let plan = Check { budget: Duration::from_secs(2), ..plan(&image, folder.path()) };
    let again = vec![jobs[0].clone(), jobs[0].clone()];
    let verdicts = checked(&plan, &again).await.unwrap();
    assert_eq!((verdicts[0].reason, verdicts[0].identical), (Reason::NoResponse, None));
    assert_eq!((verdicts[1].reason, verdicts[1].identical), (Reason::Timeout, None));
    assert!(verdicts[1].elapsed_s.unwrap() >= 2.0);
}

#[tokio::test]
async fn an_image_that_does_not_get_ready_is_not_asked() {
    let (folder, jobs) = answered_live().await;
    let mut asleep = WorkerConfig::new("asleep", "sleep");
    asleep.args = vec!["60".into()];
    let image = image(PredictorChoice::Workers(asleep)).await;
    let plan = Check { ready_limit: Duration::from_millis(100), ..plan(&image, folder.path()) };
    let verdicts = checked(&plan, &jobs).await.unwrap();
    assert_eq!((verdicts[0].status, verdicts[0].reason), (Status::Fail, Reason::MinerNotReady));
}

#[tokio::test]
async fn a_host_that_is_not_allowed_is_rejected_and_the_others_are_asked() {
    let (folder, jobs) = answered_live().await;
    let image = image(PredictorChoice::Baseline).await;
    let elsewhere =
        |url: &str| Job { video_url: url.to_owned(), clip: "not there".to_owned(), ..jobs[0].clone() };
    let all = vec![
        elsewhere("http://other.example/clip.mp4"),
        elsewhere("file://127.0.0.1/clip.mp4"),
        elsewhere("no url"),
        jobs[0].clone(),
    ];
    let verdicts = checked(&plan(&image, folder.path()), &all).await.unwrap();
    let reasons: Vec<Reason> = verdicts.iter().map(|verdict| verdict.reason).collect();
    let rejected = Reason::VideoUrlRejected;
    assert_eq!(reasons, [rejected, rejected, rejected, Reason::ScoreMatch]);
}

#[tokio::test]
async fn a_clip_that_is_not_there_stops_the_check_before_anything_is_sent() {
    let (folder, mut jobs) = answered_live().await;
    let image = image(PredictorChoice::Baseline).await;
    let plan = plan(&image, folder.path());
    "2.mp4".clone_into(&mut jobs[0].clip);
    assert!(matches!(checked(&plan, &jobs).await, Err(JobError::ClipHost(_))));
    "../data/private-track.jsonl".clone_into(&mut jobs[0].clip);
    assert!(matches!(checked(&plan, &jobs).await, Err(JobError::ClipName { .. })));
    jobs[0].live = serde_json::from_value(json!([])).unwrap();
    assert!(matches!(checked(&plan, &jobs).await, Err(JobError::Live { .. })));
    let metrics = image.get("/metrics").await;
    assert!(metrics.contains("adit_private_challenge_seconds_count 0"), "{metrics}");
}

#[tokio::test]
async fn an_image_that_was_never_asked_is_compared_with_itself() {
    let (folder, jobs) = answered_live().await;
    let unasked = |job: Job| Job { live: None, ..job };
    let jobs: Vec<Job> = jobs.into_iter().map(unasked).collect();
    let (first, again) = (image(PredictorChoice::Baseline).await, image(PredictorChoice::Baseline).await);
    let plan = Check { first: Some(format!("http://{}", first.address)), ..plan(&again, folder.path()) };
    for verdict in checked(&plan, &jobs).await.unwrap() {
        assert_eq!((verdict.status, verdict.identical), (Status::Pass, Some(true)), "{verdict:?}");
    }
    let alone = Check { first: None, ..plan };
    assert!(matches!(checked(&alone, &jobs).await, Err(JobError::NoLive { .. })));
}
