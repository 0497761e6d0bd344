//! `$NACL`: the current encryption. Marker, nonce (24 bytes), then an XSalsa20-Poly1305 secretbox under
//! a key that Argon2i derives with fixed salt and 512 MiB (chain reference, section 8).

use argon2::{Algorithm, Argon2, Block, Params, Version};
use crypto_secretbox::aead::AeadInPlace as _;
use crypto_secretbox::{KeyInit as _, Nonce, Tag, XSalsa20Poly1305};
use zeroize::{Zeroize as _, Zeroizing};

use super::error::Fault;
use crate::Password;

pub(super) const MARKER: &[u8] = b"$NACL";
const NONCE_LENGTH: usize = 24;
const TAG_LENGTH: usize = 16;

/// libsodium's "sensitive" limits, as bittensor-wallet has them.
const MEMORY_KIB: u32 = 524_288;
const PASSES: u32 = 8;
const LANES: u32 = 1;
/// One salt for every wallet of the world: two with the same password have the same key.
const SALT: [u8; 16] =
    [0x13, 0x71, 0x83, 0xdf, 0xf1, 0x5a, 0x09, 0xbc, 0x9c, 0x90, 0xb5, 0x51, 0x87, 0x39, 0xe9, 0xb1];

pub(super) fn open(file: &[u8], password: &Password) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let body = file.strip_prefix(MARKER).ok_or(Fault::Malformed("it has no $NACL at its beginning"))?;
    let cut_short = Fault::Truncated("it ends inside its encryption header");
    let (nonce, sealed) = body.split_at_checked(NONCE_LENGTH).ok_or(cut_short)?;
    let (tag, sealed) = sealed.split_at_checked(TAG_LENGTH).ok_or(cut_short)?;
    if sealed.is_empty() {
        return Err(Fault::Truncated("it ends behind its encryption header"));
    }
    let mut plain = Zeroizing::new(sealed.to_vec());
    cipher(password)?
        .decrypt_in_place_detached(Nonce::from_slice(nonce), b"", &mut plain, Tag::from_slice(tag))
        .map_err(|_| Fault::WrongPassword)?;
    Ok(plain)
}

pub(super) fn seal(plain: &[u8], password: &Password) -> Result<Vec<u8>, Fault> {
    let mut nonce = [0; NONCE_LENGTH];
    getrandom::getrandom(&mut nonce).map_err(|_| Fault::Malformed("the system has no random source"))?;
    let mut sealed = Zeroizing::new(plain.to_vec());
    let tag = cipher(password)?
        .encrypt_in_place_detached(Nonce::from_slice(&nonce), b"", &mut sealed)
        .map_err(|_| Fault::Malformed("it is too long to encrypt"))?;
    Ok([MARKER, &nonce, &tag, &sealed].concat())
}

fn cipher(password: &Password) -> Result<XSalsa20Poly1305, Fault> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(32)).map_err(|_| Fault::Memory)?;
    let mut memory: Vec<Block> = Vec::new();
    // An allocation that fails must be an error and not the end of the process.
    memory.try_reserve_exact(params.block_count()).map_err(|_| Fault::Memory)?;
    memory.resize(params.block_count(), Block::default());
    let mut key = Zeroizing::new([0; 32]);
    let derived = Argon2::new(Algorithm::Argon2i, Version::V0x13, params).hash_password_into_with_memory(
        password.bytes(),
        &SALT,
        key.as_mut_slice(),
        &mut memory,
    );
    memory.iter_mut().for_each(|block| block.zeroize());
    derived.map_err(|_| Fault::Malformed("its password is too long"))?;
    Ok(XSalsa20Poly1305::new(key.as_slice().into()))
}
