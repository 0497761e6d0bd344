//! Identity-based encryption of a 32-byte key to a round of quicknet: Boneh and Franklin's scheme with the
//! transform of Fujisaki and Okamoto, on BLS12-381.
//!
//! Let P be the generator of G2, S quicknet's public key (in G2), Q the identity of the round (in G1) and D
//! quicknet's signature of the round (in G1; D is Q times the secret of S). With a random σ of 32 bytes:
//!
//! ```text
//! r = H3(σ, key)    U = r·P    V = σ ⊕ H2(e(Q, r·S))    W = key ⊕ H4(σ)
//! ```
//!
//! and back: σ = V ⊕ H2(e(D, U)), key = W ⊕ H4(σ), refused unless U is H3(σ, key)·P.
//!
//! | hash | is |
//! | --- | --- |
//! | Q | the message SHA-256(round as u64, big-endian), hashed to G1 as RFC 9380 says, under [`HASH_TO_G1`] |
//! | H2 | SHA-256 of the pairing's value: 12 coefficients of 48 bytes, little-endian, in the tower's order |
//! | H3 | SHA-256(σ, key), read big-endian, modulo the order of the groups |
//! | H4 | SHA-256(σ) |
//!
//! H2, H3 and H4 are kept apart by nothing but the lengths of their inputs: 576, 64 and 32 bytes. That is how
//! the runtime computes them. arkworks' arithmetic is not constant-time; here it runs once a commitment, on
//! the machine of whoever commits.

use ark_bls12_381::{Bls12_381, Fr, G1Affine, G1Projective, G2Affine, g1};
use ark_ec::hashing::HashToCurve;
use ark_ec::hashing::curve_maps::wb::WBMap;
use ark_ec::hashing::map_to_curve_hasher::MapToCurveBasedHasher;
use ark_ec::pairing::{Pairing, PairingOutput};
use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::PrimeField;
use ark_ff::field_hashers::DefaultFieldHasher;
use ark_serialize::{CanonicalDeserialize, CanonicalSerialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::PUBLIC_KEY;

/// The domain under which quicknet hashes messages to G1.
const HASH_TO_G1: &[u8] = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_";

/// Length of a compressed point of G2.
pub(super) const G2_LENGTH: usize = 96;
/// Length of a compressed point of G1: a signature.
const G1_LENGTH: usize = 48;

/// The key that the text is encrypted with, and σ: both open it before its time.
pub(super) type Secret = Zeroizing<[u8; 32]>;

/// The encrypted key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) u: G2Affine,
    pub(super) v: [u8; 32],
    pub(super) w: [u8; 32],
}

/// Encrypts a key to a round. `sigma` is random and used once.
pub(super) fn seal(key: &Secret, round: u64, sigma: &Secret) -> Header {
    let public_key = read_g2(&PUBLIC_KEY).expect("quicknet's public key is a point of G2");
    let r = h3(sigma, key);
    let u = (G2Affine::generator() * r).into_affine();
    let shared = Bls12_381::pairing(identity(round), public_key * r);
    Header { u, v: xor(sigma, &h2(&shared)), w: xor(key, &h4(sigma)) }
}

/// The key again. `None` where the signature is of another round or the header was changed.
pub(super) fn open(header: &Header, signature: G1Affine) -> Option<Secret> {
    let shared = Bls12_381::pairing(signature, header.u);
    let sigma = Zeroizing::new(xor(&header.v, &h2(&shared)));
    let key = Zeroizing::new(xor(&header.w, &h4(&sigma)));
    (G2Affine::generator() * h3(&sigma, &key) == header.u).then_some(key)
}

/// A compressed point of G2 in the right subgroup, not the neutral one.
pub(super) fn read_g2(bytes: &[u8; G2_LENGTH]) -> Option<G2Affine> {
    G2Affine::deserialize_compressed(&bytes[..]).ok().filter(|point| !point.is_zero())
}

/// Writes what [`read_g2`] reads.
pub(super) fn write_g2(point: &G2Affine) -> [u8; G2_LENGTH] {
    let mut bytes = [0; G2_LENGTH];
    point.serialize_compressed(&mut bytes[..]).expect("a compressed point has 96 bytes");
    bytes
}

/// A signature: a compressed point of G1 in the right subgroup, not the neutral one.
pub(super) fn read_signature(bytes: &[u8]) -> Option<G1Affine> {
    let bytes: &[u8; G1_LENGTH] = bytes.try_into().ok()?;
    G1Affine::deserialize_compressed(&bytes[..]).ok().filter(|point| !point.is_zero())
}

