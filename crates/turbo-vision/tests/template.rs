//! Chute scripts against those of the programs that validators run, and the template that is fetched.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]
#![expect(clippy::print_stderr, reason = "a skipped part says why")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use adit_outbound::{AddressGuard, Client, Limits};
use adit_stand_in::video_host::{Reply, VideoHost};
use adit_turbo_vision::lint::python::same_program;
use adit_turbo_vision::names::{ChuteName, Petnames, nickname, repository};
use adit_turbo_vision::template::integrity::{self, Verdict};
use adit_turbo_vision::template::{FileNames, Folder, PUBLISHED_SHA256, Published, TemplateError, Values};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

#[derive(Deserialize)]
struct Rendered {
    revision: String,
    hf_username: String,
    chutes_username: String,
    chute_name: String,
    sha256: String,
    bytes: usize,
}

#[derive(Deserialize)]
struct Era {
    template_files_sha256: BTreeMap<String, String>,
    render: Vec<Rendered>,
    #[serde(default)]
    integrity: Vec<Mutation>,
}

#[derive(Deserialize)]
struct Mutation {
    mutation: String,
    valid: serde_json::Value,
}

#[derive(Deserialize)]
struct Vectors {
    doc: Era,
    head: Era,
}

fn vectors() -> Vectors {
    let folder = std::env::var_os("ADIT_VECTORS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors"), PathBuf::from);
    let path = folder.join("turbo_render.json");
    let text = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap()
}

/// The upstream files, which are not ours to keep here: `doc/` and `head/` in the folder that ADIT_UPSTREAM_TEMPLATES
/// names. This is the one thing that is missing under `ADIT_CI=1` too.
fn upstream(era: &str, files: &BTreeMap<String, String>) -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("ADIT_UPSTREAM_TEMPLATES").map(|folder| Path::new(&folder).join(era))
    else {
        eprintln!("skipped: ADIT_UPSTREAM_TEMPLATES names no folder with upstream's templates ({era})");
        return None;
    };
    for (name, sha256) in files.iter().filter(|(name, _)| name.ends_with(".j2") || era == "doc") {
        match fs::read(folder.join(name)) {
            Ok(bytes) => assert_eq!(&hex::encode(Sha256::digest(bytes)), sha256, "{name}"),
            // Upstream's test file is no part of a script.
            Err(error) => assert_eq!(name, "test.py", "{error}"),
        }
    }
    Some(folder)
}

