//! For tables that hold whole keys.

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;

use foldhash::SharedSeed;
use foldhash::quality::{FoldHasher, SeedableRandomState};

/// Six words that all hashers of a run share.
static SHARED: OnceLock<SharedSeed> = OnceLock::new();

/// Folded multiplication with random seeds: a third of the time of [`super::Keyed`] on a name.
///
/// For tables of the names that the catalog gives out. A flood of such names does no harm, for
/// three reasons. Every multiplication takes in secret words, which are made of random numbers of
/// the operating system, so which names collide cannot be worked out before. An attacker learns
/// nothing of them after: the agent answers none of the traffic it watches, tells nobody a hash,
/// and shows nothing in the order of these tables. And were the seeds known all the same, the
/// names are bounded (500 routes of each of 500 services): the worst that a lookup costs is a walk
/// past the 500 of a service, and never a wrong one, because keys are compared.
///
/// Where any of this does not hold, [`super::Keyed`] is the hasher to take.
#[derive(Clone, Debug)]
pub struct Seeded(SeedableRandomState);

impl Default for Seeded {
    fn default() -> Self {
        let random = RandomState::new();
        let shared = SHARED.get_or_init(|| SharedSeed::from_u64(random.hash_one(0_u8)));
        Self(SeedableRandomState::with_seed(
            random.hash_one(1_u8),
            shared,
        ))
    }
}

impl BuildHasher for Seeded {
    type Hasher = FoldHasher<'static>;

    #[inline]
    fn build_hasher(&self) -> Self::Hasher {
        self.0.build_hasher()
    }
}

#[cfg(test)]
mod tests {
    use super::Seeded;
    use std::collections::HashSet;
    use std::hash::BuildHasher as _;

    #[test]
    fn each_has_seeds_of_its_own_and_copies_have_the_same() {
        let one = Seeded::default();
        assert_eq!(one.hash_one("/orders"), one.clone().hash_one("/orders"));
        assert_ne!(
            one.hash_one("/orders"),
            Seeded::default().hash_one("/orders")
        );
    }

    #[test]
    fn names_that_are_nearly_the_same_are_spread_over_the_table() {
        let seeded = Seeded::default();
        // Both the low bits, which name the place, and the high ones, which are compared first.
        let hashes: Vec<u64> = (0..4096)
            .map(|n| seeded.hash_one(format!("/orders/{n}/lines")))
            .collect();
        for shift in [0, 52] {
            let places: HashSet<u64> = hashes.iter().map(|hash| hash >> shift & 0xfff).collect();
            // Thrown at random, 4,096 keys meet 2,589 of 4,096 places, give or take 30.
            assert!(places.len() > 2300, "{} places", places.len());
        }
    }
}
