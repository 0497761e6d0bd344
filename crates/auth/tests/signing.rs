//! The verifier against signed requests with known verdicts, made by running the upstream miner.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::SystemTime;

use adit_auth::{
    Dialect, NonceStore, Policy, RETENTION, Refusal, Spelling, StakeGate, StakeTable, UnixNanos, Verified,
};
use adit_keys::Hotkey;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Vectors {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    own_miner_hotkey: Option<String>,
    clock_ns: String,
    prior_nonces: Vec<String>,
    stake_table: Option<HashMap<String, f64>>,
    min_stake_threshold: f64,
    body_hex: String,
    headers: Vec<(String, String)>,
    upstream_miner: Verdict,
    compat: Option<Compat>,
}

#[derive(Deserialize)]
struct Verdict {
    status: u16,
    detail: Value,
}

#[derive(Deserialize)]
struct Compat {
    accept: bool,
    status: u16,
    detail: Option<String>,
    reason: String,
}

fn cases(file: &str) -> Vec<Case> {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors");
    let folder = std::env::var_os("ADIT_VECTORS").map_or_else(|| PathBuf::from(own), PathBuf::from);
    let path = folder.join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let vectors: Vectors = serde_json::from_str(&text).unwrap();
    assert!(!vectors.cases.is_empty(), "no cases in {}", path.display());
    vectors.cases
}

fn judge(case: &Case) -> Result<Verified, Refusal> {
    let policy = Policy {
        verify: true,
        stake_gate: if case.stake_table.is_some() { StakeGate::Closed } else { StakeGate::Off },
        min_stake: case.min_stake_threshold,
        own_hotkey: case.own_miner_hotkey.as_ref().map(|text| text.parse().unwrap()),
        dialects: Dialect::ALL.to_vec(),
    };
    let now: UnixNanos = case.clock_ns.parse().unwrap();
    let mut headers = HeaderMap::new();
    for (name, value) in &case.headers {
        headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    }
    let stakes = case.stake_table.as_ref().map(|table| {
        let stakes = table.iter().map(|(hotkey, stake)| (hotkey.parse().unwrap(), *stake)).collect();
        StakeTable::new(stakes, SystemTime::now())
    });
    let nonces = NonceStore::new(100, RETENTION);
    for prior in &case.prior_nonces {
        let named = |(name, _): &&(String, String)| name.to_lowercase().ends_with("validator-hotkey");
        let validator: Hotkey = case.headers.iter().find(named).unwrap().1.parse().unwrap();
        nonces.remember(&validator, prior, now).unwrap();
    }
    let body = hex_bytes(&case.body_hex);
    let verified = policy.check_headers(&headers, stakes.as_ref(), now)?.check_body(&body, now)?;
    let (validator, (nonce, _)) = (verified.validator.unwrap(), verified.signature.as_ref().unwrap());
    nonces.remember(&validator, nonce, now)?;
    Ok(verified)
}

fn hex_bytes(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn vectors_private_signing_verdicts_of_a_miner_that_knows_both_generations() {
    let mut judged = 0;
    for case in cases("private_signing.json") {
        let Some(compat) = &case.compat else { continue };
        judged += 1;
        let verdict = judge(&case);
        assert_eq!(verdict.is_ok(), compat.accept, "{}: {verdict:?}", case.name);
        match verdict {
            Ok(verified) => {
                let dialect = verified.signature.unwrap().1;
                let expected = if compat.reason.contains("fiber") { Dialect::Fiber } else { Dialect::Score };
                assert_eq!(dialect, expected, "{}", case.name);
            }
            Err(refusal) => {
                assert_eq!(refusal.status(), compat.status, "{}: {refusal}", case.name);
                match (&refusal, compat.detail.as_deref()) {
                    (Refusal::MissingHeaders(names), Some("missing header")) => {
                        assert_eq!(compat.reason, format!("missing {}", names.join(",")), "{}", case.name);
                    }
                    (refusal, detail) => {
                        assert_eq!(refusal.detail(), Value::from(detail), "{}", case.name);
                    }
                }
            }
        }
    }
    assert!(judged > 0, "no case has a verdict");
}

/// The stake cases leave the verdict to the implementation: ours is upstream's, but that missing
/// headers are told before the stake is looked up.
#[test]
fn vectors_private_signing_stake_gate_answers_as_upstream() {
    let mut judged = 0;
    for case in cases("private_signing.json") {
        if case.stake_table.is_none() || case.compat.is_some() {
            continue;
        }
        judged += 1;
        match judge(&case) {
            Ok(_) => assert_eq!(case.upstream_miner.status, 200, "{}", case.name),
            Err(Refusal::MissingHeaders(_)) => {}
            Err(refusal) => {
                assert_eq!(refusal.status(), case.upstream_miner.status, "{}: {refusal}", case.name);
                assert_eq!(refusal.detail(), case.upstream_miner.detail, "{}", case.name);
            }
        }
    }
    assert!(judged > 0, "no case has a stake table");
}

/// Where the verdict is left open, the answer is still a refusal or a pass, never a crash.
#[test]
fn vectors_private_signing_open_cases_are_answered() {
    for case in cases("private_signing.json").iter().filter(|case| case.compat.is_none()) {
        let _ = judge(case);
    }
}

/// While a body drips in, its nonce can grow old, and the memory of an earlier use can expire.
#[test]
fn a_nonce_that_grew_old_while_the_body_came_is_refused() {
    let (validator, miner) = (adit_keys::Keypair::generate(), adit_keys::Keypair::generate().hotkey());
    let policy = Policy {
        verify: true,
        stake_gate: StakeGate::Off,
        min_stake: 0.0,
        own_hotkey: Some(miner),
        dialects: Dialect::ALL.to_vec(),
    };
    let sent: UnixNanos = 1_773_219_466_000_000_000;
    let headers =
        adit_auth::sign_headers(&validator, Dialect::Score, Spelling::Both, &sent.to_string(), &miner, b"{}");
    let window = adit_auth::WINDOW.as_nanos();
    let claim = policy.check_headers(&headers, None, sent + window).unwrap();
    assert!(claim.check_body(b"{}", sent + window).is_ok());
    assert_eq!(claim.check_body(b"{}", sent + window + 1), Err(Refusal::NonceWindow));
}
