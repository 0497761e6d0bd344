//! Model folders as an operator has them, and what is said about each.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::fs;
use std::path::Path;

use adit_manifest::{Element, Manifest};
use adit_turbo_vision::lint::{self, By, Code, Finding, Severity};
use serde_json::{Value, json};
use tempfile::TempDir;

const MINER: &str = "from pathlib import Path\nimport onnxruntime\n\n\nclass Miner:\n    def __init__(self, path_hf_repo: \
                     Path) -> None:\n        self.session = onnxruntime.InferenceSession(path_hf_repo / 'a.onnx')\n\n    \
                     def predict_batch(self, batch_images, offset, n_keypoints):\n        return []\n";

/// A folder that nobody has anything against, with these files more or in place of its own.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let usual = [
        ("miner.py", MINER),
        ("model.onnx", "onnx"),
        ("chute_config.yml", "Image:\n  from_base: parachutes/python:3.12\n"),
        (".gitattributes", "*.onnx filter=lfs\n"),
        ("README.md", "# a model\n"),
    ];
    for (name, text) in usual.iter().chain(files) {
        write(folder.path(), name, text);
    }
    folder
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn check(folder: &Path, element: Option<&Element>) -> Vec<Finding> {
    lint::check(folder, &lint::files(folder).unwrap(), element).unwrap()
}

fn element(more: Value) -> Element {
    let mut element = json!({"id": "x/Detect-car"});
    element.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let manifest = json!({
        "window_id": "w", "version": 1.0, "expiry_block": 1, "tee": {"trusted_share_gamma": 0.2},
        "elements": [element],
    });
    Manifest::parse(manifest.to_string().as_bytes()).unwrap().elements.remove(0)
}

/// What is found as (code, file, line), the usual folder having these files more.
fn found(files: &[(&str, &str)]) -> Vec<(Code, String, Option<usize>)> {
    let short = |finding: Finding| {
        let file = finding.file.map(|file| file.display().to_string()).unwrap_or_default();
        (finding.code, file, finding.line)
    };
    check(folder(files).path(), None).into_iter().map(short).collect()
}

#[test]
fn a_good_folder_has_no_findings() {
    let folder = folder(&[(".git/objects/ab", "x"), ("labels.labels", "car\n"), ("LICENSE", "MIT")]);
    let limits = element(json!({"max_model_size_mb": 1, "onnx_model": true}));
    assert_eq!(check(folder.path(), Some(&limits)), []);
}

#[test]
fn what_a_validators_scan_refuses_is_found_with_its_line() {
    let refused = format!(
        "import os, subprocess as s\nfrom urllib.request import urlopen\n{MINER}\nos.system('a')\nif a:\n    x = \
         [open('b') for b in c]\nf'{{eval(\"1\")}}'\nos.path.exists('a')\nself.open()\n"
    );
    let lines = MINER.lines().count() + 3;
    assert_eq!(
        found(&[("miner.py", &refused)]),
        [
            (Code::ForbiddenImport, "miner.py".to_owned(), Some(1)),
            (Code::ForbiddenImport, "miner.py".to_owned(), Some(2)),
            (Code::ForbiddenCall, "miner.py".to_owned(), Some(lines + 1)),
            (Code::ForbiddenCall, "miner.py".to_owned(), Some(lines + 3)),
            (Code::ForbiddenCall, "miner.py".to_owned(), Some(lines + 4)),
        ]
    );
    let folder = folder(&[("miner.py", &refused)]);
    let findings = check(folder.path(), None);
    assert!(
        findings.iter().all(|finding| finding.by == By::Compliance && finding.severity == Severity::Error)
    );
    assert_eq!(
        findings[0].to_string(),
        "miner.py:1: error[forbidden-import]: validators refuse a miner.py that imports subprocess; do without: a \
         miner has no network and starts no other programs"
    );
}

#[test]
fn files_that_are_refused_are_found() {
    assert_eq!(
        found(&[("a/weights.pt", ""), ("lib.SO", ""), ("x.tar.gz", ""), ("__pycache__/miner.pyc", "")]),
        [
            (Code::ForbiddenFile, "a/weights.pt".to_owned(), None),
            (Code::ForbiddenFile, "lib.SO".to_owned(), None),
            (Code::UnknownSuffix, "x.tar.gz".to_owned(), None),
            (Code::CacheFile, "__pycache__/miner.pyc".to_owned(), None),
        ]
    );
    assert_eq!(found(&[("copy.onnx", "onnx")]), [(Code::DuplicateModel, "model.onnx".to_owned(), None)]);
    assert_eq!(found(&[("other.onnx", "xnno")]), []);
}

#[test]
fn sizes_and_kinds_are_held_to_the_elements_limits() {
    let folder = folder(&[("table.json", &"x".repeat(3 << 20)), ("model.pb", "")]);
    let codes = |element: Option<&Element>| {
        check(folder.path(), element)
            .into_iter()
            .map(|finding| (finding.code, finding.by))
            .collect::<Vec<_>>()
    };
    assert_eq!(codes(None), [(Code::UnknownSuffix, By::Compliance)]);
    let limits = element(json!({"max_model_size_mb": 2.5, "onnx_model": true}));
    assert_eq!(
        codes(Some(&limits)),
        [
            (Code::ElementTooLarge, By::Registry),
            (Code::UnknownSuffix, By::Compliance),
            (Code::OtherModel, By::Registry),
        ]
    );
    write(folder.path(), "model.onnx", &"x".repeat(30 << 20));
    assert!(codes(None).contains(&(Code::RepositoryTooLarge, By::Compliance)));
    fs::remove_file(folder.path().join("model.onnx")).unwrap();
    assert!(codes(None).contains(&(Code::NoOnnxModel, By::Compliance)));
    assert!(codes(Some(&limits)).contains(&(Code::NoOnnxModel, By::Registry)));
}

