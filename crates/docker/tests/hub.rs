//! The client of Docker Hub's web API against a Docker Hub that behaves and one that does not.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::time::Duration;

use adit_docker::hub::{Action, Cause, Hub, HubError, Session, Share, Visibility};
use adit_outbound::{AddressGuard, Client, FetchError};
use adit_stand_in::docker_hub::{Asked, Call, DockerHub, Fault, PAGE};
use serde_json::{Value, json};
use tokio::time::Instant;

const TOKEN: &str = "dckr_pat_hush";
const COLLABORATORS: &str = "/v2/repositories/miner/pt-solution/collaborators/";

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

/// A Docker Hub where `miner` has the private repository `pt-solution`, and a client of it.
async fn hub() -> (DockerHub, Hub) {
    let service = DockerHub::start().await.unwrap();
    service.account("miner", TOKEN);
    service.repository("miner/pt-solution", true);
    let hub = client(&service.url(), TOKEN);
    (service, hub)
}

fn client(url: &str, token: &str) -> Hub {
    let client = Client::new(AddressGuard::unrestricted()).unwrap();
    Hub::new(client, url, "miner", token.into())
}

async fn add(session: &Session<'_>) -> Result<(), HubError> {
    session.add_collaborator("pt-solution", "scorevision", soon()).await
}

async fn share(session: &Session<'_>) -> Result<Share, HubError> {
    session.share("pt-solution", "scorevision", soon()).await
}

/// The error of an attempt to add a collaborator that meets `fault`.
async fn add_failing(fault: Fault) -> HubError {
    let (service, hub) = hub().await;
    let session = hub.login(soon()).await.unwrap();
    service.plant(Call::AddCollaborator, fault, u32::MAX);
    let error = add(&session).await.unwrap_err();
    assert!(service.collaborators("miner/pt-solution").is_empty());
    error
}

fn asked(method: &str, path: &str, body: Value) -> Asked {
    Asked { method: method.to_owned(), path: path.to_owned(), body }
}

#[tokio::test]
async fn a_repository_is_made_shared_and_read_back_by_these_very_requests() {
    let service = DockerHub::start().await.unwrap();
    service.account("miner", TOKEN);
    // A slash at the end of the setting changes nothing.
    let hub = client(&(service.url() + "/"), TOKEN);
    let session = hub.login(soon()).await.unwrap();
    assert_eq!(session.visibility("pt-solution", soon()).await.unwrap(), Visibility::Missing);
    session.create_private("pt-solution", soon()).await.unwrap();
    assert_eq!(session.visibility("pt-solution", soon()).await.unwrap(), Visibility::Private);
    add(&session).await.unwrap();
    let shared = share(&session).await.unwrap();
    assert!(matches!(&shared, Share::Shared { permission: Some(read) } if read == "read"), "{shared:?}");

    let repository = "/v2/repositories/miner/pt-solution/";
    let named = format!("{COLLABORATORS}scorevision/");
    let expected = [
        asked("POST", "/v2/users/login", json!({"username": "miner", "password": TOKEN})),
        asked("GET", repository, Value::Null),
        asked(
            "POST",
            "/v2/repositories/",
            json!({"namespace": "miner", "name": "pt-solution", "is_private": true}),
        ),
        asked("GET", repository, Value::Null),
        asked("PUT", &named, json!({"permission": "read"})),
        asked("GET", COLLABORATORS, Value::Null),
    ];
    assert_eq!(service.asked(), expected);
    assert_eq!(service.is_private("miner/pt-solution"), Some(true));
    let scorevision = ("scorevision".to_owned(), "read".to_owned());
    assert_eq!(service.collaborators("miner/pt-solution"), [scorevision]);
}

#[tokio::test]
async fn a_public_repository_is_told_from_a_private_one() {
    let (service, hub) = hub().await;
    service.repository("miner/open", false);
    let session = hub.login(soon()).await.unwrap();
    assert_eq!(session.visibility("pt-solution", soon()).await.unwrap(), Visibility::Private);
    assert_eq!(session.visibility("open", soon()).await.unwrap(), Visibility::Public);
}

#[tokio::test]
async fn each_of_the_three_answers_to_an_added_collaborator_is_success() {
    let (service, hub) = hub().await;
    let session = hub.login(soon()).await.unwrap();
    for status in [200, 201, 204] {
        service.plant(Call::AddCollaborator, Fault::Answer(status, String::new()), 1);
        add(&session).await.unwrap();
    }
    for status in [202, 302, 404] {
        service.plant(Call::AddCollaborator, Fault::Answer(status, String::new()), 1);
        let error = add(&session).await.unwrap_err();
        assert!(matches!(error.cause, Cause::Refused { status: s, .. } if s == status), "{error}");
    }
}

