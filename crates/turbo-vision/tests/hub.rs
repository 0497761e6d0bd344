//! Hugging Face, against a stand-in that serves what the real one does, and every way in which it can say no, break off
//! or be silent.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use adit_outbound::FetchError;
use adit_stand_in::hub::{Call, Fault, HuggingFace, Role, Transfer};
use adit_turbo_vision::hub::{
    Cause, Event, How, Hub, HubError, Patience, PushOptions, Pushed, RepositoryName, Selection,
};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use tempfile::TempDir;

const TOKEN: &str = "hf_hush";
const NAME: &str = "miner/ScoreVision";

/// Longer than a busy machine takes, with short pauses.
const PATIENCE: Patience = Patience {
    answer: Duration::from_secs(10),
    silence: Duration::from_secs(10),
    commit: Duration::from_secs(10),
    pause: Duration::from_millis(5),
    limit: Duration::from_secs(2),
};

/// Short waits, where what is tested is that they end.
const HASTE: Patience = Patience {
    answer: Duration::from_secs(1),
    silence: Duration::from_secs(1),
    commit: Duration::from_secs(1),
    ..PATIENCE
};

fn name() -> RepositoryName {
    NAME.parse().unwrap()
}

/// A Hub with the miner's account, and nothing else.
async fn start() -> (HuggingFace, Hub) {
    let server = HuggingFace::start().await.unwrap();
    server.account("miner", TOKEN, Role::Write);
    let hub = client(&server, Some(TOKEN));
    (server, hub)
}

fn client(server: &HuggingFace, token: Option<&str>) -> Hub {
    Hub::new(&server.url(), token.map(Into::into)).unwrap().with_patience(PATIENCE)
}

/// Hasty where nothing would ever come.
fn client_meeting(server: &HuggingFace, fault: &Fault) -> Hub {
    let hub = client(server, Some(TOKEN));
    if matches!(fault, Fault::Silent) { hub.with_patience(HASTE) } else { hub }
}

/// A Hub with the miner's account and repository.
async fn with_repository() -> (HuggingFace, Hub) {
    let (server, hub) = start().await;
    server.repository(NAME, true);
    (server, hub)
}

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), files);
    folder
}

