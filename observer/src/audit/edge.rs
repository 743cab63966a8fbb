//! The hashes at the right edge of the tree that do not fill a tile yet.

use super::merkle::{Frontier, Hash, node_hash};

/// Hashes in a full tile (C2SP tlog-tiles): eight levels of the tree.
pub(super) const TILE_WIDTH: usize = 256;
/// Levels of tiles that a tree of 2^64 leaves has.
const MAX_LEVELS: u32 = 8;

/// A tile that is full: its level, its index within the level, its hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tile {
    pub(super) level: u32,
    pub(super) index: u64,
    pub(super) hashes: Vec<Hash>,
}

/// The tree as a log appends to it: its frontier, and its partial tiles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Edge {
    frontier: Frontier,
    /// The partial tile of each level, lowest first.
    partial: Vec<Vec<Hash>>,
}

/// Hashes of the partial tile of `level` in a tree of `size` leaves.
fn width(size: u64, level: u32) -> usize {
    (size.checked_shr(8 * level).unwrap_or(0) & 255) as usize
}

impl Edge {
    /// Number of hashes that describe the edge of a tree of `size` leaves.
    pub(super) fn hashes_of(size: u64) -> usize {
        (0..MAX_LEVELS).map(|level| width(size, level)).sum()
    }

    /// The edge from its hashes, lowest level first; `None` if there are too many or too few.
    pub(super) fn from_hashes(size: u64, hashes: &[Hash]) -> Option<Self> {
        if hashes.len() != Self::hashes_of(size) {
            return None;
        }
        let mut partial = Vec::new();
        let mut rest = hashes;
        for level in 0..MAX_LEVELS {
            let (these, after) = rest.split_at_checked(width(size, level))?;
            partial.push(these.to_vec());
            rest = after;
        }
        let mut nodes = Vec::new();
        for tile in partial.iter().rev() {
            let mut rest = tile.as_slice();
            for bit in (0..8).rev() {
                if tile.len() & (1 << bit) != 0 {
                    let (these, after) = rest.split_at_checked(1 << bit)?;
                    nodes.push(perfect_root(these)?);
                    rest = after;
                }
            }
        }
        let frontier = Frontier::from_nodes(size, nodes)?;
        Some(Self { frontier, partial })
    }

    /// The hashes that describe the edge, lowest level first.
    pub(super) fn hashes(&self) -> impl Iterator<Item = &Hash> {
        self.partial.iter().flatten()
    }

    /// The partial tile of `level`, empty if there is none.
    pub(super) fn partial(&self, level: u32) -> &[Hash] {
        self.partial.get(level as usize).map_or(&[], Vec::as_slice)
    }

    /// Leaves so far.
    pub(super) const fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// The root of the tree.
    pub(super) fn root(&self) -> Hash {
        self.frontier.root()
    }

    /// Appends a leaf; tells every tile this fills.
    pub(super) fn push(&mut self, leaf: Hash, full: &mut impl FnMut(Tile)) {
        let Self { frontier, partial } = self;
        frontier.push(leaf, &mut |level, index, hash| {
            if level % 8 != 0 {
                return;
            }
            let level = level / 8;
            let at = level as usize;
            while partial.len() <= at {
                partial.push(Vec::with_capacity(TILE_WIDTH));
            }
            let Some(tile) = partial.get_mut(at) else {
                return;
            };
            tile.push(*hash);
            if tile.len() == TILE_WIDTH {
                full(Tile {
                    level,
                    index: index / TILE_WIDTH as u64,
                    hashes: std::mem::replace(tile, Vec::with_capacity(TILE_WIDTH)),
                });
            }
        });
    }
}

/// Root over a power of two of hashes.
pub(super) fn perfect_root(hashes: &[Hash]) -> Option<Hash> {
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        row = row
            .as_chunks()
            .0
            .iter()
            .map(|[left, right]| node_hash(left, right))
            .collect();
    }
    row.first().copied()
}

#[cfg(test)]
mod tests {
    use super::{Edge, Hash};
    use crate::audit::merkle::leaf_hash;

    #[test]
    fn an_edge_is_restored_from_its_hashes_at_every_size() {
        let mut edge = Edge::default();
        let mut tiles = 0;
        for n in 0..70_000u64 {
            if n < 600 || n % 257 == 0 || n > 65_500 && n < 65_600 {
                let hashes: Vec<Hash> = edge.hashes().copied().collect();
                let restored = Edge::from_hashes(n, &hashes).unwrap();
                assert_eq!(restored.root(), edge.root(), "{n}");
                assert_eq!(restored.size(), n);
                assert!(Edge::from_hashes(n + 1, &hashes).is_none());
            }
            edge.push(leaf_hash(&n.to_le_bytes()), &mut |tile| {
                assert_eq!(tile.hashes.len(), 256);
                tiles += 1;
            });
        }
        assert_eq!(tiles, 70_000 / 256 + 1);
    }
}