#[tokio::test]
async fn a_wrong_token_is_named_but_not_shown() {
    let (service, _) = hub().await;
    let hub = client(&service.url(), "dckr_pat_wrong");
    let error = hub.login(soon()).await.unwrap_err();
    assert!(matches!(error.cause, Cause::WrongToken { .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        "Docker Hub login as miner failed: the username and the access token do not fit (Docker Hub says: \
         Incorrect authentication credentials)"
    );
    assert!(error.hint().contains("DOCKERHUB_TOKEN"), "{}", error.hint());
    assert!(!format!("{error:?}{error}{}", error.hint()).contains("dckr_pat_wrong"));
}

#[tokio::test]
async fn an_expired_token_is_told_from_a_wrong_one() {
    let (service, hub) = hub().await;
    service.plant(Call::Login, Fault::TokenExpired, 1);
    let error = hub.login(soon()).await.unwrap_err();
    assert!(matches!(error.cause, Cause::TokenExpired { .. }), "{error:?}");
    assert!(error.hint().contains("Expiration Date"), "{}", error.hint());
}

#[tokio::test]
async fn a_session_that_ended_asks_for_another_login_which_works() {
    let (service, hub) = hub().await;
    let session = hub.login(soon()).await.unwrap();
    service.plant(Call::AddCollaborator, Fault::SessionExpired, 1);
    let error = add(&session).await.unwrap_err();
    assert!(matches!(error.cause, Cause::SessionEnded), "{error:?}");
    add(&hub.login(soon()).await.unwrap()).await.unwrap();
}

#[tokio::test]
async fn an_access_token_that_may_not_share_is_told_the_way_by_hand() {
    let error = add_failing(Fault::AccessTokenRefused).await;
    assert!(matches!(error.cause, Cause::AccessTokenRefused { .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        "Failed to add collaborator scorevision to miner/pt-solution: not allowed with an access token (Docker Hub \
         says: token issued from personal access token is not allowed)"
    );
    assert_eq!(
        error.hint(),
        "Try manually: DockerHub → Your Repo → Settings → Collaborators → Add `scorevision` \
         (https://hub.docker.com/repository/docker/miner/pt-solution)"
    );
}

#[tokio::test]
async fn a_token_that_may_only_read_is_told_both_of_the_guides_remedies() {
    for fault in [Fault::InsufficientScope, Fault::Answer(403, "<html>Forbidden</html>".to_owned())] {
        let error = add_failing(fault).await;
        assert!(matches!(error.cause, Cause::NoWritePermission { .. }), "{error:?}");
        let hint = error.hint();
        assert!(hint.starts_with("Check your access token has write permissions: "), "{hint}");
        assert!(hint.contains("Collaborators → Add `scorevision`"), "{hint}");
    }
}

#[tokio::test]
async fn a_token_that_may_only_read_makes_no_repository() {
    let (service, hub) = hub().await;
    service.plant(Call::Create, Fault::InsufficientScope, 1);
    let session = hub.login(soon()).await.unwrap();
    let error = session.create_private("another", soon()).await.unwrap_err();
    assert!(matches!(error.cause, Cause::NoWritePermission { .. }), "{error:?}");
    assert!(error.hint().contains("Create a repository → Private"), "{}", error.hint());
    assert_eq!(service.is_private("miner/another"), None);
}

#[tokio::test]
async fn the_plans_limit_of_private_repositories_is_told_as_such() {
    let (service, hub) = hub().await;
    service.private_limit(1);
    let session = hub.login(soon()).await.unwrap();
    let said = |status| Fault::Answer(status, r#"{"detail":"No more private repositories."}"#.to_owned());
    for fault in [None, Some(said(400)), Some(said(403))] {
        if let Some(fault) = fault {
            service.plant(Call::Create, fault, 1);
        }
        let error = session.create_private("another", soon()).await.unwrap_err();
        assert!(matches!(error.cause, Cause::PrivateLimit { .. }), "{error:?}");
        assert!(error.hint().contains("ADIT_REGISTRY=ghcr"), "{}", error.hint());
    }
}

#[tokio::test]
async fn a_repository_that_is_there_already_is_not_made_again() {
    let (_service, hub) = hub().await;
    let session = hub.login(soon()).await.unwrap();
    let error = session.create_private("pt-solution", soon()).await.unwrap_err();
    assert!(matches!(&error.cause, Cause::Refused { status: 400, said } if said.contains("already exists")));
}

#[tokio::test]
async fn an_unknown_collaborator_is_refused_in_docker_hubs_words() {
    let (_service, hub) = hub().await;
    let session = hub.login(soon()).await.unwrap();
    let error = session.add_collaborator("pt-solution", "nobody", soon()).await.unwrap_err();
    assert!(matches!(&error.cause, Cause::Refused { status: 404, said } if said == "user not found"));
    assert!(error.hint().contains("Add `nobody`"), "{}", error.hint());
}

#[tokio::test]
async fn a_rate_limit_says_how_long_to_wait_and_is_not_pressed() {
    let (service, hub) = hub().await;
    service.plant(Call::Login, Fault::RateLimited(17), 1);
    let error = hub.login(soon()).await.unwrap_err();
    let expected = Duration::from_secs(17);
    assert!(matches!(error.cause, Cause::RateLimited { wait: Some(wait) } if wait == expected), "{error:?}");
    assert!(error.to_string().contains("in 17 s"), "{error}");
    assert_eq!(service.asked().len(), 1);
}

#[tokio::test]
async fn one_service_error_or_lost_connection_is_survived_where_repeating_is_harmless() {
    let (service, hub) = hub().await;
    service.plant(Call::Login, Fault::ServiceError, 1);
    service.plant(Call::Repository, Fault::ServiceError, 1);
    service.plant(Call::AddCollaborator, Fault::Closed, 1);
    service.plant(Call::Collaborators, Fault::ServiceError, 1);
    let session = hub.login(soon()).await.unwrap();
    assert_eq!(session.visibility("pt-solution", soon()).await.unwrap(), Visibility::Private);
    add(&session).await.unwrap();
    let shared = share(&session).await.unwrap();
    assert!(matches!(shared, Share::Shared { .. }), "{shared:?}");
    assert_eq!(service.asked().len(), 8);
}

#[tokio::test]
async fn lasting_service_errors_end_after_three_attempts() {
    let (service, hub) = hub().await;
    service.plant(Call::Login, Fault::ServiceError, u32::MAX);
    let error = hub.login(soon()).await.unwrap_err();
    assert!(matches!(error.cause, Cause::Service { status: 500, attempts: 3 }), "{error:?}");
    assert_eq!(service.asked().len(), 3);
}

#[tokio::test]
async fn no_attempt_is_made_after_the_deadline() {
    let (service, hub) = hub().await;
    service.plant(Call::Login, Fault::ServiceError, u32::MAX);
    let error = hub.login(Instant::now() + Duration::from_millis(400)).await.unwrap_err();
    assert!(matches!(error.cause, Cause::Service { attempts: 1, .. }), "{error:?}");
    assert_eq!(service.asked().len(), 1);
}

#[tokio::test]
async fn making_a_repository_is_sent_once_whatever_happens() {
    let (service, hub) = hub().await;
    let session = hub.login(soon()).await.unwrap();
    for fault in [Fault::ServiceError, Fault::Closed] {
        service.plant(Call::Create, fault, 1);
        session.create_private("another", soon()).await.unwrap_err();
    }
    assert_eq!(service.asked().len(), 3, "one login and two attempts");
    assert_eq!(service.is_private("miner/another"), None);
}

#[tokio::test]
async fn a_connection_that_is_always_closed_is_an_error_of_the_network() {
    let error = add_failing(Fault::Closed).await;
    assert!(matches!(error.cause, Cause::NoAnswer(FetchError::Lost { .. })), "{error:?}");
    assert!(error.hint().contains("ADIT_DOCKERHUB_API"), "{}", error.hint());
}

#[tokio::test]
async fn a_silent_service_is_left_at_the_deadline() {
    let (service, hub) = hub().await;
    service.plant(Call::Login, Fault::Silent, u32::MAX);
    let error = hub.login(Instant::now() + Duration::from_millis(200)).await.unwrap_err();
    assert!(matches!(error.cause, Cause::NoAnswer(FetchError::Deadline { .. })), "{error:?}");
}

#[tokio::test]
async fn an_answer_that_is_not_docker_hubs_points_to_the_setting() {
    let (service, hub) = hub().await;
    for (body, why) in [("<html>", "is no JSON"), ("", "is no JSON"), ("{}", "has no token")] {
        service.plant(Call::Login, Fault::Answer(200, body.to_owned()), 1);
        let error = hub.login(soon()).await.unwrap_err();
        assert!(matches!(error.cause, Cause::Unreadable { status: 200, why: w } if w == why), "{error:?}");
        assert!(error.hint().contains("ADIT_DOCKERHUB_API"), "{}", error.hint());
    }
    let session = hub.login(soon()).await.unwrap();
    service.plant(Call::Repository, Fault::Answer(200, "[]".to_owned()), 1);
    let error = session.visibility("pt-solution", soon()).await.unwrap_err();
    assert!(matches!(error.cause, Cause::Unreadable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_name_with_a_slash_is_not_sent() {
    let (service, hub) = hub().await;
    let session = hub.login(soon()).await.unwrap();
    let error = session.add_collaborator("pt-solution", "../x", soon()).await.unwrap_err();
    assert!(matches!(error.cause, Cause::BadName(_)), "{error:?}");
    assert_eq!(service.asked().len(), 1);
}

#[tokio::test]
async fn a_collaborator_on_the_last_page_is_found_under_either_name() {
    let (service, hub) = hub().await;
    for other in 0..2 * PAGE {
        service.share("miner/pt-solution", &format!("other{other}"), "write");
    }
    let session = hub.login(soon()).await.unwrap();
    let missing = share(&session).await.unwrap();
    assert!(matches!(missing, Share::Missing), "{missing:?}");
    // The page is not always spelt as the setting.
    service.share("miner/pt-solution", "ScoreVision", "admin");
    for key in ["user", "username"] {
        service.name_key(key);
        let shared = share(&session).await.unwrap();
        assert!(
            matches!(&shared, Share::Shared { permission: Some(p) } if p == "admin"),
            "{key}: {shared:?}"
        );
    }
    let last = service.asked().pop().unwrap();
    assert_eq!(last.path, format!("{COLLABORATORS}?page=3"));
}

#[tokio::test]
async fn a_list_that_is_not_shown_leaves_the_share_unverified() {
    let (service, hub) = hub().await;
    let session = hub.login(soon()).await.unwrap();
    add(&session).await.unwrap();
    for fault in [
        Fault::AccessTokenRefused,
        Fault::InsufficientScope,
        Fault::Answer(403, String::new()),
        Fault::Answer(404, "404 page not found".to_owned()),
        Fault::Answer(405, String::new()),
        Fault::Answer(501, String::new()),
        Fault::Answer(200, "<html>".to_owned()),
        Fault::Answer(200, r#"{"results":null}"#.to_owned()),
    ] {
        service.plant(Call::Collaborators, fault.clone(), 1);
        let share = share(&session).await.unwrap();
        let Share::Unverified(error) = share else { panic!("{fault:?}: {share:?}") };
        assert!(matches!(error.action, Action::List { .. }), "{fault:?}: {error:?}");
        assert!(error.hint().contains("Collaborators → Add `scorevision`"), "{fault:?}: {}", error.hint());
    }
}

#[tokio::test]
async fn a_list_that_breaks_is_an_error_and_no_outcome() {
    let (service, hub) = hub().await;
    let session = hub.login(soon()).await.unwrap();
    for fault in [Fault::SessionExpired, Fault::RateLimited(1)] {
        service.plant(Call::Collaborators, fault, 1);
        share(&session).await.unwrap_err();
    }
}

#[tokio::test]
async fn the_session_is_not_taken_to_another_host() {
    let (service, hub) = hub().await;
    let (elsewhere, _) = self::hub().await;
    let session = hub.login(soon()).await.unwrap();
    let same_beginning = format!("{}.evil.example{COLLABORATORS}?page=2", service.url());
    for next in [format!("{}{COLLABORATORS}?page=2", elsewhere.url()), same_beginning] {
        let page = json!({"next": next, "results": []}).to_string();
        service.plant(Call::Collaborators, Fault::Answer(200, page), 1);
        let share = share(&session).await.unwrap();
        assert!(matches!(share, Share::Unverified(_)), "{next}: {share:?}");
    }
    assert!(elsewhere.asked().is_empty());
}

#[tokio::test]
async fn a_list_without_end_is_left() {
    let (service, hub) = hub().await;
    let session = hub.login(soon()).await.unwrap();
    let page = json!({"next": format!("{}{COLLABORATORS}", service.url()), "results": []}).to_string();
    service.plant(Call::Collaborators, Fault::Answer(200, page), u32::MAX);
    let share = share(&session).await.unwrap();
    assert!(matches!(share, Share::Unverified(_)), "{share:?}");
    assert_eq!(service.asked().len(), 101);
}
