//! The Merkle tree of RFC 6962 §2.1 (SHA-256), as far as an append-only log needs it.

use sha2::{Digest as _, Sha256};

/// A node of the tree.
pub type Hash = [u8; 32];

/// Hash of a record: `SHA-256(0x00 || record)`.
pub fn leaf_hash(record: &[u8]) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update([0]);
    hasher.update(record);
    hasher.finalize().into()
}

/// Hash of two subtrees: `SHA-256(0x01 || left || right)`.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut both = [1; 65];
    let (head, tail) = both.split_at_mut(33);
    if let Some(place) = head.get_mut(1..) {
        place.copy_from_slice(left);
    }
    tail.copy_from_slice(right);
    Sha256::digest(both).into()
}

/// The right edge of the tree: the roots of its perfect subtrees, largest first. All that is
/// needed to append and to give the root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    nodes: Vec<Hash>,
}

impl Frontier {
    /// A tree of `size` leaves from the roots of its perfect subtrees, largest first; `None` if
    /// their number does not fit the size.
    pub fn from_nodes(size: u64, nodes: Vec<Hash>) -> Option<Self> {
        (nodes.len() == size.count_ones() as usize).then_some(Self { size, nodes })
    }

    /// Leaves so far.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf. Tells every subtree this completes: its level (0: the leaf itself), its
    /// index within the level, its hash.
    pub fn push(&mut self, leaf: Hash, complete: &mut impl FnMut(u32, u64, &Hash)) {
        let mut hash = leaf;
        complete(0, self.size, &hash);
        for level in 1..=self.size.trailing_ones() {
            let Some(left) = self.nodes.pop() else { break };
            hash = node_hash(&left, &hash);
            complete(level, self.size >> level, &hash);
        }
        self.nodes.push(hash);
        self.size += 1;
    }

    /// The root; of the empty tree `SHA-256("")`.
    pub fn root(&self) -> Hash {
        self.nodes
            .iter()
            .rev()
            .copied()
            .reduce(|right, left| node_hash(&left, &right))
            .unwrap_or_else(|| Sha256::digest([]).into())
    }
}

/// Largest power of two below `n`; `n` is at least 2.
pub(super) fn split(n: u64) -> u64 {
    1 << (63 - (n - 1).leading_zeros())
}

/// Root of the leaves from `lo` to before `hi`, where `lo` is a multiple of the size of the
/// smallest perfect tree that holds them. `hash` gives the root of a perfect subtree by level and
/// index.
pub(super) fn range_root<E>(
    lo: u64,
    hi: u64,
    hash: &mut impl FnMut(u32, u64) -> Result<Hash, E>,
) -> Result<Hash, E> {
    let n = hi - lo;
    if n.is_power_of_two() {
        let level = n.trailing_zeros();
        return hash(level, lo >> level);
    }
    let middle = lo + split(n);
    let left = range_root(lo, middle, hash)?;
    Ok(node_hash(&left, &range_root(middle, hi, hash)?))
}