/// The point Q that quicknet's secret turns into the signature of the round.
fn identity(round: u64) -> G1Affine {
    type ToG1 = MapToCurveBasedHasher<G1Projective, DefaultFieldHasher<Sha256, 128>, WBMap<g1::Config>>;
    let hasher = ToG1::new(HASH_TO_G1).expect("the map's constants are right");
    hasher.hash(&Sha256::digest(round.to_be_bytes())).expect("every message has a point")
}

fn h2(shared: &PairingOutput<Bls12_381>) -> [u8; 32] {
    let mut bytes = Zeroizing::new(Vec::with_capacity(shared.compressed_size()));
    shared.serialize_compressed(&mut *bytes).expect("a Vec takes any bytes");
    Sha256::digest(&*bytes).into()
}

fn h3(sigma: &Secret, key: &Secret) -> Fr {
    let hash = Sha256::new().chain_update(sigma.as_slice()).chain_update(key.as_slice()).finalize();
    Fr::from_be_bytes_mod_order(&hash)
}

fn h4(sigma: &Secret) -> [u8; 32] {
    Sha256::digest(sigma.as_slice()).into()
}

fn xor(a: &[u8; 32], b: &[u8; 32]) -> [u8; 32] {
    std::array::from_fn(|at| a[at] ^ b[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As drand published it.
    const SIGNATURE_OF_1000: &str =
        "b44679b9a59af2ec876b1a6b1ad52ea9b1615fc3982b19576350f93447cb1125e342b73a8dd2bacbe47e4b6b63ed5e39";

    fn signature_of_1000() -> G1Affine {
        read_signature(&hex::decode(SIGNATURE_OF_1000).unwrap()).unwrap()
    }

    fn secret(byte: u8) -> Secret {
        Zeroizing::new([byte; 32])
    }

    #[test]
    fn the_identity_of_a_round_is_what_quicknet_signs() {
        let public_key = read_g2(&PUBLIC_KEY).unwrap();
        let signed = Bls12_381::pairing(signature_of_1000(), G2Affine::generator());
        assert_eq!(signed, Bls12_381::pairing(identity(1000), public_key));
        assert_ne!(signed, Bls12_381::pairing(identity(1001), public_key));
    }

    #[test]
    fn a_key_comes_back_with_the_signature_of_its_round_alone() {
        let header = seal(&secret(7), 1000, &secret(9));
        assert_eq!(open(&header, signature_of_1000()), Some(secret(7)));
        let header = seal(&secret(7), 1001, &secret(9));
        assert_eq!(open(&header, signature_of_1000()), None);
    }

    #[test]
    fn a_changed_header_is_refused() {
        let header = seal(&secret(7), 1000, &secret(9));
        for at in [0, 31] {
            let mut changed = header.clone();
            changed.v[at] ^= 1;
            assert_eq!(open(&changed, signature_of_1000()), None);
            let mut changed = header.clone();
            changed.w[at] ^= 1;
            assert_eq!(open(&changed, signature_of_1000()), None);
        }
        let changed = Header { u: G2Affine::generator(), ..header };
        assert_eq!(open(&changed, signature_of_1000()), None);
    }

    #[test]
    fn neutral_points_and_wrong_lengths_are_no_points() {
        let mut neutral = [0; G2_LENGTH];
        neutral[0] = 0xc0;
        assert_eq!(read_g2(&neutral), None);
        assert_eq!(read_signature(&neutral[..G1_LENGTH]), None);
        let signature = hex::decode(SIGNATURE_OF_1000).unwrap();
        assert_eq!(read_signature(&signature[1..]), None);
        assert_eq!(read_signature(&[&signature[..], &[0]].concat()), None);
        assert_eq!(read_signature(b""), None);
    }

    /// x = 4 gives a point of the curve that is outside the subgroup.
    #[test]
    fn points_outside_the_subgroup_are_refused() {
        let outside = G1Affine::get_point_from_x_unchecked(4.into(), false).unwrap();
        assert!(outside.is_on_curve() && !outside.is_in_correct_subgroup_assuming_on_curve());
        let mut bytes = Vec::new();
        outside.serialize_compressed(&mut bytes).unwrap();
        assert_eq!(read_signature(&bytes), None);
    }
}
