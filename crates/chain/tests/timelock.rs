//! Timelock encryption against bytes that Bittensor's own library made, and against that library itself.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]
#![expect(clippy::print_stderr, reason = "a skipped test says what was missing")]

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime};

use adit_chain::timelock::{self, DecryptError, Sealed};
use parity_scale_codec::Encode;
use proptest::prelude::*;
use rand_core::OsRng;
use serde::Deserialize;
use serde_json::{Value, json};

/// The round of the vectors: long published.
const ROUND: u64 = 1000;

#[derive(Deserialize)]
struct Vectors {
    timelock: Timelock,
    calls: Vec<Value>,
}

#[derive(Deserialize)]
struct Timelock {
    chain_hash: String,
    genesis: u64,
    period: u64,
    round_signature: String,
    cases: Vec<Case>,
    commitment: Commitment,
}

#[derive(Deserialize)]
struct Case {
    plaintext: String,
    round: u64,
    envelope: String,
    inner: String,
}

#[derive(Deserialize)]
struct Commitment {
    text: String,
    encrypted: String,
    reveal_round: u64,
}

fn vectors() -> Vectors {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors");
    let folder = std::env::var_os("ADIT_VECTORS").map_or_else(|| PathBuf::from(own), PathBuf::from);
    let path = folder.join("chain_scale.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let vectors: Vectors = serde_json::from_str(&text).unwrap();
    assert!(!vectors.timelock.cases.is_empty(), "no cases in {}", path.display());
    vectors
}

fn bytes(text: &str) -> Vec<u8> {
    hex::decode(text.trim_start_matches("0x")).unwrap()
}

/// quicknet's signature of [`ROUND`].
fn signature() -> Vec<u8> {
    bytes(&vectors().timelock.round_signature)
}

/// What the `encrypt` functions of bittensor-drand give: the length, the ciphertext and the round.
fn envelope(inner: &[u8], round: u64) -> Vec<u8> {
    (inner, round).encode()
}

#[test]
fn vectors_chain_scale_timelock_constants_are_ours() {
    let vectors = vectors().timelock;
    assert_eq!(timelock::CHAIN_HASH, vectors.chain_hash);
    assert_eq!((timelock::GENESIS, timelock::PERIOD), (vectors.genesis, vectors.period));
}

#[test]
fn vectors_chain_scale_timelock_cases_open() {
    let vectors = vectors().timelock;
    let signature = bytes(&vectors.round_signature);
    for case in &vectors.cases {
        let (plaintext, inner) = (bytes(&case.plaintext), bytes(&case.inner));
        assert_eq!(case.round, ROUND);
        assert_eq!(inner.len(), plaintext.len() + timelock::OVERHEAD);
        assert_eq!(timelock::decrypt(&inner, &signature).unwrap(), plaintext);
        assert_eq!(Sealed::parse(&inner).unwrap().to_bytes(), inner);
        assert_eq!(envelope(&inner, case.round), bytes(&case.envelope));
        assert!(Sealed::parse(&bytes(&case.envelope)).is_err(), "an envelope is not what the chain takes");
    }
}

#[test]
fn vectors_chain_scale_timelock_plaintexts_come_back_from_our_encryption() {
    let vectors = vectors().timelock;
    let signature = bytes(&vectors.round_signature);
    for case in &vectors.cases {
        let plaintext = bytes(&case.plaintext);
        let inner = timelock::encrypt(&plaintext, ROUND, &mut OsRng).unwrap();
        assert_eq!(inner.len(), bytes(&case.inner).len());
        assert_eq!(timelock::decrypt(&inner, &signature).unwrap(), plaintext);
    }
}

#[test]
fn vectors_chain_scale_timelock_commitment_has_our_layout() {
    let commitment = vectors().timelock.commitment;
    let encrypted = bytes(&commitment.encrypted);
    let sealed = Sealed::parse(&encrypted).unwrap();
    assert_eq!(sealed.to_bytes(), encrypted);
    assert_eq!(sealed.plaintext_length(), timelock::commitment_plaintext(&commitment.text).unwrap().len());
    // Of another round than the signature at hand.
    assert_eq!(sealed.open(&signature()), Err(DecryptError::Key));
    let ours = timelock::commitment_plaintext(&commitment.text).unwrap();
    let ours = timelock::encrypt(&ours, commitment.reveal_round, &mut OsRng).unwrap();
    assert_eq!(ours.len(), encrypted.len());
}

/// The field of the call holds the ciphertext as it is, with no envelope.
#[test]
fn vectors_chain_scale_timelock_ciphertext_is_what_the_call_holds() {
    let vectors = vectors();
    let commitment = vectors.timelock.commitment;
    let call = vectors.calls.iter().find(|call| call["name"] == "set_reveal_commitment").unwrap();
    let sealed = Sealed::parse(&bytes(&commitment.encrypted)).unwrap();
    let field = [&[134][..], &envelope(&sealed.to_bytes(), commitment.reveal_round)].concat();
    assert!(bytes(call["hex"].as_str().unwrap()).ends_with(&field));
}

#[test]
fn a_commitment_is_245_bytes_longer_than_a_short_text_and_246_from_64_on() {
    for (length, more) in [(0, 245), (1, 245), (63, 245), (64, 246), (777, 246), (778, 246)] {
        let text = "a".repeat(length);
        let plaintext = timelock::commitment_plaintext(&text).unwrap();
        let encrypted = timelock::encrypt(&plaintext, ROUND, &mut OsRng).unwrap();
        assert_eq!(encrypted.len(), length + more);
        assert!(encrypted.len() <= timelock::MAX_CIPHERTEXT);
        assert_eq!(timelock::revealed_text(&timelock::decrypt(&encrypted, &signature()).unwrap()), text);
    }
}

#[test]
fn what_does_not_open_says_why() {
    let inner = timelock::encrypt(b"text", ROUND, &mut OsRng).unwrap();
    assert_eq!(timelock::decrypt(&inner, b"no signature"), Err(DecryptError::Signature));
    let later = timelock::encrypt(b"text", ROUND + 1, &mut OsRng).unwrap();
    assert_eq!(timelock::decrypt(&later, &signature()), Err(DecryptError::Key));
    assert!(matches!(timelock::decrypt(&inner[1..], &signature()), Err(DecryptError::Malformed(_))));
    for (at, error) in [
        (104, DecryptError::Key),
        (144, DecryptError::Key),
        (192, DecryptError::Tag),
        (196, DecryptError::Tag),
        (220, DecryptError::Tag),
    ] {
        let mut changed = inner.clone();
        changed[at] ^= 1;
        assert_eq!(timelock::decrypt(&changed, &signature()), Err(error), "byte {at}");
    }
}

proptest! {
    // Each case costs three pairings.
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn any_plaintext_comes_back(plaintext in prop::collection::vec(any::<u8>(), 0..2000)) {
        let inner = timelock::encrypt(&plaintext, ROUND, &mut OsRng).unwrap();
        prop_assert_eq!(timelock::decrypt(&inner, &signature()).unwrap(), plaintext);
    }

    #[test]
    fn no_changed_byte_gives_another_plaintext(at in 0_usize..264, change in 1_u8..) {
        let mut inner = timelock::encrypt(b"a text of 20 bytes..", ROUND, &mut OsRng).unwrap();
        inner[at] ^= change;
        prop_assert!(timelock::decrypt(&inner, &signature()).is_err());
    }
}

/// Opens what it is given and encrypts the same plaintexts itself, with Bittensor's library. Also the rounds
/// that its commitments are encrypted to.
const PEER: &str = r#"
import bittensor_drand as drand, json, sys
task = json.loads(sys.argv[1])
opened = [drand.decrypt_with_signature(bytes.fromhex(e), task["signature"]).hex() for e in task["envelopes"]]
sealed = [drand.encrypt_at_round(bytes.fromhex(p), task["round"])[0].hex() for p in task["plaintexts"]]
rounds = [drand.get_encrypted_commitment("text", b, s)[1] for b, s in task["waits"]]
print(json.dumps({"opened": opened, "sealed": sealed, "rounds": rounds}))
"#;

#[derive(Deserialize)]
struct Peer {
    opened: Vec<String>,
    sealed: Vec<String>,
    rounds: Vec<u64>,
}

/// The Python that `scripts/setup test` prepared, or `None` with a word about it.
fn python() -> Option<PathBuf> {
    let python = std::env::var_os("ADIT_TEST_PYTHON").map(PathBuf::from).filter(|path| path.exists());
    if python.is_none() {
        let missing =
            "skipped: ADIT_TEST_PYTHON names no Python with bittensor-drand; `make test` sets it up";
        assert!(std::env::var_os("ADIT_CI").is_none_or(|value| value != "1"), "{missing}");
        eprintln!("{missing}");
    }
    python
}

fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap()
}

