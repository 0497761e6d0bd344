//! What each provider's failures mean, and that no key is in what is said of them.

use std::time::{Duration, SystemTime};

use adit_generative::Modality;
use adit_generative::service::{
    Kind, Location, Plan, Progress, Provider, Reconciled, Service, ServiceError, Started, Step,
};
use adit_stand_in::providers::{Call, Fault, Providers};
use serde_json::json;
use tokio::time::Instant;

use crate::setup::{KEYS, MAKES, key, plan, services, soon, stand_in, stand_in_of};

const PROMPT: &str = "a lighthouse at night";

/// A paid call that meets a fault, and how often it was paid for.
async fn failing(provider: Provider, modality: Modality, fault: Fault) -> (ServiceError, u32) {
    let stand_in = stand_in().await;
    stand_in.plant(stand_in_of(provider), Call::Start, fault, 1);
    let services = services(&stand_in, &[]);
    let service = services.get(provider).unwrap();
    let error = service.start(&plan(service, modality, PROMPT, json!({})), soon()).await.unwrap_err();
    (checked(error, Step::Start), stand_in.paid(PROMPT))
}

/// What holds of every error.
fn checked(error: ServiceError, step: Step) -> ServiceError {
    assert_eq!(error.step, step);
    for shown in [error.to_string(), format!("{error:?}")] {
        for key in KEYS {
            assert!(!shown.contains(key), "a key is in {shown:?}");
        }
        assert!(!shown.contains("hush"), "part of a key is in {shown:?}");
        assert!(shown.chars().count() < 1000, "{shown:?} is too long");
    }
    assert!(!error.to_string().contains(char::is_control), "{error:?} has more than one line");
    error
}

#[tokio::test]
async fn each_providers_refusals_are_told_apart_and_cost_nothing() {
    for (provider, modality) in MAKES {
        for (fault, kind) in [
            (Fault::WrongKey, Kind::Auth),
            (Fault::NoCredit, Kind::Quota),
            (Fault::ContentRefused, Kind::Policy),
            (Fault::RateLimited("7".to_owned()), Kind::RateLimited),
            (Fault::Complaint(400, "unknown field".to_owned()), Kind::Bug),
            (Fault::Complaint(404, "no such model".to_owned()), Kind::Bug),
            (Fault::Complaint(500, "oops".to_owned()), Kind::Transient),
            (Fault::Complaint(502, "the model is down".to_owned()), Kind::Transient),
            (Fault::Complaint(503, "busy".to_owned()), Kind::Transient),
            (Fault::Page(500), Kind::Transient),
            (Fault::Page(503), Kind::Transient),
            (Fault::Redirect("http://169.254.169.254/".to_owned()), Kind::Bug),
        ] {
            let (error, paid) = failing(provider, modality, fault.clone()).await;
            let what = format!("{provider}, {modality}, {fault:?}: {error:?}");
            assert_eq!((error.kind, error.may_have_cost, paid), (kind, false, 0), "{what}");
            let wait = (kind == Kind::RateLimited).then_some(Duration::from_secs(7));
            assert_eq!(error.retry_after, wait, "{what}");
            assert_eq!(
                error.kind.is_repeatable(),
                matches!(kind, Kind::RateLimited | Kind::Transient),
                "{what}"
            );
        }
    }
}

#[tokio::test]
async fn a_call_that_may_have_been_carried_out_is_in_doubt() {
    for (provider, modality) in MAKES {
        for fault in [
            Fault::Closed,
            Fault::Truncated,
            Fault::Empty,
            Fault::Page(200),
            Fault::Page(504),
            Fault::Endless,
        ] {
            if provider == Provider::Runway && matches!(fault, Fault::Page(504)) {
                continue; // Runway documents that it sheds load so.
            }
            let (error, _) = failing(provider, modality, fault.clone()).await;
            let what = format!("{provider}, {modality}, {fault:?}: {error:?}");
            assert_eq!((error.kind, error.may_have_cost), (Kind::InDoubt, true), "{what}");
            assert!(!error.kind.is_repeatable(), "{what}");
        }
    }
}

#[tokio::test]
async fn a_provider_that_never_answers_is_left_at_the_deadline_in_doubt() {
    for (provider, modality) in MAKES {
        let stand_in = stand_in().await;
        stand_in.plant(stand_in_of(provider), Call::Start, Fault::Silent, 1);
        let services = services(&stand_in, &[]);
        let service = services.get(provider).unwrap();
        let plan = plan(service, modality, PROMPT, json!({}));
        let deadline = Instant::now() + Duration::from_millis(300);
        let error = checked(service.start(&plan, deadline).await.unwrap_err(), Step::Start);
        assert_eq!((error.kind, stand_in.paid(PROMPT)), (Kind::InDoubt, 1), "{error:?}");
    }
}

