//! Timelock encryption to drand's quicknet: what a revealed commitment holds until the chain opens it.
//!
//! quicknet is a public randomness beacon: every three seconds its members sign the number of the round.
//! That signature, the round's pulse, is the key to everything encrypted to the round, and it exists for
//! nobody before its time. The subtensor runtime keeps the pulses and opens commitments with them.
//!
//! ```
//! use adit_chain::timelock;
//! use std::time::Duration;
//!
//! let now = Duration::from_secs(1_764_000_000);
//! let round = timelock::round_at(now, 360, Duration::from_secs(12)).expect("quicknet runs since 2023");
//! let plaintext = timelock::commitment_plaintext("https://example.org/model")?;
//! let ciphertext = timelock::encrypt(&plaintext, round, &mut rand_core::OsRng)?;
//! assert!(ciphertext.len() <= timelock::MAX_CIPHERTEXT);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Pure functions: the clock, the chain and drand's servers are the caller's. [`Sealed`] is the layout of the
//! bytes; what is inside a commitment before it is encrypted and after it is revealed is [`commitment_plaintext`]
//! and [`revealed_text`].

mod commitment;
mod ibe;
mod sealed;

use std::time::Duration;

use rand_core::{CryptoRng, RngCore};

pub use commitment::{MAX_TEXT, TextTooLongError, commitment_plaintext, revealed_bytes, revealed_text};
pub use sealed::{DecryptError, MalformedError, OVERHEAD, Sealed};

/// Names quicknet at drand's servers: `/<chain hash>/public/<round>` gives a round's signature.
pub const CHAIN_HASH: &str = "52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971";

/// When round 1 was published, in seconds since the Unix epoch: 23 August 2023, 15:09:27 UTC.
pub const GENESIS: u64 = 1_692_803_367;

/// Seconds from one round to the next.
pub const PERIOD: u64 = 3;

/// quicknet's public key: a compressed point of BLS12-381's G2. Its signatures are points of G1.
pub const PUBLIC_KEY: [u8; 96] = [
    0x83, 0xcf, 0x0f, 0x28, 0x96, 0xad, 0xee, 0x7e, 0xb8, 0xb5, 0xf0, 0x1f, 0xca, 0xd3, 0x91, 0x22, 0x12,
    0xc4, 0x37, 0xe0, 0x07, 0x3e, 0x91, 0x1f, 0xb9, 0x00, 0x22, 0xd3, 0xe7, 0x60, 0x18, 0x3c, 0x8c, 0x4b,
    0x45, 0x0b, 0x6a, 0x0a, 0x6c, 0x3a, 0xc6, 0xa5, 0x77, 0x6a, 0x2d, 0x10, 0x64, 0x51, 0x0d, 0x1f, 0xec,
    0x75, 0x8c, 0x92, 0x1c, 0xc2, 0x2b, 0x0e, 0x17, 0xe6, 0x3a, 0xaf, 0x4b, 0xcb, 0x5e, 0xd6, 0x63, 0x04,
    0xde, 0x9c, 0xf8, 0x09, 0xbd, 0x27, 0x4c, 0xa7, 0x3b, 0xab, 0x4a, 0xf5, 0xa6, 0xe9, 0xc7, 0x6a, 0x4b,
    0xc0, 0x9e, 0x76, 0xea, 0xe8, 0x99, 0x1e, 0xf5, 0xec, 0xe4, 0x5a,
];

/// The longest ciphertext that the chain's `TimelockEncrypted` field takes, in bytes.
pub const MAX_CIPHERTEXT: usize = 1024;

/// Why nothing was encrypted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncryptError {
    /// Round 0: it has no signature and never will have one.
    #[error("quicknet has no round 0: what is encrypted to it would stay closed for ever")]
    RoundZero,
    /// The source of random numbers failed.
    #[error("no random numbers: {0}")]
    Random(#[from] rand_core::Error),
}

