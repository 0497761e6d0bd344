//! What is demanded of a caller, as pure functions.

use std::time::Duration;

use adit_keys::{Hotkey, Signature};
use http::HeaderMap;
use sha2::{Digest as _, Sha256};

use super::{Refusal, SIGNATURE, SIGNED_BY, SIGNED_FOR, SPOKEN, TIMESTAMP, UUID, VERSION, message};
use crate::{StakeTable, UnixNanos};

/// The least stake of a validator in upstream's miner; equal passes.
pub const MIN_STAKE: f64 = 20_000.0;

/// How far a request's time may lie from the clock, either way, inclusive (s013, s015). Upstream's miner
/// of May 2026 took any time to come (s027); ours does as the one of August.
pub const WINDOW: Duration = Duration::from_secs(15);

/// How long a uuid is remembered where bodies may take `body_timeout` to arrive: twice [`WINDOW`], since a
/// request from the far end of the future side stays fresh for that long; the body's time, since freshness
/// is judged when the headers arrive; and a second for parts of milliseconds and for slow threads.
#[must_use]
pub const fn retention(body_timeout: Duration) -> Duration {
    WINDOW.saturating_mul(2).saturating_add(Duration::from_secs(1)).saturating_add(body_timeout)
}

/// Longest header that is looked at, in bytes. Of those that upstream sends the signature is the longest: 130.
const MAX_LENGTH: usize = 256;

/// What is demanded of a caller.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Whom requests must be signed for.
    pub own_hotkey: Hotkey,
    /// The least stake, such as [`MIN_STAKE`]. `None` is upstream's `--no-force-validator-permit`: every
    /// hotkey of the subnet may call. Despite that name no permit is looked at in either case.
    pub min_stake: Option<f64>,
}

/// A caller whose headers passed. Its signature is still to be checked against the body.
#[derive(Debug)]
pub struct Claim {
    signer: Hotkey,
    signature: Signature,
    timestamp: i128,
    uuid: String,
    signed_for: String,
}

/// A caller that passed everything but the replay memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Who signed.
    pub signer: Hotkey,
    /// The request's uuid, in fact any text, to remember.
    pub uuid: String,
}

impl Policy {
    /// Everything that can be judged before the body. `stakes` is `None` while no table was ever read, and
    /// then nobody passes. `now` is the moment that the headers arrived: a body may take its time.
    ///
    /// # Errors
    /// The first reason found, in upstream's order.
    pub fn check_headers(
        &self,
        headers: &HeaderMap,
        stakes: Option<&StakeTable>,
        now: UnixNanos,
    ) -> Result<Claim, Refusal> {
        if take(headers, VERSION).as_deref() != Some(SPOKEN) {
            return Err(Refusal::Version);
        }
        let own = self.own_hotkey.to_string();
        let signed_for = take(headers, SIGNED_FOR).filter(|text| *text == own).ok_or(Refusal::OtherMiner)?;
        let signer = self.check_signer(headers, stakes)?;
        let signature = take(headers, SIGNATURE).ok_or(Refusal::NoSignature)?;
        // What is signed is the number, so `+17` and ` 1_7` pass for 17 (s053).
        let timestamp = take(headers, TIMESTAMP).and_then(|text| adit_python::int(&text));
        let timestamp = timestamp.ok_or(Refusal::Timestamp)?;
        // Any text will do (s020).
        let uuid = take(headers, UUID).ok_or(Refusal::Uuid)?;
        check_time(timestamp, now)?;
        // Judged with the signature upstream, which is last. What cannot verify is not worth receiving.
        let signature = signature.parse().map_err(|_| Refusal::SignatureShape)?;
        Ok(Claim { signer, signature, timestamp, uuid, signed_for })
    }

    fn check_signer(&self, headers: &HeaderMap, stakes: Option<&StakeTable>) -> Result<Hotkey, Refusal> {
        let stakes = stakes.ok_or(Refusal::NoMetagraph)?;
        let signer = take(headers, SIGNED_BY).and_then(|text| text.parse().ok());
        let (signer, stake) = signer
            .and_then(|signer| Some((signer, stakes.stake(&signer)?)))
            .ok_or(Refusal::NotInMetagraph)?;
        match self.min_stake {
            Some(least) if stake < least => Err(Refusal::LowStake { stake }),
            _ => Ok(signer),
        }
    }
}

fn check_time(timestamp: i128, now: UnixNanos) -> Result<(), Refusal> {
    let now = i128::try_from(now / 1_000_000).unwrap_or(i128::MAX);
    let window = i128::from(WINDOW.as_secs()) * 1000;
    let age_ms = now.saturating_sub(timestamp);
    if age_ms > window {
        Err(Refusal::Stale { age_ms })
    } else if age_ms < -window {
        Err(Refusal::Future { ahead_ms: timestamp.saturating_sub(now) })
    } else {
        Ok(())
    }
}

impl Claim {
    /// The signature over the body exactly as it arrived, bare or in `<Bytes>…</Bytes>` (s024).
    ///
    /// # Errors
    /// [`Refusal::Mismatch`].
    pub fn check_body(self, body: &[u8]) -> Result<Verified, Refusal> {
        let Self { signer, signature, timestamp, uuid, signed_for } = self;
        let message = message(&Sha256::digest(body).into(), &uuid, timestamp, &signed_for);
        if signature.verifies_bare_or_wrapped(message.as_bytes(), &signer) {
            Ok(Verified { signer, uuid })
        } else {
            Err(Refusal::Mismatch)
        }
    }
}

/// A header as upstream's server reads it: the first of its name, its bytes as Latin-1. One that is too long
/// counts as absent.
pub(super) fn take(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?.as_bytes();
    (value.len() <= MAX_LENGTH).then(|| value.iter().copied().map(char::from).collect())
}
