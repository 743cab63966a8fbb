//! Hashes that stand for what they were made of.

use std::hash::{BuildHasher, DefaultHasher, Hasher, RandomState};

/// Bytes that are gathered: the name of a service, a route and a method, usually.
const GATHERED: usize = 128;

/// SipHash-1-3 with a random key, as the standard library has it, and with the same results.
///
/// What is hashed here is told apart by 64 bits of hash alone: the same 64 bits for two callers
/// would count one for the other, and turn one away for the other. So it has to be a pseudorandom
/// function, not only one that spreads keys well.
#[derive(Clone, Debug, Default)]
pub struct Keyed(RandomState);

/// Gathers the many short writes that a tuple is hashed by: each costs SipHash as much as 16 bytes.
#[derive(Clone, Debug)]
pub struct KeyedHasher {
    gathered: [u8; GATHERED],
    length: usize,
    inner: DefaultHasher,
}

impl BuildHasher for Keyed {
    type Hasher = KeyedHasher;

    #[inline]
    fn build_hasher(&self) -> KeyedHasher {
        KeyedHasher {
            gathered: [0; GATHERED],
            length: 0,
            inner: self.0.build_hasher(),
        }
    }
}

impl KeyedHasher {
    /// What does not fit any more.
    #[cold]
    fn pass_on(&mut self, bytes: &[u8]) {
        let gathered = self.gathered.get(..self.length).unwrap_or_default();
        self.inner.write(gathered);
        self.length = 0;
        self.inner.write(bytes);
    }
}

impl Hasher for KeyedHasher {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let end = self.length.saturating_add(bytes.len());
        match self.gathered.get_mut(self.length..end) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.length = end;
            }
            None => self.pass_on(bytes),
        }
    }

    #[inline]
    fn finish(&self) -> u64 {
        let mut inner = self.inner.clone();
        inner.write(self.gathered.get(..self.length).unwrap_or_default());
        inner.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::Keyed;
    use std::hash::{BuildHasher as _, RandomState};
    use std::net::IpAddr;

    #[test]
    fn the_hash_is_the_one_of_the_standard_library() {
        let random = RandomState::new();
        let keyed = Keyed(random.clone());
        for length in [0, 1, 15, 16, 100, 111, 112, 127, 128, 129, 5000] {
            let text = "a".repeat(length);
            let address: IpAddr = [10, 0, 0, 1].into();
            let key = (Some("shop"), &text, 7_u8, address, &text, Some(u64::MAX));
            assert_eq!(keyed.hash_one(key), random.hash_one(key), "{length}");
        }
    }

    #[test]
    fn each_has_a_key_of_its_own() {
        assert_ne!(
            Keyed::default().hash_one("a"),
            Keyed::default().hash_one("a")
        );
    }
}
