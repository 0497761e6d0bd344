//! Which blocks a replayed chain has: hashes, headers, and which of them is the newest.
//!
//! A header's hash is the BLAKE2-256 of its SCALE form, since clients compute it. So the headers follow from the
//! genesis hash and the number alone: the same block of the same chain has the same hash in every script.

use blake2::digest::consts::U32;
use blake2::{Blake2b, Digest as _};
use parity_scale_codec::{Compact, Encode as _};
use serde_json::{Value, json};

/// Blocks are chained within a segment of this many, so that block five million needs no five million hashes. The
/// first of a segment names its parent by a hash that is no header's; asked for, it is the block before all the same.
const SEGMENT: u32 = 256;

/// The 32 bytes of a block's hash.
pub(super) type Hash = [u8; 32];

/// BLAKE2-256.
pub(super) fn blake2_256(bytes: &[u8]) -> Hash {
    Blake2b::<U32>::digest(bytes).into()
}

/// A chain up to its newest block. Known are the genesis block and the blocks of the last two segments.
#[derive(Debug, Clone)]
pub(super) struct Blocks {
    genesis: Hash,
    /// Number of the first block of `hashes`; 1 or a multiple of `SEGMENT`.
    first: u32,
    hashes: Vec<Hash>,
}

impl Blocks {
    pub(super) fn up_to(genesis: Hash, head: u32) -> Self {
        let first = ((head / SEGMENT).saturating_sub(1) * SEGMENT).max(1);
        let mut blocks = Self { genesis, first, hashes: Vec::new() };
        for number in first..=head {
            let hash = blake2_256(&header(blocks.parent(number), number));
            blocks.hashes.push(hash);
        }
        blocks
    }

    /// Number of the newest block.
    pub(super) fn head(&self) -> u32 {
        self.first + self.hashes.len() as u32 - 1
    }

    /// Hash of the newest block.
    pub(super) fn head_hash(&self) -> Hash {
        self.hashes.last().copied().unwrap_or(self.genesis)
    }

    /// `None` for a block to come, and for one that is too old.
    pub(super) fn hash(&self, number: u32) -> Option<Hash> {
        if number == 0 {
            return Some(self.genesis);
        }
        self.hashes.get(number.checked_sub(self.first)? as usize).copied()
    }

    pub(super) fn number(&self, hash: &Hash) -> Option<u32> {
        if *hash == self.genesis {
            return Some(0);
        }
        let known = self.hashes.iter().rposition(|known| known == hash).map(|at| self.first + at as u32);
        known.or_else(|| {
            let mut starts = (self.first..=self.head()).filter(|number| number.is_multiple_of(SEGMENT));
            starts.find(|start| self.parent(*start) == *hash).map(|start| start - 1)
        })
    }

    /// The header of a block, in the form of JSON-RPC.
    pub(super) fn header(&self, number: u32) -> Value {
        let root = hexed([0; 32]);
        json!({
            "parentHash": hexed(self.parent(number)),
            "number": format!("{number:#x}"),
            "stateRoot": root,
            "extrinsicsRoot": root,
            "digest": { "logs": [] },
        })
    }

    fn parent(&self, number: u32) -> Hash {
        match number {
            0 => [0; 32],
            _ if number.is_multiple_of(SEGMENT) => {
                blake2_256(&[self.genesis.as_slice(), &number.to_le_bytes()].concat())
            }
            _ => self.hash(number - 1).unwrap_or(self.genesis),
        }
    }
}

/// A header with empty roots and no digest.
fn header(parent: Hash, number: u32) -> Vec<u8> {
    (parent, Compact(number), [0_u8; 32], [0_u8; 32], Compact(0_u32)).encode()
}

/// Bytes as JSON-RPC writes them.
pub(super) fn hexed(bytes: impl AsRef<[u8]>) -> String {
    format!("0x{}", hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_leads_back_to_its_genesis() {
        let blocks = Blocks::up_to([7; 32], 3);
        assert_eq!(blocks.head(), 3);
        assert_eq!(blocks.hash(0), Some([7; 32]));
        assert_eq!(blocks.parent(1), [7; 32]);
        assert_eq!(blocks.parent(3), blocks.hash(2).unwrap());
        assert_eq!(blocks.hash(4), None);
        assert_eq!(Blocks::up_to([7; 32], 0).head_hash(), [7; 32]);
        assert_eq!(Blocks::up_to([7; 32], 0).head(), 0);
    }

    #[test]
    fn a_block_has_one_hash_whatever_the_head() {
        for number in [255, 256, 257, 511, 512, 513, 5_000_000] {
            let at_head = Blocks::up_to([7; 32], number);
            let later = Blocks::up_to([7; 32], number + 200);
            assert_eq!(at_head.head(), number);
            assert_eq!(later.hash(number), Some(at_head.head_hash()), "{number}");
            assert_eq!(later.number(&at_head.head_hash()), Some(number));
        }
    }

    #[test]
    fn a_parent_is_known_at_the_start_of_a_segment_too() {
        for number in [1, 2, 256, 257, 512, 5_000_192] {
            let blocks = Blocks::up_to([7; 32], number);
            assert_eq!(blocks.number(&blocks.parent(number)), Some(number - 1));
        }
    }

    #[test]
    fn an_old_block_is_forgotten_and_another_chain_is_unknown() {
        let blocks = Blocks::up_to([7; 32], 5_000_000);
        assert_eq!(blocks.hash(1), None);
        assert!(blocks.hash(5_000_000 - 256).is_some());
        let other = Blocks::up_to([8; 32], 5_000_000);
        assert_eq!(blocks.number(&other.head_hash()), None);
    }
}
