//! Models in ONNX, run by the real ONNX Runtime.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails as a test does")]
#![expect(clippy::print_stderr, reason = "a skipped test says why")]

mod objects;
mod onnx_file;
mod spotting;

use std::path::PathBuf;
use std::time::Duration;

use adit_predictor::{OnnxConfig, Runner, find_onnx_runtime};
use tokio::time::Instant;

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(120)
}

/// ONNX Runtime, where the tests' Python has it.
fn runner() -> Option<Runner> {
    let python = std::env::var_os("ADIT_TEST_PYTHON").map(PathBuf::from);
    let found = python.and_then(|python| find_onnx_runtime(None, &python));
    if found.is_none() {
        let why = "no onnxruntime in the environment of ADIT_TEST_PYTHON";
        assert!(std::env::var_os("ADIT_CI").is_none_or(|value| value != "1"), "{why}");
        eprintln!("skipped: {why}");
    }
    found.map(|library| Runner::Onnx(OnnxConfig::new(library)))
}

fn written(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}
