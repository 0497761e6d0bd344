//! Services, webhooks and disks that do what they should not: what was paid for is paid for once, and the validator is
//! told.

use std::time::Duration;

use adit_generative::Modality;
use adit_generative::task::{State, Task, TaskId};
use adit_stand_in::providers::{Call, Fault, Service};
use serde_json::Value;

use crate::setup::{Bench, Options};

const NOT_FOUND: &str = "Task not found in current session";

impl Bench {
    /// The report that a task has failed, of which its validator was told.
    async fn report(&self, id: TaskId) -> (Task, Value) {
        let task = self.ended(id).await;
        assert_eq!(task.state, State::Failed, "{:?}", task.note);
        let deliveries = self.deliveries();
        let mut reports = deliveries.iter().filter(|delivery| delivery.header("task-id") == id.to_string());
        let report = reports.next().unwrap();
        assert!(reports.next().is_none(), "it was told twice");
        assert_eq!(report.header("task-status"), "failed");
        assert!(report.header("error-message").bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        self.check_signature(report);
        (task, serde_json::from_slice(&report.body).unwrap())
    }
}

#[tokio::test]
async fn a_useless_answer_to_a_paid_call_is_reported_and_the_call_not_made_again() {
    let bench = Bench::new(Options::default()).await;
    let faults = [
        (Fault::Page(200), 1),
        (Fault::Empty, 1),
        (Fault::Truncated, 1),
        (Fault::Endless, 1),
        (Fault::Redirect("http://169.254.169.254/".to_owned()), 0),
    ];
    let mut asked = Vec::new();
    for (modality, service) in [(Modality::Image, Service::StabilityAi), (Modality::Video, Service::Runway)] {
        for (fault, paid) in &faults {
            bench.providers.plant(service, Call::Start, fault.clone(), 1);
            let prompt = format!("{modality} {fault:?}");
            let id = bench.ask(modality, &prompt).await;
            // So that this fault is this task's.
            bench.until(id, |task| !matches!(task.state, State::Accepted | State::Calling)).await;
            asked.push((id, prompt, *paid));
        }
    }
    for (id, prompt, paid) in asked {
        let (task, _) = bench.report(id).await;
        assert_eq!((task.attempt, bench.providers.paid(&prompt)), (1, paid), "{prompt}");
    }
}

#[tokio::test]
async fn a_video_whose_poll_and_download_break_is_paid_once_and_arrives_whole() {
    let bench = Bench::new(Options { timeout: Duration::from_secs(60), ..Options::default() }).await;
    bench.providers.plant(Service::Runway, Call::Poll, Fault::Page(200), 1);
    bench.providers.plant(Service::Runway, Call::Media, Fault::Truncated, 1);
    bench.providers.plant(Service::Runway, Call::Media, Fault::Empty, 1);
    bench.providers.plant(Service::Runway, Call::Media, Fault::Page(502), 1);
    let id = bench.ask(Modality::Video, "waves").await;
    let task = bench.ended(id).await;
    assert_eq!(task.state, State::Delivered, "{:?}", task.note);
    assert_eq!((task.attempt, bench.providers.paid("waves")), (1, 1));
    assert!(bench.deliveries().pop().unwrap().body == *bench.clip);
}

#[tokio::test]
async fn a_service_that_hangs_is_left_at_the_time_limit() {
    let bench = Bench::new(Options { timeout: Duration::from_secs(3), ..Options::default() }).await;
    bench.providers.plant(Service::StabilityAi, Call::Start, Fault::Silent, 1);
    let call = bench.ask(Modality::Image, "a silent call").await;
    bench.providers.plant(Service::Runway, Call::Media, Fault::Silent, 1);
    let download = bench.ask(Modality::Video, "a silent download").await;
    bench.until(download, |task| task.state == State::Submitted).await;
    bench.providers.polls(u32::MAX);
    let job = bench.ask(Modality::Video, "an endless job").await;
    for (id, prompt, said) in [
        (call, "a silent call", "in doubt whether the service was paid"),
        (download, "a silent download", "runway did not finish within 3 s"),
        (job, "an endless job", "runway did not finish within 3 s"),
    ] {
        let (task, report) = bench.report(id).await;
        let why = report["error_message"].as_str().unwrap();
        assert!(why.contains(said), "{prompt}: {why}");
        assert_eq!((task.attempt, bench.providers.paid(prompt)), (1, 1), "{prompt}");
    }
}

#[tokio::test]
async fn words_of_a_service_with_line_breaks_and_any_letters_reach_the_report() {
    let bench = Bench::new(Options::default()).await;
    let words = "нельзя\r\nX-Injected: 1\n\u{0}深夜の灯台 \u{1f5fc}".to_owned();
    bench.providers.plant(Service::StabilityAi, Call::Start, Fault::Complaint(400, words), 1);
    let id = bench.ask(Modality::Image, "not allowed").await;
    let (_, report) = bench.report(id).await;
    let why = report["error_message"].as_str().unwrap();
    assert!(why.ends_with("нельзя X-Injected: 1 深夜の灯台 \u{1f5fc}"), "{why}");
}

#[tokio::test]
async fn a_validator_whose_answer_was_lost_leaves_it_uncertain() {
    let bench = Bench::new(Options::default()).await;
    bench.lose_the_next_answer();
    bench.answer_next(200, NOT_FOUND);
    let id = bench.ask(Modality::Image, "taken").await;
    let task = bench.ended(id).await;
    assert_eq!((task.state, task.tries), (State::Uncertain, 2), "{:?}", task.note);
    assert_eq!(bench.deliveries().len(), 2);
    assert_eq!(bench.providers.paid("taken"), 1);
}

#[tokio::test]
async fn a_webhook_that_redirects_is_not_followed() {
    let bench = Bench::new(Options::default()).await;
    bench.redirect_next();
    let id = bench.ask(Modality::Image, "moved").await;
    let task = bench.ended(id).await;
    assert_eq!((task.state, task.tries), (State::Delivered, 2), "{:?}", task.note);
    assert!(bench.deliveries().iter().all(|delivery| delivery.path == "/generative_callback"));
}

#[tokio::test]
async fn media_that_the_disk_does_not_take_for_a_while_are_not_lost() {
    let bench = Bench::new(Options::default()).await;
    for (modality, prompt) in [(Modality::Image, "a lighthouse"), (Modality::Video, "waves")] {
        let folder = bench.media_folder().join(modality.as_str());
        std::fs::remove_dir_all(&folder).unwrap();
        let id = bench.ask(modality, prompt).await;
        while bench.providers.paid(prompt) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // Whoever is slower than this finds the folder there, and the test shows less.
        tokio::time::sleep(Duration::from_millis(500)).await;
        std::fs::create_dir(&folder).unwrap();
        let task = bench.ended(id).await;
        assert_eq!(task.state, State::Delivered, "{:?}", task.note);
        assert_eq!((task.attempt, bench.providers.paid(prompt)), (1, 1));
    }
}

#[tokio::test]
async fn media_that_are_gone_are_looked_for_in_vain_and_then_given_up() {
    let bench = Bench::new(Options::default()).await;
    bench.answer_next(503, "busy");
    let id = bench.ask(Modality::Image, "removed").await;
    bench.until(id, |task| task.note.is_some()).await;
    std::fs::remove_file(bench.media_folder().join("image").join(format!("{id}.png"))).unwrap();
    let task = bench.ended(id).await;
    assert_eq!(task.state, State::Dead, "{:?}", task.note);
    assert!(task.note.unwrap().contains("are gone"));
    assert_eq!((bench.deliveries().len(), bench.providers.paid("removed")), (1, 1));
}
