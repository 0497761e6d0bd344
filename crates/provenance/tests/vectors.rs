//! The verdicts of the validator's own code on files that other programs made.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use adit_provenance::{Era, Format, TrustAnchors, Verdict, Verifier};
use adit_stand_in::shared_folder;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

#[derive(Deserialize)]
struct Vectors {
    test_root: String,
    files: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    file: String,
    sha256: String,
    detected_format: String,
    validation_status_codes: Eras<Vec<String>>,
    signature_info: Option<BTreeMap<String, Value>>,
    with_test_root: Eras<Value>,
    with_upstream_anchors_only: Eras<Value>,
    passes_gascli: Eras<bool>,
}

#[derive(Deserialize)]
struct Eras<T> {
    seed: T,
    head: T,
}

impl<T> Eras<T> {
    fn of(&self, era: Era) -> &T {
        match era {
            Era::Document => &self.seed,
            Era::Head => &self.head,
        }
    }
}

fn vectors() -> (Vectors, Option<PathBuf>) {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors");
    let given = std::env::var_os("ADIT_VECTORS").map(PathBuf::from);
    let folder = given.clone().unwrap_or_else(|| PathBuf::from(own));
    let path = folder.join("c2pa_verdicts.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let vectors: Vectors = serde_json::from_str(&text).unwrap();
    assert!(!vectors.files.is_empty(), "no cases in {}", path.display());
    (vectors, given)
}

/// Beside the vectors that are given, else where the samples always are.
fn sample(name: &str, given: Option<&Path>, samples: &Path) -> PathBuf {
    let beside = given.and_then(Path::parent).map(|parent| parent.join("c2pa_samples").join(name));
    beside.filter(|path| path.is_file()).unwrap_or_else(|| samples.join(name))
}

/// The verdict without texts that change with the library's version.
fn comparable(reported: &Value) -> Value {
    let mut reported = reported.clone();
    let codes = |text: &str| text.split(": ").next().unwrap().to_owned();
    for error in reported["validation_errors"].as_array_mut().unwrap() {
        *error = codes(error.as_str().unwrap()).into();
    }
    if let Some(error) = reported["error"].as_str() {
        let first = error.split_once(':').map_or(error, |(first, _)| first);
        // What no library says is compared to the letter.
        if matches!(first, "Signature validation failed" | "No C2PA manifest found") {
            reported["error"] = first.into();
        }
    }
    reported
}

#[test]
fn vectors_c2pa_verdicts_of_both_eras() {
    let (vectors, given) = vectors();
    let (Some(samples), Some(folder)) = (shared_folder("c2pa_samples"), shared_folder("trust_anchors"))
    else {
        return;
    };
    let upstream = TrustAnchors::load(&folder, &[]).unwrap();
    let root = sample(&vectors.test_root, given.as_deref(), &samples);
    let with_root = upstream.clone().trusting("root", &std::fs::read_to_string(root).unwrap()).unwrap();
    for era in Era::ALL {
        let with_root = Verifier::new(&with_root, era).unwrap();
        let without = Verifier::new(&upstream, era).unwrap();
        for case in &vectors.files {
            let (name, path) = (&case.file, sample(&case.file, given.as_deref(), &samples));
            let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            assert_eq!(hex::encode(Sha256::digest(&bytes)), case.sha256, "{name} is another file");

            let verdict = with_root.verify_file(&path).unwrap();
            let (found, expected) = (verdict.reported(), case.with_test_root.of(era));
            assert_eq!(comparable(&found), comparable(expected), "{name}, {era}");
            let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
            assert_eq!(keys(&found), keys(expected), "{name}, {era}");
            let from_memory = with_root.verify(std::io::Cursor::new(bytes)).unwrap();
            assert_eq!(from_memory.reported(), found, "{name}, {era}");
            assert_eq!(verdict.accepted(), *case.passes_gascli.of(era), "{name}, {era}");
            assert_eq!(format!(".{}", verdict.format.extension()), case.detected_format, "{name}");
            assert_facts(&verdict, case, era);

            let expected = case.with_upstream_anchors_only.of(era);
            let found = without.verify_file(&path).unwrap().reported();
            assert_eq!(found["verified"], expected["verified"], "{name}, {era}, upstream's anchors");
            assert_eq!(
                codes(&found["error"]),
                codes(&expected["error"]),
                "{name}, {era}, upstream's anchors"
            );
        }
    }
}

/// What the verdict knows beyond the validator's own report.
fn assert_facts(verdict: &Verdict, case: &Case, era: Era) {
    let name = &case.file;
    let found: Vec<_> = verdict.failures.iter().map(|failure| failure.code.clone()).collect();
    assert_eq!(&found, case.validation_status_codes.of(era), "{name}, {era}");
    let text = |key: &str| case.signature_info.as_ref()?.get(key)?.as_str().map(str::to_owned);
    let signer = verdict.signer.clone().unwrap_or_default();
    assert_eq!(verdict.signer.is_some(), case.signature_info.is_some(), "{name}");
    assert_eq!(signer.organisation, text("issuer"), "{name}");
    assert_eq!(signer.common_name, text("common_name"), "{name}");
    assert_eq!(signer.serial, text("cert_serial_number"), "{name}");
    assert_eq!(signer.algorithm, text("alg"), "{name}");
    if let Some(time) = text("time") {
        assert_eq!(verdict.signing_time.unwrap().to_rfc3339(), time, "{name}");
    }
    assert_ne!(verdict.format, Format::Unknown, "{name}");
}

/// The status codes that an error text names.
fn codes(error: &Value) -> Vec<String> {
    let text = error.as_str().unwrap_or_default();
    let words = text.split(|c: char| !(c.is_alphanumeric() || c == '.'));
    words.filter(|word| word.contains('.') && !word.ends_with('.')).map(str::to_owned).collect()
}
