//! The sender's side.

use adit_keys::{Hotkey, Keypair};
use adit_python::repr;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{SIGNATURE, SIGNED_BY, SIGNED_FOR, SPOKEN, TIMESTAMP, UUID, VERSION, message};

const SECRET_SIGNATURES: [&str; 3] =
    ["epistula-secret-signature-0", "epistula-secret-signature-1", "epistula-secret-signature-2"];

/// A uuid that a header would not carry unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("uuid has other characters than ASCII's visible ones")]
pub struct UuidError;

/// The headers of one request at `timestamp_ms` (since 1970). `body_sha256` is that of the raw body, so a
/// large one can be hashed where it lies; a GET's is that of nothing. Each try of a delivery needs a new
/// `uuid` and the time of that try: a receiver may refuse a uuid that it knows.
///
/// # Errors
/// [`UuidError`] for anything but visible ASCII; a uuid as it is usually written is that.
pub fn sign(
    pair: &Keypair,
    body_sha256: &[u8; 32],
    uuid: &str,
    timestamp_ms: u64,
    signed_for: Option<&Hotkey>,
) -> Result<HeaderMap, UuidError> {
    let signed_for = signed_for.map(ToString::to_string).unwrap_or_default();
    let signature = |text: &str| pair.sign(text.as_bytes()).to_string();

    let request_signature = signature(&message(body_sha256, uuid, timestamp_ms, &signed_for));
    let mut values = vec![
        (VERSION, SPOKEN.to_owned()),
        (TIMESTAMP, timestamp_ms.to_string()),
        (UUID, uuid.to_owned()),
        (SIGNED_BY, pair.hotkey().to_string()),
        (SIGNATURE, request_signature),
    ];
    if !signed_for.is_empty() {
        for (name, interval) in SECRET_SIGNATURES.into_iter().zip(intervals(timestamp_ms)) {
            values.push((name, signature(&format!("{}.{signed_for}", repr(interval)))));
        }
        values.push((SIGNED_FOR, signed_for));
    }
    // Of all these only the uuid comes from the caller.
    let header = |(name, text): (&'static str, String)| {
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic());
        let value = plain.then(|| HeaderValue::try_from(text).ok()).flatten();
        Ok((HeaderName::from_static(name), value.ok_or(UuidError)?))
    };
    values.into_iter().map(header).collect()
}

/// What the secret signatures sign: the end of the 10 s that the time lies in, and its neighbours. Floats,
/// since Python's `.0` is signed (s001). Nobody checks them.
fn intervals(timestamp_ms: u64) -> [f64; 3] {
    let end = (timestamp_ms as f64 / 1e4).ceil() * 1e4;
    [end - 1.0, end, end + 1.0]
}
