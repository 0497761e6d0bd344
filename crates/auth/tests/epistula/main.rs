//! Epistula v2: verdicts and signatures of upstream's code, what must hold of any request, and the gate.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod gate;
mod properties;
mod vectors;

use adit_auth::UnixNanos;
use sha2::{Digest as _, Sha256};

const MILLISECOND: UnixNanos = 1_000_000;

fn sha256(body: &[u8]) -> [u8; 32] {
    Sha256::digest(body).into()
}