/// Inclusion proof of leaf `index` in the tree of `size` leaves (RFC 6962 §2.1.1), from the leaf
/// up. `hash` gives the root of a perfect subtree by level and index.
///
/// # Errors
/// Those of `hash`.
pub fn inclusion_proof<E>(
    index: u64,
    size: u64,
    hash: &mut impl FnMut(u32, u64) -> Result<Hash, E>,
) -> Result<Vec<Hash>, E> {
    let mut proof = Vec::new();
    let (mut lo, mut hi) = (0, size);
    while hi - lo > 1 {
        let middle = lo + split(hi - lo);
        if index < middle {
            proof.push(range_root(middle, hi, hash)?);
            hi = middle;
        } else {
            proof.push(range_root(lo, middle, hash)?);
            lo = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// Root that an inclusion proof leads to (RFC 9162 §2.1.3.2); `None` if it has the wrong length.
pub fn root_of_proof(index: u64, size: u64, leaf: Hash, proof: &[Hash]) -> Option<Hash> {
    if index >= size {
        return None;
    }
    let (mut node, mut last, mut hash) = (index, size - 1, leaf);
    for sibling in proof {
        if last == 0 {
            return None;
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(hash)
}

#[cfg(test)]
mod tests {
    use super::{Frontier, Hash, inclusion_proof, leaf_hash, node_hash, root_of_proof};
    use std::collections::HashMap;

    fn tree(size: u64) -> (Frontier, HashMap<(u32, u64), Hash>) {
        let (mut frontier, mut all) = (Frontier::default(), HashMap::new());
        for n in 0..size {
            let leaf = leaf_hash(format!("{{\"seq\":{n}}}").as_bytes());
            frontier.push(leaf, &mut |level, index, hash| {
                assert!(all.insert((level, index), *hash).is_none());
            });
        }
        (frontier, all)
    }

    #[test]
    fn known_records_have_the_known_hashes() {
        fn hex(hash: Hash) -> String {
            hash.iter().map(|byte| format!("{byte:02x}")).collect()
        }
        let (frontier, all) = tree(3);
        for (level, index, known) in [
            (
                0,
                0,
                "a402b0e36f5aae85457360fcf00a2545b87dd47f310553e7b0d32d6d0ac4400d",
            ),
            (
                0,
                1,
                "b119a77a4864308c481efb947ff723d6bd4ea1e7fab902eb8ca98bd759e46aee",
            ),
            (
                0,
                2,
                "d3e0a62a8f7a9256c8beb715afded83e4326d2c47379d259b1709a840ad2f11d",
            ),
            (
                1,
                0,
                "fc52d71a368a798fd96ec7e5b7ee5f8f9fdd10c7ff9ab146c4eac1e6a0a1b10a",
            ),
        ] {
            assert_eq!(hex(all[&(level, index)]), known, "{level} {index}");
        }
        assert_eq!(
            hex(frontier.root()),
            "3db67665eea8c26de341668c1d3199f61de4b780a828569a898ce48c28d931f3"
        );
    }

    #[test]
    fn roots_agree_with_an_independent_implementation() {
        let mut stored: Vec<tlog_tiles::tlog::Hash> = Vec::new();
        for n in 0..200u64 {
            let (frontier, _) = tree(n);
            let theirs = tlog_tiles::tlog::tree_hash(n, &Stored(&stored));
            if n > 0 {
                assert_eq!(frontier.root(), theirs.unwrap().0, "{n}");
            }
            let record = format!("{{\"seq\":{n}}}");
            let more =
                tlog_tiles::tlog::stored_hashes(n, record.as_bytes(), &Stored(&stored)).unwrap();
            stored.extend(more);
        }
    }

    struct Stored<'a>(&'a [tlog_tiles::tlog::Hash]);

    impl tlog_tiles::tlog::HashReader for Stored<'_> {
        fn read_hashes(
            &self,
            indexes: &[u64],
        ) -> Result<Vec<tlog_tiles::tlog::Hash>, tlog_tiles::tlog::Error> {
            Ok(indexes.iter().map(|&at| self.0[at as usize]).collect())
        }
    }

    #[test]
    fn proofs_of_every_leaf_lead_to_the_root_and_no_other_leaf_does() {
        for size in 1..70 {
            let (frontier, all) = tree(size);
            for index in 0..size {
                let proof = inclusion_proof(index, size, &mut |level, at| {
                    all.get(&(level, at)).copied().ok_or(())
                })
                .unwrap();
                let leaf = all[&(0, index)];
                assert_eq!(
                    root_of_proof(index, size, leaf, &proof),
                    Some(frontier.root())
                );
                let other = node_hash(&leaf, &leaf);
                assert_ne!(
                    root_of_proof(index, size, other, &proof),
                    Some(frontier.root())
                );
                let theirs = tlog_tiles::tlog::check_record(
                    &proof
                        .iter()
                        .map(|hash| tlog_tiles::tlog::Hash(*hash))
                        .collect(),
                    size,
                    tlog_tiles::tlog::Hash(frontier.root()),
                    index,
                    tlog_tiles::tlog::Hash(leaf),
                );
                assert!(theirs.is_ok(), "{index} of {size}");
            }
        }
    }
}