fn each(cases: &[Rendered], mut check: impl FnMut(&Rendered, &Values<'_>)) {
    assert!(!cases.is_empty(), "no cases");
    for case in cases {
        let repository = repository(&case.hf_username);
        let name = ChuteName::new(&case.hf_username, nickname(&case.revision, Petnames::V2_6).unwrap());
        assert_eq!(name.to_string(), case.chute_name);
        let values = Values {
            repository: &repository,
            revision: &case.revision,
            chutes_user: &case.chutes_username,
            chute_name: &case.chute_name,
        };
        check(case, &values);
    }
}

fn compare(script: &str, case: &Rendered) {
    assert_eq!(script.len(), case.bytes, "{}", case.chute_name);
    assert_eq!(hex::encode(Sha256::digest(script)), case.sha256, "{}", case.chute_name);
}

/// With our own files: all values are in, and only they differ from case to case.
#[test]
fn vectors_turbo_render_of_this_repositorys_template() {
    let folder = Folder::find(None, FileNames::default()).unwrap();
    let mut rest = None;
    each(&vectors().doc.render, |case, values| {
        let script = folder.render(values, "predict").unwrap();
        let mut without = script;
        // The longest first: the others may be part of it.
        for value in [case.revision.as_str(), case.chute_name.as_str(), values.repository] {
            assert!(without.contains(value), "{value}");
            without = without.replace(value, "");
        }
        without = without.replace(&format!("username=\"{}\"", case.chutes_username), "username=\"\"");
        assert_eq!(rest.get_or_insert_with(|| without.clone()), &without);
    });
}

#[test]
fn this_repositorys_template_makes_a_python_program() {
    let folder = Folder::find(None, FileNames::default()).unwrap();
    let values = Values {
        repository: "a/ScoreVision",
        revision: "1",
        chutes_user: "a",
        chute_name: "turbovision-a-deer",
    };
    let script = folder.render(&values, "predict").unwrap();
    let compile = "import sys; compile(sys.argv[1], 'my_chute.py', 'exec')";
    let ran = std::process::Command::new("python3").args(["-c", compile, &script]).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}

#[test]
fn vectors_turbo_render_of_the_document_era() {
    let era = vectors().doc;
    let Some(folder) = upstream("doc", &era.template_files_sha256) else { return };
    let folder = Folder::find(Some(&folder), FileNames::default()).unwrap();
    each(&era.render, |case, values| compare(&folder.render(values, "predict").unwrap(), case));
}

async fn published(folder: &Path) -> Published {
    let file = folder.join("turbovision_chute.py.j2");
    let client = Client::new(AddressGuard::public_only()).unwrap();
    Published::obtain(file.to_str().unwrap(), None, Path::new("/nowhere"), &client, &limits()).await.unwrap()
}

#[tokio::test]
async fn vectors_turbo_render_of_the_head_era() {
    let era = vectors().head;
    assert_eq!(era.template_files_sha256["turbovision_chute.py.j2"], PUBLISHED_SHA256);
    let Some(folder) = upstream("head", &era.template_files_sha256) else { return };
    let template = published(&folder).await;
    each(&era.render, |case, values| {
        let script = template.render(values).unwrap();
        compare(&script, case);
        let unasked = |_: &str, _: &str| -> Option<bool> { panic!("the masked texts are equal") };
        assert_eq!(integrity::check(template.text(), &script, unasked), Verdict::Same);
        assert_eq!(integrity::model(&script), (Some(values.repository), Some(values.revision)));
    });
}

/// What the text alone decides is decided rightly; the rest is left to a look at the program.
#[tokio::test]
async fn vectors_turbo_render_of_changed_scripts() {
    let era = vectors().head;
    assert!(!era.integrity.is_empty(), "no cases");
    let Some(folder) = upstream("head", &era.template_files_sha256) else { return };
    let template = published(&folder).await;
    let repository = repository("alice");
    let values = Values {
        repository: &repository,
        revision: "f429c6a2",
        chutes_user: "alice",
        chute_name: "turbovision-x",
    };
    let script = template.render(&values).unwrap();
    let text_decides = ["identical", "trailing newline", "single quotes in masked var", "crlf"];
    for Mutation { mutation, valid } in era.integrity {
        let change = |from: &str, to: &str| {
            assert!(script.contains(from), "{mutation}: {from}");
            script.replacen(from, to, 1)
        };
        let changed = match mutation.as_str() {
            "identical" => script.clone(),
            "trailing newline" => format!("{script}\n"),
            "comment added" => format!("{script}\n# a comment\n"),
            "blank lines" => script.replace("\n\n", "\n\n\n"),
            "single quotes in masked var" => {
                change("CHUTE_NAME = \"turbovision-x\"", "CHUTE_NAME = 'turbovision-x'")
            }
            "string quote style elsewhere" => change("FILENAME = \"miner.py\"", "FILENAME = 'miner.py'"),
            "limit changed" => change("MAX_LOADED_MODEL_SIZE_GB = 5.0", "MAX_LOADED_MODEL_SIZE_GB = 50.0"),
            "egress true" => change("\"allow_external_egress\":False", "\"allow_external_egress\":True"),
            "batch size 65" => change("\"batch_size\", 64", "\"batch_size\", 65"),
            "import added" => change("import sys\n", "import sys\nimport os\n"),
            "crlf" => script.replace('\n', "\r\n"),
            "message text changed" => change("Missing both", "Missing"),
            "parentheses" => change("return total_size\n", "return (total_size)\n"),
            "number spelling" => change("MAX_LOADED_MODEL_SIZE_GB = 5.0", "MAX_LOADED_MODEL_SIZE_GB = 5.00"),
            "hf repo with quote inside" => change("alice/ScoreVision", "alice/Score\\\"Vision"),
            unknown => panic!("a mutation that this test does not know: {unknown}"),
        };
        let by_text = integrity::check(template.text(), &changed, |_, _| None);
        let expected =
            if text_decides.contains(&mutation.as_str()) { Verdict::Same } else { Verdict::Undecided };
        assert_eq!(by_text, expected, "{mutation}");
        let verdict = integrity::check(template.text(), &changed, |one, other| same_program(one, other).ok());
        assert_eq!(verdict == Verdict::Same, valid == true, "{mutation}: {verdict:?}");
    }
}

fn limits() -> Limits {
    Limits::new(Instant::now() + Duration::from_secs(60), 1 << 20)
}

#[tokio::test]
async fn a_published_template_is_fetched_once_and_looked_at_each_time() {
    let host = VideoHost::start().await.unwrap();
    let text = "HF_REPO_NAME = \"{{ huggingface_repository_name }}\"\n";
    let hash = hex::encode(Sha256::digest(text));
    let url = host.serve("/chute.py.j2", Reply::bytes(text).content_type(Some("text/plain")));
    let cache = tempfile::tempdir().unwrap();
    let cache = cache.path().join("not/there/yet");
    let client = Client::new(AddressGuard::unrestricted()).unwrap();
    let obtain = async |expected: Option<&str>| {
        let template = Published::obtain(&url, expected, &cache, &client, &limits()).await?;
        Ok::<_, TemplateError>(template.text().to_owned())
    };

    let refused = obtain(None).await.unwrap_err();
    assert!(
        matches!(&refused, TemplateError::Unexpected { found, expected, .. } if *found == hash && expected == PUBLISHED_SHA256),
        "{refused}"
    );
    assert!(matches!(obtain(Some("abc")).await, Err(TemplateError::NotAHash(_))));
    assert!(!cache.exists(), "what is refused is not kept");

    assert_eq!(obtain(Some(&hash)).await.unwrap(), text);
    let other = host.serve("/chute.py.j2", Reply::bytes("gone").status(404));
    assert_eq!(obtain(Some(&hash.to_uppercase())).await.unwrap(), text, "kept, so {other} is not asked");

    let kept = fs::read_dir(&cache).unwrap().next().unwrap().unwrap().path();
    fs::write(&kept, "HF_REPO_NAME = \"mine\"\n").unwrap();
    assert!(matches!(obtain(Some(&hash)).await, Err(TemplateError::Fetch(_))), "a changed copy is not used");
    host.serve("/chute.py.j2", Reply::bytes(text));
    assert_eq!(obtain(Some(&hash)).await.unwrap(), text);
    assert_eq!(fs::read_to_string(&kept).unwrap(), text);
}

#[tokio::test]
async fn a_published_template_from_a_file_must_be_the_expected_one_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.py.j2");
    fs::write(&file, "CHUTE_NAME = \"{{ chute_name }}\"").unwrap();
    let client = Client::new(AddressGuard::public_only()).unwrap();
    let source = file.to_str().unwrap();
    let refused = Published::obtain(source, None, folder.path(), &client, &limits()).await.unwrap_err();
    assert!(matches!(refused, TemplateError::Unexpected { .. }), "{refused}");
    let missing =
        Published::obtain("/nowhere/x.j2", None, folder.path(), &client, &limits()).await.unwrap_err();
    assert!(missing.to_string().contains("/nowhere/x.j2"), "{missing}");
}
