//! What a hotkey has committed: in the open, time-locked, or revealed.

use std::fmt;
use std::time::Duration;

use subxt::ext::scale_decode::DecodeAsType;
use subxt::ext::scale_value::{Composite, Primitive, Value, ValueDef, Variant};

use crate::timelock;

/// Time between two blocks.
pub const BLOCK_TIME: Duration = Duration::from_secs(12);
/// Largest `Raw` field in bytes (chain reference, section 6).
pub const MAX_RAW: usize = 128;

/// One field of a commitment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// Nothing.
    Empty,
    /// At most 128 bytes in the open.
    Raw(Vec<u8>),
    /// At most 512 bytes in the open, in newer runtimes.
    BigRaw(Vec<u8>),
    /// One of the four hashes, by the chain's name for it (`BlakeTwo256`, `Sha256`, `Keccak256`,
    /// `ShaThree256`).
    Hash(String, Vec<u8>),
    /// Sealed until a round of drand quicknet.
    Timelocked {
        /// The sealed bytes, at most 1,024.
        ciphertext: Vec<u8>,
        /// The round that opens it.
        round: u64,
    },
    /// A flag that resets a validator's bonds.
    ResetBonds,
    /// A kind that this version does not know, by the chain's name for it.
    Unknown(String),
}

/// A text that no field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the text has {length} bytes; a commitment in the open holds {MAX_RAW}")]
pub struct TooLong {
    /// Bytes of the text.
    pub length: usize,
}

/// Why a text cannot be sealed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// Too long.
    #[error(transparent)]
    TooLong(#[from] timelock::TextTooLongError),
    /// The clock is wrong.
    #[error("this host's clock is before the first round of drand quicknet (August 2023); set it right")]
    Clock,
    /// No randomness.
    #[error(transparent)]
    Encrypt(#[from] timelock::EncryptError),
}

impl Field {
    /// A text in the open, as the SDK's `set_commitment` sends it.
    ///
    /// # Errors
    /// [`TooLong`] above 128 bytes.
    pub fn text(text: &str) -> Result<Self, TooLong> {
        let length = text.len();
        if length > MAX_RAW { Err(TooLong { length }) } else { Ok(Self::Raw(text.as_bytes().to_vec())) }
    }

    /// A text sealed to the round of drand quicknet that is published `blocks` blocks of 12 s from `now`
    /// (time since 1970), as the SDK's `set_reveal_commitment` sends it.
    ///
    /// # Errors
    /// [`SealError`]: a text above 778 bytes, a clock before drand's beginning, a system without randomness.
    pub fn sealed(text: &str, now: Duration, blocks: u32) -> Result<Self, SealError> {
        let plaintext = timelock::commitment_plaintext(text)?;
        let round = timelock::round_at(now, blocks.into(), BLOCK_TIME).ok_or(SealError::Clock)?;
        let ciphertext = timelock::encrypt(&plaintext, round, &mut rand_core::OsRng)?;
        Ok(Self::Timelocked { ciphertext, round })
    }

    pub(crate) fn to_value(&self) -> Value {
        match self {
            Self::Empty => Value::unnamed_variant("None", []),
            Self::Raw(bytes) => {
                Value::unnamed_variant(format!("Raw{}", bytes.len()), [Value::from_bytes(bytes)])
            }
            Self::BigRaw(bytes) => Value::unnamed_variant("BigRaw", [Value::from_bytes(bytes)]),
            Self::Hash(kind, bytes) => Value::unnamed_variant(kind.clone(), [Value::from_bytes(bytes)]),
            Self::Timelocked { ciphertext, round } => Value::named_variant(
                "TimelockEncrypted",
                [
                    ("encrypted", Value::from_bytes(ciphertext)),
                    ("reveal_round", Value::u128((*round).into())),
                ],
            ),
            Self::ResetBonds => Value::unnamed_variant("ResetBondsFlag", []),
            Self::Unknown(kind) => Value::unnamed_variant(kind.clone(), []),
        }
    }

    fn from_variant<C>(variant: Variant<C>) -> Self {
        let Variant { name, values } = variant;
        match name.as_str() {
            "None" => return Self::Empty,
            "ResetBondsFlag" => return Self::ResetBonds,
            "TimelockEncrypted" => {
                let mut fields = into_values(values).into_iter();
                let (sealed, round) = (fields.next().map(bytes), fields.next().and_then(number));
                return match (sealed, round) {
                    (Some(ciphertext), Some(round)) => Self::Timelocked { ciphertext, round },
                    _ => Self::Unknown(name),
                };
            }
            _ => {}
        }
        let content = into_values(values).into_iter().next().map(bytes).unwrap_or_default();
        match name.as_str() {
            "BigRaw" => Self::BigRaw(content),
            "BlakeTwo256" | "Sha256" | "Keccak256" | "ShaThree256" => Self::Hash(name, content),
            raw if raw.strip_prefix("Raw").is_some_and(|digits| digits.parse::<u16>().is_ok()) => {
                Self::Raw(content)
            }
            _ => Self::Unknown(name),
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("nothing"),
            Self::Raw(bytes) | Self::BigRaw(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => write!(f, "{text:?}"),
                Err(_) => write!(f, "0x{}", hex::encode(bytes)),
            },
            Self::Hash(kind, bytes) => write!(f, "{kind} 0x{}", hex::encode(bytes)),
            Self::Timelocked { ciphertext, round } => {
                write!(f, "{} bytes, time-locked until drand round {round}", ciphertext.len())
            }
            Self::ResetBonds => f.write_str("reset of bonds"),
            Self::Unknown(kind) => write!(f, "a field of the unknown kind {kind}"),
        }
    }
}

/// What a hotkey has committed on a subnet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commitment {
    /// Block at which it was set.
    pub block: u64,
    /// Its fields.
    pub fields: Vec<Field>,
}

