//! `$ANSIBLE_VAULT`: the encryption before `$NACL`. A header line, then hex of three hex texts: salt,
//! HMAC-SHA256 and AES-256-CTR text, with keys from PBKDF2 (Ansible vault 1.1). Read only.

use aes::Aes256;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit as _, StreamCipher as _};
use hmac::{Hmac, Mac as _};
use pbkdf2::pbkdf2_hmac;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::error::Fault;
use crate::Password;

pub(super) const MARKER: &[u8] = b"$ANSIBLE_VAULT";
const ROUNDS: u32 = 10_000;
/// Cipher key, HMAC key, counter block.
const DERIVED_LENGTH: usize = 32 + 32 + 16;
/// AES's block, which the plain text is padded to although the counter mode does not need it.
const BLOCK: usize = 16;

pub(super) fn open(file: &[u8], password: &Password) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let text = std::str::from_utf8(file).map_err(|_| Fault::Malformed("its vault is not text"))?;
    let (header, body) = text.split_once('\n').ok_or(Fault::Truncated("it ends in its vault header"))?;
    // Version 1.2 differs by a label at the end of the header.
    let header: Vec<_> = header.trim().split(';').collect();
    if !matches!(header.as_slice(), [_, "1.1", "AES256"] | [_, "1.2", "AES256", _]) {
        return Err(Fault::Malformed("its vault is not of version 1.1 with AES256"));
    }
    let digits: String = body.split_ascii_whitespace().collect();
    let inner = unhex(digits.as_bytes())?;
    let mut parts = inner.splitn(3, |byte| *byte == b'\n');
    let mut part = || unhex(parts.next().ok_or(Fault::Truncated("its vault lacks a part"))?);
    let (salt, tag, mut plain) = (part()?, part()?, Zeroizing::new(part()?));

    let mut derived = Zeroizing::new([0; DERIVED_LENGTH]);
    pbkdf2_hmac::<Sha256>(password.bytes(), &salt, ROUNDS, derived.as_mut_slice());
    let (cipher_key, rest) = derived.split_at(32);
    let (hmac_key, counter) = rest.split_at(32);
    Hmac::<Sha256>::new_from_slice(hmac_key)
        .map_err(|_| Fault::Malformed("its vault cannot be checked"))?
        .chain_update(plain.as_slice())
        .verify_slice(&tag)
        .map_err(|_| Fault::WrongPassword)?;
    Ctr128BE::<Aes256>::new(cipher_key.into(), counter.into()).apply_keystream(&mut plain);
    let padding = plain.last().map_or(0, |last| usize::from(*last));
    if padding == 0 || padding > BLOCK || padding > plain.len() {
        return Err(Fault::Malformed("its vault is wrongly padded"));
    }
    let length = plain.len() - padding;
    plain.truncate(length);
    Ok(plain)
}

fn unhex(digits: &[u8]) -> Result<Vec<u8>, Fault> {
    hex::decode(digits).map_err(|error| match error {
        hex::FromHexError::OddLength => Fault::Truncated("its vault ends inside a byte"),
        _ => Fault::Malformed("its vault is not hex"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_parts_are_read_without_panic(
            salt: Vec<u8>, tag: Vec<u8>, sealed: Vec<u8>, cut in 0usize..4000
        ) {
            let inner = [salt, tag, sealed].map(hex::encode).join("\n");
            let file = format!("$ANSIBLE_VAULT;1.1;AES256\n{}", hex::encode(inner));
            let password = Password::new("x").unwrap();
            prop_assert!(open(file.as_bytes(), &password).is_err());
            prop_assert!(open(&file.as_bytes()[..cut.min(file.len())], &password).is_err());
        }
    }
}
