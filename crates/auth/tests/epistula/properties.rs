//! What must hold of any request.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use adit_auth::epistula::{MIN_STAKE, Policy, Refusal, Verified, retention, sign};
use adit_auth::{NonceError, NonceStore, StakeTable, UnixNanos};
use adit_keys::{Hotkey, Keypair, Signature};
use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;

use super::{MILLISECOND, sha256};

const NOW_MS: u64 = 1_780_000_000_000;
const NOW: UnixNanos = NOW_MS as UnixNanos * MILLISECOND;

struct Fixture {
    validator: Keypair,
    policy: Policy,
    stakes: StakeTable,
}

impl Fixture {
    fn new() -> Self {
        let (validator, miner) = (Keypair::from_seed(&[1; 32]), Keypair::from_seed(&[2; 32]));
        let stakes = StakeTable::new(HashMap::from([(validator.hotkey(), MIN_STAKE)]), SystemTime::now());
        let policy = Policy { own_hotkey: miner.hotkey(), min_stake: Some(MIN_STAKE) };
        Self { validator, policy, stakes }
    }

    fn sign(&self, body: &[u8], uuid: &str, timestamp_ms: u64) -> HeaderMap {
        sign(&self.validator, &sha256(body), uuid, timestamp_ms, Some(&self.policy.own_hotkey)).unwrap()
    }

    fn judge(&self, headers: &HeaderMap, body: &[u8]) -> Result<Verified, Refusal> {
        self.policy.check_headers(headers, Some(&self.stakes), NOW)?.check_body(body)
    }

    /// The verdict on a request that was signed, then had one header replaced.
    fn judge_with(&self, header: &'static str, value: impl AsRef<[u8]>) -> Result<Verified, Refusal> {
        let mut headers = self.sign(b"{}", "uuid", NOW_MS);
        headers.insert(header, HeaderValue::from_bytes(value.as_ref()).unwrap());
        self.judge(&headers, b"{}")
    }
}

#[test]
fn of_two_faults_the_one_that_upstream_looks_at_first_is_told() {
    let fixture = Fixture::new();
    let poor = Keypair::from_seed(&[3; 32]).hotkey();
    let stakes = [(fixture.validator.hotkey(), MIN_STAKE), (poor, 1.0)];
    let stakes = StakeTable::new(HashMap::from(stakes), SystemTime::now());
    let mut headers = fixture.sign(b"{}", "uuid", NOW_MS);
    let mut spoil = |name: &'static str, value: &str| {
        match value {
            "" => headers.remove(name),
            value => headers.insert(name, value.parse().unwrap()),
        };
        let claim = fixture.policy.check_headers(&headers, Some(&stakes), NOW);
        claim.and_then(|claim| claim.check_body(b"other")).unwrap_err()
    };
    // From the last check to the first: each fault hides those before it.
    assert_eq!(spoil("x-nothing", "1"), Refusal::Mismatch);
    assert_eq!(spoil("epistula-request-signature", "0x"), Refusal::SignatureShape);
    let ahead = (NOW_MS + 15_001).to_string();
    assert_eq!(spoil("epistula-timestamp", &ahead), Refusal::Future { ahead_ms: 15_001 });
    let behind = (NOW_MS - 15_001).to_string();
    assert_eq!(spoil("epistula-timestamp", &behind), Refusal::Stale { age_ms: 15_001 });
    assert_eq!(spoil("epistula-uuid", ""), Refusal::Uuid);
    assert_eq!(spoil("epistula-timestamp", "soon"), Refusal::Timestamp);
    assert_eq!(spoil("epistula-request-signature", ""), Refusal::NoSignature);
    assert_eq!(spoil("epistula-signed-by", &poor.to_string()), Refusal::LowStake { stake: 1.0 });
    assert_eq!(spoil("epistula-signed-by", "5garbage"), Refusal::NotInMetagraph);
    assert_eq!(spoil("epistula-signed-for", ""), Refusal::OtherMiner);
    assert_eq!(spoil("epistula-version", "3"), Refusal::Version);
}

#[test]
fn while_the_metagraph_is_unknown_nobody_passes_though_stakes_do_not_count() {
    let fixture = Fixture::new();
    let policy = Policy { min_stake: None, ..fixture.policy.clone() };
    let headers = fixture.sign(b"{}", "uuid", NOW_MS);
    let refusal = policy.check_headers(&headers, None, NOW).unwrap_err();
    assert_eq!(refusal, Refusal::NoMetagraph);
    assert_eq!(refusal.status(), 503);
}

