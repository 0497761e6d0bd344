//! Manifests and indexes against verdicts of the validators' own program.

use std::collections::BTreeMap;
use std::path::PathBuf;

use adit_manifest::{Manifest, ManifestError, PublicKey, SignatureError, index};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use url::Url;

#[derive(Deserialize)]
struct File {
    hash: Vec<HashCase>,
    index_pick: Vec<IndexCase>,
    upstream_files: Vec<UpstreamFile>,
}

#[derive(Deserialize)]
struct HashCase {
    /// As it is written: a reader of JSON could round its floats.
    manifest: Box<RawValue>,
    accept: bool,
    error: Option<String>,
    canonical_json: Option<String>,
    hash: Option<String>,
    categories: Option<BTreeMap<String, Option<String>>>,
    ed25519_seed_hex: Option<String>,
    signature_hex: Option<String>,
}

#[derive(Deserialize)]
struct IndexCase {
    index_url: String,
    index: Value,
    block_number: Option<u64>,
    urls: Vec<String>,
    picked: Option<(u64, String)>,
}

#[derive(Deserialize)]
struct UpstreamFile {
    file: String,
    canonical_json: Option<String>,
    hash: Option<String>,
}

fn vectors() -> File {
    let folder = std::env::var_os("ADIT_VECTORS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors"), PathBuf::from);
    let path = folder.join("turbo_manifest.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn vectors_turbo_manifest_is_refused_or_hashed_and_signed_as_by_validators() {
    let cases = vectors().hash;
    assert!(!cases.is_empty(), "there are no cases");
    for (at, case) in cases.iter().enumerate() {
        let text = case.manifest.get();
        let read = Manifest::parse(text.as_bytes());
        if !case.accept {
            // Every refusal of the vectors is a field's, none is about the text.
            assert_eq!(case.error.as_deref(), Some("ValidationError"), "case {at}");
            assert!(matches!(read, Err(ManifestError::Field { .. })), "case {at}: {read:?} of {text}");
            continue;
        }
        let manifest = read.unwrap_or_else(|error| panic!("case {at}: {error} in {text}"));
        assert_eq!(Some(manifest.canonical_json()), case.canonical_json, "case {at}");
        assert_eq!(Some(manifest.hash()), case.hash, "case {at}");
        let categories = manifest.elements.iter();
        let categories: BTreeMap<_, _> = categories
            .map(|element| (element.id.clone(), element.category().map(|category| category.to_string())))
            .collect();
        assert_eq!(Some(categories), case.categories, "case {at}");
        check_signature(at, manifest, case);
    }
}

fn check_signature(at: usize, mut manifest: Manifest, case: &HashCase) {
    let seed = hex::decode(case.ed25519_seed_hex.as_ref().expect("a seed")).expect("hex");
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).expect("32 bytes");
    let signature = hex::encode(pair.sign(manifest.canonical_json().as_bytes()));
    assert_eq!(Some(&signature), case.signature_hex.as_ref(), "case {at}");

    let key: PublicKey = hex::encode(pair.public_key()).parse().expect("a public key");
    manifest.signature = Some(signature);
    assert_eq!(manifest.verify(&key), Ok(()), "case {at}");
    manifest.expiry_block += 1;
    assert_eq!(manifest.verify(&key), Err(SignatureError::Wrong), "case {at}");
}

#[test]
fn vectors_turbo_manifest_index_is_read_and_picked_from_as_by_validators() {
    let cases = vectors().index_pick;
    assert!(!cases.is_empty(), "there are no cases");
    for (at, case) in cases.iter().enumerate() {
        let index_url = Url::parse(&case.index_url).expect("a URL");
        let urls = index::urls(&index_url, &case.index);
        assert_eq!(urls, case.urls, "case {at}");
        let picked = index::pick(&urls, case.block_number).map(|entry| (entry.block, entry.url));
        assert_eq!(picked, case.picked, "case {at}");
    }
}

/// The vectors have no more of these files than the canonical text, which says the same as the file.
#[test]
fn vectors_turbo_manifest_canonical_text_of_upstreams_files_reads_as_itself() {
    let files = vectors().upstream_files;
    let accepted =
        files.iter().filter_map(|file| Some((&file.file, file.canonical_json.as_ref()?, &file.hash)));
    let mut seen = 0;
    for (name, canonical, hash) in accepted {
        let manifest =
            Manifest::parse(canonical.as_bytes()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(&manifest.canonical_json(), canonical, "{name}");
        assert_eq!(Some(manifest.hash()), *hash, "{name}");
        seen += 1;
    }
    assert!(seen > 0, "there are no cases");
}
