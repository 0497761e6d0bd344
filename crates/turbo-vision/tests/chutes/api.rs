//! The platform's API.

use std::time::Duration;

use adit_keys::{Keypair, Secret, Seed};
use adit_stand_in::chutes::{Build, Call, Chutes, Fault, Start};
use adit_turbo_vision::chutes::{
    Api, Auth, Cause, ChutesError, Config, ImageFate, SecretPut, Share, ids, register,
};
use tokio::time::Instant;

use crate::{KEY, api_with, client, config, platform, soon};

const NAME: &str = "turbovision-miner-otter";

#[tokio::test]
async fn an_account_is_known_by_its_key_and_by_its_hotkey() {
    let (platform, api) = platform().await;
    let account = api.account(soon()).await.unwrap();
    assert_eq!((account.username.as_str(), account.balance), ("miner", Some(100.0)));
    assert_eq!(account.user_id, Chutes::user_id("miner"));
    api.may_list(soon()).await.unwrap();

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.ini");
    std::fs::write(&path, config(&platform, "miner")).unwrap();
    let by_hotkey = Api::new(client(), &platform.url(), Auth::hotkey(&Config::read(&path).unwrap()));
    assert_eq!(by_hotkey.account(soon()).await.unwrap(), account);
    // With a body the signature is over its digest.
    let id = platform.chute("miner", NAME, "code");
    by_hotkey.put_secret(&id, "HF_TOKEN", &"hf_x".into(), soon()).await.unwrap();
    by_hotkey.images(soon()).await.unwrap();
    assert_eq!(platform.secret(&id, "HF_TOKEN").as_deref(), Some("hf_x"));
}

#[tokio::test]
async fn a_chute_is_found_by_its_id_and_its_name_and_its_absence_is_no_error() {
    let (platform, api) = platform().await;
    assert_eq!(api.chute(NAME, soon()).await.unwrap(), None);
    assert_eq!(api.code(&ids::chute("miner", NAME), soon()).await.unwrap(), None);
    assert_eq!(api.image("turbovision-miner-otter:latest", soon()).await.unwrap(), None);
    platform.take_slug("miner-turbovision-miner-otter");
    let id = platform.chute("miner", NAME, "print('é')\r\n");
    assert_eq!(id, ids::chute("miner", NAME));
    for asked in [id.as_str(), NAME] {
        let chute = api.chute(asked, soon()).await.unwrap().unwrap();
        assert_eq!(chute.chute_id, id);
        assert!(chute.slug.starts_with("miner-turbovision-miner-otter-"), "{}", chute.slug);
        assert_eq!(chute.version, ids::version(&ids::image("miner", NAME, "latest"), "print('é')\r\n"));
        assert!(chute.image.unwrap().is_built());
        assert_eq!((chute.instances.len(), chute.hot), (1, false));
        assert_eq!(chute.whole["cords"], serde_json::Value::Null);
    }
    assert_eq!(api.code(&id, soon()).await.unwrap().as_deref(), Some("print('é')\r\n"));
    assert!(api.image(&format!("{NAME}:latest"), soon()).await.unwrap().unwrap().is_built());
}

