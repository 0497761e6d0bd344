//! Secret uris as Substrate's tools write them: `phrase//hard/soft///password`.

use blake2::digest::consts::U32;
use blake2::{Blake2b, Digest as _};
use schnorrkel::derive::{ChainCode, Derivation as _};
use schnorrkel::{ExpansionMode, MiniSecretKey, SecretKey};

use crate::{Phrase, PhraseError, Seed};

/// The phrase that stands where a uri has none, as in `//Alice`: public knowledge, for local chains.
const DEVELOPMENT_PHRASE: &str = "bottom drive obey lake curtain smoke basket hold race lonely fit walk";

/// Why a uri gives no key. Never quotes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UriError {
    /// The part before the first slash.
    #[error(transparent)]
    Phrase(#[from] PhraseError),
    /// A seed that is none.
    #[error("the uri begins with 0x but not with a seed of 64 hex digits")]
    Seed,
    /// An empty junction.
    #[error("the uri has a slash without a name behind it")]
    Junction,
}

/// One step of a path.
enum Junction {
    Hard(ChainCode),
    Soft(ChainCode),
}

/// The private key that a uri names.
pub(crate) fn derive(uri: &str) -> Result<SecretKey, UriError> {
    let (rest, password) = uri.split_once("///").unwrap_or((uri, ""));
    let (root, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let seed = match root.trim() {
        "" => DEVELOPMENT_PHRASE.parse::<Phrase>()?.seed(password),
        hex if hex.starts_with("0x") => hex.parse::<Seed>().map_err(|_| UriError::Seed)?,
        phrase => phrase.parse::<Phrase>()?.seed(password),
    };
    let mut key = expand(&MiniSecretKey::from_bytes(seed.expose_bytes()).map_err(|_| UriError::Seed)?);
    for junction in junctions(path)? {
        key = match junction {
            Junction::Hard(code) => expand(&key.hard_derive_mini_secret_key(Some(code), b"").0),
            Junction::Soft(code) => key.derived_key_simple(code, b"").0,
        };
    }
    Ok(key)
}

fn expand(mini: &MiniSecretKey) -> SecretKey {
    mini.expand(ExpansionMode::Ed25519)
}

fn junctions(mut path: &str) -> Result<Vec<Junction>, UriError> {
    let mut found = Vec::new();
    while let Some(after) = path.strip_prefix('/') {
        let (hard, named) = match after.strip_prefix('/') {
            Some(named) => (true, named),
            None => (false, after),
        };
        let (name, rest) = named.split_at(named.find('/').unwrap_or(named.len()));
        if name.is_empty() {
            return Err(UriError::Junction);
        }
        let code = chain_code(name);
        found.push(if hard { Junction::Hard(code) } else { Junction::Soft(code) });
        path = rest;
    }
    Ok(found)
}

/// A number is 8 bytes, any other name its SCALE text; what is longer than 32 bytes is hashed.
fn chain_code(name: &str) -> ChainCode {
    let mut code = [0; 32];
    match name.parse::<u64>() {
        Ok(number) => code[..8].copy_from_slice(&number.to_le_bytes()),
        Err(_) => {
            let encoded = scale_text(name);
            match code.get_mut(..encoded.len()) {
                Some(start) => start.copy_from_slice(&encoded),
                None => code = Blake2b::<U32>::digest(&encoded).into(),
            }
        }
    }
    ChainCode(code)
}

/// Compact length, then the text (SCALE).
fn scale_text(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    let mut encoded = match length {
        // A phrase and its path are a few hundred bytes; the form for 16,384 and more covers the rest.
        0..64 => vec![text.len() as u8 * 4],
        64..16_384 => ((length << 2 | 1) as u16).to_le_bytes().to_vec(),
        _ => (length << 2 | 2).to_le_bytes().to_vec(),
    };
    encoded.extend_from_slice(text.as_bytes());
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Keypair;
    use proptest::prelude::*;

    fn address(uri: &str) -> String {
        Keypair::from_uri(uri).unwrap().hotkey().to_string()
    }

    /// Made with bittensor-wallet 4.0.1's `Keypair.create_from_uri`. The vectors hold the plain paths.
    #[test]
    fn seeds_passwords_and_odd_junctions_are_as_bittensor_wallet_has_them() {
        let phrase = "inject float sword latin aerobic need gallery defense firm kind ketchup grass";
        let seed = "0x6d8b44237d7ddeddc4709700bc6180a25d2747bcfd778c7537de72a2490b9a23";
        for (uri, expected) in [
            ("//Alice".to_owned(), "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"),
            (format!("{seed}//x"), "5C82B2tWuCnjTX9UxiBdus3nWFAdsVtRTN7xM88QywGoqkgs"),
            (format!("{phrase}//hard///pw"), "5Ek2FoBsbdAYdTbnXpT1JeyDgSMuJKWPwrR41KPzbwoHw24E"),
            (format!("{phrase}///pw"), "5Ev3vPrw5XecbsdtvBpe4qorE98XvHtRYCDFRWbCR57oQkSS"),
            (format!("//{}", "y".repeat(40)), "5FURFQ6XcDnqZioBemGRbqPgYJ6kqwTQcqcHXTkifoyvFuVA"),
            ("/007//18446744073709551616//é".to_owned(), "5DSTivZYptGQE6GeRfE4ppTjY6QpGMfyv1UZdtX4Pyt71HTK"),
        ] {
            assert_eq!(address(&uri), expected, "{uri}");
        }
    }

    #[test]
    fn each_fault_is_told_apart() {
        for (uri, expected) in [
            ("inject float//a", UriError::Phrase(PhraseError::WordCount(2))),
            ("0x00//a", UriError::Seed),
            ("//Alice/", UriError::Junction),
            ("//", UriError::Junction),
        ] {
            assert_eq!(Keypair::from_uri(uri).unwrap_err(), expected, "{uri}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "[/\\PC]{0,60}") {
            let _ = junctions(&text);
        }
    }
}