impl Commitment {
    /// The text of the first field in the open, bytes that are no UTF-8 left out as the SDK does.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        self.fields.iter().find_map(|field| match field {
            Field::Raw(bytes) | Field::BigRaw(bytes) => Some(lenient(bytes)),
            _ => None,
        })
    }
}

/// A commitment that its drand round has opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revealed {
    /// Block at which it was opened.
    pub block: u64,
    /// What was sealed, without the length that was sealed with it.
    pub data: Vec<u8>,
}

impl Revealed {
    /// From the stored pair.
    pub(crate) fn new(stored: &[u8], block: u64) -> Self {
        Self { block, data: timelock::revealed_bytes(stored).to_vec() }
    }

    /// As text, bytes that are no UTF-8 left out as the SDK does.
    #[must_use]
    pub fn text(&self) -> String {
        lenient(&self.data)
    }
}

/// UTF-8 with wrong bytes left out, as Python's `decode(errors="ignore")`.
pub(crate) fn lenient(bytes: &[u8]) -> String {
    bytes.utf8_chunks().map(|chunk| chunk.valid()).collect()
}

/// The chain's own form of a commitment.
#[derive(Debug, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub(crate) struct StoredCommitment {
    block: u64,
    info: StoredInfo,
}

#[derive(Debug, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct StoredInfo {
    fields: Vec<Value>,
}

impl From<StoredCommitment> for Commitment {
    fn from(stored: StoredCommitment) -> Self {
        let fields = stored.info.fields.into_iter().map(|value| match value.value {
            ValueDef::Variant(variant) => Field::from_variant(variant),
            _ => Field::Unknown("unnamed".to_owned()),
        });
        Self { block: stored.block, fields: fields.collect() }
    }
}

fn into_values<C>(composite: Composite<C>) -> Vec<Value<C>> {
    match composite {
        Composite::Named(fields) => fields.into_iter().map(|(_, value)| value).collect(),
        Composite::Unnamed(fields) => fields,
    }
}

/// The bytes of a list of numbers, however deep it is wrapped.
fn bytes<C>(value: Value<C>) -> Vec<u8> {
    let mut found = Vec::new();
    collect(value, &mut found);
    found
}

fn collect<C>(value: Value<C>, found: &mut Vec<u8>) {
    match value.value {
        ValueDef::Composite(composite) => {
            into_values(composite).into_iter().for_each(|value| collect(value, found));
        }
        ValueDef::Primitive(Primitive::U128(number)) => found.extend(u8::try_from(number)),
        _ => {}
    }
}

fn number<C>(value: Value<C>) -> Option<u64> {
    match value.value {
        ValueDef::Primitive(Primitive::U128(number)) => u64::try_from(number).ok(),
        ValueDef::Composite(composite) => into_values(composite).into_iter().next().and_then(number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_128_bytes_fits_and_one_more_does_not() {
        assert!(Field::text(&"x".repeat(128)).is_ok());
        assert_eq!(Field::text(&"x".repeat(129)), Err(TooLong { length: 129 }));
    }

    #[test]
    fn bytes_that_are_no_text_are_left_out_as_the_sdk_does() {
        let commitment = Commitment { block: 1, fields: vec![Field::Raw(vec![0, 1, 2, 0xfe, 0xff])] };
        assert_eq!(commitment.text().as_deref(), Some("\0\u{1}\u{2}"));
    }
}
