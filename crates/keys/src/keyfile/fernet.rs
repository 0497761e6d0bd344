//! `gAAAAA`: the oldest encryption, a Fernet token under a key from PBKDF2. Read only, since
//! bittensor-wallet itself can no longer open it.

use aes::Aes128;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use cbc::Decryptor;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockDecryptMut as _, KeyIvInit as _};
use hmac::{Hmac, Mac as _};
use pbkdf2::pbkdf2_hmac;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::error::Fault;
use crate::Password;

/// How version byte 0x80 and a time before the year 4147 read in base64.
pub(super) const MARKER: &[u8] = b"gAAAAA";
const ROUNDS: u32 = 10_000_000;
const SALT: &[u8] = b"Iguesscyborgslikemyselfhaveatendencytobeparanoidaboutourorigins";
/// Version, time.
const HEADER_LENGTH: usize = 1 + 8;
const BLOCK: usize = 16;
const TAG_LENGTH: usize = 32;

pub(super) fn open(file: &[u8], password: &Password) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let token = file.trim_ascii();
    if !token.len().is_multiple_of(4) {
        return Err(Fault::Truncated("its token ends inside a byte"));
    }
    let token = URL_SAFE.decode(token).map_err(|_| Fault::Malformed("its token is not base64"))?;
    let cut_short = Fault::Truncated("its token is shorter than it must be");
    let (signed, tag) =
        token.len().checked_sub(TAG_LENGTH).map(|end| token.split_at(end)).ok_or(cut_short)?;
    let (iv, sealed) =
        signed.get(HEADER_LENGTH..).and_then(|rest| rest.split_at_checked(BLOCK)).ok_or(cut_short)?;
    if sealed.is_empty() || !sealed.len().is_multiple_of(BLOCK) {
        return Err(cut_short);
    }
    let mut key = Zeroizing::new([0; 32]);
    pbkdf2_hmac::<Sha256>(password.bytes(), SALT, ROUNDS, key.as_mut_slice());
    let (signing_key, cipher_key) = key.split_at(16);
    Hmac::<Sha256>::new_from_slice(signing_key)
        .map_err(|_| Fault::Malformed("its token cannot be checked"))?
        .chain_update(signed)
        .verify_slice(tag)
        .map_err(|_| Fault::WrongPassword)?;
    let mut plain = Zeroizing::new(sealed.to_vec());
    let length = Decryptor::<Aes128>::new(cipher_key.into(), iv.into())
        .decrypt_padded_mut::<Pkcs7>(&mut plain)
        .map_err(|_| Fault::Malformed("its token is wrongly padded"))?
        .len();
    plain.truncate(length);
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Short of a whole token: with one the key would be derived, which takes seconds.
        #[test]
        fn any_text_is_read_without_panic(text in "[A-Za-z0-9_=-]{0,90}") {
            let token = format!("gAAAAA{text}");
            prop_assert!(open(token.as_bytes(), &Password::new("x").unwrap()).is_err());
        }
    }
}