/// The round to encrypt to at `now` (since the Unix epoch) so that the chain reveals after `blocks` blocks of
/// `block_time`. `None` before quicknet's first round and where the moment is beyond any number.
///
/// This is the arithmetic of Bittensor's SDK: `now` in whole seconds, plus the wait rounded to whole seconds,
/// less [`GENESIS`], divided by [`PERIOD`] and rounded down. Such a round's pulse is three to six seconds old
/// at the moment asked for.
#[must_use]
pub fn round_at(now: Duration, blocks: u64, block_time: Duration) -> Option<u64> {
    const SECOND: u128 = 1_000_000_000;
    let wait = u128::from(blocks).checked_mul(block_time.as_nanos())?.checked_add(SECOND / 2)? / SECOND;
    let moment = now.as_secs().checked_add(u64::try_from(wait).ok()?)?;
    let round = moment.checked_sub(GENESIS)? / PERIOD;
    (round > 0).then_some(round)
}

/// When quicknet publishes the pulse of a round, since the Unix epoch. `None` for round 0 and for rounds
/// beyond the end of time.
#[must_use]
pub fn published_at(round: u64) -> Option<Duration> {
    let seconds = round.checked_sub(1)?.checked_mul(PERIOD)?.checked_add(GENESIS)?;
    Some(Duration::from_secs(seconds))
}

/// Encrypts to a round: the bytes of a [`Sealed`], [`OVERHEAD`] longer than the plaintext. Randomised: two
/// of one plaintext differ.
///
/// # Errors
/// For round 0, and where `rng` fails.
pub fn encrypt<R: RngCore + CryptoRng>(
    plaintext: &[u8],
    round: u64,
    rng: &mut R,
) -> Result<Vec<u8>, EncryptError> {
    if round == 0 {
        return Err(EncryptError::RoundZero);
    }
    Ok(Sealed::seal(plaintext, round, rng)?.to_bytes())
}

/// Opens what was encrypted to a round, with quicknet's signature of that round (48 bytes).
///
/// # Errors
/// Where the bytes are malformed, the signature is of another round, or anything was changed.
pub fn decrypt(inner: &[u8], round_signature: &[u8]) -> Result<Vec<u8>, DecryptError> {
    Sealed::parse(inner)?.open(round_signature)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: Duration = Duration::from_secs(12);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(GENESIS + seconds)
    }

    #[test]
    fn rounds_are_rounded_down() {
        for (now, blocks, round) in
            [(3, 0, Some(1)), (5, 0, Some(1)), (6, 0, Some(2)), (0, 1, Some(4)), (8, 360, Some(1442))]
        {
            assert_eq!(round_at(at(now), blocks, BLOCK), round, "{now} s, {blocks} blocks");
        }
    }

    /// A quarter of a second from 5.9 s on ends at 5 s to the SDK, not at 6.15 s.
    #[test]
    fn seconds_are_whole_before_they_are_added_as_in_the_sdk() {
        let quarter = Duration::from_millis(250);
        let now = at(5) + Duration::from_millis(900);
        assert_eq!(round_at(now, 0, quarter), Some(1));
        assert_eq!(round_at(now, 1, quarter), Some(1), "0.25 s count as 0");
        assert_eq!(round_at(now, 2, quarter), Some(2), "0.5 s count as 1");
        assert_eq!(round_at(now, 5, quarter), Some(2), "1.25 s count as 1");
        assert_eq!(round_at(at(5), 3, quarter), Some(2), "0.75 s count as 1");
    }

    #[test]
    fn no_round_is_given_before_the_first_and_beyond_the_last() {
        assert_eq!(round_at(Duration::ZERO, 360, BLOCK), None);
        assert_eq!(round_at(at(2), 0, BLOCK), None);
        assert_eq!(round_at(at(0), u64::MAX, BLOCK), None);
        assert_eq!(round_at(at(0), u64::MAX, Duration::MAX), None);
        assert_eq!(round_at(Duration::MAX, 1, BLOCK), None);
    }

    #[test]
    fn a_pulse_is_three_to_six_seconds_old_at_the_moment_asked_for() {
        assert_eq!(published_at(1), Some(at(0)));
        for seconds in 3..40 {
            let pulse = published_at(round_at(at(seconds), 0, BLOCK).unwrap()).unwrap();
            let age = at(seconds) - pulse;
            assert!((3..6).contains(&age.as_secs()), "{seconds} s: {age:?}");
        }
        assert_eq!(published_at(0), None);
        assert_eq!(published_at(u64::MAX), None);
    }
}