#[test]
fn links_are_followed_and_may_not_lead_out() {
    let folder = folder(&[]);
    let outside = tempfile::NamedTempFile::new().unwrap();
    let link = |to: &Path, name: &str| std::os::unix::fs::symlink(to, folder.path().join(name)).unwrap();
    link(outside.path(), "out.json");
    link(Path::new("README.md"), "in.md");
    link(Path::new("nothing"), "broken.md");
    let codes: Vec<Code> = check(folder.path(), None).into_iter().map(|finding| finding.code).collect();
    assert_eq!(codes, [Code::BrokenSymlink, Code::SymlinkEscapes]);
}

#[test]
fn a_miner_has_to_be_what_the_chute_and_the_checker_call() {
    let code_of = |miner: &str| {
        found(&[("miner.py", miner)]).into_iter().map(|(code, _, line)| (code, line)).collect::<Vec<_>>()
    };
    let class = |constructor: &str, predict: &str| {
        format!("class Miner:\n    def __init__({constructor}): pass\n    {predict}: pass\n")
    };
    let predict = "def predict_batch(self, batch_images, offset, n_keypoints, **more)";
    for constructor in ["self, path_hf_repo", "self, path=None", "self, *all", "self, path_hf_repo, more=1"] {
        assert_eq!(code_of(&class(constructor, predict)), [], "{constructor}");
    }
    for constructor in ["self", "self, path", "self, path_hf_repo, more", "self, *, path_hf_repo"] {
        let expected = [(Code::ConstructorParameters, Some(2))];
        assert_eq!(code_of(&class(constructor, predict)), expected, "{constructor}");
    }
    let good = "self, path_hf_repo";
    for (predict, code) in [
        ("def predict_batch(self, images, offset, n_keypoints=32)", Code::PredictBatchParameters),
        ("def predict_batch(self, batch_images, offset, n_keypoints, *, more)", Code::PredictBatchParameters),
        ("async def predict_batch(self, batch_images, offset, n_keypoints)", Code::PredictBatchAsync),
    ] {
        assert!(code_of(&class(good, predict)).contains(&(code, Some(3))), "{predict}");
    }
    assert_eq!(code_of(&class(good, "def predict(self)")), [(Code::NoPredictBatch, Some(1))]);
    assert_eq!(code_of("class miner: pass\n"), [(Code::NoMinerClass, None)]);
    assert_eq!(code_of("class Miner(Base): pass\n"), [(Code::NoPredictBatch, Some(1))]);
    assert_eq!(code_of("x = 1\ny = (\n")[0].0, Code::MinerUnreadable);
    assert_eq!(code_of(&"#".repeat((1 << 20) + 1)), [(Code::MinerTooLarge, None)]);
}

#[test]
fn a_miner_is_one_file() {
    let miner = format!("import helper\nfrom pack.inner import x\nfrom . import y\nimport json\n{MINER}");
    let files = [("miner.py", miner.as_str()), ("helper.py", ""), ("pack/inner.py", ""), ("json.md", "")];
    let lines: Vec<Option<usize>> = found(&files)
        .into_iter()
        .map(|(code, _, line)| {
            assert_eq!(code, Code::LocalImport);
            line
        })
        .collect();
    assert_eq!(lines, [Some(1), Some(2), Some(3)]);
}

#[test]
fn the_configuration_is_looked_for_and_at() {
    assert_eq!(found(&[("chute_config.yml", "Image: [\n")])[0].0, Code::ConfigUnreadable);
    assert_eq!(
        found(&[("chute_config.yml", "Images:\n  a: b\n")]),
        [(Code::ConfigSection, "chute_config.yml".to_owned(), Some(1))]
    );
    let folder = folder(&[("config.yml", "Image: {}\n")]);
    fs::remove_file(folder.path().join("chute_config.yml")).unwrap();
    assert_eq!(check(folder.path(), None)[0].code, Code::MisnamedConfig);
    fs::remove_file(folder.path().join("config.yml")).unwrap();
    assert_eq!(check(folder.path(), None)[0].code, Code::NoConfig);
}

#[test]
fn vectors_python_programs() {
    #[derive(serde::Deserialize)]
    struct Edit {
        from: String,
        to: String,
        same: Option<bool>,
    }
    #[derive(serde::Deserialize)]
    struct File {
        program: String,
        edits: Vec<Edit>,
    }
    // Not of the shared folder: these are this crate's own.
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/python_programs.json");
    let file: File = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    assert!(!file.edits.is_empty(), "there are no cases");
    for Edit { from, to, same } in file.edits {
        let edited = file.program.replacen(&from, &to, 1);
        let found = lint::python::same_program(&file.program, &edited).ok();
        assert_eq!(found, same, "{from} → {to}");
    }
}

#[test]
fn a_folder_that_is_none_is_an_error() {
    let error = lint::files(Path::new("/nowhere/at/all")).unwrap_err().to_string();
    assert!(error.starts_with("/nowhere/at/all cannot be read: "), "{error}");
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(check(empty.path(), None)[0].code, Code::NoFiles);
    write(empty.path(), "inner/miner.py", MINER);
    let findings = check(empty.path(), None);
    assert!(findings.iter().any(|finding| finding.advice.starts_with("move inner/miner.py")));
}