#[test]
fn bittensors_library_opens_ours_and_we_open_its() {
    let Some(python) = python() else { return };
    let signature = signature();
    let long = timelock::commitment_plaintext(&"ä".repeat(timelock::MAX_TEXT / 2)).unwrap();
    let plaintexts =
        [b"a".to_vec(), timelock::commitment_plaintext("secret text").unwrap(), long, vec![0; 3000]];
    let ours = plaintexts.iter().map(|plaintext| {
        hex::encode(envelope(&timelock::encrypt(plaintext, ROUND, &mut OsRng).unwrap(), ROUND))
    });
    // Blocks, and milliseconds a block.
    let waits = [(0, 12_000_u32), (1, 12_000), (360, 12_000), (1, 250), (2, 250), (3, 250), (1, 2_500)];
    let task = json!({
        "signature": hex::encode(&signature),
        "round": ROUND,
        "envelopes": ours.collect::<Vec<_>>(),
        "plaintexts": plaintexts.iter().map(hex::encode).collect::<Vec<_>>(),
        "waits": waits.map(|(blocks, ms)| (blocks, f64::from(ms) / 1000.0)),
    });

    let before = now();
    let output = Command::new(python).args(["-c", PEER, &task.to_string()]).output().unwrap();
    let after = now();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let peer: Peer = serde_json::from_slice(&output.stdout).unwrap();

    assert_eq!(peer.opened.iter().map(|text| bytes(text)).collect::<Vec<_>>(), plaintexts);
    assert_eq!(peer.sealed.len(), plaintexts.len());
    for (sealed, plaintext) in peer.sealed.iter().zip(&plaintexts) {
        let sealed = bytes(sealed);
        // An envelope: two bytes of compact length before, the round behind.
        let inner = &sealed[2..sealed.len() - 8];
        assert_eq!(envelope(inner, ROUND), sealed);
        assert_eq!(timelock::decrypt(inner, &signature).unwrap(), *plaintext);
    }
    assert_eq!(peer.rounds.len(), waits.len());
    for (round, (blocks, ms)) in peer.rounds.into_iter().zip(waits) {
        let at = |now| timelock::round_at(now, blocks, Duration::from_millis(ms.into())).unwrap();
        assert!((at(before)..=at(after)).contains(&round), "{blocks} blocks of {ms} ms: {round}");
    }
}