fn write(folder: &Path, files: &[(&str, &[u8])]) {
    for (path, content) in files {
        let at = folder.join(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(at, content).unwrap();
    }
}

/// Bytes that no two seeds have in common.
fn weights(size: usize, seed: u8) -> Vec<u8> {
    (0..size).map(|at| (at.wrapping_mul(31) ^ (at >> 8)) as u8 ^ seed).collect()
}

async fn push(hub: &Hub, folder: &TempDir) -> Result<Pushed, HubError> {
    push_with(hub, folder, PushOptions::default()).await
}

async fn push_with(hub: &Hub, folder: &TempDir, options: PushOptions) -> Result<Pushed, HubError> {
    let selection = Selection::of(folder.path()).unwrap();
    hub.push(&name(), &selection, &options, &|_: &Event| ()).await
}

fn sent(pushed: &Pushed) -> Vec<(&str, How)> {
    pushed.sent.iter().map(|file| (file.path.as_str(), file.how)).collect()
}

#[track_caller]
fn cause(error: HubError) -> Cause {
    let text = format!("{error} {error:?} {}", error.hint());
    assert!(!text.contains("hush"), "{text}");
    assert!(!error.hint().is_empty());
    error.cause
}

macro_rules! assert_cause {
    ($result:expr, $pattern:pat $(if $guard:expr)?) => {{
        let cause = cause($result.unwrap_err());
        assert!(matches!(&cause, $pattern $(if $guard)?), "{cause:?}");
    }};
}

// Whose token it is.

#[tokio::test]
async fn the_token_says_whose_it_is_and_what_it_may_write_to() {
    let (server, hub) = start().await;
    server.organization("score", &["miner"]);
    let account = hub.whoami().await.unwrap();
    assert_eq!((account.name.as_str(), &account.organizations[..]), ("miner", &["score".to_owned()][..]));
    let may =
        |account: &adit_turbo_vision::hub::Account, name: &str| account.may_write(&name.parse().unwrap());
    assert_eq!(may(&account, NAME), Some(true));
    assert_eq!(may(&account, "score/x"), Some(true));
    assert_eq!(may(&account, "other/x"), Some(false));

    server.account("miner", "hf_read", Role::Read);
    let account = client(&server, Some("hf_read")).whoami().await.unwrap();
    assert_eq!(may(&account, NAME), Some(false));

    server.account("miner", "hf_fine", Role::FineGrained(vec![NAME.to_owned()]));
    let account = client(&server, Some("hf_fine")).whoami().await.unwrap();
    assert_eq!(may(&account, NAME), Some(true));
    assert_eq!(may(&account, "miner/other"), Some(false));
}

#[tokio::test]
async fn a_token_that_is_wrong_or_not_there_is_told_apart() {
    let (server, _) = start().await;
    assert_cause!(client(&server, Some("hf_hush_wrong")).whoami().await, Cause::WrongToken { said } if said.contains("Invalid"));
    assert_cause!(client(&server, None).whoami().await, Cause::NoToken);
    assert_cause!(client(&server, Some(" \n")).whoami().await, Cause::NoToken);
    assert!(client(&server, Some(" hf_hush\n")).whoami().await.is_ok());
    let asked = server.asked_for(Call::Whoami);
    assert_eq!(asked.len(), 2, "without a token nothing is asked: {asked:?}");
}

// Repositories.

#[tokio::test]
async fn a_repository_is_made_private_and_one_that_is_there_is_as_good() {
    let (server, hub) = start().await;
    let made = hub.ensure_repository(&name()).await.unwrap();
    assert!(made.private && !made.gated && made.head.is_some());
    let again = hub.ensure_repository(&name()).await.unwrap();
    assert_eq!(again, made);
    assert_eq!(server.commits(NAME).len(), 1);
    let body = &server.asked_for(Call::Create)[0].body;
    assert_eq!(
        *body,
        serde_json::json!({"name": "ScoreVision", "organization": "miner", "type": "model", "private": true})
    );
    server.repository("miner/Public", false);
    assert!(!hub.ensure_repository(&"miner/Public".parse().unwrap()).await.unwrap().private);
}

#[tokio::test]
async fn visibility_is_set_and_read_back() {
    let (server, hub) = with_repository().await;
    hub.set_private(&name(), false).await.unwrap();
    assert_eq!(server.is_private(NAME), Some(false));
    hub.set_private(&name(), true).await.unwrap();
    assert_eq!(server.is_private(NAME), Some(true));
    server.stuck(true);
    assert_cause!(hub.set_private(&name(), false).await, Cause::NotTaken(what) if what.contains("private"));
    assert_cause!(
        hub.set_private(&"miner/none".parse().unwrap(), true).await,
        Cause::Missing { said } if said == "Repository not found"
    );
}

#[tokio::test]
async fn a_token_without_write_access_is_named_for_every_call_that_writes() {
    let (server, _) = with_repository().await;
    server.account("miner", "hf_read_hush", Role::Read);
    let hub = client(&server, Some("hf_read_hush"));
    assert!(hub.ensure_repository(&name()).await.is_ok(), "it is there, and may be read");
    assert_cause!(hub.ensure_repository(&"miner/new".parse().unwrap()).await, Cause::NoWriteAccess { .. });
    assert_cause!(hub.set_private(&name(), false).await, Cause::NoWriteAccess { said } if said.contains("write token"));
    let folder = folder(&[("best.onnx", b"x")]);
    assert_cause!(push(&hub, &folder).await, Cause::NoWriteAccess { .. });
    assert!(hub.resolve(&name(), "main").await.is_ok());
    assert_cause!(
        client(&server, Some(TOKEN)).ensure_repository(&"other/x".parse().unwrap()).await,
        Cause::NoWriteAccess { said } if said.contains("namespace")
    );
}

#[tokio::test]
async fn a_token_for_one_repository_alone_is_enough_where_that_is_there() {
    let (server, _) = with_repository().await;
    server.account("miner", "hf_one_hush", Role::FineGrained(vec![NAME.to_owned()]));
    let hub = client(&server, Some("hf_one_hush"));
    hub.ensure_repository(&name()).await.unwrap();
    assert!(push(&hub, &model_folder()).await.unwrap().committed);
    assert_cause!(hub.ensure_repository(&"miner/new".parse().unwrap()).await, Cause::NoWriteAccess { .. });
}

#[tokio::test]
async fn a_repository_whose_making_is_answered_late_or_twice_is_there_once() {
    for fault in [Fault::AnswerLost, Fault::DoneBut(502), Fault::DoneBut(409)] {
        let (server, hub) = start().await;
        server.plant(Call::Create, fault, 1);
        assert!(hub.ensure_repository(&name()).await.unwrap().private);
        assert_eq!(server.commits(NAME).len(), 1);
    }
}

#[test]
fn names_that_no_repository_has_are_refused() {
    for good in ["miner/ScoreVision", "a/b", "m.i-n_er/x.y"] {
        assert_eq!(good.parse::<RepositoryName>().unwrap().to_string(), good);
    }
    let long = format!("a/{}", "x".repeat(97));
    for bad in
        ["", "a", "/", "a/", "/b", "a/b/c", "a/..", "a b/c", "a/-b", "a/b.", "a/b--c", "a/é", "a/b?c", &long]
    {
        assert!(bad.parse::<RepositoryName>().is_err(), "{bad}");
    }
}

#[test]
fn an_endpoint_that_is_no_address_is_refused_and_debug_texts_hold_no_secret() {
    let bad = [
        "",
        "huggingface.co",
        "ftp://h",
        "http://",
        "http://u:hush@h",
        "u:hush@",
        "http://h?token=x",
        "http://h#x",
    ];
    for bad in bad {
        assert_cause!(Hub::new(bad, None), Cause::BadEndpoint(_));
    }
    let hub = Hub::new("https://huggingface.co", Some(TOKEN.into())).unwrap();
    assert!(!format!("{hub:?}").contains("hush"));
}

// Revisions.

#[tokio::test]
async fn a_revision_is_a_branch_a_commit_or_the_beginning_of_one() {
    let (server, hub) = with_repository().await;
    let first = hub.resolve(&name(), "main").await.unwrap();
    let second = server.commit(NAME, &[("a", b"1")]);
    assert_eq!(hub.resolve(&name(), "main").await.unwrap().as_str(), second);
    assert_eq!(hub.resolve(&name(), first.as_str()).await.unwrap(), first);
    assert_eq!(hub.resolve(&name(), &second[..8]).await.unwrap().as_str(), second);
    assert_eq!(hub.repository(&name()).await.unwrap().head.unwrap().as_str(), second);
}

#[tokio::test]
async fn private_missing_and_malformed_are_told_apart() {
    let (server, hub) = with_repository().await;
    let stranger = client(&server, None);
    assert_cause!(stranger.resolve(&name(), "main").await, Cause::PrivateOrMissing { .. });
    server.account("other", "hf_other", Role::Write);
    assert_cause!(client(&server, Some("hf_other")).resolve(&name(), "main").await, Cause::Missing { .. });
    assert_cause!(hub.resolve(&name(), "dev").await, Cause::NoRevision { said } if said.contains("dev"));
    assert_cause!(hub.resolve(&name(), "refs/pr/1").await, Cause::NoRevision { said } if said.contains("refs/pr/1"));
    let asked = server.asked().len();
    for bad in ["", " ", "a b", "a..b", "/a", "-x", "a\n", "a~1", "a^", ".", "@{1}"] {
        assert_cause!(hub.resolve(&name(), bad).await, Cause::BadRevision(_));
    }
    assert_eq!(server.asked().len(), asked);
    server.plant(Call::Info, Fault::Answer(200, r#"{"sha": "main"}"#.to_owned()), 1);
    assert_cause!(hub.resolve(&name(), "main").await, Cause::Unreadable { .. });
}

// Listings and downloads.

#[tokio::test]
async fn a_listing_has_every_page_and_the_size_of_what_is_stored_elsewhere() {
    let (server, hub) = with_repository().await;
    let large = weights(3000, 1);
    let folder = folder(&[("a/b/c.py", b"pass"), ("best.onnx", &large), ("é ü.txt", b"x")]);
    let pushed = push(&hub, &folder).await.unwrap();
    server.page(2);
    let files = hub.files(&name(), pushed.revision.as_str()).await.unwrap();
    let listed: Vec<_> = files.iter().map(|file| (file.path.as_str(), file.sha256.is_some())).collect();
    let expected = [(".gitattributes", false), ("a/b/c.py", false), ("best.onnx", true), ("é ü.txt", false)];
    assert_eq!(listed, expected);
    assert_eq!(files[2].size, 3000);
    // `git hash-object`'s word for these four bytes.
    assert_eq!(files[1].oid, "fc80254b619d488138a43632b617124a3d324702");
    assert_cause!(hub.files(&name(), "dev").await, Cause::NoRevision { .. });
}

#[tokio::test]
async fn a_listing_that_is_none_or_goes_on_elsewhere_is_an_error() {
    let (server, hub) = with_repository().await;
    for nonsense in [r#"{"a": 1}"#, r#"[{"type": "file"}]"#, "[", ""] {
        server.plant(Call::Tree, Fault::Answer(200, nonsense.to_owned()), 1);
        assert_cause!(hub.files(&name(), "main").await, Cause::Unreadable { .. });
    }
    // By another name of this host: the token must not go there.
    server.commit(NAME, &[("a", b"1"), ("b", b"2")]);
    server.page(1);
    let other = server.url().replace("127.0.0.1", "localhost");
    let hub = Hub::new(&other, Some(TOKEN.into())).unwrap().with_patience(PATIENCE);
    assert_cause!(hub.files(&name(), "main").await, Cause::Unreadable { why, .. } if why.contains("another host"));
}

#[tokio::test]
async fn a_file_is_downloaded_from_git_and_from_the_store_up_to_its_limit() {
    let (server, hub) = with_repository().await;
    let large = weights(100_000, 1);
    let folder = folder(&[("a b/miner.py", b"pass"), ("best.onnx", &large)]);
    push(&hub, &folder).await.unwrap();
    let get = async |path: &str, most: u64| hub.download(&name(), "main", path, most).await;
    assert_eq!(get("a b/miner.py", 4).await.unwrap(), "pass");
    assert_eq!(get("best.onnx", 100_000).await.unwrap(), large);
    assert_cause!(
        get("best.onnx", 99_999).await,
        Cause::NoAnswer(FetchError::TooLarge { limit: 99_999, .. })
    );
    assert_cause!(get("nothing", 4).await, Cause::NoFile { .. });
    for bad in ["", "/a", "a//b", "../a", "a/./b", "a\n"] {
        assert_cause!(get(bad, 4).await, Cause::BadPath(_));
    }
    assert_cause!(hub.download(&name(), "dev", "best.onnx", 4).await, Cause::NoRevision { .. });
    server.plant(Call::Resolve, Fault::Closed, 1);
    server.plant(Call::Resolve, Fault::Answer(503, String::new()), 1);
    assert_eq!(get("a b/miner.py", 4).await.unwrap(), "pass");
    let stranger = client(&server, None);
    assert_cause!(stranger.download(&name(), "main", "best.onnx", 4).await, Cause::PrivateOrMissing { .. });
}

#[tokio::test]
async fn a_gated_model_is_seen_as_one() {
    let (server, hub) = with_repository().await;
    hub.set_private(&name(), false).await.unwrap();
    server.gate(NAME, true);
    assert!(hub.repository(&name()).await.unwrap().gated);
    let stranger = client(&server, None);
    assert!(stranger.repository(&name()).await.unwrap().gated);
    assert_cause!(stranger.download(&name(), "main", ".gitattributes", 9999).await, Cause::Gated { .. });
}

// What any call can meet.

#[tokio::test]
async fn what_passes_is_tried_again_and_what_does_not_is_told() {
    let (server, hub) = with_repository().await;
    for fault in
        [Fault::Answer(502, "<html>".to_owned()), Fault::Closed, Fault::RateLimited(0), Fault::AnswerLost]
    {
        server.plant(Call::Info, fault, 2);
        assert!(hub.repository(&name()).await.is_ok());
    }
    server.plant(Call::Info, Fault::Answer(503, String::new()), 4);
    assert_cause!(hub.repository(&name()).await, Cause::Service { status: 503, attempts: 4 });
    server.plant(Call::Info, Fault::RateLimited(3000), 1);
    assert_cause!(hub.repository(&name()).await, Cause::RateLimited { wait: Some(wait) } if wait.as_secs() == 3000);
    server.plant(Call::Info, Fault::Page, 1);
    assert_cause!(hub.repository(&name()).await, Cause::Unreadable { status: 200, .. });
    server.plant(Call::Info, Fault::Answer(200, "{}".to_owned()), 1);
    assert_cause!(hub.repository(&name()).await, Cause::Unreadable { status: 200, .. });
    server.plant(Call::Settings, Fault::Answer(409, r#"{"error": "no, hf_hush\nno"}"#.to_owned()), 1);
    assert_cause!(hub.set_private(&name(), true).await, Cause::Conflict { said } if said == "no, … no");
    server.plant(Call::Settings, Fault::Answer(402, String::new()), 1);
    assert_cause!(hub.set_private(&name(), true).await, Cause::Refused { status: 402, .. });
}

#[tokio::test]
async fn a_silent_hub_is_given_up() {
    let (server, hub) = with_repository().await;
    let hub = hub.with_patience(HASTE);
    server.plant(Call::Info, Fault::Silent, 9);
    let begin = std::time::Instant::now();
    assert_cause!(hub.repository(&name()).await, Cause::NoAnswer(FetchError::Deadline { .. }));
    assert!(begin.elapsed() < Duration::from_secs(30));
    let nowhere = Hub::new("http://127.0.0.1:1", None).unwrap().with_patience(PATIENCE);
    assert_cause!(nowhere.repository(&name()).await, Cause::NoAnswer(FetchError::Connect { .. }));
}

// Pushing.

fn model() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("best.onnx", weights(300_000, 1)),
        ("chute_config.yml", b"Image: {}\n".to_vec()),
        ("empty.txt", Vec::new()),
        ("miner.py", b"class Miner: ...\n".to_vec()),
        ("weights/second.pt", weights(70_000, 2)),
    ]
}

fn model_folder() -> TempDir {
    let model = model();
    let files: Vec<(&str, &[u8])> = model.iter().map(|(path, content)| (*path, &content[..])).collect();
    folder(&files)
}

fn expected(model: Vec<(&str, Vec<u8>)>) -> BTreeMap<String, Vec<u8>> {
    model.into_iter().map(|(path, content)| (path.to_owned(), content)).collect()
}

/// A revision's files but the one that the Hub puts there itself.
fn files(server: &HuggingFace, revision: &str) -> BTreeMap<String, Vec<u8>> {
    let mut files = server.files(NAME, revision);
    files.remove(".gitattributes");
    files
}

#[tokio::test]
async fn a_folder_is_pushed_in_one_commit_and_the_revision_is_that_commit() {
    for transfer in [Transfer::Basic, Transfer::Multipart(65_536)] {
        let (server, hub) = with_repository().await;
        server.transfer(transfer);
        let folder = model_folder();
        write(
            folder.path(),
            &[(".git/config", b"x"), ("best.onnx.lock", b""), (".env", b"HF_TOKEN=hf_hush")],
        );
        let pushed = push(&hub, &folder).await.unwrap();
        let commits = server.commits(NAME);
        assert_eq!(commits.len(), 2);
        assert_eq!(commits[1].id, pushed.revision.as_str());
        assert_eq!(commits[1].title, "scorevision: push artifact");
        assert!(pushed.committed);
        assert_eq!(
            sent(&pushed),
            [
                ("best.onnx", How::Stored),
                ("chute_config.yml", How::Inline),
                ("empty.txt", How::Inline),
                ("miner.py", How::Inline),
                ("weights/second.pt", How::Stored),
            ]
        );
        assert_eq!(files(&server, "main"), expected(model()));
        assert_eq!(server.stored(NAME, "main"), ["best.onnx", "weights/second.pt"]);
        let header = &server.asked_for(Call::Commit)[0].body[0]["value"];
        assert_eq!(header["parentCommit"], commits[0].id.as_str());
        let puts = server.asked_for(Call::Put);
        assert_eq!(puts.len(), if transfer == Transfer::Basic { 2 } else { 5 + 2 });
        assert_eq!(puts.iter().map(|put| put.bytes).sum::<u64>(), 370_000);
        assert!(puts.iter().all(|put| !put.authorized), "the token is for the Hub alone");
    }
}

#[tokio::test]
async fn what_the_hub_has_is_neither_sent_nor_committed_again() {
    let (server, hub) = with_repository().await;
    let folder = model_folder();
    let first = push(&hub, &folder).await.unwrap();
    let (commits, puts) = (server.commits(NAME).len(), server.asked_for(Call::Put).len());
    let second = push(&hub, &folder).await.unwrap();
    assert_eq!((second.committed, &second.revision), (false, &first.revision));
    assert_eq!((second.sent.len(), second.unchanged.len()), (0, 5));
    assert_eq!((server.commits(NAME).len(), server.asked_for(Call::Put).len()), (commits, puts));

    // One small and one large file change, the size of the large one not.
    write(folder.path(), &[("miner.py", b"class Miner: pass\n"), ("weights/second.pt", &weights(70_000, 3))]);
    let third = push(&hub, &folder).await.unwrap();
    assert_eq!(sent(&third), [("miner.py", How::Inline), ("weights/second.pt", How::Stored)]);
    assert_eq!(third.unchanged, ["best.onnx", "chute_config.yml", "empty.txt"]);
    assert_eq!(files(&server, "main")["weights/second.pt"], weights(70_000, 3));

    // A content that the store has under another name.
    write(folder.path(), &[("copy.onnx", &weights(300_000, 1)), ("twin.onnx", &weights(300_000, 1))]);
    let fourth = push(&hub, &folder).await.unwrap();
    assert_eq!(sent(&fourth), [("copy.onnx", How::WasStored), ("twin.onnx", How::WasStored)]);
    assert_eq!(server.asked_for(Call::Put).len(), puts + 1);
}

#[tokio::test]
async fn two_files_of_one_content_are_sent_once() {
    let (server, hub) = with_repository().await;
    let content = weights(50_000, 1);
    let folder = folder(&[("a.onnx", &content), ("b.onnx", &content)]);
    let pushed = push(&hub, &folder).await.unwrap();
    assert_eq!(sent(&pushed), [("a.onnx", How::Stored), ("b.onnx", How::WasStored)]);
    assert_eq!(server.asked_for(Call::Put).len(), 1);
    assert_eq!(files(&server, "main").len(), 2);
}

#[tokio::test]
async fn stale_files_are_deleted_where_that_is_asked_for() {
    let (server, hub) = with_repository().await;
    server.commit(NAME, &[("old/a.pt", b"x"), (".hidden/b", b"x"), ("c.lock", b"x")]);
    let folder = folder(&[("best.onnx", b"x")]);
    push(&hub, &folder).await.unwrap();
    assert!(files(&server, "main").contains_key("old/a.pt"));
    let options = PushOptions { delete_stale: true, ..PushOptions::default() };
    let pushed = push_with(&hub, &folder, options).await.unwrap();
    assert_eq!((pushed.committed, &pushed.deleted[..]), (true, &["old/a.pt".to_owned()][..]));
    let left: Vec<_> = server.files(NAME, "main").into_keys().collect();
    assert_eq!(left, [".gitattributes", ".hidden/b", "best.onnx", "c.lock"]);
    let pushed = push_with(&hub, &folder, options).await.unwrap();
    assert!(!pushed.committed && pushed.deleted.is_empty());
}

#[tokio::test]
async fn what_the_repository_ignores_is_told_and_not_committed() {
    let (server, hub) = with_repository().await;
    server.ignore(NAME, &["notes.txt"]);
    let folder = folder(&[("best.onnx", b"x"), ("notes.txt", b"x")]);
    let pushed = push(&hub, &folder).await.unwrap();
    assert_eq!(pushed.ignored, ["notes.txt"]);
    assert_eq!(files(&server, "main").into_keys().collect::<Vec<_>>(), ["best.onnx"]);
}

#[tokio::test]
async fn a_large_file_is_never_in_the_commit_whatever_the_hub_says() {
    let (server, hub) = with_repository().await;
    let folder = folder(&[("notes.txt", &weights((10 << 20) + 1, 1))]);
    let regular = r#"{"files": [{"path": "notes.txt", "uploadMode": "regular", "shouldIgnore": false}]}"#;
    server.plant(Call::Preupload, Fault::Answer(200, regular.to_owned()), 1);
    let pushed = push(&hub, &folder).await.unwrap();
    assert_eq!(sent(&pushed), [("notes.txt", How::Stored)]);
    assert_eq!(server.stored(NAME, "main"), ["notes.txt"]);
}

#[tokio::test]
async fn more_files_than_one_batch_arrive() {
    let (server, hub) = with_repository().await;
    let folder = tempfile::tempdir().unwrap();
    for at in 0..230_u32 {
        fs::write(folder.path().join(format!("{at:03}.bin")), at.to_le_bytes()).unwrap();
        fs::write(folder.path().join(format!("{at:03}.txt")), at.to_string()).unwrap();
    }
    server.page(100);
    let pushed = push(&hub, &folder).await.unwrap();
    assert_eq!(pushed.sent.len(), 460);
    assert_eq!(server.asked_for(Call::Batch).len(), 3);
    assert_eq!(server.commits(NAME).len(), 2);
    assert_eq!(files(&server, "main").len(), 460);
}

#[tokio::test]
async fn somebody_elses_commit_in_between_is_not_mixed_in() {
    let (server, hub) = with_repository().await;
    let folder = model_folder();
    let selection = Selection::of(folder.path()).unwrap();
    let meddle = |event: &Event| {
        if *event == Event::Committing {
            server.commit(NAME, &[("other.py", b"x")]);
        }
    };
    let result = hub.push(&name(), &selection, &PushOptions::default(), &meddle).await;
    assert_cause!(result, Cause::Moved);
    assert_eq!(server.commits(NAME).len(), 2);
    assert_eq!(files(&server, "main").into_keys().collect::<Vec<_>>(), ["other.py"]);
    // Again, and nothing large is sent a second time.
    let puts = server.asked_for(Call::Put).len();
    let pushed = push(&hub, &folder).await.unwrap();
    assert_eq!(server.asked_for(Call::Put).len(), puts);
    assert_eq!(sent(&pushed)[0], ("best.onnx", How::WasStored));
    assert_eq!(files(&server, "main").len(), 6);
}

#[tokio::test]
async fn a_file_that_changes_meanwhile_is_refused_at_every_step() {
    let change_at = |when: fn(&Event) -> bool, change: fn(&Path)| async move {
        let (server, hub) = with_repository().await;
        let folder = model_folder();
        let selection = Selection::of(folder.path()).unwrap();
        let done = Mutex::new(false);
        let meddle = |event: &Event| {
            let mut done = done.lock().unwrap();
            if when(event) && !*done {
                *done = true;
                change(folder.path());
            }
        };
        let result = hub.push(&name(), &selection, &PushOptions::default(), &meddle).await;
        assert_eq!(server.commits(NAME).len(), 1, "nothing was committed");
        cause(result.unwrap_err())
    };
    let compared: fn(&Event) -> bool = |event| matches!(event, Event::Compared { .. });
    let committing: fn(&Event) -> bool = |event| matches!(event, Event::Committing);
    let same_size: fn(&Path) = |folder| fs::write(folder.join("best.onnx"), weights(300_000, 9)).unwrap();
    let shorter: fn(&Path) = |folder| fs::write(folder.join("best.onnx"), b"x").unwrap();
    let small: fn(&Path) = |folder| fs::write(folder.join("miner.py"), b"class Other: ...\n").unwrap();
    let gone: fn(&Path) = |folder| fs::remove_file(folder.join("weights/second.pt")).unwrap();
    let touched: fn(&Path) = |folder| {
        let file = fs::File::options().append(true).open(folder.join("best.onnx")).unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    };
    for when in [compared, committing] {
        for change in [same_size, shorter, small, gone, touched] {
            let cause = change_at(when, change).await;
            assert!(matches!(cause, Cause::Changed { .. }), "{cause:?}");
        }
    }
}

#[tokio::test]
async fn an_upload_that_breaks_off_goes_on_where_it_was() {
    // In one piece.
    let (server, hub) = with_repository().await;
    let folder = folder(&[("best.onnx", &weights(4 << 20, 1))]);
    for fault in [
        Fault::ClosedAfter(1 << 20),
        Fault::ClosedAfter(0),
        Fault::Answer(503, String::new()),
        Fault::RateLimited(0),
        Fault::AnswerLost,
        Fault::Silent,
    ] {
        let (server, _) = with_repository().await;
        let hub = client_meeting(&server, &fault);
        server.plant(Call::Put, fault, 1);
        let pushed = push(&hub, &folder).await.unwrap();
        assert_eq!(sent(&pushed), [("best.onnx", How::Stored)]);
        assert_eq!(server.asked_for(Call::Put).len(), 2);
    }
    // In parts: only the missing one is sent again.
    server.transfer(Transfer::Multipart(1 << 20));
    server.plant(Call::Put, Fault::ClosedAfter(1000), 2);
    push(&hub, &folder).await.unwrap();
    let puts = server.asked_for(Call::Put);
    assert_eq!(puts.len(), 4 + 2);
    assert_eq!(puts.iter().filter(|put| put.bytes == 1 << 20).count(), 4);
    assert_eq!(files(&server, "main")["best.onnx"], weights(4 << 20, 1));
}

#[tokio::test]
async fn progress_counts_what_arrived_and_never_more() {
    let (server, hub) = with_repository().await;
    server.plant(Call::Put, Fault::ClosedAfter(1 << 20), 2);
    let folder = folder(&[("best.onnx", &weights(4 << 20, 1)), ("miner.py", b"x")]);
    let selection = Selection::of(folder.path()).unwrap();
    let events = Mutex::new(Vec::new());
    let note = |event: &Event| events.lock().unwrap().push(*event);
    hub.push(&name(), &selection, &PushOptions::default(), &note).await.unwrap();
    let events = events.into_inner().unwrap();
    assert_eq!(events[0], Event::Compared { files: 2, bytes: (4 << 20) + 1, unchanged: 0, deleted: 0 });
    assert_eq!(events.last(), Some(&Event::Committing));
    let last = events[events.len() - 2];
    assert_eq!(last, Event::Storing { files: 1, of_files: 1, bytes: 4 << 20, of_bytes: 4 << 20 });
}

#[tokio::test]
async fn addresses_that_have_run_out_are_asked_for_again() {
    for transfer in [Transfer::Basic, Transfer::Multipart(100_000)] {
        let (server, hub) = with_repository().await;
        server.transfer(transfer);
        let gone = Fault::Answer(403, "<Error><Code>AccessDenied</Code></Error>".to_owned());
        server.plant(Call::Put, gone, 1);
        let pushed = push(&hub, &model_folder()).await.unwrap();
        assert!(pushed.committed);
        assert_eq!(server.asked_for(Call::Batch).len(), 2);
        assert_eq!(files(&server, "main"), expected(model()));
    }
    let (server, hub) = with_repository().await;
    server.plant(Call::Put, Fault::Answer(403, String::new()), 99);
    let folder = folder(&[("best.onnx", b"x")]);
    assert_cause!(
        push(&hub, &folder).await,
        Cause::Storage { path, cause } if path == "best.onnx" && matches!(**cause, Cause::Refused { status: 403, .. })
    );
    assert_eq!(server.commits(NAME).len(), 1);
}

#[tokio::test]
async fn lost_answers_to_a_completion_and_a_verification_do_no_harm() {
    let (server, hub) = with_repository().await;
    server.transfer(Transfer::Multipart(100_000));
    server.plant(Call::Complete, Fault::AnswerLost, 1);
    server.plant(Call::Verify, Fault::AnswerLost, 1);
    push(&hub, &model_folder()).await.unwrap();
    assert_eq!(files(&server, "main"), expected(model()));
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_found_and_not_made_twice() {
    for fault in [
        Fault::AnswerLost,
        Fault::DoneBut(504),
        Fault::Closed,
        Fault::Answer(500, String::new()),
        Fault::Silent,
        Fault::Page,
        Fault::DoneBut(200),
    ] {
        let (server, _) = with_repository().await;
        let hub = client_meeting(&server, &fault);
        server.plant(Call::Commit, fault, 1);
        let pushed = push(&hub, &model_folder()).await.unwrap();
        let commits = server.commits(NAME);
        assert_eq!(commits.len(), 2);
        assert_eq!(commits[1].id, pushed.revision.as_str());
        assert_eq!(files(&server, "main"), expected(model()));
    }
    // Lost, and somebody else's is the newest by then.
    let (server, hub) = with_repository().await;
    server.plant(Call::Commit, Fault::Closed, 1);
    let folder = model_folder();
    let selection = Selection::of(folder.path()).unwrap();
    let meddle = |event: &Event| {
        if *event == Event::Committing {
            server.commit(NAME, &[("other.py", b"x")]);
        }
    };
    assert_cause!(hub.push(&name(), &selection, &PushOptions::default(), &meddle).await, Cause::Moved);
    // Lost, and nobody says what is there.
    let (server, hub) = with_repository().await;
    let selection = Selection::of(folder.path()).unwrap();
    let meddle = |event: &Event| {
        if *event == Event::Committing {
            server.plant(Call::Commit, Fault::AnswerLost, 1);
            server.plant(Call::Info, Fault::Closed, 99);
        }
    };
    assert_cause!(hub.push(&name(), &selection, &PushOptions::default(), &meddle).await, Cause::Unknown(_));
}

#[tokio::test]
async fn refusals_on_the_way_to_a_commit_say_what_they_are_about() {
    let folder = model_folder();
    let meet = async |call: Call, fault: Fault| {
        let (server, _) = with_repository().await;
        let hub = client_meeting(&server, &fault);
        server.plant(call, fault, 99);
        let error = push(&hub, &folder).await.unwrap_err();
        assert_eq!(server.commits(NAME).len(), 1);
        cause(error)
    };
    let status = |status: u16| Fault::Answer(status, String::new());
    let cause = meet(Call::Commit, status(403)).await;
    assert!(matches!(cause, Cause::NoWriteAccess { .. }), "{cause:?}");
    let cause = meet(Call::Commit, status(413)).await;
    assert!(matches!(cause, Cause::Refused { status: 413, .. }), "{cause:?}");
    let cause = meet(Call::Commit, Fault::RateLimited(3600)).await;
    assert!(matches!(cause, Cause::RateLimited { wait: Some(_) }), "{cause:?}");
    let cause = meet(Call::Preupload, Fault::Page).await;
    assert!(matches!(cause, Cause::Unreadable { .. }), "{cause:?}");
    let cause = meet(Call::Preupload, Fault::Answer(200, r#"{"files": []}"#.to_owned())).await;
    assert!(matches!(cause, Cause::Unreadable { .. }), "{cause:?}");
    let cause =
        meet(Call::Batch, Fault::Answer(200, r#"{"transfer": "xet", "objects": []}"#.to_owned())).await;
    assert!(matches!(cause, Cause::Unreadable { .. }), "{cause:?}");
    let cause = meet(Call::Batch, Fault::Answer(200, r#"{"objects": []}"#.to_owned())).await;
    assert!(matches!(cause, Cause::Unreadable { .. }), "{cause:?}");
    let cause = meet(Call::Verify, status(422)).await;
    assert!(matches!(cause, Cause::Storage { .. }), "{cause:?}");
    let cause = meet(Call::Put, Fault::ClosedAfter(10)).await;
    assert!(matches!(cause, Cause::Storage { .. }), "{cause:?}");
    let cause = meet(Call::Put, Fault::Silent).await;
    assert!(matches!(cause, Cause::Storage { .. }), "{cause:?}");
}

#[tokio::test]
async fn a_push_ends_when_its_time_is_over() {
    let (server, hub) = with_repository().await;
    server.plant(Call::Put, Fault::Silent, 99);
    let options = PushOptions { deadline: Duration::from_millis(300), ..PushOptions::default() };
    let begin = std::time::Instant::now();
    assert_cause!(push_with(&hub, &model_folder(), options).await, Cause::OutOfTime(_));
    assert!(begin.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_store_within_this_network_is_not_sent_to() {
    let (server, hub) = with_repository().await;
    let folder = folder(&[("best.onnx", b"x")]);
    let oid = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
    let batch = serde_json::json!({"transfer": "basic", "objects": [{
        "oid": oid, "size": 1, "actions": {"upload": {"href": "http://10.0.0.1/x"}},
    }]});
    server.plant(Call::Batch, Fault::Answer(200, batch.to_string()), 1);
    assert_cause!(
        push(&hub, &folder).await,
        Cause::Storage { cause, .. } if matches!(**cause, Cause::NoAnswer(FetchError::Refused { .. }))
    );
}

#[tokio::test]
async fn of_two_pushes_at_once_each_revision_is_one_of_the_folders() {
    let (server, hub) = with_repository().await;
    let options = PushOptions { delete_stale: true, ..PushOptions::default() };
    let folders = [
        folder(&[("a.onnx", &weights(90_000, 1)), ("x.py", b"1")]),
        folder(&[("b.onnx", &weights(90_000, 2)), ("x.py", b"2")]),
    ];
    let [one, two] = &folders;
    let (one, two) = tokio::join!(push_with(&hub, one, options), push_with(&hub, two, options));
    let mut made = 0;
    for (pushed, expected) in [(one, ["a.onnx", "x.py"]), (two, ["b.onnx", "x.py"])] {
        match pushed {
            Ok(pushed) => {
                made += 1;
                let there = files(&server, pushed.revision.as_str());
                assert_eq!(there.into_keys().collect::<Vec<_>>(), expected);
            }
            Err(error) => assert!(matches!(cause(error), Cause::Moved)),
        }
    }
    assert!(made > 0);
    assert_eq!(server.commits(NAME).len(), 1 + made);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Some files, each of a path, a size and a seed of its content; and again, and again.
    #[test]
    fn after_each_push_the_revision_has_what_the_folder_had(
        states in vec(btree_map("[ab](/[cd]){0,2}\\.(onnx|py)", (0_usize..3000, any::<u8>()), 1..6), 1..4),
        part in 500_u64..4000,
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let (server, hub) = with_repository().await;
            server.transfer(Transfer::Multipart(part));
            server.page(3);
            let options = PushOptions { delete_stale: true, ..PushOptions::default() };
            let mut before = None;
            for state in states {
                let folder = tempfile::tempdir().unwrap();
                for (path, (size, seed)) in &state {
                    write(folder.path(), &[(path, &weights(*size, *seed))]);
                }
                let pushed = push_with(&hub, &folder, options).await.unwrap();
                let expected: BTreeMap<_, _> =
                    state.iter().map(|(path, (size, seed))| (path.clone(), weights(*size, *seed))).collect();
                prop_assert_eq!(files(&server, pushed.revision.as_str()), expected.clone());
                prop_assert_eq!(pushed.committed, before.as_ref() != Some(&expected));
                prop_assert_eq!(pushed.sent.len() + pushed.unchanged.len(), state.len());
                let again = push_with(&hub, &folder, options).await.unwrap();
                prop_assert!(!again.committed && again.revision == pushed.revision);
                before = Some(expected);
            }
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn without_a_token_or_a_repository_nothing_is_pushed() {
    let (server, hub) = start().await;
    let folder = folder(&[("best.onnx", b"x")]);
    assert_cause!(push(&client(&server, None), &folder).await, Cause::NoToken);
    assert_cause!(push(&hub, &folder).await, Cause::Missing { .. });
}