#[tokio::test]
async fn lists_are_read_to_their_end() {
    let (platform, api) = platform().await;
    for number in 0..60 {
        platform.chute("miner", &format!("c{number}"), "code");
    }
    assert_eq!(api.chutes(soon()).await.unwrap().len(), 60);
    assert_eq!(platform.times(Call::Chutes), 3);
    assert_eq!(api.images(soon()).await.unwrap().len(), 60);
    assert!(api.secrets(soon()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_chute_is_deleted_with_its_image_and_both_are_looked_for() {
    let (platform, api) = platform().await;
    let id = platform.chute("miner", NAME, "code");
    // The first answer is lost, and the image is held for a moment.
    platform.plant(Call::DeleteChute, Fault::Lost, 1);
    platform.plant(
        Call::DeleteImage,
        Fault::Refused(409, "Image is in use by one or more chutes".to_owned()),
        1,
    );
    let deleted = api.delete_with_image(NAME, soon()).await.unwrap();
    assert_eq!(deleted.chute_id, id);
    assert_eq!(deleted.image, Some((ids::image("miner", NAME, "latest"), ImageFate::Deleted)));
    assert!(api.chutes(soon()).await.unwrap().is_empty() && api.images(soon()).await.unwrap().is_empty());

    let error = api.delete_with_image(NAME, soon()).await.unwrap_err();
    assert!(error.is_not_found() && error.hint().contains("chutes chutes list"), "{error}");
    let gone = api.delete_image(&ids::image("miner", NAME, "latest"), soon()).await.unwrap();
    assert_eq!(gone, ImageFate::NoneThere);
}

#[tokio::test]
async fn an_image_that_another_chute_runs_stays() {
    let (platform, api) = platform().await;
    platform.chute("miner", NAME, "code");
    let image = ids::image("miner", NAME, "latest");
    let soon = Instant::now() + Duration::from_secs(3);
    assert_eq!(api.delete_image(&image, soon).await.unwrap(), ImageFate::InUse);
}

#[tokio::test]
async fn a_deletion_that_does_not_show_is_no_success() {
    let (platform, api) = platform().await;
    let id = platform.chute("miner", NAME, "code");
    platform.plant(Call::DeleteChute, Fault::Answer(200, r#"{"deleted": true}"#.to_owned()), 1);
    let deadline = Instant::now() + Duration::from_secs(3);
    let error = api.delete_chute(&id, deadline).await.unwrap_err();
    assert!(matches!(error.cause, Cause::NotConfirmed(_)), "{error}");
}

#[tokio::test]
async fn a_secret_is_stored_once_and_never_shown() {
    let (platform, api) = platform().await;
    let id = platform.chute("miner", NAME, "code");
    let put = async |value: &str| api.put_secret(&id, "HF_TOKEN", &value.into(), soon()).await;
    assert_eq!(put("hf_one").await.unwrap(), SecretPut::Stored);
    assert_eq!(put("hf_two").await.unwrap(), SecretPut::AlreadyThere);
    assert_eq!(platform.secret(&id, "HF_TOKEN").as_deref(), Some("hf_one"));
    let secrets = api.secrets(soon()).await.unwrap();
    let secret_id = ids::secret(&Chutes::user_id("miner"), &id, "HF_TOKEN");
    assert_eq!(
        (secrets[0].secret_id.as_str(), secrets[0].purpose.as_str()),
        (secret_id.as_str(), id.as_str())
    );
    assert!(api.delete_secret(&secret_id, soon()).await.unwrap());
    assert!(!api.delete_secret(&secret_id, soon()).await.unwrap());

    platform.plant(Call::PutSecret, Fault::Refused(422, "bad value hf_hush".to_owned()), 1);
    let error = put("hf_hush").await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hf_hush"), "{error}");
    platform.plant(Call::PutSecret, Fault::Refused(500, "cannot store hf_hush".to_owned()), 4);
    let error = put("hf_hush").await.unwrap_err();
    assert!(error.to_string().ends_with("cannot store …"), "{error}");
    let error = api.put_secret("nobody", "K", &"v".into(), soon()).await.unwrap_err();
    assert!(error.is_not_found(), "{error}");
}

#[tokio::test]
async fn a_chute_is_shared_and_what_needs_no_sharing_is_no_error() {
    let (platform, api) = platform().await;
    platform.account("score", None, None);
    let id = platform.chute("miner", NAME, "code");
    assert_eq!(api.share(&id, "score", soon()).await.unwrap(), Share::Shared);
    assert_eq!(platform.shared_with(&id), [Chutes::user_id("score")]);
    assert_eq!(api.share(&id, "miner", soon()).await.unwrap(), Share::NeedsNone);
    assert!(api.share(&id, "nobody", soon()).await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn a_warm_up_ends_when_the_chute_is_hot() {
    let (platform, api) = platform().await;
    let id = platform.chute("miner", NAME, "code");
    platform.plant(Call::WarmUp, Fault::Page(502), 1);
    platform.plant(Call::WarmUp, Fault::Closed, 1);
    platform.plant(Call::WarmUp, Fault::Cut(1), 1);
    let mut lines = Vec::new();
    api.warm_up(&id, soon(), |line| lines.push(line.to_owned())).await.unwrap();
    assert_eq!(lines.last().unwrap(), "chute is hot, 1 instances available");
    assert!(api.chute(&id, soon()).await.unwrap().unwrap().hot);
}

#[tokio::test]
async fn a_warm_up_without_an_end_stops_at_the_deadline_and_one_without_a_balance_at_once() {
    let (platform, api) = platform().await;
    platform.starts(Start { looks: None, ..Start::default() });
    let id = platform.chute("miner", NAME, "code");
    let began = Instant::now();
    let error = api.warm_up(&id, began + Duration::from_secs(1), |_| ()).await.unwrap_err();
    assert!(matches!(error.cause, Cause::OutOfTime(_)), "{error}");
    assert!(began.elapsed() < Duration::from_secs(20));
    platform.balance("miner", 0.0);
    let error = api.warm_up(&id, soon(), |_| ()).await.unwrap_err();
    assert!(matches!(error.cause, Cause::Payment { .. }) && error.hint().contains("Top up"), "{error}");
}

/// The error of a look at the account that meets `fault` again and again, within `seconds`.
async fn failing(fault: Fault, seconds: u64) -> (ChutesError, usize) {
    let (platform, api) = platform().await;
    platform.plant(Call::Account, fault, u32::MAX);
    let error = api.account(Instant::now() + Duration::from_secs(seconds)).await.unwrap_err();
    let shown = format!("{error} {error:?} {}", error.hint());
    assert!(!shown.contains(KEY), "{shown}");
    (error, platform.times(Call::Account))
}

#[tokio::test]
async fn every_refusal_says_what_why_and_what_to_do() {
    let refused = |status, detail: &str| Fault::Refused(status, detail.to_owned());
    for (fault, times, shown, hint) in [
        (refused(401, &format!("unknown key {KEY}")), 1, "status 401): unknown key …", "CHUTES_API_KEY"),
        (refused(402, "no balance"), 1, "status 402): no balance", "Top up"),
        (refused(403, "scope"), 1, "status 403): scope", "scopes"),
        (refused(404, "nobody"), 1, "status 404): nobody", "chutes chutes list"),
        (refused(409, "exists"), 1, "status 409): exists", "delete the old"),
        (refused(418, "teapot"), 1, "refused with status 418: teapot", "Correct"),
        (refused(500, "oops"), 4, "status 500, tried 4 times): oops", "some minutes"),
        (Fault::RateLimited(3600), 1, "status 429); the next one is taken in 3600 s", "3600 s"),
        (Fault::Page(521), 4, "status 521, tried 4 times)", "some minutes"),
        (Fault::Page(403), 1, "a web page came in place of an answer (status 403)", "CHUTES_MINERS_ENDPOINT"),
        (Fault::Page(200), 1, "a web page came in place of an answer (status 200)", "CHUTES_MINERS_ENDPOINT"),
        (Fault::Answer(200, "{".to_owned()), 1, "the answer (status 200) cannot be read", "report it"),
        (Fault::Closed, 4, "closed the connection without an answer", "network"),
    ] {
        let (error, asked) = failing(fault.clone(), 60).await;
        assert!(error.to_string().starts_with("cannot look at the account: "), "{error}");
        assert!(error.to_string().contains(shown), "{fault:?}: {error}");
        assert!(error.hint().contains(hint), "{fault:?}: {}", error.hint());
        assert_eq!(asked, times, "{fault:?}");
    }
}

#[tokio::test]
async fn silence_and_a_dead_host_end_at_the_deadline() {
    let (error, _) = failing(Fault::Silent, 1).await;
    assert!(error.to_string().contains("did not finish in time"), "{error}");
    let nobody = Api::new(client(), "http://127.0.0.1:1", Auth::api_key(KEY.into()).unwrap());
    let error = nobody.account(Instant::now() + Duration::from_secs(1)).await.unwrap_err();
    assert!(matches!(error.cause, Cause::NoAnswer { maybe_done: false, .. }), "{error}");
}

#[tokio::test]
async fn what_passes_is_waited_for() {
    let (platform, api) = platform().await;
    platform.plant(Call::Account, Fault::RateLimited(1), 1);
    platform.plant(Call::Account, Fault::Page(503), 1);
    platform.plant(Call::Account, Fault::Closed, 1);
    let began = Instant::now();
    api.account(soon()).await.unwrap();
    assert_eq!(platform.times(Call::Account), 4);
    assert!(began.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_stranger_is_told_to_look_at_its_key() {
    let (platform, _) = platform().await;
    let stranger = api_with(&platform, &KEY.replace("abc", "xyz"));
    let error = stranger.account(soon()).await.unwrap_err();
    assert!(matches!(error.cause, Cause::Unauthorized { .. }), "{error}");
}

#[tokio::test]
async fn an_account_is_made_and_its_configuration_written() {
    let platform = Chutes::start().await.unwrap();
    let hotkey = Secret::from_seed(Seed::from_bytes(&[7; 32]));
    let coldkey = Keypair::from_seed(&[8; 32]).hotkey();
    let token = "tok/en".into();
    let made =
        register(&client(), &platform.url(), &token, "miner", (&hotkey, &coldkey), soon()).await.unwrap();
    assert_eq!((made.username.as_str(), made.user_id), ("miner", Chutes::user_id("miner")));
    let asked = platform.asked().pop().unwrap();
    assert_eq!(asked.path, "/users/register?token=tok%2Fen");
    assert_eq!(asked.body["coldkey"], coldkey.to_string());

    let error =
        register(&client(), &platform.url(), &token, "miner", (&hotkey, &coldkey), soon()).await.unwrap_err();
    assert!(matches!(error.cause, Cause::Conflict { .. }), "{error}");
    platform.plant(Call::Register, Fault::Lost, 1);
    let error =
        register(&client(), &platform.url(), &token, "other", (&hotkey, &coldkey), soon()).await.unwrap_err();
    assert!(matches!(error.cause, Cause::NoAnswer { maybe_done: true, .. }), "{error}");
    assert_eq!(platform.times(Call::Register), 3);
}

#[tokio::test]
async fn a_new_accounts_configuration_opens_the_account() {
    let platform = Chutes::start().await.unwrap();
    let hotkey = Secret::from_seed(Seed::from_bytes(&[7; 32]));
    let coldkey = Keypair::from_seed(&[8; 32]).hotkey();
    let made = register(&client(), &platform.url(), &"t".into(), "miner", (&hotkey, &coldkey), soon())
        .await
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.ini");
    made.write_config(&path, &platform.url(), "default", &hotkey).unwrap();
    let config = Config::read(&path).unwrap();
    config.check("miner", &platform.url()).unwrap();
    let api = Api::new(client(), &platform.url(), Auth::hotkey(&config));
    assert_eq!(api.account(soon()).await.unwrap().balance, Some(0.0));
}

#[tokio::test]
async fn a_build_log_is_followed_to_its_end_and_taken_up_where_it_broke_off() {
    let (platform, api) = platform().await;
    let read = async |id: &str| {
        let mut log = api.build_log(id, soon());
        let mut lines = Vec::new();
        while let Some(line) = log.next().await.unwrap() {
            lines.push(line);
        }
        lines
    };
    let lines: Vec<String> = (0..9).map(|number| format!("line {number}")).collect();
    platform.builds(Build { looks: 99, failure: None, log: lines.clone() });
    let id = platform.building("miner", NAME, "latest");
    platform.plant(Call::BuildLog, Fault::Page(502), 1);
    platform.plant(Call::BuildLog, Fault::Cut(4), 2);
    assert_eq!(read(&id).await, lines);
    // With that the build is over, and its log comes in one piece.
    assert!(api.image(&id, soon()).await.unwrap().unwrap().is_built());
    assert_eq!(read(&id).await, lines);
    let mut none = api.build_log("nobody", soon());
    assert!(none.next().await.unwrap_err().is_not_found());
}
