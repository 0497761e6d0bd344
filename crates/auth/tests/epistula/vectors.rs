//! Requests with the verdicts of upstream's verifier in both eras, and what its sender signed.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::SystemTime;

use adit_auth::StakeTable;
use adit_auth::epistula::{Policy, Refusal, Verified, sign};
use adit_keys::{Hotkey, Keypair, Signature};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;

use super::{MILLISECOND, sha256};

#[derive(Deserialize)]
struct Vectors {
    keys: HashMap<String, Key>,
    miner_hotkey: String,
    metagraph: Vec<Neuron>,
    min_validator_stake: f64,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Key {
    seed_hex: String,
    ss58: String,
}

#[derive(Deserialize)]
struct Neuron {
    hotkey: String,
    stake: f64,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    description: String,
    now_ms: u64,
    headers: HashMap<String, String>,
    body_hex: String,
    no_force_validator_permit: bool,
    signed_message_at_creation: String,
    secret_messages_at_creation: Vec<String>,
    signer: String,
    expect: Expect,
}

#[derive(Deserialize)]
struct Expect {
    seed: Verdict,
    head: Verdict,
}

#[derive(Deserialize, PartialEq)]
struct Verdict {
    accepted: bool,
    status: u16,
    detail: Option<String>,
}

fn vectors() -> Vectors {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors");
    let folder = std::env::var_os("ADIT_VECTORS").map_or_else(|| PathBuf::from(own), PathBuf::from);
    let path = folder.join("epistula.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let vectors: Vectors = serde_json::from_str(&text).unwrap();
    assert!(!vectors.cases.is_empty(), "no cases in {}", path.display());
    vectors
}

impl Case {
    fn header_map(&self) -> HeaderMap {
        let header = |(name, value): (&String, &String)| {
            (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())
        };
        self.headers.iter().map(header).collect()
    }

    fn body(&self) -> Vec<u8> {
        hex::decode(&self.body_hex).unwrap()
    }

    fn judge(&self, vectors: &Vectors) -> Result<Verified, Refusal> {
        let stakes = vectors.metagraph.iter().map(|neuron| (neuron.hotkey.parse().unwrap(), neuron.stake));
        let stakes = StakeTable::new(stakes.collect(), SystemTime::now());
        let policy = Policy {
            own_hotkey: vectors.miner_hotkey.parse().unwrap(),
            min_stake: (!self.no_force_validator_permit).then_some(vectors.min_validator_stake),
        };
        let now = u128::from(self.now_ms) * MILLISECOND;
        policy.check_headers(&self.header_map(), Some(&stakes), now)?.check_body(&self.body())
    }
}

/// As the younger verifier, but 400 where it raises: of the older one we copy neither its readiness for any
/// future time nor its crashes.
#[test]
fn vectors_epistula_verdicts_of_the_younger_verifier() {
    let vectors = vectors();
    let mut raised = 0;
    for case in &vectors.cases {
        let name = format!("{} {}", case.id, case.description);
        let expected = &case.expect.head;
        let verdict = case.judge(&vectors);
        assert_eq!(verdict.is_ok(), expected.accepted, "{name}: {verdict:?}");
        match verdict {
            Ok(verified) => {
                assert_eq!(verified.signer.to_string(), vectors.keys[&case.signer].ss58, "{name}");
            }
            Err(refusal) if expected.status == 500 => {
                raised += 1;
                assert_eq!(refusal.status(), 400, "{name}: {refusal}");
                assert_eq!(refusal.detail(), "Invalid Signature", "{name}");
            }
            Err(refusal) => {
                assert_eq!(refusal.status(), expected.status, "{name}: {refusal}");
                assert_eq!(Some(refusal.detail()), expected.detail, "{name}");
            }
        }
    }
    assert!(raised > 0, "no case makes upstream raise");
}

/// Where the eras differ, it is in what the reference says: the future, a time that is no number, and the
/// all-zero signature.
#[test]
fn vectors_epistula_eras_differ_where_the_reference_says() {
    let vectors = vectors();
    let differing: Vec<_> =
        vectors.cases.iter().filter(|case| case.expect.seed != case.expect.head).collect();
    assert!(!differing.is_empty(), "no case differs");
    for case in differing {
        let refusal = case.judge(&vectors).unwrap_err();
        let expected = matches!(
            (&refusal, case.expect.seed.status),
            (Refusal::Future { .. }, 200) | (Refusal::Timestamp | Refusal::Mismatch, 500)
        );
        assert!(expected, "{} {}: {refusal:?}", case.id, case.description);
    }
}

/// Signatures are random, so each is checked over the text that the vector says was signed.
#[test]
fn vectors_epistula_what_is_signed() {
    let vectors = vectors();
    let (mut addressed, mut to_nobody) = (0, 0);
    for case in &vectors.cases {
        let name = format!("{} {}", case.id, case.description);
        let key = &vectors.keys[&case.signer];
        let pair = Keypair::from_seed(&hex::decode(&key.seed_hex).unwrap().try_into().unwrap());
        // Sixty-four hex digits, the uuid, the time and the receiver; what was changed afterwards is not ours.
        let parts: Vec<&str> = case.signed_message_at_creation.split('.').collect();
        let [hash, uuid, timestamp, signed_for] = parts[..] else { panic!("{name}: {parts:?}") };
        let hash = hex::decode(hash).unwrap().try_into().unwrap();
        let signed_for: Option<Hotkey> = (!signed_for.is_empty()).then(|| signed_for.parse().unwrap());
        let headers = sign(&pair, &hash, uuid, timestamp.parse().unwrap(), signed_for.as_ref()).unwrap();

        let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap());
        assert_eq!(text("epistula-version"), Some("2"), "{name}");
        assert_eq!(text("epistula-uuid"), Some(uuid), "{name}");
        assert_eq!(text("epistula-timestamp"), Some(timestamp), "{name}");
        assert_eq!(text("epistula-signed-by"), Some(key.ss58.as_str()), "{name}");
        assert_eq!(
            text("epistula-signed-for"),
            signed_for.map(|hotkey| hotkey.to_string()).as_deref(),
            "{name}"
        );
        let verifies = |header: &str, message: &str| {
            let signature: Signature = text(header).unwrap().parse().unwrap();
            assert!(
                signature.verifies(message.as_bytes(), &pair.hotkey()),
                "{name}: {header} over {message}"
            );
        };
        verifies("epistula-request-signature", &case.signed_message_at_creation);
        let secrets = &case.secret_messages_at_creation;
        for (at, message) in secrets.iter().enumerate() {
            verifies(&format!("epistula-secret-signature-{at}"), message);
        }
        let count = headers.keys().filter(|name| name.as_str().contains("secret")).count();
        assert_eq!(count, secrets.len(), "{name}");
        if signed_for.is_some() {
            addressed += 1;
            assert_eq!(count, 3, "{name}");
        } else {
            to_nobody += 1;
        }
    }
    assert!(addressed > 0 && to_nobody > 0, "{addressed} addressed, {to_nobody} to nobody");
}

/// The reading of the vectors is itself checked: upstream's own secret signatures hold over the texts.
#[test]
fn vectors_epistula_secret_signatures_of_upstream_hold_over_their_texts() {
    let vectors = vectors();
    let mut held = 0;
    for case in vectors.cases.iter().filter(|case| case.expect.seed.accepted) {
        let headers = case.header_map();
        let signer: Hotkey = vectors.keys[&case.signer].ss58.parse().unwrap();
        for (at, message) in case.secret_messages_at_creation.iter().enumerate() {
            let signature = headers.get(format!("epistula-secret-signature-{at}"));
            let signature = signature.and_then(|value| value.to_str().unwrap().parse::<Signature>().ok());
            let Some(signature) = signature else { continue };
            held += 1;
            assert!(signature.verifies(message.as_bytes(), &signer), "{} {at}", case.id);
        }
    }
    assert!(held > 0, "no secret signature");
}

/// A request that upstream accepts is accepted with other bodies' hashes made by streaming, too.
#[test]
fn vectors_epistula_a_body_signs_as_its_hash() {
    let vectors = vectors();
    let accepted = vectors.cases.iter().filter(|case| case.expect.head.accepted);
    for case in accepted {
        let hash = case.signed_message_at_creation.split('.').next().unwrap();
        assert_eq!(hex::encode(sha256(&case.body())), hash, "{}", case.id);
    }
}
