//! ss58 addresses: base58 of a network prefix, a public key and a checksum.

use std::fmt;
use std::str::FromStr;

use blake2::{Blake2b512, Digest as _};

/// Bittensor's network prefix (the generic Substrate one).
const PREFIX: u8 = 42;
const CHECKSUM_LENGTH: usize = 2;
/// Prefix, key and checksum of an address with a one-byte prefix.
const ADDRESS_LENGTH: usize = 1 + 32 + CHECKSUM_LENGTH;
/// No ss58 address of a 32-byte key is longer; longer text is refused before it is decoded.
const MAX_TEXT_LENGTH: usize = 50;

/// The sr25519 public key of a hotkey (or coldkey), shown and read as an ss58 address of format 42.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hotkey([u8; 32]);

/// Why a text is no address of this network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// Not base58, or not the length of an address.
    #[error("not an ss58 address (48 base58 characters that begin with 5)")]
    NotSs58,
    /// An address of another Substrate network.
    #[error("an ss58 address of another network (prefix {0}, Bittensor's is 42)")]
    OtherNetwork(u8),
    /// A mistyped address.
    #[error("an ss58 address whose checksum is wrong: a character is mistyped or missing")]
    Checksum,
}

impl Hotkey {
    /// Wraps the 32 bytes of a public key.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes of the public key.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

fn checksum(prefixed_key: &[u8]) -> [u8; CHECKSUM_LENGTH] {
    let digest = Blake2b512::new().chain_update(b"SS58PRE").chain_update(prefixed_key).finalize();
    [digest[0], digest[1]]
}

impl FromStr for Hotkey {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.len() > MAX_TEXT_LENGTH {
            return Err(AddressError::NotSs58);
        }
        let mut bytes = [0; ADDRESS_LENGTH];
        let length = bs58::decode(text).onto(&mut bytes).map_err(|_| AddressError::NotSs58)?;
        if length != ADDRESS_LENGTH || bytes[0] >= 64 {
            return Err(AddressError::NotSs58);
        }
        let (body, tail) = bytes.split_at(ADDRESS_LENGTH - CHECKSUM_LENGTH);
        if checksum(body) != tail {
            return Err(AddressError::Checksum);
        }
        if body[0] != PREFIX {
            return Err(AddressError::OtherNetwork(body[0]));
        }
        let mut key = [0; 32];
        key.copy_from_slice(&body[1..]);
        Ok(Self(key))
    }
}

impl fmt::Display for Hotkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0; ADDRESS_LENGTH];
        bytes[0] = PREFIX;
        bytes[1..33].copy_from_slice(&self.0);
        let sum = checksum(&bytes[..33]);
        bytes[33..].copy_from_slice(&sum);
        f.pad(&bs58::encode(bytes).into_string())
    }
}

impl fmt::Debug for Hotkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hotkey({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Alice, the development account that every Substrate tool prints.
    const ALICE: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
    const ALICE_HEX: &str = "d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d";

    #[test]
    fn a_known_address_reads_to_its_key_and_back() {
        let key: Hotkey = ALICE.parse().unwrap();
        assert_eq!(hex::encode(key.as_bytes()), ALICE_HEX);
        assert_eq!(key.to_string(), ALICE);
    }

    #[test]
    fn each_fault_of_an_address_is_told_apart() {
        let mistyped = ALICE.replace("utQY", "utQZ");
        assert_eq!(mistyped.parse::<Hotkey>(), Err(AddressError::Checksum));
        // Alice on Polkadot, prefix 0.
        let polkadot = "15oF4uVJwmo4TdGW7VfQxNLavjCXviqxT9S1MgbjMNHr6Sp5";
        assert_eq!(polkadot.parse::<Hotkey>(), Err(AddressError::OtherNetwork(0)));
        for text in ["", "5Grw", "0x00", "l0OI", &"5".repeat(4096), &format!("0x{ALICE_HEX}")] {
            assert_eq!(text.parse::<Hotkey>(), Err(AddressError::NotSs58), "{text}");
        }
    }

    /// Fixed cases: the checksum has 16 bits, so of many random changes one would pass.
    #[test]
    fn one_changed_character_is_noticed() {
        for (at, character) in ALICE.char_indices().skip(1) {
            let other = if character == '2' { '3' } else { '2' };
            let changed = format!("{}{other}{}", &ALICE[..at], &ALICE[at + 1..]);
            assert!(changed.parse::<Hotkey>().is_err(), "{changed}");
        }
    }

    proptest! {
        #[test]
        fn every_key_survives_its_address(bytes: [u8; 32]) {
            let key = Hotkey::from_bytes(bytes);
            prop_assert_eq!(key.to_string().parse(), Ok(key));
        }

        #[test]
        fn any_text_is_read_without_panic(text in "\\PC{0,80}") {
            let _ = text.parse::<Hotkey>();
        }
    }
}