#[test]
fn a_time_is_read_as_python_reads_it() {
    let fixture = Fixture::new();
    for good in ["+1780000000000", " 1_780_000_000_000\t", "0001780000000000"] {
        assert!(fixture.judge_with("epistula-timestamp", good).is_ok(), "{good}");
    }
    // A Latin-1 blank, which Python takes for white space.
    assert!(fixture.judge_with("epistula-timestamp", b"\xa01780000000000").is_ok());
    let long = format!("{}1780000000000", "0".repeat(300));
    for bad in ["", "+", "1780000000000.0", "1.78e12", "_1780000000000", "1780__000000000", &long] {
        assert_eq!(fixture.judge_with("epistula-timestamp", bad), Err(Refusal::Timestamp), "{bad}");
    }
    // `²` is a digit to Unicode and to nobody's `int`.
    assert_eq!(fixture.judge_with("epistula-timestamp", b"\xb2"), Err(Refusal::Timestamp));
    let ends = [i128::MIN, i128::MAX].map(|end| fixture.judge_with("epistula-timestamp", end.to_string()));
    assert!(matches!(ends, [Err(Refusal::Stale { .. }), Err(Refusal::Future { .. })]), "{ends:?}");
}

#[test]
fn any_text_is_a_uuid_up_to_256_bytes() {
    let fixture = Fixture::new();
    for uuid in ["", "not-a-uuid", &"x".repeat(256)] {
        let headers = fixture.sign(b"{}", uuid, NOW_MS);
        assert_eq!(fixture.judge(&headers, b"{}").map(|verified| verified.uuid), Ok(uuid.to_owned()));
    }
    let headers = fixture.sign(b"{}", &"x".repeat(257), NOW_MS);
    assert_eq!(fixture.judge(&headers, b"{}"), Err(Refusal::Uuid));
}

/// A server in Python decodes headers as Latin-1, and the text that it checks is UTF-8.
#[test]
fn a_header_is_latin_1() {
    let fixture = Fixture::new();
    let mut headers = fixture.sign(b"{}", "uuid", NOW_MS);
    let message = format!("{}.é.{NOW_MS}.{}", hex::encode(sha256(b"{}")), fixture.policy.own_hotkey);
    let signature = fixture.validator.sign(message.as_bytes());
    headers.insert("epistula-uuid", HeaderValue::from_bytes(b"\xe9").unwrap());
    headers.insert("epistula-request-signature", signature.to_string().parse().unwrap());
    assert_eq!(fixture.judge(&headers, b"{}").map(|verified| verified.uuid), Ok("é".to_owned()));
}

#[test]
fn a_header_that_is_there_twice_counts_as_its_first() {
    let fixture = Fixture::new();
    let mut headers = fixture.sign(b"{}", "uuid", NOW_MS);
    headers.append("epistula-version", HeaderValue::from_static("3"));
    assert!(fixture.judge(&headers, b"{}").is_ok());
}

#[test]
fn a_uuid_that_a_header_would_change_is_not_signed() {
    for uuid in ["a\nb", "é", " a", "a b"] {
        assert!(sign(&Keypair::from_seed(&[1; 32]), &sha256(b""), uuid, 0, None).is_err(), "{uuid:?}");
    }
}

