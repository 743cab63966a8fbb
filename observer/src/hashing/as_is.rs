//! For keys that are hashes.

use std::hash::{BuildHasher, Hasher};

/// Takes a key of 64 bits for its own hash. Only for keys that [`super::Keyed`] made, or that are
/// made of some such: of numbers that somebody else chooses, many would share a place. Or for tables
/// so small and short-lived that this does no harm, which then say so.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsIs(u64);

impl BuildHasher for AsIs {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        Self::default()
    }
}

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    /// Not what this is for, but right for any key.
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use super::AsIs;
    use std::hash::BuildHasher as _;

    #[test]
    fn a_hash_is_its_own_hash() {
        for hash in [0, 7, u64::MAX] {
            assert_eq!(AsIs::default().hash_one(hash), hash);
        }
    }
}
