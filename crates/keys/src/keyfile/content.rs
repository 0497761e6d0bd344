//! The JSON inside a key file: one object of texts, any of which may be missing or null.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::error::Fault;
use crate::{AddressError, Hotkey, Secret};

/// A text that is wiped. Read by itself, so that a number in its place is noticed without being quoted.
type Text = Option<Zeroizing<String>>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Content {
    #[serde(default)]
    public_key: Text,
    #[serde(default)]
    private_key: Text,
    #[serde(default)]
    secret_phrase: Text,
    #[serde(default)]
    secret_seed: Text,
    #[serde(default)]
    ss58_address: Text,
}

const NO_KEY_FILE: &str = "it is neither encrypted nor a JSON object of texts";

/// Empty texts stand for missing ones.
fn given(text: &Text) -> Option<&str> {
    text.as_ref().map(|text| text.as_str()).filter(|text| !text.is_empty())
}

impl Content {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        if bytes.trim_ascii().is_empty() {
            return Err(Fault::Truncated("it is empty"));
        }
        // serde would take a list for an object without names.
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return Err(Fault::Malformed(NO_KEY_FILE));
        }
        // The reader's own message could quote the secret, so it is dropped.
        serde_json::from_slice(bytes).map_err(|error| match error.classify() {
            serde_json::error::Category::Eof => Fault::Truncated("its JSON ends in the middle"),
            _ => Fault::Malformed(NO_KEY_FILE),
        })
    }

    /// The address as it is written, by `ss58Address` or else `publicKey`.
    pub(super) fn address(&self) -> Result<Option<Hotkey>, AddressError> {
        if let Some(text) = given(&self.ss58_address) {
            return text.parse().map(Some);
        }
        let Some(digits) = given(&self.public_key) else { return Ok(None) };
        let mut key = [0; 32];
        hex::decode_to_slice(digits.strip_prefix("0x").unwrap_or(digits), &mut key)
            .map_err(|_| AddressError::NotSs58)?;
        Ok(Some(Hotkey::from_bytes(key)))
    }

    /// The secret: the phrase, else the seed, else the private key (chain reference, section 8).
    pub(super) fn secret(&self) -> Result<Option<Secret>, Fault> {
        if let Some(phrase) = given(&self.secret_phrase) {
            let phrase = phrase.parse().map_err(|_| Fault::Malformed("its secretPhrase is no mnemonic"))?;
            return Ok(Some(Secret::from_phrase(phrase)));
        }
        if let Some(seed) = given(&self.secret_seed) {
            let seed = seed.parse().map_err(|_| Fault::Malformed("its secretSeed is not 64 hex digits"))?;
            return Ok(Some(Secret::from_seed(seed)));
        }
        let Some(digits) = given(&self.private_key) else { return Ok(None) };
        let mut bytes = Zeroizing::new([0; 64]);
        hex::decode_to_slice(digits.strip_prefix("0x").unwrap_or(digits), bytes.as_mut_slice())
            .map_err(|_| Fault::Malformed("its privateKey is not 128 hex digits"))?;
        let secret = Secret::from_private_key(&bytes)
            .map_err(|_| Fault::Malformed("its privateKey is no sr25519 key"))?;
        Ok(Some(secret))
    }
}

/// The fields that bittensor-wallet 4.0.1 writes; their order means nothing.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'secret> {
    account_id: &'secret str,
    public_key: &'secret str,
    #[serde(skip_serializing_if = "Option::is_none")]
    private_key: Option<&'secret str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_phrase: Option<&'secret str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_seed: Option<&'secret str>,
    ss58_address: &'secret str,
}

/// A whole key file.
pub(super) fn render(secret: &Secret) -> Zeroizing<Vec<u8>> {
    let private_key = prefixed_hex(secret.keypair().private_key().as_slice());
    let seed = secret.seed().map(|seed| prefixed_hex(seed.expose_bytes()));
    to_json(
        secret.address(),
        Some(&private_key),
        secret.phrase().map(|phrase| phrase.expose_words()),
        seed.as_ref().map(|seed| seed.as_str()),
    )
}

/// A public file.
pub(super) fn render_public(address: Hotkey) -> Zeroizing<Vec<u8>> {
    to_json(address, None, None, None)
}

fn to_json(
    address: Hotkey,
    private_key: Option<&str>,
    secret_phrase: Option<&str>,
    secret_seed: Option<&str>,
) -> Zeroizing<Vec<u8>> {
    let public_key = prefixed_hex(address.as_bytes());
    let written = Written {
        account_id: &public_key,
        public_key: &public_key,
        private_key,
        secret_phrase,
        secret_seed,
        ss58_address: &address.to_string(),
    };
    // Longer than any key file, so that the buffer never grows and leaves a copy.
    let mut json = Zeroizing::new(Vec::with_capacity(2048));
    serde_json::to_writer(&mut *json, &written).expect("texts are JSON");
    json
}

/// `0x` and two digits a byte, in memory that is wiped.
fn prefixed_hex(bytes: &[u8]) -> Zeroizing<String> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = Zeroizing::new(String::with_capacity(2 + 2 * bytes.len()));
    text.push_str("0x");
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seed;
    use proptest::prelude::*;

    fn read_back(secret: &Secret) -> Secret {
        let content = Content::parse(&render(secret)).unwrap();
        assert_eq!(content.address().unwrap(), Some(secret.address()));
        content.secret().unwrap().unwrap()
    }

    #[test]
    fn a_public_file_holds_no_more_than_the_address() {
        let address = Secret::from_uri("//Alice").unwrap().address();
        let json = String::from_utf8(render_public(address).to_vec()).unwrap();
        let key = hex::encode(address.as_bytes());
        let expected =
            format!(r#"{{"accountId":"0x{key}","publicKey":"0x{key}","ss58Address":"{address}"}}"#);
        assert_eq!(json, expected);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn every_seed_survives_its_file(bytes: [u8; 32]) {
            let secret = Secret::from_seed(Seed::from_bytes(&bytes));
            let read = read_back(&secret);
            prop_assert_eq!(read.seed(), secret.seed());
            let derived = Secret::from_private_key(&secret.keypair().private_key()).unwrap();
            prop_assert_eq!(read_back(&derived).address(), secret.address());
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>, fields in "\\{(\"(secretSeed|secretPhrase|privateKey|ss58Address|publicKey)\":(null|5|\"[0-9a-fx ]{0,8}\"),?){0,3}\\}") {
            for bytes in [bytes.as_slice(), fields.as_bytes()] {
                if let Ok(content) = Content::parse(bytes) {
                    let _ = (content.address(), content.secret());
                }
            }
        }
    }
}