/// One bit of a text, so that it stays a text.
fn flip(text: &str, at: usize) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let at = at % bytes.len();
    bytes[at] ^= 1;
    String::from_utf8(bytes).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_signed_verifies(
        body: Vec<u8>, uuid in "[!-~]{0,60}", timestamp in NOW_MS - 15_000..=NOW_MS + 15_000,
    ) {
        let fixture = Fixture::new();
        let signer = fixture.validator.hotkey();
        let headers = fixture.sign(&body, &uuid, timestamp);
        prop_assert_eq!(fixture.judge(&headers, &body), Ok(Verified { signer, uuid }));
    }

    #[test]
    fn one_flipped_bit_is_noticed(
        body in prop::collection::vec(any::<u8>(), 1..100), uuid in "[0-9a-z]{1,40}", at: usize, bit in 0..8u8,
    ) {
        let fixture = Fixture::new();
        let headers = fixture.sign(&body, &uuid, NOW_MS);
        prop_assert!(fixture.judge(&headers, &body).is_ok());

        let mut other = body.clone();
        other[at % body.len()] ^= 1 << bit;
        prop_assert_eq!(fixture.judge(&headers, &other), Err(Refusal::Mismatch));

        for header in ["epistula-uuid", "epistula-signed-for", "epistula-version"] {
            let mut changed = headers.clone();
            let value = flip(headers[header].to_str().unwrap(), at);
            changed.insert(header, value.parse().unwrap());
            prop_assert!(fixture.judge(&changed, &body).is_err(), "{}", header);
        }
        // The last four digits, so that it stays fresh; an even digit is one more or one less then.
        let mut changed = headers.clone();
        let timestamp = NOW_MS.to_string();
        let (front, tail) = timestamp.split_at(timestamp.len() - 4);
        changed.insert("epistula-timestamp", format!("{front}{}", flip(tail, at)).parse().unwrap());
        prop_assert_eq!(fixture.judge(&changed, &body), Err(Refusal::Mismatch));

        let signature: Signature = headers["epistula-request-signature"].to_str().unwrap().parse().unwrap();
        let mut bytes = signature.to_bytes();
        bytes[at % 64] ^= 1 << bit;
        changed = headers.clone();
        changed.insert("epistula-request-signature", format!("0x{}", hex::encode(bytes)).parse().unwrap());
        prop_assert_eq!(fixture.judge(&changed, &body), Err(Refusal::Mismatch));
    }

    #[test]
    fn the_receiver_is_signed_too(other: [u8; 32]) {
        let fixture = Fixture::new();
        let other = Hotkey::from_bytes(other);
        let headers = fixture.sign(b"{}", "uuid", NOW_MS);
        let policy = Policy { own_hotkey: other, ..fixture.policy.clone() };
        prop_assert_eq!(policy.check_headers(&headers, Some(&fixture.stakes), NOW).unwrap_err(), Refusal::OtherMiner);
        let mut changed = headers;
        changed.insert("epistula-signed-for", other.to_string().parse().unwrap());
        let claim = policy.check_headers(&changed, Some(&fixture.stakes), NOW).unwrap();
        prop_assert_eq!(claim.check_body(b"{}"), Err(Refusal::Mismatch));
    }

    #[test]
    fn no_header_makes_it_panic(
        which in 0..6usize, value in prop::collection::vec(any::<u8>(), 0..400), now: u128,
    ) {
        let fixture = Fixture::new();
        let name = [
            "epistula-version", "epistula-timestamp", "epistula-uuid", "epistula-signed-by",
            "epistula-signed-for", "epistula-request-signature",
        ][which];
        let mut headers = fixture.sign(b"{}", "uuid", NOW_MS);
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            headers.insert(name, value);
        }
        let claim = fixture.policy.check_headers(&headers, Some(&fixture.stakes), now);
        if let Err(refusal) = claim {
            prop_assert!(!refusal.detail().is_empty() && !refusal.to_string().is_empty());
        }
    }

    #[test]
    fn while_a_request_could_pass_again_it_is_remembered(
        signed_at in -15_000i64..=15_000, first_body in 0..=BODY_TIMEOUT, again_after in 0..31 * SECOND,
        again_body in 0..=BODY_TIMEOUT,
    ) {
        let again = again(signed_at, first_body, again_after, again_body);
        prop_assert!(matches!(again, Ok(Err(NonceError::Replayed)) | Err(Refusal::Stale { .. })), "{:?}", again);
    }
}

const SECOND: UnixNanos = 1000 * MILLISECOND;
const BODY_TIMEOUT: UnixNanos = 60 * SECOND;

/// A request signed `signed_at` ms from now, and the same once more `again_after` ns later, each with a body
/// that takes so many ns: what becomes of the second.
fn again(
    signed_at: i64,
    first_body: UnixNanos,
    again_after: UnixNanos,
    again_body: UnixNanos,
) -> Result<Result<(), NonceError>, Refusal> {
    let fixture = Fixture::new();
    let headers = fixture.sign(b"{}", "uuid", NOW_MS.saturating_add_signed(signed_at));
    let nonces = NonceStore::new(10, retention(Duration::from_secs(60)));
    let arrive = |at: UnixNanos, body: UnixNanos| {
        let claim = fixture.policy.check_headers(&headers, Some(&fixture.stakes), at)?;
        let verified = claim.check_body(b"{}")?;
        Ok(nonces.remember(&verified.signer, &verified.uuid, at + body))
    };
    assert_eq!(arrive(NOW, first_body), Ok(Ok(())));
    arrive(NOW + again_after, again_body)
}

/// Signed as far ahead as may be, done at once; repeated in the last nanosecond that is fresh, as slowly as
/// may be.
#[test]
fn the_last_moment_of_a_repetition_is_remembered_too() {
    let last = 30 * SECOND + MILLISECOND - 1;
    assert_eq!(again(15_000, 0, last, BODY_TIMEOUT), Ok(Err(NonceError::Replayed)));
    assert_eq!(again(15_000, 0, last + 1, 0), Err(Refusal::Stale { age_ms: 15_001 }));
}
