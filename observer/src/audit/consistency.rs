//! Consistency proofs: a tree is the beginning of another (RFC 6962 §2.1.2).

use super::merkle::{Hash, node_hash, range_root, split};

/// The proof that the tree of `old` leaves is the beginning of that of `new`; empty if `old` is 0
/// or they are the same. `hash` gives the root of a perfect subtree of the new tree by level and
/// index.
///
/// # Errors
/// Those of `hash`.
pub(super) fn consistency_proof<E>(
    old: u64,
    new: u64,
    hash: &mut impl FnMut(u32, u64) -> Result<Hash, E>,
) -> Result<Vec<Hash>, E> {
    let mut proof = Vec::new();
    if old == 0 || old >= new {
        return Ok(proof);
    }
    let (mut lo, mut hi) = (0, new);
    while hi != old {
        let middle = lo + split(hi - lo);
        if old <= middle {
            proof.push(range_root(middle, hi, hash)?);
            hi = middle;
        } else {
            proof.push(range_root(lo, middle, hash)?);
            lo = middle;
        }
    }
    // The whole old tree is known to whoever asks.
    if lo > 0 {
        proof.push(range_root(lo, hi, hash)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Whether `proof` shows that the tree of `old` leaves and root `old_root` is the beginning of
/// that of `new` leaves and root `new_root` (RFC 9162 §2.1.4.2).
pub(super) fn is_consistent(
    (old, old_root): (u64, &Hash),
    (new, new_root): (u64, &Hash),
    proof: &[Hash],
) -> bool {
    if old == 0 {
        return proof.is_empty();
    }
    if old == new {
        return proof.is_empty() && old_root == new_root;
    }
    if old > new {
        return false;
    }
    let mut hashes = proof.iter();
    let first = if old.is_power_of_two() {
        Some(old_root)
    } else {
        hashes.next()
    };
    let Some(first) = first else { return false };
    let shift = (old - 1).trailing_ones();
    let (mut node, mut last) = ((old - 1) >> shift, (new - 1) >> shift);
    let (mut old_hash, mut new_hash) = (*first, *first);
    for sibling in hashes {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && old_hash == *old_root && new_hash == *new_root
}

#[cfg(test)]
mod tests {
    use super::{consistency_proof, is_consistent};
    use crate::audit::merkle::{Frontier, Hash, leaf_hash, node_hash};
    use std::collections::HashMap;
    use tlog_tiles::tlog;

    #[test]
    fn every_tree_is_proved_to_begin_every_larger_one_and_others_agree() {
        const MOST: u64 = 40;
        let (mut tree, mut all) = (Frontier::default(), HashMap::new());
        let mut roots: Vec<Hash> = vec![tree.root()];
        for n in 0..MOST {
            let leaf = leaf_hash(&n.to_le_bytes());
            tree.push(leaf, &mut |level, index, hash| {
                all.insert((level, index), *hash);
            });
            roots.push(tree.root());
        }
        for new in 1..=MOST {
            for old in 0..=new {
                let proof = consistency_proof(old, new, &mut |level, index| {
                    all.get(&(level, index)).copied().ok_or(())
                })
                .unwrap();
                let (a, b) = (roots[old as usize], roots[new as usize]);
                assert!(is_consistent((old, &a), (new, &b), &proof), "{old} {new}");
                if old == 0 {
                    continue;
                }
                let other = node_hash(&a, &b);
                assert!(!is_consistent((old, &other), (new, &b), &proof));
                assert!(!is_consistent((old, &a), (new, &other), &proof));
                let mut longer = proof.clone();
                longer.push(other);
                assert!(!is_consistent((old, &a), (new, &b), &longer));
                if old < new {
                    assert!(!is_consistent((old, &a), (new, &b), &proof[1..]));
                    let theirs = proof.iter().map(|hash| tlog::Hash(*hash)).collect();
                    let (a, b) = (tlog::Hash(a), tlog::Hash(b));
                    tlog::check_tree(&theirs, new, b, old, a).unwrap();
                }
            }
        }
    }
}