#[tokio::test]
async fn a_provider_that_cannot_be_reached_was_certainly_not_asked() {
    let gone = stand_in().await;
    let services = services(&gone, &[]);
    drop(gone);
    for (provider, modality) in MAKES {
        let service = services.get(provider).unwrap();
        let error = service.start(&plan(service, modality, PROMPT, json!({})), soon()).await.unwrap_err();
        assert_eq!((error.kind, error.may_have_cost), (Kind::Transient, false), "{error:?}");
    }
}

#[tokio::test]
async fn a_date_in_retry_after_is_a_wait_too() {
    let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(3600));
    let (error, _) = failing(Provider::Runway, Modality::Video, Fault::RateLimited(date)).await;
    let wait = error.retry_after.unwrap();
    assert!((3500..=3600).contains(&wait.as_secs()), "{wait:?}");
}

#[tokio::test]
async fn an_error_text_with_line_breaks_and_any_letters_becomes_one_line() {
    for (provider, modality) in MAKES {
        let text =
            format!("строка\r\nповерх\u{0}\u{85} 深夜の灯台 {} {}", key(provider), "long ".repeat(500));
        let (error, _) = failing(provider, modality, Fault::Complaint(400, text)).await;
        assert!(error.said.contains("строка поверх 深夜の灯台"), "{error}");
        assert!(error.said.ends_with('…'), "{error}");
    }
}

#[tokio::test]
async fn an_answer_without_a_usable_picture_is_a_failure_that_was_paid_for() {
    for provider in [Provider::OpenAi, Provider::OpenRouter] {
        let (error, paid) = failing(provider, Modality::Image, Fault::BadBase64).await;
        assert_eq!((error.kind, error.may_have_cost, paid), (Kind::Failed, true, 1), "{error:?}");
    }
    let words = Fault::Words("I cannot draw\nthat.".to_owned());
    let (error, _) = failing(Provider::OpenRouter, Modality::Image, words).await;
    assert_eq!((error.kind, error.may_have_cost), (Kind::Policy, true), "{error:?}");
    assert!(error.said.contains("I cannot draw that."), "{error}");
    // A picture that is none.
    let stand_in = Providers::start("GIF8 but not quite", "no clip").await.unwrap();
    let services = services(&stand_in, &[("ADIT_OPENAI_IMAGE_MODEL", "gpt-image-1")]);
    for (provider, kind) in [
        (Provider::OpenAi, Kind::Failed),
        (Provider::OpenRouter, Kind::Failed),
        (Provider::StabilityAi, Kind::InDoubt),
    ] {
        let service = services.get(provider).unwrap();
        let plan = plan(service, Modality::Image, PROMPT, json!({}));
        let error = checked(service.start(&plan, soon()).await.unwrap_err(), Step::Start);
        assert_eq!((error.kind, error.may_have_cost), (kind, true), "{error:?}");
    }
}

/// A job at the stand-in, ready to be polled.
async fn job(service: &Service, plan: &Plan) -> adit_generative::service::JobId {
    match service.start(plan, soon()).await.unwrap() {
        Started::Job(id) => id,
        other => panic!("{other:?} is no job"),
    }
}

#[tokio::test]
async fn a_job_that_fails_says_whether_for_its_content() {
    for (provider, code, text, kind) in [
        (Provider::OpenAi, "moderation_blocked", "blocked", Kind::Policy),
        (Provider::OpenAi, "server_error", "oops", Kind::Failed),
        (Provider::OpenRouter, "", "the prompt was flagged", Kind::Policy),
        (Provider::OpenRouter, "", "no capacity", Kind::Failed),
        (Provider::Runway, "SAFETY.INPUT.TEXT", "text", Kind::Policy),
        (Provider::Runway, "INTERNAL.BAD_OUTPUT.CODE01", "an error", Kind::Failed),
    ] {
        let stand_in = stand_in().await;
        let fault = Fault::JobFails(code.to_owned(), format!("{text} {}", key(provider)));
        stand_in.plant(stand_in_of(provider), Call::Start, fault, 1);
        let services = services(&stand_in, &[]);
        let service = services.get(provider).unwrap();
        let id = job(service, &plan(service, Modality::Video, PROMPT, json!({}))).await;
        assert_eq!(service.poll(&id, soon()).await.unwrap(), Progress::Working);
        let error = checked(service.poll(&id, soon()).await.unwrap_err(), Step::Poll);
        assert_eq!((error.kind, error.may_have_cost), (kind, true), "{error:?}");
    }
}

