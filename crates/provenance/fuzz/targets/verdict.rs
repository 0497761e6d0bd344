//! Whatever the bytes are, each era reaches a verdict: no crash, no hang, and nothing accepted that says of itself
//! that it must not be.
//!
//! With `ADIT_FUZZ_SEEDS`, signed and unsigned files of every format are written to that folder first.

#![no_main]

use std::io::Cursor;
use std::sync::OnceLock;

use adit_provenance::signing::{Authority, Claim};
use adit_provenance::{Era, TrustAnchors, Verifier};
use libfuzzer_sys::fuzz_target;

/// One of each format.
const FILES: [&[u8]; 5] = [
    include_bytes!("../../../stand-in/media/picture.png"),
    include_bytes!("../../../stand-in/media/picture.jpg"),
    include_bytes!("../../../stand-in/media/picture.webp"),
    include_bytes!("../../../stand-in/media/clip.mp4"),
    include_bytes!("../../../stand-in/media/clip.mov"),
];

static VERIFIERS: OnceLock<Vec<Verifier>> = OnceLock::new();

fn prepare() {
    let authority = Authority::new("Fuzz").expect("an authority");
    let anchors = TrustAnchors::default().trusting("fuzz", authority.certificate()).expect("its certificate");
    let verifiers = Era::ALL.iter().map(|era| Verifier::new(&anchors, *era).expect("a verifier"));
    assert!(VERIFIERS.set(verifiers.collect()).is_ok(), "prepared twice");
    if let Some(folder) = std::env::var_os("ADIT_FUZZ_SEEDS").map(std::path::PathBuf::from) {
        let signer = authority.signer("OpenAI").expect("a signer");
        for (index, file) in FILES.iter().enumerate() {
            let signed = signer.sign_bytes(&Claim::now("dall-e-3"), file).expect("a signed file");
            let twice = signer.sign_bytes(&Claim::now("sora-2"), &signed).expect("a file signed twice");
            for (name, bytes) in [("plain", *file), ("signed", &*signed), ("twice", &*twice)] {
                std::fs::write(folder.join(format!("{name}-{index}")), bytes).expect("a seed is written");
            }
        }
    }
}

fuzz_target!(init: prepare(), |data: &[u8]| {
    for verifier in VERIFIERS.get().expect("prepared") {
        let verdict = verifier.verify(Cursor::new(data)).expect("memory can always be read");
        let reported = verdict.reported();
        assert_eq!(reported["verified"], verdict.accepted());
        if verdict.accepted() {
            assert!(!verdict.failures.iter().any(|failure| failure.fatal));
            assert!(verdict.era == Era::Document || verdict.hard_binding.is_some());
            assert!(verdict.manifests["active_manifest"].is_string());
        }
    }
});