#[tokio::test]
async fn a_poll_that_breaks_is_repeated_and_the_job_paid_for_once() {
    for provider in [Provider::OpenAi, Provider::OpenRouter, Provider::Runway] {
        let stand_in = stand_in().await;
        let services = services(&stand_in, &[]);
        let service = services.get(provider).unwrap();
        let id = job(service, &plan(service, Modality::Video, PROMPT, json!({}))).await;
        for fault in [
            Fault::Closed,
            Fault::Truncated,
            Fault::Empty,
            Fault::Page(200),
            Fault::Page(502),
            Fault::Endless,
            Fault::Complaint(404, "not yet".to_owned()),
            Fault::RateLimited("1".to_owned()),
        ] {
            stand_in.plant(stand_in_of(provider), Call::Poll, fault.clone(), 1);
            let error = checked(service.poll(&id, soon()).await.unwrap_err(), Step::Poll);
            assert!(error.kind.is_repeatable(), "{provider}, {fault:?}: {error:?}");
        }
        stand_in.plant(stand_in_of(provider), Call::Poll, Fault::WrongKey, 1);
        let error = checked(service.poll(&id, soon()).await.unwrap_err(), Step::Poll);
        assert_eq!(error.kind, Kind::Auth, "{error:?}");
        // Those whose answer was lost have made it older.
        let progress = service.poll(&id, soon()).await.unwrap();
        assert!(matches!(progress, Progress::Ready(Location::Url(_) | Location::Content(_))), "{progress:?}");
        assert_eq!(stand_in.paid(PROMPT), 1);
    }
}

#[tokio::test]
async fn a_call_in_doubt_is_found_where_the_provider_lists_its_jobs() {
    let stand_in = stand_in().await;
    let services = services(&stand_in, &[]);
    let service = services.get(Provider::OpenAi).unwrap();
    let plan = plan(service, Modality::Video, PROMPT, json!({}));
    let asked = SystemTime::now();
    assert_eq!(service.reconcile(&plan, asked, soon()).await.unwrap(), Reconciled::Unknown, "nothing yet");
    stand_in.plant(stand_in_of(Provider::OpenAi), Call::Start, Fault::Closed, 1);
    let error = service.start(&plan, soon()).await.unwrap_err();
    assert_eq!(error.kind, Kind::InDoubt);

    let Reconciled::Found(id) = service.reconcile(&plan, asked, soon()).await.unwrap() else {
        panic!("the job is not found");
    };
    assert_eq!(service.poll(&id, soon()).await.unwrap(), Progress::Working);
    let later = asked + Duration::from_secs(3600);
    assert_eq!(
        service.reconcile(&plan, later, soon()).await.unwrap(),
        Reconciled::Unknown,
        "too old to be it"
    );
    let other = crate::setup::plan(service, Modality::Video, "a harbour", json!({}));
    assert_eq!(
        service.reconcile(&other, asked, soon()).await.unwrap(),
        Reconciled::Unknown,
        "another prompt"
    );
    job(service, &plan).await;
    assert_eq!(service.reconcile(&plan, asked, soon()).await.unwrap(), Reconciled::Unknown, "two that fit");

    stand_in.plant(stand_in_of(Provider::OpenAi), Call::List, Fault::Page(200), 1);
    let error = checked(service.reconcile(&plan, asked, soon()).await.unwrap_err(), Step::Reconcile);
    assert_eq!(error.kind, Kind::Transient);
}

#[tokio::test]
async fn the_other_providers_cannot_be_asked_about_a_call() {
    let stand_in = stand_in().await;
    let services = services(&stand_in, &[]);
    for (provider, modality) in MAKES {
        if (provider, modality) == (Provider::OpenAi, Modality::Video) {
            continue;
        }
        let service = services.get(provider).unwrap();
        let plan = plan(service, modality, PROMPT, json!({}));
        let found = service.reconcile(&plan, SystemTime::now(), soon()).await.unwrap();
        assert_eq!(found, Reconciled::Unknown, "{provider}");
    }
    assert!(stand_in.asked().is_empty(), "nobody was asked");
}
